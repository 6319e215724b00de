package ipc

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"hythe/abi"
)

// MapCopy maps a copy of length bytes of a memory object, from offset on, until
// UnmapObject: a page takes memory of this task's when it is first written, and nobody
// else sees that. It is how to have what came copy-on-write (flag 2 of abi.ObjectDesc);
// of an object that others still write it is a copy of what is there when a page is first
// written. The errors are those of MapObject.
func (c *Conn) MapCopy(object abi.Name, offset int64, length int) ([]byte, abi.Errno) {
	if length <= 0 || offset < 0 {
		return nil, abi.EINVAL
	}
	const prot = unix.PROT_READ | unix.PROT_WRITE
	var addr uintptr
	var e unix.Errno
	if _, ok := c.link.(guestLink); ok {
		_, id, err := c.call(abi.CallObjectFD, [6]uint64{uint64(object), flag(true)}, nil, nil, abi.GuestKeep)
		if err != 0 {
			return nil, err
		}
		addr, _, e = unix.Syscall6(abi.GuestMap, uintptr(id), 0, uintptr(length), prot, unix.MAP_PRIVATE, uintptr(offset))
	} else {
		fd, err := c.ObjectFD(object, true)
		if err != 0 {
			return nil, err
		}
		addr, _, e = unix.Syscall6(unix.SYS_MMAP, 0, uintptr(length), prot, unix.MAP_PRIVATE, uintptr(fd), uintptr(offset))
		_ = unix.Close(fd)
	}
	if e != 0 {
		return nil, abi.Errno(e)
	}
	// Safety: memory of ours that no Go allocation is in.
	return unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&addr))), length), 0
}
