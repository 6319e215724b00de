// Package core is the net server without ports: it carries out the requests of
// idl/net on host sockets, and holds what a machine may reach (policy.go). It has no
// state of record: its sockets end with it, and their ids with them; what is handed
// to each incarnation, the published ports, is told apart by its place.
package core

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"hythe/abi"
	proto "hythe/idl/net"
)

// Config is what the supervisor tells a net server.
type Config struct {
	// Resolver is where what is sent to the machine's resolver goes; Resolvers are
	// all of the host's, which may be named too. Port 53 only.
	Resolver  netip.AddrPort
	Resolvers []netip.AddrPort
	// Allow is what may be reached whatever else is said, Deny what may not.
	Allow, Deny []Rule
	Published   []Published
	// Link is given where the outside is made of packets: then nothing but Published has to
	// do with the host's sockets, and who is reached is the network's business.
	Link *LinkConfig `json:",omitempty"`
}

// Published is a host socket that was handed over at descriptor FD: one that
// listens, or one of UDP that is bound.
type Published struct {
	FD  int
	UDP bool
}

// Addresses of the machine's network.
var (
	// Gateway and Gateway6 are the host's loopback interface, as guests name it.
	Gateway  = netip.AddrFrom4([4]byte{10, 0, 2, 2})
	Gateway6 = netip.MustParseAddr("fd00:10:0:2::2")
	// Resolver is the machine's resolver.
	Resolver = netip.AddrFrom4([4]byte{10, 0, 2, 3})
)

// Poll tells of host sockets: Add has it call Core.Ready (that there is room to
// write only with write), Remove ends that, before the socket is closed.
type Poll interface {
	Add(fd int, id uint64, write bool) (int, error)
	Remove(reg int)
}

// Hands passes host sockets to the client and takes them from it, by a binding.
type Hands interface {
	// Hand grants the client a descriptor, which stays the server's, under tag.
	Hand(binding, tag uint64, fd int) abi.Errno
	// Take answers the descriptor that the client has granted under tag.
	Take(binding, tag uint64) (fd int, e abi.Errno)
	// Cut connects a socket to nobody, whoever else has it: the other end is reset.
	Cut(fd int) error
}

// Bounds: sockets of one machine, addresses that a UDP socket knows, lines of the
// log about addresses.
const (
	maxSockets = 16 << 10
	maxPeers   = 256
	maxRefused = 1024
)

// Core is a net server. Its methods are for one goroutine.
type Core struct {
	cfg  Config
	link Link // nil: the outside is the host's own sockets
	inc  uint64
	poll Poll
	// Hands is for Lend and Adopt; nil: nothing is lent. Set before the first request.
	Hands  Hands
	lender uint64 // the last incarnation of the client that is known of
	log    func(string)

	socks    map[uint64]*sock
	accepted uint64
	ready    map[uint64]uint32
	order    []uint64       // keys of ready, in the order in which they came
	events   *proto.Request // waits for something to be ready
	told     map[netip.AddrPort]bool
	scratch  []byte
}

// sock is a host socket.
type sock struct {
	id        uint64
	fd, reg   int
	stream    stream // of TCP, but for a published port
	link      LinkSocket
	udp       bool
	echo      bool // then udp, too
	six       bool // of IPv6; of UDP it is for both
	published bool
	had       bool      // it was lent, and may be in others' hands
	lent      bool      // the client has it, too, and receives by it: here it is looked at for room to send only, when there was none
	starved   bool      // published, and the host has a connection for which there was no room
	listens   bool      // by Bind
	begun     bool      // of a link: a connect is under way
	done      bool      // a connect has come to its end
	err       abi.Errno // then: how
	seq       uint64    // the last OpSend or OpAccept that was answered
	n         int       // OpSend: its result
	acc       accepted  // OpAccept: its answer
	// What came of the stream from offset base on, and the client may not have got;
	// lost is the error that ended it.
	base uint64
	last []byte
	lost abi.Errno
	end  bool // of the stream, or an error, lies behind what the host has of it

	// Of UDP: to whom it has sent (or, a published one, who has sent to it), as
	// guests name them and as the host does.
	real      map[netip.AddrPort]netip.AddrPort
	name      map[netip.AddrPort]netip.AddrPort
	peers     []netip.AddrPort
	connected netip.AddrPort
	answers   []answer // of a link: to questions for names
}

// accepted is an answer to OpAccept.
type accepted struct {
	id   uint64 // 0: none was given
	from netip.AddrPort
}

// New makes the server; link, where it is not nil, is the outside, log takes a line for the
// machine's log.
func New(cfg Config, incarnation uint64, poll Poll, link Link, log func(string)) (*Core, error) {
	c := &Core{cfg: cfg, link: link, inc: incarnation, poll: poll, log: log,
		socks: map[uint64]*sock{}, ready: map[uint64]uint32{}, told: map[netip.AddrPort]bool{}, scratch: make([]byte, 64<<10)}
	for i, p := range cfg.Published {
		if err := unix.SetNonblock(p.FD, true); err != nil {
			return nil, fmt.Errorf("published port %d: %w", i, err)
		}
		s, err := c.add(proto.PublishedID(i), p.FD, p.UDP)
		if err != nil {
			return nil, fmt.Errorf("published port %d: %w", i, err)
		}
		s.published, s.done = true, true
	}
	return c, nil
}

func (c *Core) add(id uint64, fd int, udp bool) (*sock, error) {
	if len(c.socks) >= maxSockets {
		return nil, unix.ENOBUFS
	}
	reg, err := c.poll.Add(fd, id, !udp)
	if err != nil {
		return nil, err
	}
	s := &sock{id: id, fd: fd, reg: reg, stream: hostStream(fd), udp: udp}
	if udp {
		me, err := unix.Getsockname(fd)
		if err != nil {
			delete(c.socks, id)
			c.poll.Remove(reg)
			return nil, err
		}
		_, s.six = me.(*unix.SockaddrInet6)
	}
	c.socks[id] = s
	return s, nil
}

// unwatch ends that something is told of a socket, if it is: its registration may be another's afterwards.
func (c *Core) unwatch(s *sock) {
	if s.reg >= 0 {
		c.poll.Remove(s.reg)
	}
	s.reg = -1
}

// Handle carries a request out. It never waits.
func (c *Core) Handle(r *proto.Request) { proto.Dispatch(r, c) }

// Events implements proto.Server.
func (c *Core) Events(r *proto.Request, known uint64) {
	if c.events != nil {
		c.events.Refuse(abi.ECANCELED)
	}
	c.events = r
	c.tell(known != c.inc)
}

// Connect implements proto.Server.
func (c *Core) Connect(r *proto.Request, id uint64, to netip.AddrPort) {
	r.AnswerConnect(c.inc, c.connect(id, to))
}

// SendTo implements proto.Server.
func (c *Core) SendTo(r *proto.Request, id uint64, connected bool, dgrams []byte) {
	r.AnswerSendTo(c.sendTo(id, connected, false, dgrams))
}

// SendEcho implements proto.Server.
func (c *Core) SendEcho(r *proto.Request, id uint64, connected bool, dgrams []byte) {
	r.AnswerSendEcho(c.sendTo(id, connected, true, dgrams))
}

// known answers a socket, nil when it has refused the request for there is none.
func (c *Core) known(r *proto.Request, id uint64) *sock {
	s := c.socks[id]
	if s == nil {
		r.Refuse(abi.ECONNRESET)
	}
	return s
}

// Accept implements proto.Server.
func (c *Core) Accept(r *proto.Request, id, seq uint64) {
	if s := c.known(r, id); s != nil {
		a, e := c.accept(s, seq)
		r.AnswerAccept(c.inc, a.id, a.from, e)
	}
}

// Send implements proto.Server.
func (c *Core) Send(r *proto.Request, id, seq, taken uint64, data []byte) {
	if s := c.known(r, id); s != nil {
		s.confirm(taken)
		n, e := s.send(seq, data)
		if s.lent && (e == abi.EAGAIN || e == 0 && n < len(data)) {
			e = c.room(s, e)
		}
		r.AnswerSend(n, e)
	}
}

// Recv implements proto.Server.
func (c *Core) Recv(r *proto.Request, id uint64, n int, taken uint64) {
	s := c.known(r, id)
	if s == nil {
		return
	}
	c.back(s)
	n, e := s.recv(r.Out[:min(n, len(r.Out), proto.MaxData)], taken)
	r.AnswerRecv(r.Out[:n], e)
	if e == 0 && n > 0 && s.end {
		// The host has told already that there is no more behind this.
		c.note(id, proto.In)
		c.tell(false)
	}
}

// Shut implements proto.Server.
func (c *Core) Shut(r *proto.Request, id uint64) {
	if s := c.known(r, id); s != nil {
		r.AnswerShut(s.stream.Shut())
	}
}

// Close implements proto.Server.
func (c *Core) Close(r *proto.Request, id uint64, hard bool) {
	s := c.known(r, id)
	if s == nil {
		return
	}
	if !s.published {
		c.close(s, hard)
	}
	r.AnswerClose(0)
}

// RecvFrom implements proto.Server.
func (c *Core) RecvFrom(r *proto.Request, id uint64) {
	if s := c.known(r, id); s != nil {
		n, e := c.recvFrom(s, r.Out)
		r.AnswerRecvFrom(r.Out[:n], e)
	}
}

// Forget drops what a client that is gone waits for.
func (c *Core) Forget(binding uint64) {
	if c.events != nil && c.events.Binding == binding {
		c.events = nil
	}
}

// Ready takes what the host says of a socket (EPOLL... bits).
func (c *Core) Ready(id uint64, ev uint32) {
	var bits uint32
	if ev&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		bits |= proto.In
	}
	if ev&(unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		bits |= proto.Out
	}
	c.Happened(id, bits, ev&(unix.EPOLLRDHUP|unix.EPOLLERR|unix.EPOLLHUP) != 0)
}

// Happened takes what is new of a socket: bits as of proto.Event, and whether an end or an error
// lies behind what there is to receive.
func (c *Core) Happened(id uint64, bits uint32, end bool) {
	s := c.socks[id]
	if s == nil {
		return
	}
	s.end = s.end || end
	c.note(id, bits)
	c.tell(false)
}

func (c *Core) note(id uint64, bits uint32) {
	if bits == 0 {
		return
	}
	if c.ready[id] == 0 {
		c.order = append(c.order, id)
	}
	c.ready[id] |= bits
}

// tell answers the request for events if there are any, or if it must be.
func (c *Core) tell(must bool) {
	r := c.events
	if r == nil || len(c.order) == 0 && !must {
		return
	}
	c.events = nil
	out := r.Out[:0]
	k := 0
	for _, id := range c.order {
		if k == proto.MaxEvents || cap(out)-len(out) < proto.EventSize+proto.EventData {
			break
		}
		k++
		s, bits := c.socks[id], c.ready[id]
		if s != nil && s.lent {
			bits &^= proto.In // others receive by it
		}
		if s != nil && bits != 0 {
			e := proto.Event{ID: id, Bits: bits}
			if e.Bits&proto.In != 0 {
				s.early(&e, c.scratch[:proto.EventData])
			}
			out = proto.AppendEvent(out, &e)
		}
		delete(c.ready, id)
	}
	c.order = c.order[:copy(c.order, c.order[k:])]
	r.AnswerEvents(c.inc, out, 0)
}

func (c *Core) close(s *sock, hard bool) {
	delete(c.socks, s.id)
	if s.link != nil {
		s.link.Close(hard)
		return
	}
	c.unwatch(s)
	switch {
	case s.had:
		c.leave(s, hard)
	case hard && !s.udp:
		resetAtEnd(s.fd)
	}
	_ = unix.Close(s.fd)
	// The host told of them when they came, and does not again.
	for i := range c.cfg.Published {
		if p := c.socks[proto.PublishedID(i)]; p != nil && p.starved {
			p.starved = false
			c.note(p.id, proto.In)
		}
	}
	c.tell(false)
}

// where answers the address that the host is given for one that a guest names;
// EACCES for what the policy refuses.
func (c *Core) where(to netip.AddrPort) (netip.AddrPort, abi.Errno) {
	a := to.Addr()
	switch {
	case to.Port() == 53 && (a == Resolver || a.IsLoopback()):
		if !c.cfg.Resolver.IsValid() {
			c.say(to, "the host names no resolver")
			return to, abi.ECONNREFUSED
		}
		return c.cfg.Resolver, 0 // the one hole in the policy
	case a == Resolver:
		return to, abi.ECONNREFUSED
	case a == Gateway:
		to = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), to.Port())
	case a == Gateway6:
		to = netip.AddrPortFrom(netip.IPv6Loopback(), to.Port())
	}
	for _, r := range c.cfg.Resolvers {
		if r == to {
			return to, 0
		}
	}
	if why := c.refuse(to); why != "" {
		c.say(to, why)
		return to, abi.EACCES
	}
	return to, 0
}

// say logs that an address was refused, once for each.
func (c *Core) say(to netip.AddrPort, why string) {
	if c.told[to] || len(c.told) > maxRefused {
		return
	}
	c.told[to] = true
	if len(c.told) > maxRefused {
		c.log("further addresses are refused without a word")
		return
	}
	if to.Port() == 0 {
		c.log(fmt.Sprintf("%v is refused: %s", to.Addr(), why))
		return
	}
	c.log(fmt.Sprintf("%v is refused: %s", to, why))
}

// errno makes a neutral error of the host's: abi has Linux's numbers. What means
// that the host has no more sockets is ENOBUFS.
func errno(err error) abi.Errno {
	switch e := err.(type) {
	case nil:
		return 0
	case unix.Errno:
		switch e {
		case unix.EMFILE, unix.ENFILE, unix.ENOSPC, unix.ENOMEM:
			return abi.ENOBUFS
		case unix.EPERM: // a firewall of the host's
			return abi.EACCES
		}
		return abi.Errno(e)
	}
	return abi.EIO
}

func (c *Core) connect(id uint64, to netip.AddrPort) abi.Errno {
	s := c.socks[id]
	if c.link != nil {
		return c.connectLink(s, id, to)
	}
	if s == nil {
		to, e := c.where(to)
		if e != 0 {
			return e
		}
		fd, err := open(to.Addr(), unix.SOCK_STREAM, 0)
		if err != nil {
			return errno(err)
		}
		// What guests write comes in runs already.
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		err = unix.Connect(fd, sockaddr(to))
		if err != nil && err != unix.EINPROGRESS {
			_ = unix.Close(fd)
			return errno(err)
		}
		now := err == nil
		// Added now, it tells of a connect that has come to its end already.
		if s, err = c.add(id, fd, false); err != nil {
			_ = unix.Close(fd)
			return errno(err)
		}
		if s.done = now; !now {
			return abi.EINPROGRESS
		}
	}
	if !s.done {
		v, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && v == 0 {
			if _, err := unix.Getpeername(s.fd); err != nil {
				return abi.EINPROGRESS
			}
		}
		s.done = true
		if err != nil {
			s.err = errno(err)
		} else if v != 0 {
			s.err = errno(unix.Errno(v))
		}
	}
	return s.err
}

func (c *Core) accept(s *sock, seq uint64) (accepted, abi.Errno) {
	if s.acc.id != 0 && s.seq == seq {
		return s.acc, 0
	}
	if s.link != nil {
		return c.acceptLink(s, seq)
	}
	if !s.published || s.udp {
		return accepted{}, abi.EINVAL
	}
	if len(c.socks) >= maxSockets {
		s.starved = true
		return accepted{}, abi.EAGAIN
	}
	for {
		fd, sa, err := unix.Accept4(s.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
		case unix.EINTR, unix.ECONNABORTED:
			continue
		case unix.EAGAIN:
			return accepted{}, abi.EAGAIN
		default:
			s.starved = true // of descriptors or memory
			return accepted{}, errno(err)
		}
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		c.accepted++
		id := proto.AcceptedID(c.inc, c.accepted)
		n, err := c.add(id, fd, false)
		if err != nil {
			_ = unix.Close(fd)
			return accepted{}, errno(err)
		}
		n.done = true
		s.seq, s.acc = seq, accepted{id, c.visible(addrPort(sa))}
		return s.acc, 0
	}
}

// visible is how guests see an address on the host that speaks to them: the host
// itself, and what the machine has no address for, is the gateway. Where the outside is made of
// packets all are: who is on the host's network is none of the machine's.
func (c *Core) visible(a netip.AddrPort) netip.AddrPort {
	if c.link != nil {
		return netip.AddrPortFrom(Gateway, a.Port())
	}
	if ip := a.Addr(); !ip.Is4() || ip.IsLoopback() || own(ip) {
		return netip.AddrPortFrom(Gateway, a.Port())
	}
	return a
}

func (s *sock) send(seq uint64, data []byte) (int, abi.Errno) {
	if seq == s.seq {
		return s.n, 0
	}
	n, e := s.stream.Send(data)
	if e != 0 {
		return 0, e
	}
	s.seq, s.n = seq, n
	return n, 0
}

// recv answers bytes of the stream from offset taken on: those that the client may
// not have got, then new ones. Less than was asked for: the host had no more.
func (s *sock) recv(out []byte, taken uint64) (int, abi.Errno) {
	if !s.confirm(taken) {
		return 0, abi.EAGAIN // of a client that is gone
	}
	n := copy(out, s.last)
	ended := false
	if n == len(s.last) && n < len(out) && s.lost == 0 {
		var m int
		if m, ended = s.more(out[n:]); m > 0 {
			n += m
		}
	}
	switch {
	case n > 0 || ended:
		return n, 0
	case s.lost != 0:
		return 0, s.lost
	}
	return 0, abi.EAGAIN
}

// more takes bytes from the host, behind those that the client may not have got; ended:
// there will be none any more.
func (s *sock) more(buf []byte) (n int, ended bool) {
	n, e := s.stream.Recv(buf)
	switch {
	case e == 0 && n > 0:
		s.last = append(s.last, buf[:n]...)
		return n, false
	case e == 0:
		s.end = true
		return 0, true
	}
	if e != abi.EAGAIN {
		s.lost, s.end = e, true // it is said once
	}
	return 0, false
}

// confirm drops what the client has of the stream; false: that cannot be.
func (s *sock) confirm(taken uint64) bool {
	if taken < s.base || taken > s.base+uint64(len(s.last)) {
		return false
	}
	s.last, s.base = s.last[taken-s.base:], taken
	if len(s.last) == 0 && cap(s.last) > proto.Small {
		s.last = nil // many sockets may be idle
	}
	return true
}

// early adds to an event that a stream has something what that is, unless the client
// has left much unconfirmed.
func (s *sock) early(e *proto.Event, buf []byte) {
	if s.udp || s.published || s.listens || !s.done || s.err != 0 || s.lost != 0 || len(s.last) >= proto.Small {
		return
	}
	off := s.base + uint64(len(s.last))
	n, _ := s.more(buf)
	if n > 0 {
		e.Off, e.Data = off, buf[:n]
	}
	// Of the end OpRecv tells.
	if n < len(buf) && !s.end {
		e.Bits &^= proto.In
	}
}

// stream is a connection of TCP. No method waits (EAGAIN).
type stream interface {
	Send(b []byte) (int, abi.Errno)
	// Recv answers no bytes and no error at the end of the stream.
	Recv(b []byte) (int, abi.Errno)
	// Shut ends the direction to the other end.
	Shut() abi.Errno
}

// hostStream is a host socket, which may be one that waits: then it was lent.
type hostStream int

func (s hostStream) Send(b []byte) (int, abi.Errno) {
	n, err := unix.SendmsgN(int(s), b, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	return max(n, 0), errno(err)
}

func (s hostStream) Recv(b []byte) (int, abi.Errno) {
	n, _, err := unix.Recvfrom(int(s), b, unix.MSG_DONTWAIT)
	return max(n, 0), errno(err)
}

func (s hostStream) Shut() abi.Errno { return errno(unix.Shutdown(int(s), unix.SHUT_WR)) }
