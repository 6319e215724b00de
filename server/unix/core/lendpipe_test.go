package core

import (
	"fmt"
	"testing"

	"hythe/abi"
	"hythe/store"
)

// lentPipe is a pipe of the first process, and what its library would have of it.
type lentPipe struct {
	tk   *testKernel
	r, w int32
	act  abi.Action // the last ActLend
}

func newLentPipe(t *testing.T, tk *testKernel) *lentPipe {
	t.Helper()
	p := &lentPipe{tk: tk}
	tk.do(tk.init, func(c *Call) {
		var e abi.Errno
		if p.r, p.w, e = c.NewPipe(OpenNonblock); e != 0 {
			t.Fatal(e)
		}
	})
	return p
}

// serve writes and reads by calls, and answers what was read.
func (p *lentPipe) serve(s string, n uint64) (got string) {
	p.tk.t.Helper()
	p.act = abi.Action{}
	if s != "" {
		p.tk.doX(p.tk.init, func(c *Call, x *testChan) {
			copy(x.mem(), s)
			if n, e := c.WriteFD(p.w, guestBase, uint64(len(s)), -1); int(n) != len(s) || e != 0 {
				p.tk.t.Fatal(n, e)
			}
		})
	}
	if n > 0 {
		x := p.tk.doX(p.tk.init, func(c *Call, x *testChan) {
			c.Task = p.tk.task()
			m, e := c.ReadFD(p.r, guestBase, n, -1)
			if e != 0 && e != abi.EAGAIN {
				p.tk.t.Fatal(e)
			}
			n = m
			for i, a := range c.Acts {
				if a.Op == abi.ActLend {
					if p.act = a; i != 0 {
						p.tk.t.Error("the copy before it may fail")
					}
				}
			}
		})
		got = string(x.mem()[:n])
	}
	return got
}

// lend uses it until it is lent.
func (p *lentPipe) lend() *lentPipe {
	p.tk.t.Helper()
	for range 2*lendOften + lentForNothing {
		if p.serve("x", 1); p.act.Op != 0 {
			return p
		}
	}
	p.tk.t.Fatal("used so often, and not lent")
	return nil
}

// word is the ring's.
func (p *lentPipe) word() *uint64 { return &p.tk.host.records(p.tk.task())[p.act.A[0]].Pos }

// begin does what the library does with ActLend.
func (p *lentPipe) begin() *lentPipe {
	if w := p.word(); *w == p.act.A[3] {
		*w = p.act.A[4]
	}
	return p
}

// put is what the library does to write.
func (p *lentPipe) put(s string) *lentPipe {
	i := int(p.act.A[0] - abi.LentFiles)
	if p.tk.host.rings[i] == nil {
		p.tk.host.rings[i] = make([]byte, abi.LentRingSize)
	}
	w := p.word()
	for j := range len(s) {
		p.tk.host.rings[i][(*w>>abi.RingHead+*w&abi.RingUsed+uint64(j))%abi.LentRingSize] = s[j]
	}
	*w += uint64(len(s))
	p.tk.host.records(p.tk.task())[p.act.A[0]].Size = uint64(len(s))
	return p
}

// take is what it does to read n bytes.
func (p *lentPipe) take(n uint64) *lentPipe {
	*p.word() += n<<abi.RingHead - n
	return p
}

func (p *lentPipe) lent() bool {
	l := p.tk.host.records(p.tk.task())
	return *p.word()&abi.LentPos != 0 || l[p.r].Pos&abi.LentPos != 0 || l[p.w].Pos&abi.LentPos != 0
}

func TestLendPipe(t *testing.T) {
	tk := newTestKernel(t)
	p := newLentPipe(t, tk).lend()
	no := p.act.A[4] &^ abi.LentPos >> abi.LentShift
	for fd, kind := range map[int32]uint64{p.r: abi.LentIsReader, p.w: abi.LentIsWriter} {
		pos := tk.host.records(tk.task())[fd].Pos
		if pos&abi.LentPos == 0 || pos>>abi.LentKind&abi.LentKinds != kind || pos&abi.LentOffset != no<<abi.LentRing|(p.act.A[0]-abi.LentFiles) {
			t.Errorf("descriptor %d: %x, ring %+v", fd, pos, p.act)
		}
	}
	if *p.word()&abi.LentPos != 0 {
		t.Error("lent before the library has begun")
	}
	if p.begin().put("hello").take(2); !p.lent() {
		t.Error("not lent")
	}
	late := p.act
	if s := p.serve("!", 100); s != "llo!" || p.act.Op != 0 {
		t.Errorf("read %q, then %+v", s, p.act)
	}
	if p.act = late; p.lent() {
		t.Error("still lent")
	}
	if p.begin(); p.lent() {
		t.Error("it began with what had been taken back")
	}
	// Around the ring's end, and full.
	for p.lend().begin(); ; {
		if at := *p.word() >> abi.RingHead % abi.RingHeads; at >= abi.LentRingSize-100 {
			break
		}
		p.put(fmt.Sprintf("%099d", 0)).take(99)
	}
	all := make([]byte, abi.LentRingSize)
	for i := range all {
		all[i] = byte(i * 7 >> 3)
	}
	p.put(string(all))
	if s := p.serve("", abi.LentRingSize+1); s != string(all) {
		t.Errorf("%d bytes came of %d, or others", len(s), len(all))
	}
}

func TestTakeBackPipe(t *testing.T) {
	type do = func(c *Call, p *lentPipe) abi.Errno
	watch := func(fd func(p *lentPipe) int32) do {
		return func(c *Call, p *lentPipe) abi.Errno {
			f, _, e := c.File(fd(p))
			c.K.Ops(f).Queue(f).Watch(func(uint32) {})
			return e
		}
	}
	r, w := func(p *lentPipe) int32 { return p.r }, func(p *lentPipe) int32 { return p.w }
	dup := func(fd func(p *lentPipe) int32) do {
		return func(c *Call, p *lentPipe) abi.Errno { _, e := c.Dup(fd(p), 0, 0); return e }
	}
	pin := func(fd func(p *lentPipe) int32) do {
		return func(c *Call, p *lentPipe) abi.Errno { f, _, e := c.File(fd(p)); c.K.pinFile(f); return e }
	}
	for what, x := range map[string]struct {
		do   do
		lent bool // again, by the calls that follow
	}{
		"dup of the reader": {dup(r), false},
		"dup of the writer": {dup(w), false},
		"watched reader":    {watch(r), false},
		"watched writer":    {watch(w), false},
		"pinned reader":     {pin(r), false},
		"pinned writer":     {pin(w), false},
		"poll": {func(c *Call, p *lentPipe) abi.Errno {
			_, e := c.Poll([]PollFD{{FD: p.w, Events: PollOut}}, 0)
			return e
		}, true},
		"table": {func(c *Call, p *lentPipe) abi.Errno { c.K.takeBackTable(c.Proc().FDs); return 0 }, true},
		"all":   {func(c *Call, p *lentPipe) abi.Errno { c.K.takeBackAll(); return 0 }, true},
		"size": {func(c *Call, p *lentPipe) abi.Errno {
			f, _, _ := c.File(p.r)
			_, e := c.K.SetPipeSize(f, 4096)
			return e
		}, false},
		"packets": {func(c *Call, p *lentPipe) abi.Errno {
			f, _, e := c.File(p.w)
			c.K.Files.Mut(f).Flags |= OpenDirect
			return e
		}, false},
		"far away": {func(c *Call, p *lentPipe) abi.Errno {
			e := c.Dup2(p.w, abi.LentFiles, 0)
			c.CloseFD(p.w)
			p.w = abi.LentFiles
			return e
		}, false},
		"another descriptor": {func(c *Call, p *lentPipe) abi.Errno {
			e := c.Dup2(p.w, 50, 0)
			c.CloseFD(p.w)
			p.w = 50
			return e
		}, true},
		"another end": {func(c *Call, p *lentPipe) abi.Errno {
			f, file, _ := c.File(p.w)
			n, e := c.K.vfs.reopen[FilePipe](c, f, AccessRead|AccessWrite, 0)
			if e == 0 && file != nil {
				_, e = c.InstallFD(n, 0, 0)
			}
			return e
		}, false},
		"exposed": {func(c *Call, p *lentPipe) abi.Errno {
			f, _, _ := c.File(p.r)
			c.K.HoldFile(f)
			c.K.DropFile(c, f)
			return 0
		}, true},
	} {
		tk := newTestKernel(t)
		p := newLentPipe(t, tk).lend().begin().put("in it").take(3)
		act := p.act
		l := tk.host.records(tk.task())
		fds := [2]int32{p.r, p.w}
		tk.do(tk.init, func(c *Call) {
			c.Task = tk.task()
			if e := x.do(c, p); e != 0 {
				t.Errorf("%s: %v", what, e)
			}
		})
		if l[act.A[0]].Pos&abi.LentPos != 0 || l[fds[0]].Pos&abi.LentPos != 0 || l[fds[1]].Pos&abi.LentPos != 0 {
			t.Errorf("%s: still lent", what)
		}
		if s := p.serve("", 100); s != "it" {
			t.Errorf("%s: %q", what, s)
		}
		again := false
		for range lentForNothing {
			p.serve("x", 1)
			again = again || p.act.Op != 0
		}
		if again != x.lent {
			t.Errorf("%s: lent again: %v", what, again)
		}
	}
}

// An end is closed: the other one finds what is in the pipe, and then the end.
func TestLentPipeEnds(t *testing.T) {
	for _, reader := range []bool{false, true} {
		tk := newTestKernel(t)
		p := newLentPipe(t, tk).lend().begin().put("last")
		tk.do(tk.init, func(c *Call) {
			fd := p.w
			if reader {
				fd = p.r
			}
			if e := c.CloseFD(fd); e != 0 {
				t.Fatal(e)
			}
		})
		if p.lent() {
			t.Error("still lent")
		}
		tk.doX(tk.init, func(c *Call, x *testChan) {
			if reader {
				if n, e := c.WriteFD(p.w, guestBase, 1, -1); n != 0 || e != abi.EPIPE {
					t.Error(n, e)
				}
				return
			}
			if n, e := c.ReadFD(p.r, guestBase, 10, -1); n != 4 || e != 0 {
				t.Error(n, e)
			}
			c.MutThread().Progress = 0
			if n, e := c.ReadFD(p.r, guestBase, 10, -1); n != 0 || e != 0 {
				t.Error(n, e)
			}
		})
	}
}

// A ring that a thread still writes to is lent to nobody, and there are so many rings.
func TestLentRings(t *testing.T) {
	tk := newTestKernel(t)
	p := newLentPipe(t, tk).lend().begin()
	*p.word() |= abi.RingClaim
	ring := p.act.A[0]
	if s := p.serve("by a call", 100); s != "by a call" {
		t.Errorf("%q", s)
	}
	w := &tk.host.records(tk.task())[ring].Pos
	if *w&abi.RingClaim == 0 || *w&abi.LentPos != 0 {
		t.Errorf("%x: claimed, and taken back", *w)
	}
	var ps []*lentPipe
	rings := map[uint64]bool{}
	for range abi.LentPipes - 1 {
		q := newLentPipe(t, tk).lend().begin().put("here")
		rings[q.act.A[0]] = true
		ps = append(ps, q)
	}
	if rings[ring] || len(rings) != abi.LentPipes-1 {
		t.Errorf("ring %d is claimed: %v", ring, rings)
	}
	q := newLentPipe(t, tk)
	for range 2 * lendOften {
		if q.serve("x", 1); q.act.Op != 0 {
			t.Fatalf("%+v: the only free ring is claimed", q.act)
		}
	}
	*w &^= abi.RingClaim
	if q.lend(); q.act.A[0] != ring {
		t.Errorf("ring %d, not %d", q.act.A[0], ring)
	}
	// One too many has one of the others taken back, with what is in it.
	if newLentPipe(t, tk).lend(); q.lent() && ps[0].lent() {
		t.Error("nobody's ring was taken back")
	}
	for i, q := range ps {
		if s := q.serve("", 10); s != "here" {
			t.Errorf("pipe %d: %q", i, s)
		}
	}
}

// A server that dies leaves in a pipe what the library has made of it, if that has begun to, and
// else what the record says: nothing.
func TestLentPipeAndDead(t *testing.T) {
	for _, begun := range []bool{true, false} {
		for _, claimed := range []bool{true, false} {
			tk := newTestKernel(t)
			p := newLentPipe(t, tk).lend()
			want := ""
			if begun {
				p.begin().put("survives").take(3)
				want = "vives"
			}
			if claimed && begun {
				*p.word() |= abi.RingClaim
			}
			act := p.act
			// A call takes it back, reads, lends it again, and is not committed.
			tk.Enter()
			c, _ := tk.call(tk.init)
			c.Task = tk.task()
			f, _, _ := fileOf(tk, p.r)
			tk.fileRT(f).reads = lendOften
			if n, e := c.ReadFD(p.r, guestBase, 100, -1); begun && (int(n) != len(want) || e != 0 || !claimed && len(c.Acts) != 2) {
				t.Fatal(n, e, c.Acts)
			}
			n := tk.nextOf(tk.host.lending)
			q := &lentPipe{tk: n, r: p.r, w: p.w}
			if s := q.serve("", 100); s != want {
				t.Errorf("begun %v, claimed %v: %q, want %q", begun, claimed, s, want)
			}
			for _, pos := range n.host.records(n.task()) {
				if pos.Pos&abi.LentPos != 0 && pos.Pos>>abi.LentKind&abi.LentKinds < abi.LentIsReader {
					t.Errorf("begun %v, claimed %v: %+v is lent", begun, claimed, pos)
				}
			}
			q.act = act
			if q.begin(); *q.word()&abi.LentPos != 0 {
				t.Errorf("begun %v: what the dead one has lent is used", begun)
			}
		}
	}
}

// A task that forges its words has what it says in its own pipe, or nothing.
func TestForgedPipe(t *testing.T) {
	tk := newTestKernel(t)
	p := newLentPipe(t, tk)
	for _, forged := range []uint64{0, ^uint64(0), 1 << 62, abi.LentOffset, abi.LentPos, abi.RingUsed, abi.LentRingSize + 1, abi.RingClaim,
		abi.LentRingSize | abi.RingClaim - 1<<abi.RingHead, abi.LentPos | 77<<abi.LentShift | 5} {
		for _, number := range []bool{false, true} {
			p.lend().begin()
			l := tk.host.records(tk.task())
			no := *p.word() & ((abi.LentCounts-1)<<abi.LentShift | abi.LentPos)
			*p.word() = forged
			if number {
				*p.word() = no | forged&(1<<abi.LentShift-1)
			}
			ring := p.act.A[0]
			l[ring].Size, l[p.r].Pos, l[p.w].Pos = forged, forged, forged
			s := p.serve("", 1<<17)
			if len(s) > abi.LentRingSize {
				t.Errorf("%x: %d bytes", forged, len(s))
			}
			_, file, _ := fileOf(tk, p.w)
			if pipe := tk.Pipes.Get(pipeOf(&file)); pipe.Fill > pipeBuf || pipe.LentTo != 0 {
				t.Errorf("%x: %+v", forged, pipe)
			}
			if s = p.serve("after it", 100); s != "after it" {
				t.Errorf("%x: %q", forged, s)
			}
			l[ring].Pos &^= abi.RingClaim // else there is a ring less
		}
	}
}

// Who is lent a pipe has its ends alone: one that has a name is not lent.
func TestFifoNotLent(t *testing.T) {
	tk := newTestKernel(t)
	p := newLentPipe(t, tk)
	tk.do(tk.init, func(c *Call) {
		_, file, _ := c.File(p.r)
		tk.Pipes.Mut(store.Ref[Pipe](file.Obj)).Node = NodeKey{1, 1}
	})
	for range 2 * lendOften {
		if p.serve("x", 1); p.act.Op != 0 {
			t.Fatal("lent")
		}
	}
}

// What did not arrive of the read with which a pipe is lent is in it again.
func TestLentPipeShort(t *testing.T) {
	tk := newTestKernel(t)
	for _, library := range []string{"", "begun", "written"} {
		p := newLentPipe(t, tk)
		lentNow := false
		for range lendOften + 1 {
			p.serve("abcd", 0)
			tk.do(tk.init, func(c *Call) {
				c.Task = tk.task()
				if n, e := c.ReadFD(p.r, guestBase, 4, -1); n != 4 || e != 0 {
					t.Fatal(n, e)
				}
				for _, a := range c.Acts {
					if a.Op == abi.ActLend {
						p.act, lentNow = a, true
					}
				}
				if !lentNow {
					return
				}
				later := ""
				if library != "" {
					p.begin()
				}
				if library == "written" {
					p.put("xy")
					later = "xy"
				}
				s := tk.threadRT(c.T).short
				tk.untake(&s, 3)
				buf := make([]byte, 10)
				f, _, _ := c.File(p.r)
				n, e := tk.Ops(f).Read(c, f, buf, -1)
				if got := string(buf[:max(n, 0)]); e != 0 || got != "bcd"+later {
					t.Errorf("library %q: read %q, %v", library, got, e)
				}
			})
			if lentNow {
				break
			}
		}
		if !lentNow {
			t.Fatal("not lent")
		}
	}
}
