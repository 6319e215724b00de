//go:build plan9

package main

import "unsafe"

func pointer(p *byte) uintptr { return uintptr(unsafe.Pointer(p)) }
