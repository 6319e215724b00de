package wasi

import (
	"encoding/binary"

	"github.com/tetratelabs/wazero/experimental"
)

var le = binary.LittleEndian

// memory is a module's linear memory: address space for as much as it may become, of
// which the first part is in use. It never moves.
type memory struct {
	sys  System
	all  []byte // reserved
	used []byte
}

// Allocate implements experimental.MemoryAllocator.
func (m *memory) Allocate(_, max uint64) experimental.LinearMemory {
	// With a limit on address space, what there is has to do.
	for n := max; n > 0; n /= 2 {
		if b, e := m.sys.Reserve(n); e == 0 {
			m.all = b
			break
		}
	}
	return m
}

// Reallocate implements experimental.LinearMemory: nil when there is no more memory.
func (m *memory) Reallocate(size uint64) []byte {
	if size > uint64(len(m.all)) {
		return nil
	}
	if size > uint64(len(m.used)) {
		if e := m.sys.Commit(m.all, size); e != 0 {
			return nil
		}
	}
	m.used = m.all[:size:size]
	return m.used
}

// Free implements experimental.LinearMemory: the process is about to end.
func (m *memory) Free() {}

// bytes is n bytes of the module's memory at addr.
func (p *Process) bytes(addr, n uint32) ([]byte, bool) {
	end := uint64(addr) + uint64(n)
	if end > uint64(len(p.mem.used)) {
		return nil, false
	}
	return p.mem.used[addr:end:end], true
}

func (p *Process) put32(addr, v uint32) Errno {
	b, ok := p.bytes(addr, 4)
	if !ok {
		return errFault
	}
	le.PutUint32(b, v)
	return 0
}

func (p *Process) put64(addr uint32, v uint64) Errno {
	b, ok := p.bytes(addr, 8)
	if !ok {
		return errFault
	}
	le.PutUint64(b, v)
	return 0
}

// maxVector is how many parts of a vector count (IOV_MAX): the rest is left for the
// next call, as a short read or write leaves it.
const maxVector = 1024

// vector is the array of n iovec structures at addr.
func (p *Process) vector(addr, n uint32) ([][]byte, Errno) {
	if uint64(n)*8 > uint64(len(p.mem.used)) {
		return nil, errFault
	}
	t, ok := p.bytes(addr, n*8)
	if !ok {
		return nil, errFault
	}
	v := p.vec[:0]
	for ; len(t) > 0; t = t[8:] {
		b, ok := p.bytes(le.Uint32(t), le.Uint32(t[4:]))
		if !ok {
			return nil, errFault
		}
		if len(b) > 0 && len(v) < maxVector {
			v = append(v, b)
		}
	}
	p.vec = v
	return v, 0
}

// strings lays out list as args_get and environ_get want it.
func (p *Process) putStrings(list []string, ptrs, buf uint32) Errno {
	size := uint32(0)
	for _, s := range list {
		size += uint32(len(s)) + 1
	}
	t, ok := p.bytes(ptrs, uint32(len(list))*4)
	b, ok2 := p.bytes(buf, size)
	if !ok || !ok2 {
		return errFault
	}
	at := uint32(0)
	for i, s := range list {
		le.PutUint32(t[i*4:], buf+at)
		at += uint32(copy(b[at:], s))
		b[at] = 0
		at++
	}
	return 0
}

func (p *Process) putSizes(list []string, count, size uint32) Errno {
	n := uint32(0)
	for _, s := range list {
		n += uint32(len(s)) + 1
	}
	if _, ok := p.bytes(size, 4); !ok {
		return errFault
	}
	if e := p.put32(count, uint32(len(list))); e != 0 {
		return e
	}
	return p.put32(size, n)
}
