package store

import (
	"bytes"
	"fmt"
	"runtime"
)

// checker compares the heap with a copy of itself around each transaction.
type checker struct {
	mem       []byte // copy of the used memory, at the same offsets
	spans     [maxTables]tableSpan
	chunkHigh uint32
	unlogged  [][2]uint64
	got       []byte // scratch
}

// SetCheck turns on the checks for tests: at each Commit and Abort the heap
// verifies that rolling back would give (gives) the state at Begin exactly,
// that is, that every changed byte was logged or was free; and at each Begin
// that nothing changed since the end of the last transaction. A violation
// panics with the table and record. It costs a copy of the used memory for each
// transaction. Not inside a transaction.
func (h *Heap) SetCheck(on bool) {
	if h.in {
		panic("store: SetCheck inside a transaction")
	}
	if !on {
		h.check = nil
		return
	}
	// Not on the Go heap: the copies are as large as the memory may become, and
	// the race detector bears no heap above 128 GiB of addresses.
	c := &checker{mem: reserve(len(h.mem)), got: reserve(len(h.mem))}
	runtime.AddCleanup(c, func(m [2][]byte) { _, _ = Unmap(m[0]), Unmap(m[1]) }, [2][]byte{c.mem, c.got})
	h.check = c
	c.end(h)
}

// ranges calls f for each part of the memory that rollback must restore, as it
// was when the snapshot was taken.
func (c *checker) ranges(f func(from, to uint64)) {
	for _, s := range c.spans {
		if s.recSize == 0 {
			continue
		}
		f(s.metaOff, s.metaEnd)
		for off := s.recOff; off < s.recEnd; off += s.recSize {
			m := s.metaOff + (off-s.recOff)/s.recSize*4
			if c.mem[m]&1 != 0 {
				f(off, off+s.recSize)
			}
		}
	}
	hd := at[header](c.mem, 0)
	for i := uint32(0); i < c.chunkHigh; i++ {
		mo := hd.ChunkMeta + uint64(i)*chunkMetaSize
		m := at[chunkMeta](c.mem, mo)
		f(mo+8, mo+8+256)
		co := hd.ChunkOff + uint64(i)*chunkSize
		switch {
		case m.Bits == [32]uint64{}:
		case m.Class == classLarge:
			f(mo, mo+8)
			f(co, co+uint64(m.N)*chunkSize)
			i += m.N - 1
		default:
			f(mo, mo+8)
			size := uint64(classes[m.Class])
			for k := uint64(0); k < chunkSize/size; k++ {
				if m.Bits[k/64]&(1<<(k%64)) != 0 {
					f(co+k*size, co+(k+1)*size)
				}
			}
		}
	}
}

// end takes the snapshot.
func (c *checker) end(h *Heap) {
	c.unlogged = c.unlogged[:0]
	copy(c.mem[:hdrSize], h.mem)
	c.spans = [maxTables]tableSpan{}
	for i, t := range h.tables {
		if t != nil {
			s := t.span()
			c.spans[i] = s
			copy(c.mem[s.metaOff:s.metaEnd], h.mem[s.metaOff:])
			copy(c.mem[s.recOff:s.recEnd], h.mem[s.recOff:])
		}
	}
	c.chunkHigh = h.hdr.ChunkHigh
	a := h.hdr.ChunkMeta
	e := a + uint64(c.chunkHigh)*chunkMetaSize
	copy(c.mem[a:e], h.mem[a:e])
	a = h.hdr.ChunkOff
	e = a + uint64(c.chunkHigh)*chunkSize
	copy(c.mem[a:e], h.mem[a:e])
}

func (c *checker) compare(h *Heap, img []byte, when string) {
	for _, u := range c.unlogged { // their value does not matter
		copy(c.mem[u[0]:u[1]], img[u[0]:u[1]])
	}
	c.ranges(func(from, to uint64) {
		if bytes.Equal(c.mem[from:to], img[from:to]) {
			return
		}
		for o := from; o < to; o++ {
			if c.mem[o] != img[o] {
				panic(fmt.Sprintf("store: %s: byte %#x was %#x and is %#x without a log entry: %s", when, o, c.mem[o], img[o], h.describe(o)))
			}
		}
	})
}

func (h *Heap) describe(off uint64) string {
	for _, t := range h.tables {
		if t != nil {
			if s := t.describe(off); s != "" {
				return s
			}
		}
	}
	if off >= h.hdr.ChunkOff {
		return fmt.Sprintf("block memory, chunk %d byte %d", (off-h.hdr.ChunkOff)/chunkSize, (off-h.hdr.ChunkOff)%chunkSize)
	}
	return "allocator state"
}

func (c *checker) begin(h *Heap) { c.compare(h, h.mem, "between transactions") }

func (c *checker) commit(h *Heap) {
	c.ranges(func(from, to uint64) { copy(c.got[from:to], h.mem[from:to]) })
	for _, u := range c.unlogged {
		copy(c.got[u[0]:u[1]], h.mem[u[0]:u[1]])
	}
	if err := h.rollback(c.got); err != nil {
		panic(err)
	}
	c.compare(h, c.got, "at Commit")
}

func (c *checker) abort(h *Heap) { c.compare(h, h.mem, "after Abort") }
