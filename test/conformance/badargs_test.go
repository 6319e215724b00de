package conformance

import (
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"hythe/test/subject"
)

// TestBadArguments: no call with bad pointers blocks what must not block, or
// ends a server (which would be said on standard error).
func TestBadArguments(t *testing.T) {
	if !subject.Long() {
		t.Skip("only with HYTHE_LONG=1")
	}
	bin := subject.Binary(t)
	dir := t.TempDir()
	prog := filepath.Join(dir, "badargs")
	if out, err := exec.Command("gcc", "-O1", "-w", "-static", "-o", prog, "testdata/badargs.c").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, "run", "-w", "/tmp", "--", prog)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	var out, errb bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errb
	err := cmd.Run()
	if err != nil || out.String() != "all\n" || errb.Len() != 0 {
		t.Errorf("%v: out %q err %q", err, out.String(), errb.String())
	}
}
