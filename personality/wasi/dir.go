package wasi

import "bytes"

// dirents is the part of a directory that the system was last asked for. A cookie is
// what the system calls an entry's offset.
type dirents struct {
	buf  []byte // struct linux_dirent64, whole ones
	from uint64 // the first entry's cookie
	next uint64 // where the system goes on
}

// Layout of struct linux_dirent64 and its types (linux/dirent.h).
const (
	direntOff  = 8
	direntLen  = 16
	direntType = 18
	direntName = 19

	direntSize = 24 // preview 1's ($dirent), without the name

	direntBuf = 32 << 10
)

func direntFileType(t byte) uint8 {
	return fileType(uint32(t) << 12)
}

// seek answers the entries from a cookie on that are here, or fetches more; none at
// the end of the directory.
func (p *Process) entries(d *desc, cookie uint64) ([]byte, Errno) {
	t := d.dir
	if t == nil {
		t = &dirents{buf: make([]byte, 0, direntBuf)}
		d.dir = t
	}
	at := t.from
	for b := t.buf; len(b) > 0; b = b[le.Uint16(b[direntLen:]):] {
		if at == cookie && cookie != 0 {
			return b, 0 // the start is read anew: rewinding is asking for what is there now
		}
		at = le.Uint64(b[direntOff:])
	}
	if cookie != t.next || cookie == 0 {
		if _, e := p.sys.Seek(d.fd, int64(cookie), 0); e != 0 {
			return nil, errno(e)
		}
	}
	n, e := p.sys.Dirents(d.fd, t.buf[:direntBuf])
	if e != 0 {
		t.buf = t.buf[:0]
		return nil, errno(e)
	}
	t.buf = t.buf[:n]
	t.from, t.next = cookie, cookie
	for b := t.buf; len(b) > 0; b = b[le.Uint16(b[direntLen:]):] {
		t.next = le.Uint64(b[direntOff:])
	}
	return t.buf, 0
}

// fdReaddir is fd_readdir(fd, buf, len, cookie, result): as many entries as there is
// room for, the last of them cut off; less than the room at the end of the directory.
func (p *Process) fdReaddir(a args) Errno {
	d, e := p.open(a.u32(0), rightReaddir)
	if e != 0 {
		return e
	}
	out, ok := p.bytes(a.u32(1), a.u32(2))
	if _, ok2 := p.bytes(a.u32(4), 4); !ok || !ok2 {
		return errFault
	}
	if d.typ != typeDirectory {
		return errNotDir
	}
	size, cookie := len(out), a[3]
	for len(out) > 0 {
		b, e := p.entries(d, cookie)
		if e != 0 {
			if len(out) < size {
				break // the next call meets it again
			}
			return e
		}
		if len(b) == 0 {
			break
		}
		for ; len(b) > 0 && len(out) > 0; b = b[le.Uint16(b[direntLen:]):] {
			cookie = le.Uint64(b[direntOff:])
			name := b[direntName:le.Uint16(b[direntLen:])]
			name = name[:max(bytes.IndexByte(name, 0), 0)]
			var h [direntSize]byte
			le.PutUint64(h[:], cookie)
			le.PutUint64(h[8:], le.Uint64(b))
			le.PutUint32(h[16:], uint32(len(name)))
			h[20] = direntFileType(b[direntType])
			out = out[copy(out, h[:]):]
			out = out[copy(out, name):]
		}
	}
	return p.put32(a.u32(4), uint32(size-len(out)))
}
