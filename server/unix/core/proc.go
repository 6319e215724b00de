package core

import (
	"hythe/abi"
	"hythe/store"
)

// procState is what hangs on the kernel for processes and signals beside the
// state of record; all of it is derived.
type procState struct {
	// creating counts calls that wait for the nucleus to make a task: a
	// request from a task that is not known yet may be from one of them.
	creating int
	// forking counts those of them that are forks.
	forking int
	born    WaitQueue
	// selfExit: the open transaction ends a process whose own thread was told
	// to end the task.
	selfExit bool
	// after runs, with the lock held, when the transaction is committed.
	after []func()
	// pgrps and sessions are the members by number, zombies included.
	pgrps map[int32]map[store.Ref[Proc]]struct{}
}

type procTables struct {
	SigEnts  *store.Table[SigEnt]     // 80
	PTimers  *store.Table[PosixTimer] // 81
	Shms     *store.Table[ShmSeg]     // 82
	ShmAts   *store.Table[ShmAt]      // 83
	SemSets  *store.Table[SemSet]     // 84
	SemUndos *store.Table[SemUndo]    // 85
	MsgQs    *store.Table[MsgQ]       // 86
	Msgs     *store.Table[Msg]        // 87
	MQueues  *store.Table[MQueue]     // 88
	MQMsgs   *store.Table[MQMsg]      // 89
}

func newProcTables(h *store.Heap) procTables {
	return procTables{
		SigEnts:  store.NewTable[SigEnt](h, 80, 1<<17),
		PTimers:  store.NewTable[PosixTimer](h, 81, 1<<15),
		Shms:     store.NewTable[ShmSeg](h, 82, ShmMax),
		ShmAts:   store.NewTable[ShmAt](h, 83, 1<<16),
		SemSets:  store.NewTable[SemSet](h, 84, IPCMax),
		SemUndos: store.NewTable[SemUndo](h, 85, 1<<16),
		MsgQs:    store.NewTable[MsgQ](h, 86, IPCMax),
		Msgs:     store.NewTable[Msg](h, 87, 1<<17),
		MQueues:  store.NewTable[MQueue](h, 88, mqQueuesHard),
		MQMsgs:   store.NewTable[MQMsg](h, 89, 1<<17),
	}
}

// ITimer is one of setitimer's timers: monotonic ns (of the host's timers what is
// left), 0 when it is not set.
type ITimer struct{ Next, Interval int64 }

// ProcExtra are the fields of a process that signals, timers and scheduling add.
type ProcExtra struct {
	// ITimers are the real one; the virtual and the profiling one as they were set
	// last, which the host keeps, or are to be set by KindStart.
	ITimers    [3]ITimer
	TimerNext  uint32 // number of the next POSIX timer
	Persona    uint32 // personality(2)
	NextSlot   uint32 // where the search for a free slot begins
	KeepCaps   uint32
	ExecSecure uint32 // AT_SECURE of the image that KindStart builds
	FPSize     uint32 // bytes of vector state in a signal frame
	// Execve's file that the kernel was asked for (AT_EXECFN), and /proc's view
	// of the start-up vectors.
	AuxvStart, AuxvLen uint64
	TimerSlack         uint64
	MapNext            uint64 // how far private copies of files reach (mmap)
	ExitU, ExitS       int64  // ns of the task that ends, until it is a zombie
	// StaleLimits: the library is to be told these limits with the next answer, a bit
	// for each.
	StaleLimits uint32
	StackProt   uint32 // of the first thread's stack, and where it is mapped
	StackLow    uint64
	StackHigh   uint64
	IO          IOCount // of threads that have ended
}

// ThreadExtra are the fields of a thread that clone and scheduling add.
type ThreadExtra struct {
	Frame  uint64 // of the handler that runs, for systems whose handlers do not say it
	SetTid uint64 // CLONE_CHILD_SETTID's address, stored at the first call
	TLS    uint64 // thread pointer to set at the first call
	HasTLS uint32
	// VforkPid and VforkTLS: the child that has the slot, and whether the thread
	// pointer must be loaded when it gives it back.
	VforkPid int32
	VforkTLS uint32
	Begins   uint32
	Sched
	Start int64
	// Fs is the thread's own file-system context, 0: its process's.
	Fs store.Ref[FsCtx]
	// StaleIDs: the library is to be told the thread's ids with the next answer.
	StaleIDs uint32
	IO       IOCount
	// CPUs is what sched_setaffinity said; no bit: any.
	CPUs CPUSet
	// StaleSched: the host is to be told how the thread is scheduled, with its first call.
	StaleSched uint32
}

// IOCount counts what was read and written (proc(5), io): bytes, and calls.
type IOCount struct{ RChar, WChar, SyscR, SyscW uint64 }

func (n *IOCount) add(x IOCount) {
	n.RChar += x.RChar
	n.WChar += x.WChar
	n.SyscR += x.SyscR
	n.SyscW += x.SyscW
}

// Directions of CountIO.
const (
	CountRead  = 1
	CountWrite = 2
)

// CountIO counts a call that reads or writes, or does both, with its result.
func (c *Call) CountIO(how int, n uint64, e abi.Errno) {
	if restarts(e) || c.Thread() == nil {
		return
	}
	if e != 0 {
		n = 0
	}
	m := c.MutThread()
	if how&CountRead != 0 {
		m.IO.RChar += n
		m.IO.SyscR++
	}
	if how&CountWrite != 0 {
		m.IO.WChar += n
		m.IO.SyscW++
	}
}

// Thread states.
const (
	ThreadLive = 1
	// ThreadDead: the record is kept until its slot is used again, so that the
	// answer to its last call is known to be given.
	ThreadDead = 2
)

// threadRTExtra is the derived part that signals add.
type threadRTExtra struct {
	// waiting: the thread's call can be unwound only by its vfork child.
	vforkWait bool
	// called: the thread ran guest code when it was to end, and was kicked to
	// leave.
	called bool
}

// procRT is the derived part of a process.
type procRT struct {
	children map[store.Ref[Proc]]struct{}
	threads  []store.Ref[Thread]
	// childQ is woken when a child changes state; deadQ when this process does
	// (pidfd); cont when it is continued; sigQ when a signal becomes pending.
	childQ WaitQueue
	deadQ  WaitQueue
	cont   WaitQueue
	sigQ   WaitQueue
	cancel func() // of the real interval timer
	timers map[store.Ref[PosixTimer]]*timerArm
	// opened is one more than the descriptor that was opened last, if it is not known whether
	// its attributes are asked for; statted how sure it is that they will be, unasked how often
	// they were told unasked (lend.go).
	opened           int32
	statted, unasked uint32
	// moved is one more than the file that was opened last to be read only, if its offset was not lent
	// and it was not asked for; moves is how sure it is that it will be, unmoved how often it was lent (lendopen.go).
	moved          int32
	moves, unmoved uint32
	// exe is the program of which this is known.
	exe store.Ref[Vnode]
}

func (k *Kernel) initProc() {
	k.proc.pgrps = map[int32]map[store.Ref[Proc]]struct{}{}
	k.SetOps(FilePidfd, pidfdOps{BaseOps{k}})
}

// afterCommit has fn run, with the lock held, when the open transaction is
// committed: for effects outside the state of record that must not come
// before it.
func (k *Kernel) afterCommit(fn func()) { k.proc.after = append(k.proc.after, fn) }

func (k *Kernel) runCommitted() {
	for len(k.proc.after) > 0 {
		fns := k.proc.after
		k.proc.after = nil
		for _, fn := range fns {
			fn()
		}
	}
}

// ProcByPid answers the process with this id, zombies included, or 0.
func (k *Kernel) ProcByPid(pid int32) store.Ref[Proc] { return k.byPid[pid] }

// ThreadByTid answers the live thread with this id, or 0.
func (k *Kernel) ThreadByTid(tid int32) store.Ref[Thread] { return k.byTid[tid] }

// ThreadsOf answers the live threads of a process, the leader first while it
// lives. The slice is read-only and good until the lock is given up.
func (k *Kernel) ThreadsOf(p store.Ref[Proc]) []store.Ref[Thread] { return k.procRT(p).threads }

// EachProc calls fn for every process that has an id (zombies included).
func (k *Kernel) EachProc(fn func(p store.Ref[Proc], r *Proc) bool) {
	k.Procs.Each(func(p store.Ref[Proc], r *Proc) bool {
		return fn(p, r)
	})
}

// ChildQueue is woken when a child of p changes state, DeadQueue when p ends,
// and SignalQueue when a signal becomes pending for p or one of its threads.
func (k *Kernel) ChildQueue(p store.Ref[Proc]) *WaitQueue { return &k.procRT(p).childQ }

// DeadQueue is woken when p ends.
func (k *Kernel) DeadQueue(p store.Ref[Proc]) *WaitQueue { return &k.procRT(p).deadQ }

// SignalQueue is woken when a signal is queued for p (signalfd).
func (k *Kernel) SignalQueue(p store.Ref[Proc]) *WaitQueue { return &k.procRT(p).sigQ }

// newPid answers a free id, which nothing uses as a process, thread, group or
// session, or EAGAIN.
func (k *Kernel) newPid() (int32, abi.Errno) {
	g := k.MutGlobals()
	for range maxPid {
		g.NextPid = max(g.NextPid, 1) + 1 // 1 is for who asks for it
		if g.NextPid > maxPid {
			g.NextPid = 300
		}
		n := g.NextPid
		if k.byPid[n] == 0 && k.byTid[n] == 0 && len(k.proc.pgrps[n]) == 0 && !k.sessionUsed(n) {
			return n, 0
		}
	}
	return 0, abi.EAGAIN
}

// maxPid is the highest process id (Linux's default pid_max).
const maxPid = 32767 * 128

func (k *Kernel) sessionUsed(n int32) bool {
	for _, m := range k.proc.pgrps {
		for p := range m {
			if k.Procs.Get(p).Sid == n {
				return true
			}
			break // all members of a group are in one session
		}
	}
	return false
}

// setPgid puts a process into a group (derived index and record).
func (k *Kernel) setPgid(p store.Ref[Proc], pgid int32) {
	k.leavePgrp(p)
	m := k.Procs.Mut(p)
	m.Pgid = pgid
	k.Host.Tell(m.Task, abi.ToldPgid, 0)
	k.joinPgrp(p)
}

func (k *Kernel) joinPgrp(p store.Ref[Proc]) {
	id := k.Procs.Get(p).Pgid
	m := k.proc.pgrps[id]
	if m == nil {
		m = map[store.Ref[Proc]]struct{}{}
		k.proc.pgrps[id] = m
	}
	m[p] = struct{}{}
}

func (k *Kernel) leavePgrp(p store.Ref[Proc]) {
	id := k.Procs.Get(p).Pgid
	if m := k.proc.pgrps[id]; m != nil {
		delete(m, p)
		if len(m) == 0 {
			delete(k.proc.pgrps, id)
		}
	}
}

// EachInPgrp calls fn for every member of a process group.
func (k *Kernel) EachInPgrp(pgid int32, fn func(p store.Ref[Proc])) {
	for p := range k.proc.pgrps[pgid] {
		fn(p)
	}
}

// PgrpExists says whether a process group has members.
func (k *Kernel) PgrpExists(pgid int32) bool { return len(k.proc.pgrps[pgid]) > 0 }

// PgrpSession answers the session of a process group, 0 if it has no members.
func (k *Kernel) PgrpSession(pgid int32) int32 {
	for p := range k.proc.pgrps[pgid] {
		return k.Procs.Get(p).Sid
	}
	return 0
}

// PgrpOrphaned says whether no member of the group has a parent in the same
// session outside the group (POSIX's orphaned process group).
func (k *Kernel) PgrpOrphaned(pgid int32) bool { return k.pgrpOrphanedBut(pgid, 0) }

func (k *Kernel) pgrpOrphanedBut(pgid int32, but store.Ref[Proc]) bool {
	for p := range k.proc.pgrps[pgid] {
		r := k.Procs.Get(p)
		if p == but || r.State != ProcLive || r.Parent == 0 {
			continue
		}
		par := k.Procs.Get(r.Parent)
		if par.Pgid != pgid && par.Sid == r.Sid {
			return false
		}
	}
	return true
}

func (k *Kernel) pgrpHasStopped(pgid int32) bool {
	for p := range k.proc.pgrps[pgid] {
		if r := k.Procs.Get(p); r.State == ProcLive && r.Stopped != 0 {
			return true
		}
	}
	return false
}

// addProcIndex makes a process known by its id.
func (k *Kernel) addProcIndex(p store.Ref[Proc]) {
	r := k.Procs.Get(p)
	k.byPid[r.Pid] = p
	k.joinPgrp(p)
	if r.Parent != 0 {
		k.addChild(r.Parent, p)
	}
}

func (k *Kernel) addChild(parent, child store.Ref[Proc]) {
	rt := k.procRT(parent)
	if rt.children == nil {
		rt.children = map[store.Ref[Proc]]struct{}{}
	}
	rt.children[child] = struct{}{}
}

// addThreadIndex makes a live thread known by its id, process and slot.
func (k *Kernel) addThreadIndex(t store.Ref[Thread]) {
	th := k.Threads.Get(t)
	k.byTid[th.Tid] = t
	rt := k.procRT(th.Proc)
	rt.threads = append(rt.threads, t)
}

func (k *Kernel) dropThreadIndex(t store.Ref[Thread]) {
	th := k.Threads.Get(t)
	if k.byTid[th.Tid] == t {
		delete(k.byTid, th.Tid)
	}
	rt := k.procRT(th.Proc)
	for i, x := range rt.threads {
		if x == t {
			rt.threads = append(rt.threads[:i:i], rt.threads[i+1:]...)
			break
		}
	}
}

// newThread makes the record of a thread of p with no slot yet. EAGAIN.
func (k *Kernel) newThread(p store.Ref[Proc], tid int32, from store.Ref[Thread]) (store.Ref[Thread], *Thread, abi.Errno) {
	if from != 0 && !k.Threads.Get(from).Sched.makes() {
		return 0, nil, abi.EAGAIN
	}
	t, th := k.Threads.New()
	if t == 0 {
		return 0, nil, abi.EAGAIN
	}
	th.Tid = tid
	th.Proc = p
	th.State = ThreadLive
	th.Token = k.Threads.Gen(t)
	th.Start = k.Clock.Mono()
	if from != 0 {
		src := k.Threads.Get(from)
		th.Cred = src.Cred
		th.Mask = src.Mask
		if src.HasSaved != 0 {
			th.Mask = src.SavedMask
		}
		k.threadRT(t).mask = k.threadRT(from).mask // it begins with a copy of its words
		th.Comm = src.Comm
		if th.Sched = src.Sched.made(); th.Raised() {
			th.StaleSched = 1 // the host has it so, and the nucleus is to know
		}
		th.CPUs = src.CPUs
	} else {
		th.Cred = k.Procs.Get(p).Cred
		th.Comm = k.Procs.Get(p).Comm
	}
	k.HoldCred(th.Cred)
	k.Procs.Mut(p).Threads++
	return t, th, 0
}

// CommOf answers a command name without its padding.
func CommOf(b [16]byte) string {
	n := 0
	for n < len(b) && b[n] != 0 {
		n++
	}
	return string(b[:n])
}

// SetComm stores a command name, cut to 15 bytes.
func SetComm(dst *[16]byte, s string) {
	*dst = [16]byte{}
	copy(dst[:15], s)
}
