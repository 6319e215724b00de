package linux

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/server/unix/core"
)

// Calls on files. Flags and structures: include/uapi/asm-generic/fcntl.h,
// include/uapi/linux/{fcntl,openat2,stat,falloc,fs}.h, arch/x86/include/uapi/
// asm/stat.h.

// Flags of open(2) (asm-generic/fcntl.h; x86-64).
const (
	oAccMode   = 0o3
	oCreat     = 0o100
	oExcl      = 0o200
	oNoctty    = 0o400
	oTrunc     = 0o1000
	oAppend    = 0o2000
	oDsync     = 0o10000
	oAsync     = 0o20000
	oLargefile = 0o100000
	oDirectory = 0o200000
	oNofollow  = 0o400000
	oNoatime   = 0o1000000
	oSync      = 0o4010000
	oPath      = 0o10000000
	oTmpfile   = 0o20200000
	oValid     = oAccMode | oCreat | oExcl | oNoctty | oTrunc | oAppend | oNonblock | oDsync | oAsync |
		oDirect | oLargefile | oDirectory | oNofollow | oNoatime | oCloexec | oSync | oPath | oTmpfile
)

// AT_ flags (include/uapi/linux/fcntl.h).
const (
	atFdcwd           = -100
	atSymlinkNofollow = 0x100
	atEaccess         = 0x200
	atRemovedir       = 0x200
	atSymlinkFollow   = 0x400
	atNoAutomount     = 0x800
	atEmptyPath       = 0x1000
	atStatxSync       = 0x6000
)

var openBits = []struct {
	linux uint64
	core  uint32
}{
	{oCreat, core.OpenCreate}, {oExcl, core.OpenExcl}, {oNoctty, core.OpenNoctty}, {oTrunc, core.OpenTrunc},
	{oAppend, core.OpenAppend}, {oNonblock, core.OpenNonblock}, {oAsync, core.OpenAsync},
	{oDirect, core.OpenDirect}, {oLargefile, core.OpenLargefile}, {oDirectory, core.OpenDirectory},
	{oNofollow, core.OpenNofollow}, {oNoatime, core.OpenNoatime}, {oCloexec, core.OpenCloexec},
	{oPath, core.OpenPath},
}

// openFlags turns open(2)'s flags into core's.
func openFlags(fl uint64) (access, flags uint32) {
	switch fl & oAccMode {
	case 0:
		access = core.AccessRead
	case 1:
		access = core.AccessWrite
	default:
		access = core.AccessRead | core.AccessWrite
	}
	for _, b := range openBits {
		if fl&b.linux != 0 {
			flags |= b.core
		}
	}
	if fl&oSync == oSync {
		flags |= core.OpenSync | core.OpenDsync
	} else if fl&oDsync != 0 {
		flags |= core.OpenDsync
	}
	if fl&oTmpfile == oTmpfile {
		flags |= core.OpenTmpfile
	}
	return access, flags
}

// showFlags is what F_GETFL answers.
func showFlags(f *core.File) uint64 {
	var fl uint64
	switch f.Access & 3 {
	case core.AccessWrite:
		fl |= 1
	case core.AccessRead | core.AccessWrite:
		fl |= 2
	}
	for _, b := range openBits {
		if f.Flags&b.core != 0 && b.core&(core.OpenCreate|core.OpenExcl|core.OpenTrunc|core.OpenNoctty|core.OpenCloexec) == 0 {
			fl |= b.linux
		}
	}
	if f.Flags&core.OpenSync != 0 {
		fl |= oSync
	} else if f.Flags&core.OpenDsync != 0 {
		fl |= oDsync
	}
	if f.Kind == core.FilePath {
		fl |= oPath
	}
	return fl
}

func pre(p ...abi.Pre) []abi.Pre { return p }
func preStr(arg uint8) abi.Pre   { return abi.Pre{Kind: abi.PreStr, Arg: arg} }
func preStrs(arg uint8) abi.Pre  { return abi.Pre{Kind: abi.PreStrs, Arg: arg} }
func preFixed(arg uint8, size uint16) abi.Pre {
	return abi.Pre{Kind: abi.PreFixed, Arg: arg, Size: size}
}
func preBuf(arg uint8, lenArg uint16) abi.Pre {
	return abi.Pre{Kind: abi.PreBuf, Arg: arg, Size: lenArg}
}

func fileCalls() []Entry {
	var all []Entry
	for _, part := range [][]Entry{openCalls(), rwCalls(), statCalls(), nameCalls(), attrCalls(), fdCalls(), xattrCalls()} {
		all = append(all, part...)
	}
	return all
}

func openCalls() []Entry {
	return []Entry{
		{Nr: 2, Name: "open", Fn: sysOpen, Local: abi.LocalOpen, Named: 0x020, Pre: pre(preStr(0)), Sig: "som"},
		{Nr: 85, Name: "creat", Fn: sysCreat, Pre: pre(preStr(0)), Sig: "sm"},
		{Nr: 257, Name: "openat", Fn: sysOpenat, Local: abi.LocalOpen, Named: 0x030, Pre: pre(preStr(1)), Sig: "fsom"},
		{Nr: 437, Name: "openat2", Fn: sysOpenat2, Pre: pre(preStr(1), preFixed(2, 24)), Sig: "fspu"},
		{Nr: 3, Name: "close", Fn: sysClose, Local: abi.LocalClose, Sig: "f"},
		{Nr: 436, Name: "close_range", Fn: sysCloseRange, Sig: "uux"},
		{Nr: 319, Name: "memfd_create", Fn: sysMemfdCreate, Pre: pre(preStr(0)), Sig: "sJ", Level: Partial, Note: "MFD_HUGETLB is refused"},
		{Nr: 303, Name: "name_to_handle_at", Fn: refused(abi.EOPNOTSUPP), Level: Refused, Sig: "fsppx", Note: "EOPNOTSUPP: no file system has handles"},
		{Nr: 304, Name: "open_by_handle_at", Fn: refused(abi.EPERM), Level: Refused, Sig: "fpx", Note: "EPERM, as without CAP_DAC_READ_SEARCH"},
	}
}

// refused makes the function of a call that is answered with an error on purpose.
func refused(e abi.Errno) Func {
	return func(*Personality, *core.Call) (uint64, abi.Errno) { return 0, e }
}

func sysOpen(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return openat(c, core.AtCwd, 0, c.Args[1], c.Args[2], 0)
}

func sysCreat(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return openat(c, core.AtCwd, 0, oCreat|oTrunc|1, c.Args[1], 0)
}

func sysOpenat(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return openat(c, int32(c.Args[0]), 1, c.Args[2], c.Args[3], 0)
}

func openat(c *core.Call, dirfd int32, pathArg int, fl, mode uint64, resolve uint32) (uint64, abi.Errno) {
	fl = uint64(uint32(fl)) & oValid
	if fl&oPath != 0 {
		fl &= oPath | oDirectory | oNofollow | oCloexec
	} else {
		fl |= oLargefile // as every open(2) of a 64-bit program; pipes, sockets and their like lack it
	}
	if fl&0o20000000 != 0 {
		if fl&oDirectory == 0 {
			return 0, abi.EINVAL
		}
		if fl&oCreat != 0 {
			return 0, abi.EINVAL
		}
	} else if fl&(oCreat|oDirectory) == oCreat|oDirectory {
		return 0, abi.EINVAL
	}
	path, e := c.PathArg(pathArg)
	if e != 0 {
		return 0, e
	}
	if e := c.FDRoom(); e != 0 {
		return 0, e
	}
	access, flags := openFlags(fl)
	f, e := c.OpenAt(dirfd, path, access, flags, uint32(mode)&0o7777, resolve)
	if e != 0 {
		return 0, e
	}
	var fdf uint32
	if fl&oCloexec != 0 {
		fdf = core.FDCloexec
	}
	fd, e := c.Install(f, fdf)
	if e == 0 {
		keepOpened(c, fd)
		if fl&^(oCloexec|oNofollow|oNonblock|oLargefile) == 0 && c.Local == abi.LocalOpen {
			c.KeepOpen(fd)
		}
	}
	return uint64(fd), e
}

// keepOpened has the library keep the attributes of what was opened, and its offset and flags, if
// the program is likely to ask for them.
func keepOpened(c *core.Call, fd int32) {
	if s, ok := c.StatOpened(fd); ok {
		encodeStat(c, c.OutBuf(statSize), &s)
		c.KeepOpened(fd, statSize)
	}
	c.LetClose(fd)
	c.TellDir(fd)
	c.LendOpened(fd, func(f *core.File) uint32 { return uint32(showFlags(f)) })
}

// sysOpenat2: struct open_how {u64 flags, mode, resolve} (linux/openat2.h).
func sysOpenat2(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	size := c.Args[3]
	if size < 24 {
		return 0, abi.EINVAL
	}
	if size > 4096 {
		return 0, abi.E2BIG
	}
	how, e := c.StructArg(2, 24)
	if e != 0 {
		return 0, e
	}
	if size > 24 {
		rest, e := c.CopyIn(c.Args[2]+24, int(size-24))
		if e != 0 {
			return 0, e
		}
		for _, b := range rest {
			if b != 0 {
				return 0, abi.E2BIG
			}
		}
	}
	fl := binary.LittleEndian.Uint64(how)
	mode := binary.LittleEndian.Uint64(how[8:])
	res := binary.LittleEndian.Uint64(how[16:])
	if fl&^uint64(oValid) != 0 || res&^uint64(0x3f) != 0 || mode&^uint64(0o7777) != 0 {
		return 0, abi.EINVAL
	}
	if fl&oCreat == 0 && fl&0o20000000 == 0 && mode != 0 {
		return 0, abi.EINVAL
	}
	if fl&oPath != 0 && fl&^uint64(oPath|oDirectory|oNofollow|oCloexec) != 0 {
		return 0, abi.EINVAL
	}
	if res&0x18 == 0x18 { // BENEATH and IN_ROOT
		return 0, abi.EINVAL
	}
	var w uint32
	for i, bit := range []uint32{core.WalkNoXdev, core.WalkNoMagic, core.WalkNoSymlinks, core.WalkBeneath, core.WalkInRoot, core.WalkCached} {
		if res>>i&1 != 0 {
			w |= bit
		}
	}
	if w&core.WalkCached != 0 && fl&(oTrunc|oCreat|0o20000000) != 0 {
		return 0, abi.EAGAIN
	}
	return openat(c, int32(c.Args[0]), 1, fl, mode, w)
}

func sysClose(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return 0, c.CloseFD(int32(c.Args[0]))
}

func sysCloseRange(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	first, last, flags := uint32(c.Args[0]), uint32(c.Args[1]), uint32(c.Args[2])
	if flags&^uint32(6) != 0 || first > last {
		return 0, abi.EINVAL
	}
	// CLOSE_RANGE_UNSHARE is 2, CLOSE_RANGE_CLOEXEC 4.
	return 0, c.CloseRange(first, last, flags&4 != 0, flags&2 != 0)
}

func sysMemfdCreate(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	const cloexec, sealing, hugetlb, noexecSeal, exec = 1, 2, 4, 8, 16
	fl := uint64(uint32(c.Args[1]))
	if fl&^uint64(cloexec|sealing|noexecSeal|exec) != 0 || fl&(noexecSeal|exec) == noexecSeal|exec {
		return 0, abi.EINVAL
	}
	name, e := c.PathArg(0)
	if e != 0 {
		return 0, e
	}
	if len(name) > 249 {
		return 0, abi.EINVAL
	}
	if e := c.FDRoom(); e != 0 {
		return 0, e
	}
	f, e := c.Memfd(name, fl&sealing != 0, fl&noexecSeal != 0)
	if e != 0 {
		return 0, e
	}
	var fdf uint32
	if fl&cloexec != 0 {
		fdf = core.FDCloexec
	}
	fd, e := c.Install(f, fdf)
	return uint64(fd), e
}

func statCalls() []Entry {
	return []Entry{
		{Nr: 4, Name: "stat", Fn: sysStat, Local: abi.LocalName, Named: 0x002, Pre: pre(preStr(0)), Sig: "sS"},
		{Nr: 5, Name: "fstat", Fn: sysFstat, Local: abi.LocalStat, Sig: "fS"},
		{Nr: 6, Name: "lstat", Fn: sysLstat, Local: abi.LocalName, Named: 0x002, Pre: pre(preStr(0)), Sig: "sS"},
		{Nr: 262, Name: "newfstatat", Fn: sysNewfstatat, Local: abi.LocalStatAt, Named: 0x043, Pre: pre(preStr(1)), Sig: "fsSA"},
		{Nr: 332, Name: "statx", Fn: sysStatx, Pre: pre(preStr(1)), Sig: "fsAxp"},
		{Nr: 21, Name: "access", Fn: sysAccess, Local: abi.LocalName, Named: 0x020, Pre: pre(preStr(0)), Sig: "sz"},
		{Nr: 269, Name: "faccessat", Fn: sysFaccessat, Local: abi.LocalName, Named: 0x030, Pre: pre(preStr(1)), Sig: "fsz"},
		{Nr: 439, Name: "faccessat2", Fn: sysFaccessat2, Local: abi.LocalName, Named: 0x430, Pre: pre(preStr(1)), Sig: "fszA"},
		{Nr: 137, Name: "statfs", Fn: sysStatfs, Pre: pre(preStr(0)), Sig: "sp"},
		{Nr: 138, Name: "fstatfs", Fn: sysFstatfs, Sig: "fp"},
		{Nr: 136, Name: "ustat", Level: None, Sig: "up", Note: "no longer in C libraries"},
		{Nr: 139, Name: "sysfs", Level: None, Sig: "dpp", Note: "no longer in C libraries"},
		{Nr: 89, Name: "readlink", Fn: sysReadlink, Local: abi.LocalName, Named: 0x032, Pre: pre(preStr(0)), Sig: "sBu"},
		{Nr: 267, Name: "readlinkat", Fn: sysReadlinkat, Local: abi.LocalName, Named: 0x043, Pre: pre(preStr(1)), Sig: "fsBu"},
	}
}

// statSize is the size of struct stat (arch/x86/include/uapi/asm/stat.h).
const statSize = 144

func putStat(c *core.Call, addr uint64, s *core.Stat) {
	encodeStat(c, c.OutBuf(statSize), s)
	c.CopyOutBuf(addr, statSize)
}

// encodeStat stores a struct stat.
func encodeStat(c *core.Call, b []byte, s *core.Stat) {
	le := binary.LittleEndian
	clear(b)
	le.PutUint64(b[0:], s.Dev)
	le.PutUint64(b[8:], s.Ino)
	le.PutUint64(b[16:], uint64(s.Nlink))
	le.PutUint32(b[24:], s.Mode)
	le.PutUint32(b[28:], c.ShowUID(s.UID))
	le.PutUint32(b[32:], c.ShowGID(s.GID))
	le.PutUint64(b[40:], s.Rdev)
	le.PutUint64(b[48:], s.Size)
	le.PutUint64(b[56:], uint64(s.BlkSize))
	le.PutUint64(b[64:], s.Blocks)
	for i, t := range []fs.Time{s.Atime, s.Mtime, s.Ctime} {
		le.PutUint64(b[72+16*i:], uint64(t.Sec))
		le.PutUint64(b[80+16*i:], uint64(t.Nsec))
	}
}

func sysStat(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return statPath(c, core.AtCwd, 0, core.WalkFollow, c.Args[1])
}

func sysLstat(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return statPath(c, core.AtCwd, 0, 0, c.Args[1])
}

func statPath(c *core.Call, dirfd int32, arg int, walk uint32, out uint64) (uint64, abi.Errno) {
	path, e := c.PathArg(arg)
	if e != 0 {
		return 0, e
	}
	s, e := c.StatAt(dirfd, path, walk)
	if e != 0 {
		return 0, e
	}
	putStat(c, out, &s)
	if walk == 0 {
		c.Near(encodeStat)
	}
	return 0, 0
}

func sysFstat(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	s, e := c.StatFD(int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	putStat(c, c.Args[1], &s)
	c.KeepStat(int32(c.Args[0]))
	return 0, 0
}

// walkFlags turns AT_ flags into a walk that follows links unless told not to.
func walkFlags(at uint64) uint32 {
	var w uint32
	if at&atSymlinkNofollow == 0 {
		w |= core.WalkFollow
	}
	if at&atEmptyPath != 0 {
		w |= core.WalkEmpty
	}
	return w
}

func sysNewfstatat(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	fl := uint64(uint32(c.Args[3]))
	if fl&^uint64(atSymlinkNofollow|atNoAutomount|atEmptyPath|atStatxSync) != 0 {
		return 0, abi.EINVAL
	}
	if fl&atEmptyPath != 0 && c.Args[1] == 0 {
		return sysFstatAt(c, int32(c.Args[0]), c.Args[2])
	}
	v, e := statPath(c, int32(c.Args[0]), 1, walkFlags(fl), c.Args[2])
	if e == 0 && fl == atEmptyPath {
		if path, e := c.PathArg(1); e == 0 && path == "" {
			c.KeepStat(int32(c.Args[0]))
		}
	}
	return v, e
}

func sysFstatAt(c *core.Call, fd int32, out uint64) (uint64, abi.Errno) {
	s, e := c.StatAt(fd, "", core.WalkEmpty)
	if e != 0 {
		return 0, e
	}
	putStat(c, out, &s)
	return 0, 0
}

// sysStatx: struct statx, 256 bytes (include/uapi/linux/stat.h).
func sysStatx(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	fl, mask := uint64(uint32(c.Args[2])), uint32(c.Args[3])
	if mask&0x80000000 != 0 || fl&^uint64(atSymlinkNofollow|atNoAutomount|atEmptyPath|atStatxSync) != 0 || fl&atStatxSync == atStatxSync {
		return 0, abi.EINVAL
	}
	path := ""
	if fl&atEmptyPath == 0 || c.Args[1] != 0 {
		var e abi.Errno
		if path, e = c.PathArg(1); e != 0 {
			return 0, e
		}
	}
	s, e := c.StatAt(int32(c.Args[0]), path, walkFlags(fl))
	if e != 0 {
		return 0, e
	}
	b := c.OutBuf(256)
	clear(b)
	le := binary.LittleEndian
	got := uint32(0x7ff) // STATX_BASIC_STATS
	if s.Btime.Sec != 0 {
		got |= 0x800
	} else {
		got &^= 0x800
	}
	got |= mask & 0x1000 // STATX_MNT_ID
	le.PutUint32(b[0:], got)
	le.PutUint32(b[4:], s.BlkSize)
	if s.MountRoot {
		le.PutUint64(b[8:], 0x2000)
	}
	le.PutUint32(b[16:], s.Nlink)
	le.PutUint32(b[20:], c.ShowUID(s.UID))
	le.PutUint32(b[24:], c.ShowGID(s.GID))
	le.PutUint16(b[28:], uint16(s.Mode))
	le.PutUint64(b[32:], s.Ino)
	le.PutUint64(b[40:], s.Size)
	le.PutUint64(b[48:], s.Blocks)
	le.PutUint64(b[56:], 0x2000)
	for i, t := range []fs.Time{s.Atime, s.Btime, s.Ctime, s.Mtime} {
		le.PutUint64(b[64+16*i:], uint64(t.Sec))
		le.PutUint32(b[72+16*i:], t.Nsec)
	}
	le.PutUint32(b[128:], core.Major(s.Rdev))
	le.PutUint32(b[132:], core.Minor(s.Rdev))
	le.PutUint32(b[136:], core.Major(s.Dev))
	le.PutUint32(b[140:], core.Minor(s.Dev))
	le.PutUint64(b[144:], uint64(s.Mount))
	c.CopyOutBuf(c.Args[4], 256)
	return 0, 0
}

func sysAccess(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return accessAt(c, core.AtCwd, 0, c.Args[1], 0)
}

func sysFaccessat(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return accessAt(c, int32(c.Args[0]), 1, c.Args[2], 0)
}

func sysFaccessat2(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	fl := uint64(uint32(c.Args[3]))
	if fl&^uint64(atEaccess|atSymlinkNofollow|atEmptyPath) != 0 {
		return 0, abi.EINVAL
	}
	return accessAt(c, int32(c.Args[0]), 1, c.Args[2], fl)
}

func accessAt(c *core.Call, dirfd int32, arg int, mode, fl uint64) (uint64, abi.Errno) {
	if uint32(mode)&^7 != 0 {
		return 0, abi.EINVAL
	}
	path := ""
	if fl&atEmptyPath == 0 || c.Args[arg] != 0 {
		var e abi.Errno
		if path, e = c.PathArg(arg); e != 0 {
			return 0, e
		}
	}
	return 0, c.AccessAt(dirfd, path, uint32(mode), fl&atEaccess != 0, walkFlags(fl))
}

// putStatfs encodes struct statfs (asm-generic/statfs.h, 120 bytes).
func putStatfs(c *core.Call, addr uint64, s *fs.Statfs) {
	b := c.OutBuf(120)
	clear(b)
	le := binary.LittleEndian
	le.PutUint64(b[0:], s.Type)
	le.PutUint64(b[8:], uint64(s.BSize))
	le.PutUint64(b[16:], s.Blocks)
	le.PutUint64(b[24:], s.Bfree)
	le.PutUint64(b[32:], s.Bavail)
	le.PutUint64(b[40:], s.Files)
	le.PutUint64(b[48:], s.Ffree)
	le.PutUint64(b[64:], uint64(s.NameLen))
	fr := s.FrSize
	if fr == 0 {
		fr = s.BSize
	}
	le.PutUint64(b[72:], uint64(fr))
	le.PutUint64(b[80:], uint64(s.Flags))
	c.CopyOutBuf(addr, 120)
}

func sysStatfs(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	path, e := c.PathArg(0)
	if e != 0 {
		return 0, e
	}
	s, e := c.Statfs(core.Target{Dir: core.AtCwd, Path: path, Walk: core.WalkFollow})
	if e != 0 {
		return 0, e
	}
	putStatfs(c, c.Args[1], &s)
	return 0, 0
}

func sysFstatfs(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	s, e := c.Statfs(core.Target{Dir: int32(c.Args[0]), ByFD: true})
	if e != 0 {
		return 0, e
	}
	putStatfs(c, c.Args[1], &s)
	return 0, 0
}

func sysReadlink(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return readlinkAt(c, core.AtCwd, 0, c.Args[1], c.Args[2])
}

func sysReadlinkat(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return readlinkAt(c, int32(c.Args[0]), 1, c.Args[2], c.Args[3])
}

func readlinkAt(c *core.Call, dirfd int32, arg int, buf, size uint64) (uint64, abi.Errno) {
	if int32(size) <= 0 {
		return 0, abi.EINVAL
	}
	path, e := c.PathArg(arg)
	if e != 0 {
		return 0, e
	}
	if path == "" && dirfd == core.AtCwd {
		return 0, abi.ENOENT
	}
	s, e := c.Readlink(dirfd, path)
	if e != 0 {
		return 0, e
	}
	n := min(uint64(len(s)), uint64(uint32(size)))
	c.CopyOut(buf, []byte(s[:n]))
	return n, 0
}

func nameCalls() []Entry {
	return []Entry{
		{Nr: 83, Name: "mkdir", Fn: sysMkdir, Pre: pre(preStr(0)), Sig: "sm"},
		{Nr: 258, Name: "mkdirat", Fn: sysMkdirat, Pre: pre(preStr(1)), Sig: "fsm"},
		{Nr: 84, Name: "rmdir", Fn: sysRmdir, Pre: pre(preStr(0)), Sig: "s"},
		{Nr: 87, Name: "unlink", Fn: sysUnlink, Pre: pre(preStr(0)), Sig: "s"},
		{Nr: 263, Name: "unlinkat", Fn: sysUnlinkat, Pre: pre(preStr(1)), Sig: "fsA"},
		{Nr: 82, Name: "rename", Fn: sysRename, Pre: pre(preStr(0), preStr(1)), Sig: "ss"},
		{Nr: 264, Name: "renameat", Fn: sysRenameat, Pre: pre(preStr(1), preStr(3)), Sig: "fsfs"},
		{Nr: 316, Name: "renameat2", Fn: sysRenameat2, Pre: pre(preStr(1), preStr(3)), Sig: "fsfsx", Level: Partial, Note: "RENAME_WHITEOUT is EINVAL"},
		{Nr: 86, Name: "link", Fn: sysLink, Pre: pre(preStr(0), preStr(1)), Sig: "ss"},
		{Nr: 265, Name: "linkat", Fn: sysLinkat, Pre: pre(preStr(1), preStr(3)), Sig: "fsfsA"},
		{Nr: 88, Name: "symlink", Fn: sysSymlink, Pre: pre(preStr(0), preStr(1)), Sig: "ss"},
		{Nr: 266, Name: "symlinkat", Fn: sysSymlinkat, Pre: pre(preStr(0), preStr(2)), Sig: "sfs"},
		{Nr: 133, Name: "mknod", Fn: sysMknod, Pre: pre(preStr(0)), Sig: "smx"},
		{Nr: 259, Name: "mknodat", Fn: sysMknodat, Pre: pre(preStr(1)), Sig: "fsmx"},
		{Nr: 79, Name: "getcwd", Fn: sysGetcwd, Sig: "Zu"},
		{Nr: 80, Name: "chdir", Fn: sysChdir, Pre: pre(preStr(0)), Sig: "s"},
		{Nr: 81, Name: "fchdir", Fn: sysFchdir, Sig: "f"},
		{Nr: 161, Name: "chroot", Fn: sysChroot, Pre: pre(preStr(0)), Sig: "s"},
		{Nr: 78, Name: "getdents", Fn: sysGetdents, Sig: "fpu"},
		{Nr: 217, Name: "getdents64", Fn: sysGetdents64, Sig: "fpu"},
		{Nr: 95, Name: "umask", Fn: sysUmask, Sig: "m"},
		{Nr: 179, Name: "quotactl", Level: None, Sig: "xsup", Note: "no quotas"},
		{Nr: 443, Name: "quotactl_fd", Level: None, Sig: "fxup", Note: "no quotas"},
	}
}

func path2(c *core.Call, a, b int) (string, string, abi.Errno) {
	x, e := c.PathArg(a)
	if e != 0 {
		return "", "", e
	}
	y, e := c.PathArg(b)
	return x, y, e
}

func sysMkdir(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	p, e := c.PathArg(0)
	if e == 0 {
		e = c.Mkdir(core.AtCwd, p, uint32(c.Args[1]))
	}
	return 0, e
}

func sysMkdirat(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	p, e := c.PathArg(1)
	if e == 0 {
		e = c.Mkdir(int32(c.Args[0]), p, uint32(c.Args[2]))
	}
	return 0, e
}

func sysRmdir(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	p, e := c.PathArg(0)
	if e == 0 {
		e = c.Rmdir(core.AtCwd, p)
	}
	return 0, e
}

func sysUnlink(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	p, e := c.PathArg(0)
	if e == 0 {
		e = c.Unlink(core.AtCwd, p)
	}
	return 0, e
}

func sysUnlinkat(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	fl := uint32(c.Args[2])
	if fl&^uint32(atRemovedir) != 0 {
		return 0, abi.EINVAL
	}
	p, e := c.PathArg(1)
	if e != 0 {
		return 0, e
	}
	if fl != 0 {
		return 0, c.Rmdir(int32(c.Args[0]), p)
	}
	return 0, c.Unlink(int32(c.Args[0]), p)
}

func sysRename(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	a, b, e := path2(c, 0, 1)
	if e == 0 {
		e = c.Rename(core.AtCwd, a, core.AtCwd, b, 0)
	}
	return 0, e
}

func sysRenameat(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	a, b, e := path2(c, 1, 3)
	if e == 0 {
		e = c.Rename(int32(c.Args[0]), a, int32(c.Args[2]), b, 0)
	}
	return 0, e
}

func sysRenameat2(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	fl := uint32(c.Args[4])
	if fl&^uint32(3) != 0 || fl == 3 {
		return 0, abi.EINVAL
	}
	a, b, e := path2(c, 1, 3)
	if e == 0 {
		e = c.Rename(int32(c.Args[0]), a, int32(c.Args[2]), b, fl)
	}
	return 0, e
}

func sysLink(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	a, b, e := path2(c, 0, 1)
	if e == 0 {
		e = c.Link(core.AtCwd, a, core.AtCwd, b, 0)
	}
	return 0, e
}

func sysLinkat(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	fl := uint64(uint32(c.Args[4]))
	if fl&^uint64(atSymlinkFollow|atEmptyPath) != 0 {
		return 0, abi.EINVAL
	}
	a, b, e := path2(c, 1, 3)
	if e != 0 {
		return 0, e
	}
	var w uint32
	if fl&atSymlinkFollow != 0 {
		w |= core.WalkFollow
	}
	if fl&atEmptyPath != 0 {
		w |= core.WalkEmpty
	}
	return 0, c.Link(int32(c.Args[0]), a, int32(c.Args[2]), b, w)
}

func sysSymlink(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	a, b, e := path2(c, 0, 1)
	if e == 0 {
		e = c.Symlink(a, core.AtCwd, b)
	}
	return 0, e
}

func sysSymlinkat(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	a, b, e := path2(c, 0, 2)
	if e == 0 {
		e = c.Symlink(a, int32(c.Args[1]), b)
	}
	return 0, e
}

// rdev widens the 32-bit device number of mknod(2).
func rdev(d uint64) uint64 {
	return core.MakeDev(uint32(d>>8&0xfff), uint32(d&0xff|d>>12&0xfff00))
}

func sysMknod(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	p, e := c.PathArg(0)
	if e == 0 {
		e = c.Mknod(core.AtCwd, p, uint32(uint16(c.Args[1])), rdev(c.Args[2]))
	}
	return 0, e
}

func sysMknodat(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	p, e := c.PathArg(1)
	if e == 0 {
		e = c.Mknod(int32(c.Args[0]), p, uint32(uint16(c.Args[2])), rdev(c.Args[3]))
	}
	return 0, e
}

func sysGetcwd(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	p, e := c.Getcwd()
	if e != 0 {
		return 0, e
	}
	if len(p)+1 > 4096 {
		return 0, abi.ENAMETOOLONG
	}
	if uint64(len(p))+1 > c.Args[1] {
		return 0, abi.ERANGE
	}
	c.CopyOut(c.Args[0], append([]byte(p), 0))
	return uint64(len(p)) + 1, 0
}

func sysChdir(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	p, e := c.PathArg(0)
	if e == 0 {
		e = c.Chdir(p)
	}
	return 0, e
}

func sysFchdir(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return 0, c.Fchdir(int32(c.Args[0]))
}

func sysChroot(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	p, e := c.PathArg(0)
	if e == 0 {
		e = c.Chroot(p)
	}
	return 0, e
}

func sysUmask(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return uint64(c.Umask(uint32(c.Args[0]))), 0
}

func sysGetdents(_ *Personality, c *core.Call) (uint64, abi.Errno)   { return getdents(c, false) }
func sysGetdents64(_ *Personality, c *core.Call) (uint64, abi.Errno) { return getdents(c, true) }

// getdents encodes struct linux_dirent64 {u64 ino, s64 off, u16 reclen, u8 type,
// name} or linux_dirent {ulong ino, ulong off, u16 reclen, name, ..., u8 type}
// (include/linux/dirent.h, fs/readdir.c), records on 8-byte boundaries.
func getdents(c *core.Call, wide bool) (uint64, abi.Errno) {
	size := int(min(uint64(uint32(c.Args[2])), 64<<10))
	buf := c.OutBuf(size)
	n := 0
	small := false
	le := binary.LittleEndian
	fd := int32(c.Args[0])
	f, file, e := c.File(fd)
	if e != 0 {
		return 0, e
	}
	from := file.Off
	// A server gives entries for about that many bytes of names: what does not
	// fit would be asked for again.
	e = c.ReadDirFD(fd, max(size/2, 32), func(d *fs.DirEntry) bool {
		head := 18
		tail := 2
		if wide {
			head, tail = 19, 1
		}
		l := (head + len(d.Name) + tail + 7) &^ 7
		if n+l > size {
			small = n == 0
			return false
		}
		b := buf[n : n+l]
		clear(b)
		le.PutUint64(b, d.Ino)
		le.PutUint64(b[8:], d.Next)
		le.PutUint16(b[16:], uint16(l))
		if wide {
			b[18] = byte(d.Type)
			copy(b[19:], d.Name)
		} else {
			copy(b[18:], d.Name)
			b[l-1] = byte(d.Type)
		}
		n += l
		return true
	})
	if e != 0 {
		return 0, e
	}
	if small {
		return 0, abi.EINVAL
	}
	if n == 0 {
		return 0, 0
	}
	c.CopyOutBuf(c.Args[1], n)
	c.OrUndo(func(c *core.Call) {
		if g, _, e := c.File(fd); e == 0 && g == f {
			c.K.Files.Mut(f).Off = from
		}
	})
	return uint64(n), 0
}

func attrCalls() []Entry {
	return []Entry{
		{Nr: 90, Name: "chmod", Fn: sysChmod, Pre: pre(preStr(0)), Sig: "sm"},
		{Nr: 91, Name: "fchmod", Fn: sysFchmod, Sig: "fm"},
		{Nr: 268, Name: "fchmodat", Fn: sysFchmodat, Pre: pre(preStr(1)), Sig: "fsm"},
		{Nr: 452, Name: "fchmodat2", Fn: sysFchmodat2, Pre: pre(preStr(1)), Sig: "fsmA"},
		{Nr: 92, Name: "chown", Fn: sysChown, Pre: pre(preStr(0)), Sig: "sii"},
		{Nr: 93, Name: "fchown", Fn: sysFchown, Sig: "fii"},
		{Nr: 94, Name: "lchown", Fn: sysLchown, Pre: pre(preStr(0)), Sig: "sii"},
		{Nr: 260, Name: "fchownat", Fn: sysFchownat, Pre: pre(preStr(1)), Sig: "fsiiA"},
		{Nr: 132, Name: "utime", Fn: sysUtime, Pre: pre(preStr(0), preFixed(1, 16)), Sig: "sp"},
		{Nr: 235, Name: "utimes", Fn: sysUtimes, Pre: pre(preStr(0), preFixed(1, 32)), Sig: "sp"},
		{Nr: 261, Name: "futimesat", Fn: sysFutimesat, Pre: pre(preStr(1), preFixed(2, 32)), Sig: "fsp"},
		{Nr: 280, Name: "utimensat", Fn: sysUtimensat, Pre: pre(preStr(1), preFixed(2, 32)), Sig: "fspA"},
		{Nr: 76, Name: "truncate", Fn: sysTruncate, Pre: pre(preStr(0)), Sig: "sd"},
		{Nr: 77, Name: "ftruncate", Fn: sysFtruncate, Sig: "fd"},
	}
}

func pathTarget(c *core.Call, dirfd int32, arg int, walk uint32) (core.Target, abi.Errno) {
	p, e := c.PathArg(arg)
	return core.Target{Dir: dirfd, Path: p, Walk: walk}, e
}

func sysChmod(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	t, e := pathTarget(c, core.AtCwd, 0, core.WalkFollow)
	if e == 0 {
		e = c.Chmod(t, uint32(c.Args[1]))
	}
	return 0, e
}

func sysFchmod(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return 0, c.Chmod(core.Target{Dir: int32(c.Args[0]), ByFD: true}, uint32(c.Args[1]))
}

func sysFchmodat(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	t, e := pathTarget(c, int32(c.Args[0]), 1, core.WalkFollow)
	if e == 0 {
		e = c.Chmod(t, uint32(c.Args[2]))
	}
	return 0, e
}

func sysFchmodat2(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	fl := uint64(uint32(c.Args[3]))
	if fl&^uint64(atSymlinkNofollow|atEmptyPath) != 0 {
		return 0, abi.EINVAL
	}
	t, e := pathTarget(c, int32(c.Args[0]), 1, walkFlags(fl))
	if e == 0 {
		e = c.Chmod(t, uint32(c.Args[2]))
	}
	return 0, e
}

// chown is core's with ids that a program gave.
func chown(c *core.Call, t core.Target, uid, gid uint64) abi.Errno {
	u, ok := idArg(uid, c.MapUID)
	g, ok2 := idArg(gid, c.MapGID)
	if !ok || !ok2 {
		return abi.EINVAL
	}
	return c.Chown(t, u, g)
}

func sysChown(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	t, e := pathTarget(c, core.AtCwd, 0, core.WalkFollow)
	if e == 0 {
		e = chown(c, t, c.Args[1], c.Args[2])
	}
	return 0, e
}

func sysLchown(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	t, e := pathTarget(c, core.AtCwd, 0, 0)
	if e == 0 {
		e = chown(c, t, c.Args[1], c.Args[2])
	}
	return 0, e
}

func sysFchown(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return 0, chown(c, core.Target{Dir: int32(c.Args[0]), ByFD: true}, c.Args[1], c.Args[2])
}

func sysFchownat(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	fl := uint64(uint32(c.Args[4]))
	if fl&^uint64(atSymlinkNofollow|atEmptyPath) != 0 {
		return 0, abi.EINVAL
	}
	t, e := pathTarget(c, int32(c.Args[0]), 1, walkFlags(fl))
	if e == 0 {
		e = chown(c, t, c.Args[2], c.Args[3])
	}
	return 0, e
}

// nowTimes is what a null pointer to times means.
func nowTimes() (core.TimeSet, core.TimeSet) {
	return core.TimeSet{Now: true}, core.TimeSet{Now: true}
}

func sysUtime(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	at, mt := nowTimes()
	if c.Args[1] != 0 {
		b, e := c.StructArg(1, 16)
		if e != 0 {
			return 0, e
		}
		at = core.TimeSet{T: fs.Time{Sec: int64(binary.LittleEndian.Uint64(b))}}
		mt = core.TimeSet{T: fs.Time{Sec: int64(binary.LittleEndian.Uint64(b[8:]))}}
	}
	t, e := pathTarget(c, core.AtCwd, 0, core.WalkFollow)
	if e == 0 {
		e = c.Utimes(t, at, mt)
	}
	return 0, e
}

func sysUtimes(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return utimevals(c, core.AtCwd, 0, 1)
}

func sysFutimesat(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return utimevals(c, int32(c.Args[0]), 1, 2)
}

func utimevals(c *core.Call, dirfd int32, pathArg, arg int) (uint64, abi.Errno) {
	at, mt := nowTimes()
	if c.Args[arg] != 0 {
		b, e := c.StructArg(arg, 32)
		if e != 0 {
			return 0, e
		}
		for i, t := range []*core.TimeSet{&at, &mt} {
			us := binary.LittleEndian.Uint64(b[16*i+8:])
			if us >= 1e6 {
				return 0, abi.EINVAL
			}
			*t = core.TimeSet{T: fs.Time{Sec: int64(binary.LittleEndian.Uint64(b[16*i:])), Nsec: uint32(us) * 1000}}
		}
	}
	t := core.Target{Dir: dirfd, ByFD: true}
	if pathArg == 0 || c.Args[pathArg] != 0 {
		var e abi.Errno
		if t, e = pathTarget(c, dirfd, pathArg, core.WalkFollow); e != 0 {
			return 0, e
		}
	}
	return 0, c.Utimes(t, at, mt)
}

func sysUtimensat(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	const utimeNow, utimeOmit = 1<<30 - 1, 1<<30 - 2
	fl := uint64(uint32(c.Args[3]))
	at, mt := nowTimes()
	if c.Args[2] != 0 {
		b, e := c.StructArg(2, 32)
		if e != 0 {
			return 0, e
		}
		for i, t := range []*core.TimeSet{&at, &mt} {
			ns := binary.LittleEndian.Uint64(b[16*i+8:])
			switch {
			case ns == utimeNow:
				*t = core.TimeSet{Now: true}
			case ns == utimeOmit:
				*t = core.TimeSet{Omit: true}
			case ns >= 1e9:
				return 0, abi.EINVAL
			default:
				*t = core.TimeSet{T: fs.Time{Sec: int64(binary.LittleEndian.Uint64(b[16*i:])), Nsec: uint32(ns)}}
			}
		}
		if at.Omit && mt.Omit {
			return 0, 0
		}
	}
	if fl&^uint64(atSymlinkNofollow|atEmptyPath) != 0 {
		return 0, abi.EINVAL
	}
	if c.Args[1] == 0 && int32(c.Args[0]) != atFdcwd {
		if fl != 0 {
			return 0, abi.EINVAL
		}
		return 0, c.Utimes(core.Target{Dir: int32(c.Args[0]), ByFD: true}, at, mt)
	}
	t, e := pathTarget(c, int32(c.Args[0]), 1, walkFlags(fl))
	if e == 0 {
		e = c.Utimes(t, at, mt)
	}
	return 0, e
}

func sysTruncate(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	if int64(c.Args[1]) < 0 {
		return 0, abi.EINVAL
	}
	p, e := c.PathArg(0)
	if e == 0 {
		e = c.Truncate(p, c.Args[1])
	}
	return 0, e
}

func sysFtruncate(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	if int64(c.Args[1]) < 0 {
		return 0, abi.EINVAL
	}
	f, file, e := c.File(int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	if file.Kind == core.FilePath {
		return 0, abi.EBADF
	}
	if file.Access&core.AccessWrite == 0 {
		return 0, abi.EINVAL
	}
	return 0, c.K.Ops(f).Truncate(c, f, c.Args[1])
}

func xattrCalls() []Entry {
	var all []Entry
	// The four operations each come by path, by path without following, and by
	// descriptor, in this order of numbers.
	for i, kind := range []string{"", "l", "f"} {
		how := xattrHow(i)
		p := pre(preStr(0), preStr(1))
		first := "s"
		if i == 2 {
			p = pre(preStr(1))
			first = "f"
		}
		list := pre(preStr(0))
		if i == 2 {
			list = nil
		}
		n := uint16(i)
		all = append(all,
			Entry{Nr: 188 + n, Name: kind + "setxattr", Fn: how.set, Pre: p, Sig: first + "spux"},
			Entry{Nr: 191 + n, Name: kind + "getxattr", Fn: how.get, Pre: p, Sig: first + "spu"},
			Entry{Nr: 194 + n, Name: kind + "listxattr", Fn: how.list, Pre: list, Sig: first + "pu"},
			Entry{Nr: 197 + n, Name: kind + "removexattr", Fn: how.remove, Pre: p, Sig: first + "s"})
	}
	return all
}

// xattrHow is how the file of an xattr call is named: 0 by path, 1 by path
// without following a link, 2 by descriptor.
type xattrHow int

func (h xattrHow) target(c *core.Call) (core.Target, abi.Errno) {
	switch h {
	case 0:
		return pathTarget(c, core.AtCwd, 0, core.WalkFollow)
	case 1:
		return pathTarget(c, core.AtCwd, 0, 0)
	}
	return core.Target{Dir: int32(c.Args[0]), ByFD: true}, 0
}

func xattrName(c *core.Call) (string, abi.Errno) {
	s, e := c.PathArg(1)
	if e == abi.ENAMETOOLONG || e == 0 && (s == "" || len(s) > core.XattrNameMax) {
		e = abi.ERANGE
	}
	return s, e
}

func (h xattrHow) set(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	if c.Args[4]&^uint64(3) != 0 {
		return 0, abi.EINVAL
	}
	name, e := xattrName(c)
	if e != 0 {
		return 0, e
	}
	if c.Args[3] > core.XattrSizeMax {
		return 0, abi.E2BIG
	}
	b, e := c.CopyIn(c.Args[2], int(c.Args[3]))
	if e != 0 {
		return 0, e
	}
	value := append([]byte(nil), b...)
	t, e := h.target(c)
	if e == 0 {
		e = c.SetXattr(t, name, value, uint32(c.Args[4]))
	}
	return 0, e
}

// sized answers b, or its length alone when the caller's buffer has no size.
func sized(c *core.Call, b []byte, addr, size uint64) (uint64, abi.Errno) {
	if size == 0 {
		return uint64(len(b)), 0
	}
	if uint64(len(b)) > size {
		return 0, abi.ERANGE
	}
	c.CopyOut(addr, b)
	return uint64(len(b)), 0
}

func (h xattrHow) get(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	name, e := xattrName(c)
	if e != 0 {
		return 0, e
	}
	t, e := h.target(c)
	if e != 0 {
		return 0, e
	}
	b, e := c.GetXattr(t, name)
	if e != 0 {
		return 0, e
	}
	return sized(c, b, c.Args[2], c.Args[3])
}

func (h xattrHow) list(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	t, e := h.target(c)
	if e != 0 {
		return 0, e
	}
	b, e := c.ListXattr(t)
	if e != 0 {
		return 0, e
	}
	return sized(c, b, c.Args[1], c.Args[2])
}

func (h xattrHow) remove(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	name, e := xattrName(c)
	if e != 0 {
		return 0, e
	}
	t, e := h.target(c)
	if e == 0 {
		e = c.RemoveXattr(t, name)
	}
	return 0, e
}
