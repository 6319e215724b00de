package linux

import (
	"testing"

	"golang.org/x/sys/unix"
)

// A thread of its own is never the process's first one, which tells others what the
// process is, and each has another.
func TestOwnThread(t *testing.T) {
	const many = 100
	hold := make(chan struct{})
	defer close(hold)
	got := make(chan int)
	had := map[int]bool{unix.Getpid(): true}
	for range many {
		ownThread(func() {
			got <- unix.Gettid()
			<-hold
		})
		n := <-got
		if had[n] {
			t.Fatalf("thread %d twice, or of process %d", n, unix.Getpid())
		}
		had[n] = true
	}
}
