// Package network tests a machine's way to the outside: against servers and clients
// on the host, which is the oracle: programs do there what they do in the machine.
package network

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"hythe/test/subject"
)

// limit is what catches a hang.
var limit = 90 * time.Second

func init() {
	if subject.Long() {
		limit = 20 * time.Minute
	}
}

const python = "/usr/bin/python3"

// result is what a command did.
type result struct {
	out, errs string
	status    int
}

func run(t *testing.T, name string, args ...string) result {
	t.Helper()
	subject.Need(t, python)
	out, errs, status := subject.Run(t, limit, exec.Command(name, args...))
	return result{out, errs, status}
}

// script is a program of testdata as an argument, behind what they have in common: the
// machine needs nothing of the host's working directory.
func script(t *testing.T, name string) string {
	t.Helper()
	return testdata(t, "common.py") + testdata(t, name)
}

func testdata(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// inMachine runs a program of testdata in a machine.
func inMachine(t *testing.T, flags []string, name string, args ...string) result {
	t.Helper()
	a := append([]string{"run"}, flags...)
	a = append(a, "--", python, "-uc", script(t, name))
	return run(t, subject.Binary(t), append(a, args...)...)
}

// server is a TCP server on the host's loopback interface: what the first line of a
// connection says, it does.
type server struct {
	l    net.Listener
	sunk chan string // how the connections that it sank have ended
}

func serve(t *testing.T) *server {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, l)
}

func serveOn(t *testing.T, l net.Listener) *server {
	s := &server{l: l, sunk: make(chan string, 100)}
	accept(t, l, func(c *net.TCPConn) { go s.conn(c) })
	return s
}

// accept gives f each connection to l, until the test ends.
func accept(t *testing.T, l net.Listener, f func(*net.TCPConn)) {
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f(c.(*net.TCPConn))
		}
	}()
}

// nobodyComes tells who connects to l, which nobody should.
func nobodyComes(t *testing.T, l net.Listener) chan net.Addr {
	came := make(chan net.Addr, 100)
	accept(t, l, func(c *net.TCPConn) {
		came <- c.RemoteAddr()
		c.Close()
	})
	return came
}

func (s *server) port() string { return portOf(s.l.Addr()) }

func portOf(a net.Addr) string {
	_, p, _ := net.SplitHostPort(a.String())
	return p
}

func (s *server) conn(c *net.TCPConn) {
	defer c.Close()
	r := bufio.NewReader(c)
	cmd, err := r.ReadString('\n')
	if err != nil {
		return
	}
	switch strings.TrimSpace(cmd) {
	case "echo":
		if _, err := io.Copy(c, r); err == nil {
			c.CloseWrite()
		}
	case "sink":
		n, err := io.Copy(io.Discard, r)
		how := fmt.Sprint(n)
		if errors.Is(err, syscall.ECONNRESET) {
			how = "reset"
		}
		s.sunk <- how
	case "sunk":
		fmt.Fprintf(c, "%.6s", <-s.sunk)
	case "how":
		fmt.Fprint(c, <-s.sunk)
	case "close":
		fmt.Fprint(c, "bye")
	case "reset":
		fmt.Fprint(c, "bye")
		r.ReadByte()
		c.SetLinger(0)
	}
}

// unused is a port of the loopback interface where nobody is, kept as long as the
// test runs: a connection is refused and so is a datagram. Both kinds are kept,
// otherwise the port that the host gives to the next socket may be this one.
func unused(t *testing.T) string {
	t.Helper()
	// A few tries: the port that is free for the one kind may be another's of the other.
	for range 100 {
		if port := unusedBoth(t); port != 0 {
			return fmt.Sprint(port)
		}
	}
	t.Fatal("no port is free for both TCP and UDP")
	return ""
}

func unusedBoth(t *testing.T) int {
	t.Helper()
	loopback := [4]byte{127, 0, 0, 1}
	hold := func(kind, port int) (fd int, err error) {
		fd, err = syscall.Socket(syscall.AF_INET, kind|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { syscall.Close(fd) })
		return fd, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: loopback, Port: port})
	}
	fd, err := hold(syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	port := sa.(*syscall.SockaddrInet4).Port
	if fd, err = hold(syscall.SOCK_DGRAM, port); err != nil {
		return 0
	}
	// A connected socket takes datagrams of its peer only, which is itself here, so
	// that the others are refused.
	if err := syscall.Connect(fd, &syscall.SockaddrInet4{Addr: loopback, Port: port}); err != nil {
		t.Fatal(err)
	}
	return port
}

// allow is the option that opens ports of the host's loopback interface.
func allow(ports ...string) []string {
	s := "user"
	for _, p := range ports {
		s += ",allow=127.0.0.1:" + p
	}
	return []string{"--network", s}
}

// TestTCP: a client does in the machine what it does on the host.
func TestTCP(t *testing.T) {
	s, nobody := serve(t), unused(t)
	want := run(t, python, "-c", script(t, "tcp.py"), "127.0.0.1", s.port(), nobody)
	if want.status != 0 {
		t.Fatalf("on the host: %+v", want)
	}
	got := inMachine(t, allow(s.port(), nobody), "tcp.py", "10.0.2.2", s.port(), nobody)
	if got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// ownAddress is an address of this host that is not its loopback interface's, "" if
// it has none.
func ownAddress(t *testing.T) string {
	t.Helper()
	list, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() && !n.IP.IsLinkLocalUnicast() {
			return n.IP.String()
		}
	}
	return ""
}

// TestPolicy: the host itself and what else is refused is not reached, by whatever
// name, and each address is told of once.
func TestPolicy(t *testing.T) {
	all, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	came := nobodyComes(t, all)
	port := portOf(all.Addr())
	udp, err := net.ListenPacket("udp", ":"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	go func() {
		b := make([]byte, 100)
		if _, from, err := udp.ReadFrom(b); err == nil {
			came <- from
		}
	}()
	type row struct{ addr, want string }
	rows := []row{
		{"10.0.2.2", "EACCES EACCES"}, // the host's loopback interface
		{"::ffff:10.0.2.2", "EACCES EACCES"},
		{"127.0.0.1", "ECONNREFUSED -"}, // the machine's own
		{"::ffff:127.0.0.1", "ECONNREFUSED -"},
		{"::1", "ECONNREFUSED -"},
		{"169.254.169.254", "EACCES EACCES"},
		{"::ffff:169.254.169.254", "EACCES EACCES"},
		{"169.254.0.1", "EACCES EACCES"},
		{"100.100.100.200", "EACCES EACCES"},
		{"224.0.0.1", "ENETUNREACH ENETUNREACH"},
		{"255.255.255.255", "ENETUNREACH ENETUNREACH"},
		{"0.0.0.1", "ENETUNREACH ENETUNREACH"},
		{"192.0.2.7", "EACCES EACCES"},    // by deny
		{"fe80::1", "EINVAL ENETUNREACH"}, // no interface is named
	}
	six := "ENETUNREACH ENETUNREACH"
	if route6() {
		six = "EACCES EACCES"
	}
	rows = append(rows, row{"::127.0.0.1", six}, row{"64:ff9b::7f00:1", six})
	if own := ownAddress(t); own != "" {
		rows = append(rows, row{own, "EACCES EACCES"}, row{"::ffff:" + own, "EACCES EACCES"})
	}
	var args []string
	want := ""
	for _, r := range rows {
		args = append(args, r.addr+" "+port)
		want += r.addr + " " + port + " " + r.want + "\n"
	}
	got := inMachine(t, []string{"--network", "user,deny=192.0.2.0/24"}, "policy.py", args...)
	if got.out != want || got.status != 0 {
		t.Errorf("got  %q\nwant %q", got.out, want)
	}
	for _, l := range []string{
		"127.0.0.1:" + port + " is refused: the host's loopback interface",
		"169.254.169.254:" + port + " is refused: link-local",
		"192.0.2.7:" + port + " is refused: denied",
	} {
		if n := strings.Count(got.errs, l); n != 1 {
			t.Errorf("%q is said %d times: %q", l, n, got.errs)
		}
	}
	select {
	case a := <-came:
		t.Errorf("the host was reached, from %v", a)
	default:
	}
	// Without a network there is nothing.
	got = inMachine(t, []string{"--network", "none"}, "policy.py", "10.0.2.2 "+port, "8.8.8.8 53")
	if want := "10.0.2.2 " + port + " ENETUNREACH ENETUNREACH\n8.8.8.8 53 ENETUNREACH ENETUNREACH\n"; got.out != want {
		t.Errorf("--network none: %q", got.out)
	}
}
