package faces

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hythe/test/subject"
)

// TestHostile lets guests make every host call that their filter lets through
// (but clone: see TestProcessLimit of test/trap), raw and with any arguments: what
// is beside them, the servers, the nucleus and the host's files do not change.
func TestHostile(t *testing.T) {
	subject.Need(t, "/usr/bin/gcc", "/usr/bin/timeout")
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc", "-O1", "-w", "-static", "-o", filepath.Join(dir, "hostile"), "testdata/hostile.c").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "witness"), []byte("unchanged"), 0o644); err != nil {
		t.Fatal(err)
	}
	rounds := "40"
	if subject.Long() {
		rounds = "500"
	}
	id := machineID()
	m := start(t, "run", "-i", "--name", id, "--pids-limit", "60", "-v", dir+":/mnt", "--", "/mnt/hostile", "bystander")
	m.line("up")
	m.found(id)
	before := services(t, id)
	// Some hang, having lost their channel: they are killed. None may fork.
	r := hythe(t, "", "exec", "-m", id, "-u", "1000:1000", "--", "/bin/sh", "-c",
		"for i in $(seq "+rounds+"); do timeout -s KILL 0.5 /mnt/hostile $i; done 2>/dev/null; echo; echo done")
	if n := strings.Count(r.out, "+"); !strings.HasSuffix(r.out, "\ndone\n") || r.status != 0 || strings.Contains(r.out, "no ") || n == 0 {
		t.Errorf("%+v", r)
	} else {
		t.Logf("%d of %s came to attack", n, rounds)
	}
	unharmed(m, id, before)
	if b, err := os.ReadFile(filepath.Join(dir, "witness")); string(b) != "unchanged" {
		t.Errorf("the witness is %q, %v", b, err)
	}
	if l, err := os.ReadDir(dir); len(l) != 2 {
		t.Errorf("the directory holds %v, %v", l, err)
	}
}

// unharmed ends a machine whose bystander has lived through what others did, and in which no server has died.
func unharmed(m *running, id string, before map[string]int) {
	m.t.Helper()
	alone(m.t, id)
	if after := services(m.t, id); !maps.Equal(before, after) {
		m.t.Errorf("restarts of the servers: %v before, %v after", before, after)
	}
	m.in.Close()
	m.line("intact")
	m.end(3)
	m.silent()
}

// alone waits until a machine has its first process only: what was killed is gone, some time.
func alone(t *testing.T, id string) {
	t.Helper()
	for end := time.Now().Add(limit); ; {
		var v []struct{ Items []struct{ PID int } }
		ps := hythe(t, "", "ps", "--json", "-m", id)
		if err := json.Unmarshal([]byte(ps.out), &v); err != nil || len(v) != 1 {
			t.Fatalf("ps: %v %+v", err, ps)
		}
		if len(v[0].Items) == 1 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("processes are left: %+v", ps)
		}
	}
}

// silent demands that the command has said nothing on standard error but how the limits are kept.
func (r *running) silent() {
	r.t.Helper()
	for l := range strings.Lines(r.err.String()) {
		if !strings.HasPrefix(l, "hythe: limits: ") {
			r.t.Errorf("the command says %q", l)
		}
	}
}
