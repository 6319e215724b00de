package core

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"hythe/abi"
	proto "hythe/idl/net"
)

// fakePoll counts the sockets that are looked at.
type fakePoll map[int]bool

func (p fakePoll) Add(fd int, _ uint64, _ bool) (int, error) { p[fd] = true; return fd, nil }
func (p fakePoll) Remove(reg int)                            { delete(p, reg) }

// fakeHands keeps what is granted, by tag.
type fakeHands map[uint64]int

func (h fakeHands) Hand(_, tag uint64, fd int) abi.Errno {
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	h[tag] = n
	return errno(err)
}

func (h fakeHands) Take(_, tag uint64) (int, abi.Errno) {
	if fd, ok := h[tag]; ok {
		delete(h, tag)
		return fd, 0
	}
	return -1, abi.EIO
}

// lender is a server with one stream, id 1, and its other end.
func lender(t *testing.T) (*Core, fakePoll, fakeHands, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p, h := fakePoll{}, fakeHands{}
	c, err := New(Config{Allow: []Rule{{Net: netip.MustParsePrefix("127.0.0.1/32")}}}, 1, p, nil, func(s string) { t.Log(s) })
	if err != nil {
		t.Fatal(err)
	}
	c.Hands = h
	to := netip.MustParseAddrPort(l.Addr().String())
	if e := c.connect(1, netip.AddrPortFrom(Gateway, to.Port())); e != 0 && e != abi.EINPROGRESS {
		t.Fatal(e)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	if e := c.connect(1, to); e != 0 {
		t.Fatal(e)
	}
	return c, p, h, far
}

// ask makes a request and answers its error and what it brings.
func ask(c *Core, f func(r *proto.Request)) (e abi.Errno, out string) {
	e = abi.EINPROGRESS
	r := &proto.Request{Binding: 7, Out: make([]byte, proto.MaxAnswer)}
	r.Reply = func(_ uint64, n int, err abi.Errno) { e, out = err, string(r.Out[:n]) }
	f(r)
	return e, out
}

func say(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := c.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
}

// arrived waits until something has come by a socket.
func arrived(t *testing.T, fd int) {
	t.Helper()
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 30_000); n != 1 {
		t.Fatal(n, err)
	}
}

// TestLend: what is lent is not looked at, and nothing of it is taken, until the client receives here;
// nothing is lent while the client does not have all that has come, to one that is gone, or again by what one
// that is gone has asked.
func TestLend(t *testing.T) {
	c, p, h, far := lender(t)
	s := c.socks[1]
	lend := func(lender, taken, tag uint64) abi.Errno {
		e, _ := ask(c, func(r *proto.Request) { c.Lend(r, 1, lender, taken, tag) })
		return e
	}
	recv := func(taken uint64) string {
		_, out := ask(c, func(r *proto.Request) { c.Recv(r, 1, 100, taken) })
		return out
	}
	say(t, far, "one")
	arrived(t, s.fd)
	if got := recv(0); got != "one" {
		t.Fatal(got)
	}
	if e := lend(5, 0, 1); e != abi.EAGAIN || len(h) != 0 {
		t.Error(e, "lent before all is there")
	}
	if e := lend(5, 3, 2); e != 0 || len(h) != 1 || len(p) != 0 {
		t.Fatal(e, h, p)
	}
	say(t, far, "two")
	arrived(t, h[2])
	c.Ready(1, unix.EPOLLIN) // told before it was lent
	var told []byte
	c.Events(&proto.Request{Out: make([]byte, proto.MaxAnswer), Reply: func(_ uint64, n int, _ abi.Errno) { told = make([]byte, n) }}, 1)
	if len(told) != 0 {
		t.Error("an event of what is lent")
	}
	b := make([]byte, 3)
	if n, err := unix.Read(h[2], b); n != 3 || err != nil || string(b) != "two" {
		t.Fatal(n, err, string(b))
	}
	if e, _ := ask(c, func(r *proto.Request) { c.Send(r, 1, 1, 3, []byte("sent here")) }); e != 0 || !s.lent {
		t.Error(e)
	}
	if recv(3); s.lent || len(p) != 1 {
		t.Error("not looked at again")
	}
	if e := lend(4, 3, 3); e != abi.EAGAIN {
		t.Error(e, "lent to who is gone")
	}
	if e := lend(5, 3, 4); e != 0 || !s.lent {
		t.Error(e)
	}
	if e, _ := ask(c, func(r *proto.Request) { c.Reclaim(r, 6) }); e != 0 || s.lent || len(p) != 1 {
		t.Error(e, "not reclaimed")
	}
	if e := lend(5, 3, 5); e != abi.EAGAIN || s.lent {
		t.Error(e, "lent late")
	}
}

// TestLendLeft: the other end hears of the end of what others have, too: an end, or a reset where that is one.
func TestLendLeft(t *testing.T) {
	for _, hard := range []bool{false, true} {
		c, _, h, far := lender(t)
		if e, _ := ask(c, func(r *proto.Request) { c.Lend(r, 1, 1, 0, 1) }); e != 0 {
			t.Fatal(e)
		}
		ask(c, func(r *proto.Request) { c.Close(r, 1, hard) })
		if hard {
			unix.Close(h[1]) // the last
		}
		_, err := far.Read(make([]byte, 1))
		if reset := errors.Is(err, unix.ECONNRESET); reset != hard || err == nil {
			t.Errorf("hard %v: %v", hard, err)
		}
	}
}

// TestAdopt: the next server goes on with what the last one had lent, unless who asks is gone.
func TestAdopt(t *testing.T) {
	old, _, h, far := lender(t)
	if e, _ := ask(old, func(r *proto.Request) { old.Lend(r, 1, 1, 0, 1) }); e != 0 {
		t.Fatal(e)
	}
	p := fakePoll{}
	c, err := New(Config{}, 2, p, nil, func(s string) { t.Log(s) })
	if err != nil {
		t.Fatal(err)
	}
	c.Hands = h
	ask(c, func(r *proto.Request) { c.Reclaim(r, 2) })
	h[2], _ = unix.FcntlInt(uintptr(h[1]), unix.F_DUPFD_CLOEXEC, 0)
	if e, _ := ask(c, func(r *proto.Request) { c.Adopt(r, 1, 1, 40, 2) }); e != abi.EAGAIN || len(c.socks) != 0 {
		t.Error(e)
	}
	if e, _ := ask(c, func(r *proto.Request) { c.Adopt(r, 1, 2, 40, 9) }); e != abi.EIO {
		t.Error(e)
	}
	if e, _ := ask(c, func(r *proto.Request) { c.Adopt(r, 1, 2, 40, 1) }); e != 0 || len(p) != 0 {
		t.Fatal(e, p)
	}
	say(t, far, "goes on")
	arrived(t, c.socks[1].fd)
	if e, out := ask(c, func(r *proto.Request) { c.Recv(r, 1, 100, 40) }); e != 0 || out != "goes on" || len(p) != 1 {
		t.Error(e, out)
	}
}
