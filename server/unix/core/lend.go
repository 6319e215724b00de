package core

import (
	"slices"

	"hythe/abi"
	"hythe/store"
)

// Lending (docs/lending.md): a file that a task reads again and again is mapped by its
// library, which then reads it without this server. What is lent is told to the library by
// abi.Lent, one for each descriptor, and may be taken back at any time, without asking it:
//
//   - the file (Lent.Gen), before anything happens to it that its mapping would not show,
//     and before the descriptor is another file's;
//   - the offset of the open file, or what is in an event counter (Lent.Pos), before anybody
//     else looks at it (FDAt, pinFile) or has it as well (HoldFile).
//
// Of the first nothing is in the state of record: a next incarnation begins without. Of
// the second File.LentTo says where the offset is.

// lendOften is how many reads of an open file from its memory object, or calls with a counter,
// make it worth to be lent.
const lendOften = 4

// lentTask is what a task has been lent; derived.
type lentTask struct {
	table   store.Ref[FDTable] // its process's
	fds     [abi.LentFiles]lentFD
	maps    [abi.LentMaps]lentMap
	next    int // which mapping goes next
	streams [abi.LentStreams]streamMap
	rings   [abi.LentPipes]store.Ref[Pipe]
	ring    int // which ring goes next
	sets    [abi.LentSets]lentSet
	set     int // which set goes next
	hosts   [abi.LentFiles]hostLoan
	nhosts  int // of these
	closes  taskCloses
	// hostSets are the host's sets that the task has, by place; nhostSets is how many.
	hostSets  [abi.LentSets]hostSetLoan
	nhostSets int
}

// lentFD is a descriptor: what is lent by it, and where the file is mapped.
type lentFD struct {
	loans [loanKinds]loan
	write writeLoan // of loans[loanFile]
	slot  int
	gen   uint64 // by which the file was lent
	told  bool   // something of it is told (Host.TellOpen)
}

// loan is whose bytes or attributes are lent by a descriptor, and its place in the node's list.
// n nil: nobody's.
type loan struct {
	n  *node
	at int
}

// What is lent by a descriptor: the file's bytes, its attributes, that it may be closed without asking
// (postclose.go).
const (
	loanFile = iota
	loanStat
	loanClose
	loanKinds
)

// lentMap is a mapping: of which object of a node, how much of it, and by which grant. n nil:
// none.
type lentMap struct {
	n      *node
	object uint32 // node.objects
	size   uint64
	tag    uint64
	write  bool // it may be written to
}

// lentNode is a descriptor by which a node is lent.
type lentNode struct {
	k  *Kernel
	ts *task
	fd int
}

// takeBack takes a file back from all, before something happens to it that the object does
// not show, or to the object.
func (n *node) takeBack() {
	n.takeBackKind(loanFile)
	n.takeBackKind(loanStat)
}

func (n *node) takeBackKind(kind int) {
	if kind == loanStat && n.told {
		n.m.k.attrsChanged()
		n.told = false
	}
	for len(n.lent[kind]) > 0 {
		l := n.lent[kind][len(n.lent[kind])-1]
		l.k.takeBackLoan(l.ts, l.fd, kind)
	}
}

// takeBackLoan takes back what is lent by a descriptor of a task; the offset stays.
func (k *Kernel) takeBackLoan(ts *task, fd, kind int) {
	l := &ts.lent.fds[fd].loans[kind]
	if l.n == nil {
		return
	}
	switch kind {
	case loanStat:
		_, _ = k.Host.UnlendStat(ts.id, fd)
	case loanFile:
		k.Host.Unlend(ts.id, fd)
	}
	list := l.n.lent[kind]
	last := len(list) - 1
	list[l.at] = list[last]
	list[l.at].ts.lent.fds[list[l.at].fd].loans[kind].at = l.at
	l.n.lent[kind] = list[:last]
	n := l.n
	*l = loan{}
	if kind == loanClose {
		k.withdrawClose(ts, fd)
	}
	if kind == loanFile && ts.lent.fds[fd].write.f != 0 {
		k.endWrite(ts, fd, n)
	}
}

// noteLoan notes that a node's bytes or attributes are lent.
func (k *Kernel) noteLoan(ts *task, fd, kind int, n *node) {
	ts.lent.fds[fd].loans[kind] = loan{n, len(n.lent[kind])}
	n.lent[kind] = append(n.lent[kind], lentNode{k, ts, fd})
	if kind != loanClose && n.attrUntil != NoDeadline {
		k.takeBackLater(n)
	}
}

func (k *Kernel) takeBackFD(ts *task, fd int) {
	for kind := range loanKinds {
		k.takeBackLoan(ts, fd, kind)
	}
}

// takeBackEntry is called before descriptor fd of a table becomes another file's.
func (k *Kernel) takeBackEntry(t store.Ref[FDTable], fd uint32) {
	if ts := k.lent[t]; ts != nil && fd < abi.LentFiles {
		if fd < ts.lent.closes.lowest {
			k.untellLowest(ts)
		}
		k.takeBackFD(ts, int(fd))
		k.tellOpen(ts, int(fd), 0)
		k.takeBackSets(ts, int32(fd))
	}
}

// takeBackTable takes back what the process with this table was lent, before others share the
// table, or the process has another one or another task.
func (k *Kernel) takeBackTable(t store.Ref[FDTable]) {
	ts := k.lent[t]
	if ts == nil {
		return
	}
	k.untellLowest(ts)
	delete(k.lent, t)
	for fd := range ts.lent.fds {
		k.takeBackFD(ts, fd)
		k.tellOpen(ts, fd, 0)
		_, _, _ = k.FDAt(t, int32(fd)) // takes the offset back
	}
	k.takeBackSets(ts, -1)
	k.settleSets()
	ts.lent.table = 0
}

// takeBackAll takes everything back from everybody.
func (k *Kernel) takeBackAll() {
	for t := range k.lent {
		k.takeBackTable(t)
	}
}

// takeBackPos takes the offset of an open file back, or what is in an event counter or a pipe,
// which nobody but its borrower knows.
func (k *Kernel) takeBackPos(f store.Ref[File]) {
	m := k.Files.Mut(f)
	switch m.Kind {
	case FilePipe:
		if r := pipeOf(m); k.Pipes.Get(r).LentTo != 0 {
			k.takeBackPipe(r)
		} else {
			k.takeBackStream(k.Pipes.Get(r).Stream)
		}
		return
	case FileSocket:
		if st := k.Socks.Get(sockOf(m)).Stream; st != 0 && k.Streams.Get(st).Lent != 0 {
			k.takeBackStream(st)
			return
		}
		k.takeBackHost(f, m)
		return
	}
	if m.Kind == FileEvent {
		v := k.Events.Mut(store.Ref[EventFD](m.Obj))
		v.Count = k.lentPos(m, v.Count)
	} else {
		m.setPos(k.lentPos(m, m.pos()))
	}
	m.LentTo, m.LentFD, m.LentNo = 0, 0, 0
}

// lentPos has a library move an offset or a counter no more, or use a host's socket, and answers what it is; was: when
// it was lent. A library that has not begun to (Lent.Pos has another number than the record)
// never will.
func (k *Kernel) lentPos(m *File, was uint64) uint64 {
	for range 16 { // more than once only if the task forges it
		v, ok := k.Host.LentPos(m.LentTo, int(m.LentFD))
		if !ok {
			break
		}
		if v>>abi.LentShift == uint64(m.LentNo) {
			return v & abi.LentOffset
		}
		if k.Host.SetLentPos(m.LentTo, int(m.LentFD), v, uint64(m.LentNo)<<abi.LentShift|was) {
			break
		}
	}
	return was
}

// recoverLent takes back the offsets and counters that the last incarnation lent.
func (k *Kernel) recoverLent() {
	k.recoverCloses()
	k.Files.Each(func(f store.Ref[File], file *File) bool {
		if file.LentTo != 0 {
			k.takeBackPos(f)
		}
		if file.WriteTo != 0 {
			k.recoverWrites(f)
		}
		return true
	})
}

// lendSoon brings up to date what has to be known of an open file that the caller may be lent
// when it has read it. It may give up the lock, which lend may not: what a call has done
// by then would be in the state of record, and be done again if the server died.
func (c *Call) lendSoon(fd int32, f store.Ref[File]) {
	k := c.K
	if k.fileRT(f).reads < lendOften-1 || !c.mayBorrow(fd, f) || !c.mayRead(f) {
		return
	}
	if n := k.nodeOf(k.Files.Get(f).Vnode); n.keeps && !k.fresh(n.attrUntil) {
		_ = c.refresh(n, false)
	}
}

// lend lends the caller the open file that it has just read, or moved the offset of, by
// descriptor fd. own: by its own offset, which may be lent as well.
func (c *Call) lend(fd int32, f store.Ref[File], own bool) {
	k := c.K
	rt, lent := k.fileRT(f), c.lent(fd)
	if !lent {
		if rt.reads++; rt.reads < lendOften {
			return
		}
	}
	if !c.mayBorrow(fd, f) {
		return
	}
	n := k.nodeOf(k.Files.Get(f).Vnode)
	if n == nil || !n.isRegular() || n.m.core != nil {
		return
	}
	ts := c.borrower()
	l, size := &ts.lent.fds[fd], uint64(0)
	if !lent && c.mayRead(f) && k.fresh(n.attrUntil) {
		rt.reads = 0 // what is taken back at once costs one time in so many
		size = c.lendFileTo(ts, fd, 0, n)
	}
	var from, to uint64
	if file := k.Files.Get(f); own && rt.pins == 1 && file.Aux2 == 0 && file.Off >= 0 && file.Off <= abi.LentAt && rt.mine(file) {
		from, to = k.lendPos(c.Task, fd, f, abi.LentIsOffset, file.pos())
	}
	a := abi.Action{Op: abi.ActLend, A: [5]uint64{uint64(fd), size, 0, from, to}}
	if l.loans[loanFile].n != nil {
		a.Flags = uint32(ts.lent.maps[l.slot].tag) << 8
		a.A[0] |= uint64(l.slot) << 32
		a.A[2] = l.gen
	} else if to == 0 {
		return
	}
	// Before what may fail: the copy of the bytes may find no memory, and what follows it
	// would not be carried out.
	c.Acts = slices.Insert(c.Acts, 0, a)
}

// sharedOften is how many reads by the offset of an open file that others have too make it worth to be
// lent. Its other holders, like a shell that waits, find it in the server, which takes it back; if
// they use it in turn, that is at few of their calls.
const sharedOften = 8

// mine says whether the offset of an open file may be lent to who reads it. To one that is
// written to, only its one holder: what a library stores by an offset that somebody else has moved would
// be in his place.
func (rt *fileRT) mine(file *File) bool {
	if file.Refs == 1 {
		return true
	}
	if file.WriteTo != 0 || file.Kind != FileVnode {
		return false
	}
	if rt.shared++; rt.shared < sharedOften {
		return false
	}
	rt.shared = 0
	return true
}

// lendPos notes that a task moves from now on what is v, by descriptor fd, and answers what
// its library finds in Lent.Pos and is to store there (0: nothing).
func (k *Kernel) lendPos(t TaskID, fd int32, f store.Ref[File], kind, v uint64) (from, to uint64) {
	from, ok := k.Host.LentPos(t, int(fd))
	if !ok {
		return 0, 0
	}
	m := k.Files.Mut(f)
	m.LentTo, m.LentFD = t, uint32(fd)
	m.LentNo = uint32((from>>abi.LentShift + 1) % abi.LentCounts)
	if m.LentNo == 0 {
		k.forgetNames(k.tasks[t]) // with which numbers of before may have been told (KeepOpen)
	}
	return from, abi.LentPos | uint64(m.LentNo)<<abi.LentShift | kind<<abi.LentKind | v
}

// lendEvent lends the caller the event counter that it has just read, or written to, by
// descriptor fd, unless somebody wants to be told of it: he is in its queue. Whoever comes
// there later has found the descriptor first.
func (c *Call) lendEvent(fd int32, f store.Ref[File]) {
	k := c.K
	rt, file := k.fileRT(f), k.Files.Get(f)
	if rt.reads++; rt.reads < lendOften || file.Refs != 1 || rt.pins != 1 || !c.mayBorrow(fd, f) {
		return
	}
	r := store.Ref[EventFD](file.Obj)
	v := k.Events.Get(r)
	if q := k.io.events.at(r); !q.Empty() || len(q.async) > 0 || v.Count > abi.LentOffset {
		return
	}
	rt.reads = 0 // as what is lent by lend
	kind := uint64(abi.LentIsEvent)
	if v.Semaphore != 0 {
		kind = abi.LentIsSemaphore
	}
	c.borrower()
	if from, to := k.lendPos(c.Task, fd, f, kind, v.Count); to != 0 {
		c.Acts = slices.Insert(c.Acts, 0, abi.Action{Op: abi.ActLend, A: [5]uint64{uint64(fd), 0, 0, from, to}})
	}
}

// lent says whether the file of the caller's descriptor is lent to it.
func (c *Call) lent(fd int32) bool {
	ts := c.K.tasks[c.Task]
	return ts != nil && ts.lent != nil && fd >= 0 && fd < abi.LentFiles && ts.lent.fds[fd].loans[loanFile].n != nil
}

// lendFileTo lends what is in a file, and answers how much of it the library is to map first. f is the
// open file by which it may be written to, 0: it may not.
func (c *Call) lendFileTo(ts *task, fd int32, f store.Ref[File], n *node) (size uint64) {
	k, l := c.K, &ts.lent.fds[fd]
	k.takeBackLoan(ts, int(fd), loanFile)
	i, found := ts.lent.place(n, f != 0)
	if !found {
		for other := range ts.lent.fds {
			if ts.lent.fds[other].slot == i {
				k.takeBackLoan(ts, other, loanFile)
			}
		}
		size = lentSize(n)
		tag := k.NextGrant()
		ts.lent.maps[i] = lentMap{n: n, object: n.objects, size: size, tag: tag, write: f != 0}
		k.Host.Grant(c.Task, k.Vnodes.Get(n.v).Object, f == 0, tag)
	}
	slot := uint32(i)
	if f != 0 {
		slot |= abi.LentWrite
		if k.alone(c.ProcRef()) && k.Files.Get(f).Refs == 1 {
			slot |= abi.LentWriteOwn
		}
		if k.Files.Get(f).Access&AccessRead == 0 {
			slot |= abi.LentNoRead
		}
	}
	_, to, reserved := n.reserved()
	// Only for who makes it longer: he has had it trimmed, so it was not the last incarnation that reserved it, of which
	// the file server may not have heard.
	room := f != 0 && reserved && k.fileRT(f).extends >= extendOften && n.attr.Size < abi.LentMapSize && k.Vnodes.Get(n.v).Roomy == 0
	if room {
		slot |= uint32(min(to, abi.LentMapSize)>>abi.LentRoomShift) << abi.LentRoom
	}
	ends := n.attrUntil == NoDeadline && (!reserved || room) // else another one may make it longer
	gen, ok := k.Host.Lend(c.Task, int(fd), n.attr.Size, slot, ends)
	if !ok {
		return size
	}
	l.slot, l.gen = i, gen
	k.noteLoan(ts, int(fd), loanFile, n)
	if f != 0 {
		n.takeBackKind(loanStat) // nobody else sees when it is written to
		n.first = nil
		n.writing++
		l.write.f = f
		l.write.cycles, l.write.real = k.moments()
		m := k.Files.Mut(f)
		m.WriteTo, m.WriteFD = c.Task, uint32(fd)
		if l.write.room = room; room {
			k.Vnodes.Mut(n.v).Roomy = f
		}
		m.Wrote, _ = k.Host.LentWrote(c.Task, int(fd))
	}
	return size
}

// lentSize is how much of a file is mapped: also what is reserved.
func lentSize(n *node) uint64 {
	_, to, _ := n.reserved()
	return min(max(n.attr.Size, to), abi.LentMapSize)
}

// place finds where a file's object is mapped as far as it reaches, to be written to if write is set,
// or a place where it can be.
func (l *lentTask) place(n *node, write bool) (slot int, found bool) {
	old, free := -1, -1
	for i := range l.maps {
		switch m := &l.maps[i]; {
		case m.n == n && m.object == n.objects && m.size >= lentSize(n) && (m.write || !write):
			return i, true
		case m.n == n:
			old = i // of another object, or when it was shorter, or only to be read
		case m.n == nil && free < 0:
			free = i
		}
	}
	if old >= 0 {
		return old, false
	}
	if free < 0 {
		free = l.next
		l.next = (l.next + 1) % len(l.maps)
	}
	return free, false
}

// borrower answers the caller's task, whose descriptors are those of its process.
func (c *Call) borrower() *task {
	k, t := c.K, c.Proc().FDs
	ts := k.tasks[c.Task]
	if ts.lent == nil {
		ts.lent = &lentTask{}
		if ts.born == 0 {
			k.findClosed(ts)
		}
	}
	if ts.lent.table != t {
		k.takeBackTable(ts.lent.table)
		ts.lent.table = t
		if k.lent == nil {
			k.lent = map[store.Ref[FDTable]]*task{}
		}
		k.lent[t] = ts
	}
	return ts
}

// mayBorrow says whether the caller may be lent something of the file f by a descriptor, as
// things are now.
func (c *Call) mayBorrow(fd int32, f store.Ref[File]) bool {
	k := c.K
	if fd < 0 || fd >= abi.LentFiles || len(c.Acts) >= abi.MaxActions-1 || c.outFault {
		return false
	}
	ts := c.borrows()
	return ts != nil && k.mayLendTo(ts, fd, f)
}

// borrows answers the caller's task, if it is a program's call and the task its process's own; else
// nil.
func (c *Call) borrows() *task {
	if c.T == 0 || c.Kind != abi.KindTrap {
		return nil
	}
	ts := c.K.tasks[c.Task]
	if ts == nil || ts.dead || ts.proc != c.ProcRef() || c.Proc().Task != c.Task {
		return nil
	}
	return ts
}

// mayLend says whether the library of a task may serve calls by what it was told.
func (k *Kernel) mayLend(ts *task) bool {
	p := k.Procs.Get(ts.proc)
	return p.Flags&(ProcVfork|ProcModule) == 0 && p.Exiting == 0 && !k.tracing(p.Pid)
}

// mayLendTo says whether a task may be lent something of the file f by a descriptor of its process.
func (k *Kernel) mayLendTo(ts *task, fd int32, f store.Ref[File]) bool {
	p := k.Procs.Get(ts.proc)
	if !k.mayLend(ts) || k.FDs.Get(p.FDs).Refs != 1 {
		return false
	}
	tab := k.FDs.Get(p.FDs)
	if uint32(fd) >= tab.Cap || fdEntries(k.Heap.Bytes(tab.Block))[fd].File != f {
		return false
	}
	file := k.Files.Get(f)
	return file != nil && (file.Kind == FileVnode || file.Kind == FileMemfd || file.Kind == FileEvent || file.Kind == FilePipe || file.Kind == FileSocket || file.Kind == FileEpoll)
}

// mayRead says whether what is in it may be lent.
func (c *Call) mayRead(f store.Ref[File]) bool {
	k := c.K
	file := k.Files.Get(f)
	if c.Proc().Rlimits[RlimitAS].Cur != RlimInfinity || file.Access&AccessRead == 0 || file.Flags&OpenDirect != 0 {
		return false
	}
	n := k.nodeOf(file.Vnode)
	return n != nil && n.v != 0 && n.data != nil && n.isRegular() && n.changing == 0 && n.sized && n.attr.Size > 0 &&
		k.Vnodes.Get(n.v).Object != 0 && !k.accessWatched()
}

// KeepStat has the caller's library keep the attributes that the call's last copy tells it
// of descriptor fd, if it has asked for them often.
func (c *Call) KeepStat(fd int32) {
	k := c.K
	last := len(c.Acts) - 1
	if last < 0 || c.Acts[last].Op != abi.ActCopyOut || c.Acts[last].A[2] > abi.LentStat {
		return
	}
	if rt := c.habits(); rt.opened == fd+1 {
		rt.opened, rt.statted = 0, min(rt.statted+1, statSure)
		c.keepHabits(rt)
	}
	f, _, e := c.File(fd)
	if e != 0 {
		return
	}
	rt := k.fileRT(f)
	if rt.stats++; rt.stats < lendOften {
		return
	}
	if n := c.mayKeep(fd, f); n != nil {
		c.keepStat(fd, n, c.Acts[last].A[1], c.Acts[last].A[2])
	}
}

// Programs mostly ask for the attributes of what they have just opened, or never do. Of a
// process that does they are told with the descriptor: after statSure opens with a question
// more than without one. Whether it still asks is not known then, so each statAgain-th time
// they are not told.
const (
	statSure  = 3
	statAgain = 32
)

// StatOpened answers the attributes of what the caller has just opened by descriptor fd, if it
// is likely to ask for them: they are then encoded as in an answer to that, and given to
// KeepOpened. It does not give up the lock.
func (c *Call) StatOpened(fd int32) (s Stat, ok bool) {
	rt := c.habits()
	if rt.opened != 0 && rt.statted > 0 {
		rt.statted-- // nobody has asked since
		c.keepHabits(rt)
	}
	rt.opened = fd + 1
	if rt.statted < statSure {
		return s, false
	}
	f, _, e := c.File(fd)
	if e != 0 {
		return s, false
	}
	n := c.mayKeep(fd, f)
	if n == nil {
		return s, false
	}
	if rt.unasked++; rt.unasked%statAgain == 0 {
		return s, false
	}
	rt.opened = 0
	return n.stat(), true
}

// KeepOpened has the caller's library keep the attributes that are in the first size bytes of
// the last OutBuf, as those of descriptor fd, for which StatOpened has answered them.
func (c *Call) KeepOpened(fd int32, size int) {
	f, _, e := c.File(fd)
	if e != 0 || size > abi.LentStat {
		return
	}
	if n := c.mayKeep(fd, f); n != nil {
		off := (c.outUsed + 7) &^ 7
		c.outUsed = off + uint32(size)
		c.keepStat(fd, n, uint64(off)+abi.SlotOutOff, uint64(size))
	}
}

// mayKeep answers the node of the file f if the caller's library may keep its attributes for
// a descriptor, as things are now; nil: it may not.
func (c *Call) mayKeep(fd int32, f store.Ref[File]) *node {
	k := c.K
	if !c.mayBorrow(fd, f) || c.ns() != 0 {
		return nil
	}
	n := k.nodeOf(k.Files.Get(f).Vnode)
	if n == nil || n.m.core != nil || n.writing != 0 || !k.fresh(n.attrUntil) {
		return nil
	}
	return n
}

// keepStat lends the attributes of a node, which are in the slot.
func (c *Call) keepStat(fd int32, n *node, off, size uint64) {
	k, ts := c.K, c.borrower()
	k.takeBackLoan(ts, int(fd), loanStat)
	gen, ok := k.Host.UnlendStat(c.Task, int(fd))
	if !ok {
		return
	}
	k.noteLoan(ts, int(fd), loanStat, n)
	c.Act(abi.ActKeep, 0, uint64(fd), off, size, gen)
}

// takeBackSoon is how much earlier than need be a node is taken back, so that one look is
// enough for many, in ns.
const takeBackSoon = 20e6

// takeBackLater takes a node back when its attributes are not known to be right any more:
// others than we may have made the file shorter.
func (k *Kernel) takeBackLater(n *node) {
	if n.backAt == 0 {
		k.vfs.back = append(k.vfs.back, n)
	} else if n.backAt <= n.attrUntil {
		return // it is looked at then, and again
	}
	n.backAt = n.attrUntil
	k.lookBackAt(n.backAt)
}

// lookBackAt has lookBack called at a time, if it is not before that.
func (k *Kernel) lookBackAt(at int64) { k.atEarliest(&k.vfs.backAt, at, k.lookBack) }

// atEarliest calls fn with the lock held at the earliest of the times (never NoDeadline) that it was asked for since it
// was called last. when is that time, 0: none.
func (k *Kernel) atEarliest(when *int64, at int64, fn func()) {
	if *when != 0 && *when <= at {
		return
	}
	*when = at
	k.Clock.After(at, func() {
		k.Enter()
		if *when == at {
			*when = 0
			fn()
		}
		k.Leave()
	})
}

// lookBack takes back the nodes whose attributes are not known to be right any more, or soon
// will not be.
func (k *Kernel) lookBack() {
	keep, next := k.vfs.back[:0], int64(NoDeadline)
	for _, n := range k.vfs.back {
		switch {
		case len(n.lent[loanFile])+len(n.lent[loanStat]) == 0 || n.attrUntil == NoDeadline:
			n.backAt = 0
		case n.attrUntil-takeBackSoon > k.moment():
			n.backAt = n.attrUntil
			keep, next = append(keep, n), min(next, n.attrUntil)
		default:
			n.backAt = 0
			n.takeBack()
		}
	}
	clear(k.vfs.back[len(keep):])
	if k.vfs.back = keep; len(keep) > 0 {
		k.lookBackAt(next)
	}
}

// unmapLent has the caller's library unmap what nobody reads any more: its memory may be
// that of a file that has been removed.
func (c *Call) unmapLent() {
	k := c.K
	ts := k.tasks[c.Task]
	if ts == nil || ts.lent == nil {
		return
	}
	c.closeHosts(ts.lent)
	c.closeHostSets(ts.lent)
	for i := range ts.lent.maps {
		m := &ts.lent.maps[i]
		if m.n == nil || len(c.Acts) >= abi.MaxActions-1 {
			continue
		}
		used := false
		for fd := range ts.lent.fds {
			used = used || ts.lent.fds[fd].loans[loanFile].n != nil && ts.lent.fds[fd].slot == i
		}
		if !used {
			c.Act(abi.ActUnlend, 0, uint64(i), m.tag)
			*m = lentMap{}
		}
	}
	for i := range ts.lent.streams {
		if m := &ts.lent.streams[i]; m.stream != 0 && !k.isStream(*m) && len(c.Acts) < abi.MaxActions-1 {
			c.Act(abi.ActUnlend, abi.ActStream, uint64(i), m.tag)
			*m = streamMap{}
		}
	}
}

// accessWatched says whether somebody wants to know of reads (inotify(7)): then this server
// has to serve them.
func (k *Kernel) accessWatched() bool { return k.watched(evAccess) }

// watched says whether somebody wants to know of an event of files.
func (k *Kernel) watched(ev uint32) bool {
	s := &k.io.inotify
	if !s.counted {
		s.counted, s.masks = true, 0
		k.InoWds.Each(func(_ store.Ref[InotifyWatch], w *InotifyWatch) bool {
			s.masks |= w.Mask
			return true
		})
	}
	return s.masks&ev != 0
}
