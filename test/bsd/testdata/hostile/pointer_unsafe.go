//go:build dragonfly || freebsd || netbsd

package main

import "unsafe"

func pointer(p *byte) uintptr { return uintptr(unsafe.Pointer(p)) }

func bytes(b []byte) uintptr { return uintptr(unsafe.Pointer(&b[0])) }
