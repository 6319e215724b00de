// Package core holds the nucleus's pure algorithms: queues, the algebra of port
// rights, and the allocation of names. It knows no task and no machine.
package core

import "hythe/abi"

// Deque is a double-ended queue. The zero value is empty.
type Deque[T any] struct {
	buf  []T
	head int
	n    int
}

// keepLen is how many places an empty queue keeps: one that is filled and emptied
// all the time need not be made anew each time.
const keepLen = 16

// Len is the number of elements.
func (d *Deque[T]) Len() int { return d.n }

// At returns the i-th element from the front; i must be below Len.
func (d *Deque[T]) At(i int) T { return d.buf[(d.head+i)%len(d.buf)] }

func (d *Deque[T]) grow() {
	if d.n < len(d.buf) {
		return
	}
	nb := make([]T, max(4, 2*len(d.buf)))
	for i := range d.n {
		nb[i] = d.At(i)
	}
	d.buf, d.head = nb, 0
}

// PushBack appends v.
func (d *Deque[T]) PushBack(v T) {
	d.grow()
	d.buf[(d.head+d.n)%len(d.buf)] = v
	d.n++
}

// PushFront puts v before all others.
func (d *Deque[T]) PushFront(v T) {
	d.grow()
	d.head = (d.head + len(d.buf) - 1) % len(d.buf)
	d.buf[d.head] = v
	d.n++
}

// PushFrontOrdered puts v before all others but those at the front that are less.
func (d *Deque[T]) PushFrontOrdered(v T, less func(a, b T) bool) {
	d.PushFront(v)
	for i := 1; i < d.n && less(d.At(i), v); i++ {
		j, k := (d.head+i-1)%len(d.buf), (d.head+i)%len(d.buf)
		d.buf[j], d.buf[k] = d.buf[k], d.buf[j]
	}
}

// PopFront removes the first element; false when there is none.
func (d *Deque[T]) PopFront() (v T, ok bool) {
	if d.n == 0 {
		return v, false
	}
	var zero T
	v = d.buf[d.head]
	d.buf[d.head] = zero // so that nothing is kept alive by a free place
	d.head = (d.head + 1) % len(d.buf)
	d.n--
	if d.n == 0 && len(d.buf) > keepLen {
		d.buf, d.head = nil, 0
	}
	return v, true
}

// Remove takes out the first element that match accepts.
func (d *Deque[T]) Remove(match func(T) bool) bool {
	for i := range d.n {
		if !match(d.At(i)) {
			continue
		}
		for j := i; j+1 < d.n; j++ {
			d.buf[(d.head+j)%len(d.buf)] = d.At(j + 1)
		}
		var zero T
		d.buf[(d.head+d.n-1)%len(d.buf)] = zero
		d.n--
		return true
	}
	return false
}

// MaskOf is the bit of a kind of right (abi.RightSend...) in a rights mask, as
// CallPortStatus reports it.
func MaskOf(kind uint8) uint8 { return 1 << kind }

// Result is the kind of right that a disposition makes, 0 if it is unknown.
func Result(disp uint8) uint8 {
	switch disp {
	case abi.MoveReceive:
		return abi.RightReceive
	case abi.MoveSend, abi.CopySend, abi.MakeSend:
		return abi.RightSend
	case abi.MoveSendOnce, abi.MakeSendOnce:
		return abi.RightSendOnce
	}
	return 0
}

// Holding is what is left of one name's rights while the rights of a message
// are checked one after the other, before any is taken.
type Holding struct {
	Mask  uint8  // MaskOf each right held
	Urefs uint32 // user references of the send right or dead name
}

// Take accounts for one use of the name by a disposition: EINVAL for an unknown
// disposition, EPERM when the right is not (or no longer) held. A dead name
// serves wherever a send or send-once right would: the receiver gets a dead one.
func (h *Holding) Take(disp uint8) abi.Errno {
	const (
		recv = 1 << abi.RightReceive
		send = 1 << abi.RightSend
		once = 1 << abi.RightSendOnce
		dead = 1 << abi.RightDead
	)
	useRef := func(bit uint8) abi.Errno {
		if h.Urefs == 0 {
			return abi.EPERM
		}
		if h.Urefs--; h.Urefs == 0 {
			h.Mask &^= bit
		}
		return 0
	}
	switch disp {
	case abi.MoveReceive:
		if h.Mask&recv == 0 {
			return abi.EPERM
		}
		h.Mask &^= recv
	case abi.MakeSend, abi.MakeSendOnce:
		if h.Mask&recv == 0 {
			return abi.EPERM
		}
	case abi.CopySend:
		if h.Mask&(send|dead) == 0 {
			return abi.EPERM
		}
	case abi.MoveSend:
		if h.Mask&(send|dead) == 0 {
			return abi.EPERM
		}
		return useRef(h.Mask & (send | dead))
	case abi.MoveSendOnce:
		switch {
		case h.Mask&once != 0:
			h.Mask &^= once
		case h.Mask&dead != 0:
			return useRef(dead)
		default:
			return abi.EPERM
		}
	default:
		return abi.EINVAL
	}
	return 0
}

// Names hands out names: an index with a generation in the low byte, so that a
// stale name is not soon mistaken for a new one. Indexes are used again in the
// order in which they were given back.
type Names struct {
	index []struct {
		gen uint8
		out bool // New gave the name, and Put has not had it back
	}
	free Deque[uint32]
}

// New returns a name that used does not claim (a task may give a right any name). What
// it tries, and what it keeps, is bound by how many names are claimed.
func (n *Names) New(used func(abi.Name) bool) abi.Name {
	try := func(i uint32) (abi.Name, bool) {
		x := &n.index[i]
		name := abi.Name((i+1)<<8 | uint32(x.gen))
		if x.out = !used(name); x.out {
			return name, true
		}
		x.gen++
		n.free.PushBack(i)
		return 0, false
	}
	for range n.free.Len() {
		i, _ := n.free.PopFront()
		if name, ok := try(i); ok {
			return name
		}
	}
	for {
		n.index = append(n.index, struct {
			gen uint8
			out bool
		}{})
		if name, ok := try(uint32(len(n.index) - 1)); ok {
			return name
		}
	}
}

// Put gives a name back. Names that New did not make are ignored.
func (n *Names) Put(name abi.Name) {
	i := uint32(name)>>8 - 1
	if name>>8 == 0 || i >= uint32(len(n.index)) {
		return
	}
	if x := &n.index[i]; x.out && x.gen == uint8(name) {
		x.out = false
		x.gen++
		n.free.PushBack(i)
	}
}
