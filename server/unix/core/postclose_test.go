package core

import (
	"testing"

	"hythe/abi"
	"hythe/store"
)

// closer is a process whose library closes by itself.
type closer struct {
	t  *testing.T
	tk *testKernel
}

func (x closer) words() *[abi.LentFiles]uint64 { return x.tk.host.words(x.tk.task()) }

// mayClose carries out ActMayClose.
func (x closer) mayClose(acts []abi.Action) (n int) {
	for _, a := range acts {
		if a.Op != abi.ActMayClose {
			continue
		}
		if n++; x.words()[a.A[0]] == a.A[1] {
			x.words()[a.A[0]] = a.A[2]
		}
	}
	return n
}

// do makes a call of the process, which has the server hear of what its library has closed.
func (x closer) do(fn func(c *Call)) {
	x.t.Helper()
	x.tk.do(x.tk.init, func(c *Call) {
		c.Task = x.tk.task()
		x.tk.Posted(c.Task, ^uint64(0))
		fn(c)
		c.tidyCloses()
		x.mayClose(c.Acts)
	})
}

// open opens a file; told says whether it may be closed without asking.
func (x closer) open(name string, access, flags uint32) (fd int32, told bool) {
	x.t.Helper()
	x.do(func(c *Call) {
		var e abi.Errno
		if fd, e = open(c, name, access, flags, 0o644); e != 0 {
			x.t.Fatal(name, e)
		}
		n := len(c.Acts)
		c.LetClose(fd)
		told = len(c.Acts) > n
	})
	return fd, told
}

// opened opens one that may be.
func (x closer) opened(name string) (fd int32) {
	x.t.Helper()
	fd, told := x.open(name, AccessRead, 0)
	if !told || x.words()[fd]&abi.CloseMay == 0 {
		x.t.Fatalf("%s by %d: told %v, %x", name, fd, told, x.words()[fd])
	}
	return fd
}

// post is close(2) by the library; false: it has to ask.
func (x closer) post(fd int32) bool {
	w := &x.words()[fd]
	if *w&abi.CloseMay == 0 {
		return false
	}
	*w = *w&^abi.CloseMay | abi.Closed
	return true
}

// again opens by the library what it has closed, by what KeepOpen has told it; false: it has to ask.
func (x closer) again(a abi.Action) bool {
	fd := a.A[2] & abi.OpenedFDs
	w, l, told := &x.words()[fd], &x.tk.host.records(x.tk.task())[fd], x.tk.host.told[x.tk.task()]
	if a.Op != abi.ActName || told[abi.ToldNames] != a.A[0] || told[abi.ToldAttrs] != a.A[1] || fd+1 >= told[abi.ToldLowest] ||
		*w != abi.Closed|a.A[2]>>abi.OpenedNo || l.Pos&abi.LentPos == 0 || l.Pos&^abi.LentPos>>abi.LentShift != a.A[2]>>abi.OpenedPos&(abi.LentCounts-1) {
		return false
	}
	l.Pos &^= abi.LentAt | abi.LentNonblock
	*w = *w&^abi.Closed | abi.CloseMay
	return true
}

// kept opens a file of which the library would keep the name, and answers what it is told of that.
func (x closer) kept(name string) (fd int32, a abi.Action) {
	x.t.Helper()
	for range nameRest + 1 {
		x.do(func(c *Call) {
			c.WantName = true
			var e abi.Errno
			if fd, e = open(c, name, AccessRead, 0, 0); e != 0 {
				x.t.Fatal(name, e)
			}
			c.LetClose(fd)
			c.LendOpened(fd, func(f *File) uint32 { return f.Flags })
			c.KeepOpen(fd)
			for _, is := range c.Acts {
				switch is.Op {
				case abi.ActLend:
					begin(&x.tk.host.records(c.Task)[fd], is)
				case abi.ActName:
					a = is
				}
			}
		})
		if a.Op != 0 {
			return fd, a
		}
		x.do(func(c *Call) { c.CloseFD(fd) })
	}
	x.t.Fatal("not kept")
	return 0, a
}

// TestOpenAgain: what is open again without asking is what it would be by asking.
func TestOpenAgain(t *testing.T) {
	x := newCloser(t)
	fd, a := x.kept("/a")
	for range 3 {
		if x.again(a) || !x.post(fd) || !x.again(a) {
			t.Fatal("not open again, or while it is open")
		}
	}
	if x.do(func(c *Call) {}); !x.isOpen(fd) {
		t.Error("closed though it is open again")
	}
	if x.post(fd); x.isOpen(fd) || x.again(a) {
		t.Error("open again though it was seen to be closed")
	}
	for what, fn := range map[string]func(c *Call, fd int32){
		"flags":   func(c *Call, fd int32) { c.K.SetFDFlags(c.Proc().FDs, fd, FDCloexec) },
		"range":   func(c *Call, fd int32) { c.CloseRange(uint32(fd), uint32(fd), true, false) },
		"dup":     func(c *Call, fd int32) { c.Dup(fd, 10, 0) },
		"found":   func(c *Call, fd int32) { c.File(fd) },
		"lower":   func(c *Call, fd int32) { c.CloseFD(0) },
		"limit":   func(c *Call, fd int32) { c.SetRlimit(c.ProcRef(), RlimitNofile, Rlimit{Cur: 20, Max: 30}) },
		"name":    func(c *Call, fd int32) { c.K.namesChanged() },
		"attrs":   func(c *Call, fd int32) { c.K.attrsChanged() },
		"unlink":  func(c *Call, fd int32) { c.Unlink(AtCwd, "/a") },
		"table":   func(c *Call, fd int32) { c.K.takeBackTable(c.Proc().FDs) },
		"threads": func(c *Call, fd int32) { c.K.untellLowest(c.K.tasks[c.Task]) },
		"watch": func(c *Call, fd int32) {
			in, _ := c.NewInotify(0)
			c.InotifyAdd(in, "/a", WalkFollow, evOpen)
		},
	} {
		x := newCloser(t)
		if _, told := x.open("/b", rw, 0); told {
			t.Fatal("told")
		}
		fd, a := x.kept("/a")
		x.do(func(c *Call) { fn(c, fd) })
		if x.post(fd); x.again(a) {
			t.Errorf("%s: open again", what)
		}
	}
	// A read at an offset leaves it as it was.
	x = newCloser(t)
	fd, a = x.kept("/a")
	x.do(func(c *Call) {
		if _, e := c.ReadFD(fd, guestBase, 10, 0); e != 0 {
			t.Fatal(e)
		}
	})
	if x.post(fd); !x.again(a) {
		t.Error("not open again after pread")
	}
	x.tk.checkVFS()
}

// TestOpenAgainNumbers: a number that has been used before does not have another file opened by the name
// with which it was told.
func TestOpenAgainNumbers(t *testing.T) {
	for what, fn := range map[string]func(x closer, fd int32){
		"close": func(x closer, fd int32) { x.words()[fd] = x.words()[fd]&^abi.CloseNos | abi.CloseNos },
		"offset": func(x closer, fd int32) {
			x.tk.host.records(x.tk.task())[fd].Pos = (abi.LentCounts - 1) << abi.LentShift
		},
	} {
		for _, wrap := range []bool{false, true} {
			x := newCloser(t)
			fd, a := x.kept("/a")
			x.post(fd)
			x.do(func(c *Call) {}) // carries it out
			if wrap {
				fn(x, fd)
			}
			x.do(func(c *Call) {
				other, e := open(c, "/b", AccessRead, 0, 0)
				if e != 0 || other != fd {
					t.Fatal(other, e)
				}
				c.WantName = true
				c.LetClose(other)
				c.LendOpened(other, func(f *File) uint32 { return f.Flags })
			})
			if held := x.tk.host.told[x.tk.task()][abi.ToldNames] == a.A[0]; held == wrap {
				t.Errorf("%s: what is known of names holds: %v, though the numbers begin anew: %v", what, held, wrap)
			}
		}
	}
}

// isOpen looks at the table as others do.
func (x closer) isOpen(fd int32) (is bool) {
	x.tk.Enter()
	defer x.tk.Leave()
	_, _, e := x.tk.FDAt(x.tk.Procs.Get(x.tk.Threads.Get(x.tk.init).Proc).FDs, fd)
	return e == 0
}

func newCloser(t *testing.T) closer {
	tk := newTestKernel(t)
	tk.do(tk.init, func(c *Call) {
		for _, name := range []string{"/a", "/b", "/c"} {
			fd, e := open(c, name, rw, OpenCreate, 0o644)
			if e != 0 {
				t.Fatal(e)
			}
			c.CloseFD(fd)
		}
	})
	return closer{t, tk}
}

// TestPostedClose: what a library closes without asking is closed before the process, or anybody else, can
// tell.
func TestPostedClose(t *testing.T) {
	x := newCloser(t)
	a := x.opened("/a")
	b := x.opened("/b")
	if !x.post(a) || x.post(a) {
		t.Fatal("closed twice, or not at all")
	}
	x.do(func(c *Call) {
		if e := c.CloseFD(a); e != abi.EBADF {
			t.Errorf("closed again: %v", e)
		}
		if _, _, e := c.File(b); e != 0 {
			t.Errorf("the other one: %v", e)
		}
	})
	// The lowest number is free for the next one, which is another file's.
	if got := x.opened("/c"); got != a {
		t.Errorf("opened by %d, want %d", got, a)
	}
	x.do(func(c *Call) {
		if f, _, e := c.File(a); e != 0 || x.tk.nodeOf(x.tk.Files.Get(f).Vnode).name != "c" {
			t.Errorf("by %d: %v", a, e)
		}
	})
	// Others look at the table while the process makes no call.
	x.post(b)
	if x.isOpen(b) {
		t.Error("others see it open")
	}
	// What copies or fills the table without a call of its own.
	x.post(a)
	x.tk.Enter()
	fds := x.tk.Procs.Get(x.tk.Threads.Get(x.tk.init).Proc).FDs
	r := x.tk.CopyFDTable(fds)
	if _, ok := x.tk.fdEntry(r, a); ok {
		t.Error("a copy has it open")
	}
	x.tk.DropFDTable(nil, r, 0)
	x.tk.Leave()
	x.tk.checkVFS()
}

// TestPostedCloseNot: what others could tell is closed by asking.
func TestPostedCloseNot(t *testing.T) {
	x := newCloser(t)
	lock := func(fd int32, kind uint32) {
		x.do(func(c *Call) {
			f, file, _ := c.File(fd)
			if e := c.SetLock(FileLock{LockPlace: LockPlace{Vnode: file.Vnode}, Kind: kind, Pid: c.Proc().Pid, End: ^uint64(0), Proc: c.ProcRef(), File: f}, false, false); e != 0 {
				t.Fatal(e)
			}
		})
	}
	for _, what := range []struct {
		name          string
		access, flags uint32
		told          bool
	}{
		{"/a", rw, 0, false}, {"/a", AccessWrite, 0, false}, {"/a", AccessRead, OpenPath, false}, {"/dev/null", AccessRead, 0, false},
		{"/", AccessRead, OpenDirectory, true}, {"/a", AccessRead, OpenNonblock | OpenNofollow, true},
	} {
		if what.name == "/dev/null" {
			continue // no such mount here
		}
		fd, told := x.open(what.name, what.access, what.flags)
		if told != what.told {
			t.Errorf("%+v", what)
		}
		x.do(func(c *Call) { c.CloseFD(fd) })
		if x.post(fd) {
			t.Errorf("%+v: closed and may be again", what)
		}
	}
	for kind := uint32(LockPosix); kind <= LockFlock; kind++ {
		fd, other := x.opened("/a"), x.opened("/a")
		posted := x.opened("/a")
		x.post(posted)
		lock(other, kind)
		if x.isOpen(posted) || x.post(fd) || x.post(other) {
			t.Errorf("lock %d: closed without asking", kind)
		}
		if _, told := x.open("/a", AccessRead, 0); told {
			t.Errorf("lock %d: told", kind)
		}
		x.do(func(c *Call) {
			for fd := range int32(10) {
				c.CloseFD(fd)
			}
		})
	}
	// A name that goes.
	fd, posted, b := x.opened("/a"), x.opened("/a"), x.opened("/b")
	x.post(posted)
	other := x.tk.newProc(0)
	x.tk.do(other, func(c *Call) {
		if e := c.Unlink(AtCwd, "/a"); e != 0 {
			t.Fatal(e)
		}
	})
	if x.tk.Enter(); x.tk.closeNo(x.tk.Procs.Get(x.tk.Threads.Get(x.tk.init).Proc).FDs, uint32(posted)) != 0 {
		t.Error("not looked at before the file went")
	}
	x.tk.Leave()
	if x.post(fd) || !x.post(b) || x.isOpen(posted) || !x.isOpen(fd) {
		t.Error("closed without asking though it has no name")
	}
	// Somebody watches.
	fd = x.opened("/c")
	b = x.opened("/b")
	x.post(b)
	x.tk.do(other, func(c *Call) {
		in, e := c.NewInotify(0)
		if e != 0 {
			t.Fatal(e)
		}
		if _, e := c.InotifyAdd(in, "/c", WalkFollow, evCloseNo); e != 0 {
			t.Fatal(e)
		}
	})
	if _, told := x.open("/b", AccessRead, 0); told || x.post(fd) {
		t.Error("closed without asking though somebody watches")
	}
	x.tk.checkVFS()
}

// TestPostedCloseForged: a library that says what is not so closes its own descriptors at most.
func TestPostedCloseForged(t *testing.T) {
	x := newCloser(t)
	fd := x.opened("/a")
	plain, _ := x.open("/b", rw, 0)
	was := x.words()[fd]
	for _, v := range []uint64{0, ^uint64(0) &^ abi.CloseNos, abi.Closed, abi.Closed | (was+1)&abi.CloseNos, was &^ abi.CloseMay, was} {
		for i := range x.words() {
			if x.words()[i] = v; i == int(fd) && v&abi.CloseNos == was&abi.CloseNos && v&abi.Closed != 0 {
				t.Fatal("a case that closes it")
			}
		}
		x.do(func(c *Call) {})
		if !x.isOpen(fd) || !x.isOpen(plain) {
			t.Errorf("%x: closed", v)
		}
	}
	// Number and all, of each descriptor: the one that may be closed is.
	for i := range x.words() {
		x.words()[i] = abi.Closed | abi.CloseMay | was&abi.CloseNos
	}
	x.do(func(c *Call) {})
	if x.isOpen(fd) || !x.isOpen(plain) {
		t.Error("not closed, or another one")
	}
	x.do(func(c *Call) { c.CloseFD(plain) })
	// A number that comes round.
	x.words()[0] = abi.CloseNos
	if fd := x.opened("/a"); x.words()[fd]&abi.CloseNos != 1 {
		t.Errorf("%x", x.words()[fd])
	}
	x.tk.checkVFS()
}

// TestPostedCloseChanged: the descriptor is another file's before the library closes it, or has begun to be
// able to.
func TestPostedCloseChanged(t *testing.T) {
	x := newCloser(t)
	fd, b := x.opened("/a"), x.opened("/b")
	old := x.words()[fd]
	x.do(func(c *Call) {
		if e := c.Dup2(b, fd, 0); e != 0 {
			t.Fatal(e)
		}
	})
	if x.post(fd) || x.words()[fd]&abi.CloseMay != 0 {
		t.Error("it may close what is another file's now")
	}
	x.words()[fd] = old&^abi.CloseMay | abi.Closed // late, and lost
	x.do(func(c *Call) {})
	if !x.isOpen(fd) {
		t.Error("the new one was closed")
	}
	x.do(func(c *Call) { _, _ = c.CloseFD(fd), c.CloseFD(b) })
	// Its flags change.
	fd = x.opened("/a")
	x.do(func(c *Call) {
		if e := c.K.SetFDFlags(c.Proc().FDs, fd, FDCloexec); e != 0 {
			t.Fatal(e)
		}
		if _, fl, _ := c.K.FDAt(c.Proc().FDs, fd); fl != FDCloexec {
			t.Errorf("flags %x", fl)
		}
	})
	if x.post(fd) || !x.isOpen(fd) {
		t.Error("closed without asking, and could be open again with other flags")
	}
	x.do(func(c *Call) { c.CloseFD(fd) })
	// An answer that is carried out when things have changed.
	var late []abi.Action
	x.tk.do(x.tk.init, func(c *Call) {
		c.Task = x.tk.task()
		fd, _ = open(c, "/a", AccessRead, 0, 0)
		c.LetClose(fd)
		late = append(late, c.Acts...)
	})
	x.do(func(c *Call) { c.CloseFD(fd) })
	if x.mayClose(late) != 1 || x.words()[fd]&abi.CloseMay != 0 {
		t.Errorf("%x", x.words()[fd])
	}
	// The library's other records of a descriptor begin anew when it is open again.
	fd = x.opened("/a")
	x.post(fd)
	x.do(func(c *Call) {
		if got, e := open(c, "/b", rw, 0, 0); got != fd || e != 0 {
			t.Fatal(got, e)
		}
	})
	if x.words()[fd]&abi.Closed != 0 {
		t.Error("still said to be closed")
	}
	// It shares its table: from then on it asks.
	x.do(func(c *Call) { c.CloseFD(fd) })
	fd, b = x.opened("/a"), x.opened("/b")
	x.post(b)
	x.tk.Enter()
	x.tk.takeBackTable(x.tk.Procs.Get(x.tk.Threads.Get(x.tk.init).Proc).FDs)
	x.tk.Leave()
	if x.post(fd) || !x.isOpen(fd) || x.isOpen(b) {
		t.Error("not taken back")
	}
}

// TestPostedCloseLater: who closes and makes no call is looked at; what may be closed for long is closed by asking.
func TestPostedCloseLater(t *testing.T) {
	x := newCloser(t)
	a, b := x.opened("/a"), x.opened("/b")
	x.post(a)
	x.tk.clock.Advance(closeWait)
	x.tk.Enter()
	fds := x.tk.Procs.Get(x.tk.Threads.Get(x.tk.init).Proc).FDs
	if _, open := x.tk.fdEntry(fds, a); open {
		t.Error("not looked at")
	}
	x.tk.Leave()
	if x.words()[b]&abi.CloseMay == 0 {
		t.Error("taken back at once")
	}
	x.tk.clock.Advance(closeWait)
	if x.post(b) || !x.isOpen(b) {
		t.Error("not taken back")
	}
	x.tk.clock.Advance(closeWait)
	if at := x.tk.closes.at; at != 0 {
		t.Errorf("looks for ever: %d", at)
	}
}

// TestPostedCloseDies: the server dies with what it has not heard of, or has and not committed, or has committed.
func TestPostedCloseDies(t *testing.T) {
	for _, when := range []string{"unheard", "heard", "committed", "not begun", "may"} {
		x := newCloser(t)
		fd := x.opened("/a")
		keep := x.opened("/b")
		var late []abi.Action
		want := map[string]bool{"not begun": true, "may": true, "committed": true}[when]
		x.tk.idle()
		switch when {
		case "unheard":
			x.post(fd)
		case "heard":
			x.post(fd)
			x.tk.Enter()
			x.tk.Posted(x.tk.task(), ^uint64(0))
			x.tk.Heap.Abort()
			x.tk.mu.Unlock()
		case "committed":
			// And the descriptor is another file's by then: nothing has told the library yet.
			x.post(fd)
			w := *x.words()
			x.do(func(c *Call) {
				if got, e := open(c, "/c", rw, 0, 0); got != fd || e != 0 {
					t.Fatal(got, e)
				}
			})
			*x.words() = w
		case "not begun":
			x.do(func(c *Call) { c.CloseFD(fd) })
			x.tk.do(x.tk.init, func(c *Call) {
				c.Task = x.tk.task()
				fd, _ = open(c, "/a", AccessRead, 0, 0)
				c.LetClose(fd)
				late = append(late, c.Acts...)
			})
		}
		for i := range x.words() {
			x.words()[i] &^= abi.CloseMay // ipc.NewServerBinding
		}
		x.tk.mu.Lock() // for good
		x.tk = x.tk.nextOf(x.tk.host.lending)
		x.mayClose(late)
		if x.post(fd) || x.post(keep) {
			t.Errorf("%s: closed without asking the next incarnation", when)
		}
		if x.isOpen(fd) != want || !x.isOpen(keep) {
			t.Errorf("%s: open %v, want %v", when, x.isOpen(fd), want)
		}
		x.do(func(c *Call) {
			for fd := range int32(4) {
				c.CloseFD(fd)
			}
		})
		for range 2 {
			x.post(x.opened("/a"))
		}
		x.do(func(c *Call) {})
		x.tk.FDs.Each(func(_ store.Ref[FDTable], tab *FDTable) bool {
			if tab.Next != 0 {
				t.Errorf("%s: the lowest one is %d", when, tab.Next)
			}
			return true
		})
		x.tk.checkVFS()
	}
}
