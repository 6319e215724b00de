package bsd

import (
	"encoding/binary"
	"strconv"

	"hythe/abi"
	"hythe/server/unix/core"
)

// Two of the core's signals stand for those that only 4.4BSD has.
const (
	sigEmt  = core.SIGSTKFLT
	SigInfo = core.SIGPWR
)

// Signals are the signals of a system: their numbers and their codes.
type Signals struct {
	native [core.NumSignals]int32 // by the core's numbers
	core   [NumSignals]int32      // by the system's
	names  map[int32]string
	code   func(s *core.SigInfo) int32
}

// NumSignals is above all numbers of signals: the sets have 128 bits.
const NumSignals = 129

// NewSignals makes the signals of a system: realTime is its first real-time one, of which
// it has up to last, names are those above 31 that are none, and code makes si_code.
func NewSignals(realTime, last int32, names map[int32]string, code func(s *core.SigInfo) int32) *Signals {
	s := &Signals{native: common, names: names, code: code}
	if realTime < realTimeCore {
		s.native[realTimeCore-1] = 0
	}
	for i := int32(0); realTimeCore+i < core.NumSignals && realTime+i <= last; i++ {
		s.native[realTimeCore+i] = realTime + i
	}
	for sig, n := range s.native {
		if n != 0 {
			s.core[n] = int32(sig)
		}
	}
	return s
}

// common are 4.4BSD's signal numbers (sys/signal.h) by the core's. 32 and 33 are the
// system's own.
var common = [core.NumSignals]int32{
	core.SIGHUP: 1, core.SIGINT: 2, core.SIGQUIT: 3, core.SIGILL: 4, core.SIGTRAP: 5, core.SIGABRT: 6, sigEmt: 7, core.SIGFPE: 8,
	core.SIGKILL: 9, core.SIGBUS: 10, core.SIGSEGV: 11, core.SIGSYS: 12, core.SIGPIPE: 13, core.SIGALRM: 14, core.SIGTERM: 15,
	core.SIGURG: 16, core.SIGSTOP: 17, core.SIGTSTP: 18, core.SIGCONT: 19, core.SIGCHLD: 20, core.SIGTTIN: 21, core.SIGTTOU: 22,
	core.SIGIO: 23, core.SIGXCPU: 24, core.SIGXFSZ: 25, core.SIGVTALRM: 26, core.SIGPROF: 27, core.SIGWINCH: 28, SigInfo: 29,
	core.SIGUSR1: 30, core.SIGUSR2: 31, 32: 32, 33: 33,
}

// realTimeCore is the core's first real-time signal.
const realTimeCore = 34

// Native is the system's number of a signal of the core; 0: it has none.
func (s *Signals) Native(sig int32) int32 {
	if sig > 0 && sig < core.NumSignals {
		return s.native[sig]
	}
	return 0
}

// Signal is the core's number of a signal of the system; 0 and false if it has none.
func (s *Signals) Signal(n int32) (int32, bool) {
	if n > 0 && n < NumSignals && s.core[n] != 0 {
		return s.core[n], true
	}
	return 0, false
}

// Code is the system's si_code.
func (s *Signals) Code(i *core.SigInfo) int32 { return s.code(i) }

// Name is the name of a signal by the system's number.
func (s *Signals) Name(n int32) string {
	switch {
	case n > 0 && int(n) < len(signalNames):
		return signalNames[n]
	case s.names[n] != "":
		return s.names[n]
	case n > 0 && n < NumSignals && s.core[n] >= realTimeCore:
		return "SIGRT" + strconv.Itoa(int(n-s.native[realTimeCore]))
	}
	return strconv.Itoa(int(n))
}

// SetSize is the size of sigset_t: 128 bits.
const SetSize = 16

// GetSet decodes a set of signals, without those that the core does not have.
func (x *Signals) GetSet(b []byte) core.SigSet {
	var s core.SigSet
	for w := range 4 {
		v := binary.LittleEndian.Uint32(b[4*w:])
		for i := int32(0); v != 0; i, v = i+1, v>>1 {
			if v&1 != 0 {
				if sig, ok := x.Signal(int32(32*w) + i + 1); ok {
					s |= core.SigBit(sig)
				}
			}
		}
	}
	return s
}

// PutSet encodes a set of signals.
func (x *Signals) PutSet(b []byte, s core.SigSet) {
	clear(b[:SetSize])
	for sig := int32(1); sig < core.NumSignals; sig++ {
		if n := x.Native(sig) - 1; s.Has(sig) && n >= 0 {
			b[n/8] |= 1 << (n % 8)
		}
	}
}

// Flags of struct sigaction (sys/signal.h).
const (
	saOnStack   = 0x01
	saRestart   = 0x02
	saResetHand = 0x04
	saNoCldStop = 0x08
	saNoDefer   = 0x10
	saNoCldWait = 0x20
	// SaSigInfo is exported for frames: a handler without it gets a code instead of
	// a siginfo.
	SaSigInfo = 0x40
)

var saBits = []struct{ native, core uint64 }{
	{saOnStack, core.SaOnStack}, {saRestart, core.SaRestart}, {saResetHand, core.SaResetHand}, {saNoCldStop, core.SaNoCldStop},
	{saNoDefer, core.SaNoDefer}, {saNoCldWait, core.SaNoCldWait}, {SaSigInfo, core.SaSigInfo},
}

// SigactionLayout is where struct sigaction, of 32 bytes and with the handler at 0, has
// flags (4 bytes) and mask.
type SigactionLayout struct {
	Flags, Mask int
	// Trampoline: the call's fourth argument is the code that a handler returns to, the
	// fifth its version, which is Version.
	Trampoline bool
	Version    uint64
}

// Sigaction serves sigaction(2).
func Sigaction(l SigactionLayout) Func {
	return func(p *Personality, c *core.Call) (uint64, abi.Errno) {
		le, x := binary.LittleEndian, p.Sys.Signals
		sig, ok := x.Signal(int32(c.Args[0]))
		if !ok {
			return 0, abi.EINVAL
		}
		var act *core.SigAction
		if c.Args[1] != 0 {
			b, e := c.StructArg(1, 32)
			if e != 0 {
				return 0, e
			}
			act = &core.SigAction{Handler: le.Uint64(b), Mask: x.GetSet(b[l.Mask:])}
			fl := uint64(le.Uint32(b[l.Flags:]))
			for _, x := range saBits {
				if fl&x.native != 0 {
					act.Flags |= x.core
				}
			}
			if l.Trampoline && act.Handler > sigIgn {
				if uint64(uint32(c.Args[4])) != l.Version {
					return 0, abi.EINVAL
				}
				act.Restorer = c.Args[3]
			}
		}
		old, e := c.SetAction(sig, act)
		if e != 0 {
			return 0, e
		}
		if c.Args[2] != 0 {
			var b [32]byte
			var fl uint64
			for _, x := range saBits {
				if old.Flags&x.core != 0 {
					fl |= x.native
				}
			}
			le.PutUint64(b[:], old.Handler)
			le.PutUint32(b[l.Flags:], uint32(fl))
			x.PutSet(b[l.Mask:], old.Mask)
			c.CopyOut(c.Args[2], b[:])
		}
		return 0, 0
	}
}

// sigIgn is the handler that ignores, the highest that is none.
const sigIgn = 1

// Sigprocmask serves sigprocmask(2) with sets of 128 bits.
func Sigprocmask(p *Personality, c *core.Call) (uint64, abi.Errno) {
	old := c.Thread().Mask
	if c.Args[1] != 0 {
		b, e := c.StructArg(1, SetSize)
		if e != 0 {
			return 0, e
		}
		set := p.Sys.Signals.GetSet(b)
		switch int32(c.Args[0]) {
		case 1:
			set |= old
		case 2:
			set = old &^ set
		case 3:
		default:
			return 0, abi.EINVAL
		}
		c.SetSigMask(set)
	}
	if c.Args[2] != 0 {
		var b [SetSize]byte
		p.Sys.Signals.PutSet(b[:], old)
		c.CopyOut(c.Args[2], b[:])
	}
	return 0, 0
}

// Sigpending serves sigpending(2).
func Sigpending(p *Personality, c *core.Call) (uint64, abi.Errno) {
	var b [SetSize]byte
	p.Sys.Signals.PutSet(b[:], c.K.PendingSignals(c.T)&c.Thread().Mask)
	c.CopyOut(c.Args[0], b[:])
	return 0, 0
}

// Sigsuspend serves sigsuspend(2).
func Sigsuspend(p *Personality, c *core.Call) (uint64, abi.Errno) {
	b, e := c.StructArg(0, SetSize)
	if e != 0 {
		return 0, e
	}
	c.WithMask(p.Sys.Signals.GetSet(b))
	for {
		if e := c.Sleep(core.NoDeadline); e != 0 {
			return 0, abi.ErrRestartNoHnd
		}
	}
}

// Flags of an alternate stack (sys/signal.h), and the least size of one.
const (
	SsOnStack  = 1
	SsDisable  = 4
	minSigStk  = 2048
	altStackSz = 24
)

// AltFlags are the flags of the thread's alternate stack while the stack pointer is sp.
func AltFlags(t *core.Thread, sp uint64) uint32 {
	switch {
	case t.AltSize == 0:
		return SsDisable
	case t.OnAltStack(sp):
		return SsOnStack
	}
	return 0
}

// PutAltStack encodes the thread's stack_t: pointer 8, size 8, flags 4.
func PutAltStack(b []byte, t *core.Thread, sp uint64) {
	le := binary.LittleEndian
	le.PutUint64(b, t.AltSP)
	le.PutUint64(b[8:], t.AltSize)
	le.PutUint64(b[16:], uint64(AltFlags(t, sp)))
}

// Sigaltstack serves sigaltstack(2).
func Sigaltstack(p *Personality, c *core.Call) (uint64, abi.Errno) {
	le := binary.LittleEndian
	var in []byte
	if c.Args[0] != 0 {
		b, e := c.StructArg(0, altStackSz)
		if e != 0 {
			return 0, e
		}
		in = b
	}
	th := c.Thread()
	var out [altStackSz]byte
	PutAltStack(out[:], th, c.Regs.SP)
	if in != nil {
		fl := le.Uint32(in[16:])
		switch {
		case th.OnAltStack(c.Regs.SP):
			return 0, abi.EPERM
		case fl&^SsDisable != 0:
			return 0, abi.EINVAL
		case fl&SsDisable != 0:
			m := c.MutThread()
			m.AltSP, m.AltSize, m.AltFlags = 0, 0, 0
		case le.Uint64(in[8:]) < minSigStk:
			return 0, abi.ENOMEM
		default:
			m := c.MutThread()
			m.AltSP, m.AltSize, m.AltFlags = le.Uint64(in), le.Uint64(in[8:]), 0
		}
	}
	if c.Args[1] != 0 {
		c.CopyOut(c.Args[1], out[:])
	}
	return 0, 0
}

// sigArg is the core's number of a signal to send; 0 only looks.
func (x *Signals) sigArg(a uint64) (int32, abi.Errno) {
	if int32(a) == 0 {
		return 0, 0
	}
	sig, ok := x.Signal(int32(a))
	if !ok {
		return 0, abi.EINVAL
	}
	return sig, 0
}

// Kill serves kill(2).
func Kill(p *Personality, c *core.Call) (uint64, abi.Errno) {
	sig, e := p.Sys.Signals.sigArg(c.Args[1])
	if e != 0 {
		return 0, e
	}
	return 0, c.Kill(int32(c.Args[0]), sig)
}

// ThreadKill sends the signal with the system's number n to a thread of the process pid
// (0: the caller's), -1: to all of them but the caller.
func (p *Personality) ThreadKill(c *core.Call, pid int32, tid int64, n uint64) abi.Errno {
	sig, e := p.Sys.Signals.sigArg(n)
	if e != 0 {
		return e
	}
	k := c.K
	pr := c.ProcRef()
	if pid != 0 {
		if pr = k.ProcByPid(pid); pr == 0 {
			return abi.ESRCH
		}
	}
	if e := c.KillCheck(pr, sig); e != 0 {
		return e
	}
	info := c.UserInfo(sig, core.SiTkill)
	if tid == -1 {
		e := abi.ESRCH
		for _, t := range k.ThreadsOf(pr) {
			if t == c.T {
				continue
			}
			e = 0
			if sig != 0 {
				_ = k.SendThreadSignal(t, &info)
			}
		}
		return e
	}
	t := k.ThreadByTid(int32(tid))
	if t == 0 || k.Threads.Get(t).Proc != pr {
		return abi.ESRCH
	}
	if sig == 0 {
		return 0
	}
	return k.SendThreadSignal(t, &info)
}

// FaultAs turns an exception of the host into a signal (System.Fault): what Linux calls a
// segmentation fault without an address is a protection fault, which is signal sig with the
// code here.
func FaultAs(sig, code int32) func(c *core.Call) core.SigInfo {
	return func(c *core.Call) core.SigInfo {
		s := core.SigInfo{Sig: int32(c.Nr), Code: int32(c.Args[0]), Addr: c.Args[1], TrapNo: int32(c.Args[2])}
		if s.Sig < 1 || s.Sig > 31 {
			s.Sig = core.SIGSEGV
		}
		if s.Sig == core.SIGSEGV && s.Code == core.SiKernel {
			s.Sig, s.Code, s.Addr = sig, code, c.Regs.IP
		}
		return s
	}
}
