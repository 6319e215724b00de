package unix

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestClock: alarms go off, none before its time, those that were cancelled not
// at all, whatever the order in which they are set.
func TestClock(t *testing.T) {
	c, err := newClock()
	if err != nil {
		t.Fatal(err)
	}
	type fired struct{ due, at int64 }
	const n = 200
	start, got := c.Mono(), make(chan fired, n)
	var due []int64
	for i := range n {
		at := start + int64(rand.IntN(40e6)) - 10e6 // some are past
		if i%4 == 0 {
			cancel := c.After(at+3600e9, func() { t.Error("a cancelled alarm went off") })
			defer cancel() // twice is not once too often
			cancel()
			continue
		}
		c.After(at, func() { got <- fired{at, c.Mono()} })
		due = append(due, at)
	}
	var seen []int64
	for range due {
		f := <-got
		if f.at < f.due {
			t.Errorf("alarm of %d went off at %d", f.due, f.at)
		}
		seen = append(seen, f.due)
	}
	slices.Sort(due)
	slices.Sort(seen)
	if !slices.Equal(due, seen) {
		t.Error("other alarms went off than were set and not cancelled")
	}
	c.mu.Lock()
	left := len(c.alarms)
	c.mu.Unlock()
	if left != 0 || len(got) != 0 {
		t.Errorf("%d alarms are left, %d went off once too often", left, len(got))
	}
}
