package core

import (
	"sync/atomic"
	"testing"

	"hythe/abi"
	"hythe/idl/fs"
)

// crossedFS is a file server that holds up the changes named by what until a channel is
// closed: before it does them, or when it has done them.
type crossedFS struct {
	fs.Server
	hold          map[string]*held
	before, after map[string]bool
	asked         atomic.Int32 // for attributes
}

func (x *crossedFS) GetAttr(r fs.Req, node fs.NodeID) (fs.Entry, abi.Errno) {
	x.asked.Add(1)
	return x.Server.GetAttr(r, node)
}

// held is one change that is held up: at is closed when it is, goOn lets it go on.
type held struct{ at, goOn chan bool }

func (x *crossedFS) held(what string, at map[string]bool) {
	if h := x.hold[what]; h != nil && at[what] {
		close(h.at)
		<-h.goOn
	}
}

func (x *crossedFS) Create(r fs.Req, dir fs.NodeID, name string, mode uint32, excl bool, o fs.Cred) (fs.Entry, bool, abi.Errno) {
	x.held("create", x.before)
	e, made, err := x.Server.Create(r, dir, name, mode, excl, o)
	x.held("create", x.after)
	return e, made, err
}

func (x *crossedFS) Link(r fs.Req, node, dir fs.NodeID, name string) (fs.Entry, abi.Errno) {
	x.held("link", x.before)
	e, err := x.Server.Link(r, node, dir, name)
	x.held("link", x.after)
	return e, err
}

func (x *crossedFS) Unlink(r fs.Req, dir fs.NodeID, name string) abi.Errno {
	x.held("unlink", x.before)
	err := x.Server.Unlink(r, dir, name)
	x.held("unlink", x.after)
	return err
}

func (x *crossedFS) Rename(r fs.Req, from fs.NodeID, name string, to fs.NodeID, toName string, flags uint32) abi.Errno {
	x.held("rename", x.before)
	err := x.Server.Rename(r, from, name, to, toName, flags)
	x.held("rename", x.after)
	return err
}

func (x *crossedFS) SetXattr(r fs.Req, node fs.NodeID, name string, value []byte, flags uint32) abi.Errno {
	x.held("setxattr", x.before)
	err := x.Server.SetXattr(r, node, name, value, flags)
	x.held("setxattr", x.after)
	return err
}

// crossed does change, which is the one that what names, and meanwhile, when it is about to be
// done (or has been, and its answer is awaited), what others do.
func crossed(t *testing.T, what string, done bool, change func(c *Call) abi.Errno, others func(n namer)) namer {
	t.Helper()
	tk := newTestKernel(t)
	x := &crossedFS{Server: tk.root, before: map[string]bool{what: !done}, after: map[string]bool{what: done}}
	tk.vfs.servers["root"] = x
	for _, m := range tk.vfs.mounts {
		if m.label == "root" {
			m.srv = x
		}
	}
	n := namer{t, tk}
	tk.do(tk.init, func(c *Call) {
		want(t, "mkdir", c.Mkdir(AtCwd, "/d", 0o755), 0)
		fd, e := open(c, "/d/f", rw, OpenCreate, 0o644)
		want(t, "create", e, 0)
		want(t, "close", c.CloseFD(fd), 0)
	})
	a := tk.newProc(0)
	h := &held{make(chan bool), make(chan bool)}
	x.hold = map[string]*held{what: h}
	over := make(chan bool)
	go func() {
		defer close(over)
		tk.do(a, func(c *Call) { want(t, what, change(c), 0) })
	}()
	<-h.at
	others(n)
	close(h.goOn)
	<-over
	x.hold = nil
	return n
}

func (n namer) stat(path string) (s Stat) {
	n.tk.do(n.tk.init, func(c *Call) {
		var e abi.Errno
		s, e = c.StatAt(AtCwd, path, WalkFollow)
		want(n.t, "stat "+path, e, 0)
	})
	return s
}

func create(path string) func(c *Call) abi.Errno {
	return func(c *Call) abi.Errno {
		fd, e := open(c, path, rw, OpenCreate, 0o644)
		if e == 0 {
			e = c.CloseFD(fd)
		}
		return e
	}
}

// A name that is made while another one is made in its directory is there for those who have
// asked for it meanwhile, and the directory's times are asked for again.
func TestCrossedCreate(t *testing.T) {
	var x, d abi.Action
	n := crossed(t, "create", false, create("/d/x"), func(n namer) {
		n.tk.do(n.tk.init, func(c *Call) { want(t, "mkdir", c.Mkdir(AtCwd, "/d/y", 0o755), 0) })
		x = n.kept("/d/x")
	})
	if n.holds(x) {
		t.Error("it is not there still")
	}
	n.stat("/d/x")

	n = crossed(t, "create", false, create("/d/x"), func(n namer) {
		n.stat("/d")
		d = n.kept("/d")
	})
	root := n.tk.vfs.servers["root"].(*crossedFS)
	asked := root.asked.Load()
	if n.stat("/d"); n.holds(d) || root.asked.Load() != asked+1 {
		t.Errorf("the directory is as it was: holds %v, asked %d times", n.holds(d), root.asked.Load()-asked)
	}
}

// A change that fails makes nobody forget what others keep and cannot be told of any more.
func TestCrossedFailure(t *testing.T) {
	var x abi.Action
	n := crossed(t, "create", true, create("/d/x"), func(n namer) {
		// The name is there; who asked before does not know, nor does he who tries to make it.
		n.tk.do(n.tk.init, func(c *Call) {
			f, e := c.Walk(AtCwd, "/d", WalkFollow)
			want(t, "walk", e, 0)
			c.K.setKid(f.node, "x", nil, NoDeadline)
		})
		x = n.kept("/d/x")
		n.tk.do(n.tk.init, func(c *Call) { want(t, "mkdir", c.Mkdir(AtCwd, "/d/x", 0o755), abi.EEXIST) })
		if n.holds(x) {
			t.Error("what was refused because it is there is not there")
		}
	})
	n.stat("/d/x")
}

// What a file is when it was given another name is answered late: it was changed since.
func TestCrossedLink(t *testing.T) {
	n := crossed(t, "link", true, func(c *Call) abi.Errno { return c.Link(AtCwd, "/d/f", AtCwd, "/d/g", 0) }, func(n namer) {
		n.tk.do(n.tk.init, func(c *Call) { want(t, "chmod", c.Chmod(at("/d/f"), 0o600), 0) })
	})
	for _, name := range []string{"/d/f", "/d/g"} {
		if s := n.stat(name); s.Mode&0o777 != 0o600 || s.Nlink != 2 {
			t.Errorf("%s: mode %o, %d names", name, s.Mode&0o777, s.Nlink)
		}
	}
}

// A file that has lost one of two names has the other one, whatever its attributes say that
// were asked for, and names that it was given, before that is answered.
func TestCrossedUnlink(t *testing.T) {
	for what, change := range map[string]func(c *Call) abi.Errno{
		"unlink": func(c *Call) abi.Errno { return c.Unlink(AtCwd, "/d/g") },
		"rename": func(c *Call) abi.Errno { return c.Rename(AtCwd, "/d/h", AtCwd, "/d/g", 0) },
	} {
		for _, given := range []bool{false, true} {
			n := crossed(t, what, true, func(c *Call) abi.Errno {
				want(t, "link", c.Link(AtCwd, "/d/f", AtCwd, "/d/g", 0), 0)
				want(t, "create", create("/d/h")(c), 0)
				return change(c)
			}, func(n namer) {
				n.tk.do(n.tk.init, func(c *Call) {
					f, e := c.Walk(AtCwd, "/d/f", WalkFollow)
					want(t, "walk", e, 0)
					f.node.attrUntil = 0 // as of a server that lets nobody keep them
					if _, e := c.StatAt(AtCwd, "/d/f", 0); e != 0 {
						t.Error(e)
					}
					if given {
						want(t, "link", c.Link(AtCwd, "/d/f", AtCwd, "/d/i", 0), 0)
					}
				})
			})
			names := uint32(1)
			if given {
				names = 2
			}
			if s := n.stat("/d/f"); s.Nlink != names {
				t.Errorf("%s, given %v: %d names", what, given, s.Nlink)
			}
			n.tk.do(n.tk.init, func(c *Call) {
				want(t, what+", and link", c.Link(AtCwd, "/d/f", AtCwd, "/d/j", 0), 0)
				for _, name := range []string{"/d/f", "/d/j"} {
					want(t, "unlink", c.Unlink(AtCwd, name), 0)
				}
				if given {
					want(t, "unlink", c.Unlink(AtCwd, "/d/i"), 0)
				}
			})
			n.tk.checkVFS()
		}
	}
}

// Who asks for a file's times before the server has set an attribute does not keep them.
func TestCrossedXattr(t *testing.T) {
	var f abi.Action
	n := crossed(t, "setxattr", false, func(c *Call) abi.Errno { return c.SetXattr(at("/d/f"), "user.a", []byte("1"), 0) }, func(n namer) {
		n.stat("/d/f")
		f = n.kept("/d/f")
	})
	if n.holds(f) {
		t.Error("what was known before holds")
	}
}
