package nucleus_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"hythe/abi"
	"hythe/machine"
	"hythe/machine/sim"
	"hythe/nucleus"
	"hythe/nucleus/message"
)

// Forked tasks that share paged objects with their parents.

// kin is a guest task with what it has open that tells of faults.
type kin struct {
	*guest
	h map[uint64]machine.Handle
}

// kin makes g's process one that can map paged objects.
func (g *guest) kin() *kin {
	k := &kin{guest: g, h: map[uint64]machine.Handle{}}
	g.task.Open = k.h
	return k
}

// faults is what tells of faults, open under a number.
func (g *kin) faults(fd uint64) *sim.Faults {
	h, f := g.w.m.NewFaults()
	if old := g.h[fd]; old != nil {
		old.Release()
	}
	g.h[fd] = h
	return f
}

// end is the task's death.
func (g *kin) end() {
	if g.handle != nil {
		g.handle.Release()
		g.handle = nil
	}
	g.task.Die(machine.Exit{Signal: 9})
	g.w.run()
	g.w.check()
	for _, h := range g.h {
		h.Release()
	}
	clear(g.h)
}

// told is the answer to its hello: the bits of what it cannot have.
func (g *kin) told() (refused uint64, ok bool) {
	for {
		d, more := g.task.Next()
		if !more {
			return 0, false
		}
		for _, h := range d.Handles {
			h.Release()
		}
		if h, _, _ := message.GetCall(d.Bytes); h.Op == abi.EventWatched {
			return h.A[0], true
		}
	}
}

// say is a hello: address, length and number of each range.
func (g *kin) say(ranges ...[3]uint64) {
	var b []byte
	for _, r := range ranges {
		for _, v := range r {
			b = binary.LittleEndian.AppendUint64(b, v)
		}
	}
	g.task.Send(append(message.PutCall(nil, &abi.CallHeader{Op: abi.CallHello, Len: uint32(len(b))}), b...))
	g.w.run()
	g.w.check()
}

// family is a pager, which is a server, and a guest that has mapped its object at 0x10000
// and pages 2 and 3 of it at 0x80000.
type family struct {
	*paged
	u      *proc
	parent *kin
	object uint64
	f, g   *sim.Faults
}

func newFamily(w *world) *family {
	w.t.Helper()
	l := &family{paged: newPaged(w), u: w.server("unix", nucleus.PowerTasks|nucleus.PowerMemory)}
	box, send := l.u.sendable()
	parent := l.u.guest()
	parent.hello()
	l.u.open(parent, send)
	l.parent = parent.kin()
	at := parent.port()
	if e := parent.send(msg(parent.first, abi.CopySend, right{}, 1, right{at, abi.MakeSend})); e != 0 {
		w.t.Fatal(e)
	}
	to := l.u.must(box).Rights[0].Name
	m := msg(uint64(to), abi.CopySend, right{}, 1)
	m.Objects = []abi.ObjectDesc{{Name: abi.Name(l.hand(l.u)), Len: 10 * pg}}
	if e := l.u.send(m); e != 0 {
		w.t.Fatal(e)
	}
	l.u.ok(abi.CallPortDeallocate, uint64(m.Objects[0].Name))
	l.object = uint64(parent.must(at).Objects[0].Name)
	l.f, l.g = l.parent.faults(20), l.parent.faults(21)
	l.parent.ok(abi.CallObjectWatch, l.object, 0x10000, 0, 10*pg, 20)
	l.parent.ok(abi.CallObjectWatch, l.object, 0x80000, 2*pg, 2*pg, 21)
	return l
}

// child is a task that the parent forks, or k, if it is not nil.
func (l *family) child(k *kin) *kin {
	l.w.t.Helper()
	if k == nil {
		k = l.parent
	}
	return l.u.fork(k.guest).kin()
}

// TestPagedFork: a forked task shares what its parent has mapped: its faults become requests
// as its parent's do, what the pager says holds in both, and each goes on without the other.
func TestPagedFork(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	l := newFamily(w)
	if e := l.pages(abi.PagesLock, 3, 1); e != 0 {
		t.Error(e)
	}
	c := l.child(nil)
	c.task.Memory, c.task.MemoryAt = make([]byte, 8), 0x10000
	l.u.want(abi.EFAULT, abi.CallTaskMemory, c.name, 0x10000, 8) // it would see zeros, and so would all
	// The parent has unmapped all before the child has said a word, and gives its right up.
	l.f.Unmap(0x10000, 10*pg)
	l.g.Unmap(0x80000, 2*pg)
	w.run()
	l.parent.ok(abi.CallPortDeallocate, l.object)
	l.want()
	if !l.f.Closed() || !l.g.Closed() {
		t.Error("unmapped, and watched")
	}
	a, b, part := c.faults(30), c.faults(31), c.faults(32)
	c.say([3]uint64{0x10000, 4 * pg, 30}, [3]uint64{0x10000 + 6*pg, 2 * pg, 32}, [3]uint64{0x80000, 2 * pg, 31})
	if refused, ok := c.told(); !ok || refused != 0 {
		t.Fatalf("refused: %b, told: %v", refused, ok)
	}
	if a.Base != 0x10000 || a.Len != 4*pg || b.Base != 0x80000 || part.Base != 0x10000+6*pg || part.Len != 2*pg {
		t.Errorf("%+v %+v %+v", a, b, part)
	}
	// What was locked is, in both.
	if got := fmt.Sprint(a.Protected, b.Protected, part.Protected); got != fmt.Sprint([][2]uint64{{0x10000 + 3*pg, pg}}, [][2]uint64{{0x80000 + pg, pg}}, [][2]uint64(nil)) {
		t.Error(got)
	}
	if e := l.u.call(abi.CallTaskMemory, c.name, 0x10000, 8); e.Err != 0 {
		t.Errorf("it has begun: %v", abi.Errno(e.Err))
	}
	if e := l.pages(abi.PagesFlush, 3, 1); e != 0 || len(a.Protected)+len(b.Protected) != 0 {
		t.Errorf("%v, %v %v", e, a.Protected, b.Protected)
	}
	a.Fault(0x10000+1*pg, false, false)
	b.Fault(0x80000+1*pg, true, false)
	part.Fault(0x10000+7*pg, false, false)
	a.Fault(0x10000+4*pg, false, false) // it has said nothing of this
	w.run()
	l.want([2]uint64{1, 0}, [2]uint64{3, 1}, [2]uint64{7, 0})
	a.Woken, b.Woken, part.Woken = nil, nil, nil
	if e := l.pages(abi.PagesSupply, 0, 10); e != 0 {
		t.Error(e)
	}
	if got := fmt.Sprint(a.Woken, b.Woken, part.Woken); got != fmt.Sprint([][2]uint64{{0x10000, 4 * pg}}, [][2]uint64{{0x80000, 2 * pg}}, [][2]uint64{{0x10000 + 6*pg, 2 * pg}}) {
		t.Error(got)
	}
	// A child of the child's, whose parent ends before it has begun; it shares a part.
	d := l.child(c)
	c.end()
	if !a.Closed() || !b.Closed() || !part.Closed() {
		t.Error("the mappings of a dead task are watched")
	}
	l.want()
	f := d.faults(40)
	d.say([3]uint64{0x80000 + pg, pg, 40})
	if refused, ok := d.told(); !ok || refused != 0 {
		t.Fatalf("refused: %b, told: %v", refused, ok)
	}
	f.Fault(0x80000+pg, false, false)
	w.run()
	l.want([2]uint64{3, 0})
	// The pager dies, comes again, and is gone for good.
	l.paged.die()
	l.paged.start()
	l.want([2]uint64{3, 0})
	if e := l.pages(abi.PagesError, 3, 1); e != 0 || len(f.Poisoned) != 1 {
		t.Errorf("%v %v", e, f.Poisoned)
	}
	// One that shares nothing gets no answer, and keeps nothing.
	n := l.child(d)
	n.hello()
	if _, ok := n.told(); ok {
		t.Error("an answer to nothing")
	}
	n.end()
	// With the last of them the pager is alone.
	e := l.child(d)
	d.end()
	l.want()
	e.end()
	l.want([2]uint64{99, 0})
	l.parent.end()
	w.end()
}

// TestPagedForkPager: the pager of what a forked task shares ends while that begins.
func TestPagedForkPager(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	l := newFamily(w)
	c, d := l.child(nil), l.child(nil)
	f, g := c.faults(30), d.faults(30)
	l.paged.die()
	c.say([3]uint64{0x10000, pg, 30})
	f.Fault(0x10000, false, false)
	w.run()
	l.s.Discard()
	w.run()
	w.check()
	if refused, ok := c.told(); !ok || refused != 0 || len(f.Poisoned) != 1 {
		t.Errorf("%b %v, %v", refused, ok, f.Poisoned)
	}
	d.say([3]uint64{0x10000, pg, 30})
	g.Fault(0x10000, false, false)
	w.run()
	if refused, ok := d.told(); !ok || refused != 0 || len(g.Poisoned) != 1 {
		t.Errorf("%b %v, %v", refused, ok, g.Poisoned)
	}
	l.parent.end()
	c.end()
	d.end()
	w.end()
}

// TestPagedForkHostile: what a forked task can say of itself, and its parent do meanwhile.
func TestPagedForkHostile(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	l := newFamily(w)
	bell, _ := w.m.NewDoorbell()
	const fd = 30
	for _, r := range [][3]uint64{
		{0x10000, pg, 99}, {0x10000, pg, ^uint64(0)}, {0x10000, pg, 1<<32 - 1}, {0x10000, pg, 7}, // no descriptor, or none of that kind
		{0x10000, 11 * pg, fd}, {0x10000 - pg, 2 * pg, fd}, {0x10000 - pg, pg, fd}, {0x10000 + 10*pg, pg, fd}, {0x10000 + 9*pg, 2 * pg, fd},
		{0x10000, 0, fd}, {0x10000, 100, fd}, {0x10001, pg, fd}, {0x10000, ^uint64(0), fd}, {0x10000 + pg, ^uint64(0) - pg + 1, fd},
		{^uint64(0) - pg + 1, pg, fd}, {0, pg, fd}, {0x80000, 3 * pg, fd}, {0x7e0000000000, pg, fd},
	} {
		c := l.child(nil)
		f := c.faults(fd)
		bell.Retain()
		c.h[7] = bell
		c.say(r)
		if refused, ok := c.told(); !ok || refused != 1 || f.Base != 0 {
			t.Errorf("%x: refused %b, told: %v; watched at %x", r, refused, ok, f.Base)
		}
		c.end()
	}
	bell.Release()
	// A refused one among others; more than there can be; nonsense behind them.
	c := l.child(nil)
	var many [][3]uint64
	for i := range uint64(100) {
		c.faults(100 + i)
		many = append(many, [3]uint64{0x10000 + i%10*pg, pg, 100 + i})
	}
	many[5][2] = 7
	c.say(many...)
	if refused, ok := c.told(); !ok || refused != 1<<5 {
		t.Errorf("refused %b, told: %v", refused, ok)
	}
	c.say(many...) // on the host it is not even read
	if refused, ok := c.told(); !ok || refused != ^uint64(0) {
		t.Errorf("again: refused %b, told: %v", refused, ok)
	}
	c.end()
	c = l.child(nil) // it does not read
	c.task.Capacity = 1
	for range 2 {
		if c.task.Killed {
			t.Error("ended too early")
		}
		c.say([3]uint64{0x10000, pg, fd})
	}
	if !c.task.Killed {
		t.Error("it was not ended")
	}
	c.end()
	for _, b := range [][]byte{make([]byte, 1), make([]byte, 23), message.PutCall(nil, &abi.CallHeader{Op: abi.CallHello, Len: 24}),
		append(message.PutCall(nil, &abi.CallHeader{Op: abi.CallHello, Len: 23}), make([]byte, 23)...),
		append(message.PutCall(nil, &abi.CallHeader{Op: abi.CallObjectWatch, Len: 24}), make([]byte, 24)...)} {
		c := l.child(nil)
		c.task.Send(b)
		w.run()
		w.check()
		if _, ok := c.told(); ok {
			t.Errorf("an answer to %v", b)
		}
		c.end()
	}
	// One that was not forked, or by somebody who has nothing, has nothing.
	fresh := l.u.guest().kin()
	fresh.faults(fd)
	fresh.say([3]uint64{0x10000, pg, fd})
	if refused, ok := fresh.told(); !ok || refused != 1 {
		t.Errorf("refused %b, told: %v", refused, ok)
	}
	c = l.child(fresh)
	c.faults(fd)
	c.say([3]uint64{0x10000, pg, fd})
	if refused, ok := c.told(); !ok || refused != 1 {
		t.Errorf("refused %b, told: %v", refused, ok)
	}
	fresh.end()
	c.end()
	// A child that dies before, or while, the host makes its mappings ready, and its parent.
	for _, parent := range []bool{false, true} {
		c := l.child(nil)
		c.faults(fd)
		w.run = func() {}
		c.say([3]uint64{0x10000, pg, fd})
		w.run = w.m.Run
		if parent {
			c, l.parent = l.parent, c
		}
		c.end()
		if parent {
			if refused, ok := l.parent.told(); !ok || refused != 0 {
				t.Errorf("refused %b, told: %v", refused, ok)
			}
		}
	}
	// It keeps the host from locking what is locked: it does not begin, and ends.
	if e := l.pages(abi.PagesLock, 0, 1); e != 0 {
		t.Error(e)
	}
	c = l.child(l.parent)
	c.faults(fd).Stalled = true
	c.say([3]uint64{0x10000, pg, fd})
	w.m.Advance(30e9 - 1)
	w.run()
	if _, ok := c.told(); ok || c.task.Killed {
		t.Error("it has begun, or ended too early")
	}
	w.m.Advance(1)
	w.run()
	if _, ok := c.told(); ok || !c.task.Killed {
		t.Error("it has begun, or goes on")
	}
	c.end()
	// The unix server dies in between: its next incarnation has the child, or ends it.
	c = l.child(l.parent)
	f := c.faults(fd)
	l.u.die()
	c.say([3]uint64{0x10000, pg, fd})
	if refused, ok := c.told(); !ok || refused != 0 || f.Closed() {
		t.Errorf("refused %b, told: %v", refused, ok)
	}
	l.u.start()
	l.u.ok(abi.CallTaskTerminate, c.name)
	w.run()
	if !f.Closed() {
		t.Error("it has ended, and is watched")
	}
	c.end()
	l.parent.end()
	w.end()
}

// TestPagedForkMeanwhile: what the parent maps while it forks may be the child's; and it is
// no way to make the nucleus keep any number of things.
func TestPagedForkMeanwhile(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	l := newFamily(w)
	c := l.child(nil)
	l.parent.faults(22)
	l.parent.ok(abi.CallObjectWatch, l.object, 0x90000, 0, pg, 22)
	l.parent.ok(abi.CallObjectUnwatch, 0x90000)
	f := c.faults(30)
	c.faults(31)
	c.say([3]uint64{0x90000, pg, 30}, [3]uint64{0x91000, pg, 31})
	if refused, ok := c.told(); !ok || refused != 2 || f.Base != 0x90000 {
		t.Errorf("refused %b, told: %v", refused, ok)
	}
	c.end()
	// Two mappings that are at one place one after the other: the child has the one or the
	// other, or a part, and says which.
	const one, two = 1 << abi.MappingShift, 2 << abi.MappingShift
	for _, v := range []struct{ number, page uint64 }{{one, 1}, {two, 6}} {
		l.parent.faults(22)
		l.parent.ok(abi.CallObjectWatch, l.object, 0x90000, 0, 3*pg, one|22)
		c = l.child(nil)
		l.parent.ok(abi.CallObjectUnwatch, 0x90000)
		l.parent.faults(22)
		l.parent.ok(abi.CallObjectWatch, l.object, 0x90000, 5*pg, 2*pg, two|22)
		l.parent.ok(abi.CallObjectUnwatch, 0x90000)
		f, no := c.faults(30), c.faults(31)
		c.say([3]uint64{0x90000, 2 * pg, v.number | 30}, [3]uint64{0x90000, pg, 31}, [3]uint64{0x91000, 2 * pg, two | 31})
		if refused, ok := c.told(); !ok || refused != 6 || no.Base != 0 {
			t.Errorf("refused %b, told: %v", refused, ok)
		}
		f.Fault(0x91000, false, false)
		w.run()
		l.want([2]uint64{v.page, 0})
		if e := l.pages(abi.PagesSupply, v.page, 1); e != 0 {
			t.Error(e)
		}
		c.end()
	}
	c = l.child(nil)
	for i := range uint64(300) {
		l.parent.faults(22)
		l.parent.ok(abi.CallObjectWatch, l.object, 0x100000+i*pg, 0, pg, 22)
		l.parent.ok(abi.CallObjectUnwatch, 0x100000+i*pg)
	}
	c.faults(30)
	c.faults(31)
	c.say([3]uint64{0x100000, pg, 30}, [3]uint64{0x100000 + 299*pg, pg, 31})
	if refused, ok := c.told(); !ok || refused != 2 {
		t.Errorf("refused %b, told: %v", refused, ok)
	}
	c.end()
	l.parent.end()
	w.end()

	// Without a budget for it nothing is forked.
	w = newWorld(t, nucleus.Limits{GuestMemory: 1 << 20, GuestsMemory: 300 << 10})
	l = newFamily(w)
	silent := l.child(nil) // what is kept for it is paid for, as long as it is
	l.u.want(abi.EAGAIN, abi.CallTaskCreate, l.parent.name, 4, 7)
	l.u.ok(abi.CallTaskTerminate, silent.name)
	w.run()
	silent.end()
	kids := []*kin{l.child(nil)}
	kids[0].faults(30)
	kids[0].faults(31)
	kids[0].say([3]uint64{0x10000, pg, 30}, [3]uint64{0x80000, pg, 31})
	if refused, ok := kids[0].told(); !ok || refused != 0 {
		t.Errorf("refused %b, told: %v", refused, ok)
	}
	l.u.want(abi.EAGAIN, abi.CallTaskCreate, l.parent.name, 4, 7)
	l.parent.ok(abi.CallObjectUnwatch, 0x80000)
	l.parent.ok(abi.CallObjectUnwatch, 0x10000)
	kids = append(kids, l.child(nil))
	for _, c := range kids {
		c.end()
	}
	l.parent.end()
	w.end()
}

// TestPagedForkRandom: in any order nothing is lost, and nothing left.
func TestPagedForkRandom(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 11))
		w := newWorld(t, nucleus.Limits{})
		l := newFamily(w)
		all := []*kin{l.parent}
		sides := map[*kin][]*sim.Faults{l.parent: {l.f, l.g}}
		w.run = func() {
			for range r.IntN(6) {
				w.m.Step()
			}
		}
		for range 60 {
			i := r.IntN(len(all))
			k := all[i]
			switch r.IntN(9) {
			case 0, 1:
				if len(all) < 6 && !k.task.Killed {
					l.u.post(abi.CallTaskCreate, nil, nil, k.name, 4, 7)
					for { // the channel is in the last event
						d, ok := k.task.Next()
						if !ok {
							break
						}
						if len(d.Handles) == 3 {
							c := (&guest{proc: &proc{w: w}, task: d.Handles[0].(*sim.Handle).Channel}).kin()
							c.task.Adopt()
							all = append(all, c)
						}
						for _, h := range d.Handles {
							h.Release()
						}
					}
					w.m.Run()
					l.u.pull()
					for _, e := range l.u.answer {
						if e.Err == 0 && len(all) > 0 {
							all[len(all)-1].name = e.A[0]
						}
					}
					clear(l.u.answer)
				}
			case 2, 3:
				f, g := k.faults(50), k.faults(51)
				sides[k] = append(sides[k], f, g)
				k.say([3]uint64{0x10000 + pg*uint64(r.IntN(4)), pg * uint64(r.IntN(8)), 50}, [3]uint64{0x80000, 2 * pg, 51})
			case 4:
				if len(all) > 1 {
					k.end()
					all = append(all[:i], all[i+1:]...)
				}
			case 5, 6:
				if s := sides[k]; len(s) > 0 {
					f := s[r.IntN(len(s))]
					at := f.Base + pg*uint64(r.IntN(4))
					if r.IntN(3) == 0 {
						f.Unmap(at, pg)
					} else {
						f.Fault(at, r.IntN(2) == 0, false)
					}
				}
			case 7:
				l.post(abi.CallObjectPages, nil, nil, l.paged.object, uint64(1+r.IntN(6)), pg*uint64(r.IntN(4)), pg)
			case 8:
				if r.IntN(6) == 0 {
					l.paged.die()
					w.m.Run()
					l.paged.start()
				}
			}
			w.run()
			w.check()
		}
		w.run = w.m.Run
		for _, k := range all {
			k.end()
		}
		w.end()
	}
}
