package core

import (
	"slices"
	"testing"

	"hythe/abi"
)

func at(path string) Target { return Target{Dir: AtCwd, Path: path, Walk: WalkFollow} }

// namer asks for a name as a library does that has asked for it before.
type namer struct {
	t  *testing.T
	tk *testKernel
}

// do makes a call that succeeds.
func (n namer) do(fn func(c *Call) abi.Errno) {
	n.t.Helper()
	n.tk.do(n.tk.init, func(c *Call) {
		if e := fn(c); e != 0 {
			n.t.Error(e)
		}
	})
}

// ask answers the action that a stat of path came with, or none.
func (n namer) ask(path string, walk uint32) (act abi.Action) {
	n.tk.do(n.tk.init, func(c *Call) {
		c.Task, c.WantName = n.tk.task(), true
		_, e := c.StatAt(AtCwd, path, walk)
		if e == 0 {
			c.CopyOut(guestBase, make([]byte, 144))
		}
		c.KeepName(0, e)
		for _, a := range c.Acts {
			if a.Op == abi.ActName {
				act = a
			}
		}
	})
	return act
}

// kept asks until the answer is to be kept, which has to be soon.
func (n namer) kept(path string) abi.Action {
	n.t.Helper()
	for range nameRest + 3 {
		if a := n.ask(path, WalkFollow); a.Op != 0 {
			return a
		}
	}
	n.t.Fatalf("%s: asked so often, and not kept", path)
	return abi.Action{}
}

// holds says whether an answer holds still.
func (n namer) holds(a abi.Action) bool {
	w := n.tk.host.told[n.tk.task()]
	return w[abi.ToldNames] == a.A[0] && (a.A[1] == 0 || w[abi.ToldAttrs] == a.A[1])
}

// An answer about a name holds until something changes that it says, or where the name
// leads; one about no file does not depend on any's attributes.
func TestKeepName(t *testing.T) {
	tk := newTestKernel(t)
	n := namer{t, tk}
	n.do(func(c *Call) abi.Errno { return c.Mkdir(AtCwd, "/d", 0o755) })
	for _, name := range []string{"/d/a", "/d/b"} {
		n.do(func(c *Call) abi.Errno {
			fd, e := open(c, name, rw, OpenCreate, 0o644)
			if e == 0 {
				e = c.CloseFD(fd)
			}
			return e
		})
	}
	missing := ^uint64(abi.ENOENT) + 1
	a, b, none := n.kept("/d/a"), n.kept("/d/b"), n.kept("/d/none")
	if a.A[1] == 0 || a.A[4] != 144 || a.A[2] != 0 || none.A[1] != 0 || none.A[4] != 0 || none.A[2] != missing || a.A[0] != b.A[0] {
		t.Errorf("kept: %v, %v, %v", a, b, none)
	}
	n.do(func(c *Call) abi.Errno { return c.Chmod(at("/d/a"), 0o600) })
	if n.holds(a) || n.holds(b) || !n.holds(none) {
		t.Errorf("after chmod of a file: %t %t %t", n.holds(a), n.holds(b), n.holds(none))
	}
	numbers := []uint64{a.A[0], a.A[1]}
	for _, x := range []struct {
		what   string
		change func(c *Call) abi.Errno
	}{
		{"another name", func(c *Call) abi.Errno { return c.Mkdir(AtCwd, "/x", 0o755) }},
		{"a rename", func(c *Call) abi.Errno { return c.Rename(AtCwd, "/d/b", AtCwd, "/d/b", 0) }},
		{"a name less", func(c *Call) abi.Errno { return c.Unlink(AtCwd, "/d/b") }},
		{"a directory's rights", func(c *Call) abi.Errno {
			return c.Chmod(at("/d"), 0o700)
		}},
		{"another directory", func(c *Call) abi.Errno { return c.Chdir("/d") }},
		{"other rights", func(c *Call) abi.Errno {
			cr := *c.Cred()
			if !c.SetCred(&cr) {
				return abi.ENOMEM
			}
			return 0
		}},
	} {
		what, change := x.what, x.change
		none, a := n.kept("/d/none"), n.kept("/d/a")
		n.do(change)
		if (what != "a rename") == n.holds(none) || (what != "a rename") == n.holds(a) {
			t.Errorf("%s: hold %t %t", what, n.holds(none), n.holds(a))
		}
		if what != "a rename" { // after which they hold, and come again
			numbers = append(numbers, none.A[0], a.A[1])
		}
	}
	// The next incarnation's numbers are others: what its library still has does not hold.
	tk.reopen()
	tk.clock.Advance(1e6)
	again := n.kept("/d/a")
	numbers = append(numbers, again.A[0], again.A[1])
	for i, v := range numbers {
		if v == 0 || i > 2 && slices.Contains(numbers[:i-2], v) {
			t.Errorf("number %d of %v came twice", i, numbers)
		}
	}
}

// What is not to be kept: of core file systems, of tasks that share themselves, what others see.
func TestKeepNoName(t *testing.T) {
	tk := newTestKernel(t)
	n := namer{t, tk}
	tk.do(tk.init, func(c *Call) { want(t, "mkdir", c.Mkdir(AtCwd, "/dev", 0o755), 0) })
	tk.Enter()
	want(t, "mount", tk.MountFS("/dev", "dev", "devtmpfs", "dev", MountNosuid), 0)
	tk.Leave()
	first := n.kept("/none")
	for range 2 * nameRest {
		if a := n.ask("/dev/null", WalkFollow); a.Op != 0 {
			t.Fatalf("of a device server: %v", a)
		}
	}
	tk.do(tk.init, func(c *Call) { c.MutProc().Flags |= ProcVfork })
	if a := n.ask("/none", WalkFollow); a.Op != 0 {
		t.Errorf("of a child in its parent's task: %v", a)
	}
	tk.do(tk.init, func(c *Call) { c.MutProc().Flags &^= ProcVfork })
	if a := n.ask("/none", WalkFollow); a != first {
		t.Errorf("%v, then %v", first, a)
	}
	tk.do(tk.init, func(c *Call) {
		c.Task, c.WantName = tk.task(), true
		if _, e := c.StatAt(AtCwd, "/", WalkFollow); e != 0 {
			t.Fatal(e)
		}
		for _, bad := range []func(){
			func() { c.CopyOut(guestBase, make([]byte, abi.NameData+1)) },
			func() { c.CopyOut(guestBase, make([]byte, 8)); c.CopyOut(guestBase+8, make([]byte, 8)) },
		} {
			c.Acts = c.Acts[:0]
			bad()
			had := len(c.Acts)
			if c.KeepName(0, 0); len(c.Acts) != had {
				t.Errorf("with %d actions: kept", had)
			}
		}
		c.Acts = c.Acts[:0]
		if c.KeepName(0, abi.EACCES); len(c.Acts) != 0 {
			t.Error("a refusal is kept")
		}
	})
}

// Who is told of a process's calls is told of those that its library would have answered.
func TestKeepNameTraced(t *testing.T) {
	for _, all := range []bool{true, false} {
		tk := newTestKernel(t)
		tk.Tracer = func(pid, tid int32, line string) {}
		n := namer{t, tk}
		a := n.kept("/none")
		who := Traced{All: all}
		if !all {
			tk.do(tk.init, func(c *Call) { who.PIDs = []int32{c.Proc().Pid} })
		}
		if tk.Trace(who); n.holds(a) {
			t.Errorf("all %v: an answer holds", all)
		}
		for range 2 * nameRest {
			if a := n.ask("/none", WalkFollow); a.Op != 0 {
				t.Fatalf("all %v: kept", all)
			}
		}
	}
}

// What is known for a time only is not kept for longer.
func TestKeepNameTime(t *testing.T) {
	tk := newTestKernel(t)
	n := namer{t, tk}
	// after has all that is known be over in so many ns, the first of them.
	after := func(ns ...int64) {
		tk.Enter()
		for _, d := range ns {
			tk.atEarliest(&tk.names.at, tk.Clock.Mono()+d, tk.namesChanged)
		}
		tk.Leave()
	}
	for _, x := range []struct {
		known         []int64
		before, after int64
	}{{[]int64{1000, 500, 2000}, 400, 200}, {[]int64{5000}, 3000, 3000}} { // the second one also sees the first one's timers
		a := n.kept("/none")
		after(x.known...)
		if tk.clock.Advance(x.before); !n.holds(a) {
			t.Errorf("known for %d ns: forgotten after %d", x.known, x.before)
		}
		if tk.clock.Advance(x.after); n.holds(a) {
			t.Errorf("known for %d ns: not forgotten after %d", x.known, x.before+x.after)
		}
	}
}
