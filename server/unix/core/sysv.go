package core

import (
	"slices"

	"hythe/abi"
	"hythe/store"
)

// System V semaphores and message queues (sysvipc(7), semop(2), msgop(2)).

// IPCMax is how many semaphore sets, and how many message queues, a machine has
// (SEMMNI, MSGMNI); an id has the place in its table in the low 15 bits.
const IPCMax = 32000

const ipcShift = 15

// IPCPerm is what all kinds have in common (struct ipc_perm).
type IPCPerm struct {
	ID                   int32
	Key                  int32 // 0 (IPC_PRIVATE): found by no key
	Mode                 uint32
	UID, GID, CUID, CGID uint32
}

func (p *IPCPerm) perm() *IPCPerm { return p }

// ipcRecord is a pointer to the record of something of System V's: it embeds IPCPerm.
type ipcRecord[T any] interface {
	*T
	perm() *IPCPerm
}

// ipcKey finds what has a key, 0 if there is nothing.
func ipcKey[T any, P ipcRecord[T]](t *store.Table[T], key int32) store.Ref[T] {
	var found store.Ref[T]
	t.Each(func(r store.Ref[T], x *T) bool {
		if P(x).perm().Key == key {
			found = r
		}
		return found == 0
	})
	return found
}

// ipcFind finds what has an id, the low bits of which are its place in the table; 0 if
// there is nothing.
func ipcFind[T any, P ipcRecord[T]](t *store.Table[T], id int32, bits uint) store.Ref[T] {
	r := store.Ref[T](id&(1<<bits-1)) + 1
	if x := t.Get(r); id < 0 || x == nil || P(x).perm().ID != id {
		return 0
	}
	return r
}

// ipcNew fills in what a new one has, in place index of its table.
func (c *Call) ipcNew(key int32, mode, index uint32, bits uint) IPCPerm {
	g := c.K.MutGlobals()
	g.NextToken++
	cr := c.Cred()
	return IPCPerm{
		ID:  int32(g.NextToken&(1<<(31-bits)-1))<<bits | int32(index),
		Key: key, Mode: mode, UID: cr.EUID, GID: cr.EGID, CUID: cr.EUID, CGID: cr.EGID,
	}
}

// Accesses that IPCMay asks about.
const (
	IPCRead  = 4
	IPCWrite = 2
)

// IPCMay says whether the caller may have the access want (ipcperms).
func (c *Call) IPCMay(p *IPCPerm, want uint32) bool {
	cr := c.Cred()
	shift := 0
	switch {
	case cr.EUID == p.UID || cr.EUID == p.CUID:
		shift = 6
	case cr.EGID == p.GID || cr.EGID == p.CGID || cr.inGroup(p.GID) || cr.inGroup(p.CGID):
		shift = 3
	}
	return p.Mode>>shift&want == want || c.Capable(CapIpcOwner)
}

// IPCOwner says whether the caller may change or remove it.
func (c *Call) IPCOwner(p *IPCPerm) bool {
	u := c.Cred().EUID
	return u == p.UID || u == p.CUID || c.Capable(CapSysAdmin)
}

// ipcMemory bounds what semaphores, what processes would undo of them, and messages
// take together, in bytes: the heap is everybody's.
const ipcMemory = 64 << 20

// ipcAlloc makes a block for such; nil: there is no memory, or no more for them.
func (k *Kernel) ipcAlloc(n int) store.Block {
	if k.Globals().IPCBytes+uint64(n) > ipcMemory {
		return store.Block{}
	}
	b := k.Heap.Alloc(n)
	if !b.Nil() {
		k.MutGlobals().IPCBytes += uint64(b.Len)
	}
	return b
}

func (k *Kernel) ipcFree(b store.Block) {
	if !b.Nil() {
		k.MutGlobals().IPCBytes -= uint64(b.Len)
		k.Heap.FreeBlock(b)
	}
}

// Limits of semaphores (ipc_namespace's defaults).
const (
	SemPerSet = 32000 // SEMMSL
	SemOps    = 500   // SEMOPM
	SemMax    = 32767 // SEMVMX, and SEMAEM
)

// SemSet is a set of semaphores: in Sems, for each four bytes of value and four
// of the process that changed it last.
type SemSet struct {
	IPCPerm
	N            uint32
	Sems         store.Block
	OTime, CTime int64 // seconds
}

// SemUndo is what is added to the semaphores of a set when a process ends
// (SEM_UNDO): four bytes for each.
type SemUndo struct {
	Proc store.Ref[Proc]
	Set  store.Ref[SemSet]
	Adj  store.Block
}

// SemOp is one operation of semop(2).
type SemOp struct {
	Num          uint16
	Op           int16
	NoWait, Undo bool
}

// semWait is a call that waits; derived, as wait queues are. blocked is the
// operation that cannot be done. Who makes it possible does all of them, and notes
// so in the thread's record (Progress): nobody comes between.
type semWait struct {
	t       store.Ref[Thread]
	ops     []SemOp
	blocked SemOp
	q       WaitQueue
}

type semRT struct{ waits []*semWait }

// SemFind finds a set by its id; 0 if there is none.
func (k *Kernel) SemFind(id int32) store.Ref[SemSet] { return ipcFind(k.SemSets, id, ipcShift) }

// SemKey finds a set by its key, 0 if there is none.
func (k *Kernel) SemKey(key int32) store.Ref[SemSet] { return ipcKey(k.SemSets, key) }

// SemNew makes a set of n semaphores. ENOSPC: too many.
func (c *Call) SemNew(key int32, n, mode uint32) (store.Ref[SemSet], abi.Errno) {
	k := c.K
	r, s := k.SemSets.New()
	if r == 0 {
		return 0, abi.ENOSPC
	}
	b := k.ipcAlloc(int(n) * 8)
	if b.Nil() {
		k.SemSets.Free(r)
		return 0, abi.ENOSPC
	}
	*s = SemSet{IPCPerm: c.ipcNew(key, mode, uint32(r-1), ipcShift), N: n, Sems: b, CTime: k.Clock.Real() / 1e9}
	return r, 0
}

// SemValue answers a semaphore's value and who changed it last.
func (k *Kernel) SemValue(r store.Ref[SemSet], num uint32) (value, pid int32) {
	b := k.Heap.Bytes(k.SemSets.Get(r).Sems)[8*num:]
	return int32(uint32(le64(b))), int32(le64(b) >> 32)
}

func (k *Kernel) semSet(r store.Ref[SemSet], num uint32, value, pid int32) {
	putLE64(k.Heap.MutBytes(k.SemSets.Get(r).Sems, int(8*num), 8), uint64(uint32(value))|uint64(uint32(pid))<<32)
}

// SemWaiting counts the calls that wait for a semaphore to grow, or to become zero.
func (k *Kernel) SemWaiting(r store.Ref[SemSet], num uint32, zero bool) int {
	n := 0
	for _, w := range k.io.sems.at(r).waits {
		if uint32(w.blocked.Num) == num && (w.blocked.Op == 0) == zero {
			n++
		}
	}
	return n
}

// semUndo finds the undo record of a process for a set.
func (k *Kernel) semUndo(p store.Ref[Proc], r store.Ref[SemSet]) store.Ref[SemUndo] {
	var found store.Ref[SemUndo]
	if k.SemUndos.Len() > 0 {
		k.SemUndos.Each(func(u store.Ref[SemUndo], a *SemUndo) bool {
			if a.Proc == p && a.Set == r {
				found = u
			}
			return found == 0
		})
	}
	return found
}

func adjOf(b []byte, num uint16) int32 {
	b = b[4*int(num):]
	return int32(uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24)
}

func putAdj(b []byte, v int32) {
	b[0], b[1], b[2], b[3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
}

// semTry does all operations of a call of process p, or none. EAGAIN: blocked
// cannot be done now; ERANGE; ENOMEM.
func (k *Kernel) semTry(p store.Ref[Proc], r store.Ref[SemSet], ops []SemOp) (blocked SemOp, e abi.Errno) {
	var undo store.Ref[SemUndo]
	var adj []byte
	if slices.ContainsFunc(ops, func(o SemOp) bool { return o.Undo }) {
		if undo = k.semUndo(p, r); undo == 0 {
			b := k.ipcAlloc(int(k.SemSets.Get(r).N) * 4)
			u, m := k.SemUndos.New()
			if b.Nil() || u == 0 {
				k.ipcFree(b)
				if u != 0 {
					k.SemUndos.Free(u)
				}
				return SemOp{}, abi.ENOMEM
			}
			*m = SemUndo{Proc: p, Set: r, Adj: b}
			undo = u
		}
		adj = k.Heap.Bytes(k.SemUndos.Get(undo).Adj)
	}
	// First on paper: an operation sees what those before it in the list did.
	type state struct{ value, adj int32 }
	now := make(map[uint16]state, len(ops))
	for _, o := range ops {
		s, ok := now[o.Num]
		if !ok {
			s.value, _ = k.SemValue(r, uint32(o.Num))
			if adj != nil {
				s.adj = adjOf(adj, o.Num)
			}
		}
		v := s.value + int32(o.Op)
		if o.Op == 0 && s.value != 0 || v < 0 {
			return o, abi.EAGAIN
		}
		if v > SemMax {
			return o, abi.ERANGE
		}
		s.value = v
		if o.Undo {
			if s.adj -= int32(o.Op); s.adj < -SemMax-1 || s.adj > SemMax {
				return o, abi.ERANGE
			}
		}
		now[o.Num] = s
	}
	pid := k.Procs.Get(p).Pid
	for _, o := range ops {
		k.semSet(r, uint32(o.Num), now[o.Num].value, pid)
		if o.Undo {
			putAdj(k.Heap.MutBytes(k.SemUndos.Get(undo).Adj, 4*int(o.Num), 4), now[o.Num].adj)
		}
	}
	k.SemSets.Mut(r).OTime = k.Clock.Real() / 1e9
	return SemOp{}, 0
}

// semChanged does what waiting calls wait for, as far as it can be done now, in
// the order in which they came.
func (k *Kernel) semChanged(r store.Ref[SemSet]) {
	rt := k.io.sems.at(r)
	for i := 0; i < len(rt.waits); {
		w := rt.waits[i]
		if k.threadRT(w.t).gone { // it is on its way out
			i++
			continue
		}
		blocked, e := k.semTry(k.Threads.Get(w.t).Proc, r, w.ops)
		if e == abi.EAGAIN && !blocked.NoWait {
			w.blocked = blocked
			i++
			continue
		}
		rt.waits = slices.Delete(rt.waits, i, i+1)
		w.q.Wake(^uint32(0)) // with an error it finds that out by itself
		if e == 0 {
			k.Threads.Mut(w.t).Progress = 1
			i = 0
		}
	}
}

// SemOperate does ops to the set with this id, all at once, and waits until that is
// possible (NoDeadline: for ever). EINVAL, EFBIG, EACCES, EAGAIN (in time, or an
// operation does not wait), EIDRM, EINTR, ERANGE, ENOMEM.
func (c *Call) SemOperate(id int32, ops []SemOp, deadline int64) abi.Errno {
	k := c.K
	if c.Thread().Progress != 0 {
		return 0 // done by who made it possible, before the server died
	}
	r := k.SemFind(id)
	if r == 0 {
		return abi.EINVAL
	}
	want := uint32(IPCRead)
	for _, o := range ops {
		if uint32(o.Num) >= k.SemSets.Get(r).N {
			return abi.EFBIG
		}
		if o.Op != 0 {
			want = IPCWrite
		}
	}
	if !c.IPCMay(&k.SemSets.Get(r).IPCPerm, want) {
		return abi.EACCES
	}
	for {
		blocked, e := k.semTry(c.ProcRef(), r, ops)
		if e == 0 {
			if want == IPCWrite {
				k.semChanged(r)
			}
			return 0
		}
		if e != abi.EAGAIN || blocked.NoWait {
			return e
		}
		w := &semWait{t: c.T, ops: ops, blocked: blocked}
		rt := k.io.sems.at(r)
		rt.waits = append(rt.waits, w)
		e = c.Sleep(deadline, &w.q)
		if i := slices.Index(rt.waits, w); i >= 0 {
			rt.waits = slices.Delete(rt.waits, i, i+1)
		}
		switch {
		case c.Thread().Progress != 0:
			return 0
		case k.SemFind(id) != r:
			return abi.EIDRM
		case e == abi.ETIMEDOUT:
			return abi.EAGAIN
		case e != 0:
			return abi.EINTR
		}
	}
}

// SemStore sets semaphores of a set, from number first on. What processes would
// undo of it is forgotten.
func (c *Call) SemStore(r store.Ref[SemSet], first uint32, values []int32) {
	k := c.K
	pid := c.Proc().Pid
	for i, v := range values {
		k.semSet(r, first+uint32(i), v, pid)
	}
	k.SemUndos.Each(func(u store.Ref[SemUndo], a *SemUndo) bool {
		if a.Set == r {
			clear(k.Heap.MutBytes(a.Adj, 4*int(first), 4*len(values)))
		}
		return true
	})
	k.SemSets.Mut(r).CTime = k.Clock.Real() / 1e9
	k.semChanged(r)
}

// SemRemove removes a set; who waits for it gets EIDRM.
func (k *Kernel) SemRemove(r store.Ref[SemSet]) {
	k.SemUndos.Each(func(u store.Ref[SemUndo], a *SemUndo) bool {
		if a.Set == r {
			k.ipcFree(a.Adj)
			k.SemUndos.Free(u)
		}
		return true
	})
	for _, w := range k.io.sems.at(r).waits {
		w.q.Wake(^uint32(0))
	}
	k.io.sems.drop(r)
	k.ipcFree(k.SemSets.Get(r).Sems)
	k.SemSets.Free(r)
}

// semLeave does what a process that ends has left to undo.
func (k *Kernel) semLeave(p store.Ref[Proc]) {
	if k.SemUndos.Len() == 0 {
		return
	}
	var l []store.Ref[SemUndo]
	k.SemUndos.Each(func(u store.Ref[SemUndo], a *SemUndo) bool {
		if a.Proc == p {
			l = append(l, u)
		}
		return true
	})
	pid := k.Procs.Get(p).Pid
	for _, u := range l {
		a := *k.SemUndos.Get(u)
		adj := k.Heap.Bytes(a.Adj)
		for num := range k.SemSets.Get(a.Set).N {
			if d := adjOf(adj, uint16(num)); d != 0 {
				v, _ := k.SemValue(a.Set, num)
				k.semSet(a.Set, num, min(max(v+d, 0), SemMax), pid)
			}
		}
		k.SemSets.Mut(a.Set).OTime = k.Clock.Real() / 1e9
		k.ipcFree(a.Adj)
		k.SemUndos.Free(u)
		k.semChanged(a.Set)
	}
}

// Limits of messages.
const (
	MsgMax   = 8192  // MSGMAX, bytes of one
	MsgQueue = 16384 // MSGMNB, of a queue
)

// MsgQ is a message queue.
type MsgQ struct {
	IPCPerm
	Bytes, Num, Room    uint64 // in it; how much it takes
	Head, Tail          store.Ref[Msg]
	STime, RTime, CTime int64 // seconds
	SPid, RPid          int32
}

// Msg is a message in a queue.
type Msg struct {
	Next store.Ref[Msg]
	Type int64
	Text store.Block
}

type msgRT struct{ rq, wq WaitQueue }

// MsgFind finds a queue by its id; 0 if there is none.
func (k *Kernel) MsgFind(id int32) store.Ref[MsgQ] { return ipcFind(k.MsgQs, id, ipcShift) }

// MsgKey finds a queue by its key, 0 if there is none.
func (k *Kernel) MsgKey(key int32) store.Ref[MsgQ] { return ipcKey(k.MsgQs, key) }

// MsgNew makes a queue. ENOSPC: too many.
func (c *Call) MsgNew(key int32, mode uint32) (store.Ref[MsgQ], abi.Errno) {
	r, q := c.K.MsgQs.New()
	if r == 0 {
		return 0, abi.ENOSPC
	}
	*q = MsgQ{IPCPerm: c.ipcNew(key, mode, uint32(r-1), ipcShift), Room: MsgQueue, CTime: c.K.Clock.Real() / 1e9}
	return r, 0
}

// MsgSend appends a message. EINVAL, EACCES, EAGAIN, EIDRM, ErrRestartNoHnd, ENOMEM.
func (c *Call) MsgSend(id int32, typ int64, text []byte, nowait bool) abi.Errno {
	k := c.K
	r := k.MsgFind(id)
	if r == 0 {
		return abi.EINVAL
	}
	n := uint64(len(text))
	for {
		q := k.MsgQs.Get(r)
		if !c.IPCMay(&q.IPCPerm, IPCWrite) {
			return abi.EACCES
		}
		if q.Bytes+n <= q.Room && q.Num+1 <= q.Room {
			break
		}
		if nowait {
			return abi.EAGAIN
		}
		e := c.Sleep(NoDeadline, &k.io.msgs.at(r).wq)
		switch {
		case k.MsgFind(id) != r:
			return abi.EIDRM
		case e != 0:
			return abi.ErrRestartNoHnd
		}
	}
	var b store.Block
	if n > 0 {
		b = k.ipcAlloc(int(n))
	}
	m, rec := k.Msgs.New()
	if m == 0 || n > 0 && b.Nil() {
		if m != 0 {
			k.Msgs.Free(m)
		}
		k.ipcFree(b)
		return abi.ENOMEM
	}
	if n > 0 {
		copy(k.Heap.Bytes(b), text)
	}
	*rec = Msg{Type: typ, Text: b}
	q := k.MsgQs.Mut(r)
	if q.Tail != 0 {
		k.Msgs.Mut(q.Tail).Next = m
	} else {
		q.Head = m
	}
	q.Tail = m
	q.Num++
	q.Bytes += n
	q.SPid = c.Proc().Pid
	q.STime = k.Clock.Real() / 1e9
	k.io.msgs.at(r).rq.Wake(^uint32(0))
	return 0
}

// MsgWant is which message msgrcv(2) is to take: of type Type (0: the first, below
// 0: the lowest of at most that) or, with Except, of any other. With Copy, a copy
// of the one in place Type. Of one with more than Size bytes the rest is lost with
// Cut, else E2BIG.
type MsgWant struct {
	Size              uint64
	Type              int64
	Except, Copy, Cut bool
	NoWait            bool
}

// msgPick finds the message that is wanted, and the one before it.
func (k *Kernel) msgPick(r store.Ref[MsgQ], w *MsgWant) (m, before store.Ref[Msg]) {
	var last store.Ref[Msg]
	lowest, place := int64(0), int64(0)
	for x := k.MsgQs.Get(r).Head; x != 0; x = k.Msgs.Get(x).Next {
		t := k.Msgs.Get(x).Type
		switch {
		case w.Copy:
			if place == w.Type {
				return x, last
			}
			place++
		case w.Type == 0, w.Type > 0 && (t == w.Type) != w.Except:
			return x, last
		case w.Type < 0 && (t <= -w.Type || w.Type == -w.Type) && (m == 0 || t < lowest):
			m, before, lowest = x, last, t
		}
		last = x
	}
	return m, before
}

// MsgReceive takes a message. EINVAL, EACCES, E2BIG, ENOMSG, EIDRM, ErrRestartNoHnd.
func (c *Call) MsgReceive(id int32, w MsgWant) (typ int64, text []byte, e abi.Errno) {
	k := c.K
	r := k.MsgFind(id)
	if r == 0 {
		return 0, nil, abi.EINVAL
	}
	for {
		if !c.IPCMay(&k.MsgQs.Get(r).IPCPerm, IPCRead) {
			return 0, nil, abi.EACCES
		}
		m, before := k.msgPick(r, &w)
		if m != 0 {
			rec := *k.Msgs.Get(m)
			n := uint64(rec.Text.Len)
			if n > w.Size && !w.Cut {
				return 0, nil, abi.E2BIG
			}
			text = append([]byte(nil), k.Heap.Bytes(rec.Text)[:min(n, w.Size)]...)
			if !w.Copy {
				k.msgTake(r, m, before)
				q := k.MsgQs.Mut(r)
				q.RPid = c.Proc().Pid
				q.RTime = k.Clock.Real() / 1e9
				k.io.msgs.at(r).wq.Wake(^uint32(0))
			}
			return rec.Type, text, 0
		}
		if w.NoWait {
			return 0, nil, abi.ENOMSG
		}
		e := c.Sleep(NoDeadline, &k.io.msgs.at(r).rq)
		switch {
		case k.MsgFind(id) != r:
			return 0, nil, abi.EIDRM
		case e != 0:
			return 0, nil, abi.ErrRestartNoHnd
		}
	}
}

func (k *Kernel) msgTake(r store.Ref[MsgQ], m, before store.Ref[Msg]) {
	rec := *k.Msgs.Get(m)
	q := k.MsgQs.Mut(r)
	if before != 0 {
		k.Msgs.Mut(before).Next = rec.Next
	} else {
		q.Head = rec.Next
	}
	if q.Tail == m {
		q.Tail = before
	}
	q.Num--
	q.Bytes -= uint64(rec.Text.Len)
	k.ipcFree(rec.Text)
	k.Msgs.Free(m)
}

// MsgSet changes how much a queue takes; who waits looks again.
func (k *Kernel) MsgSet(r store.Ref[MsgQ], room uint64) {
	q := k.MsgQs.Mut(r)
	q.Room = room
	q.CTime = k.Clock.Real() / 1e9
	rt := k.io.msgs.at(r)
	rt.rq.Wake(^uint32(0))
	rt.wq.Wake(^uint32(0))
}

// MsgRemove removes a queue with what is in it; who waits for it gets EIDRM.
func (k *Kernel) MsgRemove(r store.Ref[MsgQ]) {
	for k.MsgQs.Get(r).Head != 0 {
		k.msgTake(r, k.MsgQs.Get(r).Head, 0)
	}
	rt := k.io.msgs.at(r)
	rt.rq.Wake(^uint32(0))
	rt.wq.Wake(^uint32(0))
	k.io.msgs.drop(r)
	k.MsgQs.Free(r)
}
