package ipc

import "time"

// How long a waiter looks at shared memory before it sleeps.
const (
	spinMin = 2 * time.Microsecond
	spinMax = 50 * time.Microsecond
	// An idle time up to so many times spinMax that ended in sleep may have
	// been wake-ups for the most part (5 to 80 us each where cores are
	// virtual): when client and server both sleep, neither comes in time for
	// the other, and only a long look by one of them gets both out of it.
	spinTry = 4
	// A long look that was in vain is not repeated for a number of idle times
	// that doubles from spinHold to spinHoldMax.
	spinHold    = 8
	spinHoldMax = 512
)

// spinner decides how long to look. Not for use by several goroutines at once.
type spinner struct {
	budget, max time.Duration
	hold, back  int
}

// ended tells how long the idle time was, and whether it ended in sleep.
func (s *spinner) ended(idle time.Duration, slept bool) {
	switch {
	case !slept:
		s.budget = min(s.budget*2, s.max)
		s.back = 0
	case s.max <= spinMin:
	case s.budget >= s.max:
		s.budget = spinMin
		s.back = min(s.back*2+spinHold, spinHoldMax)
		s.hold = s.back
	case s.hold > 0:
		s.hold--
	case idle < spinTry*s.max:
		s.budget = s.max
	default:
		s.budget = max(s.budget/2, spinMin)
	}
}
