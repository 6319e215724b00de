// Package faces tests the command as its users meet it: run and exec with pipes
// and terminals, limits, what the listing commands show. Dialogs on a terminal
// are held with the host's own shell too, so that the host says what is right.
package faces

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hythe/test/subject"
)

// limit is what catches a hang.
const limit = 90 * time.Second

// result is what a command did.
type result struct {
	out, errs string
	status    int
}

// hythe runs the command to its end.
func hythe(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	c := exec.Command(subject.Binary(t), args...)
	c.Stdin = strings.NewReader(stdin)
	out, errs, status := subject.Run(t, limit, c)
	return result{out, errs, status}
}

// running is a command that a test talks with through pipes.
type running struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	err bytes.Buffer
}

func start(t *testing.T, args ...string) *running {
	t.Helper()
	return startCmd(t, exec.Command(subject.Binary(t), args...))
}

func startCmd(t *testing.T, cmd *exec.Cmd) *running {
	t.Helper()
	r := &running{t: t, cmd: cmd}
	var err error
	if r.in, err = r.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.out = bufio.NewReader(out)
	r.cmd.Stderr = &r.err
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(limit, func() { r.cmd.Process.Kill() })
	t.Cleanup(func() {
		late.Stop()
		r.cmd.Process.Kill()
		r.cmd.Wait()
	})
	return r
}

// line reads a line of output and demands that it is want.
func (r *running) line(want string) {
	r.t.Helper()
	got, err := r.out.ReadString('\n')
	if strings.TrimSuffix(got, "\n") != want {
		r.t.Fatalf("%q: got %q (%v), want %q; errors: %q", r.cmd.Args, got, err, want, r.err.String())
	}
}

func (r *running) say(s string) {
	r.t.Helper()
	if _, err := io.WriteString(r.in, s); err != nil {
		r.t.Fatalf("%q: %v; errors: %q", r.cmd.Args, err, r.err.String())
	}
}

// end waits for the end and demands an exit status.
func (r *running) end(want int) {
	r.t.Helper()
	rest, _ := io.ReadAll(r.out)
	r.cmd.Wait()
	if got := r.cmd.ProcessState.ExitCode(); got != want {
		r.t.Fatalf("%q: status %d, want %d; rest %q, errors %q", r.cmd.Args, got, want, rest, r.err.String())
	}
}

var machines atomic.Int32

// machine starts a machine whose main program ends, with status 3, at the end
// of its input, and answers its id when commands find it.
func machine(t *testing.T, flags ...string) (string, *running) {
	t.Helper()
	return machineWith(t, nil, flags...)
}

// machineWith is machine with further descriptors for the command.
func machineWith(t *testing.T, files []*os.File, flags ...string) (string, *running) {
	t.Helper()
	id := machineID()
	args := append([]string{"run", "-i", "--name", id}, flags...)
	cmd := exec.Command(subject.Binary(t), append(args, "--", "/bin/sh", "-c", "echo up; cat; exit 3")...)
	cmd.ExtraFiles = files
	r := startCmd(t, cmd)
	r.line("up")
	r.found(id)
	return id, r
}

// machineID is the name of a new machine.
func machineID() string { return fmt.Sprintf("faces-%d-%d", os.Getpid(), machines.Add(1)) }

// found waits until commands find the machine.
func (r *running) found(id string) {
	r.t.Helper()
	for end := time.Now().Add(limit); hythe(r.t, "", "ps", "-m", id).status != 0; {
		if time.Now().After(end) {
			r.t.Fatal("the machine is not found")
		}
	}
}
