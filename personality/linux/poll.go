package linux

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/server/unix/core"
)

// poll and select (include/uapi/linux/poll.h, fs/select.c's rules).

func pollCalls() []Entry {
	return []Entry{
		{Nr: 7, Name: "poll", Fn: sysPoll, Sig: "qud"},
		{Nr: 23, Name: "select", Fn: sysSelect, Sig: "dpppp"},
		{Nr: 270, Name: "pselect6", Fn: sysPselect6, Sig: "dppppp"},
		{Nr: 271, Name: "ppoll", Fn: sysPpoll, Sig: "qutku"},
	}
}

var le = binary.LittleEndian

// timespecArg decodes a struct timespec (two 64-bit words) at addr as
// nanoseconds; 0 is no time: -1. EINVAL for a negative or unnormal one.
func timespecArg(c *core.Call, addr uint64) (int64, abi.Errno) {
	if addr == 0 {
		return -1, 0
	}
	b, e := c.CopyIn(addr, 16)
	if e != 0 {
		return 0, e
	}
	sec, ns := int64(le.Uint64(b)), int64(le.Uint64(b[8:]))
	if sec < 0 || ns < 0 || ns >= 1e9 {
		return 0, abi.EINVAL
	}
	if sec > 1<<33 {
		return -1, 0
	}
	return sec*1e9 + ns, 0
}

// sigsetArg decodes a sigset_t of size bytes at addr; ok is false for none.
func sigsetArg(c *core.Call, addr, size uint64) (set core.SigSet, ok bool, e abi.Errno) {
	if addr == 0 {
		return 0, false, 0
	}
	if size != 8 {
		return 0, false, abi.EINVAL
	}
	v, e := c.CopyIn64(addr)
	return core.SigSet(v), e == 0, e
}

// remaining answers what is left of a wait of ns that ends at deadline.
func remaining(c *core.Call, ns, deadline int64) int64 {
	if ns <= 0 {
		return 0
	}
	return max(deadline-c.K.Clock.Mono(), 0)
}

// deadline answers the end of a wait of ns nanoseconds: 0 asks only once.
func deadline(c *core.Call, ns int64) int64 {
	if ns == 0 {
		return 0
	}
	return c.DeadlineIn(ns)
}

func sysPoll(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	ns := int64(int32(c.Args[2])) * 1e6
	if ns < 0 {
		ns = -1
	}
	return doPoll(c, deadline(c, ns))
}

func sysPpoll(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	ns, e := timespecArg(c, c.Args[2])
	if e != 0 {
		return 0, e
	}
	set, ok, e := sigsetArg(c, c.Args[3], c.Args[4])
	if e != 0 {
		return 0, e
	}
	if ok {
		c.WithMask(set)
	}
	d := deadline(c, ns)
	n, e := doPoll(c, d)
	if ns >= 0 && e != abi.EINVAL && e != abi.EFAULT {
		left := remaining(c, ns, d)
		c.CopyOut64(c.Args[2], uint64(left/1e9))
		c.CopyOut64(c.Args[2]+8, uint64(left%1e9))
	}
	return n, e
}

// doPoll decodes and answers an array of struct pollfd: int fd, short events,
// short revents.
func doPoll(c *core.Call, d int64) (uint64, abi.Errno) {
	n := uint64(uint32(c.Args[1]))
	if n > min(c.Proc().Rlimits[core.RlimitNofile].Cur, 1<<20) {
		return 0, abi.EINVAL
	}
	fds := make([]core.PollFD, n)
	for i := 0; i < len(fds); {
		m := min(len(fds)-i, 8192)
		c.InReset()
		b, e := c.CopyIn(c.Args[0]+uint64(i)*8, m*8)
		if e != 0 {
			return 0, e
		}
		for j := range m {
			fds[i+j].FD = int32(le.Uint32(b[j*8:]))
			fds[i+j].Events = uint32(le.Uint16(b[j*8+4:]))
		}
		i += m
	}
	ready, e := c.Poll(fds, d)
	if e != 0 {
		return 0, e
	}
	var out [8 * 64]byte
	for i := 0; i < len(fds); {
		m := min(len(fds)-i, 64)
		for j := range m {
			p := fds[i+j]
			le.PutUint32(out[j*8:], uint32(p.FD))
			le.PutUint16(out[j*8+4:], uint16(p.Events))
			le.PutUint16(out[j*8+6:], uint16(p.Revents))
		}
		c.CopyOut(c.Args[0]+uint64(i)*8, out[:m*8])
		i += m
	}
	return uint64(ready), 0
}

func sysSelect(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	ns := int64(-1)
	if c.Args[4] != 0 {
		b, e := c.CopyIn(c.Args[4], 16)
		if e != 0 {
			return 0, e
		}
		sec, us := int64(le.Uint64(b)), int64(le.Uint64(b[8:]))
		if sec < 0 || us < 0 {
			return 0, abi.EINVAL
		}
		if sec < 1<<33 && us < 1<<43 {
			ns = sec*1e9 + us*1e3
		}
	}
	d := deadline(c, ns)
	n, e := doSelect(c, d)
	if c.Args[4] != 0 && ns >= 0 && (e == 0 || e == abi.ErrRestartNoHnd) {
		left := remaining(c, ns, d)
		c.CopyOut64(c.Args[4], uint64(left/1e9))
		c.CopyOut64(c.Args[4]+8, uint64(left%1e9/1e3))
	}
	return n, e
}

func sysPselect6(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	ns, e := timespecArg(c, c.Args[4])
	if e != 0 {
		return 0, e
	}
	if c.Args[5] != 0 {
		// A pair of sigset_t pointer and size.
		b, e := c.CopyIn(c.Args[5], 16)
		if e != 0 {
			return 0, e
		}
		set, ok, e := sigsetArg(c, le.Uint64(b), le.Uint64(b[8:]))
		if e != 0 {
			return 0, e
		}
		if ok {
			c.WithMask(set)
		}
	}
	d := deadline(c, ns)
	n, e := doSelect(c, d)
	if ns >= 0 && (e == 0 || e == abi.ErrRestartNoHnd) {
		left := remaining(c, ns, d)
		c.CopyOut64(c.Args[4], uint64(left/1e9))
		c.CopyOut64(c.Args[4]+8, uint64(left%1e9))
	}
	return n, e
}

// What select's three sets mean in poll's bits.
const (
	selectIn  = core.PollRdNorm | core.PollRdBand | core.PollIn | core.PollHup | core.PollErr
	selectOut = core.PollWrBand | core.PollWrNorm | core.PollOut | core.PollErr
	selectEx  = core.PollPri
)

func doSelect(c *core.Call, d int64) (uint64, abi.Errno) {
	n := int32(c.Args[0])
	if n < 0 {
		return 0, abi.EINVAL
	}
	// Numbers above the table are not looked at; an empty one
	// has 64 on Linux.
	n = min(n, max(int32(c.K.FDs.Get(c.Proc().FDs).Cap), 64))
	size := int(n+63) / 64 * 8
	sets := make([]byte, 3*size)
	for i := range 3 {
		if a := c.Args[1+i]; a != 0 && size > 0 {
			b, e := c.CopyIn(a, size)
			if e != 0 {
				return 0, e
			}
			copy(sets[i*size:], b)
		}
	}
	bit := func(set int, fd int32) bool { return sets[set*size+int(fd/8)]>>(fd%8)&1 != 0 }
	var fds []core.PollFD
	for fd := range n {
		var ev uint32
		if bit(0, fd) {
			ev |= selectIn
		}
		if bit(1, fd) {
			ev |= selectOut
		}
		if bit(2, fd) {
			ev |= selectEx
		}
		if ev == 0 {
			continue
		}
		if _, _, e := c.File(fd); e != 0 {
			return 0, abi.EBADF
		}
		fds = append(fds, core.PollFD{FD: fd, Events: ev, Exact: true})
	}
	if _, e := c.Poll(fds, d); e != 0 {
		return 0, e
	}
	out := make([]byte, 3*size)
	var count uint64
	mark := func(set int, p core.PollFD, want uint32) {
		if bit(set, p.FD) && p.Revents&want != 0 {
			out[set*size+int(p.FD/8)] |= 1 << (p.FD % 8)
			count++
		}
	}
	for _, p := range fds {
		if p.Revents&core.PollNval != 0 {
			return 0, abi.EBADF
		}
		mark(0, p, selectIn)
		mark(1, p, selectOut)
		mark(2, p, selectEx)
	}
	for i := range 3 {
		if c.Args[1+i] != 0 && size > 0 {
			c.CopyOut(c.Args[1+i], out[i*size:(i+1)*size])
		}
	}
	return count, 0
}
