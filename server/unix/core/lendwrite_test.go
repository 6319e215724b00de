package core

import (
	"testing"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/store"
)

// filled are objects of which each has room.
type filled struct{}

func (filled) Granted(string, uint64) (ObjectName, abi.Errno) { return 0, abi.ENODEV }
func (filled) Data(ObjectName) DataFile                       { return nil }
func (filled) Room() bool                                     { return true }

// writeFile makes a file that may be written over without its server.
func writeFile(t *testing.T, tk *testKernel, name string) (fd int32, n *node) {
	t.Helper()
	return newFile(t, tk, name, 4096, func(c *Call, n *node) { fillable(t, c, n) })
}

func fillable(t *testing.T, c *Call, n *node) {
	t.Helper()
	c.K.vfs.objects = filled{}
	if e := c.refresh(n, false); e != 0 {
		t.Fatal(e)
	}
	m := c.K.Vnodes.Mut(n.v)
	m.Object, m.ObjFlags = 5, objFill|2
	n.solid, n.data = true, bytesData(make([]byte, 4096))
}

// overwrite writes ten bytes by a call and answers its ActLend, if there is one.
func overwrite(t *testing.T, tk *testKernel, fd int32, off int64) (act abi.Action) {
	t.Helper()
	tk.do(tk.init, func(c *Call) {
		c.Task = tk.task()
		if n, e := c.WriteFD(fd, guestBase, 10, off); n != 10 || e != 0 {
			t.Fatal(n, e)
		}
		for _, a := range c.Acts {
			if a.Op == abi.ActLend {
				act = a
			}
		}
	})
	return act
}

// lentWrite is a file that is lent to be written to, and has begun.
func lentWrite(t *testing.T, tk *testKernel, name string) (fd int32, n *node, l *abi.Lent) {
	t.Helper()
	fd, n = writeFile(t, tk, name)
	for i := 0; ; i++ {
		if i == 2*lendOften {
			t.Fatal("written over so often, and not lent")
		}
		if act := overwrite(t, tk, fd, -1); act.Op != 0 {
			l = &tk.host.records(tk.task())[fd]
			if begin(l, act); l.Gen&1 == 0 || l.Slot&(abi.LentWrite|abi.LentWriteOwn) != abi.LentWrite|abi.LentWriteOwn || l.Pos&abi.LentPos == 0 {
				t.Fatalf("%+v %+v", act, l)
			}
			if act.Flags&abi.ActWritable == 0 || act.A[1] != 4096 {
				t.Fatalf("not mapped to be written to: %+v", act)
			}
			return fd, n, l
		}
	}
}

// stat answers a file's attributes as anybody sees them.
func (tk *testKernel) statOf(name string) (s Stat) {
	tk.t.Helper()
	tk.do(tk.init, func(c *Call) {
		var e abi.Errno
		if s, e = c.StatAt(AtCwd, name, WalkFollow); e != 0 {
			tk.t.Fatal(e)
		}
	})
	return s
}

func ns(t fs.Time) int64 { return t.Sec*1e9 + int64(t.Nsec) }

// When a library has written is seen by everybody, as the time at which it was; whatever it
// says, that was between when it was lent the file and now.
func TestLentWritten(t *testing.T) {
	tk := newTestKernel(t)
	_, n, l := lentWrite(t, tk, "/a")
	before := tk.statOf("/a")
	tk.clock.Advance(1e9)
	if s := tk.statOf("/a"); s.Mtime != before.Mtime {
		t.Error("nobody has written")
	}
	tk.host.cycles += 1_000_000 // ten at each look
	l.Wrote = tk.host.cycles - 500_000 | 1
	tk.clock.Advance(1e9)
	s := tk.statOf("/a")
	if d := ns(s.Mtime) - ns(before.Mtime); d < 9e8 || d > 11e8 || s.Ctime != s.Mtime {
		t.Errorf("written %d ns later, changed %v", d, s.Ctime)
	}
	tk.clock.Advance(1e9)
	if again := tk.statOf("/a"); again.Mtime != s.Mtime {
		t.Error("it was written to once")
	}
	last := s
	for _, forged := range []uint64{0, 1, ^uint64(0), 1 << 63, tk.host.cycles + 1e6} {
		l.Wrote = forged
		tk.clock.Advance(1e9)
		s := tk.statOf("/a")
		if now := tk.Clock.Real(); ns(s.Mtime) > now || ns(s.Mtime) < ns(last.Mtime) {
			t.Errorf("%x: written at %d, it is %d", forged, ns(s.Mtime), now)
		}
		last = s
	}
	if tk.Vnodes.Get(n.v).Written != last.Mtime {
		t.Error("its server will not be told")
	}
}

// oneMore has the caller make a thread.
func oneMore(c *Call) abi.Errno {
	_, e := c.Clone(&CloneArgs{Flags: CloneVM | CloneFS | CloneFiles | CloneSighand | CloneThread, SP: 0x9000})
	return e
}

// Of two threads each writes where it says, and so do three.
func TestLentWriteOfThreads(t *testing.T) {
	tk := newTestKernel(t)
	fd, _, l := lentWrite(t, tk, "/a")
	more := func() {
		tk.do(tk.init, func(c *Call) {
			c.Task = tk.task()
			if e := oneMore(c); e != 0 {
				t.Error(e)
			}
		})
	}
	if more(); l.Gen&1 != 0 {
		t.Errorf("a second thread: %+v", l)
	}
	for i := 0; l.Gen&1 == 0; i++ {
		if i == 2*lendOften {
			t.Fatal("not lent to two threads")
		}
		if act := overwrite(t, tk, fd, 0); act.Op != 0 {
			begin(l, act)
		}
	}
	if l.Slot&abi.LentWrite == 0 || l.Slot&abi.LentWriteOwn != 0 {
		t.Errorf("lent to two threads: %+v", l)
	}
	if more(); l.Gen&1 == 0 {
		t.Error("a third thread has it taken back")
	}
}

// What takes the file back has done so when it is done, and knows when it was written to.
func TestTakeBackWrites(t *testing.T) {
	for what, do := range map[string]func(c *Call, fd int32) abi.Errno{
		"truncate": func(c *Call, fd int32) abi.Errno { f, _, _ := c.File(fd); return c.K.Ops(f).Truncate(c, f, 500) },
		"longer":   func(c *Call, fd int32) abi.Errno { _, e := c.WriteFD(fd, guestBase, 5000, 0); return e },
		"allocate": func(c *Call, fd int32) abi.Errno {
			f, _, _ := c.File(fd)
			return c.K.Ops(f).Allocate(c, f, 3, 0, 4096)
		},
		"close": func(c *Call, fd int32) abi.Errno { return c.CloseFD(fd) },
		"dup2": func(c *Call, fd int32) abi.Errno {
			other, e := c.NewEventFD(0, false, 0)
			if e == 0 {
				e = c.Dup2(other, fd, 0)
			}
			return e
		},
		"append": func(c *Call, fd int32) abi.Errno { f, _, _ := c.File(fd); return c.SetFlags(f, fd, OpenAppend) },
		"set-id": func(c *Call, _ int32) abi.Errno {
			return c.Chmod(Target{Dir: AtCwd, Path: "/a", Walk: WalkFollow}, 0o4755)
		},
		"a limit":  func(c *Call, _ int32) abi.Errno { return c.SetRlimit(c.ProcRef(), RlimitFsize, Rlimit{100, 1 << 40}) },
		"unshared": func(c *Call, _ int32) abi.Errno { c.K.takeBackTable(c.Proc().FDs); return 0 },
		"thread":   func(c *Call, _ int32) abi.Errno { return oneMore(c) },
		"mapped": func(c *Call, fd int32) abi.Errno {
			f, _, _ := c.File(fd)
			c.MapVnode(c.K.Files.Get(f).Vnode, fs.MapToWrite)
			c.K.nodeOf(c.K.Files.Get(f).Vnode).dropData()
			return 0
		},
		"watched": func(c *Call, _ int32) abi.Errno {
			in, e := c.NewInotify(0)
			if e == 0 {
				_, e = c.InotifyAdd(in, "/a", WalkFollow, evModify)
			}
			return e
		},
	} {
		tk := newTestKernel(t)
		fd, n, l := lentWrite(t, tk, "/a")
		v := n.v
		tk.clock.Advance(5e9)
		l.Wrote = 77
		tk.do(tk.init, func(c *Call) {
			c.Task = tk.task()
			tk.Vnodes.Mut(v).Refs++ // it stays, to be looked at
			if e := do(c, fd); e != 0 {
				t.Errorf("%s: %v", what, e)
			}
		})
		if l.Gen&1 != 0 || n.writing != 0 {
			t.Errorf("%s: still lent", what)
		}
		if w := tk.Vnodes.Get(v); ns(w.Written) != tk.Clock.Real() && what != "set-id" {
			t.Errorf("%s: written %v", what, w.Written)
		}
		tk.Files.Each(func(_ store.Ref[File], f *File) bool {
			if f.WriteTo != 0 {
				t.Errorf("%s: the record says it is lent", what)
			}
			return true
		})
		tk.do(tk.init, func(*Call) { tk.Vnodes.Mut(v).Refs-- })
	}
}

// Setting the times forgets when it was written to before.
func TestLentAndTimed(t *testing.T) {
	tk := newTestKernel(t)
	_, _, l := lentWrite(t, tk, "/a")
	l.Wrote = 77
	tk.do(tk.init, func(c *Call) {
		set := TimeSet{T: fs.Time{Sec: 12345}}
		if e := c.Utimes(Target{Dir: AtCwd, Path: "/a", Walk: WalkFollow}, set, set); e != 0 {
			t.Fatal(e)
		}
	})
	if s := tk.statOf("/a"); s.Mtime != (fs.Time{Sec: 12345}) {
		t.Errorf("%v", s.Mtime)
	}
}

// Such files are not lent to be written to.
func TestNotLentToWrite(t *testing.T) {
	for what, do := range map[string]func(c *Call, n *node, file *File){
		"append":   func(_ *Call, _ *node, file *File) { file.Flags |= OpenAppend },
		"sync":     func(_ *Call, _ *node, file *File) { file.Flags |= OpenDsync },
		"a limit":  func(c *Call, _ *node, _ *File) { c.MutProc().Rlimits[RlimitFsize].Cur = 1 << 30 },
		"set-id":   func(_ *Call, n *node, _ *File) { n.attr.Mode |= 0o4000 },
		"sealed":   func(c *Call, n *node, _ *File) { c.K.Vnodes.Mut(n.v).Seals = SealGrow },
		"secret":   func(c *Call, n *node, file *File) { file.Access = AccessWrite; n.attr.Mode &^= 0o444 },
		"holes":    func(_ *Call, n *node, _ *File) { n.solid = false },
		"to come":  func(c *Call, n *node, _ *File) { n.attr.Mtime = timeOf(c.K.Clock.Real() + 1e9) },
		"no write": func(_ *Call, _ *node, file *File) { file.Access = AccessRead },
	} {
		tk := newTestKernel(t)
		fd, n := writeFile(t, tk, "/a")
		tk.do(tk.init, func(c *Call) {
			c.Task = tk.task()
			f, _, _ := c.File(fd)
			if !c.mayWriteTo(f, n) {
				t.Fatal("it would not be lent anyhow")
			}
			if what == "secret" {
				c.credAs = &Cred{FSUID: n.attr.UID + 1, FSGID: n.attr.GID + 1}
			}
			if do(c, n, tk.Files.Mut(f)); c.mayWriteTo(f, n) {
				t.Errorf("%s: lent", what)
			}
		})
	}
}

// The next incarnation knows that it was written to, and does not believe it where it was not.
func TestLentWriteAndDead(t *testing.T) {
	for _, wrote := range []bool{true, false} {
		tk := newTestKernel(t)
		fd, n, l := lentWrite(t, tk, "/a")
		if wrote {
			l.Wrote = 99
		}
		tk.clock.Advance(5e9)
		// A call looks, and is not committed.
		tk.Enter()
		n.lookWritten()
		next := tk.nextOf(tk.host.lending)
		f, file, e := fileOf(next, fd)
		if e != 0 || file.WriteTo != 0 {
			t.Errorf("%v: %v %+v", wrote, e, file)
		}
		got := next.Vnodes.Get(next.Files.Get(f).Vnode).Written
		if (ns(got) == tk.Clock.Real()) != wrote {
			t.Errorf("written %v: %v", wrote, got)
		}
	}
}

// A task that has gone has written what its record says.
func TestLentWriteAndGone(t *testing.T) {
	tk := newTestKernel(t)
	_, n, l := lentWrite(t, tk, "/a")
	v := n.v
	tk.do(tk.init, func(*Call) { tk.Vnodes.Mut(v).Refs++ })
	l.Wrote = 99
	tk.clock.Advance(5e9)
	tk.TaskGone(tk.task())
	if w := tk.Vnodes.Get(v).Written; ns(w) != tk.Clock.Real() || n.writing != 0 {
		t.Errorf("%v, %d", w, n.writing)
	}
}
