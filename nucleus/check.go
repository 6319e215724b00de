package nucleus

import (
	"fmt"
	"slices"

	"hythe/abi"
	"hythe/machine"
	"hythe/nucleus/port"
	"hythe/nucleus/vm"
)

// Check verifies the nucleus's invariants: no right comes from nothing, every
// count adds up, no message is lost or there twice, every receive right is in exactly one place, nothing that died
// is still referred to, and no object outlives its last right. It is for tests
// and costs as much as there is.
func (k *Kernel) Check() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	refs := map[*vm.Object]int{}
	var spaces []*port.Space
	var taken []*port.Message
	paid := map[any]int{}
	held := map[*port.Port]bool{}
	for _, t := range k.tasks {
		if t.gone {
			return fmt.Errorf("task %d is gone and listed", t.id)
		}
		spaces = append(spaces, t.space)
		held[t.self] = true
		taken = append(taken, t.taken...)
		for _, m := range t.taken {
			if m.Taken == nil || m.Taken.Taken != m {
				return fmt.Errorf("task %d: a taken request has no reply right", t.id)
			}
			for _, r := range m.Again {
				refs[r.Object]++
			}
		}
		if n := len(t.watches) + len(t.coming) + len(t.legacy); t.guest && n > 0 {
			paid[t] += n * watchCost
		}
		for _, m := range slices.Concat(t.coming, t.legacy) {
			refs[m.p.object]++
		}
		if len(t.legacy) > 0 && t.begun {
			return fmt.Errorf("task %d: it has begun, and its parent's mappings are kept for it", t.id)
		}
		for _, m := range t.watches {
			refs[m.p.object]++
			if !slices.Contains(m.p.watches, m) {
				return fmt.Errorf("task %d: a mapping that its object does not know", t.id)
			}
		}
		for w := range t.waits {
			if w.done || t.caller() == nil {
				return fmt.Errorf("task %d: a call waits that ended", t.id)
			}
		}
		for _, b := range t.bindings {
			if k.bindings[b.id] != b || b.client != t && b.server != t {
				return fmt.Errorf("task %d: binding %d is not its own", t.id, b.id)
			}
		}
		if len(t.early) > 0 && t.begun || len(t.early) > maxEarly {
			return fmt.Errorf("task %d: %d calls wait for its beginning", t.id, len(t.early))
		}
		n := 0
		for _, u := range k.tasks {
			if u.owner == t {
				n++
			}
		}
		if n != t.children {
			return fmt.Errorf("task %d: %d children, counted %d", t.id, n, t.children)
		}
	}
	for _, s := range k.sets {
		held[s.port] = true
		if s.port.Dead || s.port.Sends == 0 {
			return fmt.Errorf("a processor set that nobody can name")
		}
		n := 0
		for _, t := range k.tasks {
			if t.set == s {
				n++
			}
		}
		if n != s.tasks {
			return fmt.Errorf("a processor set says it has %d tasks, found %d", s.tasks, n)
		}
	}
	for id, b := range k.bindings {
		if b.client.gone || b.server.gone {
			return fmt.Errorf("binding %d of a dead task", id)
		}
	}
	rights, err := k.checkAlarms(paid)
	if err != nil {
		return err
	}
	if err := k.ports.Check(spaces, held, refs, taken, rights, paid); err != nil {
		return err
	}
	for _, b := range k.bindings {
		if b.guest == nil {
			paid[b.client] += b.cost()
		}
	}
	k.objects.Each(func(o *vm.Object) {
		if o.Payer != nil {
			paid[o.Payer] += o.Cost
		}
	})
	for _, p := range k.pagers {
		for _, a := range p.asked {
			paid[a.task] += askedCost
		}
	}
	for _, t := range k.tasks {
		if t.threads > 0 {
			paid[t] += t.threads * ThreadCost
		}
		if t.threads < 0 || !t.guest && t.threads > 0 {
			return fmt.Errorf("task %d has %d threads", t.id, t.threads)
		}
	}
	if err := k.checkLent(); err != nil {
		return err
	}
	guests := 0
	for t, n := range paid {
		if t.(*task).guest {
			guests += n
		}
	}
	if k.guests != guests {
		return fmt.Errorf("the guests' budget says %d bytes, found %d", k.guests, guests)
	}
	for _, t := range k.tasks {
		if t.used != paid[t] {
			return fmt.Errorf("task %d: its budget says %d bytes, found %d", t.id, t.used, paid[t])
		}
	}
	k.objects.Each(func(o *vm.Object) {
		if o.Refs() != refs[o] {
			err = fmt.Errorf("object %d: %d references, %d found", o.ID, o.Refs(), refs[o])
		}
	})
	if len(k.tasks) == 0 && k.ports.Len()+k.objects.Len()+len(k.bindings) > 0 {
		return fmt.Errorf("no task is left, but %d ports, %d objects, %d bindings",
			k.ports.Len(), k.objects.Len(), len(k.bindings))
	}
	return err
}

// checkAlarms verifies the alarms' places and answers the rights that they hold.
func (k *Kernel) checkAlarms(paid map[any]int) ([]port.Right, error) {
	var rights []port.Right
	a := &k.alarms
	linked := map[*port.Port]int{}
	for i, x := range a.heap {
		switch {
		case x.index != i || x.t.gone || x.t.alarms[x.id] != x:
			return nil, fmt.Errorf("alarm %d of task %d is not itself", x.id, x.t.id)
		case i > 0 && a.Less(i, (i-1)/2):
			return nil, fmt.Errorf("alarm %d of task %d is before a later one", x.id, x.t.id)
		case x.to.Port.Dead:
			return nil, fmt.Errorf("alarm %d of task %d is for a dead port", x.id, x.t.id)
		}
		rights = append(rights, x.to)
		linked[x.to.Port]++
		paid[x.t] += AlarmCost
	}
	for p, n := range linked {
		var prev *alarm
		for x, _ := p.Alarms.(*alarm); x != nil; prev, x = x, x.next {
			if n--; x.prev != prev || x.to.Port != p {
				return nil, fmt.Errorf("port %d has alarms that are not its own", p.ID)
			}
		}
		if n != 0 {
			return nil, fmt.Errorf("port %d does not know %d of its alarms", p.ID, n)
		}
	}
	n := 0
	for _, t := range k.tasks {
		n += len(t.alarms)
	}
	switch {
	case n != len(a.heap):
		return nil, fmt.Errorf("tasks have %d alarms, of %d", n, len(a.heap))
	case (a.timer != nil) != (n > 0) || n > 0 && a.at != a.heap[0].at:
		return nil, fmt.Errorf("the timer is not set to the first of %d alarms", n)
	}
	return rights, nil
}

// checkLent verifies that nobody goes before others but guests' threads and, as soon as lend
// has come by, who works for them.
func (k *Kernel) checkLent() error {
	urgent, of := 0, k.levels()
	for _, t := range k.tasks {
		if t.guest && len(t.raised) > 0 {
			urgent++
		}
		switch {
		case t.urgent != (len(t.raised) > 0 || t.lent != machine.Policy{}),
			t.guest && t.lent != machine.Policy{}, !t.guest && len(t.raised) > 0:
			return fmt.Errorf("task %d: urgent %v, by %v and %v", t.id, t.urgent, t.raised, t.lent)
		case len(t.raised) > abi.MaxSlots+maxUntold+1:
			return fmt.Errorf("task %d: %d threads go before others", t.id, len(t.raised))
		case !k.stale && t.serves() && t.lent != of[t]:
			return fmt.Errorf("task %d is lent %+v, not %+v", t.id, t.lent, of[t])
		}
	}
	if urgent != k.urgent || k.stale && !k.lending {
		return fmt.Errorf("%d tasks go before others, found %d; stale %v, lending %v", k.urgent, urgent, k.stale, k.lending)
	}
	return nil
}
