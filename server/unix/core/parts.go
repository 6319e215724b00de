package core

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/store"
)

// Replies that do not fit into a slot: the library carries them out in parts
// (abi.SlotMore). What a call took out of a pipe, a socket or a terminal is
// committed with all that is to become of it, so that a server that dies on the
// way to the guest leaves its next incarnation what is missing, and the guest
// gets each part once:
//
//   - after Taken nothing is carried out before the call ends (spill). Then the
//     rest of the reply is stored in the thread's record, in the transaction that
//     takes (storeParts), and delivered part by part (deliver);
//   - a call that goes on taking, perhaps sleeping in between, has what is there
//     carried out at its Checkpoint, where its record says how far it has come.
//
// Each part has a number (Thread.PartNo), and the library says which one it has
// carried out (abi.Slot.Back). A new incarnation first publishes the part that
// was committed and not published; it is in the slot still (resumeParts).

// part is a piece of a reply: actions, and the bytes to which they refer.
type part struct {
	acts []abi.Action
	data []byte
}

// Taken says that what the call has done from here on must not be done again, or
// without its reply.
func (c *Call) Taken() { c.taking = true }

// spill makes a part of the actions so far. The Out area is free after it, but for
// what actions that come may refer to.
func (c *Call) spill() {
	c.spilled = append(c.spilled, c.cut())
	c.Acts = c.acts()[:0]
}

// cut answers the actions so far as a part.
func (c *Call) cut() part {
	p := part{acts: append([]abi.Action(nil), c.Acts...)}
	move := func(at *uint64, n uint64) {
		off := *at - abi.SlotOutOff
		*at = uint64(len(p.data)) + abi.SlotOutOff
		p.data = append(p.data, c.Chan.Out()[off:off+n]...)
	}
	for i := range p.acts {
		switch a := &p.acts[i]; a.Op {
		case abi.ActCopyOut:
			move(&a.A[1], a.A[2])
		case abi.ActRegs:
			move(&a.A[0], uint64(regsSize))
		}
	}
	return p
}

// dropReply forgets what the reply was to do.
func (c *Call) dropReply() {
	c.Acts = c.acts()[:0]
	c.taking, c.spilled = false, nil
}

// dropParts forgets parts that nobody waits for.
func (k *Kernel) dropParts(t store.Ref[Thread]) {
	if k.Threads.Get(t).Parts.Nil() {
		return
	}
	m := k.Threads.Mut(t)
	k.Heap.FreeBlock(m.Parts)
	m.Parts, m.PartsAt = store.Block{}, 0
}

// Checkpoint has the library carry out the actions so far (gives up the lock),
// exactly once, and empties the Out area. The thread's record says where a
// repetition of the call goes on: behind them. Of bytes that the result counts
// outLost then says how many did not arrive. False: the task died.
func (c *Call) Checkpoint() bool {
	c.taking, c.outFault, c.outLost = false, false, 0
	if len(c.Acts) == 0 && len(c.spilled) == 0 {
		c.outUsed = 0
		return true
	}
	if len(c.spilled) > 0 {
		return c.K.storeParts(c, false) && c.K.deliver(c)
	}
	c.MutThread().PartNo = c.Chan.Stage(c.Acts)
	return c.flush()
}

// Head of a part in Thread.Parts: the numbers of its actions and bytes, and if it
// is what the library gets as the reply, the rest of that.
const (
	partHead   = 32
	partAction = 48
	partMore   = 0
	partReply  = 1
)

// storeParts stores what is to be carried out in the thread's record: the parts of
// the reply that were spilled, and the actions so far, as its last one, if it is
// whole. Without room for them they are carried out at once, and are the next
// incarnation's loss if this one dies.
func (k *Kernel) storeParts(c *Call, whole bool) bool {
	parts := append(c.spilled, c.cut())
	c.spilled, c.Acts, c.outUsed = nil, c.acts()[:0], 0
	size := 0
	for _, p := range parts {
		size += partHead + len(p.acts)*partAction + len(p.data)
	}
	k.dropParts(c.T)
	m := c.MutThread()
	m.Parts = k.Heap.Alloc(size)
	if m.Parts.Nil() {
		return k.deliverNow(c, parts, whole)
	}
	b := k.Heap.MutBytes(m.Parts, 0, size)[:0]
	le := binary.LittleEndian
	for i, p := range parts {
		kind := uint32(partMore)
		if whole && i == len(parts)-1 {
			kind = partReply
		}
		b = le.AppendUint32(b, uint32(len(p.acts)))
		b = le.AppendUint32(b, uint32(len(p.data)))
		b = le.AppendUint32(b, kind)
		b = le.AppendUint32(b, c.Flags)
		b = le.AppendUint64(b, c.Result)
		b = le.AppendUint64(b, uint64(c.Err))
		for _, a := range p.acts {
			b = le.AppendUint32(b, a.Op)
			b = le.AppendUint32(b, a.Flags)
			for _, v := range a.A {
				b = le.AppendUint64(b, v)
			}
		}
		b = append(b, p.data...)
	}
	m.Parts.Len = uint32(size)
	return true
}

// deliverNow is deliver for parts that are not in the record.
func (k *Kernel) deliverNow(c *Call, parts []part, whole bool) bool {
	for i, p := range parts {
		c.Acts = append(c.acts()[:0], p.acts...)
		copy(c.Chan.Out(), p.data)
		c.outUsed = uint32(len(p.data))
		if whole && i == len(parts)-1 {
			break
		}
		if !c.flush() {
			return false
		}
	}
	return true
}

// nextPart loads the next part of the thread's record into c and takes it out; last
// says whether it was the last, reply whether it is what the library gets as the
// reply.
func (k *Kernel) nextPart(c *Call) (last, reply bool) {
	m := c.MutThread()
	b := k.Heap.Bytes(m.Parts)[m.PartsAt:]
	le := binary.LittleEndian
	acts, data := int(le.Uint32(b)), int(le.Uint32(b[4:]))
	if reply = le.Uint32(b[8:]) == partReply; reply {
		c.Flags, c.Result, c.Err = le.Uint32(b[12:]), le.Uint64(b[16:]), abi.Errno(le.Uint64(b[24:]))
	}
	at := b[partHead:]
	c.Acts = c.acts()[:acts]
	for i := range c.Acts {
		a := &c.Acts[i]
		a.Op, a.Flags = le.Uint32(at), le.Uint32(at[4:])
		for j := range a.A {
			a.A[j] = le.Uint64(at[8+8*j:])
		}
		at = at[partAction:]
	}
	copy(c.Chan.Out(), at[:data])
	c.outUsed = uint32(data)
	n := partHead + acts*partAction + data
	if last = n == len(b); last {
		k.dropParts(c.T)
	} else {
		m.PartsAt += uint32(n)
	}
	return last, reply
}

// deliver has the library carry out the parts in the thread's record (gives up the
// lock). The last one of a whole reply is left in c. What comes behind a step that
// fails is not carried out: if bytes that the result counts did not arrive, outLost
// says how many. False: the task died.
func (k *Kernel) deliver(c *Call) bool {
	for !c.Thread().Parts.Nil() {
		last, reply := k.nextPart(c)
		if reply {
			return true
		}
		c.MutThread().PartNo = c.Chan.Stage(c.Acts)
		c.outFault = false
		if !c.flush() {
			return false
		}
		if c.outFault {
			return k.cutParts(c, last)
		}
	}
	return true
}

// cutParts ends a delivery of which a part could not be carried out.
func (k *Kernel) cutParts(c *Call, last bool) bool {
	lost, reply := c.outLost, false
	for !last && !reply {
		last, reply = k.nextPart(c)
		for i := range c.Acts {
			if a := &c.Acts[i]; lost > 0 && a.Flags&abi.ActCount != 0 {
				lost += a.A[2]
			}
		}
	}
	rest := c.Acts[:0]
	for _, a := range c.Acts {
		if reply && a.Op != abi.ActCopyOut {
			rest = append(rest, a)
		}
	}
	c.Acts = rest
	if !reply {
		c.outLost, c.outUsed = lost, 0
		return true
	}
	c.outFault = false
	rt := k.threadRT(c.T)
	n := min(lost, c.Result)
	if rt.short.seq == c.Seq && rt.short.undo == nil {
		k.untake(&rt.short, min(n, rt.short.n))
	}
	rt.short = shortRead{}
	if lost == 0 || n == c.Result {
		c.Fail(abi.EFAULT)
	} else {
		c.Ret(c.Result - n)
	}
	return true
}

// Parts has the library carry out the parts of c's reply but for the last, which it
// leaves in c: of a call that has just ended, or of one that a dead incarnation has
// ended. With the lock held, which it may give up.
func (k *Kernel) Parts(c *Call) {
	if c.T == 0 {
		return
	}
	ours := len(c.spilled) > 0
	if th := c.Thread(); !ours && (th.Parts.Nil() || th.DoneSeq != c.Seq) {
		k.dropParts(c.T) // the task died in the middle of them
		return
	}
	rt := k.threadRT(c.T)
	rt.inServer = true
	ok := true
	if ours {
		if ok = k.storeParts(c, true); !c.Thread().Parts.Nil() {
			k.Finished(c)
		}
	} else {
		ok = k.resumeParts(c)
	}
	if ok {
		ok = k.deliver(c)
	}
	if ok && (rt.gone || c.Proc().Exiting != 0) {
		c.exiting = false
		k.finish(c) // the thread's end takes the reply's place
		return
	}
	rt.inServer = false
	if k.signalPending(c.T) {
		k.poke(c.T)
	}
}

// resumeParts publishes what a dead incarnation has committed of the reply to c and
// not published, and of parts of a reply that is not whole all. False: the task died.
func (k *Kernel) resumeParts(c *Call) bool {
	th := c.Thread()
	if th.PartNo == 0 || th.CurSeq != c.Seq {
		return true
	}
	k.threadRT(c.T).inServer = true
	ok := true
	if c.Chan.Back() < th.PartNo {
		c.Unlocked(func() { ok = c.Chan.Repeat() })
	}
	if th = c.Thread(); ok && th.DoneSeq != c.Seq && !th.Parts.Nil() {
		ok = k.deliver(c)
		c.outFault = false
	}
	c.dropReply()
	c.outUsed = 0
	return ok
}
