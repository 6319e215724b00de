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
	f      func(addr uint64, write, locked bool)
	closed bool
	// Woken, Protected and Poisoned are what the nucleus did: address and length.
	Woken, Protected, Poisoned [][2]uint64
	// NoPoison: the host lacks it. NoProtect: the range is not registered.
	NoPoison, NoProtect bool
}

// NewFaults makes what a task would hand over, and the test's end of it.
func (m *Machine) NewFaults() (machine.Handle, *Faults) {
	h := m.handle(KindFaults)
	h.Faults = &Faults{m: m}
	return h, h.Faults
}

// Fault is a thread of the task that touches a page which is not there, or is locked.
// The nucleus hears of it in Run.
func (w *Faults) Fault(addr uint64, write, locked bool) {
	w.m.events = append(w.m.events, func() {
		if w.f != nil && !w.closed {
			w.f(addr, write, locked)
		}
	})
}

// WatchFaults implements machine.Machine.
func (m *Machine) WatchFaults(h machine.Handle, f func(addr uint64, write, locked bool)) (machine.Faults, error) {
	w := h.(*Handle).Faults
	if w == nil {
		return nil, ErrInjected
	}
	w.f = f
	return w, nil
}

// Wake implements machine.Faults.
func (w *Faults) Wake(addr, n uint64) { w.Woken = append(w.Woken, [2]uint64{addr, n}) }

// Protect implements machine.Faults.
func (w *Faults) Protect(addr, n uint64, on bool) error {
	r := [2]uint64{addr, n}
	switch i := slices.Index(w.Protected, r); {
	case w.NoProtect:
		return abi.ENOSYS
	case on && i < 0:
		w.Protected = append(w.Protected, r)
	case !on && i >= 0:
		w.Protected = slices.Delete(w.Protected, i, i+1)
	}
	return nil
}

// Poison implements machine.Faults.
func (w *Faults) Poison(addr, n uint64) error {
	if w.NoPoison {
		return abi.ENOSYS
	}
	w.Poisoned = append(w.Poisoned, [2]uint64{addr, n})
	return nil
}

// Close implements machine.Faults.
func (w *Faults) Close() { w.closed = true }

// Closed says that the nucleus gave it up.
func (w *Faults) Closed() bool { return w.closed }

// FillPages implements machine.Machine.
func (m *Machine) FillPages(h machine.Handle, off, n uint64) error {
	if m.fails(OpFill) {
		return ErrInjected
	}
	s := h.(*Handle).Storage
	s.Filled = append(s.Filled, [2]uint64{off, n})
	return nil
}

// PunchPages implements machine.Machine.
func (m *Machine) PunchPages(h machine.Handle, off, n uint64) error {
	s := h.(*Handle).Storage
	s.Punched = append(s.Punched, [2]uint64{off, n})
	return nil
}
