// Package wire is what the code that cmd/idlgen generates has in common (docs/idl.md).
//
// What takes something off bytes answers what is left, and false if the bytes end before
// it or it is beyond its limit. Nothing is allocated that is longer than the bytes say.
package wire

import (
	"encoding/binary"
	"strings"

	"hythe/abi"
	"hythe/ipc"
)

// Room adds n bytes, for the caller to store.
func Room(b []byte, n int) []byte { return append(b, make([]byte, n)...) }

// AppendBool adds a bool.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// Bit is the bit if v is set, for words of bools.
func Bit(v bool, bit uint64) uint64 {
	if v {
		return bit
	}
	return 0
}

// Int is a word as a number that is not negative; what is too large is the largest.
func Int(w uint64) int { return int(min(w, 1<<31-1)) }

// Size is such a number as a word.
func Size(n int) uint64 { return uint64(max(n, 0)) }

// Size32 is such a number in four bytes; what is too large is the largest.
func Size32(n int) uint32 { return uint32(min(Size(n), 1<<32-1)) }

// AppendString adds a string.
func AppendString(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}

// AppendBytes adds bytes.
func AppendBytes(b, v []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(v)))
	return append(b, v...)
}

// View takes bytes of at most most, which are not copied.
func View(b []byte, most int) (v, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := binary.LittleEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-4) || uint64(n) > uint64(most) {
		return nil, nil, false
	}
	return b[4 : 4+n : 4+n], b[4+n:], true
}

// String takes a string.
func String(b []byte, most int) (s string, rest []byte, ok bool) {
	v, rest, ok := View(b, most)
	return string(v), rest, ok
}

// Bytes takes bytes; nil if there are none.
func Bytes(b []byte, most int) (v, rest []byte, ok bool) {
	v, rest, ok = View(b, most)
	return append([]byte(nil), v...), rest, ok
}

// Record takes a record's fields.
func Record(b []byte) (v, rest []byte, ok bool) { return View(b, len(b)) }

// EndRecord stores the length of the record whose length has the four bytes at start.
func EndRecord(b []byte, start int) { binary.LittleEndian.PutUint32(b[start:], uint32(len(b)-start-4)) }

// Count takes the number of a list's elements, of which each has at least least bytes.
func Count(b []byte, most, least int) (n int, rest []byte, ok bool) {
	if len(b) < 4 {
		return 0, nil, false
	}
	c := binary.LittleEndian.Uint32(b)
	b = b[4:]
	if uint64(c) > uint64(most) || uint64(c) > uint64(len(b)/max(least, 1)) {
		return 0, nil, false
	}
	return int(c), b, true
}

// IsName says whether s can be a name in a directory: not empty, without slash and NUL.
func IsName(s string) bool {
	return s != "" && strings.IndexByte(s, '/') < 0 && strings.IndexByte(s, 0) < 0
}

// maxErrno is above all errors that there will be, and below ipc.Later: who answers what
// another one has answered must not be made to say that.
const maxErrno = 4095

// Errno takes the errno that an answer begins with. EIO: it has none.
func Errno(b []byte) (rest []byte, err abi.Errno) {
	if len(b) < 4 {
		return nil, abi.EIO
	}
	if err = abi.Errno(binary.LittleEndian.Uint32(b)); err > maxErrno {
		return nil, abi.EIO
	}
	return b[4:], err
}

// AppendErrno adds it.
func AppendErrno(b []byte, err abi.Errno) []byte {
	return binary.LittleEndian.AppendUint32(b, uint32(err))
}

// Refuse is an answer that has an error and nothing else.
func Refuse(err abi.Errno) *ipc.Message { return &ipc.Message{Body: AppendErrno(nil, err)} }

// Right is the right that came as the i-th in a message. One whose port died on its way
// is abi.NameDead; one that was not given is abi.NameNull. EINVAL: there is none, or of
// another kind.
func Right(m *ipc.Message, i int, kind uint8, optional bool) (abi.Name, abi.Errno) {
	if i >= len(m.Rights) {
		if optional {
			return abi.NameNull, 0
		}
		return abi.NameNull, abi.EINVAL
	}
	switch r := m.Rights[i]; {
	case r.Kind == abi.RightDead || r.Name == abi.NameDead:
		return abi.NameDead, 0
	case r.Name == abi.NameNull && optional:
		return abi.NameNull, 0
	case r.Name == abi.NameNull || r.Kind != kind:
		return abi.NameNull, abi.EINVAL
	default:
		return r.Name, 0
	}
}
