package recovery

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hythe/test/subject"
)

// TestFailingStart: a server that cannot start ends the machine, with one line
// that says so, exit status 125 and nothing left behind. A limit on the size of
// files keeps the servers from mapping their state.
func TestFailingStart(t *testing.T) {
	bin := subject.Binary(t)
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", `ulimit -f 1048576; exec "$0" run -- /bin/true`, bin)
	out, err := cmd.CombinedOutput()
	var x *exec.ExitError
	if !errors.As(err, &x) || x.ExitCode() != 125 {
		t.Errorf("exit: %v, want 125", err)
	}
	text := strings.TrimSpace(string(out))
	last := text[strings.LastIndexByte(text, '\n')+1:]
	if !strings.Contains(last, "failed at its start 16 times in a row") {
		t.Errorf("the last line is %q, in\n%s", last, text)
	}
	alone(t)
}

// TestManyMachines starts and ends machines, ten at a time, and then as many
// that are killed with SIGKILL while their program runs: no process stays behind,
// and so no memfd and no control socket (an abstract one), and no temporary
// file. Hythe makes no control groups on the host.
func TestManyMachines(t *testing.T) {
	bin := subject.Binary(t)
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	n := 20
	if subject.Long() {
		n = 200
	}
	for _, kill := range []bool{false, true} {
		name := "ended"
		if kill {
			name = "killed"
		}
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			slots, errs := make(chan struct{}, 10), make(chan error, n)
			for range n {
				slots <- struct{}{}
				go func() {
					errs <- oneMachine(bin, dir, kill)
					<-slots
				}()
			}
			for range n {
				if err := <-errs; err != nil {
					t.Error(err)
				}
			}
			alone(t)
			if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
				t.Errorf("temporary files are left: %v, %v", left, err)
			}
		})
	}
}

// oneMachine runs a machine to its end, or until its program says that it
// runs, when it is killed. dir is where it would make temporary files.
func oneMachine(bin, dir string, kill bool) error {
	script := "echo up"
	if kill {
		// The pipeline's members wait for each other: they end only with the machine.
		script = "echo up; sleep 1000 | sleep 1000"
	}
	cmd := exec.Command(bin, "run", "--", "/bin/sh", "-c", script)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "XDG_RUNTIME_DIR="+dir)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	limit := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	defer limit.Stop()
	buf := make([]byte, 3)
	if _, err := out.Read(buf); err != nil || string(buf) != "up\n" {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return errors.New("no output: " + errs.String())
	}
	if !kill {
		if err := cmd.Wait(); err != nil {
			return errors.New(err.Error() + ": " + errs.String())
		}
		return nil
	}
	if err := cmd.Process.Kill(); err != nil {
		return err
	}
	// Its output may be held by a process that outlives it: that must end too.
	_ = cmd.Wait()
	return nil
}
