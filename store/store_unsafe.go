package store

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Safety: every pointer made here points into the heap's memory, at an offset
// that a bounds check of the slice has passed and whose alignment follows from
// the layout (tables and chunks are 64-byte aligned, records multiples of 8).
// The types are pointer-free (checked by NewTable), so that the collector
// never needs to see them.

// at gives the T at off.
func at[T any](mem []byte, off uint64) *T {
	p := (*T)(unsafe.Pointer(&mem[off]))
	_ = mem[off+uint64(unsafe.Sizeof(*p))-1]
	return p
}

// words gives n 32-bit words from off.
func words(mem []byte, off uint64, n uint32) []uint32 {
	if n == 0 {
		return nil
	}
	_ = mem[off+uint64(n)*4-1]
	return unsafe.Slice((*uint32)(unsafe.Pointer(&mem[off])), n)
}

func sizeOf[T any]() uint64 {
	var t T
	return uint64(unsafe.Sizeof(t))
}

func aligned(mem []byte) bool {
	return uintptr(unsafe.Pointer(unsafe.SliceData(mem)))%8 == 0
}

// offset gives the offset in mem of a pointer that at has made.
func offset[T any](mem []byte, p *T) uint64 {
	return uint64(uintptr(unsafe.Pointer(p)) - uintptr(unsafe.Pointer(unsafe.SliceData(mem))))
}

// Map maps size bytes of the memory object fd (a memfd, or another file on a
// memory file system), shared, pages on demand. The caller keeps fd.
func Map(fd int, size int) ([]byte, error) {
	if size <= 0 {
		return nil, errors.New("store: size of a mapping must be positive")
	}
	return unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_NORESERVE)
}

// Unmap undoes Map; no Heap in mem may be used afterwards.
func Unmap(mem []byte) error { return unix.Munmap(mem) }

// reserve gives size bytes of zeros that take memory only where they are written,
// outside the Go heap; Unmap frees them. It panics if the host has no addresses
// left: only tests come here.
func reserve(size int) []byte {
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		panic(fmt.Sprintf("store: %d bytes of address space: %v", size, err))
	}
	return mem
}

// punch gives the whole pages in mem back to the host; they read as zero
// afterwards. It fails unless mem is part of a shared, writable mapping.
func punch(mem []byte) error {
	a := uintptr(unsafe.Pointer(unsafe.SliceData(mem)))
	skip := int(-a & 4095)
	if skip >= len(mem) {
		return nil
	}
	n := (len(mem) - skip) &^ 4095
	if n == 0 {
		return nil
	}
	if skip != 0 || n != len(mem) {
		return errors.New("store: not whole pages")
	}
	return unix.Madvise(mem, unix.MADV_REMOVE)
}
