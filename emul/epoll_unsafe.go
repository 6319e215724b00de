package emul

import (
	"sync/atomic"
	"unsafe"

	"hythe/abi"
)

// Epoll sets of which the server has told what is ready (docs/lending.md).

// epollMost is how many events epoll_wait(2) may be asked for (EP_MAX_EVENTS); epollSize is one of
// them, and so many fit into Thread.Scratch.
const (
	epollMost  = (1<<31 - 1) / epollSize
	epollSize  = 12
	epollChunk = unsafe.Sizeof(Thread{}.Scratch) / epollSize
)

// epollLent serves epoll_wait(2) and epoll_pwait(2), if something is ready, nobody is to wait, or the host can be waited for.
func (t *Thread) epollLent(uc *Ucontext, k uint8, fd, buf, most uintptr) (uintptr, bool) {
	n, ok := t.epollKnown(uc, k, fd, buf, most)
	if !ok && t.Redo != 0 {
		t.askRest(int32(uint32(uc.Regs.R10))) // a kick cut it, and now the server waits
	}
	return n, ok
}

func (t *Thread) epollKnown(uc *Ucontext, k uint8, fd, buf, most uintptr) (uintptr, bool) {
	if k == abi.LocalEpollMask && uc.Regs.R8 != 0 || t.Words[abi.ThreadVfork] != 0 {
		return 0, false
	}
	most = uintptr(uint32(most))
	if most == 0 || most > epollMost || !t.inGuest(buf, most*epollSize) {
		return 0, false
	}
	for i := uintptr(0); i < abi.LentSets; i++ {
		s := (*abi.LentSet)(unsafe.Add(unsafe.Pointer(&t.area().Sets), i*unsafe.Sizeof(abi.LentSet{})))
		gen := atomic.LoadUint64(&s.Gen)
		if gen&1 != 0 && uint32(atomic.LoadInt32(&s.FD)) == uint32(fd) {
			list := t.Window + AreaOff + abi.LentSetOff + i*abi.LentSetSize
			if tag := atomic.LoadUint64(&s.Host); tag != 0 {
				return t.epollHost(uc, s, i, gen, tag, list, buf, most)
			}
			n, ok := t.tell(s, gen, list, buf, most)
			if !ok || n != 0 || uint32(uc.Regs.R10) == 0 {
				return n, ok
			}
			return t.lookSet(s, gen, list, buf, most)
		}
	}
	return 0, false
}

// tell copies at most so many events of a set, whose items are at list, to buf, and answers how
// many. It goes round: what was told last is at the end, as on Linux. false: it was taken back
// meanwhile, or a stream was, or there is no memory for one.
func (t *Thread) tell(s *abi.LentSet, gen uint64, list, buf, most uintptr) (uintptr, bool) {
	n := uintptr(atomic.LoadUint32(&s.N))
	next := atomic.LoadUint64(&s.Next)
	i := uintptr(uint32(next))
	if n > abi.LentSetItems {
		return 0, false
	}
	if i >= n {
		i = 0
	}
	to := i
	scratch := uintptr(unsafe.Pointer(&t.Scratch))
	got, held := uintptr(0), uintptr(0)
	for looked := uintptr(0); looked < n && got+held < most; looked++ {
		it := (*abi.LentItem)(at(list + i*unsafe.Sizeof(abi.LentItem{})))
		ev := atomic.LoadUint32(&it.Events)
		if it.Off != 0 {
			ev = 0
		}
		if pos := atomic.LoadUint64(&it.Stream); pos != 0 && ev != 0 {
			is, ok := t.streamReady(pos, atomic.LoadUint32(&it.Room))
			if !ok {
				return 0, false
			}
			ev &= is
		}
		if i++; i == n {
			i = 0
		}
		if ev == 0 {
			continue
		}
		*(*uint32)(at(scratch + held*epollSize)) = ev
		*(*uint64)(at(scratch + held*epollSize + 4)) = atomic.LoadUint64(&it.Data)
		to = i
		if held++; held == epollChunk {
			left := t.copyMem(buf+got*epollSize, scratch, held*epollSize)
			if left != 0 {
				return t.toldSome(s, gen, got+held-(left+epollSize-1)/epollSize)
			}
			got, held = got+held, 0
		}
	}
	if held != 0 {
		if left := t.copyMem(buf+got*epollSize, scratch, held*epollSize); left != 0 {
			return t.toldSome(s, gen, got+held-(left+epollSize-1)/epollSize)
		}
	}
	got += held
	if atomic.LoadUint64(&s.Gen) != gen {
		return 0, false
	}
	if got != 0 && next>>32 == gen&0xffffffff {
		atomic.CompareAndSwapUint64(&s.Next, next, next&^0xffffffff|uint64(to))
	}
	return got, true
}

// ctlSet serves epoll_ctl(2) of a stream that is an item of a set that is lent, or was until the library removed it. A
// process of one thread only does: so nobody else changes the set but who takes it back, of whom Ctl tells (abi.LentSet).
func (t *Thread) ctlSet(set, op, fd, event uintptr) (uintptr, bool) {
	op, fd = uintptr(uint32(op)), uintptr(uint32(fd))
	l := t.lent(fd)
	if l == nil || t.task().Threads > 1 || op < epollCtlAdd || op > epollCtlMod {
		return 0, false
	}
	for i := uintptr(0); i < abi.LentSets; i++ {
		s := (*abi.LentSet)(unsafe.Add(unsafe.Pointer(&t.area().Sets), i*unsafe.Sizeof(abi.LentSet{})))
		if gen := atomic.LoadUint64(&s.Gen); gen&1 != 0 && uint32(atomic.LoadInt32(&s.FD)) == uint32(set) {
			n := uintptr(*(*uint16)(unsafe.Add(unsafe.Pointer(&s.Index), fd*2))) - 1
			if n >= uintptr(atomic.LoadUint32(&s.N)) || n >= abi.LentSetItems {
				return 0, false
			}
			list := t.Window + AreaOff + abi.LentSetOff + i*abi.LentSetSize
			return t.ctlItem(s, gen, l, (*abi.LentItem)(at(list+n*unsafe.Sizeof(abi.LentItem{}))), n, op, fd, event)
		}
	}
	return 0, false
}

// ctlItem is ctlSet with the record of fd, l, and its item, the n-th of the set.
func (t *Thread) ctlItem(s *abi.LentSet, gen uint64, l *abi.Lent, it *abi.LentItem, n, op, fd, event uintptr) (uintptr, bool) {
	ctl := atomic.LoadUint64(&s.Ctl)
	if ctl>>abi.SetGen != gen&abi.SetGens || uint32(ctl) >= 1<<31 || it.Stream == 0 || uintptr(uint32(it.FD)) != fd ||
		atomic.LoadUint64(&l.Pos) != it.Stream {
		return 0, false
	}
	off, ev, data := uint32(1), it.Events, it.Data
	if op != epollCtlDel {
		if t.copyIn(uintptr(unsafe.Pointer(&t.Scratch)), event, epollEvtSize) != 0 {
			return 0, false
		}
		off, ev, data = 0, uint32(t.Scratch[0]), t.Scratch[0]>>32|t.Scratch[1]<<32
		if ev&epollOthers != 0 {
			return 0, false
		}
	}
	if op == epollCtlAdd && it.Off == 0 {
		return errno(eEXIST), atomic.LoadUint64(&s.Gen) == gen
	}
	if op != epollCtlAdd && it.Off != 0 {
		return errno(eNOENT), atomic.LoadUint64(&s.Gen) == gen
	}
	r := (*abi.LentRedo)(unsafe.Add(unsafe.Pointer(&s.Redo), uintptr((ctl+1)&1)*unsafe.Sizeof(abi.LentRedo{})))
	r.Item = *it
	r.At = uint32(n)
	r.Item.Off, r.Item.Events, r.Item.Data = off, ev, data
	if !atomic.CompareAndSwapUint64(&s.Ctl, ctl, ctl+1) {
		return 0, false // taken back: the server does it
	}
	atomic.StoreUint32(&it.Off, off)
	atomic.StoreUint32(&it.Events, ev)
	atomic.StoreUint64(&it.Data, data)
	return 0, true
}

// epollOthers are events that the library leaves to the server: EPOLLEXCLUSIVE, WAKEUP, ONESHOT and ET.
const epollOthers = 0xf << 28

// toldSome is what tell answers when the guest's memory has ended behind so many events.
func (t *Thread) toldSome(s *abi.LentSet, gen uint64, n uintptr) (uintptr, bool) {
	return n, n != 0 && atomic.LoadUint64(&s.Gen) == gen
}

// lookSet looks for a while whether something becomes ready in a set in which nothing is, as a thread
// does that waits in a stream; then the caller asks the server. Only what its streams say can change.
func (t *Thread) lookSet(s *abi.LentSet, gen uint64, list, buf, most uintptr) (uintptr, bool) {
	turns := uintptr(t.task().Spin)
	if atomic.LoadUint32(&s.Streams) == 0 || turns == 0 {
		return 0, false
	}
	w := &t.task().Waits[waitsPoll]
	long := *w >= waitYields
	limit := uintptr(soonCycles)
	if long {
		limit = lookCycles
	}
	for from := t.cycles(); t.cycles()-from < limit && atomic.LoadUint32(&t.Kicked) == 0; {
		t.spin(uintptr(unsafe.Pointer(&s.Gen)), uintptr(uint32(gen)), turns/yieldPart)
		if n, ok := t.tell(s, gen, list, buf, most); !ok || n != 0 {
			if ok {
				*w = waitLooks
			}
			return n, ok
		}
	}
	if long {
		*w = waitPause
	} else if *w != 0 {
		*w--
	} else {
		*w = waitLooks // it may be worth to look for longer
	}
	return 0, false
}

// streamReady answers which bits of poll(2) hold for the end of a stream that a descriptor with pos
// has, which is ready to be written to with at most room bytes under way. false: it is lent no more.
func (t *Thread) streamReady(pos uint64, room uint32) (ev uint32, ok bool) {
	in := t.streamOf(nil, pos, false)
	if in.over {
		return 0, false
	}
	out := t.streamOf(nil, pos, true)
	if out.over {
		return 0, false
	}
	used, ok := in.lent(atomic.LoadUint64(in.word))
	waits, ok2 := out.lent(atomic.LoadUint64(out.word))
	t.leaveStream(&out) // both are of one place
	if !ok || !ok2 {
		return 0, false
	}
	if used != 0 {
		ev = pollIn
	}
	if waits <= uintptr(room) {
		ev |= pollOut
	}
	return ev, true
}

// Bits of poll(2) and epoll(7): IN and RDNORM, OUT and WRNORM.
const (
	pollIn  = 0x001 | 0x040
	pollOut = 0x004 | 0x100
)
