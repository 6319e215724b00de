package tree

import (
	"fmt"
	"testing"

	"hythe/idl/fs"
	"hythe/server/fs/object"
	"hythe/store"
)

func benchServer(b *testing.B, mem []byte) *Server {
	b.Helper()
	h, _, err := store.OpenOrFormat(mem, testVersion)
	if err != nil {
		b.Fatal(err)
	}
	r := &rig{objs: object.NewLocal()}
	b.Cleanup(r.objs.Close)
	r.serve(b, h, Limits{Inodes: 200000})
	return r.s
}

func BenchmarkLookup(b *testing.B) {
	s := benchServer(b, make([]byte, 512<<20))
	for i := range 10000 {
		s.MkNod(fs.Req{}, fs.RootID, fmt.Sprint("file", i), 0o644, 0, fs.Cred{})
	}
	for b.Loop() {
		if _, err := s.Lookup(fs.Req{}, fs.RootID, "file5000"); err != 0 {
			b.Fatal(err)
		}
	}
}

func BenchmarkWrite4K(b *testing.B) {
	s := benchServer(b, make([]byte, 512<<20))
	e, _, _ := s.Create(fs.Req{}, fs.RootID, "f", 0o644, true, fs.Cred{})
	buf := make([]byte, 4096)
	seq := uint64(0)
	for b.Loop() {
		seq++
		s.Write(fs.Req{Binding: 1, Client: 1, Seq: seq}, e.Node, seq%32*4096, buf)
	}
}

func BenchmarkRead4K(b *testing.B) {
	s := benchServer(b, make([]byte, 512<<20))
	e, _, _ := s.Create(fs.Req{}, fs.RootID, "f", 0o644, true, fs.Cred{})
	buf := make([]byte, 4096)
	s.Write(fs.Req{}, e.Node, 0, buf)
	for b.Loop() {
		s.Read(fs.Req{}, e.Node, 0, buf)
	}
}

func BenchmarkCreateUnlink(b *testing.B) {
	s := benchServer(b, make([]byte, 512<<20))
	for i := range 50000 {
		s.MkNod(fs.Req{}, fs.RootID, fmt.Sprint("file", i), 0o644, 0, fs.Cred{})
	}
	for b.Loop() {
		e, _, err := s.Create(fs.Req{}, fs.RootID, "new", 0o644, true, fs.Cred{})
		if err != 0 {
			b.Fatal(err)
		}
		s.Release(fs.Req{}, e.Node)
		s.Unlink(fs.Req{}, fs.RootID, "new")
	}
}

// BenchmarkReopen is the time that a new incarnation needs over 100,000 files.
func BenchmarkReopen(b *testing.B) {
	mem := make([]byte, 512<<20)
	s := benchServer(b, mem)
	for i := range 100 {
		d, _ := s.MkDir(fs.Req{}, fs.RootID, fmt.Sprint("dir", i), 0o755, fs.Cred{})
		for k := range 1000 {
			s.MkNod(fs.Req{}, d.Node, fmt.Sprint("file", k), 0o644, 0, fs.Cred{})
		}
	}
	for b.Loop() {
		benchServer(b, mem)
	}
}
