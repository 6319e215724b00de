package plan9

import (
	"path"
	"strings"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/server/unix/core"
	"hythe/store"
)

// Modes of open(2) and bits of permissions (stat(2)).
const (
	oExec   = 3
	oTrunc  = 16
	oCexec  = 32
	oRclose = 64
	oExcl   = 0x1000

	dmDir  = 0x80000000
	qtDir  = 0x80
	qtAuth = 0x08
)

func accessOf(mode uint32) uint32 {
	return [...]uint32{core.AccessRead, core.AccessWrite, core.AccessRead | core.AccessWrite, core.AccessRead}[mode&3]
}

func isDir(s *core.Stat) bool { return s.Mode&fs.TypeMask == fs.TypeDir }

// install gives an open file a descriptor.
func install(c *core.Call, f store.Ref[core.File], mode uint32) (uint64, abi.Errno) {
	var flags uint32
	if mode&oCexec != 0 {
		flags = core.FDCloexec
	}
	fd, e := c.Install(f, flags)
	return uint64(uint32(fd)), e
}

// sysOpen serves open(2): name, mode.
func sysOpen(p *Personality, c *core.Call) (uint64, abi.Errno) {
	name, e := c.PathArg(0)
	if e != 0 {
		return 0, e
	}
	mode := uint32(c.Args[1])
	if mode&^(3|oTrunc|oCexec|oRclose) != 0 {
		return 0, abi.EINVAL
	}
	at, e := p.find(c, name, false)
	if e != 0 {
		return 0, e
	}
	if e := c.FDRoom(); e != 0 {
		return 0, e
	}
	if at.union != nil && mode&^oCexec == 0 {
		f, e := p.openUnion(at.abs, at.union)
		if e != 0 {
			return 0, e
		}
		return install(c, f, mode)
	}
	n := at.node
	if n.kind == kRemote {
		f, e := p.openRemote(c, n, at.abs, mode)
		if e != 0 {
			return 0, e
		}
		return install(c, f, mode)
	}
	if n.kind != 0 {
		f, e := p.openOwn(c, n, accessOf(mode), mode&oTrunc != 0)
		if e != 0 {
			return 0, e
		}
		if n.kind == kFd || n.kind == kSrv {
			var flags uint32
			if mode&oCexec != 0 {
				flags = core.FDCloexec
			}
			fd, e := c.InstallFD(f, 0, flags)
			return uint64(uint32(fd)), e
		}
		return install(c, f, mode)
	}
	return p.openReal(c, at.to, mode, 0, 0)
}

func (p *Personality) openReal(c *core.Call, name string, mode, flags, perm uint32) (uint64, abi.Errno) {
	if mode&oTrunc != 0 {
		flags |= core.OpenTrunc
	}
	if mode&3 == oExec {
		if e := c.AccessAt(core.AtCwd, name, 1, true, core.WalkFollow); e != 0 {
			return 0, e
		}
	}
	f, e := c.OpenAt(core.AtCwd, name, accessOf(mode), flags|core.OpenLargefile|core.OpenNoctty, perm&0o777, 0)
	if e != 0 {
		return 0, e
	}
	if mode&oRclose != 0 && c.K.Files.Get(f).Kind == core.FileVnode {
		m := c.K.Files.Mut(f)
		m.Flags |= removeOnClose
		m.Cred = c.K.HoldCred(c.Thread().Cred)
	}
	return install(c, f, mode)
}

// removeOnClose marks a file of the machine that was opened with ORCLOSE; File.Cred says by
// whom.
const removeOnClose = core.OpenOwn

// closing removes such a file if the descriptor that is about to be closed is its last
// one. A call that runs again finds it removed. It was opened to be removed with the rights
// of who opened it: who got it from another, and may do more, leaves it.
func (p *Personality) closing(c *core.Call, fd int32, f store.Ref[core.File]) {
	file := p.K.Files.Get(f)
	if file.Kind != core.FileVnode || file.Flags&removeOnClose == 0 || file.Refs > 1 {
		return
	}
	if by, me := p.K.Creds.Get(file.Cred), c.Cred(); by.FSUID != me.FSUID || me.CapEff&^by.CapEff != 0 {
		return
	}
	c.PinFile(f)
	defer c.UnpinFile(f)
	name := c.PathFor(file.Vnode)
	is, e := c.StatFD(fd)
	if e != 0 {
		return
	}
	if at, e := c.StatAt(core.AtCwd, name, 0); e != 0 || at.Dev != is.Dev || at.Ino != is.Ino {
		return // it has no name any more
	}
	if c.Unlink(core.AtCwd, name) == abi.EISDIR {
		_ = c.Rmdir(core.AtCwd, name)
	}
}

// closingAll is closing of all descriptors of a process that ends.
func (p *Personality) closingAll(c *core.Call) {
	var l []int32
	p.K.EachFD(c.Proc().FDs, func(fd int32, f store.Ref[core.File], _ uint32) bool {
		if file := p.K.Files.Get(f); file.Flags&removeOnClose != 0 {
			l = append(l, fd)
		}
		return true
	})
	if l == nil {
		return
	}
	others := false // who have them too
	p.K.EachProc(func(q store.Ref[core.Proc], r *core.Proc) bool {
		others = q != c.ProcRef() && r.FDs == c.Proc().FDs && r.State == core.ProcLive && r.Exiting == 0
		return !others
	})
	if others {
		return
	}
	for _, fd := range l {
		if f, _, e := c.File(fd); e == 0 {
			p.closing(c, fd, f)
		}
	}
}

// sysCreate serves create (open(2)): name, mode, perm. A file that is there is truncated.
func sysCreate(p *Personality, c *core.Call) (uint64, abi.Errno) {
	name, e := c.PathArg(0)
	if e != 0 {
		return 0, e
	}
	mode, perm := uint32(c.Args[1]), uint32(c.Args[2])
	if mode&^(3|oTrunc|oCexec|oRclose|oExcl) != 0 || perm&dmDir != 0 && accessOf(mode)&core.AccessWrite != 0 {
		return 0, abi.EINVAL
	}
	at, e := p.find(c, name, true)
	to, n := at.to, at.node
	if e := c.FDRoom(); e != 0 {
		return 0, e
	}
	switch {
	case n.kind == kRemote && e == 0:
		f, e := p.createRemote(c, n, at.abs, mode, perm)
		if e != 0 {
			return 0, e
		}
		return install(c, f, mode)
	case n.kind == kEnv && mode&oExcl != 0, n.kind == kSrv:
		return 0, abi.EEXIST
	case n.kind != 0:
		f, e := p.openOwn(c, n, accessOf(mode), true)
		if e != 0 {
			return 0, e
		}
		return install(c, f, mode)
	case e == abi.ENOENT && path.Dir(to) == "/srv":
		f, e := p.createPosted(c, path.Base(to), accessOf(mode), perm)
		if e != 0 {
			return 0, e
		}
		return install(c, f, mode)
	case e == abi.ENOENT && path.Dir(to) == "/env":
		if perm&dmDir != 0 {
			return 0, abi.EACCES
		}
		d := c.Dict(core.DictEnv)
		if e := p.K.DictSet(d, path.Base(to), nil); e != 0 {
			return 0, e
		}
		f, e := p.openOwn(c, node{kEnv, uint32(p.K.DictLookup(d, path.Base(to))), ""}, accessOf(mode), false)
		if e != 0 {
			return 0, e
		}
		return install(c, f, mode)
	case e != 0:
		return 0, e
	case perm&dmDir != 0:
		// It is opened whatever its permissions are.
		if e := c.Mkdir(core.AtCwd, to, perm&0o777|0o500); e != 0 {
			return 0, e
		}
		fd, e := p.openReal(c, to, mode&^(oTrunc|oExcl), 0, 0)
		if e == 0 && perm&0o500 != 0o500 {
			e = c.Chmod(core.Target{Dir: core.AtCwd, Path: to}, perm&0o777)
		}
		return fd, e
	}
	flags := uint32(core.OpenCreate | core.OpenTrunc)
	if mode&oExcl != 0 {
		flags |= core.OpenExcl
	}
	return p.openReal(c, to, mode&^oExcl, flags, perm)
}

func sysClose(p *Personality, c *core.Call) (uint64, abi.Errno) {
	fd := int32(c.Args[0])
	if f, _, e := c.File(fd); e == 0 {
		p.closing(c, fd, f)
	}
	return 0, c.CloseFD(fd)
}

// sysDup serves dup(2): -1 is any new descriptor. That a file is closed by exec is said of
// the file, so it holds for the new one too.
func sysDup(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	from, to := int32(c.Args[0]), int32(c.Args[1])
	_, flags, _ := c.K.FDAt(c.Proc().FDs, from)
	if to == -1 {
		fd, e := c.Dup(from, 0, flags)
		return uint64(uint32(fd)), e
	}
	if from == to {
		_, _, e := c.File(from)
		return uint64(uint32(to)), e
	}
	return uint64(uint32(to)), c.Dup2(from, to, flags)
}

// sysPipe serves pipe(2): both ends read and write.
func sysPipe(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	const afUnix, stream = 1, 1
	a, b, e := c.SocketPair(afUnix, stream, 0, 0)
	if e != 0 {
		return 0, e
	}
	var w [8]byte
	le.PutUint32(w[:], uint32(a))
	le.PutUint32(w[4:], uint32(b))
	c.CopyOut(c.Args[0], w[:])
	return 0, 0
}

// sysPread serves pread (read(2)): fd, buffer, count, offset; -1 is the file's own.
func sysPread(p *Personality, c *core.Call) (uint64, abi.Errno) {
	return p.read(c, int64(c.Args[3]))
}

// sysRead serves _read, which programs of before the 4th edition call.
func sysRead(p *Personality, c *core.Call) (uint64, abi.Errno) { return p.read(c, -1) }

func (p *Personality) read(c *core.Call, off int64) (uint64, abi.Errno) {
	fd, n := int32(c.Args[0]), int32(c.Args[2])
	if n < 0 || off < -1 {
		return 0, abi.EINVAL
	}
	f, file, e := c.File(fd)
	if e != 0 {
		return 0, e
	}
	if file.Access&core.AccessRead == 0 || file.Kind == core.FilePath {
		return 0, abi.EBADF
	}
	if file.Kind == core.FileOwn {
		switch x := (node{kind: file.Obj, num: file.Aux}); {
		case x.kind == kUnion:
			c.PinFile(f)
			defer c.UnpinFile(f)
			return p.readUnion(c, f, n, off)
		case x.kind == kRemoteDir:
			b, e := p.readRemoteDir(c, f, min(int(n), maxDirRead), off)
			if e == 0 {
				c.CopyOut(c.Args[1], b)
			}
			return uint64(len(b)), e
		case x.isDir():
			return p.readOwnDir(c, f, x, uint64(n), off)
		}
	}
	if off >= 0 && !c.Seekable(f) {
		off = -1 // a stream has no offsets, and ignores them
	}
	got, e := c.ReadFD(fd, c.Args[1], uint64(n), off)
	switch e {
	case abi.EISDIR:
		return p.readDir(c, fd, n, off)
	case abi.ECONNRESET:
		// A pipe just ends, whatever its other end had not read.
		if s, _ := c.K.SocketOf(f); s != 0 && c.K.Socks.Get(s).Family == core.FamilyUnix {
			return 0, 0
		}
	}
	c.CountIO(core.CountRead, got, e)
	return got, e
}

// sysPwrite serves pwrite (read(2)).
func sysPwrite(p *Personality, c *core.Call) (uint64, abi.Errno) {
	return p.write(c, int64(c.Args[3]))
}

// sysWrite serves _write.
func sysWrite(p *Personality, c *core.Call) (uint64, abi.Errno) { return p.write(c, -1) }

func (p *Personality) write(c *core.Call, off int64) (uint64, abi.Errno) {
	fd, n := int32(c.Args[0]), int32(c.Args[2])
	if n < 0 || off < -1 {
		return 0, abi.EINVAL
	}
	f, file, e := c.File(fd)
	if e != 0 {
		return 0, e
	}
	if file.Access&core.AccessWrite == 0 || file.Kind == core.FilePath {
		return 0, abi.EBADF
	}
	if off >= 0 && !c.Seekable(f) {
		off = -1
	}
	got, e := c.WriteFD(fd, c.Args[1], uint64(n), off)
	c.CountIO(core.CountWrite, got, e)
	if e == 0 && got < uint64(n) && p.hungUp(c, f) {
		// A pipe takes all of it or fails.
		post(c, core.SIGPIPE, "")
		return 0, abi.EPIPE
	}
	return got, e
}

// hungUp says whether nobody will read what is written to a pipe.
func (p *Personality) hungUp(c *core.Call, f store.Ref[core.File]) bool {
	file := c.K.Files.Get(f)
	return file != nil && (file.Kind == core.FileSocket || file.Kind == core.FilePipe) && c.K.Ops(f).Poll(f)&(core.PollHup|core.PollErr) != 0
}

// maxDirRead is how much of a directory is read at once, however much is asked for.
const maxDirRead = 128 << 10

// readDir reads a directory: the entries' stat messages (read(5)), as many as fit.
func (p *Personality) readDir(c *core.Call, fd, size int32, off int64) (uint64, abi.Errno) {
	f, _, e := c.File(fd)
	if e != 0 {
		return 0, e
	}
	if off == 0 {
		c.K.Files.Mut(f).Off = 0
	}
	c.PinFile(f)
	defer c.UnpinFile(f)
	out, e := p.dirEntries(c, f, size, func(name string) (dir, abi.Errno) { return p.dirAt(c, fd, name) })
	if e != 0 {
		return 0, e
	}
	c.CopyOut(c.Args[1], out)
	return uint64(len(out)), 0
}

// dirEntries are the next entries of a directory of the machine's tree, of which stat
// answers what each is.
func (p *Personality) dirEntries(c *core.Call, f store.Ref[core.File], size int32, stat func(name string) (dir, abi.Errno)) ([]byte, abi.Errno) {
	from := c.K.Files.Get(f).Off
	size = min(size, maxDirRead)
	var out []byte
	full := false
	for {
		var l []fs.DirEntry
		if e := c.ReadDirFile(f, max(int(size)/4, 64), func(d *fs.DirEntry) bool {
			l = append(l, *d)
			return true
		}); e != 0 {
			return nil, e
		}
		if len(l) == 0 {
			break
		}
		at := int64(0)
		for i := range l {
			if l[i].Name != "." && l[i].Name != ".." {
				d, e := stat(l[i].Name)
				if e == 0 {
					b := d.encode()
					if len(out)+len(b) > int(size) {
						full = true
						break
					}
					out = append(out, b...)
				}
			}
			at = int64(l[i].Next)
		}
		if full {
			if at == 0 {
				at = from
			}
			c.K.Files.Mut(f).Off = at
			break
		}
		from = at
		if len(out) > int(size)/2 {
			break
		}
	}
	if full && len(out) == 0 {
		return nil, abi.EMSGSIZE
	}
	return out, 0
}

// readOwnDir is readDir of a directory of this package.
func (p *Personality) readOwnDir(c *core.Call, f store.Ref[core.File], n node, size uint64, off int64) (uint64, abi.Errno) {
	out := p.ownDirEntries(c, f, n, size, off)
	c.CopyOut(c.Args[1], out)
	return uint64(len(out)), 0
}

// ownDirEntries is dirEntries of one.
func (p *Personality) ownDirEntries(c *core.Call, f store.Ref[core.File], n node, size uint64, off int64) []byte {
	from := p.K.Files.Get(f).Off
	if off >= 0 {
		from = off
	}
	var out []byte
	pos := int64(0)
	for _, x := range p.list(c, n) {
		d := p.ownDir(c, x)
		b := d.encode()
		if pos >= from {
			if uint64(len(out)+len(b)) > min(size, maxDirRead) {
				break
			}
			out = append(out, b...)
		}
		pos += int64(len(b))
	}
	if off < 0 {
		p.K.Files.Mut(f).Off = from + int64(len(out))
	}
	return out
}

// dir is what stat(5) says of a file.
type dir struct {
	typ          uint16
	dev          uint32
	qtype        uint8
	vers         uint32
	path         uint64
	mode         uint32
	atime, mtime uint32
	length       uint64
	name         string
	uid, gid     string
	muid         string
}

const statFixed = 49 // STATFIXLEN: with the size of what follows it

// encode makes the machine-independent form.
func (d *dir) encode() []byte {
	b := make([]byte, 0, statFixed+len(d.name)+len(d.uid)+len(d.gid)+len(d.muid))
	b = le.AppendUint16(b, uint16(cap(b)-2))
	b = le.AppendUint16(b, d.typ)
	b = le.AppendUint32(b, d.dev)
	b = append(b, d.qtype)
	b = le.AppendUint32(b, d.vers)
	b = le.AppendUint64(b, d.path)
	b = le.AppendUint32(b, d.mode)
	b = le.AppendUint32(b, d.atime)
	b = le.AppendUint32(b, d.mtime)
	b = le.AppendUint64(b, d.length)
	for _, s := range []string{d.name, d.uid, d.gid, d.muid} {
		b = le.AppendUint16(b, uint16(len(s)))
		b = append(b, s...)
	}
	return b
}

// decode is encode's other direction; false: it is malformed.
func decode(b []byte) (d dir, ok bool) {
	if len(b) < statFixed || int(le.Uint16(b))+2 != len(b) {
		return d, false
	}
	d = dir{typ: le.Uint16(b[2:]), dev: le.Uint32(b[4:]), qtype: b[8], vers: le.Uint32(b[9:]), path: le.Uint64(b[13:]),
		mode: le.Uint32(b[21:]), atime: le.Uint32(b[25:]), mtime: le.Uint32(b[29:]), length: le.Uint64(b[33:])}
	b = b[41:]
	for _, s := range []*string{&d.name, &d.uid, &d.gid, &d.muid} {
		if len(b) < 2 || len(b)-2 < int(le.Uint16(b)) {
			return d, false
		}
		n := int(le.Uint16(b))
		*s, b = string(b[2:2+n]), b[2+n:]
	}
	return d, len(b) == 0
}

// fromStat is a file of the machine's tree.
func fromStat(c *core.Call, s *core.Stat, name string) dir {
	d := dir{typ: 'M', dev: uint32(s.Dev), path: s.Ino, vers: uint32(s.Mtime.Nsec) ^ uint32(s.Mtime.Sec), mode: s.Mode & 0o777,
		atime: uint32(s.Atime.Sec), mtime: uint32(s.Mtime.Sec), length: s.Size, name: name,
		uid: userName(c.ShowUID(s.UID)), gid: userName(c.ShowGID(s.GID))}
	d.muid = d.uid
	switch s.Mode & fs.TypeMask {
	case fs.TypeDir:
		d.mode |= dmDir
		d.qtype = qtDir
		d.length = 0
	case fs.TypeChr:
		d.typ, d.length = 'c', 0
	case fs.TypeFifo, fs.TypeSock, 0:
		d.typ, d.length = '|', 0
	}
	return d
}

// ownDir is a file of this package.
func (p *Personality) ownDir(c *core.Call, n node) dir {
	t := uint32(p.K.BootTime().Sec)
	d := dir{typ: n.device(), path: qid(n), mode: n.mode(), atime: t, mtime: t, length: p.length(n), name: n.name,
		uid: userName(c.ShowUID(c.Cred().UID))}
	if d.name == "" {
		d.name = path.Base(p.nameOf(n))
	}
	if n.kind == 0 {
		d.mode = 0o666
	}
	if n.isDir() {
		d.mode |= dmDir
		d.qtype = qtDir
	}
	d.gid, d.muid = d.uid, d.uid
	return d
}

// dirAt is what a file of a directory of the machine's tree is; a link that leads nowhere is
// one itself.
func (p *Personality) dirAt(c *core.Call, in int32, name string) (dir, abi.Errno) {
	s, e := c.StatAt(in, name, core.WalkFollow)
	if e == abi.ENOENT || e == abi.ELOOP {
		s, e = c.StatAt(in, name, 0)
	}
	if e != 0 {
		return dir{}, e
	}
	return fromStat(c, &s, path.Base(name)), 0
}

// putDir stores a stat message in the buffer that arguments 1 and 2 name: of one that is
// too small its size only (stat(2)).
func putDir(c *core.Call, d *dir) (uint64, abi.Errno) {
	n := int32(c.Args[2])
	b := d.encode()
	if n < 2 {
		return 0, abi.EMSGSIZE
	}
	if len(b) > int(n) {
		b = b[:2]
	}
	c.CopyOut(c.Args[1], b)
	return uint64(len(b)), 0
}

// sysStat serves stat(2): name, buffer, its size.
func sysStat(p *Personality, c *core.Call) (uint64, abi.Errno) {
	name, e := c.PathArg(0)
	if e != 0 {
		return 0, e
	}
	f, e := p.find(c, name, false)
	if e != 0 {
		return 0, e
	}
	if f.kind == kRemote {
		d, e := p.statRemote(c, f.node, f.abs)
		if e != 0 {
			return 0, e
		}
		return putDir(c, &d)
	}
	if f.kind != 0 {
		d := p.ownDir(c, f.node)
		return putDir(c, &d)
	}
	s, e := c.StatAt(core.AtCwd, f.to, core.WalkFollow)
	if e != 0 {
		return 0, e
	}
	base := path.Base(path.Clean(name))
	if (base == "." || base == "..") && f.abs != "" {
		base = path.Base(f.abs)
	}
	d := fromStat(c, &s, base)
	return putDir(c, &d)
}

// sysFstat serves fstat (stat(2)).
func sysFstat(p *Personality, c *core.Call) (uint64, abi.Errno) {
	f, file, e := c.File(int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	if file.Kind == core.FileOwn {
		n, e := p.K.Ops(f).(*ownOps).of(f)
		if e != 0 {
			return 0, e
		}
		if n.kind == kRemoteFile || n.kind == kRemoteDir {
			d, e := p.statOpened(c, f)
			if e != 0 {
				return 0, e
			}
			return putDir(c, &d)
		}
		d := p.ownDir(c, n)
		return putDir(c, &d)
	}
	s, e := c.StatFD(int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	d := fromStat(c, &s, path.Base(p.fileName(c, f)))
	return putDir(c, &d)
}

// fileName is the name of an open file.
func (p *Personality) fileName(c *core.Call, f store.Ref[core.File]) string {
	file := p.K.Files.Get(f)
	if file.Vnode != 0 {
		return p.K.VnodePath(file.Vnode)
	}
	if file.Kind == core.FileSocket || file.Kind == core.FilePipe {
		return "#|/data"
	}
	return p.K.Ops(f).LinkName(f)
}

// sysFd2path serves fd2path(2): descriptor, buffer, its size.
func sysFd2path(p *Personality, c *core.Call) (uint64, abi.Errno) {
	f, _, e := c.File(int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	n := int32(c.Args[2])
	if n < 1 {
		return 0, abi.EINVAL
	}
	s := p.fileName(c, f)
	s = s[:min(len(s), int(n)-1)]
	c.CopyOut(c.Args[1], append([]byte(s), 0))
	return 0, 0
}

// sysSeek serves seek(2): where the result goes, descriptor, offset, from where.
func sysSeek(p *Personality, c *core.Call) (uint64, abi.Errno) {
	v, e := seek(c, int32(c.Args[1]), int64(c.Args[2]), int32(c.Args[3]))
	if e != 0 {
		return 0, e
	}
	c.CopyOut64(c.Args[0], v)
	return 0, 0
}

// sysOseek serves the seek of 32 bits.
func sysOseek(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return seek(c, int32(c.Args[0]), int64(int32(c.Args[1])), int32(c.Args[2]))
}

func seek(c *core.Call, fd int32, off int64, whence int32) (uint64, abi.Errno) {
	f, _, e := c.File(fd)
	if e != 0 {
		return 0, e
	}
	if whence < 0 || whence > 2 {
		return 0, abi.EINVAL
	}
	n, e := c.K.Ops(f).Seek(c, f, off, int(whence))
	return uint64(n), e
}

// sysRemove serves remove(2): files and empty directories.
func sysRemove(p *Personality, c *core.Call) (uint64, abi.Errno) {
	name, e := c.PathArg(0)
	if e != 0 {
		return 0, e
	}
	f, e := p.find(c, name, false)
	if e != 0 {
		return 0, e
	}
	switch f.kind {
	case 0:
	case kEnv:
		return 0, p.K.DictRemove(c.Dict(core.DictEnv), f.name)
	case kSrv:
		return 0, p.removePosted(c, f.node)
	case kRemote:
		return 0, p.removeRemote(c, f.node)
	default:
		return 0, abi.EACCES
	}
	if f.lent {
		return 0, abi.EACCES
	}
	to := strings.TrimRight(f.to, "/")
	e = c.Unlink(core.AtCwd, to)
	if e == abi.EISDIR {
		e = c.Rmdir(core.AtCwd, to)
	}
	return 0, e
}

// sysChdir serves chdir(2). Where the directory is none of the machine's tree, programs of
// other systems that are started there find themselves in its root.
func sysChdir(p *Personality, c *core.Call) (uint64, abi.Errno) {
	name, e := c.PathArg(0)
	if e != 0 {
		return 0, e
	}
	f, e := p.find(c, name, false)
	if e != 0 {
		return 0, e
	}
	var tree store.Ref[core.File]
	switch {
	case f.kind == kRemote:
		tree = store.Ref[core.File](f.num)
		c.PinFile(tree)
		defer c.UnpinFile(tree)
		if t, e := p.remoteType(c, f.node); e != 0 {
			return 0, e
		} else if t&qtDir == 0 {
			return 0, abi.ENOTDIR
		}
	case f.kind != 0 && !f.isDir():
		return 0, abi.ENOTDIR
	default:
		e := c.Chdir(f.to)
		if e == 0 && f.to != f.abs && f.to != name { // it has been bound
			return 0, p.setDot(c, f.abs, 0)
		}
		if e != abi.ENOENT || f.kind == 0 {
			return 0, e
		}
	}
	if e := c.Chdir("/"); e != 0 {
		return 0, e
	}
	return 0, p.setDot(c, f.abs, tree)
}

// sysWstat serves wstat (stat(2)): name, message, its size; sysFwstat fwstat.
func sysWstat(p *Personality, c *core.Call) (uint64, abi.Errno) {
	name, e := c.PathArg(0)
	if e != 0 {
		return 0, e
	}
	b, e := statArg(c)
	if e != 0 {
		return 0, e
	}
	f, e := p.find(c, name, false)
	switch {
	case e != 0:
		return 0, e
	case f.kind == kRemote:
		return 0, p.wstatRemote(c, f.node, b)
	case f.kind != 0:
		return 0, abi.EACCES
	}
	return 0, p.wstat(c, f.to, b)
}

func sysFwstat(p *Personality, c *core.Call) (uint64, abi.Errno) {
	b, e := statArg(c)
	if e != 0 {
		return 0, e
	}
	f, file, e := c.File(int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	if file.Kind == core.FileOwn && (file.Obj == kRemoteFile || file.Obj == kRemoteDir) {
		c.PinFile(f)
		defer c.UnpinFile(f)
		s, o := p.remoteFile(f)
		return 0, p.wstatFid(c, s, o.Fid, b)
	}
	if file.Kind == core.FileOwn {
		return 0, abi.EACCES
	}
	if file.Vnode == 0 {
		return 0, abi.EINVAL
	}
	return 0, p.wstat(c, p.fileName(c, f), b)
}

// statArg answers the stat message that arguments 1 and 2 name, which is well formed.
func statArg(c *core.Call) ([]byte, abi.Errno) {
	size := int32(c.Args[2])
	if size < statFixed || size > 1<<16+1 {
		return nil, abi.EBADMSG
	}
	b, e := c.CopyIn(c.Args[1], int(size))
	if e != 0 {
		return nil, e
	}
	b = append([]byte(nil), b...)
	if _, ok := decode(b); !ok {
		return nil, abi.EBADMSG
	}
	return b, 0
}

// wstat changes a file of the machine's tree as b, a stat message, says.
func (p *Personality) wstat(c *core.Call, name string, b []byte) abi.Errno {
	d, _ := decode(b)
	s, e := c.StatAt(core.AtCwd, name, core.WalkFollow)
	if e != 0 {
		return e
	}
	t := core.Target{Dir: core.AtCwd, Path: name, Walk: core.WalkFollow}
	const none32, none64 = ^uint32(0), ^uint64(0)
	if d.name != "" && (strings.ContainsAny(d.name, "/\x00") || d.name == "." || d.name == "..") {
		return abi.EINVAL
	}
	if d.mode != none32 && d.mode&dmDir != 0 != isDir(&s) {
		return abi.EINVAL
	}
	if d.length != none64 && !isDir(&s) && d.length != s.Size {
		if e := c.Truncate(name, d.length); e != 0 {
			return e
		}
	}
	if d.mode != none32 {
		if e := c.Chmod(t, d.mode&0o777|s.Mode&0o7000); e != 0 {
			return e
		}
	}
	if d.atime != none32 || d.mtime != none32 {
		set := func(v uint32) core.TimeSet {
			if v == none32 {
				return core.TimeSet{Omit: true}
			}
			return core.TimeSet{T: fs.Time{Sec: int64(v)}}
		}
		if e := c.Utimes(t, set(d.atime), set(d.mtime)); e != 0 {
			return e
		}
	}
	if base := path.Base(path.Clean(name)); d.name != "" && d.name != base {
		const noReplace = 1
		to := path.Join(path.Dir(path.Clean(name)), d.name)
		if e := c.Rename(core.AtCwd, name, core.AtCwd, to, noReplace); e != 0 {
			return e
		}
	}
	return 0
}
