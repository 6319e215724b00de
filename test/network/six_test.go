package network

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// route6 says whether the host reaches others by IPv6, and so a machine of itself.
func route6() bool {
	c, err := net.Dial("udp6", "[2001:db8::1]:9")
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// TestSix: streams and datagrams by IPv6 are as on the host.
func TestSix(t *testing.T) {
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skip("the host has no IPv6 at all: ", err)
	}
	s := serveOn(t, l)
	// A port where nobody is: of a socket that does not listen.
	none, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := portOf(none.LocalAddr())
	none.Close()
	u4 := echoDgrams(t, "127.0.0.1")
	args := []string{s.port(), echoDgrams(t, "::1"), nobody}
	want := run(t, python, append(append([]string{"-uc", script(t, "six.py"), "::1"}, args...), "127.0.0.1", u4)...)
	if want.status != 0 {
		t.Fatalf("on the host: %+v", want)
	}
	flag := "user,allow=127.0.0.1:" + u4
	for _, p := range args {
		flag += ",allow=[::1]:" + p
	}
	got := inMachine(t, []string{"--network", flag}, "six.py", append(append([]string{"fd00:10:0:2::2"}, args...), "10.0.2.2", u4)...)
	if got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// TestPolicySix: what is not allowed is refused, by whatever name.
func TestPolicySix(t *testing.T) {
	l, err := net.Listen("tcp6", "[::]:0")
	if err != nil {
		t.Skip("the host has no IPv6 at all: ", err)
	}
	came := nobodyComes(t, l)
	port := portOf(l.Addr())
	type row struct{ addr, want string }
	rows := []row{
		{"fd00:10:0:2::2", "EACCES EACCES"},
		{"::1", "ECONNREFUSED -"}, // the machine's own
		{"fd00:10:0:2::15", "ECONNREFUSED -"},
		{"::127.0.0.1", "EACCES EACCES"},
		{"::ffff:0:127.0.0.1", "EACCES EACCES"},
		{"64:ff9b::7f00:1", "EACCES EACCES"},
		{"2002:7f00:1::", "EACCES EACCES"},
		{"64:ff9b::a9fe:a9fe", "EACCES EACCES"},
		{"fd00:ec2::254", "EACCES EACCES"},
		{"2001:db8:9::1", "EACCES EACCES"}, // by deny
		{"fe80::1", "EINVAL ENETUNREACH"},  // no interface is named
		{"ff02::1", "ENETUNREACH ENETUNREACH"},
	}
	if list, err := net.InterfaceAddrs(); err == nil {
		for _, a := range list {
			if n, ok := a.(*net.IPNet); ok && n.IP.To4() == nil && n.IP.IsGlobalUnicast() {
				rows = append(rows, row{n.IP.String(), "EACCES EACCES"})
			}
		}
	}
	var args []string
	want := ""
	for _, r := range rows {
		args = append(args, r.addr+" "+port)
		want += r.addr + " " + port + " " + r.want + "\n"
	}
	// One that is allowed gives the machine IPv6 wherever it runs.
	got := inMachine(t, []string{"--network", "user,allow=2001:db8:9::7,deny=2001:db8:9::/64"}, "policy.py", args...)
	if got.out != want || got.status != 0 {
		t.Errorf("got  %q\nwant %q", got.out, want)
	}
	if n := strings.Count(got.errs, "[::1]:"+port+" is refused: the host's loopback interface\n"); n != 1 {
		t.Errorf("said %d times: %q", n, got.errs)
	}
	select {
	case a := <-came:
		t.Errorf("the host was reached, from %v", a)
	default:
	}
}

// TestEchoSix: echo requests by IPv6, of both kinds of sockets.
func TestEchoSix(t *testing.T) {
	const there = "2001:db8:7::7"
	host, machine := neighbour(t, there+"/64")
	prog := strings.SplitN(script(t, "echo.py"), "show(\"wrong\"", 2)[0] + fmt.Sprintf("speak(V6, %q)\n", there) + `
r = socket.socket(socket.AF_INET6, socket.SOCK_RAW, V6)
r.setsockopt(V6, 1, b"\xff" * 16 + struct.pack("I", ~2 & 0xffffffff) + b"\xff" * 12)
r.sendto(request(V6, 9, b"raw"), (sys.argv[1], 0))
b, who = r.recvfrom(100)
print(b[0], b[4:], who[:2])
`
	want := host(python, "-uc", prog, there)
	if want.status != 0 {
		t.Fatalf("on the host: %+v", want)
	}
	got := machine(",allow="+there, python, "-uc", prog, there)
	// The checksum that echo.py adds up is of an address that asks itself.
	if sums := func(s string) string {
		var out []string
		for _, l := range strings.Split(s, "\n") {
			if i := strings.Index(l, " sum 0x"); i >= 0 {
				l = l[:i] + l[i+11:]
			}
			out = append(out, l)
		}
		return strings.Join(out, "\n")
	}; sums(got.out) != sums(want.out) || got.errs != want.errs {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}
