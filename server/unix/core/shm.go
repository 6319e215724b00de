package core

import (
	"math"

	"hythe/abi"
	"hythe/store"
)

// System V shared memory (sysvipc(7), shmget(2), shmop(2), shmctl(2)): a
// segment is a memory object of the nucleus, which this server holds until the
// segment is removed and nobody has it attached any more.

// ShmSeg is a segment.
type ShmSeg struct {
	IPCPerm
	Removed             uint32 // shmctl(IPC_RMID) was called: it goes with its last attachment
	Attached            uint32
	CPid, LPid          int32
	Size                uint64 // as asked for, in bytes
	ATime, DTime, CTime int64  // seconds
	Object              ObjectName
}

// ShmAt is an attachment: a segment in the memory of a process.
type ShmAt struct {
	Proc store.Ref[Proc]
	Seg  store.Ref[ShmSeg]
	Addr uint64
}

// ShmMax is how many segments a machine has (SHMMNI).
const ShmMax = 1 << shmShift

const shmShift = 12

// ShmFind finds a segment by its id; 0 if there is none.
func (k *Kernel) ShmFind(id int32) store.Ref[ShmSeg] { return ipcFind(k.Shms, id, shmShift) }

// ShmKey finds a segment by its key, 0 if there is none. Removed ones have lost
// theirs.
func (k *Kernel) ShmKey(key int32) store.Ref[ShmSeg] { return ipcKey(k.Shms, key) }

// ShmNew makes a segment of size bytes. It gives up the lock. ENOSPC: too
// many; ENOMEM: the machine has not so much; EEXIST: somebody else made one of
// this key meanwhile.
func (c *Call) ShmNew(key int32, size uint64, mode uint32) (store.Ref[ShmSeg], abi.Errno) {
	k := c.K
	if size > math.MaxInt64-abi.PageSize || size > k.Use().Total {
		return 0, abi.ENOMEM
	}
	var obj ObjectName
	var e abi.Errno
	c.Unlocked(func() { obj, e = k.Host.NewObject((size+abi.PageSize-1)&^(abi.PageSize-1), "") })
	if e != 0 {
		return 0, abi.ENOMEM
	}
	drop := func(e abi.Errno) (store.Ref[ShmSeg], abi.Errno) {
		k.DropObject(obj)
		return 0, e
	}
	if key != 0 && k.ShmKey(key) != 0 {
		return drop(abi.EEXIST)
	}
	r, s := k.Shms.New()
	if r == 0 {
		return drop(abi.ENOSPC)
	}
	*s = ShmSeg{IPCPerm: c.ipcNew(key, mode, uint32(r-1), shmShift), CPid: c.Proc().Pid, Size: size, CTime: k.Clock.Real() / 1e9, Object: obj}
	return r, 0
}

// ShmAttach notes that the caller's process has a segment at addr. ENOMEM: too
// many attachments.
func (c *Call) ShmAttach(r store.Ref[ShmSeg], addr uint64) abi.Errno {
	k := c.K
	at, a := k.ShmAts.New()
	if at == 0 {
		return abi.ENOMEM
	}
	*a = ShmAt{Proc: c.ProcRef(), Seg: r, Addr: addr}
	m := k.Shms.Mut(r)
	m.Attached++
	m.LPid = c.Proc().Pid
	m.ATime = k.Clock.Real() / 1e9
	// What a mapping in the same place replaces is given up.
	var gone []store.Ref[ShmAt]
	size := m.Size
	k.ShmAts.Each(func(r store.Ref[ShmAt], a *ShmAt) bool {
		if r != at && a.Proc == c.ProcRef() && a.Addr >= addr && a.Addr+k.Shms.Get(a.Seg).Size <= addr+size {
			gone = append(gone, r)
		}
		return true
	})
	for _, r := range gone {
		k.shmDrop(r)
	}
	return 0
}

// ShmDetach takes note of the caller's attachment at addr being given up and
// answers its length. EINVAL: there is none.
func (c *Call) ShmDetach(addr uint64) (uint64, abi.Errno) {
	k := c.K
	p := c.ProcRef()
	var at store.Ref[ShmAt]
	k.ShmAts.Each(func(r store.Ref[ShmAt], a *ShmAt) bool {
		if a.Proc == p && a.Addr == addr {
			at = r
		}
		return at == 0
	})
	if at == 0 {
		return 0, abi.EINVAL
	}
	size := k.Shms.Get(k.ShmAts.Get(at).Seg).Size
	k.shmDrop(at)
	return (size + abi.PageSize - 1) &^ (abi.PageSize - 1), 0
}

func (k *Kernel) shmDrop(at store.Ref[ShmAt]) {
	a := k.ShmAts.Get(at)
	r, pid := a.Seg, int32(0)
	if p := k.Procs.Get(a.Proc); p != nil {
		pid = p.Pid
	}
	k.ShmAts.Free(at)
	m := k.Shms.Mut(r)
	m.Attached--
	m.LPid = pid
	m.DTime = k.Clock.Real() / 1e9
	k.shmReap(r)
}

// ShmRemove marks a segment as removed.
func (k *Kernel) ShmRemove(r store.Ref[ShmSeg]) {
	m := k.Shms.Mut(r)
	m.Removed = 1
	m.Key = 0
	k.shmReap(r)
}

func (k *Kernel) shmReap(r store.Ref[ShmSeg]) {
	if s := k.Shms.Get(r); s.Removed != 0 && s.Attached == 0 {
		obj := s.Object
		k.Shms.Free(r)
		k.DropObject(obj)
	}
}

// shmFork gives a child that is a copy of its parent's memory the same
// attachments. When the table is full the child has them all the same; only
// the counts are too small.
func (k *Kernel) shmFork(parent, child store.Ref[Proc]) {
	if k.ShmAts.Len() == 0 {
		return
	}
	var l []ShmAt
	k.ShmAts.Each(func(_ store.Ref[ShmAt], a *ShmAt) bool {
		if a.Proc == parent {
			l = append(l, *a)
		}
		return true
	})
	for _, a := range l {
		if at, m := k.ShmAts.New(); at != 0 {
			*m = ShmAt{Proc: child, Seg: a.Seg, Addr: a.Addr}
			k.Shms.Mut(a.Seg).Attached++
		}
	}
}

// shmLeave ends the attachments of a process that ends or executes.
func (k *Kernel) shmLeave(p store.Ref[Proc]) {
	if k.ShmAts.Len() == 0 {
		return
	}
	var l []store.Ref[ShmAt]
	k.ShmAts.Each(func(r store.Ref[ShmAt], a *ShmAt) bool {
		if a.Proc == p {
			l = append(l, r)
		}
		return true
	})
	for _, r := range l {
		k.shmDrop(r)
	}
}
