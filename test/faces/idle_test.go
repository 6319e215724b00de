package faces

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"hythe/test/subject"
)

// ticks is the processor time that processes have used, in hundredths of a second.
func ticks(t *testing.T, pids map[int]string) map[string]int {
	t.Helper()
	all := map[string]int{}
	for pid, name := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		f := strings.Fields(string(b[max(strings.LastIndexByte(string(b), ')'), 0):]))
		if err != nil || len(f) < 15 {
			t.Fatalf("%s (%d): %v %q", name, pid, err, b)
		}
		for _, s := range f[12:14] { // fields 14 and 15 of proc(5)
			n, err := strconv.Atoi(s)
			if err != nil {
				t.Fatal(err)
			}
			all[name] += n
		}
	}
	return all
}

// A machine whose programs wait uses no processor, also one whose servers are lent a
// priority meanwhile.
func TestIdle(t *testing.T) {
	if os.Getenv("HYTHE_LONG") == "" {
		t.Skip("only with HYTHE_LONG=1")
	}
	const chrt = "/usr/bin/chrt"
	subject.Need(t, chrt)
	for _, c := range []struct {
		name  string
		flags []string
		prog  string
	}{
		{"plain", nil, "echo up; read x"},
		{"before others", []string{"--sched", "rtprio=5"}, "chrt -f 5 sh -c 'echo up; read x' || { echo up; read x; }"},
	} {
		id := machineID()
		args := append([]string{"run", "-i", "--name", id}, c.flags...)
		r := startCmd(t, exec.Command(subject.Binary(t), append(args, "--", "/bin/sh", "-c", c.prog)...))
		r.line("up")
		r.found(id)
		pids := processes(t, id, r.cmd.Process.Pid)
		for pid, name := range pids { // those of a pool come and go
			if name != "guest" && name != "unix" && name != "overlay" && name != "host" && name != "console" && name != "reaper" {
				delete(pids, pid)
			}
		}
		pids[r.cmd.Process.Pid] = "nucleus"
		if len(pids) < 6 {
			t.Fatalf("%s: the processes are %v", c.name, pids)
		}
		ended := make(chan struct{})
		go func() {
			r.out.Peek(1)
			close(ended)
		}()
		waits := func(d time.Duration) {
			t.Helper()
			select {
			case <-ended:
				t.Fatalf("%s: it says something, or has ended", c.name)
			case <-time.After(d):
			}
		}
		const long = 10 * time.Second
		waits(2 * time.Second) // what was begun is done with then
		was := ticks(t, pids)
		waits(long)
		for name, n := range ticks(t, pids) {
			if n -= was[name]; n > 3 {
				t.Errorf("%s: %s: %d hundredths of a second in %v", c.name, name, n, long)
			}
		}
		r.say("\n")
		<-ended
		r.end(0)
	}
}
