package core

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/store"
)

// The error queue of a socket (IP_RECVERR of ip(7)): what became of datagrams, with what was
// in them. It is in the state of record, as messages of the socket.

// SockFault is an error of a datagram that was sent.
type SockFault struct {
	Errno uint32
	// Origin is whose word it is (Fault...), Kind and Code are of ICMP, Info says more of some.
	Origin, Kind, Code byte
	Info, Data         uint32
	To                 InetAddr // where the datagram went
	// By is who said so; the zero address: not known.
	By          [16]byte
	Life, Class byte
}

// Origins (SO_EE_ORIGIN_).
const (
	FaultLocal = 1
	FaultICMP4 = 2
	FaultICMP6 = 3
	FaultStamp = 4 // no error: when something was sent (inetstamp.go)
)

// faultOf is an error as ICMP would have told it of a datagram to far. Of a port that nobody
// has its host tells.
func faultOf(e abi.Errno, far InetAddr) SockFault {
	f := SockFault{Errno: uint32(e), Origin: FaultICMP4, Kind: unreach4, To: far, Life: 64}
	four := isV4(far.IP)
	if !four {
		f.Origin, f.Kind = FaultICMP6, unreach6
	}
	switch {
	case e == abi.ECONNREFUSED && four:
		f.Code, f.By = unreachPort4, far.IP
	case e == abi.ECONNREFUSED:
		f.Code, f.By = unreachPort6, far.IP
	case e == abi.EHOSTUNREACH && four:
		f.Code = 1
	case e == abi.EHOSTUNREACH:
		f.Code = 3
	case e == abi.ENETUNREACH:
	default:
		f.Origin, f.Kind = FaultLocal, 0
	}
	return f
}

// icmp says whether it is ICMP's word.
func (f *SockFault) icmp() bool { return f.Origin == FaultICMP4 || f.Origin == FaultICMP6 }

func (f *SockFault) append(b []byte) []byte {
	b, _ = binary.Append(b, binary.LittleEndian, f)
	return b
}

// wantsFaults says whether a socket has errors of datagrams to ip queued.
func (x inetSockets) wantsFaults(r store.Ref[Socket], ip [16]byte) bool {
	key := SockFault6
	if isV4(ip) {
		key = SockFault4
	}
	v, _ := x.k.SockOption(r, key)
	return v != 0
}

// fault tells a socket what became of a datagram. One that does not ask hears of the errors
// of its peer only.
func (x inetSockets) fault(r store.Ref[Socket], f *SockFault, data []byte) {
	k := x.k
	s := k.Socks.Get(r)
	peer := s.State == SockConnected
	if peer && (s.Inet.Far.IP != f.To.IP || s.Inet.Far.Port != f.To.Port && s.Type != SockRaw) {
		return
	}
	if x.wantsFaults(r, f.To.IP) {
		x.keepFault(r, f, data)
	} else if !peer {
		return
	}
	k.Socks.Mut(r).Err = f.Errno
	k.wakeSock(r, PollErr)
}

// How much of a datagram comes back with ICMP's word of it: the rest of the packet is not quoted
// (inetunreach.go).
const (
	maxFault4 = maxQuote4 - head4 - 8
	maxFault6 = maxQuote6 - 40 - 8
)

// minFault is how much of a packet there has to be behind its header of IP for anybody to know whose
// it was (RFC 792): of less no socket hears.
const minFault = 8

// charged is what waits at a socket of datagrams, of both queues, as it counts against its buffer
// (sk_rmem_alloc).
func (s *Socket) charged() uint32 {
	return s.Bytes + s.Inet.FaultBytes + (s.Queue.N+s.Inet.Faults.N)*dgramCost
}

// keepFault puts an error into the queue of a socket; without room for all of it it is lost.
func (x inetSockets) keepFault(r store.Ref[Socket], f *SockFault, data []byte) {
	k := x.k
	s := k.Socks.Get(r)
	if s.Type != SockRaw { // of those the caller cuts it
		switch f.Origin {
		case FaultICMP4:
			data = data[:min(len(data), maxFault4)]
		case FaultICMP6:
			data = data[:min(len(data), maxFault6)]
		}
	}
	if s.charged()+uint32(len(data))+dgramCost >= s.RcvBuf {
		return
	}
	at, m := k.SockMsgs.New()
	if at == 0 {
		return
	}
	m.Time = k.Clock.Real()
	m.From = store.PutString(k.Heap, string(f.append(nil)))
	if len(data) > 0 {
		m.Data = store.PutString(k.Heap, string(data))
	}
	if m.From.Nil() || len(data) > 0 && m.Data.Nil() {
		k.Heap.FreeBlock(m.From)
		k.Heap.FreeBlock(m.Data)
		k.SockMsgs.Free(at)
		return
	}
	w := k.Socks.Mut(r)
	w.Inet.FaultBytes += uint32(len(data))
	x.msgs().PushBack(&w.Inet.Faults, at)
	k.wakeSock(r, PollErr)
}

// tooLong queues that a datagram to somebody was longer than any can be: one of IPv4 of which not
// even the length can be said is no datagram.
func (x inetSockets) tooLong(r store.Ref[Socket], to *SockAddr, n int) {
	s := x.k.Socks.Get(r)
	far := s.Inet.Far
	if to != nil {
		var e abi.Errno
		if far, _, e = x.aim(s, *to, false); e != 0 {
			return
		}
	} else if s.State != SockConnected {
		return
	}
	if isV4(far.IP) && n > maxPacket4 {
		return
	}
	x.keepTooLong(r, far)
}

// maxPacket4 is what the length in a header of IPv4 can say.
const maxPacket4 = 65535

// keepTooLong queues that for a socket that asks: what could have been sent at once is told.
func (x inetSockets) keepTooLong(r store.Ref[Socket], far InetAddr) {
	if !x.wantsFaults(r, far.IP) {
		return
	}
	mtu := uint32(LoopbackMTU)
	if x.k.isOutside(far.IP) {
		mtu = x.k.Ethernet().MTU
	}
	if isV4(far.IP) {
		mtu = min(mtu, maxPacket4)
		far.Port = 0 // as Linux has it, which names a peer's only
		if s := x.k.Socks.Get(r); s.State == SockConnected {
			far.Port = s.Inet.Far.Port
		}
	}
	x.keepFault(r, &SockFault{Errno: uint32(abi.EMSGSIZE), Origin: FaultLocal, Info: mtu, To: far}, nil)
}

// rawFaults tells the raw sockets of a protocol that were or could have been the sender of a packet to
// the machine's own address what ICMP says of it; quote is what that has of it.
func (k *Kernel) rawFaults(p *packet, u unreachable, quote []byte) {
	if !k.rawHears(p.proto) {
		return
	}
	x := inetSockets{sockQueues{k}}
	family, head, origin := uint32(FamilyInet), head4, byte(FaultICMP4)
	class := p.class&0x1e | classControl
	if !isV4(p.dst.IP) {
		family, head, origin, class = FamilyInet6, 40, FaultICMP6, 0
	}
	if len(quote) < head+minFault {
		return
	}
	f := SockFault{Errno: uint32(u.errno), Origin: origin, Kind: u.kind, Code: u.code, Info: u.info,
		To: InetAddr{IP: p.dst.IP}, By: p.dst.IP, Life: 64, Class: class}
	for r := range k.io.inet.ports[rawKey(p.proto)] {
		s := k.Socks.Get(r)
		if s.Family != family || x.match(s, p.src.IP) == 0 {
			continue
		}
		data := quote[head:]
		if k.HdrIncl(r) {
			data = quote
		}
		x.fault(r, &f, data)
	}
}

func (k *Kernel) faultAt(at store.Ref[SockMsg]) (f SockFault) {
	_, _ = binary.Decode(k.Heap.Bytes(k.SockMsgs.Get(at).From), binary.LittleEndian, &f)
	return f
}

// takeFault answers the next message of the error queue, never waiting. EAGAIN.
func (x inetSockets) takeFault(r store.Ref[Socket], buf []byte, m *SockRecv) (int, abi.Errno) {
	k := x.k
	s := k.Socks.Get(r)
	at := s.Inet.Faults.Head
	if at == 0 {
		return 0, abi.EAGAIN
	}
	f, msg := k.faultAt(at), k.SockMsgs.Get(at)
	n := copy(buf, k.Heap.Bytes(msg.Data))
	m.Flags = MsgErrQueue
	if m.Full = int(msg.Data.Len); n < m.Full {
		m.Flags |= MsgTrunc
	}
	m.Fault, m.Time = &f, msg.Time
	if f.Origin != FaultStamp {
		m.From = f.To.sockAddr(s.Family)
	}
	m.To, m.Life, m.Class = f.To.IP, f.Life, f.Class
	// ICMP's word came to where the datagram was sent from.
	if src, _, e := x.route(s, f.To.IP); e == 0 && f.icmp() {
		m.To = src
	}
	x.freeFault(r, at)
	// SO_ERROR is of what is next.
	w := k.Socks.Mut(r)
	next := w.Inet.Faults.Head
	if next != 0 {
		if g := k.faultAt(next); g.icmp() {
			w.Err = g.Errno
			return n, 0
		}
	}
	if f.icmp() {
		w.Err = 0
	}
	return n, 0
}

func (x inetSockets) freeFault(r store.Ref[Socket], at store.Ref[SockMsg]) {
	k := x.k
	m, s := k.SockMsgs.Get(at), k.Socks.Mut(r)
	s.Inet.FaultBytes -= m.Data.Len
	x.msgs().Remove(&s.Inet.Faults, at)
	k.Heap.FreeBlock(m.Data)
	k.Heap.FreeBlock(m.From)
	k.SockMsgs.Free(at)
}

// DropSockFaults empties an error queue.
func (k *Kernel) DropSockFaults(r store.Ref[Socket]) {
	x := inetSockets{sockQueues{k}}
	for at := k.Socks.Get(r).Inet.Faults.Head; at != 0; at = k.Socks.Get(r).Inet.Faults.Head {
		x.freeFault(r, at)
	}
}
