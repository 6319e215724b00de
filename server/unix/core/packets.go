package core

import (
	"encoding/binary"
	"hash/fnv"

	"hythe/store"
)

// Packets that would have been. Sockets of a machine send none (inet.go); for who wants
// to see them (`hythe run --pcap`) they are made from what passed. They are a log: what
// was under way when the server died may be missing.

// Flags of a TCP segment.
const (
	tcpFin = 1
	tcpSyn = 2
	tcpRst = 4
	tcpPsh = 8
	tcpAck = 16
	tcpUrg = 32
)

// packet is what passed from one address to another.
type packet struct {
	proto       byte
	src, dst    InetAddr
	life, class byte
	data        []byte
	whole       bool // data is all that is behind the header of IP
	// Of TCP.
	flags    byte
	seq, ack uint32
}

// sniffing says whether packets of a protocol are wanted: they are made then only.
func (k *Kernel) sniffing(proto byte) bool { return k.Sniffer != nil || k.rawHears(proto) }

// sniff gives the packet to raw sockets, and to the sniffer when what it is of is committed.
func (k *Kernel) sniff(p *packet) {
	hear := k.rawHears(p.proto) && !k.isOutside(p.dst.IP)
	if k.Sniffer == nil && !hear {
		return
	}
	at, b := k.Clock.Real(), p.bytes()
	if hear {
		k.deliverRaw(p, b)
	}
	if k.Sniffer != nil {
		k.afterCommit(func() { k.Sniffer(at, b) })
	}
}

// passed is one that is no segment of TCP's streams.
func (k *Kernel) passed(p *packet) {
	k.countDatagram(p)
	if k.sniffing(p.proto) {
		k.sniff(p)
	}
}

// passedDatagram is a message of UDP, or, whole, of ICMP.
func (k *Kernel) passedDatagram(proto int32, src, dst InetAddr, life, class byte, data []byte) {
	k.passed(&packet{proto: byte(proto), src: src, dst: dst, life: life, class: class, data: data})
}

// passedSyn is the beginning of a connect.
func (k *Kernel) passedSyn(s *Socket) {
	a, b := s.Inet.Local, s.Inet.Far
	k.countSegment(a, b, tcpSyn, 0)
	if k.sniffing(ProtoTCP) {
		k.segment(a, b, tcpSyn, firstSeq(a, b), 0, nil)
	}
}

// passedConnected is a connect's success, passedRefused that nobody listens.
func (k *Kernel) passedConnected(s *Socket) {
	a, b := s.Inet.Local, s.Inet.Far
	k.countSegment(b, a, tcpSyn|tcpAck, 0)
	k.countSegment(a, b, tcpAck, 0)
	if k.sniffing(ProtoTCP) {
		k.segment(b, a, tcpSyn|tcpAck, firstSeq(b, a), firstSeq(a, b)+1, nil)
		k.segment(a, b, tcpAck, firstSeq(a, b)+1, firstSeq(b, a)+1, nil)
	}
}

func (k *Kernel) passedRefused(s *Socket) {
	a, b := s.Inet.Local, s.Inet.Far
	k.countSegment(b, a, tcpRst|tcpAck, 0)
	if k.sniffing(ProtoTCP) {
		k.segment(b, a, tcpRst|tcpAck, 0, firstSeq(a, b)+1, nil)
	}
}

// came counts what an end of a stream was sent; data is put into its queue already.
func (k *Kernel) came(p store.Ref[Socket], flags byte, data []byte) {
	k.passedTo(k.Socks.Get(p), flags, data)
	k.Socks.Mut(p).Came += uint64(len(data))
}

// passedTo is a segment that an end of a stream gets; it has not counted it yet.
func (k *Kernel) passedTo(s *Socket, flags byte, data []byte) {
	k.countSegment(s.Inet.Far, s.Inet.Local, flags, len(data))
	if !k.sniffing(ProtoTCP) {
		return
	}
	var ack uint32
	if r := k.SockPeer(s); r != 0 {
		flags |= tcpAck
		ack = k.Socks.Get(r).nextSeq()
	}
	k.segment(s.Inet.Far, s.Inet.Local, flags, s.nextSeq(), ack, data)
}

// passedLeft is a segment of an end whose peer has closed already.
func (k *Kernel) passedLeft(s *Socket, flags byte, data []byte) {
	a, b := s.Inet.Local, s.Inet.Far
	k.countSegment(a, b, flags, len(data))
	if k.sniffing(ProtoTCP) {
		k.segment(a, b, flags|tcpAck, firstSeq(a, b)+1+uint32(s.Sent), s.nextSeq(), data)
	}
}

// segment is sniff of one of TCP.
func (k *Kernel) segment(src, dst InetAddr, flags byte, seq, ack uint32, data []byte) {
	k.sniff(&packet{proto: ProtoTCP, src: src, dst: dst, life: 64, data: data, flags: flags, seq: seq, ack: ack})
}

// nextSeq is the sequence number of what an end of a stream gets next.
func (s *Socket) nextSeq() uint32 {
	n := firstSeq(s.Inet.Far, s.Inet.Local) + 1 + uint32(s.Came)
	if s.Inet.Fin&FinRecv != 0 {
		n++
	}
	return n
}

// firstSeq is the number of a SYN. It is the same each time for two addresses: so a next
// incarnation of the server knows it.
func firstSeq(src, dst InetAddr) uint32 {
	h := fnv.New32a()
	for _, a := range []InetAddr{src, dst} {
		h.Write(a.IP[:])
		h.Write(binary.BigEndian.AppendUint16(nil, a.Port))
	}
	return h.Sum32()
}

// bytes is the packet from the header of IP on (RFC 791, 8200, 9293, 768).
func (p *packet) bytes() []byte {
	var head []byte
	sum := 0 // where the checksum is in it; 0: data has its own
	switch {
	case p.whole:
	case p.proto == ProtoTCP:
		head = p.tcp()
		sum = 16
	case p.proto == ProtoUDP, p.proto == ProtoUDPLite:
		head = binary.BigEndian.AppendUint16(head, p.src.Port)
		head = binary.BigEndian.AppendUint16(head, p.dst.Port)
		n := 8 + len(p.data)
		if p.proto == ProtoUDPLite {
			n = 0 // the checksum covers it all
		}
		head = binary.BigEndian.AppendUint16(head, uint16(n))
		head = append(head, 0, 0)
		sum = 6
	}
	n := len(head) + len(p.data)
	if sum != 0 {
		v := ^onesSum(onesSum(onesSum(0, p.pseudo(n)), head), p.data)
		if v == 0 && p.proto != ProtoTCP {
			v = 0xffff // 0 would say that there is none
		}
		binary.BigEndian.PutUint16(head[sum:], v)
	}
	b := make([]byte, 0, 40+n)
	if isV4(p.dst.IP) {
		b = append(b, 0x45, p.class)
		b = binary.BigEndian.AppendUint16(b, uint16(20+n))
		b = append(b, 0, 0, 0x40, 0, p.life, p.proto, 0, 0) // it is not to be cut
		b = append(append(b, p.src.IP[12:]...), p.dst.IP[12:]...)
		binary.BigEndian.PutUint16(b[10:], ^onesSum(0, b))
	} else {
		b = binary.BigEndian.AppendUint32(b, 6<<28|uint32(p.class)<<20)
		b = binary.BigEndian.AppendUint16(b, uint16(n))
		b = append(b, p.proto, p.life)
		b = append(append(b, p.src.IP[:]...), p.dst.IP[:]...)
	}
	return append(append(b, head...), p.data...)
}

func (p *packet) tcp() []byte {
	h := binary.BigEndian.AppendUint16(nil, p.src.Port)
	h = binary.BigEndian.AppendUint16(h, p.dst.Port)
	h = binary.BigEndian.AppendUint32(h, p.seq)
	h = binary.BigEndian.AppendUint32(h, p.ack)
	h = append(h, 5<<4, p.flags, 0xff, 0xff, 0, 0, 0, 0)
	if p.flags&tcpUrg != 0 {
		binary.BigEndian.PutUint16(h[18:], uint16(len(p.data)))
	}
	if p.flags&tcpSyn != 0 {
		// Segments may be as long as they are, windows are 8 MiB.
		h = append(h, 2, 4, 0xff, 0xff, 3, 3, 7, 0)
		h[12] = 7 << 4
	}
	return h
}

// pseudo is what a checksum covers beside the n bytes behind the header of IP.
func (p *packet) pseudo(n int) []byte {
	if isV4(p.dst.IP) {
		b := append(append([]byte(nil), p.src.IP[12:]...), p.dst.IP[12:]...)
		return binary.BigEndian.AppendUint16(append(b, 0, p.proto), uint16(n))
	}
	b := append(append([]byte(nil), p.src.IP[:]...), p.dst.IP[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	return append(b, 0, 0, 0, p.proto)
}
