package dragonfly

import (
	"hythe/abi"
	"hythe/personality/bsd"
	"hythe/personality/image"
	"hythe/server/unix/core"
)

// sysSetTLS serves set_tls_area(2): which register (0: FS), struct tls_info {base 8, size
// 4}, its size. sysGetTLS serves get_tls_area(2).
func sysSetTLS(_ *bsd.Personality, c *core.Call) (uint64, abi.Errno) {
	if c.Args[0] != 0 || c.Args[2] < 12 {
		return 0, abi.EINVAL
	}
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

func sysGetTLS(_ *bsd.Personality, c *core.Call) (uint64, abi.Errno) {
	if c.Args[0] != 0 || c.Args[2] < 12 {
		return 0, abi.EINVAL
	}
	var b [16]byte
	le.PutUint64(b[:], c.Regs.FSBase)
	c.CopyOut(c.Args[1], b[:min(c.Args[2], 16)])
	return 0, 0
}

// sysLwpCreate serves lwp_create(2): struct lwp_params (sys/lwp.h) is function 0, its
// argument 8, stack 16, and two places for the id 24 and 32.
func sysLwpCreate(_ *bsd.Personality, c *core.Call) (uint64, abi.Errno) {
	b, e := c.StructArg(0, 40)
	if e != 0 {
		return 0, e
	}
	word := func(off int) uint64 { return le.Uint64(b[off:]) }
	regs := c.Regs
	regs.IP, regs.DI, regs.AX, regs.DX, regs.BP = word(0), word(8), 0, 0, 0
	regs.SP = word(16) - 8
	regs.Flags = 0x202
	ids := []uint64{word(24), word(32)}
	tid, e := c.Clone(&core.CloneArgs{
		Flags: core.CloneVM | core.CloneFS | core.CloneFiles | core.CloneSighand | core.CloneThread | core.CloneSysvsem,
		SP:    regs.SP, Regs: &regs,
	})
	if e != 0 {
		return 0, e
	}
	for _, at := range ids {
		if at != 0 {
			c.Act(abi.ActStore32, abi.ActIgnore, at, uint64(uint32(tid)))
		}
	}
	return 0, 0
}

// sysExtexit serves extexit(2): what ends and what is stored before, status, and where.
func sysExtexit(_ *bsd.Personality, c *core.Call) (uint64, abi.Errno) {
	const setInt, lwp = 1, 1 << 16
	how, status := uint32(c.Args[0]), uint32(c.Args[1])
	if how&^(setInt|lwp) != 0 {
		return 0, abi.EINVAL
	}
	if how&setInt != 0 {
		c.Act(abi.ActStore32, abi.ActIgnore, c.Args[2], uint64(status))
	}
	if how&lwp != 0 {
		c.Exit(status)
	} else {
		c.ExitGroup(status)
	}
	return 0, 0
}

// sysLwpGettid serves lwp_gettid(2).
func sysLwpGettid(_ *bsd.Personality, c *core.Call) (uint64, abi.Errno) {
	return uint64(c.Thread().Tid), 0
}

// sysLwpKill serves lwp_kill(2): process (-1: the caller's), LWP (-1: any), signal.
func sysLwpKill(p *bsd.Personality, c *core.Call) (uint64, abi.Errno) {
	pid, tid := int32(c.Args[0]), int32(c.Args[1])
	if pid == -1 {
		pid = c.Proc().Pid
	}
	if pid <= 0 || tid < -1 {
		return 0, abi.EINVAL
	}
	if tid == -1 {
		sig, ok := signals.Signal(int32(c.Args[2]))
		if !ok && int32(c.Args[2]) != 0 {
			return 0, abi.EINVAL
		}
		return 0, c.Kill(pid, sig)
	}
	return 0, p.ThreadKill(c, pid, int64(tid), c.Args[2])
}

// sysSleep and sysWakeup get what the library does not serve of umtx_sleep(2) and
// umtx_wakeup(2): nothing.
func sysSleep(*bsd.Personality, *core.Call) (uint64, abi.Errno) { return 0, abi.EINVAL }

// sysPipe serves pipe(2), sysPipe2 pipe2(2): the descriptors are the result, the second one
// in RDX.
func sysPipe(p *bsd.Personality, c *core.Call) (uint64, abi.Errno) { return pipe(p, c, 0) }

func sysPipe2(p *bsd.Personality, c *core.Call) (uint64, abi.Errno) { return pipe(p, c, c.Args[1]) }

func pipe(p *bsd.Personality, c *core.Call, flags uint64) (uint64, abi.Errno) {
	r, w, e := p.NewPipe(c, flags)
	if e != 0 {
		return 0, e
	}
	regs := c.Regs
	regs.AX, regs.DX = uint64(uint32(r)), uint64(uint32(w))
	regs.Flags &^= 1
	c.SetRegs(&regs, false)
	return regs.AX, 0
}
