package recovery

import (
	"bytes"
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

// TestKilledWhileBooting kills the unix server at a different moment of each of
// several starts: before it has a state, in the middle of mounting, while the
// first program is loaded. The program must run as if nothing had happened.
func TestKilledWhileBooting(t *testing.T) {
	bin := subject.Binary(t)
	runs := 10
	if subject.Long() {
		runs = 100
	}
	program := []string{"run", "--", "/bin/sh", "-c", "ls /proc/self/fd >/dev/null && echo ok; cat /proc/mounts"}
	want, err := exec.Command(bin, program...).Output()
	if err != nil || !bytes.HasPrefix(want, []byte("ok\n")) {
		t.Fatalf("undisturbed: %v, %q", err, want)
	}
	for i := range runs {
		after := time.Duration(i) * 30 * time.Millisecond / time.Duration(runs)
		cmd := exec.Command(bin, program...)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		end := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
		if pid := childNamed(cmd.Process.Pid, "hythe-unix"); pid == 0 {
			t.Error("the unix server never started")
		} else {
			<-time.After(after) // where in the start it is hit
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		if err := cmd.Wait(); err != nil || out.String() != string(want) {
			t.Errorf("killed after %v: %v, %q\n%s", after, err, out.String(), errs.String())
		}
		end.Stop()
	}
}

// childNamed waits until a process has a child whose first argument is name; 0
// when it does not within 20 s.
func childNamed(pid int, name string) int {
	for limit := time.Now().Add(20 * time.Second); time.Now().Before(limit); {
		if pids := childrenNamed(pid, name); len(pids) > 0 {
			return pids[0]
		}
	}
	return 0
}

// childrenNamed are the children of a process whose first argument is name.
func childrenNamed(pid int, name string) (pids []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, l := range lists {
		b, _ := os.ReadFile(l)
		for _, f := range strings.Fields(string(b)) {
			c, _ := os.ReadFile("/proc/" + f + "/cmdline")
			if arg0, _, _ := bytes.Cut(c, []byte{0}); string(arg0) == name {
				n, _ := strconv.Atoi(f)
				pids = append(pids, n)
			}
		}
	}
	return pids
}
