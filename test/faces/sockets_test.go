package faces

import (
	"encoding/json"
	"regexp"
	"testing"
)

// counters answers what stats --json shows of a machine.
func counters(t *testing.T, id string) map[string]uint64 {
	t.Helper()
	var v []struct {
		Items []struct {
			Name  string
			Value uint64
		}
	}
	r := hythe(t, "", "stats", "--json", "-m", id)
	if err := json.Unmarshal([]byte(r.out), &v); err != nil || len(v) != 1 {
		t.Fatalf("stats: %v %+v", err, r)
	}
	m := map[string]uint64{}
	for _, c := range v[0].Items {
		if _, two := m[c.Name]; two {
			t.Errorf("%s is shown twice", c.Name)
		}
		m[c.Name] = c.Value
	}
	return m
}

// TestSockets: `ps -n` lists the sockets, as ss(8) does, and who has them open.
func TestSockets(t *testing.T) {
	id, m := machine(t)
	if got := hythe(t, "", "ps", "-n", "-m", id); got.status != 0 || !regexp.MustCompile(`^MACHINE +PROTO.*\n$`).MatchString(got.out) {
		t.Errorf("of a machine without any: %+v", got)
	}
	r := start(t, "exec", "-i", "-m", id, "--", "/usr/bin/python3", "-c", `
import os, socket, sys
l = socket.create_server(("127.0.0.1", 4321))
c = socket.create_connection(("127.0.0.1", 4321))
c.send(b"12345")
u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
u.bind(("::1", 99))
r, w = os.pipe()
if os.fork() == 0:
    l.close(), u.close()
    os.write(w, b"closed")
    sys.stdin.read()
    os._exit(0)
os.read(r, 6)
print("ready", flush=True)
sys.stdin.read()
os.wait()
`)
	r.line("ready")
	got := hythe(t, "", "ps", "-n", "-m", id)
	for _, want := range []string{
		`tcp +LISTEN +1 +127\.0\.0\.1:4321 +- +0 +\d+\n`,
		`tcp +ESTAB +0 +127\.0\.0\.1:\d+ +127\.0\.0\.1:4321 +0 +\d+ \d+\n`,
		`tcp +ESTAB +5 +127\.0\.0\.1:4321 +127\.0\.0\.1:\d+ +0 +\n`,
		`udp6 +- +0 +\[::1\]:99 +- +0 +\d+\n`,
	} {
		if !regexp.MustCompile(id + ` +` + want).MatchString(got.out) {
			t.Errorf("no line %q in\n%s", want, got.out)
		}
	}
	// And what they did is counted, also when the server has died since.
	if got := hythe(t, "", "restart", "-m", id, "unix"); got.status != 0 {
		t.Fatalf("%+v", got)
	}
	c := counters(t, id)
	for name, want := range map[string]uint64{"processes": 4, "threads": 4, "sockets": 4, "outside.sockets": 0, "lo.packets": 4, "lo.bytes": 48 + 48 + 40 + 45,
		"eth0.tx_packets": 0, "tcp.connects": 1, "tcp.accepts": 1, "tcp.in_segments": 4, "udp.out_datagrams": 0, "servers.restarts": 1} {
		if c[name] != want {
			t.Errorf("%s is %d, want %d", name, c[name], want)
		}
	}
	if c["calls"] == 0 || c["forks"] == 0 {
		t.Errorf("%v", c)
	}
	if got := hythe(t, "", "stats", "-m", id); !regexp.MustCompile("\n" + id + ` +tcp\.connects +1\n`).MatchString(got.out) {
		t.Errorf("%+v", got)
	}
	r.in.Close()
	r.end(0)
	m.in.Close()
	m.end(3)
}
