package core

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/server/fs/object"
	"hythe/server/fs/tree"
	"hythe/store"
)

// whole is a lower layer that reads files for who asks for some at once.
type whole struct {
	*tree.Server
	old              bool // it does not know ReadFiles
	reads, asks, all int  // files read one by one; questions for some at once, and for how many
	most             int  // files of the largest question
	opens            int
	meddle           func(list []fs.FileData) []fs.FileData
}

func (w *whole) Read(r fs.Req, n fs.NodeID, off uint64, buf []byte) (int, abi.Errno) {
	w.reads++
	return w.Server.Read(r, n, off, buf)
}

func (w *whole) Open(r fs.Req, n fs.NodeID, write, trunc bool) (fs.Entry, abi.Errno) {
	w.opens++
	return w.Server.Open(r, n, write, trunc)
}

func (w *whole) ReadFiles(_ fs.Req, nodes []fs.NodeID, most int) (list []fs.FileData, err abi.Errno) {
	if w.old {
		return nil, abi.ENOSYS
	}
	w.asks++
	w.all += len(nodes)
	w.most = max(w.most, len(nodes))
	for _, n := range nodes {
		e, err := w.GetAttr(fs.Req{}, n)
		if err != 0 || e.Attr.Mode&fs.TypeMask != fs.TypeReg || e.Attr.Size > uint64(most) {
			continue
		}
		b := make([]byte, e.Attr.Size)
		if k, err := w.Server.Read(fs.Req{}, n, 0, b); err == 0 && k == len(b) {
			list = append(list, fs.FileData{File: e, Data: b})
		}
	}
	if w.meddle != nil {
		list = w.meddle(list)
	}
	return list, 0
}

// readRig is an overlay over directories of small files, with a clock that the test sets.
type readRig struct {
	t    *testing.T
	low  *whole
	s    *tree.Server
	b    *below
	time time.Time
}

func (r *readRig) name(i int) string { return fmt.Sprintf("f%03d", (i*37)%256) } // not in order

func (r *readRig) text(dir string, i int) string {
	return strings.Repeat(fmt.Sprint(dir, " ", i, "\n"), 1+i%9)
}

func newReadRig(t *testing.T, ttl uint64, dirs map[string]int) *readRig {
	r := &readRig{t: t, low: &whole{Server: plainFor(t, ttl)}, time: time.Unix(1000, 0)}
	for dir, files := range dirs {
		d, err := r.low.MkDir(fs.Req{}, fs.RootID, dir, 0o755, fs.Cred{})
		if err != 0 {
			t.Fatal(err)
		}
		for i := range files {
			e, err := r.low.MkNod(fs.Req{}, d.Node, r.name(i), fs.TypeReg|0o644, 0, fs.Cred{})
			if err != 0 {
				t.Fatal(err)
			}
			r.store(e.Node, r.text(dir, i))
		}
	}
	mem := make([]byte, 16<<20)
	h, err := store.Format(mem, Version)
	if err != nil {
		t.Fatal(err)
	}
	objs := object.NewLocal()
	t.Cleanup(objs.Close)
	s, b, e := open(h, Config{Inodes: 5000, Flows: 500}, r.low, objs, clock, nil)
	if e != 0 {
		t.Fatal(e)
	}
	r.s, r.b = s, b
	r.b.now = func() time.Time { return r.time }
	return r
}

// store makes text what is in a lower file.
func (r *readRig) store(n fs.NodeID, text string) {
	r.t.Helper()
	if _, err := r.low.SetAttr(fs.Req{}, n, &fs.SetAttrIn{Valid: fs.SetSize}); err != 0 {
		r.t.Fatal(err)
	}
	if _, _, _, err := r.low.Write(fs.Req{}, n, 0, []byte(text)); err != 0 {
		r.t.Fatal(err)
	}
}

// list reads a directory, and answers the nodes of its files by name.
func (r *readRig) list(dir string) (names []string, nodes map[string]fs.NodeID) {
	r.t.Helper()
	d, err := r.s.Lookup(fs.Req{}, fs.RootID, dir)
	if err != 0 {
		r.t.Fatal(err)
	}
	nodes = map[string]fs.NodeID{}
	for cookie := uint64(0); ; {
		l, err := r.s.ReadDirPlus(fs.Req{}, d.Node, cookie, 4000, 600)
		if err != 0 {
			r.t.Fatal(err)
		}
		if len(l) == 0 {
			return names, nodes
		}
		for _, e := range l {
			if e.Known == 0 {
				r.t.Fatalf("%s is not known", e.Name)
			}
			names = append(names, e.Name)
			nodes[e.Name] = e.Found.Node
		}
		cookie = l[len(l)-1].Next
	}
}

// open opens a file to read, reads it and closes it.
func (r *readRig) open(n fs.NodeID) string {
	r.t.Helper()
	e, ok, b, err := r.s.OpenRead(fs.Req{}, n, readSmall)
	if err != 0 || ok && uint64(len(b)) != e.Attr.Size {
		r.t.Fatalf("%v, %d bytes of %d", err, len(b), e.Attr.Size)
	}
	if !ok {
		b = make([]byte, readSmall)
		k, err := r.s.Read(fs.Req{}, n, 0, b)
		if err != 0 {
			r.t.Fatal(err)
		}
		b = b[:k]
	}
	r.s.Release(fs.Req{}, n)
	return string(b)
}

func (r *readRig) want(dir string) map[string]string {
	m := map[string]string{}
	for i := range 256 {
		m[r.name(i)] = r.text(dir, i)
	}
	return m
}

// TestReadAhead: who opens the files of a directory one after the other, as listed or by name, has them read
// from the lower server together; each is what it would be by itself.
func TestReadAhead(t *testing.T) {
	for _, how := range []string{"listed", "sorted", "kept open", "old server"} {
		t.Run(how, func(t *testing.T) {
			r := newReadRig(t, 1e9, map[string]int{"a": 100, "b": 100})
			r.low.old = how == "old server"
			for _, dir := range []string{"a", "b"} {
				names, nodes := r.list(dir)
				if how == "sorted" {
					slices.Sort(names)
				}
				want := r.want(dir)
				for _, name := range names {
					got := ""
					if how == "kept open" {
						b := make([]byte, 512)
						k, err := r.s.Read(fs.Req{}, nodes[name], 0, b)
						if err != 0 {
							t.Fatal(err)
						}
						got = string(b[:k])
					} else {
						got = r.open(nodes[name])
					}
					if got != want[name] {
						t.Fatalf("%s: %q, want %q", name, got, want[name])
					}
				}
			}
			if how == "old server" {
				if r.low.reads != 200 {
					t.Errorf("%d files were read", r.low.reads)
				}
				return
			}
			if r.low.reads > 5 || r.low.asks > 14 || r.low.most > readFiles {
				t.Errorf("%d files were read one by one, %d questions, of at most %d", r.low.reads, r.low.asks, r.low.most)
			}
			if len(r.b.reads.held) != 0 || r.b.reads.bytes != 0 {
				t.Errorf("%d files, %d bytes are kept", len(r.b.reads.held), r.b.reads.bytes)
			}
			r.s.Check()
		})
	}
}

// TestReadAheadStale: what was read ahead is given to nobody who must see more: after its time, after a change that the
// client has heard of, or when the file is the tree's own.
func TestReadAheadStale(t *testing.T) {
	r := newReadRig(t, 1e9, map[string]int{"a": 30})
	names, nodes := r.list("a")
	want := r.want("a")
	for _, name := range names[:3] {
		r.open(nodes[name])
	}
	if len(r.b.reads.held) < 5 {
		t.Fatalf("%d are kept", len(r.b.reads.held))
	}
	lowOf := func(name string) fs.NodeID {
		n, err := walk(r.low, "a/"+name)
		if err != 0 {
			t.Fatal(err)
		}
		return n
	}
	anew := func() { // the lower server is asked again
		clear(r.b.lists.dirs)
		r.list("a")
	}
	// The host's is another one, and the client has heard so.
	r.store(lowOf(names[3]), "other text")
	anew()
	if got := r.open(nodes[names[3]]); got != "other text" {
		t.Errorf("a file that was changed: %q", got)
	}
	// Of the same length.
	r.store(lowOf(names[4]), strings.Repeat("x", len(want[names[4]])))
	anew()
	if got := r.open(nodes[names[4]]); got != strings.Repeat("x", len(want[names[4]])) {
		t.Errorf("a file that was written over: %q", got)
	}
	// The guest's own.
	n := nodes[names[5]]
	if _, err := r.s.Open(fs.Req{}, n, true, false); err != 0 {
		t.Fatal(err)
	}
	if _, _, _, err := r.s.Write(fs.Req{}, n, 0, []byte("OWN")); err != 0 {
		t.Fatal(err)
	}
	r.s.Release(fs.Req{}, n)
	if got := r.open(n); got != "OWN"+want[names[5]][min(3, len(want[names[5]])):] {
		t.Errorf("a file of the tree's: %q", got)
	}
	// Later.
	r.store(lowOf(names[6]), "later text")
	r.time = r.time.Add(1100 * time.Millisecond)
	if got := r.open(nodes[names[6]]); got != "later text" {
		t.Errorf("a file that was read long ago: %q", got)
	}
	// A node that is dropped takes what was kept along.
	held := len(r.b.reads.held)
	if held == 0 {
		t.Fatal("nothing is kept")
	}
	for _, name := range names {
		r.s.Forget(fs.Req{}, nodes[name], 1<<40)
	}
	if len(r.b.reads.held) != 0 || r.b.reads.bytes != 0 {
		t.Errorf("%d files, %d bytes are kept of nodes that are gone", len(r.b.reads.held), r.b.reads.bytes)
	}
	r.s.Check()
}

// TestReadAheadBounded: who opens files in vain has few others read, and little is kept.
func TestReadAheadBounded(t *testing.T) {
	dirs := map[string]int{}
	for i := range 60 {
		dirs[fmt.Sprint("d", i)] = 40
	}
	r := newReadRig(t, 1e18, dirs)
	opened := 0
	for i := range 60 {
		names, nodes := r.list(fmt.Sprint("d", i))
		for _, name := range names[:5] { // as if all were to come
			r.open(nodes[name])
			opened++
		}
	}
	if r.low.all > 2*opened {
		t.Errorf("%d files were read for %d that were opened", r.low.all, opened)
	}
	a := &r.b.reads
	if len(a.dirs) > readDirs || len(a.order) != len(a.dirs) {
		t.Errorf("%d directories are known, %d in order", len(a.dirs), len(a.order))
	}
	for i := range 3000 {
		list := make([]fs.DirPlus, 1+i*13%1500)
		for j := range list {
			list[j] = fs.DirPlus{Known: 1, Name: fmt.Sprint(j), Found: fs.Entry{Node: fs.NodeID(j), Attr: fs.Attr{Mode: fs.TypeReg, Size: 1}}}
		}
		a.listed(tree.Ref(1000+i%900), uint32(i%3), i%2 == 0, list)
		sum := 0
		for _, key := range a.order {
			sum += len(a.dirs[key].files)
		}
		if sum != a.files || sum > readListed+readOfDir || len(a.order) != len(a.dirs) || len(a.order) > readDirs {
			t.Fatalf("%d files of %d directories, counted %d, %d in order", sum, len(a.dirs), a.files, len(a.order))
		}
	}
	for i := range 4 * readHeldFiles {
		a.hold(fs.NodeID(i%700), heldFile{data: make([]byte, 1+i%5000)})
		sum := 0
		for _, h := range a.held {
			sum += len(h.data)
		}
		if sum != a.bytes || sum > readHeldBytes || len(a.held) > readHeldFiles || len(a.queue) > readHeldFiles {
			t.Fatalf("%d files, %d bytes, counted %d, %d in the queue", len(a.held), sum, a.bytes, len(a.queue))
		}
	}
}

// TestReadAheadNonsense: a lower server that answers what it was not asked, or what does not fit together, is
// believed nothing.
func TestReadAheadNonsense(t *testing.T) {
	for name, meddle := range map[string]func(list []fs.FileData) []fs.FileData{
		"nothing": func([]fs.FileData) []fs.FileData { return nil },
		"short":   func(l []fs.FileData) []fs.FileData { l[0].Data = l[0].Data[:1]; l[1].Data = nil; return l },
		"long": func(l []fs.FileData) []fs.FileData {
			for i := range l {
				l[i].Data = append(bytes.Clone(l[i].Data), 'x')
			}
			return l
		},
		"others": func(l []fs.FileData) []fs.FileData {
			for i := range l {
				l[i].File.Node += 1 << 32
			}
			return l
		},
		"root": func(l []fs.FileData) []fs.FileData {
			for i := range l {
				l[i].File.Node = fs.RootID
			}
			return l
		},
		"not to be kept": func(l []fs.FileData) []fs.FileData {
			for i := range l {
				l[i].File.TTL = 0
			}
			return l
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReadRig(t, 1e9, map[string]int{"a": 50})
			r.low.meddle = func(l []fs.FileData) []fs.FileData {
				if len(l) < 2 {
					return l
				}
				return meddle(l)
			}
			names, nodes := r.list("a")
			want := r.want("a")
			for _, name := range names {
				if got := r.open(nodes[name]); got != want[name] {
					t.Errorf("%s: %q, want %q", name, got, want[name])
				}
			}
			if r.low.asks == 0 {
				t.Error("nothing was asked for")
			}
			if r.low.asks > 10+len(names)/2 {
				t.Errorf("asked %d times for nothing", r.low.asks)
			}
			r.s.Check()
		})
	}
}
