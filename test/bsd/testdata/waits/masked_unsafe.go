package main

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The library has neither ppoll nor pselect for all systems.
var numbers = map[string][2]uintptr{"linux": {271, 270}, "freebsd": {545, 522}, "dragonfly": {543, 499}, "netbsd": {437, 436}}

// masked waits for a pipe whose end is reached, for nothing a short time, and for a time
// that is none.
//
// Safety: the calls are given addresses of variables that live until they come back.
func masked(fd int) {
	nr := numbers[runtime.GOOS]
	f := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for _, t := range []*unix.Timespec{nil, {Nsec: 1e7}, {Nsec: 1e9}} {
		for n := range 2 {
			if t == nil && n == 0 {
				continue // for ever
			}
			got, e := uintptr(0), unix.EINTR
			for e == unix.EINTR { // by the runtime's own signal
				got, _, e = unix.Syscall6(nr[0], uintptr(unsafe.Pointer(&f)), uintptr(n), uintptr(unsafe.Pointer(t)), 0, 8, 0)
			}
			fmt.Println("ppoll:", int(got), e, f[0].Revents&unix.POLLHUP != 0)
			s := set(fd)
			for e = unix.EINTR; e == unix.EINTR; {
				got, _, e = unix.Syscall6(nr[1], uintptr(n*(fd+1)), uintptr(unsafe.Pointer(s)), 0, 0, uintptr(unsafe.Pointer(t)), 0)
			}
			fmt.Println("pselect:", int(got), e, s.IsSet(fd))
		}
	}
}
