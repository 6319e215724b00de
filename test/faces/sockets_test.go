package faces

import (
	"regexp"
	"testing"
)

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
	r.in.Close()
	r.end(0)
	m.in.Close()
	m.end(3)
}
