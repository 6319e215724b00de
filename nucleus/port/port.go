// Package port is the nucleus's ports and rights: Mach's semantics. A port is a
// bounded queue with one receiver; tasks hold rights to ports under names of
// their own (a Space). Semantics follow "Mach 3 Kernel Interface" (OSF and
// Carnegie Mellon, 1992), chapters on mach_msg and mach_port; what differs is
// said where it does.
//
// Nothing here calls the machine or a task. Consequences that the nucleus has to
// act on (a queue that got a message or room, an event for a task) are left in
// a System's lists, which the nucleus works off after each call.
package port

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/nucleus/core"
	"hythe/nucleus/vm"
)

// DefaultLimit is the queue limit of a new port, in messages (Mach:
// MACH_PORT_QLIMIT_DEFAULT is 5; servers here batch).
const DefaultLimit = 64

// MaxLimit bounds what CallPortLimit may ask for.
const MaxLimit = 4096

// MaxUrefs is where a count of user references stays (MACH_PORT_UREFS_MAX).
const MaxUrefs = 65535

// Right is a right that no name stands for: in a message, or held by the
// nucleus. The zero Right is none.
type Right struct {
	Kind uint8 // abi.RightSend, RightSendOnce, RightReceive; RightDead for a right whose port died
	Port *Port
}

// Range is a range of a memory object in a message.
type Range struct {
	Object   *vm.Object // a reference is held; nil when the sender named none
	ReadOnly bool
	Flags    uint32
	Off, Len uint64
}

// Message is a message in the nucleus.
type Message struct {
	Dest    Right // the right it was sent to, held until it is received
	Reply   Right
	Rights  []Right
	Objects []Range
	ID      uint32
	Seq     uint64
	Trace   [24]byte
	Body    []byte
	PortSeq uint32
	// Sender is the nucleus's token of a sender that waits for room.
	Sender any
	// Delivered holds the bytes in which the message was handed to an earlier
	// incarnation of its receiver, whose rights its names still stand for:
	// then Reply, Rights and Objects are empty. Taken is where it is noted.
	Delivered []byte
	Taken     *Entry
	// Wire is room for Delivered.
	Wire []byte
	// Again keeps the objects of a delivered message, to hand them over again.
	Again []Range
	// Page is what the nucleus notes of a request for a page.
	Page any
	// Times is how many incarnations of its receiver have died with it.
	Times uint64
	// From is the port that it was received on.
	From *Port
	// Payer is the task whose budget holds the message until it is done: who sent
	// it, or, where it uses up a send-once right, who receives there: an answer
	// is paid by who asked for it, and costs the server nothing if nobody reads it.
	Payer any
	cost  int
	// Lent is how many bytes of its payer's budget its receiver may spend as long as it
	// owes the answer.
	Lent int
}

// What a port, a message and a right or object in it cost a budget, in bytes:
// about what the nucleus keeps for them.
const (
	PortCost    = 512
	MessageCost = 384
	carryCost   = 48
)

// Port is a port.
type Port struct {
	ID        uint64
	Label     []byte
	Limit     int
	Sends     int // send rights: one for each space that has it, and those in messages or held by the nucleus
	Onces     int // send-once rights
	MakeSends uint32
	Seq       uint32
	Dead      bool
	// Holder and Name place the receive right; Holder is nil while it is in a
	// message (Transit says on which port) or the nucleus's own.
	Holder  *Space
	Name    abi.Name
	Transit *Port
	// Kernel is what a port of the nucleus stands for; nobody receives on it.
	Kernel any
	// Pages: a pager receives on it, and its death is news (System.Orphans).
	Pages bool
	// Payer is the task in whose budget it is until it dies.
	Payer any
	// Alarms is the first of the nucleus's alarms that hold a right to it.
	Alarms any

	Queue   core.Deque[*Message]
	Blocked core.Deque[*Message] // senders that wait for room
	Readers core.Deque[any]      // tokens of receivers that wait
	Set     *Set

	noSenders   Right
	noSendersAt *Space // the task that wants an event instead of a message
	destroyed   Right
	first       *Entry // the names that stand for rights to this port
	touched     bool
}

// Set is a port set.
type Set struct {
	Name    abi.Name
	Members core.Deque[*Port]
	Readers core.Deque[any]
}

// Event is news for a task's control channel.
type Event struct {
	Space *Space
	Name  abi.Name
	Kind  uint8 // abi.Notify...
	Count uint64
}

// System is all ports of one nucleus.
type System struct {
	next     uint64
	live     map[uint64]*Port
	doomed   []*Port           // receive right gone, not yet dead
	trash    []*Message        // messages to destroy
	Touched  core.Deque[*Port] // queues with news: a message, or room
	Events   []Event
	Failed   []any   // tokens of waiters whose port died, of senders and receivers
	Gone     []any   // kernel objects whose last send right was dropped
	Orphans  []*Port // those with Pages that have died
	Silenced []any   // the first alarms of ports that died
	// Charge is told of bytes that a task pays for, negative when it has them back.
	Charge func(payer any, bytes int)
	// Messages made and done with: what lies between them waits in a queue, for
	// room in one, or is taken (Check).
	made, done uint64
	// What was used and can be used again: no message costs an allocation when as
	// many were under way before.
	messages []*Message
	entries  []*Entry
}

// How many of each are kept, and how much room a message keeps.
const (
	keepFree = 256
	keepRoom = 4096
)

// NewSystem makes an empty one.
func NewSystem() *System {
	return &System{live: map[uint64]*Port{}, Charge: func(any, int) {}}
}

// Len is the number of live ports.
func (s *System) Len() int { return len(s.live) }

// NewPort makes a port whose receive right is nobody's yet.
func (s *System) NewPort() *Port {
	s.next++
	p := &Port{ID: s.next, Limit: DefaultLimit}
	s.live[p.ID] = p
	return p
}

// NewMessage makes an empty message. Each ends in Done, and is nobody's then.
func (s *System) NewMessage() *Message {
	s.made++
	if n := len(s.messages); n > 0 {
		m := s.messages[n-1]
		s.messages = s.messages[:n-1]
		return m
	}
	return &Message{}
}

// Pay charges a message that is complete but for its bytes' names.
func (s *System) Pay(m *Message, payer any) {
	if m.Dest.Kind == abi.RightSendOnce && m.Dest.Port.Holder != nil {
		payer = m.Dest.Port.Holder.Task
	}
	if payer == nil {
		return
	}
	m.Payer, m.cost = payer, Cost(len(m.Body), len(m.Rights)+len(m.Objects))
	s.Charge(payer, m.cost)
}

// Cost is what a message of so many bytes, rights and objects costs.
func Cost(body, carried int) int { return MessageCost + body + carryCost*carried }

// Done ends a message: it was received for good, given back, or destroyed.
func (s *System) Done(m *Message) {
	s.done++
	if m.Payer != nil {
		s.Charge(m.Payer, -m.cost)
		m.Payer = nil
	}
	m.forget()
	if len(s.messages) < keepFree && cap(m.Body) <= keepRoom && cap(m.Wire) <= keepRoom {
		*m = Message{Body: m.Body[:0], Rights: m.Rights[:0], Wire: m.Wire[:0]}
		s.messages = append(s.messages, m)
	}
}

func (s *System) touch(p *Port) {
	if !p.touched {
		p.touched = true
		s.Touched.PushBack(p)
	}
}

// NextTouched takes one port from the list.
func (s *System) NextTouched() (*Port, bool) {
	p, ok := s.Touched.PopFront()
	if ok {
		p.touched = false
	}
	return p, ok
}

// MakeSend makes a send right out of a receive right (the caller checked it).
func (s *System) MakeSend(p *Port) Right {
	p.MakeSends++
	p.Sends++
	return Right{abi.RightSend, p}
}

func (s *System) makeOnce(p *Port) Right {
	p.Onces++
	return Right{abi.RightSendOnce, p}
}

// Drop destroys a right that no name stands for. A send-once right that was
// never used sends its notification; a receive right takes the port with it.
func (s *System) Drop(r Right) {
	p := r.Port
	if p == nil || p.Dead {
		return
	}
	switch r.Kind {
	case abi.RightSend:
		p.Sends--
		s.checkSenders(p)
	case abi.RightSendOnce:
		// The notification uses the right up: it is the message's Dest.
		s.notify(r, abi.NotifySendOnce, 0, Right{})
	case abi.RightReceive:
		p.Transit = nil
		s.doomed = append(s.doomed, p)
	}
}

// spend uses up the send or send-once right that a message was sent to.
func (s *System) spend(r Right) {
	p := r.Port
	if p == nil || p.Dead {
		return
	}
	if r.Kind == abi.RightSendOnce {
		p.Onces--
		return
	}
	p.Sends--
	s.checkSenders(p)
}

// Spend is what a receiver does to the right by which a message came.
func (s *System) Spend(m *Message) {
	s.spend(m.Dest)
	m.Dest = Right{}
}

func (s *System) checkSenders(p *Port) {
	if p.Sends > 0 || p.Dead {
		return
	}
	if p.Kernel != nil {
		s.Gone = append(s.Gone, p.Kernel)
		return
	}
	if sp := p.noSendersAt; sp != nil {
		p.noSendersAt = nil
		s.Events = append(s.Events, Event{sp, p.Name, abi.NotifyNoSenders, uint64(p.MakeSends)})
	}
	if r := p.noSenders; r.Port != nil {
		p.noSenders = Right{}
		s.notify(r, abi.NotifyNoSenders, uint64(p.MakeSends), Right{})
	}
}

// notify sends a notification to a send-once right. The eight bytes of its body
// are the dead name or the make-send count; a port-destroyed notification
// carries the receive right. It never waits for room: a send-once right is a
// place in the queue that was reserved.
func (s *System) notify(to Right, kind uint8, value uint64, carry Right) {
	m := s.NewMessage()
	m.Dest, m.ID = to, abi.MsgNotify+uint32(kind)
	m.Body = binary.LittleEndian.AppendUint64(m.Body, value)
	if carry.Port != nil {
		m.Rights = append(m.Rights, carry)
		carry.Port.Transit = to.Port
	}
	if to.Port != nil && !to.Port.Dead {
		s.Pay(m, nil)
	}
	s.Enqueue(m)
}

// Enqueue puts a message on the queue of its destination, whatever the limit;
// one for a dead port is destroyed.
func (s *System) Enqueue(m *Message) {
	p := m.Dest.Port
	if p == nil || p.Dead {
		s.trash = append(s.trash, m)
		return
	}
	p.Seq++
	m.PortSeq = p.Seq
	p.Queue.PushBack(m)
	s.touch(p)
}

// Status is what CallPortStatus tells besides numbers.
func (p *Port) Status() abi.PortStatus {
	s := abi.PortStatus{Sends: uint32(p.Sends), Onces: uint32(p.Onces), Blocked: uint32(p.Blocked.Len())}
	if p.Set != nil {
		s.Set = p.Set.Name
	}
	if p.noSenders.Port != nil || p.noSendersAt != nil {
		s.Asked |= 1 << abi.NotifyNoSenders
	}
	if p.destroyed.Port != nil {
		s.Asked |= 1 << abi.NotifyPortDestroyed
	}
	return s
}

// Answerer is the task that alone can send to p, by one send-once right: nil if
// none can, or more than one, or the right is in a message.
func (p *Port) Answerer() any {
	if p.Dead || p.Onces != 1 || p.Sends != 0 {
		return nil
	}
	for e := p.first; e != nil; e = e.next {
		if e.Mask&maskOnce != 0 {
			return e.space.Task
		}
	}
	return nil
}

// EachHolder calls f with the task of each name for a send or send-once right, which of
// them it is, and its user references.
func (p *Port) EachHolder(f func(task any, kind uint8, refs uint32)) {
	for e := p.first; e != nil; e = e.next {
		switch {
		case e.Mask&maskSend != 0:
			f(e.space.Task, abi.RightSend, e.Urefs)
		case e.Mask&maskOnce != 0:
			f(e.space.Task, abi.RightSendOnce, e.Urefs)
		}
	}
}

// EachRequest calls f for each message here that asks for an answer which somebody can get.
func (p *Port) EachRequest(f func(*Message)) {
	for _, q := range []*core.Deque[*Message]{&p.Queue, &p.Blocked} {
		for i := range q.Len() {
			if m := q.At(i); m.Reply.Port != nil && !m.Reply.Port.Dead || m.Taken != nil {
				f(m)
			}
		}
	}
}

// Full says that a message for a send right has to wait.
func (p *Port) Full() bool { return p.Queue.Len() >= p.Limit }

// Pop takes the first message of p and lets one blocked sender in.
func (s *System) Pop(p *Port) (*Message, bool) {
	m, ok := p.Queue.PopFront()
	if ok && p.Blocked.Len() > 0 {
		s.touch(p)
	}
	return m, ok
}

// Admit moves one blocked message to the queue if there is room; its sender's
// token is returned for the nucleus to answer.
func (s *System) Admit(p *Port) (sender any, ok bool) {
	if p.Dead || p.Full() {
		return nil, false
	}
	m, ok := p.Blocked.PopFront()
	if !ok {
		return nil, false
	}
	sender, m.Sender = m.Sender, nil
	s.Enqueue(m)
	return sender, true
}

// Unblock takes a blocked message back because its sender's time is over.
func (s *System) Unblock(p *Port, sender any) *Message {
	var found *Message
	p.Blocked.Remove(func(m *Message) bool {
		if m.Sender == sender {
			found = m
			return true
		}
		return false
	})
	return found
}

// Requeue puts a message back where its number says: in front of its port's queue,
// unless somebody who had the receive right before put an earlier one back.
func (s *System) Requeue(p *Port, m *Message) {
	if p.Dead {
		s.trash = append(s.trash, m)
		return
	}
	p.Queue.PushFrontOrdered(m, func(a, b *Message) bool { return before(a, b) })
	s.touch(p)
}

// before says that a came to its port before b. The numbers go round.
func before(a, b *Message) bool { return int32(a.PortSeq-b.PortSeq) < 0 }

// Touch asks the nucleus to look at p again.
func (s *System) Touch(p *Port) { s.touch(p) }

// Discard destroys a message and what it carries.
func (s *System) Discard(m *Message) { s.trash = append(s.trash, m) }

// Disown makes a message that sp's task had received ready for a stranger.
func (s *System) Disown(sp *Space, m *Message) { s.disown(sp, m) }

// Kill ends a port of the nucleus.
func (s *System) Kill(p *Port) { s.doomed = append(s.doomed, p) }

// Settle carries deaths to their end. It works on lists, not by recursion: a
// queued message may carry a receive right whose queue carries another.
func (s *System) Settle() {
	for len(s.doomed)+len(s.trash) > 0 {
		if n := len(s.trash); n > 0 {
			m := s.trash[n-1]
			s.trash = s.trash[:n-1]
			s.destroyMessage(m)
			continue
		}
		p := s.doomed[0]
		s.doomed = s.doomed[1:]
		s.destroyPort(p)
	}
}

func (s *System) destroyMessage(m *Message) {
	s.spend(m.Dest)
	if e := m.Taken; e != nil {
		// It had been handed over once: its rights stand under names.
		e.Taken = nil
	}
	s.Drop(m.Reply)
	for _, r := range m.Rights {
		s.Drop(r)
	}
	for _, o := range m.Objects {
		if o.Object != nil {
			o.Object.Release()
		}
	}
	s.Done(m)
}

// forget drops the objects that were kept for a redelivery.
func (m *Message) forget() {
	for _, o := range m.Again {
		o.Object.Release()
	}
	m.Again = nil
}

func (s *System) destroyPort(p *Port) {
	if p.Dead {
		return
	}
	if r := p.destroyed; r.Port != nil && !r.Port.Dead && !Cycle(p, r.Port) {
		// The receive right goes to whoever asked for it, not away.
		p.destroyed = Right{}
		s.notify(r, abi.NotifyPortDestroyed, 0, Right{abi.RightReceive, p})
		return
	}
	p.Dead = true
	delete(s.live, p.ID)
	if p.Pages {
		s.Orphans = append(s.Orphans, p)
	}
	if p.Payer != nil {
		s.Charge(p.Payer, -PortCost)
		p.Payer = nil
	}
	p.Holder, p.Transit = nil, nil
	if p.Alarms != nil {
		s.Silenced = append(s.Silenced, p.Alarms)
	}
	if p.Set != nil {
		p.Set.remove(p)
	}
	for e := p.first; e != nil; {
		next := e.next
		e.space.died(s, e)
		e = next
	}
	p.first = nil
	s.Drop(p.noSenders)
	s.Drop(p.destroyed)
	p.noSenders, p.destroyed, p.noSendersAt = Right{}, Right{}, nil
	for {
		m, ok := p.Queue.PopFront()
		if !ok {
			break
		}
		s.trash = append(s.trash, m)
	}
	for {
		m, ok := p.Blocked.PopFront()
		if !ok {
			break
		}
		if m.Sender != nil {
			s.Failed = append(s.Failed, m.Sender)
			m.Sender = nil
		}
		s.trash = append(s.trash, m)
	}
	for {
		t, ok := p.Readers.PopFront()
		if !ok {
			break
		}
		s.Failed = append(s.Failed, t)
	}
}

// Cycle says that carrying the receive right of p in a message to dest would
// leave a port that nobody can ever receive from.
func Cycle(p, dest *Port) bool {
	for d := dest; d != nil; d = d.Transit {
		if d == p {
			return true
		}
	}
	return false
}

func (t *Set) remove(p *Port) {
	t.Members.Remove(func(q *Port) bool { return q == p })
	p.Set = nil
}

// Next returns the first member with a message and puts it last, so that no
// member starves.
func (t *Set) Next() *Port {
	for i := range t.Members.Len() {
		if p := t.Members.At(i); p.Queue.Len() > 0 {
			t.Members.Remove(func(q *Port) bool { return q == p })
			t.Members.PushBack(p)
			return p
		}
	}
	return nil
}
