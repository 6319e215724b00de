package nucleus_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"hythe/abi"
	"hythe/nucleus"
	"hythe/nucleus/message"
)

// one is a call in a batch.
type one struct {
	op   uint32
	data []byte
	a    []uint64
}

type result struct {
	err abi.Errno
	a0  uint64
}

// batch makes calls in one datagram, of which the first has the ID first.
func (p *proc) batch(flags, first uint64, calls ...one) (event, []result) {
	p.w.t.Helper()
	var b []byte
	for i, c := range calls {
		b = message.PutBatch(b, c.op, c.data, c.a...)
		p.asked[first+uint64(i)] = c.op
	}
	e := p.callData(abi.CallBatch, b, flags, first)
	return e, results(e)
}

func results(e event) (l []result) {
	for b := e.data; len(b) >= abi.BatchResultSize; b = b[abi.BatchResultSize:] {
		l = append(l, result{abi.Errno(binary.LittleEndian.Uint32(b)), binary.LittleEndian.Uint64(b[8:])})
	}
	return l
}

// A thousand ports, whose names the task chooses, are made by one datagram and told of by
// one, and so are a thousand objects and what is done with all of them.
func TestThousandAtOnce(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	defer w.end()
	a := w.server("a", 0)
	answers := 0
	w.heard = func(p *proc, _ *event) { answers++ }
	var make, use, drop []one
	for i := range uint64(1000) {
		n := 1<<26 + i
		make = append(make, one{abi.CallPortAllocate, nil, []uint64{abi.RightReceive, 0, n}})
		use = append(use, one{abi.CallPortMakeSend, nil, []uint64{n}})
		drop = append(drop, one{abi.CallPortModRefs, nil, []uint64{n, abi.RightReceive, ^uint64(0)}})
	}
	for _, l := range [][]one{make, use, drop} {
		e, r := a.batch(0, 1<<40, l...)
		if e.Err != 0 || e.A[0] != 1000 || e.A[1] != 0 || len(r) != 1000 {
			t.Fatalf("%+v, %d results", e.CallHeader, len(r))
		}
		if l[0].op == abi.CallPortAllocate && r[999] != (result{0, 1<<26 + 999}) {
			t.Fatalf("the last: %+v", r[999])
		}
	}
	if answers != 3 {
		t.Errorf("%d answers to 3 datagrams", answers)
	}
	if mask, urefs := a.status(1<<26 + 500); mask != 1<<abi.RightDead || urefs != 1 {
		t.Errorf("a port that was dropped: %b, %d", mask, urefs)
	}
	var objects []one
	for i := range uint64(500) {
		objects = append(objects, one{abi.CallObjectCreate, nil, []uint64{4096, 0, 0, 0, 0, 1<<27 + i}})
	}
	if e, _ := a.batch(0, 1<<40, objects...); e.A[0] != 500 || e.A[1] != 0 || e.fds != 0 {
		t.Errorf("objects: %+v, %d descriptors", e.CallHeader, e.fds)
	}
	if e := a.call(abi.CallObjectFD, 1<<27+499); e.Err != 0 || e.fds != 1 {
		t.Errorf("the last object: %+v", e.CallHeader)
	}
}

// The names that a task chooses.
func TestChosenNames(t *testing.T) {
	w := newWorld(t, nucleus.Limits{Names: 4})
	defer w.end()
	a := w.server("a", 0)
	if n := a.ok(abi.CallPortAllocate, abi.RightReceive, 0, 7); n != 7 {
		t.Errorf("name %d", n)
	}
	a.want(abi.EEXIST, abi.CallPortAllocate, abi.RightReceive, 0, 7)
	a.want(abi.EEXIST, abi.CallPortAllocate, abi.RightSet, 0, 7)
	a.want(abi.EEXIST, abi.CallObjectCreate, 4096, 0, 0, 0, 0, 7)
	for _, bad := range []uint64{uint64(abi.NameDead), 1 << 32, ^uint64(0)} {
		a.want(abi.EINVAL, abi.CallPortAllocate, abi.RightReceive, 0, bad)
		a.want(abi.EINVAL, abi.CallObjectCreate, 4096, 0, 0, 0, 0, bad)
	}
	if n := a.ok(abi.CallPortAllocate, abi.RightSet, 0, 8); n != 8 {
		t.Errorf("set %d", n)
	}
	a.ok(abi.CallPortSetMember, 7, 8)
	if n := a.ok(abi.CallObjectCreate, 4096, 0, 0, 0, 0, 9); n != 9 {
		t.Errorf("object %d", n)
	}
	// What the nucleus would choose next is no obstacle, nor is it given twice.
	next := a.port()
	a.want(abi.ENOSPC, abi.CallPortAllocate, abi.RightReceive, 0, 11)
	a.ok(abi.CallPortModRefs, next, abi.RightReceive, ^uint64(0))
	if n := a.ok(abi.CallPortAllocate, abi.RightReceive, 0, next+1); n != next+1 {
		t.Errorf("name %#x", n)
	}
	a.ok(abi.CallPortDeallocate, 9)
	if n := a.port(); n == next || n == next+1 {
		t.Errorf("name %#x again", n)
	}
}

// What a batch does with calls that fail, that cannot be in one, and that wait.
func TestBatch(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	defer w.end()
	a, b := w.server("a", 0), w.server("b", 0)
	box := b.port()
	to := b.give(a, right{box, abi.MakeSend})
	b.ok(abi.CallPortLimit, box, 2)
	letter := func(id uint32, wait uint64, next uint64) one {
		return one{abi.CallMsgSend, message.Put(nil, msg(to, abi.CopySend, right{}, id)), []uint64{wait, next}}
	}
	errs := func(l []result) (e []abi.Errno) {
		for _, r := range l {
			e = append(e, r.err)
		}
		return e
	}
	calls := []one{
		letter(1, 0, 0),
		{abi.CallPortDeallocate, nil, []uint64{12345}},
		letter(2, abi.Forever, 0),
		letter(3, abi.Forever, 0), // waits
		letter(4, 0, 0),
		letter(5, abi.Forever, 0), // waits
		letter(6, 0, to),          // would receive
		{abi.CallMsgReceive, nil, []uint64{box, 0}},
		{abi.CallPortStatus, nil, []uint64{to}},
		{abi.CallBatch, nil, nil},
		{abi.CallTaskCreate, nil, []uint64{0, 1}},
		{63, nil, nil},
		{60000, nil, nil},
		{abi.CallPortMakeSend, []byte("x"), []uint64{to}},
	}
	want := []abi.Errno{0, abi.EBADF, 0, abi.EINPROGRESS, abi.EAGAIN, abi.EINPROGRESS,
		abi.EINVAL, abi.EINVAL, abi.EINVAL, abi.EINVAL, abi.EINVAL, abi.ENOSYS, abi.ENOSYS, abi.EINVAL}
	e, r := a.batch(0, 5000, calls...)
	if got := errs(r); !slices.Equal(got, want) || e.A[0] != uint64(len(calls)) || e.A[1] != 10 {
		t.Errorf("%v, %+v, want %v", got, e.CallHeader, want)
	}
	// Completions come in the order in which things are done, not in that of the calls:
	// the first that waits is cancelled after the second one has been let in.
	b.ok(abi.CallPortLimit, box, 2)
	if x, ok := a.reply(5003); ok {
		t.Errorf("done: %+v", x.CallHeader)
	}
	a.ok(abi.CallMsgCancel, 5005)
	if x, ok := a.reply(5005); !ok || abi.Errno(x.Err) != abi.ECANCELED {
		t.Errorf("cancelled: %v %+v", ok, x.CallHeader)
	} else if m, err := message.Get(x.data); err != 0 || m.ID != 5 {
		t.Errorf("what comes back: %v, %+v", err, m)
	}
	for id := uint32(1); id <= 3; id++ {
		if m := b.must(box); m.ID != id && !(id == 1 && m.ID == 1) {
			t.Errorf("message %d, want %d", m.ID, id)
		}
	}
	if x, ok := a.reply(5003); !ok || x.Err != 0 {
		t.Errorf("let in: %v %+v", ok, x.CallHeader)
	}
	// Stop.
	e, r = a.batch(abi.BatchStop, 6000, letter(1, 0, 0), one{abi.CallPortDeallocate, nil, []uint64{12345}}, letter(2, 0, 0))
	if got := errs(r); !slices.Equal(got, []abi.Errno{0, abi.EBADF}) || e.A[0] != 2 || e.A[1] != 1 {
		t.Errorf("stop: %v %+v", got, e.CallHeader)
	}
	b.must(box)
	if _, err := b.receive(box); err != abi.EAGAIN {
		t.Errorf("behind the one that failed: %v", err)
	}
	// No batch.
	for _, c := range []struct {
		data  []byte
		flags uint64
		err   abi.Errno
	}{
		{nil, 0, 0},
		{nil, 2, abi.EINVAL},
		{make([]byte, 7), 0, abi.EINVAL},
		{[]byte{1, 0, 7, 0, 0, 0, 0, 0}, 0, abi.EINVAL},
		{[]byte{1, 0, 0, 1, 0, 0, 0, 0}, 0, abi.EINVAL},
		{[]byte{1, 0, 0, 0, 1, 0, 0, 0}, 0, abi.EINVAL},
		{[]byte{1, 0, 0, 0, 255, 255, 255, 255}, 0, abi.EINVAL},
		{append(message.PutBatch(nil, abi.CallPortAllocate, nil, abi.RightReceive), 1, 0, 1, 0, 0, 0, 0, 0), 0, abi.EINVAL},
		{make([]byte, abi.BatchCallSize*(abi.MaxBatch+1)), 0, abi.EMSGSIZE},
		{make([]byte, abi.BatchCallSize*abi.MaxBatch), 0, 0},
	} {
		before := len(a.s.Ports())
		if e := a.callData(abi.CallBatch, c.data, c.flags, 1<<50); abi.Errno(e.Err) != c.err {
			t.Errorf("%x, flags %d: %v, want %v", c.data[:min(len(c.data), 16)], c.flags, abi.Errno(e.Err), c.err)
		}
		if len(a.s.Ports()) != before {
			t.Errorf("%x: something was done", c.data[:min(len(c.data), 16)])
		}
	}
	// The budget is that of each call.
	l := newWorld(t, nucleus.Limits{Memory: 4096})
	defer l.end()
	p := l.server("p", 0)
	var many []one
	for range 20 {
		many = append(many, one{abi.CallPortAllocate, nil, []uint64{abi.RightReceive}})
	}
	if e, _ := p.batch(0, 1<<40, many...); e.A[0] != 20 || e.A[1] != 12 {
		t.Errorf("with a budget for 8: %+v", e.CallHeader)
	}
}

// A rights that a batch makes is there for what follows in it; what dies in it dies
// before the next call.
func TestBatchSettles(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	defer w.end()
	a := w.server("a", 0)
	_, r := a.batch(0, 1<<40,
		one{abi.CallPortAllocate, nil, []uint64{abi.RightReceive, 0, 7}},
		one{abi.CallPortMakeSend, nil, []uint64{7}},
		one{abi.CallPortModRefs, nil, []uint64{7, abi.RightReceive, ^uint64(0)}},
		one{abi.CallMsgSend, message.Put(nil, msg(7, abi.CopySend, right{}, 1)), nil},
		one{abi.CallPortDeallocate, nil, []uint64{7}},
		one{abi.CallPortAllocate, nil, []uint64{abi.RightReceive, 0, 7}},
	)
	want := []result{{0, 7}, {}, {}, {abi.EPIPE, 0}, {}, {0, 7}}
	if !slices.Equal(r, want) {
		t.Errorf("%+v, want %+v", r, want)
	}
}
