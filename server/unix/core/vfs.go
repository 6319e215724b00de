package core

import (
	"sync"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/store"
)

// The virtual file system: mounts, the name cache, path walk, vnodes and the
// operations on names. Data flow:
//
//	walk.go       path -> node, with every rule of path resolution
//	namecache.go  node, names and attributes that file servers told us (derived)
//	vnode.go      Vnode records: what must survive of nodes in use
//	vfsops.go     operations on names; open.go: opening; vfile.go: open files
//	mount.go, corefs.go, devfs.go: what is mounted
//
// Nodes (the Go type node) are derived: a pointer to one may be kept over a
// point where the lock is given up, what it says may not.

type vfsState struct {
	// servers are the attached file servers by label, cores the file systems
	// that live in this server.
	servers map[string]fs.Server
	leads   map[string]fs.Server
	cores   map[string]CoreFS
	mounts  map[store.Ref[Mount]]*mount
	root    *mount
	nodes   map[NodeKey]*node
	// busy counts operations that hold nodes while the lock is given up: no
	// node is evicted meanwhile.
	busy int
	// naming is closed when /etc/hosts has the machine's name (hostsfile.go); nil: nobody looked for it.
	naming chan struct{}
	// devs are the openers of device nodes by major and minor.
	devs map[devKey]DevOpen
	// reopen are the openers of nameless files through /proc/PID/fd.
	reopen  map[uint32]func(c *Call, f store.Ref[File], access, flags uint32) (store.Ref[File], abi.Errno)
	notify  func(FSEvent)
	objects Objects
	// cookie pairs the events of a rename.
	cookie uint32
	// back are the nodes that may have to be taken back from who was lent them, backAt is
	// when it is looked for that; 0: it is not (lend.go).
	back   []*node
	backAt int64
	// lazy counts vnodes that nobody holds but that are still open at their
	// server; releasing says that the releaser runs. Each is in lazyOrder, those that are to
	// be released soon in due, behind those that were dropped before it; either may have one
	// more than once, and others.
	lazy           int
	lazyOrder, due refQueue
	// lazyObjects has, in that order, those that keep their objects; as lazyOrder is.
	lazyObjects refQueue
	crowded     int // so many reads after an object had to make room for others'
	releasing   bool
	// releaser counts the running releaser, for whoever ends the kernel.
	releaser  sync.WaitGroup
	lockWaits map[lockOwner]lockOwner
	locks     WaitQueue // of things that have no vnode
	memfd     *mount
	// firsts are nodes that have first.
	firsts  [firsts]*node
	firstAt int
	// resizing are vnodes of which somebody changes what is reserved: closed when he has. trims are
	// those for trimLater, whose goroutine runs if trimming.
	resizing map[store.Ref[Vnode]]chan struct{}
	trims    refQueue
	trimming bool
	// files holds who waits for a description's offset.
	files map[store.Ref[File]]*posLock
}

type vfsTables struct {
	Vnodes   *store.Table[Vnode]    // 20
	Mounts   *store.Table[Mount]    // 21
	Locks    *store.Table[FileLock] // 22
	VFSRec   *store.Table[VFSRec]   // 23
	DevNodes *store.Table[DevNode]  // 24
}

// VFSRec is the one record of facts of the file systems; its ref is 1.
type VFSRec struct {
	// ReleaseSeq numbers the requests of the releaser, Releasing is the vnode
	// whose Release request may be on its way, 0 if none.
	ReleaseSeq uint64
	Releasing  store.Ref[Vnode]
	NextDev    uint32
	NextMemfd  uint64
	// ReleaseCrashes is how often that request has ended in a panic of this process's.
	ReleaseCrashes uint64
}

// Mount is a mounted file system.
type Mount struct {
	// Parent is the mount it is mounted on (0: the root, or not in the tree),
	// Point the vnode that it covers and Root its own root, both held.
	Parent store.Ref[Mount]
	Flags  uint32 // Mount...
	Point  store.Ref[Vnode]
	Root   store.Ref[Vnode]
	Dev    uint64 // st_dev
	Label  store.Block
	Type   store.Block // "tmpfs": what /proc/mounts shows
	Source store.Block
}

// Mount flags (statfs's ST_ numbers, include/linux/statfs.h).
const (
	MountRO     = 1
	MountNosuid = 2
	MountNodev  = 4
	MountNoexec = 8
)

// VnodeExtra is what vnodes need beside their name.
type VnodeExtra struct {
	// Locks is the first of the locks on the file (posix, OFD and flock).
	Locks store.Ref[FileLock]
	// Object is the memory object of the file's data once it was asked for;
	// ObjFlags: the object is 1 writable, 2 stable, 8 stable until the file is
	// written to (fs.MapOut); 4: the server has none to give; 16: none to fill;
	// 32: it may be filled.
	Object   ObjectName
	ObjFlags uint32
	// Mode is type and permissions as of when the record was made; the type
	// is needed before the server is asked again.
	Mode uint32
	// Made is 1 for the vnode of an unnamed file that was never linked.
	Made uint32
	// Seals are a memfd's (F_ADD_SEALS).
	Seals uint32
	// Given are those of Opens that the server is asked to give up with the last name
	// (Discard): whoever opens the file meanwhile asks for an opening of its own.
	Given uint32
	// Shown is 1 when its object was given to be mapped, by whom accesses behind its end are seen.
	Shown uint32
	// Reserved is how long its server takes the file to be if more was reserved for it than it has,
	// which ends at End (reserve.go); else 0.
	End, Reserved uint64
	// Roomy is the open file by which a task makes it longer itself, 0: none.
	Roomy store.Ref[File]
	_     uint32
	// Written is when the file was last filled, as far as its server was not told; 0 if
	// it was.
	Written fs.Time
}

// Flags of a vnode.
const (
	// VnodeGone: its last name was removed.
	VnodeGone = 1 << 0
	// VnodeLazy: nobody holds it; kept because it is open at its server.
	VnodeLazy = 1 << 1
	// VnodeTrimPanics: the server has died of trimming it unasked: it is left to who asks, and to its release.
	VnodeTrimPanics = 1 << 2
)

func newVFSTables(h *store.Heap) vfsTables {
	return vfsTables{
		Vnodes:   store.NewTable[Vnode](h, 20, 1<<20),
		Mounts:   store.NewTable[Mount](h, 21, 1<<10),
		Locks:    store.NewTable[FileLock](h, 22, 1<<17),
		VFSRec:   store.NewTable[VFSRec](h, 23, 2),
		DevNodes: store.NewTable[DevNode](h, 24, 256),
	}
}

func (k *Kernel) initVFS() {
	k.vfs = vfsState{
		servers:   map[string]fs.Server{},
		leads:     map[string]fs.Server{},
		cores:     map[string]CoreFS{},
		mounts:    map[store.Ref[Mount]]*mount{},
		nodes:     map[NodeKey]*node{},
		devs:      map[devKey]DevOpen{},
		reopen:    map[uint32]func(*Call, store.Ref[File], uint32, uint32) (store.Ref[File], abi.Errno){},
		lockWaits: map[lockOwner]lockOwner{},
		files:     map[store.Ref[File]]*posLock{},
	}
	ops := &vnodeOps{BaseOps{k}}
	k.SetOps(FileVnode, ops)
	k.SetOps(FileMemfd, ops)
	k.SetOps(FilePath, &pathOps{BaseOps{k}})
	k.initDev()
}

// vfsRec answers the file systems' own record to change, making it on first use.
func (k *Kernel) vfsRec() *VFSRec {
	if k.VFSRec.Get(1) == nil {
		_, r := k.VFSRec.New()
		return r
	}
	return k.VFSRec.Mut(1)
}

// FSEvent is a change of a file system that inotify may want to know of. Mask
// is inotify(7)'s; the directory is named by Dir and Name (Dir zero when there
// is none), the node by Node.
type FSEvent struct {
	Dir, Node NodeKey
	Name      string
	Mask      uint32
	Cookie    uint32
	IsDir     bool
}

// SetNotify has fn told of every change, with the lock held; it must not sleep.
func (k *Kernel) SetNotify(fn func(FSEvent)) { k.vfs.notify = fn }

// Events (include/uapi/linux/inotify.h).
const (
	evAccess     = 0x001
	evModify     = 0x002
	evAttrib     = 0x004
	evCloseWrite = 0x008
	evCloseNo    = 0x010
	evOpen       = 0x020
	evMovedFrom  = 0x040
	evMovedTo    = 0x080
	evCreate     = 0x100
	evDelete     = 0x200
	evDeleteSelf = 0x400
	evMoveSelf   = 0x800
)

func (k *Kernel) event(dir, n *node, name string, mask, cookie uint32) {
	if k.vfs.notify == nil {
		return
	}
	ev := FSEvent{Name: name, Mask: mask, Cookie: cookie}
	if dir != nil {
		ev.Dir = dir.key()
	}
	if n != nil {
		ev.Node = n.key()
		ev.IsDir = n.isDir()
	}
	k.vfs.notify(ev)
}

// nodeEvent tells of something that happened to an open or named node itself.
func (k *Kernel) nodeEvent(n *node, mask uint32) {
	if k.vfs.notify != nil {
		k.event(n.parent, n, n.name, mask, 0)
	}
}

// KernelCall is a call of the server itself, on behalf of no process: it has
// all rights and starts at the root.
func (k *Kernel) KernelCall() *Call {
	c := &Call{K: k}
	c.Acts = c.acts()[:0]
	return c
}
