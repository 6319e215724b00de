// Package vm is the nucleus's memory objects: storage of the machine with a
// count of the rights to it. An object lives as long as a right to it exists,
// whoever made it.
package vm

import "hythe/machine"

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
	// Payer is whom the object costs Cost, nil for nobody.
	Payer any
	// Pager is what the nucleus knows of who supplies the pages, nil for memory that is
	// there.
	Pager any
	table *Table
}

// Table is all objects of one nucleus.
type Table struct {
	m    machine.Machine
	next uint64
	live map[uint64]*Object
	// Charge is told what a payer pays more or, negative, has back.
	Charge func(payer any, bytes int)
	// Gone is told of an object whose last right is gone.
	Gone func(*Object)
}

// Cost is what an object costs the budget of who pays for it, until nobody has a
// right to it any more: of the host's descriptors the nucleus has not many.
const Cost = 64 << 10

// NewTable makes an empty table over m.
func NewTable(m machine.Machine) *Table {
	return &Table{m: m, live: map[uint64]*Object{}, Charge: func(any, int) {}, Gone: func(*Object) {}}
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
func (o *Object) Retain() { o.refs++ }

// Release drops one reference; the last gives the storage back to the machine.
func (o *Object) Release() {
	o.refs--
	if o.refs > 0 {
		return
	}
	o.h.Release()
	if o.ro != nil {
		o.ro.Release()
	}
	delete(o.table.live, o.ID)
	o.table.Gone(o)
	if o.Payer != nil {
		o.table.Charge(o.Payer, -Cost)
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
