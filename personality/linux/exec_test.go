package linux

import (
	"encoding/binary"
	"testing"

	"hythe/abi"
	"hythe/server/unix/core"
)

func TestProbe(t *testing.T) {
	head := make([]byte, 64)
	copy(head, "\x7fELF\x02\x01\x01")
	head[16], head[18] = 3, 62
	p := &Personality{}
	if !p.Probe(head) || p.Probe([]byte("#!/bin/sh")) || p.Probe(nil) || p.Probe([]byte("\x7fELF")) {
		t.Error("Probe")
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
