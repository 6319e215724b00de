package nucleus_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"hythe/abi"
	"hythe/machine"
	"hythe/machine/sim"
	"hythe/nucleus"
	"hythe/nucleus/message"
)

const pg = abi.PageSize

// paged is a pager with an object of ten pages.
type paged struct {
	*proc
	port, object uint64
}

func newPaged(w *world) *paged {
	p := &paged{proc: w.server("pager", 0)}
	p.port = p.proc.port()
	p.object = p.callData(abi.CallObjectCreate, []byte("paged"), 10*pg, abi.ObjectPaged, 0, p.port, 77).A[0]
	return p
}

// requests are the pages asked for, in order: offset and access.
func (p *paged) requests() (l [][2]uint64) {
	p.w.t.Helper()
	for {
		m, err := p.receive(p.port)
		if err != 0 {
			return l
		}
		le := binary.LittleEndian
		if m.ID != abi.MsgPageRequest || le.Uint64(m.Body) != 77 || le.Uint64(m.Body[16:]) != pg {
			p.w.t.Fatalf("%+v", m)
		}
		l = append(l, [2]uint64{le.Uint64(m.Body[8:]) / pg, le.Uint64(m.Body[24:])})
	}
}

func (p *paged) want(l ...[2]uint64) {
	p.w.t.Helper()
	if got := p.requests(); fmt.Sprint(got) != fmt.Sprint(l) {
		p.w.t.Errorf("asked for %v, want %v", got, l)
	}
}

func (p *paged) pages(what, page, n uint64) abi.Errno {
	p.w.t.Helper()
	return abi.Errno(p.call(abi.CallObjectPages, p.object, what, page*pg, n*pg).Err)
}

// mapIt maps pages of the object at an address of p's.
func (p *proc) mapIt(object, base, page, n uint64) (*sim.Faults, abi.Errno) {
	p.w.t.Helper()
	h, f := p.w.m.NewFaults()
	e, ok := p.reply(p.post(abi.CallObjectWatch, nil, []machine.Handle{h}, object, base, page*pg, n*pg))
	if !ok {
		p.w.t.Fatal("not answered")
	}
	return f, abi.Errno(e.Err)
}

// hand gives a paged object to q.
func (p *paged) hand(q *proc) uint64 {
	p.w.t.Helper()
	box := q.port()
	q.callData(abi.CallPortLabel, []byte("box"), box)
	to, err := p.s.GiveSend("", q.s, "box")
	if err != nil {
		p.w.t.Fatal(err)
	}
	m := msg(uint64(to), abi.MoveSend, right{}, 1)
	m.Objects = []abi.ObjectDesc{{Name: abi.Name(p.object), Len: 10 * pg}}
	if err := p.send(m); err != 0 {
		p.w.t.Fatal(err)
	}
	got := q.must(box)
	q.ok(abi.CallPortModRefs, box, abi.RightReceive, ^uint64(0))
	return uint64(got.Objects[0].Name)
}

// TestPaged: faults become requests, one for each page, and the pager's answers reach
// every mapping and no more than the mapping.
func TestPaged(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	p, a, b := newPaged(w), w.server("a", 0), w.server("b", 0)
	oa, ob := p.hand(a), p.hand(b)
	fa, e := a.mapIt(oa, 0x10000, 0, 10)
	if e != 0 {
		t.Fatal(e)
	}
	fb, e := b.mapIt(ob, 0x70000, 4, 2) // pages 4 and 5
	if e != 0 {
		t.Fatal(e)
	}
	used0 := used(a.s)
	fa.Fault(0x10000+3*pg+17, false, false)
	fa.Fault(0x10000+4*pg, true, false)
	fb.Fault(0x70000+5, false, false) // page 4, asked for already
	fb.Fault(0x70000+2*pg, false, false)
	fb.Fault(0x6f000, false, false) // not of the mapping
	w.run()
	w.check()
	if used(a.s) == used0 {
		t.Error("who faults does not pay")
	}
	p.want([2]uint64{3, 0}, [2]uint64{4, 1})
	if used(a.s) == used0 {
		t.Error("not answered, and free")
	}
	if e := p.pages(abi.PagesSupply, 3, 3); e != 0 {
		t.Error(e)
	}
	if used(a.s) != used0 {
		t.Error("answered, and paid for still")
	}
	if s := fmt.Sprint(fa.Woken, fb.Woken); s != fmt.Sprint([][2]uint64{{0x10000 + 3*pg, 3 * pg}}, [][2]uint64{{0x70000, 2 * pg}}) {
		t.Error(s)
	}
	fa.Fault(0x10000+3*pg, false, false) // gone again meanwhile: asked for anew
	w.run()
	p.want([2]uint64{3, 0})
	if e := p.pages(abi.PagesUnavailable, 3, 1); e != 0 {
		t.Error(e)
	}
	// Locked, also where it is mapped later; a write waits and asks for nothing.
	if e := p.pages(abi.PagesLock, 4, 1); e != 0 {
		t.Error(e)
	}
	if e := p.pages(abi.PagesLock, 4, 1); e != 0 {
		t.Errorf("again: %v", e)
	}
	fc, e := b.mapIt(ob, 0x90000, 0, 10)
	if e != 0 || len(fa.Protected) != 1 || len(fb.Protected) != 1 || fmt.Sprint(fc.Protected) != fmt.Sprint([][2]uint64{{0x90000 + 4*pg, pg}}) {
		t.Errorf("%v, %v %v %v", e, fa.Protected, fb.Protected, fc.Protected)
	}
	fa.Fault(0x10000+4*pg, true, true)
	w.run()
	p.want()
	for _, e := range []abi.Errno{p.pages(abi.PagesLock, 3, 2), p.pages(abi.PagesFlush, 4, 2), p.pages(abi.PagesUnlock, 3, 1)} {
		if e != abi.EINVAL {
			t.Errorf("a range that is not the locked one: %v", e)
		}
	}
	if e := p.pages(abi.PagesFlush, 4, 1); e != 0 || len(fa.Protected)+len(fb.Protected)+len(fc.Protected) != 0 {
		t.Errorf("flush: %v", e)
	}
	// An error is an error for who waits, in all mappings.
	fa.Fault(0x10000+9*pg, false, false)
	w.run()
	p.want([2]uint64{9, 0})
	if e := p.pages(abi.PagesError, 9, 1); e != 0 || len(fa.Poisoned) != 1 || len(fb.Poisoned) != 0 || len(fc.Poisoned) != 1 {
		t.Errorf("error: %v", e)
	}
	// What a mapper's end leaves is nothing; its request is answered to nobody.
	fa.Fault(0x10000, false, false)
	w.run()
	a.die()
	if !fa.Closed() {
		t.Error("the mapping of a dead task is watched")
	}
	p.want([2]uint64{0, 0})
	b.ok(abi.CallObjectUnwatch, 0x90000)
	b.want(abi.ESRCH, abi.CallObjectUnwatch, 0x90000)
	if !fc.Closed() {
		t.Error("unmapped, and watched")
	}
	w.end()
}

// TestPagerDies: a request that a dead pager had taken comes to its next incarnation, one
// that was in the queue too, and each once; if there is no next, the pages are refused.
func TestPagerDies(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	p, a := newPaged(w), w.server("a", 0)
	oa := p.hand(a)
	fa, _ := a.mapIt(oa, 0x10000, 0, 10)
	fa.Fault(0x10000+2*pg, false, false)
	fa.Fault(0x10000+1*pg, true, false)
	w.run()
	p.want([2]uint64{2, 0}, [2]uint64{1, 1})
	fa.Fault(0x10000+5*pg, false, false)
	w.run()
	p.die()
	fa.Fault(0x10000+1*pg, true, false) // another thread
	w.run()
	p.start()
	p.want([2]uint64{5, 0}, [2]uint64{1, 1}, [2]uint64{2, 0})
	if e := p.pages(abi.PagesSupply, 1, 1); e != 0 {
		t.Error(e)
	}
	p.die()
	p.start()
	p.want([2]uint64{2, 0}, [2]uint64{5, 0})
	// Who asked first is gone: nobody pays, it comes all the same.
	c := w.server("c", 0)
	oc := p.hand(c)
	fc, _ := c.mapIt(oc, 0x40000, 2, 1)
	a.die()
	a.s.Discard()
	w.run()
	p.die()
	p.start()
	p.want([2]uint64{2, 0}, [2]uint64{5, 0})
	if e := p.pages(abi.PagesLock, 3, 1); e != 0 {
		t.Error(e)
	}
	fd, _ := c.mapIt(oc, 0x80000, 3, 1)
	if len(fd.Protected) != 1 {
		t.Error("not locked")
	}
	p.s.Discard()
	w.run()
	w.check()
	if len(fd.Protected) != 0 {
		t.Error("locked by nobody")
	}
	if len(fc.Poisoned) != 1 {
		t.Errorf("the pager is gone for good: %v", fc.Poisoned)
	}
	fc.Fault(0x40000, false, false)
	w.run()
	if len(fc.Poisoned) != 2 {
		t.Errorf("and later: %v", fc.Poisoned)
	}
	fc.NoPoison = true
	fc.Fault(0x40000, false, false)
	w.run()
	if !c.c.Killed {
		t.Error("a thread waits for ever")
	}
	w.end()
}

// TestPagedHostile: what pagers and mappers can ask for wrongly.
func TestPagedHostile(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	p, a := newPaged(w), w.server("a", 0)
	oa := p.hand(a)
	bad := func(err abi.Errno, args ...uint64) {
		t.Helper()
		if e := p.callData(abi.CallObjectCreate, nil, args...); abi.Errno(e.Err) != err {
			t.Errorf("create %v: %v", args, abi.Errno(e.Err))
		}
	}
	bad(abi.EBADF, pg, abi.ObjectPaged, 0, 4711, 1)
	bad(abi.EBADF, pg, abi.ObjectPaged, 0, 1<<33, 1)
	bad(abi.EPERM, pg, abi.ObjectPaged, 0, p.object, 1)
	bad(abi.EINVAL, pg+1, abi.ObjectPaged, 0, p.port, 1)
	bad(abi.EINVAL, pg, abi.ObjectPaged|abi.ObjectShrinks, 0, p.port, 1)
	bad(abi.EINVAL, pg, 4, 0, p.port, 1)
	plain := a.callData(abi.CallObjectCreate, nil, pg).A[0]
	for _, m := range [][4]uint64{ // object, base, page, pages
		{plain, 0x10000, 0, 1}, {oa, 0x10001, 0, 1}, {oa, 0x10000, 0, 11}, {oa, 0x10000, 10, 1}, {oa, ^uint64(0) - pg + 1, 0, 1}, {oa, 0x10000, 1 << 51, 1}, {oa, 0x10000, 1, ^uint64(0) / pg},
	} {
		if _, e := a.mapIt(m[0], m[1], m[2], m[3]); e != abi.EINVAL {
			t.Errorf("map %v: %v", m, e)
		}
	}
	if _, e := a.mapIt(99999, 0x10000, 0, 1); e != abi.EBADF {
		t.Error(e)
	}
	// No descriptor of the right kind, or none.
	bell, _ := w.m.NewDoorbell()
	if e, _ := a.reply(a.post(abi.CallObjectWatch, nil, []machine.Handle{bell}, oa, 0x10000, 0, pg)); abi.Errno(e.Err) != abi.EINVAL {
		t.Error(abi.Errno(e.Err))
	}
	a.want(abi.EINVAL, abi.CallObjectWatch, oa, 0x10000, 0, pg)
	// A mapper is no pager, and a pager of one object none of another.
	a.want(abi.EPERM, abi.CallObjectPages, oa, abi.PagesSupply, 0, pg)
	p.proc.want(abi.EINVAL, abi.CallObjectPages, p.object, abi.PagesSupply, 1, pg)
	for _, q := range [][3]uint64{{0, 0, 1}, {99, 0, 1}, {abi.PagesSupply, 0, 0}, {abi.PagesSupply, 9, 2}, {abi.PagesSupply, 1 << 51, 1}, {abi.PagesUnlock, 0, 1}, {abi.PagesFlush, 0, 1}} {
		if e := p.pages(q[0], q[1], q[2]); e != abi.EINVAL {
			t.Errorf("%v: %v", q, e)
		}
	}
	w.m.FailNext(sim.OpFill, 1)
	if e := p.pages(abi.PagesUnavailable, 0, 1); e != abi.ENOMEM {
		t.Error(e)
	}
	// To read only it is given to nobody: a page that a stranger's look made would be there.
	box := a.port()
	a.callData(abi.CallPortLabel, []byte("box"), box)
	to, _ := p.s.GiveSend("", a.s, "box")
	for _, flags := range []uint32{1, 2, 3} {
		m := msg(uint64(to), abi.CopySend, right{}, 1)
		m.Objects = []abi.ObjectDesc{{Name: abi.Name(p.object), Len: pg, Flags: flags}}
		if err := p.send(m); err != abi.EINVAL {
			t.Errorf("flags %d: %v", flags, err)
		}
	}
	p.proc.want(abi.EINVAL, abi.CallObjectFD, p.object, 1)
	// Who makes something else of its mapping ends, or the host cannot; the pager and
	// other mappings go on.
	f, e := a.mapIt(oa, 0x10000, 0, 10)
	if e != 0 {
		t.Fatal(e)
	}
	for _, what := range []uint64{abi.PagesLock, abi.PagesFlush, abi.PagesError} {
		bad := w.server("bad", 0)
		fb, e := bad.mapIt(p.hand(bad), 0x10000, 0, 10)
		fb.NoProtect, fb.NoPoison = true, true
		if e != 0 {
			t.Fatal(e)
		}
		if e := p.pages(what, 0, 1); e != 0 || !bad.c.Killed || a.c.Killed {
			t.Errorf("%d: %v, ended: %v, %v", what, e, bad.c.Killed, a.c.Killed)
		}
		if locked := len(f.Protected); locked != 0 && what != abi.PagesLock {
			t.Errorf("%d: %d locked", what, locked)
		}
		bad.s.Discard()
		w.run()
	}
	// As many as there may be.
	for i := uint64(1); ; i++ {
		if _, e := a.mapIt(oa, 0x100000*(i+1), 0, 1); e == abi.EAGAIN && i == 64 {
			break
		} else if e != 0 {
			t.Fatalf("mapping %d: %v", i, e)
		}
	}
	// A message that looks like a request is one as all others: the pager gave nobody the
	// right. What a fault brings while nobody receives waits in the queue, without limit but
	// that of pages.
	for i := range uint64(10) {
		f.Fault(0x10000+i*pg, false, false)
		f.Fault(0x10000+i*pg, false, false)
	}
	w.run()
	if got := len(p.requests()); got != 10 {
		t.Errorf("%d requests", got)
	}
	// The port goes on to another task: that one is the pager.
	box = a.port()
	a.callData(abi.CallPortLabel, []byte("box2"), box)
	to, _ = p.s.GiveSend("", a.s, "box2")
	if err := p.send(msg(uint64(to), abi.MoveSend, right{}, 1, right{p.port, abi.MoveReceive})); err != 0 {
		t.Fatal(err)
	}
	a.must(box)
	if e := p.pages(abi.PagesSupply, 0, 1); e != abi.EPERM {
		t.Error(e)
	}
	a.ok(abi.CallObjectPages, oa, abi.PagesSupply, 0, pg)
	_ = message.Put
	w.end()
}

// TestPagedBudget: a task that goes from page to page, though none was supplied, ends when
// its budget is used up.
func TestPagedBudget(t *testing.T) {
	w := newWorld(t, nucleus.Limits{Memory: 3 << 10})
	p, a := newPaged(w), w.server("a", 0)
	fa, e := a.mapIt(p.hand(a), 0x10000, 0, 10)
	if e != 0 {
		t.Fatal(e)
	}
	asked := 0
	for i := range uint64(10) {
		fa.Fault(0x10000+i*pg, false, false)
		w.run()
		asked += len(p.requests())
	}
	if !a.c.Killed || asked == 0 || asked == 10 {
		t.Errorf("%d pages asked for, ended: %v", asked, a.c.Killed)
	}
	a.die()
	w.check()
	if e := p.pages(abi.PagesSupply, 0, 10); e != 0 || used(a.s) != 0 {
		t.Errorf("%v, %d bytes", e, used(a.s))
	}
	w.end()
}
