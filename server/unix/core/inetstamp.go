package core

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/store"
)

// Time stamps of what is sent (SO_TIMESTAMPING of Documentation/networking/timestamping.rst): a socket that
// asks finds in its error queue when a message was handed on, and when it left; of a stream in the machine also when
// its last byte was there. Between sockets of the machine all of that is at once, before the call that sends is
// answered. What leaves the machine has left with it for the server that carries it, and nobody is told when
// the other end had it.

// SockStamping is the key of SO_TIMESTAMPING: Stamp... of who was asked for.
const SockStamping = uint32(1<<16 | 37)

// sockStampKey is that of the number of the next message, or of the position of a stream from which its
// bytes are numbered.
const sockStampKey = uint32(1<<16 | 0x7025)

// Bits of SO_TIMESTAMPING (include/uapi/linux/net_tstamp.h).
const (
	StampTxHardware = 1 << 0
	StampTxSoftware = 1 << 1
	StampRxSoftware = 1 << 3
	StampSoftware   = 1 << 4
	StampOptID      = 1 << 7
	StampTxSched    = 1 << 8
	StampTxAck      = 1 << 9
	StampOptCmsg    = 1 << 10
	StampOptTSOnly  = 1 << 11

	// StampTx are those that a message may ask for by itself.
	StampTx = StampTxHardware | StampTxSoftware | StampTxSched | StampTxAck
	// StampNew: what is told has the numbers of SO_TIMESTAMPING_NEW.
	StampNew = 1 << 31
)

// optStamps is a bit of Socket.Opts: it asks for stamps of all that it sends.
const optStamps = 1 << 31

// Which stamp it is (SockFault.Info, SCM_TSTAMP_).
const (
	stampSent  = 0
	stampSched = 1
	stampAcked = 2
)

// SetStamping keeps what a socket asks for. The numbers of its messages begin anew when they were not
// asked for before. ENOBUFS.
func (k *Kernel) SetStamping(r store.Ref[Socket], v uint32) abi.Errno {
	was, _ := k.SockOption(r, SockStamping)
	if v&StampOptID != 0 && was&StampOptID == 0 && !k.SetSockOption(r, sockStampKey, int32(k.streamSent(r))) {
		return abi.ENOBUFS
	}
	if !k.SetSockOption(r, SockStamping, int32(v)) {
		return abi.ENOBUFS
	}
	s := k.Socks.Mut(r)
	if s.Opts &^= optStamps; v&StampTx != 0 {
		s.Opts |= optStamps
	}
	return 0
}

// streamSent is how many bytes a stream has sent; 0 for other sockets.
func (k *Kernel) streamSent(r store.Ref[Socket]) uint32 {
	s := k.Socks.Get(r)
	if p := k.SockPeer(s); p != 0 && s.Type == SockStream {
		return uint32(k.Socks.Get(p).Came)
	}
	return uint32(s.Sent)
}

// stamping answers which stamps a message is to have; 0: none.
func (k *Kernel) stamping(s *Socket, m *SockSend) uint32 {
	if s.Opts&optStamps == 0 && m.Stamp == nil {
		return 0
	}
	v, _ := k.sockOption(s, SockStamping)
	u := uint32(v)
	if m.Stamp != nil {
		u = u&^StampTx | *m.Stamp
	}
	if u&StampTx == 0 {
		return 0
	}
	return u
}

// stampPacket stamps a packet that a socket has sent.
func (x inetSockets) stampPacket(r store.Ref[Socket], m *SockSend, p *packet) {
	k := x.k
	u := k.stamping(k.Socks.Get(r), m)
	if u&(StampTx&^StampTxAck) == 0 {
		return
	}
	var id uint32
	if u&StampOptID != 0 {
		v, _ := k.SockOption(r, sockStampKey)
		if id = uint32(v); !k.SetSockOption(r, sockStampKey, v+1) {
			return
		}
	}
	var frame []byte
	if u&StampOptTSOnly == 0 {
		frame = p.frame()
	}
	for _, w := range [2]struct{ asked, kind uint32 }{{StampTxSched, stampSched}, {StampTxSoftware, stampSent}} {
		if u&w.asked != 0 {
			x.keepStamp(r, p, w.kind, id, frame)
		}
	}
}

// stampStream stamps what a call has sent by a stream, tail being the end of it.
func (x inetSockets) stampStream(r store.Ref[Socket], m *SockSend, tail []byte) {
	k := x.k
	s := k.Socks.Get(r)
	if s.Family != FamilyInet && s.Family != FamilyInet6 {
		return
	}
	u := k.stamping(s, m)
	if u == 0 {
		return
	}
	var id uint32
	at := k.streamSent(r)
	if u&StampOptID != 0 {
		v, _ := k.SockOption(r, sockStampKey)
		id = at - uint32(v) - 1
	}
	a, b := s.Inet.Local, s.Inet.Far
	p := &packet{proto: ProtoTCP, src: a, dst: b, life: 64, flags: tcpPsh | tcpAck, data: tail,
		seq: firstSeq(a, b) + 1 + at - uint32(len(tail)), ack: s.nextSeq()}
	var frame []byte
	if u&StampOptTSOnly != 0 {
		tail = nil
	} else {
		frame = p.frame()
	}
	if u&StampTxSched != 0 {
		x.keepStamp(r, p, stampSched, id, frame)
	}
	if u&StampTxSoftware != 0 {
		x.keepStamp(r, p, stampSent, id, frame)
	}
	if peer := k.SockPeer(s); u&StampTxAck != 0 && !k.isOutside(b.IP) && peer != 0 && !k.Socks.Get(peer).hidden() {
		x.keepStamp(r, p, stampAcked, id, tail)
	}
}

// keepStamp puts a stamp into a socket's error queue; data nil: nothing of what was sent comes with it.
func (x inetSockets) keepStamp(r store.Ref[Socket], p *packet, kind, id uint32, data []byte) {
	f := SockFault{Errno: uint32(abi.ENOMSG), Origin: FaultStamp, Info: kind, Data: id, To: InetAddr{IP: p.dst.IP},
		Life: p.life, Class: p.class}
	if data != nil && kind != stampAcked {
		f.By = p.src.IP
	}
	x.keepFault(r, &f, data)
}

// frame is the packet with the header of Ethernet before it, as interfaces take it; addresses are
// left 0, as those of the loopback interface are.
func (p *packet) frame() []byte {
	kind := uint16(0x86dd)
	if isV4(p.dst.IP) {
		kind = 0x0800
	}
	return append(binary.BigEndian.AppendUint16(make([]byte, 12, 14), kind), p.bytes()...)
}

// noteSent remembers the end of what a call sends by a stream of which it is to be told.
func (c *Call) noteSent(r store.Ref[Socket], m *SockSend, data []byte) {
	if u := c.K.stamping(c.K.Socks.Get(r), m); u != 0 && u&StampOptTSOnly == 0 {
		c.sentTail = append(c.sentTail[:0], data[max(0, len(data)-32768):]...)
	}
}

// sentStream is the end of a call that has sent n bytes by a file that may be a stream.
func (c *Call) sentStream(f store.Ref[File], m *SockSend, n uint64) {
	k := c.K
	if file := k.Files.Get(f); n > 0 && file != nil && file.Kind == FileSocket {
		r := sockOf(file)
		if s := k.Socks.Get(r); s != nil && s.Type == SockStream && (s.Opts&optStamps != 0 || m.Stamp != nil) {
			inetSockets{sockQueues{k}}.stampStream(r, m, c.sentTail)
		}
	}
	c.sentTail = nil
}

// IsOutside says whether an address is of somebody outside the machine.
func (k *Kernel) IsOutside(ip [16]byte) bool { return k.isOutside(ip) }
