// Package store keeps a server's state of record: pointer-free tables and byte
// blocks in a memory object, changed inside transactions with an undo log.
//
// The memory object outlives the server process. SIGKILL at any instruction
// leaves either no log (the last transaction is complete) or a log that Open
// rolls back; the commit point is one 8-byte atomic store. Nothing here guards
// against loss of power: the object is memory.
//
// A Heap and everything made from it may be used by one goroutine at a time
// (the owner's lock). Go-heap state (free lists) is derived from the memory at
// Open and never read by another incarnation.
//
// Order of stores: a log entry is written with plain stores and published by
// an atomic store of the log's length; only then does the caller get a pointer
// through which it changes the record. The commit clears the length with an
// atomic store. Neither the compiler nor the processor (total store order)
// moves a store across these, so a dead process's memory is always a prefix of
// what its program order wrote.
package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"hythe/store/crash"
)

// Layout. All offsets are from the start of the memory.
const (
	magicReady  = 0x31306572_6f745348 // "HStore01"
	magicFormat = 0x316d726f_66745348 // while Format runs
	dirOff      = 4096
	maxTables   = 112
	hdrSize     = dirOff + maxTables*tableDirSize
	// MinSize is the least memory that Format accepts, in bytes.
	MinSize = 1 << 20
	logMin  = 16 << 10
	logMax  = 64 << 20
	logHead = 16 // bytes before the old bytes of a log entry
)

type header struct {
	Magic     uint64
	Version   uint32
	NTables   uint32 // atomic; entries below it are whole
	Size      uint64
	LogOff    uint64
	LogCap    uint64
	TabOff    uint64
	TabEnd    uint64
	ChunkMeta uint64
	ChunkOff  uint64
	NChunks   uint32
	ChunkHigh uint32 // chunks from here on were never touched; an upper bound, not logged
	_         [48]byte
	LogLen    uint64 // atomic; 0 = no transaction to roll back
	_         [56]byte
}

// Errors of Open.
var (
	// ErrUnformatted: the memory holds no heap (fresh, or killed inside Format).
	ErrUnformatted = errors.New("store: memory is not formatted")
	// ErrVersion: the heap was written by a program with another version.
	ErrVersion = errors.New("store: other version")
	// ErrCorrupt: the header or the log contradicts itself.
	ErrCorrupt = errors.New("store: corrupt")
)

const (
	opNew = iota
	opFree
	opAlloc
	opFreeBlock
)

type op struct {
	kind uint8
	tab  uint8
	ref  uint32
	off  uint64
}

// table is what the heap needs of a Table without knowing its record type.
type table interface {
	release(ref uint32, delta int)
	describe(off uint64) string
	span() tableSpan
	clearEpochs()
}

// Heap is one formatted memory. See the package comment for its rules.
type Heap struct {
	mem    []byte
	hdr    *header
	log    []byte // the log area
	logLen uint64
	tx     uint32 // number of the current transaction, for "logged already"
	in     bool
	ops    []op
	tables [maxTables]table
	blocks blockState
	hook   func(point string)
	check  *checker
}

// Format makes an empty heap in mem, which must be 8-byte aligned and at least
// MinSize bytes; version is the caller's own layout number. Memory that held a
// heap before is cleared (a hole is punched if mem is a shared mapping).
func Format(mem []byte, version uint32) (*Heap, error) {
	size := uint64(len(mem)) &^ (chunkSize - 1)
	if size < MinSize {
		return nil, fmt.Errorf("store: %d bytes are less than the least size %d", len(mem), MinSize)
	}
	if !aligned(mem) {
		return nil, errors.New("store: memory is not 8-byte aligned")
	}
	h := &Heap{mem: mem[:size:size], hdr: at[header](mem, 0)}
	if h.hdr.Magic != 0 {
		// A death in the middle of the clearing must not leave a heap that opens.
		atomic.StoreUint64(&h.hdr.Magic, magicFormat)
		if punch(h.mem[4096:]) != nil {
			clear(h.mem[4096:])
		}
	}
	clear(h.mem[8:4096])
	d := h.hdr
	d.Version = version
	d.Size = size
	d.LogOff = hdrSize
	d.LogCap = min(max(size/16, logMin), logMax)
	d.TabOff = d.LogOff + d.LogCap
	d.TabEnd = size / 2
	d.ChunkMeta = size / 2
	n := (size - d.ChunkMeta) / (chunkSize + chunkMetaSize)
	d.ChunkOff = (d.ChunkMeta + n*chunkMetaSize + chunkSize - 1) &^ (chunkSize - 1)
	d.NChunks = uint32((size - d.ChunkOff) / chunkSize)
	atomic.StoreUint64(&d.Magic, magicReady)
	return Open(mem, version)
}

// Open takes over the heap in mem, which an earlier incarnation formatted with
// the same version and length, and rolls back the transaction that it did not
// finish. Tables are declared afterwards with NewTable. Errors: ErrUnformatted,
// ErrVersion, ErrCorrupt (wrapped).
func Open(mem []byte, version uint32) (*Heap, error) {
	size := uint64(len(mem)) &^ (chunkSize - 1)
	if size < MinSize || !aligned(mem) {
		return nil, fmt.Errorf("store: memory of %d bytes is too small or not aligned", len(mem))
	}
	h := &Heap{mem: mem[:size:size], hdr: at[header](mem, 0)}
	d := h.hdr
	switch d.Magic {
	case magicReady:
	case 0, magicFormat:
		return nil, ErrUnformatted
	default:
		return nil, fmt.Errorf("%w: magic %#x", ErrCorrupt, d.Magic)
	}
	if d.Version != version {
		return nil, fmt.Errorf("%w: memory has %d, program wants %d", ErrVersion, d.Version, version)
	}
	if d.Size != size || d.LogOff != hdrSize || d.LogCap > size || d.TabOff != d.LogOff+d.LogCap ||
		d.TabEnd > size || d.TabOff > d.TabEnd || d.ChunkMeta != d.TabEnd || d.ChunkOff > size ||
		d.ChunkMeta+uint64(d.NChunks)*chunkMetaSize > d.ChunkOff ||
		d.ChunkOff+uint64(d.NChunks)*chunkSize > size || d.ChunkHigh > d.NChunks || d.NTables > maxTables {
		return nil, fmt.Errorf("%w: header of a heap of %d bytes in a memory of %d", ErrCorrupt, d.Size, size)
	}
	h.log = h.mem[d.LogOff : d.LogOff+d.LogCap]
	h.logLen = d.LogLen
	if err := h.rollback(h.mem); err != nil {
		return nil, err
	}
	atomic.StoreUint64(&d.LogLen, 0)
	h.logLen = 0
	if err := h.openBlocks(); err != nil {
		return nil, err
	}
	return h, nil
}

// OpenOrFormat opens the heap in mem, or formats mem when it holds none.
func OpenOrFormat(mem []byte, version uint32) (h *Heap, fresh bool, err error) {
	h, err = Open(mem, version)
	if errors.Is(err, ErrUnformatted) {
		h, err = Format(mem, version)
		return h, err == nil, err
	}
	return h, false, err
}

// Reset formats the heap's memory anew, for an owner that finds in it what is
// not worth keeping. h must not be used any more.
func (h *Heap) Reset() (*Heap, error) { return Format(h.mem, h.hdr.Version) }

// Size is the length of the heap's memory in bytes.
func (h *Heap) Size() int { return len(h.mem) }

// Begin opens a transaction. It panics inside another one.
func (h *Heap) Begin() {
	if h.in {
		panic("store: Begin inside a transaction")
	}
	if h.check != nil {
		h.check.begin(h)
	}
	h.in = true
	h.tx++
	if h.tx == 0 { // wrapped: numbers of long ago could look like ours
		h.tx = 1
		for _, t := range h.tables {
			if t != nil {
				t.clearEpochs()
			}
		}
		h.clearBlockEpochs()
	}
}

// InTx says whether a transaction is open.
func (h *Heap) InTx() bool { return h.in }

// Commit makes the transaction's changes final: one atomic store.
func (h *Heap) Commit() {
	h.must("Commit")
	if h.check != nil {
		h.check.commit(h)
	}
	h.point("before commit")
	if h.logLen != 0 {
		atomic.StoreUint64(&h.hdr.LogLen, 0)
		h.logLen = 0
	}
	h.point("after commit")
	for i := range h.ops {
		switch o := &h.ops[i]; o.kind {
		case opFree:
			h.tables[o.tab].release(o.ref, 0)
		case opFreeBlock:
			h.releaseBlock(o.off)
		}
	}
	h.ops = h.ops[:0]
	h.in = false
	if h.check != nil {
		h.check.end(h)
	}
}

// Abort undoes the transaction's changes. Pointers into records that were new
// in it are no longer valid.
func (h *Heap) Abort() {
	h.must("Abort")
	if err := h.rollback(h.mem); err != nil {
		panic(err)
	}
	h.point("rolled back")
	if h.check != nil {
		h.check.abort(h)
	}
	atomic.StoreUint64(&h.hdr.LogLen, 0)
	h.logLen = 0
	for i := range h.ops {
		switch o := &h.ops[i]; o.kind {
		case opNew:
			h.tables[o.tab].release(o.ref, -1)
		case opFree:
			h.tables[o.tab].release(0, +1)
		case opAlloc:
			h.releaseBlock(o.off)
		}
	}
	h.ops = h.ops[:0]
	h.in = false
	if h.check != nil {
		h.check.end(h)
	}
}

// SetCrashHook makes f be called at every point between two stores of the heap
// itself (log entries, allocations, commit), for tests that copy the memory
// there and reopen the copy. nil removes it.
func (h *Heap) SetCrashHook(f func(point string)) { h.hook = f }

func (h *Heap) point(s string) {
	if h.hook != nil {
		h.hook(s)
	}
	crash.Point(s)
}

func (h *Heap) must(what string) {
	if !h.in {
		panic("store: " + what + " outside a transaction")
	}
}

// save logs n bytes at off before they are changed.
func (h *Heap) save(off uint64, n uint64) {
	if !h.in {
		panic("store: change outside a transaction")
	}
	need := logHead + (n+7)&^7
	if h.logLen+need > uint64(len(h.log)) {
		panic(fmt.Sprintf("store: transaction changes more than the log's %d bytes", len(h.log)))
	}
	e := h.log[h.logLen : h.logLen+need]
	binary.LittleEndian.PutUint64(e, off)
	binary.LittleEndian.PutUint64(e[8:], n)
	copy(e[logHead:], h.mem[off:off+n])
	h.logLen += need
	h.point("entry written")
	atomic.StoreUint64(&h.hdr.LogLen, h.logLen)
	h.point("entry published")
}

// entries calls f for each log entry, oldest first.
func (h *Heap) entries(f func(off uint64, old []byte)) error {
	if h.logLen > uint64(len(h.log)) {
		return fmt.Errorf("%w: log of %d bytes in an area of %d", ErrCorrupt, h.logLen, len(h.log))
	}
	for p := uint64(0); p < h.logLen; {
		if h.logLen-p < logHead {
			return fmt.Errorf("%w: log ends inside an entry", ErrCorrupt)
		}
		off := binary.LittleEndian.Uint64(h.log[p:])
		n := binary.LittleEndian.Uint64(h.log[p+8:])
		p += logHead
		if n > h.logLen-p || off > uint64(len(h.mem)) || n > uint64(len(h.mem))-off {
			return fmt.Errorf("%w: log entry for %d bytes at %#x", ErrCorrupt, n, off)
		}
		f(off, h.log[p:p+n])
		p += (n + 7) &^ 7
	}
	return nil
}

// rollback puts the old bytes back into dst (the memory, or a copy of it),
// newest entry first. It may be cut at any point and run again.
func (h *Heap) rollback(dst []byte) error {
	if h.logLen == 0 {
		return nil
	}
	type ent struct {
		off uint64
		old []byte
	}
	var list []ent
	if err := h.entries(func(off uint64, old []byte) { list = append(list, ent{off, old}) }); err != nil {
		return err
	}
	for i := len(list) - 1; i >= 0; i-- {
		copy(dst[list[i].off:], list[i].old)
	}
	return nil
}
