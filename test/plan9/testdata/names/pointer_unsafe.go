//go:build plan9

package main

import (
	"syscall"
	"unsafe"
)

func addr(p *int32) uintptr { return uintptr(unsafe.Pointer(p)) }

// call answers the result of a call.
func call(nr, a, b uintptr) int {
	r, _, _ := syscall.Syscall(nr, a, b, 0)
	return int(int32(r))
}
