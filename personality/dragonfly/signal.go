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
	infoSize  = 80

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

// registers of mcontext_t from offset 8 on, a word each.
func general(r *abi.Regs) [15]*uint64 {
	return [15]*uint64{&r.DI, &r.SI, &r.DX, &r.CX, &r.R8, &r.R9, &r.AX, &r.BX, &r.BP, &r.R10, &r.R11, &r.R12, &r.R13, &r.R14, &r.R15}
}

// trapNumber is the system's number of a hardware exception (amd64/include/trap.h) by
// the processor's.
func trapNumber(n uint64) uint32 {
	switch n {
	case 0:
		return 18 // T_DIVIDE
	case 1:
		return 10 // T_TRCTRAP
	case 3:
		return 3 // T_BPTFLT
	case 6:
		return 1 // T_PRIVINFLT
	case 13:
		return 9 // T_PROTFLT
	case 14:
		return 12 // T_PAGEFLT
	case 16, 19:
		return 29 // T_XMMFLT
	case 17:
		return 14 // T_ALIGNFLT
	}
	return 28 // T_RESERVED
}

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

// putInfo encodes siginfo_t (sys/signal.h): signo, errno, code, pid, uid, status, the
// address at 24, the value at 32, what is the signal's own from 40 on.
func putInfo(b []byte, s *core.SigInfo) {
	clear(b[:infoSize])
	le.PutUint32(b, uint32(signals.Native(s.Sig)))
	le.PutUint32(b[4:], uint32(s.Errno))
	le.PutUint32(b[8:], uint32(signals.Code(s)))
	switch {
	case s.Code == core.SiTimer:
		le.PutUint64(b[32:], s.Value)
		le.PutUint32(b[40:], uint32(s.Timer))
		le.PutUint32(b[44:], uint32(s.Overrun))
	case s.Code > 0 && s.Sig == core.SIGCHLD:
		le.PutUint32(b[12:], uint32(s.Pid))
		le.PutUint32(b[16:], s.UID)
		status := s.Status
		if s.Code != core.CldExited {
			status = signals.Native(status)
		}
		le.PutUint32(b[20:], uint32(status))
	case s.Code > 0 && (s.Sig == core.SIGSEGV || s.Sig == core.SIGBUS || s.Sig == core.SIGILL || s.Sig == core.SIGFPE || s.Sig == core.SIGTRAP):
		le.PutUint64(b[24:], s.Addr)
		le.PutUint32(b[40:], trapNumber(uint64(s.TrapNo)))
	default:
		le.PutUint32(b[12:], uint32(s.Pid))
		le.PutUint32(b[16:], s.UID)
		le.PutUint64(b[32:], s.Value)
	}
}

// fault turns an exception of the host into a signal: what Linux calls a segmentation
// fault without an address is a protection fault, for DragonFly a bus error.
func fault(c *core.Call) core.SigInfo {
	sig := int32(c.Nr)
	if sig < 1 || sig > 31 {
		sig = core.SIGSEGV
	}
	s := core.SigInfo{Sig: sig, Code: int32(c.Args[0]), Addr: c.Args[1], TrapNo: int32(c.Args[2])}
	if sig == core.SIGSEGV && s.Code == core.SiKernel {
		const objerr = 3
		s.Sig, s.Code, s.Addr = core.SIGBUS, objerr, c.Regs.IP
	}
	return s
}

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
	for i, v := range general(regs) {
		le.PutUint64(mc[8+8*i:], *v)
	}
	if c.Kind == abi.KindFault {
		le.PutUint64(mc[mcTrapno:], uint64(trapNumber(regs.TrapNo)))
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
	n.IP, n.SP = codePage, frame
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
	for i, v := range general(&r) {
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
