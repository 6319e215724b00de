// Package net is the net server: a process of its own that has the host's sockets
// of a machine, or a stack of protocols on a link of packets, by the protocol of idl/net. It has
// no files and no guest's memory.
package net

import (
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"hythe/abi"
	proto "hythe/idl/net"
	"hythe/ipc"
	"hythe/server/net/core"
)

// PortLabel is the durable label of the port on which its client binds. The
// supervisor makes the port and gives the server its receive right.
const PortLabel = "net"

// NewLink makes the stack of protocols on a link (server/net/stack): notify takes what is new of
// its sockets, lost that the link has ended; both from any goroutine.
type NewLink func(cfg *core.LinkConfig, notify func(id uint64, bits uint32, end bool), lost func(error)) (core.Link, error)

// Main is a net server's process: it serves until the nucleus tells it to stop.
// ready is called when it is about to serve (to confine the process). link is for a server whose
// outside is made of packets.
func Main(conn *ipc.Conn, ready func() error, link NewLink) error {
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
	s := &server{poller: l.Poller, news: map[uint64]uint32{}}
	var outside core.Link
	if link != nil {
		if outside, err = s.open(&cfg, link); err != nil {
			return err
		}
	}
	if s.core, err = core.New(cfg, in.Incarnation, s, outside, func(line string) { conn.Log(2, line) }); err != nil {
		return err
	}
	s.core.Hands = &hands{conn}
	// What the last incarnation was about to lend when it died.
	for _, r := range in.Rights {
		if r.Kind == abi.RightObject {
			if r.FD >= 0 {
				ipc.CloseFD(r.FD)
			}
			conn.Post(abi.CallPortDeallocate, [6]uint64{uint64(r.Name)}, func(abi.Errno) {})
		}
	}
	l.Take, l.FD, l.Forget = s.take, s.ready, s.core.Forget
	return l.Run(in, ready)
}

// server gives the loop's requests to the core, and the core the loop's poller.
type server struct {
	core   *core.Core
	poller *ipc.Poller

	wake int // an eventfd, by which the link's goroutines wake the loop
	mu   sync.Mutex
	news map[uint64]uint32 // what they have for it: bits of proto.Event, and newsEnd. guarded by mu
	lost error             // guarded by mu
}

// newsEnd is a bit of server.news.
const newsEnd = 1 << 31

// wakeID is the id of server.wake at the poller, which no socket has.
const wakeID = ^uint64(0)

// open makes the link.
func (s *server) open(cfg *core.Config, link NewLink) (core.Link, error) {
	if cfg.Link == nil {
		return nil, fmt.Errorf("there is no link")
	}
	var err error
	if s.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, err
	}
	if _, err := s.poller.AddFD(s.wake, unix.EPOLLIN|unix.EPOLLET, wakeID); err != nil {
		return nil, err
	}
	return link(cfg.Link, func(id uint64, bits uint32, end bool) {
		if end {
			bits |= newsEnd
		}
		s.mu.Lock()
		first := len(s.news) == 0
		s.news[id] |= bits
		s.mu.Unlock()
		if first {
			s.prod()
		}
	}, func(err error) {
		s.mu.Lock()
		s.lost = err
		s.mu.Unlock()
		s.prod()
	})
}

func (s *server) prod() {
	_, _ = unix.Write(s.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // full, it is awake
}

// ready takes what the poller says of a descriptor.
func (s *server) ready(id uint64, events uint32) {
	if id != wakeID {
		s.core.Ready(id, events)
		return
	}
	var b [8]byte
	_, _ = unix.Read(s.wake, b[:])
	s.mu.Lock()
	news, lost := s.news, s.lost
	s.news = map[uint64]uint32{}
	s.mu.Unlock()
	if lost != nil {
		// Without its link it is of no use; the next one gets a new one.
		fmt.Fprintln(os.Stderr, "link: "+lost.Error())
		os.Exit(1)
	}
	for id, bits := range news {
		s.core.Happened(id, bits&^newsEnd, bits&newsEnd != 0)
	}
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

// hands implements core.Hands by the nucleus.
type hands struct{ conn *ipc.Conn }

// takeWithin is how long a grant that the client speaks of may take to come.
const takeWithin = time.Second

func (h *hands) Hand(binding, tag uint64, fd int) abi.Errno {
	n, e := h.conn.ImportObject(fd, "")
	if e != 0 {
		return e
	}
	e = h.conn.Grant(binding, n, false, tag)
	_ = h.conn.Deallocate(n)
	return e
}

func (h *hands) Take(binding, tag uint64) (int, abi.Errno) {
	g, e := h.conn.TakeGrant(binding, tag, takeWithin)
	if e != 0 {
		return -1, e
	}
	_ = h.conn.Deallocate(g.Object)
	return g.FD, 0
}

func (h *hands) Cut(fd int) error { return ipc.Disconnect(fd) }
