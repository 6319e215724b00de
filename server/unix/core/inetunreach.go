package core

import (
	"encoding/binary"

	"hythe/abi"
)

// The messages of ICMP that say that nobody has a port or a protocol (RFC 792, 1122, 4443). A UDP socket
// that is connected hears the first as ECONNREFUSED (sendDgram), raw sockets hear both (rawFaults), and
// those of ICMP and `--pcap` see them whole.

const (
	unreach4, unreachPort4, unreachProto4 = 3, 3, 2
	unreach6, unreachPort6                = 1, 4
	badHeader6, unknownNext6              = 4, 1

	// How much of the packet that it is about it has: it is 576 bytes long at most
	// (RFC 1812, 4.3.2.3), of IPv6 1280.
	maxQuote4 = 576 - 20 - 8
	maxQuote6 = 1280 - 40 - 8

	classControl = 0xc0 // precedence of internetwork control (RFC 1812, 4.3.2.5)
)

// unreachable is why a packet does not arrive: as ICMP and as an error of who sent it.
type unreachable struct {
	kind, code byte
	info       uint32
	errno      abi.Errno
}

// nobodysPort and nobodysProto are that nobody at an address has the port, or the protocol: IPv6 says
// of that where in the header it stands.
func nobodysPort(ip [16]byte) unreachable {
	if isV4(ip) {
		return unreachable{kind: unreach4, code: unreachPort4, errno: abi.ECONNREFUSED}
	}
	return unreachable{kind: unreach6, code: unreachPort6, errno: abi.ECONNREFUSED}
}

func nobodysProto(ip [16]byte) unreachable {
	if isV4(ip) {
		return unreachable{kind: unreach4, code: unreachProto4, errno: abi.ENOPROTOOPT}
	}
	return unreachable{kind: badHeader6, code: unknownNext6, info: 6, errno: abi.EPROTO}
}

// passedUnreachable is the answer to a packet to one of the machine's own addresses.
func (k *Kernel) passedUnreachable(p *packet, u unreachable) {
	a := &packet{src: InetAddr{IP: p.dst.IP}, dst: InetAddr{IP: p.src.IP}, life: 64}
	longest := maxQuote6
	a.proto = ProtoICMPv6
	if isV4(p.dst.IP) {
		a.proto, a.class, longest = ProtoICMP, p.class&0x1e|classControl, maxQuote4
	}
	msg := append(make([]byte, 0, 8+maxQuote6), u.kind, u.code, 0, 0)
	msg = binary.BigEndian.AppendUint32(msg, u.info)
	quote := p.bytes()
	quote = quote[:min(len(quote), longest)]
	a.data = append(msg, quote...)
	sealICMP(int32(a.proto), a.src.IP, a.dst.IP, a.data)
	k.passed(a)
	k.rawFaults(p, u, quote)
}

// unanswered answers a packet that a raw socket sent to one of the machine's own addresses: that nobody
// has its protocol, or of a datagram the port. A UDP socket of that port is not reached by what is made
// by hand.
func (x inetSockets) unanswered(p *packet) {
	k := x.k
	four := isV4(p.dst.IP)
	switch p.proto {
	case ProtoUDP:
		to, from, ok := p.datagram()
		if ok && !k.isRelayed(to) && x.receiver(ProtoUDP, to, from) == 0 {
			k.netStats().NoPorts++
			k.passedUnreachable(p, nobodysPort(to.IP))
		}
		return
	case ProtoTCP, ProtoUDPLite:
		return
	case ProtoICMP, protoIGMP:
		if four {
			return
		}
	case ProtoICMPv6, protoHopByHop, protoRouting, protoFragment, protoNoNext, protoOptions6:
		if !four {
			return
		}
	}
	for r := range k.io.inet.ports[rawKey(p.proto)] {
		if x.rawTakes(k.Socks.Get(r), p) {
			return
		}
	}
	k.passedUnreachable(p, nobodysProto(p.dst.IP))
}

// Protocols that each host has (IPPROTO_), and headers of IPv6 that are none.
const (
	protoIGMP     = 2
	protoHopByHop = 0
	protoRouting  = 43
	protoFragment = 44
	protoNoNext   = 59
	protoOptions6 = 60
)

// datagram takes the ports off a datagram that was made by hand, and cuts what is behind its end; false:
// whoever got it would drop it.
func (p *packet) datagram() (to, from InetAddr, ok bool) {
	const head = 8
	if len(p.data) < head {
		return to, from, false
	}
	n := int(binary.BigEndian.Uint16(p.data[4:]))
	if n < head || n > len(p.data) {
		return to, from, false
	}
	p.data = p.data[:n]
	if sum := binary.BigEndian.Uint16(p.data[6:]); sum == 0 {
		if !isV4(p.dst.IP) {
			return to, from, false
		}
	} else if onesSum(onesSum(0, p.pseudo(n)), p.data) != 0xffff {
		return to, from, false
	}
	from = InetAddr{IP: p.src.IP, Port: binary.BigEndian.Uint16(p.data)}
	to = InetAddr{IP: p.dst.IP, Port: binary.BigEndian.Uint16(p.data[2:])}
	return to, from, to.Port != 0
}
