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
	syscall.Syscall6(340, uintptr(syscall.SIGSYS), bytes(ignore), 0, 0, 2, 0)
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
const noCall = 19

// calls are calls with their arguments; bad stands for an address.
var calls = []struct {
	name string
	nr   uintptr
	args []uintptr
}{
	{"read", 3, []uintptr{zero, bad, 10}}, {"write", 4, []uintptr{1, bad, 10}}, {"open", 5, []uintptr{bad, 0, 0}},
	{"__wait450", 449, []uintptr{^uintptr(0), bad, 1, 0}}, {"unlink", 10, []uintptr{bad}}, {"chdir", 12, []uintptr{bad}},
	{"recvmsg", 27, []uintptr{sock, bad, 0}}, {"sendmsg", 28, []uintptr{sock, bad, 0}}, {"getsockname", 32, []uintptr{sock, bad, bad}},
	{"access", 33, []uintptr{bad, 0}}, {"ioctl FIONBIO", 54, []uintptr{1, 0x8004667e, bad}}, {"__sigaltstack14", 281, []uintptr{bad, 0}},
	{"execve", 59, []uintptr{bad, 0, 0}}, {"execve arguments", 59, []uintptr{name, bad, 0}}, {"bind", 104, []uintptr{sock, bad, 16}},
	{"__gettimeofday50", 418, []uintptr{bad, 0}}, {"__getrusage50", 445, []uintptr{0, bad}}, {"rename", 128, []uintptr{name, bad}},
	{"mkdir", 136, []uintptr{bad, 0}}, {"__utimes50", 420, []uintptr{name, bad}},
	{"getrlimit", 194, []uintptr{8, bad}}, {"setrlimit", 195, []uintptr{8, bad}}, {"__sysctl", 202, []uintptr{bad, 2, 0, 0, 0, 0}},
	{"__clock_gettime50", 427, []uintptr{0, bad}}, {"__nanosleep50", 430, []uintptr{bad, 0}}, {"__getcwd", 296, []uintptr{bad, 100}},
	{"__sigprocmask14", 293, []uintptr{1, bad, 0}}, {"__sigaction_sigtramp", 340, []uintptr{30, bad, 0, 0, 2}},
	{"getcontext", 307, []uintptr{bad}}, {"setcontext", 308, []uintptr{bad}}, {"_lwp_create", 309, []uintptr{bad, 0x40, bad}},
	{"____lwp_park60", 478, []uintptr{3, 0, bad, 0, 0, 0}}, {"_lwp_setname", 323, []uintptr{0, bad}}, {"_lwp_getname", 324, []uintptr{0, bad, 10}},
	{"_sched_getaffinity", 349, []uintptr{0, 0, 32, bad}}, {"paccept", 456, []uintptr{sock, bad, bad, 0, 0}},
	{"wait6", 481, []uintptr{0, 0, bad, 0x20 | 1, 0, 0}}, {"pipe2", 453, []uintptr{bad, 0}}, {"__fstat50", 440, []uintptr{1, bad}},
	{"__stat50", 439, []uintptr{bad, bad}}, {"fstatat", 466, []uintptr{100, bad, bad, 0}}, {"__kevent50", 435, []uintptr{kq, bad, 1, 0, 0, 0}},
	{"readlink", 58, []uintptr{name, bad, 10}}, {"__getdents30", 390, []uintptr{dir, bad, 1000}}, {"fstatvfs1", 358, []uintptr{1, bad, 0}},
	{"pread", 173, []uintptr{zero, bad, 10, 0, 0}}, {"truncate", 200, []uintptr{bad, 0, 0}},
}

// sizes asks for memory of sizes that are none, and for contexts and threads that are none.
func sizes() {
	const anon, private = 0x1000, 2
	for _, flags := range []uintptr{anon | private, anon | private | 21<<24, anon | private | 40<<24, anon | 1} {
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

// queues makes event queues that watch each other, and changes without end.
func queues(q uintptr) {
	other, _ := syscall.Kqueue()
	change := func(kq, on uintptr) syscall.Errno {
		b := make([]byte, 40)
		binary.LittleEndian.PutUint64(b, uint64(on))
		binary.LittleEndian.PutUint32(b[12:], 1) // EVFILT_READ, EV_ADD
		_, _, e := syscall.Syscall6(435, kq, bytes(b), 1, 0, 0, 0)
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
	if _, _, e := syscall.Syscall6(435, q, at, 1<<31-1, at, 1<<31-1, 0); e != syscall.EFAULT {
		fmt.Println("changes without end:", e)
	}
	b := make([]byte, 16)
	// Of random bytes as many are given as there is room for.
	mib, n := []byte{1, 0, 0, 0, 81, 0, 0, 0}, []byte{16, 0, 0, 0, 0, 0, 0, 0}
	if _, _, e := syscall.Syscall6(202, bytes(mib), 2, bytes(b), bytes(n), 0, 0); e != 0 || n[0] != 16 {
		fmt.Println("kern.arandom:", e, n)
	}
}
