package bsd

import (
	"hythe/abi"
	"hythe/personality/image"
	"hythe/server/unix/core"
)

// Flags of mmap(2) that all systems share (sys/mman.h).
const (
	mapShared  = 0x1
	mapPrivate = 0x2
	mapFixed   = 0x10
	mapAnon    = 0x1000
)

// MapFlags are the flags of mmap(2) in which the systems differ; 0: it has none.
type MapFlags struct {
	Guard  uint64 // reserves the place
	Excl   uint64 // with MAP_FIXED: only where nothing is
	Low32  uint64 // below 4 GiB
	Ignore uint64 // hints that are not followed
	Stack  uint64 // anonymous memory for a stack
	// Padded: one argument lies between descriptor and offset, which thus is on the
	// stack.
	Padded bool
}

// StackArg is argument 6+i of a call: it lies above the address that the call's wrapper
// returns to.
func StackArg(c *core.Call, i uint64) (uint64, abi.Errno) {
	return c.CopyIn64(c.Regs.SP + 8 + 8*i)
}

// Padded is fn for a call with an argument at place i that says nothing: one that puts
// those of 64 bits where they are with 32-bit registers.
func Padded(i int, fn Func) Func {
	return func(p *Personality, c *core.Call) (uint64, abi.Errno) {
		all := c.Args
		copy(c.Args[i:6], all[i+1:6])
		v, e := fn(p, c)
		c.Args = all
		return v, e
	}
}

// align is in flags from bit 24 on: the binary logarithm of what to align to. One stands
// for "as a large page".
const alignShift = 24

// Mmap serves mmap(2): address, length, protection, flags, descriptor, offset.
func Mmap(f MapFlags) Func {
	return func(_ *Personality, c *core.Call) (uint64, abi.Errno) {
		addr, size, prot, flags, off := c.Args[0], c.Args[1], c.Args[2], c.Args[3], c.Args[5]
		if f.Padded {
			off = 0
			if flags&mapAnon == 0 {
				var e abi.Errno
				if off, e = StackArg(c, 0); e != 0 {
					return 0, e
				}
			}
		}
		fd := int32(c.Args[4])
		flags &= 0xffffffff
		known := mapShared | mapPrivate | mapFixed | f.Stack | mapAnon | f.Guard | f.Excl | f.Low32 | f.Ignore | 0xff<<alignShift
		if flags&^known != 0 || flags&(mapShared|mapPrivate) == mapShared|mapPrivate || prot&^7 != 0 {
			return 0, abi.EINVAL
		}
		if flags&f.Excl != 0 && flags&mapFixed == 0 {
			return 0, abi.EINVAL
		}
		guard := flags&f.Guard != 0
		anon := flags&mapAnon != 0 || flags&f.Stack != 0 || guard
		if anon && fd != -1 || guard && (prot != 0 || off != 0) {
			return 0, abi.EINVAL
		}
		if a := flags >> alignShift; a > 1 && (a < 12 || a > 40) {
			return 0, abi.EINVAL
		}
		// The offset need not be a whole page: the mapping then begins in its page.
		lead := off & 4095
		if anon {
			lead, off = 0, 0
		}
		off -= lead
		if size == 0 {
			return 0, abi.EINVAL
		}
		if size > image.GuestEnd {
			return 0, abi.ENOMEM
		}
		size = (size + lead + 4095) &^ 4095
		host := uint64(image.MapPrivate | image.MapNoreserve)
		shared := flags&mapShared != 0
		if shared {
			host = image.MapShared | image.MapNoreserve
		}
		if flags&mapFixed != 0 {
			if addr -= lead; addr&4095 != 0 || addr+size < addr {
				return 0, abi.EINVAL
			}
			if flags&f.Excl != 0 {
				host |= image.MapFixedNR
			} else {
				host |= image.MapFixed
			}
		} else {
			addr &^= 4095
		}
		if flags&f.Low32 != 0 {
			host |= 0x40 // MAP_32BIT
		}
		if a := flags >> alignShift; a > 1 && flags&mapFixed == 0 {
			if !anon || shared {
				return 0, abi.EINVAL
			}
			return mapAligned(c, size, prot, host, 1<<a)
		}
		if anon && !shared {
			c.Act(abi.ActMapAnon, abi.ActResult, addr, size, prot, host)
			return 0, 0
		}
		if anon {
			return 0, mapNew(c, addr, size, prot, host)
		}
		return mapFile(c, fd, addr, size, prot, host, off, shared)
	}
}

// mapAligned maps private memory at a multiple of align, which is above a page: at a
// place of ours.
func mapAligned(c *core.Call, size, prot, host, align uint64) (uint64, abi.Errno) {
	const base, limit = 0x7c00_0000_0000, 1 << 38
	m := c.MutProc()
	next := (m.MapNext + align - 1) &^ (align - 1)
	if size > limit || next+size > limit {
		return 0, abi.ENOMEM
	}
	m.MapNext = next + size
	c.Act(abi.ActMapAnon, abi.ActResult, base+next, size, prot, host|image.MapFixedNR)
	return 0, 0
}

// mapNew maps fresh shared memory that forks share.
func mapNew(c *core.Call, addr, size, prot, host uint64) abi.Errno {
	k := c.K
	var obj core.ObjectName
	var e abi.Errno
	c.Unlocked(func() { obj, _, e = k.Host.NewObject(size, "") })
	if e != 0 {
		return e
	}
	tag := k.NextGrant()
	k.Host.Grant(c.Task, obj, false, tag)
	k.DropObject(obj)
	c.Act(abi.ActMapObject, uint32(tag)<<8|abi.ActResult, addr, size, prot, host, 0)
	c.Act(abi.ActDropGrant, abi.ActIgnore, tag)
	return 0
}

// mapFile maps an open file.
func mapFile(c *core.Call, fd int32, addr, size, prot, host, off uint64, shared bool) (uint64, abi.Errno) {
	k := c.K
	ref, file, e := c.File(fd)
	if e != 0 {
		return 0, e
	}
	if file.Kind == core.FilePath {
		return 0, abi.EBADF
	}
	write := shared && file.Access&core.AccessWrite != 0
	if shared && prot&image.ProtWrite != 0 && !write || file.Access&core.AccessRead == 0 {
		return 0, abi.EACCES
	}
	if off+size < off {
		return 0, abi.EINVAL
	}
	obj, e := k.Ops(ref).Map(c, ref, write)
	if e != 0 && write && prot&image.ProtWrite == 0 {
		obj, e = k.Ops(ref).Map(c, ref, false)
		write = false
	}
	if e != 0 {
		return 0, e
	}
	tag := k.NextGrant()
	k.Host.Grant(c.Task, obj, !write, tag)
	c.Act(abi.ActMapObject, uint32(tag)<<8|abi.ActResult, addr, size, prot, host, off)
	c.Act(abi.ActDropGrant, abi.ActIgnore, tag)
	return 0, 0
}

// Msync serves msync(2). Mapped files are shared memory objects: what is written is
// there.
func Msync(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	const async, invalidate = 1, 2
	if f := c.Args[2]; c.Args[0]&4095 != 0 || f&^(async|invalidate) != 0 || f == async|invalidate {
		return 0, abi.EINVAL
	}
	return 0, 0
}
