// Package core is the unix server without its ports: processes, threads,
// credentials, descriptors, files, pipes, sockets, ttys, signals and the rules
// between them, in POSIX terms and with no system's call numbers, layouts or
// flags. Personalities (personality/...) decode a guest's call and use it.
//
// # State of record
//
// Every fact that must survive the server is in tables of a store.Heap (see
// records.go) and is changed inside its transaction. What hangs on a Kernel
// beside it (maps, wait queues, caches, sleeping goroutines) is derived and is
// rebuilt by Recover. A rule follows: never keep a fact only in a Go variable
// across a point where the lock is given up (Call.Sleep, Call.Unlocked and
// everything that calls them).
//
// # Locks
//
// One lock, Kernel.mu, guards everything; whoever holds it is inside a
// transaction. Enter takes both, Leave commits and gives both up. Call.Sleep
// and Call.Unlocked leave and enter again: what was read before must be read
// again afterwards. There is no other lock to order.
//
// # How a call runs
//
// A call is decoded (all copies in from the guest, which may give up the lock)
// before it changes anything. Then it runs; when it has to wait it calls
// Sleep, and tries again when woken. If the server dies, the next incarnation
// runs the call again from the start: so what a call has committed before it
// sleeps must be either harmless to repeat or noted as progress in its
// thread's record (Thread.Progress, Thread.Deadline).
package core

import (
	"sync"

	"hythe/abi"
	"hythe/store"
)

// Host is what the unix server asks of the nucleus. Methods are called with
// the lock held unless they say otherwise and must not call back.
type Host interface {
	// NewTask makes a task: a fresh one (parent 0) that sends abi.KindStart on
	// slot 0, or the fork of parent, whose library finds the child's channel
	// under tag. Called WITHOUT the lock (it waits for the nucleus).
	NewTask(parent TaskID, tag uint64) (TaskID, abi.Errno)
	// NextTask answers a task that was made ahead as the fork of parent, and the tag of its
	// channel; false: there is none.
	NextTask(parent TaskID) (id TaskID, tag uint64, ok bool)
	// Terminate ends a task at once. Unknown and dead tasks are ignored.
	Terminate(t TaskID)
	// Kick makes the thread with this host id, when it runs guest code or
	// waits in a local call, send abi.KindPoll. Not waited for.
	Kick(t TaskID, hostTID uint64)
	// Tell stores a word that the task's library answers calls from
	// (abi.BindHeader.Told), 0 to have them asked here again.
	Tell(t TaskID, word int, v uint64)
	// Robust answers the list of locks that the library of the task's thread on this slot has
	// taken and not told yet (abi.LateIsRobust). Who has told ToldEnding before misses none.
	Robust(t TaskID, slot uint32) (head uint64, ok bool)
	// Mask answers what the library of the task's thread on this slot has made of the set of signals
	// that the thread blocks, if the server has not heard of it: with the request after the cur-th (abi.LateIsMask).
	Mask(t TaskID, slot uint32, cur uint64) (mask SigSet, ok bool)
	// Begun answers which thread the library says has begun on a slot without asking, and its host id, Ended
	// which has ended so, and with what (abi.Slot.Begun, Ended); 0: none.
	Begun(t TaskID, slot uint32) (token, hostTID uint64)
	Ended(t TaskID, slot uint32) (token uint64, code uint32)
	// Lend makes the record of a file that the library may read itself (abi.Lent), once it
	// has found gen there; Unlend takes it back. UnlendStat takes attributes back that
	// it has kept, and answers the number by which it may keep new ones. LentPos takes an offset back, and
	// SetLentPos stores one in its place unless it was changed meanwhile. false: no such task.
	// From abi.LentFiles on fd is a ring.
	Lend(t TaskID, fd int, size uint64, slot uint32, ends bool) (gen uint64, ok bool)
	Unlend(t TaskID, fd int)
	UnlendStat(t TaskID, fd int) (gen uint64, ok bool)
	// LentWrote answers when the library says that it wrote to the file last (abi.Lent.Wrote), Cycles
	// what the clock shows now by which it says so.
	LentWrote(t TaskID, fd int) (at uint64, ok bool)
	// LentSize answers how long the library has made a file, and with take has it make it no
	// longer.
	LentSize(t TaskID, fd int, take bool) (size uint64, ok bool)
	Cycles() uint64
	LentPos(t TaskID, fd int) (pos uint64, ok bool)
	SetLentPos(t TaskID, fd int, from, to uint64) bool
	// TellOpen has the library know of a descriptor what abi.BindHeader.Open says; 0: nothing.
	TellOpen(t TaskID, fd int, v uint64)
	// CloseWord answers abi.BindHeader.Close of a descriptor, and SetClose changes it unless the
	// library has meanwhile. false: no such task.
	CloseWord(t TaskID, fd int) (v uint64, ok bool)
	SetClose(t TaskID, fd int, from, to uint64) bool
	// LentRing copies bytes of a pipe's ring to b, from the head-th on that were ever in it, and
	// answers how far the last page of the pipe is full.
	LentRing(t TaskID, ring int, head uint64, b []byte) (fill uint64)
	// LendSet has the library answer what is ready in the set of a descriptor (abi.LentSet), as its
	// i-th, which is not lent; host and wake are LentSet's. UnlendSet takes it back, and answers with which of the items the next
	// answer would have begun. SetSleeps says whether threads of the task sleep for its host, or did when it
	// was taken back. false: no such task, or not settled. SetChanged says whether the library has changed items of it
	// since, SetItems what they are (the library's own words) and whose descriptor it was, after UnlendSet; SettleSet, that
	// the record has that.
	LendSet(t TaskID, i int, fd int32, items []abi.LentItem, host, wake uint64) bool
	UnlendSet(t TaskID, i int) (next uint32)
	SetChanged(t TaskID, i int) bool
	SetItems(t TaskID, i int) (fd int32, items []abi.LentItem)
	SettleSet(t TaskID, i int)
	SetSleeps(t TaskID, i int) bool
	// HostsBusy answers by which descriptors threads of the task may be receiving by a host's socket (a bit each).
	HostsBusy(t TaskID) (fds uint64)
	// NewStream makes the memory of a stream (abi.Stream...) whose rings have 1<<shift bytes; called
	// WITHOUT the lock. StreamBack takes a direction's word back, wakes who sleeps there, and
	// answers the word and how many bytes were ever put into the ring; SetStream changes the
	// word unless it was changed meanwhile, StreamWord only looks at it; StreamBytes copies what is in the ring from the
	// head-th byte on that was ever in it, and answers how far a pipe's last page is full; StreamFill puts
	// them there, unless the writer may be copying. false: there is no such memory.
	NewStream(shift uint) (ObjectName, abi.Errno)
	StreamBack(o ObjectName, shift uint, dir int) (word, count uint64, ok bool)
	SetStream(o ObjectName, dir int, from, to uint64) bool
	StreamWord(o ObjectName, dir int) uint64
	// StreamPoll has a direction say that somebody sleeps for it (abi.StreamPoll...), or no more.
	StreamPoll(o ObjectName, dir int, who uint32, on bool)
	StreamBytes(o ObjectName, dir int, head uint64, b []byte) (fill uint32)
	StreamFill(o ObjectName, head uint64, b []byte, fill uint32) bool
	// Grant lets a task map object: it arrives at the library under tag. It
	// is on its way for good when Grant returns, even if the server dies then.
	Grant(t TaskID, object ObjectName, readonly bool, tag uint64)
	// DropObject gives back a name got by fs.Map or NewObject.
	DropObject(object ObjectName)
	// NewObject makes an anonymous memory object of size bytes with a durable
	// label and answers its name and what Maps shows of it. Called WITHOUT the lock.
	NewObject(size uint64, label string) (ObjectName, HostFile, abi.Errno)
	// CopyObject makes an object as NewObject does, whose first n bytes are those of
	// from. Called WITHOUT the lock.
	CopyObject(from ObjectName, n, size uint64) (ObjectName, abi.Errno)
	// ClearObject makes n bytes of an object zero from off on, and gives back their
	// memory. Called WITHOUT the lock.
	ClearObject(object ObjectName, off, n uint64) abi.Errno
	// Maps answers the host's map of the task's address space
	// (/proc/PID/maps text). Called WITHOUT the lock.
	Maps(t TaskID, detail bool) ([]byte, abi.Errno)
	// Memory reads a task's memory. Called WITHOUT the lock.
	Memory(t TaskID, addr uint64, n int) ([]byte, abi.Errno)
	// Usage answers resident bytes, user and system time in ns. WITHOUT the lock.
	Usage(t TaskID) (rss, user, sys uint64, err abi.Errno)
	// CPU answers the processor time, in ns, of a task, or of the thread with
	// this host id (0: of all). WITHOUT the lock.
	CPU(t TaskID, hostTID uint64) (ns uint64, err abi.Errno)
	// Assign lets a task's thread with this host id run on these processors, of
	// Config.CPUs. WITHOUT the lock.
	Assign(t TaskID, hostTID uint64, cpus CPUSet) abi.Errno
	// Schedule has the host schedule a thread, with this host id. EPERM: the machine was
	// not given so much, or the host refuses it; EBUSY. WITHOUT the lock.
	Schedule(t TaskID, hostTID uint64, s Sched) abi.Errno
	// AddThreads counts n more threads of a task in its budget, before they are made (EAGAIN),
	// or -n fewer. WITHOUT the lock. ThreadGone takes one back and is not waited for; hostTID
	// is 0 if it never began.
	AddThreads(t TaskID, n int) abi.Errno
	ThreadGone(t TaskID, hostTID uint64)
	// OpenPorts lets the task make calls of the nucleus, and answers the name of
	// its first right. It may be repeated.
	OpenPorts(t TaskID) (uint64, abi.Errno)
	// OpenProcess gives the task a right to the port that stands for a process.
	OpenProcess(t TaskID, id ProcID) (uint64, abi.Errno)
	// Raise sends an exception to a debugger's port. done is called once, on another
	// goroutine, without the lock.
	Raise(port uint32, x Exception, done func(regs abi.Regs, taken bool))
	// Log writes one line to the machine's log.
	Log(line string)
	// Halt ends the machine: the first process is gone. status is its wait status.
	Halt(status uint32)
}

// TaskID names a guest task at the Host: the binding's id, unique for the life
// of the machine.
type TaskID uint64

// ObjectName names a memory object at the Host.
type ObjectName uint32

// Clock is the machine's time. Monotonic and real time in nanoseconds.
type Clock interface {
	Mono() int64
	Real() int64
	// After calls fn (without the lock) at monotonic time t or soon after;
	// the answer cancels it (it may still run once).
	After(t int64, fn func()) (cancel func())
}

// Kernel is the state of one unix server.
type Kernel struct {
	mu sync.Mutex

	// Heap and the tables in it: the state of record.
	Heap *store.Heap
	Tables

	Host  Host
	Clock Clock
	// Config is what the machine was started with; constant.
	Config Config

	// Random fills b with unpredictable bytes (AT_RANDOM, getrandom, address
	// choices); set before Boot.
	Random func(b []byte)
	// HostUse asks the host what memory it has and how busy it is; nil: nobody
	// can say. Set before Boot; called with the lock held, so it must be quick.
	HostUse func() HostUse
	// handOver gives the role of polling the bindings to another goroutine;
	// set by the serve loop.
	HandOver func()
	// Stir is told, with the lock held, that calls which slept go on as soon as the
	// caller lets them. Set by the serve loop.
	Stir func()
	// asking is the call of the leader's that asks a file server (ask). It is the leader's,
	// with the lock or without.
	asking *Call
	// OnTask is told of each task that the kernel now knows: from here on its
	// requests may be served. Set by the serve loop.
	OnTask func(TaskID)

	// engine runs WebAssembly modules (SetEngine).
	engine engine

	// Tracer takes the tracer's lines (trace.go), with the lock held: of thread tid of
	// process pid; "" says that the process has ended. Set before Boot or Recover.
	Tracer func(pid, tid int32, line string)
	traced tracedSet
	// Sniffer, when set, takes the packets that would have been (packets.go): when, in ns
	// of real time, and the bytes from IP's header on; with the lock held.
	Sniffer func(at int64, b []byte)
	// Failpoint, when a test sets it, is called before each request is served.
	Failpoint func(c *Call)

	personalities []Personality
	byIndex       [maxPersonalities]Personality

	// Derived: rebuilt by Recover.
	byPid map[int32]store.Ref[Proc]
	byTid map[int32]store.Ref[Thread]
	tasks map[TaskID]*task
	// lent has the tasks that were lent files, by their processes' tables (lend.go).
	lent    map[store.Ref[FDTable]]*task
	names   names
	grants  keptGrants
	closes  postedCloses
	threads map[store.Ref[Thread]]*threadRT
	procs   map[store.Ref[Proc]]*procRT
	files   map[store.Ref[File]]*fileRT
	counts  map[callKey]store.Ref[callCount]
	ops     [NumFileKinds]FileOps

	woken bool      // a sleeping call was woken since Stir was told
	now   int64     // moment's, 0: not asked for since the lock was taken
	vfs   vfsState  // vfs.go and its neighbours
	io    ioState   // pipes, sockets, epoll, timers on descriptors
	tty   ttyState  // terminals
	proc  procState // process groups, timers, signals
}

// Config is what a machine is started with.
type Config struct {
	Hostname string
	// MemoryLimit and PidsLimit bound the machine; 0 means no bound.
	MemoryLimit uint64
	PidsLimit   uint32
	// CPUs are the host's processors on which guests run, by its numbers.
	CPUs CPUSet
	// CPUInfo is /proc/cpuinfo's text for one processor.
	CPUInfo string
	// Published are ports of a machine with an outside (SetNet) that the host has,
	// too; their places are their numbers at the net server.
	Published []Published
	// Net6: the host reaches others by IPv6.
	Net6 bool
	// Link is the outside where that is made of packets; nil: it is the host's own sockets.
	Link *Link
	// Traced are the processes whose calls the tracer is told of at first (Kernel.Trace).
	Traced Traced
}

// HostUse is what a machine shows of its host: memory in bytes, load averages of
// 1, 5 and 15 minutes in units of 1/65536.
type HostUse struct {
	Total, Free, Buffers uint64
	Load                 [3]uint64
}

// hostUseless is what is shown where nobody can say.
var hostUseless = HostUse{Total: 4 << 30, Free: 2 << 30}

// Use answers what guests are shown of the host: its memory, or what the
// machine may have of it if that is less.
func (k *Kernel) Use() HostUse {
	u := hostUseless
	if k.HostUse != nil {
		u = k.HostUse()
	}
	if l := k.Config.MemoryLimit; l != 0 && l < u.Total {
		u.Total = l
		u.Free = min(u.Free, l)
		u.Buffers = min(u.Buffers, l-u.Free)
	}
	return u
}

// task is the derived part of a guest task: which thread speaks on which slot.
type task struct {
	id    TaskID
	proc  store.Ref[Proc]
	slots map[uint32]store.Ref[Thread]
	dead  bool
	// cancelKill stops the timer that ends a task which was told to end itself.
	cancelKill func()
	// lent is what the task was lent, nil: nothing yet (lend.go).
	lent *lentTask
	// names and attrs are with which numbers its library keeps answers about names; 0: with none.
	names, attrs uint64
	rest         int // nameRest
	// near is where it is in directories whose names it asks for (keepnear.go).
	near     []nearRun
	nearNext int
	// trail is where it is in what its program asks for (foresee.go).
	trail *taskTrail
	// nearSure: where it began last to ask for a directory's names it went on in an order, that in which they
	// are listed (nearListed) or theirs.
	nearSure, nearListed bool
	// quiet: its library changes the masks of its threads by itself (siglib.go).
	quiet bool
	// may is ToldThreads (threadlib.go).
	may uint64
	// kept are grants that it keeps (grants.go).
	kept []keptGrant
	// defaults are the signals of which it knows that their actions are none.
	defaults SigSet
	// spare is how many threads are counted in the task's budget that it does not have: those
	// that it makes next need not be. A new incarnation counts anew, and knows of none.
	spare int
	// born is when the task became known (Clock.Mono), 0: to another incarnation; threaded: it
	// has had more than one thread.
	born     int64
	threaded bool
}

// Personality gives one operating system's calls their meaning.
type Personality interface {
	// Name is the system's name ("linux").
	Name() string
	// Descriptors is the table that the library is given (abi.CallDesc, by
	// number), and Index its number in abi.TaskTable. With traced the library
	// leaves to the server what that can serve too, so that the tracer sees it.
	Descriptors(traced bool) []abi.CallDesc
	Index() uint32
	// Convention is how the guest is told a result (abi.ReplyCarry, or 0), Errno the
	// system's number for an error: it is asked where ReplyCarry is set; Linux's
	// numbers are the neutral ones.
	Convention() uint32
	Errno(e abi.Errno) uint32
	// Ignored are the signals whose default action is to do nothing.
	Ignored() SigSet
	// Call serves one abi.KindTrap with the lock held. It ends by storing the
	// result in c (Ret or Fail, or actions with ReplyKeepRegs).
	Call(c *Call)
	// Start answers abi.KindStart: the actions that build the image that the
	// process's record asks for (Proc.Exec...).
	Start(c *Call) abi.Errno
	// Probe says whether head (the first bytes of a file, at most 4096) is of
	// this system's kind, and Check whether it can be loaded (ENOEXEC...).
	Probe(head []byte) bool
	// Deliver stores the actions that enter the handler act for sig with the
	// interrupted state regs, to which the thread returns afterwards; restart
	// tells what regs mean when a call was cut (see signal.go).
	Deliver(c *Call, sig *SigInfo, act *SigAction, regs *abi.Regs) abi.Errno
	// Fault turns a host exception (abi.KindFault) into a signal.
	Fault(c *Call) SigInfo
	// Cut says how a call is restarted that the library served and a kick cut:
	// abi.ErrRestart or ErrRestartNoHnd.
	Cut(c *Call) abi.Errno
	// CallName is the name of the call with this number, and whether it is
	// served; abi.CallTableSize stands for all numbers above.
	CallName(nr uint64) (name string, served bool)
	// TraceCall renders a finished call in the system's own terms, TraceStart
	// the start of a program (KindStart), TraceSignal a signal that is handled,
	// TraceEnd the end of a thread with a wait status; "" is no line.
	TraceCall(c *Call, r TraceResult) string
	TraceStart(c *Call) string
	TraceSignal(s *SigInfo) string
	TraceEnd(status uint32) string
}

// Worded is a Personality that tells a program of an error by -1 (abi.ReplyMinus) and
// says which it was when it is asked.
type Worded interface {
	// Failed notes that the caller's call ends with e, where its own function did not
	// answer that. EFAULT: the answer could not be stored.
	Failed(c *Call, e abi.Errno)
}

// failed tells a personality that has to know.
func (c *Call) failed(e abi.Errno) {
	if p, ok := c.K.Personality(c.Proc().Personality).(Worded); ok && e != 0 {
		p.Failed(c, e)
	}
}

// NewKernel makes a kernel over a heap: a fresh one (format is true: the first
// incarnation) or what an earlier incarnation left. Register personalities and
// file kinds first, then call Boot or Recover.
func NewKernel(h *store.Heap, host Host, clock Clock, cfg Config) *Kernel {
	k := &Kernel{
		Heap: h, Host: host, Clock: clock, Config: cfg,
		byPid:   map[int32]store.Ref[Proc]{},
		byTid:   map[int32]store.Ref[Thread]{},
		tasks:   map[TaskID]*task{},
		threads: map[store.Ref[Thread]]*threadRT{},
		procs:   map[store.Ref[Proc]]*procRT{},
		files:   map[store.Ref[File]]*fileRT{},
	}
	k.HandOver, k.Stir = func() {}, func() {}
	k.OnTask = func(TaskID) {}
	k.Tables = newTables(h)
	k.findCounts()
	k.initVFS()
	k.initIO()
	k.initTTY()
	k.initProc()
	k.traced.set(cfg.Traced)
	return k
}

// maxPersonalities bounds Personality.Index.
const maxPersonalities = 8

// AddPersonality makes a system's programs known; all before Boot or Recover. They are
// asked in this order whether a program is theirs.
func (k *Kernel) AddPersonality(p Personality) {
	k.personalities = append(k.personalities, p)
	k.byIndex[p.Index()] = p
}

// Personality answers the personality with this index, nil if there is none.
func (k *Kernel) Personality(index uint32) Personality {
	if index >= maxPersonalities {
		return nil
	}
	return k.byIndex[index]
}

// convention is how a process is told results.
func (k *Kernel) convention(p *Proc) uint32 {
	if q := k.Personality(p.Personality); q != nil {
		return q.Convention()
	}
	return 0
}

// Enter takes the lock and begins a transaction.
func (k *Kernel) Enter() {
	k.mu.Lock()
	k.Heap.Begin()
}

// moment is the monotonic time at which the lock was taken, or a little later: for what
// need not be exact, as the time for which attributes are good.
func (k *Kernel) moment() int64 {
	if k.now == 0 {
		k.now = k.Clock.Mono()
	}
	return k.now
}

// Leave commits the transaction and gives up the lock.
func (k *Kernel) Leave() {
	if len(k.io.out.dirty) > 0 {
		k.pumpAll()
	}
	k.settleSets()
	k.Heap.Commit()
	if len(k.proc.after) > 0 {
		k.runCommitted()
	}
	if k.woken {
		k.woken = false
		k.Stir()
	}
	k.now = 0
	k.closes.looked = 0
	k.mu.Unlock()
}

// Globals answers the one Globals record, to read.
func (k *Kernel) Globals() *Globals { return k.Tables.Global.Get(1) }

// MutGlobals answers it to change.
func (k *Kernel) MutGlobals() *Globals { return k.Tables.Global.Mut(1) }
