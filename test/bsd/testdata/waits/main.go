// Command waits asks select, pselect and ppoll about descriptors.
package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// set makes a set; nil for none.
func set(fds ...int) *unix.FdSet {
	if len(fds) == 0 {
		return nil
	}
	var s unix.FdSet
	for _, fd := range fds {
		s.Set(fd)
	}
	return &s
}

// wait calls select and says what is in the sets then.
func wait(what string, n int, in, out, ex *unix.FdSet, limit time.Duration) {
	var tv *unix.Timeval
	if limit >= 0 {
		t := unix.NsecToTimeval(limit.Nanoseconds())
		tv = &t
	}
	start := time.Now()
	got, err := unix.Select(n, in, out, ex, tv)
	for err == unix.EINTR { // by the runtime's own signal; the sets are as they were
		got, err = unix.Select(n, in, out, ex, tv)
	}
	fmt.Print(what, ": ", got, " ", err, " waited ", time.Since(start) >= limit && limit > 0)
	for i, s := range []*unix.FdSet{in, out, ex} {
		for fd := range 252 {
			if s != nil && err == nil && s.IsSet(fd) {
				fmt.Print(" ", i, ":", fd)
			}
		}
	}
	fmt.Println()
}

func main() {
	var p, q [2]int
	if err := unix.Pipe(p[:]); err != nil {
		fmt.Println(err)
	}
	if err := unix.Pipe(q[:]); err != nil {
		fmt.Println(err)
	}
	// At numbers of their own, one in the sets' first word and one far behind.
	const r1, w1, r2, w2 = 50, 51, 200, 251
	for from, to := range map[int]int{p[0]: r1, p[1]: w1, q[0]: r2, q[1]: w2} {
		if err := unix.Dup2(from, to); err != nil {
			fmt.Println(err)
		}
		unix.Close(from)
	}
	wait("none, at once", 0, nil, nil, nil, 0)
	wait("none", 0, nil, nil, nil, 30*time.Millisecond)
	wait("nothing to read", 252, set(r1, r2), nil, set(r1), 20*time.Millisecond)
	wait("room", 252, nil, set(w1, w2), nil, -1)
	wait("both", 252, set(r1, r2), set(w2), set(r1), 0)
	unix.Write(w2, []byte("x"))
	wait("one", 252, set(r1, r2), nil, set(r2), -1)
	wait("below it", r2, set(r1, r2), nil, nil, 0)
	go func() {
		time.Sleep(20 * time.Millisecond)
		unix.Write(w1, []byte("y"))
	}()
	wait("until it is written", r1+1, set(r1), nil, nil, -1)
	unix.Close(w2)
	unix.Read(r2, make([]byte, 10))
	wait("the end", 252, set(r2), nil, nil, -1)
	unix.Close(r1)
	wait("nobody reads", 252, nil, set(w1), nil, -1)
	wait("closed", 252, set(r1), nil, nil, 0)
	wait("negative", -1, nil, nil, nil, 0)
	tv := unix.Timeval{Sec: -1}
	_, err := unix.Select(0, nil, nil, nil, &tv)
	fmt.Println("before now:", err)
	masked(r2)
}
