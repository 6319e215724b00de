package core

import (
	"strings"
	"testing"

	"hythe/abi"
	"hythe/store"
)

func (th *ioThread) pair(typ uint32) (a, b int32) {
	th.tk.t.Helper()
	var e abi.Errno
	th.do(func(c *Call) { a, b, e = c.SocketPair(FamilyUnix, typ, 0, 0) })
	if e != 0 {
		th.tk.t.Fatal(e)
	}
	return a, b
}

func (th *ioThread) socket(typ uint32) (fd int32) {
	th.tk.t.Helper()
	var e abi.Errno
	th.do(func(c *Call) { fd, e = c.NewSocket(FamilyUnix, typ, 0, 0) })
	if e != 0 {
		th.tk.t.Fatal(e)
	}
	return fd
}

func abstract(name string) SockAddr { return SockAddr{FamilyUnix, []byte("\x00" + name)} }

func (th *ioThread) bind(fd int32, a SockAddr) (e abi.Errno) {
	th.do(func(c *Call) { _, r, fam, _ := c.Sock(fd); e = fam.Bind(c, r, a) })
	return e
}

func (th *ioThread) listen(fd int32, n int32) (e abi.Errno) {
	th.do(func(c *Call) { _, r, fam, _ := c.Sock(fd); e = fam.Listen(c, r, n) })
	return e
}

func (th *ioThread) connect(fd int32, a SockAddr) (e abi.Errno) {
	th.do(func(c *Call) { f, _, fam, _ := c.Sock(fd); e = fam.Connect(c, f, a) })
	return e
}

func (th *ioThread) accept(fd int32) (n int32, e abi.Errno) {
	th.do(func(c *Call) { n, _, e = c.AcceptFD(fd, 0) })
	return n, e
}

// send sends a message with files and answers the error.
func (th *ioThread) send(fd int32, s string, m SockSend, files ...int32) (e abi.Errno) {
	copy(th.mem, s)
	th.do(func(c *Call) {
		for _, n := range files {
			f, _, _ := c.File(n)
			m.Files = append(m.Files, f)
		}
		_, e = c.SendV(fd, []IOVec{{ioBase, uint64(len(s))}}, &m)
	})
	return e
}

// recv receives and installs what files came.
func (th *ioThread) recv(fd int32, n int, flags uint32) (s string, m SockRecv, fds []int32, e abi.Errno) {
	m.Flags = flags
	var got uint64
	th.do(func(c *Call) {
		got, e = c.RecvV(fd, []IOVec{{ioBase, uint64(n / 2)}, {ioBase + uint64(n/2), uint64(n - n/2)}}, &m)
		fds = c.InstallRights(m.Files, 0)
		m.Files = nil
	})
	return string(th.mem[:got]), m, fds, e
}

func TestSocketPairStream(t *testing.T) {
	tk := newIOKernel(t)
	p := tk.proc(nil)
	a, b := p.pair(SockStream)
	p.write(a, "one")
	p.write(a, "two")
	if s, _, _, e := p.recv(b, 100, MsgPeek); s != "onetwo" || e != 0 {
		t.Fatal(s, e)
	}
	tk.restart()
	if s, e := p.read(b, 4); s != "onet" || e != 0 {
		t.Fatal(s, e)
	}
	if s, e := p.read(b, 4); s != "wo" || e != 0 {
		t.Fatal(s, e)
	}
	if _, _, _, e := p.recv(b, 4, MsgDontWait); e != abi.EAGAIN {
		t.Fatal(e)
	}
	// The last message is kept empty and filled again.
	p.write(a, "three")
	if s, _ := p.read(b, 10); s != "three" {
		t.Fatal(s)
	}
	if tk.SockMsgs.Len() != 1 {
		t.Fatal(tk.SockMsgs.Len())
	}
	// Much at once.
	big := strings.Repeat("0123456789", 9000)
	if n, e := p.write(a, big); n != len(big) || e != 0 {
		t.Fatal(n, e)
	}
	got := ""
	for len(got) < len(big) {
		s, e := p.read(b, 1<<16)
		if e != 0 || s == "" {
			t.Fatal(len(got), e)
		}
		got += s
	}
	if got != big {
		t.Fatal("other bytes")
	}
	p.nonblock(a, true)
	n := 0
	for {
		m, e := p.write(a, big)
		n += m
		if e != 0 {
			if e != abi.EAGAIN {
				t.Fatal(e)
			}
			break
		}
	}
	if n < sockBuf || n > sockBuf+32768 {
		t.Fatal(n)
	}
	if p.poll(a)&PollOut != 0 || p.poll(b)&PollIn == 0 {
		t.Fatal("poll")
	}
	p.close(b)
	if m := p.poll(a); m&(PollHup|PollIn|PollRdHup) != PollHup|PollIn|PollRdHup {
		t.Fatalf("%#x", m)
	}
	if _, e := p.read(a, 1); e != abi.ECONNRESET {
		t.Fatal(e)
	}
	if s, e := p.read(a, 1); s != "" || e != 0 {
		t.Fatal(e)
	}
	if e := p.send(a, "x", SockSend{Flags: MsgNoSignal}); e != abi.EPIPE {
		t.Fatal(e)
	}
	if tk.Threads.Get(p.t).Pending.Has(SIGPIPE) {
		t.Fatal("SIGPIPE although MSG_NOSIGNAL")
	}
}

func TestSocketShutdown(t *testing.T) {
	tk := newIOKernel(t)
	p := tk.proc(nil)
	a, b := p.pair(SockStream)
	p.write(a, "last")
	p.do(func(c *Call) {
		_, r, fam, _ := c.Sock(a)
		if e := fam.Shutdown(c, r, ShutSend); e != 0 {
			t.Error(e)
		}
	})
	if s, _ := p.read(b, 10); s != "last" {
		t.Fatal(s)
	}
	if s, e := p.read(b, 10); s != "" || e != 0 {
		t.Fatal(s, e)
	}
	if n, e := p.write(b, "back"); n != 4 || e != 0 {
		t.Fatal(n, e)
	}
	if s, _ := p.read(a, 10); s != "back" {
		t.Fatal(s)
	}
}

func TestListenAcceptConnect(t *testing.T) {
	tk := newIOKernel(t)
	srv, cli := tk.proc(nil), tk.proc(nil)
	l := srv.socket(SockStream)
	c1 := cli.socket(SockStream)
	if e := cli.connect(c1, abstract("x")); e != abi.ECONNREFUSED {
		t.Fatal(e)
	}
	if e := srv.listen(l, 1); e != abi.EINVAL {
		t.Fatal("listen without a name", e)
	}
	if e := srv.bind(l, abstract("x")); e != 0 {
		t.Fatal(e)
	}
	if e := srv.bind(srv.socket(SockStream), abstract("x")); e != abi.EADDRINUSE {
		t.Fatal(e)
	}
	if e := cli.connect(c1, abstract("x")); e != abi.ECONNREFUSED {
		t.Fatal("no listener", e)
	}
	if e := srv.listen(l, 1); e != 0 {
		t.Fatal(e)
	}
	srv.nonblock(l, true)
	if _, e := srv.accept(l); e != abi.EAGAIN {
		t.Fatal(e)
	}
	if e := cli.connect(cli.socket(SockSeqpacket), abstract("x")); e != abi.EPROTOTYPE {
		t.Fatal(e)
	}
	if e := cli.connect(c1, abstract("x")); e != 0 {
		t.Fatal(e)
	}
	if e := cli.connect(c1, abstract("x")); e != abi.EISCONN {
		t.Fatal(e)
	}
	cli.write(c1, "early")
	tk.restart()
	if srv.poll(l)&PollIn == 0 {
		t.Fatal("no connection is told of")
	}
	s1, e := srv.accept(l)
	if e != 0 {
		t.Fatal(e)
	}
	if s, _ := srv.read(s1, 10); s != "early" {
		t.Fatal(s)
	}
	srv.do(func(c *Call) {
		_, r, fam, _ := c.Sock(s1)
		s := c.K.Socks.Get(r)
		if s.Their.Pid != tk.Procs.Get(cli.p).Pid {
			t.Error(s.Their)
		}
		if a, e := fam.Name(r, NameOwn); string(a.Data) != "\x00x" || e != 0 {
			t.Errorf("%q %v", a.Data, e)
		}
	})
	// A full queue: two wait (backlog 1), the third is refused or waits.
	c2, c3, c4 := cli.socket(SockStream), cli.socket(SockStream), cli.socket(SockStream)
	if e := cli.connect(c2, abstract("x")); e != 0 {
		t.Fatal(e)
	}
	if e := cli.connect(c3, abstract("x")); e != 0 {
		t.Fatal(e)
	}
	cli.nonblock(c4, true)
	if e := cli.connect(c4, abstract("x")); e != abi.EAGAIN {
		t.Fatal(e)
	}
	cli.nonblock(c4, false)
	var ce abi.Errno
	done := cli.start(func(c *Call) { f, _, fam, _ := c.Sock(c4); ce = fam.Connect(c, f, abstract("x")) })
	if _, e := srv.accept(l); e != 0 {
		t.Fatal(e)
	}
	cli.wait(done)
	if ce != 0 {
		t.Fatal(ce)
	}
	// The listener goes: who was not accepted is reset, its name is free.
	srv.close(l)
	if _, e := cli.read(c4, 1); e != abi.ECONNRESET {
		t.Fatal(e)
	}
	if e := srv.bind(srv.socket(SockStream), abstract("x")); e != 0 {
		t.Fatal(e)
	}
}

func TestDatagrams(t *testing.T) {
	tk := newIOKernel(t)
	p := tk.proc(nil)
	a, b := p.socket(SockDgram), p.socket(SockDgram)
	p.bind(a, abstract("a"))
	if e := p.bind(b, SockAddr{Family: FamilyUnix}); e != 0 {
		t.Fatal("autobind", e)
	}
	to := abstract("a")
	if e := p.send(b, "hello", SockSend{}); e != abi.ENOTCONN {
		t.Fatal(e)
	}
	if e := p.send(b, "hello", SockSend{To: &to}); e != 0 {
		t.Fatal(e)
	}
	if e := p.send(b, "", SockSend{To: &to}); e != 0 {
		t.Fatal(e)
	}
	tk.restart()
	s, m, _, e := p.recv(a, 3, 0)
	if s != "hel" || e != 0 || m.Full != 5 || m.Flags&MsgTrunc == 0 || len(m.From.Data) != 6 {
		t.Fatal(s, e, m)
	}
	if s, m, _, e := p.recv(a, 3, 0); s != "" || e != 0 || m.Full != 0 {
		t.Fatal(s, e, m)
	}
	if e := p.connect(b, to); e != 0 {
		t.Fatal(e)
	}
	for range sockQueue + 1 {
		if e := p.send(b, "x", SockSend{Flags: MsgDontWait}); e != 0 {
			t.Fatal(e)
		}
	}
	if e := p.send(b, "x", SockSend{Flags: MsgDontWait}); e != abi.EAGAIN {
		t.Fatal(e)
	}
	if e := p.send(b, strings.Repeat("x", sockBuf), SockSend{}); e != abi.EMSGSIZE {
		t.Fatal(e)
	}
	p.close(a)
	if e := p.send(b, "x", SockSend{}); e != abi.ECONNREFUSED {
		t.Fatal(e)
	}
}

func TestRights(t *testing.T) {
	tk := newIOKernel(t)
	p := tk.proc(nil)
	a, b := p.pair(SockStream)
	r, w := p.pipe(0)
	p.write(a, "before")
	if e := p.send(a, "with", SockSend{}, r); e != 0 {
		t.Fatal(e)
	}
	p.write(a, "behind")
	p.close(r)
	p.write(w, "through")
	tk.restart()
	s, _, fds, e := p.recv(b, 100, 0)
	if s != "beforewith" || len(fds) != 1 || e != 0 {
		t.Fatal(s, fds, e)
	}
	if s, _ := p.read(fds[0], 100); s != "through" {
		t.Fatal(s)
	}
	if s, _ := p.read(b, 100); s != "behind" {
		t.Fatal(s)
	}
	if len(tk.io.inflight) != 0 || tk.io.rights != 0 {
		t.Fatal(tk.io.inflight, tk.io.rights)
	}
}

// Sockets that only lie in each other's queues are ended.
func TestRightsCycle(t *testing.T) {
	tk := newIOKernel(t)
	p := tk.proc(nil)
	a, b := p.pair(SockDgram)
	c, d := p.pair(SockDgram)
	r, w := p.pipe(0)
	// b's queue holds b and d, d's queue b and the pipe.
	for _, x := range [][2]int32{{a, b}, {a, d}, {c, b}, {c, r}} {
		if e := p.send(x[0], "x", SockSend{}, x[1]); e != 0 {
			t.Fatal(e)
		}
	}
	p.close(r)
	p.close(b)
	x, y := p.pair(SockStream)
	p.close(x)
	p.close(y)
	if n := tk.Socks.Len(); n != 4 || tk.io.rights != 4 {
		t.Fatal("living sockets were ended:", n, tk.io.rights)
	}
	tk.restart()
	p.close(d)
	x, y = p.pair(SockStream)
	p.close(x)
	p.close(y)
	if n := tk.Socks.Len(); n != 2 {
		tk.Socks.Each(func(r store.Ref[Socket], s *Socket) bool { t.Logf("%d %+v", r, *s); return true })
		t.Fatal("sockets are left:", n)
	}
	if tk.io.rights != 0 {
		t.Fatal(tk.io.rights)
	}
	if m := p.poll(w); m&PollErr == 0 {
		t.Fatal("the pipe's reading end is still held")
	}
}

func TestCredentials(t *testing.T) {
	tk := newIOKernel(t)
	p := tk.proc(nil)
	a, b := p.pair(SockSeqpacket)
	p.do(func(c *Call) { _, r, _, _ := c.Sock(b); c.K.Socks.Mut(r).PassCred = 1 })
	p.write(a, "one")
	if e := p.send(a, "two", SockSend{Cred: &SockCred{77, 8, 9}}); e != 0 {
		t.Fatal(e)
	}
	if s, m, _, _ := p.recv(b, 10, 0); s != "one" || !m.HasCred || m.Cred.Pid != tk.Procs.Get(p.p).Pid {
		t.Fatal(s, m)
	}
	if s, m, _, _ := p.recv(b, 10, 0); s != "two" || m.Cred != (SockCred{77, 8, 9}) || m.Flags != 0 {
		t.Fatal(s, m)
	}
}

func TestSocketErrors(t *testing.T) {
	tk := newIOKernel(t)
	p := tk.proc(nil)
	p.do(func(c *Call) {
		for _, x := range []struct {
			family, typ uint32
			proto       int32
			want        abi.Errno
		}{{3, SockStream, 0, abi.EAFNOSUPPORT}, {17, SockDgram, 0, abi.EAFNOSUPPORT}, {16, 3, 0, abi.EPROTONOSUPPORT}, {FamilyInet, SockStream, ProtoUDP, abi.EPROTONOSUPPORT}, {FamilyInet6, SockSeqpacket, 0, abi.ESOCKTNOSUPPORT},
			{FamilyUnix, 7, 0, abi.ESOCKTNOSUPPORT}, {FamilyUnix, SockStream, 6, abi.EPROTONOSUPPORT}} {
			if _, e := c.NewSocket(x.family, x.typ, x.proto, 0); e != x.want {
				t.Error(x, e)
			}
		}
	})
	r, _ := p.pipe(0)
	p.do(func(c *Call) {
		if _, _, _, e := c.Sock(r); e != abi.ENOTSOCK {
			t.Error(e)
		}
		if _, _, _, e := c.Sock(99); e != abi.EBADF {
			t.Error(e)
		}
	})
	s := p.socket(SockStream)
	if _, e := p.write(s, "x"); e != abi.ENOTCONN {
		t.Error(e)
	}
	if _, e := p.read(s, 1); e != abi.EINVAL {
		t.Error(e)
	}
	if p.poll(s)&PollHup == 0 {
		t.Error("an unconnected socket is not hung up")
	}
	if tk.Socks.Len() != 1 {
		t.Error(tk.Socks.Len())
	}
}

func TestRecvTimeoutAndWaitAll(t *testing.T) {
	tk := newIOKernel(t)
	p, q := tk.proc(nil), tk.proc(nil)
	a, b := p.pair(SockStream)
	qa := p.share(q, a)
	p.do(func(c *Call) { _, r, _, _ := c.Sock(b); c.K.Socks.Mut(r).RcvTimeo = 1e9 })
	var e abi.Errno
	done := p.start(func(c *Call) { _, e = c.ReadFD(b, ioBase, 10, -1) })
	tk.clock.advance(2e9)
	p.wait(done)
	if e != abi.EAGAIN {
		t.Fatal(e)
	}
	var n uint64
	done = p.start(func(c *Call) {
		n, e = c.RecvV(b, []IOVec{{ioBase, 8}}, &SockRecv{Flags: MsgWaitAll})
	})
	q.write(qa, "1234")
	q.write(qa, "5678")
	p.wait(done)
	if n != 8 || e != 0 || string(p.mem[:8]) != "12345678" {
		t.Fatal(n, e, string(p.mem[:8]))
	}
}
