//go:build freebsd

package main

import "unsafe"

func pointer(p *byte) uintptr { return uintptr(unsafe.Pointer(p)) }
