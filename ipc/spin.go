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

// Where there is one processor, who has seen, in one idle time, that another process runs when
// it yields, and what it waits for is not there afterwards, would only run to be in the others'
// way: it sleeps. A yield in which another process ran takes more than switched; one in which
// none did a fraction of it.
const switched = 4 * time.Microsecond

// oneCore: there is one processor for all. With more, who waits for one mostly finds the other.
var oneCore = runtime.NumCPU() == 1

// crowded is until when, in nanoseconds since born, the processors are taken to be busy.
var (
	crowded atomic.Int64
	born    = time.Now()
)

// linger is one look's pause, since so long after start; false: it is time to sleep. others
// says that another process ran in this idle time, and is linger's.
func linger(start time.Time, since, spin time.Duration, others *bool) bool {
	if since >= spin || *others {
		return false
	}
	pause(16)
	took, ok := giveWay(start, since)
	*others = took > switched && oneCore
	return ok
}

// giveWay yields, since so long after start, and answers how long that took; false: the
// processors are busy.
func giveWay(start time.Time, since time.Duration) (took time.Duration, ok bool) {
	now := start.Sub(born) + since
	if int64(now) < crowded.Load() {
		return 0, false
	}
	yield()
	took = time.Since(start) - since
	if took > crowdedYield {
		crowded.Store(int64(now + crowdedYield + crowdedFor))
		return took, false
	}
	return took, true
}

// spinNext is how long to look the next time, when the last idle time was idle,
// sleep included.
func spinNext(idle, max time.Duration) time.Duration {
	if idle < spinTry*max {
		return max
	}
	return min(spinMin, max)
}
