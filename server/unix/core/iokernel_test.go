package core

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"hythe/abi"
	"hythe/store"
)

// ioKernel is a kernel over plain memory, with a host that does nothing, a
// clock that stands still and guests whose memory is a slice.
type ioKernel struct {
	*Kernel
	t     *testing.T
	mem   []byte
	clock *ioClock
	// slept gets one value each time a call gives up the lock (to wait, or to
	// have the library copy).
	slept chan struct{}
	setup func(k *Kernel)
	lines []string // of the log
}

const ioHeap = 3 << 30

func newIOKernel(t *testing.T) *ioKernel { return newIOKernelWith(t, nil) }

// newIOKernelWith lets setup run on each incarnation before anything else.
func newIOKernelWith(t *testing.T, setup func(k *Kernel)) *ioKernel {
	t.Helper()
	tk := &ioKernel{t: t, mem: mapMemory(t, ioHeap), clock: &ioClock{now: 1e9, armed: make(chan struct{}, 1000)}, slept: make(chan struct{}, 1000), setup: setup}
	// Goroutines that work with it may outlive the test, and hold it.
	runtime.AddCleanup(tk, func(mem []byte) { store.Unmap(mem) }, tk.mem)
	h, err := store.Format(tk.mem, StateVersion)
	if err != nil {
		t.Fatal(err)
	}
	tk.make(h)
	tk.Enter()
	if tk.Global.Get(1) == nil {
		tk.Global.New()
	}
	g := tk.MutGlobals()
	g.NextPid, g.BootReal, g.BootMono = 1, tk.clock.Real(), tk.clock.Mono()
	tk.Leave()
	t.Cleanup(func() { tk.checkReopen() })
	return tk
}

func (tk *ioKernel) make(h *store.Heap) {
	h.SetCheck(false)
	tk.Kernel = NewKernel(h, ioHost{t: tk.t, lines: &tk.lines}, tk.clock, Config{CPUs: CPUSet{1}})
	h.SetCheck(true)
	tk.HandOver = func() { tk.slept <- struct{}{} }
	tk.Random = func(b []byte) { clear(b) }
	if tk.setup != nil {
		tk.setup(tk.Kernel)
	}
}

// restart opens the heap again, as the next incarnation does.
func (tk *ioKernel) restart() {
	tk.t.Helper()
	tk.clock.timers = nil // those of the dead server
	tk.mu.Lock()          // for good: its goroutines must not touch the heap any more
	h, err := store.Open(tk.mem, StateVersion)
	if err != nil {
		tk.t.Fatal(err)
	}
	tk.make(h)
	tk.Enter()
	var live []TaskID
	tk.Procs.Each(func(_ store.Ref[Proc], p *Proc) bool {
		live = append(live, p.Task)
		return true
	})
	tk.Recover(live)
	tk.Leave()
}

// checkReopen compares what is counted in records with what refers to them,
// before and after a restart.
func (tk *ioKernel) checkReopen() {
	if tk.t.Failed() {
		return
	}
	tk.restart()
	refs := map[store.Ref[File]]uint32{}
	tk.FDs.Each(func(r store.Ref[FDTable], _ *FDTable) bool {
		tk.EachFD(r, func(_ int32, f store.Ref[File], _ uint32) bool {
			refs[f]++
			return true
		})
		return true
	})
	for f, n := range tk.io.inflight {
		refs[f] += n
	}
	tk.Files.Each(func(r store.Ref[File], f *File) bool {
		if f.Refs != refs[r] {
			tk.t.Errorf("file %d (kind %d) counts %d references, has %d", r, f.Kind, f.Refs, refs[r])
		}
		return true
	})
	readers, writers := map[store.Ref[Pipe]]uint32{}, map[store.Ref[Pipe]]uint32{}
	tk.Files.Each(func(_ store.Ref[File], f *File) bool {
		if f.Kind == FilePipe {
			readers[pipeOf(f)] += f.Access & 1
			writers[pipeOf(f)] += f.Access >> 1
		}
		return true
	})
	tk.Pipes.Each(func(r store.Ref[Pipe], p *Pipe) bool {
		if p.Readers != readers[r] || p.Writers != writers[r] {
			tk.t.Errorf("pipe %d counts %d/%d ends, has %d/%d", r, p.Readers, p.Writers, readers[r], writers[r])
		}
		return true
	})
	tk.Socks.Each(func(r store.Ref[Socket], s *Socket) bool {
		var n, bytes uint32
		for m := s.Queue.Head; m != 0; m = tk.SockMsgs.Get(m).Link.Next {
			n++
			bytes += tk.SockMsgs.Get(m).Data.Len - tk.SockMsgs.Get(m).Off
		}
		if n != s.Queue.N || bytes != s.Bytes {
			tk.t.Errorf("socket %d counts %d messages of %d bytes, has %d of %d", r, s.Queue.N, s.Bytes, n, bytes)
		}
		return true
	})
}

// ioThread is a process with one thread.
type ioThread struct {
	tk  *ioKernel
	p   store.Ref[Proc]
	t   store.Ref[Thread]
	seq uint64
	mem []byte // guest memory, from address ioBase
	ch  *ioChan
	// result is that of the last call that left one in its Call.
	result uint64
}

const ioBase = 0x10000

// proc makes a process in a session and group of its own, or, with a parent, in
// the parent's session and a group of its own.
func (tk *ioKernel) proc(parent *ioThread) *ioThread {
	tk.t.Helper()
	tk.Enter()
	defer tk.Leave()
	p, m := tk.Procs.New()
	g := tk.MutGlobals()
	g.NextPid++
	pid := g.NextPid
	*m = Proc{Pid: pid, State: ProcLive, Pgid: pid, Sid: pid, Task: TaskID(pid), Dumpable: 1}
	for i := range m.Rlimits {
		m.Rlimits[i] = Rlimit{^uint64(0), ^uint64(0)}
	}
	m.Rlimits[RlimitNofile] = Rlimit{1024, 1024}
	if parent != nil {
		m.Parent = parent.p
		m.Sid = tk.Procs.Get(parent.p).Sid
		m.CTTY = tk.Procs.Get(parent.p).CTTY
	}
	m.Cred = tk.NewCred(&Cred{CapEff: CapAll})
	m.FDs = tk.NewFDTable()
	h, hm := tk.Hands.New()
	hm.Refs = 1
	m.Hand = h
	fx, fm := tk.FsCtxs.New()
	fm.Refs = 1
	m.Fs = fx
	t, _, e := tk.newThread(p, pid, 0)
	if e != 0 {
		tk.t.Fatal(e)
	}
	m.Leader = t
	tk.addProcIndex(p)
	tk.addThreadIndex(t)
	mem := make([]byte, 1<<20)
	return &ioThread{tk: tk, p: p, t: t, mem: mem, ch: &ioChan{mem: mem, slot: make([]byte, abi.SlotSize)}}
}

// do runs fn as a call of the thread and carries out its actions.
func (th *ioThread) do(fn func(c *Call)) (died bool) {
	th.seq++
	th.ch.carried = 0
	return th.again(fn)
}

// again runs fn as the same call as before (after a crash), with what its reply
// lacks. It answers whether the server has died of ioChan.die.
func (th *ioThread) again(fn func(c *Call)) (died bool) {
	k := th.tk.Kernel
	c := &Call{K: k, Leader: true}
	c.Reset()
	c.T, c.Kind, c.Seq, c.Chan = th.t, abi.KindTrap, th.seq, th.ch
	k.Enter()
	if th := k.Threads.Get(c.T); th.CurSeq != c.Seq {
		m := k.Threads.Mut(c.T)
		m.begin(c.Seq)
	}
	defer func() {
		if th.ch.dead {
			died = recover() != nil
			th.ch.dead = false
		}
	}()
	th.ch.back = th.ch.carried
	th.ch.last = max(th.ch.back, k.Threads.Get(c.T).PartNo)
	k.threadRT(th.t).inServer = true
	if k.Threads.Get(c.T).DoneSeq != c.Seq {
		k.resumeParts(c)
		fn(c)
	}
	k.Parts(c)
	acts := c.Acts
	k.Leave()
	th.ch.carry(acts)
	th.result = c.Result
	return false
}

// start runs fn as a call and returns when the call has given up the lock; the
// channel is closed when it ends.
func (th *ioThread) start(fn func(c *Call)) chan struct{} {
	for len(th.tk.slept) > 0 {
		<-th.tk.slept
	}
	done := make(chan struct{})
	go func() {
		th.do(fn)
		close(done)
	}()
	select {
	case <-th.tk.slept:
	case <-done:
	}
	return done
}

func (th *ioThread) wait(done chan struct{}) {
	th.tk.t.Helper()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		th.tk.t.Fatal("the call still waits")
	}
}

func (th *ioThread) read(fd int32, n int) (string, abi.Errno) {
	var m uint64
	var e abi.Errno
	th.do(func(c *Call) { m, e = c.ReadFD(fd, ioBase, uint64(n), -1) })
	return string(th.mem[:m]), e
}

func (th *ioThread) write(fd int32, s string) (int, abi.Errno) {
	copy(th.mem, s)
	var m uint64
	var e abi.Errno
	th.do(func(c *Call) { m, e = c.WriteFD(fd, ioBase, uint64(len(s)), -1) })
	return int(m), e
}

func (th *ioThread) ioctl(fd int32, req uint32, arg uint64) (v uint64, e abi.Errno) {
	th.do(func(c *Call) {
		f, _, err := c.File(fd)
		if err != 0 {
			e = err
			return
		}
		v, e = c.K.Ops(f).Ioctl(c, f, req, arg)
	})
	return v, e
}

func (th *ioThread) close(fd int32) {
	th.tk.t.Helper()
	var e abi.Errno
	th.do(func(c *Call) { e = c.CloseFD(fd) })
	if e != 0 {
		th.tk.t.Fatalf("close %d: %v", fd, e)
	}
}

// poll answers what holds for a descriptor now.
func (th *ioThread) poll(fd int32) (m uint32) {
	th.do(func(c *Call) {
		f, _, _ := c.File(fd)
		m = c.K.PollFile(f)
	})
	return m
}

func (th *ioThread) nonblock(fd int32, on bool) {
	th.do(func(c *Call) {
		f, _, _ := c.File(fd)
		m := c.K.Files.Mut(f)
		m.Flags &^= OpenNonblock
		if on {
			m.Flags |= OpenNonblock
		}
	})
}

// ioChan is a slot whose library copies from and to a slice.
type ioChan struct {
	mem  []byte
	slot []byte
	acts []abi.Action // staged
	// The numbers of parts: carried out, when this incarnation came, the last.
	carried, back, last uint32
	// The server dies at this moment from now on, if it is not 0: each More has one
	// before and one behind it.
	die  int
	dead bool
}

func (s *ioChan) In() []byte                                 { return s.slot[abi.SlotInOff:abi.SlotOutOff] }
func (s *ioChan) Out() []byte                                { return s.slot[abi.SlotOutOff:] }
func (s *ioChan) Extent(int) (off, n uint32, fault, ok bool) { return 0, 0, false, false }
func (s *ioChan) InUsed() uint32                             { return 0 }

func (s *ioChan) guest(addr, n uint64) []byte {
	if addr < ioBase || addr > ioBase+uint64(len(s.mem)) {
		return nil
	}
	b := s.mem[addr-ioBase:]
	return b[:min(n, uint64(len(b)))]
}

func (s *ioChan) Stage(acts []abi.Action) uint32 {
	s.acts = append(s.acts[:0], acts...)
	return s.last + 1
}

func (s *ioChan) Back() uint32 { return s.back }

func (s *ioChan) More(acts []abi.Action) bool {
	s.Stage(acts)
	s.last++
	s.ask()
	copy(acts, s.acts)
	return true
}

func (s *ioChan) Repeat() bool {
	s.ask()
	return true
}

func (s *ioChan) ask() {
	s.moment()
	s.carry(s.acts)
	s.carried = s.last
	s.moment()
}

func (s *ioChan) moment() {
	if s.die--; s.die == 0 {
		s.dead = true
		panic("dead")
	}
}

// carry carries actions out.
func (s *ioChan) carry(acts []abi.Action) {
	for i := range acts {
		a := &acts[i]
		switch a.Op {
		case abi.ActCopyOut:
			a.A[3] = uint64(copy(s.guest(a.A[0], a.A[2]), s.slot[a.A[1]:]))
		case abi.ActCopyIn:
			a.A[3] = uint64(copy(s.slot[a.A[1]:a.A[1]+a.A[2]], s.guest(a.A[0], a.A[2])))
		case abi.ActCopyStr:
			b := s.guest(a.A[0], a.A[2])
			n := 0
			for n < len(b) && b[n] != 0 {
				n++
			}
			copy(s.slot[a.A[1]:], b[:n])
			a.A[3], a.A[4] = uint64(n), 2
			if n < len(b) {
				a.A[4] = 1
			}
		}
	}
}

type ioHost struct {
	noLending
	t     *testing.T
	lines *[]string
}

func (ioHost) Begun(TaskID, uint32) (uint64, uint64)      { return 0, 0 }
func (ioHost) Ended(TaskID, uint32) (uint64, uint32)      { return 0, 0 }
func (ioHost) Robust(TaskID, uint32) (uint64, bool)       { return 0, false }
func (ioHost) Mask(TaskID, uint32, uint64) (SigSet, bool) { return 0, false }
func (ioHost) NewTask(TaskID, uint64) (TaskID, abi.Errno) { return 0, abi.EAGAIN }
func (ioHost) NextTask(TaskID) (TaskID, uint64, bool)     { return 0, 0, false }
func (ioHost) Terminate(TaskID)                           {}
func (ioHost) Kick(TaskID, uint64)                        {}
func (ioHost) Tell(TaskID, int, uint64)                   {}
func (ioHost) Grant(TaskID, ObjectName, bool, uint64)     {}
func (ioHost) DropObject(ObjectName)                      {}
func (ioHost) CopyObject(ObjectName, uint64, uint64) (ObjectName, abi.Errno) {
	return 0, abi.ENODEV
}

func (ioHost) ClearObject(ObjectName, uint64, uint64) abi.Errno { return abi.ENODEV }

func (ioHost) NewObject(uint64, string) (ObjectName, HostFile, abi.Errno) {
	return 0, HostFile{}, abi.ENOMEM
}
func (ioHost) Maps(TaskID, bool) ([]byte, abi.Errno)               { return nil, 0 }
func (ioHost) Memory(TaskID, uint64, int) ([]byte, abi.Errno)      { return nil, abi.EFAULT }
func (ioHost) Usage(TaskID) (rss, user, sys uint64, err abi.Errno) { return 0, 0, 0, 0 }
func (ioHost) CPU(TaskID, uint64) (uint64, abi.Errno)              { return 0, 0 }
func (ioHost) Schedule(TaskID, uint64, Sched) abi.Errno            { return 0 }
func (ioHost) AddThreads(TaskID, int) abi.Errno                    { return 0 }
func (ioHost) ThreadGone(TaskID, uint64)                           {}
func (ioHost) Assign(TaskID, uint64, CPUSet) abi.Errno             { return 0 }
func (h ioHost) Log(line string) {
	h.t.Log(line)
	*h.lines = append(*h.lines, line)
}
func (ioHost) OpenPorts(TaskID) (uint64, abi.Errno)           { return 0, abi.ENOSYS }
func (ioHost) OpenProcess(TaskID, ProcID) (uint64, abi.Errno) { return 0, abi.ENOSYS }
func (ioHost) Raise(uint32, Exception, func(abi.Regs, bool))  {}
func (ioHost) Halt(uint32)                                    {}

// ioClock moves only when told to.
type ioClock struct {
	mu     sync.Mutex
	now    int64
	timers []*ioTimer
	// armed gets one value for each timer that is set.
	armed chan struct{}
}

type ioTimer struct {
	at int64
	fn func()
}

func (c *ioClock) Mono() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *ioClock) Real() int64 { return c.Mono() + 1e18 }

func (c *ioClock) After(t int64, fn func()) func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := &ioTimer{t, fn}
	c.timers = append(c.timers, x)
	c.armed <- struct{}{}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for i, y := range c.timers {
			if y == x {
				c.timers = append(c.timers[:i], c.timers[i+1:]...)
				return
			}
		}
	}
}

// waiting is how many timers are set.
func (c *ioClock) waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.timers)
}

// advance moves the time and runs what is due, without the kernel's lock.
func (c *ioClock) advance(ns int64) {
	c.mu.Lock()
	c.now += ns
	var due []func()
	rest := c.timers[:0]
	for _, x := range c.timers {
		if x.at <= c.now {
			due = append(due, x.fn)
		} else {
			rest = append(rest, x)
		}
	}
	c.timers = rest
	c.mu.Unlock()
	for _, fn := range due {
		fn()
	}
}
