// Package net is the net server's protocol: host sockets for the unix server,
// which is its only client. Requests travel in slots of kind abi.KindService; Nr
// is the operation, Args[0] the id of a socket, the rest as noted.
//
// The client chooses the ids of what it opens; none is used twice while the
// machine lives. A net server that dies takes all its sockets along, but for those
// that were handed to it at its start (the published ports): a request for a stream
// of before is answered with ECONNRESET. Its incarnations have numbers, which
// answers carry.
//
// No request waits for the host but OpEvents; what could not be done at once is
// EAGAIN, and an event tells when to ask again. Events are hints: one may be told
// in vain, and none is told twice. A client that has lost some (in its death) asks
// for all again. Each request may be sent again by a next incarnation of the client:
//
//   - OpConnect of a known id answers how far that is, and does nothing anew;
//   - OpSend and OpAccept have numbers (Args[7]): asked again with the last one,
//     they answer the same;
//   - OpRecv says how many bytes of the stream the client has: what follows is
//     answered again until it says that it has that, too;
//   - datagrams may be lost, and sent twice when the server dies.
package net

import (
	"encoding/binary"
	"net/netip"
)

// Operations (Nr).
const (
	// OpEvents waits until something has happened to a socket, or at once if
	// Args[0] is not the server's incarnation. Result is that; Out holds Events. A
	// second one takes the place of the first, which is answered with ECANCELED.
	OpEvents = 1
	// OpConnect opens a stream to the Addr in In. Result is the incarnation.
	// EINPROGRESS: an event will tell. EACCES: the policy refuses the address.
	OpConnect = 2
	// OpAccept takes a connection of a published port, Args[0] being PublishedID of
	// its index: Out is the new stream's id (8 bytes) and the Addr of the other end.
	OpAccept = 3
	// OpSend sends In: Result is how much the host took. Args[2] is as of OpRecv.
	OpSend = 4
	// OpRecv answers at most Args[1] bytes of what comes behind the first Args[2]
	// bytes of the stream; none: it has ended. The server keeps a copy until the next
	// one, so one follows soon if they are more than Small.
	OpRecv = 5
	// OpShut ends the stream's direction to the host.
	OpShut = 6
	// OpClose ends a socket: as a reset, if Args[1] is 1.
	OpClose = 7
	// OpSendTo sends the datagrams in In (PutDgram) on the socket, which is opened
	// if it is not known. Args[1] = 1: it is to be connected to where the first one
	// goes, and so hears of errors. The error is that of the last one that failed.
	OpSendTo = 8
	// OpRecvFrom answers datagrams in Out.
	OpRecvFrom = 9
)

// Slots is how many slots a client's binding needs; more requests wait.
const Slots = 32

// MaxData bounds the bytes of one request or answer.
const MaxData = 120 << 10

// Small is how much of an answer to OpRecv may lie in the server for long.
const Small = 4096

// Bits of an Event.
const (
	In  = 1 // OpRecv, OpAccept or OpRecvFrom would not say EAGAIN
	Out = 2 // OpSend would not, or a connect has come to its end
)

// Event tells of a socket. Data are bytes of a stream from offset Off on, which the
// client may take as an answer to OpRecv if they are what follows for it.
type Event struct {
	ID   uint64
	Bits uint32
	Off  uint64
	Data []byte
}

// EventSize is the wire size of an Event without Data, EventData how long that is at
// most, MaxEvents how many one answer has at most.
const (
	EventSize = 24
	EventData = 16 << 10
	MaxEvents = 2048
)

// AppendEvent adds an event's wire form.
func AppendEvent(b []byte, e Event) []byte {
	b = binary.LittleEndian.AppendUint64(b, e.ID)
	b = binary.LittleEndian.AppendUint32(b, e.Bits)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(e.Data)))
	b = binary.LittleEndian.AppendUint64(b, e.Off)
	return append(b, e.Data...)
}

// NextEvent takes an event off b.
func NextEvent(b []byte) (e Event, rest []byte, ok bool) {
	if len(b) < EventSize {
		return e, nil, false
	}
	n := binary.LittleEndian.Uint32(b[12:])
	if uint64(n) > uint64(len(b)-EventSize) {
		return e, nil, false
	}
	e = Event{ID: binary.LittleEndian.Uint64(b), Bits: binary.LittleEndian.Uint32(b[8:]), Off: binary.LittleEndian.Uint64(b[16:])}
	b = b[EventSize:]
	if n > 0 {
		e.Data = b[:n]
	}
	return e, b[n:], true
}

// Ids that the net server chooses: of published ports, and of what they accept.
const (
	publishedBit = 1 << 63
	acceptedBit  = 1 << 62
)

// PublishedID is the id of published port i.
func PublishedID(i int) uint64 { return publishedBit | uint64(i) }

// AcceptedID is the id of the n-th connection that an incarnation has accepted.
func AcceptedID(incarnation, n uint64) uint64 {
	return acceptedBit | incarnation&(1<<22-1)<<40 | n&(1<<40-1)
}

// AddrSize is the wire size of an address and port: IPv4 as IPv6 maps it.
const AddrSize = 18

// AppendAddr adds an address's wire form.
func AppendAddr(b []byte, a netip.AddrPort) []byte {
	ip := a.Addr().As16()
	return binary.LittleEndian.AppendUint16(append(b, ip[:]...), a.Port())
}

// GetAddr reads what AppendAddr made, AddrSize bytes.
func GetAddr(b []byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[:16])).Unmap(), binary.LittleEndian.Uint16(b[16:]))
}

// DgramSize is what a datagram takes beside its bytes.
const DgramSize = AddrSize + 4

// AppendDgram adds a datagram and where it goes, or comes from.
func AppendDgram(b []byte, a netip.AddrPort, data []byte) []byte {
	b = AppendAddr(b, a)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}

// NextDgram takes a datagram off b.
func NextDgram(b []byte) (a netip.AddrPort, data, rest []byte, ok bool) {
	if len(b) < DgramSize {
		return a, nil, nil, false
	}
	n := binary.LittleEndian.Uint32(b[AddrSize:])
	if uint64(n) > uint64(len(b)-DgramSize) {
		return a, nil, nil, false
	}
	return GetAddr(b), b[DgramSize : DgramSize+n], b[DgramSize+n:], true
}
