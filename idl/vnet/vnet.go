// Package vnet is what passes between the machines of a network and its switch
// (server/netswitch): messages of a socket of AF_UNIX, SOCK_SEQPACKET, one for each machine. One
// that begins with the digit 4 or 6 (its first four bits) is a packet of IPv4 or IPv6; one that begins with a
// byte 0 is told by its second one:
//
//	Join    machine to switch, first: version, the address that is wanted or zeros, the name
//	Joined  the answer: the address, the network's bits, the MTU
//	Refused the answer that it may not join, and why: a text
//	Ask     machine to switch: the table is wanted; a number
//	Table   switch to machine, when it was asked for, and whenever somebody comes or goes: the number of
//	        the last Ask that it knows of, and who is there
//
// Each side takes the other for an enemy: what is malformed is EINVAL at the machine's, and the end
// of the machine's place at the switch's.
package vnet

import (
	"cmp"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"strings"
)

// Version is that of the messages.
const Version = 1

// Sizes.
const (
	// MTU is the longest packet.
	MTU = 16 << 10
	// MaxMachines is how many machines a network has at most.
	MaxMachines = 250
	// MaxName is how long a machine's name is at most; a longer one is not told.
	MaxName = 63
	// MaxMessage is the size of a buffer for every message.
	MaxMessage = 32 << 10
)

// Network is what each network has as its addresses.
var Network = netip.MustParsePrefix("10.0.3.0/24")

// Network6 is what each network has as its addresses of IPv6. A machine's follows from that of IPv4
// (Six), so that messages name machines by the latter only.
var Network6 = netip.MustParsePrefix("fd00:10:0:3::/64")

// Six is the address of IPv6 of the machine that has one of IPv4 in Network: its last part has the same
// digits (10.0.3.77: fd00:10:0:3::77).
func Six(four netip.Addr) netip.Addr {
	n := four.As4()[3]
	b := Network6.Addr().As16()
	b[14], b[15] = n/100, n/10%10<<4|n%10
	return netip.AddrFrom16(b)
}

// Four is the address of IPv4 of the machine that has one of IPv6; not valid: that is no machine's.
func Four(six netip.Addr) netip.Addr {
	if !six.Is6() {
		return netip.Addr{}
	}
	b, four := six.As16(), Network.Addr().As4()
	n := int(b[14])*100 + int(b[15]>>4)*10 + int(b[15]&15)
	if n < First || n > Last {
		return netip.Addr{}
	}
	four[3] = byte(n)
	if a := netip.AddrFrom4(four); Six(a) == six {
		return a
	}
	return netip.Addr{}
}

// First and Last are the last bytes of the machines' addresses.
const (
	First = 2
	Last  = 254
)

// Kinds of messages.
const (
	KindJoin    = 1
	KindJoined  = 2
	KindRefused = 3
	KindAsk     = 4
	KindTable   = 5
)

// ErrMalformed is a message that is none.
var ErrMalformed = errors.New("malformed message of a network")

// Kind answers the kind of a message, 0 for a packet.
func Kind(b []byte) (kind byte, ok bool) {
	switch {
	case len(b) > 0 && (b[0]>>4 == 4 || b[0]>>4 == 6):
		return 0, true
	case len(b) > 1 && b[0] == 0 && b[1] >= KindJoin && b[1] <= KindTable:
		return b[1], true
	}
	return 0, false
}

// Join is who wants a place.
type Join struct {
	Want netip.Addr // not valid: any
	Name string
}

// Append adds its message.
func (j *Join) Append(b []byte) []byte {
	var want [4]byte
	if j.Want.Is4() {
		want = j.Want.As4()
	}
	b = append(b, 0, KindJoin, Version)
	b = append(b, want[:]...)
	return append(b, Name(j.Name)...)
}

// ParseJoin reads one.
func ParseJoin(b []byte) (j Join, err error) {
	if k, ok := Kind(b); !ok || k != KindJoin || len(b) < 7 || b[2] != Version {
		return j, ErrMalformed
	}
	if a := netip.AddrFrom4([4]byte(b[3:7])); !a.IsUnspecified() {
		j.Want = a
	}
	j.Name = string(b[7:])
	if j.Name != Name(j.Name) {
		return j, ErrMalformed
	}
	return j, nil
}

// Name is a name as it is told to others: in lower case, or none if it is not one of letters,
// digits, '-', '_' and '.'.
func Name(s string) string {
	s = strings.ToLower(s)
	if len(s) > MaxName {
		return ""
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return ""
		}
	}
	return strings.Trim(s, ".")
}

// Joined is a place.
type Joined struct {
	Addr netip.Prefix
	MTU  uint32
}

// Append adds its message.
func (j *Joined) Append(b []byte) []byte {
	a := j.Addr.Addr().As4()
	b = append(b, 0, KindJoined, Version, byte(j.Addr.Bits()))
	b = append(b, a[:]...)
	return binary.LittleEndian.AppendUint32(b, j.MTU)
}

// ParseJoined reads the answer to a Join, also that it is refused.
func ParseJoined(b []byte) (j Joined, err error) {
	switch k, ok := Kind(b); {
	case ok && k == KindRefused:
		return j, errors.New(strings.ToValidUTF8(string(b[2:]), "?"))
	case !ok || k != KindJoined || len(b) != 12 || b[2] != Version || b[3] > 30:
		return j, ErrMalformed
	}
	j.Addr = netip.PrefixFrom(netip.AddrFrom4([4]byte(b[4:8])), int(b[3]))
	j.MTU = binary.LittleEndian.Uint32(b[8:])
	if j.MTU < 576 || j.MTU > MTU {
		return j, ErrMalformed
	}
	return j, nil
}

// AppendRefused adds that somebody may not join.
func AppendRefused(b []byte, why string) []byte { return append(append(b, 0, KindRefused), why...) }

// AppendAsk adds the question for the table.
func AppendAsk(b []byte, number uint32) []byte {
	return binary.LittleEndian.AppendUint32(append(b, 0, KindAsk), number)
}

// ParseAsk reads one.
func ParseAsk(b []byte) (number uint32, err error) {
	if k, ok := Kind(b); !ok || k != KindAsk || len(b) != 6 {
		return 0, ErrMalformed
	}
	return binary.LittleEndian.Uint32(b[2:]), nil
}

// Member is a machine of a network. Serial is no other's that was there before.
type Member struct {
	Serial uint64
	Addr   netip.Addr
	Name   string
}

// Sorted puts members into the order in which they came, and leaves a name to who had it first.
func Sorted(l []Member) []Member {
	slices.SortFunc(l, func(a, b Member) int { return cmp.Compare(a.Serial, b.Serial) })
	taken := map[string]bool{}
	for i := range l {
		if taken[l[i].Name] {
			l[i].Name = ""
		}
		taken[l[i].Name] = true
	}
	return l
}

// AppendTable adds a table.
func AppendTable(b []byte, asked uint32, l []Member) []byte {
	b = binary.LittleEndian.AppendUint32(append(b, 0, KindTable), asked)
	for _, m := range l {
		a := m.Addr.As4()
		b = binary.LittleEndian.AppendUint64(b, m.Serial)
		b = append(b, a[:]...)
		b = append(append(b, byte(len(m.Name))), m.Name...)
	}
	return b
}

// ParseTable reads one.
func ParseTable(b []byte) (asked uint32, l []Member, err error) {
	if k, ok := Kind(b); !ok || k != KindTable || len(b) < 6 {
		return 0, nil, ErrMalformed
	}
	asked = binary.LittleEndian.Uint32(b[2:])
	for b = b[6:]; len(b) > 0; {
		if len(b) < 13 || len(b) < 13+int(b[12]) || len(l) == MaxMachines {
			return 0, nil, ErrMalformed
		}
		m := Member{Serial: binary.LittleEndian.Uint64(b), Addr: netip.AddrFrom4([4]byte(b[8:12])), Name: string(b[13 : 13+int(b[12])])}
		if m.Name != Name(m.Name) {
			return 0, nil, ErrMalformed
		}
		l = append(l, m)
		b = b[13+len(m.Name):]
	}
	return asked, l, nil
}

// Packet checks a packet as far as those have to who forward it, and answers its ends: its
// length is what it says, and whole. One of IPv6 with the hop limit of 255 is none: that is what messages
// of neighbour discovery have to have (RFC 4861), of which a network without link addresses has no use,
// wherever in the packet they are.
func Packet(b []byte) (from, to netip.Addr, ok bool) {
	if len(b) >= 40 && b[0]>>4 == 6 {
		if 40+int(binary.BigEndian.Uint16(b[4:])) != len(b) || len(b) > MTU || b[7] == 255 {
			return from, to, false
		}
		return netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40])), true
	}
	if len(b) < 20 || b[0]>>4 != 4 || b[0]&15 < 5 || int(b[0]&15)*4 > len(b) || int(binary.BigEndian.Uint16(b[2:])) != len(b) || len(b) > MTU {
		return from, to, false
	}
	return netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])), true
}
