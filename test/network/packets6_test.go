package network

import (
	"strings"
	"syscall"
	"testing"

	"hythe/test/subject"
)

// Networks of packets, by IPv6. The oracle are two hosts, as for IPv4.

// TestPacketsSix: what two machines of a network say to each other by IPv6, which sockets are reached
// by which family, and which errors there are, is what two hosts have.
func TestPacketsSix(t *testing.T) {
	want := cable(t, script(t, "packets.py"), true)
	if want.status != 0 {
		t.Fatalf("on two hosts: %+v", want)
	}
	name := lab()
	m := start(t, []string{"--network", name}, "packets.py", "server", "fd00:10:0:3::2")
	got := inMachine(t, []string{"--network", name}, "packets.py", "client", "fd00:10:0:3::2", "10.0.3.2")
	m.end()
	if got.out != want.out || got.status != 0 {
		t.Errorf("got %s\nwant %s\nerrors: %s", got.out, want.out, got.errs)
	}
}

// TestPacketsSixNames: machines find each other's addresses of IPv6 by their names.
func TestPacketsSixNames(t *testing.T) {
	name := lab()
	m := start(t, []string{"--network", name + ",ip=10.0.3.177", "--hostname", "Some-Server"}, "packets.py", "server", "fd00:10:0:3::177")
	got := inMachine(t, []string{"--network", name}, "packetnames6.py", "some-server")
	want := "[('fd00:10:0:3::177', 80, 0, 0)]\n" +
		"[('10.0.3.177', 80), ('fd00:10:0:3::177', 80, 0, 0)]\n" +
		"fd00:10:0:3::177\nno such name\nEHOSTUNREACH\nEHOSTUNREACH\n"
	if got.out != want || got.status != 0 {
		t.Errorf("got %+v\nwant %s", got, want)
	}
	m.cmd.Process.Signal(syscall.SIGTERM)
	m.cmd.Wait()
}

// TestPacketsSixInterfaces: programs see the addresses and routes of IPv6 as on a host that has
// those addresses, and no link-local ones.
func TestPacketsSixInterfaces(t *testing.T) {
	cables(t, true)
	const look = `
ip -o -6 addr show dev eth0 | sed 's/^[0-9]*: //; s/ *valid_lft.*//'
ip -6 route show | grep eth0
ip -6 route show table local dev eth0 | grep -v ff00
for a in fd00:10:0:3::2 2001:db8::1 fd00:10:0:3::3; do
	ip -6 route get $a 2>&1 | head -1 | sed 's/ uid [0-9]*//; s/ table local//; s/ proto kernel//; s/ metric [0-9]*//'
done
grep eth0 /proc/net/if_inet6
`
	host := onEth0(t, "ip link set eth0 addrgenmode none; ip addr add fd00:10:0:3::3/64 dev eth0 nodad", look)
	// What is left out here, as of other routes of IPv6: the preference (RTA_PREF), of a route that is
	// asked for whence it is, too. The flag is that of nodad.
	want := strings.NewReplacer(" 02 40 00 82 ", " 02 40 00 80 ", " nodad ", " ", " pref medium", " ", " from ::", "").Replace(host)
	want = strings.ReplaceAll(want, "  \n", " \n")
	if got := run(t, subject.Binary(t), "run", "--network", lab()+",ip=10.0.3.3", "--", "/bin/sh", "-c", look); got.out != want {
		t.Errorf("got\n%s\nwant\n%s\n%s", got.out, want, got.errs)
	}
}
