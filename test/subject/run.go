package subject

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Run starts a command and answers what it wrote to its two streams and how it
// ended. The test ends if it cannot be started; one that takes longer than limit is
// killed, and the test fails.
func Run(t testing.TB, limit time.Duration, c *exec.Cmd) (out, errs string, status int) {
	t.Helper()
	var o, e bytes.Buffer
	c.Stdout, c.Stderr = &o, &e
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(limit, func() { c.Process.Kill() })
	err := c.Wait()
	if !late.Stop() {
		t.Errorf("%q does not end; out %q, err %q", c.Args, o.String(), e.String())
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%q: %v", c.Args, err)
	}
	return o.String(), e.String(), c.ProcessState.ExitCode()
}

// PublicBinary is a copy of Binary that every user of the host can reach: the
// checkout may be root's alone. It is gone when the test ends.
func PublicBinary(t testing.TB, beside ...string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hythe")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	err = os.Chmod(dir, 0o755)
	for _, name := range append(beside, "hythe") {
		var b []byte
		if err == nil {
			b, err = os.ReadFile(filepath.Join(filepath.Dir(Binary(t)), name))
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), b, 0o755)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "hythe")
}
