package core

import (
	"slices"

	"hythe/abi"
	"hythe/store"
)

// Pipes of which a task has both ends are lent to it (docs/lending.md): what is in one lies in a
// ring in the task's message area, and the ring's word, abi.Lent.Pos, says how much that is
// (abi.Ring...). The descriptors' own words say which ring they mean, and for the how manyth
// time it was lent; they are not in the state of record.

// lendPipe lends the caller the pipe that it has just read empty by descriptor fd, if it has the
// only two descriptors of it and nobody wants to be told of anything.
func (c *Call) lendPipe(fd int32, f store.Ref[File]) {
	k := c.K
	rt, file := k.fileRT(f), k.Files.Get(f)
	if rt.reads++; rt.reads < lendOften || !k.mayLendEnd(f, 1) || !c.mayBorrow(fd, f) {
		return
	}
	r := pipeOf(file)
	p, q := k.Pipes.Get(r), k.io.pipes.at(r)
	if p.LentTo != 0 || p.Node != (NodeKey{}) || p.Readers != 1 || p.Writers != 1 || p.Cap < abi.LentRingSize ||
		p.Data.used() > 0 || p.NPkt > 0 || !q.rq.idle() || !q.wq.idle() {
		return
	}
	rt.reads = 0
	wfd, w := c.writeEnd(r)
	if w == 0 || !k.mayLendEnd(w, 0) || !c.mayBorrow(wfd, w) {
		return
	}
	ring, v, ok := k.freeRing(c.borrower())
	if !ok || !c.lendRoom(r, abi.LentRingSize) {
		return
	}
	p = k.Pipes.Mut(r)
	no := (v>>abi.LentShift + 1) % abi.LentCounts
	p.LentTo, p.LentRing, p.LentNo, p.LentFiles = c.Task, uint32(ring), uint32(no), [2]store.Ref[File]{f, w}
	k.tasks[c.Task].lent.rings[ring] = r
	for _, end := range []struct {
		fd   int32
		f    store.Ref[File]
		kind uint64
	}{{fd, f, abi.LentIsReader}, {wfd, w, abi.LentIsWriter}} {
		from, to := k.lendPos(c.Task, end.fd, end.f, end.kind, no<<abi.LentRing|uint64(ring))
		k.Host.SetLentPos(c.Task, int(end.fd), from, to) // means nothing before the ring is lent
	}
	c.Acts = slices.Insert(c.Acts, 0, abi.Action{Op: abi.ActLend,
		A: [5]uint64{abi.LentFiles + uint64(ring), 0, 0, v, abi.LentPos | no<<abi.LentShift}})
}

// lendRoom sees to it that what is in a ring of size bytes finds room in the pipe when it is taken back. The
// bytes that the caller has just read go along into a larger block: those that do not arrive are
// put back there (untake).
func (c *Call) lendRoom(r store.Ref[Pipe], size int) bool {
	k := c.K
	p, s := k.Pipes.Mut(r), &k.threadRT(c.T).short
	p.Data.Head -= s.n
	ok := k.ringRoom(&p.Data, size-int(s.n))
	p.Data.Head += s.n
	s.what.buf = p.Data.Buf
	return ok
}

// mayLendEnd says whether an end of a pipe has one descriptor, is no packets' and nobody but so
// many calls work with it.
func (k *Kernel) mayLendEnd(f store.Ref[File], calls int) bool {
	file := k.Files.Get(f)
	return file.Refs == 1 && file.Flags&OpenDirect == 0 && k.fileRT(f).pins == calls &&
		(file.Access == AccessRead || file.Access == AccessWrite)
}

// idle says whether nobody waits in a queue, or wants a signal.
func (q *WaitQueue) idle() bool { return q.Empty() && len(q.async) == 0 }

// writeEnd finds the caller's descriptor of a pipe's end to write. 0: it has none among those by
// which files are lent.
func (c *Call) writeEnd(r store.Ref[Pipe]) (int32, store.Ref[File]) {
	k := c.K
	tab := k.FDs.Get(c.Proc().FDs)
	for fd, e := range fdEntries(k.Heap.Bytes(tab.Block))[:min(tab.Cap, abi.LentFiles)] {
		if e.File == 0 {
			continue
		}
		if file := k.Files.Get(e.File); file.Kind == FilePipe && pipeOf(file) == r && file.Access == AccessWrite {
			return int32(fd), e.File
		}
	}
	return 0, 0
}

// freeRing finds a ring of a task for a pipe, and what its word is. One that a thread has
// claimed since before it was taken back is still being written to; a task whose rings all
// are in use has the next one taken back.
func (k *Kernel) freeRing(ts *task) (ring int, v uint64, ok bool) {
	l := ts.lent
	if !slices.Contains(l.rings[:], 0) {
		k.takeBackPipe(l.rings[l.ring])
		l.ring = (l.ring + 1) % len(l.rings)
	}
	for i, r := range l.rings {
		if r != 0 {
			continue
		}
		if v, ok = k.Host.LentPos(ts.id, abi.LentFiles+i); ok && v&abi.RingClaim == 0 {
			return i, v, true
		}
	}
	return 0, 0, false
}

// takeBackPipe takes a pipe back: what is in its ring is in the record from now on. A ring that
// the library has not begun to use (its word has another number than the record) it never
// will.
func (k *Kernel) takeBackPipe(r store.Ref[Pipe]) {
	p := k.Pipes.Mut(r)
	ring := int(p.LentRing)
	for range 16 { // more than once only if the task forges it
		v, ok := k.Host.LentPos(p.LentTo, abi.LentFiles+ring)
		if !ok {
			break
		}
		if v>>abi.LentShift == uint64(p.LentNo) {
			k.fromRing(r, v)
			break
		}
		if k.Host.SetLentPos(p.LentTo, abi.LentFiles+ring, v, uint64(p.LentNo)<<abi.LentShift) {
			break
		}
	}
	for _, f := range p.LentFiles {
		m := k.Files.Mut(f)
		_, _ = k.Host.LentPos(m.LentTo, int(m.LentFD))
		m.LentTo, m.LentFD, m.LentNo = 0, 0, 0
	}
	if ts := k.tasks[p.LentTo]; ts != nil && ts.lent != nil && ts.lent.rings[ring] == r {
		ts.lent.rings[ring] = 0
	}
	p.LentTo, p.LentRing, p.LentNo, p.LentFiles = 0, 0, 0, [2]store.Ref[File]{}
}

// lentForNothing is how many reads a pipe is not lent that was taken back before it was used.
const lentForNothing = 32

// fromRing puts what is in a ring with the word v into the pipe's own, which is empty. A word
// that says more than there can be is forged: then it is nothing.
func (k *Kernel) fromRing(r store.Ref[Pipe], v uint64) {
	p := k.Pipes.Mut(r)
	head, used := v>>abi.RingHead%abi.RingHeads, v&abi.RingUsed
	if head == 0 && used == 0 {
		k.fileRT(p.LentFiles[0]).reads = -lentForNothing
	}
	if used == 0 || used > abi.LentRingSize || !k.ringRoom(&p.Data, int(used)) {
		return
	}
	b := make([]byte, used)
	p.Fill = uint32(min(k.Host.LentRing(p.LentTo, int(p.LentRing), head, b), pipeBuf))
	k.ringPut(&p.Data, b)
}
