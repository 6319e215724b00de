package core

import (
	"fmt"
	"testing"

	"hythe/abi"
)

func TestLendStreamOfPipe(t *testing.T) {
	tk := newTestKernel(t)
	s := newLentStream(t, tk, aPipe).lend()
	x := s.stream()
	for end, th := range s.th {
		f, _, _ := tk.FDAtRaw(th, s.fd[end])
		pos := tk.host.records(tk.Files.Get(f).LentTo)[s.fd[end]].Pos
		if pos&abi.LentPos == 0 || pos>>abi.LentKind&abi.LentKinds != abi.LentIsPipe || pos>>abi.StreamNo&abi.StreamNos != uint64(x.No) ||
			int(pos>>abi.StreamSide&1) != end || pos>>abi.StreamShift&abi.StreamShifts != 16-abi.StreamMinShift || pos>>abi.StreamCap&abi.StreamCaps<<abi.StreamCapUnit != pipeDefault {
			t.Errorf("end %d: %x, %+v", end, pos, x)
		}
	}
	if w := *s.word(0); w&abi.StreamLent == 0 || w&abi.StreamUsed != 0 || s.mem().words[1] != 0 {
		t.Errorf("word %x and %x", w, s.mem().words[1])
	}
	if s.put(0, "hello").take(1, 2); !s.lent() {
		t.Error("not lent")
	}
	if a := s.read(1, 100); a != "llo" || s.lent() || *s.word(0)&abi.StreamLent != 0 {
		t.Errorf("%q, lent %v", a, s.lent())
	}
	if s.write(0, "!"); s.read(1, 100) != "!" {
		t.Error("it goes on wrong")
	}
	// Around the ring's end, and full.
	s.lend()
	for *s.word(0)>>abi.StreamHead%pipeDefault < pipeDefault-100 {
		s.put(0, fmt.Sprintf("%099d", 0)).take(1, 99)
	}
	all := make([]byte, pipeDefault)
	for i := range all {
		all[i] = byte(i*7>>3 ^ i>>11)
	}
	s.put(0, string(all))
	if got := s.read(1, 60000) + s.read(1, 60000); got != string(all) {
		t.Errorf("%d bytes came of %d, or others", len(got), len(all))
	}
}

// busy uses a pipe, of which something is always left, until it is lent with that in it.
func (s *lentStream) busy() string {
	s.tk.t.Helper()
	at := 0
	s.write(0, "0123")
	for in := 4; in < 4000; in += 2 {
		s.write(0, fmt.Sprint(in%10, (in+1)%10)[:1]+fmt.Sprint((in + 1) % 10)[:1])
		if got, want := s.read(1, 2), fmt.Sprint(at%10)+fmt.Sprint((at+1)%10); got != want {
			s.tk.t.Fatalf("%q, want %q", got, want)
		}
		at += 2
		if s.lent() {
			for end, th := range s.th {
				f, _, _ := s.tk.FDAtRaw(th, s.fd[end])
				s.tk.fileRT(f).late = false
			}
			left := ""
			for ; at < in+2; at++ {
				left += fmt.Sprint(at % 10)
			}
			return left
		}
	}
	s.tk.t.Fatal("not lent")
	return ""
}

// Nothing is put into a ring while its writer may be copying into it, for a loan that is over.
func TestLendClaimedPipe(t *testing.T) {
	tk := newTestKernel(t)
	s := newLentStream(t, tk, aPipe)
	left := s.busy()
	s.mem().claim = true
	if got := s.read(1, 1); got != left[:1] || s.lent() {
		t.Fatalf("%q, lent %v", got, s.lent())
	}
	f, _, _ := tk.FDAtRaw(s.th[1], s.fd[1])
	for range 3 {
		tk.fileRT(f).reads = lendOften
		s.write(0, "xy")
		if s.read(1, 1); s.lent() {
			t.Fatal("lent")
		}
	}
	tk.fileRT(f).reads = lendOften
	if s.read(1, 100); !s.lent() {
		t.Error("there is nothing to be put, and it is not lent")
	}
}

// What is in a pipe when it is lent goes into the ring, and is nowhere else; also when the server that
// has done it dies.
func TestLendFullPipe(t *testing.T) {
	for _, dies := range []string{"", "behind the commit", "later"} {
		tk := newTestKernel(t)
		s := newLentStream(t, tk, aPipe)
		left := s.busy()
		if w := *s.word(0); len(left) < 2 || w&abi.StreamUsed != uint64(len(left)) || w&abi.StreamLent == 0 || tk.Pipes.Get(s.stream().Pipe).Data.used() != 0 {
			t.Fatalf("%q, word %x", left, w)
		}
		switch dies {
		case "behind the commit": // it has not said that it is lent
			*s.word(0) &^= abi.StreamLent
			s.tk = tk.nextOf(tk.host.lending)
		case "later":
			s.put(0, "more").take(1, 1)
			left = left[1:] + "more"
			s.tk = tk.nextOf(tk.host.lending)
		}
		if dies != "" && s.lent() {
			t.Error("lent by who is dead")
		}
		if s.write(0, "!"); true {
			if got := s.read(1, 100); got != left+"!" {
				t.Errorf("%s: %q, want %q!", dies, got, left)
			}
		}
		if s.lent() {
			t.Error("lent")
		}
	}
}

// A server that dies before the record says that a pipe is lent has it as it was.
func TestLendFullPipeUndone(t *testing.T) {
	tk := newTestKernel(t)
	s := newLentStream(t, tk, aPipe)
	s.busy()
	s.write(0, "abc")
	rest := s.read(1, 1)
	f, _, _ := tk.FDAtRaw(s.th[1], s.fd[1])
	for i := 0; i < lentForNothing; i++ {
		s.write(0, "x")
		rest = s.read(1, 1)
	}
	_ = rest
	tk.fileRT(f).reads = lendOften
	used := tk.Pipes.Get(pipeOf(tk.Files.Get(f))).Data.used()
	tk.Enter()
	c, _ := tk.call(s.th[1])
	c.Task = tk.Procs.Get(c.ProcRef()).Task
	c.T = s.th[1]
	if n, e := c.ReadFD(s.fd[1], guestBase, 1, -1); n != 1 || e != 0 || tk.Streams.Get(s.st).Lent == 0 {
		t.Fatal(n, e, "not lent")
	}
	s.tk = tk.nextOf(tk.host.lending)
	if s.lent() {
		t.Error("lent by who is dead")
	}
	if got := s.read(1, 100); len(got) != used {
		t.Errorf("%q, want %d bytes", got, used)
	}
}

func TestTakeBackStreamOfPipe(t *testing.T) {
	for what, x := range map[string]struct {
		do    func(c *Call, s *lentStream) abi.Errno
		again bool // by what follows
		made  bool // its memory is another
	}{
		"dup": {func(c *Call, s *lentStream) abi.Errno { _, e := c.Dup(s.fd[0], 0, 0); return e }, false, false},
		"watch": {func(c *Call, s *lentStream) abi.Errno {
			f, _, e := c.File(s.fd[0])
			c.K.Ops(f).Queue(f).Watch(func(uint32) {})
			return e
		}, false, false},
		"pin": {func(c *Call, s *lentStream) abi.Errno { f, _, e := c.File(s.fd[0]); c.K.pinFile(f); return e }, false, false},
		"poll": {func(c *Call, s *lentStream) abi.Errno {
			_, e := c.Poll([]PollFD{{FD: s.fd[0], Events: PollOut}}, 0)
			return e
		}, true, false},
		"count": {func(c *Call, s *lentStream) abi.Errno {
			f, _, _ := c.File(s.fd[0])
			_, e := c.K.Ops(f).Ioctl(c, f, ioFIONREAD, guestBase)
			return e
		}, true, false},
		"size": {func(c *Call, s *lentStream) abi.Errno {
			f, _, _ := c.File(s.fd[0])
			n, e := c.K.SetPipeSize(f, 1<<17)
			if n != 1<<17 {
				t.Error(n)
			}
			return e
		}, true, true},
		"small": {func(c *Call, s *lentStream) abi.Errno {
			f, _, _ := c.File(s.fd[0])
			_, e := c.K.SetPipeSize(f, 4096)
			return e
		}, true, true},
		"large": {func(c *Call, s *lentStream) abi.Errno {
			f, _, _ := c.File(s.fd[0])
			_, e := c.K.SetPipeSize(f, 1<<20)
			return e
		}, false, true},
		"opened": {func(c *Call, s *lentStream) abi.Errno {
			f, _, _ := c.K.FDAt(c.Proc().FDs, s.fd[0])
			n, e := c.K.vfs.reopen[FilePipe](c, f, AccessRead, 0)
			c.K.HoldFile(n)
			return e
		}, false, false},
		"tee": {func(c *Call, s *lentStream) abi.Errno {
			r, w, _ := c.NewPipe(OpenNonblock)
			_, e := c.Tee(r, s.fd[0], 5, true)
			c.CloseFD(r)
			c.CloseFD(w)
			if e == abi.EAGAIN {
				e = 0
			}
			return e
		}, true, false},
		"table": {func(c *Call, s *lentStream) abi.Errno { c.K.takeBackTable(c.Proc().FDs); return 0 }, true, false},
		"task":  {func(c *Call, s *lentStream) abi.Errno { c.K.takeBackStreams(c.Task); return 0 }, true, false},
		"no waiting": {func(c *Call, s *lentStream) abi.Errno {
			f, _, e := c.File(s.fd[0])
			c.K.Files.Mut(f).Flags |= OpenNonblock
			return e
		}, false, false},
		"packets": {func(c *Call, s *lentStream) abi.Errno {
			f, _, e := c.File(s.fd[0])
			c.K.Files.Mut(f).Flags |= OpenDirect
			return e
		}, false, false},
	} {
		tk := newTestKernel(t)
		s := newLentStream(t, tk, aPipe).lend().put(0, "in it").take(1, 3)
		o := s.stream().Object
		s.call(0, func(c *Call, _ *testChan) {
			if e := x.do(c, s); e != 0 {
				t.Errorf("%s: %v", what, e)
			}
		})
		if s.lent() {
			t.Errorf("%s: still lent", what)
		}
		if got := s.read(1, 100); got != "it" {
			t.Errorf("%s: %q", what, got)
		}
		again := s.again()
		if again != x.again {
			t.Errorf("%s: lent again: %v", what, again)
		}
		if again && (s.stream().Object != o) != x.made {
			t.Errorf("%s: memory %d, then %d", what, o, s.stream().Object)
		}
	}
}

// An end goes: what is in the pipe comes, then its end. The memory goes.
func TestLentStreamOfPipeEnds(t *testing.T) {
	for _, dies := range []bool{false, true} {
		tk := newTestKernel(t)
		s := newLentStream(t, tk, aPipe).lend().put(0, "last")
		r := s.stream().Pipe
		if dies {
			// Whose first process it is ends the machine: the reader has the other end of another.
			s.th[0], s.th[1] = s.th[1], s.th[0]
		}
		s.call(0, func(c *Call, _ *testChan) {
			if !dies {
				want(t, "close", c.CloseFD(s.fd[0]), 0)
			}
		})
		if dies {
			tk.Enter()
			tk.exitGroup(tk.Threads.Get(s.th[0]).Proc, SIGKILL)
			tk.Leave()
			if p := tk.Pipes.Get(r); p.Readers != 0 || p.Data.used() != 4 || tk.Streams.Len() != 0 {
				t.Errorf("%+v", p)
			}
			continue
		}
		if tk.Streams.Len() != 0 || len(tk.HeldObjects()) != 0 || len(tk.host.drops) != 1 {
			t.Errorf("%d streams, given up %v", tk.Streams.Len(), tk.host.drops)
		}
		if a, b := s.read(1, 100), s.read(1, 100); a != "last" || b != "" {
			t.Errorf("%q, then %q", a, b)
		}
	}
}

// A call that was on its way when the pipe was lent is sent back once, with what was written.
func TestLentStreamMeanwhile(t *testing.T) {
	tk := newTestKernel(t)
	s := newLentStream(t, tk, aPipe).lend()
	for end, th := range s.th {
		f, _, _ := tk.FDAtRaw(th, s.fd[end])
		tk.fileRT(f).late = true
	}
	s.call(0, func(c *Call, _ *testChan) {
		c.Done = 3
		if n, e := c.WriteFD(s.fd[0], guestBase, 10, -1); n != 0 || e != abi.ErrRestart || !c.localCut || c.put != 3 {
			t.Error(n, e, c.put)
		}
		c.Err = abi.ErrRestart
		tk.finish(c)
		if a := findAct(c, abi.ActAgain); a == nil || a.A[0] != 3 || c.Err != 0 {
			t.Errorf("%v %+v", c.Err, c.Acts)
		}
	})
	s.call(1, func(c *Call, _ *testChan) {
		if n, e := c.ReadFD(s.fd[1], guestBase, 10, -1); n != 0 || e != abi.ErrRestart || !c.localCut {
			t.Error(n, e)
		}
	})
	if !s.lent() {
		t.Error("taken back")
	}
	s.call(0, func(c *Call, _ *testChan) { // a signal comes first
		f, _, _ := tk.FDAtRaw(s.th[0], s.fd[0])
		tk.fileRT(f).late = true
		c.Done = 3
		c.WriteFD(s.fd[0], guestBase, 10, -1)
		c.Err = abi.ErrRestart
		c.MutThread().Pending |= SigBit(SIGURG)
		tk.finish(c)
		if c.Err != 0 || c.Result != 3 || findAct(c, abi.ActAgain) != nil {
			t.Errorf("%v %d %+v", c.Err, c.Result, c.Acts)
		}
	})
	if s.write(0, "!"); s.lent() || s.read(1, 10) != "!" {
		t.Error("what is asked again is not served")
	}
}

// Tasks that forge a word have what it says in their own pipe, or nothing; another's is as it was.
func TestForgedStreamOfPipe(t *testing.T) {
	tk := newTestKernel(t)
	s := newLentStream(t, tk, aPipe)
	other := newLentStream(t, tk, aPipe).lend()
	for _, forged := range []uint64{0, ^uint64(0), 1 << 63, abi.StreamLent, abi.StreamUsed, 1<<16 + 1, 1 << 16, abi.StreamLent | 5, 99<<abi.StreamHead | 70} {
		for _, number := range []bool{false, true} {
			for _, count := range []uint64{0, 1, 1 << 40, ^uint64(0), 1 << 63} {
				f, _, _ := tk.FDAtRaw(s.th[1], s.fd[1])
				tk.fileRT(f).reads = lendOften
				s.lend()
				no := *s.word(0) & (abi.StreamNos<<abi.StreamWordNo | abi.StreamLent)
				*s.word(0) = forged
				if number {
					*s.word(0) = no | forged&^(abi.StreamNos<<abi.StreamWordNo)
				}
				s.mem().count[0], s.mem().fill = count, uint32(count)
				tk.Enter()
				tk.takeBackStream(s.st)
				tk.Leave()
				p := tk.Pipes.Get(tk.Streams.Get(s.st).Pipe)
				if p.Data.used() > pipeDefault || p.Fill > pipeBuf {
					t.Errorf("%x: %d bytes, %d", forged, p.Data.used(), p.Fill)
				}
				for p.Data.used() > 0 {
					s.read(1, 60000)
				}
			}
		}
	}
	if other.put(0, "its own"); other.read(1, 100) != "its own" {
		t.Error("another stream has suffered")
	}
}

// What a read cannot store, with which the pipe is lent, comes before what is in the ring.
func TestLentStreamUntake(t *testing.T) {
	tk := newTestKernel(t)
	s := newLentStream(t, tk, aPipe)
	left := s.busy()
	s.put(0, "more")
	tk.Enter()
	f, _, _ := tk.FDAtRaw(s.th[1], s.fd[1])
	rt := tk.threadRT(s.th[1])
	tk.untake(&rt.short, 1)
	tk.Leave()
	if tk.Files.Get(f).LentTo != 0 {
		t.Error("still lent")
	}
	first := (left[0] - '0' + 9) % 10
	if got, want := s.read(1, 100), string('0'+first)+left+"more"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
