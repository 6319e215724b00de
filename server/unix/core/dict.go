package core

import (
	"hythe/abi"
	"hythe/store"
)

// Dict is a set of named values that belongs to a process and may be shared by several:
// environments and name spaces, of systems that have them outside of a program's memory.
// Size is how many bytes its values have together.
type Dict struct {
	Refs  uint32
	Count uint32
	First store.Ref[DictEnt]
	Size  uint32
}

// DictEnt is one of them, of Dict In. Vers counts its changes. File is an open file that
// it holds, 0 for none.
type DictEnt struct {
	Next        store.Ref[DictEnt]
	In          store.Ref[Dict]
	Vers        uint32
	File        store.Ref[File]
	Name, Value store.Block
}

// Which Dict of a process.
const (
	DictEnv   = 0
	DictNames = 1
	NumDicts  = 2
)

// What a child has (CloneArgs.Dicts).
const (
	DictShared = 0
	DictCopied = 1
	DictEmpty  = 2
)

// How many values a Dict has, how long each is, and all together.
const (
	maxDict     = 4096
	maxValue    = 1 << 20
	maxDictSize = 8 << 20
)

// Text is a short text in a record: up to the first NUL.
type Text [128]byte

// MakeText makes one, which may be cut.
func MakeText(s string) (t Text) {
	copy(t[:len(t)-1], s)
	return t
}

func (t *Text) String() string {
	n := 0
	for n < len(t) && t[n] != 0 {
		n++
	}
	return string(t[:n])
}

// Dict answers a set of the caller's process, and makes it if there is none. 0: there
// is no room.
func (c *Call) Dict(which int) store.Ref[Dict] {
	if d := c.Proc().Dicts[which]; d != 0 {
		return d
	}
	return c.NewDict(which)
}

// NewDict gives the caller's process an empty set in place of what it had.
func (c *Call) NewDict(which int) store.Ref[Dict] {
	d, m := c.K.Dicts.New()
	if d != 0 {
		*m = Dict{Refs: 1}
	}
	c.SetDict(which, d)
	return d
}

// SetDict makes d, of which a reference is handed over, a set of the caller's process.
func (c *Call) SetDict(which int, d store.Ref[Dict]) {
	old := c.Proc().Dicts[which]
	c.MutProc().Dicts[which] = d
	c.K.dropDict(old)
}

// SplitDict gives the caller's process a set of its own: a copy, or an empty one.
func (c *Call) SplitDict(which, how int) abi.Errno {
	n, e := c.K.childDict(c.Proc().Dicts[which], how)
	if e == 0 {
		c.SetDict(which, n)
	}
	return e
}

func (k *Kernel) childDict(d store.Ref[Dict], how int) (store.Ref[Dict], abi.Errno) {
	switch {
	case d == 0 || how == DictEmpty:
		return 0, 0
	case how == DictShared:
		k.Dicts.Mut(d).Refs++
		return d, 0
	}
	n, m := k.Dicts.New()
	if n == 0 {
		return 0, abi.ENOMEM
	}
	*m = Dict{Refs: 1}
	var e abi.Errno
	k.EachInDict(d, func(name string, value []byte) bool {
		e = k.DictHold(n, name, value, k.DictFile(k.DictLookup(d, name)))
		return e == 0
	})
	if e != 0 {
		k.dropDict(n)
		return 0, e
	}
	return n, 0
}

// PostedDict is the set of the machine, whose open files everybody finds; 0 if there is
// none and it is not to be made, or there is no room.
func (k *Kernel) PostedDict(make bool) store.Ref[Dict] {
	if d := k.Globals().Posted; d != 0 || !make {
		return d
	}
	d, m := k.Dicts.New()
	if d != 0 {
		*m = Dict{Refs: 1}
		k.MutGlobals().Posted = d
	}
	return d
}

// DictHold stores a value that holds an open file, in place of the one it held. ENOSPC.
func (k *Kernel) DictHold(d store.Ref[Dict], name string, value []byte, f store.Ref[File]) abi.Errno {
	if e := k.DictSet(d, name, value); e != 0 {
		return e
	}
	r := k.DictLookup(d, name)
	old := k.DictEnts.Get(r).File
	if f == old {
		return 0
	}
	if f != 0 {
		k.HoldFile(f)
	}
	k.DictEnts.Mut(r).File = f
	if old != 0 {
		k.DropFile(nil, old)
	}
	return 0
}

// DictFile is the open file that an entry holds.
func (k *Kernel) DictFile(r store.Ref[DictEnt]) store.Ref[File] {
	if e := k.DictEnts.Get(r); e != nil {
		return e.File
	}
	return 0
}

// EachInDict calls fn for each value until it answers false.
func (k *Kernel) EachInDict(d store.Ref[Dict], fn func(name string, value []byte) bool) {
	if d == 0 {
		return
	}
	for r := k.Dicts.Get(d).First; r != 0; {
		e := k.DictEnts.Get(r)
		next := e.Next
		if !fn(store.String(k.Heap, e.Name), k.Heap.Bytes(e.Value)) {
			return
		}
		r = next
	}
}

// dictFind answers the entry of a name and the one before it.
func (k *Kernel) dictFind(d store.Ref[Dict], name string) (r, prev store.Ref[DictEnt]) {
	if d == 0 {
		return 0, 0
	}
	for r = k.Dicts.Get(d).First; r != 0; r = k.DictEnts.Get(r).Next {
		if store.String(k.Heap, k.DictEnts.Get(r).Name) == name {
			return r, prev
		}
		prev = r
	}
	return 0, prev
}

// DictGet answers a value; it must be copied if it is to stay.
func (k *Kernel) DictGet(d store.Ref[Dict], name string) ([]byte, bool) {
	r, _ := k.dictFind(d, name)
	if r == 0 {
		return nil, false
	}
	return k.Heap.Bytes(k.DictEnts.Get(r).Value), true
}

// DictSet stores a value. ENOSPC.
func (k *Kernel) DictSet(d store.Ref[Dict], name string, value []byte) abi.Errno {
	if d == 0 {
		return abi.ENOSPC
	}
	r, last := k.dictFind(d, name)
	if r != 0 {
		return k.DictStore(r, value)
	}
	if k.Dicts.Get(d).Count >= maxDict {
		return abi.ENOSPC
	}
	r, m := k.DictEnts.New()
	if r == 0 {
		return abi.ENOSPC
	}
	*m = DictEnt{In: d, Name: store.PutString(k.Heap, name)}
	if m.Name.Nil() && name != "" {
		k.DictEnts.Free(r)
		return abi.ENOSPC
	}
	if e := k.DictStore(r, value); e != 0 {
		k.Heap.FreeBlock(k.DictEnts.Get(r).Name)
		k.DictEnts.Free(r)
		return e
	}
	if last == 0 {
		k.Dicts.Mut(d).First = r
	} else {
		k.DictEnts.Mut(last).Next = r
	}
	k.Dicts.Mut(d).Count++
	return 0
}

// DictLookup answers the entry of a name, 0 if there is none, for those who come back to
// it; its table says whether it is still there.
func (k *Kernel) DictLookup(d store.Ref[Dict], name string) store.Ref[DictEnt] {
	r, _ := k.dictFind(d, name)
	return r
}

// DictName and DictValue are what an entry says; DictStore changes it. ENOSPC.
func (k *Kernel) DictName(r store.Ref[DictEnt]) string {
	return store.String(k.Heap, k.DictEnts.Get(r).Name)
}

// DictValue is valid until the entry changes.
func (k *Kernel) DictValue(r store.Ref[DictEnt]) []byte {
	return k.Heap.Bytes(k.DictEnts.Get(r).Value)
}

// DictStore changes the value of an entry. ENOSPC.
func (k *Kernel) DictStore(r store.Ref[DictEnt], value []byte) abi.Errno {
	ent := k.DictEnts.Get(r)
	size := k.Dicts.Get(ent.In).Size - ent.Value.Len + uint32(len(value))
	if len(value) > maxValue || size > maxDictSize {
		return abi.ENOSPC
	}
	b := store.Block{}
	if len(value) > 0 {
		if b = k.Heap.Alloc(len(value)); b.Nil() {
			return abi.ENOSPC
		}
		copy(k.Heap.Bytes(b), value)
	}
	m := k.DictEnts.Mut(r)
	old := m.Value
	m.Value = b
	m.Vers++
	k.Dicts.Mut(m.In).Size = size
	k.Heap.FreeBlock(old)
	return 0
}

// DictRemove removes a value. ENOENT.
func (k *Kernel) DictRemove(d store.Ref[Dict], name string) abi.Errno {
	r, prev := k.dictFind(d, name)
	if r == 0 {
		return abi.ENOENT
	}
	e := *k.DictEnts.Get(r)
	if prev == 0 {
		k.Dicts.Mut(d).First = e.Next
	} else {
		k.DictEnts.Mut(prev).Next = e.Next
	}
	m := k.Dicts.Mut(d)
	m.Count--
	m.Size -= e.Value.Len
	k.freeDictEnt(r, &e)
	return 0
}

func (k *Kernel) freeDictEnt(r store.Ref[DictEnt], e *DictEnt) {
	k.Heap.FreeBlock(e.Name)
	k.Heap.FreeBlock(e.Value)
	k.DictEnts.Free(r)
	if e.File != 0 {
		k.DropFile(nil, e.File)
	}
}

// dropDict gives one up.
func (k *Kernel) dropDict(d store.Ref[Dict]) {
	if d == 0 {
		return
	}
	m := k.Dicts.Mut(d)
	if m.Refs > 1 {
		m.Refs--
		return
	}
	first := m.First
	k.Dicts.Free(d)
	for r := first; r != 0; {
		e := *k.DictEnts.Get(r)
		k.freeDictEnt(r, &e)
		r = e.Next
	}
}

// leaveDicts takes its sets from a process that ends.
func (k *Kernel) leaveDicts(p store.Ref[Proc]) {
	for i, d := range k.Procs.Get(p).Dicts {
		if d != 0 {
			k.Procs.Mut(p).Dicts[i] = 0
			k.dropDict(d)
		}
	}
}
