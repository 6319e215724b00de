package faces

import (
	"syscall"
	"testing"
)

// TestPool: a machine without a program takes those of exec, keeps what they leave, and
// ends when it was idle or is told to; in the background it is nobody's child.
func TestPool(t *testing.T) {
	id := machineID()
	p := start(t, "pool", "--name", id, "--network", "none")
	p.line(id)
	for _, want := range []string{"", "kept"} {
		if r := hythe(t, "", "exec", "-m", id, "--", "/bin/sh", "-c", "cat /left 2>/dev/null; echo -n kept >/left; exit 3"); r != (result{want, "", 3}) {
			t.Errorf("%+v", r)
		}
	}
	if r := hythe(t, "", "pool", "--name", id); r.status != 125 || r.out != "" {
		t.Errorf("a second of the name: %+v", r)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.end(0)
	if r := hythe(t, "", "exec", "-m", id, "--", "/bin/true"); r.status != 125 {
		t.Errorf("exec afterwards: %+v", r)
	}
	p = start(t, "pool", "--name", id, "--network", "none", "--idle", "1ms")
	p.line(id)
	p.end(0)

	if r := hythe(t, "", "pool", "-d", "--name", id, "--network", "none"); r != (result{id + "\n", "", 0}) {
		t.Fatalf("%+v", r)
	}
	// Its output is waited for, and not that of the machine.
	if r := hythe(t, "in", "exec", "-i", "-m", id, "--", "/bin/cat"); r != (result{"in", "", 0}) {
		t.Errorf("%+v", r)
	}
	if r := hythe(t, "", "pool", "-d", "--name", id); r.status != 125 || r.errs != `hythe: a machine "`+id+"\" is already running\n" {
		t.Errorf("a second in the background: %+v", r)
	}
	if r := hythe(t, "", "stop", "-m", id); r != (result{}) {
		t.Errorf("stop: %+v", r)
	}
	if r := hythe(t, "", "exec", "-m", id, "--", "/bin/true"); r.status != 125 {
		t.Errorf("exec after stop: %+v", r)
	}
	id, run := machine(t)
	if r := hythe(t, "", "stop", "-m", id); r.status != 125 || r.errs != "hythe: it ends with its program: hythe kill 1\n" {
		t.Errorf("stop of a run: %+v", r)
	}
	run.in.Close()
}
