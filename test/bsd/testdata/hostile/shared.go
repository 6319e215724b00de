//go:build dragonfly || freebsd

package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

const (
	sysSelect = 93
	arandom   = 37
	pfRoute   = 17
	iflist    = 3
	eventSize = 64 // or less
)

var eventAdd = []byte{0xff, 0xff, 1, 0} // EVFILT_READ, EV_ADD

// shared are calls that FreeBSD and DragonFly have by the same numbers.
var shared = []call{
	{"wait4", 7, []uintptr{^uintptr(0), bad, 1, 0}}, {"sigaltstack", 53, []uintptr{bad, 0}}, {"gettimeofday", 116, []uintptr{bad, 0}},
	{"getrusage", 117, []uintptr{0, bad}}, {"utimes", 138, []uintptr{name, bad}}, {"clock_gettime", 232, []uintptr{0, bad}},
	{"nanosleep", 240, []uintptr{bad, 0}}, {"__getcwd", 326, []uintptr{bad, 100}}, {"sigprocmask", 340, []uintptr{1, bad, 0}},
	{"accept4", 541, []uintptr{sock, bad, bad, 0}},
}

// sendfile sends a file of three bytes, and what is none.
func sendfile() {
	name := filepath.Join(os.TempDir(), fmt.Sprint("sent", os.Getpid()))
	if err := os.WriteFile(name, []byte("abc"), 0o600); err != nil {
		fmt.Println(err)
	}
	f, _ := syscall.Open(name, syscall.O_RDONLY, 0)
	w, _ := syscall.Open(name, syscall.O_WRONLY, 0)
	d, _ := syscall.Open("/", syscall.O_RDONLY, 0)
	os.Remove(name)
	s, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		fmt.Println(err)
	}
	g, _ := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_DGRAM, 0)
	sent := make([]byte, 8)
	for _, c := range []struct {
		f, s   int
		at, n  uintptr
		heads  uintptr
		count  uintptr
		e      syscall.Errno
		length uint64
	}{
		{f, s[0], 0, 0, 0, bytes(sent), 0, 3}, {f, s[0], 1, ^uintptr(0), 0, bytes(sent), 0, 2}, {f, s[0], 1<<63 - 1, 1 << 63, 0, bytes(sent), 0, 0},
		{f, s[0], 2, 1, 0, 0, 0, 0}, {f, s[0], 1 << 63, 1, 0, bytes(sent), syscall.EINVAL, 0}, {f, s[0], 0, 1, 8, bytes(sent), syscall.EOPNOTSUPP, 0},
		{f, s[0], 0, 1, 0, 8, syscall.EFAULT, 0}, {w, s[0], 0, 1, 0, 0, syscall.EBADF, 0}, {-1, s[0], 0, 1, 0, 0, syscall.EBADF, 0},
		{f, -1, 0, 1, 0, 0, syscall.EBADF, 0}, {f, f, 0, 1, 0, 0, syscall.ENOTSOCK, 0}, {d, s[0], 0, 1, 0, 0, syscall.EINVAL, 0},
		{s[0], s[0], 0, 1, 0, 0, syscall.EINVAL, 0}, {f, g[0], 0, 1, 0, 0, syscall.EINVAL, 0},
	} {
		clear(sent)
		_, _, e := syscall.Syscall9(393, uintptr(c.f), uintptr(c.s), c.at, c.n, c.heads, c.count, 0, 0, 0)
		if n := binary.LittleEndian.Uint64(sent); e != c.e || n != c.length {
			fmt.Println("sendfile:", c, e, n)
		}
	}
	syscall.Close(s[0])
	b := make([]byte, 100)
	if n, err := syscall.Read(s[1], b); err != nil || string(b[:n]) != "abcbcca" {
		fmt.Printf("sent: %q %v\n", b[:max(n, 0)], err)
	}
	for _, fd := range []int{f, w, d, s[1], g[0], g[1]} {
		syscall.Close(fd)
	}
}
