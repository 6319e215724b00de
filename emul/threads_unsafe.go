package emul

import (
	"sync/atomic"
	"unsafe"

	"hythe/abi"
)

// beginsAlone has a new thread begin without asking, if it may (docs/lending.md, *Threads*): the server finds
// its host id in the slot. Who wants something of it has stored ThreadsAsk before it looks there.
func (t *Thread) beginsAlone(s *abi.Slot) bool {
	if t.Asks != 0 {
		return false
	}
	atomic.StoreUint64(&s.HostID, t.HostID)
	atomic.StoreUint64(&s.Begun, t.Token)
	return atomic.LoadUint64(&t.area().Told[abi.ToldThreads])&abi.ThreadsAsk == 0
}

// endPosted serves exit(2) of a thread that others outlive, and does not come back then: what it leaves in its
// memory the library sees to, and the server finds in the slot that it has ended. false: the server is asked.
func (t *Thread) endPosted(code uintptr) (uintptr, bool) {
	h := t.area()
	if t.Index == 0 || t.Leader != 0 || t.Kicked != 0 || t.Words[abi.ThreadVfork] != 0 ||
		atomic.LoadUint64(&h.Told[abi.ToldThreads])&abi.ThreadsEnd == 0 || atomic.LoadUint64(&h.Told[abi.ToldEnding]) != 0 {
		return 0, false
	}
	if head := uintptr(t.Words[abi.ThreadRobust]); head != 0 {
		if !t.inGuest(head, abi.RobustSize) || t.copyMem(uintptr(unsafe.Pointer(&t.Scratch)), head, abi.RobustSize) != 0 ||
			uintptr(t.Scratch[0])&^1 != head || t.Scratch[2] != 0 {
			return 0, false // it holds locks
		}
	}
	s := t.slot()
	i := uintptr(t.Index)
	atomic.StoreUint32(&s.Late, 0) // nobody asks it any more
	atomic.StoreUint32(&s.EndCode, uint32(code))
	atomic.StoreUint64(&s.Ended, t.Token)
	atomic.OrUint64((*uint64)(at(uintptr(unsafe.Pointer(&h.Ends))+i>>6*8)), 1<<(i&63))
	atomic.StoreUint32(&h.Ended, 1)
	// From here on the server may give the slot to another thread, which waits for this one's end (HostTid).
	atomic.OrUint64((*uint64)(at(uintptr(unsafe.Pointer(&h.Pending))+i>>6*8)), 1<<(i&63))
	if to := uintptr(t.Words[abi.ThreadClear]); to != 0 && t.inGuest(to, 4) && t.store32(to, 0) == 0 {
		t.hostOn(to, 4, 0, sysFutex, to, futexWake, 1)
	}
	if atomic.LoadUint32(&h.Armed) != 0 {
		t.host(sysWrite, DoorbellFD, uintptr(unsafe.Pointer(&t.task().One)), 8, 0, 0, 0)
	}
	for {
		t.host(sysExit, 0, 0, 0, 0, 0, 0)
	}
}
