package core

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/store"
)

// Raw sockets (raw(7)): a message of a protocol, whole. Such a socket gets a copy of each
// packet of its protocol that comes to an address of the machine: of those that would have
// been (packets.go). What it sends goes to the machine's own raw sockets, in whose name ever its
// header is (IP_HDRINCL), and if it is an echo request it is answered. To the outside go echo requests, by the host's own sockets
// (inetecho.go), and nothing else. The port is the protocol.

// SockRaw is the type.
const SockRaw = 3

// protoAny is IPPROTO_RAW: such a socket sends packets with a header of its own, and hears
// nothing.
const protoAny = 255

// SockHdrIncl is the key of IP_HDRINCL: what is sent begins with a header of IPv4.
const SockHdrIncl = uint32(0<<16 | 3)

// Keys of the filters of types (ICMP_FILTER of SOL_RAW, and 8 words of ICMP6_FILTER of
// SOL_ICMPV6): what has its bit set is not wanted.
const (
	SockFilter4 = uint32(255<<16 | 1)
	SockFilter6 = uint32(58<<16 | 0x100)
)

// maxRaws is how many raw sockets a machine has: a packet is copied to each, in the
// transaction that sends it.
const maxRaws = 64

// maxIdents is how many identifiers of requests are known at once.
const maxIdents = 1024

// createRaw completes a new socket.
func (x inetSockets) createRaw(c *Call, s *Socket) abi.Errno {
	switch {
	case s.Proto == 0 || s.Proto > 255:
		return abi.EPROTONOSUPPORT
	case !c.Capable(CapNetRaw):
		return abi.EPERM
	case s.Proto == protoAny && s.Family != FamilyInet:
		return abi.EPROTONOSUPPORT
	case x.k.io.inet.raws >= maxRaws:
		return abi.ENOBUFS
	}
	x.k.takeBackStreams(0) // it may hear what they pass
	x.k.takeBackHosts()
	s.Inet.Local.Port = uint16(s.Proto)
	s.Opts |= optReuseAddr // INET_PROTOSW_REUSE
	return 0
}

// HdrIncl says whether a socket sends packets with their header.
func (k *Kernel) HdrIncl(r store.Ref[Socket]) bool {
	s := k.Socks.Get(r)
	if s.Type != SockRaw || s.Family != FamilyInet {
		return false
	}
	if v, set := k.sockOption(s, SockHdrIncl); set {
		return v != 0
	}
	return s.Proto == protoAny
}

// header4 is what a packet's own header says that a program made. The length, the checksum and,
// if there is none, the source are filled in.
type header4 struct {
	proto       int32
	src, dst    [16]byte
	life, class byte
}

const head4 = 20

// parseHeader4 takes a header off a packet. EINVAL for one that is too short, has options or is
// of a fragment; ok is false for what would be dropped on its way.
func parseHeader4(b []byte) (h header4, body []byte, ok bool, e abi.Errno) {
	if len(b) < head4 || int(b[0]&15)*4 > len(b) {
		return h, nil, false, abi.EINVAL
	}
	if b[0]&15 != head4/4 || binary.BigEndian.Uint16(b[6:])&0x3fff != 0 {
		return h, nil, false, abi.EINVAL
	}
	h = header4{proto: int32(b[9]), src: ip4(b[12], b[13], b[14], b[15]), dst: ip4(b[16], b[17], b[18], b[19]), life: b[8], class: b[1]}
	return h, b[head4:], b[0]>>4 == 4 && h.life > 0, 0
}

// icmp says whether a socket's protocol is the ICMP of its family.
func (s *Socket) icmp() bool {
	return s.Proto == ProtoICMP && s.Family == FamilyInet || s.Proto == ProtoICMPv6 && s.Family == FamilyInet6
}

// sendRaw sends a message.
func (x inetSockets) sendRaw(r store.Ref[Socket], data []byte, m *SockSend) (int, abi.Errno) {
	k := x.k
	s := k.Socks.Get(r)
	longest := maxEcho4
	switch {
	case s.Family == FamilyInet6:
		longest = maxEcho6
	case len(data) > maxPacket4:
		return 0, abi.EMSGSIZE
	case k.HdrIncl(r):
		longest = maxPacket4
	}
	if m.Flags&MsgOOB != 0 {
		return 0, abi.EOPNOTSUPP
	}
	far, src := s.Inet.Far, s.Inet.Local.IP
	if m.To != nil {
		to := *m.To
		if to.Family == 0 && s.Family == FamilyInet {
			to.Family = FamilyInet
		}
		var e abi.Errno
		if far, src, e = x.aim(s, to, false); e != 0 {
			return 0, e
		}
		if s.Family == FamilyInet6 && far.Port != 0 && far.Port != s.Inet.Local.Port {
			return 0, abi.EINVAL
		}
	} else if s.State != SockConnected {
		return 0, abi.EDESTADDRREQ
	}
	if s.Family == FamilyInet6 && isV4(far.IP) {
		return 0, abi.ENETUNREACH
	}
	if s.Err != 0 {
		return 0, k.takeSockErr(r)
	}
	if len(data) > longest {
		x.keepTooLong(r, far)
		return 0, abi.EMSGSIZE
	}
	far.Port = 0
	life, class := x.header(r, far.IP, m)
	proto := s.Proto
	msg := append([]byte(nil), data...)
	if k.HdrIncl(r) {
		h, body, ok, e := parseHeader4(msg)
		if e != 0 {
			return 0, e
		}
		if h.src == ip4Any {
			h.src = src
		}
		// A packet that goes elsewhere than it was sent to ends on its way, and so does one that
		// would leave in another's name.
		if !ok || k.isOutside(h.dst) && !k.isLocal(h.src) || k.isOutside(h.dst) != k.isOutside(far.IP) || !k.isOutside(h.dst) && !k.isLocal(h.dst) {
			return len(data), 0
		}
		proto, src, far.IP, life, class, msg = h.proto, h.src, h.dst, h.life, h.class, body
	} else if len(msg) < 2 && s.icmp() {
		return 0, abi.EFAULT // as Linux has it, which reads type and code
	}
	if s.Proto == ProtoICMPv6 && s.icmp() {
		if len(msg) < 4 {
			return 0, abi.EINVAL
		}
		sealICMP(s.Proto, src, far.IP, msg)
	}
	from := InetAddr{IP: src}
	asks := (proto == ProtoICMP && s.Family == FamilyInet || s.icmp()) && echoRequest(proto, msg)
	out := k.isOutside(far.IP)
	if out && !(asks && s.icmp()) {
		k.netStats().Refused++
		return 0, abi.EACCES
	}
	p := &packet{proto: byte(proto), src: from, dst: far, life: life, class: class, data: msg, whole: true}
	k.passed(p)
	if !out {
		x.stampPacket(r, m, p)
	}
	switch {
	case out:
		if e := x.sendOut(r, far, msg); e != 0 {
			return 0, e
		}
		x.stampPacket(r, m, p)
	case asks && k.isLocal(far.IP) && k.isLocal(src):
		reply := append([]byte(nil), msg...)
		answerEcho(proto, far.IP, src, reply)
		k.passed(&packet{proto: byte(proto), src: far, dst: from, life: 64, class: class, data: reply, whole: true})
	case k.isLocal(far.IP) && k.isLocal(src):
		x.unanswered(p)
	}
	return len(data), 0
}

// echoRequest says whether a message asks for an echo: one whose checksum is wrong does not.
func echoRequest(proto int32, b []byte) bool {
	switch {
	case len(b) < echoHead || b[1] != 0:
		return false
	case proto == ProtoICMPv6:
		return b[0] == echoRequest6
	}
	return proto == ProtoICMP && b[0] == echoRequest4 && onesSum(0, b) == 0xffff
}

// answerEcho makes the answer of a request.
func answerEcho(proto int32, from, to [16]byte, b []byte) {
	b[0] = echoReply4
	if proto == ProtoICMPv6 {
		b[0] = echoReply6
	}
	sealICMP(proto, from, to, b)
}

func rawKey(proto byte) portKey { return portKey{SockRaw, int32(proto), uint16(proto)} }

// rawHears says whether there are raw sockets of a protocol.
func (k *Kernel) rawHears(proto byte) bool {
	return k.io.inet.raws > 0 && len(k.io.inet.ports[rawKey(proto)]) > 0
}

// deliverRaw gives the machine's raw sockets their copies of a packet that came to it.
func (k *Kernel) deliverRaw(p *packet, whole []byte) {
	x := inetSockets{sockQueues{k}}
	body := whole
	if !isV4(p.dst.IP) {
		body = whole[40:]
	}
	for r := range k.io.inet.ports[rawKey(p.proto)] {
		switch {
		case !x.rawTakes(k.Socks.Get(r), p):
			continue
		case (p.proto == ProtoICMP || p.proto == ProtoICMPv6) && len(p.data) > 0 && k.filtered(r, p.proto, p.data[0]):
			continue
		}
		x.deliver(r, InetAddr{IP: p.src.IP}, InetAddr{IP: p.dst.IP}, p.life, p.class, body)
	}
}

// rawTakes says whether a raw socket of a packet's protocol is one for which it is, wanted or not.
func (x inetSockets) rawTakes(s *Socket, p *packet) bool {
	return (s.Family == FamilyInet) == isV4(p.dst.IP) && x.match(s, p.dst.IP) != 0 && (s.State != SockConnected || s.Inet.Far.IP == p.src.IP)
}

// filtered says whether a raw socket does not want messages of a type.
func (k *Kernel) filtered(r store.Ref[Socket], proto, kind byte) bool {
	if proto == ProtoICMP {
		v, _ := k.SockOption(r, SockFilter4)
		return kind < 32 && uint32(v)>>kind&1 != 0
	}
	v, _ := k.SockOption(r, SockFilter6|uint32(kind)/32)
	return uint32(v)>>(kind%32)&1 != 0
}

// identKey is what the answer to a request that went outside is known by: the host fills
// in an identifier of its own.
type identKey struct {
	ip  [16]byte
	seq uint16
}

// asked notes the identifier of a raw socket's request that goes outside.
func (rt *outsideRT) asked(to [16]byte, msg []byte) {
	if rt.idents == nil || len(rt.idents) >= maxIdents {
		rt.idents = map[identKey]uint16{}
	}
	rt.idents[identKey{to, binary.BigEndian.Uint16(msg[6:])}] = binary.BigEndian.Uint16(msg[4:])
}

// arrivedRaw is a message from outside, for a raw socket's request: the answer gets the
// identifier of the request back. false: it is none.
func (rt *outsideRT) arrivedRaw(proto int32, from, to [16]byte, msg []byte) bool {
	if !isEchoReply(proto, msg) {
		return false
	}
	ident, ok := rt.idents[identKey{from, binary.BigEndian.Uint16(msg[6:])}]
	if !ok {
		return false
	}
	binary.BigEndian.PutUint16(msg[4:], ident)
	sealICMP(proto, from, to, msg)
	return true
}
