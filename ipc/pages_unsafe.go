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

// PageTerminate reads the message that nobody but this task has its object any more, and
// that the object is gone, because the task had given up its own right before; false if the
// message is another.
func (m *Message) PageTerminate() (tag uint64, gone, ok bool) {
	if m.ID != abi.MsgPageTerminate || len(m.Body) != 16 {
		return 0, false, false
	}
	le := binary.LittleEndian
	return le.Uint64(m.Body), le.Uint64(m.Body[8:]) != 0, true
}

// SupplyPages supplies pages of an object of which this task is the pager, with what b
// holds: whole pages, at most abi.MaxInline bytes. Who touches one meanwhile waits until it
// is there as a whole. (A server can store them by the descriptor instead; what is stored
// in a mapping is seen by others before it is complete.)
func (c *Conn) SupplyPages(object abi.Name, off uint64, b []byte) abi.Errno {
	_, err := c.Call(abi.CallObjectPages, [6]uint64{uint64(object), abi.PagesSupply, off, uint64(len(b))}, b, nil)
	return err
}

// PageAttributes says of an object of which this task is the pager how many pages are
// asked for at once, at most 256 and only such as are not there, and whether it is told
// that nobody else has the object any more (abi.PagesTell, as it is from the beginning, or
// abi.PagesKeep); 0 leaves either as it is.
func (c *Conn) PageAttributes(object abi.Name, cluster int, tell uint64) abi.Errno {
	_, err := c.Call(abi.CallPagerAttrs, [6]uint64{uint64(object), uint64(cluster), tell}, nil, nil)
	return err
}

// MapPaged maps a paged object whole, of which fd is a descriptor (a guest has none, and
// says -1). A thread that touches a page which is not there waits until the pager has
// supplied it, without the Go runtime's knowing: everything in this process may have to
// wait with it. A page for which there is none is SIGBUS (debug.SetPanicOnFault). A host
// call of a server on such a page fails (EFAULT); a guest's system calls wait for it. A
// forked process has nothing there unless Inherit says so. The host must be Linux 5.19 or
// later.
func (c *Conn) MapPaged(object abi.Name, fd int, size int) ([]byte, error) {
	mem, err := c.mapPaged(object, fd, size)
	if err != nil {
		return nil, fmt.Errorf("ipc: paged object: %w", err)
	}
	return mem, nil
}

// uffdUserMode is a flag of userfaultfd(2) (linux/userfaultfd.h): threads of the process
// wait for pages, never its host calls.
const uffdUserMode = 1

// mapPaged makes the mapping, and what tells of its faults, which the nucleus takes.
//
// Safety: the mapping is memory of ours that no Go allocation is in.
func (c *Conn) mapPaged(object abi.Name, fd int, size int) ([]byte, error) {
	if size <= 0 {
		return nil, abi.EINVAL
	}
	if _, ok := c.link.(guestLink); ok {
		return c.mapPagedGuest(object, size)
	}
	addr, err := c.ObjectAddress(object)
	if err != 0 {
		return nil, err
	}
	at, flags := placing(addr, 0)
	r, _, e := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC|unix.O_NONBLOCK|uffdUserMode, 0, 0)
	if e != 0 {
		return nil, os.NewSyscallError("userfaultfd", e)
	}
	defer unix.Close(int(r)) // the nucleus has it then
	base, _, e := unix.Syscall6(unix.SYS_MMAP, at, uintptr(size), unix.PROT_READ|unix.PROT_WRITE, flags, uintptr(fd), 0)
	if e != 0 {
		return nil, os.NewSyscallError("mmap", e)
	}
	mem := memory(base, size)
	if _, e := c.Call(abi.CallObjectWatch, [6]uint64{uint64(object), uint64(base), 0, uint64(size)}, nil, []int{int(r)}); e != 0 {
		UnmapObject(mem)
		return nil, e
	}
	return mem, nil
}

func (c *Conn) mapPagedGuest(object abi.Name, size int) ([]byte, error) {
	r, id, err := c.call(abi.CallObjectFD, [6]uint64{uint64(object)}, nil, nil, abi.GuestKeep)
	if err != 0 {
		return nil, err
	}
	at, flags := placing(r.A[2], 0)
	base, _, e := unix.Syscall6(abi.GuestMapPaged, uintptr(id), at, uintptr(size), unix.PROT_READ|unix.PROT_WRITE, flags, 0)
	if e != 0 {
		return nil, os.NewSyscallError("map", e)
	}
	mem := memory(base, size)
	number, _, _ := unix.Syscall(abi.GuestFaults, uintptr(id), 0, 0)
	_, err = c.Call(abi.CallObjectWatch, [6]uint64{uint64(object), uint64(base), 0, uint64(size), uint64(number)}, nil, nil)
	_, _, _ = unix.Syscall6(abi.GuestMap, uintptr(id), 0, 0, 0, 0, 0) // the nucleus has it
	if err != 0 {
		UnmapObject(mem)
		return nil, err
	}
	return mem, nil
}

// memory is what is mapped at an address.
func memory(base uintptr, size int) []byte {
	return unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&base))), size)
}

// UnmapPaged ends what MapPaged made.
func (c *Conn) UnmapPaged(mem []byte) error {
	base := uint64(uintptr(unsafe.Pointer(&mem[0])))
	UnmapObject(mem) // the nucleus hears of that, a little later
	if _, e := c.Call(abi.CallObjectUnwatch, [6]uint64{base}, nil, nil); e != 0 && e != abi.ESRCH {
		return e
	}
	return nil
}
