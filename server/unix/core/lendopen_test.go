package core

import (
	"testing"

	"hythe/abi"
)

// TestLendOpened: who asks for the offset of what it opens is lent it with the descriptor, with the
// file's flags, until it does not ask any more.
func TestLendOpened(t *testing.T) {
	tk := newTestKernel(t)
	shown := func(f *File) uint32 { return 0x100 | f.Flags }
	// opened opens a file and answers its descriptor, and what the library was told then.
	opened := func(c *Call, name string, access, flags uint32) (fd int32, l *abi.Lent, lent bool) {
		t.Helper()
		c.Task = tk.task()
		fd, e := open(c, name, access, flags, 0o644)
		if e != 0 {
			t.Fatal(e)
		}
		n := len(c.Acts)
		c.LendOpened(fd, shown)
		l = &tk.host.records(c.Task)[fd]
		for _, a := range c.Acts[n:] {
			if a.Op != abi.ActLend || a.A[0] != uint64(fd) || a.A[2] != 0 {
				t.Errorf("%s: %+v", name, a)
			}
			lent = true
			begin(l, a)
			told := tk.host.open[c.Task][fd]
			want := uint64(abi.LentOpen | 0x100 | uint64(flags&^OpenNonblock))
			if no := l.Pos &^ abi.LentPos >> abi.LentShift; l.Pos&abi.LentPos == 0 || told != want|no<<abi.LentOpenNo {
				t.Errorf("%s: Pos %x, told %x, want %x", name, l.Pos, told, want)
			}
		}
		return fd, l, lent
	}
	use := func(name string, access, flags uint32, ask bool) (lent bool) {
		t.Helper()
		tk.do(tk.init, func(c *Call) {
			fd, _, was := opened(c, name, access, flags)
			if lent = was; !lent && ask {
				c.NoteMoved(fd)
			}
			if e := c.CloseFD(fd); e != 0 {
				t.Fatal(e)
			}
			if tk.host.open[c.Task] != nil && tk.host.open[c.Task][fd] != 0 {
				t.Errorf("%s: still told when it is closed", name)
			}
		})
		return lent
	}
	if use("/a", rw, OpenCreate, true) {
		t.Error("told of one that is written to")
	}
	for range 2 * movedMost {
		if use("/a", AccessRead, 0, false) {
			t.Fatal("lent though nobody asks")
		}
	}
	if use("/a", AccessRead, 0, true) {
		t.Error("lent before it asked")
	}
	n := 0
	for range 2 * movedAgain {
		if use("/a", AccessRead, OpenNonblock, true) {
			n++
		}
	}
	if n != 2*movedAgain-2 {
		t.Errorf("lent %d times of %d", n, 2*movedAgain)
	}
	for _, what := range []struct {
		name   string
		access uint32
		flags  uint32
	}{{"/a", rw, 0}, {"/a", AccessWrite, 0}, {"/", AccessRead, OpenDirectory}} {
		if use(what.name, what.access, what.flags, false) {
			t.Errorf("lent: %+v", what)
		}
	}
	// Offset and flag are what the library has made of them, when somebody looks.
	tk.do(tk.init, func(c *Call) {
		fd, l, lent := opened(c, "/a", AccessRead, OpenNonblock)
		if !lent || l.Pos&abi.LentNonblock == 0 || l.Pos&abi.LentAt != 0 {
			t.Fatalf("%v, %x", lent, l.Pos)
		}
		l.Pos = l.Pos&^abi.LentNonblock | abi.LentAt
		if _, file, _ := c.File(fd); file.Off != abi.LentAt || file.Flags&OpenNonblock != 0 || l.Pos&abi.LentPos != 0 {
			t.Errorf("offset %d, flags %x", file.Off, file.Flags)
		}
		g, l, lent := opened(c, "/a", AccessRead, 0)
		if !lent {
			t.Fatal("not lent")
		}
		for _, forged := range []uint64{0, ^uint64(0), 1 << 62, abi.LentPos, l.Pos | abi.LentOffset} {
			l.Pos = forged
			if _, file, _ := c.File(g); file.Off < 0 || file.Off > abi.LentAt {
				t.Errorf("%x: offset %d", forged, file.Off)
			}
		}
		for _, fd := range []int32{fd, g} {
			if e := c.CloseFD(fd); e != 0 {
				t.Error(e)
			}
		}
	})
	// A second holder, and the end of it.
	tk.do(tk.init, func(c *Call) {
		fd, l, lent := opened(c, "/a", AccessRead, 0)
		if !lent {
			t.Fatal("not lent")
		}
		l.Pos += 7
		d, e := c.Dup(fd, 0, 0)
		if _, file, _ := c.File(d); e != 0 || file.Off != 7 || l.Pos&abi.LentPos != 0 {
			t.Errorf("%v: offset %d, %x", e, file.Off, l.Pos)
		}
		_, _ = c.CloseFD(fd), c.CloseFD(d)
	})
	i := 0
	for use("/a", AccessRead, 0, false) || i%movedAgain != 0 {
		if i++; i > 6*movedAgain {
			t.Fatal("still lent though nobody asks")
		}
	}
	// An epoll set is known to be open until it is not.
	tk.do(tk.init, func(c *Call) {
		c.Task = tk.task()
		set, e := c.NewEpoll(0)
		if e != 0 {
			t.Fatal(e)
		}
		c.ToldOpen(set)
		if tk.host.open[c.Task][set] != abi.LentOpen {
			t.Error("not told of the set")
		}
		if e := c.CloseFD(set); e != 0 || tk.host.open[c.Task][set] != 0 {
			t.Errorf("%v: told of %x", e, tk.host.open[c.Task][set])
		}
		fd, _, _ := opened(c, "/a", AccessRead, 0)
		if c.ToldOpen(fd); tk.host.open[c.Task][fd] == abi.LentOpen {
			t.Error("told that a file is a set")
		}
	})
}
