package main

import (
	"encoding/binary"
	"fmt"
	"slices"
	"syscall"
)

const (
	sysGetfsstat = 18
	sysSigaction = 342
	sysKevent    = 363
	sysPselect   = 499
	sysPpoll     = 543
	noCall       = 0 // a number that is no call
	mapStack     = 0x400
)

var mapFlags = []uintptr{mapAnon | mapPrivate, mapStack | mapPrivate, mapAnon | 1}

var own = slices.Concat(shared, []call{
	{"statfs", 157, []uintptr{bad, bad}}, {"fstatfs", 158, []uintptr{1, bad}},
	{"extpread", 173, []uintptr{zero, bad, 10, 0, 0}}, {"truncate", 200, []uintptr{bad, 0, 0}},
	{"extpreadv", 289, []uintptr{zero, bad, 1, 0, 0}}, {"sigaction", 342, []uintptr{30, bad, 0}}, {"sigreturn", 344, []uintptr{bad}},
	{"umtx_sleep", 469, []uintptr{bad, 0, 1}},
	{"set_tls_area", 472, []uintptr{0, bad, 16}}, {"get_tls_area", 473, []uintptr{0, bad, 16}}, {"stat", 475, []uintptr{bad, bad}},
	{"fstat", 476, []uintptr{1, bad}}, {"lstat", 477, []uintptr{bad, bad}}, {"getdirentries", 479, []uintptr{dir, bad, 1000, 0}},
	{"getdents", 480, []uintptr{dir, bad, 1000}}, {"lwp_create", 495, []uintptr{bad}}, {"fstatat", 505, []uintptr{100, bad, bad, 0}},
	{"utimensat", 539, []uintptr{100, bad, bad, 0}},
	{"wait6", 548, []uintptr{7, 0, bad, 16 | 1, 0, 0}}, {"getrandom", 550, []uintptr{bad, 10, 0}},
})

// more sends files, and asks for thread pointers and threads that are none.
func more() {
	sendfile()
	tls := make([]byte, 16)
	binary.LittleEndian.PutUint64(tls, 1<<63)
	for _, c := range []struct{ which, size uintptr }{{0, 16}, {1, 16}, {0, 8}} {
		if _, _, e := syscall.Syscall(472, c.which, bytes(tls), c.size); e != syscall.EINVAL {
			fmt.Println("a thread pointer that is none:", c, e)
		}
	}
	if _, _, e := syscall.Syscall(497, ^uintptr(0), 1<<30, 0); e != syscall.ESRCH {
		fmt.Println("a thread that is none:", e)
	}
	if _, _, e := syscall.Syscall(494, 2, 0, 0); e != syscall.EINVAL {
		fmt.Println("an end of what is nothing:", e)
	}
}
