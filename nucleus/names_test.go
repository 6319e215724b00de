package nucleus_test

import (
	"testing"

	"hythe/abi"
	"hythe/nucleus"
)

// A task that gives its rights all the names that the nucleus could choose next cannot
// keep it at choosing, nor make it remember more than the task has.
func TestNamesTakenByRename(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	defer w.end()
	a := w.server("a", 0)
	var high []uint64
	for i := range uint64(256) {
		n := a.port()
		if n>>8 != 1 {
			t.Fatalf("name %#x", n)
		}
		a.ok(abi.CallPortRename, n, 1<<30+i)
		high = append(high, 1<<30+i)
	}
	for i, n := range high {
		a.ok(abi.CallPortRename, n, uint64(1<<8+i))
	}
	seen := map[uint64]bool{}
	for range 300 {
		n := a.port()
		if seen[n] || n>>8 == 1 {
			t.Fatalf("name %#x again", n)
		}
		seen[n] = true
	}
}
