package core

import (
	"fmt"
	"math/rand"
	"slices"
	"testing"

	"hythe/abi"
)

// setPair is the same process twice, of which the first is lent its epoll sets: whatever it does,
// both are told the same, in the same order.
type setPair struct {
	t      *testing.T
	tk     [2]*testKernel
	ep     int32
	served int // answers of the library
}

func newSetPair(t *testing.T) *setPair {
	p := &setPair{t: t}
	for i := range p.tk {
		p.tk[i] = newTestKernel(t)
	}
	p.tk[1].host.noSets = true
	p.ep = p.both("epoll", func(c *Call, _ *testChan) (int32, abi.Errno) { return c.NewEpoll(0) })
	return p
}

// both has each process do something, which has to come to the same.
func (p *setPair) both(what string, do func(c *Call, x *testChan) (int32, abi.Errno)) (v int32) {
	p.t.Helper()
	var e [2]abi.Errno
	var r [2]int32
	for i, tk := range p.tk {
		tk.doX(tk.init, func(c *Call, x *testChan) {
			c.Task = tk.task()
			r[i], e[i] = do(c, x)
		})
	}
	if r[0] != r[1] || e[0] != e[1] {
		p.t.Fatalf("%s: %d %v, and %d %v if sets are not lent", what, r[0], e[0], r[1], e[1])
	}
	return r[0]
}

// wait asks both for at most so many events.
func (p *setPair) wait(what string, most int) []EpollEvent {
	p.t.Helper()
	var got [2][]EpollEvent
	for i, tk := range p.tk {
		if ev, ok := tk.host.wait(tk.task(), p.ep, most); ok {
			got[i] = ev
			p.served++
			continue
		}
		tk.doX(tk.init, func(c *Call, _ *testChan) {
			c.Task = tk.task()
			ev := make([]EpollEvent, most)
			n, e := c.EpollWait(p.ep, ev, 0)
			if e != 0 {
				p.t.Fatal(what, e)
			}
			got[i] = ev[:n]
		})
	}
	if !slices.Equal(got[0], got[1]) {
		p.t.Fatalf("%s: at most %d: %x, and %x if sets are not lent", what, most, got[0], got[1])
	}
	return got[0]
}

func (p *setPair) ctl(op, fd int32, ev uint32, data uint64) {
	p.t.Helper()
	p.both(fmt.Sprint("ctl ", op, fd), func(c *Call, _ *testChan) (int32, abi.Errno) {
		return 0, c.EpollCtl(p.ep, op, fd, ev, data)
	})
}

func (p *setPair) pipe() (r, w int32) {
	p.t.Helper()
	w = p.both("pipe", func(c *Call, _ *testChan) (int32, abi.Errno) {
		_, w, e := c.NewPipe(OpenNonblock)
		return w, e
	})
	return w - 1, w
}

func (p *setPair) write(fd int32, n uint64) {
	p.both("write", func(c *Call, x *testChan) (int32, abi.Errno) {
		clear(x.mem()[:8])
		x.mem()[0] = 1
		m, e := c.WriteFD(fd, guestBase, n, -1)
		return int32(m), e
	})
}

func (p *setPair) read(fd int32, n uint64) {
	p.both("read", func(c *Call, x *testChan) (int32, abi.Errno) {
		m, e := c.ReadFD(fd, guestBase, n, -1)
		return int32(m), e
	})
}

// lend asks until the set is lent.
func (p *setPair) lend() {
	p.t.Helper()
	for range 2*lendOften + lentForNothing {
		if p.wait("to be lent", 1); p.lent() {
			return
		}
	}
	p.t.Fatal("asked so often, and not lent")
}

func (p *setPair) lent() bool {
	_, ok := p.tk[0].host.wait(p.tk[0].task(), p.ep, 0)
	return ok
}

func TestLendSet(t *testing.T) {
	p := newSetPair(t)
	r, w := p.pipe()
	p.ctl(EpollAdd, w, PollOut, 7)
	p.lend()
	if ev := p.wait("a pipe", 5); len(ev) != 1 || ev[0] != (EpollEvent{PollOut, 7}) || p.served == 0 {
		t.Fatal(ev, p.served)
	}
	// Round by round, and what comes later is told last.
	var ws []int32
	for i := range 4 {
		_, w := p.pipe()
		p.ctl(EpollAdd, w, PollOut, uint64(i))
		ws = append(ws, w)
	}
	for range 3 {
		p.lend()
		for most := 1; most < 7; most++ {
			p.wait("rounds", most)
		}
		p.ctl(EpollMod, ws[2], 0, 2)
		p.wait("one less", 3)
		p.ctl(EpollMod, ws[2], PollOut, 22)
		p.lend()
	}
	// What takes it back.
	for what, do := range map[string]func(c *Call) abi.Errno{
		"mod":       func(c *Call) abi.Errno { return c.EpollCtl(p.ep, EpollMod, w, PollOut, 8) },
		"del":       func(c *Call) abi.Errno { return c.EpollCtl(p.ep, EpollDel, ws[3], 0, 0) },
		"write":     func(c *Call) abi.Errno { _, e := c.WriteFD(w, guestBase, 1, -1); return e },
		"other end": func(c *Call) abi.Errno { _, e := c.ReadFD(r, guestBase, 1, -1); return e },
		"size":      func(c *Call) abi.Errno { f, _, _ := c.File(r); _, e := c.K.SetPipeSize(f, 1<<17); return e },
		"close":     func(c *Call) abi.Errno { return c.CloseFD(ws[0]) },
		"table":     func(c *Call) abi.Errno { c.K.takeBackTable(c.Proc().FDs); return 0 },
		"found":     func(c *Call) abi.Errno { _, _, e := c.File(w); return e },
	} {
		p.write(w, 1)
		p.lend()
		p.both(what, func(c *Call, _ *testChan) (int32, abi.Errno) { return 0, do(c) })
		if p.lent() {
			t.Error(what, "did not take the set back")
		}
		p.wait(what, 8)
	}
	// Another set in the descriptor's place.
	p.lend()
	p.both("dup2", func(c *Call, _ *testChan) (int32, abi.Errno) {
		n, e := c.NewEpoll(0)
		if e == 0 {
			f, _, _ := c.File(n)
			e = c.InstallFDAt(f, p.ep, 0)
		}
		return n, e
	})
	if p.lent() {
		t.Error("lent by a descriptor that is another set's")
	}
	if ev := p.wait("the other set", 8); len(ev) != 0 {
		t.Error(ev)
	}
	// Nothing is ready.
	p.lend()
	if ev := p.wait("nothing", 8); len(ev) != 0 {
		t.Error(ev)
	}
}

// Sets in which something is ready that may not be so for long are not lent.
func TestNotLentSets(t *testing.T) {
	for what, do := range map[string]func(p *setPair){
		"nested": func(p *setPair) {
			ep := p.ep
			p.ep = p.both("set", func(c *Call, _ *testChan) (int32, abi.Errno) { return c.NewEpoll(0) })
			_, w := p.pipe()
			p.ctl(EpollAdd, w, PollOut, 1)
			in := p.ep
			p.ep = ep
			p.ctl(EpollAdd, in, PollIn, 2)
		},
		"datagrams": func(p *setPair) {
			a := p.both("pair", func(c *Call, _ *testChan) (int32, abi.Errno) {
				a, _, e := c.SocketPair(FamilyUnix, SockDgram, 0, 0)
				return a, e
			})
			p.ctl(EpollAdd, a, PollOut, 1)
		},
		"pinned": func(p *setPair) {
			_, w := p.pipe()
			p.ctl(EpollAdd, w, PollOut, 1)
			p.both("pin", func(c *Call, _ *testChan) (int32, abi.Errno) { f, _, e := c.File(w); c.K.pinFile(f); return 0, e })
		},
		"two readers": func(p *setPair) {
			r, w := p.pipe()
			p.write(w, 1)
			p.ctl(EpollAdd, r, PollIn, 1)
			p.both("again", func(c *Call, _ *testChan) (int32, abi.Errno) {
				_, file, e := c.File(r)
				c.K.Pipes.Mut(pipeOf(file)).Readers++
				return 0, e
			})
		},
		"many": func(p *setPair) {
			for i := range abi.LentSetItems + 1 {
				_, w := p.pipe()
				p.ctl(EpollAdd, w, PollOut, uint64(i))
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			p := newSetPair(t)
			do(p)
			for range 2*lendOften + lentForNothing {
				p.wait("not lent", 1)
				if p.lent() {
					t.Fatal("lent")
				}
			}
		})
	}
}

// Whatever is done to what a set watches, and to the set, is told as if it were not lent.
func TestLentSetRandom(t *testing.T) {
	served := 0
	seeds := int64(60)
	if raceEnabled { // each has two machines' memory, which the detector has many times
		seeds = 6
	}
	for seed := range seeds {
		p := newSetPair(t)
		rnd := rand.New(rand.NewSource(seed))
		type watched struct {
			fd, to int32 // to: what makes it ready
			in     bool
		}
		var all []watched
		for range 3 {
			r, w := p.pipe()
			all = append(all, watched{r, w, true}, watched{w, r, false})
			b := p.both("pair", func(c *Call, _ *testChan) (int32, abi.Errno) {
				_, b, e := c.SocketPair(FamilyUnix, SockStream, 0, OpenNonblock)
				return b, e
			})
			all = append(all, watched{b - 1, b, true}, watched{b, b - 1, true})
			v := p.both("counter", func(c *Call, _ *testChan) (int32, abi.Errno) { return c.NewEventFD(0, false, OpenNonblock) })
			all = append(all, watched{v, v, true})
		}
		in := map[int32]bool{}
		modes := []uint32{0, 0, 0, 0, EpollET, EpollOneshot}
		for step := range 400 {
			what := fmt.Sprint("seed ", seed, " step ", step)
			x := all[rnd.Intn(len(all))]
			switch rnd.Intn(12) {
			case 0, 1:
				op := int32(EpollAdd)
				if in[x.fd] {
					op = EpollMod
				}
				p.ctl(op, x.fd, []uint32{PollIn, PollOut, PollIn | PollOut}[rnd.Intn(3)]|modes[rnd.Intn(len(modes))], uint64(x.fd)<<32|uint64(step))
				in[x.fd] = true
			case 2:
				if in[x.fd] && rnd.Intn(3) == 0 {
					p.ctl(EpollDel, x.fd, 0, 0)
					in[x.fd] = false
				}
			case 3:
				p.both(what, func(c *Call, y *testChan) (int32, abi.Errno) {
					clear(y.mem()[:8])
					y.mem()[0] = 1
					n, e := c.WriteFD(x.to, guestBase, 8, -1)
					return int32(n), e
				})
			case 4:
				p.read(x.fd, uint64(8*(1+rnd.Intn(100))))
			case 5:
				if x.fd != x.to && !x.in && rnd.Intn(3) == 0 {
					for range 17 {
						p.write(x.fd, 4096)
					}
				}
			default:
				most := 1 + rnd.Intn(8)
				for range 1 + rnd.Intn(3*lendOften) {
					p.wait(what, most)
				}
			}
		}
		served += p.served
		for _, tk := range p.tk {
			tk.end()
		}
	}
	if served < 1000 {
		t.Errorf("the library has answered %d times only", served)
	}
}
