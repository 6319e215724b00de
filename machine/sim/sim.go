// Package sim is a machine without a host: its clock moves when it is told to,
// its processes are what a test makes of their channels, and each of its
// operations can be told to fail. Everything happens on the caller's goroutine
// and in the same order each time.
package sim

import (
	"errors"
	"slices"

	"hythe/abi"
	"hythe/machine"
)

// Operations that FailNext can make fail.
const (
	OpObject   = "object"
	OpReadOnly = "read-only"
	OpDoorbell = "doorbell"
	OpFormat   = "format"
	OpChannel  = "channel"
	OpServer   = "server"
	OpSpawn    = "spawn"
	OpFill     = "fill"
	OpSchedule = "schedule"
)

// ErrInjected is what an operation that was told to fail returns.
var ErrInjected = errors.New("sim: injected fault")

// Kinds of handle.
const (
	KindObject = iota
	KindDoorbell
	KindEnd    // the far end of a channel
	KindFaults // what tells of faults
)

// Handle is a thing of this machine.
type Handle struct {
	m    *Machine
	refs int
	Kind int
	// Objects: Storage is shared by a handle and its read-only ones.
	Storage  *Storage
	ReadOnly bool
	// Ends.
	Channel *Channel
	Faults  *Faults
}

// Storage is the storage of a memory object. It has no bytes.
type Storage struct {
	Size    uint64
	Name    string
	Shrinks bool
	Frozen  bool
	Mapped  int // writable mappings that a test says exist
	Slots   uint32
	// Filled and Punched are ranges: offset and length.
	Filled, Punched [][2]uint64
	// Requests is how many slots hold a request, as a test says.
	Requests int
}

// Retain implements machine.Handle.
func (h *Handle) Retain() {
	if h.refs <= 0 {
		panic("sim: a handle is retained after its end")
	}
	h.refs++
}

// Release implements machine.Handle.
func (h *Handle) Release() {
	if h.refs <= 0 {
		panic("sim: a handle is released too often")
	}
	h.refs--
	if h.refs == 0 {
		h.m.live--
		if c := h.Channel; c != nil && !c.Process {
			c.end(machine.Exit{Reason: "the far end is closed"})
		}
	}
}

// Machine implements machine.Machine.
type Machine struct {
	now     uint64
	timers  []*timer
	nextSeq uint64
	events  []func()
	live    int
	fail    map[string]int
	none    map[string]bool
	// CPUs are the processors of this machine.
	CPUs machine.Processors
	// May is what Scheduling answers.
	May machine.Scheduling
	// Scheduled is how often SetPolicy was asked for.
	Scheduled int
	// Slow, if it is set, is called before a context does what is slow on a host: nobody
	// should hold what others wait for.
	Slow func()
	// Channels are all that were made, in order.
	Channels []*Channel
	// Pick chooses which of n things that happened is handed over next (0 is the
	// first); nil hands them over in order.
	Pick func(n int) int
	// OnSpawn is told of a fresh guest task: its channel, and the area and
	// doorbell, which it may retain.
	OnSpawn func(c *Channel, area, doorbell *Handle)
	// OnServer is told of a new server process.
	OnServer func(c *Channel, spec machine.ServerSpec)
}

// New makes a machine at time 0.
func New() *Machine {
	return &Machine{fail: map[string]int{}, none: map[string]bool{}, CPUs: machine.Processors{0xf},
		May: machine.Scheduling{Classes: 1<<abi.ClassNormal | 1<<abi.ClassBatch | 1<<abi.ClassIdle}}
}

// FailNext makes the n-th next use of an operation fail (1 is the next).
func (m *Machine) FailNext(op string, n int) { m.fail[op] = n }

// Exhaust makes every use of an operation fail, until it is told otherwise: the
// host has no memory, no descriptors, no processes left.
func (m *Machine) Exhaust(op string, on bool) { m.none[op] = on }

func (m *Machine) fails(op string) bool {
	if m.none[op] {
		return true
	}
	if m.fail[op] == 0 {
		return false
	}
	m.fail[op]--
	return m.fail[op] == 0
}

// Live is how many handles have a reference: none is left when all is over.
func (m *Machine) Live() int { return m.live }

func (m *Machine) handle(kind int) *Handle {
	m.live++
	return &Handle{m: m, refs: 1, Kind: kind}
}

// NewObject implements machine.Machine.
func (m *Machine) NewObject(size uint64, name string, shrinks bool) (machine.Handle, error) {
	if m.fails(OpObject) {
		return nil, ErrInjected
	}
	h := m.handle(KindObject)
	h.Storage = &Storage{Size: size, Name: name, Shrinks: shrinks}
	return h, nil
}

// ObjectSize implements machine.Machine.
func (m *Machine) ObjectSize(h machine.Handle) (uint64, bool) {
	if s := h.(*Handle).Storage; s != nil {
		return s.Size, true
	}
	return 0, false
}

// ReadOnly implements machine.Machine.
func (m *Machine) ReadOnly(h machine.Handle) (machine.Handle, error) {
	if m.fails(OpReadOnly) {
		return nil, ErrInjected
	}
	r := m.handle(KindObject)
	r.Storage, r.ReadOnly = h.(*Handle).Storage, true
	return r, nil
}

// Freeze implements machine.Machine.
func (m *Machine) Freeze(h machine.Handle) error {
	s := h.(*Handle).Storage
	if s.Mapped > 0 {
		return abi.EBUSY
	}
	s.Frozen = true
	return nil
}

// NewDoorbell implements machine.Machine.
func (m *Machine) NewDoorbell() (machine.Handle, error) {
	if m.fails(OpDoorbell) {
		return nil, ErrInjected
	}
	return m.handle(KindDoorbell), nil
}

// FormatBinding implements machine.Machine.
func (m *Machine) FormatBinding(h machine.Handle, slots uint32) error {
	if m.fails(OpFormat) {
		return ErrInjected
	}
	h.(*Handle).Storage.Slots = slots
	return nil
}

// Requests implements machine.Machine.
func (m *Machine) Requests(h machine.Handle, _ uint32) int { return h.(*Handle).Storage.Requests }

// Channel is a control channel: a machine.Context for the nucleus, and for the
// test the task at its far end.
type Channel struct {
	m    *Machine
	sink machine.Sink
	// Process: a process has the far end.
	Process bool
	// Killed and Kicked are what the nucleus did to it.
	Killed bool
	Kicked []uint64
	// Capacity is how many datagrams may wait unread; 0 is no bound.
	Capacity int
	// Hear, if it is set, takes what is posted in place of Next. It has the bytes
	// until it returns.
	Hear func(d machine.Datagram)
	// Threads are the ids that can be kicked, beside the first thread's, 0.
	Threads []uint64
	// Runs is where each of its threads may run (0: those that were not named); nil if
	// nobody said.
	Runs map[uint64]machine.Processors
	// Policies is how each of its threads is scheduled, as Runs.
	Policies map[uint64]machine.Policy
	// Memory is what ReadMemory reads, from address MemoryAt.
	Memory   []byte
	MemoryAt uint64
	// Open is what the process has open, by number.
	Open   map[uint64]machine.Handle
	closed bool
	ended  bool
	inbox  []machine.Datagram
}

// NewChannel implements machine.Machine.
func (m *Machine) NewChannel(sink machine.Sink) (machine.Context, machine.Handle, error) {
	if m.fails(OpChannel) {
		return nil, nil, ErrInjected
	}
	c := &Channel{m: m, sink: sink}
	h := m.handle(KindEnd)
	h.Channel = c
	m.Channels = append(m.Channels, c)
	return c, h, nil
}

// StartServer implements machine.Machine.
func (m *Machine) StartServer(ctx machine.Context, _ machine.Handle, spec machine.ServerSpec) error {
	if m.fails(OpServer) {
		return ErrInjected
	}
	c := ctx.(*Channel)
	c.Process = true
	if m.OnServer != nil {
		m.OnServer(c, spec)
	}
	return nil
}

// Spawn implements machine.Machine.
func (m *Machine) Spawn(far, area, doorbell machine.Handle) error {
	if m.fails(OpSpawn) {
		return ErrInjected
	}
	c := far.(*Handle).Channel
	c.Process = true
	if m.OnSpawn != nil {
		m.OnSpawn(c, area.(*Handle), doorbell.(*Handle))
	}
	return nil
}

// Adopt says that a process took the far end that came in an EventChannel.
func (c *Channel) Adopt() { c.Process = true }

// Post implements machine.Context.
func (c *Channel) Post(d machine.Datagram) bool {
	if c.ended {
		return true
	}
	if c.Capacity > 0 && len(c.inbox) >= c.Capacity {
		return false
	}
	if c.Hear != nil {
		c.Hear(d)
		return true
	}
	d.Bytes, d.Handles = slices.Clone(d.Bytes), slices.Clone(d.Handles)
	for _, h := range d.Handles {
		h.Retain()
	}
	c.inbox = append(c.inbox, d)
	return true
}

// Next is the task's next unread datagram; its handles are the caller's.
func (c *Channel) Next() (machine.Datagram, bool) {
	if len(c.inbox) == 0 {
		return machine.Datagram{}, false
	}
	d := c.inbox[0]
	c.inbox = c.inbox[1:]
	return d, true
}

// Send is the task's: a datagram to the nucleus. Nothing comes of it when the
// task has ended.
func (c *Channel) Send(b []byte, hs ...machine.Handle) {
	if c.ended || c.closed {
		for _, h := range hs {
			h.Release()
		}
		return
	}
	c.sink.Datagram(machine.Datagram{Bytes: b, Handles: hs})
}

// Die ends the task's process; the nucleus hears of it in Run.
func (c *Channel) Die(e machine.Exit) { c.end(e) }

func (c *Channel) end(e machine.Exit) {
	if c.ended {
		return
	}
	c.ended = true
	for _, d := range c.inbox {
		for _, h := range d.Handles {
			h.Release()
		}
	}
	c.inbox = nil
	c.m.events = append(c.m.events, func() {
		if !c.closed {
			c.sink.Exited(e)
		}
	})
}

// Ended says that the process is gone.
func (c *Channel) Ended() bool { return c.ended }

// Kill implements machine.Context.
func (c *Channel) Kill(reason string) {
	c.Killed = true
	c.end(machine.Exit{Signal: 9, Reason: reason})
}

func (c *Channel) slow() {
	if f := c.m.Slow; f != nil {
		f()
	}
}

// Kick implements machine.Context.
func (c *Channel) Kick(thread uint64) bool {
	c.slow()
	if c.ended || thread != 0 && !slices.Contains(c.Threads, thread) {
		return false
	}
	c.Kicked = append(c.Kicked, thread)
	return true
}

// Pace implements machine.Context. A test sends when it likes.
func (c *Channel) Pace() {}

// Info implements machine.Context.
func (c *Channel) Info() (machine.Info, bool) {
	c.slow()
	return machine.Info{Pid: uint64(1 + slices.Index(c.m.Channels, c)), Command: "sim"}, !c.ended
}

// CPU implements machine.Context.
func (c *Channel) CPU(thread uint64) (uint64, bool) {
	c.slow()
	return 1000 + thread, !c.ended && (thread == 0 || slices.Contains(c.Threads, thread))
}

// Maps implements machine.Context.
func (c *Channel) Maps(bool) []byte {
	c.slow()
	return []byte("sim\n")
}

// ReadMemory implements machine.Context.
func (c *Channel) ReadMemory(addr uint64, p []byte) int {
	c.slow()
	if c.ended || addr < c.MemoryAt || addr-c.MemoryAt >= uint64(len(c.Memory)) {
		return 0
	}
	return copy(p, c.Memory[addr-c.MemoryAt:])
}

// WriteMemory implements machine.Context.
func (c *Channel) WriteMemory(addr uint64, p []byte) int {
	c.slow()
	if c.ended || addr < c.MemoryAt || addr-c.MemoryAt >= uint64(len(c.Memory)) {
		return 0
	}
	return copy(c.Memory[addr-c.MemoryAt:], p)
}

// thread says whether the process has it; 0 is all.
func (c *Channel) thread(id uint64) bool {
	return !c.ended && (id == 0 || slices.Contains(c.Threads, id))
}

// SetProcessors implements machine.Context.
func (c *Channel) SetProcessors(thread uint64, p machine.Processors) error {
	c.slow()
	switch {
	case !c.thread(thread):
		return abi.ESRCH
	case c.m.fails(OpSchedule), p == machine.Processors{}:
		return abi.EINVAL
	}
	if thread == 0 {
		c.Runs = nil
	}
	if c.Runs == nil {
		c.Runs = map[uint64]machine.Processors{}
	}
	c.Runs[thread] = p
	return nil
}

// SetPolicy implements machine.Context.
func (c *Channel) SetPolicy(thread uint64, p machine.Policy) error {
	c.slow()
	c.m.Scheduled++
	switch {
	case !c.thread(thread):
		return abi.ESRCH
	case c.m.fails(OpSchedule):
		return abi.EPERM
	}
	if thread == 0 {
		c.Policies = nil
	}
	if c.Policies == nil {
		c.Policies = map[uint64]machine.Policy{}
	}
	c.Policies[thread] = p
	return nil
}

// Scheduling implements machine.Machine.
func (m *Machine) Scheduling() machine.Scheduling { return m.May }

// Processors implements machine.Machine.
func (m *Machine) Processors() machine.Processors { return m.CPUs }

// Close implements machine.Context.
func (c *Channel) Close() {
	c.closed = true
	if !c.ended {
		c.end(machine.Exit{})
	}
}

type timer struct {
	at, seq uint64
	f       func()
}

type stopper struct {
	m *Machine
	t *timer
}

// Stop implements machine.Timer.
func (s stopper) Stop() {
	if i := slices.Index(s.m.timers, s.t); i >= 0 {
		s.m.timers = slices.Delete(s.m.timers, i, i+1)
	}
}

// Now implements machine.Machine.
func (m *Machine) Now() uint64 { return m.now }

// After implements machine.Machine.
func (m *Machine) After(ns uint64, f func()) machine.Timer {
	m.nextSeq++
	t := &timer{at: m.now + ns, seq: m.nextSeq, f: f}
	if t.at < m.now {
		t.at = ^uint64(0)
	}
	i, _ := slices.BinarySearchFunc(m.timers, t, func(a, b *timer) int {
		if a.at < b.at || a.at == b.at && a.seq < b.seq {
			return -1
		}
		return 1
	})
	m.timers = slices.Insert(m.timers, i, t)
	return stopper{m, t}
}

// Go implements machine.Machine: f is called in Run.
func (m *Machine) Go(f func()) { m.events = append(m.events, f) }

// Run hands over everything that happened, in order, and what comes of it.
func (m *Machine) Run() {
	for m.Step() {
	}
}

// Step hands over one thing that happened; false if there is none.
func (m *Machine) Step() bool {
	n := len(m.events)
	if n == 0 {
		return false
	}
	i := 0
	if m.Pick != nil {
		i = m.Pick(n)
	}
	f := m.events[i]
	m.events = slices.Delete(m.events, i, i+1)
	f()
	return true
}

// Advance moves the clock by ns and runs the timers that fall due, in order.
func (m *Machine) Advance(ns uint64) {
	end := m.now + ns
	m.Run()
	for len(m.timers) > 0 && m.timers[0].at <= end {
		t := m.timers[0]
		m.timers = m.timers[1:]
		m.now = t.at
		t.f()
		m.Run()
	}
	m.now = end
}

var _ machine.Machine = (*Machine)(nil)
