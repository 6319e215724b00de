package core

import (
	"errors"
	"io"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/store"
)

func isEOF(err error) bool { return errors.Is(err, io.EOF) }

// vnodeOps are open files and directories of file servers, and directories of
// core file systems.
type vnodeOps struct{ BaseOps }

// posLock is the derived part of the lock on a description's offset: who waits.
type posLock struct {
	q WaitQueue
	n int
}

// lockPos takes the lock on the offset of f, which lasts over requests to a
// file server: two threads that write to one description follow one another.
// The owner stands in the record, so that after a restart the call that had it
// goes first. ErrRestart.
func (c *Call) lockPos(f store.Ref[File]) abi.Errno {
	if c.T == 0 {
		return 0
	}
	k := c.K
	me := uint64(c.T)<<32 | uint64(uint32(c.Thread().CurSeq)) | 1<<63
	for {
		o := k.Files.Get(f).Aux2
		if o == me {
			return 0
		}
		if o == 0 || !k.inCall(o) {
			k.Files.Mut(f).Aux2 = me
			return 0
		}
		pl := k.vfs.files[f]
		if pl == nil {
			pl = &posLock{}
			k.vfs.files[f] = pl
		}
		pl.n++
		e := c.Sleep(NoDeadline, &pl.q)
		if pl.n--; pl.n == 0 {
			delete(k.vfs.files, f)
		}
		if e != 0 {
			return e
		}
	}
}

// inCall says whether the call that a lock's owner word names still runs.
func (k *Kernel) inCall(o uint64) bool {
	t := store.Ref[Thread](uint32(o >> 32 &^ (1 << 31)))
	th := k.Threads.Get(t)
	return th != nil && uint32(th.CurSeq) == uint32(o) && th.DoneSeq != th.CurSeq
}

func (c *Call) unlockPos(f store.Ref[File]) {
	if c.T == 0 {
		return
	}
	k := c.K
	if file := k.Files.Get(f); file != nil {
		k.Files.Mut(f).Aux2 = 0
	}
	if pl := k.vfs.files[f]; pl != nil {
		pl.q.Wake(^uint32(0))
	}
}

// Read implements FileOps.
func (o *vnodeOps) Read(c *Call, f store.Ref[File], buf []byte, off int64) (int, abi.Errno) {
	k := o.K
	file := k.Files.Get(f)
	n := k.nodeOf(file.Vnode)
	if n.isDir() {
		return 0, abi.EISDIR
	}
	if off >= 0 {
		return c.readNode(n, buf, uint64(off))
	}
	locked := false
	if n.data == nil || n.changing != 0 || uint64(file.Off)+uint64(len(buf)) > n.attr.Size {
		// The server may be asked.
		if e := c.lockPos(f); e != 0 {
			return 0, e
		}
		locked = true
		file = k.Files.Get(f)
	}
	m, e := c.readNode(n, buf, uint64(file.Off))
	if m > 0 {
		k.Files.Mut(f).Off += int64(m)
		if k.vfs.notify != nil {
			k.nodeEvent(n, evAccess)
		}
	}
	if locked {
		c.unlockPos(f)
	}
	return m, e
}

// Seals of a memfd (include/uapi/linux/fcntl.h).
const (
	SealSeal        = 0x01
	SealShrink      = 0x02
	SealGrow        = 0x04
	SealWrite       = 0x08
	SealFutureWrite = 0x10
)

// sealsOf answers the seals of the file that f has open: they belong to the
// inode, so that all descriptions of it show the same.
func (k *Kernel) sealsOf(v store.Ref[Vnode]) uint32 {
	if rec := k.Vnodes.Get(v); rec != nil {
		return rec.Seals
	}
	return 0
}

// fileLimit answers how many of n bytes may be written at off under
// RLIMIT_FSIZE; EFBIG, with SIGXFSZ, when none.
func (c *Call) fileLimit(off, n uint64) (uint64, abi.Errno) {
	if c.T == 0 {
		return n, 0
	}
	const maxFile = 1<<63 - 1
	lim := c.Proc().Rlimits[RlimitFsize].Cur
	if off >= maxFile {
		return 0, abi.EFBIG
	}
	if lim > maxFile {
		return min(n, maxFile-off), 0
	}
	if off >= lim {
		c.K.SendThreadSignal(c.T, &SigInfo{Sig: 25})
		return 0, abi.EFBIG
	}
	return min(n, lim-off), 0
}

// dropPrivs takes the set-id bits off a file that is written to by somebody
// without CAP_FSETID. The request has no number: repeating it is harmless.
func (c *Call) dropPrivs(n *node) abi.Errno {
	mode := n.attr.Mode
	kill := mode & 0o4000
	if mode&0o2010 == 0o2010 {
		kill |= 0o2000
	}
	if kill == 0 || !n.isRegular() || c.cred().has(capFsetid) {
		return 0
	}
	in := fs.SetAttrIn{Valid: fs.SetMode, Mode: mode &^ kill & 0o7777}
	n.stale()
	gen := n.gen
	var e fs.Entry
	var err abi.Errno
	c.ask(func() { e, err = c.server(n.m).SetAttr(fs.Req{}, n.id, &in) })
	if err == 0 {
		c.K.learnChange(n, gen, &e)
	}
	return err
}

// Write implements FileOps.
func (o *vnodeOps) Write(c *Call, f store.Ref[File], data []byte, off int64) (int, abi.Errno) {
	k := o.K
	file := k.Files.Get(f)
	n := k.nodeOf(file.Vnode)
	if n.m.srv == nil {
		return 0, abi.EINVAL
	}
	if len(data) == 0 {
		return 0, 0
	}
	own := off < 0
	if own {
		if e := c.lockPos(f); e != 0 {
			return 0, e
		}
		defer c.unlockPos(f)
		file = k.Files.Get(f)
	}
	flags := file.Flags
	at := uint64(off)
	if own {
		at = uint64(file.Off)
	}
	seals := k.sealsOf(file.Vnode)
	checked := at
	if flags&OpenAppend != 0 {
		at = fs.AppendOff
		if seals != 0 || c.T != 0 && c.Proc().Rlimits[RlimitFsize].Cur != RlimInfinity {
			if e := c.refresh(n, false); e != 0 {
				return 0, e
			}
			checked = n.attr.Size
		} else {
			checked = 0
		}
	}
	m, e := c.fileLimit(checked, uint64(len(data)))
	if e != 0 {
		return 0, e
	}
	data = data[:m]
	if seals != 0 {
		if seals&(SealWrite|SealFutureWrite) != 0 {
			return 0, abi.EPERM
		}
		if seals&SealGrow != 0 {
			if e := c.refresh(n, false); e != 0 {
				return 0, e
			}
			if checked+uint64(len(data)) > n.attr.Size {
				// Page by page: one that would make it longer is not begun.
				end := n.attr.Size &^ 4095
				if checked >= end {
					return 0, abi.EPERM
				}
				data = data[:end-checked]
			}
		}
	}
	if e := c.dropPrivs(n); e != 0 {
		return 0, e
	}
	if at != fs.AppendOff && flags&(OpenSync|OpenDsync) == 0 && c.fill(n, at, data) {
		k.fileRT(f).fills++
		if own {
			k.Files.Mut(f).Off = int64(at) + int64(len(data))
		}
		if k.vfs.notify != nil {
			k.nodeEvent(n, evModify)
		}
		return len(data), 0
	}
	if at != fs.AppendOff && flags&(OpenSync|OpenDsync|OpenDirect) == 0 && c.extend(f, n, at, data) {
		if own {
			k.Files.Mut(f).Off = int64(at) + int64(len(data))
		}
		if k.vfs.notify != nil {
			k.nodeEvent(n, evModify)
		}
		return len(data), 0
	}
	if e := c.trim(n); e != 0 {
		return 0, e
	}
	r := c.req()
	n.stale()
	gen := n.gen
	var did int
	var where, size uint64
	var err abi.Errno
	c.ask(func() {
		did, where, size, err = c.server(n.m).Write(r, n.id, at, data)
		if err == 0 && flags&(OpenSync|OpenDsync) != 0 {
			err = c.server(n.m).Fsync(fs.Req{}, n.id, flags&OpenSync == 0)
		}
	})
	last := n.gen == gen // see learnChange
	n.stale()
	if err == 0 {
		if last {
			n.attr.Size, n.sized = size, true
		}
		if own {
			k.Files.Mut(f).Off = int64(where) + int64(did)
		}
		if k.vfs.notify != nil {
			k.nodeEvent(n, evModify)
		}
	}
	c.stepDone()
	return did, err
}

// FlagsChanged implements FileOps: what is lent was so by the old ones.
func (o *vnodeOps) FlagsChanged(f store.Ref[File], _ uint32) {
	file := o.K.Files.Get(f)
	if ts := o.K.tasks[file.WriteTo]; file.WriteTo != 0 && ts != nil && ts.lent != nil {
		o.K.takeBackLoan(ts, int(file.WriteFD), loanFile)
	}
}

// Stat implements FileOps.
func (o *vnodeOps) Stat(c *Call, f store.Ref[File]) (fs.Attr, abi.Errno) {
	n := o.K.nodeOf(o.K.Files.Get(f).Vnode)
	e := c.refresh(n, false)
	return n.attr, e
}

// Seek implements FileOps.
func (o *vnodeOps) Seek(c *Call, f store.Ref[File], off int64, whence int) (int64, abi.Errno) {
	k := o.K
	if e := c.lockPos(f); e != 0 {
		return 0, e
	}
	defer c.unlockPos(f)
	n := k.nodeOf(k.Files.Get(f).Vnode)
	var base int64
	switch whence {
	case 0:
	case 1:
		base = k.Files.Get(f).Off
	case 2:
		if n.isDir() {
			return 0, abi.EINVAL
		}
		if e := c.refresh(n, false); e != 0 {
			return 0, e
		}
		base = int64(n.attr.Size)
	case 3, 4:
		if n.isDir() || n.m.srv == nil {
			return 0, abi.EINVAL
		}
		if off < 0 {
			return 0, abi.ENXIO
		}
		var at uint64
		e := c.trim(n)
		if e != 0 {
			return 0, e
		}
		c.ask(func() { at, e = c.server(n.m).Seek(fs.Req{}, n.id, uint64(off), uint32(whence)) })
		if e != 0 {
			return 0, e
		}
		k.Files.Mut(f).Off = int64(at)
		return int64(at), 0
	default:
		return 0, abi.EINVAL
	}
	to := base + off
	if to < 0 {
		return 0, abi.EINVAL
	}
	k.Files.Mut(f).Off = to
	return to, 0
}

// Map implements FileOps.
func (o *vnodeOps) Map(c *Call, f store.Ref[File], write bool) (ObjectName, abi.Errno) {
	v := o.K.Files.Get(f).Vnode
	if write && o.K.sealsOf(v)&(SealWrite|SealFutureWrite) != 0 {
		return 0, abi.EPERM
	}
	n := o.K.nodeOf(v)
	if n.isDir() {
		return 0, abi.ENODEV
	}
	if write {
		return c.MapVnode(v, fs.MapToWrite)
	}
	return c.MapVnode(v, fs.MapToShow)
}

// Truncate implements FileOps.
func (o *vnodeOps) Truncate(c *Call, f store.Ref[File], size uint64) abi.Errno {
	n := o.K.nodeOf(o.K.Files.Get(f).Vnode)
	if !n.isRegular() {
		return abi.EINVAL
	}
	return c.truncate(n, size)
}

// truncate sets the size of a regular file whose access was checked.
func (c *Call) truncate(n *node, size uint64) abi.Errno {
	if n.m.srv == nil {
		return abi.EINVAL
	}
	if e := c.refresh(n, false); e != 0 {
		return e
	}
	if !c.again() {
		if size > n.attr.Size {
			if m, e := c.fileLimit(n.attr.Size, size-n.attr.Size); e != 0 {
				return e
			} else if m < size-n.attr.Size {
				c.K.SendThreadSignal(c.T, &SigInfo{Sig: 25})
				return abi.EFBIG
			}
		}
		if n.v != 0 {
			s := c.K.sealsOf(n.v)
			if s&SealGrow != 0 && size > n.attr.Size || s&SealShrink != 0 && size < n.attr.Size {
				return abi.EPERM
			}
		}
	}
	if e := c.dropPrivs(n); e != 0 {
		return e
	}
	in := fs.SetAttrIn{Valid: fs.SetSize, Size: size}
	e := c.setAttr(n, &in)
	if e == 0 {
		c.K.nodeEvent(n, evModify)
	}
	return e
}

// setAttr sends a numbered SetAttr.
func (c *Call) setAttr(n *node, in *fs.SetAttrIn) abi.Errno {
	if n.m.core != nil {
		return n.m.core.SetAttr(c, n.id, in)
	}
	if in.Valid&fs.SetSize != 0 {
		if e := c.trim(n); e != 0 {
			return e
		}
	}
	r := c.req()
	n.stale()
	n.permUntil = 0
	gen := n.gen
	var e fs.Entry
	var err abi.Errno
	if in.Valid&fs.SetSize != 0 {
		c.K.changes(n)
		n.changing++
	}
	c.ask(func() { e, err = c.server(n.m).SetAttr(r, n.id, in) })
	if in.Valid&fs.SetSize != 0 {
		n.changing--
		c.K.changes(n)
	}
	if err == 0 {
		if in.Valid&(fs.SetMtime|fs.SetMtimeNow) != 0 && n.v != 0 {
			c.K.Vnodes.Mut(n.v).Written = fs.Time{}
		}
		c.K.learnChange(n, gen, &e)
	}
	c.stepDone()
	return err
}

// Sync implements FileOps.
func (o *vnodeOps) Sync(c *Call, f store.Ref[File], dataOnly bool) abi.Errno {
	n := o.K.nodeOf(o.K.Files.Get(f).Vnode)
	if n.m.srv == nil {
		return 0
	}
	var e abi.Errno
	c.ask(func() { e = c.server(n.m).Fsync(fs.Req{}, n.id, dataOnly) })
	return e
}

// Allocate implements FileOps.
func (o *vnodeOps) Allocate(c *Call, f store.Ref[File], mode uint32, off, length uint64) abi.Errno {
	k := o.K
	v := k.Files.Get(f).Vnode
	n := k.nodeOf(v)
	if n.isDir() {
		return abi.EISDIR
	}
	if !n.isRegular() || n.m.srv == nil {
		return abi.ENODEV
	}
	if off+length < off || off+length > 1<<63-1 {
		return abi.EFBIG
	}
	if mode&1 == 0 {
		if m, e := c.fileLimit(off, length); e != 0 {
			return e
		} else if m < length {
			c.K.SendThreadSignal(c.T, &SigInfo{Sig: 25})
			return abi.EFBIG
		}
	}
	if s := k.sealsOf(v); s != 0 && !c.again() {
		if e := c.refresh(n, false); e != 0 {
			return e
		}
		if mode&2 != 0 && s&(SealWrite|SealFutureWrite) != 0 || s&SealGrow != 0 && off+length > n.attr.Size {
			return abi.EPERM
		}
	}
	if e := c.dropPrivs(n); e != 0 {
		return e
	}
	if e := c.trim(n); e != 0 {
		return e
	}
	r := c.req()
	n.stale()
	gen := n.gen
	var e fs.Entry
	var err abi.Errno
	c.ask(func() { e, err = c.server(n.m).Fallocate(r, n.id, mode, off, length) })
	if err == 0 {
		k.learnChange(n, gen, &e)
		k.nodeEvent(n, evModify)
	}
	c.stepDone()
	return err
}

// Cookies of a directory's description: 0 is before ".", 1 before "..", and a
// server's cookie x is x+2.

// ReadDir implements FileOps.
func (o *vnodeOps) ReadDir(c *Call, f store.Ref[File], max int) ([]fs.DirEntry, abi.Errno) {
	k := o.K
	file := k.Files.Get(f)
	n := k.nodeOf(file.Vnode)
	if !n.isDir() {
		return nil, abi.ENOTDIR
	}
	off := uint64(file.Off)
	if n.gone {
		return nil, abi.ENOENT
	}
	var out []fs.DirEntry
	if off == 0 {
		if e := c.refresh(n, false); e != 0 {
			return nil, e
		}
		out = append(out, fs.DirEntry{Ino: n.attr.Ino, Next: 1, Type: fs.TypeDir >> 12, Name: "."})
		off = 1
	}
	if off == 1 {
		up := n
		if n == n.m.root && n.m.point != nil {
			up = n.m.point
		}
		if up.parent != nil {
			up = up.parent
		}
		ino := up.attr.Ino
		if ino == 0 {
			ino = 1
		}
		out = append(out, fs.DirEntry{Ino: ino, Next: 2, Type: fs.TypeDir >> 12, Name: ".."})
		off = 2
	}
	var l []fs.DirEntry
	var e abi.Errno
	if n.m.core != nil {
		l, e = n.m.core.ReadDir(c, n.id, off-2, max)
	} else {
		l, e = c.readDir(n, off-2, max)
	}
	if e != 0 {
		if len(out) > 0 {
			return out, 0
		}
		return nil, e
	}
	for i := range l {
		l[i].Next += 2
	}
	if out == nil {
		return l, 0
	}
	return append(out, l...), 0
}

// readDir asks n's server for entries (gives up the lock).
func (c *Call) readDir(n *node, cookie uint64, max int) (l []fs.DirEntry, e abi.Errno) {
	k := c.K
	plus := n.plus()
	if plus == 0 {
		c.ask(func() { l, e = c.server(n.m).ReadDir(fs.Req{}, n.id, cookie, max) })
		if e == 0 {
			n.order.listed(cookie, l)
		}
		return l, e
	}
	k.trim()
	var list []fs.DirPlus
	gen, changed := n.gen, n.m.changed
	c.ask(func() { list, e = c.server(n.m).ReadDirPlus(fs.Req{}, n.id, cookie, min(max, plusMost), plus) })
	if e != 0 {
		return nil, e
	}
	k.learnPlus(n, gen, changed, list)
	l = make([]fs.DirEntry, len(list))
	for i := range list {
		l[i] = list[i].Plain()
	}
	n.order.listed(cookie, l)
	return l, 0
}

// Ioctl implements FileOps: what regular files and directories know.
func (o *vnodeOps) Ioctl(c *Call, f store.Ref[File], req uint32, arg uint64) (uint64, abi.Errno) {
	n := o.K.nodeOf(o.K.Files.Get(f).Vnode)
	switch req {
	case 0x541b: // FIONREAD
		if !n.isRegular() {
			return 0, abi.ENOTTY
		}
		if e := c.refresh(n, false); e != 0 {
			return 0, e
		}
		c.CopyOut32(arg, uint32(int64(n.attr.Size)-o.K.Files.Get(f).Off))
		return 0, 0
	case 2: // FIGETBSZ
		if e := c.refresh(n, false); e != 0 {
			return 0, e
		}
		c.CopyOut32(arg, n.attr.BlkSize)
		return 0, 0
	}
	return 0, abi.ENOTTY
}

// Release implements FileOps.
func (o *vnodeOps) Release(c *Call, f store.Ref[File]) {
	k := o.K
	file := k.Files.Get(f)
	v := file.Vnode
	if v == 0 {
		return
	}
	delete(k.vfs.files, f)
	if file.Access&AccessWrite != 0 {
		rec := k.Vnodes.Get(v)
		if rec.Writes > 0 {
			k.Vnodes.Mut(v).Writes--
		}
		if rec.Writes == 0 && rec.Reserved != 0 {
			k.trimLater(v)
		}
	}
	if k.vfs.notify != nil {
		if n := k.nodeOf(v); n != nil {
			if file.Access&AccessWrite != 0 {
				k.nodeEvent(n, evCloseWrite)
			} else {
				k.nodeEvent(n, evCloseNo)
			}
		}
	}
	k.DropVnode(v)
}

// LinkName implements FileOps.
func (o *vnodeOps) LinkName(f store.Ref[File]) string { return o.K.VnodePath(o.K.Files.Get(f).Vnode) }

// pathOps are O_PATH descriptions: they name a node and nothing more.
type pathOps struct{ BaseOps }

func (o *pathOps) Read(*Call, store.Ref[File], []byte, int64) (int, abi.Errno) { return 0, abi.EBADF }
func (o *pathOps) Write(*Call, store.Ref[File], []byte, int64) (int, abi.Errno) {
	return 0, abi.EBADF
}
func (o *pathOps) Poll(store.Ref[File]) uint32 { return PollNval }
func (o *pathOps) Ioctl(*Call, store.Ref[File], uint32, uint64) (uint64, abi.Errno) {
	return 0, abi.EBADF
}
func (o *pathOps) Seek(*Call, store.Ref[File], int64, int) (int64, abi.Errno) { return 0, abi.EBADF }
func (o *pathOps) Map(*Call, store.Ref[File], bool) (ObjectName, abi.Errno)   { return 0, abi.EBADF }
func (o *pathOps) Truncate(*Call, store.Ref[File], uint64) abi.Errno          { return abi.EBADF }
func (o *pathOps) Sync(*Call, store.Ref[File], bool) abi.Errno                { return abi.EBADF }
func (o *pathOps) Allocate(*Call, store.Ref[File], uint32, uint64, uint64) abi.Errno {
	return abi.EBADF
}
func (o *pathOps) ReadDir(*Call, store.Ref[File], int) ([]fs.DirEntry, abi.Errno) {
	return nil, abi.EBADF
}
func (o *pathOps) Stat(c *Call, f store.Ref[File]) (fs.Attr, abi.Errno) {
	n := o.K.nodeOf(o.K.Files.Get(f).Vnode)
	e := c.refresh(n, false)
	return n.attr, e
}
func (o *pathOps) Release(c *Call, f store.Ref[File]) { o.K.DropVnode(o.K.Files.Get(f).Vnode) }
func (o *pathOps) LinkName(f store.Ref[File]) string {
	return o.K.VnodePath(o.K.Files.Get(f).Vnode)
}
