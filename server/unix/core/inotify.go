package core

import (
	"hythe/abi"
	"hythe/store"
)

// Events and flags of watches (include/uapi/linux/inotify.h).
const (
	inAllEvents = 0xfff
	inUnmount   = 0x2000
	inOverflow  = 0x4000
	inIgnored   = 0x8000
	inMaskAdd   = 1 << 29
	inIsDir     = 1 << 30
	inOneshot   = 1 << 31
	inMaskNew   = 1 << 28 // IN_MASK_CREATE
	inExclUnl   = 1 << 26

	// inotifyQueue bounds the events that wait in one instance
	// (fs.inotify.max_queued_events).
	inotifyQueue = 16384
)

// Inotify is an inotify instance.
type Inotify struct {
	NextWd  int32
	Bytes   uint32 // that a read of everything would give
	Watches store.List[InotifyWatch]
	Events  store.List[InotifyEvent]
}

// InotifyWatch watches a node.
type InotifyWatch struct {
	Link store.Link[InotifyWatch]
	In   store.Ref[Inotify]
	Wd   int32
	Mask uint32
	Node NodeKey
}

// InotifyEvent is an event that was not yet read.
type InotifyEvent struct {
	Link   store.Link[InotifyEvent]
	Wd     int32
	Mask   uint32
	Cookie uint32
	Name   store.Block
}

type inotifyState struct {
	q     rtOf[Inotify, WaitQueue]
	nodes map[NodeKey][]store.Ref[InotifyWatch]
	// masks are of what somebody wants to know, if counted (watched).
	masks   uint32
	counted bool
}

func (k *Kernel) initInotify() {
	k.io.inotify.nodes = map[NodeKey][]store.Ref[InotifyWatch]{}
	k.SetNotify(k.inotifyTell)
}

func (k *Kernel) recoverInotify() {
	k.InoWds.Each(func(r store.Ref[InotifyWatch], w *InotifyWatch) bool {
		k.io.inotify.nodes[w.Node] = append(k.io.inotify.nodes[w.Node], r)
		return true
	})
}

func (k *Kernel) inoWatches() store.Lists[InotifyWatch] {
	return store.Lists[InotifyWatch]{Table: k.InoWds, At: func(w *InotifyWatch) *store.Link[InotifyWatch] { return &w.Link }}
}

func (k *Kernel) inoEvents() store.Lists[InotifyEvent] {
	return store.Lists[InotifyEvent]{Table: k.InoEvs, At: func(v *InotifyEvent) *store.Link[InotifyEvent] { return &v.Link }}
}

// inotifyTell is told of every change of a file system: watches of the
// directory hear of the name in it, watches of the node of the node itself.
func (k *Kernel) inotifyTell(ev FSEvent) {
	nodes := k.io.inotify.nodes
	if len(nodes) == 0 {
		return
	}
	var dir uint32
	if ev.IsDir {
		dir = inIsDir
	}
	const self = evDeleteSelf | evMoveSelf
	if ev.Dir != (NodeKey{}) {
		if m := ev.Mask &^ self; m != 0 {
			k.inotifyPost(nodes[ev.Dir], m, dir, ev.Cookie, ev.Name)
		}
	}
	if ev.Node == (NodeKey{}) || ev.Mask&(evCreate|evDelete|evMovedFrom|evMovedTo) != 0 {
		return
	}
	k.inotifyPost(nodes[ev.Node], ev.Mask, dir, ev.Cookie, "")
	if ev.Mask&evDeleteSelf != 0 {
		for _, r := range append([]store.Ref[InotifyWatch](nil), nodes[ev.Node]...) {
			k.inotifyDrop(r)
		}
	}
}

func (k *Kernel) inotifyPost(list []store.Ref[InotifyWatch], mask, dir, cookie uint32, name string) {
	for _, r := range append([]store.Ref[InotifyWatch](nil), list...) {
		w := k.InoWds.Get(r)
		if m := w.Mask & mask & inAllEvents; m != 0 {
			if m&(evDeleteSelf|evMoveSelf) == m {
				dir = 0
			}
			k.inotifyQueue(w.In, w.Wd, m|dir, cookie, name)
			if w.Mask&inOneshot != 0 {
				k.inotifyDrop(r)
			}
		}
	}
}

// inotifyLen is the size of an event when it is read: a header and the name,
// padded to a multiple of the header.
func inotifyLen(name int) int {
	if name == 0 {
		return 16
	}
	return 16 + (name+1+15)&^15
}

func (k *Kernel) inotifyQueue(in store.Ref[Inotify], wd int32, mask, cookie uint32, name string) {
	i := k.Inotifys.Mut(in)
	q := k.io.inotify.q.at(in)
	if t := k.InoEvs.Get(i.Events.Tail); t != nil && t.Wd == wd && t.Mask == mask && t.Cookie == cookie && store.String(k.Heap, t.Name) == name {
		return // the same again tells nothing
	}
	if i.Events.N >= inotifyQueue {
		return
	}
	if i.Events.N == inotifyQueue-1 {
		wd, mask, cookie, name = -1, inOverflow, 0, ""
	}
	r, e := k.InoEvs.New()
	if r == 0 {
		return
	}
	e.Wd, e.Mask, e.Cookie = wd, mask, cookie
	e.Name = store.PutString(k.Heap, name)
	k.inoEvents().PushBack(&i.Events, r)
	i.Bytes += uint32(inotifyLen(int(e.Name.Len)))
	q.Wake(PollIn | PollRdNorm)
	k.tell(q, ioIn)
}

// inotifyDrop ends a watch and says so.
func (k *Kernel) inotifyDrop(r store.Ref[InotifyWatch]) {
	w := *k.InoWds.Get(r)
	k.inotifyFree(r)
	k.inotifyQueue(w.In, w.Wd, inIgnored, 0, "")
}

func (k *Kernel) inotifyFree(r store.Ref[InotifyWatch]) {
	k.io.inotify.counted = false
	w := k.InoWds.Get(r)
	list := k.io.inotify.nodes[w.Node]
	for i, x := range list {
		if x == r {
			list = append(list[:i:i], list[i+1:]...)
			break
		}
	}
	if len(list) == 0 {
		delete(k.io.inotify.nodes, w.Node)
	} else {
		k.io.inotify.nodes[w.Node] = list
	}
	k.inoWatches().Remove(&k.Inotifys.Mut(w.In).Watches, r)
	k.InoWds.Free(r)
}

// NewInotify makes an inotify instance and a descriptor for it.
func (c *Call) NewInotify(flags uint32) (int32, abi.Errno) {
	r, i := c.K.Inotifys.New()
	if r == 0 {
		return -1, abi.EMFILE
	}
	i.NextWd = 1
	fd, e := c.fileOf(FileInotify, AccessRead, flags&OpenNonblock, uint32(r), cloexec(flags))
	if e != 0 {
		c.K.Inotifys.Free(r)
	}
	return fd, e
}

func (c *Call) inotifyFile(fd int32) (store.Ref[Inotify], abi.Errno) {
	_, file, e := c.File(fd)
	if e != 0 {
		return 0, e
	}
	if file.Kind != FileInotify {
		return 0, abi.EINVAL
	}
	return store.Ref[Inotify](file.Obj), 0
}

// InotifyAdd watches the node at path and answers the watch's number; the mask
// is inotify_add_watch(2)'s without the flags that only concern the walk.
func (c *Call) InotifyAdd(fd int32, path string, walk uint32, mask uint32) (int32, abi.Errno) {
	k := c.K
	if _, e := c.inotifyFile(fd); e != 0 {
		return -1, e
	}
	w, e := c.Walk(AtCwd, path, walk)
	if e != 0 {
		return -1, e
	}
	if w.node == nil {
		return -1, abi.ENOENT
	}
	if e := c.may(w.node, mayRead); e != 0 {
		return -1, e
	}
	in, e := c.inotifyFile(fd)
	if e != 0 {
		return -1, e
	}
	if mask&evAccess != 0 {
		k.takeBackAll()
	}
	if mask&evModify != 0 {
		k.takeBackWrites(0)
	}
	if mask&(evCloseNo|evOpen) != 0 {
		k.takeBackCloses()
	}
	k.io.inotify.counted = false
	key := w.Key()
	for _, r := range k.io.inotify.nodes[key] {
		if k.InoWds.Get(r).In == in {
			if mask&inMaskNew != 0 {
				return -1, abi.EEXIST
			}
			m := k.InoWds.Mut(r)
			if mask&inMaskAdd != 0 {
				m.Mask |= mask &^ inMaskAdd
			} else {
				m.Mask = mask
			}
			return m.Wd, 0
		}
	}
	r, n := k.InoWds.New()
	if r == 0 {
		return -1, abi.ENOSPC
	}
	i := k.Inotifys.Mut(in)
	n.In, n.Wd, n.Mask, n.Node = in, i.NextWd, mask&^(inMaskAdd|inMaskNew), key
	i.NextWd++
	k.inoWatches().PushBack(&i.Watches, r)
	k.io.inotify.nodes[key] = append(k.io.inotify.nodes[key], r)
	return n.Wd, 0
}

// InotifyRemove ends a watch. EBADF, EINVAL.
func (c *Call) InotifyRemove(fd, wd int32) abi.Errno {
	in, e := c.inotifyFile(fd)
	if e != 0 {
		return e
	}
	var found store.Ref[InotifyWatch]
	l := c.K.Inotifys.Get(in).Watches
	c.K.inoWatches().Each(&l, func(r store.Ref[InotifyWatch], w *InotifyWatch) bool {
		if w.Wd == wd {
			found = r
		}
		return found == 0
	})
	if found == 0 {
		return abi.EINVAL
	}
	c.K.inotifyDrop(found)
	return 0
}

type inotifyOps struct{ stillOps }

func (o inotifyOps) ref(f store.Ref[File]) store.Ref[Inotify] {
	return store.Ref[Inotify](o.K.Files.Get(f).Obj)
}

func (o inotifyOps) Read(c *Call, f store.Ref[File], buf []byte, off int64) (int, abi.Errno) {
	k := o.K
	if off >= 0 {
		return 0, abi.ESPIPE
	}
	r := o.ref(f)
	for {
		n := 0
		type event struct {
			InotifyEvent
			name string
		}
		var all []event
		for {
			h := k.Inotifys.Get(r).Events.Head
			if h == 0 {
				break
			}
			e := k.InoEvs.Get(h)
			size := inotifyLen(int(e.Name.Len))
			if len(buf)-n < size {
				if n == 0 {
					return 0, abi.EINVAL
				}
				break
			}
			b := buf[n : n+size]
			clear(b)
			putLE32(b, uint32(e.Wd))
			putLE32(b[4:], e.Mask)
			putLE32(b[8:], e.Cookie)
			putLE32(b[12:], uint32(size-16))
			copy(b[16:], k.Heap.Bytes(e.Name))
			n += size
			all = append(all, event{*e, store.String(k.Heap, e.Name)})
			k.inotifyPop(r)
		}
		if n > 0 {
			// All of them, or none: as on Linux, where they are lost then.
			gen := k.Files.Gen(f)
			c.took = taken{sizes: []int{n}, again: func(c *Call, _ int) {
				if x := k.Files.Get(f); x == nil || k.Files.Gen(f) != gen || x.Kind != FileInotify {
					return
				}
				for i := len(all) - 1; i >= 0; i-- {
					h, e := k.InoEvs.New()
					if h == 0 {
						return
					}
					e.Wd, e.Mask, e.Cookie = all[i].Wd, all[i].Mask, all[i].Cookie
					e.Name = store.PutString(k.Heap, all[i].name)
					in := k.Inotifys.Mut(o.ref(f))
					k.inoEvents().PushFront(&in.Events, h)
					in.Bytes += uint32(inotifyLen(int(e.Name.Len)))
				}
				k.io.inotify.q.at(o.ref(f)).Wake(PollIn | PollRdNorm)
			}}
			return n, 0
		}
		if k.nonblock(f) {
			return 0, abi.EAGAIN
		}
		if e := c.Sleep(NoDeadline, k.io.inotify.q.at(r)); e != 0 {
			return 0, e
		}
	}
}

func (k *Kernel) inotifyPop(r store.Ref[Inotify]) {
	i := k.Inotifys.Mut(r)
	h := k.inoEvents().PopFront(&i.Events)
	e := k.InoEvs.Get(h)
	i.Bytes -= uint32(inotifyLen(int(e.Name.Len)))
	k.Heap.FreeBlock(e.Name)
	k.InoEvs.Free(h)
}

func (o inotifyOps) Poll(f store.Ref[File]) uint32 {
	if o.K.Inotifys.Get(o.ref(f)).Events.N > 0 {
		return PollIn | PollRdNorm
	}
	return 0
}

func (o inotifyOps) Queue(f store.Ref[File]) *WaitQueue { return o.K.io.inotify.q.at(o.ref(f)) }

func (o inotifyOps) Ioctl(c *Call, f store.Ref[File], req uint32, arg uint64) (uint64, abi.Errno) {
	if req == ioFIONREAD {
		n := o.K.Inotifys.Get(o.ref(f)).Bytes
		c.CopyOut32(arg, n)
		return 0, 0
	}
	return 0, abi.ENOTTY
}

func (o inotifyOps) Release(c *Call, f store.Ref[File]) {
	k := o.K
	r := o.ref(f)
	for k.Inotifys.Get(r).Watches.N > 0 {
		k.inotifyFree(k.Inotifys.Get(r).Watches.Head)
	}
	for k.Inotifys.Get(r).Events.N > 0 {
		k.inotifyPop(r)
	}
	k.io.inotify.q.drop(r)
	k.Inotifys.Free(r)
}

func (o inotifyOps) LinkName(store.Ref[File]) string { return "anon_inode:inotify" }
