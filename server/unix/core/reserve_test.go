package core

import (
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"hythe/abi"
	"hythe/idl/fs"
)

// growingData is a memory object's data that is as long as it has to be.
type growingData struct{ b *[]byte }

func (g growingData) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(*g.b)) {
		return 0, io.EOF
	}
	return copy(p, (*g.b)[off:]), nil
}

func (g growingData) WriteAt(p []byte, off int64) (int, error) {
	if n := int(off) + len(p); n > len(*g.b) {
		*g.b = append(*g.b, make([]byte, n-len(*g.b))...)
	}
	return copy((*g.b)[off:], p), nil
}

// reserving is a file server of which one file is as long as is said; it notes what changes that.
type reserving struct {
	fs.Server
	mu      sync.Mutex
	id      fs.NodeID
	size    uint64
	did     []string
	refused bool
	during  func() // while it is trimmed; guarded by mu (trimming)
	closed  func() // when it is released
}

func (r *reserving) entry() fs.Entry {
	e, _ := r.Server.GetAttr(fs.Req{}, r.id)
	e.Attr.Size, e.Attr.Blocks, e.TTL = r.size, blocksOf(r.size), ^uint64(0)
	return e
}

func (r *reserving) note(s string) { r.did = append(r.did, s) }

func (r *reserving) GetAttr(q fs.Req, id fs.NodeID) (fs.Entry, abi.Errno) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if id != r.id {
		return r.Server.GetAttr(q, id)
	}
	return r.entry(), 0
}

func (r *reserving) Lookup(q fs.Req, dir fs.NodeID, name string) (fs.Entry, abi.Errno) {
	e, err := r.Server.Lookup(q, dir, name)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == 0 && e.Node == r.id {
		e = r.entry()
	}
	return e, err
}

func (r *reserving) Fallocate(_ fs.Req, _ fs.NodeID, mode uint32, off, n uint64) (fs.Entry, abi.Errno) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if mode == fs.AllocReserve {
		if r.note("reserve"); r.refused {
			return fs.Entry{}, abi.ENOSPC
		}
	} else {
		r.note("allocate")
	}
	r.size = max(r.size, off+n)
	return r.entry(), 0
}

// trimming sets what is done while the file is trimmed, which may be in another goroutine; nil: nothing.
func (r *reserving) trimming(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.during = f
}

func (r *reserving) SetAttr(q fs.Req, id fs.NodeID, in *fs.SetAttrIn) (fs.Entry, abi.Errno) {
	if in.Valid&fs.SetTrimmed != 0 {
		r.mu.Lock()
		during := r.during
		r.mu.Unlock()
		if during != nil {
			during()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case in.Valid&fs.SetTrimmed != 0:
		r.note("trim")
		r.size = in.Size
	case in.Valid&fs.SetSize != 0:
		r.note("size")
		r.size = in.Size
	}
	return r.entry(), 0
}

func (r *reserving) Write(_ fs.Req, _ fs.NodeID, off uint64, data []byte) (int, uint64, uint64, abi.Errno) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if off == fs.AppendOff {
		off = r.size
	}
	r.note("write")
	r.size = max(r.size, off+uint64(len(data)))
	return len(data), off, r.size, 0
}

func (r *reserving) Map(fs.Req, fs.NodeID, fs.MapUse) (fs.MapOut, abi.Errno) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.note("map")
	return fs.MapOut{}, abi.ENODEV
}

func (r *reserving) Release(q fs.Req, id fs.NodeID) {
	if r.closed != nil {
		r.closed()
	}
	r.Server.Release(q, id)
}

func (r *reserving) Seek(_ fs.Req, _ fs.NodeID, _ uint64, _ uint32) (uint64, abi.Errno) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.size, 0
}

// done answers what the server was asked since the last time.
func (r *reserving) done() (l []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l, r.did = r.did, nil
	return l
}

// growing is a file that is long enough for more to be reserved for it, at its end.
func growing(t *testing.T, tk *testKernel) (fd int32, n *node, r *reserving, data *[]byte) {
	t.Helper()
	fd, n = writeFile(t, tk, "/a")
	data = new([]byte)
	*data = make([]byte, extendMin)
	tk.do(tk.init, func(c *Call) {
		r = &reserving{Server: n.m.srv, id: n.id, size: extendMin}
		n.m.srv, n.data = r, growingData{data}
		n.attr.Size, n.attr.Blocks = extendMin, blocksOf(extendMin)
		n.fills = fillOften
		if _, e := c.SeekFD(fd, extendMin, 0); e != 0 {
			t.Fatal(e)
		}
	})
	return fd, n, r, data
}

// extendBy makes it longer by a call.
func extendBy(t *testing.T, tk *testKernel, n *node, fd int32, by uint64) (act abi.Action) {
	t.Helper()
	tk.do(tk.init, func(c *Call) {
		c.Task = tk.task()
		n.data = growingData{n.data.(growingData).b}
		if m, e := c.WriteFD(fd, guestBase, by, -1); m != by || e != 0 {
			t.Fatal(m, e)
		}
		for _, a := range c.Acts {
			if a.Op == abi.ActLend {
				act = a
			}
		}
	})
	return act
}

// reserved is one for which something is reserved.
func reserved(t *testing.T, tk *testKernel) (fd int32, n *node, r *reserving) {
	t.Helper()
	fd, n, r, _ = growing(t, tk)
	for i := 0; tk.Vnodes.Get(n.v).Reserved == 0; i++ {
		if i == 3*extendOften {
			t.Fatal("nothing is reserved")
		}
		extendBy(t, tk, n, fd, 1000)
	}
	return fd, n, r
}

// lentGrowing is one that the library makes longer itself.
func lentGrowing(t *testing.T, tk *testKernel) (fd int32, n *node, r *reserving, l *abi.Lent) {
	t.Helper()
	fd, n, r, _ = growing(t, tk)
	for i := 0; ; i++ {
		if i == 3*lendOften {
			t.Fatalf("made longer so often, and not lent: %v", r.done())
		}
		if act := extendBy(t, tk, n, fd, 1000); act.Op != 0 {
			l = &tk.host.records(tk.task())[fd]
			if begin(l, act); l.Gen&1 == 0 || l.Slot>>abi.LentRoom == 0 || l.Size != n.attr.Size || l.Ends == 1 {
				t.Fatalf("%+v %+v", act, l)
			}
			return fd, n, r, l
		}
	}
}

// sizeOf is how long everybody sees that it is.
func (tk *testKernel) sizeOf(name string) uint64 { return tk.statOf(name).Size }

func TestReserve(t *testing.T) {
	tk := newTestKernel(t)
	fd, n, r, data := growing(t, tk)
	size := uint64(extendMin)
	var asked []string
	for range 20 {
		extendBy(t, tk, n, fd, 100)
		size += 100
		asked = append(asked, r.done()...)
		if s := tk.statOf("/a"); s.Size != size || s.Blocks != blocksOf(size) {
			t.Fatalf("%d bytes, %d blocks; it was made %d long: %v", s.Size, s.Blocks, size, asked)
		}
		if n.data == nil {
			tk.do(tk.init, func(*Call) { fillNow(tk, n, data) })
		}
	}
	writes, reserves := 0, 0
	for _, s := range asked {
		switch s {
		case "write":
			writes++
		case "reserve":
			reserves++
		}
	}
	if writes != extendOften || reserves != 1 || r.size <= size || r.size%reserveUnit != 0 {
		t.Errorf("%d writes, reserved %d times: %d; %v", writes, reserves, r.size, asked)
	}
	// What is behind the end nobody reads.
	tk.do(tk.init, func(c *Call) {
		if m, e := c.ReadFD(fd, guestBase, 100, int64(size)-10); m != 10 || e != 0 {
			t.Error(m, e)
		}
		if m, e := c.ReadFD(fd, guestBase, 100, int64(size)); m != 0 || e != 0 {
			t.Error(m, e)
		}
	})
	// It is given back when nobody writes any more.
	tk.do(tk.init, func(c *Call) {
		if e := c.CloseFD(fd); e != 0 {
			t.Error(e)
		}
	})
	tk.idle()
	if l := r.done(); r.size != size || len(l) == 0 || l[0] != "trim" {
		t.Errorf("%d: %v", r.size, l)
	}
	if got := tk.sizeOf("/a"); got != size {
		t.Errorf("%d bytes when it was trimmed, not %d", got, size)
	}
}

// fillNow gives a node that forgot it its object anew.
func fillNow(tk *testKernel, n *node, data *[]byte) {
	m := tk.Vnodes.Mut(n.v)
	m.Object, m.ObjFlags = 5, objFill|2
	n.data = growingData{data}
}

// Whoever does what depends on the size has the file server know it before.
func TestTrimFirst(t *testing.T) {
	for what, c := range map[string]struct {
		do   func(c *Call, fd int32) abi.Errno
		then string
	}{
		"truncate": {func(c *Call, fd int32) abi.Errno { f, _, _ := c.File(fd); return c.K.Ops(f).Truncate(c, f, 500) }, "size"},
		"far":      {func(c *Call, fd int32) abi.Errno { _, e := c.WriteFD(fd, guestBase, 10, 1<<21); return e }, "write"},
		"allocate": {func(c *Call, fd int32) abi.Errno {
			f, _, _ := c.File(fd)
			return c.K.Ops(f).Allocate(c, f, 0, 0, 4096)
		}, "allocate"},
		"append": {func(c *Call, fd int32) abi.Errno {
			other, e := open(c, "/a", rw, OpenAppend, 0)
			if e == 0 {
				_, e = c.WriteFD(other, guestBase, 10, -1)
			}
			return e
		}, "write"},
		"map": {func(c *Call, fd int32) abi.Errno {
			f, _, _ := c.File(fd)
			_, e := c.K.Ops(f).Map(c, f, true)
			if e == abi.ENODEV {
				e = 0
			}
			return e
		}, "map"},
		"hole": {func(c *Call, fd int32) abi.Errno {
			at, e := c.SeekFD(fd, 0, 4)
			if want := int64(extendMin + (extendOften+lendOften)*1000 + 77); at != want {
				t.Errorf("the first hole at %d, not %d", at, want)
			}
			return e
		}, ""},
	} {
		tk := newTestKernel(t)
		fd, n, r, l := lentGrowing(t, tk)
		l.Size += 77
		l.Wrote = 77
		size := l.Size
		r.done()
		tk.do(tk.init, func(k *Call) {
			k.Task = tk.task()
			if e := c.do(k, fd); e != 0 {
				t.Errorf("%s: %v", what, e)
			}
		})
		did := r.done()
		if len(did) == 0 || did[0] != "trim" || c.then != "" && did[len(did)-1] != c.then {
			t.Errorf("%s: %v", what, did)
		}
		if l.Gen&1 != 0 || n.writing != 0 || l.Size != size|abi.LentTaken {
			t.Errorf("%s: still lent: %+v", what, l)
		}
		if rec := tk.Vnodes.Get(n.v); rec.Reserved != 0 || rec.Roomy != 0 {
			t.Errorf("%s: %+v", what, rec)
		}
	}
}

// How long a library has made a file is seen by all; what it may not have done is not.
func TestLentRoom(t *testing.T) {
	tk := newTestKernel(t)
	_, n, r, l := lentGrowing(t, tk)
	end := l.Size
	for _, add := range []uint64{1, 4096, 100000} {
		end += add
		l.Size, l.Wrote = end, l.Wrote+1
		if got := tk.sizeOf("/a"); got != end {
			t.Errorf("%d, not %d", got, end)
		}
	}
	for _, forged := range []uint64{0, 1, end - 1, r.size + 1, 1 << 40, abi.LentTaken - 1, ^uint64(0)} {
		l.Size = forged
		if got := tk.sizeOf("/a"); got != end {
			t.Errorf("forged %x: %d", forged, got)
		}
	}
	// As far as was reserved it may.
	l.Size = r.size
	if got := tk.sizeOf("/a"); got != r.size {
		t.Errorf("%d, not %d", got, r.size)
	}
	if rec := tk.Vnodes.Get(n.v); rec.End != r.size {
		t.Errorf("%+v", rec)
	}
}

// Where nothing can be reserved the server writes.
func TestReserveRefused(t *testing.T) {
	tk := newTestKernel(t)
	fd, n, r, data := growing(t, tk)
	r.refused = true
	size := uint64(extendMin)
	for range 20 {
		if extendBy(t, tk, n, fd, 100).Op != 0 {
			t.Error("lent")
		}
		if size += 100; tk.sizeOf("/a") != size || r.size != size {
			t.Fatalf("%d and %d, not %d: %v", tk.sizeOf("/a"), r.size, size, r.done())
		}
		if rec := tk.Vnodes.Get(n.v); rec.Reserved != 0 || rec.End != 0 {
			t.Fatalf("%+v", rec)
		}
		tk.do(tk.init, func(*Call) { fillNow(tk, n, data) })
	}
}

// The next incarnation knows how long it is, and gives the rest back.
func TestReservedAndDead(t *testing.T) {
	for _, closed := range []bool{false, true} {
		tk := newTestKernel(t)
		fd, n, r, l := lentGrowing(t, tk)
		l.Size, l.Wrote = l.Size+5000, 99
		size := l.Size
		if closed {
			r.trimming(func() { select {} }) // it dies while it trims
			tk.do(tk.init, func(c *Call) {
				if e := c.CloseFD(fd); e != 0 {
					t.Error(e)
				}
			})
		}
		tk.Enter()
		n.lookWritten() // and is not committed
		r.trimming(nil)
		tk.root = &reserving{Server: tk.root, id: n.id, size: r.size}
		next := tk.nextOf(tk.host.lending)
		r = next.root.(*reserving)
		if closed {
			next.idle()
			if r.size != size {
				t.Errorf("not given back: %d, not %d", r.size, size)
			}
		}
		if got := next.sizeOf("/a"); got != size {
			t.Errorf("closed %v: %d, not %d", closed, got, size)
		}
		if !closed {
			if rec := next.Vnodes.Get(n.v); rec.Roomy != 0 || rec.End != size {
				t.Errorf("%+v", rec)
			}
		}
	}
}

// Who writes over what is there gets no room: not what another one uses, nor what was reserved by an incarnation
// that died before the file server had heard of it.
func TestRoomForWhoExtends(t *testing.T) {
	tk := newTestKernel(t)
	_, n, _, l := lentGrowing(t, tk)
	size := l.Size
	tk.Enter()
	tk.root = &reserving{Server: tk.root, id: n.id, size: size}
	next := tk.nextOf(tk.host.lending)
	r := next.root.(*reserving)
	var fd int32
	next.do(next.init, func(c *Call) {
		var e abi.Errno
		if fd, e = open(c, "/a", rw, 0, 0); e != 0 {
			t.Fatal(e)
		}
		f, _, _ := c.File(fd)
		n = next.nodeOf(next.Files.Get(f).Vnode)
		fillable(t, c, n)
	})
	if rec := next.Vnodes.Get(n.v); rec.Reserved <= size || rec.End != size {
		t.Fatalf("%+v", rec)
	}
	var act abi.Action
	for i := 0; act.Op == 0; i++ {
		if i == 2*lendOften {
			t.Fatal("not lent")
		}
		act = overwrite(t, next, fd, 0)
	}
	l = &next.host.records(next.task())[fd]
	if begin(l, act); l.Gen&1 == 0 || l.Slot&abi.LentWrite == 0 || l.Slot>>abi.LentRoom != 0 || l.Ends != 0 {
		t.Errorf("%+v", l)
	}
	if rec := next.Vnodes.Get(n.v); rec.Roomy != 0 {
		t.Errorf("%+v", rec)
	}
	// Who makes it longer has it trimmed first.
	r.done()
	next.do(next.init, func(c *Call) {
		if m, e := c.WriteFD(fd, guestBase, 10, int64(size)); m != 10 || e != 0 {
			t.Error(m, e)
		}
	})
	if did := r.done(); len(did) != 2 || did[0] != "trim" || did[1] != "write" || r.size != size+10 {
		t.Errorf("%v: %d, not %d", did, r.size, size+10)
	}
}

// TestTrimAndGone: its last name goes, and with it what is known of it here, while it is trimmed.
func TestTrimAndGone(t *testing.T) {
	tk := newTestKernel(t)
	fd, n, r := reserved(t, tk)
	gone := make(chan struct{})
	r.trimming(func() {
		r.trimming(nil)
		tk.do(tk.init, func(c *Call) {
			if e := c.Unlink(AtCwd, "/a"); e != 0 {
				t.Error(e)
			}
		})
		if n.v != 0 {
			t.Error("the record is still there: this tests nothing")
		}
		close(gone)
	})
	tk.do(tk.init, func(c *Call) {
		if e := c.CloseFD(fd); e != 0 {
			t.Error(e)
		}
	})
	<-gone
	tk.idle()
	tk.checkVFS()
}

// TestTrimAndRelease: the file server is not told that a file is closed which is being trimmed: what
// is written after the next opening would be cut.
func TestTrimAndRelease(t *testing.T) {
	tk := newTestKernel(t)
	fd, _, r := reserved(t, tk)
	trims, goOn := make(chan struct{}), make(chan struct{})
	var trimming atomic.Bool
	closed := 0
	r.trimming(func() {
		r.trimming(nil)
		trimming.Store(true)
		close(trims)
		<-goOn
		trimming.Store(false)
	})
	r.closed = func() {
		if closed++; trimming.Load() {
			t.Error("released while it is trimmed")
		}
	}
	tk.do(tk.init, func(c *Call) {
		if e := c.CloseFD(fd); e != 0 {
			t.Error(e)
		}
	})
	<-trims
	released := make(chan struct{})
	go func() {
		tk.Enter()
		tk.ReleaseAll()
		tk.Leave()
		close(released)
	}()
	for waits := 0; waits < 1000; { // for long enough to see one that does not wait for the trimmer
		tk.Enter()
		if tk.vfsRec().Releasing != 0 {
			waits++
		}
		tk.Leave()
		select {
		case <-released:
			waits = 1000
		default:
			runtime.Gosched()
		}
	}
	close(goOn)
	<-released
	if tk.idle(); closed != 1 {
		t.Errorf("released %d times", closed)
	}
	tk.checkVFS()
}

// TestTrimPanics: a file server in this process that panics when it is told of the end unasked is not told so by
// each next incarnation.
func TestTrimPanics(t *testing.T) {
	tk := newTestKernel(t)
	fd, n, r := reserved(t, tk)
	tk.Enter()
	tk.vfs.trimming = true // nobody trims but the test
	tk.Leave()
	tk.do(tk.init, func(c *Call) {
		if e := c.CloseFD(fd); e != 0 {
			t.Error(e)
		}
	})
	r.trimming(func() { panic("trim") })
	died := func() (died bool) {
		defer func() { died = recover() != nil }()
		tk.Enter()
		tk.trimDue()
		tk.Leave()
		return false
	}
	if !died() {
		t.Fatal("the panic did not end the server")
	}
	tk.root = r
	tk = tk.nextOf(lending{}, func(k *Kernel) { k.vfs.trimming = true })
	if tk.vfs.trims.empty() {
		t.Fatal("the next incarnation trims nothing: this tests nothing")
	}
	if died() {
		t.Error("and the next one, too")
	}
	r.trimming(nil)
	if size := tk.sizeOf("/a"); size != n.attr.Size {
		t.Errorf("it ends at %d, not %d", size, n.attr.Size)
	}
	if tk.idle(); r.size != n.attr.Size {
		t.Errorf("%d bytes are left, not %d", r.size, n.attr.Size)
	}
}
