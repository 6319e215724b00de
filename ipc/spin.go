package ipc

import "time"

// How long a waiter looks at shared memory before it sleeps. It yields its
// processor meanwhile (yield): where client and server are more than the
// processors, what a look costs is not what the other needs. A wake-up costs 5
// to 80 us where cores are virtual, and when client and server both sleep,
// neither comes in time for the other.
const (
	spinMin = 2 * time.Microsecond
	spinMax = 50 * time.Microsecond
	// After an idle time of more than so many times spinMax the next is
	// expected to be long too.
	spinTry = 4
)

// spinNext is how long to look the next time, when the last idle time was idle,
// sleep included.
func spinNext(idle, max time.Duration) time.Duration {
	if idle < spinTry*max {
		return max
	}
	return min(spinMin, max)
}
