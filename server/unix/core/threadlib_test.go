package core

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"hythe/abi"
)

const threadFlags = CloneVM | CloneFS | CloneFiles | CloneSighand | CloneThread

// thread has g make a thread, and answers what it was told to begin with.
func (g *guest) thread(a CloneArgs) (th *guest, tid int32, act abi.Action) {
	g.t.Helper()
	a.Flags |= threadFlags
	if a.SP == 0 {
		a.SP = 0x9000
	}
	c := g.call(func(c *Call) { v, e := c.Clone(&a); tid = v; ret(uint64(v), e)(c) })
	x := findAct(c, abi.ActThread)
	if x == nil {
		g.t.Fatalf("no thread: %v", c.Err)
	}
	return g.on(g.task, uint32(x.A[0])), tid, *x
}

func (g *guest) place() [2]uint64 { return [2]uint64{uint64(g.task), uint64(g.slot)} }

// begins has the library say that the thread has begun without asking, ends that it has ended.
func (g *guest) begins(token, tid uint64) {
	if g.host.begun == nil {
		g.host.begun = map[[2]uint64][2]uint64{}
	}
	g.host.begun[g.place()] = [2]uint64{token, tid}
}

func (g *guest) ends(token uint64, code uint32) {
	if g.host.ended == nil {
		g.host.ended = map[[2]uint64][2]uint64{}
	}
	g.host.ended[g.place()] = [2]uint64{token, uint64(code)}
}

func (g *guest) looks() {
	g.Enter()
	g.ThreadEnded(g.task, g.slot)
	g.Leave()
}

func (g *guest) may() uint64 { return g.host.told[g.task][abi.ToldThreads] }

func (g *guest) threadsOf(pid int32) (n int) {
	g.Enter()
	defer g.Leave()
	p := g.ProcByPid(pid)
	if p == 0 {
		return -1
	}
	if r := g.Procs.Get(p); int(r.Threads) != len(g.ThreadsOf(p)) {
		g.t.Errorf("%d threads, %d of them known", r.Threads, len(g.ThreadsOf(p)))
	}
	return len(g.ThreadsOf(p))
}

// TestThreadBegins: a thread that has nothing to ask begins without asking; who wants something of it
// finds it at whatever point it is.
func TestThreadBegins(t *testing.T) {
	g := newGuest(t)
	child, pid := g.fork(CloneArgs{})
	const alone = 2
	child.call(func(c *Call) {
		c.SetAction(SIGUSR1, &SigAction{Handler: 0x5000, Flags: SaRestorer | SaNoDefer})
		c.Ret(0)
	})
	// It has begun and called, and is known.
	th, tid, a := child.thread(CloneArgs{})
	if a.A[4]&alone == 0 {
		t.Fatalf("asks: %#x", a.A[4])
	}
	th.begins(a.A[1], 77)
	th.call(func(c *Call) { c.Ret(0) })
	kicks := g.host.kicks
	if g.signal(tid); g.host.kicks != kicks+1 || g.host.kicked != 77 || child.may()&abi.ThreadsAsk != 0 {
		t.Errorf("%d kicks, of %d; may %#x", g.host.kicks-kicks, g.host.kicked, child.may())
	}
	// It has begun and not called.
	th, tid, a = child.thread(CloneArgs{})
	th.begins(a.A[1], 78)
	if g.signal(tid); g.host.kicks != kicks+2 || g.host.kicked != 78 {
		t.Errorf("has begun: %d kicks, of %d", g.host.kicks-kicks, g.host.kicked)
	}
	delivered := len(g.pers.delivered)
	if th.send(abi.KindPoll, 0, abi.PollKick); len(g.pers.delivered) != delivered+1 {
		t.Error("has begun, and was not told")
	}
	// It has not begun, and somebody else had its slot before: it will ask.
	th, tid, a = child.thread(CloneArgs{})
	th.begins(a.A[1]+1<<32, 79)
	if g.signal(tid); g.host.kicks != kicks+2 || child.may()&abi.ThreadsAsk == 0 {
		t.Errorf("has not begun: %d kicks, may %#x", g.host.kicks-kicks, child.may())
	}
	if th.send(abi.KindThread, 0, a.A[1]); len(g.pers.delivered) != delivered+2 {
		t.Error("asked, and was not told")
	}
	if child.may()&abi.ThreadsAsk != 0 {
		t.Errorf("others ask, too: %#x", child.may())
	}
	// Two are wanted, one has asked.
	one, tid1, a1 := child.thread(CloneArgs{})
	two, tid2, a2 := child.thread(CloneArgs{})
	g.signal(tid1)
	g.signal(tid2)
	if one.send(abi.KindThread, 0, a1.A[1]); child.may()&abi.ThreadsAsk == 0 {
		t.Error("the other one need not ask")
	}
	if two.send(abi.KindThread, 0, a2.A[1]); child.may()&abi.ThreadsAsk != 0 {
		t.Errorf("both have: %#x", child.may())
	}
	// Those that have something to ask.
	child.call(func(c *Call) { c.SetSigMask(SigBit(SIGUSR1)); c.Ret(0) })
	g.call(func(c *Call) { ret(0, c.Kill(pid, SIGUSR1))(c) })
	if _, _, a = child.thread(CloneArgs{}); a.A[4]&alone != 0 {
		t.Error("a signal is pending")
	}
	child.call(func(c *Call) { c.SetSigMask(0); c.Ret(0) })
	if _, _, a = child.thread(CloneArgs{Regs: &abi.Regs{}}); a.A[4]&alone != 0 {
		t.Error("it has registers of its own")
	}
	// A next incarnation finds it.
	th, tid, a = child.thread(CloneArgs{})
	th.begins(a.A[1], 80)
	g.reopen()
	g.AddPersonality(g.pers)
	kicks = g.host.kicks
	g.signal(tid)
	if g.host.kicks != kicks+1 || g.host.kicked != 80 {
		t.Errorf("next incarnation: %d kicks, of %d", g.host.kicks-kicks, g.host.kicked)
	}
	g.check()
}

// signal sends a thread SIGUSR1.
func (g *guest) signal(tid int32) {
	g.t.Helper()
	g.Enter()
	defer g.Leave()
	if e := g.SendThreadSignal(g.ThreadByTid(tid), &SigInfo{Sig: SIGUSR1, Code: SiTkill}); e != 0 {
		g.t.Errorf("signal to %d: %v", tid, e)
	}
}

// TestThreadEnds: a library says that a thread has ended, and what it says of others, or again, is nothing.
func TestThreadEnds(t *testing.T) {
	g := newGuest(t)
	child, pid := g.fork(CloneArgs{})
	if child.may() != 0 {
		t.Errorf("one thread may %#x", child.may())
	}
	th, tid, a := child.thread(CloneArgs{})
	if child.may() != abi.ThreadsEnd {
		t.Errorf("two may %#x", child.may())
	}
	threads := g.host.threads
	for what, word := range map[string]uint64{"nothing": 0, "another one": a.A[1] + 1<<32, "its leader": token(g.tasks[child.task].slots[child.slot], 0)} {
		th.ends(word, 0)
		if th.looks(); g.threadsOf(pid) != 2 {
			t.Errorf("%s has ended", what)
		}
	}
	// While its call is here it makes none.
	ch := th.start(func(c *Call) { c.Fail(c.Sleep(NoDeadline)) })
	th.ends(a.A[1], 0)
	if th.looks(); g.threadsOf(pid) != 2 {
		t.Error("ended in a call")
	}
	g.call(func(c *Call) { ret(0, c.Kill(pid, SIGCONT))(c) })
	child.call(func(c *Call) {
		c.SetAction(SIGUSR1, &SigAction{Handler: 0x5000, Flags: SaRestorer | SaNoDefer})
		c.Ret(0)
	})
	g.signal(tid)
	g.result(ch)
	// What it was to handle of its process's another thread does.
	child.call(func(c *Call) { c.SetSigMask(SigBit(SIGUSR1)); c.Ret(0) })
	g.call(func(c *Call) { ret(0, c.Kill(pid, SIGUSR1))(c) })
	kicks := g.host.kicks
	child.call(func(c *Call) { c.Ret(0) })
	if th.looks(); g.threadsOf(pid) != 1 || g.host.threads != threads {
		t.Errorf("%d threads, %d counted of %d", g.threadsOf(pid), g.host.threads, threads)
	}
	g.Enter()
	if g.ThreadByTid(tid) != 0 {
		t.Error("its id is still known")
	}
	g.Leave()
	if th.looks(); g.threadsOf(pid) != 1 || g.host.kicks != kicks {
		t.Errorf("ended again: %d threads", g.threadsOf(pid))
	}
	// The next one on its slot is another.
	if n, _, b := child.thread(CloneArgs{}); n.slot != th.slot && b.A[1] == a.A[1] {
		t.Error("the same token")
	}
	// A next incarnation finds which have ended, those that the last one has seen but not committed among them.
	th, _, a = child.thread(CloneArgs{})
	th.ends(a.A[1], 0)
	n := g.threadsOf(pid)
	g.reopen()
	g.AddPersonality(g.pers)
	if g.threadsOf(pid) != n-1 {
		t.Errorf("next incarnation: %d threads of %d", g.threadsOf(pid), n)
	}
	g.check()
}

// TestThreadEndsLast: what a library says of the last thread, of one whose process ends, and whose process executes a
// program.
func TestThreadEndsLast(t *testing.T) {
	g := newGuest(t)
	// Its leader has left: no thread may end without asking any more, but one has.
	child, pid := g.fork(CloneArgs{})
	th, _, a := child.thread(CloneArgs{})
	child.call(func(c *Call) { c.Exit(3) })
	if child.may() != 0 {
		t.Errorf("the last one may %#x", child.may())
	}
	th.ends(a.A[1], 5)
	th.looks()
	if w, e := g.wait(WaitPid, pid, WExited); e != 0 || w.Status != 5<<8 || !slices.Contains(g.host.over, child.task) {
		t.Errorf("%+v %v, ended %v", w, e, g.host.over)
	}
	// Its process ends meanwhile, with locks to see to or none.
	for _, locks := range []bool{false, true} {
		child, pid = g.fork(CloneArgs{})
		th, _, a = child.thread(CloneArgs{})
		if locks {
			th.late = lateWords{late: abi.LateIsRobust, robust: 0x30000}
		}
		th.call(func(c *Call) { c.Ret(0) })
		th.ends(a.A[1], 5)
		child.call(func(c *Call) { c.ExitGroup(7) })
		th.looks()
		if w, e := g.wait(WaitPid, pid, WExited); e != 0 || w.Status != 7<<8 {
			t.Errorf("locks %v: %+v %v", locks, w, e)
		}
	}
	// Another thread waits for it to leave.
	child, pid = g.fork(CloneArgs{})
	th, _, a = child.thread(CloneArgs{})
	th.begins(a.A[1], 90)
	ch := child.start(func(c *Call) { c.Fail(c.killSiblings()) })
	th.ends(a.A[1], 5)
	th.looks()
	if c := g.result(ch); c.Err != 0 || g.threadsOf(pid) != 1 {
		t.Errorf("%v, %d threads", c.Err, g.threadsOf(pid))
	}
	g.check()
}

// TestThreadsRandom: threads that begin and end, asking or not, in any order with requests, signals, deaths
// of the server and what is forged; as many are there as have not ended, and each signal comes to its thread.
func TestThreadsRandom(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { threadsAtRandom(t, seed) })
	}
}

func threadsAtRandom(t *testing.T, seed uint64) {
	type thread struct {
		*guest
		tid   int32
		token uint64
		begun bool // the library's word
		known bool // it has called
		sent  int  // signals
	}
	rnd := rand.New(rand.NewPCG(seed, 1))
	g := newGuest(t)
	child, pid := g.fork(CloneArgs{})
	child.call(func(c *Call) {
		c.SetAction(SIGUSR1, &SigAction{Handler: 0x5000, Flags: SaRestorer | SaNoDefer})
		c.Ret(0)
	})
	var live []*thread
	hostID := uint64(100)
	kernel := func(x *guest) *guest { x.Kernel = g.Kernel; return x }
	for range 60 {
		if len(live) == 0 || len(live) < 6 && rnd.IntN(4) == 0 {
			th, tid, a := kernel(child).thread(CloneArgs{})
			live = append(live, &thread{guest: th, tid: tid, token: a.A[1]})
			continue
		}
		i := rnd.IntN(len(live))
		x := live[i]
		kernel(x.guest)
		switch rnd.IntN(7) {
		case 0: // it begins, and asks if it is told to
			if x.begun || x.known {
				break
			}
			hostID++
			x.begins(x.token, hostID)
			x.begun = true
			if x.may()&abi.ThreadsAsk != 0 {
				x.send(abi.KindThread, 0, x.token)
				x.known, x.sent = true, 0
			}
		case 1: // it calls
			if x.begun || x.known {
				x.call(func(c *Call) { c.Ret(0) })
				x.known, x.sent = true, 0
			}
		case 2: // it ends
			if x.begun || x.known {
				if x.ends(x.token, 0); rnd.IntN(2) == 0 {
					x.looks()
				} else { // which nobody looks at before the server dies
					g.reopen()
					g.AddPersonality(g.pers)
				}
				live = slices.Delete(live, i, i+1)
			}
		case 3: // a signal comes: it is kicked, or will ask
			before, kicks := g.host.kicked, g.host.kicks
			g.signal(x.tid)
			x.sent++
			switch reached := g.host.kicks != kicks; {
			case reached && x.begun && !x.known && g.host.kicked != g.host.begun[x.place()][1]:
				t.Fatalf("kicked %d (before %d), it is %d", g.host.kicked, before, g.host.begun[x.place()][1])
			case reached && !x.begun && !x.known:
				t.Fatalf("kicked %d, which has not begun", g.host.kicked)
			case !reached && x.begun && x.sent == 1:
				t.Fatal("it has begun, and nobody told it")
			case !x.begun && !x.known && x.may()&abi.ThreadsAsk == 0:
				t.Fatal("it would not ask")
			}
		case 4: // it is forged
			x.ends(x.token+1<<32, 1)
			x.looks()
			delete(g.host.ended, x.place())
		case 5: // who had its slot before said so
			x.looks()
		case 6:
			g.reopen()
			g.AddPersonality(g.pers)
		}
		if n := g.threadsOf(pid); n != 1+len(live) {
			t.Fatalf("%d threads of %d", n, 1+len(live))
		}
	}
	g.check()
}
