package nucleus_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"hythe/abi"
	"hythe/machine"
	"hythe/machine/sim"
	"hythe/nucleus"
	"hythe/nucleus/message"
)

// lending is a world in which servers are lent what their clients have.
type lending struct {
	*world
	u, s *proc
	svc  uint64 // s's port
	to   uint64 // u's right to it
}

func newLending(t *testing.T) *lending {
	w := newWorld(t, nucleus.Limits{})
	w.m.May = machine.Scheduling{Classes: ^uint32(0), Nice: -20, Priority: 50, Own: machine.Policy{Class: abi.ClassNormal}}
	l := &lending{world: w, u: w.server("unix", nucleus.PowerTasks), s: w.server("srv", 0)}
	l.svc = l.s.port()
	l.to = l.s.give(l.u, right{l.svc, abi.MakeSend})
	return l
}

// guest makes one with threads, that can ask s.
func (l *lending) guest(threads ...uint64) *guest {
	g := l.u.guest()
	g.hello()
	g.task.Threads = threads
	l.u.open(g, l.to)
	return g
}

// policy is what u wants of a guest's thread.
func (l *lending) policy(g *guest, thread, class uint64, v int64) {
	l.t.Helper()
	l.u.ok(abi.CallThreadPolicy, g.name, thread, class, uint64(v))
}

// settle lets the pauses of lend pass.
func (l *lending) settle() {
	for range 3 {
		l.run()
		l.m.Advance(1e6)
	}
	l.run()
	l.check()
}

// has says how the host was told to schedule a server.
func (l *lending) has(p *proc, want machine.Policy) {
	l.t.Helper()
	l.settle()
	if got := p.c.Policies[0]; got != want {
		l.t.Errorf("%s has %+v, want %+v", p.s.Name(), got, want)
	}
}

var (
	untold = machine.Policy{}
	normal = machine.Policy{Class: abi.ClassNormal}
)

func round(n uint32) machine.Policy { return machine.Policy{Class: abi.ClassRound, Priority: n} }

// A server goes before others from when a request of a guest that does lies in its queue
// until it has answered, and a guest's governor as long as the guest has such a thread.
func TestInheritance(t *testing.T) {
	l := newLending(t)
	u, s := l.u, l.s
	g, o := l.guest(5, 6), l.guest(7)
	box := g.port()
	ask := func(id uint32) {
		t.Helper()
		if err := g.send(msg(g.first, abi.CopySend, right{box, abi.MakeSendOnce}, id)); err != 0 {
			t.Fatal(err)
		}
	}
	answer := func() {
		t.Helper()
		m := s.must(l.svc)
		if err := s.send(msg(uint64(m.Local), abi.MoveSendOnce, right{}, 1)); err != 0 {
			t.Fatal(err)
		}
	}

	// Nobody is told anything for those who are as all are, or less.
	l.policy(g, 5, abi.ClassBatch, 3)
	l.policy(g, 6, abi.ClassNormal, 4)
	ask(1)
	l.has(s, untold)
	l.has(u, untold)

	// A request that lies there already counts from when its sender is raised.
	l.policy(g, 5, abi.ClassFixed, 9)
	l.has(s, round(9))
	l.has(u, round(9))
	l.policy(g, 6, abi.ClassRound, 20)
	l.policy(o, 7, abi.ClassNormal, -7)
	l.has(s, round(20))
	l.has(u, round(20))
	l.policy(g, 6, abi.ClassNormal, 0)
	l.has(s, round(9))
	answer()
	l.has(s, normal)
	l.has(u, round(9))

	// A message that wants no answer is no request.
	if err := g.send(msg(g.first, abi.CopySend, right{}, 2)); err != 0 {
		t.Fatal(err)
	}
	l.has(s, normal)
	s.must(l.svc)

	// A request for whose answer nobody waits any more is none, taken or not.
	ask(3)
	l.has(s, round(9))
	g.ok(abi.CallPortModRefs, box, abi.RightReceive, ^uint64(0))
	l.has(s, normal)
	s.must(l.svc)
	box = g.port()
	ask(4)
	s.must(l.svc)
	l.has(s, round(9))
	g.ok(abi.CallPortModRefs, box, abi.RightReceive, ^uint64(0))
	l.has(s, normal)

	// One that waits for room counts until it is cancelled.
	box = g.port()
	s.ok(abi.CallPortLimit, l.svc, 1)
	if err := u.send(msg(l.to, abi.CopySend, right{}, 5)); err != 0 {
		t.Fatal(err)
	}
	id := g.post(abi.CallMsgSend, message.Put(nil, msg(g.first, abi.CopySend, right{box, abi.MakeSendOnce}, 6)), nil, abi.Forever)
	l.has(s, round(9))
	g.ok(abi.CallMsgCancel, id)
	l.has(s, normal)
	s.must(l.svc)

	// The server dies with a request: the next one has it, and what goes with it.
	ask(7)
	s.must(l.svc)
	l.has(s, round(9))
	s.die()
	s.start()
	l.has(s, round(9))
	answer()
	l.has(s, normal)

	// Its client dies.
	ask(8)
	m := s.must(l.svc)
	l.has(s, round(9))
	g.gone()
	l.has(s, normal)
	l.has(u, machine.Policy{Class: abi.ClassNormal, Nice: -7})
	_ = s.send(msg(uint64(m.Local), abi.MoveSendOnce, right{}, 8))

	// Threads that have ended lend nothing: their governor says so, or does not know.
	u.ok(abi.CallTaskThreads, o.name, 1)
	l.policy(o, 7, abi.ClassFixed, 3)
	l.has(u, round(3))
	u.ok(abi.CallTaskThreads, o.name, ^uint64(0), 0, 7)
	l.has(u, normal)
	l.policy(o, 7, abi.ClassFixed, 3)
	l.has(u, round(3))
	u.ok(abi.CallTaskThreads, o.name, 1, 1)
	l.has(u, normal)

	// What the host refused a thread, or one that is not there, changes nothing.
	u.want(abi.ESRCH, abi.CallThreadPolicy, o.name, 99, abi.ClassFixed, 3)
	l.has(u, normal)
	l.m.FailNext(sim.OpSchedule, 2) // the first is the server's
	u.want(abi.EOPNOTSUPP, abi.CallThreadPolicy, o.name, 7, abi.ClassFixed, 3)
	l.has(u, normal)
	o.gone()
	l.end()
}

// What servers are lent goes on to those whom they ask, and in rings of them ends with the
// guest that it comes from.
func TestInheritanceGoesOn(t *testing.T) {
	l := newLending(t)
	u, s := l.u, l.s
	r := l.server("third", 0)
	rPort := r.port()
	sTo := r.give(s, right{rPort, abi.MakeSend})
	rTo := s.give(r, right{l.svc, abi.MakeSend})
	s.ok(abi.CallBind, sTo, 4) // s asks r, and r s, over bindings
	r.ok(abi.CallBind, rTo, 4)
	g := l.guest(5)
	box := g.port()
	l.policy(g, 5, abi.ClassFixed, 9)
	l.has(s, untold)
	if err := g.send(msg(g.first, abi.CopySend, right{box, abi.MakeSendOnce}, 1)); err != 0 {
		t.Fatal(err)
	}
	l.has(s, round(9))
	l.has(r, round(9))
	m := s.must(l.svc)
	if err := s.send(msg(uint64(m.Local), abi.MoveSendOnce, right{}, 1)); err != 0 {
		t.Fatal(err)
	}
	l.has(s, normal)
	l.has(r, normal)

	// The governor asks s by a message; s dies, and the receive right goes to another.
	ubox := u.port()
	if err := u.send(msg(l.to, abi.CopySend, right{ubox, abi.MakeSendOnce}, 2)); err != 0 {
		t.Fatal(err)
	}
	l.has(s, round(9))
	back := r.port()
	sBack := r.give(s, right{back, abi.MakeSend})
	if err := s.send(msg(sBack, abi.CopySend, right{}, 3, right{l.svc, abi.MoveReceive})); err != 0 {
		t.Fatal(err)
	}
	moved := uint64(r.must(back).Rights[0].Name)
	l.has(r, round(9)) // and s over its binding
	l.has(s, round(9))
	r.must(moved)
	r.die()
	l.has(s, normal)
	r.start()
	l.has(r, round(9))
	m = r.must(moved)
	if err := r.send(msg(uint64(m.Local), abi.MoveSendOnce, right{}, 2)); err != 0 {
		t.Fatal(err)
	}
	l.has(r, normal)
	l.has(s, normal)
	l.has(u, round(9))
	u.die()
	l.has(s, normal)
	g.gone()
	l.end()
}

// Nobody is lent more than the machine was given, nor what the host refuses; what changes
// all the time is looked at now and then only.
func TestInheritanceBounded(t *testing.T) {
	l := newLending(t)
	u := l.u
	g := l.guest(5)
	deadline := binary.LittleEndian.AppendUint64(nil, 1e6)
	deadline = binary.LittleEndian.AppendUint64(deadline, 1e7)
	deadline = binary.LittleEndian.AppendUint64(deadline, 1e7)
	if e := u.callData(abi.CallThreadPolicy, deadline, g.name, 5, abi.ClassDeadline); e.Err != 0 {
		t.Fatal(abi.Errno(e.Err))
	}
	l.has(u, round(50))
	l.policy(g, 5, abi.ClassIdle, 0)
	l.has(u, normal)
	l.m.May.Priority = 0
	if e := u.callData(abi.CallThreadPolicy, deadline, g.name, 5, abi.ClassDeadline); e.Err != 0 {
		t.Fatal(abi.Errno(e.Err))
	}
	l.has(u, normal)
	l.m.May.Priority = 50

	// A machine that itself goes before others lends nothing that is less.
	l.m.May.Own = machine.Policy{Class: abi.ClassNormal, Nice: -5}
	l.policy(g, 5, abi.ClassNormal, -5)
	l.has(u, normal)
	l.policy(g, 5, abi.ClassNormal, -6)
	l.has(u, machine.Policy{Class: abi.ClassNormal, Nice: -6})
	l.policy(g, 5, abi.ClassNormal, 0)
	l.has(u, l.m.May.Own)

	l.settle()
	told := l.m.Scheduled
	for range 100 {
		l.policy(g, 5, abi.ClassFixed, 3)
		l.policy(g, 5, abi.ClassNormal, 0)
	}
	if n := l.m.Scheduled - told - 200; n > 1 {
		t.Errorf("a server was told %d times without a pause", n)
	}
	l.has(u, l.m.May.Own)

	// A guest whose threads end by other names than they had goes before others as long as
	// it may have one that does, and what is noted of it does not grow.
	for n := uint64(100); n < 1300; n++ {
		g.task.Threads = []uint64{n}
		l.policy(g, n, abi.ClassFixed, 3)
		u.ok(abi.CallTaskThreads, g.name, 1)
		u.ok(abi.CallTaskThreads, g.name, ^uint64(0), 0, 5)
	}
	l.has(u, round(3))
	u.ok(abi.CallTaskThreads, g.name, 1, 1)
	l.has(u, l.m.May.Own)
	g.task.Threads = []uint64{5}

	l.m.FailNext(sim.OpSchedule, 1)
	l.policy(g, 5, abi.ClassFixed, 4)
	l.has(u, l.m.May.Own)
	if n := len(l.log); n == 0 || !strings.Contains(l.log[n-1], "unix: priority inheritance: unsupported") {
		t.Errorf("the log says %q", l.log)
	}
	g.gone()
	l.end()
}

// A pager goes before others as long as who does waits for a page.
func TestInheritancePager(t *testing.T) {
	l := newLending(t)
	p := newPaged(l.world)
	f, e := l.u.mapIt(p.hand(l.u), 0x10000, 0, 10)
	if e != 0 {
		t.Fatal(e)
	}
	g := l.guest(5)
	l.policy(g, 5, abi.ClassFixed, 9)
	l.has(l.u, round(9))
	l.has(p.proc, untold)
	f.Fault(0x10000+2*pg, false, false)
	l.has(p.proc, round(9))
	p.want([2]uint64{2, 0}) // received is not answered
	l.has(p.proc, round(9))
	if e := p.pages(abi.PagesUnavailable, 2, 1); e != 0 {
		t.Fatal(e)
	}
	l.has(p.proc, normal)
	g.gone()
	l.end()
}
