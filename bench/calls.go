package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"hythe"
	"hythe/abi"
	"hythe/ipc"
	"hythe/ipc/ipctest"
)

// The second table: what a request and its answer between two processes cost, by the
// host's own means, by gRPC over a unix socket, and by a call of Hythe's over a binding
// to a server in a machine. Rounds are interleaved as in the first.

// cellTime is how long each is measured in a round.
const cellTime = 200 * time.Millisecond

// place says where the two processes run.
type place struct {
	name      string
	here, far int // cores; -1: where the host puts them
	busy      bool
}

var (
	places  = []place{{"one core", 0, 0, false}, {"a core each", 0, 1, false}, {"anywhere", -1, -1, false}, {"all cores busy", -1, -1, true}}
	sizes   = []int{8, 4 << 10, 64 << 10, 1 << 20}
	kinds   = []string{"futex", "pipe", "unix socket", "gRPC", "call", "in place", "bare"}
	hosts   = 3 // of kinds, the first are the host's
	crowds  = []int{1, 10, 100, 1000}
	nears   = []string{"bare", "futex", "pipe", "call"}
	crowded = []string{"unix socket", "gRPC", "call"}
)

type callBench struct {
	dir  string
	grpc string // the peer's program, empty if it cannot be built
	m    *hythe.Machine
}

func runCalls(rounds int, write, part string) error {
	do := func(p string) bool { return part == "" || part == p }

	dir, remove, err := workDir()
	if err != nil {
		return err
	}
	defer remove()
	b := &callBench{dir: dir, grpc: filepath.Join(dir, "grpc")}
	build := exec.Command("go", "-C", "bench/grpc", "build", "-o", b.grpc, ".")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "bench: without gRPC: %v\n%s", err, out)
		b.grpc = ""
	}
	if b.m, err = hythe.New(context.Background(), hythe.Config{Servers: servers, Log: func(l string) { fmt.Fprintln(os.Stderr, "bench:", l) }}); err != nil {
		return err
	}
	defer b.m.Close()
	got := map[string][]float64{}
	for i := range rounds {
		fmt.Fprintf(os.Stderr, "calls: round %d of %d\n", i+1, rounds)
		for _, p := range places {
			if !do("pairs") && !(part == "busy" && p.busy) {
				continue
			}
			stop, err := p.burn()
			if err != nil {
				return err
			}
			for _, size := range sizes {
				for _, k := range kinds {
					ns, err := b.pair(k, p, size)
					if err != nil {
						stop()
						return fmt.Errorf("%s, %s, %d bytes: %w", k, p.name, size, err)
					}
					key := fmt.Sprint(p.name, size, k)
					got[key] = append(got[key], ns)
				}
			}
			stop()
		}
		for _, k := range nears {
			if !do("short") {
				break
			}
			single = true
			ns, err := b.pair(k, places[1], 8)
			single = false
			if err != nil {
				return fmt.Errorf("%s, short: %w", k, err)
			}
			key := fmt.Sprint("near", k)
			got[key] = append(got[key], ns)
		}
		for _, p := range places[:3] {
			if !do("flows") {
				break
			}
			for _, size := range flowSizes {
				for _, k := range flows {
					ns, err := b.flow(k, p, size)
					if err != nil {
						return fmt.Errorf("%s, %s, messages of %d bytes: %w", k, p.name, size, err)
					}
					key := fmt.Sprint("flow", p.name, size, k)
					got[key] = append(got[key], ns)
				}
			}
		}
		for _, n := range crowds {
			if !do("crowds") {
				break
			}
			for _, k := range crowded {
				ns, err := b.crowd(k, n)
				if err != nil {
					return fmt.Errorf("%s, %d clients: %w", k, n, err)
				}
				key := fmt.Sprint("crowd", n, k)
				got[key] = append(got[key], ns)
			}
		}
	}
	table := formatCalls(got, rounds) + formatFlows(got)
	fmt.Print(table)
	if write == "" {
		return nil
	}
	return insert(write, "calls", table)
}

func formatCalls(got map[string][]float64, rounds int) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s, median of %d interleaved rounds, ± the spread between their extremes. A request of so\nmany bytes, which both sides copy, and an answer of eight.\n\n", host(), rounds)
	cell := func(key string, per float64) {
		v := slices.DeleteFunc(slices.Clone(got[key]), func(ns float64) bool { return ns == 0 })
		if len(v) == 0 {
			s.WriteString(" - |")
			return
		}
		if per > 0 {
			fmt.Fprintf(&s, " %.0f |", per/median(v))
			return
		}
		fmt.Fprintf(&s, " %s ± %.0f %% |", nice(median(v)), 100*spread(v))
	}
	row := func(l []string) { s.WriteString("| " + strings.Join(l, " | ") + " |\n") }
	head := append(append([]string{"both on", "bytes"}, kinds...), "call / best of the host's", "in place / that", "call / bare")
	row(head)
	row(slices.Repeat([]string{"---"}, len(head)))
	for _, p := range places {
		for _, size := range sizes {
			fmt.Fprintf(&s, "| %s | %d |", p.name, size)
			best := 0.0
			of := func(kind string) float64 {
				if v := got[fmt.Sprint(p.name, size, kind)]; len(v) > 0 {
					return median(v)
				}
				return 0
			}
			for _, k := range kinds {
				key := fmt.Sprint(p.name, size, k)
				cell(key, 0)
				if v := of(k); slices.Contains(kinds[:hosts], k) && (best == 0 || v < best) {
					best = v
				}
			}
			for _, r := range [][2]float64{{of("call"), best}, {of("in place"), best}, {of("call"), of("bare")}} {
				if r[0] == 0 || r[1] == 0 {
					s.WriteString(" - |")
				} else {
					fmt.Fprintf(&s, " %.2f |", r[0]/r[1])
				}
			}
			s.WriteString("\n")
		}
	}
	s.WriteString("\nA core each, 8 bytes, the fastest tenth of stretches of 16 calls: what it is while both have their cores.\n\n")
	row(append(slices.Clone(nears), "call / bare"))
	row(slices.Repeat([]string{"---"}, len(nears)+1))
	s.WriteString("|")
	for _, k := range nears {
		cell("near"+k, 0)
	}
	if b := got["nearbare"]; len(b) > 0 && len(got["nearcall"]) > 0 {
		fmt.Fprintf(&s, " %.2f |\n", median(got["nearcall"])/median(b))
	} else {
		s.WriteString(" - |\n")
	}
	s.WriteString("\nMany clients of one server, each with one call of eight bytes under way: calls a second.\n\n")
	row(append([]string{"clients"}, crowded...))
	row(slices.Repeat([]string{"---"}, len(crowded)+1))
	for _, n := range crowds {
		fmt.Fprintf(&s, "| %d |", n)
		for _, k := range crowded {
			cell(fmt.Sprint("crowd", n, k), 1e9)
		}
		s.WriteString("\n")
	}
	return s.String()
}

// cores are the cores that this process may use.
func cores() []int {
	var set unix.CPUSet
	_ = unix.SchedGetaffinity(0, &set)
	var l []int
	for i := range 1024 {
		if set.IsSet(i) {
			l = append(l, i)
		}
	}
	return l
}

// pinTo puts a thread (0: this one) on one of the cores, -1: on any.
func pinTo(tid, core int, all []int) error {
	var set unix.CPUSet
	for i, c := range all {
		if core < 0 || i == core%len(all) {
			set.Set(c)
		}
	}
	return unix.SchedSetaffinity(tid, &set)
}

// pinProcess puts all threads of a process on a core.
func pinProcess(pid, core int, all []int) error {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil || len(tasks) == 0 {
		return fmt.Errorf("process %d is gone", pid)
	}
	for _, t := range tasks {
		tid, _ := strconv.Atoi(filepath.Base(t))
		if err := pinTo(tid, core, all); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

// burn keeps all cores busy, if the place is such.
func (p place) burn() (stop func(), err error) {
	var l []*exec.Cmd
	stop = func() {
		for _, c := range l {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	}
	for range cores() {
		if !p.busy {
			break
		}
		c := exec.Command("/proc/self/exe", "peer", "burn", "0")
		if err := c.Start(); err != nil {
			stop()
			return nil, err
		}
		l = append(l, c)
	}
	return stop, nil
}

// startOn starts a program on a core.
func startOn(core int, files []*os.File, name string, args ...string) (*exec.Cmd, error) {
	all := cores()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := pinTo(0, core, all); err != nil {
		return nil, err
	}
	defer func() { _ = pinTo(0, -1, all) }()
	cmd := exec.Command(name, args...)
	cmd.Stderr, cmd.ExtraFiles = os.Stderr, files
	return cmd, cmd.Start()
}

// onCore calls f on this thread, put on a core.
func onCore(core int, f func() (float64, error)) (float64, error) {
	all := cores()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := pinTo(0, core, all); err != nil {
		return 0, err
	}
	defer func() { _ = pinTo(0, -1, all) }()
	return f()
}

// turns calls turn for cellTime on this thread, put on a core, and answers the
// nanoseconds of each.
func turns(core int, turn func() error) (float64, error) {
	return onCore(core, func() (float64, error) { return count(turn) })
}

// single says that count answers what short does instead of the mean, on which all falls
// that else goes on.
var single bool

func count(turn func() error) (float64, error) {
	if single {
		return short(turn)
	}
	for range 20 {
		if err := turn(); err != nil {
			return 0, err
		}
	}
	n, start := 0, time.Now()
	for time.Since(start) < cellTime {
		if err := turn(); err != nil {
			return 0, err
		}
		n++
	}
	return float64(time.Since(start).Nanoseconds()) / float64(n), nil
}

// short is what the fastest tenth of stretches of 16 turns takes at most, out of 5
// cellTime: those in which both sides have their cores.
func short(turn func() error) (float64, error) {
	var l []float64
	for begin := time.Now(); time.Since(begin) < 5*cellTime; {
		start := time.Now()
		for range 16 {
			if err := turn(); err != nil {
				return 0, err
			}
		}
		l = append(l, float64(time.Since(start).Nanoseconds())/16)
	}
	slices.Sort(l)
	return l[len(l)/10], nil
}

// pair measures one client and its server; 0: there is none of the kind.
func (b *callBench) pair(kind string, p place, size int) (float64, error) {
	buf := make([]byte, max(size, answerSize))
	arg := strconv.Itoa(size)
	switch kind {
	case "pipe", "unix socket":
		var here [2]int // read, write
		var far []*os.File
		if kind == "pipe" {
			var to, from [2]int
			if err := errors.Join(unix.Pipe2(to[:], unix.O_CLOEXEC), unix.Pipe2(from[:], unix.O_CLOEXEC)); err != nil {
				return 0, err
			}
			here, far = [2]int{from[0], to[1]}, []*os.File{os.NewFile(uintptr(to[0]), "in"), os.NewFile(uintptr(from[1]), "out")}
		} else {
			s, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return 0, err
			}
			here, far = [2]int{s[0], s[0]}, []*os.File{os.NewFile(uintptr(s[1]), "socket")}
		}
		cmd, err := startOn(p.far, far, "/proc/self/exe", "peer", strings.Fields(kind)[0], arg)
		for _, f := range far {
			_ = f.Close()
		}
		if err != nil {
			return 0, err
		}
		defer func() {
			_, _ = unix.Close(here[0]), unix.Close(here[1])
			_ = cmd.Wait()
		}()
		return turns(p.here, func() error {
			for at := 0; at < size; {
				n, err := unix.Write(here[1], buf[at:size])
				if err != nil && err != unix.EINTR {
					return err
				}
				at += max(n, 0)
			}
			for {
				if n, err := unix.Read(here[0], buf[:answerSize]); n > 0 || err != unix.EINTR {
					return err
				}
			}
		})
	case "bare":
		// The floor: both look all the time, each on a core of its own.
		if p.here < 0 || p.here == p.far {
			return 0, nil
		}
		fallthrough
	case "futex":
		fd, err := unix.MemfdCreate("bench", unix.MFD_CLOEXEC)
		if err != nil {
			return 0, err
		}
		f := os.NewFile(uintptr(fd), "words")
		defer f.Close()
		if err := f.Truncate(int64(4096 + size)); err != nil {
			return 0, err
		}
		s, err := ipctest.MapShared(fd, size)
		if err != nil {
			return 0, err
		}
		defer s.Close()
		cmd, err := startOn(p.far, []*os.File{f}, "/proc/self/exe", "peer", kind, arg)
		if err != nil {
			return 0, err
		}
		n := uint32(0)
		defer func() {
			s.Set(0, ^uint32(0))
			_ = cmd.Wait()
		}()
		return turns(p.here, func() error {
			n++
			copy(s.Payload(), buf[:size])
			if kind == "bare" {
				s.Put(0, n)
				s.Look(1, n-1)
				return nil
			}
			s.Set(0, n)
			s.Wait(1, n-1)
			return nil
		})
	case "gRPC":
		return b.overGRPC(p, size, 1)
	case "call":
		return b.call(p, size, buf, false)
	case "in place":
		if size <= abi.SlotInSize {
			return 0, nil
		}
		return b.call(p, size, buf, true)
	}
	return 0, fmt.Errorf("no kind %q", kind)
}

// overGRPC runs both processes of the peer.
func (b *callBench) overGRPC(p place, size, clients int) (float64, error) {
	if b.grpc == "" {
		return 0, nil
	}
	socket := filepath.Join(b.dir, "grpc.sock")
	_ = os.Remove(socket)
	srv, err := startOn(p.far, nil, b.grpc, "server", socket)
	if err != nil {
		return 0, err
	}
	defer func() {
		_ = srv.Process.Kill()
		_ = srv.Wait()
	}()
	if err := appears(socket); err != nil {
		return 0, err
	}
	var out bytes.Buffer
	all := cores()
	runtime.LockOSThread()
	_ = pinTo(0, p.here, all)
	cmd := exec.Command(b.grpc, "client", socket, strconv.Itoa(size), strconv.Itoa(clients), strconv.Itoa(int(cellTime.Milliseconds())))
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	err = cmd.Run()
	_ = pinTo(0, -1, all)
	runtime.UnlockOSThread()
	if err != nil {
		return 0, err
	}
	var n, ns float64
	if _, err := fmt.Sscan(out.String(), &n, &ns); err != nil || n == 0 {
		return 0, fmt.Errorf("the client says %q", out.String())
	}
	return ns / n, nil
}

// appears waits for a server's socket.
func appears(socket string) error {
	for start := time.Now(); time.Since(start) < 10*time.Second; time.Sleep(time.Millisecond) {
		if c, err := net.Dial("unix", socket); err == nil {
			return c.Close()
		}
	}
	return fmt.Errorf("%s: nobody listens", socket)
}

// pid is the host process of the machine's server.
func (b *callBench) pid() (int, error) {
	l, err := b.m.Services(context.Background())
	if err != nil {
		return 0, err
	}
	for _, s := range l {
		if s.Name == "echo" && s.HostPID != 0 {
			return s.HostPID, nil
		}
	}
	return 0, errors.New("the server does not run")
}

// call measures Hythe's. inPlace: the client has what it hands over in the object already,
// and the server uses it there.
func (b *callBench) call(p place, size int, buf []byte, inPlace bool) (float64, error) {
	conn, in, err := b.m.Connect("echo")
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	cb, e := conn.Bind(in.Send("echo"), 1, "bench")
	if e != 0 {
		return 0, e
	}
	defer cb.Close()
	do := func(nr uint64, args [2]uint64, in []byte) error {
		c := cb.Begin()
		defer c.End()
		c.Args[0], c.Args[1] = args[0], args[1]
		copy(c.In(), in)
		if e := c.Do(nr, len(in)); e != 0 {
			return e
		}
		copy(buf, c.Out())
		return nil
	}
	turn := func() error { return do(opInline, [2]uint64{}, buf[:size]) }
	if size > abi.SlotInSize {
		object, fd, e := conn.CreateObject(uint64(size), "payload")
		if e != 0 {
			return 0, e
		}
		mem, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		_ = unix.Close(fd)
		if err != nil {
			return 0, err
		}
		defer func() { _ = unix.Munmap(mem) }()
		if e := conn.Grant(cb.ID, object, true, 1); e != 0 {
			return 0, e
		}
		if err := do(opMap, [2]uint64{1, uint64(size)}, nil); err != nil {
			return 0, err
		}
		turn = func() error {
			copy(mem, buf[:size])
			return do(opObject, [2]uint64{}, nil)
		}
		if inPlace {
			turn = func() error {
				mem[0]++
				return do(opInPlace, [2]uint64{}, nil)
			}
		}
	}
	if err := turn(); err != nil { // the server is there
		return 0, err
	}
	pid, err := b.pid()
	if err != nil {
		return 0, err
	}
	all := cores()
	if err := pinProcess(pid, p.far, all); err != nil {
		return 0, err
	}
	defer func() { _ = pinProcess(pid, -1, all) }()
	return turns(p.here, turn)
}

// crowd measures many clients, as goroutines of this process; nanoseconds for each call
// of any of them.
func (b *callBench) crowd(kind string, n int) (float64, error) {
	var turn []func() error
	switch kind {
	case "gRPC":
		return b.overGRPC(place{here: -1, far: -1}, 8, n)
	case "unix socket":
		socket := filepath.Join(b.dir, "crowd.sock")
		_ = os.Remove(socket)
		srv, err := startOn(-1, nil, "/proc/self/exe", "peer", "listen", "8", socket)
		if err != nil {
			return 0, err
		}
		defer func() {
			_ = srv.Process.Kill()
			_ = srv.Wait()
		}()
		if err := appears(socket); err != nil {
			return 0, err
		}
		for range n {
			c, err := net.Dial("unix", socket)
			if err != nil {
				return 0, err
			}
			defer c.Close()
			buf := make([]byte, 8)
			turn = append(turn, func() error {
				if _, err := c.Write(buf); err != nil {
					return err
				}
				_, err := c.Read(buf)
				return err
			})
		}
	case "call":
		conn, in, err := b.m.Connect("echo")
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		p, err := ipc.NewPoller()
		if err != nil {
			return 0, err
		}
		polled := make(chan struct{})
		defer func() {
			p.Close()
			<-polled
		}()
		for range n {
			cb, e := conn.Bind(in.Send("echo"), 1, "")
			if e != 0 {
				return 0, e
			}
			p.AddClient(cb)
			buf := make([]byte, 8)
			turn = append(turn, func() error {
				c := cb.Begin()
				defer c.End()
				copy(c.In(), buf)
				if e := c.Do(opInline, len(buf)); e != 0 {
					return e
				}
				copy(buf, c.Out())
				return nil
			})
		}
		go func() {
			defer close(polled)
			for p.Wait(-1).Kind != ipc.ReadyClosed {
			}
		}()
	}
	var calls atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, n)
	for _, f := range turn { // nobody begins before the server knows all
		if err := f(); err != nil {
			return 0, err
		}
	}
	start := time.Now()
	for _, f := range turn {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for time.Since(start) < cellTime {
				if err := f(); err != nil {
					errs <- err
					return
				}
				calls.Add(1)
			}
		}()
	}
	wg.Wait()
	took := time.Since(start)
	select {
	case err := <-errs:
		return 0, err
	default:
	}
	return float64(took.Nanoseconds()) / float64(calls.Load()), nil
}
