// Package machine is what the nucleus needs of a host, said without a host: it
// names no descriptor, no process id and no path. machine/linux is the real
// one; machine/sim is deterministic and has a scripted clock and scripted
// faults.
//
// Concurrency: every method may be called from any goroutine. A Sink is called
// by the machine from its own goroutine, one call at a time for one channel,
// and never from inside a call that the nucleus makes to the machine, so the
// nucleus may hold its lock while it calls any method that is not marked as
// slow.
package machine

import (
	"math/bits"
	"strconv"

	"hythe/abi"
)

// Handle is a counted reference to something of the host that can be handed to
// a task: the storage of a memory object, a doorbell, the far end of a channel.
type Handle interface {
	// Retain adds a reference.
	Retain()
	// Release drops one; the last closes the thing on the host.
	Release()
}

// Datagram is one unit on a task's control channel: an abi.CallHeader, inline
// bytes, and handles that travel beside it.
type Datagram struct {
	Bytes   []byte
	Handles []Handle
}

// Exit says how a context ended.
type Exit struct {
	// Code is the exit code; meaningless when Signal is not 0.
	Code int
	// Signal is the host's signal number, 0 if the process ended by itself
	// or the host does not tell (guest tasks).
	Signal int
	// Reason is for the log: why the machine ended it, if it did.
	Reason string
}

// Sink receives what happens on one channel.
type Sink interface {
	// Datagram hands over one datagram; the sink owns its handles, and has its
	// bytes until it returns.
	Datagram(d Datagram)
	// Exited is the last call: the other end is gone. All datagrams that it
	// had sent have been handed over.
	Exited(e Exit)
}

// Processors is a set of processors of the host: bit i%64 of word i/64 is number i.
type Processors [MaxProcessors / 64]uint64

// MaxProcessors bounds the numbers of processors.
const MaxProcessors = abi.MaxCPUs

// Len is how many there are.
func (p *Processors) Len() int {
	n := 0
	for _, w := range p {
		n += bits.OnesCount64(w)
	}
	return n
}

// Has says whether number i is one.
func (p *Processors) Has(i int) bool { return p[i/64]>>(i%64)&1 != 0 }

// Add adds number i.
func (p *Processors) Add(i int) { p[i/64] |= 1 << (i % 64) }

// String lists the numbers, as in "0-2,5".
func (p Processors) String() string {
	var s []byte
	for i := 0; i < MaxProcessors; i++ {
		if !p.Has(i) {
			continue
		}
		first := i
		for i+1 < MaxProcessors && p.Has(i+1) {
			i++
		}
		if s != nil {
			s = append(s, ',')
		}
		s = strconv.AppendInt(s, int64(first), 10)
		if i > first {
			s = strconv.AppendInt(append(s, '-'), int64(i), 10)
		}
	}
	return string(s)
}

// And is what is in both.
func (p Processors) And(q Processors) Processors {
	for i := range p {
		p[i] &= q[i]
	}
	return p
}

// Policy is how the host schedules a flow of control.
type Policy struct {
	Class                     uint32 // abi.Class...
	Nice                      int32  // of those that share: -20 to 19
	Priority                  uint32 // fixed: 1 to 99
	Runtime, Deadline, Period uint64 // ns
	Reset                     bool   // what it begins or forks is of the normal class
}

// Scheduling is what a machine's tasks may be given.
type Scheduling struct {
	Classes  uint32 // bits 1<<abi.Class...
	Nice     int32  // the lowest value
	Priority uint32 // the highest fixed one
	Own      Policy // how all begin
}

// Info is the use of the host by a context.
type Info struct {
	Pid      uint64 // the host's number of the process, for people
	Resident uint64 // bytes
	UserNS   uint64
	SystemNS uint64
	Command  string
	// Of its first flow of control.
	Policy Policy
	Runs   Processors
}

// Context is one host process as the nucleus holds it: a channel to it and
// power over it.
type Context interface {
	// Post sends a datagram. It never blocks: what the host does not take is
	// queued. A full queue returns false and sends nothing; the nucleus then
	// refuses the call (guest) or ends the server (its estate keeps all).
	// The context retains the handles as long as it needs them, and copies the
	// bytes that it keeps.
	Post(d Datagram) bool
	// Kill ends the process; Sink.Exited follows. Killing twice is harmless.
	Kill(reason string)
	// Kick interrupts one flow of control of the process, by the id that it
	// has inside its machine, or the first one, 0. False: there is none with this id. Slow.
	Kick(thread uint64) bool
	// Take is another handle of what the process has open under a number. Slow.
	Take(fd uint64) (Handle, bool)
	// Pace is for a channel whose other end is not trusted to read: as long as
	// something waits to be sent to it, nothing is read from it. CallHello means
	// nothing on it.
	Pace()
	// Info, CPU, Maps and ReadMemory are slow (they ask the host); false or an
	// empty answer when the process is gone.
	Info() (Info, bool)
	// CPU is the processor time, in ns, that the process has used, or one flow
	// of control of it (0: all). Of one that runs it may be some ms behind.
	CPU(thread uint64) (ns uint64, ok bool)
	// Maps is the host's map of the process, as text, without what belongs to
	// the emulation library; with detail each line is followed by the memory
	// that it takes.
	Maps(detail bool) []byte
	// ReadMemory copies len(p) bytes at addr and returns how many it could.
	ReadMemory(addr uint64, p []byte) int
	// WriteMemory stores p at addr, also where the process itself may not write but
	// in memory that it shares, and returns how many bytes it could. Slow.
	WriteMemory(addr uint64, p []byte) int
	// SetProcessors is where the process's flows of control, or one of them, and what
	// they begin or fork from then on, run. An error of package abi: ESRCH, EINVAL none of
	// p is there. Slow.
	SetProcessors(thread uint64, p Processors) error
	// SetPolicy is how the process's flows of control, or one of them, are scheduled, and
	// what they begin or fork from then on. An error of package abi: ESRCH, EPERM the host
	// refuses, EBUSY it has no such share left, EINVAL. Slow.
	SetPolicy(thread uint64, p Policy) error
	// Close is told when the nucleus has seen Exited or gives the channel up.
	Close()
}

// Isolation says from which of the host's name spaces a server is cut off.
type Isolation uint32

// Kinds of isolation.
const (
	IsolateUser  Isolation = 1 << iota // user ids and capabilities
	IsolateMount                       // mounts
	IsolateIPC
	IsolateUTS
	IsolateNet
	IsolatePID
)

// IsolateDefault is right for a server that gets all it needs through its
// channel.
const IsolateDefault = IsolateUser | IsolateMount | IsolateIPC | IsolateUTS | IsolateNet | IsolatePID

// ServerSpec says how the host process of a server is made.
type ServerSpec struct {
	// Name selects the server in the binary ("unix", "overlay").
	Name string
	// Args follow the name on its command line.
	Args []string
	// Program is the program that it executes, nil for the running one.
	Program Handle
	// Files are given to it as descriptors 4, 5, ... in this order.
	Files []Handle
	// Channels are the far ends of further control channels (NewChannel), of servers that
	// run in the same process: its descriptors behind those of Files. Their contexts stand
	// for this process, and end with it.
	Channels []Handle
	// Isolation is what it is cut off from. Without IsolateUser a server of an
	// ordinary user is cut off from nothing by name spaces. A machine that cannot cut off
	// something refuses, unless Lenient.
	Isolation Isolation
	// KeepUser leaves the server the invoking user's rights on host files.
	KeepUser bool
	// Lenient starts the server with less isolation if the host lacks it.
	Lenient bool
	// Log takes each line that the process writes to its standard error.
	Log func(line string)
}

// FaultSink hears what happens to memory that is watched. It is called on a goroutine of
// the machine's, for one watch by one at a time, in the order in which things happened.
type FaultSink interface {
	// Fault: a thread waits for a page that is not there, or that is locked and to be
	// written.
	Fault(addr uint64, write, locked bool)
	// Unmapped and Moved: the task has unmapped a part, or has it at another address.
	Unmapped(addr, n uint64)
	Moved(from, to, n uint64)
}

// Faults is power over who waits for pages in one address space. What is asked of it is
// done in the order in which it was asked, and done is called then, never by the caller:
// the task could keep the host waiting. An error says that the task has made something
// else of its memory, or that the host cannot; it is none that the address space is gone.
type Faults interface {
	// Wake lets who waits for pages look again, at once.
	Wake(addr, n uint64)
	// Protect forbids to write them, until it is taken back: who tries waits.
	Protect(addr, n uint64, on bool, done func(error))
	// Poison makes it an error to touch those that are not there, for who waits too.
	Poison(addr, n uint64, done func(error))
	// Close: no call of the sink begins any more, but for one that is under way.
	Close()
}

// Timer is a pending After.
type Timer interface {
	// Stop forbids the call if it has not begun; it never waits.
	Stop()
}

// Machine is the host.
type Machine interface {
	// NewObject makes zero-filled storage of size bytes (sparse: it costs what
	// is touched). The name is for people. Unless it shrinks, nobody can take
	// from it what another has mapped; if it does, an access behind its end is
	// a fault in every mapping, so nobody of ours maps it.
	NewObject(size uint64, name string, shrinks bool) (Handle, error)
	// ObjectSize is the size in bytes of storage, 0 of a connection between the machine and others, and of what
	// tells which of these are ready (nobody can map those); false if h is neither.
	ObjectSize(h Handle) (uint64, bool)
	// ReadOnly makes another handle to the same storage that can never be
	// used to write.
	ReadOnly(h Handle) (Handle, error)
	// Freeze forbids writing by anybody, for good. It fails while a writable
	// mapping exists.
	Freeze(h Handle) error
	// WatchFaults tells the sink what happens to n bytes at base of a task's memory; h is
	// what the task made for that, which stands for its address space. Slow: the task can
	// keep it waiting. ENOSYS and the like where the host has no such thing.
	WatchFaults(h Handle, base, n uint64, sink FaultSink) (Faults, error)
	// FillPages makes pages of storage that are not there zeros, StorePages stores bytes,
	// each page as a whole to who touches it meanwhile, PunchPages takes pages away, from
	// all mappings too. AbsentPages is how many bytes from off on, n at most, are not there.
	FillPages(h Handle, off, n uint64) error
	StorePages(h Handle, off uint64, b []byte) error
	AbsentPages(h Handle, off, n uint64) uint64
	PunchPages(h Handle, off, n uint64) error
	// NewDoorbell makes a doorbell.
	NewDoorbell() (Handle, error)
	// FormatBinding writes an empty abi.BindHeader for slots slots into the
	// storage h, which is fresh.
	FormatBinding(h Handle, slots uint32) error
	// Requests counts the slots of a binding that hold a request without an
	// answer, but for abi.KindStart, which waits in a spare task for its program. Slow (it asks the host): for people.
	Requests(h Handle, slots uint32) int

	// NewChannel makes a control channel: the near end is a Context without a
	// process, the far end a handle that is given to one. Datagrams can be
	// posted at once. If all far ends are closed before a process is known,
	// the sink sees Exited.
	NewChannel(sink Sink) (Context, Handle, error)
	// StartServer makes a host process on the far end of ctx's channel. Slow.
	StartServer(ctx Context, far Handle, spec ServerSpec) error
	// Spawn makes a fresh guest task on the far end, with the message area
	// and the doorbell of its binding. The task introduces itself by
	// abi.CallHello on the channel.
	Spawn(far, area, doorbell Handle) error

	// Processors are those on which the machine's tasks run.
	Processors() Processors
	// Scheduling is what tasks may be given: by how the machine was made, and by the host.
	Scheduling() Scheduling
	// Now is the host's monotonic time in nanoseconds, which every task can read by itself
	// (CLOCK_MONOTONIC).
	Now() uint64
	// After calls f once, ns nanoseconds from now, on the machine's goroutine.
	After(ns uint64, f func()) Timer
	// Go calls f once, soon, outside the caller's own call and not on the
	// goroutine that calls sinks: f may be slow and may call the nucleus.
	Go(f func())
}
