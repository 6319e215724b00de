package nucleus

import (
	"cmp"
	"fmt"
	"slices"

	"hythe/abi"
	"hythe/nucleus/port"
)

// String is the task's name for people. Guest tasks have no other than their number.
func (t *task) String() string {
	if t.guest {
		return fmt.Sprintf("%s-%d", t.name, t.id)
	}
	return t.name
}

// What became of a message, or a binding.
const (
	TrafficSent     = "sent"     // it is in the queue
	TrafficBlocked  = "blocked"  // it waits for room there
	TrafficReceived = "received" // its receiver has it
	TrafficAgain    = "again"    // a next incarnation has it
	TrafficBound    = "bound"    // a binding was made: what goes over it the nucleus does not see
)

// Traffic is what a tracer is told (Hooks.Traffic).
type Traffic struct {
	At     uint64 // ns, by the machine's clock
	What   string // Traffic...
	From   string // who sends or binds; empty when it is received
	To     string // who has the receive right, empty if nobody has
	Port   string // the port's label
	Answer bool   // it uses up a send-once right
	ID     uint32
	Seq    uint64
	Bytes  int // of a binding: slots
	Rights int
	// Objects are ranges of memory objects; Queue is how many messages are in the
	// queue then, and Blocked how many wait for room in it.
	Objects, Queue, Blocked int
}

// Trace has f told of messages from now on, in place of Hooks.Traffic; nil: nobody.
func (k *Kernel) Trace(f func(Traffic)) {
	k.enter()
	defer k.leave()
	k.hooks.Traffic = f
}

// traffic tells the tracer, if there is one.
func (k *Kernel) traffic(what string, from *task, p *port.Port, m *port.Message) {
	f := k.hooks.Traffic
	if f == nil {
		return
	}
	r := Traffic{At: k.m.Now(), What: what, Port: string(p.Label), Queue: p.Queue.Len(), Blocked: p.Blocked.Len()}
	if from != nil {
		r.From = from.String()
	}
	if p.Holder != nil {
		r.To = p.Holder.Task.(*task).String()
	}
	if m != nil {
		r.Answer, r.ID, r.Seq = m.Dest.Kind == abi.RightSendOnce, m.ID, m.Seq
		r.Bytes, r.Rights, r.Objects = len(m.Body), len(m.Rights), len(m.Objects)
	}
	f(r)
}

// Held is a right to a port that a task has.
type Held struct {
	Task string
	Kind uint8 // abi.RightSend or RightSendOnce
	Refs uint32
}

// Receiver is a port and who has which right to it.
type Receiver struct {
	Task string // who receives
	PortInfo
	Rights []Held // those under a task's name, in the order of tasks
}

// Receivers lists all ports that a task can receive from, in the order of tasks and
// names.
func (k *Kernel) Receivers() []Receiver {
	k.enter()
	defer k.leave()
	var all []*task
	for _, t := range k.tasks {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *task) int { return cmp.Compare(a.id, b.id) })
	var out []Receiver
	for _, t := range all {
		for _, e := range t.space.Sorted() {
			if e.Mask&(1<<abi.RightReceive) == 0 {
				continue
			}
			r := Receiver{Task: t.String(), PortInfo: t.info(e)}
			type held struct {
				id uint64
				Held
			}
			var l []held
			e.Port.EachHolder(func(u any, kind uint8, refs uint32) {
				l = append(l, held{u.(*task).id, Held{u.(*task).String(), kind, refs}})
			})
			slices.SortFunc(l, func(a, b held) int { return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.Kind, b.Kind)) })
			for _, h := range l {
				r.Rights = append(r.Rights, h.Held)
			}
			out = append(out, r)
		}
	}
	return out
}
