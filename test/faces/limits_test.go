package faces

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"hythe/test/subject"
)

// Each of these would take all of the host, and is held back.
func TestMemoryLimit(t *testing.T) {
	const py = "/usr/bin/python3"
	subject.Need(t, py)
	for _, c := range []struct{ name, prog string }{
		{"private", "b = bytearray(1 << 30)"},
		{"shared", "import mmap\nm = mmap.mmap(-1, 1 << 30)\nfor i in range(0, 1 << 30, 4096): m[i] = 1"},
		{"many", "import os\nwhile os.fork() == 0: b = bytearray(40 << 20)\nos.wait()\nos.kill(os.getpid(), 9)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := hythe(t, "", "run", "--memory", "160m", "--pids-limit", "200", "--", py, "-c", c.prog)
			if got.status != 137 || got.out != "" || !strings.Contains(got.errs, "is killed") || !strings.HasPrefix(got.errs, "hythe: limits: ") {
				t.Errorf("%+v", got)
			}
		})
	}
	// A child that is killed is the parent's affair.
	got := hythe(t, "", "run", "--memory", "160m", "--", "/bin/sh", "-c", py+" -c 'b = bytearray(1 << 30)'; echo $?")
	if got.status != 0 || got.out != "137\n" {
		t.Errorf("child: %+v", got)
	}
	// Files that live in memory have a size, which is half of the limit.
	for _, file := range []string{"/tmp/big", "/dev/shm/big"} {
		got = hythe(t, "", "run", "--memory", "160m", "--", "/bin/sh", "-c",
			"dd if=/dev/zero bs=1M count=400 of="+file+" 2>/dev/null; echo $?; wc -c <"+file+"; rm "+file+"; echo again >"+file+"; cat "+file)
		f := strings.Fields(got.out)
		if len(f) != 3 || f[0] != "1" || f[2] != "again" {
			t.Errorf("%s: %+v", file, got)
			continue
		}
		if n, err := strconv.Atoi(f[1]); err != nil || n > 80<<20 || n < 40<<20 {
			t.Errorf("%s: %d bytes (%v)", file, n, err)
		}
	}
	// Within the limit nobody is killed.
	if got := hythe(t, "", "run", "--memory", "160m", "--", py, "-c", "b = bytearray(64 << 20); print(len(b))"); got.status != 0 || got.out != "67108864\n" {
		t.Errorf("within: %+v", got)
	}
}

func TestPidsLimit(t *testing.T) {
	// Each one that is started says so; the shell's own end kills the rest.
	got := hythe(t, "", "run", "--pids-limit", "20", "--", "/bin/sh", "-c", "while :; do sleep 1000 >/dev/null 2>&1 & echo x; done 2>/dev/null")
	if n := strings.Count(got.out, "x"); n != 19 || got.status == 0 {
		t.Errorf("%d processes beside the shell, want 19; %+v", n, got)
	}
	subject.Need(t, "/bin/bash")
	// A fork bomb: the machine can still be looked at and ended.
	id := "faces-bomb-" + strconv.Itoa(os.Getpid())
	r := start(t, "run", "-i", "--name", id, "--pids-limit", "30", "--", "/bin/bash", "-c", "echo up; bomb() { bomb | bomb & }; bomb 2>/dev/null; read x")
	r.line("up")
	for hythe(t, "", "ps", "-m", id).status != 0 {
	}
	for range 5 {
		ps := hythe(t, "", "ps", "-m", id)
		if n := strings.Count(ps.out, "\n") - 1; ps.status != 0 || n > 30 {
			t.Errorf("ps: %d rows, %+v", n, ps)
		}
	}
	if got := hythe(t, "", "kill", "-s", "KILL", "-m", id, "1"); got.status != 0 {
		t.Errorf("kill: %+v", got)
	}
	r.end(137)
}
