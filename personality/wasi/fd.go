package wasi

// desc is an open descriptor of the module.
type desc struct {
	// fd is the process's descriptor; of a pre-opened directory it may not be open yet
	// (-1, see file).
	fd int
	// name of a pre-opened directory, with which its paths begin for the module; empty
	// for all others. at is where the machine has it: "" for the working directory.
	name, at string
	// tree: a view of the machine's tree, in which symbolic links lead wherever they
	// lead; from all other directories no way leads out of them (path.go).
	tree bool

	typ           uint8
	base, inherit uint64

	// The open file of an inherited descriptor is other programs' too, so that it is
	// never made non-blocking; nonblock is what the module asked for.
	inherited, nonblock bool

	dir *dirents
}

// desc looks up a descriptor that has the rights to be used. EBADF, ENOTCAPABLE.
func (p *Process) desc(fd uint32, rights uint64) (*desc, Errno) {
	if uint64(fd) >= uint64(len(p.fds)) || p.fds[fd] == nil {
		return nil, errBadf
	}
	d := p.fds[fd]
	if d.base&rights != rights {
		switch {
		case d.typ != typeDirectory:
			return nil, errNotCapable
		case rights == rightRead:
			return nil, errIsDir
		case rights&^rightsDir != 0:
			return nil, errBadf // what no directory can do
		}
		return nil, errNotCapable
	}
	return d, 0
}

// open is desc for functions that ask the system for something at the descriptor
// itself: a pre-opened directory is opened now.
func (p *Process) open(fd uint32, rights uint64) (*desc, Errno) {
	d, e := p.desc(fd, rights)
	if e == 0 && d.fd < 0 {
		at := d.at
		if at == "" {
			at = "."
		}
		n, e := p.sys.Openat(atCwd, at, sysDirectory, false)
		if e != 0 {
			return nil, errno(e)
		}
		d.fd = n
	}
	return d, e
}

// add gives d the lowest free number.
func (p *Process) add(d *desc) uint32 {
	for i, o := range p.fds {
		if o == nil {
			p.fds[i] = d
			return uint32(i)
		}
	}
	p.fds = append(p.fds, d)
	return uint32(len(p.fds) - 1)
}

// fileType is preview 1's type of a file of the machine; pipes have none.
func fileType(mode uint32) uint8 {
	switch mode & modeType {
	case modeRegular:
		return typeRegular
	case modeDir:
		return typeDirectory
	case modeChar:
		return typeCharDevice
	case modeBlock:
		return typeBlockDevice
	case modeSymlink:
		return typeSymlink
	case modeSocket:
		return typeStream
	}
	return typeUnknown
}

// newDesc makes a descriptor of one of the process's, with all rights that its type
// can have.
func (p *Process) newDesc(fd int) (*desc, Errno) {
	st, e := p.sys.Stat(fd)
	if e != 0 {
		return nil, errno(e)
	}
	d := &desc{fd: fd, typ: fileType(st.Mode), base: rightsFile}
	switch d.typ {
	case typeDirectory:
		d.base, d.inherit = rightsDir, rightsAll
	case typeCharDevice:
		if p.sys.Terminal(fd) {
			d.base = rightsTTY // by these C libraries know one
		}
	case typeStream:
		d.base, d.inherit = rightsSocket, rightsSocket
		if !p.sys.Stream(fd) {
			d.typ = typeDgram
		}
	}
	return d, 0
}

// inherit takes up a descriptor that the process began with.
func (p *Process) inherit(fd int) *desc {
	d, e := p.newDesc(fd)
	if e != 0 {
		return nil
	}
	d.inherited = true
	if fl, e := p.sys.Flags(fd); e == 0 && d.typ != typeDirectory {
		switch fl & sysAccMode {
		case 0:
			d.base &^= rightWrite | rightAllocate | rightFilestatSetSize
		case sysWronly:
			d.base &^= rightRead
		}
	}
	return d
}

// ready says whether a call at an inherited descriptor that is to be non-blocking can
// be made without waiting.
func (p *Process) ready(d *desc, write bool) bool {
	if !d.inherited || !d.nonblock || d.typ == typeRegular || d.typ == typeDirectory {
		return true
	}
	f := [1]PollFD{{FD: d.fd, Read: !write, Write: write}}
	n, e := p.sys.Poll(f[:], 0)
	return e != 0 || n > 0
}

// pipeBuf is how much a pipe that can be written to takes at once (PIPE_BUF).
const pipeBuf = 4096

// writev writes to d; what an inherited descriptor that is to be non-blocking does not
// take at once is not written.
func (p *Process) writev(d *desc, v [][]byte) (int, Errno) {
	if !d.inherited || !d.nonblock || d.typ == typeRegular {
		n, e := p.sys.Writev(d.fd, v, -1)
		return n, errno(e)
	}
	done := 0
	for _, b := range v {
		for len(b) > 0 {
			if !p.ready(d, true) {
				if done > 0 {
					return done, 0
				}
				return 0, errAgain
			}
			one := [1][]byte{b[:min(len(b), pipeBuf)]}
			n, e := p.sys.Writev(d.fd, one[:], -1)
			if e != 0 {
				if done > 0 {
					return done, 0
				}
				return 0, errno(e)
			}
			b = b[n:]
			done += n
		}
	}
	return done, 0
}

// fdRead is fd_read(fd, iovs, n, result).
func (p *Process) fdRead(a args) Errno {
	d, e := p.open(a.u32(0), rightRead)
	if e != 0 {
		return e
	}
	v, e := p.vector(a.u32(1), a.u32(2))
	if e != 0 {
		return e
	}
	if _, ok := p.bytes(a.u32(3), 4); !ok {
		return errFault
	}
	if !p.ready(d, false) {
		return errAgain
	}
	n, se := p.sys.Readv(d.fd, v, -1)
	if se != 0 {
		return errno(se)
	}
	return p.put32(a.u32(3), uint32(n))
}

// fdWrite is fd_write(fd, iovs, n, result).
func (p *Process) fdWrite(a args) Errno {
	d, e := p.open(a.u32(0), rightWrite)
	if e != 0 {
		return e
	}
	v, e := p.vector(a.u32(1), a.u32(2))
	if e != 0 {
		return e
	}
	if _, ok := p.bytes(a.u32(3), 4); !ok {
		return errFault
	}
	n, e := p.writev(d, v)
	if e != 0 {
		return e
	}
	return p.put32(a.u32(3), uint32(n))
}

// fdPread is fd_pread(fd, iovs, n, offset, result).
func (p *Process) fdPread(a args) Errno { return p.positioned(a, rightRead, p.sys.Readv) }

// fdPwrite is fd_pwrite(fd, iovs, n, offset, result).
func (p *Process) fdPwrite(a args) Errno { return p.positioned(a, rightWrite, p.sys.Writev) }

func (p *Process) positioned(a args, right uint64, do sysVector) Errno {
	d, e := p.open(a.u32(0), right|rightSeek)
	if e != 0 {
		return e
	}
	v, e := p.vector(a.u32(1), a.u32(2))
	if e != 0 {
		return e
	}
	if _, ok := p.bytes(a.u32(4), 4); !ok {
		return errFault
	}
	if int64(a[3]) < 0 {
		return errInval
	}
	n, se := do(d.fd, v, int64(a[3]))
	if se != 0 {
		return errno(se)
	}
	return p.put32(a.u32(4), uint32(n))
}

// fdSeek is fd_seek(fd, offset, whence, result). EINVAL, ESPIPE.
func (p *Process) fdSeek(a args) Errno {
	right := uint64(rightSeek | rightTell)
	if a[1] == 0 && a.u32(2) == 1 {
		right = rightTell
	}
	d, e := p.open(a.u32(0), right)
	if e != 0 {
		return e
	}
	if a.u32(2) > 2 {
		return errInval
	}
	if _, ok := p.bytes(a.u32(3), 8); !ok {
		return errFault
	}
	n, se := p.sys.Seek(d.fd, int64(a[1]), int(a.u32(2)))
	if se != 0 {
		return errno(se)
	}
	return p.put64(a.u32(3), uint64(n))
}

// fdTell is fd_tell(fd, result).
func (p *Process) fdTell(a args) Errno { return p.fdSeek(args{a[0], 0, 1, a[1]}) }

// fdClose is fd_close(fd).
func (p *Process) fdClose(a args) Errno {
	d, e := p.desc(a.u32(0), 0)
	if e != 0 {
		return e
	}
	p.fds[a.u32(0)] = nil
	if d.fd < 0 {
		return 0
	}
	return errno(p.sys.Close(d.fd))
}

// fdRenumber is fd_renumber(fd, to): what to was is closed. EBADF if either is not open.
func (p *Process) fdRenumber(a args) Errno {
	d, e := p.desc(a.u32(0), 0)
	if e != 0 {
		return e
	}
	to, e := p.desc(a.u32(1), 0)
	if e != 0 || d == to {
		return e
	}
	if to.fd >= 0 {
		p.sys.Close(to.fd)
	}
	p.fds[a.u32(0)], p.fds[a.u32(1)] = nil, d
	return 0
}

// fdSync is fd_sync(fd), fdDatasync is fd_datasync(fd).
func (p *Process) fdSync(a args) Errno {
	d, e := p.open(a.u32(0), rightSync)
	if e != 0 {
		return e
	}
	return errno(p.sys.Sync(d.fd, false))
}

func (p *Process) fdDatasync(a args) Errno {
	d, e := p.open(a.u32(0), rightDatasync)
	if e != 0 {
		return e
	}
	return errno(p.sys.Sync(d.fd, true))
}

// fdAdvise is fd_advise(fd, offset, len, advice).
func (p *Process) fdAdvise(a args) Errno {
	d, e := p.open(a.u32(0), rightAdvise)
	if e != 0 {
		return e
	}
	advice := int(a.u32(3))
	switch {
	case a.u32(3) > 5 || int64(a[1]) < 0 || int64(a[2]) < 0:
		return errInval
	case d.typ == typeDirectory:
		return errBadf
	case advice == 1 || advice == 2: // sequential and random, the other way round on Linux
		advice = 3 - advice
	}
	return errno(p.sys.Advise(d.fd, int64(a[1]), int64(a[2]), advice))
}

// fdAllocate is fd_allocate(fd, offset, len).
func (p *Process) fdAllocate(a args) Errno {
	d, e := p.open(a.u32(0), rightAllocate)
	if e != 0 {
		return e
	}
	if int64(a[1]) < 0 || int64(a[2]) <= 0 {
		return errInval
	}
	return errno(p.sys.Allocate(d.fd, int64(a[1]), int64(a[2])))
}

// fdFdstatGet is fd_fdstat_get(fd, result).
func (p *Process) fdFdstatGet(a args) Errno {
	d, e := p.desc(a.u32(0), 0)
	if e != 0 {
		return e
	}
	b, ok := p.bytes(a.u32(1), 24)
	if !ok {
		return errFault
	}
	flags, e := p.flags(d)
	if e != 0 {
		return e
	}
	clear(b)
	b[0] = d.typ
	le.PutUint16(b[2:], flags)
	le.PutUint64(b[8:], d.base)
	le.PutUint64(b[16:], d.inherit)
	return 0
}

// flags are a descriptor's as preview 1 has them.
func (p *Process) flags(d *desc) (uint16, Errno) {
	if d.fd < 0 {
		return 0, 0
	}
	fl, e := p.sys.Flags(d.fd)
	if e != 0 {
		return 0, errno(e)
	}
	var f uint16
	if fl&sysAppend != 0 {
		f |= fdAppend
	}
	if fl&sysNonblock != 0 || d.nonblock {
		f |= fdNonblock
	}
	if fl&sysSync == sysSync {
		f |= fdSync | fdRsync
	}
	if fl&sysDsync != 0 {
		f |= fdDsync
	}
	return f, 0
}

// fdFdstatSetFlags is fd_fdstat_set_flags(fd, flags). ENOTSUP when how it is
// synchronized would change: Linux cannot.
func (p *Process) fdFdstatSetFlags(a args) Errno {
	d, e := p.open(a.u32(0), rightSetFlags)
	if e != 0 {
		return e
	}
	want := a.u32(1)
	if want&^(fdAppend|fdDsync|fdNonblock|fdRsync|fdSync) != 0 {
		return errInval
	}
	fl, se := p.sys.Flags(d.fd)
	if se != 0 {
		return errno(se)
	}
	now, e := p.flags(d)
	if e != 0 {
		return e
	}
	if (uint32(now)^want)&want&(fdDsync|fdRsync|fdSync) != 0 {
		return errNotSup
	}
	next := fl &^ (sysAppend | sysNonblock)
	if want&fdAppend != 0 {
		next |= sysAppend
	}
	if d.inherited {
		next |= fl & sysNonblock
		d.nonblock = want&fdNonblock != 0
	} else if want&fdNonblock != 0 {
		next |= sysNonblock
	}
	if next == fl {
		return 0
	}
	return errno(p.sys.SetFlags(d.fd, next))
}

// fdFdstatSetRights is fd_fdstat_set_rights(fd, base, inheriting). ENOTCAPABLE for
// rights that the descriptor does not have.
func (p *Process) fdFdstatSetRights(a args) Errno {
	d, e := p.desc(a.u32(0), 0)
	if e != 0 {
		return e
	}
	if a[1]&^d.base != 0 || a[2]&^d.inherit != 0 {
		return errNotCapable
	}
	d.base, d.inherit = a[1], a[2]
	return 0
}

func (p *Process) putStat(addr uint32, st *Stat, typ uint8) Errno {
	b, ok := p.bytes(addr, 64)
	if !ok {
		return errFault
	}
	clear(b)
	for i, v := range [...]uint64{st.Dev, st.Ino, uint64(typ), st.Nlink, st.Size,
		uint64(st.Atime), uint64(st.Mtime), uint64(st.Ctime)} {
		le.PutUint64(b[i*8:], v)
	}
	return 0
}

// fdFilestatGet is fd_filestat_get(fd, result).
func (p *Process) fdFilestatGet(a args) Errno {
	d, e := p.open(a.u32(0), rightFilestatGet)
	if e != 0 {
		return e
	}
	st, se := p.sys.Stat(d.fd)
	if se != 0 {
		return errno(se)
	}
	return p.putStat(a.u32(1), &st, d.typ)
}

// fdFilestatSetSize is fd_filestat_set_size(fd, size).
func (p *Process) fdFilestatSetSize(a args) Errno {
	d, e := p.open(a.u32(0), rightFilestatSetSize)
	if e != 0 {
		return e
	}
	if int64(a[1]) < 0 {
		return errInval
	}
	return errno(p.sys.Truncate(d.fd, int64(a[1])))
}

// times decodes the arguments of the set_times functions. EINVAL for flags that
// contradict each other.
func times(atim, mtim uint64, flags uint32) (at, mt int64, e Errno) {
	if flags&^(setAtim|setAtimNow|setMtim|setMtimNow) != 0 ||
		flags&(setAtim|setAtimNow) == setAtim|setAtimNow || flags&(setMtim|setMtimNow) == setMtim|setMtimNow {
		return 0, 0, errInval
	}
	at, mt = TimeKeep, TimeKeep
	switch {
	case flags&setAtim != 0:
		at = int64(atim)
	case flags&setAtimNow != 0:
		at = TimeNow
	}
	switch {
	case flags&setMtim != 0:
		mt = int64(mtim)
	case flags&setMtimNow != 0:
		mt = TimeNow
	}
	return at, mt, 0
}

// fdFilestatSetTimes is fd_filestat_set_times(fd, atim, mtim, flags).
func (p *Process) fdFilestatSetTimes(a args) Errno {
	d, e := p.open(a.u32(0), rightFilestatSetTimes)
	if e != 0 {
		return e
	}
	at, mt, e := times(a[1], a[2], a.u32(3))
	if e != 0 {
		return e
	}
	return errno(p.sys.SetTimes(d.fd, "", true, at, mt))
}

// fdPrestatGet is fd_prestat_get(fd, result). EBADF if it is not a pre-opened directory.
func (p *Process) fdPrestatGet(a args) Errno {
	d, e := p.desc(a.u32(0), 0)
	if e != 0 || d.name == "" {
		return errBadf
	}
	b, ok := p.bytes(a.u32(1), 8)
	if !ok {
		return errFault
	}
	le.PutUint64(b, uint64(len(d.name))<<32)
	return 0
}

// fdPrestatDirName is fd_prestat_dir_name(fd, path, len). ENAMETOOLONG.
func (p *Process) fdPrestatDirName(a args) Errno {
	d, e := p.desc(a.u32(0), 0)
	if e != 0 || d.name == "" {
		return errBadf
	}
	b, ok := p.bytes(a.u32(1), a.u32(2))
	switch {
	case !ok:
		return errFault
	case len(b) < len(d.name):
		return errNameTooLong
	}
	copy(b, d.name)
	return 0
}
