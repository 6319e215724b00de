package nucleus_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"hythe/abi"
	"hythe/nucleus"
)

// alarmed reads an alarm's message: its word, its time, and when it was sent.
func (p *proc) alarmed(n uint64) [3]uint64 {
	p.w.t.Helper()
	m := p.must(n)
	if m.ID != abi.MsgAlarm || len(m.Body) != 24 {
		p.w.t.Fatalf("message %d of %d bytes is no alarm's", m.ID, len(m.Body))
	}
	return [3]uint64{binary.LittleEndian.Uint64(m.Body), binary.LittleEndian.Uint64(m.Body[8:]), binary.LittleEndian.Uint64(m.Body[16:])}
}

// Alarms come at their times, those of one time in the order in which they were set, and
// one whose time is over at once; what they cost is given back.
func TestAlarms(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	a := w.server("a", 0)
	p := a.port()
	before := used(a.s)
	w.m.Advance(1000)
	for i, at := range []uint64{3000, 2000, 3000, 500, 1000} {
		if id := a.ok(abi.CallAlarmSet, at, p, uint64(i), abi.MakeSendOnce); id != uint64(i+1) {
			t.Errorf("alarm %d has number %d", i, id)
		}
	}
	want := func(words ...uint64) {
		t.Helper()
		for _, x := range words {
			if m := a.alarmed(p); m[0] != x || m[1] > m[2] {
				t.Errorf("alarm %v, want %d", m, x)
			}
		}
		if _, err := a.receive(p); err != abi.EAGAIN {
			t.Errorf("more: %v", err)
		}
	}
	want(3, 4) // over, or now
	if n := used(a.s); n != before+3*nucleus.AlarmCost {
		t.Errorf("three alarms cost %d bytes", n-before)
	}
	w.m.Advance(999)
	w.check()
	want()
	w.m.Advance(1)
	w.check()
	want(1)
	w.m.Advance(5000)
	w.check()
	want(0, 2)
	if n := used(a.s); n != before {
		t.Errorf("%d bytes are left", n-before)
	}

	// Who waits is woken.
	id := a.post(abi.CallMsgReceive, nil, nil, p, abi.Forever)
	a.ok(abi.CallAlarmSet, w.m.Now()+10, p, 7, abi.MakeSend)
	w.m.Advance(10)
	if e, ok := a.reply(id); !ok || e.Err != 0 {
		t.Errorf("a receive: %v %v", ok, abi.Errno(e.Err))
	}
	w.end()
}

func TestAlarmRights(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	a, b := w.server("a", 0), w.server("b", 0)
	p := a.port()
	s := a.give(b, right{p, abi.MakeSend})
	once := a.give(b, right{p, abi.MakeSendOnce})
	for _, x := range []struct {
		err  abi.Errno
		args []uint64
	}{
		{abi.EINVAL, []uint64{1, s, 0, 0}}, {abi.EINVAL, []uint64{1, s, 0, abi.MoveReceive}}, {abi.EINVAL, []uint64{1, s, 0, 256 + abi.CopySend}},
		{abi.EBADF, []uint64{1, 0x7700, 0, abi.CopySend}}, {abi.EBADF, []uint64{1, 0, 0, abi.CopySend}},
		{abi.EBADF, []uint64{1, uint64(abi.NameDead), 0, abi.MoveSend}}, {abi.EBADF, []uint64{1, 1 << 40, 0, abi.CopySend}},
		{abi.EPERM, []uint64{1, s, 0, abi.MakeSend}}, {abi.EPERM, []uint64{1, s, 0, abi.MoveSendOnce}}, {abi.EPERM, []uint64{1, once, 0, abi.CopySend}},
	} {
		b.want(x.err, abi.CallAlarmSet, x.args...)
	}
	b.want(abi.ESRCH, abi.CallAlarmCancel, 0)
	b.want(abi.ESRCH, abi.CallAlarmCancel, 1)

	// A right that an alarm holds is a right: nobody is told that there is none.
	ask := a.port()
	a.ok(abi.CallPortNotify, p, abi.NotifyNoSenders, uint64(abi.NameDead))
	id := b.ok(abi.CallAlarmSet, 100, s, 5, abi.MoveSend)
	if _, n := b.status(s); n != 0 || len(a.events(abi.EventDead)) != 0 {
		t.Errorf("the name has %d references, or a was told", n)
	}
	a.want(abi.ESRCH, abi.CallAlarmCancel, id) // another's
	e := b.call(abi.CallAlarmCancel, id)
	if e.Err != 0 || e.A[1] != abi.MoveSend {
		t.Fatalf("cancel: %+v", e.CallHeader)
	}
	s = e.A[0]
	if mask, n := b.status(s); mask != send || n != 1 {
		t.Errorf("the right that came back: %b, %d", mask, n)
	}
	b.want(abi.ESRCH, abi.CallAlarmCancel, id)
	id = b.ok(abi.CallAlarmSet, 100, s, 6, abi.MoveSend)
	w.m.Advance(100)
	if m := a.alarmed(p); m[0] != 6 {
		t.Errorf("alarm %v", m)
	}
	if n := len(a.events(abi.EventDead)); n != 1 {
		t.Errorf("told %d times that nobody can send", n)
	}
	b.want(abi.ESRCH, abi.CallAlarmCancel, id)

	// A send-once right comes back as one.
	id = b.ok(abi.CallAlarmSet, 500, once, 8, abi.MoveSendOnce)
	if e := b.call(abi.CallAlarmCancel, id); e.Err != 0 || e.A[1] != abi.MoveSendOnce {
		t.Errorf("cancel: %+v", e.CallHeader)
	} else {
		once = e.A[0]
	}

	// The port dies: so does the alarm, and the next one in line goes off.
	s = a.give(b, right{p, abi.MakeSend})
	usedB := used(b.s)
	id = b.ok(abi.CallAlarmSet, 200, s, 9, abi.CopySend)
	two := b.ok(abi.CallAlarmSet, 200, once, 9, abi.MoveSendOnce)
	other := a.ok(abi.CallAlarmSet, 300, ask, 10, abi.MakeSendOnce)
	a.ok(abi.CallPortModRefs, p, abi.RightReceive, ^uint64(0))
	b.want(abi.ESRCH, abi.CallAlarmCancel, id)
	b.want(abi.ESRCH, abi.CallAlarmCancel, two)
	b.want(abi.EPIPE, abi.CallAlarmSet, 200, s, 9, abi.CopySend)
	if n := used(b.s); n != usedB {
		t.Errorf("%d bytes are left", n-usedB)
	}
	w.m.Advance(200)
	if m := a.alarmed(ask); m[0] != 10 {
		t.Errorf("alarm %v", m)
	}
	a.want(abi.ESRCH, abi.CallAlarmCancel, other)

	// Who ends for good has no alarms: its send-once rights say so.
	got := a.give(b, right{ask, abi.MakeSendOnce})
	b.ok(abi.CallAlarmSet, 1000, got, 11, abi.MoveSendOnce)
	b.s.Discard()
	w.run()
	w.check()
	if m := a.must(ask); m.ID != abi.MsgNotify+abi.NotifySendOnce {
		t.Errorf("message %d", m.ID)
	}
	w.m.Advance(1000)
	if _, err := a.receive(ask); err != abi.EAGAIN {
		t.Errorf("an alarm of nobody's: %v", err)
	}
	w.end()
}

// An alarm to a full queue waits for room, as a message does.
func TestAlarmFull(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	a := w.server("a", 0)
	p := a.port()
	a.ok(abi.CallPortLimit, p, 1)
	for i := range uint64(3) {
		a.ok(abi.CallAlarmSet, 10, p, i, abi.MakeSend)
	}
	w.m.Advance(10)
	w.check()
	if i := a.s.Ports(); i[0].Queued != 1 || i[0].Blocked != 2 {
		t.Errorf("%d are queued, %d wait", i[0].Queued, i[0].Blocked)
	}
	for i := range uint64(3) {
		if m := a.alarmed(p); m[0] != i || m[2] != 10 {
			t.Errorf("alarm %v", m)
		}
	}
	w.end()
}

// A server's alarms outlive its process. The next one is told of them, and finds the
// messages of those that went off meanwhile.
func TestAlarmEstate(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	a := w.server("a", 0)
	p := a.port()
	a.ok(abi.CallAlarmSet, 10, p, 1, abi.MakeSendOnce)
	a.ok(abi.CallAlarmSet, 1000, p, 2, abi.MakeSendOnce)
	third := a.ok(abi.CallAlarmSet, 500, p, 3, abi.MakeSendOnce)
	a.die()
	w.m.Advance(10)
	w.check()
	if fmt.Sprint(w.log) != "[dead a wanted a]" {
		t.Errorf("told %v", w.log)
	}
	var told []string
	for _, e := range a.start() {
		if e.Op == abi.EventInherit && e.A[1] == abi.RightAlarm {
			told = append(told, fmt.Sprint(e.A[0], e.A[2], e.A[3]))
		}
	}
	if fmt.Sprint(told) != "[2 2 1000 3 3 500]" {
		t.Errorf("inherited %v", told)
	}
	if m := a.alarmed(p); m[0] != 1 {
		t.Errorf("alarm %v", m)
	}
	a.ok(abi.CallAlarmCancel, third)
	w.m.Advance(990)
	if m := a.alarmed(p); m[0] != 2 {
		t.Errorf("alarm %v", m)
	}
	w.end()
}

// A guest's alarms are in its own budget, which they can use up, and nobody else's.
func TestAlarmBudget(t *testing.T) {
	w := newWorld(t, nucleus.Limits{GuestMemory: 64 << 10})
	u := w.server("unix", nucleus.PowerTasks)
	box, first := u.sendable()
	g := u.guest()
	u.open(g, first)
	p := g.port()
	before := used(u.s)
	n := 0
	for ; ; n++ {
		e := g.quick(abi.CallAlarmSet, nil, 1000, p, uint64(n), abi.MakeSendOnce)
		if e.Err != 0 {
			if abi.Errno(e.Err) != abi.EAGAIN {
				t.Error(abi.Errno(e.Err))
			}
			break
		}
	}
	if n < 50 || n > 64<<10/nucleus.AlarmCost {
		t.Errorf("%d alarms", n)
	}
	w.check()
	w.m.Advance(1000)
	w.check()
	for i := range n {
		if m := g.alarmed(p); m[0] != uint64(i) {
			t.Fatalf("alarm %v in place of %d", m, i)
		}
	}
	// It can have as many again, also to others, who pay for nothing.
	for i := range n {
		g.ok(abi.CallAlarmSet, 2000, g.first, uint64(i), abi.CopySend)
	}
	g.want(abi.EAGAIN, abi.CallAlarmSet, 2000, g.first, 0, abi.CopySend)
	w.m.Advance(500)
	g.gone()
	w.m.Advance(1000)
	w.check()
	if _, err := u.receive(box); err != abi.EAGAIN || used(u.s) != before {
		t.Errorf("a dead guest's alarm: %v, %d bytes", err, used(u.s)-before)
	}
	w.end()
}
