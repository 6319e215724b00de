// Package points kills each server of a machine at every numbered point of its
// work (package store/crash), one by one: a run of a program for each, which must
// print and leave what an undisturbed one does.
package points

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hythe"
	"hythe/store/crash"
	"hythe/test/subject"
)

// TestMain: this program is its machines' servers too.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "server" {
		arm(os.Args[2])
	}
	hythe.Main()
	os.Exit(m.Run())
}

// arm has a server count its points if it is the one whose turn it is.
func arm(server string) {
	p, err := mapPage()
	if err != nil || server != string(bytes.TrimRight(p.victim[:], "\x00")) {
		return
	}
	_ = unix.Close(pageFD)
	crash.Hook(func(name string) {
		p.at(uint8(slices.Index(kinds, name) + 1))
	})
}

// kinds are the points' names. One that is missing here is counted as kind 0, and
// fails the test.
var kinds = []string{
	"entry written", "entry published", "before commit", "after commit", "rolled back",
	"record cleared", "half a record", "record made", "record freed",
	"chunk taken", "half a block", "block made", "block freed", "large block placed", "large block made",
	"request taken", "answer written", "answer published", "answered",
	"request written", "request published", "request sent", "reply seen",
	"before a nucleus call", "nucleus call sent", "nucleus call answered",
	"before a posted nucleus call", "nucleus call posted",
}

// victims are the servers, and where the program works, so that its files are
// theirs; placement is the machine's. some is how many points are tried of each half of its
// work if not all of them are.
var victims = []struct {
	name, dir string
	placement hythe.Placement
	some      int
}{
	{"unix", "/tmp", hythe.Together, 12},    // and the overlay
	{"unix", "/dev/shm", hythe.Together, 6}, // and tmpfs
	{"unix", "/tmp", hythe.Apart, 8},
	{"overlay", "/tmp", hythe.Apart, 6},
	{"tmpfs", "/dev/shm", hythe.Apart, 4},
	{"host", "/mnt", hythe.Together, 9},
	{"console", "/tmp", hythe.Together, 6},
}

// limit of one run: it is for hangs, and outlasts a host that stands still for a minute.
const limit = 150 * time.Second

func TestEachPoint(t *testing.T) {
	subject.Need(t, "/usr/bin/gcc")
	prog := compile(t)
	p, err := newPage()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 * len(victims) {
		v, half := victims[i/2], strconv.Itoa(1+i%2)
		t.Run(fmt.Sprintf("%s/%s%s/%s", v.name, v.placement, strings.ReplaceAll(v.dir, "/", "-"), half), func(t *testing.T) {
			*p = page{}
			copy(p.victim[:], v.name)
			want, err := work(t, prog, v.dir, v.placement, half)
			if err != nil || !strings.HasSuffix(want, "the end\n") {
				t.Fatalf("undisturbed: %v\n%s", err, want)
			}
			n := int(atomic.LoadUint64(&p.count))
			byKind := map[string]int{}
			for i, k := range p.kinds[1 : min(n, maxPoints-1)+1] {
				if k == 0 {
					t.Fatalf("point %d is of a kind that this test does not know", i+1)
				}
				byKind[kinds[k-1]]++
			}
			t.Logf("%d points: %v", n, byKind)
			met, bad := 0, 0
			// Runs differ by a few points: the last ones may not be there.
			try := choose(t, p.kinds[:n*97/100+1], v.some)
			for _, at := range try {
				second := at[1]
				*p = page{kill: [2]uint64{uint64(at[0]), uint64(second)}}
				copy(p.victim[:], v.name)
				got, err := work(t, prog, v.dir, v.placement, half)
				if atomic.LoadUint64(&p.count) >= uint64(at[0]) {
					met++
				}
				if err != nil || got != want {
					name := "none"
					if k := p.kinds[at[0]]; k > 0 {
						name = kinds[k-1]
					}
					t.Errorf("HYTHE_POINT=%d,%d (%s): %v\n%s", at[0], second, name, err, difference(got, want))
					if bad++; bad == 20 {
						t.Fatal("these are enough")
					}
				}
			}
			if met < len(try)*8/10 {
				t.Errorf("only %d of %d points were met", met, len(try))
			}
		})
	}
}

// choose answers the points at which the server is to die, each with a second
// one (or 0) that falls into what its next life does first: all if it is asked
// for, else some of each kind, or HYTHE_POINT.
func choose(t *testing.T, of []uint8, some int) (at [][2]int) {
	if s := os.Getenv("HYTHE_POINT"); s != "" {
		a, b, _ := strings.Cut(s, ",")
		i, err := strconv.Atoi(a)
		j, err2 := strconv.Atoi(b + "0"[min(len(b), 1):])
		if err != nil || err2 != nil {
			t.Fatalf("HYTHE_POINT=%s: want a number, or two", s)
		}
		return [][2]int{{i, j}}
	}
	from, step := 1, 1
	for name, n := range map[string]*int{"HYTHE_FROM": &from, "HYTHE_STEP": &step} {
		if s := os.Getenv(name); s != "" {
			var err error
			if *n, err = strconv.Atoi(s); err != nil || *n < 1 {
				t.Fatalf("%s=%s: want a number", name, s)
			}
		}
	}
	// The same ones each time, but for who wants others.
	seed := uint64(1)
	if s := os.Getenv("HYTHE_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("HYTHE_SEED: %v", err)
		}
	}
	r := rand.New(rand.NewPCG(seed, 0))
	second := func(i int) int {
		if r.IntN(2) == 0 {
			return 0
		}
		return i + 1 + r.IntN(60)
	}
	if subject.Long() {
		for i := from; i < len(of); i += step {
			at = append(at, [2]int{i, second(i)})
		}
		return at
	}
	by := make([][]int, len(kinds)+1)
	for i, k := range of[1:] {
		by[k] = append(by[k], i+1)
	}
	by = slices.DeleteFunc(by, func(l []int) bool { return len(l) == 0 })
	for n := range some {
		l := by[n%len(by)]
		i := l[r.IntN(len(l))]
		at = append(at, [2]int{i, second(i)})
	}
	return at
}

// work runs the program on a machine of its own and answers all that it prints
// and the tree that it leaves.
func work(t *testing.T, prog, dir string, placement hythe.Placement, half string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	tmp, err := os.MkdirTemp("", "points")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	// Files: what the console has written to one it can look up after its death.
	in, out := filepath.Join(tmp, "in"), filepath.Join(tmp, "out")
	if err := os.WriteFile(in, []byte("0123456789abc"), 0o600); err != nil {
		return "", err
	}
	stdin, err := os.Open(in)
	if err != nil {
		return "", err
	}
	defer stdin.Close()
	stdout, err := os.Create(out)
	if err != nil {
		return "", err
	}
	defer stdout.Close()
	var log bytes.Buffer
	c := hythe.Config{Pids: 100, Placement: placement, Log: func(l string) { fmt.Fprintln(&log, l) }}
	if dir == "/mnt" {
		c.Mounts = []hythe.Mount{{Source: tmp, Target: "/mnt"}}
	}
	m, err := hythe.New(ctx, c)
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, log.String())
	}
	script := `mkdir $2/w && "$1" $2/w $3 && cd $2/w && ls -lnR . | awk '!/^total/ {print $1, $2, $3, $4, $5, $9, $10, $11}' && find . -type f | sort | xargs cksum && echo the end`
	err = m.Run(ctx, &hythe.Cmd{
		Path: "/bin/sh", Args: []string{"sh", "-c", script, "sh", prog, dir, half}, Env: hythe.DefaultEnv(), Init: true,
		Stdin: stdin, Stdout: stdout, Stderr: stdout,
	})
	if ctx.Err() != nil { // who hangs?
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		ps, e := m.Processes(ctx)
		fmt.Fprintf(&log, "processes: %+v, %v\n", ps, e)
		svs, e := m.Services(ctx)
		fmt.Fprintf(&log, "services: %+v, %v\n", svs, e)
	}
	if e := m.Close(); err == nil {
		err = e
	}
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, log.String())
	}
	b, e := os.ReadFile(out)
	if err == nil {
		err = e
	}
	return string(b), err
}

// difference is the first line that differs.
func difference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d: got  %q\nline %d: want %q", i+1, g[i], i+1, w[i])
		}
	}
	return fmt.Sprintf("got %d lines, want %d", len(g), len(w))
}

// TestDeathsLeaveNothing has the unix server die at many points of its work on one
// machine, and demands that its embedder, who keeps the objects and channels for
// it, has no more of them afterwards than after as much work undisturbed.
func TestDeathsLeaveNothing(t *testing.T) {
	subject.Need(t, "/usr/bin/gcc")
	prog := compile(t)
	p, err := newPage()
	if err != nil {
		t.Fatal(err)
	}
	*p = page{}
	copy(p.victim[:], "unix")
	ctx, cancel := context.WithTimeout(t.Context(), 15*limit)
	defer cancel()
	deaths := atomic.Int32{}
	m, err := hythe.New(ctx, hythe.Config{Pids: 100, Log: func(l string) {
		if strings.Contains(l, "it is started again") {
			deaths.Add(1)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	r := rand.New(rand.NewPCG(1, 1))
	round := func() {
		err := m.Run(ctx, &hythe.Cmd{Path: "/bin/sh", Args: []string{"sh", "-c",
			`rm -rf /dev/shm/w; mkdir /dev/shm/w; "$1" /dev/shm/w 1 && "$1" /dev/shm/w 2; rm -rf /dev/shm/w`, "sh", prog}})
		if err != nil {
			t.Error(err)
		}
	}
	open := func() int {
		l, err := filepath.Glob("/proc/self/fd/*")
		if err != nil {
			t.Fatal(err)
		}
		return len(l)
	}
	for range 3 {
		round()
	}
	before, first := open(), deaths.Load()
	rounds := 10
	if subject.Long() {
		rounds = 30 // a server that dies so often is started again later and later
	}
	for range rounds {
		atomic.StoreUint64(&p.kill[0], atomic.LoadUint64(&p.count)+1+uint64(r.IntN(9000)))
		round()
	}
	if n := deaths.Load() - first; int(n) < rounds/2 {
		t.Errorf("%d deaths in %d rounds", n, rounds)
	}
	p.kill[0] = 0
	round()
	for open() > before { // the last program's channel closes when its task is gone
		select {
		case <-ctx.Done():
			t.Fatalf("%d descriptors, %d before", open(), before)
		case <-time.After(time.Millisecond):
		}
	}
}

// compile makes the program that the servers work for.
func compile(t *testing.T) string {
	t.Helper()
	prog := filepath.Join(t.TempDir(), "work")
	if out, err := exec.Command("gcc", "-O1", "-static", "-pthread", "-o", prog, "testdata/work.c").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return prog
}
