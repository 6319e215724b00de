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
	old := k.Heap.Bytes(k.Socks.Get(r).Inet.Kept)
	b := append([]byte(nil), old...)
	at := 0
	for at < len(b) && le32(b[at:]) != key {
		at += 8
	}
	if at == len(b) {
		b = binary.LittleEndian.AppendUint32(b, key)
		b = append(b, 0, 0, 0, 0)
	}
	putLE32(b[at+4:], uint32(v))
	n := store.PutString(k.Heap, string(b))
	if n.Nil() {
		return false
	}
	s := k.Socks.Mut(r)
	k.Heap.FreeBlock(s.Inet.Kept)
	s.Inet.Kept = n
	return true
}

// DropSockOption forgets the value that option key was set to; false: there is no memory for
// what is left.
func (k *Kernel) DropSockOption(r store.Ref[Socket], key uint32) bool {
	b := k.Heap.Bytes(k.Socks.Get(r).Inet.Kept)
	for at := 0; at < len(b); at += 8 {
		if le32(b[at:]) != key {
			continue
		}
		left := append(append([]byte(nil), b[:at]...), b[at+8:]...)
		var n store.Block
		if len(left) > 0 {
			if n = store.PutString(k.Heap, string(left)); n.Nil() {
				return false
			}
		}
		s := k.Socks.Mut(r)
		k.Heap.FreeBlock(s.Inet.Kept)
		s.Inet.Kept = n
		return true
	}
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
