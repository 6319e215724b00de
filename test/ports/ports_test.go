// Package ports has guests make calls of the nucleus: the examples, and a program that
// does everything wrong.
package ports

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"hythe"
	"hythe/abi"
	"hythe/idl/names"
	"hythe/ipc"
)

var own = []hythe.Server{{Name: "upper", Main: func(c *ipc.Conn, in *ipc.Inheritance) error {
	return ipc.Serve(c, in, func(m *ipc.Message) *ipc.Message {
		return &ipc.Message{Body: bytes.ToUpper(m.Body)}
	})
}}, {Name: "looks", Main: func(c *ipc.Conn, in *ipc.Inheritance) error {
	// What word is there in the object, of which somebody supplies the pages?
	return ipc.Serve(c, in, func(m *ipc.Message) *ipc.Message {
		if len(m.Objects) != 1 || len(m.FDs) != 1 || len(m.Body) != 8 {
			return &ipc.Message{Body: []byte("no question")}
		}
		mem, err := c.MapPaged(m.Objects[0].Name, m.FDs[0], int(m.Objects[0].Len))
		_ = unix.Close(m.FDs[0])
		if err != nil {
			return &ipc.Message{Body: []byte(err.Error())}
		}
		body := bytes.Clone(mem[binary.LittleEndian.Uint64(m.Body)*8:][:8])
		if err := c.UnmapPaged(mem); err != nil {
			return &ipc.Message{Body: []byte(err.Error())}
		}
		c.Deallocate(m.Objects[0].Name)
		return &ipc.Message{Body: body}
	})
}}}

func TestMain(m *testing.M) {
	hythe.Main(own...)
	os.Exit(m.Run())
}

func machine(t *testing.T) *hythe.Machine {
	t.Helper()
	m, err := hythe.New(t.Context(), hythe.Config{Pids: 200, Servers: own})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// build makes a guest program out of a Go package or a C file of this tree.
func build(t *testing.T, src string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "program")
	cmd := exec.Command("go", "build", "-o", out, src)
	if strings.HasSuffix(src, ".c") {
		cmd = exec.Command("gcc", "-Wall", "-O1", "-static", "-no-pie", "-o", out, src)
	}
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", src, err, b)
	}
	return out
}

func sh(t *testing.T, m *hythe.Machine, script string, args ...any) string {
	t.Helper()
	var out bytes.Buffer
	c := &hythe.Cmd{Path: "sh", Args: []string{"sh", "-c", fmt.Sprintf(script, args...)}, Stdout: &out, Stderr: &out}
	if err := m.Run(t.Context(), c); err != nil {
		t.Errorf("%v: %s", err, out.String())
	}
	return out.String()
}

// TestExamples: a Go and a C program speak to each other, and two share memory.
func TestExamples(t *testing.T) {
	m := machine(t)
	pong, ping, shared := build(t, "../../examples/pingpong"), build(t, "../../examples/c/ping.c"), build(t, "../../examples/sharedmemory")
	if got := sh(t, m, "%s serve & %s ping 2; wait", pong, pong); got != "pong 0\npong 1\npong end\n" {
		t.Errorf("Go: %q", got)
	}
	// On another machine: that a process has ended is seen before its name is free again.
	if got := sh(t, machine(t), "%s one end & %s serve; wait", ping, pong); got != "pong one\npong end\n" {
		t.Errorf("C: %q", got)
	}
	if got := sh(t, m, "%s take & %s give 100000; wait", shared, shared); got != "200000\n" {
		t.Errorf("memory: %q", got)
	}
	// On the host they say what is wrong.
	for _, p := range []string{ping, pong, shared} {
		if b, err := exec.Command(p, "x").CombinedOutput(); err == nil || !strings.Contains(string(b), "no guest of Hythe") {
			t.Errorf("on the host: %v, %s", err, b)
		}
	}
}

// TestAlarms: guests are told the time by messages.
func TestAlarms(t *testing.T) {
	m := machine(t)
	p, c := build(t, "../../examples/alarm"), build(t, "../../examples/c/alarm.c")
	if got := sh(t, m, "%s 900ms -1h 300ms 600ms 0s", p); got != "taken back\n0s\n300ms\n600ms\n900ms\n" {
		t.Errorf("Go: %q", got)
	}
	if got := sh(t, m, "%s 900 300 600 0", c); got != "0\n300\n600\n900\n" {
		t.Errorf("C: %q", got)
	}
	for _, p := range []string{p, c} {
		if b, err := exec.Command(p, "1").CombinedOutput(); err == nil || !strings.Contains(string(b), "no guest of Hythe") {
			t.Errorf("on the host: %v, %s", err, b)
		}
	}
}

// TestHostile: nothing comes of mischief, not even for who makes it.
func TestHostile(t *testing.T) {
	m := machine(t)
	p := build(t, "testdata/hostile.c")
	if got := sh(t, m, "%s", p); got != "0 surprises\n0 surprises\n" {
		t.Error(got)
	}
	ss, err := m.Services(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range ss {
		if s.Restarts != 0 {
			t.Errorf("%+v", s)
		}
	}
}

// TestDeaths: guests that speak to each other notice nothing of the deaths of servers.
func TestDeaths(t *testing.T) {
	m := machine(t)
	p := build(t, "../../examples/pingpong")
	const pings = 300
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		got := sh(t, m, "%s serve & %s ping %d; wait", p, p, pings)
		if n := strings.Count(got, "pong "); n != pings+1 || !strings.HasSuffix(got, fmt.Sprintf("pong %d\npong end\n", pings-1)) {
			t.Errorf("%d answers: %s", n, got)
		}
	}()
	for i := range 40 {
		_ = m.Restart(t.Context(), []string{"unix", "names"}[i%2]) // names may not run yet
	}
	wg.Wait()
}

// TestEmbedder: guests and their embedder reach each other by name.
func TestEmbedder(t *testing.T) {
	m := machine(t)
	pong := build(t, "../../examples/pingpong")
	c, in, err := m.Connect("upper")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		sh(t, m, "%s serve", pong)
	}()
	to, e := names.Client{C: c, Port: in.Send("names")}.Await("example/pingpong")
	if e != 0 {
		t.Fatal(e)
	}
	for _, q := range []string{"a", "end"} {
		if b, e := c.Ask(to, 1, []byte(q)); e != 0 || string(b) != "pong "+q {
			t.Errorf("%s: %q, %v", q, b, e)
		}
	}
	wg.Wait()
	if b, e := c.Ask(in.Send("upper"), 0, []byte("x")); e != 0 || string(b) != "X" {
		t.Errorf("%q, %v", b, e)
	}
	// Its names are its own servers' too.
	ns := names.Client{C: c, Port: in.Send("names")}
	up, e := ns.Lookup("upper")
	if e != 0 {
		t.Fatal(e)
	}
	if b, e := c.Ask(up, 0, []byte("y")); e != 0 || string(b) != "Y" {
		t.Errorf("%q, %v", b, e)
	}
	if _, e := ns.Lookup("nobody"); e == 0 {
		t.Error("nobody is there")
	}
	port, e := c.MakePort("")
	if e != 0 {
		t.Fatal(e)
	}
	if e := ns.Register("upper", port); e == 0 {
		t.Error("a name was taken over")
	}
	if _, _, err := m.Connect("unix"); err == nil {
		t.Error("the unix server is no server of the embedder's")
	}
}

const traced = `greet("haven", 2), stack `

// TestDebugger: the sample debugger stops a program at a function, shows what it was
// given, steps, and leaves the rest to the program; also while the unix server dies.
func TestDebugger(t *testing.T) {
	m := machine(t)
	d, target := build(t, "../../examples/debugger"), build(t, "testdata/target.c")
	for _, kills := range []int{0, 30} {
		var wg sync.WaitGroup
		stop := make(chan struct{})
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range kills {
				select {
				case <-stop:
					return
				default:
					_ = m.Restart(t.Context(), "unix")
				}
			}
		}()
		for range 1 + kills/10 {
			got := sh(t, m, "%s %s greet 2>&1 || :", d, target)
			lines := strings.Split(got, "\n")
			if len(lines) < 5 || !strings.HasPrefix(lines[0], traced) || !strings.HasPrefix(lines[1], "step to greet+") || !strings.HasPrefix(lines[3], "step to greet+") ||
				strings.Join(lines[4:], "\n") != "hello, haven\nhello, haven\nits own trap\nended: exit status 3\ndebugger: exit status 3\n" {
				t.Errorf("%d kills: %s", kills, got)
			}
		}
		close(stop)
		wg.Wait()
	}
}

// TestTracer: debuggers that ask for nonsense, answer it, or end.
func TestTracer(t *testing.T) {
	m := machine(t)
	p, target := build(t, "./testdata/tracer"), build(t, "testdata/target.c")
	const whole = "hello, haven\nhello, haven\nits own trap\n"
	for mode, want := range map[string]string{"leave": "done\n" + whole + "done\n", "odd": whole + "done\n", "stop": "done\n"} {
		if got := sh(t, m, "%s %s %s", p, mode, target); got != want {
			t.Errorf("%s: %s", mode, got)
		}
	}
	// Another user's processes are no concern of his.
	var out bytes.Buffer
	root := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	c := &hythe.Cmd{Path: target, Args: []string{target, "spin"}}
	proc, err := m.Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	go func() { root <- proc.Wait() }()
	sh(t, m, "cp %s /tracer; chmod 755 /tracer", p) // in the machine's own memory
	err = m.Run(t.Context(), &hythe.Cmd{Path: "/tracer", Args: []string{"tracer", "foreign", fmt.Sprint(proc.PID())}, User: hythe.User{UID: 1000, GID: 1000}, Stdout: &out, Stderr: &out})
	if err != nil || out.String() != "done\n" {
		t.Errorf("%v: %s", err, out.String())
	}
	_ = proc.Signal(9)
	<-root
	cancel()
}

// TestPagers: guests supply pages to each other, in Go and C, with a few pages in memory.
func TestPagers(t *testing.T) {
	m := machine(t)
	pager, squares := build(t, "../../examples/pager"), build(t, "../../examples/c/squares.c")
	const pages = 23
	want := uint64(0)
	data := make([]byte, pages*4096-100)
	for i := range data {
		data[i] = byte(i * 7 / 5)
		want += uint64(byte(data[i] + 1))
	}
	want += 100 // the rest of the last page
	sh(t, m, "mkdir /paged")
	var in bytes.Buffer
	in.Write(data)
	if err := m.Run(t.Context(), &hythe.Cmd{Path: "sh", Args: []string{"sh", "-c", "cat >/paged/file"}, Stdin: &in}); err != nil {
		t.Fatal(err)
	}
	// A pager has its name for a moment longer than it is seen to run: the next one takes it
	// when nobody can find it any more.
	free := "until ! " + pager + " there; do :; done; "
	if got := sh(t, m, "%s serve /paged/file & %s add; wait; %s %s serve /paged/file & %s sum; wait; %s", pager, pager, free, pager, pager, free); got != fmt.Sprintf("%d\n%d\n", want, want) {
		t.Errorf("Go: %q, want %d twice", got, want)
	}
	// Two at a time, on one object: a third keeps it until both are done, for the pager would
	// end with the first if the second came late.
	got := sh(t, m, `cp /paged/file /paged/copy; mkfifo /paged/keep /paged/has
		%s serve /paged/copy & %s hold </paged/keep >/paged/has & exec 9>/paged/keep; read x </paged/has; echo $x
		(exec 9>&-; %s add >/dev/null & %s add >/dev/null; wait); exec 9>&-; wait; cmp /paged/file /paged/copy | wc -l`, pager, pager, pager, pager)
	if got != "held\n1\n" {
		t.Errorf("two: %q", got)
	}
	if got := sh(t, m, "%s serve 1000 & %s look 7 100000 511999 512000 3; wait", squares, squares); got != "49\n10000000000\n262142976001\n9\n" {
		t.Errorf("C: %q", got)
	}
	for _, p := range []string{pager, squares} {
		if b, err := exec.Command(p, "x").CombinedOutput(); err == nil || !strings.Contains(string(b), "no guest of Hythe") {
			t.Errorf("on the host: %v, %s", err, b)
		}
	}
}

// TestPagedMemory: system calls, signals, forks and mischief on memory whose pages another
// guest supplies; who waits for a page for ever can be killed, and a pager's death is a
// fault. Each on a machine of its own: a name is free a moment after its server's end.
func TestPagedMemory(t *testing.T) {
	p := build(t, "testdata/paged.c")
	if got := sh(t, machine(t), "%s serve & %s; wait", p, p); got != "0 surprises\n0 surprises\n" {
		t.Error(got)
	}
	if got := sh(t, machine(t), "exec 2>/dev/null; %s serve >/served & %s never >/waits 2>/dev/null & p=$!; until grep -q waits /waits; do :; done; kill -9 $p; wait $p; echo $?; wait; cat /served", p, p); got != "137\n0 surprises\n" {
		t.Errorf("killed: %q", got)
	}
	// 135 is SIGBUS.
	if got := sh(t, machine(t), "exec 2>/dev/null; %s serve & s=$!; %s never >/waits2 & p=$!; until grep -q waits /waits2; do :; done; kill -9 $s; wait $p; echo $?; wait", p, p); got != "135\n" {
		t.Errorf("no pager: %q", got)
	}
}

// TestPagedForks: forked children share a paged object with their parent: in a C program that
// does all sorts of things with its memory and its children, while the unix server dies; in
// one that has its children's library say what is not so; with a Go program as a pager that
// takes pages back from all of them; and with a pager that is killed.
func TestPagedForks(t *testing.T) {
	m := machine(t)
	p, f, pager := build(t, "testdata/paged.c"), build(t, "testdata/forks.c"), build(t, "../../examples/pager")
	over := make(chan bool)
	go func() {
		defer close(over)
		got := strings.Split(strings.TrimSpace(sh(t, m, "%s serve & %s; wait", p, f)), "\n")
		slices.Sort(got)
		if want := []string{"0 surprises", "0 surprises", "orphan: 0 surprises"}; !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
	}()
	for range 20 {
		_ = m.Restart(t.Context(), "unix")
	}
	<-over // the others on machines of their own: a name is free a moment after its server's end
	if got := sh(t, machine(t), "%s serve & %s hostile; wait", p, f); got != "0 surprises\n0 surprises\n" {
		t.Errorf("hostile: %q", got)
	}
	const pages, kids = 23, 3
	want := strings.Repeat(strings.Repeat("03", kids+1)+"\n", pages) // so often each has written
	if got := sh(t, machine(t), "head -c %d /dev/zero >/zeros; %s serve /zeros & %s both; wait; od -An -v -tx1 -w4096 /zeros | cut -c1-12 | tr -d ' '", pages*4096, pager, f); got != "0 surprises\n"+want {
		t.Errorf("few pages: %q", got)
	}
	if got := sh(t, machine(t), "exec 2>/dev/null; %s serve >/served & s=$!; %s never >/waits & p=$!; until grep -q waits /waits; do :; done; kill -9 $s; wait $p; cat /waits; wait", p, f); got != "waits\n0 surprises\n" {
		t.Errorf("no pager: %q", got)
	}
}

// TestPagedServer: a server of the embedder's, which is confined, maps what a guest supplies;
// the embedder's own process does not.
func TestPagedServer(t *testing.T) {
	m := machine(t)
	p := build(t, "../../examples/c/squares.c")
	c, in, err := m.Connect("looks")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	over := make(chan string)
	go func() { over <- sh(t, m, "%s serve 10", p) }()
	to, e := names.Client{C: c, Port: in.Send("names")}.Await("example/squares")
	if e != 0 {
		t.Fatal(e)
	}
	a, e := c.AskWith(to, &ipc.Message{})
	if e != 0 || len(a.Objects) != 1 {
		t.Fatal(e)
	}
	object := a.Objects[0]
	for _, i := range []uint64{0, 7, 5000} {
		b, e := c.AskWith(in.Send("looks"), &ipc.Message{Body: binary.LittleEndian.AppendUint64(nil, i),
			Objects: []abi.ObjectDesc{{Name: object.Name, Len: object.Len}}})
		if e != 0 || len(b.Body) != 8 || binary.LittleEndian.Uint64(b.Body) != i*i {
			t.Errorf("word %d: %q, %v", i, b.Body, e)
		}
	}
	if _, err := c.MapPaged(object.Name, a.FDs[0], int(object.Len)); !errors.Is(err, abi.EPERM) {
		t.Errorf("in the nucleus's process: %v", err)
	}
	_ = unix.Close(a.FDs[0])
	if e := c.Deallocate(object.Name); e != 0 {
		t.Error(e)
	}
	if s := <-over; s != "" {
		t.Error(s)
	}
}

// TestPlaced: pointers in an object are right in every task that maps it; its address is
// free in all, whatever they ask the host for.
func TestPlaced(t *testing.T) {
	m := machine(t)
	p, hints := build(t, "../../examples/pointers"), build(t, "testdata/placed.c")
	if got := sh(t, m, "%s take & %s give 1000; wait", p, p); got != "499500\n499500\n" {
		t.Errorf("%q", got)
	}
	if got := sh(t, m, "%s", hints); got != "0 surprises\n" {
		t.Error(got)
	}
}

// TestInherit: a forked child has of memory objects what was said.
func TestInherit(t *testing.T) {
	m := machine(t)
	if got := sh(t, m, "%s", build(t, "testdata/inherit.c")); got != "0 surprises\n" {
		t.Error(got)
	}
}
