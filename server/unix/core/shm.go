package core

import (
	"fmt"
	"math"
	"strconv"
	"strings"

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
	File                HostFile // of Object
}

// HostFile is a file as the host shows it in maps.
type HostFile struct {
	Major, Minor uint32
	Ino          uint64
}

// maps is how a line of maps says it: device and number.
func (f HostFile) maps() string { return fmt.Sprintf("%02x:%02x %d", f.Major, f.Minor, f.Ino) }

// shmFiles are the segments by their files in maps.
func (k *Kernel) shmFiles() map[string]store.Ref[ShmSeg] {
	m := map[string]store.Ref[ShmSeg]{}
	k.Shms.Each(func(r store.Ref[ShmSeg], s *ShmSeg) bool {
		if s.File.Ino != 0 {
			m[s.File.maps()] = r
		}
		return true
	})
	return m
}

// ShmAt is an attachment: a segment in the memory of a process.
type ShmAt struct {
	Proc store.Ref[Proc]
	Seg  store.Ref[ShmSeg]
	Addr uint64
	// Parts is in how many mappings it is, of which each one counts. What munmap,
	// mprotect, mremap and mmap do to them, which the library has the host do, is seen
	// when somebody asks (ShmCount).
	Parts uint32
	Pages uint32 // all together
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
	var file HostFile
	var e abi.Errno
	c.Unlocked(func() { obj, file, e = k.Host.NewObject((size+abi.PageSize-1)&^(abi.PageSize-1), "") })
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
	*s = ShmSeg{IPCPerm: c.ipcNew(key, mode, uint32(r-1), shmShift), CPid: c.Proc().Pid, Size: size, CTime: k.Clock.Real() / 1e9, Object: obj, File: file}
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
	*a = ShmAt{Proc: c.ProcRef(), Seg: r, Addr: addr, Parts: 1, Pages: uint32(pageUp(k.Shms.Get(r).Size) / abi.PageSize)}
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

// shmPart is a mapping of a part of a segment.
type shmPart struct {
	from, to, off uint64
	seg           store.Ref[ShmSeg]
}

// shmParts are the mappings of segments that a process has, by address. It gives up
// the lock.
func (c *Call) shmParts(p store.Ref[Proc]) ([]shmPart, abi.Errno) {
	k := c.K
	segs := k.shmFiles()
	task := k.Procs.Get(p).Task
	var text []byte
	var e abi.Errno
	c.Unlocked(func() { text, e = k.Host.Maps(task, false) })
	var parts []shmPart
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		from, to, ok := mapRange(f)
		if !ok {
			continue
		}
		if seg := segs[f[3]+" "+f[4]]; seg != 0 && k.Shms.Get(seg) != nil {
			off, _ := strconv.ParseUint(f[2], 16, 64)
			parts = append(parts, shmPart{from, to, off, seg})
		}
	}
	return parts, e
}

// ShmCount has the count of a segment's attachments be right now. It gives up the lock.
func (c *Call) ShmCount(r store.Ref[ShmSeg]) {
	k := c.K
	gen := k.Shms.Gen(r)
	procs := map[store.Ref[Proc]]uint32{}
	k.ShmAts.Each(func(_ store.Ref[ShmAt], a *ShmAt) bool {
		if a.Seg == r {
			procs[a.Proc] = k.Procs.Gen(a.Proc)
		}
		return true
	})
	for p, pgen := range procs {
		if k.Procs.Get(p) == nil || k.Procs.Gen(p) != pgen {
			continue
		}
		parts, e := c.shmParts(p)
		if k.Shms.Get(r) == nil || k.Shms.Gen(r) != gen {
			return
		}
		if e == 0 && k.Procs.Get(p) != nil && k.Procs.Gen(p) == pgen && k.Procs.Get(p).Task != 0 {
			k.shmIs(p, r, parts)
		}
	}
}

// shmIs sees to a process's attachments of one segment now that its mappings of it
// are known to be those among parts.
func (k *Kernel) shmIs(p store.Ref[Proc], r store.Ref[ShmSeg], parts []shmPart) {
	var n, pages, had, hadPages uint32
	for _, x := range parts {
		if x.seg == r {
			n++
			pages += uint32((x.to - x.from) / abi.PageSize)
		}
	}
	var all []store.Ref[ShmAt]
	k.ShmAts.Each(func(at store.Ref[ShmAt], a *ShmAt) bool {
		if a.Proc == p && a.Seg == r {
			all = append(all, at)
			had += a.Parts
			hadPages += a.Pages
		}
		return true
	})
	if len(all) == 0 || had == n && hadPages == pages {
		return
	}
	if n == 0 {
		for _, at := range all {
			k.shmDrop(at)
		}
		return
	}
	for _, at := range all[1:] {
		k.ShmAts.Free(at)
	}
	at := k.ShmAts.Mut(all[0])
	at.Parts, at.Pages = n, pages
	m := k.Shms.Mut(r)
	m.Attached += n - had
	m.LPid = k.Procs.Get(p).Pid
	if n > had {
		m.ATime = k.Clock.Real() / 1e9
	}
	if n < had || pages < hadPages {
		m.DTime = k.Clock.Real() / 1e9
	}
}

// ShmDetach takes note of the caller's attachment at addr being given up and
// answers the mappings that are to go, each with its end. EINVAL: there is none. It
// gives up the lock.
func (c *Call) ShmDetach(addr uint64) ([][2]uint64, abi.Errno) {
	k := c.K
	parts, e := c.shmParts(c.ProcRef())
	if e != 0 {
		return nil, e
	}
	var gone [][2]uint64
	var seg store.Ref[ShmSeg]
	var kept []shmPart
	for _, x := range parts {
		// Of the first one the rest are, within its size.
		if k.Shms.Get(x.seg) != nil && x.from >= addr && x.from-addr == x.off && (seg == 0 || x.seg == seg && x.to-addr <= pageUp(k.Shms.Get(seg).Size)) {
			seg = x.seg
			gone = append(gone, [2]uint64{x.from, x.to})
			continue
		}
		kept = append(kept, x)
	}
	if seg == 0 {
		return nil, abi.EINVAL
	}
	k.shmIs(c.ProcRef(), seg, parts)
	k.shmIs(c.ProcRef(), seg, kept)
	return gone, 0
}

func pageUp(n uint64) uint64 { return (n + abi.PageSize - 1) &^ (abi.PageSize - 1) }

func (k *Kernel) shmDrop(at store.Ref[ShmAt]) {
	a := k.ShmAts.Get(at)
	r, pid := a.Seg, int32(0)
	if p := k.Procs.Get(a.Proc); p != nil {
		pid = p.Pid
	}
	parts := a.Parts
	k.ShmAts.Free(at)
	m := k.Shms.Mut(r)
	m.Attached -= parts
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
			*m = a
			m.Proc = child
			k.Shms.Mut(a.Seg).Attached += a.Parts
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
