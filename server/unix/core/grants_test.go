package core

import (
	"testing"

	"hythe/abi"
)

// TestKeptGrants: a file's object is granted to a task once for all its mappings, until its
// descriptor is closed, another object has its place or its name, or the task has two threads.
func TestKeptGrants(t *testing.T) {
	g := newGuest(t)
	fds := []int32{}
	g.call(func(c *Call) {
		for _, name := range []string{"/a", "/b", "/c", "/d", "/e"} {
			f, e := c.OpenAt(AtCwd, name, AccessRead|AccessWrite, OpenCreate, 0o600, 0)
			if e != 0 {
				t.Fatal(name, e)
			}
			fd, e := c.InstallFD(f, 0, 0)
			if e != 0 {
				t.Error(name, e)
			}
			fds = append(fds, fd)
		}
		c.Ret(0)
	})
	drops := func(c *Call) (tags []uint64) {
		for _, a := range c.Acts {
			if a.Op == abi.ActDropGrant {
				tags = append(tags, a.A[0])
			}
		}
		return tags
	}
	var tag uint64
	var kept bool
	grant := func(i int, o ObjectName, write bool) *Call {
		return g.call(func(c *Call) {
			f, _, e := c.File(fds[i])
			if e != 0 {
				t.Error(e)
			}
			tag, kept = c.GrantFile(f, o, write)
			c.Ret(0)
		})
	}
	grant(0, 7, false)
	first := tag
	if grant(0, 7, false); tag != first || !kept {
		t.Errorf("tag %#x, kept %v; first %#x", tag, kept, first)
	}
	if grant(0, 7, true); tag == first || kept {
		t.Error("a grant to write is kept")
	}
	if grant(0, 8, false); tag == first || !kept {
		t.Error("another object has the first one's grant")
	}
	if c := g.call(func(c *Call) { ret(0, c.CloseFD(fds[0]))(c) }); len(drops(c)) != 2 || drops(c)[0] != first {
		t.Errorf("closed: %+v", c.Acts)
	}
	if c := g.call(func(c *Call) { ret(0, c.CloseFD(fds[1]))(c) }); len(c.Acts) != 0 {
		t.Errorf("closed: %+v", c.Acts)
	}
	// A name that was given up may be another object's.
	grant(2, 9, false)
	first = tag
	g.call(func(c *Call) { c.K.DropObject(9); c.Ret(0) })
	if grant(3, 9, false); tag == first {
		t.Error("an object that has another's name has its grant")
	}
	// No other grant has the tag of one that is kept, also when tags begin again.
	g.Enter()
	g.MutGlobals().NextToken = first&(1<<23-1) - 1
	if n := g.NextGrant(); n == first || g.grants.tags[n] {
		t.Errorf("tag %#x twice", n)
	}
	g.Leave()
	for o := ObjectName(10); o < 14; o++ {
		c := grant(4, o, false)
		if n := len(g.tasks[g.task].kept); n > mostKept || o > 11 && len(drops(c)) != 1 {
			t.Errorf("%d are kept; %+v", n, c.Acts)
		}
	}
	const flags = CloneVM | CloneFS | CloneFiles | CloneSighand | CloneThread
	c := g.call(func(c *Call) { v, e := c.Clone(&CloneArgs{Flags: flags, SP: 0x9000}); ret(uint64(v), e)(c) })
	if len(drops(c)) != mostKept || c.Acts[len(c.Acts)-1].Op != abi.ActThread || len(g.grants.tasks)+len(g.grants.tags) != 0 {
		t.Errorf("a second thread: %+v", c.Acts)
	}
	if grant(4, 10, false); kept {
		t.Error("kept for two threads")
	}
	g.check()
}
