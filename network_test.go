package hythe

import (
	"fmt"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"hythe/idl/vnet"
)

// TestNoSocketsLeft: what fails leaves no descriptor open: a place in a network would be kept, and
// its switch with it.
func TestNoSocketsLeft(t *testing.T) {
	free := func() int {
		fd, err := unix.Open("/dev/null", unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(fd)
		return fd
	}
	network := fmt.Sprintf("none-%d", os.Getpid())
	before := free()
	if fd, _, again, err := tryJoin(network, &vnet.Join{}); err != unix.ECONNREFUSED || !again || fd != -1 || free() != before {
		t.Errorf("nobody is there: %d, %v, %v; %d is free, not %d", fd, again, err, free(), before)
	}

	l, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(l)
	if err := unix.Bind(l, &unix.SockaddrUnix{Name: switchName(network)}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(l, 1); err != nil {
		t.Fatal(err)
	}
	done := make(chan int)
	before = free()
	go func() {
		fd, _, _ := unix.Accept4(l, unix.SOCK_CLOEXEC)
		_, _ = unix.Write(fd, []byte("no answer"))
		done <- fd
	}()
	fd, _, again, err := tryJoin(network, &vnet.Join{})
	unix.Close(<-done)
	if err != vnet.ErrMalformed || again || fd != -1 || free() != before {
		t.Errorf("no answer: %d, %v, %v; %d is free, not %d", fd, again, err, free(), before)
	}

	ip := netip.MustParseAddr("127.0.0.1")
	first, port, err := bindTo(ip, 0, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, false)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(first)
	before = free()
	if fd, _, err := bindTo(ip, port, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, false); err != unix.EADDRINUSE || fd != -1 || free() != before {
		t.Errorf("a port that is taken: %d, %v; %d is free, not %d", fd, err, free(), before)
	}
}
