package core

import (
	"hythe/abi"
	"hythe/idl/fs"
	"hythe/store"
)

// Operations on names. All walk first (Walk's errors), then check as Linux
// does, then send one numbered request. A repetition after a crash leaves the
// checks on the last component out and sends the request again (Call.again).

// Stat is what stat(2) shows.
type Stat struct {
	fs.Attr
	Dev   uint64
	Mount uint32
	// MountRoot is set for the root of a mount (statx).
	MountRoot bool
}

// StatAt answers the attributes of what path leads to.
func (c *Call) StatAt(dirfd int32, path string, walk uint32) (st Stat, e abi.Errno) {
	e = c.steady(func() abi.Errno {
		f, e := c.Walk(dirfd, path, walk)
		if e == 0 {
			st, e = c.statFound(&f)
		}
		return e
	})
	return st, e
}

// StatFD answers the attributes of an open file.
func (c *Call) StatFD(fd int32) (Stat, abi.Errno) {
	f, file, e := c.File(fd)
	if e != 0 {
		return Stat{}, e
	}
	if n := c.K.nodeOf(file.Vnode); n != nil {
		return c.statFound(&Found{node: n})
	}
	return c.statFound(&Found{File: f})
}

// anonDev is the device number of what lives in no file system.
const anonDev = 0xe

func (c *Call) statFound(f *Found) (Stat, abi.Errno) {
	n := f.node
	if n == nil {
		a, e := c.K.Ops(f.File).Stat(c, f.File)
		return Stat{Attr: a, Dev: anonDev}, e
	}
	e := c.refresh(n, false)
	return n.stat(), e
}

// stat is what is known of a node.
func (n *node) stat() Stat {
	if n.writing > 0 {
		n.lookWritten()
	}
	return Stat{Attr: n.attr, Dev: n.m.dev, Mount: uint32(n.m.ref), MountRoot: n == n.m.root}
}

// What access(2) asks for.
const (
	AccessExists = 0
	AccessX      = mayExec
	AccessW      = mayWrite
	AccessR      = mayRead
)

// AccessAt checks access to a path: with the real ids, or the effective ones
// when effective is set.
func (c *Call) AccessAt(dirfd int32, path string, want uint32, effective bool, walk uint32) abi.Errno {
	cr := *c.cred()
	if !effective {
		cr.FSUID, cr.FSGID = cr.UID, cr.GID
		if cr.UID == c.RootID() {
			cr.CapEff = cr.CapPerm
		} else {
			cr.CapEff = 0
		}
	}
	c.credAs = &cr
	f, e := c.Walk(dirfd, path, walk)
	c.credAs = nil
	if e != 0 {
		return e
	}
	n := f.node
	if n == nil || want == 0 {
		return 0
	}
	if want&mayExec != 0 && n.isRegular() && n.m.flags&MountNoexec != 0 {
		return abi.EACCES
	}
	if e := c.K.access(&cr, &n.attr, want); e != 0 {
		return e
	}
	if want&mayWrite != 0 && n.m.flags&MountRO != 0 {
		switch n.typ() {
		case fs.TypeReg, fs.TypeDir, fs.TypeLink:
			return abi.EROFS
		}
	}
	return 0
}

// mayCreate checks that the caller may make the absent name f.
func (c *Call) mayCreate(f *Found) abi.Errno {
	if f.dir.m.flags&MountRO != 0 {
		return abi.EROFS
	}
	if f.dir.gone {
		return abi.ENOENT
	}
	if e := c.may(f.dir, mayWrite|mayExec); e != 0 {
		return e
	}
	if f.dir.m.srv == nil {
		return abi.EPERM
	}
	return 0
}

// made puts a node that a server has made into the caches. gen is the
// directory's before the request.
func (c *Call) made(dir *node, name string, ent *fs.Entry, gen uint32) *node {
	n := c.K.node(dir.m, ent.Node)
	c.K.learn(n, n.gen, ent)
	c.named(dir, name, n, ent, gen)
	return n
}

// named brings the caches up to date after n was given a name in dir.
func (c *Call) named(dir *node, name string, n *node, ent *fs.Entry, gen uint32) {
	k := c.K
	ok := dir.gen == gen
	dir.stale()
	if ok {
		k.setKid(dir, name, n, k.until(ent.TTL))
	} else {
		n.parent, n.name = dir, name
		c.K.forgetKid(dir, name)
	}
	k.event(dir, n, name, evCreate, 0)
}

// target walks to a name that is to be made: EEXIST if it is there; ENOENT for
// an absent name with slashes behind it unless it will be a directory.
func (c *Call) target(dirfd int32, path string, isDir bool) (Found, abi.Errno) {
	f, e := c.Walk(dirfd, path, WalkParent)
	if e != 0 {
		return f, e
	}
	if f.last != lastNormal {
		return f, abi.EEXIST
	}
	if c.again() {
		return f, 0
	}
	if f.node != nil {
		return f, abi.EEXIST
	}
	if f.slash && !isDir {
		return f, abi.ENOENT
	}
	return f, c.mayCreate(&f)
}

// Mkdir makes a directory.
func (c *Call) Mkdir(dirfd int32, path string, mode uint32) abi.Errno {
	f, e := c.target(dirfd, path, true)
	if e != 0 {
		return e
	}
	o, m := c.newOwner(f.dir, fs.TypeDir|mode&0o1777&^c.umask())
	r := c.req()
	f.dir.gen++
	gen := f.dir.gen
	var ent fs.Entry
	c.ask(func() { ent, e = c.server(f.dir.m).MkDir(r, f.dir.id, f.name, m&0o7777, o) })
	if e == 0 {
		c.made(f.dir, f.name, &ent, gen)
	} else {
		c.K.forgetKid(f.dir, f.name)
	}
	c.stepDone()
	return e
}

// Mknod makes a regular file, FIFO, socket or device node: mode has the type
// (0: regular). EPERM for a directory, and for devices without CAP_MKNOD.
func (c *Call) Mknod(dirfd int32, path string, mode uint32, rdev uint64) abi.Errno {
	v, e := c.MkNodAt(dirfd, path, mode&^c.umask(), rdev)
	if e == 0 {
		c.K.DropVnode(v)
	}
	return e
}

// MkNodAt is Mknod with a mode that the umask was applied to; the vnode is held
// for the caller.
func (c *Call) MkNodAt(dirfd int32, path string, mode uint32, rdev uint64) (store.Ref[Vnode], abi.Errno) {
	typ := mode & fs.TypeMask
	switch typ {
	case 0:
		typ = fs.TypeReg
	case fs.TypeReg, fs.TypeFifo, fs.TypeSock:
	case fs.TypeChr, fs.TypeBlk:
	case fs.TypeDir:
		return 0, abi.EPERM
	default:
		return 0, abi.EINVAL
	}
	if typ != fs.TypeChr && typ != fs.TypeBlk {
		rdev = 0
	}
	f, e := c.target(dirfd, path, false)
	if e != 0 {
		return 0, e
	}
	if (typ == fs.TypeChr || typ == fs.TypeBlk) && !c.cred().has(capMknod) {
		return 0, abi.EPERM
	}
	o, m := c.newOwner(f.dir, typ|mode&0o7777)
	r := c.req()
	f.dir.gen++
	gen := f.dir.gen
	var ent fs.Entry
	c.ask(func() { ent, e = c.server(f.dir.m).MkNod(r, f.dir.id, f.name, m, rdev, o) })
	if e != 0 {
		c.K.forgetKid(f.dir, f.name)
		c.stepDone()
		return 0, e
	}
	n := c.made(f.dir, f.name, &ent, gen)
	c.stepDone()
	return c.K.holdNode(n)
}

// Symlink makes a symbolic link. ENOENT for an empty text.
func (c *Call) Symlink(text string, dirfd int32, path string) abi.Errno {
	if text == "" {
		return abi.ENOENT
	}
	f, e := c.target(dirfd, path, false)
	if e != 0 {
		return e
	}
	o, _ := c.newOwner(f.dir, fs.TypeLink|0o777)
	r := c.req()
	f.dir.gen++
	gen := f.dir.gen
	var ent fs.Entry
	c.ask(func() { ent, e = c.server(f.dir.m).Symlink(r, f.dir.id, f.name, text, o) })
	if e == 0 {
		c.made(f.dir, f.name, &ent, gen).target = text
	} else {
		c.K.forgetKid(f.dir, f.name)
	}
	c.stepDone()
	return e
}

// Readlink answers the text of a symbolic link. EINVAL when it is none (ENOENT
// for the empty path, unless it names a link by its descriptor).
func (c *Call) Readlink(dirfd int32, path string) (string, abi.Errno) {
	f, e := c.Walk(dirfd, path, WalkEmpty)
	c.seen.bare = true // what it is, and what is in it, does not change
	if e != 0 {
		return "", e
	}
	if f.node == nil || !f.node.isLink() {
		if path == "" {
			return "", abi.ENOENT
		}
		return "", abi.EINVAL
	}
	if f.node.m.core != nil {
		l, e := f.node.m.core.ReadLink(c, f.node.id)
		return l.Text, e
	}
	return c.readlink(f.node)
}

// Link makes a further name. walk may have WalkFollow and WalkEmpty.
func (c *Call) Link(oldfd int32, oldPath string, newfd int32, newPath string, walk uint32) abi.Errno {
	if oldPath == "" && walk&WalkEmpty != 0 && !c.cred().has(capDacReadSearch) {
		return abi.ENOENT
	}
	from, e := c.Walk(oldfd, oldPath, walk)
	if e != 0 {
		return e
	}
	to, e := c.target(newfd, newPath, false)
	if e != 0 && e != abi.EEXIST {
		return e
	}
	if e == abi.EEXIST {
		return e
	}
	n := from.node
	if n == nil || n.m != to.dir.m {
		return abi.EXDEV
	}
	made := false
	if n.v != 0 {
		made = c.K.Vnodes.Get(n.v).Made != 0
	}
	if !c.again() {
		if n.isDir() {
			return abi.EPERM
		}
		if n.gone && !made {
			return abi.ENOENT
		}
	}
	r := c.req()
	to.dir.gen++
	n.stale()
	gen, ngen := to.dir.gen, n.gen
	var ent fs.Entry
	c.ask(func() { ent, e = c.server(n.m).Link(r, n.id, to.dir.id, to.name) })
	if e == 0 {
		if n.gone {
			n.gone = false
			if n.v != 0 {
				v := c.K.Vnodes.Mut(n.v)
				v.Flags &^= VnodeGone
				v.Made = 0
			}
		}
		c.K.event(nil, n, "", evAttrib, 0)
		c.K.learnChange(n, ngen, &ent)
		c.named(to.dir, to.name, n, &ent, gen)
	} else {
		c.K.forgetKid(to.dir, to.name)
	}
	c.stepDone()
	if e == abi.ESTALE {
		e = abi.ENOENT // its last name went meanwhile
	}
	return e
}

// isGone notes that a node's last name was removed.
func (k *Kernel) isGone(n *node) {
	n.takeBackKind(loanClose)
	n.gone = true
	n.takeBackKind(loanStat)
	n.attr.Nlink = 0
	if n.v != 0 {
		v := k.Vnodes.Mut(n.v)
		v.Flags |= VnodeGone
		if k.isLazy(n.v) {
			k.queueRelease(n.v)
			k.kickRelease()
		}
	}
}

// counted is how many names a node had when a request that takes one of them away was sent.
type counted struct{ names, gen uint32 }

func (n *node) counted() counted {
	if n == nil {
		return counted{}
	}
	return counted{n.attr.Nlink, n.gen}
}

// wasLast says whether the name that n has lost was its last one; it may give up the lock.
// What the attributes say by now may have been asked for before the request was done, or after.
func (c *Call) wasLast(n *node, was counted) bool {
	sure := n.isDir() || n.gen == was.gen
	n.stale()
	switch {
	case n.isDir():
		return true
	case sure:
		n.attr.Nlink = max(was.names, 1) - 1
		return n.attr.Nlink == 0
	}
	// It was given names meanwhile, or lost others: its server knows.
	return c.refresh(n, false) != 0 || n.attr.Nlink == 0
}

// unnamed brings the caches up to date after a name of n (nil: unknown) was
// removed from dir. It may give up the lock.
func (c *Call) unnamed(dir *node, name string, n *node, was counted) {
	k := c.K
	dir.stale()
	until := int64(0)
	if k.fresh(dir.permUntil) {
		until = dir.permUntil
	}
	k.setKid(dir, name, nil, until)
	if n == nil {
		return
	}
	last := c.wasLast(n, was)
	if !n.isDir() {
		k.event(nil, n, "", evAttrib, 0) // the count of names
	}
	if last {
		k.isGone(n)
		k.event(nil, n, "", evDeleteSelf, 0)
	}
	k.event(dir, n, name, evDelete, 0)
}

// Unlink removes a name that is no directory. EISDIR, EBUSY, EPERM, EACCES.
func (c *Call) Unlink(dirfd int32, path string) abi.Errno {
	f, e := c.Walk(dirfd, path, WalkParent)
	if e != 0 {
		return e
	}
	if f.last != lastNormal {
		return abi.EISDIR
	}
	n := f.node
	if !c.again() {
		if f.dir.m.flags&MountRO != 0 {
			return abi.EROFS
		}
		if n == nil {
			return abi.ENOENT
		}
		if f.slash {
			if n.isDir() {
				return abi.EISDIR
			}
			return abi.ENOTDIR
		}
		if e := c.refresh(n, true); e != 0 {
			return e
		}
		if e := c.mayRemove(f.dir, n); e != 0 {
			return e
		}
		if n.isDir() {
			return abi.EISDIR
		}
		if n.covered != nil {
			return abi.EBUSY
		}
		if f.dir.m.srv == nil {
			return abi.EPERM
		}
	}
	node, given := c.gives(n)
	was := n.counted()
	r := c.req()
	f.dir.gen++
	c.ask(func() {
		if given != 0 {
			e = c.server(f.dir.m).Discard(r, f.dir.id, f.name, node, given)
		} else {
			e = c.server(f.dir.m).Unlink(r, f.dir.id, f.name)
		}
	})
	f.dir.gen++
	if e == 0 {
		c.unnamed(f.dir, f.name, n, was)
	} else {
		c.K.forgetKid(f.dir, f.name)
	}
	c.gave(e)
	c.stepDone()
	return e
}

// Rmdir removes an empty directory. ENOTDIR, ENOTEMPTY, EBUSY, EINVAL.
func (c *Call) Rmdir(dirfd int32, path string) abi.Errno {
	f, e := c.Walk(dirfd, path, WalkParent)
	if e != 0 {
		return e
	}
	switch f.last {
	case lastDotDot:
		return abi.ENOTEMPTY
	case lastDot:
		return abi.EINVAL
	case lastRoot, lastJump:
		return abi.EBUSY
	}
	n := f.node
	if !c.again() {
		if f.dir.m.flags&MountRO != 0 {
			return abi.EROFS
		}
		if n == nil {
			return abi.ENOENT
		}
		if e := c.mayRemove(f.dir, n); e != 0 {
			return e
		}
		if !n.isDir() {
			return abi.ENOTDIR
		}
		if n.covered != nil {
			return abi.EBUSY
		}
		if f.dir.m.srv == nil {
			return abi.EPERM
		}
	}
	r := c.req()
	f.dir.gen++
	c.ask(func() { e = c.server(f.dir.m).RmDir(r, f.dir.id, f.name) })
	f.dir.gen++
	if e == 0 {
		if n != nil {
			clear(n.kids)
		}
		c.unnamed(f.dir, f.name, n, counted{})
	} else {
		c.K.forgetKid(f.dir, f.name)
	}
	c.stepDone()
	return e
}

// below says whether n is dir or lies in it.
func below(n, dir *node) bool {
	for x := n; x != nil; x = x.parent {
		if x == dir {
			return true
		}
	}
	return false
}

// Rename moves a name. flags are fs.Rename... EXDEV, EBUSY, EINVAL, ENOTEMPTY,
// EEXIST, EISDIR, ENOTDIR, EPERM, EACCES.
func (c *Call) Rename(oldfd int32, oldPath string, newfd int32, newPath string, flags uint32) abi.Errno {
	k := c.K
	if flags&^uint32(fs.RenameNoReplace|fs.RenameExchange) != 0 || flags == fs.RenameNoReplace|fs.RenameExchange {
		return abi.EINVAL
	}
	from, e := c.Walk(oldfd, oldPath, WalkParent)
	if e != 0 {
		return e
	}
	to, e := c.Walk(newfd, newPath, WalkParent)
	if e != 0 {
		return e
	}
	if from.last != lastNormal {
		return abi.EBUSY
	}
	if to.last != lastNormal {
		if flags&fs.RenameNoReplace != 0 {
			return abi.EEXIST
		}
		return abi.EBUSY
	}
	if from.dir.m != to.dir.m {
		return abi.EXDEV
	}
	if !c.again() {
		if e := c.mayRename(&from, &to, flags); e != 0 {
			return e
		}
		if from.node == to.node {
			return 0
		}
		if to.node != nil {
			if e := c.refresh(to.node, false); e != 0 {
				return e
			}
		}
	}
	n, over := from.node, to.node
	was := over.counted()
	r := c.req()
	from.dir.gen++
	to.dir.gen++
	c.ask(func() { e = c.server(from.dir.m).Rename(r, from.dir.id, from.name, to.dir.id, to.name, flags) })
	from.dir.stale()
	to.dir.stale()
	until := func(x *node) int64 {
		if x != nil && k.fresh(x.permUntil) {
			return x.permUntil
		}
		return 0
	}
	exchange := flags&fs.RenameExchange != 0
	switch {
	case e != 0 || c.again() && (n == nil || n == over || exchange):
		// What the names led to may be of before or after it.
		c.K.forgetKid(from.dir, from.name)
		c.K.forgetKid(to.dir, to.name)
		if e == 0 && exchange { // where the two are now
			_, _ = c.Walk(oldfd, oldPath, WalkParent)
			_, _ = c.Walk(newfd, newPath, WalkParent)
		}
	case n == nil:
		c.K.forgetKid(from.dir, from.name)
		c.K.forgetKid(to.dir, to.name)
	case exchange:
		c.K.forgetKid(to.dir, to.name)
		k.setKid(from.dir, from.name, over, until(over))
		k.setKid(to.dir, to.name, n, until(n))
		n.stale()
		over.stale()
	default:
		k.setKid(from.dir, from.name, nil, until(from.dir))
		k.setKid(to.dir, to.name, n, until(n))
		n.stale()
		if over != nil {
			if c.wasLast(over, was) {
				k.isGone(over)
				k.event(nil, over, "", evDeleteSelf, 0)
			}
		}
	}
	if e == 0 && n != nil && k.vfs.notify != nil {
		k.vfs.cookie++
		k.event(from.dir, n, from.name, evMovedFrom, k.vfs.cookie)
		k.event(to.dir, n, to.name, evMovedTo, k.vfs.cookie)
		k.event(nil, n, "", evMoveSelf, 0)
	}
	c.stepDone()
	return e
}

// mayRename makes the checks of rename(2).
func (c *Call) mayRename(from, to *Found, flags uint32) abi.Errno {
	n, over := from.node, to.node
	if from.dir.m.flags&MountRO != 0 {
		return abi.EROFS
	}
	if n == nil {
		return abi.ENOENT
	}
	exchange := flags&fs.RenameExchange != 0
	if over != nil && flags&fs.RenameNoReplace != 0 {
		return abi.EEXIST
	}
	if exchange {
		if over == nil {
			return abi.ENOENT
		}
		if !over.isDir() && to.slash {
			return abi.ENOTDIR
		}
	}
	if !n.isDir() && (from.slash || !exchange && to.slash) {
		return abi.ENOTDIR
	}
	if n.isDir() && below(to.dir, n) {
		return abi.EINVAL
	}
	if over != nil && over.isDir() && below(from.dir, over) {
		if exchange {
			return abi.EINVAL
		}
		return abi.ENOTEMPTY
	}
	if n == over {
		return 0
	}
	if e := c.mayRemove(from.dir, n); e != 0 {
		return e
	}
	if over == nil {
		if to.dir.gone {
			return abi.ENOENT
		}
		if e := c.may(to.dir, mayWrite|mayExec); e != 0 {
			return e
		}
	} else {
		if e := c.mayRemove(to.dir, over); e != 0 {
			return e
		}
		if !exchange {
			if n.isDir() && !over.isDir() {
				return abi.ENOTDIR
			}
			if !n.isDir() && over.isDir() {
				return abi.EISDIR
			}
		}
	}
	if from.dir != to.dir {
		if n.isDir() {
			if e := c.K.access(c.cred(), &n.attr, mayWrite); e != 0 {
				return e
			}
		}
		if exchange && over.isDir() {
			if e := c.K.access(c.cred(), &over.attr, mayWrite); e != 0 {
				return e
			}
		}
	}
	if n.covered != nil || over != nil && over.covered != nil {
		return abi.EBUSY
	}
	if from.dir.m.srv == nil {
		return abi.EPERM
	}
	return 0
}

// foundFD is what a descriptor leads to, for the f... calls.
func (c *Call) foundFD(fd int32, allowPath bool) (Found, abi.Errno) {
	f, file, e := c.File(fd)
	if e != 0 {
		return Found{}, e
	}
	if file.Kind == FilePath && !allowPath {
		return Found{}, abi.EBADF
	}
	n := c.K.nodeOf(file.Vnode)
	if n == nil {
		return Found{File: f}, 0
	}
	return Found{node: n}, c.refresh(n, true)
}

// Target is what a call on attributes works on: a path, or a descriptor when
// ByFD is set.
type Target struct {
	Dir  int32
	Path string
	Walk uint32
	ByFD bool
}

func (c *Call) find(t *Target) (*node, abi.Errno) {
	var f Found
	var e abi.Errno
	if t.ByFD {
		f, e = c.foundFD(t.Dir, false)
	} else {
		f, e = c.Walk(t.Dir, t.Path, t.Walk)
	}
	if e != 0 {
		return nil, e
	}
	return f.node, 0
}

func (n *node) readOnly() bool { return n.m.flags&MountRO != 0 }

// Chmod changes the permission bits. EPERM, EROFS; EOPNOTSUPP for a symbolic
// link.
func (c *Call) Chmod(t Target, mode uint32) abi.Errno {
	return c.steady(func() abi.Errno { return c.chmod(t, mode) })
}

func (c *Call) chmod(t Target, mode uint32) abi.Errno {
	n, e := c.find(&t)
	if e != 0 {
		return e
	}
	if n == nil {
		return c.chmodNameless(t.Dir, mode)
	}
	if n.readOnly() {
		return abi.EROFS
	}
	if e := c.refresh(n, false); e != 0 {
		return e
	}
	if !c.owner(&n.attr) {
		return abi.EPERM
	}
	if n.isLink() {
		return abi.EOPNOTSUPP
	}
	mode &= 0o7777
	if cr := c.cred(); mode&0o2000 != 0 && !cr.inGroup(n.attr.GID) && !c.K.hasFor(cr, capFsetid, &n.attr) {
		mode &^= 0o2000
	}
	e = c.setAttr(n, &fs.SetAttrIn{Valid: fs.SetMode, Mode: mode})
	if e == 0 {
		c.K.nodeEvent(n, evAttrib)
	}
	return e
}

// chmodNameless is Chmod for a file that is in no tree: a pipe keeps its mode,
// the others' is always the same. EPERM.
func (c *Call) chmodNameless(fd int32, mode uint32) abi.Errno {
	f, file, e := c.File(fd)
	if e != 0 || file.Kind != FilePipe {
		return e
	}
	a, e := c.K.Ops(f).Stat(c, f)
	if e != 0 {
		return e
	}
	if !c.owner(&a) {
		return abi.EPERM
	}
	c.K.Pipes.Mut(pipeOf(file)).Mode = fs.TypeFifo | mode&0o7777
	return 0
}

// Chown changes owner and group; ^0 leaves one as it is. EPERM, EROFS.
func (c *Call) Chown(t Target, uid, gid uint32) abi.Errno {
	return c.steady(func() abi.Errno { return c.chown(t, uid, gid) })
}

func (c *Call) chown(t Target, uid, gid uint32) abi.Errno {
	n, e := c.find(&t)
	if e != 0 || n == nil {
		return e
	}
	if n.readOnly() {
		return abi.EROFS
	}
	if e := c.refresh(n, false); e != 0 {
		return e
	}
	cr := c.cred()
	if !c.K.hasFor(cr, capChown, &n.attr) && !c.again() {
		mine := cr.FSUID == n.attr.UID
		if uid != ^uint32(0) && (!mine || uid != n.attr.UID) {
			return abi.EPERM
		}
		if gid != ^uint32(0) && (!mine || gid != n.attr.GID && !cr.inGroup(gid)) {
			return abi.EPERM
		}
	}
	in := fs.SetAttrIn{UID: uid, GID: gid}
	if uid != ^uint32(0) {
		in.Valid |= fs.SetUID
	}
	if gid != ^uint32(0) {
		in.Valid |= fs.SetGID
	}
	if !n.isDir() && !n.isLink() {
		kill := n.attr.Mode & 0o4000
		if n.attr.Mode&0o2010 == 0o2010 {
			kill |= 0o2000
		}
		if kill != 0 {
			in.Valid |= fs.SetMode
			in.Mode = n.attr.Mode &^ kill & 0o7777
		}
	}
	if in.Valid == 0 {
		return 0
	}
	e = c.setAttr(n, &in)
	if e == 0 {
		c.K.nodeEvent(n, evAttrib)
	}
	return e
}

// TimeSet is a new time of utimensat(2).
type TimeSet struct {
	Now, Omit bool
	T         fs.Time
}

// Utimes sets access and modification time. EPERM, EACCES, EROFS.
func (c *Call) Utimes(t Target, at, mt TimeSet) abi.Errno {
	return c.steady(func() abi.Errno { return c.utimes(t, at, mt) })
}

func (c *Call) utimes(t Target, at, mt TimeSet) abi.Errno {
	if at.Omit && mt.Omit {
		return 0
	}
	n, e := c.find(&t)
	if e != 0 || n == nil {
		return e
	}
	if n.readOnly() {
		return abi.EROFS
	}
	if e := c.refresh(n, true); e != 0 {
		return e
	}
	if !c.owner(&n.attr) {
		if !at.Now || !mt.Now {
			return abi.EPERM
		}
		if e := c.may(n, mayWrite); e != 0 {
			return e
		}
	}
	in := fs.SetAttrIn{Atime: at.T, Mtime: mt.T}
	if !at.Omit {
		in.Valid |= fs.SetAtime
		if at.Now {
			in.Valid ^= fs.SetAtime | fs.SetAtimeNow
		}
	}
	if !mt.Omit {
		in.Valid |= fs.SetMtime
		if mt.Now {
			in.Valid ^= fs.SetMtime | fs.SetMtimeNow
		}
	}
	e = c.setAttr(n, &in)
	if e == 0 {
		c.K.nodeEvent(n, evAttrib)
	}
	return e
}

// Truncate sets the size of a named file. EISDIR, EINVAL, EACCES, ETXTBSY.
func (c *Call) Truncate(path string, size uint64) abi.Errno {
	return c.steady(func() abi.Errno { return c.truncateAt(path, size) })
}

func (c *Call) truncateAt(path string, size uint64) abi.Errno {
	f, e := c.Walk(AtCwd, path, WalkFollow)
	if e != 0 {
		return e
	}
	n := f.node
	if n == nil {
		return abi.EINVAL
	}
	if n.isDir() {
		return abi.EISDIR
	}
	if !n.isRegular() {
		return abi.EINVAL
	}
	if e := c.may(n, mayWrite); e != 0 {
		return e
	}
	if n.v != 0 && c.K.busyExec(n.v) {
		return abi.ETXTBSY
	}
	// A server that keeps versions apart (an overlay) makes the file its own
	// when it is opened for writing; SetAttr does the same there.
	return c.truncate(n, size)
}

// setCtxDir replaces the root or the current directory.
func (c *Call) setCtxDir(n *node, root bool) abi.Errno {
	k := c.K
	v, e := k.holdNode(n)
	if e != 0 {
		return e
	}
	k.namesChanged()
	ctx := k.FsCtxs.Mut(c.fsRef())
	old := ctx.Cwd
	if root {
		old = ctx.Root
		ctx.Root = v
	} else {
		ctx.Cwd = v
		c.SetDot(0)
	}
	if old != 0 {
		k.DropVnode(old)
	}
	return 0
}

// Dot is the open file that stands for the current directory, 0: it is just that.
func (c *Call) Dot() store.Ref[File] { return c.K.FsCtxs.Get(c.fsRef()).Dot }

// SetDot has an open file stand for the current directory, until that is changed.
func (c *Call) SetDot(f store.Ref[File]) {
	old := c.Dot()
	if f == old {
		return
	}
	if f != 0 {
		c.K.HoldFile(f)
	}
	c.K.FsCtxs.Mut(c.fsRef()).Dot = f
	if old != 0 {
		c.K.DropFile(nil, old)
	}
}

// Chdir changes the current directory.
func (c *Call) Chdir(path string) abi.Errno {
	f, e := c.Walk(AtCwd, path, WalkFollow|WalkDir)
	if e != 0 {
		return e
	}
	if e := c.K.access(c.cred(), &f.node.attr, mayExec); e != 0 {
		return e
	}
	return c.setCtxDir(f.node, false)
}

// Fchdir is Chdir to an open directory.
func (c *Call) Fchdir(fd int32) abi.Errno {
	f, e := c.foundFD(fd, true)
	if e != 0 {
		return e
	}
	if f.node == nil || !f.node.isDir() {
		return abi.ENOTDIR
	}
	if e := c.K.access(c.cred(), &f.node.attr, mayExec); e != 0 {
		return e
	}
	return c.setCtxDir(f.node, false)
}

// Chroot changes the root directory. EPERM without CAP_SYS_CHROOT.
func (c *Call) Chroot(path string) abi.Errno {
	f, e := c.Walk(AtCwd, path, WalkFollow|WalkDir)
	if e != 0 {
		return e
	}
	if e := c.K.access(c.cred(), &f.node.attr, mayExec); e != 0 {
		return e
	}
	if !c.NsCapable(capSysChroot) {
		return abi.EPERM
	}
	return c.setCtxDir(f.node, true)
}

// Getcwd answers the path of the current directory. ENOENT when it was removed.
func (c *Call) Getcwd() (string, abi.Errno) {
	n := c.cwdNode()
	if n == nil || n.gone {
		return "", abi.ENOENT
	}
	return c.K.nodePath(n, c.rootNode()), 0
}

// Umask sets the file mode creation mask and answers the old one.
func (c *Call) Umask(mask uint32) uint32 {
	ctx := c.K.FsCtxs.Mut(c.fsRef())
	old := ctx.Umask
	ctx.Umask = mask & 0o777
	return old
}

// Statfs answers the facts of the file system that a path or descriptor is on.
func (c *Call) Statfs(t Target) (fs.Statfs, abi.Errno) {
	var f Found
	var e abi.Errno
	if t.ByFD {
		f, e = c.foundFD(t.Dir, true)
	} else {
		f, e = c.Walk(t.Dir, t.Path, t.Walk)
	}
	if e != 0 {
		return fs.Statfs{}, e
	}
	n := f.node
	if n == nil {
		return fs.Statfs{Type: 0x50495045, BSize: 4096, FrSize: 4096, NameLen: 255}, 0 // PIPEFS_MAGIC
	}
	var s fs.Statfs
	if n.m.srv == nil {
		s = fs.Statfs{BSize: 4096, FrSize: 4096, NameLen: 255}
		switch n.m.typ {
		case "proc":
			s.Type = 0x9fa0
		case "devpts":
			s.Type = 0x1cd1
		case "sysfs":
			s.Type = 0x62656572
		default:
			s.Type = 0x01021994
		}
	} else {
		c.ask(func() { s, e = c.server(n.m).Statfs(fs.Req{}, n.id) })
	}
	s.Flags |= n.m.flags&0xf | 0x20 // ST_VALID
	return s, e
}

// SyncAll brings every file system's data to where it lasts.
func (c *Call) SyncAll() {
	var l []*mount
	c.K.Mounts.Each(func(r store.Ref[Mount], _ *Mount) bool {
		if m := c.K.vfs.mounts[r]; m != nil && m.srv != nil {
			l = append(l, m)
		}
		return true
	})
	for _, m := range l {
		c.ask(func() { c.server(m).Fsync(fs.Req{}, fs.RootID, false) })
	}
}

// ReadDirFD gives the entries behind the description's offset to put until it
// answers false (its buffer is full), and moves the offset behind the last one
// taken. EBADF, ENOTDIR; put must not give up the lock.
func (c *Call) ReadDirFD(fd int32, max int, put func(e *fs.DirEntry) bool) abi.Errno {
	f, file, e := c.File(fd)
	if e != 0 {
		return e
	}
	if file.Access&AccessRead == 0 {
		return abi.EBADF
	}
	return c.ReadDirFile(f, max, put)
}

// ReadDirFile is ReadDirFD of an open file that the caller holds.
func (c *Call) ReadDirFile(f store.Ref[File], max int, put func(e *fs.DirEntry) bool) abi.Errno {
	k := c.K
	file := k.Files.Get(f)
	ops := k.Ops(f)
	k.pinFile(f)
	defer k.unpinFile(c, f)
	if file.Kind == FileVnode {
		if e := c.lockPos(f); e != 0 {
			return e
		}
		defer c.unlockPos(f)
	}
	l, e := ops.ReadDir(c, f, max)
	if e != 0 {
		return e
	}
	next := k.Files.Get(f).Off
	for i := range l {
		if !put(&l[i]) {
			break
		}
		next = int64(l[i].Next)
	}
	k.Files.Mut(f).Off = next
	return 0
}

// CopyFile moves up to n bytes from in to out inside the server. Offsets of -1
// are the descriptions' own. exact is for copy_file_range, which works on
// regular files alone. It answers how much, with an error only for nothing.
// What has been done stands in Thread.Progress, so that a repetition goes on
// there.
func (c *Call) CopyFile(in, out store.Ref[File], inOff, outOff int64, n uint64) (uint64, abi.Errno) {
	k := c.K
	k.pinFile(in)
	k.pinFile(out)
	defer k.unpinFile(c, in)
	defer k.unpinFile(c, out)
	if n > 0x7ffff000 {
		n = 0x7ffff000
	}
	// A pipe notes in Progress how much of a step it has taken.
	part := c.Thread().Progress
	total := min(c.Thread().Aux+part, n)
	if part > 0 {
		t := c.MutThread()
		t.Aux, t.Progress = total, 0
		if inOff < 0 {
			k.Files.Mut(in).Off += int64(part)
		}
	}
	if inOff >= 0 {
		inOff += int64(total)
	}
	if outOff >= 0 {
		outOff += int64(total)
	}
	buf := make([]byte, min(n, 64<<10))
	for total < n {
		at := inOff
		if at < 0 {
			at = k.Files.Get(in).Off
		}
		m, e := k.Ops(in).Read(c, in, buf[:min(n-total, uint64(len(buf)))], at)
		if m > 0 {
			m, e = k.Ops(out).Write(c, out, buf[:m], outOff)
		}
		if m <= 0 {
			if total > 0 {
				return total, 0
			}
			return 0, e
		}
		total += uint64(m)
		if inOff >= 0 {
			inOff += int64(m)
		} else {
			k.Files.Mut(in).Off = at + int64(m)
		}
		if outOff >= 0 {
			outOff += int64(m)
		}
		t := c.MutThread()
		t.Aux, t.Progress = total, 0
		if e != 0 {
			break
		}
	}
	return total, 0
}

// CloseRange closes the descriptors first..last of the caller, or marks them
// to be closed at exec; unshare gives the process a table of its own first.
// EMFILE when there is no room for one.
func (c *Call) CloseRange(first, last uint32, cloexec, unshare bool) abi.Errno {
	k := c.K
	if unshare {
		if e := c.UnshareFDs(); e != 0 {
			return e
		}
	}
	t := c.Proc().FDs
	if cloexec {
		k.takeBackClosesOf(t)
	}
	end := k.FDs.Get(t).Cap
	for fd := first; fd < end && fd <= last; fd++ {
		f, flags, e := k.FDAt(t, int32(fd))
		if e != 0 {
			continue
		}
		if cloexec {
			if flags&FDCloexec == 0 {
				k.fdSet(t, fd, FDEntry{File: f, Flags: flags | FDCloexec})
			}
		} else {
			c.CloseFD(int32(fd))
		}
	}
	return 0
}

// UnshareFDs gives the process a descriptor table that no other process uses.
// ENOMEM.
func (c *Call) UnshareFDs() abi.Errno {
	k := c.K
	old := c.Proc().FDs
	if k.FDs.Get(old).Refs <= 1 {
		return 0
	}
	t := k.CopyFDTable(old)
	if t == 0 {
		return abi.ENOMEM
	}
	c.MutProc().FDs = t
	k.DropFDTable(c, old, c.ProcRef())
	return 0
}

// Dup gives f one more descriptor, the lowest free one not below min. EINVAL
// when min is beyond RLIMIT_NOFILE, EMFILE.
func (c *Call) Dup(fd, min int32, flags uint32) (int32, abi.Errno) {
	f, _, e := c.File(fd)
	if e != 0 {
		return -1, e
	}
	if min < 0 || uint64(min) >= c.Proc().Rlimits[RlimitNofile].Cur {
		return -1, abi.EINVAL
	}
	return c.InstallFD(f, min, flags)
}

// Dup2 makes to refer to what from does.
func (c *Call) Dup2(from, to int32, flags uint32) abi.Errno {
	f, _, e := c.File(from)
	if e != 0 {
		return e
	}
	return c.InstallFDAt(f, to, flags)
}

// Seekable says whether an open file has offsets: pread and its like work.
func (c *Call) Seekable(f store.Ref[File]) bool {
	switch c.K.Files.Get(f).Kind {
	case FileVnode, FileMemfd, FileDev, FileProc, FileOwn:
		return true
	}
	return false
}

// SetFlags is F_SETFL: it changes the settable flags of a description, whose
// descriptor the caller names as fd.
func (c *Call) SetFlags(f store.Ref[File], fd int32, flags uint32) abi.Errno {
	k := c.K
	file := k.Files.Get(f)
	old := file.Flags
	now := old&^OpenFlagsSettable | flags&OpenFlagsSettable
	if now&^old&OpenNoatime != 0 {
		if n := k.nodeOf(file.Vnode); n != nil && !c.owner(&n.attr) {
			return abi.EPERM
		}
	}
	if (now^old)&OpenAsync != 0 {
		c.setAsync(f, fd, now&OpenAsync != 0)
		old = file.Flags
		now = now&^OpenAsync | old&OpenAsync
	}
	if now != old {
		k.Files.Mut(f).Flags = now
		k.Ops(f).FlagsChanged(f, old)
	}
	return 0
}

// SetAsync is FIOASYNC. ENOTTY: the file tells of nothing.
func (c *Call) SetAsync(f store.Ref[File], fd int32, on bool) abi.Errno {
	if on == (c.K.Files.Get(f).Flags&OpenAsync != 0) {
		return 0
	}
	if !c.setAsync(f, fd, on) {
		return abi.ENOTTY
	}
	return 0
}

// FileSize answers the size of a named open file, for offsets from its end.
func (c *Call) FileSize(f store.Ref[File]) (uint64, abi.Errno) {
	a, e := c.K.Ops(f).Stat(c, f)
	return a.Size, e
}
