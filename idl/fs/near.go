package fs

import (
	"hythe/abi"
	"hythe/idl/wire"
	"hythe/ipc"
)

// The requests of Near. What the compiler of protocols has looked at on the way to another
// process is looked at here.

// Lookup implements Server.
func (n *Near) Lookup(r Req, dir NodeID, name string) (entry Entry, err abi.Errno) {
	if !wire.IsName(name) {
		return entry, abi.EINVAL
	}
	s, end := n.begin(&r)
	defer end.leave()
	return s.Lookup(r, dir, name)
}

// Forget implements Server.
func (x *Near) Forget(r Req, node NodeID, n uint64) {
	s, end := x.begin(&r)
	defer end.leave()
	s.Forget(r, node, n)
}

// GetAttr implements Server.
func (n *Near) GetAttr(r Req, node NodeID) (entry Entry, err abi.Errno) {
	s, end := n.begin(&r)
	defer end.leave()
	return s.GetAttr(r, node)
}

// SetAttr implements Server.
func (n *Near) SetAttr(r Req, node NodeID, attr *SetAttrIn) (entry Entry, err abi.Errno) {
	s, end := n.begin(&r)
	defer end.leave()
	return s.SetAttr(r, node, attr)
}

// ReadLink implements Server.
func (n *Near) ReadLink(r Req, node NodeID) (target string, err abi.Errno) {
	s, end := n.begin(&r)
	defer end.leave()
	return s.ReadLink(r, node)
}

// Symlink implements Server.
func (n *Near) Symlink(r Req, dir NodeID, name string, target string, cred Cred) (entry Entry, err abi.Errno) {
	if !wire.IsName(name) {
		return entry, abi.EINVAL
	}
	s, end := n.begin(&r)
	defer end.leave()
	return s.Symlink(r, dir, name, target, cred)
}

// MkNod implements Server.
func (n *Near) MkNod(r Req, dir NodeID, name string, mode uint32, rdev uint64, cred Cred) (entry Entry, err abi.Errno) {
	if !wire.IsName(name) {
		return entry, abi.EINVAL
	}
	s, end := n.begin(&r)
	defer end.leave()
	return s.MkNod(r, dir, name, mode, rdev, cred)
}

// MkDir implements Server.
func (n *Near) MkDir(r Req, dir NodeID, name string, mode uint32, cred Cred) (entry Entry, err abi.Errno) {
	if !wire.IsName(name) {
		return entry, abi.EINVAL
	}
	s, end := n.begin(&r)
	defer end.leave()
	return s.MkDir(r, dir, name, mode, cred)
}

// Unlink implements Server.
func (n *Near) Unlink(r Req, dir NodeID, name string) abi.Errno {
	if !wire.IsName(name) {
		return abi.EINVAL
	}
	s, end := n.begin(&r)
	defer end.leave()
	return s.Unlink(r, dir, name)
}

// RmDir implements Server.
func (n *Near) RmDir(r Req, dir NodeID, name string) abi.Errno {
	if !wire.IsName(name) {
		return abi.EINVAL
	}
	s, end := n.begin(&r)
	defer end.leave()
	return s.RmDir(r, dir, name)
}

// Link implements Server.
func (n *Near) Link(r Req, node NodeID, dir NodeID, name string) (entry Entry, err abi.Errno) {
	if !wire.IsName(name) {
		return entry, abi.EINVAL
	}
	s, end := n.begin(&r)
	defer end.leave()
	return s.Link(r, node, dir, name)
}

// Open implements Server.
func (n *Near) Open(r Req, node NodeID, write bool, trunc bool) (entry Entry, err abi.Errno) {
	s, end := n.begin(&r)
	defer end.leave()
	return s.Open(r, node, write, trunc)
}

// Read implements Server.
func (x *Near) Read(r Req, node NodeID, off uint64, data []byte) (n int, err abi.Errno) {
	s, end := x.begin(&r)
	defer end.leave()
	return s.Read(r, node, off, data)
}

// Write implements Server.
func (x *Near) Write(r Req, node NodeID, off uint64, data []byte) (n int, at uint64, length uint64, err abi.Errno) {
	data = data[:min(len(data), MaxWrite)] // as Client
	s, end := x.begin(&r)
	defer end.leave()
	return s.Write(r, node, off, data)
}

// Statfs implements Server.
func (n *Near) Statfs(r Req, node NodeID) (statfs Statfs, err abi.Errno) {
	s, end := n.begin(&r)
	defer end.leave()
	return s.Statfs(r, node)
}

// Release implements Server.
func (n *Near) Release(r Req, node NodeID) {
	s, end := n.begin(&r)
	defer end.leave()
	s.Release(r, node)
}

// Fsync implements Server.
func (n *Near) Fsync(r Req, node NodeID, dataOnly bool) abi.Errno {
	s, end := n.begin(&r)
	defer end.leave()
	return s.Fsync(r, node, dataOnly)
}

// SetXattr implements Server.
func (n *Near) SetXattr(r Req, node NodeID, name string, value []byte, flags uint32) abi.Errno {
	s, end := n.begin(&r)
	defer end.leave()
	return s.SetXattr(r, node, name, value, flags)
}

// GetXattr implements Server.
func (n *Near) GetXattr(r Req, node NodeID, name string) (value []byte, err abi.Errno) {
	s, end := n.begin(&r)
	defer end.leave()
	return s.GetXattr(r, node, name)
}

// ListXattr implements Server.
func (n *Near) ListXattr(r Req, node NodeID) (list []byte, err abi.Errno) {
	s, end := n.begin(&r)
	defer end.leave()
	return s.ListXattr(r, node)
}

// RemoveXattr implements Server.
func (n *Near) RemoveXattr(r Req, node NodeID, name string) abi.Errno {
	s, end := n.begin(&r)
	defer end.leave()
	return s.RemoveXattr(r, node, name)
}

// ReadDir implements Server.
func (n *Near) ReadDir(r Req, dir NodeID, cookie uint64, most int) (list []DirEntry, err abi.Errno) {
	s, end := n.begin(&r)
	defer end.leave()
	return s.ReadDir(r, dir, cookie, most)
}

// Create implements Server.
func (n *Near) Create(r Req, dir NodeID, name string, mode uint32, excl bool, cred Cred) (entry Entry, made bool, err abi.Errno) {
	if !wire.IsName(name) {
		return entry, made, abi.EINVAL
	}
	s, end := n.begin(&r)
	defer end.leave()
	return s.Create(r, dir, name, mode, excl, cred)
}

// Fallocate implements Server.
func (n *Near) Fallocate(r Req, node NodeID, mode uint32, off uint64, length uint64) (entry Entry, err abi.Errno) {
	s, end := n.begin(&r)
	defer end.leave()
	return s.Fallocate(r, node, mode, off, length)
}

// Rename implements Server.
func (n *Near) Rename(r Req, from NodeID, oldName string, to NodeID, newName string, flags uint32) abi.Errno {
	if !wire.IsName(oldName) || !wire.IsName(newName) {
		return abi.EINVAL
	}
	s, end := n.begin(&r)
	defer end.leave()
	return s.Rename(r, from, oldName, to, newName, flags)
}

// Seek implements Server.
func (n *Near) Seek(r Req, node NodeID, off uint64, whence uint32) (at uint64, err abi.Errno) {
	s, end := n.begin(&r)
	defer end.leave()
	return s.Seek(r, node, off, whence)
}

// ReadDirPlus implements Server.
func (n *Near) ReadDirPlus(r Req, dir NodeID, cookie uint64, most int, plus uint32) (list []DirPlus, err abi.Errno) {
	s, end := n.begin(&r)
	defer end.leave()
	return s.ReadDirPlus(r, dir, cookie, most, plus)
}

// OpenRead implements Server.
func (n *Near) OpenRead(r Req, node NodeID, most int) (entry Entry, whole bool, data []byte, err abi.Errno) {
	s, end := n.begin(&r)
	defer end.leave()
	return s.OpenRead(r, node, most)
}

// ReadFiles implements Server.
func (n *Near) ReadFiles(r Req, nodes []NodeID, most int) (list []FileData, err abi.Errno) {
	if len(nodes) > MaxFiles {
		return nil, abi.E2BIG
	}
	s, end := n.begin(&r)
	defer end.leave()
	return s.ReadFiles(r, nodes, most)
}

// Discard implements Server.
func (n *Near) Discard(r Req, dir NodeID, name string, node NodeID, opens uint32) abi.Errno {
	if !wire.IsName(name) {
		return abi.EINVAL
	}
	s, end := n.begin(&r)
	defer end.leave()
	return s.Discard(r, dir, name, node, opens)
}

// CreateTemp implements Server.
func (n *Near) CreateTemp(r Req, dir NodeID, mode uint32, cred Cred) (entry Entry, err abi.Errno) {
	s, end := n.begin(&r)
	defer end.leave()
	return s.CreateTemp(r, dir, mode, cred)
}

// Map implements Server.
func (x *Near) Map(r Req, node NodeID, use MapUse) (MapOut, abi.Errno) {
	fd, out, err := x.MapFD(r, node, use)
	if err == 0 {
		ipc.CloseFD(fd)
	}
	return out, err
}

// MapFD is Client's: the object is granted by way of the nucleus, to each of the two servers
// under a name of its own.
func (x *Near) MapFD(r Req, node NodeID, use MapUse) (fd int, out MapOut, err abi.Errno) {
	s := x.l.made.Load()
	switch {
	case x.lead != nil:
		return -1, out, abi.ENODEV // the grant would be waited for with the role
	case s == nil:
		return x.far.MapFD(r, node, use)
	}
	b := x.far.Binding()
	if b == nil {
		return -1, out, abi.EIO
	}
	k := b.Begin()
	if k == nil {
		return -1, out, abi.EIO
	}
	defer k.End()
	r.Binding = b.ID
	tag := k.TakeTag()
	if err := x.serveMap(s, r, node, use, tag, &out); err != 0 {
		return -1, out, err
	}
	g, err := b.TakeGrant(tag, grantTime)
	if err != 0 {
		return -1, out, err
	}
	out.Tag = uint64(g.Object)
	return g.FD, out, 0
}

func (x *Near) serveMap(s *service, r Req, node NodeID, use MapUse, tag uint64, out *MapOut) (err abi.Errno) {
	x.l.enter(nil)
	defer x.l.leave()
	out.Writable, out.Stable, out.UntilWrite, err = s.h.serveMap(r, node, use, tag)
	return err
}
