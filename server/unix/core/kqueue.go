package core

import (
	"slices"

	"hythe/abi"
	"hythe/store"
)

// Filters of an event queue, in the core's own numbers.
const (
	KqRead = 1 + iota
	KqWrite
	KqUser
	KqTimer
)

// Flags of a Kevent; the numbers are those of 4.4BSD's descendants (sys/event.h).
const (
	KqAdd      = 0x0001
	KqDelete   = 0x0002
	KqEnable   = 0x0004
	KqDisable  = 0x0008
	KqOneshot  = 0x0010
	KqClear    = 0x0020
	KqReceipt  = 0x0040
	KqDispatch = 0x0080
	KqError    = 0x4000
	KqEOF      = 0x8000

	kqKept = KqOneshot | KqClear | KqDispatch
)

// What Kevent.FFlags says to KqUser: what becomes of the note's own flags, and whether
// it is triggered now; to KqTimer: the unit of Data, and that it is a point in time.
const (
	KqUserAnd     = 0x40000000
	KqUserOr      = 0x80000000
	KqUserCopy    = 0xc0000000
	KqUserFlags   = 0x00ffffff
	KqUserTrigger = 0x01000000

	KqTimerSec  = 0x01
	KqTimerMsec = 0x02
	KqTimerUsec = 0x04
	KqTimerNsec = 0x08
	KqTimerAbs  = 0x10
)

// Kqueue is an event queue. It belongs to a descriptor table: its notes are on that
// one's descriptors, and no other table has it.
type Kqueue struct {
	Notes store.List[Knote]
	Table store.Ref[FDTable]
}

// Knote is what a queue watches.
type Knote struct {
	Link   store.Link[Knote]
	Queue  store.Ref[Kqueue]
	Filter uint32
	Ident  uint64
	File   store.Ref[File] // of descriptor Ident
	Flags  uint32          // Kq...: kqKept, KqDisable
	FFlags uint32          // as they were given, or the user's
	Fired  uint32          // of KqUser: triggered
	Data   int64           // as it was given; of KqUser the user's
	UData  uint64
	Ext    [4]uint64
	// Of a timer: when it ends next (monotonic ns; 0 not), its interval, and how often
	// it has.
	Next, Period int64
	Count        uint64
}

// Kevent is a change of a note, or an event.
type Kevent struct {
	Ident  uint64
	Filter uint32
	Flags  uint32
	FFlags uint32
	Data   int64
	UData  uint64
	Ext    [4]uint64
}

type knoteKey struct {
	filter uint32
	ident  uint64
}

// kqueueRT is the derived part of a queue.
type kqueueRT struct {
	q     WaitQueue
	notes map[knoteKey]*knoteWatch
	ready readyList[*knoteWatch]
}

type knoteWatch struct {
	note   store.Ref[Knote]
	queue  store.Ref[Kqueue]
	file   store.Ref[File]
	key    knoteKey
	entry  *waitEntry
	cancel func()
	place  readyNode[*knoteWatch]
}

// knoteWake puts a note on the list of its queue and wakes who waits.
func (k *Kernel) knoteWake(w *knoteWatch) {
	rt := k.kqueueRT(w.queue)
	rt.ready.push(&w.place)
	rt.q.Wake(PollIn | PollRdNorm)
}

func (k *Kernel) knotes() store.Lists[Knote] {
	return store.Lists[Knote]{Table: k.Knotes, At: func(n *Knote) *store.Link[Knote] { return &n.Link }}
}

func (k *Kernel) kqueueRT(q store.Ref[Kqueue]) *kqueueRT {
	rt := k.io.kqueues.at(q)
	if rt.notes == nil {
		rt.notes = map[knoteKey]*knoteWatch{}
	}
	return rt
}

// recoverKqueues watches what all queues watch again. All are looked at at first, so an
// edge may be told of once more, but none is lost.
func (k *Kernel) recoverKqueues() {
	k.Knotes.Each(func(r store.Ref[Knote], n *Knote) bool {
		k.knoteWatch(r, n)
		return true
	})
}

// What Poll says when a filter's event holds, and when it has come to its end.
const (
	kqReadBits  = PollIn | PollRdNorm | PollHup | PollErr | PollRdHup
	kqReadEOF   = PollHup | PollRdHup
	kqWriteBits = PollOut | PollWrNorm | PollHup | PollErr
	kqWriteEOF  = PollHup | PollErr
)

// knoteWatch makes the derived part of a note and has it looked at.
func (k *Kernel) knoteWatch(r store.Ref[Knote], n *Knote) {
	rt := k.kqueueRT(n.Queue)
	w := &knoteWatch{note: r, queue: n.Queue, file: n.File, key: knoteKey{n.Filter, n.Ident}}
	w.place.of = w
	rt.notes[w.key] = w
	switch n.Filter {
	case KqRead, KqWrite:
		bits := uint32(kqReadBits)
		if n.Filter == KqWrite {
			bits = kqWriteBits
		}
		frt := k.fileRT(n.File)
		frt.notes = append(frt.notes, w)
		if q := k.Ops(n.File).Queue(n.File); q != nil {
			w.entry = q.Watch(func(ev uint32) {
				if m := k.Knotes.Get(r); m != nil && m.Flags&KqDisable == 0 && ev&bits != 0 {
					k.knoteWake(w)
				}
			})
		}
	case KqTimer:
		k.knoteArm(w)
	}
	k.knoteWake(w)
}

// knoteArm has a timer's end told. One whose end is to be told already waits until it has
// been: nothing runs for a timer that nobody asks.
func (k *Kernel) knoteArm(w *knoteWatch) {
	if w.cancel != nil {
		w.cancel()
		w.cancel = nil
	}
	n := k.Knotes.Get(w.note)
	if n.Next == 0 || n.Count != 0 {
		return
	}
	gen := k.Knotes.Gen(w.note)
	w.cancel = k.Clock.After(n.Next, func() {
		k.Enter()
		defer k.Leave()
		if n := k.Knotes.Get(w.note); n != nil && k.Knotes.Gen(w.note) == gen && k.kqueueRT(w.queue).notes[w.key] == w {
			k.knoteTick(w)
			k.knoteWake(w)
		}
	})
}

// knoteTick counts the ends of a timer until now.
func (k *Kernel) knoteTick(w *knoteWatch) {
	n := k.Knotes.Get(w.note)
	now := k.Clock.Mono()
	if n.Next == 0 || now < n.Next {
		return
	}
	m := k.Knotes.Mut(w.note)
	if m.Period == 0 {
		m.Count++
		m.Next = 0
		return
	}
	times := (now-m.Next)/m.Period + 1
	m.Count += uint64(times)
	m.Next += times * m.Period
}

// knoteDrop ends a note; its file's list is the caller's.
func (k *Kernel) knoteDrop(w *knoteWatch) {
	if w.entry != nil {
		w.entry.Unwatch()
	}
	if w.cancel != nil {
		w.cancel()
	}
	rt := k.kqueueRT(w.queue)
	rt.ready.remove(&w.place)
	delete(rt.notes, w.key)
	k.knotes().Remove(&k.Kqueues.Mut(w.queue).Notes, w.note)
	k.Knotes.Free(w.note)
}

// knoteUnlist takes w off its file's list.
func (k *Kernel) knoteUnlist(w *knoteWatch) {
	if w.file == 0 {
		return
	}
	frt := k.fileRT(w.file)
	i := slices.Index(frt.notes, w)
	frt.notes = slices.Delete(frt.notes, i, i+1)
	k.Files.Mut(w.file).Notes--
}

// knotesClosed ends the notes on a descriptor that is closed.
func (k *Kernel) knotesClosed(t store.Ref[FDTable], fd uint32, f store.Ref[File]) {
	if k.Files.Get(f).Notes == 0 {
		return
	}
	frt := k.fileRT(f)
	frt.notes = slices.DeleteFunc(frt.notes, func(w *knoteWatch) bool {
		if w.key.ident != uint64(fd) || k.Kqueues.Get(w.queue).Table != t {
			return false
		}
		k.knoteDrop(w)
		return true
	})
	k.Files.Mut(f).Notes = uint32(len(frt.notes))
}

// knotesForget ends the notes on a file that goes.
func (k *Kernel) knotesForget(f store.Ref[File]) {
	if k.Files.Get(f).Notes == 0 {
		return
	}
	frt := k.fileRT(f)
	for _, w := range frt.notes {
		k.knoteDrop(w)
	}
	frt.notes = nil
	k.Files.Mut(f).Notes = 0
}

// NewKqueue makes an event queue and a descriptor for it.
func (c *Call) NewKqueue(fdflags uint32) (int32, abi.Errno) {
	r, q := c.K.Kqueues.New()
	if r == 0 {
		return -1, abi.ENFILE
	}
	q.Table = c.Proc().FDs
	fd, e := c.fileOf(FileKqueue, AccessRead|AccessWrite, 0, uint32(r), fdflags)
	if e != 0 {
		c.K.Kqueues.Free(r)
	}
	return fd, e
}

// kqueueFile answers the queue of descriptor fd. EBADF, also for a queue of another
// table: the notes of a queue are on its own table's descriptors.
func (c *Call) kqueueFile(fd int32) (store.Ref[File], store.Ref[Kqueue], abi.Errno) {
	f, file, e := c.File(fd)
	if e != 0 {
		return 0, 0, e
	}
	if file.Kind != FileKqueue {
		return 0, 0, abi.EBADF
	}
	q := store.Ref[Kqueue](file.Obj)
	if c.K.Kqueues.Get(q).Table != c.Proc().FDs {
		return 0, 0, abi.EBADF
	}
	return f, q, 0
}

// KqueueChange makes, changes or ends a note. EBADF, ENOENT for one that is not there,
// EINVAL for what a filter does not take and for queues that would watch each other, ENODEV for a device that has no events.
func (c *Call) KqueueChange(kq int32, ev *Kevent) abi.Errno {
	k := c.K
	kf, q, e := c.kqueueFile(kq)
	if e != 0 {
		return e
	}
	var file store.Ref[File]
	key := knoteKey{ev.Filter, ev.Ident}
	switch ev.Filter {
	case KqRead, KqWrite:
		if ev.Ident > 1<<31-1 {
			return abi.EBADF
		}
		f, rec, e := c.File(int32(ev.Ident))
		switch {
		case e != 0:
			return e
		case rec.Kind == FilePath:
			return abi.EBADF
		case f == kf || rec.Kind == FileKqueue && ev.Filter == KqWrite:
			return abi.EINVAL
		case rec.Kind == FileDev:
			return abi.ENODEV
		}
		file = f
	case KqUser, KqTimer:
	default:
		return abi.EINVAL
	}
	rt := k.kqueueRT(q)
	w := rt.notes[key]
	made := false
	if w == nil {
		if ev.Flags&KqAdd == 0 {
			return abi.ENOENT
		}
		if ev.Flags&KqDelete != 0 {
			return abi.EINVAL
		}
		if file != 0 && !k.mayWatch(watchSet{FileKqueue, uint32(q)}, file) {
			return abi.EINVAL
		}
		r, n := k.Knotes.New()
		if r == 0 {
			return abi.ENOMEM
		}
		n.Queue, n.Filter, n.Ident, n.File = q, ev.Filter, ev.Ident, file
		n.Flags = ev.Flags & kqKept
		k.knotes().PushBack(&k.Kqueues.Mut(q).Notes, r)
		if file != 0 {
			k.Files.Mut(file).Notes++
		}
		k.knoteWatch(r, k.Knotes.Get(r))
		w = rt.notes[key]
		made = true
	}
	if ev.Flags&KqDelete != 0 {
		k.knoteUnlist(w)
		k.knoteDrop(w)
		return 0
	}
	n := k.Knotes.Mut(w.note)
	if ev.Flags&KqAdd != 0 {
		n.UData, n.Ext = ev.UData, ev.Ext
		if !made {
			n.Flags = n.Flags&^KqClear | ev.Flags&kqKept
		}
	}
	switch ev.Filter {
	case KqUser:
		flags := ev.FFlags & KqUserFlags
		switch ev.FFlags & KqUserCopy {
		case 0:
			if made {
				n.FFlags = flags
			}
		case KqUserAnd:
			n.FFlags &= flags
		case KqUserOr:
			n.FFlags |= flags
		case KqUserCopy:
			n.FFlags = flags
		}
		if made || ev.FFlags&KqUserTrigger != 0 {
			n.Data = ev.Data
		}
		if ev.FFlags&KqUserTrigger != 0 {
			n.Fired = 1
		}
	case KqTimer:
		if ev.Flags&KqAdd != 0 {
			if e := k.knoteTimer(w, n, ev); e != 0 {
				if made {
					k.knoteDrop(w)
				}
				return e
			}
		}
	default:
		if ev.Flags&KqAdd != 0 {
			n.FFlags, n.Data = ev.FFlags, ev.Data
		}
	}
	n = k.Knotes.Mut(w.note)
	if ev.Flags&KqDisable != 0 {
		n.Flags |= KqDisable
	}
	if ev.Flags&KqEnable != 0 {
		n.Flags &^= KqDisable
	}
	k.knoteWake(w)
	return 0
}

// knoteTimer sets a timer: Data in the unit of FFlags (milliseconds), again and again
// unless it is for once or a point in time.
func (k *Kernel) knoteTimer(w *knoteWatch, n *Knote, ev *Kevent) abi.Errno {
	unit := int64(1e6)
	switch ev.FFlags &^ KqTimerAbs {
	case 0, KqTimerMsec:
	case KqTimerSec:
		unit = 1e9
	case KqTimerUsec:
		unit = 1e3
	case KqTimerNsec:
		unit = 1
	default:
		return abi.EINVAL
	}
	if ev.Data < 0 || ev.Data > NoDeadline/unit-1 {
		return abi.EINVAL
	}
	now := k.Clock.Mono()
	ns := ev.Data * unit
	n.FFlags, n.Data, n.Count, n.Period = ev.FFlags, ev.Data, 0, 0
	if ev.FFlags&KqTimerAbs != 0 {
		n.Next = max(ns-(k.Clock.Real()-now), 1)
	} else {
		n.Next = now + min(ns, NoDeadline-1-now)
		if ev.Flags&KqOneshot == 0 {
			n.Period = max(ns, 1e6)
		}
	}
	k.knoteArm(w)
	return 0
}

// knoteAsk answers the event of a note if it holds now.
func (k *Kernel) knoteAsk(w *knoteWatch) (Kevent, bool) {
	n := k.Knotes.Get(w.note)
	if n.Flags&KqDisable != 0 {
		return Kevent{}, false
	}
	ev := Kevent{Ident: n.Ident, Filter: n.Filter, Flags: n.Flags, FFlags: n.FFlags, UData: n.UData, Ext: n.Ext}
	switch n.Filter {
	case KqRead:
		m := k.Ops(n.File).Poll(n.File)
		ev.FFlags = 0
		ev.Data = k.readable(n.File)
		if m&kqReadEOF != 0 {
			ev.Flags |= KqEOF
		}
		return ev, m&kqReadBits != 0
	case KqWrite:
		m := k.Ops(n.File).Poll(n.File)
		ev.FFlags = 0
		if m&kqWriteEOF != 0 {
			ev.Flags |= KqEOF
		} else {
			ev.Data = k.writable(n.File)
		}
		return ev, m&kqWriteBits != 0
	case KqUser:
		ev.Data = n.Data
		return ev, n.Fired != 0
	case KqTimer:
		k.knoteTick(w)
		n = k.Knotes.Get(w.note)
		ev.Data = int64(n.Count)
		return ev, n.Count != 0
	}
	return ev, false
}

// readable is how many bytes a read of the file finds now, 1 where nobody counts them.
func (k *Kernel) readable(f store.Ref[File]) int64 {
	switch file := k.Files.Get(f); file.Kind {
	case FilePipe:
		return int64(k.Pipes.Get(pipeOf(file)).Data.used())
	case FileSocket:
		if s := k.Socks.Get(sockOf(file)); s.State != SockListening {
			return int64(s.Bytes)
		}
	case FileVnode:
		if n := k.nodeOf(file.Vnode); n != nil {
			if file.LentTo != 0 {
				k.takeBackPos(f)
				file = k.Files.Get(f)
			}
			return int64(n.attr.Size) - file.Off
		}
	}
	return 1
}

// writable is how many bytes a write of the file may take now, 1 where nobody counts.
func (k *Kernel) writable(f store.Ref[File]) int64 {
	switch file := k.Files.Get(f); file.Kind {
	case FilePipe:
		p := k.Pipes.Get(pipeOf(file))
		return max(int64(p.Cap)-int64(p.Data.used()), 1)
	case FileSocket:
		return max(int64(k.Socks.Get(sockOf(file)).SndBuf)/2, 1)
	}
	return 1
}

// KqueueWait waits for at most len(ev) events until the monotonic time deadline (one that
// has passed: looks once). EBADF, ErrRestart.
func (c *Call) KqueueWait(kq int32, ev []Kevent, deadline int64) (int, abi.Errno) {
	k := c.K
	_, q, e := c.kqueueFile(kq)
	if e != 0 {
		return 0, e
	}
	if len(ev) == 0 {
		return 0, 0
	}
	rt := k.kqueueRT(q)
	for {
		if k.Kqueues.Get(q) == nil {
			return 0, abi.EBADF
		}
		n := 0
		rt.ready.sweep(func(w *knoteWatch) bool {
			if x, ok := k.knoteAsk(w); ok {
				ev[n] = x
				n++
				k.knoteTold(w, rt)
			}
			return n < len(ev)
		})
		if n > 0 || deadline <= 0 {
			return n, 0
		}
		switch e := c.Sleep(deadline, &rt.q); e {
		case 0:
		case abi.ETIMEDOUT:
			deadline = 0
		default:
			return 0, e
		}
	}
}

// knoteTold does what a note's flags say when its event has been told.
func (k *Kernel) knoteTold(w *knoteWatch, rt *kqueueRT) {
	n := k.Knotes.Get(w.note)
	switch {
	case n.Flags&KqOneshot != 0:
		k.knoteUnlist(w)
		k.knoteDrop(w)
		return
	case n.Filter == KqTimer:
		k.Knotes.Mut(w.note).Count = 0
		k.knoteArm(w)
	case n.Flags&KqClear != 0:
		if n.Filter == KqUser {
			m := k.Knotes.Mut(w.note)
			m.Fired, m.FFlags, m.Data = 0, 0, 0
		}
	default:
		rt.ready.push(&w.place)
	}
	if n.Flags&KqDispatch != 0 {
		k.Knotes.Mut(w.note).Flags |= KqDisable
	}
}

type kqueueOps struct{ stillOps }

func (o kqueueOps) queueOf(f store.Ref[File]) store.Ref[Kqueue] {
	return store.Ref[Kqueue](o.K.Files.Get(f).Obj)
}

func (o kqueueOps) Poll(f store.Ref[File]) uint32 {
	rt := o.K.kqueueRT(o.queueOf(f))
	if rt.ready.any(func(w *knoteWatch) bool { _, ok := o.K.knoteAsk(w); return ok }) {
		return PollIn | PollRdNorm
	}
	return 0
}

func (o kqueueOps) Queue(f store.Ref[File]) *WaitQueue { return &o.K.kqueueRT(o.queueOf(f)).q }

func (o kqueueOps) Release(c *Call, f store.Ref[File]) {
	q := o.queueOf(f)
	for _, w := range o.K.kqueueRT(q).notes {
		o.K.knoteUnlist(w)
		o.K.knoteDrop(w)
	}
	o.K.io.kqueues.drop(q)
	o.K.Kqueues.Free(q)
}

func (o kqueueOps) LinkName(store.Ref[File]) string { return "anon_inode:[kqueue]" }
