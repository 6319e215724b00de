package bsd

import (
	"testing"

	"hythe/abi"
	"hythe/personality/calls"
	"hythe/server/unix/core"
)

var signals = NewSignals(65, 126, nil, nil)

// Every signal of the core has a number of its own, and comes back from it.
func TestSignals(t *testing.T) {
	seen := map[int32]int32{}
	for sig := int32(1); sig < core.NumSignals; sig++ {
		n := signals.Native(sig)
		if n == 0 || seen[n] != 0 {
			t.Errorf("signal %d is %d, as %d", sig, n, seen[n])
		}
		seen[n] = sig
		if back, ok := signals.Signal(n); !ok || back != sig {
			t.Errorf("signal %d is %d, which is %d", sig, n, back)
		}
	}
	for _, n := range []int32{0, -1, 34, 64, 96, 127, 1 << 30} {
		if sig, ok := signals.Signal(n); ok {
			t.Errorf("%d is signal %d", n, sig)
		}
	}
	for _, x := range [][2]int32{{core.SIGCHLD, 20}, {core.SIGURG, 16}, {core.SIGUSR1, 30}, {core.SIGSYS, 12}, {core.SIGBUS, 10}} {
		if signals.Native(x[0]) != x[1] {
			t.Errorf("signal %d is %d, want %d", x[0], signals.Native(x[0]), x[1])
		}
	}
}

func TestSets(t *testing.T) {
	var b [SetSize]byte
	for _, s := range []core.SigSet{0, ^core.SigSet(0), core.SigBit(core.SIGCHLD), core.SigBit(40) | core.SigBit(1)} {
		signals.PutSet(b[:], s)
		if got := signals.GetSet(b[:]); got != s {
			t.Errorf("%#x comes back as %#x", s, got)
		}
	}
	signals.PutSet(b[:], core.SigBit(core.SIGCHLD))
	if b[2] != 1<<3 {
		t.Errorf("SIGCHLD is not bit 19: % x", b)
	}
}

// Every neutral error has a number, and those of 4.4BSD are not Linux's.
func TestErrnos(t *testing.T) {
	p := &Personality{Sys: &System{Errnos: &Errnos{abi.EPROTO: 92}}}
	for e := abi.EPERM; e <= abi.ERFKILL; e++ {
		if n := p.Errno(e); n == 0 || n > 97 {
			t.Errorf("%v is %d", e, n)
		}
	}
	for e, want := range map[abi.Errno]uint32{abi.EAGAIN: 35, abi.EDEADLK: 11, abi.ENOENT: 2, abi.ERANGE: 34, abi.ETIMEDOUT: 60, abi.ENOSYS: 78, abi.EPROTO: 92, abi.EL3HLT: 22} {
		if n := p.Errno(e); n != want {
			t.Errorf("%v is %d, want %d", e, n, want)
		}
	}
}

func TestStatus(t *testing.T) {
	p := &Personality{Sys: &System{Signals: signals, Wait: WaitNumbers{Went: 0x13}}}
	for w, want := range map[uint32]uint32{0: 0, 7 << 8: 7 << 8, core.SIGSEGV: 11, core.SIGBUS | 0x80: 10 | 0x80, core.SIGTSTP<<8 | 0x7f: 18<<8 | 0x7f, 0xffff: 19} {
		if got := p.Status(w); got != want {
			t.Errorf("%#x: %#x, want %#x", w, got, want)
		}
	}
}

// A terminal's settings come back as they were, with all flags and with none.
func TestTermios(t *testing.T) {
	var b [termiosSize]byte
	set := core.Termios{Iflag: 0x3dff, Oflag: 0x183d, Cflag: 0xff0, Lflag: 0x1dffb}
	for i := range set.CC {
		set.CC[i] = uint8(i + 1)
	}
	for _, want := range []core.Termios{set, {}} {
		putTermios(b[:], &want)
		got := set
		got.CC[7], got.CC[17], got.CC[18] = want.CC[7], want.CC[17], want.CC[18] // of Linux alone
		getTermios(b[:], &got)
		if got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	putTermios(b[:], &core.Termios{Lflag: 0x3, CC: [19]uint8{0: 3}})
	if b[12] != 0x80 || b[13] != 0x1 || b[ccOff+8] != 3 || b[ccOff] != ccDisabled {
		t.Errorf("% x", b)
	}
}

func TestClocksAndAdvice(t *testing.T) {
	d := calls.New("FreeBSD and DragonFly", SharedFreeBSD()).Descriptors(false)
	for nr, want := range map[int][]uint8{232: freeBSDClocks, 75: freeBSDAdvice} {
		for i := range uint64(abi.Digits) {
			v := uint8(abi.NoDigit)
			if i < uint64(len(want)) {
				v = want[i]
			}
			if got := d[nr].Digit(i); got != v {
				t.Errorf("call %d: %d for %d, want %d", nr, got, i, v)
			}
		}
		if d[nr].Digit(abi.Digits) != abi.NoDigit || d[nr].Digit(1<<63) != abi.NoDigit || d[nr].Pre[0].Kind != abi.PreNone {
			t.Errorf("call %d: %+v", nr, d[nr])
		}
	}
}
