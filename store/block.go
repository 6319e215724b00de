package store

import (
	"fmt"
	"math/bits"
	"slices"
)

// Blocks live in chunks of 64 KiB. A chunk holds blocks of one size class, or
// is (part of) one large block. The memory says for each chunk its class and
// which of its blocks are live; a chunk without live blocks is free whatever
// its class says, so the class is changed without a log.
const (
	chunkSize     = 64 << 10
	chunkMetaSize = 272
	classLarge    = 100
)

type chunkMeta struct {
	Class uint32
	N     uint32 // classLarge: chunks
	Bits  [32]uint64
	_     [8]byte
}

var classes = [...]uint32{32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 21824, 32768}

// Block names bytes in the heap: Len of them, with room for Cap. It is plain
// data and may be a field of a record; the zero Block names nothing.
type Block struct {
	Off uint64
	Cap uint32
	Len uint32
}

// Nil says whether b names nothing.
func (b Block) Nil() bool { return b.Off == 0 }

// MaxBlock is the largest block, in bytes, that a heap of any size gives.
const MaxBlock = 1 << 30

type chunk struct {
	class   uint8
	inList  bool
	dirty   bool // holds bytes other than zero
	free    bool // in a free run
	nfree   uint16
	freshTx uint32
	avail   [32]uint64 // blocks that may be given out
	fresh   [32]uint64 // blocks given out in transaction freshTx
}

type run struct{ start, n uint32 }

// blockState is derived from the memory at Open.
type blockState struct {
	chunks  []*chunk
	partial [len(classes)][]uint32
	runs    []run // free chunks below ChunkHigh, sorted, coalesced
	live    uint64
}

func classOf(n uint32) int {
	i, _ := slices.BinarySearch(classes[:], n)
	return i
}

func (h *Heap) chunkMetaAt(i uint32) *chunkMeta {
	return at[chunkMeta](h.mem, h.hdr.ChunkMeta+uint64(i)*chunkMetaSize)
}

func fullBits(class int) (b [32]uint64) {
	n := chunkSize / classes[class]
	for i := range b {
		switch {
		case n >= 64:
			b[i] = ^uint64(0)
			n -= 64
		default:
			b[i] = 1<<n - 1
			n = 0
		}
	}
	return b
}

func (h *Heap) openBlocks() error {
	b := &h.blocks
	high := h.hdr.ChunkHigh
	b.chunks = make([]*chunk, high)
	for i := uint32(0); i < high; {
		m := h.chunkMetaAt(i)
		c := &chunk{dirty: true, class: uint8(m.Class)}
		b.chunks[i] = c
		switch {
		case m.Bits == [32]uint64{}:
			b.addRun(i, 1)
			i++
		case m.Class == classLarge:
			if m.N == 0 || m.N > high-i {
				return fmt.Errorf("%w: block of %d chunks at chunk %d of %d", ErrCorrupt, m.N, i, high)
			}
			for k := uint32(1); k < m.N; k++ {
				b.chunks[i+k] = &chunk{dirty: true, class: classLarge}
			}
			b.live += uint64(m.N) * chunkSize
			i += m.N
		case int(m.Class) < len(classes):
			full := fullBits(int(m.Class))
			used := 0
			for w := range full {
				if m.Bits[w]&^full[w] != 0 {
					return fmt.Errorf("%w: live bits of chunk %d", ErrCorrupt, i)
				}
				c.avail[w] = full[w] &^ m.Bits[w]
				c.nfree += uint16(bits.OnesCount64(c.avail[w]))
				used += bits.OnesCount64(m.Bits[w])
			}
			b.live += uint64(used) * uint64(classes[m.Class])
			if c.nfree > 0 {
				c.inList = true
				b.partial[m.Class] = append(b.partial[m.Class], i)
			}
			i++
		default:
			return fmt.Errorf("%w: class %d of chunk %d", ErrCorrupt, m.Class, i)
		}
	}
	return nil
}

func (h *Heap) clearBlockEpochs() {
	for _, c := range h.blocks.chunks {
		c.freshTx = 0
	}
}

func (b *blockState) addRun(start, n uint32) {
	for i := start; i < start+n; i++ {
		b.chunks[i].free = true
	}
	i, _ := slices.BinarySearchFunc(b.runs, start, func(r run, s uint32) int { return int(r.start) - int(s) })
	if i > 0 && b.runs[i-1].start+b.runs[i-1].n == start {
		i--
		b.runs[i].n += n
	} else {
		b.runs = slices.Insert(b.runs, i, run{start, n})
	}
	if i+1 < len(b.runs) && b.runs[i].start+b.runs[i].n == b.runs[i+1].start {
		b.runs[i].n += b.runs[i+1].n
		b.runs = slices.Delete(b.runs, i+1, i+2)
	}
}

// takeRun finds n chunks in a row; ok is false when there are none.
func (h *Heap) takeRun(n uint32) (start uint32, ok bool) {
	b := &h.blocks
	for i := range b.runs {
		if b.runs[i].n < n {
			continue
		}
		start = b.runs[i].start
		b.runs[i].start += n
		b.runs[i].n -= n
		if b.runs[i].n == 0 {
			b.runs = slices.Delete(b.runs, i, i+1)
		}
		for k := start; k < start+n; k++ {
			b.chunks[k].free = false
		}
		return start, true
	}
	start = h.hdr.ChunkHigh
	if k := len(b.runs); k > 0 && b.runs[k-1].start+b.runs[k-1].n == start {
		start = b.runs[k-1].start
	}
	if n > h.hdr.NChunks-start {
		return 0, false
	}
	if start < h.hdr.ChunkHigh {
		b.runs = b.runs[:len(b.runs)-1]
	}
	for uint32(len(b.chunks)) < start+n {
		b.chunks = append(b.chunks, &chunk{})
	}
	for k := start; k < start+n; k++ {
		b.chunks[k].free = false
	}
	h.hdr.ChunkHigh = start + n // an upper bound: not logged; published by the log entry that follows
	return start, true
}

// Alloc gives a zeroed block of n bytes, or the nil Block when the heap is full
// or n is negative or above MaxBlock. The block may be written through Bytes
// until the end of the transaction.
func (h *Heap) Alloc(n int) Block {
	h.must("Alloc")
	if n < 0 || n > MaxBlock {
		return Block{}
	}
	b := &h.blocks
	if n > int(classes[len(classes)-1]) {
		k := uint32((n + chunkSize - 1) / chunkSize)
		start, ok := h.takeRun(k)
		if !ok {
			return Block{}
		}
		off := h.hdr.ChunkOff + uint64(start)*chunkSize
		for i := start; i < start+k; i++ {
			c := b.chunks[i]
			if c.dirty {
				o := h.hdr.ChunkOff + uint64(i)*chunkSize
				clear(h.mem[o : o+chunkSize])
			}
			*c = chunk{class: classLarge, dirty: true}
		}
		c := b.chunks[start]
		c.freshTx = h.tx
		c.fresh[0] = 1
		m := h.chunkMetaAt(start)
		m.Class, m.N = classLarge, k
		h.point("large block placed")
		h.ops = append(h.ops, op{kind: opAlloc, off: off})
		h.save(offset(h.mem, &m.Bits[0]), 8)
		m.Bits[0] = 1
		h.point("large block made")
		b.live += uint64(k) * chunkSize
		return Block{Off: off, Cap: k * chunkSize, Len: uint32(n)}
	}
	class := classOf(uint32(n))
	var ci uint32
	var c *chunk
	for list := &b.partial[class]; ; {
		k := len(*list)
		if k == 0 {
			start, ok := h.takeRun(1)
			if !ok {
				return Block{}
			}
			ci, c = start, b.chunks[start]
			*c = chunk{class: uint8(class), inList: true, dirty: c.dirty, avail: fullBits(class), nfree: uint16(chunkSize / classes[class])}
			*list = append(*list, ci)
			h.chunkMetaAt(ci).Class = uint32(class)
			h.point("chunk taken")
			break
		}
		ci = (*list)[k-1]
		c = b.chunks[ci]
		if c.inList && int(c.class) == class && c.nfree > 0 {
			break
		}
		*list = (*list)[:k-1]
		if int(c.class) == class {
			c.inList = false
		}
	}
	w := 0
	for c.avail[w] == 0 {
		w++
	}
	bit := bits.TrailingZeros64(c.avail[w])
	c.avail[w] &^= 1 << bit
	c.nfree--
	if c.freshTx != h.tx {
		c.freshTx = h.tx
		c.fresh = [32]uint64{}
	}
	c.fresh[w] |= 1 << bit
	size := classes[class]
	off := h.hdr.ChunkOff + uint64(ci)*chunkSize + uint64(w*64+bit)*uint64(size)
	if c.dirty {
		clear(h.mem[off : off+uint64(size)])
	}
	h.ops = append(h.ops, op{kind: opAlloc, off: off})
	m := h.chunkMetaAt(ci)
	h.save(offset(h.mem, &m.Bits[w]), 8)
	m.Bits[w] |= 1 << bit
	h.point("block made")
	b.live += uint64(size)
	return Block{Off: off, Cap: size, Len: uint32(n)}
}

// locate finds the chunk and the bit of the block that starts at off.
func (h *Heap) locate(off uint64) (ci uint32, c *chunk, w int, bit uint) {
	if off < h.hdr.ChunkOff || off >= h.hdr.ChunkOff+uint64(len(h.blocks.chunks))*chunkSize {
		panic(fmt.Sprintf("store: no block at %#x", off))
	}
	ci = uint32((off - h.hdr.ChunkOff) / chunkSize)
	c = h.blocks.chunks[ci]
	if c.class == classLarge {
		return ci, c, 0, 0
	}
	i := (off - h.hdr.ChunkOff) % chunkSize / uint64(classes[c.class])
	return ci, c, int(i / 64), uint(i % 64)
}

// FreeBlock gives a block back; its place is given out again only after the
// transaction. The nil Block is ignored; a block that is not live panics.
func (h *Heap) FreeBlock(b Block) {
	if b.Off == 0 {
		return
	}
	h.must("FreeBlock")
	ci, c, w, bit := h.locate(b.Off)
	m := h.chunkMetaAt(ci)
	if c.free || m.Bits[w]&(1<<bit) == 0 {
		panic(fmt.Sprintf("store: FreeBlock at %#x, which is free", b.Off))
	}
	h.ops = append(h.ops, op{kind: opFreeBlock, off: b.Off})
	h.save(offset(h.mem, &m.Bits[w]), 8)
	m.Bits[w] &^= 1 << bit
	h.point("block freed")
}

// releaseBlock makes the place of a block usable again.
func (h *Heap) releaseBlock(off uint64) {
	bs := &h.blocks
	ci, c, w, bit := h.locate(off)
	if c.class == classLarge {
		n := h.chunkMetaAt(ci).N
		bs.live -= uint64(n) * chunkSize
		bs.addRun(ci, n)
		return
	}
	c.avail[w] |= 1 << bit
	c.nfree++
	c.dirty = true
	bs.live -= uint64(classes[c.class])
	if !c.inList {
		c.inList = true
		bs.partial[c.class] = append(bs.partial[c.class], ci)
	}
	// An empty chunk may serve another class, but one stays as a reserve.
	if uint32(c.nfree) == chunkSize/classes[c.class] && len(bs.partial[c.class]) > 1 {
		c.inList = false // Alloc drops the list's entry when it meets it
		bs.addRun(ci, 1)
	}
}

// Bytes gives a block's Len bytes (with room for Cap behind them) to read.
// They may be written only while the block is new in the open transaction; see
// Unlogged for bytes that nothing committed refers to.
func (h *Heap) Bytes(b Block) []byte {
	if b.Off == 0 {
		return nil
	}
	return h.mem[b.Off : b.Off+uint64(b.Len) : b.Off+uint64(b.Cap)]
}

// MutBytes logs n bytes from off of a block and gives them to change until the
// end of the transaction. The range may reach to Cap. A block that is new in
// the transaction is not logged.
func (h *Heap) MutBytes(b Block, off, n int) []byte {
	if off < 0 || n < 0 || uint64(off)+uint64(n) > uint64(b.Cap) {
		panic(fmt.Sprintf("store: MutBytes of %d bytes at %d in a block of %d", n, off, b.Cap))
	}
	o := b.Off + uint64(off)
	if !h.freshBlock(b.Off) && n > 0 {
		h.save(o, uint64(n))
	}
	return h.mem[o : o+uint64(n) : o+uint64(n)]
}

// Unlogged gives n bytes from off of a block to write without a log, inside a
// transaction or not. The caller promises that nothing committed refers to
// them, so that their value does not matter after a rollback: the unused part
// of a ring buffer, the end of a file behind its size.
func (h *Heap) Unlogged(b Block, off, n int) []byte {
	if off < 0 || n < 0 || uint64(off)+uint64(n) > uint64(b.Cap) {
		panic(fmt.Sprintf("store: Unlogged of %d bytes at %d in a block of %d", n, off, b.Cap))
	}
	o := b.Off + uint64(off)
	if h.check != nil {
		h.check.unlogged = append(h.check.unlogged, [2]uint64{o, o + uint64(n)})
	}
	return h.mem[o : o+uint64(n) : o+uint64(n)]
}

func (h *Heap) freshBlock(off uint64) bool {
	if !h.in {
		return false
	}
	_, c, w, bit := h.locate(off)
	return c.freshTx == h.tx && c.fresh[w]&(1<<bit) != 0
}

// BlockBytes is how many bytes of memory live blocks take.
func (h *Heap) BlockBytes() uint64 { return h.blocks.live }

// Trim gives the memory of free chunks back to the host. It does nothing for a
// heap that is not in a shared mapping. Not inside a transaction.
func (h *Heap) Trim() {
	if h.in {
		panic("store: Trim inside a transaction")
	}
	for _, r := range h.blocks.runs {
		for i := r.start; i < r.start+r.n; {
			j := i
			for j < r.start+r.n && h.blocks.chunks[j].dirty {
				j++
			}
			if j == i {
				i++
				continue
			}
			if punch(h.mem[h.hdr.ChunkOff+uint64(i)*chunkSize:h.hdr.ChunkOff+uint64(j)*chunkSize]) != nil {
				return
			}
			for ; i < j; i++ {
				h.blocks.chunks[i].dirty = false
			}
		}
	}
	if h.check != nil {
		h.check.end(h)
	}
}

// PutString stores s in a new block (nil for "", or when the heap is full:
// tell the two apart by len(s)).
func PutString(h *Heap, s string) Block {
	if s == "" {
		return Block{}
	}
	b := h.Alloc(len(s))
	if !b.Nil() {
		copy(h.Bytes(b), s)
	}
	return b
}

// String gives a copy of a block's bytes as a string; "" for the nil Block.
func String(h *Heap, b Block) string { return string(h.Bytes(b)) }
