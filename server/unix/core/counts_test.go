package core

import (
	"testing"

	"hythe/abi"
)

// A call is counted once, with its effect: not by a server that died over it,
// and not lost with one that died after it.
func TestCallCounts(t *testing.T) {
	tk := newTestKernel(t)
	fail := false
	serve := func() {
		t.Helper()
		pers := &testPers{calls: make([]func(*Call), 100)}
		pers.calls[7], pers.calls[99] = func(*Call) {}, func(c *Call) { c.Fail(abi.ENOSYS) }
		tk.AddPersonality(pers)
		tk.Failpoint = func(*Call) {
			if fail {
				panic("failpoint")
			}
		}
		var c Call
		if died := tk.serveCrash(&c); died != fail {
			t.Fatalf("died %v, want %v", died, fail)
		}
	}
	serve()
	fail = true
	tk.mu.Lock()
	tk = tk.next()
	serve()
	fail = false
	tk = tk.next()
	serve()
	tk.Enter()
	tk.count(0, 99)
	tk.count(0, 1<<40)
	tk.Leave()
	tk.mu.Lock()
	tk = tk.next()
	tk.AddPersonality(&testPers{})
	l := tk.ListCalls()
	if len(l) != 3 || l[0].Name != "7" || l[0].Count != 2 || l[0].Unserved || l[1].Name != "99" || l[1].Count != 1 || !l[1].Unserved || l[2].Nr != abi.CallTableSize {
		t.Errorf("%+v", l)
	}
}
