package network

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"hythe/test/subject"
)

// alone is a shell's commands in a network of their own that lets all send echo requests,
// as many systems do but Linux by itself does not. Groups that may are those that there are.
func alone(t *testing.T, then string, args ...string) result {
	flags, groups := "-rn", "0 0"
	if os.Getuid() == 0 {
		flags, groups = "-n", "0 2147483647"
	}
	return run(t, "unshare", append([]string{flags, "sh", "-ec",
		"ip link set lo up; echo " + groups + " >/proc/sys/net/ipv4/ping_group_range; " + then, "sh"}, args...)...)
}

// likeHost has a program of testdata do in a machine without a way out what it does on the
// host, alone.
func likeHost(t *testing.T, name string) {
	t.Helper()
	want := alone(t, `exec "$@"`, python, "-uc", script(t, name))
	if want.status != 0 {
		t.Fatalf("on the host: %+v", want)
	}
	if got := inMachine(t, []string{"--network", "none"}, name); got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// neighbour runs commands where an address is the host's, on the host and in a machine
// (flag: more of --network user).
func neighbour(t *testing.T, addr string) (host func(args ...string) result, machine func(flag string, args ...string) result) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can make a network in which a machine's servers belong to a group")
	}
	host = func(args ...string) result {
		t.Helper()
		return alone(t, "ip addr add "+addr+` dev lo; exec "$@"`, args...)
	}
	machine = func(flag string, args ...string) result {
		t.Helper()
		return host(append([]string{subject.Binary(t), "run", "--network", "user" + flag, "--"}, args...)...)
	}
	return host, machine
}

// TestEcho: echo requests to the machine itself, IPv4 and IPv6.
func TestEcho(t *testing.T) { likeHost(t, "echo.py") }

// TestEchoOutside: to others by the host's own sockets, where the policy lets them; who
// asks is kept apart.
func TestEchoOutside(t *testing.T) {
	const there = "192.0.2.7"
	host, machine := neighbour(t, there+"/24")
	want := host(python, "-uc", script(t, "echo.py"), there)
	if want.status != 0 {
		t.Fatalf("on the host: %+v", want)
	}
	if got := machine(",allow="+there, python, "-uc", script(t, "echo.py"), there); got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	got := machine("", python, "-uc", script(t, "echo.py"), there)
	if got.status == 0 || !strings.Contains(got.errs, "hythe: net: "+there+" is refused: the host's own address\n") {
		t.Errorf("without leave: %+v", got)
	}
	// Two with one identifier, of which each hears its own answers.
	many := fmt.Sprintf("%s\nl = [sock(V4) for _ in range(8)]\nfor i, s in enumerate(l):\n s.bind(('', 7))\n s.sendto(request(V4, i, b'x'), ('%s', 0))\n"+
		"for s in l:\n answer(s, V4, '%s')\n", strings.SplitN(script(t, "echo.py"), "show(\"wrong\"", 2)[0], there, there)
	if got := machine(",allow="+there, python, "-uc", many); got.status != 0 || strings.Count(got.out, "answer 0 0 True") != 8 {
		t.Errorf("many: %+v", got)
	}
}

// TestCounters: /proc/net counts what the host's does.
func TestCounters(t *testing.T) { likeHost(t, "counters.py") }
