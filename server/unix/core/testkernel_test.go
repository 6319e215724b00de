package core

import (
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/server/fs/object"
	tmpfs "hythe/server/fs/tmpfs/core"
	"hythe/store"
)

// The test kernel: a kernel over a memory object with a tmpfs mounted at the
// root, a clock that stands still unless moved, and a host that notes what it
// is asked. Guest memory is a byte slice at guestBase.

const (
	testHeapSize = 3 << 30
	guestBase    = 0x10000
	guestSize    = 1 << 20
)

type testKernel struct {
	*Kernel
	t     testing.TB
	mem   []byte
	root  fs.Server
	host  *testHost
	clock *testClock
	init  store.Ref[Thread]
	dead  bool // declared so: its lock is held for good
}

type testHost struct {
	lending
	mu    sync.Mutex
	lines []string
	tasks TaskID
	// threads are what was counted; full: the host takes no more; room:
	// more than so many, if it is not 0.
	threads int
	room    int
	full    bool
	kicks   int
	kicked  uint64 // whom last
	over    []TaskID
	halts   []uint32
	drops   []ObjectName
	// assign is asked instead of nobody.
	assign func(CPUSet)
	// robust are the lists of locks that were not told yet, by task and slot; told is what was
	// told of each task.
	robust map[[2]uint64]uint64
	told   map[TaskID]map[int]uint64
	// masks are the sets that libraries have made and not told yet, by task and slot.
	masks map[[2]uint64]SigSet
	// begun and ended are abi.Slot.Begun with HostID, and Ended with EndCode, by task and slot.
	begun, ended map[[2]uint64][2]uint64
}

func (h *testHost) Begun(t TaskID, slot uint32) (uint64, uint64) {
	x := h.begun[[2]uint64{uint64(t), uint64(slot)}]
	return x[0], x[1]
}

func (h *testHost) Ended(t TaskID, slot uint32) (uint64, uint32) {
	x := h.ended[[2]uint64{uint64(t), uint64(slot)}]
	return x[0], uint32(x[1])
}

func (h *testHost) Robust(t TaskID, slot uint32) (uint64, bool) {
	head, ok := h.robust[[2]uint64{uint64(t), uint64(slot)}]
	return head, ok && h.told[t][abi.ToldEnding] != 0
}

func (h *testHost) Mask(t TaskID, slot uint32, _ uint64) (SigSet, bool) {
	m, ok := h.masks[[2]uint64{uint64(t), uint64(slot)}]
	return m, ok
}

func (h *testHost) Schedule(TaskID, uint64, Sched) abi.Errno { return 0 }

func (h *testHost) AddThreads(_ TaskID, n int) abi.Errno {
	if n > 0 && (h.full || h.room != 0 && h.threads+n > h.room) {
		return abi.EAGAIN
	}
	h.threads += n
	return 0
}
func (h *testHost) ThreadGone(TaskID, uint64) { h.threads-- }

func (h *testHost) Assign(_ TaskID, _ uint64, s CPUSet) abi.Errno {
	if h.assign != nil {
		h.assign(s)
	}
	return 0
}

func (h *testHost) NewTask(TaskID, uint64) (TaskID, abi.Errno) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tasks++
	return h.tasks + 1000, 0
}
func (h *testHost) NextTask(TaskID) (TaskID, uint64, bool)         { return 0, 0, false }
func (h *testHost) Terminate(t TaskID)                             { h.over = append(h.over, t) }
func (h *testHost) Kick(_ TaskID, tid uint64)                      { h.kicks, h.kicked = h.kicks+1, tid }
func (h *testHost) Grant(TaskID, ObjectName, bool, uint64)         {}
func (h *testHost) DropObject(o ObjectName)                        { h.drops = append(h.drops, o) }
func (h *testHost) Maps(TaskID, bool) ([]byte, abi.Errno)          { return nil, abi.ENOSYS }
func (h *testHost) Memory(TaskID, uint64, int) ([]byte, abi.Errno) { return nil, abi.EIO }
func (h *testHost) Usage(TaskID) (uint64, uint64, uint64, abi.Errno) {
	return 4096, 1000, 1000, 0
}
func (h *testHost) CPU(TaskID, uint64) (uint64, abi.Errno) { return 2000, 0 }
func (h *testHost) CopyObject(ObjectName, uint64, uint64) (ObjectName, abi.Errno) {
	return 0, abi.ENODEV
}

func (h *testHost) ClearObject(ObjectName, uint64, uint64) abi.Errno { return abi.ENODEV }

func (h *testHost) NewObject(uint64, string) (ObjectName, HostFile, abi.Errno) {
	return 0, HostFile{}, abi.ENOSYS
}
func (h *testHost) Log(line string) { h.lines = append(h.lines, line) }
func (h *testHost) Tell(t TaskID, word int, v uint64) {
	if h.told == nil {
		h.told = map[TaskID]map[int]uint64{}
	}
	if h.told[t] == nil {
		h.told[t] = map[int]uint64{}
	}
	h.told[t][word] = v
}

func (h *testHost) OpenPorts(TaskID) (uint64, abi.Errno)           { return 7, 0 }
func (h *testHost) OpenProcess(TaskID, ProcID) (uint64, abi.Errno) { return 8, 0 }
func (h *testHost) Raise(uint32, Exception, func(abi.Regs, bool))  {}
func (h *testHost) Halt(status uint32)                             { h.halts = append(h.halts, status) }

// testClock is a clock that moves when Advance is called.
type testClock struct {
	mu     sync.Mutex
	now    int64
	timers map[*testTimer]bool
}

type testTimer struct {
	at int64
	fn func()
}

func (c *testClock) Mono() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}
func (c *testClock) Real() int64 { return c.Mono() + 1_700_000_000_000_000_000 }
func (c *testClock) After(t int64, fn func()) func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := &testTimer{t, fn}
	c.timers[x] = true
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.timers, x)
	}
}

// Advance moves the clock and runs what is due, without the kernel's lock.
func (c *testClock) Advance(ns int64) {
	c.mu.Lock()
	c.now += ns
	var due []func()
	for x := range c.timers {
		if x.at <= c.now {
			due = append(due, x.fn)
			delete(c.timers, x)
		}
	}
	c.mu.Unlock()
	for _, fn := range due {
		fn()
	}
}

// testChan is a slot over plain memory and the guest's memory behind it.
type testChan struct {
	asked   int    // More
	during  func() // what happens then
	in, out []byte
	used    uint32
	ext     map[int][3]uint32
	space   []byte // mem
}

func newTestChan() *testChan {
	return &testChan{in: make([]byte, abi.SlotInSize), out: make([]byte, abi.SlotOutSize),
		ext: map[int][3]uint32{}}
}

// mem is the guest's memory, which most calls have no use for.
func (x *testChan) mem() []byte {
	if x.space == nil {
		x.space = make([]byte, guestSize)
	}
	return x.space
}

func (x *testChan) In() []byte     { return x.in }
func (x *testChan) Out() []byte    { return x.out }
func (x *testChan) InUsed() uint32 { return x.used }
func (x *testChan) Extent(arg int) (uint32, uint32, bool, bool) {
	e, ok := x.ext[arg]
	return e[0], e[1], e[2] != 0, ok
}

func (x *testChan) at(addr, n uint64) []byte {
	if addr < guestBase || addr >= guestBase+guestSize {
		return nil
	}
	return x.mem()[addr-guestBase : min(guestSize, addr-guestBase+n)]
}

// run carries the actions out and answers the first failure.
func (x *testChan) run(acts []abi.Action) abi.Errno {
	for i := range acts {
		a := &acts[i]
		switch a.Op {
		case abi.ActCopyOut:
			a.A[3] = uint64(copy(x.at(a.A[0], a.A[2]), x.out[a.A[1]-abi.SlotOutOff:][:a.A[2]]))
			if a.A[3] < a.A[2] {
				return abi.EFAULT
			}
		case abi.ActCopyIn:
			a.A[3] = uint64(copy(x.in[a.A[1]-abi.SlotInOff:][:a.A[2]], x.at(a.A[0], a.A[2])))
		case abi.ActCopyStr:
			src := x.at(a.A[0], a.A[2])
			a.A[3], a.A[4] = 0, 2
			for j := range src {
				x.in[a.A[1]-abi.SlotInOff+uint64(j)] = src[j]
				if src[j] == 0 {
					a.A[3], a.A[4] = uint64(j), 1
					break
				}
			}
			if a.A[4] != 1 && uint64(len(src)) == a.A[2] {
				a.A[3], a.A[4] = a.A[2], 0
			}
		}
	}
	return 0
}

func (x *testChan) More(acts []abi.Action) bool {
	x.asked++
	x.run(acts)
	if x.during != nil {
		x.during()
	}
	return true
}
func (x *testChan) Stage(acts []abi.Action) uint32 { return uint32(x.asked) + 1 }
func (x *testChan) Back() uint32                   { return uint32(x.asked) }
func (x *testChan) Repeat() bool                   { return true }

// newTestKernel makes a kernel with one process (root, pid 1), which has one
// thread on slot 0 of task 1.
func newTestKernel(t testing.TB) *testKernel {
	t.Helper()
	tk := &testKernel{t: t, host: &testHost{}, clock: &testClock{now: 1e9, timers: map[*testTimer]bool{}}}
	tk.mem = testMemory(t, testHeapSize)
	h, err := store.Format(tk.mem, StateVersion)
	if err != nil {
		t.Fatal(err)
	}
	tk.root = newTestFS(t)
	k := NewKernel(h, tk.host, tk.clock, Config{Hostname: "test", CPUs: CPUSet{3}})
	h.SetCheck(true)
	tk.Kernel = k
	k.AttachFS("root", tk.root)
	k.AttachFS("memfd", newTestFS(t))
	k.AttachCore("dev", k.NewDevFS())
	k.Enter()
	_, g := k.Global.New()
	g.NextPid = 1
	if e := k.MountFS("/", "root", "tmpfs", "root", 0); e != 0 {
		t.Fatal("mount: ", e)
	}
	k.Leave()
	tk.init = tk.newProc(0)
	t.Cleanup(tk.end)
	return tk
}

// end waits until nothing of the kernel runs any more, as it must before the
// memory goes: the releaser may have the lock just now.
func (tk *testKernel) end() {
	if tk.dead {
		return // its lock is held for good
	}
	if tk.t.Failed() { // perhaps inside a call, with the lock held
		if !tk.mu.TryLock() {
			return
		}
		tk.mu.Unlock()
	}
	tk.idle()
}

// testMemory maps memory that is there until the test ends.
func testMemory(t testing.TB, size int) []byte {
	t.Helper()
	mem := mapMemory(t, size)
	t.Cleanup(func() { store.Unmap(mem) })
	return mem
}

// mapMemory maps memory for a kernel. It is none of Go's heap, of which the race detector can have 128 GiB.
func mapMemory(t testing.TB, size int) []byte {
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		t.Fatal(err)
	}
	mem, err := store.Map(fd, size)
	if err != nil {
		t.Fatal(err)
	}
	return mem
}

// newTestFS is a tmpfs in this process, owned by root, mode 755.
func newTestFS(t testing.TB) fs.Server {
	h, err := store.Format(testMemory(t, 1<<30), tmpfs.Version)
	if err != nil {
		t.Fatal(err)
	}
	objs := object.NewLocal()
	t.Cleanup(objs.Close)
	s, _, e := tmpfs.New(h, tmpfs.Config{Inodes: 1 << 14, Flows: 1 << 10, Mode: 0o755}, objs,
		func() fs.Time { return fs.Time{Sec: 1_700_000_000} })
	if e != 0 {
		t.Fatal(e)
	}
	return s
}

// newProc makes a process with one thread, as a child of nobody.
func (tk *testKernel) newProc(uid uint32) store.Ref[Thread] {
	k := tk.Kernel
	k.Enter()
	defer k.Leave()
	p, m := k.Procs.New()
	pid := int32(p)
	cr := Cred{UID: uid, EUID: uid, SUID: uid, FSUID: uid, GID: uid, EGID: uid, SGID: uid, FSGID: uid}
	if uid == 0 {
		cr.CapEff, cr.CapPerm = CapAll, CapAll
	}
	*m = Proc{Pid: pid, State: ProcLive, Pgid: pid, Sid: pid, Dumpable: 1, Rlimits: defaultRlimits(), Task: TaskID(p)}
	m.Cred = k.NewCred(&cr)
	m.FDs = k.NewFDTable()
	h, hm := k.Hands.New()
	hm.Refs = 1
	m.Hand = h
	fx, fm := k.FsCtxs.New()
	fm.Refs, fm.Umask = 1, 0o022
	m.Fs = fx
	k.rootFs(fm)
	th, _, e := k.newThread(p, pid, 0)
	if e != 0 {
		tk.t.Fatal(e)
	}
	m.Leader = th
	k.addProcIndex(p)
	k.addThreadIndex(th)
	k.addTask(TaskID(p), p)
	k.bindSlot(TaskID(p), 0, th)
	return th
}

// call makes a call of the thread, as Resolve would, with a slot of its own.
func (tk *testKernel) call(th store.Ref[Thread]) (*Call, *testChan) {
	x := newTestChan()
	c := &Call{K: tk.Kernel, T: th, Kind: abi.KindTrap, Chan: x}
	c.Acts = c.acts()[:0]
	return c, x
}

// do runs fn as one call of the thread and commits its end.
func (tk *testKernel) do(th store.Ref[Thread], fn func(c *Call)) *testChan {
	k := tk.Kernel
	c, x := tk.call(th)
	k.Enter()
	m := k.Threads.Mut(th)
	m.CurSeq++
	m.Progress, m.Deadline, m.Aux, m.FSSent = 0, 0, 0, 0
	m.FSBase = m.FSSeq
	fn(c)
	x.run(c.Acts)
	m = k.Threads.Mut(th)
	m.DoneSeq = m.CurSeq
	k.Leave()
	return x
}

// idle waits until nothing of the kernel runs in the background.
func (tk *testKernel) idle() {
	tk.vfs.releaser.Wait()
	tk.Enter()
	tk.ReleaseAll()
	tk.Leave()
	tk.vfs.releaser.Wait()
}

// reopen takes the state over as the next incarnation of the server would.
func (tk *testKernel) reopen() {
	tk.t.Helper()
	tk.idle()
	h, err := store.Open(tk.mem, StateVersion)
	if err != nil {
		tk.t.Fatal(err)
	}
	old := tk.Kernel
	k := NewKernel(h, tk.host, tk.clock, old.Config)
	for l, s := range old.vfs.servers {
		k.AttachFS(l, s)
	}
	k.AttachCore("dev", k.NewDevFS())
	h.SetCheck(true)
	var live []TaskID
	old.Procs.Each(func(p store.Ref[Proc], r *Proc) bool {
		if r.State == ProcLive {
			live = append(live, r.Task)
		}
		return true
	})
	tk.Kernel = k
	k.Enter()
	k.Recover(live)
	k.Leave()
}

// checkVFS compares the counts in the records with what refers to them.
func (tk *testKernel) checkVFS() {
	tk.t.Helper()
	k := tk.Kernel
	k.Enter()
	defer k.Leave()
	refs := map[store.Ref[Vnode]]uint32{}
	k.Vnodes.Each(func(_ store.Ref[Vnode], v *Vnode) bool { refs[v.Parent]++; return true })
	k.Mounts.Each(func(_ store.Ref[Mount], m *Mount) bool { refs[m.Root]++; refs[m.Point]++; return true })
	k.FsCtxs.Each(func(_ store.Ref[FsCtx], f *FsCtx) bool { refs[f.Root]++; refs[f.Cwd]++; return true })
	k.Files.Each(func(_ store.Ref[File], f *File) bool { refs[f.Vnode]++; return true })
	k.Procs.Each(func(_ store.Ref[Proc], p *Proc) bool { refs[p.Exe]++; return true })
	k.Vnodes.Each(func(r store.Ref[Vnode], v *Vnode) bool {
		if v.Refs != refs[r] {
			tk.t.Errorf("vnode %d (%s): Refs %d, referred to %d times", r, k.VnodePath(r), v.Refs, refs[r])
		}
		if n := k.nodeOf(r); n == nil || n.v != r {
			tk.t.Errorf("vnode %d has no node", r)
		}
		return true
	})
}
