package core

import (
	"testing"

	"hythe/abi"
	"hythe/idl/net"
	"hythe/store"
)

// lentHost is a stream to the outside, and what its program's library would have of it.
type lentHost struct {
	tk *testKernel
	n  *testNet
	fd int32
	id uint64
}

func newLentHost(t *testing.T) *lentHost {
	t.Helper()
	h := &lentHost{tk: newTestKernel(t), n: &testNet{t: t}}
	h.tk.Random = func(b []byte) { b[0] = 7 }
	h.tk.SetNet(h.n)
	h.call(func(c *Call, _ *testChan) {
		h.fd, _ = c.NewSocket(FamilyInet, SockStream, 0, OpenNonblock)
		want(t, "connect", c.ConnectFD(h.fd, far), abi.EINPROGRESS)
	})
	h.n.take("events").event(1, nil, 0)
	a := h.n.take("connect")
	h.id = a.id
	a.inc(1, 0)
	h.n.take("recv").b(nil, abi.EAGAIN)
	return h
}

func (h *lentHost) call(fn func(c *Call, x *testChan)) *testChan {
	return h.tk.doX(h.tk.init, func(c *Call, x *testChan) {
		h.tk.io.out.tried = 0 // as where a call begins
		c.Task, c.Kind = h.tk.Procs.Get(c.ProcRef()).Task, abi.KindTrap
		fn(c, x)
	})
}

// read makes the call that a library makes which does not have the stream; library: it is to
// serve it itself.
func (h *lentHost) read() (s string, library bool, e abi.Errno) {
	var n uint64
	x := h.call(func(c *Call, _ *testChan) {
		c.Local = abi.LocalRead
		n, e = c.ReadFD(h.fd, guestBase, 100, -1)
		library = c.localCut
		if a := findAct(c, abi.ActLend); library != (a != nil) || library && (a.Flags&abi.ActHost == 0 || a.A[0] != uint64(h.fd)) {
			h.tk.t.Errorf("library %v: %+v", library, c.Acts)
		}
		if library {
			e = 0
			h.library(findAct(c, abi.ActLend))
		}
	})
	return string(x.mem()[:n]), library, e
}

// library does what an ActLend says.
func (h *lentHost) library(a *abi.Action) {
	l := &h.tk.host.records(h.tk.Procs.Get(h.tk.Threads.Get(h.tk.init).Proc).Task)[h.fd]
	if l.Pos == a.A[3] {
		l.Pos = a.A[4]
	}
}

// lent says whether the library would serve the next call.
func (h *lentHost) lent() bool {
	l := &h.tk.host.records(h.tk.Procs.Get(h.tk.Threads.Get(h.tk.init).Proc).Task)[h.fd]
	return l.Pos&abi.LentPos != 0 && l.Pos>>abi.StreamShift&abi.StreamShifts == abi.StreamIsHost
}

// came brings bytes by the net server.
func (h *lentHost) came(s string) {
	h.tk.t.Helper()
	h.n.take("events").event(h.tk.io.out.inc, []net.Event{{ID: h.id, Off: h.tk.Outs.Get(h.rt().o).Taken, Data: []byte(s)}}, 0)
}

// hold has the net server lend the socket.
func (h *lentHost) hold() *lentHost {
	h.tk.t.Helper()
	for range lendOften {
		h.came("x")
		if s, library, e := h.read(); s != "x" || library || e != 0 {
			h.tk.t.Fatal(s, library, e)
		}
	}
	if a := h.n.take("lend"); a.id != h.id || a.seq != lendOften {
		h.tk.t.Fatal(a.id, a.seq)
	} else {
		a.host(50, 0)
	}
	return h
}

func (h *lentHost) lend() *lentHost {
	h.tk.t.Helper()
	if s, library, e := h.hold().read(); s != "" || !library || e != 0 || !h.lent() {
		h.tk.t.Fatal(s, library, e)
	}
	return h
}

func (h *lentHost) rt() *outsideRT { return h.tk.io.out.rt[h.tk.io.out.byID[h.id]] }

// TestLentHost: a stream that is read often is lent, and read here again when it must be.
func TestLentHost(t *testing.T) {
	h := newLentHost(t).lend()
	h.n.none("recv")
	h.n.ready, h.n.waiting = PollIn|PollOut, 7
	h.call(func(c *Call, x *testChan) {
		f, _, _ := c.File(h.fd)
		if m := c.K.PollFile(f); m&PollIn == 0 || m&PollOut == 0 || m&PollHup != 0 {
			t.Errorf("%#x", m)
		}
		if _, e := c.K.Ops(f).(interface {
			Ioctl(*Call, store.Ref[File], uint32, uint64) (uint64, abi.Errno)
		}).Ioctl(c, f, ioFIONREAD, guestBase); e != 0 || h.tk.waitingHost(c.K.Socks.Get(sockOf(c.K.Files.Get(f)))) != 7 {
			t.Error(e)
		}
	})
	if h.lent() {
		t.Error("lent while somebody asks here")
	}
	// What was only asked is lent again, and needs no other grant.
	if _, library, _ := h.read(); !library || !h.lent() || h.rt().state != lendHeld {
		t.Error("not lent again")
	}
	// A call that the library could not serve is served here, and what comes, comes here.
	if s, library, e := h.read(); s != "" || library || e != abi.EAGAIN || h.lent() {
		t.Error(s, library, e)
	}
	if a := h.n.take("drop"); a.id != 50 || len(h.tk.io.out.hosts) != 0 {
		t.Error(a.id, h.tk.io.out.hosts)
	}
	h.n.take("recv").b([]byte("here"), 0)
	if s, _, e := h.read(); s != "here" || e != 0 {
		t.Error(s, e)
	}
}

// TestLentHostTooLate: a library that carries out that it is lent a stream when that is over asks all the same.
func TestLentHostTooLate(t *testing.T) {
	for _, died := range []bool{false, true} {
		h := newLentHost(t).hold()
		var late abi.Action
		h.call(func(c *Call, _ *testChan) {
			c.Local = abi.LocalRead
			if _, e := c.ReadFD(h.fd, guestBase, 100, -1); e != abi.ErrRestart {
				t.Fatal(e)
			}
			late = *findAct(c, abi.ActLend)
		})
		if died {
			h.tk.Enter()
			h.tk = h.tk.nextOf(h.tk.host.lending, func(k *Kernel) { k.SetNet(h.n) })
		} else {
			h.call(func(c *Call, _ *testChan) {
				f, _, _ := c.File(h.fd)
				c.K.PollFile(f)
			})
		}
		h.library(&late)
		if h.lent() {
			t.Errorf("died %v: lent", died)
		}
	}
}

// TestLentHostWrites: what is sent here is sent before the library sends.
func TestLentHostWrites(t *testing.T) {
	h := newLentHost(t).hold()
	h.call(func(c *Call, x *testChan) {
		copy(x.mem(), "first")
		if n, e := c.WriteFD(h.fd, guestBase, 5, -1); n != 5 || e != 0 { // by a call that the library does not serve
			t.Error(n, e)
		}
	})
	send := h.n.take("send")
	if send.data != "first" {
		t.Error(send.data)
	}
	if _, library, e := h.read(); library || e != abi.EAGAIN {
		t.Error("lent while something is under way", e)
	}
	send.n(5, 0)
	h.n.take("drop")
}

// TestLentHostLate: the net server's answer comes when it is not wanted any more.
func TestLentHostLate(t *testing.T) {
	for _, close := range []bool{true, false} {
		h := newLentHost(t)
		for range lendOften {
			h.came("x")
			h.read()
		}
		a := h.n.take("lend")
		if close {
			h.call(func(c *Call, _ *testChan) { want(t, "close", c.CloseFD(h.fd), 0) })
		} else {
			// Who finds nothing meanwhile changes nothing; who reads what no library does, does.
			if _, _, e := h.read(); e != abi.EAGAIN || h.rt().unlike {
				t.Error(e, h.rt().unlike)
			}
			h.call(func(c *Call, _ *testChan) {
				if _, e := c.ReadFD(h.fd, guestBase, 100, -1); e != abi.EAGAIN {
					t.Error(e)
				}
			})
		}
		a.host(50, 0)
		if d := h.n.take("drop"); d.id != 50 || len(h.tk.io.out.hosts) != 0 {
			t.Error(d.id)
		}
		if !close {
			h.n.take("recv")
		}
	}
}

// TestLentHostLeft: the answer comes when the program has closed what it sent something by, which is on its way.
func TestLentHostLeft(t *testing.T) {
	h := newLentHost(t)
	for range lendOften {
		h.came("x")
		h.read()
	}
	a := h.n.take("lend")
	h.call(func(c *Call, x *testChan) {
		copy(x.mem(), "last")
		if n, e := c.WriteFD(h.fd, guestBase, 4, -1); n != 4 || e != 0 {
			t.Error(n, e)
		}
		want(t, "close", c.CloseFD(h.fd), 0)
	})
	send := h.n.take("send")
	a.host(50, 0)
	if rt := h.rt(); rt == nil || rt.state != lendHeld {
		t.Fatalf("this tests nothing: %+v", rt)
	}
	send.n(4, 0)
}

// TestLentHostEnds: a descriptor that is closed has the library close its socket, and the connection
// ends.
func TestLentHostEnds(t *testing.T) {
	h := newLentHost(t).lend()
	h.call(func(c *Call, _ *testChan) {
		want(t, "close", c.CloseFD(h.fd), 0)
		if a := findAct(c, abi.ActUnlend); a == nil || a.Flags != abi.ActHost || a.A[0] != uint64(h.fd) {
			t.Errorf("%+v", c.Acts)
		}
	})
	h.n.take("drop")
	h.n.take("close").over()
	if h.tk.Outs.Len() != 0 || len(h.tk.io.out.hosts) != 0 || h.lent() {
		t.Error(h.tk.Outs.Len(), h.tk.io.out.hosts)
	}
}

// TestLentHostNetDies: the next net server goes on with what is lent; what was under way by way of the last
// one, and what the next one does not get, is reset.
func TestLentHostNetDies(t *testing.T) {
	for _, what := range []string{"goes on", "was sending", "not taken", "closed"} {
		h := newLentHost(t).lend()
		if what == "was sending" {
			h.call(func(c *Call, x *testChan) { _, _ = c.WriteFD(h.fd, guestBase, 5, -1) })
			h.n.take("send")
		}
		h.n.take("events").event(2, nil, 0)
		a := h.n.take("adopt")
		if a.id != h.id || a.seq != lendOften {
			t.Error(a.id, a.seq)
		}
		switch what {
		case "not taken":
			a.inc(2, abi.EIO)
		case "closed":
			h.call(func(c *Call, _ *testChan) { want(t, "close", c.CloseFD(h.fd), 0) })
			a.inc(2, 0)
			if b := h.n.take("close"); b.id != h.id {
				t.Error(b.id)
			}
			continue
		default:
			a.inc(2, 0)
		}
		if what == "goes on" {
			if _, _, e := h.read(); e != 0 && e != abi.EAGAIN {
				t.Error(e)
			}
			continue
		}
		if _, _, e := h.read(); e != abi.ECONNRESET || h.lent() {
			t.Errorf("%s: %v", what, e)
		}
		h.n.take("reset")
	}
}

// TestLentHostAndDead: the next unix server begins without, and says so to the net server.
func TestLentHostAndDead(t *testing.T) {
	h := newLentHost(t).lend()
	k := h.tk
	h.n = &testNet{t: t}
	next := k.nextOf(k.host.lending, func(k *Kernel) { k.SetNet(h.n) })
	h.tk = next
	if h.lent() || next.Files.Get(fileAt(next, h.fd)).LentTo != 0 {
		t.Error("lent by who is dead")
	}
	h.n.take("reclaim")
	if a := h.n.take("recv"); a.seq != lendOften {
		t.Error(a.seq)
	} else {
		a.b([]byte("more"), 0)
	}
	if s, _, e := h.read(); s != "more" || e != 0 {
		t.Error(s, e)
	}
}

func fileAt(tk *testKernel, fd int32) store.Ref[File] {
	f, _, _ := tk.FDAtRaw(tk.init, fd)
	return f
}

// TestLentHostWaits: a descriptor that waits is lent to who has no other thread, without time limits, and says that it waits.
func TestLentHostWaits(t *testing.T) {
	h := newLentHost(t).hold()
	f := fileAt(h.tk, h.fd)
	h.call(func(c *Call, _ *testChan) { c.K.Files.Mut(f).Flags &^= OpenNonblock })
	waits := func() bool {
		l := &h.tk.host.records(h.tk.Procs.Get(h.tk.Threads.Get(h.tk.init).Proc).Task)[h.fd]
		return h.lent() && l.Pos>>abi.StreamNow&1 == 0
	}
	if _, library, e := h.read(); !library || e != 0 || !waits() {
		t.Fatal(library, e)
	}
	h.call(func(c *Call, _ *testChan) { c.K.takeBackWaiting(c.Task + 1) })
	if !waits() {
		t.Error("another task's second thread takes it back")
	}
	h.call(func(c *Call, _ *testChan) {
		c.K.takeBackWaiting(c.Task)
		if rt := c.K.procRT(c.ProcRef()); !c.mayWaitHost(f) {
			t.Error("may not wait alone")
		} else {
			rt.threads = append(rt.threads, rt.threads[0])
			if c.mayWaitHost(f) {
				t.Error("may wait beside another thread")
			}
			rt.threads = rt.threads[:1]
		}
	})
	if h.lent() {
		t.Error("lent beside a second thread")
	}
	h.call(func(c *Call, _ *testChan) {
		s, rt := c.K.Socks.Mut(sockOf(c.K.Files.Get(f))), h.rt()
		for i := range 2 {
			s.RcvTimeo, s.SndTimeo = int64(5-5*i), int64(5*i)
			if c.K.hostFits(f, c.K.Outs.Get(rt.o), rt) {
				t.Error("lent with a time limit")
			}
		}
		s.RcvTimeo, s.SndTimeo = 0, 0
	})
	// A write of which a part was sent when it was cut goes on behind that.
	h.call(func(c *Call, _ *testChan) {
		c.Local, c.Done = abi.LocalWrite, 3
		if _, e := c.WriteFD(h.fd, guestBase, 5, -1); e != abi.ErrRestart || c.put != 3 {
			t.Error(e, c.put)
		}
		h.library(findAct(c, abi.ActLend))
	})
	if !waits() {
		t.Error("not lent again")
	}
}

// TestLentHostBusy: what comes by a stream that was lent is not received here as long as a library may receive it: also
// when this server has died meanwhile.
func TestLentHostBusy(t *testing.T) {
	for _, died := range []bool{false, true} {
		h := newLentHost(t).lend()
		task := h.tk.Procs.Get(h.tk.Threads.Get(h.tk.init).Proc).Task
		h.tk.host.busy = 1 << h.fd
		if died {
			h.tk.Enter()
			h.n = &testNet{t: t}
			h.tk = h.tk.nextOf(h.tk.host.lending, func(k *Kernel) { k.SetNet(h.n) })
			h.n.take("reclaim")
		} else {
			if _, library, e := h.read(); library || e != abi.EAGAIN {
				t.Fatal(library, e)
			}
			h.n.take("drop")
		}
		left := func(of TaskID) {
			h.tk.Enter()
			h.tk.StreamsChanged(of)
			h.tk.Leave()
		}
		h.n.none("recv")
		left(task)
		h.n.none("recv")
		h.tk.host.busy = 0
		left(task + 1)
		h.n.none("recv")
		left(task)
		h.n.take("recv")
		if len(h.tk.io.out.busy) != 0 {
			t.Error(h.tk.io.out.busy)
		}
	}
}
