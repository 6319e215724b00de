package main

import (
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

const (
	sysPselect   = 522
	sysPpoll     = 545
	sysGetfsstat = 557
	sysKevent    = 560
	noCall       = 0 // a number that is no call
)

// Flags of mmap.
const (
	mapPrivate, mapStack, mapAnon = 2, 0x400, 0x1000
	aligned                       = 1 << 24 // to a power of two
)

var mapFlags = []uintptr{mapAnon | mapPrivate, mapStack | mapPrivate, mapAnon | mapPrivate | 21*aligned, mapAnon | mapPrivate | 40*aligned, mapAnon | 1}

func mmap(n, prot, flags, fd, off uintptr) (uintptr, syscall.Errno) {
	at, _, e := syscall.Syscall6(477, 0, n, prot, flags, fd, off)
	return at, e
}

var ch = make(chan os.Signal, 10)

// none makes a call that is none and says whether it is answered and signalled.
func none(nr uintptr) (answered, signalled bool) {
	signal.Notify(ch, syscall.SIGSYS)
	_, _, e := syscall.Syscall(nr, 0, 0, 0)
	return e == syscall.ENOSYS, <-ch == syscall.SIGSYS
}

var own = slices.Concat(shared, []call{
	{"sysarch", 165, []uintptr{129, bad}}, {"sigaction", 416, []uintptr{30, bad, 0}}, {"thr_self", 432, []uintptr{bad}},
	{"_umtx_op wait", 454, []uintptr{bad, 15, 0, 0, 0}}, {"thr_new", 455, []uintptr{bad, 104}},
	{"cpuset_getaffinity", 487, []uintptr{3, 1, ^uintptr(0), 32, bad}}, {"wait6", 532, []uintptr{7, 0, bad, 16 | 1, 0, 0}},
	{"pipe2", 542, []uintptr{bad, 0}}, {"fstat", 551, []uintptr{1, bad}}, {"fstatat", 552, []uintptr{100, bad, bad, 0}},
	{"getrandom", 563, []uintptr{bad, 10, 0}}, {"getdirentries", 554, []uintptr{dir, bad, 1000, 0}},
})

func more() {
	sendfile()
	// There are no jails within, and none are made.
	for nr, want := range map[uintptr]syscall.Errno{436: syscall.EPERM, 506: syscall.ENOENT, 507: syscall.EPERM, 508: syscall.EPERM} {
		if _, _, e := syscall.Syscall(nr, 1, 0, 0); e != want {
			fmt.Println("jails:", nr, e)
		}
	}
}
