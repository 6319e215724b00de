package ipc

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"hythe/abi"
)

// Safety: an area is a mapping of at least areaSize(slots) bytes (checked with
// fstat; the nucleus seals the object against shrinking) and stays mapped until
// unmap, after which its owner does not use it. Slot numbers are checked
// against the number of slots that the nucleus told.

// Request must be the client's part of abi.Slot, word for word.
const requestSize = unsafe.Sizeof(Request{})

var (
	_ [requestSize]byte                                    = [unsafe.Offsetof(abi.Slot{}.Cancel)]byte{}
	_ [unsafe.Offsetof(Request{}.Nr)]byte                  = [unsafe.Offsetof(abi.Slot{}.Nr)]byte{}
	_ [unsafe.Offsetof(Request{}.In)]byte                  = [unsafe.Offsetof(abi.Slot{}.In)]byte{}
	_ [unsafe.Offsetof(Request{}.Regs)]byte                = [unsafe.Offsetof(abi.Slot{}.Regs)]byte{}
	_ [unsafe.Offsetof(Request{}.Back)]byte                = [unsafe.Offsetof(abi.Slot{}.Back)]byte{}
	_ [abi.SlotHeaderSize - unsafe.Sizeof(abi.Slot{})]byte // a slot's header fits
	_ [abi.LentRingOff - unsafe.Sizeof(abi.BindHeader{})]byte
	_ [abi.LentSetSize - abi.LentSetItems*unsafe.Sizeof(abi.LentItem{})]byte
)

type area struct {
	mem   []byte
	hdr   *abi.BindHeader
	slots int
}

func areaSize(slots int) int { return abi.BindHeaderSize + slots*abi.SlotSize }

// mapArea maps the object of a binding with the given number of slots.
func mapArea(fd, slots int) (area, error) {
	if slots < 1 || slots > abi.MaxSlots {
		return area{}, fmt.Errorf("ipc: binding with %d slots", slots)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return area{}, fmt.Errorf("ipc: area of a binding: %w", err)
	}
	n := areaSize(slots)
	if st.Size < int64(n) {
		return area{}, fmt.Errorf("ipc: area of %d bytes is too small for %d slots", st.Size, slots)
	}
	mem, err := unix.Mmap(fd, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_NORESERVE)
	if err != nil {
		return area{}, fmt.Errorf("ipc: area of a binding: %w", err)
	}
	a := area{mem, (*abi.BindHeader)(unsafe.Pointer(&mem[0])), slots}
	if a.hdr.Magic != abi.BindMagic {
		_ = unix.Munmap(mem)
		return area{}, errors.New("ipc: area of a binding is not formatted")
	}
	return a, nil
}

// touched says which slots' headers are in memory at all: somebody wrote or
// read them. A slot that is not is idle, and looking at it would give it a
// page, which for every slot of every guest task is most of what a task costs.
// fd is the area's object.
func (a *area) touched(fd int) []int {
	var l []int
	next := 0 // the first slot not yet decided
	for off := int64(0); next < a.slots; {
		data, err := unix.Seek(fd, off, unix.SEEK_DATA)
		if err == unix.ENXIO {
			return l // nothing behind off
		}
		hole := data
		if err == nil {
			hole, err = unix.Seek(fd, data, unix.SEEK_HOLE)
		}
		if err != nil { // the object cannot say: all of them
			for ; next < a.slots; next++ {
				l = append(l, next)
			}
			return l
		}
		if first := int((data - abi.BindHeaderSize + abi.SlotSize - 1) / abi.SlotSize); data > abi.BindHeaderSize && first > next {
			next = first
		}
		for ; next < a.slots && int64(abi.BindHeaderSize+next*abi.SlotSize) < hole; next++ {
			l = append(l, next)
		}
		// A guest that gives pages back and takes them again meanwhile must not
		// keep its server here.
		off = max(hole, data+abi.PageSize)
	}
	return l
}

func (a *area) unmap() {
	if a.mem != nil {
		_ = unix.Munmap(a.mem)
		*a = area{}
	}
}

func (a *area) slot(i int) *abi.Slot {
	if uint(i) >= uint(a.slots) {
		panic("ipc: slot number out of range")
	}
	return (*abi.Slot)(unsafe.Pointer(&a.mem[abi.BindHeaderSize+i*abi.SlotSize]))
}

// ring is what a pipe's ring has its bytes in.
func (a *area) ring(i int) []byte {
	if uint(i) >= abi.LentPipes {
		panic("ipc: number of a ring out of range")
	}
	o := abi.LentRingOff + i*abi.LentRingSize
	return a.mem[o : o+abi.LentRingSize : o+abi.LentRingSize]
}

// items are those of an epoll set that is lent.
func (a *area) items(i int) *[abi.LentSetItems]abi.LentItem {
	if uint(i) >= abi.LentSets {
		panic("ipc: number of a set out of range")
	}
	return (*[abi.LentSetItems]abi.LentItem)(unsafe.Pointer(&a.mem[abi.LentSetOff+i*abi.LentSetSize]))
}

func (a *area) in(i int) []byte {
	o := abi.BindHeaderSize + i*abi.SlotSize + abi.SlotInOff
	return a.mem[o : o+abi.SlotInSize : o+abi.SlotInSize]
}

func (a *area) out(i int) []byte {
	o := abi.BindHeaderSize + i*abi.SlotSize + abi.SlotOutOff
	return a.mem[o : o+abi.SlotOutSize : o+abi.SlotOutSize]
}

func (a *area) whole(i int) []byte {
	o := abi.BindHeaderSize + i*abi.SlotSize
	return a.mem[o : o+abi.SlotSize : o+abi.SlotSize]
}

// warm asks for the lines of a slot that whoever serves it reads, and those of the reply
// that he writes: they are in another processor's cache. A path and a small structure
// are counted in.
func (a *area) warm(i int) {
	if uint(i) >= uint(a.slots) {
		return
	}
	p := unsafe.Pointer(&a.mem[abi.BindHeaderSize+i*abi.SlotSize])
	prefetch(p, int(requestSize+63)/64)
	prefetch(unsafe.Add(p, abi.SlotInOff), 2)
	prefetchWrite(unsafe.Add(p, unsafe.Offsetof(abi.Slot{}.Result)), 2)
	prefetchWrite(unsafe.Add(p, abi.SlotOutOff), 3)
}

// prefetch asks for n lines of 64 bytes to be read, prefetchWrite for those to be written.
//
//go:noescape
func prefetch(p unsafe.Pointer, n int)

//go:noescape
func prefetchWrite(p unsafe.Pointer, n int)

// copyRequest copies the client's part of a slot out of shared memory.
func copyRequest(r *Request, s *abi.Slot) {
	copy(unsafe.Slice((*byte)(unsafe.Pointer(r)), requestSize), unsafe.Slice((*byte)(unsafe.Pointer(s)), requestSize))
}

// futexWait sleeps while *w is v; it may wake early. The word is in shared
// memory, so the call is not the private kind.
func futexWait(w *uint32, v uint32) {
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(w)), 0 /* FUTEX_WAIT */, uintptr(v), 0, 0, 0)
}

// futexWaitFor is futexWait for at most d.
func futexWaitFor(w *uint32, v uint32, d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(w)), 0 /* FUTEX_WAIT */, uintptr(v), uintptr(unsafe.Pointer(&ts)), 0, 0)
}

func futexWake(w *uint32, n int) {
	_, _, _ = unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(w)), 1 /* FUTEX_WAKE */, uintptr(n), 0, 0, 0)
}

var bellOne = [8]byte{1}

// ring rings a doorbell. A full counter (the peer's doing) is rung already.
func ring(fd int) {
	_, _, _ = unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&bellOne)), 8)
}

// EpollLook answers what is ready in an epoll instance of the caller's, whose events are at most as many as ev has room
// for, which is some. It cannot block, so it is no round of the runtime's scheduler.
func EpollLook(ep int, ev []unix.EpollEvent) (int, error) {
	n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(ep), uintptr(unsafe.Pointer(&ev[0])), uintptr(len(ev)), 0, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}

// yield lets another process run that is ready on this processor.
func yield() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }
