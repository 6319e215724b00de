package network

import (
	"os"
	"testing"

	"hythe/test/subject"
)

// TestPrograms: clients and servers that people use say to each other in a machine what they do on the host.
func TestPrograms(t *testing.T) {
	for _, p := range []string{"nc", "socat", "iperf3", "rsync", "curl", "wget", "openssl", "dig", "ss", "ping"} {
		subject.Need(t, "/usr/bin/"+p)
	}
	subject.Need(t, "/usr/sbin/traceroute")
	daemon := "none" // in a namespace of an ordinary user's there are no groups to change to
	if os.Getuid() == 0 {
		daemon = "daemon"
	}
	program := []string{"/bin/sh", "-c", testdata(t, "programs.sh"), "programs", daemon}
	want := alone(t, `exec "$@"`, program...)
	if want.status != 0 {
		t.Fatalf("on the host: %+v", want)
	}
	got := run(t, subject.Binary(t), append([]string{"run", "--network", "none", "--"}, program...)...)
	if got != want {
		t.Errorf("got %s\nwant %s\n%s %d", got.out, want.out, got.errs, got.status)
	}
}
