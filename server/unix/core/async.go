package core

import (
	"slices"

	"hythe/abi"
	"hythe/store"
)

// Signals that tell of a file (O_ASYNC: SIGIO, or what F_SETSIG says).

// What a file tells of (asm-generic/siginfo.h: POLL_IN...), a signal's Code.
const (
	ioIn  = 1
	ioOut = 2
	ioPri = 5
	ioHup = 6
)

// ioBands are the poll bits that go with it (si_band).
var ioBands = [...]int64{ioIn: 0x41, ioOut: 0x304, 3: 0x441, 4: 0x8, ioPri: 0x82, ioHup: 0x18}

// Kinds of a file's owner (F_SETOWN_EX).
const (
	OwnerThread = 0
	OwnerProc   = 1
	OwnerGroup  = 2
)

// openNospace, in File.Flags: a send found no room, so that the next room is told of.
const openNospace = 1 << 30

// asyncQueues are where what a file tells of is seen; none: it tells of nothing.
func (k *Kernel) asyncQueues(f store.Ref[File]) []*WaitQueue {
	file := k.Files.Get(f)
	switch file.Kind {
	case FilePipe:
		rt := k.io.pipes.at(pipeOf(file))
		qs := []*WaitQueue{&rt.rq, &rt.wq}
		if file.Access&AccessRead == 0 {
			return qs[1:]
		}
		if file.Access&AccessWrite == 0 {
			return qs[:1]
		}
		return qs
	case FileSocket, FileTTY, FilePty, FileInotify, FileConsole:
		if q := k.Ops(f).Queue(f); q != nil {
			return []*WaitQueue{q}
		}
	}
	return nil
}

// setAsync begins or ends that a file tells its owner, of descriptor fd. False: it
// cannot.
func (c *Call) setAsync(f store.Ref[File], fd int32, on bool) bool {
	k := c.K
	qs := k.asyncQueues(f)
	if qs == nil {
		return false
	}
	file := k.Files.Mut(f)
	k.dropAsync(f)
	file.Flags &^= OpenAsync
	if !on {
		return true
	}
	file.Flags |= OpenAsync
	file.AsyncFD = fd + 1
	k.addAsync(f)
	if file.Kind == FileTTY && file.Owner == 0 {
		if t := k.TTYs.Get(store.Ref[TTY](file.Obj)); t != nil && t.Pgrp != 0 {
			c.own(f, t.Pgrp, OwnerGroup)
		} else {
			c.own(f, c.Proc().Pid, OwnerProc)
		}
	}
	return true
}

func (k *Kernel) addAsync(f store.Ref[File]) {
	for _, q := range k.asyncQueues(f) {
		if !slices.Contains(q.async, f) {
			q.async = append(q.async, f)
		}
	}
}

// dropAsync: a file tells of nothing any more.
func (k *Kernel) dropAsync(f store.Ref[File]) {
	if k.Files.Get(f).AsyncFD == 0 {
		return
	}
	for _, q := range k.asyncQueues(f) {
		if i := slices.Index(q.async, f); i >= 0 {
			q.async = slices.Delete(q.async, i, i+1)
		}
	}
	k.Files.Mut(f).AsyncFD = 0
}

func (k *Kernel) recoverAsync() {
	k.Files.Each(func(f store.Ref[File], file *File) bool {
		if file.AsyncFD != 0 {
			k.addAsync(f)
		}
		return true
	})
}

// tell tells the owners of the files at a queue.
func (k *Kernel) tell(q *WaitQueue, what int32) {
	for _, f := range q.async {
		k.tellOwner(f, what)
	}
}

// tellRoom tells that there is room to send, those that found none.
func (k *Kernel) tellRoom(q *WaitQueue) {
	for _, f := range q.async {
		if k.Files.Get(f).Flags&openNospace != 0 {
			k.Files.Mut(f).Flags &^= openNospace
			k.tellOwner(f, ioOut)
		}
	}
}

// noRoom notes that a send from a file found no room.
func (k *Kernel) noRoom(f store.Ref[File]) {
	if file := k.Files.Get(f); file.AsyncFD != 0 && file.Flags&openNospace == 0 {
		k.Files.Mut(f).Flags |= openNospace
	}
}

// sigCodes are the signals whose codes above 0 have a meaning of their own.
const sigCodes = SigSet(1<<(SIGILL-1) | 1<<(SIGFPE-1) | 1<<(SIGSEGV-1) | 1<<(SIGBUS-1) | 1<<(SIGTRAP-1) |
	1<<(SIGCHLD-1) | 1<<(SIGIO-1) | 1<<(SIGSYS-1))

func (k *Kernel) tellOwner(f store.Ref[File], what int32) {
	file := *k.Files.Get(f)
	k.eachOwner(&file, func(p store.Ref[Proc], t store.Ref[Thread]) {
		if file.OwnSig != 0 {
			s := SigInfo{Sig: file.OwnSig, Code: what, Band: ioBands[what], Fd: file.AsyncFD - 1}
			if s.Sig != SIGIO && sigCodes.Has(s.Sig) {
				s.Code = SiSigio
			}
			if k.send(p, t, &s, 0) == 0 {
				return
			}
		}
		k.send(p, t, &SigInfo{Sig: SIGIO, Code: SiKernel}, 0)
	})
}

// tellUrgent tells a socket's owner, asynchronous or not, of urgent data.
func (k *Kernel) tellUrgent(r store.Ref[Socket]) {
	k.Files.Each(func(f store.Ref[File], file *File) bool {
		if file.Kind != FileSocket || sockOf(file) != r {
			return true
		}
		k.eachOwner(file, func(p store.Ref[Proc], t store.Ref[Thread]) {
			k.send(p, t, &SigInfo{Sig: SIGURG, Code: SiKernel}, 0)
		})
		if file.AsyncFD != 0 {
			k.tellOwner(f, ioPri)
		}
		return false
	})
}

// eachOwner calls one for each process or thread that is to be told of a file and
// whom the one who named it may send signals.
func (k *Kernel) eachOwner(file *File, one func(p store.Ref[Proc], t store.Ref[Thread])) {
	ask := func(p store.Ref[Proc], t store.Ref[Thread]) {
		cr := k.Creds.Get(k.Procs.Get(p).Cred)
		if t != 0 {
			cr = k.Creds.Get(k.Threads.Get(t).Cred)
		}
		if cr == nil || file.OwnEUID != 0 && file.OwnEUID != cr.SUID && file.OwnEUID != cr.UID &&
			file.OwnUID != cr.SUID && file.OwnUID != cr.UID {
			return
		}
		one(p, t)
	}
	switch file.OwnKind {
	case OwnerGroup:
		for p := range k.proc.pgrps[file.Owner] {
			ask(p, 0)
		}
	case OwnerThread:
		if t := k.byTid[file.Owner]; t != 0 {
			ask(k.Threads.Get(t).Proc, t)
		}
	default:
		if p := k.ProcByPid(file.Owner); p != 0 {
			ask(p, 0)
		}
	}
}

// SetOwner says who is told of a file: a thread, a process or a process group by its
// number, nobody for 0. ESRCH: no such number.
func (c *Call) SetOwner(f store.Ref[File], id int32, kind uint32) abi.Errno {
	k := c.K
	if id != 0 && (id < 0 || k.byTid[id] == 0 && k.ProcByPid(id) == 0 && k.proc.pgrps[id] == nil) {
		return abi.ESRCH
	}
	c.own(f, id, kind)
	return 0
}

func (c *Call) own(f store.Ref[File], id int32, kind uint32) {
	m := c.K.Files.Mut(f)
	m.Owner, m.OwnKind = id, kind
	m.OwnUID, m.OwnEUID = 0, 0
	if id != 0 {
		m.OwnUID, m.OwnEUID = c.Cred().UID, c.Cred().EUID
	}
}

// Owner answers who is told of a file; 0 when there is nobody, or nobody any more.
func (k *Kernel) Owner(f store.Ref[File]) (id int32, kind uint32) {
	file := k.Files.Get(f)
	id, kind = file.Owner, file.OwnKind
	switch {
	case kind == OwnerGroup && len(k.proc.pgrps[id]) == 0,
		kind == OwnerProc && k.ProcByPid(id) == 0,
		kind == OwnerThread && k.byTid[id] == 0:
		id = 0
	}
	return id, kind
}
