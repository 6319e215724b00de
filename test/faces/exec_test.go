package faces

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// services answers the names of a machine's servers.
func services(t *testing.T, id string) map[string]int {
	t.Helper()
	var v []struct {
		Items []struct {
			Name     string
			Restarts int
		}
	}
	r := hythe(t, "", "services", "--json", "-m", id)
	if err := json.Unmarshal([]byte(r.out), &v); err != nil || len(v) != 1 {
		t.Fatalf("services: %v %+v", err, r)
	}
	m := map[string]int{}
	for _, s := range v[0].Items {
		m[s.Name] = s.Restarts
	}
	return m
}

func TestExec(t *testing.T) {
	id, m := machine(t)
	for _, c := range []struct {
		flags, in, prog string
		want            result
	}{
		{"", "", "echo out; echo err >&2", result{"out\n", "err\n", 0}},
		{"", "", "exit 7", result{"", "", 7}},
		{"", "", "kill -9 $$", result{"", "", 137}},
		{"", "", "kill -TERM $$", result{"", "", 143}},
		{"", "unseen", "cat", result{"", "", 0}},
		{"-i", "seen", "cat", result{"seen", "", 0}},
		{"-e A=b -w /usr/bin -u 7:8", "", "echo $A; pwd; id -u; id -g", result{"b\n/usr/bin\n7\n8\n", "", 0}},
		// A session and a process group of its own, a child of nobody here.
		{"", "", "read p n s pp pg sid tty rest </proc/$$/stat; [ $p = $pg ] && [ $p = $sid ] && echo $pp $tty", result{"0 0\n", "", 0}},
		// What is left behind finds its streams at their end.
		{"", "", "echo 1; (trap '' HUP; exec sleep 300) & exit 5", result{"1\n", "", 5}},
	} {
		args := append([]string{"exec", "-m", id}, strings.Fields(c.flags)...)
		if got := hythe(t, c.in, append(args, "--", "/bin/sh", "-c", c.prog)...); got != c.want {
			t.Errorf("exec %s %q: %+v, want %+v", c.flags, c.prog, got, c.want)
		}
	}
	for prog, want := range map[string]int{"/no/such": 127, "no-such": 127, "/etc/passwd": 126, "/usr": 126} {
		if got := hythe(t, "", "exec", "-m", id, "--", prog); got.status != want || strings.Count(got.errs, "\n") != 1 {
			t.Errorf("exec %s: %+v, want status %d and a line", prog, got, want)
		}
	}
	// Their console servers are gone with them.
	for name := range services(t, id) {
		if strings.HasPrefix(name, "console-") {
			t.Errorf("%s is left", name)
		}
	}
	m.in.Close()
	m.end(3)
}

// Several at a time do not meet.
func TestExecManyAtOnce(t *testing.T) {
	id, m := machine(t)
	const n = 6
	var all []*running
	for range n {
		all = append(all, start(t, "exec", "-i", "-m", id, "--", "/bin/cat"))
	}
	for round := range 3 {
		for i, r := range all {
			r.say(fmt.Sprintf("%d for %d\n", round, i))
		}
		for i, r := range all {
			r.line(fmt.Sprintf("%d for %d", round, i))
		}
	}
	for _, r := range all {
		r.in.Close()
	}
	for _, r := range all {
		r.end(0)
	}
	// Short ones, in parallel.
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			for range 3 {
				want := result{fmt.Sprintln(i), "", i}
				if got := hythe(t, "", "exec", "-m", id, "--", "/bin/sh", "-c", fmt.Sprintf("echo %d; exit %d", i, i)); got != want {
					t.Errorf("%+v, want %+v", got, want)
				}
			}
		})
	}
	wg.Wait()
	m.in.Close()
	m.end(3)
}

// The command passes signals on, and its own end is the program's.
func TestExecSignals(t *testing.T) {
	id, m := machine(t)
	r := start(t, "exec", "-i", "-m", id, "--", "/bin/sh", "-c", "trap 'echo caught; exit 9' TERM; echo ready; while :; do read x; done")
	r.line("ready")
	r.cmd.Process.Signal(syscall.SIGTERM)
	r.line("caught")
	r.end(9)

	r = start(t, "exec", "-i", "-m", id, "--", "/bin/sh", "-c", "echo $$; exec cat")
	pid, err := r.out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	r.cmd.Process.Kill()
	r.cmd.Wait()
	for hythe(t, "", "kill", "-s", "0", "-m", id, strings.TrimSpace(pid)).status == 0 {
	}
	m.in.Close()
	m.end(3)
}

// The machine ends with its main program, whatever else runs.
func TestExecEndsWithMachine(t *testing.T) {
	id, m := machine(t)
	r := start(t, "exec", "-i", "-m", id, "--", "/bin/sh", "-c", "trap '' TERM HUP; echo ready; while :; do read x; done")
	r.line("ready")
	m.in.Close()
	m.end(3)
	r.end(137)
}

// Neither the program nor its client notice the death of a server.
func TestExecSurvivesServers(t *testing.T) {
	id, m := machine(t)
	r := start(t, "exec", "-i", "-m", id, "--", "/bin/cat")
	other := start(t, "exec", "-i", "-m", id, "--", "/bin/cat")
	for i, server := range []string{"unix", "console-2", "console", "overlay", "unix", "console-2", "unix"} {
		for k, x := range []*running{r, other, m} {
			s := fmt.Sprintf("%d to %d", i, k)
			x.say(s + "\n")
			x.line(s)
		}
		if got := hythe(t, "", "restart", "-m", id, server); got.status != 0 {
			t.Fatalf("restart %s: %+v", server, got)
		}
	}
	r.say("end\n")
	r.line("end")
	if got := hythe(t, "", "exec", "-m", id, "--", "/bin/sh", "-c", "exit 4"); got.status != 4 {
		t.Errorf("exec after restarts: %+v", got)
	}
	r.in.Close()
	r.end(0)
	other.in.Close()
	other.end(0)
	m.in.Close()
	m.end(3)
}

// exec --json: the program has its streams to itself, but for a line at the end.
func TestExecJSON(t *testing.T) {
	id, m := machine(t)
	for _, c := range []struct {
		prog, out, errs string
		status          int
	}{
		{"echo x; exit 0", "x\n", `{"machine":"ID","pid":PID,"status":0}`, 0},
		{"exit 7", "", `{"machine":"ID","pid":PID,"status":7}`, 7},
		{"kill -9 $$", "", `{"machine":"ID","pid":PID,"status":137,"signal":9}`, 137},
		{"", "", `{"machine":"ID","status":127,"error":"no-such: file does not exist"}`, 127},
	} {
		args := []string{"exec", "--json", "-m", id, "--", "/bin/sh", "-c", c.prog}
		if c.prog == "" {
			args = append(args[:5], "no-such")
		}
		r := hythe(t, "", args...)
		r.errs = regexp.MustCompile(`"pid":[1-9]\d*`).ReplaceAllString(r.errs, `"pid":PID`)
		if want := (result{c.out, strings.ReplaceAll(c.errs, "ID\"", id+"\"") + "\n", c.status}); r != want {
			t.Errorf("%q: %+v, want %+v", c.prog, r, want)
		}
	}
	m.in.Close()
	m.end(3)
}
