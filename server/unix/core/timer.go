package core

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/store"
)

// PosixTimer is a timer of timer_create(2).
type PosixTimer struct {
	Proc     store.Ref[Proc]
	ID       int32
	Clock    int32
	Notify   int32 // Sigev...
	Sig      int32
	Tid      int32 // SIGEV_THREAD_ID
	Queued   uint32
	Overrun  int32 // of the last signal that was taken
	Missed   int32 // expirations since its signal was queued
	Value    uint64
	Next     int64 // ns of the monotonic clock, or of CPU; 0 not set
	Interval int64
	CPU      CPUClock
	RealBase uint32 // 1: absolute on the real-time clock
	_        uint32
}

// How a timer tells (sigevent's sigev_notify).
const (
	SigevSignal   = 0
	SigevNone     = 1
	SigevThreadID = 4
)

// Interval timers.
const (
	itimerReal = 0
	itimerVirt = 1
	itimerProf = 2
)

// SetITimer sets the real interval timer of the caller's process to first and interval
// in ns and answers what was left.
func (c *Call) SetITimer(first, interval int64, set bool) (left, every int64) {
	k := c.K
	p := c.ProcRef()
	now := k.Clock.Mono()
	old := k.Procs.Get(p).ITimers[itimerReal]
	if old.Next != 0 {
		left = max(old.Next-now, 1000)
	}
	every = old.Interval
	if !set {
		return left, every
	}
	t := ITimer{Interval: interval}
	if first > 0 {
		t.Next = addTime(now, first)
	}
	k.Procs.Mut(p).ITimers[itimerReal] = t
	k.armITimer(p)
	return left, every
}

func addTime(a, b int64) int64 {
	if b > 0 && a > NoDeadline-1-b {
		return NoDeadline - 1
	}
	return a + b
}

// armITimer makes the derived clock entry follow the record.
func (k *Kernel) armITimer(p store.Ref[Proc]) {
	rt := k.procRT(p)
	if rt.cancel != nil {
		rt.cancel()
		rt.cancel = nil
	}
	next := k.Procs.Get(p).ITimers[itimerReal].Next
	if next == 0 {
		return
	}
	gen := k.Procs.Gen(p)
	rt.cancel = k.Clock.After(next, func() {
		k.Enter()
		if r := k.Procs.Get(p); r != nil && k.Procs.Gen(p) == gen && r.State == ProcLive {
			k.itimerFired(p)
		}
		k.Leave()
	})
}

func (k *Kernel) itimerFired(p store.Ref[Proc]) {
	t := k.Procs.Get(p).ITimers[itimerReal]
	now := k.Clock.Mono()
	if t.Next == 0 || now < t.Next {
		return
	}
	m := &k.Procs.Mut(p).ITimers[itimerReal]
	m.Next = 0
	if t.Interval > 0 {
		m.Next = t.Next + (now-t.Next)/t.Interval*t.Interval + t.Interval
	}
	k.armITimer(p)
	k.SendSignal(p, &SigInfo{Sig: SIGALRM, Code: SiKernel})
}

// The virtual and the profiling timer are the host's, of the task. Execve, which makes
// another one, takes along what is left of them.

// HostITimer notes how the caller sets the virtual (1) or profiling (2) timer.
func (c *Call) HostITimer(which int, first, interval int64) {
	if c.Proc().VforkParent != 0 {
		return // its parent's task
	}
	if t := (ITimer{first, interval}); c.Proc().ITimers[which] != t {
		c.MutProc().ITimers[which] = t
	}
}

// hostITimers asks the library for the timers that the caller has set (gives up the
// lock). False: the task died.
func (c *Call) hostITimers() (t [3]ITimer, ok bool) {
	t = c.Proc().ITimers
	if c.Proc().VforkParent != 0 || t[itimerVirt].Next == 0 && t[itimerProf].Next == 0 {
		return t, true
	}
	if !c.Flush() {
		return t, false
	}
	b := c.OutBuf(2 * itimerSize)
	for i := range 2 {
		c.Act(abi.ActTimer, abi.ActIgnore, uint64(itimerVirt+i), abi.SlotOutOff+uint64(i*itimerSize), 0, 3)
	}
	if !c.Flush() {
		return t, false
	}
	for i := range 2 {
		if t[itimerVirt+i].Next != 0 {
			t[itimerVirt+i] = getITimer(b[i*itimerSize:])
		}
	}
	return t, true
}

// SetHostITimers adds the actions that set the timers that KindStart finds.
func (c *Call) SetHostITimers() {
	for i := itimerVirt; i <= itimerProf; i++ {
		t := c.Proc().ITimers[i]
		if t.Next == 0 {
			continue
		}
		if (c.OutRoom() < itimerSize || len(c.Acts) == abi.MaxActions) && !c.Flush() {
			return
		}
		putITimer(c.OutBuf(itimerSize), t)
		off := (c.outUsed + 7) &^ 7
		c.outUsed = off + itimerSize
		c.Act(abi.ActTimer, 0, uint64(i), abi.SlotOutOff+uint64(off), 0, 2)
	}
}

// itimerSize is the size of the host's struct itimerval (include/uapi/linux/time.h):
// interval and value, each of seconds and microseconds.
const itimerSize = 32

func putITimer(b []byte, t ITimer) {
	for i, v := range [...]int64{t.Interval / 1e9, t.Interval % 1e9 / 1e3, t.Next / 1e9, t.Next % 1e9 / 1e3} {
		binary.LittleEndian.PutUint64(b[8*i:], uint64(v))
	}
}

// getITimer reads what the guest can have changed: any times are good.
func getITimer(b []byte) ITimer {
	at := func(i int) int64 {
		sec, us := binary.LittleEndian.Uint64(b[8*i:]), binary.LittleEndian.Uint64(b[8*i+8:])
		return int64(min(sec, 9e9)*1e9 + min(us, 1e6-1)*1e3)
	}
	return ITimer{Next: at(2), Interval: at(0)}
}

// NewTimer makes a timer of the caller's process. EAGAIN when there are too many.
func (c *Call) NewTimer(t *PosixTimer) (int32, abi.Errno) {
	k := c.K
	p := c.ProcRef()
	r, m := k.PTimers.New()
	if r == 0 {
		return 0, abi.EAGAIN
	}
	*m = *t
	m.Proc = p
	pm := k.Procs.Mut(p)
	m.ID = int32(pm.TimerNext & 0x7fffffff)
	pm.TimerNext++
	rt := k.procRT(p)
	if rt.timers == nil {
		rt.timers = map[store.Ref[PosixTimer]]*timerArm{}
	}
	rt.timers[r] = nil
	return m.ID, 0
}

// TimerByID answers a timer of the caller's process, 0 if there is none.
func (c *Call) TimerByID(id int32) store.Ref[PosixTimer] {
	for r := range c.K.procRT(c.ProcRef()).timers {
		if c.K.PTimers.Get(r).ID == id {
			return r
		}
	}
	return 0
}

// SetTimer sets a timer to expire at next (in ns of its clock, which shows now: 0
// never) and then every interval ns; it answers what was left and the old interval.
func (c *Call) SetTimer(r store.Ref[PosixTimer], now, next, interval int64) (left, every int64) {
	k := c.K
	left, every = c.TimerLeft(r, now)
	m := k.PTimers.Mut(r)
	m.Next, m.Interval = next, interval
	m.Overrun, m.Missed = 0, 0
	if m.CPU.Proc != 0 && next != 0 && next <= now {
		k.timerFired(r, now)
	} else {
		k.armPosix(r, now)
	}
	return left, every
}

// TimerNow answers what a timer's clock shows: processor time, or the monotonic
// clock. It may give up the lock.
func (c *Call) TimerNow(r store.Ref[PosixTimer]) int64 {
	if t := c.K.PTimers.Get(r); t.CPU.Proc != 0 {
		now, _ := c.CPUTime(t.CPU)
		return now
	}
	return c.K.Clock.Mono()
}

// TimerLeft answers the ns until a timer's next expiration (0: not set), of its clock
// that shows now, and its interval.
func (c *Call) TimerLeft(r store.Ref[PosixTimer], now int64) (left, every int64) {
	t := c.K.PTimers.Get(r)
	if t.Next != 0 {
		left = max(t.Next-now, 1)
	}
	return left, t.Interval
}

// DropTimer removes a timer.
func (c *Call) DropTimer(r store.Ref[PosixTimer]) {
	c.K.freeTimer(c.ProcRef(), r)
}

func (k *Kernel) freeTimer(p store.Ref[Proc], r store.Ref[PosixTimer]) {
	rt := k.procRT(p)
	rt.timers[r].stop()
	delete(rt.timers, r)
	if k.PTimers.Get(r).Queued != 0 {
		k.forgetTimerSignal(p, r)
	}
	k.PTimers.Free(r)
}

// forgetTimerSignal detaches a queued signal from a timer that goes away.
func (k *Kernel) forgetTimerSignal(p store.Ref[Proc], r store.Ref[PosixTimer]) {
	walk := func(head uint32) {
		for e := store.Ref[SigEnt](head); e != 0; e = k.SigEnts.Get(e).Next {
			if k.SigEnts.Get(e).Who == r {
				k.SigEnts.Mut(e).Who = 0
			}
		}
	}
	walk(k.Procs.Get(p).SigQ)
	for _, t := range k.procRT(p).threads {
		walk(k.Threads.Get(t).SigQ)
	}
}

// dropTimers removes the POSIX timers (at exec), and with all the interval
// timers too (at the end).
func (k *Kernel) dropTimers(p store.Ref[Proc], all bool) {
	rt := k.procRT(p)
	for r := range rt.timers {
		k.freeTimer(p, r)
	}
	if !all {
		return
	}
	if rt.cancel != nil {
		rt.cancel()
		rt.cancel = nil
	}
	k.Procs.Mut(p).ITimers = [3]ITimer{}
}

// armPosix makes the derived part of a timer follow its record; its clock shows now.
func (k *Kernel) armPosix(r store.Ref[PosixTimer], now int64) {
	t := k.PTimers.Get(r)
	rt := k.procRT(t.Proc)
	if rt.timers == nil {
		rt.timers = map[store.Ref[PosixTimer]]*timerArm{}
	}
	rt.timers[r].stop()
	rt.timers[r] = nil
	if t.Next == 0 {
		return
	}
	a := &timerArm{}
	rt.timers[r] = a
	if t.CPU.Proc != 0 {
		k.watchCPU(r, a, now, -1, 0)
		return
	}
	a.cancel = k.Clock.After(t.Next, func() {
		k.Enter()
		if !a.off {
			k.timerFired(r, k.Clock.Mono())
		}
		k.Leave()
	})
}

// timerFired sees to a timer whose clock shows now.
func (k *Kernel) timerFired(r store.Ref[PosixTimer], now int64) {
	if n := k.PTimers.Get(r).Next; n == 0 || now < n {
		return
	}
	m := k.PTimers.Mut(r)
	times := int64(1)
	if m.Interval > 0 {
		times = (now-m.Next)/m.Interval + 1
		m.Next += times * m.Interval
	} else {
		m.Next = 0
	}
	k.armPosix(r, now)
	if m.Notify == SigevNone {
		return
	}
	if m.Queued != 0 {
		m.Missed = satAdd(m.Missed, times)
		return
	}
	m.Missed = satAdd(0, times-1)
	s := SigInfo{Sig: m.Sig, Code: SiTimer, Timer: m.ID, Value: m.Value}
	p := m.Proc
	t := store.Ref[Thread](0)
	if m.Notify == SigevThreadID {
		t = k.byTid[m.Tid]
		if t == 0 || k.Threads.Get(t).Proc != p {
			return
		}
	}
	m.Queued = 1
	k.send(p, t, &s, r)
	if !k.timerQueued(p, t, r) {
		k.PTimers.Mut(r).Queued = 0
	}
}

// timerQueued says whether the signal of a timer really waits in a queue (it
// is not when the process ignores it).
func (k *Kernel) timerQueued(p store.Ref[Proc], t store.Ref[Thread], r store.Ref[PosixTimer]) bool {
	head := k.Procs.Get(p).SigQ
	if t != 0 {
		head = k.Threads.Get(t).SigQ
	}
	for e := store.Ref[SigEnt](head); e != 0; e = k.SigEnts.Get(e).Next {
		if k.SigEnts.Get(e).Who == r {
			return true
		}
	}
	return false
}

func satAdd(a int32, b int64) int32 { return int32(min(int64(a)+b, 1<<31-1)) }

// timerTaken notes that a timer's signal was taken from its queue and answers
// the overrun count that goes with it.
func (k *Kernel) timerTaken(r store.Ref[PosixTimer]) int32 {
	m := k.PTimers.Mut(r)
	m.Queued = 0
	m.Overrun = m.Missed
	m.Missed = 0
	return m.Overrun
}
