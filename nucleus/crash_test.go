package nucleus_test

import (
	"fmt"
	"testing"

	"hythe/abi"
	"hythe/nucleus"
	"hythe/nucleus/message"
)

// ledger is what a server keeps in a memory object: it survives the process.
type ledger struct {
	done    map[uint64]uint32 // client's number -> answer
	effects []uint64
}

// crash is the panic of a server that is killed at a numbered point.
type crash struct{}

// serveOnce is one turn of a server that takes a request from svc, carries it
// out, records it, makes an object for it, and answers. point is called at
// each place where a kill could fall.
func serveOnce(p *proc, svc uint64, l *ledger, point func()) bool {
	e := p.call(abi.CallMsgReceive, svc)
	if e.Err != 0 {
		return false
	}
	m, _ := p.parse(e)
	point()
	ans, ok := l.done[m.Seq]
	if !ok {
		// Effect and record are one store.
		l.effects = append(l.effects, m.Seq)
		ans = uint32(len(l.effects))
		l.done[m.Seq] = ans
		point()
	}
	o := p.callData(abi.CallObjectCreate, fmt.Appendf(nil, "r%d", m.Seq), 4096)
	point()
	r := msg(uint64(m.Local), abi.MoveSendOnce, right{}, ans)
	r.Objects = []abi.ObjectDesc{{Name: abi.Name(o.A[0]), Flags: 1, Len: 4096}}
	if err := p.send(r); err != 0 {
		p.w.t.Fatalf("answer: %v", err)
	}
	point()
	p.ok(abi.CallPortDeallocate, o.A[0])
	point()
	return true
}

// A server is killed at each point of its work, once in a run and a run for
// each point, then at every pair of points: requests take effect once, are
// answered once, in order.
func TestEveryCrashPoint(t *testing.T) {
	const requests = 4
	run := func(kills map[int]bool) (points int) {
		w := newWorld(t, nucleus.Limits{})
		a, b := w.server("a", 0), w.server("b", 0)
		svc := b.port()
		b.callData(abi.CallPortLabel, []byte("svc"), svc)
		n := b.give(a, right{svc, abi.MakeSend})
		back := a.port()
		l := &ledger{done: map[uint64]uint32{}}
		point := func() {
			points++
			if kills[points] {
				panic(crash{})
			}
		}
		turn := func() (again bool) {
			defer func() {
				if x := recover(); x != nil {
					if _, ok := x.(crash); !ok {
						panic(x)
					}
					again = true
					b.die()
					svc = 0
					for _, e := range b.start() { // as a server finds its port
						if e.Op == abi.EventInherit && e.A[1] == abi.RightReceive && string(e.data) == "svc" {
							svc = e.A[0]
						}
						// What was left of an answer that went, or will be made again.
						if e.Op == abi.EventInherit && e.A[1] == abi.RightObject {
							b.ok(abi.CallPortDeallocate, e.A[0])
						}
					}
				}
			}()
			return serveOnce(b, svc, l, point)
		}
		for i := range uint64(requests) {
			m := msg(n, abi.CopySend, right{back, abi.MakeSendOnce}, 1)
			m.Seq = i + 1
			if err := a.send(m); err != 0 {
				t.Fatal(err)
			}
		}
		for turn() {
		}
		if fmt.Sprint(l.effects) != "[1 2 3 4]" {
			t.Fatalf("kills %v: effects %v", kills, l.effects)
		}
		for i := range uint32(requests) {
			e := a.call(abi.CallMsgReceive, back)
			m, err := a.parse(e)
			if err != 0 || m.ID != i+1 || e.fds != 1 || m.Objects[0].Name == abi.NameNull {
				t.Fatalf("kills %v: answer %d: %v %+v", kills, i+1, err, m)
			}
			a.ok(abi.CallPortDeallocate, uint64(m.Objects[0].Name))
		}
		if _, err := a.receive(back); err != abi.EAGAIN {
			t.Fatalf("kills %v: one answer more", kills)
		}
		// Nothing of it is left: no object, no reply right.
		for _, p := range []*proc{a, b} {
			for _, i := range p.s.Ports() {
				if i.Kinds&(1<<abi.RightObject|once|dead) != 0 {
					t.Fatalf("kills %v: %+v is left", kills, i)
				}
			}
		}
		w.end()
		return points
	}
	points := run(nil)
	if points < 4*requests {
		t.Fatalf("%d points", points)
	}
	for i := 1; i <= points; i++ {
		run(map[int]bool{i: true})
		for j := i + 1; j <= points+4; j += 3 {
			run(map[int]bool{i: true, j: true})
		}
	}
	t.Logf("%d points", points)
}

func FuzzHandle(f *testing.F) {
	f.Add(message.PutCall(nil, &abi.CallHeader{Op: abi.CallPortAllocate, A: [6]uint64{abi.RightReceive}}))
	f.Add(append(message.PutCall(nil, &abi.CallHeader{Op: abi.CallMsgSend, Len: abi.MsgHeaderSize}),
		message.Put(nil, msg(0x100, abi.MakeSend, right{0x100, abi.MakeSendOnce}, 1, right{0x100, abi.MoveReceive}))...))
	batch := message.PutBatch(message.PutBatch(nil, abi.CallPortAllocate, nil, abi.RightReceive, 0, 7), abi.CallMsgSend,
		message.Put(nil, msg(7, abi.MakeSend, right{}, 1)), abi.Forever)
	f.Add(append(message.PutCall(nil, &abi.CallHeader{Op: abi.CallBatch, Len: uint32(len(batch))}), batch...))
	f.Fuzz(func(t *testing.T, b []byte) {
		w := newWorld(t, nucleus.Limits{Names: 16})
		a := w.server("a", ^nucleus.Powers(0))
		p := a.port()
		a.ok(abi.CallPortMakeSend, p)
		for len(b) > 0 { // a sequence of datagrams, each with a length before it
			n := min(int(b[0])+1, len(b)-1)
			a.c.Send(b[1 : 1+n])
			w.m.Run()
			w.check()
			b = b[1+n:]
		}
		a.pull()
		w.end()
	})
}

// A message whose receiver cannot be told of it, because it does not read its
// channel, is not lost: the server is ended, and its next incarnation gets it.
func TestUnreadMessage(t *testing.T) {
	for _, answered := range []bool{false, true} {
		w := newWorld(t, nucleus.Limits{})
		a, b := w.server("a", 0), w.server("b", 0)
		box, back := b.port(), a.port()
		n := b.give(a, right{box, abi.MakeSend})
		var reply right
		if answered {
			reply = right{back, abi.MakeSendOnce}
		}
		for i := range uint32(2) {
			if err := a.send(msg(n, abi.CopySend, reply, i+1)); err != 0 {
				t.Fatal(err)
			}
		}
		b.c.Capacity = 1
		b.c.Send(datagram(abi.CallReady, nil))
		b.c.Send(datagram(abi.CallMsgReceive, nil, box))
		w.m.Run()
		w.check()
		if !b.c.Killed {
			t.Fatal("it lives")
		}
		b.start()
		for i := range uint32(2) {
			if m := b.must(box); m.ID != i+1 {
				t.Errorf("message %d in place of %d", m.ID, i+1)
			}
		}
		w.end()
	}
}
