package linux

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/server/unix/core"
	"hythe/store"
)

// Clocks (include/uapi/linux/time.h).
const (
	clockRealtime = 0
	clockMono     = 1
	clockProcess  = 2
	clockThread   = 3
	clockMonoRaw  = 4
	clockRealC    = 5
	clockMonoC    = 6
	clockBoot     = 7
	clockRealA    = 8
	clockBootA    = 9
	clockTAI      = 11
	clockFD       = 3 // in a negative id: that of a descriptor, which none here is
	timerAbstime  = 1
)

func timeCalls() []Entry {
	ts := func(arg uint8) []abi.Pre { return []abi.Pre{{Kind: abi.PreFixed, Arg: arg, Size: 16}} }
	return []Entry{
		{Nr: 35, Name: "nanosleep", Fn: sysNanosleep, Sig: "tT", Pre: ts(0), Local: abi.LocalNanosleep},
		{Nr: 36, Name: "getitimer", Fn: sysGetitimer, Sig: "Yp"},
		{Nr: 37, Name: "alarm", Fn: sysAlarm, Sig: "u"},
		{Nr: 38, Name: "setitimer", Fn: sysSetitimer, Sig: "Ypp",
			Pre: []abi.Pre{{Kind: abi.PreFixed, Arg: 1, Size: 32}}},
		{Nr: 96, Name: "gettimeofday", Fn: sysGettimeofday, Sig: "pp"},
		{Nr: 98, Name: "getrusage", Fn: sysGetrusage, Sig: "ip", Level: Partial, Note: "times and resident size only"},
		{Nr: 100, Name: "times", Fn: sysTimes, Sig: "p"},
		{Nr: 159, Name: "adjtimex", Fn: sysAdjtimex, Sig: "p", Level: Partial, Note: "read only"},
		{Nr: 164, Name: "settimeofday", Fn: refuse(abi.EPERM), Level: Refused, Note: "EPERM: the clock is the host's", Sig: "pp"},
		{Nr: 201, Name: "time", Fn: sysTime, Sig: "p"},
		{Nr: 222, Name: "timer_create", Fn: sysTimerCreate, Sig: "cpp", Level: Partial, Note: "of a CPU-time clock that stood still the timer may be 64 ms late"},
		{Nr: 223, Name: "timer_settime", Fn: sysTimerSettime, Sig: "ixpp", Pre: []abi.Pre{{Kind: abi.PreFixed, Arg: 2, Size: 32}}},
		{Nr: 224, Name: "timer_gettime", Fn: sysTimerGettime, Sig: "ip"},
		{Nr: 225, Name: "timer_getoverrun", Fn: sysTimerGetoverrun, Sig: "i"},
		{Nr: 226, Name: "timer_delete", Fn: sysTimerDelete, Sig: "i"},
		{Nr: 227, Name: "clock_settime", Fn: sysClockSettime, Level: Refused, Note: "EPERM: the clock is the host's", Sig: "ct"},
		{Nr: 228, Name: "clock_gettime", Fn: sysClockGettime, Sig: "cT", Local: abi.LocalClock},
		{Nr: 229, Name: "clock_getres", Fn: sysClockGetres, Sig: "cT"},
		{Nr: 230, Name: "clock_nanosleep", Fn: sysClockNanosleep, Sig: "cxtT", Pre: ts(2), Local: abi.LocalClockSleep},
		{Nr: 305, Name: "clock_adjtime", Fn: sysClockAdjtime, Sig: "ip", Level: Partial, Note: "read only"},
	}
}

// timespec decodes struct timespec as ns, cut at the end of time; false when
// it is no valid time.
func timespec(b []byte) (int64, bool) {
	sec, ns := int64(binary.LittleEndian.Uint64(b)), int64(binary.LittleEndian.Uint64(b[8:]))
	if sec < 0 || ns < 0 || ns >= 1e9 {
		return 0, false
	}
	if sec >= 9e9 {
		return core.NoDeadline - 1, true
	}
	return sec*1e9 + ns, true
}

func timeval(b []byte) (int64, bool) {
	sec, us := int64(binary.LittleEndian.Uint64(b)), int64(binary.LittleEndian.Uint64(b[8:]))
	if sec < 0 || us < 0 || us >= 1e6 {
		return 0, false
	}
	if sec >= 9e9 {
		return core.NoDeadline - 1, true
	}
	return sec*1e9 + us*1e3, true
}

func putTimespec(b []byte, ns int64) {
	binary.LittleEndian.PutUint64(b, uint64(ns/1e9))
	binary.LittleEndian.PutUint64(b[8:], uint64(ns%1e9))
}

func putTimeval(b []byte, ns int64) {
	binary.LittleEndian.PutUint64(b, uint64(ns/1e9))
	binary.LittleEndian.PutUint64(b[8:], uint64(ns%1e9/1e3))
}

// until answers when a wait of ns from now ends; a repetition keeps the time
// of the first try.
func until(c *core.Call, ns int64) int64 {
	if d := c.Thread().Deadline; d != 0 {
		return d
	}
	now := c.K.Clock.Mono()
	d := core.NoDeadline - 1
	if ns < d-now {
		d = now + ns
	}
	c.MutThread().Deadline = d
	return d
}

// sleepTo sleeps until deadline; what is left goes to rem when a signal ends it.
func sleepTo(c *core.Call, deadline int64, rem uint64) abi.Errno {
	for {
		e := c.Sleep(deadline)
		if e == 0 {
			continue
		}
		if e == abi.ETIMEDOUT {
			return 0
		}
		if rem != 0 {
			var b [16]byte
			putTimespec(b[:], max(deadline-c.K.Clock.Mono(), 0))
			c.CopyOut(rem, b[:])
		}
		return abi.ErrRestartNoHnd
	}
}

func sysNanosleep(p *Personality, c *core.Call) (uint64, abi.Errno) {
	b, e := c.StructArg(0, 16)
	if e != 0 {
		return 0, e
	}
	ns, ok := timespec(b)
	if !ok {
		return 0, abi.EINVAL
	}
	return 0, sleepTo(c, until(c, ns), c.Args[1])
}

func sysClockNanosleep(p *Personality, c *core.Call) (uint64, abi.Errno) {
	clk := int32(c.Args[0])
	switch clk {
	case clockRealtime, clockMono, clockBoot, clockTAI, clockProcess:
	case clockRealA, clockBootA:
		if !c.Capable(core.CapWakeAlarm) {
			return 0, abi.EPERM
		}
	case clockThread, clockMonoRaw, clockRealC, clockMonoC:
		return 0, abi.EOPNOTSUPP
	default:
		if clk >= 0 {
			return 0, abi.EINVAL
		}
		if clk&7 == clockFD {
			return 0, abi.EOPNOTSUPP
		}
	}
	b, e := c.StructArg(2, 16)
	if e != 0 {
		return 0, e
	}
	ns, ok := timespec(b)
	if !ok {
		return 0, abi.EINVAL
	}
	if clk < 0 || clk == clockProcess {
		return 0, cpuSleep(c, clk, ns)
	}
	if c.Args[1]&timerAbstime == 0 {
		return 0, sleepTo(c, until(c, ns), c.Args[3])
	}
	return 0, sleepTo(c, toMono(c, clk, ns), 0)
}

// cpuSleep sleeps until a clock of processor time shows ns, or ns more than when the
// call began.
func cpuSleep(c *core.Call, clk int32, ns int64) abi.Errno {
	x, e := cpuClock(c, clk, false)
	if e != 0 {
		return e
	}
	if x.Thread == c.T {
		return abi.EINVAL
	}
	abs := c.Args[1]&timerAbstime != 0
	end := ns
	if !abs {
		if end = int64(c.Thread().Aux); end == 0 {
			now, e := c.CPUTime(x)
			if e != 0 {
				return e
			}
			end = now + min(ns, core.NoDeadline-1-now)
			c.MutThread().Aux = uint64(end)
		}
	}
	left, e := c.CPUSleep(x, end)
	if e == 0 || abs {
		return e
	}
	if c.Args[3] != 0 {
		var b [16]byte
		putTimespec(b[:], left)
		c.CopyOut(c.Args[3], b[:])
	}
	return abi.ErrRestartNoHnd
}

// cpuClock finds the clock of processor time with this id: of the caller, or of a
// process or thread, as ~id<<3, 4 for a thread's, and the kind of time (0 to 2:
// linux/posix-timers.h). To be read, a process's may be named by any thread of the
// caller's. EINVAL.
func cpuClock(c *core.Call, clk int32, read bool) (core.CPUClock, abi.Errno) {
	k := c.K
	switch {
	case clk == clockProcess:
		return c.ProcClock(c.ProcRef()), 0
	case clk == clockThread:
		return c.ThreadClock(c.T), 0
	case clk >= 0 || clk&3 == 3:
		return core.CPUClock{}, abi.EINVAL
	}
	id, thread := ^(clk >> 3), clk&4 != 0
	if thread {
		t := c.T
		if id != 0 {
			t = k.ThreadByTid(id)
		}
		if t == 0 || k.Threads.Get(t).Proc != c.ProcRef() {
			return core.CPUClock{}, abi.EINVAL
		}
		return c.ThreadClock(t), 0
	}
	p := c.ProcRef()
	if id != 0 && (!read || id != c.Thread().Tid) {
		p = k.ProcByPid(id)
	}
	if p == 0 {
		return core.CPUClock{}, abi.EINVAL
	}
	return c.ProcClock(p), 0
}

// toMono turns a time on a clock into monotonic time.
func toMono(c *core.Call, clk int32, t int64) int64 {
	switch clk {
	case clockRealtime, clockTAI, clockRealA, clockRealC:
		off := c.K.Clock.Real() - c.K.Clock.Mono()
		t -= off
	}
	return max(t, 1)
}

func clockNow(c *core.Call, clk int32) (int64, abi.Errno) {
	k := c.K
	switch clk {
	case clockRealtime, clockRealC, clockRealA, clockTAI:
		return k.Clock.Real(), 0
	case clockMono, clockMonoRaw, clockMonoC, clockBoot, clockBootA:
		return k.Clock.Mono(), 0
	}
	x, e := cpuClock(c, clk, true)
	if e != 0 {
		return 0, e
	}
	return c.CPUTime(x)
}

// usage answers the user and system time of a process in ns. It gives up the
// lock.
func usage(c *core.Call, pr store.Ref[core.Proc]) (user, sys int64, e abi.Errno) {
	u, s, _, e := usageRSS(c, pr)
	return u, s, e
}

func usageRSS(c *core.Call, pr store.Ref[core.Proc]) (user, sys int64, rss uint64, e abi.Errno) {
	r := *c.K.Procs.Get(pr)
	if r.State != core.ProcLive {
		return r.UTime, r.STime, 0, 0
	}
	var u, s uint64
	c.Unlocked(func() { rss, u, s, e = c.K.Host.Usage(r.Task) })
	if e != 0 {
		u, s, rss = 0, 0, 0
	}
	return r.UTime + int64(u), r.STime + int64(s), rss, 0
}

func sysClockGettime(p *Personality, c *core.Call) (uint64, abi.Errno) {
	t, e := clockNow(c, int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	var b [16]byte
	putTimespec(b[:], t)
	c.CopyOut(c.Args[1], b[:])
	return 0, 0
}

func sysClockGetres(p *Personality, c *core.Call) (uint64, abi.Errno) {
	clk := int32(c.Args[0])
	res := int64(1)
	switch {
	case clk == clockRealC || clk == clockMonoC:
		res = 4e6
	case clk < 0 && clk&3 != 3:
		if _, e := clockNow(c, clk); e != 0 {
			return 0, e
		}
	case clk < 0 || clk > clockTAI || clk == 10:
		return 0, abi.EINVAL
	}
	if c.Args[1] != 0 {
		var b [16]byte
		putTimespec(b[:], res)
		c.CopyOut(c.Args[1], b[:])
	}
	return 0, 0
}

func sysClockSettime(p *Personality, c *core.Call) (uint64, abi.Errno) {
	if clk := int32(c.Args[0]); clk != clockRealtime {
		return 0, abi.EINVAL
	}
	if b, e := c.StructArg(1, 16); e != 0 {
		return 0, e
	} else if _, ok := timespec(b); !ok {
		return 0, abi.EINVAL
	}
	return 0, abi.EPERM
}

func sysGettimeofday(p *Personality, c *core.Call) (uint64, abi.Errno) {
	if c.Args[0] != 0 {
		var b [16]byte
		putTimeval(b[:], c.K.Clock.Real())
		c.CopyOut(c.Args[0], b[:])
	}
	if c.Args[1] != 0 {
		c.CopyOut(c.Args[1], make([]byte, 8))
	}
	return 0, 0
}

func sysTime(p *Personality, c *core.Call) (uint64, abi.Errno) {
	t := uint64(c.K.Clock.Real() / 1e9)
	if c.Args[0] != 0 {
		c.CopyOut64(c.Args[0], t)
	}
	return t, 0
}

const tick = 1e7 // ns of a clock tick (USER_HZ is 100)

func sysTimes(p *Personality, c *core.Call) (uint64, abi.Errno) {
	u, s, _ := usage(c, c.ProcRef())
	if c.Args[0] != 0 {
		r := c.Proc()
		var b [32]byte
		for i, v := range []int64{u, s, r.CUTime, r.CSTime} {
			binary.LittleEndian.PutUint64(b[8*i:], uint64(v/tick))
		}
		c.CopyOut(c.Args[0], b[:])
	}
	return uint64(c.K.Clock.Mono() / tick), 0
}

func sysGetrusage(p *Personality, c *core.Call) (uint64, abi.Errno) {
	var b [144]byte
	switch int32(c.Args[0]) {
	case 0, 1:
		u, s, rss, _ := usageRSS(c, c.ProcRef())
		putRusage(b[:], u, s, rss>>10)
	case -1:
		r := c.Proc()
		putRusage(b[:], r.CUTime, r.CSTime, 0)
	default:
		return 0, abi.EINVAL
	}
	c.CopyOut(c.Args[1], b[:])
	return 0, 0
}

// adjtimex answers a clock that nothing adjusts (struct timex, 208 bytes).
func adjtime(c *core.Call, addr uint64) (uint64, abi.Errno) {
	in, e := c.CopyIn(addr, 208)
	if e != 0 {
		return 0, e
	}
	le := binary.LittleEndian
	var b [208]byte
	copy(b[:], in)
	if modes := le.Uint32(b[:]); modes != 0 && modes != 0xa001 {
		return 0, abi.EPERM
	}
	clear(b[8:])
	le.PutUint32(b[40:], 0x40) // status: STA_UNSYNC
	le.PutUint64(b[48:], 2)    // constant
	le.PutUint64(b[56:], 1)    // precision
	le.PutUint64(b[64:], 32768000)
	putTimeval(b[72:], c.K.Clock.Real())
	le.PutUint64(b[88:], 10000) // tick
	c.CopyOut(addr, b[:])
	return 5, 0 // TIME_ERROR: not synchronized
}

func sysAdjtimex(p *Personality, c *core.Call) (uint64, abi.Errno) { return adjtime(c, c.Args[0]) }

func sysClockAdjtime(p *Personality, c *core.Call) (uint64, abi.Errno) {
	switch clk := int32(c.Args[0]); clk {
	case clockRealtime:
		return adjtime(c, c.Args[1])
	case clockMono, clockMonoRaw, clockBoot, clockTAI:
		return 0, abi.EOPNOTSUPP
	}
	return 0, abi.EINVAL
}

func itimerOut(c *core.Call, addr uint64, left, every int64) {
	var b [32]byte
	putTimeval(b[:], every)
	putTimeval(b[16:], left)
	c.CopyOut(addr, b[:])
}

func sysGetitimer(p *Personality, c *core.Call) (uint64, abi.Errno) {
	if c.Args[0] > 2 {
		return 0, abi.EINVAL
	}
	if c.Args[0] != 0 { // the host counts the task's processor time
		if c.Args[1] == 0 {
			return 0, abi.EFAULT
		}
		c.Act(abi.ActTimer, abi.ActResult, c.Args[0], c.Args[1], 0, 1)
		return 0, 0
	}
	left, every := c.SetITimer(0, 0, false)
	itimerOut(c, c.Args[1], left, every)
	return 0, 0
}

func sysSetitimer(p *Personality, c *core.Call) (uint64, abi.Errno) {
	var first, every int64
	if c.Args[1] != 0 {
		b, e := c.StructArg(1, 32)
		if e != 0 {
			return 0, e
		}
		var ok, ok2 bool
		every, ok = timeval(b)
		first, ok2 = timeval(b[16:])
		if !ok || !ok2 {
			return 0, abi.EINVAL
		}
	}
	if c.Args[0] > 2 {
		return 0, abi.EINVAL
	}
	if c.Args[0] != 0 {
		c.HostITimer(int(c.Args[0]), first, every)
		c.Act(abi.ActTimer, abi.ActResult, c.Args[0], c.Args[1], c.Args[2])
		return 0, 0
	}
	left, old := c.SetITimer(first, every, true)
	if c.Args[2] != 0 {
		itimerOut(c, c.Args[2], left, old)
	}
	return 0, 0
}

func sysAlarm(p *Personality, c *core.Call) (uint64, abi.Errno) {
	left, _ := c.SetITimer(int64(uint32(c.Args[0]))*1e9, 0, true)
	s := (left + 5e8) / 1e9
	if left > 0 && s == 0 {
		s = 1
	}
	return uint64(s), 0
}

// sysTimerCreate: struct sigevent is value 8, signo 4, notify 4, tid 4, padded
// to 64 bytes (asm-generic/siginfo.h).
func sysTimerCreate(p *Personality, c *core.Call) (uint64, abi.Errno) {
	clk := int32(c.Args[0])
	switch clk {
	case clockRealtime, clockMono, clockBoot, clockTAI, clockProcess, clockThread:
	case clockRealA, clockBootA:
		if !c.Capable(core.CapWakeAlarm) {
			return 0, abi.EPERM
		}
	case clockMonoRaw, clockRealC, clockMonoC:
		return 0, abi.EOPNOTSUPP
	default:
		if clk >= 0 {
			return 0, abi.EINVAL
		}
	}
	if clk < 0 && clk&7 == clockFD {
		return 0, abi.EOPNOTSUPP
	}
	var cpu core.CPUClock
	if clk < 0 || clk == clockProcess || clk == clockThread {
		var e abi.Errno
		if cpu, e = cpuClock(c, clk, false); e != 0 {
			return 0, e
		}
	}
	t := core.PosixTimer{Clock: clk, CPU: cpu, Sig: core.SIGALRM, Notify: core.SigevSignal}
	given := false
	if c.Args[1] != 0 {
		b, e := c.StructArg(1, 64)
		if e != 0 {
			return 0, e
		}
		le := binary.LittleEndian
		t.Value, t.Sig, t.Notify, t.Tid = le.Uint64(b), int32(le.Uint32(b[8:])), int32(le.Uint32(b[12:])), int32(le.Uint32(b[16:]))
		given = true
		switch t.Notify {
		case core.SigevNone:
		case core.SigevThreadID:
			th := c.K.ThreadByTid(t.Tid)
			if th == 0 || c.K.Threads.Get(th).Proc != c.ProcRef() {
				return 0, abi.EINVAL
			}
			fallthrough
		case core.SigevSignal:
			if t.Sig < 1 || t.Sig >= core.NumSignals {
				return 0, abi.EINVAL
			}
		default:
			return 0, abi.EINVAL
		}
	}
	if _, e := c.CopyIn32(c.Args[2]); e != 0 {
		return 0, e
	}
	if !given {
		t.Value = uint64(c.Proc().TimerNext)
	}
	id, e := c.NewTimer(&t)
	if e != 0 {
		return 0, e
	}
	c.CopyOut32(c.Args[2], uint32(id))
	return 0, 0
}

func sysTimerSettime(p *Personality, c *core.Call) (uint64, abi.Errno) {
	if c.Args[2] == 0 {
		return 0, abi.EINVAL
	}
	b, e := c.StructArg(2, 32)
	if e != 0 {
		return 0, e
	}
	every, ok := timespec(b)
	first, ok2 := timespec(b[16:])
	if !ok || !ok2 {
		return 0, abi.EINVAL
	}
	r, now, e := timerNow(c)
	if e != 0 {
		return 0, e
	}
	next := int64(0)
	if first != 0 {
		switch t := c.K.PTimers.Get(r); {
		case c.Args[1]&timerAbstime == 0:
			next = now + min(first, core.NoDeadline-1-now)
		case t.CPU.Proc != 0:
			next = first
		default:
			next = toMono(c, t.Clock, first)
		}
	}
	left, old := c.SetTimer(r, now, next, every)
	if c.Args[3] != 0 {
		timerOut(c, c.Args[3], left, old)
	}
	return 0, 0
}

// timerNow finds the timer of argument 0 and what its clock shows.
func timerNow(c *core.Call) (r store.Ref[core.PosixTimer], now int64, e abi.Errno) {
	if r = c.TimerByID(int32(c.Args[0])); r == 0 {
		return 0, 0, abi.EINVAL
	}
	now = c.TimerNow(r)
	if r = c.TimerByID(int32(c.Args[0])); r == 0 { // it went meanwhile
		return 0, 0, abi.EINVAL
	}
	return r, now, 0
}

func timerOut(c *core.Call, addr uint64, left, every int64) {
	var b [32]byte
	putTimespec(b[:], every)
	putTimespec(b[16:], left)
	c.CopyOut(addr, b[:])
}

func sysTimerGettime(p *Personality, c *core.Call) (uint64, abi.Errno) {
	r, now, e := timerNow(c)
	if e != 0 {
		return 0, e
	}
	left, every := c.TimerLeft(r, now)
	timerOut(c, c.Args[1], left, every)
	return 0, 0
}

func sysTimerGetoverrun(p *Personality, c *core.Call) (uint64, abi.Errno) {
	r := c.TimerByID(int32(c.Args[0]))
	if r == 0 {
		return 0, abi.EINVAL
	}
	return uint64(uint32(c.K.PTimers.Get(r).Overrun)), 0
}

func sysTimerDelete(p *Personality, c *core.Call) (uint64, abi.Errno) {
	r := c.TimerByID(int32(c.Args[0]))
	if r == 0 {
		return 0, abi.EINVAL
	}
	c.DropTimer(r)
	return 0, 0
}

// refuse is a call that is answered with an error on purpose.
func refuse(e abi.Errno) Func {
	return func(p *Personality, c *core.Call) (uint64, abi.Errno) { return 0, e }
}
