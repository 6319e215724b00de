package linux

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"hythe/abi"
	"hythe/server/unix/core"
)

// testELF is a program with two segments and an interpreter.
func testELF() []byte {
	b := make([]byte, 0x3000)
	copy(b, "\x7fELF\x02\x01\x01")
	put16, put32, put64 := le.PutUint16, le.PutUint32, le.PutUint64
	put16(b[16:], etDyn)
	put16(b[18:], emX8664)
	put64(b[24:], 0x1040) // entry
	put64(b[32:], 64)     // program headers
	put16(b[54:], elfPhdrSize)
	put16(b[56:], 4)
	seg := func(i int, typ, flags uint32, off, vaddr, filesz, memsz uint64) {
		p := b[64+i*elfPhdrSize:]
		put32(p, typ)
		put32(p[4:], flags)
		put64(p[8:], off)
		put64(p[16:], vaddr)
		put64(p[32:], filesz)
		put64(p[40:], memsz)
		put64(p[48:], 0x1000)
	}
	seg(0, ptInterp, 4, 0x200, 0x200, 8, 8)
	copy(b[0x200:], "/lib/ld\x00")
	seg(1, ptLoad, 5, 0, 0, 0x1100, 0x1100)
	seg(2, ptLoad, 6, 0x2010, 0x3010, 0x100, 0x2000)
	seg(3, ptGnuStack, 6, 0, 0, 0, 0)
	return b
}

func reader(b []byte) func(int64, int) ([]byte, abi.Errno) {
	return func(off int64, n int) ([]byte, abi.Errno) {
		if off < 0 || n < 0 {
			return nil, abi.EINVAL
		}
		if off >= int64(len(b)) {
			return nil, 0
		}
		return b[off:min(int64(len(b)), off+int64(n))], 0
	}
}

func TestReadELF(t *testing.T) {
	f, e := readELF(reader(testELF()))
	if e != 0 {
		t.Fatal(e)
	}
	if !f.dyn || f.interp != "/lib/ld" || f.lo != 0 || f.hi != 0x6000 || f.entry != 0x1040 || f.execSt {
		t.Errorf("%+v", f)
	}
	for name, spoil := range map[string]func(b []byte) []byte{
		"magic":                    func(b []byte) []byte { b[0] = 0; return b },
		"32 bits":                  func(b []byte) []byte { b[4] = 1; return b },
		"other machine":            func(b []byte) []byte { b[18] = 3; return b },
		"object file":              func(b []byte) []byte { b[16] = 1; return b },
		"header size":              func(b []byte) []byte { b[54] = 32; return b },
		"no headers":               func(b []byte) []byte { b[56] = 0; return b },
		"too many headers":         func(b []byte) []byte { le.PutUint16(b[56:], 0xffff); return b },
		"headers behind the end":   func(b []byte) []byte { le.PutUint64(b[32:], 0x2ff0); return b },
		"headers nowhere":          func(b []byte) []byte { le.PutUint64(b[32:], 1<<63); return b },
		"file above memory":        func(b []byte) []byte { le.PutUint64(b[64+56+32:], 0x9000); return b },
		"wraps":                    func(b []byte) []byte { le.PutUint64(b[64+56+40:], ^uint64(0)); return b },
		"above the guest":          func(b []byte) []byte { le.PutUint64(b[64+56+40:], guestEnd+1); return b },
		"larger than any place":    func(b []byte) []byte { le.PutUint64(b[64+56+40:], maxImage+0x1000); return b },
		"offset of another page":   func(b []byte) []byte { b[64+56+8] = 1; return b },
		"interpreter without end":  func(b []byte) []byte { b[0x207] = 'x'; return b },
		"interpreter of no length": func(b []byte) []byte { b[64+32] = 0; return b },
		"interpreter nowhere":      func(b []byte) []byte { le.PutUint64(b[64+8:], 1<<63); return b },
		"short":                    func(b []byte) []byte { return b[:40] },
		"empty":                    func(b []byte) []byte { return nil },
		"low":                      func(b []byte) []byte { b[16] = etExec; return b },
	} {
		if _, e := readELF(reader(spoil(testELF()))); e != abi.ENOEXEC {
			t.Errorf("%s: %v", name, e)
		}
	}
	p := &Personality{}
	if !p.Probe(testELF()) || p.Probe([]byte("#!/bin/sh")) || p.Probe(nil) || p.Probe([]byte("\x7fELF")) {
		t.Error("Probe")
	}
}

// TestReadELFRandom: whatever the headers say, reading them ends with a
// program whose numbers are in their bounds, or with an error.
func TestReadELFRandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		b := testELF()
		for range 1 + rnd.IntN(6) {
			at := rnd.IntN(64 + 4*elfPhdrSize)
			b[at] = byte(rnd.Uint32()) >> rnd.IntN(8)
		}
		f, e := readELF(reader(b))
		if e == abi.EINVAL {
			t.Fatal("read outside the file")
		}
		if e == 0 && (f.hi > guestEnd || f.lo >= f.hi || f.dyn && f.hi-f.lo > maxImage) {
			t.Fatalf("%+v", f)
		}
	}
}

func TestStack(t *testing.T) {
	st := newStack(0x10000)
	s := st.str("hello")
	st.align()
	w := st.words([]uint64{1, 2})
	d := st.data()
	if st.sp != w || w&15 != 0 || uint64(len(d)) != 0x10000-w || !bytes.Equal(d[s-w:s-w+6], []byte("hello\x00")) || le.Uint64(d[8:]) != 2 {
		t.Errorf("%#x %#x %q", s, w, d)
	}
}

func TestSiginfo(t *testing.T) {
	var b [128]byte
	u32 := func(i int) uint32 { return binary.LittleEndian.Uint32(b[i:]) }
	u64 := func(i int) uint64 { return binary.LittleEndian.Uint64(b[i:]) }
	encodeSiginfo(b[:], &core.SigInfo{Sig: core.SIGCHLD, Code: core.CldExited, Pid: 7, UID: 8, Status: 9, UTime: 10, STime: 11})
	if u32(0) != 17 || u32(8) != 1 || u32(16) != 7 || u32(20) != 8 || u32(24) != 9 || u64(32) != 10 || u64(40) != 11 {
		t.Errorf("SIGCHLD % x", b[:48])
	}
	encodeSiginfo(b[:], &core.SigInfo{Sig: core.SIGSEGV, Code: 2, Addr: 0x1234, Pid: 5})
	if u64(16) != 0x1234 {
		t.Errorf("SIGSEGV % x", b[:32])
	}
	encodeSiginfo(b[:], &core.SigInfo{Sig: 40, Code: core.SiTimer, Timer: 3, Overrun: 4, Value: 5})
	if u32(16) != 3 || u32(20) != 4 || u64(24) != 5 {
		t.Errorf("timer % x", b[:32])
	}
	in := core.SigInfo{Sig: 40, Code: core.SiQueue, Pid: 3, UID: 4, Value: 1 << 40}
	encodeSiginfo(b[:], &in)
	if out := decodeSiginfo(b[:], 40); out.Pid != 3 || out.UID != 4 || out.Value != 1<<40 || out.Code != core.SiQueue {
		t.Errorf("%+v", out)
	}
}

// TestContext: what a program stores in a frame cannot give it more than it
// may have.
func TestContext(t *testing.T) {
	r := abi.Regs{R8: 1, R15: 2, DI: 3, AX: 4, SP: 5, IP: 6, Flags: ^uint64(0), CsGsFs: ^uint64(0), CR2: 7}
	var b [256]byte
	putContext(b[:], &r)
	if le.Uint64(b[15*8:]) != 5 || le.Uint64(b[16*8:]) != 6 || le.Uint64(b[8*8:]) != 3 || le.Uint64(b[22*8:]) != 7 {
		t.Errorf("% x", b[:])
	}
	g := getContext(b[:])
	if g.CsGsFs != userCsGsFs || g.Flags != fixFlags|0x202 || g.R15 != 2 || g.IP != 6 || g.AX != 4 {
		t.Errorf("%+v", g)
	}
}

func TestTimes(t *testing.T) {
	var b [16]byte
	set := func(s, n int64) { putWords(b[:], s, n) }
	for _, x := range []struct {
		s, n int64
		ok   bool
		want int64
	}{{1, 5, true, 1e9 + 5}, {0, 999999999, true, 999999999}, {0, 1e9, false, 0}, {-1, 0, false, 0}, {0, -1, false, 0}, {1 << 62, 0, true, core.NoDeadline - 1}} {
		set(x.s, x.n)
		if v, ok := timespec(b[:]); ok != x.ok || v != x.want {
			t.Errorf("timespec(%d, %d): %d %v", x.s, x.n, v, ok)
		}
	}
	set(2, 1e6)
	if _, ok := timeval(b[:]); ok {
		t.Error("timeval with a million microseconds")
	}
	putTimeval(b[:], 3_500_000_000)
	if v, ok := timeval(b[:]); !ok || v != 3_500_000_000 {
		t.Error(v, ok)
	}
}

func putWords(b []byte, s, n int64) {
	le.PutUint64(b, uint64(s))
	le.PutUint64(b[8:], uint64(n))
}

// TestTable: the table that the library is given makes sense.
func TestTable(t *testing.T) {
	names := map[string]int{}
	for nr, e := range table() {
		if e == nil {
			continue
		}
		if old, ok := names[e.Name]; ok {
			t.Errorf("%s is %d and %d", e.Name, old, nr)
		}
		names[e.Name] = nr
		if served := e.Fn != nil || e.Local != abi.LocalNone; served != (e.Level != None) || e.Name == "" {
			t.Errorf("%d (%q) is %s: served %v", nr, e.Name, e.Level, served)
		}
		if e.Level != Full && e.Note == "" {
			t.Errorf("%s is %s without a note", e.Name, e.Level)
		}
		if len(e.Pre) > 3 || e.Local == abi.LocalWord && len(e.Pre) > 0 {
			t.Errorf("%s: too much to copy in", e.Name)
		}
		for _, p := range e.Pre {
			if p.Arg > 5 || (p.Kind == abi.PreBuf || p.Kind == abi.PreIov || p.Kind == abi.PreIovRO) && p.Size > 5 {
				t.Errorf("%s: %+v", e.Name, p)
			}
		}
	}
	for name, nr := range map[string]int{"read": 0, "mmap": 9, "rt_sigreturn": 15, "clone": 56, "execve": 59, "exit_group": 231, "clone3": 435} {
		if names[name] != nr {
			t.Errorf("%s is %d", name, names[name])
		}
	}
	d := (&Personality{}).Descriptors(false)
	if d[39].Local != abi.LocalWord || d[39].Pre[0].Arg != abi.TaskPid {
		t.Errorf("getpid: %+v", d[39])
	}
	if len(Matrix()) < 370 {
		t.Errorf("%d calls", len(Matrix()))
	}
}
