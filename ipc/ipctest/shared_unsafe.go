package ipctest

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Shared is memory that two processes have: two words by which they take turns, then
// room for a payload.
type Shared struct {
	mem  []byte
	turn *[2]uint32
}

// MapShared maps the descriptor's memory.
//
// Safety: the mapping is page-aligned, larger than the words, and stays until Close.
func MapShared(fd, size int) (*Shared, error) {
	mem, err := unix.Mmap(fd, 0, 4096+size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("shared memory: %w", err)
	}
	return &Shared{mem, (*[2]uint32)(unsafe.Pointer(&mem[0]))}, nil
}

// Payload is the room behind the words.
func (s *Shared) Payload() []byte { return s.mem[4096:] }

// Close unmaps it.
func (s *Shared) Close() { _ = unix.Munmap(s.mem) }

// Set stores word i and wakes who waits for it.
func (s *Shared) Set(i int, v uint32) {
	atomic.StoreUint32(&s.turn[i], v)
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&s.turn[i])), 1, 1, 0, 0, 0)
}

// Wait sleeps until word i is not old, without looking first, as a sleeper does.
func (s *Shared) Wait(i int, old uint32) uint32 {
	for {
		if v := atomic.LoadUint32(&s.turn[i]); v != old {
			return v
		}
		_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&s.turn[i])), 0, uintptr(old), 0, 0, 0)
	}
}

// Put stores word i and wakes nobody: for a peer that looks all the time.
func (s *Shared) Put(i int, v uint32) { atomic.StoreUint32(&s.turn[i], v) }

// Load is what word i holds.
func (s *Shared) Load(i int) uint32 { return atomic.LoadUint32(&s.turn[i]) }

// Look is Wait of one who looks all the time.
func (s *Shared) Look(i int, old uint32) uint32 {
	for {
		if v := atomic.LoadUint32(&s.turn[i]); v != old {
			return v
		}
	}
}
