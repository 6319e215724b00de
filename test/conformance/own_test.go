package conformance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hythe/test/subject"
)

// TestOwnStatus: what Hythe itself answers, each with one line that says why.
func TestOwnStatus(t *testing.T) {
	bin := subject.Binary(t)
	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"run", "--", "/no/such/program"}, 127},
		{[]string{"run", "--", "no-such-program"}, 127},
		{[]string{"run", "--", "/etc/passwd"}, 126},
		{[]string{"run", "--", "/etc"}, 126},
		{[]string{"run", "--root", "/no/such/place", "--", "/bin/true"}, 125},
		{[]string{"run", "-w", "/no/such/place", "--", "/bin/true"}, 125},
		{[]string{"run", "--no-such-flag", "--", "/bin/true"}, 125},
	} {
		r := run(t, append([]string{bin}, c.args...), "/", os.Environ())
		if r.code != c.code || strings.Count(r.err, "\n") != 1 || !strings.HasPrefix(r.err, "hythe: ") || r.out != "" {
			t.Errorf("hythe %q: exit %d out %q err %q, want %d and one line", c.args, r.code, r.out, r.err, c.code)
		}
	}
}

// TestChanges: changes below the root are refused, or kept in memory and gone
// afterwards; those on a mount reach the host.
func TestChanges(t *testing.T) {
	bin := subject.Binary(t)
	dir := t.TempDir()
	name := filepath.Join(dir, "new")
	write := "echo x >" + name
	if r := run(t, []string{bin, "run", "--read-only", "--", "/bin/sh", "-c", write}, "/", os.Environ()); r.code == 0 {
		t.Errorf("--read-only: %+v", r)
	}
	if r := run(t, []string{bin, "run", "--", "/bin/sh", "-c", write + " && cat " + name}, "/", os.Environ()); r.out != "x\n" {
		t.Errorf("a change was not kept: %+v", r)
	}
	if _, err := os.Stat(name); err == nil {
		t.Error("a change reached the host")
	}
	if r := run(t, []string{bin, "run", "-v", dir + ":" + dir + ":ro", "--", "/bin/sh", "-c", write}, "/", os.Environ()); r.code == 0 {
		t.Errorf("-v :ro: %+v", r)
	}
	if r := run(t, []string{bin, "run", "-v", dir + ":" + dir, "--", "/bin/sh", "-c", write}, "/", os.Environ()); r.code != 0 {
		t.Errorf("-v: %+v", r)
	}
	if b, err := os.ReadFile(name); err != nil || string(b) != "x\n" {
		t.Errorf("on the mount: %q, %v", b, err)
	}
}
