package core

import (
	"hythe/abi"
	"hythe/store"
)

// Kinds of lock on a file.
const (
	LockPosix = 1 // of a process, by ranges (F_SETLK)
	LockOFD   = 2 // of an open file description, by ranges (F_OFD_SETLK)
	LockFlock = 3 // of an open file description, whole file
)

// LockPlace is what is locked: a file with a name, or the thing of which Thing is
// the kind of open file and Obj the record. Things whose inode is Linux's one
// anonymous inode are one: Thing is FileNone.
type LockPlace struct {
	Vnode store.Ref[Vnode]
	Thing uint32
	Obj   uint32
}

// FileLock is a lock that is held.
type FileLock struct {
	LockPlace
	Kind  uint32
	Write uint32 // 1: exclusive
	Pid   int32  // who took it, for F_GETLK
	Start uint64
	End   uint64 // last byte, inclusive
	Proc  store.Ref[Proc]
	File  store.Ref[File]
	Next  store.Ref[FileLock]
}

// lockOwner is who holds or wants a lock: a process or a description.
type lockOwner struct {
	kind uint32 // LockPosix, or LockOFD for both kinds of description locks
	id   uint32
}

func (l *FileLock) owner() lockOwner {
	if l.Kind == LockPosix {
		return lockOwner{LockPosix, uint32(l.Proc)}
	}
	return lockOwner{l.Kind, uint32(l.File)}
}

// conflicts says whether held keeps want from being taken. Flock locks and
// range locks do not see one another.
func conflicts(held, want *FileLock) bool {
	if (held.Kind == LockFlock) != (want.Kind == LockFlock) || held.owner() == want.owner() {
		return false
	}
	if held.Write == 0 && want.Write == 0 {
		return false
	}
	return held.Start <= want.End && want.Start <= held.End
}

// LockPlace answers what a lock on an open file locks.
func (k *Kernel) LockPlace(f store.Ref[File]) LockPlace {
	file := k.Files.Get(f)
	switch {
	case file.Vnode != 0:
		return LockPlace{Vnode: file.Vnode}
	case file.Kind == FilePipe || file.Kind == FileSocket || file.Kind == FileConsole || file.Kind == FileTTY || file.Kind == FilePty:
		return LockPlace{Thing: file.Kind, Obj: file.Obj}
	}
	return LockPlace{}
}

// locksAt is the first of the locks in the list in which those of a place are: of
// its vnode, or of all things without one.
func (k *Kernel) locksAt(p LockPlace) store.Ref[FileLock] {
	if p.Vnode != 0 {
		return k.Vnodes.Get(p.Vnode).Locks
	}
	return k.Globals().Locks
}

func (k *Kernel) setLocksAt(p LockPlace, r store.Ref[FileLock]) {
	if p.Vnode != 0 {
		k.Vnodes.Mut(p.Vnode).Locks = r
	} else {
		k.MutGlobals().Locks = r
	}
}

// lockQueue is woken when locks of a place go.
func (k *Kernel) lockQueue(p LockPlace) *WaitQueue {
	if p.Vnode == 0 {
		return &k.vfs.locks
	}
	if n := k.nodeOf(p.Vnode); n != nil {
		return &n.locks
	}
	return nil
}

// findConflict answers the lock on the vnode that is in the way of want, of
// several the one that begins first.
func (k *Kernel) findConflict(want *FileLock) *FileLock {
	var first *FileLock
	for r := k.locksAt(want.LockPlace); r != 0; {
		l := k.Locks.Get(r)
		if l.LockPlace == want.LockPlace && conflicts(l, want) && (first == nil || l.Start < first.Start) {
			first = l
		}
		r = l.Next
	}
	return first
}

// TestLock answers what would be in the way of want; false: nothing. The
// lock's File is the description that the caller names, its Proc the caller.
func (c *Call) TestLock(want FileLock) (FileLock, bool) {
	if l := c.K.findConflict(&want); l != nil {
		return *l, true
	}
	return FileLock{}, false
}

// setRange makes what the owner of want holds of its range be want (unlock:
// nothing), splitting and joining what was there. ENOLCK.
func (k *Kernel) setRange(want *FileLock, unlock bool) abi.Errno {
	o := want.owner()
	merged := *want
	type piece struct {
		start, end uint64
		write      uint32
	}
	var keep []piece
	var pid int32
	prev := store.Ref[FileLock](0)
	changed := false
	for r := k.locksAt(want.LockPlace); r != 0; {
		l := *k.Locks.Get(r)
		touch := l.Start <= want.End && want.Start <= l.End
		adjoin := !unlock && l.Write == want.Write &&
			(l.Start <= merged.End+1 || merged.End == ^uint64(0)) && (merged.Start <= l.End+1 || l.End == ^uint64(0))
		if l.LockPlace != want.LockPlace || l.owner() != o || l.Kind != want.Kind || !touch && !adjoin {
			prev = r
			r = l.Next
			continue
		}
		pid = l.Pid
		if adjoin {
			merged.Start = min(merged.Start, l.Start)
			merged.End = max(merged.End, l.End)
		} else {
			if l.Start < want.Start {
				keep = append(keep, piece{l.Start, want.Start - 1, l.Write})
			}
			if l.End > want.End {
				keep = append(keep, piece{want.End + 1, l.End, l.Write})
			}
		}
		if prev == 0 {
			k.setLocksAt(want.LockPlace, l.Next)
		} else {
			k.Locks.Mut(prev).Next = l.Next
		}
		k.Locks.Free(r)
		changed = true
		r = l.Next
	}
	add := func(l FileLock) abi.Errno {
		r, rec := k.Locks.New()
		if r == 0 {
			return abi.ENOLCK
		}
		*rec = l
		rec.Next = k.locksAt(want.LockPlace)
		k.setLocksAt(want.LockPlace, r)
		return 0
	}
	for _, p := range keep {
		l := *want
		l.Start, l.End, l.Write, l.Pid = p.start, p.end, p.write, pid
		if e := add(l); e != 0 {
			return e
		}
	}
	if !unlock {
		if e := add(merged); e != 0 {
			return e
		}
	}
	if changed {
		k.wakeLocks(want.LockPlace)
	}
	return 0
}

func (k *Kernel) wakeLocks(p LockPlace) {
	if q := k.lockQueue(p); q != nil {
		q.Wake(^uint32(0))
	}
}

// SetLock takes a lock, or gives up a range when unlock is set; wait sleeps
// until nothing is in the way. EAGAIN, EDEADLK (process locks only), ENOLCK,
// ErrRestart; EBADF when the descriptor was closed meanwhile.
func (c *Call) SetLock(want FileLock, unlock, wait bool) abi.Errno {
	k := c.K
	if unlock {
		return k.setRange(&want, true)
	}
	k.pinFile(want.File)
	defer k.unpinFile(c, want.File)
	me := want.owner()
	dropped := false
	for {
		l := k.findConflict(&want)
		if l == nil {
			if n := k.nodeOf(want.Vnode); n != nil {
				n.takeBackKind(loanClose) // from now on one can tell when it is closed
			}
			return k.setRange(&want, false)
		}
		if !wait {
			return abi.EAGAIN
		}
		if want.Kind == LockFlock && !dropped {
			// flock(2): changing a lock is not atomic, the old one goes first.
			dropped = true
			if e := k.setRange(&want, true); e != 0 {
				return e
			}
			continue
		}
		holder := l.owner()
		if want.Kind == LockPosix {
			for o, ok := holder, true; ok; o, ok = k.vfs.lockWaits[o] {
				if o == me {
					return abi.EDEADLK
				}
			}
			k.vfs.lockWaits[me] = holder
		}
		e := c.Sleep(NoDeadline, k.lockQueue(want.LockPlace))
		delete(k.vfs.lockWaits, me)
		if e != 0 {
			return e
		}
		if k.Files.Get(want.File).Refs == 0 {
			return abi.EBADF
		}
	}
}

// dropLocks frees the locks of a place that which picks.
func (k *Kernel) dropLocks(p LockPlace, which func(l *FileLock) bool) {
	if p.Vnode != 0 && k.Vnodes.Get(p.Vnode) == nil {
		return
	}
	prev := store.Ref[FileLock](0)
	changed := false
	for r := k.locksAt(p); r != 0; {
		l := *k.Locks.Get(r)
		if l.LockPlace != p || !which(&l) {
			prev = r
			r = l.Next
			continue
		}
		if prev == 0 {
			k.setLocksAt(p, l.Next)
		} else {
			k.Locks.Mut(prev).Next = l.Next
		}
		k.Locks.Free(r)
		changed = true
		r = l.Next
	}
	if changed {
		k.wakeLocks(p)
	}
}

// dropPosixLocks frees what a process holds of the file that it closes a descriptor of.
func (k *Kernel) dropPosixLocks(f store.Ref[File], p store.Ref[Proc]) {
	if p != 0 {
		k.dropLocks(k.LockPlace(f), func(l *FileLock) bool { return l.Kind == LockPosix && l.Proc == p })
	}
}

// dropFileLocks frees what an open file that goes holds.
func (k *Kernel) dropFileLocks(f store.Ref[File]) {
	k.dropLocks(k.LockPlace(f), func(l *FileLock) bool { return l.Kind != LockPosix && l.File == f })
}
