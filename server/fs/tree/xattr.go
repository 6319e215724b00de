package tree

import (
	"hythe/abi"
	"hythe/store"
)

// Flags of SetXattr.
const (
	xattrCreate  = 1
	xattrReplace = 2
)

func (t *Tree) findXattr(r Ref, name string) (at, prev store.Ref[xattr]) {
	for x := t.inodes.Get(r).Xattrs; x != 0; {
		rec := t.xattrs.Get(x)
		if string(t.h.Bytes(rec.Name)[:rec.NameLen]) == name {
			return x, prev
		}
		prev, x = x, rec.Next
	}
	return 0, 0
}

func (t *Tree) freeXattr(x store.Ref[xattr], rec *xattr) {
	t.freeBlock(rec.Name)
	t.freeBlock(rec.Val)
	t.xattrs.Free(x)
}

// GetXattr answers a value. ENODATA.
func (t *Tree) GetXattr(r Ref, name string) ([]byte, abi.Errno) {
	x, _ := t.findXattr(r, name)
	if x == 0 {
		return nil, abi.ENODATA
	}
	rec := t.xattrs.Get(x)
	return append([]byte{}, t.h.Bytes(rec.Val)[:rec.ValLen]...), 0
}

// SetXattr stores a value. EEXIST, ENODATA, ERANGE, E2BIG, ENOSPC.
func (t *Tree) SetXattr(r Ref, name string, value []byte, flags uint32) abi.Errno {
	if name == "" || len(name) > xattrNameMax {
		return abi.ERANGE
	}
	if len(value) > xattrSizeMax {
		return abi.E2BIG
	}
	if flags&^(xattrCreate|xattrReplace) != 0 {
		return abi.EINVAL
	}
	x, _ := t.findXattr(r, name)
	if x != 0 && flags&xattrCreate != 0 {
		return abi.EEXIST
	}
	if x == 0 && flags&xattrReplace != 0 {
		return abi.ENODATA
	}
	val, err := t.putBytes(value)
	if err != 0 {
		return err
	}
	if x != 0 {
		rec := t.xattrs.Mut(x)
		t.freeBlock(rec.Val)
		rec.Val, rec.ValLen = val, uint32(len(value))
		return 0
	}
	if len(t.ListXattr(r))+len(name)+1 > xattrListMax {
		return abi.ENOSPC // else nobody could list them any more
	}
	nb, err := t.putBytes([]byte(name))
	if err != 0 {
		return err
	}
	x, rec := t.xattrs.New()
	if rec == nil {
		return abi.ENOSPC
	}
	in := t.inodes.Mut(r)
	rec.Name, rec.NameLen, rec.Val, rec.ValLen, rec.Next = nb, uint32(len(name)), val, uint32(len(value)), in.Xattrs
	in.Xattrs = x
	return 0
}

// ListXattr answers the names, each with a NUL behind it.
func (t *Tree) ListXattr(r Ref) []byte {
	var out []byte
	for x := t.inodes.Get(r).Xattrs; x != 0; {
		rec := t.xattrs.Get(x)
		out = append(out, t.h.Bytes(rec.Name)[:rec.NameLen]...)
		out = append(out, 0)
		x = rec.Next
	}
	return out
}

// RemoveXattr takes a value away. ENODATA.
func (t *Tree) RemoveXattr(r Ref, name string) abi.Errno {
	x, prev := t.findXattr(r, name)
	if x == 0 {
		return abi.ENODATA
	}
	rec := t.xattrs.Get(x)
	next := rec.Next
	if prev != 0 {
		t.xattrs.Mut(prev).Next = next
	} else {
		t.inodes.Mut(r).Xattrs = next
	}
	t.freeXattr(x, rec)
	return 0
}
