package core

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hythe/abi"
	proto "hythe/idl/net"
	"hythe/ipc"
)

// fakePoll counts the sockets that are looked at.
type fakePoll map[int]bool

// noRoom in a fakePoll has it look at no more.
const noRoom = -1

func (p fakePoll) Add(fd int, _ uint64, _ bool) (int, error) {
	if p[noRoom] {
		return 0, unix.ENOSPC
	}
	p[fd] = true
	return fd, nil
}

func (p fakePoll) Remove(reg int) { delete(p, reg) }

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

func (h fakeHands) Cut(fd int) error { return ipc.Disconnect(fd) }

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
	// The next client knows when a library of the last one's has left it: until it receives here nobody does.
	if e, _ := ask(c, func(r *proto.Request) { c.Reclaim(r, 6) }); e != 0 || !s.lent || len(p) != 0 {
		t.Error(e, "received here before it is asked for")
	}
	if e := lend(5, 3, 5); e != abi.EAGAIN {
		t.Error(e, "lent late")
	}
	if recv(3); s.lent || len(p) != 1 {
		t.Error("not reclaimed")
	}
	if e := lend(5, 3, 6); e != abi.EAGAIN || s.lent {
		t.Error(e, "lent late")
	}
}

// TestLendRoom: the client that sends here by what is lent hears when there is room again, and of nothing else; and who waits by
// the socket has this server never wait.
func TestLendRoom(t *testing.T) {
	c, p, h, far := lender(t)
	s := c.socks[1]
	if e, _ := ask(c, func(r *proto.Request) { c.Lend(r, 1, 1, 0, 1) }); e != 0 {
		t.Fatal(e)
	}
	if fl, err := unix.FcntlInt(uintptr(h[1]), unix.F_GETFL, 0); err != nil || fl&unix.O_NONBLOCK != 0 {
		t.Error(fl, err, "who has it cannot wait")
	}
	e, seq := abi.Errno(0), uint64(0)
	for ; e == 0; seq++ {
		e, _ = ask(c, func(r *proto.Request) { c.Send(r, 1, seq+1, 0, make([]byte, 64<<10)) })
	}
	if e != abi.EAGAIN || len(p) != 1 || !s.lent {
		t.Fatal(e, p, s.lent)
	}
	say(t, far, "not for us")
	arrived(t, h[1])
	var told []byte
	events := func() {
		told = nil
		c.Events(&proto.Request{Out: make([]byte, proto.MaxAnswer), Reply: func(_ uint64, n int, _ abi.Errno) { told = make([]byte, n) }}, 1)
	}
	c.Ready(1, unix.EPOLLIN)
	if events(); len(told) != 0 {
		t.Error("an event of what others receive")
	}
	if c.Ready(1, unix.EPOLLIN|unix.EPOLLOUT); len(told) == 0 {
		if events(); len(told) == 0 {
			t.Error("not told of room")
		}
	}
	if n := drain(h[1]); n != len("not for us") {
		t.Error(n, "bytes are left to who receives")
	}
	if _, out := ask(c, func(r *proto.Request) { c.Recv(r, 1, 100, 0) }); s.lent || len(p) != 1 || out != "" {
		t.Error("received here", s.lent, p, out)
	}
}

// TestLendLeft: what the net server has closed is dead for a guest that keeps the socket, and ends for the other
// end as if nobody kept it: by all that was sent and an end, or by a reset.
func TestLendLeft(t *testing.T) {
	for _, tt := range []struct {
		name              string
		hard, unread, wr  bool // wr: the program has ended its direction before
		reset, full, done bool // full: what was sent waits for the other end; done: that has ended its direction
	}{
		{name: "orderly"},
		{name: "orderly, much is queued", full: true},
		{name: "orderly, after a shutdown", wr: true},
		{name: "orderly, after a shutdown, much is queued", wr: true, full: true},
		{name: "orderly, the other end has ended", done: true},
		{name: "orderly, the other end has ended, much is queued", done: true, full: true},
		{name: "unread", unread: true, reset: true},
		{name: "unread, after a shutdown", unread: true, wr: true}, // reset, but the end has come before
		{name: "unread, the other end has ended", unread: true, done: true, reset: true},
		{name: "hard", hard: true, reset: true},
		{name: "hard, much is queued", hard: true, full: true, reset: true},
		{name: "hard, the other end has ended", hard: true, done: true, reset: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _, h, far := lender(t)
			if e := far.SetDeadline(time.Now().Add(30 * time.Second)); e != nil {
				t.Fatal(e)
			}
			if e, _ := ask(c, func(r *proto.Request) { c.Lend(r, 1, 1, 0, 1) }); e != 0 {
				t.Fatal(e)
			}
			kept := h[1]
			defer unix.Close(kept)
			sent := guestSends(t, kept, []byte("sent"))
			for b := make([]byte, 64<<10); tt.full; {
				n := guestSends(t, kept, b)
				if sent += n; n == 0 {
					break
				}
			}
			if tt.unread {
				say(t, far, "unread")
				arrived(t, kept)
			}
			if tt.done {
				if err := far.(*net.TCPConn).CloseWrite(); err != nil {
					t.Fatal(err)
				}
				hungUp(t, kept)
			}
			if tt.wr {
				ask(c, func(r *proto.Request) { c.Shut(r, 1) })
			}
			if e, _ := ask(c, func(r *proto.Request) { c.Close(r, 1, tt.hard) }); e != 0 || len(c.socks) != 0 {
				t.Fatal(e, len(c.socks))
			}
			dead(t, kept)
			got, err := io.Copy(io.Discard, far)
			if reset := errors.Is(err, unix.ECONNRESET); reset != tt.reset || err != nil && !reset {
				t.Errorf("the other end: %v", err)
			}
			if !tt.reset && got != int64(sent) {
				t.Errorf("%d bytes of %d have come", got, sent)
			}
			// What the other end goes on to send is refused.
			for err = nil; err == nil && !tt.done; {
				_, err = far.Write([]byte("more"))
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("what is sent to nobody is taken")
			}
			dead(t, kept)
		})
	}
}

// guestSends sends as a guest may, and answers how much; 0: it would wait.
func guestSends(t *testing.T, fd int, b []byte) int {
	t.Helper()
	n, err := unix.SendmsgN(fd, b, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	if err == unix.EAGAIN {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// hungUp waits until the other end has ended its direction.
func hungUp(t *testing.T, fd int) {
	t.Helper()
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}, 30_000); n != 1 {
		t.Fatal(n, err)
	}
}

// dead checks that nothing can be done by a socket, also with flags that no guest may give.
func dead(t *testing.T, fd int) {
	t.Helper()
	if n, _, err := unix.Recvfrom(fd, make([]byte, 16), unix.MSG_DONTWAIT); n > 0 || err == unix.EAGAIN {
		t.Errorf("receives: %d, %v", n, err)
	}
	for _, f := range []int{0, unix.MSG_MORE, unix.MSG_FASTOPEN} {
		if n, err := unix.SendmsgN(fd, []byte("x"), nil, nil, f|unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL); err == nil || err == unix.EAGAIN || err == unix.EINPROGRESS {
			t.Errorf("sends, flags %#x: %d, %v", f, n, err)
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
	// Asked again, also by one that is gone: it goes on.
	for lender, want := range []abi.Errno{1: abi.EAGAIN, 2: 0} {
		if lender == 0 {
			continue
		}
		h[3], _ = unix.FcntlInt(uintptr(c.socks[1].fd), unix.F_DUPFD_CLOEXEC, 0)
		if e, _ := ask(c, func(r *proto.Request) { c.Adopt(r, 1, uint64(lender), 40, 3) }); e != want {
			t.Error(lender, e)
		}
		say(t, far, "and on")
		arrived(t, c.socks[1].fd)
		if n := drain(c.socks[1].fd); n != len("and on") {
			t.Error(n, "bytes")
		}
	}
}

// drain takes what has come.
func drain(fd int) int {
	n, _, _ := unix.Recvfrom(fd, make([]byte, 100), unix.MSG_DONTWAIT)
	return n
}

// TestAdoptNone: what nobody will know of is reset, whoever keeps it.
func TestAdoptNone(t *testing.T) {
	old, _, h, far := lender(t)
	if e, _ := ask(old, func(r *proto.Request) { old.Lend(r, 1, 1, 0, 1) }); e != 0 {
		t.Fatal(e)
	}
	kept, err := unix.FcntlInt(uintptr(h[1]), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(kept)
	c, err := New(Config{}, 2, fakePoll{}, nil, func(s string) { t.Log(s) })
	if err != nil {
		t.Fatal(err)
	}
	c.Hands = h
	ask(c, func(r *proto.Request) { c.Reclaim(r, 2) })
	if e, _ := ask(c, func(r *proto.Request) { c.Adopt(r, 1, 1, 40, 1) }); e != abi.EAGAIN || len(c.socks) != 0 {
		t.Error(e, len(c.socks))
	}
	dead(t, kept)
	_ = far.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := far.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Error(err)
	}
}

// TestLendNoRoom: where the host looks at no more sockets (max_user_watches), one that comes back is lost,
// and its end does not take from another what was its registration before.
func TestLendNoRoom(t *testing.T) {
	c, p, _, _ := lender(t)
	if e, _ := ask(c, func(r *proto.Request) { c.Lend(r, 1, 1, 0, 10) }); e != 0 {
		t.Fatal(e)
	}
	if len(p) != 0 {
		t.Fatalf("looked at: %v", p)
	}
	another := c.socks[1].fd // fakePoll's numbers are those of descriptors
	p[another], p[noRoom] = true, true
	if e, _ := ask(c, func(r *proto.Request) { c.Recv(r, 1, 100, 0) }); e != abi.ENOBUFS {
		t.Errorf("recv: %v", e)
	}
	if e, _ := ask(c, func(r *proto.Request) { c.Close(r, 1, false) }); e != 0 {
		t.Errorf("close: %v", e)
	}
	if !p[another] {
		t.Error("another's registration is gone")
	}
}
