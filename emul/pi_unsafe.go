package emul

import "hythe/abi"

// Words of futexes with an owner (linux/futex.h).
const (
	futexWaiters   = 0x8000_0000
	futexOwnerDied = 0x4000_0000
	futexTIDMask   = 0x3fff_ffff
)

// futexPI serves the operations on futexes with an owner. The words hold the ids
// that guests see, which the host's operations would take for threads of its own
// (HAZARDS D18): so the host only waits and wakes here. What it does not do is to
// lend the waiter's priority to the owner; all guests have the same one.
//
// A word whose lock is free, and for which somebody still waits, is futexWaiters
// alone: who takes it next comes by here and keeps the mark, so that a waiter that
// was woken and dies does not take the others' wake-up with it.
func (t *Thread) futexPI(cmd, op, addr, val, timeout, addr2, val3 uintptr) uintptr {
	realtime := op & futexRealtime
	if realtime != 0 && cmd != futexLockPI2 && cmd != futexWaitRequeuePI {
		return errno(eNOSYS)
	}
	if addr&3 != 0 {
		return errno(eINVAL)
	}
	op &= futexPrivate
	if cmd == futexUnlockPI {
		return t.unlockPI(addr, op)
	}
	if cmd == futexTrylockPI {
		return t.lockPI(addr, op, 0, true)
	}
	if cmd == futexCmpRequeuePI {
		if !t.inGuest(addr2, 4) || t.cas32(addr2, 0, 0) > 0xffffffff {
			return errno(eFAULT)
		}
		if addr2&3 != 0 || addr == addr2 || val != 1 {
			return errno(eINVAL)
		}
		v := t.cas32(addr, 0, 0)
		if v > 0xffffffff {
			return errno(eFAULT)
		}
		if v != uintptr(uint32(val3)) {
			return errno(eAGAIN)
		}
		// Each of them goes for the lock by itself.
		n := uintptr(uint32(timeout)) + 1
		if n > 1<<30 {
			n = 1 << 30
		}
		return t.hostOn(addr, 4, 0, sysFutex, addr, futexWake|op, n)
	}

	limit := uintptr(0)
	if timeout != 0 {
		limit = t.deadline(timeout)
		if failed(limit) {
			return limit
		}
	}
	if cmd == futexLockPI {
		return t.lockPI(addr, op|futexRealtime, limit, false)
	}
	if cmd == futexLockPI2 {
		return t.lockPI(addr, op|realtime, limit, false)
	}
	if !t.inGuest(addr2, 4) {
		return errno(eFAULT)
	}
	if addr2&3 != 0 || addr == addr2 {
		return errno(eINVAL)
	}
	if r := t.waitPI(addr, op|realtime, val, limit); r != 0 {
		return r
	}
	r := t.lockPI(addr2, op|realtime, limit, false)
	if r == errno(eINTR) {
		// It cannot wait anew for what came; the caller looks and tries again.
		return errno(eAGAIN)
	}
	return r
}

// waitPI waits while the word is val. op has the flags.
func (t *Thread) waitPI(addr, op, val, limit uintptr) uintptr {
	return t.waitOn(addr, futexWaitBitset|op, val, limit, 0xffffffff)
}

// lockPI takes the lock of a word.
func (t *Thread) lockPI(addr, op, limit uintptr, try bool) uintptr {
	tid := uintptr(uint32(t.Words[abi.ThreadTid]))
	waited := uintptr(0)
	for {
		v := t.cas32(addr, 0, tid|waited)
		if v == 0 {
			return 0
		}
		if v > 0xffffffff {
			return errno(eFAULT)
		}
		owner := v & futexTIDMask
		if owner == tid {
			return errno(eDEADLK)
		}
		if owner == 0 {
			if t.cas32(addr, v, v|tid|waited) == v {
				return 0
			}
			continue
		}
		if try {
			return errno(eAGAIN)
		}
		if op&futexPrivate != 0 && !t.lives(owner) {
			return errno(eSRCH)
		}
		if v&futexWaiters == 0 {
			if t.cas32(addr, v, v|futexWaiters) != v {
				continue
			}
			v |= futexWaiters
		}
		waited = futexWaiters
		if r := t.waitPI(addr, op, v, limit); r != 0 && r != errno(eAGAIN) {
			return r
		}
	}
}

// unlockPI gives the lock of a word up.
func (t *Thread) unlockPI(addr, op uintptr) uintptr {
	tid := uintptr(uint32(t.Words[abi.ThreadTid]))
	for {
		v := t.cas32(addr, tid, 0)
		if v == tid {
			return 0
		}
		if v > 0xffffffff {
			return errno(eFAULT)
		}
		if v&futexTIDMask != tid {
			return errno(ePERM)
		}
		left := v & futexWaiters
		if t.cas32(addr, v, left) != v {
			continue
		}
		if left != 0 && t.hostOn(addr, 4, 0, sysFutex, addr, futexWake|op, 1) == 0 {
			t.cas32(addr, futexWaiters, 0)
		}
		return 0
	}
}

// lives says whether the task has a thread of this id.
func (t *Thread) lives(tid uintptr) bool {
	task := t.task()
	for i := uintptr(0); i < uintptr(task.Threads) && i < abi.MaxSlots; i++ {
		b := t.block(i)
		if b.HostTid != 0 && uintptr(uint32(b.Words[abi.ThreadTid])) == tid {
			return true
		}
	}
	return false
}
