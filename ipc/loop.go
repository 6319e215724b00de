package ipc

import (
	"fmt"
	"sync"
)

// Loop serves the bindings of a server on one goroutine, that of Run. Its fields are
// set before Run.
type Loop struct {
	// Poller is the loop's; the server may add descriptors to it.
	Poller *Poller
	// Take has one request, of which it loads what it needs; it answers now or later.
	Take func(b *ServerBinding, slot int)
	// FD is told of a descriptor that is ready (Ready.Token, Ready.Events).
	FD func(token uint64, events uint32)
	// Forget is told that a binding's peer is gone: nothing touches its slots from
	// then on.
	Forget func(binding uint64)

	name string
	conn *Conn

	mu       sync.Mutex
	bindings map[uint64]*ServerBinding // guarded by mu
	leaving  []uint64                  // guarded by mu: peers that are gone, for Run
	ending   bool                      // guarded by mu
	err      error                     // guarded by mu: of the end
}

// NewLoop makes the loop of a server; name stands before what it logs.
func NewLoop(c *Conn, name string) (*Loop, error) {
	p, err := NewPoller()
	if err != nil {
		return nil, err
	}
	return &Loop{Poller: p, name: name, conn: c, bindings: map[uint64]*ServerBinding{}}, nil
}

// Run takes up the bindings that the server inherits, calls ready (nil: nothing; to
// confine the process), says that the server serves and does so until the nucleus says
// stop, which is no error.
func (l *Loop) Run(in *Inheritance, ready func() error) error {
	for _, b := range in.Bindings {
		l.add(b)
	}
	if ready != nil {
		if err := ready(); err != nil {
			return err
		}
	}
	if e := l.conn.Ready(); e != 0 {
		return fmt.Errorf("%s: %w", l.name, e)
	}
	go func() {
		l.end(l.conn.Run(&Handlers{Binding: l.add, Unbound: l.unbound, Stop: func() { l.end(nil) }}))
	}()
	for {
		switch r := l.Poller.Wait(-1); r.Kind {
		case ReadySlot:
			l.Take(r.Binding, r.Slot)
		case ReadyFD:
			l.FD(r.Token, r.Events)
		case ReadyWake:
			if over, err := l.bury(); over {
				return err
			}
		}
	}
}

func (l *Loop) add(b *Bound) {
	sb, err := NewServerBinding(b)
	if err != nil {
		l.conn.Log(1, l.name+": "+err.Error())
		return
	}
	l.mu.Lock()
	l.bindings[b.ID] = sb
	l.mu.Unlock()
	l.Poller.Add(sb)
}

func (l *Loop) unbound(id uint64) {
	l.mu.Lock()
	l.leaving = append(l.leaving, id)
	l.mu.Unlock()
	l.Poller.Wake()
}

func (l *Loop) end(err error) {
	l.mu.Lock()
	if !l.ending {
		l.ending, l.err = true, err
	}
	l.mu.Unlock()
	l.Poller.Wake()
}

// bury closes the bindings whose peer is gone, and says whether to end.
func (l *Loop) bury() (over bool, err error) {
	l.mu.Lock()
	var gone []*ServerBinding
	for _, id := range l.leaving {
		if b := l.bindings[id]; b != nil {
			delete(l.bindings, id)
			gone = append(gone, b)
		}
	}
	l.leaving = nil
	over, err = l.ending, l.err
	l.mu.Unlock()
	for _, b := range gone {
		l.Poller.Remove(b)
		l.Forget(b.ID)
		b.Close()
	}
	return over, err
}
