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

// epollLent serves epoll_wait(2) and epoll_pwait(2), if something is ready or nobody is to wait.
func (t *Thread) epollLent(uc *Ucontext, k uint8, fd, buf, most uintptr) (uintptr, bool) {
	if k == abi.LocalEpollMask && uc.Regs.R8 != 0 || t.Words[abi.ThreadPid] != atomic.LoadUint64(&t.task().Words[abi.TaskPid]) {
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
			n, ok := t.tell(s, gen, t.Window+AreaOff+abi.LentSetOff+i*abi.LentSetSize, buf, most)
			return n, ok && (n != 0 || uint32(uc.Regs.R10) == 0)
		}
	}
	return 0, false
}

// tell copies at most so many events of a set, whose items are at list, to buf, and answers how
// many. It goes round: what was told last is at the end, as on Linux. false: it was taken back
// meanwhile, or there is no memory for one.
func (t *Thread) tell(s *abi.LentSet, gen uint64, list, buf, most uintptr) (uintptr, bool) {
	n := uintptr(atomic.LoadUint32(&s.N))
	next := atomic.LoadUint64(&s.Next)
	first := uintptr(uint32(next))
	if n > abi.LentSetItems {
		return 0, false
	}
	if first >= n {
		first = 0
	}
	scratch := uintptr(unsafe.Pointer(&t.Scratch))
	most = min(most, n)
	i := first
	for done := uintptr(0); done < most; {
		m := min(most-done, epollChunk)
		for j := uintptr(0); j < m; j++ {
			it := (*abi.LentItem)(at(list + i*unsafe.Sizeof(abi.LentItem{})))
			*(*uint32)(at(scratch + j*epollSize)) = atomic.LoadUint32(&it.Events)
			*(*uint64)(at(scratch + j*epollSize + 4)) = atomic.LoadUint64(&it.Data)
			if i++; i == n {
				i = 0
			}
		}
		left := t.copyMem(buf+done*epollSize, scratch, m*epollSize)
		done += m
		if left != 0 { // what is told ends with the memory
			short := (left + epollSize - 1) / epollSize
			most = done - short
			if i = first + most; i >= n {
				i -= n
			}
		}
	}
	if most == 0 && n != 0 {
		return 0, false
	}
	if atomic.LoadUint64(&s.Gen) != gen {
		return 0, false
	}
	if i != first && next>>32 == gen&0xffffffff {
		atomic.CompareAndSwapUint64(&s.Next, next, next&^0xffffffff|uint64(i))
	}
	return most, true
}
