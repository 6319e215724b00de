package freebsd

import (
	"hythe/abi"
	"hythe/personality/bsd"
	"hythe/personality/image"
	"hythe/server/unix/core"
)

// sysArch serves sysarch(2): the base registers (machine/sysarch.h).
func sysArch(_ *bsd.Personality, c *core.Call) (uint64, abi.Errno) {
	const getFS, setFS = 128, 129
	switch c.Args[0] {
	case getFS:
		c.CopyOut64(c.Args[1], c.Regs.FSBase)
		return 0, 0
	case setFS:
		b, e := c.StructArg(1, 8)
		if e != 0 {
			return 0, e
		}
		base := le.Uint64(b)
		if base >= image.UserEnd {
			return 0, abi.EINVAL
		}
		c.Act(abi.ActSetFS, 0, base)
		return 0, 0
	}
	return 0, abi.EINVAL
}

// sysThrSelf serves thr_self(2).
func sysThrSelf(_ *bsd.Personality, c *core.Call) (uint64, abi.Errno) {
	c.CopyOut64(c.Args[0], uint64(c.Thread().Tid))
	return 0, 0
}

// sysThrNew serves thr_new(2): struct thr_param (sys/thr.h) is start function 0, its
// argument 8, stack 16 and its size 24, thread pointer 32 (and size 40), where the new
// id is stored for the child 48 and the parent 56, flags 64, rtprio 72.
func sysThrNew(_ *bsd.Personality, c *core.Call) (uint64, abi.Errno) {
	const suspended, systemScope = 1, 2
	size := c.Args[1]
	if size > 104 {
		return 0, abi.EINVAL
	}
	var b [104]byte
	in, e := c.CopyIn(c.Args[0], int(size))
	if e != 0 {
		return 0, e
	}
	copy(b[:], in)
	if fl := le.Uint32(b[64:]); fl&^(suspended|systemScope) != 0 || fl&suspended != 0 {
		return 0, abi.EINVAL
	}
	word := func(off int) uint64 { return le.Uint64(b[off:]) }
	regs := c.Regs
	regs.IP, regs.DI, regs.AX, regs.DX = word(0), word(8), 0, 0
	regs.SP = (word(16)+word(24))&^15 - 8
	regs.Flags = 0x202
	regs.BP = 0
	a := core.CloneArgs{
		Flags: core.CloneVM | core.CloneFS | core.CloneFiles | core.CloneSighand | core.CloneThread | core.CloneSysvsem | core.CloneSetTLS,
		SP:    regs.SP, TLS: word(32), Regs: &regs,
	}
	if a.TLS >= image.UserEnd {
		return 0, abi.EINVAL
	}
	// The ids are longs.
	if a.ChildTid = word(48); a.ChildTid != 0 {
		a.Flags |= core.CloneChildSettid
		c.Act(abi.ActStore32, abi.ActIgnore, a.ChildTid+4, 0)
	}
	if a.ParentTid = word(56); a.ParentTid != 0 {
		a.Flags |= core.CloneParentSettid
		c.Act(abi.ActStore32, abi.ActIgnore, a.ParentTid+4, 0)
	}
	_, e = c.Clone(&a)
	return 0, e
}

// sysThrExit serves thr_exit(2): the word at its argument becomes 1 and is woken, then
// the thread ends. The last one of a process cannot end so.
func sysThrExit(_ *bsd.Personality, c *core.Call) (uint64, abi.Errno) {
	if c.Proc().Threads <= 1 {
		return 0, 0
	}
	if a := c.Args[0]; a != 0 {
		c.Act(abi.ActStore32, abi.ActIgnore, a, 1)
		c.Act(abi.ActStore32, abi.ActIgnore, a+4, 0)
		c.Act(abi.ActFutexWake, abi.ActIgnore, a, 1<<31-1)
	}
	c.Exit(0)
	return 0, 0
}

// sysThrKill serves thr_kill(2), sysThrKill2 thr_kill2(2).
func sysThrKill(p *bsd.Personality, c *core.Call) (uint64, abi.Errno) {
	return 0, p.ThreadKill(c, 0, int64(c.Args[0]), c.Args[1])
}

func sysThrKill2(p *bsd.Personality, c *core.Call) (uint64, abi.Errno) {
	return 0, p.ThreadKill(c, int32(c.Args[0]), int64(c.Args[1]), c.Args[2])
}

// sysThrSetName serves thr_set_name(2).
func sysThrSetName(_ *bsd.Personality, c *core.Call) (uint64, abi.Errno) {
	name, e := c.PathArg(1)
	if e != 0 {
		return 0, e
	}
	t := c.K.ThreadByTid(int32(c.Args[0]))
	if t == 0 || c.K.Threads.Get(t).Proc != c.ProcRef() {
		return 0, abi.ESRCH
	}
	core.SetComm(&c.K.Threads.Mut(t).Comm, name)
	return 0, 0
}

// sysUmtx gets what the library does not serve of _umtx_op(2).
func sysUmtx(*bsd.Personality, *core.Call) (uint64, abi.Errno) { return 0, abi.EOPNOTSUPP }

// Affinity (sys/cpuset.h): the levels and what an id names.
const (
	cpuRoot, cpuCpuset, cpuWhich = 1, 2, 3
	cpuTid, cpuPid               = 1, 2
)

// cpuTarget finds the thread that an affinity is of; 0 for the machine's.
func cpuTarget(c *core.Call) (*core.Thread, abi.Errno) {
	level, which, id := c.Args[0], c.Args[1], int64(c.Args[2])
	if level < cpuRoot || level > cpuWhich {
		return nil, abi.EINVAL
	}
	t := c.T
	switch which {
	case cpuTid:
		if id != -1 {
			t = c.K.ThreadByTid(int32(id))
		}
	case cpuPid:
		if id != -1 {
			p := c.K.ProcByPid(int32(id))
			if p == 0 {
				return nil, abi.ESRCH
			}
			t = c.K.Procs.Get(p).Leader
		}
	default:
		return nil, abi.EINVAL
	}
	if t == 0 {
		return nil, abi.ESRCH
	}
	return c.K.Threads.Get(t), 0
}

// sysGetaffinity serves cpuset_getaffinity(2): level, which, id, size, mask. A mask that
// is too small for the processors is ERANGE.
func sysGetaffinity(_ *bsd.Personality, c *core.Call) (uint64, abi.Errno) {
	size, cpus := c.Args[3], c.K.CPUs()
	if size*8 < uint64(cpus.Top()) || size > 128 {
		return 0, abi.ERANGE
	}
	th, e := cpuTarget(c)
	if e != 0 {
		return 0, e
	}
	if c.Args[0] == cpuWhich {
		cpus = c.K.CPUsOf(th)
	}
	b := make([]byte, size)
	for i := range cpus.Top() {
		if cpus.Has(i) {
			b[i/8] |= 1 << (i % 8)
		}
	}
	c.CopyOut(c.Args[4], b)
	return 0, 0
}
