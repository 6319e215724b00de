// Command bench prints what common operations cost under Hythe as ratios to
// the host's own, measured in the same run, and to those of its peers that are
// on the PATH. The rounds of all sides are interleaved, so that what else the
// machine does falls on all of them; the figures are medians.
//
//	go run ./bench [-rounds N] [-write docs/performance.md] [-hythe PATH]
//	go run ./bench -calls [-rounds N] [-write docs/performance.md]
//	go run ./bench -systems [-rounds N] [-write docs/performance.md] [-hythe PATH]
//
// The second prints what calls between processes cost (calls.go), the third what one Go
// program costs that is built for each system (systems.go).
// It needs gcc, git and python3, as the tests do.
package main

import (
	"bytes"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hythe"
)

//go:embed testdata/micro.c
var microSource []byte

// side is one system that the workload runs on.
type side struct {
	name   string
	prefix []string // in front of the program
}

// rows are the table's rows, in order. Those without arguments of their own are
// workloads of testdata/micro.c.
var rows = []string{
	"start", "getppid", "stat", "fstat", "lseek", "open+close", "creat+unlink", "pread-1", "pread-4K", "pread-64K", "read-100", "pwrite-4K",
	"pipe-write+read", "pipe-ping-pong", "unix-ping-pong", "eventfd", "epoll_wait", "mmap+munmap", "page-fault", "thread",
	"fork+wait", "fork+exec+wait", "python3-start", "gcc-compile", "git-status",
}

func main() {
	hythe.Main(servers...)
	if len(os.Args) > 3 && os.Args[1] == "peer" {
		if err := peerMain(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench: peer:", err)
			os.Exit(1)
		}
		return
	}
	rounds := flag.Int("rounds", 5, "rounds of each side; the figures are medians")
	write := flag.String("write", "", "put the table into this file, between its two markers")
	command := flag.String("hythe", "bin/hythe", "the command to measure")
	calls := flag.Bool("calls", false, "measure calls between processes")
	systems := flag.Bool("systems", false, "measure one program built for each system")
	part := flag.String("part", "", "of -calls, only this: pairs, busy (the last of these), short, flows or crowds")
	flag.Parse()
	err := error(nil)
	switch {
	case *calls:
		err = runCalls(*rounds, *write, *part)
	case *systems:
		err = runSystems(*rounds, *write, *command)
	default:
		err = run(*rounds, *write, *command)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(rounds int, write, hythe string) error {
	hythe, err := filepath.Abs(hythe)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "hythe-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	micro, err := prepare(dir)
	if err != nil {
		return err
	}
	sides := []side{{"native", nil}, {"hythe", []string{hythe, "run", "-w", dir, "--"}}}
	if p, err := exec.LookPath("runsc"); err == nil {
		sides = append(sides, side{"runsc", []string{p, "-rootless", "-network=none", "-ignore-cgroups", "do", "-cwd", dir, "--"}})
	}
	if rounds < 1 {
		return errors.New("-rounds: want at least 1")
	}
	got := map[string]map[string][]float64{} // side, row: nanoseconds
	for _, s := range sides {
		got[s.name] = map[string][]float64{}
	}
	for i := range rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", i+1, rounds)
		for _, s := range sides {
			if err := measure(s, dir, micro, got[s.name]); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	rest, err := atRest(hythe)
	if err != nil {
		return err
	}
	table := format(sides, got, rounds) + "\n" + rest
	fmt.Print(table)
	if write == "" {
		return nil
	}
	return insert(write, "table", table)
}

// prepare makes the workload's program and files.
func prepare(dir string) (micro string, err error) {
	src := filepath.Join(dir, "micro.c")
	if err := os.WriteFile(src, microSource, 0o644); err != nil {
		return "", err
	}
	micro = filepath.Join(dir, "micro")
	for _, argv := range [][]string{
		{"gcc", "-O2", "-pthread", "-o", micro, src},
		{"gcc", "-O2", "-static", "-o", filepath.Join(dir, "true"), "-x", "c", "-"},
		{"git", "init", "-q", dir},
	} {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Stdin = strings.NewReader("int main(void) { return 0; }\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, out)
		}
	}
	for i := range 300 {
		sub := filepath.Join(dir, fmt.Sprintf("d%d", i%20))
		if err := os.MkdirAll(sub, 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(sub, fmt.Sprintf("f%d", i)), []byte(strings.Repeat("line\n", i)), 0o644); err != nil {
			return "", err
		}
	}
	git := exec.Command("git", "-C", dir, "-c", "user.name=b", "-c", "user.email=b@b", "add", ".")
	if out, err := git.CombinedOutput(); err != nil {
		return "", fmt.Errorf("git add: %w\n%s", err, out)
	}
	return micro, nil
}

func lookPath(name string) string {
	p, err := exec.LookPath(name)
	if err != nil {
		return "/usr/bin/" + name
	}
	return p
}

// measure runs one round on one side.
func measure(s side, dir, micro string, into map[string][]float64) error {
	// Starting something that does nothing.
	const starts = 5
	t := time.Now()
	for range starts {
		if _, err := output(s, dir, "/bin/true"); err != nil {
			return err
		}
	}
	into["start"] = append(into["start"], float64(time.Since(t).Nanoseconds())/starts)
	args := []string{micro}
	for _, r := range rows {
		switch r {
		case "start":
		case "fork+exec+wait":
			args = append(args, "run:"+r+":50:"+filepath.Join(dir, "true"))
		case "python3-start":
			args = append(args, "run:"+r+":4:/usr/bin/python3:-c:pass")
		case "gcc-compile":
			args = append(args, "run:"+r+":2:"+lookPath("gcc")+":-O2:-c:micro.c:-o:micro.o")
		case "git-status":
			args = append(args, "run:"+r+":4:"+lookPath("git")+":-c:safe.directory=*:status:--short")
		default:
			args = append(args, r)
		}
	}
	out, err := output(s, dir, args...)
	if err != nil {
		return err
	}
	for line := range strings.Lines(out) {
		name, v, ok := strings.Cut(strings.TrimSpace(line), " ")
		ns, err := strconv.ParseFloat(v, 64)
		if !ok || err != nil || !slices.Contains(rows, name) {
			return fmt.Errorf("unexpected line %q", line)
		}
		into[name] = append(into[name], ns)
	}
	return nil
}

func output(s side, dir string, argv ...string) (string, error) {
	all := append(slices.Clone(s.prefix), argv...)
	cmd := exec.Command(all[0], all[1:]...)
	cmd.Dir = dir
	var out, errb bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errb
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", argv[0], err, errb.String())
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

func format(sides []side, got map[string]map[string][]float64, rounds int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, median of %d interleaved rounds; ± is the spread between the\nrounds' extremes.\n\n", host(), rounds)
	head, rule := "| operation |", "| --- |"
	for i, s := range sides {
		head += " " + s.name + " | ± |"
		rule += " --- | --- |"
		if i > 0 {
			head += " ratio |"
			rule += " --- |"
		}
	}
	b.WriteString(head + "\n" + rule + "\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s |", r)
		for i, s := range sides {
			v := got[s.name][r]
			if len(v) == 0 {
				b.WriteString(" - | - |")
				if i > 0 {
					b.WriteString(" - |")
				}
				continue
			}
			fmt.Fprintf(&b, " %s | %.0f %% |", nice(median(v)), 100*spread(v))
			if i > 0 {
				fmt.Fprintf(&b, " %.2f |", median(v)/median(got[sides[0].name][r]))
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

func nice(ns float64) string {
	switch {
	case ns < 1e3:
		return fmt.Sprintf("%.0f ns", ns)
	case ns < 1e6:
		return fmt.Sprintf("%.1f us", ns/1e3)
	}
	return fmt.Sprintf("%.1f ms", ns/1e6)
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
	return fmt.Sprintf("A machine at rest (`sleep`): %d processes, %.1f MB (PSS of all), %.1f ms of processor time in %v.\n",
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
