package core

import (
	"hythe/abi"
	"hythe/store"
)

// TimerFD is a timer that is read (timerfd_create(2)). Expirations are counted
// from the clock when somebody looks: nothing changes when it expires.
type TimerFD struct {
	// Next is the first expiration not yet read, monotonic ns, 0: not set.
	Next, Interval int64
	Clock          uint32
}

type timerRT struct {
	q      WaitQueue
	cancel func()
	gen    uint64
}

// NewTimerFD makes a timer of a clock (the number is kept for timerfd_settime's
// absolute times) and a descriptor for it.
func (c *Call) NewTimerFD(clock uint32, flags uint32) (int32, abi.Errno) {
	r, t := c.K.TimerFDs.New()
	if r == 0 {
		return -1, abi.ENFILE
	}
	t.Clock = clock
	fd, e := c.fileOf(FileTimer, AccessRead|AccessWrite, flags&OpenNonblock, uint32(r), cloexec(flags))
	if e != 0 {
		c.K.TimerFDs.Free(r)
	}
	return fd, e
}

// TimerFile answers the timer of descriptor fd. EBADF, EINVAL.
func (c *Call) TimerFile(fd int32) (store.Ref[TimerFD], abi.Errno) {
	_, file, e := c.File(fd)
	if e != 0 {
		return 0, e
	}
	if file.Kind != FileTimer {
		return 0, abi.EINVAL
	}
	return store.Ref[TimerFD](file.Obj), 0
}

// armTimerFD has the queue woken at the next expiration.
func (k *Kernel) armTimerFD(r store.Ref[TimerFD]) {
	rt := k.io.timers.at(r)
	if rt.cancel != nil {
		rt.cancel()
		rt.cancel = nil
	}
	rt.gen++
	gen := rt.gen
	t := k.TimerFDs.Get(r)
	if t.Next == 0 {
		return
	}
	rt.cancel = k.Clock.After(t.Next, func() {
		k.Enter()
		if rt.gen == gen {
			rt.q.Wake(PollIn | PollRdNorm)
		}
		k.Leave()
	})
}

func (k *Kernel) recoverTimers() {
	k.TimerFDs.Each(func(r store.Ref[TimerFD], _ *TimerFD) bool {
		k.armTimerFD(r)
		return true
	})
}

// GetTimer answers the time until the next expiration (0: not set) and the
// interval, in ns.
func (k *Kernel) GetTimer(r store.Ref[TimerFD]) (left, interval int64) {
	t := k.TimerFDs.Get(r)
	if t.Next == 0 {
		return 0, t.Interval
	}
	now := k.Clock.Mono()
	left = t.Next - now
	if left <= 0 {
		if t.Interval == 0 {
			return 0, 0
		}
		left = t.Interval - (now-t.Next)%t.Interval
	}
	return left, t.Interval
}

// SetTimer sets the timer to expire first at the monotonic time next (0: never)
// and then every interval ns.
func (k *Kernel) SetTimer(r store.Ref[TimerFD], next, interval int64) {
	t := k.TimerFDs.Mut(r)
	t.Next, t.Interval = next, interval
	if next == 0 {
		t.Interval = 0
	}
	k.armTimerFD(r)
	k.io.timers.at(r).q.Wake(PollIn | PollRdNorm) // a sleeping reader looks at the new time
}

// ticks answers how often the timer has expired since it was read.
func (k *Kernel) ticks(t *TimerFD) uint64 {
	now := k.Clock.Mono()
	if t.Next == 0 || now < t.Next {
		return 0
	}
	if t.Interval == 0 {
		return 1
	}
	return uint64((now-t.Next)/t.Interval) + 1
}

type timerOps struct{ stillOps }

func (o timerOps) ref(f store.Ref[File]) store.Ref[TimerFD] {
	return store.Ref[TimerFD](o.K.Files.Get(f).Obj)
}

func (o timerOps) Read(c *Call, f store.Ref[File], buf []byte, off int64) (int, abi.Errno) {
	if off >= 0 {
		return 0, abi.ESPIPE
	}
	if len(buf) < 8 {
		return 0, abi.EINVAL
	}
	r := o.ref(f)
	for {
		if n := o.K.ticks(o.K.TimerFDs.Get(r)); n > 0 {
			t := o.K.TimerFDs.Mut(r)
			if t.Interval > 0 {
				t.Next += int64(n) * t.Interval
			} else {
				t.Next = 0
			}
			o.K.armTimerFD(r)
			putLE64(buf, n)
			return 8, 0
		}
		if o.K.nonblock(f) {
			return 0, abi.EAGAIN
		}
		if e := c.Sleep(NoDeadline, &o.K.io.timers.at(r).q); e != 0 {
			return 0, e
		}
	}
}

func (o timerOps) Poll(f store.Ref[File]) uint32 {
	if o.K.ticks(o.K.TimerFDs.Get(o.ref(f))) > 0 {
		return PollIn | PollRdNorm
	}
	return 0
}

func (o timerOps) Queue(f store.Ref[File]) *WaitQueue { return &o.K.io.timers.at(o.ref(f)).q }

func (o timerOps) Release(c *Call, f store.Ref[File]) {
	r := o.ref(f)
	rt := o.K.io.timers.at(r)
	if rt.cancel != nil {
		rt.cancel()
	}
	rt.gen++
	o.K.io.timers.drop(r)
	o.K.TimerFDs.Free(r)
}

func (o timerOps) LinkName(store.Ref[File]) string { return "anon_inode:[timerfd]" }
