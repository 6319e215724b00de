// Package nucleus is Hythe's microkernel: tasks, ports, messages, memory objects,
// bindings, and the lives of servers, over a machine. It names no file, no user
// and no personality.
//
// Locking: Kernel.mu guards everything in this package and below; each call
// of a task and each event of the machine takes it once (enter, leave). Slow
// questions to the host and the supervisor's hooks run elsewhere (machine.Go).
package nucleus

import (
	"sync"

	"hythe/abi"
	"hythe/machine"
	"hythe/nucleus/message"
	"hythe/nucleus/port"
	"hythe/nucleus/vm"
)

// Limits bound what one task may hold; 0 takes the default.
type Limits struct {
	Names    int // rights and objects (65536)
	Bindings int // as a server (8192)
	Sessions int // bindings as a client (1024)
	Waiting  int // calls that wait: receives and blocked sends (1024)
	Tasks    int // guest tasks that one server made (4096)
	Memory   int // bytes of the nucleus's that it pays for: Server.Budget (256 MiB)
	// The same of guest tasks that make calls (docs/decisions/0007), and what all of
	// these together may make the nucleus keep.
	GuestNames   int // (4096)
	GuestWaiting int // (64)
	GuestMemory  int // (8 MiB)
	GuestsMemory int // (256 MiB)
}

// Hooks are the supervisor's. They are called one at a time, in order, on a
// goroutine of their own (Supervise: each on its own), without the nucleus's
// lock: they may be slow and may call the Kernel.
type Hooks struct {
	// Dead: the server's process ended. Its estate waits for Server.Start. Not called
	// for one that had a successor (Server.Replace).
	Dead func(s *Server, e machine.Exit)
	// Ready: the server said that it serves.
	Ready func(s *Server)
	// Wanted: a message or a binding waits for a server that does not run.
	// Called once for each time the server is not running.
	Wanted func(s *Server)
	// Log takes one line for the machine's log.
	Log func(s *Server, level int, line string)
	// Traffic, if it is set, is told of messages between ports. The lock is held: it
	// does not block, and calls nothing of the Kernel.
	Traffic func(Traffic)
	// Supervise answers CallSupervise.
	Supervise func(s *Server, request []byte) ([]byte, abi.Errno)
}

// Kernel is one machine's nucleus.
type Kernel struct {
	m      machine.Machine
	hooks  Hooks
	limits Limits

	mu       sync.Mutex
	ports    *port.System
	objects  *vm.Table
	tasks    map[uint64]*task
	bindings map[uint64]*binding
	nextTask uint64
	nextBind uint64
	later    []func() // hooks to call, in order
	hooking  bool     // somebody calls them
	// Room that one call after the other uses.
	out     []byte
	in, has message.Msg
	claims  []port.Claim
	calls   []*call
	waiters []*waiter
	results []byte // of a batch
	stopped bool
	pagers  []*pager // of all paged objects
	fewer   []*pager // those whose object fewer have
	guests  int      // bytes that guest tasks pay for
	alarms  alarms
	sets    []*processors // but the default set
	inheritance
}

// New makes a nucleus over m.
func New(m machine.Machine, limits Limits, hooks Hooks) *Kernel {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&limits.Names, 65536)
	def(&limits.Bindings, 8192)
	def(&limits.Sessions, 1024)
	def(&limits.Waiting, 1024)
	def(&limits.Tasks, 4096)
	def(&limits.Memory, 256<<20)
	def(&limits.GuestNames, 4096)
	def(&limits.GuestWaiting, 64)
	def(&limits.GuestMemory, 8<<20)
	def(&limits.GuestsMemory, 256<<20)
	k := &Kernel{m: m, hooks: hooks, limits: limits,
		ports: port.NewSystem(), objects: vm.NewTable(m),
		tasks: map[uint64]*task{}, bindings: map[uint64]*binding{}}
	k.ports.Charge = func(payer any, n int) { k.charge(payer.(*task), n) }
	k.objects.Charge = k.ports.Charge
	k.objects.Gone, k.objects.Dropped = k.unpaged, k.dropped
	return k
}

// charge adds n bytes to what a task pays for.
func (k *Kernel) charge(t *task, n int) {
	t.used += n
	if t.guest {
		k.guests += n
	}
	if t.urgent {
		k.uneven()
	}
}

// affords says whether a task's budget has room for n bytes more.
func (k *Kernel) affords(t *task, n int) bool {
	if t.guest {
		return t.used+n <= k.limits.GuestMemory && k.guests+n <= k.limits.GuestsMemory
	}
	return t.used+n <= k.limits.Memory
}

// waiting is how many calls of a task may wait.
func (k *Kernel) waiting(t *task) int {
	if t.guest {
		return k.limits.GuestWaiting
	}
	return k.limits.Waiting
}

func (k *Kernel) enter() { k.mu.Lock() }

// leave carries out what the call brought about and releases the lock.
func (k *Kernel) leave() {
	k.settle()
	start := len(k.later) > 0 && !k.hooking
	if start {
		k.hooking = true
	}
	k.mu.Unlock()
	if start {
		k.m.Go(k.callHooks)
	}
}

// callHooks calls hooks one after the other, in the order of their causes.
func (k *Kernel) callHooks() {
	for {
		k.mu.Lock()
		if len(k.later) == 0 {
			k.hooking = false
			k.mu.Unlock()
			return
		}
		f := k.later[0]
		k.later = k.later[1:]
		k.mu.Unlock()
		f()
	}
}

// settle works off the lists of the port system until nothing is left.
func (k *Kernel) settle() {
	for {
		k.ports.Settle()
		switch {
		case len(k.ports.Failed) > 0:
			w := k.ports.Failed[0].(*waiter)
			k.ports.Failed = k.ports.Failed[1:]
			k.finish(w, abi.EPIPE)
		case len(k.ports.Events) > 0:
			e := k.ports.Events[0]
			k.ports.Events = k.ports.Events[1:]
			if t := e.Space.Task.(*task); t.caller() != nil {
				h := abi.CallHeader{Op: abi.EventDead}
				h.A = [6]uint64{uint64(e.Name), uint64(e.Kind), e.Count}
				t.post(&h, nil, nil)
			}
		case len(k.ports.Silenced) > 0:
			a := k.ports.Silenced[0].(*alarm)
			k.ports.Silenced = k.ports.Silenced[1:]
			k.silenced(a)
		case len(k.ports.Gone) > 0:
			gone := k.ports.Gone[0]
			k.ports.Gone = k.ports.Gone[1:]
			t, ok := gone.(*task)
			if !ok {
				k.dissolve(gone.(*processors))
			} else if t.guest && t.self.Sends == 0 && t.ctx != nil {
				// Nobody can name it any more, so nobody could end it.
				t.ctx.Kill("no right to the task is left")
			}
		case len(k.ports.Orphans) > 0:
			p := k.ports.Orphans[0]
			k.ports.Orphans = k.ports.Orphans[1:]
			k.orphaned(p)
		case len(k.fewer) > 0:
			p := k.fewer[0]
			k.fewer = k.fewer[1:]
			k.lonely(p)
		default:
			p, ok := k.ports.NextTouched()
			if !ok {
				return
			}
			k.serve(p)
		}
	}
}

// serve matches a port's messages with those who wait for them, and lets
// blocked senders in.
func (k *Kernel) serve(p *port.Port) {
	if p.Dead || p.Kernel != nil {
		return
	}
	for {
		if tok, ok := k.ports.Admit(p); ok {
			if tok != nil {
				k.finish(tok.(*waiter), 0)
			}
			continue
		}
		if p.Queue.Len() == 0 || p.Holder == nil {
			return
		}
		t := p.Holder.Task.(*task)
		tok, ok := p.Readers.PopFront()
		if !ok && p.Set != nil {
			tok, ok = p.Set.Readers.PopFront()
		}
		if !ok {
			k.want(t)
			return
		}
		w := tok.(*waiter)
		k.endWait(w)
		id, sent := w.id, w.sent
		k.freeWaiter(w)
		k.deliver(t, id, p, sent)
	}
}

// want tells the supervisor, once, that a server that does not run is needed.
func (k *Kernel) want(t *task) {
	if t.guest || t.ctx != nil || t.wanted || t.gone || k.stopped {
		return
	}
	t.wanted = true
	if f := k.hooks.Wanted; f != nil {
		s := t.server
		k.later = append(k.later, func() { f(s) })
	}
}

func (k *Kernel) log(t *task, level int, line string) {
	if f := k.hooks.Log; f != nil {
		s := t.server
		k.later = append(k.later, func() { f(s, level, line) })
	}
}

// link is one incarnation's channel; what comes on the link of an earlier one
// is not the task's any more.
type link struct {
	k     *Kernel
	t     *task
	ports bool // a guest task's ports channel
}

// current says whether the link is the task's.
func (l *link) current() bool {
	if l.ports {
		return l.t.ports != nil && l.t.portsLink == l
	}
	return l.t.ctx != nil && l.t.link == l
}

// Datagram implements machine.Sink.
func (l *link) Datagram(d machine.Datagram) { l.k.handle(l, d) }

// Exited implements machine.Sink.
func (l *link) Exited(e machine.Exit) {
	l.k.enter()
	defer l.k.leave()
	switch {
	case l.ports && l.current():
		l.k.shutPorts(l.t)
	case !l.ports && l.t.link == l:
		l.k.ended(l.t, e)
	case l.t.server != nil:
		l.t.server.lost(l)
	}
}

// call is one call of a task while it is carried out.
type call struct {
	abi.CallHeader
	inline  []byte
	handles []machine.Handle
	from    *link
	// The answer.
	out   [6]uint64
	data  []byte
	fds   []machine.Handle
	owned []machine.Handle // released once the answer is posted
	// wait: the answer comes later.
	wait bool
	// slow runs after the lock is released and gives the answer.
	slow func(c *call) abi.Errno
}

// handle carries out one datagram of a task and answers it.
func (k *Kernel) handle(l *link, d machine.Datagram) {
	defer func() {
		for _, h := range d.Handles {
			h.Release()
		}
	}()
	k.enter()
	defer k.leave()
	t := l.t
	if !l.current() {
		return
	}
	c := k.newCall()
	c.handles, c.from = d.Handles, l
	h, inline, ok := message.GetCall(d.Bytes)
	c.CallHeader, c.inline = h, inline
	if t.guest && !l.ports {
		// On its control channel a guest may introduce itself, and the machine
		// looked at that already.
		k.greeted(l, c)
		k.freeCall(c)
		return
	}
	err := abi.EINVAL
	if ok && int(h.NFds) == len(d.Handles) {
		err = k.dispatch(t, c)
	}
	if err == 0 && c.slow != nil {
		k.askHost(l, c)
		return
	}
	if !c.wait {
		t.answer(c, err)
	}
	k.freeCall(c)
}

// askHost runs the slow part of a call and answers it then.
func (k *Kernel) askHost(l *link, c *call) {
	t := l.t
	k.m.Go(func() {
		err := c.slow(c)
		k.enter()
		defer k.leave()
		if l.current() {
			t.answer(c, err)
		}
	})
}

func (k *Kernel) newCall() *call {
	n := len(k.calls)
	if n == 0 {
		return &call{}
	}
	c := k.calls[n-1]
	k.calls = k.calls[:n-1]
	return c
}

// freeCall keeps a call that nobody refers to any more; one at a time is under
// way but for those that ask the host.
func (k *Kernel) freeCall(c *call) {
	*c = call{}
	k.calls = append(k.calls, c)
}

func (k *Kernel) dispatch(t *task, c *call) abi.Errno {
	if c.Op >= uint32(len(calls)) || calls[c.Op].run == nil {
		return abi.ENOSYS
	}
	d := &calls[c.Op]
	if t.powers&d.power != d.power || t.guest && !d.guest {
		return abi.EPERM
	}
	if fds := len(c.handles); fds != d.fds && !(d.byNumber && t.guest && fds == 0) || !d.inline && len(c.inline) != 0 {
		return abi.EINVAL
	}
	return d.run(k, t, c)
}

// caller is the channel on which a task makes calls and has its answers, nil if it
// has none.
func (t *task) caller() machine.Context {
	if t.guest {
		return t.ports
	}
	return t.ctx
}

// post answers a task that makes calls. One that does not read is ended: a
// server's estate keeps everything, so nothing is lost, and a guest had no more
// to read than it had asked for.
func (t *task) post(h *abi.CallHeader, inline []byte, fds []machine.Handle) bool {
	if t.sendOn(t.caller(), h, inline, fds) {
		return true
	}
	t.ctx.Kill("it does not read what it asked for")
	return false
}

// tell sends a guest task's library what its server wants it to have; false: it does
// not read.
func (t *task) tell(h *abi.CallHeader, fds []machine.Handle) bool {
	return t.sendOn(t.ctx, h, nil, fds)
}

func (t *task) sendOn(ctx machine.Context, h *abi.CallHeader, inline []byte, fds []machine.Handle) bool {
	h.NFds, h.Len = uint32(len(fds)), uint32(len(inline))
	b := append(message.PutCall(t.k.out[:0], h), inline...)
	t.k.out = b
	return ctx.Post(machine.Datagram{Bytes: b, Handles: fds})
}

// answer replies to a call.
func (t *task) answer(c *call, err abi.Errno) {
	h := abi.CallHeader{Op: abi.EventReply, ID: c.ID, Err: uint32(err)}
	if err == 0 {
		h.A = c.out
		t.post(&h, c.data, c.fds)
	} else {
		t.post(&h, nil, nil)
	}
	for _, f := range c.owned {
		f.Release()
	}
}
