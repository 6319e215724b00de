package core

import (
	"fmt"
	"math/rand"
	"slices"
	"testing"

	"hythe/abi"
	"hythe/store"
)

// lendSet asks until the set of a connection is lent.
func (p *polledStream) lendSet() {
	p.tk.t.Helper()
	p.put(0, "x")
	for range 2*lendOften + lentForNothing {
		if p.wait(); p.setLent() {
			p.take(1, 1)
			return
		}
	}
	p.tk.t.Fatal("asked so often, and the set is not lent")
}

func (p *polledStream) setLent() bool {
	sets := p.tk.host.sets[p.task(1)]
	return sets != nil && slices.ContainsFunc(sets[:], func(s testSet) bool { return s.lent && s.fd == p.ep })
}

// ctl is epoll_ctl(2): of the library, if it serves it.
func (p *polledStream) ctl(op int32, ev uint32, data uint64) (e abi.Errno, served bool) {
	if e, ok := p.tk.host.ctl(p.task(1), p.ep, op, p.fd[1], ev, data); ok {
		return e, true
	}
	p.call(1, func(c *Call, _ *testChan) { e = c.EpollCtl(p.ep, op, p.fd[1], ev, data) })
	return e, false
}

// item is what the record says of the connection's end in the set.
func (p *polledStream) item() string {
	f, _, _ := p.tk.FDAtRaw(p.th[1], p.ep)
	if f == 0 {
		return "no set"
	}
	s := "none"
	p.tk.epItems().Each(&p.tk.Epolls.Get(store.Ref[EpollSet](p.tk.Files.Get(f).Obj)).Items, func(_ store.Ref[EpollItem], i *EpollItem) bool {
		s = fmt.Sprintf("%x %d", i.Events, i.Data)
		return true
	})
	return s
}

// What a library does with the items of its set is in the record by the end of whatever call, of whomever, takes
// the set back, or looks at it; and the next incarnation finds it.
func TestLendSetCtl(t *testing.T) {
	type change struct {
		op   int32
		ev   uint32
		data uint64
		e    abi.Errno
	}
	for _, x := range []struct {
		changes []change
		item    string
	}{
		{[]change{{EpollMod, PollIn | PollOut, 9, 0}}, "5 9"},
		{[]change{{EpollAdd, PollOut, 9, abi.EEXIST}}, "1 5"},
		{[]change{{EpollDel, 0, 0, 0}}, "none"},
		{[]change{{EpollDel, 0, 0, 0}, {EpollDel, 0, 0, abi.ENOENT}, {EpollMod, PollIn, 3, abi.ENOENT}}, "none"},
		{[]change{{EpollDel, 0, 0, 0}, {EpollAdd, PollOut, 1 << 63, 0}}, "4 9223372036854775808"},
		{[]change{{EpollDel, 0, 0, 0}, {EpollAdd, PollOut, 2, 0}, {EpollMod, PollIn, 3, 0}, {EpollAdd, PollIn, 4, abi.EEXIST}}, "1 3"},
		// Forged: what no library says.
		{[]change{{EpollMod, PollIn | EpollET | EpollOneshot | EpollExclusive, 7, 0}}, "1 7"},
	} {
		for what, do := range map[string]func(p *polledStream){
			"it waits": func(p *polledStream) { p.wait() },
			"no such item": func(p *polledStream) {
				p.call(1, func(c *Call, _ *testChan) { c.EpollCtl(p.ep, EpollMod, 40, PollIn, 0) })
			},
			"found":        func(p *polledStream) { p.call(1, func(c *Call, _ *testChan) { _, _, _ = c.File(p.ep) }) },
			"stream found": func(p *polledStream) { p.call(1, func(c *Call, _ *testChan) { _, _, _ = c.File(p.fd[1]) }) },
			"other end":    func(p *polledStream) { p.write(0, "y") },
			"other closes": func(p *polledStream) { p.call(0, func(c *Call, _ *testChan) { c.CloseFD(p.fd[0]) }) },
			"dup": func(p *polledStream) {
				p.call(1, func(c *Call, _ *testChan) {
					_, e := c.Dup(p.fd[1], 0, 0)
					want(t, "dup", e, 0)
					want(t, "close", c.CloseFD(p.fd[1]), 0)
				})
			},
			"all": func(p *polledStream) { p.call(0, func(c *Call, _ *testChan) { p.tk.takeBackAll() }) },
			"dies": func(p *polledStream) {
				for i := range p.tk.host.sets[p.task(1)] { // as a binding does for the next incarnation
					p.tk.host.UnlendSet(p.task(1), i)
				}
				p.tk.reopen()
			},
			"dies before it says that it has it": func(p *polledStream) {
				p.tk.host.noSettle = true
				p.wait()
				p.tk.host.noSettle = false
				p.tk.reopen()
			},
		} {
			tk := newTestKernel(t)
			p := newPolledStream(t, tk, FamilyUnix)
			p.lend()
			p.lendSet()
			for _, c := range x.changes {
				if e, served := p.ctl(c.op, c.ev, c.data); e != c.e || !served {
					t.Fatalf("%v: %v, served: %v", c, e, served)
				}
			}
			do(p)
			if got := p.item(); got != x.item {
				t.Errorf("%v, %s: %s, want %s", x.changes, what, got, x.item)
			}
			if tk.host.SetChanged(p.task(1), 0) && tk.host.sets[p.task(1)][0].lent == false || len(tk.io.owed) > 0 {
				t.Errorf("%s: not settled", what)
			}
			tk.checkStreams()
			tk.end()
		}
	}
	// The stream, or the set, is closed: nobody has the item any more.
	for _, what := range []string{"stream", "set", "both"} {
		tk := newTestKernel(t)
		p := newPolledStream(t, tk, FamilyUnix)
		p.lend()
		p.lendSet()
		_, _ = p.ctl(EpollDel, 0, 0)
		_, _ = p.ctl(EpollAdd, PollOut, 2)
		p.call(1, func(c *Call, _ *testChan) {
			if what != "set" {
				want(t, "close", c.CloseFD(p.fd[1]), 0)
			}
			if what != "stream" {
				want(t, "close", c.CloseFD(p.ep), 0)
			}
		})
		if n := tk.EpItems.Len(); n != 0 || len(tk.io.owed) > 0 {
			t.Errorf("%s: %d items, %d sets are not settled", what, n, len(tk.io.owed))
		}
		tk.end()
	}
}

// What the server does with an item behind what the library has done with it stays, also if the server dies before it
// has said that it has that.
func TestLendSetCtlThenServer(t *testing.T) {
	for _, x := range []struct {
		lib, op int32
		item    string
	}{
		{EpollDel, EpollAdd, "80000001 9"},
		{EpollMod, EpollMod, "80000001 9"},
		{EpollMod, EpollDel, "none"},
	} {
		for _, found := range []bool{false, true} {
			tk := newTestKernel(t)
			p := newPolledStream(t, tk, FamilyUnix)
			p.lend()
			p.lendSet()
			if e, served := p.ctl(x.lib, PollOut, 3); e != 0 || !served {
				t.Fatal(e, served)
			}
			p.call(1, func(c *Call, _ *testChan) {
				if found {
					_, _, _ = c.File(p.fd[1]) // takes the set back
				}
				want(t, "ctl", c.EpollCtl(p.ep, x.op, p.fd[1], PollIn|EpollET, 9), 0)
				tk.host.noSettle = true // it dies as soon as the record has it
			})
			tk.host.noSettle = false
			tk.reopen()
			if got := p.item(); got != x.item {
				t.Errorf("library %d, server %d, found %v: %s, want %s", x.lib, x.op, found, got, x.item)
			}
			tk.end()
		}
	}
}

// A set has an item whose descriptor was closed, of a connection that has another one, and the number is another
// connection's: what the library does by the number is the other one's, in this incarnation and the next.
func TestLendSetCtlNumber(t *testing.T) {
	tk := newTestKernel(t)
	p := newPolledStream(t, tk, FamilyUnix)
	p.call(1, func(c *Call, _ *testChan) {
		fd, e := c.Dup(p.fd[1], 0, 0)
		want(t, "dup", e, 0)
		want(t, "close", c.CloseFD(p.fd[1]), 0)
		p.fd[1] = fd
	})
	p.lend()
	p.lendSet()
	old := int32(-1)
	for _, s := range tk.host.sets[p.task(1)] {
		if s.lent {
			if len(s.items) != 1 || s.items[0].Stream == 0 || s.items[0].FD != -1 {
				t.Errorf("lent: %+v", s.items)
			}
			old = s.fd
		}
	}
	if old != p.ep {
		t.Fatal("not lent")
	}
	for _, op := range []int32{EpollMod, EpollDel} {
		if e, served := p.ctl(op, PollOut, 3); e != abi.ENOENT || served {
			t.Errorf("%d: %v, served: %v", op, e, served)
		}
	}
	if got := p.item(); got != "1 5" {
		t.Errorf("the item: %s", got)
	}
	tk.end()
}

// The same process twice, of which one is lent no sets: whatever it and its peer do, both are told the same.
func TestLendSetCtlRandom(t *testing.T) {
	seeds, served := int64(5), 0
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		var p [2]*polledStream
		for i := range p {
			tk := newTestKernel(t)
			tk.host.noSets = i == 1
			p[i] = newPolledStream(t, tk, FamilyUnix)
			for end, th := range p[i].th {
				f, _, _ := tk.FDAtRaw(th, p[i].fd[end])
				tk.Enter()
				tk.Files.Mut(f).Flags |= OpenNonblock
				tk.Leave()
			}
		}
		rnd := rand.New(rand.NewSource(seed))
		for step := range 300 {
			r, ev, data := rnd.Intn(40), []uint32{PollIn, PollOut, PollIn | PollOut, 0}[rnd.Intn(4)], rnd.Uint64()
			op, rounds := int32(1+rnd.Intn(3)), 1+rnd.Intn(2*lendOften)
			var said [2]string
			for i, p := range p {
				quiet := func() { // no call was under way when it was lent
					for e := range p.th {
						p.tk.fileRT(p.file(e)).late = false
					}
				}
				write := func(end int, b string) { quiet(); p.write(end, b) }
				read := func(end int) { quiet(); said[i] += p.read(end, 1<<16) }
				switch {
				case r < 20:
					e, ok := p.ctl(op, ev, data)
					if ok {
						served++
					}
					said[i] = e.Name()
				case r < 30:
					for range rounds {
						said[i] += fmt.Sprint(p.wait())
					}
				case r == 30:
					write(0, "some")
					said[i] = fmt.Sprint(p.wait())
					read(1)
				case r == 31:
					p.call(1, func(c *Call, _ *testChan) {
						fd, e := c.Dup(p.fd[1], 0, 0)
						said[i] = e.Name()
						c.CloseFD(fd)
					})
				case r == 32:
					if sets := p.tk.host.sets[p.task(1)]; sets != nil {
						for i := range sets {
							p.tk.host.UnlendSet(p.task(1), i)
						}
					}
					p.tk.reopen()
				case r == 33:
					write(1, "answer")
					read(0)
				default: // it comes to be lent
					for n := 0; n < lentForNothing+3*lendOften && !p.lent(); n++ {
						write(0, "ping")
						if read(1); !p.lent() {
							write(1, "pong")
							read(0)
						}
					}
					for range 2 * lendOften {
						said[i] += fmt.Sprint(p.wait())
					}
				}
				p.tk.checkStreams()
			}
			if said[0] != said[1] {
				t.Fatalf("seed %d step %d (%d): %s, and %s if sets are not lent", seed, step, r, said[0], said[1])
			}
		}
		for _, p := range p {
			p.tk.end()
		}
	}
	if served < 100 {
		t.Errorf("the library has served %d times only", served)
	}
}
