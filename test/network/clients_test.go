package network

import (
	"testing"

	"hythe/test/subject"
)

// TestPrograms: clients and servers that people use say to each other in a machine what they do on the host.
func TestPrograms(t *testing.T) {
	for _, p := range []string{"nc", "socat", "iperf3", "rsync", "curl", "wget", "openssl", "dig", "ss", "ping"} {
		subject.Need(t, "/usr/bin/"+p)
	}
	subject.Need(t, "/usr/sbin/traceroute")
	program := testdata(t, "programs.sh")
	want := alone(t, `exec "$@"`, "/bin/sh", "-c", program)
	if want.status != 0 {
		t.Fatalf("on the host: %+v", want)
	}
	got := run(t, subject.Binary(t), "run", "--network", "none", "--", "/bin/sh", "-c", program)
	if got != want {
		t.Errorf("got %s\nwant %s\n%s %d", got.out, want.out, got.errs, got.status)
	}
}
