package emul

import (
	"sync/atomic"
	"unsafe"

	"hythe/abi"
)

// How rt_sigprocmask(2) changes the set, and the size of the set.
const (
	sigBlock   = 0
	sigUnblock = 1
	sigSetMask = 2
	sigSetSize = 8
)

// sigMask serves rt_sigprocmask(2) while no signal is pending for the task: the thread's set is a
// word of its own then, of which the server hears with the next request, and at which it looks
// before (docs/lending.md, Signals).
func (t *Thread) sigMask(how, set, old, size uintptr) (uintptr, bool) {
	was := t.Words[abi.ThreadMask]
	if was&abi.MaskKnown == 0 || size != sigSetSize || atomic.LoadUint64(&t.area().Told[abi.ToldQuiet]) == 0 {
		return 0, false
	}
	if set != 0 {
		if t.copyIn(uintptr(unsafe.Pointer(&t.Scratch)), set, sigSetSize) != 0 {
			return errno(eFAULT), true
		}
		is := t.Scratch[0]
		switch uint32(how) {
		case sigBlock:
			is |= was
		case sigUnblock:
			is = was &^ is
		case sigSetMask:
		default:
			return errno(eINVAL), true
		}
		is = is&^abi.MaskNever | abi.MaskKnown
		if is != was {
			s := t.slot()
			t.Words[abi.ThreadMask] = is
			atomic.StoreUint64(&s.LateMask, is&^abi.MaskNever)
			atomic.StoreUint32(&s.Late, s.Late|abi.LateIsMask)
			if atomic.LoadUint64(&t.area().Told[abi.ToldQuiet]) == 0 {
				t.Kicked = 1 // who has made one pending may have looked before
			}
		}
	}
	if old != 0 {
		t.Scratch[0] = was &^ abi.MaskNever
		if t.copyOut(old, uintptr(unsafe.Pointer(&t.Scratch)), sigSetSize) != 0 {
			return errno(eFAULT), true
		}
	}
	return 0, true
}

// sigActionSize is that of struct sigaction (asm/signal.h).
const sigActionSize = 32

// sigAction serves rt_sigaction(2) that only asks, for an action that nobody has ever set.
func (t *Thread) sigAction(sig, act, old, size uintptr) (uintptr, bool) {
	n := uintptr(uint32(sig)) - 1
	if act != 0 || size != sigSetSize || n >= 64 || atomic.LoadUint64(&t.area().Told[abi.ToldDefault])>>(n&63)&1 == 0 {
		return 0, false
	}
	if old != 0 && (!t.inGuest(old, sigActionSize) || t.zeroMem(old, sigActionSize) != 0) {
		return errno(eFAULT), true
	}
	return 0, true
}
