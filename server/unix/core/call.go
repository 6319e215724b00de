package core

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/store"
)

// Chan is the slot that a call came by. The serve loop implements it over a
// binding, tests over plain memory.
type Chan interface {
	// In and Out are the slot's data areas (abi.SlotInOff, SlotOutOff).
	In() []byte
	Out() []byte
	// Extent answers what the library copied in for argument arg.
	Extent(arg int) (off, n uint32, fault, ok bool)
	// InUsed is how many bytes of In the request occupies.
	InUsed() uint32
	// More publishes the actions and waits until the library has carried them
	// out; false when the task died. A[3] and A[4] of the actions are read
	// back. Called without the lock.
	More(acts []abi.Action) bool
	// Stage stores the actions that the next More will publish, and answers the
	// number that it will have: a call's rise, over all incarnations.
	Stage(acts []abi.Action) uint32
	// Back answers the number of the last More that the library had carried out
	// when this incarnation got the call, 0 for none.
	Back() uint32
	// Repeat publishes what a dead incarnation has staged, under its number, as
	// More does.
	Repeat() bool
}

// Call is one request of a guest thread while it is served.
type Call struct {
	K *Kernel
	// T is the calling thread, 0 for a task that is not known yet.
	T    store.Ref[Thread]
	Task TaskID
	Slot uint32
	Kind uint32
	Nr   uint64
	Args [8]uint64
	Regs abi.Regs
	Seq  uint64
	// Late are calls that the library has served before this one (abi.Slot.Late).
	Late                uint32
	LateRobust, LateTid uint64
	LateMask            uint64
	// Done is how much of a write the library has written before it asked.
	Done uint32

	Chan Chan
	// Leader: this goroutine polls the bindings when it is not serving.
	Leader bool
	// Settle has the answer wait until those have been kicked whom the call kicks.
	Settle bool
	// namesHosts: it looks for /etc/hosts to write there (hostsfile.go).
	namesHosts bool

	// The reply.
	Result  uint64
	Err     abi.Errno
	Flags   uint32 // abi.Reply...
	Acts    []abi.Action
	outUsed uint32
	// outFault: a copy out that was flushed met memory that the guest cannot write.
	outFault bool
	// flushed: the lock was given up for a flush (finish).
	flushed bool
	// outLost is how many bytes of abi.ActCount the last flush did not bring.
	outLost uint64
	// taking: what the call has done cannot be done again (Taken). spilled are the
	// parts of its reply that did not fit into the slot since then (parts.go).
	taking  bool
	spilled []part
	// took is what the call's read took last.
	took     taken
	sentTail []byte // the end of what was sent by a stream (inetstamp.go)
	inUsed   uint32
	actsBuf  *[abi.MaxActions]abi.Action // acts makes it
	// NoReply: the slot gets no answer now (the thread is gone, or its reply
	// is given by somebody else later).
	NoReply bool

	sleeper sleeper
	// credAs, when set, is what a walk checks permissions with (access(2)).
	credAs *Cred

	// The state to continue with, when SetRegs chose one (finish.go).
	userRegs abi.Regs
	regsSet  bool
	regsFS   bool
	// localCut: the poll reports a local call that a kick has cut.
	localCut bool
	// WantName: the caller's library would keep the answer about a name (KeepName), which is
	// good as long as what the call's walks have seen.
	WantName bool
	seen     seen
	// WantNear: the library has room for answers about other names beside that (KeepNear); near
	// stores them, if it is a call that has them.
	WantNear bool
	near     func(c *Call, b []byte, s *Stat)
	// foreseen: nobody has made it (Foresee): what is not known is EAGAIN, and nothing is changed.
	foreseen bool
	// plainRead, plainWrite: it is one that the library could serve if the file were lent. put is how much of
	// the write was written when it is to go on with it.
	plainRead, plainWrite bool
	put                   uint64
	// Local is what the library serves of such calls (abi.Local...), as far as it was told.
	Local uint8
	// outside: the lock is given up.
	outside bool
	// fetched is what was copied in; noted for the tracer only.
	fetched []extent
	// ended: the thread or its process has ended in this call.
	ended bool
	// tellsMask: the library is told what the thread blocks when the call ends.
	tellsMask bool
	// exiting: the actions so far are what an ending thread leaves behind.
	exiting bool
}

// Reset makes c ready for another request.
func (c *Call) Reset() {
	ch := c.sleeper.ch
	gen := c.sleeper.gen
	fetched := c.fetched[:0]
	leader := c.Leader
	k, buf := c.K, c.actsBuf
	*c = Call{K: k, Leader: leader, actsBuf: buf}
	c.sleeper.ch = ch
	c.sleeper.gen = gen
	c.fetched = fetched
	c.Acts = c.acts()[:0]
}

// acts is the room for the reply's actions, which Reset keeps: it is most of a Call.
func (c *Call) acts() *[abi.MaxActions]abi.Action {
	if c.actsBuf == nil {
		c.actsBuf = new([abi.MaxActions]abi.Action)
	}
	return c.actsBuf
}

// Thread answers the calling thread's record, to read.
func (c *Call) Thread() *Thread { return c.K.Threads.Get(c.T) }

// MutThread answers it to change.
func (c *Call) MutThread() *Thread { return c.K.Threads.Mut(c.T) }

// ProcRef is the calling process.
func (c *Call) ProcRef() store.Ref[Proc] { return c.K.Threads.Get(c.T).Proc }

// Proc answers the calling process's record, to read.
func (c *Call) Proc() *Proc { return c.K.Procs.Get(c.ProcRef()) }

// MutProc answers it to change.
func (c *Call) MutProc() *Proc { return c.K.Procs.Mut(c.ProcRef()) }

// Cred answers the calling thread's credentials.
func (c *Call) Cred() *Cred { return c.K.Creds.Get(c.Thread().Cred) }

// Ret stores the result.
func (c *Call) Ret(v uint64) { c.Result, c.Err = v, 0 }

// Fail stores an error as the result.
func (c *Call) Fail(e abi.Errno) { c.Result, c.Err = 0, e }

// Act adds an action to the reply. The list is bounded (abi.MaxActions): when it is full,
// what there is is carried out first (gives up the lock), or becomes a part of the
// reply (Taken).
func (c *Call) Act(op uint32, flags uint32, a ...uint64) {
	if len(c.Acts) == abi.MaxActions {
		if c.taking {
			c.spill()
		} else {
			c.Flush()
		}
	}
	var x abi.Action
	x.Op, x.Flags = op, flags
	copy(x.A[:], a)
	c.Acts = append(c.Acts, x)
}

// Flush has the library carry out the actions so far (gives up the lock) and
// empties the Out area. False: the task died. After Taken nothing is carried out
// yet: the actions become a part of the reply.
func (c *Call) Flush() bool {
	if len(c.Acts) == 0 {
		c.outUsed = 0
		return true
	}
	if c.taking {
		c.spill()
		c.outUsed = 0
		return true
	}
	return c.flush()
}

// flush carries the actions out now.
func (c *Call) flush() bool {
	ok := true
	c.flushed = true
	c.Unlocked(func() { ok = c.Chan.More(c.Acts) })
	c.outLost = 0
	for i := range c.Acts {
		a := &c.Acts[i]
		if a.Flags&abi.ActCount != 0 && a.A[3] <= a.A[2] {
			c.outLost += a.A[2] - a.A[3]
		}
		if a.Op == abi.ActCopyOut && a.Flags&abi.ActIgnore == 0 && a.A[3] < a.A[2] {
			c.outFault = true
		}
	}
	c.Acts = c.acts()[:0]
	c.outUsed = 0
	return ok
}

// Prefetched answers the bytes that the library copied in for argument arg and
// whether the guest's memory ended early; ok is false if it copied nothing for
// it. The bytes lie in shared memory: copy what must not change.
func (c *Call) Prefetched(arg int) (b []byte, fault, ok bool) {
	off, n, fault, ok := c.Chan.Extent(arg)
	if !ok {
		return nil, false, false
	}
	return c.Chan.In()[off : off+n], fault, true
}

// inAlloc reserves n bytes of the In area behind the request.
func (c *Call) inAlloc(n int) (off uint32, ok bool) {
	if c.inUsed == 0 {
		c.inUsed = c.Chan.InUsed()
	}
	c.inUsed = (c.inUsed + 7) &^ 7
	if int(c.inUsed)+n > abi.SlotInSize {
		return 0, false
	}
	off = c.inUsed
	c.inUsed += uint32(n)
	return off, true
}

// InReset forgets what CopyIn has fetched so far, to make room for more.
func (c *Call) InReset() { c.inUsed, c.fetched = c.Chan.InUsed(), c.fetched[:0] }

// CopyIn fetches n bytes at addr from the guest (gives up the lock unless the
// library sent them along). The answer lies in the In area, which the guest
// can change: decode it once. EFAULT; E2BIG if n does not fit (about 120 KiB in
// all; InReset makes room).
func (c *Call) CopyIn(addr uint64, n int) ([]byte, abi.Errno) {
	if n == 0 {
		return nil, 0
	}
	off, ok := c.inAlloc(n)
	if !ok {
		return nil, abi.E2BIG
	}
	got, e := c.copyInAt(addr, n, off)
	if e == 0 && got < n {
		e = abi.EFAULT
	}
	if e != 0 {
		return nil, e
	}
	return c.Chan.In()[off : int(off)+n], 0
}

// CopyInPart is CopyIn that answers what could be copied (at least one byte).
func (c *Call) CopyInPart(addr uint64, n int) ([]byte, abi.Errno) {
	if n == 0 {
		return nil, 0
	}
	off, ok := c.inAlloc(n)
	if !ok {
		return nil, abi.E2BIG
	}
	got, e := c.copyInAt(addr, n, off)
	if e == 0 && got == 0 {
		e = abi.EFAULT
	}
	if e != 0 {
		return nil, e
	}
	return c.Chan.In()[off : int(off)+got], 0
}

func (c *Call) copyInAt(addr uint64, n int, off uint32) (int, abi.Errno) {
	if len(c.Acts) > 0 && !c.Flush() {
		return 0, abi.EINTR
	}
	a := [1]abi.Action{{Op: abi.ActCopyIn, Flags: abi.ActIgnore, A: [5]uint64{addr, uint64(off) + abi.SlotInOff, uint64(n)}}}
	ok := false
	c.Unlocked(func() { ok = c.Chan.More(a[:]) })
	if !ok {
		return 0, abi.EINTR
	}
	got := a[0].A[3]
	if got > uint64(n) {
		got = 0
	}
	c.fetchedAt(addr, off, uint32(got))
	return int(got), 0
}

// CopyInStr fetches the NUL-terminated string at addr, of at most max bytes
// without the NUL: EFAULT, or ENAMETOOLONG when there is no NUL among them.
func (c *Call) CopyInStr(addr uint64, max int) (string, abi.Errno) {
	off, ok := c.inAlloc(max + 1)
	if !ok {
		return "", abi.E2BIG
	}
	if len(c.Acts) > 0 && !c.Flush() {
		return "", abi.EINTR
	}
	a := [1]abi.Action{{Op: abi.ActCopyStr, Flags: abi.ActIgnore, A: [5]uint64{addr, uint64(off) + abi.SlotInOff, uint64(max) + 1}}}
	c.Unlocked(func() { ok = c.Chan.More(a[:]) })
	if !ok {
		return "", abi.EINTR
	}
	n := a[0].A[3]
	if a[0].A[4] == 2 || n > uint64(max)+1 {
		return "", abi.EFAULT
	}
	if a[0].A[4] != 1 {
		return "", abi.ENAMETOOLONG
	}
	s := string(c.Chan.In()[off : uint64(off)+n])
	c.fetchedAt(addr, off, uint32(n))
	c.inUsed = off + uint32(n) + 1
	return s, 0
}

// PathArg answers the string that argument arg points to: prefetched, or
// fetched. At most 4095 bytes: ENAMETOOLONG; EFAULT.
func (c *Call) PathArg(arg int) (string, abi.Errno) {
	if b, fault, ok := c.Prefetched(arg); ok {
		if fault {
			return "", abi.EFAULT
		}
		if len(b) >= 4096 {
			return "", abi.ENAMETOOLONG
		}
		return string(b), 0
	}
	if c.Args[arg] == 0 {
		return "", abi.EFAULT
	}
	return c.CopyInStr(c.Args[arg], 4095)
}

// StructArg answers n bytes at argument arg, prefetched or fetched, as a
// private copy.
func (c *Call) StructArg(arg, n int) ([]byte, abi.Errno) {
	if b, fault, ok := c.Prefetched(arg); ok && len(b) >= n {
		if fault && len(b) < n {
			return nil, abi.EFAULT
		}
		return append([]byte(nil), b[:n]...), 0
	}
	b, e := c.CopyIn(c.Args[arg], n)
	if e != 0 {
		return nil, e
	}
	return append([]byte(nil), b...), 0
}

// OutBuf reserves n bytes of the Out area (at most what Room says) for data
// that the caller fills and then hands out with CopyOutBuf.
func (c *Call) OutBuf(n int) []byte {
	off := (c.outUsed + 7) &^ 7
	return c.Chan.Out()[off : int(off)+n]
}

// OutFault says whether a copy out that was flushed met memory that the guest
// cannot write: more of the kind would be wasted.
func (c *Call) OutFault() bool { return c.outFault }

// OutRoom is how many bytes OutBuf can give now.
func (c *Call) OutRoom() int { return abi.SlotOutSize - int((c.outUsed+7)&^7) }

// CopyOutBuf adds the action that copies the first n bytes of the last OutBuf
// to the guest's addr.
func (c *Call) CopyOutBuf(addr uint64, n int) {
	if n == 0 {
		return
	}
	c.Act(abi.ActCopyOut, 0, addr, c.outAt(n), uint64(n))
}

// outAt answers where in the slot the first n bytes of the last OutBuf are, which stay there.
func (c *Call) outAt(n int) uint64 {
	off := (c.outUsed + 7) &^ 7
	c.outUsed = off + uint32(n)
	return uint64(off) + abi.SlotOutOff
}

// CountOutBuf is CopyOutBuf for bytes that the result counts (abi.ActCount).
func (c *Call) CountOutBuf(addr uint64, n int) {
	c.CopyOutBuf(addr, n)
	if n > 0 {
		c.Acts[len(c.Acts)-1].Flags |= abi.ActCount
	}
}

// CopyOut copies b to the guest at addr when the call ends; a fault then makes
// the call's result EFAULT. More than fits is flushed first (gives up the lock).
func (c *Call) CopyOut(addr uint64, b []byte) {
	for len(b) > 0 {
		room := c.OutRoom()
		if room == 0 || len(c.Acts) == abi.MaxActions {
			if !c.Flush() {
				return
			}
			continue
		}
		n := min(room, len(b))
		copy(c.OutBuf(n), b[:n])
		c.CopyOutBuf(addr, n)
		addr += uint64(n)
		b = b[n:]
	}
}

// CopyOut32 and CopyOut64 copy one little-endian integer out.
func (c *Call) CopyOut32(addr uint64, v uint32) {
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], v)
	c.CopyOut(addr, b[:])
}

// CopyOut64 is CopyOut32 for 64 bits.
func (c *Call) CopyOut64(addr uint64, v uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	c.CopyOut(addr, b[:])
}

// CopyIn32 and CopyIn64 fetch one little-endian integer (may give up the lock).
func (c *Call) CopyIn32(addr uint64) (uint32, abi.Errno) {
	b, e := c.CopyIn(addr, 4)
	if e != 0 {
		return 0, e
	}
	return binary.LittleEndian.Uint32(b), 0
}

// CopyIn64 is CopyIn32 for 64 bits.
func (c *Call) CopyIn64(addr uint64) (uint64, abi.Errno) {
	b, e := c.CopyIn(addr, 8)
	if e != 0 {
		return 0, e
	}
	return binary.LittleEndian.Uint64(b), 0
}

// IOVec is one element of a scatter-gather list in guest memory.
type IOVec struct{ Base, Len uint64 }

// IOVecs fetches the iovec array at addr (16 bytes each, base and length).
// EINVAL for more than 1024 elements or a total above 1<<63-1.
func (c *Call) IOVecs(addr uint64, n int) ([]IOVec, abi.Errno) {
	if n < 0 || n > 1024 {
		return nil, abi.EINVAL
	}
	if n == 0 {
		return nil, 0
	}
	b, e := c.CopyIn(addr, 16*n)
	if e != 0 {
		return nil, e
	}
	v := make([]IOVec, n)
	var total uint64
	for i := range v {
		v[i].Base = binary.LittleEndian.Uint64(b[16*i:])
		v[i].Len = binary.LittleEndian.Uint64(b[16*i+8:])
		total += v[i].Len
		if v[i].Len >= 1<<63 || total >= 1<<63 {
			return nil, abi.EINVAL
		}
	}
	return v, 0
}

// IOVecArg is IOVecs for the array of n elements at argument arg, which the
// library may have sent along (abi.PreIov, abi.PreIovRO).
func (c *Call) IOVecArg(arg, n int) ([]IOVec, abi.Errno) {
	b, fault, ok := c.Prefetched(arg)
	if n <= 0 || n > 1024 || !ok || fault || len(b) < 16*n {
		return c.IOVecs(c.Args[arg], n)
	}
	v := make([]IOVec, n)
	var total uint64
	for i := range v {
		v[i] = IOVec{binary.LittleEndian.Uint64(b[16*i:]), binary.LittleEndian.Uint64(b[16*i+8:])}
		total += v[i].Len
		if v[i].Len >= 1<<63 || total >= 1<<63 {
			return nil, abi.EINVAL
		}
	}
	return v, 0
}
