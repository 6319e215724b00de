//go:build dragonfly || netbsd

package main

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// Flags of mmap.
const mapPrivate, mapAnon = 2, 0x1000

func mmap(n, prot, flags, fd, off uintptr) (uintptr, syscall.Errno) {
	at, _, e := syscall.Syscall9(197, 0, n, prot, flags, fd, 0, off, 0, 0)
	return at, e
}

// none makes a call that is none and says whether it is answered and signalled. Go does
// not let a program catch the signal there: once it is ignored, once a child has it.
func none(nr uintptr) (answered, signalled bool) {
	ignore := make([]byte, 32)
	ignore[0] = 1                                                                      // SIG_IGN
	syscall.Syscall6(sysSigaction, uintptr(syscall.SIGSYS), bytes(ignore), 0, 0, 2, 0) // the last of NetBSD's alone
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
