package core

import (
	"hythe/abi"
	"hythe/idl/fs"
	"hythe/store"
)

// mount is the derived part of a Mount record.
type mount struct {
	ref    store.Ref[Mount]
	label  string
	typ    string
	source string
	flags  uint32
	dev    uint64
	k      *Kernel
	srv    fs.Server // nil for a core file system
	lead   fs.Server // srv for the leader, nil if there is none
	core   CoreFS
	root   *node
	point  *node // what it covers, nil for the root mount
	// changed counts the changes that we have sent or had answered.
	changed uint32
	// plusGot counts the names that came with entries of directories, plusUsed those that
	// were asked for; both are halved now and then.
	plusGot, plusUsed uint32
}

// AttachFS makes a file server known under a label. At every start, before
// Boot or Recover; a mount's record names the label.
func (k *Kernel) AttachFS(label string, srv fs.Server) { k.vfs.servers[label] = srv }

// AttachLead makes known how the leader calls the server attached under label: as the
// leader if it is answered soon, else Pass is called before it waits. Map is not called.
func (k *Kernel) AttachLead(label string, srv fs.Server) { k.vfs.leads[label] = srv }

// AttachCore is AttachFS for a file system inside this server.
func (k *Kernel) AttachCore(label string, f CoreFS) { k.vfs.cores[label] = f }

// MountFS mounts the file system attached under label on path ("/" first; "" for one that
// has no place in the tree): a directory, or, where the file system is one file, a file. One that
// is missing is made. typ and source are what /proc/mounts shows. With the lock held, which
// it may give up. EROFS, ENOTDIR (one of the two is a directory, the other not), ENODEV (nothing attached), EBUSY
// (something is mounted there).
func (k *Kernel) MountFS(path, label, typ, source string, flags uint32) abi.Errno {
	return k.mountFS(path, label, typ, source, flags, 0)
}

// mountFS is MountFS. With a mode, the root is known to be a directory of that
// mode: the server is asked, and so started, only when somebody uses the mount.
func (k *Kernel) mountFS(path, label, typ, source string, flags, mode uint32) abi.Errno {
	if k.vfs.servers[label] == nil && k.vfs.cores[label] == nil {
		return abi.ENODEV
	}
	c := k.KernelCall()
	var point *node
	switch {
	case path == "":
	case path == "/":
		if k.vfs.root != nil {
			return abi.EBUSY
		}
	default:
		w, e := c.walk(nil, path, WalkFollow)
		if e == abi.ENOENT {
			if e := c.makePoint(path, label, mode); e != 0 {
				return e
			}
			w, e = c.walk(nil, path, WalkFollow)
		}
		if e != 0 {
			return e
		}
		point = w.node
		if point == point.m.root {
			return abi.EBUSY
		}
	}
	r, rec := k.Mounts.New()
	if r == 0 {
		return abi.ENOSPC
	}
	vr := k.vfsRec()
	vr.NextDev++
	rec.Dev = uint64(vr.NextDev&0xff) | 0x20 | uint64(vr.NextDev&^0xff)<<12
	rec.Flags = flags
	rec.Label = store.PutString(k.Heap, label)
	rec.Type = store.PutString(k.Heap, typ)
	rec.Source = store.PutString(k.Heap, source)
	m := k.addMount(r, rec)
	if mode != 0 {
		m.root.attr.Mode = fs.TypeDir | mode
	} else if e := c.refresh(m.root, false); e != 0 {
		k.dropMount(m)
		return e
	}
	if point != nil && point.isDir() != m.root.isDir() {
		k.dropMount(m)
		return abi.ENOTDIR
	}
	v, e := k.holdNode(m.root)
	if e != 0 {
		k.dropMount(m)
		return e
	}
	rec = k.Mounts.Mut(r)
	rec.Root = v
	if point != nil {
		pv, e := k.holdNode(point)
		if e != 0 {
			return e
		}
		rec = k.Mounts.Mut(r)
		rec.Point = pv
		rec.Parent = point.m.ref
		m.point = point
		point.covered = m
		k.namesChanged()
	} else if path == "/" {
		k.vfs.root = m
	}
	return 0
}

// makePoint makes what is missing of path, to mount the file system attached under label on it.
// With a mode it is known to be a directory.
func (c *Call) makePoint(path, label string, mode uint32) abi.Errno {
	k := c.K
	file := false
	if srv := k.vfs.servers[label]; mode == 0 && srv != nil {
		var root fs.Entry
		var e abi.Errno
		c.ask(func() { root, e = srv.GetAttr(fs.Req{}, fs.RootID) })
		if e != 0 {
			return e
		}
		file = root.Attr.Mode&fs.TypeMask != fs.TypeDir
	}
	for i := 1; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			continue
		}
		var e abi.Errno
		if file && i == len(path) {
			e = c.Mknod(AtCwd, path, fs.TypeReg|0o644, 0)
		} else {
			e = c.Mkdir(AtCwd, path[:i], 0o755)
		}
		if e != 0 && e != abi.EEXIST {
			return e
		}
	}
	return 0
}

func (k *Kernel) dropMount(m *mount) {
	rec := *k.Mounts.Get(m.ref)
	for _, b := range []store.Block{rec.Label, rec.Type, rec.Source} {
		if !b.Nil() {
			k.Heap.FreeBlock(b)
		}
	}
	k.Mounts.Free(m.ref)
	delete(k.vfs.mounts, m.ref)
	delete(k.vfs.nodes, NodeKey{m.ref, fs.RootID})
}

// addMount makes the derived part of a mount.
func (k *Kernel) addMount(r store.Ref[Mount], rec *Mount) *mount {
	m := &mount{
		k: k, ref: r, flags: rec.Flags, dev: rec.Dev,
		label:  store.String(k.Heap, rec.Label),
		typ:    store.String(k.Heap, rec.Type),
		source: store.String(k.Heap, rec.Source),
	}
	m.srv, m.core = k.vfs.servers[m.label], k.vfs.cores[m.label]
	if m.core != nil {
		m.srv = nil
	} else {
		m.lead = k.vfs.leads[m.label]
	}
	k.vfs.mounts[r] = m
	m.root = k.node(m, fs.RootID)
	return m
}

// recoverVFS rebuilds everything derived from the records: mounts, nodes of
// vnodes, the list of vnodes to release. Called once from Recover.
func (k *Kernel) recoverVFS() {
	k.Mounts.Each(func(r store.Ref[Mount], rec *Mount) bool {
		k.addMount(r, rec)
		return true
	})
	k.Vnodes.Each(func(r store.Ref[Vnode], v *Vnode) bool {
		if m := k.vfs.mounts[v.Mount]; m != nil {
			n := k.node(m, v.Node)
			n.v = r
			n.attr.Mode = v.Mode
			n.gone = v.Flags&VnodeGone != 0
		}
		return true
	})
	gives := map[store.Ref[Vnode]]bool{}
	k.Threads.Each(func(_ store.Ref[Thread], th *Thread) bool {
		gives[th.FSGives] = true
		return true
	})
	k.Vnodes.Each(func(r store.Ref[Vnode], v *Vnode) bool {
		if v.Given != 0 && !gives[r] {
			k.Vnodes.Mut(r).Given = 0 // whoever asked for it is gone: what is left is released
		}
		m := k.vfs.mounts[v.Mount]
		if m == nil {
			return true
		}
		n := k.node(m, v.Node)
		if p := k.Vnodes.Get(v.Parent); p != nil {
			if pm := k.vfs.mounts[p.Mount]; pm != nil {
				n.parent, n.name = k.node(pm, p.Node), store.String(k.Heap, v.Name)
			}
		}
		if v.Refs == 0 {
			k.vfs.lazy++
			k.queueRelease(r)
			k.queueObject(r)
		}
		return true
	})
	k.Mounts.Each(func(r store.Ref[Mount], rec *Mount) bool {
		m := k.vfs.mounts[r]
		if p := k.nodeOf(rec.Point); p != nil {
			m.point = p
			p.covered = m
		} else if m.label != memfdLabel && k.vfs.root == nil {
			k.vfs.root = m
		}
		if m.label == memfdLabel {
			k.vfs.memfd = m
		}
		return true
	})
	k.kickRelease()
}

// MountInfo is a line of /proc/mounts.
type MountInfo struct {
	ID, Parent         uint32
	Dev                uint64
	Path, Type, Source string
	Flags              uint32
	Label              string
	Root               NodeKey
}

// MountList answers the mounts of the tree in the order they were made.
func (k *Kernel) MountList() []MountInfo {
	var l []MountInfo
	k.Mounts.Each(func(r store.Ref[Mount], rec *Mount) bool {
		m := k.vfs.mounts[r]
		if m == nil || m.point == nil && m != k.vfs.root {
			return true
		}
		path := "/"
		if m.point != nil {
			path = k.nodePath(m.point, nil)
		}
		l = append(l, MountInfo{ID: uint32(r), Parent: uint32(rec.Parent), Dev: m.dev, Path: path,
			Type: m.typ, Source: m.source, Flags: m.flags, Label: m.label, Root: m.root.key()})
		return true
	})
	return l
}
