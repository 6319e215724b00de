package core

import (
	"fmt"
	"testing"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/server/fs/object"
	"hythe/server/fs/tree"
	"hythe/store"
)

// counted is a lower layer that counts what it is asked.
type counted struct {
	*tree.Server
	lookups, lists, forgets int
}

func (c *counted) Lookup(r fs.Req, dir fs.NodeID, name string) (fs.Entry, abi.Errno) {
	c.lookups++
	return c.Server.Lookup(r, dir, name)
}

func (c *counted) ReadDirPlus(r fs.Req, dir fs.NodeID, cookie uint64, most int, plus uint32) ([]fs.DirPlus, abi.Errno) {
	c.lists++
	return c.Server.ReadDirPlus(r, dir, cookie, most, plus)
}

func (c *counted) Forget(r fs.Req, id fs.NodeID, n uint64) {
	c.forgets++
	c.Server.Forget(r, id, n)
}

// asks checks what was asked since the last time.
func (c *counted) asks(t *testing.T, what string, lookups, lists int) {
	t.Helper()
	if c.lookups != lookups || c.lists != lists {
		t.Errorf("%s: %d lookups and %d lists, want %d and %d", what, c.lookups, c.lists, lookups, lists)
	}
	c.lookups, c.lists = 0, 0
}

// TestAhead: when some names of a lower directory were asked for, the others are learnt at once;
// what they are and who may be forgotten is as if each was asked for by itself.
func TestAhead(t *testing.T) {
	const files = 20
	low := &counted{Server: plainFor(t, 1e18)}
	name := func(i int) string { return fmt.Sprint("f", i) }
	dir := func(name string, files int) {
		d, err := low.MkDir(fs.Req{}, fs.RootID, name, 0o755, fs.Cred{})
		if err != 0 {
			t.Fatal(err)
		}
		for i := range files {
			if _, err := low.MkNod(fs.Req{}, d.Node, fmt.Sprint("f", i), fs.TypeReg|0o600|uint32(i), 0, fs.Cred{}); err != 0 {
				t.Fatal(err)
			}
		}
	}
	dir("a", files)
	for i := range 8 {
		dir(fmt.Sprint("unused", i), files)
	}
	dir("seldom", files)
	dir("large", 2*aheadMost)
	mem := make([]byte, 16<<20)
	if _, err := store.Format(mem, Version); err != nil {
		t.Fatal(err)
	}
	objs := object.NewLocal()
	defer objs.Close()
	start := func() (*tree.Server, *tree.Tree) {
		h, err := store.Open(mem, Version)
		if err != nil {
			t.Fatal(err)
		}
		s, tr, e := New(h, Config{Inodes: 5000, Flows: 500}, low, objs, clock, nil)
		if e != 0 {
			t.Fatal(e)
		}
		return s, tr
	}
	s, tr := start()
	lookup := func(dir fs.NodeID, name string) fs.Entry {
		t.Helper()
		e, err := s.Lookup(fs.Req{}, dir, name)
		if err != 0 {
			t.Errorf("%s: %v", name, err)
		}
		return e
	}
	a := lookup(fs.RootID, "a")
	low.asks(t, "the directory", 1, 0)
	if err := s.Unlink(fs.Req{}, a.Node, name(files-1)); err != 0 { // looks it up, and hides it
		t.Error(err)
	}
	low.lookups = 0
	known := map[fs.NodeID]bool{}
	for i := range files - 1 {
		e := lookup(a.Node, name(i))
		if e.Attr.Mode != fs.TypeReg|0o600|uint32(i) || known[e.Node] {
			t.Errorf("%s is %+v", name(i), e)
		}
		known[e.Node] = true
	}
	low.asks(t, "its files", aheadAfter-1, 1)
	if _, err := s.Lookup(fs.Req{}, a.Node, name(files-1)); err != abi.ENOENT {
		t.Errorf("a name that is hidden: %v", err)
	}
	if err := s.Unlink(fs.Req{}, a.Node, name(0)); err != 0 {
		t.Error(err)
	}
	if _, err := s.Lookup(fs.Req{}, a.Node, name(0)); err != abi.ENOENT {
		t.Errorf("a name that is hidden after it was learnt: %v", err)
	}
	// Who is wrong waits longer the next time.
	for i := range 8 {
		d := lookup(fs.RootID, fmt.Sprint("unused", i))
		for i := range aheadAfter {
			lookup(d.Node, name(i))
		}
	}
	low.lookups, low.lists = 0, 0
	d := lookup(fs.RootID, "seldom")
	for i := range aheadAfter + 1 {
		lookup(d.Node, name(i))
	}
	if low.lists != 0 {
		t.Error("looked at names of which few of the last ones were asked for")
	}
	// A large directory is looked at once at most.
	d = lookup(fs.RootID, "large")
	low.lists = 0
	for i := range 2 * aheadMost {
		lookup(d.Node, name(i))
	}
	if low.lists != 1 {
		t.Errorf("a large directory was listed %d times", low.lists)
	}
	// Nodes of whom nobody knows are given back, also in the next incarnation; the others not.
	idles := func() (n int) {
		tr.Each(func(_ tree.Ref, in *tree.Inode) bool {
			if in.LowerNode != 0 && idle(in) {
				n++
			}
			return true
		})
		return n
	}
	had := idles()
	if had < 2*files {
		t.Fatalf("only %d nodes of whom nobody knows", had)
	}
	s, tr = start()
	defer func(n int) { aheadNodes = n }(aheadNodes)
	aheadNodes = files
	low.forgets = 0
	dirs := []string{"b0", "b1"}
	for _, n := range dirs {
		dir(n, files)
		d := lookup(fs.RootID, n)
		for i := range aheadAfter {
			lookup(d.Node, name(i))
		}
	}
	if n := idles(); n > 2*files || low.forgets < had-2*files {
		t.Errorf("%d nodes of whom nobody knows are left of %d, and %d were given back", n, had, low.forgets)
	}
	for i := 1; i < files-1; i++ {
		if e := lookup(a.Node, name(i)); !known[e.Node] {
			t.Errorf("%s is another node than it was", name(i))
		}
	}
}

// TestAheadNoRoom: names for which there is no room are given back to the lower server, and not looked at again.
func TestAheadNoRoom(t *testing.T) {
	const files = 20
	low := &counted{Server: plainFor(t, 1e18)}
	d, err := low.MkDir(fs.Req{}, fs.RootID, "a", 0o755, fs.Cred{})
	if err != 0 {
		t.Fatal(err)
	}
	for i := range files {
		if _, err := low.MkNod(fs.Req{}, d.Node, fmt.Sprint("f", i), fs.TypeReg|0o600, 0, fs.Cred{}); err != 0 {
			t.Fatal(err)
		}
	}
	mem := make([]byte, 16<<20)
	h, e := store.Format(mem, Version)
	if e != nil {
		t.Fatal(e)
	}
	objs := object.NewLocal()
	defer objs.Close()
	s, _, err := New(h, Config{Inodes: 10, Flows: 500}, low, objs, clock, nil)
	if err != 0 {
		t.Fatal(err)
	}
	a, err := s.Lookup(fs.Req{}, fs.RootID, "a")
	if err != 0 {
		t.Fatal(err)
	}
	for i := range aheadAfter {
		if _, err := s.Lookup(fs.Req{}, a.Node, fmt.Sprint("f", i)); err != 0 {
			t.Errorf("f%d: %v", i, err)
		}
	}
	if low.lists != 1 || low.forgets != files-aheadAfter {
		t.Errorf("%d lists, %d names given back, want 1 and %d", low.lists, low.forgets, files-aheadAfter)
	}
	for i := range aheadAfter { // those are as they were
		if _, err := s.Lookup(fs.Req{}, a.Node, fmt.Sprint("f", i)); err != 0 {
			t.Errorf("f%d: %v", i, err)
		}
	}
	if low.lists != 1 {
		t.Error("looked at once more")
	}
}
