package nucleus_test

import (
	"testing"

	"hythe/abi"
	"hythe/machine"
	"hythe/nucleus"
	"hythe/nucleus/message"
)

// quick sends a call without the check of everything that post makes, for loops
// that are long.
func (p *proc) quick(op uint32, data []byte, a ...uint64) event {
	p.w.t.Helper()
	p.w.next++
	h := abi.CallHeader{Op: op, ID: p.w.next, Len: uint32(len(data))}
	copy(h.A[:], a)
	p.c.Send(append(message.PutCall(nil, &h), data...))
	p.pull()
	e, ok := p.answer[h.ID]
	if !ok {
		p.w.t.Fatalf("call %d is not answered", op)
	}
	delete(p.answer, h.ID)
	return e
}

func used(s *nucleus.Server) int {
	n, _ := s.Budget()
	return n
}

// A client that asks for 100,000 sessions uses up its own budget and nobody
// else's, and has it back to the byte when it closes them.
func TestSessionBudget(t *testing.T) {
	w := newWorld(t, nucleus.Limits{Memory: 16 << 20, Sessions: 1 << 20, Bindings: 1 << 20})
	srv, greedy, other := w.server("srv", 0), w.server("greedy", 0), w.server("other", 0)
	svc := srv.port()
	n := srv.give(greedy, right{svc, abi.MakeSend})
	m := srv.give(other, right{svc, abi.MakeSend})
	before, served := used(greedy.s), used(srv.s)
	var open []uint64
	for range 100_000 {
		e := greedy.quick(abi.CallBind, nil, n, 1)
		switch abi.Errno(e.Err) {
		case 0:
			open = append(open, e.A[0])
		case abi.EAGAIN:
		default:
			t.Fatal(abi.Errno(e.Err))
		}
		srv.got = nil // what it is told of them
	}
	if len(open) < 1000 || len(open) == 100_000 {
		t.Fatalf("%d sessions", len(open))
	}
	w.check()
	greedy.want(abi.EAGAIN, abi.CallBind, n, 1)
	if u, limit := greedy.s.Budget(); u > limit || u < limit-2*abi.PageSize {
		t.Errorf("%d of %d bytes are used", u, limit)
	}
	if u := used(srv.s); u != served {
		t.Errorf("the sessions cost the server %d bytes", u-served)
	}
	other.ok(abi.CallBind, m, 16) // nobody else notices
	if _, err := other.receive(other.port()); err != abi.EAGAIN {
		t.Error(err)
	}
	for i, id := range open {
		if i%2 == 0 { // from either side
			greedy.quick(abi.CallUnbind, nil, id)
		} else {
			srv.quick(abi.CallUnbind, nil, id)
		}
	}
	w.check()
	if u := used(greedy.s); u != before {
		t.Errorf("after all are closed it pays for %d bytes, before for %d", u, before)
	}
	greedy.ok(abi.CallBind, n, 1)
	w.end()
}

// A client has so many sessions, whatever room there is.
func TestSessionLimit(t *testing.T) {
	w := newWorld(t, nucleus.Limits{Sessions: 3})
	srv, a, b := w.server("srv", 0), w.server("a", 0), w.server("b", 0)
	svc := srv.port()
	n, m := srv.give(a, right{svc, abi.MakeSend}), srv.give(b, right{svc, abi.MakeSend})
	for range 3 {
		a.ok(abi.CallBind, n, 1)
	}
	a.want(abi.EAGAIN, abi.CallBind, n, 1)
	b.ok(abi.CallBind, m, 1)
	w.end()
}

// Messages are paid by their sender until they are done with, an answer by who
// asked, so that a server is not used up by clients that do not listen.
func TestMessageBudget(t *testing.T) {
	w := newWorld(t, nucleus.Limits{Memory: 64 << 10})
	srv, a, b := w.server("srv", 0), w.server("a", 0), w.server("b", 0)
	svc := srv.port()
	n, m := srv.give(a, right{svc, abi.MakeSend}), srv.give(b, right{svc, abi.MakeSend})
	before, served, others := used(a.s), used(srv.s), used(b.s)
	big := msg(n, abi.CopySend, right{}, 1)
	big.Body = make([]byte, 10<<10)
	sent := 0
	for ; ; sent++ {
		if err := a.send(big); err == abi.EAGAIN {
			break
		} else if err != 0 {
			t.Fatal(err)
		}
	}
	if sent < 4 || sent > 6 {
		t.Errorf("%d messages", sent)
	}
	if err := b.send(msg(m, abi.CopySend, right{}, 2)); err != 0 {
		t.Errorf("somebody else: %v", err)
	}
	for range sent + 1 {
		srv.must(svc)
	}
	if used(a.s) != before || used(b.s) != others {
		t.Error("what was received is still paid for")
	}
	// Answers that nobody reads.
	back := a.port()
	before = used(a.s)
	for i := range 40 {
		if err := a.send(msg(n, abi.CopySend, right{back, abi.MakeSendOnce}, uint32(i))); err == abi.EAGAIN {
			break // it has used up its budget with what it does not read
		} else if err != 0 {
			t.Fatal(err)
		}
		q := srv.must(svc)
		r := msg(uint64(q.Local), abi.MoveSendOnce, right{}, 1)
		r.Body = make([]byte, 5<<10)
		if err := srv.send(r); err != 0 {
			t.Fatalf("answer %d: %v", i, err)
		}
	}
	if used(srv.s) != served {
		t.Errorf("the answers cost the server %d bytes", used(srv.s)-served)
	}
	a.want(abi.EAGAIN, abi.CallPortAllocate, abi.RightReceive)
	a.ok(abi.CallPortModRefs, back, abi.RightReceive, ^uint64(0))
	if u := used(a.s); u != before-512 {
		t.Errorf("%d bytes, want %d", u, before-512)
	}
	// A taken request is its client's until it is answered; so are its ports
	// that others hold.
	back = a.port()
	before = used(a.s)
	if err := a.send(msg(n, abi.CopySend, right{back, abi.MakeSendOnce}, 1)); err != 0 {
		t.Fatal(err)
	}
	srv.must(svc)
	if used(a.s) == before {
		t.Error("a taken request costs nothing")
	}
	srv.die()
	srv.start()
	q := srv.must(svc)
	srv.send(msg(uint64(q.Local), abi.MoveSendOnce, right{}, 1))
	a.must(back)
	if u := used(a.s); u != before {
		t.Errorf("%d bytes after its end, %d before", u, before)
	}
	w.end()
}

// What a request lends its receiver can spend until it has answered, and nobody else,
// and no more; it comes back to who lent it when it is given up, to the byte.
func TestLent(t *testing.T) {
	w := newWorld(t, nucleus.Limits{Memory: 64 << 10, GuestMemory: 200 << 10})
	srv, a, b := w.server("srv", 0), w.server("a", 0), w.server("b", 0)
	svc, back := srv.port(), a.port()
	n := srv.give(a, right{svc, abi.MakeSend})
	ask := func(lend uint64) (reply uint64) {
		t.Helper()
		m := msg(n, abi.CopySend, right{back, abi.MakeSendOnce}, 1)
		if e := a.callData(abi.CallMsgSend, message.Put(nil, m), 0, 0, 0, 0, lend); e.Err != 0 {
			t.Fatal(abi.Errno(e.Err))
		}
		e := srv.call(abi.CallMsgReceive, svc)
		got, err := srv.parse(e)
		if err != 0 || e.A[4] == 0 {
			t.Fatalf("%v, paid by %d", err, e.A[4])
		}
		return uint64(got.Local)
	}
	answer := func(reply uint64) {
		t.Helper()
		if err := srv.send(msg(reply, abi.MoveSendOnce, right{}, 1)); err != 0 {
			t.Fatal(err)
		}
		a.must(back)
	}
	before, served := used(a.s), used(srv.s)
	// Nothing is lent.
	r := ask(0)
	srv.want(abi.EAGAIN, abi.CallPortAllocate, abi.RightReceive, r)
	answer(r)
	// Two ports, and no third; while the request is owed.
	r = ask(2*512 + 100)
	p1 := srv.ok(abi.CallPortAllocate, abi.RightReceive, r)
	p2 := srv.ok(abi.CallPortAllocate, abi.RightReceive, r)
	srv.want(abi.EAGAIN, abi.CallPortAllocate, abi.RightReceive, r)
	srv.want(abi.EINVAL, abi.CallPortAllocate, abi.RightSet, r)
	srv.want(abi.EAGAIN, abi.CallObjectCreate, 4096, 0, r)
	srv.want(abi.EPERM, abi.CallPortAllocate, abi.RightReceive, svc)
	srv.want(abi.EBADF, abi.CallPortAllocate, abi.RightReceive, 4711)
	srv.want(abi.EBADF, abi.CallPortAllocate, abi.RightReceive, 1<<40)
	// A send-once right that is no request's.
	own := srv.port()
	srv.send(msg(own, abi.MakeSend, right{}, 1, right{own, abi.MakeSendOnce}))
	once := uint64(srv.must(own).Rights[0].Name)
	srv.want(abi.EPERM, abi.CallPortAllocate, abi.RightReceive, once)
	srv.ok(abi.CallPortDeallocate, once)
	srv.ok(abi.CallPortModRefs, own, abi.RightReceive, ^uint64(0))
	// The next incarnation owes it too.
	srv.die()
	srv.start()
	srv.must(svc)
	srv.want(abi.EAGAIN, abi.CallPortAllocate, abi.RightReceive, r)
	answer(r)
	srv.want(abi.EBADF, abi.CallPortAllocate, abi.RightReceive, r)
	if used(a.s) != before+1024 || used(srv.s) != served {
		t.Errorf("a pays %d more, the server %d", used(a.s)-before, used(srv.s)-served)
	}
	srv.ok(abi.CallPortModRefs, p1, abi.RightReceive, ^uint64(0))
	// The receive right goes on to somebody else: it is a's cost still.
	srv.give(b, right{p2, abi.MoveReceive})
	if used(a.s) != before+512 {
		t.Errorf("a pays %d more", used(a.s)-before)
	}
	b.die()
	b.s.Discard()
	w.run()
	w.check()
	if used(a.s) != before {
		t.Errorf("a pays %d more", used(a.s)-before)
	}
	// More than there is, and more than can be said.
	r = ask(1 << 20)
	srv.ok(abi.CallPortAllocate, abi.RightReceive, r)
	srv.want(abi.EAGAIN, abi.CallObjectCreate, 4096, 0, r)
	for {
		if e := srv.quick(abi.CallPortAllocate, nil, abi.RightReceive, r); e.Err == uint32(abi.EAGAIN) {
			break
		} else if e.Err != 0 {
			t.Fatal(abi.Errno(e.Err))
		}
	}
	if u, limit := a.s.Budget(); u > limit || used(srv.s) != served {
		t.Errorf("a pays %d of %d, the server %d more", u, limit, used(srv.s)-served)
	}
	w.check()
	e := a.callData(abi.CallMsgSend, message.Put(nil, msg(n, abi.CopySend, right{}, 1)), 0, 0, 0, 0, nucleus.MaxLent+1)
	if abi.Errno(e.Err) != abi.EINVAL {
		t.Error(abi.Errno(e.Err))
	}
	// Who lent is gone before what it paid for, and before it is spent.
	a.s.Discard()
	w.run()
	w.check()
	srv.want(abi.EPERM, abi.CallPortAllocate, abi.RightReceive, r)
	w.end()
}

// A guest's threads are in its own budget, to the byte, and end with it.
func TestThreadBudget(t *testing.T) {
	w := newWorld(t, nucleus.Limits{GuestMemory: 16 * nucleus.ThreadCost, GuestsMemory: 20 * nucleus.ThreadCost})
	u := w.server("unix", nucleus.PowerTasks)
	before := used(u.s)
	_, first := u.sendable()
	base := used(u.s)
	g, o := u.guest(), u.guest()
	threads := func(g *guest, n int, absolute ...uint64) event {
		return u.call(abi.CallTaskThreads, append([]uint64{g.name, uint64(int64(n))}, absolute...)...)
	}
	want := func(e event, err abi.Errno, n uint64) {
		t.Helper()
		if abi.Errno(e.Err) != err || e.A[0] != n {
			t.Errorf("%v, %d threads; want %v, %d", abi.Errno(e.Err), e.A[0], err, n)
		}
		w.check()
	}
	want(threads(g, 0), 0, 1)
	want(threads(g, 14), 0, 15)
	// What is left is for all that it makes the nucleus keep.
	u.open(g, first)
	p := g.port()
	want(threads(g, 1), abi.EAGAIN, 0)
	g.ok(abi.CallPortModRefs, p, abi.RightReceive, ^uint64(0))
	want(threads(g, 1), 0, 16)
	g.want(abi.EAGAIN, abi.CallPortAllocate, abi.RightReceive)
	// All guests together.
	want(threads(o, 3), 0, 4)
	want(threads(o, 1), abi.EAGAIN, 0)
	u.want(abi.EAGAIN, abi.CallTaskCreate, 0, 4)
	want(threads(g, -1), 0, 15)
	want(threads(o, 1), 0, 5)
	for _, x := range [][]uint64{{g.name, ^uint64(15)}, {g.name, abi.MaxSlots + 1}, {g.name, 1, 2}, {g.name, 1 << 63}, {g.name, ^uint64(0), 1}} {
		u.want(abi.EINVAL, abi.CallTaskThreads, x...)
	}
	want(threads(g, 3, 1), 0, 3)
	want(threads(g, 3, 1), 0, 3)
	w.server("other", 0).want(abi.EBADF, abi.CallTaskThreads, g.name, 1)
	if n := used(u.s); n != base {
		t.Errorf("the threads cost their governor %d bytes", n-base)
	}
	g.gone()
	want(threads(o, 11), 0, 16)
	u.want(abi.ESRCH, abi.CallTaskThreads, g.name, 1)
	o.task.Die(machine.Exit{})
	w.run()
	w.check()
	u.ok(abi.CallPortModRefs, first, abi.RightSend, ^uint64(0))
	u.ok(abi.CallPortModRefs, first, abi.RightReceive, ^uint64(0))
	if n := used(u.s); n != before {
		t.Errorf("%d bytes are left", n-before)
	}
	w.end()
}
