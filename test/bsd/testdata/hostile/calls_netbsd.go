package main

import (
	"encoding/binary"
	"fmt"
	"syscall"
)

const (
	sysSigaction = 340
	sysGetfsstat = 356
	sysSelect    = 417
	sysKevent    = 435
	sysPselect   = 436
	sysPpoll     = 437
	noCall       = 19 // a number that is no call
	arandom      = 81
	pfRoute      = 34
	iflist       = 5
	eventSize    = 40
	aligned      = 1 << 24 // of mmap: to a power of two
)

var (
	eventAdd = []byte{0, 0, 0, 0, 1, 0, 0, 0} // EVFILT_READ, EV_ADD
	mapFlags = []uintptr{mapAnon | mapPrivate, mapAnon | mapPrivate | 21*aligned, mapAnon | mapPrivate | 40*aligned, mapAnon | 1}
)

var own = []call{
	{"__wait450", 449, []uintptr{^uintptr(0), bad, 1, 0}}, {"__sigaltstack14", 281, []uintptr{bad, 0}},
	{"__gettimeofday50", 418, []uintptr{bad, 0}}, {"__getrusage50", 445, []uintptr{0, bad}},
	{"__utimes50", 420, []uintptr{name, bad}}, {"__clock_gettime50", 427, []uintptr{0, bad}},
	{"__nanosleep50", 430, []uintptr{bad, 0}}, {"__getcwd", 296, []uintptr{bad, 100}}, {"__sigprocmask14", 293, []uintptr{1, bad, 0}},
	{"__sigaction_sigtramp", 340, []uintptr{30, bad, 0, 0, 2}}, {"getcontext", 307, []uintptr{bad}},
	{"setcontext", 308, []uintptr{bad}}, {"_lwp_create", 309, []uintptr{bad, 0x40, bad}},
	{"____lwp_park60", 478, []uintptr{3, 0, bad, 0, 0, 0}}, {"_lwp_setname", 323, []uintptr{0, bad}},
	{"_lwp_getname", 324, []uintptr{0, bad, 10}}, {"_sched_getaffinity", 349, []uintptr{0, 0, 32, bad}},
	{"paccept", 456, []uintptr{sock, bad, bad, 0, 0}}, {"wait6", 481, []uintptr{0, 0, bad, 0x20 | 1, 0, 0}},
	{"pipe2", 453, []uintptr{bad, 0}}, {"__fstat50", 440, []uintptr{1, bad}}, {"__stat50", 439, []uintptr{bad, bad}},
	{"fstatat", 466, []uintptr{100, bad, bad, 0}}, {"__getdents30", 390, []uintptr{dir, bad, 1000}}, {"fstatvfs1", 358, []uintptr{1, bad, 0}},
	{"pread", 173, []uintptr{zero, bad, 10, 0, 0}}, {"truncate", 200, []uintptr{bad, 0, 0}},
}

// more asks for contexts, threads and clocks that are none.
func more() {
	uc := make([]byte, 784)
	for _, c := range []struct {
		flags  uint32
		at     int
		value  uint64
		create bool
	}{
		{4, 56 + 21*8, 1 << 63, false},                 // an instruction that is none
		{0x80004, 56 + 26*8, 1 << 63, false},           // a thread pointer that is none
		{4, 56 + 21*8, 1 << 63, true}, {0, 0, 0, true}, // and no registers
	} {
		clear(uc)
		binary.LittleEndian.PutUint64(uc[c.at:], c.value)
		binary.LittleEndian.PutUint32(uc, c.flags)
		nr, more := uintptr(308), uintptr(0)
		if c.create {
			nr, more = 309, 0x40
		}
		if _, _, e := syscall.Syscall(nr, bytes(uc), more, bytes(uc)); e != syscall.EINVAL {
			fmt.Println("a context that is none:", c, e)
		}
	}
	if _, _, e := syscall.Syscall(321, 1<<30, 0, 0); e != syscall.ESRCH {
		fmt.Println("a thread that is none:", e)
	}
	for _, clock := range []uintptr{1, 2, 9} {
		if _, _, e := syscall.Syscall6(478, clock, 0, bytes(make([]byte, 16)), 0, 0, 0); e != syscall.EINVAL {
			fmt.Println("a clock that is none:", e)
		}
	}
}
