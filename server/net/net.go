// Package net is the net server: a process of its own that has the host's sockets
// of a machine, by the protocol of idl/net. It has no files and no guest's memory.
package net

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"hythe/abi"
	proto "hythe/idl/net"
	"hythe/ipc"
	"hythe/server/net/core"
)

// PortLabel is the durable label of the port on which its client binds. The
// supervisor makes the port and gives the server its receive right.
const PortLabel = "net"

// Main is a net server's process: it serves until the nucleus tells it to stop.
// ready is called when it is about to serve (to confine the process).
func Main(conn *ipc.Conn, ready func() error) error {
	in, err := ipc.Startup(conn)
	if err != nil {
		return err
	}
	var cfg core.Config
	if err := in.Decode(&cfg); err != nil {
		return err
	}
	s := &server{conn: conn, bindings: map[uint64]*ipc.ServerBinding{}}
	if s.poller, err = ipc.NewPoller(); err != nil {
		return err
	}
	if s.core, err = core.New(cfg, in.Incarnation, s, func(line string) { conn.Log(2, line) }); err != nil {
		return err
	}
	for _, b := range in.Bindings {
		s.add(b)
	}
	if ready != nil {
		if err := ready(); err != nil {
			return err
		}
	}
	if e := conn.Ready(); e != 0 {
		return fmt.Errorf("net: %w", e)
	}
	go func() {
		err := conn.Run(&ipc.Handlers{
			Binding: s.add,
			Unbound: s.unbound,
			Stop:    func() { s.end(nil) },
		})
		s.end(err)
	}()
	return s.serve()
}

// server is the serve loop around the core.
type server struct {
	conn   *ipc.Conn
	core   *core.Core
	poller *ipc.Poller

	mu       sync.Mutex
	bindings map[uint64]*ipc.ServerBinding
	leaving  []uint64 // bindings whose peer is gone, to be closed by serve
	ending   bool
	err      error
}

// Add implements core.Poll.
func (s *server) Add(fd int, id uint64, write bool) (int, error) {
	ev := uint32(unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET)
	if write {
		ev |= unix.EPOLLOUT
	}
	return s.poller.AddFD(fd, ev, id)
}

// Remove implements core.Poll.
func (s *server) Remove(reg int) { s.poller.RemoveFD(reg) }

func (s *server) add(b *ipc.Bound) {
	sb, err := ipc.NewServerBinding(b)
	if err != nil {
		s.conn.Log(1, "net: "+err.Error())
		return
	}
	s.mu.Lock()
	s.bindings[b.ID] = sb
	s.mu.Unlock()
	s.poller.Add(sb)
}

func (s *server) unbound(id uint64) {
	s.mu.Lock()
	s.leaving = append(s.leaving, id)
	s.mu.Unlock()
	s.poller.Wake()
}

func (s *server) end(err error) {
	s.mu.Lock()
	if !s.ending {
		s.ending, s.err = true, err
	}
	s.mu.Unlock()
	s.poller.Wake()
}

// serve takes requests and the host's word of sockets until the end.
func (s *server) serve() error {
	for {
		switch r := s.poller.Wait(-1); r.Kind {
		case ipc.ReadySlot:
			s.take(r.Binding, r.Slot)
		case ipc.ReadyFD:
			s.core.Ready(r.Token, r.Events)
		case ipc.ReadyWake:
			if over, err := s.bury(); over {
				return err
			}
		}
	}
}

// bury closes the bindings whose peer is gone, and says whether to end.
func (s *server) bury() (over bool, err error) {
	s.mu.Lock()
	var gone []*ipc.ServerBinding
	for _, id := range s.leaving {
		if b := s.bindings[id]; b != nil {
			delete(s.bindings, id)
			gone = append(gone, b)
		}
	}
	s.leaving = nil
	over, err = s.ending, s.err
	s.mu.Unlock()
	for _, b := range gone {
		s.poller.Remove(b)
		s.core.Forget(b.ID) // nothing touches its slots from here on
		b.Close()
	}
	return over, err
}

// take gives one request to the core.
func (s *server) take(b *ipc.ServerBinding, slot int) {
	var r ipc.Request
	if !b.Load(slot, &r) {
		b.Drop(slot)
		return
	}
	reply := func(result uint64, n int, e abi.Errno) {
		b.Answer(slot, r.Seq, result, e, n)
		b.Complete(slot)
	}
	if r.Kind != abi.KindService {
		reply(0, 0, abi.ENOSYS)
		return
	}
	q := &core.Request{Binding: b.ID, Nr: r.Nr, Args: [3]uint64(r.Args[:3]), Seq: r.Args[7], Out: b.Out(slot), Reply: reply}
	q.In = b.In(slot)[:min(r.InLen, abi.SlotInSize)]
	if q.Nr != proto.OpSend {
		// The client could change it between two looks; a stream's bytes are not
		// looked at.
		q.In = append([]byte(nil), q.In...)
	}
	s.core.Handle(q)
}
