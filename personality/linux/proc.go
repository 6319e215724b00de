package linux

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/personality/image"
	"hythe/server/unix/core"
	"hythe/store"
)

func procCalls() []Entry {
	var all []Entry
	for _, part := range [][]Entry{processCalls(), signalCalls(), credCalls(), timeCalls(), miscCalls()} {
		all = append(all, part...)
	}
	return all
}

func processCalls() []Entry {
	word := func(nr uint16, name string, w uint8, fn Func) Entry {
		return Entry{Nr: nr, Name: name, Fn: fn, Local: abi.LocalWord, LocalArg: w}
	}
	return []Entry{
		word(39, "getpid", abi.TaskPid, sysGetpid),
		{Nr: 56, FS: true, Name: "clone", Fn: sysClone, Sig: "Cpppp", Level: Partial, Note: "CLONE_VM without CLONE_VFORK or CLONE_THREAD is EINVAL; new namespaces but those of users and mounts are EPERM"},
		{Nr: 57, FS: true, Name: "fork", Fn: sysFork},
		{Nr: 58, FS: true, Name: "vfork", Fn: sysVfork},
		{Nr: 59, Name: "execve", Fn: sysExecve, Sig: "spp", Pre: pre(preStr(0), preStrs(1), preStrs(2)), Robust: true},
		{Nr: 60, Name: "exit", Fn: sysExit, Local: abi.LocalExit, Sig: "i", Robust: true},
		{Nr: 61, Name: "wait4", Fn: sysWait4, Sig: "iwWp"},
		{Nr: 109, Name: "setpgid", Fn: sysSetpgid, Sig: "ii"},
		{Nr: 110, Name: "getppid", Fn: sysGetppid, Local: abi.LocalTold, LocalArg: abi.ToldPpid},
		{Nr: 111, Name: "getpgrp", Fn: sysGetpgrp, Local: abi.LocalTold, LocalArg: abi.ToldPgid},
		{Nr: 112, Name: "setsid", Fn: sysSetsid},
		{Nr: 121, Name: "getpgid", Fn: sysGetpgid, Sig: "i"},
		{Nr: 124, Name: "getsid", Fn: sysGetsid, Sig: "i"},
		{Nr: 186, Name: "gettid", Fn: sysGettid, Local: abi.LocalTid},
		{Nr: 218, Name: "set_tid_address", Fn: sysSetTidAddress, Local: abi.LocalSetTid, Sig: "p"},
		{Nr: 231, Name: "exit_group", Fn: sysExitGroup, Sig: "i", Robust: true},
		{Nr: 247, Name: "waitid", Fn: sysWaitid, Sig: "IipWp"},
		{Nr: 273, Name: "set_robust_list", Fn: sysSetRobustList, Local: abi.LocalSetRobust, Sig: "pu", Level: Partial, Note: "not walked when a stopped process is killed, and when its server dies meanwhile"},
		{Nr: 274, Name: "get_robust_list", Fn: sysGetRobustList, Sig: "ipp"},
		{Nr: 322, Name: "execveat", Fn: sysExecveat, Sig: "fsppA", Pre: pre(preStr(1), preStrs(2), preStrs(3)), Robust: true},
		{Nr: 434, Name: "pidfd_open", Fn: sysPidfdOpen, Sig: "ix"},
		{Nr: 435, FS: true, Name: "clone3", Fn: sysClone3, Pre: pre(preBuf(0, 1)), Sig: "pu", Level: Partial, Note: "as clone; set_tid is EPERM, cgroups are refused"},
		{Nr: 438, Name: "pidfd_getfd", Fn: sysPidfdGetfd, Sig: "ffx"},
	}
}

func sysGetpid(p *Personality, c *core.Call) (uint64, abi.Errno) { return uint64(c.Proc().Pid), 0 }
func sysGettid(p *Personality, c *core.Call) (uint64, abi.Errno) { return uint64(c.Thread().Tid), 0 }
func sysGetpgrp(p *Personality, c *core.Call) (uint64, abi.Errno) {
	c.Tell(abi.ToldPgid, c.Proc().Pgid)
	return uint64(c.Proc().Pgid), 0
}

func sysGetppid(p *Personality, c *core.Call) (uint64, abi.Errno) {
	pid := int32(0)
	if par := c.K.Procs.Get(c.Proc().Parent); par != nil {
		pid = par.Pid
	}
	c.Tell(abi.ToldPpid, pid)
	return uint64(pid), 0
}

func cloned(pid int32, e abi.Errno) (uint64, abi.Errno) { return uint64(uint32(pid)), e }

func sysFork(p *Personality, c *core.Call) (uint64, abi.Errno) {
	return cloned(c.Clone(&core.CloneArgs{ExitSignal: core.SIGCHLD}))
}

func sysVfork(p *Personality, c *core.Call) (uint64, abi.Errno) {
	return cloned(c.Clone(&core.CloneArgs{Flags: core.CloneVM | core.CloneVfork, ExitSignal: core.SIGCHLD}))
}

// sysClone: flags (the low byte is the exit signal), stack, parent_tid,
// child_tid, tls.
func sysClone(p *Personality, c *core.Call) (uint64, abi.Errno) {
	f := c.Args[0] & 0xffffffff
	a := core.CloneArgs{Flags: f &^ 0xff, ExitSignal: int32(f & 0xff), SP: c.Args[1], ParentTid: c.Args[2], Pidfd: c.Args[2], ChildTid: c.Args[3], TLS: c.Args[4]}
	if f&core.ClonePidfd != 0 && f&core.CloneParentSettid != 0 {
		return 0, abi.EINVAL
	}
	return doClone(c, &a)
}

func doClone(c *core.Call, a *core.CloneArgs) (uint64, abi.Errno) {
	if a.Flags&core.CloneSetTLS != 0 && a.TLS >= image.UserEnd {
		return 0, abi.EPERM
	}
	if a.Flags&core.CloneThread != 0 && a.SP == 0 {
		a.SP = c.Regs.SP
	}
	if a.Flags&core.ClonePidfd != 0 {
		// The number is stored when all is done: look now whether it can be.
		if _, e := c.CopyIn32(a.Pidfd); e != 0 {
			return 0, e
		}
	}
	return cloned(c.Clone(a))
}

// sysClone3: struct clone_args (include/uapi/linux/sched.h), 64, 80 or 88
// bytes and later ones whose rest is zero.
func sysClone3(p *Personality, c *core.Call) (uint64, abi.Errno) {
	size := c.Args[1]
	if size > abi.PageSize {
		return 0, abi.E2BIG
	}
	if size < 64 {
		return 0, abi.EINVAL
	}
	in, e := c.StructArg(0, int(size))
	if e != 0 {
		return 0, e
	}
	var b [88]byte
	copy(b[:], in)
	for _, x := range in[min(int(size), 88):] {
		if x != 0 {
			return 0, abi.E2BIG
		}
	}
	w := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
	a := core.CloneArgs{Flags: w(0), Pidfd: w(1), ChildTid: w(2), ParentTid: w(3), TLS: w(7)}
	sig, stack, stackSize := w(4), w(5), w(6)
	switch {
	case sig&^0xff != 0 || sig >= core.NumSignals:
		return 0, abi.EINVAL
	case a.Flags&0xff&^core.CloneNewTime != 0 || a.Flags&core.CloneDetached != 0 || a.Flags>>34 != 0:
		return 0, abi.EINVAL
	case a.Flags&(core.CloneThread|core.CloneParent) != 0 && sig != 0:
		return 0, abi.EINVAL
	case (stack == 0) != (stackSize == 0):
		return 0, abi.EINVAL
	case w(9) > 32 || (w(8) == 0) != (w(9) == 0):
		return 0, abi.EINVAL
	case w(9) != 0:
		return 0, abi.EPERM
	case a.Flags&core.CloneIntoCgroup != 0:
		return 0, abi.EBADF
	}
	a.ExitSignal = int32(sig)
	if stack != 0 {
		a.SP = stack + stackSize
	}
	return doClone(c, &a)
}

func sysExit(p *Personality, c *core.Call) (uint64, abi.Errno) {
	c.Exit(uint32(c.Args[0]))
	return 0, 0
}

func sysExitGroup(p *Personality, c *core.Call) (uint64, abi.Errno) {
	c.ExitGroup(uint32(c.Args[0]))
	return 0, 0
}

func sysSetTidAddress(p *Personality, c *core.Call) (uint64, abi.Errno) {
	c.MutThread().ClearTid = c.Args[0]
	c.Act(abi.ActThreadWord, 0, abi.ThreadClear, c.Args[0])
	return uint64(c.Thread().Tid), 0
}

func sysSetRobustList(p *Personality, c *core.Call) (uint64, abi.Errno) {
	if c.Args[1] != abi.RobustSize {
		return 0, abi.EINVAL
	}
	t := c.MutThread()
	t.RobustHead, t.RobustLen = c.Args[0], abi.RobustSize
	c.Act(abi.ActThreadWord, 0, abi.ThreadRobust, c.Args[0])
	return 0, 0
}

func sysGetRobustList(p *Personality, c *core.Call) (uint64, abi.Errno) {
	t := c.T
	if pid := int32(c.Args[0]); pid != 0 {
		if t = c.K.ThreadByTid(pid); t == 0 {
			return 0, abi.ESRCH
		}
	}
	th := c.K.Threads.Get(t)
	if !mayLook(c, th.Proc) {
		return 0, abi.EPERM
	}
	head := c.K.RobustList(th)
	c.CopyOut64(c.Args[2], 24)
	c.CopyOut64(c.Args[1], head)
	return 0, 0
}

// mayLook is ptrace_may_access: the same user, or CAP_SYS_PTRACE.
func mayLook(c *core.Call, pr store.Ref[core.Proc]) bool {
	if pr == c.ProcRef() {
		return true
	}
	k := c.K
	him := k.Creds.Get(k.Procs.Get(pr).Cred)
	me := c.Cred()
	if him != nil && k.CapableIn(me, him.NS, core.CapSysPtrace) {
		return true
	}
	return him != nil && me.UID == him.UID && me.UID == him.EUID && me.UID == him.SUID &&
		me.GID == him.GID && me.GID == him.EGID && me.GID == him.SGID && k.Procs.Get(pr).Dumpable == 1
}

func putRusage(b []byte, utime, stime int64, maxrss uint64) {
	binary.LittleEndian.PutUint64(b, uint64(utime/1e9))
	binary.LittleEndian.PutUint64(b[8:], uint64(utime%1e9/1e3))
	binary.LittleEndian.PutUint64(b[16:], uint64(stime/1e9))
	binary.LittleEndian.PutUint64(b[24:], uint64(stime%1e9/1e3))
	binary.LittleEndian.PutUint64(b[32:], maxrss)
}

func sysWait4(p *Personality, c *core.Call) (uint64, abi.Errno) {
	opts := uint32(c.Args[2])
	if opts&^(core.WNoHang|core.WStopped|core.WContinued|core.WNoThread|core.WClone|core.WAllKinds) != 0 {
		return 0, abi.EINVAL
	}
	pid := int32(c.Args[0])
	kind, id := core.WaitPid, pid
	switch {
	case pid == -1:
		kind = core.WaitAll
	case pid == -1<<31:
		return 0, abi.ESRCH
	case pid < 0:
		kind, id = core.WaitPgid, -pid
	case pid == 0:
		kind, id = core.WaitPgid, c.Proc().Pgid
	}
	w, e := c.Wait(kind, id, opts|core.WExited)
	if e != 0 || w.Pid == 0 {
		return 0, e
	}
	if c.Args[1] != 0 {
		c.CopyOut32(c.Args[1], w.Status)
	}
	if c.Args[3] != 0 {
		var b [144]byte
		putRusage(b[:], w.UTime, w.STime, 0)
		c.CopyOut(c.Args[3], b[:])
	}
	return uint64(w.Pid), 0
}

func sysWaitid(p *Personality, c *core.Call) (uint64, abi.Errno) {
	opts := uint32(c.Args[3])
	if opts&^(core.WNoHang|core.WNoWait|core.WExited|core.WStopped|core.WContinued|core.WNoThread|core.WClone|core.WAllKinds) != 0 ||
		opts&(core.WExited|core.WStopped|core.WContinued) == 0 {
		return 0, abi.EINVAL
	}
	id := int32(c.Args[1])
	kind := 0
	switch int32(c.Args[0]) {
	case 0:
		kind = core.WaitAll
	case 1:
		if id <= 0 {
			return 0, abi.EINVAL
		}
		kind = core.WaitPid
	case 2:
		if id < 0 {
			return 0, abi.EINVAL
		}
		kind = core.WaitPgid
		if id == 0 {
			id = c.Proc().Pgid
		}
	case 3:
		if id < 0 {
			return 0, abi.EINVAL
		}
		pr, pid, e := c.PidfdProc(id)
		if e != 0 {
			return 0, e
		}
		if pr == 0 {
			return 0, abi.ECHILD
		}
		_, f, _ := c.File(id)
		kind, id = core.WaitPidfd, pid
		if f.Flags&core.OpenNonblock != 0 && opts&core.WNoHang == 0 {
			w, e := c.Wait(kind, id, opts|core.WNoHang)
			if e == 0 && w.Pid == 0 {
				return 0, abi.EAGAIN
			}
			return 0, waitidOut(c, &w, e)
		}
	default:
		return 0, abi.EINVAL
	}
	w, e := c.Wait(kind, id, opts)
	return 0, waitidOut(c, &w, e)
}

func waitidOut(c *core.Call, w *core.WaitResult, e abi.Errno) abi.Errno {
	if e != 0 {
		return e
	}
	if c.Args[4] != 0 && w.Pid != 0 {
		var b [144]byte
		putRusage(b[:], w.UTime, w.STime, 0)
		c.CopyOut(c.Args[4], b[:])
	}
	if c.Args[2] != 0 {
		var b [128]byte
		if w.Pid != 0 {
			encodeSiginfo(b[:], &core.SigInfo{Sig: core.SIGCHLD, Code: w.Code, Pid: w.Pid, UID: c.ShowUID(w.UID), Status: w.Value})
		}
		c.CopyOut(c.Args[2], b[:32])
	}
	return 0
}

func sysSetpgid(p *Personality, c *core.Call) (uint64, abi.Errno) {
	if int32(c.Args[1]) < 0 {
		return 0, abi.EINVAL
	}
	return 0, c.SetPgid(int32(c.Args[0]), int32(c.Args[1]))
}

func sysSetsid(p *Personality, c *core.Call) (uint64, abi.Errno) {
	s, e := c.SetSid()
	return uint64(uint32(s)), e
}

func procArg(c *core.Call, pid int32) *core.Proc {
	if pid == 0 {
		return c.Proc()
	}
	if t := c.K.ThreadByTid(pid); t != 0 {
		return c.K.Procs.Get(c.K.Threads.Get(t).Proc)
	}
	return c.K.Procs.Get(c.K.ProcByPid(pid))
}

func sysGetpgid(p *Personality, c *core.Call) (uint64, abi.Errno) {
	if r := procArg(c, int32(c.Args[0])); r != nil {
		return uint64(r.Pgid), 0
	}
	return 0, abi.ESRCH
}

func sysGetsid(p *Personality, c *core.Call) (uint64, abi.Errno) {
	if r := procArg(c, int32(c.Args[0])); r != nil {
		return uint64(r.Sid), 0
	}
	return 0, abi.ESRCH
}

func sysPidfdOpen(p *Personality, c *core.Call) (uint64, abi.Errno) {
	const nonblock = 0o4000
	fl := uint32(c.Args[1])
	pid := int32(c.Args[0])
	if fl&^nonblock != 0 || pid <= 0 {
		return 0, abi.EINVAL
	}
	pr := c.K.ProcByPid(pid)
	if pr == 0 {
		if c.K.ThreadByTid(pid) != 0 {
			return 0, abi.EINVAL
		}
		return 0, abi.ESRCH
	}
	var of uint32
	if fl != 0 {
		of = core.OpenNonblock
	}
	fd, e := c.OpenPidfd(pr, of)
	return uint64(uint32(fd)), e
}

func sysPidfdGetfd(p *Personality, c *core.Call) (uint64, abi.Errno) {
	if c.Args[2] != 0 {
		return 0, abi.EINVAL
	}
	pr, _, e := c.PidfdProc(int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	if pr == 0 || c.K.Procs.Get(pr).State != core.ProcLive || c.K.Procs.Get(pr).FDs == 0 {
		return 0, abi.ESRCH
	}
	if !mayLook(c, pr) {
		return 0, abi.EPERM
	}
	f, _, e := c.K.FDAt(c.K.Procs.Get(pr).FDs, int32(c.Args[1]))
	if e != 0 {
		return 0, e
	}
	fd, e := c.InstallFD(f, 0, core.FDCloexec)
	return uint64(uint32(fd)), e
}
