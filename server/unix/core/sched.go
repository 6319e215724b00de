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

// telling answers what the host knows a thread by; false: the host is told later, with the
// first call of the thread, or of what it executes, because there is no such thread of the
// host's yet, or it is another's (a vfork child's).
func (k *Kernel) telling(t store.Ref[Thread]) (TaskID, uint64, bool) {
	th := k.Threads.Get(t)
	p := k.Procs.Get(th.Proc)
	return p.Task, th.HostTID, th.HostTID != 0 && p.VforkParent == 0 && p.Task != 0
}

// SetCPUs lets a thread run on these processors. EINVAL: none of them is the machine's;
// ESRCH: it has ended meanwhile. It gives up the lock.
func (c *Call) SetCPUs(t store.Ref[Thread], s CPUSet) abi.Errno {
	k := c.K
	if s = s.And(k.CPUs()); s == (CPUSet{}) {
		return abi.EINVAL
	}
	gen := k.Threads.Gen(t)
	task, tid, now := k.telling(t)
	if now {
		var e abi.Errno
		c.Unlocked(func() { e = k.Host.Assign(task, tid, s) })
		if e != 0 {
			return e
		}
	}
	th := k.Threads.Get(t)
	if th == nil || k.Threads.Gen(t) != gen || th.State != ThreadLive {
		return abi.ESRCH
	}
	m := k.Threads.Mut(t)
	m.CPUs = s
	if !now {
		m.StaleSched = 1
	}
	return 0
}

// settleSched tells the host how the calling thread is scheduled, if it does not know yet.
// A host that refuses what the thread had before it executed a program leaves it as it is.
func (c *Call) settleSched() {
	th := c.Thread()
	if th.StaleSched == 0 {
		return
	}
	c.MutThread().StaleSched = 0
	task, tid, now := c.K.telling(c.T)
	if !now {
		return
	}
	s := th.CPUs
	c.Unlocked(func() {
		if s != (CPUSet{}) {
			_ = c.K.Host.Assign(task, tid, s)
		}
	})
}
