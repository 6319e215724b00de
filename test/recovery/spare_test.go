package recovery

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hythe/test/subject"
)

// TestSpareTask: a task in store is no process that a guest sees, and if somebody on the host
// kills it, at most the program that gets it meanwhile is killed.
func TestSpareTask(t *testing.T) {
	bin := subject.Binary(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, "run", "-i", "--", "/bin/sh", "-c", `while read x; do /bin/true; echo $x $? /proc/[0-9]*; done`)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	n := 0
	run := func() (status string) {
		t.Helper()
		n++
		fmt.Fprintln(in, n)
		if !lines.Scan() {
			t.Fatal("the program has ended")
		}
		f := strings.Fields(lines.Text())
		if len(f) != 3 || f[0] != strconv.Itoa(n) || f[2] != "/proc/1" {
			t.Fatalf("run %d: %q", n, lines.Text())
		}
		return f[1]
	}
	if s := run(); s != "0" {
		t.Fatalf("the first program: %s", s)
	}
	reaper := inside(cmd.Process.Pid, "hythe-reaper", 1)
	shell := inside(cmd.Process.Pid, "hythe-guest", 3)
	zygote := inside(cmd.Process.Pid, "hythe-guest", 2)
	if reaper == 0 || shell == 0 || zygote == 0 {
		t.Fatalf("reaper %d, shell %d, zygote %d", reaper, shell, zygote)
	}
	spare := func(but int) int {
		for ctx.Err() == nil {
			b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", reaper, reaper))
			var l []string
			for _, f := range strings.Fields(string(b)) {
				if !slices.Contains([]string{strconv.Itoa(shell), strconv.Itoa(zygote), strconv.Itoa(but)}, f) {
					l = append(l, f)
				}
			}
			if len(l) == 1 { // and not a program that is about to be gone
				pid, _ := strconv.Atoi(l[0])
				return pid
			}
		}
		t.Fatal("there never was one spare task")
		return 0
	}
	for range 10 {
		pid := spare(0)
		for err := unix.Kill(pid, unix.SIGKILL); err != nil; err = unix.Kill(pid, unix.SIGKILL) {
			if err != unix.ESRCH {
				t.Fatal(err)
			}
			pid = spare(pid) // it was the last program: who waits for one is answered before it is gone
		}
		if s := run(); s != "0" && s != "137" {
			t.Errorf("the program after the spare task was killed: %s", s)
		}
		spare(pid)
		if s := run(); s != "0" {
			t.Errorf("the next program: %s", s)
		}
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("exit: %v", err)
	}
	for l := range strings.Lines(said.String()) {
		if l != "Killed\n" { // the shell's
			t.Errorf("standard error: %q", l)
		}
	}
}
