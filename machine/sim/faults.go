package sim

import (
	"slices"

	"hythe/abi"
	"hythe/machine"
)

// Faults is the address space of a task as far as pages are supplied to it: a test
// touches pages, and sees who is woken.
type Faults struct {
	m      *Machine
	sink   machine.FaultSink
	closed bool
	// Base and Len are what is watched.
	Base, Len uint64
	// Woken, Protected and Poisoned are what the nucleus did: address and length.
	Woken, Protected, Poisoned [][2]uint64
	// NoPoison: the host lacks it. NoProtect: the range is not registered.
	NoPoison, NoProtect bool
	// Stalled: the task keeps the host from protecting anything, until it has ended or there is an Answer.
	Stalled bool
	stalled []func(error)
}

// NewFaults makes what a task would hand over, and the test's end of it.
func (m *Machine) NewFaults() (machine.Handle, *Faults) {
	h := m.handle(KindFaults)
	h.Faults = &Faults{m: m}
	return h, h.Faults
}

func (w *Faults) tell(f func()) {
	w.m.events = append(w.m.events, func() {
		if w.sink != nil && !w.closed {
			f()
		}
	})
}

// Fault is a thread of the task that touches a page which is not there, or is locked.
// The nucleus hears of it in Run.
func (w *Faults) Fault(addr uint64, write, locked bool) {
	w.tell(func() { w.sink.Fault(addr, write, locked) })
}

// Unmap is the task that unmaps a part, Move one that maps it elsewhere.
func (w *Faults) Unmap(addr, n uint64) { w.tell(func() { w.sink.Unmapped(addr, n) }) }

// Move: see Unmap.
func (w *Faults) Move(from, to, n uint64) { w.tell(func() { w.sink.Moved(from, to, n) }) }

// WatchFaults implements machine.Machine.
func (m *Machine) WatchFaults(h machine.Handle, base, n uint64, sink machine.FaultSink) (machine.Faults, error) {
	w := h.(*Handle).Faults
	if w == nil {
		return nil, ErrInjected
	}
	w.sink, w.Base, w.Len = sink, base, n
	return w, nil
}

// Wake implements machine.Faults.
func (w *Faults) Wake(addr, n uint64) { w.Woken = append(w.Woken, [2]uint64{addr, n}) }

// Protect implements machine.Faults.
func (w *Faults) Protect(addr, n uint64, on bool, done func(error)) {
	if w.Stalled {
		w.stalled = append(w.stalled, done)
		return
	}
	r := [2]uint64{addr, n}
	var err error
	switch i := slices.Index(w.Protected, r); {
	case w.NoProtect:
		err = abi.ENOSYS
	case on && i < 0:
		w.Protected = append(w.Protected, r)
	case !on && i >= 0:
		w.Protected = slices.Delete(w.Protected, i, i+1)
	}
	w.m.Go(func() { done(err) })
}

// Poison implements machine.Faults.
func (w *Faults) Poison(addr, n uint64, done func(error)) {
	err := error(abi.ENOSYS)
	if !w.NoPoison {
		w.Poisoned, err = append(w.Poisoned, [2]uint64{addr, n}), nil
	}
	w.m.Go(func() { done(err) })
}

// Close implements machine.Faults.
func (w *Faults) Close() {
	w.closed = true
	w.Answer(nil)
}

// Answer is what becomes of what is Stalled.
func (w *Faults) Answer(err error) {
	for _, done := range w.stalled {
		w.m.Go(func() { done(err) })
	}
	w.stalled = nil
}

// Closed says that the nucleus gave it up.
func (w *Faults) Closed() bool { return w.closed }

// Take implements machine.Context.
func (c *Channel) Take(fd uint64) (machine.Handle, bool) {
	h := c.Open[fd]
	if h == nil || c.ended {
		return nil, false
	}
	h.Retain()
	return h, true
}

// FillPages implements machine.Machine.
func (m *Machine) FillPages(h machine.Handle, off, n uint64) error {
	if m.fails(OpFill) {
		return ErrInjected
	}
	s := h.(*Handle).Storage
	s.Filled = append(s.Filled, [2]uint64{off, n})
	return nil
}

// StorePages implements machine.Machine.
func (m *Machine) StorePages(h machine.Handle, off uint64, b []byte) error {
	return m.FillPages(h, off, uint64(len(b)))
}

// AbsentPages implements machine.Machine: what was not filled.
func (m *Machine) AbsentPages(h machine.Handle, off, n uint64) uint64 {
	for _, r := range h.(*Handle).Storage.Filled {
		if r[0] < off+n && off < r[0]+r[1] {
			n = max(r[0], off) - off
		}
	}
	return n
}

// PunchPages implements machine.Machine.
func (m *Machine) PunchPages(h machine.Handle, off, n uint64) error {
	s := h.(*Handle).Storage
	s.Punched = append(s.Punched, [2]uint64{off, n})
	var left [][2]uint64
	for _, r := range s.Filled {
		from, end := r[0], r[0]+r[1]
		if from < min(end, off) {
			left = append(left, [2]uint64{from, min(end, off) - from})
		}
		if from = max(from, off+n); from < end {
			left = append(left, [2]uint64{from, end - from})
		}
	}
	s.Filled = left
	return nil
}
