package ipc

import (
	"runtime"
	"sync/atomic"
	"time"
)

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

// Where others have work for all processors a yield lasts as long as they like, some
// milliseconds, and who sleeps instead is put in front of them when it is woken. So after
// a yield of crowdedYield nobody of this process yields for crowdedFor.
const (
	crowdedYield = time.Millisecond
	crowdedFor   = 50 * time.Millisecond
)

// oneCore: there is one processor for all. With more, who waits for one mostly finds the other. With
// one, who yields once and does not find what it waits for afterwards would only run to be in the
// others' way: it sleeps. If another process ran meanwhile it has more to do; if none did, the
// host gives the processor back to who yields as long as it has had less of it than the
// others (a server that is asked little always has), and nobody else can do anything about what is waited for.
var oneCore = runtime.NumCPU() == 1

// crowded is until when, in nanoseconds since born, the processors are taken to be busy.
var (
	crowded atomic.Int64
	born    = time.Now()
)

// linger is one look's pause, since so long after start; false: it is time to sleep. others
// says that the others had the one processor in this idle time, and is linger's.
func linger(start time.Time, since, spin time.Duration, others *bool) bool {
	if since >= spin || *others {
		return false
	}
	if *others = oneCore; !oneCore {
		pause(16)
	}
	return giveWay(start, since)
}

// giveWay yields, since so long after start; false: the processors are busy.
func giveWay(start time.Time, since time.Duration) bool {
	now := start.Sub(born) + since
	if int64(now) < crowded.Load() {
		return false
	}
	yield()
	if time.Since(start)-since > crowdedYield {
		crowded.Store(int64(now + crowdedYield + crowdedFor))
		return false
	}
	return true
}

// spinNext is how long to look the next time, when the last idle time was idle,
// sleep included.
func spinNext(idle, max time.Duration) time.Duration {
	if idle < spinTry*max {
		return max
	}
	return min(spinMin, max)
}
