package ipc

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

var monoBase = sync.OnceValue(func() time.Time {
	var ts unix.Timespec
	now := time.Now()
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return now
	}
	return now.Add(-time.Duration(ts.Nano()))
})

// Monotonic is the host's monotonic clock (CLOCK_MONOTONIC) in nanoseconds. It
// goes on across incarnations of a server, unlike the monotonic part of a
// time.Time, and costs no call of the host.
func Monotonic() int64 { return int64(time.Since(monoBase())) }
