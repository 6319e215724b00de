package core

import (
	"io"
	"slices"
	"testing"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/store"
)

// noLending is a host whose tasks can be lent nothing.
type noLending struct{}

func (noLending) Lend(TaskID, int, uint64, uint32, bool) (uint64, bool)  { return 0, false }
func (noLending) Unlend(TaskID, int)                                     {}
func (noLending) UnlendStat(TaskID, int) (uint64, bool)                  { return 0, false }
func (noLending) LentWrote(TaskID, int) (uint64, bool)                   { return 0, false }
func (noLending) LentSize(TaskID, int, bool) (uint64, bool)              { return 0, false }
func (noLending) Cycles() uint64                                         { return 0 }
func (noLending) LentPos(TaskID, int) (uint64, bool)                     { return 0, false }
func (noLending) NewStream(uint) (ObjectName, abi.Errno)                 { return 0, abi.ENOSYS }
func (noLending) StreamBack(ObjectName, uint, int) (_, _ uint64, _ bool) { return 0, 0, false }
func (noLending) SetStream(ObjectName, int, uint64, uint64) bool         { return false }
func (noLending) StreamWord(ObjectName, int) uint64                      { return 0 }
func (noLending) StreamBytes(ObjectName, int, uint64, []byte) uint32     { return 0 }
func (noLending) StreamFill(ObjectName, uint64, []byte, uint32) bool     { return false }
func (noLending) SetLentPos(TaskID, int, uint64, uint64) bool            { return false }
func (noLending) TellOpen(TaskID, int, uint64)                           {}
func (noLending) CloseWord(TaskID, int) (uint64, bool)                   { return 0, false }
func (noLending) SetClose(TaskID, int, uint64, uint64) bool              { return false }

func (noLending) LentRing(TaskID, int, uint64, []byte) uint64 { return 0 }
func (noLending) StreamPoll(ObjectName, int, uint32, bool)    {}
func (noLending) LendSet(TaskID, int, int32, []abi.LentItem, uint64, uint64) bool {
	return false
}
func (noLending) UnlendSet(TaskID, int) uint32                 { return 0 }
func (noLending) SetChanged(TaskID, int) bool                  { return false }
func (noLending) SetItems(TaskID, int) (int32, []abi.LentItem) { return 0, nil }
func (noLending) SettleSet(TaskID, int)                        {}
func (noLending) SetSleeps(TaskID, int) bool                   { return false }
func (noLending) HostsBusy(TaskID) uint64                      { return 0 }

// lending is a host whose tasks keep the records of abi.Lent. They outlive a kernel.
type lending struct {
	lentTo map[TaskID]*[abi.LentFiles + abi.LentPipes]abi.Lent
	// rings are the bytes of each ring of the one task that has pipes.
	rings   [abi.LentPipes][]byte
	streams map[ObjectName]*testStream
	sets    map[TaskID]*[abi.LentSets]testSet
	noSets  bool // it lends none
	// noSettle: the server dies before it says that its record has what the library has changed.
	noSettle bool
	open     map[TaskID]*[abi.LentFiles]uint64
	busy     uint64 // HostsBusy
	closes   map[TaskID]*[abi.LentFiles]uint64
	cycles   uint64
}

// testSet is an epoll set that a task was lent.
type testSet struct {
	lent  bool
	fd    int32
	items []abi.LentItem
	next  int
	// changed: the library has changed items, and that is not settled.
	changed bool
	host    uint64
	wake    uint64
	sleeps  bool
}

func (h *lending) SetChanged(t TaskID, i int) bool { return h.sets[t] != nil && h.sets[t][i].changed }

func (h *lending) SetItems(t TaskID, i int) (int32, []abi.LentItem) {
	return h.sets[t][i].fd, slices.Clone(h.sets[t][i].items)
}

func (h *lending) SettleSet(t TaskID, i int) {
	if h.sets[t] != nil && !h.noSettle {
		h.sets[t][i].changed = false
	}
}

// ctl is what a task's library does for epoll_ctl(2) of a stream that is listed. false: it asks.
func (h *lending) ctl(t TaskID, ep, op, fd int32, ev uint32, data uint64) (e abi.Errno, ok bool) {
	if h.sets[t] == nil {
		return 0, false
	}
	for i := range h.sets[t] {
		s := &h.sets[t][i]
		if !s.lent || s.fd != ep {
			continue
		}
		for j := range s.items {
			it := &s.items[j]
			if it.FD != fd || it.Stream == 0 {
				continue
			}
			switch {
			case op == EpollAdd && it.Off == 0:
				return abi.EEXIST, true
			case op != EpollAdd && it.Off != 0:
				return abi.ENOENT, true
			}
			if op == EpollDel {
				it.Off = 1
			} else {
				it.Off, it.Events, it.Data = 0, ev, data
			}
			s.changed = true
			return 0, true
		}
	}
	return 0, false
}

func (h *lending) LendSet(t TaskID, i int, fd int32, items []abi.LentItem, host, wake uint64) bool {
	if h.noSets {
		return false
	}
	if h.sets == nil {
		h.sets = map[TaskID]*[abi.LentSets]testSet{}
	}
	if h.sets[t] == nil {
		h.sets[t] = new([abi.LentSets]testSet)
	}
	if h.sets[t][i].changed {
		return false
	}
	if h.sets[t][i].lent {
		panic("a set is lent in the place of another one")
	}
	h.sets[t][i] = testSet{lent: true, fd: fd, items: append([]abi.LentItem(nil), items...), host: host, wake: wake, sleeps: h.sets[t][i].sleeps}
	return true
}

func (h *lending) HostsBusy(TaskID) uint64 { return h.busy }

func (h *lending) SetSleeps(t TaskID, i int) bool { return h.sets[t] != nil && h.sets[t][i].sleeps }

func (h *lending) UnlendSet(t TaskID, i int) uint32 {
	if h.sets[t] == nil {
		return 0
	}
	s := &h.sets[t][i]
	s.lent = false
	return uint32(s.next)
}

// wait is what a task's library does for epoll_wait(2) with a time limit of 0. false: it asks.
func (h *lending) wait(t TaskID, fd int32, most int) (ev []EpollEvent, ok bool) {
	if h.sets[t] == nil {
		return nil, false
	}
	for i := range h.sets[t] {
		s := &h.sets[t][i]
		if !s.lent || s.fd != fd {
			continue
		}
		for range min(most, len(s.items)) {
			it := s.items[s.next]
			ev = append(ev, EpollEvent{it.Events, it.Data})
			s.next = (s.next + 1) % len(s.items)
		}
		return ev, true
	}
	return nil, false
}

func (h *lending) records(t TaskID) *[abi.LentFiles + abi.LentPipes]abi.Lent {
	if h.lentTo == nil {
		h.lentTo = map[TaskID]*[abi.LentFiles + abi.LentPipes]abi.Lent{}
	}
	if h.lentTo[t] == nil {
		h.lentTo[t] = new([abi.LentFiles + abi.LentPipes]abi.Lent)
	}
	return h.lentTo[t]
}

func (h *lending) LentRing(t TaskID, ring int, head uint64, b []byte) uint64 {
	for i := range b {
		if r := h.rings[ring]; r != nil {
			b[i] = r[(head+uint64(i))%abi.LentRingSize]
		}
	}
	return h.records(t)[abi.LentFiles+ring].Size
}

func (h *lending) Lend(t TaskID, fd int, size uint64, slot uint32, _ bool) (uint64, bool) {
	h.Unlend(t, fd)
	l := &h.records(t)[fd]
	l.Size, l.Slot = size, slot
	return l.Gen, true
}

func (h *lending) Unlend(t TaskID, fd int) {
	l := &h.records(t)[fd]
	l.Gen = (l.Gen | 1) + 1
}

func (h *lending) UnlendStat(t TaskID, fd int) (uint64, bool) {
	l := &h.records(t)[fd]
	l.Stat = (l.Stat | 1) + 1
	return l.Stat, true
}

func (h *lending) LentWrote(t TaskID, fd int) (uint64, bool) { return h.records(t)[fd].Wrote, true }

func (h *lending) LentSize(t TaskID, fd int, take bool) (uint64, bool) {
	l := &h.records(t)[fd]
	if take {
		l.Size |= abi.LentTaken
	}
	return l.Size &^ abi.LentTaken, true
}

func (h *lending) Cycles() uint64 { h.cycles++; return h.cycles }

func (h *lending) LentPos(t TaskID, fd int) (uint64, bool) {
	l := &h.records(t)[fd]
	l.Pos &^= abi.LentPos
	return l.Pos, true
}

func (h *lending) SetLentPos(t TaskID, fd int, from, to uint64) bool {
	l := &h.records(t)[fd]
	if l.Pos != from {
		return false
	}
	l.Pos = to
	return true
}

func (h *lending) TellOpen(t TaskID, fd int, v uint64) {
	if h.open == nil {
		h.open = map[TaskID]*[abi.LentFiles]uint64{}
	}
	if h.open[t] == nil {
		h.open[t] = new([abi.LentFiles]uint64)
	}
	h.open[t][fd] = v
}

func (h *lending) words(t TaskID) *[abi.LentFiles]uint64 {
	if h.closes == nil {
		h.closes = map[TaskID]*[abi.LentFiles]uint64{}
	}
	if h.closes[t] == nil {
		h.closes[t] = new([abi.LentFiles]uint64)
	}
	return h.closes[t]
}

func (h *lending) CloseWord(t TaskID, fd int) (uint64, bool) { return h.words(t)[fd], true }

func (h *lending) SetClose(t TaskID, fd int, from, to uint64) bool {
	w := &h.words(t)[fd]
	if *w != from {
		return false
	}
	*w = to
	return true
}

// testStream is a stream's memory.
type testStream struct {
	shift        uint
	words, count [2]uint64
	polled       [2]uint32
	rings        [2][]byte
	fill         uint32
	claim        bool
}

func (h *lending) NewStream(shift uint) (ObjectName, abi.Errno) {
	if h.streams == nil {
		h.streams = map[ObjectName]*testStream{}
	}
	o := ObjectName(9000 + len(h.streams))
	h.streams[o] = &testStream{shift: shift, rings: [2][]byte{make([]byte, 1<<shift), make([]byte, 1<<shift)}}
	return o, 0
}

func (h *lending) StreamPoll(o ObjectName, dir int, who uint32, on bool) {
	if x := h.streams[o]; on {
		x.polled[dir] |= who
	} else {
		x.polled[dir] &^= who
	}
}

func (h *lending) StreamBack(o ObjectName, _ uint, dir int) (word, count uint64, ok bool) {
	x := h.streams[o]
	if x == nil {
		return 0, 0, false
	}
	x.words[dir] &^= abi.StreamLent
	return x.words[dir], x.count[dir], true
}

func (h *lending) SetStream(o ObjectName, dir int, from, to uint64) bool {
	x := h.streams[o]
	if x == nil || x.words[dir] != from {
		return false
	}
	x.words[dir] = to
	return true
}

func (h *lending) StreamWord(o ObjectName, dir int) uint64 { return h.streams[o].words[dir] }

func (h *lending) StreamBytes(o ObjectName, dir int, head uint64, b []byte) uint32 {
	for i := range b {
		b[i] = h.streams[o].rings[dir][(head+uint64(i))%(1<<h.streams[o].shift)]
	}
	return h.streams[o].fill
}

func (h *lending) StreamFill(o ObjectName, head uint64, b []byte, fill uint32) bool {
	if len(b) > 0 && h.streams[o].claim {
		return false
	}
	for i := range b {
		h.streams[o].rings[0][(head+uint64(i))%(1<<h.streams[o].shift)] = b[i]
	}
	h.streams[o].fill = fill
	return true
}

// bytesData is a memory object's data.
type bytesData []byte

func (b bytesData) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(b)) {
		return 0, io.EOF
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
func (b bytesData) WriteAt(p []byte, off int64) (int, error) { return copy(b[off:], p), nil }

// newFile opens a file of so many bytes, whose node set then changes.
func newFile(t *testing.T, tk *testKernel, name string, size uint64, set func(c *Call, n *node)) (fd int32, n *node) {
	t.Helper()
	tk.do(tk.init, func(c *Call) {
		var e abi.Errno
		if fd, e = open(c, name, rw, OpenCreate, 0o644); e != 0 {
			t.Fatal(e)
		}
		if _, e = c.WriteFD(fd, guestBase, size, -1); e != 0 {
			t.Fatal(e)
		}
		if _, e = c.SeekFD(fd, 0, 0); e != 0 {
			t.Fatal(e)
		}
		f, _, _ := c.File(fd)
		n = tk.nodeOf(tk.Files.Get(f).Vnode)
		set(c, n)
	})
	return fd, n
}

// lentFile opens a file that is read through a memory object, and reads it until it is
// lent. It answers the descriptor, the record of it and the last answer's ActLend.
func lentFile(t *testing.T, tk *testKernel, name string) (fd int32, l *abi.Lent, act abi.Action) {
	t.Helper()
	fd, _ = newFile(t, tk, name, 1000, func(c *Call, n *node) {
		if e := c.refresh(n, false); e != 0 {
			t.Fatal(e)
		}
		tk.Vnodes.Mut(n.v).Object = 5
		n.data = bytesData(make([]byte, 1000))
	})
	for i := 0; act.Op == 0; i++ {
		if i == 2*lendOften {
			t.Fatal("read so often, and not lent")
		}
		act, _ = readLend(t, tk, fd)
	}
	return fd, &tk.host.records(tk.task())[fd], act
}

func (tk *testKernel) task() TaskID { return tk.Procs.Get(tk.Threads.Get(tk.init).Proc).Task }

// readLend reads ten bytes by a call and answers its ActLend, if there is one.
func readLend(t *testing.T, tk *testKernel, fd int32) (act abi.Action, n uint64) {
	t.Helper()
	tk.do(tk.init, func(c *Call) {
		c.Task = tk.task()
		var e abi.Errno
		if n, e = c.ReadFD(fd, guestBase, 10, -1); e != 0 {
			t.Fatal(e)
		}
		for i, a := range c.Acts {
			if a.Op == abi.ActLend {
				if act = a; i != 0 {
					t.Errorf("%v: the copy before it may fail", c.Acts)
				}
			}
		}
	})
	return act, n
}

// begin does what the library does with ActLend.
func begin(l *abi.Lent, a abi.Action) {
	if a.A[2] != 0 && l.Gen == a.A[2] {
		l.Gen |= 1
	}
	if l.Pos == a.A[3] {
		l.Pos = a.A[4]
	}
}

// offset is what a call finds.
func (tk *testKernel) offset(fd int32) (off int64) {
	tk.do(tk.init, func(c *Call) {
		_, file, e := c.File(fd)
		if e != 0 {
			tk.t.Fatal(e)
		}
		off = file.Off
	})
	return off
}

func TestLend(t *testing.T) {
	tk := newTestKernel(t)
	fd, l, act := lentFile(t, tk, "/a")
	if l.Gen&1 != 0 || l.Size != 1000 || act.A[0] != uint64(fd) || act.A[1] != 1000 || l.Pos&abi.LentPos != 0 {
		t.Fatalf("before the library has mapped it: %+v %+v", l, act)
	}
	tag := act.Flags
	begin(l, act)
	if l.Gen&1 != 1 || l.Pos&abi.LentPos == 0 {
		t.Fatalf("lent: %+v", l)
	}
	l.Pos += 33
	at := int64(l.Pos & abi.LentOffset)
	if off := tk.offset(fd); off != at || l.Pos&abi.LentPos != 0 {
		t.Errorf("offset %d, %+v; want %d", off, l, at)
	}
	// The offset is lent again, the file still is.
	gen := l.Gen
	act, _ = readLend(t, tk, fd)
	if begin(l, act); l.Gen != gen || act.A[1] != 0 || act.Flags != tag || int64(l.Pos&abi.LentOffset) != at+10 {
		t.Errorf("again: %+v %+v; the mapping came with tag %x", l, act, tag)
	}
	// A library that begins too late.
	late := act
	tk.offset(fd)
	if begin(l, late); l.Pos&abi.LentPos != 0 {
		t.Errorf("it began with what had been taken back: %+v", l)
	}
}

// An offset that others have, too, is lent to who reads by it often; who comes next by another
// descriptor takes it back, and none is lent to be written by.
func TestLentShared(t *testing.T) {
	tk := newTestKernel(t)
	fd, l, act := lentFile(t, tk, "/a")
	begin(l, act)
	l.Pos += 20
	at := int64(l.Pos & abi.LentOffset)
	other := int32(0)
	tk.do(tk.init, func(c *Call) {
		var e abi.Errno
		if other, e = c.Dup(fd, 20, 0); e != 0 {
			t.Fatal(e)
		}
	})
	if l.Pos&abi.LentPos != 0 {
		t.Error("still lent when there are two")
	}
	for i := 0; l.Pos&abi.LentPos == 0; i++ {
		if i > sharedOften {
			t.Fatal("not lent")
		}
		act, _ := readLend(t, tk, fd)
		if at += 10; act.Op != 0 {
			begin(l, act)
		}
	}
	l.Pos += 5
	if off := tk.offset(other); off != at+5 || l.Pos&abi.LentPos != 0 {
		t.Errorf("at %d, not %d: %+v", off, at+5, l)
	}
	tk.do(tk.init, func(c *Call) {
		f, _, _ := c.File(fd)
		tk.Files.Mut(f).WriteTo = 1
	})
	for range 3 * sharedOften {
		act, _ := readLend(t, tk, fd)
		if begin(l, act); l.Pos&abi.LentPos != 0 {
			t.Fatal("lent though it is written to")
		}
	}
	tk.do(tk.init, func(c *Call) {
		f, _, _ := c.File(fd)
		tk.Files.Mut(f).WriteTo = 0
	})
}

// What takes a file back has done so when it is done.
func TestTakeBack(t *testing.T) {
	for what, do := range map[string]func(c *Call, fd int32) abi.Errno{
		"truncate": func(c *Call, fd int32) abi.Errno {
			f, _, _ := c.File(fd)
			return c.K.Ops(f).Truncate(c, f, 500)
		},
		"write":  func(c *Call, fd int32) abi.Errno { _, e := c.WriteFD(fd, guestBase, 5000, 0); return e },
		"close":  func(c *Call, fd int32) abi.Errno { return c.CloseFD(fd) },
		"dup2":   func(c *Call, fd int32) abi.Errno { return c.Dup2(0, fd, 0) },
		"chmod":  func(c *Call, fd int32) abi.Errno { return c.Chmod(Target{Dir: AtCwd, Path: "/b"}, 0o600) },
		"shared": func(c *Call, fd int32) abi.Errno { c.K.takeBackTable(c.Proc().FDs); return 0 },
	} {
		tk := newTestKernel(t)
		lentFile(t, tk, "/a")
		fd, l, act := lentFile(t, tk, "/b")
		begin(l, act)
		tk.do(tk.init, func(c *Call) {
			c.Task = tk.task()
			if e := do(c, fd); e != 0 {
				t.Errorf("%s: %v", what, e)
			}
		})
		if l.Gen&1 != 0 {
			t.Errorf("%s: still lent", what)
		}
		tk.Enter()
		for _, n := range tk.vfs.nodes {
			n.takeBack()
		}
		for fd, l := range tk.tasks[tk.task()].lent.fds {
			if l.loans != [loanKinds]loan{} {
				t.Errorf("%s: descriptor %d: %v", what, fd, l)
			}
		}
		tk.Leave()
	}
}

// A server that dies leaves the offset where the library has it, if that has begun to move
// it, and else where the record says.
func TestLentAndDead(t *testing.T) {
	for _, begun := range []bool{true, false} {
		tk := newTestKernel(t)
		fd, l, act := lentFile(t, tk, "/a")
		at := int64(act.A[4] & abi.LentOffset)
		if begun {
			begin(l, act)
			l.Pos += 7
			at += 7
		}
		// A call takes it back, reads on, lends it again, and is not committed.
		tk.Enter()
		c, _ := tk.call(tk.init)
		c.Task = tk.task()
		if _, e := c.ReadFD(fd, guestBase, 10, -1); e != 0 {
			t.Fatal(e)
		}
		host := tk.host.lending
		n := tk.nextOf(host)
		if _, file, e := fileOf(n, fd); e != 0 || file.Off != at || file.LentTo != 0 {
			t.Errorf("begun %v: %v %+v, want %d", begun, e, file, at)
		}
		if begin(&n.host.records(n.task())[fd], act); n.host.records(n.task())[fd].Pos&abi.LentPos != 0 {
			t.Errorf("begun %v: what the dead one has lent is moved", begun)
		}
	}
}

// lentEvent makes an event counter and uses it until it is lent.
func lentEvent(t *testing.T, tk *testKernel, semaphore bool) (fd int32, l *abi.Lent, act abi.Action) {
	t.Helper()
	tk.do(tk.init, func(c *Call) {
		var e abi.Errno
		if fd, e = c.NewEventFD(0, semaphore, OpenNonblock); e != 0 {
			t.Fatal(e)
		}
	})
	for i := 0; act.Op == 0; i++ {
		if i == lendOften {
			t.Fatal("used so often, and not lent")
		}
		act = useEvent(t, tk, fd)
	}
	return fd, &tk.host.records(tk.task())[fd], act
}

// useEvent adds 1 to a counter by a call and answers its ActLend, if there is one.
func useEvent(t *testing.T, tk *testKernel, fd int32) (act abi.Action) {
	t.Helper()
	tk.doX(tk.init, func(c *Call, x *testChan) {
		c.Task = tk.task()
		putLE64(x.mem(), 1)
		if n, e := c.WriteFD(fd, guestBase, 8, -1); n != 8 || e != 0 {
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

// counted answers what is in a counter, as a call finds it.
func (tk *testKernel) counted(fd int32) (n uint64) {
	tk.do(tk.init, func(c *Call) {
		_, file, e := c.File(fd)
		if e != 0 {
			tk.t.Fatal(e)
		}
		n = tk.Events.Get(store.Ref[EventFD](file.Obj)).Count
	})
	return n
}

// An event counter is lent with what is in it, and is the server's again for whoever comes to it.
func TestLendEvent(t *testing.T) {
	for _, semaphore := range []bool{false, true} {
		tk := newTestKernel(t)
		fd, l, act := lentEvent(t, tk, semaphore)
		begin(l, act)
		kind := uint64(abi.LentIsEvent)
		if semaphore {
			kind = abi.LentIsSemaphore
		}
		if l.Pos&abi.LentPos == 0 || l.Pos>>abi.LentKind&abi.LentKinds != kind || l.Pos&abi.LentOffset != lendOften || l.Gen&1 != 0 {
			t.Fatalf("lent: %+v", l)
		}
		l.Pos += 30
		if n := tk.counted(fd); n != lendOften+30 || l.Pos&abi.LentPos != 0 {
			t.Errorf("%d, %+v", n, l)
		}
		if begin(l, act); l.Pos&abi.LentPos != 0 {
			t.Error("it began with what had been taken back")
		}
	}
}

// What takes a counter back, and what keeps it from being lent.
func TestTakeBackEvent(t *testing.T) {
	for what, x := range map[string]struct {
		do   func(c *Call, fd int32) abi.Errno
		lent bool // again, by the calls that follow
	}{
		"dup":   {func(c *Call, fd int32) abi.Errno { _, e := c.Dup(fd, 0, 0); return e }, false},
		"poll":  {func(c *Call, fd int32) abi.Errno { _, e := c.Poll([]PollFD{{FD: fd, Events: PollIn}}, 0); return e }, true},
		"table": {func(c *Call, fd int32) abi.Errno { c.K.takeBackTable(c.Proc().FDs); return 0 }, true},
		"shared": {func(c *Call, fd int32) abi.Errno {
			c.K.takeBackTable(c.Proc().FDs)
			c.K.FDs.Mut(c.Proc().FDs).Refs++
			return 0
		}, false},
		"pinned": {func(c *Call, fd int32) abi.Errno { f, _, e := c.File(fd); c.K.pinFile(f); return e }, false},
		"epoll": {func(c *Call, fd int32) abi.Errno {
			ep, e := c.NewEpoll(0)
			if e != 0 {
				return e
			}
			return c.EpollCtl(ep, EpollAdd, fd, PollIn, 0)
		}, false},
		"too much": {func(c *Call, fd int32) abi.Errno {
			f, file, e := c.File(fd)
			c.K.Events.Mut(eventOps{stillOps{BaseOps{c.K}}}.ref(f)).Count = abi.LentOffset + 1
			_ = file
			return e
		}, false},
		"thread": {func(c *Call, fd int32) abi.Errno {
			f, _, e := c.File(fd)
			c.K.Ops(f).Queue(f).Watch(func(uint32) {})
			return e
		}, false},
	} {
		tk := newTestKernel(t)
		fd, l, act := lentEvent(t, tk, false)
		begin(l, act)
		l.Pos += 5
		tk.do(tk.init, func(c *Call) {
			c.Task = tk.task()
			if e := x.do(c, fd); e != 0 {
				t.Errorf("%s: %v", what, e)
			}
		})
		if l.Pos&abi.LentPos != 0 {
			t.Errorf("%s: still lent", what)
		}
		if n := tk.counted(fd); n != lendOften+5 && what != "too much" {
			t.Errorf("%s: %d", what, n)
		}
		again := false
		for range 2 * lendOften {
			again = again || useEvent(t, tk, fd).Op != 0
		}
		if again != x.lent {
			t.Errorf("%s: lent again: %v", what, again)
		}
		if what == "shared" {
			tk.Enter()
			tk.FDs.Mut(tk.Procs.Get(tk.Threads.Get(tk.init).Proc).FDs).Refs--
			tk.Leave()
		}
	}
}

// A server that dies leaves in a counter what the library has made of it, if that has begun to,
// and else what the record says; a task that forges its record has what it says in its own.
func TestLentEventAndDead(t *testing.T) {
	for _, begun := range []bool{true, false} {
		tk := newTestKernel(t)
		fd, l, act := lentEvent(t, tk, false)
		want := uint64(lendOften)
		if begun {
			begin(l, act)
			l.Pos += 7
			want += 7
		}
		tk.Enter()
		c, _ := tk.call(tk.init)
		c.Task = tk.task()
		f, _, _ := fileOf(tk, fd)
		tk.fileRT(f).reads = lendOften // a call takes it back, lends it again, and is not committed
		if n, e := c.ReadFD(fd, guestBase, 8, -1); n != 8 || e != 0 || len(c.Acts) != 2 {
			t.Fatal(n, e, c.Acts)
		}
		n := tk.nextOf(tk.host.lending)
		if got := n.counted(fd); got != want {
			t.Errorf("begun %v: %d, want %d", begun, got, want)
		}
		l = &n.host.records(n.task())[fd]
		if begin(l, act); l.Pos&abi.LentPos != 0 {
			t.Errorf("begun %v: what the dead one has lent is moved", begun)
		}
		for _, forged := range []uint64{0, ^uint64(0), 1 << 62, abi.LentOffset, abi.LentPos, abi.LentPos | 77<<abi.LentShift | 5} {
			for act.Op = 0; act.Op == 0; {
				act = useEvent(t, n, fd)
			}
			begin(l, act)
			l.Pos = forged
			if got := n.counted(fd); got > abi.LentOffset {
				t.Errorf("%x: %d", forged, got)
			}
		}
	}
}

func fileOf(tk *testKernel, fd int32) (store.Ref[File], File, abi.Errno) {
	f, _, e := tk.FDAt(tk.Procs.Get(tk.Threads.Get(tk.init).Proc).FDs, fd)
	return f, *tk.Files.Get(f), e
}

// A task that forges its records deceives itself, and nobody waits for it.
func TestForgedLending(t *testing.T) {
	tk := newTestKernel(t)
	fd, l, act := lentFile(t, tk, "/a")
	begin(l, act)
	for _, forged := range []uint64{0, ^uint64(0), 1 << 62, abi.LentOffset, abi.LentPos, abi.LentPos | 77<<abi.LentShift | 5} {
		l.Pos, l.Gen, l.Size, l.Slot = forged, forged, forged, uint32(forged)
		if off := tk.offset(fd); off < 0 || off > abi.LentOffset {
			t.Errorf("%x: offset %d", forged, off)
		}
		act, n := readLend(t, tk, fd)
		if n > 10 {
			t.Errorf("%x: read %d", forged, n)
		}
		begin(l, act)
	}
}

// hookFS is a file server of which questions for attributes are seen.
type hookFS struct {
	fs.Server
	asked func()
}

func (h hookFS) GetAttr(r fs.Req, id fs.NodeID) (fs.Entry, abi.Errno) {
	h.asked()
	return h.Server.GetAttr(r, id)
}

// What has to be asked to lend a file is asked before the read: with the lock goes what the
// call has done into the state of record, and a server that dies then does it again.
func TestLendAsksFirst(t *testing.T) {
	tk := newTestKernel(t)
	fd, _, _ := lentFile(t, tk, "/a")
	at, asked := tk.offset(fd), 0
	f, _, _ := fileOf(tk, fd)
	n := tk.nodeOf(tk.Files.Get(f).Vnode)
	n.m.srv = hookFS{n.m.srv, func() {
		if asked++; tk.Files.Get(f).Off != at {
			t.Errorf("the offset is %d then, the read began at %d", tk.Files.Get(f).Off, at)
		}
	}}
	tk.Enter()
	n.takeBack()
	n.attrUntil = 0
	tk.Leave()
	for i := 0; ; i++ {
		act, _ := readLend(t, tk, fd)
		if act.Op != 0 {
			break
		}
		if at += 10; i == 2*lendOften {
			t.Fatal("not lent again")
		}
	}
	if asked != 1 {
		t.Errorf("%d questions", asked)
	}
}

// Whoever works with an offset that was lent since he found the file has it taken back.
func TestLentSince(t *testing.T) {
	for what, do := range map[string]func(k *Kernel, f store.Ref[File]){
		"pin":    func(k *Kernel, f store.Ref[File]) { k.pinFile(f); k.unpinFile(nil, f) },
		"kqueue": func(k *Kernel, f store.Ref[File]) { k.readable(f) },
	} {
		tk := newTestKernel(t)
		fd, l, act := lentFile(t, tk, "/a")
		begin(l, act)
		l.Pos += 5
		at := int64(l.Pos & abi.LentOffset)
		tk.Enter()
		f := fdEntries(tk.Heap.Bytes(tk.FDs.Get(tk.Procs.Get(tk.Threads.Get(tk.init).Proc).FDs).Block))[fd].File
		if do(tk.Kernel, f); tk.Files.Get(f).Off != at || tk.Files.Get(f).LentTo != 0 || l.Pos&abi.LentPos != 0 {
			t.Errorf("%s: %+v, want %d", what, tk.Files.Get(f), at)
		}
		tk.Leave()
	}
}

// An answer that says another size takes back what was lent by the old one.
func TestLentAndLearnt(t *testing.T) {
	tk := newTestKernel(t)
	fd, l, act := lentFile(t, tk, "/a")
	begin(l, act)
	tk.Enter()
	defer tk.Leave()
	f, _, _ := tk.FDAt(tk.Procs.Get(tk.Threads.Get(tk.init).Proc).FDs, fd)
	n := tk.nodeOf(tk.Files.Get(f).Vnode)
	e := fs.Entry{Attr: n.attr, TTL: ^uint64(0)}
	if tk.learn(n, n.gen, &e); l.Gen&1 == 0 {
		t.Error("taken back for nothing")
	}
	e.Attr.Size++
	if tk.learn(n, n.gen, &e); l.Gen&1 != 0 {
		t.Error("still lent with the old size")
	}
}

// However often a file is lent whose attributes grow old, one timer looks after it, and after
// others.
func TestLentTimers(t *testing.T) {
	tk := newTestKernel(t)
	fd, l, act := lentFile(t, tk, "/a")
	begin(l, act)
	tk.Enter()
	f, _, _ := fileOf(tk, fd)
	n, before := tk.nodeOf(tk.Files.Get(f).Vnode), len(tk.clock.timers)
	for i := range int64(100) {
		n.attrUntil = tk.Clock.Mono() + 1e9 + i*1e6
		tk.takeBackLater(n)
	}
	other := &node{attrUntil: n.attrUntil + 1e9} // nobody has it any more when it is looked at
	tk.takeBackLater(other)
	tk.Leave()
	if now := len(tk.clock.timers); now != before+1 {
		t.Errorf("%d timers", now-before)
	}
	if tk.clock.Advance(1e9); l.Gen&1 == 0 {
		t.Error("taken back before it had to")
	}
	if tk.clock.Advance(99e6); l.Gen&1 != 0 {
		t.Error("lent for longer than the attributes were good")
	}
	if len(tk.vfs.back) != 0 || n.backAt != 0 || other.backAt != 0 {
		t.Errorf("there are still %d to be looked at", len(tk.vfs.back))
	}
}

// TestStatOpened: who asks for the attributes of what it opens gets them with the descriptor,
// until it does not ask any more; they are taken back as others are.
func TestStatOpened(t *testing.T) {
	tk := newTestKernel(t)
	told := func(name string, ask bool) (kept bool) {
		t.Helper()
		tk.do(tk.init, func(c *Call) {
			c.Task = tk.task()
			fd, e := open(c, name, rw, OpenCreate, 0o644)
			if e != 0 {
				t.Fatal(e)
			}
			if f, file, _ := c.File(fd); tk.nodeOf(file.Vnode) != nil {
				if e := c.refresh(tk.nodeOf(tk.Files.Get(f).Vnode), false); e != 0 {
					t.Fatal(e)
				}
			}
			l := &tk.host.records(c.Task)[fd]
			if s, ok := c.StatOpened(fd); ok {
				if kept = true; s.Mode&0o170000 != 0o100000 {
					t.Errorf("%s: %+v", name, s)
				}
				copy(c.OutBuf(8), "encoded")
				c.KeepOpened(fd, 8)
				a := c.Acts[len(c.Acts)-1]
				if a.Op != abi.ActKeep || a.A[0] != uint64(fd) || a.A[2] != 8 || a.A[3] != l.Stat {
					t.Errorf("%s: %+v, Stat %d", name, a, l.Stat)
				}
				l.Stat |= 1 // as the library
				if _, e := c.WriteFD(fd, guestBase, 10, -1); e != 0 || l.Stat&1 != 0 {
					t.Errorf("%s: still kept when written (%v)", name, e)
				}
			} else if ask {
				if _, e := c.StatFD(fd); e != 0 {
					t.Fatal(e)
				}
				c.CopyOut(guestBase, make([]byte, 8))
				c.KeepStat(fd)
			}
			if e := c.CloseFD(fd); e != 0 {
				t.Fatal(e)
			}
		})
		return kept
	}
	for range statSure {
		if told("/a", true) {
			t.Fatal("told at once")
		}
	}
	n := 0
	for range 2 * statAgain {
		if told("/b", true) {
			n++
		}
	}
	if n != 2*statAgain-2 {
		t.Errorf("told %d times of %d", n, 2*statAgain)
	}
	for n = 0; told("/b", false); n++ {
		if n == statAgain {
			t.Fatal("still told though nobody asks")
		}
	}
	for range 2 {
		if told("/b", false) {
			t.Error("told though nobody asks")
		}
	}
	// Not of what is no file.
	for range 2 * statSure {
		told("/b", true)
	}
	if !told("/b", true) {
		t.Error("not told again")
	}
	tk.do(tk.init, func(c *Call) {
		c.Task = tk.task()
		r, _, e := c.NewPipe(0)
		if e != 0 {
			t.Fatal(e)
		}
		if _, ok := c.StatOpened(r); ok {
			t.Error("told of a pipe")
		}
	})
}

// One file by many descriptors, which are taken back in any order, and not lent while somebody
// watches for reads.
func TestLentByMany(t *testing.T) {
	tk := newTestKernel(t)
	fd, _, _ := lentFile(t, tk, "/a")
	tk.Enter()
	f, _, _ := fileOf(tk, fd)
	n := tk.nodeOf(tk.Files.Get(f).Vnode)
	tk.Leave()
	fds := []int32{fd}
	tk.do(tk.init, func(c *Call) {
		c.Task = tk.task()
		for range 7 {
			d, e := c.Dup(fd, 0, 0)
			if e != 0 {
				t.Fatal(e)
			}
			for range lendOften {
				if _, e := c.ReadFD(d, guestBase, 10, 0); e != 0 {
					t.Fatal(e)
				}
				c.Flush()
			}
			fds = append(fds, d)
		}
	})
	tk.Enter()
	ts := tk.tasks[tk.task()]
	for _, i := range []int{2, 7, 0, 6, 3} {
		tk.takeBackFD(ts, int(fds[i]))
		fds[i] = -1
	}
	want := map[int]bool{}
	for _, fd := range fds {
		if fd >= 0 {
			want[int(fd)] = true
		}
	}
	for at, l := range n.lent[loanFile] {
		if !want[l.fd] || ts.lent.fds[l.fd].loans[loanFile].at != at {
			t.Errorf("%d of %v: descriptor %d, which says %d", at, want, l.fd, ts.lent.fds[l.fd].loans[loanFile].at)
		}
	}
	if len(n.lent[loanFile]) != len(want) {
		t.Errorf("%d lent, not %d", len(n.lent[loanFile]), len(want))
	}
	tk.Leave()
	tk.do(tk.init, func(c *Call) {
		in, e := c.NewInotify(0)
		if e != 0 {
			t.Fatal(e)
		}
		if tk.accessWatched() {
			t.Error("watched by nobody")
		}
		wd, e := c.InotifyAdd(in, "/a", WalkFollow, evAccess)
		if e != 0 || !tk.accessWatched() || len(n.lent[loanFile]) != 0 {
			t.Errorf("watched: %v, %d lent", e, len(n.lent[loanFile]))
		}
		if e := c.InotifyRemove(in, wd); e != 0 || tk.accessWatched() {
			t.Errorf("watched no more: %v", e)
		}
	})
}
