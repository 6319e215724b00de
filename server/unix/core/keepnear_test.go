package core

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"hythe/abi"
	"hythe/idl/fs"
)

// near asks for a name's attributes as a library does that has room for others, and answers the names that
// come along, each with its mode.
func (n namer) near(path string, walk uint32) (act abi.Action, got []string) {
	n.tk.do(n.tk.init, func(c *Call) {
		c.Task, c.WantNear = n.tk.task(), true
		_, e := c.StatAt(AtCwd, path, walk)
		if e != 0 {
			n.t.Errorf("%s: %v", path, e)
		}
		if walk == 0 {
			c.Near(func(_ *Call, b []byte, s *Stat) { binary.LittleEndian.PutUint32(b, s.Mode) })
		}
		c.KeepName(0, e)
		c.KeepNear()
		for _, a := range c.Acts {
			if a.Op != abi.ActNames {
				continue
			}
			act = a
			for i := range a.A[2] {
				b := c.Chan.Out()[a.A[3]-abi.SlotOutOff+i*abi.NearSize:][:abi.NearSize]
				name := b[8:][:binary.LittleEndian.Uint64(b)]
				got = append(got, fmt.Sprintf("%s %o", name, binary.LittleEndian.Uint32(b[8+abi.NearName:])&0o777))
			}
		}
	})
	return act, got
}

// Who asks for names in order is told of those behind, as they are, until something changes.
func TestKeepNear(t *testing.T) {
	tk := newTestKernel(t)
	n := namer{t, tk}
	n.do(func(c *Call) abi.Errno { return c.Mkdir(AtCwd, "/d", 0o755) })
	file := func(i int) string { return fmt.Sprintf("/d/f%02d", i) }
	long := "/d/f05" + strings.Repeat("x", abi.NearName)
	const files = 80
	for i := range files + 1 {
		name, mode := file(i), uint32(0o600+i%8)
		if i == files {
			name = long
		}
		n.do(func(c *Call) abi.Errno {
			fd, e := open(c, name, rw, OpenCreate, mode)
			if e == 0 {
				e = c.CloseFD(fd)
			}
			return e
		})
	}
	n.do(func(c *Call) abi.Errno { return c.Unlink(AtCwd, file(7)) })
	n.do(func(c *Call) abi.Errno { return c.Chmod(at(file(8)), 0o640) })
	// run asks from file i on until others come along; how long that takes after changes is nameRest's affair.
	run := func(i int) (abi.Action, []string) {
		t.Helper()
		for range nameRest + 2 {
			for j := i - nearAfter + 1; j <= i; j++ {
				if a, got := n.near(file(j), 0); j == i && a.Op != 0 {
					return a, got
				}
			}
		}
		t.Fatalf("nothing comes along with %s", file(i))
		return abi.Action{}, nil
	}
	want := func(from int) (l []string) {
		for i := from; i < files && len(l) < abi.NearMost; i++ {
			switch i {
			case 7:
			case 8:
				l = append(l, "f08 640")
			default:
				l = append(l, fmt.Sprintf("f%02d %o", i, (0o600+i%8)&^0o022))
			}
		}
		return l
	}
	a, got := run(2)
	if !slices.Equal(got, want(3)) || a.A[0] == 0 || a.A[1] == 0 || !n.holds(a) {
		t.Errorf("came along: %v, %v", got, a)
	}
	// One of these that the library has no room for any more is answered alone.
	if a, _ := n.near(file(4), 0); a.Op != 0 {
		t.Error("what came along came again")
	}
	// Who goes on behind them gets the next ones at once; who does not, none.
	const behind = 3 + abi.NearMost + 1
	if _, got := n.near(file(behind), 0); !slices.Equal(got, want(behind+1)) {
		t.Errorf("with the next one came %v", got)
	}
	if a, _ := n.near(file(1), 0); a.Op != 0 {
		t.Error("told who goes back")
	}
	if _, got := run(files - 2); !slices.Equal(got, want(files-1)) {
		t.Errorf("at the end came %v", got)
	}
	if a, _ := n.near(file(files-1), 0); a.Op != 0 {
		t.Error("more names than there are")
	}
	for i := range 2 * nearAfter {
		if a, _ := n.near(file(i), WalkFollow); a.Op != 0 {
			t.Error("told who follows links")
		}
	}
	// What was told goes with what it says.
	for what, change := range map[string]func(c *Call) abi.Errno{
		"attributes":         func(c *Call) abi.Errno { return c.Chmod(at(file(8)), 0o640) },
		"a name":             func(c *Call) abi.Errno { return c.Rename(AtCwd, file(9), AtCwd, "/d/g", 0) },
		"a directory":        func(c *Call) abi.Errno { return c.Chmod(at("/d"), 0o711) },
		"a directory's name": func(c *Call) abi.Errno { return c.Chdir("/d") },
	} {
		a, _ := run(5)
		if n.do(change); n.holds(a) {
			t.Errorf("%s: what came along holds", what)
		}
		// and comes again with the next one, when no wish is refused any more.
		for range nameRest {
			n.ask("/none", WalkFollow)
		}
		if a, _ := n.near(file(6), 0); what != "a directory's name" && !n.holds(a) {
			t.Errorf("%s: comes along no more", what)
		}
		if what == "a name" {
			n.do(func(c *Call) abi.Errno { return c.Rename(AtCwd, "/d/g", AtCwd, file(9), 0) })
		}
	}
	// Nor is anything told of a directory that the caller may not search any more.
	n.do(func(c *Call) abi.Errno { return c.Chmod(at("/d"), 0) })
	n.do(func(c *Call) abi.Errno {
		cr := *c.Cred()
		cr.CapEff, cr.CapPerm, cr.FSUID, cr.UID, cr.EUID = 0, 0, 1000, 1000, 1000
		if !c.SetCred(&cr) {
			return abi.ENOMEM
		}
		return 0
	})
	tk.do(tk.init, func(c *Call) {
		c.Task, c.WantNear = tk.task(), true
		_, e := c.StatAt(AtCwd, file(6), 0)
		if e != abi.EACCES {
			t.Errorf("without the right: %v", e)
		}
		if c.KeepNear(); len(c.Acts) != 0 {
			t.Error("without the right: told")
		}
	})
}

// peeked is a file server of which the test sees what it is asked about names.
type peeked struct {
	fs.Server
	lookups, lists int
	during         func(name string) // while a name is looked up
}

func (p *peeked) Lookup(r fs.Req, dir fs.NodeID, name string) (fs.Entry, abi.Errno) {
	p.lookups++
	e, err := p.Server.Lookup(r, dir, name)
	if p.during != nil {
		p.during(name)
	}
	return e, err
}

func (p *peeked) ReadDirPlus(r fs.Req, dir fs.NodeID, cookie uint64, most int, plus uint32) ([]fs.DirPlus, abi.Errno) {
	p.lists++
	return p.Server.ReadDirPlus(r, dir, cookie, most, plus)
}

// unknown is a kernel that knows nothing yet of the names that make has made.
func unknown(t *testing.T, make func(c *Call) abi.Errno) (namer, *peeked) {
	t.Helper()
	tk := newTestKernel(t)
	tk.do(tk.init, func(c *Call) {
		if e := make(c); e != 0 {
			t.Fatal(e)
		}
	})
	p := &peeked{Server: tk.root}
	tk.vfs.servers["root"] = p
	tk.reopen()
	return namer{t, tk}, p
}

// TestNearUnknown: where the second name in order has to be asked for, the server is asked for all.
func TestNearUnknown(t *testing.T) {
	const files = 10
	file := func(i int) string { return fmt.Sprintf("/d/f%02d", i) }
	n, p := unknown(t, func(c *Call) abi.Errno {
		if e := c.Mkdir(AtCwd, "/d", 0o755); e != 0 {
			return e
		}
		for i := range files {
			if e := c.Mknod(AtCwd, file(i), 0o644, 0); e != 0 {
				return e
			}
		}
		return 0
	})
	told := 0
	for i := range files {
		if a, got := n.near(file(i), 0); a.Op != 0 {
			told += len(got)
		}
	}
	if p.lookups != 1+nearAfter || p.lists != 1 || told != files-nearAfter {
		t.Errorf("%d lookups, %d lists, %d names told; want %d, 1 and %d", p.lookups, p.lists, told, 1+nearAfter, files-nearAfter)
	}
}

// TestKeepNameAsked: what changes while the server is asked for a later part of a path is not kept as it was.
func TestKeepNameAsked(t *testing.T) {
	n, p := unknown(t, func(c *Call) abi.Errno {
		if e := c.Mkdir(AtCwd, "/a", 0o755); e != 0 {
			return e
		}
		if e := c.Mkdir(AtCwd, "/a/b", 0o755); e != 0 {
			return e
		}
		return c.Mkdir(AtCwd, "/a/b/f", 0o755)
	})
	other := n.tk.newProc(0)
	p.during = func(name string) {
		if name == "f" {
			p.during = nil
			n.tk.do(other, func(c *Call) {
				if e := c.Rename(AtCwd, "/a", AtCwd, "/c", 0); e != 0 {
					t.Error(e)
				}
			})
		}
	}
	if a := n.ask("/a/b/f", WalkFollow); p.during != nil || a.Op != 0 {
		t.Errorf("%v is kept, which was true before", a)
	}
	if a := n.kept("/c/b/f"); a.Op == 0 {
		t.Error("what is true now is not")
	}
}
