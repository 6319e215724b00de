package emul

import (
	"sync/atomic"
	"unsafe"

	"hythe/abi"
)

// Waits of a thread for another one that names it (NetBSD), and on a word (DragonFly).

// Flags and clocks of ____lwp_park60(2) (sys/time.h of NetBSD).
const (
	parkAbsolute = 1
	parkRealtime = 0
	parkMono     = 3
)

// park serves ____lwp_park60(2): clock, flags, time limit, a thread to wake first, and two
// hints, which only say where to look. It ends when another thread wakes this one by its
// id; if one has done so already, with EALREADY. Of a relative limit what is left is
// stored.
func (t *Thread) park(uc *Ucontext) (uintptr, bool) {
	clock, flags := uint32(uc.Regs.DI), uint32(uc.Regs.SI)
	timeout, other := uintptr(uc.Regs.DX), uint32(uc.Regs.R10)
	op := uintptr(futexWaitBitset | futexPrivate)
	limit := uintptr(0)
	if timeout != 0 {
		if clock == parkRealtime {
			op |= futexRealtime
		}
		if clock != parkRealtime && clock != parkMono {
			return errno(eINVAL), true
		}
		limit = t.addr() + unsafe.Offsetof(t.Deadline)
		if t.Redo == 0 {
			if r := t.deadline(timeout); failed(r) {
				return r, true
			}
			if flags&parkAbsolute == 0 {
				t.addNow(op)
			}
		}
	}
	if t.Redo == 0 {
		if other != 0 {
			if r, done := t.unpark(other); !done || failed(r) {
				return r, done
			}
		}
		if atomic.SwapUint32(&t.Permit, 0) != 0 {
			return errno(eALREADY), true
		}
	}
	t.kicks(0)
	r := t.hostWait(sysFutex, uintptr(unsafe.Pointer(&t.Permit)), op, 0, limit, 0, 0xffffffff)
	t.kicks(1)
	if atomic.SwapUint32(&t.Permit, 0) != 0 || r == errno(eAGAIN) {
		r = 0
	}
	if r == errno(eINTR) {
		t.Redo = 1
		return r, true
	}
	if timeout != 0 && flags&parkAbsolute == 0 && !t.storeLeft(op, timeout) {
		return errno(eFAULT), true
	}
	return r, true
}

// Clocks that sleep knows, and the flag of an absolute time (the host's, bits/time.h).
const (
	clockRealtime = 0
	clockMono     = 1
	timerAbstime  = 1
)

// sleep serves clock_nanosleep(2) if it is neither long nor very short; all else, bad
// arguments too, is the server's affair.
func (t *Thread) sleep(clock, flags, req, rem uintptr) (uintptr, bool) {
	op := uintptr(futexWaitBitset | futexPrivate)
	if clock == clockRealtime && flags == timerAbstime {
		op |= futexRealtime
	}
	if t.Redo == 0 {
		if clock != clockMono && clock != clockRealtime || flags > timerAbstime || failed(t.deadline(req)) {
			return 0, false
		}
		sec, ns := t.Deadline[0], t.Deadline[1]
		if flags == timerAbstime {
			t.host(sysClockGettime, clock, uintptr(unsafe.Pointer(&t.Scratch)), 0, 0, 0, 0)
			// What is over counts as a long time here.
			sec -= t.Scratch[0]
			if sec == 1 {
				sec, ns = 0, ns+1e9
			}
			ns -= t.Scratch[1]
		}
		if sec != 0 || ns < abi.LocalSleepMin || ns > abi.LocalSleepMax {
			return 0, false
		}
		if flags != timerAbstime {
			t.addNow(op)
		}
	}
	limit := t.addr() + unsafe.Offsetof(t.Deadline)
	word := uintptr(unsafe.Pointer(&t.Index)) // nobody changes or wakes it
	t.kicks(0)
	r := t.hostWait(sysFutex, word, op, uintptr(t.Index), limit, 0, 0xffffffff)
	t.kicks(1)
	if r != errno(eINTR) {
		return 0, true // ETIMEDOUT
	}
	t.Redo = 1
	if rem != 0 && flags != timerAbstime && !t.storeLeft(op, rem) {
		return errno(eFAULT), true
	}
	return r, true
}

// storeLeft stores at guest address to how much time is left until Deadline.
func (t *Thread) storeLeft(op, to uintptr) bool {
	clock := uintptr(1)
	if op&futexRealtime != 0 {
		clock = 0
	}
	t.host(sysClockGettime, clock, uintptr(unsafe.Pointer(&t.Scratch)), 0, 0, 0, 0)
	sec, ns := int64(t.Deadline[0])-int64(t.Scratch[0]), int64(t.Deadline[1])-int64(t.Scratch[1])
	if ns < 0 {
		sec--
		ns += 1e9
	}
	if sec < 0 {
		sec, ns = 0, 0
	}
	t.Scratch[0], t.Scratch[1] = uint64(sec), uint64(ns)
	return t.inGuest(to, 16) && t.copyMem(to, uintptr(unsafe.Pointer(&t.Scratch)), 16) == 0
}

// unpark serves _lwp_unpark(2): false if no thread that has begun has this id.
func (t *Thread) unpark(tid uint32) (uintptr, bool) {
	if tid == 0 {
		return 0, false
	}
	for i := uintptr(0); i < uintptr(atomic.LoadUint32(&t.task().Threads)); i++ {
		n := t.block(i)
		if atomic.LoadUint32(&n.HostTid) != 0 && uint32(atomic.LoadUint64(&n.Words[0])) == tid {
			atomic.StoreUint32(&n.Permit, 1)
			t.host(sysFutex, uintptr(unsafe.Pointer(&n.Permit)), futexWake|futexPrivate, 1, 0, 0, 0)
			return 0, true
		}
	}
	return 0, false
}

// sleepWord serves umtx_sleep(2) of DragonFly: a word, its value, and how many
// microseconds at most (0: for ever). EBUSY if it has another value, EAGAIN when the time
// is over.
func (t *Thread) sleepWord(addr, val, usec uintptr) uintptr {
	if addr&3 != 0 || int32(uint32(usec)) < 0 {
		return errno(eINVAL)
	}
	if !t.inGuest(addr, 4) {
		return errno(eFAULT)
	}
	limit := uintptr(0)
	if usec = uintptr(uint32(usec)); usec != 0 {
		limit = t.addr() + unsafe.Offsetof(t.Deadline)
		if t.Redo == 0 {
			t.Deadline[0], t.Deadline[1] = uint64(usec/1e6), uint64(usec%1e6*1000)
			t.addNow(0)
		}
	}
	t.kicks(0)
	r := t.hostWait(sysFutex, addr, futexWaitBitset, uintptr(uint32(val)), limit, 0, 0xffffffff)
	t.kicks(1)
	if r == errno(eINTR) {
		t.Redo = 1
	}
	if r == errno(eAGAIN) {
		return errno(eBUSY)
	}
	if r == errno(eTIMEDOUT) {
		return errno(eAGAIN)
	}
	return r
}

// wakeWord serves umtx_wakeup(2): one of those that wait on a word, or all of them.
func (t *Thread) wakeWord(addr, count uintptr) uintptr {
	if !t.inGuest(addr, 4) {
		return errno(eFAULT)
	}
	n := uintptr(1<<31 - 1)
	if uint32(count) == 1 {
		n = 1
	}
	if r := t.host(sysFutex, addr, futexWake, n, 0, 0, 0); failed(r) {
		return r
	}
	return 0
}
