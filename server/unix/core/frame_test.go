package core

import (
	"testing"

	"hythe/abi"
)

// A signal whose frame the library cannot store is SIGSEGV; what its delivery changed
// is as before. When it was the call's own bytes that could not be stored, the call
// fails, and the signal comes. A server that dies before it hears of it cannot know
// what to take back: the process ends by SIGSEGV.
func TestFrameFailed(t *testing.T) {
	const must = abi.ReplyMust
	// caught has a process that handles SIGUSR1, and perhaps SIGSEGV, signal itself.
	caught := func(t *testing.T, segv bool) (*guest, *Call) {
		g := newGuest(t)
		g.handle(SIGUSR1, SaResetHand, SigBit(SIGUSR2))
		if segv {
			g.handle(SIGSEGV, 0, 0)
		}
		c := g.call(func(c *Call) {
			c.CopyOut32(guestBase, 7)
			ret(42, c.Kill(1, SIGUSR1))(c)
		})
		if len(g.pers.delivered) != 1 || c.Flags&must == 0 || c.Acts[0].Op != abi.ActCopyOut {
			t.Fatalf("delivered %v, flags %#x, actions %+v", g.pers.delivered, c.Flags, c.Acts)
		}
		return g, c
	}
	failed := func(g *guest, at uint64) *Call {
		return g.send(abi.KindPoll, abi.KindTrap, abi.PollFailed, uint64(abi.EFAULT), at, must)
	}
	status := func(g *guest) uint32 { return g.Procs.Get(g.Globals().Init).ExitStatus }
	for _, segv := range []bool{false, true} {
		g, _ := caught(t, segv)
		c := failed(g, 1)
		if !segv {
			if status(g)&0x7f != SIGSEGV {
				t.Errorf("no handler: status %#x", status(g))
			}
			continue
		}
		if d := g.pers.delivered; len(d) != 2 || d[1].Sig != SIGSEGV || d[1].Code != SiKernel || g.pers.regs[1].AX != 42 {
			t.Errorf("delivered %+v with %+v", d, g.pers.regs)
		}
		h := g.Hands.Get(g.Procs.Get(g.Globals().Init).Hand)
		if th := g.Threads.Get(g.init); th.Mask != SigBit(SIGSEGV) || th.Pending != 0 || h.Act[SIGUSR1].Handler != SigDfl {
			t.Errorf("mask %#x, pending %#x, handler %#x", th.Mask, th.Pending, h.Act[SIGUSR1].Handler)
		}
		// That one's frame cannot be stored either.
		failed(g, uint64(len(c.Acts)-1))
		if status(g)&0x7f != SIGSEGV {
			t.Errorf("again: status %#x", status(g))
		}
	}

	g, _ := caught(t, true)
	failed(g, 0)
	if d := g.pers.delivered; len(d) != 2 || d[1].Sig != SIGUSR1 || g.pers.regs[1].AX != ^uint64(abi.EFAULT)+1 {
		t.Errorf("the call's own: delivered %+v with %+v", d, g.pers.regs)
	}
	if th := g.Threads.Get(g.init); th.Mask != SigBit(SIGUSR1)|SigBit(SIGUSR2) || th.Pending != 0 {
		t.Errorf("the call's own: mask %#x, pending %#x", th.Mask, th.Pending)
	}

	g, _ = caught(t, true)
	g.reopenAll()
	failed(g, 1)
	if status(g)&0x7f != SIGSEGV || len(g.pers.delivered) != 1 {
		t.Errorf("after a death: status %#x, delivered %+v", status(g), g.pers.delivered)
	}

	// Not of a frame: a start that failed, or what a guest has forged.
	g, _ = caught(t, true)
	if g.send(abi.KindPoll, abi.KindStart, abi.PollFailed, uint64(abi.ENOMEM), 0, 0); status(g) != 0 || len(g.pers.delivered) != 1 {
		t.Errorf("no frame: status %#x, delivered %+v", status(g), g.pers.delivered)
	}
}
