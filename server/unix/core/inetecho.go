package core

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/store"
)

// Echo requests (icmp(7): SOCK_DGRAM with IPPROTO_ICMP or IPPROTO_ICMPV6). The port of such
// a socket is the identifier of its requests, and it hears the answers to them only. The
// machine answers what goes to it itself; outside, the host's own sockets of this kind ask.

const (
	echoHead = 8 // type, code, checksum, identifier, number: each most significant byte first

	maxEcho4 = 65515 // 65535 without the header of IP
	maxEcho6 = 65535
)

// Types of messages (RFC 792, RFC 4443).
const (
	echoReply4, echoRequest4 = 0, 8
	echoRequest6, echoReply6 = 128, 129
)

// echo says whether a socket sends echo requests.
func (s *Socket) echo() bool {
	return s.Type == SockDgram && (s.Proto == ProtoICMP || s.Proto == ProtoICMPv6)
}

// echoChecks answers what forbids to send a message. EMSGSIZE: it is longer than any length says; EINVAL:
// it is no request.
func echoChecks(s *Socket, data []byte) abi.Errno {
	request := byte(echoRequest4)
	if s.Proto == ProtoICMPv6 {
		request = echoRequest6
	}
	switch {
	case len(data) > maxEcho6:
		return abi.EMSGSIZE
	case len(data) < echoHead || data[0] != request || data[1] != 0:
		return abi.EINVAL
	}
	return 0
}

// sealEcho gives a socket's request or an answer to it the socket's identifier, and its
// checksum.
func sealEcho(s *Socket, from, to [16]byte, b []byte) {
	binary.BigEndian.PutUint16(b[4:], s.Inet.Local.Port)
	sealICMP(s.Proto, from, to, b)
}

// sealICMP gives a message its checksum: of ICMPv6 with the addresses (RFC 4443, 2.3).
func sealICMP(proto int32, from, to [16]byte, b []byte) {
	b[2], b[3] = 0, 0
	var head []byte
	if proto == ProtoICMPv6 {
		head = append(append(head, from[:]...), to[:]...)
		head = binary.BigEndian.AppendUint32(head, uint32(len(b)))
		head = append(head, 0, 0, 0, ProtoICMPv6)
	}
	binary.BigEndian.PutUint16(b[2:], ^onesSum(onesSum(0, head), b))
}

// onesSum adds 16-bit words as checksums of the Internet do (RFC 1071).
func onesSum(was uint16, b []byte) uint16 {
	n := uint64(was)
	for ; len(b) >= 2; b = b[2:] {
		n += uint64(binary.BigEndian.Uint16(b))
	}
	if len(b) > 0 {
		n += uint64(b[0]) << 8
	}
	for n > 0xffff {
		n = n>>16 + n&0xffff
	}
	return uint16(n)
}

// sendEcho sends a request that was checked: an answer comes at once if the machine has the
// address.
func (x inetSockets) sendEcho(r store.Ref[Socket], far InetAddr, src [16]byte, data []byte, m *SockSend) abi.Errno {
	k := x.k
	s := k.Socks.Get(r)
	if s.Proto == ProtoICMP && len(data) > maxEcho4 {
		x.keepTooLong(r, far)
		return abi.EMSGSIZE
	}
	far.Port = 0
	life, class := x.header(r, far.IP, m)
	asked := append([]byte(nil), data...)
	sealEcho(s, src, far.IP, asked)
	p := &packet{proto: byte(s.Proto), src: InetAddr{IP: src}, dst: far, life: life, class: class, data: asked}
	k.passed(p)
	if k.isOutside(far.IP) {
		e := x.sendOut(r, far, data)
		if e == 0 {
			x.stampPacket(r, m, p)
		}
		return e
	}
	x.stampPacket(r, m, p)
	if !k.isLocal(far.IP) {
		return 0 // nobody answers broadcasts
	}
	reply := append([]byte(nil), asked...)
	answerEcho(s.Proto, far.IP, src, reply)
	k.passedDatagram(s.Proto, far, InetAddr{IP: src}, 64, class, reply)
	return x.deliver(r, far, InetAddr{IP: src, Port: s.Inet.Local.Port}, 64, class, reply)
}

// arrivedEcho is a message from outside as a socket hears it; false: it is none.
func arrivedEcho(s *Socket, from, to [16]byte, data []byte) bool {
	if !isEchoReply(s.Proto, data) {
		return false
	}
	sealEcho(s, from, to, data)
	return true
}

func isEchoReply(proto int32, b []byte) bool {
	kind := byte(echoReply4)
	if proto == ProtoICMPv6 {
		kind = echoReply6
	}
	return len(b) >= echoHead && b[0] == kind && b[1] == 0
}
