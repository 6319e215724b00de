package nucleus_test

import (
	"testing"

	"hythe/abi"
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
