package netbsd

import (
	"hythe/abi"
	"hythe/personality/bsd"
	"hythe/personality/image"
	"hythe/server/unix/core"
)

// Flags of _lwp_create(2) (sys/lwp.h).
const (
	lwpDetached  = 0x40
	lwpSuspended = 0x80
)

// sysLwpCreate serves _lwp_create(2): a context, flags, and where the id of the new LWP
// goes. It begins with the context's registers, and without an alternate stack.
func sysLwpCreate(_ *bsd.Personality, c *core.Call) (uint64, abi.Errno) {
	b, e := c.StructArg(0, ucSize-fpSize)
	if e != 0 {
		return 0, e
	}
	uc := append([]byte(nil), b...)
	regs := c.Regs
	flags, e := context(uc, &regs)
	if e != 0 {
		return 0, e
	}
	if flags&hasCPU == 0 || c.Args[1]&^(lwpDetached|lwpSuspended) != 0 || c.Args[1]&lwpSuspended != 0 {
		return 0, abi.EINVAL
	}
	a := core.CloneArgs{
		Flags: core.CloneVM | core.CloneFS | core.CloneFiles | core.CloneSighand | core.CloneThread | core.CloneSysvsem,
		SP:    regs.SP, Regs: &regs,
	}
	if flags&hasTLS != 0 {
		a.Flags |= core.CloneSetTLS
		a.TLS = regs.FSBase
	}
	if flags&hasSigmask != 0 {
		mask := signals.GetSet(uc[ucMask:])
		a.Mask = &mask
	}
	tid, e := c.Clone(&a)
	if e != 0 {
		return 0, e
	}
	// Behind the thread: who reads it may name it (LocalUnpark).
	c.Act(abi.ActStore32, abi.ActIgnore, c.Args[2], uint64(uint32(tid)))
	return 0, 0
}

// sysLwpExit serves _lwp_exit(2). With the last one its process ends.
func sysLwpExit(_ *bsd.Personality, c *core.Call) (uint64, abi.Errno) {
	c.Exit(0)
	return 0, 0
}

// sysLwpSelf serves _lwp_self(2).
func sysLwpSelf(_ *bsd.Personality, c *core.Call) (uint64, abi.Errno) {
	return uint64(c.Thread().Tid), 0
}

// sysLwpGetprivate serves _lwp_getprivate(2), sysLwpSetprivate _lwp_setprivate(2): the
// thread pointer.
func sysLwpGetprivate(_ *bsd.Personality, c *core.Call) (uint64, abi.Errno) {
	return c.Regs.FSBase, 0
}

func sysLwpSetprivate(_ *bsd.Personality, c *core.Call) (uint64, abi.Errno) {
	if c.Args[0] >= image.UserEnd {
		return 0, abi.EINVAL
	}
	c.Act(abi.ActSetFS, 0, c.Args[0])
	return 0, 0
}

// sysLwpKill serves _lwp_kill(2).
func sysLwpKill(p *bsd.Personality, c *core.Call) (uint64, abi.Errno) {
	if tid := int32(c.Args[0]); tid > 0 {
		return 0, p.ThreadKill(c, 0, int64(tid), c.Args[1])
	}
	return 0, abi.ESRCH
}

// sysLwpDetach serves _lwp_detach(2): no LWP waits for another, all are detached.
func sysLwpDetach(_ *bsd.Personality, c *core.Call) (uint64, abi.Errno) {
	if _, e := thread(c, int32(c.Args[0])); e != 0 {
		return 0, e
	}
	return 0, abi.EINVAL
}

// sysLwpPark and sysLwpUnpark get what the library does not serve: a thread to wake that
// is none.
func sysLwpPark(*bsd.Personality, *core.Call) (uint64, abi.Errno) { return 0, abi.ESRCH }

func sysLwpUnpark(*bsd.Personality, *core.Call) (uint64, abi.Errno) { return 0, abi.ESRCH }

// thread finds an LWP of the caller's process. ESRCH.
func thread(c *core.Call, tid int32) (*core.Thread, abi.Errno) {
	t := c.K.ThreadByTid(tid)
	if tid == 0 {
		t = c.T
	}
	if t == 0 || c.K.Threads.Get(t).Proc != c.ProcRef() {
		return nil, abi.ESRCH
	}
	return c.K.Threads.Mut(t), 0
}

// sysLwpSetname serves _lwp_setname(2), sysLwpGetname _lwp_getname(2).
func sysLwpSetname(_ *bsd.Personality, c *core.Call) (uint64, abi.Errno) {
	name, e := c.PathArg(1)
	if e != 0 {
		return 0, e
	}
	th, e := thread(c, int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	core.SetComm(&th.Comm, name)
	return 0, 0
}

func sysLwpGetname(_ *bsd.Personality, c *core.Call) (uint64, abi.Errno) {
	th, e := thread(c, int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	name := append([]byte(core.CommOf(th.Comm)), 0)
	if n := c.Args[2]; n < uint64(len(name)) {
		name = name[:n]
		if n > 0 {
			name[n-1] = 0
		}
	}
	c.CopyOut(c.Args[1], name)
	return 0, 0
}

// sysGetaffinity serves _sched_getaffinity(2): process, LWP, size, mask. A mask that is
// too small for the processors is EINVAL.
func sysGetaffinity(_ *bsd.Personality, c *core.Call) (uint64, abi.Errno) {
	size, cpus := c.Args[2], c.K.CPUs()
	if size*8 < uint64(cpus.Top()) || size > 128 {
		return 0, abi.EINVAL
	}
	if pid := int32(c.Args[0]); pid != 0 && pid != c.Proc().Pid {
		return 0, abi.EPERM
	}
	th, e := thread(c, int32(c.Args[1]))
	if e != 0 {
		return 0, e
	}
	cpus = c.K.CPUsOf(th)
	b := make([]byte, size)
	for i := range cpus.Top() {
		if cpus.Has(i) {
			b[i/8] |= 1 << (i % 8)
		}
	}
	c.CopyOut(c.Args[3], b)
	return 0, 0
}
