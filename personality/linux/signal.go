package linux

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/personality/image"
	"hythe/server/unix/core"
)

// Layout of struct rt_sigframe (arch/x86/include/asm/sigframe.h) and of the
// ucontext and sigcontext in it (include/uapi/asm/sigcontext.h).
const (
	frPretcode = 0
	frUcFlags  = 8
	frUcLink   = 16
	frStack    = 24 // stack_t: sp 8, flags 4, pad 4, size 8
	frContext  = 48 // sigcontext: 23 words in the order of abi.Regs
	frFpstate  = frContext + 184
	frSigmask  = frContext + 256
	frInfo     = frSigmask + 8
	frSize     = frInfo + 128

	ucFlags    = 1 | 2 | 4 // FP_XSTATE, SIGCONTEXT_SS, STRICT_RESTORE_SS
	redZone    = 128
	userCsGsFs = 0x002b_0000_0000_0033
	// fixFlags are the bits that a program may set for itself.
	fixFlags = 0x50dd5
)

// encodeSiginfo is siginfo_t (asm-generic/siginfo.h).
func encodeSiginfo(b []byte, s *core.SigInfo) {
	le := binary.LittleEndian
	clear(b[:128])
	le.PutUint32(b, uint32(s.Sig))
	le.PutUint32(b[4:], uint32(s.Errno))
	le.PutUint32(b[8:], uint32(s.Code))
	switch {
	case s.Code == core.SiTimer:
		le.PutUint32(b[16:], uint32(s.Timer))
		le.PutUint32(b[20:], uint32(s.Overrun))
		le.PutUint64(b[24:], s.Value)
	case s.Code > 0 && s.Sig == core.SIGCHLD:
		le.PutUint32(b[16:], uint32(s.Pid))
		le.PutUint32(b[20:], s.UID)
		le.PutUint32(b[24:], uint32(s.Status))
		le.PutUint64(b[32:], uint64(s.UTime))
		le.PutUint64(b[40:], uint64(s.STime))
	case s.Code > 0 && s.Sig == core.SIGSYS:
		le.PutUint64(b[16:], s.Addr)
		le.PutUint32(b[24:], uint32(s.Status))
		le.PutUint32(b[28:], 0xc000003e)
	case s.Code > 0 && (s.Sig == core.SIGSEGV || s.Sig == core.SIGBUS || s.Sig == core.SIGILL || s.Sig == core.SIGFPE || s.Sig == core.SIGTRAP):
		le.PutUint64(b[16:], s.Addr)
	case s.Code == core.SiSigio, s.Code > 0 && s.Code <= 6: // POLL_IN to POLL_HUP
		le.PutUint64(b[16:], uint64(s.Band))
		le.PutUint32(b[24:], uint32(s.Fd))
	default:
		le.PutUint32(b[16:], uint32(s.Pid))
		le.PutUint32(b[20:], s.UID)
		le.PutUint64(b[24:], s.Value)
	}
}

// decodeSiginfo is the reverse for what a program may send.
func decodeSiginfo(b []byte, sig int32) core.SigInfo {
	le := binary.LittleEndian
	return core.SigInfo{
		Sig: sig, Errno: int32(le.Uint32(b[4:])), Code: int32(le.Uint32(b[8:])),
		Pid: int32(le.Uint32(b[16:])), UID: le.Uint32(b[20:]), Value: le.Uint64(b[24:]),
		Timer: int32(le.Uint32(b[16:])), Overrun: int32(le.Uint32(b[20:])),
	}
}

func putContext(b []byte, r *abi.Regs) {
	w := [23]uint64{r.R8, r.R9, r.R10, r.R11, r.R12, r.R13, r.R14, r.R15, r.DI, r.SI, r.BP, r.BX, r.DX, r.AX, r.CX, r.SP,
		r.IP, r.Flags, r.CsGsFs, r.Err, r.TrapNo, r.OldMask, r.CR2}
	for i, v := range w {
		binary.LittleEndian.PutUint64(b[8*i:], v)
	}
}

func getContext(b []byte) abi.Regs {
	var w [23]uint64
	for i := range w {
		w[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return abi.Regs{R8: w[0], R9: w[1], R10: w[2], R11: w[3], R12: w[4], R13: w[5], R14: w[6], R15: w[7],
		DI: w[8], SI: w[9], BP: w[10], BX: w[11], DX: w[12], AX: w[13], CX: w[14], SP: w[15],
		IP: w[16], Flags: w[17]&fixFlags | 0x202, CsGsFs: userCsGsFs, Err: w[19], TrapNo: w[20], OldMask: w[21], CR2: w[22]}
}

// Fault implements core.Personality: the host is Linux too.
func (p *Personality) Fault(c *core.Call) core.SigInfo {
	sig := int32(c.Nr)
	if sig < 1 || sig > 31 {
		sig = core.SIGSEGV
	}
	return core.SigInfo{Sig: sig, Code: int32(c.Args[0]), Addr: c.Args[1]}
}

// Deliver implements core.Personality: it builds Linux's rt_sigframe.
func (p *Personality) Deliver(c *core.Call, s *core.SigInfo, act *core.SigAction, regs *abi.Regs) abi.Errno {
	if act.Flags&core.SaRestorer == 0 {
		return abi.EFAULT
	}
	th := c.Thread()
	fpSize := uint64(c.Proc().FPSize)
	if fpSize < 512 {
		fpSize = 512
	}
	le := binary.LittleEndian
	sp := regs.SP - redZone
	on := th.OnAltStack(regs.SP)
	alt := false
	if act.Flags&core.SaOnStack != 0 && th.AltSize != 0 && !on {
		sp = th.AltSP + th.AltSize
		alt = true
	}
	fp := (sp - fpSize) &^ 63
	frame := (fp-frSize)&^15 - 8
	if (alt || on) && th.AltFlags&core.SsAutodisarm == 0 && (frame <= th.AltSP || frame > th.AltSP+th.AltSize) {
		return abi.EFAULT
	}
	if frame > image.UserEnd || frame < 4096 {
		return abi.EFAULT
	}
	var b [frSize]byte
	le.PutUint64(b[frPretcode:], act.Restorer)
	le.PutUint64(b[frUcFlags:], ucFlags)
	le.PutUint64(b[frStack:], th.AltSP)
	le.PutUint32(b[frStack+8:], altFlags(th, regs.SP))
	le.PutUint64(b[frStack+16:], th.AltSize)
	r := *regs
	if r.CsGsFs == 0 {
		r.CsGsFs = userCsGsFs
	}
	mask := c.FrameMask()
	r.OldMask = uint64(mask)
	putContext(b[frContext:], &r)
	le.PutUint64(b[frFpstate:], fp)
	le.PutUint64(b[frSigmask:], uint64(mask))
	encodeSiginfo(b[frInfo:], s)
	if th.AltFlags&core.SsAutodisarm != 0 && th.AltSize != 0 {
		m := c.MutThread()
		m.AltSP, m.AltSize, m.AltFlags = 0, 0, core.SsDisable
	}
	c.Act(abi.ActSaveFP, 0, fp, fpSize)
	c.CopyOut(frame, b[:])
	n := *regs
	n.DI, n.SI, n.DX = uint64(s.Sig), frame+frInfo, frame+frUcFlags
	n.AX = 0
	n.IP, n.SP = act.Handler, frame
	n.Flags &^= 0x400 | 0x100 | 0x10000
	c.SetRegs(&n, false)
	return 0
}

func altFlags(t *core.Thread, sp uint64) uint32 {
	f := t.AltFlags & core.SsAutodisarm
	switch {
	case t.AltSize == 0:
		return f | core.SsDisable
	case t.OnAltStack(sp):
		return f | core.SsOnStack
	}
	return f
}

func sysRtSigreturn(p *Personality, c *core.Call) (uint64, abi.Errno) {
	b, e := c.CopyIn(c.Regs.SP-8, frInfo)
	if e != 0 {
		c.ForceSignal(&core.SigInfo{Sig: core.SIGSEGV, Code: core.SiKernel})
		c.Flags |= abi.ReplyKeepRegs
		return 0, 0
	}
	le := binary.LittleEndian
	regs := getContext(b[frContext:])
	mask := core.SigSet(le.Uint64(b[frSigmask:]))
	fp := le.Uint64(b[frFpstate:])
	sp, fl, size := le.Uint64(b[frStack:]), le.Uint32(b[frStack+8:]), le.Uint64(b[frStack+16:])
	c.MutThread().HasSaved = 0
	c.SetSigMask(mask)
	setAltStack(c, sp, fl, size, regs.SP)
	c.Act(abi.ActLoadFP, 0, fp)
	c.SetRegs(&regs, false)
	return 0, 0
}

// setAltStack is do_sigaltstack; sp is the stack pointer that counts.
func setAltStack(c *core.Call, base uint64, flags uint32, size, sp uint64) abi.Errno {
	th := c.Thread()
	if th.OnAltStack(sp) {
		return abi.EPERM
	}
	mode := flags &^ core.SsAutodisarm
	if mode != 0 && mode != core.SsOnStack && mode != core.SsDisable {
		return abi.EINVAL
	}
	if mode == core.SsDisable {
		base, size = 0, 0
	} else if size < 2048 {
		return abi.ENOMEM
	}
	if th.AltSP == base && th.AltSize == size && th.AltFlags == flags {
		return 0
	}
	m := c.MutThread()
	m.AltSP, m.AltSize, m.AltFlags = base, size, flags&core.SsAutodisarm
	return 0
}

func sysSigaltstack(p *Personality, c *core.Call) (uint64, abi.Errno) {
	le := binary.LittleEndian
	var in []byte
	if c.Args[0] != 0 {
		b, e := c.StructArg(0, 24)
		if e != 0 {
			return 0, e
		}
		in = b
	}
	th := c.Thread()
	var out [24]byte
	le.PutUint64(out[:], th.AltSP)
	le.PutUint32(out[8:], altFlags(th, c.Regs.SP))
	le.PutUint64(out[16:], th.AltSize)
	if in != nil {
		if e := setAltStack(c, le.Uint64(in), le.Uint32(in[8:]), le.Uint64(in[16:]), c.Regs.SP); e != 0 {
			return 0, e
		}
	}
	if c.Args[1] != 0 {
		c.CopyOut(c.Args[1], out[:])
	}
	return 0, 0
}

// sysRtSigaction: struct sigaction is handler, flags, restorer, mask, 8 bytes
// each (asm/signal.h).
func sysRtSigaction(p *Personality, c *core.Call) (uint64, abi.Errno) {
	le := binary.LittleEndian
	if c.Args[3] != 8 {
		return 0, abi.EINVAL
	}
	var act *core.SigAction
	if c.Args[1] != 0 {
		b, e := c.StructArg(1, 32)
		if e != 0 {
			return 0, e
		}
		act = &core.SigAction{Handler: le.Uint64(b), Flags: le.Uint64(b[8:]), Restorer: le.Uint64(b[16:]), Mask: core.SigSet(le.Uint64(b[24:]))}
	}
	old, e := c.SetAction(int32(c.Args[0]), act)
	if e != 0 {
		return 0, e
	}
	if c.Args[2] != 0 {
		var b [32]byte
		le.PutUint64(b[:], old.Handler)
		le.PutUint64(b[8:], old.Flags)
		le.PutUint64(b[16:], old.Restorer)
		le.PutUint64(b[24:], uint64(old.Mask))
		c.CopyOut(c.Args[2], b[:])
	}
	return 0, 0
}

func sysRtSigprocmask(p *Personality, c *core.Call) (uint64, abi.Errno) {
	if c.Args[3] != 8 {
		return 0, abi.EINVAL
	}
	c.TellMask()
	old := c.Thread().Mask
	if c.Args[1] != 0 {
		b, e := c.StructArg(1, 8)
		if e != 0 {
			return 0, e
		}
		set := core.SigSet(binary.LittleEndian.Uint64(b))
		switch int32(c.Args[0]) {
		case 0:
			set |= old
		case 1:
			set = old &^ set
		case 2:
		default:
			return 0, abi.EINVAL
		}
		c.SetSigMask(set)
	}
	if c.Args[2] != 0 {
		c.CopyOut64(c.Args[2], uint64(old))
	}
	return 0, 0
}

func sysRtSigpending(p *Personality, c *core.Call) (uint64, abi.Errno) {
	n := c.Args[1]
	if n > 8 {
		return 0, abi.EINVAL
	}
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(c.K.PendingSignals(c.T)&c.Thread().Mask))
	c.CopyOut(c.Args[0], b[:n])
	return 0, 0
}

func sysRtSigsuspend(p *Personality, c *core.Call) (uint64, abi.Errno) {
	if c.Args[1] != 8 {
		return 0, abi.EINVAL
	}
	b, e := c.StructArg(0, 8)
	if e != 0 {
		return 0, e
	}
	c.WithMask(core.SigSet(binary.LittleEndian.Uint64(b)))
	return 0, pause(c)
}

// pause sleeps until a signal arrives; it goes on sleeping when no handler ran.
func pause(c *core.Call) abi.Errno {
	for {
		if e := c.Sleep(core.NoDeadline); e != 0 {
			return abi.ErrRestartNoHnd
		}
	}
}

func sysPause(p *Personality, c *core.Call) (uint64, abi.Errno) { return 0, pause(c) }

func sysRtSigtimedwait(p *Personality, c *core.Call) (uint64, abi.Errno) {
	if c.Args[3] != 8 {
		return 0, abi.EINVAL
	}
	b, e := c.StructArg(0, 8)
	if e != 0 {
		return 0, e
	}
	set := core.SigSet(binary.LittleEndian.Uint64(b))
	deadline := int64(core.NoDeadline)
	if c.Args[2] != 0 {
		t, e := c.StructArg(2, 16)
		if e != 0 {
			return 0, e
		}
		ns, ok := timespec(t)
		if !ok {
			return 0, abi.EINVAL
		}
		deadline = until(c, ns)
	}
	s, e := c.WaitSignal(set, deadline)
	if e != 0 {
		return 0, e
	}
	if c.Args[1] != 0 {
		var out [128]byte
		encodeSiginfo(out[:], &s)
		c.CopyOut(c.Args[1], out[:])
	}
	return uint64(s.Sig), 0
}

func goodSignal(sig int32) bool { return sig >= 0 && sig < core.NumSignals }

func sysKill(p *Personality, c *core.Call) (uint64, abi.Errno) {
	if !goodSignal(int32(c.Args[1])) {
		return 0, abi.EINVAL
	}
	return 0, c.Kill(int32(c.Args[0]), int32(c.Args[1]))
}

// killThread is tkill and tgkill; tgid 0 means any process.
func killThread(c *core.Call, tgid, tid int32, s *core.SigInfo) abi.Errno {
	k := c.K
	t := k.ThreadByTid(tid)
	if t == 0 {
		// A process that has ended but was not waited for is still there.
		if z := k.ProcByPid(tid); z != 0 && (tgid == 0 || tgid == tid) {
			return c.KillCheck(z, s.Sig)
		}
		return abi.ESRCH
	}
	pr := k.Threads.Get(t).Proc
	if tgid != 0 && k.Procs.Get(pr).Pid != tgid {
		return abi.ESRCH
	}
	if e := c.KillCheck(pr, s.Sig); e != 0 {
		return e
	}
	if s.Sig == 0 {
		return 0
	}
	return k.SendThreadSignal(t, s)
}

func sysTgkill(p *Personality, c *core.Call) (uint64, abi.Errno) {
	tgid, tid, sig := int32(c.Args[0]), int32(c.Args[1]), int32(c.Args[2])
	if tgid <= 0 || tid <= 0 || !goodSignal(sig) {
		return 0, abi.EINVAL
	}
	s := c.UserInfo(sig, core.SiTkill)
	return 0, killThread(c, tgid, tid, &s)
}

func sysTkill(p *Personality, c *core.Call) (uint64, abi.Errno) {
	tid, sig := int32(c.Args[0]), int32(c.Args[1])
	if tid <= 0 || !goodSignal(sig) {
		return 0, abi.EINVAL
	}
	s := c.UserInfo(sig, core.SiTkill)
	return 0, killThread(c, 0, tid, &s)
}

// userSiginfo fetches what rt_sigqueueinfo and its like send to pid.
func userSiginfo(c *core.Call, arg int, sig, pid int32) (core.SigInfo, abi.Errno) {
	b, e := c.StructArg(arg, 128)
	if e != 0 {
		return core.SigInfo{}, e
	}
	if !goodSignal(sig) {
		return core.SigInfo{}, abi.EINVAL
	}
	s := decodeSiginfo(b, sig)
	s.UID, _ = c.MapUID(s.UID)
	if (s.Code >= 0 || s.Code == core.SiTkill) && c.Proc().Pid != pid {
		return core.SigInfo{}, abi.EPERM
	}
	return s, 0
}

func sysRtSigqueueinfo(p *Personality, c *core.Call) (uint64, abi.Errno) {
	pid, sig := int32(c.Args[0]), int32(c.Args[1])
	s, e := userSiginfo(c, 2, sig, pid)
	if e != 0 {
		return 0, e
	}
	pr := c.K.ProcByPid(pid)
	if pr == 0 {
		if t := c.K.ThreadByTid(pid); t != 0 {
			pr = c.K.Threads.Get(t).Proc
		}
	}
	if pr == 0 {
		return 0, abi.ESRCH
	}
	if e := c.KillCheck(pr, sig); e != 0 || sig == 0 {
		return 0, e
	}
	return 0, c.K.SendSignal(pr, &s)
}

func sysRtTgsigqueueinfo(p *Personality, c *core.Call) (uint64, abi.Errno) {
	tgid, tid, sig := int32(c.Args[0]), int32(c.Args[1]), int32(c.Args[2])
	if tgid <= 0 || tid <= 0 {
		return 0, abi.EINVAL
	}
	s, e := userSiginfo(c, 3, sig, tid)
	if e != 0 {
		return 0, e
	}
	return 0, killThread(c, tgid, tid, &s)
}

func sysPidfdSendSignal(p *Personality, c *core.Call) (uint64, abi.Errno) {
	sig := int32(c.Args[1])
	if c.Args[3] != 0 {
		return 0, abi.EINVAL
	}
	_, pid, e := c.SignalFDProc(int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	s := c.UserInfo(sig, core.SiUser)
	if c.Args[2] != 0 {
		if s, e = userSiginfo(c, 2, sig, pid); e != 0 {
			return 0, e
		}
	}
	if !goodSignal(sig) {
		return 0, abi.EINVAL
	}
	// The copy may have given up the lock.
	pr, _, e := c.SignalFDProc(int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	if pr == 0 {
		return 0, abi.ESRCH
	}
	if e := c.KillCheck(pr, sig); e != 0 || sig == 0 {
		return 0, e
	}
	return 0, c.K.SendSignal(pr, &s)
}

func signalCalls() []Entry {
	set := abi.Pre{Kind: abi.PreFixed, Arg: 1, Size: 8}
	return []Entry{
		{Nr: 13, Name: "rt_sigaction", Fn: sysRtSigaction, Local: abi.LocalSigAction, Sig: "GnNu", Pre: []abi.Pre{{Kind: abi.PreFixed, Arg: 1, Size: 32}}},
		{Nr: 14, Name: "rt_sigprocmask", Fn: sysRtSigprocmask, Local: abi.LocalSigMask, Sig: "hkKu", Pre: []abi.Pre{set}},
		{Nr: 15, Name: "rt_sigreturn", Fn: sysRtSigreturn},
		{Nr: 34, Name: "pause", Fn: sysPause},
		{Nr: 62, Name: "kill", Fn: sysKill, Sig: "iG"},
		{Nr: 127, Name: "rt_sigpending", Fn: sysRtSigpending, Sig: "Ku"},
		{Nr: 128, Name: "rt_sigtimedwait", Fn: sysRtSigtimedwait, Sig: "kptu",
			Pre: []abi.Pre{{Kind: abi.PreFixed, Arg: 0, Size: 8}, {Kind: abi.PreFixed, Arg: 2, Size: 16}}},
		{Nr: 129, Name: "rt_sigqueueinfo", Fn: sysRtSigqueueinfo, Sig: "iGp"},
		{Nr: 130, Name: "rt_sigsuspend", Fn: sysRtSigsuspend, Sig: "ku", Pre: []abi.Pre{{Kind: abi.PreFixed, Arg: 0, Size: 8}}},
		{Nr: 131, Name: "sigaltstack", Fn: sysSigaltstack, Sig: "pp", Pre: []abi.Pre{{Kind: abi.PreFixed, Arg: 0, Size: 24}}},
		{Nr: 200, Name: "tkill", Fn: sysTkill, Sig: "iG"},
		{Nr: 234, Name: "tgkill", Fn: sysTgkill, Sig: "iiG"},
		{Nr: 297, Name: "rt_tgsigqueueinfo", Fn: sysRtTgsigqueueinfo, Sig: "iiGp"},
		{Nr: 424, Name: "pidfd_send_signal", Fn: sysPidfdSendSignal, Sig: "fGpx"},
	}
}
