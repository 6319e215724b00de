package faces

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"

	"hythe/test/subject"
)

// TestHostileAhead: a guest takes the task that was made ahead for its next child, and speaks as it, or
// does harm to it. That is its own harm, and its child's: who hangs by it can be killed, others fork as
// before, and no server dies.
func TestHostileAhead(t *testing.T) {
	subject.Need(t, "/usr/bin/gcc", "/usr/bin/timeout")
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc", "-O1", "-w", "-static", "-o", filepath.Join(dir, "ahead"), "testdata/ahead.c").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	id := machineID()
	m := start(t, "run", "-i", "--name", id, "--pids-limit", "60", "-v", dir+":/mnt", "--", "/bin/sh", "-c",
		`echo up; while read n; do i=0; while [ $i -lt 20 ]; do (exit $n); [ $? = $n ] || echo bad; i=$((i+1)); done; echo $n; done`)
	m.line("up")
	m.found(id)
	before := services(t, id)
	for how := range 5 {
		arg := string(rune('0' + how))
		r := hythe(t, "", "exec", "-m", id, "-u", "1000:1000", "--", "/bin/sh", "-c",
			"for more in ends ''; do timeout -s KILL 0.5 /mnt/ahead "+arg+" $more 2>/dev/null | head -1; done; echo done")
		if r.out != "has it\nhas it\ndone\n" || r.status != 0 {
			t.Errorf("%d: %+v", how, r)
		}
		if _, err := m.in.Write([]byte(arg + "\n")); err != nil {
			t.Fatal(err)
		}
		m.line(arg)
	}
	if after := services(t, id); !reflect.DeepEqual(before, after) {
		t.Errorf("services were %v and are %v", before, after)
	}
	m.in.Close()
	m.end(0)
}
