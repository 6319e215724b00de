// Command bench prints what common operations cost under Hythe as ratios to
// the host's own, measured in the same run, and to those of its peers that are
// on the PATH. The rounds of all sides are interleaved, so that what else the
// machine does falls on all of them; the figures are medians.
//
//	go run ./bench [-rounds N] [-budget D] [-rows NAME,NAME...] [-write docs/performance.md] [-hythe PATH]
//	go run ./bench -calls [-rounds N] [-write docs/performance.md]
//	go run ./bench -systems [-rounds N] [-write docs/performance.md] [-hythe PATH]
//	bench -profile ROW [-hythe PATH]
//
// The second prints what calls between processes cost (calls.go), the third what one Go
// program costs that is built for each system (systems.go), the last where the time of
// one row goes (profile.go). It needs gcc and git; rows whose programs are missing
// are left out (rows.go). .ci/packages.bench lists what the rest of the rows and the
// peers want.
package main

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hythe"
)

//go:embed testdata/micro.c
var microSource []byte

func main() {
	hythe.Main(servers...)
	if len(os.Args) > 3 && os.Args[1] == "peer" {
		if err := peerMain(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench: peer:", err)
			os.Exit(1)
		}
		return
	}
	rounds := flag.Int("rounds", 10, "rounds of each side; the figures are medians")
	write := flag.String("write", "", "put the table into this file, between its two markers, and the picture beside it")
	command := flag.String("hythe", "bin/hythe", "the command to measure")
	calls := flag.Bool("calls", false, "measure calls between processes")
	systems := flag.Bool("systems", false, "measure one program built for each system")
	part := flag.String("part", "", "of -calls, only this: pairs, busy (the last of these), short, flows or crowds")
	budget := flag.Duration("budget", 8*time.Minute, "a row that has taken so long in all has no more rounds, once it had three")
	only := flag.String("rows", "", "only these rows, separated by commas")
	prof := flag.String("profile", "", "say where the time of this row goes")
	flag.Parse()
	code, err := private()
	if code >= 0 {
		os.Exit(code)
	}
	switch {
	case err != nil:
	case *rounds < 1:
		err = errors.New("-rounds: want at least 1")
	case *calls:
		err = runCalls(*rounds, *write, *part)
	case *systems:
		err = runSystems(*rounds, *write, *command)
	case *prof != "":
		err = profile(*prof, *command)
	default:
		err = run(*rounds, *budget, *only, *write, *command)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// inside is argv[0] of the bench that private has started.
const inside = "hythe-bench-inside"

// work is the directory of work files, if private has made it.
var work string

// private starts the bench again, if root does, in a mount name space of its own, for a
// tmpfs to work on that no other program sees and that goes with it. The code is that of
// the other, -1 if there is none.
func private() (code int, err error) {
	if os.Args[0] == inside {
		work = os.Getenv("HYTHE_BENCH_DIR")
		return -1, unix.Mount("tmpfs", work, "tmpfs", 0, "size=75%")
	}
	if os.Geteuid() != 0 {
		return -1, nil
	}
	dir, err := os.MkdirTemp("", "hythe-bench-")
	if err != nil {
		return -1, err
	}
	defer os.Remove(dir) // what was mounted there never was here
	runtime.LockOSThread()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = append([]string{inside}, os.Args[1:]...)
	cmd.Env = append(os.Environ(), "HYTHE_BENCH_DIR="+dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "bench: without a name space and a tmpfs of its own:", err)
		return -1, nil
	}
	// Whoever interrupts the bench ends that one, and what is left to remove is.
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, os.Interrupt, syscall.SIGTERM)
	go func() {
		for s := range ends {
			_ = cmd.Process.Signal(s)
		}
	}()
	if err := cmd.Wait(); err != nil {
		return 1, nil
	}
	return 0, nil
}

// workplace is workDir with all in it that rows work on.
func workplace() (dir string, remove func(), err error) {
	if dir, remove, err = workDir(); err != nil {
		return "", nil, err
	}
	if _, err = buildMicro(dir); err == nil {
		err = prepare(dir)
	}
	if err != nil {
		remove()
	}
	return dir, remove, err
}

// workDir is a directory for work files, on tmpfs if there is one.
func workDir() (dir string, remove func(), err error) {
	if work != "" {
		return work, func() {}, nil // not a path is deleted: others' roots are bound there
	}
	for _, base := range []string{os.TempDir(), fmt.Sprintf("/run/user/%d", os.Geteuid()), os.TempDir()} {
		dir, err = os.MkdirTemp(base, "hythe-bench-")
		if err == nil && (onTmpfs(dir) || base == os.TempDir() && remove != nil) {
			break
		}
		if err == nil {
			_ = os.Remove(dir)
		}
		remove = func() {}
	}
	if err != nil {
		return "", nil, err
	}
	d := dir
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ends
		_ = os.RemoveAll(d)
		os.Exit(1)
	}()
	return dir, func() { _ = os.RemoveAll(d) }, nil
}

func onTmpfs(dir string) bool {
	var s unix.Statfs_t
	return unix.Statfs(dir, &s) == nil && s.Type == unix.TMPFS_MAGIC
}

// result is what one run of a row has given.
type result struct {
	name string
	ns   float64 // of one operation
	ops  int     // that were made
}

// key is a cell of the table: a row's name on a side, with all cores or (0) one.
type key struct {
	row, side string
	core      int
}

// cells are the figures, nanoseconds, and what is to be said beside them.
type cells struct {
	got    map[key][]float64
	out    []string // rows that were left out, and why
	failed []string
	tmpfs  bool // work files are there
}

// columns are the two of the issue: wherever the host puts everything, and all on core 0.
var columns = []int{-1, 0}

// selected are the rows with these names, or all; without those that lack something.
func selected(names string) (l []row, out []string, err error) {
	want := map[string]bool{}
	for _, n := range strings.FieldsFunc(names, func(c rune) bool { return c == ',' }) {
		if !slices.ContainsFunc(rows, func(r row) bool { return r.name == n }) {
			return nil, nil, fmt.Errorf("no row %q", n)
		}
		want[n] = true
	}
	for _, r := range rows {
		if len(want) > 0 && !want[r.name] {
			continue
		}
		if p := r.lacks(); p != "" {
			out = append(out, fmt.Sprintf("%s (no %s)", r.name, p))
			continue
		}
		l = append(l, r)
	}
	return l, out, nil
}

func run(rounds int, budget time.Duration, only, write, hythe string) error {
	hythe, err := filepath.Abs(hythe)
	if err != nil {
		return err
	}
	l, out, err := selected(only)
	if err != nil {
		return err
	}
	for _, o := range out {
		fmt.Fprintln(os.Stderr, "bench: left out:", o)
	}
	dir, remove, err := workplace()
	if err != nil {
		return err
	}
	defer remove()
	// Workloads of micro.c start together, the others one by one.
	var parts [][]row
	var own []row
	for _, r := range l {
		if r.own() && !r.alone {
			own = append(own, r)
		} else {
			parts = append(parts, []row{r})
		}
	}
	if len(own) > 0 {
		parts = append(parts, own)
	}
	c := &cells{got: map[key][]float64{}, out: out, tmpfs: onTmpfs(dir)}
	all := sides(hythe)
	spent := make([]time.Duration, len(parts))
	begin := time.Now()
	for i := range rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d, after %v\n", i+1, rounds, time.Since(begin).Round(time.Second))
		for j, part := range parts {
			if i >= 3 && spent[j] > budget {
				continue
			}
			start := time.Now()
			for _, core := range columns {
				for k, s := range all {
					if core >= 0 && k > 1 || core < 0 && runtime.NumCPU() < 2 {
						continue // the peers are compared with all cores
					}
					port, err := freePort()
					if err != nil {
						return err
					}
					for _, r := range measure(s, core, dir, port, part, func(name string, err error) {
						line := fmt.Sprintf("%s, %s: %v", name, s.name, err)
						fmt.Fprintln(os.Stderr, "bench:", line)
						if k <= 1 {
							c.failed = append(c.failed, line)
						}
					}) {
						at := key{r.name, s.name, core}
						c.got[at] = append(c.got[at], r.ns)
					}
				}
			}
			spent[j] += time.Since(start)
			if i == 0 && len(part) == 1 {
				fmt.Fprintf(os.Stderr, "%s: %v a round\n", part[0].name, spent[j].Round(10*time.Millisecond))
			}
		}
	}
	table := format(all, l, c)
	if only == "" {
		rest, err := atRest(hythe)
		if err != nil {
			return err
		}
		table += "\n" + rest
	}
	if only != "" {
		write = "" // nobody wants half a table there
	}
	if write != "" {
		file := strings.TrimSuffix(write, filepath.Ext(write)) + ".svg"
		if err := os.WriteFile(file, []byte(picture(all, l, c)), 0o644); err != nil {
			return err
		}
		table = fmt.Sprintf("![ratios to native](%s)\n\n", filepath.Base(file)) + table
	}
	fmt.Print(table)
	if write != "" {
		err = insert(write, "table", table)
	}
	if len(c.failed) > 0 {
		err = errors.Join(err, fmt.Errorf("failed: %s", strings.Join(c.failed, "; ")))
	}
	return err
}

// starts is how often the row "start" starts something that does nothing.
const starts = 5

// measure runs rows that start together once on one side, with all cores (-1) or one. A
// row that fails is told, and those after it are run without it.
// It may use the port.
func measure(s side, core int, dir string, port int, l []row, failed func(name string, err error)) (got []result) {
	for len(l) > 0 {
		r := &l[0]
		switch {
		case r.name == "start":
			t := time.Now()
			for range starts {
				if _, err := output(s, core, dir, "/bin/true"); err != nil {
					failed(r.name, err)
					return got
				}
			}
			return append(got, result{r.name, float64(time.Since(t).Nanoseconds()) / starts, starts})
		case r.serve != "":
			v, err := overHTTP(s, core, dir, r, port)
			if err != nil {
				failed(r.name, err)
				return got
			}
			return append(got, v)
		}
		var args []string
		switch {
		case r.own():
			args = []string{"./micro"}
			for _, r := range l {
				args = append(args, r.name)
			}
		case r.script != "":
			args = append(sh(r.script), r.name, strconv.Itoa(port))
		default:
			args = append([]string{"./micro", fmt.Sprintf("run:%s:%d", r.name, r.times)}, r.args...)
		}
		out, err := output(s, core, dir, args...)
		n := 0
		for line := range strings.Lines(out) {
			v, e := parse(line)
			if e != nil || n == len(l) || v.name != l[n].name {
				err = errors.Join(err, fmt.Errorf("unexpected line %q", line))
				break
			}
			got = append(got, v)
			n++
		}
		if n == len(l) && err == nil {
			break
		}
		if n < len(l) {
			failed(l[n].name, cmp.Or(err, errors.New("no figure")))
			n++
		}
		l = l[n:]
	}
	return got
}

// parse reads a line "NAME NANOSECONDS [OPERATIONS]".
func parse(line string) (r result, err error) {
	f := strings.Fields(line)
	if len(f) < 2 || len(f) > 3 {
		return r, fmt.Errorf("unexpected line %q", line)
	}
	r.name = f[0]
	if r.ns, err = strconv.ParseFloat(f[1], 64); err == nil && len(f) == 3 {
		r.ops, err = strconv.Atoi(f[2])
	}
	if err != nil {
		return r, fmt.Errorf("unexpected line %q", line)
	}
	return r, nil
}

// freePort is a TCP port that nobody had a moment ago.
func freePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// httpTime is how long wrk asks in one run.
const httpTime = 2 * time.Second

// overHTTP has a server on the side, and wrk on the host.
func overHTTP(s side, core int, dir string, r *row, port int) (v result, err error) {
	url := fmt.Sprintf("http://127.0.0.1:%d/file", port)
	argv, err := s.argv(dir, port, append(sh(r.serve), r.name, strconv.Itoa(port)))
	if err != nil {
		return v, err
	}
	var said, out bytes.Buffer
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Stderr = dir, &said
	if err := pinned(core, cmd.Start); err != nil {
		return v, err
	}
	gone := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(gone)
	}()
	defer func() {
		all := tree(cmd.Process.Pid)
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-gone:
		case <-time.After(5 * time.Second):
			for _, p := range all {
				_ = syscall.Kill(p, syscall.SIGKILL)
			}
			<-gone
		}
	}()
	for begin := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if a, err := http.Get(url); err == nil {
			_ = a.Body.Close()
			if a.StatusCode == http.StatusOK {
				break
			}
		}
		select {
		case <-gone:
			return v, fmt.Errorf("the server ended: %s", said.String())
		default:
			if time.Since(begin) > 20*time.Second {
				return v, fmt.Errorf("the server does not answer: %s", said.String())
			}
		}
	}
	wrk := exec.Command("wrk", "-t1", "-c16", "-d"+httpTime.String(), url)
	wrk.Stdout = &out
	if err := pinned(core, wrk.Start); err != nil {
		return v, err
	}
	if err := wrk.Wait(); err != nil {
		return v, err
	}
	_, rate, _ := strings.Cut(out.String(), "Requests/sec:")
	var n float64
	if _, err := fmt.Sscan(rate, &n); err != nil || n <= 0 || strings.Contains(out.String(), "Non-2xx") {
		return v, fmt.Errorf("wrk says %q", out.String())
	}
	return result{r.name, 1e9 / n, int(n * httpTime.Seconds())}, nil
}

// pinned calls what starts a process, so that this is put on one core (-1: any).
func pinned(core int, start func() error) error {
	_, err := onCore(core, func() (float64, error) { return 0, start() })
	return err
}

// rowTime bounds one run.
const rowTime = 5 * time.Minute

// output runs a program on a side and answers what it writes, also if it fails.
func output(s side, core int, dir string, program ...string) (string, error) {
	argv, err := s.argv(dir, 0, program)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), rowTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.WaitDelay = dir, 10*time.Second
	var out, errb bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errb
	if err := pinned(core, cmd.Start); err != nil {
		return "", err
	}
	if err := cmd.Wait(); err != nil {
		return out.String(), fmt.Errorf("%w %s", err, strings.TrimSpace(errb.String()))
	}
	return out.String(), nil
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

func spread(v []float64) float64 {
	if m := median(v); m > 0 {
		return (slices.Max(v) - slices.Min(v)) / m
	}
	return 0
}

// restTime is how long a machine at rest is watched.
const restTime = 60 * time.Second

// atRest starts a machine whose program sleeps, and answers what all its
// processes together hold (PSS) and use.
func atRest(hythe string) (string, error) {
	cmd := exec.Command(hythe, "run", "--", "/bin/sleep", "1000000")
	if err := cmd.Start(); err != nil {
		return "", err
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	time.Sleep(3 * time.Second) // until it rests
	pids := tree(cmd.Process.Pid)
	fmt.Fprintf(os.Stderr, "a machine at rest: %v\n", restTime)
	before, err := cpu(pids)
	if err != nil {
		return "", err
	}
	time.Sleep(restTime)
	after, err := cpu(pids)
	if err != nil {
		return "", err
	}
	var pss int64
	for _, p := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p))
		if err != nil {
			return "", fmt.Errorf("memory of a machine at rest: %w", err)
		}
		for line := range strings.Lines(string(b)) {
			if v, ok := strings.CutPrefix(line, "Pss:"); ok {
				n, _ := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
				pss += n << 10
			}
		}
	}
	return fmt.Sprintf("A machine at rest (`sleep`): %d processes, %.1f MB (PSS of all; the target is 40 MB), %.1f ms of processor time in %v.\n",
		len(pids), float64(pss)/1e6, float64(after-before)/1e6, restTime), nil
}

// tree lists a process and all below it.
func tree(pid int) []int {
	l := []int{pid}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, t := range tasks {
		b, _ := os.ReadFile(t)
		for _, f := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(f); err == nil {
				l = append(l, tree(n)...)
			}
		}
	}
	return l
}

// cpu is the processor time of processes in nanoseconds (proc_pid_schedstat:
// finer than the ticks of stat).
func cpu(pids []int) (int64, error) {
	var sum int64
	for _, p := range pids {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p))
		if err != nil || len(tasks) == 0 {
			return 0, fmt.Errorf("process %d of the machine at rest is gone", p)
		}
		for _, t := range tasks {
			b, err := os.ReadFile(t)
			if err != nil {
				continue // the thread ended
			}
			n, err := strconv.ParseInt(strings.Fields(string(b))[0], 10, 64)
			if err != nil {
				return 0, err
			}
			sum += n
		}
	}
	return sum, nil
}

// host names the machine in general terms.
func host() string {
	var u unix.Utsname
	_ = unix.Uname(&u)
	return fmt.Sprintf("Linux %s, %d processors", unix.ByteSliceToString(u.Release[:]), runtime.NumCPU())
}

// insert puts a table between its markers in a document.
func insert(file, name, table string) error {
	begin, end := "<!-- "+name+": make bench WRITE=1 -->\n", "<!-- end of "+name+" -->\n"
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	head, rest, ok := strings.Cut(string(b), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("%s: has not the two markers that the table goes between", file)
	}
	return os.WriteFile(file, []byte(head+begin+"\n"+table+"\n"+end+tail), 0o644)
}
