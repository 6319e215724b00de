package ipc

import (
	"encoding/binary"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"hythe/abi"
)

// Both sides of paged objects (docs/decisions/0011-pagers.md): MapPaged for who uses one,
// the rest for its pager.

// CreatePaged makes a memory object whose pages this task supplies: requests for them
// come on the port, of which it has the receive right and which nobody else should be
// able to send to. tag is its own word for the object. The descriptor is for the bytes.
func (c *Conn) CreatePaged(size uint64, label string, port abi.Name, tag uint64) (abi.Name, int, abi.Errno) {
	r, err := c.Call(abi.CallObjectCreate, [6]uint64{size, abi.ObjectPaged, 0, uint64(port), tag}, []byte(label), nil)
	if err != 0 {
		return 0, -1, err
	}
	f, err := r.fds(1)
	if err != 0 {
		return 0, -1, err
	}
	return abi.Name(r.A[0]), f[0], 0
}

// Pages does one of abi.Pages... to pages of an object of which this task is the pager.
func (c *Conn) Pages(object abi.Name, what, off, n uint64) abi.Errno {
	_, err := c.Call(abi.CallObjectPages, [6]uint64{uint64(object), what, off, n}, nil, nil)
	return err
}

// PageRequest is what a message with abi.MsgPageRequest asks for.
type PageRequest struct {
	Tag, Off, Len uint64
	Write         bool
}

// Page reads a request for pages; false if the message is none.
func (m *Message) Page() (q PageRequest, ok bool) {
	if m.ID != abi.MsgPageRequest || len(m.Body) != 32 {
		return q, false
	}
	le := binary.LittleEndian
	return PageRequest{le.Uint64(m.Body), le.Uint64(m.Body[8:]), le.Uint64(m.Body[16:]), le.Uint64(m.Body[24:]) != 0}, true
}

// Of <linux/userfaultfd.h>.
const (
	uffdUserModeOnly = 1
	uffdAPI          = 0xaa
	uffdioAPI        = 0xc018aa3f
	uffdioRegister   = 0xc020aa00
	uffdMissing      = 1
	uffdProtect      = 2
	// Write protection, also of pages of shared memory that are not there yet.
	uffdFeatures = 1<<0 | 1<<12
)

// MapPaged maps a paged object whole, of which fd is a descriptor. A thread that touches
// a page which is not there waits until the pager has supplied it, without the Go
// runtime's knowing: everything in this process may have to wait with it. A host call on
// such a page fails (EFAULT). A confined server must not call it: userfaultfd(2) is deadly
// there (docs/decisions/0011-pagers.md). The host must be Linux 5.19 or later.
func (c *Conn) MapPaged(object abi.Name, fd int, size int) ([]byte, error) {
	mem, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("ipc: paged object: %w", err)
	}
	if err := c.watch(object, mem); err != nil {
		_ = unix.Munmap(mem)
		return nil, fmt.Errorf("ipc: paged object: %w", err)
	}
	return mem, nil
}

// watch hands the faults of a mapping to the nucleus.
//
// Safety: the structures are those of the requests, and the mapping is mem.
func (c *Conn) watch(object abi.Name, mem []byte) error {
	r, _, e := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC|unix.O_NONBLOCK|uffdUserModeOnly, 0, 0)
	if e != 0 {
		return os.NewSyscallError("userfaultfd", e)
	}
	fd := int(r)
	defer unix.Close(fd) // the nucleus has it then
	api := [3]uint64{uffdAPI, uffdFeatures}
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, r, uffdioAPI, uintptr(unsafe.Pointer(&api))); e != 0 {
		return os.NewSyscallError("UFFDIO_API", e)
	}
	base := uint64(uintptr(unsafe.Pointer(&mem[0])))
	reg := [4]uint64{base, uint64(len(mem)), uffdMissing | uffdProtect}
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, r, uffdioRegister, uintptr(unsafe.Pointer(&reg))); e != 0 {
		return os.NewSyscallError("UFFDIO_REGISTER", e)
	}
	if _, e := c.Call(abi.CallObjectWatch, [6]uint64{uint64(object), base, 0, uint64(len(mem))}, nil, []int{fd}); e != 0 {
		return e
	}
	return nil
}

// UnmapPaged ends what MapPaged made.
func (c *Conn) UnmapPaged(mem []byte) error {
	base := uint64(uintptr(unsafe.Pointer(&mem[0])))
	if _, e := c.Call(abi.CallObjectUnwatch, [6]uint64{base}, nil, nil); e != 0 {
		return e
	}
	return unix.Munmap(mem)
}
