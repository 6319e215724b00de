package recovery

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hythe/test/subject"
)

// TestGuestSideKilled: without its zygote a machine ends with one line that says so and
// exit status 125; without its reaper its first program has ended by SIGKILL.
func TestGuestSideKilled(t *testing.T) {
	bin := subject.Binary(t)
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		pid  int // in the machine's name space
		code int
		last string
	}{
		{"reaper", 1, 128 + 9, ""},
		{"zygote", 2, 125, "hythe: the machine's zygote was killed: no program can be executed any more"},
	} {
		t.Run(c.name, func(t *testing.T) {
			// It executes nothing, which without the zygote would fail before the machine ends.
			r := start(t, bin, []string{"/bin/sh", "-c", "echo ready; while :; do :; done"}, time.Minute)
			if !r.out.Scan() || r.out.Text() != "ready" {
				t.Errorf("the program printed %q", r.out.Text())
			}
			pid := inside(r.cmd.Process.Pid, map[int]string{1: "hythe-reaper", 2: "hythe-guest"}[c.pid], c.pid)
			if pid == 0 || unix.Kill(pid, unix.SIGKILL) != nil {
				t.Errorf("process %d of the machine is not there", c.pid)
				r.cancel()
			}
			err := r.cmd.Wait()
			var x *exec.ExitError
			if !errors.As(err, &x) || x.ExitCode() != c.code {
				t.Errorf("exit: %v, want %d", err, c.code)
			}
			if text := strings.TrimSpace(r.errs.String()); text != c.last {
				t.Errorf("standard error: %q, want %q", text, c.last)
			}
			alone(t)
		})
	}
}

// inside finds the process of this name below another one that has a number in a pid
// name space of its own; 0 if there is none.
func inside(above int, name string, pid int) int {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", above))
	for _, f := range tasks {
		b, _ := os.ReadFile(f)
		for _, w := range strings.Fields(string(b)) {
			n, _ := strconv.Atoi(w)
			st, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", n))
			_, rest, _ := strings.Cut(string(st), "\nNSpid:")
			line, _, _ := strings.Cut(rest, "\n")
			if f := strings.Fields(line); len(f) > 1 && f[len(f)-1] == strconv.Itoa(pid) && strings.HasPrefix(string(st), "Name:\t"+name+"\n") {
				return n
			}
			if found := inside(n, name, pid); found != 0 {
				return found
			}
		}
	}
	return 0
}
