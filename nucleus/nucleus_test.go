package nucleus_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"hythe/abi"
	"hythe/machine"
	"hythe/machine/sim"
	"hythe/nucleus"
	"hythe/nucleus/message"
)

const (
	send = 1 << abi.RightSend
	recv = 1 << abi.RightReceive
	once = 1 << abi.RightSendOnce
	dead = 1 << abi.RightDead
)

// Every disposition, from every kind of name, with the receiver's port alive,
// dead before the send, and dead in transit.
func TestDispositions(t *testing.T) {
	// start is what the sender holds under the name that it carries.
	for _, v := range []struct {
		start string // recv, send, send2, recvsend, once, dead, dead2, none, set, object
		disp  uint8
		err   abi.Errno
		after uint8  // the sender's rights afterwards
		urefs uint64 // and references
		got   uint8  // the kind that arrives
	}{
		{"recv", abi.MoveReceive, 0, 0, 0, abi.RightReceive},
		{"recv", abi.MakeSend, 0, recv, 0, abi.RightSend},
		{"recv", abi.MakeSendOnce, 0, recv, 0, abi.RightSendOnce},
		{"recv", abi.MoveSend, abi.EPERM, recv, 0, 0},
		{"recv", abi.CopySend, abi.EPERM, recv, 0, 0},
		{"recv", abi.MoveSendOnce, abi.EPERM, recv, 0, 0},
		{"recv", 0, abi.EINVAL, recv, 0, 0},
		{"recv", 7, abi.EINVAL, recv, 0, 0},
		{"recv", 255, abi.EINVAL, recv, 0, 0},
		{"send", abi.MoveSend, 0, 0, 0, abi.RightSend},
		{"send", abi.CopySend, 0, send, 1, abi.RightSend},
		{"send", abi.MakeSend, abi.EPERM, send, 1, 0},
		{"send", abi.MakeSendOnce, abi.EPERM, send, 1, 0},
		{"send", abi.MoveReceive, abi.EPERM, send, 1, 0},
		{"send", abi.MoveSendOnce, abi.EPERM, send, 1, 0},
		{"send2", abi.MoveSend, 0, send, 1, abi.RightSend},
		{"send2", abi.CopySend, 0, send, 2, abi.RightSend},
		{"recvsend", abi.MoveReceive, 0, send, 1, abi.RightReceive},
		{"recvsend", abi.MoveSend, 0, recv, 0, abi.RightSend},
		{"recvsend", abi.CopySend, 0, recv | send, 1, abi.RightSend},
		{"recvsend", abi.MakeSend, 0, recv | send, 1, abi.RightSend},
		{"recvsend", abi.MakeSendOnce, 0, recv | send, 1, abi.RightSendOnce},
		{"once", abi.MoveSendOnce, 0, 0, 0, abi.RightSendOnce},
		{"once", abi.MoveSend, abi.EPERM, once, 0, 0},
		{"once", abi.CopySend, abi.EPERM, once, 0, 0},
		{"once", abi.MakeSendOnce, abi.EPERM, once, 0, 0},
		{"dead", abi.MoveSend, 0, 0, 0, abi.RightDead},
		{"dead", abi.CopySend, 0, dead, 1, abi.RightDead},
		{"dead", abi.MoveSendOnce, 0, 0, 0, abi.RightDead},
		{"dead", abi.MakeSend, abi.EPERM, dead, 1, 0},
		{"dead", abi.MoveReceive, abi.EPERM, dead, 1, 0},
		{"dead2", abi.MoveSend, 0, dead, 1, abi.RightDead},
		{"none", abi.MoveSend, abi.EBADF, 0, 0, 0},
		{"none", abi.MakeSend, abi.EBADF, 0, 0, 0},
		{"set", abi.MoveReceive, abi.EPERM, 1 << abi.RightSet, 0, 0},
		{"set", abi.MakeSend, abi.EPERM, 1 << abi.RightSet, 0, 0},
		{"object", abi.CopySend, abi.EPERM, 1 << abi.RightObject, 1, 0},
		{"object", abi.MoveSend, abi.EPERM, 1 << abi.RightObject, 1, 0},
	} {
		t.Run(fmt.Sprintf("%s/%d", v.start, v.disp), func(t *testing.T) {
			for _, transit := range []bool{false, true} {
				w := newWorld(t, nucleus.Limits{})
				a, b, owner := w.server("a", 0), w.server("b", 0), w.server("owner", 0)
				box := b.port()
				b.callData(abi.CallPortLabel, []byte("box"), box)
				to, err := a.s.GiveSend("", b.s, "box")
				if err != nil {
					t.Fatal(err)
				}
				var n, far uint64
				switch v.start {
				case "recv":
					n = a.port()
				case "recvsend":
					n = a.port()
					a.ok(abi.CallPortMakeSend, n)
				case "send", "send2", "dead", "dead2":
					far = owner.port()
					n = owner.give(a, right{far, abi.MakeSend})
					if v.start == "send2" || v.start == "dead2" {
						a.ok(abi.CallPortModRefs, n, abi.RightSend, 1)
					}
				case "once":
					far = owner.port()
					n = owner.give(a, right{far, abi.MakeSendOnce})
				case "none":
					n = 0x7700
				case "set":
					n = a.ok(abi.CallPortAllocate, abi.RightSet)
				case "object":
					n = a.ok(abi.CallObjectCreate, 4096)
				}
				if v.start == "dead" || v.start == "dead2" {
					owner.ok(abi.CallPortModRefs, far, abi.RightReceive, ^uint64(0))
				}
				m := msg(uint64(to), abi.CopySend, right{}, 5, right{n, v.disp})
				if got := a.send(m); got != v.err {
					t.Fatalf("send: %v, want %v", got, v.err)
				}
				if mask, urefs := a.status(n); mask != v.after || urefs != v.urefs {
					t.Fatalf("the sender has %#x, %d references; want %#x, %d", mask, urefs, v.after, v.urefs)
				}
				if v.err == 0 {
					want := v.got
					if transit && far != 0 && want != abi.RightDead {
						owner.ok(abi.CallPortModRefs, far, abi.RightReceive, ^uint64(0))
						want = abi.RightDead
					}
					r := b.must(box).Rights[0]
					if r.Kind != want || (want == abi.RightDead) != (r.Name == abi.NameDead) {
						t.Fatalf("kind %d name %#x arrived, want kind %d", r.Kind, r.Name, want)
					}
				} else if _, err := b.receive(box); err != abi.EAGAIN {
					t.Fatalf("a refused message arrived: %v", err)
				}
				w.end()
			}
		})
	}
}

// Two uses of one name in one message count together, and a refused message
// takes nothing.
func TestAtomicSend(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	a, b := w.server("a", 0), w.server("b", 0)
	box := b.port()
	n := b.give(a, right{box, abi.MakeSend})
	p := a.port()
	a.ok(abi.CallPortMakeSend, p)
	for _, rs := range [][]right{
		{{p, abi.MoveSend}, {p, abi.MoveSend}},
		{{p, abi.MoveSend}, {p, abi.CopySend}},
		{{p, abi.MoveReceive}, {p, abi.MakeSend}},
		{{p, abi.MoveReceive}, {p, abi.MoveReceive}},
		{{p, abi.MoveReceive}, {0x9900, abi.MoveSend}},
	} {
		if err := a.send(msg(n, abi.CopySend, right{}, 1, rs...)); err != abi.EPERM && err != abi.EBADF {
			t.Errorf("%v: %v", rs, err)
		}
		if mask, refs := a.status(p); mask != recv|send || refs != 1 {
			t.Fatalf("a refused message took something: %#x %d", mask, refs)
		}
	}
	if err := a.send(msg(n, abi.CopySend, right{}, 1, right{p, abi.MoveSend}, right{p, abi.MoveReceive})); err != 0 {
		t.Fatal(err)
	}
	m := b.must(box)
	if m.Rights[0].Name != m.Rights[1].Name {
		t.Error("send and receive rights to one port have two names")
	}
	// A port must not be sent into itself, at no distance.
	q, r := a.port(), a.port()
	a.ok(abi.CallPortMakeSend, q)
	a.ok(abi.CallPortMakeSend, r)
	if err := a.send(msg(q, abi.CopySend, right{}, 1, right{q, abi.MoveReceive})); err != abi.EINVAL {
		t.Errorf("a port in itself: %v", err)
	}
	if err := a.send(msg(q, abi.CopySend, right{}, 1, right{r, abi.MoveReceive})); err != 0 {
		t.Fatal(err)
	}
	if err := a.send(msg(r, abi.CopySend, right{}, 1, right{q, abi.MoveReceive})); err != abi.EINVAL {
		t.Errorf("a port in a port in it: %v", err)
	}
	w.end()
}

func TestNotifications(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	a, b := w.server("a", 0), w.server("b", 0)
	self := func(p *proc, port uint64) uint64 { // a send-once right to its own port
		e := p.port()
		p.ok(abi.CallPortMakeSend, e)
		if err := p.send(msg(e, abi.CopySend, right{}, 1, right{port, abi.MakeSendOnce})); err != 0 {
			t.Fatal(err)
		}
		n := p.must(e).Rights[0].Name
		p.ok(abi.CallPortModRefs, e, abi.RightReceive, ^uint64(0))
		p.ok(abi.CallPortDeallocate, e)
		return uint64(n)
	}
	box := a.port()

	// Dead name, by message and by event.
	far := b.port()
	n := b.give(a, right{far, abi.MakeSend})
	a.ok(abi.CallPortNotify, n, abi.NotifyDeadName, self(a, box))
	b.ok(abi.CallPortModRefs, far, abi.RightReceive, ^uint64(0))
	if m := a.must(box); m.ID != abi.MsgNotify+abi.NotifyDeadName || value(m) != n {
		t.Errorf("dead-name notification %d %#x", m.ID, value(m))
	}
	if mask, refs := a.status(n); mask != dead || refs != 2 {
		t.Errorf("the dead name is %#x with %d references", mask, refs)
	}
	far = b.port()
	n = b.give(a, right{far, abi.MakeSend})
	a.ok(abi.CallPortNotify, n, abi.NotifyDeadName, uint64(abi.NameDead))
	b.ok(abi.CallPortModRefs, far, abi.RightReceive, ^uint64(0))
	if ev := a.events(abi.EventDead); len(ev) != 1 || ev[0].A[0] != n || ev[0].A[1] != abi.NotifyDeadName {
		t.Errorf("events %+v", ev)
	}

	// No senders: once, when the last send right goes, in transit or not.
	p := a.port()
	x := a.give(b, right{p, abi.MakeSend})
	a.ok(abi.CallPortNotify, p, abi.NotifyNoSenders, self(a, box), 1)
	b.ok(abi.CallPortModRefs, x, abi.RightSend, 1)
	b.ok(abi.CallPortDeallocate, x)
	if _, err := a.receive(box); err != abi.EAGAIN {
		t.Errorf("too early: %v", err)
	}
	y := b.give(a, right{x, abi.MoveSend})
	if y != p {
		t.Errorf("send and receive have the names %#x and %#x", y, p)
	}
	a.ok(abi.CallPortDeallocate, y)
	if m := a.must(box); m.ID != abi.MsgNotify+abi.NotifyNoSenders || value(m) != 1 {
		t.Errorf("no-senders notification %d %d", m.ID, value(m))
	}

	// Port destroyed: the receive right comes, the port lives.
	q := b.port()
	qs := b.give(a, right{q, abi.MakeSend})
	bb := a.give(b, right{box, abi.MakeSendOnce})
	b.ok(abi.CallPortNotify, q, abi.NotifyPortDestroyed, bb)
	b.ok(abi.CallPortModRefs, q, abi.RightReceive, ^uint64(0))
	m := a.must(box)
	if m.ID != abi.MsgNotify+abi.NotifyPortDestroyed || uint64(m.Rights[0].Name) != qs || m.Rights[0].Kind != abi.RightReceive {
		t.Errorf("port-destroyed notification %d %+v, the send right is %#x", m.ID, m.Rights, qs)
	}

	// A send-once right that is dropped says so.
	o := a.give(b, right{box, abi.MakeSendOnce})
	b.ok(abi.CallPortDeallocate, o)
	if m := a.must(box); m.ID != abi.MsgNotify+abi.NotifySendOnce {
		t.Errorf("send-once notification %d", m.ID)
	}

	// Refused.
	a.want(abi.EPERM, abi.CallPortNotify, qs, abi.NotifyDeadName, box)
	a.want(abi.EINVAL, abi.CallPortNotify, qs, 9, 0)
	a.want(abi.EBADF, abi.CallPortNotify, 0x8800, abi.NotifyDeadName, 0)
	w.end()
}

func TestQueueLimit(t *testing.T) {
	w := newWorld(t, nucleus.Limits{Waiting: 3})
	a, b := w.server("a", 0), w.server("b", 0)
	box := b.port()
	b.ok(abi.CallPortLimit, box, 1)
	b.want(abi.EINVAL, abi.CallPortLimit, box, 0)
	n := b.give(a, right{box, abi.MakeSend})
	post := func(id uint32, ns uint64, rs ...right) uint64 {
		return a.post(abi.CallMsgSend, message.Put(nil, msg(n, abi.CopySend, right{}, id, rs...)), nil, ns)
	}
	if e, ok := a.reply(post(1, 0)); !ok || e.Err != 0 {
		t.Fatal(e.Err)
	}
	if e, _ := a.reply(post(2, 0)); abi.Errno(e.Err) != abi.EAGAIN {
		t.Fatalf("%v", abi.Errno(e.Err))
	}
	moved := a.port()
	first := post(3, abi.Forever)
	second := post(4, 1000, right{moved, abi.MoveReceive})
	third := post(5, 5000)
	if e, ok := a.reply(post(6, 5000)); !ok || abi.Errno(e.Err) != abi.EAGAIN {
		t.Fatal("one call too many waits")
	}
	if _, ok := a.reply(first); ok {
		t.Fatal("a send to a full queue was answered")
	}
	w.m.Advance(1000)
	w.check()
	e, ok := a.reply(second)
	if !ok || abi.Errno(e.Err) != abi.ETIMEDOUT {
		t.Fatalf("%v %v", ok, abi.Errno(e.Err))
	}
	back, err := message.Get(e.data)
	if err != 0 || back.Rights[0].Kind != abi.RightReceive {
		t.Fatalf("the message did not come back: %+v %v", back, err)
	}
	if mask, _ := a.status(uint64(back.Rights[0].Name)); mask != recv {
		t.Error("the receive right did not come back")
	}
	// A send-once right is a place of its own.
	o := b.give(a, right{box, abi.MakeSendOnce})
	if err := a.send(msg(o, abi.MoveSendOnce, right{}, 7)); err != 0 {
		t.Fatal(err)
	}
	var got []uint32
	for range 4 {
		if m, err := b.receive(box); err == 0 {
			got = append(got, m.ID)
		}
	}
	if fmt.Sprint(got) != "[1 7 3 5]" {
		t.Errorf("order %v", got)
	}
	for _, id := range []uint64{first, third} {
		if e, ok := a.reply(id); !ok || e.Err != 0 {
			t.Errorf("blocked send: %v %v", ok, e.Err)
		}
	}
	// Receivers wait too, in order, and fail when the port goes.
	r1 := b.post(abi.CallMsgReceive, nil, nil, box, abi.Forever)
	r2 := b.post(abi.CallMsgReceive, nil, nil, box, 10)
	r3 := b.post(abi.CallMsgReceive, nil, nil, box, abi.Forever)
	post(8, 0)
	if e, ok := b.reply(r1); !ok || e.Err != 0 {
		t.Error("the first receiver got nothing")
	}
	w.m.Advance(10)
	if e, ok := b.reply(r2); !ok || abi.Errno(e.Err) != abi.ETIMEDOUT {
		t.Error("the second did not time out")
	}
	b.ok(abi.CallPortModRefs, box, abi.RightReceive, ^uint64(0))
	if e, ok := b.reply(r3); !ok || abi.Errno(e.Err) != abi.EPIPE {
		t.Error("the third was not told")
	}
	if err := a.send(msg(n, abi.CopySend, right{}, 9)); err != abi.EPIPE {
		t.Errorf("send to a dead port: %v", err)
	}
	w.end()
}

// What tools are told of a port.
func TestPortsList(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	a, b, c := w.server("a", 0), w.server("b", 0), w.server("c", 0)
	p := a.port()
	a.callData(abi.CallPortLabel, []byte("svc"), p)
	a.ok(abi.CallPortLimit, p, 2)
	n := a.give(b, right{p, abi.MakeSend})
	a.give(c, right{p, abi.MakeSendOnce})
	for i := range uint32(3) {
		b.post(abi.CallMsgSend, message.Put(nil, msg(n, abi.CopySend, right{}, i)), nil, abi.Forever)
	}
	for _, i := range a.s.Ports() {
		if i.Label != "svc" {
			continue
		}
		if i.Queued != 2 || i.Limit != 2 || i.Blocked != 1 || i.Messages != 2 || i.Sends != 4 || fmt.Sprint(i.Holders) != "[b c]" {
			t.Errorf("%+v", i)
		}
		w.end()
		return
	}
	t.Error("the port is not there")
}

func TestPortSet(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	a := w.server("a", 0)
	set := a.ok(abi.CallPortAllocate, abi.RightSet)
	p, q := a.port(), a.port()
	for _, n := range []uint64{p, q} {
		a.ok(abi.CallPortMakeSend, n)
		a.ok(abi.CallPortSetMember, n, set)
	}
	r := a.post(abi.CallMsgReceive, nil, nil, set, abi.Forever)
	for i := range uint32(3) {
		a.send(msg(p, abi.CopySend, right{}, i))
	}
	a.send(msg(q, abi.CopySend, right{}, 100))
	if e, ok := a.reply(r); !ok || e.A[0] != p {
		t.Fatalf("waiting on the set: %v %+v", ok, e)
	}
	// No member starves.
	var got []uint64
	for range 3 {
		e := a.call(abi.CallMsgReceive, set)
		got = append(got, e.A[0])
	}
	if got[0] == got[1] && got[1] == got[2] {
		t.Errorf("%#x", got)
	}
	a.ok(abi.CallPortSetMember, p, 0)
	a.send(msg(p, abi.CopySend, right{}, 7))
	a.want(abi.EAGAIN, abi.CallMsgReceive, set)
	a.want(abi.EPERM, abi.CallPortSetMember, set, set)
	r = a.post(abi.CallMsgReceive, nil, nil, set, abi.Forever)
	a.ok(abi.CallPortModRefs, set, abi.RightSet, ^uint64(0))
	if e, ok := a.reply(r); !ok || abi.Errno(e.Err) != abi.EPIPE {
		t.Error("the set went and its receiver was not told")
	}
	w.end()
}

func TestObjects(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	a, b := w.server("a", nucleus.PowerImport), w.server("b", 0)
	box := b.port()
	n := b.give(a, right{box, abi.MakeSend})
	o := a.callData(abi.CallObjectCreate, []byte("state"), 1<<20)
	if o.Err != 0 || o.fds != 1 {
		t.Fatalf("%+v", o)
	}
	carry := func(d abi.ObjectDesc) (event, abi.Errno) {
		m := msg(n, abi.CopySend, right{}, 1)
		m.Objects = []abi.ObjectDesc{d}
		if err := a.send(m); err != 0 {
			return event{}, err
		}
		return b.call(abi.CallMsgReceive, box), 0
	}
	name := abi.Name(o.A[0])
	for _, d := range []abi.ObjectDesc{
		{Name: name, Off: 1 << 20, Len: 1},
		{Name: name, Off: ^uint64(0), Len: 2},
		{Name: name, Flags: 4},
		{Name: abi.Name(n)},
	} {
		if _, err := carry(d); err == 0 {
			t.Errorf("%+v is carried", d)
		}
	}
	e, err := carry(abi.ObjectDesc{Name: name, Flags: 1, Len: 4096})
	if err != 0 || e.fds != 1 || !e.kind[0].ReadOnly {
		t.Fatalf("read-only: %v %+v", err, e)
	}
	m, _ := message.Get(e.data)
	ro := uint64(m.Objects[0].Name)
	b.want(abi.EPERM, abi.CallObjectFD, ro, 0)
	b.ok(abi.CallObjectFD, ro, 1)
	// It outlives its maker.
	a.s.Discard()
	w.m.Run()
	b.ok(abi.CallObjectFD, ro, 1)
	b.ok(abi.CallPortDeallocate, ro)
	b.want(abi.EBADF, abi.CallObjectFD, ro, 1)
	if w.m.Live() != 0 { // no process, no binding, no object
		t.Errorf("%d handles", w.m.Live())
	}

	// Copy on write: not while somebody may write.
	c := w.server("c", nucleus.PowerImport)
	n = b.give(c, right{box, abi.MakeSend})
	o = c.call(abi.CallObjectCreate, 4096)
	o.kind[0].Storage.Mapped = 1
	mm := msg(n, abi.CopySend, right{}, 1)
	mm.Objects = []abi.ObjectDesc{{Name: abi.Name(o.A[0]), Flags: 2, Len: 4096}}
	if err := c.send(mm); err != abi.EBUSY {
		t.Errorf("a mapped object is frozen: %v", err)
	}
	o.kind[0].Storage.Mapped = 0
	if err := c.send(mm); err != 0 || !o.kind[0].Storage.Frozen {
		t.Errorf("%v", err)
	}
	w.end()
}

func TestBinding(t *testing.T) {
	w := newWorld(t, nucleus.Limits{Bindings: 2})
	a, b := w.server("a", 0), w.server("b", 0)
	svc := b.port()
	n := b.give(a, right{svc, abi.MakeSend})
	e := a.callData(abi.CallBind, []byte("mine"), n, 4)
	if e.Err != 0 || e.fds != 3 || e.kind[0].Storage.Slots != 4 {
		t.Fatalf("%+v", e)
	}
	id := e.A[0]
	ev := b.events(abi.EventBinding)
	if len(ev) != 1 || ev[0].A[0] != id || ev[0].A[1] != abi.RoleServer || ev[0].A[2] != 4 || ev[0].A[3] != svc ||
		string(ev[0].data) != "mine" || ev[0].fds != 3 || ev[0].kind[0] != e.kind[0] {
		t.Fatalf("%+v", ev)
	}
	// Requests are counted where they are answered.
	e.kind[0].Storage.Requests = 3
	if x, y := b.s.Requests(), a.s.Requests(); x != 3 || y != 0 {
		t.Errorf("the server has %d requests, the client %d", x, y)
	}
	// Grants go to the peer, who then has a right.
	o := b.ok(abi.CallObjectCreate, 4096)
	b.ok(abi.CallObjectGrant, id, o, 1, 77)
	g := a.events(abi.EventGrant)
	if len(g) != 1 || g[0].A[3] != 77 || !g[0].kind[0].ReadOnly {
		t.Fatalf("%+v", g)
	}
	a.ok(abi.CallObjectFD, g[0].A[1], 1)
	a.want(abi.EPERM, abi.CallObjectGrant, id, g[0].A[1], 0, 1)

	// The server is killed: the client's binding stays, the next one gets it.
	b.die()
	if len(a.events(abi.EventUnbound)) != 0 {
		t.Error("the client was told of a death that is none")
	}
	e2 := a.callData(abi.CallBind, nil, n, 1) // in between
	if e2.Err != 0 {
		t.Fatal(abi.Errno(e2.Err))
	}
	a.want(abi.EAGAIN, abi.CallBind, n, 1) // limit
	var seen []uint64
	for _, ev := range b.start() {
		if ev.Op == abi.EventBinding {
			seen = append(seen, ev.A[0])
			if ev.A[0] == id && (ev.A[4] != 1 || ev.kind[0] != e.kind[0] || ev.kind[1] != e.kind[1]) {
				t.Errorf("the binding is not the same: %+v", ev)
			}
		}
	}
	if fmt.Sprint(seen) != fmt.Sprint([]uint64{id, e2.A[0]}) {
		t.Errorf("bindings %v", seen)
	}
	// The client is killed: its next incarnation has its end.
	a.die()
	found := 0
	for _, ev := range a.start() {
		if ev.Op == abi.EventBinding && ev.A[1] == abi.RoleClient {
			found++
		}
	}
	if found != 2 {
		t.Errorf("%d of 2 bindings inherited", found)
	}
	a.ok(abi.CallUnbind, id)
	if u := b.events(abi.EventUnbound); len(u) != 1 || u[0].A[0] != id {
		t.Errorf("%+v", u)
	}
	a.want(abi.EBADF, abi.CallUnbind, id)
	b.s.Discard()
	w.m.Run()
	if u := a.events(abi.EventUnbound); len(u) != 1 {
		t.Errorf("%+v", u)
	}
	for _, op := range []string{sim.OpObject, sim.OpFormat, sim.OpDoorbell} {
		c := w.server("c", 0)
		s := c.port()
		c.ok(abi.CallPortMakeSend, s)
		w.m.FailNext(op, 1)
		c.want(abi.ENOMEM, abi.CallBind, s, 1)
	}
	w.end()
}

// A server dies: names, labels, messages, unanswered requests and objects are
// there again, each request once.
func TestEstate(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	a, b := w.server("a", 0), w.server("b", 0)
	svc := b.port()
	b.callData(abi.CallPortLabel, []byte("service"), svc)
	obj := b.callData(abi.CallObjectCreate, []byte("state"), 4096).A[0]
	n := b.give(a, right{svc, abi.MakeSend})
	back := a.port()
	ask := func(id uint32) {
		m := msg(n, abi.CopySend, right{back, abi.MakeSendOnce}, id, right{a.port(), abi.MakeSend})
		m.Body = []byte{byte(id)}
		if err := a.send(m); err != 0 {
			t.Fatal(err)
		}
	}
	for id := range uint32(5) {
		ask(id + 1)
	}
	m1, m2, m3 := b.must(svc), b.must(svc), b.must(svc)
	if err := b.send(msg(uint64(m2.Local), abi.MoveSendOnce, right{}, 20)); err != 0 { // 2 is answered
		t.Fatal(err)
	}
	pending := b.post(abi.CallMsgReceive, nil, nil, b.port(), abi.Forever)
	b.die()
	if _, ok := b.reply(pending); ok {
		t.Error("the dead was answered")
	}
	ask(6)
	if fmt.Sprint(w.log) != "[dead b wanted b]" {
		t.Errorf("hooks: %v", w.log)
	}
	w.m.FailNext(sim.OpServer, 1)
	if err := b.s.Start(nil); err == nil {
		t.Error("a start that fails succeeds")
	}
	w.check()
	told := map[uint64]event{}
	for _, e := range b.start() {
		if e.Op == abi.EventInherit {
			told[e.A[0]<<8|e.A[1]] = e
		}
	}
	if e := told[svc<<8|abi.RightReceive]; string(e.data) != "service" {
		t.Errorf("port: %+v", e)
	}
	if e := told[obj<<8|abi.RightObject]; string(e.data) != "state" || e.fds != 1 || e.A[2] != 4096 || e.A[4] != 1 {
		t.Errorf("object: %+v", e)
	}
	var got []string
	for range 5 {
		e := b.call(abi.CallMsgReceive, svc)
		m, err := b.parse(e)
		if err != 0 {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(m.ID, e.A[1]))
		for _, old := range []*message.Msg{m1, m3} {
			if old.ID == m.ID && (old.Local != m.Local || old.Rights[0].Name != m.Rights[0].Name) {
				t.Errorf("message %d has other names now", m.ID)
			}
		}
		if mask, _ := b.status(uint64(m.Local)); mask != once {
			t.Errorf("the reply right of %d is %#x", m.ID, mask)
		}
		if err := b.send(msg(uint64(m.Local), abi.MoveSendOnce, right{}, m.ID*10)); err != 0 {
			t.Errorf("answer: %v", err)
		}
	}
	if fmt.Sprint(got) != "[1 1 3 1 4 0 5 0 6 0]" {
		t.Errorf("requests %v", got)
	}
	if _, err := b.receive(svc); err != abi.EAGAIN {
		t.Error("one request more")
	}
	var answers []uint32
	for range 6 {
		answers = append(answers, a.must(back).ID)
	}
	if fmt.Sprint(answers) != "[20 10 30 40 50 60]" {
		t.Errorf("answers %v", answers)
	}

	// It is gone for good: who waits is told.
	ask(7)
	b.must(svc)
	ask(8)
	b.s.Discard()
	w.m.Run()
	for range 2 {
		if m := a.must(back); m.ID != abi.MsgNotify+abi.NotifySendOnce {
			t.Errorf("told %d", m.ID)
		}
	}
	if mask, _ := a.status(n); mask != dead {
		t.Errorf("the port of a server that is gone: %#x", mask)
	}
	w.end()
}

// The receive right moves on while an unanswered request is out, and is killed.
func TestEstateMoved(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	a, b, c := w.server("a", 0), w.server("b", 0), w.server("c", 0)
	svc := b.port()
	n := b.give(a, right{svc, abi.MakeSend})
	back := a.port()
	a.send(msg(n, abi.CopySend, right{back, abi.MakeSendOnce}, 1))
	a.send(msg(n, abi.CopySend, right{back, abi.MakeSendOnce}, 2))
	b.must(svc)
	b.must(svc)
	b.die()
	b.start()
	b.must(svc) // 1 is out, 2 is in the queue as it was delivered
	there := b.give(c, right{svc, abi.MoveReceive})
	b.die() // 1 goes where the port is
	for _, want := range []uint32{1, 2} {
		m := c.must(there)
		if m.ID != want || m.Local == 0 {
			t.Fatalf("%+v", m)
		}
		if err := c.send(msg(uint64(m.Local), abi.MoveSendOnce, right{}, want)); err != 0 {
			t.Fatal(err)
		}
		a.must(back)
	}
	w.end()
}

func TestTasks(t *testing.T) {
	w := newWorld(t, nucleus.Limits{Tasks: 2})
	u := w.server("u", nucleus.PowerTasks|nucleus.PowerMemory)
	v := w.server("v", 0)
	v.want(abi.EPERM, abi.CallTaskCreate, 0, 1)
	u.want(abi.EINVAL, abi.CallTaskCreate, 0, 0)
	u.want(abi.EINVAL, abi.CallTaskCreate, 0, abi.MaxSlots+1)
	u.want(abi.EBADF, abi.CallTaskCreate, 0x5500, 1)
	for _, op := range []string{sim.OpObject, sim.OpDoorbell, sim.OpChannel, sim.OpSpawn} {
		w.m.FailNext(op, 1)
		if e := u.call(abi.CallTaskCreate, 0, 1); e.Err == 0 {
			t.Errorf("%s fails and the task exists", op)
		}
		w.m.Run()
	}
	var fresh *sim.Channel
	w.m.OnSpawn = func(c *sim.Channel, _, _ *sim.Handle) { fresh = c }
	e := u.call(abi.CallTaskCreate, 0, 16)
	if e.Err != 0 || e.fds != 2 {
		t.Fatalf("%+v", e)
	}
	task, bind := e.A[0], e.A[1]
	hello := message.PutCall(nil, &abi.CallHeader{Op: abi.CallHello})
	// Its first thread is kicked once it has begun, however often that was wanted.
	u.ok(abi.CallThreadKick, task, 0)
	u.ok(abi.CallThreadKick, task, 0)
	u.want(abi.ESRCH, abi.CallThreadKick, task, 3)
	if w.m.Run(); len(fresh.Kicked) != 0 {
		t.Errorf("kicked before it has begun: %v", fresh.Kicked)
	}
	fresh.Send(hello)
	if w.m.Run(); !slices.Equal(fresh.Kicked, []uint64{0}) {
		t.Errorf("kicked when it has begun: %v", fresh.Kicked)
	}
	// A guest may do nothing but introduce itself.
	for op := range uint32(40) {
		fresh.Send(message.PutCall(nil, &abi.CallHeader{Op: op, ID: 9, A: [6]uint64{1, 1, 1}}))
		w.check()
	}
	fresh.Send(bytes.Repeat([]byte{0xff}, 100))
	fresh.Send([]byte{1})
	if _, ok := fresh.Next(); ok {
		t.Error("a guest is answered")
	}
	// Grant, kick, info, memory, maps.
	o := u.ok(abi.CallObjectCreate, 4096)
	u.ok(abi.CallObjectGrant, bind, o, 0, 5)
	d, _ := fresh.Next()
	if h, _, _ := message.GetCall(d.Bytes); h.Op != abi.EventGrant || h.A[1] != 0 || h.A[3] != 5 || len(d.Handles) != 1 {
		t.Fatalf("grant %+v", h)
	}
	d.Handles[0].Release()
	fresh.Threads = []uint64{3}
	u.ok(abi.CallThreadKick, task, 3)
	u.want(abi.ESRCH, abi.CallThreadKick, task, 4)
	u.want(abi.EPERM, abi.CallThreadKick, o, 3)
	if e := u.call(abi.CallTaskInfo, task); string(e.data) != "sim" {
		t.Errorf("info %+v", e)
	}
	if e := u.call(abi.CallTaskInfo, task, 3); e.A[4] != 1003 {
		t.Errorf("info of a thread %+v", e)
	}
	u.want(abi.ESRCH, abi.CallTaskInfo, task, 4)
	fresh.Memory, fresh.MemoryAt = []byte("abc"), 0x1000
	if e := u.call(abi.CallTaskMemory, task, 0x1001, 8); string(e.data) != "bc" {
		t.Errorf("memory %+v", e)
	}
	u.want(abi.EFAULT, abi.CallTaskMemory, task, 0, 8)
	u.want(abi.EINVAL, abi.CallTaskMemory, task, 0x1000, 1<<40)
	if e := u.call(abi.CallTaskMaps, task); string(e.data) != "sim\n" {
		t.Errorf("maps %+v", e)
	}

	// fork
	fork := u.call(abi.CallTaskCreate, task, 8, 42)
	if fork.Err != 0 {
		t.Fatal(abi.Errno(fork.Err))
	}
	u.want(abi.EAGAIN, abi.CallTaskCreate, 0, 1) // the limit
	d, ok := fresh.Next()
	h, _, _ := message.GetCall(d.Bytes)
	if !ok || h.Op != abi.EventChannel || h.A[3] != 42 || len(d.Handles) != 3 {
		t.Fatalf("channel %+v", h)
	}
	child := d.Handles[0].(*sim.Handle).Channel
	child.Adopt()
	for _, x := range d.Handles {
		x.Release()
	}
	child.Send(hello)

	// The server dies and comes back: it governs its tasks as before.
	u.die()
	child.Die(machine.Exit{}) // while nobody looks
	w.m.Run()
	w.check()
	var tasks, binds []uint64
	for _, e := range u.start() {
		switch {
		case e.Op == abi.EventInherit && e.A[1] == abi.RightTask:
			tasks = append(tasks, e.A[0])
		case e.Op == abi.EventInherit && e.A[1] == abi.RightDead && e.A[0] != fork.A[0]:
			t.Errorf("a dead name from nowhere: %+v", e)
		case e.Op == abi.EventBinding:
			binds = append(binds, e.A[0])
			if e.A[3] != task || e.fds != 2 || e.A[4] != 1 {
				t.Errorf("the task's binding: %+v", e)
			}
		}
	}
	if fmt.Sprint(tasks, binds) != fmt.Sprint([]uint64{task}, []uint64{bind}) {
		t.Errorf("tasks %#x bindings %v", tasks, binds)
	}
	if ev := u.events(abi.EventTaskDead); len(ev) != 1 || ev[0].A[0] != fork.A[0] || ev[0].A[1] != fork.A[1] {
		t.Errorf("the death in between: %+v", ev)
	}
	u.want(abi.ESRCH, abi.CallTaskTerminate, fork.A[0])
	u.ok(abi.CallTaskTerminate, task)
	w.m.Run()
	if ev := u.events(abi.EventTaskDead); len(ev) != 1 || ev[0].A[0] != task {
		t.Errorf("%+v", ev)
	}
	u.ok(abi.CallPortDeallocate, task)

	// A task that nobody can name ends.
	e = u.call(abi.CallTaskCreate, 0, 1)
	u.ok(abi.CallPortDeallocate, e.A[0])
	w.m.Run()
	w.check()
	if !fresh.Ended() {
		t.Error("a task without a name lives")
	}
	// So does one that dies before it said a word.
	e = u.call(abi.CallTaskCreate, 0, 1)
	fresh.Die(machine.Exit{})
	w.m.Run()
	w.check()
	if ev := u.events(abi.EventTaskDead); len(ev) != 1 || ev[0].A[0] != e.A[0] {
		t.Errorf("%+v", ev)
	}
	// A guest that does not read.
	e = u.call(abi.CallTaskCreate, 0, 1)
	fresh.Capacity = 2
	for i := range 3 {
		want := abi.Errno(0)
		if i == 2 {
			want = abi.EAGAIN
		}
		u.want(want, abi.CallObjectGrant, e.A[1], o, 0, uint64(i))
	}
	w.end()
}

func TestLimits(t *testing.T) {
	w := newWorld(t, nucleus.Limits{Names: 4})
	a := w.server("a", nucleus.PowerSupervise)
	p := a.port()
	a.ok(abi.CallPortMakeSend, p)
	for range 3 {
		a.send(msg(p, abi.CopySend, right{p, abi.MakeSendOnce}, 1, right{p, abi.MakeSendOnce}, right{p, abi.MakeSendOnce}))
	}
	a.must(p) // 1 + 3
	a.want(abi.ENOSPC, abi.CallMsgReceive, p)
	a.want(abi.ENOSPC, abi.CallPortAllocate, abi.RightReceive)
	a.want(abi.ENOSPC, abi.CallObjectCreate, 1)
	for _, i := range a.s.Ports() {
		if i.Kinds == once {
			a.ok(abi.CallPortDeallocate, uint64(i.Name))
		}
	}
	a.must(p)
	if e := a.callData(abi.CallSupervise, []byte("x")); string(e.data) != "re x" {
		t.Errorf("%+v", e)
	}
	// Names are not used again at once.
	b := w.server("b", 0)
	n := b.port()
	b.ok(abi.CallPortModRefs, n, abi.RightReceive, ^uint64(0))
	if b.port() == n {
		t.Error("a name is used again at once")
	}
	b.want(abi.EBADF, abi.CallPortStatus, n)
	x := b.port()
	b.ok(abi.CallPortRename, x, 0xabc)
	b.want(abi.EINVAL, abi.CallPortRename, 0xabc, uint64(abi.NameDead))
	b.want(abi.EEXIST, abi.CallPortRename, 0xabc, 0xabc)
	// A server that does not read its channel is ended, and loses nothing.
	b.c.Capacity = 1
	b.c.Send(message.PutCall(nil, &abi.CallHeader{Op: abi.CallReady}))
	b.c.Send(message.PutCall(nil, &abi.CallHeader{Op: abi.CallReady}))
	w.m.Run()
	if !b.c.Killed {
		t.Error("it lives")
	}
	for _, e := range b.start() {
		if e.Op == abi.EventInherit && e.A[0] == 0xabc {
			x = 0
		}
	}
	if x != 0 {
		t.Error("the renamed port is not inherited")
	}
	w.end()
}
