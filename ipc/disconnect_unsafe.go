package ipc

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Disconnect resets a connection of TCP for whoever has a descriptor of it: it is connected to nobody afterwards,
// what was queued in either direction is gone, and the other end is told. x/sys/unix has no address that means
// nobody (AF_UNSPEC). It does not wait; for net servers, which may call connect(2).
func Disconnect(fd int) error {
	nobody := unix.RawSockaddr{Family: unix.AF_UNSPEC}
	if _, _, e := unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&nobody)), unsafe.Sizeof(nobody)); e != 0 {
		return e
	}
	return nil
}
