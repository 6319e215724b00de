package core

import (
	"math/bits"

	"hythe/abi"
	"hythe/store"
)

// MaxCPUs is how many processors an affinity mask names.
const MaxCPUs = abi.MaxCPUs

// CPUSet is a set of processors: bit i%64 of word i/64 is number i.
type CPUSet [MaxCPUs / 64]uint64

// Has says whether number i is one.
func (s *CPUSet) Has(i int) bool { return s[i/64]>>(i%64)&1 != 0 }

// Len is how many there are.
func (s *CPUSet) Len() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// Top is the highest number, and one more.
func (s *CPUSet) Top() int {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] != 0 {
			return 64*i + bits.Len64(s[i])
		}
	}
	return 0
}

// And is what is in both.
func (s CPUSet) And(o CPUSet) CPUSet {
	for i := range s {
		s[i] &= o[i]
	}
	return s
}

// CPUs are the processors on which guests run: number 0 if nobody said.
func (k *Kernel) CPUs() CPUSet {
	if k.Config.CPUs == (CPUSet{}) {
		return CPUSet{1}
	}
	return k.Config.CPUs
}

// CPUsOf are those on which a thread runs.
func (k *Kernel) CPUsOf(th *Thread) CPUSet {
	all := k.CPUs()
	if s := th.CPUs.And(all); s != (CPUSet{}) {
		return s
	}
	return all
}

// Scheduling policies (linux/sched.h), as the records have them.
const (
	SchedOther    = 0
	SchedFIFO     = 1
	SchedRR       = 2
	SchedBatch    = 3
	SchedIdle     = 5
	SchedDeadline = 6
)

// Sched is how a thread is scheduled. The zero value is how all begin.
type Sched struct {
	Policy uint32
	Nice   int32
	Prio   uint32 // FIFO, RR
	Reset  uint32 // what it makes is OTHER
	// DEADLINE: ns.
	Runtime, Deadline, Period uint64
}

// Fixed says whether it is by fixed priority.
func (s *Sched) Fixed() bool { return s.Policy == SchedFIFO || s.Policy == SchedRR }

// Raised says whether it goes before who is scheduled as all are.
func (s *Sched) Raised() bool { return s.Fixed() || s.Policy == SchedDeadline || s.Nice < 0 }

// made is how what a thread makes is scheduled.
func (s Sched) made() Sched {
	if s.Reset != 0 {
		if s.Fixed() || s.Policy == SchedDeadline {
			s = Sched{}
		}
		s.Nice, s.Reset = max(s.Nice, 0), 0
	}
	return s
}

// makes says whether a thread can make another: a share by deadline is not shared.
func (s *Sched) makes() bool { return s.Policy != SchedDeadline || s.Reset != 0 }

// shown is the priority in /proc (proc(5), stat): of what is before all others below 0.
func (s *Sched) shown() int32 {
	switch {
	case s.Fixed():
		return -1 - int32(s.Prio)
	case s.Policy == SchedDeadline:
		return -101
	}
	return 20 + s.Nice
}

// telling answers what the host knows a thread by; false: the host is told later, with the
// first call of the thread, or of what it executes, because there is no such thread of the
// host's yet, or it is another's (a vfork child's).
func (k *Kernel) telling(t store.Ref[Thread]) (TaskID, uint64, bool) {
	th := k.Threads.Get(t)
	p := k.Procs.Get(th.Proc)
	tid := k.hostTID(t)
	return p.Task, tid, tid != 0 && p.VforkParent == 0 && p.Task != 0
}

// tell has ask tell the host of a thread, and then, if that is well, set note it. ESRCH: it
// has ended meanwhile. It gives up the lock.
func (c *Call) tell(t store.Ref[Thread], ask func(TaskID, uint64) abi.Errno, set func(*Thread)) abi.Errno {
	k := c.K
	gen := k.Threads.Gen(t)
	task, tid, now := k.telling(t)
	rt := k.threadRT(t)
	if now {
		var e abi.Errno
		rt.told.begin()
		c.Unlocked(func() { e = ask(task, tid) })
		if e != 0 {
			c.toldAgain(t, gen, rt.told.end())
			return e
		}
	}
	th := k.Threads.Get(t)
	if th == nil || k.Threads.Gen(t) != gen || th.State != ThreadLive {
		return abi.ESRCH
	}
	m := k.Threads.Mut(t)
	set(m)
	if !now {
		m.StaleSched = 1
		if m.HostTID == 0 {
			k.poke(t) // a child that runs and has not called yet does so
		}
		return 0
	}
	c.toldAgain(t, gen, rt.told.end())
	return 0
}

// told says who is telling the host of a thread. What two say at a time comes there in any
// order: the last of them to be done says it once more, as it has been noted.
type told struct {
	now   int
	mixed bool
}

func (x *told) begin() {
	x.mixed = x.mixed || x.now > 0
	x.now++
}

// end answers whether it has to be said again.
func (x *told) end() bool {
	x.now--
	again := x.now == 0 && x.mixed
	if again {
		x.mixed = false
	}
	return again
}

// toldAgain tells the host of a thread what was noted, until nobody else has told it
// meanwhile. It gives up the lock.
func (c *Call) toldAgain(t store.Ref[Thread], gen uint32, again bool) {
	k := c.K
	for again {
		th := k.Threads.Get(t)
		if th == nil || k.Threads.Gen(t) != gen || th.State != ThreadLive {
			return
		}
		task, tid, now := k.telling(t)
		if !now {
			return
		}
		cpus, s, rt := th.CPUs, th.Sched, k.threadRT(t)
		rt.told.begin()
		c.Unlocked(func() {
			if cpus != (CPUSet{}) {
				_ = k.Host.Assign(task, tid, cpus)
			}
			if s != (Sched{}) {
				_ = k.Host.Schedule(task, tid, s)
			}
		})
		again = rt.told.end()
	}
}

// SetCPUs lets a thread run on these processors. EINVAL: none of them is the machine's;
// tell's. It gives up the lock.
func (c *Call) SetCPUs(t store.Ref[Thread], s CPUSet) abi.Errno {
	if s = s.And(c.K.CPUs()); s == (CPUSet{}) {
		return abi.EINVAL
	}
	return c.tell(t, func(task TaskID, tid uint64) abi.Errno { return c.K.Host.Assign(task, tid, s) },
		func(m *Thread) { m.CPUs = s })
}

// SetSched has a thread scheduled so. EPERM: the machine was not given so much, or the host
// refuses it; EBUSY: it has no such share left; tell's. It gives up the lock.
func (c *Call) SetSched(t store.Ref[Thread], s Sched) abi.Errno {
	if c.K.Threads.Get(t).Sched == s {
		return 0
	}
	return c.tell(t, func(task TaskID, tid uint64) abi.Errno { return c.K.Host.Schedule(task, tid, s) },
		func(m *Thread) { m.Sched = s })
}

// CanNice says whether a thread may be given a nice value, by the limits of its process and
// the caller's capabilities.
func (c *Call) CanNice(t store.Ref[Thread], nice int32) bool {
	th := c.K.Threads.Get(t)
	return nice >= th.Nice || uint64(20-nice) <= c.K.Procs.Get(th.Proc).Rlimits[RlimitNice].Cur || c.Capable(CapSysNice)
}

// SchedOwner says whether the caller may say how a thread is scheduled.
func (c *Call) SchedOwner(t store.Ref[Thread]) bool {
	him, me := c.K.Creds.Get(c.K.Threads.Get(t).Cred), c.Cred()
	return me.EUID == him.EUID || me.EUID == him.UID || c.Capable(CapSysNice)
}

// SchedOf is how a process is scheduled: as its first thread, or else any.
func (k *Kernel) SchedOf(p store.Ref[Proc]) Sched {
	t := k.Procs.Get(p).Leader
	if t == 0 {
		if l := k.ThreadsOf(p); len(l) > 0 {
			t = l[0]
		}
	}
	if th := k.Threads.Get(t); t != 0 && th != nil {
		return th.Sched
	}
	return Sched{}
}

// settleSched tells the host how the calling thread is scheduled, if it does not know yet.
// A host that refuses what the thread had before it executed a program leaves it as it is.
func (c *Call) settleSched() {
	th := c.Thread()
	if th.StaleSched == 0 {
		return
	}
	if _, _, now := c.K.telling(c.T); !now {
		return
	}
	c.MutThread().StaleSched = 0
	c.toldAgain(c.T, c.K.Threads.Gen(c.T), true)
}

// TaskThreads is how many threads each task has: what the host is to count after a
// recovery.
func (k *Kernel) TaskThreads() map[TaskID]int {
	n := map[TaskID]int{}
	for id, ts := range k.tasks {
		for _, t := range ts.slots {
			if th := k.Threads.Get(t); !ts.dead && th != nil && th.State != ThreadDead {
				n[id]++
			}
		}
	}
	return n
}

// EachRaised calls f for each thread that goes before others and of which the host knows: it
// is to be told again after a recovery.
func (k *Kernel) EachRaised(f func(task TaskID, hostTID uint64, s Sched)) {
	k.Threads.Each(func(t store.Ref[Thread], th *Thread) bool {
		if th.State == ThreadLive && th.Raised() {
			if task, tid, now := k.telling(t); now {
				f(task, tid, th.Sched)
			}
		}
		return true
	})
}
