//go:build plan9

package main

import (
	"syscall"
	"unsafe"
)

func addr(p *int32) uintptr { return uintptr(unsafe.Pointer(p)) }

func addrOf(p *byte) uintptr { return uintptr(unsafe.Pointer(p)) }

// word is the word at an address that Go knows nothing of.
func word(at uintptr) *int32 { return *(**int32)(unsafe.Pointer(&at)) }

// call answers the result of a call.
func call(nr, a, b uintptr) int {
	r, _, _ := syscall.Syscall(nr, a, b, 0)
	return int(int32(r))
}
