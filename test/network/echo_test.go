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

// TestEcho: echo requests to the machine itself, IPv4 and IPv6.
func TestEcho(t *testing.T) {
	want := alone(t, `exec "$@"`, python, "-uc", script(t, "echo.py"))
	if want.status != 0 {
		t.Fatalf("on the host: %+v", want)
	}
	if got := inMachine(t, []string{"--network", "none"}, "echo.py"); got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// TestEchoOutside: to others by the host's own sockets, where the policy lets them; who
// asks is kept apart.
func TestEchoOutside(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make a network in which a machine's servers belong to a group")
	}
	const there = "192.0.2.7"
	with := "ip addr add " + there + `/24 dev lo; exec "$@"`
	want := alone(t, with, python, "-uc", script(t, "echo.py"), there)
	if want.status != 0 {
		t.Fatalf("on the host: %+v", want)
	}
	machine := func(flag string, args ...string) result {
		return alone(t, with, append([]string{subject.Binary(t), "run", "--network", "user" + flag, "--"}, args...)...)
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
func TestCounters(t *testing.T) {
	want := alone(t, `exec "$@"`, python, "-uc", script(t, "counters.py"))
	if want.status != 0 {
		t.Fatalf("on the host: %+v", want)
	}
	if got := inMachine(t, []string{"--network", "none"}, "counters.py"); got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}
