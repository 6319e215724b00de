package network

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hythe/test/subject"
)

// echoDgrams answers each datagram to an address of the host with itself; for "other", a
// stranger sends one before.
func echoDgrams(t *testing.T, host string) string {
	t.Helper()
	any := net.JoinHostPort(host, "0")
	p, err := net.ListenPacket("udp", any)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	go func() {
		b := make([]byte, 65536)
		for {
			n, from, err := p.ReadFrom(b)
			if err != nil {
				return
			}
			if string(b[:n]) == "other" {
				// Linux delivers this one; who has a NAT before him does not get it. So
				// the program's own socket filters: it is sent where nobody is.
				if s, err := net.ListenPacket("udp", any); err == nil {
					s.WriteTo([]byte("of a stranger"), p.LocalAddr())
					s.Close()
				}
			}
			if string(b[:n]) != "of a stranger" {
				p.WriteTo(b[:n], from)
			}
		}
	}()
	return portOf(p.LocalAddr())
}

// TestUDP: datagrams come and go as on the host.
func TestUDP(t *testing.T) {
	port, nobody := echoDgrams(t, "127.0.0.1"), unused(t)
	want := run(t, python, "-c", script(t, "udp.py"), "127.0.0.1", port, nobody)
	if want.status != 0 {
		t.Fatalf("on the host: %+v", want)
	}
	got := inMachine(t, allow(port, nobody), "udp.py", "10.0.2.2", port, nobody)
	if got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// TestStranger: what comes from somebody to whom nothing was sent is dropped.
func TestStranger(t *testing.T) {
	p, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	go func() {
		b := make([]byte, 100)
		_, from, err := p.ReadFrom(b)
		if err != nil {
			return
		}
		s, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			return
		}
		defer s.Close()
		s.WriteTo([]byte("of a stranger"), from)
		p.WriteTo([]byte("of the server"), from)
	}()
	port := portOf(p.LocalAddr())
	got := run(t, subject.Binary(t), append(append([]string{"run"}, allow(port)...), "--", python, "-c", `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(20)
s.sendto(b"x", ("10.0.2.2", int(sys.argv[1])))
print(s.recvfrom(100)[0])
`, port)...)
	if got.out != "b'of the server'\n" {
		t.Errorf("%+v", got)
	}
}

// TestResolver: names are asked of the host's resolver, by UDP and by TCP, where
// resolv.conf says and at the machine's own address of it; that is all that can be
// reached there.
func TestResolver(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can say who the host's resolver is")
	}
	const ip = "127.0.0.77"
	u, err := net.ListenPacket("udp4", ip+":53")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	l, err := net.Listen("tcp4", ip+":53")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := u.ReadFrom(b)
			if err != nil {
				return
			}
			u.WriteTo(dnsAnswer(b[:n]), from)
		}
	}()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 1500)
			n, _ := c.Read(b)
			if n > 2 {
				a := dnsAnswer(b[2:n])
				c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...))
			}
			c.Close()
		}
	}()
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver "+ip+"\noptions timeout:20 attempts:1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	prog := `
import socket, errno
print(socket.gethostbyname("host.hythe.test"))
q = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\4host\5hythe\4test\0\0\1\0\1"
for a in "127.0.0.77", "10.0.2.3":
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(20)
    s.sendto(q, (a, 53))
    d, who = s.recvfrom(1000)
    print(who, socket.inet_ntoa(d[-4:]))
    s = socket.create_connection((a, 53))
    s.sendall(len(q).to_bytes(2, "big") + q)
    d = s.makefile("rb").read()
    print(s.getpeername(), socket.inet_ntoa(d[-4:]))
    try:
        socket.create_connection((a, 54))
    except OSError as e:
        print(errno.errorcode[e.errno])
`
	got := run(t, "unshare", "-m", "sh", "-c", `mount --bind "$1" /etc/resolv.conf && shift && exec "$@"`, "sh", conf,
		subject.Binary(t), "run", "--network", "user", "--", python, "-c", prog)
	want := "192.0.2.55\n"
	for _, a := range []string{ip, "10.0.2.3"} {
		want += fmt.Sprintf("('%s', 53) 192.0.2.55\n('%s', 53) 192.0.2.55\nECONNREFUSED\n", a, a)
	}
	if got.out != want || got.status != 0 {
		t.Errorf("%+v\nwant %q", got, want)
	}
}

// dnsAnswer answers a question for an address: 192.0.2.55; others are empty.
func dnsAnswer(q []byte) []byte {
	if len(q) < 17 {
		return nil
	}
	end := 12 + strings.IndexByte(string(q[12:]), 0) + 5
	if end > len(q) {
		return nil
	}
	a := append([]byte(nil), q[:end]...)
	a[2], a[3] = 0x81, 0x80
	copy(a[6:], []byte{0, 0, 0, 0, 0, 0})
	if q[end-3] == 1 { // A
		a[7] = 1
		a = append(a, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 55)
	}
	return a
}
