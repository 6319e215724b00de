package core

import (
	"hythe/abi"
	"hythe/store"
)

// BootProgram says what to start: the first process of a machine, or a further
// one beside it.
type BootProgram struct {
	// Path is looked up from the root; names without a slash are the caller's
	// affair (PATH).
	Path string
	Argv []string
	Env  []string
	Cwd  string
	// UID and GID own the process; Groups are the supplementary groups.
	UID, GID uint32
	Groups   []uint32
	// Files makes the open files of descriptors 0, 1, 2...; a 0 leaves one
	// closed. Called with the lock held.
	Files func(c *Call) ([]store.Ref[File], abi.Errno)
	// Rlimits replaces the defaults where it is not nil.
	Rlimits *[NumRlimits]Rlimit
	// Session is the console session whose program it is, 0 for none.
	Session uint32
	// Nice is its nice value, from -20 to 19.
	Nice int32
	// Init makes it process 1.
	Init bool
}

// Format makes the records that every machine has; the first incarnation calls
// it once, before anything is mounted. The lock is held.
func (k *Kernel) Format() {
	r, g := k.Tables.Global.New()
	if r != 1 {
		panic("core: format of a state that is not empty")
	}
	g.NextPid = 0
	g.BootReal = k.Clock.Real()
	g.BootMono = k.Clock.Mono()
	g.NextIno = 1000 // netstat(8) takes one of a single digit for none
	copy(g.Hostname[:64], k.Config.Hostname)
	copy(g.Domain[:64], "(none)")
}

// Booted says whether a machine was set up in the state of record as a whole
// (Globals.Booted). Before Boot and Recover, without the lock.
func (k *Kernel) Booted() bool {
	g := k.Globals()
	return g != nil && g.Booted != 0
}

// Boot starts process 1: its end is that of all. The lock is held; it is given
// up meanwhile. Errors are exec's.
func (k *Kernel) Boot(b *BootProgram) (int32, abi.Errno) {
	b.Init = true
	p, e := k.start(b)
	if e != 0 {
		return 0, e
	}
	return k.Procs.Get(p).Pid, 0
}

// Spawn starts a further process, a child of nobody, in a session of its own.
// done, if not nil, is called with its wait status, with the lock held.
func (k *Kernel) Spawn(b *BootProgram, done func(status uint32)) (int32, abi.Errno) {
	p, e := k.start(b)
	if e != 0 {
		return 0, e
	}
	pid := k.Procs.Get(p).Pid
	if done != nil {
		k.WatchExit(pid, done)
	}
	return pid, 0
}

// WatchExit calls done, with the lock held, when the process pid ends (at once
// when it has, with status 0 when it is not known any more).
func (k *Kernel) WatchExit(pid int32, done func(status uint32)) {
	p := k.byPid[pid]
	if p == 0 {
		done(0)
		return
	}
	if r := k.Procs.Get(p); r.State == ProcZombie {
		done(r.ExitStatus)
		return
	}
	var w *waitEntry
	w = k.procRT(p).deadQ.Watch(func(uint32) {
		r := k.Procs.Get(p)
		if r == nil || r.State != ProcZombie {
			return
		}
		w.Unwatch()
		done(r.ExitStatus)
	})
}

func (k *Kernel) start(b *BootProgram) (store.Ref[Proc], abi.Errno) {
	p, m := k.Procs.New()
	if p == 0 {
		return 0, abi.EAGAIN
	}
	pid, e := int32(1), abi.Errno(0)
	if !b.Init {
		pid, e = k.newPid()
	}
	if e != 0 {
		k.Procs.Free(p)
		return 0, e
	}
	cr := Cred{UID: b.UID, EUID: b.UID, SUID: b.UID, FSUID: b.UID, GID: b.GID, EGID: b.GID, SGID: b.GID, FSGID: b.GID, CapBound: CapAll}
	if b.UID == 0 {
		cr.CapEff, cr.CapPerm = CapAll, CapAll
	}
	cr.NGroups = uint32(copy(cr.Groups[:], b.Groups))
	*m = Proc{
		Pid: pid, State: ProcLive, Pgid: pid, Sid: pid, ExitSignal: SIGCHLD, Dumpable: 1,
		Start: k.Clock.Mono(), Rlimits: defaultRlimits(),
	}
	if b.Rlimits != nil {
		m.Rlimits = *b.Rlimits
	}
	m.TimerSlack = 50000
	m.Cred = k.NewCred(&cr)
	m.FDs = k.NewFDTable()
	h, hm := k.Hands.New()
	hm.Refs = 1
	m.Hand = h
	fx, fm := k.FsCtxs.New()
	fm.Refs = 1
	fm.Umask = 0o022
	m.Fs = fx
	k.rootFs(fm)
	t, _, e := k.newThread(p, pid, 0)
	if e != 0 {
		return 0, e
	}
	m.Leader = t
	k.Threads.Mut(t).Nice = b.Nice
	if b.Init {
		k.MutGlobals().Init = p
	} else {
		// It has no parent in the machine (as what enters a pid name space from
		// outside): the session keeps its status, and it needs no burial.
		m.Flags |= ProcAutoReap
	}
	k.addProcIndex(p)
	k.addThreadIndex(t)
	if s := k.session(b.Session); b.Session != 0 && s != 0 {
		se := k.Sessions.Mut(s)
		se.State, se.Pid = sessionStarting, pid
	}

	// The rest runs as a call of the new thread that no slot has made.
	c := &Call{K: k, Kind: abi.KindTrap, Chan: noChan{}}
	c.Acts = c.acts()[:0]
	c.T = t
	k.threadRT(t).inServer = true
	undo := func(e abi.Errno) (store.Ref[Proc], abi.Errno) {
		if b.Init {
			k.MutGlobals().Init = 0
		}
		k.threadRT(t).inServer = false
		m := k.Procs.Mut(p)
		m.ExitSignal = 0
		m.Flags &^= ProcAutoReap
		k.exitGroup(p, SIGKILL)
		k.reapIfZombie(p)
		k.Threads.Free(t)
		return 0, e
	}
	if b.Files != nil {
		files, e := b.Files(c)
		if e != 0 {
			return undo(e)
		}
		for fd, f := range files {
			if f != 0 {
				if e := c.InstallFDAt(f, int32(fd), 0); e != 0 {
					return undo(e)
				}
			}
		}
	}
	if b.Cwd != "" {
		if e := c.bootChdir(b.Cwd); e != 0 {
			return undo(e)
		}
	}
	if e := c.Exec(AtCwd, b.Path, WalkFollow, b.Argv, b.Env); e != 0 {
		return undo(e)
	}
	if s := k.session(b.Session); b.Session != 0 && s != 0 {
		k.Sessions.Mut(s).State = sessionRunning
	}
	return p, 0
}

// rootFs lets a context begin at the root of the tree.
func (k *Kernel) rootFs(fx *FsCtx) {
	if k.vfs.root == nil {
		return
	}
	root := k.Mounts.Get(k.vfs.root.ref).Root
	k.HoldVnode(root)
	k.HoldVnode(root)
	fx.Root, fx.Cwd = root, root
}

func (c *Call) bootChdir(path string) abi.Errno {
	k := c.K
	f, e := c.Walk(AtCwd, path, WalkFollow|WalkDir)
	if e != 0 {
		return e
	}
	if f.node == nil {
		return abi.ENOTDIR
	}
	v, e := k.holdNode(f.node)
	if e != 0 {
		return e
	}
	fx := k.FsCtxs.Mut(c.fsRef())
	old := fx.Cwd
	fx.Cwd = v
	if old != 0 {
		k.DropVnode(old)
	}
	return 0
}

// noChan is the channel of a call that no guest has made.
type noChan struct{}

func (noChan) In() []byte                             { return nil }
func (noChan) Out() []byte                            { return nil }
func (noChan) Extent(int) (off, n uint32, f, ok bool) { return 0, 0, false, false }
func (noChan) InUsed() uint32                         { return 0 }
func (noChan) More([]abi.Action) bool                 { return false }
func (noChan) Stage([]abi.Action) uint32              { return 0 }
func (noChan) Back() uint32                           { return 0 }
func (noChan) Repeat() bool                           { return false }

// Recover rebuilds everything derived from the state of record after the
// server's death. live are the tasks that the nucleus still has: processes
// whose task is not among them are killed, tasks that no process has are
// ended. The lock is held; the serve loop takes requests afterwards.
func (k *Kernel) Recover(live []TaskID) {
	k.MutGlobals().NextToken += grantsPerCall
	k.recoverVFS()
	have := map[TaskID]bool{}
	for _, id := range live {
		have[id] = true
	}
	k.Procs.Each(func(p store.Ref[Proc], r *Proc) bool {
		k.addProcIndex(p)
		if r.State == ProcLive && r.Task != 0 && k.tasks[r.Task] == nil {
			k.addTask(r.Task, p).born = 0 // which the last incarnation knew
		}
		return true
	})
	k.Threads.Each(func(t store.Ref[Thread], th *Thread) bool {
		r := k.Procs.Get(th.Proc)
		if th.State == ThreadLive {
			k.addThreadIndex(t)
			k.threadRT(t).mask = maskUnsure
		}
		if th.VforkChild != 0 {
			rt := k.threadRT(t)
			rt.vforkWait, rt.inServer = true, true
		} else if r.Task != 0 {
			k.bindSlot(r.Task, th.Slot, t)
		}
		return true
	})
	// The leader comes first in its process's list.
	k.Procs.Each(func(p store.Ref[Proc], r *Proc) bool {
		ts := k.procRT(p).threads
		for i, t := range ts {
			if t == r.Leader {
				ts[0], ts[i] = ts[i], ts[0]
			}
		}
		return true
	})
	// A process that runs in a lent task is not its owner.
	k.Procs.Each(func(p store.Ref[Proc], r *Proc) bool {
		if r.State == ProcLive && r.Flags&ProcVfork == 0 {
			if ts := k.tasks[r.Task]; ts != nil {
				ts.proc = p
			}
		}
		return true
	})
	k.PTimers.Each(func(r store.Ref[PosixTimer], t *PosixTimer) bool {
		k.armPosix(r, 0)
		return true
	})
	k.recoverIO()
	k.recoverLent()
	k.recoverHosts()
	k.recoverSets()
	k.afterCommit(k.recoverHostSets)
	k.recoverReserved()
	k.recoverFiles()
	var dead []store.Ref[Proc]
	k.Procs.Each(func(p store.Ref[Proc], r *Proc) bool {
		k.armITimer(p)
		if r.State == ProcLive && (r.Exiting != 0 || !have[r.Task]) {
			dead = append(dead, p)
		}
		return true
	})
	for _, p := range dead {
		r := k.Procs.Get(p)
		if r == nil || r.State != ProcLive {
			continue
		}
		if r.Task == 0 && r.Flags&ProcExeced == 0 && r.Parent == 0 {
			// Its start was cut; who asked for it will ask again.
			if k.Globals().Init == p {
				k.MutGlobals().Init = 0
			}
			k.Procs.Mut(p).Flags &^= ProcAutoReap
			ts := append([]store.Ref[Thread](nil), k.procRT(p).threads...)
			k.exitGroup(p, SIGKILL)
			k.reapIfZombie(p)
			for _, t := range ts {
				k.Threads.Free(t) // no slot has them
			}
			continue
		}
		if r.Exiting == 0 {
			k.exitGroup(p, SIGKILL)
			continue
		}
		for _, t := range append([]store.Ref[Thread](nil), k.procRT(p).threads...) {
			k.threadEnd(t)
		}
		k.procEnd(p)
	}
	k.recoverEnds()
	k.traceFound()
	for _, id := range live {
		if k.tasks[id] == nil {
			k.afterCommit(func() { k.Host.Terminate(id) })
		}
	}
	k.afterCommit(k.pokeAll)
	if g := k.Globals(); g.Init != 0 {
		if r := k.Procs.Get(g.Init); r != nil && r.State == ProcZombie {
			status := r.ExitStatus
			k.afterCommit(func() { k.Host.Halt(status) })
		}
	}
}

// pokeAll repeats the kicks that the last incarnation may have died before
// sending: to every thread with a signal to handle, or whose process is
// stopped. A thread that waits for an answer is served first: it then finds
// nothing to do.
func (k *Kernel) pokeAll() {
	k.Threads.Each(func(t store.Ref[Thread], th *Thread) bool {
		if th.State != ThreadLive || k.threadRT(t).vforkWait {
			return true
		}
		r := k.Procs.Get(th.Proc)
		if r != nil && r.State == ProcLive && (r.Stopped != 0 || k.signalPending(t)) {
			k.poke(t)
		}
		return true
	})
}

// SlotDone answers the number of the last finished call on a slot, for the
// serve loop after a restart: a request with that number only lacks its state
// (ask HoldReply first, with the answer of SlotThread). False: nobody known
// speaks there.
func (k *Kernel) SlotDone(id TaskID, slot uint32) (seq uint64, t store.Ref[Thread], ok bool) {
	ts := k.tasks[id]
	if ts == nil || ts.dead {
		return 0, 0, false
	}
	t = ts.slots[slot]
	if t == 0 {
		return 0, 0, false
	}
	return k.Threads.Get(t).DoneSeq, t, true
}
