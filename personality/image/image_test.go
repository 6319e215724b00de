package image

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"hythe/abi"
)

var le = binary.LittleEndian

// testELF is a program with two segments and an interpreter.
func testELF() []byte {
	b := make([]byte, 0x3000)
	copy(b, "\x7fELF\x02\x01\x01")
	put16, put32, put64 := le.PutUint16, le.PutUint32, le.PutUint64
	put16(b[16:], ETDyn)
	put16(b[18:], EMX8664)
	put64(b[24:], 0x1040) // entry
	put64(b[32:], 64)     // program headers
	put16(b[54:], PhdrSize)
	put16(b[56:], 4)
	seg := func(i int, typ, flags uint32, off, vaddr, filesz, memsz uint64) {
		p := b[64+i*PhdrSize:]
		put32(p, typ)
		put32(p[4:], flags)
		put64(p[8:], off)
		put64(p[16:], vaddr)
		put64(p[32:], filesz)
		put64(p[40:], memsz)
		put64(p[48:], 0x1000)
	}
	seg(0, PTInterp, 4, 0x200, 0x200, 8, 8)
	copy(b[0x200:], "/lib/ld\x00")
	seg(1, PTLoad, 5, 0, 0, 0x1100, 0x1100)
	seg(2, PTLoad, 6, 0x2010, 0x3010, 0x100, 0x2000)
	seg(3, PTGnuStack, 6, 0, 0, 0, 0)
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
	f, e := ReadELF(reader(testELF()))
	if e != 0 {
		t.Fatal(e)
	}
	if !f.Dyn || f.Interp != "/lib/ld" || f.Lo != 0 || f.Hi != 0x6000 || f.Entry != 0x1040 || f.ExecStack {
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
		"above the guest":          func(b []byte) []byte { le.PutUint64(b[64+56+40:], GuestEnd+1); return b },
		"larger than any place":    func(b []byte) []byte { le.PutUint64(b[64+56+40:], MaxImage+0x1000); return b },
		"offset of another page":   func(b []byte) []byte { b[64+56+8] = 1; return b },
		"interpreter without end":  func(b []byte) []byte { b[0x207] = 'x'; return b },
		"interpreter of no length": func(b []byte) []byte { b[64+32] = 0; return b },
		"interpreter nowhere":      func(b []byte) []byte { le.PutUint64(b[64+8:], 1<<63); return b },
		"short":                    func(b []byte) []byte { return b[:40] },
		"empty":                    func(b []byte) []byte { return nil },
		"low":                      func(b []byte) []byte { b[16] = ETExec; return b },
	} {
		if _, e := ReadELF(reader(spoil(testELF()))); e != abi.ENOEXEC {
			t.Errorf("%s: %v", name, e)
		}
	}
}

// TestReadELFRandom: whatever the headers say, reading them ends with a
// program whose numbers are in their bounds, or with an error.
func TestReadELFRandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		b := testELF()
		for range 1 + rnd.IntN(6) {
			at := rnd.IntN(64 + 4*PhdrSize)
			b[at] = byte(rnd.Uint32()) >> rnd.IntN(8)
		}
		f, e := ReadELF(reader(b))
		if e == abi.EINVAL {
			t.Fatal("read outside the file")
		}
		if e == 0 && (f.Hi > GuestEnd || f.Lo >= f.Hi || f.Dyn && f.Hi-f.Lo > MaxImage) {
			t.Fatalf("%+v", f)
		}
	}
}

// FuzzReadELF: whatever a file says, it is read within its bounds, and what is taken of it
// lies in the guest's addresses and adds up.
func FuzzReadELF(f *testing.F) {
	f.Add(testELF()[:0x210])
	exec := testELF()[:0x210]
	exec[16] = ETExec
	for i := range 2 {
		le.PutUint64(exec[64+(i+1)*PhdrSize+16:], 0x400000+le.Uint64(exec[64+(i+1)*PhdrSize+16:]))
	}
	f.Add(exec)
	f.Add([]byte("\x7fELF\x02"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, e := ReadELF(func(off int64, n int) ([]byte, abi.Errno) {
			if off < 0 || n < 0 || n > 1<<20 {
				t.Fatalf("%d bytes at %d", n, off)
			}
			return reader(b)(off, n)
		})
		if e != 0 {
			return
		}
		if p.Lo >= p.Hi || p.Hi > GuestEnd || p.Lo&4095 != 0 || p.Hi&4095 != 0 || !p.Dyn && p.Lo < minAddr || p.Dyn && p.Hi-p.Lo > MaxImage {
			t.Fatalf("%#x to %#x", p.Lo, p.Hi)
		}
		if p.Phnum > maxPhdrs || len(p.Segs) > p.Phnum || len(p.Interp) > 4096 {
			t.Fatalf("%d headers, %d segments, interpreter %q", p.Phnum, len(p.Segs), p.Interp)
		}
		for _, s := range p.Segs {
			if s.Type != PTLoad {
				continue
			}
			if s.Vaddr < p.Lo || s.Memsz > p.Hi-s.Vaddr || s.Filesz > s.Memsz || s.Off > 1<<62 || s.Off&4095 != s.Vaddr&4095 {
				t.Fatalf("segment %+v of %#x to %#x", s, p.Lo, p.Hi)
			}
		}
	})
}

func TestStack(t *testing.T) {
	st := NewStack(0x10000)
	s := st.Str("hello")
	st.Align()
	w := st.Words([]uint64{1, 2})
	d := st.Data()
	if st.SP != w || w&15 != 0 || uint64(len(d)) != 0x10000-w || !bytes.Equal(d[s-w:s-w+6], []byte("hello\x00")) || le.Uint64(d[8:]) != 2 {
		t.Errorf("%#x %#x %q", s, w, d)
	}
}
