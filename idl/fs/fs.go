// Package fs is the file-server protocol: FUSE's operations (numbers and
// meaning of include/uapi/linux/fuse.h, protocol 7.x) carried by Hythe's
// bindings, with memory objects for file data. A file server implements
// Server; a client (the unix server, or an overlay towards its lower layer)
// calls the same methods on a Client, which sends them over a binding.
//
// Semantics that differ from FUSE, and why:
//
//   - Node ids are durable: a server keeps them, with every open count, in its
//     state of record, so that a client's nodes and open files survive the
//     server's death. There are no file handles apart from the node id; Open
//     and Release only count (an unlinked node lives while its count is > 0).
//   - Every request carries a Req. A server executes a request with a given
//     (Binding, Client, Seq) once: for operations that change something it
//     keeps the answer of the last one per client in its state of record,
//     committed together with the effect, and answers a repetition with it.
//   - The client checks permissions (FUSE's default_permissions); servers
//     check only what a client cannot know (read-only mounts, host errors).
//   - Map answers a memory object that is the node's data (virtiofs's
//     SETUPMAPPING in spirit): the object of a node never changes once given.
package fs

import "hythe/abi"

// NodeID names a node of one file server, for ever. The root is RootID.
type NodeID uint64

// RootID is the root directory of every file server (FUSE_ROOT_ID).
const RootID NodeID = 1

// File types, as in st_mode (POSIX sys/stat.h).
const (
	TypeMask = 0o170000
	TypeSock = 0o140000
	TypeLink = 0o120000
	TypeReg  = 0o100000
	TypeBlk  = 0o060000
	TypeDir  = 0o040000
	TypeChr  = 0o020000
	TypeFifo = 0o010000
)

// Time is seconds and nanoseconds since 1970 UTC.
type Time struct {
	Sec  int64
	Nsec uint32
	_    uint32
}

// Attr is what stat shows of a node. Sizes in bytes, Blocks in 512-byte units.
type Attr struct {
	Ino     uint64
	Size    uint64
	Blocks  uint64
	Atime   Time
	Mtime   Time
	Ctime   Time
	Btime   Time
	Mode    uint32 // type and permissions
	Nlink   uint32
	UID     uint32
	GID     uint32
	Rdev    uint64 // Linux's 64-bit dev_t encoding
	BlkSize uint32
	Gen     uint32
}

// Entry is the answer of operations that name a node.
type Entry struct {
	Node NodeID
	Attr Attr
	// TTL is how long, in nanoseconds, the client may keep the name and the
	// attributes without asking again; ^0 means until the client itself
	// changes them (nobody else can).
	TTL uint64
}

// Which fields a SetAttr changes (FUSE's FATTR_ numbers).
const (
	SetMode     = 1 << 0
	SetUID      = 1 << 1
	SetGID      = 1 << 2
	SetSize     = 1 << 3
	SetAtime    = 1 << 4
	SetMtime    = 1 << 5
	SetAtimeNow = 1 << 7
	SetMtimeNow = 1 << 8
	SetCtime    = 1 << 10
	// SetSealed, which FUSE does not have: the file is written no more, by anybody.
	// EBUSY while one has it mapped for writing.
	SetSealed = 1 << 16
	// SetWritten, which FUSE does not have either: the client last wrote the file
	// through its object (MapToFill) at Mtime. Mtime and ctime become that unless they
	// are later.
	SetWritten = 1 << 17
)

// SetAttrIn says what SetAttr changes.
type SetAttrIn struct {
	Valid uint32
	Mode  uint32
	UID   uint32
	GID   uint32
	Size  uint64
	Atime Time
	Mtime Time
}

// Cred is on whose behalf a node is made: its owner and group.
type Cred struct {
	UID, GID uint32
}

// DirEntry is one entry of a directory. Next is the cookie that continues
// behind it.
type DirEntry struct {
	Ino  uint64
	Next uint64
	Type uint32 // DT_ number: st_mode's type >> 12
	Name string
}

// Statfs is what statfs shows.
type Statfs struct {
	Type    uint64
	Blocks  uint64
	Bfree   uint64
	Bavail  uint64
	Files   uint64
	Ffree   uint64
	BSize   uint32
	NameLen uint32
	FrSize  uint32
	Flags   uint32
}

// Flags of Rename (renameat2(2)).
const (
	RenameNoReplace = 1
	RenameExchange  = 2
)

// MapOut is the answer of Map: a memory object that holds the node's bytes at
// the same offsets, readable, and writable if it was asked for and is allowed.
// Tag is the object's name (abi.Name) in the space of whoever answers: a server
// gives its own name for the object, Serve grants it to the client, and the
// client's Map answers with the client's name for it.
type MapOut struct {
	Tag      uint64
	Writable bool
	// Stable says that reads through the object always show what Read would:
	// the client may keep and use it instead of Read.
	Stable bool
	// UntilWrite says the same, but only until somebody opens the node for
	// writing, sets its size or maps it for writing: it is of a layer below.
	UntilWrite bool
}

// MapUse is what the object of a file is wanted for.
type MapUse uint32

// MapToRead: instead of Read; a server refuses rather than make too many objects
// for that, each of which costs descriptors for as long as the file lives.
const (
	MapToRead  MapUse = iota
	MapToShow         // to be mapped
	MapToWrite        // to be mapped for writing
	// MapToFill: to be written by the client itself, instead of Write, as far as the
	// file reaches and has memory; SetWritten tells when. ENODEV: Write does as well,
	// or is the only way.
	MapToFill
)

// Server is what a file server implements and a Client offers. Every method
// may be called from any goroutine unless the implementation says otherwise;
// errors are neutral errnos, 0 for success.
type Server interface {
	// Lookup finds a name in a directory. ENOENT, ENOTDIR, ENAMETOOLONG, EIO.
	Lookup(r Req, dir NodeID, name string) (Entry, abi.Errno)
	// Forget says that the client dropped its last n references by name; a
	// server may drop what it only kept for the client. Never fails.
	Forget(r Req, node NodeID, n uint64)
	GetAttr(r Req, node NodeID) (Entry, abi.Errno)
	SetAttr(r Req, node NodeID, in *SetAttrIn) (Entry, abi.Errno)
	ReadLink(r Req, node NodeID) (string, abi.Errno)
	// MkNod makes a regular file, FIFO, socket or device node; devices are
	// names only (Rdev is kept, nothing is opened).
	MkNod(r Req, dir NodeID, name string, mode uint32, rdev uint64, c Cred) (Entry, abi.Errno)
	MkDir(r Req, dir NodeID, name string, mode uint32, c Cred) (Entry, abi.Errno)
	Symlink(r Req, dir NodeID, name, target string, c Cred) (Entry, abi.Errno)
	Link(r Req, node, dir NodeID, name string) (Entry, abi.Errno)
	Unlink(r Req, dir NodeID, name string) abi.Errno
	RmDir(r Req, dir NodeID, name string) abi.Errno
	Rename(r Req, from NodeID, oldName string, to NodeID, newName string, flags uint32) abi.Errno
	// Open counts an opening (and copies up, in an overlay, when write is set).
	// Trunc empties the file in the same step.
	Open(r Req, node NodeID, write, trunc bool) (Entry, abi.Errno)
	// Create makes and opens a regular file; with excl an existing one is
	// EEXIST, else it is opened (made says which).
	Create(r Req, dir NodeID, name string, mode uint32, excl bool, c Cred) (e Entry, made bool, err abi.Errno)
	// CreateTemp makes and opens an unnamed file (O_TMPFILE).
	CreateTemp(r Req, dir NodeID, mode uint32, c Cred) (Entry, abi.Errno)
	Release(r Req, node NodeID)
	// Read fills buf from off and answers how much; 0 at the end of the file.
	Read(r Req, node NodeID, off uint64, buf []byte) (int, abi.Errno)
	// Write stores data at off, or at the end when off is AppendOff, and
	// answers how much and where it ended up.
	Write(r Req, node NodeID, off uint64, data []byte) (n int, at uint64, size uint64, err abi.Errno)
	// ReadDir answers entries behind cookie (0 = start) until about max bytes
	// of names were given; none at the end. "." and ".." are not among them.
	ReadDir(r Req, dir NodeID, cookie uint64, max int) ([]DirEntry, abi.Errno)
	Statfs(r Req, node NodeID) (Statfs, abi.Errno)
	Fsync(r Req, node NodeID, dataOnly bool) abi.Errno
	// Fallocate as fallocate(2), modes 0, KEEP_SIZE, PUNCH_HOLE|KEEP_SIZE, ZERO_RANGE.
	Fallocate(r Req, node NodeID, mode uint32, off, length uint64) (Entry, abi.Errno)
	// Seek finds data (whence 3) or a hole (4) at or behind off. ENXIO.
	Seek(r Req, node NodeID, off uint64, whence uint32) (uint64, abi.Errno)
	GetXattr(r Req, node NodeID, name string) ([]byte, abi.Errno)
	// SetXattr: flags 1 = create only, 2 = replace only.
	SetXattr(r Req, node NodeID, name string, value []byte, flags uint32) abi.Errno
	// ListXattr answers NUL-terminated names, one behind the other.
	ListXattr(r Req, node NodeID) ([]byte, abi.Errno)
	RemoveXattr(r Req, node NodeID, name string) abi.Errno
	// Map answers an object of a regular file. ENODEV where there is none.
	Map(r Req, node NodeID, use MapUse) (MapOut, abi.Errno)
}

// AppendOff as an offset of Write means the end of the file.
const AppendOff = ^uint64(0)

// Req identifies a request for exactly-once execution: Client is a number that
// the client chose for one of its flows of control (the unix server: its thread
// record), Seq counts that flow's requests. 0, 0 marks a request that may be
// repeated freely. Binding is filled in by the receiving side and keeps the
// numbers of two clients apart.
type Req struct {
	Binding uint64
	Client  uint32
	Seq     uint64
}
