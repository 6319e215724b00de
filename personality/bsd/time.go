package bsd

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/server/unix/core"
)

// Host clocks, for Entry.Digits of abi.LocalClocks (include/uapi/linux/time.h).
const (
	HostRealtime = 0
	HostMono     = 1
	HostProcess  = 2
	HostThread   = 3
	HostRealC    = 5
	HostMonoC    = 6
	NoClock      = abi.NoDigit
)

// Timespec decodes struct timespec as ns, cut at the end of time; false when it is no
// valid time.
func Timespec(b []byte) (int64, bool) { return duration(b, 1) }

// timeval is Timespec for struct timeval.
func (p *Personality) timeval(b []byte) (int64, bool) {
	var t [16]byte
	copy(t[:], b)
	if p.Sys.Usec32 {
		usec := int64(int32(binary.LittleEndian.Uint32(b[8:])))
		binary.LittleEndian.PutUint64(t[8:], uint64(usec))
	}
	return duration(t[:], 1000)
}

func duration(b []byte, unit int64) (int64, bool) {
	sec, n := int64(binary.LittleEndian.Uint64(b)), int64(binary.LittleEndian.Uint64(b[8:]))
	if sec < 0 || n < 0 || n >= 1e9/unit {
		return 0, false
	}
	if sec >= 9e9 {
		return core.NoDeadline - 1, true
	}
	return sec*1e9 + n*unit, true
}

// PutTimespec encodes struct timespec.
func PutTimespec(b []byte, ns int64) {
	binary.LittleEndian.PutUint64(b, uint64(ns/1e9))
	binary.LittleEndian.PutUint64(b[8:], uint64(ns%1e9))
}

func putTimeval(b []byte, ns int64) {
	binary.LittleEndian.PutUint64(b, uint64(ns/1e9))
	binary.LittleEndian.PutUint64(b[8:], uint64(ns%1e9/1e3))
}

// Until answers when a wait of ns from now ends; a repetition keeps the time of the
// first try.
func Until(c *core.Call, ns int64) int64 {
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
		switch c.Sleep(deadline) {
		case 0:
		case abi.ETIMEDOUT:
			return 0
		default:
			if rem != 0 {
				var b [16]byte
				PutTimespec(b[:], max(deadline-c.K.Clock.Mono(), 0))
				c.CopyOut(rem, b[:])
			}
			return abi.ErrRestartNoHnd
		}
	}
}

// Nanosleep serves nanosleep(2).
func Nanosleep(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	b, e := c.StructArg(0, 16)
	if e != 0 {
		return 0, e
	}
	ns, ok := Timespec(b)
	if !ok {
		return 0, abi.EINVAL
	}
	return 0, sleepTo(c, Until(c, ns), c.Args[1])
}

// hostClock is what Entry.Digits of the system's clock_gettime say of clock id.
func (p *Personality) hostClock(id uint64) uint8 {
	for _, e := range p.table {
		if e != nil && e.Local == abi.LocalClocks && id < uint64(len(e.Digits)) {
			return e.Digits[id]
		}
	}
	return NoClock
}

// ClockNanosleep serves clock_nanosleep(2): clock, flags (1: until), time, what is left.
func ClockNanosleep(p *Personality, c *core.Call) (uint64, abi.Errno) {
	b, e := c.StructArg(2, 16)
	if e != 0 {
		return 0, e
	}
	ns, ok := Timespec(b)
	if !ok || c.Args[1]&^1 != 0 {
		return 0, abi.EINVAL
	}
	switch p.hostClock(c.Args[0]) {
	case HostRealtime, HostRealC:
		if c.Args[1] != 0 {
			return 0, sleepTo(c, max(ns-(c.K.Clock.Real()-c.K.Clock.Mono()), 1), 0)
		}
	case HostMono, HostMonoC:
		if c.Args[1] != 0 {
			return 0, sleepTo(c, max(ns, 1), 0)
		}
	default:
		return 0, abi.EINVAL
	}
	return 0, sleepTo(c, Until(c, ns), c.Args[3])
}

// ClockGetres serves clock_getres(2).
func ClockGetres(p *Personality, c *core.Call) (uint64, abi.Errno) {
	res := int64(1)
	switch p.hostClock(c.Args[0]) {
	case NoClock:
		return 0, abi.EINVAL
	case HostRealC, HostMonoC:
		res = 4e6
	}
	if c.Args[1] != 0 {
		var b [16]byte
		PutTimespec(b[:], res)
		c.CopyOut(c.Args[1], b[:])
	}
	return 0, 0
}

// Gettimeofday serves gettimeofday(2).
func Gettimeofday(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	if c.Args[0] != 0 {
		var b [16]byte
		putTimeval(b[:], c.K.Clock.Real())
		c.CopyOut(c.Args[0], b[:])
	}
	if c.Args[1] != 0 {
		c.CopyOut64(c.Args[1], 0)
	}
	return 0, 0
}

// putItimer stores struct itimerval: interval and value, two times of 16 bytes. Of the
// timers ITIMER_REAL is the core's, the others are the host's, which takes the structure
// as it is.
func putItimer(c *core.Call, addr uint64, left, every int64) {
	if addr != 0 {
		var b [32]byte
		putTimeval(b[:], every)
		putTimeval(b[16:], left)
		c.CopyOut(addr, b[:])
	}
}

// Setitimer serves setitimer(2): which, new value, old value.
func Setitimer(p *Personality, c *core.Call) (uint64, abi.Errno) {
	which := uint32(c.Args[0])
	if which > 2 {
		return 0, abi.EINVAL
	}
	if c.Args[1] == 0 { // only asks
		if which != 0 {
			c.Act(abi.ActTimer, abi.ActResult, uint64(which), c.Args[2], 0, 1)
			return 0, 0
		}
		left, every := c.SetITimer(0, 0, false)
		putItimer(c, c.Args[2], left, every)
		return 0, 0
	}
	b, e := c.StructArg(1, 32)
	if e != 0 {
		return 0, e
	}
	every, ok := p.timeval(b)
	first, ok2 := p.timeval(b[16:])
	if !ok || !ok2 {
		return 0, abi.EINVAL
	}
	if which != 0 {
		c.HostITimer(int(which), first, every)
		c.Act(abi.ActTimer, abi.ActResult, uint64(which), c.Args[1], c.Args[2])
		return 0, 0
	}
	left, old := c.SetITimer(first, every, true)
	putItimer(c, c.Args[2], left, old)
	return 0, 0
}

// Getitimer serves getitimer(2).
func Getitimer(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	which := uint32(c.Args[0])
	if which > 2 {
		return 0, abi.EINVAL
	}
	if which != 0 {
		if c.Args[1] == 0 {
			return 0, abi.EFAULT
		}
		c.Act(abi.ActTimer, abi.ActResult, uint64(which), c.Args[1], 0, 1)
		return 0, 0
	}
	left, every := c.SetITimer(0, 0, false)
	putItimer(c, c.Args[1], left, every)
	return 0, 0
}

// Getrandom serves getrandom(2).
func Getrandom(p *Personality, c *core.Call) (uint64, abi.Errno) {
	const flags = 1 | 2 | 4
	if c.Args[2]&^flags != 0 {
		return 0, abi.EINVAL
	}
	n := min(c.Args[1], 1<<20)
	buf := make([]byte, min(n, 16<<10))
	for done := uint64(0); done < n; {
		b := buf[:min(uint64(len(buf)), n-done)]
		p.K.Random(b)
		c.CopyOut(c.Args[0]+done, b)
		done += uint64(len(b))
	}
	return n, 0
}
