//go:build plan9

package main

import (
	"encoding/binary"
	"errors"
	"io"
	"sync"
)

var le = binary.LittleEndian

// file is a file of the server: a tree in memory.
type file struct {
	name  string
	path  uint64
	mode  uint32
	data  []byte
	files []*file
	up    *file
}

// server serves 9P2000 on one connection.
type server struct {
	conn   io.ReadWriter
	root   *file
	fids   map[uint32]*file
	remove map[uint32]bool
	next   uint64
	clunks int
	sync.Mutex
	// hold are the answers that wait until they are flushed: reads of a file called so.
	hold          map[uint16]bool
	secret        string // what is to be written to an authentication before a tree is given; "": nothing
	versions      int    // how often they were exchanged
	held, flushed chan bool
	out           sync.Mutex
}

const (
	dirMode  = 0x80000000
	authMode = 0x08000000
)

func newServer(conn io.ReadWriter) *server {
	return &server{conn: conn, root: &file{name: "/", mode: dirMode | 0o777}, fids: map[uint32]*file{}, remove: map[uint32]bool{}, hold: map[uint16]bool{}, held: make(chan bool, 10), flushed: make(chan bool, 10)}
}

func str(b []byte, s string) []byte { return append(le.AppendUint16(b, uint16(len(s))), s...) }

func (f *file) qid() []byte {
	b := []byte{byte(f.mode >> 24)}
	return le.AppendUint64(append(b, 0, 0, 0, 0), f.path)
}

func (f *file) stat() []byte {
	b := make([]byte, 8, 100)
	b = append(b, f.qid()...)
	b = le.AppendUint32(b, f.mode)
	b = append(b, make([]byte, 8)...)
	b = le.AppendUint64(b, uint64(len(f.data)))
	for _, s := range []string{f.name, "u", "g", "m"} {
		b = str(b, s)
	}
	le.PutUint16(b, uint16(len(b)-2))
	return b
}

func (f *file) find(name string) *file {
	if name == ".." {
		return f.up
	}
	for _, x := range f.files {
		if x.name == name {
			return x
		}
	}
	return nil
}

func (f *file) drop() {
	for i, x := range f.up.files {
		if x == f {
			f.up.files = append(f.up.files[:i], f.up.files[i+1:]...)
			return
		}
	}
}

// run serves until the connection ends.
func (s *server) run() error {
	for {
		var size [4]byte
		if _, err := io.ReadFull(s.conn, size[:]); err != nil {
			return err
		}
		b := make([]byte, le.Uint32(size[:])-4)
		if _, err := io.ReadFull(s.conn, b); err != nil {
			return err
		}
		typ, tag := b[0], le.Uint16(b[1:])
		s.Lock()
		r, err := s.answer(typ, tag, b[3:])
		s.Unlock()
		if err == errBye {
			return err
		}
		if err == errHeld {
			continue
		}
		typ++
		if err != nil {
			typ, r = 107, str(nil, err.Error())
		}
		if err := s.reply(typ, tag, r); err != nil {
			return err
		}
	}
}

func (s *server) reply(typ byte, tag uint16, r []byte) error {
	m := le.AppendUint32(nil, uint32(7+len(r)))
	m = le.AppendUint16(append(m, typ), tag)
	s.out.Lock()
	defer s.out.Unlock()
	_, err := s.conn.Write(append(m, r...))
	return err
}

var (
	errBye   = errors.New("bye")
	errHeld  = errors.New("held")
	errFile  = errors.New("file does not exist")
	errThere = errors.New("file already exists")
)

func (s *server) answer(typ byte, tag uint16, b []byte) ([]byte, error) {
	u32 := func() uint32 { v := le.Uint32(b); b = b[4:]; return v }
	u16 := func() int { v := le.Uint16(b); b = b[2:]; return int(v) }
	text := func() string { n := u16(); v := string(b[:n]); b = b[n:]; return v }
	if typ == 100 {
		s.versions++
		return str(le.AppendUint32(nil, min(u32(), 4096)), "9P2000"), nil
	}
	if typ == 108 { // flush
		if old := uint16(u16()); s.hold[old] {
			delete(s.hold, old)
			s.flushed <- true
		}
		return nil, nil
	}
	fid := u32()
	if typ == 102 { // auth
		if s.secret == "" {
			return nil, errors.New("there is no authentication here")
		}
		s.fids[fid] = &file{name: "auth", mode: authMode | 0o600}
		return s.fids[fid].qid(), nil
	}
	if typ == 104 {
		if a := s.fids[u32()]; s.secret != "" && (a == nil || string(a.data) != s.secret) {
			return nil, errors.New("not without authentication: permission denied")
		}
		text()
		if tree := text(); tree != "" {
			return nil, errors.New("there is no tree " + tree)
		}
		s.fids[fid] = s.root
		return s.root.qid(), nil
	}
	f := s.fids[fid]
	if f == nil {
		return nil, errors.New("unknown fid")
	}
	switch typ {
	case 110: // walk
		to := u32()
		n := u16()
		r := le.AppendUint16(nil, 0)
		for i := range n {
			x := f.find(text())
			if x == nil {
				if i == 0 {
					return nil, errFile
				}
				return r, nil
			}
			f = x
			r = append(r, f.qid()...)
			le.PutUint16(r, uint16(i+1))
		}
		s.fids[to] = f
		return r, nil
	case 112: // open
		if b[0]&16 != 0 {
			f.data = nil
		}
		s.remove[fid] = b[0]&64 != 0
		if b[0]&3 == 3 && f.mode&0o100 == 0 {
			return nil, errors.New("not to be executed: permission denied")
		}
		if f.mode&0o200 == 0 && b[0]&3 != 0 {
			return nil, errors.New("no writing here: permission denied")
		}
		return append(f.qid(), 0, 0, 0, 0), nil
	case 114: // create
		name, perm := text(), u32()
		if f.find(name) != nil {
			return nil, errThere
		}
		s.next++
		x := &file{name: name, mode: perm, path: s.next, up: f}
		f.files = append(f.files, x)
		s.fids[fid] = x
		s.remove[fid] = b[0]&64 != 0
		return append(x.qid(), 0, 0, 0, 0), nil
	case 116: // read
		off, n := le.Uint64(b), le.Uint32(b[8:])
		if f.name == "bye" {
			return nil, errBye
		}
		if f.name == "hold" {
			s.hold[tag] = true
			s.held <- true
			return nil, errHeld
		}
		data := f.data
		if f.mode&dirMode != 0 {
			data = nil
			for _, x := range f.files {
				d := x.stat()
				if uint64(len(data)) >= off && uint64(len(data)+len(d)) > off+uint64(n) {
					break // entries are given whole
				}
				data = append(data, d...)
			}
		}
		data = data[min(off, uint64(len(data))):]
		data = data[:min(len(data), int(n))]
		return append(le.AppendUint32(nil, uint32(len(data))), data...), nil
	case 118: // write
		off, data := le.Uint64(b), b[12:]
		if end := int(off) + len(data); end > len(f.data) {
			f.data = append(f.data, make([]byte, end-len(f.data))...)
		}
		copy(f.data[off:], data)
		return le.AppendUint32(nil, uint32(len(data))), nil
	case 120, 122: // clunk, remove
		delete(s.fids, fid)
		s.clunks++
		if typ == 122 && len(f.files) > 0 {
			return nil, errors.New("directory is not empty")
		}
		if typ == 122 || s.remove[fid] {
			f.drop()
		}
		delete(s.remove, fid)
		return nil, nil
	case 124:
		d := f.stat()
		return append(le.AppendUint16(nil, uint16(len(d))), d...), nil
	case 126: // wstat: name, mode, length
		b = b[2:]
		if mode := le.Uint32(b[21:]); mode != ^uint32(0) {
			f.mode = mode
		}
		if n := le.Uint64(b[33:]); n != ^uint64(0) && n < uint64(len(f.data)) {
			f.data = f.data[:n]
		}
		b = b[41:]
		if name := text(); name != "" {
			if f.up.find(name) != nil && f.up.find(name) != f {
				return nil, errThere
			}
			f.name = name
		}
		return nil, nil
	}
	return nil, errors.New("unknown message")
}

// count answers how many fids are in use.
func (s *server) count() int {
	s.Lock()
	defer s.Unlock()
	return len(s.fids)
}
