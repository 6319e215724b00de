package network

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"hythe/test/subject"
)

// TestMany: a machine holds many connections at once, and may do it again.
func TestMany(t *testing.T) {
	n := 300
	if subject.Long() {
		n = 10000
	}
	s := serve(t)
	got := inMachine(t, allow(s.port()), "many.py", "10.0.2.2", s.port(), fmt.Sprint(n))
	if got.out != "turn 0\nturn 1\n" {
		t.Errorf("%+v", got)
	}
}

// TestClientsOfAllKinds: clients of a published port that read nothing, that say
// nothing, that go in the middle: others are served meanwhile.
func TestClientsOfAllKinds(t *testing.T) {
	m := start(t, published, "published.py")
	tcp := m.port("8000")
	var held []net.Conn
	var writers sync.WaitGroup
	for i := range 40 {
		c, err := net.Dial("tcp4", "127.0.0.1:"+tcp)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
		switch i % 4 {
		case 0: // says nothing
		case 1: // reads nothing: it is stopped, and with it the machine's end
			writers.Go(func() {
				c.SetDeadline(time.Now().Add(limit))
				b := make([]byte, 65536)
				for range 1000 {
					if _, err := c.Write(b); err != nil {
						return
					}
				}
				t.Error("64 MB went somewhere")
			})
		case 2: // goes in the middle
			c.Write(make([]byte, 300000))
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
		case 3: // says that it ends, and does not read
			c.Write([]byte("some"))
			c.(*net.TCPConn).CloseWrite()
		}
	}
	for range 10 {
		if err := echo(tcp, 100_000); err != nil {
			t.Error(err)
		}
	}
	for _, c := range held {
		c.Close()
	}
	writers.Wait()
	if err := echo(tcp, 1000); err != nil {
		t.Error(err)
	}
	m.end()
}

// rude is a TCP server on the host whose connections do what no client likes: what the
// first line of one says.
type rude struct {
	t     *testing.T
	ticks chan chan bool // who drips waits for one of these
	peer  *exec.Cmd      // a process that has connections of its own
}

func (s *rude) conn(c *net.TCPConn) {
	defer c.Close()
	r := bufio.NewReader(c)
	cmd, err := r.ReadString('\n')
	if err != nil {
		return
	}
	pattern := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	switch strings.TrimSpace(cmd) {
	case "echo":
		io.Copy(c, r)
	case "deaf": // its window closes
		select {
		case <-s.t.Context().Done():
		case <-time.After(limit):
		}
	case "drip":
		for done := range s.ticks {
			if _, err := c.Write([]byte("d")); err != nil {
				return
			}
			done <- true
		}
	case "tick":
		done := make(chan bool)
		s.ticks <- done
		fmt.Fprint(c, <-done)
	case "cut": // resets in the middle of what it sends
		for range 32 {
			c.Write(pattern)
		}
		r.ReadByte()
		c.SetLinger(0)
	case "cut me": // and of what it is sent
		io.CopyN(io.Discard, r, 100_000)
		c.SetLinger(0)
	case "half": // says that it ends, and reads no more
		c.CloseWrite()
		select {
		case <-s.t.Context().Done():
		case <-time.After(limit):
		}
	case "kill":
		s.peer.Process.Kill()
		s.peer.Wait()
		fmt.Fprint(c, "killed")
	}
}

// TestRudePeers: peers outside that never read, send a byte now and then, reset in the
// middle, vanish with their process, end and stay: a client hears of it in the machine what
// it hears on the host, and its other connections go on.
func TestRudePeers(t *testing.T) {
	client := func(host string, in bool) result {
		s := &rude{t: t, ticks: make(chan chan bool)}
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		accept(t, l, func(c *net.TCPConn) { go s.conn(c) })
		s.peer = exec.Command(python, "-c", testdata(t, "vanishes.py"))
		out, err := s.peer.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.peer.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.peer.Process.Kill() })
		var port string
		if _, err := fmt.Fscan(out, &port); err != nil {
			t.Fatal(err)
		}
		args := []string{host, portOf(l.Addr()), port}
		if in {
			return inMachine(t, allow(portOf(l.Addr()), port), "rude.py", args...)
		}
		return run(t, python, append([]string{"-uc", script(t, "rude.py")}, args...)...)
	}
	want := client("127.0.0.1", false)
	if want.status != 0 {
		t.Fatalf("on the host: %+v", want)
	}
	if got := client("10.0.2.2", true); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestEndWithConnections: a machine that ends takes its connections along.
func TestEndWithConnections(t *testing.T) {
	m := start(t, published, "published.py")
	c, err := net.Dial("tcp4", "127.0.0.1:"+m.port("8000"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(limit))
	c.Write([]byte("x"))
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	m.end()
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes of a machine that has ended", n)
	}
}

// TestInterfaces: programs see what a machine has and has not.
func TestInterfaces(t *testing.T) {
	prog := `
import fcntl, socket, struct
s = socket.socket()
for _, name in socket.if_nameindex():
    a = fcntl.ioctl(s, 0x8915, struct.pack("256s", name.encode()))
    print(name, socket.inet_ntoa(a[20:24]))
print(len(open("/proc/net/route").readlines()), len(open("/proc/net/dev").readlines()))
`
	for mode, want := range map[string]string{"none": "lo 127.0.0.1\n1 3\n", "user": "lo 127.0.0.1\neth0 10.0.2.15\n3 4\n",
		lab() + ",ip=10.0.3.44": "lo 127.0.0.1\neth0 10.0.3.44\n2 4\n"} {
		if got := run(t, subject.Binary(t), "run", "--network", mode, "--", python, "-c", prog); got.out != want {
			t.Errorf("%s: %+v, want %q", mode, got, want)
		}
	}
}

// TestSysClassNet: /sys/class/net has the machine's interfaces; what it says of lo the host's
// says, too, and of eth0 what the calls for it answer.
func TestSysClassNet(t *testing.T) {
	prog := `
import os, sys
base = "/sys/class/net/"
def text(name):
    try:
        return open(base + name).read()
    except OSError as e:
        return e.strerror
def tree(f):
    for d, dirs, files in os.walk(base + f + "/"):
        dirs[:] = [x for x in dirs if x == "statistics"]
        for x in sorted(files):
            yield os.path.relpath(os.path.join(d, x), base)
`
	only := `
for n in sys.argv[1:]:
    print(n, repr(text(n)))
`
	list := run(t, subject.Binary(t), "run", "--network", "none", "--", python, "-c", prog+`
print(os.listdir(base))
for n in tree("lo"):
    print(n)
`)
	names := strings.Split(strings.TrimSuffix(list.out, "\n"), "\n")
	if list.status != 0 || names[0] != "['lo']" || len(names) < 50 {
		t.Fatalf("%+v", list)
	}
	args := append([]string{python, "-c", prog + only}, names[1:]...)
	want := alone(t, `mount -t sysfs sys /sys && exec "$@"`, args...)
	if want.status != 0 {
		t.Logf("the host's own: %+v", want)
		want = run(t, args[0], args[1:]...)
	}
	got := run(t, subject.Binary(t), append([]string{"run", "--network", "none", "--"}, args...)...)
	if _, err := os.Stat("/sys/class/net/lo"); err != nil && strings.Contains(want.out, "lo/mtu 'No such file") {
		t.Log("the host shows no interfaces to its users: nothing to compare with")
		want = got
	}
	w, g := strings.Split(want.out, "\n"), strings.Split(got.out, "\n")
	if len(w) != len(g) || len(g) < 50 {
		t.Fatalf("got %+v\nwant %+v", got, want)
	}
	for i := range w {
		if w[i] != g[i] && !strings.HasPrefix(w[i], "lo/statistics/rx_") && !strings.HasPrefix(w[i], "lo/statistics/tx_") {
			t.Errorf("%s, want %s", g[i], w[i])
		}
	}
	eth := run(t, subject.Binary(t), "run", "--network", "user", "--", python, "-c", prog+`
import fcntl, socket, struct
s = socket.socket()
def ask(call):
    return fcntl.ioctl(s, call, struct.pack("256s", b"eth0"))[16:24]
print(sorted(os.listdir(base)), os.path.realpath(base + "eth0"))
print(text("eth0/address").strip() == ask(0x8927)[2:].hex(":"), int(text("eth0/mtu")) == struct.unpack("i", ask(0x8921)[:4])[0])
print(int(text("eth0/ifindex")) == socket.if_nametoindex("eth0"), int(text("eth0/flags"), 16) == struct.unpack("H", ask(0x8913)[:2])[0] & ~0x40)
print([text("eth0/" + n) for n in ("operstate", "carrier", "type", "speed", "duplex", "statistics/rx_errors")])
print(sorted(tree("eth0")) == [n.replace("lo/", "eth0/") for n in sorted(tree("lo"))])
`)
	if eth.out != `['eth0', 'lo'] /sys/devices/virtual/net/eth0
True True
True True
['up\n', '1\n', '1\n', '-1\n', 'unknown\n', '0\n']
True
` {
		t.Errorf("%+v", eth)
	}
}
