package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"hythe"
	"hythe/cmd/hythe/internal/control"
	"hythe/personality/linux"
)

// command runs a command line and answers what it wrote and its exit status.
func command(args ...string) (out, errs string, status int) {
	var o, e bytes.Buffer
	status = execute(args, stdio{nil, &o, &e})
	return o.String(), e.String(), status
}

// TestWrongUse: every wrong use is one line on standard error and status 125.
func TestWrongUse(t *testing.T) {
	for _, args := range [][]string{
		{"nonsense"},
		{"run"},
		{"run", "--"},
		{"run", ""},
		{"run", "--no-such-flag", "x"},
		{"run", "-v", "/tmp", "x"},
		{"run", "-v", "/tmp:relative", "x"},
		{"run", "-v", "/tmp:/", "x"},
		{"run", "-v", "/tmp:/x:rx", "x"},
		{"run", "-v", "/no/such/place:/x", "x"},
		{"run", "-v", ":/x", "x"},
		{"run", "-v", "/tmp:/x:ro:ro", "x"},
		{"run", "-e", "=v", "x"},
		{"run", "-e", "", "x"},
		{"run", "-u", "root", "x"},
		{"run", "-u", "1:", "x"},
		{"run", "-u", "-1", "x"},
		{"run", "-u", "4294967295", "x"},
		{"run", "-w", "relative", "x"},
		{"run", "--memory", "lots", "x"},
		{"run", "--memory", "0", "x"},
		{"run", "--memory", "-1", "x"},
		{"run", "--memory", "9999999999t", "x"},
		{"run", "--pids-limit", "-2", "x"},
		{"run", "--pids-limit", "many", "x"},
		{"run", "--sched", "nice=1", "x"},
		{"run", "--sched", "rtprio=100", "x"},
		{"run", "--sched", "deadline=1", "x"},
		{"run", "--sched", "rtprio=1,,deadline", "x"},
		{"run", "--cpuset-cpus", "1-0", "x"},
		{"run", "--cpuset-cpus", "0,,1", "x"},
		{"run", "--cpuset-cpus", "1024", "x"},
		{"run", "--cpuset-cpus", "-1", "x"},
		{"run", "--cpuset-cpus", "1023", "x"},
		{"run", "--root", "/no/such/place", "x"},
		{"run", "--hostname", "a b", "x"},
		{"run", "--network", "host", "x"},
		{"run", "--network", "lab,allow=10.0.0.1", "x"},
		{"run", "--network", "lab,ip=10.0.4.1", "x"},
		{"run", "--network", "lab,ip=fd00::1", "x"},
		{"run", "--network", "a/b", "x"},
		{"run", "--network", strings.Repeat("n", 33), "x"},
		{"run", "--network", "none,ip=10.0.3.2", "x"},
		{"run", "--network", "user,ip=10.0.3.2", "x"},
		{"run", "--network", "tap:", "x"},
		{"run", "--network", "tap:tap0", "x"},
		{"run", "--network", "tap:tap0,ip=10.0.3.2", "x"},
		{"run", "--network", "tap:tap0,ip=10.0.3.2/24,gw=10.0.4.1", "x"},
		{"run", "--network", "tap:tap0,ip=10.0.3.2/24,mtu=1", "x"},
		{"run", "--network", "tap:much-too-long-a-name,ip=10.0.3.2/24", "x"},
		{"run", "--trace=/no/such/place/file", "x"},
		{"kill"},
		{"kill", "x"},
		{"kill", "0"},
		{"kill", "-s", "NOPE", "1"},
		{"kill", "-s", "65", "1"},
		{"restart"},
		{"ps", "x"},
		{"ps", "-m", "no-such-machine"},
		{"exec", "-m", "no-such-machine", "x"},
		{"exec"},
		{"pool", "x"},
		{"stop", "x"},
		{"stop", "-m", "no-such-machine"},
		{"pool", "--idle", "-1s"},
		{"pool", "-v", "/no/such/place:/x"},
		{"install-exec", "/dev/null/x"},
		{"install-exec", "a", "b"},
	} {
		out, errs, status := command(args...)
		if status != 125 || strings.Count(errs, "\n") != 1 || !strings.HasPrefix(errs, "hythe: ") || out != "" {
			t.Errorf("hythe %q: status %d, out %q, err %q", args, status, out, errs)
		}
	}
}

func TestParsers(t *testing.T) {
	m, err := parseMount("/tmp:/a/../b:ro")
	if err != nil || m != (hythe.Mount{Source: "/tmp", Target: "/b", ReadOnly: true}) {
		t.Errorf("mount: %+v, %v", m, err)
	}
	for in, want := range map[string]int64{"1": 1, "7b": 7, "2k": 2048, "3M": 3 << 20, "1g": 1 << 30, "1t": 1 << 40} {
		if got, err := parseSize(in); got != want || err != nil {
			t.Errorf("size %s: %d, %v", in, got, err)
		}
	}
	for in, want := range map[string]int{"TERM": 15, "sigkill": 9, "HUP": 1, "0": 0, "64": 64, "SIGUSR1": 10} {
		if got, err := parseSignal(in); got != want || err != nil {
			t.Errorf("signal %s: %d, %v", in, got, err)
		}
	}
	for in, want := range map[string]string{"": "[]", "3": "[3]", "0-2,5": "[0 1 2 5]", "1023": "[1023]"} {
		if got, err := parseProcessors(in); fmt.Sprint(got) != want || err != nil {
			t.Errorf("processors %s: %v, %v", in, got, err)
		}
	}
	if s, err := parseScheduling("nice=-5,rtprio=7,deadline"); err != nil || s != (hythe.Scheduling{Nice: -5, Priority: 7, Deadline: true}) {
		t.Errorf("scheduling: %+v, %v", s, err)
	}
	if u, err := parseUser("5:6"); err != nil || u.UID != 5 || u.GID != 6 {
		t.Errorf("user: %+v, %v", u, err)
	}
	t.Setenv("HYTHE_TEST_VALUE", "v=w")
	if kv, ok, err := parseEnv("HYTHE_TEST_VALUE"); kv != "HYTHE_TEST_VALUE=v=w" || !ok || err != nil {
		t.Errorf("env: %q, %v, %v", kv, ok, err)
	}
	if _, ok, err := parseEnv("HYTHE_TEST_NONE"); ok || err != nil {
		t.Errorf("env that is not set: %v, %v", ok, err)
	}
}

// fake is a machine that answers the listing commands.
type fake struct {
	control.Machine
	mu     sync.Mutex // guards killed
	killed []int
	broken bool
}

func (f *fake) Processes(context.Context) ([]hythe.ProcessInfo, error) {
	return []hythe.ProcessInfo{{PID: 7, PPID: 1, State: "S", Threads: 2, Personality: "linux", Args: []string{"evil\x1b[2J", "x"}}}, nil
}
func (f *fake) Services(context.Context) ([]hythe.ServiceInfo, error) {
	if f.broken {
		return nil, errors.New("broken")
	}
	return []hythe.ServiceInfo{{Name: "unix", State: "running", HostPID: 3}}, nil
}
func (f *fake) Ports(context.Context) ([]hythe.PortInfo, error) { return nil, nil }
func (f *fake) Counters(context.Context) ([]hythe.CounterInfo, error) {
	return []hythe.CounterInfo{{Name: "sockets", Value: 1 << 63}}, nil
}

func (f *fake) Sockets(context.Context) ([]hythe.SocketInfo, error) {
	return []hythe.SocketInfo{{Proto: "tcp", Local: "0.0.0.0:80", State: "LISTEN", PIDs: []int{7, 9}}}, nil
}
func (f *fake) Calls(context.Context) ([]hythe.CallInfo, error) {
	return []hythe.CallInfo{{Personality: "linux", Name: "read", Count: 3}, {Personality: "linux", Name: "kexec_load", Nr: 246, Count: 1, Unserved: true}}, nil
}
func (f *fake) Kill(_ context.Context, pid, sig int) error {
	if pid == 404 {
		return fmt.Errorf("process 404: %w", hythe.ErrNoProcess)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.killed = append(f.killed, pid, sig)
	return nil
}
func (f *fake) Replace(ctx context.Context, name string, v hythe.Version) error {
	if v.Program != "/new/hythe" || v.Name != "" {
		return fmt.Errorf("by %+v", v)
	}
	return f.Restart(ctx, name)
}

func (f *fake) Restart(_ context.Context, name string) error {
	if name != "unix" {
		return fmt.Errorf("server %s: %w", name, hythe.ErrNoService)
	}
	return nil
}

type echo struct{ err chan error }

func (p echo) PID() int         { return 9 }
func (p echo) Signal(int) error { return nil }
func (p echo) Resized()         {}
func (p echo) Wait() error      { return <-p.err }

func (f *fake) Start(_ context.Context, c *hythe.Cmd) (control.Process, error) {
	p := echo{make(chan error, 1)}
	fmt.Fprintln(c.Stdout, c.Args, c.Env, c.Dir, c.User)
	p.err <- &hythe.ExitError{Code: 9}
	return p, nil
}

func TestOnMachine(t *testing.T) {
	f := &fake{}
	id := fmt.Sprintf("cmd-test-%d", os.Getpid())
	s, err := control.Listen(f, id)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()

	out, errs, status := command("ps", "-m", id)
	if status != 0 || errs != "" || !strings.Contains(out, "evil?[2J x") {
		t.Errorf("ps: %d %q %q", status, out, errs)
	}
	for _, cmd := range []string{"ps", "services", "ports", "trace"} {
		out, _, status := command(cmd, "--json", "-m", id)
		var v []struct {
			Machine string
			Items   []map[string]any
		}
		if err := json.Unmarshal([]byte(out), &v); err != nil || status != 0 || len(v) != 1 || v[0].Machine != id || v[0].Items == nil {
			t.Errorf("%s --json: %d %v %q", cmd, status, err, out)
		}
		// Without -m the machine is among those found, and a machine that fails
		// does not hide it. (Others of this user's may run too.)
		if out, _, _ := command(cmd, "--json"); !strings.Contains(out, id) {
			t.Errorf("%s --json of all: %q", cmd, out)
		}
	}
	bad, err := control.Listen(&fake{broken: true}, id+"-broken")
	if err != nil {
		t.Fatal(err)
	}
	defer bad.Close()
	out, errs, status = command("services", "--json")
	if status != 125 || !strings.Contains(out, id+`"`) || !strings.Contains(errs, "machine "+id+"-broken: broken\n") {
		t.Errorf("services beside one that fails: %d %q %q", status, out, errs)
	}
	if out, _, _ := command("trace", "--unserved", "-m", id); strings.Contains(out, "read") || !strings.Contains(out, "kexec_load") {
		t.Errorf("trace --unserved: %q", out)
	}
	if _, errs, status := command("kill", "-m", id, "-s", "KILL", "5", "404", "6"); status != 125 || errs != "hythe: process 404: no such process\n" {
		t.Errorf("kill: %d %q", status, errs)
	}
	f.mu.Lock()
	if fmt.Sprint(f.killed) != "[5 9 6 9]" {
		t.Errorf("killed: %v", f.killed)
	}
	f.mu.Unlock()
	if _, errs, status := command("restart", "-m", id, "unix"); status != 0 || errs != "" {
		t.Errorf("restart: %d %q", status, errs)
	}
	if _, errs, status := command("restart", "-m", id, "net"); status != 125 || errs != "hythe: server net: no such server\n" {
		t.Errorf("restart of none: %d %q", status, errs)
	}
	if _, errs, status := command("restart", "-m", id, "--program", "/new/./hythe", "unix"); status != 0 || errs != "" {
		t.Errorf("replace: %d %q", status, errs)
	}
	for _, c := range []struct {
		args, out, errs string
		status          int
	}{
		{"kill -s HUP --json 5 404", `[{"machine":"ID","items":[{"pid":5,"signal":1},{"pid":404,"signal":1,"error":"process 404: no such process"}]}]`, "hythe: process 404: no such process\n", 125},
		{"restart --json unix", `[{"machine":"ID","items":[{"name":"unix"}]}]`, "", 0},
		{"restart --json net unix", `[{"machine":"ID","items":[{"name":"net","error":"server net: no such server"}]}]`, "hythe: server net: no such server\n", 125},
	} {
		out, errs, status := command(append(strings.Fields(c.args), "-m", id)...)
		var b bytes.Buffer
		json.Compact(&b, []byte(out))
		if got := strings.TrimSpace(b.String()); got != strings.ReplaceAll(c.out, "ID", id) || errs != c.errs || status != c.status {
			t.Errorf("%s: %d %q %q", c.args, status, got, errs)
		}
	}
	// exec: the program's output goes to the descriptors that were handed over.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	status = execute([]string{"exec", "-m", id, "-e", "A=1,2", "-w", "/d", "-u", "3:4", "--", "prog", "-x", "--env", "y"}, stdio{nil, w, os.Stderr})
	w.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(b); status != 9 || !strings.HasPrefix(got, "[prog -x --env y] [PATH=") || !strings.HasSuffix(got, " A=1,2] /d {3 4 []}\n") {
		t.Errorf("exec: %d %q", status, got)
	}
}

func TestEnvClear(t *testing.T) {
	for _, c := range []struct {
		p    program
		want string
	}{
		{program{envClear: true}, "[]"},
		{program{envClear: true, tty: true, env: []string{"A=1", "B="}}, "[A=1 B=]"},
		{program{env: []string{"A=1"}}, fmt.Sprint(append(hythe.DefaultEnv(), "A=1"))},
	} {
		cmd, err := c.p.cmd([]string{"x"})
		if err != nil || cmd.Env == nil || fmt.Sprint(cmd.Env) != c.want {
			t.Errorf("%+v: %v, %v", c.p, cmd.Env, err)
		}
	}
}

func TestVersionAndHelp(t *testing.T) {
	if out, _, status := command("version", "--json"); status != 0 || !json.Valid([]byte(out)) {
		t.Errorf("version: %d %q", status, out)
	}
	out, _, status := command("calls", "--json")
	var rows []linux.MatrixRow
	if err := json.Unmarshal([]byte(out), &rows); status != 0 || err != nil || len(rows) < 350 || rows[0].Name != "read" {
		t.Errorf("calls --json: %d %v %d rows", status, err, len(rows))
	}
	if out, _, status := command("calls"); status != 0 || !strings.Contains(out, "\n246  kexec_load ") {
		t.Errorf("calls: %d %q", status, out)
	}
	out, _, status = command()
	for _, w := range []string{"run", "ps", "services", "kill", "restart", "exec", "version", "ports", "trace", "calls"} {
		if status != 0 || !strings.Contains(out, "\n  "+w+" ") {
			t.Errorf("help does not name %s: %d", w, status)
		}
	}
}

// TestBeside: what lies beside hythe is run only if it comes from who hythe
// comes from.
func TestBeside(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "hythe-wasi")
	exe := filepath.Join(dir, "hythe")
	for _, f := range []string{exe, name} {
		if err := os.WriteFile(f, nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Stat(exe)
	if err != nil {
		t.Fatal(err)
	}
	try := func(what, want string) {
		t.Helper()
		if got := besideIn(self, dir, "hythe-wasi"); got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	try("a file", name)
	check(os.Chmod(name, 0o775))
	try("a file that the group may write", "")
	check(os.Chmod(name, 0o755))
	if os.Geteuid() == 0 {
		check(os.Chown(name, 1000, 1000))
		try("another user's", "")
	}
	check(os.Remove(name))
	try("none", "")
	check(os.Symlink(exe, name))
	try("a link", "")
}
