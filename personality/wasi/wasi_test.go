package wasi

import (
	"context"
	"errors"
	"os"
	"testing"

	"hythe/abi"
)

// sample is a small module of the kind that compilers emit: it imports two functions
// and has a memory, a table, a global, data, a loop, a call by the table and branches.
func sample(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/sample.wasm")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// load does with a file what Run does before it runs it.
func load(b []byte) error {
	if err := checkModule(b); err != nil {
		return err
	}
	p := &Process{}
	_, _, err := p.compile(context.Background(), &Program{Module: b, Workers: 1})
	return err
}

// TestLoad: a module loads, and none that is cut off.
func TestLoad(t *testing.T) {
	b := sample(t)
	if err := load(b); err != nil {
		t.Fatal(err)
	}
	for n := 1; n < len(b); n += max(len(b)/100, 1) {
		if err := load(b[:n]); !errors.Is(err, ErrModule) && err != nil {
			t.Errorf("%d of %d bytes: %v", n, len(b), err)
		}
	}
}

// TestCounts: what a module claims to have is there. The engine is not asked: for some of
// these it would want more memory than there is.
func TestCounts(t *testing.T) {
	const huge = "\xff\xff\xff\xff\x0f"
	for name, s := range map[string]string{
		"types":          "\x01\x06" + huge + "\x60",
		"parameters":     "\x01\x07\x01\x60" + huge,
		"results":        "\x01\x08\x01\x60\x00" + huge,
		"imports":        "\x02\x05" + huge,
		"import's name":  "\x02\x06\x01" + huge,
		"functions":      "\x03\x05" + huge,
		"tables":         "\x04\x05" + huge,
		"globals":        "\x06\x05" + huge,
		"exports":        "\x07\x05" + huge,
		"export's name":  "\x07\x06\x01" + huge,
		"elements":       "\x09\x05" + huge,
		"of one":         "\x09\x0a\x01\x00\x41\x00\x0b" + huge,
		"as expressions": "\x09\x0b\x01\x05\x70" + huge,
		"bodies":         "\x0a\x05" + huge,
		"locals":         "\x0a\x08\x01\x07\x01" + huge + "\x7f\x0b",
		"many locals":    "\x0a\x0b\x01\x09\x02\xd0\x86\x03\x7f\x01\x7f\x0b\x0b",
		"data":           "\x0b\x0a\x01\x00\x41\x00\x0b" + huge,
		"a section":      "\x05" + huge,
		"names":          "\x00\x0c\x04name\x01\x05" + huge,
		"local names":    "\x00\x0e\x04name\x02\x07\x01\x00" + huge,
		"behind its end": "\x01\x01" + huge,
	} {
		if err := checkCounts([]byte(s)); !errors.Is(err, ErrModule) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, s := range map[string]string{
		"fifty thousand locals": "\x0a\x07\x01\x05\x01\xd0\x86\x03\x7f",
		"malformed":             "\x01\x02\x01\x61",
		"cut off":               "\x01",
		"nothing":               "",
	} {
		if err := checkCounts([]byte(s)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := &reader{b: sample(t)[8:]}
	for len(r.b) > 0 {
		id := r.byte()
		r.part(func(s *reader, n int) { s.section(id, n) })
		if r.over || r.odd {
			t.Fatalf("the sample: section %d is not understood", id)
		}
	}
}

// FuzzLoad: a broken file is ErrModule and nothing worse.
func FuzzLoad(f *testing.F) {
	f.Add(sample(f))
	f.Add([]byte("\x00asm\x01\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := load(b[:min(len(b), 1<<16)]); err != nil && !errors.Is(err, ErrModule) {
			t.Error(err)
		}
	})
}

// TestErrno: every number that has a counterpart is given it once, and none is 0.
func TestErrno(t *testing.T) {
	seen := map[Errno]abi.Errno{}
	for l, w := range errnos {
		if w == errSuccess || w > errNotCapable {
			t.Errorf("%v is %d", l, w)
		}
		if o, ok := seen[w]; ok {
			t.Errorf("%v and %v are both %d", l, o, w)
		}
		seen[w] = l
	}
	if errno(0) != 0 || errno(abi.ENOENT) != errNoEnt || errno(abi.Errno(4000)) != errIO {
		t.Error("errno")
	}
	if errNoEnt != 44 || errNotCapable != 76 || errFault != 21 {
		t.Error("the numbers are not preview 1's")
	}
}

// TestAbove: which paths lead above where they begin.
func TestAbove(t *testing.T) {
	for p, want := range map[string]bool{
		"a": false, "a/b/../..": false, "./.": false, "a//../b": false, "..a/...": false, "a/./..": false,
		"/": true, "/a": true, "..": true, "../a": true, "a/../..": true, "./../a": true, "a/b/../../../c": true,
	} {
		if above(p) != want {
			t.Errorf("%q: %v", p, !want)
		}
	}
}
