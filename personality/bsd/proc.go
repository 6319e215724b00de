package bsd

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/personality/image"
	"hythe/server/unix/core"
	"hythe/store"
)

// Word makes the row of a call that answers a word of the task block.
func Word(nr uint16, name string, w uint8, get func(*core.Call) uint64) Entry {
	return Entry{Nr: nr, Name: name, Local: abi.LocalWord, LocalArg: w,
		Fn: func(_ *Personality, c *core.Call) (uint64, abi.Errno) { return get(c), 0 }}
}

// Pid, UID, EUID, GID, EGID are what the words of that name are.
func Pid(c *core.Call) uint64 { return uint64(c.Proc().Pid) }

// UID is the caller's real user id.
func UID(c *core.Call) uint64 { return uint64(c.ShowUID(c.Cred().UID)) }

// EUID is the caller's effective user id.
func EUID(c *core.Call) uint64 { return uint64(c.ShowUID(c.Cred().EUID)) }

// GID is the caller's real group id.
func GID(c *core.Call) uint64 { return uint64(c.ShowGID(c.Cred().GID)) }

// EGID is the caller's effective group id.
func EGID(c *core.Call) uint64 { return uint64(c.ShowGID(c.Cred().EGID)) }

// Zero answers 0.
func Zero(*Personality, *core.Call) (uint64, abi.Errno) { return 0, 0 }

// Refuse makes the function of a call that is answered with an error on purpose.
func Refuse(e abi.Errno) Func {
	return func(*Personality, *core.Call) (uint64, abi.Errno) { return 0, e }
}

// Exit serves exit(2): the process ends.
func Exit(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	c.ExitGroup(uint32(c.Args[0]))
	return 0, 0
}

// Fork serves fork(2), Vfork vfork(2).
func Fork(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	pid, e := c.Clone(&core.CloneArgs{ExitSignal: core.SIGCHLD})
	return uint64(uint32(pid)), e
}

// Vfork serves vfork(2).
func Vfork(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	pid, e := c.Clone(&core.CloneArgs{Flags: core.CloneVM | core.CloneVfork, ExitSignal: core.SIGCHLD})
	return uint64(uint32(pid)), e
}

// Execve serves execve(2).
func Execve(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	path, e := c.PathArg(0)
	if e != 0 {
		return 0, e
	}
	argv, envp, e := image.Args(c, 1, 2)
	if e != 0 {
		return 0, e
	}
	return 0, c.Exec(core.AtCwd, path, core.WalkFollow, argv, envp)
}

// Fexecve serves fexecve(2).
func Fexecve(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	argv, envp, e := image.Args(c, 1, 2)
	if e != 0 {
		return 0, e
	}
	return 0, c.Exec(int32(c.Args[0]), "", core.WalkFollow|core.WalkEmpty, argv, envp)
}

// Options of wait4(2) and wait6(2) (sys/wait.h).
const (
	wNohang   = 1
	wUntraced = 2
)

// WaitNumbers are what the calls that wait for a process take, where the systems differ:
// options, whom to wait for (idtype_t of sys/wait.h), the status of one that goes on
// again, and the size of siginfo_t.
type WaitNumbers struct {
	Continued, Nowait, Exited, Trapped uint32
	Pid, Pgid, All                     uint32
	Went                               uint32
	InfoSize                           int
}

func (p *Personality) waitOptions(o uint32) uint32 {
	w := &p.Sys.Wait
	var opts uint32
	for _, x := range []struct{ native, core uint32 }{
		{wNohang, core.WNoHang}, {wUntraced, core.WStopped}, {w.Continued, core.WContinued}, {w.Nowait, core.WNoWait}, {w.Exited, core.WExited}} {
		if o&x.native != 0 {
			opts |= x.core
		}
	}
	return opts | core.WAllKinds
}

// Status is the system's wait status: the core's, with its signal numbers.
func (p *Personality) Status(w uint32) uint32 {
	switch {
	case w == 0xffff:
		return p.Sys.Wait.Went
	case w&0xff == 0x7f:
		return uint32(p.Sys.Signals.Native(int32(w>>8&0xff)))<<8 | 0x7f
	case w&0x7f != 0:
		return w&0x80 | uint32(p.Sys.Signals.Native(int32(w&0x7f)))
	}
	return w
}

// putRusage encodes the times of struct rusage (144 bytes).
func putRusage(b []byte, utime, stime int64, maxrss uint64) {
	le := binary.LittleEndian
	le.PutUint64(b, uint64(utime/1e9))
	le.PutUint64(b[8:], uint64(utime%1e9/1e3))
	le.PutUint64(b[16:], uint64(stime/1e9))
	le.PutUint64(b[24:], uint64(stime%1e9/1e3))
	le.PutUint64(b[32:], maxrss)
}

// Wait4 serves wait4(2).
func Wait4(p *Personality, c *core.Call) (uint64, abi.Errno) {
	x := &p.Sys.Wait
	opts := uint32(c.Args[2])
	if opts&^(wNohang|wUntraced|x.Continued|x.Nowait|x.Trapped|x.Exited) != 0 {
		return 0, abi.EINVAL
	}
	pid := int32(c.Args[0])
	kind, id := core.WaitPid, pid
	switch {
	case pid == -1:
		kind = core.WaitAll
	case pid == -1<<31:
		return 0, abi.EINVAL
	case pid < 0:
		kind, id = core.WaitPgid, -pid
	case pid == 0:
		kind, id = core.WaitPgid, c.Proc().Pgid
	}
	w, e := c.Wait(kind, id, p.waitOptions(opts|x.Exited))
	if e != 0 || w.Pid == 0 {
		return 0, e
	}
	if c.Args[1] != 0 {
		c.CopyOut32(c.Args[1], p.Status(w.Status))
	}
	if c.Args[3] != 0 {
		var b [144]byte
		putRusage(b[:], w.UTime, w.STime, 0)
		c.CopyOut(c.Args[3], b[:])
	}
	return uint64(w.Pid), 0
}

// waitKind turns idtype_t and id_t of wait6(2) into whom to wait for. EINVAL.
func (p *Personality) waitKind(c *core.Call, idtype uint32, id int64) (kind int, who int32, e abi.Errno) {
	switch idtype {
	case p.Sys.Wait.Pid:
		return core.WaitPid, int32(id), 0
	case p.Sys.Wait.Pgid:
		if id == 0 {
			id = int64(c.Proc().Pgid)
		}
		return core.WaitPgid, int32(id), 0
	case p.Sys.Wait.All:
		return core.WaitAll, 0, 0
	}
	return 0, 0, abi.EINVAL
}

// Wait6 serves wait6(2): idtype, id, status, options, struct __wrusage (two of
// rusage), siginfo, which putInfo encodes.
func Wait6(putInfo func(b []byte, s *core.SigInfo)) Func {
	return func(p *Personality, c *core.Call) (uint64, abi.Errno) {
		x := &p.Sys.Wait
		opts := uint32(c.Args[3])
		if opts&^(wNohang|wUntraced|x.Continued|x.Nowait|x.Exited|x.Trapped) != 0 || opts&(x.Exited|wUntraced|x.Continued|x.Trapped) == 0 {
			return 0, abi.EINVAL
		}
		kind, id, e := p.waitKind(c, uint32(c.Args[0]), int64(c.Args[1]))
		if e != 0 {
			return 0, e
		}
		w, e := c.Wait(kind, id, p.waitOptions(opts))
		if e != 0 {
			return 0, e
		}
		if c.Args[5] != 0 {
			b := make([]byte, x.InfoSize)
			if w.Pid != 0 {
				putInfo(b, &core.SigInfo{Sig: core.SIGCHLD, Code: w.Code, Pid: w.Pid, UID: c.ShowUID(w.UID), Status: w.Value})
			}
			c.CopyOut(c.Args[5], b)
		}
		if w.Pid == 0 {
			return 0, 0
		}
		if c.Args[2] != 0 {
			c.CopyOut32(c.Args[2], p.Status(w.Status))
		}
		if c.Args[4] != 0 {
			var b [288]byte
			putRusage(b[:], w.UTime, w.STime, 0)
			c.CopyOut(c.Args[4], b[:])
		}
		return uint64(w.Pid), 0
	}
}

// Getppid serves getppid(2), Getpgrp getpgrp(2).
func Getppid(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	pid := int32(0)
	if par := c.K.Procs.Get(c.Proc().Parent); par != nil {
		pid = par.Pid
	}
	c.Tell(abi.ToldPpid, pid)
	return uint64(pid), 0
}

// Getpgrp serves getpgrp(2).
func Getpgrp(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	c.Tell(abi.ToldPgid, c.Proc().Pgid)
	return uint64(c.Proc().Pgid), 0
}

func procArg(c *core.Call, pid int32) *core.Proc {
	if pid == 0 {
		return c.Proc()
	}
	return c.K.Procs.Get(c.K.ProcByPid(pid))
}

// Getpgid serves getpgid(2), Getsid getsid(2).
func Getpgid(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	if r := procArg(c, int32(c.Args[0])); r != nil {
		return uint64(r.Pgid), 0
	}
	return 0, abi.ESRCH
}

// Getsid serves getsid(2).
func Getsid(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	if r := procArg(c, int32(c.Args[0])); r != nil {
		return uint64(r.Sid), 0
	}
	return 0, abi.ESRCH
}

// Setpgid serves setpgid(2), Setsid setsid(2).
func Setpgid(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	if int32(c.Args[1]) < 0 {
		return 0, abi.EINVAL
	}
	return 0, c.SetPgid(int32(c.Args[0]), int32(c.Args[1]))
}

// Setsid serves setsid(2).
func Setsid(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	s, e := c.SetSid()
	return uint64(uint32(s)), e
}

// commit stores changed credentials. EAGAIN.
func commit(c *core.Call, n *core.Cred) abi.Errno {
	old := *c.Cred()
	n.FSUID, n.FSGID = n.EUID, n.EGID
	n.FixCaps(&old, old.Securebits&core.SecKeepCaps != 0, c.RootID())
	if *n == old {
		return 0
	}
	if !c.SetCred(n) {
		return abi.EAGAIN
	}
	c.CredWords()
	return 0
}

// Setuid serves setuid(2): all three ids.
func Setuid(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	id, ok := c.MapUID(uint32(c.Args[0]))
	n := *c.Cred()
	if !ok || id != n.UID && id != n.EUID && !c.NsCapable(core.CapSetuid) {
		return 0, abi.EPERM
	}
	n.UID, n.EUID, n.SUID = id, id, id
	return 0, commit(c, &n)
}

// Seteuid serves seteuid(2).
func Seteuid(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	id, ok := c.MapUID(uint32(c.Args[0]))
	n := *c.Cred()
	if !ok || id != n.UID && id != n.SUID && !c.NsCapable(core.CapSetuid) {
		return 0, abi.EPERM
	}
	n.EUID = id
	return 0, commit(c, &n)
}

// Setgid serves setgid(2), Setegid setegid(2).
func Setgid(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	id, ok := c.MapGID(uint32(c.Args[0]))
	n := *c.Cred()
	if !ok || id != n.GID && id != n.EGID && !c.NsCapable(core.CapSetgid) {
		return 0, abi.EPERM
	}
	n.GID, n.EGID, n.SGID = id, id, id
	return 0, commit(c, &n)
}

// Setegid serves setegid(2).
func Setegid(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	id, ok := c.MapGID(uint32(c.Args[0]))
	n := *c.Cred()
	if !ok || id != n.GID && id != n.SGID && !c.NsCapable(core.CapSetgid) {
		return 0, abi.EPERM
	}
	n.EGID = id
	return 0, commit(c, &n)
}

// setRes is setresuid(2) and setresgid(2); the first n of the three ids come from the
// arguments, ^0 keeps one.
func setRes(c *core.Call, to [3]*uint32, old [3]uint32, m func(uint32) (uint32, bool), power int) abi.Errno {
	for i, p := range to {
		v, ok := idArg(c.Args[i], m)
		if !ok {
			return abi.EINVAL
		}
		if v == keepID {
			continue
		}
		if v != old[0] && v != old[1] && v != old[2] && !c.NsCapable(power) {
			return abi.EPERM
		}
		*p = v
	}
	return 0
}

// Setresuid serves setresuid(2).
func Setresuid(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	n := *c.Cred()
	if e := setRes(c, [3]*uint32{&n.UID, &n.EUID, &n.SUID}, [3]uint32{n.UID, n.EUID, n.SUID}, c.MapUID, core.CapSetuid); e != 0 {
		return 0, e
	}
	return 0, commit(c, &n)
}

// Setresgid serves setresgid(2).
func Setresgid(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	n := *c.Cred()
	if e := setRes(c, [3]*uint32{&n.GID, &n.EGID, &n.SGID}, [3]uint32{n.GID, n.EGID, n.SGID}, c.MapGID, core.CapSetgid); e != 0 {
		return 0, e
	}
	return 0, commit(c, &n)
}

// Setreuid serves setreuid(2): real and effective id. The saved one becomes the
// effective one when the real one is set, or the effective one is to another id.
func Setreuid(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	n := *c.Cred()
	was := n.UID
	if e := setRes2(c, &n.UID, &n.EUID, n.SUID, c.MapUID, core.CapSetuid); e != 0 {
		return 0, e
	}
	if uint32(c.Args[0]) != keepID || n.EUID != was {
		n.SUID = n.EUID
	}
	return 0, commit(c, &n)
}

// Setregid serves setregid(2).
func Setregid(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	n := *c.Cred()
	was := n.GID
	if e := setRes2(c, &n.GID, &n.EGID, n.SGID, c.MapGID, core.CapSetgid); e != 0 {
		return 0, e
	}
	if uint32(c.Args[0]) != keepID || n.EGID != was {
		n.SGID = n.EGID
	}
	return 0, commit(c, &n)
}

// setRes2 sets a real and an effective id from the first two arguments, each to one of
// those that there are unless the caller has the power.
func setRes2(c *core.Call, id, effective *uint32, saved uint32, m func(uint32) (uint32, bool), power int) abi.Errno {
	old := [3]uint32{*id, *effective, saved}
	for i, p := range []*uint32{id, effective} {
		v, ok := idArg(c.Args[i], m)
		if !ok {
			return abi.EINVAL
		}
		if v == keepID {
			continue
		}
		if v != old[0] && v != old[1] && v != old[2] && !c.NsCapable(power) {
			return abi.EPERM
		}
		*p = v
	}
	return 0
}

// Getresuid serves getresuid(2), Getresgid getresgid(2).
func Getresuid(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	cr := c.Cred()
	for i, id := range []uint32{cr.UID, cr.EUID, cr.SUID} {
		if c.Args[i] != 0 {
			c.CopyOut32(c.Args[i], c.ShowUID(id))
		}
	}
	return 0, 0
}

// Getresgid serves getresgid(2).
func Getresgid(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	cr := c.Cred()
	for i, id := range []uint32{cr.GID, cr.EGID, cr.SGID} {
		if c.Args[i] != 0 {
			c.CopyOut32(c.Args[i], c.ShowGID(id))
		}
	}
	return 0, 0
}

// Getgroups serves getgroups(2). The first group is the effective one, as 4.4BSD has it.
func Getgroups(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	cr := *c.Cred()
	return groupsOut(c, append([]uint32{cr.EGID}, cr.Groups[:cr.NGroups]...))
}

// GetgroupsApart serves getgroups(2) where the effective group is none of them.
func GetgroupsApart(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	cr := *c.Cred()
	return groupsOut(c, append([]uint32(nil), cr.Groups[:cr.NGroups]...))
}

func groupsOut(c *core.Call, all []uint32) (uint64, abi.Errno) {
	n := int32(c.Args[0])
	if n == 0 {
		return uint64(len(all)), 0
	}
	if int(n) < len(all) {
		return 0, abi.EINVAL
	}
	b := make([]byte, 0, 4*len(all))
	for _, g := range all {
		b = binary.LittleEndian.AppendUint32(b, c.ShowGID(g))
	}
	c.CopyOut(c.Args[1], b)
	return uint64(len(all)), 0
}

// Setgroups serves setgroups(2), whose first group is the effective one; SetgroupsApart
// where that is none of them.
func Setgroups(_ *Personality, c *core.Call) (uint64, abi.Errno) { return setgroups(c, 1) }

// SetgroupsApart serves setgroups(2).
func SetgroupsApart(_ *Personality, c *core.Call) (uint64, abi.Errno) { return setgroups(c, 0) }

func setgroups(c *core.Call, own int) (uint64, abi.Errno) {
	n := int32(c.Args[0])
	cr := *c.Cred()
	if !c.NsCapable(core.CapSetgid) || !c.MaySetgroups() {
		return 0, abi.EPERM
	}
	if n < 0 || int(n) > len(cr.Groups)+own {
		return 0, abi.EINVAL
	}
	b, e := c.CopyIn(c.Args[1], int(4*n))
	if e != 0 {
		return 0, e
	}
	cr = *c.Cred()
	cr.Groups, cr.NGroups = [len(cr.Groups)]uint32{}, 0
	for i := range int(n) {
		g, ok := c.MapGID(binary.LittleEndian.Uint32(b[4*i:]))
		if !ok {
			return 0, abi.EINVAL
		}
		if i < own {
			cr.EGID = g
			continue
		}
		cr.Groups[cr.NGroups] = g
		cr.NGroups++
	}
	return 0, commit(c, &cr)
}

// rlimits are the core's limits by the system's numbers (sys/resource.h): CPU, FSIZE,
// DATA, STACK, CORE, RSS, MEMLOCK, NPROC, NOFILE, SBSIZE (none), VMEM; -1: none.
var rlimits = [...]int{core.RlimitCPU, core.RlimitFsize, core.RlimitData, core.RlimitStack, core.RlimitCore, core.RlimitRSS,
	core.RlimitMemlock, core.RlimitNproc, core.RlimitNofile, -1, core.RlimitAS}

// infinity is RLIM_INFINITY.
const infinity = 1<<63 - 1

func limitArg(c *core.Call) (int, abi.Errno) {
	n := uint32(c.Args[0])
	if n >= uint32(len(rlimits))+4 {
		return 0, abi.EINVAL
	}
	if n >= uint32(len(rlimits)) {
		return -1, 0
	}
	return rlimits[n], 0
}

// Getrlimit serves getrlimit(2). Limits that the core does not have are infinite.
func Getrlimit(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	n, e := limitArg(c)
	if e != 0 {
		return 0, e
	}
	var b [16]byte
	for i := range 2 {
		v := uint64(infinity)
		if n >= 0 {
			l := c.Proc().Rlimits[n]
			v = min([2]uint64{l.Cur, l.Max}[i], infinity)
		}
		binary.LittleEndian.PutUint64(b[8*i:], v)
	}
	c.CopyOut(c.Args[1], b[:])
	return 0, 0
}

// Setrlimit serves setrlimit(2).
func Setrlimit(p *Personality, c *core.Call) (uint64, abi.Errno) {
	n, e := limitArg(c)
	if e != 0 {
		return 0, e
	}
	b, e := c.StructArg(1, 16)
	if e != 0 {
		return 0, e
	}
	if n < 0 {
		return 0, abi.EPERM
	}
	var l core.Rlimit
	for i, v := range []*uint64{&l.Cur, &l.Max} {
		if *v = binary.LittleEndian.Uint64(b[8*i:]); *v >= infinity {
			*v = core.RlimInfinity
		}
	}
	l.Cur = min(l.Cur, l.Max)
	old := c.Proc().Rlimits[n]
	if n == core.RlimitNofile && l.Max > old.Max && !c.Capable(core.CapSysResource) {
		return 0, abi.EPERM
	}
	if e := c.SetRlimit(c.ProcRef(), n, l); e != 0 {
		return 0, e
	}
	p.Limit(c, n)
	return 0, 0
}

// Limit implements core.Limiter.
func (p *Personality) Limit(c *core.Call, n int) {
	l := c.Proc().Rlimits[n].Cur
	if l == core.RlimInfinity {
		l = 0
	} else if l == 0 {
		l = 1
	}
	switch n {
	case core.RlimitAS:
		c.Act(abi.ActTask, 0, abi.TaskASLimit, l)
	case core.RlimitData:
		c.Act(abi.ActTask, 0, abi.TaskBrkLimit, l)
		c.Act(abi.ActTask, 0, abi.TaskDataLimit, l)
	case core.RlimitCPU:
		c.Act(abi.ActTask, 0, abi.TaskCPULimit, l)
	}
}

// Getrusage serves getrusage(2): of the process 0, its children -1, the thread 1.
func Getrusage(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	var u, s int64
	var rss uint64
	switch int32(c.Args[0]) {
	case 0, 1:
		r := *c.Proc()
		var hu, hs uint64
		var e abi.Errno
		c.Unlocked(func() { rss, hu, hs, e = c.K.Host.Usage(r.Task) })
		if e != 0 {
			rss, hu, hs = 0, 0, 0
		}
		u, s = r.UTime+int64(hu), r.STime+int64(hs)
	case -1:
		r := c.Proc()
		u, s = r.CUTime, r.CSTime
	default:
		return 0, abi.EINVAL
	}
	var b [144]byte
	putRusage(b[:], u, s, rss>>10)
	c.CopyOut(c.Args[1], b[:])
	return 0, 0
}

// prioTarget finds the processes of getpriority(2) and its like: PRIO_PROCESS 0,
// PRIO_PGRP 1, PRIO_USER 2.
func prioTarget(c *core.Call) ([]store.Ref[core.Proc], abi.Errno) {
	var all []store.Ref[core.Proc]
	id := int32(c.Args[1])
	switch int32(c.Args[0]) {
	case 0:
		if id == 0 {
			return append(all, c.ProcRef()), 0
		}
		if r := c.K.ProcByPid(id); r != 0 {
			all = append(all, r)
		}
	case 1:
		if id == 0 {
			id = c.Proc().Pgid
		}
		c.K.EachInPgrp(id, func(r store.Ref[core.Proc]) { all = append(all, r) })
	case 2:
		uid := uint32(id)
		if id == 0 {
			uid = c.Cred().UID
		}
		c.K.EachProc(func(r store.Ref[core.Proc], p *core.Proc) bool {
			if cr := c.K.Creds.Get(p.Cred); cr != nil && cr.UID == uid {
				all = append(all, r)
			}
			return true
		})
	default:
		return nil, abi.EINVAL
	}
	if len(all) == 0 {
		return nil, abi.ESRCH
	}
	return all, 0
}

// Getpriority serves getpriority(2).
func Getpriority(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	all, e := prioTarget(c)
	if e != 0 {
		return 0, e
	}
	best := int32(20)
	for _, r := range all {
		best = min(best, c.K.SchedOf(r).Nice)
	}
	return uint64(int64(best)), 0
}

// Setpriority serves setpriority(2), for all threads of the processes.
func Setpriority(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	all, e := prioTarget(c)
	if e != 0 {
		return 0, e
	}
	n := min(max(int32(c.Args[2]), -20), 19)
	type thread struct {
		t   store.Ref[core.Thread]
		gen uint32
	}
	var ts []thread
	for _, r := range all {
		if e := c.KillCheck(r, 0); e != 0 {
			return 0, e
		}
		if n < c.K.SchedOf(r).Nice && !c.Capable(core.CapSysNice) {
			return 0, abi.EACCES
		}
		for _, t := range c.K.ThreadsOf(r) {
			ts = append(ts, thread{t, c.K.Threads.Gen(t)})
		}
	}
	for _, x := range ts {
		th := c.K.Threads.Get(x.t)
		if th == nil || c.K.Threads.Gen(x.t) != x.gen || th.State != core.ThreadLive {
			continue // it ended while another was told
		}
		s := th.Sched
		s.Nice = n
		switch e := c.SetSched(x.t, s); e {
		case 0, abi.ESRCH:
		case abi.EPERM: // the host lets nobody of ours
			return 0, abi.EACCES
		default:
			return 0, e
		}
	}
	return 0, 0
}
