package nucleus

import (
	"fmt"
	"slices"

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
	for id, b := range k.bindings {
		if b.client.gone || b.server.gone {
			return fmt.Errorf("binding %d of a dead task", id)
		}
	}
	if err := k.ports.Check(spaces, held, refs, taken, paid); err != nil {
		return err
	}
	for _, b := range k.bindings {
		if b.guest == nil {
			paid[b.client] += b.cost()
		}
	}
	k.objects.Each(func(o *vm.Object) {
		if o.Payer != nil {
			paid[o.Payer] += vm.Cost
		}
	})
	for _, p := range k.pagers {
		for _, a := range p.asked {
			paid[a.task] += askedCost
		}
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
	var err error
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
