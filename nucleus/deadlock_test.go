package nucleus_test

import (
	"slices"
	"testing"

	"hythe/abi"
	"hythe/nucleus"
	"hythe/nucleus/message"
)

// alone begins a call of p that takes nothing meanwhile and returns its id.
func (p *proc) alone(to, back uint64) uint64 {
	return p.post(abi.CallMsgSend, message.Put(nil, msg(to, abi.CopySend, right{back, abi.MakeSendOnce}, 1)),
		nil, abi.Forever, back, abi.Forever, abi.SendAlone)
}

// ring makes n servers; each can send to the next one.
func ring(w *world, n int) (ps []*proc, svc, next, back []uint64) {
	for i := range n {
		ps = append(ps, w.server(string(rune('a'+i)), 0))
	}
	for _, p := range ps {
		svc, back = append(svc, p.port()), append(back, p.port())
	}
	for i, p := range ps {
		j := (i + 1) % n
		next = append(next, ps[j].give(p, right{svc[j], abi.MakeSend}))
	}
	return ps, svc, next, back
}

// A ring of calls is found by the one that closes it, whether the others' requests
// lie in queues or are taken; it is reported by names, and the others get their
// answers.
func TestDeadlock(t *testing.T) {
	for _, taken := range []bool{false, true} {
		w := newWorld(t, nucleus.Limits{})
		ps, svc, next, back := ring(w, 3)
		x := ps[0].alone(next[0], back[0])
		y := ps[1].alone(next[1], back[1])
		var q *message.Msg
		if taken {
			// What it said is no promise that the nucleus relies on.
			q = ps[1].must(svc[1])
			ps[2].must(svc[2])
		}
		for _, id := range []uint64{x, y} {
			if _, ok := ps[0].reply(id); ok {
				t.Fatal("a call is answered")
			}
		}
		e, ok := ps[2].reply(ps[2].alone(next[2], back[2]))
		if !ok || abi.Errno(e.Err) != abi.EDEADLK {
			t.Fatalf("taken %v: %v %v", taken, ok, abi.Errno(e.Err))
		}
		if !slices.Contains(w.log, "c: deadlock: c waits for a, which waits for b, which waits for c") {
			t.Errorf("%q", w.log)
		}
		// Nothing was taken from it, and a call that may be answered is not refused.
		if err := ps[2].send(msg(next[2], abi.CopySend, right{}, 9)); err != 0 {
			t.Error(err)
		}
		if q == nil {
			q = ps[1].must(svc[1])
		}
		ps[1].send(msg(uint64(q.Local), abi.MoveSendOnce, right{}, 5))
		if e, ok := ps[0].reply(x); !ok || e.Err != 0 {
			t.Errorf("the first call: %v %v", ok, abi.Errno(e.Err))
		}
		// Now a waits for nobody.
		if _, ok := ps[2].reply(ps[2].alone(next[2], back[2])); ok {
			t.Error("a call that can be answered is refused")
		}
		w.end()
	}
}

// What is no deadlock is not called one.
func TestNoDeadlock(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	ps, svc, next, back := ring(w, 2)
	a, b := ps[0], ps[1]
	plain := func(p *proc, i int) uint64 {
		return p.post(abi.CallMsgSend, message.Put(nil, msg(next[i], abi.CopySend, right{back[i], abi.MakeSendOnce}, 1)),
			nil, abi.Forever, back[i], abi.Forever)
	}
	// a has other threads.
	x := plain(a, 0)
	y := b.alone(next[1], back[1])
	if _, ok := b.reply(y); ok {
		t.Fatal("b can be answered")
	}
	q := a.must(svc[0])
	a.send(msg(uint64(q.Local), abi.MoveSendOnce, right{}, 1))
	if e, ok := b.reply(y); !ok || e.Err != 0 {
		t.Fatal(ok, e.Err)
	}
	b.ok(abi.CallPortStatus, svc[1])
	// Somebody else has a right to answer a.
	b.must(svc[1])
	a.ok(abi.CallMsgCancel, x)
	back[0] = a.port()
	a.ok(abi.CallPortMakeSend, back[0])
	a.alone(next[0], back[0])
	if e, ok := b.reply(b.alone(next[1], back[1])); ok {
		t.Fatal(abi.Errno(e.Err))
	}
	// The promise needs a name to wait on, and unknown flags are refused.
	a.want(abi.EINVAL, abi.CallMsgSend, 0, 0, 0, 1)
	a.want(abi.EINVAL, abi.CallMsgSend, 0, back[0], 0, 2)
	w.end()

	// To itself; after a death; after a cancel.
	w = newWorld(t, nucleus.Limits{})
	ps, svc, next, back = ring(w, 2)
	a, b = ps[0], ps[1]
	a.ok(abi.CallPortMakeSend, svc[0])
	if e, ok := a.reply(a.alone(svc[0], back[0])); !ok || abi.Errno(e.Err) != abi.EDEADLK {
		t.Fatal(ok, abi.Errno(e.Err))
	}
	x = a.alone(next[0], back[0])
	a.ok(abi.CallMsgCancel, x)
	y = b.alone(next[1], back[1])
	if _, ok := b.reply(y); ok {
		t.Fatal("a does not wait any more")
	}
	b.die()
	b.start()
	if e, ok := a.reply(a.alone(next[0], back[0])); ok {
		t.Fatal(abi.Errno(e.Err))
	}
	w.end()
}
