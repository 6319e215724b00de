package port

import (
	"fmt"

	"hythe/abi"
	"hythe/nucleus/core"
	"hythe/nucleus/vm"
)

// Check verifies the counts of all ports against what spaces, queues and the
// nucleus hold, and adds the references to objects that it finds to refs. held
// are the ports whose receive right is the nucleus's, taken the messages that
// were received and can come again, rights those that the nucleus has besides. What each
// task pays for is added to paid.
func (s *System) Check(spaces []*Space, held map[*Port]bool, refs map[*vm.Object]int, taken []*Message, rights []Right, paid map[any]int) error {
	if len(s.doomed)+len(s.trash)+len(s.Failed)+len(s.Events)+len(s.Silenced)+s.Touched.Len() > 0 {
		return fmt.Errorf("work is left undone")
	}
	type count struct{ send, once, recv int }
	seen := map[*Port]*count{}
	for _, p := range s.live {
		if p.Dead {
			return fmt.Errorf("port %d is dead and listed", p.ID)
		}
		seen[p] = &count{}
		if p.Payer != nil {
			paid[p.Payer] += PortCost
		}
	}
	add := func(r Right, what string) error {
		if r.Port == nil || r.Port.Dead {
			return nil
		}
		c := seen[r.Port]
		if c == nil {
			return fmt.Errorf("%s: a right to port %d, which is not known", what, r.Port.ID)
		}
		switch r.Kind {
		case abi.RightSend:
			c.send++
		case abi.RightSendOnce:
			c.once++
		case abi.RightReceive:
			c.recv++
		}
		return nil
	}
	for _, r := range rights {
		if err := add(r, "the nucleus"); err != nil {
			return err
		}
	}
	for _, sp := range spaces {
		if len(sp.entries) > sp.Limit {
			return fmt.Errorf("a task has %d names, its limit is %d", len(sp.entries), sp.Limit)
		}
		if err := sp.check(s, add, refs); err != nil {
			return err
		}
	}
	messages := map[*Message]bool{}
	once := func(m *Message, where string) error {
		if messages[m] {
			return fmt.Errorf("message %d is there twice, once %s", m.ID, where)
		}
		messages[m] = true
		if m.Payer != nil {
			paid[m.Payer] += m.cost
		}
		return nil
	}
	for _, m := range taken {
		if err := once(m, "taken"); err != nil {
			return err
		}
	}
	for _, p := range s.live {
		for i := range p.Queue.Len() - 1 {
			if a, b := p.Queue.At(i), p.Queue.At(i+1); !before(a, b) {
				return fmt.Errorf("port %d: message %d is before message %d", p.ID, a.PortSeq, b.PortSeq)
			}
		}
		if err := add(p.noSenders, "no-senders"); err != nil {
			return err
		}
		if err := add(p.destroyed, "port-destroyed"); err != nil {
			return err
		}
		for _, q := range []*core.Deque[*Message]{&p.Queue, &p.Blocked} {
			for i := range q.Len() {
				m := q.At(i)
				if err := once(m, fmt.Sprintf("at port %d", p.ID)); err != nil {
					return err
				}
				for _, r := range append([]Right{m.Dest, m.Reply}, m.Rights...) {
					if err := add(r, "message"); err != nil {
						return err
					}
					if r.Kind == abi.RightReceive && r.Port.Transit != p {
						return fmt.Errorf("port %d is in transit elsewhere", r.Port.ID)
					}
				}
				for _, o := range append(append([]Range(nil), m.Objects...), m.Again...) {
					refs[o.Object]++
				}
			}
		}
	}
	if n := uint64(len(messages)); s.made-s.done != n {
		return fmt.Errorf("of %d messages %d are done and %d are found", s.made, s.done, n)
	}
	for p, c := range seen {
		if held[p] {
			c.recv++
		}
		if c.recv != 1 {
			return fmt.Errorf("port %d has %d receive rights", p.ID, c.recv)
		}
		if c.send != p.Sends || c.once != p.Onces {
			return fmt.Errorf("port %d: %d send and %d send-once rights counted, %d and %d found",
				p.ID, p.Sends, p.Onces, c.send, c.once)
		}
		if p.Queue.Len() > 0 && p.Readers.Len() > 0 {
			return fmt.Errorf("port %d: a message and a receiver wait for each other", p.ID)
		}
		if !p.Full() && p.Blocked.Len() > 0 {
			return fmt.Errorf("port %d: a sender waits though there is room", p.ID)
		}
	}
	return nil
}

func (sp *Space) check(s *System, add func(Right, string) error, refs map[*vm.Object]int) error {
	for n, e := range sp.entries {
		what := fmt.Sprintf("name %#x", n)
		if e.Name != n || e.space != sp || e.Mask == 0 {
			return fmt.Errorf("%s is not itself", what)
		}
		if err := add(e.onDead, what); err != nil {
			return err
		}
		if e.Mask&(maskSend|maskDead|maskObject) != 0 && e.Urefs == 0 || e.Urefs > MaxUrefs {
			return fmt.Errorf("%s has %d references", what, e.Urefs)
		}
		switch {
		case e.Mask&maskObject != 0:
			refs[e.Object]++
		case e.Mask&maskDead != 0:
			if e.Port != nil || e.Mask != maskDead {
				return fmt.Errorf("%s: a dead name with a right", what)
			}
		case e.Mask&maskSet != 0:
			for i := range e.Set.Members.Len() {
				if p := e.Set.Members.At(i); p.Set != e.Set || p.Holder != sp {
					return fmt.Errorf("%s: port %d is no member", what, p.ID)
				}
			}
		default:
			p := e.Port
			if p == nil || p.Dead {
				return fmt.Errorf("%s stands for a dead port", what)
			}
			linked := false
			for x := p.first; x != nil; x = x.next {
				linked = linked || x == e
			}
			if !linked {
				return fmt.Errorf("%s is not known to port %d", what, p.ID)
			}
			for kind := uint8(abi.RightSend); kind <= abi.RightSendOnce; kind++ {
				if e.Mask&core.MaskOf(kind) != 0 {
					if err := add(Right{kind, p}, what); err != nil {
						return err
					}
				}
			}
			if e.Mask&maskReceive != 0 && (p.Holder != sp || p.Name != n) {
				return fmt.Errorf("%s: port %d is held elsewhere", what, p.ID)
			}
			if e.Mask&maskOnce == 0 && sp.byPort[p] != e {
				return fmt.Errorf("%s: port %d has another name", what, p.ID)
			}
		}
	}
	return nil
}
