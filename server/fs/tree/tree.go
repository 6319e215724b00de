// Package tree is a POSIX file tree in memory: inodes, directories, data and
// extended attributes in a store.Heap, with the semantics of Linux's tmpfs. It
// is the whole of the tmpfs server and the upper half of the overlay server,
// which hangs a lower layer under it (see Below).
//
// Everything that must survive the server's death is in the heap or in memory
// objects; the Go heap holds indexes that Open rebuilds. Files up to SmallMax
// bytes keep their data in the heap; a longer one, or one that is mapped, moves
// once and for ever into a memory object of its own, so that the object which
// a client has mapped is always the file (docs/architecture.md, state of record).
//
// One goroutine at a time uses a Tree; Server brings the lock.
package tree

import (
	"cmp"
	"slices"
	"strconv"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/server/fs/object"
	"hythe/store"
)

const (
	pageShift = 12
	pageSize  = 1 << pageShift
	// SmallMax is the size in bytes up to which a file's data lies in the heap:
	// 64 pages, so that one word says which of them are there.
	SmallMax = 64 * pageSize
	// MaxFile is the largest file size in bytes (Linux's MAX_LFS_FILESIZE).
	MaxFile = 1<<63 - 1
	// NameMax is the longest name in bytes.
	NameMax = 255
	// direntSize is what one entry adds to a directory's size, in bytes
	// (Linux: BOGO_DIRENT_SIZE in mm/shmem.c).
	direntSize = 20
	// shortLink is the longest symlink target that takes no block (Linux:
	// SHORT_SYMLINK_LEN in mm/shmem.c).
	shortLink = 128
	// maxLinks bounds the names of one inode.
	maxLinks = 1 << 31
	// xattrNameMax and xattrSizeMax are Linux's XATTR_NAME_MAX and XATTR_SIZE_MAX.
	xattrNameMax = 255
	xattrSizeMax = 64 << 10
	xattrListMax = 64 << 10
)

// Ref is an inode of the tree.
type Ref = store.Ref[Inode]

// Inode is the record of one node.
type Inode struct {
	Gen     uint32 // upper half of the node's id; 0 for the root only
	Mode    uint32
	Ino     uint64
	Nlink   uint32
	UID     uint32
	GID     uint32
	Opens   uint32
	Lookups uint64 // only counted over a Below
	Rdev    uint64
	Size    uint64
	Atime   fs.Time
	Mtime   fs.Time
	Ctime   fs.Time
	Btime   fs.Time
	Data    store.Block // a small file's data, a symlink's target
	Pages   uint64      // pages of a small file that take memory
	Valid   uint64      // those of Pages that were written (the rest was fallocated)
	Blocks  uint64      // an object's memory, in 512-byte units, as accounted last
	Flags   uint32
	Parent  Ref // of a directory: where it is; 0 once removed
	Entries uint32
	Kids    uint32 // nodes whose FoundIn this is
	Cookie  uint64 // of a directory: the last entry's
	Xattrs  store.Ref[xattr]

	// What lies below (overlay): the lower node, 0 for none, and its inode number.
	LowerNode uint64
	LowerIno  uint64
	Found     store.Block // name under which a lower node was found, until it is pinned
	FoundLen  uint32
	FoundIn   Ref // and the directory
}

// Flags of an Inode.
const (
	// FlagObject: the data lies in a memory object.
	FlagObject = 1 << 0
	// FlagTemp: made without a name (O_TMPFILE), so that Link may give it one.
	FlagTemp = 1 << 1
	// FlagLowerMeta: attributes and xattrs are still the lower node's.
	FlagLowerMeta = 1 << 2
	// FlagLowerData: a file's data or a symlink's target is still the lower node's.
	FlagLowerData = 1 << 3
	// FlagMerged: a directory whose lower entries show through.
	FlagMerged = 1 << 4
	// FlagPinned: the entry under which a lower node was found is in the tree.
	FlagPinned = 1 << 5
	// FlagMapped: the object was given to be mapped for writing: how much memory it has
	// changes without us.
	FlagMapped = 1 << 6
)

// inlineName is how many bytes of a name fit in its entry.
const inlineName = 40

// Dirent is the record of one directory entry; Child 0 is a whiteout.
type Dirent struct {
	Cookie uint64
	Dir    Ref
	Child  Ref
	Type   uint32
	Flags  uint16
	Len    uint16
	Name   [inlineName]byte
	Long   store.Block
}

// DirentPinned marks an entry that only fixes where a lower entry leads; the
// lower directory's listing has it in its place.
const DirentPinned = 1

type xattr struct {
	Next    store.Ref[xattr]
	NameLen uint32
	ValLen  uint32
	_       uint32
	Name    store.Block
	Val     store.Block
}

// super is the record of the file system itself.
type super struct {
	Gen     uint32
	Cut     Ref // an intent: its object is about to end at CutSize
	Ino     uint64
	Pages   uint64 // pages in use
	Inodes  uint64
	CutSize uint64
	CutTime fs.Time // zero: the times stay
}

// Limits bound a tree. Zero means a generous default.
type Limits struct {
	Bytes  uint64 // of file data
	Inodes uint32
	// InoBase is added to the inode numbers that the tree gives out, to keep
	// them apart from a lower layer's.
	InoBase uint64
}

// Tree is the data structure. Methods that change something must be called
// inside a transaction of the heap.
type Tree struct {
	h       *store.Heap
	supers  *store.Table[super]
	inodes  *store.Table[Inode]
	dirents *store.Table[Dirent]
	xattrs  *store.Table[xattr]
	super   store.Ref[super]
	lim     Limits
	objs    object.Objects
	now     func() fs.Time

	// OnDrop, unless nil, is told of each node that is about to be freed.
	OnDrop func(Ref)

	dirs  map[Ref]*dirIndex           // derived: names of each directory
	later map[Ref][]store.Ref[Dirent] // entries of directories that are not in dirs yet
	open  map[Ref]object.Object       // derived: objects in use
	fresh []Ref                       // nodes whose object is new in this transaction
	cut   bool                        // the object that super.Cut names ends where it should
	undo  []undoName                  // of dirs, in this transaction
	done  []func()                    // run after the commit
}

// dirIndex is derived from the dirents of one directory. Order holds cookies in
// rising order; an entry of it counts only while its record still has that
// cookie, so that removal need not touch it.
type dirIndex struct {
	names map[string]store.Ref[Dirent]
	order []orderEntry
}

type orderEntry struct {
	cookie uint64
	ref    store.Ref[Dirent]
}

type undoName struct {
	dir  Ref
	name string
	old  store.Ref[Dirent]
}

// Table ids that a tree uses, from the first one given to New.
const Tables = 4

// New declares the tree's tables in h, from table id first on, and makes the
// root (owned by c, with the mode given) when the heap is new. Objects may be
// nil if no file ever outgrows SmallMax. The heap is left outside a transaction.
func New(h *store.Heap, first int, lim Limits, objs object.Objects, now func() fs.Time, mode uint32, c fs.Cred) (*Tree, abi.Errno) {
	if lim.Inodes == 0 {
		lim.Inodes = 4 << 20
	}
	if lim.Bytes == 0 {
		lim.Bytes = 1 << 40
	}
	t := &Tree{
		h: h, lim: lim, objs: objs, now: now,
		supers:  store.NewTable[super](h, first, 1),
		inodes:  store.NewTable[Inode](h, first+1, lim.Inodes+1),
		dirents: store.NewTable[Dirent](h, first+2, 2*lim.Inodes),
		xattrs:  store.NewTable[xattr](h, first+3, lim.Inodes),
		dirs:    map[Ref]*dirIndex{},
		open:    map[Ref]object.Object{},
	}
	t.supers.Each(func(r store.Ref[super], _ *super) bool { t.super = r; return false })
	if t.super != 0 {
		t.rebuild()
		t.cut = true // it may be
		t.endCut()
		return t, 0
	}
	h.Begin()
	r, sb := t.supers.New()
	if sb == nil {
		h.Abort()
		return nil, abi.ENOSPC
	}
	t.super = r
	root, err := t.NewInode(fs.TypeDir|mode&0o7777, 0, c)
	if err != 0 {
		h.Abort()
		return nil, err
	}
	in := t.inodes.Mut(root)
	in.Gen, in.Nlink, in.Parent = 0, 2, root
	t.supers.Mut(t.super).Gen = 0
	if t.ID(root) != fs.RootID {
		h.Abort()
		return nil, abi.EINVAL
	}
	h.Commit()
	t.committed()
	return t, 0
}

// rebuild prepares to derive the indexes from the records. An index is made at
// the first use of its directory: a new incarnation must not keep its clients
// waiting for all of them.
func (t *Tree) rebuild() {
	t.dirs = map[Ref]*dirIndex{}
	t.later = map[Ref][]store.Ref[Dirent]{}
	last, list := Ref(0), []store.Ref[Dirent](nil)
	t.dirents.Each(func(r store.Ref[Dirent], d *Dirent) bool {
		if d.Dir != last { // entries of one directory mostly lie together
			if last != 0 {
				t.later[last] = list
			}
			last, list = d.Dir, t.later[d.Dir]
		}
		list = append(list, r)
		return true
	})
	if last != 0 {
		t.later[last] = list
	}
}

// names answers the index of a directory, nil when it never had an entry.
func (t *Tree) names(dir Ref) *dirIndex {
	if x := t.dirs[dir]; x != nil {
		return x
	}
	list, ok := t.later[dir]
	if !ok {
		return nil
	}
	delete(t.later, dir)
	x := &dirIndex{names: make(map[string]store.Ref[Dirent], len(list)), order: make([]orderEntry, 0, len(list))}
	for _, r := range list {
		d := t.dirents.Get(r)
		x.names[t.name(d)] = r
		x.order = append(x.order, orderEntry{d.Cookie, r})
	}
	slices.SortFunc(x.order, func(a, b orderEntry) int { return cmp.Compare(a.cookie, b.cookie) })
	t.dirs[dir] = x
	return x
}

// aborted takes back what the aborted transaction did to the indexes.
func (t *Tree) aborted() {
	for i := len(t.undo) - 1; i >= 0; i-- {
		u := t.undo[i]
		x := t.index(u.dir)
		if u.old != 0 {
			x.names[u.name] = u.old
		} else {
			delete(x.names, u.name)
		}
		// Cookies that will be given out again must not be in the order twice.
		last := uint64(0)
		if in := t.inodes.Get(u.dir); in != nil {
			last = in.Cookie
		}
		for n := len(x.order); n > 0 && x.order[n-1].cookie > last; n-- {
			x.order = x.order[:n-1]
		}
	}
	t.undo = t.undo[:0]
	t.done = t.done[:0]
	for _, r := range t.fresh {
		if o := t.open[r]; o != nil {
			o.Close()
			delete(t.open, r)
		}
	}
	t.fresh = t.fresh[:0]
	t.endCut()
}

// committed finishes what may only happen once the effect is durable.
func (t *Tree) committed() {
	t.undo = t.undo[:0]
	for _, f := range t.done {
		f()
	}
	t.done = t.done[:0]
	t.fresh = t.fresh[:0]
	t.cut = false
}

func (t *Tree) index(dir Ref) *dirIndex {
	x := t.names(dir)
	if x == nil {
		x = &dirIndex{names: map[string]store.Ref[Dirent]{}}
		t.dirs[dir] = x
	}
	return x
}

func (t *Tree) name(d *Dirent) string {
	if int(d.Len) <= inlineName {
		return string(d.Name[:d.Len])
	}
	return string(t.h.Bytes(d.Long)[:d.Len])
}

// After runs f when the open transaction is committed, and not if it is aborted.
func (t *Tree) After(f func()) { t.done = append(t.done, f) }

// Each calls f for every node until it answers false.
func (t *Tree) Each(f func(Ref, *Inode) bool) { t.inodes.Each(f) }

// InTx runs f in a transaction of its own.
func (t *Tree) InTx(f func() abi.Errno) abi.Errno {
	t.h.Begin()
	if err := f(); err != 0 {
		t.h.Abort()
		t.aborted()
		return err
	}
	t.h.Commit()
	t.committed()
	return 0
}

// Root is the root directory.
func (t *Tree) Root() Ref { return Ref(fs.RootID) }

// ID is the durable id of a node.
func (t *Tree) ID(r Ref) fs.NodeID {
	return fs.NodeID(uint64(t.inodes.Get(r).Gen)<<32 | uint64(r))
}

// Node finds a node by its id; 0 when there is none (ESTALE).
func (t *Tree) Node(id fs.NodeID) (Ref, *Inode) {
	r := Ref(uint32(id))
	in := t.inodes.Get(r)
	if in == nil || in.Gen != uint32(id>>32) {
		return 0, nil
	}
	return r, in
}

// Get answers a node's record, to read only.
func (t *Tree) Get(r Ref) *Inode { return t.inodes.Get(r) }

// Mut answers a node's record, to change.
func (t *Tree) Mut(r Ref) *Inode { return t.inodes.Mut(r) }

// NewInode makes a node without a name: Nlink is 0 and all times are now.
func (t *Tree) NewInode(mode uint32, rdev uint64, c fs.Cred) (Ref, abi.Errno) {
	sb := t.supers.Mut(t.super)
	if sb.Inodes >= uint64(t.lim.Inodes) {
		return 0, abi.ENOSPC
	}
	r, in := t.inodes.New()
	if in == nil {
		return 0, abi.ENOSPC
	}
	sb.Inodes++
	sb.Ino++
	sb.Gen++
	if sb.Gen == 0 {
		sb.Gen = 1 // 0 is the root's
	}
	now := t.now()
	in.Gen, in.Ino, in.Mode, in.Rdev = sb.Gen, sb.Ino+t.lim.InoBase, mode, rdev
	in.UID, in.GID = c.UID, c.GID
	in.Atime, in.Mtime, in.Ctime, in.Btime = now, now, now, now
	if mode&fs.TypeMask == fs.TypeDir {
		in.Size = 2 * direntSize
	}
	return r, 0
}

// Unused frees a node that has neither name nor opening. It answers whether it did.
func (t *Tree) Unused(r Ref) bool {
	in := t.inodes.Get(r)
	if in == nil || in.Nlink != 0 || in.Opens != 0 || in.Kids != 0 || r == t.Root() {
		return false
	}
	t.Drop(r)
	return true
}

// Drop frees a node and all that belongs to it.
func (t *Tree) Drop(r Ref) {
	if t.OnDrop != nil {
		t.OnDrop(r)
	}
	in := t.inodes.Mut(r)
	sb := t.supers.Mut(t.super)
	sb.Inodes--
	for x := in.Xattrs; x != 0; {
		rec := t.xattrs.Get(x)
		next := rec.Next
		t.freeXattr(x, rec)
		x = next
	}
	if in.Flags&FlagObject != 0 {
		sb.Pages -= min(sb.Pages, in.Blocks/8)
		o, lab := t.open[r], label(in.Ino)
		t.done = append(t.done, func() {
			if o != nil {
				o.Close()
			}
			t.objs.Free(lab)
		})
		delete(t.open, r)
	} else {
		sb.Pages -= min(sb.Pages, popcount(in.Pages))
	}
	t.freeBlock(in.Data)
	t.ClearFound(r)
	if x := t.names(r); x != nil {
		// Only whiteouts and pins can be left in a directory that goes.
		for _, d := range x.names {
			rec := t.dirents.Get(d)
			t.unname(r, rec, d)
		}
		dir := r
		t.done = append(t.done, func() {
			if t.inodes.Get(dir) == nil {
				delete(t.dirs, dir)
			}
		})
	}
	t.inodes.Free(r)
}

func (t *Tree) freeBlock(b store.Block) {
	if b.Cap != 0 {
		t.h.FreeBlock(b)
	}
}

// SetFound keeps where a lower node was found, for the day when it is pinned.
func (t *Tree) SetFound(r, dir Ref, name string) abi.Errno {
	b, err := t.putBytes([]byte(name))
	if err != 0 {
		return err
	}
	in := t.inodes.Mut(r)
	in.Found, in.FoundLen, in.FoundIn = b, uint32(len(name)), dir
	t.inodes.Mut(dir).Kids++
	return 0
}

// Found answers where a lower node was found; 0 when it is pinned.
func (t *Tree) Found(r Ref) (Ref, string) {
	in := t.inodes.Get(r)
	if in.FoundIn == 0 {
		return 0, ""
	}
	return in.FoundIn, string(t.h.Bytes(in.Found)[:in.FoundLen])
}

// ClearFound forgets where a lower node was found.
func (t *Tree) ClearFound(r Ref) {
	in := t.inodes.Mut(r)
	if in.FoundIn == 0 {
		return
	}
	dir := in.FoundIn
	t.freeBlock(in.Found)
	in.Found, in.FoundLen, in.FoundIn = store.Block{}, 0, 0
	t.inodes.Mut(dir).Kids--
	t.Unused(dir)
}

func (t *Tree) putBytes(b []byte) (store.Block, abi.Errno) {
	blk := t.h.Alloc(max(len(b), 1))
	if blk.Cap == 0 {
		return store.Block{}, abi.ENOSPC
	}
	copy(t.h.Bytes(blk), b)
	return blk, 0
}

// Attr shows a node as stat does.
func (t *Tree) Attr(r Ref) fs.Attr {
	in := t.inodes.Get(r)
	a := fs.Attr{
		Ino: in.Ino, Size: in.Size, Mode: in.Mode, Nlink: in.Nlink, UID: in.UID, GID: in.GID,
		Rdev: in.Rdev, BlkSize: pageSize, Gen: in.Gen,
		Atime: in.Atime, Mtime: in.Mtime, Ctime: in.Ctime, Btime: in.Btime,
	}
	if in.LowerIno != 0 {
		a.Ino = in.LowerIno
	}
	switch in.Mode & fs.TypeMask {
	case fs.TypeReg:
		a.Blocks = popcount(in.Pages) * 8
		if in.Flags&FlagLowerData != 0 {
			a.Blocks = in.Blocks
		} else if in.Flags&FlagObject != 0 {
			if o, ok := t.object(r); ok {
				if _, blocks, err := o.Stat(); err == 0 {
					a.Blocks = blocks
				}
			}
		}
	case fs.TypeLink:
		if in.Size >= shortLink {
			a.Blocks = 8
		}
	}
	return a
}

// Find answers the entry of a name, whiteouts included; nil when there is none.
func (t *Tree) Find(dir Ref, name string) (store.Ref[Dirent], *Dirent) {
	x := t.names(dir)
	if x == nil {
		return 0, nil
	}
	r, ok := x.names[name]
	if !ok {
		return 0, nil
	}
	return r, t.dirents.Get(r)
}

// Enter makes name lead to child (0: a whiteout), in place of a whiteout or a
// pin if there is one. The directory's size follows; its times and the link
// counts are the caller's.
func (t *Tree) Enter(dir Ref, name string, child Ref, flags uint16) abi.Errno {
	typ := uint32(0)
	if child != 0 {
		typ = t.inodes.Get(child).Mode & fs.TypeMask >> 12
	}
	din := t.inodes.Mut(dir)
	if r, d := t.Find(dir, name); d != nil {
		d = t.dirents.Mut(r)
		if d.Child == 0 && child != 0 {
			din.Entries++
			din.Size += direntSize
		} else if d.Child != 0 && child == 0 {
			din.Entries--
			din.Size -= min(din.Size, direntSize)
		}
		d.Child, d.Type, d.Flags = child, typ, flags
		return 0
	}
	r, d := t.dirents.New()
	if d == nil {
		return abi.ENOSPC
	}
	if len(name) > inlineName {
		b, err := t.putBytes([]byte(name))
		if err != 0 {
			return err
		}
		d.Long = b
	} else {
		copy(d.Name[:], name)
	}
	din.Cookie++
	d.Cookie, d.Dir, d.Child, d.Type, d.Flags, d.Len = din.Cookie, dir, child, typ, flags, uint16(len(name))
	if child != 0 {
		din.Entries++
		din.Size += direntSize
	}
	x := t.index(dir)
	t.undo = append(t.undo, undoName{dir, name, 0})
	x.names[name] = r
	x.order = append(x.order, orderEntry{d.Cookie, r})
	if len(x.order) > 64 && len(x.order) > 4*len(x.names) {
		t.compact(dir, x)
	}
	return 0
}

// compact drops the removed entries from a directory's order.
func (t *Tree) compact(dir Ref, x *dirIndex) {
	keep := x.order[:0]
	for _, o := range x.order {
		if d := t.dirents.Get(o.ref); d != nil && d.Dir == dir && d.Cookie == o.cookie {
			keep = append(keep, o)
		}
	}
	x.order = keep
}

// Leave takes a name away. It must exist as an entry.
func (t *Tree) Leave(dir Ref, name string) {
	r, d := t.Find(dir, name)
	if d.Child != 0 {
		din := t.inodes.Mut(dir)
		din.Entries--
		din.Size -= min(din.Size, direntSize)
	}
	t.unname(dir, d, r)
}

func (t *Tree) unname(dir Ref, d *Dirent, r store.Ref[Dirent]) {
	name := t.name(d)
	if int(d.Len) > inlineName {
		t.freeBlock(d.Long)
	}
	t.dirents.Free(r)
	t.undo = append(t.undo, undoName{dir, name, r})
	delete(t.index(dir).names, name)
}

// List calls f for the entries behind cookie, in the order of their making,
// until it answers false. An entry made or removed meanwhile disturbs no other.
func (t *Tree) List(dir Ref, cookie uint64, f func(name string, d *Dirent) bool) {
	x := t.names(dir)
	if x == nil {
		return
	}
	i, _ := slices.BinarySearchFunc(x.order, cookie+1, func(o orderEntry, c uint64) int { return cmp.Compare(o.cookie, c) })
	for ; i < len(x.order); i++ {
		d := t.dirents.Get(x.order[i].ref)
		if d == nil || d.Dir != dir || d.Cookie != x.order[i].cookie {
			continue
		}
		if !f(t.name(d), d) {
			return
		}
	}
}

// Under says whether node is dir or one of its ancestors.
func (t *Tree) Under(dir, node Ref) bool {
	for {
		if dir == node {
			return true
		}
		in := t.inodes.Get(dir)
		if in == nil || in.Parent == dir || in.Parent == 0 {
			return false
		}
		dir = in.Parent
	}
}

// Modified sets a node's mtime and ctime to now.
func (t *Tree) Modified(r Ref) {
	in, now := t.inodes.Mut(r), t.now()
	in.Mtime, in.Ctime = now, now
}

// Changed sets a node's ctime to now.
func (t *Tree) Changed(r Ref) { t.inodes.Mut(r).Ctime = t.now() }

// Accessed sets a node's atime if it is older than the last change or than a
// day: Linux's relatime, the default of its mounts. It answers whether it did.
func (t *Tree) Accessed(r Ref) bool {
	in, now := t.inodes.Get(r), t.now()
	if before(in.Mtime, in.Atime) && before(in.Ctime, in.Atime) && now.Sec-in.Atime.Sec < 24*3600 {
		return false
	}
	if in.Atime == now {
		return false
	}
	t.inodes.Mut(r).Atime = now
	return true
}

func before(a, b fs.Time) bool { return a.Sec < b.Sec || a.Sec == b.Sec && a.Nsec < b.Nsec }

func label(ino uint64) string { return "file:" + strconv.FormatUint(ino, 10) }
