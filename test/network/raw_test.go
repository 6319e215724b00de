package network

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"hythe/test/subject"
)

// TestRaw: raw sockets see what passes in the machine, and echo requests are answered.
func TestRaw(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make a network in which the host's program may become another user")
	}
	likeHost(t, "raw.py")
}

// TestRawOutside: to others go echo requests, as far as the policy lets them, and nothing
// else; answers have the identifiers of the requests.
func TestRawOutside(t *testing.T) {
	const there = "192.0.2.7"
	host, machine := neighbour(t, there+"/24")
	want := host(python, "-uc", script(t, "raw.py"), there)
	if want.status != 0 {
		t.Fatalf("on the host: %+v", want)
	}
	got := machine(",allow="+there, python, "-uc", script(t, "raw.py"), there)
	got.out = strings.ReplaceAll(got.out, "10.0.2.15", there) // the host asks itself
	if got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	begin := strings.SplitN(script(t, "raw.py"), "show(\"none\", raw, 0)", 2)[0]
	others := begin + `
s, u = raw(V4), socket.socket(socket.AF_INET, socket.SOCK_RAW, 17)
to = (sys.argv[1], 0)
show("another kind", s.sendto, request(V4, 1, 1, b"", kind=13), to)
show("bad sum", s.sendto, request(V4, 1, 1, b"", good=False), to)
show("a datagram", u.sendto, struct.pack(">HHHH", 1, 2, 8, 0), to)
s.sendto(request(V4, 3, 4, b"good"), to)
take(s, V4)
rest(s)
`
	if got := machine(",allow="+there, python, "-uc", others, there); got.out != `another kind EACCES
bad sum EACCES
a datagram EACCES
header 69 0 True 64 1 True 192.0.2.7 10.0.2.15
message 0 0 (3, 4) b'good' 12 sum True ('192.0.2.7', 0)
at rest True
` {
		t.Errorf("%+v", got)
	}
	refused := begin + `
s = raw(V4)
s.sendto(request(V4, 3, 4, b"good"), (sys.argv[1], 0))
show("refused", s.recv, 100)
`
	if got := machine("", python, "-uc", refused, there); got.out != "refused EACCES\n" || !strings.Contains(got.errs, "hythe: net: "+there+" is refused: the host's own address\n") {
		t.Errorf("without leave: %+v", got)
	}
}

// TestPing: the programs say what they say on the host.
func TestPing(t *testing.T) {
	times := regexp.MustCompile(`time[ =][0-9.]+ ?ms|[0-9./]+ ms`)
	for _, cmd := range []string{
		"busybox ping -c2 -i1 127.0.0.1", "busybox ping -c1 ::1", "busybox ping -c1 -s 1 -t 5 127.0.0.1", "busybox ping -q -c1 127.0.0.1",
		"ping -c2 -i0.1 127.0.0.1", "ping -c1 ::1", "ping -c1 -s 3000 -p ab 127.0.0.1", "ping -qc1 127.0.0.1",
	} {
		t.Run(cmd, func(t *testing.T) {
			f := strings.Fields(cmd)
			subject.Need(t, "/usr/bin/"+f[0])
			want := alone(t, `exec "$@"`, f...)
			got := run(t, subject.Binary(t), append([]string{"run", "--network", "none", "--"}, f...)...)
			for _, r := range []*result{&want, &got} {
				r.out = times.ReplaceAllString(r.out, "T")
			}
			if want.status != 0 || got != want {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
		})
	}
}

// TestUnreachable: who sends to a port that nobody has is told so by ICMP, a socket by its
// error if it is connected there.
func TestUnreachable(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root has raw sockets on the host")
	}
	likeHost(t, "unreach.py")
}

// TestTraceroute: it finds the machine's own addresses.
func TestTraceroute(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root has raw sockets on the host")
	}
	times := regexp.MustCompile(`[0-9.]+ ms`)
	for _, to := range []string{"127.0.0.1", "::1"} {
		args := []string{"busybox", "traceroute", "-n", to}
		subject.Need(t, "/usr/bin/busybox")
		want := alone(t, `exec "$@"`, args...)
		got := run(t, subject.Binary(t), append([]string{"run", "--network", "none", "--"}, args...)...)
		for _, r := range []*result{&want, &got} {
			r.out = times.ReplaceAllString(r.out, "T")
		}
		if want.status != 0 || !strings.Contains(want.out, " 1  "+to+"  T  T  T") || got != want {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
	}
}

// TestRawDeath: a raw socket hears what it did when the unix server has died.
func TestRawDeath(t *testing.T) {
	m := start(t, []string{"--network", "none"}, "rawdeath.py")
	m.line("heard 0 0")
	m.line("once")
	m.kill("unix")
	m.in.Write([]byte("\n"))
	m.line("heard 0 1")
	m.line("once")
	m.end()
}
