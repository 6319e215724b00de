package emul

import (
	"sync/atomic"
	"unsafe"

	"hythe/abi"
)

// Descriptors that the task closes without asking (docs/lending.md, *Closing*).

// closeWord is abi.BindHeader.Close of a descriptor, of abi.LentFiles at most.
func (t *Thread) closeWord(fd uintptr) *uint64 {
	return (*uint64)(unsafe.Add(unsafe.Pointer(&t.area().Close), fd*8))
}

// closePosted serves close(2) of what may be closed so. Nothing is answered by that descriptor from
// the exchange on (Thread.lent), and the server looks at it before anything that could tell.
func (t *Thread) closePosted(fd uintptr) (uintptr, bool) {
	fd = uintptr(uint32(fd))
	if fd >= abi.LentFiles || t.Words[abi.ThreadVfork] != 0 {
		return 0, false
	}
	w := t.closeWord(fd)
	v := atomic.LoadUint64(w)
	if v&abi.CloseMay == 0 || !atomic.CompareAndSwapUint64(w, v, v&^abi.CloseMay|abi.Closed) {
		return 0, false
	}
	atomic.OrUint64(&t.area().Posted, 1<<fd)
	return 0, true
}

// openKept serves open(2) of a name that this thread, which is the only one, has opened before, by a descriptor that it has closed
// since, of which the server has not heard: it is the lowest one that is free, and nobody has done anything to the open file but
// change its offset and O_NONBLOCK, which the library has had all the while. It is open again, and the server hears nothing of it.
func (t *Thread) openKept(uc *Ucontext, d *abi.CallDesc) (uintptr, bool) {
	e, seq := t.findName(uc, d)
	if e == nil {
		return 0, false
	}
	t.Wants = nameAsked
	names, attrs, r := atomic.LoadUint64(&e.Names), atomic.LoadUint64(&e.Attrs), e.Result
	if failed(uintptr(r)) { // there is no such name
		if atomic.LoadUint32(&e.Seq) != seq || !t.nameHolds(names, attrs) || !t.dirHolds() {
			return 0, false
		}
		e.Used = 1
		t.Wants = 0
		return uintptr(r), true
	}
	fd, no := uintptr(r&abi.OpenedFDs), r>>abi.OpenedNo
	h := t.area()
	if atomic.LoadUint32(&e.Seq) != seq || !t.nameHolds(names, attrs) || !t.dirHolds() || fd >= abi.LentFiles || no > abi.CloseNos ||
		uint64(fd)+1 >= atomic.LoadUint64(&h.Told[abi.ToldLowest]) || atomic.LoadUint64(&h.Posted)&(1<<fd-1) != 0 {
		return 0, false
	}
	w := t.closeWord(fd)
	l := (*abi.Lent)(unsafe.Add(unsafe.Pointer(&h.Lent), fd*unsafe.Sizeof(abi.Lent{})))
	pos := atomic.LoadUint64(&l.Pos)
	if atomic.LoadUint64(w) != abi.Closed|no || pos&abi.LentPos == 0 || lentKind(pos) != abi.LentIsOffset ||
		pos&^abi.LentPos>>abi.LentShift != r>>abi.OpenedPos&(abi.LentCounts-1) {
		return 0, false
	}
	to := pos &^ (abi.LentAt | abi.LentNonblock)
	if t.Key.A&oNonblock != 0 {
		to |= abi.LentNonblock
	}
	// In this order: whoever takes the offset back has found the descriptor, and has seen that it is closed.
	if !atomic.CompareAndSwapUint64(&l.Pos, pos, to) || !atomic.CompareAndSwapUint64(w, abi.Closed|no, abi.CloseMay|no) {
		return 0, false
	}
	atomic.AndUint64(&h.Posted, ^uint64(1<<fd))
	e.Used = 1
	t.Wants = 0
	return fd, true
}

// mayClose carries out ActMayClose.
func (t *Thread) mayClose(a *abi.Action) {
	if a.A[0] < abi.LentFiles {
		atomic.CompareAndSwapUint64(t.closeWord(uintptr(a.A[0])), a.A[1], a.A[2])
	}
}
