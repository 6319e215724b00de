package core

import (
	"hythe/abi"
	"hythe/store"
)

// Datagrams between IP sockets of the machine (udp(7)).

// dgramCost is what a datagram counts against the receiver's buffer beside its
// bytes (sk_buff and its header: skb->truesize).
const dgramCost = 704

// dgramFrom is the length of SockMsg.From of a datagram: the sender's address and
// port, the address that it was sent to, its time to live, its class.
const dgramFrom = 36

// UDP's longest payloads: 65535 without the headers.
const (
	maxDgram4 = 65507
	maxDgram6 = 65527
)

func (x inetSockets) connectDgram(c *Call, r store.Ref[Socket], a SockAddr) abi.Errno {
	k := x.k
	if a.Family == 0 && len(a.Data) > 0 { // AF_UNSPEC: no peer any more
		k.dropOut(r)
		x.reset(r)
		return x.expose(r)
	}
	far, src, e := x.aim(k.Socks.Get(r), a, true)
	if e != 0 {
		return e
	}
	if k.Socks.Get(r).Inet.Local.Port == 0 {
		if e := x.autoPort(r, nil); e != 0 {
			return abi.EAGAIN
		}
	}
	k.dropOut(r) // a host socket would hear its old peer only
	m := k.Socks.Mut(r)
	m.Inet.Far = far
	if isAny(m.Inet.Local.IP) {
		m.Inet.Local.IP = src
	}
	m.State = SockConnected
	k.wakeSock(r, PollOut)
	return x.expose(r)
}

// aim decodes an address to send to, or, if it connects, to speak to from here on, and says where it is and whence to send.
func (x inetSockets) aim(s *Socket, a SockAddr, connects bool) (far InetAddr, src [16]byte, e abi.Errno) {
	far, e = inetAddr(s, a, s.Inet.V6Only == 0)
	if e == 0 {
		if !connects && far.Scope == 0 {
			far.Scope = EthernetIndex // of a datagram the only one is meant
		}
		e = far.scoped(abi.ENETUNREACH)
	}
	if e != 0 {
		return far, src, e
	}
	if isBroadcast(far.IP) && s.Opts&optBroadcast == 0 && far.IP[12] == 127 {
		return far, src, abi.EACCES
	}
	src, far.IP, e = x.route(s, far.IP)
	return far, src, e
}

// receiver answers the socket that a datagram is for: one that is connected to
// its sender before others, one bound to the address before the wildcard.
func (x inetSockets) receiver(proto int32, to, from InetAddr) store.Ref[Socket] {
	k := x.k
	var best store.Ref[Socket]
	score, n := 0, uint32(0)
	for o := range k.io.inet.ports[portKey{SockDgram, proto, to.Port}] {
		s := k.Socks.Get(o)
		v := x.match(s, to.IP)
		if v == 0 {
			continue
		}
		if s.State == SockConnected {
			if s.Inet.Far.IP != from.IP || s.Inet.Far.Port != from.Port {
				continue
			}
			v += 8
		}
		if v < score {
			continue
		}
		if v > score {
			best, score, n = o, v, 1
			continue
		}
		// SO_REUSEPORT shares; with SO_REUSEADDR the last one has it.
		n++
		if s.Opts&optReusePort == 0 {
			if s.Ino > k.Socks.Get(best).Ino {
				best = o
			}
		} else if h := uint32(from.Port)*2654435761>>8 + uint32(o)*40503; h%n == 0 {
			best = o
		}
	}
	return best
}

func (x inetSockets) sendDgram(c *Call, r store.Ref[Socket], data []byte, m *SockSend) (int, abi.Errno) {
	k := x.k
	s := k.Socks.Get(r)
	if m.Flags&MsgOOB != 0 {
		return 0, abi.EOPNOTSUPP
	}
	if s.Shut&ShutSend != 0 {
		if m.Flags&MsgNoSignal == 0 {
			c.sigPipe()
		}
		return 0, abi.EPIPE
	}
	if s.Type == SockRaw {
		return x.sendRaw(r, data, m)
	}
	if s.echo() {
		if e := echoChecks(s, data); e != 0 {
			return 0, e
		}
	} else if len(data) > maxDgram6 || s.Family == FamilyInet && len(data) > maxDgram4 {
		x.tooLong(r, m.To, len(data))
		return 0, abi.EMSGSIZE
	}
	if s.Inet.Local.Port == 0 {
		if e := x.autoPort(r, nil); e != 0 {
			return 0, abi.EAGAIN
		}
		s = k.Socks.Get(r)
	}
	far, src := s.Inet.Far, s.Inet.Local.IP
	if m.To != nil {
		var e abi.Errno
		if far, src, e = x.aim(s, *m.To, false); e != 0 {
			return 0, e
		}
		if far.Port == 0 && !s.echo() {
			return 0, abi.EINVAL
		}
	} else if s.State != SockConnected {
		return 0, abi.EDESTADDRREQ
	}
	if s.Err != 0 {
		return 0, k.takeSockErr(r)
	}
	if s.echo() {
		if e := x.sendEcho(r, far, src, data, m); e != 0 {
			return 0, e
		}
		return len(data), 0
	}
	from := InetAddr{IP: src, Port: s.Inet.Local.Port}
	life, class := x.header(r, far.IP, m)
	pkt := &packet{proto: byte(s.Proto), src: from, dst: far, life: life, class: class, data: data}
	k.passed(pkt)
	if isMulti(far.IP) {
		x.stampPacket(r, m, pkt)
		return len(data), x.deliverGroup(s.Proto, from, far, life, class, data)
	}
	p := x.receiver(s.Proto, far, from)
	if p == 0 && (k.isOutside(far.IP) || k.isRelayed(far)) {
		if e := x.sendOut(r, far, data); e != 0 {
			return 0, e
		}
		x.stampPacket(r, m, pkt)
		return len(data), 0
	}
	x.stampPacket(r, m, pkt)
	if p == 0 {
		k.netStats().NoPorts++
		if k.isLocal(far.IP) {
			k.passedUnreachable(pkt, nobodysPort(far.IP))
		}
		f := faultOf(abi.ECONNREFUSED, far)
		if isV4(far.IP) {
			f.Class = class&0x1e | classControl
		}
		x.fault(r, &f, data)
		return len(data), 0
	}
	if e := x.deliver(p, from, far, life, class, data); e != 0 {
		return 0, e
	}
	return len(data), 0
}

// deliver puts a datagram into the queue of a socket, or loses it if that has no
// room.
func (x inetSockets) deliver(p store.Ref[Socket], from, to InetAddr, life, class byte, data []byte) abi.Errno {
	k := x.k
	ps := k.Socks.Get(p)
	if ps.Shut&ShutRecv != 0 || ps.charged() >= ps.RcvBuf {
		if ps.Type == SockDgram && !ps.echo() {
			k.netStats().FullQueue++
		}
		return 0
	}
	b := k.Heap.Alloc(dgramFrom)
	if b.Nil() {
		return abi.ENOBUFS
	}
	w := k.Heap.Bytes(b)
	copy(w, from.IP[:])
	w[16], w[17] = byte(from.Port), byte(from.Port>>8)
	copy(w[18:], to.IP[:])
	w[34], w[35] = life, class
	e := x.newMsg(p, data, 0, b, SockCred{}, nil)
	k.Heap.FreeBlock(b)
	if e != 0 {
		return e
	}
	k.SockMsgs.Mut(k.Socks.Get(p).Queue.Tail).Time = k.Clock.Real()
	if ps.Type == SockDgram && !ps.echo() {
		k.netStats().InDgrams++
	}
	k.wakeSock(p, PollIn|PollRdNorm)
	return 0
}

// header answers the time to live and the class of what a socket sends to ip.
func (x inetSockets) header(r store.Ref[Socket], ip [16]byte, m *SockSend) (life, class byte) {
	kl, kc := SockLife6, SockClass6
	if isV4(ip) {
		kl, kc = SockLife4, SockClass4
	}
	life = 64
	if v, ok := x.k.SockOption(r, kl); ok && v >= 0 {
		life = byte(v)
	}
	if isMulti(ip) && isV4(ip) {
		life = 1
		if v, ok := x.k.SockOption(r, SockGroupLife); ok && v >= 0 {
			life = byte(v)
		}
	}
	if v, ok := x.k.SockOption(r, kc); ok && v >= 0 {
		class = byte(v)
	}
	if m.Life != nil {
		life = *m.Life
	}
	if m.Class != nil {
		class = *m.Class
	}
	return life, class
}

func (x inetSockets) recvDgram(c *Call, f store.Ref[File], buf []byte, m *SockRecv) (int, abi.Errno) {
	return x.recvPacket(c, f, buf, m, func(s *Socket, msg *SockMsg) {
		b := x.k.Heap.Bytes(msg.From)
		from := InetAddr{IP: [16]byte(b[:16]), Port: uint16(b[16]) | uint16(b[17])<<8}
		m.From = from.sockAddr(s.Family)
		m.Time = msg.Time
		m.To = [16]byte(b[18:34])
		m.Life, m.Class = b[34], b[35]
	})
}
