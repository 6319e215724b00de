package core

import (
	"fmt"
	"slices"
	"testing"

	"hythe/abi"
)

// Who is traced is lent nothing, and again when he is not; numbers that nobody has, or has any
// more, are told of at once.
func TestTraceOnOff(t *testing.T) {
	for _, all := range []bool{true, false} {
		tk := newTestKernel(t)
		var told []string
		tk.Tracer = func(pid, tid int32, line string) { told = append(told, fmt.Sprintf("%d %d %s", pid, tid, line)) }
		fd, l, act := lentFile(t, tk, "/a")
		begin(l, act)
		pos := l.Pos
		if l.Gen&1 != 1 || pos&abi.LentPos == 0 {
			t.Fatalf("lent: %+v", l)
		}
		who := Traced{All: all}
		if !all {
			for pid := range tk.byPid {
				who.PIDs = append(who.PIDs, pid)
			}
		}
		tk.Trace(Traced{PIDs: []int32{4711, -1}})
		slices.Sort(told)
		if fmt.Sprintf("%q", told) != `["-1 0 " "4711 0 "]` {
			t.Errorf("of numbers that are nobody's: %q", told)
		}
		if l.Gen&1 != 1 {
			t.Errorf("taken back for others: %+v", l)
		}
		tk.Trace(who)
		if l.Gen&1 != 0 || l.Pos&abi.LentPos != 0 {
			t.Errorf("all %v: lent while it is traced: %+v", all, l)
		}
		for range 3 * lendOften {
			if act, _ := readLend(t, tk, fd); act.Op != 0 {
				t.Fatalf("all %v: lent while it is traced", all)
			}
		}
		tk.Trace(Traced{})
		for i := 0; ; i++ {
			if act, _ := readLend(t, tk, fd); act.Op != 0 {
				break
			}
			if i > 2*lendOften {
				t.Fatalf("all %v: not lent again", all)
			}
		}
	}
}
