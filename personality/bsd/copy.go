package bsd

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/server/unix/core"
)

// offset fetches the offset that an argument points to; 0 is the file's own: -1.
func offset(c *core.Call, at uint64) (int64, abi.Errno) {
	if at == 0 {
		return -1, 0
	}
	b, e := c.CopyIn(at, 8)
	if e != 0 {
		return 0, e
	}
	off := int64(binary.LittleEndian.Uint64(b))
	if off < 0 {
		return 0, abi.EINVAL
	}
	return off, 0
}

// CopyFileRange serves copy_file_range(2): from, where its offset is, to, where its offset
// is, length, flags.
func CopyFileRange(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	from, e := offset(c, c.Args[1])
	if e != 0 {
		return 0, e
	}
	to, e := offset(c, c.Args[3])
	if e != 0 {
		return 0, e
	}
	if c.Args[5] != 0 {
		return 0, abi.EINVAL
	}
	in, inFile, e := c.File(int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	out, outFile, e := c.File(int32(c.Args[2]))
	if e != 0 {
		return 0, e
	}
	if inFile.Access&core.AccessRead == 0 || outFile.Access&core.AccessWrite == 0 || outFile.Flags&core.OpenAppend != 0 {
		return 0, abi.EBADF
	}
	for _, fd := range []int32{int32(c.Args[0]), int32(c.Args[2])} {
		s, e := c.StatFD(fd)
		if e != 0 {
			return 0, e
		}
		switch s.Mode & fs.TypeMask {
		case fs.TypeReg:
		case fs.TypeDir:
			return 0, abi.EISDIR
		default:
			return 0, abi.EINVAL
		}
	}
	n := min(c.Args[4], 1<<31-1)
	inFile, outFile = c.K.Files.Get(in), c.K.Files.Get(out)
	if inFile.Vnode == outFile.Vnode {
		a, b := uint64(from), uint64(to)
		if from < 0 {
			a = uint64(inFile.Off)
		}
		if to < 0 {
			b = uint64(outFile.Off)
		}
		if a+n > b && b+n > a {
			return 0, abi.EINVAL
		}
	}
	done, e := c.CopyFile(in, out, from, to, n)
	c.CountIO(core.CountRead|core.CountWrite, done, e)
	if e != 0 {
		return 0, e
	}
	if c.Args[1] != 0 {
		c.CopyOut64(c.Args[1], uint64(from)+done)
	}
	if c.Args[3] != 0 {
		c.CopyOut64(c.Args[3], uint64(to)+done)
	}
	return done, 0
}

// Poll serves poll(2).
func Poll(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	ns := int64(-1)
	if ms := int32(c.Args[2]); ms >= 0 {
		ns = int64(ms) * 1e6
	}
	return poll(c, ns)
}

// PollMask serves ppoll(2), which NetBSD calls pollts(2): descriptors, how many, a struct
// timespec, and the signals that are blocked meanwhile.
func PollMask(p *Personality, c *core.Call) (uint64, abi.Errno) {
	ns, e := p.waitArgs(c, 2, Timespec, 3)
	if e != 0 {
		return 0, e
	}
	return poll(c, ns)
}

// waitArgs are the arguments of calls that wait: at most how long (-1: for ever), and the
// signals that are blocked meanwhile; no mask: 0.
func (p *Personality) waitArgs(c *core.Call, limit int, decode func(b []byte) (int64, bool), mask int) (int64, abi.Errno) {
	ns := int64(-1)
	if c.Args[limit] != 0 {
		b, e := c.CopyIn(c.Args[limit], 16)
		if e != 0 {
			return 0, e
		}
		var ok bool
		if ns, ok = decode(b); !ok {
			return 0, abi.EINVAL
		}
	}
	if mask != 0 && c.Args[mask] != 0 {
		b, e := c.CopyIn(c.Args[mask], SetSize)
		if e != 0 {
			return 0, e
		}
		c.WithMask(p.Sys.Signals.GetSet(b))
	}
	return ns, 0
}

// waitUntil is when a wait of ns ends: at once, some time, or never.
func waitUntil(c *core.Call, ns int64) int64 {
	switch {
	case ns < 0:
		return core.NoDeadline
	case ns == 0:
		return 0
	}
	return Until(c, ns)
}

// poll waits for what an array of struct pollfd says: descriptor 4, events 2, revents 2. The
// bits are the core's up to POLLNVAL; POLLRDNORM, POLLRDBAND and POLLWRBAND have other places.
func poll(c *core.Call, ns int64) (uint64, abi.Errno) {
	le := binary.LittleEndian
	n := uint64(uint32(c.Args[1]))
	if n > min(c.Proc().Rlimits[core.RlimitNofile].Cur, 1<<13) {
		return 0, abi.EINVAL
	}
	b, e := c.CopyIn(c.Args[0], int(8*n))
	if e != 0 {
		return 0, e
	}
	raw := append([]byte(nil), b...)
	fds := make([]core.PollFD, n)
	for i := range fds {
		fds[i] = core.PollFD{FD: int32(le.Uint32(raw[8*i:])), Events: pollIn(le.Uint16(raw[8*i+4:]))}
	}
	ready, e := c.Poll(fds, waitUntil(c, ns))
	if e != 0 {
		return 0, e
	}
	for i := range fds {
		le.PutUint16(raw[8*i+6:], pollOut(fds[i].Revents))
	}
	c.CopyOut(c.Args[0], raw)
	return uint64(ready), 0
}

// Select serves select(2): numbers below the first argument, three sets, a struct timeval.
// The time that is left is not told.
func Select(p *Personality, c *core.Call) (uint64, abi.Errno) {
	ns, e := p.waitArgs(c, 4, p.timeval, 0)
	if e != 0 {
		return 0, e
	}
	return p.doSelect(c, ns)
}

// SelectMask serves pselect(2): as select, with a struct timespec and the signals that are
// blocked meanwhile.
func SelectMask(p *Personality, c *core.Call) (uint64, abi.Errno) {
	ns, e := p.waitArgs(c, 4, Timespec, 5)
	if e != 0 {
		return 0, e
	}
	return p.doSelect(c, ns)
}

// What select's three sets ask for, in poll's bits.
var selectBits = [3]uint32{
	core.PollIn | core.PollRdNorm | core.PollHup | core.PollErr,
	core.PollOut | core.PollWrNorm | core.PollErr,
	core.PollPri | core.PollRdBand,
}

func (p *Personality) doSelect(c *core.Call, ns int64) (uint64, abi.Errno) {
	n := int32(c.Args[0])
	if n < 0 {
		return 0, abi.EINVAL
	}
	// Numbers above the table are not looked at.
	n = min(n, int32(c.K.FDs.Get(c.Proc().FDs).Cap))
	word := p.Sys.FDMask // the sets are of these
	size := (int(n) + 8*word - 1) / (8 * word) * word
	var in, out [3][]byte
	for i := range in {
		in[i], out[i] = make([]byte, size), make([]byte, size)
		if a := c.Args[1+i]; a != 0 && size > 0 {
			b, e := c.CopyIn(a, size)
			if e != 0 {
				return 0, e
			}
			copy(in[i], b)
		}
	}
	var fds []core.PollFD
	for fd := range n {
		events := uint32(0)
		for i := range in {
			if in[i][fd/8]>>(fd%8)&1 != 0 {
				events |= selectBits[i]
			}
		}
		if events == 0 {
			continue
		}
		if _, _, e := c.File(fd); e != 0 {
			return 0, abi.EBADF
		}
		fds = append(fds, core.PollFD{FD: fd, Events: events, Exact: true})
	}
	if _, e := c.Poll(fds, waitUntil(c, ns)); e != 0 {
		return 0, e
	}
	count := uint64(0)
	for _, f := range fds {
		if f.Revents&core.PollNval != 0 {
			return 0, abi.EBADF
		}
		for i := range in {
			bit := byte(1) << (f.FD % 8)
			if in[i][f.FD/8]&bit != 0 && f.Revents&selectBits[i] != 0 {
				out[i][f.FD/8] |= bit
				count++
			}
		}
	}
	for i := range out {
		if c.Args[1+i] != 0 && size > 0 {
			c.CopyOut(c.Args[1+i], out[i])
		}
	}
	return count, 0
}

// pollBits are the bits of poll(2) that are not the core's (sys/poll.h). POLLWRNORM is
// POLLOUT.
var pollBits = []struct {
	native uint16
	core   uint32
}{{0x40, core.PollRdNorm}, {0x80, core.PollRdBand}, {0x100, core.PollWrBand}, {0x4000, core.PollRdHup}}

const pollSame = core.PollIn | core.PollPri | core.PollOut | core.PollErr | core.PollHup | core.PollNval

func pollIn(v uint16) uint32 {
	out := uint32(v) & pollSame
	for _, x := range pollBits {
		if v&x.native != 0 {
			out |= x.core
		}
	}
	return out
}

func pollOut(v uint32) uint16 {
	out := uint16(v & pollSame)
	for _, x := range pollBits {
		if v&x.core != 0 {
			out |= x.native
		}
	}
	return out
}
