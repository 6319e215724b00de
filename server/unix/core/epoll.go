package core

import (
	"slices"

	"hythe/abi"
	"hythe/store"
)

// Bits of EpollItem.Events beside Poll... (include/uapi/linux/eventpoll.h).
const (
	EpollExclusive = 1 << 28
	EpollWakeup    = 1 << 29
	EpollOneshot   = 1 << 30
	EpollET        = 1 << 31

	epollPrivate = EpollExclusive | EpollWakeup | EpollOneshot | EpollET
)

// EpollSet is an epoll instance.
type EpollSet struct {
	Items store.List[EpollItem]
}

// EpollItem is the registration of an open file in a set.
type EpollItem struct {
	Link   store.Link[EpollItem]
	Set    store.Ref[EpollSet]
	File   store.Ref[File]
	FD     int32
	Events uint32
	Data   uint64
	Off    uint32 // a one-shot registration that has fired
}

// EpollEvent is what Wait answers.
type EpollEvent struct {
	Events uint32
	Data   uint64
}

type epollState struct {
	sets rtOf[EpollSet, epollRT]
	// armed are the sets in which somebody sleeps for streams.
	armed map[*epollRT]struct{}
	// owed are those in which libraries have changed something that the record does not have yet.
	owed []*epollRT
	// settling is how many sets the libraries are told to be settled when the transaction has ended.
	settling int
	// poller is the process on whose behalf files are asked now, 0: nobody's
	// (the answer of a signal descriptor depends on it).
	poller store.Ref[Proc]
}

type epollKey struct {
	file store.Ref[File]
	fd   int32
}

// epollRT is the derived part of a set.
type epollRT struct {
	q     WaitQueue
	items map[epollKey]*epollWatch
	ready readyList[*epollWatch]
	epollLoan
	streamPoll
	hostSet
}

// epollWatch is the derived part of an item.
type epollWatch struct {
	item  store.Ref[EpollItem]
	set   store.Ref[EpollSet]
	rt    *epollRT // the set's
	file  store.Ref[File]
	fd    int32
	entry *waitEntry
	place readyNode[*epollWatch]
	// stream is the stream that is lent of which the file is an end, and the end's Lent.Pos.
	stream store.Ref[Stream]
	pos    uint64
	// host is the socket of a stream to the outside that is watched in the set's hostSet, 0: none.
	host ObjectName
	// asStream: it was told to a library as a stream, of which that may change what is asked for.
	asStream bool
}

func (k *Kernel) epItems() store.Lists[EpollItem] {
	return store.Lists[EpollItem]{Table: k.EpItems, At: func(i *EpollItem) *store.Link[EpollItem] { return &i.Link }}
}

// recoverEpoll watches every registered file again. All are ready at first, so
// an edge may be told of once more, but none is lost.
func (k *Kernel) recoverEpoll() {
	k.EpItems.Each(func(r store.Ref[EpollItem], i *EpollItem) bool {
		k.epollWatch(r, i)
		return true
	})
}

func (k *Kernel) epollSetRT(s store.Ref[EpollSet]) *epollRT {
	rt := k.io.sets.at(s)
	if rt.items == nil {
		rt.items = map[epollKey]*epollWatch{}
	}
	return rt
}

// epollWatch makes the derived part of an item and has it looked at.
func (k *Kernel) epollWatch(r store.Ref[EpollItem], i *EpollItem) {
	rt := k.epollSetRT(i.Set)
	w := &epollWatch{item: r, set: i.Set, rt: rt, file: i.File, fd: i.FD}
	w.place.of = w
	k.touchSet(rt)
	rt.items[epollKey{i.File, i.FD}] = w
	frt := k.fileRT(i.File)
	frt.epolls = append(frt.epolls, w)
	if frt.stream != 0 {
		w.setStream(frt.stream, frt.streamPos)
	}
	if q := k.Ops(i.File).Queue(i.File); q != nil {
		w.entry = q.Watch(func(ev uint32) {
			if w.host != 0 {
				return
			}
			k.touchSet(rt)
			it := k.EpItems.Get(r)
			if it == nil || it.Off != 0 || ev&(it.Events|PollErr|PollHup) == 0 {
				return
			}
			rt.ready.push(&w.place)
			rt.q.Wake(PollIn | PollRdNorm)
		})
	}
	rt.ready.push(&w.place)
	rt.q.Wake(PollIn | PollRdNorm)
	k.watchHeld(w)
}

// epollDrop removes an item from its set; the file's list is the caller's.
func (k *Kernel) epollDrop(w *epollWatch) {
	if w.entry != nil {
		w.entry.Unwatch()
	}
	rt := w.rt
	if w.host == 0 { // else it is listed nowhere
		k.touchSet(rt)
	}
	w.setStream(0, 0)
	k.unwatchHost(w)
	rt.ready.remove(&w.place)
	delete(rt.items, epollKey{w.file, w.fd})
	k.epItems().Remove(&k.Epolls.Mut(w.set).Items, w.item)
	k.EpItems.Free(w.item)
}

// epollUnlist takes w off its file's list.
func (k *Kernel) epollUnlist(w *epollWatch) {
	frt := k.fileRT(w.file)
	i := slices.Index(frt.epolls, w)
	frt.epolls = slices.Delete(frt.epolls, i, i+1)
	k.Files.Mut(w.file).Epolls--
}

// epollForget ends the registrations of a file that goes.
func (k *Kernel) epollForget(f store.Ref[File]) {
	if k.Files.Get(f).Epolls == 0 {
		return
	}
	frt := k.fileRT(f)
	for _, w := range slices.Clone(frt.epolls) {
		k.settleTold(w.rt)
	}
	for _, w := range frt.epolls {
		k.epollDrop(w)
	}
	frt.epolls = nil
	k.Files.Mut(f).Epolls = 0
}

// NewEpoll makes an epoll set and a descriptor for it.
func (c *Call) NewEpoll(fdflags uint32) (int32, abi.Errno) {
	r, _ := c.K.Epolls.New()
	if r == 0 {
		return -1, abi.ENFILE
	}
	fd, e := c.fileOf(FileEpoll, AccessRead|AccessWrite, 0, uint32(r), fdflags)
	if e != 0 {
		c.K.Epolls.Free(r)
	}
	return fd, e
}

// epollFile answers the set of descriptor fd. EBADF, EINVAL. The streams that it watches may stay lent.
func (c *Call) epollFile(fd int32) (store.Ref[File], store.Ref[EpollSet], abi.Errno) {
	k := c.K
	f, ok := k.fdEntry(c.Proc().FDs, fd)
	if !ok {
		return 0, 0, abi.EBADF
	}
	file := k.Files.Get(f)
	if file.Kind != FileEpoll {
		return 0, 0, abi.EINVAL
	}
	if file.Epolls != 0 {
		k.touchWatched(f)
	}
	s := store.Ref[EpollSet](file.Obj)
	rt := k.epollSetRT(s)
	rt.file = f
	k.settleTold(rt)
	return f, s, 0
}

// IsEpoll says whether descriptor fd is a set's. EBADF, EINVAL.
func (c *Call) IsEpoll(fd int32) abi.Errno {
	_, _, e := c.epollFile(fd)
	return e
}

// EpollItems answers how many registrations the set of descriptor fd has: no more
// events come at once.
func (c *Call) EpollItems(fd int32) int {
	_, s, e := c.epollFile(fd)
	if e != 0 {
		return 0
	}
	return int(c.K.Epolls.Get(s).Items.N)
}

// Operations of EpollCtl.
const (
	EpollAdd = 1
	EpollDel = 2
	EpollMod = 3
)

// EpollCtl is epoll_ctl(2). EBADF, EINVAL, EPERM for files that are always
// ready, EEXIST, ENOENT, ELOOP, ENOSPC.
func (c *Call) EpollCtl(epfd int32, op int32, fd int32, events uint32, data uint64) abi.Errno {
	k := c.K
	ef, set, bad := c.epollFile(epfd)
	if bad == abi.EBADF {
		return bad
	}
	k.commitSettled()
	f, ok := k.fdEntry(c.Proc().FDs, fd)
	if !ok {
		return abi.EBADF
	}
	file := k.Files.Get(f)
	if k.fileRT(f).stream == 0 {
		_, _, _ = c.File(fd) // takes back what is lent; a stream may stay so
	} else {
		defer k.stillPolls(f)
	}
	if file.Kind == FilePath {
		return abi.EBADF
	}
	if k.Ops(f).Queue(f) == nil {
		switch file.Kind {
		case FileVnode, FileMemfd, FileProc, FileDev:
			return abi.EPERM
		}
	}
	if bad != 0 || ef == f {
		return abi.EINVAL
	}
	if events&EpollExclusive != 0 {
		if op == EpollMod || file.Kind == FileEpoll ||
			events&^(EpollExclusive|EpollWakeup|EpollET|PollIn|PollOut|PollErr|PollHup|PollRdNorm|PollWrNorm) != 0 {
			return abi.EINVAL
		}
	}
	rt := k.epollSetRT(set)
	if calm := rt.calm; k.fileRT(f).stream != 0 {
		// Who changes such items all the time does so in his library when the set is lent again.
		defer func() { rt.calm = calm }()
	}
	w := rt.items[epollKey{f, fd}]
	switch op {
	case EpollAdd:
		if w != nil {
			return abi.EEXIST
		}
		if !k.mayWatch(watchSet{FileEpoll, uint32(set)}, f) {
			return abi.ELOOP
		}
		r, it := k.EpItems.New()
		if r == 0 {
			return abi.ENOSPC
		}
		it.Set, it.File, it.FD, it.Events, it.Data = set, f, fd, events, data
		k.epItems().PushBack(&k.Epolls.Mut(set).Items, r)
		k.Files.Mut(f).Epolls++
		k.epollWatch(r, k.EpItems.Get(r))
	case EpollDel:
		if w == nil {
			return abi.ENOENT
		}
		k.epollUnlist(w)
		k.epollDrop(w)
	case EpollMod:
		if w == nil {
			return abi.ENOENT
		}
		if k.EpItems.Get(w.item).Events&EpollExclusive != 0 {
			return abi.EINVAL
		}
		it := k.EpItems.Mut(w.item)
		it.Events, it.Data, it.Off = events, data, 0
		if k.watchAgain(w) {
			break
		}
		k.touchSet(rt)
		rt.ready.push(&w.place)
		rt.q.Wake(PollIn | PollRdNorm)
		k.watchHeld(w)
	default:
		return abi.EINVAL
	}
	return 0
}

// epollAsk answers which of the events that an item asks for hold now.
func (k *Kernel) epollAsk(w *epollWatch) uint32 {
	it := k.EpItems.Get(w.item)
	if it.Off != 0 {
		return 0
	}
	ready := uint32(0)
	if w.stream != 0 {
		ready = k.streamReady(w)
	} else {
		ready = k.Ops(w.file).Poll(w.file)
	}
	return ready & (it.Events&^epollPrivate | PollErr | PollHup)
}

// EpollWait waits for at most len(ev) events until the monotonic time deadline
// (one that has passed: looks once). EINTR, EBADF, EINVAL.
func (c *Call) EpollWait(epfd int32, ev []EpollEvent, deadline int64) (int, abi.Errno) {
	k := c.K
	f, set, e := c.epollFile(epfd)
	if e != 0 {
		return 0, e
	}
	rt := k.epollSetRT(set)
	for {
		if k.Epolls.Get(set) == nil {
			return 0, abi.EBADF
		}
		if len(rt.streams) == 0 || rt.to == nil || rt.to.id != c.Task {
			k.takeBackSet(rt) // what is told now is told last
		}
		n := 0
		k.renewHostSet(rt, c.Task)
		if rt.hostsFirst = !rt.hostsFirst; rt.hostsFirst { // else what is on the list could be told for ever
			n = k.hostsReady(rt, ev)
		}
		k.io.poller = c.ProcRef()
		if n < len(ev) {
			rt.ready.sweep(func(w *epollWatch) bool {
				if m := k.epollAsk(w); m != 0 {
					it := k.EpItems.Get(w.item)
					ev[n] = EpollEvent{m, it.Data}
					n++
					switch {
					case it.Events&EpollOneshot != 0:
						k.EpItems.Mut(w.item).Off = 1
					case it.Events&EpollET == 0:
						rt.ready.push(&w.place)
					}
				} else if w.stream != 0 {
					rt.ready.push(&w.place) // nobody says when it is
				}
				return n < len(ev)
			})
		}
		if !rt.hostsFirst {
			n += k.hostsReady(rt, ev[n:])
		}
		k.io.poller = 0
		if n > 0 || deadline <= 0 {
			if rt.waits == 0 {
				k.armSet(rt, false)
			}
			c.lendSet(epfd, f, rt)
			return n, 0
		}
		if len(rt.streams) > 0 && !rt.armed {
			k.armSet(rt, true) // and look again: what came before that is not told
			continue
		}
		rt.waits++
		k.armHostSet(rt)
		e := c.Sleep(deadline, &rt.q)
		if rt.waits--; rt.waits == 0 && k.Epolls.Get(set) != nil {
			k.armSet(rt, false)
		}
		switch e {
		case 0:
		case abi.ETIMEDOUT:
			deadline = 0
		case abi.ErrRestart:
			return 0, abi.EINTR
		default:
			return 0, e
		}
	}
}

type epollOps struct{ stillOps }

func (o epollOps) setOf(f store.Ref[File]) store.Ref[EpollSet] {
	return store.Ref[EpollSet](o.K.Files.Get(f).Obj)
}

func (o epollOps) Poll(f store.Ref[File]) uint32 {
	rt := o.K.epollSetRT(o.setOf(f))
	if rt.ready.any(func(w *epollWatch) bool { return o.K.epollAsk(w) != 0 }) || o.K.pollHostSet(rt) {
		return PollIn | PollRdNorm
	}
	return 0
}

func (o epollOps) Queue(f store.Ref[File]) *WaitQueue { return &o.K.epollSetRT(o.setOf(f)).q }

func (o epollOps) Release(c *Call, f store.Ref[File]) {
	set := o.setOf(f)
	o.K.takeBackSet(o.K.epollSetRT(set))
	o.K.settleSet(o.K.epollSetRT(set))
	delete(o.K.io.armed, o.K.epollSetRT(set))
	for _, w := range o.K.epollSetRT(set).items {
		o.K.epollUnlist(w)
		o.K.epollDrop(w)
	}
	o.K.dropHostSet(o.K.epollSetRT(set))
	o.K.io.sets.drop(set)
	o.K.Epolls.Free(set)
}

func (o epollOps) LinkName(store.Ref[File]) string { return "anon_inode:[eventpoll]" }
