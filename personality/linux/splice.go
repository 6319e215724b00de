package linux

import (
	"hythe/abi"
	"hythe/server/unix/core"
)

func spliceCalls() []Entry {
	return []Entry{
		{Nr: 275, Name: "splice", Fn: sysSplice, Sig: "fpfpux"},
		{Nr: 276, Name: "tee", Fn: sysTee, Sig: "ffux"},
		{Nr: 278, Name: "vmsplice", Fn: sysVmsplice, Sig: "fpux", Level: Partial, Note: "the bytes are copied: SPLICE_F_GIFT changes nothing"},
	}
}

// Flags of splice (include/linux/splice.h).
const (
	spliceNonblock = 2
	spliceKnown    = 0xf
)

func sysSplice(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	if c.Args[4] == 0 {
		return 0, 0
	}
	if c.Args[5]&^spliceKnown != 0 {
		return 0, abi.EINVAL
	}
	off := [2]int64{-1, -1}
	for i := range off {
		a := c.Args[1+2*i]
		if _, file, e := c.File(fdArg(c, 2*i)); e != 0 {
			return 0, e
		} else if a != 0 && file.Kind == core.FilePipe {
			return 0, abi.ESPIPE
		}
		if a == 0 {
			continue
		}
		v, e := c.CopyIn64(a)
		if e != 0 {
			return 0, e
		}
		if int64(v) < 0 {
			return 0, abi.EINVAL
		}
		off[i] = int64(v)
	}
	n, e := c.Splice(fdArg(c, 0), off[0], fdArg(c, 2), off[1], c.Args[4], c.Args[5]&spliceNonblock != 0)
	if e != 0 {
		return 0, e
	}
	for i := range off {
		if off[i] >= 0 {
			c.CopyOut64(c.Args[1+2*i], uint64(off[i]+int64(n)))
		}
	}
	return uint64(n), 0
}

func sysTee(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	if c.Args[3]&^spliceKnown != 0 {
		return 0, abi.EINVAL
	}
	n, e := c.Tee(fdArg(c, 0), fdArg(c, 1), c.Args[2], c.Args[3]&spliceNonblock != 0)
	return uint64(n), e
}

func sysVmsplice(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	if c.Args[3]&^spliceKnown != 0 {
		return 0, abi.EINVAL
	}
	_, file, e := c.File(fdArg(c, 0))
	if e != 0 {
		return 0, e
	}
	if file.Kind != core.FilePipe {
		return 0, abi.EBADF
	}
	if c.Args[2] > 1024 {
		return 0, abi.EINVAL
	}
	write := file.Access&core.AccessWrite != 0
	iov, e := c.IOVecs(c.Args[1], int(c.Args[2]))
	if e != 0 {
		return 0, e
	}
	if write {
		return c.VMSplice(fdArg(c, 0), iov)
	}
	return c.ReadV(fdArg(c, 0), iov, -1)
}
