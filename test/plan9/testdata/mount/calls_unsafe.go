//go:build plan9

package main

import (
	"os"
	"syscall"
	"unsafe"
)

// fversion is the call. Safety: the buffer is alive until the call has returned.
func fversion(f *os.File, msize int, version string, room int) (string, error) {
	b := make([]byte, 64)
	copy(b, version)
	n, _, err := syscall.Syscall6(syscall.SYS_FVERSION, f.Fd(), uintptr(msize), uintptr(unsafe.Pointer(&b[0])), uintptr(room), 0, 0)
	if int32(n) == -1 {
		return "", err
	}
	return string(b[:n]), nil
}

// fauth is the call. Safety: as above.
func fauth(f *os.File, tree string) (int, error) {
	b := append([]byte(tree), 0)
	fd, _, err := syscall.Syscall(syscall.SYS_FAUTH, f.Fd(), uintptr(unsafe.Pointer(&b[0])), 0)
	if int32(fd) == -1 {
		return -1, err
	}
	return int(fd), nil
}
