package linux

import (
	"hythe/abi"
	"hythe/server/unix/core"
)

// Descriptors that tell of events: epoll, eventfd, timerfd, signalfd, inotify.

func eventCalls() []Entry {
	return []Entry{
		{Nr: 213, Name: "epoll_create", Fn: sysEpollCreate, Sig: "d"},
		{Nr: 291, Name: "epoll_create1", Fn: sysEpollCreate1, Sig: "O"},
		{Nr: 232, Name: "epoll_wait", Fn: sysEpollWait, Local: abi.LocalEpoll, Sig: "fpdd"},
		{Nr: 233, Name: "epoll_ctl", Fn: sysEpollCtl, Local: abi.LocalEpollCtl, Sig: "fEfe", Pre: []abi.Pre{{Kind: abi.PreFixed, Arg: 3, Size: 12}}},
		{Nr: 281, Name: "epoll_pwait", Fn: sysEpollPwait, Local: abi.LocalEpollMask, Sig: "fpddpu"},
		{Nr: 441, Name: "epoll_pwait2", Fn: sysEpollPwait2, Sig: "fpdppu"},
		{Nr: 284, Name: "eventfd", Fn: sysEventfd, Sig: "u"},
		{Nr: 290, Name: "eventfd2", Fn: sysEventfd2, Sig: "uO"},
		{Nr: 283, Name: "timerfd_create", Fn: sysTimerfdCreate, Sig: "cO"},
		{Nr: 286, Name: "timerfd_settime", Fn: sysTimerfdSettime, Sig: "fxpp"},
		{Nr: 287, Name: "timerfd_gettime", Fn: sysTimerfdGettime, Sig: "fp"},
		{Nr: 282, Name: "signalfd", Fn: sysSignalfd, Sig: "fpu"},
		{Nr: 289, Name: "signalfd4", Fn: sysSignalfd4, Sig: "fpux"},
		{Nr: 253, Name: "inotify_init", Fn: sysInotifyInit},
		{Nr: 294, Name: "inotify_init1", Fn: sysInotifyInit1, Sig: "O"},
		{Nr: 254, Name: "inotify_add_watch", Fn: sysInotifyAdd, Sig: "fsx", Pre: []abi.Pre{{Kind: abi.PreStr, Arg: 1}}},
		{Nr: 255, Name: "inotify_rm_watch", Fn: sysInotifyRm, Sig: "fd"},
	}
}

func sysEpollCreate(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	if int32(c.Args[0]) <= 0 {
		return 0, abi.EINVAL
	}
	fd, e := c.NewEpoll(0)
	return uint64(uint32(fd)), e
}

func sysEpollCreate1(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	flags := uint64(uint32(c.Args[0]))
	if flags&^oCloexec != 0 {
		return 0, abi.EINVAL
	}
	var fdf uint32
	if flags != 0 {
		fdf = core.FDCloexec
	}
	fd, e := c.NewEpoll(fdf)
	return uint64(uint32(fd)), e
}

// sysEpollCtl decodes the packed struct epoll_event: u32 events, u64 data.
func sysEpollCtl(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	var ev uint32
	var data uint64
	op := fdArg(c, 1)
	if op != core.EpollDel {
		b, e := c.StructArg(3, 12)
		if e != 0 {
			return 0, e
		}
		ev, data = le.Uint32(b), le.Uint64(b[4:])
	}
	e := c.EpollCtl(fdArg(c, 0), op, fdArg(c, 2), ev, data)
	if e == abi.EPERM {
		c.ToldOpen(fdArg(c, 0))
	}
	return 0, e
}

func epollWait(c *core.Call, ns int64) (uint64, abi.Errno) {
	n := fdArg(c, 2)
	if n <= 0 || n > 1<<31/12 {
		return 0, abi.EINVAL
	}
	if e := c.IsEpoll(fdArg(c, 0)); e != 0 {
		return 0, e
	}
	var buf [32]core.EpollEvent
	ev := buf[:]
	if n > 32 {
		ev = make([]core.EpollEvent, max(32, min(int(n), c.EpollItems(fdArg(c, 0)))))
	}
	got, e := c.EpollWait(fdArg(c, 0), ev[:min(int(n), len(ev))], deadline(c, ns))
	if e != 0 {
		return 0, e
	}
	var out [12 * 32]byte
	for i := 0; i < got; {
		m := min(got-i, 32)
		for j := range m {
			le.PutUint32(out[12*j:], ev[i+j].Events)
			le.PutUint64(out[12*j+4:], ev[i+j].Data)
		}
		c.CopyOut(c.Args[1]+uint64(12*i), out[:12*m])
		i += m
	}
	return uint64(got), 0
}

func msArg(c *core.Call, i int) int64 {
	if ms := fdArg(c, i); ms >= 0 {
		return int64(ms) * 1e6
	}
	return -1
}

// restArg is msArg without what the library has waited for already (abi.Slot.Done).
func restArg(c *core.Call, i int) int64 {
	if ns := msArg(c, i); ns >= 0 {
		return max(ns-int64(c.Done)*1e6, 0)
	}
	return -1
}

func sysEpollWait(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return epollWait(c, restArg(c, 3))
}

func sysEpollPwait(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return epollPwait(c, restArg(c, 3))
}

func sysEpollPwait2(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	ns, e := timespecArg(c, c.Args[3])
	if e != 0 {
		return 0, e
	}
	return epollPwait(c, ns)
}

func epollPwait(c *core.Call, ns int64) (uint64, abi.Errno) {
	set, ok, e := sigsetArg(c, c.Args[4], c.Args[5])
	if e != 0 {
		return 0, e
	}
	if ok {
		c.WithMask(set)
	}
	return epollWait(c, ns)
}

func sysEventfd(_ *Personality, c *core.Call) (uint64, abi.Errno) { return eventfd(c, 0) }

func sysEventfd2(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return eventfd(c, uint64(uint32(c.Args[1])))
}

func eventfd(c *core.Call, flags uint64) (uint64, abi.Errno) {
	if flags&^(1|oNonblock|oCloexec) != 0 { // EFD_SEMAPHORE is 1
		return 0, abi.EINVAL
	}
	fd, e := c.NewEventFD(uint64(uint32(c.Args[0])), flags&1 != 0, fdFlags(flags))
	return uint64(uint32(fd)), e
}

func sysTimerfdCreate(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	flags := uint64(uint32(c.Args[1]))
	if flags&^(oNonblock|oCloexec) != 0 {
		return 0, abi.EINVAL
	}
	switch clock := uint32(c.Args[0]); clock {
	case clockRealA, clockBootA:
		if !c.Capable(35) { // CAP_WAKE_ALARM
			return 0, abi.EPERM
		}
		fallthrough
	case clockRealtime, clockMono, clockBoot:
		fd, e := c.NewTimerFD(clock, fdFlags(flags))
		return uint64(uint32(fd)), e
	}
	return 0, abi.EINVAL
}

// nsOf decodes a timespec as ns; false: it is not normal.
func nsOf(b []byte) (int64, bool) {
	sec, ns := int64(le.Uint64(b)), int64(le.Uint64(b[8:]))
	if sec < 0 || ns < 0 || ns >= 1e9 {
		return 0, false
	}
	if sec > 1<<33 {
		return 1 << 62, true
	}
	return sec*1e9 + ns, true
}

func putItimer(c *core.Call, addr uint64, value, interval int64) {
	var b [32]byte
	le.PutUint64(b[0:], uint64(interval/1e9))
	le.PutUint64(b[8:], uint64(interval%1e9))
	le.PutUint64(b[16:], uint64(value/1e9))
	le.PutUint64(b[24:], uint64(value%1e9))
	c.CopyOut(addr, b[:])
}

// sysTimerfdSettime decodes struct itimerspec: interval, then value.
func sysTimerfdSettime(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	b, e := c.CopyIn(c.Args[2], 32)
	if e != 0 {
		return 0, e
	}
	interval, ok1 := nsOf(b)
	value, ok2 := nsOf(b[16:])
	flags := uint32(c.Args[1])
	if flags&^3 != 0 || !ok1 || !ok2 {
		return 0, abi.EINVAL
	}
	r, e := c.TimerFile(fdArg(c, 0))
	if e != 0 {
		return 0, e
	}
	oldLeft, oldInterval := c.K.GetTimer(r)
	next := value
	if value != 0 {
		now := c.K.Clock.Mono()
		switch clock := c.K.TimerFDs.Get(r).Clock; {
		case flags&1 == 0: // relative
			next = now + value
		case clock == clockRealtime || clock == clockRealA:
			next = max(value-c.K.Clock.Real()+now, 1)
		}
		if next < 0 {
			next = 1<<63 - 1
		}
	}
	c.K.SetTimer(r, next, interval)
	if c.Args[3] != 0 {
		putItimer(c, c.Args[3], oldLeft, oldInterval)
	}
	return 0, 0
}

func sysTimerfdGettime(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	r, e := c.TimerFile(fdArg(c, 0))
	if e != 0 {
		return 0, e
	}
	left, interval := c.K.GetTimer(r)
	putItimer(c, c.Args[1], left, interval)
	return 0, 0
}

func sysSignalfd(_ *Personality, c *core.Call) (uint64, abi.Errno) { return signalfd(c, 0) }

func sysSignalfd4(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return signalfd(c, uint64(uint32(c.Args[3])))
}

func signalfd(c *core.Call, flags uint64) (uint64, abi.Errno) {
	if c.Args[2] != 8 {
		return 0, abi.EINVAL
	}
	v, e := c.CopyIn64(c.Args[1])
	if e != 0 {
		return 0, e
	}
	if flags&^(oNonblock|oCloexec) != 0 {
		return 0, abi.EINVAL
	}
	fd := fdArg(c, 0)
	if fd != -1 {
		return uint64(uint32(fd)), c.SetSignalFD(fd, core.SigSet(v))
	}
	fd, e = c.NewSignalFD(core.SigSet(v), fdFlags(flags))
	return uint64(uint32(fd)), e
}

func sysInotifyInit(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	fd, e := c.NewInotify(0)
	return uint64(uint32(fd)), e
}

func sysInotifyInit1(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	flags := uint64(uint32(c.Args[0]))
	if flags&^(oNonblock|oCloexec) != 0 {
		return 0, abi.EINVAL
	}
	fd, e := c.NewInotify(fdFlags(flags))
	return uint64(uint32(fd)), e
}

// Flags of inotify_add_watch that concern the walk (linux/inotify.h).
const (
	inOnlydir    = 0x01000000
	inDontFollow = 0x02000000
	inMaskCreate = 0x10000000
	inMaskAdd    = 0x20000000
	inKnown      = 0xfff | inOnlydir | inDontFollow | 0x04000000 | inMaskCreate | inMaskAdd | 0x40000000 | 0x80000000 | 0xe000
)

func sysInotifyAdd(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	mask := uint32(c.Args[2])
	if mask&inKnown == 0 {
		return 0, abi.EINVAL
	}
	if _, file, e := c.File(fdArg(c, 0)); e != 0 {
		return 0, e
	} else if file.Kind != core.FileInotify || mask&(inMaskAdd|inMaskCreate) == inMaskAdd|inMaskCreate {
		return 0, abi.EINVAL
	}
	path, e := c.PathArg(1)
	if e != 0 {
		return 0, e
	}
	var walk uint32
	if mask&inDontFollow == 0 {
		walk |= core.WalkFollow
	}
	if mask&inOnlydir != 0 {
		walk |= core.WalkDir
	}
	wd, e := c.InotifyAdd(fdArg(c, 0), path, walk, mask&^(inOnlydir|inDontFollow))
	return uint64(uint32(wd)), e
}

func sysInotifyRm(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return 0, c.InotifyRemove(fdArg(c, 0), fdArg(c, 1))
}
