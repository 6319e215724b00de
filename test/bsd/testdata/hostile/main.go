//go:build dragonfly || freebsd || netbsd

// Command hostile calls with addresses that are none, with numbers that are no calls, and
// executes files that are no programs.
package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// call is a call with its arguments.
type call struct {
	name string
	nr   uintptr
	args []uintptr
}

// Arguments that are put in place; bad stands for an address.
const (
	bad = 1<<40 + iota
	sock
	kq
	dir
	name
	zero
)

// common are calls that have one number in all systems; each has a list of its own.
var common = []call{
	{"read", 3, []uintptr{zero, bad, 10}}, {"write", 4, []uintptr{1, bad, 10}}, {"open", 5, []uintptr{bad, 0, 0}},
	{"unlink", 10, []uintptr{bad}}, {"chdir", 12, []uintptr{bad}}, {"recvmsg", 27, []uintptr{sock, bad, 0}},
	{"sendmsg", 28, []uintptr{sock, bad, 0}}, {"getsockname", 32, []uintptr{sock, bad, bad}}, {"access", 33, []uintptr{bad, 0}},
	{"ioctl FIONBIO", 54, []uintptr{1, 0x8004667e, bad}}, {"readlink", 58, []uintptr{name, bad, 10}}, {"execve", 59, []uintptr{bad, 0, 0}},
	{"execve arguments", 59, []uintptr{name, bad, 0}}, {"bind", 104, []uintptr{sock, bad, 16}}, {"getsockopt", 118, []uintptr{sock, 0xffff, 4, bad, bad}},
	{"readv", 120, []uintptr{zero, bad, 1}}, {"rename", 128, []uintptr{name, bad}}, {"sendto", 133, []uintptr{sock, bad, 10, 0, 0, 0}},
	{"mkdir", 136, []uintptr{bad, 0}}, {"getrlimit", 194, []uintptr{8, bad}}, {"setrlimit", 195, []uintptr{8, bad}},
	{"__sysctl", 202, []uintptr{bad, 2, 0, 0, 0, 0}}, {"poll", 209, []uintptr{bad, 1, 0}},
	{"select", sysSelect, []uintptr{1, bad, 0, 0, 0}}, {"select, a time", sysSelect, []uintptr{0, 0, 0, 0, bad}},
	{"pselect", sysPselect, []uintptr{1, 0, 0, bad, 0, 0}}, {"pselect, a mask", sysPselect, []uintptr{0, 0, 0, 0, 0, bad}},
	{"ppoll", sysPpoll, []uintptr{bad, 1, 0, 0}}, {"ppoll, a time", sysPpoll, []uintptr{0, 0, bad, 0}}, {"ppoll, a mask", sysPpoll, []uintptr{0, 0, 0, bad}},
	{"getfsstat", sysGetfsstat, []uintptr{bad, 1 << 20, 1}}, {"getfsstat of all", sysGetfsstat, []uintptr{bad, ^uintptr(0) >> 1, 1}},
	{"kevent", sysKevent, []uintptr{kq, bad, 1, 0, 0, 0}},
}

func main() {
	s, _ := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	q, _ := syscall.Kqueue()
	d, _ := syscall.Open("/", 0, 0)
	z, _ := syscall.Open("/dev/zero", 0, 0)
	p, _ := syscall.BytePtrFromString("/nowhere")
	for _, at := range []uintptr{8, 0x7fff_ffff_0000, 1 << 63, ^uintptr(0) - 7} {
		for _, c := range slices.Concat(common, own) {
			var a [6]uintptr
			for i, v := range c.args {
				switch v {
				case bad:
					v = at
				case sock:
					v = uintptr(s)
				case kq:
					v = uintptr(q)
				case dir:
					v = uintptr(d)
				case zero:
					v = uintptr(z)
				case name:
					v = pointer(p)
				}
				a[i] = v
			}
			_, _, e := syscall.Syscall6(c.nr, a[0], a[1], a[2], a[3], a[4], a[5])
			switch e {
			case syscall.EFAULT:
			case syscall.ECHILD, syscall.ENOENT, syscall.EBADF, syscall.EINVAL:
				// What is wrong beside the address may be seen first.
			default:
				fmt.Printf("%s(%#x): %d\n", c.name, at, e)
			}
		}
	}
	sizes()
	queues(uintptr(q))
	waits(uintptr(z))
	values()
	more()
	for _, nr := range []uintptr{noCall, 8, 500 + 88, 700, 767, 768, 1 << 20, ^uintptr(0)} {
		fmt.Println(none(nr))
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		exe, _ := os.Executable()
		self, err = os.ReadFile(exe)
	}
	if err != nil {
		fmt.Println(err)
	}
	tmp := filepath.Join(os.TempDir(), fmt.Sprint("hostile", os.Getpid()))
	for i, n := range []int{0, 1, 7, 16, 63, 64, 65, 100, 119, 120, 200, 500, 1000, 4000, 4096} {
		b := append([]byte(nil), self[:n]...)
		try(tmp, i, b)
	}
	for i := range 64 + 8*56 {
		// One byte of the headers spoilt: an error, or a program that ends somehow.
		if i%7 != 0 {
			continue
		}
		b := append([]byte(nil), self[:8192]...)
		b[i] ^= 0xff
		try(tmp, 1000+i, b)
	}
	os.Remove(tmp)
	fmt.Println("done")
}

func try(tmp string, i int, b []byte) {
	if err := os.WriteFile(tmp, b, 0o755); err != nil {
		fmt.Println(err)
	}
	p, err := os.StartProcess(tmp, []string{tmp}, &os.ProcAttr{})
	if err != nil {
		return
	}
	if _, err := p.Wait(); err != nil {
		fmt.Println(i, err)
	}
}

// sizes asks for memory of sizes that are none.
func sizes() {
	for _, flags := range mapFlags {
		for _, n := range []uintptr{0, 1 << 47, 1 << 63, ^uintptr(0) - 4094, ^uintptr(0)} {
			if at, e := mmap(n, 3, flags, ^uintptr(0), 0); e == 0 {
				fmt.Printf("mmap(%#x, %#x): %#x\n", n, flags, at)
			}
		}
	}
	z, _ := syscall.Open("/dev/zero", 0, 0)
	if _, e := mmap(^uintptr(0), 1, mapPrivate, uintptr(z), 4095); e == 0 {
		fmt.Println("a mapping of everything")
	}
	syscall.Close(z)
}

// edge is where memory ends.
func edge() uintptr {
	const size = 1 << 20
	at, _ := mmap(size, 3, mapAnon|mapPrivate, ^uintptr(0), 0)
	syscall.Syscall(74, at+size-4096, 4096, 0) // mprotect
	return at + size - 4096
}

// queues makes event queues that watch each other, and changes without end.
func queues(q uintptr) {
	other, _ := syscall.Kqueue()
	change := func(kq, on uintptr) syscall.Errno {
		b := make([]byte, eventSize)
		binary.LittleEndian.PutUint64(b, uint64(on))
		copy(b[8:], eventAdd)
		_, _, e := syscall.Syscall6(sysKevent, kq, bytes(b), 1, 0, 0, 0)
		return e
	}
	if e := change(q, uintptr(other)); e != 0 {
		fmt.Println("a queue that watches another:", e)
	}
	if e := change(uintptr(other), q); e != syscall.EINVAL {
		fmt.Println("two that watch each other:", e)
	}
	syscall.Close(other)
	at := edge() - 1<<19
	if _, _, e := syscall.Syscall6(sysKevent, q, at, 1<<31-1, at, 1<<31-1, 0); e != syscall.EFAULT {
		fmt.Println("changes without end:", e)
	}
}

// waits waits with numbers, sets and times that are too large; z can always be read.
func waits(z uintptr) {
	ask := func(what string, want syscall.Errno, got uintptr, nr uintptr, a ...uintptr) {
		a = append(a, 0, 0, 0)
		if n, _, e := syscall.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5]); e != want || e == 0 && n != got {
			fmt.Println(what, n, e)
		}
	}
	now := bytes(make([]byte, 16))
	long := make([]byte, 16)
	binary.LittleEndian.PutUint64(long, 1<<63-1)
	end := edge()
	ask("select of all numbers:", 0, 0, sysSelect, 1<<31-1, end-1<<19, end-1<<19, 0, now)
	ask("select of more:", syscall.EINVAL, 0, sysSelect, 1<<31, 0, 0, 0, now)
	ask("select over the edge:", syscall.EFAULT, 0, sysSelect, z+1, end-1, 0, 0, now)
	fds := make([]byte, 8)
	binary.LittleEndian.PutUint32(fds, uint32(z))
	fds[4] = 1 // POLLIN
	ask("ppoll for ever:", 0, 1, sysPpoll, bytes(fds), 1, bytes(long), 0)
	ask("ppoll of many:", syscall.EINVAL, 0, sysPpoll, bytes(fds), 1<<31, now, 0)
	binary.LittleEndian.PutUint64(long, 1<<63)
	ask("ppoll before now:", syscall.EINVAL, 0, sysPpoll, bytes(fds), 1, bytes(long), 0)
	copy(long, make([]byte, 16))
	binary.LittleEndian.PutUint64(long[8:], 1e9)
	ask("pselect, no time:", syscall.EINVAL, 0, sysPselect, 0, 0, 0, 0, bytes(long), 0)
	all, _, _ := syscall.Syscall6(sysGetfsstat, 0, 0, 0, 0, 0, 0)
	if all < 1 || all > 1000 {
		fmt.Println("file systems:", all)
	}
	ask("getfsstat without room:", 0, 0, sysGetfsstat, end-100, 100, 1)
}

// values asks for values of the system that are longer than there is room for, and by
// numbers that are none.
func values() {
	ask := func(room int, mib ...uint32) (n uint64, b []byte, e syscall.Errno) {
		m, size := []byte(nil), make([]byte, 8)
		for _, v := range mib {
			m = binary.LittleEndian.AppendUint32(m, v)
		}
		b = make([]byte, room+16)
		binary.LittleEndian.PutUint64(size, uint64(room))
		_, _, e = syscall.Syscall6(202, bytes(m), uintptr(len(mib)), bytes(b), bytes(size), 0, 0)
		return binary.LittleEndian.Uint64(size), b, e
	}
	// Of random bytes as many are given as there is room for.
	if n, _, e := ask(16, 1, arandom); e != 0 || n != 16 {
		fmt.Println("kern.arandom:", e, n)
	}
	n, _, e := ask(1<<16, 4, pfRoute, 0, 0, iflist, 0)
	if e != 0 || n < 100 || n > 1<<15 {
		fmt.Println("interfaces:", e, n)
	}
	_, b, e := ask(int(n)-1, 4, pfRoute, 0, 0, iflist, 0)
	if e != syscall.ENOMEM || slices.Max(b[n-1:]) != 0 {
		fmt.Println("interfaces without room:", e)
	}
	if n, _, e := ask(1<<10, 4, pfRoute, 0, 0, iflist, 1<<31); e != 0 || n != 0 {
		fmt.Println("no interface:", e, n)
	}
	for _, mib := range [][]uint32{{4, pfRoute, 0, 0, 99, 0}, {4, pfRoute, 0, 0, iflist}, {4, pfRoute, 1 << 31, 0, iflist, 0}, make([]uint32, 1000)} {
		if _, _, e := ask(1<<10, mib...); e == 0 {
			fmt.Println("a number that is none:", mib[:5])
		}
	}
}
