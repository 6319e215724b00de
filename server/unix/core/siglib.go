package core

import (
	"hythe/abi"
	"hythe/store"
)

// What libraries do with signals by themselves (docs/lending.md, *Signals*).
//
// The set of signals that a thread blocks is the library's to change while nothing is pending for
// any thread of its task (abi.ToldQuiet): then nobody but the thread itself can tell the difference.
// The server hears of it with the thread's next request, whichever it is (abi.LateIsMask), and
// looks at what the library has stored when it has to know before (maskOf). Who makes a signal
// pending takes the quiet back first and looks then; the library stores first and looks then
// whether it is still quiet: whichever comes second sees the other.
//
// The set is the thread's own affair: what a program forges it could have set. SIGKILL and SIGSTOP
// are taken out of whatever is read.

// maskUnsure is threadRT.mask while nobody knows what the library has: it is told anew. No set has
// the bit of SIGSTOP.
const maskUnsure = abi.MaskNever

// quietThreads is how many threads a process may have whose library changes masks: each is looked at
// when that begins again.
const quietThreads = mostThreads

// maskOf is the set of signals that a thread blocks now, wherever it is.
func (k *Kernel) maskOf(t store.Ref[Thread]) SigSet {
	th := k.Threads.Get(t)
	if rt := k.threads[t]; rt == nil || rt.inServer || rt.mask == 0 || th.State != ThreadLive {
		return th.Mask
	}
	p := k.Procs.Get(th.Proc)
	if ts := k.tasks[p.Task]; ts == nil || ts.slots[th.Slot] != t {
		return th.Mask // its child speaks on its slot (vfork)
	}
	if m, ok := k.Host.Mask(p.Task, th.Slot, th.CurSeq); ok {
		return m &^ setKillStop
	}
	return th.Mask
}

// begins notes that a thread's call has begun, and what its library has made of its mask before.
func (k *Kernel) begins(t store.Ref[Thread], c *Call) {
	th := k.Threads.Mut(t)
	th.begin(c.Seq)
	if c.Late&abi.LateIsMask == 0 {
		return
	}
	m, old := SigSet(c.LateMask)&^setKillStop, th.Mask
	th.Mask = m
	k.threadRT(t).mask = uint64(m) | abi.MaskKnown
	if p := k.Procs.Get(th.Proc); p.Threads > 1 {
		// A signal may have chosen this thread just before it was blocked.
		k.retarget(th.Proc, p.Pending&m&^old)
	}
}

// stirred has a task's library ask before it changes a mask: a signal is about to be pending.
func (k *Kernel) stirred(id TaskID) {
	if ts := k.tasks[id]; ts != nil && ts.quiet {
		ts.quiet = false
		k.Host.Tell(id, abi.ToldQuiet, 0)
	}
}

// TellMask has the caller's library know the thread's mask from the end of this call on, so that it
// can change it by itself.
func (c *Call) TellMask() { c.tellsMask = true }

// tellMask tells the library the thread's mask, if it wants to know or has another one.
func (k *Kernel) tellMask(c *Call) {
	rt := k.threadRT(c.T)
	if c.tellsMask && k.ownTask(c) {
		k.quieten(c.Task, c.ProcRef())
	}
	is := uint64(c.Thread().Mask) | abi.MaskKnown
	if !c.tellsMask && (rt.mask == 0 || rt.mask == is) {
		return
	}
	c.tellsMask = false
	rt.mask = is
	c.Act(abi.ActThreadWord, 0, abi.ThreadMask, is)
}

// quieten lets the library of a task, which is this process's alone, change masks if nothing is
// pending in it.
func (k *Kernel) quieten(id TaskID, p store.Ref[Proc]) {
	ts, r := k.tasks[id], k.Procs.Get(p)
	if ts == nil || ts.quiet || r.Pending != 0 || k.tracing(r.Pid) {
		return
	}
	threads := k.procRT(p).threads
	if len(threads) > quietThreads {
		return
	}
	for _, t := range threads {
		if th := k.Threads.Get(t); th.Pending != 0 || th.VforkChild != 0 {
			return
		}
	}
	ts.quiet = true
	k.Host.Tell(ts.id, abi.ToldQuiet, 1)
}

// ownTask says whether the caller's process is not in a task of another's.
func (k *Kernel) ownTask(c *Call) bool {
	p := c.Proc()
	return p.Task == c.Task && p.Flags&ProcVfork == 0 && p.VforkParent == 0
}

// TellDefaults has the caller's library know which signals nobody has ever set an action for, when
// its task is new.
func (c *Call) TellDefaults() {
	if c.K.ownTask(c) {
		c.K.tellDefaults(c.Task, c.ProcRef())
	}
}

func (k *Kernel) tellDefaults(id TaskID, of store.Ref[Proc]) {
	ts, p := k.tasks[id], k.Procs.Get(of)
	if ts == nil || k.tracing(p.Pid) {
		return
	}
	ts.defaults = 0
	for sig := int32(1); sig < NumSignals; sig++ {
		if sig != SIGKILL && k.Hands.Get(p.Hand).Act[sig] == (SigAction{}) {
			ts.defaults |= SigBit(sig)
		}
	}
	k.Host.Tell(ts.id, abi.ToldDefault, uint64(ts.defaults))
}

// changed has the library of a task ask for the action of sig from now on: it is about to be another
// one. It is not told again that nobody has set it.
func (k *Kernel) changed(id TaskID, sig int32) {
	if ts := k.tasks[id]; ts != nil && ts.defaults.Has(sig) {
		ts.defaults &^= SigBit(sig)
		k.Host.Tell(id, abi.ToldDefault, uint64(ts.defaults))
	}
}

// untold has the library of a task ask for all that is about signals.
func (k *Kernel) untold(ts *task) {
	k.stirred(ts.id)
	if ts.defaults != 0 {
		ts.defaults = 0
		k.Host.Tell(ts.id, abi.ToldDefault, 0)
	}
}
