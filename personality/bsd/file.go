package bsd

import (
	"encoding/binary"
	"strings"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/server/unix/core"
	"hythe/store"
)

// Statfs and Dirent are what System.PutStatfs and System.Dirent encode.
type (
	// Statfs is what statfs(2) shows.
	Statfs = fs.Statfs
	// Dirent is an entry of a directory.
	Dirent = fs.DirEntry
)

// Flags of open(2) that all systems share (sys/fcntl.h).
const (
	oAccMode  = 0x3
	oNonblock = 0x4
	oAppend   = 0x8
	oAsync    = 0x40
	oSync     = 0x80
	oNofollow = 0x100
	oCreat    = 0x200
	oTrunc    = 0x400
	oExcl     = 0x800
	oNoctty   = 0x8000
	// flags of flock(2) that open takes at once
	oShlock = 0x10
	oExlock = 0x20
)

// OpenFlags are the flags of open(2) in which the systems differ; 0: it has none.
type OpenFlags struct {
	Directory, Cloexec, Direct, Path, Dsync uint64
	// Exec opens a file to execute it.
	Exec uint64
	// TimeNow and TimeOmit are what utimensat(2) takes instead of nanoseconds.
	TimeNow, TimeOmit int64
}

var openBits = []struct {
	native uint64
	core   uint32
}{
	{oCreat, core.OpenCreate}, {oExcl, core.OpenExcl}, {oNoctty, core.OpenNoctty}, {oTrunc, core.OpenTrunc},
	{oAppend, core.OpenAppend}, {oNonblock, core.OpenNonblock}, {oAsync, core.OpenAsync}, {oNofollow, core.OpenNofollow},
}

// openFlags turns flags of open(2) and fcntl(2) into the core's.
func (p *Personality) openFlags(fl uint64) (access, flags uint32) {
	o := &p.Sys.Open
	switch fl & oAccMode {
	case 0:
		access = core.AccessRead
	case 1:
		access = core.AccessWrite
	default:
		access = core.AccessRead | core.AccessWrite
	}
	for _, b := range openBits {
		if fl&b.native != 0 {
			flags |= b.core
		}
	}
	if fl&oSync != 0 {
		flags |= core.OpenSync | core.OpenDsync
	}
	if fl&o.Dsync != 0 {
		flags |= core.OpenDsync
	}
	if fl&o.Directory != 0 {
		flags |= core.OpenDirectory
	}
	if fl&o.Cloexec != 0 {
		flags |= core.OpenCloexec
	}
	if fl&o.Direct != 0 {
		flags |= core.OpenDirect
	}
	if fl&o.Path != 0 {
		flags |= core.OpenPath
	}
	return access, flags
}

// showFlags is what F_GETFL answers.
func (p *Personality) showFlags(f *core.File) uint64 {
	o := &p.Sys.Open
	var fl uint64
	switch f.Access & 3 {
	case core.AccessWrite:
		fl |= 1
	case core.AccessRead | core.AccessWrite:
		fl |= 2
	}
	const shown = core.OpenAppend | core.OpenNonblock | core.OpenAsync
	for _, b := range openBits {
		if f.Flags&b.core&shown != 0 {
			fl |= b.native
		}
	}
	if f.Flags&core.OpenSync != 0 {
		fl |= oSync
	}
	if f.Flags&core.OpenDirect != 0 {
		fl |= o.Direct
	}
	if f.Kind == core.FilePath {
		fl |= o.Path
	}
	return fl
}

// Open serves open(2): path, flags, mode.
func Open(p *Personality, c *core.Call) (uint64, abi.Errno) {
	return p.openAt(c, core.AtCwd, 0, c.Args[1], c.Args[2])
}

// Openat serves openat(2).
func Openat(p *Personality, c *core.Call) (uint64, abi.Errno) {
	return p.openAt(c, p.dirArg(c.Args[0]), 1, c.Args[2], c.Args[3])
}

func (p *Personality) openAt(c *core.Call, dirfd int32, arg int, fl, mode uint64) (uint64, abi.Errno) {
	fl = uint64(uint32(fl))
	if fl&oAccMode == oAccMode || fl&(oShlock|oExlock) == oShlock|oExlock {
		return 0, abi.EINVAL
	}
	if x := p.Sys.Open.Exec; x != 0 && fl&x != 0 && fl&oAccMode != 0 {
		return 0, abi.EINVAL
	}
	path, e := c.PathArg(arg)
	if e != 0 {
		return 0, e
	}
	if e := c.FDRoom(); e != 0 {
		return 0, e
	}
	access, flags := p.openFlags(fl)
	f, e := c.OpenAt(dirfd, path, access, flags|core.OpenLargefile, uint32(mode)&0o7777, 0)
	if e == abi.ELOOP && fl&oNofollow != 0 {
		// The last name is a link, or one before it leads nowhere.
		if s, e2 := c.StatAt(dirfd, path, 0); e2 == 0 && s.Mode&fs.TypeMask == fs.TypeLink {
			e = p.Sys.NofollowLink
		}
	}
	if e != 0 {
		return 0, e
	}
	var fdf uint32
	if flags&core.OpenCloexec != 0 {
		fdf = core.FDCloexec
	}
	fd, e := c.Install(f, fdf)
	if e == 0 && fl&(oShlock|oExlock) != 0 {
		if e := flock(c, fd, fl&oExlock != 0, false, fl&oNonblock != 0); e != 0 {
			_ = c.CloseFD(fd)
			return 0, e
		}
	}
	return uint64(uint32(fd)), e
}

// Close serves close(2), CloseRange close_range(2), Closefrom closefrom(2).
func Close(_ *Personality, c *core.Call) (uint64, abi.Errno) { return 0, c.CloseFD(int32(c.Args[0])) }

// CloseRange serves close_range(2): the flag 0x10 is CLOSE_RANGE_CLOEXEC.
func CloseRange(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	first, last, flags := uint32(c.Args[0]), uint32(c.Args[1]), uint32(c.Args[2])
	if flags&^0x10 != 0 || first > last {
		return 0, abi.EINVAL
	}
	return 0, c.CloseRange(first, last, flags != 0, false)
}

// Closefrom serves closefrom(2).
func Closefrom(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return 0, c.CloseRange(uint32(max(int32(c.Args[0]), 0)), ^uint32(0), false, false)
}

// ioFile checks that fd is open for want, and for positioned calls that it has
// offsets. EBADF, ESPIPE.
func ioFile(c *core.Call, want uint32, at bool) abi.Errno {
	f, file, e := c.File(int32(c.Args[0]))
	if e != 0 {
		return e
	}
	if file.Kind == core.FilePath || file.Access&want == 0 {
		return abi.EBADF
	}
	if at && !c.Seekable(f) {
		return abi.ESPIPE
	}
	return 0
}

// move is read, write, pread and pwrite; off -1 is the file's own offset.
func move(c *core.Call, want uint32, at bool, off int64) (uint64, abi.Errno) {
	if e := ioFile(c, want, at); e != 0 {
		return 0, e
	}
	if at && off < 0 || int64(c.Args[2]) < 0 {
		return 0, abi.EINVAL
	}
	if !at {
		off = -1
	}
	var n uint64
	var e abi.Errno
	if want == core.AccessRead {
		n, e = c.ReadFD(int32(c.Args[0]), c.Args[1], c.Args[2], off)
		c.CountIO(core.CountRead, n, e)
	} else {
		n, e = c.WriteFD(int32(c.Args[0]), c.Args[1], c.Args[2], off)
		c.CountIO(core.CountWrite, n, e)
	}
	return n, e
}

// Read serves read(2), Write write(2).
func Read(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return move(c, core.AccessRead, false, -1)
}

// Write serves write(2).
func Write(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return move(c, core.AccessWrite, false, -1)
}

// Pread serves pread(2) whose offset is argument 3, Pwrite pwrite(2).
func Pread(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return move(c, core.AccessRead, true, int64(c.Args[3]))
}

// Pwrite serves pwrite(2).
func Pwrite(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return move(c, core.AccessWrite, true, int64(c.Args[3]))
}

func vector(c *core.Call, want uint32, at bool, off int64) (uint64, abi.Errno) {
	if e := ioFile(c, want, at); e != 0 {
		return 0, e
	}
	if n := int32(c.Args[2]); n < 0 || n > 1024 || at && off < 0 {
		return 0, abi.EINVAL
	}
	v, e := c.IOVecArg(1, int(c.Args[2]))
	if e != 0 || len(v) == 0 {
		return 0, e
	}
	if !at {
		off = -1
	}
	var n uint64
	if want == core.AccessRead {
		n, e = c.ReadV(int32(c.Args[0]), v, off)
		c.CountIO(core.CountRead, n, e)
	} else {
		n, e = c.WriteV(int32(c.Args[0]), v, off)
		c.CountIO(core.CountWrite, n, e)
	}
	return n, e
}

// Readv serves readv(2), and its like the others.
func Readv(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return vector(c, core.AccessRead, false, -1)
}

// Writev serves writev(2).
func Writev(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return vector(c, core.AccessWrite, false, -1)
}

// Preadv serves preadv(2).
func Preadv(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return vector(c, core.AccessRead, true, int64(c.Args[3]))
}

// Pwritev serves pwritev(2).
func Pwritev(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return vector(c, core.AccessWrite, true, int64(c.Args[3]))
}

// Lseek serves lseek(2): descriptor, offset, whence.
func Lseek(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	n, e := c.SeekFD(int32(c.Args[0]), int64(c.Args[1]), uint32(c.Args[2]))
	return uint64(n), e
}

// Fsync serves fsync(2), Fdatasync fdatasync(2), Sync sync(2).
func Fsync(_ *Personality, c *core.Call) (uint64, abi.Errno) { return syncFD(c, false) }

// Fdatasync serves fdatasync(2).
func Fdatasync(_ *Personality, c *core.Call) (uint64, abi.Errno) { return syncFD(c, true) }

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

// Sync serves sync(2).
func Sync(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	c.SyncAll()
	return 0, 0
}

// AtFlags are the AT_ flags (sys/fcntl.h) and the descriptor that stands for the current
// directory; 0: it has none.
type AtFlags struct {
	Cwd                                             int32
	Eaccess, Nofollow, Follow, Removedir, EmptyPath uint64
}

// dirArg is the descriptor of a directory that an argument names, in the core's way.
func (p *Personality) dirArg(a uint64) int32 {
	switch fd := int32(a); fd {
	case p.Sys.At.Cwd:
		return core.AtCwd
	case core.AtCwd:
		return -1
	default:
		return fd
	}
}

// walkFlags turns AT_ flags into a walk; false for those that the call does not take.
func (p *Personality) walkFlags(fl uint64, allowed uint64) (uint32, bool) {
	var w uint32
	if fl&p.Sys.At.Nofollow == 0 {
		w |= core.WalkFollow
	}
	if fl&p.Sys.At.EmptyPath != 0 {
		w |= core.WalkEmpty
	}
	return w, uint64(uint32(fl))&^allowed == 0
}

func (p *Personality) stat(c *core.Call, out uint64, s core.Stat, e abi.Errno) (uint64, abi.Errno) {
	if e != 0 {
		return 0, e
	}
	n := p.Sys.StatSize
	b := c.OutBuf(n)
	clear(b)
	p.Sys.PutStat(c, b, &s)
	c.CopyOutBuf(out, n)
	return 0, 0
}

// Stat serves stat(2), Lstat lstat(2), Fstat fstat(2).
func Stat(p *Personality, c *core.Call) (uint64, abi.Errno) { return p.statPath(c, core.WalkFollow) }

// Lstat serves lstat(2).
func Lstat(p *Personality, c *core.Call) (uint64, abi.Errno) { return p.statPath(c, 0) }

func (p *Personality) statPath(c *core.Call, walk uint32) (uint64, abi.Errno) {
	path, e := c.PathArg(0)
	if e != 0 {
		return 0, e
	}
	s, e := c.StatAt(core.AtCwd, path, walk)
	return p.stat(c, c.Args[1], s, e)
}

// Fstat serves fstat(2).
func Fstat(p *Personality, c *core.Call) (uint64, abi.Errno) {
	s, e := c.StatFD(int32(c.Args[0]))
	v, e := p.stat(c, c.Args[1], s, e)
	if e == 0 {
		c.KeepStat(int32(c.Args[0]))
	}
	return v, e
}

// Fstatat serves fstatat(2): directory, path, struct, flags.
func Fstatat(p *Personality, c *core.Call) (uint64, abi.Errno) {
	w, ok := p.walkFlags(c.Args[3], p.Sys.At.Nofollow|p.Sys.At.EmptyPath)
	if !ok {
		return 0, abi.EINVAL
	}
	path, e := c.PathArg(1)
	if e != 0 {
		return 0, e
	}
	s, e := c.StatAt(p.dirArg(c.Args[0]), path, w)
	return p.stat(c, c.Args[2], s, e)
}

func (p *Personality) statfs(c *core.Call, out uint64, t core.Target) (uint64, abi.Errno) {
	s, e := c.Statfs(t)
	if e != 0 {
		return 0, e
	}
	n := p.Sys.StatfsSize
	b := make([]byte, n)
	p.Sys.PutStatfs(b, &s)
	c.CopyOut(out, b)
	return 0, 0
}

// StatfsPath serves statfs(2), Fstatfs fstatfs(2).
func StatfsPath(p *Personality, c *core.Call) (uint64, abi.Errno) {
	path, e := c.PathArg(0)
	if e != 0 {
		return 0, e
	}
	return p.statfs(c, c.Args[1], core.Target{Dir: core.AtCwd, Path: path, Walk: core.WalkFollow})
}

// Fstatfs serves fstatfs(2).
func Fstatfs(p *Personality, c *core.Call) (uint64, abi.Errno) {
	return p.statfs(c, c.Args[1], core.Target{Dir: int32(c.Args[0]), ByFD: true})
}

// Getfsstat serves getfsstat(2) and getvfsstat(2): memory, its size, flags; each file system
// that is mounted, as many as fit, or only how many there are.
func Getfsstat(p *Personality, c *core.Call) (uint64, abi.Errno) {
	list := c.K.MountList()
	if c.Args[0] == 0 {
		return uint64(len(list)), 0
	}
	size := p.Sys.StatfsSize
	if room := c.Args[1] / uint64(size); room < uint64(len(list)) {
		list = list[:room]
	}
	out := make([]byte, size*len(list))
	for i, m := range list {
		s, _ := c.Statfs(core.Target{Dir: core.AtCwd, Path: m.Path, Walk: core.WalkFollow}) // of one that cannot be reached nothing
		p.Sys.PutStatfs(out[i*size:][:size], &s)
	}
	c.CopyOut(c.Args[0], out)
	return uint64(len(list)), 0
}

// Access serves access(2), Eaccess eaccess(2), Faccessat faccessat(2).
func Access(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return accessAt(c, core.AtCwd, 0, c.Args[1], false, core.WalkFollow)
}

// Eaccess serves eaccess(2).
func Eaccess(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return accessAt(c, core.AtCwd, 0, c.Args[1], true, core.WalkFollow)
}

// Faccessat serves faccessat(2).
func Faccessat(p *Personality, c *core.Call) (uint64, abi.Errno) {
	at := &p.Sys.At
	w, ok := p.walkFlags(c.Args[3], at.Eaccess|at.Nofollow|at.EmptyPath)
	if !ok {
		return 0, abi.EINVAL
	}
	return accessAt(c, p.dirArg(c.Args[0]), 1, c.Args[2], c.Args[3]&at.Eaccess != 0, w)
}

func accessAt(c *core.Call, dirfd int32, arg int, mode uint64, effective bool, walk uint32) (uint64, abi.Errno) {
	if uint32(mode)&^7 != 0 {
		return 0, abi.EINVAL
	}
	path, e := c.PathArg(arg)
	if e != 0 {
		return 0, e
	}
	return 0, c.AccessAt(dirfd, path, uint32(mode), effective, walk)
}

// Readlink serves readlink(2), Readlinkat readlinkat(2).
func Readlink(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return readlinkAt(c, core.AtCwd, 0, c.Args[1], c.Args[2])
}

// Readlinkat serves readlinkat(2).
func Readlinkat(p *Personality, c *core.Call) (uint64, abi.Errno) {
	return readlinkAt(c, p.dirArg(c.Args[0]), 1, c.Args[2], c.Args[3])
}

func readlinkAt(c *core.Call, dirfd int32, arg int, buf, size uint64) (uint64, abi.Errno) {
	if int64(size) < 0 {
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
	n := min(uint64(len(s)), size)
	c.CopyOut(buf, []byte(s[:n]))
	return n, 0
}

func path2(c *core.Call, a, b int) (string, string, abi.Errno) {
	x, e := c.PathArg(a)
	if e != 0 {
		return "", "", e
	}
	y, e := c.PathArg(b)
	return x, y, e
}

// withPath fetches the path at argument arg and hands it to fn.
func withPath(c *core.Call, arg int, fn func(path string) abi.Errno) (uint64, abi.Errno) {
	path, e := c.PathArg(arg)
	if e == 0 {
		e = fn(path)
	}
	return 0, e
}

// maxLinks is how many symbolic links a name may lead through (sys/param.h, MAXSYMLINKS).
const maxLinks = 32

// slashed is the name that path stands for when its last part is a symbolic link with
// slashes behind it: these systems follow it then, also where the name is to be made,
// removed or renamed.
func slashed(c *core.Call, dirfd int32, path string) string {
	for range maxLinks {
		t := strings.TrimRight(path, "/")
		if t == path || t == "" {
			return path
		}
		to, e := c.Readlink(dirfd, t)
		if e != 0 || to == "" {
			return path
		}
		if to[0] != '/' {
			to = t[:strings.LastIndexByte(t, '/')+1] + to
		}
		path = to + "/"
	}
	return path
}

// Mkdir serves mkdir(2), and its like the others.
func Mkdir(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return withPath(c, 0, func(s string) abi.Errno {
		return c.Mkdir(core.AtCwd, slashed(c, core.AtCwd, s), uint32(c.Args[1])&0o7777)
	})
}

// Mkdirat serves mkdirat(2).
func Mkdirat(p *Personality, c *core.Call) (uint64, abi.Errno) {
	return withPath(c, 1, func(s string) abi.Errno {
		dir := p.dirArg(c.Args[0])
		return c.Mkdir(dir, slashed(c, dir, s), uint32(c.Args[2])&0o7777)
	})
}

// Rmdir serves rmdir(2).
func Rmdir(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return withPath(c, 0, func(s string) abi.Errno { return c.Rmdir(core.AtCwd, slashed(c, core.AtCwd, s)) })
}

func (p *Personality) unlink(c *core.Call, dirfd int32, path string) abi.Errno {
	e := c.Unlink(dirfd, slashed(c, dirfd, path))
	if e == abi.EISDIR {
		e = p.Sys.UnlinkDir
	}
	return e
}

// Unlink serves unlink(2).
func Unlink(p *Personality, c *core.Call) (uint64, abi.Errno) {
	return withPath(c, 0, func(s string) abi.Errno { return p.unlink(c, core.AtCwd, s) })
}

// Unlinkat serves unlinkat(2).
func Unlinkat(p *Personality, c *core.Call) (uint64, abi.Errno) {
	fl := uint64(uint32(c.Args[2]))
	if fl&^p.Sys.At.Removedir != 0 {
		return 0, abi.EINVAL
	}
	return withPath(c, 1, func(s string) abi.Errno {
		if fl != 0 {
			return c.Rmdir(p.dirArg(c.Args[0]), slashed(c, p.dirArg(c.Args[0]), s))
		}
		return p.unlink(c, p.dirArg(c.Args[0]), s)
	})
}

// Rename serves rename(2).
func Rename(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	a, b, e := path2(c, 0, 1)
	if e == 0 {
		e = rename(c, core.AtCwd, a, core.AtCwd, b)
	}
	return 0, e
}

// Renameat serves renameat(2).
func Renameat(p *Personality, c *core.Call) (uint64, abi.Errno) {
	a, b, e := path2(c, 1, 3)
	if e == 0 {
		e = rename(c, p.dirArg(c.Args[0]), a, p.dirArg(c.Args[2]), b)
	}
	return 0, e
}

func rename(c *core.Call, from int32, a string, to int32, b string) abi.Errno {
	a = slashed(c, from, a)
	return c.Rename(from, a, to, slashed(c, to, b), 0)
}

// Link serves link(2), which follows a symbolic link.
func Link(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	a, b, e := path2(c, 0, 1)
	if e == 0 {
		e = c.Link(core.AtCwd, a, core.AtCwd, b, core.WalkFollow)
	}
	return 0, e
}

// Linkat serves linkat(2).
func Linkat(p *Personality, c *core.Call) (uint64, abi.Errno) {
	at := &p.Sys.At
	fl := uint64(uint32(c.Args[4]))
	if fl&^(at.Follow|at.EmptyPath) != 0 {
		return 0, abi.EINVAL
	}
	a, b, e := path2(c, 1, 3)
	if e != 0 {
		return 0, e
	}
	var w uint32
	if fl&at.Follow != 0 {
		w |= core.WalkFollow
	}
	if fl&at.EmptyPath != 0 {
		w |= core.WalkEmpty
	}
	return 0, c.Link(p.dirArg(c.Args[0]), a, p.dirArg(c.Args[2]), b, w)
}

// Symlink serves symlink(2).
func Symlink(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	a, b, e := path2(c, 0, 1)
	if e == 0 {
		e = c.Symlink(a, core.AtCwd, b)
	}
	return 0, e
}

// Symlinkat serves symlinkat(2).
func Symlinkat(p *Personality, c *core.Call) (uint64, abi.Errno) {
	a, b, e := path2(c, 0, 2)
	if e == 0 {
		e = c.Symlink(a, p.dirArg(c.Args[1]), b)
	}
	return 0, e
}

// Mkfifo serves mkfifo(2).
func Mkfifo(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return withPath(c, 0, func(s string) abi.Errno {
		return c.Mknod(core.AtCwd, s, fs.TypeFifo|uint32(c.Args[1])&0o7777, 0)
	})
}

// Mkfifoat serves mkfifoat(2).
func Mkfifoat(p *Personality, c *core.Call) (uint64, abi.Errno) {
	return withPath(c, 1, func(s string) abi.Errno {
		return c.Mknod(p.dirArg(c.Args[0]), s, fs.TypeFifo|uint32(c.Args[2])&0o7777, 0)
	})
}

// Getcwd serves __getcwd(2): buffer and size. ERANGE if it does not fit.
func Getcwd(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	s, e := c.Getcwd()
	if e != 0 {
		return 0, e
	}
	if uint64(len(s))+1 > c.Args[1] {
		return 0, abi.ERANGE
	}
	c.CopyOut(c.Args[0], append([]byte(s), 0))
	return 0, 0
}

// GetcwdLen is Getcwd that answers how long the name is, with its NUL.
func GetcwdLen(p *Personality, c *core.Call) (uint64, abi.Errno) {
	s, e := c.Getcwd()
	if e == 0 {
		_, e = Getcwd(p, c)
	}
	return uint64(len(s) + 1), e
}

// Chdir serves chdir(2), and its like the others.
func Chdir(_ *Personality, c *core.Call) (uint64, abi.Errno) { return withPath(c, 0, c.Chdir) }

// Fchdir serves fchdir(2).
func Fchdir(_ *Personality, c *core.Call) (uint64, abi.Errno) { return 0, c.Fchdir(int32(c.Args[0])) }

// Chroot serves chroot(2).
func Chroot(_ *Personality, c *core.Call) (uint64, abi.Errno) { return withPath(c, 0, c.Chroot) }

// Umask serves umask(2).
func Umask(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return uint64(c.Umask(uint32(c.Args[0]) & 0o777)), 0
}

// Getdirentries serves getdirentries(2): descriptor, buffer, its size, and where the
// position before the first entry is stored (0: nowhere).
func Getdirentries(p *Personality, c *core.Call) (uint64, abi.Errno) {
	fd := int32(c.Args[0])
	size := int(min(c.Args[2], 64<<10))
	f, file, e := c.File(fd)
	if e != 0 {
		return 0, e
	}
	from := file.Off
	small := false
	buf := make([]byte, 0, size)
	e = c.ReadDirFD(fd, max(size/2, 32), func(d *fs.DirEntry) bool {
		var ok bool
		buf, ok = p.Sys.Dirent(buf, size, d)
		small = small || !ok && len(buf) == 0
		return ok
	})
	if e == abi.ENOTDIR {
		e = abi.EINVAL
	}
	if e != 0 {
		return 0, e
	}
	if small {
		return 0, abi.EINVAL
	}
	if c.Args[3] != 0 {
		c.CopyOut64(c.Args[3], uint64(from))
	}
	if len(buf) > 0 {
		c.CopyOut(c.Args[1], buf)
		c.OrUndo(func(c *core.Call) {
			if g, _, e := c.File(fd); e == 0 && g == f {
				c.K.Files.Mut(f).Off = from
			}
		})
	}
	return uint64(len(buf)), 0
}

// Getdents serves getdents(2): Getdirentries that tells no position.
func Getdents(p *Personality, c *core.Call) (uint64, abi.Errno) {
	was := c.Args[3]
	c.Args[3] = 0
	n, e := Getdirentries(p, c)
	c.Args[3] = was
	return n, e
}

func target(c *core.Call, dirfd int32, arg int, walk uint32) (core.Target, abi.Errno) {
	s, e := c.PathArg(arg)
	return core.Target{Dir: dirfd, Path: s, Walk: walk}, e
}

func fdTarget(c *core.Call) core.Target { return core.Target{Dir: int32(c.Args[0]), ByFD: true} }

// Chmod serves chmod(2), and its like the others.
func Chmod(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	t, e := target(c, core.AtCwd, 0, core.WalkFollow)
	return chmod(c, t, e, c.Args[1])
}

// Lchmod serves lchmod(2).
func Lchmod(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	t, e := target(c, core.AtCwd, 0, 0)
	return chmod(c, t, e, c.Args[1])
}

// Fchmod serves fchmod(2).
func Fchmod(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return chmod(c, fdTarget(c), 0, c.Args[1])
}

// Fchmodat serves fchmodat(2).
func Fchmodat(p *Personality, c *core.Call) (uint64, abi.Errno) {
	w, ok := p.walkFlags(c.Args[3], p.Sys.At.Nofollow|p.Sys.At.EmptyPath)
	if !ok {
		return 0, abi.EINVAL
	}
	t, e := target(c, p.dirArg(c.Args[0]), 1, w)
	return chmod(c, t, e, c.Args[2])
}

func chmod(c *core.Call, t core.Target, e abi.Errno, mode uint64) (uint64, abi.Errno) {
	if e == 0 {
		e = c.Chmod(t, uint32(mode)&0o7777)
	}
	return 0, e
}

// Chown serves chown(2), and its like the others.
func Chown(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	t, e := target(c, core.AtCwd, 0, core.WalkFollow)
	return chown(c, t, e, c.Args[1], c.Args[2])
}

// Lchown serves lchown(2).
func Lchown(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	t, e := target(c, core.AtCwd, 0, 0)
	return chown(c, t, e, c.Args[1], c.Args[2])
}

// Fchown serves fchown(2).
func Fchown(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return chown(c, fdTarget(c), 0, c.Args[1], c.Args[2])
}

// Fchownat serves fchownat(2).
func Fchownat(p *Personality, c *core.Call) (uint64, abi.Errno) {
	w, ok := p.walkFlags(c.Args[4], p.Sys.At.Nofollow|p.Sys.At.EmptyPath)
	if !ok {
		return 0, abi.EINVAL
	}
	t, e := target(c, p.dirArg(c.Args[0]), 1, w)
	return chown(c, t, e, c.Args[2], c.Args[3])
}

const keepID = ^uint32(0)

func idArg(a uint64, m func(uint32) (uint32, bool)) (uint32, bool) {
	if uint32(a) == keepID {
		return keepID, true
	}
	return m(uint32(a))
}

func chown(c *core.Call, t core.Target, e abi.Errno, uid, gid uint64) (uint64, abi.Errno) {
	if e != 0 {
		return 0, e
	}
	u, ok := idArg(uid, c.MapUID)
	g, ok2 := idArg(gid, c.MapGID)
	if !ok || !ok2 {
		return 0, abi.EINVAL
	}
	return 0, c.Chown(t, u, g)
}

// times decodes two times of 16 bytes each at argument arg; unit is how many ns one of
// the second word is. 0: now. The special values are those of
// utimensat(2).
func (p *Personality) times(c *core.Call, arg int, unit uint64) (at, mt core.TimeSet, e abi.Errno) {
	now, omit := uint64(p.Sys.Open.TimeNow), uint64(p.Sys.Open.TimeOmit)
	at, mt = core.TimeSet{Now: true}, core.TimeSet{Now: true}
	if c.Args[arg] == 0 {
		return at, mt, 0
	}
	b, e := c.StructArg(arg, 32)
	if e != 0 {
		return at, mt, e
	}
	le := binary.LittleEndian
	for i, t := range []*core.TimeSet{&at, &mt} {
		v := le.Uint64(b[16*i+8:])
		if unit != 1 && p.Sys.Usec32 {
			v = uint64(le.Uint32(b[16*i+8:]))
		}
		switch {
		case unit == 1 && v == now:
			*t = core.TimeSet{Now: true}
		case unit == 1 && v == omit:
			*t = core.TimeSet{Omit: true}
		case v >= 1e9/unit:
			return at, mt, abi.EINVAL
		default:
			*t = core.TimeSet{T: fs.Time{Sec: int64(le.Uint64(b[16*i:])), Nsec: uint32(v * unit)}}
		}
	}
	return at, mt, 0
}

func (p *Personality) utimes(c *core.Call, arg int, unit uint64, t core.Target, e abi.Errno) (uint64, abi.Errno) {
	if e != 0 {
		return 0, e
	}
	at, mt, e := p.times(c, arg, unit)
	if e != 0 || at.Omit && mt.Omit {
		return 0, e
	}
	return 0, c.Utimes(t, at, mt)
}

// Utimes serves utimes(2), and its like the others.
func Utimes(p *Personality, c *core.Call) (uint64, abi.Errno) {
	t, e := target(c, core.AtCwd, 0, core.WalkFollow)
	return p.utimes(c, 1, 1000, t, e)
}

// Lutimes serves lutimes(2).
func Lutimes(p *Personality, c *core.Call) (uint64, abi.Errno) {
	t, e := target(c, core.AtCwd, 0, 0)
	return p.utimes(c, 1, 1000, t, e)
}

// Futimes serves futimes(2).
func Futimes(p *Personality, c *core.Call) (uint64, abi.Errno) {
	return p.utimes(c, 1, 1000, fdTarget(c), 0)
}

// Futimesat serves futimesat(2).
func Futimesat(p *Personality, c *core.Call) (uint64, abi.Errno) {
	t, e := target(c, p.dirArg(c.Args[0]), 1, core.WalkFollow)
	return p.utimes(c, 2, 1000, t, e)
}

// Futimens serves futimens(2).
func Futimens(p *Personality, c *core.Call) (uint64, abi.Errno) {
	return p.utimes(c, 1, 1, fdTarget(c), 0)
}

// Utimensat serves utimensat(2).
func Utimensat(p *Personality, c *core.Call) (uint64, abi.Errno) {
	w, ok := p.walkFlags(c.Args[3], p.Sys.At.Nofollow|p.Sys.At.EmptyPath)
	if !ok {
		return 0, abi.EINVAL
	}
	t, e := target(c, p.dirArg(c.Args[0]), 1, w)
	return p.utimes(c, 2, 1, t, e)
}

// Truncate serves truncate(2), Ftruncate ftruncate(2), with the length as argument 1.
func Truncate(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	if int64(c.Args[1]) < 0 {
		return 0, abi.EINVAL
	}
	return withPath(c, 0, func(s string) abi.Errno { return c.Truncate(s, c.Args[1]) })
}

// Ftruncate serves ftruncate(2).
func Ftruncate(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	f, file, e := c.File(int32(c.Args[0]))
	switch {
	case e != 0:
		return 0, e
	case file.Kind == core.FilePath:
		return 0, abi.EBADF
	case int64(c.Args[1]) < 0 || file.Access&core.AccessWrite == 0:
		return 0, abi.EINVAL
	}
	return 0, c.K.Ops(f).Truncate(c, f, c.Args[1])
}

// Dup serves dup(2), Dup2 dup2(2).
func Dup(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	fd, e := c.Dup(int32(c.Args[0]), 0, 0)
	return uint64(uint32(fd)), e
}

// Dup2 serves dup2(2).
func Dup2(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return dup2(c, int32(c.Args[0]), int32(c.Args[1]), 0)
}

func dup2(c *core.Call, from, to int32, flags uint32) (uint64, abi.Errno) {
	if from == to {
		_, _, e := c.File(from)
		return uint64(uint32(to)), e
	}
	return uint64(uint32(to)), c.Dup2(from, to, flags)
}

// Dup3 serves dup3(2): flags are those of open(2).
func Dup3(p *Personality, c *core.Call) (uint64, abi.Errno) {
	fl := uint64(uint32(c.Args[2]))
	o := &p.Sys.Open
	if fl&^(oNonblock|o.Cloexec) != 0 || int32(c.Args[0]) == int32(c.Args[1]) {
		return 0, abi.EINVAL
	}
	var fdf uint32
	if fl&o.Cloexec != 0 {
		fdf = core.FDCloexec
	}
	n, e := dup2(c, int32(c.Args[0]), int32(c.Args[1]), fdf)
	if e == 0 && fl&oNonblock != 0 {
		f, file, e := c.File(int32(c.Args[1]))
		if e != 0 {
			return 0, e
		}
		return n, c.SetFlags(f, int32(c.Args[1]), file.Flags|core.OpenNonblock)
	}
	return n, e
}

// Commands of fcntl(2) that all systems share (sys/fcntl.h).
const (
	fDupfd  = 0
	fGetfd  = 1
	fSetfd  = 2
	fGetfl  = 3
	fSetfl  = 4
	fGetown = 5
	fSetown = 6
)

// FcntlNumbers are the commands of fcntl(2) in which the systems differ; 0: it has none.
type FcntlNumbers struct {
	// Getlk is followed by Setlk and Setlkw; FlockSize is the size of struct flock.
	Getlk, FlockSize                  uint32
	DupCloexec, Dup2fd, Dup2fdCloexec uint32
	Closem, Maxfd                     uint32
}

// Fcntl serves fcntl(2).
func Fcntl(p *Personality, c *core.Call) (uint64, abi.Errno) {
	fd, cmd, arg := int32(c.Args[0]), uint32(c.Args[1]), c.Args[2]
	x := &p.Sys.Fcntl
	if cmd != fDupfd && (cmd == x.Closem || cmd == x.Maxfd) {
		return closeOrLast(c, fd, cmd == x.Closem)
	}
	f, file, e := c.File(fd)
	if e != 0 {
		return 0, e
	}
	switch cmd {
	case fDupfd, x.DupCloexec:
		var flags uint32
		if cmd != fDupfd {
			flags = core.FDCloexec
		}
		n, e := c.Dup(fd, int32(arg), flags)
		return uint64(uint32(n)), e
	case x.Dup2fd:
		return dup2(c, fd, int32(arg), 0)
	case x.Dup2fdCloexec:
		return dup2(c, fd, int32(arg), core.FDCloexec)
	case fGetfd:
		_, flags, e := c.K.FDAt(c.Proc().FDs, fd)
		return uint64(flags & core.FDCloexec), e
	case fSetfd:
		return 0, c.K.SetFDFlags(c.Proc().FDs, fd, uint32(arg)&core.FDCloexec)
	case fGetfl:
		return p.showFlags(file), 0
	}
	if file.Kind == core.FilePath {
		return 0, abi.EBADF
	}
	switch cmd {
	case fSetfl:
		_, flags := p.openFlags(arg)
		return 0, c.SetFlags(f, fd, flags)
	case fSetown:
		id := int32(arg)
		if id == -1<<31 {
			return 0, abi.EINVAL
		}
		if id < 0 {
			return 0, c.SetOwner(f, -id, core.OwnerGroup)
		}
		return 0, c.SetOwner(f, id, core.OwnerProc)
	case fGetown:
		id, kind := c.K.Owner(f)
		if kind == core.OwnerGroup {
			id = -id
		}
		return uint64(int64(id)), 0
	case x.Getlk, x.Getlk + 1, x.Getlk + 2:
		return p.lockRange(c, fd, cmd-x.Getlk, arg)
	}
	return 0, abi.EINVAL
}

// closeOrLast closes fd and all above it, or answers the highest descriptor there is.
func closeOrLast(c *core.Call, fd int32, all bool) (uint64, abi.Errno) {
	if fd < 0 && all {
		return 0, abi.EBADF
	}
	if all {
		return 0, c.CloseRange(uint32(fd), ^uint32(0), false, false)
	}
	last := int32(-1)
	c.K.EachFD(c.Proc().FDs, func(fd int32, _ store.Ref[core.File], _ uint32) bool {
		last = max(last, fd)
		return true
	})
	return uint64(int64(last)), 0
}

// lockRange serves the record locks: struct flock {s64 start, len; s32 pid; s16 type,
// whence} and what a system has behind it (sys/fcntl.h), types 1 read, 2 unlock, 3 write.
func (p *Personality) lockRange(c *core.Call, fd int32, cmd uint32, addr uint64) (uint64, abi.Errno) {
	const rdlck, unlck, wrlck = 1, 2, 3
	const fGetlk, fSetlkw = 0, 2
	raw, e := c.CopyIn(addr, int(p.Sys.Fcntl.FlockSize))
	if e != 0 {
		return 0, e
	}
	le := binary.LittleEndian
	b := append([]byte(nil), raw...)
	start, n := int64(le.Uint64(b)), int64(le.Uint64(b[8:]))
	typ, whence := le.Uint16(b[20:]), le.Uint16(b[22:])
	f, file, e := c.File(fd)
	if e != 0 {
		return 0, e
	}
	if typ < rdlck || typ > wrlck || cmd == fGetlk && typ == unlck {
		return 0, abi.EINVAL
	}
	switch whence {
	case 0:
	case 1:
		start += file.Off
	case 2:
		size, e := c.FileSize(f)
		if e != 0 {
			return 0, e
		}
		start += int64(size)
	default:
		return 0, abi.EINVAL
	}
	end := int64(1<<63 - 1)
	if n > 0 {
		if end = start + n - 1; end < start {
			return 0, abi.EOVERFLOW
		}
	} else if n < 0 {
		end, start = start-1, start+n
	}
	if start < 0 || end < start {
		return 0, abi.EINVAL
	}
	file = c.K.Files.Get(f)
	if cmd != fGetlk && (typ == rdlck && file.Access&core.AccessRead == 0 || typ == wrlck && file.Access&core.AccessWrite == 0) {
		return 0, abi.EBADF
	}
	l := core.FileLock{LockPlace: c.K.LockPlace(f), Kind: core.LockPosix, Pid: c.Proc().Pid,
		Start: uint64(start), End: uint64(end), Proc: c.ProcRef(), File: f}
	if typ == wrlck {
		l.Write = 1
	}
	if cmd != fGetlk {
		return 0, c.SetLock(l, typ == unlck, cmd == fSetlkw)
	}
	held, ok := c.TestLock(l)
	if !ok {
		le.PutUint16(b[20:], unlck)
	} else {
		n := held.End - held.Start + 1
		if held.End == 1<<63-1 {
			n = 0
		}
		le.PutUint64(b, held.Start)
		le.PutUint64(b[8:], n)
		le.PutUint32(b[16:], uint32(held.Pid))
		le.PutUint16(b[20:], uint16(rdlck+2*held.Write))
		le.PutUint16(b[22:], 0)
	}
	c.CopyOut(addr, b)
	return 0, 0
}

// Flock serves flock(2).
func Flock(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	const sh, ex, nb, un = 1, 2, 4, 8
	op := uint32(c.Args[1])
	fd := int32(c.Args[0])
	switch op &^ nb {
	case sh, ex, un:
		return 0, flock(c, fd, op&ex != 0, op&un != 0, op&nb != 0)
	}
	return 0, abi.EINVAL
}

func flock(c *core.Call, fd int32, write, unlock, nowait bool) abi.Errno {
	f, file, e := c.File(fd)
	if e != 0 {
		return e
	}
	if file.Kind == core.FilePath {
		return abi.EBADF
	}
	l := core.FileLock{LockPlace: c.K.LockPlace(f), Kind: core.LockFlock, Pid: c.Proc().Pid, End: 1<<63 - 1, Proc: c.ProcRef(), File: f}
	if write {
		l.Write = 1
	}
	return c.SetLock(l, unlock, !nowait)
}

// Pipe2 serves pipe2(2): int[2] and flags.
func Pipe2(p *Personality, c *core.Call) (uint64, abi.Errno) {
	r, w, e := p.NewPipe(c, c.Args[1])
	if e != 0 {
		return 0, e
	}
	copyPair(c, c.Args[0], r, w)
	return 0, 0
}

// NewPipe makes a pipe with flags of pipe2(2). EINVAL for others.
func (p *Personality) NewPipe(c *core.Call, fl uint64) (r, w int32, e abi.Errno) {
	fl = uint64(uint32(fl))
	if fl&^(oNonblock|p.Sys.Open.Cloexec) != 0 {
		return 0, 0, abi.EINVAL
	}
	_, flags := p.openFlags(fl)
	return c.NewPipe(flags)
}

// copyPair hands out two new descriptors; if the guest does not get them there
// are none.
func copyPair(c *core.Call, addr uint64, a, b int32) {
	c.CopyOut64(addr, uint64(uint32(a))|uint64(uint32(b))<<32)
	c.OrUndo(func(c *core.Call) {
		_ = c.CloseFD(a)
		_ = c.CloseFD(b)
	})
}
