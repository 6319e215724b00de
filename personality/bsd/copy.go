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

// Poll serves poll(2): struct pollfd is descriptor 4, events 2, revents 2. The bits are
// the core's up to POLLNVAL; POLLRDNORM, POLLRDBAND and POLLWRBAND have other places.
func Poll(_ *Personality, c *core.Call) (uint64, abi.Errno) {
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
	deadline := core.NoDeadline
	if ms := int32(c.Args[2]); ms >= 0 {
		deadline = 0
		if ms > 0 {
			deadline = Until(c, int64(ms)*1e6)
		}
	}
	ready, e := c.Poll(fds, deadline)
	if e != 0 {
		return 0, e
	}
	for i := range fds {
		le.PutUint16(raw[8*i+6:], pollOut(fds[i].Revents))
	}
	c.CopyOut(c.Args[0], raw)
	return uint64(ready), 0
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
