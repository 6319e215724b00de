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

// requests are the pages asked for, in order: offset and access. For messages that
// nobody else has the object, and that it is gone, {99, 0} and {99, 1}.
func (p *paged) requests() (l [][2]uint64) {
	p.w.t.Helper()
	for {
		m, err := p.receive(p.port)
		if err != 0 {
			return l
		}
		le := binary.LittleEndian
		if m.ID == abi.MsgPageTerminate && le.Uint64(m.Body) == 77 && len(m.Body) == 16 {
			l = append(l, [2]uint64{99, le.Uint64(m.Body[8:])})
			continue
		}
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
	fa.Woken, fb.Woken = nil, nil
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

// TestPagedThere: what is there is not asked for, and so not stored over what was written
// since: by news that comes after the page, and by a pager that died before it had said
// that it had stored it.
func TestPagedThere(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	p, a, b := newPaged(w), w.server("a", 0), w.server("b", 0)
	fa, _ := a.mapIt(p.hand(a), 0x10000, 0, 10)
	fb, _ := b.mapIt(p.hand(b), 0x80000, 2, 4)
	fa.Fault(0x10000+3*pg, false, false)
	w.run()
	p.want([2]uint64{3, 0})
	if e := p.callData(abi.CallObjectPages, make([]byte, pg), p.object, abi.PagesSupply, 3*pg, pg); e.Err != 0 {
		t.Error(abi.Errno(e.Err))
	}
	fa.Woken, fb.Woken = nil, nil
	fb.Fault(0x80000+pg+5, true, false)
	w.run()
	p.want()
	if got := fmt.Sprint(fa.Woken, fb.Woken); got != fmt.Sprint([][2]uint64(nil), [][2]uint64{{0x80000 + pg, pg}}) {
		t.Error(got)
	}
	if e := p.pages(abi.PagesLock, 3, 1) | p.pages(abi.PagesFlush, 3, 1); e != 0 {
		t.Error(e)
	}
	if e := p.call(abi.CallPagerAttrs, p.object, 4, 0); e.Err != 0 {
		t.Error(abi.Errno(e.Err))
	}
	fb.Fault(0x80000+pg, true, false) // with three behind it
	fa.Fault(0x10000+8*pg, false, false)
	w.run()
	for range 2 {
		if _, err := p.receive(p.port); err != 0 {
			t.Error(err)
		}
	}
	e := p.call(abi.CallObjectFD, p.object)
	if e.fds != 1 || w.m.FillPages(e.kind[0], 4*pg, pg) != nil {
		t.Error("no descriptor")
	}
	fa.Woken, fb.Woken = nil, nil
	p.die()
	p.start()
	m, err := p.receive(p.port)
	if err != 0 || binary.LittleEndian.Uint64(m.Body[8:]) != 8*pg {
		t.Errorf("%v %v", m, err)
	}
	if got := fmt.Sprint(fa.Woken, fb.Woken); got != fmt.Sprint([][2]uint64{{0x10000 + 3*pg, 4 * pg}}, [][2]uint64{{0x80000 + pg, 3 * pg}}) {
		t.Error(got)
	}
	fb.Fault(0x80000+pg, true, false) // which is asked for again, alone
	w.run()
	p.want([2]uint64{3, 1})
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
	bad(abi.EINVAL, pg, 8, 0, p.port, 1)
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
		id := p.post(abi.CallObjectPages, nil, nil, p.object, what, 0, pg)
		for range 1000 {
			w.m.Advance(1e6)
			w.run()
		}
		if e, ok := p.reply(id); !ok || e.Err != 0 || !bad.c.Killed || a.c.Killed {
			t.Errorf("%d: %v %v, ended: %v, %v", what, ok, abi.Errno(e.Err), bad.c.Killed, a.c.Killed)
		}
		if locked := len(f.Protected); locked != 0 && what != abi.PagesLock {
			t.Errorf("%d: %d locked", what, locked)
		}
		bad.s.Discard()
		w.run()
	}
	// Who keeps the host from locking it has thirty seconds, for one try or many.
	for _, first := range []uint64{0, 20e9} {
		stall := w.server("stall", 0)
		fs, _ := stall.mapIt(p.hand(stall), 0x10000, 0, 10)
		fs.Stalled = true
		id := p.post(abi.CallObjectPages, nil, nil, p.object, abi.PagesLock, 0, pg)
		if first > 0 {
			w.m.Advance(first)
			fs.Answer(abi.EAGAIN)
			w.run()
		}
		w.m.Advance(30e9 - first - 1)
		if _, ok := p.reply(id); ok || stall.c.Killed {
			t.Errorf("answered: %v, ended: %v", ok, stall.c.Killed)
		}
		w.m.Advance(1)
		w.run()
		if e, ok := p.reply(id); !ok || e.Err != 0 || !stall.c.Killed || a.c.Killed {
			t.Errorf("%v, ended: %v, %v", ok, stall.c.Killed, a.c.Killed)
		}
		stall.s.Discard()
		if e := p.pages(abi.PagesUnlock, 0, 1); e != 0 {
			t.Error(e)
		}
	}
	w.m.Advance(60e9)
	w.run()
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

// TestPagedPieces: a mapping that is unmapped in part, or moved, is watched as far as it is
// there, and where it is.
func TestPagedPieces(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	p, a := newPaged(w), w.server("a", 0)
	f, e := a.mapIt(p.hand(a), 0x10000, 0, 10)
	if e != 0 {
		t.Fatal(e)
	}
	f.Unmap(0x10000+4*pg, pg)
	f.Move(0x10000+6*pg, 0x80000, 2*pg)
	f.Fault(0x10000+4*pg, false, false)
	f.Fault(0x10000+6*pg, false, false)
	f.Fault(0x80000+pg, true, false)
	f.Fault(0x10000+9*pg, false, false)
	f.Fault(0x10000, false, false)
	w.run()
	p.want([2]uint64{7, 1}, [2]uint64{9, 0}, [2]uint64{0, 0})
	f.Woken = nil
	if e := p.pages(abi.PagesSupply, 0, 10); e != 0 {
		t.Error(e)
	}
	if got, want := fmt.Sprint(f.Woken), fmt.Sprint([][2]uint64{{0x10000, 4 * pg}, {0x10000 + 5*pg, pg}, {0x80000, 2 * pg}, {0x10000 + 8*pg, 2 * pg}}); got != want {
		t.Errorf("woken %v, want %v", got, want)
	}
	// A lock that comes while the news of an unmapping is under way.
	f.NoProtect = true
	id := p.post(abi.CallObjectPages, nil, nil, p.object, abi.PagesLock, 5*pg, pg)
	if _, ok := p.reply(id); ok {
		t.Error("locked, and it cannot be")
	}
	f.Unmap(0x10000, 6*pg)
	for range 3 {
		w.run()
		w.m.Advance(1e6)
	}
	w.run()
	if e, ok := p.reply(id); !ok || e.Err != 0 || a.c.Killed {
		t.Error("who has unmapped a page keeps its pager")
	}
	f.NoProtect = false
	// What is left goes, and with it the mapping.
	f.Unmap(0x80000, 2*pg)
	f.Unmap(0x10000+8*pg, 2*pg)
	w.run()
	if !f.Closed() {
		t.Error("nothing is left, and it is watched")
	}
	a.want(abi.ESRCH, abi.CallObjectUnwatch, 0x10000)
	// In too many pieces.
	o := p.hand(a)
	f, _ = a.mapIt(o, 0x10000, 0, 10)
	for i := range uint64(9) {
		f.Unmap(0x10000+i*pg, pg/2) // no host does this; a piece is a piece
		f.Move(0x10000+i*pg+pg/2, 0x100000+i*pg*8, pg/4)
	}
	for i := range uint64(40) {
		f.Move(0x10000+9*pg+i*64, 0x200000+i*pg, 32)
	}
	w.run()
	if !a.c.Killed {
		t.Error("any number of pieces")
	}
	w.end()
}

// TestPagedAttributes: pages are asked for in clusters, of what is not there and was not
// asked for; what the pager does not supply of one is asked for again.
func TestPagedAttributes(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	p, a := newPaged(w), w.server("a", 0)
	oa := p.hand(a)
	f, _ := a.mapIt(oa, 0x10000, 0, 10)
	a.want(abi.EPERM, abi.CallPagerAttrs, oa, 4)
	for _, v := range [][2]uint64{{257, 0}, {^uint64(0), 0}, {0, 3}} {
		p.proc.want(abi.EINVAL, abi.CallPagerAttrs, p.object, v[0], v[1])
	}
	if e := p.call(abi.CallPagerAttrs, p.object); e.A[0] != 1 || e.A[1] != abi.PagesTell {
		t.Errorf("%+v", e.CallHeader)
	}
	if e := p.call(abi.CallPagerAttrs, p.object, 4, abi.PagesKeep); e.A[0] != 4 || e.A[1] != abi.PagesKeep {
		t.Errorf("%+v", e.CallHeader)
	}
	asked := func() (l [][2]uint64) {
		for {
			m, err := p.receive(p.port)
			if err != 0 {
				return l
			}
			le := binary.LittleEndian
			l = append(l, [2]uint64{le.Uint64(m.Body[8:]) / pg, le.Uint64(m.Body[16:]) / pg})
		}
	}
	want := func(l ...[2]uint64) {
		t.Helper()
		w.run()
		w.check()
		if got := fmt.Sprint(asked()); got != fmt.Sprint(l) {
			t.Errorf("asked for %v, want %v", got, l)
		}
	}
	used0 := used(a.s)
	f.Fault(0x10000+3*pg, false, false)
	f.Fault(0x10000+5*pg, false, false) // comes with the first
	f.Fault(0x10000+1*pg, false, false) // up to the first
	f.Fault(0x10000+8*pg, false, false) // up to the end
	want([2]uint64{3, 4}, [2]uint64{1, 2}, [2]uint64{8, 2})
	if e := p.callData(abi.CallObjectPages, make([]byte, pg), p.object, abi.PagesSupply, 5*pg, pg); e.Err != 0 {
		t.Error(abi.Errno(e.Err)) // with its bytes, and the first of them still waits
	}
	f.Woken = nil
	if e := p.pages(abi.PagesSupply, 3, 1); e != 0 {
		t.Error(e)
	}
	if got, want := fmt.Sprint(f.Woken), fmt.Sprint([][2]uint64{{0x10000 + 3*pg, pg}, {0x10000 + 4*pg, pg}, {0x10000 + 6*pg, pg}}); got != want {
		t.Errorf("woken %v, want %v", got, want)
	}
	f.Fault(0x10000+4*pg, false, false) // page 5 is there
	want([2]uint64{4, 1})
	p.die()
	p.start()
	want([2]uint64{1, 2}, [2]uint64{4, 1}, [2]uint64{8, 2})
	if e := p.pages(abi.PagesUnavailable, 0, 10); e != 0 || used(a.s) != used0 {
		t.Errorf("%v, %d bytes are not given back", e, used(a.s)-used0)
	}
	for _, b := range [][]byte{make([]byte, 1), make([]byte, 2*pg)} {
		if e := p.callData(abi.CallObjectPages, b, p.object, abi.PagesSupply, 0, pg); abi.Errno(e.Err) != abi.EINVAL {
			t.Errorf("%d bytes: %v", len(b), abi.Errno(e.Err))
		}
	}
	if e := p.callData(abi.CallObjectPages, make([]byte, pg), p.object, abi.PagesError, 0, pg); abi.Errno(e.Err) != abi.EINVAL {
		t.Error(abi.Errno(e.Err))
	}
	w.m.FailNext(sim.OpFill, 1)
	if e := p.callData(abi.CallObjectPages, make([]byte, pg), p.object, abi.PagesSupply, 0, pg); abi.Errno(e.Err) != abi.ENOMEM {
		t.Error(abi.Errno(e.Err))
	}
	w.end()
}

// TestPagedTerminate: a pager is told when nobody else has its object any more, each time,
// and not if it keeps the pages.
func TestPagedTerminate(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	p := newPaged(w)
	alone, gone := [2]uint64{99, 0}, [2]uint64{99, 1}
	p.want()
	a, b := w.server("a", 0), w.server("b", 0)
	oa, ob := p.hand(a), p.hand(b)
	fa, _ := a.mapIt(oa, 0x10000, 0, 10)
	a.ok(abi.CallPortDeallocate, oa) // mapped still
	b.ok(abi.CallPortDeallocate, ob)
	p.want()
	fa.Unmap(0x10000, 10*pg)
	w.run()
	p.want(alone)
	p.want()
	// Again; a task's end is an end of its rights. Told once while it is not looked at.
	ob = p.hand(b)
	b.ok(abi.CallPortDeallocate, ob)
	p.hand(a)
	a.s.Discard()
	w.run()
	p.want(alone)
	// The next incarnation is told what the last one was and may have forgotten.
	p.die()
	p.start()
	p.want(alone)
	ob = p.hand(b)
	p.die()
	p.start()
	p.want()
	p.ok(abi.CallPagerAttrs, p.object, 0, abi.PagesKeep)
	b.ok(abi.CallPortDeallocate, ob)
	p.want()
	p.ok(abi.CallPagerAttrs, p.object, 0, abi.PagesTell)
	p.want(alone) // it is so already
	// It has given up its own right.
	ob = p.hand(b)
	p.ok(abi.CallPortDeallocate, p.object)
	p.want()
	b.ok(abi.CallPortDeallocate, ob)
	p.want(gone)
	w.end()
}

// TestTerminateBudget: that objects are gone is a message in the budget of who made them: a
// guest that is its own pager cannot have any number of them wait.
func TestTerminateBudget(t *testing.T) {
	const memory = 100 << 10
	w := newWorld(t, nucleus.Limits{GuestMemory: memory})
	u := w.server("unix", nucleus.PowerTasks)
	_, send := u.sendable()
	g := u.guest()
	u.open(g, send)
	port, box := g.port(), g.port()
	n := 0
	for ; ; n++ {
		e := g.call(abi.CallObjectCreate, pg, abi.ObjectPaged, 0, port, uint64(n))
		if e.Err == uint32(abi.EAGAIN) {
			break
		}
		m := msg(box, abi.MakeSend, right{}, 1)
		m.Objects = []abi.ObjectDesc{{Name: abi.Name(e.A[0]), Len: pg}}
		err := g.send(m)
		g.ok(abi.CallPortDeallocate, e.A[0])
		if err == abi.EAGAIN {
			break
		} else if err != 0 || n > memory/256 {
			t.Fatalf("object %d: %v", n, err)
		}
		g.ok(abi.CallPortDeallocate, uint64(g.must(box).Objects[0].Name))
	}
	if n < 8 {
		t.Errorf("%d objects", n)
	}
	for i := range n {
		if m := g.must(port); m.ID != abi.MsgPageTerminate || binary.LittleEndian.Uint64(m.Body) != uint64(i) {
			t.Errorf("%+v", m)
		}
	}
	g.ok(abi.CallObjectCreate, pg, abi.ObjectPaged, 0, port)
	g.gone()
	w.end()
}

// TestPagedGuest: a guest names the descriptor that it has made, pays for its mapping, and
// is a pager as others are.
func TestPagedGuest(t *testing.T) {
	w := newWorld(t, nucleus.Limits{GuestMemory: 200 << 10})
	u := w.server("unix", nucleus.PowerTasks)
	_, send := u.sendable()
	g := u.guest()
	u.open(g, send)
	port := g.port()
	object := g.callData(abi.CallObjectCreate, nil, 4*pg, abi.ObjectPaged, 0, port, 5).A[0]
	bell, _ := w.m.NewDoorbell()
	h, f := w.m.NewFaults()
	g.task.Open = map[uint64]machine.Handle{9: bell, 20: h}
	watch := func(fd, base uint64) abi.Errno {
		t.Helper()
		return abi.Errno(g.call(abi.CallObjectWatch, object, base, 0, 4*pg, fd).Err)
	}
	if e := watch(7, 0x10000); e != abi.EBADF {
		t.Error(e)
	}
	if e := watch(9, 0x10000); e != abi.EINVAL {
		t.Error(e)
	}
	if e := watch(20, 0x10000); e != 0 || f.Base != 0x10000 || f.Len != 4*pg {
		t.Error(e)
	}
	if e := watch(20, 0x80000); e != 0 {
		t.Error(e)
	}
	if e := watch(20, 0x90000); e != abi.EAGAIN {
		t.Errorf("beyond its budget: %v", e)
	}
	g.ok(abi.CallObjectUnwatch, 0x10000)
	// It ends while the host makes a mapping ready.
	g.post(abi.CallPortStatus, nil, nil, port)
	w.run = func() {}
	g.post(abi.CallObjectWatch, nil, nil, object, 0xa0000, 0, 4*pg, 20)
	w.run = w.m.Run
	h.Release()
	bell.Release()
	g.task.Open = nil
	g.gone()
	w.end()
}

// TestPlaced: an object has an address that no other has, as long as somebody has a right
// to it and as late after as can be; and guests cannot use up the addresses.
func TestPlaced(t *testing.T) {
	w := newWorld(t, nucleus.Limits{GuestMemory: 4 << 20})
	p := w.server("p", 0)
	make := func(size uint64) (name, addr uint64) {
		t.Helper()
		name = p.ok(abi.CallObjectCreate, size, abi.ObjectPlaced)
		return name, p.call(abi.CallPortStatus, name).A[2]
	}
	type object struct{ name, addr, size uint64 }
	var l []object
	for i := range uint64(20) {
		size := 1 + i*i*100_000
		n, a := make(size)
		for _, o := range l {
			if a < o.addr+o.size && o.addr < a+size {
				t.Fatalf("%#x, and %#x", a, o.addr)
			}
		}
		if a < abi.PlacedBase || a+size > abi.PlacedEnd || a%pg != 0 {
			t.Errorf("%#x", a)
		}
		if e := p.call(abi.CallObjectFD, n); e.A[1] != size || e.A[2] != a {
			t.Errorf("%+v", e.CallHeader)
		}
		l = append(l, object{n, a, size})
	}
	// An address is given again when all others have been.
	first := l[0]
	p.ok(abi.CallPortDeallocate, first.name)
	if _, a := make(1); a == first.addr {
		t.Error("given again at once")
	}
	const all = abi.PlacedEnd - abi.PlacedBase
	var big []uint64
	for range all/nucleus.MaxObjectSize - 1 {
		n, _ := make(nucleus.MaxObjectSize)
		big = append(big, n)
	}
	p.want(abi.ENOMEM, abi.CallObjectCreate, nucleus.MaxObjectSize, abi.ObjectPlaced)
	w.check()
	if _, a := make(1); a >= l[19].addr && a < l[19].addr+l[19].size {
		t.Errorf("%#x", a)
	}
	for _, n := range big {
		p.ok(abi.CallPortDeallocate, n)
	}
	// A paged one may have one, too; one that shrinks, as all.
	port := p.port()
	if n := p.ok(abi.CallObjectCreate, pg, abi.ObjectPaged|abi.ObjectPlaced, 0, port, 7); p.call(abi.CallPortStatus, n).A[2] == 0 {
		t.Error("no address")
	}
	p.want(abi.EINVAL, abi.CallObjectCreate, pg, 8)
	// A guest pays by the size.
	u := w.server("unix", nucleus.PowerTasks)
	_, send := u.sendable()
	g := u.guest()
	u.open(g, send)
	g.want(abi.EAGAIN, abi.CallObjectCreate, nucleus.MaxObjectSize, abi.ObjectPlaced)
	n := g.ok(abi.CallObjectCreate, 100<<30, abi.ObjectPlaced)
	g.want(abi.EAGAIN, abi.CallObjectCreate, 100<<30, abi.ObjectPlaced)
	g.ok(abi.CallPortDeallocate, n)
	g.ok(abi.CallObjectCreate, 100<<30, abi.ObjectPlaced)
	g.gone()
	w.end()
}

// paging is a step of TestRandom with a paged object.
func (c *chaos) paging() {
	p := c.procs[c.r.IntN(len(c.procs))]
	if running, _, _ := p.s.State(); !running {
		return
	}
	switch c.r.IntN(6) {
	case 0: // a paged object, or one with an address
		p.post(abi.CallObjectCreate, []byte("p"), nil, pg*uint64(1+c.r.IntN(8)), uint64(2+2*c.r.IntN(3)), 0, c.name(p, recv), 7)
	case 1: // mapped
		h, f := c.m.NewFaults()
		if c.faults = append(c.faults, f); c.r.IntN(8) == 0 {
			f.NoProtect, f.NoPoison = true, true
		}
		p.post(abi.CallObjectWatch, nil, []machine.Handle{h}, c.name(p, 1<<abi.RightObject), 0x10000*uint64(1+c.r.IntN(4)), pg*uint64(c.r.IntN(3)), pg*uint64(c.r.IntN(5)))
	case 2: // touched, unmapped, moved
		for range c.r.IntN(4) {
			if len(c.faults) == 0 {
				break
			}
			f := c.faults[c.r.IntN(len(c.faults))]
			at := f.Base + pg*uint64(c.r.IntN(5))
			switch c.r.IntN(6) {
			case 0:
				f.Unmap(at, pg*uint64(c.r.IntN(4)))
			case 1:
				f.Move(at, at+0x8000, pg)
			default:
				f.Fault(at, c.r.IntN(2) == 0, c.r.IntN(4) == 0)
			}
		}
	case 3, 4:
		p.post(abi.CallObjectPages, nil, nil, c.name(p, 1<<abi.RightObject), uint64(c.r.IntN(8)), pg*uint64(c.r.IntN(4)), pg*uint64(c.r.IntN(4)))
	case 5:
		if c.r.IntN(2) == 0 {
			p.post(abi.CallPagerAttrs, nil, nil, c.name(p, 1<<abi.RightObject), uint64(c.r.IntN(5)), uint64(c.r.IntN(4)))
		} else {
			p.post(abi.CallObjectUnwatch, nil, nil, 0x10000*uint64(1+c.r.IntN(4)))
		}
	}
}
