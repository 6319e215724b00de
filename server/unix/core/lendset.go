package core

import (
	"slices"

	"hythe/abi"
	"hythe/store"
)

// Epoll sets that are lent (docs/lending.md): what is ready in one is told to the library of a
// task that waits for it, which then answers by itself. It holds as long as nobody has touched a
// file that is watched: found it by a descriptor (FDAt), or woken its queue.
//
// What becomes ready wakes its queue. What was ready may not be any more without that, so only
// files are told as ready of which somebody must have found the descriptor then (steady).

// epollLoan is the derived part of a set that may be lent.
type epollLoan struct {
	calm int           // answers since it was touched; less than 0: it is not worth to look
	to   *task         // whose library was told, nil: nobody's
	at   int           // as its how manyth
	told []*epollWatch // in the order of abi.LentSet.Items
	// owed is what a library has changed before it was taken back, in the order of what it was told.
	owed []owedItem
}

// owedItem is an item that a library may have changed.
type owedItem struct {
	w  *epollWatch
	is abi.LentItem
}

// lentSet is a set that a task was lent, by which descriptor. rt nil: none.
type lentSet struct {
	rt *epollRT
	fd int32
}

// touchWatched is called when something may happen to a file that sets watch.
func (k *Kernel) touchWatched(f store.Ref[File]) {
	for _, w := range k.fileRT(f).epolls {
		if w.host == 0 { // else the host says what is ready
			k.touchSet(w.rt)
		}
	}
}

// touchSet takes a set back because something has happened to it, or to what it watches.
func (k *Kernel) touchSet(rt *epollRT) {
	rt.calm = 0
	k.takeBackSet(rt)
}

// takeBackSet takes a set back. What the library has told last is at the end of those that are ready.
func (k *Kernel) takeBackSet(rt *epollRT) {
	if rt.to == nil {
		return
	}
	next := k.Host.UnlendSet(rt.to.id, rt.at)
	if k.Host.SetChanged(rt.to.id, rt.at) {
		k.oweSet(rt)
	}
	for _, w := range rt.told[:min(int(next), len(rt.told))] {
		if w.place.ready {
			rt.ready.remove(&w.place)
			rt.ready.push(&w.place)
		}
	}
	clear(rt.told)
	k.wakeHostSet(rt)
	rt.to.lent.sets[rt.at] = lentSet{}
	rt.to, rt.told = nil, rt.told[:0]
}

// oweSet notes what the library has changed in a set that is taken back. It is done before the transaction ends
// (settleSets), and before anybody looks at the items, but not here: whoever touches a set may be going through its items.
func (k *Kernel) oweSet(rt *epollRT) {
	_, items := k.Host.SetItems(rt.to.id, rt.at)
	for i, w := range rt.told {
		if i < len(items) && w.asStream {
			rt.owed = append(rt.owed, owedItem{w, items[i]})
		}
	}
	k.io.owed = append(k.io.owed, rt)
	t, at := rt.to.id, rt.at
	k.io.settling++
	k.afterCommit(func() {
		k.io.settling--
		k.Host.SettleSet(t, at)
	})
}

// commitSettled ends the transaction, and begins another, if it has settled a set: what a call does with an item behind
// that must not be undone by the next incarnation, which would find the set as not settled.
func (k *Kernel) commitSettled() {
	if k.io.settling > 0 {
		k.settleSets()
		k.Heap.Commit()
		k.runCommitted()
		k.Heap.Begin()
	}
}

// settleSets does with the items of sets what libraries have done.
func (k *Kernel) settleSets() {
	for len(k.io.owed) > 0 {
		k.settleSet(k.io.owed[0])
	}
}

func (k *Kernel) settleSet(rt *epollRT) {
	if i := slices.Index(k.io.owed, rt); i >= 0 {
		k.io.owed = slices.Delete(k.io.owed, i, i+1)
	}
	owed := rt.owed
	rt.owed = nil
	for _, o := range owed {
		if rt.items[epollKey{o.w.file, o.w.fd}] == o.w {
			k.settleItem(o.w, &o.is)
		}
	}
}

// settleItem has an item as the library says that it is.
func (k *Kernel) settleItem(w *epollWatch, is *abi.LentItem) {
	if is.Off != 0 {
		k.epollUnlist(w)
		k.epollDrop(w)
		return
	}
	it, ev := k.EpItems.Get(w.item), is.Events&^epollPrivate
	if it.Events&^epollPrivate == ev && it.Data == is.Data {
		return
	}
	it = k.EpItems.Mut(w.item)
	it.Events, it.Data = ev, is.Data
	w.rt.ready.push(&w.place)
	w.rt.q.Wake(PollIn | PollRdNorm)
}

// settleTold takes a set back in which the library has changed something.
func (k *Kernel) settleTold(rt *epollRT) {
	if rt.to != nil && k.Host.SetChanged(rt.to.id, rt.at) {
		k.takeBackSet(rt)
	}
	if len(rt.owed) > 0 {
		k.settleSet(rt)
	}
}

// recoverSets does what the libraries have done since the last incarnation looked, as if by epoll_ctl(2). Nothing has been
// done since by them or others: what takes a set back does it in the same transaction, and no epoll_ctl is in that
// (commitSettled).
func (k *Kernel) recoverSets() {
	for id, ts := range k.tasks {
		p := k.Procs.Get(ts.proc)
		for i := range abi.LentSets {
			if p == nil || p.Task != id || !k.Host.SetChanged(id, i) {
				continue
			}
			fd, items := k.Host.SetItems(id, i)
			if f, ok := k.fdEntry(p.FDs, fd); ok && k.Files.Get(f).Kind == FileEpoll {
				rt := k.epollSetRT(store.Ref[EpollSet](k.Files.Get(f).Obj))
				for at := range items {
					of, _ := k.fdEntry(p.FDs, items[at].FD)
					if w := rt.items[epollKey{of, items[at].FD}]; w != nil && items[at].Stream != 0 && of != 0 {
						k.settleItem(w, &items[at])
					}
				}
			}
			k.afterCommit(func() { k.Host.SettleSet(id, i) })
		}
	}
}

// takeBackSets takes back the sets that a task was lent by a descriptor, -1: by any.
func (k *Kernel) takeBackSets(ts *task, fd int32) {
	for i := range ts.lent.sets {
		if l := &ts.lent.sets[i]; l.rt != nil && (fd < 0 || l.fd == fd) {
			k.takeBackSet(l.rt)
		}
	}
}

// lendSet lends the caller the set that it has just got an answer of, by descriptor fd, if it has asked
// often and nothing has happened meanwhile.
func (c *Call) lendSet(fd int32, f store.Ref[File], rt *epollRT) {
	k := c.K
	if rt.to != nil {
		return
	}
	if rt.calm++; rt.calm < lendOften || !c.mayBorrow(fd, f) || !c.mayLendHostSet(f, rt) {
		return
	}
	rt.calm = -lentForNothing
	var buf [16]abi.LentItem
	items := buf[:0]
	rt.told = rt.told[:0]
	for n := rt.ready.head; n != nil; n = n.next {
		w := n.of
		w.asStream = w.stream != 0
		if w.stream != 0 {
			x, side := k.Streams.Get(w.stream), w.streamSide()
			it := k.EpItems.Get(w.item)
			if len(items) == abi.LentSetItems || x.Ends[side].Task != c.Task {
				return
			}
			fd := w.fd
			if of, _ := k.fdEntry(c.Proc().FDs, fd); of != w.file {
				fd = -1 // the number is another file's by now, and so is what the library does by it
			}
			items = append(items, abi.LentItem{Data: it.Data, Events: it.Events &^ epollPrivate, Room: k.streamWritable(x, side), Stream: w.pos, FD: fd})
			rt.told = append(rt.told, w)
			continue
		}
		m := k.epollAsk(w)
		if m == 0 { // it leaves the list when the caller comes to it: not yet
			rt.calm = lendOften - 1
			return
		}
		it := k.EpItems.Get(w.item)
		if it.Events&(epollPrivate&^EpollWakeup) != 0 || len(items) == abi.LentSetItems || !k.steady(w.file) {
			return
		}
		items = append(items, abi.LentItem{Data: it.Data, Events: m})
		rt.told = append(rt.told, w)
	}
	l := c.borrower().lent
	at := -1
	for i := range l.sets {
		if l.sets[i].rt == nil {
			at = i
		}
	}
	if at < 0 {
		at = l.set
		l.set = (l.set + 1) % len(l.sets)
		k.takeBackSet(l.sets[at].rt)
	}
	if k.Host.SetChanged(c.Task, at) {
		rt.calm = lendOften - 1 // not yet
		return
	}
	host, wake := c.lendHostSet(rt, at)
	if !k.Host.LendSet(c.Task, at, fd, items, host, wake) {
		return
	}
	rt.calm = lendOften
	rt.to, rt.at = k.tasks[c.Task], at
	l.sets[at] = lentSet{rt, fd}
}

// steady says whether a file that is ready stays so until somebody finds its descriptor, or its
// queue is woken: nobody else takes what is in it, and no call is at work with it.
func (k *Kernel) steady(f store.Ref[File]) bool {
	file, rt := k.Files.Get(f), k.fileRT(f)
	if rt.pins > 0 || len(rt.notes) > 0 {
		return false
	}
	switch file.Kind {
	case FilePipe:
		p := k.Pipes.Get(pipeOf(file))
		if p.Node != (NodeKey{}) || file.Access&AccessRead != 0 && p.Readers != 1 || file.Access&AccessWrite != 0 && p.Writers != 1 {
			return false
		}
	case FileSocket:
		if s := k.Socks.Get(sockOf(file)); s.Type != SockStream || s.Inet.Out != 0 {
			return false
		} else if _, out := k.outOf(f); out != nil && out.state != lendNone {
			return false // the task's library takes what has come, and nobody hears of it
		}
	case FileEvent, FileTimer:
	default:
		return false
	}
	n := 0
	for e := k.Ops(f).Queue(f).head; e != nil; e = e.next {
		n++
	}
	return n == len(rt.epolls) // who sleeps there will take it
}
