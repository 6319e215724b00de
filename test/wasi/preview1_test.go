package wasi

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hythe"
	"hythe/test/subject"
)

// TestPreview1: what each function answers, with the semantics that the public test suite
// of WASI asks for (testdata/preview1.c). Most tests run in one process; those that change
// its pre-opened directories or its standard descriptors have one each.
func TestPreview1(t *testing.T) {
	subject.Need(t, "/usr/bin/clang", "/usr/lib/wasm32-wasi/libc.a")
	out := filepath.Join(work, "preview1.wasm")
	if b, err := exec.Command("clang", "--target=wasm32-wasi", "--sysroot=/usr", "-O1", "-o", out, "testdata/preview1.c").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	if err := os.Mkdir(filepath.Join(work, "preview1"), 0o755); err != nil { // other tests' files have its tests' names
		t.Fatal(err)
	}
	for _, name := range []string{"all", "over_preopen", "close_preopen", "stdio"} {
		got := guest(t, "input", &hythe.Cmd{Path: "/w/preview1.wasm", Args: []string{"preview1", name}, Env: []string{"GREETING=hey", "EMPTY="}, Dir: "/w/preview1"})
		passed := 0
		for line := range strings.Lines(got.out) {
			if strings.HasPrefix(line, "ok ") {
				passed++
			} else if line != "end\n" {
				t.Error(strings.TrimSpace(line))
			}
		}
		if got.status != 0 || got.errs != "" || passed == 0 || !strings.HasSuffix(got.out, "end\n") {
			t.Errorf("%s: status %d, %d pass, out %q, err %q", name, got.status, passed, tail(got.out), got.errs)
		}
	}
}
