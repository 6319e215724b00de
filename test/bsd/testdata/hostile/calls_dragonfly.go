package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// none makes a call that is none and says whether it is answered and signalled. Go does
// not let a program catch the signal there: once it is ignored, once a child has it.
func none(nr uintptr) (answered, signalled bool) {
	ignore := make([]byte, 32)
	ignore[0] = 1 // SIG_IGN
	syscall.Syscall(342, uintptr(syscall.SIGSYS), bytes(ignore), 0)
	_, _, e := syscall.Syscall(nr, 0, 0, 0)
	self, _ := os.Executable()
	b, _ := exec.Command(self, strconv.FormatUint(uint64(nr), 10)).CombinedOutput()
	return e == syscall.ENOSYS, strings.HasPrefix(string(b), "SIGSYS: bad system call")
}

// A child makes the call that its argument names.
func init() {
	if len(os.Args) == 2 {
		nr, _ := strconv.ParseUint(os.Args[1], 10, 64)
		syscall.Syscall(uintptr(nr), 0, 0, 0)
		os.Exit(0)
	}
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
	{"accept4", 541, []uintptr{sock, bad, bad, 0}}, {"sendto", 133, []uintptr{sock, bad, 10, 0, 0, 0}},
	{"access", 33, []uintptr{bad, 0}}, {"ioctl FIONBIO", 54, []uintptr{1, 0x8004667e, bad}}, {"sigaltstack", 53, []uintptr{bad, 0}},
	{"execve", 59, []uintptr{bad, 0, 0}}, {"execve arguments", 59, []uintptr{name, bad, 0}}, {"bind", 104, []uintptr{sock, bad, 16}},
	{"gettimeofday", 116, []uintptr{bad, 0}}, {"getrusage", 117, []uintptr{0, bad}}, {"readv", 120, []uintptr{zero, bad, 1}},
	{"rename", 128, []uintptr{name, bad}}, {"mkdir", 136, []uintptr{bad, 0}}, {"utimes", 138, []uintptr{name, bad}},
	{"statfs", 157, []uintptr{bad, bad}}, {"fstatfs", 158, []uintptr{1, bad}}, {"extpread", 173, []uintptr{zero, bad, 10, 0, 0}},
	{"getrlimit", 194, []uintptr{8, bad}}, {"setrlimit", 195, []uintptr{8, bad}}, {"truncate", 200, []uintptr{bad, 0, 0}},
	{"__sysctl", 202, []uintptr{bad, 2, 0, 0, 0, 0}}, {"poll", 209, []uintptr{bad, 1, 0}},
	{"clock_gettime", 232, []uintptr{0, bad}}, {"nanosleep", 240, []uintptr{bad, 0}}, {"extpreadv", 289, []uintptr{zero, bad, 1, 0, 0}},
	{"__getcwd", 326, []uintptr{bad, 100}}, {"sigprocmask", 340, []uintptr{1, bad, 0}}, {"sigaction", 342, []uintptr{30, bad, 0}},
	{"sigreturn", 344, []uintptr{bad}}, {"kevent", 363, []uintptr{kq, bad, 1, 0, 0, 0}},
	{"umtx_sleep", 469, []uintptr{bad, 0, 1}}, {"set_tls_area", 472, []uintptr{0, bad, 16}}, {"get_tls_area", 473, []uintptr{0, bad, 16}},
	{"stat", 475, []uintptr{bad, bad}}, {"fstat", 476, []uintptr{1, bad}}, {"lstat", 477, []uintptr{bad, bad}},
	{"getdirentries", 479, []uintptr{dir, bad, 1000, 0}}, {"getdents", 480, []uintptr{dir, bad, 1000}},
	{"lwp_create", 495, []uintptr{bad}}, {"fstatat", 505, []uintptr{100, bad, bad, 0}}, {"pipe2", 538, []uintptr{bad, 1 << 30}},
	{"utimensat", 539, []uintptr{100, bad, bad, 0}}, {"wait6", 548, []uintptr{7, 0, bad, 16 | 1, 0, 0}},
	{"getrandom", 550, []uintptr{bad, 10, 0}}, {"readlink", 58, []uintptr{name, bad, 10}},
}

// sizes asks for memory of sizes that are none, and for thread pointers and threads that
// are none.
func sizes() {
	const anon, private, stack = 0x1000, 2, 0x400
	for _, flags := range []uintptr{anon | private, stack | private, anon | 1} {
		for _, n := range []uintptr{0, 1 << 47, 1 << 63, ^uintptr(0) - 4094, ^uintptr(0)} {
			if at, _, e := syscall.Syscall9(197, 0, n, 3, flags, ^uintptr(0), 0, 0, 0, 0); e == 0 {
				fmt.Printf("mmap(%#x, %#x): %#x\n", n, flags, at)
			}
		}
	}
	z, _ := syscall.Open("/dev/zero", 0, 0)
	if _, _, e := syscall.Syscall9(197, 0, ^uintptr(0), 1, private, uintptr(z), 0, 4095, 0, 0); e == 0 {
		fmt.Println("a mapping of everything")
	}
	syscall.Close(z)
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

// queues makes event queues that watch each other, and changes without end.
func queues(q uintptr) {
	other, _ := syscall.Kqueue()
	change := func(kq, on uintptr) syscall.Errno {
		b := make([]byte, 32)
		binary.LittleEndian.PutUint64(b, uint64(on))
		binary.LittleEndian.PutUint32(b[8:], 0x1ffff) // EVFILT_READ, EV_ADD
		_, _, e := syscall.Syscall6(363, kq, bytes(b), 1, 0, 0, 0)
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
	at, _, _ := syscall.Syscall9(197, 0, size, 3, 0x1002, ^uintptr(0), 0, 0, 0, 0)
	syscall.Syscall(74, at+size-4096, 4096, 0)
	if _, _, e := syscall.Syscall6(363, q, at, 1<<31-1, at, 1<<31-1, 0); e != syscall.EFAULT {
		fmt.Println("changes without end:", e)
	}
	b := make([]byte, 16)
	// Of random bytes as many are given as there is room for.
	mib, n := []byte{1, 0, 0, 0, 37, 0, 0, 0}, []byte{16, 0, 0, 0, 0, 0, 0, 0}
	if _, _, e := syscall.Syscall6(202, bytes(mib), 2, bytes(b), bytes(n), 0, 0); e != 0 || n[0] != 16 {
		fmt.Println("kern.arandom:", e, n)
	}
}
