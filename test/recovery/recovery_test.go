// Package recovery kills servers of a running machine at random moments and
// demands that the programs on it notice nothing: what they print is what they
// print undisturbed.
package recovery

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
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

var workloads = []struct {
	name, file string
	interp     []string // the first that is there
	rounds     int      // for ten kills
}{
	{"shell", "work.sh", []string{"/bin/sh"}, 12},
	{"python", "work.py", []string{"/usr/bin/python3"}, 100},
	{"network", "net.py", []string{"/usr/bin/python3"}, 200},
	{"events", "events.py", []string{"/usr/bin/python3"}, 120},
}

// victims are the servers that are killed; several: one of them each time. The machine's
// placement is together where the overlay is not to die alone.
var victims = []struct {
	name, placement string
	servers         []string
}{
	{"unix", "apart", []string{"unix"}},
	{"together", "together", []string{"unix"}},
	{"overlay", "apart", []string{"overlay"}},
	{"host", "together", []string{"host"}},
	{"console", "together", []string{"console"}},
	{"any", "together", []string{"unix", "host", "console"}},
	{"apart", "apart", []string{"unix", "overlay", "host", "console"}},
}

// limits of one run: it is a hang that they catch, not slowness.
const (
	shortLimit = 2 * time.Minute
	longLimit  = 20 * time.Minute
	endLimit   = 5 * time.Second // from the run's end to the last process's
)

// seed is the run's random seed: HYTHE_SEED, or a new one.
func seed(t *testing.T) uint64 {
	s := rand.Uint64()
	if v := os.Getenv("HYTHE_SEED"); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatalf("HYTHE_SEED: %v", err)
		}
		s = n
	}
	t.Logf("HYTHE_SEED=%d", s)
	return s
}

func TestKills(t *testing.T) {
	bin := subject.Binary(t)
	// Processes of the machine that lose their parent become children of this
	// one, so that a forgotten one is found.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	long := subject.Long()
	kills, limit := 4, shortLimit
	if long {
		kills, limit = 100, longLimit
	}
	if v, err := strconv.Atoi(os.Getenv("HYTHE_KILLS")); err == nil && v > 0 {
		kills = v
	}
	s := seed(t)
	for _, w := range workloads {
		prog := ""
		for _, p := range w.interp {
			if _, err := os.Stat(p); err == nil && prog == "" {
				prog = p
			}
		}
		if prog == "" {
			t.Errorf("%s: none of %v is there: make deps installs one", w.name, w.interp)
			continue
		}
		script, err := os.ReadFile(w.file)
		if err != nil {
			t.Fatal(err)
		}
		// The script is an argument: the machine needs nothing of the host's
		// working directory.
		argv := func(rounds int) []string {
			v := []string{prog, "-c", string(script), "work", strconv.Itoa(rounds), "/tmp/recovery"}
			if strings.HasSuffix(w.file, ".py") {
				v = append(v[:3], v[4:]...)
			}
			return v
		}
		rounds := max(w.rounds*kills/10, 2*kills+2)
		undisturbed := map[int]string{} // by rounds
		want := func(t *testing.T, rounds int) string {
			if undisturbed[rounds] == "" {
				undisturbed[rounds] = start(t, bin, argv(rounds), limit).end(t, func(int) {})
			}
			return undisturbed[rounds]
		}
		ran := false
		t.Run(w.name+"/undisturbed", func(t *testing.T) {
			ran = true
			want(t, rounds)
		})
		if !ran {
			continue // -run chose others
		}
		if undisturbed[rounds] == "" {
			t.Errorf("%s: no undisturbed run to compare with", w.name)
			continue
		}
		for n, v := range victims {
			if w.name == "shell" && v.name != "any" && !long {
				continue // every command of a shell is a new program: too slow for all
			}
			t.Run(w.name+"/"+v.name, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(s, uint64(n)))
				// The program does not wait for the kills. Where it was over before
				// most of them, which says nothing of Hythe, it is given more to do.
				for rounds := rounds; ; rounds *= 4 {
					r := startRun(t, bin, append([]string{"--placement", v.placement, "--"}, argv(rounds)...), limit)
					// Which rounds a kill falls into; the place within is left to
					// the time that looking up the server's process takes, and to
					// a number of idle turns.
					at := map[int]bool{}
					for _, i := range rng.Perm(rounds / 2)[:kills] {
						at[i+1] = true
					}
					killed, n := map[string]int{}, 0
					got := r.end(t, func(step int) {
						if !at[step] {
							return
						}
						name := v.servers[rng.IntN(len(v.servers))]
						turns := rng.IntN(2_000_000)
						if r.kill(t, name, turns) {
							killed[name]++
							n++
						}
					})
					t.Logf("%d rounds, killed %v", rounds, killed)
					if w := want(t, rounds); got != w {
						t.Errorf("the output differs:\n%s", firstDifference(got, w))
					}
					if n >= kills*8/10 || t.Failed() {
						return
					}
					if rounds >= 64*w.rounds {
						t.Fatalf("only %d of %d kills met a running server", n, kills)
					}
				}
			})
		}
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		var a, b string
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b || i >= len(g) || i >= len(w) {
			return fmt.Sprintf("line %d: got  %q\nline %d: want %q", i+1, a, i+1, b)
		}
	}
	return "no difference"
}

// machineRun is one hythe run.
type machineRun struct {
	bin    string
	cmd    *exec.Cmd
	ctx    context.Context
	cancel context.CancelFunc
	out    *bufio.Scanner
	errs   strings.Builder
	id     string // of the machine, once found
}

// start runs a program on a machine, startRun also with options of hythe run.
func start(t *testing.T, bin string, argv []string, limit time.Duration) *machineRun {
	t.Helper()
	return startRun(t, bin, append([]string{"--"}, argv...), limit)
}

func startRun(t *testing.T, bin string, args []string, limit time.Duration) *machineRun {
	t.Helper()
	r := &machineRun{bin: bin}
	r.ctx, r.cancel = context.WithTimeout(context.Background(), limit)
	t.Cleanup(r.cancel)
	r.cmd = exec.CommandContext(r.ctx, bin, append([]string{"run"}, args...)...)
	r.cmd.Stderr = &r.errs
	p, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.out = bufio.NewScanner(p)
	return r
}

// end reads what the workload prints, calls step after each of its lines that
// ends a round, waits for the run and for all its processes, and returns the
// text.
func (r *machineRun) end(t *testing.T, step func(int)) string {
	t.Helper()
	var all strings.Builder
	for r.out.Scan() {
		line := r.out.Text()
		all.WriteString(line + "\n")
		var n int
		if _, err := fmt.Sscanf(line, "step %d", &n); err == nil {
			step(n)
		}
	}
	err := r.cmd.Wait()
	if r.ctx.Err() != nil {
		t.Errorf("the run hangs; it printed:\n%s", all.String())
	}
	if err != nil {
		t.Errorf("hythe run: %v", err)
	}
	if s := r.errs.String(); err != nil && s != "" {
		t.Logf("standard error:\n%s", s)
	}
	alone(t)
	return all.String()
}

// alone fails if a process of the machine outlives the run for long.
func alone(t *testing.T) {
	t.Helper()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for {
			if _, err := unix.Wait4(-1, nil, unix.WALL, nil); err != nil && err != unix.EINTR {
				return // ECHILD: none is left
			}
		}
	}()
	select {
	case <-gone:
		return
	case <-time.After(endLimit):
	}
	for _, pid := range children() {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		st, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		t.Errorf("process %d is left: %q, %.40q", pid, b, st)
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	<-gone
}

// children are the children of this process.
func children() []int {
	var pids []int
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, f := range tasks {
		b, _ := os.ReadFile(f)
		for _, w := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(w); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// service is what hythe services says of one.
type service struct {
	Name    string `json:"name"`
	State   string `json:"state"`
	HostPID int    `json:"host_pid"`
	// Of its clients, without an answer.
	Requests int `json:"requests"`
}

type group struct {
	Machine string    `json:"machine"`
	Items   []service `json:"items"`
}

// services asks for the servers of this run's machine.
func (r *machineRun) services(t *testing.T) []service {
	t.Helper()
	args := []string{"services", "--json"}
	if r.id != "" {
		args = append(args, "-m", r.id)
	}
	b, err := exec.CommandContext(r.ctx, r.bin, args...).Output()
	if err != nil {
		return nil // the run may just have ended
	}
	var gs []group
	if err := json.Unmarshal(b, &gs); err != nil {
		t.Fatalf("services --json: %v in %q", err, b)
	}
	for _, g := range gs {
		for _, s := range g.Items {
			if s.HostPID > 0 && (r.id != "" || parent(s.HostPID) == r.cmd.Process.Pid) {
				r.id = g.Machine
				return g.Items
			}
		}
	}
	return nil
}

// parent is a process's parent, 0 if it is gone.
func parent(pid int) int {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	// The name is in parentheses and may hold anything.
	_, rest, _ := strings.Cut(string(b[strings.LastIndexByte(string(b), ')')+1:]), " ")
	f := strings.Fields(rest)
	if len(f) < 2 {
		return 0
	}
	n, _ := strconv.Atoi(f[1])
	return n
}

var sink int

// kill kills a server of the machine, after some idle turns. One that is being
// started is looked for again; false: the run ended before it was there.
func (r *machineRun) kill(t *testing.T, name string, turns int) bool {
	t.Helper()
	for range 20 {
		for _, s := range r.services(t) {
			if s.Name == name && s.HostPID > 0 && parent(s.HostPID) == r.cmd.Process.Pid {
				for i := range turns {
					sink += i
				}
				return unix.Kill(s.HostPID, unix.SIGKILL) == nil
			}
		}
	}
	return false
}
