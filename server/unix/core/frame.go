package core

import (
	"hythe/abi"
	"hythe/store"
)

// Signal frames that cannot be stored: the handler's stack is not there, or may not
// be written. Only the library can know, when it carries out a reply that is committed;
// it tells by a KindPoll (abi.ReplyMust, PollFailed). Then what the frame's delivery
// changed is taken back, and SIGSEGV comes instead. What is needed for that is kept
// until the thread's next request, and not in the state of record: if the server dies
// just then, SIGSEGV kills, handler or not.

// frameNote is a signal that was delivered by a reply, and what was before.
type frameNote struct {
	seq      uint64
	from, to int // its actions in the reply
	info     SigInfo
	act      SigAction
	mask     SigSet
	saved    SigSet
	hasSaved uint32
	altSP    uint64
	altSize  uint64
	altFlags uint32
	regs     abi.Regs
	// chosen: they are not those of the call with its result. flags: how that is told.
	chosen bool
	flags  uint32
}

// noteFrame notes what the delivery of a signal will change.
func (c *Call) noteFrame(s *SigInfo, act *SigAction) frameNote {
	th := c.Thread()
	return frameNote{
		seq: c.Seq, from: len(c.Acts), info: *s, act: *act, mask: th.Mask, saved: th.SavedMask, hasSaved: th.HasSaved,
		altSP: th.AltSP, altSize: th.AltSize, altFlags: th.AltFlags, chosen: c.regsSet, flags: c.Flags,
	}
}

// keepFrame keeps the note of a frame that is among the actions now, and with which
// the thread would go on from regs.
func (c *Call) keepFrame(n frameNote, regs *abi.Regs) {
	n.to, n.regs = len(c.Acts), *regs
	rt := c.K.threadRT(c.T)
	if len(rt.frames) > 0 && rt.frames[0].seq != c.Seq {
		rt.frames = rt.frames[:0]
	}
	rt.frames = append(rt.frames, n)
	c.Flags |= abi.ReplyMust
}

// noFrame sends SIGSEGV for a signal whose frame cannot be made; it kills when it is
// SIGSEGV itself.
func (k *Kernel) noFrame(c *Call, sig int32) {
	if sig == SIGSEGV {
		k.Hands.Mut(c.Proc().Hand).Act[SIGSEGV].Handler = SigDfl
	}
	k.forceSignal(c.T, &SigInfo{Sig: SIGSEGV, Code: SiKernel})
}

// frameFailed serves PollFailed: of the last reply, if it had frames, an action could
// not be carried out.
func (k *Kernel) frameFailed(c *Call) {
	rt := k.threadRT(c.T)
	notes := rt.frames
	rt.frames = nil
	c.Flags |= abi.ReplyKeepRegs
	if c.Args[3] == 0 {
		return
	}
	if _, ok := k.Personality(c.Proc().Personality).(Worded); ok && (len(notes) == 0 || notes[0].seq+1 != c.Seq) {
		c.Flags = k.convention(c.Proc())
		c.Fail(abi.Errno(c.Args[1]))
		regs := c.UserRegs()
		c.failed(c.Err)
		c.Err = 0
		c.SetRegs(&regs, false)
		return
	}
	if len(notes) == 0 || notes[0].seq+1 != c.Seq {
		k.noFrame(c, SIGSEGV)
		return
	}
	failed := 0
	for failed < len(notes)-1 && c.Args[2] >= uint64(notes[failed].to) {
		failed++
	}
	n := &notes[failed]
	own := c.Args[2] < uint64(n.from) // the call's, before the first frame
	for i := len(notes) - 1; i >= failed; i-- {
		if i > failed || own {
			k.putBack(c.T, &notes[i])
		}
	}
	m := c.MutThread()
	m.Mask, m.SavedMask, m.HasSaved = n.mask, n.saved, n.hasSaved
	m.AltSP, m.AltSize, m.AltFlags = n.altSP, n.altSize, n.altFlags
	if own && !n.chosen {
		c.Flags = n.flags
		c.Fail(abi.Errno(c.Args[1]))
		n.regs = c.UserRegs()
		c.failed(c.Err)
		c.Err = 0
	}
	c.SetRegs(&n.regs, false)
	if !own {
		k.noFrame(c, n.info.Sig)
	}
}

// putBack makes a signal that was taken a thread's next of its kind.
func (k *Kernel) putBack(t store.Ref[Thread], n *frameNote) {
	r, ent := k.SigEnts.New()
	m := k.Threads.Mut(t)
	k.stirred(k.Procs.Get(m.Proc).Task)
	m.Pending |= SigBit(n.info.Sig)
	if n.act.Flags&SaResetHand != 0 {
		if a := &k.Hands.Mut(k.Procs.Get(m.Proc).Hand).Act[n.info.Sig]; a.Handler == SigDfl {
			a.Handler = n.act.Handler
		}
	}
	if r == 0 {
		return // without its details
	}
	ent.Info = n.info
	ent.Next = store.Ref[SigEnt](m.SigQ)
	m.SigQ = uint32(r)
}
