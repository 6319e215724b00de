package linux

import (
	"hythe/abi"
	"hythe/personality/image"
	"hythe/server/unix/core"
)

// Calls on memory. The library serves what concerns only its own task
// (anonymous memory, protection, advice, brk, futexes); the server gets what
// names files, and what the library could not do.

// Flags of mmap beyond those in exec.go (asm-generic/mman*.h).
const (
	mapType     = 0x0f
	map32bit    = 0x40
	mapHugetlb  = 0x40000
	mapPopulate = 0x8000
	mapStack    = 0x20000
	// mapHost is what is handed to the host.
	mapHost = mapFixed | map32bit | mapNoreserve | mapPopulate | mapStack | mapFixedNR
	// mapValid is what MAP_SHARED_VALIDATE accepts.
	mapValid = mapHost | mapType | mapAnonymous | mapGrowsdown | 0x80 | 0x800 | 0x1000 | 0x2000 | 0x10000 | 0x4000000 | mapHugetlb | 31<<26 // sizes of huge pages
	// copyBase is where private copies of files whose server cannot map lie
	// when the program leaves the place to us.
	copyBase = 0x7c00_0000_0000
	copySize = 1 << 38
)

func memCalls() []Entry {
	return []Entry{
		{Nr: 9, Name: "mmap", Fn: sysMmap, Sig: "puPMfx", Local: abi.LocalMmap, Level: Partial, Note: "no huge pages, no locked memory"},
		{Nr: 10, Name: "mprotect", Sig: "puP", Local: abi.LocalMprotect},
		{Nr: 11, Name: "munmap", Sig: "pu", Local: abi.LocalMunmap},
		{Nr: 12, Name: "brk", Fn: sysBrk, Sig: "p", Local: abi.LocalBrk},
		{Nr: 25, Name: "mremap", Sig: "puuxp", Local: abi.LocalMremap},
		{Nr: 26, Name: "msync", Fn: sysMsync, Sig: "pux", Local: abi.LocalMsync},
		{Nr: 27, Name: "mincore", Sig: "pup", Local: abi.LocalMincore},
		{Nr: 28, Name: "madvise", Sig: "pui", Local: abi.LocalMadvise},
		{Nr: 149, Name: "mlock", Fn: zero, Sig: "pu", Local: abi.LocalMlock, Level: Partial, Note: "the range is checked, nothing is locked"},
		{Nr: 150, Name: "munlock", Fn: zero, Sig: "pu", Local: abi.LocalMlock},
		{Nr: 151, Name: "mlockall", Fn: sysMlockall, Sig: "x", Level: Partial, Note: "nothing is locked"},
		{Nr: 152, Name: "munlockall", Fn: zero},
		{Nr: 202, Name: "futex", Fn: sysFutex, Sig: "pxuppu", Local: abi.LocalFutex, Level: Partial, Note: "an owner does not inherit a waiter's priority; LOCK_PI of a word between processes waits also for an owner that is gone and left no robust list"},
		{Nr: 324, Name: "membarrier", Sig: "ixi", Local: abi.LocalMembarrier},
		{Nr: 325, Name: "mlock2", Fn: sysMlock2, Sig: "pux", Level: Partial, Note: "nothing is locked"},
	}
}

// sysBrk answers where the break is when the library could not move it: the
// program's library takes an unmoved break as a refusal.
func sysBrk(p *Personality, c *core.Call) (uint64, abi.Errno) { return c.Proc().BrkStart, 0 }

func sysMsync(p *Personality, c *core.Call) (uint64, abi.Errno) {
	f := c.Args[2]
	if f&^7 != 0 || f&5 == 5 || c.Args[0]&4095 != 0 {
		return 0, abi.EINVAL
	}
	// Mapped files are shared memory objects: what is written is there.
	return 0, 0
}

func sysMlockall(p *Personality, c *core.Call) (uint64, abi.Errno) {
	f := c.Args[0]
	if f == 0 || f&^7 != 0 || f == 4 {
		return 0, abi.EINVAL
	}
	if c.Proc().Rlimits[core.RlimitMemlock].Cur == 0 && !c.Capable(core.CapIpcLock) {
		return 0, abi.EPERM
	}
	return 0, 0
}

func sysMlock2(p *Personality, c *core.Call) (uint64, abi.Errno) {
	if c.Args[2]&^1 != 0 {
		return 0, abi.EINVAL
	}
	return 0, 0
}

// sysFutex gets the operations that the library does not serve.
func sysFutex(p *Personality, c *core.Call) (uint64, abi.Errno) {
	switch c.Args[1] & 0x7f {
	case 0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13:
		return 0, abi.EINVAL
	}
	return 0, abi.ENOSYS
}

// Cut implements core.Personality: of the calls that the library serves only futex waits, sleeps and waits by
// epoll sets. One with a time limit is not restarted after a handler, and the last never is.
func (p *Personality) Cut(c *core.Call) abi.Errno {
	if c.Nr == 35 || c.Nr == 230 { // nanosleep, clock_nanosleep
		return abi.ErrRestartNoHnd
	}
	if c.Nr == 202 {
		switch c.Regs.SI & 0x7f {
		case 6, 11, 13: // LOCK_PI, WAIT_REQUEUE_PI, LOCK_PI2
			return abi.ErrRestartNoInt
		}
		if c.Regs.R10 != 0 {
			return abi.ErrRestartNoHnd
		}
	}
	if c.Nr == 232 || c.Nr == 281 { // epoll_wait, epoll_pwait
		if c.Interrupted() != 0 {
			return abi.EINTR
		}
	}
	return abi.ErrRestart
}

func sysMmap(p *Personality, c *core.Call) (uint64, abi.Errno) {
	addr, size, prot, flags, off := c.Args[0], c.Args[1], c.Args[2], c.Args[3], c.Args[5]
	k := c.K
	if off&4095 != 0 {
		return 0, abi.EINVAL
	}
	anon := flags&mapAnonymous != 0
	fd := int32(c.Args[4])
	var file *core.File
	if !anon {
		_, f, e := c.File(fd)
		if e != 0 {
			return 0, e
		}
		if f.Flags&core.OpenPath != 0 || f.Kind == core.FilePath {
			return 0, abi.EBADF
		}
		file = f
	}
	if size == 0 || flags&mapHugetlb != 0 {
		return 0, abi.EINVAL
	}
	size = (size + 4095) &^ 4095
	if size == 0 || size > image.GuestEnd {
		return 0, abi.ENOMEM
	}
	if flags&(mapFixed|mapFixedNR) != 0 {
		if addr&4095 != 0 {
			return 0, abi.EINVAL
		}
		if addr+size < addr {
			return 0, abi.ENOMEM
		}
	}
	if off+size < off {
		return 0, abi.EOVERFLOW
	}
	shared := false
	switch flags & mapType {
	case mapSharedVal:
		if flags&^uint64(mapValid) != 0 {
			return 0, abi.EOPNOTSUPP
		}
		shared = true
	case mapShared:
		shared = true
	case mapPrivate:
	default:
		return 0, abi.EINVAL
	}
	write := false
	if file != nil {
		write = shared && file.Access&core.AccessWrite != 0
		if shared && prot&protWrite != 0 && !write || file.Access&core.AccessRead == 0 {
			return 0, abi.EACCES
		}
	}
	host := flags&mapHost | mapPrivate
	if shared {
		host = flags&mapHost | mapShared
	}
	prot &= protRead | protWrite | protExec

	if anon {
		if !shared {
			c.Act(abi.ActMapAnon, abi.ActResult, addr, size, prot, host)
			return 0, 0
		}
		return 0, mapNew(c, addr, size, prot, host)
	}
	ref, _, e := c.File(fd)
	if e != 0 {
		return 0, e
	}
	zeroDev := file.Kind == core.FileDev && k.Ops(ref).LinkName(ref) == "/dev/zero"
	obj, e := k.Ops(ref).Map(c, ref, write)
	if e != 0 && write && prot&protWrite == 0 {
		obj, e = k.Ops(ref).Map(c, ref, false)
		write = false
	}
	switch {
	case e == abi.ENODEV && zeroDev && !shared:
		c.Act(abi.ActMapAnon, abi.ActResult, addr, size, prot, host)
		return 0, 0
	case e == abi.ENODEV && zeroDev:
		return 0, mapNew(c, addr, size, prot, host)
	case e == abi.ENODEV && !shared:
		return mapCopy(c, fd, addr, size, prot, host, off)
	case e != 0:
		return 0, e
	}
	tag, kept := c.GrantFile(ref, obj, write)
	flag := uint32(abi.ActResult)
	if !shared {
		flag |= abi.ActPatch // a library: the program does not look at it
	}
	c.Act(abi.ActMapObject, uint32(tag)<<8|flag, addr, size, prot, host, off)
	if !kept {
		c.Act(abi.ActDropGrant, abi.ActIgnore, tag)
	}
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

// mapCopy is a private mapping of a regular file whose server cannot map:
// anonymous memory with a copy of the bytes. Its place is ours to choose, so
// that the bytes can be stored before the call's result is known.
func mapCopy(c *core.Call, fd int32, addr, size, prot, host, off uint64) (uint64, abi.Errno) {
	k := c.K
	ref, file, e := c.File(fd)
	if e != 0 {
		return 0, e
	}
	if file.Kind != core.FileVnode && file.Kind != core.FileMemfd {
		return 0, abi.ENODEV
	}
	if host&(mapFixed|mapFixedNR) == 0 {
		m := c.MutProc()
		if m.MapNext+size+4096 > copySize {
			return 0, abi.ENOMEM
		}
		addr = copyBase + m.MapNext
		m.MapNext += size + 4096
	}
	host = host&^mapFixedNR | mapFixed
	c.Act(abi.ActMapAnon, 0, addr, size, protRead|protWrite, host)
	k.HoldFile(ref)
	defer k.DropFile(c, ref)
	buf := make([]byte, 64<<10)
	for done := uint64(0); done < size; {
		n, e := k.Ops(ref).Read(c, ref, buf[:min(size-done, uint64(len(buf)))], int64(off+done))
		if e != 0 {
			return 0, e
		}
		if n <= 0 {
			break
		}
		c.CopyOut(addr+done, buf[:n])
		done += uint64(n)
	}
	if prot != protRead|protWrite {
		c.Act(abi.ActProtect, 0, addr, size, prot)
	}
	return addr, 0
}
