package nucleus_test

import (
	"encoding/binary"
	"testing"

	"hythe/abi"
	"hythe/machine"
	"hythe/machine/sim"
	"hythe/nucleus"
	"hythe/nucleus/message"
)

// world is a nucleus on the deterministic machine, checked after every step.
type world struct {
	t    testing.TB
	m    *sim.Machine
	k    *nucleus.Kernel
	log  []string // what the hooks were told
	next uint64
	last *sim.Channel // the server process made last
	// run hands over what happened; heard is told each datagram that a task reads.
	run   func()
	heard func(p *proc, e *event)
}

func newWorld(t testing.TB, l nucleus.Limits) *world {
	w := &world{t: t, m: sim.New()}
	w.run = w.m.Run
	w.m.OnServer = func(c *sim.Channel, _ machine.ServerSpec) { w.last = c }
	w.k = nucleus.New(w.m, l, nucleus.Hooks{
		Dead:   func(s *nucleus.Server, _ machine.Exit) { w.log = append(w.log, "dead "+s.Name()) },
		Ready:  func(s *nucleus.Server) { w.log = append(w.log, "ready "+s.Name()) },
		Wanted: func(s *nucleus.Server) { w.log = append(w.log, "wanted "+s.Name()) },
		Log:    func(s *nucleus.Server, _ int, l string) { w.log = append(w.log, s.Name()+": "+l) },
		Supervise: func(_ *nucleus.Server, b []byte) ([]byte, abi.Errno) {
			return append([]byte("re "), b...), 0
		},
	})
	w.m.Slow = w.check // which waits for the lock
	return w
}

func (w *world) check() {
	w.t.Helper()
	if err := w.k.Check(); err != nil {
		w.t.Fatal(err)
	}
}

// end stops everything and verifies that nothing is left.
func (w *world) end() {
	w.t.Helper()
	w.check()
	w.k.Stop()
	w.m.Run()
	w.check()
	for _, c := range w.m.Channels {
		if !c.Ended() {
			w.t.Fatal("a process lives after the end")
		}
	}
	if n := w.m.Live(); n != 0 {
		w.t.Fatalf("%d handles are left", n)
	}
}

// proc is the process of a server, as a test drives it.
type proc struct {
	w      *world
	s      *nucleus.Server
	c      *sim.Channel
	got    []event // events not yet looked at
	answer map[uint64]event
	asked  map[uint64]uint32 // the number of each call that is not answered
}

type event struct {
	abi.CallHeader
	data []byte
	fds  int
	kind []*sim.Handle // not retained
}

func (w *world) server(name string, p nucleus.Powers) *proc {
	s := w.k.NewServer(nucleus.ServerSpec{Name: name, Powers: p})
	pr := &proc{w: w, s: s}
	pr.start()
	return pr
}

// start begins the next incarnation and returns what it is told up to EventGo.
func (p *proc) start() []event {
	p.w.t.Helper()
	if err := p.s.Start([]byte("{}")); err != nil {
		p.w.t.Fatal(err)
	}
	p.c = p.w.last
	p.got, p.answer, p.asked = nil, map[uint64]event{}, map[uint64]uint32{}
	p.pull()
	var told []event
	for i, e := range p.got {
		if e.Op == abi.EventGo {
			told = p.got[:i]
			p.got = p.got[i+1:]
			p.w.check()
			return told
		}
	}
	p.w.t.Fatal("no EventGo")
	return nil
}

// die kills the process, as SIGKILL would.
func (p *proc) die() {
	p.w.t.Helper()
	p.c.Die(machine.Exit{Signal: 9})
	p.w.run()
	p.w.check()
}

// pull reads the process's channel.
func (p *proc) pull() {
	for {
		d, ok := p.c.Next()
		if !ok {
			return
		}
		h, in, ok := message.GetCall(d.Bytes)
		if !ok || int(h.NFds) != len(d.Handles) {
			p.w.t.Fatalf("the nucleus sent a malformed datagram: %+v", h)
		}
		e := event{CallHeader: h, data: in, fds: len(d.Handles)}
		for _, x := range d.Handles {
			e.kind = append(e.kind, x.(*sim.Handle))
			x.Release()
		}
		if p.w.heard != nil {
			p.w.heard(p, &e)
		}
		if h.Op == abi.EventReply {
			if op, ok := p.asked[h.ID]; ok && h.Err != 0 && !nucleus.Documented(op, abi.Errno(h.Err)) {
				p.w.t.Errorf("call %d answers %v, of which abi/manual says nothing", op, abi.Errno(h.Err))
			}
			delete(p.asked, h.ID)
			p.answer[h.ID] = e
		} else {
			p.got = append(p.got, e)
		}
	}
}

// post sends a call and returns its id.
func (p *proc) post(op uint32, data []byte, fds []machine.Handle, a ...uint64) uint64 {
	p.w.t.Helper()
	p.w.next++
	h := abi.CallHeader{Op: op, ID: p.w.next, NFds: uint32(len(fds)), Len: uint32(len(data))}
	copy(h.A[:], a)
	p.asked[h.ID] = op
	p.c.Send(append(message.PutCall(nil, &h), data...), fds...)
	p.w.run()
	p.w.check()
	p.pull()
	return h.ID
}

// reply is the answer to a call that was posted; false if there is none yet.
func (p *proc) reply(id uint64) (event, bool) {
	p.pull()
	e, ok := p.answer[id]
	delete(p.answer, id)
	return e, ok
}

// call sends a call that is answered at once.
func (p *proc) call(op uint32, a ...uint64) event { return p.callData(op, nil, a...) }

func (p *proc) callData(op uint32, data []byte, a ...uint64) event {
	p.w.t.Helper()
	e, ok := p.reply(p.post(op, data, nil, a...))
	if !ok {
		p.w.t.Fatalf("call %d is not answered", op)
	}
	return e
}

// ok is a call that must succeed; it returns A0.
func (p *proc) ok(op uint32, a ...uint64) uint64 {
	p.w.t.Helper()
	e := p.call(op, a...)
	if e.Err != 0 {
		p.w.t.Fatalf("call %d %v: %v", op, a, abi.Errno(e.Err))
	}
	return e.A[0]
}

// want is a call with an expected error.
func (p *proc) want(err abi.Errno, op uint32, a ...uint64) {
	p.w.t.Helper()
	if e := p.call(op, a...); abi.Errno(e.Err) != err {
		p.w.t.Fatalf("call %d %v: %v, want %v", op, a, abi.Errno(e.Err), err)
	}
}

func (p *proc) port() uint64 { return p.ok(abi.CallPortAllocate, abi.RightReceive) }

// status is a name's rights mask and user references.
func (p *proc) status(n uint64) (mask uint8, urefs uint64) {
	e := p.call(abi.CallPortStatus, n)
	return uint8(e.A[0]), e.A[5]
}

type right struct {
	name uint64
	disp uint8
}

// msg builds a message.
func msg(to uint64, disp uint8, reply right, id uint32, rights ...right) *message.Msg {
	m := &message.Msg{}
	m.Remote, m.RemoteDisp = abi.Name(to), disp
	m.Local, m.LocalDisp, m.ID = abi.Name(reply.name), reply.disp, id
	for _, r := range rights {
		m.Rights = append(m.Rights, abi.RightDesc{Name: abi.Name(r.name), Disp: r.disp})
	}
	return m
}

// send sends without waiting.
func (p *proc) send(m *message.Msg) abi.Errno {
	p.w.t.Helper()
	return abi.Errno(p.callData(abi.CallMsgSend, message.Put(nil, m)).Err)
}

// receive takes a message without waiting.
func (p *proc) receive(n uint64) (*message.Msg, abi.Errno) {
	p.w.t.Helper()
	return p.parse(p.call(abi.CallMsgReceive, n))
}

func (p *proc) parse(e event) (*message.Msg, abi.Errno) {
	p.w.t.Helper()
	if e.Err != 0 {
		return nil, abi.Errno(e.Err)
	}
	m, err := message.Get(e.data)
	if err != 0 {
		p.w.t.Fatal(err)
	}
	return m, 0
}

func (p *proc) must(n uint64) *message.Msg {
	p.w.t.Helper()
	m, err := p.receive(n)
	if err != 0 {
		p.w.t.Fatalf("receive: %v", err)
	}
	return m
}

// give hands a right of p to q through a port that is made for it, and returns
// q's name for it.
func (p *proc) give(q *proc, r right) uint64 {
	p.w.t.Helper()
	box := q.port()
	if _, err := p.s.GiveSend("", q.s, ""); err == nil {
		p.w.t.Fatal("no label is a label")
	}
	q.callData(abi.CallPortLabel, []byte("give"), box)
	to, err := p.s.GiveSend("", q.s, "give")
	if err != nil {
		p.w.t.Fatal(err)
	}
	if err := p.send(msg(uint64(to), abi.MoveSend, right{}, 1, r)); err != 0 {
		p.w.t.Fatal(err)
	}
	m := q.must(box)
	q.ok(abi.CallPortModRefs, box, abi.RightReceive, ^uint64(0))
	return uint64(m.Rights[0].Name)
}

func value(m *message.Msg) uint64 { return binary.LittleEndian.Uint64(m.Body) }

// events returns and forgets the events of a kind.
func (p *proc) events(op uint32) []event {
	p.pull()
	var out, rest []event
	for _, e := range p.got {
		if e.Op == op {
			out = append(out, e)
		} else {
			rest = append(rest, e)
		}
	}
	p.got = rest
	return out
}
