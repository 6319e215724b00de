package core

// The message of ICMP that says that nobody has a port (RFC 792, 1122, 4443). A sender that
// is connected hears it as ECONNREFUSED (sendDgram), raw sockets and `--pcap` see it whole.

const (
	unreach4, unreachPort4 = 3, 3
	unreach6, unreachPort6 = 1, 4

	// How much of the packet that it is about it has: it is 576 bytes long at most
	// (RFC 1812, 4.3.2.3), of IPv6 1280.
	maxQuote4 = 576 - 20 - 8
	maxQuote6 = 1280 - 40 - 8

	classControl = 0xc0 // precedence of internetwork control (RFC 1812, 4.3.2.5)
)

// passedUnreachable is the answer to a datagram to one of the machine's own addresses, of
// which nobody has the port.
func (k *Kernel) passedUnreachable(p *packet) {
	a := &packet{src: InetAddr{IP: p.dst.IP}, dst: InetAddr{IP: p.src.IP}, life: 64}
	msg := make([]byte, 8, 8+maxQuote6)
	longest := maxQuote4
	if isV4(p.dst.IP) {
		a.proto, a.class = ProtoICMP, p.class&0x1e|classControl
		msg[0], msg[1] = unreach4, unreachPort4
	} else {
		a.proto, longest = ProtoICMPv6, maxQuote6
		msg[0], msg[1] = unreach6, unreachPort6
	}
	quote := p.bytes()
	a.data = append(msg, quote[:min(len(quote), longest)]...)
	sealICMP(int32(a.proto), a.src.IP, a.dst.IP, a.data)
	k.passed(a)
}
