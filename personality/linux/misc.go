package linux

import (
	"encoding/binary"
	"strings"

	"hythe/abi"
	"hythe/personality/image"
	"hythe/server/unix/core"
	"hythe/store"
)

// Release is what uname answers as the system's release.
const Release = "6.12.0-hythe"

func miscCalls() []Entry {
	no := func(nr uint16, name string, e abi.Errno, why string) Entry {
		return Entry{Nr: nr, Name: name, Fn: refuse(e), Level: Refused, Note: e.Name() + ": " + why}
	}
	return []Entry{
		{Nr: 24, Name: "sched_yield", Fn: zero, Local: abi.LocalYield},
		{Nr: 63, Name: "uname", Fn: sysUname, Sig: "p"},
		{Nr: 97, Name: "getrlimit", Fn: sysGetrlimit, Sig: "LR"},
		{Nr: 99, Name: "sysinfo", Fn: sysSysinfo, Sig: "p"},
		{Nr: 135, Name: "personality", Fn: sysPersonality, Sig: "x"},
		{Nr: 140, Name: "getpriority", Fn: sysGetpriority, Sig: "ii"},
		{Nr: 141, Name: "setpriority", Fn: sysSetpriority, Sig: "iii", Level: Partial, Note: "below the machine's own nice value only where it is given that (--sched)"},
		{Nr: 142, Name: "sched_setparam", Fn: sysSchedSetparam, Sig: "ip"},
		{Nr: 143, Name: "sched_getparam", Fn: sysSchedGetparam, Sig: "ip"},
		{Nr: 144, Name: "sched_setscheduler", Fn: sysSchedSetscheduler, Sig: "iip", Level: Partial, Note: "fixed priorities and deadlines only where the machine is given them (--sched)"},
		{Nr: 145, Name: "sched_getscheduler", Fn: sysSchedGetscheduler, Sig: "i"},
		{Nr: 146, Name: "sched_get_priority_max", Fn: sysSchedMax, Sig: "i"},
		{Nr: 147, Name: "sched_get_priority_min", Fn: sysSchedMin, Sig: "i"},
		{Nr: 148, Name: "sched_rr_get_interval", Fn: sysSchedRR, Sig: "ip"},
		{Nr: 157, Name: "prctl", Fn: sysPrctl, Sig: "ixxxx", Level: Partial, Note: "the options that need no tracing or filter"},
		{Nr: 158, FS: true, Name: "arch_prctl", Fn: sysArchPrctl, Sig: "xp", Local: abi.LocalArchPrctl},
		{Nr: 160, Name: "setrlimit", Fn: sysSetrlimit, Sig: "Lr", Level: Partial, Note: "kept, but not enforced: RSS, RTTIME, MEMLOCK, LOCKS, MSGQUEUE; a program bent on it can lift AS, DATA and CPU for itself (--memory holds for all)", Pre: []abi.Pre{{Kind: abi.PreFixed, Arg: 1, Size: 16}}},
		{Nr: 170, Name: "sethostname", Fn: sysSethostname, Sig: "pu"},
		{Nr: 171, Name: "setdomainname", Fn: sysSetdomainname, Sig: "pu"},
		{Nr: 203, Name: "sched_setaffinity", Fn: sysSchedSetaffinity, Sig: "iup"},
		{Nr: 204, Name: "sched_getaffinity", Fn: sysSchedGetaffinity, Sig: "iup"},
		{Nr: 251, Name: "ioprio_set", Fn: zero, Level: Partial, Note: "noted nowhere"},
		{Nr: 252, Name: "ioprio_get", Fn: zero, Level: Partial, Note: "always none"},
		{Nr: 272, Name: "unshare", Fn: sysUnshare, Sig: "x", Level: Partial, Note: "new namespaces but those of users and mounts are EPERM; descriptors are unshared by all threads"},
		{Nr: 302, Name: "prlimit64", Fn: sysPrlimit, Local: abi.LocalLimit, Sig: "iLrR", Level: Partial, Note: "kept, but not enforced: RSS, RTTIME, MEMLOCK, LOCKS, MSGQUEUE; a program bent on it can lift AS, DATA and CPU for itself (--memory holds for all)", Pre: []abi.Pre{{Kind: abi.PreFixed, Arg: 2, Size: 16}}},
		{Nr: 308, Name: "setns", Fn: sysSetns, Level: Refused, Note: "EPERM: one set of namespaces", Sig: "fx"},
		{Nr: 309, Name: "getcpu", Fn: sysGetcpu, Sig: "ppp", Local: abi.LocalGetcpu},
		{Nr: 312, Name: "kcmp", Fn: sysKcmp, Sig: "iiixx"},
		{Nr: 314, Name: "sched_setattr", Fn: sysSchedSetattr, Sig: "ipx", Level: Partial, Note: "as sched_setscheduler; no bounds of utilization"},
		{Nr: 315, Name: "sched_getattr", Fn: sysSchedGetattr, Sig: "ipux"},
		{Nr: 318, Name: "getrandom", Fn: sysGetrandom, Local: abi.LocalRandom, Sig: "Buj"},

		no(101, "ptrace", abi.EPERM, "no tracing"),
		{Nr: 103, Name: "syslog", Fn: sysSyslog, Sig: "ipu", Level: Refused, Note: "EPERM: no kernel log"},
		no(153, "vhangup", abi.EPERM, "no real terminal"),
		no(155, "pivot_root", abi.EPERM, "mounts are the machine's"),
		no(163, "acct", abi.EPERM, "no accounting"),
		{Nr: 165, Name: "mount", Fn: sysMount, Sig: "ssspp", Level: Partial, Note: "only the propagation of mounts is set, of which there is none; else EPERM: mounts are the machine's"},
		no(166, "umount2", abi.EPERM, "mounts are the machine's"),
		no(167, "swapon", abi.EPERM, "no swap"),
		no(168, "swapoff", abi.EPERM, "no swap"),
		no(169, "reboot", abi.EPERM, "the machine ends with its first process"),
		no(172, "iopl", abi.EPERM, "no devices"),
		no(173, "ioperm", abi.EPERM, "no devices"),
		no(175, "init_module", abi.EPERM, "no modules"),
		no(176, "delete_module", abi.EPERM, "no modules"),
		no(246, "kexec_load", abi.EPERM, "no kernel"),
		no(298, "perf_event_open", abi.EACCES, "no counters"),
		no(310, "process_vm_readv", abi.EPERM, "no tracing"),
		no(311, "process_vm_writev", abi.EPERM, "no tracing"),
		no(313, "finit_module", abi.EPERM, "no modules"),
		no(317, "seccomp", abi.EINVAL, "no guest filters"),
		no(321, "bpf", abi.EPERM, "no programs in the server"),
		no(323, "userfaultfd", abi.EPERM, "memory objects have pagers: docs/nucleus.md"),
		{Nr: 334, Name: "rseq", Fn: noRseq, Local: abi.LocalNosys, Level: Refused, Sig: "puxx", Note: "ENOSYS: libraries do without"},
		no(425, "io_uring_setup", abi.EPERM, "switched off, as many systems do"),
		no(426, "io_uring_enter", abi.EPERM, "switched off"),
		no(427, "io_uring_register", abi.EPERM, "switched off"),
	}
}

func zero(p *Personality, c *core.Call) (uint64, abi.Errno) { return 0, 0 }

func cstr(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}

func sysUname(p *Personality, c *core.Call) (uint64, abi.Errno) {
	g := c.K.Globals()
	var b [6 * 65]byte
	for i, s := range []string{"Linux", cstr(g.Hostname[:]), Release, "#1 SMP PREEMPT_DYNAMIC", "x86_64", cstr(g.Domain[:])} {
		copy(b[65*i:65*i+64], s)
	}
	c.CopyOut(c.Args[0], b[:])
	return 0, 0
}

func setName(c *core.Call, dst func(*core.Globals) *[65]byte) (uint64, abi.Errno) {
	if !c.Capable(core.CapSysAdmin) {
		return 0, abi.EPERM
	}
	n := int32(c.Args[1])
	if n < 0 || n > 64 {
		return 0, abi.EINVAL
	}
	b, e := c.CopyIn(c.Args[0], int(n))
	if e != 0 {
		return 0, e
	}
	d := dst(c.K.MutGlobals())
	*d = [65]byte{}
	copy(d[:64], b)
	return 0, 0
}

func sysSethostname(p *Personality, c *core.Call) (uint64, abi.Errno) {
	return setName(c, func(g *core.Globals) *[65]byte { return &g.Hostname })
}

func sysSetdomainname(p *Personality, c *core.Call) (uint64, abi.Errno) {
	return setName(c, func(g *core.Globals) *[65]byte { return &g.Domain })
}

// sysSysinfo: struct sysinfo (include/uapi/linux/sysinfo.h), 112 bytes.
func sysSysinfo(p *Personality, c *core.Call) (uint64, abi.Errno) {
	k := c.K
	le := binary.LittleEndian
	var b [112]byte
	le.PutUint64(b[:], uint64(k.Clock.Mono()/1e9))
	u := k.Use()
	for i, l := range u.Load {
		le.PutUint64(b[8+8*i:], l)
	}
	le.PutUint64(b[32:], u.Total)
	le.PutUint64(b[40:], u.Free)
	le.PutUint64(b[56:], u.Buffers)
	n := 0
	k.EachProc(func(store.Ref[core.Proc], *core.Proc) bool { n++; return true })
	le.PutUint16(b[80:], uint16(min(n, 65535)))
	le.PutUint32(b[104:], 1)
	c.CopyOut(c.Args[0], b[:])
	return 0, 0
}

func rlimitOut(c *core.Call, addr uint64, l core.Rlimit) {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], l.Cur)
	binary.LittleEndian.PutUint64(b[8:], l.Max)
	c.CopyOut(addr, b[:])
}

func sysGetrlimit(p *Personality, c *core.Call) (uint64, abi.Errno) {
	n := uint32(c.Args[0])
	if n >= core.NumRlimits {
		return 0, abi.EINVAL
	}
	rlimitOut(c, c.Args[1], c.Proc().Rlimits[n])
	return 0, 0
}

// setLimit changes a limit and tells the library what it enforces itself.
func setLimit(p *Personality, c *core.Call, pr store.Ref[core.Proc], n uint32, b []byte) abi.Errno {
	l := core.Rlimit{Cur: binary.LittleEndian.Uint64(b), Max: binary.LittleEndian.Uint64(b[8:])}
	if e := c.SetRlimit(pr, int(n), l); e != 0 {
		return e
	}
	if pr == c.ProcRef() && c.Proc().VforkParent == 0 { // a child of vfork has its parent's task
		p.Limit(c, int(n))
	}
	return 0
}

// Limit implements core.Limiter. The stack counts as mapped, all of it, and on Linux
// as far as it was used; so it grows when its limit does, and keeps what it has.
func (p *Personality) Limit(c *core.Call, n int) {
	pr := c.Proc()
	cur := pr.Rlimits[n].Cur
	none := cur == core.RlimInfinity
	of := func(v uint64) uint64 {
		if none || v < cur {
			return 0
		}
		return max(v, 1)
	}
	switch n {
	case core.RlimitStack:
		low := pr.StackHigh - image.StackSize(pr)
		if pr.StackHigh == 0 || low >= pr.StackLow {
			return
		}
		size, prot := pr.StackLow-low, uint64(pr.StackProt)
		low, c.MutProc().StackLow = pr.StackLow, low
		for _, n := range [...]int{core.RlimitAS, core.RlimitData} {
			if pr.Rlimits[n].Cur != core.RlimInfinity {
				p.Limit(c, n)
			}
		}
		c.Act(abi.ActMapAnon, abi.ActIgnore, low-size, size, prot, mapPrivate|mapFixedNR|mapNoreserve)
	case core.RlimitAS:
		c.Act(abi.ActTask, 0, abi.TaskASLimit, of(cur+pr.StackHigh-pr.StackLow))
	case core.RlimitData:
		c.Act(abi.ActTask, 0, abi.TaskBrkLimit, of(cur))
		c.Act(abi.ActTask, 0, abi.TaskDataLimit, of(cur+pr.StackHigh-pr.StackLow))
	case core.RlimitCPU:
		v := uint64(0)
		if !none { // less what its tasks before the last execve have used
			v = max(cur-min(cur, uint64(pr.UTime+pr.STime)/1e9), 1)
		}
		c.Act(abi.ActTask, 0, abi.TaskCPULimit, v)
	}
}

func sysSetrlimit(p *Personality, c *core.Call) (uint64, abi.Errno) {
	n := uint32(c.Args[0])
	b, e := c.StructArg(1, 16)
	if e != 0 {
		return 0, e
	}
	if n >= core.NumRlimits {
		return 0, abi.EINVAL
	}
	return 0, setLimit(p, c, c.ProcRef(), n, b)
}

func sysPrlimit(p *Personality, c *core.Call) (uint64, abi.Errno) {
	n := uint32(c.Args[1])
	if n >= core.NumRlimits {
		return 0, abi.EINVAL
	}
	var in []byte
	if c.Args[2] != 0 {
		b, e := c.StructArg(2, 16)
		if e != 0 {
			return 0, e
		}
		in = b
	}
	pr := c.ProcRef()
	if pid := int32(c.Args[0]); pid != 0 {
		t := c.K.ThreadByTid(pid)
		if t == 0 {
			return 0, abi.ESRCH
		}
		if pr = c.K.Threads.Get(t).Proc; pr != c.ProcRef() && !mayLook(c, pr) && !c.Capable(core.CapSysResource) {
			return 0, abi.EPERM
		}
	}
	old := c.K.Procs.Get(pr).Rlimits[n]
	if in != nil {
		if e := setLimit(p, c, pr, n, in); e != 0 {
			return 0, e
		}
	}
	if c.Args[3] != 0 {
		rlimitOut(c, c.Args[3], old)
	}
	return 0, 0
}

func sysPersonality(p *Personality, c *core.Call) (uint64, abi.Errno) {
	old := c.Proc().Persona
	if v := uint32(c.Args[0]); v != 0xffffffff {
		c.MutProc().Persona = v
	}
	return uint64(old), 0
}

// whom lists the threads that getpriority and setpriority name. ESRCH: none; EINVAL.
func whom(c *core.Call, which, who int32) ([]store.Ref[core.Thread], abi.Errno) {
	k := c.K
	if which < 0 || which > 2 {
		return nil, abi.EINVAL
	}
	if which == 0 {
		if who == 0 {
			return []store.Ref[core.Thread]{c.T}, 0
		}
		if t := k.ThreadByTid(who); t != 0 {
			return []store.Ref[core.Thread]{t}, 0
		}
		return nil, abi.ESRCH
	}
	switch {
	case who == 0 && which == 1:
		who = c.Proc().Pgid
	case who == 0:
		who = int32(c.Cred().UID)
	case which == 2:
		id, ok := c.MapUID(uint32(who))
		if !ok {
			return nil, abi.EINVAL
		}
		who = int32(id)
	}
	var all []store.Ref[core.Thread]
	k.EachProc(func(pr store.Ref[core.Proc], r *core.Proc) bool {
		if r.State != core.ProcLive || which == 1 && r.Pgid != who {
			return true
		}
		for _, t := range k.ThreadsOf(pr) {
			if which == 1 || k.Creds.Get(k.Threads.Get(t).Cred).UID == uint32(who) {
				all = append(all, t)
			}
		}
		return true
	})
	if len(all) == 0 {
		return nil, abi.ESRCH
	}
	return all, 0
}

func sysGetpriority(p *Personality, c *core.Call) (uint64, abi.Errno) {
	all, e := whom(c, int32(c.Args[0]), int32(c.Args[1]))
	best := int32(20)
	for _, t := range all {
		best = min(best, c.K.Threads.Get(t).Nice)
	}
	return uint64(20 - best), e
}

func sysSetpriority(p *Personality, c *core.Call) (uint64, abi.Errno) {
	n := min(max(int32(c.Args[2]), -20), 19)
	all, e := whom(c, int32(c.Args[0]), int32(c.Args[1]))
	gens := make([]uint32, len(all))
	for i, t := range all {
		gens[i] = c.K.Threads.Gen(t)
	}
	for i, t := range all {
		th := c.K.Threads.Get(t)
		if th == nil || c.K.Threads.Gen(t) != gens[i] || th.State != core.ThreadLive {
			continue // it ended while another was told
		}
		s := th.Sched
		s.Nice = n
		switch {
		case !c.SchedOwner(t):
			e = abi.EPERM
		case !c.CanNice(t, n):
			e = abi.EACCES
		default:
			// Of fixed priority or by deadline it is only noted, for when it is not any more.
			if s.Fixed() || s.Policy == core.SchedDeadline {
				c.K.Threads.Mut(t).Nice = n
				break
			}
			switch x := c.SetSched(t, s); x {
			case 0:
			case abi.EPERM: // the host lets nobody of ours
				e = abi.EACCES
			default:
				e = x
			}
		}
	}
	return 0, e
}

// schedTarget answers the thread that a sched_ call is about.
func schedTarget(c *core.Call) (store.Ref[core.Thread], abi.Errno) {
	pid := int32(c.Args[0])
	if pid < 0 {
		return 0, abi.EINVAL
	}
	return schedThread(c)
}

// How sched_attr and sched_setscheduler say more than a policy (linux/sched.h).
const (
	schedResetOnFork = 0x40000000 // in a policy
	flagReset        = 0x01
	flagKeepPolicy   = 0x08
	flagKeepParams   = 0x10
	flagUtil         = 0x60
	flagsKnown       = 0x7f
	attrSize0        = 48 // SCHED_ATTR_SIZE_VER0
	attrSize         = 56
)

// setSched checks what is asked for as the host would (sched(7)) and has it done.
func setSched(c *core.Call, t store.Ref[core.Thread], s core.Sched) abi.Errno {
	switch s.Policy {
	case core.SchedOther, core.SchedBatch, core.SchedIdle:
		if s.Prio != 0 {
			return abi.EINVAL
		}
	case core.SchedFIFO, core.SchedRR:
		if s.Prio < 1 || s.Prio > 99 {
			return abi.EINVAL
		}
	case core.SchedDeadline:
		if s.Period == 0 {
			s.Period = s.Deadline
		}
		if s.Prio != 0 || s.Deadline == 0 || s.Runtime < 1024 || (s.Deadline|s.Period)>>63 != 0 || s.Runtime > s.Deadline || s.Deadline > s.Period {
			return abi.EINVAL
		}
	default:
		return abi.EINVAL
	}
	if s.Policy != core.SchedDeadline {
		s.Runtime, s.Deadline, s.Period = 0, 0, 0
	}
	was := c.K.Threads.Get(t).Sched
	limit := c.K.Procs.Get(c.K.Threads.Get(t).Proc).Rlimits[core.RlimitRtprio].Cur
	privileged := false
	switch {
	case s.Policy == core.SchedDeadline:
		privileged = true
	case s.Fixed():
		privileged = s.Policy != was.Policy && limit == 0 || s.Prio > was.Prio && uint64(s.Prio) > limit
	default:
		privileged = s.Nice < was.Nice && !c.CanNice(t, s.Nice)
	}
	if was.Policy == core.SchedIdle && s.Policy != core.SchedIdle && !c.Capable(core.CapSysNice) &&
		uint64(20-was.Nice) > c.K.Procs.Get(c.K.Threads.Get(t).Proc).Rlimits[core.RlimitNice].Cur {
		privileged = true
	}
	privileged = privileged || was.Reset != 0 && s.Reset == 0
	if privileged && !c.Capable(core.CapSysNice) || !c.SchedOwner(t) {
		return abi.EPERM
	}
	return c.SetSched(t, s)
}

func sysSchedSetscheduler(p *Personality, c *core.Call) (uint64, abi.Errno) {
	pol := uint32(c.Args[1])
	if int32(pol) < 0 || int32(c.Args[0]) < 0 || c.Args[2] == 0 {
		return 0, abi.EINVAL
	}
	b, e := c.CopyIn32(c.Args[2])
	if e != 0 {
		return 0, e
	}
	t, e := schedTarget(c)
	if e != 0 {
		return 0, e
	}
	s := core.Sched{Policy: pol &^ schedResetOnFork, Prio: b, Nice: c.K.Threads.Get(t).Nice}
	if pol&schedResetOnFork != 0 {
		s.Reset = 1
	}
	return 0, setSched(c, t, s)
}

func sysSchedSetparam(p *Personality, c *core.Call) (uint64, abi.Errno) {
	if c.Args[1] == 0 || int32(c.Args[0]) < 0 {
		return 0, abi.EINVAL
	}
	b, e := c.CopyIn32(c.Args[1])
	if e != 0 {
		return 0, e
	}
	t, e := schedTarget(c)
	if e != 0 {
		return 0, e
	}
	was := c.K.Threads.Get(t).Sched
	return 0, setSched(c, t, core.Sched{Policy: was.Policy, Prio: b, Nice: was.Nice, Reset: was.Reset})
}

func sysSchedGetparam(p *Personality, c *core.Call) (uint64, abi.Errno) {
	if c.Args[1] == 0 {
		return 0, abi.EINVAL
	}
	t, e := schedTarget(c)
	if e != 0 {
		return 0, e
	}
	c.CopyOut32(c.Args[1], c.K.Threads.Get(t).Prio)
	return 0, 0
}

func sysSchedGetscheduler(p *Personality, c *core.Call) (uint64, abi.Errno) {
	t, e := schedTarget(c)
	if e != 0 {
		return 0, e
	}
	s := c.K.Threads.Get(t).Sched
	if s.Reset != 0 {
		s.Policy |= schedResetOnFork
	}
	return uint64(s.Policy), 0
}

func schedPrio(c *core.Call, rt uint64) (uint64, abi.Errno) {
	switch int32(c.Args[0]) {
	case core.SchedFIFO, core.SchedRR:
		return rt, 0
	case core.SchedOther, core.SchedBatch, core.SchedIdle, core.SchedDeadline:
		return 0, 0
	}
	return 0, abi.EINVAL
}

func sysSchedMax(p *Personality, c *core.Call) (uint64, abi.Errno) { return schedPrio(c, 99) }
func sysSchedMin(p *Personality, c *core.Call) (uint64, abi.Errno) { return schedPrio(c, 1) }

func sysSchedRR(p *Personality, c *core.Call) (uint64, abi.Errno) {
	t, e := schedTarget(c)
	if e != 0 {
		return 0, e
	}
	slice := int64(4e6)
	switch c.K.Threads.Get(t).Policy {
	case core.SchedRR:
		slice = 100e6
	case core.SchedFIFO, core.SchedDeadline:
		slice = 0
	}
	var b [16]byte
	putTimespec(b[:], slice)
	c.CopyOut(c.Args[1], b[:])
	return 0, 0
}

// sysSchedSetattr: struct sched_attr: size 4, policy 4, flags 8, nice 4, priority 4,
// runtime 8, deadline 8, period 8, and two bounds of utilization
// (include/uapi/linux/sched/types.h).
func sysSchedSetattr(p *Personality, c *core.Call) (uint64, abi.Errno) {
	if c.Args[1] == 0 || int32(c.Args[0]) < 0 || c.Args[2] != 0 {
		return 0, abi.EINVAL
	}
	size, e := c.CopyIn32(c.Args[1])
	if e != 0 {
		return 0, e
	}
	if size == 0 {
		size = attrSize0
	}
	if size < attrSize0 || size > abi.PageSize {
		c.CopyOut32(c.Args[1], attrSize)
		return 0, abi.E2BIG
	}
	b, e := c.CopyIn(c.Args[1], int(size))
	if e != 0 {
		return 0, e
	}
	for _, x := range b[min(size, attrSize):] {
		if x != 0 {
			c.CopyOut32(c.Args[1], attrSize)
			return 0, abi.E2BIG
		}
	}
	le := binary.LittleEndian
	flags := le.Uint64(b[8:])
	s := core.Sched{Policy: le.Uint32(b[4:]), Nice: min(max(int32(le.Uint32(b[16:])), -20), 19), Prio: le.Uint32(b[20:]),
		Runtime: le.Uint64(b[24:]), Deadline: le.Uint64(b[32:]), Period: le.Uint64(b[40:])}
	if flags&flagUtil != 0 && size < attrSize || int32(s.Policy) < 0 {
		return 0, abi.EINVAL
	}
	t, e := schedTarget(c)
	if e != 0 {
		return 0, e
	}
	was := c.K.Threads.Get(t).Sched
	if flags&flagKeepParams != 0 {
		s.Nice, s.Prio, s.Runtime, s.Deadline, s.Period = was.Nice, was.Prio, was.Runtime, was.Deadline, was.Period
	}
	switch {
	case flags&^flagsKnown != 0:
		return 0, abi.EINVAL
	case flags&flagUtil != 0:
		return 0, abi.EOPNOTSUPP
	case flags&flagKeepPolicy != 0:
		s.Policy, s.Reset = was.Policy, was.Reset
	case flags&flagReset != 0:
		s.Reset = 1
	}
	if s.Fixed() || s.Policy == core.SchedDeadline {
		s.Nice = was.Nice
	}
	return 0, setSched(c, t, s)
}

func sysSchedGetattr(p *Personality, c *core.Call) (uint64, abi.Errno) {
	size := uint32(c.Args[2])
	if c.Args[1] == 0 || int32(c.Args[0]) < 0 || size < attrSize0 || size > abi.PageSize || c.Args[3] != 0 {
		return 0, abi.EINVAL
	}
	t, e := schedTarget(c)
	if e != 0 {
		return 0, e
	}
	s := c.K.Threads.Get(t).Sched
	b := make([]byte, size)
	le := binary.LittleEndian
	le.PutUint32(b[:], min(size, attrSize))
	le.PutUint32(b[4:], s.Policy)
	le.PutUint64(b[8:], uint64(s.Reset))
	switch {
	case s.Fixed():
		le.PutUint32(b[20:], s.Prio)
	case s.Policy == core.SchedDeadline:
		le.PutUint64(b[24:], s.Runtime)
		le.PutUint64(b[32:], s.Deadline)
		le.PutUint64(b[40:], s.Period)
	default:
		le.PutUint32(b[16:], uint32(s.Nice))
	}
	c.CopyOut(c.Args[1], b)
	return 0, 0
}

// schedThread is schedTarget for what each thread has for itself. ESRCH.
func schedThread(c *core.Call) (store.Ref[core.Thread], abi.Errno) {
	pid := int32(c.Args[0])
	if pid == 0 {
		return c.T, 0
	}
	if t := c.K.ThreadByTid(pid); t != 0 {
		return t, 0
	}
	return 0, abi.ESRCH
}

func sysSchedGetaffinity(p *Personality, c *core.Call) (uint64, abi.Errno) {
	all := c.K.CPUs()
	n := uint32(c.Args[1])
	if uint64(n)*8 < uint64(all.Top()) || n&7 != 0 {
		return 0, abi.EINVAL
	}
	t, e := schedThread(c)
	if e != 0 {
		return 0, e
	}
	cpus := c.K.CPUsOf(c.K.Threads.Get(t))
	b := make([]byte, 0, len(cpus)*8)
	for _, w := range cpus[:(all.Top()+63)/64] {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	c.CopyOut(c.Args[2], b)
	return uint64(len(b)), 0
}

func sysSchedSetaffinity(p *Personality, c *core.Call) (uint64, abi.Errno) {
	all := c.K.CPUs()
	words := (all.Top() + 63) / 64
	given, e := c.CopyIn(c.Args[2], min(int(uint32(c.Args[1])), 8*words))
	if e != 0 {
		return 0, e
	}
	b := make([]byte, 8*words)
	copy(b, given)
	var cpus core.CPUSet
	for i := range words {
		cpus[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	t, e := schedThread(c)
	if e != 0 {
		return 0, e
	}
	him := c.K.Creds.Get(c.K.Threads.Get(t).Cred)
	if c.Cred().EUID != him.EUID && c.Cred().EUID != him.UID && !c.Capable(core.CapSysNice) {
		return 0, abi.EPERM
	}
	return 0, c.SetCPUs(t, cpus)
}

// prTraceModule is Hythe's own option of prctl(2), for the engine of a module alone
// (cmd/hythe-wasi): the second argument is the address of a line for the tracer, the third
// how long it is.
const prTraceModule = 0x48797468

// Options of prctl (include/uapi/linux/prctl.h).
func sysPrctl(p *Personality, c *core.Call) (uint64, abi.Errno) {
	a := c.Args
	rest := a[2]|a[3]|a[4] == 0
	switch uint32(a[0]) {
	case 1: // SET_PDEATHSIG
		if a[1] >= core.NumSignals {
			return 0, abi.EINVAL
		}
		c.MutProc().PDeathSig = uint32(a[1])
	case 2: // GET_PDEATHSIG
		c.CopyOut32(a[1], c.Proc().PDeathSig)
	case 3: // GET_DUMPABLE
		return uint64(c.Proc().Dumpable), 0
	case 4: // SET_DUMPABLE
		if a[1] > 1 {
			return 0, abi.EINVAL
		}
		c.MutProc().Dumpable = uint32(a[1])
	case 7: // GET_KEEPCAPS
		if c.Cred().Securebits&core.SecKeepCaps != 0 {
			return 1, 0
		}
	case 8: // SET_KEEPCAPS
		if a[1] > 1 {
			return 0, abi.EINVAL
		}
		n := *c.Cred()
		if n.Securebits&(core.SecKeepCaps<<1) != 0 {
			return 0, abi.EPERM
		}
		n.Securebits = n.Securebits&^core.SecKeepCaps | uint32(a[1])*core.SecKeepCaps
		return 0, commit(c, &n)
	case 13: // GET_TIMING
	case 14: // SET_TIMING
		if a[1] != 0 {
			return 0, abi.EINVAL
		}
	case 15: // SET_NAME
		b, e := c.CopyInPart(a[1], 16)
		if e != 0 {
			return 0, e
		}
		name := cstr(b)
		core.SetComm(&c.MutThread().Comm, name)
		if c.Proc().Leader == c.T {
			core.SetComm(&c.MutProc().Comm, name)
		}
	case 16: // GET_NAME
		n := c.Thread().Comm
		c.CopyOut(a[1], n[:])
	case 21: // GET_SECCOMP
	case 22: // SET_SECCOMP
		return 0, abi.EINVAL
	case 23: // CAPBSET_READ
		if a[1] > core.CapLast {
			return 0, abi.EINVAL
		}
		return c.Cred().CapBound >> a[1] & 1, 0
	case 24: // CAPBSET_DROP
		if !c.NsCapable(core.CapSetpcap) {
			return 0, abi.EPERM
		}
		if a[1] > core.CapLast {
			return 0, abi.EINVAL
		}
		n := *c.Cred()
		n.CapBound &^= 1 << a[1]
		return 0, commit(c, &n)
	case 27: // GET_SECUREBITS
		return uint64(c.Cred().Securebits), 0
	case 28: // SET_SECUREBITS
		n := *c.Cred()
		old, v := n.Securebits, uint32(a[1])
		if !c.NsCapable(core.CapSetpcap) || v&^0xff != 0 || (old^v)&(old&core.SecureAllLocked>>1) != 0 || old&core.SecureAllLocked&^v != 0 {
			return 0, abi.EPERM
		}
		n.Securebits = v
		return 0, commit(c, &n)
	case 29: // SET_TIMERSLACK
		v := a[1]
		if int64(v) <= 0 {
			v = 50000
		}
		c.MutProc().TimerSlack = v
	case 30: // GET_TIMERSLACK
		return c.Proc().TimerSlack, 0
	case 33, 34: // MCE_KILL
		if uint32(a[0]) == 34 {
			return 2, 0
		}
	case 36: // SET_CHILD_SUBREAPER
		v := uint32(0)
		if a[1] != 0 {
			v = 1
		}
		c.MutProc().SubReaper = v
	case 37: // GET_CHILD_SUBREAPER
		c.CopyOut32(a[1], c.Proc().SubReaper)
	case 38: // SET_NO_NEW_PRIVS
		if a[1] != 1 || !rest {
			return 0, abi.EINVAL
		}
		c.MutProc().NoNewPrivs = 1
	case 39: // GET_NO_NEW_PRIVS
		if a[1] != 0 || !rest {
			return 0, abi.EINVAL
		}
		return uint64(c.Proc().NoNewPrivs), 0
	case 40: // GET_TID_ADDRESS
		c.CopyOut64(a[1], c.Thread().ClearTid)
	case 41: // SET_THP_DISABLE
	case 42: // GET_THP_DISABLE
	case 47: // CAP_AMBIENT
		return capAmbient(c)
	case 0x53564d41: // SET_VMA: names are accepted and not shown
	case 0x59616d61: // SET_PTRACER: nobody traces
	case prTraceModule:
		return 0, c.TraceModule(a[1], a[2])
	default:
		return 0, abi.EINVAL
	}
	return 0, 0
}

func capAmbient(c *core.Call) (uint64, abi.Errno) {
	a := c.Args
	if a[3]|a[4] != 0 {
		return 0, abi.EINVAL
	}
	n := *c.Cred()
	if a[1] == 4 { // CLEAR_ALL
		if a[2] != 0 {
			return 0, abi.EINVAL
		}
		n.CapAmb = 0
		return 0, commit(c, &n)
	}
	if a[2] > core.CapLast {
		return 0, abi.EINVAL
	}
	bit := uint64(1) << a[2]
	switch a[1] {
	case 1:
		return n.CapAmb >> a[2] & 1, 0
	case 2:
		if n.CapPerm&bit == 0 || n.CapInh&bit == 0 || n.Securebits&core.SecNoAmbRaise != 0 {
			return 0, abi.EPERM
		}
		n.CapAmb |= bit
	case 3:
		n.CapAmb &^= bit
	default:
		return 0, abi.EINVAL
	}
	return 0, commit(c, &n)
}

// sysArchPrctl serves what the library does not.
func sysArchPrctl(p *Personality, c *core.Call) (uint64, abi.Errno) {
	switch c.Args[0] {
	case 0x1002: // ARCH_SET_FS
		c.Act(abi.ActSetFS, 0, c.Args[1])
		return 0, 0
	case 0x1003: // ARCH_GET_FS
		c.CopyOut64(c.Args[1], c.Regs.FSBase)
		return 0, 0
	}
	return 0, abi.EINVAL
}

// Flags of mount (linux/mount.h).
const (
	msRemount     = 0x20
	msBind        = 0x1000
	msRec         = 0x4000
	msSilent      = 0x8000
	msPropagation = 0x1e0000 // unbindable, private, slave, shared
	msMagic       = 0xc0ed0000
	msMagicMask   = 0xffff0000
)

// sysMount sets how mounts propagate, which changes nothing where nobody mounts
// anything. Whoever gets a mount namespace of their own begins with that.
func sysMount(p *Personality, c *core.Call) (uint64, abi.Errno) {
	f := uint32(c.Args[3])
	if f&msMagicMask == msMagic {
		f &^= msMagicMask
	}
	path, e := c.PathArg(1)
	if e != 0 {
		return 0, e
	}
	s, e := c.StatAt(core.AtCwd, path, core.WalkFollow)
	switch {
	case e != 0:
		return 0, e
	case !c.NsCapable(core.CapSysAdmin), f&msPropagation == 0, f&(msRemount|msBind) != 0:
		return 0, abi.EPERM
	case f&^(msRec|msSilent|msPropagation) != 0, f&msPropagation&(f&msPropagation-1) != 0, !s.MountRoot:
		return 0, abi.EINVAL
	}
	return 0, 0
}

func sysUnshare(p *Personality, c *core.Call) (uint64, abi.Errno) {
	f := c.Args[0]
	const known = core.CloneThread | core.CloneFS | core.CloneNewNS | core.CloneSighand | core.CloneVM | core.CloneFiles | core.CloneSysvsem |
		core.CloneNewUTS | core.CloneNewIPC | core.CloneNewNet | core.CloneNewUser | core.CloneNewPID | core.CloneNewCgroup | core.CloneNewTime
	if f&^known != 0 {
		return 0, abi.EINVAL
	}
	if f&(core.CloneThread|core.CloneVM|core.CloneSighand) != 0 && c.Proc().Threads > 1 {
		return 0, abi.EINVAL
	}
	if f&^(core.CloneThread|core.CloneFS|core.CloneSighand|core.CloneVM|core.CloneFiles|core.CloneSysvsem|core.CloneNewUser|core.CloneNewNS) != 0 ||
		f&(core.CloneNewNS|core.CloneNewUser) == core.CloneNewNS && !c.NsCapable(core.CapSysAdmin) {
		return 0, abi.EPERM
	}
	if f&core.CloneNewNS != 0 {
		// Nobody mounts anything: a copy of the mounts is as good as the mounts.
		f |= core.CloneFS
	}
	if f&core.CloneNewUser != 0 {
		if e := c.UnshareUser(); e != 0 {
			return 0, e
		}
		f |= core.CloneFS
	}
	return 0, c.Unshare(f&core.CloneFiles != 0, f&core.CloneFS != 0)
}

func sysSetns(p *Personality, c *core.Call) (uint64, abi.Errno) {
	if _, _, e := c.File(int32(c.Args[0])); e != 0 {
		return 0, e
	}
	return 0, abi.EPERM
}

func sysGetcpu(p *Personality, c *core.Call) (uint64, abi.Errno) {
	for _, a := range c.Args[:2] {
		if a != 0 {
			c.CopyOut32(a, 0)
		}
	}
	return 0, 0
}

// sysKcmp orders by record number, which is as good as the addresses that
// Linux orders by.
func sysKcmp(p *Personality, c *core.Call) (uint64, abi.Errno) {
	k := c.K
	var r [2]*core.Proc
	for i := range r {
		t := k.ThreadByTid(int32(c.Args[i]))
		if t == 0 {
			return 0, abi.ESRCH
		}
		pr := k.Threads.Get(t).Proc
		if !mayLook(c, pr) {
			return 0, abi.EPERM
		}
		r[i] = k.Procs.Get(pr)
	}
	var v [2]uint64
	for i := range r {
		switch c.Args[2] {
		case 0:
			f, _, e := k.FDAt(r[i].FDs, int32(c.Args[3+i]))
			if e != 0 {
				return 0, abi.EBADF
			}
			v[i] = uint64(f)
		case 1:
			v[i] = uint64(r[i].Task)
		case 2:
			v[i] = uint64(r[i].FDs)
		case 3:
			v[i] = uint64(r[i].Fs)
		case 4:
			v[i] = uint64(r[i].Hand)
		case 5, 6:
			v[i] = uint64(r[i].Task)
		default:
			return 0, abi.EINVAL
		}
	}
	switch {
	case v[0] < v[1]:
		return 1, 0
	case v[0] > v[1]:
		return 2, 0
	}
	return 0, 0
}

func noRseq(*Personality, *core.Call) (uint64, abi.Errno) { return 0, abi.ENOSYS }

func sysGetrandom(p *Personality, c *core.Call) (uint64, abi.Errno) {
	if f := c.Args[2]; f&^7 != 0 || f&6 == 6 {
		return 0, abi.EINVAL
	}
	n := min(c.Args[1], 1<<25)
	for done := uint64(0); done < n; {
		if c.OutRoom() < 4096 && !c.Flush() {
			return done, 0
		}
		if c.OutFault() {
			return 0, abi.EFAULT
		}
		m := int(min(n-done, uint64(c.OutRoom())))
		c.K.Random(c.OutBuf(m))
		c.CountOutBuf(c.Args[0]+done, m)
		done += uint64(m)
	}
	return n, 0
}

func sysSyslog(p *Personality, c *core.Call) (uint64, abi.Errno) {
	if t := int32(c.Args[0]); t < 0 || t > 10 {
		return 0, abi.EINVAL
	}
	return 0, abi.EPERM
}
