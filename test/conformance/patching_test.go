package conformance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"hythe/test/subject"
)

// TestPatching runs programs that look for traces of patched call sites in what is
// theirs, and of answers that are old, natively, as guests, and as guests whose text is
// left alone.
func TestPatching(t *testing.T) {
	bin := subject.Binary(t)
	subject.Need(t, "/usr/bin/gcc", "/usr/bin/musl-gcc")
	gcc := []string{"gcc", "-O1", "-w", "-pthread"}
	musl := []string{"musl-gcc", "-O1", "-w", "-pthread"}
	for _, p := range []struct {
		name, source string
		long         bool // what another of the same source differs from in little
		build        []string
	}{
		{"text", "text.c", false, gcc},
		{"static", "text.c", false, append(gcc, "-static", "-DSTATIC=1")},
		{"static-pie", "text.c", true, append(gcc, "-static-pie", "-DSTATIC=1")},
		{"musl", "text.c", false, musl},
		{"musl-static", "text.c", true, append(musl, "-static", "-DSTATIC=1")},
		{"parents", "parents.c", false, gcc},
		{"quick", "quick.c", false, gcc},
		{"leas", "leas.c", false, append(gcc, "-static")},
		{"goroutines", "goroutines/main.go", false, []string{"go", "build"}},
	} {
		if p.long && !subject.Long() {
			continue
		}
		prog := filepath.Join(t.TempDir(), p.name)
		build := append(slices.Clone(p.build), "-o", prog, "testdata/patching/"+p.source)
		if out, err := exec.Command(build[0], build[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		dir := t.TempDir()
		native := run(t, []string{prog}, dir, env(dir))
		if native.out == "" {
			t.Fatalf("native: nothing printed, exit %d, %s", native.code, native.err)
		}
		for _, how := range []string{"--no-patch=false", "--no-patch"} {
			t.Run(p.name+how, func(t *testing.T) {
				t.Parallel()
				gd := t.TempDir()
				guest := run(t, []string{bin, "run", how, "-u", fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid()), "-w", gd, "--", prog}, dir, env(dir))
				if native != guest {
					t.Errorf("native and guest differ: exit %d and %d\n%s%s%s", native.code, guest.code, differ(native.out, guest.out), native.err, guest.err)
				}
			})
		}
	}
}
