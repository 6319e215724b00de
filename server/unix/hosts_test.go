package unix

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"hythe/ipc"
	"hythe/server/unix/core"
)

// A socket that was lent is told of by the poller, once each time that somebody asks, until it is dropped; what it cannot
// look at is refused, since nobody would hear of it.
func TestHosts(t *testing.T) {
	p, err := ipc.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan ipc.Ready, 8)
	over := make(chan struct{})
	go func() {
		defer close(over)
		for {
			switch r := p.Wait(-1); r.Kind {
			case ipc.ReadyFD:
				told <- r
			case ipc.ReadyWake:
				return
			}
		}
	}()
	defer func() {
		p.Wake()
		<-over
		p.Close()
	}()
	var x hosts
	f, err := os.Open("hosts_test.go") // which is always ready, so that epoll(7) has none of it
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := x.put(p, 6, int(f.Fd())); err == nil || x.socks.get(6) != nil {
		t.Errorf("a file: %v", err)
	}
	s, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(s[1])
	if err := x.put(p, 7, s[0]); err != nil || x.socks.get(7) == nil {
		t.Fatalf("a socket: %v", err)
	}
	h := x.socks.get(7)
	for range 2 {
		if h.want(unix.EPOLLIN | unix.EPOLLOUT); h.look() != core.PollOut {
			t.Errorf("ready for %#x", h.look())
		}
		if r := <-told; r.Token != 7 || r.Events != unix.EPOLLOUT {
			t.Errorf("told of %d, %#x", r.Token, r.Events)
		}
		h.armed.Store(0)
	}
	h.want(unix.EPOLLIN)
	if _, err := unix.Write(s[1], []byte("x")); err != nil {
		t.Fatal(err)
	}
	if r := <-told; r.Token != 7 || r.Events != unix.EPOLLIN {
		t.Errorf("told of %d, %#x", r.Token, r.Events)
	}
	if len(told) != 0 {
		t.Error("told more than once")
	}
	// Two who wait: what the second one waits for does not end what the first one does.
	var b [8]byte
	if _, err := unix.Read(s[0], b[:]); err != nil {
		t.Fatal(err)
	}
	h.armed.Store(0)
	h.want(unix.EPOLLIN)
	h.want(unix.EPOLLPRI)
	if _, err := unix.Write(s[1], []byte("x")); err != nil {
		t.Fatal(err)
	}
	if r := <-told; r.Token != 7 || r.Events != unix.EPOLLIN {
		t.Errorf("told of %d, %#x", r.Token, r.Events)
	}
	x.drop(p, 7)
	if x.socks.get(7) != nil {
		t.Error("it is there")
	}
	// It is closed: the other end has its end.
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(s[1]), Events: unix.POLLRDHUP}}, 60_000); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}
