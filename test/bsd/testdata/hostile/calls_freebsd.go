package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

var ch = make(chan os.Signal, 10)

// none makes a call that is none and says whether it is answered and signalled.
func none(nr uintptr) (answered, signalled bool) {
	signal.Notify(ch, syscall.SIGSYS)
	_, _, e := syscall.Syscall(nr, 0, 0, 0)
	return e == syscall.ENOSYS, <-ch == syscall.SIGSYS
}

// noCall is a number that is no call.
const noCall = 0

// calls are calls with their arguments; bad stands for an address.
var calls = []struct {
	name string
	nr   uintptr
	args []uintptr
}{
	{"read", 3, []uintptr{zero, bad, 10}}, {"write", 4, []uintptr{1, bad, 10}}, {"open", 5, []uintptr{bad, 0, 0}},
	{"wait4", 7, []uintptr{^uintptr(0), bad, 1, 0}}, {"unlink", 10, []uintptr{bad}}, {"chdir", 12, []uintptr{bad}},
	{"recvmsg", 27, []uintptr{sock, bad, 0}}, {"sendmsg", 28, []uintptr{sock, bad, 0}}, {"getsockname", 32, []uintptr{sock, bad, bad}},
	{"access", 33, []uintptr{bad, 0}}, {"ioctl FIONBIO", 54, []uintptr{1, 0x8004667e, bad}}, {"sigaltstack", 53, []uintptr{bad, 0}},
	{"execve", 59, []uintptr{bad, 0, 0}}, {"execve arguments", 59, []uintptr{name, bad, 0}}, {"bind", 104, []uintptr{sock, bad, 16}},
	{"gettimeofday", 116, []uintptr{bad, 0}}, {"getrusage", 117, []uintptr{0, bad}}, {"rename", 128, []uintptr{name, bad}},
	{"mkdir", 136, []uintptr{bad, 0}}, {"utimes", 138, []uintptr{name, bad}}, {"sysarch", 165, []uintptr{129, bad}},
	{"getrlimit", 194, []uintptr{8, bad}}, {"setrlimit", 195, []uintptr{8, bad}}, {"__sysctl", 202, []uintptr{bad, 2, 0, 0, 0, 0}},
	{"clock_gettime", 232, []uintptr{0, bad}}, {"nanosleep", 240, []uintptr{bad, 0}}, {"__getcwd", 326, []uintptr{bad, 100}},
	{"sigprocmask", 340, []uintptr{1, bad, 0}}, {"sigaction", 416, []uintptr{30, bad, 0}}, {"thr_self", 432, []uintptr{bad}},
	{"_umtx_op wait", 454, []uintptr{bad, 15, 0, 0, 0}}, {"thr_new", 455, []uintptr{bad, 104}}, {"cpuset_getaffinity", 487, []uintptr{3, 1, ^uintptr(0), 32, bad}},
	{"wait6", 532, []uintptr{7, 0, bad, 16 | 1, 0, 0}}, {"pipe2", 542, []uintptr{bad, 0}}, {"fstat", 551, []uintptr{1, bad}},
	{"fstatat", 552, []uintptr{100, bad, bad, 0}}, {"kevent", 560, []uintptr{kq, bad, 1, 0, 0, 0}}, {"getrandom", 563, []uintptr{bad, 10, 0}},
	{"readlink", 58, []uintptr{name, bad, 10}}, {"getdirentries", 554, []uintptr{dir, bad, 1000, 0}},
}

// sizes asks for memory of sizes that are none.
func sizes() {
	const anon, private, stack = 0x1000, 2, 0x400
	for _, flags := range []uintptr{anon | private, stack | private, anon | private | 21<<24, anon | private | 40<<24, anon | 1} {
		for _, n := range []uintptr{0, 1 << 47, 1 << 63, ^uintptr(0) - 4094, ^uintptr(0)} {
			if at, _, e := syscall.Syscall6(477, 0, n, 3, flags, ^uintptr(0), 0); e == 0 {
				fmt.Printf("mmap(%#x, %#x): %#x\n", n, flags, at)
			}
		}
	}
	z, _ := syscall.Open("/dev/zero", 0, 0)
	if _, _, e := syscall.Syscall6(477, 0, ^uintptr(0), 1, private, uintptr(z), 4095); e == 0 {
		fmt.Println("a mapping of everything")
	}
	syscall.Close(z)
}

// queues makes event queues that watch each other, and changes without end.
func queues(q uintptr) {
	other, _ := syscall.Kqueue()
	change := func(kq, on uintptr) syscall.Errno {
		b := make([]byte, 64)
		binary.LittleEndian.PutUint64(b, uint64(on))
		binary.LittleEndian.PutUint32(b[8:], 0x1ffff) // EVFILT_READ, EV_ADD
		_, _, e := syscall.Syscall6(560, kq, bytes(b), 1, 0, 0, 0)
		return e
	}
	if e := change(q, uintptr(other)); e != 0 {
		fmt.Println("a queue that watches another:", e)
	}
	if e := change(uintptr(other), q); e != syscall.EINVAL {
		fmt.Println("two that watch each other:", e)
	}
	syscall.Close(other)
	const size = 1 << 20 // whose last page is none
	at, _, _ := syscall.Syscall6(477, 0, size, 3, 0x1002, ^uintptr(0), 0)
	syscall.Syscall(74, at+size-4096, 4096, 0)
	if _, _, e := syscall.Syscall6(560, q, at, 1<<31-1, at, 1<<31-1, 0); e != syscall.EFAULT {
		fmt.Println("changes without end:", e)
	}
	b := make([]byte, 16)
	// Of random bytes as many are given as there is room for.
	mib, n := []byte{1, 0, 0, 0, 37, 0, 0, 0}, []byte{16, 0, 0, 0, 0, 0, 0, 0}
	if _, _, e := syscall.Syscall6(202, bytes(mib), 2, bytes(b), bytes(n), 0, 0); e != 0 || n[0] != 16 {
		fmt.Println("kern.arandom:", e, n)
	}
}
