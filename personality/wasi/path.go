package wasi

import (
	"strings"

	"hythe/abi"
)

// How a path of the module leads to a file.
//
// A path is relative to a descriptor and does not lead above it: one that begins with
// a slash, or has more ".." than names before them, is ENOTCAPABLE. What symbolic
// links do on the way depends on where the descriptor comes from:
//
//   - "/" is the machine's tree: links in it lead wherever they lead.
//   - From the working directory (".") and from every directory that the module has
//     opened, no link leads out of it: ENOTCAPABLE. For path_open the system sees to
//     that in one call (openat2's RESOLVE_BENEATH), for the others here: the directory
//     that holds the last name is opened so first.

//
// The C library of WASI does not tell absolute paths from relative ones: it leaves out
// the slash, takes of the pre-opened directories the one whose name is the longest
// beginning of the rest, and among equals the last, which is "." for all paths. So a
// path from "." whose first name the working directory does not have, and "/" has, is
// taken for an absolute one; but if it has no other name only where nothing is made,
// changed or removed by it. It is the descriptor of "/" that it is then looked up from,
// with the rights which that has: a module that has closed it has no absolute paths.

// maxPath is PATH_MAX.
const maxPath = 4096

// path is the string of n bytes at addr. ENAMETOOLONG, EINVAL with a zero in it.
func (p *Process) path(addr, n uint32) (string, Errno) {
	b, ok := p.bytes(addr, n)
	switch {
	case !ok:
		return "", errFault
	case n >= maxPath:
		return "", errNameTooLong
	case n == 0:
		return "", errNoEnt
	}
	s := string(b)
	if strings.IndexByte(s, 0) >= 0 {
		return "", errInval
	}
	return s, 0
}

// above says whether a path leads above where it begins.
func above(path string) bool {
	if path[0] == '/' {
		return true
	}
	depth := 0
	for len(path) > 0 {
		name, rest, _ := strings.Cut(path, "/")
		switch name {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				return true
			}
		default:
			depth++
		}
		path = rest
	}
	return false
}

// place is where a path is looked up: by name at a descriptor of the process.
type place struct {
	fd   int
	name string
	// beneath: the way must not lead out of fd.
	beneath bool
	opened  bool // fd was, for this
}

func (p *Process) leave(at place) {
	if at.opened {
		p.sys.Close(at.fd)
	}
}

// absolute says whether a path from the working directory is to be taken for an
// absolute one. look: nothing is made, changed or removed by its last name.
func (p *Process) absolute(path string, look bool) bool {
	first, rest, _ := strings.Cut(path, "/")
	if first == "." || first == ".." || strings.Trim(rest, "/") == "" && !look {
		return false
	}
	if _, e := p.sys.Statat(atCwd, first, false); e != abi.ENOENT {
		return false
	}
	_, e := p.sys.Statat(atCwd, "/"+first, false)
	return e == 0
}

// root is the descriptor of the machine's tree; nil when the module has closed it.
func (p *Process) root() *desc {
	for _, d := range p.fds {
		if d != nil && d.tree {
			return d
		}
	}
	return nil
}

// What is done with a file that a path names.
const (
	toLook   = true
	toChange = false
)

// whole is the place of a path with all of it still to be walked.
func (p *Process) whole(fd uint32, right uint64, look bool, addr, n uint32) (place, *desc, Errno) {
	d, e := p.desc(fd, right)
	if e != 0 {
		return place{}, nil, e
	}
	s, e := p.path(addr, n)
	if e != 0 {
		return place{}, nil, e
	}
	if d.typ != typeDirectory {
		return place{}, nil, errNotDir
	}
	if above(s) {
		return place{}, nil, errNotCapable
	}
	if d.name != "" && !d.tree && p.absolute(s, look) {
		if root := p.root(); root != nil {
			if root.base&right != right {
				return place{}, nil, errNotCapable
			}
			d = root
		}
	}
	switch {
	case d.tree:
		return place{fd: atCwd, name: "/" + s}, d, 0
	case d.name != "":
		return place{fd: atCwd, name: s, beneath: true}, d, 0
	}
	return place{fd: d.fd, name: s, beneath: true}, d, 0
}

// last is the place of a path with only its last name still to be looked up, so that
// no link is followed on the way there (it may be one itself).
func (p *Process) last(fd uint32, right uint64, look bool, addr, n uint32) (place, Errno) {
	at, _, e := p.whole(fd, right, look, addr, n)
	if e != 0 || !at.beneath {
		return at, e
	}
	end := len(strings.TrimRight(at.name, "/"))
	i := strings.LastIndexByte(at.name[:end], '/')
	if i < 0 {
		if at.name[:end] == ".." {
			return place{}, errNotCapable
		}
		return at, 0
	}
	dir, se := p.openat(at, at.name[:i], sysPath|sysDirectory)
	if se != 0 {
		return place{}, se
	}
	at = place{fd: dir, name: at.name[i+1:], opened: true}
	if strings.TrimRight(at.name, "/") == ".." {
		// It may be outside, if what is before it was a link.
		p.leave(at)
		return place{}, errNotCapable
	}
	return at, 0
}

// openat opens name from at. ENOTCAPABLE when the way leads out of where it must not.
func (p *Process) openat(at place, name string, flags int) (int, Errno) {
	fd, e := p.sys.Openat(at.fd, name, flags, at.beneath)
	if e == abi.EXDEV && at.beneath {
		return -1, errNotCapable
	}
	return fd, errno(e)
}

// pathOpen is path_open(fd, lookup, path, len, oflags, base, inheriting, flags, result).
// The new descriptor has what its type and fd's inheriting rights allow of the rights
// that are asked for. What it can do at the system depends on base: it is opened for
// writing if that has a right to change the file's bytes.
func (p *Process) pathOpen(a args) Errno {
	right := uint64(rightPathOpen)
	oflags, flags := a.u32(4), a.u32(7)
	if oflags&oCreat != 0 {
		right |= rightPathCreateFile
	}
	at, d, e := p.whole(a.u32(0), right, oflags&(oCreat|oTrunc) == 0, a.u32(2), a.u32(3))
	if e != 0 {
		return e
	}
	if oflags&oTrunc != 0 && d.base&rightPathFilestatSetSize == 0 && d.inherit&rightFilestatSetSize == 0 {
		return errNotCapable // either will do: Go opens directories without the first
	}
	if a.u32(1)&^lookupFollow != 0 || oflags&^(oCreat|oDirectory|oExcl|oTrunc) != 0 ||
		flags&^(fdAppend|fdDsync|fdNonblock|fdRsync|fdSync) != 0 || oflags&(oDirectory|oCreat) == oDirectory|oCreat {
		return errInval
	}
	if _, ok := p.bytes(a.u32(8), 4); !ok {
		return errFault
	}
	base, inherit := a[5]&d.inherit, a[6]&d.inherit
	fl := 0
	for _, m := range [...]struct {
		on  bool
		set int
	}{
		{oflags&oCreat != 0, sysCreat}, {oflags&oDirectory != 0, sysDirectory}, {oflags&oExcl != 0, sysExcl},
		{oflags&oTrunc != 0, sysTrunc}, {a.u32(1)&lookupFollow == 0, sysNofollow}, {flags&fdAppend != 0, sysAppend},
		{flags&fdNonblock != 0, sysNonblock}, {flags&fdDsync != 0, sysDsync}, {flags&(fdRsync|fdSync) != 0, sysSync},
	} {
		if m.on {
			fl |= m.set
		}
	}
	if base&(rightWrite|rightAllocate) != 0 && oflags&oDirectory == 0 {
		fl |= sysWronly
		if base&(rightRead|rightReaddir) != 0 {
			fl = fl&^sysWronly | sysRdwr
		}
	}
	fd, e := p.openat(at, at.name, fl)
	if e != 0 {
		return e
	}
	n, e := p.newDesc(fd)
	if e != 0 {
		p.sys.Close(fd)
		return e
	}
	if n.typ == typeDirectory && base&rightRead != 0 {
		base |= rightReaddir & d.inherit // some libraries ask for the one and mean the other
	}
	n.base &= base
	n.inherit &= inherit
	return p.put32(a.u32(8), p.add(n))
}

// pathCreateDirectory is path_create_directory(fd, path, len).
func (p *Process) pathCreateDirectory(a args) Errno {
	at, e := p.last(a.u32(0), rightPathCreateDir, toChange, a.u32(1), a.u32(2))
	if e != 0 {
		return e
	}
	defer p.leave(at)
	return errno(p.sys.Mkdirat(at.fd, at.name))
}

// pathRemoveDirectory is path_remove_directory(fd, path, len).
func (p *Process) pathRemoveDirectory(a args) Errno {
	at, e := p.last(a.u32(0), rightPathRemoveDir, toChange, a.u32(1), a.u32(2))
	if e != 0 {
		return e
	}
	defer p.leave(at)
	return errno(p.sys.Unlinkat(at.fd, at.name, true))
}

// pathUnlinkFile is path_unlink_file(fd, path, len).
func (p *Process) pathUnlinkFile(a args) Errno {
	at, e := p.last(a.u32(0), rightPathUnlinkFile, toChange, a.u32(1), a.u32(2))
	if e != 0 {
		return e
	}
	defer p.leave(at)
	return errno(p.sys.Unlinkat(at.fd, at.name, false))
}

// follow is the place of a file whose last name may be a link that is to be followed:
// where that must not lead out of the directory, the file is opened to be named.
func (p *Process) follow(fd uint32, right uint64, look bool, addr, n uint32) (place, Errno) {
	at, _, e := p.whole(fd, right, look, addr, n)
	if e != 0 || !at.beneath {
		return at, e
	}
	f, e := p.openat(at, at.name, sysPath)
	if e != 0 {
		return place{}, e
	}
	return place{fd: f, opened: true}, 0
}

// file is last or follow, as the look-up flags say.
func (p *Process) file(fd uint32, right uint64, look bool, lookup, addr, n uint32) (place, bool, Errno) {
	if lookup&^lookupFollow != 0 {
		return place{}, false, errInval
	}
	if lookup&lookupFollow != 0 {
		at, e := p.follow(fd, right, look, addr, n)
		return at, true, e
	}
	at, e := p.last(fd, right, look, addr, n)
	return at, false, e
}

// pathFilestatGet is path_filestat_get(fd, lookup, path, len, result).
func (p *Process) pathFilestatGet(a args) Errno {
	if _, ok := p.bytes(a.u32(4), 64); !ok {
		return errFault
	}
	at, follow, e := p.file(a.u32(0), rightPathFilestatGet, toLook, a.u32(1), a.u32(2), a.u32(3))
	if e != 0 {
		return e
	}
	defer p.leave(at)
	var st Stat
	var se abi.Errno
	if at.name == "" {
		st, se = p.sys.Stat(at.fd)
	} else {
		st, se = p.sys.Statat(at.fd, at.name, follow)
	}
	if se != 0 {
		return errno(se)
	}
	return p.putStat(a.u32(4), &st, fileType(st.Mode))
}

// pathFilestatSetTimes is path_filestat_set_times(fd, lookup, path, len, atim, mtim, flags).
func (p *Process) pathFilestatSetTimes(a args) Errno {
	atim, mtim, e := times(a[4], a[5], a.u32(6))
	if e != 0 {
		return e
	}
	at, follow, e := p.file(a.u32(0), rightPathFilestatSetTimes, toChange, a.u32(1), a.u32(2), a.u32(3))
	if e != 0 {
		return e
	}
	defer p.leave(at)
	return errno(p.sys.SetTimes(at.fd, at.name, follow, atim, mtim))
}

// pathLink is path_link(fd, lookup, path, len, to fd, to path, to len).
func (p *Process) pathLink(a args) Errno {
	at, follow, e := p.file(a.u32(0), rightPathLinkSource, toLook, a.u32(1), a.u32(2), a.u32(3))
	if e != 0 {
		return e
	}
	defer p.leave(at)
	to, e := p.last(a.u32(4), rightPathLinkTarget, toChange, a.u32(5), a.u32(6))
	if e != 0 {
		return e
	}
	defer p.leave(to)
	return errno(p.sys.Linkat(at.fd, at.name, to.fd, to.name, follow))
}

// pathRename is path_rename(fd, path, len, to fd, to path, to len).
func (p *Process) pathRename(a args) Errno {
	at, e := p.last(a.u32(0), rightPathRenameSource, toChange, a.u32(1), a.u32(2))
	if e != 0 {
		return e
	}
	defer p.leave(at)
	to, e := p.last(a.u32(3), rightPathRenameTarget, toChange, a.u32(4), a.u32(5))
	if e != 0 {
		return e
	}
	defer p.leave(to)
	return errno(p.sys.Renameat(at.fd, at.name, to.fd, to.name))
}

// pathSymlink is path_symlink(text, len, fd, path, len). ENOTCAPABLE for a text that
// begins with a slash where such a link could not be followed.
func (p *Process) pathSymlink(a args) Errno {
	text, e := p.path(a.u32(0), a.u32(1))
	if e != 0 {
		return e
	}
	at, e := p.last(a.u32(2), rightPathSymlink, toChange, a.u32(3), a.u32(4))
	if e != 0 {
		return e
	}
	defer p.leave(at)
	if text[0] == '/' && !p.fds[a.u32(2)].tree {
		return errNotCapable
	}
	return errno(p.sys.Symlinkat(text, at.fd, at.name))
}

// pathReadlink is path_readlink(fd, path, len, buf, buf_len, result): as much of the
// link's text as there is room for.
func (p *Process) pathReadlink(a args) Errno {
	b, ok := p.bytes(a.u32(3), a.u32(4))
	if _, ok2 := p.bytes(a.u32(5), 4); !ok || !ok2 {
		return errFault
	}
	at, e := p.last(a.u32(0), rightPathReadlink, toLook, a.u32(1), a.u32(2))
	if e != 0 {
		return e
	}
	defer p.leave(at)
	var text [maxPath]byte // so that no room at all is not EINVAL
	n, se := p.sys.Readlinkat(at.fd, at.name, text[:])
	if se != 0 {
		return errno(se)
	}
	return p.put32(a.u32(5), uint32(copy(b, text[:n])))
}
