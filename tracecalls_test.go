package hythe

import (
	"fmt"
	"strings"
	"testing"
)

// TestCallFollower: lines come in order, those of others do not, what finds no room is counted
// in one place, and who has nobody left to look at is over.
func TestCallFollower(t *testing.T) {
	all, two := newCallFollower(nil), newCallFollower([]int{2, 3})
	tr := callTracing{followers: []*callFollower{all, two}}
	if a, pids := tr.wanted(); !a || fmt.Sprint(pids) != "[2 3]" {
		t.Errorf("wanted: %v %v", a, pids)
	}
	for _, bad := range []string{"", "x y", " 2 z", "99999999999999999999 q"} {
		if got := tr.line(bad); got != "" {
			t.Errorf("%q is shown as %q", bad, got)
		}
	}
	for _, l := range []string{"1 [a] b c", "2 d", "3", "3 the number's next owner", "2 e"} {
		tr.line(l)
	}
	if got := string(all.take()); got != "[a] b c\nd\nthe number's next owner\ne\n" {
		t.Errorf("all: %q", got)
	}
	if got := string(two.take()); got != "d\ne\n" {
		t.Errorf("two: %q", got)
	}
	long := strings.Repeat("x", 4000)
	n := 0
	for ; n*4001+4001 <= maxBacklog; n++ {
		tr.line("2 " + long)
	}
	tr.line("2 " + long)
	tr.line("2 short, and behind what is missing")
	tr.line("2")
	select {
	case <-two.over:
	default:
		t.Error("it has nobody to look at and goes on")
	}
	// What is left is written when it is over.
	var b strings.Builder
	if err := two.write(&b, nil); err != nil || strings.Count(b.String(), long+"\n") != n || !strings.HasSuffix(b.String(), "x\n2 lines more\n") {
		t.Errorf("%v, %d bytes: ...%q", err, b.Len(), b.String()[max(0, b.Len()-60):])
	}
	if a, pids := tr.wanted(); !a || len(pids) != 0 {
		t.Errorf("wanted: %v %v", a, pids)
	}
}

// TestFollowed: who follows is counted together.
func TestFollowed(t *testing.T) {
	many := make([]int, maxFollowed-1)
	for i := range many {
		many[i] = i + 1
	}
	var tr callTracing
	for i, x := range []struct {
		pids []int
		ok   bool
	}{{many, true}, {[]int{1, 2}, false}, {nil, true}, {[]int{7}, true}, {[]int{8}, false}} {
		if ok := tr.add(newCallFollower(x.pids)); ok != x.ok {
			t.Errorf("%d: %v", i, ok)
		}
	}
}
