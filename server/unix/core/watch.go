package core

import (
	"iter"

	"hythe/store"
)

// Sets that watch files: what epoll sets (epoll.go) and event queues (kqueue.go) have in
// common.

// readyList holds those watches of a set that may be ready: some may not be any more,
// but none that is is missing. It is derived state.
type readyList[W any] struct{ head, tail *readyNode[W] }

// readyNode is the place of a watch in the list of its set; a field of the watch.
type readyNode[W any] struct {
	of         W
	ready      bool
	prev, next *readyNode[W]
}

func (l *readyList[W]) push(n *readyNode[W]) {
	if n.ready {
		return
	}
	n.ready = true
	n.prev, n.next = l.tail, nil
	if l.tail != nil {
		l.tail.next = n
	} else {
		l.head = n
	}
	l.tail = n
}

func (l *readyList[W]) remove(n *readyNode[W]) {
	if !n.ready {
		return
	}
	if n.prev != nil {
		n.prev.next = n.next
	} else {
		l.head = n.next
	}
	if n.next != nil {
		n.next.prev = n.prev
	} else {
		l.tail = n.prev
	}
	n.ready, n.prev, n.next = false, nil, nil
}

// sweep takes each watch that is on the list now off it and hands it to ask, which may
// put it back or end it, as long as ask answers true.
func (l *readyList[W]) sweep(ask func(W) bool) {
	last := l.tail
	for n := l.head; n != nil; {
		next, stop := n.next, n == last
		l.remove(n)
		if !ask(n.of) || stop {
			return
		}
		n = next
	}
}

// any says whether one is ready; those before it that are not leave the list.
func (l *readyList[W]) any(ready func(W) bool) bool {
	for n := l.head; n != nil; {
		next := n.next
		if ready(n.of) {
			return true
		}
		l.remove(n)
		n = next
	}
	return false
}

// watchDepth is how deep sets may be nested (EP_MAX_NESTS).
const watchDepth = 4

// watchSet names a set by what its file says: its kind and its object.
type watchSet struct{ kind, obj uint32 }

// mayWatch says whether the set may watch file f as well: not when f is a set that
// watches this one already, since each would ask the other for ever, nor when sets would
// be nested too deep.
func (k *Kernel) mayWatch(set watchSet, f store.Ref[File]) bool {
	s, ok := watchSetOf(k.Files.Get(f))
	if !ok {
		return true
	}
	down, ok := k.watchDown(s, set, 1)
	return ok && down+k.watchUp(set, 0) <= watchDepth
}

func watchSetOf(file *File) (watchSet, bool) {
	return watchSet{file.Kind, file.Obj}, file.Kind == FileEpoll || file.Kind == FileKqueue
}

// watchDown answers how deep the sets below s are nested; false: top is among them.
func (k *Kernel) watchDown(s, top watchSet, depth int) (int, bool) {
	if s == top {
		return 0, false
	}
	deep := depth
	if depth > watchDepth {
		return deep, true
	}
	for below := range k.setsIn(s) {
		d, ok := k.watchDown(below, top, depth+1)
		if !ok {
			return 0, false
		}
		deep = max(deep, d)
	}
	return deep, true
}

// setsIn are the sets that s watches.
func (k *Kernel) setsIn(s watchSet) iter.Seq[watchSet] {
	return func(yield func(watchSet) bool) {
		tell := func(f store.Ref[File]) bool {
			if f == 0 {
				return true
			}
			below, ok := watchSetOf(k.Files.Get(f))
			return !ok || yield(below)
		}
		if s.kind == FileKqueue {
			for _, w := range k.kqueueRT(store.Ref[Kqueue](s.obj)).notes {
				if !tell(w.file) {
					return
				}
			}
			return
		}
		for _, w := range k.epollSetRT(store.Ref[EpollSet](s.obj)).items {
			if !tell(w.file) {
				return
			}
		}
	}
}

// watchUp answers how many levels of sets are above s.
func (k *Kernel) watchUp(s watchSet, depth int) int {
	deep := depth
	if depth > watchDepth {
		return deep
	}
	for f, rt := range k.files {
		file := k.Files.Get(f)
		if file == nil {
			continue
		}
		if x, ok := watchSetOf(file); !ok || x != s {
			continue
		}
		for _, w := range rt.epolls {
			deep = max(deep, k.watchUp(watchSet{FileEpoll, uint32(w.set)}, depth+1))
		}
		for _, w := range rt.notes {
			deep = max(deep, k.watchUp(watchSet{FileKqueue, uint32(w.queue)}, depth+1))
		}
	}
	return deep
}
