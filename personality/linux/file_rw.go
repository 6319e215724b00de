package linux

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/server/unix/core"
	"hythe/store"
)

// Reading, writing and descriptors.

func rwCalls() []Entry {
	iov := pre(abi.Pre{Kind: abi.PreIovRO, Arg: 1, Size: 2})
	iovData := pre(abi.Pre{Kind: abi.PreIov, Arg: 1, Size: 2})
	return []Entry{
		{Nr: 0, Name: "read", Fn: sysRead, Local: abi.LocalRead, Sig: "fBu"},
		{Nr: 1, Name: "write", Fn: sysWrite, Local: abi.LocalWrite, Pre: pre(preBuf(1, 2)), Sig: "fbu"},
		{Nr: 17, Name: "pread64", Fn: sysPread, Local: abi.LocalPread, Sig: "fBud"},
		{Nr: 18, Name: "pwrite64", Fn: sysPwrite, Local: abi.LocalPwrite, Pre: pre(preBuf(1, 2)), Sig: "fbud"},
		{Nr: 19, Name: "readv", Fn: sysReadv, Pre: iov, Sig: "fpu"},
		{Nr: 20, Name: "writev", Fn: sysWritev, Local: abi.LocalWritev, Pre: iovData, Sig: "fpu"},
		{Nr: 295, Name: "preadv", Fn: sysPreadv, Pre: iov, Sig: "fpud"},
		{Nr: 296, Name: "pwritev", Fn: sysPwritev, Pre: iovData, Sig: "fpud"},
		{Nr: 327, Name: "preadv2", Fn: sysPreadv2, Pre: iov, Sig: "fpud-x", Level: Partial, Note: "RWF_NOWAIT is EOPNOTSUPP"},
		{Nr: 328, Name: "pwritev2", Fn: sysPwritev2, Pre: iovData, Sig: "fpud-x", Level: Partial, Note: "RWF_NOWAIT and RWF_APPEND are EOPNOTSUPP"},
		{Nr: 8, Name: "lseek", Fn: sysLseek, Local: abi.LocalSeek, Sig: "fdl"},
		{Nr: 40, Name: "sendfile", Fn: sysSendfile, Sig: "ffpu"},
		{Nr: 326, Name: "copy_file_range", Fn: sysCopyFileRange, Sig: "fpfpux"},
		{Nr: 74, Name: "fsync", Fn: sysFsync, Sig: "f"},
		{Nr: 75, Name: "fdatasync", Fn: sysFdatasync, Sig: "f"},
		{Nr: 162, Name: "sync", Fn: sysSync},
		{Nr: 306, Name: "syncfs", Fn: sysSyncfs, Sig: "f"},
		{Nr: 277, Name: "sync_file_range", Fn: sysSyncFileRange, Sig: "fddx"},
		{Nr: 285, Name: "fallocate", Fn: sysFallocate, Sig: "fxdd", Level: Partial, Note: "FALLOC_FL_COLLAPSE_RANGE and INSERT_RANGE are EOPNOTSUPP"},
		{Nr: 221, Name: "fadvise64", Fn: sysFadvise, Sig: "fddd", Note: "advice is checked and not used"},
		{Nr: 187, Name: "readahead", Fn: sysReadahead, Sig: "fdu", Note: "checked and not used"},
	}
}

// count checks a length that a file system moves by itself, as rw_verify_area
// does: EINVAL when it is negative.
func count(n uint64) abi.Errno {
	if int64(n) < 0 {
		return abi.EINVAL
	}
	return 0
}

// bufferLen checks the length of a buffer, as access_ok does: one that no
// address space holds is EFAULT.
func bufferLen(n uint64) abi.Errno {
	if int64(n) < 0 {
		return abi.EFAULT
	}
	return 0
}

// ioFile checks that fd is open for want, and for positioned calls that it has
// offsets. EBADF, ESPIPE.
func ioFile(c *core.Call, fd int32, want uint32, at bool) abi.Errno {
	off := int64(-1)
	if at && want == core.AccessRead {
		off = 0 // an offset that is lent stays so
	}
	f, file, e := c.FileAt(fd, off)
	if e != 0 {
		return e
	}
	if file.Kind == core.FilePath {
		return abi.EBADF
	}
	if at && !c.Seekable(f) {
		return abi.ESPIPE
	}
	if file.Access&want == 0 {
		return abi.EBADF
	}
	return 0
}

func sysRead(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	fd := int32(c.Args[0])
	if e := ioFile(c, fd, core.AccessRead, false); e != 0 {
		return 0, e
	}
	if e := bufferLen(c.Args[2]); e != 0 {
		return 0, e
	}
	n, e := c.ReadFD(fd, c.Args[1], c.Args[2], -1)
	return counted(c, core.CountRead, n, e)
}

func sysWrite(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	fd := int32(c.Args[0])
	if e := ioFile(c, fd, core.AccessWrite, false); e != 0 {
		return 0, e
	}
	if e := bufferLen(c.Args[2]); e != 0 {
		return 0, e
	}
	n, e := c.WriteFD(fd, c.Args[1], c.Args[2], -1)
	return counted(c, core.CountWrite, n, e)
}

func sysPread(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	fd := int32(c.Args[0])
	if int64(c.Args[3]) < 0 {
		return 0, abi.EINVAL
	}
	if e := ioFile(c, fd, core.AccessRead, true); e != 0 {
		return 0, e
	}
	if e := bufferLen(c.Args[2]); e != 0 {
		return 0, e
	}
	n, e := c.ReadFD(fd, c.Args[1], c.Args[2], int64(c.Args[3]))
	return counted(c, core.CountRead, n, e)
}

func sysPwrite(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	fd := int32(c.Args[0])
	if int64(c.Args[3]) < 0 {
		return 0, abi.EINVAL
	}
	if e := ioFile(c, fd, core.AccessWrite, true); e != 0 {
		return 0, e
	}
	if e := bufferLen(c.Args[2]); e != 0 {
		return 0, e
	}
	if int64(c.Args[3]+c.Args[2]) < 0 {
		return 0, abi.EINVAL
	}
	n, e := c.WriteFD(fd, c.Args[1], c.Args[2], int64(c.Args[3]))
	return counted(c, core.CountWrite, n, e)
}

// counted is the result of a call that moves bytes, which /proc/PID/io counts.
func counted(c *core.Call, how int, n uint64, e abi.Errno) (uint64, abi.Errno) {
	c.CountIO(how, n, e)
	return n, e
}

// vector serves all calls with an iovec array: off -1 is the file's own offset.
func vector(c *core.Call, want uint32, off int64) (uint64, abi.Errno) {
	how := core.CountWrite
	if want == core.AccessRead {
		how = core.CountRead
	}
	n, e := moveVector(c, want, off)
	return counted(c, how, n, e)
}

func moveVector(c *core.Call, want uint32, off int64) (uint64, abi.Errno) {
	fd := int32(c.Args[0])
	if off < -1 {
		return 0, abi.EINVAL
	}
	if e := ioFile(c, fd, want, off >= 0); e != 0 {
		return 0, e
	}
	if c.Args[2] > 1024 {
		return 0, abi.EINVAL
	}
	v, e := c.IOVecArg(1, int(c.Args[2]))
	if e != 0 {
		return 0, e
	}
	if len(v) == 0 {
		return 0, 0
	}
	if want == core.AccessRead {
		return c.ReadV(fd, v, off)
	}
	return c.WriteV(fd, v, off)
}

func sysReadv(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return vector(c, core.AccessRead, -1)
}

func sysWritev(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return vector(c, core.AccessWrite, -1)
}

// posArg is the offset of preadv and its like: a negative one is EINVAL, which
// vector says for -2.
func posArg(v uint64) int64 {
	if int64(v) < 0 {
		return -2
	}
	return int64(v)
}

func sysPreadv(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return vector(c, core.AccessRead, posArg(c.Args[3]))
}

func sysPwritev(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return vector(c, core.AccessWrite, posArg(c.Args[3]))
}

// RWF_ flags (include/uapi/linux/fs.h).
const (
	rwfHipri = 1
	rwfDsync = 2
	rwfSync  = 4
)

func pos2(v uint64) int64 {
	if v == ^uint64(0) {
		return -1
	}
	return posArg(v)
}

func sysPreadv2(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	if c.Args[5]&0xffffffff&^uint64(rwfHipri|rwfDsync|rwfSync) != 0 {
		return 0, abi.EOPNOTSUPP
	}
	return vector(c, core.AccessRead, pos2(c.Args[3]))
}

func sysPwritev2(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	fl := uint32(c.Args[5])
	if fl&^uint32(rwfHipri|rwfDsync|rwfSync) != 0 {
		return 0, abi.EOPNOTSUPP
	}
	n, e := vector(c, core.AccessWrite, pos2(c.Args[3]))
	if e == 0 && n > 0 && fl&(rwfDsync|rwfSync) != 0 {
		if f, _, e := c.File(int32(c.Args[0])); e == 0 {
			c.K.Ops(f).Sync(c, f, fl&rwfSync == 0)
		}
	}
	return n, e
}

func sysLseek(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	n, e := c.SeekFD(int32(c.Args[0]), int64(c.Args[1]), uint32(c.Args[2]))
	return uint64(n), e
}

func sysSendfile(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	off := int64(-1)
	if c.Args[2] != 0 {
		v, e := c.CopyIn64(c.Args[2])
		if e != 0 {
			return 0, e
		}
		if off = int64(v); off < 0 {
			return 0, abi.EINVAL
		}
	}
	in, inFile, e := c.File(int32(c.Args[1]))
	if e != 0 {
		return 0, e
	}
	if inFile.Kind == core.FilePath || inFile.Access&core.AccessRead == 0 {
		return 0, abi.EBADF
	}
	if off >= 0 && !c.Seekable(in) {
		return 0, abi.ESPIPE
	}
	out, outFile, e := c.File(int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	if outFile.Kind == core.FilePath || outFile.Access&core.AccessWrite == 0 {
		return 0, abi.EBADF
	}
	if !c.Seekable(in) || outFile.Flags&core.OpenAppend != 0 {
		return 0, abi.EINVAL
	}
	if e := count(c.Args[3]); e != 0 {
		return 0, e
	}
	n, e := c.CopyFile(in, out, off, -1, c.Args[3])
	c.CountIO(core.CountRead|core.CountWrite, n, e)
	if e == abi.EISDIR {
		e = abi.EINVAL
	}
	if e == 0 && off >= 0 {
		c.CopyOut64(c.Args[2], uint64(off)+n)
	}
	return n, e
}

func sysCopyFileRange(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	var off [2]int64
	for i, a := range []uint64{c.Args[1], c.Args[3]} {
		off[i] = -1
		if a != 0 {
			v, e := c.CopyIn64(a)
			if e != 0 {
				return 0, e
			}
			if off[i] = int64(v); off[i] < 0 {
				return 0, abi.EINVAL
			}
		}
	}
	in, inFile, e := c.File(int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	out, outFile, e := c.File(int32(c.Args[2]))
	if e != 0 {
		return 0, e
	}
	if c.Args[5] != 0 {
		return 0, abi.EINVAL
	}
	for _, f := range []*core.File{inFile, outFile} {
		if f.Kind == core.FilePath {
			return 0, abi.EBADF
		}
	}
	for _, fd := range []int32{int32(c.Args[0]), int32(c.Args[2])} {
		s, e := c.StatFD(fd)
		if e != 0 {
			return 0, e
		}
		switch s.Mode & 0o170000 {
		case 0o100000:
		case 0o040000:
			return 0, abi.EISDIR
		default:
			return 0, abi.EINVAL
		}
	}
	inFile, outFile = c.K.Files.Get(in), c.K.Files.Get(out)
	if inFile.Access&core.AccessRead == 0 || outFile.Access&core.AccessWrite == 0 || outFile.Flags&core.OpenAppend != 0 {
		return 0, abi.EBADF
	}
	if e := count(c.Args[4]); e != 0 {
		return 0, e
	}
	if inFile.Vnode == outFile.Vnode {
		a, b := uint64(off[0]), uint64(off[1])
		if off[0] < 0 {
			a = uint64(inFile.Off)
		}
		if off[1] < 0 {
			b = uint64(outFile.Off)
		}
		if n := c.Args[4]; a+n > b && b+n > a {
			return 0, abi.EINVAL
		}
	}
	n, e := c.CopyFile(in, out, off[0], off[1], c.Args[4])
	if c.Args[4] != 0 {
		c.CountIO(core.CountRead|core.CountWrite, n, e)
	}
	if e == 0 {
		for i, a := range []uint64{c.Args[1], c.Args[3]} {
			if a != 0 {
				c.CopyOut64(a, uint64(off[i])+n)
			}
		}
	}
	return n, e
}

func syncFD(c *core.Call, dataOnly bool) (uint64, abi.Errno) {
	f, file, e := c.File(int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	if file.Kind == core.FilePath {
		return 0, abi.EBADF
	}
	return 0, c.K.Ops(f).Sync(c, f, dataOnly)
}

func sysFsync(_ *Personality, c *core.Call) (uint64, abi.Errno)     { return syncFD(c, false) }
func sysFdatasync(_ *Personality, c *core.Call) (uint64, abi.Errno) { return syncFD(c, true) }

func sysSync(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	c.SyncAll()
	return 0, 0
}

func sysSyncfs(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	_, file, e := c.File(int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	if file.Kind == core.FilePath {
		return 0, abi.EBADF
	}
	c.SyncAll()
	return 0, 0
}

func sysSyncFileRange(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	off, n := int64(c.Args[1]), int64(c.Args[2])
	if uint32(c.Args[3])&^7 != 0 || off < 0 || n < 0 || off+n < off {
		return 0, abi.EINVAL
	}
	f, file, e := c.File(int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	if file.Kind == core.FilePath {
		return 0, abi.EBADF
	}
	if !c.Seekable(f) {
		return 0, abi.ESPIPE
	}
	return 0, c.K.Ops(f).Sync(c, f, true)
}

func sysFallocate(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	const keepSize, punchHole, zeroRange = 1, 2, 16
	f, file, e := c.File(int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	mode, off, n := uint32(c.Args[1]), int64(c.Args[2]), int64(c.Args[3])
	if off < 0 || n <= 0 {
		return 0, abi.EINVAL
	}
	switch mode {
	case 0, keepSize, punchHole | keepSize, zeroRange, zeroRange | keepSize:
	default:
		return 0, abi.EOPNOTSUPP
	}
	if file.Kind == core.FilePath || file.Access&core.AccessWrite == 0 {
		return 0, abi.EBADF
	}
	if file.Kind == core.FilePipe {
		return 0, abi.ESPIPE
	}
	return 0, c.K.Ops(f).Allocate(c, f, mode, uint64(off), uint64(n))
}

func sysFadvise(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	_, file, e := c.File(int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	switch {
	case file.Kind == core.FilePath:
		return 0, abi.EBADF
	case file.Kind == core.FilePipe || file.Kind == core.FileSocket:
		return 0, abi.ESPIPE
	case int64(c.Args[2]) < 0 || uint32(c.Args[3]) > 5:
		return 0, abi.EINVAL
	}
	return 0, 0
}

func sysReadahead(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	_, file, e := c.File(int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	if file.Kind == core.FilePath || file.Access&core.AccessRead == 0 {
		return 0, abi.EBADF
	}
	if file.Kind != core.FileVnode && file.Kind != core.FileMemfd {
		return 0, abi.EINVAL
	}
	return 0, 0
}

func fdCalls() []Entry {
	return []Entry{
		{Nr: 32, Name: "dup", Fn: sysDup, Sig: "f"},
		{Nr: 33, Name: "dup2", Fn: sysDup2, Sig: "ff"},
		{Nr: 292, Name: "dup3", Fn: sysDup3, Sig: "ffO"},
		{Nr: 72, Name: "fcntl", Fn: sysFcntl, Local: abi.LocalFcntl, Sig: "fFx", Level: Partial, Note: "leases and F_NOTIFY are EINVAL; no SIGURG"},
		{Nr: 73, Name: "flock", Fn: sysFlock, Sig: "fx"},
		{Nr: 16, Name: "ioctl", Fn: sysIoctl, Local: abi.LocalIoctl, Sig: "fQp"},
	}
}

func sysDup(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	fd, e := c.Dup(int32(c.Args[0]), 0, 0)
	return uint64(fd), e
}

func sysDup2(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	from, to := int32(c.Args[0]), int32(c.Args[1])
	if from == to {
		_, _, e := c.File(from)
		return uint64(to), e
	}
	return uint64(to), c.Dup2(from, to, 0)
}

func sysDup3(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	from, to := int32(c.Args[0]), int32(c.Args[1])
	fl := uint64(uint32(c.Args[2]))
	if fl&^uint64(oCloexec) != 0 || from == to {
		return 0, abi.EINVAL
	}
	var f uint32
	if fl != 0 {
		f = core.FDCloexec
	}
	return uint64(to), c.Dup2(from, to, f)
}

// Commands of fcntl(2).
const (
	fDupfd        = 0
	fGetfd        = 1
	fSetfd        = 2
	fGetfl        = 3
	fSetfl        = 4
	fGetlk        = 5
	fSetlk        = 6
	fSetlkw       = 7
	fSetown       = 8
	fGetown       = 9
	fSetsig       = 10
	fGetsig       = 11
	fSetownEx     = 15
	fGetownEx     = 16
	fOfdGetlk     = 36
	fOfdSetlk     = 37
	fOfdSetlkw    = 38
	fGetlease     = 1025
	fDupfdCloexec = 1030
	fSetpipeSz    = 1031
	fGetpipeSz    = 1032
	fAddSeals     = 1033
	fGetSeals     = 1034
)

func sysFcntl(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	fd, cmd, arg := int32(c.Args[0]), uint32(c.Args[1]), c.Args[2]
	f, file, e := c.File(fd)
	if e != 0 {
		return 0, e
	}
	switch cmd {
	case fDupfd, fDupfdCloexec:
		var flags uint32
		if cmd == fDupfdCloexec {
			flags = core.FDCloexec
		}
		n, e := c.Dup(fd, int32(arg), flags)
		return uint64(n), e
	case fGetfd:
		_, flags, e := c.K.FDAt(c.Proc().FDs, fd)
		return uint64(flags & core.FDCloexec), e
	case fSetfd:
		return 0, c.K.SetFDFlags(c.Proc().FDs, fd, uint32(arg)&core.FDCloexec)
	case fGetfl:
		c.NoteMoved(fd)
		return showFlags(file), 0
	}
	if file.Kind == core.FilePath {
		return 0, abi.EBADF
	}
	switch cmd {
	case fSetfl:
		_, flags := openFlags(arg)
		c.NoteMoved(fd)
		return 0, c.SetFlags(f, fd, flags)
	case fGetlk, fSetlk, fSetlkw, fOfdGetlk, fOfdSetlk, fOfdSetlkw:
		return lockRange(c, fd, cmd, arg)
	case fSetown:
		return 0, setOwner(c, f, int32(arg))
	case fGetown:
		return uint64(int64(getOwner(c, f))), 0
	case fSetsig:
		if arg > 64 { // an unsigned long
			return 0, abi.EINVAL
		}
		c.K.Files.Mut(f).OwnSig = int32(arg)
		return 0, 0
	case fGetsig:
		return uint64(file.OwnSig), 0
	case fSetownEx: // struct f_owner_ex {int type; pid_t pid}
		b, e := c.CopyIn(arg, 8)
		if e != 0 {
			return 0, e
		}
		typ, pid := binary.LittleEndian.Uint32(b), int32(binary.LittleEndian.Uint32(b[4:]))
		if typ > core.OwnerGroup {
			return 0, abi.EINVAL
		}
		return 0, c.SetOwner(f, pid, typ)
	case fGetownEx:
		id, kind := c.K.Owner(f)
		c.CopyOut64(arg, uint64(kind)|uint64(uint32(id))<<32)
		return 0, 0
	case fGetlease:
		return 2, 0 // F_UNLCK
	case fSetpipeSz:
		n, e := c.K.SetPipeSize(f, uint64(uint32(arg)))
		return uint64(n), e
	case fGetpipeSz:
		n, e := c.K.PipeSize(f)
		return uint64(n), e
	case fAddSeals:
		return 0, c.AddSeals(f, uint32(arg))
	case fGetSeals:
		s, e := c.GetSeals(f)
		return uint64(s), e
	}
	return 0, abi.EINVAL
}

// setOwner is F_SETOWN: a process, a process group when negative.
func setOwner(c *core.Call, f store.Ref[core.File], id int32) abi.Errno {
	if id == -1<<31 {
		return abi.EINVAL
	}
	if id < 0 {
		return c.SetOwner(f, -id, core.OwnerGroup)
	}
	return c.SetOwner(f, id, core.OwnerProc)
}

func getOwner(c *core.Call, f store.Ref[core.File]) int32 {
	id, kind := c.K.Owner(f)
	if kind == core.OwnerGroup {
		return -id
	}
	return id
}

// lockRange serves the record locks: struct flock {s16 type, whence; s64 start,
// len; s32 pid} (asm-generic/fcntl.h, 32 bytes).
func lockRange(c *core.Call, fd int32, cmd uint32, addr uint64) (uint64, abi.Errno) {
	const rdlck, wrlck, unlck = 0, 1, 2
	raw, e := c.CopyIn(addr, 32)
	if e != 0 {
		return 0, e
	}
	b := append([]byte(nil), raw...)
	f, file, e := c.File(fd)
	if e != 0 {
		return 0, e
	}
	le := binary.LittleEndian
	typ, whence := le.Uint16(b), le.Uint16(b[2:])
	start, n := int64(le.Uint64(b[8:])), int64(le.Uint64(b[16:]))
	pid := int32(le.Uint32(b[24:]))
	ofd := cmd >= fOfdGetlk
	if ofd && pid != 0 {
		return 0, abi.EINVAL
	}
	var base int64
	switch whence {
	case 0:
	case 1:
		base = file.Off
	case 2:
		size, e := c.FileSize(f)
		if e != 0 {
			return 0, e
		}
		base = int64(size)
	default:
		return 0, abi.EINVAL
	}
	if start > 0 && base > 1<<63-1-start {
		return 0, abi.EOVERFLOW
	}
	start += base
	if start < 0 {
		return 0, abi.EINVAL
	}
	end := int64(1<<63 - 1)
	if n > 0 {
		if n-1 > end-start {
			return 0, abi.EOVERFLOW
		}
		end = start + n - 1
	} else if n < 0 {
		if start+n < 0 {
			return 0, abi.EINVAL
		}
		end = start - 1
		start += n
	}
	file = c.K.Files.Get(f)
	get := cmd == fGetlk || cmd == fOfdGetlk
	if typ > unlck || get && typ == unlck && !ofd {
		return 0, abi.EINVAL
	}
	if !get && (typ == rdlck && file.Access&core.AccessRead == 0 || typ == wrlck && file.Access&core.AccessWrite == 0) {
		return 0, abi.EBADF
	}
	l := core.FileLock{LockPlace: c.K.LockPlace(f), Kind: core.LockPosix, Pid: c.Proc().Pid,
		Start: uint64(start), End: uint64(end), Proc: c.ProcRef(), File: f}
	if ofd {
		l.Kind, l.Pid = core.LockOFD, -1
	}
	if typ == wrlck {
		l.Write = 1
	}
	if !get {
		return 0, c.SetLock(l, typ == unlck, cmd == fSetlkw || cmd == fOfdSetlkw)
	}
	held, ok := c.TestLock(l)
	if !ok {
		le.PutUint16(b, unlck)
	} else {
		le.PutUint16(b, uint16(held.Write))
		le.PutUint16(b[2:], 0)
		le.PutUint64(b[8:], held.Start)
		n := held.End - held.Start + 1
		if held.End == 1<<63-1 {
			n = 0
		}
		le.PutUint64(b[16:], n)
		le.PutUint32(b[24:], uint32(held.Pid))
	}
	c.CopyOut(addr, b)
	return 0, 0
}

func sysFlock(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	const sh, ex, nb, un, mand = 1, 2, 4, 8, 32
	op := uint32(c.Args[1])
	if op&mand != 0 {
		return 0, 0 // LOCK_MAND: Linux no longer has it and does nothing
	}
	switch op &^ nb {
	case sh, ex, un:
	default:
		return 0, abi.EINVAL
	}
	f, file, e := c.File(int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	if file.Kind == core.FilePath {
		return 0, abi.EBADF
	}
	l := core.FileLock{LockPlace: c.K.LockPlace(f), Kind: core.LockFlock, Pid: c.Proc().Pid, End: 1<<63 - 1, Proc: c.ProcRef(), File: f}
	if op&ex != 0 {
		l.Write = 1
	}
	return 0, c.SetLock(l, op&un != 0, op&nb == 0)
}

// ioctl requests that every file knows (asm-generic/ioctls.h, linux/fs.h).
const (
	tcgets   = 0x5401
	fionclex = 0x5450
	fioclex  = 0x5451
	fionbio  = 0x5421
	fioasync = 0x5452
	// Of sockets (asm-generic/sockios.h).
	fiosetown, siocspgrp = 0x8901, 0x8902
	fiogetown, siocgpgrp = 0x8903, 0x8904
	ficlone              = 0x40049409
	ficloneR             = 0x4020940d
)

func sysIoctl(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	fd, req, arg := int32(c.Args[0]), uint32(c.Args[1]), c.Args[2]
	f, file, e := c.File(fd)
	if e != 0 {
		return 0, e
	}
	if file.Kind == core.FilePath {
		return 0, abi.EBADF
	}
	switch req {
	case tcgets:
		c.NoteMoved(fd)
	case fioclex:
		return 0, c.K.SetFDFlags(c.Proc().FDs, fd, core.FDCloexec)
	case fionclex:
		return 0, c.K.SetFDFlags(c.Proc().FDs, fd, 0)
	case fionbio, fioasync:
		on, e := c.CopyIn32(arg)
		if e != 0 {
			return 0, e
		}
		if f, file, e = c.File(fd); e != 0 {
			return 0, e
		}
		if req == fioasync {
			return 0, c.SetAsync(f, fd, on != 0)
		}
		flags := file.Flags &^ core.OpenNonblock
		if on != 0 {
			flags |= core.OpenNonblock
		}
		return 0, c.SetFlags(f, fd, flags)
	case fiosetown, siocspgrp:
		if file.Kind != core.FileSocket {
			break
		}
		id, e := c.CopyIn32(arg)
		if e != 0 {
			return 0, e
		}
		if f, _, e = c.File(fd); e != 0 {
			return 0, e
		}
		return 0, setOwner(c, f, int32(id))
	case fiogetown, siocgpgrp:
		if file.Kind != core.FileSocket {
			break
		}
		c.CopyOut32(arg, uint32(getOwner(c, f)))
		return 0, 0
	case ficlone, ficloneR:
		return 0, abi.EOPNOTSUPP
	}
	if file.Kind == core.FileSocket && req&^0xff == 0x8900 {
		return netIoctl(c, fd, req, arg)
	}
	return c.K.Ops(f).Ioctl(c, f, req, arg)
}
