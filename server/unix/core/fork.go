package core

import (
	"hythe/abi"
	"hythe/store"
)

// Flags of Clone; the numbers are Linux's (linux/sched.h).
const (
	CloneVM           = 0x100
	CloneFS           = 0x200
	CloneFiles        = 0x400
	CloneSighand      = 0x800
	ClonePidfd        = 0x1000
	CloneVfork        = 0x4000
	CloneParent       = 0x8000
	CloneThread       = 0x10000
	CloneNewNS        = 0x20000
	CloneSysvsem      = 0x40000
	CloneSetTLS       = 0x80000
	CloneParentSettid = 0x100000
	CloneChildCleartd = 0x200000
	CloneDetached     = 0x400000
	CloneChildSettid  = 0x1000000
	CloneNewCgroup    = 0x2000000
	CloneNewUTS       = 0x4000000
	CloneNewIPC       = 0x8000000
	CloneNewUser      = 0x10000000
	CloneNewPID       = 0x20000000
	CloneNewNet       = 0x40000000
	CloneIO           = 0x80000000
	CloneClearSighand = 0x100000000
	CloneIntoCgroup   = 0x200000000
	CloneNewTime      = 0x80

	cloneNamespaces = CloneNewCgroup | CloneNewUTS | CloneNewIPC | CloneNewPID | CloneNewNet | CloneNewTime
)

// CloneArgs says what Clone makes. SP 0 keeps the caller's stack pointer.
type CloneArgs struct {
	Flags      uint64
	ExitSignal int32
	SP         uint64
	TLS        uint64
	ParentTid  uint64
	ChildTid   uint64
	Pidfd      uint64 // where its number is stored
	// Regs is what a thread begins with; nil: with the caller's, and result 0.
	Regs *abi.Regs
	// Mask is what a thread begins with as its blocked signals; nil: with the caller's.
	Mask *SigSet
	// Share: the child has the caller's Region, and not a copy.
	Share bool
	// Alone: nobody waits for the child.
	Alone bool
	// NoFiles: the child has no descriptors.
	NoFiles bool
	// Dicts are the child's (dict.go): the caller's, copies, or empty ones.
	Dicts [NumDicts]int
}

// Clone makes a process or a thread and answers its id.
func (c *Call) Clone(a *CloneArgs) (int32, abi.Errno) {
	f := a.Flags
	k := c.K
	switch {
	case f&CloneNewUser != 0 && f&(CloneThread|CloneFS) != 0, f&(CloneNewNS|CloneFS) == CloneNewNS|CloneFS:
		return 0, abi.EINVAL
	case f&CloneThread != 0 && f&CloneSighand == 0, f&CloneSighand != 0 && f&CloneVM == 0:
		return 0, abi.EINVAL
	case f&CloneSighand != 0 && f&CloneClearSighand != 0:
		return 0, abi.EINVAL
	case f&CloneThread != 0 && f&(CloneNewUser|CloneNewPID) != 0:
		return 0, abi.EINVAL
	case f&CloneParent != 0 && k.Globals().Init == c.ProcRef():
		return 0, abi.EINVAL
	case f&ClonePidfd != 0 && f&(CloneThread|CloneDetached) != 0:
		return 0, abi.EINVAL
	case a.ExitSignal < 0 || a.ExitSignal >= NumSignals:
		return 0, abi.EINVAL
	case f&cloneNamespaces != 0, f&(CloneNewNS|CloneNewUser) == CloneNewNS && !c.NsCapable(CapSysAdmin):
		return 0, abi.EPERM
	}
	if k.threadRT(c.T).gone {
		// The process ended while the arguments were fetched: a thread that it
		// got now would never run, and so never leave.
		return 0, abi.ErrRestart
	}
	if e := c.checkNproc(); e != 0 {
		return 0, e
	}
	if f&CloneThread != 0 {
		return c.newThreadCall(a)
	}
	if f&CloneVM != 0 {
		if f&CloneVfork == 0 {
			// Two processes that share memory and run at once.
			return 0, abi.EINVAL
		}
		return c.vfork(a)
	}
	return c.fork(a)
}

// freeSlot answers a slot of the task that nobody uses, behind the last one
// given out, so that a host thread that still leaves its slot is left alone. It goes round
// among not many more than there are threads: each slot has pages of its own, and so has its
// thread in the task.
func (k *Kernel) freeSlot(id TaskID, p store.Ref[Proc]) (uint32, abi.Errno) {
	ts, r := k.tasks[id], k.Procs.Get(p)
	next := r.NextSlot
	if next > 2*uint32(r.Threads)+32 {
		next = 1
	}
	for i := range uint32(abi.MaxSlots) {
		s := (next + i) % abi.MaxSlots
		t := ts.slots[s]
		if s == 0 && t == 0 {
			continue // the keeper's
		}
		if t != 0 {
			if k.Threads.Get(t).State != ThreadDead {
				continue
			}
			if s == 0 {
				continue
			}
			delete(k.threads, t)
			k.Threads.Free(t)
			delete(ts.slots, s)
		}
		k.Procs.Mut(p).NextSlot = s + 1
		return s, 0
	}
	return 0, abi.EAGAIN
}

func (c *Call) newThreadCall(a *CloneArgs) (int32, abi.Errno) {
	k := c.K
	p := c.ProcRef()
	if c.Proc().VforkParent != 0 {
		return 0, abi.EAGAIN
	}
	task := c.Proc().Task
	// It is counted before anything is: the lock is given up, unless one that has ended still is.
	if ts := k.tasks[task]; ts != nil && ts.spare > 0 {
		ts.spare--
	} else if c.withSpares(func() abi.Errno { return k.Host.AddThreads(task, 1) }) != 0 {
		return 0, abi.EAGAIN
	}
	tid, e := c.countedThread(a, p, task)
	if e != 0 {
		k.afterCommit(func() { k.Host.ThreadGone(task, 0) })
	}
	return tid, e
}

// maxSpare is how many threads of a task that have ended stay counted for its next ones.
const maxSpare = 4

// threadGone takes a thread that has ended out of its task's budget, or keeps its place there
// for the next one. The host has to hear of one that may go before others.
func (k *Kernel) threadGone(task TaskID, hostTID uint64, told bool) {
	if ts := k.tasks[task]; ts != nil && !ts.dead && !told && ts.spare < maxSpare {
		ts.spare++
		return
	}
	k.Host.ThreadGone(task, hostTID)
}

// withSpares does without the lock what needs room in the budget of all guests; if there is
// none, once more when the spare threads of all tasks are given back. Each of these was saved a
// call of ThreadGone before.
func (c *Call) withSpares(do func() abi.Errno) abi.Errno {
	k := c.K
	var e abi.Errno
	c.Unlocked(func() { e = do() })
	if e != abi.EAGAIN {
		return e
	}
	spare := map[TaskID]int{}
	for id, ts := range k.tasks {
		if ts.spare > 0 {
			spare[id], ts.spare = ts.spare, 0
		}
	}
	if len(spare) == 0 {
		return e
	}
	c.Unlocked(func() {
		for id, n := range spare {
			k.Host.AddThreads(id, -n)
		}
		e = do()
	})
	return e
}

func (c *Call) countedThread(a *CloneArgs, p store.Ref[Proc], task TaskID) (int32, abi.Errno) {
	k := c.K
	if k.threadRT(c.T).gone || c.Proc().Exiting != 0 {
		return 0, abi.ErrRestart
	}
	tid, e := k.newPid()
	if e != 0 {
		return 0, e
	}
	slot, e := k.freeSlot(task, p)
	if e != 0 {
		return 0, e
	}
	own := c.Thread().Fs
	if a.Flags&CloneFS == 0 {
		if own = k.copyFs(c.fsRef()); own == 0 {
			return 0, abi.EAGAIN
		}
	} else if own != 0 {
		k.FsCtxs.Mut(own).Refs++
	}
	second := k.alone(p)
	t, th, e := k.newThread(p, tid, c.T)
	if e != 0 {
		k.dropFs(own)
		return 0, e
	}
	th.Fs = own
	th.Slot = slot
	if a.Mask != nil {
		th.Mask = *a.Mask &^ setKillStop
	}
	c.childTids(a, th)
	k.bindSlot(task, slot, t)
	k.tasks[task].threaded = true
	if second {
		k.takeBackStreams(c.Task) // who waits in one has no other threads (mayPoll)
		k.takeBackWaiting(c.Task) // (mayWaitHost)
		k.takeBackWrites(c.Task)  // by its own offset only one writes to a file
		k.untellLowest(k.tasks[task])
	}
	c.dropKept(0)
	k.addThreadIndex(t)
	if a.Flags&CloneParentSettid != 0 {
		c.Act(abi.ActStore32, abi.ActIgnore, a.ParentTid, uint64(uint32(tid)))
	}
	if a.Flags&CloneChildSettid != 0 {
		c.Act(abi.ActStore32, abi.ActIgnore, a.ChildTid, uint64(uint32(tid)))
	}
	hasTLS := uint64(0)
	if a.Flags&CloneSetTLS != 0 {
		hasTLS = 1
	}
	hasTLS |= uint64(uint32(tid)) << 32
	th.HasTLS, th.SetTid = 0, 0 // done by the caller
	if a.Regs != nil {
		th.VforkRegs, th.Begins = *a.Regs, 1
	}
	if k.mayBegin(t) {
		hasTLS |= 2
	}
	if ts := k.tasks[task]; c.Proc().Leader != 0 && ts.proc == p {
		k.mayThreads(ts, ts.may|abi.ThreadsEnd)
	}
	c.Act(abi.ActThreadWord, 0, abi.ThreadNextClear, th.ClearTid)
	c.Act(abi.ActThread, 0, uint64(slot), token(t, th.Token), a.SP, a.TLS, hasTLS)
	return tid, 0
}

func (c *Call) childTids(a *CloneArgs, th *Thread) {
	if a.Flags&CloneChildSettid != 0 {
		th.SetTid = a.ChildTid
	}
	if a.Flags&CloneChildCleartd != 0 {
		th.ClearTid = a.ChildTid
	}
	if a.Flags&CloneSetTLS != 0 {
		th.TLS, th.HasTLS = a.TLS, 1
	}
}

// copyProc makes the record of a child of the caller and its one thread.
func (c *Call) copyProc(a *CloneArgs, task TaskID, slot uint32) (store.Ref[Proc], store.Ref[Thread], abi.Errno) {
	k := c.K
	self := c.ProcRef()
	pid, e := k.newPid()
	if e != 0 {
		return 0, 0, e
	}
	var user store.Ref[Cred] // in a namespace of its own
	if a.Flags&CloneNewUser != 0 {
		if user, e = c.enterUserNS(); e != 0 {
			return 0, 0, e
		}
	}
	p, m := k.Procs.New()
	if p == 0 {
		k.DropCred(user)
		return 0, 0, abi.EAGAIN
	}
	src := k.Procs.Get(self)
	*m = Proc{
		Pid: pid, State: ProcLive, Parent: self, Pgid: src.Pgid, Sid: src.Sid, CTTY: src.CTTY,
		Task: task, Personality: src.Personality, ExitSignal: uint32(a.ExitSignal),
		Cred: c.Thread().Cred, Dumpable: src.Dumpable, Start: k.Clock.Mono(), Comm: c.Thread().Comm,
		Exe: src.Exe, ArgStart: src.ArgStart, ArgEnd: src.ArgEnd, EnvStart: src.EnvStart, EnvEnd: src.EnvEnd,
		BrkStart: src.BrkStart, StackTop: src.StackTop, Rlimits: src.Rlimits, NoNewPrivs: src.NoNewPrivs, OOMAdj: src.OOMAdj,
	}
	m.Persona, m.KeepCaps = src.Persona, src.KeepCaps
	m.AuxvStart, m.AuxvLen, m.TimerSlack, m.FPSize = src.AuxvStart, src.AuxvLen, src.TimerSlack, src.FPSize
	m.NextSlot = slot + 1
	m.MapNext, m.StaleLimits = src.MapNext, src.StaleLimits
	m.StackProt, m.StackLow, m.StackHigh = src.StackProt, src.StackLow, src.StackHigh
	if a.Flags&CloneParent != 0 {
		m.Parent = src.Parent
		m.ExitSignal = src.ExitSignal
	}
	undo := func() {
		if m.FDs != 0 {
			k.DropFDTable(nil, m.FDs, p)
		}
		k.dropFs(m.Fs)
		k.dropHand(m.Hand)
		if m.Exe != 0 {
			k.dropExe(m.Exe)
		}
		k.DropCred(m.Cred)
		k.Procs.Free(p)
	}
	if user != 0 {
		m.Cred = user
	} else {
		k.HoldCred(m.Cred)
	}
	if m.Exe != 0 {
		k.holdExe(m.Exe)
	}
	if a.NoFiles {
		m.FDs = k.NewFDTable()
	} else if a.Flags&CloneFiles != 0 {
		m.FDs = src.FDs
		k.takeBackTable(m.FDs)
		k.FDs.Mut(m.FDs).Refs++
	} else {
		m.FDs = k.CopyFDTable(src.FDs)
	}
	if a.Flags&CloneFS != 0 {
		m.Fs = c.fsRef()
		k.FsCtxs.Mut(m.Fs).Refs++
	} else {
		m.Fs = k.copyFs(c.fsRef())
	}
	if a.Flags&CloneSighand != 0 {
		m.Hand = src.Hand
		k.Hands.Mut(m.Hand).Refs++
	} else {
		h, hm := k.Hands.New()
		m.Hand = h
		if h != 0 {
			*hm = *k.Hands.Get(src.Hand)
			hm.Refs = 1
			if a.Flags&CloneClearSighand != 0 {
				for i := range hm.Act {
					if hm.Act[i].Handler != SigIgn {
						hm.Act[i] = SigAction{}
					}
				}
			}
		}
	}
	if m.FDs == 0 || m.Fs == 0 || m.Hand == 0 {
		undo()
		return 0, 0, abi.ENOMEM
	}
	t, th, e := k.newThread(p, pid, c.T)
	if e != 0 {
		undo()
		return 0, 0, e
	}
	if user != 0 {
		k.DropCred(th.Cred)
		th.Cred = k.HoldCred(user)
	}
	th.Slot = slot
	th.Comm = c.Thread().Comm
	if a.Flags&CloneVM == 0 || a.Flags&CloneVfork != 0 {
		mine := c.Thread()
		th.AltSP, th.AltSize, th.AltFlags = mine.AltSP, mine.AltSize, mine.AltFlags
	}
	c.childTids(a, th)
	m.Leader = t
	k.MutGlobals().Forks++
	return p, t, 0
}

// parentSide does what the parent sees of a new process: its id and pidfd. The
// caller has looked that the descriptor can be made.
func (c *Call) parentSide(a *CloneArgs, p store.Ref[Proc], fd int32) {
	pid := uint64(uint32(c.K.Procs.Get(p).Pid))
	if a.Flags&CloneParentSettid != 0 {
		c.Act(abi.ActStore32, abi.ActIgnore, a.ParentTid, pid)
	}
	if a.Flags&ClonePidfd != 0 {
		c.Act(abi.ActStore32, abi.ActIgnore, a.Pidfd, uint64(uint32(fd)))
	}
}

func (c *Call) fork(a *CloneArgs) (int32, abi.Errno) {
	k := c.K
	region, e := c.childRegion(a)
	if e != 0 {
		return 0, e
	}
	id, tag, e := c.childTask()
	defer k.proc.born.Wake(^uint32(0))
	if e != 0 {
		k.dropRegion(region)
		return 0, e
	}
	p, t, e := c.copyProc(a, id, c.Slot)
	if e != 0 {
		k.dropRegion(region)
		k.afterCommit(func() { k.Host.Terminate(id) })
		return 0, e
	}
	fd := int32(-1)
	ts := k.addTask(id, p)
	ts.slots[c.Slot] = t
	k.addProcIndex(p)
	k.addThreadIndex(t)
	if e = c.inherit(a, p, region); e == 0 && a.Flags&ClonePidfd != 0 {
		fd, e = c.OpenPidfd(p, 0)
	}
	if e != 0 {
		// Too late to have no child: it is killed, as if it never was.
		k.Procs.Mut(p).ExitSignal = 0
		k.exitGroup(p, SIGKILL)
		k.reapIfZombie(p)
		return 0, e
	}
	k.shmFork(c.ProcRef(), p)
	c.parentSide(a, p, fd)
	told := uint64(0)
	if a.Flags&CloneNewUser == 0 && k.begunBy(p) && len(c.Acts)+1+abi.MaxChildActs <= abi.MaxActions { // they go in one reply
		told = 1
	}
	c.Act(abi.ActFork, 0, tag, token(t, k.Threads.Get(t).Token), a.SP, told)
	if told != 0 {
		c.tellChild(p)
	}
	return k.Procs.Get(p).Pid, 0
}

// begunBy says whether a child has nothing to ask when it begins: its library can be told all that
// with the answer to its parent. The server hears of it with its first call, whichever it is; until then
// its thread's host id is not known (poke).
func (k *Kernel) begunBy(p store.Ref[Proc]) bool {
	r := k.Procs.Get(p)
	th := k.Threads.Get(r.Leader)
	return r.Region == 0 && th.StaleSched == 0 && r.Debugger == 0 && r.Pending|th.Pending == 0 && r.Stopped == 0
}

// tellChild adds the actions of a child: what firstCall tells one that asks.
func (c *Call) tellChild(p store.Ref[Proc]) {
	k := c.K
	r := k.Procs.Get(p)
	t := r.Leader
	th := k.Threads.Get(t)
	rt := k.threadRT(t)
	act := func(op uint32, args ...uint64) { c.Act(op, abi.ActChild|abi.ActIgnore, args...) }
	c.taskWords(p, k.Creds.Get(th.Cred), act)
	act(abi.ActThreadWord, abi.ThreadTid, uint64(th.Tid))
	if th.SetTid != 0 {
		act(abi.ActStore32, th.SetTid, uint64(uint32(th.Tid)))
	}
	if th.HasTLS != 0 {
		act(abi.ActSetFS, th.TLS)
	}
	if rt.mask != 0 {
		rt.mask = uint64(th.Mask) | abi.MaskKnown
		act(abi.ActThreadWord, abi.ThreadMask, rt.mask)
		k.quieten(r.Task, p)
		k.tellDefaults(r.Task, p)
	}
}

// childTask answers a task for the caller's child, and the tag of its channel. Unless it was made
// ahead the lock is given up.
func (c *Call) childTask() (id TaskID, tag uint64, e abi.Errno) {
	k := c.K
	parent := c.Proc().Task
	if id, tag, ok := k.Host.NextTask(parent); ok {
		return id, tag, 0
	}
	g := k.MutGlobals()
	g.NextToken++
	tag = g.NextToken
	k.proc.creating++
	k.proc.forking++
	e = c.withSpares(func() (e abi.Errno) { id, e = k.Host.NewTask(parent, tag); return e })
	k.proc.creating--
	k.proc.forking--
	if e != 0 {
		return 0, 0, abi.EAGAIN
	}
	if k.threadRT(c.T).gone {
		k.afterCommit(func() { k.Host.Terminate(id) })
		return 0, 0, abi.ErrRestart
	}
	return id, tag, 0
}

func (k *Kernel) reapIfZombie(p store.Ref[Proc]) {
	if r := k.Procs.Get(p); r != nil && r.State == ProcZombie {
		k.reap(p)
	}
}

// vfork lets the child speak on the caller's slot until it executes or ends.
func (c *Call) vfork(a *CloneArgs) (int32, abi.Errno) {
	k := c.K
	task := c.Proc().Task
	parent := c.T
	p, t, e := c.copyProc(a, task, c.Slot)
	if e != 0 {
		return 0, e
	}
	k.addProcIndex(p)
	k.addThreadIndex(t)
	if a.Flags&ClonePidfd != 0 {
		fd, e := c.OpenPidfd(p, 0)
		if e != 0 {
			k.Procs.Mut(p).ExitSignal = 0
			k.Procs.Mut(p).Task = 0
			k.exitGroup(p, SIGKILL)
			k.reapIfZombie(p)
			return 0, e
		}
		c.parentSide(a, p, fd)
	} else {
		c.parentSide(a, p, -1)
	}
	k.Host.Tell(task, abi.ToldPpid, 0)
	k.Host.Tell(task, abi.ToldPgid, 0)
	k.stirred(task) // from here on it is not one process's
	m := k.Procs.Mut(p)
	m.Flags |= ProcVfork
	m.VforkParent = parent
	pm := k.Threads.Mut(parent)
	pm.VforkChild = p
	c.Ret(0)
	pm.VforkRegs = c.UserRegs()
	pm.VforkPid = m.Pid
	if a.Flags&CloneSetTLS != 0 {
		pm.VforkTLS = 1
	}
	cm := k.Threads.Mut(t)
	cm.DoneSeq, cm.CurSeq, cm.HostTID = pm.DoneSeq, pm.CurSeq, pm.HostTID
	k.threadRT(parent).vforkWait = true
	k.bindSlot(task, c.Slot, t)
	c.T = t
	k.threadRT(t).inServer = true
	regs := pm.VforkRegs
	if a.SP != 0 {
		regs.SP = a.SP
	}
	c.SetRegs(&regs, false)
	if th := k.Threads.Get(t); th.HasTLS != 0 {
		c.Act(abi.ActSetFS, 0, th.TLS)
	}
	c.TaskWords()
	if th := k.Threads.Get(t); th.SetTid != 0 {
		c.Act(abi.ActStore32, abi.ActIgnore, th.SetTid, uint64(uint32(th.Tid)))
	}
	return 0, 0
}

// vforkReturn gives the slot back to the thread that made a vfork child, which
// has left; c then is the parent's call.
func (k *Kernel) vforkReturn(c *Call, parent store.Ref[Thread]) {
	th := k.Threads.Get(parent)
	if parent == 0 || th == nil || th.State != ThreadLive {
		// It was killed meanwhile.
		k.bindSlot(c.Task, c.Slot, 0)
		c.T = 0
		c.ended = true
		c.Flags = abi.ReplyKeepRegs
		c.Act(abi.ActExitThread, 0)
		return
	}
	m := k.Threads.Mut(parent)
	pid := m.VforkPid
	m.VforkChild = 0
	m.CurSeq = c.Seq
	regs := m.VforkRegs
	regs.AX = uint64(uint32(pid))
	fs := m.VforkTLS
	m.VforkTLS = 0
	k.bindSlot(c.Task, c.Slot, parent)
	c.T = parent
	c.Kind = abi.KindTrap
	c.ended = false
	c.exiting = false
	c.Err, c.Result = 0, 0
	c.Acts = c.acts()[:0]
	c.outUsed = 0
	c.Flags = 0
	rt := k.threadRT(parent)
	rt.vforkWait = false
	if rt.mask != 0 {
		rt.mask = maskUnsure // its library has the child's
	}
	rt.inServer = true
	c.SetRegs(&regs, fs != 0)
	c.TaskWords()
}

// Tell lets the caller's library answer from word v from now on, until the value
// changes and whoever changes it says so (Host.Tell). Not while the task may belong to
// two processes: a vfork child, and a thread beside the one that made it.
func (c *Call) Tell(word int, v int32) {
	if p := c.Proc(); p.Threads == 1 && p.Flags&ProcVfork == 0 {
		c.K.Host.Tell(c.Task, word, uint64(uint32(v))+1)
	}
}

// TaskWords stores the caller's ids where the library answers from.
func (c *Call) TaskWords() {
	act := func(op uint32, args ...uint64) { c.Act(op, 0, args...) }
	c.taskWords(c.ProcRef(), c.Cred(), act)
	act(abi.ActThreadWord, abi.ThreadTid, uint64(c.Thread().Tid))
}

func (c *Call) taskWords(of store.Ref[Proc], cr *Cred, act func(op uint32, args ...uint64)) {
	k := c.K
	p := k.Procs.Get(of)
	ppid := int32(0)
	if p.Parent != 0 {
		ppid = k.Procs.Get(p.Parent).Pid
	}
	act(abi.ActThreadWord, abi.ThreadVfork, uint64(p.Flags&ProcVfork))
	act(abi.ActTask, abi.TaskPid, uint64(p.Pid))
	act(abi.ActTask, abi.TaskPpid, uint64(ppid))
	act(abi.ActTask, abi.TaskPgid, uint64(p.Pgid))
	c.credWords(cr, act)
}

// CredWords stores the caller's user and group ids where the library answers
// from. They are the task's: threads of one program that differ from each
// other see the last one's.
func (c *Call) CredWords() {
	c.credWords(c.Cred(), func(op uint32, args ...uint64) { c.Act(op, 0, args...) })
}

func (c *Call) credWords(cr *Cred, act func(op uint32, args ...uint64)) {
	act(abi.ActTask, abi.TaskUid, uint64(c.ShowUID(cr.UID)))
	act(abi.ActTask, abi.TaskEuid, uint64(c.ShowUID(cr.EUID)))
	act(abi.ActTask, abi.TaskGid, uint64(c.ShowGID(cr.GID)))
	act(abi.ActTask, abi.TaskEgid, uint64(c.ShowGID(cr.EGID)))
}

// firstCall serves the first message of a forked task or a new thread.
func (k *Kernel) firstCall(c *Call) {
	th := *c.Thread()
	if c.Kind == abi.KindFork {
		c.mapNewRegion()
		c.TaskWords()
		if k.threadRT(c.T).mask != 0 {
			c.TellMask()
			c.TellDefaults()
		}
	} else {
		k.hasAsked(c)
		c.Act(abi.ActThreadWord, 0, abi.ThreadTid, uint64(th.Tid))
	}
	if th.SetTid != 0 {
		c.Act(abi.ActStore32, abi.ActIgnore, th.SetTid, uint64(uint32(th.Tid)))
	}
	if th.HasTLS != 0 {
		c.Act(abi.ActSetFS, 0, th.TLS)
	}
	c.Ret(0)
	if th.Begins != 0 && c.Kind == abi.KindThread {
		c.SetRegs(&th.VforkRegs, false)
	}
}

// copyFs makes a copy of a file-system context.
func (k *Kernel) copyFs(from store.Ref[FsCtx]) store.Ref[FsCtx] {
	r, n := k.FsCtxs.New()
	if r == 0 {
		return 0
	}
	*n = *k.FsCtxs.Get(from)
	n.Refs = 1
	if n.Root != 0 {
		k.HoldVnode(n.Root)
	}
	if n.Cwd != 0 {
		k.HoldVnode(n.Cwd)
	}
	if n.Dot != 0 {
		k.HoldFile(n.Dot)
	}
	return r
}

// dropFs gives one up.
func (k *Kernel) dropFs(f store.Ref[FsCtx]) {
	if f == 0 {
		return
	}
	m := k.FsCtxs.Mut(f)
	if m.Refs > 1 {
		m.Refs--
		return
	}
	root, cwd, dot := m.Root, m.Cwd, m.Dot
	k.FsCtxs.Free(f)
	if root != 0 {
		k.DropVnode(root)
	}
	if cwd != 0 {
		k.DropVnode(cwd)
	}
	if dot != 0 {
		k.DropFile(nil, dot)
	}
}

// Unshare gives the calling thread a file-system context of its own, and its
// process a descriptor table of its own (unshare(2)). The table is the
// process's: its other threads come along. ENOMEM.
func (c *Call) Unshare(files, fs bool) abi.Errno {
	k := c.K
	p := c.ProcRef()
	if r := c.Proc(); files && k.FDs.Get(r.FDs).Refs > 1 {
		n := k.CopyFDTable(r.FDs)
		if n == 0 {
			return abi.ENOMEM
		}
		k.DropFDTable(nil, r.FDs, p)
		k.Procs.Mut(p).FDs = n
	}
	old := c.fsRef()
	all := c.Thread().Fs == 0 // all threads of the process that have none of their own
	if !fs || k.FsCtxs.Get(old).Refs == 1 && (!all || c.Proc().Threads == 1) {
		return 0
	}
	n := k.copyFs(old)
	if n == 0 {
		return abi.ENOMEM
	}
	k.namesChanged()
	switch {
	case !all:
		k.dropFs(old)
		c.MutThread().Fs = n
	case c.Proc().Threads > 1:
		c.MutThread().Fs = n
	default:
		k.dropFs(old)
		c.MutProc().Fs = n
	}
	return 0
}
