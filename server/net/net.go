// Package net is the net server: a process of its own that has the host's sockets
// of a machine, by the protocol of idl/net. It has no files and no guest's memory.
package net

import (
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
	l, err := ipc.NewLoop(conn, "net")
	if err != nil {
		return err
	}
	s := &server{poller: l.Poller}
	if s.core, err = core.New(cfg, in.Incarnation, s, func(line string) { conn.Log(2, line) }); err != nil {
		return err
	}
	l.Take, l.FD, l.Forget = s.take, s.core.Ready, s.core.Forget
	return l.Run(in, ready)
}

// server gives the loop's requests to the core, and the core the loop's poller.
type server struct {
	core   *core.Core
	poller *ipc.Poller
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

// take gives one request to the core.
func (s *server) take(b *ipc.ServerBinding, slot int) {
	var r ipc.Request
	if !b.Load(slot, &r) {
		b.Drop(slot)
		return
	}
	q := &proto.Request{Binding: b.ID, Nr: r.Nr, Args: r.Args, In: b.In(slot)[:r.InLen], Out: b.Out(slot),
		Reply: func(result uint64, n int, e abi.Errno) {
			b.Answer(slot, r.Seq, result, e, n)
			b.Complete(slot)
		}}
	if r.Kind != abi.KindService {
		q.Refuse(abi.ENOSYS)
		return
	}
	s.core.Handle(q)
}
