package conformance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"hythe/test/subject"
)

// TestPatching runs programs that look for traces of patched call sites in what is
// theirs, and of answers that are old, natively, as guests, and as guests whose text is
// left alone.
func TestPatching(t *testing.T) {
	bin := subject.Binary(t)
	subject.Need(t, "/usr/bin/gcc")
	for _, name := range []string{"text", "parents"} {
		prog := filepath.Join(t.TempDir(), name)
		if out, err := exec.Command("gcc", "-O1", "-w", "-pthread", "-o", prog, "testdata/patching/"+name+".c").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		dir := t.TempDir()
		native := run(t, []string{prog}, dir, env(dir))
		if native.out == "" {
			t.Fatalf("native: nothing printed, exit %d, %s", native.code, native.err)
		}
		for _, how := range []string{"--no-patch=false", "--no-patch"} {
			t.Run(name+how, func(t *testing.T) {
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
