package core

import "hythe/store"

// waiters are connects that wait for room at who listens on a port, in the order in which they
// came.
type waiters struct {
	order []waiter
	// in says which of order still wait, by their numbers.
	in     map[store.Ref[Socket]]uint64
	hidden int // those of them that come from outside
}

type waiter struct {
	r store.Ref[Socket]
	n uint64
}

// await has a connect wait for room at a listener.
func (k *Kernel) await(r store.Ref[Socket]) {
	st := &k.io.inet
	s := k.Socks.Get(r)
	w := st.connecting[s.Inet.Far.Port]
	if w == nil {
		w = &waiters{in: map[store.Ref[Socket]]uint64{}}
		st.connecting[s.Inet.Far.Port] = w
	}
	st.waits++
	w.in[r] = st.waits
	w.order = append(w.order, waiter{r, st.waits})
	if s.hidden() {
		w.hidden++
	}
}

// waits says whether it waits still, in its place.
func (w *waiters) waits(x waiter) bool { n, ok := w.in[x.r]; return ok && n == x.n }

// stopWaiting ends that; false: it did not wait.
func (k *Kernel) stopWaiting(r store.Ref[Socket]) bool {
	s := k.Socks.Get(r)
	port := s.Inet.Far.Port
	w := k.io.inet.connecting[port]
	if w == nil {
		return false
	}
	if _, ok := w.in[r]; !ok {
		return false
	}
	delete(w.in, r)
	if s.hidden() {
		w.hidden--
	}
	switch {
	case len(w.in) == 0:
		delete(k.io.inet.connecting, port)
	case len(w.order) > 2*len(w.in)+16:
		w.tidy()
	}
	return true
}

// tidy forgets those that wait no more.
func (w *waiters) tidy() {
	left := make([]waiter, 0, len(w.in))
	for _, x := range w.order {
		if w.waits(x) {
			left = append(left, x)
		}
	}
	w.order = left
}

// retry looks after connects that wait for room on a port; with all, also if who listens there is
// another than was. Else if one listens, the first that finds no room ends it: there is none for
// the others.
func (x inetSockets) retry(port uint16, all bool) {
	k := x.k
	w := k.io.inet.connecting[port]
	if w == nil {
		return
	}
	one := !all && len(k.io.inet.listening[port]) == 1
	for i := 0; i < len(w.order); i++ {
		at := w.order[i]
		if !w.waits(at) {
			continue
		}
		if !x.try(at.r) {
			if one {
				w.order = w.order[i:]
				break
			}
			continue
		}
		k.stopWaiting(at.r)
		if k.io.inet.connecting[port] != w {
			break // nobody waits any more
		}
		if len(w.order) <= i || w.order[i] != at {
			i = -1 // it was tidied meanwhile
		}
	}
	k.acceptMore()
}

// waiting is how many connections from outside wait for room at a port.
func (k *Kernel) waiting(port uint16) int {
	if w := k.io.inet.connecting[port]; w != nil {
		return w.hidden
	}
	return 0
}
