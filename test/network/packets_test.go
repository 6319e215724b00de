package network

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"hythe/confine"
	"hythe/idl/vnet"
	"hythe/test/subject"
)

// Networks of packets. The oracle are two hosts: two network name spaces with a cable.

var networks atomic.Int32

// lab is the name of a network that no other test has.
func lab() string { return fmt.Sprintf("t%d-%d", os.Getpid(), networks.Add(1)) }

// cables skips a test where no two network name spaces can be connected; six: by IPv6, too.
func cables(t *testing.T, six bool) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can lay a cable")
	}
	const lay = "ip link add v0 type veth peer name v1; "
	if err := exec.Command("unshare", "-n", "sh", "-ec", lay).Run(); err != nil {
		t.Skip("the host has no cables (veth)")
	}
	if six && exec.Command("unshare", "-n", "sh", "-ec", lay+"ip addr add fd00::1/64 dev v0").Run() != nil {
		t.Skip("the host has no IPv6")
	}
}

// taps skips a test, or the rest of it, where there are no tap devices.
func taps(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skip("the host has no tap devices")
	}
}

// cable runs a program in two network name spaces of their own that a cable connects: as "server" on
// 10.0.3.2, and, when that has said a line, as "client" on 10.0.3.3. six: with addresses of IPv6, too,
// fd00:10:0:3::2 and fd00:10:0:3::3, and no link-local ones. Each is told what packets.py has to be told.
func cable(t *testing.T, program string, six bool) result {
	t.Helper()
	cables(t, six)
	up := "ip addr add 10.0.3.$2/24 dev $1; ip link set $1 up"
	server, client := "", "10.0.3.2"
	if six {
		up = "ip link set $1 addrgenmode none; ip addr add fd00:10:0:3::$2/64 dev $1 nodad; " + up
		server, client = "fd00:10:0:3::2", "fd00:10:0:3::2 10.0.3.2"
	}
	return run(t, "unshare", "-n", "sh", "-ec", `
		unshare -n sh -c 'ip link set lo up; echo; exec sleep 1000' >/dev/null & far=$!
		trap 'kill $far' EXIT
		here=$(readlink /proc/self/ns/net)
		while [ "$(readlink /proc/$far/ns/net)" = "$here" ]; do :; done
		ip link set lo up
		ip link add v0 type veth peer name v1
		ip link set v1 netns $far
		sh -ec "$4" sh v0 3
		nsenter -t $far -n sh -ec "$4" sh v1 2
		echo '0 2147483647' >/proc/sys/net/ipv4/ping_group_range
		mkfifo "$3"
		nsenter -t $far -n "$1" -uc "$2" server $5 >"$3" &
		server=$!
		read up <"$3"
		"$1" -uc "$2" client $6
		wait $server`, "sh", python, program, t.TempDir()+"/up", up, server, client)
}

// TestPacketsLikeHosts: what two machines of a network say to each other, and which errors they
// get, is what two hosts have.
func TestPacketsLikeHosts(t *testing.T) {
	want := cable(t, script(t, "packets.py"), false)
	if want.status != 0 {
		t.Fatalf("on two hosts: %+v", want)
	}
	name := lab()
	m := start(t, []string{"--network", name, "--hostname", "server"}, "packets.py", "server")
	got := inMachine(t, []string{"--network", name}, "packets.py", "client", "10.0.3.2")
	m.end()
	if got.out != want.out || got.status != 0 {
		t.Errorf("got %s\nwant %s\nerrors: %s", got.out, want.out, got.errs)
	}
}

// TestPacketsNames: machines find each other by their names.
func TestPacketsNames(t *testing.T) {
	name := lab()
	m := start(t, []string{"--network", name + ",ip=10.0.3.77", "--hostname", "Some-Server"}, "packets.py", "server")
	got := inMachine(t, []string{"--network", name}, "packetnames.py", "some-server")
	want := "10.0.3.77\n10.0.3.77\nno such name\nfd00:10:0:3::77\n"
	if got.out != want || got.status != 0 {
		t.Errorf("got %+v\nwant %s", got, want)
	}
	// An address is one machine's.
	if got := inMachine(t, []string{"--network", name + ",ip=10.0.3.77"}, "packetnames.py", "x"); got.status != 125 ||
		!strings.Contains(got.errs, "10.0.3.77 is another machine's") {
		t.Errorf("the same address again: %+v", got)
	}
	// Another network's machines are not there.
	if got := inMachine(t, []string{"--network", lab()}, "packetnames.py", "some-server"); got.out != "no such name\nno such name\nno such name\nno such name\n" {
		t.Errorf("in another network: %+v", got)
	}
	m.cmd.Process.Signal(syscall.SIGTERM)
	m.cmd.Wait()
}

// TestPacketsPeerDies: who is connected to a machine that is killed hears of it, and who wants to
// connect to it is told.
func TestPacketsPeerDies(t *testing.T) {
	name := lab()
	m := start(t, []string{"--network", name + ",ip=10.0.3.9"}, "packets.py", "server")
	c := start(t, []string{"--network", name}, "packetpeer.py", "10.0.3.9")
	c.line("connected")
	if err := m.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	m.cmd.Wait()
	c.line("reading: ECONNRESET")
	c.line("connecting: EHOSTUNREACH")
	c.end()
}

// TestPacketsServersDie: connections end when a net server or the switch dies, none hangs, and
// new ones are made: what listens, listens again.
func TestPacketsServersDie(t *testing.T) {
	name := lab()
	m := start(t, []string{"--network", name + ",ip=10.0.3.9"}, "packets.py", "server")
	c := start(t, []string{"--network", name}, "packetdeath.py", "10.0.3.9")
	c.line("connected")
	for range kills() {
		for i, victim := range []func(){
			func() { m.kill("net") }, func() { c.kill("net") }, func() { m.kill("unix") }, func() { c.kill("unix") },
			func() { killSwitch(t, name) },
		} {
			t.Logf("victim %d", i)
			victim()
			fmt.Fprintln(c.in, "again")
			c.line("connected")
		}
	}
	c.end()
	m.cmd.Process.Signal(syscall.SIGTERM)
	m.cmd.Wait()
}

// killSwitch kills the process that listens for a network's machines.
func killSwitch(t *testing.T, network string) {
	t.Helper()
	pid := switchOf(t, network)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// switchOf is the host's number of the switch of a network, which it has to have.
func switchOf(t *testing.T, network string) int {
	t.Helper()
	want := fmt.Sprintf("hythe-switch\x00server\x00switch\x00%d\x00%s\x00", os.Geteuid(), network)
	for end := time.Now().Add(limit); time.Now().Before(end); {
		l, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, f := range l {
			if b, err := os.ReadFile(f); err == nil && string(b) == want {
				var pid int
				fmt.Sscanf(f, "/proc/%d/", &pid)
				return pid
			}
		}
	}
	t.Fatal("there is no switch")
	return 0
}

// stop stops a machine's supervisor, and waits until it is.
func (m *machine) stop() {
	m.t.Helper()
	if err := m.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		m.t.Fatal(err)
	}
	for end := time.Now().Add(limit); ; {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.cmd.Process.Pid))
		if err != nil {
			m.t.Fatal(err)
		}
		if _, state, ok := strings.Cut(string(b), ") "); ok && state[0] == 'T' {
			return
		}
		if time.Now().After(end) {
			m.t.Fatal("it does not stop")
		}
	}
}

// TestPacketsKnownFirst: a machine keeps its address when the switch is started again by another
// that comes sooner, and joins again once who has taken it nevertheless has left.
func TestPacketsKnownFirst(t *testing.T) {
	name := lab()
	m := start(t, []string{"--network", name}, "packets.py", "server") // the first has 10.0.3.2
	m.stop()
	killSwitch(t, name)
	if got := inMachine(t, []string{"--network", name + ",ip=10.0.3.2"}, "packetnames.py", "x"); got.status != 125 ||
		!strings.Contains(got.errs, "10.0.3.2 is another machine's") {
		t.Errorf("its address is wanted: %+v", got)
	}
	c := start(t, []string{"--network", name}, "packetdeath.py", "10.0.3.2")
	m.cmd.Process.Signal(syscall.SIGCONT)
	c.line("connected")

	m.stop()
	was := switchOf(t, name)
	killSwitch(t, name)
	for switchOf(t, name) == was { // until the other machine has started one
	}
	e := newEnemyAt(t, name, netip.MustParseAddr("10.0.3.2"))
	m.cmd.Process.Signal(syscall.SIGCONT)
	for end := time.Now().Add(limit); !strings.Contains(m.errs.String(), "10.0.3.2 is another machine's; the machine has no network"); {
		if time.Now().After(end) {
			t.Fatalf("nothing was said: %s", m.errs.String())
		}
	}
	unix.Close(e.fd)
	fmt.Fprintln(c.in, "again")
	c.line("connected")
	c.end()
	m.cmd.Process.Signal(syscall.SIGTERM)
	m.cmd.Wait()
}

// TestPacketsSwitchEnds: the switch ends with the last machine.
func TestPacketsSwitchEnds(t *testing.T) {
	name := lab()
	m := start(t, []string{"--network", name}, "packets.py", "server")
	pid := switchOf(t, name)
	status := func() string {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for end := time.Now().Add(limit); !strings.Contains(status(), "Seccomp:\t2"); { // it is confined once it serves
		if time.Now().After(end) {
			t.Fatal("the switch has no filter")
		}
	}
	for _, want := range []string{"NoNewPrivs:\t1", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000"} {
		if !strings.Contains(status(), want) {
			t.Errorf("no %s in %s", want, status())
		}
	}
	if strings.Contains(status(), "Uid:\t0") {
		t.Error("the switch is root")
	}
	m.cmd.Process.Signal(syscall.SIGTERM)
	m.cmd.Wait()
	for end := time.Now().Add(limit); syscall.Kill(pid, 0) == nil; {
		if time.Now().After(end) {
			t.Fatal("the switch is still there")
		}
	}
}

// TestPacketsOtherUser: a network is for the machines of one user, also if that is who all others
// seem to be from a user name space.
func TestPacketsOtherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be other users")
	}
	as := func(cmd *exec.Cmd, user uint32) *exec.Cmd {
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
		return cmd
	}
	spy := testdata(t, "packetspy.py")
	for _, user := range []uint32{12345, 65534} {
		name := lab()
		m := &machine{t: t, cmd: as(exec.Command(subject.PublicBinary(t, "hythe-net"), "run", "-i", "--network", name, "--", "/bin/sh", "-c", "echo up; read x"), user)}
		m.begin()
		for other, want := range map[uint32]string{user: "a place\n", 54321: "none\n", 0: "none\n"} {
			out, errs, status := subject.Run(t, limit, as(exec.Command(python, "-c", spy, fmt.Sprint(user), name), other))
			if out != want || status != 0 {
				t.Errorf("in the network of user %d, user %d has %q %q", user, other, out, errs)
			}
		}
		m.cmd.Process.Kill()
	}
}

// TestTap: a machine on a tap device of the host's, by frames of Ethernet: the host is the other
// end, which it finds by ARP.
func TestTap(t *testing.T) {
	cables(t, false)
	taps(t)
	want := cable(t, script(t, "packets.py"), false)
	if want.status != 0 {
		t.Fatalf("on two hosts: %+v", want)
	}
	got := onTap(t, "tap:tap0,ip=10.0.3.3/24", script(t, "packets.py"), `
		mkfifo "$2/up"
		"$3" -uc "$4" server >"$2/up" &
		read up <"$2/up"
		"$1" run --network "$5" -- "$3" -uc "$4" client 10.0.3.2
		wait`)
	if got.out != want.out || got.status != 0 {
		t.Errorf("the machine's client: got %s\nwant %s\nerrors: %s", got.out, want.out, got.errs)
	}
	// The other way round; the host's ping, too.
	got = onTap(t, "tap:tap0,ip=10.0.3.3/24,gw=10.0.3.2", script(t, "packets.py"), `
		mkfifo "$2/up"
		"$1" run --network "$5" -- "$3" -uc "$4" server >"$2/up" &
		read up <"$2/up"
		"$3" -uc "$4" client 10.0.3.3
		wait`)
	if got.out != want.out || got.status != 0 {
		t.Errorf("the machine's server: got %s\nwant %s\nerrors: %s", got.out, want.out, got.errs)
	}
	// Behind a gateway.
	got = onTap(t, "tap:tap0,ip=10.0.3.3/24,gw=10.0.3.2", script(t, "packets.py"), `
		ip addr add 192.0.2.7/32 dev lo
		"$3" -c 'import socket; s = socket.socket(); s.bind(("192.0.2.7", 80)); s.listen(5); print(s.accept()[1][0])' >"$2/far" &
		"$1" run --network "$5" -- "$3" -c '
import socket, time
while True:
    try:
        print(socket.create_connection(("192.0.2.7", 80), 30).getpeername())
        break
    except ConnectionRefusedError:
        time.sleep(0.01)
'
		wait
		cat "$2/far"`)
	if got.status != 0 || !strings.Contains(got.out, "10.0.3.3\n") || !strings.Contains(got.out, "('192.0.2.7', 80)\n") {
		t.Errorf("behind a gateway: %+v", got)
	}
	// What cannot be had is said in a line.
	for network, want := range map[string]string{
		"tap:none9,ip=10.0.3.3/24": "the host has no such device", "tap:lo,ip=10.0.3.3/24": "it is no tap device",
		"tap:tap0": "it needs an address", "tap:tap0,ip=10.0.3.3/24,gw=10.0.4.1": "the gateway", "tap:": "want the name of a device",
	} {
		got := onTap(t, network, "", `"$1" run --network "$5" -- /bin/true`)
		if got.status != 125 || !strings.Contains(got.errs, want) || strings.Count(got.errs, "\n") != 1 {
			t.Errorf("%s: %+v", network, got)
		}
	}
}

// onTap runs a shell's commands in a network name space with tap0, on which the host is 10.0.3.2:
// $1 is hythe, $2 a directory, $3 python, $4 its program, $5 the network.
func onTap(t *testing.T, network, program, commands string) result {
	t.Helper()
	return run(t, "unshare", "-n", "sh", "-ec", `
		ip link set lo up
		ip tuntap add dev tap0 mode tap
		ip addr add 10.0.3.2/24 dev tap0
		ip link set tap0 up
		echo '0 2147483647' >/proc/sys/net/ipv4/ping_group_range
		`+commands, "sh", subject.Binary(t), t.TempDir(), python, program, network)
}

// TestPacketsPublished: a machine of a network has ports on the host, too; by those it reaches
// nobody but who has spoken to it.
func TestPacketsPublished(t *testing.T) {
	flags := append([]string{"--network", lab() + ",ip=10.0.3.9"}, published[2:]...)
	m := start(t, flags, "packetpublished.py", "10.0.3.9")
	tcp, udp, nobody := m.port("8000"), m.port("9000/udp"), m.port("8001")
	if err := echo(tcp, 3_000_000); err != nil {
		t.Error(err)
	}
	if err := ask(udp, "a datagram"); err != nil {
		t.Error(err)
	}
	if err := echo(nobody, 10); err == nil {
		t.Error("a port where nobody is echoes")
	}
	// An address of the host's that nobody has spoken from: the net server has no sockets of its
	// own, so this must not end it.
	pid := m.server("net")
	u, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	fmt.Fprintln(m.in, portOf(u.LocalAddr()))
	m.line("sent")
	if err := ask(udp, "another"); err != nil {
		t.Error(err)
	}
	if now := m.server("net"); now != pid {
		t.Error("the net server has died")
	}
	u.SetReadDeadline(time.Now().Add(time.Millisecond))
	if n, a, err := u.ReadFrom(make([]byte, 10)); err == nil {
		t.Errorf("%d bytes from %v", n, a)
	}
	m.end()
}

// enemy is a place in a network that no machine has: what a machine would be whose net server has
// been broken into.
type enemy struct {
	t    *testing.T
	fd   int
	addr netip.Addr
}

func newEnemy(t *testing.T, network string) *enemy {
	t.Helper()
	return newEnemyAt(t, network, netip.Addr{})
}

// newEnemyAt is one that wants an address.
func newEnemyAt(t *testing.T, network string, want netip.Addr) *enemy {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	for end := time.Now().Add(limit); ; { // the switch may just be started
		err := unix.Connect(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("@hythe/%d/network/%s", os.Geteuid(), network)})
		if err == nil {
			break
		}
		if err != unix.ECONNREFUSED || time.Now().After(end) {
			t.Fatal(err)
		}
	}
	e := &enemy{t: t, fd: fd}
	e.send((&vnet.Join{Name: "enemy", Want: want}).Append(nil))
	b := make([]byte, vnet.MaxMessage)
	n, _, err := unix.Recvfrom(fd, b, 0)
	if err != nil {
		t.Fatal(err)
	}
	j, err := vnet.ParseJoined(b[:n])
	if err != nil {
		t.Fatal(err)
	}
	e.addr = j.Addr.Addr()
	return e
}

func (e *enemy) send(b []byte) {
	e.t.Helper()
	if _, err := unix.SendmsgN(e.fd, b, nil, nil, unix.MSG_NOSIGNAL); err != nil {
		e.t.Fatal(err)
	}
}

// segment sends a packet of TCP.
func (e *enemy) segment(from uint16, to netip.AddrPort, flags header.TCPFlags, seq, ack uint32, window uint16) {
	e.t.Helper()
	b := make([]byte, header.IPv4MinimumSize+header.TCPMinimumSize)
	tcp := header.TCP(b[header.IPv4MinimumSize:])
	tcp.Encode(&header.TCPFields{SrcPort: from, DstPort: to.Port(), SeqNum: seq, AckNum: ack, Flags: flags, DataOffset: header.TCPMinimumSize, WindowSize: window})
	src, dst := tcpip.AddrFrom4(e.addr.As4()), tcpip.AddrFrom4(to.Addr().As4())
	header.IPv4(b).Encode(&header.IPv4Fields{TotalLength: uint16(len(b)), TTL: 64, Protocol: uint8(header.TCPProtocolNumber), SrcAddr: src, DstAddr: dst})
	header.IPv4(b).SetChecksum(^header.IPv4(b).CalculateChecksum())
	tcp.SetChecksum(^tcp.CalculateChecksum(header.PseudoHeaderChecksum(header.TCPProtocolNumber, src, dst, header.TCPMinimumSize)))
	e.send(b)
}

// TestPacketsEnemy: a machine's server serves others while one on its network begins connections
// without end, ends handshakes and says nothing more, and sends what is no packet; none of that
// ends a server of the machine. When the enemy is gone, so are its connections.
func TestPacketsEnemy(t *testing.T) {
	name := lab()
	m := start(t, []string{"--network", name + ",ip=10.0.3.9"}, "packets.py", "server")
	c := start(t, []string{"--network", name}, "packetdeath.py", "10.0.3.9")
	c.line("connected")
	servers := []int{m.server("net"), m.server("unix"), c.server("net")}
	e := newEnemy(t, name)
	there := netip.AddrPortFrom(netip.MustParseAddr("10.0.3.9"), 8000)
	honest := func() {
		t.Helper()
		fmt.Fprintln(c.in, "again")
		c.line("connected")
		if r := inMachine(t, []string{"--network", name}, "packetonce.py", "10.0.3.9"); r.out != "served\n" {
			t.Errorf("%+v", r)
		}
	}
	for i := range 30_000 {
		e.segment(uint16(1024+i), there, header.TCPFlagSyn, uint32(i), 0, 65535)
	}
	honest()
	// Half of a connection: handshakes with a window of nothing, 200 at a time at most.
	done := map[uint16]bool{}
	b := make([]byte, vnet.MaxMessage)
	for from := uint16(40000); len(done) < 200; {
		n, _, err := unix.Recvfrom(e.fd, b, unix.MSG_DONTWAIT)
		if err == unix.EAGAIN {
			e.segment(from, there, header.TCPFlagSyn, 7, 0, 0)
			from++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if n < 40 || b[0] != 0x45 {
			continue
		}
		if tcp := header.TCP(b[20:n]); tcp.Flags() == header.TCPFlagSyn|header.TCPFlagAck && tcp.SourcePort() == 8000 && tcp.DestinationPort() >= 40000 {
			e.segment(tcp.DestinationPort(), there, header.TCPFlagAck, tcp.AckNumber(), tcp.SequenceNumber()+1, 0)
			done[tcp.DestinationPort()] = true
		}
	}
	honest()
	rng := random(t)
	for range 5000 {
		p := make([]byte, 20+rng.IntN(200))
		for i := range p {
			p[i] = byte(rng.Uint32())
		}
		p[0], p[2], p[3] = 0x45, 0, byte(len(p))
		copy(p[12:], e.addr.AsSlice())
		copy(p[16:], there.Addr().AsSlice())
		p[9] = []byte{1, 6, 17, p[9]}[rng.IntN(4)]
		header.IPv4(p).SetChecksum(0)
		header.IPv4(p).SetChecksum(^header.IPv4(p).CalculateChecksum())
		e.send(p)
	}
	honest()
	unix.Close(e.fd)
	for end := time.Now().Add(limit); ; {
		out, err := exec.Command(subject.Binary(t), "ps", "-n", "-m", m.id).Output()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(out), e.addr.String()+":") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("connections of who is gone: %s", out)
		}
	}
	honest()
	for i, now := range []int{m.server("net"), m.server("unix"), c.server("net")} {
		if now != servers[i] {
			t.Errorf("server %d has died", i)
		}
	}
	c.end()
	m.cmd.Process.Signal(syscall.SIGTERM)
	m.cmd.Wait()
}

// TestPacketsMemory: the memory of a machine's net server is bounded. When it has no more it ends, and
// is started again: connections are reset, and new ones can be made.
func TestPacketsMemory(t *testing.T) {
	name := lab()
	m := start(t, []string{"--network", name + ",ip=10.0.3.9"}, "packethoard.py", "server")
	c := &machine{t: t, id: fmt.Sprintf("network-%d-%d", time.Now().UnixNano(), os.Getpid())}
	const little = 112 << 10 // KiB: 40 MiB more than it has at its start
	c.cmd = exec.Command("/bin/sh", "-c", fmt.Sprintf(`ulimit -d %d; exec "$@"`, little), "sh", subject.Binary(t), "run", "-i", "--name", c.id,
		"--network", name, "--", python, "-c", script(t, "packethoard.py"), "client", "10.0.3.9")
	c.begin()
	pid := c.server("net")
	p, ok := confine.Lookup("packets")
	if !ok || p.Memory == 0 {
		t.Fatal("it has no bound")
	}
	for pid, want := range map[int]uint64{pid: little << 10, m.server("net"): p.Memory} {
		for end := time.Now().Add(limit); ; { // it is confined once it serves
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
			if err != nil {
				t.Fatal(err)
			}
			if regexp.MustCompile(fmt.Sprintf(`\nMax data size +%d +%d +bytes`, want, want)).Match(b) {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("want %d bytes: %s", want, b)
			}
		}
	}
	fmt.Fprintln(c.in, "hoard")
	c.line("ECONNRESET")
	if now := c.server("net"); now == pid {
		t.Error("it was not started again")
	}
	if want := "server net ended (exit status 2)"; !strings.Contains(c.errs.String(), want) {
		t.Errorf("no %q in %s", want, c.errs.String())
	}
	if r := inMachine(t, []string{"--network", name}, "packetnames.py", "x"); r.status != 0 {
		t.Errorf("%+v", r)
	}
	c.in.Close()
	c.end()
	m.cmd.Process.Signal(syscall.SIGTERM)
	m.cmd.Wait()
}

// onEth0 runs a shell's commands in a network name space that has an interface eth0, the second one, with
// addresses by the commands of addrs: what they print.
func onEth0(t *testing.T, addrs, look string) string {
	t.Helper()
	r := run(t, "unshare", "-n", "sh", "-ec", `
		ip link set lo up
		ip link add v1 type veth peer name eth0
		`+addrs+`
		ip link set eth0 up
		ip link set v1 up
		`+look)
	if r.status != 0 || r.out == "" {
		t.Fatalf("%+v", r)
	}
	return r.out
}

// TestPacketsInterfaces: programs see the interface, its addresses and routes as on a host that
// has them, without a gateway (a network of machines) and with one (a tap device).
func TestPacketsInterfaces(t *testing.T) {
	cables(t, false)
	const look = `
ip -o -4 addr show dev eth0 | sed 's/^[0-9]*: //; s/ *valid_lft.*//'
ip -4 route
ip -4 route show table local dev eth0
for a in 10.0.3.2 192.0.2.1 10.0.3.3; do
	ip route get $a 2>&1 | head -1 | sed 's/ uid [0-9]*//; s/ table local//'
done
cat /proc/net/route
` + python + ` -c '
import fcntl, socket, struct
s = socket.socket()
for call in 0x8915, 0x891b, 0x8919: # SIOCGIFADDR, NETMASK, BRDADDR
    print(socket.inet_ntoa(fcntl.ioctl(s, call, struct.pack("256s", b"eth0"))[20:24]))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.connect(("10.0.3.2", 9))
print(u.getsockname()[0])
for ip in "10.0.3.4", "192.0.2.1":
    try:
        s.bind((ip, 0))
    except OSError as e:
        print(e.strerror)
'`
	const addrs = "ip addr add 10.0.3.3/24 brd + dev eth0"
	want := onEth0(t, addrs, look)
	if got := run(t, subject.Binary(t), "run", "--network", lab()+",ip=10.0.3.3", "--", "/bin/sh", "-c", look); got.out != want {
		t.Errorf("a network: got\n%s\nwant\n%s\n%s", got.out, want, got.errs)
	}
	taps(t)
	want = onEth0(t, addrs, "ip route add default via 10.0.3.2; "+look)
	if got := onTap(t, "tap:tap0,ip=10.0.3.3/24,gw=10.0.3.2", look, `"$1" run --network "$5" -- /bin/sh -c "$4"`); got.out != want {
		t.Errorf("a tap device: got\n%s\nwant\n%s\n%s", got.out, want, got.errs)
	}
}
