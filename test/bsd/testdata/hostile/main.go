//go:build dragonfly || freebsd || netbsd

// Command hostile calls with addresses that are none, with numbers that are no calls, and
// executes files that are no programs.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Arguments that are put in place.
const (
	bad = 1<<40 + iota
	sock
	kq
	dir
	name
	zero
)

func main() {
	s, _ := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	q, _ := syscall.Kqueue()
	d, _ := syscall.Open("/", 0, 0)
	z, _ := syscall.Open("/dev/zero", 0, 0)
	p, _ := syscall.BytePtrFromString("/nowhere")
	for _, at := range []uintptr{8, 0x7fff_ffff_0000, 1 << 63, ^uintptr(0) - 7} {
		for _, c := range calls {
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
