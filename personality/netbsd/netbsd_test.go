package netbsd

import (
	"testing"

	"hythe/abi"
	"hythe/personality/bsd"
	"hythe/server/unix/core"
)

func TestBrand(t *testing.T) {
	head := make([]byte, 4096)
	copy(head, "\x7fELF\x02\x01\x01\x02")
	head[16], head[18] = 2, 62
	p := New(nil)
	if !p.Probe(head) {
		t.Error("the OS ABI is not seen")
	}
	head[7] = 0
	if p.Probe(head) {
		t.Error("a program of nobody is taken")
	}
	le.PutUint64(head[32:], 64)
	le.PutUint16(head[56:], 1)
	le.PutUint32(head[64:], 4) // PT_NOTE
	le.PutUint64(head[64+8:], 0x200)
	le.PutUint64(head[64+32:], 24)
	n := head[0x200:]
	le.PutUint32(n, 7)
	le.PutUint32(n[4:], 4)
	le.PutUint32(n[8:], 1)
	copy(n[12:], "NetBSD\x00\x00")
	le.PutUint32(n[20:], 700000000)
	if !p.Probe(head) {
		t.Error("the note is not seen")
	}
	for i := range 64 + 56 + 24 {
		b := append([]byte(nil), head...)
		b[(i%120)+i/120*0x200] ^= 0xff
		p.Probe(b)
		p.Probe(b[:i])
	}
}

func TestClocksAndAdvice(t *testing.T) {
	d := New(nil).Descriptors(false)
	for nr, want := range map[int][]uint8{427: clocks, 75: advice} {
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

func TestDirent(t *testing.T) {
	var b []byte
	ok := true
	for i := 0; ok; i++ {
		b, ok = putDirent(b, 200, &bsd.Dirent{Ino: uint64(i), Next: uint64(i + 1), Type: 8, Name: "a-name-of-some-length"[:i+1]})
	}
	for n := 0; len(b) > 0; n++ {
		size := le.Uint16(b[8:])
		if size%8 != 0 || le.Uint64(b) != uint64(n) || int(le.Uint16(b[10:])) != n+1 || b[13+n+1] != 0 {
			t.Fatalf("entry %d: % x", n, b[:size])
		}
		b = b[size:]
	}
}

func TestKevent(t *testing.T) {
	var b [40]byte
	for _, want := range []core.Kevent{
		{Ident: 1, Filter: core.KqWrite, Flags: 0x21, FFlags: 3, Data: -4, UData: 5},
		{Ident: 1 << 40, Filter: core.KqTimer, Flags: 1, FFlags: core.KqTimerUsec | core.KqTimerAbs, Data: 9},
		{Filter: core.KqTimer, FFlags: core.KqTimerMsec}, {Filter: core.KqRead}, {Filter: core.KqUser, FFlags: core.KqUserTrigger},
	} {
		putKevent(b[:], &want)
		if got, ok := getKevent(b[:]); !ok || got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	for _, f := range []uint32{2, 3, 7, 9, ^uint32(0)} {
		le.PutUint32(b[8:], f)
		if _, ok := getKevent(b[:]); ok {
			t.Errorf("filter %d is taken", f)
		}
	}
}

func TestSignals(t *testing.T) {
	for sig := int32(1); sig < core.NumSignals; sig++ {
		n := signals.Native(sig)
		if back, ok := signals.Signal(n); n == 0 && sig != 33 || n != 0 && (!ok || back != sig) || n > 63 {
			t.Errorf("signal %d is %d, which is %d", sig, n, back)
		}
	}
	if n := signals.Native(34); n != 33 || signals.Name(33) != "SIGRT0" || signals.Name(32) != "SIGPWR" || signals.Name(0) != "0" {
		t.Errorf("the first real-time signal is %d", n)
	}
}

// TestTable: no number is served twice (New would panic), and each row can be traced.
func TestTable(t *testing.T) {
	for _, r := range New(nil).Matrix() {
		if r.Name == "" || r.Level == "partial" && r.Note == "" {
			t.Errorf("%+v", r)
		}
	}
}
