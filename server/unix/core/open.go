package core

import (
	"hythe/abi"
	"hythe/idl/fs"
	"hythe/store"
)

// OpenAt opens a path: Walk's rules, then open(2)'s. mode (without the umask)
// is for a file that is made; resolve holds Walk... bits of openat2(2). The
// answer is an open file with no reference yet: install or hold it. It may
// give up the lock.
func (c *Call) OpenAt(dirfd int32, path string, access_, flags, mode, resolve uint32) (r store.Ref[File], e abi.Errno) {
	e = c.steady(func() (e abi.Errno) {
		r, e = c.openAt(dirfd, path, access_, flags, mode, resolve)
		return e
	})
	return r, e
}

func (c *Call) openAt(dirfd int32, path string, access_, flags, mode, resolve uint32) (store.Ref[File], abi.Errno) {
	w := resolve
	if flags&OpenNofollow == 0 {
		w |= WalkFollow
	}
	if c.foreseen && (flags&(OpenPath|OpenTmpfile|OpenCreate) != 0 || resolve != 0) {
		return 0, abi.EAGAIN
	}
	if flags&OpenPath != 0 {
		if flags&OpenDirectory != 0 {
			w |= WalkDir
		}
		f, e := c.Walk(dirfd, path, w)
		if e != 0 {
			return 0, e
		}
		return c.openPath(&f, flags&(OpenNofollow|OpenDirectory))
	}
	if flags&OpenTmpfile != 0 {
		return c.openTemp(dirfd, path, access_, flags, mode, w)
	}
	if flags&OpenDirectory != 0 && flags&OpenCreate == 0 {
		w |= WalkDir
	}
	if flags&OpenCreate != 0 {
		if flags&(OpenExcl|OpenNofollow) == 0 {
			w |= WalkCreate
		} else {
			w = w&^WalkFollow | WalkParent
		}
	}
	f, e := c.Walk(dirfd, path, w)
	c.seen.missing = flags&OpenCreate == 0 && resolve == 0
	if e != 0 {
		return 0, e
	}
	if c.foreseen {
		return 0, abi.EAGAIN // it is there
	}
	if flags&OpenCreate != 0 {
		if f.last != lastNormal && f.last != lastJump {
			if flags&OpenExcl != 0 {
				return 0, abi.EEXIST
			}
			return 0, abi.EISDIR
		}
		if f.slash && f.last == lastNormal {
			return 0, abi.EISDIR
		}
		if !f.Exists() || c.again() && f.last == lastNormal && f.node.isRegular() {
			return c.createAt(&f, access_, flags, mode)
		}
		if flags&OpenExcl != 0 {
			return 0, abi.EEXIST
		}
		if f.node != nil && f.node.isDir() {
			return 0, abi.EISDIR
		}
		for f.node != nil && f.node.covered != nil {
			f.node = f.node.covered.root
		}
	}
	if f.File != 0 {
		return c.reopen(f.File, access_, flags)
	}
	return c.openNode(f.node, access_, flags)
}

// openPath makes an O_PATH description.
func (c *Call) openPath(f *Found, keep uint32) (store.Ref[File], abi.Errno) {
	k := c.K
	if f.node == nil {
		return 0, abi.ENXIO
	}
	r, _, e := k.NewFile(FilePath, 0, OpenPath|keep)
	if e != 0 {
		return 0, e
	}
	v, e := k.holdNode(f.node)
	if e != 0 {
		k.Files.Free(r)
		return 0, e
	}
	k.Files.Mut(r).Vnode = v
	return r, 0
}

// reopen opens a nameless file anew (through /proc/PID/fd). Of what cannot be opened all but
// sockets are files of root's with mode 0600 (anon_inodefs).
func (c *Call) reopen(f store.Ref[File], access_, flags uint32) (store.Ref[File], abi.Errno) {
	kind := c.K.Files.Get(f).Kind
	fn := c.K.vfs.reopen[kind]
	switch {
	case fn != nil:
	case kind != FileSocket && !c.Capable(CapDacOverride):
		return 0, abi.EACCES
	default:
		return 0, abi.ENXIO
	}
	r, e := fn(c, f, access_, flags)
	if e == 0 {
		c.K.Files.Mut(r).Flags |= flags & OpenLargefile
	}
	return r, e
}

// openNode opens an existing node after checking permissions.
func (c *Call) openNode(n *node, access_, flags uint32) (store.Ref[File], abi.Errno) {
	k := c.K
	if n.isLink() {
		return 0, abi.ELOOP
	}
	if flags&OpenDirectory != 0 && !n.isDir() {
		return 0, abi.ENOTDIR
	}
	if n.isDir() && (access_&AccessWrite != 0 || flags&OpenTrunc != 0) {
		return 0, abi.EISDIR
	}
	if e := c.refresh(n, true); e != 0 {
		return 0, e
	}
	var want uint32
	if access_&AccessRead != 0 {
		want |= mayRead
	}
	if access_&AccessWrite != 0 || flags&OpenTrunc != 0 && n.isRegular() {
		want |= mayWrite
	}
	if !c.again() {
		if t := n.typ(); (t == fs.TypeChr || t == fs.TypeBlk) && n.m.flags&MountNodev != 0 {
			return 0, abi.EACCES
		}
		if e := c.may(n, want); e != 0 {
			return 0, e
		}
		if flags&OpenNoatime != 0 && !c.owner(&n.attr) {
			return 0, abi.EPERM
		}
	}
	v, e := k.holdNode(n)
	if e != 0 {
		return 0, e
	}
	r, e := c.openHeld(n, v, access_, flags)
	if e != 0 {
		k.DropVnode(v)
		return 0, e
	}
	if k.vfs.notify != nil {
		k.nodeEvent(n, evOpen)
	}
	return r, 0
}

// openHeld opens the node of the held vnode v; the reference goes to the file.
func (c *Call) openHeld(n *node, v store.Ref[Vnode], access_, flags uint32) (store.Ref[File], abi.Errno) {
	k := c.K
	keep := flags & (OpenFlagsSettable | OpenSync | OpenDsync | OpenLargefile | OpenDirectory | OpenNofollow)
	var r store.Ref[File]
	var e abi.Errno
	switch n.typ() {
	case fs.TypeFifo:
		r, e = k.openFifo(c, v, access_, flags)
	case fs.TypeChr, fs.TypeBlk:
		r, e = k.openDev(c, n.typ(), n.attr.Rdev, access_, flags)
	case fs.TypeSock:
		return 0, abi.ENXIO
	default:
		if n.m.core != nil {
			r, e = n.m.core.Open(c, n.id, v, access_, flags)
			if e != 0 {
				return 0, e
			}
			if r != 0 {
				break
			}
			if !n.isDir() {
				return 0, abi.EACCES
			}
		}
		if n.isRegular() {
			write := access_&AccessWrite != 0
			if (write || flags&OpenTrunc != 0) && k.busyExec(v) && !c.again() {
				return 0, abi.ETXTBSY
			}
			if flags&OpenTrunc != 0 {
				if s := k.sealsOf(v); s&(SealWrite|SealShrink) != 0 {
					return 0, abi.EPERM
				}
			}
			if e := c.openVnode(v, write, flags&OpenTrunc != 0); e != 0 {
				return 0, e
			}
			if flags&OpenTrunc != 0 {
				k.nodeEvent(n, evModify)
			}
		}
		kind := FileVnode
		if n.m == k.vfs.memfd {
			kind = FileMemfd
		}
		r, _, e = k.NewFile(kind, access_, keep)
		if e != 0 && n.isRegular() && access_&AccessWrite != 0 {
			k.Vnodes.Mut(v).Writes--
		}
	}
	if e != 0 {
		return 0, e
	}
	f := k.Files.Mut(r)
	f.Vnode = v
	f.Flags |= keep & OpenLargefile // whatever the node's kind keeps of the others
	return r, 0
}

// createAt makes and opens the regular file that f says is absent.
func (c *Call) createAt(f *Found, access_, flags, mode uint32) (store.Ref[File], abi.Errno) {
	k := c.K
	dir := f.dir
	if flags&OpenDirectory != 0 {
		return 0, abi.EINVAL
	}
	if dir.m.srv == nil {
		return 0, abi.EACCES
	}
	if !c.again() {
		if dir.gone {
			return 0, abi.ENOENT
		}
		if e := c.may(dir, mayWrite|mayExec); e != 0 {
			return 0, e
		}
	}
	o, m := c.newOwner(dir, fs.TypeReg|mode&0o7777&^c.umask())
	r := c.req()
	dir.stale()
	gen := dir.gen
	var ent fs.Entry
	var made bool
	var e abi.Errno
	excl := flags&OpenExcl != 0
	changed := dir.m.changed
	c.ask(func() { ent, made, e = c.server(dir.m).Create(r, dir.id, f.name, m&0o7777, excl, o) })
	dir.gen++
	if e == 0 { // who has asked meanwhile knows its times of before
		dir.takeBackKind(loanStat)
		dir.attrUntil = 0
	}
	if e != 0 {
		k.forgetKid(dir, f.name)
		c.stepDone()
		return 0, e
	}
	n := k.node(dir.m, ent.Node)
	k.learnFound(n, changed, &ent)
	if dir.gen == gen+1 {
		k.setKid(dir, f.name, n, k.until(ent.TTL))
	} else {
		n.parent, n.name = dir, f.name
		k.forgetKid(dir, f.name)
	}
	v, e := k.holdNode(n)
	if e != 0 {
		c.stepDone()
		return 0, e
	}
	w := k.Vnodes.Mut(v)
	w.Opens++
	if access_&AccessWrite != 0 {
		w.Writes++
	}
	c.stepDone()
	fail := func(e abi.Errno) (store.Ref[File], abi.Errno) {
		if access_&AccessWrite != 0 {
			k.Vnodes.Mut(v).Writes--
		}
		k.DropVnode(v)
		return 0, e
	}
	if made {
		k.event(dir, n, f.name, evCreate, 0)
	} else {
		// Somebody else made it meanwhile: the usual checks.
		var want uint32
		if access_&AccessRead != 0 {
			want |= mayRead
		}
		if access_&AccessWrite != 0 || flags&OpenTrunc != 0 {
			want |= mayWrite
		}
		if !n.isRegular() {
			return fail(abi.EEXIST)
		}
		if e := c.may(n, want); e != 0 {
			return fail(e)
		}
		if flags&OpenTrunc != 0 && n.attr.Size > 0 {
			if e := c.truncate(n, 0); e != 0 {
				return fail(e)
			}
		}
	}
	keep := flags & (OpenFlagsSettable | OpenSync | OpenDsync | OpenLargefile)
	file, rec, e := k.NewFile(FileVnode, access_, keep)
	if e != 0 {
		return fail(e)
	}
	rec.Vnode = v
	if k.vfs.notify != nil {
		k.nodeEvent(n, evOpen)
	}
	return file, 0
}

func (c *Call) umask() uint32 {
	if c.T == 0 {
		return 0
	}
	return c.K.FsCtxs.Get(c.fsRef()).Umask
}

// openTemp makes an unnamed file (O_TMPFILE).
func (c *Call) openTemp(dirfd int32, path string, access_, flags, mode, w uint32) (store.Ref[File], abi.Errno) {
	if access_&AccessWrite == 0 {
		return 0, abi.EINVAL
	}
	f, e := c.Walk(dirfd, path, w|WalkDir)
	if e != 0 {
		return 0, e
	}
	dir := f.node
	if dir == nil {
		return 0, abi.ENOTDIR
	}
	if e := c.may(dir, mayWrite|mayExec); e != 0 && !c.again() {
		return 0, e
	}
	if dir.m.srv == nil {
		return 0, abi.EOPNOTSUPP
	}
	o, m := c.newOwner(dir, fs.TypeReg|mode&0o7777&^c.umask())
	return c.createTemp(dir, "#tmp", m, o, FileVnode, access_, flags)
}

// createTemp makes an unnamed file beside dir and opens it.
func (c *Call) createTemp(dir *node, name string, mode uint32, o fs.Cred, kind int, access_, flags uint32) (store.Ref[File], abi.Errno) {
	k := c.K
	r := c.req()
	var ent fs.Entry
	var e abi.Errno
	c.ask(func() { ent, e = c.server(dir.m).CreateTemp(r, dir.id, mode&0o7777, o) })
	if e != 0 {
		c.stepDone()
		return 0, e
	}
	n := k.node(dir.m, ent.Node)
	k.learn(n, n.gen, &ent)
	n.parent, n.name = dir, name
	n.gone = true
	v, e := k.holdNode(n)
	if e != 0 {
		c.stepDone()
		return 0, e
	}
	w := k.Vnodes.Mut(v)
	w.Opens++
	w.Writes++
	if flags&OpenExcl == 0 {
		w.Made = 1
	}
	c.stepDone()
	file, rec, e := k.NewFile(kind, access_, flags&(OpenFlagsSettable|OpenSync|OpenDsync|OpenLargefile))
	if e != 0 {
		k.Vnodes.Mut(v).Writes--
		k.DropVnode(v)
		return 0, e
	}
	rec.Vnode = v
	return file, 0
}

// OpenExec finds the program that path names, for exec: a regular file that
// may be executed, on a mount that allows it. flags are Walk... bits
// (WalkFollow, WalkEmpty). The vnode is held and open at its server: drop it
// with DropVnode. EACCES, ETXTBSY, ELOOP, and Walk's errors.
func (c *Call) OpenExec(dirfd int32, path string, flags uint32) (store.Ref[Vnode], fs.Attr, abi.Errno) {
	f, e := c.Walk(dirfd, path, flags)
	if e != 0 {
		return 0, fs.Attr{}, e
	}
	n := f.node
	if n == nil {
		return 0, fs.Attr{}, abi.EACCES
	}
	if n.isLink() {
		return 0, fs.Attr{}, abi.ELOOP
	}
	return c.openExec(n, 0)
}

// openExec is OpenExec of a node that so many write whom the caller vouches for.
func (c *Call) openExec(n *node, writers uint32) (store.Ref[Vnode], fs.Attr, abi.Errno) {
	k := c.K
	if e := c.refresh(n, false); e != 0 {
		return 0, fs.Attr{}, e
	}
	if !n.isRegular() || n.m.flags&MountNoexec != 0 || n.m.srv == nil {
		return 0, fs.Attr{}, abi.EACCES
	}
	if e := c.may(n, mayExec); e != 0 {
		return 0, fs.Attr{}, e
	}
	v, e := k.holdNode(n)
	if e != 0 {
		return 0, fs.Attr{}, e
	}
	if k.Vnodes.Get(v).Writes > writers {
		k.DropVnode(v)
		return 0, fs.Attr{}, abi.ETXTBSY
	}
	if e := c.openVnode(v, false, false); e != 0 {
		k.DropVnode(v)
		return 0, fs.Attr{}, e
	}
	a := n.attr
	if n.m.flags&MountNosuid != 0 {
		a.Mode &^= 0o6000
	}
	return v, a, 0
}

// FDRoom says whether the caller may have one more descriptor: EMFILE. Calls
// ask it before they make the file.
func (c *Call) FDRoom() abi.Errno {
	k := c.K
	p := c.Proc()
	k.lookClosed(p.FDs)
	tab := k.FDs.Get(p.FDs)
	limit := p.Rlimits[RlimitNofile].Cur
	if uint64(tab.Next) < limit && uint64(tab.Cap) < limit {
		return 0
	}
	fd := tab.Next
	if tab.Cap > 0 {
		es := fdEntries(k.Heap.Bytes(tab.Block))[:tab.Cap]
		for fd < tab.Cap && es[fd].File != 0 {
			fd++
		}
	}
	if uint64(fd) >= limit {
		return abi.EMFILE
	}
	return 0
}

// Install gives the lowest descriptor to a file that OpenAt and its like
// made, or releases the file.
func (c *Call) Install(f store.Ref[File], flags uint32) (int32, abi.Errno) {
	fd, e := c.InstallFD(f, 0, flags)
	if e != 0 {
		c.K.HoldFile(f)
		c.K.DropFile(c, f)
	}
	return fd, e
}
