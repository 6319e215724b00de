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
	if err := checkHeader(b); err != nil {
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
