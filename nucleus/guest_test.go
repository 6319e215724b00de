package nucleus_test

import (
	"testing"

	"hythe/abi"
	"hythe/machine"
	"hythe/machine/sim"
	"hythe/nucleus"
	"hythe/nucleus/message"
)

// guest is a guest task with its governor's name for it, and its ends of both
// channels.
type guest struct {
	*proc  // the ports channel
	name   uint64
	first  uint64 // its first right
	task   *sim.Channel
	handle *sim.Handle // the far end of the ports channel
}

// guest makes a guest task of p.
func (p *proc) guest() *guest {
	p.w.t.Helper()
	g := &guest{proc: &proc{w: p.w, answer: map[uint64]event{}, asked: map[uint64]uint32{}}}
	p.w.m.OnSpawn = func(c *sim.Channel, _, _ *sim.Handle) { g.task = c }
	g.name = p.ok(abi.CallTaskCreate, 0, 4)
	p.w.m.OnSpawn = nil
	return g
}

// open gives g its ports channel with a right to the port of p that name stands for.
func (p *proc) open(g *guest, name uint64) {
	p.w.t.Helper()
	e := p.call(abi.CallTaskOpen, g.name, name)
	if e.Err != 0 || e.A[1] != 0 {
		p.w.t.Fatalf("open: %v, was open: %d", abi.Errno(e.Err), e.A[1])
	}
	g.first = e.A[0]
	d, ok := g.task.Next()
	h, _, _ := message.GetCall(d.Bytes)
	if !ok || h.Op != abi.EventGrant || h.A[3] != abi.PortsTag || len(d.Handles) != 1 {
		p.w.t.Fatalf("the task was not given its channel: %+v", h)
	}
	g.handle = d.Handles[0].(*sim.Handle)
	g.c = g.handle.Channel
}

// gone is the task's death on the host.
func (g *guest) gone() {
	g.task.Die(machine.Exit{Signal: 9})
	g.handle.Release()
	g.w.run()
	g.w.check()
}

// send is the message to the task's first right.
func (p *proc) sendable() (receive, send uint64) {
	receive = p.port()
	p.ok(abi.CallPortMakeSend, receive)
	return receive, receive
}

func TestGuestPorts(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	u := w.server("unix", nucleus.PowerTasks)
	box, send := u.sendable()
	g, o := u.guest(), u.guest()

	// Without a channel of its own it says nothing.
	g.c = g.task
	if _, ok := g.reply(g.post(abi.CallPortAllocate, nil, nil, abi.RightReceive)); ok {
		t.Error("a guest was answered on its control channel")
	}
	g.c = nil

	u.want(abi.EBADF, abi.CallTaskOpen, 9999, send)
	u.want(abi.EPERM, abi.CallTaskOpen, send, send)
	u.want(abi.EBADF, abi.CallTaskOpen, g.name, 9999)
	u.want(abi.EPERM, abi.CallTaskOpen, g.name, g.name)
	w.server("other", 0).want(abi.EPERM, abi.CallTaskOpen, 1, 1)
	w.m.FailNext(sim.OpChannel, 1)
	u.want(abi.ENOMEM, abi.CallTaskOpen, g.name, send)

	u.open(g, send)
	if e := u.call(abi.CallTaskOpen, g.name, send); e.A[0] != g.first || e.A[1] != 1 {
		t.Errorf("again: %+v", e.CallHeader)
	}
	if _, ok := g.task.Next(); ok {
		t.Error("the channel was given twice")
	}
	if mask, urefs := g.status(g.first); mask != 1<<abi.RightSend || urefs != 1 {
		t.Errorf("the first right: %b, %d", mask, urefs)
	}

	// It makes the calls that concern its own names, and no others.
	may := map[uint32]bool{abi.CallPortAllocate: true, abi.CallPortDeallocate: true, abi.CallPortModRefs: true,
		abi.CallPortMakeSend: true, abi.CallPortLabel: true, abi.CallPortSetMember: true, abi.CallPortLimit: true,
		abi.CallPortStatus: true, abi.CallPortNotify: true, abi.CallPortRename: true, abi.CallMsgSend: true, abi.CallObjectWatch: true, abi.CallObjectUnwatch: true, abi.CallPagerAttrs: true,
		abi.CallMsgReceive: true, abi.CallMsgCancel: true, abi.CallObjectCreate: true, abi.CallObjectFD: true, abi.CallObjectPages: true,
		abi.CallAlarmSet: true, abi.CallAlarmCancel: true}
	may[abi.CallBatch] = true
	for op := uint32(0); op < 100; op++ {
		switch e := g.call(op, 7777, 7777, 7777); {
		case may[op] && (abi.Errno(e.Err) == abi.EPERM || abi.Errno(e.Err) == abi.ENOSYS):
			t.Errorf("call %d: %v", op, abi.Errno(e.Err))
		case !may[op] && abi.Errno(e.Err) != abi.EPERM && abi.Errno(e.Err) != abi.ENOSYS:
			t.Errorf("call %d: %v", op, abi.Errno(e.Err))
		}
	}
	// Nonsense is answered, or has no answer.
	for _, b := range [][]byte{nil, {1}, make([]byte, 71), make([]byte, abi.CallHeaderSize), message.PutCall(nil, &abi.CallHeader{Op: abi.CallMsgSend, Len: 5}),
		message.PutCall(nil, &abi.CallHeader{Op: abi.CallObjectFD, NFds: 1}), message.PutCall(nil, &abi.CallHeader{Op: abi.EventReply, ID: 1})} {
		g.c.Send(b)
		w.run()
		w.check()
	}
	g.pull()
	clear(g.answer)

	// Two guests speak through what the first right leads to.
	u.open(o, send)
	mine := g.port()
	if e := g.send(msg(g.first, abi.CopySend, right{}, 1, right{mine, abi.MakeSend})); e != 0 {
		t.Fatal(e)
	}
	reply := o.port()
	if e := o.send(msg(o.first, abi.CopySend, right{reply, abi.MakeSendOnce}, 2)); e != 0 {
		t.Fatal(e)
	}
	have := u.must(box)
	asked := u.must(box)
	if e := u.send(msg(uint64(asked.Local), abi.MoveSendOnce, right{}, 2, right{uint64(have.Rights[0].Name), abi.MoveSend})); e != 0 {
		t.Fatal(e)
	}
	to := uint64(o.must(reply).Rights[0].Name)
	id := g.post(abi.CallMsgReceive, nil, nil, mine, abi.Forever)
	object := o.ok(abi.CallObjectCreate, 4096)
	m := msg(to, abi.CopySend, right{}, 3)
	m.Objects = []abi.ObjectDesc{{Name: abi.Name(object), Len: 4096, Flags: 1}}
	m.Body = []byte("hello")
	if e := o.send(m); e != 0 {
		t.Fatal(e)
	}
	e, ok := g.reply(id)
	got, _ := g.parse(e)
	if !ok || string(got.Body) != "hello" || e.fds != 1 || !e.kind[0].ReadOnly {
		t.Fatalf("%+v", e)
	}
	// Who may only read an object does not freeze it under its writer.
	m = msg(g.first, abi.CopySend, right{}, 4)
	m.Objects = []abi.ObjectDesc{{Name: got.Objects[0].Name, Len: 4096, Flags: 2}}
	if e := g.send(m); e != abi.EPERM {
		t.Errorf("freeze: %v", e)
	}

	// The receiver's death is the sender's dead name; its calls and rights are gone.
	g.post(abi.CallMsgReceive, nil, nil, mine, abi.Forever)
	o.want(0, abi.CallPortNotify, to, abi.NotifyDeadName, uint64(abi.NameDead))
	g.gone()
	if ev := o.events(abi.EventDead); len(ev) != 1 || ev[0].A[0] != to {
		t.Errorf("dead: %+v", ev)
	}
	// One that gives its channel up lives on without one.
	o.post(abi.CallMsgReceive, nil, nil, o.port(), abi.Forever)
	o.handle.Release()
	w.run()
	w.check()
	if o.task.Killed || o.task.Ended() {
		t.Error("it was killed")
	}
	w.end()
}

// TestGuestDeaf: a guest that does not read what it asked for is ended.
func TestGuestDeaf(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	u := w.server("unix", nucleus.PowerTasks)
	_, send := u.sendable()
	g := u.guest()
	u.open(g, send)
	g.c.Capacity = 3
	h := abi.CallHeader{Op: abi.CallPortStatus}
	for range 4 {
		if g.task.Killed {
			t.Fatal("killed too early")
		}
		g.c.Send(message.PutCall(nil, &h))
		w.run()
		w.check()
	}
	if !g.task.Killed {
		t.Error("it was not killed")
	}
	g.handle.Release()
	w.end()
}

// TestGuestBudget: a guest uses up what is its own and nobody else's, and has all
// of it back.
func TestGuestBudget(t *testing.T) {
	w := newWorld(t, nucleus.Limits{GuestNames: 300, GuestMemory: 1<<20 + nucleus.ThreadCost, GuestWaiting: 8,
		GuestsMemory: 5<<19 + 3*nucleus.ThreadCost})
	u := w.server("unix", nucleus.PowerTasks)
	box, send := u.sendable()
	u.ok(abi.CallPortLimit, box, 4096)
	until := func(want abi.Errno, f func() abi.Errno) int {
		t.Helper()
		for n := range 10000 {
			if e := f(); e != 0 {
				if e != want {
					t.Errorf("%v, want %v", e, want)
				}
				return n
			}
		}
		t.Error("no end")
		return 0
	}
	errno := func(e event) abi.Errno { return abi.Errno(e.Err) }
	one := func() *guest {
		g := u.guest()
		u.open(g, send)
		return g
	}
	big := func(g *guest) func() abi.Errno {
		return func() abi.Errno {
			m := msg(g.first, abi.CopySend, right{}, 1)
			m.Body = make([]byte, 30<<10)
			return g.send(m)
		}
	}
	g := one()
	// One more name than the first right fits.
	if n := until(abi.ENOSPC, func() abi.Errno { return errno(g.call(abi.CallPortAllocate, abi.RightReceive)) }); n != 299 {
		t.Errorf("%d ports", n)
	}
	g.gone()
	g = one()
	if n := until(abi.EAGAIN, func() abi.Errno { return errno(g.call(abi.CallObjectCreate, 4096)) }); n != 16 {
		t.Errorf("%d objects", n)
	}
	g.gone()
	g = one()
	p := g.port()
	waits := 0
	if n := until(abi.EAGAIN, func() abi.Errno {
		e, ok := g.reply(g.post(abi.CallMsgReceive, nil, nil, p, abi.Forever))
		if !ok {
			waits++
			return 0
		}
		return errno(e)
	}); n != 8 || waits != 8 {
		t.Errorf("%d calls wait", n)
	}
	g.gone()
	// All together have no more than there is for all: two and a half budgets here.
	a, b, c := one(), one(), one()
	full := until(abi.EAGAIN, big(a))
	if n := until(abi.EAGAIN, big(b)); n != full {
		t.Errorf("the second has %d, the first %d", n, full)
	}
	if n := until(abi.EAGAIN, big(c)); n >= full || n < full/3 {
		t.Errorf("the third has %d, the first %d", n, full)
	}
	// A server is not concerned.
	if e := u.send(msg(send, abi.CopySend, right{}, 9)); e != 0 {
		t.Error(e)
	}
	// A message is paid for until it was received, also when its sender is gone.
	a.gone()
	if n := until(abi.EAGAIN, big(c)); n > 1 { // what its thread took may be room for one
		t.Errorf("%d more", n)
	}
	for range full {
		u.must(box)
	}
	if n := until(abi.EAGAIN, big(c)); n == 0 {
		t.Error("nothing came back")
	}
	b.gone()
	c.gone()
	w.end()
}

// TestTaskStore: who may read a task's memory may write it.
func TestTaskStore(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	u := w.server("unix", nucleus.PowerTasks|nucleus.PowerMemory)
	g := u.guest()
	g.hello()
	g.task.Memory, g.task.MemoryAt = make([]byte, 8), 4096
	store := func(p *proc, b string, a ...uint64) (abi.Errno, uint64) {
		t.Helper()
		e := p.callData(abi.CallTaskStore, []byte(b), a...)
		return abi.Errno(e.Err), e.A[0]
	}
	for _, c := range []struct {
		b          string
		name, addr uint64
		err        abi.Errno
		n          uint64
	}{
		{"abc", g.name, 4096, 0, 3},
		{"defgh", g.name, 4101, 0, 3},
		{"x", g.name, 4095, abi.EFAULT, 0},
		{"x", g.name, 4104, abi.EFAULT, 0},
		{"", g.name, 4096, abi.EINVAL, 0},
		{"x", 77777, 4096, abi.EBADF, 0},
		{"x", u.port(), 4096, abi.EPERM, 0},
	} {
		if err, n := store(u, c.b, c.name, c.addr); err != c.err || n != c.n {
			t.Errorf("%q at %d: %v, %d", c.b, c.addr, err, n)
		}
	}
	if s := string(g.task.Memory); s != "abc\x00\x00def" {
		t.Errorf("%q", s)
	}
	if err, _ := store(w.server("other", nucleus.PowerTasks), "x", g.name, 4096); err != abi.EPERM {
		t.Errorf("without the power: %v", err)
	}
	g.task.Die(machine.Exit{Signal: 9})
	w.run()
	if err, _ := store(u, "x", g.name, 4096); err != abi.ESRCH {
		t.Errorf("a dead task: %v", err)
	}
	w.end()
}
