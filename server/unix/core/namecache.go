package core

import (
	"hythe/abi"
	"hythe/idl/fs"
	"hythe/store"
)

// NodeKey names a node of a mounted file system.
type NodeKey struct {
	Mount store.Ref[Mount]
	Node  fs.NodeID
}

// node is what is known of a node: derived, at most one for each NodeKey.
type node struct {
	m  *mount
	id fs.NodeID
	// v is its record, 0 while nothing holds it.
	v store.Ref[Vnode]
	// parent and name say where it was last found.
	parent *node
	name   string
	// attr is good until attrUntil; type, mode and owner until permUntil
	// (changes of a directory's entries do not touch them). Monotonic ns.
	attr      fs.Attr
	attrUntil int64
	permUntil int64
	// sized: attr.Size is the file's, as far as we change it. Without that the
	// server has to be asked, though nothing else may be known to be wrong.
	sized bool
	// gen counts changes made by us, so that an older answer that arrives
	// late is not believed.
	gen uint32
	// kids are the names known in a directory.
	kids     map[string]kid
	kidsMost int // so many are too many: maxKids, or more where so many are there
	order    dirOrder
	target   string // of a symbolic link, once known
	// covered is what is mounted here.
	covered *mount
	gone    bool
	// keeps: the server lets us keep attributes for a while.
	keeps bool
	// data reads the node's memory object; size is attr's. objects counts those that there were.
	data    DataFile
	objects uint32
	// first is what is in the file, or nil, as long as the attributes are good that came with it.
	first []byte
	// lent are the descriptors by which tasks read it without us, or know its attributes.
	lent [loanKinds][]lentNode
	// statted and moves are what is known of processes of this program (procRT).
	statted, moves uint32
	// told: libraries keep answers about names that its attributes are in.
	told bool
	// backAt is when it is looked at the latest whether they have to be taken back; 0: never.
	backAt int64
	// reads and fills count those for which the server was asked, changes what may
	// have changed the data.
	reads, changes uint32
	fills          int32
	// solid: the file's object has memory as far as the file reaches.
	solid bool
	// changing counts those who wait for a server to change the file's size:
	// until they know it, the object alone does not say what is in the file.
	changing int
	// writing is how many descriptors it is lent by to be written to.
	writing int
	// trimmed is how long its server took the file to be before it was trimmed last.
	trimmed uint64
	locks   WaitQueue
}

// kid is a known name: n is nil when it is known not to exist.
type kid struct {
	n     *node
	until int64
	plus  bool // came with the directory's entries, and nobody has asked for it yet
}

// DataFile reads and writes a memory object that the server holds. It may be called with
// the lock held: it never waits for another part of the machine.
type DataFile interface {
	ReadAt(p []byte, off int64) (int, error)
	// WriteAt fails when the server may only read the object.
	WriteAt(p []byte, off int64) (int, error)
}

// maxNodes is how many nodes the cache keeps before it throws out those that
// no record refers to.
const maxNodes = 1 << 16

// maxKids is from how many names on of one directory those are forgotten that lead nowhere.
const maxKids = 1 << 14

func (n *node) key() NodeKey    { return NodeKey{n.m.ref, n.id} }
func (n *node) typ() uint32     { return n.attr.Mode & fs.TypeMask }
func (n *node) isDir() bool     { return n.attr.Mode&fs.TypeMask == fs.TypeDir }
func (n *node) isLink() bool    { return n.attr.Mode&fs.TypeMask == fs.TypeLink }
func (n *node) isRegular() bool { return n.attr.Mode&fs.TypeMask == fs.TypeReg }

// node answers the node of a mount, making it when it is new.
func (k *Kernel) node(m *mount, id fs.NodeID) *node {
	key := NodeKey{m.ref, id}
	n := k.vfs.nodes[key]
	if n == nil {
		n = &node{m: m, id: id}
		k.vfs.nodes[key] = n
	}
	return n
}

// until turns a server's time to live into a monotonic time.
func (k *Kernel) until(ttl uint64) int64 {
	if ttl == ^uint64(0) {
		return NoDeadline
	}
	if ttl == 0 {
		return 0
	}
	if ttl > 1<<40 {
		ttl = 1 << 40
	}
	return k.moment() + int64(ttl)
}

// fresh says whether a time limit is not over.
func (k *Kernel) fresh(t int64) bool {
	return t == NoDeadline || t != 0 && k.moment() < t
}

// learn stores what a server said of a node, if nothing changed since gen.
func (k *Kernel) learn(n *node, gen uint32, e *fs.Entry) {
	t := k.until(e.TTL)
	if n.v != 0 {
		ours := *e
		n.sizeKnown(&ours.Attr, n.gen != gen)
		e = &ours
	}
	if n.takeBackKind(loanStat); t != NoDeadline || n.gen != gen || e.Attr.Size != n.attr.Size {
		n.takeBack()
	}
	old := n.attr
	n.attr, n.first = e.Attr, nil
	if n.v != 0 {
		n.wrote(k.Vnodes.Get(n.v).Written)
	}
	// Of one that was not known there are no answers (trim).
	if n.isDir() && old.Mode != 0 && (e.Attr.Mode != old.Mode || e.Attr.UID != old.UID || e.Attr.GID != old.GID) {
		k.namesChanged()
	}
	n.keeps = t != 0
	n.sized = n.gen == gen
	if !n.sized {
		t = 0
	}
	n.attrUntil, n.permUntil = t, t
}

// dropData forgets the node's memory object.
func (n *node) dropData() {
	n.takeBack()
	n.data = nil
	n.objects++
}

// stale forgets the attributes that a change of contents touches.
func (n *node) stale() {
	n.takeBack()
	if n.isDir() {
		n.m.k.namesChanged()
	}
	n.gen++
	n.m.changed++
	n.attrUntil = 0
	n.first = nil
	n.sized, n.solid = false, false
}

// learnChange is learn for the answer to a change that was sent at gen. Others
// may have been sent since, or answered: servers do not answer in the order in
// which they did them, so whoever is answered next knows less than he thinks.
func (k *Kernel) learnChange(n *node, gen uint32, e *fs.Entry) {
	last := n.gen == gen
	n.stale()
	if last {
		gen = n.gen
	}
	k.learn(n, gen, e)
}

// learnFound is learn for a node that the answer to a question names. changed is
// its mount's count before the question.
func (k *Kernel) learnFound(n *node, changed uint32, e *fs.Entry) {
	gen := n.gen
	if n.m.changed != changed {
		gen-- // the answer may be older than a change that we know of
	}
	k.learn(n, gen, e)
}

// setKid notes that name in dir is n (nil: absent).
func (k *Kernel) setKid(dir *node, name string, n *node, until int64) {
	k.putKid(dir, name, kid{n: n, until: until})
}

func (k *Kernel) putKid(dir *node, name string, kd kid) {
	n := kd.n
	if n != nil && !k.namedElse(n, dir, name) {
		n.parent, n.name = dir, name
		if n.v != 0 {
			k.renameVnode(n)
		}
	}
	if kd.until == 0 {
		k.forgetKid(dir, name)
		return
	}
	if old, ok := dir.kids[name]; ok && old.n != n {
		k.namesChanged()
	}
	if dir.kids == nil {
		dir.kids = map[string]kid{}
	}
	if len(dir.kids) >= max(maxKids, dir.kidsMost) {
		k.namesChanged() // nobody knows any more when one of them changes
		// Of names that are not there anybody can ask for any number.
		for s, kd := range dir.kids {
			if kd.n == nil {
				delete(dir.kids, s)
			}
		}
		if len(dir.kids) > maxNodes {
			clear(dir.kids)
		}
		dir.kidsMost = 2 * len(dir.kids)
	}
	dir.kids[name] = kd
}

// forgetKid forgets what name in dir leads to, and so do those who keep an answer about it: nobody
// sees any more that it comes to lead elsewhere.
func (k *Kernel) forgetKid(dir *node, name string) {
	if _, ok := dir.kids[name]; ok {
		k.namesChanged()
		delete(dir.kids, name)
	}
}

// namedElse says whether n is known by another name than name in dir: the first
// one is what its events and /proc show.
func (k *Kernel) namedElse(n, dir *node, name string) bool {
	if n.parent == nil || n.isDir() || n.parent == dir && n.name == name {
		return false
	}
	kd, ok := n.parent.kids[n.name]
	return ok && kd.n == n && k.fresh(kd.until)
}

// trim evicts nodes that nothing refers to when there are too many.
func (k *Kernel) trim() {
	if len(k.vfs.nodes) <= maxNodes || k.vfs.busy > 0 {
		return
	}
	k.namesChanged() // as in setKid
	keep := map[*node]bool{}
	for _, n := range k.vfs.nodes {
		if n.v != 0 || n.covered != nil || n == n.m.root || !n.locks.Empty() {
			for x := n; x != nil && !keep[x]; x = x.parent {
				keep[x] = true
			}
		}
	}
	for key, n := range k.vfs.nodes {
		n.kids, n.order = nil, dirOrder{}
		if !keep[n] {
			delete(k.vfs.nodes, key)
		}
	}
}

// ask runs fn, which calls a file server (server), without the lock. Nodes stay.
func (c *Call) ask(fn func()) {
	k := c.K
	k.vfs.busy++
	if !c.Leader || len(k.vfs.leads) == 0 {
		c.Unlocked(fn)
	} else {
		// An answer that comes at once finds this goroutine the leader still.
		k.Leave()
		c.outside, c.seen.asked = true, true
		k.asking = c
		fn()
		c.reacquire()
	}
	k.vfs.busy--
}

// server answers the file server of m, for one call of it in ask.
func (c *Call) server(m *mount) fs.Server {
	if c.Leader && c.outside {
		if m.lead != nil {
			return m.lead
		}
		c.K.Pass()
	}
	return m.srv
}

// Pass makes another goroutine the leader, and whose call asks a file server as the leader
// (AttachLead) is it no more. Only that call's goroutine calls it.
func (k *Kernel) Pass() {
	c := k.asking
	k.asking = nil
	c.Leader = false
	k.HandOver()
}

// req numbers a request that changes something. The numbers of a thread go on
// where those of the record's earlier user cannot be: the record's generation
// is part of them.
func (c *Call) req() fs.Req {
	if c.T == 0 {
		return fs.Req{}
	}
	t := c.MutThread()
	t.FSSeq++
	t.FSSent = 1
	return fs.Req{Client: uint32(c.T), Seq: uint64(c.K.Threads.Gen(c.T))<<40 | t.FSSeq}
}

// again says that this is the repetition of a call that had sent a request
// which changes something: its checks were made then.
func (c *Call) again() bool { return c.T != 0 && c.Thread().FSSent == 1 }

// stepDone notes that the request sent last and everything learnt from it is
// in the state of record: a repetition goes on behind it.
func (c *Call) stepDone() {
	if c.T != 0 {
		t := c.MutThread()
		t.FSBase = t.FSSeq
		t.FSSent = 0
	}
}

// refresh brings a node's attributes up to date (may give up the lock). Only
// perm asks for type, mode and owner alone.
func (c *Call) refresh(n *node, perm bool) abi.Errno {
	k := c.K
	if n.m.core != nil && c.foreseen {
		return abi.EAGAIN
	}
	if n.m.core != nil {
		a, e := n.m.core.Attr(c, n.id)
		if e != 0 {
			return e
		}
		n.attr = a
		return 0
	}
	if n.writing > 0 {
		n.lookWritten()
	}
	t := n.attrUntil
	if perm {
		t = n.permUntil
	}
	if k.fresh(t) {
		return 0
	}
	if c.foreseen {
		return abi.EAGAIN
	}
	var e fs.Entry
	var err abi.Errno
	gen := n.gen
	c.ask(func() { e, err = c.server(n.m).GetAttr(fs.Req{}, n.id) })
	if err != 0 {
		if n.gone && n.attr.Mode != 0 {
			n.takeBackKind(loanStat)
			n.attr.Nlink = 0
			return 0
		}
		return err
	}
	k.learn(n, gen, &e)
	return 0
}

// lookup finds name in dir: nil and no error when it does not exist. It gives
// up the lock only when the cache does not know.
func (c *Call) lookup(dir *node, name string, cachedOnly bool) (*node, abi.Errno) {
	k := c.K
	if dir.m.core != nil {
		id, e := dir.m.core.Lookup(c, dir.id, name)
		if e == abi.ENOENT {
			return nil, 0
		}
		if e != 0 {
			return nil, e
		}
		n := k.node(dir.m, id)
		n.parent, n.name = dir, name
		a, e := dir.m.core.Attr(c, id)
		if e == abi.ENOENT {
			return nil, 0
		}
		if e != 0 {
			return nil, e
		}
		n.attr = a
		return n, 0
	}
	if kd, ok := dir.kids[name]; ok && k.fresh(kd.until) {
		if kd.plus {
			kd.plus = false
			dir.kids[name] = kd
			dir.m.plusUsed++
		}
		return kd.n, 0
	}
	if cachedOnly {
		return nil, abi.EAGAIN
	}
	if dir.gone {
		return nil, 0
	}
	k.trim()
	var e fs.Entry
	var err abi.Errno
	gen, changed := dir.gen, dir.m.changed
	c.ask(func() { e, err = c.server(dir.m).Lookup(fs.Req{}, dir.id, name) })
	if err == abi.ENOENT {
		if dir.gen == gen {
			// A server tells with the directory's own time to live how long
			// a missing name may be believed.
			t := dir.permUntil
			if !k.fresh(t) {
				t = 0
			}
			k.setKid(dir, name, nil, t)
		}
		return nil, 0
	}
	if err != 0 {
		return nil, err
	}
	n := k.node(dir.m, e.Node)
	k.learnFound(n, changed, &e)
	if dir.gen == gen {
		k.setKid(dir, name, n, k.until(e.TTL))
	} else {
		n.parent, n.name = dir, name
	}
	return n, 0
}

// plusTry is of how many entries of a directory it is asked what they are (ReadDirPlus) where it
// was of no use before, plusAll where it was, and plusMost how many bytes of names that answers:
// about what has room in one answer.
const (
	plusTry  = 8
	plusAll  = 600
	plusMost = 8 << 10
)

// plus answers of how many entries of a directory, which is about to be read, the server is
// asked what they are, too: it depends on how many of the last ones were then asked for.
func (dir *node) plus() uint32 {
	switch m := dir.m; {
	case !dir.keeps:
		return 0
	case m.plusUsed*2 >= m.plusGot:
		return plusAll
	}
	return plusTry
}

// learnPlus takes note of what entries of a directory are. gen and changed are as before
// the question.
func (k *Kernel) learnPlus(dir *node, gen, changed uint32, list []fs.DirPlus) {
	got := 0
	for i := range list {
		d := &list[i]
		if kd, ok := dir.kids[d.Name]; d.Known == 0 || dir.gen != gen || ok && k.fresh(kd.until) {
			continue
		}
		n := k.node(dir.m, d.Found.Node)
		k.learnFound(n, changed, &d.Found)
		k.putKid(dir, d.Name, kid{n: n, until: k.until(d.Found.TTL), plus: true})
		if d.Found.TTL != 0 {
			got++
		}
	}
	if got > 0 {
		dir.m.plusUsed /= 2
		dir.m.plusGot = dir.m.plusGot/2 + uint32(got)
	}
}

// readlink answers a symbolic link's text (may give up the lock).
func (c *Call) readlink(n *node) (string, abi.Errno) {
	if n.target != "" {
		return n.target, 0
	}
	if c.foreseen {
		return "", abi.EAGAIN
	}
	var s string
	var e abi.Errno
	c.ask(func() { s, e = c.server(n.m).ReadLink(fs.Req{}, n.id) })
	if e == 0 {
		n.target = s
	}
	return s, e
}
