package faces

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hythe/test/subject"
)

// TestHostileLent: guests that were lent all that there is write over the words by which they and the servers
// speak of it, while they go on using it, and fork. Nobody else sees anything of it: no server dies, nothing is
// said, and what was theirs is gone with them.
func TestHostileLent(t *testing.T) {
	subject.Need(t, "/usr/bin/gcc", "/usr/bin/timeout")
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"hostile", "scribble"} {
		if out, err := exec.Command("gcc", "-O1", "-w", "-static", "-pthread", "-o", filepath.Join(dir, s), "testdata/"+s+".c").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	rounds := 16
	if subject.Long() {
		rounds = 800
	}
	id := machineID()
	m := start(t, "run", "-i", "--name", id, "--pids-limit", "200", "--network", "user,allow=127.0.0.1:"+port, "-v", dir+":/mnt", "--", "/mnt/hostile", "bystander")
	m.line("up")
	m.found(id)
	before := services(t, id)
	lent := map[rune]bool{}
	for i := 0; i < rounds; i += 8 {
		// Some hang, by what they have written: they are killed, and so is whatever they have forked.
		r := hythe(t, "", "exec", "-m", id, "-u", "1000:1000", "--", "/bin/sh", "-c", fmt.Sprintf(
			"for i in $(seq %d %d); do timeout -s KILL 3 /mnt/scribble $i 10.0.2.2 %s >/tmp/o; kill -9 -1; cat /tmp/o; done 2>/dev/null; echo done", i, i+7, port))
		if !strings.HasSuffix(r.out, "\ndone\n") || r.status != 0 || strings.Contains(r.out, "no ") {
			t.Fatalf("%+v", r)
		}
		for _, c := range strings.TrimSuffix(r.out, "done\n") {
			lent[c] = true
		}
	}
	for _, c := range "foscrwuhCH" {
		if !lent[c] {
			t.Errorf("nobody was lent what is %c in scribble.c", c)
		}
	}
	unharmed(m, id, before)
}
