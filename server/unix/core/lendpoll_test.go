package core

import (
	"slices"
	"testing"

	"hythe/abi"
	"hythe/store"
)

// polledStream is a connection of which one end, 1, is watched by an epoll set of its process.
type polledStream struct {
	*lentStream
	ep int32
}

func newPolledStream(t *testing.T, tk *testKernel, family uint32) *polledStream {
	t.Helper()
	p := &polledStream{lentStream: newLentStream(t, tk, family)}
	p.call(1, func(c *Call, _ *testChan) {
		var e abi.Errno
		p.ep, e = c.NewEpoll(0)
		want(t, "set", e, 0)
		want(t, "add", c.EpollCtl(p.ep, EpollAdd, p.fd[1], PollIn, 5), 0)
	})
	return p
}

func (p *polledStream) task(end int) TaskID {
	return p.tk.Procs.Get(p.tk.Threads.Get(p.th[end]).Proc).Task
}

// checkStreams: each set knows which of its items are streams that are lent.
func (tk *testKernel) checkStreams() {
	tk.t.Helper()
	tk.Epolls.Each(func(s store.Ref[EpollSet], _ *EpollSet) bool {
		rt, n := tk.epollSetRT(s), 0
		for _, w := range rt.items {
			if lent := w.stream != 0; lent != slices.Contains(rt.streams, w) || lent && tk.Streams.Get(w.stream).Lent == 0 {
				tk.t.Errorf("item %d of stream %d; of %d streams", w.item, w.stream, len(rt.streams))
			} else if lent {
				n++
			}
		}
		if n != len(rt.streams) {
			tk.t.Errorf("%d streams, %d are listed", n, len(rt.streams))
		}
		return true
	})
}

// wait asks for what is ready, by a call.
func (p *polledStream) wait() (ev []EpollEvent) {
	p.tk.t.Helper()
	p.call(1, func(c *Call, _ *testChan) {
		var buf [8]EpollEvent
		n, e := c.EpollWait(p.ep, buf[:], 0)
		if e != 0 {
			p.tk.t.Fatal(e)
		}
		ev = append(ev, buf[:n]...)
		p.tk.checkStreams()
	})
	return ev
}

func (p *polledStream) polled(end int) uint32 {
	x := p.stream()
	f, _, _ := p.tk.FDAtRaw(p.th[end], p.fd[end])
	return p.mem().polled[p.tk.side(x, f)]
}

func (p *polledStream) file(end int) store.Ref[File] {
	f, _, _ := p.tk.FDAtRaw(p.th[end], p.fd[end])
	return f
}

func TestPolledStream(t *testing.T) {
	for _, family := range []uint32{FamilyUnix, FamilyInet} {
		tk := newTestKernel(t)
		p := newPolledStream(t, tk, family)
		p.lend()
		if ev := p.wait(); len(ev) != 0 || !p.lent() {
			t.Fatal(ev, p.lent())
		}
		p.put(0, "hello")
		for range 3 * lendOften { // and the set is lent
			if ev := p.wait(); len(ev) != 1 || ev[0] != (EpollEvent{PollIn, 5}) || !p.lent() {
				t.Fatal(ev, p.lent())
			}
		}
		sets := tk.host.sets[p.task(1)]
		i := 0
		for i < len(sets) && !sets[i].lent {
			i++
		}
		if i == len(sets) {
			t.Fatal("the set is not lent")
		}
		pos := tk.host.records(p.task(1))[p.fd[1]].Pos
		if it := sets[i].items; len(it) != 1 || it[0].Stream != pos || it[0].Data != 5 || it[0].Events&PollIn == 0 || it[0].Events&PollOut != 0 {
			t.Errorf("listed: %+v, the descriptor has %x", it, pos)
		}
		p.take(1, 5)
		// What the set is told by a call keeps the stream, if it stays simple.
		for _, x := range []struct {
			what string
			op   int32
			ev   uint32
			e    abi.Errno
			lent bool
		}{
			{"modified", EpollMod, PollIn | PollOut, 0, true}, {"removed", EpollDel, 0, 0, true}, {"no such item", EpollMod, PollIn, abi.ENOENT, true},
			{"added", EpollAdd, PollOut, 0, true}, {"twice", EpollAdd, PollOut, abi.EEXIST, true}, {"by its edge", EpollMod, PollIn | EpollET, 0, false},
		} {
			p.call(1, func(c *Call, _ *testChan) { want(t, x.what, c.EpollCtl(p.ep, x.op, p.fd[1], x.ev, 6), x.e) })
			if x.e == 0 && sets[i].lent {
				t.Errorf("%s: the set is lent as it was", x.what)
			}
			if p.lent() != x.lent {
				t.Errorf("%s: lent: %v", x.what, p.lent())
			}
			tk.checkStreams()
			if x.what == "added" {
				if ev := p.wait(); len(ev) != 1 || ev[0] != (EpollEvent{PollOut, 6}) {
					t.Error(x.what, ev)
				}
				room := uint64(1 << 18)
				for used := uint64(0); used < room; used += 1000 {
					p.put(1, string(make([]byte, 1000)))
					can := used+1000 <= uint64(tk.streamWritable(p.stream(), 0))
					if family == FamilyInet && used > 150000 {
						break
					}
					if ev := p.wait(); can != (len(ev) == 1) && used+1000 < uint64(sockBuf/4) {
						t.Fatalf("%d bytes under way: %v", used+1000, ev)
					}
				}
				p.take(0, *p.word(1)&abi.StreamUsed)
			}
		}
	}
}

// Who sleeps in a set says so beside the stream, and looks again when he is told; he says so no more
// when he does not sleep.
func TestPolledStreamSleeps(t *testing.T) {
	tk := newTestKernel(t)
	p := newPolledStream(t, tk, FamilyUnix)
	p.lend()
	done := make(chan []EpollEvent, 1)
	slept := make(chan struct{}, 10)
	tk.HandOver = func() { slept <- struct{}{} }
	go func() {
		c, _ := tk.call(p.th[1])
		c.Leader = true
		c.Task = p.task(1)
		tk.Enter()
		m := tk.Threads.Mut(p.th[1])
		m.CurSeq++
		var buf [8]EpollEvent
		n, e := c.EpollWait(p.ep, buf[:], NoDeadline)
		m = tk.Threads.Mut(p.th[1])
		m.DoneSeq = m.CurSeq
		tk.Leave()
		if e != 0 {
			n = 0
		}
		done <- buf[:n]
	}()
	<-slept
	tk.Enter()
	if got := p.polled(0); got != abi.StreamPollIn {
		t.Errorf("who sleeps says %x", got)
	}
	tk.StreamsChanged(p.task(0)) // nothing has
	tk.Leave()
	tk.Enter()
	p.put(0, "x")
	tk.StreamsChanged(p.task(1)) // who waits himself
	tk.StreamsChanged(99)
	tk.Leave()
	select {
	case ev := <-done:
		t.Log("it has looked by itself", ev) // since the first time
		done <- ev
	default:
	}
	tk.Enter()
	tk.StreamsChanged(p.task(0))
	tk.Leave()
	if ev := <-done; len(ev) != 1 || ev[0].Events != PollIn {
		t.Error(ev)
	}
	tk.Enter()
	if got := p.polled(0); got != 0 {
		t.Errorf("who does not sleep says %x", got)
	}
	if !p.lent() {
		t.Error("not lent any more")
	}
	tk.Leave()
	if got := p.read(1, 10); got != "x" || p.lent() {
		t.Errorf("%q", got)
	}
	if ev := p.wait(); len(ev) != 0 {
		t.Error(ev)
	}
}

// When several sleep in a set and the library has taken back that somebody does, who goes to sleep again says so
// anew, though others are not awake yet; and who leaves one set leaves what another one's sleepers have said.
func TestPolledStreamSleepers(t *testing.T) {
	tk := newTestKernel(t)
	p := newPolledStream(t, tk, FamilyUnix)
	var other int32
	p.call(1, func(c *Call, _ *testChan) {
		var e abi.Errno
		other, e = c.NewEpoll(0)
		want(t, "set", e, 0)
		want(t, "add", c.EpollCtl(other, EpollAdd, p.fd[1], PollIn, 6), 0)
	})
	p.lend()
	tk.Enter()
	defer tk.Leave()
	set := func(fd int32) *epollRT {
		f, _, _ := tk.FDAtRaw(p.th[1], fd)
		return tk.epollSetRT(store.Ref[EpollSet](tk.Files.Get(f).Obj))
	}
	one, two := set(p.ep), set(other)
	said := func() bool { return p.polled(0)&abi.StreamPollIn != 0 }
	dir := 1 - one.items[epollKey{p.file(1), p.fd[1]}].streamSide()
	for range 3 {
		tk.armSet(one, true)
		if !said() {
			t.Fatal("who sleeps does not say so")
		}
		tk.Host.StreamPoll(p.stream().Object, dir, abi.StreamPollIn, false) // as the library does
		tk.StreamsChanged(p.task(0))
		if one.armed {
			t.Fatal("who goes to sleep now does not say so")
		}
	}
	tk.armSet(one, true)
	tk.armSet(two, true)
	tk.armSet(two, false)
	if !said() {
		t.Error("who sleeps in the other set is not told")
	}
	tk.pollStream(p.file(1), tk.fileRT(p.file(1)).stream, tk.fileRT(p.file(1)).streamPos)
	if one.armed || said() {
		t.Error("a stream that is lent now is not looked at")
	}
}

// What finds the set otherwise than to wait takes back the streams that it watches, and such a set keeps
// them from being lent.
func TestPolledStreamTakenBack(t *testing.T) {
	for what, x := range map[string]struct {
		do   func(c *Call, p *polledStream) abi.Errno
		lent bool // again, by what follows
	}{
		"dup":   {func(c *Call, p *polledStream) abi.Errno { _, e := c.Dup(p.ep, 0, 0); return e }, false},
		"found": {func(c *Call, p *polledStream) abi.Errno { _, _, e := c.File(p.ep); return e }, true},
		"poll": {func(c *Call, p *polledStream) abi.Errno {
			_, e := c.Poll([]PollFD{{FD: p.ep, Events: PollIn}}, 0)
			return e
		}, true},
		"nested": {func(c *Call, p *polledStream) abi.Errno {
			ep, e := c.NewEpoll(0)
			if e == 0 {
				e = c.EpollCtl(ep, EpollAdd, p.ep, PollIn, 1)
			}
			return e
		}, false},
		"held": {func(c *Call, p *polledStream) abi.Errno {
			f, _ := c.K.fdEntry(c.Proc().FDs, p.ep)
			c.K.HoldFile(f)
			return 0
		}, false},
		"another set, once": {func(c *Call, p *polledStream) abi.Errno {
			ep, e := c.NewEpoll(0)
			if e == 0 {
				e = c.EpollCtl(ep, EpollAdd, p.fd[1], PollIn|EpollOneshot, 1)
			}
			return e
		}, false},
		"watched otherwise": {func(c *Call, p *polledStream) abi.Errno {
			f, _, e := c.File(p.ep)
			c.K.Ops(f).Queue(f).Watch(func(uint32) {})
			return e
		}, false},
	} {
		tk := newTestKernel(t)
		p := newPolledStream(t, tk, FamilyUnix)
		p.lend()
		p.put(0, "in it")
		var f store.Ref[File]
		f, _, _ = tk.FDAtRaw(p.th[1], p.ep)
		p.call(1, func(c *Call, _ *testChan) { want(t, what, x.do(c, p), 0) })
		if p.lent() {
			t.Errorf("%s: still lent", what)
		}
		if ev := p.wait(); len(ev) != 1 || ev[0].Events != PollIn {
			t.Errorf("%s: %v", what, ev)
		}
		if got := p.read(1, 10); got != "in it" {
			t.Errorf("%s: %q", what, got)
		}
		again := p.again()
		if again != x.lent {
			t.Errorf("%s: lent again: %v", what, again)
		}
		if what == "held" {
			tk.Enter()
			tk.Files.Mut(f).Refs--
			tk.Leave()
		}
	}
	// The set and the stream end while it is lent, in either order.
	for _, first := range []bool{false, true} {
		tk := newTestKernel(t)
		p := newPolledStream(t, tk, FamilyUnix)
		p.lend()
		p.put(0, "last")
		p.call(1, func(c *Call, _ *testChan) {
			if first {
				want(t, "close", c.CloseFD(p.ep), 0)
			}
		})
		p.call(0, func(c *Call, _ *testChan) { want(t, "close", c.CloseFD(p.fd[0]), 0) })
		if !first {
			if ev := p.wait(); len(ev) != 1 || ev[0].Events != PollIn|PollHup {
				t.Error(ev)
			}
		}
		if got := p.read(1, 10); got != "last" {
			t.Errorf("%q", got)
		}
	}
}

// The next incarnation takes back what was lent, and those who sleep wait again.
func TestPolledStreamReopened(t *testing.T) {
	tk := newTestKernel(t)
	p := newPolledStream(t, tk, FamilyUnix)
	p.lend()
	p.put(0, "kept")
	tk.reopen()
	if p.lent() {
		t.Error("still lent")
	}
	if ev := p.wait(); len(ev) != 1 || ev[0].Events != PollIn {
		t.Error(ev)
	}
	if got := p.read(1, 10); got != "kept" {
		t.Errorf("%q", got)
	}
	p.lend()
}
