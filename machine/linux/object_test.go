package linux

import (
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestObjectSize: files, connections and epoll sets can be objects; what could carry descriptors, reach others or be
// listened on cannot.
func TestObjectSize(t *testing.T) {
	m := &Machine{}
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.WriteString("abc")
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	conn, _ := c.(*net.TCPConn).File()
	defer conn.Close()
	listener, _ := l.(*net.TCPListener).File()
	defer listener.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	udp, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(udp)
	free, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(free)
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(epoll)
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(event)
	for _, x := range []struct {
		what string
		fd   int
		size uint64
		ok   bool
	}{
		{"file", int(f.Fd()), 3, true}, {"connection", int(conn.Fd()), 0, true}, {"listener", int(listener.Fd()), 0, false},
		{"local socket", pair[0], 0, false}, {"datagrams", udp, 0, false}, {"not connected", free, 0, false},
		{"epoll set", epoll, 0, true}, {"event counter", event, 0, false},
	} {
		if size, ok := m.ObjectSize(HandleOf(x.fd)); size != x.size || ok != x.ok {
			t.Errorf("%s: %d, %v", x.what, size, ok)
		}
	}
}
