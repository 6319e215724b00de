package nucleus

import (
	"errors"
	"slices"

	"hythe/abi"
	"hythe/machine"
	"hythe/nucleus/port"
)

// Server is a server's task as the supervisor holds it: its process may come and
// go, its rights stay. All methods may be called from any goroutine, not from
// inside another method's callback under the nucleus's lock (Hooks are fine).
type Server struct {
	k       *Kernel
	t       *task
	spec    ServerSpec
	running bool
	ready   bool
	inc     uint64
	// Replace: who waits for the process's end, whether that is told to stop, and, until
	// the new process serves, what the old one's kind was and who wants to know.
	next    *successor
	leaving bool
	back    machine.ServerSpec
	trial   func(error)
}

// ServerSpec says what a server is.
type ServerSpec struct {
	// Name is what the supervisor, the log and the tools call it. The
	// machine's Process.Name may be another (two overlay servers).
	Name string
	// Process is how its host process is made; unused with Attach.
	Process machine.ServerSpec
	Powers  Powers
}

// Errors of the supervisor's interface.
var (
	ErrRunning = errors.New("nucleus: the server runs already")
	ErrGone    = errors.New("nucleus: the server was discarded, or the machine is stopped")
	ErrLimit   = errors.New("nucleus: the server's names are used up")
	ErrConfig  = errors.New("nucleus: the configuration is longer than a datagram holds")
	ErrLabel   = errors.New("nucleus: no receive right with this label")
)

// NewServer makes a server without a process. Ports can be made in it and
// rights given to it at once; messages and bindings to it wait.
func (k *Kernel) NewServer(spec ServerSpec) *Server {
	k.enter()
	defer k.leave()
	t := k.newTask(spec.Name, false)
	t.powers = spec.Powers
	s := &Server{k: k, t: t, spec: spec}
	t.server = s
	return s
}

// Name is the name in the server's spec.
func (s *Server) Name() string { return s.spec.Name }

// SetProcess replaces how the next incarnation's process is made (an upgrade).
func (s *Server) SetProcess(p machine.ServerSpec) {
	s.k.enter()
	defer s.k.leave()
	s.spec.Process = p
}

// State says whether a process runs, whether it said that it serves, and the
// number of the incarnation, from 1.
func (s *Server) State() (running, ready bool, incarnation uint64) {
	s.k.enter()
	defer s.k.leave()
	return s.running, s.ready, s.inc
}

// Info is the use of the host by the server's process; false if there is none.
func (s *Server) Info() (machine.Info, bool) {
	s.k.enter()
	ctx := s.t.ctx
	s.k.leave()
	if ctx == nil {
		return machine.Info{}, false
	}
	return ctx.Info()
}

// Requests is how many requests of the server's clients have no answer yet (a fresh
// task's first one apart): it works on them, lets them wait, or has not seen them. Slow.
func (s *Server) Requests() int {
	s.k.enter()
	var bound []binding
	for _, b := range s.t.bindings {
		if b.server == s.t {
			b.area.Retain()
			bound = append(bound, *b)
		}
	}
	s.k.leave()
	n := 0
	for _, b := range bound {
		n += s.k.m.Requests(b.area, b.slots)
		b.area.Release()
	}
	return n
}

// MakePort makes a port with its receive right and a label in the server.
func (s *Server) MakePort(label string) (abi.Name, error) {
	s.k.enter()
	defer s.k.leave()
	if len(label) > abi.MaxLabel {
		return 0, ErrLimit
	}
	if s.t.gone {
		return 0, ErrGone
	}
	if !s.t.space.Room(1) {
		return 0, ErrLimit
	}
	e := s.t.space.Allocate(s.k.ports, abi.NameNull, s.t)
	e.Port.Label = []byte(label)
	return e.Name, nil
}

// GiveSend gives the server a send right to the port of another one (or of
// itself) that has the label portLabel, and calls the right label: the server
// finds it by this name in what it inherits.
func (s *Server) GiveSend(label string, to *Server, portLabel string) (abi.Name, error) {
	k := s.k
	k.enter()
	defer k.leave()
	if s.t.gone || to.t.gone {
		return 0, ErrGone
	}
	for _, e := range to.t.space.Sorted() {
		if e.Mask&(1<<abi.RightReceive) == 0 || portLabel == "" || string(e.Port.Label) != portLabel {
			continue
		}
		if !s.t.space.Room(1) {
			return 0, ErrLimit
		}
		n, _ := s.t.space.Copyout(k.ports, k.ports.MakeSend(e.Port))
		s.t.space.Entry(n).Label = []byte(label)
		return n, nil
	}
	return 0, ErrLabel
}

// GiveObject gives the server a memory object over a handle of the machine and
// calls it label. It takes the handle's reference.
func (s *Server) GiveObject(label string, h machine.Handle, size uint64, readOnly bool) (abi.Name, error) {
	s.k.enter()
	defer s.k.leave()
	if s.t.gone || !s.t.space.Room(1) {
		h.Release()
		if s.t.gone {
			return 0, ErrGone
		}
		return 0, ErrLimit
	}
	o := s.k.objects.Adopt(h, size, []byte(label))
	return s.t.space.AddObject(o, readOnly).Name, nil
}

// Start begins the next incarnation in a new host process: it inherits
// everything under the same names (EventInherit, EventBinding), then gets
// EventGo with the configuration. Slow: it makes a process. After an error the
// estate is as it was.
func (s *Server) Start(config []byte) error {
	ctx, far, unsaid, err := s.begin(config)
	if err != nil {
		return err
	}
	s.k.enter()
	spec := s.spec.Process
	s.k.leave()
	if spec.Log == nil {
		spec.Log = s.logLine
	}
	err = s.k.m.StartServer(ctx, far, spec)
	far.Release()
	if err != nil {
		s.undo(ctx, unsaid)
	}
	return err
}

// logLine takes what a server's process writes to its standard error.
func (s *Server) logLine(line string) {
	s.k.enter()
	defer s.k.leave()
	s.k.log(s.t, 0, line[:min(len(line), abi.MaxLogLine)])
}

// Attach begins the next incarnation without a process: the caller serves the
// far end of the control channel itself, in the nucleus's own process.
func (s *Server) Attach(config []byte) (machine.Handle, error) {
	_, far, _, err := s.begin(config)
	if err == nil {
		s.k.enter()
		defer s.k.leave()
		s.t.inside = true
	}
	return far, err
}

// Lodge begins the next incarnation in a process that another server has or is given: the
// caller puts the far end of the control channel among the ServerSpec.Channels of that one
// (docs/decisions/0017-placement.md), or releases it, which ends the incarnation.
func (s *Server) Lodge(config []byte) (machine.Handle, error) {
	_, far, _, err := s.begin(config)
	return far, err
}

// begin attaches a channel to the task and tells the new incarnation what it
// has, before there is a process: so nothing can come before it on the channel.
func (s *Server) begin(config []byte) (machine.Context, machine.Handle, []abi.CallHeader, error) {
	k, t := s.k, s.t
	k.enter()
	defer k.leave()
	switch {
	case t.gone || k.stopped:
		return nil, nil, nil, ErrGone
	case s.running:
		return nil, nil, nil, ErrRunning
	}
	if len(config) > abi.MaxInline {
		return nil, nil, nil, ErrConfig
	}
	l := &link{k: k, t: t}
	ctx, far, err := k.m.NewChannel(l)
	if err != nil {
		return nil, nil, nil, err
	}
	return ctx, far, s.introduce(ctx, l, config), nil
}

// introduce makes ctx the task's channel and posts all that the task has. It answers
// the deaths of tasks that nobody was told of before.
func (s *Server) introduce(ctx machine.Context, l *link, config []byte) []abi.CallHeader {
	t := s.t
	s.running, s.ready, s.leaving = true, false, false
	t.ctx, t.link, t.wanted, t.inside = ctx, l, false, false
	s.inc++
	if s.k.urgent > 0 {
		s.k.uneven()
	}
	for _, e := range t.space.Sorted() {
		t.inherit(e)
	}
	for _, b := range t.bindings {
		if b.server == t {
			b.announce(t, abi.RoleServer, s.inc > 1)
		}
		if b.client == t {
			b.announce(t, abi.RoleClient, s.inc > 1)
		}
	}
	for _, a := range t.sorted() {
		h := abi.CallHeader{Op: abi.EventInherit}
		h.A = [6]uint64{a.id, abi.RightAlarm, a.word, a.at}
		t.post(&h, nil, nil)
	}
	h := abi.CallHeader{Op: abi.EventGo}
	h.A[0] = s.inc
	t.post(&h, config, nil)
	unsaid := t.unsaid
	for i := range unsaid {
		t.post(&unsaid[i], nil, nil)
	}
	t.unsaid = nil
	s.k.askAgain(t)
	return unsaid
}

// undo takes a failed start back.
func (s *Server) undo(ctx machine.Context, unsaid []abi.CallHeader) {
	s.k.enter()
	defer s.k.leave()
	if s.t.ctx != ctx {
		return // discarded meanwhile
	}
	s.running = false
	s.t.ctx, s.t.link = nil, nil
	s.t.unsaid = append(unsaid, s.t.unsaid...)
	s.inc--
	ctx.Close()
}

// inherit sends one EventInherit for each right that a name stands for. A2 is
// the size of an object in bytes, else the user references; A3 is 1 for a
// read-only object, and A4 its user references.
func (t *task) inherit(e *port.Entry) {
	for kind := uint8(abi.RightSend); kind <= abi.RightObject; kind++ {
		if e.Mask&(1<<kind) == 0 {
			continue
		}
		h := abi.CallHeader{Op: abi.EventInherit}
		h.A = [6]uint64{uint64(e.Name), uint64(kind), uint64(e.Urefs)}
		label := e.Label
		var fds []machine.Handle
		switch kind {
		case abi.RightReceive:
			label = e.Port.Label
		case abi.RightSend:
			switch e.Port.Kernel.(type) {
			case *task:
				h.A[1] = abi.RightTask
			case *processors:
				h.A[1] = abi.RightCPUs
			}
		case abi.RightObject:
			label = e.Object.Label
			h.A[2], h.A[4] = e.Object.Size, uint64(e.Urefs)
			if e.ReadOnly {
				h.A[3] = 1
			}
			f, err := e.Object.Handle(e.ReadOnly)
			if err != nil {
				// Without the descriptor the server can still ask for it.
				break
			}
			fds = []machine.Handle{f}
		}
		t.post(&h, label, fds)
	}
}

// Stop asks the server to finish (EventStop); its process may take its time.
func (s *Server) Stop() {
	s.k.enter()
	defer s.k.leave()
	if s.t.ctx != nil {
		s.leaving = true
		s.t.post(&abi.CallHeader{Op: abi.EventStop}, nil, nil)
	}
}

// Kill ends the server's process now. Its estate stays.
func (s *Server) Kill(reason string) {
	s.k.enter()
	defer s.k.leave()
	if s.t.ctx != nil {
		s.t.ctx.Kill(reason)
	}
}

// Discard ends the server and its estate: ports die, bindings end, and the tasks
// that it made end too.
func (s *Server) Discard() {
	k := s.k
	k.enter()
	defer k.leave()
	s.alone()
	ctx := s.t.ctx
	for w := range s.t.waits {
		k.cancel(w)
	}
	s.t.ctx, s.t.link = nil, nil
	s.running, s.ready = false, false
	k.remove(s.t)
	if ctx != nil {
		ctx.Kill("discarded")
		ctx.Close()
	}
}

// Budget is how many bytes of the nucleus's the server pays for, and how many it
// may: ports that it made, messages that it sent and that nobody is done with,
// answers that it asked for, sessions (bindings) that it opened.
func (s *Server) Budget() (used, limit int) {
	s.k.enter()
	defer s.k.leave()
	return s.t.used, s.k.limits.Memory
}

// PortInfo describes a name of a server, for tools.
type PortInfo struct {
	Name   abi.Name
	Kinds  uint8 // bits 1<<abi.Right...
	Label  string
	Urefs  uint32
	Queued int
	Sends  int
	Size   uint64
	// Of a receive right.
	Limit    int
	Blocked  int      // messages that wait for room
	Messages uint32   // how many came so far
	Holders  []string // tasks with a send or send-once right, by name
}

// Ports lists the server's names in their order.
func (s *Server) Ports() []PortInfo {
	s.k.enter()
	defer s.k.leave()
	var out []PortInfo
	for _, e := range s.t.space.Sorted() {
		out = append(out, s.t.info(e))
	}
	return out
}

func (t *task) info(e *port.Entry) PortInfo {
	i := PortInfo{Name: e.Name, Kinds: e.Mask, Urefs: e.Urefs, Label: string(e.Label)}
	if e.Object != nil {
		i.Label, i.Size = string(e.Object.Label), e.Object.Size
	}
	if e.Port != nil {
		i.Queued, i.Sends = e.Port.Queue.Len(), e.Port.Sends
		if e.Mask&(1<<abi.RightReceive) != 0 {
			i.Label, i.Limit, i.Blocked, i.Messages = string(e.Port.Label), e.Port.Limit, e.Port.Blocked.Len(), e.Port.Seq
			e.Port.EachHolder(func(t any, _ uint8, _ uint32) { i.Holders = append(i.Holders, t.(*task).String()) })
			slices.Sort(i.Holders)
			i.Holders = slices.Compact(i.Holders)
		}
	}
	return i
}

// Stop ends every task and drops everything. The Dead hook is not called.
func (k *Kernel) Stop() {
	k.enter()
	defer k.leave()
	if k.stopped {
		return
	}
	k.stopped = true
	for len(k.tasks) > 0 {
		// Guests first: a server's end would only kill them again.
		var t *task
		for _, u := range k.tasks {
			if t == nil || u.guest && !t.guest || u.guest == t.guest && u.id < t.id {
				t = u
			}
		}
		ctx := t.ctx
		k.shutPorts(t)
		t.ctx, t.link = nil, nil
		for w := range t.waits {
			k.cancel(w)
		}
		if s := t.server; s != nil {
			s.alone()
			s.running, s.ready = false, false
		}
		k.remove(t)
		if ctx != nil {
			ctx.Kill("the machine stops")
			ctx.Close()
		}
	}
}
