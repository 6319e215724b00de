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
	// It stays until its input ends: a machine may be over before it was looked at otherwise.
	program := []string{"run", "-i", "--", "/bin/sh", "-c", "ls /proc/self/fd >/dev/null && echo ok; cat /proc/mounts -"}
	want, err := exec.Command(bin, program...).Output()
	if err != nil || !bytes.HasPrefix(want, []byte("ok\n")) {
		t.Fatalf("undisturbed: %v, %q", err, want)
	}
	for i := range runs {
		after := time.Duration(i) * 30 * time.Millisecond / time.Duration(runs)
		cmd := exec.Command(bin, program...)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
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
		in.Close()
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

// TestWaitingRequests: hythe services counts the calls that wait in the unix
// server, and a server that is killed leaves them to the next one.
func TestWaitingRequests(t *testing.T) {
	bin := subject.Binary(t)
	// The shell waits for the first, the first for a writer that never comes.
	r := start(t, bin, []string{"/bin/sh", "-c", "mkfifo /dev/shm/f; echo up; cat /dev/shm/f; echo end"}, shortLimit)
	if !r.out.Scan() || r.out.Text() != "up" {
		t.Fatalf("the program says %q\n%s", r.out.Text(), r.errs.String())
	}
	waiting := func(not int) (pid int) {
		for r.ctx.Err() == nil {
			for _, s := range r.services(t) {
				if s.Name == "unix" && s.State == "running" && s.HostPID != not && s.Requests == 2 {
					return s.HostPID
				}
			}
		}
		t.Fatal("there never were two calls that wait")
		return 0
	}
	pid := waiting(0)
	_ = unix.Kill(pid, unix.SIGKILL)
	waiting(pid)
	if out, err := exec.Command(bin, "exec", "-m", r.id, "--", "/bin/sh", "-c", "echo written >/dev/shm/f").CombinedOutput(); err != nil {
		t.Fatalf("exec: %v, %s", err, out)
	}
	for _, want := range []string{"written", "end"} {
		if !r.out.Scan() || r.out.Text() != want {
			t.Errorf("the program says %q, want %q", r.out.Text(), want)
		}
	}
	if err := r.cmd.Wait(); err != nil {
		t.Error(err)
	}
}
