// Package core is the host directory file server without its ports: a tree of
// the host, below one directory descriptor, served as fs.Server.
//
// Node ids are durable: for each node that a client knows the state of record
// holds its parent, its name there, and the identity (device, inode, birth
// time) of what was found. Descriptors are a cache over that, one component at
// a time from the root descriptor and without ever following a symlink, so
// that neither "..", nor links, nor renames by somebody else lead outside. A
// node whose name leads to another identity than recorded is ESTALE, upon
// which the client looks the name up again.
//
// Nothing but regular files and directories is ever opened; FIFOs, sockets and
// devices are names and attributes.
//
// Effects on the host cannot be in the transaction that records the answer.
// Each one that may not happen twice is preceded by a committed intent with
// the identities concerned; New looks on the host whether an intent left over
// took effect, and records the answer if it did (HAZARDS: effects outside).
// The residue: when another program of the host does the same thing to the
// same name between the death and the recovery, the two cannot be told apart.
package core

import (
	"container/list"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/server/fs/object"
	"hythe/server/fs/once"
	"hythe/server/fs/tree"
	"hythe/store"
)

// Version is the layout number of the state of record.
const Version = 2

// Config says what to serve. The root descriptor stays the caller's; it may be
// a regular file, which is then the only node (without /proc in the process's
// name space it must be opened for what is to be done with it, not O_PATH).
type Config struct {
	RootFD   int  `json:"root_fd"`
	ReadOnly bool `json:"readonly"`
	// AttrTTL is how long clients may keep names and attributes, in
	// nanoseconds. 0 = a second where it is read-only, else not at all; -1 =
	// not at all.
	AttrTTL  int64  `json:"attr_ttl_ns"`
	MaxFDs   int    `json:"max_fds"`   // descriptors kept; 0 = 1024, or half of what the process may have
	MaxNodes uint32 `json:"max_nodes"` // nodes known to clients at one time; 0 = 2^20
	Flows    uint32 `json:"flows"`     // flows of control of all clients together whose last answer is kept; 0 = once.DefaultFlows
	// OneDevice stays on the root's file system. Kernel file systems that are
	// no storage (proc, sysfs...) are never entered.
	OneDevice bool `json:"one_device"`
	// ByComponent does without openat2, for hosts that lack it and for tests.
	ByComponent bool `json:"by_component"`
}

type ref = store.Ref[node]

type node struct {
	Gen     uint32
	Type    uint32 // st_mode's file type
	Parent  ref
	Flags   uint32
	Dev     uint64
	Ino     uint64
	Born    fs.Time
	Lookups uint64
	Opens   uint32
	NameLen uint32
	Name    store.Block
}

const (
	// nodeNameless: the recorded name does not lead to the node any more (it
	// was removed, or never had one).
	nodeNameless = 1
	// nodeBarred: a directory that is not entered (another kind of file system).
	nodeBarred = 2
)

type super struct {
	Gen    uint32
	_      uint32
	Intent intent
}

type identity struct{ dev, ino uint64 }

// FS is the server. Methods may be called from any goroutine; one runs at a time.
type FS struct {
	mu     sync.Mutex
	h      *store.Heap
	supers *store.Table[super]
	super  store.Ref[super]
	nodes  *store.Table[node]
	log    *once.Log
	objs   object.Objects
	cfg    Config
	dev    uint64
	proc   bool // /proc/self/fd can be used to open again what was found
	euid   uint32

	byID map[identity]ref // derived
	fds  map[fdKey]*list.Element
	lru  *list.List // of *held, the latest in front
	maps map[fdKey]object.Object
	most int // maps kept
}

// fdKey: what a descriptor of a node is for.
type fdKey struct {
	n    ref
	kind uint8
}

const (
	fdPath  = 0 // O_PATH
	fdRead  = 1
	fdWrite = 2 // read and write where the host allows both
)

type held struct {
	key fdKey
	fd  int
}

var _ fs.Server = (*FS)(nil)

const rootRef = ref(fs.RootID)

// New serves cfg.RootFD with its state in h, which is fresh or was used by an
// earlier incarnation for the same directory, and finishes what that left.
// Objects may be nil: then Map is ENODEV and unnamed files die with the server.
func New(h *store.Heap, cfg Config, objs object.Objects) (*FS, abi.Errno) {
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &lim) != nil {
		lim.Cur = 1024
	}
	if cfg.MaxFDs <= 0 {
		cfg.MaxFDs = int(min(1024, lim.Cur/2))
	}
	maps := int(min(maxMaps, lim.Cur/8))
	if cfg.AttrTTL == 0 && cfg.ReadOnly {
		cfg.AttrTTL = 1e9
	}
	if cfg.MaxNodes == 0 {
		cfg.MaxNodes = 1 << 20
	}
	f := &FS{
		h: h, cfg: cfg, objs: objs,
		log:    once.New(h, 1, cfg.Flows),
		supers: store.NewTable[super](h, 2, 1),
		nodes:  store.NewTable[node](h, 3, cfg.MaxNodes),
		byID:   map[identity]ref{},
		fds:    map[fdKey]*list.Element{},
		lru:    list.New(),
		maps:   map[fdKey]object.Object{},
		most:   maps,
		euid:   uint32(unix.Geteuid()),
	}
	// The creation mode is the client's business.
	unix.Umask(0)
	st, err := statFD(cfg.RootFD)
	if err != 0 {
		return nil, err
	}
	if typ := st.Mode & fs.TypeMask; typ != fs.TypeDir && typ != fs.TypeReg {
		return nil, abi.ENOTDIR
	}
	f.dev = st.dev()
	f.proc = procWorks(cfg.RootFD)
	f.supers.Each(func(r store.Ref[super], _ *super) bool { f.super = r; return false })
	if f.super == 0 {
		h.Begin()
		r, sb := f.supers.New()
		root, n := f.nodes.New()
		if sb == nil || n == nil || root != rootRef {
			h.Abort()
			return nil, abi.ENOSPC
		}
		f.super = r
		n.Type, n.Dev, n.Ino, n.Born = uint32(st.Mode)&fs.TypeMask, st.dev(), st.Ino, st.born()
		h.Commit()
	}
	f.nodes.Each(func(r ref, n *node) bool {
		f.byID[identity{n.Dev, n.Ino}] = r
		return true
	})
	f.recover()
	return f, 0
}

// Close gives up the descriptors; the state of record stays.
func (f *FS) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.lru.Len() > 0 {
		f.dropFD(f.lru.Back().Value.(*held).key)
	}
	for k, o := range f.maps {
		o.Close()
		delete(f.maps, k)
	}
}

// Unbind forgets what was kept for a binding whose client is gone for good.
func (f *FS) Unbind(binding uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.h.Begin()
	f.log.Unbind(binding)
	f.h.Commit()
}

func (f *FS) id(r ref) fs.NodeID { return fs.NodeID(uint64(f.nodes.Get(r).Gen)<<32 | uint64(r)) }

func (f *FS) find(id fs.NodeID) (ref, *node, abi.Errno) {
	r := ref(uint32(id))
	n := f.nodes.Get(r)
	if n == nil || n.Gen != uint32(id>>32) {
		return 0, nil, abi.ESTALE
	}
	return r, n, 0
}

func (f *FS) name(n *node) string {
	if n.NameLen == 0 {
		return ""
	}
	return string(f.h.Bytes(n.Name)[:n.NameLen])
}

func (f *FS) dir(id fs.NodeID) (ref, *node, abi.Errno) {
	r, n, err := f.find(id)
	if err == 0 && n.Type != fs.TypeDir {
		err = abi.ENOTDIR
	}
	return r, n, err
}

// keep puts a descriptor in the cache and closes the one that was not used for
// longest when there are too many.
func (f *FS) keep(k fdKey, fd int) {
	f.fds[k] = f.lru.PushFront(&held{k, fd})
	for e := f.lru.Back(); e != nil && f.lru.Len() > f.cfg.MaxFDs; {
		prev := e.Prev()
		h := e.Value.(*held)
		// A file without a name can not be opened again.
		if n := f.nodes.Get(h.key.n); h.key != k && (n == nil || n.Flags&nodeNameless == 0 || n.Opens == 0) {
			f.dropFD(h.key)
		}
		e = prev
	}
}

func (f *FS) cached(k fdKey) (int, bool) {
	e := f.fds[k]
	if e == nil {
		return -1, false
	}
	f.lru.MoveToFront(e)
	return e.Value.(*held).fd, true
}

func (f *FS) dropFD(k fdKey) {
	if e := f.fds[k]; e != nil {
		unix.Close(e.Value.(*held).fd)
		f.lru.Remove(e)
		delete(f.fds, k)
	}
}

// path answers an O_PATH descriptor of a node; it belongs to the cache.
// ESTALE when the node is not where it was.
func (f *FS) path(r ref) (int, abi.Errno) {
	if r == rootRef {
		return f.cfg.RootFD, 0
	}
	k := fdKey{r, fdPath}
	if fd, ok := f.cached(k); ok {
		return fd, 0
	}
	n := f.nodes.Get(r)
	if n == nil {
		return -1, abi.ESTALE
	}
	if n.Flags&nodeNameless != 0 {
		// What is open without a name lives in an object of the nucleus.
		for _, kind := range [...]uint8{fdWrite, fdRead} {
			if fd, ok := f.cached(fdKey{r, kind}); ok {
				return fd, 0
			}
		}
		if f.objs != nil {
			if o, ok := f.objs.Open(orphanLabel(f.id(r))); ok {
				if file, ok := o.(*object.File); ok {
					if fd, err := unix.FcntlInt(uintptr(file.FD()), unix.F_DUPFD_CLOEXEC, 3); err == nil {
						o.Close()
						f.keep(fdKey{r, fdWrite}, fd)
						return fd, 0
					}
				}
				o.Close()
			}
		}
		return -1, abi.ESTALE
	}
	// The chain of parents is as deep as the tree; descriptors of the upper
	// ones are nearly always there.
	up, err := f.path(n.Parent)
	if err != 0 {
		return -1, err
	}
	fd, err := f.openName(up, f.name(n), unix.O_PATH)
	if err != 0 {
		if err == abi.ENOENT || err == abi.ENOTDIR {
			err = abi.ESTALE
		}
		return -1, err
	}
	st, err := statFD(fd)
	if err == 0 && (st.dev() != n.Dev || st.Ino != n.Ino || st.born() != n.Born) {
		err = abi.ESTALE
	}
	if err != 0 {
		unix.Close(fd)
		return -1, err
	}
	f.keep(k, fd)
	return fd, 0
}

// openName opens one component below a directory, following nothing.
func (f *FS) openName(dir int, name string, flags int) (int, abi.Errno) {
	flags |= unix.O_NOFOLLOW | unix.O_CLOEXEC
	if flags&unix.O_PATH == 0 {
		// Should somebody have put a FIFO or terminal there: do not wait, do
		// not adopt it.
		flags |= unix.O_NONBLOCK | unix.O_NOCTTY
	}
	if !f.cfg.ByComponent {
		how := unix.OpenHow{
			Flags:   uint64(flags),
			Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_SYMLINKS,
		}
		if f.cfg.OneDevice {
			how.Resolve |= unix.RESOLVE_NO_XDEV
		}
		for {
			fd, err := unix.Openat2(dir, name, &how)
			switch err {
			case nil:
				return fd, 0
			case unix.EINTR, unix.EAGAIN: // EAGAIN: a rename raced with the look-up
				continue
			case unix.ENOSYS, unix.EPERM, unix.E2BIG:
				// No openat2 here, or a filter that refuses it. A single
				// component that is no link needs no more than O_NOFOLLOW.
				if err == unix.ENOSYS {
					f.cfg.ByComponent = true
				}
			default:
				return -1, object.Errno(err)
			}
			break
		}
	}
	if name == ".." || strings.Contains(name, "/") {
		return -1, abi.EXDEV
	}
	for {
		fd, err := unix.Openat(dir, name, flags, 0)
		if err == unix.EINTR {
			continue
		}
		if err == nil && f.cfg.OneDevice {
			if st, e := statFD(fd); e != 0 || st.dev() != f.dev {
				unix.Close(fd)
				return -1, abi.EXDEV
			}
		}
		return fd, object.Errno(err)
	}
}

// file answers a descriptor for a regular file's or directory's contents; it
// belongs to the cache. EACCES for devices, EINVAL for the other kinds.
func (f *FS) file(r ref, write bool) (int, abi.Errno) {
	n := f.nodes.Get(r)
	if n == nil {
		return -1, abi.ESTALE
	}
	switch n.Type {
	case fs.TypeReg, fs.TypeDir:
	case fs.TypeChr, fs.TypeBlk:
		return -1, abi.EACCES
	default:
		return -1, abi.EINVAL
	}
	k := fdKey{r, fdRead}
	if fd, ok := f.cached(fdKey{r, fdWrite}); ok {
		return fd, 0
	}
	if write {
		k.kind = fdWrite
	} else if fd, ok := f.cached(k); ok {
		return fd, 0
	}
	fd, err := f.reopen(r, write)
	if err != 0 {
		return -1, err
	}
	f.keep(k, fd)
	return fd, 0
}

// reopen opens what a node is, and nothing else, for reading or writing.
func (f *FS) reopen(r ref, write bool) (int, abi.Errno) {
	n := f.nodes.Get(r)
	pfd, err := f.path(r)
	if err != 0 {
		return -1, err
	}
	flags := unix.O_RDONLY
	if write {
		flags = unix.O_RDWR
	}
	open := func(flags int) (int, abi.Errno) {
		switch {
		case n.Type == fs.TypeDir:
			return f.openName(pfd, ".", flags|unix.O_DIRECTORY)
		case f.proc:
			return openProc(pfd, flags)
		case n.Flags&nodeNameless != 0, r == rootRef:
			fd, err := unix.FcntlInt(uintptr(pfd), unix.F_DUPFD_CLOEXEC, 3)
			return fd, object.Errno(err)
		}
		up, err := f.path(n.Parent)
		if err != 0 {
			return -1, err
		}
		return f.openName(up, f.name(n), flags)
	}
	fd, err := open(flags)
	if err == abi.EACCES && write {
		fd, err = open(unix.O_WRONLY)
	}
	if err != 0 {
		return -1, err
	}
	if st, e := statFD(fd); e != 0 || st.dev() != n.Dev || st.Ino != n.Ino {
		unix.Close(fd)
		return -1, abi.ESTALE
	}
	return fd, 0
}

// stat answers the host's attributes of a node.
func (f *FS) stat(r ref) (hostStat, abi.Errno) {
	fd, err := f.path(r)
	if err != 0 {
		return hostStat{}, err
	}
	st, err := statFD(fd)
	if err == 0 && r != rootRef && st.Nlink == 0 && f.nodes.Get(r).Opens == 0 {
		// The cached descriptor outlived the file.
		f.dropFD(fdKey{r, fdPath})
		return st, abi.ESTALE
	}
	return st, err
}

// ino is the inode number shown: the host's. All devices of the host are one to
// clients, so in files of other devices than the root's the bits from 32 on say
// which one it is, as in Linux's overlayfs with xino. The 32 below, which are
// mostly all of a number, and all that git keeps of one in its index, stay the
// host's. Two files of one device never have the same.
func (f *FS) ino(dev, ino uint64) uint64 {
	if dev == f.dev {
		return ino
	}
	return ino ^ deviceBits(dev)
}

// deviceBits are bits for the inode numbers of a device's files, never none:
// 32 to 51, so that a program may keep the number as floating point, without 48,
// which those have that an overlay gives out itself. Devices of major number 0
// (tmpfs, btrfs, FUSE, the network's), the most, are told apart by their minors,
// if these are at most 18 bits long; others by a hash of 18 bits.
func deviceBits(dev uint64) uint64 {
	const half = 1 << 18
	v := uint64(unix.Minor(dev))
	if unix.Major(dev) != 0 || v == 0 || v >= half {
		v = half | dev*0x9e3779b97f4a7c15>>46
	}
	return v&0xffff<<32 | v>>16<<49
}

func (f *FS) entry(r ref, st *hostStat) fs.Entry {
	return fs.Entry{Node: f.id(r), TTL: uint64(max(f.cfg.AttrTTL, 0)), Attr: f.attr(st)}
}

func (f *FS) attr(st *hostStat) fs.Attr {
	return fs.Attr{
		Ino: f.ino(st.dev(), st.Ino), Size: st.Size, Blocks: st.Blocks,
		Atime: ftime(st.Atime), Mtime: ftime(st.Mtime), Ctime: ftime(st.Ctime), Btime: ftime(st.Btime),
		Mode: uint32(st.Mode), Nlink: st.Nlink, UID: st.Uid, GID: st.Gid,
		Rdev: unix.Mkdev(st.Rdev_major, st.Rdev_minor), BlkSize: st.Blksize,
	}
}

func (f *FS) nodeEntry(r ref) (fs.Entry, abi.Errno) {
	st, err := f.stat(r)
	if err != 0 {
		return fs.Entry{}, err
	}
	return f.entry(r, &st), 0
}

// learn answers the node for what a name was found to lead to. In a
// transaction. fd is an O_PATH descriptor, which learn takes over; -1: there is none.
func (f *FS) learn(dir ref, name string, fd int, st *hostStat) (ref, abi.Errno) {
	id := identity{st.dev(), st.Ino}
	if r, ok := f.byID[id]; ok {
		if n := f.nodes.Get(r); n != nil && n.Dev == id.dev && n.Ino == id.ino && n.Born == st.born() && n.Type == uint32(st.Mode)&fs.TypeMask {
			if r != rootRef && (n.Parent != dir || f.name(n) != name || n.Flags&nodeNameless != 0) {
				if err := f.setName(r, dir, name); err != 0 {
					closeFD(fd)
					return 0, err
				}
			}
			if _, ok := f.cached(fdKey{r, fdPath}); ok || r == rootRef {
				closeFD(fd)
			} else if fd >= 0 {
				f.keep(fdKey{r, fdPath}, fd)
			}
			return r, 0
		}
	}
	r, n := f.nodes.New()
	if n == nil {
		closeFD(fd)
		return 0, abi.ENFILE
	}
	sb := f.supers.Mut(f.super)
	sb.Gen++
	if sb.Gen == 0 {
		sb.Gen = 1 // 0 is the root's
	}
	n.Gen, n.Type = sb.Gen, uint32(st.Mode)&fs.TypeMask
	n.Dev, n.Ino, n.Born = id.dev, id.ino, st.born()
	if n.Type == fs.TypeDir && id.dev != f.nodes.Get(dir).Dev && noStorage(fd) {
		n.Flags |= nodeBarred
	}
	if err := f.setName(r, dir, name); err != 0 {
		closeFD(fd)
		return 0, err
	}
	f.byID[id] = r
	f.dropFD(fdKey{r, fdPath}) // of an earlier node in the same place
	f.dropFD(fdKey{r, fdRead})
	f.dropFD(fdKey{r, fdWrite})
	if fd >= 0 {
		f.keep(fdKey{r, fdPath}, fd)
	}
	return r, 0
}

func closeFD(fd int) {
	if fd >= 0 {
		unix.Close(fd)
	}
}

// setName records where a node is. A directory keeps the nodes below it.
func (f *FS) setName(r, dir ref, name string) abi.Errno {
	b := f.h.Alloc(max(len(name), 1))
	if b.Nil() {
		return abi.ENOSPC
	}
	copy(f.h.Bytes(b), name)
	n := f.nodes.Mut(r)
	if !n.Name.Nil() {
		f.h.FreeBlock(n.Name)
	}
	n.Name, n.NameLen, n.Parent = b, uint32(len(name)), dir
	n.Flags &^= nodeNameless
	return 0
}

// peek looks at a name on the host; fd is an O_PATH descriptor of the caller's.
func (f *FS) peek(dir ref, name string) (fd int, st hostStat, err abi.Errno) {
	if f.nodes.Get(dir).Flags&nodeBarred != 0 {
		return -1, st, abi.ENOENT
	}
	up, err := f.path(dir)
	if err != 0 {
		return -1, st, err
	}
	if fd, err = f.openName(up, name, unix.O_PATH); err != 0 {
		return -1, st, err
	}
	if st, err = statFD(fd); err != 0 {
		unix.Close(fd)
		return -1, st, err
	}
	return fd, st, 0
}

// Lookup implements fs.Server.
func (f *FS) Lookup(_ fs.Req, dirID fs.NodeID, name string) (fs.Entry, abi.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir, dn, err := f.dir(dirID)
	if err != 0 {
		return fs.Entry{}, err
	}
	if err := tree.CheckName(name); err != 0 {
		return fs.Entry{}, err
	}
	switch name {
	case ".":
		return f.nodeEntry(dir)
	case "..":
		if dir == rootRef {
			return f.nodeEntry(dir)
		}
		if dn.Flags&nodeNameless != 0 {
			return fs.Entry{}, abi.ENOENT
		}
		return f.nodeEntry(dn.Parent)
	}
	return f.learnName(dir, name)
}

// learnName looks a name up and counts the client's reference.
func (f *FS) learnName(dir ref, name string) (fs.Entry, abi.Errno) {
	fd, st, err := f.peek(dir, name)
	if err != 0 {
		return fs.Entry{}, err
	}
	f.h.Begin()
	r, err := f.learn(dir, name, fd, &st)
	if err != 0 {
		f.h.Abort()
		return fs.Entry{}, err
	}
	f.nodes.Mut(r).Lookups++
	f.h.Commit()
	return f.entry(r, &st), 0
}

// Forget implements fs.Server.
func (f *FS) Forget(r fs.Req, id fs.NodeID, count uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.log.Seen(r); ok {
		return
	}
	n, _, err := f.find(id)
	if err != 0 {
		return
	}
	f.h.Begin()
	rec := f.nodes.Mut(n)
	rec.Lookups -= min(rec.Lookups, count)
	if rec.Lookups == 0 && rec.Opens == 0 && n != rootRef && rec.Type != fs.TypeDir {
		f.drop(n)
	}
	if f.log.Done(r, &once.Reply{}) != 0 {
		f.h.Abort()
		return
	}
	f.h.Commit()
}

// drop forgets a node that no client knows. In a transaction. Directories stay,
// because other nodes are found through them; there are few in comparison.
func (f *FS) drop(r ref) {
	n := f.nodes.Get(r)
	for kind := range uint8(3) {
		k := fdKey{r, kind}
		f.dropFD(k)
		f.unmap(k)
	}
	if id := (identity{n.Dev, n.Ino}); f.byID[id] == r {
		delete(f.byID, id)
	}
	if f.objs != nil {
		f.objs.Free(orphanLabel(f.id(r)))
		f.objs.Free(mapLabel(fdKey{r, fdRead}, f.id(r))) // an earlier incarnation's
		f.objs.Free(mapLabel(fdKey{r, fdWrite}, f.id(r)))
	}
	if !n.Name.Nil() {
		f.h.FreeBlock(n.Name)
	}
	f.nodes.Free(r)
}

// GetAttr implements fs.Server.
func (f *FS) GetAttr(_ fs.Req, id fs.NodeID) (fs.Entry, abi.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, _, err := f.find(id)
	if err != 0 {
		return fs.Entry{}, err
	}
	return f.nodeEntry(n)
}

// ReadLink implements fs.Server.
func (f *FS) ReadLink(_ fs.Req, id fs.NodeID) (string, abi.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, rec, err := f.find(id)
	if err != 0 {
		return "", err
	}
	if rec.Type != fs.TypeLink {
		return "", abi.EINVAL
	}
	fd, err := f.path(n)
	if err != 0 {
		return "", err
	}
	buf := make([]byte, 4096)
	k, e := unix.Readlinkat(fd, "", buf)
	if e != nil {
		return "", object.Errno(e)
	}
	return string(buf[:k]), 0
}

// Read implements fs.Server.
func (f *FS) Read(_ fs.Req, id fs.NodeID, off uint64, buf []byte) (int, abi.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fd, err := f.regular(id, false)
	if err != 0 {
		return 0, err
	}
	if int64(off) < 0 {
		return 0, abi.EINVAL
	}
	total := 0
	for total < len(buf) {
		k, e := unix.Pread(fd, buf[total:], int64(off)+int64(total))
		if e == unix.EINTR {
			continue
		}
		if e != nil {
			if total > 0 {
				break
			}
			return 0, object.Errno(e)
		}
		if k == 0 {
			break
		}
		total += k
	}
	return total, 0
}

// regular answers a descriptor for a regular file's data.
func (f *FS) regular(id fs.NodeID, write bool) (int, abi.Errno) {
	n, rec, err := f.find(id)
	if err != 0 {
		return -1, err
	}
	if rec.Type == fs.TypeDir {
		return -1, abi.EISDIR
	}
	if write && f.cfg.ReadOnly {
		return -1, abi.EROFS
	}
	return f.file(n, write)
}

// ReadDir implements fs.Server; cookies are the host's d_off.
func (f *FS) ReadDir(_ fs.Req, id fs.NodeID, cookie uint64, limit int) ([]fs.DirEntry, abi.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.list(id, cookie, limit)
}

// ReadDirPlus implements fs.Server. Names are looked at where they are, and nothing is opened:
// one component that is not followed leads nowhere else.
func (f *FS) ReadDirPlus(_ fs.Req, id fs.NodeID, cookie uint64, limit int, plus uint32) ([]fs.DirPlus, abi.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	list, err := f.list(id, cookie, limit)
	if err != 0 || len(list) == 0 {
		return nil, err
	}
	out := make([]fs.DirPlus, len(list))
	dir, rec, _ := f.find(id)
	fd, _ := f.file(dir, false)
	dev := rec.Dev
	for i := range list {
		d := &list[i]
		out[i] = d.Plus()
		if uint32(i) >= plus || f.cfg.AttrTTL <= 0 || f.nodes.Len() >= int(f.cfg.MaxNodes/2) {
			continue // the rest of the nodes is for names that are asked for
		}
		st, err := statName(fd, d.Name)
		if err != 0 || st.dev() != dev {
			continue // what is mounted there is for Lookup to judge
		}
		f.h.Begin()
		n, err := f.learn(dir, d.Name, -1, &st)
		if err != 0 {
			f.h.Abort()
			continue
		}
		f.nodes.Mut(n).Lookups++
		f.h.Commit()
		out[i].Known, out[i].Found = 1, f.entry(n, &st)
	}
	return out, 0
}

// ReadFiles implements fs.Server. Each file is looked at where it is before it is opened, so that
// what somebody has put into its place is not.
func (f *FS) ReadFiles(_ fs.Req, ids []fs.NodeID, most int) ([]fs.FileData, abi.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cfg.AttrTTL <= 0 || len(ids) > fs.MaxFiles {
		return nil, 0
	}
	most = max(min(most, fs.MaxFirst), 0)
	var out []fs.FileData
	for left, i := fs.MaxRead, 0; i < len(ids) && left > 0; i++ {
		if d, ok := f.whole(ids[i], uint64(min(most, left))); ok {
			out = append(out, d)
			left -= len(d.Data)
		}
	}
	return out, 0
}

// whole reads a file of at most so many bytes. False: it is none, or not what was known, or changes.
func (f *FS) whole(id fs.NodeID, most uint64) (d fs.FileData, ok bool) {
	r, n, err := f.find(id)
	if err != 0 || n.Type != fs.TypeReg || r == rootRef || n.Flags&nodeNameless != 0 {
		return d, false
	}
	up, err := f.path(n.Parent)
	if err != 0 {
		return d, false
	}
	name := f.name(n)
	same := func(st *hostStat, err abi.Errno) bool {
		return err == 0 && st.dev() == n.Dev && st.Ino == n.Ino && st.born() == n.Born &&
			uint32(st.Mode)&fs.TypeMask == fs.TypeReg && st.Size <= most
	}
	if st, err := statName(up, name); !same(&st, err) {
		return d, false
	}
	fd, err := f.openName(up, name, unix.O_RDONLY)
	if err != 0 {
		return d, false
	}
	defer unix.Close(fd)
	st, err := statFD(fd)
	if !same(&st, err) {
		return d, false
	}
	buf := make([]byte, st.Size+1)
	for {
		k, e := unix.Pread(fd, buf, 0)
		if e == unix.EINTR {
			continue
		}
		if e != nil || uint64(k) != st.Size {
			return d, false
		}
		return fs.FileData{File: f.entry(r, &st), Data: buf[:k]}, true
	}
}

func (f *FS) list(id fs.NodeID, cookie uint64, limit int) ([]fs.DirEntry, abi.Errno) {
	n, rec, err := f.dir(id)
	if err != 0 {
		return nil, err
	}
	if limit <= 0 {
		return nil, abi.EINVAL
	}
	if rec.Flags&nodeBarred != 0 {
		return nil, 0
	}
	fd, err := f.file(n, false)
	if err != 0 {
		return nil, err
	}
	if _, e := unix.Seek(fd, int64(cookie), unix.SEEK_SET); e != nil {
		return nil, object.Errno(e)
	}
	var out []fs.DirEntry
	used := 0
	buf := make([]byte, min(max(2*limit, 2048), 64<<10))
	for used < limit {
		k, e := unix.Getdents(fd, buf)
		if e != nil {
			return nil, object.Errno(e)
		}
		if k == 0 {
			break
		}
		for b := buf[:k]; len(b) > 0; {
			de, size, ok := parseDirent(b)
			if !ok {
				return nil, abi.EIO
			}
			b = b[size:]
			if de.Name == "." || de.Name == ".." {
				continue
			}
			if len(out) > 0 && used+len(de.Name) > limit {
				return out, 0
			}
			if de.Type == 0 { // the host file system does not say
				var st unix.Stat_t
				if unix.Fstatat(fd, de.Name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
					de.Type = st.Mode & fs.TypeMask >> 12
				}
			}
			de.Ino = f.ino(rec.Dev, de.Ino)
			used += len(de.Name)
			out = append(out, de)
		}
	}
	return out, 0
}

// Statfs implements fs.Server.
func (f *FS) Statfs(_ fs.Req, id fs.NodeID) (fs.Statfs, abi.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, _, err := f.find(id)
	if err != 0 {
		return fs.Statfs{}, err
	}
	fd, err := f.path(n)
	if err != 0 {
		return fs.Statfs{}, err
	}
	var st unix.Statfs_t
	if e := unix.Fstatfs(fd, &st); e != nil {
		return fs.Statfs{}, object.Errno(e)
	}
	return fs.Statfs{
		Type: uint64(st.Type), Blocks: st.Blocks, Bfree: st.Bfree, Bavail: st.Bavail, Files: st.Files, Ffree: st.Ffree,
		BSize: uint32(st.Bsize), NameLen: uint32(st.Namelen), FrSize: uint32(st.Frsize), Flags: uint32(st.Flags),
	}, 0
}

// Fsync implements fs.Server.
func (f *FS) Fsync(_ fs.Req, id fs.NodeID, dataOnly bool) abi.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, rec, err := f.find(id)
	if err != 0 || f.cfg.ReadOnly || rec.Type != fs.TypeReg && rec.Type != fs.TypeDir {
		return err
	}
	fd, err := f.file(n, false)
	if err != 0 {
		return err
	}
	if dataOnly {
		return object.Errno(unix.Fdatasync(fd))
	}
	return object.Errno(unix.Fsync(fd))
}

// Seek implements fs.Server.
func (f *FS) Seek(_ fs.Req, id fs.NodeID, off uint64, whence uint32) (uint64, abi.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if whence != unix.SEEK_DATA && whence != unix.SEEK_HOLE {
		return 0, abi.EINVAL
	}
	fd, err := f.regular(id, false)
	if err != 0 {
		return 0, err
	}
	at, e := unix.Seek(fd, int64(off), int(whence))
	if e != nil {
		return 0, object.Errno(e)
	}
	return uint64(at), 0
}

// xattrFD: extended attributes need an opened file, which nothing but regular
// files and directories may become.
func (f *FS) xattrFD(id fs.NodeID, write bool) (int, abi.Errno) {
	n, rec, err := f.find(id)
	if err != 0 {
		return -1, err
	}
	if write && f.cfg.ReadOnly {
		return -1, abi.EROFS
	}
	if rec.Type != fs.TypeReg && rec.Type != fs.TypeDir {
		return -1, abi.EOPNOTSUPP
	}
	return f.file(n, false)
}

// GetXattr implements fs.Server.
func (f *FS) GetXattr(_ fs.Req, id fs.NodeID, name string) ([]byte, abi.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fd, err := f.xattrFD(id, false)
	if err == abi.EOPNOTSUPP || err == abi.EACCES {
		return nil, abi.ENODATA
	}
	if err != 0 {
		return nil, err
	}
	buf := make([]byte, 64<<10)
	k, e := unix.Fgetxattr(fd, name, buf)
	if e != nil {
		return nil, object.Errno(e)
	}
	return buf[:k:k], 0
}

// ListXattr implements fs.Server.
func (f *FS) ListXattr(_ fs.Req, id fs.NodeID) ([]byte, abi.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fd, err := f.xattrFD(id, false)
	if err == abi.EOPNOTSUPP || err == abi.EACCES {
		return nil, 0
	}
	if err != 0 {
		return nil, err
	}
	buf := make([]byte, 64<<10)
	k, e := unix.Flistxattr(fd, buf)
	if e != nil {
		return nil, object.Errno(e)
	}
	return buf[:k:k], 0
}

// SetXattr implements fs.Server.
func (f *FS) SetXattr(r fs.Req, id fs.NodeID, name string, value []byte, flags uint32) abi.Errno {
	return f.again(r, func() abi.Errno {
		fd, err := f.xattrFD(id, true)
		if err != 0 {
			return err
		}
		if flags == unix.XATTR_CREATE {
			if f.begun(r) {
				flags = 0
			} else if _, e := unix.Fgetxattr(fd, name, nil); e == nil {
				return abi.EEXIST
			} else {
				f.begin(r)
			}
		}
		return object.Errno(unix.Fsetxattr(fd, name, value, int(flags)))
	})
}

// RemoveXattr implements fs.Server.
func (f *FS) RemoveXattr(r fs.Req, id fs.NodeID, name string) abi.Errno {
	return f.again(r, func() abi.Errno {
		fd, err := f.xattrFD(id, true)
		if err != 0 {
			return err
		}
		if !f.begun(r) {
			if _, e := unix.Fgetxattr(fd, name, nil); e != nil {
				return object.Errno(e)
			}
			f.begin(r)
		}
		if e := unix.Fremovexattr(fd, name); e != unix.ENODATA {
			return object.Errno(e)
		}
		return 0
	})
}

// begun says whether an earlier incarnation began with a request that changes
// attributes: what it finds may be its own work.
func (f *FS) begun(r fs.Req) bool {
	in := &f.supers.Get(f.super).Intent
	return in.Op == opXattr && in.Req == r && r != (fs.Req{})
}

// begin notes that it begins.
func (f *FS) begin(r fs.Req) {
	f.h.Begin()
	f.supers.Mut(f.super).Intent = intent{Op: opXattr, Req: r}
	f.h.Commit()
}

// again runs an effect that a crash may repeat: it leads to the same state and
// the same answer.
func (f *FS) again(r fs.Req, do func() abi.Errno) abi.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	if rep, ok := f.log.Seen(r); ok {
		return abi.Errno(rep.Err)
	}
	if err := do(); err != 0 {
		return err
	}
	return f.done(r, &once.Reply{})
}

func (f *FS) done(r fs.Req, rep *once.Reply) abi.Errno {
	f.h.Begin()
	if err := f.log.Done(r, rep); err != 0 {
		f.h.Abort()
		return err
	}
	f.h.Commit()
	return 0
}

// Map implements fs.Server: the host file itself as a memory object, which is
// always what Read shows. Tag is the object's own name, for the serve loop to
// grant.
func (f *FS) Map(_ fs.Req, id fs.NodeID, use fs.MapUse) (fs.MapOut, abi.Errno) {
	write := use == fs.MapToWrite
	if use == fs.MapToFill {
		return fs.MapOut{}, abi.ENODEV // the host tells when its files were written
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n, rec, err := f.find(id)
	if err != 0 {
		return fs.MapOut{}, err
	}
	if rec.Type != fs.TypeReg || f.objs == nil {
		return fs.MapOut{}, abi.ENODEV
	}
	if write && f.cfg.ReadOnly {
		return fs.MapOut{}, abi.EROFS
	}
	k := fdKey{n, fdRead}
	if write {
		k.kind = fdWrite
	}
	o := f.maps[k]
	if o == nil {
		// A descriptor of its own: what a reader maps must not be writable.
		fd, err := f.reopen(n, write)
		if err != 0 {
			return fs.MapOut{}, err
		}
		o, err = f.objs.Import(fd, mapLabel(k, id), write)
		unix.Close(fd)
		if err != 0 {
			return fs.MapOut{}, err
		}
		f.maps[k] = o
		for old := range f.maps {
			if len(f.maps) <= f.most {
				break
			}
			if old != k {
				f.unmap(old)
			}
		}
	}
	return fs.MapOut{Tag: o.ID(), Writable: write, Stable: true}, 0
}

// maxMaps bounds the objects that are kept for the case that a file is mapped
// again, where the process may have that many descriptors. Those that clients hold live on without us.
const maxMaps = 512

func mapLabel(k fdKey, id fs.NodeID) string {
	if k.kind == fdWrite {
		return "rw:" + strconv.FormatUint(uint64(id), 16)
	}
	return "ro:" + strconv.FormatUint(uint64(id), 16)
}

func (f *FS) unmap(k fdKey) {
	if o := f.maps[k]; o != nil {
		o.Close()
		delete(f.maps, k)
		f.objs.Free(mapLabel(k, f.id(k.n)))
	}
}

func orphanLabel(id fs.NodeID) string { return "orphan:" + strconv.FormatUint(uint64(id), 16) }
