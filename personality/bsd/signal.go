package bsd

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/server/unix/core"
)

// Two of the core's signals stand for those that only 4.4BSD has.
const (
	sigEmt  = core.SIGSTKFLT
	sigInfo = core.SIGPWR
)

// toNative are 4.4BSD's signal numbers (sys/signal.h) by the core's. Real-time signals
// begin at 65 (the core's 34); 32 and 33 are the thread library's.
var toNative = [core.NumSignals]int32{
	core.SIGHUP: 1, core.SIGINT: 2, core.SIGQUIT: 3, core.SIGILL: 4, core.SIGTRAP: 5, core.SIGABRT: 6, sigEmt: 7, core.SIGFPE: 8,
	core.SIGKILL: 9, core.SIGBUS: 10, core.SIGSEGV: 11, core.SIGSYS: 12, core.SIGPIPE: 13, core.SIGALRM: 14, core.SIGTERM: 15,
	core.SIGURG: 16, core.SIGSTOP: 17, core.SIGTSTP: 18, core.SIGCONT: 19, core.SIGCHLD: 20, core.SIGTTIN: 21, core.SIGTTOU: 22,
	core.SIGIO: 23, core.SIGXCPU: 24, core.SIGXFSZ: 25, core.SIGVTALRM: 26, core.SIGPROF: 27, core.SIGWINCH: 28, sigInfo: 29,
	core.SIGUSR1: 30, core.SIGUSR2: 31, 32: 32, 33: 33,
}

// realTime is the first real-time signal, of the system and of the core.
const (
	realTime     = 65
	realTimeCore = 34
	// maxSignal is the last one that has a place in the core: the system's own goes on
	// to 126.
	maxSignal = realTime + core.NumSignals - 1 - realTimeCore
)

var fromNative = func() (f [realTime]int32) {
	for s, n := range toNative {
		if n != 0 {
			f[n] = int32(s)
		}
	}
	return f
}()

// Native is the system's number of a signal of the core.
func Native(sig int32) int32 {
	if sig >= realTimeCore && sig < core.NumSignals {
		return sig - realTimeCore + realTime
	}
	if sig > 0 && sig < core.NumSignals {
		return toNative[sig]
	}
	return 0
}

// Signal is the core's number of a signal of the system; 0 and false if it has none.
func Signal(n int32) (int32, bool) {
	if n >= realTime && n <= maxSignal {
		return n - realTime + realTimeCore, true
	}
	if n > 0 && n < realTime && fromNative[n] != 0 {
		return fromNative[n], true
	}
	return 0, false
}

// SetSize is the size of sigset_t: 128 bits.
const SetSize = 16

// GetSet decodes a set of signals, without those that the core does not have.
func GetSet(b []byte) core.SigSet {
	var s core.SigSet
	for w := range 4 {
		v := binary.LittleEndian.Uint32(b[4*w:])
		for i := int32(0); v != 0; i, v = i+1, v>>1 {
			if v&1 != 0 {
				if sig, ok := Signal(int32(32*w) + i + 1); ok {
					s |= core.SigBit(sig)
				}
			}
		}
	}
	return s
}

// PutSet encodes a set of signals.
func PutSet(b []byte, s core.SigSet) {
	clear(b[:SetSize])
	for sig := int32(1); sig < core.NumSignals; sig++ {
		if n := Native(sig) - 1; s.Has(sig) && n >= 0 {
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

// Code is the system's si_code: those of faults and of SIGCHLD are the same but for the
// first two of SIGFPE.
func Code(s *core.SigInfo) int32 {
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

// Sigaction serves sigaction(2): struct sigaction is handler 8, flags 4, mask 16, 32
// bytes in all.
func Sigaction(p *Personality, c *core.Call) (uint64, abi.Errno) {
	le := binary.LittleEndian
	sig, ok := Signal(int32(c.Args[0]))
	if !ok {
		return 0, abi.EINVAL
	}
	var act *core.SigAction
	if c.Args[1] != 0 {
		b, e := c.StructArg(1, 32)
		if e != 0 {
			return 0, e
		}
		act = &core.SigAction{Handler: le.Uint64(b), Mask: GetSet(b[12:])}
		fl := uint64(le.Uint32(b[8:]))
		for _, x := range saBits {
			if fl&x.native != 0 {
				act.Flags |= x.core
			}
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
		le.PutUint32(b[8:], uint32(fl))
		PutSet(b[12:], old.Mask)
		c.CopyOut(c.Args[2], b[:])
	}
	return 0, 0
}

// Sigprocmask serves sigprocmask(2) with sets of 128 bits.
func Sigprocmask(p *Personality, c *core.Call) (uint64, abi.Errno) {
	old := c.Thread().Mask
	if c.Args[1] != 0 {
		b, e := c.StructArg(1, SetSize)
		if e != 0 {
			return 0, e
		}
		set := GetSet(b)
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
		PutSet(b[:], old)
		c.CopyOut(c.Args[2], b[:])
	}
	return 0, 0
}

// Sigpending serves sigpending(2).
func Sigpending(p *Personality, c *core.Call) (uint64, abi.Errno) {
	var b [SetSize]byte
	PutSet(b[:], c.K.PendingSignals(c.T)&c.Thread().Mask)
	c.CopyOut(c.Args[0], b[:])
	return 0, 0
}

// Sigsuspend serves sigsuspend(2).
func Sigsuspend(p *Personality, c *core.Call) (uint64, abi.Errno) {
	b, e := c.StructArg(0, SetSize)
	if e != 0 {
		return 0, e
	}
	c.WithMask(GetSet(b))
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
func sigArg(a uint64) (int32, abi.Errno) {
	if int32(a) == 0 {
		return 0, 0
	}
	sig, ok := Signal(int32(a))
	if !ok {
		return 0, abi.EINVAL
	}
	return sig, 0
}

// Kill serves kill(2).
func Kill(p *Personality, c *core.Call) (uint64, abi.Errno) {
	sig, e := sigArg(c.Args[1])
	if e != 0 {
		return 0, e
	}
	return 0, c.Kill(int32(c.Args[0]), sig)
}

// ThreadKill sends the signal with the system's number n to a thread of the process pid
// (0: the caller's), -1: to all of them but the caller.
func ThreadKill(c *core.Call, pid int32, tid int64, n uint64) abi.Errno {
	sig, e := sigArg(n)
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
