package network

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"hythe/test/subject"
)

// Networks of packets, by IPv6. The oracle are two hosts, as for IPv4.

// cable6 is cable with addresses of IPv6, too: the server's fd00:10:0:3::2, the client's
// fd00:10:0:3::3. Neither has link-local ones.
func cable6(t *testing.T, program string) result {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can lay a cable")
	}
	if err := exec.Command("unshare", "-n", "sh", "-ec", "ip link add v0 type veth peer name v1; ip addr add fd00::1/64 dev v0").Run(); err != nil {
		t.Skip("the host has no cables (veth), or no IPv6")
	}
	return run(t, "unshare", "-n", "sh", "-ec", `
		unshare -n sh -c 'ip link set lo up; echo; exec sleep 1000' >/dev/null & far=$!
		trap 'kill $far' EXIT
		here=$(readlink /proc/self/ns/net)
		while [ "$(readlink /proc/$far/ns/net)" = "$here" ]; do :; done
		ip link set lo up
		ip link add v0 type veth peer name v1
		ip link set v1 netns $far
		ip link set v0 addrgenmode none
		ip addr add 10.0.3.3/24 dev v0
		ip addr add fd00:10:0:3::3/64 dev v0 nodad
		ip link set v0 up
		nsenter -t $far -n sh -ec 'ip link set v1 addrgenmode none; ip addr add 10.0.3.2/24 dev v1
			ip addr add fd00:10:0:3::2/64 dev v1 nodad; ip link set v1 up'
		echo '0 2147483647' >/proc/sys/net/ipv4/ping_group_range
		mkfifo "$3"
		nsenter -t $far -n "$1" -uc "$2" server fd00:10:0:3::2 >"$3" &
		server=$!
		read up <"$3"
		"$1" -uc "$2" client fd00:10:0:3::2 10.0.3.2
		wait $server`, "sh", python, program, t.TempDir()+"/up")
}

// TestPacketsSix: what two machines of a network say to each other by IPv6, which sockets are reached
// by which family, and which errors there are, is what two hosts have.
func TestPacketsSix(t *testing.T) {
	want := cable6(t, script(t, "packets6.py"))
	if want.status != 0 {
		t.Fatalf("on two hosts: %+v", want)
	}
	name := lab()
	m := start(t, []string{"--network", name}, "packets6.py", "server", "fd00:10:0:3::2")
	got := inMachine(t, []string{"--network", name}, "packets6.py", "client", "fd00:10:0:3::2", "10.0.3.2")
	m.end()
	if got.out != want.out || got.status != 0 {
		t.Errorf("got %s\nwant %s\nerrors: %s", got.out, want.out, got.errs)
	}
}

// TestPacketsSixNames: machines find each other's addresses of IPv6 by their names.
func TestPacketsSixNames(t *testing.T) {
	name := lab()
	m := start(t, []string{"--network", name + ",ip=10.0.3.177", "--hostname", "Some-Server"}, "packets6.py", "server", "fd00:10:0:3::177")
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
	if os.Getuid() != 0 {
		t.Skip("only root can make an interface")
	}
	const look = `
ip -o -6 addr show dev eth0 | sed 's/^[0-9]*: //; s/ *valid_lft.*//'
ip -6 route show | grep eth0
ip -6 route show table local dev eth0 | grep -v ff00
for a in fd00:10:0:3::2 2001:db8::1 fd00:10:0:3::3; do
	ip -6 route get $a 2>&1 | head -1 | sed 's/ uid [0-9]*//; s/ table local//; s/ proto kernel//; s/ metric [0-9]*//'
done
grep eth0 /proc/net/if_inet6
`
	r := run(t, "unshare", "-n", "sh", "-ec", `
		ip link set lo up
		ip link add v1 type veth peer name eth0
		ip link set eth0 addrgenmode none
		ip addr add fd00:10:0:3::3/64 dev eth0 nodad
		ip link set eth0 up
		ip link set v1 up
		`+look)
	if r.status != 0 || r.out == "" {
		t.Skipf("the host has no cables (veth), or no IPv6: %+v", r)
	}
	// What is left out here, as of other routes of IPv6: the preference (RTA_PREF), of a route that is
	// asked for whence it is, too. The flag is that of nodad.
	want := strings.NewReplacer(" 02 40 00 82 ", " 02 40 00 80 ", " nodad ", " ", " pref medium", " ", " from ::", "").Replace(r.out)
	want = strings.ReplaceAll(want, "  \n", " \n")
	if got := run(t, subject.Binary(t), "run", "--network", lab()+",ip=10.0.3.3", "--", "/bin/sh", "-c", look); got.out != want {
		t.Errorf("got\n%s\nwant\n%s\n%s", got.out, want, got.errs)
	}
}
