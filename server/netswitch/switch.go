// Package netswitch is the switch of a network that machines of one user share: a process of its
// own that has one socket for each machine and passes packets of IPv4 and IPv6 between them (idl/vnet). It
// has no files, no host network, and no part in any machine.
//
// What it guarantees to each machine: packets come from the address that they say; no other
// machine has that address; and who sends too much, or takes nothing, loses packets of its own,
// not other machines'.
package netswitch

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"hythe/idl/vnet"
)

// Bounds: of machines that have not joined yet, of packets that one machine may send before the
// others have their turn, of bytes that wait for a machine (a socket's SO_SNDBUF, as far as the
// host lets it be; more are lost).
const (
	maxStrangers = 64
	maxTurn      = 64
	sendBuffer   = 1 << 20
)

// A Switch is the state of one network. Its methods are for one goroutine.
type Switch struct {
	uid     uint32
	epoll   int
	listen  int
	ports   map[int]*port
	byAddr  map[netip.Addr]*port
	serial  uint64
	last    byte // the address that was given last
	changed bool
	members []vnet.Member // nil: to be made anew
	had     bool          // somebody has joined

	buf   []byte
	ready []unix.EpollEvent

	// Dropped counts packets that were not passed on: forged, to nobody, and for want of room.
	Forged, Nobody, Full uint64
}

// port is a machine's place.
type port struct {
	fd     int
	serial uint64
	addr   netip.Addr // not valid: it has not joined
	name   string
	asked  uint32 // its last Ask
	out    bool   // it has not got the newest table for want of room
}

// New makes a switch that takes machines from a socket that listens, if they are of the user
// (as SO_PEERCRED has it).
func New(listen int, uid uint32) (*Switch, error) {
	e, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("switch: %w", err)
	}
	s := &Switch{uid: uid, epoll: e, listen: listen, last: vnet.First - 1, ports: map[int]*port{}, byAddr: map[netip.Addr]*port{},
		buf: make([]byte, vnet.MaxMessage), ready: make([]unix.EpollEvent, 64)}
	if err := unix.SetNonblock(listen, true); err != nil {
		return nil, fmt.Errorf("switch: %w", err)
	}
	if err := unix.EpollCtl(e, unix.EPOLL_CTL_ADD, listen, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(listen)}); err != nil {
		return nil, fmt.Errorf("switch: %w", err)
	}
	return s, nil
}

// Run passes packets until the last machine has left, or for idle milliseconds nobody has come.
func (s *Switch) Run(idle int) error {
	for {
		wait := -1
		if len(s.ports) == 0 {
			if s.had {
				return nil
			}
			wait = idle
		}
		n, err := unix.EpollWait(s.epoll, s.ready, wait)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("switch: %w", err)
		}
		if n == 0 && wait >= 0 {
			return nil
		}
		for _, ev := range s.ready[:n] {
			if int(ev.Fd) == s.listen {
				s.accept()
				continue
			}
			p := s.ports[int(ev.Fd)]
			if p == nil {
				continue
			}
			if ev.Events&unix.EPOLLOUT != 0 {
				s.tell(p)
			}
			if ev.Events&^unix.EPOLLOUT != 0 && !s.take(p) {
				s.leave(p)
			}
		}
		if s.changed {
			s.changed = false
			for _, p := range s.ports {
				if p.addr.IsValid() {
					s.tell(p)
				}
			}
		}
	}
}

func (s *Switch) accept() {
	for range maxStrangers {
		fd, _, err := unix.Accept4(s.listen, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		if err == unix.EINTR || err == unix.ECONNABORTED {
			continue
		}
		if err != nil {
			return
		}
		cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil || cred.Uid != s.uid || len(s.ports)-len(s.byAddr) >= maxStrangers {
			_ = unix.Close(fd)
			continue
		}
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer)
		if unix.EpollCtl(s.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}) != nil {
			_ = unix.Close(fd)
			continue
		}
		s.ports[fd] = &port{fd: fd}
	}
}

func (s *Switch) leave(p *port) {
	_ = unix.Close(p.fd)
	delete(s.ports, p.fd)
	if p.addr.IsValid() {
		delete(s.byAddr, p.addr)
		s.changed, s.members = true, nil
	}
}

// take takes what a machine has sent; false: it has left, or has to.
func (s *Switch) take(p *port) bool {
	for range maxTurn {
		n, _, err := unix.Recvfrom(p.fd, s.buf, unix.MSG_DONTWAIT)
		switch {
		case err == unix.EAGAIN:
			return true
		case err == unix.EINTR:
			continue
		case err != nil || n == 0:
			return false
		}
		b := s.buf[:n]
		switch kind, ok := vnet.Kind(b); {
		case !ok:
			return false
		case kind == vnet.KindJoin:
			if p.addr.IsValid() || !s.join(p, b) {
				return false
			}
		case !p.addr.IsValid():
			return false // it has to join first
		case kind == vnet.KindAsk:
			n, err := vnet.ParseAsk(b)
			if err != nil {
				return false
			}
			p.asked = n
			s.tell(p)
		case kind != 0:
			return false
		default:
			s.forward(p, b)
		}
	}
	return true
}

// join gives a machine its place; false: it gets none.
func (s *Switch) join(p *port, b []byte) bool {
	j, err := vnet.ParseJoin(b)
	if err != nil {
		return false
	}
	refuse := func(why string) bool {
		_ = send(p.fd, vnet.AppendRefused(nil, why))
		return false
	}
	if len(s.byAddr) >= vnet.MaxMachines {
		return refuse("the network is full")
	}
	at := j.Want
	if at.IsValid() {
		b := at.As4()
		switch {
		case !vnet.Network.Contains(at) || b[3] < vnet.First || b[3] > vnet.Last:
			return refuse(fmt.Sprintf("%v is no address of a machine in %v", at, vnet.Network))
		case s.byAddr[at] != nil:
			return refuse(fmt.Sprintf("%v is another machine's", at))
		}
	} else {
		// What was given last is given again last: others may still speak to who had it.
		b := vnet.Network.Addr().As4()
		for at = (netip.Addr{}); !at.IsValid() || s.byAddr[at] != nil; {
			if s.last++; s.last > vnet.Last || s.last < vnet.First {
				s.last = vnet.First
			}
			b[3] = s.last
			at = netip.AddrFrom4(b)
		}
	}
	s.serial++
	if send(p.fd, (&vnet.Joined{Addr: netip.PrefixFrom(at, vnet.Network.Bits()), MTU: vnet.MTU}).Append(nil)) != nil {
		return false
	}
	p.serial, p.addr, p.name = s.serial, at, j.Name
	s.byAddr[at] = p
	s.changed, s.had, s.members = true, true, nil
	return true
}

// table is who is there, in the order in which they came. A name is of who had it first.
func (s *Switch) table() []vnet.Member {
	if s.members != nil {
		return s.members
	}
	l := make([]vnet.Member, 0, len(s.byAddr))
	for _, p := range s.byAddr {
		l = append(l, vnet.Member{Serial: p.serial, Addr: p.addr, Name: p.name})
	}
	s.members = vnet.Sorted(l)
	return s.members
}

// tell sends a machine the table, as soon as there is room for it.
func (s *Switch) tell(p *port) {
	err := send(p.fd, vnet.AppendTable(nil, p.asked, s.table()))
	wait := err == unix.EAGAIN || err == unix.ENOBUFS
	if wait == p.out {
		return
	}
	p.out = wait
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(p.fd)}
	if wait {
		ev.Events |= unix.EPOLLOUT
	}
	_ = unix.EpollCtl(s.epoll, unix.EPOLL_CTL_MOD, p.fd, &ev)
}

// forward passes a packet on to whom it is for, if it is from whom it says.
func (s *Switch) forward(p *port, b []byte) {
	from, to, ok := vnet.Packet(b)
	if from.Is6() {
		from, to = vnet.Four(from), vnet.Four(to)
	}
	if !ok || from != p.addr {
		s.Forged++
		return
	}
	q := s.byAddr[to]
	if q == nil {
		s.Nobody++
		return
	}
	if send(q.fd, b) != nil {
		s.Full++
	}
}

func send(fd int, b []byte) error {
	for {
		_, err := unix.SendmsgN(fd, b, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if err != unix.EINTR {
			return err
		}
	}
}
