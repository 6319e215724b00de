// Package rights runs one table of cases about ports, rights and messages on the
// machine without a host and on the real one, where each task is a process. What
// the cases are stands in testdata; the answers must be the same on both, to the
// name.
package rights

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/machine"
	"hythe/machine/linux"
	"hythe/machine/sim"
	"hythe/nucleus"
	"hythe/nucleus/message"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "server" {
		if err := puppet(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// What a task's process has: its control channel, and a wire to the test.
const (
	controlFD = 3
	wireFD    = 4
)

// bufSize holds any datagram of either wire.
const bufSize = abi.CallHeaderSize + abi.MaxInline + 2

// puppet is the process of a task: what comes on the wire goes to the nucleus,
// and what the nucleus says goes to the wire, with the number of its descriptors
// before it.
func puppet() error {
	fail := make(chan error, 2)
	go func() {
		buf := make([]byte, bufSize)
		for {
			n, err := unix.Read(wireFD, buf)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err == nil && n == 0 {
				fail <- nil
				return
			}
			if err == nil {
				_, err = unix.Write(controlFD, buf[:n])
			}
			if err != nil {
				fail <- err
				return
			}
		}
	}()
	go func() {
		buf := make([]byte, bufSize)
		oob := make([]byte, unix.CmsgSpace(4*abi.MaxObjects))
		for {
			n, oobn, _, _, err := unix.Recvmsg(controlFD, buf[1:], oob, unix.MSG_CMSG_CLOEXEC)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil || n == 0 {
				fail <- err
				return
			}
			buf[0] = 0
			if msgs, err := unix.ParseSocketControlMessage(oob[:oobn]); err == nil {
				for i := range msgs {
					fds, _ := unix.ParseUnixRights(&msgs[i])
					for _, fd := range fds {
						buf[0]++
						_ = unix.Close(fd)
					}
				}
			}
			if _, err := unix.Write(wireFD, buf[:n+1]); err != nil {
				fail <- err
				return
			}
		}
	}()
	return <-fail
}

// wire is a task's end of its control channel.
type wire interface {
	send(b []byte)
	// next is the next datagram from the nucleus. wait: there will be one.
	next(wait bool) (b []byte, fds int, ok bool)
	// close gives the guest's end up.
	close()
}

// host is a machine as the cases see it.
type host interface {
	name() string
	machine() machine.Machine
	// process says how a task's process is made, and connected how to reach it
	// once it was: by was, if the machine made it before the process.
	process() (spec machine.ServerSpec, was wire)
	connected(was wire) wire
	// guest is the control channel of the guest task that was made last, and opened
	// the channel for its calls, which came there.
	guest() wire
	opened(control wire) wire
	// settle lets everything happen that is due.
	settle()
	// pass lets a millisecond go by.
	pass()
	close()
}

type simHost struct {
	m             *sim.Machine
	last, spawned *sim.Channel
}

func newSim() host {
	h := &simHost{m: sim.New()}
	h.m.OnServer = func(c *sim.Channel, _ machine.ServerSpec) { h.last = c }
	h.m.OnSpawn = func(c *sim.Channel, _, _ *sim.Handle) { h.spawned = c }
	return h
}

func (h *simHost) name() string                        { return "sim" }
func (h *simHost) machine() machine.Machine            { return h.m }
func (h *simHost) process() (machine.ServerSpec, wire) { return machine.ServerSpec{}, nil }
func (h *simHost) connected(wire) wire                 { return simWire{h: h, c: h.last} }
func (h *simHost) settle()                             { h.m.Run() }
func (h *simHost) pass()                               { h.m.Advance(1e6) }
func (h *simHost) close()                              {}
func (h *simHost) guest() wire                         { return simWire{h: h, c: h.spawned} }

func (h *simHost) opened(control wire) wire {
	d, ok := control.(simWire).c.Next()
	if !ok || len(d.Handles) != 1 {
		return nil
	}
	end := d.Handles[0].(*sim.Handle)
	return simWire{h, end.Channel, end}
}

type simWire struct {
	h   *simHost
	c   *sim.Channel
	end *sim.Handle // of a guest's calls
}

func (w simWire) close() {
	if w.end != nil {
		w.end.Release()
		return
	}
	w.c.Die(machine.Exit{Signal: 9})
	w.h.m.Run()
}

func (w simWire) send(b []byte) {
	w.c.Send(b)
	w.h.m.Run()
}

func (w simWire) next(bool) ([]byte, int, bool) {
	d, ok := w.c.Next()
	for _, x := range d.Handles {
		x.Release()
	}
	return d.Bytes, len(d.Handles), ok
}

type linuxHost struct {
	t       *testing.T
	m       *linux.Machine
	spawned int // the control channel of the guest made last
}

// Spawn implements linux.Spawner: guest tasks have the test for a process.
func (h *linuxHost) Spawn(control, _, _ int) (err error) {
	h.spawned, err = unix.FcntlInt(uintptr(control), unix.F_DUPFD_CLOEXEC, 3)
	return err
}

func (h *linuxHost) Stop() {}

func newLinux(t *testing.T) host {
	m, err := linux.New(linux.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h := &linuxHost{t: t, m: m}
	m.SetSpawner(h)
	return h
}

func (h *linuxHost) name() string             { return "linux" }
func (h *linuxHost) machine() machine.Machine { return h.m }
func (h *linuxHost) settle()                  {}
func (h *linuxHost) pass()                    {} // it does so by itself
func (h *linuxHost) close()                   { h.m.Close() }

func (h *linuxHost) process() (machine.ServerSpec, wire) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	_ = unix.SetNonblock(p[0], true)
	mine, far := os.NewFile(uintptr(p[0]), "wire"), linux.HandleOf(p[1])
	h.t.Cleanup(func() {
		mine.Close()
		far.Release()
	})
	return machine.ServerSpec{Name: "puppet", Files: []machine.Handle{far}, Isolation: machine.IsolateUser, Lenient: true},
		&linuxWire{h.t, mine, make([]byte, bufSize)}
}

func (h *linuxHost) guest() wire { return h.direct(h.spawned) }

func (h *linuxHost) direct(fd int) wire {
	_ = unix.SetNonblock(fd, true)
	f := os.NewFile(uintptr(fd), "channel")
	h.t.Cleanup(func() { f.Close() })
	return &directWire{linuxWire: linuxWire{h.t, f, make([]byte, bufSize)}}
}

func (h *linuxHost) opened(control wire) wire {
	w := control.(*directWire)
	w.keep = true
	if _, n, _ := w.next(true); n != 1 {
		return nil
	}
	return h.direct(w.fds[0])
}

// connected has nothing to read: a case looks at all that a task was told before
// it ends it.
func (h *linuxHost) connected(was wire) wire { return was }

type linuxWire struct {
	t   *testing.T
	f   *os.File
	buf []byte
}

func (w *linuxWire) send(b []byte) {
	if _, err := w.f.Write(b); err != nil {
		w.t.Fatal(err)
	}
}

func (w *linuxWire) next(wait bool) ([]byte, int, bool) {
	if !wait {
		return nil, 0, false
	}
	_ = w.f.SetReadDeadline(time.Now().Add(time.Minute)) // no test waits for ever
	n, err := w.f.Read(w.buf)
	if err != nil || n == 0 {
		w.t.Fatalf("the task does not answer: %v", err)
	}
	return append([]byte(nil), w.buf[1:n]...), int(w.buf[0]), true
}

func (w *linuxWire) close() { w.f.Close() }

// directWire is a channel of the nucleus's that the test has itself.
type directWire struct {
	linuxWire
	keep bool
	fds  []int
}

func (w *directWire) next(wait bool) (b []byte, n int, ok bool) {
	if !wait {
		return nil, 0, false
	}
	_ = w.f.SetReadDeadline(time.Now().Add(time.Minute))
	conn, err := w.f.SyscallConn()
	if err != nil {
		w.t.Fatal(err)
	}
	oob := make([]byte, unix.CmsgSpace(4*abi.MaxObjects))
	var oobn int
	var rerr error
	err = conn.Read(func(fd uintptr) bool {
		n, oobn, _, _, rerr = unix.Recvmsg(int(fd), w.buf, oob, unix.MSG_CMSG_CLOEXEC)
		return !errors.Is(rerr, unix.EAGAIN) && !errors.Is(rerr, unix.EINTR)
	})
	if err != nil || rerr != nil || n == 0 {
		w.t.Fatalf("a guest is not answered: %v, %v", err, rerr)
	}
	w.fds = nil
	if msgs, err := unix.ParseSocketControlMessage(oob[:oobn]); err == nil {
		for i := range msgs {
			fds, _ := unix.ParseUnixRights(&msgs[i])
			w.fds = append(w.fds, fds...)
		}
	}
	if !w.keep {
		for _, fd := range w.fds {
			_ = unix.Close(fd)
		}
	}
	return append([]byte(nil), w.buf[:n]...), len(w.fds), true
}

// world is one case's nucleus with its tasks.
type world struct {
	t     *testing.T
	h     host
	k     *nucleus.Kernel
	dead  chan *nucleus.Server
	tasks map[string]*task
	order []*task
}

func newWorld(t *testing.T, h host, l nucleus.Limits) *world {
	w := &world{t: t, h: h, dead: make(chan *nucleus.Server, 8), tasks: map[string]*task{}}
	w.k = nucleus.New(h.machine(), l, nucleus.Hooks{Dead: func(s *nucleus.Server, _ machine.Exit) { w.dead <- s }})
	return w
}

func (w *world) check() {
	w.t.Helper()
	if err := w.k.Check(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) end() {
	w.t.Helper()
	w.check()
	w.k.Stop()
	w.h.settle()
	w.check()
}

// task is a task of a case. names are the case's words for its names.
type task struct {
	w       *world
	s       *nucleus.Server
	wire    wire
	next    uint64
	answers map[uint64]event
	events  []event
	names   map[string]uint64
	calls   map[string]uint64 // calls that wait, by the case's word
	control wire              // of a guest
}

type event struct {
	abi.CallHeader
	data []byte
	fds  int
}

func (w *world) task(name string) *task {
	t := &task{w: w, names: map[string]uint64{}, calls: map[string]uint64{}}
	spec, was := w.h.process()
	t.wire = was
	t.s = w.k.NewServer(nucleus.ServerSpec{Name: name, Process: spec, Powers: nucleus.PowerTasks})
	t.start()
	w.tasks[name] = t
	w.order = append(w.order, t)
	return t
}

// guest makes a guest task with a send right to t's port that has the name box: its
// "@box". It answers the error of the call that refuses it.
func (t *task) guest(name string, box uint64) event {
	t.w.t.Helper()
	e := t.call(abi.CallTaskCreate, nil, 0, 4)
	if e.Err != 0 {
		return e
	}
	g := &task{w: t.w, names: map[string]uint64{}, calls: map[string]uint64{}, answers: map[uint64]event{}, control: t.w.h.guest()}
	t.names[name] = e.A[0]
	e = t.call(abi.CallTaskOpen, nil, e.A[0], box)
	if e.Err == 0 {
		if g.wire = t.w.h.opened(g.control); g.wire == nil {
			t.w.t.Fatalf("%s was not given its channel", name)
		}
		g.names["@box"] = e.A[0]
	}
	t.w.tasks[name] = g
	return e
}

// start begins the task's first or next incarnation and returns what it is told
// before EventGo.
func (t *task) start() []event {
	t.w.t.Helper()
	if err := t.s.Start(nil); err != nil {
		t.w.t.Fatal(err)
	}
	t.w.h.settle()
	t.wire = t.w.h.connected(t.wire)
	t.answers, t.events = map[uint64]event{}, nil
	for {
		e := t.take(true)
		if e == nil {
			t.w.t.Fatal("no EventGo")
		}
		if e.Op == abi.EventGo {
			told := t.events
			t.events = nil
			return told
		}
	}
}

// die ends the task's process as SIGKILL does.
func (t *task) die() {
	t.w.t.Helper()
	t.sync()
	if t.control != nil {
		t.wire.close()
		t.control.close()
		return
	}
	t.s.Kill("the case")
	t.w.h.settle()
	select {
	case <-t.w.dead:
	case <-time.After(time.Minute):
		t.w.t.Fatal("the task does not die")
	}
}

// take reads one datagram.
func (t *task) take(wait bool) *event {
	b, fds, ok := t.wire.next(wait)
	if !ok {
		return nil
	}
	h, in, ok := message.GetCall(b)
	if !ok || int(h.NFds) != fds {
		t.w.t.Fatalf("the nucleus sent a malformed datagram: %+v with %d descriptors", h, fds)
	}
	e := &event{h, in, fds}
	switch h.Op {
	case abi.EventReply:
		t.answers[h.ID] = *e
	case abi.EventGo:
	default:
		t.events = append(t.events, *e)
	}
	return e
}

// post says a call and returns its id once the nucleus has carried it out as far
// as it can: the nucleus answers in order, so the answer to a call that it
// refuses at once, said behind it, comes after all that it brought about.
func (t *task) post(op uint32, data []byte, a ...uint64) uint64 {
	t.w.t.Helper()
	t.next++
	id := t.next
	h := abi.CallHeader{Op: op, ID: id, Len: uint32(len(data))}
	copy(h.A[:], a)
	t.wire.send(append(message.PutCall(nil, &h), data...))
	t.sync()
	t.w.check()
	return id
}

// sync reads everything that the nucleus has told the task so far.
func (t *task) sync() {
	t.w.t.Helper()
	t.next++
	h := abi.CallHeader{Op: abi.CallPortStatus, ID: t.next}
	t.wire.send(message.PutCall(nil, &h))
	t.await(t.next)
}

// await waits for the answer of a call.
func (t *task) await(id uint64) event {
	t.w.t.Helper()
	for {
		if e, ok := t.answers[id]; ok {
			delete(t.answers, id)
			return e
		}
		if t.take(true) == nil {
			t.w.t.Fatal("a call is not answered")
		}
	}
}

// call says a call that is answered at once.
func (t *task) call(op uint32, data []byte, a ...uint64) event {
	t.w.t.Helper()
	id := t.post(op, data, a...)
	e, ok := t.answers[id]
	if !ok {
		t.w.t.Fatalf("call %d is not answered", op)
	}
	delete(t.answers, id)
	return e
}
