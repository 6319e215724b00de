//go:build netbsd

package main

import "unsafe"

// address is where b is.
func address(b []byte) uintptr { return uintptr(unsafe.Pointer(&b[0])) }
