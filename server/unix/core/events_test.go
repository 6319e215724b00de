package core

import (
	"testing"

	"hythe/abi"
)

func (th *ioThread) epoll() (fd int32) {
	th.do(func(c *Call) { fd, _ = c.NewEpoll(0) })
	return fd
}

func (th *ioThread) ctl(ep, op, fd int32, ev uint32) (e abi.Errno) {
	th.do(func(c *Call) { e = c.EpollCtl(ep, op, fd, ev, uint64(fd)) })
	return e
}

// ready answers what the set tells now: descriptor to events.
func (th *ioThread) ready(ep int32) map[uint64]uint32 {
	m := map[uint64]uint32{}
	th.do(func(c *Call) {
		var ev [8]EpollEvent
		n, e := c.EpollWait(ep, ev[:], 0)
		if e != 0 {
			th.tk.t.Error(e)
		}
		for _, x := range ev[:n] {
			m[x.Data] = x.Events
		}
	})
	return m
}

func TestEpoll(t *testing.T) {
	tk := newIOKernel(t)
	p := tk.proc(nil)
	ep := p.epoll()
	r, w := p.pipe(OpenNonblock)
	if e := p.ctl(ep, EpollAdd, r, PollIn); e != 0 {
		t.Fatal(e)
	}
	for _, x := range []struct {
		ep, op, fd int32
		ev         uint32
		want       abi.Errno
	}{{ep, EpollAdd, r, PollIn, abi.EEXIST}, {ep, EpollDel, w, 0, abi.ENOENT}, {ep, EpollMod, w, 0, abi.ENOENT},
		{ep, EpollAdd, ep, PollIn, abi.EINVAL}, {ep, 9, w, 0, abi.EINVAL}, {ep, EpollAdd, 99, 0, abi.EBADF},
		{r, EpollAdd, w, 0, abi.EINVAL}, {99, EpollAdd, w, 0, abi.EBADF}} {
		if e := p.ctl(x.ep, x.op, x.fd, x.ev); e != x.want {
			t.Error(x, e)
		}
	}
	if m := p.ready(ep); len(m) != 0 {
		t.Fatal(m)
	}
	p.write(w, "x")
	for range 2 { // level
		if m := p.ready(ep); m[uint64(r)] != PollIn {
			t.Fatal(m)
		}
	}
	tk.restart()
	if m := p.ready(ep); m[uint64(r)] != PollIn {
		t.Fatal("after a restart", m)
	}
	p.ctl(ep, EpollMod, r, PollIn|EpollET)
	if m := p.ready(ep); m[uint64(r)] != PollIn {
		t.Fatal(m)
	}
	if m := p.ready(ep); len(m) != 0 {
		t.Fatal("an edge was told twice", m)
	}
	p.write(w, "y")
	if m := p.ready(ep); m[uint64(r)] != PollIn {
		t.Fatal(m)
	}
	p.ctl(ep, EpollMod, r, PollIn|EpollOneshot)
	if m := p.ready(ep); m[uint64(r)] != PollIn {
		t.Fatal(m)
	}
	p.write(w, "z")
	if m := p.ready(ep); len(m) != 0 {
		t.Fatal(m)
	}
	tk.restart()
	if m := p.ready(ep); len(m) != 0 {
		t.Fatal("a fired registration came back", m)
	}
	p.ctl(ep, EpollMod, r, PollIn)
	if m := p.ready(ep); m[uint64(r)] != PollIn {
		t.Fatal(m)
	}
	p.close(w)
	if m := p.ready(ep); m[uint64(r)] != PollIn|PollHup {
		t.Fatal(m)
	}
	p.close(r)
	if m := p.ready(ep); len(m) != 0 || tk.EpItems.Len() != 0 {
		t.Fatal("a closed file is still in the set", m)
	}
}

func TestEpollNestedAndLoop(t *testing.T) {
	tk := newIOKernel(t)
	p := tk.proc(nil)
	var ep [6]int32
	for i := range ep {
		ep[i] = p.epoll()
	}
	for i := 1; i < 5; i++ {
		if e := p.ctl(ep[i], EpollAdd, ep[i-1], PollIn); e != 0 {
			t.Fatal(i, e)
		}
	}
	if e := p.ctl(ep[5], EpollAdd, ep[4], PollIn); e != abi.ELOOP {
		t.Fatal("too deep:", e)
	}
	if e := p.ctl(ep[0], EpollAdd, ep[2], PollIn); e != abi.ELOOP {
		t.Fatal("cycle:", e)
	}
	r, w := p.pipe(0)
	p.ctl(ep[0], EpollAdd, r, PollIn)
	if m := p.ready(ep[4]); len(m) != 0 {
		t.Fatal(m)
	}
	q := tk.proc(nil)
	qw := p.share(q, w)
	var n int
	var e abi.Errno
	var ev [4]EpollEvent
	done := p.start(func(c *Call) { n, e = c.EpollWait(ep[4], ev[:], NoDeadline) })
	q.write(qw, "x")
	p.wait(done)
	if n != 1 || e != 0 || ev[0].Data != uint64(ep[3]) {
		t.Fatal(n, e, ev)
	}
}

func TestEventFD(t *testing.T) {
	tk := newIOKernel(t)
	p := tk.proc(nil)
	var fd, sem int32
	p.do(func(c *Call) {
		fd, _ = c.NewEventFD(3, false, OpenNonblock)
		sem, _ = c.NewEventFD(2, true, OpenNonblock)
	})
	word := func(v uint64) string {
		var b [8]byte
		putLE64(b[:], v)
		return string(b[:])
	}
	p.write(fd, word(4))
	tk.restart()
	if s, e := p.read(fd, 8); s != word(7) || e != 0 {
		t.Fatal([]byte(s), e)
	}
	if _, e := p.read(fd, 8); e != abi.EAGAIN {
		t.Fatal(e)
	}
	for range 2 {
		if s, _ := p.read(sem, 8); s != word(1) {
			t.Fatal([]byte(s))
		}
	}
	if _, e := p.read(sem, 7); e != abi.EINVAL {
		t.Fatal(e)
	}
	if _, e := p.write(fd, word(^uint64(0))); e != abi.EINVAL {
		t.Fatal(e)
	}
	if _, e := p.write(fd, word(^uint64(0)-1)); e != 0 {
		t.Fatal(e)
	}
	if _, e := p.write(fd, word(1)); e != abi.EAGAIN {
		t.Fatal(e)
	}
	if m := p.poll(fd); m != PollIn|PollRdNorm {
		t.Fatalf("%#x", m)
	}
}

func TestTimerFD(t *testing.T) {
	tk := newIOKernel(t)
	p := tk.proc(nil)
	var fd int32
	p.do(func(c *Call) {
		fd, _ = c.NewTimerFD(1, 0)
		r, _ := c.TimerFile(fd)
		c.K.SetTimer(r, c.K.Clock.Mono()+1e9, 1e8)
	})
	if p.poll(fd) != 0 {
		t.Fatal("early")
	}
	var n uint64
	done := p.start(func(c *Call) { n, _ = c.ReadFD(fd, ioBase, 8, -1) })
	tk.clock.advance(1e9 + 25e7)
	p.wait(done)
	if n != 8 || le64(p.mem) != 3 {
		t.Fatal(n, le64(p.mem))
	}
	tk.restart()
	p.do(func(c *Call) {
		r, _ := c.TimerFile(fd)
		if left, iv := c.K.GetTimer(r); left != 5e7 || iv != 1e8 {
			t.Error(left, iv)
		}
		if _, e := c.TimerFile(99); e != abi.EBADF {
			t.Error(e)
		}
	})
	tk.clock.advance(1e8)
	if p.poll(fd)&PollIn == 0 {
		t.Fatal("late")
	}
}

func TestSignalFD(t *testing.T) {
	tk := newIOKernel(t)
	p := tk.proc(nil)
	var fd int32
	p.do(func(c *Call) {
		c.MutThread().Mask = SigBit(SIGUSR1)
		fd, _ = c.NewSignalFD(SigBit(SIGUSR1)|SigBit(SIGKILL), OpenNonblock)
	})
	if _, e := p.read(fd, 128); e != abi.EAGAIN {
		t.Fatal(e)
	}
	ep := p.epoll()
	p.ctl(ep, EpollAdd, fd, PollIn)
	tk.Enter()
	tk.SendSignal(p.p, &SigInfo{Sig: SIGUSR1, Pid: 42, UID: 7})
	tk.Leave()
	if m := p.ready(ep); m[uint64(fd)] != PollIn {
		t.Fatal(m)
	}
	s, e := p.read(fd, 200)
	if len(s) != 128 || e != 0 || le32([]byte(s)) != uint32(SIGUSR1) || le32([]byte(s)[12:]) != 42 || le32([]byte(s)[16:]) != 7 {
		t.Fatal([]byte(s), e)
	}
	if _, e := p.read(fd, 100); e != abi.EINVAL {
		t.Fatal(e)
	}
}

func TestInotify(t *testing.T) {
	tk := newIOKernel(t)
	p := tk.proc(nil)
	var fd int32
	dir, file := NodeKey{1, 10}, NodeKey{1, 11}
	p.do(func(c *Call) {
		fd, _ = c.NewInotify(OpenNonblock)
		k := c.K
		in, _ := c.inotifyFile(fd)
		for _, key := range []NodeKey{dir, file} {
			r, w := k.InoWds.New()
			w.In, w.Wd, w.Mask, w.Node = in, k.Inotifys.Get(in).NextWd, inAllEvents, key
			k.Inotifys.Mut(in).NextWd++
			k.inoWatches().PushBack(&k.Inotifys.Mut(in).Watches, r)
			k.io.inotify.nodes[key] = append(k.io.inotify.nodes[key], r)
		}
		k.inotifyTell(FSEvent{Dir: dir, Node: file, Name: "f", Mask: evModify})
		k.inotifyTell(FSEvent{Dir: dir, Node: file, Name: "f", Mask: evModify})
	})
	tk.restart()
	s, e := p.read(fd, 1000)
	// One event for the directory with a name, one for the file, then both again.
	if e != 0 || len(s) != 2*(32+16) || le32([]byte(s)) != 1 || s[16:18] != "f\x00" || le32([]byte(s)[32:]) != 2 {
		t.Fatalf("%q %v", s, e)
	}
	p.do(func(c *Call) { c.K.inotifyTell(FSEvent{Node: file, Mask: evDeleteSelf}) })
	s, _ = p.read(fd, 1000)
	if len(s) != 32 || le32([]byte(s)[4:]) != evDeleteSelf || le32([]byte(s)[20:]) != inIgnored {
		t.Fatalf("%q", s)
	}
	p.do(func(c *Call) {
		if e := c.InotifyRemove(fd, 2); e != abi.EINVAL {
			t.Error(e)
		}
		if e := c.InotifyRemove(fd, 1); e != 0 {
			t.Error(e)
		}
	})
	p.close(fd)
	if tk.InoWds.Len() != 0 || tk.InoEvs.Len() != 0 {
		t.Fatal(tk.InoWds.Len(), tk.InoEvs.Len())
	}
}
