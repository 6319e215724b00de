package net

import "net/netip"

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

// PutAddr stores an address's wire form.
func PutAddr(b []byte, a netip.AddrPort) {
	ip := a.Addr().As16()
	copy(b, ip[:])
	le.PutUint16(b[len(ip):], a.Port())
}

// GetAddr reads what PutAddr stored.
func GetAddr(b []byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[:16])).Unmap(), le.Uint16(b[16:]))
}
