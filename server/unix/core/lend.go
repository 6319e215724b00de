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
//   - the offset of the open file (Lent.Pos), before anybody else looks at it or can:
//     one holder, one descriptor (HoldFile, FDAt).
//
// Of the first nothing is in the state of record: a next incarnation begins without. Of
// the second File.LentTo says where the offset is.

// lendOften is how many reads of an open file from its memory object make it worth to be
// lent.
const lendOften = 4

// lentTask is what a task has been lent; derived.
type lentTask struct {
	table store.Ref[FDTable] // its process's
	fds   [abi.LentFiles]lentFD
	maps  [abi.LentMaps]lentMap
	next  int // which mapping goes next
}

// lentFD is a descriptor: of which file, and where that is mapped, and whose attributes the
// library has kept. nil: not lent.
type lentFD struct {
	n    *node
	slot int
	stat *node
}

// lentMap is a mapping: of which object of a node, and how much of it. n nil: none.
type lentMap struct {
	n      *node
	object uint32 // node.objects
	size   uint64
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
	for len(n.lent) > 0 {
		l := n.lent[len(n.lent)-1]
		l.k.takeBackFD(l.ts, l.fd)
	}
	n.takeBackStat()
}

// takeBackStat takes back only what it has of attributes.
func (n *node) takeBackStat() {
	for len(n.kept) > 0 {
		l := n.kept[len(n.kept)-1]
		l.k.takeBackKept(l.ts, l.fd)
	}
}

// takeBackFD takes back what a descriptor of a task stands for; the offset stays.
func (k *Kernel) takeBackFD(ts *task, fd int) {
	l := &ts.lent.fds[fd]
	if l.n == nil {
		return
	}
	k.Host.Unlend(ts.id, fd)
	l.n.lent = without(l.n.lent, ts, fd)
	l.n, l.slot = nil, 0
}

// takeBackKept takes back the attributes of a descriptor's file.
func (k *Kernel) takeBackKept(ts *task, fd int) {
	l := &ts.lent.fds[fd]
	if l.stat == nil {
		return
	}
	k.Host.UnlendStat(ts.id, fd)
	l.stat.kept = without(l.stat.kept, ts, fd)
	l.stat = nil
}

// without takes a descriptor out of a list; the order does not matter.
func without(l []lentNode, ts *task, fd int) []lentNode {
	i := slices.IndexFunc(l, func(x lentNode) bool { return x.ts == ts && x.fd == fd })
	last := len(l) - 1
	l[i] = l[last]
	return l[:last]
}

// takeBackEntry is called before descriptor fd of a table becomes another file's.
func (k *Kernel) takeBackEntry(t store.Ref[FDTable], fd uint32) {
	if ts := k.lent[t]; ts != nil && fd < abi.LentFiles {
		k.takeBackFD(ts, int(fd))
		k.takeBackKept(ts, int(fd))
	}
}

// takeBackTable takes back what the process with this table was lent, before others share the
// table, or the process has another one or another task.
func (k *Kernel) takeBackTable(t store.Ref[FDTable]) {
	ts := k.lent[t]
	if ts == nil {
		return
	}
	delete(k.lent, t)
	for fd := range ts.lent.fds {
		k.takeBackFD(ts, fd)
		k.takeBackKept(ts, fd)
		_, _, _ = k.FDAt(t, int32(fd)) // takes the offset back
	}
	ts.lent.table = 0
}

// takeBackAll takes everything back from everybody.
func (k *Kernel) takeBackAll() {
	for t := range k.lent {
		k.takeBackTable(t)
	}
}

// takeBackPos takes the offset of an open file back, which nobody but its borrower knows.
func (k *Kernel) takeBackPos(f store.Ref[File]) {
	m := k.Files.Mut(f)
	m.Off = k.lentPos(m)
	m.LentTo, m.LentFD, m.LentNo = 0, 0, 0
}

// lentPos has a library move an offset no more, and answers what it is. A library that
// has not begun to (Lent.Pos has another number than the record) never will.
func (k *Kernel) lentPos(m *File) int64 {
	for range 16 { // more than once only if the task forges it
		v, ok := k.Host.LentPos(m.LentTo, int(m.LentFD))
		if !ok {
			break
		}
		if v>>abi.LentShift == uint64(m.LentNo) {
			return int64(v & abi.LentOffset)
		}
		if k.Host.SetLentPos(m.LentTo, int(m.LentFD), v, uint64(m.LentNo)<<abi.LentShift|uint64(m.Off)) {
			break
		}
	}
	return m.Off
}

// recoverLent takes back the offsets that the last incarnation lent.
func (k *Kernel) recoverLent() {
	k.Files.Each(func(f store.Ref[File], file *File) bool {
		if file.LentTo != 0 {
			k.takeBackPos(f)
		}
		return true
	})
}

// beforeLend is called before a call that lend follows does anything: it may give up the lock,
// which lend, after the offset has moved, must not.
func (c *Call) beforeLend(fd int32, f store.Ref[File]) {
	if !c.mayBorrow(fd, f) || c.K.fileRT(f).reads+1 < lendOften {
		return
	}
	if n := c.K.nodeOf(c.K.Files.Get(f).Vnode); n != nil && n.v != 0 && n.isRegular() && n.keeps && n.data != nil {
		_ = c.refresh(n, false) // what the call does says it, too
	}
}

// lend lends the caller the open file that it has just read, or moved the offset of, by
// descriptor fd. own: by its own offset, which may be lent as well.
func (c *Call) lend(fd int32, f store.Ref[File], own bool) {
	k := c.K
	if !c.mayBorrow(fd, f) {
		return
	}
	rt := k.fileRT(f)
	if rt.reads++; rt.reads < lendOften {
		return
	}
	a := abi.Action{Op: abi.ActLend, A: [5]uint64{uint64(fd)}}
	lent := c.mayRead(f) && c.lendFile(fd, f, &a)
	if own {
		lent = c.lendPos(fd, f, &a) || lent
	}
	if lent {
		c.Act(a.Op, a.Flags, a.A[:]...)
	}
}

// lendFile lends what is in the file; a is what the library is told. false: nothing new.
func (c *Call) lendFile(fd int32, f store.Ref[File], a *abi.Action) bool {
	k, ts := c.K, c.borrower()
	n := k.nodeOf(k.Files.Get(f).Vnode)
	l := &ts.lent.fds[fd]
	if l.n == n {
		return false
	}
	k.takeBackFD(ts, int(fd))
	i, found := ts.lent.place(n)
	if !found {
		for other := range ts.lent.fds {
			if o := &ts.lent.fds[other]; o.n != nil && o.slot == i {
				k.takeBackFD(ts, other)
			}
		}
		ts.lent.maps[i] = lentMap{n, n.objects, lentSize(n)}
	}
	gen, ok := k.Host.Lend(c.Task, int(fd), n.attr.Size, uint32(i), n.attrUntil == NoDeadline)
	if !ok {
		return false
	}
	if !found {
		tag := k.NextGrant()
		k.Host.Grant(c.Task, k.Vnodes.Get(n.v).Object, true, tag)
		a.Flags, a.A[1] = uint32(tag)<<8, lentSize(n)
	}
	a.A[0] |= uint64(i) << 32
	a.A[2] = gen
	l.n, l.slot = n, i
	n.lent = append(n.lent, lentNode{k, ts, int(fd)})
	if n.attrUntil != NoDeadline {
		k.takeBackLater(n)
	}
	return true
}

// lendPos lends the offset, if nobody else can come by it.
func (c *Call) lendPos(fd int32, f store.Ref[File], a *abi.Action) bool {
	k := c.K
	file := k.Files.Get(f)
	if file.Refs != 1 || k.fileRT(f).pins != 1 || file.Aux2 != 0 || file.Off < 0 || file.Off > abi.LentOffset {
		return false
	}
	if n := k.nodeOf(file.Vnode); n == nil || !n.isRegular() || n.m.core != nil {
		return false
	}
	v, ok := k.Host.LentPos(c.Task, int(fd))
	if !ok {
		return false
	}
	m := k.Files.Mut(f)
	m.LentTo, m.LentFD = c.Task, uint32(fd)
	m.LentNo = uint32((v>>abi.LentShift + 1) % abi.LentCounts)
	a.A[3], a.A[4] = v, abi.LentPos|uint64(m.LentNo)<<abi.LentShift|uint64(m.Off)
	return true
}

// lentSize is how much of a file is mapped.
func lentSize(n *node) uint64 { return min(n.attr.Size, abi.LentMapSize) }

// place finds where a file's object is mapped as far as it reaches, or a place where it can be.
func (l *lentTask) place(n *node) (slot int, found bool) {
	free := -1
	for i := range l.maps {
		switch m := &l.maps[i]; {
		case m.n == n && m.object == n.objects && m.size >= lentSize(n):
			return i, true
		case m.n == nil && free < 0:
			free = i
		}
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
	if c.T == 0 || c.Kind != abi.KindTrap || fd < 0 || fd >= abi.LentFiles || len(c.Acts) >= abi.MaxActions-1 || c.outFault {
		return false
	}
	p := c.Proc()
	ts := k.tasks[c.Task]
	if ts == nil || ts.dead || ts.proc != c.ProcRef() || p.Task != c.Task || p.Flags&(ProcVfork|ProcModule) != 0 ||
		p.Exiting != 0 || k.FDs.Get(p.FDs).Refs != 1 {
		return false
	}
	tab := k.FDs.Get(p.FDs)
	if uint32(fd) >= tab.Cap || fdEntries(k.Heap.Bytes(tab.Block))[fd].File != f {
		return false
	}
	file := k.Files.Get(f)
	return file != nil && (file.Kind == FileVnode || file.Kind == FileMemfd)
}

// mayRead says whether what is in it may be lent.
func (c *Call) mayRead(f store.Ref[File]) bool {
	k := c.K
	file := k.Files.Get(f)
	if file.Access&AccessRead == 0 || file.Flags&OpenDirect != 0 || c.Proc().Rlimits[RlimitAS].Cur != RlimInfinity {
		return false
	}
	n := k.nodeOf(file.Vnode)
	return n != nil && n.v != 0 && n.data != nil && n.isRegular() && n.changing == 0 && n.sized && n.attr.Size > 0 &&
		k.fresh(n.attrUntil) && k.Vnodes.Get(n.v).Object != 0 && !k.accessWatched()
}

// KeepStat has the caller's library keep the attributes that the call's last copy tells it
// of descriptor fd, if it has asked for them often.
func (c *Call) KeepStat(fd int32) {
	k := c.K
	last := len(c.Acts) - 1
	if last < 0 || c.Acts[last].Op != abi.ActCopyOut || c.Acts[last].A[2] > abi.LentStat {
		return
	}
	f, _, e := c.File(fd)
	if e != 0 || !c.mayBorrow(fd, f) || c.ns() != 0 {
		return
	}
	rt := k.fileRT(f)
	if rt.stats++; rt.stats < lendOften {
		return
	}
	n := k.nodeOf(k.Files.Get(f).Vnode)
	if n == nil || n.m.core != nil || !k.fresh(n.attrUntil) {
		return
	}
	ts := c.borrower()
	k.takeBackKept(ts, int(fd))
	gen, ok := k.Host.UnlendStat(c.Task, int(fd))
	if !ok {
		return
	}
	ts.lent.fds[fd].stat = n
	n.kept = append(n.kept, lentNode{k, ts, int(fd)})
	if n.attrUntil != NoDeadline {
		k.takeBackLater(n)
	}
	c.Act(abi.ActKeep, 0, uint64(fd), c.Acts[last].A[1], c.Acts[last].A[2], gen)
}

// takeBackLater takes a node back when its attributes are not known to be right any more:
// others than we may have made the file shorter.
func (k *Kernel) takeBackLater(n *node) {
	k.Clock.After(n.attrUntil, func() {
		k.Enter()
		n.takeBack()
		k.Leave()
	})
}

// unmapLent has the caller's library unmap what nobody reads any more: its memory may be
// that of a file that has been removed.
func (c *Call) unmapLent() {
	ts := c.K.tasks[c.Task]
	if ts == nil || ts.lent == nil {
		return
	}
	for i := range ts.lent.maps {
		if ts.lent.maps[i].n == nil || len(c.Acts) >= abi.MaxActions-1 {
			continue
		}
		used := false
		for fd := range ts.lent.fds {
			used = used || ts.lent.fds[fd].n != nil && ts.lent.fds[fd].slot == i
		}
		if !used {
			ts.lent.maps[i] = lentMap{}
			c.Act(abi.ActUnlend, 0, uint64(i))
		}
	}
}

// accessWatched says whether somebody wants to know of reads (inotify(7)): then this server
// has to serve them.
func (k *Kernel) accessWatched() bool {
	for _, l := range k.io.inotify.nodes {
		for _, r := range l {
			if k.InoWds.Get(r).Mask&evAccess != 0 {
				return true
			}
		}
	}
	return false
}
