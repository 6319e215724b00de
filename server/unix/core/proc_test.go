package core

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"hythe/abi"
	"hythe/store"
)

// testPers is a personality whose calls are Go functions: a request's number
// is an index into calls.
type testPers struct {
	calls     []func(c *Call)
	delivered []SigInfo
	regs      []abi.Regs
	failFrame bool
}

func (*testPers) Name() string                            { return "test" }
func (*testPers) Index() uint32                           { return 0 }
func (*testPers) Ignored() SigSet                         { return DefaultIgnored }
func (*testPers) Convention() uint32                      { return 0 }
func (*testPers) Errno(e abi.Errno) uint32                { return uint32(e) }
func (*testPers) Descriptors(bool) []abi.CallDesc         { return nil }
func (p *testPers) Call(c *Call)                          { p.calls[c.Nr](c) }
func (*testPers) Start(c *Call) abi.Errno                 { c.SetRegs(&abi.Regs{IP: 1}, false); return 0 }
func (*testPers) Probe(head []byte) bool                  { return len(head) > 3 && string(head[:4]) == "TEST" }
func (*testPers) CallName(nr uint64) (string, bool)       { return fmt.Sprint(nr), nr != 99 }
func (*testPers) TraceCall(c *Call, r TraceResult) string { return fmt.Sprint(c.Nr, r) }
func (*testPers) TraceStart(*Call) string                 { return "start" }
func (*testPers) TraceSignal(s *SigInfo) string           { return fmt.Sprint("signal ", s.Sig) }
func (*testPers) TraceEnd(status uint32) string           { return fmt.Sprint("end ", status) }
func (*testPers) Cut(*Call) abi.Errno                     { return abi.ErrRestart }
func (*testPers) Fault(c *Call) SigInfo                   { return SigInfo{Sig: int32(c.Nr), Code: 1, Addr: c.Args[1]} }
func (p *testPers) Deliver(c *Call, s *SigInfo, a *SigAction, r *abi.Regs) abi.Errno {
	if p.failFrame {
		return abi.EFAULT
	}
	p.delivered = append(p.delivered, *s)
	p.regs = append(p.regs, *r)
	c.CopyOut(r.SP-frameSize, make([]byte, frameSize))
	n := *r
	n.IP = a.Handler
	c.SetRegs(&n, false)
	return 0
}

// frameSize is what a frame of testPers takes of the reply.
const frameSize = 1024

// guest drives one slot of one task as a library would.
type guest struct {
	*testKernel
	pers *testPers
	task TaskID
	slot uint32
	seq  uint64
	regs abi.Regs
	late lateWords
}

// lateWords are abi.Slot.Late and its words, for the calls that follow.
type lateWords struct {
	late        uint32
	robust, tid uint64
	mask        uint64
}

func newGuest(t *testing.T) *guest {
	tk := newTestKernel(t)
	g := &guest{testKernel: tk, pers: &testPers{}, regs: abi.Regs{IP: 0x1002, SP: 0x8000}}
	tk.AddPersonality(g.pers)
	tk.Random = func(b []byte) { clear(b) }
	tk.Enter()
	th := tk.Threads.Get(tk.init)
	g.task = tk.Procs.Get(th.Proc).Task
	tk.MutGlobals().Init = th.Proc
	tk.Leave()
	return g
}

// on answers the guest that speaks on another slot.
func (g *guest) on(task TaskID, slot uint32) *guest {
	n := *g
	n.task, n.slot, n.seq = task, slot, 0
	return &n
}

// begin sends a request and serves it in this goroutine; the reply is in c.
func (g *guest) send(kind uint32, nr uint64, args ...uint64) *Call {
	g.t.Helper()
	g.seq++
	c := &Call{K: g.Kernel}
	c.Reset()
	c.Task, c.Slot, c.Kind, c.Nr, c.Seq = g.task, g.slot, kind, nr, g.seq
	copy(c.Args[:], args)
	c.Late, c.LateRobust, c.LateTid, c.LateMask = g.late.late, g.late.robust, g.late.tid, g.late.mask
	c.Regs = g.regs
	c.Chan = newTestChan()
	k := g.Kernel
	k.Enter()
	if !k.Resolve(c, 77) {
		k.Leave()
		g.t.Errorf("task %d slot %d: nobody", g.task, g.slot)
		return c
	}
	k.Serve(c)
	if !c.NoReply {
		k.Finished(c)
		hold := k.HoldReply(c)
		for ; hold == AnswerOther; hold = k.HoldReply(c) {
			k.Finished(c)
		}
		c.NoReply = hold == AnswerNobody
	}
	k.Leave()
	return c
}

// call serves one system call that runs fn.
func (g *guest) call(fn func(c *Call)) *Call {
	g.t.Helper()
	g.pers.calls = append(g.pers.calls, fn)
	return g.send(abi.KindTrap, uint64(len(g.pers.calls)-1))
}

// start serves a call in another goroutine, and waits until it sleeps.
func (g *guest) start(fn func(c *Call)) <-chan *Call {
	g.t.Helper()
	done := make(chan *Call, 1)
	g.pers.calls = append(g.pers.calls, fn)
	nr := uint64(len(g.pers.calls) - 1)
	go func() { done <- g.send(abi.KindTrap, nr) }()
	g.until("a sleeping call", func() bool {
		ts := g.tasks[g.task]
		if ts == nil {
			return false
		}
		rt := g.threads[ts.slots[g.slot]]
		return rt != nil && rt.sleeping != nil
	})
	return done
}

// until waits for a condition under the lock.
func (g *guest) until(what string, ok func() bool) {
	g.t.Helper()
	for end := time.Now().Add(10 * time.Second); ; {
		g.mu.Lock()
		y := ok()
		g.mu.Unlock()
		if y {
			return
		}
		if time.Now().After(end) {
			g.t.Fatal("never came: " + what)
		}
		runtime.Gosched()
	}
}

func (g *guest) result(ch <-chan *Call) *Call {
	g.t.Helper()
	select {
	case c := <-ch:
		return c
	case <-time.After(10 * time.Second):
		g.t.Fatal("the call never ended")
		return nil
	}
}

func (g *guest) fork(a CloneArgs) (*guest, int32) {
	g.t.Helper()
	if a.ExitSignal == 0 {
		a.ExitSignal = SIGCHLD
	}
	var pid int32
	c := g.call(func(c *Call) {
		p, e := c.Clone(&a)
		if e != 0 {
			c.Fail(e)
			return
		}
		pid = p
		c.Ret(uint64(p))
	})
	if c.Err != 0 || pid == 0 {
		g.t.Fatalf("fork: %v", c.Err)
	}
	p := g.byPid[pid]
	n := g.on(g.Procs.Get(p).Task, g.slot)
	x := findAct(c, abi.ActFork)
	if x == nil {
		g.t.Fatal("no ActFork")
	}
	told := 0
	for i := range c.Acts {
		if c.Acts[i].Flags&abi.ActChild != 0 {
			told++
		}
	}
	if told > abi.MaxChildActs || told != 0 != (x.A[3] == 1) {
		g.t.Errorf("%d actions for the child, which the library knows by %d", told, x.A[3])
	}
	if r := n.send(abi.KindFork, 0, x.A[1]); findTask(r, abi.TaskPid) != uint64(pid) {
		g.t.Errorf("child's pid word: %d, want %d", findTask(r, abi.TaskPid), pid)
	}
	return n, pid
}

func findAct(c *Call, op uint32) *abi.Action {
	for i := range c.Acts {
		if c.Acts[i].Op == op {
			return &c.Acts[i]
		}
	}
	return nil
}

func findTask(c *Call, word uint64) uint64 {
	for i := range c.Acts {
		if c.Acts[i].Op == abi.ActTask && c.Acts[i].A[0] == word {
			return c.Acts[i].A[1]
		}
	}
	return 0
}

// check compares counts in the records with what refers to them.
func (g *guest) check() {
	g.t.Helper()
	k := g.Kernel
	k.Enter()
	defer k.Leave()
	creds := map[store.Ref[Cred]]uint32{}
	fds := map[store.Ref[FDTable]]uint32{}
	hands := map[store.Ref[SigHand]]uint32{}
	fss := map[store.Ref[FsCtx]]uint32{}
	threads := map[store.Ref[Proc]]uint32{}
	queued := 0
	count := func(h uint32) {
		for e := store.Ref[SigEnt](h); e != 0; e = k.SigEnts.Get(e).Next {
			queued++
		}
	}
	k.Procs.Each(func(p store.Ref[Proc], r *Proc) bool {
		creds[r.Cred]++
		fds[r.FDs]++
		hands[r.Hand]++
		fss[r.Fs]++
		count(r.SigQ)
		if r.Parent != 0 && k.Procs.Get(r.Parent) == nil {
			g.t.Errorf("process %d has no parent", r.Pid)
		}
		return true
	})
	k.Threads.Each(func(t store.Ref[Thread], th *Thread) bool {
		if th.State == ThreadLive {
			creds[th.Cred]++
			threads[th.Proc]++
			fss[th.Fs]++
			count(th.SigQ)
		} else if k.Procs.Get(th.Proc) == nil {
			g.t.Errorf("thread %d of no process", th.Tid)
		}
		return true
	})
	k.Files.Each(func(f store.Ref[File], r *File) bool { creds[r.Cred]++; return true })
	k.Procs.Each(func(p store.Ref[Proc], r *Proc) bool {
		if r.Threads != threads[p] {
			g.t.Errorf("process %d: %d threads, counted %d", r.Pid, r.Threads, threads[p])
		}
		if r.State == ProcZombie && r.Threads != 0 {
			g.t.Errorf("zombie %d has threads", r.Pid)
		}
		return true
	})
	k.Creds.Each(func(c store.Ref[Cred], r *Cred) bool {
		if r.Refs != creds[c] {
			g.t.Errorf("cred %d: Refs %d, counted %d", c, r.Refs, creds[c])
		}
		return true
	})
	spaces := map[store.Ref[UserNS]]uint32{}
	k.Creds.Each(func(_ store.Ref[Cred], r *Cred) bool { spaces[r.NS]++; return true })
	k.UserNSs.Each(func(_ store.Ref[UserNS], r *UserNS) bool { spaces[r.Parent]++; return true })
	k.UserNSs.Each(func(n store.Ref[UserNS], r *UserNS) bool {
		if r.Refs != spaces[n] {
			g.t.Errorf("user namespace %d: Refs %d, counted %d", n, r.Refs, spaces[n])
		}
		return true
	})
	k.FDs.Each(func(f store.Ref[FDTable], r *FDTable) bool {
		if r.Refs != fds[f] {
			g.t.Errorf("table %d: Refs %d, counted %d", f, r.Refs, fds[f])
		}
		return true
	})
	k.Hands.Each(func(h store.Ref[SigHand], r *SigHand) bool {
		if r.Refs != hands[h] {
			g.t.Errorf("actions %d: Refs %d, counted %d", h, r.Refs, hands[h])
		}
		return true
	})
	k.FsCtxs.Each(func(f store.Ref[FsCtx], r *FsCtx) bool {
		if r.Refs != fss[f] {
			g.t.Errorf("fs context %d: Refs %d, counted %d", f, r.Refs, fss[f])
		}
		return true
	})
	if n := k.SigEnts.Len(); n != queued {
		g.t.Errorf("%d signal entries, %d in queues", n, queued)
	}
}

func (g *guest) reopenAll() {
	g.t.Helper()
	g.check()
	g.clock.timers = map[*testTimer]bool{} // the dead incarnation's
	g.reopen()
	g.AddPersonality(g.pers)
	g.Random = func(b []byte) { clear(b) }
	g.check()
}

func ret(v uint64, e abi.Errno) func(c *Call) {
	return func(c *Call) {
		if e != 0 {
			c.Fail(e)
			return
		}
		c.Ret(v)
	}
}

func (g *guest) wait(kind int, id int32, opts uint32) (w WaitResult, e abi.Errno) {
	g.call(func(c *Call) { w, e = c.Wait(kind, id, opts); ret(0, e)(c) })
	return w, e
}

func TestForkExitWait(t *testing.T) {
	g := newGuest(t)
	if _, e := g.wait(WaitAll, 0, WExited); e != abi.ECHILD {
		t.Errorf("wait without children: %v", e)
	}
	child, pid := g.fork(CloneArgs{})
	if w, e := g.wait(WaitPid, pid, WExited|WNoHang); e != 0 || w.Pid != 0 {
		t.Errorf("wait for a running child: %v %v", w, e)
	}
	waiting := g.start(func(c *Call) {
		w, e := c.Wait(WaitAll, 0, WExited|WNoWait)
		ret(uint64(w.Status)<<32|uint64(uint32(w.Pid)), e)(c)
	})
	c := child.call(func(c *Call) { c.ExitGroup(7) })
	if findAct(c, abi.ActExitTask) == nil || c.Flags&abi.ReplyKeepRegs == 0 {
		t.Errorf("exit's reply: %+v", c.Acts)
	}
	if r := g.result(waiting); r.Result != 0x700<<32|uint64(uint32(pid)) {
		t.Errorf("wait: %#x %v", r.Result, r.Err)
	}
	g.reopenAll()
	w, e := g.wait(WaitPid, pid, WExited)
	if e != 0 || w.Pid != pid || w.Status != 0x700 || !w.Reaped {
		t.Errorf("wait after reopening: %+v %v", w, e)
	}
	if g.ProcByPid(pid) != 0 {
		t.Error("still there")
	}
	g.check()
}

// TestTaskGoneBeforeThreads: a host process that ends while a thread of its is at work here
// leaves nothing behind: not the other threads either, which the next incarnation would find without a process.
func TestTaskGoneBeforeThreads(t *testing.T) {
	g := newGuest(t)
	child, pid := g.fork(CloneArgs{})
	const flags = CloneVM | CloneFS | CloneFiles | CloneSighand | CloneThread
	var threads []*guest
	for range 3 {
		c := child.call(func(c *Call) { v, e := c.Clone(&CloneArgs{Flags: flags, SP: 0x9000}); ret(uint64(v), e)(c) })
		a := findAct(c, abi.ActThread)
		th := g.on(child.task, uint32(a.A[0]))
		th.send(abi.KindThread, 0, a.A[1])
		threads = append(threads, th)
	}
	threads[0].call(func(c *Call) { c.Exit(0) })
	sleeping := threads[1].start(func(c *Call) { c.Fail(c.Sleep(NoDeadline)) })
	g.TaskGone(child.task)
	g.result(sleeping)
	if w, e := g.wait(WaitPid, pid, WExited); e != 0 || w.Status != SIGKILL {
		t.Errorf("%+v %v", w, e)
	}
	g.Threads.Each(func(_ store.Ref[Thread], th *Thread) bool {
		if g.Procs.Get(th.Proc) == nil {
			t.Errorf("thread %d is left without a process", th.Tid)
		}
		return true
	})
	g.check()
	g.reopenAll()
}

func TestKillAndOrphans(t *testing.T) {
	g := newGuest(t)
	child, pid := g.fork(CloneArgs{})
	grand, gpid := child.fork(CloneArgs{})
	sleeping := grand.start(func(c *Call) { c.Fail(c.Sleep(NoDeadline)) })
	g.call(func(c *Call) { ret(0, c.Kill(pid, SIGKILL))(c) })
	if w, e := g.wait(WaitPid, pid, WExited); e != 0 || w.Status != SIGKILL {
		t.Fatalf("%+v %v", w, e)
	}
	if r := g.Procs.Get(g.ProcByPid(gpid)); r == nil || g.Procs.Get(r.Parent).Pid != 1 {
		t.Error("the orphan was not adopted")
	}
	// A sleeping call unwinds before its process is a zombie.
	g.call(func(c *Call) { ret(0, c.Kill(gpid, SIGTERM))(c) })
	g.result(sleeping)
	if w, e := g.wait(WaitPid, gpid, WExited); e != 0 || w.Status != SIGTERM {
		t.Errorf("%+v %v", w, e)
	}
	if len(g.host.over) == 0 {
		t.Error("no task was ended")
	}
	g.call(func(c *Call) { ret(0, c.Kill(gpid, SIGTERM))(c) })
	g.reopenAll()
}

func TestThreads(t *testing.T) {
	g := newGuest(t)
	const flags = CloneVM | CloneFS | CloneFiles | CloneSighand | CloneThread | CloneSysvsem | CloneSetTLS | CloneParentSettid | CloneChildCleartd
	for _, bad := range []uint64{CloneThread, CloneThread | CloneSighand, CloneVM} {
		if c := g.call(func(c *Call) { _, e := c.Clone(&CloneArgs{Flags: bad}); ret(0, e)(c) }); c.Err != abi.EINVAL {
			t.Errorf("clone(%#x): %v", bad, c.Err)
		}
	}
	var tid int32
	c := g.call(func(c *Call) {
		var e abi.Errno
		tid, e = c.Clone(&CloneArgs{Flags: flags, SP: 0x9000, TLS: 0x77, ParentTid: 0x20000, ChildTid: 0x20000})
		ret(uint64(tid), e)(c)
	})
	a := findAct(c, abi.ActThread)
	if c.Err != 0 || a == nil || a.A[2] != 0x9000 || a.A[3] != 0x77 || uint32(a.A[4]) != 3 || a.A[4]>>32 != uint64(tid) || a.A[0] == 0 {
		t.Fatalf("%v %+v", c.Err, a)
	}
	th := g.on(g.task, uint32(a.A[0]))
	th.send(abi.KindThread, 0, a.A[1])
	if w := th.call(func(c *Call) { c.Ret(uint64(c.Thread().Tid)) }); w.Result != uint64(tid) {
		t.Errorf("tid %d, want %d", w.Result, tid)
	}
	r := th.call(func(c *Call) { c.Exit(0) })
	if s := findAct(r, abi.ActStore32); s == nil || s.A[0] != 0x20000 || findAct(r, abi.ActFutexWake) == nil || findAct(r, abi.ActExitThread) == nil {
		t.Errorf("thread's end: %+v", r.Acts)
	}
	g.check()
	// The number of the last call is still known, so that the answer can be
	// given after a crash.
	if seq, _, ok := g.SlotDone(g.task, th.slot); !ok || seq != th.seq {
		t.Errorf("SlotDone: %d %v, want %d", seq, ok, th.seq)
	}
	g.reopenAll()
	// exec ends the others; so does exit_group.
	c = g.call(func(c *Call) { v, e := c.Clone(&CloneArgs{Flags: flags, SP: 0x9000}); ret(uint64(v), e)(c) })
	a = findAct(c, abi.ActThread)
	th = g.on(g.task, uint32(a.A[0]))
	th.send(abi.KindThread, 0, a.A[1])
	sleeping := th.start(func(c *Call) { c.Fail(c.Sleep(NoDeadline)) })
	g.call(func(c *Call) { c.ExitGroup(3) })
	g.result(sleeping)
	if len(g.host.halts) != 1 || g.host.halts[0] != 0x300 {
		t.Errorf("halt: %v", g.host.halts)
	}
	g.check()
}

// TestUnshareFs: a thread that leaves its process's file-system context has a
// directory and a umask of its own, which threads and children that it makes get,
// and nobody else.
func TestUnshareFs(t *testing.T) {
	g := newGuest(t)
	const flags = CloneVM | CloneFS | CloneFiles | CloneSighand | CloneThread
	thread := func(g *guest, flags uint64) *guest {
		c := g.call(func(c *Call) { v, e := c.Clone(&CloneArgs{Flags: flags, SP: 0x9000}); ret(uint64(v), e)(c) })
		x := findAct(c, abi.ActThread)
		th := g.on(g.task, uint32(x.A[0]))
		th.send(abi.KindThread, 0, x.A[1])
		return th
	}
	must := func(g *guest, fn func(c *Call) abi.Errno) {
		t.Helper()
		if c := g.call(func(c *Call) { ret(0, fn(c))(c) }); c.Err != 0 {
			t.Fatal(c.Err)
		}
	}
	cwd := func(g *guest, want string) {
		t.Helper()
		g.call(func(c *Call) {
			got, e := c.Getcwd()
			if e != 0 || got != want {
				t.Errorf("in %q, %v; want %q", got, e, want)
			}
		})
	}
	must(g, func(c *Call) abi.Errno { return c.Mkdir(AtCwd, "/a", 0o755) })
	must(g, func(c *Call) abi.Errno { return c.Mkdir(AtCwd, "/b", 0o755) })
	th := thread(g, flags)
	must(th, func(c *Call) abi.Errno { return c.Unshare(false, true) })
	must(th, func(c *Call) abi.Errno { return c.Chdir("/a") })
	cwd(th, "/a")
	cwd(g, "/")
	with := thread(th, flags)
	without := thread(th, flags&^CloneFS)
	must(th, func(c *Call) abi.Errno { return c.Chdir("/b") })
	cwd(with, "/b")
	cwd(without, "/a")
	cwd(thread(g, flags), "/")
	child, _ := th.fork(CloneArgs{})
	cwd(child, "/b")
	must(th, func(c *Call) abi.Errno { return c.Unshare(false, true) })
	must(th, func(c *Call) abi.Errno { return c.Chdir("/a") })
	cwd(with, "/b")
	g.check()
	g.reopenAll()
	cwd(th, "/a")
	cwd(g, "/")
	th.call(func(c *Call) { c.Exit(0) })
	with.call(func(c *Call) { c.Exit(0) })
	g.check()
}

// TestUserNamespace: ids and capabilities in a user namespace, what becomes of a
// process in it when its map is written, and when it has ended.
func TestUserNamespace(t *testing.T) {
	g := newGuest(t)
	child, pid := g.fork(CloneArgs{Flags: CloneNewUser})
	shown := func(g *guest) (uid uint32, ns, machine bool) {
		g.call(func(c *Call) {
			uid, ns, machine = c.ShowUID(c.Cred().EUID), c.NsCapable(CapSetuid), c.Capable(CapSetuid)
		})
		return
	}
	if uid, ns, machine := shown(child); uid != OverflowID || !ns || machine {
		t.Errorf("unmapped: user %d, capable %v, of the machine %v", uid, ns, machine)
	}
	nested, _ := child.fork(CloneArgs{})
	if c := nested.call(func(c *Call) { ret(0, c.UnshareUser())(c) }); c.Err != abi.EPERM {
		t.Errorf("a namespace of somebody whom the one above does not map: %v", c.Err)
	}
	write := func(by *guest, s string) abi.Errno {
		return by.call(func(c *Call) { ret(0, c.K.writeMap(c, c.Cred(), c.K.byPid[pid], s, false))(c) }).Err
	}
	for _, bad := range []string{"", "1", "1 2", "1 2 3 4", "a 0 1", "0 0 0", "4294967295 0 1", "0 4294967290 10", "0 0 2\n1 5 1", "0 0 2\n5 1 1"} {
		if e := write(g, bad); e != abi.EINVAL {
			t.Errorf("map %q: %v", bad, e)
		}
	}
	if e := write(g, "7 0 1\n100 1000 50"); e != 0 {
		t.Fatal(e)
	}
	if e := write(g, "7 0 1"); e != abi.EPERM {
		t.Errorf("a second map: %v", e)
	}
	if c := child.call(func(c *Call) { c.Ret(0) }); findTask(c, abi.TaskUid) != 7 {
		t.Errorf("the library is told user %d, want 7", findTask(c, abi.TaskUid))
	}
	g.reopenAll()
	if uid, _, _ := shown(child); uid != 7 {
		t.Errorf("after a restart: user %d, want 7", uid)
	}
	child.call(func(c *Call) {
		if id, ok := c.MapUID(149); !ok || id != 1049 {
			t.Errorf("149 is %d, %v", id, ok)
		}
		if _, ok := c.MapUID(150); ok {
			t.Error("150 is somebody")
		}
	})
	g.check()
	for _, x := range []*guest{nested, child} {
		x.call(func(c *Call) { c.ExitGroup(0) })
	}
	for range 2 {
		g.wait(WaitAll, 0, WExited|WNoHang)
	}
	if n := g.UserNSs.Len(); n != 0 {
		t.Errorf("%d user namespaces are left", n)
	}
	g.check()
}

// TestThreadsAreCounted: each thread in its task's budget, before it is there and until it
// has ended, or longer: the next one takes its place.
func TestThreadsAreCounted(t *testing.T) {
	g := newGuest(t)
	const flags = CloneVM | CloneFS | CloneFiles | CloneSighand | CloneThread
	clone := func(f uint64) *Call {
		return g.call(func(c *Call) { v, e := c.Clone(&CloneArgs{Flags: f, SP: 0x9000}); ret(uint64(v), e)(c) })
	}
	c := clone(flags)
	x := findAct(c, abi.ActThread)
	if c.Err != 0 || g.host.threads != 1 {
		t.Fatalf("%v, %d are counted", c.Err, g.host.threads)
	}
	th := g.on(g.task, uint32(x.A[0]))
	th.send(abi.KindThread, 0, x.A[1])
	g.host.full = true
	if c := clone(flags); c.Err != abi.EAGAIN || findAct(c, abi.ActThread) != nil || g.host.threads != 1 {
		t.Errorf("without room: %v, %d are counted", c.Err, g.host.threads)
	}
	g.host.full = false
	if n := g.TaskThreads(); n[g.task] != 2 {
		t.Errorf("%v after a recovery", n)
	}
	th.call(func(c *Call) { c.Exit(0) })
	if n := g.TaskThreads(); g.host.threads != 1 || n[g.task] != 1 {
		t.Errorf("%d are counted of one that ended, %v after a recovery", g.host.threads, n)
	}
	g.host.full = true
	x = findAct(clone(flags), abi.ActThread)
	if x == nil || g.host.threads != 1 {
		t.Fatalf("one in the place of another: %v, %d are counted", x, g.host.threads)
	}
	g.host.full = false
	// Of many, only some places are kept, and none of one that may go before others.
	th = g.on(g.task, uint32(x.A[0]))
	th.send(abi.KindThread, 0, x.A[1])
	ths := []*guest{th}
	for range maxSpare + 2 {
		x := findAct(clone(flags), abi.ActThread)
		th := g.on(g.task, uint32(x.A[0]))
		th.send(abi.KindThread, 0, x.A[1])
		ths = append(ths, th)
	}
	ths[0].call(func(c *Call) { c.MutThread().Sched.Nice = 5; c.Exit(0) })
	if g.host.threads != len(ths)-1 {
		t.Errorf("%d are counted of %d", g.host.threads, len(ths)-1)
	}
	for _, th := range ths[1:] {
		th.call(func(c *Call) { c.Exit(0) })
	}
	if g.host.threads != maxSpare {
		t.Errorf("%d are counted of none, want %d", g.host.threads, maxSpare)
	}
	// What another task needs is given back.
	g.host.room = maxSpare
	g.call(func(c *Call) {
		e := c.withSpares(func() abi.Errno { return g.host.AddThreads(g.task+1, 1) })
		c.Fail(e)
		if e != 0 || g.host.threads != 1 {
			t.Errorf("with spare ones: %v, %d are counted", e, g.host.threads)
		}
	})
	g.check()
}

// TestCloneWhileExiting: the process ends while clone3 fetches its arguments. It
// gets no thread any more, which nobody would start and which would never leave.
func TestCloneWhileExiting(t *testing.T) {
	const flags = CloneVM | CloneFS | CloneFiles | CloneSighand | CloneThread
	for _, a := range []CloneArgs{{Flags: flags, SP: 0x9000}, {Flags: CloneVM | CloneVfork, ExitSignal: SIGCHLD}, {ExitSignal: SIGCHLD}} {
		g := newGuest(t)
		c := g.call(func(c *Call) { v, e := c.Clone(&CloneArgs{Flags: flags, SP: 0x9000}); ret(uint64(v), e)(c) })
		x := findAct(c, abi.ActThread)
		th := g.on(g.task, uint32(x.A[0]))
		th.send(abi.KindThread, 0, x.A[1])
		r := g.call(func(c *Call) {
			c.Unlocked(func() { th.call(func(c *Call) { c.ExitGroup(3) }) })
			v, e := c.Clone(&a)
			ret(uint64(v), e)(c)
		})
		if findAct(r, abi.ActThread) != nil || findAct(r, abi.ActFork) != nil || findAct(r, abi.ActExitTask) == nil {
			t.Errorf("clone %#x: %+v", a.Flags, r.Acts)
		}
		if len(g.host.halts) != 1 || g.host.halts[0] != 0x300 {
			t.Errorf("clone %#x: halt: %v", a.Flags, g.host.halts)
		}
		g.check()
	}
}

func TestVforkAndExec(t *testing.T) {
	g := newGuest(t)
	writeProgram(t, g, "prog", "TEST")
	writeProgram(t, g, "script", "#! /prog  one arg\nrest")
	writeProgram(t, g, "bad", "nothing")
	c := g.call(func(c *Call) {
		v, e := c.Clone(&CloneArgs{Flags: CloneVM | CloneVfork, ExitSignal: SIGCHLD})
		ret(uint64(v), e)(c)
	})
	if c.Err != 0 || findAct(c, abi.ActRegs) == nil {
		t.Fatalf("vfork: %v %+v", c.Err, c.Acts)
	}
	var pid int32
	g.call(func(c *Call) { pid = c.Proc().Pid; c.Ret(0) })
	if pid == 1 {
		t.Fatal("the slot does not speak for the child")
	}
	g.reopenAll()
	for name, want := range map[string]abi.Errno{"/bad": abi.ENOEXEC, "/none": abi.ENOENT, "": abi.ENOENT, "/prog/x": abi.ENOTDIR, "/": abi.EACCES} {
		if r := g.call(func(c *Call) { c.Fail(c.Exec(AtCwd, name, WalkFollow, []string{"x"}, nil)) }); r.Err != want {
			t.Errorf("exec %q: %v, want %v", name, r.Err, want)
		}
	}
	r := g.call(func(c *Call) { ret(0, c.Exec(AtCwd, "/script", WalkFollow, []string{"x", "y"}, []string{"A=1"}))(c) })
	if r.NoReply || findTask(r, abi.TaskPid) != 1 {
		t.Errorf("the parent is not back: %+v", r.Acts)
	}
	p := g.ProcByPid(pid)
	if p == 0 || g.Procs.Get(p).Task == g.task {
		t.Fatal("no fresh task")
	}
	n := g.on(g.Procs.Get(p).Task, g.slot)
	n.send(abi.KindStart, 0)
	g.reopenAll()
	n.Kernel = g.Kernel
	var args []string
	var name string
	n.call(func(c *Call) { args, _, name = c.ExecArgs(); c.Ret(0) })
	if name != "/prog" || len(args) != 4 || args[0] != "/prog" || args[1] != "one arg" || args[2] != "/script" || args[3] != "y" {
		t.Errorf("script's arguments: %q %q", name, args)
	}
	n.call(func(c *Call) { c.ExitGroup(1) })
	if w, e := g.wait(WaitAll, 0, WExited); e != 0 || w.Pid != pid || w.Status != 0x100 {
		t.Errorf("%+v %v", w, e)
	}
	// A vfork child that ends gives the slot back too.
	g.call(func(c *Call) {
		v, e := c.Clone(&CloneArgs{Flags: CloneVM | CloneVfork, ExitSignal: SIGCHLD})
		ret(uint64(v), e)(c)
	})
	r = g.call(func(c *Call) { c.ExitGroup(5) })
	if findTask(r, abi.TaskPid) != 1 || findAct(r, abi.ActExitTask) != nil {
		t.Errorf("after _exit in a vfork child: %+v", r.Acts)
	}
	if w, e := g.wait(WaitAll, 0, WExited); e != 0 || w.Status != 0x500 {
		t.Errorf("%+v %v", w, e)
	}
	g.reopenAll()
	g.checkVFS()
}

func writeProgram(t *testing.T, g *guest, name, text string) {
	t.Helper()
	g.do(g.init, func(c *Call) {
		f, e := c.OpenAt(AtCwd, "/"+name, AccessWrite, OpenCreate, 0o755, 0)
		if e != 0 {
			t.Fatal(name, e)
		}
		c.K.HoldFile(f)
		if _, e := c.K.Ops(f).Write(c, f, []byte(text), -1); e != 0 {
			t.Fatal(e)
		}
		c.K.DropFile(c, f)
	})
}

func (g *guest) handle(sig int32, flags uint64, mask SigSet) {
	g.call(func(c *Call) {
		_, e := c.SetAction(sig, &SigAction{Handler: 0x4000, Flags: flags, Mask: mask})
		ret(0, e)(c)
	})
}

// A signal beside a reply that has no room for its frame comes after the reply:
// the library is asked nothing in between, where the server could die with the
// signal delivered and the call not done.
func TestSignalsBesideFullReply(t *testing.T) {
	for _, c := range []struct {
		name string
		fill func(c *Call)
	}{
		{"bytes", func(c *Call) { c.CopyOut(0x100000, make([]byte, abi.SlotOutSize-frameSize)) }},
		{"actions", func(c *Call) {
			for range abi.MaxActions - 1 {
				c.CopyOut32(0x100000, 7)
			}
		}},
	} {
		g := newGuest(t)
		g.handle(SIGUSR1, 0, 0)
		g.Enter()
		g.Threads.Mut(g.init).HostTID = 7
		g.Leave()
		r := g.call(func(k *Call) {
			c.fill(k)
			ret(42, k.Kill(1, SIGUSR1))(k)
		})
		if x := r.Chan.(*testChan).asked; len(g.pers.delivered) != 0 || x != 0 || r.Result != 42 || g.host.kicks != 1 {
			t.Fatalf("%s: delivered %v, library asked %d times, result %d, %d kicks", c.name, g.pers.delivered, x, r.Result, g.host.kicks)
		}
		r = g.send(abi.KindPoll, 0)
		if len(g.pers.delivered) != 1 || findAct(r, abi.ActRegs) == nil {
			t.Fatalf("%s: at the poll: delivered %v", c.name, g.pers.delivered)
		}
	}
}

// What ends a thread, or is sent to it, while the library makes room for the end of its
// reply is not lost: it came when the call was taken to look itself.
func TestSignalsWhileReplyFlushes(t *testing.T) {
	for _, sig := range []int32{SIGKILL, SIGUSR1} {
		g := newGuest(t)
		child, pid := g.fork(CloneArgs{})
		child.handle(SIGUSR1, 0, 0)
		child.Enter()
		th := child.tasks[child.task].slots[child.slot]
		child.Threads.Mut(th).HostTID = 7
		child.Leave()
		kicks := g.host.kicks
		r := child.call(func(c *Call) {
			c.CopyOut(0x100000, make([]byte, abi.SlotOutSize-8)) // registers do not fit behind it
			regs := c.Regs
			c.SetRegs(&regs, false)
			c.Chan.(*testChan).during = func() {
				g.Enter()
				g.SendSignal(g.ProcByPid(pid), &SigInfo{Sig: sig})
				g.Leave()
			}
		})
		if r.Chan.(*testChan).asked == 0 {
			t.Fatal("nothing was flushed")
		}
		if sig == SIGKILL {
			if w, e := g.wait(WaitPid, pid, WExited); e != 0 || w.Status != SIGKILL {
				t.Errorf("%+v %v", w, e)
			}
		} else if g.host.kicks != kicks+1 {
			t.Errorf("%d kicks", g.host.kicks-kicks)
		}
	}
}

func TestSignals(t *testing.T) {
	g := newGuest(t)
	if c := g.call(func(c *Call) { _, e := c.SetAction(SIGKILL, &SigAction{Handler: SigIgn}); ret(0, e)(c) }); c.Err != abi.EINVAL {
		t.Errorf("SIGKILL ignored: %v", c.Err)
	}
	g.handle(SIGUSR1, 0, SigBit(SIGUSR2))
	c := g.call(func(c *Call) { ret(42, c.Kill(1, SIGUSR1))(c) })
	if len(g.pers.delivered) != 1 || g.pers.regs[0].AX != 42 || findAct(c, abi.ActRegs) == nil {
		t.Fatalf("delivered %+v %+v", g.pers.delivered, g.pers.regs)
	}
	th := g.Threads.Get(g.init)
	if th.Mask != SigBit(SIGUSR1)|SigBit(SIGUSR2) {
		t.Errorf("mask in the handler: %#x", th.Mask)
	}
	g.reopenAll()
	// Blocked: pending until it is let through; standard signals once,
	// real-time ones each, in order.
	for i := range 3 {
		g.call(func(c *Call) {
			s := c.UserInfo(SIGUSR1, SiQueue)
			s.Value = uint64(i)
			ret(0, c.K.SendSignal(c.ProcRef(), &s))(c)
		})
	}
	g.pers.delivered = nil
	g.call(func(c *Call) { c.SetSigMask(0); c.Ret(0) })
	if len(g.pers.delivered) != 1 || g.pers.delivered[0].Value != 0 {
		t.Errorf("standard: %+v", g.pers.delivered)
	}
	g.handle(SIGRTMIN+2, SaNoDefer, 0)
	g.call(func(c *Call) { c.SetSigMask(SigBit(SIGRTMIN + 2)); c.Ret(0) })
	for i := range 3 {
		g.call(func(c *Call) {
			s := c.UserInfo(SIGRTMIN+2, SiQueue)
			s.Value = uint64(i)
			ret(0, c.K.SendThreadSignal(c.T, &s))(c)
		})
	}
	g.reopenAll()
	g.pers.delivered = nil
	g.call(func(c *Call) { c.SetSigMask(0); c.Ret(0) })
	if len(g.pers.delivered) != 3 || g.pers.delivered[0].Value != 0 || g.pers.delivered[2].Value != 2 {
		t.Errorf("queued: %+v", g.pers.delivered)
	}
	g.call(func(c *Call) { c.SetSigMask(0); c.Ret(0) })

	// A sleeping call: EINTR without SA_RESTART, else run again.
	g.pers.delivered, g.pers.regs = nil, nil
	sleeping := g.start(func(c *Call) { c.Fail(c.Sleep(NoDeadline)) })
	g.Enter()
	g.SendSignal(g.Threads.Get(g.init).Proc, &SigInfo{Sig: SIGUSR1})
	g.Leave()
	g.result(sleeping)
	if len(g.pers.regs) != 1 || int64(g.pers.regs[0].AX) != -int64(abi.EINTR) || g.pers.regs[0].IP != 0x1002 {
		t.Errorf("EINTR: %+v", g.pers.regs)
	}
	g.call(func(c *Call) { c.SetSigMask(0); c.Ret(0) })
	g.handle(SIGUSR1, SaRestart, 0)
	g.pers.regs = nil
	sleeping = g.start(func(c *Call) { c.Fail(c.Sleep(NoDeadline)) })
	g.Enter()
	g.SendSignal(g.Threads.Get(g.init).Proc, &SigInfo{Sig: SIGUSR1})
	g.Leave()
	r := g.result(sleeping)
	if len(g.pers.regs) != 1 || g.pers.regs[0].AX != r.Nr || g.pers.regs[0].IP != 0x1000 {
		t.Errorf("restart: %+v", g.pers.regs)
	}
	g.call(func(c *Call) { c.SetSigMask(0); c.Ret(0) })

	// sigsuspend: the handler's frame restores the old mask.
	g.call(func(c *Call) { c.SetSigMask(SigBit(SIGUSR1)); c.Ret(0) })
	g.call(func(c *Call) { ret(0, c.Kill(1, SIGUSR1))(c) })
	g.pers.delivered = nil
	g.call(func(c *Call) {
		c.WithMask(0)
		c.Sleep(NoDeadline)
		c.Fail(abi.ErrRestartNoHnd)
	})
	if len(g.pers.delivered) != 1 || g.Threads.Get(g.init).HasSaved != 0 {
		t.Errorf("sigsuspend: %+v", g.pers.delivered)
	}
	// A frame that does not fit kills with SIGSEGV.
	g.call(func(c *Call) { c.SetSigMask(0); c.Ret(0) })
	g.pers.failFrame = true
	g.call(func(c *Call) { ret(0, c.Kill(1, SIGUSR1))(c) })
	if len(g.host.halts) != 1 || g.host.halts[0] != SIGSEGV {
		t.Errorf("halt: %v", g.host.halts)
	}
	g.check()
}

func TestKickAndPoll(t *testing.T) {
	g := newGuest(t)
	g.handle(SIGUSR1, 0, 0)
	p := g.Threads.Get(g.init).Proc
	g.Enter()
	g.SendSignal(p, &SigInfo{Sig: SIGUSR1})
	g.SendSignal(p, &SigInfo{Sig: SIGUSR1})
	g.Leave()
	if g.host.kicks != 1 {
		t.Errorf("%d kicks, want 1", g.host.kicks)
	}
	g.regs.IP, g.regs.AX = 0x5555, 9
	c := g.send(abi.KindPoll, 0)
	if len(g.pers.regs) != 1 || g.pers.regs[0].IP != 0x5555 || g.pers.regs[0].AX != 9 || findAct(c, abi.ActRegs) == nil {
		t.Errorf("poll: %+v", g.pers.regs)
	}
	// A kick that had no reason changes nothing.
	c = g.send(abi.KindPoll, 0)
	if len(c.Acts) != 0 || c.Flags&abi.ReplyKeepRegs == 0 {
		t.Errorf("idle poll: %+v", c.Acts)
	}
	// A local call that was cut is run again.
	c = g.send(abi.KindPoll, 202, 1)
	if findAct(c, abi.ActAgain) == nil {
		t.Errorf("cut call: %+v", c.Acts)
	}
	// A fault with no handler ends the process with a core status.
	g.send(abi.KindFault, SIGSEGV, 1, 0x10)
	if len(g.host.halts) != 1 || g.host.halts[0] != SIGSEGV {
		t.Errorf("halt: %v", g.host.halts)
	}
}

func TestStopContinue(t *testing.T) {
	g := newGuest(t)
	child, pid := g.fork(CloneArgs{})
	held := make(chan *Call, 1)
	stop := func(c *Call) { ret(5, c.Kill(pid, SIGSTOP))(c) }
	child.pers.calls = append(child.pers.calls, stop)
	nr := uint64(len(child.pers.calls) - 1)
	go func() { held <- child.send(abi.KindTrap, nr) }()
	g.until("the stop", func() bool { return g.Procs.Get(g.byPid[pid]).Stopped == SIGSTOP })
	w, e := g.wait(WaitPid, pid, WExited|WStopped)
	if e != 0 || w.Status != SIGSTOP<<8|0x7f {
		t.Errorf("%+v %v", w, e)
	}
	if w, e = g.wait(WaitPid, pid, WExited|WStopped|WNoHang); e != 0 || w.Pid != 0 {
		t.Errorf("reported twice: %+v %v", w, e)
	}
	select {
	case <-held:
		t.Fatal("a stopped process was answered")
	default:
	}
	// Other signals wait; SIGCONT goes on.
	g.call(func(c *Call) { ret(0, c.Kill(pid, SIGCONT))(c) })
	if c := g.result(held); c.Result != 5 {
		t.Errorf("the held answer: %+v", c.Result)
	}
	if w, e = g.wait(WaitPid, pid, WExited|WContinued|WNoHang); e != 0 || w.Status != 0xffff {
		t.Errorf("%+v %v", w, e)
	}
	// One that ends the process does so before it runs again.
	go func() { held <- child.send(abi.KindTrap, nr) }()
	g.until("the stop", func() bool { return g.Procs.Get(g.byPid[pid]).Stopped == SIGSTOP })
	g.call(func(c *Call) { ret(0, c.Kill(pid, SIGUSR2))(c) })
	g.call(func(c *Call) { ret(0, c.Kill(pid, SIGCONT))(c) })
	g.result(held)
	if w, e = g.wait(WaitPid, pid, WExited); e != 0 || w.Status != SIGUSR2 {
		t.Errorf("%+v %v", w, e)
	}
	g.reopenAll()
}

func TestTimers(t *testing.T) {
	g := newGuest(t)
	g.handle(SIGALRM, SaNoDefer, 0)
	g.call(func(c *Call) { c.SetITimer(5e9, 2e9, true); c.Ret(0) })
	g.reopenAll()
	g.clock.Advance(4e9)
	g.call(func(c *Call) { c.Ret(0) })
	if len(g.pers.delivered) != 0 {
		t.Fatal("too early")
	}
	g.clock.Advance(1e9)
	g.call(func(c *Call) { c.Ret(0) })
	g.clock.Advance(2e9)
	g.call(func(c *Call) { c.Ret(0) })
	if len(g.pers.delivered) != 2 || g.pers.delivered[0].Sig != SIGALRM {
		t.Errorf("%+v", g.pers.delivered)
	}
	g.call(func(c *Call) { c.SetITimer(0, 0, true); c.Ret(0) })

	g.handle(SIGRTMIN+1, SaNoDefer, 0)
	g.call(func(c *Call) { c.SetSigMask(SigBit(SIGRTMIN + 1)); c.Ret(0) })
	var id int32
	g.call(func(c *Call) {
		var e abi.Errno
		id, e = c.NewTimer(&PosixTimer{Sig: SIGRTMIN + 1, Value: 99})
		r := c.TimerByID(id)
		now := c.TimerNow(r)
		c.SetTimer(r, now, now+1e9, 1e9)
		ret(0, e)(c)
	})
	g.clock.Advance(1e9)
	g.clock.Advance(3e9)
	g.reopenAll()
	g.pers.delivered = nil
	g.call(func(c *Call) { c.SetSigMask(0); c.Ret(0) })
	if len(g.pers.delivered) != 1 || g.pers.delivered[0].Value != 99 || g.pers.delivered[0].Overrun != 3 {
		t.Errorf("%+v", g.pers.delivered)
	}
	g.call(func(c *Call) { c.DropTimer(c.TimerByID(id)); c.Ret(0) })
	g.reopenAll()
	if g.PTimers.Len() != 0 {
		t.Error("a timer is left")
	}
}

func TestGroupsAndSessions(t *testing.T) {
	g := newGuest(t)
	child, pid := g.fork(CloneArgs{})
	if c := child.call(func(c *Call) { s, e := c.SetSid(); ret(uint64(s), e)(c) }); c.Err != 0 || c.Result != uint64(pid) {
		t.Errorf("setsid: %v", c.Err)
	}
	if c := child.call(func(c *Call) { s, e := c.SetSid(); ret(uint64(s), e)(c) }); c.Err != abi.EPERM {
		t.Errorf("setsid twice: %v", c.Err)
	}
	for _, x := range []struct {
		pid, pgid int32
		want      abi.Errno
	}{{pid, 0, abi.EPERM}, {9999, 0, abi.ESRCH}, {0, -1, abi.EINVAL}, {0, 9999, abi.EPERM}} {
		if c := g.call(func(c *Call) { ret(0, c.SetPgid(x.pid, x.pgid))(c) }); c.Err != x.want {
			t.Errorf("setpgid(%d, %d): %v, want %v", x.pid, x.pgid, c.Err, x.want)
		}
	}
	_, p2 := g.fork(CloneArgs{})
	if c := g.call(func(c *Call) { ret(0, c.SetPgid(p2, 0))(c) }); c.Err != 0 {
		t.Errorf("setpgid of a child: %v", c.Err)
	}
	if c := g.call(func(c *Call) { ret(0, c.Kill(-p2, SIGKILL))(c) }); c.Err != 0 {
		t.Errorf("kill of a group: %v", c.Err)
	}
	if c := g.call(func(c *Call) { ret(0, c.Kill(-12345, SIGKILL))(c) }); c.Err != abi.ESRCH {
		t.Errorf("kill of no group: %v", c.Err)
	}
	g.reopenAll()
}

// TestRetarget: a signal for which a thread was chosen that ends before it looks
// is another's.
func TestRetarget(t *testing.T) {
	tk := newTestKernel(t)
	leader := tk.newProc(0)
	tk.Enter()
	p := tk.Threads.Get(leader).Proc
	other, _, e := tk.newThread(p, 4000, leader)
	if e != 0 {
		t.Fatal(e)
	}
	tk.addThreadIndex(other)
	tk.bindSlot(tk.Procs.Get(p).Task, 1, other)
	tk.Threads.Mut(other).HostTID = 77
	tk.threadRT(leader).inServer = true // on its way out
	tk.SendSignal(p, &SigInfo{Sig: 15})
	if tk.threadRT(other).kicked {
		t.Error("both threads were chosen")
	}
	tk.threadEnd(leader)
	if !tk.threadRT(other).kicked {
		t.Error("nobody was chosen when the first thread ended")
	}
	tk.Leave()
}

// TestToldInOrder: a thread that begins has the host told what it inherited, and is given
// another set of processors meanwhile: whichever comes to the host last, that is what it has.
func TestToldInOrder(t *testing.T) {
	for _, late := range []bool{false, true} {
		g := newGuest(t)
		child, pid := g.fork(CloneArgs{})
		g.Config.CPUs = CPUSet{3}
		all, one := g.CPUs(), CPUSet{1}
		var last CPUSet
		entered, leave := make(chan bool), make(chan bool)
		first := true
		var told sync.Mutex
		g.host.assign = func(s CPUSet) {
			told.Lock()
			wait := first
			first = false
			if wait && !late {
				last = s
			}
			told.Unlock()
			if wait {
				close(entered)
				<-leave
			}
			told.Lock()
			defer told.Unlock()
			if !wait || late {
				last = s
			}
		}
		var th store.Ref[Thread]
		done := make(chan *Call)
		child.pers.calls = append(child.pers.calls, func(c *Call) {
			th = c.T
			m := c.MutThread()
			m.HostTID, m.CPUs, m.StaleSched = 77, all, 1
			c.settleSched()
		})
		nr := uint64(len(child.pers.calls) - 1)
		go func() { done <- child.send(abi.KindTrap, nr) }()
		<-entered
		if c := g.call(func(c *Call) { c.Fail(c.SetCPUs(th, one)) }); c.Err != 0 {
			t.Fatalf("of process %d: %v", pid, c.Err)
		}
		close(leave)
		<-done
		if has := g.Threads.Get(th).CPUs; has != one || last != one {
			t.Errorf("late %v: noted %v, the host has %v", late, has[0], last[0])
		}
	}
}

// TestLateCalls: what the library has served is known when the thread's next call is, and a
// list of locks that was not told yet keeps a thread from being ended before it has seen to it.
func TestLateCalls(t *testing.T) {
	g := newGuest(t)
	child, pid := g.fork(CloneArgs{})
	const flags = CloneVM | CloneFS | CloneFiles | CloneSighand | CloneThread
	c := child.call(func(c *Call) { v, e := c.Clone(&CloneArgs{Flags: flags, SP: 0x9000}); ret(uint64(v), e)(c) })
	a := findAct(c, abi.ActThread)
	th := child.on(child.task, uint32(a.A[0]))
	th.send(abi.KindThread, 0, a.A[1])
	th.late = lateWords{late: abi.LateIsTid | abi.LateIsRobust, robust: 0x30000, tid: 0x20000}
	th.call(func(c *Call) {
		if x := c.Thread(); x.ClearTid != 0x20000 || x.RobustHead != 0x30000 {
			t.Errorf("clear_child_tid %#x, robust list %#x", x.ClearTid, x.RobustHead)
		}
	})
	th.late = lateWords{late: abi.LateIsRobust}
	r := th.call(func(c *Call) { c.Exit(0) })
	if s := findAct(r, abi.ActStore32); s == nil || s.A[0] != 0x20000 {
		t.Errorf("thread's end: %+v", r.Acts)
	}
	// The child's first thread runs, and has a list of which nobody was told.
	g.host.robust = map[[2]uint64]uint64{{uint64(child.task), uint64(child.slot)}: 0x30000}
	kicks := g.host.kicks
	g.call(func(c *Call) { ret(0, c.Kill(pid, SIGKILL))(c) })
	if p := g.Procs.Get(g.byPid[pid]); g.host.kicks != kicks+1 || p.State != ProcLive {
		t.Fatalf("%d kicks, state %d", g.host.kicks-kicks, p.State)
	}
	child.late = lateWords{late: abi.LateIsRobust, robust: 0x30000}
	if r := child.send(abi.KindPoll, 0, abi.PollKick); findAct(r, abi.ActExitTask) == nil {
		t.Errorf("the thread's end: %+v", r.Acts)
	}
	if w, e := g.wait(WaitPid, pid, WExited); e != 0 || w.Status != SIGKILL {
		t.Errorf("wait: %+v %v", w, e)
	}
	g.check()
}

// TestBriefUsage: the host is asked what a task has used only where that can be something.
func TestBriefUsage(t *testing.T) {
	g := newGuest(t)
	const flags = CloneVM | CloneFS | CloneFiles | CloneSighand | CloneThread
	for _, c := range []struct {
		what     string
		ns       int64
		threads  bool
		reopened bool
		want     int64
	}{
		{"brief", briefly - 1, false, false, 0},
		{"long", briefly, false, false, 1000},
		{"threads", 0, true, false, 1000},
		{"another incarnation's", 0, false, true, 1000},
	} {
		child, pid := g.fork(CloneArgs{})
		if c.threads {
			x := child.call(func(c *Call) { v, e := c.Clone(&CloneArgs{Flags: flags, SP: 0x9000}); ret(uint64(v), e)(c) })
			a := findAct(x, abi.ActThread)
			th := child.on(child.task, uint32(a.A[0]))
			th.send(abi.KindThread, 0, a.A[1])
			th.call(func(c *Call) { c.Exit(0) })
		}
		if c.reopened {
			g.tasks[child.task].born = 0 // Recover
		}
		g.clock.Advance(c.ns)
		child.call(func(c *Call) { c.ExitGroup(0) })
		if w, e := g.wait(WaitPid, pid, WExited); e != 0 || w.UTime != c.want || w.STime != c.want {
			t.Errorf("%s: %d and %d ns, %v, want %d", c.what, w.UTime, w.STime, e, c.want)
		}
	}
	g.check()
}
