package store

import (
	"fmt"
	"hash/fnv"
	"reflect"
	"sync/atomic"
)

// Ref names a record of a Table[T]; 0 names none. It is plain data and may be
// a field of a record.
type Ref[T any] uint32

// tableDir describes a table in the memory.
type tableDir struct {
	ID      uint32
	Max     uint32
	RecSize uint64
	Layout  uint64 // hash of the record's fields
	MetaOff uint64
	RecOff  uint64
	High    uint32 // records from here on were never used; an upper bound, not logged
	_       [12]byte
	End     uint64
}

const tableDirSize = 64

type tableSpan struct {
	name             string
	metaOff, metaEnd uint64
	recOff, recEnd   uint64
	recSize          uint64
}

// Table is an array of records of type T in a heap. Records never move.
//
// A record has a generation, which changes whenever its place is given out, so
// that a holder of an old reference outside the heap can tell.
type Table[T any] struct {
	h      *Heap
	dir    *tableDir
	idx    uint8
	size   uint64
	rec    uint64   // offset of record 0
	meta   []uint32 // generation<<1 | live
	high   uint32
	n      int
	free   []uint32 // indices ready for use; derived
	logged []uint32 // transaction in which the record was last logged or made
}

// NewTable declares the table with number id (0..111, unique in the heap) for at
// most max records. Every start of the server declares the same tables. It
// panics when T holds a pointer, or when the heap has the table with another
// layout or another max (the heap's version must change then), or when the
// memory is too small.
func NewTable[T any](h *Heap, id int, max uint32) *Table[T] {
	typ := reflect.TypeFor[T]()
	if bad := pointerIn(typ, typ.String()); bad != "" {
		panic("store: record holds a pointer: " + bad)
	}
	if id < 0 || id >= maxTables || max == 0 || max > 1<<30 {
		panic(fmt.Sprintf("store: table %d of %d records is out of range", id, max))
	}
	if h.in {
		panic("store: NewTable inside a transaction")
	}
	for _, t := range h.tables {
		if t != nil && t.span().name == tableName(typ, id) {
			panic(fmt.Sprintf("store: table %d declared twice", id))
		}
	}
	size := (sizeOf[T]() + 7) &^ 7
	if size == 0 {
		size = 8
	}
	hash := fnv.New64a()
	describeLayout(hash, typ)
	layout := hash.Sum64()

	n := h.hdr.NTables
	end := h.hdr.TabOff
	var dir *tableDir
	var idx uint32
	for i := uint32(0); i < n; i++ {
		d := at[tableDir](h.mem, dirOff+uint64(i)*tableDirSize)
		if d.ID == uint32(id) {
			dir, idx = d, i
		}
		end = d.End
	}
	if dir == nil {
		if n == maxTables {
			panic("store: too many tables")
		}
		idx = n
		dir = at[tableDir](h.mem, dirOff+uint64(n)*tableDirSize)
		meta := (end + 63) &^ 63
		rec := (meta + uint64(max)*4 + 4095) &^ 4095
		last := rec + uint64(max)*size
		if last > h.hdr.TabEnd {
			panic(fmt.Sprintf("store: table %d (%s, %d records of %d bytes) does not fit a heap of %d bytes", id, typ, max, size, len(h.mem)))
		}
		*dir = tableDir{ID: uint32(id), Max: max, RecSize: size, Layout: layout, MetaOff: meta, RecOff: rec, End: last}
		atomic.StoreUint32(&h.hdr.NTables, n+1)
	}
	if dir.Layout != layout || dir.RecSize != size || dir.Max != max {
		panic(fmt.Sprintf("store: table %d (%s) was made with another layout; the heap's version must change with it", id, typ))
	}
	if dir.High > dir.Max || dir.RecOff+uint64(dir.Max)*size > h.hdr.TabEnd || dir.MetaOff < h.hdr.TabOff || dir.MetaOff+uint64(max)*4 > dir.RecOff {
		panic(fmt.Sprintf("store: directory entry of table %d is corrupt", id))
	}
	t := &Table[T]{h: h, dir: dir, idx: uint8(idx), size: size, rec: dir.RecOff, high: dir.High}
	t.meta = words(h.mem, dir.MetaOff, max)
	t.logged = make([]uint32, t.high, t.high+64)
	for i := int(t.high) - 1; i >= 0; i-- { // downwards: low numbers are used first
		if t.meta[i]&1 == 0 {
			t.free = append(t.free, uint32(i))
		} else {
			t.n++
		}
	}
	h.tables[idx] = t
	if h.check != nil {
		h.check.end(h)
	}
	return t
}

func tableName(typ reflect.Type, id int) string { return fmt.Sprintf("table %d (%s)", id, typ) }

// New gives a zeroed record and its reference, or 0 and nil when the table is
// full. It needs no Mut until the end of the transaction.
func (t *Table[T]) New() (Ref[T], *T) {
	t.h.must("New")
	var i uint32
	if k := len(t.free); k > 0 {
		i = t.free[k-1]
		t.free = t.free[:k-1]
	} else {
		if t.high == t.dir.Max {
			return 0, nil
		}
		i = t.high
		t.high++
		t.dir.High = t.high // visible before the meta word: save publishes it
		t.logged = append(t.logged, 0)
	}
	t.h.ops = append(t.h.ops, op{kind: opNew, tab: t.idx, ref: i})
	p := at[T](t.h.mem, t.rec+uint64(i)*t.size)
	var zero T
	*p = zero // nothing committed refers to it: no log
	t.h.point("record cleared")
	t.h.save(t.dir.MetaOff+uint64(i)*4, 4)
	t.meta[i] = (t.meta[i]&^1 + 2) | 1 // next generation (bits 1 and up), live (bit 0)
	t.h.point("record made")
	t.logged[i] = t.h.tx
	t.n++
	return Ref[T](i + 1), p
}

// Get gives a record to read, or nil when r is 0 or names a free record. The
// pointer is good until the record is freed; it must not be written through.
func (t *Table[T]) Get(r Ref[T]) *T {
	i := uint32(r) - 1
	if i >= t.high || t.meta[i]&1 == 0 {
		return nil
	}
	return at[T](t.h.mem, t.rec+uint64(i)*t.size)
}

// Mut gives a record to change until the end of the transaction, after it has
// logged the record's bytes (once for each transaction). It panics when r is 0
// or free, and outside a transaction.
func (t *Table[T]) Mut(r Ref[T]) *T {
	i := uint32(r) - 1
	if i >= t.high || t.meta[i]&1 == 0 {
		panic(fmt.Sprintf("store: Mut of record %d of %s, which is free", r, t.span().name))
	}
	off := t.rec + uint64(i)*t.size
	if t.logged[i] != t.h.tx || !t.h.in {
		t.h.save(off, t.size)
		t.logged[i] = t.h.tx
	}
	return at[T](t.h.mem, off)
}

// Free gives a record back; its place is given out again only after the
// transaction. It panics when r is 0 or free.
func (t *Table[T]) Free(r Ref[T]) {
	t.h.must("Free")
	i := uint32(r) - 1
	if i >= t.high || t.meta[i]&1 == 0 {
		panic(fmt.Sprintf("store: Free of record %d of %s, which is free", r, t.span().name))
	}
	t.h.ops = append(t.h.ops, op{kind: opFree, tab: t.idx, ref: i})
	t.h.save(t.dir.MetaOff+uint64(i)*4, 4)
	t.meta[i] &^= 1
	t.h.point("record freed")
	t.n--
}

// Gen is the generation of a record: it changes each time the place is given
// out. 0 for references that were never given out.
func (t *Table[T]) Gen(r Ref[T]) uint32 {
	i := uint32(r) - 1
	if i >= t.high {
		return 0
	}
	return t.meta[i] >> 1
}

// Each calls f for every record in the order of references until f answers
// false. f may free the record that it is given, and make others (which it may
// or may not be given).
func (t *Table[T]) Each(f func(Ref[T], *T) bool) {
	for i := uint32(0); i < t.high; i++ {
		if t.meta[i]&1 != 0 && !f(Ref[T](i+1), at[T](t.h.mem, t.rec+uint64(i)*t.size)) {
			return
		}
	}
}

// Len is the number of records.
func (t *Table[T]) Len() int { return t.n }

// Max is the number of records that fit.
func (t *Table[T]) Max() int { return int(t.dir.Max) }

// release makes a place usable again and corrects the count; with a delta of
// +1 (an undone Free) there is only the count to correct.
func (t *Table[T]) release(i uint32, delta int) {
	t.n += delta
	if delta <= 0 {
		t.free = append(t.free, i)
	}
}

func (t *Table[T]) clearEpochs() { clear(t.logged) }

func (t *Table[T]) span() tableSpan {
	d := t.dir
	return tableSpan{tableName(reflect.TypeFor[T](), int(d.ID)), d.MetaOff, d.MetaOff + uint64(t.high)*4,
		d.RecOff, d.RecOff + uint64(t.high)*d.RecSize, d.RecSize}
}

func (t *Table[T]) describe(off uint64) string {
	s := t.span()
	switch {
	case off >= s.recOff && off < s.recEnd:
		i := (off - s.recOff) / s.recSize
		return fmt.Sprintf("%s record %d, byte %d (%s)", s.name, i+1, (off-s.recOff)%s.recSize, fieldAt(reflect.TypeFor[T](), uintptr((off-s.recOff)%s.recSize)))
	case off >= s.metaOff && off < s.metaEnd:
		return fmt.Sprintf("%s state of record %d", s.name, (off-s.metaOff)/4+1)
	}
	return ""
}

func fieldAt(t reflect.Type, off uintptr) string {
	if t.Kind() != reflect.Struct {
		return t.String()
	}
	for i := t.NumField() - 1; i >= 0; i-- {
		f := t.Field(i)
		if off >= f.Offset {
			if f.Type.Kind() == reflect.Struct {
				return f.Name + "." + fieldAt(f.Type, off-f.Offset)
			}
			return f.Name
		}
	}
	return "?"
}

// pointerIn names the first part of t that holds a Go pointer, or "".
func pointerIn(t reflect.Type, path string) string {
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return ""
	case reflect.Array:
		return pointerIn(t.Elem(), path+"[]")
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if bad := pointerIn(f.Type, path+"."+f.Name); bad != "" {
				return bad
			}
		}
		return ""
	}
	return path + " " + t.String()
}

func describeLayout(w interface{ Write([]byte) (int, error) }, t reflect.Type) {
	switch t.Kind() {
	case reflect.Struct:
		fmt.Fprintf(w, "{%d", t.Size())
		for i := range t.NumField() {
			f := t.Field(i)
			fmt.Fprintf(w, ";%s@%d:", f.Name, f.Offset)
			describeLayout(w, f.Type)
		}
		fmt.Fprint(w, "}")
	case reflect.Array:
		fmt.Fprintf(w, "[%d]", t.Len())
		describeLayout(w, t.Elem())
	default:
		fmt.Fprint(w, t.Kind().String())
	}
}
