package linux

import (
	"slices"
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

// A thread is in a list, and is found, while many end that come before it in the host's.
func TestThreadsEnd(t *testing.T) {
	const rounds, many = 20, 100
	tids := make(chan int)
	for range rounds {
		end := make(chan struct{})
		hold := func() {
			tids <- unix.Gettid()
			<-end
		}
		for range many {
			ownThread(hold)
			<-tids
		}
		stay := make(chan struct{})
		ownThread(func() {
			tids <- unix.Gettid()
			<-stay
		})
		tid := <-tids
		go func() {
			for range many {
				end <- struct{}{}
			}
			close(end)
		}()
		for ended := false; !ended; {
			select {
			case _, more := <-end:
				ended = !more
			default:
			}
			listed := false
			if err := eachList(unix.Getpid(), func(l []int) (bool, error) {
				listed = listed || slices.Contains(l, tid)
				return false, nil
			}); err != nil || !listed {
				t.Errorf("thread %d is in no list: %v", tid, err)
			}
		}
		if host := (&channel{}).findThread(unix.Getpid(), uint64(tid)); host != tid {
			t.Errorf("thread %d is %d", tid, host)
		}
		close(stay)
	}
}
