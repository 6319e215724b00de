package linux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/machine"
)

// Of <linux/userfaultfd.h>: requests on a userfaultfd, and what is read from it.
const (
	uffdioAPI        = 0xc018aa3f
	uffdioRegister   = 0xc020aa00
	uffdWake         = 0x8010aa02 // UFFDIO_WAKE
	uffdWriteProtect = 0xc018aa06 // UFFDIO_WRITEPROTECT
	uffdPoison       = 0xc020aa08 // UFFDIO_POISON, Linux 6.6
	uffdMissing      = 1          // UFFDIO_REGISTER_MODE_MISSING
	uffdWP           = 2          // UFFDIO_REGISTER_MODE_WP
	uffdEventFault   = 0x12       // UFFD_EVENT_PAGEFAULT
	uffdEventRemap   = 0x14
	uffdEventUnmap   = 0x16
	uffdFaultWrite   = 1  // UFFD_PAGEFAULT_FLAG_WRITE
	uffdFaultWP      = 2  // UFFD_PAGEFAULT_FLAG_WP
	uffdMessage      = 32 // bytes of an event
	// Write protection, also of pages of shared memory that are not there yet (Linux
	// 5.19), and news of what is unmapped and moved.
	uffdFeatures = 1<<0 | 1<<12 | 1<<6 | 1<<2
)

// faults implements machine.Faults over a userfaultfd that the task made. It stands for
// the task's address space, so all is done from here. The task may have the same file and
// do with it what it likes, and it can keep the host's locks of its address space, so the
// one goroutine that reads may stand still, and the one that asks too; nobody else waits.
type faults struct {
	file *os.File
	fd   int

	mu     sync.Mutex
	todo   []request
	busy   bool // a goroutine works todo off
	closed bool
}

// request is one of the host's, to be made in its turn.
type request struct {
	what uintptr
	arg  [4]uint64
	done func(error)
}

var errNoFaults = errors.New("machine: not a userfaultfd")

// WatchFaults implements machine.Machine.
func (m *Machine) WatchFaults(h machine.Handle, base, n uint64, sink machine.FaultSink) (machine.Faults, error) {
	if l, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", FD(h))); err != nil || l != "anon_inode:[userfaultfd]" {
		return nil, errNoFaults
	}
	fd, err := unix.FcntlInt(uintptr(FD(h)), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	err = unix.SetNonblock(fd, true)
	if err == nil {
		err = control(fd, uffdioAPI, &[4]uint64{0xaa, uffdFeatures})
	}
	if err == nil {
		err = control(fd, uffdioRegister, &[4]uint64{base, n, uffdMissing | uffdWP})
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	w := &faults{file: os.NewFile(uintptr(fd), "faults"), fd: fd}
	go w.hear(sink)
	return w, nil
}

// hear tells the sink what the host says. Who unmaps or moves memory waits until it is read.
func (w *faults) hear(sink machine.FaultSink) {
	var b [16 * uffdMessage]byte
	for {
		n, err := w.file.Read(b[:])
		if err != nil || n < uffdMessage {
			return // closed, or the address space is gone
		}
		for m := b[:n]; len(m) >= uffdMessage; m = m[uffdMessage:] {
			a, b, c := binary.LittleEndian.Uint64(m[8:]), binary.LittleEndian.Uint64(m[16:]), binary.LittleEndian.Uint64(m[24:])
			switch m[0] {
			case uffdEventFault:
				sink.Fault(b, a&uffdFaultWrite != 0, a&uffdFaultWP != 0)
			case uffdEventRemap:
				sink.Moved(a, b, c)
			case uffdEventUnmap:
				sink.Unmapped(a, b-a)
			}
		}
	}
}

// control makes a request whose structure is arg. In an address space that is gone (ESRCH: its
// last thread has ended, which the nucleus hears of later) nobody waits, and nobody writes.
//
// Safety: arg has at least the bytes that the request's number says (32 at most).
func control(fd int, request uintptr, arg *[4]uint64) error {
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(arg))); e != 0 && e != unix.ESRCH {
		return e
	}
	return nil
}

// ask makes requests in their turn.
func (w *faults) ask(l ...request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.todo = append(w.todo, l...)
	if !w.busy {
		w.busy = true
		go w.work()
	}
}

func (w *faults) work() {
	for {
		w.mu.Lock()
		if len(w.todo) == 0 {
			w.busy = false
			if w.closed {
				go w.file.Close() // it waits for a reader that stands still
			}
			w.mu.Unlock()
			return
		}
		r := w.todo[0]
		w.todo = w.todo[1:]
		w.mu.Unlock()
		// EAGAIN: the task unmaps or moves something, and hear has not read that yet.
		err := control(w.fd, r.what, &r.arg)
		for ; err == unix.EAGAIN; err = control(w.fd, r.what, &r.arg) {
			time.Sleep(20 * time.Microsecond)
		}
		if r.done != nil {
			r.done(err)
		}
	}
}

// Wake implements machine.Faults. It takes none of the task's locks.
func (w *faults) Wake(addr, n uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		_ = control(w.fd, uffdWake, &[4]uint64{addr, n})
	}
}

// Protect implements machine.Faults. To take it back wakes who waits.
func (w *faults) Protect(addr, n uint64, on bool, done func(error)) {
	mode := uint64(0)
	if on {
		mode = 1
	}
	w.ask(request{uffdWriteProtect, [4]uint64{addr, n, mode}, done})
}

// Poison implements machine.Faults. The host's request ends at the first page that is
// there, or was poisoned before (EEXIST), and wakes only those before it.
func (w *faults) Poison(addr, n uint64, done func(error)) {
	var l []request
	var first error
	for at := addr; at < addr+n; at += abi.PageSize {
		l = append(l, request{uffdPoison, [4]uint64{at, abi.PageSize}, func(err error) {
			if err != nil && err != unix.EEXIST && first == nil {
				first = err
			}
		}})
	}
	w.ask(append(l, request{uffdWake, [4]uint64{addr, n}, func(error) { done(first) }})...)
}

// Close implements machine.Faults.
func (w *faults) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.closed = true
		if !w.busy {
			go w.file.Close()
		}
	}
}

// Take implements machine.Context.
func (c *channel) Take(fd uint64) (machine.Handle, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pidfd < 0 || fd > 1<<31-1 {
		return nil, false
	}
	own, err := unix.PidfdGetfd(c.pidfd, int(fd), 0)
	if err != nil {
		return nil, false
	}
	return newFile(own), true
}

// StorePages implements machine.Machine: who touches a page sees what was stored, or
// nothing, as each is stored under the host's lock of it.
func (m *Machine) StorePages(h machine.Handle, off uint64, b []byte) error {
	for len(b) > 0 {
		n, err := unix.Pwrite(FD(h), b, int64(off))
		if err != nil {
			return err
		}
		off, b = off+uint64(n), b[n:]
	}
	return nil
}

// AbsentPages implements machine.Machine.
func (m *Machine) AbsentPages(h machine.Handle, off, n uint64) uint64 {
	at, err := unix.Seek(FD(h), int64(off), unix.SEEK_DATA)
	if err != nil { // ENXIO: nothing more
		return n
	}
	return min(uint64(at)-off, n)
}

// FillPages implements machine.Machine.
func (m *Machine) FillPages(h machine.Handle, off, n uint64) error {
	return unix.Fallocate(FD(h), unix.FALLOC_FL_KEEP_SIZE, int64(off), int64(n))
}

// PunchPages implements machine.Machine.
func (m *Machine) PunchPages(h machine.Handle, off, n uint64) error {
	return unix.Fallocate(FD(h), unix.FALLOC_FL_KEEP_SIZE|unix.FALLOC_FL_PUNCH_HOLE, int64(off), int64(n))
}
