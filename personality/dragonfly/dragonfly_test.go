package dragonfly

import (
	"testing"

	"hythe/personality/bsd"
	"hythe/server/unix/core"
)

func TestBrand(t *testing.T) {
	head := make([]byte, 4096)
	copy(head, "\x7fELF\x02\x01\x01\x00")
	head[16], head[18] = 2, 62
	p := New(nil)
	if p.Probe(head) {
		t.Error("a program of nobody is taken")
	}
	le.PutUint64(head[32:], 64)
	le.PutUint16(head[56:], 2)
	le.PutUint32(head[64:], 4) // PT_NOTE
	le.PutUint64(head[64+8:], 0x200)
	le.PutUint64(head[64+32:], 28)
	n := head[0x200:]
	note := func(size, typ uint32, name string) {
		clear(n[:40])
		le.PutUint32(n, size)
		le.PutUint32(n[4:], 4)
		le.PutUint32(n[8:], typ)
		copy(n[12:], name)
	}
	note(10, 1, "DragonFly\x00")
	if !p.Probe(head) {
		t.Error("the note is not seen")
	}
	note(4, 4, "Go\x00\x00")
	if !p.Probe(head) {
		t.Error("a static program of Go is not seen")
	}
	le.PutUint32(head[64+56:], 0x6474e551) // PT_GNU_STACK
	if p.Probe(head) {
		t.Error("a program for Linux is taken")
	}
	for i := range 64 + 2*56 + 28 {
		b := append([]byte(nil), head...)
		b[i%176+i/176*0x200] ^= 0xff
		p.Probe(b)
		p.Probe(b[:i])
	}
}

func TestDirent(t *testing.T) {
	var b []byte
	ok := true
	for i := 0; ok; i++ {
		b, ok = putDirent(b, 200, &bsd.Dirent{Ino: uint64(i), Next: uint64(i + 1), Type: 8, Name: "a-name-of-some-length"[:i+1]})
	}
	for n := 0; len(b) > 0; n++ {
		size := (16 + le.Uint16(b[8:]) + 8) &^ 7
		if size%8 != 0 || le.Uint64(b) != uint64(n) || int(le.Uint16(b[8:])) != n+1 || b[16+n+1] != 0 {
			t.Fatalf("entry %d: % x", n, b[:size])
		}
		b = b[size:]
	}
}

func TestKevent(t *testing.T) {
	var b [32]byte
	want := core.Kevent{Ident: 1, Filter: core.KqWrite, Flags: 0x21, FFlags: 3, Data: -4, UData: 5}
	putKevent(b[:], &want)
	if got, ok := getKevent(b[:]); !ok || got != want || b[8] != 0xfe || b[9] != 0xff {
		t.Errorf("%+v, want %+v", got, want)
	}
	b[8] = 0x80
	if _, ok := getKevent(b[:]); ok {
		t.Error("a filter of nobody is taken")
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
