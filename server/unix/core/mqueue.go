package core

import (
	"fmt"
	"slices"
	"strings"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/store"
)

// POSIX message queues (mq_overview(7)).

// Limits (/proc/sys/fs/mqueue; the hard ones are for who has CapSysResource).
const (
	MqPrioMax    = 32768
	MqMsgMax     = 10
	MqSizeMax    = 8192
	mqMsgHard    = 65536
	mqSizeHard   = 64 << 10 // Linux: 16 MB, which is more than RLIMIT_MSGQUEUE
	mqQueues     = 256
	mqQueuesHard = 1 << 12
	mqOverhead   = 96       // of a message, as Linux counts it
	mqMemory     = 64 << 20 // of all queues together, whatever the limits of processes
	// How a queue tells (sigevent's sigev_notify).
	MqNotifySig    = 0
	MqNotifyNone   = 1
	MqNotifyThread = 2
)

// MQueue is a message queue.
type MQueue struct {
	Name          store.Block // without the slash; nil once it is unlinked
	Linked, Opens uint32
	Mode          uint32
	UID, GID      uint32
	MaxMsg, Size  uint32 // attributes
	Cur           uint32
	Bytes         uint64
	Head          store.Ref[MQMsg] // in the order in which they are taken
	Charge        uint64           // against RLIMIT_MSGQUEUE of ChargeUID
	ChargeUID     uint32
	NotifyKind    int32
	Notify        store.Ref[Proc] // who is told of a message, 0: nobody
	NotifyGen     uint32
	NotifySig     int32
	_             uint32
	NotifyValue   uint64
	Ino           uint64
	Time          int64
	NotifyPid     int32
	NotifySock    store.Ref[Socket] // of MqNotifyThread: where Cookie is sent
	NotifySockGen uint32
	_             uint32
	Cookie        [MqCookie]byte
}

// MqCookie is the length of what MqNotifyThread sends; its last byte says why.
const (
	MqCookie  = 32
	mqWoken   = 1
	mqRemoved = 2
)

// MQMsg is a message in a queue.
type MQMsg struct {
	Next store.Ref[MQMsg]
	Prio uint32
	Text store.Block
}

// mqWait is a call that waits to send or to receive. called: it was woken, and what
// it waited for is its.
type mqWait struct {
	t      store.Ref[Thread]
	q      WaitQueue
	called bool
}

type mqRT struct {
	poll        WaitQueue
	recvs, sens []*mqWait
}

func mqOf(file *File) store.Ref[MQueue] { return store.Ref[MQueue](file.Obj) }

// MqAttr are the attributes that mq_open gives.
type MqAttr struct{ MaxMsg, Size int64 }

func (k *Kernel) mqFind(name string) store.Ref[MQueue] {
	var found store.Ref[MQueue]
	k.MQueues.Each(func(r store.Ref[MQueue], q *MQueue) bool {
		if q.Linked != 0 && store.String(k.Heap, q.Name) == name {
			found = r
		}
		return found == 0
	})
	return found
}

// mqName checks a name. ENOENT, EACCES, ENAMETOOLONG.
func mqName(name string) abi.Errno {
	switch {
	case name == "":
		return abi.ENOENT
	case len(name) > 255:
		return abi.ENAMETOOLONG
	case name == ".", name == "..", strings.Contains(name, "/"):
		return abi.EACCES
	}
	return 0
}

// MqOpen opens a queue, with OpenCreate also a new one: attr nil: of the usual size.
// ENOENT, EEXIST, EACCES, EINVAL, EMFILE (also: RLIMIT_MSGQUEUE), ENOSPC, ENOMEM...
func (c *Call) MqOpen(name string, access, flags, mode uint32, attr *MqAttr) (int32, abi.Errno) {
	k := c.K
	if e := mqName(name); e != 0 {
		return -1, e
	}
	if e := c.FDRoom(); e != 0 {
		return -1, e
	}
	r := k.mqFind(name)
	switch {
	case r != 0:
		if flags&(OpenCreate|OpenExcl) == OpenCreate|OpenExcl {
			return -1, abi.EEXIST
		}
		if access == 0 {
			return -1, abi.EINVAL
		}
		q := k.MQueues.Get(r)
		want := uint32(0)
		if access&AccessRead != 0 {
			want |= 4
		}
		if access&AccessWrite != 0 {
			want |= 2
		}
		cr, shift := c.Cred(), 0
		if cr.FSUID == q.UID {
			shift = 6
		} else if cr.FSGID == q.GID || cr.inGroup(q.GID) {
			shift = 3
		}
		if q.Mode>>shift&want != want && !c.Capable(CapDacOverride) {
			return -1, abi.EACCES
		}
	case flags&OpenCreate == 0:
		return -1, abi.ENOENT
	default:
		var e abi.Errno
		if r, e = c.mqNew(name, mode&^c.umask(), attr); e != 0 {
			return -1, e
		}
	}
	k.MQueues.Mut(r).Opens++
	fd, e := c.fileOf(FileMqueue, access, flags&OpenNonblock, uint32(r), FDCloexec)
	if e != 0 {
		k.MQueues.Mut(r).Opens--
		k.mqReap(r)
	}
	return fd, e
}

func (c *Call) mqNew(name string, mode uint32, attr *MqAttr) (store.Ref[MQueue], abi.Errno) {
	k := c.K
	strong := c.Capable(CapSysResource)
	a := MqAttr{MqMsgMax, MqSizeMax}
	if attr != nil {
		a = *attr
	}
	msgs, size := int64(MqMsgMax), int64(MqSizeMax)
	if strong {
		msgs, size = mqMsgHard, mqSizeHard
	}
	if a.MaxMsg <= 0 || a.Size <= 0 || a.MaxMsg > msgs || a.Size > size {
		return 0, abi.EINVAL
	}
	cr := c.Cred()
	charge, own, all := uint64(a.MaxMsg)*uint64(a.Size+mqOverhead), uint64(0), uint64(0)
	k.MQueues.Each(func(_ store.Ref[MQueue], q *MQueue) bool {
		all += q.Charge
		if q.ChargeUID == cr.UID {
			own += q.Charge
		}
		return true
	})
	if own+charge > c.Proc().Rlimits[RlimitMsgqueue].Cur {
		return 0, abi.EMFILE
	}
	if n := k.MQueues.Len(); n >= mqQueues && !strong || n >= mqQueuesHard {
		return 0, abi.ENOSPC
	}
	if all+charge > mqMemory {
		return 0, abi.ENOMEM
	}
	b := store.PutString(k.Heap, name)
	r, q := k.MQueues.New()
	if r == 0 || b.Nil() {
		k.Heap.FreeBlock(b)
		if r != 0 {
			k.MQueues.Free(r)
		}
		return 0, abi.ENOMEM
	}
	*q = MQueue{Name: b, Linked: 1, Mode: mode & 0o7777, UID: cr.FSUID, GID: cr.FSGID, MaxMsg: uint32(a.MaxMsg), Size: uint32(a.Size),
		Charge: charge, ChargeUID: cr.UID, Ino: k.nextIno(), Time: k.Clock.Real()}
	return r, 0
}

// MqUnlink removes a queue's name. ENOENT, EACCES, EPERM, ENAMETOOLONG.
func (c *Call) MqUnlink(name string) abi.Errno {
	k := c.K
	if e := mqName(name); e != 0 {
		return e
	}
	r := k.mqFind(name)
	if r == 0 {
		return abi.ENOENT
	}
	if q := k.MQueues.Get(r); c.Cred().FSUID != q.UID && !c.Capable(CapFowner) {
		return abi.EPERM // the directory, if there were one, is sticky
	}
	k.MQueues.Mut(r).Linked = 0
	k.mqReap(r)
	return 0
}

// mqReap frees a queue that has neither a name nor an open file.
func (k *Kernel) mqReap(r store.Ref[MQueue]) {
	q := k.MQueues.Get(r)
	if q.Linked != 0 || q.Opens != 0 {
		return
	}
	for m := q.Head; m != 0; {
		next := k.MQMsgs.Get(m).Next
		k.Heap.FreeBlock(k.MQMsgs.Get(m).Text)
		k.MQMsgs.Free(m)
		m = next
	}
	k.Heap.FreeBlock(q.Name)
	k.io.mqs.drop(r)
	k.MQueues.Free(r)
}

// MqFile answers the queue of a descriptor that is open for access. EBADF.
func (c *Call) MqFile(fd int32, access uint32) (store.Ref[File], store.Ref[MQueue], abi.Errno) {
	f, file, e := c.File(fd)
	if e != 0 || file.Kind != FileMqueue || file.Access&access != access {
		return 0, 0, abi.EBADF
	}
	return f, mqOf(file), 0
}

// mqCalled counts the waiting calls that have been woken for what is there.
func mqCalled(l []*mqWait) (n uint32) {
	for _, w := range l {
		if w.called {
			n++
		}
	}
	return n
}

// mqCall wakes the calls that wait first, n together.
func mqCall(l []*mqWait, n uint32) {
	for _, w := range l {
		if n == 0 {
			break
		}
		if !w.called {
			w.called = true
			w.q.Wake(^uint32(0))
		}
		n--
	}
}

// mqWaitFor waits in a list, the calls of more urgent threads first.
func (c *Call) mqWaitFor(l *[]*mqWait, deadline int64) abi.Errno {
	k := c.K
	w := &mqWait{t: c.T}
	at := len(*l)
	nice := c.Thread().Nice
	for at > 0 && k.Threads.Get((*l)[at-1].t).Nice > nice {
		at--
	}
	*l = slices.Insert(*l, at, w)
	e := c.Sleep(deadline, &w.q)
	*l = slices.DeleteFunc(*l, func(x *mqWait) bool { return x == w })
	if w.called {
		return 0
	}
	if e == 0 {
		e = abi.ErrRestart
	}
	return e
}

// MqSend puts a message into a queue and waits until there is room. EBADF, EMSGSIZE,
// EAGAIN, ETIMEDOUT, ErrRestart, ENOMEM. text is asked for once the rest is right.
func (c *Call) MqSend(fd int32, n uint64, prio uint32, text func() ([]byte, abi.Errno), deadline int64) abi.Errno {
	k := c.K
	_, r, e := c.MqFile(fd, AccessWrite)
	if e != 0 {
		return e
	}
	if n > uint64(k.MQueues.Get(r).Size) {
		return abi.EMSGSIZE
	}
	data, e := text()
	if e != 0 {
		return e
	}
	f, r, e := c.MqFile(fd, AccessWrite) // anew: the lock may have been given up
	if e != 0 {
		return e
	}
	data = append([]byte(nil), data...) // the guest may change what lies in the slot
	k.pinFile(f)
	defer k.unpinFile(c, f)
	rt := k.io.mqs.at(r)
	for k.MQueues.Get(r).Cur+mqCalled(rt.sens) >= k.MQueues.Get(r).MaxMsg {
		if k.nonblock(f) {
			return abi.EAGAIN
		}
		if e := c.mqWaitFor(&rt.sens, deadline); e != 0 {
			// Somebody else may have the room.
			q := k.MQueues.Get(r)
			mqCall(rt.sens, q.MaxMsg-q.Cur)
			return e
		}
		if k.MQueues.Get(r).Cur < k.MQueues.Get(r).MaxMsg {
			break
		}
	}
	b := store.PutString(k.Heap, string(data))
	m, rec := k.MQMsgs.New()
	if m == 0 || len(data) > 0 && b.Nil() {
		k.Heap.FreeBlock(b)
		if m != 0 {
			k.MQMsgs.Free(m)
		}
		return abi.ENOMEM
	}
	*rec = MQMsg{Prio: prio, Text: b}
	q := k.MQueues.Mut(r)
	before := store.Ref[MQMsg](0)
	for x := q.Head; x != 0 && k.MQMsgs.Get(x).Prio >= prio; x = k.MQMsgs.Get(x).Next {
		before = x
	}
	if before == 0 {
		rec.Next = q.Head
		q.Head = m
	} else {
		rec.Next = k.MQMsgs.Get(before).Next
		k.MQMsgs.Mut(before).Next = m
	}
	q.Cur++
	q.Bytes += uint64(len(data))
	if len(rt.recvs) > 0 {
		mqCall(rt.recvs, q.Cur)
	} else if q.Cur == 1 {
		c.mqTell(r)
	}
	rt.poll.Wake(PollIn | PollRdNorm)
	return 0
}

// mqTell tells who asked for it that a message came into the empty queue.
func (c *Call) mqTell(r store.Ref[MQueue]) {
	k := c.K
	q := k.MQueues.Mut(r)
	p := q.Notify
	if p == 0 {
		return
	}
	q.Notify = 0
	k.mqCookie(q, mqWoken)
	if k.Procs.Get(p) != nil && k.Procs.Gen(p) == q.NotifyGen && q.NotifyKind == MqNotifySig {
		k.SendSignal(p, &SigInfo{Sig: q.NotifySig, Code: SiMesgq, Pid: c.Proc().Pid, UID: c.Cred().UID, Value: q.NotifyValue})
	}
}

// mqCookie sends a queue's cookie, if it has one, to the socket that waits for it.
func (k *Kernel) mqCookie(q *MQueue, why byte) {
	r := q.NotifySock
	if q.NotifySock = 0; r == 0 || q.NotifyKind != MqNotifyThread || k.Socks.Get(r) == nil || k.Socks.Gen(r) != q.NotifySockGen {
		return
	}
	text := q.Cookie
	text[MqCookie-1] = why
	if (sockQueues{k}).newMsg(r, text[:], 0, store.Block{}, SockCred{}, nil) == 0 {
		k.wakeSock(r, PollIn|PollRdNorm)
	}
}

// mqForget ends that somebody is told of messages.
func (k *Kernel) mqForget(r store.Ref[MQueue]) {
	q := k.MQueues.Mut(r)
	q.Notify = 0
	k.mqCookie(q, mqRemoved)
}

// MqReceive takes the first message and waits until there is one. EBADF, EMSGSIZE (the
// guest's buffer of size bytes is smaller than messages may be), EAGAIN, ETIMEDOUT,
// ErrRestart.
func (c *Call) MqReceive(fd int32, size uint64, deadline int64) (text []byte, prio uint32, e abi.Errno) {
	k := c.K
	f, r, e := c.MqFile(fd, AccessRead)
	if e != 0 {
		return nil, 0, e
	}
	if size < uint64(k.MQueues.Get(r).Size) {
		return nil, 0, abi.EMSGSIZE
	}
	k.pinFile(f)
	defer k.unpinFile(c, f)
	rt := k.io.mqs.at(r)
	for k.MQueues.Get(r).Cur <= mqCalled(rt.recvs) {
		if k.nonblock(f) {
			return nil, 0, abi.EAGAIN
		}
		if e := c.mqWaitFor(&rt.recvs, deadline); e != 0 {
			mqCall(rt.recvs, k.MQueues.Get(r).Cur)
			return nil, 0, e
		}
		if k.MQueues.Get(r).Cur > 0 {
			break
		}
	}
	q := k.MQueues.Mut(r)
	m := *k.MQMsgs.Get(q.Head)
	text = append([]byte(nil), k.Heap.Bytes(m.Text)[:m.Text.Len]...)
	k.Heap.FreeBlock(m.Text)
	k.MQMsgs.Free(q.Head)
	q.Head = m.Next
	q.Cur--
	q.Bytes -= uint64(len(text))
	mqCall(rt.sens, q.MaxMsg-q.Cur)
	rt.poll.Wake(PollOut | PollWrNorm)
	return text, m.Prio, 0
}

// MqNotice says how a process is to be told.
type MqNotice struct {
	Kind, Sig int32
	Value     uint64
	Sock      store.Ref[Socket] // of MqNotifyThread
	Cookie    [MqCookie]byte
}

// MqNotify has the caller's process told of the next message in an empty queue; nil:
// no more. EBADF, EBUSY.
func (c *Call) MqNotify(fd int32, how *MqNotice) abi.Errno {
	k := c.K
	_, r, e := c.MqFile(fd, 0)
	if e != 0 {
		return e
	}
	q := k.MQueues.Get(r)
	live := q.Notify != 0 && k.Procs.Get(q.Notify) != nil && k.Procs.Gen(q.Notify) == q.NotifyGen
	if how == nil {
		if live && q.Notify == c.ProcRef() {
			k.mqForget(r)
		}
		return 0
	}
	if live {
		return abi.EBUSY
	}
	m := k.MQueues.Mut(r)
	m.Notify, m.NotifyGen = c.ProcRef(), k.Procs.Gen(c.ProcRef())
	m.NotifyKind, m.NotifySig, m.NotifyValue = how.Kind, how.Sig, how.Value
	if m.NotifySock, m.Cookie = how.Sock, how.Cookie; how.Sock != 0 {
		m.NotifySockGen = k.Socks.Gen(how.Sock)
	}
	m.NotifyPid = c.Proc().Pid
	return 0
}

type mqOps struct{ stillOps }

// Read gives the text that a file of mqueue(7) has.
func (o mqOps) Read(c *Call, f store.Ref[File], buf []byte, off int64) (int, abi.Errno) {
	k := o.K
	file := k.Files.Get(f)
	q := k.MQueues.Get(mqOf(file))
	kind, sig, pid := int32(0), int32(0), int32(0)
	if q.Notify != 0 {
		kind, pid = q.NotifyKind, q.NotifyPid
		if kind == MqNotifySig {
			sig = q.NotifySig
		}
	}
	text := fmt.Sprintf("QSIZE:%-10d NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n", q.Bytes, kind, sig, pid)
	at := off
	if off < 0 {
		at = file.Off
	}
	if at >= int64(len(text)) {
		return 0, 0
	}
	n := copy(buf, text[at:])
	if off < 0 {
		k.Files.Mut(f).Off += int64(n)
	}
	return n, 0
}

// Seek moves the offset in that text.
func (o mqOps) Seek(_ *Call, f store.Ref[File], off int64, whence int) (int64, abi.Errno) {
	if whence == 2 {
		off, whence = off+mqStatSize, 0
	}
	return o.K.seekText(f, off, whence)
}

func (o mqOps) Poll(f store.Ref[File]) uint32 {
	q := o.K.MQueues.Get(mqOf(o.K.Files.Get(f)))
	var m uint32
	if q.Cur > 0 {
		m |= PollIn | PollRdNorm
	}
	if q.Cur < q.MaxMsg {
		m |= PollOut | PollWrNorm
	}
	return m
}

func (o mqOps) Queue(f store.Ref[File]) *WaitQueue {
	return &o.K.io.mqs.at(mqOf(o.K.Files.Get(f))).poll
}

// mqStatSize is the size that Linux shows of a queue's file (FILENT_SIZE).
const mqStatSize = 80

func (o mqOps) Stat(c *Call, f store.Ref[File]) (fs.Attr, abi.Errno) {
	q := o.K.MQueues.Get(mqOf(o.K.Files.Get(f)))
	t := timeOf(q.Time)
	return fs.Attr{Ino: q.Ino, Mode: fs.TypeReg | q.Mode, Nlink: q.Linked, Size: mqStatSize, BlkSize: 4096,
		UID: q.UID, GID: q.GID, Atime: t, Mtime: t, Ctime: t}, 0
}

// Flush ends that the process is told of messages.
func (o mqOps) Flush(c *Call, f store.Ref[File], p store.Ref[Proc]) {
	r := mqOf(o.K.Files.Get(f))
	if q := o.K.MQueues.Get(r); q.Notify != 0 && q.Notify == p {
		o.K.mqForget(r)
	}
}

func (o mqOps) Release(c *Call, f store.Ref[File]) {
	r := mqOf(o.K.Files.Get(f))
	o.K.MQueues.Mut(r).Opens--
	o.K.mqReap(r)
}

func (o mqOps) LinkName(f store.Ref[File]) string {
	q := o.K.MQueues.Get(mqOf(o.K.Files.Get(f)))
	name := "/" + store.String(o.K.Heap, q.Name)
	if q.Linked == 0 {
		name += " (deleted)"
	}
	return name
}
