package fs

import (
	"fmt"
	"sync"
	"sync/atomic"

	"hythe/abi"
	"hythe/ipc"
)

// Granter gives the client of a binding a memory object; *ipc.Conn is one.
type Granter interface {
	Grant(binding uint64, object abi.Name, readOnly bool, tag uint64) abi.Errno
}

// Serve is the whole serving side of a file server: it serves all bindings that
// it inherits or gets, says that it is ready, and returns nil when it is told to
// stop, or why the control channel ended. Requests are served one at a time
// unless impl has a method Workers() int that says how many goroutines may call
// it at once (requests then also overtake each other); a method
// Unbind(binding uint64) is told when a client is gone for good.
func Serve(c *ipc.Conn, in *ipc.Inheritance, impl Server) error {
	return (*Local)(nil).Serve(c, in, impl)
}

// Serve is Serve for a server in its client's process.
func (l *Local) Serve(c *ipc.Conn, in *ipc.Inheritance, impl Server) error {
	p, err := ipc.NewPoller()
	if err != nil {
		return err
	}
	p.Give()
	crashes, err := ipc.NewCrashes(c, in)
	if err != nil {
		return fmt.Errorf("fs: %w", err)
	}
	s := &service{conn: c, impl: impl, h: &granting{impl, c}, poller: p, crashes: crashes, peers: map[uint64]*peer{}, local: l}
	for _, b := range in.Bindings {
		if b.Role == abi.RoleServer {
			if err := s.add(b); err != nil {
				return err
			}
		}
	}
	if w, ok := impl.(interface{ Workers() int }); ok && w.Workers() > 1 {
		s.jobs = make(chan job)
		for range w.Workers() {
			go s.work()
		}
	}
	l.serves(s)
	if e := c.Ready(); e != 0 {
		return fmt.Errorf("fs: ready: %w", e)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- c.Run(&ipc.Handlers{
			Binding: func(b *ipc.Bound) {
				if b.Role == abi.RoleServer {
					_ = s.add(b) // the client of a binding that cannot be mapped hangs itself
				}
			},
			Unbound: s.unbound,
			Stop:    s.stop,
		})
		s.stop()
	}()
	s.loop()
	select {
	case err := <-ended:
		return err
	default:
		return nil
	}
}

type job struct {
	p    *peer
	slot int
}

// peer is a binding in use. A slot that a worker serves keeps it mapped.
type peer struct {
	b    *ipc.ServerBinding
	refs atomic.Int32 // 1 for the service, 1 for each slot at a worker
}

type service struct {
	conn   *ipc.Conn
	impl   Server
	h      serveByHand
	poller *ipc.Poller
	jobs   chan job
	end    atomic.Bool

	crashes *ipc.Crashes
	local   *Local // nil: the process is this server's alone

	mu    sync.Mutex // guards what follows
	peers map[uint64]*peer
	gone  []*peer
}

func (s *service) add(b *ipc.Bound) error {
	sb, err := ipc.NewServerBinding(b)
	if err != nil {
		return err
	}
	p := &peer{b: sb}
	p.refs.Store(1)
	sb.User = p
	s.mu.Lock()
	s.peers[sb.ID] = p
	s.mu.Unlock()
	s.poller.Add(sb)
	return nil
}

func (s *service) unbound(id uint64) {
	s.mu.Lock()
	if p := s.peers[id]; p != nil {
		delete(s.peers, id)
		s.gone = append(s.gone, p)
	}
	s.mu.Unlock()
	s.poller.Wake()
}

func (s *service) stop() {
	s.end.Store(true)
	s.poller.Wake()
}

func (p *peer) drop() {
	if p.refs.Add(-1) == 0 {
		p.b.Close()
	}
}

func (s *service) loop() {
	var q ipc.Request
	for !s.end.Load() {
		r := s.poller.Wait(-1)
		switch r.Kind {
		case ipc.ReadySlot:
			p := r.Binding.User.(*peer)
			if s.jobs == nil {
				s.handle(r.Binding, r.Slot, &q)
				continue
			}
			p.refs.Add(1)
			s.jobs <- job{p, r.Slot}
		case ipc.ReadyWake:
			s.mu.Lock()
			gone := s.gone
			s.gone = nil
			s.mu.Unlock()
			for _, p := range gone {
				s.poller.Remove(p.b)
				if u, ok := s.impl.(interface{ Unbind(uint64) }); ok {
					s.local.enter(nil)
					u.Unbind(p.b.ID)
					s.local.leave()
				}
				p.drop()
			}
		}
	}
	if s.jobs != nil {
		close(s.jobs)
	}
}

func (s *service) work() {
	var q ipc.Request
	for j := range s.jobs {
		s.handle(j.p.b, j.slot, &q)
		j.p.drop()
	}
}

// handle serves the request on one slot, unless it crashed this server before.
func (s *service) handle(b *ipc.ServerBinding, slot int, q *ipc.Request) {
	if s.crashes.Refuses(b, slot, q) {
		return
	}
	defer func() {
		if v := recover(); v != nil {
			s.crashes.Note(b.ID, slot, q.Seq)
			panic(v)
		}
	}()
	s.local.enter(nil)
	handle(b, slot, q, s.impl, s.h)
	s.local.leave()
}

// Handle serves the request on one slot: it decodes, calls impl and answers. q
// is scratch. A request that makes no sense is answered with EINVAL, an unknown
// operation with ENOSYS.
func Handle(b *ipc.ServerBinding, slot int, q *ipc.Request, impl Server, g Granter) {
	handle(b, slot, q, impl, &granting{impl, g})
}

func handle(b *ipc.ServerBinding, slot int, q *ipc.Request, impl Server, h serveByHand) {
	if !b.Load(slot, q) {
		b.Drop(slot)
		return
	}
	result, n, err := uint64(0), 0, abi.EINVAL
	if q.Kind == abi.KindService {
		result, n, err = dispatch(b.ID, q, b.In(slot)[:q.InLen:q.InLen], b.Out(slot), impl, h)
	}
	if err != 0 {
		result, n = 0, 0
	}
	b.Answer(slot, q.Seq, result, err, n)
	b.Complete(slot)
}
