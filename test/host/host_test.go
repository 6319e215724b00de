// Package host tests the nucleus on the Linux host with real server processes,
// which are this test binary executed again.
package host

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/ipc"
	"hythe/machine"
	"hythe/machine/linux"
	"hythe/nucleus"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "server" {
		if err := serve(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) > 1 && os.Args[1] == "flood" {
		flood()
	}
	if len(os.Args) > 1 && os.Args[1] == "machine" {
		if err := victim(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// Requests of the echo server.
const (
	askEcho = 1 // the body, the incarnation, whether it was taken before
	askHold = 2 // the first incarnation says so in the log and never answers
	askWho  = 3 // uid, caps, no_new_privs, pid
	askFile = 4 // what descriptor 4 holds, the arguments
	askExit = 5 // a line on standard error, then exit 7
)

// serve is a server that answers messages on its port "svc" and requests on
// bindings; an object labelled "count" holds how many it answered.
func serve(name string) error {
	conn, err := ipc.Dial(ipc.ControlFD)
	if err != nil {
		return err
	}
	in, err := ipc.Startup(conn)
	if err != nil {
		return err
	}
	svc := in.Find(abi.RightReceive, "svc")
	if svc == nil {
		return fmt.Errorf("%s: no port", name)
	}
	p, err := ipc.NewPoller()
	if err != nil {
		return err
	}
	add := func(b *ipc.Bound) {
		sb, err := ipc.NewServerBinding(b)
		if err != nil {
			conn.Log(1, err.Error())
			return
		}
		p.Add(sb)
	}
	for _, b := range in.Bindings {
		if b.Role == abi.RoleServer {
			add(b)
		}
	}
	go func() { _ = conn.Run(&ipc.Handlers{Binding: add}); os.Exit(0) }()
	go func() {
		for {
			m, err := conn.Receive(svc.Name)
			if err != 0 {
				return
			}
			switch m.ID {
			case askHold:
				if in.Incarnation == 1 {
					conn.Log(0, "holding")
					continue
				}
				fallthrough
			case askEcho:
				conn.Answer(m, fmt.Appendf(nil, "%s %d %v", m.Body, in.Incarnation, m.Again))
			case askFile:
				b := make([]byte, 64)
				n, _ := unix.Pread(4, b, 0)
				conn.Answer(m, fmt.Appendf(nil, "%s %q", b[:max(n, 0)], os.Args[3:]))
			case askExit:
				fmt.Fprintln(os.Stderr, "a last word")
				os.Exit(7)
			case askWho:
				st, _ := os.ReadFile("/proc/thread-self/status")
				var keep []string
				for _, l := range strings.Split(string(st), "\n") {
					if k, _, _ := strings.Cut(l, ":"); k == "Uid" || k == "CapEff" || k == "NoNewPrivs" {
						keep = append(keep, strings.Join(strings.Fields(l), " "))
					}
				}
				fds, _ := os.ReadDir("/proc/self/fd")
				conn.Answer(m, fmt.Appendf(nil, "%s; pid %d; %d fds", strings.Join(keep, "; "), os.Getpid(), len(fds)))
			}
		}
	}()
	if e := conn.Ready(); e != 0 {
		return e
	}
	for {
		r := p.Wait(time.Hour)
		if r.Kind != ipc.ReadySlot {
			continue
		}
		var q ipc.Request
		if !r.Binding.Load(r.Slot, &q) {
			r.Binding.Drop(r.Slot)
			continue
		}
		r.Binding.Answer(r.Slot, q.Seq, q.Nr+1, 0, 0)
		r.Binding.Complete(r.Slot)
	}
}

type world struct {
	t     *testing.T
	m     *linux.Machine
	k     *nucleus.Kernel
	dead  chan machine.Exit
	ready chan *nucleus.Server
	logs  chan string
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, dead: make(chan machine.Exit, 64), ready: make(chan *nucleus.Server, 64), logs: make(chan string, 1024)}
	var err error
	if w.m, err = linux.New(linux.Options{Log: func(l string) { w.logs <- l }}); err != nil {
		t.Fatal(err)
	}
	w.k = nucleus.New(w.m, nucleus.Limits{}, nucleus.Hooks{
		Dead:  func(_ *nucleus.Server, e machine.Exit) { w.dead <- e },
		Ready: func(s *nucleus.Server) { w.ready <- s },
		Log:   func(_ *nucleus.Server, _ int, l string) { w.logs <- l },
	})
	t.Cleanup(w.close)
	return w
}

func (w *world) close() {
	if err := w.k.Check(); err != nil {
		w.t.Error(err)
	}
	w.k.Stop()
	w.m.Close()
	if err := w.k.Check(); err != nil {
		w.t.Error(err)
	}
}

func (w *world) server(name string, iso machine.Isolation) *nucleus.Server {
	s := w.k.NewServer(nucleus.ServerSpec{Name: name, Process: machine.ServerSpec{Name: name, Isolation: iso, Lenient: true}})
	if _, err := s.MakePort("svc"); err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) start(s *nucleus.Server) {
	w.t.Helper()
	if err := s.Start(nil); err != nil {
		w.t.Fatal(err)
	}
	select {
	case <-w.ready:
	case e := <-w.dead:
		w.t.Fatalf("server died: %+v", e)
	}
}

// client is a task in the test's own process with a send right to each server.
func (w *world) client(to ...*nucleus.Server) (*ipc.Conn, *ipc.Inheritance) {
	w.t.Helper()
	c := w.k.NewServer(nucleus.ServerSpec{Name: "client"})
	for _, s := range to {
		if _, err := c.GiveSend(s.Name(), s, "svc"); err != nil {
			w.t.Fatal(err)
		}
	}
	h, err := c.Attach(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	fd, err := linux.TakeFD(h)
	if err != nil {
		w.t.Fatal(err)
	}
	conn, err := ipc.Dial(fd)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	in, err := ipc.Startup(conn)
	if err != nil {
		w.t.Fatal(err)
	}
	return conn, in
}

// request sends a message and waits for the answer, on a port made for it.
func request(c *ipc.Conn, to abi.Name, id uint32, body string) (string, abi.Errno) {
	port, err := c.MakePort("")
	if err != 0 {
		return "", err
	}
	defer c.Call(abi.CallPortModRefs, [6]uint64{uint64(port), abi.RightReceive, ^uint64(0)}, nil, nil)
	m, err := c.Exchange(to, &ipc.Message{ID: id, Body: []byte(body)}, port)
	if err != 0 {
		return "", err
	}
	return string(m.Body), 0
}

func (w *world) ask(c *ipc.Conn, to abi.Name, id uint32, body string) string {
	w.t.Helper()
	b, err := request(c, to, id, body)
	if err != 0 {
		w.t.Fatal(err)
	}
	return b
}

func TestTwoServers(t *testing.T) {
	w := newWorld(t)
	a, b := w.server("a", machine.IsolateDefault), w.server("b", machine.IsolateDefault)
	w.start(a)
	w.start(b)
	c, in := w.client(a, b)
	for _, n := range []string{"a", "b"} {
		if got := w.ask(c, in.Send(n), askEcho, "hi"); got != "hi 1 false" {
			t.Errorf("%s answered %q", n, got)
		}
	}
	who := w.ask(c, in.Send("a"), askWho, "")
	t.Log(who)
	for _, want := range []string{"CapEff: 0000000000000000", "NoNewPrivs: 1", "pid 1;"} {
		if !strings.Contains(who, want) {
			t.Errorf("the server is %q, want %q in it", who, want)
		}
	}
	if os.Getuid() == 0 && !strings.Contains(who, "Uid: 65534 65534 65534 65534") {
		t.Errorf("the server is %q", who)
	}
	if i, ok := a.Info(); !ok || i.Resident == 0 {
		t.Errorf("info %+v %v", i, ok)
	}
}

// Descriptors, arguments, the user's rights, standard error, the exit code.
func TestSpec(t *testing.T) {
	w := newWorld(t)
	h, err := w.m.NewObject(4096, "file", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Pwrite(linux.FD(h), []byte("content"), 0); err != nil {
		t.Fatal(err)
	}
	ro, err := w.m.ReadOnly(h)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Pwrite(linux.FD(ro), []byte("x"), 0); err == nil {
		t.Error("a read-only handle writes")
	}
	if err := unix.Ftruncate(linux.FD(h), 0); err == nil {
		t.Error("an object shrinks")
	}
	f, err := w.m.NewObject(4096, "file", true)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Ftruncate(linux.FD(f), 0); err != nil {
		t.Error("an object that is to shrink does not:", err)
	}
	if err := w.m.Freeze(f); err != nil {
		t.Error(err)
	}
	if s, err := unix.FcntlInt(uintptr(linux.FD(f)), unix.F_GET_SEALS, 0); err != nil || s&unix.F_SEAL_SHRINK == 0 {
		t.Errorf("frozen, it has the seals %#x, %v", s, err)
	}
	f.Release()
	s := w.k.NewServer(nucleus.ServerSpec{Name: "a", Process: machine.ServerSpec{Name: "a", Args: []string{"x", "y z"},
		Files: []machine.Handle{ro}, Isolation: machine.IsolateDefault, KeepUser: true, Lenient: true}})
	if _, err := s.MakePort("svc"); err != nil {
		t.Fatal(err)
	}
	w.start(s)
	c, in := w.client(s)
	if got := w.ask(c, in.Send("a"), askFile, ""); got[:7] != "content" || !strings.Contains(got, `["x" "y z"]`) {
		t.Errorf("answer %q", got)
	}
	if got, want := w.ask(c, in.Send("a"), askWho, ""), fmt.Sprintf("Uid: %d ", os.Getuid()); !strings.Contains(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if err := c.Send(in.Send("a"), &ipc.Message{ID: askExit}, abi.NameNull); err != 0 {
		t.Fatal(err)
	}
	if e := <-w.dead; e.Code != 7 || e.Signal != 0 {
		t.Errorf("exit %+v", e)
	}
	if l := <-w.logs; l != "a last word" {
		t.Errorf("log %q", l)
	}
	h.Release()
	ro.Release()

	bad, err := linux.New(linux.Options{Exe: "/nonexistent"})
	if err != nil {
		t.Fatal(err)
	}
	defer bad.Close()
	k := nucleus.New(bad, nucleus.Limits{}, nucleus.Hooks{})
	defer k.Stop()
	if err := k.NewServer(nucleus.ServerSpec{Name: "a"}).Start(nil); err == nil {
		t.Error("a program that does not exist runs")
	}
}

// A server is killed while requests run on a binding and while a message is
// unanswered: nobody sees more than a delay.
func TestKillServer(t *testing.T) {
	w := newWorld(t)
	s := w.server("a", machine.IsolateDefault)
	w.start(s)
	c, in := w.client(s)
	bind, err := c.Bind(in.Send("a"), 8, "test")
	if err != 0 {
		t.Fatal(err)
	}
	var stop atomic.Bool
	var n atomic.Int64
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for i := uint64(0); !stop.Load(); i++ {
				if e := bind.Call(i, 1, i, [6]uint64{}, nil, func(res uint64, _ []byte) {
					if res != i+1 {
						t.Errorf("call %d answered %d", i, res)
					}
				}); e != 0 {
					t.Errorf("call: %v", e)
					return
				}
				n.Add(1)
			}
		})
	}
	held := make(chan string, 1)
	go func() {
		b, _ := request(c, in.Send("a"), askHold, "held")
		held <- b
	}()
	for l := range w.logs {
		if l == "holding" {
			break
		}
	}
	for i := range 5 {
		before := n.Load()
		start := time.Now()
		s.Kill("test")
		e := <-w.dead
		if e.Signal != 9 {
			t.Errorf("exit %+v", e)
		}
		w.start(s)
		if i == 0 {
			if got := <-held; got != "held 2 true" {
				t.Errorf("the held request was answered %q", got)
			}
		}
		if got := w.ask(c, in.Send("a"), askEcho, "x"); got != fmt.Sprintf("x %d false", i+2) {
			t.Errorf("answer %q", got)
		}
		t.Logf("restart %v after %d calls", time.Since(start), before)
	}
	stop.Store(true)
	wg.Wait()
}

// What each name space costs at the start of a server.
func TestStartCost(t *testing.T) {
	w := newWorld(t)
	for _, v := range []struct {
		name string
		iso  machine.Isolation
	}{
		{"none", 0},
		{"user", machine.IsolateUser},
		{"user+pid", machine.IsolateUser | machine.IsolatePID},
		{"user+mount", machine.IsolateUser | machine.IsolateMount},
		{"user+ipc", machine.IsolateUser | machine.IsolateIPC},
		{"user+uts", machine.IsolateUser | machine.IsolateUTS},
		{"user+net", machine.IsolateUser | machine.IsolateNet},
		{"all but net", machine.IsolateDefault &^ machine.IsolateNet},
		{"all", machine.IsolateDefault},
	} {
		s := w.server("a", v.iso)
		var process, total time.Duration
		const n = 5
		for range n {
			t0 := time.Now()
			if err := s.Start(nil); err != nil {
				t.Fatal(err)
			}
			process += time.Since(t0)
			<-w.ready
			total += time.Since(t0)
			s.Kill("")
			<-w.dead
		}
		t.Logf("%-12s process %v, serving after %v", v.name, process/n, total/n)
		s.Discard()
	}
}

// 50 machines with two servers each leave nothing behind.
func TestNothingLeft(t *testing.T) {
	count := func() int {
		d, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(d)
	}
	children := func() string {
		var all strings.Builder
		ts, _ := os.ReadDir("/proc/self/task")
		for _, th := range ts {
			b, _ := os.ReadFile("/proc/self/task/" + th.Name() + "/children")
			all.Write(b)
		}
		return all.String()
	}
	before := 0
	for i := range 50 {
		t.Run("", func(t *testing.T) {
			w := newWorld(t)
			a, b := w.server("a", machine.IsolateDefault), w.server("b", machine.IsolateDefault)
			if err := a.Start(nil); err != nil {
				t.Fatal(err)
			}
			w.start(b)
			if i%2 == 0 { // the other half is stopped while a may still start
				select {
				case <-w.ready:
				case e := <-w.dead:
					t.Fatalf("died: %+v", e)
				}
			}
		})
		if i == 4 {
			before = count()
		}
	}
	if c := children(); c != "" {
		t.Errorf("processes left: %s", c)
	}
	// The pipe of a server's log is closed by a goroutine of its own, which
	// may be a moment behind; more than a few of them would be a leak.
	if after := count(); after > before+8 {
		t.Errorf("%d descriptors, %d at the start", after, before)
	}
}

// Bad use of the channel: answered with an error, or the caller's own end.
func TestBadInput(t *testing.T) {
	w := newWorld(t)
	s := w.server("a", 0)
	w.start(s)
	c, in := w.client(s)
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(null)
	for _, v := range []struct {
		op   uint32
		a    [6]uint64
		data []byte
		fds  []int
		want abi.Errno
	}{
		{op: 0, want: abi.ENOSYS},
		{op: 9999, want: abi.ENOSYS},
		{op: abi.CallPortAllocate, a: [6]uint64{77}, want: abi.EINVAL},
		{op: abi.CallPortAllocate, a: [6]uint64{abi.RightReceive}, fds: []int{null}, want: abi.EINVAL},
		{op: abi.CallObjectCreate, want: abi.EINVAL},
		{op: abi.CallObjectCreate, a: [6]uint64{^uint64(0)}, want: abi.EINVAL},
		{op: abi.CallObjectCreate, a: [6]uint64{4096, 8}, want: abi.EINVAL},
		{op: abi.CallObjectCreate, a: [6]uint64{4096, abi.ObjectPaged}, want: abi.EBADF}, // by nobody
		{op: abi.CallObjectImport, fds: []int{null}, want: abi.EPERM},                    // no power
		{op: abi.CallTaskCreate, a: [6]uint64{0, 1}, want: abi.EPERM},
		{op: abi.CallSupervise, data: []byte("{}"), want: abi.EPERM},
		{op: abi.CallBind, a: [6]uint64{uint64(in.Send("a")), 0}, want: abi.EINVAL},
		{op: abi.CallBind, a: [6]uint64{1 << 40, 1}, want: abi.EBADF},
		{op: abi.CallMsgSend, data: make([]byte, 10), want: abi.EINVAL},
		{op: abi.CallMsgReceive, a: [6]uint64{uint64(in.Send("a")), 0}, want: abi.EPERM},
	} {
		if _, err := c.Call(v.op, v.a, v.data, v.fds); err != v.want {
			t.Errorf("op %d %v: %v, want %v", v.op, v.a, err, v.want)
		}
	}
	if got := w.ask(c, in.Send("a"), askEcho, "still"); got != "still 1 false" {
		t.Errorf("answer %q", got)
	}
}
