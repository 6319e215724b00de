package core

import (
	"hythe/abi"
	"hythe/idl/fs"
	"hythe/store"
)

// devFS is /dev: a fixed set of names; owner and mode of its nodes can be
// changed and are kept in DevNode records. Node ids are index+1.
type devFS struct{ k *Kernel }

// DevNode is what was changed of a node of /dev.
type DevNode struct {
	Index, Mode, UID, GID uint32
}

type devEntry struct {
	name  string
	mode  uint32
	major uint32
	minor uint32
	link  string
}

// devEntries is /dev; entry 0 is the root. The index is the node's number in
// the state of record: add at the end only.
var devEntries = []devEntry{
	{"", fs.TypeDir | 0o755, 0, 0, ""},
	{"null", fs.TypeChr | 0o666, 1, 3, ""},
	{"zero", fs.TypeChr | 0o666, 1, 5, ""},
	{"full", fs.TypeChr | 0o666, 1, 7, ""},
	{"random", fs.TypeChr | 0o666, 1, 8, ""},
	{"urandom", fs.TypeChr | 0o666, 1, 9, ""},
	{"tty", fs.TypeChr | 0o666, 5, 0, ""},
	{"console", fs.TypeChr | 0o600, 5, 1, ""},
	{"ptmx", fs.TypeChr | 0o666, 5, 2, ""},
	{"pts", fs.TypeDir | 0o755, 0, 0, ""},
	{"shm", fs.TypeDir | 0o1777, 0, 0, ""},
	{"fd", fs.TypeLink | 0o777, 0, 0, "/proc/self/fd"},
	{"stdin", fs.TypeLink | 0o777, 0, 0, "/proc/self/fd/0"},
	{"stdout", fs.TypeLink | 0o777, 0, 0, "/proc/self/fd/1"},
	{"stderr", fs.TypeLink | 0o777, 0, 0, "/proc/self/fd/2"},
	{"kmsg", fs.TypeChr | 0o644, 1, 11, ""},
	{"mqueue", fs.TypeDir | 0o1777, 0, 0, ""},
}

// NewDevFS makes /dev, to be attached with AttachCore("dev", ...) and mounted
// on the directory /dev; devpts belongs on its pts, a tmpfs on its shm.
func (k *Kernel) NewDevFS() CoreFS { return devFS{k} }

func (d devFS) changed(i uint32) (store.Ref[DevNode], *DevNode) {
	var ref store.Ref[DevNode]
	d.k.DevNodes.Each(func(r store.Ref[DevNode], n *DevNode) bool {
		if n.Index == i {
			ref = r
		}
		return ref == 0
	})
	return ref, d.k.DevNodes.Get(ref)
}

// Lookup implements CoreFS.
func (d devFS) Lookup(c *Call, dir fs.NodeID, name string) (fs.NodeID, abi.Errno) {
	if dir != fs.RootID {
		return 0, abi.ENOENT
	}
	for i := 1; i < len(devEntries); i++ {
		if devEntries[i].name == name {
			return fs.NodeID(i + 1), 0
		}
	}
	return 0, abi.ENOENT
}

// Attr implements CoreFS.
func (d devFS) Attr(c *Call, n fs.NodeID) (fs.Attr, abi.Errno) {
	i := uint64(n) - 1
	if i >= uint64(len(devEntries)) {
		return fs.Attr{}, abi.ENOENT
	}
	e := &devEntries[i]
	t := d.k.BootTime()
	a := fs.Attr{Ino: uint64(n), Mode: e.mode, Nlink: 1, BlkSize: 4096, Rdev: MakeDev(e.major, e.minor),
		Atime: t, Mtime: t, Ctime: t, Btime: t}
	switch {
	case i == 0:
		a.Nlink = 2
		for _, x := range devEntries[1:] {
			if x.mode&fs.TypeMask == fs.TypeDir {
				a.Nlink++
			}
		}
	case e.mode&fs.TypeMask == fs.TypeDir:
		a.Nlink = 2
	case e.link != "":
		a.Size = uint64(len(e.link))
	}
	if _, x := d.changed(uint32(i)); x != nil {
		a.Mode = a.Mode&fs.TypeMask | x.Mode
		a.UID, a.GID = x.UID, x.GID
	}
	return a, 0
}

// ReadDir implements CoreFS.
func (d devFS) ReadDir(c *Call, dir fs.NodeID, cookie uint64, max int) ([]fs.DirEntry, abi.Errno) {
	if dir != fs.RootID || cookie >= uint64(len(devEntries)) {
		return nil, 0
	}
	var l []fs.DirEntry
	for i := int(cookie) + 1; i < len(devEntries) && max > 0; i++ {
		e := &devEntries[i]
		l = append(l, fs.DirEntry{Ino: uint64(i + 1), Next: uint64(i), Type: e.mode & fs.TypeMask >> 12, Name: e.name})
		max -= len(e.name)
	}
	return l, 0
}

// ReadLink implements CoreFS.
func (d devFS) ReadLink(c *Call, n fs.NodeID) (CoreLink, abi.Errno) {
	if i := uint64(n) - 1; i < uint64(len(devEntries)) && devEntries[i].link != "" {
		return CoreLink{Text: devEntries[i].link}, 0
	}
	return CoreLink{}, abi.EINVAL
}

// Open implements CoreFS: directories only, devices go by their number.
func (d devFS) Open(*Call, fs.NodeID, store.Ref[Vnode], uint32, uint32) (store.Ref[File], abi.Errno) {
	return 0, 0
}

// SetAttr implements CoreFS.
func (d devFS) SetAttr(c *Call, n fs.NodeID, in *fs.SetAttrIn) abi.Errno {
	a, e := d.Attr(c, n)
	if e != 0 {
		return e
	}
	if in.Valid&(fs.SetMode|fs.SetUID|fs.SetGID) == 0 {
		return 0
	}
	ref, rec := d.changed(uint32(n) - 1)
	if rec == nil {
		if ref, rec = d.k.DevNodes.New(); ref == 0 {
			return abi.ENOSPC
		}
	} else {
		rec = d.k.DevNodes.Mut(ref)
	}
	*rec = DevNode{Index: uint32(n) - 1, Mode: a.Mode &^ fs.TypeMask, UID: a.UID, GID: a.GID}
	if in.Valid&fs.SetMode != 0 {
		rec.Mode = in.Mode &^ fs.TypeMask
	}
	if in.Valid&fs.SetUID != 0 {
		rec.UID = in.UID
	}
	if in.Valid&fs.SetGID != 0 {
		rec.GID = in.GID
	}
	return 0
}

// BootTime is when the machine was started, as a file time.
func (k *Kernel) BootTime() fs.Time {
	g := k.Tables.Global.Get(1)
	if g == nil {
		return fs.Time{}
	}
	return nsTime(g.BootReal)
}

// nsTime turns nanoseconds since 1970 into a file time.
func nsTime(ns int64) fs.Time {
	s := ns / 1e9
	r := ns % 1e9
	if r < 0 {
		s, r = s-1, r+1e9
	}
	return fs.Time{Sec: s, Nsec: uint32(r)}
}
