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

// TestC: a C program over WASI's C library does what it does natively.
func TestC(t *testing.T) {
	subject.Need(t, "/usr/bin/clang", "/usr/lib/wasm32-wasi/libc.a")
	for _, c := range [][]string{
		{"clang", "--target=wasm32-wasi", "--sysroot=/usr", "-O2", "-o", filepath.Join(work, "prog.wasm")},
		{"gcc", "-O2", "-w", "-o", filepath.Join(work, "prog.native")},
	} {
		if b, err := exec.Command(c[0], append(c[1:], "testdata/prog.c")...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, b)
		}
	}
	if err := os.WriteFile(filepath.Join(work, "given"), []byte("given\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	n := exec.Command("./prog.native", "arg")
	n.Dir, n.Stdin = work, strings.NewReader("input\n")
	out, _, status := subject.Run(t, limit, n)
	got := guest(t, "input\n", &hythe.Cmd{Path: "./prog.wasm", Args: []string{"./prog.wasm", "arg"}, Dir: "/w"})
	if got.out != out || got.status != status {
		t.Errorf("status %d, out %s\nnatively %d, %s\nerr %q", got.status, got.out, status, out, got.errs)
	}
}

// TestAbsolute: which paths of a C program are taken for absolute ones.
func TestAbsolute(t *testing.T) {
	src := `
#include <stdio.h>
#include <errno.h>
#include <string.h>
#include <fcntl.h>
#include <unistd.h>
#include <sys/stat.h>
int main(int argc, char **argv) {
	int r = -1;
	const char *p = argv[2];
	errno = 0;
	switch (argv[1][0]) {
	case 'x': close(3); // "/": then there are no absolute paths
	case 's': { struct stat st; r = stat(p, &st); break; }
	case 'o': r = open(p, O_RDONLY); break;
	case 'c': r = open(p, O_RDWR | O_CREAT, 0666); break;
	case 'm': r = mkdir(p, 0777); break;
	case 'r': r = rmdir(p); break;
	case 'u': r = unlink(p); break;
	case 'l': r = symlink(p, argv[3]); break;
	}
	puts(r < 0 ? strerror(errno) : "ok");
	return 0;
}`
	if err := os.WriteFile(filepath.Join(work, "paths.c"), []byte(src), 0o644); err != nil {
		t.Fatal(err)
	}
	if b, err := exec.Command("clang", "--target=wasm32-wasi", "--sysroot=/usr", "-O1", "-o", filepath.Join(work, "paths.wasm"), filepath.Join(work, "paths.c")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	script := `mkdir -p dir/sub; ln -sfn /etc out; ln -sfn ../../etc up; ln -sfn dir in; echo >dir/f; P=/w/paths.wasm
mkdir -p /tmp/made; echo >/tmp/made/f
t() { echo "$* $($P "$@")"; }
t s /etc/passwd; t o /etc; t s dir/f; t s in/f; t s /w/dir/f
t s ../w/dir/f; t o out/passwd; t s up/passwd; t s dir/../dir/f; t s dir/../../etc/passwd
t c /tmp/made/g; t u /tmp/made/f; t m tmp; t r tmp; t u bin; t r srv
t l /etc abs; t l dir rel; rm -f rel; t s nothing; t s /nothing; t x /etc/passwd; t x dir/f`
	want := `s /etc/passwd ok
o /etc ok
s dir/f ok
s in/f ok
s /w/dir/f ok
s ../w/dir/f Capabilities insufficient
o out/passwd Capabilities insufficient
s up/passwd Capabilities insufficient
s dir/../dir/f ok
s dir/../../etc/passwd Capabilities insufficient
c /tmp/made/g ok
u /tmp/made/f ok
m tmp ok
r tmp ok
u bin No such file or directory
r srv No such file or directory
l /etc abs Capabilities insufficient
l dir rel ok
s nothing No such file or directory
s /nothing No such file or directory
x /etc/passwd No such file or directory
x dir/f ok
`
	got := guest(t, "", &hythe.Cmd{Path: "/bin/bash", Args: []string{"bash", "-c", script}, Dir: "/w"})
	if got.out != want {
		t.Errorf("out %s\nwant %s\nerr %q", got.out, want, got.errs)
	}
}
