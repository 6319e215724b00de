package core

import (
	"encoding/binary"

	"hythe/store"
)

// Keys of options that the kernel looks at: level and option of Linux.
const (
	SockLife4  = uint32(0<<16 | 2)   // IP_TTL
	SockLife6  = uint32(41<<16 | 16) // IPV6_UNICAST_HOPS
	SockFault4 = uint32(0<<16 | 11)  // IP_RECVERR
	SockFault6 = uint32(41<<16 | 25) // IPV6_RECVERR
	SockClass4 = uint32(0<<16 | 1)   // IP_TOS
	SockPorts  = uint32(0<<16 | 51)  // IP_LOCAL_PORT_RANGE: which ports it is given, the lowest in the lower half
	SockClass6 = uint32(41<<16 | 67) // IPV6_TCLASS
)

// SockOption answers the value that option key of an IP socket was set to, and
// whether it was. What keys mean is the personality's.
func (k *Kernel) SockOption(r store.Ref[Socket], key uint32) (int32, bool) {
	return k.sockOption(k.Socks.Get(r), key)
}

func (k *Kernel) sockOption(s *Socket, key uint32) (int32, bool) {
	b := k.Heap.Bytes(s.Inet.Kept)
	for ; len(b) >= 8; b = b[8:] {
		if le32(b) == key {
			return int32(le32(b[4:])), true
		}
	}
	return 0, false
}

// SetSockOption keeps a value for option key; false: there is no memory for it.
func (k *Kernel) SetSockOption(r store.Ref[Socket], key uint32, v int32) bool {
	return k.rekeep(r, func(old uint32) bool { return old == key }, appendOption(nil, key, uint32(v)))
}

// appendOption appends an option as it is kept: key and value.
func appendOption(b []byte, key, v uint32) []byte {
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, key), v)
}

// rekeep drops options of a socket and keeps others instead, in one step; false: there is no memory for it, and nothing
// is changed.
func (k *Kernel) rekeep(r store.Ref[Socket], drop func(key uint32) bool, add []byte) bool {
	var b []byte
	for old := k.Heap.Bytes(k.Socks.Get(r).Inet.Kept); len(old) >= 8; old = old[8:] {
		if !drop(le32(old)) {
			b = append(b, old[:8]...)
		}
	}
	b = append(b, add...)
	var n store.Block
	if len(b) > 0 {
		if n = store.PutString(k.Heap, string(b)); n.Nil() {
			return false
		}
	}
	s := k.Socks.Mut(r)
	k.Heap.FreeBlock(s.Inet.Kept)
	s.Inet.Kept = n
	return true
}

// SetV6Only has an IPv6 socket without a port keep to IPv6; false: it has one.
func (k *Kernel) SetV6Only(r store.Ref[Socket], on bool) bool {
	s := k.Socks.Mut(r)
	if s.Inet.Local.Port != 0 {
		return false
	}
	s.Inet.V6Only = 0
	if on {
		s.Inet.V6Only = 1
	}
	return true
}
