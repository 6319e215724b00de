package linux

import (
	"hythe/abi"
	"hythe/server/unix/core"
)

// Pipes and their like.

func ioCalls() []Entry {
	var all []Entry
	for _, part := range [][]Entry{pipeCalls(), pollCalls(), sockCalls(), eventCalls(), spliceCalls()} {
		all = append(all, part...)
	}
	return all
}

// Flags of open that other calls share (asm-generic/fcntl.h).
const (
	oNonblock = 0o4000
	oDirect   = 0o40000
	oCloexec  = 0o2000000
)

// fdFlags turns SOCK_, EFD_, TFD_, SFD_ and IN_ flags, which have open's values,
// into core's. The caller has refused others.
func fdFlags(flags uint64) uint32 {
	var f uint32
	if flags&oNonblock != 0 {
		f |= core.OpenNonblock
	}
	if flags&oCloexec != 0 {
		f |= core.OpenCloexec
	}
	if flags&oDirect != 0 {
		f |= core.OpenDirect
	}
	return f
}

func pipeCalls() []Entry {
	return []Entry{
		{Nr: 22, Name: "pipe", Fn: sysPipe, Sig: "2"},
		{Nr: 293, Name: "pipe2", Fn: sysPipe2, Sig: "2O"},
	}
}

func sysPipe(_ *Personality, c *core.Call) (uint64, abi.Errno) { return pipe2(c, 0) }

func sysPipe2(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	flags := uint64(uint32(c.Args[1]))
	if flags&^(oNonblock|oDirect|oCloexec) != 0 {
		return 0, abi.EINVAL
	}
	return pipe2(c, fdFlags(flags))
}

// copyPair hands out two new descriptors; if the guest does not get them there
// are none.
func copyPair(c *core.Call, addr uint64, a, b int32) {
	c.CopyOut64(addr, uint64(uint32(a))|uint64(uint32(b))<<32)
	c.OrUndo(func(c *core.Call) {
		c.CloseFD(a)
		c.CloseFD(b)
	})
}

func pipe2(c *core.Call, flags uint32) (uint64, abi.Errno) {
	r, w, e := c.NewPipe(flags)
	if e != 0 {
		return 0, e
	}
	copyPair(c, c.Args[0], r, w)
	return 0, 0
}
