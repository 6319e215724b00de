package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Where the time of a row goes: it runs again and again on a machine that is there already,
// and is warm. Processor time of each server is the host's account, that of guests the machine's, calls are counted by
// the unix server, and perf, if it is there, samples all processes of the machine by the
// host's clock, which needs no counters of the processor's.

// profileTime is how long the row runs, about.
const profileTime = 4 * time.Second

// profileTop is how many functions are shown of each part.
const profileTop = 12

// spentTime is processor time.
type spentTime struct{ user, system time.Duration }

func (a spentTime) minus(b spentTime) spentTime {
	return spentTime{a.user - b.user, a.system - b.system}
}
func (a spentTime) sum() time.Duration { return a.user + a.system }

const (
	guestsPart  = "guests"
	nucleusPart = "nucleus"
)

func profile(name, hythe string) (err error) {
	hythe, err = filepath.Abs(hythe)
	if err != nil {
		return err
	}
	l, out, err := selected(name)
	switch {
	case err != nil:
		return err
	case len(out) > 0:
		return fmt.Errorf("left out: %s", out[0])
	case len(l) != 1 || name == "start":
		return errors.New("-profile: want one row, and not start (the machine is there before)")
	}
	dir, remove, err := workplace()
	if err != nil {
		return err
	}
	defer remove()
	port, err := freePort()
	if err != nil {
		return err
	}
	m, err := startPool(hythe, dir, port)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.stop()) }()
	var failure error
	measureAll := func(l []row) []result {
		return measure(m.side(), -1, dir, port, l, func(name string, err error) { failure = errors.Join(failure, fmt.Errorf("%s: %w", name, err)) })
	}
	took := time.Duration(1)
	for _, r := range measureAll(l) { // for what is kept, and to know how long it takes
		took += time.Duration(r.ns * float64(r.ops))
	}
	if failure != nil {
		return failure
	}
	times := min(max(int(profileTime/took), 1), 500)
	if l[0].own() {
		l = slices.Repeat(l, times) // in one process
		times = 1
	}
	before, err := m.look()
	if err != nil {
		return err
	}
	start := now()
	var ops int
	var ns float64
	for range times {
		for _, r := range measureAll(l) {
			ops += r.ops
			ns += r.ns * float64(r.ops)
		}
	}
	end := now()
	after, err := m.look()
	if err = errors.Join(failure, err); err != nil {
		return err
	}
	if ops == 0 {
		return errors.New("no operations")
	}
	if err := m.stop(); err != nil {
		return err
	}
	fmt.Printf("%s: %d operations, %s each, in %.1f s of which the machine used processors for\n\n", name, ops, nice(ns/float64(ops)), (end - start).Seconds())
	fmt.Print(formatSpent(before, after, ops))
	if !m.perf {
		fmt.Print("\nWithout perf (Debian: linux-perf) nothing is known of functions.\n")
		return nil
	}
	script := exec.Command("perf", "script", "-i", m.data(), "-F", "pid,time,ip,sym,dso")
	lines, err := script.Output()
	if err != nil {
		return fmt.Errorf("perf script: %w", err)
	}
	fmt.Print(formatSamples(readSamples(string(lines), start, end, after.names, hythe)))
	return nil
}

// now is the time that perf is told to write down.
func now() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return time.Duration(t.Nano())
}

// pool is a machine that hythe pool keeps, under perf.
type pool struct {
	hythe, dir, id string
	perf           bool
	cmd            *exec.Cmd
	ended          bool
}

func (m *pool) data() string { return filepath.Join(m.dir, "perf.data") }

func startPool(hythe, dir string, port int) (*pool, error) {
	m := &pool{hythe: hythe, dir: dir, id: "bench-" + strconv.Itoa(os.Getpid())}
	argv := []string{hythe, "pool", "--name", m.id, "-p", fmt.Sprintf("127.0.0.1:%d:%d", port, port)}
	if p, err := exec.LookPath("perf"); err == nil {
		m.perf = true
		argv = append([]string{p, "record", "-q", "-k", "CLOCK_MONOTONIC", "-e", "cpu-clock", "-F", "1999", "-o", m.data(), "--"}, argv...)
	}
	m.cmd = exec.Command(argv[0], argv[1:]...)
	m.cmd.Stderr = os.Stderr
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := m.cmd.Start(); err != nil {
		return nil, err
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return nil, errors.Join(fmt.Errorf("hythe pool: %w", err), m.stop())
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return m, nil
}

// stop ends the machine, and waits for what perf writes then.
func (m *pool) stop() error {
	if m.ended {
		return nil
	}
	m.ended = true
	_ = exec.Command(m.hythe, "stop", "-m", m.id).Run()
	late := time.AfterFunc(30*time.Second, func() { _ = m.cmd.Process.Kill() })
	defer late.Stop()
	return m.cmd.Wait()
}

// side runs programs on the machine. A shell around one writes down what it used, in the
// machine: the host's account of a task goes with it. Who serves until a signal comes has none.
func (m *pool) side() side {
	return side{"hythe", before(func(dir string, port int) []string {
		a := []string{m.hythe, "exec", "-m", m.id, "-w", dir, "--"}
		if port != 0 {
			return a
		}
		return append(a, "/bin/sh", "-c", `"$@"; s=$?; times >>bench.times; exit $s`, "sh")
	})}
}

// guests are the sums of what those shells' children used.
func (m *pool) guests() (t spentTime) {
	b, err := exec.Command(m.hythe, "exec", "-m", m.id, "-w", m.dir, "--", "/bin/cat", "bench.times").Output()
	if err != nil {
		return t // nobody wrote it
	}
	i := 0
	for line := range strings.Lines(string(b)) {
		if i++; i%2 == 1 {
			continue // the shell's own
		}
		for j, f := range strings.Fields(line) {
			if d, err := time.ParseDuration(f); err == nil && j < 2 {
				*[]*time.Duration{&t.user, &t.system}[j] += d
			}
		}
	}
	return t
}

// state is what is known of the machine's processes at one time.
type state struct {
	names map[int]string       // of processes that are no guests
	spent map[string]spentTime // by part
	calls map[string]uint64    // that the unix server answered
}

func (m *pool) look() (s state, err error) {
	s = state{map[int]string{}, map[string]spentTime{}, map[string]uint64{}}
	var servers, calls []struct {
		Items []struct {
			Name    string `json:"name"`
			HostPID int    `json:"host_pid"`
			Count   uint64 `json:"count"`
		} `json:"items"`
	}
	for _, q := range []struct {
		what string
		into any
	}{{"services", &servers}, {"trace", &calls}} {
		b, err := exec.Command(m.hythe, q.what, "-m", m.id, "--json").Output()
		if err != nil {
			return s, fmt.Errorf("hythe %s: %w", q.what, err)
		}
		if err := json.Unmarshal(b, q.into); err != nil {
			return s, fmt.Errorf("hythe %s: %w", q.what, err)
		}
	}
	if len(servers) != 1 || len(calls) != 1 {
		return s, errors.New("the machine is gone")
	}
	for _, v := range servers[0].Items {
		if v.HostPID != 0 {
			s.names[v.HostPID] = v.Name
		}
	}
	for _, v := range calls[0].Items {
		s.calls[v.Name] += v.Count
	}
	nucleus := m.cmd.Process.Pid
	if m.perf {
		nucleus = 0
		for _, p := range tree(m.cmd.Process.Pid)[1:] {
			if nucleus == 0 {
				nucleus = p
			}
		}
	}
	s.names[nucleus] = nucleusPart
	for _, p := range tree(nucleus) {
		part, ok := s.names[p]
		if !ok {
			continue // a guest, or what starts them
		}
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
		if err != nil {
			continue // it ended
		}
		if s.spent[part], err = parseStat(string(b)); err != nil {
			return s, err
		}
	}
	s.spent[guestsPart] = m.guests()
	return s, nil
}

// tick is the unit of proc_pid_stat(5)'s times on all of Linux.
const tick = 10 * time.Millisecond

// parseStat reads a process's own processor time.
func parseStat(line string) (t spentTime, err error) {
	f := strings.Fields(line[strings.LastIndex(line, ")")+1:]) // a name may have anything in it
	if len(f) < 13 {
		return t, fmt.Errorf("unexpected stat %q", line)
	}
	user, err := strconv.ParseInt(f[11], 10, 64) // the line's field 14
	system, err2 := strconv.ParseInt(f[12], 10, 64)
	if errors.Join(err, err2) != nil {
		return t, fmt.Errorf("unexpected stat %q", line)
	}
	return spentTime{time.Duration(user) * tick, time.Duration(system) * tick}, nil
}

// formatSpent says what each process used, and which calls were answered.
func formatSpent(before, after state, ops int) string {
	var b strings.Builder
	var sum time.Duration
	used := map[string]spentTime{}
	for part, t := range after.spent {
		used[part] = t.minus(before.spent[part])
		sum += used[part].sum()
	}
	fmt.Fprintf(&b, "%-14s %10s %10s %8s %14s\n", "process", "user", "system", "share", "an operation")
	for _, part := range slices.SortedFunc(maps.Keys(used), func(x, y string) int { return cmp.Or(-cmp.Compare(used[x].sum(), used[y].sum()), cmp.Compare(x, y)) }) {
		if t := used[part]; t.sum() > 0 {
			fmt.Fprintf(&b, "%-14s %8.2f s %8.2f s %6.1f %% %14s\n", part, t.user.Seconds(), t.system.Seconds(), 100*float64(t.sum())/float64(sum), nice(float64(t.sum().Nanoseconds())/float64(ops)))
		}
	}
	type count struct {
		name string
		n    float64
	}
	var calls []count
	all := 0.0
	for name, n := range after.calls {
		if n > before.calls[name] {
			v := float64(n-before.calls[name]) / float64(ops)
			calls = append(calls, count{name, v})
			all += v
		}
	}
	slices.SortFunc(calls, func(x, y count) int { return cmp.Or(-cmp.Compare(x.n, y.n), cmp.Compare(x.name, y.name)) })
	fmt.Fprintf(&b, "\nCalls that the unix server answered, an operation: %.2f\n", all)
	for i, v := range calls {
		if i == profileTop {
			fmt.Fprintf(&b, "  and %d others\n", len(calls)-i)
			break
		}
		fmt.Fprintf(&b, "  %-24s %10.3f\n", v.name, v.n)
	}
	return b.String()
}

// samples are how often each function was seen, by part.
type samples map[string]map[string]int

// The parts into which samples go.
const (
	programPart = "guest program"
	libraryPart = "library"
	hostPart    = "kernel, for "
)

// readSamples reads what perf script writes, of a time. Who runs the file hythe is a server,
// the nucleus, or the library in a guest, which is mapped from it.
func readSamples(text string, start, end time.Duration, names map[int]string, hythe string) samples {
	s := samples{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 4 {
			continue
		}
		pid, err := strconv.Atoi(f[0])
		seconds, err2 := strconv.ParseFloat(strings.TrimSuffix(f[1], ":"), 64)
		if err != nil || err2 != nil {
			continue
		}
		if at := time.Duration(seconds * 1e9); at < start || at > end {
			continue
		}
		file := strings.Trim(f[len(f)-1], "()")
		function := strings.Join(f[3:len(f)-1], " ")
		part, server := names[pid]
		switch {
		case strings.HasPrefix(file, "[kernel") || strings.HasPrefix(f[2], "ffffffff"):
			part = hostPart + cmp.Or(part, guestsPart)
		case server:
		case file == hythe:
			part = libraryPart
		default:
			part = programPart
			if function == "" || function == "[unknown]" {
				function = filepath.Base(file)
			}
		}
		if s[part] == nil {
			s[part] = map[string]int{}
		}
		s[part][function]++
	}
	return s
}

func formatSamples(s samples) string {
	var b strings.Builder
	all := 0
	of := map[string]int{}
	for part, m := range s {
		for _, n := range m {
			of[part] += n
			all += n
		}
	}
	if all == 0 {
		return "\nperf has no samples.\n"
	}
	most := func(m map[string]int) []string {
		return slices.SortedFunc(maps.Keys(m), func(x, y string) int { return cmp.Or(m[y]-m[x], cmp.Compare(x, y)) })
	}
	parts := most(of)
	fmt.Fprintf(&b, "\n%d samples of perf's, by whose code ran:\n", all)
	for _, p := range parts {
		fmt.Fprintf(&b, "  %-24s %6.1f %%\n", p, 100*float64(of[p])/float64(all))
	}
	for _, p := range parts {
		if of[p]*100 < all {
			continue
		}
		fmt.Fprintf(&b, "\n%s, by function (of all):\n", p)
		for i, f := range most(s[p]) {
			if i == profileTop || s[p][f]*1000 < all {
				break
			}
			fmt.Fprintf(&b, "  %6.1f %%  %s\n", 100*float64(s[p][f])/float64(all), f)
		}
	}
	return b.String()
}
