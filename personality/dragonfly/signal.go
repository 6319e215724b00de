package dragonfly

import (
	"hythe/abi"
	"hythe/personality/bsd"
	"hythe/personality/image"
	"hythe/server/unix/core"
)

// Layout of struct sigframe (x86_64/include/sigframe.h): number, siginfo, context, address,
// the handler, ucontext_t on 64 bytes, siginfo_t. Offsets from the frame.
const (
	frSignal  = 0
	frPInfo   = 8
	frPUc     = 16
	frAddr    = 24
	frHandler = 32
	frContext = 64
	frInfo    = frContext + ucSize
	frSize    = frInfo + infoSize

	// ucontext_t (sys/ucontext.h): the mask, mcontext_t on 64 bytes, link, stack_t.
	ucMask    = 0
	ucMcontex = 64
	ucStack   = ucMcontex + mcSize + 8
	ucSize    = 1408
	infoSize  = bsd.FreeBSDInfoSize

	// mcontext_t (x86_64/include/ucontext.h), from its start.
	mcOnstack  = 0
	mcTrapno   = 136
	mcAddr     = 144
	mcErr      = 160
	mcRip      = 168
	mcCS       = 176
	mcRflags   = 184
	mcRsp      = 192
	mcSS       = 200
	mcLen      = 208
	mcFpformat = 212
	mcOwnedfp  = 216
	mcUnused   = 224 // where the whole vector state lies, in our frames
	mcFpstate  = 256
	mcSize     = 1280

	fpXMM           = 0x10002 // mc_fpformat
	ownNone, ownFPU = 0x20000, 0x20001
	userCS, userSS  = 0x43, 0x3b
	redZone         = 128
	// fixFlags are the bits that a program may set for itself.
	fixFlags = 0x50dd5
	// fpLegacy is the part of the vector state that FXSAVE stores; its last
	// fpReserved bytes say what is behind it.
	fpLegacy, fpReserved = 512, 48
)

// signals are the system's signals: that of the thread library and of checkpoints, and
// real-time ones up to SIGRTMAX.
var signals = bsd.NewSignals(35, 126, map[int32]string{32: "SIGTHR", 33: "SIGCKPT"}, code)

// code is the system's si_code: those of faults and of SIGCHLD are the same but for the
// first two of SIGFPE.
func code(s *core.SigInfo) int32 {
	if s.Sig == core.SIGFPE && (s.Code == 1 || s.Code == 2) {
		return 3 - s.Code
	}
	switch s.Code {
	case core.SiUser, core.SiKernel, core.SiTkill:
		return 0
	case core.SiQueue:
		return -1
	case core.SiTimer:
		return -2
	case core.SiAsync:
		return -3
	case core.SiMesgq:
		return -4
	}
	return s.Code
}

func putInfo(b []byte, s *core.SigInfo) { bsd.PutFreeBSDInfo(signals, b, s) }

// deliver builds the system's frame (sendsig of pc64/x86_64/machdep.c).
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
	frame := (fp - frSize) &^ 63
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
	if c.Kind == abi.KindFault {
		le.PutUint64(mc[mcTrapno:], uint64(bsd.FreeBSDTrap(regs.TrapNo)))
		le.PutUint64(mc[mcErr:], regs.Err)
		le.PutUint64(mc[mcAddr:], s.Addr)
	}
	le.PutUint64(mc[mcRip:], regs.IP)
	le.PutUint64(mc[mcCS:], userCS)
	le.PutUint64(mc[mcRflags:], regs.Flags)
	le.PutUint64(mc[mcRsp:], regs.SP)
	le.PutUint64(mc[mcSS:], userSS)
	le.PutUint32(mc[mcLen:], mcSize)
	le.PutUint32(mc[mcFpformat:], fpXMM)
	le.PutUint32(mc[mcOwnedfp:], ownFPU)
	// The state as the host stores it lies above the frame, and its legacy part is shown
	// in the context too.
	le.PutUint64(mc[mcUnused:], fp)
	putInfo(b[frInfo:], s)
	n := *regs
	n.DI, n.SI, n.DX, n.CX = uint64(signals.Native(s.Sig)), frame+frInfo, frame+frContext, s.Addr
	if act.Flags&core.SaSigInfo == 0 {
		n.SI = uint64(int64(signals.Code(s)))
	}
	for i, v := range []uint64{n.DI, n.SI, n.DX, n.CX} {
		le.PutUint64(b[frSignal+8*i:], v)
	}
	c.Act(abi.ActSaveFP, 0, fp, fpSize)
	c.CopyOut(frame, b[:])
	c.Act(abi.ActSaveFP, 0, frame+frContext+ucMcontex+mcFpstate, fpLegacy)
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
	if le.Uint32(mc[mcLen:]) != mcSize {
		return 0, abi.EINVAL
	}
	r := abi.Regs{}
	for i, v := range bsd.FreeBSDRegs(&r) {
		*v = le.Uint64(mc[8+8*i:])
	}
	r.IP, r.SP = le.Uint64(mc[mcRip:]), le.Uint64(mc[mcRsp:])
	r.Flags = le.Uint64(mc[mcRflags:])&fixFlags | 0x202
	c.MutThread().HasSaved = 0
	c.SetSigMask(signals.GetSet(uc[ucMask:]))
	state := le.Uint64(mc[mcUnused:])
	switch {
	case le.Uint32(mc[mcOwnedfp:]) == ownNone:
		c.Act(abi.ActLoadFP, 0, 0)
	case state != 0:
		// What the handler has changed in the context counts; the host's own words
		// in the legacy part stay.
		c.CopyOut(state, mc[mcFpstate:mcFpstate+fpLegacy-fpReserved])
		c.Act(abi.ActLoadFP, 0, state)
	default:
		c.Act(abi.ActLoadFP, 0, c.Args[0]+ucMcontex+mcFpstate)
	}
	c.SetRegs(&r, false)
	return 0, 0
}
