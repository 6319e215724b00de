package network

import (
	"strings"
	"testing"

	"hythe/test/subject"
)

// Tap devices, by IPv6. The oracle are two hosts, as for IPv4.

// tapSix is a network on a tap device on which the host has fd00:10:0:3::2 and fe80::2, by the commands of hostSix.
const (
	tapSix  = "tap:tap0,ip=10.0.3.3/24,ip6=fd00:10:0:3::3/64"
	hostSix = `
		ip link set tap0 down
		ip link set tap0 addrgenmode none
		ip link set tap0 up
		ip addr add fd00:10:0:3::2/64 dev tap0 nodad
		ip addr add fe80::2/64 dev tap0 nodad
`
)

// TestTapSix: what a machine on a tap device and the host say to each other by IPv6 is what two hosts do.
func TestTapSix(t *testing.T) {
	cables(t, true)
	taps(t)
	want := cable(t, script(t, "packets.py"), true)
	if want.status != 0 {
		t.Fatalf("on two hosts: %+v", want)
	}
	got := onTap(t, tapSix, script(t, "packets.py"), hostSix+`
		mkfifo "$2/up"
		"$3" -uc "$4" server fd00:10:0:3::2 >"$2/up" &
		read up <"$2/up"
		"$1" run --network "$5" -- "$3" -uc "$4" client fd00:10:0:3::2 10.0.3.2
		wait`)
	if got.out != want.out || got.status != 0 {
		t.Errorf("the machine's client: got %s\nwant %s\nerrors: %s", got.out, want.out, got.errs)
	}
	// The other way round: the client's addresses are the host's, which it names.
	got = onTap(t, tapSix, script(t, "packets.py"), hostSix+`
		mkfifo "$2/up"
		"$1" run --network "$5" -- "$3" -uc "$4" server fd00:10:0:3::3 >"$2/up" &
		read up <"$2/up"
		"$3" -uc "$4" client fd00:10:0:3::3 10.0.3.3
		wait`)
	if out := strings.NewReplacer("10:0:3::3", "10:0:3::2", "10:0:3::2", "10:0:3::3", "10.0.3.3", "10.0.3.2", "10.0.3.2", "10.0.3.3").Replace(got.out); out != want.out || got.status != 0 {
		t.Errorf("the machine's server: got %s\nwant %s\nerrors: %s", out, want.out, got.errs)
	}
}

// TestTapLinkLocal: link-local addresses are what they are on hosts, with the number of their interface.
func TestTapLinkLocal(t *testing.T) {
	cables(t, true)
	taps(t)
	program := script(t, "linklocal.py")
	host := run(t, "unshare", "-n", "sh", "-ec", `
		unshare -n sh -c 'ip link set lo up; echo; exec sleep 1000' >/dev/null & far=$!
		trap 'kill $far' EXIT
		here=$(readlink /proc/self/ns/net)
		while [ "$(readlink /proc/$far/ns/net)" = "$here" ]; do :; done
		ip link set lo up
		ip link add eth0 address 02:00:0a:00:03:03 type veth peer name v1
		ip link set v1 netns $far
		ip link set eth0 addrgenmode none up
		ip addr add fe80::aff:fe00:303/64 dev eth0 nodad
		nsenter -t $far -n sh -ec 'ip link set v1 addrgenmode none up; ip addr add fe80::2/64 dev v1 nodad'
		echo '0 2147483647' >/proc/sys/net/ipv4/ping_group_range
		mkfifo "$3"
		nsenter -t $far -n "$1" -uc "$2" server v1 >"$3" &
		server=$!
		exec 4<"$3"
		read up <&4
		"$1" -uc "$2" client eth0
		wait $server
		cat <&4`, "sh", python, program, t.TempDir()+"/up")
	if host.status != 0 {
		t.Fatalf("on two hosts: %+v", host)
	}
	got := onTap(t, tapSix, program, hostSix+`
		mkfifo "$2/up"
		"$3" -uc "$4" server tap0 >"$2/up" &
		server=$!
		exec 4<"$2/up"
		read up <&4
		"$1" run --network "$5" -- "$3" -uc "$4" client eth0
		wait $server
		cat <&4`)
	if got.out != host.out || got.status != 0 {
		t.Errorf("got %s\nwant %s\nerrors: %s", got.out, host.out, got.errs)
	}
}

// TestTapSixInterfaces: programs see addresses and routes as on a host that has them, with a gateway that is known
// by its link-local address; by which they reach what is beyond it.
func TestTapSixInterfaces(t *testing.T) {
	cables(t, true)
	taps(t)
	const look = `
ip -o -6 addr show dev eth0 | sed 's/^[0-9]*: //; s/ *valid_lft.*//' | sort
ip -6 route show | grep eth0 | sort
ip -6 route show table local dev eth0 | grep -v ff00 | sort
for a in fd00:10:0:3::2 2001:db8::1 fd00:10:0:3::3 fe80::2; do
	ip -6 route get $a 2>&1 | head -1 | sed 's/ uid [0-9]*//; s/ table local//; s/ proto [a-z]*//; s/ metric [0-9]*//'
done
grep eth0 /proc/net/if_inet6 | sort
`
	host := onEth0(t, `ip link set eth0 address 02:00:0a:00:03:03 addrgenmode none
		ip addr add fd00:10:0:3::3/64 dev eth0 nodad
		ip addr add fe80::aff:fe00:303/64 dev eth0 nodad`, "ip -6 route add default via fe80::2 dev eth0; "+look)
	want := strings.NewReplacer(" 02 40 00 82 ", " 02 40 00 80 ", " 02 40 20 82 ", " 02 40 20 80 ", " nodad ", " ", " pref medium", " ", " from ::", "").Replace(host)
	want = strings.ReplaceAll(want, "  \n", " \n")
	got := onTap(t, tapSix+",gw6=fe80::2", look, hostSix+`"$1" run --network "$5" -- /bin/sh -c "$4"`)
	if got.out != want {
		t.Errorf("got\n%s\nwant\n%s\n%s", got.out, want, got.errs)
	}
	got = onTap(t, tapSix+",gw6=fe80::2", "", hostSix+`
		ip addr add 2001:db8::7/128 dev lo nodad
		mkfifo "$2/up"
		"$3" -uc '
import socket
s = socket.socket(socket.AF_INET6)
s.bind(("2001:db8::7", 80))
s.listen(5)
print("up", flush=True)
print(s.accept()[1][0])' >"$2/up" &
		exec 4<"$2/up"
		read up <&4
		"$1" run --network "$5" -- "$3" -c 'import socket; print(socket.create_connection(("2001:db8::7", 80), 30).getpeername())'
		wait
		cat <&4`)
	if want := "('2001:db8::7', 80, 0, 0)\nfd00:10:0:3::3\n"; got.status != 0 || got.out != want {
		t.Errorf("behind a gateway: %+v", got)
	}
}

// TestTapSixTaken: who has an address of another says so and has none of IPv6, unless it is told not to ask. What
// cannot be had is said in a line.
func TestTapSixTaken(t *testing.T) {
	cables(t, true)
	taps(t)
	const look = `import socket
try:
    socket.create_connection(("fd00:10:0:3::7", 9), 30)
except OSError as e:
    print(e.strerror)
print(socket.create_connection(("10.0.3.2", 80), 30).getpeername())`
	got := onTap(t, "tap:tap0,ip=10.0.3.3/24,ip6=fd00:10:0:3::2/64", look, hostSix+`
		"$3" -c 'import socket; s = socket.socket(); s.bind(("10.0.3.2", 80)); s.listen(5); print("up", flush=True); s.accept()' >"$2/up" &
		while [ ! -s "$2/up" ]; do :; done
		"$1" run --network "$5" -- "$3" -c "$4"
		wait`)
	if got.status != 0 || got.out != "Network is unreachable\n('10.0.3.2', 80)\n" || !strings.Contains(got.errs, "another has the address fd00:10:0:3::2") {
		t.Errorf("an address of the host's: %+v", got)
	}
	const four = "tap:tap0,ip=10.0.3.3/24"
	for network, want := range map[string]string{
		four + ",ip6=10.0.3.4/24":                       "is no address of IPv6",
		four + ",ip6=fe80::7/64":                        "is no address of IPv6",
		four + ",ip6=ff02::7/64":                        "is no address of IPv6",
		four + ",ip6=::1/128":                           "is no address of IPv6",
		four + ",ip6=fd00::3":                           "is no address",
		four + ",gw6=fd00::2":                           "it has no address of IPv6",
		four + ",dad=off":                               "it has no address of IPv6",
		four + ",ip6=fd00::3/64,dad=maybe":              "is none of",
		four + ",ip6=fd00::3/64,gw6=fd00:1::1":          "the gateway",
		four + ",ip6=fd00::3/64,gw6=fd00::3":            "the gateway",
		four + ",ip6=fd00::3/64,gw6=fe80::aff:fe00:303": "the gateway",
		four + ",ip6=fd00::3/64,gw6=fe80::1%tap0":       "the gateway",
		"t6,ip=10.0.3.3,ip6=fd00::3/64":                 "is no ip=IP",
	} {
		got := run(t, subject.Binary(t), "run", "--network", network, "--", "/bin/true")
		if got.status != 125 || !strings.Contains(got.errs, want) || strings.Count(got.errs, "\n") != 1 {
			t.Errorf("%s: %+v", network, got)
		}
	}
	if got := onTap(t, tapSix, "", `ip link set tap0 mtu 1279; "$1" run --network "$5" -- /bin/true`); got.status != 125 || !strings.Contains(got.errs, "an MTU of 1280 bytes") {
		t.Errorf("a small MTU: %+v", got)
	}
}
