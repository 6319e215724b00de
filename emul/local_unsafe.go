package emul

import (
	"sync/atomic"
	"unsafe"

	"hythe/abi"
)

// local serves a call in the task: the value or negative errno, and true; or
// false if the server must decide.
func local(t *Thread, uc *Ucontext, d *abi.CallDesc) (uintptr, bool) {
	k := d.Local
	a, b, c := uintptr(uc.Regs.DI), uintptr(uc.Regs.SI), uintptr(uc.Regs.DX)
	// What takes least is looked for first.
	if k == abi.LocalSeek {
		return t.seekLent(a, b, c)
	}
	if k == abi.LocalMmap || k == abi.LocalMunmap {
		return t.localMemory(uc, k, a, b, c)
	}
	if k == abi.LocalWord {
		i := d.Pre[0].Arg
		if i >= abi.TaskWords {
			return 0, false
		}
		if i == abi.TaskPid {
			return uintptr(t.Words[abi.ThreadPid]), true
		}
		return uintptr(atomic.LoadUint64(&t.task().Words[i])), true
	}
	if k == abi.LocalTold {
		i := uintptr(d.Pre[0].Arg)
		if i >= abi.ToldWords {
			return 0, false
		}
		v := atomic.LoadUint64((*uint64)(unsafe.Add(unsafe.Pointer(&t.area().Told), i*8)))
		return uintptr(v - 1), v != 0
	}
	if k == abi.LocalTid {
		return uintptr(t.Words[abi.ThreadTid]), true
	}
	if k == abi.LocalRead || k == abi.LocalPread {
		return t.readLent(uc, k, a, b, c, uintptr(uc.Regs.R10))
	}
	if k == abi.LocalWrite {
		return t.writeLent(uc, a, b, c)
	}
	if k == abi.LocalEpoll || k == abi.LocalEpollMask {
		return t.epollLent(uc, k, a, b, c)
	}
	if k == abi.LocalPwrite {
		return t.pwriteLent(a, b, c, uintptr(uc.Regs.R10))
	}
	if k >= abi.LocalRecv && k <= abi.LocalWritev {
		return t.sockCalls(uc, k, a, b, c)
	}
	if k == abi.LocalStat {
		return t.statLent(a, b)
	}
	if k == abi.LocalStatAt {
		if uint32(uc.Regs.R10) != atEmptyPath {
			return t.nameKept(uc, d)
		}
		if t.copyIn(uintptr(unsafe.Pointer(&t.Scratch)), b, 1) != 0 || uint8(t.Scratch[0]) != 0 {
			return 0, false
		}
		return t.statLent(a, c)
	}
	if k == abi.LocalIoctl {
		return t.ioctlLent(a, b)
	}
	if k == abi.LocalFcntl {
		return t.fcntlLent(a, b, c)
	}
	if k == abi.LocalOpen {
		return t.openKept(uc, d)
	}
	if k == abi.LocalClose {
		return t.closePosted(a)
	}
	if k == abi.LocalEpollCtl {
		return t.epollCtlLent(a, b, c, uintptr(uc.Regs.R10))
	}
	if k == abi.LocalName {
		return t.nameKept(uc, d)
	}
	if k == abi.LocalSigMask {
		return t.sigMask(a, b, c, uintptr(uc.Regs.R10))
	}
	if k == abi.LocalSigAction {
		return t.sigAction(a, b, c, uintptr(uc.Regs.R10))
	}
	if k == abi.LocalFutex {
		return t.futex(uc)
	}
	if k == abi.LocalClock {
		// The clocks of this task and of the machine; negative ids name
		// other processes.
		if a > 11 {
			return 0, false
		}
		if !t.inGuest(b, 16) {
			return errno(eFAULT), true
		}
		return t.hostOn(b, 16, 1, sysClockGettime, a, b, 0), true
	}
	if k == abi.LocalClocks {
		v := d.Digit(uint64(a))
		if v == abi.NoDigit {
			return 0, false
		}
		if !t.inGuest(b, 16) {
			return errno(eFAULT), true
		}
		return t.hostOn(b, 16, 1, sysClockGettime, uintptr(v), b, 0), true
	}
	if k == abi.LocalRandom {
		// More than that may be interrupted. Flags: GRND_NONBLOCK, RANDOM, INSECURE.
		if b > 256 || c > 7 || c&6 == 6 {
			return 0, false
		}
		if !t.inGuest(a, b) {
			return errno(eFAULT), true
		}
		return t.hostOn(a, b, 1, sysGetrandom, a, b, 0), true
	}
	if k >= abi.LocalSetTid && k <= abi.LocalLimit {
		return t.localLate(uc, k, a, b, c)
	}
	if k == abi.LocalExit {
		return t.endPosted(a)
	}
	if k == abi.LocalUmtx {
		return t.umtx(uc)
	}
	if k == abi.LocalSemAcquire || k == abi.LocalSemTimed || k == abi.LocalSemRelease {
		return t.semaphore(uc, k)
	}
	if k == abi.LocalPark {
		return t.park(uc)
	}
	if k == abi.LocalUnpark {
		return t.unpark(uint32(a))
	}
	if k == abi.LocalSleepWord {
		return t.sleepWord(a, b, c), true
	}
	if k == abi.LocalWakeWord {
		return t.wakeWord(a, b), true
	}
	if k == abi.LocalNanosleep {
		return t.sleep(clockMono, 0, a, b)
	}
	if k == abi.LocalClockSleep {
		return t.sleep(a, b, c, uintptr(uc.Regs.R10))
	}
	if k == abi.LocalYield {
		return t.host(sysYield, 0, 0, 0, 0, 0, 0), true
	}
	if k == abi.LocalArchPrctl {
		return t.archPrctl(a, b)
	}
	if k == abi.LocalMembarrier {
		return t.membarrier(a, b)
	}
	if k == abi.LocalGetcpu {
		if a != 0 && !t.inGuest(a, 4) || b != 0 && !t.inGuest(b, 4) {
			return errno(eFAULT), true
		}
		r := t.host(sysGetcpu, a, b, 0, 0, 0, 0)
		for try := uintptr(0); t.missed(r, try) && (a == 0 || t.fetch(a, 4, 1)) && (b == 0 || t.fetch(b, 4, 1)); try++ {
			r = t.host(sysGetcpu, a, b, 0, 0, 0, 0)
		}
		return r, true
	}
	if k >= abi.LocalPortOpen && k <= abi.LocalPortMap || k == abi.LocalPortPaged || k == abi.LocalPortFaults {
		return t.ports(uc, k, a, b, c)
	}
	if k == abi.LocalInherit {
		return t.inherit(a, b, c), true
	}
	if k == abi.LocalAdvice {
		v := d.Digit(uint64(c))
		if v == abi.NoDigit {
			return 0, false
		}
		k = abi.LocalMadvise
		c = uintptr(v)
	}
	return t.localMemory(uc, k, a, b, c)
}

// localLate serves calls of which the server hears later, or need not hear.
func (t *Thread) localLate(uc *Ucontext, k uint8, a, b, c uintptr) (uintptr, bool) {
	s := t.slot()
	if k == abi.LocalSetTid {
		s.LateTid = uint64(a)
		t.Words[abi.ThreadClear] = uint64(a)
		atomic.StoreUint32(&s.Late, s.Late|abi.LateIsTid)
		return uintptr(t.Words[abi.ThreadTid]), true
	}
	if k == abi.LocalSetRobust {
		if b != abi.RobustSize {
			return errno(eINVAL), true
		}
		s.LateRobust = uint64(a)
		atomic.StoreUint32(&s.Late, s.Late|abi.LateIsRobust)
		t.Words[abi.ThreadRobust] = uint64(a)
		if atomic.LoadUint64(&t.area().Told[abi.ToldEnding]) != 0 {
			return 0, false // who ends the process may have looked before
		}
		return 0, true
	}
	if k == abi.LocalNosys {
		return errno(eNOSYS), true
	}
	// LocalLimit
	v := atomic.LoadUint64(&t.area().Told[abi.ToldStack])
	to := uintptr(uc.Regs.R10)
	if v == 0 || uint32(a) != 0 || uint32(b) != abi.LimitStack || c != 0 || to == 0 {
		return 0, false
	}
	t.Scratch[0] = v - 1
	t.Scratch[1] = ^uint64(0)
	if t.copyOut(to, uintptr(unsafe.Pointer(&t.Scratch)), 16) != 0 {
		return errno(eFAULT), true
	}
	return 0, true
}

func (t *Thread) localMemory(uc *Ucontext, k uint8, a, b, c uintptr) (uintptr, bool) {
	if k == abi.LocalMmap {
		return t.mmap(a, b, c, uintptr(uc.Regs.R10))
	}
	if k == abi.LocalBrk {
		return t.brk(a), true
	}
	if k == abi.LocalMremap {
		return t.mremap(a, b, c, uintptr(uc.Regs.R10), uintptr(uc.Regs.R8)), true
	}
	if k == abi.LocalMunmap {
		if a&pageMask != 0 || b == 0 || !t.inGuest(a, b) {
			return errno(eINVAL), true
		}
		t.dropText(a, b)
		t.dropRegions(a, b)
		return t.host(sysMunmap, a, b, 0, 0, 0, 0), true
	}
	// The others check a range that must be mapped: Linux answers ENOMEM for
	// one that is not.
	if a&pageMask != 0 {
		return errno(eINVAL), true
	}
	if !t.inGuest(a, b) {
		return errno(eNOMEM), true
	}
	if k == abi.LocalMprotect {
		t.dropText(a, b)
		return t.host(sysMprotect, a, b, c, 0, 0, 0), true
	}
	if k == abi.LocalMadvise {
		if !adviceOK(c) {
			return errno(eINVAL), true
		}
		return t.host(sysMadvise, a, b, c, 0, 0, 0), true
	}
	if k == abi.LocalMincore {
		if !t.inGuest(c, (b+pageMask)>>12) {
			return errno(eFAULT), true
		}
		return t.hostOn(c, (b+pageMask)>>12, 1, sysMincore, a, b, c), true
	}
	if k == abi.LocalMsync {
		return t.host(sysMsync, a, b, c, 0, 0, 0), true
	}
	if k == abi.LocalMlock {
		// An asynchronous msync does nothing but check the range.
		return t.host(sysMsync, a, b, msAsync, 0, 0, 0), true
	}
	return 0, false
}

// adviceOK says which madvise(2) advice the host may hear: NORMAL RANDOM
// SEQUENTIAL WILLNEED DONTNEED, FREE REMOVE DONTFORK DOFORK, HUGEPAGE
// NOHUGEPAGE DONTDUMP DODUMP WIPEONFORK KEEPONFORK, COLD PAGEOUT POPULATE_READ
// POPULATE_WRITE.
func adviceOK(c uintptr) bool {
	return c <= 4 || c >= 8 && c <= 11 || c >= 14 && c <= 23
}

// mmap serves anonymous mappings; others need the server.
func (t *Thread) mmap(addr, n, prot, flags uintptr) (uintptr, bool) {
	if flags&mapAnon == 0 {
		return 0, false
	}
	if n == 0 {
		return errno(eINVAL), true
	}
	if n > t.Window || flags&mapHuge != 0 {
		return errno(eNOMEM), true
	}
	flags &^= mapLocked
	if flags&(mapFixed|mapNoreplace) == 0 {
		addr = unplaced(addr, n)
	}
	if !t.inGuest(addr, n) {
		if flags&(mapFixed|mapNoreplace) != 0 {
			return errno(eNOMEM), true
		}
		addr = 0
	}
	if flags&(mapFixed|mapNoreplace) != 0 {
		t.dropText(addr, n)
	}
	if flags&(mapFixed|mapNoreplace) == mapFixed {
		t.dropRegions(addr, n)
	}
	return t.host(sysMmap, addr, n, prot, flags, ^uintptr(0), 0), true
}

// unplaced is an address at which memory may be that need not be there: none where placed
// objects are (abi.PlacedBase).
func unplaced(addr, n uintptr) uintptr {
	if addr < abi.PlacedEnd && n > 0 && addr+n > abi.PlacedBase {
		return 0
	}
	return addr
}

// brk moves the end of the data region, as brk(2): the new end, or the old one
// when it cannot.
func (t *Thread) brk(end uintptr) uintptr {
	w := &t.task().Words
	t.lock()
	start := uintptr(w[abi.TaskBrkStart])
	old := uintptr(w[abi.TaskBrk])
	if end < start || end >= t.Window || w[abi.TaskBrkLimit] != 0 && uint64(end-start) > w[abi.TaskBrkLimit] {
		t.unlock()
		return old
	}
	from := (old + pageMask) &^ pageMask
	to := (end + pageMask) &^ pageMask
	r := uintptr(0)
	if to > from {
		r = t.host(sysMmap, from, to-from, protRead|protWrite, mapPrivate|mapAnon|mapFixed|mapNoreplace, ^uintptr(0), 0)
	} else if to < from {
		r = t.host(sysMunmap, to, from-to, 0, 0, 0, 0)
	}
	if failed(r) {
		end = old
	}
	w[abi.TaskBrk] = uint64(end)
	t.unlock()
	return end
}

func (t *Thread) mremap(old, oldLen, n, flags, to uintptr) uintptr {
	if flags&^(mremapMaymove|mremapFixed|mremapDontunmap) != 0 || n == 0 || n > t.Window {
		return errno(eINVAL)
	}
	if !t.inGuest(old, oldLen) {
		return errno(eFAULT)
	}
	if flags&mremapFixed != 0 && !t.inGuest(to, n) {
		return errno(eINVAL)
	}
	if flags&mremapMaymove == 0 && !t.inGuest(old, n) {
		return errno(eNOMEM)
	}
	t.dropText(old, max(oldLen, n))
	t.dropRegions(old, max(oldLen, n))
	if flags&mremapFixed == 0 {
		to = 0
	} else {
		t.dropText(to, n)
		t.dropRegions(to, n)
	}
	return t.host(sysMremap, old, oldLen, n, flags, to, 0)
}

// archPrctl serves the four base registers. GS is the guest's too.
func (t *Thread) archPrctl(code, a uintptr) (uintptr, bool) {
	if code == archSetFS {
		return t.setFS(a), true
	}
	if code == archSetGS {
		if a >= maxUser {
			return errno(ePERM), true
		}
		if a == 0 && t.task().Patch != 0 {
			a = t.addr() // what patched call sites need; nothing is at 0 either
		}
		return t.host(sysArchPrctl, code, a, 0, 0, 0, 0), true
	}
	if code == archGetFS || code == archGetGS {
		if !t.inGuest(a, 8) {
			return errno(eFAULT), true
		}
		if code == archGetGS && t.task().Patch != 0 && t.getGS() == t.addr() {
			if t.zeroMem(a, 8) != 0 {
				return errno(eFAULT), true
			}
			return 0, true
		}
		return t.hostOn(a, 8, 1, sysArchPrctl, code, a, 0), true
	}
	return 0, false
}

// membarrierOK are the commands of membarrier(2) that concern this task only:
// PRIVATE_EXPEDITED and its registration, and both for SYNC_CORE.
const membarrierOK = 8 | 16 | 32 | 64

func (t *Thread) membarrier(cmd, flags uintptr) (uintptr, bool) {
	if flags != 0 {
		return errno(eINVAL), true
	}
	if cmd == 0 {
		r := t.host(sysMembarrier, 0, 0, 0, 0, 0, 0)
		if failed(r) {
			return r, true
		}
		return r & membarrierOK, true
	}
	if cmd&(cmd-1) != 0 || cmd&membarrierOK == 0 {
		return errno(eINVAL), true
	}
	return t.host(sysMembarrier, cmd, 0, 0, 0, 0, 0), true
}

// futex serves futex(2), all but the operations on words with an owner natively.
func (t *Thread) futex(uc *Ucontext) (uintptr, bool) {
	addr, op, val := uintptr(uc.Regs.DI), uintptr(uc.Regs.SI), uintptr(uc.Regs.DX)
	timeout, addr2, val3 := uintptr(uc.Regs.R10), uintptr(uc.Regs.R8), uintptr(uc.Regs.R9)
	op = uintptr(uint32(op))
	cmd := op & 127
	if op&^(127|futexPrivate|futexRealtime) != 0 {
		return errno(eNOSYS), true
	}
	if !t.inGuest(addr, 4) {
		return errno(eFAULT), true
	}
	if cmd == futexWake || cmd == futexWakeBitset {
		r := t.host(sysFutex, addr, op, val, 0, 0, val3)
		for try := uintptr(0); t.missed(r, try) && t.fetch(addr, 4, 0); try++ {
			r = t.host(sysFutex, addr, op, val, 0, 0, val3)
		}
		return r, true
	}
	if cmd == futexRequeue || cmd == futexCmpRequeue || cmd == futexWakeOp {
		if !t.inGuest(addr2, 4) {
			return errno(eFAULT), true
		}
		r := t.host(sysFutex, addr, op, val, timeout, addr2, val3)
		for try := uintptr(0); t.missed(r, try) && t.fetch(addr, 4, 0) && t.fetch(addr2, 4, 1); try++ {
			r = t.host(sysFutex, addr, op, val, timeout, addr2, val3)
		}
		return r, true
	}
	if cmd >= futexLockPI && cmd <= futexTrylockPI || cmd >= futexWaitRequeuePI && cmd <= futexLockPI2 {
		return t.futexPI(cmd, op, addr, val, timeout, addr2, val3), true
	}
	if cmd != futexWait && cmd != futexWaitBitset {
		return errno(eNOSYS), true
	}
	limit := uintptr(0)
	if timeout != 0 {
		limit = t.addr() + unsafe.Offsetof(t.Deadline)
		if t.Redo == 0 {
			if r := t.deadline(timeout); failed(r) {
				return r, true
			}
			if cmd == futexWait {
				t.addNow(op)
			}
		}
	}
	if cmd == futexWait {
		// Absolute from here on, so that a wait that a kick cut can go on.
		op = futexWaitBitset | op&(futexPrivate|futexRealtime)
		val3 = 0xffffffff
	}
	r := t.waitOn(addr, op, val, limit, val3)
	if r == errno(eINTR) {
		t.Redo = 1
	}
	return r, true
}

// Operations of _umtx_op(2) that the library serves (FreeBSD's sys/umtx.h), and the flag
// and the size of its struct _umtx_time.
const (
	umtxWait        = 2
	umtxWake        = 3
	umtxWaitUint    = 11
	umtxWaitUintOwn = 15
	umtxWakeOwn     = 16
	umtxAbstime     = 1
	umtxTimeSize    = 24
)

// umtx serves _umtx_op(2): address, operation, value, and for waits the size of the
// time limit, and where it is. A word that does not have the value is no error.
func (t *Thread) umtx(uc *Ucontext) (uintptr, bool) {
	addr, op, val := uintptr(uc.Regs.DI), uintptr(uint32(uc.Regs.SI)), uintptr(uc.Regs.DX)
	size, timeout := uintptr(uc.Regs.R10), uintptr(uc.Regs.R8)
	private := uintptr(futexPrivate)
	if op == umtxWake || op == umtxWait || op == umtxWaitUint {
		private = 0
	}
	if op == umtxWake || op == umtxWakeOwn {
		if !t.inGuest(addr, 4) {
			return errno(eFAULT), true
		}
		if r := t.hostOn(addr, 4, 0, sysFutex, addr, futexWake|private, uintptr(int(int32(uint32(val))))); failed(r) {
			return r, true
		}
		return 0, true
	}
	if op != umtxWait && op != umtxWaitUint && op != umtxWaitUintOwn {
		return 0, false
	}
	if !t.inGuest(addr, 8) {
		return errno(eFAULT), true
	}
	if op == umtxWait {
		// A long: its high half is compared once, since the host's wait sees the low
		// one alone.
		if t.copyMem(uintptr(unsafe.Pointer(&t.Scratch)), addr, 8) != 0 {
			return errno(eFAULT), true
		}
		if t.Scratch[0] != uint64(val) {
			return 0, true
		}
	}
	limit := uintptr(0)
	op = futexWaitBitset | private
	if timeout != 0 {
		flags, clock := uint64(0), uint64(0)
		if size >= umtxTimeSize {
			if !t.inGuest(timeout, umtxTimeSize) || t.copyMem(uintptr(unsafe.Pointer(&t.Scratch)), timeout, umtxTimeSize) != 0 {
				return errno(eFAULT), true
			}
			flags, clock = t.Scratch[2]&0xffffffff, t.Scratch[2]>>32
		}
		if flags&umtxAbstime != 0 && clock == 0 {
			op |= futexRealtime
		}
		limit = t.addr() + unsafe.Offsetof(t.Deadline)
		if t.Redo == 0 {
			if r := t.deadline(timeout); failed(r) {
				return r, true
			}
			if flags&umtxAbstime == 0 {
				t.addNow(op)
			}
		}
	}
	r := t.waitOn(addr, op, uintptr(uint32(val)), limit, 0xffffffff)
	if r == errno(eINTR) {
		t.Redo = 1
	}
	if r == errno(eAGAIN) {
		return 0, true
	}
	return r, true
}

// semaphore serves calls on a semaphore that is a word of memory (argument 0). Whoever
// has the memory mapped may wait on the other end. What is no semaphore is the server's
// affair.
func (t *Thread) semaphore(uc *Ucontext, k uint8) (uintptr, bool) {
	s := t.slot()
	t.arguments(uc, s)
	addr, v := uintptr(s.Args[0]), uintptr(uint32(s.Args[1]))
	if addr&3 != 0 || !t.inGuest(addr, 4) || s.Args[7] != 0 && addr == 0 {
		return 0, false
	}
	if k == abi.LocalSemRelease && int32(uint32(v)) < 0 {
		return 0, false
	}
	limit := uintptr(0)
	if k == abi.LocalSemTimed {
		limit = t.addr() + unsafe.Offsetof(t.Deadline)
		if t.Redo == 0 {
			t.Deadline[0] = uint64(v) / 1000
			t.Deadline[1] = uint64(v) % 1000 * 1000000
			t.addNow(0)
		}
	}
	for {
		now := t.cas32(addr, 0, 0)
		if now > 0xffffffff || int32(uint32(now)) < 0 {
			return 0, false
		}
		if k == abi.LocalSemRelease {
			next := uintptr(uint32(now + v))
			if t.cas32(addr, now, next) != now {
				continue
			}
			if v != 0 {
				t.host(sysFutex, addr, futexWake, v, 0, 0, 0)
			}
			return next, true
		}
		if now != 0 {
			if t.cas32(addr, now, now-1) == now {
				return 1, true
			}
			continue
		}
		if k == abi.LocalSemAcquire && v == 0 {
			return 0, true
		}
		t.kicks(0)
		r := t.hostWait(sysFutex, addr, futexWaitBitset, 0, limit, 0, 0xffffffff)
		t.kicks(1)
		if r == errno(eINTR) {
			t.Redo = 1
			return r, true
		}
		if r == errno(eTIMEDOUT) {
			return 0, true
		}
	}
}

// deadline copies a time limit into Deadline and answers where that is, or a
// negative errno.
func (t *Thread) deadline(timeout uintptr) uintptr {
	limit := t.addr() + unsafe.Offsetof(t.Deadline)
	if !t.inGuest(timeout, 16) || t.copyMem(limit, timeout, 16) != 0 {
		return errno(eFAULT)
	}
	if t.Deadline[0] >= 1<<63 || t.Deadline[1] >= 1e9 {
		return errno(eINVAL)
	}
	return limit
}

// addNow makes the relative Deadline absolute on the clock that op names.
func (t *Thread) addNow(op uintptr) {
	clock := uintptr(1)
	if op&futexRealtime != 0 {
		clock = 0
	}
	t.host(sysClockGettime, clock, uintptr(unsafe.Pointer(&t.Scratch)), 0, 0, 0, 0)
	t.Deadline[0] += t.Scratch[0]
	t.Deadline[1] += t.Scratch[1]
	if t.Deadline[1] >= 1e9 {
		t.Deadline[1] -= 1e9
		t.Deadline[0]++
	}
	if t.Deadline[0] >= 1<<63 {
		t.Deadline[0] = 1<<63 - 1
	}
}

// kicks masks (1) or unmasks (0) kicks; everything else is always unmasked.
func (t *Thread) kicks(mask uintptr) {
	t.Scratch[0] = kickMask
	how := uintptr(1) // SIG_UNBLOCK
	if mask != 0 {
		how = 0 // SIG_BLOCK
	}
	t.host(sysSigprocmask, how, uintptr(unsafe.Pointer(&t.Scratch)), 0, 8, 0, 0)
}
