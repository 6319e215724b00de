package linux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/machine"
)

// Of <linux/userfaultfd.h>: requests on a userfaultfd, and what is read from it.
const (
	uffdWake         = 0x8010aa02 // UFFDIO_WAKE
	uffdWriteProtect = 0xc018aa06 // UFFDIO_WRITEPROTECT
	uffdPoison       = 0xc020aa08 // UFFDIO_POISON, Linux 6.6
	uffdEventFault   = 0x12       // UFFD_EVENT_PAGEFAULT
	uffdFaultWrite   = 1          // UFFD_PAGEFAULT_FLAG_WRITE
	uffdFaultWP      = 2          // UFFD_PAGEFAULT_FLAG_WP
	uffdMessage      = 32         // bytes of an event
)

// faults implements machine.Faults over a userfaultfd that the task made. The task has
// the same file and may do with it what it likes, so the one goroutine that reads it
// may stand still, and nobody waits for it.
type faults struct {
	mu   sync.Mutex
	file *os.File
	fd   int // -1: closed
}

var errNoFaults = errors.New("machine: not a userfaultfd")

// WatchFaults implements machine.Machine.
func (m *Machine) WatchFaults(h machine.Handle, f func(addr uint64, write, locked bool)) (machine.Faults, error) {
	if l, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", FD(h))); err != nil || l != "anon_inode:[userfaultfd]" {
		return nil, errNoFaults
	}
	fd, err := unix.FcntlInt(uintptr(FD(h)), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	w := &faults{file: os.NewFile(uintptr(fd), "faults"), fd: fd}
	go func() {
		var b [16 * uffdMessage]byte
		for {
			n, err := w.file.Read(b[:])
			if err != nil || n < uffdMessage {
				return // closed, or the address space is gone
			}
			for m := b[:n]; len(m) >= uffdMessage; m = m[uffdMessage:] {
				if m[0] == uffdEventFault {
					flags, addr := binary.LittleEndian.Uint64(m[8:]), binary.LittleEndian.Uint64(m[16:])
					f(addr, flags&uffdFaultWrite != 0, flags&uffdFaultWP != 0)
				}
			}
		}
	}()
	return w, nil
}

// ask makes a request whose structure is arg. In an address space that is gone (ESRCH: its
// last thread has ended, which the nucleus hears of later) nobody waits, and nobody writes.
//
// Safety: arg has at least the bytes that the request's number says (32 at most).
func (w *faults) ask(request uintptr, arg *[4]uint64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fd < 0 {
		return unix.EBADF
	}
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(w.fd), request, uintptr(unsafe.Pointer(arg))); e != 0 && e != unix.ESRCH {
		return e
	}
	return nil
}

// Wake implements machine.Faults.
func (w *faults) Wake(addr, n uint64) { _ = w.ask(uffdWake, &[4]uint64{addr, n}) }

// Protect implements machine.Faults. To take it back wakes who waits.
func (w *faults) Protect(addr, n uint64, on bool) error {
	mode := uint64(0)
	if on {
		mode = 1
	}
	return w.ask(uffdWriteProtect, &[4]uint64{addr, n, mode})
}

// Poison implements machine.Faults. The host's request ends at the first page that is
// there, or was poisoned before (EEXIST), and wakes only those before it.
func (w *faults) Poison(addr, n uint64) error {
	for at := addr; at < addr+n; at += abi.PageSize {
		if err := w.ask(uffdPoison, &[4]uint64{at, abi.PageSize}); err != nil && err != unix.EEXIST {
			return err
		}
	}
	w.Wake(addr, n)
	return nil
}

// Close implements machine.Faults.
func (w *faults) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fd >= 0 {
		w.fd = -1
		go w.file.Close() // it waits for a reader that stands still
	}
}

// FillPages implements machine.Machine.
func (m *Machine) FillPages(h machine.Handle, off, n uint64) error {
	return unix.Fallocate(FD(h), unix.FALLOC_FL_KEEP_SIZE, int64(off), int64(n))
}

// PunchPages implements machine.Machine.
func (m *Machine) PunchPages(h machine.Handle, off, n uint64) error {
	return unix.Fallocate(FD(h), unix.FALLOC_FL_KEEP_SIZE|unix.FALLOC_FL_PUNCH_HOLE, int64(off), int64(n))
}
