package core

import (
	"math/bits"
	"slices"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/store"
)

// Lending files to be written to (docs/lending.md, *Writing*): a task that writes over bytes of a
// file again and again has it mapped to do so itself. Only the file's times change by that.
// abi.Lent.Wrote says that they did; it is looked at before the times are shown (lookWritten),
// and when the file is taken back (endWrite). In the state of record is what it said last
// (File.Wrote), so that looking at it is undone with the transaction that has looked.

// writeLoan is an open file that a task writes to by a descriptor; derived. f 0: none.
type writeLoan struct {
	f store.Ref[File]
	// room: it may make the file longer, as far as is reserved.
	room bool
	// cycles and real are one moment by the processor's clock, which Wrote shows, and ours.
	cycles uint64
	real   int64
}

// moments answers one moment by both clocks.
func (k *Kernel) moments() (cycles uint64, real int64) {
	for range 4 { // it may be cut in between
		from := k.Host.Cycles()
		real = k.Clock.Real()
		if cycles = k.Host.Cycles(); cycles-from < 100_000 {
			break
		}
	}
	return cycles, real
}

// when answers what time it was when the processor's clock showed at. A library may say
// anything: it was between the moment at which it was lent the file and now.
func (k *Kernel) when(w *writeLoan, at uint64) int64 {
	c, now := k.moments()
	if now <= w.real || at < w.cycles || at >= c {
		return now
	}
	hi, lo := bits.Mul64(at-w.cycles, uint64(now-w.real))
	q, _ := bits.Div64(hi, lo, c-w.cycles) // at-w.cycles is less: no overflow
	return w.real + int64(q)
}

// lookWritten takes over when libraries have written to a node's file last.
func (n *node) lookWritten() {
	for _, l := range n.lent[loanFile] {
		if l.ts.lent.fds[l.fd].write.f != 0 {
			l.k.lookWrote(l.ts, l.fd, n, false)
		}
	}
}

// lookWrote is lookWritten for one descriptor. take: the file is taken back, so its size is what it is
// from now on. (The library says when it wrote, then how long the file is.)
func (k *Kernel) lookWrote(ts *task, fd int, n *node, take bool) {
	w := &ts.lent.fds[fd].write
	longer := false
	if w.room && n.v != 0 {
		size, _ := k.Host.LentSize(ts.id, fd, take)
		if rec := k.Vnodes.Get(n.v); size > rec.End && size <= min(rec.Reserved, abi.LentMapSize) {
			n.grow(size)
			longer = true
		}
	}
	at, ok := k.Host.LentWrote(ts.id, fd)
	file := k.Files.Get(w.f)
	if ok && at == file.Wrote && !longer || n.v == 0 {
		return
	}
	to := k.Clock.Real()
	if ok {
		to = k.when(w, at)
		k.Files.Mut(w.f).Wrote = at
	}
	n.writtenAt(timeOf(to))
}

// writtenAt notes that the file was written to without its server.
func (n *node) writtenAt(at fs.Time) {
	if rec := n.m.k.Vnodes.Get(n.v); before(rec.Written, at) {
		n.m.k.Vnodes.Mut(n.v).Written = at
	}
	n.wrote(at)
}

// endWrite notes that a task does not write to a file any more, which was taken back.
func (k *Kernel) endWrite(ts *task, fd int, n *node) {
	w := &ts.lent.fds[fd].write
	k.lookWrote(ts, fd, n, true)
	if w.room && n.v != 0 {
		k.Vnodes.Mut(n.v).Roomy = 0
	}
	f := k.Files.Mut(w.f)
	f.WriteTo, f.WriteFD, f.Wrote = 0, 0, 0
	*w = writeLoan{}
	n.writing--
}

// takeBackWrites takes back what a task writes to itself; 0: from all.
func (k *Kernel) takeBackWrites(id TaskID) {
	if id == 0 {
		for _, ts := range k.lent {
			k.takeBackWritesOf(ts)
		}
	} else if ts := k.tasks[id]; ts != nil && ts.lent != nil {
		k.takeBackWritesOf(ts)
	}
}

func (k *Kernel) takeBackWritesOf(ts *task) {
	for fd := range ts.lent.fds {
		if ts.lent.fds[fd].write.f != 0 {
			k.takeBackLoan(ts, fd, loanFile)
		}
	}
}

// recoverWrites is for an open file that the last incarnation had lent to be written to. When it
// was written to last nobody can say any more, if it was.
func (k *Kernel) recoverWrites(f store.Ref[File]) {
	m := k.Files.Mut(f)
	if v := m.Vnode; v != 0 && k.Vnodes.Get(v).Roomy == f {
		w := k.Vnodes.Mut(v)
		w.Roomy = 0
		if size, _ := k.Host.LentSize(m.WriteTo, int(m.WriteFD), true); size > w.End && size <= min(w.Reserved, abi.LentMapSize) {
			w.End = size
		}
	}
	if at, ok := k.Host.LentWrote(m.WriteTo, int(m.WriteFD)); (!ok || at != m.Wrote) && m.Vnode != 0 {
		k.Vnodes.Mut(m.Vnode).Written = timeOf(k.Clock.Real())
	}
	m.WriteTo, m.WriteFD, m.Wrote = 0, 0, 0
}

// mayWriteTo says whether what is in the file may be written to by the caller's library. The
// mapping can be read as well, which the caller has to be allowed.
func (c *Call) mayWriteTo(f store.Ref[File], n *node) bool {
	k := c.K
	file, p := k.Files.Get(f), c.Proc()
	switch {
	case file.Kind != FileVnode || n.v == 0 || n.m == k.vfs.memfd || n.data == nil || !n.isRegular():
		return false
	case file.Access&AccessWrite == 0 || file.Flags&(OpenAppend|OpenSync|OpenDsync|OpenDirect) != 0:
		return false
	case file.WriteTo != 0:
		return false // by another descriptor
	case file.Access&AccessRead == 0 && k.access(c.cred(), &n.attr, mayRead) != 0:
		return false
	case n.changing != 0 || !n.sized || !n.solid || n.attr.Size == 0 || !k.fresh(n.attrUntil) || n.attr.Mode&0o6000 != 0:
		return false
	case p.Rlimits[RlimitAS].Cur != RlimInfinity || p.Rlimits[RlimitFsize].Cur != RlimInfinity:
		return false
	case before(timeOf(k.Clock.Real()), n.attr.Mtime):
		return false
	}
	rec := k.Vnodes.Get(n.v)
	return rec.Object != 0 && rec.ObjFlags&(objFill|2) == objFill|2 && rec.Seals == 0 && !k.watched(evModify)
}

// lendWrite lends the caller the open file that it has just written to by descriptor fd, by its own
// offset or not, if it was written over often.
func (c *Call) lendWrite(fd int32, f store.Ref[File], own bool) {
	k := c.K
	rt, file := k.fileRT(f), k.Files.Get(f)
	lent := file.WriteTo == c.Task && file.WriteFD == uint32(fd) && c.lent(fd)
	if !lent && rt.fills < lendOften && rt.extends < extendOften+lendOften || !c.mayBorrow(fd, f) {
		return
	}
	n := k.nodeOf(file.Vnode)
	if n == nil || n.m.core != nil || !lent && !c.mayWriteTo(f, n) {
		return
	}
	ts := c.borrower()
	l, size := &ts.lent.fds[fd], uint64(0)
	if !lent {
		rt.fills, rt.extends = 0, min(rt.extends, extendOften) // as what is lent by lend
		size = c.lendFileTo(ts, fd, f, n)
		if l.write.f != f {
			return
		}
		file = k.Files.Get(f)
	}
	var from, to uint64
	if own && k.alone(c.ProcRef()) && file.Refs == 1 && rt.pins == 1 && file.Aux2 == 0 && file.Off >= 0 && file.Off <= abi.LentAt {
		from, to = k.lendPos(c.Task, fd, f, abi.LentIsOffset, file.pos())
	}
	if lent && to == 0 {
		return
	}
	m := &ts.lent.maps[l.slot]
	a := abi.Action{Op: abi.ActLend, Flags: uint32(m.tag)<<8 | abi.ActWritable, A: [5]uint64{uint64(l.slot)<<32 | uint64(fd), size, l.gen, from, to}}
	c.Acts = slices.Insert(c.Acts, 0, a)
}
