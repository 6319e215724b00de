package port

import (
	"slices"

	"hythe/abi"
	"hythe/nucleus/core"
	"hythe/nucleus/vm"
)

// Rights masks of an entry.
const (
	maskSend    = 1 << abi.RightSend
	maskReceive = 1 << abi.RightReceive
	maskOnce    = 1 << abi.RightSendOnce
	maskSet     = 1 << abi.RightSet
	maskDead    = 1 << abi.RightDead
	maskObject  = 1 << abi.RightObject
)

// Entry is what one name of a task stands for.
type Entry struct {
	Name  abi.Name
	Mask  uint8 // core.MaskOf each right
	Urefs uint32
	Port  *Port
	Set   *Set
	// Object, with ReadOnly, for a memory object.
	Object   *vm.Object
	ReadOnly bool
	// Label is the durable label of a send right that the supervisor gave.
	Label []byte
	// Taken is the request whose reply right this is.
	Taken *Message

	onDead     Right // whom to tell when the port dies
	eventDead  bool
	space      *Space
	prev, next *Entry
}

type objKey struct {
	o  *vm.Object
	ro bool
}

// Space is the names of one task. It outlives the task's host process: the next
// incarnation of a server finds every name as it was.
type Space struct {
	Task    any // the nucleus's task
	Limit   int // most names
	entries map[abi.Name]*Entry
	byPort  map[*Port]*Entry
	byObj   map[objKey]*Entry
	names   core.Names
	// Answered is told when a reply right was used or dropped.
	Answered func(*Message)
}

// NewSpace makes an empty space.
func NewSpace(task any, limit int) *Space {
	return &Space{Task: task, Limit: limit, entries: map[abi.Name]*Entry{},
		byPort: map[*Port]*Entry{}, byObj: map[objKey]*Entry{}}
}

// Len is the number of names.
func (sp *Space) Len() int { return len(sp.entries) }

// Room says whether n more names fit.
func (sp *Space) Room(n int) bool { return len(sp.entries)+n <= sp.Limit }

// Lookup finds a name that has all rights of the mask: EBADF for no such name,
// EPERM when it has not.
func (sp *Space) Lookup(n abi.Name, mask uint8) (*Entry, abi.Errno) {
	e := sp.entries[n]
	if e == nil {
		return nil, abi.EBADF
	}
	if e.Mask&mask != mask {
		return nil, abi.EPERM
	}
	return e, 0
}

// Entry finds a name.
func (sp *Space) Entry(n abi.Name) *Entry { return sp.entries[n] }

// Of finds the name under which the task holds send or receive rights to p.
func (sp *Space) Of(p *Port) *Entry { return sp.byPort[p] }

// Sorted is all entries in the order of their names.
func (sp *Space) Sorted() []*Entry {
	es := make([]*Entry, 0, len(sp.entries))
	for _, e := range sp.entries {
		es = append(es, e)
	}
	slices.SortFunc(es, func(a, b *Entry) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return es
}

// add makes e what its name stands for, or, without one, a name of the space's choice.
func (sp *Space) add(e *Entry) *Entry {
	if e.Name == abi.NameNull {
		e.Name = sp.names.New(func(n abi.Name) bool { return sp.entries[n] != nil })
	}
	e.space = sp
	sp.entries[e.Name] = e
	if e.Port != nil {
		e.link()
		if e.Mask&(maskSend|maskReceive) != 0 {
			sp.byPort[e.Port] = e
		}
	}
	return e
}

func (e *Entry) link() {
	p := e.Port
	e.prev, e.next = nil, p.first
	if p.first != nil {
		p.first.prev = e
	}
	p.first = e
}

func (e *Entry) unlink() {
	p := e.Port
	if e.prev != nil {
		e.prev.next = e.next
	} else if p.first == e {
		p.first = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	}
	e.prev, e.next = nil, nil
}

// remove takes a name away once it stands for nothing.
func (sp *Space) remove(s *System, e *Entry) {
	delete(sp.entries, e.Name)
	sp.names.Put(e.Name)
	if e.Port != nil {
		if !e.Port.Dead {
			e.unlink()
		}
		if sp.byPort[e.Port] == e {
			delete(sp.byPort, e.Port)
		}
	}
	e.answer(sp)
	s.drop(e)
}

// drop ends an entry that nothing refers to any more.
func (s *System) drop(e *Entry) {
	r := e.onDead
	*e = Entry{}
	if len(s.entries) < keepFree {
		s.entries = append(s.entries, e)
	}
	s.Drop(r)
}

// entry makes one.
func (s *System) entry(mask uint8, p *Port) *Entry {
	n := len(s.entries)
	if n == 0 {
		return &Entry{Mask: mask, Port: p}
	}
	e := s.entries[n-1]
	s.entries = s.entries[:n-1]
	e.Mask, e.Port = mask, p
	return e
}

// answer ends the bookkeeping of the request that this reply right belongs to.
func (e *Entry) answer(sp *Space) {
	if m := e.Taken; m != nil {
		e.Taken = nil
		m.Taken = nil
		if sp.Answered != nil {
			sp.Answered(m)
		}
	}
}

// died turns a name into a dead name because its port is gone.
func (sp *Space) died(s *System, e *Entry) {
	delete(sp.byPort, e.Port)
	e.prev, e.next = nil, nil
	refs := e.Urefs
	if e.Mask&maskOnce != 0 {
		refs = 1
	}
	e.answer(sp)
	if refs == 0 { // only the receive right was here
		delete(sp.entries, e.Name)
		sp.names.Put(e.Name)
		s.drop(e)
		return
	}
	e.Mask, e.Urefs, e.Port = maskDead, refs, nil
	if e.eventDead {
		e.eventDead = false
		s.Events = append(s.Events, Event{sp, e.Name, abi.NotifyDeadName, 0})
	}
	if r := e.onDead; r.Port != nil {
		// The notification carries a reference of the dead name, so that the
		// name is not given to something else before it is read.
		e.onDead = Right{}
		e.Urefs = min(e.Urefs+1, MaxUrefs)
		s.notify(r, abi.NotifyDeadName, uint64(e.Name), Right{})
	}
}

// EachReceive calls f for each port that the task receives from, in no order.
func (sp *Space) EachReceive(f func(*Port)) {
	for _, e := range sp.entries {
		if e.Mask&maskReceive != 0 {
			f(e.Port)
		}
	}
}

// Allocate makes a port with its receive right here, under a name that is free or, if
// it is NameNull, of the space's choice, at the cost of payer.
func (sp *Space) Allocate(s *System, name abi.Name, payer any) *Entry {
	p := s.NewPort()
	p.Payer = payer
	s.Charge(payer, PortCost)
	e := sp.add(&Entry{Name: name, Mask: maskReceive, Port: p})
	p.Holder, p.Name = sp, e.Name
	return e
}

// AllocateSet makes an empty port set, under a name as Allocate.
func (sp *Space) AllocateSet(name abi.Name) *Entry {
	e := sp.add(&Entry{Name: name, Mask: maskSet, Set: &Set{}})
	e.Set.Name = e.Name
	return e
}

// Claim is one use of a name in a message.
type Claim struct {
	Name abi.Name
	Disp uint8
}

// Check says whether all claims (those of one message at most) can be met together, taking nothing. The null
// and the dead name may always be carried.
func (sp *Space) Check(claims []Claim) abi.Errno {
	var names [abi.MaxRights + 2]abi.Name
	var left [abi.MaxRights + 2]core.Holding
	n := 0
	for _, c := range claims {
		if c.Name == abi.NameNull || c.Name == abi.NameDead {
			if core.Result(c.Disp) == 0 && c.Disp != 0 {
				return abi.EINVAL
			}
			continue
		}
		i := slices.Index(names[:n], c.Name)
		if i < 0 {
			e := sp.entries[c.Name]
			if e == nil {
				return abi.EBADF
			}
			i = n
			names[i], left[i] = c.Name, core.Holding{Mask: e.Mask, Urefs: e.Urefs}
			n++
		}
		if err := left[i].Take(c.Disp); err != 0 {
			return err
		}
	}
	return 0
}

// Copyin takes the right that a checked claim speaks of out of the space, or
// copies it. It cannot fail.
func (sp *Space) Copyin(s *System, c Claim) Right {
	if c.Name == abi.NameNull {
		return Right{}
	}
	e := sp.entries[c.Name]
	if e == nil { // NameDead
		return Right{Kind: abi.RightDead}
	}
	if e.Mask&maskDead != 0 {
		if c.Disp != abi.CopySend {
			sp.dropRefs(s, e, 1)
		}
		return Right{Kind: abi.RightDead}
	}
	p := e.Port
	switch c.Disp {
	case abi.MakeSend:
		return s.MakeSend(p)
	case abi.MakeSendOnce:
		return s.makeOnce(p)
	case abi.CopySend:
		p.Sends++
		return Right{abi.RightSend, p}
	case abi.MoveSend:
		p.Sends++ // before the entry's own is dropped: no false no-senders
		sp.dropRefs(s, e, 1)
		return Right{abi.RightSend, p}
	case abi.MoveSendOnce:
		sp.remove(s, e)
		return Right{abi.RightSendOnce, p}
	default: // MoveReceive
		sp.takeReceive(s, e)
		return Right{abi.RightReceive, p}
	}
}

// takeReceive takes the receive right away from its name; the port lives on.
func (sp *Space) takeReceive(s *System, e *Entry) {
	p := e.Port
	p.Holder, p.Name = nil, 0
	if p.Set != nil {
		p.Set.remove(p)
	}
	for i := range p.Queue.Len() {
		s.disown(sp, p.Queue.At(i))
	}
	// Those who wait here would wait at somebody else's port.
	for {
		t, ok := p.Readers.PopFront()
		if !ok {
			break
		}
		s.Failed = append(s.Failed, t)
	}
	p.noSendersAt = nil
	p.MakeSends = 0 // who receives next counts from there
	e.Mask &^= maskReceive
	if e.Mask == 0 {
		sp.remove(s, e)
	}
}

// disown turns a message that an earlier incarnation had already taken back
// into one for a stranger: the reply right goes with it; rights that it carried
// were received and stay where they are.
func (s *System) disown(sp *Space, m *Message) {
	if m.Delivered == nil {
		return
	}
	m.Delivered = nil
	m.Objects, m.Again = m.Again, nil
	if e := m.Taken; e != nil {
		p := e.Port
		e.Taken, m.Taken = nil, nil
		if sp.Answered != nil {
			sp.Answered(m)
		}
		sp.remove(s, e)
		m.Reply = Right{abi.RightSendOnce, p}
	}
}

// dropRefs drops n user references of a send right or dead name.
func (sp *Space) dropRefs(s *System, e *Entry, n uint32) {
	if e.Urefs > n {
		e.Urefs -= n
		return
	}
	e.Urefs = 0
	if e.Mask&maskDead != 0 {
		sp.remove(s, e)
		return
	}
	p := e.Port
	e.Mask &^= maskSend
	if e.Mask == 0 {
		sp.remove(s, e)
	}
	s.Drop(Right{abi.RightSend, p})
}

// Copyout gives a right to the task: under the name it already has for the
// port, or a new one. A right whose port died arrives as NameDead. The caller
// made sure that there is room.
func (sp *Space) Copyout(s *System, r Right) (abi.Name, uint8) {
	if r.Port == nil {
		if r.Kind == abi.RightDead {
			return abi.NameDead, abi.RightDead
		}
		return abi.NameNull, 0
	}
	p := r.Port
	if p.Dead {
		return abi.NameDead, abi.RightDead
	}
	if r.Kind == abi.RightSendOnce {
		return sp.add(s.entry(maskOnce, p)).Name, r.Kind
	}
	e := sp.byPort[p]
	if e == nil {
		e = sp.add(s.entry(core.MaskOf(r.Kind), p))
	} else if r.Kind == abi.RightSend && e.Mask&maskSend != 0 {
		p.Sends-- // a space counts once
	}
	e.Mask |= core.MaskOf(r.Kind)
	if r.Kind == abi.RightSend {
		e.Urefs = min(e.Urefs+1, MaxUrefs)
	} else {
		p.Holder, p.Name, p.Transit = sp, e.Name, nil
		s.touch(p)
	}
	return e.Name, r.Kind
}

// NewObject gives a memory object that it has no right to yet to the task, under a name
// as Allocate; it takes the caller's reference.
func (sp *Space) NewObject(name abi.Name, o *vm.Object, ro bool) *Entry {
	e := sp.add(&Entry{Name: name, Mask: maskObject, Object: o, ReadOnly: ro, Urefs: 1})
	sp.byObj[objKey{o, ro}] = e
	return e
}

// AddObject gives a memory object to the task; it takes the caller's reference.
func (sp *Space) AddObject(o *vm.Object, ro bool) *Entry {
	if e := sp.byObj[objKey{o, ro}]; e != nil {
		o.Release()
		e.Urefs = min(e.Urefs+1, MaxUrefs)
		return e
	}
	return sp.NewObject(abi.NameNull, o, ro)
}

// Holds says whether the task has a name for an object.
func (sp *Space) Holds(o *vm.Object) bool {
	return sp.byObj[objKey{o, false}] != nil || sp.byObj[objKey{o, true}] != nil
}

func (sp *Space) dropObject(s *System, e *Entry, n uint32) {
	if e.Urefs > n {
		e.Urefs -= n
		return
	}
	o := e.Object
	delete(sp.byObj, objKey{o, e.ReadOnly})
	sp.remove(s, e)
	o.Release()
}

// Deallocate drops one user reference of a send, send-once, dead or object
// name (mach_port_deallocate). EPERM: only a receive right or a set is there.
func (sp *Space) Deallocate(s *System, n abi.Name) abi.Errno {
	e := sp.entries[n]
	switch {
	case e == nil:
		return abi.EBADF
	case e.Mask&(maskSend|maskDead) != 0:
		sp.dropRefs(s, e, 1)
	case e.Mask&maskOnce != 0:
		sp.dropOnce(s, e)
	case e.Mask&maskObject != 0:
		sp.dropObject(s, e, 1)
	default:
		return abi.EPERM
	}
	return 0
}

func (sp *Space) dropOnce(s *System, e *Entry) {
	p := e.Port
	sp.remove(s, e)
	s.Drop(Right{abi.RightSendOnce, p})
}

// ModRefs changes the user references of one right of a name
// (mach_port_mod_refs). Receive, set and send-once rights have one, so the
// delta is 0 or -1. EINVAL: the count would be below zero, the right unknown.
// EOVERFLOW: too many.
func (sp *Space) ModRefs(s *System, n abi.Name, right uint8, delta int64) abi.Errno {
	e := sp.entries[n]
	if e == nil {
		return abi.EBADF
	}
	if right == 0 || right > abi.RightObject {
		return abi.EINVAL
	}
	if e.Mask&core.MaskOf(right) == 0 {
		return abi.EPERM
	}
	switch right {
	case abi.RightSend, abi.RightDead, abi.RightObject:
		if delta > MaxUrefs || int64(e.Urefs)+delta > MaxUrefs {
			return abi.EOVERFLOW
		}
		if delta < -MaxUrefs || int64(e.Urefs)+delta < 0 {
			return abi.EINVAL
		}
		switch {
		case delta >= 0:
			e.Urefs += uint32(delta)
		case right == abi.RightObject:
			sp.dropObject(s, e, uint32(-delta))
		default:
			sp.dropRefs(s, e, uint32(-delta))
		}
		return 0
	}
	if delta == 0 {
		return 0
	}
	if delta != -1 {
		return abi.EINVAL
	}
	switch right {
	case abi.RightReceive:
		p := e.Port
		sp.takeReceive(s, e)
		s.Drop(Right{abi.RightReceive, p})
	case abi.RightSendOnce:
		sp.dropOnce(s, e)
	case abi.RightSet:
		sp.dropSet(s, e)
	}
	return 0
}

func (sp *Space) dropSet(s *System, e *Entry) {
	for e.Set.Members.Len() > 0 {
		e.Set.remove(e.Set.Members.At(0))
	}
	for {
		t, ok := e.Set.Readers.PopFront()
		if !ok {
			break
		}
		s.Failed = append(s.Failed, t)
	}
	sp.remove(s, e)
}

// SetMember moves a receive right into a set, or out of any (set NameNull).
func (sp *Space) SetMember(s *System, n, set abi.Name) abi.Errno {
	e, err := sp.Lookup(n, maskReceive)
	if err != 0 {
		return err
	}
	var t *Set
	if set != abi.NameNull {
		se, err := sp.Lookup(set, maskSet)
		if err != 0 {
			return err
		}
		t = se.Set
	}
	if e.Port.Set != nil {
		e.Port.Set.remove(e.Port)
	}
	if t != nil {
		e.Port.Set = t
		t.Members.PushBack(e.Port)
		s.touch(e.Port)
	}
	return 0
}

// Rename gives a right another name (mach_port_rename). EEXIST: taken; EINVAL:
// reserved.
func (sp *Space) Rename(old, name abi.Name) abi.Errno {
	e := sp.entries[old]
	switch {
	case name == abi.NameNull || name == abi.NameDead:
		return abi.EINVAL
	case e == nil:
		return abi.EBADF
	case sp.entries[name] != nil:
		return abi.EEXIST
	}
	delete(sp.entries, old)
	sp.names.Put(old)
	e.Name = name
	sp.entries[name] = e
	if e.Mask&maskReceive != 0 {
		e.Port.Name = name
	}
	if e.Set != nil {
		e.Set.Name = name
	}
	return 0
}

// Notify asks for a notification about a name; once is the send-once right to
// send it to, or none with event set for an event on the task's own channel, or
// neither to cancel. The right asked with before is returned. ENOTSUP-like
// EINVAL: unknown kind; EPERM: the name has not the right that the kind is about.
func (sp *Space) Notify(s *System, n abi.Name, kind uint8, once Right, event bool, sync uint32) (old Right, err abi.Errno) {
	e := sp.entries[n]
	if e == nil {
		return Right{}, abi.EBADF
	}
	switch kind {
	case abi.NotifyDeadName:
		if e.Mask&(maskSend|maskOnce|maskDead|maskReceive) == 0 {
			return Right{}, abi.EPERM
		}
		if e.Mask&maskDead != 0 { // too late to wait: tell at once
			if event {
				s.Events = append(s.Events, Event{sp, n, abi.NotifyDeadName, 0})
			} else if once.Port != nil {
				e.Urefs = min(e.Urefs+1, MaxUrefs)
				s.notify(once, abi.NotifyDeadName, uint64(n), Right{})
			}
			return Right{}, 0
		}
		old, e.onDead, e.eventDead = e.onDead, once, event
	case abi.NotifyNoSenders:
		if e.Mask&maskReceive == 0 {
			return Right{}, abi.EPERM
		}
		p := e.Port
		old, p.noSenders = p.noSenders, once
		p.noSendersAt = nil
		if event {
			p.noSendersAt = sp
		}
		// Too late to wait, unless send rights are known to be on their way that
		// the task has not made yet.
		if p.MakeSends >= sync {
			s.checkSenders(p)
		}
	case abi.NotifyPortDestroyed:
		if e.Mask&maskReceive == 0 {
			return Right{}, abi.EPERM
		}
		if event || once.Port == e.Port && once.Port != nil {
			return Right{}, abi.EINVAL // it carries a right, so it is a message; not to itself
		}
		old, e.Port.destroyed = e.Port.destroyed, once
	default:
		return Right{}, abi.EINVAL
	}
	return old, 0
}

// CanNotify checks a request without taking the send-once right.
func (sp *Space) CanNotify(n abi.Name, kind uint8, once abi.Name) abi.Errno {
	e := sp.entries[n]
	if e == nil {
		return abi.EBADF
	}
	if once != abi.NameNull && once != abi.NameDead {
		if _, err := sp.Lookup(once, maskOnce); err != 0 {
			return err
		}
		if once == n {
			return abi.EINVAL
		}
	}
	var need uint8
	switch kind {
	case abi.NotifyDeadName:
		need = maskSend | maskOnce | maskDead | maskReceive
	case abi.NotifyNoSenders, abi.NotifyPortDestroyed:
		need = maskReceive
	default:
		return abi.EINVAL
	}
	if e.Mask&need == 0 {
		return abi.EPERM
	}
	if kind == abi.NotifyPortDestroyed {
		if once == abi.NameDead || once != abi.NameNull && sp.entries[once].Port == e.Port {
			return abi.EINVAL
		}
	}
	return 0
}

// Destroy drops every right of the task.
func (sp *Space) Destroy(s *System) {
	for _, e := range sp.Sorted() {
		if sp.entries[e.Name] != e {
			continue // went with another one
		}
		if e.Mask&maskReceive != 0 {
			p := e.Port
			sp.takeReceive(s, e)
			s.Drop(Right{abi.RightReceive, p})
		}
		switch {
		case e.Mask&(maskSend|maskDead) != 0:
			sp.dropRefs(s, e, e.Urefs)
		case e.Mask&maskOnce != 0:
			sp.dropOnce(s, e)
		case e.Mask&maskObject != 0:
			sp.dropObject(s, e, e.Urefs)
		case e.Mask&maskSet != 0:
			sp.dropSet(s, e)
		}
	}
}
