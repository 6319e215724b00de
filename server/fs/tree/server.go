package tree

import (
	"strings"
	"sync"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/server/fs/once"
)

// Below is a lower layer, hung under a tree. Its methods are called with the
// server's lock held, those that may change the tree inside a transaction.
type Below interface {
	// Lookup finds a name in what lies below a merged directory and answers
	// the tree's node for it, made if it is met for the first time. In a
	// transaction. ENOENT, EIO.
	Lookup(dir Ref, name string) (Ref, abi.Errno)
	// Due says whether it is time to learn what all names of a merged directory's lower part
	// are, since some of them were asked for; LookAhead does so. In a transaction of its own.
	Due(dir Ref) bool
	LookAhead(dir Ref) abi.Errno
	// Has says whether a merged directory's lower part has the name.
	Has(dir Ref, name string) (bool, abi.Errno)
	// Empty says whether no name of a merged directory's lower part shows.
	Empty(dir Ref) (bool, abi.Errno)
	// List answers the lower entries of a merged directory behind cookie that
	// show (neither hidden nor replaced), until about max bytes; next is where
	// to go on and end says that there are no more. The first plus entries may have what
	// the lower layer found, for Meet, or be KnownBelow.
	List(dir Ref, cookie uint64, max int, plus uint32) (list []fs.DirPlus, next uint64, end bool, err abi.Errno)
	// Meet answers the tree's node for what the lower layer found under a name that the
	// tree does not have, made if it is met for the first time. In a transaction.
	Meet(dir Ref, name string, found *fs.Entry) (Ref, abi.Errno)
	// Attr answers the attributes of a node with FlagLowerMeta.
	Attr(r Ref) (a fs.Attr, ttl uint64, err abi.Errno)
	// CopyMeta brings a node's attributes and xattrs up, CopyData the first
	// size bytes of a file's data or a symlink's target. In a transaction.
	CopyMeta(r Ref) abi.Errno
	CopyData(r Ref, size uint64) abi.Errno
	// The rest serve nodes whose data or attributes are still below.
	Read(r Ref, off uint64, buf []byte) (int, abi.Errno)
	// Whole answers all that is in a file that was just opened to be read, whose attributes
	// are a; false: Read does.
	Whole(r Ref, a *fs.Attr) ([]byte, bool)
	ReadLink(r Ref) (string, abi.Errno)
	Seek(r Ref, off uint64, whence uint32) (uint64, abi.Errno)
	GetXattr(r Ref, name string) ([]byte, abi.Errno)
	ListXattr(r Ref) ([]byte, abi.Errno)
	Map(r Ref) (fs.MapOut, abi.Errno)
	// Used answers the bytes that the lower file system's files take.
	Used() (uint64, abi.Errno)
}

// KnownBelow, as the Known of an entry that Below.List answers: what it is was found before and is still
// known (Lookup).
const KnownBelow = 2

// Server serves a Tree as a file system: it implements fs.Server. Its methods
// may be called from any goroutine; one runs at a time.
type Server struct {
	mu    sync.Mutex
	t     *Tree
	log   *once.Log
	below Below
	ttl   uint64
	magic uint64
	freed uint64 // pages of data freed since the heap was trimmed
}

// trimPages is after how many freed pages the heap gives memory back.
const trimPages = 16 << 20 / pageSize

// NewServer serves t. Nobody but the clients changes a tree, so names and
// attributes are good for ttl nanoseconds (^0: until the client changes them);
// magic is what statfs shows as the kind of file system.
func NewServer(t *Tree, log *once.Log, ttl, magic uint64) *Server {
	return &Server{t: t, log: log, ttl: ttl, magic: magic}
}

// SetBelow hangs a lower layer under the tree. Before the first request.
func (s *Server) SetBelow(b Below) { s.below = b }

// Unbind forgets what was kept for a binding whose client is gone for good.
func (s *Server) Unbind(binding uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.t.h.Begin()
	s.log.Unbind(binding)
	s.t.h.Commit()
}

var _ fs.Server = (*Server)(nil)

// do runs an operation that changes something: once, in a transaction that the
// answer is part of.
func (s *Server) do(r fs.Req, f func(rep *once.Reply) abi.Errno) once.Reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rep, ok := s.log.Seen(r); ok {
		return rep
	}
	return s.tx(r, f)
}

func (s *Server) tx(r fs.Req, f func(rep *once.Reply) abi.Errno) once.Reply {
	var rep once.Reply
	s.t.h.Begin()
	before := s.t.supers.Get(s.t.super).Pages
	err := f(&rep)
	if err == 0 {
		err = s.log.Done(r, &rep)
	}
	if err != 0 {
		s.t.h.Abort()
		s.t.aborted()
		return once.Reply{Err: uint32(err)}
	}
	s.t.h.Commit()
	s.t.committed()
	if after := s.t.supers.Get(s.t.super).Pages; after < before {
		if s.freed += before - after; s.freed >= trimPages {
			s.t.h.Trim()
			s.freed = 0
		}
	}
	return rep
}

func (s *Server) doErr(r fs.Req, f func() abi.Errno) abi.Errno {
	return abi.Errno(s.do(r, func(*once.Reply) abi.Errno { return f() }).Err)
}

func (s *Server) doEntry(r fs.Req, f func() (Ref, abi.Errno)) (fs.Entry, abi.Errno) {
	rep := s.do(r, func(rep *once.Reply) abi.Errno {
		n, err := f()
		if err != 0 {
			return err
		}
		rep.Entry, err = s.entry(n)
		return err
	})
	return rep.Entry, abi.Errno(rep.Err)
}

func (s *Server) entry(n Ref) (fs.Entry, abi.Errno) {
	e := fs.Entry{Node: s.t.ID(n), TTL: s.ttl}
	if s.t.Get(n).Flags&FlagLowerMeta != 0 {
		var err abi.Errno
		e.Attr, e.TTL, err = s.below.Attr(n)
		return e, err
	}
	e.Attr = s.t.Attr(n)
	if s.t.Get(n).Flags&FlagMapped != 0 {
		e.TTL = 0
	}
	return e, 0
}

// node finds a node by its id.
func (s *Server) node(id fs.NodeID) (Ref, *Inode, abi.Errno) {
	r, in := s.t.Node(id)
	if in == nil {
		return 0, nil, abi.ESTALE
	}
	return r, in, 0
}

// dir finds a directory by its id.
func (s *Server) dir(id fs.NodeID) (Ref, *Inode, abi.Errno) {
	r, in, err := s.node(id)
	if err == 0 && in.Mode&fs.TypeMask != fs.TypeDir {
		err = abi.ENOTDIR
	}
	return r, in, err
}

// file finds a regular file by its id.
func (s *Server) file(id fs.NodeID) (Ref, *Inode, abi.Errno) {
	r, in, err := s.node(id)
	if err == 0 {
		switch in.Mode & fs.TypeMask {
		case fs.TypeReg:
		case fs.TypeDir:
			err = abi.EISDIR
		default:
			err = abi.EINVAL
		}
	}
	return r, in, err
}

func isDir(in *Inode) bool { return in.Mode&fs.TypeMask == fs.TypeDir }

// CheckName judges a name that is to be looked up or made.
func CheckName(name string) abi.Errno {
	switch {
	case name == "":
		return abi.ENOENT
	case len(name) > NameMax:
		return abi.ENAMETOOLONG
	case strings.ContainsAny(name, "/\x00"):
		return abi.EINVAL
	}
	return 0
}

func dots(name string) bool { return name == "." || name == ".." }

// child resolves a name; in a transaction when there is a layer below.
func (s *Server) child(dir Ref, name string) (Ref, abi.Errno) {
	if _, d := s.t.Find(dir, name); d != nil {
		if d.Child == 0 {
			return 0, abi.ENOENT
		}
		return d.Child, 0
	}
	if s.merged(dir) {
		return s.below.Lookup(dir, name)
	}
	return 0, abi.ENOENT
}

func (s *Server) merged(dir Ref) bool {
	return s.below != nil && s.t.Get(dir).Flags&FlagMerged != 0
}

// up brings a node's attributes up before they change.
func (s *Server) up(n Ref) abi.Errno {
	if s.below != nil && s.t.Get(n).Flags&FlagLowerMeta != 0 {
		return s.below.CopyMeta(n)
	}
	return 0
}

// upData brings the first size bytes of a node's data up before it changes.
func (s *Server) upData(n Ref, size uint64) abi.Errno {
	if err := s.up(n); err != 0 {
		return err
	}
	if s.below != nil && s.t.Get(n).Flags&FlagLowerData != 0 {
		return s.below.CopyData(n, size)
	}
	return 0
}

// remove takes a name away, and hides a lower one.
func (s *Server) remove(dir Ref, name string) abi.Errno {
	if s.merged(dir) {
		has, err := s.below.Has(dir, name)
		if err != 0 {
			return err
		}
		if has {
			return s.t.Enter(dir, name, 0, 0)
		}
	}
	if _, d := s.t.Find(dir, name); d != nil {
		s.t.Leave(dir, name)
	}
	return 0
}

// vacant checks that a name can be made in a directory.
func (s *Server) vacant(dir Ref, din *Inode, name string) abi.Errno {
	if err := CheckName(name); err != 0 {
		return err
	}
	if dots(name) {
		return abi.EEXIST
	}
	if _, err := s.child(dir, name); err == 0 {
		return abi.EEXIST
	} else if err != abi.ENOENT {
		return err
	}
	if din.Nlink == 0 {
		return abi.ENOENT // the directory itself was removed
	}
	return 0
}

// Lookup implements fs.Server.
func (s *Server) Lookup(r fs.Req, dirID fs.NodeID, name string) (fs.Entry, abi.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	dir, in, err := s.dir(dirID)
	if err != 0 {
		return fs.Entry{}, err
	}
	if err = CheckName(name); err != 0 {
		return fs.Entry{}, err
	}
	switch name {
	case ".":
		return s.entry(dir)
	case "..":
		if in.Parent == 0 {
			return fs.Entry{}, abi.ENOENT
		}
		return s.entry(in.Parent)
	}
	_, d := s.t.Find(dir, name)
	switch {
	case d != nil && d.Child == 0, d == nil && !s.merged(dir):
		return fs.Entry{}, abi.ENOENT
	case s.below == nil:
		return s.entry(d.Child)
	}
	// Over a lower layer the node may be made now, and the client's references
	// are counted, since it is forgotten with the last of them.
	rep := s.tx(fs.Req{}, func(rep *once.Reply) abi.Errno {
		n, err := s.child(dir, name)
		if err != 0 {
			return err
		}
		if s.t.Get(n).Flags&FlagLowerMeta != 0 {
			s.t.Mut(n).Lookups++
		}
		rep.Entry, err = s.entry(n)
		return err
	})
	if rep.Err == 0 && s.merged(dir) && s.below.Due(dir) {
		s.tx(fs.Req{}, func(*once.Reply) abi.Errno { return s.below.LookAhead(dir) })
	}
	return rep.Entry, abi.Errno(rep.Err)
}

// Forget implements fs.Server.
func (s *Server) Forget(r fs.Req, id fs.NodeID, n uint64) {
	if s.below == nil {
		return
	}
	s.do(r, func(*once.Reply) abi.Errno {
		ref, in := s.t.Node(id)
		if in == nil || in.Lookups == 0 {
			return 0
		}
		in = s.t.Mut(ref)
		in.Lookups -= min(in.Lookups, n)
		if in.Lookups == 0 && in.Opens == 0 && in.Kids == 0 && ref != s.t.Root() &&
			in.Flags&FlagLowerMeta != 0 && in.Flags&FlagPinned == 0 {
			s.t.Drop(ref)
		}
		return 0
	})
}

// GetAttr implements fs.Server.
func (s *Server) GetAttr(_ fs.Req, id fs.NodeID) (fs.Entry, abi.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, _, err := s.node(id)
	if err != 0 {
		return fs.Entry{}, err
	}
	return s.entry(n)
}

// SetAttr implements fs.Server.
func (s *Server) SetAttr(r fs.Req, id fs.NodeID, a *fs.SetAttrIn) (fs.Entry, abi.Errno) {
	return s.doEntry(r, func() (Ref, abi.Errno) {
		n, _, err := s.node(id)
		if err != 0 {
			return 0, err
		}
		if a.Atime.Nsec >= 1e9 || a.Mtime.Nsec >= 1e9 {
			return 0, abi.EINVAL
		}
		if a.Valid&fs.SetSize != 0 {
			if _, _, err := s.file(id); err != 0 {
				return 0, err
			}
			if a.Size > MaxFile {
				return 0, abi.EFBIG
			}
			if err := s.upData(n, a.Size); err != 0 {
				return 0, err
			}
			if err := s.t.Truncate(n, a.Size, false); err != 0 {
				return 0, err
			}
			s.t.Modified(n) // also when the size is what it was
		} else if a.Valid&fs.SetTrimmed != 0 {
			if _, in, err := s.file(id); err != 0 {
				return 0, err
			} else if a.Size > in.Size || in.Flags&FlagObject == 0 {
				return 0, abi.EINVAL
			}
			if err := s.t.Truncate(n, a.Size, true); err != 0 {
				return 0, err
			}
		}
		if a.Valid&fs.SetSealed != 0 {
			if err := s.seal(id); err != 0 {
				return 0, err
			}
		}
		if a.Valid&^(fs.SetSize|fs.SetSealed|fs.SetTrimmed) == 0 {
			return n, 0
		}
		if err := s.up(n); err != 0 {
			return 0, err
		}
		if a.Valid&fs.SetWritten != 0 {
			in := s.t.Mut(n)
			if before(in.Mtime, a.Mtime) {
				in.Mtime = a.Mtime
			}
			if before(in.Ctime, a.Mtime) {
				in.Ctime = a.Mtime
			}
			if a.Valid&^(fs.SetSize|fs.SetSealed|fs.SetTrimmed|fs.SetWritten) == 0 {
				return n, 0
			}
		}
		now := s.t.now()
		in := s.t.Mut(n)
		in.Ctime = now
		if a.Valid&fs.SetMode != 0 {
			in.Mode = in.Mode&fs.TypeMask | a.Mode&0o7777
		}
		if a.Valid&fs.SetUID != 0 {
			in.UID = a.UID
		}
		if a.Valid&fs.SetGID != 0 {
			in.GID = a.GID
		}
		if a.Valid&fs.SetAtime != 0 {
			in.Atime = a.Atime
		}
		if a.Valid&fs.SetMtime != 0 {
			in.Mtime = a.Mtime
		}
		if a.Valid&fs.SetAtimeNow != 0 {
			in.Atime = now
		}
		if a.Valid&fs.SetMtimeNow != 0 {
			in.Mtime = now
		}
		return n, 0
	})
}

// seal has the host forbid writing to a file's object: it alone knows who has it
// mapped. That a repetition does so again changes nothing.
func (s *Server) seal(id fs.NodeID) abi.Errno {
	n, _, err := s.file(id)
	if err != 0 {
		return err
	}
	if err := s.upData(n, MaxFile); err != 0 {
		return err
	}
	if err := s.t.Objectify(n); err != 0 {
		return err
	}
	o, ok := s.t.object(n)
	if !ok {
		return abi.EIO
	}
	return o.Seal()
}

// ReadLink implements fs.Server.
func (s *Server) ReadLink(_ fs.Req, id fs.NodeID) (string, abi.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, in, err := s.node(id)
	if err != 0 {
		return "", err
	}
	if in.Mode&fs.TypeMask != fs.TypeLink {
		return "", abi.EINVAL
	}
	if in.Flags&FlagLowerData != 0 {
		return s.below.ReadLink(n)
	}
	s.accessed(n)
	return s.t.Target(n), 0
}

// accessed keeps a node's atime. The change is of no account to anybody's
// request, so it is not recorded with one.
func (s *Server) accessed(n Ref) {
	in := s.t.Get(n)
	if in.Flags&FlagLowerMeta != 0 {
		return // a read does not copy up
	}
	s.t.h.Begin()
	s.t.Accessed(n)
	s.t.h.Commit()
}

// add makes a node with a name.
func (s *Server) add(dirID fs.NodeID, name string, mode uint32, rdev uint64, c fs.Cred) (Ref, abi.Errno) {
	dir, din, err := s.dir(dirID)
	if err != 0 {
		return 0, err
	}
	if err := s.vacant(dir, din, name); err != 0 {
		return 0, err
	}
	if err := s.up(dir); err != 0 {
		return 0, err
	}
	n, err := s.t.NewInode(mode, rdev, c)
	if err != 0 {
		return 0, err
	}
	if err := s.t.Enter(dir, name, n, 0); err != 0 {
		return 0, err
	}
	in := s.t.Mut(n)
	in.Nlink = 1
	if isDir(in) {
		in.Nlink, in.Parent = 2, dir
		s.t.Mut(dir).Nlink++
	}
	s.t.Modified(dir)
	return n, 0
}

// MkNod implements fs.Server.
func (s *Server) MkNod(r fs.Req, dir fs.NodeID, name string, mode uint32, rdev uint64, c fs.Cred) (fs.Entry, abi.Errno) {
	return s.doEntry(r, func() (Ref, abi.Errno) {
		switch mode & fs.TypeMask {
		case 0:
			mode |= fs.TypeReg
			rdev = 0
		case fs.TypeReg, fs.TypeFifo, fs.TypeSock:
			rdev = 0
		case fs.TypeChr, fs.TypeBlk:
		case fs.TypeDir:
			return 0, abi.EPERM
		default:
			return 0, abi.EINVAL
		}
		return s.add(dir, name, mode&(fs.TypeMask|0o7777), rdev, c)
	})
}

// MkDir implements fs.Server.
func (s *Server) MkDir(r fs.Req, dir fs.NodeID, name string, mode uint32, c fs.Cred) (fs.Entry, abi.Errno) {
	return s.doEntry(r, func() (Ref, abi.Errno) {
		return s.add(dir, name, fs.TypeDir|mode&0o7777, 0, c)
	})
}

// Symlink implements fs.Server.
func (s *Server) Symlink(r fs.Req, dir fs.NodeID, name, target string, c fs.Cred) (fs.Entry, abi.Errno) {
	return s.doEntry(r, func() (Ref, abi.Errno) {
		if target == "" {
			return 0, abi.ENOENT
		}
		if len(target) >= pageSize {
			return 0, abi.ENAMETOOLONG
		}
		n, err := s.add(dir, name, fs.TypeLink|0o777, 0, c)
		if err == 0 {
			err = s.t.SetLink(n, target)
		}
		return n, err
	})
}

// Link implements fs.Server.
func (s *Server) Link(r fs.Req, node, dirID fs.NodeID, name string) (fs.Entry, abi.Errno) {
	return s.doEntry(r, func() (Ref, abi.Errno) {
		n, _, err := s.node(node)
		if err != 0 {
			return 0, err
		}
		dir, din, err := s.dir(dirID)
		if err != 0 {
			return 0, err
		}
		if err := s.vacant(dir, din, name); err != 0 {
			return 0, err
		}
		if err := s.up(n); err != 0 {
			return 0, err
		}
		if err := s.up(dir); err != 0 {
			return 0, err
		}
		in := s.t.Mut(n)
		switch {
		case isDir(in):
			return 0, abi.EPERM
		case in.Nlink == 0 && in.Flags&FlagTemp == 0:
			return 0, abi.ENOENT
		case in.Nlink >= maxLinks:
			return 0, abi.EMLINK
		}
		if err := s.t.Enter(dir, name, n, 0); err != 0 {
			return 0, err
		}
		in.Nlink++
		in.Flags &^= FlagTemp
		s.t.Changed(n)
		s.t.Modified(dir)
		return n, 0
	})
}

// Unlink implements fs.Server.
func (s *Server) Unlink(r fs.Req, dirID fs.NodeID, name string) abi.Errno {
	return s.doErr(r, func() abi.Errno { return s.unlink(dirID, name) })
}

// Discard implements fs.Server.
func (s *Server) Discard(r fs.Req, dirID fs.NodeID, name string, node fs.NodeID, opens uint32) abi.Errno {
	return s.doErr(r, func() abi.Errno {
		n, in := s.t.Node(node)
		if in != nil && in.Opens > 0 {
			s.t.Mut(n).Opens -= min(in.Opens, opens)
		}
		if err := s.unlink(dirID, name); err != 0 || in == nil {
			return err
		}
		if s.t.Get(n) != nil { // else it was the one
			s.t.Unused(n)
		}
		return 0
	})
}

func (s *Server) unlink(dirID fs.NodeID, name string) abi.Errno {
	dir, _, err := s.dir(dirID)
	if err != 0 {
		return err
	}
	if err := CheckName(name); err != 0 {
		return err
	}
	if dots(name) {
		return abi.EISDIR
	}
	n, err := s.child(dir, name)
	if err != 0 {
		return err
	}
	if isDir(s.t.Get(n)) {
		return abi.EISDIR
	}
	if err := s.detach(dir, name, n); err != 0 {
		return err
	}
	s.unlinked(n)
	s.t.Modified(dir)
	s.t.Unused(n)
	return 0
}

// detach takes a name away from n; both nodes are brought up first.
func (s *Server) detach(dir Ref, name string, n Ref) abi.Errno {
	if err := s.up(n); err != 0 {
		return err
	}
	if err := s.up(dir); err != 0 {
		return err
	}
	return s.remove(dir, name)
}

// unlinked takes one name off a node's count.
func (s *Server) unlinked(n Ref) {
	in := s.t.Mut(n)
	if in.Nlink > 0 {
		in.Nlink--
	}
	s.t.Changed(n)
}

// RmDir implements fs.Server.
func (s *Server) RmDir(r fs.Req, dirID fs.NodeID, name string) abi.Errno {
	return s.doErr(r, func() abi.Errno {
		dir, _, err := s.dir(dirID)
		if err != 0 {
			return err
		}
		if err := CheckName(name); err != 0 {
			return err
		}
		switch name {
		case ".":
			return abi.EINVAL
		case "..":
			return abi.ENOTEMPTY
		}
		n, err := s.child(dir, name)
		if err != 0 {
			return err
		}
		if !isDir(s.t.Get(n)) {
			return abi.ENOTDIR
		}
		if empty, err := s.empty(n); err != 0 || !empty {
			return orNotEmpty(err)
		}
		if err := s.detach(dir, name, n); err != 0 {
			return err
		}
		s.rmdired(n)
		s.droplink(dir)
		s.t.Modified(dir)
		s.t.Unused(n)
		return 0
	})
}

func orNotEmpty(e abi.Errno) abi.Errno {
	if e == 0 {
		return abi.ENOTEMPTY
	}
	return e
}

func (s *Server) empty(n Ref) (bool, abi.Errno) {
	if s.t.Get(n).Entries != 0 {
		return false, 0
	}
	if s.merged(n) {
		return s.below.Empty(n)
	}
	return true, 0
}

// rmdired marks a directory as removed.
func (s *Server) rmdired(n Ref) {
	in := s.t.Mut(n)
	in.Nlink, in.Parent = 0, 0
	in.Flags &^= FlagMerged
	s.t.Changed(n)
}

// droplink takes a lost subdirectory off a directory's link count. Some lower
// file systems show 1 for every directory; that stays.
func (s *Server) droplink(dir Ref) {
	if in := s.t.Mut(dir); in.Nlink > 2 {
		in.Nlink--
	}
}

func (s *Server) addlink(dir Ref) {
	if in := s.t.Mut(dir); in.Nlink >= 2 {
		in.Nlink++
	}
}

// Rename implements fs.Server. The checks are in the order of Linux's
// do_renameat2 and vfs_rename.
func (s *Server) Rename(r fs.Req, fromID fs.NodeID, oldName string, toID fs.NodeID, newName string, flags uint32) abi.Errno {
	return s.doErr(r, func() abi.Errno {
		if flags&^(fs.RenameNoReplace|fs.RenameExchange) != 0 || flags == fs.RenameNoReplace|fs.RenameExchange {
			return abi.EINVAL
		}
		from, _, err := s.dir(fromID)
		if err != 0 {
			return err
		}
		to, tin, err := s.dir(toID)
		if err != 0 {
			return err
		}
		if dots(oldName) || dots(newName) {
			if flags&fs.RenameNoReplace != 0 && dots(newName) {
				return abi.EEXIST
			}
			return abi.EBUSY
		}
		if err := CheckName(oldName); err != 0 {
			return err
		}
		old, err := s.child(from, oldName)
		if err != 0 {
			return err
		}
		if err := CheckName(newName); err != 0 {
			return err
		}
		target, err := s.child(to, newName)
		if err != 0 && err != abi.ENOENT {
			return err
		}
		exchange := flags&fs.RenameExchange != 0
		switch {
		case target != 0 && flags&fs.RenameNoReplace != 0:
			return abi.EEXIST
		case target == 0 && exchange:
			return abi.ENOENT
		case isDir(s.t.Get(old)) && s.t.Under(to, old):
			return abi.EINVAL
		case target != 0 && isDir(s.t.Get(target)) && s.t.Under(from, target):
			if exchange {
				return abi.EINVAL
			}
			return abi.ENOTEMPTY
		case old == target:
			return 0
		case tin.Nlink == 0:
			return abi.ENOENT
		}
		oldDir := isDir(s.t.Get(old))
		targetDir := target != 0 && isDir(s.t.Get(target))
		if target != 0 && !exchange {
			switch {
			case oldDir && !targetDir:
				return abi.ENOTDIR
			case !oldDir && targetDir:
				return abi.EISDIR
			}
			if targetDir {
				if empty, err := s.empty(target); err != 0 || !empty {
					return orNotEmpty(err)
				}
			}
		}
		for _, n := range [...]Ref{from, to, old, target} {
			if n != 0 {
				if err := s.up(n); err != 0 {
					return err
				}
			}
		}
		// Every check is done; from here on only a full store ends it.
		if exchange {
			if err := s.t.Enter(from, oldName, target, 0); err != 0 {
				return err
			}
		} else if err := s.remove(from, oldName); err != 0 {
			return err
		}
		if err := s.t.Enter(to, newName, old, 0); err != 0 {
			return err
		}
		if oldDir {
			s.t.Mut(old).Parent = to
			if from != to {
				s.droplink(from)
				s.addlink(to)
			}
		}
		switch {
		case exchange:
			if targetDir {
				s.t.Mut(target).Parent = from
				if from != to {
					s.droplink(to)
					s.addlink(from)
				}
			}
			s.t.Changed(target)
		case targetDir:
			s.rmdired(target)
			s.droplink(to)
		case target != 0:
			s.unlinked(target)
		}
		s.t.Modified(from)
		s.t.Modified(to)
		s.t.Changed(old)
		if target != 0 && !exchange {
			s.t.Unused(target)
		}
		return 0
	})
}

// Open implements fs.Server.
func (s *Server) Open(r fs.Req, id fs.NodeID, write, trunc bool) (fs.Entry, abi.Errno) {
	return s.doEntry(r, func() (Ref, abi.Errno) {
		n, in, err := s.node(id)
		if err != 0 {
			return 0, err
		}
		return n, s.opened(n, in, write, trunc)
	})
}

// OpenRead implements fs.Server. Only what is below is answered: of the tree's own files
// reads are counted (atime).
func (s *Server) OpenRead(r fs.Req, id fs.NodeID, most int) (fs.Entry, bool, []byte, abi.Errno) {
	e, err := s.Open(r, id, false, false)
	if err != 0 || s.below == nil || e.TTL == 0 || e.Attr.Size == 0 || e.Attr.Size > uint64(max(min(most, fs.MaxFirst), 0)) {
		return e, false, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n, in, err := s.file(id)
	if err != 0 || in.Flags&(FlagLowerMeta|FlagLowerData) != FlagLowerMeta|FlagLowerData {
		return e, false, nil, 0
	}
	data, ok := s.below.Whole(n, &e.Attr)
	return e, ok, data, 0
}

// ReadFiles implements fs.Server. There are none: a tree counts who reads its files (atime), and an
// overlay is nobody's lower layer.
func (s *Server) ReadFiles(fs.Req, []fs.NodeID, int) ([]fs.FileData, abi.Errno) { return nil, 0 }

func (s *Server) opened(n Ref, in *Inode, write, trunc bool) abi.Errno {
	switch in.Mode & fs.TypeMask {
	case fs.TypeLink:
		return abi.ELOOP
	case fs.TypeDir:
		if write || trunc {
			return abi.EISDIR
		}
	case fs.TypeReg:
		if trunc {
			if err := s.upData(n, 0); err != 0 {
				return err
			}
			if err := s.t.Truncate(n, 0, false); err != 0 {
				return err
			}
			s.t.Modified(n)
		} else if write {
			if err := s.upData(n, MaxFile); err != 0 {
				return err
			}
		}
	}
	s.t.Mut(n).Opens++
	return 0
}

// Create implements fs.Server.
func (s *Server) Create(r fs.Req, dirID fs.NodeID, name string, mode uint32, excl bool, c fs.Cred) (fs.Entry, bool, abi.Errno) {
	rep := s.do(r, func(rep *once.Reply) abi.Errno {
		dir, _, err := s.dir(dirID)
		if err != 0 {
			return err
		}
		if err := CheckName(name); err != 0 {
			return err
		}
		if dots(name) {
			if excl {
				return abi.EEXIST
			}
			return abi.EISDIR
		}
		n, err := s.child(dir, name)
		switch {
		case err == 0 && excl:
			return abi.EEXIST
		case err == 0 && isDir(s.t.Get(n)):
			return abi.EISDIR
		case err == 0:
			err = s.opened(n, s.t.Get(n), s.t.Get(n).Mode&fs.TypeMask == fs.TypeReg, false)
		case err == abi.ENOENT:
			rep.Made = 1
			if n, err = s.add(dirID, name, fs.TypeReg|mode&0o7777, 0, c); err == 0 {
				s.t.Mut(n).Opens = 1
			}
		}
		if err != 0 {
			return err
		}
		rep.Entry, err = s.entry(n)
		return err
	})
	return rep.Entry, rep.Made != 0, abi.Errno(rep.Err)
}

// CreateTemp implements fs.Server.
func (s *Server) CreateTemp(r fs.Req, dirID fs.NodeID, mode uint32, c fs.Cred) (fs.Entry, abi.Errno) {
	return s.doEntry(r, func() (Ref, abi.Errno) {
		_, din, err := s.dir(dirID)
		if err != 0 {
			return 0, err
		}
		if din.Nlink == 0 {
			return 0, abi.ENOENT
		}
		n, err := s.t.NewInode(fs.TypeReg|mode&0o7777, 0, c)
		if err != 0 {
			return 0, err
		}
		in := s.t.Mut(n)
		in.Opens = 1
		in.Flags |= FlagTemp
		return n, 0
	})
}

// Release implements fs.Server.
func (s *Server) Release(r fs.Req, id fs.NodeID) {
	s.do(r, func(*once.Reply) abi.Errno {
		n, in := s.t.Node(id)
		if in == nil || in.Opens == 0 {
			return 0
		}
		s.t.Mut(n).Opens--
		s.t.Unused(n)
		return 0
	})
}

// Read implements fs.Server.
func (s *Server) Read(_ fs.Req, id fs.NodeID, off uint64, buf []byte) (int, abi.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, in, err := s.file(id)
	if err != 0 {
		return 0, err
	}
	if in.Flags&FlagLowerData != 0 {
		if in.Flags&FlagLowerMeta == 0 {
			// The size is the tree's already.
			if off >= in.Size {
				return 0, 0
			}
			buf = buf[:min(uint64(len(buf)), in.Size-off)]
		}
		return s.below.Read(n, off, buf)
	}
	s.accessed(n)
	return s.t.ReadAt(n, off, buf)
}

// Write implements fs.Server.
func (s *Server) Write(r fs.Req, id fs.NodeID, off uint64, data []byte) (int, uint64, uint64, abi.Errno) {
	rep := s.do(r, func(rep *once.Reply) abi.Errno {
		n, in, err := s.file(id)
		if err != 0 {
			return err
		}
		if err := s.upData(n, MaxFile); err != 0 {
			return err
		}
		at := off
		if off == fs.AppendOff {
			at = in.Size
		}
		k, err := s.t.WriteAt(n, at, data)
		if err != 0 {
			return err
		}
		if k > 0 {
			s.t.Modified(n)
		}
		rep.N, rep.At, rep.Size = uint64(k), at, s.t.Get(n).Size
		return 0
	})
	return int(rep.N), rep.At, rep.Size, abi.Errno(rep.Err)
}

// upperCookie marks the cookies of the tree's own entries in a merged
// directory; the lower layer's keep their own numbers below it (ext4 uses all
// of the 63 bits that a d_off has).
const upperCookie = 1 << 63

// ReadDir implements fs.Server.
func (s *Server) ReadDir(_ fs.Req, id fs.NodeID, cookie uint64, max int) ([]fs.DirEntry, abi.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, list, err := s.list(id, cookie, max, 0)
	out := make([]fs.DirEntry, len(list))
	for i := range list {
		out[i] = list[i].Plain()
	}
	return out, err
}

// ReadDirPlus implements fs.Server.
func (s *Server) ReadDirPlus(_ fs.Req, id fs.NodeID, cookie uint64, max int, plus uint32) ([]fs.DirPlus, abi.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	dir, list, err := s.list(id, cookie, max, plus)
	if err != 0 {
		return nil, err
	}
	for i := range list[:min(len(list), int(min(plus, 1<<20)))] {
		d := &list[i]
		_, own := s.t.Find(dir, d.Name)
		if own == nil && d.Known == 0 {
			continue
		}
		rep := s.tx(fs.Req{}, func(rep *once.Reply) (err abi.Errno) {
			var n Ref
			switch {
			case own == nil && d.Known == KnownBelow:
				n, err = s.below.Lookup(dir, d.Name)
			case own == nil:
				n, err = s.below.Meet(dir, d.Name, &d.Found)
			case own.Child == 0:
				err = abi.ENOENT
			default:
				n = own.Child
			}
			if err != 0 {
				return err
			}
			if s.below != nil && s.t.Get(n).Flags&FlagLowerMeta != 0 {
				s.t.Mut(n).Lookups++
			}
			rep.Entry, err = s.entry(n)
			return err
		})
		if d.Known = 0; rep.Err == 0 {
			d.Known, d.Found = 1, rep.Entry
		}
	}
	return list, 0
}

// list answers the entries of a directory. A merged one gives its lower entries
// first, those that the tree only pinned among them, then the tree's own.
func (s *Server) list(id fs.NodeID, cookie uint64, max int, plus uint32) (Ref, []fs.DirPlus, abi.Errno) {
	dir, _, err := s.dir(id)
	if err != 0 {
		return 0, nil, err
	}
	if max <= 0 {
		return 0, nil, abi.EINVAL
	}
	var out []fs.DirPlus
	used := 0
	mark := uint64(0)
	if s.merged(dir) {
		for cookie < upperCookie && used < max {
			list, next, end, err := s.below.List(dir, cookie, max-used, plus-min(plus, uint32(len(out))))
			if err != 0 {
				return 0, nil, err
			}
			for i := range list {
				used += len(list[i].Name)
			}
			out = append(out, list...)
			cookie = next
			if end {
				if len(out) > 0 {
					out[len(out)-1].Next = upperCookie
				}
				cookie = upperCookie
			}
		}
		if cookie < upperCookie {
			return dir, out, 0
		}
		mark = upperCookie
	}
	if s.t.Get(dir).Flags&FlagLowerMeta == 0 {
		s.accessed(dir)
	}
	var fail abi.Errno
	s.t.List(dir, cookie&^mark, func(name string, d *Dirent) bool {
		if len(out) > 0 && used+len(name) > max {
			return false
		}
		if d.Child == 0 {
			return true
		}
		if d.Flags&DirentPinned != 0 && mark != 0 {
			// Listed above in the lower layer's place, unless the host has lost
			// it meanwhile.
			has, err := s.below.Has(dir, name)
			if err != 0 {
				fail = err
				return false
			}
			if has {
				return true
			}
		}
		in := s.t.Get(d.Child)
		ino := in.Ino
		if in.LowerIno != 0 {
			ino = in.LowerIno
		}
		out = append(out, fs.DirPlus{Ino: ino, Next: d.Cookie | mark, Type: d.Type, Name: name})
		used += len(name)
		return true
	})
	return dir, out, fail
}

// Statfs implements fs.Server. What the lower layer's files take counts as
// used, and what may still be kept as free.
func (s *Server) Statfs(_ fs.Req, id fs.NodeID) (fs.Statfs, abi.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, _, err := s.node(id); err != 0 {
		return fs.Statfs{}, err
	}
	free := s.t.freePages()
	inodes := s.t.supers.Get(s.t.super).Inodes
	var lower uint64
	if s.below != nil {
		used, err := s.below.Used()
		if err != 0 {
			return fs.Statfs{}, err
		}
		lower = used / pageSize
	}
	return fs.Statfs{
		Type: s.magic, Blocks: s.t.lim.Bytes/pageSize + lower, Bfree: free, Bavail: free,
		Files: uint64(s.t.lim.Inodes), Ffree: uint64(s.t.lim.Inodes) - inodes,
		BSize: pageSize, NameLen: NameMax, FrSize: pageSize,
	}, 0
}

// Fsync implements fs.Server. Memory has nothing to wait for.
func (s *Server) Fsync(_ fs.Req, id fs.NodeID, _ bool) abi.Errno {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _, err := s.node(id)
	return err
}

// Fallocate implements fs.Server.
func (s *Server) Fallocate(r fs.Req, id fs.NodeID, mode uint32, off, length uint64) (fs.Entry, abi.Errno) {
	return s.doEntry(r, func() (Ref, abi.Errno) {
		n, _, err := s.file(id)
		if err != 0 {
			return 0, err
		}
		if err := s.upData(n, MaxFile); err != 0 {
			return 0, err
		}
		if err := s.t.Fallocate(n, mode, off, length); err != 0 {
			return 0, err
		}
		s.t.Modified(n)
		return n, 0
	})
}

// Seek implements fs.Server.
func (s *Server) Seek(_ fs.Req, id fs.NodeID, off uint64, whence uint32) (uint64, abi.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, in, err := s.file(id)
	if err != 0 {
		return 0, err
	}
	if in.Flags&FlagLowerData != 0 {
		return s.below.Seek(n, off, whence)
	}
	return s.t.Seek(n, off, whence)
}

func checkXattr(name string) abi.Errno {
	if name == "" || len(name) > xattrNameMax {
		return abi.ERANGE
	}
	for _, p := range [...]string{"user.", "trusted.", "security."} {
		if rest, ok := strings.CutPrefix(name, p); ok {
			if rest == "" {
				return abi.EINVAL
			}
			return 0
		}
	}
	return abi.EOPNOTSUPP
}

// GetXattr implements fs.Server.
func (s *Server) GetXattr(_ fs.Req, id fs.NodeID, name string) ([]byte, abi.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, in, err := s.node(id)
	if err != 0 {
		return nil, err
	}
	if err := checkXattr(name); err != 0 {
		return nil, err
	}
	if in.Flags&FlagLowerMeta != 0 {
		return s.below.GetXattr(n, name)
	}
	return s.t.GetXattr(n, name)
}

// SetXattr implements fs.Server.
func (s *Server) SetXattr(r fs.Req, id fs.NodeID, name string, value []byte, flags uint32) abi.Errno {
	return s.doErr(r, func() abi.Errno {
		n, _, err := s.node(id)
		if err != 0 {
			return err
		}
		if err := checkXattr(name); err != 0 {
			return err
		}
		if err := s.up(n); err != 0 {
			return err
		}
		if err := s.t.SetXattr(n, name, value, flags); err != 0 {
			return err
		}
		s.t.Changed(n)
		return 0
	})
}

// ListXattr implements fs.Server.
func (s *Server) ListXattr(_ fs.Req, id fs.NodeID) ([]byte, abi.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, in, err := s.node(id)
	if err != 0 {
		return nil, err
	}
	if in.Flags&FlagLowerMeta != 0 {
		return s.below.ListXattr(n)
	}
	return s.t.ListXattr(n), 0
}

// RemoveXattr implements fs.Server.
func (s *Server) RemoveXattr(r fs.Req, id fs.NodeID, name string) abi.Errno {
	return s.doErr(r, func() abi.Errno {
		n, _, err := s.node(id)
		if err != 0 {
			return err
		}
		if err := checkXattr(name); err != 0 {
			return err
		}
		if err := s.up(n); err != 0 {
			return err
		}
		if err := s.t.RemoveXattr(n, name); err != 0 {
			return err
		}
		s.t.Changed(n)
		return 0
	})
}

// Map implements fs.Server: the answer's Tag is the object's own name, which
// the serve loop grants. An upper file's object is the file, for ever. A lower
// file's object is given for reading as long as nobody opened the file for
// writing; who keeps it mapped then goes on to see the lower file, as with the
// kernel's overlayfs, and so the answer is not Stable, but UntilWrite.
func (s *Server) Map(r fs.Req, id fs.NodeID, use fs.MapUse) (fs.MapOut, abi.Errno) {
	write := use == fs.MapToWrite || use == fs.MapToFill
	s.mu.Lock()
	defer s.mu.Unlock()
	n, in, err := s.node(id)
	if err != 0 {
		return fs.MapOut{}, err
	}
	if in.Mode&fs.TypeMask != fs.TypeReg {
		return fs.MapOut{}, abi.ENODEV
	}
	if in.Flags&FlagLowerData != 0 && !write {
		return s.below.Map(n)
	}
	mapped := use == fs.MapToWrite
	if in.Flags&(FlagLowerData|FlagObject) != FlagObject || mapped && in.Flags&FlagMapped == 0 {
		if (use == fs.MapToRead || use == fs.MapToFill) && in.Flags&FlagObject == 0 && s.t.objs != nil && s.t.objs.Len() >= maxReadObjects {
			return fs.MapOut{}, abi.ENODEV // Read and Write do as well
		}
		rep := s.tx(fs.Req{}, func(*once.Reply) abi.Errno {
			if err := s.upData(n, MaxFile); err != 0 {
				return err
			}
			if err := s.t.Objectify(n); err != 0 {
				return err
			}
			if mapped {
				s.t.Mut(n).Flags |= FlagMapped
			}
			return 0
		})
		if rep.Err != 0 {
			return fs.MapOut{}, abi.Errno(rep.Err)
		}
	}
	o, ok := s.t.object(n)
	if !ok {
		return fs.MapOut{}, abi.EIO
	}
	return fs.MapOut{Tag: o.ID(), Writable: write, Stable: true}, 0
}

// Check walks the whole tree and panics at the first contradiction: for tests.
func (s *Server) Check() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.t.check()
}
