package core

import (
	"slices"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/store"
)

// FileOps is what a kind of open file can do. One value per kind serves all
// files of it; f names the open file description. Methods run with the lock
// held, inside a transaction; those that get a Call may sleep.
type FileOps interface {
	// Read fills buf from off (-1: at the description's own offset, which
	// moves) and answers how much; 0 is the end. Waiting, EAGAIN for
	// OpenNonblock and partial results are its own affair.
	Read(c *Call, f store.Ref[File], buf []byte, off int64) (int, abi.Errno)
	// Write stores data at off (-1: at the description's offset, or the end
	// with OpenAppend).
	Write(c *Call, f store.Ref[File], data []byte, off int64) (int, abi.Errno)
	// Poll answers which of Poll... bits hold now.
	Poll(f store.Ref[File]) uint32
	// Queue is woken when Poll's answer may have changed; nil: it never does.
	Queue(f store.Ref[File]) *WaitQueue
	// Ioctl: req and arg are Linux's (asm-generic/ioctls.h); another
	// personality translates. ENOTTY for what the kind does not know.
	Ioctl(c *Call, f store.Ref[File], req uint32, arg uint64) (uint64, abi.Errno)
	Stat(c *Call, f store.Ref[File]) (fs.Attr, abi.Errno)
	// Seek: whence as lseek(2), 3 data, 4 hole. ESPIPE.
	Seek(c *Call, f store.Ref[File], off int64, whence int) (int64, abi.Errno)
	// Map answers a memory object with the file's bytes (see fs.Server.Map).
	// The name belongs to the file; ENODEV when it cannot be mapped.
	Map(c *Call, f store.Ref[File], write bool) (ObjectName, abi.Errno)
	// Truncate, Sync, Allocate as ftruncate, fsync, fallocate. EINVAL.
	Truncate(c *Call, f store.Ref[File], size uint64) abi.Errno
	Sync(c *Call, f store.Ref[File], dataOnly bool) abi.Errno
	Allocate(c *Call, f store.Ref[File], mode uint32, off, n uint64) abi.Errno
	// ReadDir answers entries behind the description's offset, about max
	// bytes of names; the caller moves the offset. ENOTDIR.
	ReadDir(c *Call, f store.Ref[File], max int) ([]fs.DirEntry, abi.Errno)
	// FlagsChanged is told of F_SETFL and FIOASYNC.
	FlagsChanged(f store.Ref[File], old uint32)
	// Flush runs when one descriptor of it is closed; Release when
	// the last reference goes. c is nil while a dead process is cleared away:
	// then it must not sleep.
	Flush(c *Call, f store.Ref[File], proc store.Ref[Proc])
	Release(c *Call, f store.Ref[File])
	// LinkName is what /proc/PID/fd/N shows ("pipe:[12]", a path).
	LinkName(f store.Ref[File]) string
}

// BaseOps answers what a file of no special ability would; kinds embed it.
type BaseOps struct{ K *Kernel }

func (BaseOps) Read(*Call, store.Ref[File], []byte, int64) (int, abi.Errno) { return 0, abi.EINVAL }
func (BaseOps) Write(*Call, store.Ref[File], []byte, int64) (int, abi.Errno) {
	return 0, abi.EINVAL
}
func (BaseOps) Poll(store.Ref[File]) uint32      { return PollIn | PollOut | PollRdNorm | PollWrNorm }
func (BaseOps) Queue(store.Ref[File]) *WaitQueue { return nil }
func (BaseOps) Ioctl(*Call, store.Ref[File], uint32, uint64) (uint64, abi.Errno) {
	return 0, abi.ENOTTY
}
func (BaseOps) Seek(*Call, store.Ref[File], int64, int) (int64, abi.Errno) { return 0, abi.ESPIPE }
func (BaseOps) Map(*Call, store.Ref[File], bool) (ObjectName, abi.Errno)   { return 0, abi.ENODEV }
func (BaseOps) Truncate(*Call, store.Ref[File], uint64) abi.Errno          { return abi.EINVAL }
func (BaseOps) Sync(*Call, store.Ref[File], bool) abi.Errno                { return abi.EINVAL }
func (BaseOps) Allocate(*Call, store.Ref[File], uint32, uint64, uint64) abi.Errno {
	return abi.ENODEV
}
func (BaseOps) ReadDir(*Call, store.Ref[File], int) ([]fs.DirEntry, abi.Errno) {
	return nil, abi.ENOTDIR
}
func (BaseOps) FlagsChanged(store.Ref[File], uint32)          {}
func (BaseOps) Flush(*Call, store.Ref[File], store.Ref[Proc]) {}
func (BaseOps) Release(*Call, store.Ref[File])                {}
func (BaseOps) LinkName(store.Ref[File]) string               { return "anon_inode:[unknown]" }

// stillOps are those of a file whose offset is always 0 (noop_llseek).
type stillOps struct{ BaseOps }

func (stillOps) Seek(*Call, store.Ref[File], int64, int) (int64, abi.Errno) { return 0, 0 }

// Stat answers an anonymous inode's attributes (mode 0600, no type).
func (b BaseOps) Stat(*Call, store.Ref[File]) (fs.Attr, abi.Errno) {
	return fs.Attr{Ino: 1, Mode: 0o600, Nlink: 1, BlkSize: 4096}, 0
}

// Poll bits, as in poll(2) on Linux (asm-generic/poll.h).
const (
	PollIn     = 0x001
	PollPri    = 0x002
	PollOut    = 0x004
	PollErr    = 0x008
	PollHup    = 0x010
	PollNval   = 0x020
	PollRdNorm = 0x040
	PollRdBand = 0x080
	PollWrNorm = 0x100
	PollWrBand = 0x200
	PollRdHup  = 0x2000
)

// fileRT is the derived part of an open file description.
type fileRT struct {
	// epolls are the epoll registrations that watch it (epoll.go).
	epolls []*epollWatch
	// notes are those of event queues (kqueue.go).
	notes []*knoteWatch
	// pins counts calls that work with it (vpin.go).
	pins int
	// reads counts those from the file's memory object, or calls with a counter, stats
	// questions for attributes (lend.go).
	reads, stats int
	// fills counts writes over bytes that the file has, since it was last lent to be written to.
	fills int
	// extends counts writes that made it longer.
	extends int
	// shared counts reads by the offset of one that has several holders, since it was lent last.
	shared int
	// sleeps: a read of a stream waits for something to be there, or a write for room. late: it was lent
	// as (an end of) a stream; a call that was under way to the server is sent back to the library.
	sleeps, late bool
	// stream is the stream that is lent of which it is an end, at Lent.Pos (lendpoll.go).
	stream    store.Ref[Stream]
	streamPos uint64
}

func (k *Kernel) fileRT(f store.Ref[File]) *fileRT {
	rt := k.files[f]
	if rt == nil {
		rt = &fileRT{}
		k.files[f] = rt
	}
	return rt
}

// SetOps registers the operations of a kind of file.
func (k *Kernel) SetOps(kind int, o FileOps) { k.ops[kind] = o }

// Ops answers the operations of an open file.
func (k *Kernel) Ops(f store.Ref[File]) FileOps { return k.ops[k.Files.Get(f).Kind] }

// NewFile makes an open file description with no references yet: give it to
// InstallFD, or Hold it. ENFILE.
func (k *Kernel) NewFile(kind int, access, flags uint32) (store.Ref[File], *File, abi.Errno) {
	r, f := k.Files.New()
	if r == 0 {
		return 0, nil, abi.ENFILE
	}
	f.Kind = uint32(kind)
	f.Access = access
	f.Flags = flags
	return r, f, 0
}

// HoldFile adds a reference.
func (k *Kernel) HoldFile(f store.Ref[File]) {
	m := k.Files.Mut(f)
	if m.Refs++; m.LentTo != 0 {
		k.takeBackPos(f)
	} else if m.Kind == FileEpoll {
		k.foundSet(f)
	}
}

// DropFile gives one up; the last releases the description. c may be nil (see
// FileOps.Release).
func (k *Kernel) DropFile(c *Call, f store.Ref[File]) {
	file := k.Files.Mut(f)
	if file.LentTo != 0 {
		k.takeBackPos(f)
	}
	if file.Refs > 1 {
		file.Refs--
		return
	}
	file.Refs = 0
	if rt := k.files[f]; rt != nil && rt.pins > 0 {
		file.Access |= accessClosed
		return // released by the call that works with it
	}
	k.releaseFile(c, f)
}

// releaseFile ends a description without references.
func (k *Kernel) releaseFile(c *Call, f store.Ref[File]) {
	k.epollForget(f)
	k.knotesForget(f)
	k.dropAsync(f)
	k.dropFileLocks(f)
	k.ops[k.Files.Get(f).Kind].Release(c, f)
	delete(k.files, f)
	if cr := k.Files.Get(f).Cred; cr != 0 {
		k.DropCred(cr)
	}
	k.Files.Free(f)
}

// fdTableMin is the size of the smallest table that has entries (Linux's
// NR_OPEN_DEFAULT); the others are powers of two.
const fdTableMin = 64

// NewFDTable makes an empty table with one reference.
func (k *Kernel) NewFDTable() store.Ref[FDTable] {
	r, t := k.FDs.New()
	if r == 0 {
		return 0
	}
	t.Refs = 1
	return r
}

// CopyFDTable makes a copy, as fork does: the descriptions are shared. It is no
// larger than what is open asks for; select(2) shows a table's size. 0: no memory.
func (k *Kernel) CopyFDTable(from store.Ref[FDTable]) store.Ref[FDTable] {
	k.lookClosed(from)
	src := *k.FDs.Get(from)
	r, t := k.FDs.New()
	if r == 0 {
		return 0
	}
	t.Refs = 1
	t.Next = src.Next
	if src.Cap > 0 {
		all := fdEntries(k.Heap.Bytes(src.Block))[:src.Cap]
		n := src.Cap
		for n > fdTableMin && !slices.ContainsFunc(all[n/2:n], func(e FDEntry) bool { return e.File != 0 }) {
			n /= 2
		}
		t.Cap = n
		if t.Block = k.Heap.Alloc(int(n) * fdEntrySize); t.Block.Nil() {
			k.FDs.Free(r)
			return 0
		}
		dst := fdEntries(k.Heap.Bytes(t.Block))[:n]
		copy(dst, all)
		for i := range dst {
			dst[i].Flags &= fdFlags
			switch f := dst[i].File; {
			case f == 0:
			case k.Files.Get(f).Kind == FileKqueue:
				dst[i] = FDEntry{} // a queue belongs to its table
				t.Next = min(t.Next, uint32(i))
			default:
				k.HoldFile(f)
			}
		}
	}
	return r
}

// FDAt answers the open file of descriptor fd and its flags, or EBADF.
func (k *Kernel) FDAt(t store.Ref[FDTable], fd int32) (store.Ref[File], uint32, abi.Errno) {
	tab := k.FDs.Get(t)
	if fd < 0 || uint32(fd) >= tab.Cap {
		return 0, 0, abi.EBADF
	}
	e := fdEntries(k.Heap.Bytes(tab.Block))[fd]
	if e.File == 0 || e.Flags&^fdFlags != 0 && k.isClosed(t, fd) {
		return 0, 0, abi.EBADF
	}
	if k.Files.Get(e.File).Kind == FileEpoll {
		k.foundSet(e.File)
	}
	if file := k.Files.Get(e.File); file.LentTo != 0 {
		k.takeBackPos(e.File)
	} else if file.Epolls != 0 {
		k.touchWatched(e.File)
	}
	return e.File, e.Flags & fdFlags, 0
}

// fdEntry answers the open file of a descriptor, of which nothing is taken back.
func (k *Kernel) fdEntry(t store.Ref[FDTable], fd int32) (store.Ref[File], bool) {
	tab := k.FDs.Get(t)
	if fd < 0 || uint32(fd) >= tab.Cap {
		return 0, false
	}
	f := fdEntries(k.Heap.Bytes(tab.Block))[fd].File
	return f, f != 0
}

// fdSet stores an entry; the table has room for it. Of the same file, whether it may be closed without
// asking stays.
func (k *Kernel) fdSet(t store.Ref[FDTable], fd uint32, e FDEntry) {
	tab := k.FDs.Get(t)
	b := k.Heap.MutBytes(tab.Block, int(fd)*fdEntrySize, fdEntrySize)
	if old := &fdEntries(b)[0]; old.File != e.File {
		k.takeBackEntry(t, fd)
	} else {
		e.Flags |= old.Flags &^ fdFlags
	}
	fdEntries(b)[0] = e
}

// fdGrow makes room for descriptor fd. EMFILE when memory is out.
func (k *Kernel) fdGrow(t store.Ref[FDTable], fd uint32) abi.Errno {
	tab := k.FDs.Get(t)
	if fd < tab.Cap {
		return 0
	}
	n := max(tab.Cap, fdTableMin)
	for n <= fd {
		n *= 2
	}
	old := *tab
	if old.Cap > 0 {
		k.namesChanged() // Missing
	}
	b := k.Heap.Alloc(int(n) * fdEntrySize)
	if b.Cap == 0 {
		return abi.ENOMEM
	}
	dst := fdEntries(k.Heap.Bytes(b))[:n]
	clear(dst)
	if old.Cap > 0 {
		copy(dst, fdEntries(k.Heap.Bytes(old.Block))[:old.Cap])
	}
	m := k.FDs.Mut(t)
	m.Block = b
	m.Cap = n
	if old.Cap > 0 {
		k.Heap.FreeBlock(old.Block)
	}
	return 0
}

// InstallFD gives the lowest free descriptor not below min to f, adding a
// reference. EMFILE above the caller's RLIMIT_NOFILE; EINVAL if min is beyond it.
func (c *Call) InstallFD(f store.Ref[File], min int32, flags uint32) (int32, abi.Errno) {
	k := c.K
	p := c.Proc()
	t := p.FDs
	limit := p.Rlimits[RlimitNofile].Cur
	k.lookClosed(t)
	tab := k.FDs.Get(t)
	fd := uint32(min)
	if fd < tab.Next {
		fd = tab.Next
	}
	if tab.Cap > 0 {
		es := fdEntries(k.Heap.Bytes(tab.Block))[:tab.Cap]
		for fd < tab.Cap && es[fd].File != 0 {
			fd++
		}
	}
	if uint64(fd) >= limit {
		return -1, abi.EMFILE
	}
	if e := k.fdGrow(t, fd); e != 0 {
		return -1, e
	}
	k.fdSet(t, fd, FDEntry{File: f, Flags: flags})
	if uint32(min) <= tab.Next {
		k.FDs.Mut(t).Next = fd + 1
	}
	k.HoldFile(f)
	return int32(fd), 0
}

// InstallFDAt makes fd refer to f, closing what it referred to. EBADF when fd
// is outside RLIMIT_NOFILE.
func (c *Call) InstallFDAt(f store.Ref[File], fd int32, flags uint32) abi.Errno {
	k := c.K
	p := c.Proc()
	if fd < 0 || uint64(fd) >= p.Rlimits[RlimitNofile].Cur {
		return abi.EBADF
	}
	t := p.FDs
	if e := k.fdGrow(t, uint32(fd)); e != 0 {
		return e
	}
	old, _, e := k.FDAt(t, fd)
	k.HoldFile(f)
	k.fdSet(t, uint32(fd), FDEntry{File: f, Flags: flags})
	if e == 0 {
		k.flushDrop(c, t, uint32(fd), old, c.ProcRef())
	}
	return 0
}

// SetFDFlags changes a descriptor's flags. EBADF.
func (k *Kernel) SetFDFlags(t store.Ref[FDTable], fd int32, flags uint32) abi.Errno {
	k.takeBackClosesOf(t) // what is opened again has the flags that it was opened with
	f, _, e := k.FDAt(t, fd)
	if e != 0 {
		return e
	}
	k.fdSet(t, uint32(fd), FDEntry{File: f, Flags: flags})
	return 0
}

// flushDrop gives up what descriptor fd of table t referred to.
func (k *Kernel) flushDrop(c *Call, t store.Ref[FDTable], fd uint32, f store.Ref[File], p store.Ref[Proc]) {
	k.knotesClosed(t, fd, f)
	k.dropPosixLocks(f, p) // closing any descriptor of a file ends them (POSIX fcntl)
	k.Ops(f).Flush(c, f, p)
	k.DropFile(c, f)
}

// CloseFD closes a descriptor of the caller. EBADF.
func (c *Call) CloseFD(fd int32) abi.Errno {
	t := c.Proc().FDs
	f, _, e := c.K.FDAt(t, fd)
	if e != 0 {
		return e
	}
	c.K.fdClear(t, uint32(fd))
	c.K.flushDrop(c, t, uint32(fd), f, c.ProcRef())
	c.unmapLent()
	c.dropKept(f)
	return 0
}

func (k *Kernel) fdClear(t store.Ref[FDTable], fd uint32) {
	k.fdSet(t, fd, FDEntry{})
	if tab := k.FDs.Get(t); fd < tab.Next {
		k.FDs.Mut(t).Next = fd
	}
}

// DropFDTable gives up a process's reference to its table; the last closes all
// descriptors. c may be nil.
func (k *Kernel) DropFDTable(c *Call, t store.Ref[FDTable], p store.Ref[Proc]) {
	k.takeBackTable(t)
	tab := k.FDs.Mut(t)
	if tab.Refs > 1 {
		tab.Refs--
		return
	}
	tab.Refs = 0
	for fd := uint32(0); fd < k.FDs.Get(t).Cap; fd++ {
		if f, _, e := k.FDAt(t, int32(fd)); e == 0 {
			k.fdSet(t, fd, FDEntry{})
			k.flushDrop(c, t, fd, f, p)
		}
	}
	tab = k.FDs.Get(t)
	if tab.Cap > 0 {
		k.Heap.FreeBlock(tab.Block)
	}
	k.FDs.Free(t)
}

// CloseOnExec closes the descriptors that are marked so.
func (k *Kernel) CloseOnExec(c *Call, t store.Ref[FDTable], p store.Ref[Proc]) {
	for fd := uint32(0); fd < k.FDs.Get(t).Cap; fd++ {
		if f, flags, e := k.FDAt(t, int32(fd)); e == 0 && flags&FDCloexec != 0 {
			k.fdClear(t, fd)
			k.flushDrop(c, t, fd, f, p)
		}
	}
}

// EachFD calls fn for every open descriptor in order.
func (k *Kernel) EachFD(t store.Ref[FDTable], fn func(fd int32, f store.Ref[File], flags uint32) bool) {
	for fd := uint32(0); fd < k.FDs.Get(t).Cap; fd++ {
		if f, flags, e := k.FDAt(t, int32(fd)); e == 0 && !fn(int32(fd), f, flags) {
			return
		}
	}
}

// File answers the caller's open file fd and its record. EBADF.
func (c *Call) File(fd int32) (store.Ref[File], *File, abi.Errno) {
	f, _, e := c.K.FDAt(c.Proc().FDs, fd)
	if e != 0 {
		return 0, nil, e
	}
	return f, c.K.Files.Get(f), 0
}

// FileAt is File for who reads at off: where that is not -1, an offset that is lent to the caller's task is its
// library's to move meanwhile.
func (c *Call) FileAt(fd int32, off int64) (store.Ref[File], *File, abi.Errno) {
	if off >= 0 {
		if f, ok := c.K.fdEntry(c.Proc().FDs, fd); ok {
			if file := c.K.Files.Get(f); file.Kind == FileVnode && file.LentTo == c.Task && c.Task != 0 {
				return f, file, 0
			}
		}
	}
	return c.File(fd)
}

// maxChunk is the most that one step of a read or write moves.
const maxChunk = 120 << 10

// ReadFD reads up to n bytes from fd into the guest's memory at addr; off -1
// uses the description's offset. The bytes go through the Out area; what does
// not fit at once is moved in steps for files that do not wait.
func (c *Call) ReadFD(fd int32, addr uint64, n uint64, off int64) (uint64, abi.Errno) {
	return c.ReadV(fd, []IOVec{{addr, n}}, off)
}

// ReadV is ReadFD into several pieces of memory (readv, preadv).
func (c *Call) ReadV(fd int32, iov []IOVec, off int64) (uint64, abi.Errno) {
	if off < 0 && c.lentMeanwhile(fd) {
		return 0, abi.ErrRestart
	}
	k := c.K
	f, file, e := c.FileAt(fd, off)
	if e != 0 {
		return 0, e
	}
	if file.Access&AccessRead == 0 {
		return 0, abi.EBADF
	}
	counts := c.K.countFlag(file)
	steps := file.Kind == FileVnode || file.Kind == FileMemfd || file.Kind == FileDev
	if file.LentTo != 0 {
		k.fileRT(f).pins++
	} else {
		k.pinFile(f)
	}
	defer k.unpinFile(c, f)
	ops := k.ops[file.Kind]
	var total uint64
	var left uint64
	for _, v := range iov {
		left += v.Len
	}
	if left == 0 {
		n, e := ops.Read(c, f, nil, off)
		return uint64(n), e
	}
	if left > 0x7ffff000 {
		left = 0x7ffff000
	}
	i, at := 0, uint64(0)
	if p := c.Thread().Progress; steps && p > 0 && p <= left {
		// A repetition: what was copied out stays, go on behind it.
		total = p
		left -= p
		if off >= 0 {
			off += int64(p)
		}
		for ; p > 0 && p >= iov[i].Len; i++ {
			p -= iov[i].Len
			if i == len(iov)-1 {
				return total, 0
			}
		}
		at = p
	}
	single := steps && len(iov) == 1
	if single {
		c.lendSoon(fd, f)
	}
	if (file.Kind == FileSocket || file.Kind == FilePipe) && off < 0 {
		if c.receivesByHost(fd, f, true) {
			return 0, c.toLibrary()
		}
		c.streamSoon(fd, f)
		c.plainRead = c.Kind == abi.KindTrap && len(iov) == 1
		file = k.Files.Get(f)
	}
	var moved uint64
	for left > 0 {
		if moved > 0 {
			c.MutThread().Progress = total
			if !c.Checkpoint() {
				return total, 0
			}
			if c.outFault { // the offset stays in front of what did not arrive
				c.outFault = false
				lost := min(c.outLost, moved)
				k.untake(&k.threadRT(c.T).short, lost)
				total -= lost
				return total, errIfNone(int(total), abi.EFAULT)
			}
			moved = 0
		}
		want := int(min(left, uint64(c.OutRoom()), maxChunk))
		buf := c.OutBuf(want)
		n, e := ops.Read(c, f, buf, off)
		if n <= 0 {
			if total > 0 {
				return total, 0
			}
			return 0, e
		}
		c.Taken()
		// Scatter: the bytes lie in one run in Out.
		base := (c.outUsed + 7) &^ 7
		c.outUsed = base + uint32(n)
		for rest := uint64(n); rest > 0; {
			for at == iov[i].Len {
				i, at = i+1, 0
			}
			m := min(rest, iov[i].Len-at)
			c.Act(abi.ActCopyOut, counts, iov[i].Base+at, uint64(base)+abi.SlotOutOff, m)
			base += uint32(m)
			at += m
			rest -= m
		}
		total += uint64(n)
		left -= uint64(n)
		moved = uint64(n)
		c.noteRead(f, off, uint64(n))
		if off >= 0 {
			off += int64(n)
		}
		if !steps || n < want {
			break
		}
	}
	switch {
	case single:
		c.lend(fd, f, off < 0)
	case file.Kind == FileEvent:
		c.lendEvent(fd, f)
	case file.Kind == FilePipe:
		if k.Pipes.Get(pipeOf(file)).Stream == 0 {
			c.lendPipe(fd, f)
		} else {
			c.lendStream(fd, f, true)
		}
	case file.Kind == FileSocket:
		c.lendStream(fd, f, true)
		c.hostSoon(fd, f)
	}
	return total, 0
}

// SeekFD moves a description's offset (lseek(2); see FileOps.Seek).
func (c *Call) SeekFD(fd int32, off int64, whence uint32) (int64, abi.Errno) {
	f, file, e := c.File(fd)
	if e != 0 {
		return 0, e
	}
	if whence > 4 {
		return 0, abi.EINVAL
	}
	c.K.pinFile(f)
	defer c.K.unpinFile(c, f)
	ops := c.K.ops[file.Kind]
	if whence <= 1 {
		c.NoteMoved(fd)
	}
	c.lendSoon(fd, f)
	n, e := ops.Seek(c, f, off, int(whence))
	if e == 0 {
		c.lend(fd, f, true)
	}
	return n, e
}

// WriteFD writes n bytes of guest memory at addr to fd; off -1 uses the
// description's offset.
func (c *Call) WriteFD(fd int32, addr, n uint64, off int64) (uint64, abi.Errno) {
	var pre []byte
	if b, _, ok := c.Prefetched(1); ok {
		pre = b
	}
	return c.writeV(fd, []IOVec{{addr, n}}, off, pre, true)
}

// DataExtent is what a Chan may offer beside Extent: the second extent of an
// argument, which abi.PreIov makes of the bytes that the iovec array names.
type DataExtent interface {
	Extent2(arg int) (off, n uint32, fault, ok bool)
}

// WriteV is WriteFD from several pieces of memory, named by the iovec array at
// argument 1. What the library sent along (abi.PreIov) is used first.
func (c *Call) WriteV(fd int32, iov []IOVec, off int64) (uint64, abi.Errno) {
	var pre []byte
	if x, ok := c.Chan.(DataExtent); ok {
		if o, n, _, ok := x.Extent2(1); ok {
			pre = c.Chan.In()[o : o+n]
		}
	}
	return c.writeV(fd, iov, off, pre, true)
}

// VMSplice is WriteV to a pipe's end, of which each byte counts that is there.
func (c *Call) VMSplice(fd int32, iov []IOVec) (uint64, abi.Errno) {
	return c.writeV(fd, iov, -1, nil, false)
}

// writeV writes the bytes of iov, of which pre are the first ones that are here
// already.
//
// Data of up to one chunk is handed to the file in one piece; more goes in
// steps, each complete before the next, with the count in Thread.Progress for
// a repetition after a crash. units: what the memory ends in the middle of, a unit of
// the file (writeUnit), does not count.
func (c *Call) writeV(fd int32, iov []IOVec, off int64, pre []byte, units bool) (uint64, abi.Errno) {
	if off < 0 && c.lentMeanwhile(fd) {
		c.put = uint64(c.Done)
		return 0, abi.ErrRestart
	}
	f, file, e := c.File(fd)
	if e != 0 {
		return 0, e
	}
	if file.Access&AccessWrite == 0 {
		return 0, abi.EBADF
	}
	k := c.K
	k.pinFile(f)
	defer k.unpinFile(c, f)
	kind := file.Kind
	ops := k.ops[kind]
	var left uint64
	for _, v := range iov {
		left += v.Len
	}
	if kind == FileDev && file.Obj == devNull {
		return left, 0
	}
	if kind == FileSocket && uint64(len(pre)) < left && k.Socks.Get(sockOf(file)).Type != SockStream {
		return c.SendV(fd, iov, &SockSend{}) // in one piece, or not at all
	}
	if left == 0 {
		n, e := ops.Write(c, f, nil, off)
		return uint64(n), e
	}
	if kind == FileSocket && c.sendsByHost(fd, f) {
		c.put = uint64(c.Done)
		return 0, c.toLibrary()
	}
	if left > 0x7ffff000 {
		left = 0x7ffff000
	}
	total := c.Thread().Progress
	if n := uint64(c.Done); n > total && n <= left {
		// The library had a part of it in a stream that was taken back.
		total = n
		c.MutThread().Progress = n
	}
	if total > left {
		total = 0
	}
	left -= total
	skip := total
	if off >= 0 {
		off += int64(total)
	}
	if skip > 0 {
		pre = nil
	}
	if kind == FileSocket {
		defer func() { c.sentStream(f, &SockSend{}, total) }()
	}
	i, at := 0, uint64(0)
	for i < len(iov) && skip >= iov[i].Len-at {
		skip -= iov[i].Len - at
		i, at = i+1, 0
	}
	at += skip
	unit := writeUnit{step: 1}
	if units {
		unit = k.writeUnit(f, left)
	}
	c.plainWrite = kind == FilePipe && off < 0 && units && c.Kind == abi.KindTrap && len(iov) == 1
	for left > 0 {
		var data []byte
		if len(pre) > 0 {
			data = pre[:min(uint64(len(pre)), left)]
			if uint64(len(data)) < left {
				data = unit.whole(total, data)
			}
			pre = nil
		}
		if len(data) == 0 {
			c.InReset()
			want := min(left, maxChunk-uint64(c.inUsed))
			// Gather as much as the In area takes.
			start, bad := -1, false
			var got uint64
			for j, a := i, at; got < want && j < len(iov); {
				m := min(want-got, iov[j].Len-a)
				if m > 0 {
					// Keep the pieces adjacent: reserve without alignment gaps.
					if start < 0 {
						o, ok := c.inAlloc(int(want))
						if !ok {
							return total, abi.ENOMEM
						}
						start = int(o)
					}
					n, e := c.copyInAt(iov[j].Base+a, int(m), uint32(start)+uint32(got))
					got += uint64(n)
					if e != 0 || uint64(n) < m {
						if got == 0 && total == 0 {
							if e == 0 {
								e = abi.EFAULT
							}
							return 0, e
						}
						want = got
						bad = true
						break
					}
				}
				j, a = j+1, 0
			}
			if got == 0 {
				break
			}
			data = c.Chan.In()[start : uint64(start)+got]
			if got < left {
				data = unit.whole(total, data)
			}
			if len(data) == 0 {
				return total, errIfNone(int(total), abi.EFAULT)
			}
			if bad {
				left = uint64(len(data))
			}
		}
		n, e := ops.Write(c, f, data, off)
		if n > 0 {
			total += uint64(n)
			left -= uint64(n)
			for adv := uint64(n); adv > 0; {
				m := min(adv, iov[i].Len-at)
				adv -= m
				at += m
				if at == iov[i].Len {
					i, at = i+1, 0
				}
				if i == len(iov) {
					break
				}
			}
			if off >= 0 {
				off += int64(n)
			}
		}
		if c.localCut { // the caller's library goes on
			c.put = total
			return 0, abi.ErrRestart
		}
		if e != 0 {
			if total > 0 {
				return total, 0
			}
			return 0, e
		}
		if n < len(data) {
			break
		}
		c.MutThread().Progress = total
	}
	switch kind {
	case FileEvent:
		c.lendEvent(fd, f)
	case FileSocket, FilePipe:
		c.lendStream(fd, f, false)
	case FileVnode:
		c.lendWrite(fd, f, off < 0)
	}
	return total, 0
}
