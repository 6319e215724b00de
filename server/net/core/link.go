package core

import (
	"net/netip"

	"hythe/abi"
	proto "hythe/idl/net"
)

// The outside that is made of packets: a stack of protocols on a link (docs/network.md). What
// packets mean is the stack's; here is what the protocol says of its sockets.

// LinkConfig says what a link is like.
type LinkConfig struct {
	// FD is the link, as handed over: a packet of IP for each message of a socket, or a tap
	// device, which has frames of Ethernet.
	FD  int
	Tap bool
	MAC [6]byte // of the machine, on a tap device
	MTU uint32
	// Addr is the machine's address and the network's size; Gateway, if it has one, knows the
	// way to all others. Addr6 and Gateway6 are those of IPv6; not valid: it has none.
	Addr, Addr6       netip.Prefix
	Gateway, Gateway6 netip.Addr
	// LinkLocal is another address of IPv6, on a tap device that has one; Probes how many questions are asked
	// for each of those (RFC 4862, duplicate address detection) before it is used.
	LinkLocal netip.Addr
	Probes    uint8
}

// Kind is what a LinkSocket is.
type Kind int

// Kinds of sockets of a link.
const (
	KindStream Kind = iota
	KindListener
	KindDgram
	KindEcho // echo requests, in which the stack says who asks
)

// Link is a stack of protocols. It tells Core.Happened of its sockets, by way of the server's loop.
type Link interface {
	// Open makes a socket, of a port of the machine (0: one that is free) at its addresses of some
	// families (proto.Four, proto.Six).
	Open(id uint64, kind Kind, port uint16, families uint32) (LinkSocket, abi.Errno)
	// Named answers the addresses of a machine of the network, of IPv4 and of IPv6 (not valid: it has
	// none), by its name in lower case.
	Named(name string) (four, six netip.Addr, ok bool)
}

// LinkSocket is a socket of a Link. No method waits (EAGAIN).
type LinkSocket interface {
	stream
	// Connect begins a connection (EINPROGRESS), or says to whom a socket of datagrams speaks.
	Connect(to netip.AddrPort) abi.Errno
	// Connected answers how a connect has ended, or EINPROGRESS.
	Connected() abi.Errno
	// Accept takes a connection, to be known as id.
	Accept(id uint64) (LinkSocket, netip.AddrPort, abi.Errno)
	// SendTo and RecvFrom are for datagrams.
	SendTo(b []byte, to netip.AddrPort) abi.Errno
	RecvFrom(b []byte) (int, netip.AddrPort, abi.Errno)
	// Close ends it, a stream by a reset if it is hard.
	Close(hard bool)
}

// maxAnswers is how many answers to questions for names wait for a socket.
const maxAnswers = 16

// openLink makes a socket of the link's.
func (c *Core) openLink(id uint64, kind Kind, port uint16, families uint32) (*sock, abi.Errno) {
	if len(c.socks) >= maxSockets {
		return nil, abi.ENOBUFS
	}
	l, e := c.link.Open(id, kind, port, families)
	if e != 0 {
		return nil, e
	}
	s := &sock{id: id, fd: -1, stream: l, link: l, listens: kind == KindListener,
		udp: kind == KindDgram || kind == KindEcho, echo: kind == KindEcho}
	s.done = kind != KindStream
	c.socks[id] = s
	return s, 0
}

// family is that of an address.
func family(a netip.Addr) uint32 {
	if a.Is6() {
		return proto.Six
	}
	return proto.Four
}

// Bind implements proto.Server.
func (c *Core) Bind(r *proto.Request, id uint64, stream, listen bool, port, families uint32) {
	if families == 0 {
		families = proto.Four
	}
	var e abi.Errno
	switch {
	case c.link == nil:
		e = abi.EOPNOTSUPP
	case c.socks[id] != nil: // asked again
	case port == 0 || port > 65535 || listen && !stream || families&^(proto.Four|proto.Six) != 0:
		e = abi.EINVAL
	default:
		kind := KindDgram
		if listen {
			kind = KindListener
		} else if stream {
			kind = KindStream
		}
		_, e = c.openLink(id, kind, uint16(port), families)
	}
	r.AnswerBind(c.inc, e)
}

func (c *Core) connectLink(s *sock, id uint64, to netip.AddrPort) abi.Errno {
	if s == nil {
		var e abi.Errno
		if s, e = c.openLink(id, KindStream, 0, family(to.Addr())); e != 0 {
			return e
		}
	}
	if s.link == nil || s.udp || s.listens {
		return abi.EINVAL
	}
	if !s.done && !s.begun {
		if to.Port() == 53 && c.isResolver(to) {
			s.err, s.done = abi.ECONNREFUSED, true // names are told by datagrams only
			return s.err
		}
		s.begun = true
		if e := s.link.Connect(to); e != 0 && e != abi.EINPROGRESS {
			s.err, s.done = e, true
			return e
		}
	}
	if !s.done {
		e := s.link.Connected()
		if e == abi.EINPROGRESS {
			return e
		}
		s.err, s.done = e, true
	}
	return s.err
}

func (c *Core) acceptLink(s *sock, seq uint64) (accepted, abi.Errno) {
	if !s.listens {
		return accepted{}, abi.EINVAL
	}
	if len(c.socks) >= maxSockets {
		return accepted{}, abi.EAGAIN // an event will tell of the next one
	}
	id := proto.AcceptedID(c.inc, c.accepted+1)
	l, from, e := s.link.Accept(id)
	if e != 0 {
		return accepted{}, e
	}
	c.accepted++
	c.socks[id] = &sock{id: id, fd: -1, stream: l, link: l, done: true}
	s.seq, s.acc = seq, accepted{id, from}
	return s.acc, 0
}

// isResolver says whether a guest asks for names: by the host's resolv.conf, which it reads.
func (c *Core) isResolver(to netip.AddrPort) bool {
	if c.cfg.Link.Tap {
		return false // the network has its own
	}
	if to.Addr().IsLoopback() {
		return true
	}
	for _, r := range c.cfg.Resolvers {
		if r.Addr() == to.Addr() {
			return true
		}
	}
	return false
}

func (c *Core) sendLink(s *sock, id uint64, connected, echo bool, to netip.AddrPort, data []byte) abi.Errno {
	if s == nil {
		kind := KindDgram
		if echo {
			kind = KindEcho
		}
		var e abi.Errno
		if s, e = c.openLink(id, kind, 0, family(to.Addr())); e != 0 {
			return e
		}
	}
	if s.link == nil || !s.udp || s.echo != echo {
		return abi.EINVAL
	}
	if !echo && to.Port() == 53 && c.isResolver(to) {
		if b := answerName(data, c.link.Named); b != nil && len(s.answers) < maxAnswers {
			s.answers = append(s.answers, answer{to, b})
			c.note(id, proto.In)
			c.tell(false)
		}
		return 0
	}
	if connected && s.connected != to {
		if e := s.link.Connect(to); e != 0 {
			return e
		}
		s.connected = to
	}
	return s.link.SendTo(data, to)
}

// answer is one to a question for a name, as if it came from whom the guest has asked.
type answer struct {
	from netip.AddrPort
	data []byte
}

func (c *Core) recvLink(s *sock, out []byte) (int, abi.Errno) {
	b := out[:0]
	for cap(b)-len(b) >= proto.DgramSize+65536 {
		if len(s.answers) > 0 {
			a := s.answers[0]
			s.answers = s.answers[1:]
			b = proto.AppendDgram(b, &proto.Dgram{Addr: a.from, Data: a.data})
			continue
		}
		n, from, e := s.link.RecvFrom(c.scratch)
		if e != 0 {
			if len(b) > 0 {
				break
			}
			return 0, e
		}
		b = proto.AppendDgram(b, &proto.Dgram{Addr: from, Data: c.scratch[:n]})
	}
	return len(b), 0
}
