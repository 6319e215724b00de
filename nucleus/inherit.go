package nucleus

import (
	"cmp"
	"slices"

	"hythe/abi"
	"hythe/machine"
	"hythe/nucleus/port"
)

// Priority inheritance (docs/decisions/0012): a server goes before others as long as it
// works, or has to, for a guest task with a thread that does, or for a server that is lent
// this. Requests over bindings are not seen here, so a binding counts for as long as it is
// there, a request to a port until it is answered. All of it is found out anew, from the
// guests on, by whoever comes after a change (lend): so nothing that servers do for each
// other keeps them where they are, and nothing is looked at while no guest goes before
// others.

// inheritance is the state of that.
type inheritance struct {
	urgent  int  // guest tasks with such a thread
	stale   bool // who works for whom may have changed since servers were lent something
	lending bool // lend is under way, or its pause
	refused bool // it was said that the host refuses it
}

// lendPause is how long, in ns, nothing is looked at after lend; lendShare bounds the share
// of the time that lend takes when guests make it necessary all the time.
const (
	lendPause = 1e6
	lendShare = 8
)

// maxUntold is how many threads may be noted beyond those that a task has: one that ends is
// told by a number that is the guest's own word.
const maxUntold = 16

// order says which of two policies goes first: the greater.
func order(p machine.Policy) int {
	switch p.Class {
	case abi.ClassDeadline:
		return 200
	case abi.ClassFixed, abi.ClassRound:
		return 100 + int(p.Priority)
	case abi.ClassNormal:
		return 20 - int(p.Nice)
	}
	return 0
}

// lends is what a server is lent by who has a policy: in turn with its equals, for it has
// many threads, and not more than a fixed priority. The zero policy: nothing.
func lends(p machine.Policy, may machine.Scheduling) machine.Policy {
	switch p.Class {
	case abi.ClassFixed:
		p.Class = abi.ClassRound
	case abi.ClassDeadline:
		p = machine.Policy{Class: abi.ClassRound, Priority: may.Priority}
		if may.Priority == 0 {
			return machine.Policy{}
		}
	}
	if p.Reset = false; order(p) <= order(may.Own) {
		return machine.Policy{}
	}
	return p
}

// raise notes the policy of a thread of a guest task, 0 for all, and answers what was noted
// before.
func (k *Kernel) raise(t *task, thread uint64, p machine.Policy) machine.Policy {
	was := t.raised[thread]
	if t.gone {
		return was
	}
	p = lends(p, k.m.Scheduling())
	if len(t.raised) == 0 && p == (machine.Policy{}) {
		return was
	}
	if thread == 0 {
		clear(t.raised)
	}
	delete(t.raised, thread)
	if p != (machine.Policy{}) {
		if len(t.raised) > t.threads+maxUntold {
			clear(t.raised) // most are of threads that are gone, and were not called what they are
		}
		if t.raised == nil {
			t.raised = map[uint64]machine.Policy{}
		}
		t.raised[thread] = p
	}
	k.urge(t)
	return was
}

// unraise takes a note back if it is still the last.
func (k *Kernel) unraise(t *task, thread uint64, p, was machine.Policy) {
	if t.raised[thread] == lends(p, k.m.Scheduling()) {
		k.raise(t, thread, was)
	}
}

// urge says whether a guest task has threads that go before others, after a change.
func (k *Kernel) urge(t *task) {
	if is := len(t.raised) > 0; is != t.urgent {
		t.urgent = is
		if is {
			k.urgent++
		} else {
			k.urgent--
		}
	}
	k.uneven()
}

// calm notes that a task is gone, or its process, or what its threads are.
func (k *Kernel) calm(t *task) {
	if !t.urgent {
		return
	}
	t.raised = nil
	if t.guest {
		k.urge(t)
		return
	}
	t.lent, t.urgent = machine.Policy{}, false
	k.uneven()
}

// uneven has it looked at soon who is lent what.
func (k *Kernel) uneven() {
	k.stale = true
	if !k.lending {
		k.lending = true
		k.m.Go(k.lend)
	}
}

// levels is what each task goes before others by: guest tasks by their own threads, servers
// by those for whom they work.
func (k *Kernel) levels() map[*task]machine.Policy {
	of := map[*task]machine.Policy{}
	if k.urgent == 0 {
		return of
	}
	raise := func(t *task, p machine.Policy) bool {
		more := order(p) > order(of[t])
		if more {
			of[t] = p
		}
		return more
	}
	for _, t := range k.tasks {
		for _, p := range t.raised {
			raise(t, p)
		}
	}
	// What guests lend is known. What servers lend each other is found then: guests can
	// have far more requests wait than servers do.
	type edge struct{ client, server *task }
	var edges []edge
	add := func(client any, server *task) {
		switch c, ok := client.(*task); {
		case !ok:
		case !c.guest:
			edges = append(edges, edge{c, server})
		case c.urgent:
			raise(server, of[c])
		}
	}
	for _, t := range k.tasks {
		if !t.serves() {
			continue
		}
		for _, b := range t.bindings {
			if b.server == t {
				add(b.client, t)
			}
		}
		for _, m := range t.taken {
			add(m.Payer, t)
		}
		t.space.EachReceive(func(p *port.Port) {
			p.EachRequest(func(m *port.Message) { add(m.Payer, t) })
		})
	}
	for _, p := range k.pagers {
		if h := p.port.Holder; h != nil {
			if t := h.Task.(*task); t.serves() {
				for _, a := range p.asked {
					add(a.task, t)
				}
			}
		}
	}
	for again := true; again; {
		again = false
		for _, e := range edges {
			again = raise(e.server, of[e.client]) || again
		}
	}
	return of
}

// serves says whether a task is a server with a process that can be lent something.
func (t *task) serves() bool { return !t.guest && t.ctx != nil && !t.inside }

// lend tells the host what servers are lent now where that has changed, and does so again
// after a pause if it is necessary by then.
func (k *Kernel) lend() {
	type news struct {
		t   *task
		ctx machine.Context
		how machine.Policy
	}
	var all []news
	k.enter()
	from := k.m.Now()
	k.stale = false
	of, own := k.levels(), k.m.Scheduling().Own
	for _, t := range k.tasks {
		p := of[t]
		if !t.serves() || t.lent == p {
			continue
		}
		t.lent, t.urgent = p, p != machine.Policy{}
		if !t.urgent {
			p = own
		}
		all = append(all, news{t, t.ctx, p})
	}
	k.leave()
	// In order, so that a schedule of the simulated machine can be run again.
	slices.SortFunc(all, func(a, b news) int { return cmp.Compare(a.t.id, b.t.id) })
	pause := uint64(lendPause)
	for _, n := range all {
		err := n.ctx.SetPolicy(0, n.how)
		if err == nil {
			continue
		}
		k.enter()
		switch {
		case n.t.ctx != n.ctx: // it has ended
		case err == abi.ESRCH: // its process is just being made
			k.calm(n.t)
			pause = 10 * lendPause
		case !k.refused:
			k.refused = true
			k.log(n.t, 0, "priority inheritance: unsupported: the host refuses it")
		}
		k.leave()
	}
	k.enter()
	defer k.leave()
	k.m.After(max(pause, lendShare*(k.m.Now()-from)), func() {
		k.enter()
		defer k.leave()
		if k.lending = false; k.stale {
			k.uneven()
		}
	})
}
