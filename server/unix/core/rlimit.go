package core

import (
	"math/bits"

	"hythe/abi"
	"hythe/store"
)

// Rlimit numbers (asm-generic/resource.h).
const (
	RlimitCPU        = 0
	RlimitFsize      = 1
	RlimitData       = 2
	RlimitStack      = 3
	RlimitCore       = 4
	RlimitRSS        = 5
	RlimitNproc      = 6
	RlimitNofile     = 7
	RlimitMemlock    = 8
	RlimitAS         = 9
	RlimitLocks      = 10
	RlimitSigpending = 11
	RlimitMsgqueue   = 12
	RlimitNice       = 13
	RlimitRtprio     = 14
	RlimitRttime     = 15
	NumRlimits       = 16
)

// RlimInfinity is no limit.
const RlimInfinity = ^uint64(0)

// defaultRlimits are those of a fresh machine.
func defaultRlimits() [NumRlimits]Rlimit {
	var r [NumRlimits]Rlimit
	for i := range r {
		r[i] = Rlimit{RlimInfinity, RlimInfinity}
	}
	r[RlimitStack].Cur = 8 << 20
	r[RlimitCore].Cur = 0
	r[RlimitNproc] = Rlimit{32768, 32768}
	r[RlimitNofile] = Rlimit{1024, 1 << 20}
	r[RlimitMemlock] = Rlimit{8 << 20, 8 << 20}
	r[RlimitSigpending] = Rlimit{32768, 32768}
	r[RlimitMsgqueue] = Rlimit{819200, 819200}
	r[RlimitNice] = Rlimit{0, 0}
	r[RlimitRtprio] = Rlimit{0, 0}
	return r
}

// SetRlimit changes a limit of p on behalf of the caller: EINVAL for a soft
// limit above the hard one, EPERM for raising a hard limit without
// CAP_SYS_RESOURCE (or RLIMIT_NOFILE above the machine's bound).
func (c *Call) SetRlimit(p store.Ref[Proc], n int, l Rlimit) abi.Errno {
	if l.Cur > l.Max {
		return abi.EINVAL
	}
	k := c.K
	old := k.Procs.Get(p).Rlimits[n]
	if l.Max > old.Max && !c.Capable(CapSysResource) {
		return abi.EPERM
	}
	if n == RlimitNofile && l.Max > 1<<20 {
		return abi.EPERM
	}
	k.Procs.Mut(p).Rlimits[n] = l
	if n == RlimitNofile {
		k.takeBackClosesOf(k.Procs.Get(p).FDs)
		k.namesChanged() // Missing
	}
	if n == RlimitStack {
		k.tellStack(p)
	}
	if n == RlimitFsize {
		k.takeBackWrites(k.Procs.Get(p).Task)
	}
	if p != c.ProcRef() {
		k.limitChanged(p, n)
	}
	return 0
}

// tellStack lets the library of a process answer what its limit of the stack is, which each
// program asks for when it begins. While two processes are in one task it has to ask.
func (k *Kernel) tellStack(p store.Ref[Proc]) {
	r := k.Procs.Get(p)
	v := uint64(0)
	if l := r.Rlimits[RlimitStack]; l.Max == RlimInfinity && l.Cur != RlimInfinity && r.Flags&ProcVfork == 0 {
		v = l.Cur + 1
	}
	k.Host.Tell(r.Task, abi.ToldStack, v)
}

// limitChanged has the library of another process learn a limit that it keeps: at once
// if it runs, else before it runs on.
func (k *Kernel) limitChanged(p store.Ref[Proc], n int) {
	k.Procs.Mut(p).StaleLimits |= 1 << n
	for _, t := range k.procRT(p).threads {
		if k.threadRT(t).sleeping == nil {
			k.poke(t)
		}
	}
}

// Limiter is a Personality whose library keeps limits itself.
type Limiter interface {
	// Limit adds the actions that tell the caller's library limit n.
	Limit(c *Call, n int)
}

// tellLimits tells the caller's library the limits that others have changed.
func (c *Call) tellLimits() {
	r := c.Proc()
	p, ok := c.K.Personality(r.Personality).(Limiter)
	if r.StaleLimits == 0 || r.VforkParent != 0 || !ok {
		return
	}
	stale := r.StaleLimits
	c.MutProc().StaleLimits = 0
	for ; stale != 0; stale &= stale - 1 {
		p.Limit(c, bits.TrailingZeros32(stale))
	}
}

// hostClock are the virtual and the profiling timer at the host.
var hostClock = [3]struct {
	bit uint64
	sig int32
}{itimerVirt: {abi.PollVTAlrm, SIGVTALRM}, itimerProf: {abi.PollProf, SIGPROF}}

// hostClocks sees to the signals of the host's clocks that came to the caller's
// task (abi.PollXCPU...). A guest may forge them: for itself only.
func (k *Kernel) hostClocks(c *Call) {
	p := c.ProcRef()
	for i, s := range hostClock {
		if c.Args[1]&s.bit == 0 {
			continue
		}
		if t := c.Proc().ITimers[i]; t.Next != 0 && t.Interval == 0 {
			c.MutProc().ITimers[i].Next = 0
		}
		k.SendSignal(p, &SigInfo{Sig: s.sig, Code: SiKernel})
	}
	if c.Args[1]&abi.PollXCPU == 0 {
		return
	}
	var user, sys uint64
	var e abi.Errno
	task := c.Proc().Task
	c.Unlocked(func() { _, user, sys, e = k.Host.Usage(task) })
	r := c.Proc()
	if e != 0 || r.Exiting != 0 {
		return
	}
	used := (uint64(r.UTime+r.STime) + user + sys + 5e7) / 1e9 // the host's figures are of ticks
	switch l := r.Rlimits[RlimitCPU]; {
	case used >= l.Max:
		k.SendSignal(p, &SigInfo{Sig: SIGKILL, Code: SiKernel})
	case used >= l.Cur:
		k.SendSignal(p, &SigInfo{Sig: SIGXCPU, Code: SiKernel})
	}
}

// userProcs counts the threads of a real user id, and all of them. A zombie is
// one until it is reaped, as for Linux's RLIMIT_NPROC and pids controller.
func (k *Kernel) userProcs(uid uint32) (own, all int) {
	k.Procs.Each(func(_ store.Ref[Proc], r *Proc) bool {
		n := 1
		if r.State == ProcLive {
			n = int(r.Threads)
		}
		all += n
		if c := k.Creds.Get(r.Cred); c != nil && c.UID == uid {
			own += n
		}
		return true
	})
	return own, all
}

// checkNproc answers EAGAIN when one more thread would be above RLIMIT_NPROC
// or the machine's bound.
func (c *Call) checkNproc() abi.Errno {
	k := c.K
	lim := c.Proc().Rlimits[RlimitNproc].Cur
	if lim == RlimInfinity && k.Config.PidsLimit == 0 {
		return 0
	}
	// Counting is only needed near a bound.
	if n := uint64(k.Threads.Len() + k.Procs.Len() + k.proc.forking); n < lim && (k.Config.PidsLimit == 0 || n < uint64(k.Config.PidsLimit)) {
		return 0
	}
	own, all := k.userProcs(c.Cred().UID)
	all += k.proc.forking // forks that were let through and are no process yet
	if k.Config.PidsLimit != 0 && all >= int(k.Config.PidsLimit) {
		return abi.EAGAIN
	}
	if uint64(own) >= lim && c.Cred().UID != 0 && !c.Capable(CapSysResource) && !c.Capable(CapSysAdmin) {
		return abi.EAGAIN
	}
	return 0
}
