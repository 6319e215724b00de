package core

import (
	"math/bits"

	"hythe/abi"
	"hythe/store"
)

// What happens between a call's end and its answer: signals, stops, the ends
// of threads, restarts.

// SetRegs has the thread continue with r when the call ends; fs also loads the
// thread pointer (Regs.FSBase).
func (c *Call) SetRegs(r *abi.Regs, fs bool) {
	c.userRegs = *r
	c.regsSet = true
	c.regsFS = fs
	c.Flags |= abi.ReplyKeepRegs
}

// UserRegs answers the state that the thread would continue with if the call
// ended now.
func (c *Call) UserRegs() abi.Regs {
	if c.regsSet {
		return c.userRegs
	}
	r := c.Regs
	if c.Flags&abi.ReplyKeepRegs != 0 {
		return r // polls and faults
	}
	switch {
	case c.Flags&abi.ReplyErrRaw != 0:
		r.AX = c.Result
	case c.Flags&abi.ReplyCarry != 0:
		r.Flags &^= 1
		r.AX = c.Result
		if c.Err != 0 {
			r.AX = uint64(c.ErrNumber())
			r.Flags |= 1
		}
	case c.Err != 0 && c.Flags&abi.ReplyMinus != 0:
		r.AX = ^uint64(0)
	case c.Err != 0:
		r.AX = -uint64(c.Err)
	default:
		r.AX = c.Result
	}
	return r
}

// ErrNumber is the error of the call as the guest's system numbers it.
func (c *Call) ErrNumber() uint32 {
	if c.Err != 0 && c.Flags&abi.ReplyCarry != 0 && c.T != 0 {
		return c.K.Personality(c.Proc().Personality).Errno(c.Err)
	}
	return uint32(c.Err)
}

// storeRegs adds the action that loads the registers that SetRegs chose.
func (c *Call) storeRegs() {
	if !c.regsSet {
		return
	}
	if c.OutRoom() < regsSize+8 && !c.Flush() {
		return
	}
	b := c.OutBuf(regsSize)
	putRegs(b, &c.userRegs)
	off := (c.outUsed + 7) &^ 7
	c.outUsed = off + uint32(regsSize)
	fs := uint64(0)
	if c.regsFS {
		fs = 1
	}
	c.Act(abi.ActRegs, 0, uint64(off)+abi.SlotOutOff, fs)
	c.regsSet = false
}

// pollCall serves KindPoll: the thread was kicked. A local call that was cut
// is treated as a call that is to be restarted; the state is else kept.
func (k *Kernel) pollCall(c *Call) {
	if c.Args[0] == abi.PollKick || c.Args[0] == abi.PollCut {
		k.hostClocks(c)
		k.hostsLeft(c.Task)
	}
	pers := k.Personality(c.Proc().Personality)
	switch c.Args[0] {
	case abi.PollShort:
		c.Flags |= pers.Convention()
		k.shortCall(c)
		c.failed(c.Err)
		return
	case abi.PollFailed:
		k.frameFailed(c)
		return
	case abi.PollCut:
		c.Flags |= pers.Convention()
		c.Err = pers.Cut(c)
		c.localCut = true
		return
	}
	c.Flags |= abi.ReplyKeepRegs
}

// rewind makes regs run the system call instruction again: it is two bytes
// long in every system's amd64 convention, and the number is back in AX.
func (c *Call) rewind(r *abi.Regs) {
	r.IP -= 2
	r.AX = c.Nr
}

func restarts(e abi.Errno) bool {
	return e == abi.ErrRestart || e == abi.ErrRestartNoInt || e == abi.ErrRestartNoHnd
}

// finish runs after each call: it handles what is pending for the thread. It
// answers true when the call is to be run again in place.
func (k *Kernel) finish(c *Call) (again bool) {
	delivered, later := false, false
	for {
		if c.T == 0 || c.ended {
			return false
		}
		rt := k.threadRT(c.T)
		if rt.gone || k.Procs.Get(k.Threads.Get(c.T).Proc).Exiting != 0 {
			if ts := k.tasks[c.Task]; !c.exiting && k.leavesLocks(k.Threads.Get(c.T)) && ts != nil && !ts.dead {
				c.lastActs()
			}
			k.leaveGone(c)
			continue // for the parent, after a vfork
		}
		th := k.Threads.Get(c.T)
		p := th.Proc
		r := k.Procs.Get(p)
		if c.put > 0 && restarts(c.Err) && (r.Stopped != 0 || (th.Pending|r.Pending)&^th.Mask != 0) {
			// A signal ends a write that has written something.
			c.Ret(c.put)
			c.put, c.localCut = 0, false
		}
		if what := th.DebugStop; what != 0 {
			if c.Kind == abi.KindPoll && c.Args[0] == abi.PollKick && th.DebugIP == 0 {
				k.exception(c, what, &SigInfo{Sig: SIGTRAP})
				c.MutThread().DebugStop = 0
				continue
			}
			// A call that has had its effect must not wait: a next incarnation would
			// run it again. It is kicked when it has its answer.
			later = later || c.Kind != abi.KindPoll && !restarts(c.Err) && th.DebugIP == 0
		}
		if r.Stopped != 0 {
			if !delivered && (restarts(c.Err) && !c.regsSet || c.Kind == abi.KindPoll) {
				// Nothing was done yet, or nothing is to be: wait right here.
				c.waitCont()
				continue
			}
			break // HoldReply holds the answer back
		}
		if set := (th.Pending | r.Pending) &^ th.Mask; set != 0 {
			if c.resultOpen() || c.mayBeShort() || !c.signalRoom() {
				later = true
				break
			}
			if raw, ok := k.dequeueRaw(c.T, set); ok {
				info := k.shown(c.T, raw)
				k.traceSignal(c, &info)
				delivered = k.handle(c, &info, &raw) || delivered
			}
			continue
		}
		break
	}
	th := k.Threads.Get(c.T)
	if restarts(c.Err) && !c.regsSet && !delivered {
		if c.localCut {
			c.Err = 0
			c.Flags |= abi.ReplyKeepRegs
			c.Act(abi.ActAgain, 0, c.put)
		} else {
			// The mask of ppoll and its like stays in force.
			return true
		}
	}
	if th.HasSaved == 1 {
		c.RestoreMask()
		if k.signalPending(c.T) && k.Procs.Get(th.Proc).Stopped == 0 {
			return k.finish(c)
		}
	}
	if th.StaleIDs != 0 {
		c.MutThread().StaleIDs = 0
		c.CredWords()
	}
	c.flushed = false
	c.tidyCloses()
	c.tellLimits()
	k.tellMask(c)
	c.storeRegs()
	rt := k.threadRT(c.T)
	if c.flushed { // and what came meanwhile took it that we would look
		if rt.gone || c.Proc().Exiting != 0 {
			return k.finish(c)
		}
		later = later || k.signalPending(c.T)
	}
	rt.inServer = false
	if later {
		k.poke(c.T)
	}
	return false
}

// resultOpen says whether only the library will know the call's result (the
// address of a mapping). A signal frame, which holds the result, cannot be made
// before: the signal waits until the thread has it.
func (c *Call) resultOpen() bool {
	for i := range c.Acts {
		if c.Acts[i].Flags&abi.ActResult != 0 {
			return true
		}
	}
	return false
}

// mayBeShort says whether the result is a count of bytes of which not all may
// arrive, or in parts, which the library carries out before the signal's frame.
func (c *Call) mayBeShort() bool {
	if len(c.spilled) > 0 {
		return true
	}
	for i := range c.Acts {
		if c.Acts[i].Flags&abi.ActCount != 0 {
			return true
		}
	}
	return false
}

// signalRoom says whether the reply has room for a signal's frame and registers.
// If it had not, the library would have to carry out half the reply, the server
// commit the signal as delivered, and one that dies then would run the call again
// and lose the signal. Without room the signal waits until the thread has its
// reply. A call that is to be restarted has no reply yet.
func (c *Call) signalRoom() bool {
	return restarts(c.Err) && !c.regsSet || c.OutRoom() >= signalBytes && len(c.Acts)+signalActs <= abi.MaxActions
}

// What signalRoom keeps: more than any personality's frame, which beside the
// state that the library stores itself is about 1 KiB, with the registers behind
// it; copy, registers, state, restart.
const (
	signalBytes = 4 << 10
	signalActs  = 4
)

// waitCont sleeps until the process is continued or killed.
func (c *Call) waitCont() { c.waitOn(&c.K.procRT(c.ProcRef()).cont) }

// waitOn sleeps until the queue is woken or the process is killed, whatever signals
// come.
func (c *Call) waitOn(q *WaitQueue) {
	k := c.K
	rt := k.threadRT(c.T)
	s := c.sleeps()
	s.woken, s.reason = false, wokeNone
	s.gen++
	e := q.Watch(func(uint32) { s.wake(wokeQueue) })
	rt.sleeping = s
	rt.stopWait = true
	c.release()
	<-s.ch
	c.reacquire()
	rt.sleeping = nil
	rt.stopWait = false
	e.Unwatch()
}

// Hold says what becomes of a reply that HoldReply was asked for.
type Hold int

const (
	AnswerNow Hold = iota
	// AnswerNobody: the thread is gone.
	AnswerNobody
	// AnswerOther: the call has another reply now, to be stored and committed first.
	AnswerOther
)

// HoldReply is called by the serve loop, with the lock held, when the reply
// and DoneSeq are committed and before the slot's state says so: while the
// process is stopped the answer is held back. (After a crash the next incarnation
// answers, and kicks.)
func (k *Kernel) HoldReply(c *Call) Hold {
	if c.T == 0 {
		return AnswerNow
	}
	th := k.Threads.Get(c.T)
	if th == nil || th.State != ThreadLive {
		return AnswerNow // it ends the thread or the task
	}
	p := th.Proc
	if k.Procs.Get(p).Stopped == 0 {
		return AnswerNow
	}
	rt := k.threadRT(c.T)
	rt.inServer = true
	for {
		r := k.Procs.Get(p)
		if rt.gone || r.Exiting != 0 {
			k.leaveGone(c)
			if c.T == 0 || c.ended {
				return AnswerNobody
			}
			k.finish(c) // its parent, after a vfork
			return AnswerOther
		}
		if r.Stopped != 0 {
			c.waitCont()
			continue
		}
		if sig := k.fatalPending(c.T); sig != 0 {
			// It ends before it runs on; a kick could come too late.
			k.exitGroup(p, uint32(sig))
			continue
		}
		break
	}
	rt.inServer = false
	if k.signalPending(c.T) {
		k.poke(c.T)
	}
	return AnswerNow
}

// fatalPending answers a signal that waits for a thread and whose default action
// ends the process, 0 if there is none.
func (k *Kernel) fatalPending(t store.Ref[Thread]) int32 {
	th := k.Threads.Get(t)
	p := k.Procs.Get(th.Proc)
	for s := (th.Pending | p.Pending) &^ (th.Mask | setStops | k.ignored(p)); s != 0; s &= s - 1 {
		sig := int32(bits.TrailingZeros64(uint64(s))) + 1
		if k.Hands.Get(p.Hand).Act[sig].Handler == SigDfl {
			return sig
		}
	}
	return 0
}

// Finished notes in the thread's record that the call is done. The serve loop
// calls it after it has stored the reply in the slot, before it commits.
func (k *Kernel) Finished(c *Call) {
	k.settleSets()
	if c.T == 0 {
		return
	}
	if th := k.Threads.Get(c.T); th != nil && th.DoneSeq != c.Seq {
		m := k.Threads.Mut(c.T)
		m.DoneSeq, m.CurSeq = c.Seq, c.Seq
	}
}

// handle does what the process's action for one signal says; true: a handler
// was entered. raw is the signal as it was queued.
func (k *Kernel) handle(c *Call, s, raw *SigInfo) bool {
	sig := s.Sig
	p := c.ProcRef()
	h := k.Procs.Get(p).Hand
	act := k.Hands.Get(h).Act[sig]
	switch {
	case act.Handler == SigIgn:
		return false
	case act.Handler == SigDfl:
		if k.ignored(k.Procs.Get(p)).Has(sig) {
			return false
		}
		if setStops.Has(sig) {
			if sig != SIGSTOP && k.PgrpOrphaned(k.Procs.Get(p).Pgid) {
				return false
			}
			k.stop(p, sig)
			return false
		}
		status := uint32(sig)
		if r := k.Procs.Get(p); setCore.Has(sig) && r.Rlimits[RlimitCore].Cur > 0 && r.Dumpable == 1 {
			// No file is written: where a core goes is the host's affair.
			status |= 0x80
		}
		k.Procs.Mut(p).ExitText = s.Text
		k.exitGroup(p, status)
		return false
	}
	note := c.noteFrame(raw, &act)
	if restarts(c.Err) && !c.regsSet {
		regs := c.Regs
		if c.Err == abi.ErrRestartNoInt || c.Err == abi.ErrRestart && act.Flags&SaRestart != 0 {
			c.rewind(&regs)
		} else {
			c.Err = abi.EINTR
			c.Result = 0
			c.failed(c.Err)
			regs = c.UserRegs()
		}
		c.Err = 0
		c.SetRegs(&regs, false)
	}
	regs := c.UserRegs()
	if act.Flags&SaResetHand != 0 {
		k.Hands.Mut(h).Act[sig].Handler = SigDfl
	}
	if e := k.Personality(k.Procs.Get(p).Personality).Deliver(c, s, &act, &regs); e != 0 {
		k.noFrame(c, sig)
		return false
	}
	c.keepFrame(note, &regs)
	th := c.MutThread()
	mask := th.Mask | act.Mask
	if act.Flags&SaNoDefer == 0 {
		mask |= SigBit(sig)
	}
	th.HasSaved = 0
	th.Mask = mask &^ setKillStop
	c.retarget()
	return true
}

// FrameMask is the mask that a signal frame has to restore.
func (c *Call) FrameMask() SigSet {
	th := c.Thread()
	if th.HasSaved == 1 {
		return th.SavedMask
	}
	return th.Mask
}
