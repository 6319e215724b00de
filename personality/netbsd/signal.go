package netbsd

import (
	"hythe/abi"
	"hythe/personality/bsd"
	"hythe/personality/image"
	"hythe/server/unix/core"
)

// Layout of struct sigframe_siginfo (amd64/include/frame.h): where the handler returns
// to, siginfo_t, ucontext_t, whose last part is the vector state. Offsets from the frame.
const (
	frReturn  = 0
	frInfo    = 8
	frContext = frInfo + infoSize
	frSize    = frContext + ucSize

	// ucontext_t (sys/ucontext.h): flags, link, mask, stack_t, mcontext_t.
	ucFlags    = 0
	ucMask     = 16
	ucStack    = 32
	ucMcontext = 56
	ucSize     = ucMcontext + mcSize
	infoSize   = 128

	// mcontext_t (amd64/include/mcontext.h), from its start: 26 registers, the thread
	// pointer, the vector state.
	mcTLS   = 26 * 8
	mcFP    = mcTLS + 8
	mcSize  = mcFP + fpSize
	fpSize  = 512
	mcGS    = 15 * 8
	mcTrap  = 19 * 8
	mcErr   = 20 * 8
	mcIP    = 21 * 8
	mcCS    = 22 * 8
	mcFlags = 23 * 8
	mcSP    = 24 * 8
	mcSS    = 25 * 8

	// uc_flags
	hasSigmask, hasStack, hasCPU, hasFPU = 1, 2, 4, 8
	setStack, clearStack, hasTLS         = 0x10000, 0x20000, 0x80000

	userCS, userSS, userDS = 0x47, 0x3f, 0x3f
	redZone                = 128
	// flagBits are the flags that a program may set for itself (PSL_USER).
	flagBits = 0x244dd5
)

// general are the registers of mcontext_t from its start, a word each.
func general(r *abi.Regs) [15]*uint64 {
	return [15]*uint64{&r.DI, &r.SI, &r.DX, &r.CX, &r.R8, &r.R9, &r.R10, &r.R11, &r.R12, &r.R13, &r.R14, &r.R15, &r.BP, &r.BX, &r.AX}
}

// trapNumber is the system's number of a hardware exception (x86/include/trap.h) by the
// processor's.
func trapNumber(n uint64) uint64 {
	switch n {
	case 0:
		return 8 // T_DIVIDE
	case 1:
		return 5 // T_TRCTRAP
	case 3:
		return 1 // T_BPTFLT
	case 6:
		return 0 // T_PRIVINFLT
	case 13:
		return 4 // T_PROTFLT
	case 14:
		return 6 // T_PAGEFLT
	case 16:
		return 13 // T_ARITHTRAP
	case 17:
		return 7 // T_ALIGNFLT
	case 19:
		return 22 // T_XMM
	}
	return 19 // T_RESERVED
}

// signals are the system's signals: SIGPWR, and real-time ones.
var signals = bsd.NewSignals(33, 63, map[int32]string{32: "SIGPWR"}, code)

// code is the system's si_code: those of faults and of SIGCHLD are the same.
func code(s *core.SigInfo) int32 {
	switch s.Code {
	case core.SiUser:
		return 0
	case core.SiQueue:
		return -1
	case core.SiTimer:
		return -2
	case core.SiAsync:
		return -3
	case core.SiMesgq:
		return -4
	case core.SiTkill:
		return -5
	case core.SiKernel:
		return 32767 // SI_NOINFO
	}
	return s.Code
}

// putInfo encodes siginfo_t (sys/siginfo.h): signo, code, errno, and at 16 what the signal
// has: the sender and a value; a child, its status and times; an address and the trap.
func putInfo(b []byte, s *core.SigInfo) {
	clear(b[:infoSize])
	le.PutUint32(b, uint32(signals.Native(s.Sig)))
	le.PutUint32(b[4:], uint32(code(s)))
	le.PutUint32(b[8:], uint32(s.Errno))
	switch {
	case s.Code > 0 && s.Sig == core.SIGCHLD:
		le.PutUint32(b[16:], uint32(s.Pid))
		le.PutUint32(b[20:], s.UID)
		status := s.Status
		if s.Code != core.CldExited {
			status = signals.Native(status)
		}
		le.PutUint32(b[24:], uint32(status))
	case s.Code > 0 && (s.Sig == core.SIGSEGV || s.Sig == core.SIGBUS || s.Sig == core.SIGILL || s.Sig == core.SIGFPE || s.Sig == core.SIGTRAP):
		le.PutUint64(b[16:], s.Addr)
		le.PutUint32(b[24:], uint32(trapNumber(uint64(s.TrapNo))))
	default:
		le.PutUint32(b[16:], uint32(s.Pid))
		le.PutUint32(b[20:], s.UID)
		le.PutUint64(b[24:], s.Value)
	}
}

// putContext encodes mcontext_t but for the vector state.
func putContext(mc []byte, r *abi.Regs) {
	for i, v := range general(r) {
		le.PutUint64(mc[8*i:], *v)
	}
	for i, v := range []uint64{0, 0, userDS, userDS} { // GS FS ES DS
		le.PutUint64(mc[mcGS+8*i:], v)
	}
	le.PutUint64(mc[mcIP:], r.IP)
	le.PutUint64(mc[mcCS:], userCS)
	le.PutUint64(mc[mcFlags:], r.Flags)
	le.PutUint64(mc[mcSP:], r.SP)
	le.PutUint64(mc[mcSS:], userSS)
	le.PutUint64(mc[mcTLS:], r.FSBase)
}

// deliver builds the system's frame (sendsig_siginfo of amd64/amd64/machdep.c). What the
// processor has beyond the vector state that the frame shows follows it.
func deliver(c *core.Call, s *core.SigInfo, act *core.SigAction, regs *abi.Regs) abi.Errno {
	th := c.Thread()
	state := max(uint64(c.Proc().FPSize), fpSize)
	sp := regs.SP - redZone
	on := th.OnAltStack(regs.SP)
	alt := act.Flags&core.SaOnStack != 0 && th.AltSize != 0 && !on
	if alt {
		sp = th.AltSP + th.AltSize
	}
	size := frSize - fpSize + state
	frame := (sp-size)&^15 - 8
	if (alt || on) && (frame < th.AltSP || frame > th.AltSP+th.AltSize) || frame > image.UserEnd || frame < abi.PageSize {
		return abi.EFAULT
	}
	var b [frSize - fpSize]byte
	le.PutUint64(b[frReturn:], act.Restorer)
	putInfo(b[frInfo:], s)
	uc := b[frContext:]
	flags := uint32(hasSigmask | hasCPU | hasFPU | clearStack)
	if on {
		flags = hasSigmask | hasCPU | hasFPU | setStack
	}
	if regs.FSBase != 0 {
		flags |= hasTLS
	}
	le.PutUint32(uc[ucFlags:], flags)
	signals.PutSet(uc[ucMask:], c.FrameMask())
	bsd.PutAltStack(uc[ucStack:], th, regs.SP)
	mc := uc[ucMcontext:]
	putContext(mc, regs)
	if c.Kind == abi.KindFault {
		le.PutUint64(mc[mcTrap:], trapNumber(regs.TrapNo))
		le.PutUint64(mc[mcErr:], regs.Err)
	}
	c.CopyOut(frame, b[:])
	c.Act(abi.ActSaveFP, 0, frame+frSize-fpSize, state)
	n := *regs
	n.DI, n.SI, n.DX = uint64(signals.Native(s.Sig)), frame+frInfo, frame+frContext
	n.R15 = n.DX
	n.IP, n.SP = act.Handler, frame
	n.Flags &^= 0x400 | 0x100 | 0x10000
	c.SetRegs(&n, false)
	return 0
}

// sysGetcontext serves getcontext(2).
func sysGetcontext(_ *bsd.Personality, c *core.Call) (uint64, abi.Errno) {
	var b [ucSize - fpSize]byte
	th := c.Thread()
	flags := uint32(hasSigmask | hasStack | hasCPU | hasFPU | clearStack)
	if th.OnAltStack(c.Regs.SP) {
		flags = hasSigmask | hasStack | hasCPU | hasFPU | setStack
	}
	if c.Regs.FSBase != 0 {
		flags |= hasTLS
	}
	le.PutUint32(b[ucFlags:], flags)
	signals.PutSet(b[ucMask:], th.Mask)
	bsd.PutAltStack(b[ucStack:], th, c.Regs.SP)
	r := c.Regs
	r.AX = 0
	r.Flags &^= 1
	putContext(b[ucMcontext:], &r)
	at := c.Args[0]
	c.CopyOut(at, b[:])
	c.Act(abi.ActSaveFP, 0, at+ucSize-fpSize, fpSize)
	return 0, 0
}

// context decodes ucontext_t: the registers and flags. EINVAL.
func context(b []byte, r *abi.Regs) (flags uint32, e abi.Errno) {
	flags = le.Uint32(b[ucFlags:])
	mc := b[ucMcontext:]
	for i, v := range general(r) {
		*v = le.Uint64(mc[8*i:])
	}
	r.IP, r.SP = le.Uint64(mc[mcIP:]), le.Uint64(mc[mcSP:])
	if flags&hasCPU != 0 && r.IP >= image.UserEnd {
		return 0, abi.EINVAL
	}
	r.Flags = le.Uint64(mc[mcFlags:])&flagBits | 0x202
	r.FSBase = le.Uint64(mc[mcTLS:])
	if flags&hasTLS != 0 && r.FSBase >= image.UserEnd {
		return 0, abi.EINVAL
	}
	return flags, 0
}

// sysSetcontext serves setcontext(2), by which handlers come back: what the context's
// flags say comes from it. Without one the thread ends.
func sysSetcontext(_ *bsd.Personality, c *core.Call) (uint64, abi.Errno) {
	at := c.Args[0]
	if at == 0 {
		return sysLwpExit(nil, c)
	}
	b, e := c.StructArg(0, ucSize-fpSize)
	if e != 0 {
		return 0, e
	}
	r := abi.Regs{}
	uc := append([]byte(nil), b...)
	flags, e := context(uc, &r)
	if e != 0 {
		return 0, e
	}
	if flags&hasSigmask != 0 {
		c.MutThread().HasSaved = 0
		c.SetSigMask(signals.GetSet(uc[ucMask:]))
	}
	if flags&hasFPU != 0 {
		c.Act(abi.ActLoadFP, 0, at+ucSize-fpSize)
	}
	fs := flags&hasTLS != 0 && r.FSBase != c.Regs.FSBase
	if flags&hasCPU == 0 {
		base := r.FSBase
		r = c.Regs
		r.AX = 0
		r.Flags &^= 1
		r.FSBase = base
	}
	c.SetRegs(&r, fs)
	return 0, 0
}
