package plan9

import (
	"fmt"
	"strings"

	"hythe/abi"
	"hythe/personality/image"
	"hythe/server/unix/core"
)

// Notes (notify(2)) are signals that carry their words. Those that have a signal's meaning
// come and go as that signal, so that other systems' processes understand them and are
// understood; all others are this one, of which several wait.
const sigNote = core.SIGRTMIN + 2

// errMax is ERRMAX: how long a note or an error is, with its NUL; maxNotes NNOTE: how many
// wait.
const (
	errMax   = 128
	maxNotes = 5
)

// signals and their words. Of several signals with the same words a note is the first.
var signals = []struct {
	sig  int32
	text string
}{
	{core.SIGHUP, "hangup"}, {core.SIGINT, "interrupt"}, {core.SIGTERM, "interrupt"}, {core.SIGQUIT, "quit"}, {core.SIGKILL, "kill"},
	{core.SIGALRM, "alarm"}, {core.SIGABRT, "abort"}, {core.SIGPIPE, "sys: write on closed pipe"},
	{core.SIGILL, "sys: trap: invalid opcode"}, {core.SIGTRAP, "sys: breakpoint"}, {core.SIGFPE, "sys: trap: divide error"},
	{core.SIGSEGV, "sys: trap: fault"}, {core.SIGBUS, "sys: trap: bus error"}, {core.SIGSYS, "sys: bad sys call"},
	{core.SIGUSR1, "sys: usr1"}, {core.SIGUSR2, "sys: usr2"}, {core.SIGXCPU, "sys: cpu time limit exceeded"},
	{core.SIGXFSZ, "sys: file size limit exceeded"}, {core.SIGVTALRM, "sys: virtual timer"}, {core.SIGPROF, "sys: profiling timer"},
	{core.SIGSTKFLT, "sys: stack fault"}, {core.SIGPWR, "sys: power failure"},
}

// noteOf is what a signal says.
func noteOf(s *core.SigInfo) string {
	if t := s.Text.String(); t != "" {
		return t
	}
	return signalText(s.Sig)
}

func signalText(sig int32) string {
	for _, x := range signals {
		if x.sig == sig {
			return x.text
		}
	}
	return fmt.Sprintf("sys: signal %d", sig)
}

// signalOf is the signal by which a note is sent to a process, which understands words or
// does not.
func signalOf(text string, words bool) int32 {
	for _, x := range signals {
		if x.text == text {
			return x.sig
		}
	}
	if words {
		return sigNote
	}
	if strings.HasPrefix(text, "sys: ") {
		for _, x := range signals {
			if strings.HasPrefix(x.text, "sys: ") && strings.HasPrefix(text, x.text) {
				return x.sig
			}
		}
	}
	return core.SIGTERM
}

// handled are the signals that go to a program's handler: not those that its system has
// no note for.
func handled(sig int32) bool {
	switch sig {
	case core.SIGKILL, core.SIGSTOP, core.SIGTSTP, core.SIGTTIN, core.SIGTTOU, core.SIGCONT, core.SIGCHLD, core.SIGURG, core.SIGWINCH, core.SIGIO:
		return false
	}
	return true
}

// sysNotify serves notify(2): all notes go to the handler from now on; none is the default.
func sysNotify(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	fn := c.Args[0]
	if fn >= image.UserEnd || fn != 0 && fn < abi.PageSize {
		return 0, abi.EFAULT
	}
	act := core.SigAction{Handler: fn, Mask: ^core.SigSet(0)}
	if fn == 0 {
		act.Mask = 0
	}
	for sig := int32(1); sig < core.NumSignals; sig++ {
		if handled(sig) {
			if _, e := c.SetAction(sig, &act); e != 0 {
				return 0, e
			}
		}
	}
	return 0, 0
}

// Layout of struct Ureg (amd64's ureg.h), and of what lies around it on the stack of a
// program whose handler runs: from below, the words that the handler's function finds
// (a return address that is none, the Ureg, the note), the note, the Ureg of the handler
// that it interrupted, the Ureg, and where the state of the floating point unit is.
const (
	uSeg   = 15 * 8
	uType  = 128
	uErr   = 136
	uIP    = 144
	uCS    = 152
	uFlags = 160
	uSP    = 168
	uSS    = 176
	uSize  = 184

	frArgs = 0
	frNote = 24
	frPrev = frNote + errMax
	frUreg = frPrev + 8
	frFP   = frUreg + uSize
	frSize = frFP + 8

	userCS, userSS = 0x33, 0x2b
	clear          = 256 // of the interrupted function
	flagsOK        = 0xcd5
)

func uregs(r *abi.Regs) [15]*uint64 {
	return [15]*uint64{&r.AX, &r.BX, &r.CX, &r.DX, &r.SI, &r.DI, &r.BP, &r.R8, &r.R9, &r.R10, &r.R11, &r.R12, &r.R13, &r.R14, &r.R15}
}

// Deliver implements core.Personality: the handler is called with the registers and the
// note.
func (p *Personality) Deliver(c *core.Call, s *core.SigInfo, act *core.SigAction, regs *abi.Regs) abi.Errno {
	fp := uint64(fpAt)
	if c.Thread().Frame != 0 {
		fp += fpSize / 2
	}
	if regs.SP < abi.PageSize+clear+frSize || regs.SP > image.UserEnd {
		return abi.EFAULT
	}
	at := (regs.SP - clear - frSize) &^ 15
	var b [frSize]byte
	ureg := at + frUreg
	le.PutUint64(b[8:], ureg)
	le.PutUint64(b[16:], at+frNote)
	copy(b[frNote:frNote+errMax-1], noteOf(s))
	le.PutUint64(b[frPrev:], c.Thread().Frame)
	u := b[frUreg:]
	for i, v := range uregs(regs) {
		le.PutUint64(u[8*i:], *v)
	}
	if c.Kind == abi.KindFault {
		le.PutUint64(u[uType:], regs.TrapNo)
		le.PutUint64(u[uErr:], regs.Err)
	}
	le.PutUint64(u[uIP:], regs.IP)
	le.PutUint64(u[uCS:], userCS)
	le.PutUint64(u[uFlags:], regs.Flags)
	le.PutUint64(u[uSP:], regs.SP)
	le.PutUint64(u[uSS:], userSS)
	le.PutUint64(b[frFP:], fp)
	c.Act(abi.ActSaveFP, 0, fp, min(max(uint64(c.Proc().FPSize), 512), fpSize/2))
	c.CopyOut(at, b[:])
	c.MutThread().Frame = ureg
	n := *regs
	n.IP, n.SP, n.BP = act.Handler, at, ureg
	n.Flags &^= 0x400 | 0x100 | 0x10000
	c.SetRegs(&n, false)
	return 0
}

// What noted(2) is told.
const (
	nCont = 0
	nDflt = 1
	nSave = 2
	nRstr = 3
)

// sysNoted serves noted(2).
func sysNoted(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	ureg := c.Thread().Frame
	how := int32(c.Args[0])
	if ureg == 0 {
		return 0, abi.EINVAL
	}
	raw, e := c.CopyIn(ureg-frUreg, frSize)
	if e != 0 {
		return 0, e
	}
	b := append([]byte(nil), raw...)
	u := b[frUreg:]
	r := abi.Regs{IP: le.Uint64(u[uIP:]), SP: le.Uint64(u[uSP:]), Flags: le.Uint64(u[uFlags:])&flagsOK | 0x202}
	for i, v := range uregs(&r) {
		*v = le.Uint64(u[8*i:])
	}
	switch {
	case how == nCont || how == nRstr:
	case how == nSave:
		// The registers are loaded, and the frame stays for a later NRSTR.
		r.SP = ureg - 4*8 - errMax
		var w [16]byte
		le.PutUint64(w[8:], ureg)
		c.CopyOut(r.SP, w[:])
	default:
		t := core.MakeText(cstring(b[frNote : frNote+errMax]))
		c.MutProc().ExitText = t
		c.Die(signalOf(t.String(), true))
		return 0, 0
	}
	if r.IP >= image.UserEnd || r.SP >= image.UserEnd {
		return 0, abi.EFAULT
	}
	if how != nSave {
		c.MutThread().Frame = le.Uint64(b[frPrev:])
	}
	c.SetSigMask(0)
	c.Act(abi.ActLoadFP, 0, le.Uint64(b[frFP:]))
	c.SetRegs(&r, false)
	return 0, 0
}

func cstring(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}

// Fault implements core.Personality.
func (p *Personality) Fault(c *core.Call) core.SigInfo {
	sig := int32(c.Nr)
	if sig < 1 || sig > 31 {
		sig = core.SIGSEGV
	}
	s := core.SigInfo{Sig: sig, Code: int32(c.Args[0]), Addr: c.Args[1], TrapNo: int32(c.Args[2])}
	t := signalText(sig)
	switch trap := c.Args[2]; {
	case trap == 14:
		what := "read"
		if c.Args[3]&2 != 0 {
			what = "write"
		}
		t = fmt.Sprintf("sys: trap: fault %s addr=%#x", what, s.Addr)
	case trap == 13:
		t = "sys: trap: general protection violation"
	case trap == 16 || trap == 19:
		t = "sys: fp: numeric exception"
	case trap == 17:
		t = "sys: trap: alignment check"
	case trap == 1 || trap == 3:
		t = "sys: breakpoint"
	}
	s.Text = core.MakeText(fmt.Sprintf("%s pc=%#x", t, c.Regs.IP))
	return s
}
