package emul

import (
	"sync/atomic"
	"unsafe"

	"hythe/abi"
)

// Streams between two tasks, each of which has the memory of both directions mapped
// (docs/lending.md). A thread that moves an end's word has the end's lock, if there are others: so nobody
// but the other task, and the server, changes it meanwhile.
// Both may lie; what is found is checked against what the server has said in Lent.Pos.

// streamEnd is one direction of a stream as a task has it by a descriptor.
type streamEnd struct {
	pos        uint64 // of the descriptor
	word       *uint64
	ring, size uintptr
	most       uintptr // how many bytes may be in it; of a stream's reader another direction's
	slot, dir  uintptr
	many       bool // the task has other threads
	locked     bool
	claimed    bool
	pipe       bool
	now        bool // who would have to wait is told EAGAIN
	site       bool // called from a patched site: kicks are not masked
	over       bool // there is no such stream
}

// pipeBuf is of how many bytes a write to a pipe is one (pipe(7)), and how much room a writer is woken for.
const pipeBuf = 4096

// streamOf begins to work with a stream, which ends with leaveStream if it is not over.
func (t *Thread) streamOf(uc *Ucontext, pos uint64, write bool) (e streamEnd) {
	e.pos = pos
	dir := uintptr(pos >> abi.StreamSide & 1)
	if !write {
		dir ^= 1
	}
	shift := uintptr(pos>>abi.StreamShift&abi.StreamShifts + abi.StreamMinShift)
	slot := uintptr(pos & abi.StreamSlots)
	e.pipe = lentKind(pos) == abi.LentIsPipe
	e.most = uintptr(pos>>abi.StreamCap&abi.StreamCaps) << abi.StreamCapUnit
	if shift > abi.StreamMaxShift || e.most == 0 || e.pipe && e.most != 1<<shift {
		e.over = true
		return e
	}
	e.slot, e.dir = slot, dir
	if e.many = t.task().Threads > 1; e.many {
		atomic.StoreUint32(&t.Stream, uint32(slot)+1) // before it is looked whether it is there: see unlendStream
	}
	if atomic.LoadUint64(t.streamTag(slot)) == 0 { // the host would not map it, or it is unmapped again
		e.over = true
		t.leaveStream(&e)
		return e
	}
	base := t.Window + StreamsOff + slot*abi.LentStreamSize
	e.size = 1 << shift
	e.word = (*uint64)(at(base + dir*abi.StreamWordSize))
	e.ring = base + abi.StreamRingOff + dir*e.size
	e.now = pos>>abi.StreamNow&1 != 0
	e.site = uc == &t.Site
	return e
}

// lent says whether the word v is that of the loan, and how many bytes it says are in the ring.
func (e *streamEnd) lent(v uint64) (used uintptr, ok bool) {
	used = uintptr(v & abi.StreamUsed)
	return used, v&abi.StreamLent != 0 && used <= e.size &&
		v>>abi.StreamWordNo&abi.StreamNos == e.pos>>abi.StreamNo&abi.StreamNos
}

// readStream serves read(2) of a stream: it waits until there is something, unless now is set.
func (t *Thread) readStream(uc *Ucontext, pos uint64, buf, n uintptr, now bool) (uintptr, bool) {
	e := t.streamOf(uc, pos, false)
	if e.over {
		return 0, false
	}
	e.now = e.now || now
	r, done := t.readFrom(&e, buf, n)
	t.leaveStream(&e)
	return r, done
}

func (t *Thread) readFrom(e *streamEnd, buf, n uintptr) (uintptr, bool) {
	if n == 0 {
		return 0, false
	}
	for range streamTries {
		if !t.lockEnd(e) {
			return 0, false
		}
		v := atomic.LoadUint64(e.word)
		used, ok := e.lent(v)
		if !ok {
			return 0, false
		}
		if used == 0 {
			if e.now {
				return errno(eAGAIN), true
			}
			if t.streamWait(e, v, abi.StreamReader) == errno(eINTR) {
				return errno(eINTR), true
			}
			continue
		}
		m := min(n, used)
		head := uintptr(v >> abi.StreamHead)
		if !t.inGuest(buf, m) || !t.ringOut(buf, e.ring, e.size, head%e.size, m) {
			return 0, false
		}
		return t.streamTook(e, head, m)
	}
	return 0, false
}

// streamTook has the word say that m bytes were taken from head on. A writer that sleeps is woken
// when half of the ring is free, or a page of a pipe.
func (t *Thread) streamTook(e *streamEnd, head, m uintptr) (uintptr, bool) {
	few := e.size / 2
	if e.pipe {
		few = e.size - pipeBuf
	}
	for range lentTries {
		v := atomic.LoadUint64(e.word)
		used, ok := e.lent(v)
		if !ok || used < m || uintptr(v>>abi.StreamHead) != head {
			return 0, false
		}
		to := v&(1<<abi.StreamHead-1) - uint64(m) | uint64(head+m)<<abi.StreamHead
		wake := v&abi.StreamWriter != 0 && used-m <= few
		if wake {
			to &^= abi.StreamWriter
		}
		if atomic.CompareAndSwapUint64(e.word, v, to) {
			if wake {
				t.streamWake(e)
			}
			t.streamTell(e, abi.StreamPollOut)
			return m, true
		}
	}
	return 0, false
}

// writeStream serves write(2) of a stream: it waits until all is written, at most unit bytes at
// once, from Thread.Done on. What a signal ends in the middle of answers what was written; what the server has to
// go on with it is told (Thread.Done). To a pipe a few bytes are written as a whole. now: it does not wait.
func (t *Thread) writeStream(uc *Ucontext, pos uint64, buf, n uintptr, now bool) (uintptr, bool) {
	e := t.streamOf(uc, pos, true)
	if e.over {
		return 0, false
	}
	e.now = e.now || now
	unit := uintptr(streamChunk)
	if lentKind(pos) == abi.LentIsUnits {
		unit = abi.StreamUnit
	}
	r, done := t.writeTo(&e, buf, n, unit)
	t.leaveStream(&e)
	return r, done
}

func (t *Thread) writeTo(e *streamEnd, buf, n, unit uintptr) (uintptr, bool) {
	done, tries := uintptr(t.Done), 0
	if done >= n || n >= 1<<31-abi.PageSize || e.most > e.size || !t.inGuest(buf, n) {
		return 0, false
	}
	t.Done = 0
	need := uintptr(1)
	if e.pipe && n <= pipeBuf {
		need = n
	}
	for done < n && tries < streamTries && t.lockEnd(e) {
		if e.pipe && !e.claimed {
			e.claimed = true
			atomic.StoreUint64(e.claim(), 1) // before the word is looked at
		}
		v := atomic.LoadUint64(e.word)
		used, ok := e.lent(v)
		if !ok {
			break
		}
		if used+need > e.most {
			if e.now && done > 0 {
				return done, true
			}
			if e.now {
				return errno(eAGAIN), true
			}
			tries++
			if t.streamWait(e, v, abi.StreamWriter) == errno(eINTR) {
				if done > 0 {
					return done, true // Kicked is looked at on the way back
				}
				return errno(eINTR), true
			}
			continue
		}
		m := min(e.most-used, n-done, unit)
		to := (uintptr(v>>abi.StreamHead) + used) % e.size
		if !t.ringIn(e.ring, e.size, to, buf+done, m) {
			break
		}
		if !t.streamPut(e, m) {
			break
		}
		done += m
		tries = 0
	}
	if done < n {
		t.Done = uint32(done)
		return 0, false
	}
	return n, true
}

// streamPut has the word say that m more bytes are in the ring, and wakes its reader.
func (t *Thread) streamPut(e *streamEnd, m uintptr) bool {
	fill := (*uint64)(unsafe.Add(unsafe.Pointer(e.word), abi.StreamFill))
	was := atomic.LoadUint64(fill)
	for range lentTries {
		v := atomic.LoadUint64(e.word)
		used, ok := e.lent(v)
		if !ok || used+m > e.size {
			return false
		}
		if e.pipe {
			atomic.StoreUint64(fill, filled(was, uint64(used), uint64(m)))
		}
		if atomic.CompareAndSwapUint64(e.word, v, (v+uint64(m))&^abi.StreamReader) {
			atomic.AddUint64((*uint64)(unsafe.Add(unsafe.Pointer(e.word), abi.StreamCount)), uint64(m))
			if v&abi.StreamReader != 0 {
				t.streamWake(e)
			}
			t.streamTell(e, abi.StreamPollIn)
			return true
		}
	}
	return false
}

// streamChunk is how much is put into a stream at once, so that its reader can have it while
// the next is being copied.
const streamChunk = 32 << 10

// streamTries is how often a call looks at a stream that it can do nothing with before it asks
// the server: only somebody who lies makes it look that often.
const streamTries = 256

// streamWait returns when the lower half of the word may not be that of v any more, or -EINTR:
// a kick has cut it. who is the mark of those who sleep. Only a process of one thread has ends that
// wait; a pipe's is not claimed meanwhile.
func (t *Thread) streamWait(e *streamEnd, v, who uint64) uintptr {
	t.unlockEnd(e)
	addr := uintptr(unsafe.Pointer(e.word))
	w := &t.task().Waits[waitsReader]
	if who == abi.StreamWriter {
		w = &t.task().Waits[waitsWriter]
	}
	since, looked, found := t.look(addr, uint32(v), w, false)
	if found {
		return 0
	}
	if v&who == 0 && !atomic.CompareAndSwapUint64(e.word, v, v|who) {
		return 0
	}
	if !e.site {
		t.kicks(0)
	}
	r := t.hostWait(sysFutex, addr, futexWait, uintptr(uint32(v|who)), 0, 0, 0)
	if !e.site {
		t.kicks(1)
	}
	t.slept(w, since, looked)
	return r
}

// streamTell tells the server that a direction has changed for which somebody sleeps in an epoll set
// (abi.StreamPoll...). It comes after the exchange of the word, as who is about to sleep looks at the word after he has
// said so: one of both sees the other.
func (t *Thread) streamTell(e *streamEnd, who uint32) {
	polled := (*uint32)(unsafe.Add(unsafe.Pointer(e.word), abi.StreamPolled))
	if atomic.LoadUint32(polled)&who == 0 {
		return
	}
	atomic.AndUint32(polled, ^who)
	atomic.StoreUint32(&t.area().Changed, 1)
	t.ring()
}

func (t *Thread) streamWake(e *streamEnd) {
	t.host(sysFutex, uintptr(unsafe.Pointer(e.word)), futexWake, 1<<30, 0, 0, 0)
}

// mapStream carries out an ActLend of a stream's memory.
func (t *Thread) mapStream(a *abi.Action) {
	slot, n, tag := uintptr(a.A[0]), uintptr(a.A[1]), uint64(a.Flags>>8)
	if slot >= abi.LentStreams || n == 0 || n > abi.LentStreamSize {
		return
	}
	t.lock()
	if g := t.takeGrant(abi.EventGrant, tag); g != nil {
		if t.unlendStream(slot) && !failed(t.host(sysMmap, t.Window+StreamsOff+slot*abi.LentStreamSize, n, protRead|protWrite, mapShared|mapFixed, uintptr(g.FDs[0]), 0)) {
			atomic.StoreUint64(t.streamTag(slot), tag)
		}
		t.closeFDs(&g.FDs)
		g.Op = 0
	}
	t.unlock()
}

// unlendStreamTagged carries out ActUnlend of a stream.
func (t *Thread) unlendStreamTagged(slot uintptr, tag uint64) {
	if slot >= abi.LentStreams {
		return
	}
	t.lock()
	if *t.streamTag(slot) == tag {
		t.unlendStream(slot)
	}
	t.unlock()
}

// unlendStream makes a place for a stream what it was: nobody else's. Callers hold the lock. False: a thread still
// works with the stream that was there, and does it when it leaves.
func (t *Thread) unlendStream(slot uintptr) bool {
	atomic.StoreUint64(t.streamTag(slot), 0)
	if t.streamBusy(slot) {
		return false
	}
	t.unmapStream(slot)
	return true
}

func (t *Thread) unmapStream(slot uintptr) {
	t.unmapPlace(StreamsOff+slot*abi.LentStreamSize, abi.LentStreamSize)
}

// streamTag is Task.Streams of a place.
func (t *Thread) streamTag(slot uintptr) *uint64 {
	return (*uint64)(unsafe.Add(unsafe.Pointer(&t.task().Streams), slot*8))
}

// endLock is Task.Ends of a place and direction.
func (t *Thread) endLock(slot, dir uintptr) *uint64 {
	return (*uint64)(unsafe.Add(unsafe.Pointer(&t.task().Ends), slot*16+dir*8))
}

// streamBusy says whether a thread works with a place. None begins to while its tag is 0. Callers hold the lock.
func (t *Thread) streamBusy(slot uintptr) bool {
	n := uintptr(atomic.LoadUint32(&t.task().Threads))
	for i := uintptr(0); i < n && i < abi.MaxSlots; i++ {
		if b := t.block(i); atomic.LoadUint32(&b.HostTid) != 0 && atomic.LoadUint32(&b.Stream) == uint32(slot)+1 {
			return true
		}
	}
	return false
}

// leaveStream ends the work with a stream. What was unmapped meanwhile, or could not be since others
// worked with it, the last one unmaps.
func (t *Thread) leaveStream(e *streamEnd) {
	t.unlockEnd(e)
	if !e.many {
		return
	}
	atomic.StoreUint32(&t.Stream, 0)
	if atomic.LoadUint64(t.streamTag(e.slot)) != 0 {
		return
	}
	t.lock()
	if *t.streamTag(e.slot) == 0 && !t.streamBusy(e.slot) {
		t.unmapStream(e.slot)
	}
	t.unlock()
}

// lockTries is how often a thread looks whether another one still has an end, of which it yields each time
// but the first ones.
const (
	lockTries = 64
	lockLooks = 4
)

// lockEnd sees to it that the thread alone moves an end's word. False: another one does, for as long as it
// is worth to wait: the server is to be asked, which takes the stream back. (What had the lock may be of a
// loan that is over, and copies yet.) Of a thread that is gone it is taken.
func (t *Thread) lockEnd(e *streamEnd) bool {
	if e.locked || !e.many {
		return true
	}
	word := t.endLock(e.slot, e.dir)
	me := uint64(t.HostTid)<<32 | uint64(t.Index+1)
	for try := range lockTries {
		h := atomic.LoadUint64(word)
		if h == 0 || t.goneFrom(h) {
			if atomic.CompareAndSwapUint64(word, h, me) {
				e.locked = true
				return true
			}
			continue
		}
		if try >= lockLooks {
			t.host(sysYield, 0, 0, 0, 0, 0, 0)
		}
		t.spin(uintptr(unsafe.Pointer(word)), uintptr(uint32(h)), uintptr(t.task().Spin)/yieldPart)
	}
	return false
}

// goneFrom says whether the thread that a lock names is gone.
func (t *Thread) goneFrom(h uint64) bool {
	i := uintptr(uint32(h)) - 1
	return i >= abi.MaxSlots || atomic.LoadUint32(&t.block(i).HostTid) != uint32(h>>32)
}

// claim is the word by which a pipe's writer says that it may be copying: then the server puts nothing
// into the ring.
func (e *streamEnd) claim() *uint64 {
	return (*uint64)(unsafe.Add(unsafe.Pointer(e.word), abi.StreamClaim))
}

func (t *Thread) unlockEnd(e *streamEnd) {
	if e.claimed {
		e.claimed = false
		atomic.StoreUint64(e.claim(), 0)
	}
	if e.locked {
		e.locked = false
		atomic.StoreUint64(t.endLock(e.slot, e.dir), 0)
	}
}
