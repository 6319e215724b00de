package core

import (
	"fmt"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/store"
)

// nodeOf answers the node of a vnode record, nil for 0.
func (k *Kernel) nodeOf(v store.Ref[Vnode]) *node {
	rec := k.Vnodes.Get(v)
	if rec == nil {
		return nil
	}
	if n := k.vfs.nodes[NodeKey{rec.Mount, rec.Node}]; n != nil {
		return n
	}
	return nil
}

// holdNode makes a node's record, if it has none, and adds a reference. ENFILE.
func (k *Kernel) holdNode(n *node) (store.Ref[Vnode], abi.Errno) {
	if n.v != 0 {
		v := k.Vnodes.Mut(n.v)
		if v.Refs == 0 && v.Flags&VnodeLazy != 0 {
			v.Flags &^= VnodeLazy
			k.vfs.lazy--
		}
		v.Refs++
		return n.v, 0
	}
	var parent store.Ref[Vnode]
	if n.parent != nil && n != n.m.root {
		p, e := k.holdNode(n.parent)
		if e != 0 {
			return 0, e
		}
		parent = p
	}
	r, v := k.Vnodes.New()
	if r == 0 {
		if parent != 0 {
			k.DropVnode(parent)
		}
		return 0, abi.ENFILE
	}
	v.Refs = 1
	v.Mount = n.m.ref
	v.Node = n.id
	v.Mode = n.attr.Mode
	v.Parent = parent
	v.Name = store.PutString(k.Heap, n.name)
	if n.gone {
		v.Flags |= VnodeGone
	}
	n.v = r
	// A node that the cache evicted while a record was made for it would be
	// lost: put it back.
	k.vfs.nodes[n.key()] = n
	return r, 0
}

// renameVnode brings the record's parent and name in line with the node's.
func (k *Kernel) renameVnode(n *node) {
	v := k.Vnodes.Get(n.v)
	p := k.Vnodes.Get(v.Parent)
	if p != nil && n.parent != nil && n.parent.v == v.Parent && store.String(k.Heap, v.Name) == n.name {
		return
	}
	if n == n.m.root {
		return
	}
	var parent store.Ref[Vnode]
	if n.parent != nil {
		r, e := k.holdNode(n.parent)
		if e != 0 {
			return
		}
		parent = r
	}
	m := k.Vnodes.Mut(n.v)
	oldParent, oldName := m.Parent, m.Name
	m.Parent = parent
	m.Name = store.PutString(k.Heap, n.name)
	if !oldName.Nil() {
		k.Heap.FreeBlock(oldName)
	}
	if oldParent != 0 {
		k.DropVnode(oldParent)
	}
}

// HoldVnode adds a reference to a vnode.
func (k *Kernel) HoldVnode(v store.Ref[Vnode]) {
	m := k.Vnodes.Mut(v)
	if m.Refs == 0 && m.Flags&VnodeLazy != 0 {
		m.Flags &^= VnodeLazy
		k.vfs.lazy--
	}
	m.Refs++
}

// maxLazy is how many files nobody holds any longer stay open at their servers, and
// maxLazyObjects how many of them keep their memory objects, each of which takes a descriptor
// here and two in the nucleus.
const (
	maxLazy        = 1 << 14
	maxLazyObjects = 512
)

// DropVnode gives up a reference. Of a file that is open at its server the
// record stays until the releaser has told the server: soon when the file has
// no name any more, else when there are many such files.
func (k *Kernel) DropVnode(v store.Ref[Vnode]) {
	for v != 0 {
		m := k.Vnodes.Mut(v)
		if m.Refs > 1 {
			m.Refs--
			return
		}
		m.Refs = 0
		if m.Opens > 0 {
			m.Flags |= VnodeLazy
			k.vfs.lazy++
			k.queueObject(v)
			if k.queueRelease(v); !k.vfs.due.empty() || k.vfs.lazy > maxLazy {
				k.kickRelease()
			}
			return
		}
		v = k.freeVnode(v)
	}
}

// freeVnode frees a record and answers its parent, which the caller drops.
func (k *Kernel) freeVnode(v store.Ref[Vnode]) store.Ref[Vnode] {
	rec := *k.Vnodes.Get(v)
	if n := k.nodeOf(v); n != nil {
		n.v = 0
		n.dropData()
		if n.gone {
			delete(k.vfs.nodes, n.key())
		}
	}
	if rec.Object != 0 {
		k.DropObject(rec.Object)
	}
	if !rec.Name.Nil() {
		k.Heap.FreeBlock(rec.Name)
	}
	k.Vnodes.Free(v)
	return rec.Parent
}

// releaserClient is the client number of the releaser's requests; threads'
// records never have it.
const releaserClient = ^uint32(0)

// kickRelease starts the releaser unless it runs.
func (k *Kernel) kickRelease() {
	if k.vfs.releasing {
		return
	}
	k.vfs.releasing = true
	k.vfs.releaser.Add(1)
	go func() {
		defer k.vfs.releaser.Done()
		for {
			k.Enter()
			more := k.releaseOne(false)
			if !more {
				k.vfs.releasing = false
			}
			k.Leave()
			if !more {
				return
			}
		}
	}()
}

// ReleaseAll tells the file servers of every file that nobody holds any more
// and frees the records. With the lock held, which it gives up. For tests and
// for an orderly end.
func (k *Kernel) ReleaseAll() {
	for k.releaseOne(true) {
	}
}

// releaseOne closes one file at its server; false when none is due. One
// request is on its way at a time, noted in the state of record with its
// number, so that a repetition after a crash counts once.
func (k *Kernel) releaseOne(all bool) bool {
	vr := k.vfsRec()
	v := vr.Releasing
	if v == 0 {
		v = k.dueRelease(all)
		if v == 0 {
			return false
		}
		vr.Releasing = v
		vr.ReleaseSeq++
		vr.ReleaseCrashes = 0
	}
	if ch := k.vfs.resizing[v]; ch != nil {
		// Who is told to trim a file that was released could cut what was written since.
		k.Leave()
		<-ch
		k.Enter()
		return true
	}
	rec := k.Vnodes.Get(v)
	m := k.vfs.mounts[rec.Mount]
	id, written := rec.Node, rec.Written
	end, reserved := rec.End, rec.Reserved
	var done func()
	if n := k.nodeOf(v); reserved != 0 && (rec.Refs > 0 || n == nil) {
		reserved = 0 // it is open again
	} else if reserved != 0 {
		done = k.resize(n)
	}
	seq, refused := vr.ReleaseSeq, vr.ReleaseCrashes >= maxCrashes
	k.vfs.busy++
	k.Leave()
	if m != nil && m.srv != nil && !refused {
		k.releases(seq, func() {
			if written != (fs.Time{}) {
				m.srv.SetAttr(fs.Req{}, id, &fs.SetAttrIn{Valid: fs.SetWritten, Mtime: written})
			}
			if reserved != 0 {
				m.srv.SetAttr(fs.Req{}, id, &fs.SetAttrIn{Valid: fs.SetTrimmed, Size: end})
			}
			m.srv.Release(fs.Req{Client: releaserClient, Seq: seq}, id)
		})
	}
	k.Enter()
	k.vfs.busy--
	if refused {
		k.Host.Log(fmt.Sprintf("a file server crashed %d times when it was told that a file is closed: it is not told again", maxCrashes))
	}
	if done != nil {
		done()
	}
	vr = k.vfsRec()
	if vr.Releasing != v {
		return true // another releaser has finished it
	}
	vr.Releasing = 0
	w := k.Vnodes.Mut(v)
	if reserved != 0 {
		w.End, w.Reserved = 0, 0
		if n := k.nodeOf(v); n != nil {
			n.trimmed = reserved
			n.stale()
		}
	}
	if written != (fs.Time{}) {
		if w.Written == written {
			w.Written = fs.Time{}
		}
		if n := k.nodeOf(v); n != nil {
			n.gen++ // an answer from before is not to be believed
			n.m.changed++
		}
	}
	if w.Opens > 0 {
		w.Opens--
	}
	if w.Refs == 0 && w.Opens == 0 {
		if w.Flags&VnodeLazy != 0 {
			k.vfs.lazy--
		}
		if p := k.freeVnode(v); p != 0 {
			k.DropVnode(p)
		}
	} else if w.Refs == 0 {
		k.queueRelease(v) // it was opened more than once
	}
	return true
}

// releases does what the releaser's request seq is about, without the lock. Of a panic, which
// is one of a file server in this process, there is a note in the state of record, as of one in a
// call (crashed): it would end each next incarnation, too.
func (k *Kernel) releases(seq uint64, f func()) {
	defer func() {
		if r := recover(); r != nil {
			k.notePanic(true, func() {
				if vr := k.vfsRec(); vr.Releasing != 0 && vr.ReleaseSeq == seq {
					vr.ReleaseCrashes++
				}
			})
			panic(r)
		}
	}()
	f()
}

// refQueue has vnodes in the order in which they came.
type refQueue struct {
	l    []store.Ref[Vnode]
	head int
}

func (q *refQueue) empty() bool { return q.head == len(q.l) }
func (q *refQueue) len() int    { return len(q.l) - q.head }

func (q *refQueue) push(v store.Ref[Vnode]) {
	if q.head > 64 && q.head*2 > len(q.l) {
		q.l, q.head = q.l[:copy(q.l, q.l[q.head:])], 0
	}
	q.l = append(q.l, v)
}

func (q *refQueue) pop() store.Ref[Vnode] {
	v := q.l[q.head]
	if q.head++; q.head == len(q.l) {
		q.l, q.head = q.l[:0], 0
	}
	return v
}

// tidy leaves one of each, the last, of those that keep wants.
func (q *refQueue) tidy(keep func(store.Ref[Vnode]) bool) {
	seen := map[store.Ref[Vnode]]bool{}
	at := len(q.l)
	for i := len(q.l) - 1; i >= q.head; i-- {
		if v := q.l[i]; !seen[v] && keep(v) {
			seen[v] = true
			at--
			q.l[at] = v
		}
	}
	q.l, q.head = q.l[:copy(q.l, q.l[at:])], 0
}

// isLazy says whether a vnode is one that nobody holds and that is open at its server.
func (k *Kernel) isLazy(v store.Ref[Vnode]) bool {
	rec := k.Vnodes.Get(v)
	return rec != nil && rec.Refs == 0 && rec.Opens != 0 && rec.Given == 0
}

// gives has the request that c is about to send, Discard of n's last name, give up n's
// openings, if nobody has any: it answers which node's, and how many. A repetition gives up
// the same ones.
func (c *Call) gives(n *node) (fs.NodeID, uint32) {
	k := c.K
	if c.T == 0 {
		return 0, 0
	}
	if !c.again() {
		if n.v == 0 || n.attr.Nlink > 1 || k.vfsRec().Releasing == n.v || !k.isLazy(n.v) {
			return 0, 0
		}
		v := k.Vnodes.Mut(n.v)
		v.Given = v.Opens
		c.MutThread().FSGives = n.v
	}
	v := k.Vnodes.Get(c.Thread().FSGives)
	if v == nil {
		return 0, 0
	}
	return v.Node, v.Given
}

// gave takes note of the answer to that request, when the caches know of it.
func (c *Call) gave(e abi.Errno) {
	k := c.K
	if c.T == 0 {
		return
	}
	r := c.Thread().FSGives
	if r == 0 {
		return
	}
	c.MutThread().FSGives = 0
	v := k.Vnodes.Mut(r)
	if e == 0 {
		v.Opens -= v.Given
	}
	if v.Given = 0; v.Refs != 0 {
		return
	}
	if v.Opens > 0 {
		if k.queueRelease(r); !k.vfs.due.empty() {
			k.kickRelease()
		}
		return
	}
	if v.Flags&VnodeLazy != 0 {
		k.vfs.lazy--
	}
	if p := k.freeVnode(r); p != 0 {
		k.DropVnode(p)
	}
}

// queueRelease notes that a vnode is lazy from now on, or is and has lost its name.
func (k *Kernel) queueRelease(v store.Ref[Vnode]) {
	q := &k.vfs.lazyOrder
	if rec := k.Vnodes.Get(v); rec.Flags&VnodeGone != 0 || rec.Made != 0 {
		q = &k.vfs.due
	}
	if q.push(v); q.len() > 2*k.vfs.lazy+256 {
		q.tidy(k.isLazy)
	}
}

// queueObject notes that a vnode is lazy from now on, which may have an object.
func (k *Kernel) queueObject(v store.Ref[Vnode]) {
	if k.Vnodes.Get(v).Object == 0 {
		return
	}
	q := &k.vfs.lazyObjects
	if q.push(v); q.len() > maxLazyObjects {
		q.tidy(k.keepsObject)
		for q.len() > maxLazyObjects*3/4 {
			k.dropLazyObject()
		}
	}
	if k.vfs.objects != nil {
		k.objectRoom() // there may be less where a process may have few descriptors
	}
}

// keepsObject says whether a lazy vnode has an object.
func (k *Kernel) keepsObject(v store.Ref[Vnode]) bool {
	return k.isLazy(v) && k.Vnodes.Get(v).Object != 0
}

// dropLazyObject gives up the object of that lazy vnode that was dropped first, if it is lazy
// still. Somebody who opens the file asks for another one. false: there is none.
func (k *Kernel) dropLazyObject() bool {
	q := &k.vfs.lazyObjects
	if q.empty() {
		return false
	}
	if v := q.pop(); k.keepsObject(v) {
		w := k.Vnodes.Mut(v)
		k.DropObject(w.Object)
		w.Object, w.ObjFlags = 0, 0
		if n := k.nodeOf(v); n != nil {
			n.dropData()
			n.reads = 0
		}
		k.vfs.crowded = 32 * maxLazyObjects
	}
	return true
}

// objectRoom says whether one more object may be taken to read or write a file by.
func (k *Kernel) objectRoom() bool {
	for !k.vfs.objects.Room() {
		if !k.dropLazyObject() {
			return false
		}
	}
	return true
}

// dueRelease picks the next vnode to release.
func (k *Kernel) dueRelease(all bool) store.Ref[Vnode] {
	for _, q := range [...]*refQueue{&k.vfs.due, &k.vfs.lazyOrder} {
		for !q.empty() && (all || q == &k.vfs.due || k.vfs.lazy > maxLazy) {
			if v := q.pop(); k.isLazy(v) {
				return v
			}
		}
	}
	return 0
}

// VnodeKey answers which node a vnode is.
func (k *Kernel) VnodeKey(v store.Ref[Vnode]) NodeKey {
	rec := k.Vnodes.Get(v)
	return NodeKey{rec.Mount, rec.Node}
}

// VnodePath answers the path by which a vnode was found, from the root of the
// machine, with " (deleted)" behind it when it has no name any more.
func (k *Kernel) VnodePath(v store.Ref[Vnode]) string {
	n := k.nodeOf(v)
	if n == nil {
		return ""
	}
	return k.nodeShown(n, nil)
}

// PathFor is VnodePath as the caller sees it, from its own root.
func (c *Call) PathFor(v store.Ref[Vnode]) string {
	n := c.K.nodeOf(v)
	if n == nil {
		return ""
	}
	return c.K.nodeShown(n, c.rootNode())
}

func (k *Kernel) nodeShown(n *node, root *node) string {
	p := k.nodePath(n, root)
	if n.m == k.vfs.memfd && n.m != nil {
		return "/" + n.name + " (deleted)"
	}
	if n.gone {
		p += " (deleted)"
	}
	return p
}

// nodePath answers the path of n below root (nil: the machine's root); a node
// outside it is shown from the machine's root behind "(unreachable)".
func (k *Kernel) nodePath(n, root *node) string {
	var parts []string
	size := 0
	for x := n; x != root; {
		if x == x.m.root {
			if x.m.point == nil {
				if root != nil && x.m == k.vfs.root {
					parts = append(parts, "(unreachable)")
				}
				break
			}
			x = x.m.point
			continue
		}
		parts = append(parts, x.name)
		size += len(x.name) + 1
		if x.parent == nil || size > 1<<20 {
			break
		}
		x = x.parent
	}
	if len(parts) == 0 {
		return "/"
	}
	b := make([]byte, 0, size+16)
	for i := len(parts) - 1; i >= 0; i-- {
		if parts[i] == "(unreachable)" {
			b = append(b, parts[i]...)
			continue
		}
		b = append(b, '/')
		b = append(b, parts[i]...)
	}
	return string(b)
}

// Hold adds a reference to what was found and answers its vnode; the caller
// drops it with DropVnode. ENFILE.
func (c *Call) Hold(f *Found) (store.Ref[Vnode], abi.Errno) { return c.K.holdNode(f.node) }

// openVnode counts an opening of a regular file at its server, unless it is
// open there already (for writing too if write is set; an overlay copies up
// then). trunc empties it in the same step. The vnode is held by the caller.
func (c *Call) openVnode(v store.Ref[Vnode], write, trunc bool) abi.Errno {
	k := c.K
	rec := k.Vnodes.Get(v)
	n := k.nodeOf(v)
	if n.m.srv == nil {
		return 0
	}
	opens := rec.Opens - rec.Given
	if r := k.VFSRec.Get(1); r != nil && r.Releasing == v {
		opens--
	}
	if opens > 0 && !trunc && (!write || rec.Writes > 0) && !c.again() {
		if write {
			k.Vnodes.Mut(v).Writes++
		}
		return 0
	}
	r := c.req()
	if trunc {
		if e := c.trim(n); e != 0 {
			return e
		}
	}
	gen := n.gen
	if trunc {
		n.stale()
		gen = n.gen
	}
	var e fs.Entry
	var err abi.Errno
	if write || trunc {
		k.changes(n)
		n.changing++
	}
	var first []byte
	var whole bool
	most := 0
	if !write && !trunc && n.keeps && n.data == nil && n.attr.Size <= maxFirst {
		most = maxFirst
	}
	changed := n.changes
	c.ask(func() {
		if most > 0 {
			e, whole, first, err = c.server(n.m).OpenRead(r, n.id, most)
		} else {
			e, err = c.server(n.m).Open(r, n.id, write, trunc)
		}
	})
	if write || trunc {
		n.changing--
		k.changes(n)
	}
	if err != 0 {
		c.stepDone()
		return err
	}
	if trunc {
		k.learnChange(n, gen, &e)
	} else {
		k.learn(n, gen, &e)
		if whole && n.gen == gen && n.changes == changed {
			k.keepFirst(n, first)
		}
	}
	w := k.Vnodes.Mut(v)
	w.Opens++
	if write {
		w.Writes++
	}
	c.stepDone()
	return 0
}

// maxFirst is how long a file is at most that is answered when it is opened, and firsts how
// many of these are kept until they are read, once.
const (
	maxFirst = 16 << 10
	firsts   = 64
)

// keepFirst keeps what is in a file for as long as its attributes, for who reads it now.
func (k *Kernel) keepFirst(n *node, b []byte) {
	if old := k.vfs.firsts[k.vfs.firstAt]; old != nil {
		old.first = nil
	}
	k.vfs.firsts[k.vfs.firstAt] = n
	k.vfs.firstAt = (k.vfs.firstAt + 1) % firsts
	n.first = b
}

// readFirst reads what was kept. False: there is nothing of it.
func (k *Kernel) readFirst(n *node, buf []byte, off uint64) (int, bool) {
	b := n.first
	if b == nil || n.data != nil || !k.fresh(n.attrUntil) || off >= uint64(len(b)) {
		n.first = nil
		return 0, false
	}
	m := copy(buf, b[off:])
	if off+uint64(m) == uint64(len(b)) {
		n.first = nil
	}
	return m, true
}

// busyExec says whether a process executes the vnode.
func (k *Kernel) busyExec(v store.Ref[Vnode]) bool {
	found := false
	k.Procs.Each(func(_ store.Ref[Proc], p *Proc) bool {
		if p.Exe == v && p.State == ProcLive {
			found = true
		}
		return !found
	})
	return found
}

// ReadVnode reads up to n bytes of a file at off, for exec. It may give up the
// lock.
func (c *Call) ReadVnode(v store.Ref[Vnode], off int64, n int) ([]byte, abi.Errno) {
	nd := c.K.nodeOf(v)
	if nd == nil {
		return nil, abi.EBADF
	}
	buf := make([]byte, n)
	done := 0
	for done < n {
		m, e := c.readNode(nd, buf[done:], uint64(off)+uint64(done))
		if e != 0 {
			return nil, e
		}
		if m == 0 {
			break
		}
		done += m
	}
	return buf[:done], 0
}

// ReadPath answers what a regular file says that the caller may read, at most so many
// bytes. It may give up the lock. EISDIR, EINVAL.
func (c *Call) ReadPath(path string, most int) ([]byte, abi.Errno) {
	w, e := c.walk(nil, path, WalkFollow)
	switch {
	case e != 0:
		return nil, e
	case w.node == nil || !w.node.isRegular():
		return nil, abi.EINVAL
	}
	c.K.vfs.busy++
	defer func() { c.K.vfs.busy-- }()
	if e := c.may(w.node, mayRead); e != 0 {
		return nil, e
	}
	buf := make([]byte, most)
	done := 0
	for done < most {
		n, e := c.readNode(w.node, buf[done:], uint64(done))
		if e != 0 {
			return nil, e
		}
		if n == 0 {
			break
		}
		done += n
	}
	return buf[:done], 0
}

// Objects is how this server gets at memory objects that file servers grant.
type Objects interface {
	// Granted waits for the object that the server attached under label has
	// granted under tag (fs.MapOut). Called WITHOUT the lock.
	Granted(label string, tag uint64) (ObjectName, abi.Errno)
	// Data answers a reader of an object that this server holds, nil when it
	// has no descriptor for it. Called with the lock held.
	Data(o ObjectName) DataFile
	// Room says whether one more object may be taken only to read by: each is a
	// descriptor. Called with the lock held.
	Room() bool
}

// SetObjects says how memory objects of file servers are got at; without it
// files are read by requests only and cannot be mapped.
func (k *Kernel) SetObjects(o Objects) { k.vfs.objects = o }

// DropObject gives a memory object up, not before the record that held it is
// changed for good: a server that dies in between would find a name in its
// records that stands for nothing.
func (k *Kernel) DropObject(o ObjectName) {
	k.grants.forget(o)
	k.afterCommit(func() { k.Host.DropObject(o) })
}

// HeldObjects answers how often the state of record names each memory object. A
// next incarnation gives up what it inherits beyond that: what the last one had
// got or given up when it died, and could not note or tell. Before Recover.
func (k *Kernel) HeldObjects() map[ObjectName]int {
	held := map[ObjectName]int{}
	k.Vnodes.Each(func(_ store.Ref[Vnode], v *Vnode) bool {
		if v.Object != 0 {
			held[v.Object]++
		}
		return true
	})
	k.Shms.Each(func(_ store.Ref[ShmSeg], s *ShmSeg) bool {
		held[s.Object]++
		return true
	})
	k.Regions.Each(func(_ store.Ref[Region], r *Region) bool {
		held[r.Object]++
		return true
	})
	k.Streams.Each(func(_ store.Ref[Stream], x *Stream) bool {
		held[x.Object]++
		return true
	})
	return held
}

// MapVnode answers the memory object that holds a regular file's bytes. The
// name belongs to the vnode. ENODEV when its server cannot map. It may give up
// the lock.
func (c *Call) MapVnode(v store.Ref[Vnode], use fs.MapUse) (ObjectName, abi.Errno) {
	k := c.K
	write, fill := use == fs.MapToWrite, use == fs.MapToFill
	rec := k.Vnodes.Get(v)
	n := k.nodeOf(v)
	if n == nil || n.m.srv == nil || k.vfs.objects == nil || !n.isRegular() {
		return 0, abi.ENODEV
	}
	if !fill {
		if e := c.trim(n); e != 0 { // what is mapped ends where the file does
			return 0, e
		}
		if rec = k.Vnodes.Get(v); rec == nil || n.v != v {
			return 0, abi.ENODEV
		}
		if rec.Shown == 0 && use != fs.MapToRead {
			rec = k.Vnodes.Mut(v)
			rec.Shown = 1
		}
	}
	if rec.Object != 0 && (!write || rec.ObjFlags&1 != 0) && (!fill || rec.ObjFlags&objFill != 0) {
		return rec.Object, 0
	}
	var out fs.MapOut
	var name ObjectName
	var e abi.Errno
	changes := n.changes
	k.vfs.busy++
	c.Unlocked(func() {
		out, e = n.m.srv.Map(fs.Req{}, n.id, use)
		if e == 0 {
			name, e = k.vfs.objects.Granted(n.m.label, out.Tag)
		}
	})
	k.vfs.busy--
	if e != 0 {
		if e == abi.ENOSYS || e == abi.EOPNOTSUPP {
			e = abi.ENODEV
		}
		return 0, e
	}
	w := k.Vnodes.Mut(v)
	if w.ObjFlags&(1|objFill) != 0 && !out.Writable {
		// Meanwhile somebody else was given more.
		k.DropObject(name)
		return w.Object, 0
	}
	if w.Object != 0 {
		k.DropObject(w.Object) // also where it is name, which this grant names once more
	}
	w.Object = name
	if w.ObjFlags &= 1 | objFill; !out.Writable {
		w.ObjFlags = 0
	}
	switch {
	case out.Writable && fill:
		w.ObjFlags |= objFill
	case out.Writable:
		w.ObjFlags |= 1
	}
	if out.Stable {
		w.ObjFlags |= 2
	}
	if out.UntilWrite && n.changes == changes && w.Writes == 0 {
		w.ObjFlags |= 8
	}
	n.dropData()
	if out.Writable && write {
		n.attrUntil = 0 // how much memory it takes changes without us from now on
	}
	return name, 0
}

// changes notes that the file's data is about to be changed, or was, by other
// ways than an object that the record has: what the record has of a layer
// below does not show it. It is called before the server is asked, for the
// record, and again when it has answered, for who mapped the file meanwhile.
func (k *Kernel) changes(n *node) {
	n.takeBack()
	n.changes++
	n.first = nil
	if n.v == 0 {
		return
	}
	if rec := k.Vnodes.Get(n.v); rec != nil && rec.ObjFlags&8 != 0 {
		w := k.Vnodes.Mut(n.v)
		k.DropObject(w.Object) // who has it mapped keeps it
		w.Object, w.ObjFlags = 0, 0
		n.dropData()
	}
}

// A file is read through its memory object, which needs no request, when it is
// big, and when it has been read so often without; it is written through it (see
// fill) when it was written over so often without.
const (
	bigFile   = 128 << 10
	readOften = 3
	fillOften = 3
	// readAgain is how often a small file is read without where others' objects have just had to make
	// room: of many files that are read one after the other, again and again, none would keep
	// its own, and to take one costs as much as ten reads.
	readAgain = 64
	// fillPause is how many writes go by before a file that had holes is looked at
	// again.
	fillPause = 64
)

// Bits of VnodeExtra.ObjFlags that only fill needs.
const (
	objNoFill = 16
	objFill   = 32
)

// fill writes over bytes that a file has, through its memory object: no server is
// asked. Neither size nor memory of the file change by that, only its times: those
// of the record count from then on, and the file server is told when the file is
// released. done is false when the server has to be asked; fill may have given up the
// lock then.
//
// The bytes are there before the transaction is committed. A repetition by the next
// incarnation stores the same ones again, and nobody can have been answered in
// between: the lock is held.
func (c *Call) fill(n *node, at uint64, data []byte) (done bool) {
	k := c.K
	end := at + uint64(len(data))
	fits := func() bool {
		return n.v != 0 && n.sized && n.changing == 0 && end >= at && end <= n.attr.Size
	}
	if !fits() || k.vfs.objects == nil || c.again() || !c.canFill(n, fits) {
		return false
	}
	now := timeOf(k.Clock.Real())
	if before(now, n.attr.Mtime) {
		return false // it was set to a time to come: the server has to say otherwise
	}
	if m, err := n.data.WriteAt(data, int64(at)); err != nil || m != len(data) {
		return false // sealed, or no memory: the server has the reason
	}
	k.Vnodes.Mut(n.v).Written = now
	n.wrote(now)
	return true
}

// canFill says whether a file may be written to through its object, if that is worth it by now, as
// long as fits says so. It may give up the lock.
func (c *Call) canFill(n *node, fits func() bool) bool {
	k := c.K
	rec := k.Vnodes.Get(n.v)
	if rec.ObjFlags&objNoFill != 0 {
		return false
	}
	if rec.ObjFlags&objFill == 0 || !n.solid {
		if n.fills++; n.fills < fillOften || rec.Object == 0 && !k.objectRoom() {
			return false
		}
		if !n.solid {
			if !k.fresh(n.attrUntil) {
				if c.refresh(n, false) != 0 || !fits() {
					return false
				}
			}
			if n.solid = n.attr.Blocks*512 >= n.attr.Size; !n.solid {
				n.fills = -fillPause
				return false
			}
		}
		// An object that is there to be mapped says nothing: only the server knows whether
		// its clients may fill the file.
		if k.Vnodes.Get(n.v).ObjFlags&objFill == 0 {
			if _, e := c.MapVnode(n.v, fs.MapToFill); e != 0 && n.v != 0 {
				k.Vnodes.Mut(n.v).ObjFlags |= objNoFill
			}
			if !fits() || !n.solid {
				return false
			}
		}
	}
	rec = k.Vnodes.Get(n.v)
	if rec.ObjFlags&(objFill|2) != objFill|2 {
		return false
	}
	if n.data == nil {
		n.data = k.vfs.objects.Data(rec.Object)
	}
	return n.data != nil
}

// wrote notes in the attributes when the file was written last.
func (n *node) wrote(at fs.Time) {
	n.takeBackKind(loanStat)
	if before(n.attr.Mtime, at) {
		n.attr.Mtime = at
	}
	if before(n.attr.Ctime, at) {
		n.attr.Ctime = at
	}
}

func before(a, b fs.Time) bool { return a.Sec < b.Sec || a.Sec == b.Sec && a.Nsec < b.Nsec }

// often is how often a small file is read before its object is taken for that.
func (k *Kernel) often() uint32 {
	if k.vfs.crowded > 0 {
		return readAgain
	}
	return readOften
}

// readNode reads file data: from the memory object when there is one that
// always shows what the server would, else from the server.
func (c *Call) readNode(n *node, buf []byte, off uint64) (int, abi.Errno) {
	k := c.K
	if len(buf) == 0 {
		return 0, 0
	}
	if off >= 1<<63 {
		return 0, abi.EINVAL
	}
	if n.first != nil {
		if m, ok := k.readFirst(n, buf, off); ok {
			return m, 0
		}
	}
	if n.v != 0 && n.data == nil && k.vfs.objects != nil {
		rec := k.Vnodes.Get(n.v)
		if rec.Object == 0 && (n.attr.Size >= bigFile || n.reads >= k.often()) && n.isRegular() && rec.ObjFlags&4 == 0 && k.objectRoom() {
			if _, e := c.MapVnode(n.v, fs.MapToRead); e != 0 && k.Vnodes.Get(n.v) != nil {
				k.Vnodes.Mut(n.v).ObjFlags |= 4 // do not try again
			}
		}
		if rec = k.Vnodes.Get(n.v); rec != nil && rec.Object != 0 && rec.ObjFlags&(2|8) != 0 {
			n.data = k.vfs.objects.Data(rec.Object)
		}
	}
	if n.data != nil && !n.sized {
		if e := c.refresh(n, false); e != 0 {
			return 0, e
		}
	}
	if n.writing > 0 {
		n.lookWritten()
	}
	end, _, reserved := n.reserved()
	if reserved {
		if off >= end {
			return 0, 0
		}
		buf = buf[:min(uint64(len(buf)), end-off)]
	}
	if n.data != nil && n.changing == 0 && n.sized {
		m, err := n.data.ReadAt(buf, int64(off))
		if m > 0 && off+uint64(m) > n.attr.Size {
			// What lies behind the end that we know is no data, unless others
			// than we let the file grow.
			n.stale()
			if e := c.refresh(n, false); e != 0 {
				return 0, e
			}
			m = int(min(uint64(m), n.attr.Size-min(off, n.attr.Size)))
			return m, 0
		}
		if m > 0 || err == nil {
			return m, 0
		}
		if isEOF(err) {
			return 0, 0
		}
		n.dropData()
	}
	if k.fresh(n.attrUntil) && off >= n.attr.Size {
		return 0, 0
	}
	n.reads++
	if k.vfs.crowded > 0 {
		k.vfs.crowded--
	}
	var m int
	var e abi.Errno
	c.ask(func() { m, e = c.server(n.m).Read(fs.Req{}, n.id, off, buf) })
	return m, e
}
