package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRun: a protocol is compiled; an edit that changes a form is refused with one line
// and changes nothing; one that adds to it is taken.
func TestRun(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "idl", "p.idl")
	write := func(s string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(s), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	// all is what there is but the source.
	all := func() string {
		t.Helper()
		var b strings.Builder
		for _, name := range []string{"idl/p.lock", "idl/p/p_gen.go", "idl/p/p_gen_test.go", "docs/protocols.md"} {
			s, err := os.ReadFile(filepath.Join(root, name))
			if err != nil {
				t.Fatal(err)
			}
			b.Write(s)
		}
		return b.String()
	}
	const one = "protocol p 1 over ports\n// Get gets.\nmethod Get = 1 (id u64) -> (n u32) errors ENOENT\n"
	write(one)
	if err := run(root, "docs/protocols.md", nil); err != nil {
		t.Fatal(err)
	}
	was := all()
	for _, want := range []string{"DO NOT EDIT", "func Dispatch(", "| 1 | Get |", "method Get in id = 0: u64 since 1", "func FuzzDecode("} {
		if !strings.Contains(was, want) {
			t.Errorf("no %q in what was written", want)
		}
	}
	for _, c := range []struct{ src, want string }{
		{strings.Replace(one, "u64", "u32", 1), `idl/p.idl:3:17: method Get in id was given out as "0: u64" and is now "0: u32"`},
		{strings.Replace(one, "(n u32)", "(n u32, x u8)", 1), "idl/p.idl:3:36: method Get out x is new, and version 1 was given out without it"},
		{strings.Replace(one, "n u32", "n u33", 1), `idl/p.idl:3:31: there is no type "u33" before this`},
		{strings.Replace(one, "protocol p", "protocol q", 1), "protocol q in a file of another name"},
	} {
		write(c.src)
		err := run(root, "docs/protocols.md", nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %s", err, c.want)
		}
		if all() != was {
			t.Fatal("files were changed")
		}
	}
	write(strings.Replace(strings.Replace(one, "p 1", "p 2", 1), "(n u32)", "(n u32, x u8 since 2)", 1))
	if err := run(root, "docs/protocols.md", nil); err != nil {
		t.Fatal(err)
	}
	if now := all(); !strings.Contains(now, "method Get out x = 1: u8 since 2") || !strings.Contains(now, "x `u8` since 2") {
		t.Error("what is new is not there")
	}
	if err := run(t.TempDir(), "", nil); err == nil {
		t.Error("no protocols are no error")
	}
}
