// Package vm is the nucleus's memory objects: storage of the machine with a
// count of the rights to it. An object lives as long as a right to it exists,
// whoever made it.
package vm

import (
	"slices"

	"hythe/abi"
	"hythe/machine"
)

// Object is a memory object.
type Object struct {
	ID    uint64
	Size  uint64 // bytes
	Label []byte // the durable label that its maker gave it
	h     machine.Handle
	ro    machine.Handle // made when first needed
	refs  int
	// Frozen: written by nobody any more.
	Frozen bool
	// Addr is the address that it alone has in the machine, 0 if it has none.
	Addr uint64
	// Payer is whom the object costs Cost, nil for nobody.
	Payer any
	Cost  int
	// Pager is what the nucleus knows of who supplies the pages, nil for memory that is
	// there.
	Pager any
	// Handed: there were two references or more since somebody last said no.
	Handed bool
	table  *Table
}

// Table is all objects of one nucleus.
type Table struct {
	m    machine.Machine
	next uint64
	live map[uint64]*Object
	// placed are the objects with an address, in its order, and from where on the next is
	// looked for: an address is given again late, since it may be mapped still where the right is gone.
	placed []*Object
	from   uint64
	// Charge is told what a payer pays more or, negative, has back.
	Charge func(payer any, bytes int)
	// Gone is told of an object whose last right is gone.
	Gone func(*Object)
	// Dropped is told of an object that has one reference less, and others.
	Dropped func(*Object)
}

// Cost is what an object costs the budget of who pays for it, until nobody has a
// right to it any more: of the host's descriptors the nucleus has not many.
const Cost = 64 << 10

// NewTable makes an empty table over m.
func NewTable(m machine.Machine) *Table {
	return &Table{m: m, live: map[uint64]*Object{}, Charge: func(any, int) {}, Gone: func(*Object) {}, Dropped: func(*Object) {}}
}

// CostOf is what an object costs: one with an address more than Cost, so that all that
// guests may make the nucleus keep does not use the addresses up.
func CostOf(size uint64, placed bool) int {
	if placed {
		return Cost + int(size>>15)
	}
	return Cost
}

// placeUnit is what addresses are multiples of: a large page of the host's.
const placeUnit = 2 << 20

// Place gives an object an address that no other has; false: there is none. It looks at
// each object with an address twice at most.
func (t *Table) Place(o *Object) bool {
	size := (o.Size + placeUnit - 1) &^ (placeUnit - 1)
	for _, at := range [...]uint64{max(t.from, abi.PlacedBase), abi.PlacedBase} {
		i := 0
		for ; i < len(t.placed) && t.placed[i].Addr < at+size; i++ {
			if p := t.placed[i]; p.Addr+p.Size > at { // it is in the way
				at = (p.Addr + p.Size + placeUnit - 1) &^ (placeUnit - 1)
			}
		}
		if at+size <= abi.PlacedEnd {
			o.Addr, t.from = at, at+size
			t.placed = slices.Insert(t.placed, i, o)
			return true
		}
	}
	return false
}

// Len is the number of objects that live.
func (t *Table) Len() int { return len(t.live) }

// Each calls f for every object, in no particular order.
func (t *Table) Each(f func(*Object)) {
	for _, o := range t.live {
		f(o)
	}
}

// Adopt makes an object of a handle; it owns the handle's reference. The
// object starts with one reference, the caller's.
func (t *Table) Adopt(h machine.Handle, size uint64, label []byte) *Object {
	t.next++
	o := &Object{ID: t.next, Size: size, Label: label, h: h, refs: 1, table: t}
	t.live[o.ID] = o
	return o
}

// Refs is the number of references.
func (o *Object) Refs() int { return o.refs }

// Retain adds a reference.
func (o *Object) Retain() {
	o.refs++
	o.Handed = o.Handed || o.refs > 1
}

// Release drops one reference; the last gives the storage back to the machine.
func (o *Object) Release() {
	o.refs--
	if o.refs > 0 {
		o.table.Dropped(o)
		return
	}
	o.h.Release()
	if o.ro != nil {
		o.ro.Release()
	}
	delete(o.table.live, o.ID)
	if o.Addr != 0 {
		o.table.placed = slices.DeleteFunc(o.table.placed, func(p *Object) bool { return p == o })
	}
	o.table.Gone(o)
	if o.Payer != nil {
		o.table.Charge(o.Payer, -o.Cost)
	}
}

// Handle is the object's storage to give away, writable or not. It stays the
// object's: a context that posts it retains it.
func (o *Object) Handle(readOnly bool) (machine.Handle, error) {
	if !readOnly {
		return o.h, nil
	}
	if o.ro == nil {
		ro, err := o.table.m.ReadOnly(o.h)
		if err != nil {
			return nil, err
		}
		o.ro = ro
	}
	return o.ro, nil
}

// Freeze forbids writing for good, for a copy-on-write transfer.
func (o *Object) Freeze() error {
	if o.Frozen {
		return nil
	}
	if err := o.table.m.Freeze(o.h); err != nil {
		return err
	}
	o.Frozen = true
	return nil
}
