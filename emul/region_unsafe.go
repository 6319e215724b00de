package emul

import (
	"sync/atomic"
	"unsafe"

	"hythe/abi"
)

// What a forked child has of memory objects that the guest's program has mapped. The host
// gives a child all that is shared, or, by MADV_DONTFORK, nothing; a copy the parent makes
// before it forks.

func regionAt(task *Task, i uintptr) *Region {
	return (*Region)(unsafe.Add(unsafe.Pointer(&task.Regions), i*unsafe.Sizeof(Region{})))
}

// addRegion notes a mapping. Of one for which there is no room nothing can be said. The
// lock is held.
func (t *Thread) addRegion(lo, n, prot uintptr, how uint8, paged uint32) {
	task := t.task()
	for i := uintptr(0); i < MaxRegions; i++ {
		r := regionAt(task, i)
		if r.Hi != 0 {
			continue
		}
		r.Lo = lo
		r.Hi = lo + (n+pageMask)&^pageMask
		r.Copy = 0
		r.Prot = uint16(prot)
		r.How = how
		r.Paged = paged
		if uint32(i) >= task.NRegions {
			atomic.StoreUint32(&task.NRegions, uint32(i)+1)
		}
		return
	}
}

// dropRegions forgets what is said of a range, which is mapped anew or not at all.
func (t *Thread) dropRegions(lo, n uintptr) {
	if atomic.LoadUint32(&t.task().NRegions) == 0 {
		return
	}
	t.lock()
	t.cutRegions(lo, lo+(n+pageMask)&^pageMask)
	t.unlock()
}

// cutRegions takes a range out of all regions. The lock is held.
func (t *Thread) cutRegions(lo, hi uintptr) {
	task := t.task()
	for i := uintptr(0); i < uintptr(task.NRegions) && i < MaxRegions; i++ {
		r := regionAt(task, i)
		if r.Hi <= lo || r.Lo >= hi {
			continue
		}
		end := r.Hi
		r.Hi = lo
		if r.Lo >= lo {
			r.Lo = 0
			r.Hi = 0
		}
		if end > hi {
			t.addRegion(hi, end-hi, uintptr(r.Prot), r.How, r.Paged)
		}
	}
}

// roomToCut says whether what is left of a region around a range can be regions of their own.
// The lock is held.
func (t *Thread) roomToCut(r *Region, lo, hi uintptr) bool {
	need := 0
	if lo > r.Lo {
		need++
	}
	if hi < r.Hi {
		need++
	}
	for i := uintptr(0); need > 0 && i < MaxRegions; i++ {
		if regionAt(t.task(), i).Hi == 0 {
			need--
		}
	}
	return need == 0
}

// inherit says what a forked child has of a range, all of which is in one mapping: the part
// is a region of its own then.
func (t *Thread) inherit(lo, n, how uintptr) uintptr {
	if lo&pageMask != 0 || n&pageMask != 0 || n == 0 || !t.inGuest(lo, n) || how > abi.InheritNone {
		return errno(eINVAL)
	}
	t.lock()
	task := t.task()
	v := errno(eINVAL)
	for i := uintptr(0); i < uintptr(task.NRegions) && i < MaxRegions; i++ {
		r := regionAt(task, i)
		if r.Hi == 0 || lo < r.Lo || lo+n > r.Hi {
			continue
		}
		if !t.roomToCut(r, lo, lo+n) {
			v = errno(eNOMEM)
			break
		}
		prot, paged := uintptr(r.Prot), r.Paged
		advice := uintptr(madvDontfork)
		if how == abi.InheritShare && paged == 0 { // of a paged one see sharePaged
			advice = madvDofork
		}
		v = t.host(sysMadvise, lo, n, advice, 0, 0, 0)
		if v == 0 {
			t.cutRegions(lo, lo+n)
			t.addRegion(lo, n, prot, uint8(how), paged)
		}
		break
	}
	t.unlock()
	return v
}

// copyRegions makes what a child is to have of its own: 0, or a negative errno. The lock is
// held, and is also while the pager of a region is waited for.
func (t *Thread) copyRegions() uintptr {
	task := t.task()
	for i := uintptr(0); i < uintptr(task.NRegions) && i < MaxRegions; i++ {
		r := regionAt(task, i)
		if r.Hi == 0 || r.How != abi.InheritCopy {
			continue
		}
		to := t.host(sysMmap, 0, r.Hi-r.Lo, protRead|protWrite, mapPrivate|mapAnon, ^uintptr(0), 0)
		if failed(to) {
			t.dropCopies()
			return to
		}
		r.Copy = to
		bad := false
		for p := uintptr(0); p < r.Hi-r.Lo; p += pageMask + 1 {
			bad = t.copyMem(to+p, r.Lo+p, pageMask+1) != 0 || bad
		}
		if r.Prot != protRead|protWrite {
			t.host(sysMprotect, to, r.Hi-r.Lo, uintptr(r.Prot), 0, 0, 0)
		}
		for p := uintptr(0); bad && p < r.Hi-r.Lo; p += pageMask + 1 {
			if t.copyMem(uintptr(unsafe.Pointer(&t.Scratch)), r.Lo+p, 1) != 0 {
				// What the parent cannot read the child cannot either.
				t.host(sysMprotect, to+p, pageMask+1, 0, 0, 0, 0)
			}
		}
	}
	return 0
}

// dropCopies is the parent's part after a fork.
func (t *Thread) dropCopies() {
	task := t.task()
	for i := uintptr(0); i < uintptr(task.NRegions) && i < MaxRegions; i++ {
		r := regionAt(task, i)
		if r.Copy != 0 {
			t.host(sysMunmap, r.Copy, r.Hi-r.Lo, 0, 0, 0, 0)
			r.Copy = 0
		}
	}
}

// takeCopies is the child's: the copies are memory as any other, and what it does not have
// is forgotten.
func (t *Thread) takeCopies() {
	task := t.task()
	for i := uintptr(0); i < uintptr(task.NRegions) && i < MaxRegions; i++ {
		r := regionAt(task, i)
		if r.Copy != 0 {
			t.host(sysMremap, r.Copy, r.Hi-r.Lo, r.Hi-r.Lo, mremapMaymove|mremapFixed, r.Lo, 0)
			r.Copy = 0
		}
		if r.How != abi.InheritShare {
			r.Lo = 0
			r.Hi = 0
		}
	}
}

// sharesPages says whether a region is one of a paged object of which children have the same
// memory.
func (r *Region) sharesPages() bool {
	return r.Hi != 0 && r.Paged != 0 && r.How == abi.InheritShare
}

// sharePaged tells the host whether a child has the regions of paged objects that are
// shared: 0, or a negative errno. It is told so for the fork alone: what is moved meanwhile,
// and so is no region any more, no child has, since nobody would watch it. The lock is held.
func (t *Thread) sharePaged(advice uintptr) uintptr {
	task := t.task()
	if atomic.LoadUint32(&task.Paged) == 0 {
		return 0
	}
	n := 0
	for i := uintptr(0); i < uintptr(task.NRegions) && i < MaxRegions; i++ {
		r := regionAt(task, i)
		if !r.sharesPages() {
			continue
		}
		if n++; n > abi.MaxHelloRanges && advice == madvDofork {
			return errno(eAGAIN)
		}
		if v := t.host(sysMadvise, r.Lo, r.Hi-r.Lo, advice, 0, 0, 0); failed(v) {
			return v
		}
	}
	return 0
}

// helloPaged is a forked child's hello where its parent had paged objects. With what it
// shares goes what tells of faults there, since its parent's does not, and it waits until the
// nucleus watches that: before, a page that is missing would be one of zeros. What is not
// watched, because there is no room or the nucleus knows of no such mapping of the parent's,
// the child does not have.
func (t *Thread) helloPaged() {
	task := t.task()
	t.HostID = uint64(t.host(sysGettid, 0, 0, 0, 0, 0, 0))
	// The slot is not in use yet.
	b := t.slotAddr() + abi.SlotInOff
	n := uintptr(0)
	for i := uintptr(0); i < uintptr(task.NRegions) && i < MaxRegions; i++ {
		r := regionAt(task, i)
		if !r.sharesPages() {
			continue
		}
		t.host(sysMadvise, r.Lo, r.Hi-r.Lo, madvDontfork, 0, 0, 0)
		u := errno(eAGAIN)
		if n < abi.MaxHelloRanges {
			u = t.host(sysUserfaultfd, uffdUser, 0, 0, 0, 0, 0)
		}
		if failed(u) {
			t.loseRegion(r)
			continue
		}
		e := helloRange(b, n)
		e.Addr = uint64(r.Lo)
		e.Len = uint64(r.Hi - r.Lo)
		e.FD = uint32(u)
		e.Mapping = r.Paged
		n++
	}
	if n == 0 {
		t.say(abi.CallHello, t.HostID, 0)
		return
	}
	h := (*abi.CallHeader)(at(b))
	h.Op = abi.CallHello
	h.NFds = 0
	h.ID = 0
	h.Err = 0
	h.Len = uint32(n * abi.HelloRangeSize)
	h.A[0] = t.HostID
	t.host(sysWrite, ControlFD, b, abi.CallHeaderSize+n*abi.HelloRangeSize, 0, 0, 0)
	refused := t.watched()
	n = 0
	for i := uintptr(0); i < uintptr(task.NRegions) && i < MaxRegions; i++ {
		r := regionAt(task, i)
		if !r.sharesPages() {
			continue
		}
		t.closeFD(int32(helloRange(b, n).FD))
		if refused>>n&1 != 0 {
			t.loseRegion(r)
		}
		n++
	}
}

// helloRange is range i in a hello at b.
func helloRange(b, i uintptr) *abi.HelloRange {
	return (*abi.HelloRange)(at(b + abi.CallHeaderSize + i*abi.HelloRangeSize))
}

// loseRegion unmaps a region.
func (t *Thread) loseRegion(r *Region) {
	t.host(sysMunmap, r.Lo, r.Hi-r.Lo, 0, 0, 0, 0)
	r.Lo = 0
	r.Hi = 0
}

// watched waits for the nucleus's answer to a hello: the bits of what it does not watch.
func (t *Thread) watched() uint64 {
	for {
		var fds [3]int32
		r := t.recv(&fds)
		if r == errno(eINTR) {
			continue
		}
		if failed(r) || r == 0 {
			t.die(70)
		}
		if r < abi.CallHeaderSize {
			t.closeFDs(&fds)
			continue
		}
		if uint32(t.Hdr[0]) == abi.EventWatched {
			return t.Hdr[3]
		}
		t.keepGrant(uint32(t.Hdr[0]), t.Hdr[6], &fds)
	}
}
