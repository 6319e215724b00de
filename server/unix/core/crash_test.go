package core

import (
	"strings"
	"testing"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/store"
)

// next is the next incarnation over the state of a kernel that is dead: its
// lock is held for good, so that nothing of it touches the heap any more.
func (tk *testKernel) next() *testKernel { return tk.nextOf(lending{}) }

// nextOf is next, where tasks have records of what they were lent.
func (tk *testKernel) nextOf(l lending, setup ...func(k *Kernel)) *testKernel {
	tk.t.Helper()
	tk.dead = true
	h, err := store.Open(tk.mem, StateVersion)
	if err != nil {
		tk.t.Fatal(err)
	}
	n := *tk
	n.dead = false
	n.host = &testHost{lending: l}
	n.Kernel = NewKernel(h, n.host, tk.clock, Config{Hostname: "test", CPUs: CPUSet{3}})
	n.AttachFS("root", tk.root)
	n.AttachCore("dev", n.NewDevFS())
	for _, f := range setup {
		f(n.Kernel)
	}
	n.Enter()
	var live []TaskID
	n.Procs.Each(func(_ store.Ref[Proc], p *Proc) bool {
		live = append(live, p.Task)
		return true
	})
	n.Recover(live)
	n.Leave()
	tk.t.Cleanup(n.end) // before the memory goes
	return &n
}

// serveCrash serves one request on slot 0 of the first process and says whether
// the server died of it.
func (tk *testKernel) serveCrash(c *Call) (died bool) {
	tk.t.Helper()
	defer func() { died = recover() != nil }()
	c.K = tk.Kernel
	c.Reset()
	c.Task, c.Kind, c.Nr, c.Seq = tk.Procs.Get(tk.Threads.Get(tk.init).Proc).Task, abi.KindTrap, 7, 1
	tk.Enter()
	if !tk.Resolve(c, 1) {
		tk.t.Fatal("nobody speaks on the slot")
	}
	tk.Serve(c)
	tk.Leave()
	return false
}

func TestCrashingRequest(t *testing.T) {
	tk := newTestKernel(t)
	for i := range maxCrashes {
		tk.Failpoint = func(c *Call) {
			c.MutThread().Aux = 1 // must be taken back
			panic("failpoint")
		}
		var c Call
		if !tk.serveCrash(&c) {
			t.Fatalf("run %d: the failpoint did not end the server", i)
		}
		tk = tk.next()
		th := tk.Threads.Get(tk.init)
		if th.Crashes != uint32(i+1) || th.Aux != 0 {
			t.Fatalf("run %d: %d crashes noted, Aux %d", i, th.Crashes, th.Aux)
		}
	}
	tk.Failpoint = func(*Call) { panic("the request was not refused") }
	var c Call
	if tk.serveCrash(&c) || c.Err != abi.EIO {
		t.Fatalf("the third run: %v, want EIO", c.Err)
	}
	if l := strings.Join(tk.host.lines, ";"); !strings.Contains(l, "crashed the server 2 times") {
		t.Errorf("the log says %q", l)
	}
}

// crashing is a file server that panics when a file is closed.
type crashing struct{ fs.Server }

func (crashing) Release(fs.Req, fs.NodeID) { panic("release") }

// A file server in this process that panics when the releaser tells it that a file is closed is
// not told for ever.
func TestCrashingRelease(t *testing.T) {
	tk := newTestKernel(t)
	alone := func(k *Kernel) { k.vfs.releasing = true } // nobody releases but the test
	alone(tk.Kernel)
	tk.do(tk.init, func(c *Call) {
		fd, e := open(c, "/f", rw, OpenCreate, 0o644)
		want(t, "open", e, 0)
		want(t, "close", c.CloseFD(fd), 0)
	})
	release := func() (died bool) {
		defer func() { died = recover() != nil }()
		for _, m := range tk.vfs.mounts {
			if m.label == "root" {
				m.srv = crashing{tk.root}
			}
		}
		tk.Enter()
		tk.ReleaseAll()
		tk.Leave()
		return false
	}
	for i := range maxCrashes {
		if !release() {
			t.Fatalf("run %d: the panic did not end the server", i)
		}
		tk = tk.nextOf(lending{}, alone)
		if n := tk.VFSRec.Get(1).ReleaseCrashes; n != uint64(i+1) {
			t.Fatalf("run %d: %d crashes noted", i, n)
		}
	}
	if release() {
		t.Fatal("it was told a third time")
	}
	if l := strings.Join(tk.host.lines, ";"); !strings.Contains(l, "it is not told again") {
		t.Errorf("the log says %q", l)
	}
	tk.Enter()
	if v := tk.VFSRec.Get(1).Releasing; v != 0 {
		t.Errorf("%v is still to be released", v)
	}
	tk.Leave()
}

// A signal whose kick died with the server is kicked for again.
func TestLostKick(t *testing.T) {
	tk := newTestKernel(t)
	tk.Enter()
	tk.Threads.Mut(tk.init).HostTID = 7
	p := tk.Threads.Get(tk.init).Proc
	tk.SendSignal(p, &SigInfo{Sig: SIGTERM})
	tk.Leave()
	tk.mu.Lock()
	n := tk.next()
	if !n.signalPending(n.init) || n.host.kicks != 1 {
		t.Errorf("pending %v, %d kicks, want 1", n.signalPending(n.init), n.host.kicks)
	}
}

// A memory object is given up when the record that named it is gone for good: a
// server that dies before leaves a record whose object is there.
func TestObjectGivenUp(t *testing.T) {
	tk := newTestKernel(t)
	tk.Enter()
	r, s := tk.Shms.New()
	s.Object = 77
	tk.Leave()
	tk.Enter()
	tk.ShmRemove(r) // and dies
	if len(tk.host.drops) != 0 {
		t.Fatalf("%v given up before the commit", tk.host.drops)
	}
	n := tk.next()
	if h := n.HeldObjects(); h[77] != 1 || len(n.host.drops) != 0 {
		t.Fatalf("after the death: held %v, given up %v", h, n.host.drops)
	}
	n.Enter()
	n.ShmRemove(r)
	n.Leave()
	if h := n.HeldObjects(); h[77] != 0 || len(n.host.drops) != 1 || n.host.drops[0] != 77 {
		t.Fatalf("removed: held %v, given up %v", h, n.host.drops)
	}
}
