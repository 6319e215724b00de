package core

import (
	"hythe/abi"
	"hythe/store"
)

// killDelay is how long a task that was told to end itself may take before it
// is ended from outside, in ns.
const killDelay = 2e9

// Exit ends the calling thread (exit(2)); the last one ends the process with
// code.
func (c *Call) Exit(code uint32) {
	c.lastActs()
	if c.K.threadRT(c.T).gone {
		return
	}
	if c.Proc().Threads > 1 && c.Proc().Exiting == 0 {
		c.K.traceEnd(c.T, code&0xff<<8)
		c.K.leaveThread(c)
		return
	}
	c.K.exitGroup(c.ProcRef(), code&0xff<<8)
}

// ExitGroup ends the calling process (exit_group(2)).
func (c *Call) ExitGroup(code uint32) {
	c.lastActs()
	c.K.exitGroup(c.ProcRef(), code&0xff<<8)
}

// Die ends the calling process as by a signal's default action.
func (c *Call) Die(sig int32) {
	c.lastActs()
	c.K.exitGroup(c.ProcRef(), uint32(sig))
}

// lastActs prepares what a thread that ends leaves in its memory: the robust
// list's locks are marked, clear_child_tid is cleared and its waiters woken.
// It also notes the time that the process has used.
func (c *Call) lastActs() {
	k := c.K
	th := *c.Thread()
	p := *c.Proc()
	if p.Threads == 1 && p.VforkParent == 0 {
		k.noteUsage(c)
	}
	if p.VforkParent != 0 {
		return // the memory is the parent's
	}
	c.dropReply()
	c.exiting = true
	if th.RobustHead != 0 {
		c.walkRobust(th.RobustHead, uint32(th.Tid))
		c.Flush() // before anybody can hear of the end
	}
	if th.ClearTid != 0 && p.Threads > 1 {
		c.Act(abi.ActStore32, abi.ActIgnore, th.ClearTid, 0)
		c.Act(abi.ActFutexWake, abi.ActIgnore, th.ClearTid, 1)
	}
}

// noteUsage adds what the task has used to the process's own times.
func (k *Kernel) noteUsage(c *Call) {
	id := c.Proc().Task
	var u, s uint64
	var e abi.Errno
	if ts := k.tasks[id]; ts == nil || !ts.brief(k.Clock.Mono()) {
		c.Unlocked(func() { _, u, s, e = k.Host.Usage(id) })
	}
	if e != 0 || k.Threads.Get(c.T) == nil {
		return
	}
	m := c.MutProc()
	m.ExitU, m.ExitS = int64(u), int64(s)
}

// Words of a robust futex (linux/futex.h).
const (
	futexWaiters   = 0x80000000
	futexOwnerDied = 0x40000000
	futexTidMask   = 0x3fffffff
	robustLimit    = 2048
)

// robustEmpty says whether the library has sent along that the list is empty, as it mostly
// is. What it says is about the caller's own locks.
func (c *Call) robustEmpty(head uint64) bool {
	b, fault, ok := c.Prefetched(abi.RobustArg)
	if !ok || fault || len(b) != 8+abi.RobustSize {
		return false
	}
	return le64(b) == head && le64(b[8:])&^1 == head && le64(b[24:]) == 0
}

// walkRobust marks the locks on a robust list whose owner is tid (struct
// robust_list_head: list.next, futex_offset, list_op_pending).
func (c *Call) walkRobust(head uint64, tid uint32) {
	if c.robustEmpty(head) {
		return
	}
	c.InReset()
	b, e := c.CopyIn(head, 24)
	if e != 0 {
		return
	}
	next, off, pending := le64(b), le64(b[8:]), le64(b[16:])
	mark := func(entry uint64) {
		addr := (entry &^ 1) + off
		c.InReset()
		v, e := c.CopyIn32(addr)
		if e != 0 || v&futexTidMask != tid || addr&3 != 0 {
			return
		}
		c.Act(abi.ActStore32, abi.ActIgnore, addr, uint64(v&futexWaiters|futexOwnerDied))
		// Somebody may have said since that he waits, which this store takes
		// back: he is woken whether or not the word said so before.
		c.Act(abi.ActFutexWake, abi.ActIgnore, addr, 1)
	}
	for i := 0; next&^1 != head && next != 0 && i < robustLimit; i++ {
		entry := next
		c.InReset()
		n, e := c.CopyIn64(entry &^ 1)
		if entry != pending {
			mark(entry)
		}
		if e != 0 {
			break
		}
		next = n
	}
	if pending != 0 {
		mark(pending)
	}
}

// exitGroup begins the end of a process with a wait status. Threads inside the
// server unwind first; when the last is gone the process is a zombie.
func (k *Kernel) exitGroup(p store.Ref[Proc], status uint32) {
	r := k.Procs.Get(p)
	if r == nil || r.State != ProcLive || r.Exiting != 0 {
		return
	}
	m := k.Procs.Mut(p)
	m.Exiting = 1
	m.ExitStatus = status
	m.Stopped = 0
	if m.VforkParent == 0 && m.Threads > 0 {
		k.Host.Tell(m.Task, abi.ToldEnding, 1)
	}
	for _, t := range append([]store.Ref[Thread](nil), k.procRT(p).threads...) {
		k.endThread(t)
	}
	if k.Procs.Get(p).Threads == 0 {
		k.procEnd(p)
		return
	}
	k.killLater(p)
}

// killLater ends the task of a process that is to end, if its threads do not
// leave by themselves.
func (k *Kernel) killLater(p store.Ref[Proc]) {
	gen := k.Procs.Gen(p)
	k.Clock.After(k.Clock.Mono()+killDelay, func() {
		k.mu.Lock()
		if r := k.Procs.Get(p); r != nil && k.Procs.Gen(p) == gen && r.State == ProcLive && r.VforkParent == 0 {
			k.Host.Terminate(r.Task)
		}
		k.mu.Unlock()
	})
}

// endThread ends a thread of a process that exits or executes: when its call has
// unwound; at once when it runs guest code, but for what lastActs has to do.
func (k *Kernel) endThread(t store.Ref[Thread]) {
	rt := k.threadRT(t)
	if rt.inServer && !rt.vforkWait {
		rt.gone = true
		if rt.sleeping != nil {
			rt.sleeping.wake(wokeGone)
		}
		return
	}
	th := k.Threads.Get(t)
	p := k.Procs.Get(th.Proc)
	if ts := k.tasks[p.Task]; !rt.vforkWait && ts != nil && !ts.dead && (p.Exiting == 0 || k.leavesLocks(th) && (k.hostTID(t) != 0 || k.leads(t))) {
		// Only its library can see to the locks that it holds. And while another
		// thread executes a program, one that is not known any more would come
		// with a call and be taken for a stranger.
		rt.gone, rt.called = true, true
		k.poke(t)
		return
	}
	k.threadEnd(t)
}

// leavesLocks says whether a thread that ends may hold locks that others wait
// for: the C library tells of each thread's list, which is mostly empty.
func (k *Kernel) leavesLocks(th *Thread) bool {
	p := k.Procs.Get(th.Proc)
	return th.State == ThreadLive && p.VforkParent == 0 && k.RobustList(th) != 0
}

// RobustList is the list of locks of a thread, 0 if it has none (set_robust_list(2)).
func (k *Kernel) RobustList(th *Thread) uint64 {
	if p := k.Procs.Get(th.Proc); th.State == ThreadLive && p.Task != 0 && p.VforkParent == 0 {
		if head, ok := k.Host.Robust(p.Task, th.Slot); ok {
			return head
		}
	}
	return th.RobustHead
}

// threadEnd takes a thread out of its process. The record stays with its slot.
func (k *Kernel) threadEnd(t store.Ref[Thread]) {
	if k.Threads.Get(t).State == ThreadDead {
		return
	}
	if r := k.Procs.Get(k.Threads.Get(t).Proc); r.Exiting != 0 {
		k.traceEnd(t, r.ExitStatus)
	}
	k.dropThreadIndex(t)
	k.discardThread(t, ^SigSet(0))
	k.dropParts(t)
	th := k.Threads.Mut(t)
	th.State = ThreadDead
	k.DropCred(th.Cred)
	th.Cred = 0
	k.dropFs(th.Fs)
	th.Fs = 0
	lent := th.VforkChild != 0
	if v := th.VforkChild; v != 0 {
		k.Procs.Mut(v).VforkParent = 0
		th.VforkChild = 0
	}
	m := k.Procs.Mut(th.Proc)
	m.Threads--
	m.IO.add(th.IO)
	if m.Leader == t {
		m.Leader = 0
		if ts := k.tasks[m.Task]; ts != nil && ts.proc == th.Proc {
			k.mayThreads(ts, ts.may&^abi.ThreadsEnd)
		}
	}
	delete(k.threads, t)
	if m.State == ProcLive && m.Exiting == 0 && m.Threads > 0 {
		// What this thread was chosen to handle while it was on its way out is
		// another's now.
		k.retarget(th.Proc, m.Pending)
	}
	if lent {
		k.Threads.Free(t) // no slot is bound to it
	}
}

// leaveThread ends the calling thread of a process that goes on.
func (k *Kernel) leaveThread(c *Call) {
	k.leaves(c.T)
	c.ended = true
	c.Flags |= abi.ReplyKeepRegs
	c.regsSet = false
	c.Act(abi.ActExitThread, 0)
}

// leaveGone ends the calling thread when its process exits or another of its
// threads executes a program; the answer ends the thread on the host too, or
// gives the task back to the parent after a vfork.
func (k *Kernel) leaveGone(c *Call) {
	t := c.T
	th := k.Threads.Get(t)
	p := th.Proc
	r := k.Procs.Get(p)
	vfork := r.Flags&ProcVfork != 0
	parent := r.VforkParent
	if !c.exiting {
		c.dropReply()
	}
	c.ended = true
	c.regsSet = false
	c.Err, c.Result = 0, 0
	c.Flags = abi.ReplyKeepRegs
	k.threadEnd(t)
	last := k.Procs.Get(p).Threads == 0
	exiting := k.Procs.Get(p).Exiting != 0
	if last && exiting {
		if c.exiting {
			k.proc.selfExit = true
		}
		k.procEnd(p)
		k.proc.selfExit = false
	}
	if !last && !exiting {
		k.procRT(p).deadQ.Wake(^uint32(0))
	}
	if vfork {
		k.vforkReturn(c, parent)
		return
	}
	if last && exiting {
		c.Act(abi.ActExitTask, 0)
		c.T = 0
	} else {
		c.Act(abi.ActExitThread, 0)
	}
}

// procEnd makes a process without threads a zombie and tells who has to know.
func (k *Kernel) procEnd(p store.Ref[Proc]) {
	r := k.Procs.Get(p)
	if r.State != ProcLive {
		return
	}
	task := r.Task
	k.discard(p, ^SigSet(0))
	k.dropTimers(p, true)
	k.shmLeave(p)
	k.semLeave(p)
	k.leaveRegion(p)
	k.leaveDicts(p)
	if fds := r.FDs; fds != 0 {
		k.Procs.Mut(p).FDs = 0
		k.DropFDTable(nil, fds, p)
	}
	if k.Procs.Get(p).Sid == k.Procs.Get(p).Pid && k.Procs.Get(p).CTTY != 0 {
		k.TTYHangup(k.Procs.Get(p).CTTY)
	}
	m := k.Procs.Mut(p)
	fsx, hand, exe := m.Fs, m.Hand, m.Exe
	ea, ep := m.ExecArgs, m.ExecPath
	m.Fs, m.Exe = 0, 0
	m.ExecArgs, m.ExecPath = store.Block{}, store.Block{}
	m.CTTY = 0
	m.Task = 0
	m.VforkParent = 0
	m.UTime += m.ExitU
	m.STime += m.ExitS
	m.ExitU, m.ExitS = 0, 0
	m.State = ProcZombie
	k.traceGone(m.Pid)
	k.dropFs(fsx)
	if exe != 0 {
		k.dropExe(exe)
	}
	k.Heap.FreeBlock(ea)
	k.Heap.FreeBlock(ep)
	k.leaveTask(task, p)

	// Children go to the nearest reaper; groups that lose their last link to
	// another group of the session are orphans.
	if r := k.Procs.Get(p); r.Parent != 0 {
		if par := k.Procs.Get(r.Parent); par.Pgid != r.Pgid && par.Sid == r.Sid {
			k.orphaned(r.Pgid, p)
		}
	}
	heir := k.heir(p)
	rt := k.procRT(p)
	kin := map[int32]bool{}
	for child := range rt.children {
		if ch := k.Procs.Get(child); ch.Pgid != m.Pgid && ch.Sid == m.Sid {
			kin[ch.Pgid] = true
		}
		k.reparent(child, heir, p)
	}
	rt.children = nil
	for pgid := range kin {
		k.orphaned(pgid, p)
	}
	m.Hand = 0
	k.dropHand(hand)

	g := k.Globals()
	k.sessionEnded(m.Pid, m.ExitStatus)
	if g.Init == p {
		status := m.ExitStatus
		k.killAll(p)
		k.afterCommit(func() { k.Host.Halt(status) })
	}
	rt.deadQ.Wake(^uint32(0))
	k.tellDeath(p)
}

// killAll ends every other process: the first one, p, has ended, and the machine
// ends with it (pid_namespaces(7)).
func (k *Kernel) killAll(p store.Ref[Proc]) {
	var rest []store.Ref[Proc]
	k.Procs.Each(func(q store.Ref[Proc], r *Proc) bool {
		if q != p && r.State == ProcLive {
			rest = append(rest, q)
		}
		return true
	})
	for _, q := range rest {
		k.exitGroup(q, SIGKILL)
	}
}

// tellDeath sends the exit signal to the parent, or buries the child at once
// when the parent does not care.
func (k *Kernel) tellDeath(p store.Ref[Proc]) {
	r := k.Procs.Get(p)
	par := r.Parent
	if par == 0 {
		if r.Flags&ProcAutoReap != 0 {
			k.reap(p)
		}
		return
	}
	pr := k.Procs.Get(par)
	auto := false
	if pr.State == ProcLive {
		if r.ExitSignal == SIGCHLD {
			a := &k.Hands.Get(pr.Hand).Act[SIGCHLD]
			auto = a.Handler == SigIgn || a.Flags&SaNoCldWait != 0
			if a.Handler != SigIgn {
				k.sendDeath(p, par)
			}
		} else if r.ExitSignal != 0 {
			k.sendDeath(p, par)
		}
	}
	if auto || r.Flags&ProcAutoReap != 0 {
		k.reap(p)
	}
	k.procRT(par).childQ.Wake(^uint32(0))
}

func (k *Kernel) sendDeath(p, par store.Ref[Proc]) {
	r := k.Procs.Get(p)
	s := SigInfo{Sig: int32(r.ExitSignal), Pid: r.Pid, UID: k.Creds.Get(r.Cred).UID}
	s.UTime, s.STime = r.UTime/1e7, r.STime/1e7
	s.Code, s.Status = DeathCode(r.ExitStatus)
	k.SendSignal(par, &s)
}

// DeathCode answers si_code and si_status for a wait status.
func DeathCode(status uint32) (code, value int32) {
	if status&0x7f == 0 {
		return CldExited, int32(status >> 8 & 0xff)
	}
	if status&0x80 != 0 {
		return CldDumped, int32(status & 0x7f)
	}
	return CldKilled, int32(status & 0x7f)
}

// heir answers who takes the children of p: its nearest living ancestor that
// is a subreaper, or the first process.
func (k *Kernel) heir(p store.Ref[Proc]) store.Ref[Proc] {
	for a := k.Procs.Get(p).Parent; a != 0; a = k.Procs.Get(a).Parent {
		if r := k.Procs.Get(a); r.SubReaper != 0 && r.State == ProcLive && r.Exiting == 0 {
			return a
		}
	}
	if g := k.Globals().Init; g != p {
		return g
	}
	return 0
}

func (k *Kernel) reparent(child, heir, old store.Ref[Proc]) {
	m := k.Procs.Mut(child)
	m.Parent = heir
	k.Host.Tell(m.Task, abi.ToldPpid, 0)
	if heir == 0 { // a machine without process 1, or whose process 1 ends
		m.Flags |= ProcAutoReap
	}
	if m.ExitSignal != 0 {
		m.ExitSignal = SIGCHLD
	}
	if heir != 0 {
		k.addChild(heir, child)
	}
	if m.State == ProcZombie {
		k.tellDeath(child)
		return
	}
	if s := m.PDeathSig; s != 0 {
		k.SendSignal(child, &SigInfo{Sig: int32(s), Code: SiUser, Pid: k.Procs.Get(old).Pid, UID: k.Creds.Get(k.Procs.Get(old).Cred).UID})
	}
}

// orphaned sends SIGHUP and SIGCONT to a process group if the end of p has made
// it an orphan and one of its members is stopped (POSIX _exit).
func (k *Kernel) orphaned(pgid int32, p store.Ref[Proc]) {
	if k.pgrpHasStopped(pgid) && k.pgrpOrphanedBut(pgid, p) {
		k.SignalPgrp(pgid, &SigInfo{Sig: SIGHUP, Code: SiKernel})
		k.SignalPgrp(pgid, &SigInfo{Sig: SIGCONT, Code: SiKernel})
	}
}

// reap frees a zombie.
func (k *Kernel) reap(p store.Ref[Proc]) {
	r := k.Procs.Get(p)
	k.leavePgrp(p)
	delete(k.byPid, r.Pid)
	if r.Parent != 0 {
		delete(k.procRT(r.Parent).children, p)
	}
	k.DropCred(r.Cred)
	k.procRT(p).deadQ.Wake(^uint32(0))
	k.Procs.Free(p)
	delete(k.procs, p)
}

// dropHand gives up a table of signal actions.
func (k *Kernel) dropHand(h store.Ref[SigHand]) {
	if h == 0 {
		return
	}
	m := k.Hands.Mut(h)
	if m.Refs > 1 {
		m.Refs--
		return
	}
	k.Hands.Free(h)
}

// leaveTask forgets a process in a task; when nobody else speaks there the
// task ends.
func (k *Kernel) leaveTask(id TaskID, p store.Ref[Proc]) {
	ts := k.tasks[id]
	if id == 0 { // it never had one: who began to make it frees its threads
		return
	}
	if ts == nil { // it went before the last of its threads had left the server
		k.Threads.Each(func(t store.Ref[Thread], th *Thread) bool {
			if th.Proc == p && th.State == ThreadDead {
				delete(k.threads, t)
				k.Threads.Free(t)
			}
			return true
		})
		return
	}
	used := false
	for slot, t := range ts.slots {
		th := k.Threads.Get(t)
		switch {
		case th == nil:
			delete(ts.slots, slot)
		case th.Proc == p:
			delete(ts.slots, slot)
			delete(k.threads, t)
			k.Threads.Free(t)
		case th.State == ThreadLive:
			used = true
		}
	}
	if !used {
		// A vfork parent's thread is not bound while its child uses the slot.
		k.Procs.Each(func(q store.Ref[Proc], r *Proc) bool {
			if q != p && r.Task == id && r.State == ProcLive {
				used = true
			}
			return !used
		})
	}
	if used {
		return
	}
	ts.dead = true
	if !k.proc.selfExit {
		k.afterCommit(func() { k.Host.Terminate(id) })
		return
	}
	k.afterCommit(func() {
		ts.cancelKill = k.Clock.After(k.Clock.Mono()+killDelay, func() {
			k.mu.Lock()
			if k.tasks[id] == ts {
				k.Host.Terminate(id)
			}
			k.mu.Unlock()
		})
	})
}

// TaskGone tells that the host process of a task has ended. Whatever still
// lived in it is killed. It takes the lock itself.
func (k *Kernel) TaskGone(id TaskID) {
	k.Enter()
	defer k.Leave()
	ts := k.tasks[id]
	if ts == nil {
		return
	}
	ts.dead = true
	if ts.cancelKill != nil {
		ts.cancelKill()
	}
	if ts.lent != nil {
		k.takeBackTable(ts.lent.table)
	}
	var hit []store.Ref[Proc]
	k.Procs.Each(func(p store.Ref[Proc], r *Proc) bool {
		if r.State == ProcLive && r.Task == id {
			hit = append(hit, p)
		}
		return true
	})
	for _, p := range hit {
		if r := k.Procs.Get(p); r != nil && r.State == ProcLive {
			k.exitGroup(p, SIGKILL)
		}
		if r := k.Procs.Get(p); r == nil || r.State != ProcLive {
			continue
		}
		for _, t := range append([]store.Ref[Thread](nil), k.procRT(p).threads...) {
			if k.threadRT(t).called {
				k.threadEnd(t) // it does not come any more
			}
		}
		if k.Procs.Get(p).Threads == 0 {
			k.procEnd(p)
		}
	}
	delete(k.names.tasks, k.tasks[id])
	k.grants.leave(k.tasks[id])
	delete(k.tasks, id)
	k.hostsLeft(id)
}
