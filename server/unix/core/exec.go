package core

import (
	"encoding/binary"
	"strconv"
	"strings"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/store"
)

// Limits of exec (linux/binfmts.h).
const (
	// MaxArgLen is the longest argument or environment string, with its NUL.
	MaxArgLen = 128 << 10
	// execHead is how much of a file decides what it is.
	execHead = 4096
	// scriptLine is how much of a script's first line counts.
	scriptLine = 256
	// maxScripts is how many interpreters may be scripts themselves.
	maxScripts = 5
)

// Preparer is a Personality that can tell before the old program is given up
// whether a file can be loaded: ENOEXEC, ELIBBAD, ENOENT (its interpreter)...
// It may give up the lock.
type Preparer interface {
	Prepare(c *Call, v store.Ref[Vnode], head []byte) abi.Errno
}

// CopyInStrs fetches the strings at addrs, many in one step. E2BIG when one is
// longer than MaxArgLen or all together are longer than limit bytes.
func (c *Call) CopyInStrs(addrs []uint64, limit uint64) ([]string, abi.Errno) {
	const piece = 2800
	out := make([]string, 0, len(addrs))
	total := uint64(0)
	for len(addrs) > 0 {
		c.InReset()
		n := max(1, min(len(addrs), abi.MaxActions, (abi.SlotInSize-int(c.inUsed)-8)/piece))
		off, ok := c.inAlloc(n * piece)
		if !ok {
			return nil, abi.E2BIG
		}
		if len(c.Acts) > 0 && !c.Flush() {
			return nil, abi.EINTR
		}
		acts := make([]abi.Action, n)
		for i := range acts {
			acts[i] = abi.Action{Op: abi.ActCopyStr, Flags: abi.ActIgnore,
				A: [5]uint64{addrs[i], uint64(off) + uint64(i*piece) + abi.SlotInOff, piece}}
		}
		c.Unlocked(func() { ok = c.Chan.More(acts) })
		if !ok {
			return nil, abi.EINTR
		}
		for i := range acts {
			got, how := acts[i].A[3], acts[i].A[4]
			if how == 2 || got > piece {
				return nil, abi.EFAULT
			}
			at := uint64(off) + uint64(i*piece)
			s := string(c.Chan.In()[at : at+got])
			if how != 1 {
				// A long one: fetch the rest by itself, and the others again.
				rest, e := c.longStr(addrs[i]+got, MaxArgLen-int(got))
				if e != 0 {
					return nil, e
				}
				out = append(out, s+rest)
				total += uint64(len(s) + len(rest) + 1)
				if total > limit {
					return nil, abi.E2BIG
				}
				n = i + 1
				break
			}
			out = append(out, s)
			if total += got + 1; total > limit {
				return nil, abi.E2BIG
			}
		}
		addrs = addrs[n:]
	}
	c.InReset()
	return out, 0
}

// StrsArg answers the strings of the array at argument arg if the library has sent them along
// (abi.PreStrs). E2BIG when they are more than limit bytes.
func (c *Call) StrsArg(arg int, limit uint64) (l []string, e abi.Errno, ok bool) {
	b, fault, ok := c.Prefetched(arg)
	if !ok || fault || len(b) > 0 && b[len(b)-1] != 0 {
		return nil, 0, false
	}
	if uint64(len(b)) > limit {
		return nil, abi.E2BIG, true
	}
	s := string(b) // once: the guest can change it
	if s == "" {
		return nil, 0, true
	}
	return strings.Split(strings.TrimSuffix(s, "\x00"), "\x00"), 0, true
}

func (c *Call) longStr(addr uint64, max int) (string, abi.Errno) {
	var b strings.Builder
	for max > 0 {
		c.InReset()
		s, e := c.CopyInStr(addr, min(max, 64<<10))
		if e == 0 {
			b.WriteString(s)
			return b.String(), 0
		}
		if e != abi.ENAMETOOLONG {
			return "", e
		}
		// CopyInStr hands nothing out then, but the bytes are there.
		n := min(max, 64<<10)
		p, e := c.CopyIn(addr, n)
		if e == abi.E2BIG {
			c.InReset()
			p, e = c.CopyIn(addr, n)
		}
		if e != 0 {
			return "", e
		}
		b.Write(p)
		addr += uint64(n)
		max -= n
	}
	return "", abi.E2BIG
}

// packStrings stores argv and envp in one block: counts, then NUL-terminated
// strings.
func (k *Kernel) packStrings(argv, envp []string) (store.Block, bool) {
	n := 8
	for _, s := range argv {
		n += len(s) + 1
	}
	for _, s := range envp {
		n += len(s) + 1
	}
	b := k.Heap.Alloc(n)
	if b.Nil() {
		return b, false
	}
	p := k.Heap.Bytes(b)
	binary.LittleEndian.PutUint32(p, uint32(len(argv)))
	binary.LittleEndian.PutUint32(p[4:], uint32(len(envp)))
	at := 8
	for _, l := range [][]string{argv, envp} {
		for _, s := range l {
			at += copy(p[at:], s)
			p[at] = 0
			at++
		}
	}
	return b, true
}

// ExecArgs answers what the caller's KindStart is to build: the argument and
// environment strings and the name that the program was executed by.
func (c *Call) ExecArgs() (argv, envp []string, name string) {
	h := c.K.Heap
	p := c.Proc()
	b := h.Bytes(p.ExecArgs)
	name = store.String(h, p.ExecPath)
	if len(b) < 8 {
		return nil, nil, name
	}
	na, ne := int(binary.LittleEndian.Uint32(b)), int(binary.LittleEndian.Uint32(b[4:]))
	all := strings.Split(string(b[8:]), "\x00")
	if na+ne >= len(all) {
		return nil, nil, name
	}
	return all[:na:na], all[na : na+ne : na+ne], name
}

// program is what exec found out about a file.
type program struct {
	v    store.Ref[Vnode]
	attr fs.Attr
	pers Personality
	argv []string
	// uid and gid come from the file that was named first... of a script they
	// are ignored, as Linux does.
	name string
	comm string
	// module: an engine runs the file.
	module bool
}

// findProgram follows interpreters until it has a loadable file; its vnode is
// held. The first is an open file, if one is given, which is called path.
func (c *Call) findProgram(file store.Ref[File], dirfd int32, path string, flags uint32, argv []string) (program, abi.Errno) {
	k := c.K
	pr := program{argv: argv, name: path, comm: path}
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		pr.comm = path[i+1:]
	}
	cloexec := false
	if path == "" || dirfd != AtCwd && path[0] != '/' {
		pr.name = "/dev/fd/" + strconv.Itoa(int(dirfd))
		if path != "" {
			pr.name += "/" + path
		} else {
			pr.comm = strconv.Itoa(int(dirfd))
		}
		if _, fl, e := k.FDAt(c.Proc().FDs, dirfd); e == 0 {
			cloexec = fl&FDCloexec != 0
		}
	}
	for depth := 0; ; depth++ {
		var v store.Ref[Vnode]
		var attr fs.Attr
		var e abi.Errno
		if file != 0 && depth == 0 {
			v, attr, e = c.openExec(k.nodeOf(k.Files.Get(file).Vnode), 1)
		} else {
			v, attr, e = c.OpenExec(dirfd, path, flags)
		}
		if e != 0 {
			return pr, e
		}
		head, e := c.ReadVnode(v, 0, execHead)
		if e != 0 {
			k.DropVnode(v)
			return pr, e
		}
		if len(head) >= 2 && head[0] == '#' && head[1] == '!' {
			k.DropVnode(v)
			if depth >= maxScripts {
				return pr, abi.ELOOP
			}
			if cloexec {
				return pr, abi.ENOENT // the interpreter could not open it
			}
			interp, arg, e := scriptInterp(head)
			if e != 0 {
				return pr, e
			}
			args := []string{interp}
			if arg != "" {
				args = append(args, arg)
			}
			args = append(args, pr.name)
			if len(pr.argv) > 0 {
				args = append(args, pr.argv[1:]...)
			}
			pr.argv = args
			pr.name = interp
			dirfd, path, flags = AtCwd, interp, WalkFollow
			cloexec = false
			continue
		}
		for _, p := range k.personalities {
			if !p.Probe(head) {
				continue
			}
			if pp, ok := p.(Preparer); ok {
				if e := pp.Prepare(c, v, head); e != 0 {
					k.DropVnode(v)
					return pr, e
				}
			}
			pr.v, pr.attr, pr.pers = v, attr, p
			if in, ok := p.(Interpreter); ok && in.Interpreted(head) {
				pr.module = true
				pr.attr.Mode &^= 0o6000
			}
			return pr, 0
		}
		k.DropVnode(v)
		return pr, abi.ENOEXEC
	}
}

// scriptInterp parses a script's first line: the interpreter and at most one
// argument.
func scriptInterp(head []byte) (interp, arg string, e abi.Errno) {
	line := head[2:min(len(head), scriptLine)]
	if i := strings.IndexByte(string(line), '\n'); i >= 0 {
		line = line[:i]
	} else if len(head) >= scriptLine {
		// Cut: good only if the interpreter's name is complete.
		s := strings.TrimLeft(string(line), " \t")
		if !strings.ContainsAny(s, " \t") {
			return "", "", abi.ENOEXEC
		}
	}
	if i := strings.IndexByte(string(line), 0); i >= 0 {
		line = line[:i]
	}
	s := strings.Trim(string(line), " \t")
	if s == "" {
		return "", "", abi.ENOEXEC
	}
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i], strings.TrimLeft(s[i:], " \t"), 0
	}
	return s, "", 0
}

// Exec replaces the caller's program. On success the call is not answered (the
// caller's task ends; KindStart of the new one goes on), or, for a vfork
// child, it is answered as the parent's.
func (c *Call) Exec(dirfd int32, path string, flags uint32, argv, envp []string) abi.Errno {
	if path == "" && flags&WalkEmpty == 0 {
		return abi.ENOENT
	}
	return c.exec(0, dirfd, path, flags, argv, envp)
}

// ExecFile is Exec of an unnamed file of the caller's own (Unnamed), which only it has
// written, and which is called name.
func (c *Call) ExecFile(f store.Ref[File], name string, argv, envp []string) abi.Errno {
	return c.exec(f, AtCwd, name, 0, argv, envp)
}

func (c *Call) exec(file store.Ref[File], dirfd int32, path string, flags uint32, argv, envp []string) abi.Errno {
	k := c.K
	pr, e := c.findProgram(file, dirfd, path, flags, argv)
	if e != 0 {
		return e
	}
	size := uint64(0)
	for _, l := range [][]string{pr.argv, envp} {
		for _, s := range l {
			size += uint64(len(s)) + 9
		}
	}
	if lim := c.Proc().Rlimits[RlimitStack].Cur; size > max(min(lim/4, 6<<20), 128<<10) {
		k.DropVnode(pr.v)
		return abi.E2BIG
	}
	if c.Cred().UID != 0 {
		if own, _ := k.userProcs(c.Cred().UID); uint64(own) > c.Proc().Rlimits[RlimitNproc].Cur {
			k.DropVnode(pr.v)
			return abi.EAGAIN
		}
	}
	if c.Proc().Threads == 1 && c.Proc().VforkParent == 0 {
		k.noteUsage(c)
	}
	var id TaskID
	k.proc.creating++
	e = c.withSpares(func() (e abi.Errno) { id, e = k.Host.NewTask(0, 0); return e })
	k.proc.creating--
	defer k.proc.born.Wake(^uint32(0))
	fail := func(e abi.Errno) abi.Errno {
		k.DropVnode(pr.v)
		k.afterCommit(func() { k.Host.Terminate(id) })
		return e
	}
	if e != 0 {
		k.DropVnode(pr.v)
		return abi.EAGAIN
	}
	if e := c.killSiblings(); e != 0 {
		return fail(e)
	}
	if k.leavesLocks(c.Thread()) {
		c.walkRobust(c.Thread().RobustHead, uint32(c.Thread().Tid))
		if !c.Flush() || k.threadRT(c.T).gone || c.Proc().Exiting != 0 {
			return fail(abi.ErrRestart)
		}
	}
	timers, ok := c.hostITimers()
	if !ok || k.threadRT(c.T).gone || c.Proc().Exiting != 0 {
		return fail(abi.ErrRestart)
	}
	if e := c.becomes(&pr, envp, id, &timers); e != 0 {
		return fail(e)
	}
	return 0
}

// killSiblings ends the other threads of the caller's process and waits until
// they have left.
func (c *Call) killSiblings() abi.Errno {
	k := c.K
	for {
		if k.threadRT(c.T).gone || c.Proc().Exiting != 0 {
			return abi.ErrRestart
		}
		p := c.ProcRef()
		if c.Proc().Threads <= 1 {
			return 0
		}
		for _, t := range append([]store.Ref[Thread](nil), k.procRT(p).threads...) {
			if t != c.T && !k.threadRT(t).gone {
				k.endThread(t)
			}
		}
		if c.Proc().Threads <= 1 {
			return 0
		}
		rt := k.threadRT(c.T)
		s := c.sleeps()
		s.woken, s.reason = false, wokeNone
		s.gen++
		e := k.procRT(p).deadQ.Watch(func(uint32) { s.wake(wokeQueue) })
		rt.sleeping, rt.stopWait = s, true // only its end may wake it
		c.release()
		<-s.ch
		c.reacquire()
		rt.sleeping, rt.stopWait = nil, false
		e.Unwatch()
	}
}

// becomes is the point of no return of exec: one transaction. timers are the
// interval timers as they are now.
func (c *Call) becomes(pr *program, envp []string, id TaskID, timers *[3]ITimer) abi.Errno {
	k := c.K
	p := c.ProcRef()
	args, ok := k.packStrings(pr.argv, envp)
	if !ok {
		return abi.ENOMEM
	}
	name := store.PutString(k.Heap, pr.name)
	cr, secure := c.execCred(pr)
	newCred := k.NewCred(&cr)
	hand := k.Procs.Get(p).Hand
	if k.Hands.Get(hand).Refs > 1 {
		h, m := k.Hands.New()
		if h == 0 {
			return abi.ENOMEM
		}
		*m = *k.Hands.Get(hand)
		m.Refs = 1
		k.Hands.Mut(hand).Refs--
		hand = h
	}
	hm := k.Hands.Mut(hand)
	for i := range hm.Act {
		if hm.Act[i].Handler != SigIgn {
			hm.Act[i] = SigAction{}
		} else {
			hm.Act[i] = SigAction{Handler: SigIgn}
		}
	}
	fds := k.Procs.Get(p).FDs
	if k.FDs.Get(fds).Refs > 1 {
		n := k.CopyFDTable(fds)
		if n == 0 {
			return abi.ENOMEM
		}
		k.DropFDTable(nil, fds, p)
		fds = n
		k.Procs.Mut(p).FDs = n
	}
	k.takeBackTable(fds)
	k.CloseOnExec(nil, fds, p)
	k.dropTimers(p, false)
	k.shmLeave(p)
	k.leaveRegion(p)
	if secure {
		k.leaveDicts(p) // what others have named is not for a program that may do more
	}

	m := k.Procs.Mut(p)
	oldTask, oldSlot := m.Task, c.Slot
	vfork, parent := m.Flags&ProcVfork != 0, m.VforkParent
	oldExe, oldArgs, oldName := m.Exe, m.ExecArgs, m.ExecPath
	m.Hand = hand
	m.Task = id
	m.Flags = m.Flags&^(ProcVfork|ProcModule|ProcHeld) | ProcExeced
	if pr.module {
		m.Flags |= ProcModule
	}
	// Others see now that it has executed (its files that are closed by it are): who comes
	// to debug it from here on is told of the next one only.
	if m.Debugger != 0 && m.DebugFlags&DebugAtExec != 0 {
		m.Flags |= ProcHeld
	}
	m.VforkParent = 0
	m.Exe = pr.v
	m.ExecArgs, m.ExecPath = args, name
	m.Personality = pr.pers.Index()
	m.NextSlot = 1
	m.ArgStart, m.ArgEnd, m.EnvStart, m.EnvEnd = 0, 0, 0, 0
	m.UTime += m.ExitU
	m.STime += m.ExitS
	m.ExitU, m.ExitS = 0, 0
	m.KeepCaps = 0
	m.ExecSecure = 0
	m.Dumpable = 1
	m.StaleLimits = 0 // KindStart sets them all
	var rang SigSet   // timers that have, and did not say so yet
	for i := itimerVirt; i <= itimerProf; i++ {
		if m.ITimers[i].Next != 0 && timers[i].Next == 0 {
			rang |= SigBit(hostClock[i].sig)
		}
		m.ITimers[i] = timers[i]
	}
	if secure {
		m.ExecSecure = 1
		m.Dumpable = 0
		m.PDeathSig = 0
	}
	SetComm(&m.Comm, pr.comm)
	k.DropCred(m.Cred)
	m.Cred = newCred
	th := k.Threads.Mut(c.T)
	if k.byTid[th.Tid] == c.T {
		delete(k.byTid, th.Tid)
	}
	k.DropCred(th.Cred)
	k.HoldCred(newCred)
	if th.Fs != 0 { // the process is this thread now
		k.dropFs(m.Fs)
		m.Fs = th.Fs
	}
	*th = Thread{
		Tid: m.Pid, Proc: p, Cred: newCred, Mask: th.Mask, Pending: th.Pending, SigQ: th.SigQ,
		Comm: m.Comm, State: ThreadLive, Token: th.Token,
		FSSeq: th.FSSeq, FSBase: th.FSBase,
		ThreadExtra: ThreadExtra{Sched: th.Sched, Start: th.Start, CPUs: th.CPUs, IO: th.IO},
	}
	if th.CPUs != (CPUSet{}) || th.Sched != (Sched{}) {
		th.StaleSched = 1 // a fresh task runs as all do
	}
	m.Leader = c.T
	k.byTid[th.Tid] = c.T
	if oldExe != 0 {
		k.dropExe(oldExe)
	}
	k.Heap.FreeBlock(oldArgs)
	k.Heap.FreeBlock(oldName)

	if ts := k.tasks[oldTask]; ts != nil && ts.slots[oldSlot] == c.T {
		delete(ts.slots, oldSlot)
	}
	ts := k.addTask(id, p)
	ts.slots[0] = c.T
	delete(k.threads, c.T)
	k.leaveTask(oldTask, p)
	for ; rang != 0; rang &= rang - 1 {
		k.SendSignal(p, &SigInfo{Sig: firstSignal(rang), Code: SiKernel})
	}
	c.ended = true
	if vfork {
		k.vforkReturn(c, parent)
		return 0
	}
	c.T = 0
	c.NoReply = true
	return 0
}

// execCred answers the credentials that a program runs with, and whether its
// start-up code must not trust the environment (credentials(7),
// capabilities(7)).
func (c *Call) execCred(pr *program) (Cred, bool) {
	old := *c.Cred()
	cr := old
	if c.Proc().NoNewPrivs == 0 {
		// Only whom the caller's namespace knows may be become.
		known := c.K.maps(cr.NS, pr.attr.UID, pr.attr.GID)
		if known && pr.attr.Mode&0o4000 != 0 {
			cr.EUID = pr.attr.UID
		}
		if known && pr.attr.Mode&0o2010 == 0o2010 {
			cr.EGID = pr.attr.GID
		}
	}
	setid := cr.EUID != old.EUID || cr.EGID != old.EGID
	cr.SUID, cr.FSUID = cr.EUID, cr.EUID
	cr.SGID, cr.FSGID = cr.EGID, cr.EGID
	if setid {
		cr.CapAmb = 0
	}
	cr.CapPerm = cr.CapAmb
	cr.CapEff = cr.CapAmb
	if cr.Securebits&SecNoroot == 0 {
		root := c.RootID()
		if cr.EUID == root || cr.UID == root {
			cr.CapPerm = cr.CapInh | cr.CapBound
		}
		if cr.EUID == root {
			cr.CapEff = cr.CapPerm
		}
	}
	cr.Securebits &^= SecKeepCaps
	return cr, cr.EUID != cr.UID || cr.EGID != cr.GID
}

func (k *Kernel) holdExe(v store.Ref[Vnode]) { k.HoldVnode(v) }
func (k *Kernel) dropExe(v store.Ref[Vnode]) { k.DropVnode(v) }

// NextGrant answers a tag for a grant to a task, for ActMapObject (24 bits, so
// that it fits beside the action's flags). The grant may be sent before the
// number is committed: Recover leaves out those that a dead incarnation may have
// used (grantsPerCall), so that no tag means two objects.
func (k *Kernel) NextGrant() uint64 {
	g := k.MutGlobals()
	for {
		g.NextToken++
		if tag := g.NextToken&0xffffff | 1<<23; !k.grants.tags[tag] {
			return tag
		}
	}
}

// grantsPerCall is more than the tags that one transaction gives out.
const grantsPerCall = 64
