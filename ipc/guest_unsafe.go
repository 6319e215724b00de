package ipc

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"hythe/abi"
)

// ErrNoGuest: this program does not run as a guest of Hythe, or its machine lets
// guests make no calls of the nucleus.
var ErrNoGuest = errors.New("ipc: this is no guest of Hythe")

var guest = sync.OnceValues(func() (*Conn, error) {
	name, _, e := unix.Syscall(abi.GuestOpen, 0, 0, 0)
	switch {
	case e == unix.ENOSYS:
		return nil, ErrNoGuest
	case e != 0:
		return nil, fmt.Errorf("ipc: open: %w", e)
	}
	c := newConn(guestLink{})
	c.names = abi.Name(name)
	return c, nil
})

// Guest gives the channel on which this program, a guest, makes calls of the nucleus
// as a task of its own (docs/nucleus.md), always the same one. A forked process that
// executes another program begins anew. What a guest cannot do: bindings, tasks,
// objects of host files; Message.FDs holds no descriptors (use MapObject).
func Guest() (*Conn, error) { return guest() }

// Names is the send right to the machine's name server (package idl/names) that a guest
// has from the beginning. Servers have none.
func (c *Conn) Names() abi.Name { return c.names }

// ProcessPort gives a guest the send right to the port that stands for a process of
// which it may see the memory (package idl/debug). ESRCH, EPERM.
func (c *Conn) ProcessPort(pid int) (abi.Name, abi.Errno) {
	n, _, e := unix.Syscall(abi.GuestTask, uintptr(pid), 0, 0)
	return abi.Name(n), abi.Errno(e)
}

// guestLink is the link of a guest program: its emulation library carries datagrams.
//
// Safety: the addresses are those of Go slices that live until the call is over; the
// library reads or writes no more than their length.
type guestLink struct{}

func (guestLink) read(buf []byte) (int, []int, error) {
	for {
		n, _, e := unix.Syscall(abi.GuestReceive, uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0)
		if e == unix.EINTR {
			continue
		}
		if e != 0 {
			return 0, nil, e
		}
		h, _, ok := decodeHeader(buf[:n])
		if !ok {
			return int(n), nil, nil // the reader says so
		}
		// The descriptors are the library's.
		fds := make([]int, min(h.NFds, abi.MaxObjects))
		for i := range fds {
			fds[i] = -1
		}
		return int(n), fds, nil
	}
}

func (guestLink) write(b []byte, fds []int) error {
	if len(fds) > 0 {
		return unix.EMSGSIZE
	}
	for {
		_, _, e := unix.Syscall(abi.GuestSend, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0)
		if e == 0 {
			return nil
		}
		if e != unix.EINTR {
			return e
		}
	}
}

// close has nothing to close: the channel is the task's for its life.
func (guestLink) close() error { return nil }

// MapObject maps length bytes of a memory object, from offset on, until UnmapObject:
// what is written is seen by all who map it. One that has an address (CreatePlaced) is
// mapped there: EEXIST if something is there already. EPERM: the right is to read only;
// EINVAL; ENOMEM; others as CallObjectFD.
//
// An object that can become shorter (abi.ObjectShrinks) must not be mapped by a program
// that another holder could crash with it.
func (c *Conn) MapObject(object abi.Name, offset int64, length int, writable bool) ([]byte, abi.Errno) {
	if length <= 0 || offset < 0 {
		return nil, abi.EINVAL
	}
	prot := uintptr(unix.PROT_READ)
	if writable {
		prot |= unix.PROT_WRITE
	}
	var addr uintptr
	var e unix.Errno
	if _, ok := c.link.(guestLink); ok {
		r, id, err := c.call(abi.CallObjectFD, [6]uint64{uint64(object), flag(!writable)}, nil, nil, abi.GuestKeep)
		if err != 0 {
			return nil, err
		}
		at, flags := placing(r.A[2], offset)
		addr, _, e = unix.Syscall6(abi.GuestMap, uintptr(id), at, uintptr(length), prot, flags, uintptr(offset))
	} else {
		fd, a, err := c.objectFD(object, !writable)
		if err != 0 {
			return nil, err
		}
		at, flags := placing(a, offset)
		addr, _, e = unix.Syscall6(unix.SYS_MMAP, at, uintptr(length), prot, flags, uintptr(fd), uintptr(offset))
		_ = unix.Close(fd)
	}
	if e != 0 {
		return nil, abi.Errno(e)
	}
	return memory(addr, length), 0 // memory of ours that no Go allocation is in
}

// placing is where a part of an object is to be mapped, and how: at its place, if the object
// has an address, else anywhere.
func placing(addr uint64, offset int64) (at, flags uintptr) {
	if addr == 0 {
		return 0, unix.MAP_SHARED
	}
	return uintptr(addr + uint64(offset)), unix.MAP_SHARED | unix.MAP_FIXED_NOREPLACE
}

// Inherit says what a forked process has of memory that MapObject or MapPaged has mapped, or
// of a part of it: abi.InheritShare (as it is from the beginning, but of a paged object),
// InheritCopy or InheritNone (as it is from the beginning of a paged one). Guests only.
// EINVAL. Go programs fork only to execute another, which begins anew.
func Inherit(b []byte, how uint64) abi.Errno {
	_, _, e := unix.Syscall(abi.GuestInherit, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), uintptr(how))
	return abi.Errno(e)
}

// UnmapObject ends what MapObject began; nobody may use the bytes any more.
func UnmapObject(b []byte) {
	_, _, _ = unix.Syscall(unix.SYS_MUNMAP, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), 0)
}
