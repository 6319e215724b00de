package core

import (
	"testing"

	"hythe/abi"
	"hythe/store"
)

// lentHostSet is a lentHost whose stream is watched in an epoll set, and held.
type lentHostSet struct {
	*lentHost
	t  *testing.T
	ep int32
}

// testSetData is what the stream's item has.
const testSetData = 77

func newLentHostSet(t *testing.T, events uint32) *lentHostSet {
	t.Helper()
	h := &lentHostSet{lentHost: newLentHost(t), t: t}
	h.call(func(c *Call, _ *testChan) {
		h.ep, _ = c.NewEpoll(0)
		want(t, "epoll_ctl", c.EpollCtl(h.ep, EpollAdd, h.fd, events, testSetData), 0)
	})
	if events&EpollOneshot == 0 {
		for range lendOften {
			h.came("x")
			h.read()
		}
		h.n.none("lend") // which would have edges of which nobody hears
		h.n.take("set").host(60, 0)
	}
	for range lendOften {
		h.came("x")
		h.read()
	}
	h.n.take("lend").host(50, 0)
	return h
}

// wait asks the server what is ready.
func (h *lentHostSet) wait() (got []EpollEvent) {
	h.t.Helper()
	h.call(func(c *Call, _ *testChan) {
		ev := make([]EpollEvent, 4)
		n, e := c.EpollWait(h.ep, ev, 0)
		want(h.t, "epoll_wait", e, 0)
		got = ev[:n]
	})
	return got
}

// record is what the caller's library was told of the set.
func (h *lentHostSet) record() *testSet {
	if s := h.tk.host.sets[h.tk.task()]; s != nil {
		for i := range s {
			if s[i].lent && s[i].fd == h.ep {
				return &s[i]
			}
		}
	}
	return nil
}

// lend asks until the library is lent the set, and answers how often it was granted the host's.
func (h *lentHostSet) lend() (granted int) {
	h.t.Helper()
	for range 2 * lendOften {
		h.call(func(c *Call, _ *testChan) {
			_, e := c.EpollWait(h.ep, make([]EpollEvent, 4), 0)
			want(h.t, "epoll_wait", e, 0)
			if a := findAct(c, abi.ActLend); a != nil && a.Flags&abi.ActHostSet != 0 {
				granted++
			}
		})
	}
	if r := h.record(); r == nil || r.host == 0 || r.wake != h.n.sets[60].wakeData {
		h.t.Fatalf("%+v", r)
	}
	return granted
}

// TestLentHostSet: what is ready of a stream that is held the host says, to the server and to a library that was
// lent the set, and nobody arms anything for it but who sleeps here.
func TestLentHostSet(t *testing.T) {
	h := newLentHostSet(t, PollIn|PollRdHup|EpollET)
	s := h.n.sets[60]
	if s.items[50] != (EpollEvent{PollIn | PollRdHup | EpollET, testSetData}) {
		t.Fatalf("%+v", s.items)
	}
	h.n.ready = PollIn | PollOut // of which an edge was told
	if ev := h.wait(); len(ev) != 0 {
		t.Errorf("%+v", ev)
	}
	s.ready = []EpollEvent{{PollIn, testSetData}}
	if ev := h.wait(); len(ev) != 1 || ev[0] != (EpollEvent{PollIn, testSetData}) {
		t.Errorf("%+v", ev)
	}
	h.n.none("arm")
	if n := h.lend(); n != 1 {
		t.Errorf("granted %d times", n)
	}
	h.n.none("arm")
	// The stream's own descriptor is found: that changes nothing.
	h.call(func(c *Call, _ *testChan) { _, _, _ = c.File(h.fd) })
	if h.record() == nil {
		t.Error("taken back")
	}
	// Another mask, without the library.
	h.call(func(c *Call, _ *testChan) {
		want(t, "epoll_ctl", c.EpollCtl(h.ep, EpollMod, h.fd, PollOut, 78), 0)
	})
	if s.items[50] != (EpollEvent{PollOut, 78}) || h.record() == nil {
		t.Errorf("%+v", s.items)
	}
	// Data that a wake-up has: it gets others.
	was := s.wakeData
	h.call(func(c *Call, _ *testChan) {
		want(t, "epoll_ctl", c.EpollCtl(h.ep, EpollMod, h.fd, PollOut, was), 0)
	})
	if s.items[50].Data != was || s.wakeData == was || h.record() != nil {
		t.Errorf("%+v", s)
	}
	h.lend()
	h.call(func(c *Call, _ *testChan) {
		want(t, "epoll_ctl", c.EpollCtl(h.ep, EpollDel, h.fd, 0, 0), 0)
	})
	if len(s.items) != 0 {
		t.Errorf("%+v", s.items)
	}
}

// TestLentHostSetWakes: who sleeps in the host's set is woken when the set is taken back, and once more, by a
// kick, if he has not said that he sleeps no more when the wake-up ends.
func TestLentHostSetWakes(t *testing.T) {
	h := newLentHostSet(t, PollIn)
	s := h.n.sets[60]
	// sleeper is another thread, which sleeps in the host's set.
	h.tk.Enter()
	p := h.tk.Threads.Get(h.tk.init).Proc
	sleeper, _, e := h.tk.newThread(p, 4000, h.tk.init)
	want(t, "thread", e, 0)
	h.tk.addThreadIndex(sleeper)
	h.tk.bindSlot(h.tk.Procs.Get(p).Task, 1, sleeper)
	h.tk.Threads.Mut(sleeper).HostTID = 77
	h.tk.Leave()
	kicked := func() bool {
		was := h.tk.threadRT(sleeper).kicked
		h.tk.threadRT(sleeper).kicked = false
		return was
	}
	touch := func() {
		h.call(func(c *Call, _ *testChan) {
			fd, _ := c.NewEventFD(0, false, 0)
			want(t, "epoll_ctl", c.EpollCtl(h.ep, EpollAdd, fd, PollIn, 1), 0)
		})
	}
	h.lend()
	if touch(); s.wake || h.record() != nil {
		t.Errorf("nobody sleeps: %+v", s)
	}
	h.lend()
	h.record().sleeps = true
	if touch(); !s.wake || h.record() != nil {
		t.Errorf("%+v", s)
	}
	h.tk.host.sets[h.tk.task()][h.setAt()].sleeps = false // it comes
	if h.lend(); s.wake || kicked() {
		t.Errorf("%+v", s)
	}
	h.record().sleeps = true
	touch()
	if h.lend(); s.wake || !kicked() {
		t.Errorf("%+v", s)
	}
	// The set is closed.
	h.call(func(c *Call, _ *testChan) {
		want(t, "close", c.CloseFD(h.ep), 0)
		if a := findAct(c, abi.ActUnlend); a == nil || a.Flags != abi.ActHostSet {
			t.Errorf("%+v", c.Acts)
		}
	})
	h.n.take("dropset")
	if !kicked() {
		t.Error("who sleeps in a set that is closed sleeps on")
	}
	if h.rt().state != lendHeld || len(h.rt().watches) != 0 {
		t.Errorf("%+v", h.rt().hostLending)
	}
}

// setAt is as its how manyth the task was lent the set last.
func (h *lentHostSet) setAt() int {
	f, _, _ := h.tk.FDAtRaw(h.tk.init, h.ep)
	return h.tk.epollSetRT(store.Ref[EpollSet](h.tk.Files.Get(f).Obj)).sleepsAt
}

// TestLentHostSetSleeps: who sleeps here is woken by the host's set, which is armed for that.
func TestLentHostSetSleeps(t *testing.T) {
	h := newLentHostSet(t, PollIn)
	s := h.n.sets[60]
	done := make(chan []EpollEvent)
	go h.tk.doX(h.tk.init, func(c *Call, _ *testChan) {
		ev := make([]EpollEvent, 4)
		n, _ := c.EpollWait(h.ep, ev, NoDeadline)
		done <- ev[:n]
	})
	for armed := false; !armed; {
		h.tk.Enter()
		if armed = s.armed; armed {
			s.ready = []EpollEvent{{PollIn, testSetData}}
		}
		h.tk.Leave()
	}
	h.tk.HostSetReady(60)
	if ev := <-done; len(ev) != 1 || ev[0].Data != testSetData {
		t.Errorf("%+v", ev)
	}
}

// TestLentHostSetOthers: items that the host does not watch are asked for here, and armed while they are not ready.
func TestLentHostSetOthers(t *testing.T) {
	h := newLentHostSet(t, PollIn|EpollOneshot)
	h.n.none("set")
	h.n.ready = PollOut
	h.wait()
	if a := h.n.take("arm"); a.id != 50 || a.seq != PollIn|PollRdHup {
		t.Errorf("%+v", a)
	}
	h.n.ready = PollOut | PollIn
	h.tk.HostReady(50, PollIn)
	if ev := h.wait(); len(ev) != 1 || ev[0].Data != testSetData {
		t.Errorf("%+v", ev)
	}
	// By its edges it asks for what only the host knows, of whom there is no set yet.
	h.call(func(c *Call, _ *testChan) {
		want(t, "epoll_ctl", c.EpollCtl(h.ep, EpollMod, h.fd, PollIn|EpollET, testSetData), 0)
	})
	if h.n.take("drop"); h.rt().state != lendNone {
		t.Errorf("%+v", h.rt().hostLending)
	}
}

// TestLentHostSetFull: a stream that the host cannot watch comes by the net server again.
func TestLentHostSetFull(t *testing.T) {
	h := newLentHostSet(t, PollIn|EpollET)
	h.n.full = true
	h.call(func(c *Call, _ *testChan) {
		want(t, "epoll_ctl", c.EpollCtl(h.ep, EpollMod, h.fd, PollIn, 78), 0)
	})
	if h.n.full = false; h.rt().state != lendNone || len(h.rt().watches) != 0 {
		t.Errorf("%+v", h.rt().hostLending)
	}
	h.n.take("drop")
	h.n.take("recv").b([]byte("here"), 0)
	if ev := h.wait(); len(ev) != 1 || ev[0].Data != 78 {
		t.Errorf("%+v", ev)
	}
}

// TestLentHostSetMost: without a set of the host's the stream is not lent, and when there is one again, it is.
func TestLentHostSetMost(t *testing.T) {
	h := &lentHostSet{lentHost: newLentHost(t), t: t}
	h.tk.io.out.nsets = maxHostSets
	h.call(func(c *Call, _ *testChan) {
		h.ep, _ = c.NewEpoll(0)
		want(t, "epoll_ctl", c.EpollCtl(h.ep, EpollAdd, h.fd, PollIn|EpollET, testSetData), 0)
	})
	reads := func() {
		for range lendOften {
			h.came("x")
			h.read()
		}
	}
	reads()
	h.n.none("set")
	h.n.none("lend")
	h.tk.io.out.nsets--
	reads()
	h.n.take("set").host(0, abi.ENFILE)
	reads()
	h.n.take("set").host(60, 0)
	reads()
	h.n.take("lend").host(50, 0)
	if n := h.tk.io.out.nsets; n != maxHostSets || h.n.sets[60].items[50].Data != testSetData {
		t.Error(n)
	}
	h.call(func(c *Call, _ *testChan) { want(t, "close", c.CloseFD(h.ep), 0) })
	if n := h.tk.io.out.nsets; n != maxHostSets-1 {
		t.Error(n)
	}
}

// TestLentHostSetShared: a task that had a host's set is told nothing by it any more when another one asks.
func TestLentHostSetShared(t *testing.T) {
	h := newLentHostSet(t, PollIn|EpollET)
	h.lend()
	f, _, _ := h.tk.FDAtRaw(h.tk.init, h.ep)
	rt := h.tk.epollSetRT(store.Ref[EpollSet](h.tk.Files.Get(f).Obj))
	other := h.tk.task() + 1000
	h.tk.doX(h.tk.init, func(c *Call, _ *testChan) {
		c.Task = other
		_, _ = c.EpollWait(h.ep, make([]EpollEvent, 4), 0)
	})
	if h.record() != nil {
		t.Error("lent while another one asks")
	}
	h.n.take("set").host(61, 0)
	h.n.take("dropset")
	if s := h.n.sets[61]; rt.hosts != 61 || rt.hostsTo != 0 || s == nil || s.items[50] != (EpollEvent{PollIn | EpollET, testSetData}) || s.wakeData != rt.wake {
		t.Errorf("%+v, %+v", rt.hostSet, s)
	}
	// A set that others have, too, is lent to nobody.
	refs := func(n uint32) {
		h.call(func(*Call, *testChan) { h.tk.Files.Mut(f).Refs += n })
	}
	refs(1)
	for range 2 * lendOften {
		h.wait()
	}
	refs(^uint32(0))
	if h.record() != nil {
		t.Error("lent to one of two")
	}
}

// TestLentHostSetRecovers: who sleeps in a set of a dead incarnation's is kicked.
func TestLentHostSetRecovers(t *testing.T) {
	for _, sleeps := range []bool{true, false} {
		h := newLentHostSet(t, PollIn|EpollET)
		h.lend()
		h.record().sleeps = sleeps
		h.call(func(c *Call, _ *testChan) { c.MutThread().HostTID = 77 })
		for i := range h.tk.host.sets[h.tk.task()] {
			h.tk.host.UnlendSet(h.tk.task(), i) // as a binding does that is taken up
		}
		next := h.tk.nextOf(h.tk.host.lending, func(k *Kernel) { k.SetNet(&testNet{t: t}) })
		if next.threadRT(next.init).kicked != sleeps {
			t.Errorf("sleeps: %v, kicked: %v", sleeps, !sleeps)
		}
	}
}
