package core

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"hythe/abi"
	"hythe/store"
)

// Groups (multicast of ip(7)) of IPv4 on the loopback interface: a datagram to one reaches
// each socket that has the port, if anybody in the machine is a member. None leave the
// machine, nor come from outside. Of IPv6 there are memberships only: as on Linux no route
// leads to a group of it by the loopback interface. Memberships are kept as options are.

// Keys of options.
const (
	SockGroupLife  = uint32(0<<16 | 33)     // IP_MULTICAST_TTL
	SockGroupFrom  = uint32(0<<16 | 32)     // IP_MULTICAST_IF: the address, its bytes in order
	SockGroupIndex = uint32(0<<16 | 0x7000) // and the interface
	SockGroupAll   = uint32(0<<16 | 49)     // IP_MULTICAST_ALL

	// sockGroup4 and the next are places for memberships, sockGroup6 those of IPv6, of
	// four words each.
	sockGroup4 = uint32(0<<16 | 0x8000)
	sockGroup6 = uint32(41<<16 | 0x8000)
)

// Bounds: memberships of a socket (of IPv4 net.ipv4.igmp_max_memberships), and sockets that one datagram reaches.
const (
	maxGroups4 = 20
	maxGroups6 = 64
	maxMembers = 256
)

// maxLooks is at how many sockets that have a port one datagram to a group looks: a machine can have
// many there that do not want it. A variable for tests' sake.
var maxLooks = 4096

// allHosts is the group of which everybody is a member.
var allHosts = ip4(224, 0, 0, 1)

// IsGroup says whether an address is a group's.
func IsGroup(ip [16]byte) bool { return isMulti(ip) }

// groupSource answers whence a socket sends to groups. ENETUNREACH: no interface was named, or
// with it an address that is not the machine's; EINVAL: one that nobody has.
func (x inetSockets) groupSource(s *Socket) (src [16]byte, e abi.Errno) {
	own := s.Inet.Local.IP
	bound := !isAny(own) && !isMulti(own)
	index, _ := x.k.sockOption(s, SockGroupIndex)
	switch v, _ := x.k.sockOption(s, SockGroupFrom); {
	case bound && isV4(own) && own[12] == 127:
		return own, 0
	case index == 0 || bound:
		return src, abi.ENETUNREACH
	case v == 0:
		return ip4Loop, 0
	default:
		b := binary.LittleEndian.AppendUint32(nil, uint32(v))
		src = ip4(b[0], b[1], b[2], b[3])
		switch {
		case isMulti(src) || src == ip4(255, 255, 255, 255):
			return src, abi.EINVAL
		case !x.k.isLocal(src):
			return src, abi.ENETUNREACH
		}
		return src, 0
	}
}

// memberships are the groups of a socket by their places; what is no group is a free place.
type memberships [maxGroups6][16]byte

// memberships looks once at what a socket keeps: a datagram to a group asks this of each
// socket that has the port.
func (k *Kernel) memberships(s *Socket, six bool) (m memberships) {
	first, words, most := sockGroup4, uint32(1), uint32(maxGroups4)
	if six {
		first, words, most = sockGroup6, 4, maxGroups6
	}
	for b := k.Heap.Bytes(s.Inet.Kept); len(b) >= 8; b = b[8:] {
		n := le32(b) - first
		if n >= words*most {
			continue
		}
		ip := &m[n/words]
		if !six {
			*ip = ip4(0, 0, 0, 0)
		}
		copy(ip[16-4*words+n%words*4:], b[4:8])
	}
	return m
}

// group answers where the membership of a socket is kept, or else a place that is free;
// -1: there is none.
func (k *Kernel) group(s *Socket, ip [16]byte) (at int, member bool) {
	six, most := !isV4(ip), maxGroups4
	if six {
		most = maxGroups6
	}
	m := k.memberships(s, six)
	if at = slices.Index(m[:most], ip); at >= 0 {
		return at, true
	}
	return slices.IndexFunc(m[:most], func(g [16]byte) bool { return !isMulti(g) }), false
}

// InGroup says whether a socket is a member of a group.
func (k *Kernel) InGroup(r store.Ref[Socket], ip [16]byte) bool {
	_, member := k.group(k.Socks.Get(r), ip)
	return member
}

// JoinGroup makes a socket a member of a group on the loopback interface, that hears all, or, until it names whom,
// nobody (include). EINVAL for what is no group, EADDRINUSE for what it is a member of, ENOBUFS.
func (k *Kernel) JoinGroup(r store.Ref[Socket], ip [16]byte, include bool) abi.Errno {
	if !isMulti(ip) {
		return abi.EINVAL
	}
	at, member := k.group(k.Socks.Get(r), ip)
	switch {
	case member:
		return abi.EADDRINUSE
	case at < 0:
		return abi.ENOBUFS
	}
	f := GroupFilter{Include: include}
	add := appendFilter(nil, at, !isV4(ip), &f)
	if isV4(ip) {
		add = appendOption(add, sockGroup4+uint32(at), le32(ip[12:]))
	} else {
		for i := range uint32(4) {
			add = appendOption(add, sockGroup6+4*uint32(at)+i, le32(ip[4*i:]))
		}
	}
	if !k.rekeep(r, keepsGroup(ip, at), add) {
		return abi.ENOBUFS
	}
	k.countGroup(ip, &f, 1)
	return 0
}

// keepsGroup says which options are the membership at a place, and of its filter.
func keepsGroup(ip [16]byte, at int) func(key uint32) bool {
	if isV4(ip) {
		return func(key uint32) bool { return key == sockGroup4+uint32(at) || filterKey(key, at, false) }
	}
	return func(key uint32) bool { return key-sockGroup6-4*uint32(at) < 4 || filterKey(key, at, true) }
}

// LeaveGroup ends that. EADDRNOTAVAIL if it is no member, ENOBUFS.
func (k *Kernel) LeaveGroup(r store.Ref[Socket], ip [16]byte) abi.Errno {
	at, member := k.group(k.Socks.Get(r), ip)
	if !member {
		return abi.EADDRNOTAVAIL
	}
	f := k.groupFilter(k.Socks.Get(r), at, !isV4(ip))
	if !k.rekeep(r, keepsGroup(ip, at), nil) {
		return abi.ENOBUFS // it is a member still, and counted
	}
	k.countGroup(ip, &f, -1)
	return 0
}

// countGroups counts, or no longer, the memberships of a socket.
func (x inetSockets) countGroups(s *Socket, n int) {
	if s.Inet.Kept.Nil() {
		return
	}
	for _, six := range []bool{false, true} {
		for at, ip := range x.k.memberships(s, six) {
			if !isMulti(ip) {
				continue
			}
			f := x.k.groupFilter(s, at, six)
			x.k.countGroup(ip, &f, n)
		}
	}
}

// groupsOf answers the groups that have members, by their addresses.
func (k *Kernel) groupsOf(four bool) (l [][16]byte) {
	for ip := range k.io.inet.groups {
		if isV4(ip) == four && ip != allHosts {
			l = append(l, ip)
		}
	}
	slices.SortFunc(l, func(a, b [16]byte) int { return bytes.Compare(b[:], a[:]) })
	return l
}

// procIGMP is /proc/net/igmp.
func (k *Kernel) procIGMP() string {
	l := append(k.groupsOf(true), allHosts)
	t := fmt.Sprintf("Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n1\tlo        : %5d      V3\n", len(l))
	for _, ip := range l {
		n := 0
		if g := k.io.inet.groups[ip]; g != nil {
			n = g.users
		}
		if ip == allHosts {
			n++
		}
		t += fmt.Sprintf("\t\t\t\t%08X %5d 0:00000000\t\t0\n", le32(ip[12:]), n)
	}
	return t
}

// procIGMP6 is /proc/net/igmp6.
func (k *Kernel) procIGMP6() string {
	var t strings.Builder
	for _, ip := range k.groupsOf(false) {
		fmt.Fprintf(&t, "1    lo              %x %5d 00000004 0\n", ip, k.io.inet.groups[ip].users)
	}
	t.WriteString("1    lo              ff020000000000000000000000000001     1 0000000C 0\n" +
		"1    lo              ff010000000000000000000000000001     1 00000008 0\n")
	return t.String()
}

// withoutGroups is what a socket keeps but for its memberships, of which a stream may have some of IPv6 by source:
// who is connected to a listener has none of those.
func withoutGroups(kept []byte) (b []byte) {
	for ; len(kept) >= 8; kept = kept[8:] {
		switch key := le32(kept); {
		case key&^0x3fff == sockSource6, key-sockGroup6 < 4*maxGroups6, key-sockFilter6 < maxGroups6:
		default:
			b = append(b, kept[:8]...)
		}
	}
	return b
}

// leaveAll ends what a socket that goes is a member of.
func (x inetSockets) leaveAll(r store.Ref[Socket]) {
	x.countGroups(x.k.Socks.Get(r), -1)
}

// deliverGroup gives a datagram to a group to all that have the port, but those that want only
// what goes to groups of theirs.
func (x inetSockets) deliverGroup(proto int32, from, far InetAddr, life, class byte, data []byte) abi.Errno {
	k := x.k
	g := k.io.inet.groups[far.IP]
	if !g.takes(from.IP) && far.IP != allHosts {
		return 0
	}
	filters := g.filters()
	n, looks := 0, 0
	for o := range k.io.inet.ports[portKey{SockDgram, proto, far.Port}] {
		if looks++; looks > maxLooks {
			break // to the others it is lost, too
		}
		s := k.Socks.Get(o)
		if x.match(s, far.IP) == 0 || s.State == SockConnected && (s.Inet.Far.IP != from.IP || s.Inet.Far.Port != from.Port) {
			continue
		}
		if !k.wantsFrom(s, far.IP, from.IP, filters) {
			continue
		}
		if n++; n > maxMembers {
			break // to the others it is lost
		}
		if e := x.deliver(o, from, far, life, class, data); e != 0 {
			return e
		}
	}
	return 0
}
