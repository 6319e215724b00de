package core

import (
	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/server/fs/object"
	"hythe/server/fs/once"
	"hythe/server/fs/tree"
)

// Operations that an intent describes.
const (
	opNone = iota
	opMkDir
	opMkNod
	opSymlink
	opLink
	opUnlink
	opRmDir
	opRename
	opCreate
	opAppend
	opXattr // of a request whose answer depends on what was there
)

// intent is what is about to be done to the host, committed before it is.
// Names are at most 255 bytes, a symlink's target is in the request and needed
// again only if the request is run again.
type intent struct {
	Op      uint32
	Flags   uint32
	Req     fs.Req
	Dir     ref // where
	To      ref // rename: where to; link: the node that gets a name
	Mode    uint32
	NameLen uint32
	ToLen   uint32
	Made    uint32
	UID     uint32
	GID     uint32
	Rdev    uint64
	At      uint64
	// What the names led to before (0: nothing).
	Dev, Ino     uint64
	ToDev, ToIno uint64
	// Unlink: openings of a node that are given up with it.
	Given    fs.NodeID
	Openings uint32
	_        uint32
	Name     [256]byte
	ToName   [256]byte
}

func (i *intent) name() string   { return string(i.Name[:i.NameLen]) }
func (i *intent) toName() string { return string(i.ToName[:i.ToLen]) }

func (i *intent) setName(s string) { i.NameLen = uint32(copy(i.Name[:], s)) }
func (i *intent) setTo(s string)   { i.ToLen = uint32(copy(i.ToName[:], s)) }

// effect commits an intent, has the effect, and commits its consequences with
// the answer.
func (f *FS) effect(in *intent, do func() abi.Errno) once.Reply {
	f.h.Begin()
	f.supers.Mut(f.super).Intent = *in
	f.h.Commit()
	if err := do(); err != 0 {
		f.clear()
		return once.Reply{Err: uint32(err)}
	}
	return f.finish(in)
}

func (f *FS) clear() {
	f.h.Begin()
	f.supers.Mut(f.super).Intent.Op = opNone
	f.h.Commit()
}

// finish records what follows from an effect that took place.
func (f *FS) finish(in *intent) once.Reply {
	var rep once.Reply
	f.h.Begin()
	err := f.consequences(in, &rep)
	if err == 0 {
		err = f.log.Done(in.Req, &rep)
	}
	if err != 0 {
		// The effect stands, its record could not be made.
		f.h.Abort()
		f.clear()
		return once.Reply{Err: uint32(err)}
	}
	f.supers.Mut(f.super).Intent.Op = opNone
	f.h.Commit()
	return rep
}

func (f *FS) consequences(in *intent, rep *once.Reply) abi.Errno {
	switch in.Op {
	case opMkDir, opMkNod, opSymlink, opCreate, opLink:
		fd, st, err := f.peek(in.Dir, in.name())
		if err != 0 {
			return err
		}
		if in.Made != 0 && (in.UID != st.Uid || in.GID != st.Gid) {
			// Only a privileged server may give files away; else they show
			// their real owner.
			if unix.Fchownat(fd, "", int(in.UID), int(in.GID), unix.AT_EMPTY_PATH) == nil {
				if st.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 {
					unix.Fchmodat(fd, "", uint32(st.Mode)&0o7777, unix.AT_EMPTY_PATH)
				}
				if st, err = statFD(fd); err != 0 {
					unix.Close(fd)
					return err
				}
			}
		}
		r, err := f.learn(in.Dir, in.name(), fd, &st)
		if err != 0 {
			return err
		}
		n := f.nodes.Mut(r)
		n.Lookups++
		if in.Op == opCreate {
			n.Opens++
			rep.Made = in.Made
		}
		rep.Entry = f.entry(r, &st)
	case opUnlink, opRmDir:
		r := f.nameless(in.Dir, in.name(), in.Dev, in.Ino)
		if n, _, err := f.find(in.Given); in.Openings != 0 && err == 0 {
			f.closed(n, in.Openings)
		}
		f.closed(r, 0)
	case opRename:
		if in.Flags&fs.RenameExchange != 0 {
			if r := f.known(in.ToDev, in.ToIno); r != 0 {
				if err := f.setName(r, in.Dir, in.name()); err != 0 {
					return err
				}
			}
		} else if in.ToIno != 0 && (in.ToDev != in.Dev || in.ToIno != in.Ino) {
			f.closed(f.nameless(in.To, in.toName(), in.ToDev, in.ToIno), 0)
		}
		if r := f.known(in.Dev, in.Ino); r != 0 {
			return f.setName(r, in.To, in.toName())
		}
	}
	return 0
}

// known finds the node of an identity that was just looked at, 0 if no client
// knows it.
func (f *FS) known(dev, ino uint64) ref {
	r := f.byID[identity{dev, ino}]
	if n := f.nodes.Get(r); n == nil || n.Dev != dev || n.Ino != ino {
		return 0
	}
	return r
}

// nameless marks the node that lost this name, if it was known by it, and answers it; 0 if
// there is none.
func (f *FS) nameless(dir ref, name string, dev, ino uint64) ref {
	r := f.known(dev, ino)
	if r == 0 || r == rootRef {
		return 0
	}
	n := f.nodes.Get(r)
	if n.Parent != dir || f.name(n) != name {
		return 0
	}
	f.nodes.Mut(r).Flags |= nodeNameless
	return r
}

// recover looks whether the effect of an intent left over by the previous
// incarnation took place. If so its answer is recorded, else the repetition of
// the request will bring it about. Some intents stay for the repetition: an append
// writes to the same place, and of an attribute it knows that it may have been
// itself who made or removed it.
func (f *FS) recover() {
	in := f.supers.Get(f.super).Intent
	if in.Op == opNone || in.Op == opAppend || in.Op == opXattr {
		return
	}
	if f.tookPlace(&in) {
		f.finish(&in)
	} else {
		f.clear()
	}
}

func (f *FS) leadsTo(dir ref, name string) (dev, ino uint64) {
	fd, st, err := f.peek(dir, name)
	if err != 0 {
		return 0, 0
	}
	unix.Close(fd)
	return st.dev(), st.Ino
}

func (f *FS) tookPlace(in *intent) bool {
	if f.nodes.Get(in.Dir) == nil {
		return false
	}
	dev, ino := f.leadsTo(in.Dir, in.name())
	switch in.Op {
	case opMkDir, opMkNod, opSymlink, opCreate:
		// The name led nowhere when the intent was made.
		return ino != 0
	case opLink:
		return ino != 0 && dev == in.ToDev && ino == in.ToIno
	case opUnlink, opRmDir:
		return dev != in.Dev || ino != in.Ino
	case opRename:
		if f.nodes.Get(in.To) == nil {
			return false
		}
		todev, toino := f.leadsTo(in.To, in.toName())
		if in.Flags&fs.RenameExchange != 0 {
			return todev == in.Dev && toino == in.Ino && dev == in.ToDev && ino == in.ToIno
		}
		return todev == in.Dev && toino == in.Ino && (dev != in.Dev || ino != in.Ino)
	}
	return false
}

// change is the frame of an operation that makes, moves or removes names.
func (f *FS) change(r fs.Req, op func() once.Reply) once.Reply {
	f.mu.Lock()
	defer f.mu.Unlock()
	if rep, ok := f.log.Seen(r); ok {
		return rep
	}
	return op()
}

func failed(err abi.Errno) once.Reply { return once.Reply{Err: uint32(err)} }

// place checks a directory and a name in it that is to be changed.
func (f *FS) place(id fs.NodeID, name string) (ref, abi.Errno) {
	r, n, err := f.dir(id)
	if err != 0 {
		return 0, err
	}
	if err := tree.CheckName(name); err != 0 {
		return 0, err
	}
	if n.Flags&nodeBarred != 0 {
		return 0, abi.EACCES
	}
	return r, 0
}

// own answers a path descriptor that stays open whatever the cache does; the
// caller closes it.
func (f *FS) own(r ref) (int, abi.Errno) {
	fd, err := f.path(r)
	if err != 0 {
		return -1, err
	}
	d, e := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	return d, object.Errno(e)
}

// make is the frame of the operations that make a name. A read-only mount says
// EEXIST for names that exist, as Linux does.
func (f *FS) make(in intent, dirID fs.NodeID, name string, do func(dirfd int) abi.Errno) once.Reply {
	return f.change(in.Req, func() once.Reply {
		dir, err := f.place(dirID, name)
		if err != 0 {
			return failed(err)
		}
		if name == "." || name == ".." {
			return failed(abi.EEXIST)
		}
		if _, ino := f.leadsTo(dir, name); ino != 0 {
			return failed(abi.EEXIST)
		}
		if f.cfg.ReadOnly {
			return failed(abi.EROFS)
		}
		in.Dir = dir
		in.setName(name)
		fd, err := f.own(dir)
		if err != 0 {
			return failed(err)
		}
		defer unix.Close(fd)
		return f.effect(&in, func() abi.Errno { return do(fd) })
	})
}

// MkDir implements fs.Server.
func (f *FS) MkDir(r fs.Req, dir fs.NodeID, name string, mode uint32, c fs.Cred) (fs.Entry, abi.Errno) {
	rep := f.make(intent{Op: opMkDir, Req: r, Made: 1, UID: c.UID, GID: c.GID}, dir, name, func(fd int) abi.Errno {
		return object.Errno(unix.Mkdirat(fd, name, mode&0o7777))
	})
	return rep.Entry, abi.Errno(rep.Err)
}

// MkNod implements fs.Server. Device nodes are EPERM.
func (f *FS) MkNod(r fs.Req, dir fs.NodeID, name string, mode uint32, rdev uint64, c fs.Cred) (fs.Entry, abi.Errno) {
	switch mode & fs.TypeMask {
	case 0:
		mode |= fs.TypeReg
	case fs.TypeReg, fs.TypeFifo, fs.TypeSock:
	case fs.TypeChr, fs.TypeBlk, fs.TypeDir:
		return fs.Entry{}, abi.EPERM
	default:
		return fs.Entry{}, abi.EINVAL
	}
	rep := f.make(intent{Op: opMkNod, Req: r, Made: 1, UID: c.UID, GID: c.GID}, dir, name, func(fd int) abi.Errno {
		return object.Errno(unix.Mknodat(fd, name, mode&(fs.TypeMask|0o7777), 0))
	})
	return rep.Entry, abi.Errno(rep.Err)
}

// Symlink implements fs.Server.
func (f *FS) Symlink(r fs.Req, dir fs.NodeID, name, target string, c fs.Cred) (fs.Entry, abi.Errno) {
	rep := f.make(intent{Op: opSymlink, Req: r, Made: 1, UID: c.UID, GID: c.GID}, dir, name, func(fd int) abi.Errno {
		return object.Errno(unix.Symlinkat(target, fd, name))
	})
	return rep.Entry, abi.Errno(rep.Err)
}

// Link implements fs.Server.
func (f *FS) Link(r fs.Req, id, dir fs.NodeID, name string) (fs.Entry, abi.Errno) {
	f.mu.Lock()
	n, rec, err := f.find(id)
	if err == 0 && rec.Type == fs.TypeDir {
		err = abi.EPERM
	}
	in := intent{Op: opLink, Req: r, To: n}
	if err == 0 {
		in.ToDev, in.ToIno = rec.Dev, rec.Ino
	}
	f.mu.Unlock()
	rep := f.make(in, dir, name, func(fd int) abi.Errno {
		if err != 0 {
			return err
		}
		src, err := f.path(n)
		if err != 0 {
			return err
		}
		// Giving a name to a descriptor needs a privilege, or the detour.
		e := unix.Linkat(src, "", fd, name, unix.AT_EMPTY_PATH)
		if e != nil && f.proc {
			e = unix.Linkat(unix.AT_FDCWD, procPath(src), fd, name, unix.AT_SYMLINK_FOLLOW)
		} else if rec := f.nodes.Get(n); e != nil && rec.Flags&nodeNameless == 0 {
			up, err := f.path(rec.Parent)
			if err != 0 {
				return err
			}
			e = unix.Linkat(up, f.name(rec), fd, name, 0)
		}
		return object.Errno(e)
	})
	return rep.Entry, abi.Errno(rep.Err)
}

// Unlink implements fs.Server.
func (f *FS) Unlink(r fs.Req, dir fs.NodeID, name string) abi.Errno {
	return f.unlink(intent{Op: opUnlink, Req: r}, dir, name, 0)
}

// RmDir implements fs.Server.
func (f *FS) RmDir(r fs.Req, dir fs.NodeID, name string) abi.Errno {
	switch name {
	case ".":
		return abi.EINVAL
	case "..":
		return abi.ENOTEMPTY
	}
	return f.unlink(intent{Op: opRmDir, Req: r}, dir, name, unix.AT_REMOVEDIR)
}

// Discard implements fs.Server.
func (f *FS) Discard(r fs.Req, dir fs.NodeID, name string, node fs.NodeID, opens uint32) abi.Errno {
	return f.unlink(intent{Op: opUnlink, Req: r, Given: node, Openings: opens}, dir, name, 0)
}

func (f *FS) unlink(in intent, dirID fs.NodeID, name string, flags int) abi.Errno {
	rep := f.change(in.Req, func() once.Reply {
		dir, err := f.place(dirID, name)
		if err != 0 {
			return failed(err)
		}
		if name == "." || name == ".." {
			return failed(abi.EISDIR)
		}
		in.Dir = dir
		in.setName(name)
		p, st, err := f.peek(dir, name)
		if err != 0 {
			return failed(err)
		}
		defer unix.Close(p)
		if f.cfg.ReadOnly {
			return failed(abi.EROFS)
		}
		if flags == 0 && st.Mode&fs.TypeMask == fs.TypeDir {
			return failed(abi.EISDIR)
		}
		in.Dev, in.Ino = st.dev(), st.Ino
		if err := f.save(in.Dev, in.Ino, &in); err != 0 {
			return failed(err)
		}
		fd, err := f.own(dir)
		if err != 0 {
			return failed(err)
		}
		defer unix.Close(fd)
		return f.effect(&in, func() abi.Errno { return object.Errno(unix.Unlinkat(fd, name, flags)) })
	})
	return abi.Errno(rep.Err)
}

// save makes an open file that is about to lose a name outlive this server, unless it is
// open no more then: a descriptor of it goes to the nucleus.
func (f *FS) save(dev, ino uint64, in *intent) abi.Errno {
	r := f.known(dev, ino)
	if r == 0 {
		return 0
	}
	n := f.nodes.Get(r)
	if n.Opens == 0 || n.Type != fs.TypeReg || f.id(r) == in.Given && n.Opens <= in.Openings {
		return 0
	}
	fd, err := f.file(r, true)
	if err != 0 {
		if fd, err = f.file(r, false); err != 0 {
			return 0 // it cannot be read either: nothing is lost with it
		}
	}
	if f.objs == nil {
		return 0
	}
	o, err := f.objs.Import(fd, orphanLabel(f.id(r)), true)
	if err != 0 {
		return err
	}
	o.Close()
	return 0
}

// Rename implements fs.Server.
func (f *FS) Rename(r fs.Req, fromID fs.NodeID, oldName string, toID fs.NodeID, newName string, flags uint32) abi.Errno {
	if flags&^(fs.RenameNoReplace|fs.RenameExchange) != 0 || flags == fs.RenameNoReplace|fs.RenameExchange {
		return abi.EINVAL
	}
	rep := f.change(r, func() once.Reply {
		from, err := f.place(fromID, oldName)
		if err != 0 {
			return failed(err)
		}
		to, err := f.place(toID, newName)
		if err != 0 {
			return failed(err)
		}
		for _, n := range [...]string{oldName, newName} {
			if n == "." || n == ".." {
				return failed(abi.EBUSY)
			}
		}
		in := intent{Op: opRename, Req: r, Flags: flags, Dir: from, To: to}
		in.setName(oldName)
		in.setTo(newName)
		p, st, err := f.peek(from, oldName)
		if err != 0 {
			return failed(err)
		}
		unix.Close(p)
		if f.cfg.ReadOnly {
			return failed(abi.EROFS)
		}
		in.Dev, in.Ino = st.dev(), st.Ino
		in.ToDev, in.ToIno = f.leadsTo(to, newName)
		if in.ToIno == in.Ino && in.ToDev == in.Dev && flags&fs.RenameNoReplace == 0 {
			return once.Reply{} // two names of one file: nothing happens
		}
		if in.ToIno != 0 && flags == 0 {
			if err := f.save(in.ToDev, in.ToIno, &in); err != 0 {
				return failed(err)
			}
		}
		fromFD, err := f.own(from)
		if err != 0 {
			return failed(err)
		}
		defer unix.Close(fromFD)
		toFD, err := f.own(to)
		if err != 0 {
			return failed(err)
		}
		defer unix.Close(toFD)
		return f.effect(&in, func() abi.Errno {
			return object.Errno(unix.Renameat2(fromFD, oldName, toFD, newName, uint(flags)))
		})
	})
	return abi.Errno(rep.Err)
}

// Create implements fs.Server.
func (f *FS) Create(r fs.Req, dirID fs.NodeID, name string, mode uint32, excl bool, c fs.Cred) (fs.Entry, bool, abi.Errno) {
	rep := f.change(r, func() once.Reply {
		dir, err := f.place(dirID, name)
		if err != 0 {
			return failed(err)
		}
		p, st, err := -1, hostStat{}, abi.Errno(0)
		if name == "." || name == ".." {
			st.Mode = fs.TypeDir
		} else if p, st, err = f.peek(dir, name); err != 0 && err != abi.ENOENT {
			return failed(err)
		}
		if err == abi.ENOENT {
			if f.cfg.ReadOnly {
				return failed(abi.EROFS)
			}
			in := intent{Op: opCreate, Req: r, Dir: dir, Made: 1, UID: c.UID, GID: c.GID}
			in.setName(name)
			fd, err := f.own(dir)
			if err != 0 {
				return failed(err)
			}
			defer unix.Close(fd)
			return f.effect(&in, func() abi.Errno {
				d, e := unix.Openat(fd, name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode&0o7777)
				if e == nil {
					unix.Close(d)
				}
				return object.Errno(e)
			})
		}
		switch {
		case excl:
			err = abi.EEXIST
		case st.Mode&fs.TypeMask == fs.TypeDir:
			err = abi.EISDIR
		case st.Mode&fs.TypeMask == fs.TypeLink:
			err = abi.ELOOP
		}
		if err != 0 {
			if p >= 0 {
				unix.Close(p)
			}
			return failed(err)
		}
		f.h.Begin()
		n, err := f.learn(dir, name, p, &st)
		if err != 0 {
			f.h.Abort()
			return failed(err)
		}
		f.nodes.Mut(n).Lookups++
		f.h.Commit()
		return f.open(r, n, st.Mode&fs.TypeMask == fs.TypeReg && !f.cfg.ReadOnly, false)
	})
	return rep.Entry, rep.Made != 0, abi.Errno(rep.Err)
}

// CreateTemp implements fs.Server.
func (f *FS) CreateTemp(r fs.Req, dirID fs.NodeID, mode uint32, c fs.Cred) (fs.Entry, abi.Errno) {
	rep := f.change(r, func() once.Reply {
		dir, _, err := f.dir(dirID)
		if err != 0 {
			return failed(err)
		}
		if f.cfg.ReadOnly {
			return failed(abi.EROFS)
		}
		dfd, err := f.path(dir)
		if err != 0 {
			return failed(err)
		}
		// Nothing on the host shows that it happened, so there is nothing to
		// do twice: a crash frees the first one.
		fd, e := unix.Openat(dfd, ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, mode&0o7777)
		if e != nil {
			return failed(object.Errno(e))
		}
		unix.Fchown(fd, int(c.UID), int(c.GID)) // as in consequences
		st, err := statFD(fd)
		if err != 0 {
			unix.Close(fd)
			return failed(err)
		}
		f.h.Begin()
		n, err := f.learn(dir, "", fd, &st)
		if err != 0 {
			f.h.Abort()
			return failed(err)
		}
		rec := f.nodes.Mut(n)
		rec.Flags |= nodeNameless
		rec.Opens, rec.Lookups = 1, 1
		// learn kept it as a path descriptor; it can do more.
		if dup, e := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3); e == nil {
			f.keep(fdKey{n, fdWrite}, dup)
		}
		if f.objs != nil {
			o, err := f.objs.Import(fd, orphanLabel(f.id(n)), true)
			if err != 0 {
				f.h.Abort()
				return failed(err)
			}
			o.Close()
		}
		rep := once.Reply{Entry: f.entry(n, &st)}
		if err := f.log.Done(r, &rep); err != 0 {
			f.h.Abort()
			return failed(err)
		}
		f.h.Commit()
		return rep
	})
	return rep.Entry, abi.Errno(rep.Err)
}

// Open implements fs.Server.
func (f *FS) Open(r fs.Req, id fs.NodeID, write, trunc bool) (fs.Entry, abi.Errno) {
	rep := f.change(r, func() once.Reply {
		n, _, err := f.find(id)
		if err != 0 {
			return failed(err)
		}
		return f.open(r, n, write, trunc)
	})
	return rep.Entry, abi.Errno(rep.Err)
}

// OpenRead implements fs.Server.
func (f *FS) OpenRead(r fs.Req, id fs.NodeID, most int) (fs.Entry, bool, []byte, abi.Errno) {
	e, err := f.Open(r, id, false, false)
	if err != 0 || e.TTL == 0 || e.Attr.Size == 0 || e.Attr.Size > uint64(max(min(most, fs.MaxFirst), 0)) || e.Attr.Mode&fs.TypeMask != fs.TypeReg {
		return e, false, nil, err
	}
	buf := make([]byte, e.Attr.Size+1)
	k, err := f.Read(r, id, 0, buf)
	if err != 0 || k == len(buf) {
		return e, false, nil, 0
	}
	return e, true, buf[:k], 0
}

func (f *FS) open(r fs.Req, n ref, write, trunc bool) once.Reply {
	switch f.nodes.Get(n).Type {
	case fs.TypeLink:
		return failed(abi.ELOOP)
	case fs.TypeChr, fs.TypeBlk:
		return failed(abi.EACCES) // as on a mount with nodev
	case fs.TypeDir:
		if write || trunc {
			return failed(abi.EISDIR)
		}
	case fs.TypeReg:
		if f.cfg.ReadOnly && (write || trunc) {
			return failed(abi.EROFS)
		}
		fd, err := f.file(n, write || trunc)
		if err != 0 {
			return failed(err)
		}
		if trunc {
			if e := unix.Ftruncate(fd, 0); e != nil {
				return failed(object.Errno(e))
			}
		}
	}
	e, err := f.nodeEntry(n)
	if err != 0 {
		return failed(err)
	}
	rep := once.Reply{Entry: e}
	f.h.Begin()
	f.nodes.Mut(n).Opens++
	if err := f.log.Done(r, &rep); err != 0 {
		f.h.Abort()
		return failed(err)
	}
	f.h.Commit()
	return rep
}

// Release implements fs.Server.
func (f *FS) Release(r fs.Req, id fs.NodeID) {
	f.change(r, func() once.Reply {
		n, rec, err := f.find(id)
		if err != 0 || rec.Opens == 0 {
			return failed(err)
		}
		f.h.Begin()
		f.closed(n, 1)
		if f.log.Done(r, &once.Reply{}) != 0 {
			f.h.Abort()
			return once.Reply{}
		}
		f.h.Commit()
		return once.Reply{}
	})
}

// closed takes openings off a node's count, if there is a node, and forgets one that no client
// knows, and a file that is over: clients may know that too, but what it takes on the host is
// given back. In a transaction.
func (f *FS) closed(n ref, opens uint32) {
	if f.nodes.Get(n) == nil {
		return
	}
	rec := f.nodes.Mut(n)
	rec.Opens -= min(rec.Opens, opens)
	if rec.Opens == 0 && (rec.Lookups == 0 || f.over(n)) && rec.Type != fs.TypeDir && n != rootRef {
		f.drop(n)
	}
}

// over says whether a file is known to have no name left on the host.
func (f *FS) over(r ref) bool {
	n := f.nodes.Get(r)
	if n.Type != fs.TypeReg || n.Flags&nodeNameless == 0 {
		return false
	}
	for kind := range uint8(3) {
		if e := f.fds[fdKey{r, kind}]; e != nil {
			st, err := statFD(e.Value.(*held).fd)
			return err == 0 && st.Nlink == 0
		}
	}
	return false
}

// Write implements fs.Server. An append becomes a write at an offset that is
// committed first, so that its repetition lands in the same place.
func (f *FS) Write(r fs.Req, id fs.NodeID, off uint64, data []byte) (int, uint64, uint64, abi.Errno) {
	rep := f.change(r, func() once.Reply {
		fd, err := f.regular(id, true)
		if err != 0 {
			return failed(err)
		}
		at := off
		if off == fs.AppendOff {
			if in := &f.supers.Get(f.super).Intent; in.Op == opAppend && in.Req == r && in.Req != (fs.Req{}) {
				at = in.At
			} else {
				st, err := statFD(fd)
				if err != 0 {
					return failed(err)
				}
				at = st.Size
				in := intent{Op: opAppend, Req: r, At: at}
				f.h.Begin()
				f.supers.Mut(f.super).Intent = in
				f.h.Commit()
			}
		}
		if int64(at) < 0 {
			return failed(abi.EFBIG)
		}
		total := 0
		for total < len(data) {
			k, e := unix.Pwrite(fd, data[total:], int64(at)+int64(total))
			if e == unix.EINTR {
				continue
			}
			if e != nil {
				if total == 0 {
					return failed(object.Errno(e))
				}
				break
			}
			total += k
		}
		st, err := statFD(fd)
		if err != 0 {
			return failed(err)
		}
		rep := once.Reply{N: uint64(total), At: at, Size: st.Size}
		f.h.Begin()
		if f.supers.Get(f.super).Intent.Op != opNone {
			f.supers.Mut(f.super).Intent.Op = opNone
		}
		if err := f.log.Done(r, &rep); err != 0 {
			f.h.Abort()
			return failed(err)
		}
		f.h.Commit()
		return rep
	})
	return int(rep.N), rep.At, rep.Size, abi.Errno(rep.Err)
}

// SetAttr implements fs.Server. Everything in it can be done twice.
func (f *FS) SetAttr(r fs.Req, id fs.NodeID, a *fs.SetAttrIn) (fs.Entry, abi.Errno) {
	rep := f.change(r, func() once.Reply {
		n, rec, err := f.find(id)
		if err != 0 {
			return failed(err)
		}
		if a.Valid&fs.SetSize != 0 && rec.Type == fs.TypeDir {
			return failed(abi.EISDIR)
		}
		if a.Valid&fs.SetSealed != 0 {
			return failed(abi.EINVAL)
		}
		if f.cfg.ReadOnly {
			return failed(abi.EROFS)
		}
		if err := f.setAttr(n, rec, a); err != 0 {
			return failed(err)
		}
		e, err := f.nodeEntry(n)
		if err != 0 {
			return failed(err)
		}
		rep := once.Reply{Entry: e}
		if err := f.done(r, &rep); err != 0 {
			return failed(err)
		}
		return rep
	})
	return rep.Entry, abi.Errno(rep.Err)
}

func (f *FS) setAttr(n ref, rec *node, a *fs.SetAttrIn) abi.Errno {
	if a.Valid&(fs.SetUID|fs.SetGID) != 0 {
		uid, gid := -1, -1
		if a.Valid&fs.SetUID != 0 {
			uid = int(a.UID)
		}
		if a.Valid&fs.SetGID != 0 {
			gid = int(a.GID)
		}
		fd, err := f.path(n)
		if err != 0 {
			return err
		}
		if e := unix.Fchownat(fd, "", uid, gid, unix.AT_EMPTY_PATH); e != nil {
			return object.Errno(e)
		}
	}
	if a.Valid&fs.SetMode != 0 {
		fd, err := f.path(n)
		if err != 0 {
			return err
		}
		e := unix.Fchmodat(fd, "", a.Mode&0o7777, unix.AT_EMPTY_PATH)
		if e != nil && rec.Type == fs.TypeLink {
			return abi.EOPNOTSUPP
		}
		if e == unix.EOPNOTSUPP || e == unix.EINVAL || e == unix.ENOSYS { // before Linux 6.6
			if f.proc {
				e = unix.Chmod(procPath(fd), a.Mode&0o7777)
			} else if io, err := f.file(n, false); err == 0 {
				e = unix.Fchmod(io, a.Mode&0o7777)
			}
		}
		if e != nil {
			return object.Errno(e)
		}
	}
	if a.Valid&fs.SetSize != 0 {
		if a.Size > tree.MaxFile {
			return abi.EFBIG
		}
		fd, err := f.file(n, true)
		if err != 0 {
			return err
		}
		if e := unix.Ftruncate(fd, int64(a.Size)); e != nil {
			return object.Errno(e)
		}
	}
	if a.Valid&(fs.SetAtime|fs.SetMtime|fs.SetAtimeNow|fs.SetMtimeNow) != 0 {
		ts := [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_OMIT}}
		for i, set := range [2]struct {
			val, now uint32
			t        fs.Time
		}{{fs.SetAtime, fs.SetAtimeNow, a.Atime}, {fs.SetMtime, fs.SetMtimeNow, a.Mtime}} {
			if a.Valid&set.val != 0 {
				if set.t.Nsec >= 1e9 {
					return abi.EINVAL
				}
				ts[i] = unix.Timespec{Sec: set.t.Sec, Nsec: int64(set.t.Nsec)}
			}
			if a.Valid&set.now != 0 {
				ts[i] = unix.Timespec{Nsec: unix.UTIME_NOW}
			}
		}
		fd, err := f.path(n)
		if err != 0 {
			return err
		}
		if e := unix.UtimesNanoAt(fd, "", ts[:], unix.AT_EMPTY_PATH); e != nil {
			return object.Errno(e)
		}
	}
	return 0
}

// Fallocate implements fs.Server.
func (f *FS) Fallocate(r fs.Req, id fs.NodeID, mode uint32, off, length uint64) (fs.Entry, abi.Errno) {
	rep := f.change(r, func() once.Reply {
		switch mode {
		case 0, unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE,
			unix.FALLOC_FL_ZERO_RANGE, unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE:
		default:
			return failed(abi.EOPNOTSUPP)
		}
		fd, err := f.regular(id, true)
		if err != 0 {
			return failed(err)
		}
		if e := unix.Fallocate(fd, mode, int64(off), int64(length)); e != nil {
			return failed(object.Errno(e))
		}
		n, _, _ := f.find(id)
		e, err := f.nodeEntry(n)
		if err != 0 {
			return failed(err)
		}
		rep := once.Reply{Entry: e}
		if err := f.done(r, &rep); err != 0 {
			return failed(err)
		}
		return rep
	})
	return rep.Entry, abi.Errno(rep.Err)
}
