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

// mayClose carries out ActMayClose.
func (t *Thread) mayClose(a *abi.Action) {
	if a.A[0] < abi.LentFiles {
		atomic.CompareAndSwapUint64(t.closeWord(uintptr(a.A[0])), a.A[1], a.A[2])
	}
}
