package core

import (
	"fmt"
	"strings"
	"testing"

	"hythe/abi"
	"hythe/store"
)

// aPipe is the "family" of a pipe, of which end 0 writes.
const aPipe = ^uint32(0)

// lentStream is a connection between two processes, and what their libraries would have of it.
type lentStream struct {
	tk *testKernel
	th [2]store.Ref[Thread]
	fd [2]int32
	st store.Ref[Stream]
}

func newLentStream(t *testing.T, tk *testKernel, family uint32) *lentStream {
	t.Helper()
	s := &lentStream{tk: tk, th: [2]store.Ref[Thread]{tk.init, tk.newProc(0)}}
	tk.Random = func(b []byte) { b[0] = 7 }
	var f store.Ref[File]
	tk.do(tk.init, func(c *Call) {
		var e abi.Errno
		if family == aPipe {
			s.fd[1], s.fd[0], e = c.NewPipe(0)
		} else if family == FamilyUnix {
			s.fd[0], s.fd[1], e = c.SocketPair(family, SockStream, 0, 0)
		} else {
			l, _ := c.NewSocket(family, SockStream, 0, 0)
			_, r, fam, _ := c.Sock(l)
			want(t, "bind", fam.Bind(c, r, loop4(4000)), 0)
			want(t, "listen", fam.Listen(c, r, 1), 0)
			s.fd[0], _ = c.NewSocket(family, SockStream, 0, 0)
			want(t, "connect", c.ConnectFD(s.fd[0], loop4(4000)), 0)
			s.fd[1], _, e = c.AcceptFD(l, 0)
			c.CloseFD(l)
		}
		want(t, "connection", e, 0)
		f, _, _ = c.File(s.fd[1])
		tk.HoldFile(f)
		want(t, "close", c.CloseFD(s.fd[1]), 0)
	})
	tk.do(s.th[1], func(c *Call) {
		var e abi.Errno
		s.fd[1], e = c.InstallFD(f, 0, 0)
		tk.DropFile(c, f)
		want(t, "descriptor", e, 0)
	})
	return s
}

// call makes one of an end's process.
func (s *lentStream) call(end int, fn func(c *Call, x *testChan)) *testChan {
	return s.tk.doX(s.th[end], func(c *Call, x *testChan) {
		c.Task = s.tk.Procs.Get(c.ProcRef()).Task
		fn(c, x)
	})
}

// write writes by a call, read reads at most n bytes so.
func (s *lentStream) write(end int, b string) {
	s.tk.t.Helper()
	s.call(end, func(c *Call, x *testChan) {
		copy(x.mem(), b)
		if n, e := c.WriteFD(s.fd[end], guestBase, uint64(len(b)), -1); int(n) != len(b) || e != 0 {
			s.tk.t.Fatal(n, e)
		}
	})
}

func (s *lentStream) read(end int, n uint64) string {
	s.tk.t.Helper()
	var e abi.Errno
	x := s.call(end, func(c *Call, x *testChan) {
		c.T = s.th[end]
		n, e = c.ReadFD(s.fd[end], guestBase, n, -1)
	})
	if e != 0 {
		s.tk.t.Fatal(e)
	}
	return string(x.mem()[:n])
}

func (s *lentStream) stream() *Stream {
	f, _, _ := s.tk.FDAtRaw(s.th[0], s.fd[0])
	s.st = s.tk.memoryOf(f)
	return s.tk.Streams.Get(s.st)
}

// FDAtRaw is FDAt that takes nothing back.
func (tk *testKernel) FDAtRaw(th store.Ref[Thread], fd int32) (store.Ref[File], uint32, abi.Errno) {
	tab := tk.FDs.Get(tk.Procs.Get(tk.Threads.Get(th).Proc).FDs)
	e := fdEntries(tk.Heap.Bytes(tab.Block))[fd]
	return e.File, e.Flags, 0
}

func (s *lentStream) lent() bool { x := s.stream(); return x != nil && x.Lent != 0 }

// use has both say something by calls, and says whether it is lent then.
func (s *lentStream) use() bool {
	s.tk.t.Helper()
	s.write(0, "ping")
	if got := s.read(1, 100); got != "ping" {
		s.tk.t.Fatal(got)
	}
	if !s.lent() && !s.isPipe() {
		s.write(1, "pong")
		if got := s.read(0, 100); got != "pong" {
			s.tk.t.Fatal(got)
		}
	}
	if !s.lent() {
		return false
	}
	for end, th := range s.th { // no call is under way
		f, _, _ := s.tk.FDAtRaw(th, s.fd[end])
		s.tk.fileRT(f).late = false
	}
	return true
}

func (s *lentStream) isPipe() bool {
	f, _, _ := s.tk.FDAtRaw(s.th[0], s.fd[0])
	return s.tk.Files.Get(f).Kind == FilePipe
}

// again uses a stream so often that it is lent if it may be, and says whether it was.
func (s *lentStream) again() (lent bool) {
	for range 3*lendOften + lentForNothing {
		lent = s.use() || lent
	}
	return lent
}

func (s *lentStream) lend() *lentStream {
	s.tk.t.Helper()
	for range 3*lendOften + lentForNothing {
		if s.use() {
			return s
		}
	}
	s.tk.t.Fatal("used so often, and not lent")
	return nil
}

func (s *lentStream) mem() *testStream { return s.tk.host.streams[s.stream().Object] }

// word is that of what an end writes.
func (s *lentStream) word(end int) *uint64 {
	x := s.stream()
	f, _, _ := s.tk.FDAtRaw(s.th[end], s.fd[end])
	return &s.mem().words[s.tk.side(x, f)]
}

// put is what an end's library does to write, take what the other's does to read n bytes.
func (s *lentStream) put(end int, b string) *lentStream {
	m, w := s.mem(), s.word(end)
	dir := 0
	if w == &m.words[1] {
		dir = 1
	}
	for i := range len(b) {
		m.rings[dir][(*w>>abi.StreamHead+*w&abi.StreamUsed+uint64(i))%(1<<m.shift)] = b[i]
	}
	*w += uint64(len(b))
	m.count[dir] += uint64(len(b))
	return s
}

func (s *lentStream) take(end int, n uint64) *lentStream {
	*s.word(1 - end) += n<<abi.StreamHead - n
	return s
}

func TestLendStream(t *testing.T) {
	for _, family := range []uint32{FamilyUnix, FamilyInet} {
		tk := newTestKernel(t)
		s := newLentStream(t, tk, family).lend()
		x := s.stream()
		kind, room := uint64(abi.LentIsUnits), uint64(sockBuf)
		if family == FamilyInet {
			kind, room = abi.LentIsStream, 1<<18+tcpRcvBuf
		}
		for end, th := range s.th {
			f, _, _ := tk.FDAtRaw(th, s.fd[end])
			pos := tk.host.records(tk.Files.Get(f).LentTo)[s.fd[end]].Pos
			if pos&abi.LentPos == 0 || pos>>abi.LentKind&abi.LentKinds != kind || pos>>abi.StreamNo&abi.StreamNos != uint64(x.No) ||
				pos>>abi.StreamSide&1 != uint64(tk.side(x, f)) || pos>>abi.StreamShift&abi.StreamShifts != uint64(x.Shift-abi.StreamMinShift) ||
				pos>>abi.StreamCap&abi.StreamCaps<<abi.StreamCapUnit != room || 1<<x.Shift < room {
				t.Errorf("end %d: %x, %+v", end, pos, x)
			}
			if w := *s.word(end); w&abi.StreamLent == 0 || w>>abi.StreamWordNo&abi.StreamNos != uint64(x.No) || w&abi.StreamUsed != 0 {
				t.Errorf("end %d: word %x", end, w)
			}
		}
		if s.put(0, "hello").put(1, "world").take(1, 2); !s.lent() {
			t.Error("not lent")
		}
		if a, b := s.read(1, 100), s.read(0, 100); a != "llo" || b != "world" {
			t.Errorf("%q and %q", a, b)
		}
		if s.lent() || *s.word(0)&abi.StreamLent != 0 {
			t.Error("still lent")
		}
		if s.write(0, "!"); s.read(1, 100) != "!" {
			t.Error("it goes on wrong")
		}
		// Around the ring's end, and full; the second loan begins where the first one has ended.
		s.lend()
		for *s.word(0)>>abi.StreamHead%(1<<x.Shift) < 1<<x.Shift-100 {
			s.put(0, fmt.Sprintf("%099d", 0)).take(1, 99)
		}
		all := make([]byte, room)
		for i := range all {
			all[i] = byte(i*7>>3 ^ i>>11)
		}
		s.put(0, string(all))
		got := ""
		for len(got) < len(all) {
			got += s.read(1, 60000)
		}
		if got != string(all) {
			t.Errorf("%d bytes came of %d, or others", len(got), len(all))
		}
	}
}

func TestTakeBackStream(t *testing.T) {
	type do = func(c *Call, s *lentStream) abi.Errno
	for what, x := range map[string]struct {
		do   do
		lent bool // again, by what follows
	}{
		"dup": {func(c *Call, s *lentStream) abi.Errno { _, e := c.Dup(s.fd[0], 0, 0); return e }, false},
		"watch": {func(c *Call, s *lentStream) abi.Errno {
			f, _, e := c.File(s.fd[0])
			c.K.Ops(f).Queue(f).Watch(func(uint32) {})
			return e
		}, false},
		"pin": {func(c *Call, s *lentStream) abi.Errno { f, _, e := c.File(s.fd[0]); c.K.pinFile(f); return e }, false},
		"poll": {func(c *Call, s *lentStream) abi.Errno {
			_, e := c.Poll([]PollFD{{FD: s.fd[0], Events: PollIn}}, 0)
			return e
		}, true},
		"table":  {func(c *Call, s *lentStream) abi.Errno { c.K.takeBackTable(c.Proc().FDs); return 0 }, true},
		"all":    {func(c *Call, s *lentStream) abi.Errno { c.K.takeBackAll(); return 0 }, true},
		"task":   {func(c *Call, s *lentStream) abi.Errno { c.K.takeBackStreams(c.Task); return 0 }, true},
		"counts": {func(c *Call, s *lentStream) abi.Errno { c.K.netCounts(); return 0 }, true},
		"list": {func(c *Call, s *lentStream) abi.Errno {
			c.K.EachSock(FamilyUnix, func(store.Ref[Socket], *Socket) {})
			return 0
		}, true},
		"held": {func(c *Call, s *lentStream) abi.Errno {
			f, _, _ := c.K.FDAt(c.Proc().FDs, s.fd[0])
			c.K.HoldFile(f)
			c.K.DropFile(c, f)
			return 0
		}, true},
		"no waiting": {func(c *Call, s *lentStream) abi.Errno {
			f, _, e := c.File(s.fd[0])
			c.K.Files.Mut(f).Flags |= OpenNonblock
			return e
		}, true},
		"a time limit": {func(c *Call, s *lentStream) abi.Errno {
			_, r, _, e := c.Sock(s.fd[0])
			c.K.Socks.Mut(r).RcvTimeo = 1e18
			return e
		}, false},
		"credentials": {func(c *Call, s *lentStream) abi.Errno {
			_, r, _, e := c.Sock(s.fd[0])
			c.K.Socks.Mut(r).PassCred = 1
			return e
		}, false},
		"low water": {func(c *Call, s *lentStream) abi.Errno {
			_, r, _, e := c.Sock(s.fd[0])
			c.K.Socks.Mut(r).RcvLowat = 2
			return e
		}, false},
		"small buffer": {func(c *Call, s *lentStream) abi.Errno {
			_, r, _, e := c.Sock(s.fd[0])
			c.K.Socks.Mut(r).SndBuf = 4608
			return e
		}, false},
		"large buffer": {func(c *Call, s *lentStream) abi.Errno {
			_, r, _, e := c.Sock(s.fd[0])
			c.K.Socks.Mut(r).SndBuf = 4 << 20
			return e
		}, false},
		"far away": {func(c *Call, s *lentStream) abi.Errno {
			e := c.Dup2(s.fd[0], abi.LentFiles, 0)
			c.CloseFD(s.fd[0])
			s.fd[0] = abi.LentFiles
			return e
		}, false},
		"another descriptor": {func(c *Call, s *lentStream) abi.Errno {
			e := c.Dup2(s.fd[0], 50, 0)
			c.CloseFD(s.fd[0])
			s.fd[0] = 50
			return e
		}, true},
		"a second thread": {func(c *Call, s *lentStream) abi.Errno {
			k := c.K
			k.takeBackStreams(c.Task)
			rt := k.procRT(c.ProcRef())
			rt.threads = append(rt.threads, 0)
			return 0
		}, false},
		"a second thread, and none waits": {func(c *Call, s *lentStream) abi.Errno {
			k := c.K
			k.takeBackStreams(c.Task)
			rt := k.procRT(c.ProcRef())
			rt.threads = append(rt.threads, 0)
			f, _, e := s.tk.FDAtRaw(s.th[0], s.fd[0])
			k.Files.Mut(f).Flags |= OpenNonblock
			return e
		}, true},
	} {
		tk := newTestKernel(t)
		s := newLentStream(t, tk, FamilyUnix).lend().put(1, "in it").take(0, 3)
		var f [2]store.Ref[File]
		for end, th := range s.th {
			f[end], _, _ = tk.FDAtRaw(th, s.fd[end])
		}
		s.call(0, func(c *Call, _ *testChan) {
			if e := x.do(c, s); e != 0 {
				t.Errorf("%s: %v", what, e)
			}
		})
		if s.lent() || tk.Files.Get(f[0]).LentTo != 0 || tk.Files.Get(f[1]).LentTo != 0 {
			t.Errorf("%s: still lent", what)
		}
		again := false
		if what != "low water" {
			if got := s.read(0, 100); got != "it" {
				t.Errorf("%s: %q", what, got)
			}
			again = s.again()
		}
		if again != x.lent {
			t.Errorf("%s: lent again: %v", what, again)
		}
		if strings.HasPrefix(what, "a second thread") { // which is none
			rt := tk.procRT(tk.Threads.Get(tk.init).Proc)
			rt.threads = rt.threads[:1]
		}
	}
}

// An end is closed: the other one finds what is in the stream, and then the end. The memory goes.
func TestLentStreamEnds(t *testing.T) {
	for _, family := range []uint32{FamilyUnix, FamilyInet} {
		tk := newTestKernel(t)
		s := newLentStream(t, tk, family).lend().put(0, "last")
		o := s.stream().Object
		x := s.call(0, func(c *Call, _ *testChan) {
			want(t, "close", c.CloseFD(s.fd[0]), 0)
			n := 0
			for _, a := range c.Acts {
				if a.Op == abi.ActUnlend {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%+v: the memory stays mapped", c.Acts)
			}
		})
		_ = x
		if tk.Streams.Len() != 0 || len(tk.HeldObjects()) != 0 || len(tk.host.drops) != 1 || tk.host.drops[0] != o {
			t.Errorf("%d streams, given up %v", tk.Streams.Len(), tk.host.drops)
		}
		if a, b := s.read(1, 100), s.read(1, 100); a != "last" || b != "" {
			t.Errorf("%q, then %q", a, b)
		}
	}
}

// A task that ends leaves what it has written.
func TestLentStreamExit(t *testing.T) {
	tk := newTestKernel(t)
	s := newLentStream(t, tk, FamilyUnix).lend().put(1, "last words")
	tk.Enter()
	p := tk.Threads.Get(s.th[1]).Proc
	tk.exitGroup(p, SIGKILL)
	tk.Leave()
	if a, b := s.read(0, 100), s.read(0, 100); a != "last words" || b != "" {
		t.Errorf("%q, then %q", a, b)
	}
}

// A server that dies leaves in a stream what the libraries have made of it, if they could begin
// to, and else what the record says: nothing.
func TestLentStreamAndDead(t *testing.T) {
	for _, begun := range []bool{true, false} {
		tk := newTestKernel(t)
		s := newLentStream(t, tk, FamilyUnix).lend()
		w := ""
		if begun {
			s.put(0, "survives").take(1, 3)
			w = "vives"
		} else {
			// As if it had died behind the commit; a former loan has left something.
			for end := range s.fd {
				*s.word(end) = *s.word(end)&^(abi.StreamLent|abi.StreamNos<<abi.StreamWordNo) | 77<<abi.StreamWordNo | 5
			}
		}
		was := [2]uint64{*s.word(0), *s.word(1)}
		// A call takes it back, reads, and is not committed.
		tk.Enter()
		c, _ := tk.call(s.th[1])
		c.Task = tk.Procs.Get(c.ProcRef()).Task
		if begun {
			if n, e := c.ReadFD(s.fd[1], guestBase, 100, -1); int(n) != len(w) || e != 0 {
				t.Fatal(n, e)
			}
		} else {
			c.File(s.fd[1])
		}
		if tk.Streams.Get(1).Lent != 0 {
			t.Fatal("still lent")
		}
		n := tk.nextOf(tk.host.lending)
		s.tk = n
		if s.lent() {
			t.Error("lent by who is dead")
		}
		for end := range s.fd {
			if n.host.SetStream(s.stream().Object, end, was[end]&^abi.StreamLent, 1) && !begun {
				t.Error("what the dead one has lent could still begin")
			}
		}
		s.write(0, "!")
		if got := s.read(1, 100); got != w+"!" {
			t.Errorf("begun %v: %q, want %q", begun, got, w)
		}
		if h := n.HeldObjects(); h[s.stream().Object] != 1 {
			t.Errorf("held: %v", h)
		}
	}
}

// Tasks that forge a word have what it says in their own stream, or nothing; another's is as it was.
func TestForgedStream(t *testing.T) {
	tk := newTestKernel(t)
	for _, family := range []uint32{FamilyUnix, FamilyInet} {
		s := newLentStream(t, tk, family)
		other := newLentStream(t, tk, FamilyUnix).lend()
		for _, forged := range []uint64{0, ^uint64(0), 1 << 63, abi.StreamLent, abi.StreamUsed, 1<<19 + 1, abi.StreamLent | 5, 99<<abi.StreamHead | 70} {
			for _, number := range []bool{false, true} {
				for _, count := range []uint64{0, 1, 1 << 40, ^uint64(0), 1 << 63} {
					for _, th := range s.th {
						f, _, _ := tk.FDAtRaw(th, s.fd[0])
						tk.fileRT(f).reads = lendOften
					}
					s.lend()
					no := *s.word(0) & (abi.StreamNos<<abi.StreamWordNo | abi.StreamLent)
					x := s.stream()
					*s.word(0) = forged
					if number {
						*s.word(0) = no | forged&^(abi.StreamNos<<abi.StreamWordNo)
					}
					s.mem().count[0], s.mem().count[1] = count, count
					f, _, _ := tk.FDAtRaw(s.th[0], s.fd[0])
					tk.host.records(tk.Files.Get(f).LentTo)[s.fd[0]].Pos = forged
					tk.Enter()
					tk.takeBackStream(s.st)
					tk.Leave()
					for end := range s.fd {
						f, _, _ := tk.FDAtRaw(s.th[end], s.fd[end])
						r := sockOf(tk.Files.Get(f))
						if n := tk.Socks.Get(r).Bytes; n > 1<<x.Shift {
							t.Errorf("%x: %d bytes", forged, n)
						}
						for tk.Socks.Get(r).Bytes > 0 {
							if got := s.read(end, 60000); strings.Trim(got, "\x00") != "" && strings.Trim(got, "\x00pingo") != "" {
								t.Errorf("%x: read %q", forged, got[:20])
							}
						}
					}
				}
			}
		}
		if other.put(0, "its own"); other.read(1, 100) != "its own" {
			t.Error("another stream has suffered")
		}
	}
}

// Who waits in his library sleeps.
func TestLentStreamSleeps(t *testing.T) {
	tk := newTestKernel(t)
	s := newLentStream(t, tk, FamilyUnix).lend()
	state := func(end int) byte {
		tk.Enter()
		defer tk.Leave()
		th := s.th[end]
		return tk.stateOf(tk.Threads.Get(th).Proc, th)
	}
	if a, b := state(0), state(1); a != 'R' || b != 'R' {
		t.Errorf("%c and %c", a, b)
	}
	*s.word(0) |= abi.StreamReader
	if a, b := state(0), state(1); a != 'R' || b != 'S' {
		t.Errorf("its reader sleeps: %c and %c", a, b)
	}
	*s.word(0) ^= abi.StreamReader | abi.StreamWriter
	if a, b := state(0), state(1); a != 'S' || b != 'R' {
		t.Errorf("its writer sleeps: %c and %c", a, b)
	}
}

// A write that the library has begun goes on where that has ended.
func TestStreamGoesOn(t *testing.T) {
	tk := newTestKernel(t)
	s := newLentStream(t, tk, FamilyUnix).lend().put(0, "01234")
	s.call(0, func(c *Call, x *testChan) {
		copy(x.mem(), "0123456789")
		c.Done = 5
		if n, e := c.WriteFD(s.fd[0], guestBase, 10, -1); n != 10 || e != 0 {
			t.Error(n, e)
		}
	})
	if got := s.read(1, 100); got != "0123456789" {
		t.Errorf("%q", got)
	}
	// The other end goes meanwhile: what was written counts, and there is no signal.
	s.lend().put(0, "01234")
	s.call(1, func(c *Call, _ *testChan) { c.CloseFD(s.fd[1]) })
	s.call(0, func(c *Call, x *testChan) {
		c.Done = 5
		if n, e := c.WriteFD(s.fd[0], guestBase, 10, -1); n != 5 || e != 0 || tk.Threads.Get(c.T).Pending != 0 {
			t.Error(n, e, tk.Threads.Get(c.T).Pending)
		}
	})
	// Of more than there is nothing is believed.
	s = newLentStream(t, tk, FamilyUnix)
	s.call(0, func(c *Call, x *testChan) {
		copy(x.mem(), "0123456789")
		c.Done = 11
		if n, e := c.WriteFD(s.fd[0], guestBase, 10, -1); n != 10 || e != 0 {
			t.Error(n, e)
		}
	})
	if got := s.read(1, 100); got != "0123456789" {
		t.Errorf("%q", got)
	}
}

// Who sends and receives is lent a stream as who writes and reads, as long as he asks for nothing else.
func TestLendStreamSends(t *testing.T) {
	for _, family := range []uint32{FamilyUnix, FamilyInet} {
		tk := newTestKernel(t)
		s := newLentStream(t, tk, family)
		send := func(end int, b string, done uint32, flags uint32) {
			s.call(end, func(c *Call, x *testChan) {
				copy(x.mem(), b)
				c.Local, c.Args[3], c.Done = abi.LocalSend, uint64(flags), done
				if n, e := c.SendV(s.fd[end], []IOVec{{guestBase, uint64(len(b))}}, &SockSend{Flags: flags}); int(n) != len(b) || e != 0 {
					t.Fatal(n, e)
				}
			})
		}
		receive := func(end int, local uint8, flags uint32) (got string, e abi.Errno) {
			var n uint64
			x := s.call(end, func(c *Call, x *testChan) {
				c.T = s.th[end]
				c.Local, c.Args[3] = local, uint64(flags)
				n, e = c.RecvV(s.fd[end], []IOVec{{guestBase, 100}}, &SockRecv{Flags: flags})
			})
			return string(x.mem()[:n]), e
		}
		use := func(local uint8) bool {
			for range 3*lendOften + lentForNothing {
				send(0, "ping", 0, MsgNoSignal)
				if got, e := receive(1, local, MsgDontWait); got != "ping" || e != 0 {
					t.Fatal(got, e)
				}
				if s.lent() {
					return true
				}
				send(1, "pong", 0, 0)
				if got, e := receive(0, local, 0); got != "pong" || e != 0 {
					t.Fatal(got, e)
				}
			}
			return s.lent()
		}
		if use(0) {
			t.Fatal("lent to who receives by a call that no library serves")
		}
		if !use(abi.LocalRecv) {
			t.Fatal("sent and received so often, and not lent")
		}
		// One that was on its way then goes back, once.
		s.call(1, func(c *Call, _ *testChan) {
			c.Local, c.Args[3] = abi.LocalRecv, MsgPeek
			if c.LentMeanwhile(s.fd[1]) {
				t.Error("a library that looks without taking")
			}
			c.Args[3] = 0
			if c.Args[4] = guestBase; c.LentMeanwhile(s.fd[1]) {
				t.Error("a library that tells addresses")
			}
			if c.Args[4] = 0; !c.LentMeanwhile(s.fd[1]) || c.LentMeanwhile(s.fd[1]) {
				t.Error("not sent back, or twice")
			}
		})
		// What the library has sent of it is not sent twice.
		s.put(0, "01234")
		send(0, "0123456789", 5, 0)
		if s.lent() {
			t.Error("lent while it is sent by a call")
		}
		if got, e := receive(1, 0, MsgPeek); got != "0123456789" || e != 0 {
			t.Errorf("%q %v", got, e)
		}
	}
}

// What has passed is counted, once, however long it was lent.
func TestLentStreamCounts(t *testing.T) {
	tk := newTestKernel(t)
	s := newLentStream(t, tk, FamilyInet).lend()
	tk.Enter()
	before := tk.netCounts()
	tk.Leave()
	s.lend()
	tk.Enter()
	before2 := *tk.netStats()
	tk.Leave()
	const many = 40 << 20 // more than a word counts
	for n := 0; n < many; n += 65536 {
		s.put(0, string(make([]byte, 65536))).take(1, 65536)
	}
	s.put(0, "abc")
	tk.Enter()
	after := tk.netCounts()
	tk.Leave()
	segments := uint64(many/maxSegment + 1)
	if n := after.LoPackets - before2.LoPackets; n != segments {
		t.Errorf("%d packets, want %d", n, segments)
	}
	if n := after.LoBytes - before2.LoBytes; n != many+3+40*segments {
		t.Errorf("%d bytes, want %d", n, many+3+40*segments)
	}
	if before.LoBytes > before2.LoBytes || after.InSegs-before2.InSegs != segments {
		t.Errorf("%+v, %+v", before2, after)
	}
	if s.read(1, 10) != "abc" {
		t.Error("what was left has gone")
	}
}
