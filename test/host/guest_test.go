package host

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/ipc"
	"hythe/machine/linux"
	"hythe/nucleus"
)

// The guest program: fork, report, spin.
var program = []byte{
	0xb8, 57, 0, 0, 0, 0x0f, 0x05, // mov $57,%eax; syscall
	0xb8, 0x84, 0x03, 0, 0, 0x0f, 0x05, // mov $900,%eax; syscall
	0xeb, 0xfe, // jmp .
}

const codeBase = 0x10000000

// news is what the test server saw of a task.
type news struct {
	task   abi.Name
	kind   uint32
	nr     uint64
	hostID uint64
}

// unix is a server of guest tasks in the test's own process.
type unixServer struct {
	t    *testing.T
	conn *ipc.Conn
	in   *ipc.Inheritance
	p    *ipc.Poller
	news chan news
	dead chan abi.Name
	done chan struct{}
	code []byte // of fresh tasks
}

func attachUnix(t *testing.T, s *nucleus.Server, n chan news, code []byte) *unixServer {
	h, err := s.Attach(nil)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := linux.TakeFD(h)
	if err != nil {
		t.Fatal(err)
	}
	u := &unixServer{t: t, news: n, dead: make(chan abi.Name, 16), done: make(chan struct{}), code: code}
	if u.conn, err = ipc.Dial(fd); err != nil {
		t.Fatal(err)
	}
	if u.in, err = ipc.Startup(u.conn); err != nil {
		t.Fatal(err)
	}
	if u.p, err = ipc.NewPoller(); err != nil {
		t.Fatal(err)
	}
	for _, b := range u.in.Bindings {
		sb, err := ipc.NewServerBinding(b)
		if err != nil {
			t.Fatal(err)
		}
		sb.User = b.Port // the task's name
		u.p.Add(sb)
	}
	go func() {
		_ = u.conn.Run(&ipc.Handlers{TaskDead: func(n abi.Name) { u.dead <- n }})
		u.p.Wake()
	}()
	go u.serve()
	return u
}

// stop ends the server as its death would.
func (u *unixServer) stop() {
	u.conn.Close()
	u.p.Wake()
	<-u.done
	u.p.Close()
}

func (u *unixServer) create(parent abi.Name, tag uint64) (abi.Name, abi.Errno) {
	name, b, err := u.conn.TaskCreate(parent, 4, tag)
	if err == 0 {
		b.User = name
		u.p.Add(b)
	}
	return name, err
}

func (u *unixServer) serve() {
	defer close(u.done)
	tag := uint64(0)
	for {
		r := u.p.Wait(-1)
		if r.Kind == ipc.ReadyWake {
			return
		}
		if r.Kind != ipc.ReadySlot {
			continue
		}
		var q ipc.Request
		b := r.Binding
		if !b.Load(r.Slot, &q) {
			b.Drop(r.Slot)
			continue
		}
		task := b.User.(abi.Name)
		b.Answer(r.Slot, q.Seq, 0, 0, 0)
		s := b.Slot(r.Slot)
		act := func(op uint32, a ...uint64) {
			s.Acts[s.NAct] = abi.Action{Op: op}
			copy(s.Acts[s.NAct].A[:], a)
			s.NAct++
		}
		switch {
		case q.Kind == abi.KindStart:
			out := b.Out(r.Slot)
			n := copy(out, u.code)
			act(abi.ActMapAnon, codeBase, 4096, 7, unix.MAP_PRIVATE|unix.MAP_FIXED)
			act(abi.ActCopyOut, codeBase, abi.SlotOutOff, uint64(n))
			putRegs(out[64:], &abi.Regs{IP: codeBase, SP: codeBase + 4096, Flags: 0x202})
			act(abi.ActRegs, abi.SlotOutOff+64)
			s.OutLen, s.RFlags = 1024, abi.ReplyKeepRegs
		case q.Kind == abi.KindTrap && q.Nr == 57:
			tag++
			if _, err := u.create(task, tag); err != 0 {
				u.t.Errorf("fork: %v", err)
				s.Err = uint32(err)
				break
			}
			act(abi.ActFork, tag, 7)
		}
		b.Complete(r.Slot)
		u.news <- news{task, q.Kind, q.Nr, q.HostID}
	}
}

// wait takes news until one is of the kind, about the task if it is not null.
func (u *unixServer) wait(kind uint32, nr abi.Name) news {
	u.t.Helper()
	for {
		select {
		case n := <-u.news:
			if n.kind == kind && (nr == 0 || n.task == nr) {
				return n
			}
		case n := <-u.dead:
			u.t.Fatalf("task %#x died", n)
		case <-time.After(20 * time.Second):
			u.t.Fatalf("no news of kind %d", kind)
		}
	}
}

// Guest tasks under the nucleus: a fresh one, its fork, kicks, what the host
// tells about them, the death of their server, and their own.
func TestGuests(t *testing.T) {
	if raceEnabled {
		t.Skip("the emulation library is freestanding: an instrumented build cannot run in a guest")
	}
	w := newWorld(t)
	var table [abi.CallTableSize]abi.CallDesc
	z, err := linux.StartZygote(linux.GuestConfig{Tables: [][]byte{linux.TableBytes(&table)}, Spin: linux.SpinDefault})
	if err != nil {
		t.Fatal(err)
	}
	w.m.SetSpawner(z)
	s := w.k.NewServer(nucleus.ServerSpec{Name: "unix", Powers: nucleus.PowerTasks | nucleus.PowerMemory})
	all := make(chan news, 1024)
	u := attachUnix(t, s, all, program)
	start := time.Now()
	first, e := u.create(0, 0)
	if e != 0 {
		t.Fatal(e)
	}
	host := map[abi.Name]uint64{}
	var child abi.Name
	for len(host) < 2 {
		switch n := <-all; {
		case n.kind == abi.KindStart:
			t.Logf("a fresh task speaks after %v", time.Since(start))
		case n.kind == abi.KindFork:
			child = n.task
		case n.kind == abi.KindTrap && n.nr == 900:
			host[n.task] = n.hostID
		}
	}
	if child == 0 || child == first {
		t.Fatalf("tasks %#x %#x", first, child)
	}
	pids := map[uint64]bool{}
	for _, n := range []abi.Name{first, child} {
		r, e := u.conn.Call(abi.CallTaskInfo, [6]uint64{uint64(n)}, nil, nil)
		if e != 0 || r.A[0] == 0 || r.A[1] == 0 || pids[r.A[0]] {
			t.Errorf("info of %#x: %v %+v", n, e, r)
		}
		pids[r.A[0]] = true
		maps, e := u.conn.TaskMaps(n, false)
		if e != 0 || !strings.Contains(maps, "10000000-10001000 rwxp") {
			t.Errorf("maps of %#x: %v\n%s", n, e, maps)
		}
		mem, e := u.conn.TaskMemory(n, codeBase, len(program))
		if e != 0 || !bytes.Equal(mem, program) {
			t.Errorf("memory of %#x: %v %x", n, e, mem)
		}
		if _, e := u.conn.TaskMemory(n, 0x1000, 8); e != abi.EFAULT {
			t.Errorf("memory that is not there: %v", e)
		}
		if e := u.conn.Kick(n, host[n]); e != 0 {
			t.Errorf("kick of %#x thread %d: %v", n, host[n], e)
		}
		u.wait(abi.KindPoll, n)
		if e := u.conn.Kick(n, 99999); e != abi.ESRCH {
			t.Errorf("kick of no thread: %v", e)
		}
	}

	// The server's channel ends; the next incarnation governs the same tasks.
	u.stop()
	if e := <-w.dead; e.Signal != 0 {
		t.Errorf("exit %+v", e)
	}
	u = attachUnix(t, s, all, program)
	if len(u.in.Bindings) != 2 || u.in.Incarnation != 2 {
		t.Fatalf("inherited %+v", u.in)
	}
	for _, n := range []abi.Name{first, child} {
		if e := u.conn.Kick(n, host[n]); e != 0 {
			t.Errorf("kick: %v", e)
		}
		u.wait(abi.KindPoll, n)
	}
	if e := u.conn.TaskTerminate(first); e != 0 {
		t.Error(e)
	}
	if n := <-u.dead; n != first {
		t.Errorf("%#x died", n)
	}
	r, _ := u.conn.Call(abi.CallTaskInfo, [6]uint64{uint64(child)}, nil, nil)
	if err := unix.Kill(int(r.A[0]), unix.SIGKILL); err != nil {
		t.Error(err)
	}
	if n := <-u.dead; n != child {
		t.Errorf("%#x died", n)
	}
	u.stop()
	<-w.dead
}

// Tasks that are ended before they said a word, and as many as come.
func TestGuestEmbryos(t *testing.T) {
	if raceEnabled {
		t.Skip("see TestGuests")
	}
	w := newWorld(t)
	var table [abi.CallTableSize]abi.CallDesc
	z, err := linux.StartZygote(linux.GuestConfig{Tables: [][]byte{linux.TableBytes(&table)}})
	if err != nil {
		t.Fatal(err)
	}
	w.m.SetSpawner(z)
	s := w.k.NewServer(nucleus.ServerSpec{Name: "unix", Powers: nucleus.PowerTasks})
	u := attachUnix(t, s, make(chan news, 1024), []byte{0xeb, 0xfe})
	for range 30 {
		n, e := u.create(0, 0)
		if e != 0 {
			t.Fatal(e)
		}
		if e := u.conn.TaskTerminate(n); e != 0 {
			t.Fatal(e)
		}
		if d := <-u.dead; d != n {
			t.Fatalf("%#x died, not %#x", d, n)
		}
		u.conn.Deallocate(n)
	}
	// A fork that its parent never does: the end of the parent is its end.
	parent, _ := u.create(0, 0)
	u.wait(abi.KindStart, parent)
	child, e := u.create(parent, 99)
	if e != 0 {
		t.Fatal(e)
	}
	if e := u.conn.TaskTerminate(parent); e != 0 {
		t.Fatal(e)
	}
	a, b := <-u.dead, <-u.dead
	if a != parent && b != parent || a != child && b != child {
		t.Errorf("%#x and %#x died, not %#x and %#x", a, b, parent, child)
	}
	u.stop()
	<-w.dead
}
