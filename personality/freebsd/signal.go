package freebsd

import (
	"hythe/abi"
	"hythe/personality/bsd"
	"hythe/personality/image"
	"hythe/server/unix/core"
)

// Layout of struct sigframe (amd64/include/sigframe.h): the handler, ucontext_t on 16
// bytes, siginfo_t. Offsets from the frame.
const (
	frHandler = 0
	frContext = 16
	frInfo    = frContext + ucSize
	frSize    = frInfo + infoSize

	// ucontext_t (sys/_ucontext.h): the mask, mcontext_t, link, stack_t, flags.
	ucMask    = 0
	ucMcontex = 16
	ucStack   = ucMcontex + 800 + 8
	ucSize    = 880
	infoSize  = bsd.FreeBSDInfoSize

	// mcontext_t (amd64/include/ucontext.h), from its start.
	mcOnstack  = 0
	mcTrapno   = 128
	mcAddr     = 136
	mcFlags    = 144
	mcErr      = 152
	mcRip      = 160
	mcCS       = 168
	mcRflags   = 176
	mcRsp      = 184
	mcSS       = 192
	mcLen      = 200
	mcFpformat = 208
	mcOwnedfp  = 216
	mcFpstate  = 224
	mcFsbase   = 736
	mcXfpu     = 752
	mcXfpuLen  = 760
	mcSize     = 800

	hasSegs, hasBases, hasXState = 1, 2, 4 // mc_flags
	fpXMM                        = 0x10002 // mc_fpformat
	ownNone, ownFPU              = 0x20000, 0x20001
	userCS, userSS               = 0x43, 0x3b
	redZone                      = 128
	// fixFlags are the bits that a program may set for itself.
	fixFlags = 0x50dd5
	// fpLegacy is the part of the vector state that FXSAVE stores; its last
	// fpReserved bytes say what is behind it.
	fpLegacy, fpReserved = 512, 48
)

// signals are the system's signals: those of the thread library, and real-time ones up to
// SIGRTMAX.
var signals = bsd.NewSignals(65, 126, map[int32]string{32: "SIGTHR", 33: "SIGLIBRT"}, code)

// code is the system's si_code: those of faults and of SIGCHLD are the same but for the
// first two of SIGFPE.
func code(s *core.SigInfo) int32 {
	if s.Sig == core.SIGFPE && (s.Code == 1 || s.Code == 2) {
		return 3 - s.Code
	}
	const first = 0x10001 // SI_USER (sys/signal.h)
	switch s.Code {
	case core.SiUser:
		return first
	case core.SiQueue:
		return first + 1
	case core.SiTimer:
		return first + 2
	case core.SiAsync:
		return first + 3
	case core.SiMesgq:
		return first + 4
	case core.SiKernel:
		return first + 5
	case core.SiTkill:
		return first + 6
	}
	return s.Code
}

func putInfo(b []byte, s *core.SigInfo) { bsd.PutFreeBSDInfo(signals, b, s) }

// deliver builds the system's frame (sendsig of amd64/amd64/exec_machdep.c).
func deliver(c *core.Call, s *core.SigInfo, act *core.SigAction, regs *abi.Regs) abi.Errno {
	th := c.Thread()
	fpSize := max(uint64(c.Proc().FPSize), fpLegacy)
	sp := regs.SP - redZone
	on := th.OnAltStack(regs.SP)
	alt := act.Flags&core.SaOnStack != 0 && th.AltSize != 0 && !on
	if alt {
		sp = th.AltSP + th.AltSize
	}
	fp := (sp - fpSize) &^ 63
	frame := (fp - frSize) &^ 15
	if (alt || on) && (frame < th.AltSP || frame > th.AltSP+th.AltSize) || frame > image.UserEnd || frame < abi.PageSize {
		return abi.EFAULT
	}
	var b [frSize]byte
	le.PutUint64(b[frHandler:], act.Handler)
	uc := b[frContext:]
	signals.PutSet(uc[ucMask:], c.FrameMask())
	bsd.PutAltStack(uc[ucStack:], th, regs.SP)
	mc := uc[ucMcontex:]
	if on {
		le.PutUint64(mc[mcOnstack:], 1)
	}
	for i, v := range bsd.FreeBSDRegs(regs) {
		le.PutUint64(mc[8+8*i:], *v)
	}
	flags := uint32(hasXState)
	if regs.FSBase != 0 {
		flags |= hasBases
		le.PutUint64(mc[mcFsbase:], regs.FSBase)
	}
	if c.Kind == abi.KindFault {
		le.PutUint32(mc[mcTrapno:], bsd.FreeBSDTrap(regs.TrapNo))
		le.PutUint64(mc[mcErr:], regs.Err)
		le.PutUint64(mc[mcAddr:], s.Addr)
	}
	le.PutUint32(mc[mcFlags:], flags)
	le.PutUint64(mc[mcRip:], regs.IP)
	le.PutUint64(mc[mcCS:], userCS)
	le.PutUint64(mc[mcRflags:], regs.Flags)
	le.PutUint64(mc[mcRsp:], regs.SP)
	le.PutUint64(mc[mcSS:], userSS)
	le.PutUint64(mc[mcLen:], mcSize)
	le.PutUint64(mc[mcFpformat:], fpXMM)
	le.PutUint64(mc[mcOwnedfp:], ownFPU)
	// The state as the host stores it lies above the frame; what is behind its
	// legacy part is the extended state of the system's own frame, and the legacy
	// part is shown in the context too.
	le.PutUint64(mc[mcXfpu:], fp+fpLegacy)
	le.PutUint64(mc[mcXfpuLen:], fpSize-fpLegacy)
	putInfo(b[frInfo:], s)
	c.Act(abi.ActSaveFP, 0, fp, fpSize)
	c.CopyOut(frame, b[:])
	c.Act(abi.ActSaveFP, 0, frame+frContext+ucMcontex+mcFpstate, fpLegacy)
	n := *regs
	n.DI, n.SI, n.DX, n.CX = uint64(signals.Native(s.Sig)), frame+frInfo, frame+frContext, s.Addr
	if act.Flags&core.SaSigInfo == 0 {
		n.SI = uint64(int64(signals.Code(s)))
	}
	n.IP, n.SP = bsd.CodePage, frame
	n.Flags &^= 0x400 | 0x100 | 0x10000
	c.SetRegs(&n, false)
	return 0
}

// sysSigreturn serves sigreturn(2): everything comes from the context.
func sysSigreturn(_ *bsd.Personality, c *core.Call) (uint64, abi.Errno) {
	b, e := c.CopyIn(c.Args[0], ucSize)
	if e != 0 {
		return 0, e
	}
	uc := append([]byte(nil), b...)
	mc := uc[ucMcontex:]
	if le.Uint64(mc[mcLen:]) != mcSize {
		return 0, abi.EINVAL
	}
	r := abi.Regs{}
	for i, v := range bsd.FreeBSDRegs(&r) {
		*v = le.Uint64(mc[8+8*i:])
	}
	r.IP, r.SP = le.Uint64(mc[mcRip:]), le.Uint64(mc[mcRsp:])
	r.Flags = le.Uint64(mc[mcRflags:])&fixFlags | 0x202
	flags := le.Uint32(mc[mcFlags:])
	r.FSBase = le.Uint64(mc[mcFsbase:])
	setFS := flags&hasBases != 0 && r.FSBase != c.Regs.FSBase
	if setFS && r.FSBase >= image.UserEnd {
		return 0, abi.EINVAL
	}
	c.MutThread().HasSaved = 0
	c.SetSigMask(signals.GetSet(uc[ucMask:]))
	xfpu, own := le.Uint64(mc[mcXfpu:]), le.Uint64(mc[mcOwnedfp:])
	at := c.Args[0] + ucMcontex + mcFpstate
	switch {
	case own == ownNone:
		c.Act(abi.ActLoadFP, 0, 0)
	case flags&hasXState != 0 && xfpu > fpLegacy:
		// What the handler has changed in the context counts; the host's own words
		// in the legacy part stay.
		c.CopyOut(xfpu-fpLegacy, mc[mcFpstate:mcFpstate+fpLegacy-fpReserved])
		c.Act(abi.ActLoadFP, 0, xfpu-fpLegacy)
	default:
		c.Act(abi.ActLoadFP, 0, at)
	}
	c.SetRegs(&r, setFS)
	return 0, 0
}
