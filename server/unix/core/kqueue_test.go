package core

import (
	"testing"

	"hythe/abi"
)

func (th *ioThread) kqueue() (fd int32) {
	th.do(func(c *Call) { fd, _ = c.NewKqueue(0) })
	return fd
}

func (th *ioThread) change(kq int32, ev Kevent) (e abi.Errno) {
	th.do(func(c *Call) { e = c.KqueueChange(kq, &ev) })
	return e
}

// told answers what the queue tells now, by number.
func (th *ioThread) told(kq int32) map[uint64]Kevent {
	m := map[uint64]Kevent{}
	th.do(func(c *Call) {
		var ev [8]Kevent
		n, e := c.KqueueWait(kq, ev[:], 0)
		if e != 0 {
			th.tk.t.Error(e)
		}
		for _, x := range ev[:n] {
			m[x.Ident] = x
		}
	})
	return m
}

func TestKqueue(t *testing.T) {
	tk := newIOKernel(t)
	p := tk.proc(nil)
	kq := p.kqueue()
	r, w := p.pipe(OpenNonblock)
	id := uint64(r)
	read := Kevent{Ident: id, Filter: KqRead, Flags: KqAdd, UData: 7, Ext: [4]uint64{1, 2, 3, 4}}
	if e := p.change(kq, read); e != 0 {
		t.Fatal(e)
	}
	for _, x := range []struct {
		kq   int32
		ev   Kevent
		want abi.Errno
	}{
		{kq, Kevent{Ident: uint64(w), Filter: KqRead, Flags: KqDelete}, abi.ENOENT},
		{kq, Kevent{Ident: uint64(w), Filter: KqWrite, Flags: KqEnable}, abi.ENOENT},
		{kq, Kevent{Ident: 99, Filter: KqRead, Flags: KqAdd}, abi.EBADF},
		{kq, Kevent{Ident: 1 << 40, Filter: KqRead, Flags: KqAdd}, abi.EBADF},
		{kq, Kevent{Ident: uint64(kq), Filter: KqRead, Flags: KqAdd}, abi.EINVAL},
		{kq, Kevent{Ident: id, Filter: 77, Flags: KqAdd}, abi.EINVAL},
		{kq, Kevent{Ident: 1, Filter: KqTimer, Flags: KqAdd, FFlags: 0x20, Data: 1}, abi.EINVAL},
		{r, read, abi.EBADF},
		{99, read, abi.EBADF},
	} {
		if e := p.change(x.kq, x.ev); e != x.want {
			t.Errorf("%+v: %v, want %v", x.ev, e, x.want)
		}
	}
	if m := p.told(kq); len(m) != 0 {
		t.Fatal(m)
	}
	p.write(w, "xyz")
	for range 2 { // it stays true
		if m := p.told(kq); m[id].Data != 3 || m[id].UData != 7 || m[id].Ext[3] != 4 || m[id].Flags&KqEOF != 0 {
			t.Fatal(m)
		}
	}
	tk.restart()
	if m := p.told(kq); m[id].Data != 3 {
		t.Fatal("after a restart", m)
	}
	read.Flags = KqAdd | KqClear
	p.change(kq, read)
	if m := p.told(kq); len(m) != 1 {
		t.Fatal(m)
	}
	if m := p.told(kq); len(m) != 0 {
		t.Fatal("an edge was told twice", m)
	}
	p.write(w, "more")
	if m := p.told(kq); m[id].Data != 7 {
		t.Fatal(m)
	}
	read.Flags = KqAdd | KqDisable
	p.change(kq, read)
	if m := p.told(kq); len(m) != 0 {
		t.Fatal("told although disabled", m)
	}
	read.Flags = KqAdd | KqEnable | KqOneshot
	p.change(kq, read)
	if m := p.told(kq); len(m) != 1 || tk.Knotes.Len() != 0 {
		t.Fatal("once", m, tk.Knotes.Len())
	}
	read.Flags = KqAdd
	p.change(kq, read)
	p.close(w)
	if m := p.told(kq); m[id].Flags&KqEOF == 0 {
		t.Fatal("no end", m)
	}
	p.close(r)
	if m := p.told(kq); len(m) != 0 || tk.Knotes.Len() != 0 {
		t.Fatal("a closed descriptor is still watched", m)
	}
	p.close(kq)
	if tk.Kqueues.Len() != 0 {
		t.Error("the queue is still there")
	}
}

func TestKqueueUser(t *testing.T) {
	tk := newIOKernel(t)
	p := tk.proc(nil)
	kq := p.kqueue()
	u := Kevent{Ident: 5, Filter: KqUser, Flags: KqAdd | KqClear}
	if e := p.change(kq, u); e != 0 {
		t.Fatal(e)
	}
	if m := p.told(kq); len(m) != 0 {
		t.Fatal(m)
	}
	p.change(kq, Kevent{Ident: 5, Filter: KqUser, FFlags: KqUserTrigger | KqUserCopy | 3, Data: 9})
	tk.restart()
	if m := p.told(kq); m[5].FFlags != 3 || m[5].Data != 9 {
		t.Fatal(m)
	}
	if m := p.told(kq); len(m) != 0 {
		t.Fatal("told twice", m)
	}
	p.close(kq)
	if tk.Knotes.Len() != 0 {
		t.Error("notes are left")
	}
}

// A child gets no queue of its parent's, and closing its descriptors ends no notes.
func TestKqueueOfTable(t *testing.T) {
	tk := newIOKernel(t)
	p := tk.proc(nil)
	kq := p.kqueue()
	r, w := p.pipe(OpenNonblock)
	p.change(kq, Kevent{Ident: uint64(r), Filter: KqRead, Flags: KqAdd})
	p.do(func(c *Call) {
		n := c.K.CopyFDTable(c.Proc().FDs)
		if _, _, e := c.K.FDAt(n, kq); e != abi.EBADF {
			t.Errorf("the queue is inherited: %v", e)
		}
		if _, _, e := c.K.FDAt(n, r); e != 0 {
			t.Error(e)
		}
		c.K.DropFDTable(c, n, c.ProcRef())
	})
	p.write(w, "x")
	if m := p.told(kq); len(m) != 1 {
		t.Error("the note is gone", m)
	}
}

// Queues and epoll sets that watch each other would ask each other for ever.
func TestKqueueCycle(t *testing.T) {
	tk := newIOKernel(t)
	p := tk.proc(nil)
	watch := func(kq, fd int32) abi.Errno {
		return p.change(kq, Kevent{Ident: uint64(fd), Filter: KqRead, Flags: KqAdd})
	}
	ep := p.epoll()
	add := func(fd int32) abi.Errno { return p.ctl(ep, EpollAdd, fd, PollIn) }
	a, b := p.kqueue(), p.kqueue()
	for i, x := range []struct{ got, want abi.Errno }{
		{watch(a, b), 0}, {watch(b, a), abi.EINVAL}, {watch(b, ep), 0}, {add(a), abi.ELOOP}, {add(b), abi.ELOOP}, {watch(a, ep), 0},
		{p.change(a, Kevent{Ident: uint64(b), Filter: KqWrite, Flags: KqAdd}), abi.EINVAL},
	} {
		if x.got != x.want {
			t.Errorf("step %d: %v, want %v", i, x.got, x.want)
		}
	}
	// What happens at the bottom is seen at the top.
	r, w := p.pipe(OpenNonblock)
	if e := add(r); e != 0 {
		t.Fatal(e)
	}
	if m := p.told(a); len(m) != 0 {
		t.Error("told of nothing", m)
	}
	p.write(w, "x")
	if m := p.told(a); len(m) != 2 {
		t.Error("told", m)
	}
	q := a
	for i := range watchDepth {
		up := p.kqueue()
		want := abi.Errno(0)
		if i+2 >= watchDepth {
			want = abi.EINVAL
		}
		if e := watch(up, q); e != want {
			t.Errorf("%d queues above the set: %v, want %v", i+3, e, want)
		}
		q = up
		if want != 0 {
			break
		}
	}
}

// A timer whose end nobody takes does not run on; its ends are counted all the same.
func TestKqueueTimerRests(t *testing.T) {
	tk := newIOKernel(t)
	p := tk.proc(nil)
	kq := p.kqueue()
	tm := Kevent{Ident: 1, Filter: KqTimer, Flags: KqAdd, FFlags: KqTimerMsec, Data: 10}
	if e := p.change(kq, tm); e != 0 {
		t.Fatal(e)
	}
	tm.FFlags = 0x20
	if e := p.change(kq, tm); e != abi.EINVAL {
		t.Fatal(e)
	}
	for range 2 {
		tk.clock.advance(10e6)
		if n := tk.clock.waiting(); n != 0 {
			t.Errorf("%d timers run for an end that is not taken", n)
		}
		tk.clock.advance(45e6)
		if m := p.told(kq); m[1].Data != 5 {
			t.Error(m)
		}
		if m := p.told(kq); len(m) != 0 {
			t.Error("told twice", m)
		}
		if n := tk.clock.waiting(); n != 1 {
			t.Errorf("%d timers run", n)
		}
		tk.clock.advance(5e6)
		if m := p.told(kq); m[1].Data != 1 {
			t.Error(m)
		}
	}
}
