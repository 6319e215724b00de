// Package unix is the unix server: it serves the calls of guests, which come by
// bindings, with the core and the personalities that it is given.
package unix

import (
	"context"
	"crypto/rand"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/idl/net"
	"hythe/idl/unix"
	"hythe/idl/wire"
	"hythe/ipc"
	"hythe/server/unix/core"
)

// StateSize is the address space of the state of record, in bytes.
const StateSize = 4 << 30

// Config is the unix server's part of the machine's configuration.
type Config struct {
	Hostname    string
	MemoryLimit uint64
	PidsLimit   uint32
	// Whose calls have lines of LogTrace, at first: all processes', or those of these.
	Trace     bool
	TracePIDs []int32
	// Sniff: packets are wanted (sniff.go).
	Sniff bool
	// Mounts in the order in which they are mounted. The server of each is
	// reached by the send right with the label FS.
	Mounts []Mount
	// CPUInfo is /proc/cpuinfo's text for one processor.
	CPUInfo string
	// Network: there is a net server, reached by the send right "net". Published are
	// the ports that it has on the host.
	Network   bool
	Network6  bool // and it reaches others by IPv6
	Published []core.Published
	// Link is given where the outside is made of packets.
	Link *core.Link `json:",omitempty"`
}

// EngineLabel is the label of the memory object with the program that runs
// WebAssembly modules.
const EngineLabel = "engine"

// NamesLabel is the label of the send right to the machine's name server.
const NamesLabel = "names"

// Mount is a file system of the machine.
type Mount struct {
	Path, FS, Type, Source string
	ReadOnly               bool
}

// fsSlots is how many requests to one file server can be under way.
const fsSlots = 64

// server is the serve loop and the core's Host.
type server struct {
	conn   *ipc.Conn
	poller *ipc.Poller
	k      *core.Kernel
	cfg    Config

	idle  chan struct{} // an idle goroutine takes the leadership here
	nidle atomic.Int32

	mu        sync.Mutex        // guards tasks, byName, gone, deadTasks, early, spares, aheads
	gone      []*task           // ended, and still in the poller
	deadTasks []abi.Name        // ended, whose names were not given back yet
	early     map[abi.Name]bool // of tasks that ended before they were known here
	spares    spares
	aheads    aheads
	tasks     map[core.TaskID]*task
	byName    map[abi.Name]core.TaskID
	objects   objects
	streams   byObject[ipc.StreamMemory] // of those that are lent to two tasks
	hosts     hosts
	names     abi.Name    // send right to the name server, for guests
	posts     chan func() // calls of the nucleus that nobody waits for, in order

	dmu       sync.Mutex // guards processes; taken after the core's lock
	processes map[core.ProcID]abi.Name

	smu      sync.Mutex // guards sessions; taken before the core's lock
	sessions map[uint32]*session
}

// task is a guest task as the serve loop sees it.
type task struct {
	name  abi.Name
	b     *ipc.ServerBinding
	mu    sync.Mutex
	slots []*slot // by number, as far as they were used
	dead  bool
	// calls are being served; removed: the poller does not know it any more,
	// and the last call closes the binding.
	calls   int
	removed bool
	// over is closed when the task has ended, if somebody waits for that; server.mu guards it.
	over chan struct{}
	family
}

// done ends a call; the last one of a task that is gone gives its memory back.
func (t *task) done() {
	t.mu.Lock()
	t.calls--
	last := t.removed && t.calls == 0
	t.mu.Unlock()
	if last {
		t.b.Close()
	}
}

// slot is one slot in use: the call that is being served on it.
type slot struct {
	t    *task
	n    int
	req  ipc.Request
	call core.Call
	// more is where a call waits for the library; guarded by t.mu.
	more chan bool
	// back is the part of the reply that the library had carried out when the call
	// came to this incarnation, last the last one that has a number.
	back, last uint32
}

// Beside is what runs in the unix server's process beside it.
type Beside struct {
	Poller *ipc.Poller          // the unix server's, with which the others wait; nil: it makes its own
	Files  map[string]*fs.Local // file servers, by the labels of the send rights to them
}

// Main is the server's process: conn is its control channel. personalities
// makes the systems that this machine can host; ready is called when the server
// is about to ask others, and to serve (to confine the process).
func Main(conn *ipc.Conn, ready func() error, personalities func(*core.Kernel) []core.Personality, beside Beside) error {
	in, err := ipc.Startup(conn)
	if err != nil {
		return err
	}
	s := &server{conn: conn, idle: make(chan struct{}), tasks: map[core.TaskID]*task{}, byName: map[abi.Name]core.TaskID{}, early: map[abi.Name]bool{},
		sessions: map[uint32]*session{}, processes: map[core.ProcID]abi.Name{}, posts: make(chan func(), 4096)}
	s.objects.open()
	s.aheads.incarnation = in.Incarnation
	s.names = in.Send(NamesLabel)
	if err := in.Decode(&s.cfg); err != nil {
		return err
	}
	heap, fresh, err := in.State(conn, StateSize, core.StateVersion)
	if err != nil {
		return err
	}
	if s.poller = beside.Poller; s.poller == nil {
		if s.poller, err = ipc.NewPoller(); err != nil {
			return err
		}
	}
	go s.post()
	ccfg := core.Config{
		Hostname: s.cfg.Hostname, MemoryLimit: s.cfg.MemoryLimit, PidsLimit: s.cfg.PidsLimit,
		CPUInfo: s.cfg.CPUInfo, Published: s.cfg.Published, Net6: s.cfg.Network6, Link: s.cfg.Link,
		Traced: core.Traced{All: s.cfg.Trace, PIDs: s.cfg.TracePIDs},
	}
	cpus, _, e := conn.ProcessorInfo(abi.NameNull)
	if e != 0 {
		return fmt.Errorf("processors: %w", e)
	}
	ccfg.CPUs = core.CPUSet(cpus)
	clock, err := newClock()
	if err != nil {
		return err
	}
	s.k = core.NewKernel(heap, s, clock, ccfg)
	if !fresh && !s.k.Booted() {
		// The last incarnation died before there was a machine: nobody depends on
		// what it had done, and half of it is missing.
		if heap, err = heap.Reset(); err != nil {
			return err
		}
		fresh = true
		s.k = core.NewKernel(heap, s, clock, ccfg)
	}
	s.k.Tracer = s.trace
	if s.cfg.Sniff {
		s.k.Sniffer = (&sniffer{s: s}).packet
	}
	s.k.HostUse = hostUse
	s.k.Random = func(b []byte) { rand.Read(b) }
	s.k.HandOver, s.k.Stir = s.handOver, s.poller.Stir
	s.k.OnTask = s.known
	for _, p := range personalities(s.k) {
		s.k.AddPersonality(p)
	}
	s.attach(in, beside.Files)
	if err := s.inheritSessions(in); err != nil {
		return err
	}
	s.takeEngine(in)
	tasks := s.adopt(in)
	s.inheritObjects(in)
	if err := ready(); err != nil {
		return err
	}
	if err := s.start(fresh, tasks); err != nil {
		return err
	}
	s.inheritDebug(in)
	if e := conn.Ready(); e != 0 {
		return fmt.Errorf("ready: %w", e)
	}
	go s.lead()
	for _, r := range in.Rights {
		if r.Kind == abi.RightReceive && r.Label == "control" {
			go s.control(r.Name)
		}
	}
	return conn.Run(&ipc.Handlers{
		TaskDead: s.taskDead,
		Dead:     func(n abi.Name, _ uint64) { s.debuggerDied(n) },
		Unbound:  func(uint64) {},
	})
}

// attach makes the file servers known to the core, local ones and others; a binding is made
// at the first use.
func (s *server) attach(in *ipc.Inheritance, local map[string]*fs.Local) {
	seen := map[string]bool{}
	lead := &ipc.Lead{Poller: s.poller, Pass: s.k.Pass}
	for _, m := range append(s.cfg.Mounts, Mount{FS: "memfd"}) {
		if seen[m.FS] {
			continue
		}
		seen[m.FS] = true
		label := m.FS
		far := fs.NewLazyClient(func() (*ipc.ClientBinding, error) {
			b, err := in.Client(s.conn, "fs:"+label, label, fsSlots)
			if err != nil {
				return nil, err
			}
			// A request that the last incarnation sent is not repeated while the
			// server may still be about to do it: then it would be done behind
			// the requests that come after the repetition, once more.
			if err := b.Quiesce(context.Background()); err != nil {
				return nil, err
			}
			s.poller.AddClient(b)
			return b, nil
		})
		client, led := mapper{far, &s.objects}, far.Lead(lead)
		if l := local[label]; l != nil {
			client.fileServer, led = l.Server(far, nil), l.Server(far, lead)
		}
		s.k.AttachFS(label, client)
		s.k.AttachLead(label, led)
		if label == "memfd" {
			// The same tmpfs has /dev/shm as its tree and memory files without
			// a name.
			s.k.AttachFS("shm", client)
			s.k.AttachLead("shm", led)
		}
	}
	s.k.SetObjects(&s.objects)
	s.k.AttachCores()
	if s.cfg.Network {
		// No request has to be waited for that the last incarnation sent: each can be
		// sent again beside it (idl/net).
		outside := &netBackend{s: s, lender: in.Incarnation, tag: in.Incarnation << 32}
		s.k.SetNet(outside)
		outside.Client = net.NewClient(func() (*ipc.ClientBinding, error) {
			b, err := in.Client(s.conn, "net", "net", net.Slots)
			if err != nil {
				s.Log("no way to the net server: " + err.Error())
				return nil, err
			}
			s.poller.AddClient(b)
			outside.way.Store(b)
			return b, nil
		})
	}
}

// start boots the machine or recovers what the last incarnation left.
func (s *server) start(fresh bool, tasks []core.TaskID) error {
	s.k.Enter()
	defer s.k.Leave()
	if !fresh {
		s.k.Recover(tasks)
		// What the last incarnation had counted and not noted, or the other way round.
		for id, n := range s.k.TaskThreads() {
			if t := s.task(id); t != nil {
				_ = s.conn.SetTaskThreads(t.name, n) // it has ended
			}
		}
		s.k.EachRaised(func(id core.TaskID, tid uint64, how core.Sched) { _ = s.Schedule(id, tid, how) })
		return nil
	}
	s.k.Format()
	for _, m := range s.cfg.Mounts {
		var flags uint32
		if m.ReadOnly {
			flags = core.MountRO
		}
		if e := s.k.MountFS(m.Path, m.FS, m.Type, m.Source, flags); e != 0 {
			return fmt.Errorf("mount %s on %s: %w", m.FS, m.Path, e)
		}
	}
	if e := s.k.MountCore(); e != 0 {
		return fmt.Errorf("mount of the server's own file systems: %w", e)
	}
	s.k.BootOutside()
	s.k.MutGlobals().Booted = 1
	return nil
}

// adopt maps the bindings of guest tasks that the last incarnation served.
func (s *server) adopt(in *ipc.Inheritance) []core.TaskID {
	var ids []core.TaskID
	for _, b := range in.Bindings {
		if b.Role != abi.RoleServer {
			continue
		}
		sb, err := ipc.NewServerBinding(b)
		if err != nil {
			s.Log("task lost: " + err.Error())
			continue
		}
		s.mu.Lock()
		s.addTask(b.Port, sb) // of a guest's binding: the task's name
		s.mu.Unlock()
		ids = append(ids, core.TaskID(b.ID))
	}
	return ids
}

// addTask makes a task known here; s.mu is held.
func (s *server) addTask(name abi.Name, b *ipc.ServerBinding) *task {
	t := &task{name: name, b: b}
	b.User = t
	s.tasks[core.TaskID(b.ID)] = t
	s.byName[name] = core.TaskID(b.ID)
	if s.early[name] {
		delete(s.early, name)
		go s.taskDead(name)
	}
	return t
}

// lead polls the bindings and serves what comes, as long as it is the leader;
// then it waits for the role, or ends if enough others wait for it.
func (s *server) lead() {
	for {
		r := s.poller.Wait(-1)
		if r.Kind == ipc.ReadyWake {
			s.bury()
		}
		if r.Kind == ipc.ReadyFD {
			s.hosts.told(s.k, r)
		}
		if r.Kind != ipc.ReadySlot {
			continue
		}
		t := r.Binding.User.(*task)
		if s.serve(t, r.Slot) {
			continue
		}
		if s.nidle.Add(1) > 32 {
			s.nidle.Add(-1)
			return
		}
		<-s.idle
		s.nidle.Add(-1)
	}
}

// bury forgets the tasks that are gone. The leader calls it: only it may take a
// binding from the poller.
func (s *server) bury() {
	s.mu.Lock()
	gone := s.gone
	s.gone = nil
	s.mu.Unlock()
	for _, t := range gone {
		s.poller.Remove(t.b)
		t.mu.Lock()
		t.removed = true
		idle := t.calls == 0
		t.mu.Unlock()
		if idle {
			t.b.Close()
		}
	}
}

// handOver makes another goroutine the leader.
func (s *server) handOver() {
	select {
	case s.idle <- struct{}{}:
	default:
		go s.lead()
	}
}

// serve serves the request in a slot; it answers whether this goroutine still
// leads.
func (s *server) serve(t *task, n int) bool {
	t.mu.Lock()
	if t.removed {
		t.mu.Unlock()
		return true
	}
	for n >= len(t.slots) {
		t.slots = append(t.slots, nil)
	}
	sl := t.slots[n]
	if sl == nil {
		sl = &slot{t: t, n: n}
		t.slots[n] = sl
	}
	if sl.more != nil {
		if !t.b.Resumed(n) { // it says what it has changed before it came to what it is asked for
			t.mu.Unlock()
			s.changed(t)
			t.b.Drop(n)
			return true
		}
		// The library comes back with what a call asked it for.
		ch := sl.more
		sl.more = nil
		t.mu.Unlock()
		ch <- true
		s.poller.Stir()
		return true
	}
	t.calls++
	t.mu.Unlock()
	defer t.done()
	req := &sl.req
	if !t.b.Load(n, req) {
		s.changed(t)
		t.b.Drop(n)
		return true
	}
	c := &sl.call
	c.K = s.k
	c.Reset()
	c.Leader = true
	c.Task, c.Slot = core.TaskID(t.b.ID), uint32(n)
	c.Kind, c.Nr, c.Args, c.Regs, c.Seq = req.Kind, req.Nr, req.Args, req.Regs, req.Seq
	c.WantName = req.State == abi.SlotRequest && req.Kind == abi.KindTrap && req.Flags&abi.WantName != 0
	c.WantNear = req.State == abi.SlotRequest && req.Kind == abi.KindTrap && req.Flags&abi.WantNear != 0
	if c.Late = req.Late; c.Late != 0 {
		_, c.LateRobust, c.LateTid, c.LateMask = t.b.Late(n)
	}
	c.Done = req.Done
	c.Chan = sl
	k := s.k
	k.Enter()
	if t.b.Changed() {
		k.StreamsChanged(c.Task)
	}
	k.Posted(c.Task, t.b.Posted())
	t.b.EachEnded(func(n int) { k.ThreadEnded(c.Task, uint32(n)) })
	if !k.Resolve(c, req.HostID) {
		// Nobody is answered: the slot stays taken until the task is gone.
		k.Leave()
		s.Terminate(c.Task)
		return c.Leader
	}
	sl.back = 0
	if req.State == abi.SlotResumed {
		sl.back = req.Back
	}
	th := k.Threads.Get(c.T)
	sl.last = max(sl.back, th.PartNo)
	if th.DoneSeq != c.Seq {
		k.Serve(c)
		if c.NoReply {
			k.Leave()
			return c.Leader
		}
	} else if th.Parts.Nil() {
		// The last incarnation died between its commit and the answer, which may have
		// waited (Settle) for kicks that were repeated.
		k.Leave()
		leader := s.settle(c.Leader)
		t.b.Complete(n)
		return leader
	}
	k.Parts(c)
	hold := core.AnswerOther
	for hold == core.AnswerOther {
		sh := t.b.Slot(n)
		sh.Result, sh.Err, sh.RFlags = c.Result, c.ErrNumber(), c.Flags
		sh.NAct = uint32(copy(sh.Acts[:], c.Acts))
		sh.DoneSeq = c.Seq
		k.Finished(c)
		k.Heap.Commit()
		k.Heap.Begin()
		hold = k.HoldReply(c)
	}
	k.Leave()
	// The call belongs to whoever serves the slot's next request, which may
	// come at once.
	leader, settle, exits := c.Leader, c.Settle, len(c.Acts) > 0 && c.Acts[len(c.Acts)-1].Op == abi.ActExitTask
	if hold == core.AnswerNow {
		if settle {
			leader = s.settle(leader)
		}
		if exits {
			// Who waits for the process's end is answered first: what the host has to do for it
			// takes as long as all else, and may be done where that one is to run.
			runtime.Gosched()
		}
		t.b.Complete(n)
	}
	return leader
}

// changed tells the core if a task's library says that it has changed a stream, or that threads have ended.
func (s *server) changed(t *task) {
	if t.b.Changed() {
		s.k.Enter()
		s.k.StreamsChanged(core.TaskID(t.b.ID))
		s.k.Leave()
	}
	if t.b.HasEnded() {
		s.k.Enter()
		t.b.EachEnded(func(n int) { s.k.ThreadEnded(core.TaskID(t.b.ID), uint32(n)) })
		s.k.Leave()
	}
}

// settle waits until those have been kicked whom calls so far kick, while another goroutine
// leads; it answers whether this one still does.
func (s *server) settle(leader bool) bool {
	if leader {
		s.handOver()
	}
	s.posted()
	return false
}

// trace takes a line of the core's tracer.
func (s *server) trace(pid, tid int32, line string) {
	if line != "" {
		line = fmt.Sprintf("%d [pid %5d] %s", pid, tid, line)
	} else {
		line = fmt.Sprint(pid)
	}
	s.posts <- func() { s.conn.Log(LogTrace, line) }
}

// posted waits until the nucleus has got all that was posted so far.
func (s *server) posted() {
	done := make(chan struct{})
	s.posts <- func() { close(done) }
	<-done
}

// LogTrace is the level of the tracer's lines in the machine's log: the number of the process,
// a space, and what is to be shown; the number alone says that the process has ended.
const LogTrace = 7

// Extent2 implements core.DataExtent.
func (sl *slot) Extent2(arg int) (off, n uint32, fault, ok bool) {
	seen := false
	for i := range sl.req.In[:sl.req.NIn] {
		e := &sl.req.In[i]
		if int(e.Arg) != arg {
			continue
		}
		if seen {
			return e.Off - abi.SlotInOff, e.Len, e.Fault != 0, true
		}
		seen = true
	}
	return 0, 0, false, false
}

// In implements core.Chan.
func (sl *slot) In() []byte { return sl.t.b.In(sl.n) }

// Out implements core.Chan.
func (sl *slot) Out() []byte { return sl.t.b.Out(sl.n) }

// InUsed implements core.Chan.
func (sl *slot) InUsed() uint32 { return sl.req.InLen }

// Extent implements core.Chan.
func (sl *slot) Extent(arg int) (off, n uint32, fault, ok bool) {
	for i := range sl.req.In[:sl.req.NIn] {
		if e := &sl.req.In[i]; int(e.Arg) == arg {
			return e.Off - abi.SlotInOff, e.Len, e.Fault != 0, true
		}
	}
	return 0, 0, false, false
}

// More implements core.Chan.
func (sl *slot) More(acts []abi.Action) bool {
	sh := sl.t.b.Slot(sl.n)
	sl.Stage(acts)
	sl.last++
	if !sl.ask() {
		return false
	}
	for i := range acts {
		acts[i].A[3], acts[i].A[4] = sh.Acts[i].A[3], sh.Acts[i].A[4]
	}
	return true
}

// Stage implements core.Chan.
func (sl *slot) Stage(acts []abi.Action) uint32 {
	sh := sl.t.b.Slot(sl.n)
	sh.NAct = uint32(copy(sh.Acts[:], acts))
	sh.Part = sl.last + 1
	return sl.last + 1
}

// Back implements core.Chan.
func (sl *slot) Back() uint32 { return sl.back }

// Repeat implements core.Chan.
func (sl *slot) Repeat() bool { return sl.ask() }

// ask publishes the actions in the slot and waits until the library comes back;
// false when the task died.
func (sl *slot) ask() bool {
	t := sl.t
	ch := make(chan bool, 1)
	t.mu.Lock()
	if t.dead {
		t.mu.Unlock()
		return false
	}
	sl.more = ch
	t.mu.Unlock()
	t.b.Ask(sl.n)
	return <-ch
}

// post makes the nucleus calls that nobody waits for.
func (s *server) post() {
	for f := range s.posts {
		f()
	}
}

// taskDead: a guest task ended on the host.
func (s *server) taskDead(name abi.Name) {
	s.mu.Lock()
	id, ok := s.byName[name]
	t := s.tasks[id]
	delete(s.byName, name)
	if !ok || t == nil {
		s.early[name] = true // its maker has not come to say that there is one
		s.mu.Unlock()
		return
	}
	s.died(t)
	s.mu.Unlock()
	t.mu.Lock()
	t.dead = true
	for _, sl := range t.slots {
		if sl != nil && sl.more != nil {
			sl.more <- false
			sl.more = nil
		}
	}
	t.mu.Unlock()
	s.k.TaskGone(id)
	s.mu.Lock()
	delete(s.tasks, id)
	s.gone = append(s.gone, t)
	s.deadTasks = append(s.deadTasks, name)
	var dead []abi.Name
	if len(s.deadTasks) >= deadNames {
		dead, s.deadTasks = s.deadTasks, nil
	}
	s.mu.Unlock()
	s.poller.Wake()
	if dead != nil {
		s.posts <- func() { s.conn.DeallocateAll(dead) }
	}
}

// deadNames is of how many tasks that have ended the names are given back at a time. The nucleus
// has nothing else of them.
const deadNames = 16

// control serves the supervisor's requests.
func (s *server) control(port abi.Name) {
	for {
		m, e := s.conn.Receive(port)
		if e != 0 {
			return
		}
		go s.request(m)
	}
}

func (s *server) request(m *ipc.Message) {
	var e abi.Errno
	a := wire.Refuse(abi.EINVAL) // what cannot be read
	if m.Body, e = s.conn.Unpack(m); e == 0 {
		a = unix.Dispatch(m, control{s})
	}
	s.conn.Drop(m)
	p, done, e := s.conn.Pack(a.Body)
	if e != 0 {
		p, done = wire.Refuse(e), func() {}
	}
	_ = s.conn.AnswerWith(m, p)
	done()
}

// control serves the supervisor (idl/unix).
type control struct{ s *server }

// Start implements unix.Server.
func (c control) Start(_ *ipc.Message, console abi.Name, p *unix.Program) (unix.Started, abi.Errno) {
	if p.Session == 0 {
		return unix.Started{}, abi.EINVAL
	}
	var pid int32
	var badDir bool
	e := c.s.openSession(p.Session, p.Streams, console)
	if e == 0 {
		pid, badDir, e = c.s.k.StartProgram(p)
	}
	return unix.Started{PID: int(pid), Errno: uint32(e), BadDir: badDir}, 0
}

// Wait implements unix.Server.
func (c control) Wait(_ *ipc.Message, session uint32) (uint32, abi.Errno) {
	status, e := c.s.k.WaitProgram(session)
	c.s.drain(session)
	c.s.posted() // the machine may end now, and the tracer's lines with it
	return status, e
}

// Kill implements unix.Server.
func (c control) Kill(_ *ipc.Message, pid, signal int, session uint32) abi.Errno {
	if pid == 0 {
		return c.s.k.SignalProgram(session, int32(signal))
	}
	return c.s.k.KillPid(int32(pid), int32(signal))
}

// Processes implements unix.Server.
func (c control) Processes(*ipc.Message) ([]unix.Process, abi.Errno) {
	return c.s.k.ListProcesses(), 0
}

// Calls implements unix.Server.
func (c control) Calls(*ipc.Message) ([]unix.CallCount, abi.Errno) { return c.s.k.ListCalls(), 0 }

// End implements unix.Server.
func (c control) End(_ *ipc.Message, session uint32) abi.Errno {
	c.s.endSession(session)
	return 0
}

// Reclaim implements unix.Server.
func (c control) Reclaim(*ipc.Message) (int, string, abi.Errno) {
	pid, name := c.s.k.KillLargest()
	return int(pid), name, 0
}

// Sockets implements unix.Server.
func (c control) Sockets(*ipc.Message) ([]unix.Socket, abi.Errno) { return c.s.k.ListSockets(), 0 }

// Counters implements unix.Server.
func (c control) Counters(*ipc.Message) ([]unix.Counter, abi.Errno) { return c.s.k.ListCounters(), 0 }

// Trace implements unix.Server.
func (c control) Trace(_ *ipc.Message, all bool, pids []int) abi.Errno {
	t := core.Traced{All: all}
	for _, pid := range pids {
		t.PIDs = append(t.PIDs, int32(pid))
	}
	c.s.k.Trace(t)
	return 0
}
