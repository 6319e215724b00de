package fs

import (
	"testing"

	"hythe/abi"
	"hythe/ipc"
)

// still is a Server that answers what it was made with.
type still struct {
	Server
	entry Entry
	list  []DirEntry
}

func (s *still) Lookup(Req, NodeID, string) (Entry, abi.Errno)             { return s.entry, 0 }
func (s *still) GetAttr(Req, NodeID) (Entry, abi.Errno)                    { return s.entry, 0 }
func (s *still) ReadDir(Req, NodeID, uint64, int) ([]DirEntry, abi.Errno)  { return s.list, 0 }
func (s *still) Read(_ Req, _ NodeID, _ uint64, b []byte) (int, abi.Errno) { return len(b), 0 }
func (s *still) SetAttr(Req, NodeID, *SetAttrIn) (Entry, abi.Errno)        { return s.entry, 0 }
func (s *still) Write(_ Req, _ NodeID, _ uint64, b []byte) (int, uint64, uint64, abi.Errno) {
	return len(b), 0, 0, 0
}

// BenchmarkForms is what the forms of a call cost both of its ends together: the request
// stored and decoded, the answer stored and read, without the binding between them.
func BenchmarkForms(b *testing.B) {
	s := &still{}
	for range 32 {
		s.list = append(s.list, DirEntry{1, 2, 3, "a name of a file"})
	}
	in, out, data := make([]byte, abi.SlotInSize), make([]byte, abi.SlotOutSize), make([]byte, 4096)
	var q ipc.Request
	run := func(name string, nr uint64, store func(w *[8]uint64, b []byte) []byte, load func(w uint64, b []byte) bool) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				q.Nr, q.Args = nr, [8]uint64{}
				n := len(store(&q.Args, in[:0]))
				w, k, err := dispatch(1, &q, in[:n:n], out, s, nil)
				if err != 0 || !load(w, out[:k:k]) {
					b.Fatal(err)
				}
			}
		})
	}
	entry := func(w uint64, b []byte) bool { _, ok := loadLookup(w, b); return ok }
	run("Lookup", OpLookup, func(w *[8]uint64, b []byte) []byte { return storeLookup(w, b, 1, "a name of a file") }, entry)
	run("GetAttr", OpGetAttr, func(w *[8]uint64, b []byte) []byte { return storeGetAttr(w, b, 1) }, entry)
	a := &SetAttrIn{}
	run("SetAttr", OpSetAttr, func(w *[8]uint64, b []byte) []byte { return storeSetAttr(w, b, 1, a) }, entry)
	run("Read", OpRead, func(w *[8]uint64, b []byte) []byte { return storeRead(w, b, 1, 0, data) },
		func(_ uint64, b []byte) bool { return copy(data, b) == len(data) })
	run("Write", OpWrite, func(w *[8]uint64, b []byte) []byte { return storeWrite(w, b, 1, 0, data) },
		func(w uint64, b []byte) bool { n, _, _, ok := loadWrite(w, b); return ok && n == len(data) })
	run("ReadDir", OpReadDir, func(w *[8]uint64, b []byte) []byte { return storeReadDir(w, b, 1, 0, 4096) },
		func(w uint64, b []byte) bool { l, ok := loadReadDir(w, b); return ok && len(l) == len(s.list) })
}
