package core

import (
	"hythe/abi"
	"hythe/store"
)

// CPUClock is the clock of the processor time of a process, or of one thread. The
// zero value is none.
type CPUClock struct {
	Proc          store.Ref[Proc]
	Thread        store.Ref[Thread] // 0: of all threads
	ProcGen, TGen uint32
	// Whole counts what the process used before it last executed a program: the
	// library, which answers for a process's own clock, does not know that.
	Whole uint32
}

// The server cannot ask to be told: it looks at a processor clock when the time can
// have passed at the earliest, and not more often than every cpuTick. While the clock
// stands still it looks at longer and longer intervals, up to cpuIdle, by which a timer
// may be late when the clock goes on.
const (
	cpuTick = 1e6
	cpuIdle = 64e6
)

// ProcClock is the clock of a process, ThreadClock of a thread.
func (c *Call) ProcClock(p store.Ref[Proc]) CPUClock {
	x := CPUClock{Proc: p, ProcGen: c.K.Procs.Gen(p)}
	if p != c.ProcRef() {
		x.Whole = 1
	}
	return x
}

// ThreadClock is the clock of a thread.
func (c *Call) ThreadClock(t store.Ref[Thread]) CPUClock {
	p := c.K.Threads.Get(t).Proc
	return CPUClock{Proc: p, ProcGen: c.K.Procs.Gen(p), Thread: t, TGen: c.K.Threads.Gen(t)}
}

// where answers at which task, and at which thread of it, the host is to be asked for
// a clock, and what is to be added. False when what it counts has ended.
func (k *Kernel) cpuWhere(x *CPUClock) (task TaskID, hostTID uint64, base int64, ok bool) {
	p := k.Procs.Get(x.Proc)
	if p == nil || k.Procs.Gen(x.Proc) != x.ProcGen {
		return 0, 0, 0, false
	}
	if x.Whole != 0 {
		base = p.UTime + p.STime
	}
	if x.Thread != 0 {
		t := k.Threads.Get(x.Thread)
		if t == nil || k.Threads.Gen(x.Thread) != x.TGen || t.State != ThreadLive {
			return 0, 0, 0, false
		}
		if hostTID = k.hostTID(x.Thread); hostTID == 0 {
			return 0, 0, 0, false
		}
	}
	return p.Task, hostTID, base, p.State == ProcLive || x.Whole != 0
}

// CPUTime reads a processor clock, in ns; EINVAL when what it counts has ended. It
// gives up the lock.
func (c *Call) CPUTime(x CPUClock) (int64, abi.Errno) {
	task, tid, used, ok := c.K.cpuWhere(&x)
	if !ok {
		return 0, abi.EINVAL
	}
	if task != 0 {
		var n uint64
		var e abi.Errno
		c.Unlocked(func() { n, e = c.K.Host.CPU(task, tid) })
		if e == 0 {
			used += int64(n)
		}
	}
	return used, 0
}

// cpuDelay says in how many ns a clock can have counted left ns more at the earliest.
func (k *Kernel) cpuDelay(x *CPUClock, left int64) int64 {
	n := int64(1)
	if p := k.Procs.Get(x.Proc); x.Thread == 0 && p != nil {
		n = max(1, int64(p.Threads))
		cpus := k.CPUs()
		n = min(n, int64(cpus.Len()))
	}
	return max(left/n, cpuTick)
}

// CPUSleep waits until a processor clock shows end. It answers what is left when a
// signal comes before (ErrRestart). EINVAL.
func (c *Call) CPUSleep(x CPUClock, end int64) (left int64, e abi.Errno) {
	last, pause := int64(-1), int64(cpuTick)
	for {
		used, e := c.CPUTime(x)
		if e != 0 {
			return 0, 0 // it will never come to that
		}
		if left = end - used; left <= 0 {
			return 0, 0
		}
		if pause *= 2; used != last {
			pause = cpuTick
		}
		last = used
		wait := max(c.K.cpuDelay(&x, left), min(pause, cpuIdle))
		if e := c.Sleep(addTime(c.K.Clock.Mono(), wait)); e != 0 && e != abi.ETIMEDOUT {
			return left, e
		}
	}
}

// timerArm is the derived part of a timer: what is to happen next. off: it was set
// anew or removed meanwhile.
type timerArm struct {
	cancel func()
	off    bool
}

func (a *timerArm) stop() {
	if a != nil {
		a.off = true
		if a.cancel != nil {
			a.cancel()
		}
	}
}

// watchCPU looks at the clock of a timer, which showed used, when it can have
// expired; before that look it showed last, and pause ns passed in between.
func (k *Kernel) watchCPU(r store.Ref[PosixTimer], a *timerArm, used, last, pause int64) {
	t := k.PTimers.Get(r)
	if pause *= 2; used != last {
		pause = cpuTick
	}
	pause = min(pause, cpuIdle)
	wait := max(k.cpuDelay(&t.CPU, t.Next-used), pause)
	a.cancel = k.Clock.After(addTime(k.Clock.Mono(), wait), func() {
		k.Enter()
		defer k.Leave()
		if a.off {
			return
		}
		task, tid, now, ok := k.cpuWhere(&k.PTimers.Get(r).CPU)
		if !ok {
			return
		}
		if task != 0 {
			k.Leave()
			n, e := k.Host.CPU(task, tid)
			k.Enter()
			if a.off {
				return
			}
			if e != 0 {
				now = used
			}
			now += int64(n)
		}
		if now >= k.PTimers.Get(r).Next {
			k.timerFired(r, now)
		} else {
			k.watchCPU(r, a, now, used, pause)
		}
	})
}
