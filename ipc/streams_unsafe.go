package ipc

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"hythe/abi"
)

// StreamMemory is the memory of a stream that is lent to two tasks (abi.Stream...), as their
// server has it. Both write to all of it at any time.
//
// Safety: it is a mapping of StreamSize bytes (checked with fstat; the nucleus seals the object
// against shrinking) until Unmap, after which its owner does not use it.
type StreamMemory struct {
	mem   []byte
	shift uint
}

// StreamSize is how large the object is whose rings have 1<<shift bytes.
func StreamSize(shift uint) int { return abi.StreamRingOff + 2<<shift }

// MapStream maps the object fd, which stays the caller's.
func MapStream(fd int, shift uint) (*StreamMemory, error) {
	if shift > abi.StreamMaxShift {
		return nil, fmt.Errorf("ipc: a stream's ring of 1<<%d bytes", shift)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("ipc: memory of a stream: %w", err)
	}
	if st.Size < int64(StreamSize(shift)) {
		return nil, fmt.Errorf("ipc: memory of a stream of %d bytes", st.Size)
	}
	mem, err := unix.Mmap(fd, 0, StreamSize(shift), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("ipc: memory of a stream: %w", err)
	}
	return &StreamMemory{mem, shift}, nil
}

// Unmap ends it.
func (m *StreamMemory) Unmap() { _ = unix.Munmap(m.mem) }

func (m *StreamMemory) word(dir int) *uint64 {
	return (*uint64)(unsafe.Pointer(&m.mem[dir&1*abi.StreamWordSize]))
}

// Back takes a direction back: its word, which nobody moves from now on but who lies, and how many
// bytes were ever put into it. Who sleeps there is woken.
func (m *StreamMemory) Back(dir int) (word, count uint64) {
	w := m.word(dir)
	word = atomic.AndUint64(w, ^uint64(abi.StreamLent)) &^ abi.StreamLent
	futexWake((*uint32)(unsafe.Pointer(w)), 1<<30)
	return word, atomic.LoadUint64((*uint64)(unsafe.Add(unsafe.Pointer(w), abi.StreamCount)))
}

// Word is a direction's word.
func (m *StreamMemory) Word(dir int) uint64 { return atomic.LoadUint64(m.word(dir)) }

// Poll has a direction say that somebody sleeps for it (abi.StreamPoll...), or no more.
func (m *StreamMemory) Poll(dir int, who uint32, on bool) {
	w := (*uint32)(unsafe.Add(unsafe.Pointer(m.word(dir)), abi.StreamPolled))
	if on {
		atomic.OrUint32(w, who)
	} else {
		atomic.AndUint32(w, ^who)
	}
}

// Set changes a direction's word, if it is from.
func (m *StreamMemory) Set(dir int, from, to uint64) bool {
	return atomic.CompareAndSwapUint64(m.word(dir), from, to)
}

// Bytes copies what is in a direction's ring behind the first head bytes that were in it ever. Of a
// pipe it answers how far the last page is full, as its writer says.
func (m *StreamMemory) Bytes(dir int, head uint64, b []byte) (fill uint32) {
	ring := m.ring(dir)
	n := copy(b, ring[head&(1<<m.shift-1):])
	copy(b[n:], ring)
	return uint32(min(atomic.LoadUint64(m.fill(dir)), 1<<31))
}

// Fill puts b into a pipe's ring, behind the first head bytes that were in it ever, and how far the
// last page of them is full. False: the writer may still be copying for a loan that is over. (The ring is not lent,
// so it does not begin to.)
func (m *StreamMemory) Fill(head uint64, b []byte, fill uint32) bool {
	if len(b) > 0 && atomic.LoadUint64((*uint64)(unsafe.Add(unsafe.Pointer(m.word(0)), abi.StreamClaim))) != 0 {
		return false
	}
	ring := m.ring(0)
	n := copy(ring[head&(1<<m.shift-1):], b)
	copy(ring, b[n:])
	atomic.StoreUint64(m.fill(0), uint64(fill))
	return true
}

func (m *StreamMemory) ring(dir int) []byte {
	at := abi.StreamRingOff + (dir&1)<<m.shift
	return m.mem[at : at+1<<m.shift]
}

func (m *StreamMemory) fill(dir int) *uint64 {
	return (*uint64)(unsafe.Add(unsafe.Pointer(m.word(dir)), abi.StreamFill))
}
