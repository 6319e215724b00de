// Package core is the overlay server without its ports: changes in memory over
// one read-only lower file server.
//
// The upper half is server/fs/tree. A lower node that a client meets gets an
// inode in the tree, a shadow, that points to it; attributes and data are read
// through it until they change. So
//
//   - node ids and inode numbers stay when a file is copied up, for the inode
//     is the same one and goes on to show the lower number;
//   - two lower names of one file are one inode, and a change through one of
//     them shows through the other, as with the kernel's overlayfs with its
//     index (the lower server gives one node id for both);
//   - a renamed directory takes its shadow along: what lies below is found
//     through the shadow's lower node id (a redirect), and nothing is copied;
//   - a directory that was removed and made again is a new inode with nothing
//     below it (opaque).
//
// An entry in the tree hides the lower one of the same name; without a child it
// is a whiteout. When a node is copied up, the entry by which it was found is
// pinned, and those of the directories above it, so that a change of the host
// below does not lose the guest's.
//
// Copied are: the attributes and xattrs before they change or a name is added
// or removed; the data at the first opening for writing, truncation, or mapping
// for writing. Reads below do not change access times.
//
// Not as with the kernel: directories show a real link count instead of 1;
// whiteouts never show as devices; the link count of a file of which the lower
// layer has names outside this tree counts those too; a lower file that its
// readers keep mapped goes on to show the old bytes to them after a copy-up
// (that much is as with the kernel), so Map is not Stable below.
package core

import (
	"strings"
	"time"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/server/fs/object"
	"hythe/server/fs/once"
	"hythe/server/fs/tree"
	"hythe/store"
)

// Version is the layout number of the state of record.
const Version = 2

const (
	// magic is what statfs shows (include/uapi/linux/magic.h, OVERLAYFS_SUPER_MAGIC).
	magic = 0x794c7630
	// inoBase keeps the numbers of new nodes apart from the lower layer's, and
	// below 2^53, which programs that keep numbers as floating point can hold.
	inoBase = 1 << 48
	chunk   = 96 << 10 // bytes of one read during a copy
)

// Config says how much may be kept in memory.
type Config struct {
	Size   uint64 `json:"size"`   // bytes of changed data; 0 = 8 GiB
	Inodes uint32 `json:"inodes"` // changed or known nodes; 0 = 2^21
	Flows  uint32 `json:"flows"`  // flows of control of all clients together whose last answer is kept; 0 = once.DefaultFlows
}

type below struct {
	t       *tree.Tree
	low     fs.Server
	now     func() time.Time
	release func(tag uint64)

	byLower map[fs.NodeID]tree.Ref // derived
	attrs   map[tree.Ref]cached
	maps    map[tree.Ref]fs.MapOut
	names   map[nameKey]nameVal
	nameTTL time.Duration // the lower server's, for names; 0: ask each time
	ahead   ahead         // names that nobody has asked for yet
	reads   readAhead     // what is in files that nobody has opened yet
	lists   listings      // what directories have listed
}

// nameKey is a name in a lower directory; gen keeps an inode's place apart from
// its next use.
type nameKey struct {
	dir  tree.Ref
	gen  uint32
	name string
}

// nameVal is what a lower name led to; low is 0 when there was none.
type nameVal struct {
	low   fs.NodeID
	till  time.Time
	ahead bool // not asked for yet (ahead.go)
}

// maxNames bounds the names that are remembered.
const maxNames = 1 << 16

// cached holds attributes of a lower node as long as the lower server said.
type cached struct {
	attr fs.Attr
	ttl  uint64
	till time.Time
}

var _ tree.Below = (*below)(nil)

// New opens or makes the upper layer in h over low. release, unless nil, is
// told when an object that low granted (its tag) is not used any more.
func New(h *store.Heap, cfg Config, low fs.Server, objs object.Objects, now func() fs.Time, release func(tag uint64)) (*tree.Server, *tree.Tree, abi.Errno) {
	s, b, err := open(h, cfg, low, objs, now, release)
	if err != 0 {
		return nil, nil, err
	}
	return s, b.t, 0
}

// open is New, which answers the lower layer's side too.
func open(h *store.Heap, cfg Config, low fs.Server, objs object.Objects, now func() fs.Time, release func(tag uint64)) (*tree.Server, *below, abi.Errno) {
	if cfg.Size == 0 {
		cfg.Size = 8 << 30
	}
	if cfg.Inodes == 0 {
		cfg.Inodes = 2 << 20
	}
	log := once.New(h, 1, cfg.Flows)
	t, err := tree.New(h, 2, tree.Limits{Bytes: cfg.Size, Inodes: cfg.Inodes, InoBase: inoBase}, objs, now, 0o755, fs.Cred{})
	if err != 0 {
		return nil, nil, err
	}
	b := &below{t: t, low: low, now: time.Now, release: release, byLower: map[fs.NodeID]tree.Ref{},
		attrs: map[tree.Ref]cached{}, maps: map[tree.Ref]fs.MapOut{}, names: map[nameKey]nameVal{}}
	if t.Get(t.Root()).LowerNode == 0 {
		e, err := low.GetAttr(fs.Req{}, fs.RootID)
		if err != 0 {
			return nil, nil, err
		}
		if err := t.InTx(func() abi.Errno {
			in := t.Mut(t.Root())
			in.LowerNode, in.LowerIno = uint64(fs.RootID), e.Attr.Ino
			in.Flags |= tree.FlagMerged | tree.FlagLowerMeta | tree.FlagPinned
			return 0
		}); err != 0 {
			return nil, nil, err
		}
	}
	t.Each(func(r tree.Ref, in *tree.Inode) bool {
		if in.LowerNode != 0 {
			b.byLower[fs.NodeID(in.LowerNode)] = r
			if idle(in) {
				b.ahead.keep(r, in.Gen)
			}
		}
		return true
	})
	s := tree.NewServer(t, log, ^uint64(0), magic)
	s.SetBelow(b)
	t.OnDrop = b.dropped
	return s, b, 0
}

func (b *below) lower(r tree.Ref) fs.NodeID { return fs.NodeID(b.t.Get(r).LowerNode) }

// recall answers what a lower name led to, if that was asked a short while ago:
// programs look for files that are not there all the time.
func (b *below) recall(dir tree.Ref, name string) (low fs.NodeID, ok bool) {
	key := nameKey{dir, b.t.Get(dir).Gen, name}
	v, ok := b.names[key]
	if ok = ok && !b.now().After(v.till); ok && v.ahead {
		v.ahead = false
		b.names[key] = v
		b.ahead.used++
	}
	return v.low, ok
}

func (b *below) remember(dir tree.Ref, name string, low fs.NodeID) {
	if b.nameTTL == 0 {
		return
	}
	if len(b.names) >= maxNames {
		clear(b.names)
	}
	b.names[nameKey{dir, b.t.Get(dir).Gen, name}] = nameVal{low: low, till: b.now().Add(b.nameTTL)}
}

func (b *below) cache(r tree.Ref, e *fs.Entry) {
	b.nameTTL = time.Duration(min(e.TTL, 1<<62))
	if e.TTL == 0 {
		delete(b.attrs, r)
		return
	}
	b.attrs[r] = cached{e.Attr, e.TTL, b.now().Add(time.Duration(min(e.TTL, 1<<62)))}
}

// absent turns the lower layer's word for "this directory went away under us"
// into an empty directory.
func absent(err abi.Errno) abi.Errno {
	if err == abi.ESTALE || err == abi.ENOTDIR {
		return abi.ENOENT
	}
	return err
}

// Lookup implements tree.Below.
func (b *below) Lookup(dir tree.Ref, name string) (tree.Ref, abi.Errno) {
	if low, ok := b.recall(dir, name); ok {
		if low == 0 {
			return 0, abi.ENOENT
		}
		if r := b.shadow(low); r != 0 {
			return r, 0
		}
	}
	e, err := b.low.Lookup(fs.Req{}, b.lower(dir), name)
	if err == abi.ENOENT {
		b.remember(dir, name, 0)
	}
	if err != 0 {
		return 0, absent(err)
	}
	b.ahead.found(dir)
	return b.Meet(dir, name, &e)
}

// Meet implements tree.Below.
func (b *below) Meet(dir tree.Ref, name string, e *fs.Entry) (tree.Ref, abi.Errno) {
	b.remember(dir, name, e.Node)
	if r := b.shadow(e.Node); r != 0 {
		b.cache(r, e)
		return r, 0
	}
	r, err := b.t.NewInode(e.Attr.Mode, e.Attr.Rdev, fs.Cred{UID: e.Attr.UID, GID: e.Attr.GID})
	if err != 0 {
		return 0, err
	}
	if err := b.t.SetFound(r, dir, name); err != 0 {
		return 0, err
	}
	in := b.t.Mut(r)
	in.LowerNode, in.LowerIno, in.Nlink = uint64(e.Node), e.Attr.Ino, 1
	in.Flags |= tree.FlagLowerMeta
	switch e.Attr.Mode & fs.TypeMask {
	case fs.TypeDir:
		in.Flags |= tree.FlagMerged
		in.Parent, in.Nlink = dir, 2
	case fs.TypeReg, fs.TypeLink:
		in.Flags |= tree.FlagLowerData
	}
	b.byLower[e.Node] = r
	b.cache(r, e)
	return r, 0
}

// shadow answers the inode of a lower node; 0 when it has none.
func (b *below) shadow(low fs.NodeID) tree.Ref {
	r := b.byLower[low]
	if in := b.t.Get(r); in == nil || in.LowerNode != uint64(low) {
		return 0
	}
	return r
}

// Has implements tree.Below.
func (b *below) Has(dir tree.Ref, name string) (bool, abi.Errno) {
	if low, ok := b.recall(dir, name); ok {
		return low != 0, 0
	}
	e, err := b.low.Lookup(fs.Req{}, b.lower(dir), name)
	switch absent(err) {
	case 0:
		if b.shadow(e.Node) == 0 {
			b.low.Forget(fs.Req{}, e.Node, 1)
		}
		return true, 0
	case abi.ENOENT:
		return false, 0
	}
	return false, err
}

// Empty implements tree.Below.
func (b *below) Empty(dir tree.Ref) (bool, abi.Errno) {
	b.lists.drop(dirKey{dir, b.t.Get(dir).Gen}) // who removes it asks what is there now
	for cookie := uint64(0); ; {
		list, next, end, err := b.List(dir, cookie, chunk/4, 0)
		if err != 0 || len(list) > 0 {
			return false, err
		}
		if end {
			return true, 0
		}
		cookie = next
	}
}

// List implements tree.Below.
func (b *below) List(dir tree.Ref, cookie uint64, max int, plus uint32) ([]fs.DirPlus, uint64, bool, abi.Errno) {
	list, kept, err := b.read(dir, cookie, max, plus)
	if absent(err) == abi.ENOENT {
		return nil, cookie, true, 0
	}
	if err != 0 {
		return nil, cookie, false, err
	}
	if plus > 0 && !kept {
		b.reads.listed(dir, b.t.Get(dir).Gen, cookie == 0, list)
	}
	if len(list) == 0 {
		return nil, cookie, true, 0
	}
	next := list[len(list)-1].Next
	show := list[:0]
	for _, de := range list {
		if _, d := b.t.Find(dir, de.Name); d != nil {
			if de.Known == 1 && b.shadow(de.Found.Node) == 0 {
				b.low.Forget(fs.Req{}, de.Found.Node, 1)
			}
			if d.Child == 0 || d.Flags&tree.DirentPinned == 0 {
				continue
			}
			de.Type = d.Type
			de.Ino = b.t.Get(d.Child).LowerIno
			de.Known = 0
		}
		show = append(show, de)
	}
	return show, next, false, 0
}

// Attr implements tree.Below.
func (b *below) Attr(r tree.Ref) (fs.Attr, uint64, abi.Errno) {
	c, ok := b.attrs[r]
	if !ok || c.ttl != ^uint64(0) && b.now().After(c.till) {
		e, err := b.low.GetAttr(fs.Req{}, b.lower(r))
		if err != 0 {
			return fs.Attr{}, 0, err
		}
		b.cache(r, &e)
		c = cached{attr: e.Attr, ttl: e.TTL}
	}
	in := b.t.Get(r)
	c.attr.Ino, c.attr.Gen = in.LowerIno, in.Gen
	return c.attr, c.ttl, 0
}

// CopyMeta implements tree.Below.
func (b *below) CopyMeta(r tree.Ref) abi.Errno {
	e, err := b.low.GetAttr(fs.Req{}, b.lower(r))
	if err != 0 {
		return err
	}
	names, err := b.low.ListXattr(fs.Req{}, b.lower(r))
	if err != 0 && err != abi.EOPNOTSUPP {
		return err
	}
	for _, name := range strings.Split(string(names), "\x00") {
		if !strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "trusted.") && !strings.HasPrefix(name, "security.") {
			continue // ACLs and the like belong to the lower file system
		}
		v, err := b.low.GetXattr(fs.Req{}, b.lower(r), name)
		if err == abi.ENODATA {
			continue
		}
		if err == 0 {
			err = b.t.SetXattr(r, name, v, 0)
		}
		if err != 0 {
			return err
		}
	}
	if err := b.pin(r); err != 0 {
		return err
	}
	in, a := b.t.Mut(r), &e.Attr
	in.Mode = in.Mode&fs.TypeMask | a.Mode&^fs.TypeMask
	in.UID, in.GID, in.Rdev, in.Size, in.Nlink = a.UID, a.GID, a.Rdev, a.Size, max(a.Nlink, 1)
	in.Atime, in.Mtime, in.Ctime, in.Btime = a.Atime, a.Mtime, a.Ctime, a.Btime
	if in.Flags&tree.FlagLowerData != 0 {
		in.Blocks = a.Blocks
	}
	in.Flags &^= tree.FlagLowerMeta
	delete(b.attrs, r)
	return 0
}

// pin makes the entry under which a lower node was found, and those above it,
// the tree's own.
func (b *below) pin(r tree.Ref) abi.Errno {
	dir, name := b.t.Found(r)
	if dir == 0 {
		return 0
	}
	if err := b.pin(dir); err != 0 {
		return err
	}
	if _, d := b.t.Find(dir, name); d == nil {
		if err := b.t.Enter(dir, name, r, tree.DirentPinned); err != 0 {
			return err
		}
	}
	b.t.Mut(r).Flags |= tree.FlagPinned
	b.t.ClearFound(r)
	return 0
}

// CopyData implements tree.Below.
func (b *below) CopyData(r tree.Ref, size uint64) abi.Errno {
	low := b.lower(r)
	in := b.t.Mut(r)
	n := min(in.Size, size)
	in.Size, in.Blocks = 0, 0
	in.Flags &^= tree.FlagLowerData
	b.reads.drop(low)
	if n > tree.SmallMax {
		if err := b.t.Objectify(r); err != 0 {
			return err
		}
	}
	buf := make([]byte, min(n, chunk))
	for off := uint64(0); off < n; {
		if at, err := b.low.Seek(fs.Req{}, low, off, 3); err == 0 {
			off = max(off, at) // over a hole
		} else if err == abi.ENXIO {
			break // nothing but a hole is left
		}
		if off >= n {
			break
		}
		k, err := b.low.Read(fs.Req{}, low, off, buf[:min(uint64(len(buf)), n-off)])
		if err != 0 {
			return err
		}
		if k == 0 {
			break // it became shorter on the host: zeros, as a mapping would show
		}
		w, err := b.t.WriteAt(r, off, buf[:k])
		if err != 0 {
			return err
		}
		if w < k {
			return abi.ENOSPC
		}
		off += uint64(k)
	}
	b.unmap(r)
	if b.t.Get(r).Size < n {
		return b.t.Truncate(r, n, false)
	}
	return 0
}

// ReadLink implements tree.Below.
func (b *below) ReadLink(r tree.Ref) (string, abi.Errno) {
	return b.low.ReadLink(fs.Req{}, b.lower(r))
}

// Seek implements tree.Below.
func (b *below) Seek(r tree.Ref, off uint64, whence uint32) (uint64, abi.Errno) {
	return b.low.Seek(fs.Req{}, b.lower(r), off, whence)
}

// GetXattr implements tree.Below.
func (b *below) GetXattr(r tree.Ref, name string) ([]byte, abi.Errno) {
	v, err := b.low.GetXattr(fs.Req{}, b.lower(r), name)
	if err == abi.EOPNOTSUPP || err == abi.EPERM {
		err = abi.ENODATA
	}
	return v, err
}

// ListXattr implements tree.Below.
func (b *below) ListXattr(r tree.Ref) ([]byte, abi.Errno) {
	v, err := b.low.ListXattr(fs.Req{}, b.lower(r))
	if err == abi.EOPNOTSUPP {
		return nil, 0
	}
	return v, err
}

// Map implements tree.Below.
func (b *below) Map(r tree.Ref) (fs.MapOut, abi.Errno) {
	if m, ok := b.maps[r]; ok {
		return m, 0
	}
	m, err := b.low.Map(fs.Req{}, b.lower(r), fs.MapToShow)
	if err != 0 {
		return m, err
	}
	m.UntilWrite = m.Stable || m.UntilWrite
	m.Writable, m.Stable = false, false
	b.maps[r] = m
	for old, o := range b.maps {
		if len(b.maps) <= maxMaps {
			break
		}
		if old != r {
			delete(b.maps, old)
			if b.release != nil {
				b.release(o.Tag)
			}
		}
	}
	return m, 0
}

// maxMaps bounds the lower objects that are kept for the case that a file is
// mapped again. Those that clients hold live on without us.
const maxMaps = 512

func (b *below) unmap(r tree.Ref) {
	if m, ok := b.maps[r]; ok {
		delete(b.maps, r)
		if b.release != nil {
			b.t.After(func() { b.release(m.Tag) })
		}
	}
}

// dropped forgets what is derived from a node that is about to be freed.
func (b *below) dropped(r tree.Ref) {
	low := b.lower(r)
	if low == 0 {
		return
	}
	b.unmap(r)
	delete(b.attrs, r)
	b.reads.drop(low)
	delete(b.ahead.finds, r) // its place may be another directory's next
	b.t.After(func() {
		if b.byLower[low] == r {
			delete(b.byLower, low)
		}
		b.low.Forget(fs.Req{}, low, ^uint64(0))
	})
}

// Used implements tree.Below.
func (b *below) Used() (uint64, abi.Errno) {
	s, err := b.low.Statfs(fs.Req{}, fs.RootID)
	if err != 0 {
		return 0, err
	}
	unit := uint64(s.FrSize)
	if unit == 0 {
		unit = uint64(s.BSize)
	}
	return (s.Blocks - min(s.Bfree, s.Blocks)) * unit, 0
}
