package core

import (
	"math/bits"

	"hythe/abi"
	"hythe/store"
)

// Signals by Linux's numbers (asm/signal.h), which the core uses as neutral
// ones.
const (
	SIGHUP    = 1
	SIGINT    = 2
	SIGQUIT   = 3
	SIGILL    = 4
	SIGTRAP   = 5
	SIGABRT   = 6
	SIGBUS    = 7
	SIGFPE    = 8
	SIGKILL   = 9
	SIGUSR1   = 10
	SIGSEGV   = 11
	SIGUSR2   = 12
	SIGPIPE   = 13
	SIGALRM   = 14
	SIGTERM   = 15
	SIGSTKFLT = 16
	SIGCHLD   = 17
	SIGCONT   = 18
	SIGSTOP   = 19
	SIGTSTP   = 20
	SIGTTIN   = 21
	SIGTTOU   = 22
	SIGURG    = 23
	SIGXCPU   = 24
	SIGXFSZ   = 25
	SIGVTALRM = 26
	SIGPROF   = 27
	SIGWINCH  = 28
	SIGIO     = 29
	SIGPWR    = 30
	SIGSYS    = 31
	SIGRTMIN  = 32
)

// Values of SigInfo.Code (asm-generic/siginfo.h).
const (
	SiUser   = 0
	SiKernel = 0x80
	SiQueue  = -1
	SiTimer  = -2
	SiMesgq  = -3
	SiAsync  = -4
	SiSigio  = -5
	SiTkill  = -6

	CldExited    = 1
	CldKilled    = 2
	CldDumped    = 3
	CldTrapped   = 4
	CldStopped   = 5
	CldContinued = 6
)

// Flags of SigAction (SA_...).
const (
	SaNoCldStop = 1
	SaNoCldWait = 2
	SaSigInfo   = 4
	SaRestorer  = 0x04000000
	SaOnStack   = 0x08000000
	SaRestart   = 0x10000000
	SaNoDefer   = 0x40000000
	SaResetHand = 0x80000000
)

// Handlers of SigAction that are none.
const (
	SigDfl = 0
	SigIgn = 1
)

// Flags of an alternate signal stack (SS_..., linux/signal.h).
const (
	SsOnStack    = 1
	SsDisable    = 2
	SsAutodisarm = 1 << 31
)

// SigInfo is a signal with its details; which fields count follows from Sig
// and Code as in Linux's siginfo.
type SigInfo struct {
	Sig, Code, Errno int32
	Pid              int32
	UID              uint32
	Status           int32
	Addr             uint64
	Value            uint64
	UTime, STime     int64 // clock ticks
	Timer, Overrun   int32
	Band             int64
	Fd               int32
	TrapNo           int32
	FaultErr         uint64 // hardware error code, for the context
	Text             Text   // what it says, of systems whose signals are words
}

// SigEnt is a queued signal.
type SigEnt struct {
	Next store.Ref[SigEnt]
	Who  store.Ref[PosixTimer] // timer whose one entry this is, 0 if none
	Info SigInfo
}

// SigBit is the set of one signal.
func SigBit(sig int32) SigSet { return 1 << (uint(sig) - 1) }

// Has says whether sig is in the set.
func (s SigSet) Has(sig int32) bool { return s&SigBit(sig) != 0 }

const (
	setKillStop = SigSet(1<<(SIGKILL-1) | 1<<(SIGSTOP-1))
	setStops    = SigSet(1<<(SIGSTOP-1) | 1<<(SIGTSTP-1) | 1<<(SIGTTIN-1) | 1<<(SIGTTOU-1))
	// DefaultIgnored are the signals whose default action is nothing on Linux and in
	// POSIX (Personality.Ignored).
	DefaultIgnored = SigSet(1<<(SIGCHLD-1) | 1<<(SIGCONT-1) | 1<<(SIGURG-1) | 1<<(SIGWINCH-1))
	setCore        = SigSet(1<<(SIGQUIT-1) | 1<<(SIGILL-1) | 1<<(SIGTRAP-1) | 1<<(SIGABRT-1) | 1<<(SIGBUS-1) |
		1<<(SIGFPE-1) | 1<<(SIGSEGV-1) | 1<<(SIGXCPU-1) | 1<<(SIGXFSZ-1) | 1<<(SIGSYS-1))
	// setSync are dequeued first: they belong to the instruction that ran.
	setSync = SigSet(1<<(SIGSEGV-1) | 1<<(SIGBUS-1) | 1<<(SIGILL-1) | 1<<(SIGTRAP-1) | 1<<(SIGFPE-1) | 1<<(SIGSYS-1))
)

// ignored are the signals that do nothing to a process by default.
func (k *Kernel) ignored(p *Proc) SigSet {
	if q := k.Personality(p.Personality); q != nil {
		return q.Ignored()
	}
	return DefaultIgnored
}

// sigIgnored says whether a signal would do nothing to a process.
func (k *Kernel) sigIgnored(p *Proc, sig int32) bool {
	a := &k.Hands.Get(p.Hand).Act[sig]
	return a.Handler == SigIgn || a.Handler == SigDfl && k.ignored(p).Has(sig)
}

// signalPending says whether a thread has a signal to handle.
func (k *Kernel) signalPending(t store.Ref[Thread]) bool {
	th := k.Threads.Get(t)
	if th == nil {
		return false
	}
	p := k.Procs.Get(th.Proc)
	pending := th.Pending | p.Pending
	return pending != 0 && pending&^k.maskOf(t) != 0 || p.Stopped != 0
}

// SendSignal makes s pending for a process. Unknown, dead and ignoring
// processes are no error. Permissions are the caller's affair (KillCheck).
func (k *Kernel) SendSignal(p store.Ref[Proc], s *SigInfo) abi.Errno { return k.send(p, 0, s, 0) }

// SendThreadSignal makes s pending for one thread. EAGAIN when a queued
// real-time signal does not fit.
func (k *Kernel) SendThreadSignal(t store.Ref[Thread], s *SigInfo) abi.Errno {
	th := k.Threads.Get(t)
	if th == nil || th.State != ThreadLive {
		return abi.ESRCH
	}
	return k.send(th.Proc, t, s, 0)
}

// SignalPgrp sends s to every member of a process group (from the kernel: no
// permission is checked). ESRCH when it is empty.
func (k *Kernel) SignalPgrp(pgid int32, s *SigInfo) abi.Errno {
	e := abi.ESRCH
	for p := range k.proc.pgrps[pgid] {
		e = 0
		k.SendSignal(p, s)
	}
	return e
}

func (k *Kernel) send(p store.Ref[Proc], t store.Ref[Thread], s *SigInfo, timer store.Ref[PosixTimer]) abi.Errno {
	sig := s.Sig
	r := k.Procs.Get(p)
	if sig < 1 || sig >= NumSignals || r == nil || r.State != ProcLive || r.Exiting != 0 {
		return 0
	}
	bit := SigBit(sig)
	if sig == SIGKILL {
		k.exitGroup(p, SIGKILL)
		return 0
	}
	// Generating a stop signal discards a pending SIGCONT and the reverse,
	// whatever becomes of the signal itself.
	if setStops.Has(sig) {
		k.discard(p, SigBit(SIGCONT))
	} else if sig == SIGCONT {
		k.discard(p, setStops)
		k.cont(p)
	}
	target := t
	if target == 0 {
		target = r.Leader
	}
	blocked := false
	if th := k.Threads.Get(target); th != nil {
		blocked = (k.maskOf(target) | th.waitSet()).Has(sig)
	}
	if !blocked && k.sigIgnored(r, sig) {
		return 0
	}
	var pend SigSet
	if t != 0 {
		pend = k.Threads.Get(t).Pending
	} else {
		pend = r.Pending
	}
	if sig < SIGRTMIN && pend&bit != 0 {
		return 0
	}
	if e := k.enqueue(p, t, s, timer); e != 0 {
		return e
	}
	k.stirred(r.Task)
	if t != 0 {
		k.Threads.Mut(t).Pending |= bit
		k.wakeThread(t, bit)
	} else {
		k.Procs.Mut(p).Pending |= bit
		k.wakeProc(p, bit)
	}
	k.procRT(p).sigQ.Wake(^uint32(0))
	return 0
}

// waitSet is what sigtimedwait waits for, kept in Aux while it sleeps: such a
// signal is not ignored and wakes the thread although it is blocked.
func (t *Thread) waitSet() SigSet {
	if t.HasSaved == 2 {
		return t.SavedMask
	}
	return 0
}

func (k *Kernel) enqueue(p store.Ref[Proc], t store.Ref[Thread], s *SigInfo, timer store.Ref[PosixTimer]) abi.Errno {
	var head store.Ref[SigEnt]
	if t != 0 {
		head = store.Ref[SigEnt](k.Threads.Get(t).SigQ)
	} else {
		head = store.Ref[SigEnt](k.Procs.Get(p).SigQ)
	}
	n := uint64(0)
	last := store.Ref[SigEnt](0)
	for e := head; e != 0; e = k.SigEnts.Get(e).Next {
		last = e
		n++
	}
	lim := k.Procs.Get(p).Rlimits[RlimitSigpending].Cur
	var r store.Ref[SigEnt]
	var ent *SigEnt
	if n < lim || s.Sig < SIGRTMIN {
		r, ent = k.SigEnts.New()
	}
	if r == 0 {
		// Linux: a real-time signal that was queued with data is refused, one
		// from kill(2) loses its details.
		if s.Sig >= SIGRTMIN && s.Code != SiUser {
			return abi.EAGAIN
		}
		return 0
	}
	ent.Info = *s
	ent.Who = timer
	switch {
	case last != 0:
		k.SigEnts.Mut(last).Next = r
	case t != 0:
		k.Threads.Mut(t).SigQ = uint32(r)
	default:
		k.Procs.Mut(p).SigQ = uint32(r)
	}
	return 0
}

// Queued is how many of a signal wait for a process, with their details.
func (k *Kernel) Queued(p store.Ref[Proc], sig int32) (n int) {
	for r := store.Ref[SigEnt](k.Procs.Get(p).SigQ); r != 0; {
		e := k.SigEnts.Get(r)
		if e.Info.Sig == sig {
			n++
		}
		r = e.Next
	}
	return n
}

// takeFrom removes the first entry for sig from a queue and says whether more
// of it are queued. Without an entry the details are empty (from kill).
func (k *Kernel) takeFrom(head uint32, setHead func(uint32), sig int32) (info SigInfo, more bool) {
	info = SigInfo{Sig: sig, Code: SiUser}
	found := false
	prev := store.Ref[SigEnt](0)
	for e := store.Ref[SigEnt](head); e != 0; {
		ent := k.SigEnts.Get(e)
		next := ent.Next
		if ent.Info.Sig == sig {
			if found {
				return info, true
			}
			found = true
			info = ent.Info
			if ent.Who != 0 {
				info.Overrun = k.timerTaken(ent.Who)
			}
			if prev == 0 {
				setHead(uint32(next))
			} else {
				k.SigEnts.Mut(prev).Next = next
			}
			k.SigEnts.Free(e)
		} else {
			prev = e
		}
		e = next
	}
	return info, false
}

// discard removes pending signals of a set from a process and its threads.
func (k *Kernel) discard(p store.Ref[Proc], set SigSet) {
	if k.Procs.Get(p).Pending&set != 0 {
		for s := k.Procs.Get(p).Pending & set; s != 0; s &= s - 1 {
			sig := int32(bits.TrailingZeros64(uint64(s))) + 1
			for more := true; more; {
				_, more = k.takeFrom(k.Procs.Get(p).SigQ, func(h uint32) { k.Procs.Mut(p).SigQ = h }, sig)
			}
		}
		k.Procs.Mut(p).Pending &^= set
	}
	for _, t := range k.procRT(p).threads {
		k.discardThread(t, set)
	}
}

func (k *Kernel) discardThread(t store.Ref[Thread], set SigSet) {
	s := k.Threads.Get(t).Pending & set
	if s == 0 {
		return
	}
	for ; s != 0; s &= s - 1 {
		sig := int32(bits.TrailingZeros64(uint64(s))) + 1
		for more := true; more; {
			_, more = k.takeFrom(k.Threads.Get(t).SigQ, func(h uint32) { k.Threads.Mut(t).SigQ = h }, sig)
		}
	}
	k.Threads.Mut(t).Pending &^= set
}

// dequeue takes the next signal of a set that is pending for a thread: its own
// before the process's, synchronous ones first, then by number.
func (k *Kernel) dequeue(t store.Ref[Thread], set SigSet) (SigInfo, bool) {
	info, ok := k.dequeueRaw(t, set)
	return k.shown(t, info), ok
}

// shown is a siginfo as a thread sees it.
func (k *Kernel) shown(t store.Ref[Thread], info SigInfo) SigInfo {
	if info.hasUser() {
		info.UID = k.showID(k.Creds.Get(k.Threads.Get(t).Cred).NS, info.UID, false)
	}
	return info
}

// hasUser says whether a siginfo tells a user id, its sender's (si_uid).
func (s *SigInfo) hasUser() bool {
	return s.Code == SiUser || s.Code == SiTkill || s.Code == SiMesgq || s.Code == SiQueue || s.Code > 0 && s.Sig == SIGCHLD
}

func (k *Kernel) dequeueRaw(t store.Ref[Thread], set SigSet) (SigInfo, bool) {
	th := k.Threads.Get(t)
	if s := th.Pending & set; s != 0 {
		sig := firstSignal(s)
		info, more := k.takeFrom(th.SigQ, func(h uint32) { k.Threads.Mut(t).SigQ = h }, sig)
		if !more {
			k.Threads.Mut(t).Pending &^= SigBit(sig)
		}
		return info, true
	}
	p := th.Proc
	r := k.Procs.Get(p)
	if s := r.Pending & set; s != 0 {
		sig := firstSignal(s)
		info, more := k.takeFrom(r.SigQ, func(h uint32) { k.Procs.Mut(p).SigQ = h }, sig)
		if !more {
			k.Procs.Mut(p).Pending &^= SigBit(sig)
		}
		return info, true
	}
	return SigInfo{}, false
}

func firstSignal(s SigSet) int32 {
	if x := s & setSync; x != 0 {
		s = x
	}
	return int32(bits.TrailingZeros64(uint64(s))) + 1
}

// TakeSignal dequeues a signal of set for the caller, blocked or not (signalfd,
// sigtimedwait). False when there is none.
func (c *Call) TakeSignal(set SigSet) (SigInfo, bool) {
	return c.K.dequeue(c.T, set&^setKillStop)
}

// PendingSignals is what is pending for a thread, itself and by its process.
func (k *Kernel) PendingSignals(t store.Ref[Thread]) SigSet {
	th := k.Threads.Get(t)
	return th.Pending | k.Procs.Get(th.Proc).Pending
}

// wakeProc lets one thread that does not block the signal handle it.
func (k *Kernel) wakeProc(p store.Ref[Proc], bit SigSet) {
	var spare store.Ref[Thread]
	for _, t := range k.procRT(p).threads {
		if k.maskOf(t)&bit != 0 && k.Threads.Get(t).waitSet()&bit == 0 {
			continue
		}
		rt := k.threadRT(t)
		if rt.vforkWait {
			spare = t
			continue
		}
		k.wakeThread(t, bit)
		return
	}
	_ = spare // it looks at its signals when its child gives the task back
}

// wakeThread makes a thread look at its signals, if it does not block them.
func (k *Kernel) wakeThread(t store.Ref[Thread], bit SigSet) {
	if k.maskOf(t)&bit != 0 && k.Threads.Get(t).waitSet()&bit == 0 {
		return
	}
	k.poke(t)
}

// poke interrupts a thread wherever it is.
func (k *Kernel) poke(t store.Ref[Thread]) {
	rt := k.threadRT(t)
	switch {
	case rt.stopWait:
		// It looks when the process is continued.
	case rt.sleeping != nil:
		rt.sleeping.wake(wokeSignal)
	case rt.inServer:
		// It looks before it is answered.
	default:
		if rt.kicked {
			return // its next message is a KindPoll
		}
		th := k.Threads.Get(t)
		tid := th.HostTID
		if tid == 0 && !k.leads(t) {
			if tid = k.hail(t); tid == 0 {
				return // its next message is its first
			}
		}
		rt.kicked = true
		k.Host.Kick(k.Procs.Get(th.Proc).Task, tid)
	}
}

// leads says whether a thread is the first one of its process in a task of the process's own: the
// nucleus knows it as that, if it is only known by nothing else yet (a forked child that has not
// called).
func (k *Kernel) leads(t store.Ref[Thread]) bool {
	p := k.Procs.Get(k.Threads.Get(t).Proc)
	return p.Leader == t && p.VforkParent == 0 && p.Task != 0
}

// stop puts a process into the stopped state.
func (k *Kernel) stop(p store.Ref[Proc], sig int32) {
	m := k.Procs.Mut(p)
	m.Stopped = uint32(sig)
	m.WaitEvents = m.WaitEvents&^2 | 1
	k.notifyParent(p, CldStopped, sig)
	for _, t := range k.procRT(p).threads {
		k.poke(t)
	}
}

// cont lets a stopped process run again.
func (k *Kernel) cont(p store.Ref[Proc]) {
	if k.Procs.Get(p).Stopped == 0 {
		return
	}
	m := k.Procs.Mut(p)
	m.Stopped = 0
	m.WaitEvents = m.WaitEvents&^1 | 2
	k.notifyParent(p, CldContinued, SIGCONT)
	k.procRT(p).cont.Wake(^uint32(0))
}

// notifyParent tells the parent of a stop or a continuation.
func (k *Kernel) notifyParent(p store.Ref[Proc], code, status int32) {
	r := k.Procs.Get(p)
	par := r.Parent
	if par == 0 {
		return
	}
	k.procRT(par).childQ.Wake(^uint32(0))
	pr := k.Procs.Get(par)
	if pr.State != ProcLive {
		return
	}
	if k.Hands.Get(pr.Hand).Act[SIGCHLD].Flags&SaNoCldStop != 0 {
		return
	}
	k.SendSignal(par, &SigInfo{Sig: SIGCHLD, Code: code, Pid: r.Pid, UID: k.Creds.Get(r.Cred).UID, Status: status})
}

// KillCheck answers EPERM when the caller may not send sig to p (kill(2)):
// its real or effective user id must be p's real or saved one, or it has
// CAP_KILL; SIGCONT may go anywhere in its session.
func (c *Call) KillCheck(p store.Ref[Proc], sig int32) abi.Errno {
	k := c.K
	me := c.Cred()
	r := k.Procs.Get(p)
	him := k.Creds.Get(r.Cred)
	if him == nil || me.EUID == him.SUID || me.EUID == him.UID || me.UID == him.SUID || me.UID == him.UID {
		return 0
	}
	if k.CapableIn(me, him.NS, CapKill) || c.ProcRef() == p {
		return 0
	}
	if sig == SIGCONT && r.Sid == c.Proc().Sid {
		return 0
	}
	return abi.EPERM
}

// UserInfo is the siginfo of a signal that the caller sends.
func (c *Call) UserInfo(sig int32, code int32) SigInfo {
	return SigInfo{Sig: sig, Code: code, Pid: c.Proc().Pid, UID: c.Cred().UID}
}

// Kill serves kill(2): pid > 0 a process, 0 the caller's group, -1 everybody
// but the first process and the caller, < -1 a group. sig 0 only checks.
func (c *Call) Kill(pid, sig int32) abi.Errno {
	k := c.K
	info := c.UserInfo(sig, SiUser)
	one := func(p store.Ref[Proc]) abi.Errno {
		if e := c.KillCheck(p, sig); e != 0 {
			return e
		}
		if sig != 0 {
			k.SendSignal(p, &info)
		}
		return 0
	}
	switch {
	case pid > 0:
		p := k.ProcByPid(pid)
		if p == 0 {
			// kill(2) also takes the id of any thread of the process.
			if t := k.byTid[pid]; t != 0 {
				p = k.Threads.Get(t).Proc
			}
		}
		if p == 0 {
			return abi.ESRCH
		}
		return one(p)
	case pid == -1:
		self := c.ProcRef()
		var all []store.Ref[Proc]
		k.EachProc(func(p store.Ref[Proc], r *Proc) bool {
			if r.Pid != 1 && p != self {
				all = append(all, p)
			}
			return true
		})
		return tally(all, one)
	}
	pg := -pid
	if pid == 0 {
		pg = c.Proc().Pgid
	}
	if pid == -1<<31 {
		return abi.ESRCH
	}
	var all []store.Ref[Proc]
	k.EachInPgrp(pg, func(p store.Ref[Proc]) { all = append(all, p) })
	return tally(all, one)
}

// tally sends to all: success if one could be sent, else the last error.
func tally(all []store.Ref[Proc], one func(store.Ref[Proc]) abi.Errno) abi.Errno {
	e := abi.ESRCH
	ok := false
	for _, p := range all {
		if x := one(p); x == 0 {
			ok = true
		} else {
			e = x
		}
	}
	if ok {
		return 0
	}
	return e
}

// SetAction changes what the caller's process does with sig and answers what
// it did. EINVAL for what cannot be changed; act nil only asks.
func (c *Call) SetAction(sig int32, act *SigAction) (SigAction, abi.Errno) {
	if sig < 1 || sig >= NumSignals || act != nil && setKillStop.Has(sig) {
		return SigAction{}, abi.EINVAL
	}
	k := c.K
	h := c.Proc().Hand
	old := k.Hands.Get(h).Act[sig]
	if act == nil {
		return old, 0
	}
	a := *act
	a.Mask &^= setKillStop
	if a.Handler == old.Handler && a == old {
		return old, 0
	}
	k.Hands.Mut(h).Act[sig] = a
	if a != (SigAction{}) {
		k.changed(c.Task, sig)
	}
	if k.sigIgnored(c.Proc(), sig) {
		k.discard(c.ProcRef(), SigBit(sig))
	}
	return old, 0
}

// SetSigMask changes the caller's mask; SIGKILL and SIGSTOP stay out of it.
func (c *Call) SetSigMask(set SigSet) {
	set &^= setKillStop
	if c.Thread().Mask == set {
		return
	}
	c.MutThread().Mask = set
	c.retarget()
}

// retarget lets other threads see process-directed signals that the caller
// just blocked.
func (c *Call) retarget() {
	p := c.ProcRef()
	if r := c.K.Procs.Get(p); r.Threads > 1 {
		c.K.retarget(p, r.Pending&c.Thread().Mask)
	}
}

// retarget has a thread of a process chosen anew for each of the signals.
func (k *Kernel) retarget(p store.Ref[Proc], s SigSet) {
	for ; s != 0; s &= s - 1 {
		k.wakeProc(p, s&-s)
	}
}

// WithMask sets the caller's mask for the rest of this call (ppoll,
// sigsuspend...): it is restored when the call ends, after the handlers of the
// signals that it let through. Harmless to repeat.
func (c *Call) WithMask(set SigSet) {
	th := c.MutThread()
	if th.HasSaved == 0 {
		th.SavedMask = th.Mask
		th.HasSaved = 1
	}
	if set &^= setKillStop; th.Mask != set {
		th.Mask = set
		c.retarget()
	}
}

// RestoreMask undoes WithMask at once.
func (c *Call) RestoreMask() {
	th := c.Thread()
	if th.HasSaved == 1 {
		m := c.MutThread()
		m.Mask = m.SavedMask
		m.HasSaved = 0
	}
}

// WaitSignal serves sigtimedwait: it waits until deadline for one of set.
// EAGAIN when the time is over, EINTR for another signal.
func (c *Call) WaitSignal(set SigSet, deadline int64) (SigInfo, abi.Errno) {
	set &^= setKillStop
	for {
		if s, ok := c.TakeSignal(set); ok {
			c.endWaitSet()
			return s, 0
		}
		th := c.MutThread()
		th.HasSaved, th.SavedMask = 2, set
		e := c.Sleep(deadline, &c.K.procRT(c.ProcRef()).sigQ)
		if e == 0 {
			continue
		}
		c.endWaitSet()
		if s, ok := c.TakeSignal(set); ok {
			return s, 0
		}
		if e == abi.ETIMEDOUT {
			return SigInfo{}, abi.EAGAIN
		}
		if c.K.threadRT(c.T).gone {
			return SigInfo{}, e
		}
		return SigInfo{}, abi.ErrRestartNoHnd
	}
}

func (c *Call) endWaitSet() {
	if c.Thread().HasSaved == 2 {
		m := c.MutThread()
		m.HasSaved, m.SavedMask = 0, 0
	}
}

// AltStack is sigaltstack(2)'s stack_t.
type AltStack struct {
	SP    uint64
	Flags uint32
	Size  uint64
}

// OnAltStack says whether sp is on the thread's alternate stack.
func (t *Thread) OnAltStack(sp uint64) bool {
	return t.AltFlags&SsAutodisarm == 0 && t.AltSize != 0 && sp > t.AltSP && sp-t.AltSP <= t.AltSize
}

// forceSignal makes a thread handle a signal that it caused itself: a blocked
// or ignored one kills.
func (k *Kernel) forceSignal(t store.Ref[Thread], s *SigInfo) {
	if s.Sig == 0 {
		return
	}
	th := k.Threads.Get(t)
	p := k.Procs.Get(th.Proc)
	a := &k.Hands.Get(p.Hand).Act[s.Sig]
	bit := SigBit(s.Sig)
	if a.Handler == SigIgn || th.Mask&bit != 0 {
		m := &k.Hands.Mut(p.Hand).Act[s.Sig]
		m.Handler = SigDfl
		k.Threads.Mut(t).Mask &^= bit
	}
	k.discardThread(t, bit)
	k.stirred(k.Procs.Get(th.Proc).Task)
	k.enqueue(th.Proc, t, s, 0)
	k.Threads.Mut(t).Pending |= bit
}

// ForceSignal is forceSignal for the caller (a bad signal frame, SIGSYS...).
func (c *Call) ForceSignal(s *SigInfo) { c.K.forceSignal(c.T, s) }

// killProcess ends a process as sig's default action would.
func (k *Kernel) killProcess(p store.Ref[Proc], sig int32) { k.exitGroup(p, uint32(sig)) }
