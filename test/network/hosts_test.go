package network

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hythe/test/subject"
)

// TestHosts: a machine has an address for its own name, by which its programs reach it.
func TestHosts(t *testing.T) {
	for _, x := range []struct{ network, name, own string }{
		{"none", "m1", "127.0.1.1"},
		{"user", "m1", "10.0.2.15"},
		{"none", "db.lab", "127.0.1.1"},
	} {
		got := inMachine(t, []string{"--network", x.network, "--hostname", x.name}, "hosts.py", x.own)
		short, _, domain := strings.Cut(x.name, ".")
		fq, aliases := "True", "[]"
		if domain {
			fq, aliases = x.name, "['"+short+"']"
		}
		want := fmt.Sprintf(`name %[1]s %[2]s
by name True %[3]s
by address True
['hostname', '-f'] 0 ['%[1]s'] 
['hostname', '-s'] 0 ['%[4]s'] 
['hostname', '-i'] 0 ['%[5]s'] 
['getent', 'hosts'] 0 ['%[5]s'] 
['getent', 'ahosts'] 0 ['%[5]s', '%[5]s', '%[5]s'] 
ping 0 PING %[1]s (%[5]s) 56(84) bytes of data.
itself True True True
added 192.0.2.9
`, x.name, fq, aliases, short, x.own)
		if got.out != want || got.status != 0 {
			t.Errorf("%v: got %+v\nwant %s", x, got, want)
		}
	}
}

// TestHostsLate: the line is there by whatever name the file is looked for, for the first of many who do so at once;
// and what programs make of it stays, when the unix server has died, too.
func TestHostsLate(t *testing.T) {
	for _, command := range []string{
		"cd /etc; cat hosts", "ln -s ../etc/hosts /tmp/h; cat /tmp/h", "cat /proc/self/root/etc/hosts", "cat //etc/../etc/./hosts",
		"stat -c %s /etc/hosts >/tmp/n; [ $(cat /tmp/n) = $(wc -c </etc/hosts) ]; cat /etc/hosts",
		"for i in 1 2 3 4 5 6; do grep -c m1 /etc/hosts >/tmp/$i & done; wait; cat /tmp/[1-6] | sort -u | grep -qx 1; cat /etc/hosts",
		"mount() { echo no; }; echo x >>/etc/hosts; cat /etc/hosts",
	} {
		got := run(t, subject.Binary(t), "run", "--network", "none", "--hostname", "m1", "--", "/bin/sh", "-ec", command)
		if got.status != 0 || strings.Count(got.out, "127.0.1.1\tm1\n") != 1 {
			t.Errorf("%s: %+v", command, got)
		}
	}
	m := start(t, []string{"--network", "none", "--hostname", "m1"}, "hostsdeath.py")
	m.dies("named 1 True", "as it was left True")
	m.end()
}

// TestHostsOfOthers: files of the host's that a machine sees stay as they are, and so does a root that
// is only read.
func TestHostsOfOthers(t *testing.T) {
	before, err := os.ReadFile("/etc/hosts")
	if err != nil {
		t.Skip(err)
	}
	got := run(t, subject.Binary(t), "run", "--network", "none", "--hostname", "m1", "--read-only", "--", "/bin/cat", "/etc/hosts")
	if got.out != string(before) || got.status != 0 {
		t.Errorf("read-only: %+v", got)
	}
	etc := t.TempDir()
	hosts := filepath.Join(etc, "hosts")
	const text = "127.0.0.1 localhost\n"
	if err := os.WriteFile(hosts, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	got = run(t, subject.Binary(t), "run", "--network", "none", "--hostname", "m1", "-v", etc+":/etc", "--", "/bin/cat", "/etc/hosts")
	if b, err := os.ReadFile(hosts); got.out != text || string(b) != text || err != nil {
		t.Errorf("%+v; on the host %q %v", got, b, err)
	}
	got = run(t, subject.Binary(t), "run", "--network", "none", "--hostname", "m1", "-v", hosts+":/etc/hosts", "--", "/bin/cat", "/etc/hosts")
	if b, err := os.ReadFile(hosts); got.out != text || string(b) != text || err != nil {
		t.Errorf("a file on it: %+v; on the host %q %v", got, b, err)
	}
	if after, err := os.ReadFile("/etc/hosts"); string(after) != string(before) || err != nil {
		t.Errorf("the host's: %q %v", after, err)
	}
}
