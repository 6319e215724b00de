package emul

import (
	"sync/atomic"
	"unsafe"

	"hythe/abi"
)

// Files that the server has lent to the task (docs/lending.md): they are mapped in the
// window, and what is read of them is copied from there. Whatever is not as it is expected
// to be is the server's affair.

// lent answers the record of a descriptor, nil if there can be none. A child that lives in
// its parent's task (vfork) has descriptors of its own.
func (t *Thread) lent(fd uintptr) *abi.Lent {
	if fd >= abi.LentFiles || t.Words[abi.ThreadVfork] != 0 || atomic.LoadUint64(t.closeWord(fd))&abi.Closed != 0 {
		return nil
	}
	return (*abi.Lent)(unsafe.Add(unsafe.Pointer(&t.area().Lent), fd*unsafe.Sizeof(abi.Lent{})))
}

// readLent serves read(2) and pread(2).
func (t *Thread) readLent(uc *Ucontext, k uint8, fd, buf, n, off uintptr) (uintptr, bool) {
	l := t.lent(fd)
	if l == nil {
		return 0, false
	}
	pos := uint64(0)
	if k == abi.LocalRead {
		pos = atomic.LoadUint64(&l.Pos)
		if pos&abi.LentPos == 0 {
			return 0, false
		}
		if lentKind(pos) == abi.LentIsReader {
			return t.readPipe(pos, buf, n)
		}
		if isHost(pos) {
			return t.recvHost(uc, fd, pos, buf, n, false)
		}
		if lentKind(pos) >= abi.LentIsStream {
			return t.readStream(uc, pos, buf, n, false)
		}
		if lentKind(pos) != abi.LentIsOffset {
			return t.readEvent(l, pos, buf, n)
		}
		off = uintptr(pos & abi.LentAt)
	}
	gen := atomic.LoadUint64(&l.Gen)
	if gen&1 == 0 {
		return 0, false
	}
	size, bits := uintptr(atomic.LoadUint64(&l.Size)), uintptr(atomic.LoadUint32(&l.Slot))
	slot := bits & abi.LentSlots
	if slot >= abi.LentMaps || bits&abi.LentNoRead != 0 || n == 0 || n >= 1<<31 {
		return 0, false
	}
	if off >= size {
		ends := off <= abi.LentAt && atomic.LoadUint32(&l.Ends) != 0
		return 0, ends && atomic.LoadUint64(&l.Gen) == gen
	}
	n = min(n, size-off)
	if off >= abi.LentMapSize || n > abi.LentMapSize-off || !t.inGuest(buf, n) {
		return 0, false
	}
	// The file may have become shorter, and the guest's memory may not be there.
	if t.copyMem(buf, t.Window+LentOff+slot*abi.LentMapSize+off, n) != 0 {
		return 0, false
	}
	// Was it taken back meanwhile, the mapping may already have been another file's.
	if atomic.LoadUint64(&l.Gen) != gen {
		return 0, false
	}
	if k == abi.LocalRead && !atomic.CompareAndSwapUint64(&l.Pos, pos, pos+uint64(n)) {
		return 0, false // somebody else has moved it, or it was taken back
	}
	return n, true
}

func lentKind(pos uint64) uint64 { return pos >> abi.LentKind & abi.LentKinds }

// readEvent serves read(2) of an event counter, which Pos was just now. One with nothing in it
// is the server's affair, which knows who sleeps.
func (t *Thread) readEvent(l *abi.Lent, pos uint64, buf, n uintptr) (uintptr, bool) {
	kind := lentKind(pos)
	if kind != abi.LentIsEvent && kind != abi.LentIsSemaphore || n < 8 || !t.inGuest(buf, 8) {
		return 0, false
	}
	for range lentTries {
		v := pos & abi.LentOffset
		if pos&abi.LentPos == 0 || lentKind(pos) != kind || v == 0 {
			return 0, false
		}
		if kind == abi.LentIsSemaphore {
			v = 1
		}
		t.Scratch[0] = v
		if t.copyMem(buf, uintptr(unsafe.Pointer(&t.Scratch)), 8) != 0 {
			return 0, false
		}
		if atomic.CompareAndSwapUint64(&l.Pos, pos, pos-v) {
			return 8, true
		}
		pos = atomic.LoadUint64(&l.Pos)
	}
	return 0, false
}

// writeFile serves pwrite(2), or write(2) by the offset that pos, of Lent.Pos, says (0: off), over
// bytes that a file has. The bytes count if the file is still lent when they are there and
// Wrote says so; else the server is asked to write them once more, where they are
// already. The mapping becomes no other file's meanwhile: who carries out ActLend sees that
// somebody writes, and who comes to write after that that the file was taken back.
//
// What makes the file longer, as far as there is room, counts when Size says so: as long as nobody
// else has made it longer, and the file was not taken back.
func (t *Thread) writeFile(l *abi.Lent, pos uint64, buf, n, off uintptr) (uintptr, bool) {
	gen := atomic.LoadUint64(&l.Gen)
	bits := uintptr(atomic.LoadUint32(&l.Slot))
	slot := bits & abi.LentSlots
	if gen&1 == 0 || bits&abi.LentWrite == 0 || slot >= abi.LentMaps {
		return 0, false
	}
	if pos != 0 {
		if bits&abi.LentWriteOwn == 0 {
			return 0, false
		}
		off = uintptr(pos & abi.LentAt)
	}
	size := uintptr(atomic.LoadUint64(&l.Size))
	end := off + n
	room := min(max(size, bits>>abi.LentRoom<<abi.LentRoomShift), abi.LentMapSize)
	if off > size || n == 0 || end < off || end > room || !t.inGuest(buf, n) {
		return 0, false
	}
	busy := t.lentBusy(slot)
	atomic.AddUint32(busy, 1)
	done := atomic.LoadUint64(&l.Gen) == gen && t.copyMem(t.Window+LentOff+slot*abi.LentMapSize+off, buf, n) == 0
	if done {
		// The exchange is the barrier between the bytes and the look at Gen.
		at := uint64(t.cycles()) | 1
		if at == atomic.LoadUint64(&l.Wrote) {
			at += 2
		}
		atomic.SwapUint64(&l.Wrote, at)
		if end > size {
			// It is as long when the server sees that, before it has taken it back. (Lent again since
			// with the same size, what was copied may not be in it any more.)
			done = atomic.CompareAndSwapUint64(&l.Size, uint64(size), uint64(end))
		}
		done = done && atomic.LoadUint64(&l.Gen) == gen
	}
	atomic.AddUint32(busy, ^uint32(0))
	// Only the server moves the offset beside the process's one thread: it has it where it was.
	return n, done && (pos == 0 || atomic.CompareAndSwapUint64(&l.Pos, pos, pos+uint64(n)))
}

// pwriteLent serves pwrite(2).
func (t *Thread) pwriteLent(fd, buf, n, off uintptr) (uintptr, bool) {
	l := t.lent(fd)
	if l == nil {
		return 0, false
	}
	return t.writeFile(l, 0, buf, n, off)
}

// writeLent serves write(2) to a file, to an event counter or a pipe that has room, or to a stream.
func (t *Thread) writeLent(uc *Ucontext, fd, buf, n uintptr) (uintptr, bool) {
	l := t.lent(fd)
	if l == nil {
		return 0, false
	}
	pos := atomic.LoadUint64(&l.Pos)
	if pos&abi.LentPos == 0 {
		return 0, false
	}
	kind := lentKind(pos)
	if isHost(pos) {
		return t.sendHost(uc, fd, pos, buf, n, 0, false)
	}
	if kind == abi.LentIsOffset {
		return t.writeFile(l, pos, buf, n, 0)
	}
	if kind >= abi.LentIsStream {
		return t.writeStream(uc, pos, buf, n, false)
	}
	if t.Done != 0 {
		return 0, false // it was a stream when it began
	}
	if kind == abi.LentIsWriter {
		return t.writePipe(pos, buf, n)
	}
	if kind != abi.LentIsEvent && kind != abi.LentIsSemaphore || n < 8 ||
		!t.inGuest(buf, 8) || t.copyMem(uintptr(unsafe.Pointer(&t.Scratch)), buf, 8) != 0 {
		return 0, false
	}
	for range lentTries {
		v := t.Scratch[0]
		if pos&abi.LentPos == 0 || lentKind(pos) != kind || v > abi.LentOffset-pos&abi.LentOffset {
			return 0, false
		}
		if atomic.CompareAndSwapUint64(&l.Pos, pos, pos+v) {
			return 8, true
		}
		pos = atomic.LoadUint64(&l.Pos)
	}
	return 0, false
}

// lentRing answers the record of a ring, which a pipe's end has by pos, and where its bytes are.
// nil: there is no such ring.
func (t *Thread) lentRing(pos uint64) (l *abi.Lent, bytes uintptr) {
	i := uintptr(pos & (1<<abi.LentRing - 1))
	if i >= abi.LentPipes {
		return nil, 0
	}
	l = (*abi.Lent)(unsafe.Add(unsafe.Pointer(&t.area().Lent), (abi.LentFiles+i)*unsafe.Sizeof(abi.Lent{})))
	return l, t.Window + AreaOff + abi.LentRingOff + i*abi.LentRingSize
}

// ringLent says whether the ring that has pos as its word is that pipe's of which end says so.
func ringLent(pos, end uint64) bool {
	return pos&abi.LentPos != 0 && pos&^abi.LentPos>>abi.LentShift == end&abi.LentOffset>>abi.LentRing
}

// ringOut copies m bytes, at most size, out of a ring of size bytes, from offset at on; false: not
// all of the guest's memory is there.
func (t *Thread) ringOut(to, ring, size, at, m uintptr) bool {
	first := min(m, size-at)
	return t.copyMem(to, ring+at, first) == 0 && (m == first || t.copyMem(to+first, ring, m-first) == 0)
}

// ringIn copies them into it.
func (t *Thread) ringIn(ring, size, at, from, m uintptr) bool {
	first := min(m, size-at)
	return t.copyMem(ring+at, from, first) == 0 && (m == first || t.copyMem(ring, from+first, m-first) == 0)
}

// readPipe serves read(2) of a pipe that is not empty. What a writer adds meanwhile is behind
// what is copied; if another reader, or the server, was faster, Pos has changed. (It is what it
// was if exactly 2 GiB have passed meanwhile.)
func (t *Thread) readPipe(end uint64, buf, n uintptr) (uintptr, bool) {
	l, ring := t.lentRing(end)
	if l == nil {
		return 0, false
	}
	for range lentTries {
		pos := atomic.LoadUint64(&l.Pos)
		used := uintptr(pos & abi.RingUsed)
		if !ringLent(pos, end) || used > abi.LentRingSize {
			return 0, false
		}
		m := min(n, used)
		if m == 0 || !t.inGuest(buf, m) {
			return 0, false
		}
		head := pos >> abi.RingHead % abi.RingHeads
		if !t.ringOut(buf, ring, abi.LentRingSize, uintptr(head%abi.LentRingSize), m) {
			return 0, false
		}
		to := pos&^((abi.RingHeads-1)<<abi.RingHead) | (head+uint64(m))%abi.RingHeads<<abi.RingHead
		if atomic.CompareAndSwapUint64(&l.Pos, pos, to-uint64(m)) {
			return m, true
		}
	}
	return 0, false
}

// writePipe serves write(2) of what there is room for. It has the ring claimed while it
// copies: no other writer begins, and the server, which may take the pipe back, lends the
// ring to nobody. What was copied counts when Pos says so, and not at all if it was taken
// back before.
func (t *Thread) writePipe(end uint64, buf, n uintptr) (uintptr, bool) {
	l, ring := t.lentRing(end)
	if l == nil || n == 0 || n > abi.LentRingSize || !t.inGuest(buf, n) {
		return 0, false
	}
	pos := atomic.LoadUint64(&l.Pos)
	for try := 0; ; try++ {
		used := uintptr(pos & abi.RingUsed)
		if try == lentTries || !ringLent(pos, end) || pos&abi.RingClaim != 0 || used > abi.LentRingSize || n > abi.LentRingSize-used {
			return 0, false
		}
		if atomic.CompareAndSwapUint64(&l.Pos, pos, pos|abi.RingClaim) {
			break
		}
		pos = atomic.LoadUint64(&l.Pos)
	}
	at := uintptr((pos>>abi.RingHead + pos&abi.RingUsed) % abi.LentRingSize)
	if t.ringIn(ring, abi.LentRingSize, at, buf, n) {
		fill := l.Size
		for range lentTries {
			pos = atomic.LoadUint64(&l.Pos)
			if !ringLent(pos, end) || pos&abi.RingClaim == 0 {
				break
			}
			// Before Pos, which whoever looks at it has read first. (Taken back in between, the
			// page counts as fuller than it is: then less may count of a write that ends in a fault.)
			atomic.StoreUint64(&l.Size, filled(fill, pos&abi.RingUsed, uint64(n)))
			if atomic.CompareAndSwapUint64(&l.Pos, pos, pos&^abi.RingClaim+uint64(n)) {
				return n, true
			}
		}
	}
	atomic.AndUint64(&l.Pos, ^uint64(abi.RingClaim))
	return 0, false
}

// filled is how far the last page of a pipe is full when n bytes were written, as the server
// counts it (core, Pipe.Fill): what is more than whole pages goes first into the last
// page, if it has room.
func filled(fill, used, n uint64) uint64 {
	m := n % 4096
	if used == 0 || m == 0 || fill > 4096 || fill+m > 4096 {
		return (n-1)%4096 + 1
	}
	if m < n {
		return 4096
	}
	return fill + m
}

// lentTries is how often a call is tried that other threads were faster than, before the
// server is asked.
const lentTries = 16

// seekLent serves lseek(2), but for what depends on the file's size or holes.
func (t *Thread) seekLent(fd, off, whence uintptr) (uintptr, bool) {
	l := t.lent(fd)
	if l == nil || uint32(whence) > 1 {
		return 0, false
	}
	pos := atomic.LoadUint64(&l.Pos)
	if pos&abi.LentPos == 0 || lentKind(pos) != abi.LentIsOffset {
		return 0, false
	}
	to := int64(off)
	if uint32(whence) == 1 {
		to += int64(pos & abi.LentAt)
	}
	if to < 0 || to > abi.LentAt {
		return 0, false
	}
	next := pos&^abi.LentAt | uint64(to)
	// Where it stays it was so when it was read.
	if next != pos && !atomic.CompareAndSwapUint64(&l.Pos, pos, next) {
		return 0, false
	}
	return uintptr(to), true
}

// The task block has room for what is in it.
const _ = uint(TaskSize - unsafe.Sizeof(Task{}))

func (t *Thread) kept(fd uintptr) *Kept {
	return (*Kept)(unsafe.Add(unsafe.Pointer(&t.task().Kept), fd*unsafe.Sizeof(Kept{})))
}

// statLent serves fstat(2) from what the server has answered before.
func (t *Thread) statLent(fd, buf uintptr) (uintptr, bool) {
	l := t.lent(fd)
	if l == nil {
		return 0, false
	}
	gen, k := atomic.LoadUint64(&l.Stat), t.kept(fd)
	if gen&1 == 0 || atomic.LoadUint64(&k.Gen) != gen {
		return 0, false
	}
	n := min(uintptr(k.Len), abi.LentStat)
	if t.copyOut(buf, uintptr(unsafe.Pointer(&k.Bytes)), n) != 0 {
		return 0, false
	}
	return 0, atomic.LoadUint64(&k.Gen) == gen && atomic.LoadUint64(&l.Stat) == gen
}

// keep carries out ActKeep.
func (t *Thread) keep(a *abi.Action) {
	fd, n, gen := uintptr(a.A[0]), uintptr(a.A[2]), a.A[3]
	p := t.inSlot(uintptr(a.A[1]), n)
	if fd >= abi.LentFiles || n > abi.LentStat || p == 0 || gen == 0 {
		return
	}
	l := (*abi.Lent)(unsafe.Add(unsafe.Pointer(&t.area().Lent), fd*unsafe.Sizeof(abi.Lent{})))
	k := t.kept(fd)
	t.lock()
	atomic.StoreUint64(&k.Gen, 0)
	k.Len = uint64(n)
	t.copyMem(uintptr(unsafe.Pointer(&k.Bytes)), p, n)
	atomic.StoreUint64(&k.Gen, gen|1)
	t.unlock()
	atomic.CompareAndSwapUint64(&l.Stat, gen, gen|1)
}

// lend carries out ActLend.
func (t *Thread) lend(a *abi.Action) {
	if a.Flags&abi.ActStream != 0 {
		t.mapStream(a)
		return
	}
	if a.Flags&abi.ActHost != 0 {
		t.takeHost(a)
		return
	}
	if a.Flags&abi.ActHostSet != 0 {
		t.takeHostSet(a)
		return
	}
	fd, slot := uintptr(uint32(a.A[0])), uintptr(a.A[0]>>32)
	if fd >= abi.LentFiles+abi.LentPipes || slot >= abi.LentMaps {
		return
	}
	l := (*abi.Lent)(unsafe.Add(unsafe.Pointer(&t.area().Lent), fd*unsafe.Sizeof(abi.Lent{})))
	tag, has := uint64(a.Flags>>8), t.lentTag(slot)
	t.lock()
	if n := uintptr(a.A[1]); n != 0 {
		g := t.takeGrant(abi.EventGrant, tag)
		if g != nil {
			// The server gives the place to another file only after it has changed Gen, and
			// whoever is told of that one maps it after us: he waits for the lock.
			// A thread that still writes to what was there has the place.
			prot := uintptr(protRead)
			if a.Flags&abi.ActWritable != 0 {
				prot = protRead | protWrite
			}
			if n <= abi.LentMapSize && atomic.LoadUint64(&l.Gen) == a.A[2] && atomic.LoadUint32(t.lentBusy(slot)) == 0 {
				t.unlend(slot)
				if !failed(t.host(sysMmap, t.Window+LentOff+slot*abi.LentMapSize, n, prot, mapShared|mapFixed, uintptr(g.FDs[0]), 0)) {
					*has = tag
				}
			}
			t.closeFDs(&g.FDs)
			g.Op = 0
		}
	}
	if a.A[2] != 0 && *has == tag {
		atomic.CompareAndSwapUint64(&l.Gen, a.A[2], a.A[2]|1)
	}
	t.unlock()
	if a.A[3] != a.A[4] {
		atomic.CompareAndSwapUint64(&l.Pos, a.A[3], a.A[4])
	}
}

// unlendTagged carries out ActUnlend of a file.
func (t *Thread) unlendTagged(slot uintptr, tag uint64) {
	if slot >= abi.LentMaps {
		return
	}
	t.lock()
	if *t.lentTag(slot) == tag {
		t.unlend(slot)
	}
	t.unlock()
}

// unlendAll writes to no other page of the task's block than the first (Task), or this overflows.
const _ = abi.PageSize - unsafe.Offsetof(Task{}.Grants)

// unlendAll takes away what a forked child has of its parent's mappings: nobody lends to it by them.
func (t *Thread) unlendAll() {
	for slot := uintptr(0); slot < abi.LentMaps; slot++ {
		if *t.lentTag(slot) != 0 {
			t.unlend(slot)
		}
		*t.lentBusy(slot) = 0 // of threads that it has not
	}
	for slot := uintptr(0); slot < abi.LentStreams; slot++ {
		if *t.streamTag(slot) != 0 {
			*t.streamTag(slot) = 0
			t.unmapStream(slot)
		}
		*t.endLock(slot, 0), *t.endLock(slot, 1) = 0, 0
	}
	for fd := uintptr(0); fd < abi.LentFiles; fd++ {
		t.dropHost(fd)
	}
	t.dropHostSets()
}

// lentTag is of which grant the mapping in a place is.
func (t *Thread) lentTag(slot uintptr) *uint64 {
	return (*uint64)(unsafe.Add(unsafe.Pointer(&t.task().LentTags), slot*8))
}

// lentBusy is how many threads write to what is mapped in a place, or are about to.
func (t *Thread) lentBusy(slot uintptr) *uint32 {
	return (*uint32)(unsafe.Add(unsafe.Pointer(&t.task().LentBusy), slot*4))
}

// unlend makes a place for a file's mapping what it was: nobody else's. Callers hold the lock.
func (t *Thread) unlend(slot uintptr) {
	*t.lentTag(slot) = 0
	t.unmapPlace(LentOff+slot*abi.LentMapSize, abi.LentMapSize)
}

func (t *Thread) unmapPlace(off, n uintptr) {
	t.host(sysMmap, t.Window+off, n, 0, mapPrivate|mapAnon|mapNoreserve|mapFixed, ^uintptr(0), 0)
}
