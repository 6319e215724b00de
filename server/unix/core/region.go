package core

import (
	"hythe/abi"
	"hythe/store"
)

// Region is memory of a process that is an object of its own, so that processes can
// share it: those which Clone makes with CloneArgs.Share have it too, others a copy of
// what is in it. All else of a process's memory is copied by the host's fork.
type Region struct {
	Refs       uint32
	_          uint32
	Addr, Size uint64 // where it is mapped: at the same place in all processes
	Used       uint64 // how far there may be anything in it
	Object     ObjectName
	// Segs are parts of it, behind Used, that were given out; Size 0: none.
	Segs [MaxSegs]Segment
}

// Segment is a part of a Region.
type Segment struct{ Addr, Size uint64 }

// MaxSegs is how many parts of a region are given out.
const MaxSegs = 8

// inUse is how far there may be anything, parts included.
func (r *Region) inUse() uint64 {
	for i := range r.Segs {
		if r.Segs[i].Size > 0 {
			return r.Size
		}
	}
	return r.Used
}

// NewRegion gives the caller's process a region of size bytes at addr and maps it, for
// reading and writing. What it had before (an interrupted start's) it gives up. It gives
// up the lock.
func (c *Call) NewRegion(addr, size, used uint64) abi.Errno {
	k := c.K
	k.leaveRegion(c.ProcRef())
	var obj ObjectName
	var e abi.Errno
	c.Unlocked(func() { obj, _, e = k.Host.NewObject(size, "") })
	if e != 0 {
		return abi.ENOMEM
	}
	r, m := k.Regions.New()
	if r == 0 {
		k.DropObject(obj)
		return abi.ENOMEM
	}
	*m = Region{Refs: 1, Addr: addr, Size: size, Used: used, Object: obj}
	c.MutProc().Region = r
	c.mapRegion()
	return 0
}

// Region answers the region of the caller's process, nil if it has none.
func (c *Call) Region() *Region { return c.K.Regions.Get(c.Proc().Region) }

// MutRegion answers it to change.
func (c *Call) MutRegion() *Region { return c.K.Regions.Mut(c.Proc().Region) }

// ClearRegion makes whole pages of the caller's region zero, from one address to another. Their
// memory is given back: there may be more of it than anybody has touched. It gives up the
// lock. ENOMEM.
func (c *Call) ClearRegion(from, to uint64) abi.Errno {
	k, r := c.K, c.Proc().Region
	at := *k.Regions.Get(r)
	k.Regions.Mut(r).Refs++ // it stays while it is cleared
	var e abi.Errno
	c.Unlocked(func() { e = k.Host.ClearObject(at.Object, from-at.Addr, to-from) })
	k.dropRegion(r)
	return e
}

// mapRegion maps the caller's region where it belongs.
func (c *Call) mapRegion() {
	const read, write, shared, fixed = 1, 2, 1, 0x10 // of the host's mmap
	r := c.Region()
	tag := c.K.NextGrant()
	c.K.Host.Grant(c.Task, r.Object, false, tag)
	c.Act(abi.ActMapObject, uint32(tag)<<8, r.Addr, r.Size, read|write, shared|fixed, 0)
	c.Act(abi.ActDropGrant, abi.ActIgnore, tag)
}

// mapNewRegion maps a child's copy over what it has from its parent.
func (c *Call) mapNewRegion() {
	if c.Proc().RegionNew != 0 {
		c.mapRegion()
		c.MutProc().RegionNew = 0
	}
}

// childRegion answers the region of a child that is about to be made, which belongs to
// the caller: shared, or a copy. It gives up the lock.
func (c *Call) childRegion(a *CloneArgs) (store.Ref[Region], abi.Errno) {
	k := c.K
	old := c.Proc().Region
	if old == 0 {
		return 0, 0
	}
	if a.Share {
		k.Regions.Mut(old).Refs++
		return old, 0
	}
	src := *k.Regions.Get(old)
	k.Regions.Mut(old).Refs++ // it stays while it is copied
	var obj ObjectName
	var e abi.Errno
	c.Unlocked(func() { obj, e = k.Host.CopyObject(src.Object, src.inUse(), src.Size) })
	k.dropRegion(old)
	if e != 0 {
		return 0, abi.ENOMEM
	}
	r, m := k.Regions.New()
	if r == 0 {
		k.DropObject(obj)
		return 0, abi.ENOMEM
	}
	*m = src
	m.Refs, m.Object = 1, obj
	return r, 0
}

// inherit gives a child that was just made its region and its named values.
func (c *Call) inherit(a *CloneArgs, p store.Ref[Proc], region store.Ref[Region]) abi.Errno {
	k := c.K
	m := k.Procs.Mut(p)
	m.Region, m.Meet = region, c.Proc().Meet
	k.Threads.Mut(m.Leader).Frame = c.Thread().Frame
	if region != 0 && !a.Share {
		m.RegionNew = 1
	}
	if a.Alone {
		m.Flags |= ProcAutoReap
	}
	for i, d := range c.Proc().Dicts {
		n, e := k.childDict(d, a.Dicts[i])
		if e != 0 {
			return e
		}
		k.Procs.Mut(p).Dicts[i] = n
	}
	return 0
}

// leaveRegion takes its region from a process that ends or executes.
func (k *Kernel) leaveRegion(p store.Ref[Proc]) {
	if r := k.Procs.Get(p).Region; r != 0 {
		m := k.Procs.Mut(p)
		m.Region, m.RegionNew = 0, 0
		k.dropRegion(r)
	}
}

func (k *Kernel) dropRegion(r store.Ref[Region]) {
	if r == 0 {
		return
	}
	m := k.Regions.Mut(r)
	if m.Refs--; m.Refs == 0 {
		obj := m.Object
		k.Regions.Free(r)
		k.DropObject(obj)
	}
}
