package plan9

import "hythe/abi"

// Messages of 9P2000 (intro(5)): size, type, tag, and what the type says; numbers least
// significant byte first, strings with their length.
const (
	tVersion = 100
	tAuth    = 102
	tAttach  = 104
	rError   = 107
	tFlush   = 108
	tWalk    = 110
	tOpen    = 112
	tCreate  = 114
	tRead    = 116
	tWrite   = 118
	tClunk   = 120
	tRemove  = 122
	tStat    = 124
	tWstat   = 126

	noTag = 0xffff
	noFid = ^uint32(0)

	headSize = 4 + 1 + 2
	maxMsg   = 8192 + 24 // what we ask for
	minMsg   = 256
	ioHead   = 24 // of a message, at most, beside the data
	maxWalk  = 16 // names in one walk
	version9 = "9P2000"
)

// message makes one.
func message(typ uint8, tag uint16, body []byte) []byte {
	b := le.AppendUint32(nil, uint32(headSize+len(body)))
	b = append(b, typ)
	b = le.AppendUint16(b, tag)
	return append(b, body...)
}

func putString(b []byte, s string) []byte {
	return append(le.AppendUint16(b, uint16(len(s))), s...)
}

// reply is what is left of an answer; bad: it was too short. asked is the request's Old.
type reply struct {
	b     []byte
	bad   bool
	asked uint32
}

func (r *reply) take(n int) []byte {
	if len(r.b) < n || n < 0 {
		r.bad = true
		return make([]byte, 8)
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reply) u8() uint8   { return r.take(1)[0] }
func (r *reply) u16() uint16 { return le.Uint16(r.take(2)) }
func (r *reply) u32() uint32 { return le.Uint32(r.take(4)) }

func (r *reply) text() string {
	n := int(r.u16())
	if len(r.b) < n {
		r.bad = true
		return ""
	}
	return string(r.take(n))
}

// qid answers the type of one.
func (r *reply) qid() uint8 {
	if len(r.b) < 13 {
		r.bad = true
		return 0
	}
	return r.take(13)[0]
}

// end says whether the answer was whole, and nothing follows.
func (r *reply) end() bool { return !r.bad && len(r.b) == 0 }

// split answers the first message of a stream of them and what follows; ok is false for a
// size that is none, msg nil if it is not complete.
func split(b []byte, msize uint32) (msg, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, b, true
	}
	n := le.Uint32(b)
	if n < headSize || n > msize {
		return nil, nil, false
	}
	if uint32(len(b)) < n {
		return nil, b, true
	}
	return b[:n], b[n:], true
}

// entries9 checks the stat messages of a directory's reading, and puts type and number of
// the device into them, which are the reader's to know.
func entries9(b []byte, dev uint32) bool {
	for len(b) > 0 {
		if len(b) < 2 {
			return false
		}
		n := int(le.Uint16(b)) + 2
		if len(b) < n {
			return false
		}
		if d, ok := decode(b[:n]); !ok || !goodName(d.name) {
			return false
		}
		le.PutUint16(b[2:], 'M')
		le.PutUint32(b[4:], dev)
		b = b[n:]
	}
	return true
}

func goodName(s string) bool {
	for i := range len(s) {
		if s[i] == '/' && s != "/" || s[i] == 0 {
			return false
		}
	}
	return s != "" && s != "." && s != ".."
}

// meaning are parts of a server's words, and the errors that they are for us.
var meaning = []struct {
	text string
	e    abi.Errno
}{
	{"not exist", abi.ENOENT}, {"not found", abi.ENOENT}, {"no such file", abi.ENOENT}, {"permission", abi.EACCES},
	{"already exists", abi.EEXIST}, {"file exists", abi.EEXIST}, {"not a directory", abi.ENOTDIR}, {"is a directory", abi.EISDIR},
	{"not empty", abi.ENOTEMPTY}, {"in use", abi.EBUSY}, {"removed", abi.EIDRM}, {"read only", abi.EROFS},
}
