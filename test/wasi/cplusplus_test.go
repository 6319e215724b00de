package wasi

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hythe"
	"hythe/test/subject"
)

// TestCPlusPlus: a C++ program over LLVM's library for WASI (containers, streams, files,
// destructors at the end) does what it does natively.
func TestCPlusPlus(t *testing.T) {
	if !subject.Long() {
		t.Skip("only with HYTHE_LONG=1: it is long to compile")
	}
	subject.Need(t, "/usr/bin/g++", "/usr/lib/wasm32-wasi/libc++.a")
	for _, c := range [][]string{
		{"clang++", "--target=wasm32-wasi", "--sysroot=/usr", "-fno-exceptions", "-o", filepath.Join(work, "cc.wasm")},
		{"g++", "-o", filepath.Join(work, "cc.native")},
	} {
		if b, err := exec.Command(c[0], append(c[1:], "-std=c++17", "-O1", "testdata/prog.cc")...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, b)
		}
	}
	const in = "some words and some more words\nand a line\n"
	n := exec.Command("./cc.native", "arg")
	n.Dir, n.Stdin = work, strings.NewReader(in)
	out, errs, status := subject.Run(t, limit, n)
	got := guest(t, in, &hythe.Cmd{Path: "./cc.wasm", Args: []string{"./cc.wasm", "arg"}, Dir: "/w"})
	if got.out != out || got.errs != errs || got.status != status || status != 9 || !strings.HasSuffix(out, "the end\n") {
		t.Errorf("status %d, out %s\nnatively %d, %s\nerr %q", got.status, got.out, status, out, got.errs)
	}
}
