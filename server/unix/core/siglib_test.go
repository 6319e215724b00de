package core

import (
	"testing"

	"hythe/abi"
)

// maskOfReply is what a reply tells the library that the thread blocks.
func maskOfReply(c *Call) (mask uint64, ok bool) {
	for _, a := range c.Acts {
		if a.Op == abi.ActThreadWord && a.A[0] == abi.ThreadMask {
			mask, ok = a.A[1], true
		}
	}
	return mask, ok
}

// TestLibraryMask: a library changes its threads' masks while nothing is pending; the server decides
// by what it has made of them, hears of it with the next request, and tells it what the
// server makes of them.
func TestLibraryMask(t *testing.T) {
	g := newGuest(t)
	child, pid := g.fork(CloneArgs{})
	told := func() uint64 { return g.host.told[child.task][abi.ToldQuiet] }
	const usr1, usr2 = uint64(1 << (SIGUSR1 - 1)), uint64(1 << (SIGUSR2 - 1))
	c := child.call(func(c *Call) {
		c.SetAction(SIGUSR1, &SigAction{Handler: 0x5000, Flags: SaRestorer})
		c.TellMask()
		c.Ret(0)
	})
	if m, ok := maskOfReply(c); !ok || m != abi.MaskKnown || told() != 1 {
		t.Fatalf("told %#x %v, quiet %d", m, ok, told())
	}
	// The library blocks it: a signal waits, and the library asks from now on.
	place := [2]uint64{uint64(child.task), uint64(child.slot)}
	g.host.masks = map[[2]uint64]SigSet{place: SigSet(usr1 | 1<<(SIGKILL-1))}
	kicks := g.host.kicks
	g.call(func(c *Call) { ret(0, c.Kill(pid, SIGUSR1))(c) })
	if g.host.kicks != kicks || told() != 0 {
		t.Errorf("%d kicks for a signal that is blocked, quiet %d", g.host.kicks-kicks, told())
	}
	child.late = lateWords{late: abi.LateIsMask, mask: usr1 | 1<<(SIGKILL-1)}
	child.call(func(c *Call) {
		if m := c.Thread().Mask; m != SigSet(usr1) {
			t.Errorf("mask %#x", uint64(m))
		}
		if p := c.K.PendingSignals(c.T); p != SigSet(usr1) {
			t.Errorf("pending %#x", uint64(p))
		}
		c.TellMask()
		c.Ret(0)
	})
	if told() != 0 {
		t.Error("quiet, with a signal pending")
	}
	child.late = lateWords{}
	delete(g.host.masks, place)
	// The server changes it: a signal is unblocked, its handler entered with a mask that is what the
	// library has.
	c = child.call(func(c *Call) { c.SetSigMask(0); c.Ret(0) })
	if m, ok := maskOfReply(c); ok || len(g.pers.delivered) != 1 {
		t.Errorf("in the handler: told %#x; %d signals", m, len(g.pers.delivered))
	}
	c = child.call(func(c *Call) { c.SetSigMask(0); c.TellMask(); c.Ret(0) })
	if m, ok := maskOfReply(c); !ok || m != abi.MaskKnown || told() != 1 {
		t.Errorf("behind it: %#x %v, quiet %d", m, ok, told())
	}
	if c = child.call(func(c *Call) { c.Ret(0) }); len(c.Acts) != 0 {
		t.Errorf("nothing has changed: %+v", c.Acts)
	}
	// A signal that does nothing disturbs nobody; one that does, before it is looked who takes it.
	g.call(func(c *Call) { ret(0, c.Kill(pid, SIGURG))(c) })
	if told() != 1 {
		t.Error("asked for a signal that is ignored")
	}
	kicks = g.host.kicks
	g.call(func(c *Call) { ret(0, c.Kill(pid, SIGUSR1))(c) })
	if g.host.kicks != kicks+1 || told() != 0 {
		t.Errorf("%d kicks, quiet %d", g.host.kicks-kicks, told())
	}
	c = child.send(abi.KindPoll, 0, abi.PollKick)
	if m, ok := maskOfReply(c); !ok || m != usr1|abi.MaskKnown {
		t.Errorf("in the handler: %#x %v", m, ok)
	}
	// A thread that blocks a signal after it was chosen for it: another one takes it.
	const flags = CloneVM | CloneFS | CloneFiles | CloneSighand | CloneThread
	child.call(func(c *Call) { c.SetSigMask(0); c.TellMask(); c.Ret(0) })
	c = child.call(func(c *Call) { v, e := c.Clone(&CloneArgs{Flags: flags, SP: 0x9000}); ret(uint64(v), e)(c) })
	a := findAct(c, abi.ActThread)
	th := child.on(child.task, uint32(a.A[0]))
	if c = th.send(abi.KindThread, 0, a.A[1]); told() != 1 {
		t.Error("a new thread has pending signals")
	}
	if _, ok := maskOfReply(c); ok {
		t.Errorf("a thread has its maker's word: %+v", c.Acts)
	}
	kicks = g.host.kicks
	g.call(func(c *Call) { ret(0, c.Kill(pid, SIGUSR1))(c) })
	child.late = lateWords{late: abi.LateIsMask, mask: usr1 | usr2}
	child.send(abi.KindPoll, 0, abi.PollKick)
	if g.host.kicks != kicks+2 {
		t.Errorf("%d kicks", g.host.kicks-kicks)
	}
	child.late = lateWords{}
	if c = th.send(abi.KindPoll, 0, abi.PollKick); len(g.pers.delivered) != 3 {
		t.Errorf("nobody took it: %+v", c.Acts)
	}
	// A next incarnation knows no more what the library has.
	g.Enter()
	for r := range g.threads {
		g.threadRT(r).mask = maskUnsure
	}
	g.Leave()
	if m, ok := maskOfReply(child.call(func(c *Call) { c.Ret(0) })); !ok || m != usr1|usr2|abi.MaskKnown {
		t.Errorf("after a restart: %#x %v", m, ok)
	}
	// All that a child may be told with the answer to its parent.
	child.fork(CloneArgs{Flags: CloneSetTLS | CloneChildSettid, TLS: 4096, ChildTid: 4096})
	g.check()
}

// TestLibraryMaskVfork: what a child of vfork makes of its mask is told to its parent's library as
// its parent's again, and while it is there nobody changes masks without the server.
func TestLibraryMaskVfork(t *testing.T) {
	g := newGuest(t)
	g.call(func(c *Call) { c.TellMask(); c.Ret(0) })
	told := func() uint64 { return g.host.told[g.task][abi.ToldQuiet] }
	if told() != 1 {
		t.Fatal("not quiet")
	}
	g.call(func(c *Call) {
		_, e := c.Clone(&CloneArgs{Flags: CloneVM | CloneVfork, ExitSignal: SIGCHLD})
		if e != 0 {
			t.Error(e)
		}
	})
	if told() != 0 {
		t.Error("quiet for two processes")
	}
	c := g.call(func(c *Call) { c.SetSigMask(1 << (SIGUSR1 - 1)); c.TellMask(); c.Ret(0) })
	if m, ok := maskOfReply(c); !ok || m != 1<<(SIGUSR1-1)|abi.MaskKnown || told() != 0 {
		t.Errorf("child: %#x %v, quiet %d", m, ok, told())
	}
	g.late = lateWords{late: abi.LateIsMask, mask: 1 << (SIGUSR2 - 1)}
	c = g.call(func(c *Call) { c.Exit(0) })
	g.late = lateWords{}
	if m, ok := maskOfReply(c); !ok || m != abi.MaskKnown {
		t.Errorf("the parent: %#x %v", m, ok)
	}
	g.check()
}

// TestToldDefaults: signals whose actions nobody has set, until somebody does; what a child of vfork
// sets counts for its parent, too.
func TestToldDefaults(t *testing.T) {
	g := newGuest(t)
	told := func() uint64 { return g.host.told[g.task][abi.ToldDefault] }
	g.call(func(c *Call) {
		c.SetAction(SIGHUP, &SigAction{Handler: SigIgn})
		c.TellDefaults()
		c.Ret(0)
	})
	all := ^uint64(0) &^ (1<<(SIGKILL-1) | 1<<(SIGHUP-1))
	if told() != all {
		t.Fatalf("told %#x", told())
	}
	g.call(func(c *Call) {
		c.SetAction(SIGKILL, &SigAction{Handler: 1})
		c.SetAction(64, &SigAction{Flags: SaNoDefer})
		c.Ret(0)
	})
	if all &^= 1 << 63; told() != all {
		t.Errorf("told %#x", told())
	}
	g.call(func(c *Call) { c.SetAction(SIGHUP, &SigAction{}); c.SetAction(64, &SigAction{}); c.Ret(0) })
	if told() != all {
		t.Errorf("told again: %#x", told())
	}
	g.call(func(c *Call) { c.Clone(&CloneArgs{Flags: CloneVM | CloneVfork, ExitSignal: SIGCHLD}) })
	g.call(func(c *Call) { c.SetAction(SIGINT, &SigAction{Handler: SigIgn}); c.TellDefaults(); c.Ret(0) })
	g.call(func(c *Call) { c.Exit(0) })
	if all &^= 1 << (SIGINT - 1); told() != all {
		t.Errorf("after a child: %#x", told())
	}
	g.Tracer = func(int32, int32, string) {}
	g.Trace(Traced{All: true})
	if told() != 0 {
		t.Errorf("traced: %#x", told())
	}
	g.check()
}
