package core

import (
	"math/bits"

	"hythe/abi"
	"hythe/store"
)

// Closing without asking (docs/lending.md, *Closing*). A library may close a descriptor by itself, by
// an exchange of abi.BindHeader.Close, where nobody can tell when that happens: of a regular file or a
// directory that was opened to be read. We hear of it when the task comes with whatever request
// (Posted), and look before anything that it may change: another descriptor of the table, what others see of the
// table (FDAt), the end of the file's last name, locks on it, who watches for closings. Whoever may tell has
// it taken back first, so that it is said by an exchange of the same word whether it was
// closed before.
//
// The number of the word is in the state of record, with the descriptor (FDEntry.Flags): the close is
// carried out with its number, once, and a word with another number says nothing. It stays as it is until
// that is committed: a next incarnation finds it. A forged word closes its own task's
// descriptor.

// FDEntry.Flags: what a descriptor's flags are of, and from where on the number is.
const (
	fdFlags   = 1<<fdCloseNo - 1
	fdCloseNo = 8
)

// closeWait is how long a descriptor may stay closed without our having looked, in ns; one that has not
// been closed by then is closed by asking. Nobody in the machine could tell, but the file
// servers hold their files meanwhile.
const closeWait = 1e9

// postedCloses is what the kernel knows of all tasks.
type postedCloses struct {
	// looked is the table of which nothing was closed that was not looked at when the lock was taken.
	looked store.Ref[FDTable]
	at     int64 // when lookCloses is called, 0: not
}

// taskCloses is what a task may close. Bits are descriptors.
type taskCloses struct {
	may uint64 // may be closed
	old uint64 // and were so already when lookCloses was called last
	// stale are those whose word may say that they are closed, which is not news: the library is
	// told when they are open again.
	stale uint64
	// lowest is ToldLowest, 0: it is not told.
	lowest uint32
	// untidy: something was closed of which the library may have mappings or grants.
	untidy bool
}

// findClosed has tidyCloses look at what a library had closed when another incarnation was there.
func (k *Kernel) findClosed(ts *task) {
	for fd := range abi.LentFiles {
		if v, ok := k.Host.CloseWord(ts.id, fd); ok && v&abi.Closed != 0 {
			ts.lent.closes.stale |= 1 << fd
		}
	}
}

// LetClose lets the caller's library close descriptor fd, that of what it has just opened, without
// asking. It does not give up the lock.
func (c *Call) LetClose(fd int32) {
	k := c.K
	f, file, e := c.File(fd)
	if e != 0 || file.Kind != FileVnode || file.Access != AccessRead || file.Refs != 1 || !c.mayBorrow(fd, f) {
		return
	}
	n := k.nodeOf(file.Vnode)
	if n == nil || !n.isRegular() && !n.isDir() || n.m.core != nil || n.gone || k.Vnodes.Get(file.Vnode).Locks != 0 || k.watched(evCloseNo) {
		return
	}
	ts, bit := c.borrower(), uint64(1)<<fd
	l := &ts.lent.closes
	from, ok := k.Host.CloseWord(c.Task, int(fd))
	if !ok || l.may&bit != 0 {
		return
	}
	no := (from + 1) & abi.CloseNos
	if no == 0 {
		no = 1
		k.forgetNames(ts) // with which numbers of before may have been told (KeepOpen)
	}
	if !k.setCloseNo(ts.lent.table, uint32(fd), no) {
		return
	}
	l.may |= bit
	l.old &^= bit
	l.stale &^= bit
	k.noteLoan(ts, int(fd), loanClose, n)
	c.Act(abi.ActMayClose, 0, uint64(fd), from, abi.CloseMay|no)
	k.atEarliest(&k.closes.at, k.moment()+closeWait, k.lookCloses)
}

// KeepOpen lets the caller's library open again, by descriptor fd, what it has just opened so by a name to read it only,
// as soon as it has closed it by itself: as long as the name leads there, and nobody has changed what the
// file's attributes are (keepname.go), and the number is the lowest one that is free.
func (c *Call) KeepOpen(fd int32) {
	k := c.K
	ts := k.tasks[c.Task]
	if !c.WantName || ts == nil || ts.lent == nil || fd < 0 || fd >= abi.LentFiles || ts.lent.closes.may>>fd&1 == 0 || c.Proc().Threads != 1 {
		return
	}
	t := ts.lent.table
	f, ok := k.fdEntry(t, fd)
	if !ok || k.Files.Get(f).LentTo != c.Task {
		return
	}
	n := k.nodeOf(k.Files.Get(f).Vnode)
	if n == nil || n != c.seen.at.node || c.seen.bare || c.seen.asked || k.watched(evOpen) || len(c.Acts) >= abi.MaxActions {
		return
	}
	until := min(c.seen.until, n.attrUntil)
	if !k.fresh(until) || !c.mayKeepNames() || !c.namesHold() {
		return
	}
	attrs := k.attrsHold(ts)
	n.told = true
	k.namesUntil(until)
	tab := k.FDs.Get(t)
	low, end := uint32(fd)+1, min(tab.Cap, abi.LentFiles)
	for es := fdEntries(k.Heap.Bytes(tab.Block)); low < end && es[low].File != 0; {
		low++
	}
	if ts.lent.closes.lowest != low {
		ts.lent.closes.lowest = low
		k.Host.Tell(ts.id, abi.ToldLowest, uint64(low)+1)
	}
	c.Act(abi.ActName, 0, ts.names, attrs, uint64(fd)|uint64(k.Files.Get(f).LentNo)<<abi.OpenedPos|k.closeNo(t, uint32(fd))<<abi.OpenedNo)
}

// untellLowest has a task's library ask for descriptors from now on.
func (k *Kernel) untellLowest(ts *task) {
	if ts.lent != nil && ts.lent.closes.lowest != 0 {
		ts.lent.closes.lowest = 0
		k.Host.Tell(ts.id, abi.ToldLowest, 0)
	}
}

// takeBackClosesOf is takeBackCloses for one table.
func (k *Kernel) takeBackClosesOf(t store.Ref[FDTable]) {
	if ts := k.lent[t]; ts != nil {
		k.takeBackClosesAt(ts, ^uint64(0))
	}
}

// takeBackClosesAt is takeBackCloses for these descriptors of a task.
func (k *Kernel) takeBackClosesAt(ts *task, fds uint64) {
	for m := fds & ts.lent.closes.may; m != 0; m &= m - 1 {
		k.takeBackLoan(ts, bits.TrailingZeros64(m), loanClose)
	}
}

// closeNo is the number of a descriptor, 0: it has none.
func (k *Kernel) closeNo(t store.Ref[FDTable], fd uint32) uint64 {
	tab := k.FDs.Get(t)
	if tab == nil || fd >= tab.Cap {
		return 0
	}
	return uint64(fdEntries(k.Heap.Bytes(tab.Block))[fd].Flags >> fdCloseNo)
}

func (k *Kernel) setCloseNo(t store.Ref[FDTable], fd uint32, no uint64) bool {
	tab := k.FDs.Get(t)
	if tab == nil || fd >= tab.Cap {
		return false
	}
	e := &fdEntries(k.Heap.MutBytes(tab.Block, int(fd)*fdEntrySize, fdEntrySize))[0]
	e.Flags = e.Flags&fdFlags | uint32(no)<<fdCloseNo
	return true
}

// saysClosed says whether a word says that the descriptor which has this number is closed.
func saysClosed(v, no uint64) bool { return no != 0 && v&abi.Closed != 0 && v&abi.CloseNos == no }

// seesClosed notes that a word is seen, which says so: the library cannot open it again from then on. false: it
// says so no more.
func (k *Kernel) seesClosed(id TaskID, fd int, v uint64) bool {
	return v&abi.CloseSeen != 0 || k.Host.SetClose(id, fd, v, v|abi.CloseSeen)
}

// Posted is told by the serve loop, with the lock held, of the descriptors that a task says it has closed,
// before its next request is served.
func (k *Kernel) Posted(id TaskID, fds uint64) {
	ts := k.tasks[id]
	if ts == nil || ts.lent == nil {
		return
	}
	k.lookAt(ts, fds)
	k.closes.looked = ts.lent.table
}

// lookAt closes what is closed of these descriptors of a task.
func (k *Kernel) lookAt(ts *task, fds uint64) {
	for m := fds & ts.lent.closes.may; m != 0; m &= m - 1 {
		k.lookClose(ts, bits.TrailingZeros64(m))
	}
}

// lookClose closes a descriptor that may be closed, if its library says that it is.
func (k *Kernel) lookClose(ts *task, fd int) (closed bool) {
	t := ts.lent.table
	v, ok := k.Host.CloseWord(ts.id, fd)
	if !ok || !saysClosed(v, k.closeNo(t, uint32(fd))) || !k.seesClosed(ts.id, fd, v) {
		return false
	}
	k.carryOut(ts, t, fd)
	return true
}

// carryOut closes a descriptor of a task's process that its library has closed.
func (k *Kernel) carryOut(ts *task, t store.Ref[FDTable], fd int) {
	f, ok := k.fdEntry(t, int32(fd))
	if !ok {
		return
	}
	if l := ts.lent; l != nil {
		l.closes.may &^= 1 << fd
		l.closes.stale |= 1 << fd
		l.closes.untidy = true
	}
	for i := range ts.kept {
		if ts.kept[i].file == f {
			ts.kept[i].file = 0
		}
	}
	k.fdClear(t, uint32(fd))
	k.flushDrop(nil, t, uint32(fd), f, ts.proc)
}

// isClosed says whether descriptor fd of a table, which has a number, is closed, and closes it.
func (k *Kernel) isClosed(t store.Ref[FDTable], fd int32) bool {
	if t == k.closes.looked {
		return false
	}
	ts := k.lent[t]
	return ts != nil && ts.lent.closes.may>>fd&1 != 0 && k.lookClose(ts, int(fd))
}

// lookClosed closes what is closed of a table.
func (k *Kernel) lookClosed(t store.Ref[FDTable]) {
	if t == k.closes.looked {
		return
	}
	if ts := k.lent[t]; ts != nil {
		k.lookAt(ts, ^uint64(0))
	}
}

// withdrawClose is the end of a loan: descriptor fd of a task is closed by asking from now on. If its
// library has closed it before, that is carried out.
func (k *Kernel) withdrawClose(ts *task, fd int) {
	l, bit := &ts.lent.closes, uint64(1)<<fd
	if l.may&bit == 0 {
		return // it is being closed
	}
	l.may &^= bit
	k.endClose(ts, ts.lent.table, fd)
}

// endClose has a task's library close descriptor fd of a table by asking, and carries out what it has closed.
func (k *Kernel) endClose(ts *task, t store.Ref[FDTable], fd int) {
	no := k.closeNo(t, uint32(fd))
	for range 16 { // more than once only if the library is about to close it, or forges the word
		v, ok := k.Host.CloseWord(ts.id, fd)
		if !ok {
			break
		}
		if saysClosed(v, no) {
			if k.seesClosed(ts.id, fd, v) {
				k.carryOut(ts, t, fd)
				return
			}
			continue // it is open again
		}
		// Also where the library has not begun: it never will.
		if k.Host.SetClose(ts.id, fd, v, no) {
			break
		}
	}
	k.setCloseNo(t, uint32(fd), 0)
}

// takeBackCloses has all libraries ask before they close anything, and carries out what they have closed.
func (k *Kernel) takeBackCloses() {
	for _, ts := range k.lent {
		k.takeBackClosesAt(ts, ^uint64(0))
	}
}

// lookCloses carries out what was closed and not looked at, and has what may be closed for long be
// closed by asking.
func (k *Kernel) lookCloses() {
	some := false
	for _, ts := range k.lent {
		l := &ts.lent.closes
		k.takeBackClosesAt(ts, l.old)
		k.lookAt(ts, ^uint64(0))
		l.old = l.may
		some = some || l.may != 0
	}
	if some {
		k.atEarliest(&k.closes.at, k.moment()+closeWait, k.lookCloses)
	}
}

// tidyCloses has the caller's library give up what it has of files that it has closed without asking, and
// know of descriptors that are open again.
func (c *Call) tidyCloses() {
	k := c.K
	ts := k.tasks[c.Task]
	if ts == nil || ts.lent == nil {
		return
	}
	l := &ts.lent.closes
	if l.untidy {
		l.untidy = false
		c.unmapLent()
		c.dropKeptOf(ts, func(x *keptGrant) bool { return x.file == 0 })
	}
	if l.stale == 0 {
		return
	}
	p := k.Procs.Get(ts.proc)
	if p == nil || p.FDs == 0 {
		return
	}
	for m := l.stale; m != 0; m &= m - 1 {
		fd := bits.TrailingZeros64(m)
		if _, open := k.fdEntry(p.FDs, int32(fd)); !open {
			continue
		}
		l.stale &^= 1 << fd
		if v, ok := k.Host.CloseWord(ts.id, fd); ok && v&abi.Closed != 0 {
			// Not before the close is committed.
			k.afterCommit(func() { k.Host.SetClose(ts.id, fd, v, v&abi.CloseNos) })
		}
	}
}

// recoverCloses carries out what was closed and not looked at by the last incarnation. What could be closed
// without asking no longer can (ipc.NewServerBinding).
func (k *Kernel) recoverCloses() {
	for _, ts := range k.tasks {
		p := k.Procs.Get(ts.proc)
		if p == nil || p.State != ProcLive || p.FDs == 0 || k.FDs.Get(p.FDs) == nil {
			continue
		}
		t := p.FDs
		for fd := range min(k.FDs.Get(t).Cap, abi.LentFiles) {
			if k.closeNo(t, fd) != 0 {
				k.endClose(ts, t, int(fd))
			}
		}
	}
}
