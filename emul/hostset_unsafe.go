package emul

import (
	"sync/atomic"
	"unsafe"

	"hythe/abi"
)

// Epoll sets in which streams to the outside are watched, of which the task has the host's set (docs/lending.md): what
// is ready there the host tells, and in it a thread sleeps. The server takes the set back as all others, and makes something ready
// in the host's (LentSet.Wake) if somebody sleeps there.

// epollHost serves epoll_wait(2) of such a set, the i-th that is lent.
func (t *Thread) epollHost(uc *Ucontext, s *abi.LentSet, i uintptr, gen, tag uint64, list, buf, most uintptr) (uintptr, bool) {
	atomic.AddUint32(t.setBusy(i), 1) // before it is looked which one is there
	n, ok := uintptr(0), false
	if h := t.hostSet(i, tag); h != 0 {
		n, ok = t.epollIn(uc, s, h, gen, list, buf, most)
	}
	if atomic.AddUint32(t.setBusy(i), ^uint32(0)) == 0 && atomic.LoadUint32(t.setOld(i)) != 0 {
		t.lock()
		t.closeOldSet(i)
		t.unlock()
	}
	if failed(n) && n != errno(eFAULT) && n != errno(eINTR) {
		return 0, false // no set of the host's is there any more
	}
	return n, ok
}

// epollIn is epollHost with the host's set.
func (t *Thread) epollIn(uc *Ucontext, s *abi.LentSet, h uintptr, gen uint64, list, buf, most uintptr) (uintptr, bool) {
	listed := uintptr(atomic.LoadUint32(&s.N))
	first := listed == 0
	if !first {
		// Neither may be told for ever while the other is ready.
		first = atomic.LoadUint32(&t.task().HostsFirst) != 0
		v := uint32(1)
		if first {
			v = 0
		}
		atomic.StoreUint32(&t.task().HostsFirst, v)
	}
	got := uintptr(0)
	if first {
		n, woken := t.hostEvents(s, h, buf, most, 0)
		if failed(n) {
			return n, n != errno(eINTR)
		}
		if n == 0 && woken {
			return 0, false
		}
		got = n
	}
	if listed != 0 && got < most {
		n, ok := t.tell(s, gen, list, buf+got*epollSize, most-got)
		if !ok && got == 0 {
			return 0, false
		}
		got += n
	}
	if !first && got < most {
		n, woken := t.hostEvents(s, h, buf+got*epollSize, most-got, 0)
		if failed(n) && got == 0 {
			return n, n != errno(eINTR)
		}
		if n == 0 && woken && got == 0 {
			return 0, false
		}
		if !failed(n) {
			got += n
		}
	}
	timeout := int32(uint32(uc.Regs.R10))
	if got != 0 || timeout == 0 {
		return got, true
	}
	if atomic.LoadUint32(&s.Streams) != 0 {
		return 0, false // who sleeps for both sleeps at the server
	}
	return t.sleepHost(uc, s, h, gen, buf, most, timeout)
}

// sleepHost waits in the host's set, for at most so many milliseconds; less than 0: for ever.
func (t *Thread) sleepHost(uc *Ucontext, s *abi.LentSet, h uintptr, gen uint64, buf, most uintptr, timeout int32) (uintptr, bool) {
	ms := uintptr(int(timeout))
	if timeout > 0 {
		if t.Redo == 0 {
			t.Deadline[0] = uint64(timeout) / 1000
			t.Deadline[1] = uint64(timeout) % 1000 * 1e6
			t.addNow(0)
		}
		ms = t.hostLeft()
		if ms == 0 {
			return 0, true
		}
	}
	atomic.AddUint32(&s.Sleeps, 1)
	if atomic.LoadUint64(&s.Gen) != gen { // after that: who takes it back looks at Sleeps when he has done so
		atomic.AddUint32(&s.Sleeps, ^uint32(0))
		return t.askRest(timeout)
	}
	site := uc == &t.Site
	if !site {
		t.kicks(0)
	}
	n, woken := t.hostEvents(s, h, buf, most, ms)
	if !site {
		t.kicks(1)
	}
	atomic.AddUint32(&s.Sleeps, ^uint32(0))
	if n == errno(eINTR) {
		t.Redo = 1
		return n, true
	}
	if n == 0 && woken {
		return t.askRest(timeout)
	}
	return n, true
}

// hostLeft is how many milliseconds there are to Deadline.
func (t *Thread) hostLeft() uintptr {
	t.host(sysClockGettime, clockMono, uintptr(unsafe.Pointer(&t.Scratch)), 0, 0, 0, 0)
	left := int64(t.Deadline[0]-t.Scratch[0])*1e9 + int64(t.Deadline[1]) - int64(t.Scratch[1])
	if left <= 0 {
		return 0
	}
	return uintptr(left+1e6-1) / 1e6
}

// askRest has the server wait for what is left of the time limit (Slot.Done: what is over).
func (t *Thread) askRest(timeout int32) (uintptr, bool) {
	if timeout > 0 {
		if left := t.hostLeft(); left < uintptr(timeout) {
			t.Done = uint32(uintptr(timeout) - left)
		}
	}
	return 0, false
}

// hostEvents has the host tell what is ready in its set, and answers how much that is, without the server's wake-up:
// woken says that there was one. With ms not 0 it waits, and a kick cuts it (-EINTR).
func (t *Thread) hostEvents(s *abi.LentSet, h, buf, most, ms uintptr) (n uintptr, woken bool) {
	most = min(most, epollChunk)
	for try := uintptr(0); ; try++ {
		if ms == 0 {
			n = t.host(sysEpollPwait, h, buf, most, 0, 0, 8)
		} else {
			n = t.hostWait(sysEpollPwait, h, buf, most, ms, 0, 8)
		}
		if !t.missed(n, try) || !t.fetch(buf, most*epollSize, 1) {
			break
		}
	}
	if failed(n) || n == 0 || n > most {
		return n, false
	}
	scratch := uintptr(unsafe.Pointer(&t.Scratch))
	if t.copyMem(scratch, buf, n*epollSize) != 0 {
		return n, false // it is gone again
	}
	wake := atomic.LoadUint64(&s.Wake)
	for i := uintptr(0); i < n; i++ {
		if *(*uint64)(at(scratch + i*epollSize + 4)) != wake {
			continue
		}
		n--
		t.copyMem(buf+i*epollSize, scratch+(i+1)*epollSize, (n-i)*epollSize)
		return n, true
	}
	return n, false
}

// hostSet answers the host's set of a place, if it is the one with the tag; 0: the task does not have it.
func (t *Thread) hostSet(i uintptr, tag uint64) uintptr {
	h := atomic.LoadUint64(t.hostSetAt(i))
	if h == 0 || h>>HostTag != tag {
		return 0
	}
	return uintptr(uint32(h))
}

func (t *Thread) hostSetAt(i uintptr) *uint64 {
	return (*uint64)(unsafe.Add(unsafe.Pointer(&t.task().Sets), i*8))
}

// takeHostSet carries out an ActLend of one.
func (t *Thread) takeHostSet(a *abi.Action) {
	i, tag := uintptr(a.A[0]), uint64(a.Flags>>8)
	if i >= abi.LentSets {
		return
	}
	t.lock()
	if g := t.takeGrant(abi.EventGrant, tag); g != nil {
		if t.dropHostSet(i) {
			atomic.StoreUint64(t.hostSetAt(i), tag<<HostTag|uint64(uint32(g.FDs[0])))
		} else {
			t.closeFDs(&g.FDs) // the server serves it
		}
		g.Op = 0
	}
	t.unlock()
}

// closeHostSet carries out an ActUnlend of one.
func (t *Thread) closeHostSet(i uintptr, tag uint64) {
	if i >= abi.LentSets {
		return
	}
	t.lock()
	if atomic.LoadUint64(t.hostSetAt(i))>>HostTag == tag {
		t.dropHostSet(i)
	}
	t.unlock()
}

// dropHostSet closes the host's set of a place, or leaves that to those who work with it: its number must not be another's
// meanwhile. False: they have one to close already, and it stays. Callers hold the lock.
func (t *Thread) dropHostSet(i uintptr) bool {
	t.closeOldSet(i)
	h := atomic.LoadUint64(t.hostSetAt(i))
	if h == 0 {
		return true
	}
	if *t.setOld(i) != 0 {
		return false
	}
	atomic.StoreUint64(t.hostSetAt(i), 0)
	atomic.StoreUint32(t.setOld(i), uint32(h))
	t.closeOldSet(i)
	return true
}

// closeOldSet closes what was left to those who work with it, if nobody does. Callers hold the lock.
func (t *Thread) closeOldSet(i uintptr) {
	if h := atomic.LoadUint32(t.setOld(i)); h != 0 && atomic.LoadUint32(t.setBusy(i)) == 0 {
		atomic.StoreUint32(t.setOld(i), 0)
		t.closeFD(int32(h))
	}
}

// dropHostSets closes all of them, for a task of one thread, which is forked: the others are not in it.
func (t *Thread) dropHostSets() {
	for i := uintptr(0); i < abi.LentSets; i++ {
		if *t.setBusy(i) != 0 { // to write is to copy a page
			*t.setBusy(i) = 0
		}
		t.dropHostSet(i)
	}
}

func (t *Thread) setBusy(i uintptr) *uint32 {
	return (*uint32)(unsafe.Add(unsafe.Pointer(&t.task().SetBusy), i*4))
}

func (t *Thread) setOld(i uintptr) *uint32 {
	return (*uint32)(unsafe.Add(unsafe.Pointer(&t.task().SetOld), i*4))
}
