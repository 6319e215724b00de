package core

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"hythe/abi"
	proto "hythe/idl/net"
)

// know notes that a UDP socket speaks with the one whom guests call name.
func (s *sock) know(name, real netip.AddrPort) {
	if s.real[name] == real {
		return
	}
	if s.real == nil {
		s.real, s.name = map[netip.AddrPort]netip.AddrPort{}, map[netip.AddrPort]netip.AddrPort{}
	}
	if old, ok := s.real[name]; ok {
		delete(s.name, old)
	} else {
		if len(s.peers) == maxPeers {
			delete(s.name, s.real[s.peers[0]])
			delete(s.real, s.peers[0])
			s.peers = s.peers[:copy(s.peers, s.peers[1:])]
		}
		s.peers = append(s.peers, name)
	}
	s.real[name], s.name[real] = real, name
}

func (c *Core) sendTo(id uint64, connected, echo bool, in []byte) (last abi.Errno) {
	for {
		d, rest, ok := proto.NextDgram(in)
		if !ok {
			return last
		}
		in = rest
		if e := c.sendOne(id, connected, echo, d.Addr, d.Data); e != 0 {
			last = e
		}
	}
}

func (c *Core) sendOne(id uint64, connected, echo bool, to netip.AddrPort, data []byte) abi.Errno {
	s := c.socks[id]
	if c.link != nil && (s == nil || !s.published) {
		return c.sendLink(s, id, connected, echo, to, data)
	}
	real, known := to, false
	if s != nil {
		real, known = s.real[to]
	}
	if !known && c.link != nil {
		return abi.EACCES // of the host's only those who have sent something
	}
	if !known {
		var e abi.Errno
		if real, e = c.where(to); e != 0 {
			return e
		}
	}
	if s != nil && (!s.udp || s.echo != echo) {
		return abi.EINVAL
	}
	if s != nil && real.Addr().Is6() && !s.six {
		// It spoke by IPv4 so far. One of IPv6 speaks by both.
		if s.published || s.echo {
			return abi.ENETUNREACH
		}
		c.close(s, false)
		s = nil
	}
	if s == nil {
		proto := 0
		if echo && real.Addr().Is6() {
			proto = unix.IPPROTO_ICMPV6
		} else if echo {
			proto = unix.IPPROTO_ICMP
		}
		fd, err := open(real.Addr(), unix.SOCK_DGRAM, proto)
		if err != nil {
			if echo && err == unix.EACCES {
				c.say(to, "the host lets this user's groups send no echo requests (sysctl net.ipv4.ping_group_range)")
			}
			return errno(err)
		}
		if s, err = c.add(id, fd, true); err != nil {
			_ = unix.Close(fd)
			return errno(err)
		}
		s.done, s.echo = true, echo
	}
	s.know(to, real)
	var sa unix.Sockaddr
	switch {
	case s.published || !connected:
		sa = s.sockaddr(real)
	case s.connected != real:
		if err := unix.Connect(s.fd, s.sockaddr(real)); err != nil {
			return errno(err)
		}
		s.connected = real
	}
	_, err := unix.SendmsgN(s.fd, data, nil, sa, unix.MSG_NOSIGNAL)
	return errno(err)
}

// sockaddr is real for a socket, which may be one of IPv6.
func (s *sock) sockaddr(real netip.AddrPort) unix.Sockaddr {
	if s.six {
		return &unix.SockaddrInet6{Port: int(real.Port()), Addr: real.Addr().As16()}
	}
	return sockaddr(real)
}

// recvFrom takes datagrams while there are any and room for the longest. What
// comes from others than those to whom something was sent is dropped, but on a
// published port.
func (c *Core) recvFrom(s *sock, out []byte) (int, abi.Errno) {
	if !s.udp {
		return 0, abi.EINVAL
	}
	if s.link != nil {
		return c.recvLink(s, out)
	}
	b := out[:0]
	for cap(b)-len(b) >= proto.DgramSize+65536 {
		n, sa, err := unix.Recvfrom(s.fd, c.scratch, 0)
		if err != nil {
			if len(b) > 0 {
				break
			}
			return 0, errno(err)
		}
		real := addrPort(sa)
		name, known := s.name[real]
		if !known {
			if !s.published {
				continue
			}
			name = c.visible(real)
			s.know(name, real)
		}
		b = proto.AppendDgram(b, &proto.Dgram{Addr: name, Data: c.scratch[:n]})
	}
	return len(b), 0
}
