package fs

import (
	"encoding/binary"
	"strings"

	"hythe/abi"
)

// Operation numbers (abi.Slot.Nr), FUSE's opcodes (include/uapi/linux/fuse.h,
// enum fuse_opcode).
//
// Scalars travel in Args, in the order of the method's parameters; Args[6] and
// Args[7] are Req.Client and Req.Seq. Names and structures are in the In area:
// a string is its length (32 bits) and its bytes. The answer is Result, or the
// Out area, little-endian without padding, as the encoders below say. Written
// data are the whole In area, read data the whole Out area.
const (
	opLookup      = 1  // dir; In: name -> Entry
	opForget      = 2  // node, n
	opGetAttr     = 3  // node -> Entry
	opSetAttr     = 4  // node; In: SetAttrIn -> Entry
	opReadLink    = 5  // node -> Out: target
	opSymlink     = 6  // dir, uid|gid<<32; In: name, target -> Entry
	opMkNod       = 8  // dir, mode, rdev, uid|gid<<32; In: name -> Entry
	opMkDir       = 9  // dir, mode, uid|gid<<32; In: name -> Entry
	opUnlink      = 10 // dir; In: name
	opRmDir       = 11 // dir; In: name
	opLink        = 13 // node, dir; In: name -> Entry
	opOpen        = 14 // node, 1 = write | 2 = trunc -> Entry
	opRead        = 15 // node, off, len -> Out: data
	opWrite       = 16 // node, off; In: data -> Result: n; Out: at, size
	opStatfs      = 17 // node -> Statfs
	opRelease     = 18 // node
	opFsync       = 20 // node, 1 = data only
	opSetXattr    = 21 // node, flags; In: name, value
	opGetXattr    = 22 // node; In: name -> Out: value
	opListXattr   = 23 // node -> Out: names
	opRemoveXattr = 24 // node; In: name
	opReadDir     = 28 // dir, cookie, max -> Result: count; Out: entries
	opCreate      = 35 // dir, mode, 1 = excl, uid|gid<<32; In: name -> Result: made; Entry
	opFallocate   = 43 // node, mode, off, len -> Entry
	opRename      = 45 // from, to, flags; In: old name, new name
	opSeek        = 46 // node, off, whence -> Result: offset
	opMap         = 48 // node, 1 = write, tag -> Result: 1 = writable | 2 = stable; the object is granted under tag
	opCreateTemp  = 51 // dir, mode, uid|gid<<32 -> Entry
)

// MaxWrite is how many bytes one Write takes; a Client's Write of more is
// short. MaxRead is how many one request of a Read answers.
const (
	MaxWrite = 120 << 10
	MaxRead  = 128 << 10
)

const (
	attrSize    = 120
	entrySize   = 16 + attrSize
	setAttrSize = 56
	statfsSize  = 64
	direntHead  = 24
)

var le = binary.LittleEndian

func putTime(b []byte, t Time) {
	le.PutUint64(b, uint64(t.Sec))
	le.PutUint64(b[8:], uint64(t.Nsec))
}

func getTime(b []byte) Time { return Time{Sec: int64(le.Uint64(b)), Nsec: le.Uint32(b[8:])} }

func putEntry(b []byte, e *Entry) {
	_ = b[entrySize-1]
	le.PutUint64(b[0:], uint64(e.Node))
	le.PutUint64(b[8:], e.TTL)
	b = b[16:]
	a := &e.Attr
	le.PutUint64(b[0:], a.Ino)
	le.PutUint64(b[8:], a.Size)
	le.PutUint64(b[16:], a.Blocks)
	putTime(b[24:], a.Atime)
	putTime(b[40:], a.Mtime)
	putTime(b[56:], a.Ctime)
	putTime(b[72:], a.Btime)
	le.PutUint32(b[88:], a.Mode)
	le.PutUint32(b[92:], a.Nlink)
	le.PutUint32(b[96:], a.UID)
	le.PutUint32(b[100:], a.GID)
	le.PutUint64(b[104:], a.Rdev)
	le.PutUint32(b[112:], a.BlkSize)
	le.PutUint32(b[116:], a.Gen)
}

func getEntry(b []byte) (e Entry, ok bool) {
	if len(b) < entrySize {
		return e, false
	}
	e.Node = NodeID(le.Uint64(b[0:]))
	e.TTL = le.Uint64(b[8:])
	b = b[16:]
	a := &e.Attr
	a.Ino = le.Uint64(b[0:])
	a.Size = le.Uint64(b[8:])
	a.Blocks = le.Uint64(b[16:])
	a.Atime = getTime(b[24:])
	a.Mtime = getTime(b[40:])
	a.Ctime = getTime(b[56:])
	a.Btime = getTime(b[72:])
	a.Mode = le.Uint32(b[88:])
	a.Nlink = le.Uint32(b[92:])
	a.UID = le.Uint32(b[96:])
	a.GID = le.Uint32(b[100:])
	a.Rdev = le.Uint64(b[104:])
	a.BlkSize = le.Uint32(b[112:])
	a.Gen = le.Uint32(b[116:])
	return e, true
}

func putSetAttr(b []byte, s *SetAttrIn) {
	_ = b[setAttrSize-1]
	le.PutUint32(b[0:], s.Valid)
	le.PutUint32(b[4:], s.Mode)
	le.PutUint32(b[8:], s.UID)
	le.PutUint32(b[12:], s.GID)
	le.PutUint64(b[16:], s.Size)
	putTime(b[24:], s.Atime)
	putTime(b[40:], s.Mtime)
}

func getSetAttr(b []byte) (s SetAttrIn, ok bool) {
	if len(b) < setAttrSize {
		return s, false
	}
	s.Valid = le.Uint32(b[0:])
	s.Mode = le.Uint32(b[4:])
	s.UID = le.Uint32(b[8:])
	s.GID = le.Uint32(b[12:])
	s.Size = le.Uint64(b[16:])
	s.Atime = getTime(b[24:])
	s.Mtime = getTime(b[40:])
	return s, true
}

func putStatfs(b []byte, s *Statfs) {
	_ = b[statfsSize-1]
	le.PutUint64(b[0:], s.Type)
	le.PutUint64(b[8:], s.Blocks)
	le.PutUint64(b[16:], s.Bfree)
	le.PutUint64(b[24:], s.Bavail)
	le.PutUint64(b[32:], s.Files)
	le.PutUint64(b[40:], s.Ffree)
	le.PutUint32(b[48:], s.BSize)
	le.PutUint32(b[52:], s.NameLen)
	le.PutUint32(b[56:], s.FrSize)
	le.PutUint32(b[60:], s.Flags)
}

func getStatfs(b []byte) (s Statfs, ok bool) {
	if len(b) < statfsSize {
		return s, false
	}
	s.Type = le.Uint64(b[0:])
	s.Blocks = le.Uint64(b[8:])
	s.Bfree = le.Uint64(b[16:])
	s.Bavail = le.Uint64(b[24:])
	s.Files = le.Uint64(b[32:])
	s.Ffree = le.Uint64(b[40:])
	s.BSize = le.Uint32(b[48:])
	s.NameLen = le.Uint32(b[52:])
	s.FrSize = le.Uint32(b[56:])
	s.Flags = le.Uint32(b[60:])
	return s, true
}

// putDirents stores as many entries as fit and answers how many and how long;
// the reader goes on behind the last one's cookie.
func putDirents(b []byte, list []DirEntry) (count, n int) {
	for i := range list {
		e := &list[i]
		size := direntHead + (len(e.Name)+7)&^7
		if len(b)-n < size {
			return i, n
		}
		p := b[n:]
		le.PutUint64(p, e.Ino)
		le.PutUint64(p[8:], e.Next)
		le.PutUint32(p[16:], e.Type)
		le.PutUint32(p[20:], uint32(len(e.Name)))
		copy(p[direntHead:], e.Name)
		n += size
	}
	return len(list), n
}

func getDirents(b []byte, count uint64) (list []DirEntry, ok bool) {
	if count > uint64(len(b)/direntHead) {
		return nil, false
	}
	list = make([]DirEntry, 0, count)
	for range count {
		if len(b) < direntHead {
			return nil, false
		}
		l := le.Uint32(b[20:])
		size := direntHead + (uint64(l)+7)&^7
		if uint64(len(b)) < size {
			return nil, false
		}
		list = append(list, DirEntry{le.Uint64(b), le.Uint64(b[8:]), le.Uint32(b[16:]), string(b[direntHead : direntHead+l])})
		b = b[size:]
	}
	return list, true
}

// putStrings stores strings one behind the other and answers their length; ok
// is false when they do not fit.
func putStrings(b []byte, list ...string) (n int, ok bool) {
	for _, s := range list {
		if len(s) > len(b)-n-4 {
			return 0, false
		}
		le.PutUint32(b[n:], uint32(len(s)))
		n += 4 + copy(b[n+4:], s)
	}
	return n, true
}

// getString takes a string (a copy: the bytes are shared with the client) off
// the front of b.
func getString(b []byte) (s string, rest []byte, ok bool) {
	if len(b) < 4 {
		return "", nil, false
	}
	n := le.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return "", nil, false
	}
	return string(b[4 : 4+n]), b[4+n:], true
}

// getName takes a name of a directory entry: not empty, without slash and NUL.
func getName(b []byte) (s string, rest []byte, ok bool) {
	s, rest, ok = getString(b)
	return s, rest, ok && s != "" && strings.IndexByte(s, '/') < 0 && strings.IndexByte(s, 0) < 0
}

func packCred(c Cred) uint64   { return uint64(c.UID) | uint64(c.GID)<<32 }
func unpackCred(w uint64) Cred { return Cred{uint32(w), uint32(w >> 32)} }

func flag(b bool, bit uint64) uint64 {
	if b {
		return bit
	}
	return 0
}

var _ [abi.SlotInSize - MaxWrite]byte // a Write fits the area
var _ [abi.SlotOutSize - MaxRead]byte // a Read fits the area
