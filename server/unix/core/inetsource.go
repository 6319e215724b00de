package core

import (
	"slices"

	"hythe/abi"
	"hythe/store"
)

// Groups by source (RFC 3376, 3678): a membership has a filter, which names the senders that are
// wanted (include) or those that are not (exclude). It is kept where the membership is, by its place. A
// datagram reaches a socket if the filter of its own membership lets it, and anybody at all only if that of
// some membership in the machine does, as the interface would take it on Linux.

// Bounds: senders that a filter names (net.ipv4.igmp_max_msf, net.ipv6.mld_max_msf), and all those of a socket of
// IPv6, whose options are looked through with each datagram.
const (
	maxSources4    = 10
	maxSources6    = 64
	maxAllSources6 = 128
)

// Keys of options: what a filter is, by its place, and its senders, of which there is room for 16 each, of IPv6 for
// 64 of four words.
const (
	sockFilter4 = uint32(0<<16 | 0x8100)
	sockSource4 = uint32(0<<16 | 0x8200)
	sockFilter6 = uint32(41<<16 | 0x8100)
	sockSource6 = uint32(41<<16 | 0x4000)
)

// Bits of the first; above them is how many senders there are.
const (
	filterIncludes = 1
	filterLists    = 2 // there was a sender: the mode stays
	filterCount    = 8
)

// GroupFilter is what a membership wants to hear. The zero value: all.
type GroupFilter struct {
	Include bool // else: exclude
	Sources [][16]byte
	lists   bool
}

// allows says whether a sender is wanted.
func (f *GroupFilter) allows(ip [16]byte) bool {
	return slices.Contains(f.Sources, ip) == f.Include
}

// groupFilter looks up the filter of the membership at a place, in one pass: a datagram to a group asks this of
// each socket that has the port.
func (k *Kernel) groupFilter(s *Socket, at int, six bool) (f GroupFilter) {
	var v uint32
	var list [maxSources6][16]byte
	most := uint32(maxSources4)
	if six {
		most = maxSources6
	}
	for b := k.Heap.Bytes(s.Inet.Kept); len(b) >= 8; b = b[8:] {
		switch key := le32(b); {
		case six && key == sockFilter6+uint32(at), !six && key == sockFilter4+uint32(at):
			v = le32(b[4:])
		case six && key&^255 == sockSource6+uint32(at)<<8:
			copy(list[key>>2&63][key&3*4:], b[4:8])
		case !six && key&^15 == sockSource4+uint32(at)<<4:
			list[key&15] = ip4(b[4], b[5], b[6], b[7])
		}
	}
	f.Include, f.lists = v&filterIncludes != 0, v&filterLists != 0
	if n := min(v>>filterCount, most); n > 0 {
		f.Sources = append(f.Sources, list[:n]...)
	}
	return f
}

// filterKey says whether an option is of the filter at a place.
func filterKey(key uint32, at int, six bool) bool {
	if six {
		return key == sockFilter6+uint32(at) || key&^255 == sockSource6+uint32(at)<<8
	}
	return key == sockFilter4+uint32(at) || key&^15 == sockSource4+uint32(at)<<4
}

// appendFilter appends the options that a filter at a place is kept as; those of one that hears all are none.
func appendFilter(b []byte, at int, six bool, f *GroupFilter) []byte {
	v := uint32(len(f.Sources)) << filterCount
	if f.Include {
		v |= filterIncludes
	}
	if f.lists {
		v |= filterLists
	}
	if v == 0 {
		return b
	}
	if !six {
		b = appendOption(b, sockFilter4+uint32(at), v)
		for i, ip := range f.Sources {
			b = appendOption(b, sockSource4+uint32(at)<<4+uint32(i), le32(ip[12:]))
		}
		return b
	}
	b = appendOption(b, sockFilter6+uint32(at), v)
	for i, ip := range f.Sources {
		for w := range uint32(4) {
			b = appendOption(b, sockSource6+uint32(at)<<8+uint32(i)<<2+w, le32(ip[4*w:]))
		}
	}
	return b
}

// mostSources is how many senders a filter of a group names at most.
func mostSources(ip [16]byte) int {
	if isV4(ip) {
		return maxSources4
	}
	return maxSources6
}

// tooMany says whether a socket would name more senders than there may be with a filter instead of another.
func (k *Kernel) tooMany(s *Socket, ip [16]byte, was, f *GroupFilter) bool {
	if isV4(ip) {
		return false
	}
	words := -4*len(was.Sources) + 4*len(f.Sources)
	for b := k.Heap.Bytes(s.Inet.Kept); len(b) >= 8; b = b[8:] {
		if le32(b)&^0x3fff == sockSource6 {
			words++
		}
	}
	return len(f.Sources) > len(was.Sources) && words > 4*maxAllSources6
}

// setGroupFilter replaces the filter of a membership; false: there is no room for it, and nothing is changed.
func (k *Kernel) setGroupFilter(r store.Ref[Socket], at int, ip [16]byte, f *GroupFilter) bool {
	six := !isV4(ip)
	was := k.groupFilter(k.Socks.Get(r), at, six)
	if k.tooMany(k.Socks.Get(r), ip, &was, f) || !k.rekeep(r, func(key uint32) bool { return filterKey(key, at, six) }, appendFilter(nil, at, six, f)) {
		return false
	}
	k.countGroup(ip, &was, -1)
	k.countGroup(ip, f, 1)
	return true
}

// groupCount is derived: how many memberships of a group there are, how many of them exclude, and how
// many filters name a sender.
type groupCount struct {
	users, exclude int
	in, ex         map[[16]byte]int
}

// takes says whether some membership wants to hear a sender.
func (g *groupCount) takes(from [16]byte) bool {
	return g != nil && (g.in[from] > 0 || g.ex[from] != g.exclude)
}

// filters says whether some membership does not hear all.
func (g *groupCount) filters() bool { return g != nil && (g.exclude < g.users || len(g.ex) > 0) }

// countGroup counts n memberships of a group with a filter, or as many less.
func (k *Kernel) countGroup(ip [16]byte, f *GroupFilter, n int) {
	g := k.io.inet.groups[ip]
	if g == nil {
		g = &groupCount{in: map[[16]byte]int{}, ex: map[[16]byte]int{}}
		k.io.inet.groups[ip] = g
	}
	g.users += n
	named := g.in
	if !f.Include {
		g.exclude += n
		named = g.ex
	}
	for _, b := range f.Sources {
		if named[b] += n; named[b] == 0 {
			delete(named, b)
		}
	}
	if g.users <= 0 {
		delete(k.io.inet.groups, ip)
	}
}

// wantsFrom says whether a socket hears what somebody sends to a group; filters: some membership of that does not
// hear all, else it is not looked at what most sockets keep.
func (k *Kernel) wantsFrom(s *Socket, group, from [16]byte, filters bool) bool {
	all, set := k.sockOption(s, SockGroupAll)
	others := set && all != 0 || !set && s.Family != FamilyInet6 // of groups of which it is no member, too
	if others && !filters {
		return true
	}
	at, member := k.group(s, group)
	if !member {
		return others
	}
	if !filters {
		return true
	}
	f := k.groupFilter(s, at, !isV4(group))
	return f.allows(from)
}

// GroupFilter answers what a socket's membership wants to hear. EADDRNOTAVAIL: it is no member.
func (k *Kernel) GroupFilter(r store.Ref[Socket], ip [16]byte) (f GroupFilter, e abi.Errno) {
	s := k.Socks.Get(r)
	at, member := k.group(s, ip)
	if !member {
		return f, abi.EADDRNOTAVAIL
	}
	return k.groupFilter(s, at, !isV4(ip)), 0
}

// SetGroupFilter replaces it: to include nobody ends the membership. EINVAL: it is no member;
// EADDRNOTAVAIL: so, and it was to end. ENOBUFS.
func (k *Kernel) SetGroupFilter(r store.Ref[Socket], ip [16]byte, f GroupFilter) abi.Errno {
	if f.Include && len(f.Sources) == 0 {
		return k.LeaveGroup(r, ip)
	}
	if len(f.Sources) > mostSources(ip) {
		return abi.ENOBUFS
	}
	at, member := k.group(k.Socks.Get(r), ip)
	if !member {
		return abi.EINVAL
	}
	f.lists = len(f.Sources) > 0
	if !k.setGroupFilter(r, at, ip, &f) {
		return abi.ENOBUFS
	}
	return 0
}

// AddGroupSource names a sender in the filter of a socket's membership of that mode. EINVAL: it is no member, or
// its filter of the other mode; EADDRNOTAVAIL: it is named already; ENOBUFS.
func (k *Kernel) AddGroupSource(r store.Ref[Socket], ip [16]byte, include bool, from [16]byte) abi.Errno {
	at, f, e := k.filterOf(r, ip, include)
	switch {
	case e != 0:
		return e
	case len(f.Sources) >= mostSources(ip):
		return abi.ENOBUFS
	case slices.Contains(f.Sources, from):
		return abi.EADDRNOTAVAIL
	}
	f.Sources, f.lists = append(f.Sources, from), true
	if !k.setGroupFilter(r, at, ip, &f) {
		return abi.ENOBUFS
	}
	return 0
}

// DropGroupSource does not name it any more; the membership of who includes nobody ends. EADDRNOTAVAIL: it
// was not named; otherwise as AddGroupSource.
func (k *Kernel) DropGroupSource(r store.Ref[Socket], ip [16]byte, include bool, from [16]byte) abi.Errno {
	at, f, e := k.filterOf(r, ip, include)
	if e != 0 {
		return e
	}
	i := slices.Index(f.Sources, from)
	switch {
	case i < 0:
		return abi.EADDRNOTAVAIL
	case include && len(f.Sources) == 1:
		return k.LeaveGroup(r, ip)
	}
	f.Sources = slices.Delete(f.Sources, i, i+1)
	if !k.setGroupFilter(r, at, ip, &f) {
		return abi.ENOBUFS
	}
	return 0
}

// filterOf answers the filter of a membership, which has the mode from here on if it never named anybody, as on
// Linux also if what was to be done then fails.
func (k *Kernel) filterOf(r store.Ref[Socket], ip [16]byte, include bool) (at int, f GroupFilter, e abi.Errno) {
	at, member := k.group(k.Socks.Get(r), ip)
	if !member {
		return at, f, abi.EINVAL
	}
	f = k.groupFilter(k.Socks.Get(r), at, !isV4(ip))
	switch {
	case f.Include == include:
	case f.lists:
		return at, f, abi.EINVAL
	default:
		f.Include = include
		if !k.setGroupFilter(r, at, ip, &f) {
			return at, f, abi.ENOBUFS
		}
	}
	return at, f, 0
}
