package linux

import (
	"hythe/abi"
	"hythe/server/unix/core"
)

// Options that say whom a membership wants to hear (ip(7), RFC 3678; include/uapi/linux/in.h).

const (
	ipUnblockSource     = 37
	ipBlockSource       = 38
	ipAddSource         = 39
	ipDropSource        = 40
	ipMsfilter          = 41
	mcastBlockSource    = 43
	mcastUnblockSource  = 44
	mcastJoinSource     = 46
	mcastLeaveSource    = 47
	mcastMsfilter       = 48
	filterExclude       = 0 // MCAST_EXCLUDE
	filterInclude       = 1 // MCAST_INCLUDE
	ipMreqSourceSize    = 12
	groupSourceReqSize  = 264
	msfilterSize        = 16  // of a struct ip_msfilter without senders, of which each has 4 bytes
	groupFilterSize     = 144 // of a struct group_filter, 128 bytes
	sockaddrStorageSize = 128
	maxMsf              = 10     // net.ipv4.igmp_max_msf
	maxMsf6             = 64     // net.ipv6.mld_max_msf
	optmemMax           = 131072 // net.core.optmem_max
)

// sourceRequest is a membership, and a sender.
type sourceRequest struct {
	group, from []byte
	// there: the loopback interface is named, which alone has groups.
	there bool
}

// source4 is of struct ip_mreq_source: the group, an address of the interface, the sender.
func source4(o *optionCall) abi.Errno {
	if o.n != ipMreqSourceSize {
		return abi.EINVAL
	}
	b, e := o.bytes(ipMreqSourceSize)
	if e != 0 {
		return e
	}
	return o.source(sourceRequest{group: b[:4], from: b[8:12], there: b[4] == 127})
}

// sourceReq4 is of struct group_source_req: the interface's index, the group, the sender.
func sourceReq4(o *optionCall) abi.Errno {
	if o.n != groupSourceReqSize {
		return abi.EINVAL
	}
	b, e := o.bytes(groupSourceReqSize)
	if e != 0 {
		return e
	}
	group, from := b[8:], b[8+sockaddrStorageSize:]
	if le.Uint16(group) != core.FamilyInet || le.Uint16(from) != core.FamilyInet {
		return abi.EADDRNOTAVAIL
	}
	return o.source(sourceRequest{group: group[4:8], from: from[4:8], there: le.Uint32(b) == core.LoopbackIndex})
}

func (o *optionCall) source(q sourceRequest) abi.Errno {
	ip := mapped(q.group)
	if e := o.checkGroup(ip, q.there); e != 0 {
		return e
	}
	return o.sourceOf(ip, mapped(q.from))
}

// sourceOf does it with the membership of a group.
func (o *optionCall) sourceOf(ip, from [16]byte) abi.Errno {
	k := o.c.K
	switch o.opt {
	case ipBlockSource, mcastBlockSource:
		return k.AddGroupSource(o.r, ip, false, from)
	case ipUnblockSource, mcastUnblockSource:
		return k.DropGroupSource(o.r, ip, false, from)
	case ipDropSource, mcastLeaveSource:
		return k.DropGroupSource(o.r, ip, true, from)
	}
	if e := k.JoinGroup(o.r, ip, true); e != 0 && e != abi.EADDRINUSE {
		return e
	}
	return k.AddGroupSource(o.r, ip, true, from)
}

// checkGroup is what all of these ask first. Streams are members of nothing.
func (o *optionCall) checkGroup(ip [16]byte, there bool) abi.Errno {
	switch {
	case !core.IsGroup(ip):
		return abi.EINVAL
	case !there:
		return abi.ENODEV
	case o.s.Type == core.SockStream:
		return abi.EPROTO
	}
	return 0
}

// msfilter answers a filter's bytes: so many that it has at least, and of its senders at most so many.
func (o *optionCall) msfilter(head, senders int32) ([]byte, abi.Errno) {
	switch {
	case o.n < head:
		return nil, abi.EINVAL
	case o.n > optmemMax:
		return nil, abi.ENOBUFS
	}
	return o.bytes(head + senders)
}

// setMsfilter is IP_MSFILTER and MCAST_MSFILTER. What is beyond the most senders is not looked at.
func setMsfilter(o *optionCall) abi.Errno {
	head, each := int32(msfilterSize), int32(4)
	if o.opt == mcastMsfilter {
		head, each = groupFilterSize, sockaddrStorageSize
	}
	b, e := o.msfilter(head, maxMsf*each)
	if e != 0 {
		return e
	}
	h := b[:head]
	n, mode := le.Uint32(h[head-4:]), le.Uint32(h[head-8:])
	switch {
	case n > maxMsf:
		return abi.ENOBUFS
	case head+int32(n)*each > o.n:
		return abi.EINVAL
	}
	var group []byte
	var there bool
	var f core.GroupFilter
	if o.opt == mcastMsfilter {
		if le.Uint16(h[8:]) != core.FamilyInet {
			return abi.EADDRNOTAVAIL
		}
		group, there = h[12:16], le.Uint32(h) == core.LoopbackIndex
	} else {
		group, there = h[:4], h[4] == 127
	}
	for list := b[head:]; n > 0; n, list = n-1, list[each:] {
		from := list
		if o.opt == mcastMsfilter {
			if le.Uint16(list) != core.FamilyInet {
				return abi.EADDRNOTAVAIL
			}
			from = list[4:]
		}
		f.Sources = append(f.Sources, mapped(from[:4]))
	}
	ip := mapped(group)
	switch {
	case !core.IsGroup(ip), mode != filterInclude && mode != filterExclude:
		return abi.EINVAL
	}
	if e := o.checkGroup(ip, there); e != 0 {
		return e
	}
	f.Include = mode == filterInclude
	return o.c.K.SetGroupFilter(o.r, ip, f)
}

// getMsfilter is the same asked: the value says of which membership, and for how many senders there is room.
func getMsfilter(o *optionCall, room int32) ([]byte, abi.Errno) {
	head := int32(msfilterSize)
	if o.opt == mcastMsfilter {
		head = groupFilterSize
	}
	o.n = room
	b, e := o.whole(head)
	if e != 0 {
		return nil, e
	}
	var ip [16]byte
	if o.opt == mcastMsfilter {
		if le.Uint16(b[8:]) != core.FamilyInet {
			return nil, abi.EINVAL
		}
		ip = mapped(b[12:16])
	} else {
		ip = mapped(b[:4])
	}
	switch {
	case !core.IsGroup(ip):
		return nil, abi.EINVAL
	case o.opt == mcastMsfilter && le.Uint32(b) != core.LoopbackIndex:
		return nil, abi.EADDRNOTAVAIL
	case o.opt == ipMsfilter && b[4] != 127:
		return nil, abi.ENODEV
	}
	f, e := o.c.K.GroupFilter(o.r, ip)
	if e != 0 {
		return nil, e
	}
	mode := uint32(filterExclude)
	if f.Include {
		mode = filterInclude
	}
	le.PutUint32(b[head-8:], mode)
	fits := min(le.Uint32(b[head-4:]), uint32(len(f.Sources)))
	le.PutUint32(b[head-4:], uint32(len(f.Sources)))
	for _, from := range f.Sources[:fits] {
		if o.opt == ipMsfilter {
			b = append(b, from[12:]...)
			continue
		}
		var a [sockaddrStorageSize]byte
		le.PutUint16(a[:], core.FamilyInet)
		copy(a[4:], from[12:])
		b = append(b, a[:]...)
	}
	return b, 0
}

// sourceReq6 is of struct group_source_req with addresses of IPv6.
func sourceReq6(o *optionCall) abi.Errno {
	b, e := o.whole(groupSourceReqSize)
	if e != 0 {
		return e
	}
	group, from := b[8:], b[8+sockaddrStorageSize:]
	if le.Uint16(group) != core.FamilyInet6 || le.Uint16(from) != core.FamilyInet6 {
		return abi.EADDRNOTAVAIL
	}
	ip, index := [16]byte(group[8:24]), le.Uint32(b)
	if e := o.checkGroup6(ip, index); e != 0 {
		return e
	}
	return o.sourceOf(ip, [16]byte(from[8:24]))
}

// checkGroup6 is what all of these ask first, of IPv6.
func (o *optionCall) checkGroup6(ip [16]byte, index uint32) abi.Errno {
	switch {
	case !core.IsGroup(ip) || mapped(ip[12:]) == ip:
		return abi.EINVAL
	case index != core.LoopbackIndex:
		return abi.ENODEV
	}
	return 0
}

// setMsfilter6 is MCAST_MSFILTER of IPv6.
func setMsfilter6(o *optionCall) abi.Errno {
	b, e := o.msfilter(groupFilterSize, maxMsf6*sockaddrStorageSize)
	if e != 0 {
		return e
	}
	n, mode := le.Uint32(b[groupFilterSize-4:]), le.Uint32(b[groupFilterSize-8:])
	ip, index := [16]byte(b[16:32]), le.Uint32(b)
	switch {
	case n > maxMsf6:
		return abi.ENOBUFS
	case groupFilterSize+int32(n)*sockaddrStorageSize > o.n:
		return abi.EINVAL
	case mode != filterInclude && mode != filterExclude:
		return abi.EINVAL
	}
	if e := o.checkGroup6(ip, index); e != 0 {
		return e
	}
	f := core.GroupFilter{Include: mode == filterInclude}
	for list := b[groupFilterSize:]; n > 0; n, list = n-1, list[sockaddrStorageSize:] {
		f.Sources = append(f.Sources, [16]byte(list[8:24]))
	}
	return o.c.K.SetGroupFilter(o.r, ip, f)
}

// getMsfilter6 is the same asked.
func getMsfilter6(o *optionCall, _ int32) ([]byte, abi.Errno) {
	b, e := o.whole(groupFilterSize)
	if e != 0 {
		return nil, e
	}
	ip := [16]byte(b[16:32])
	switch {
	case le.Uint16(b[8:]) != core.FamilyInet6:
		return nil, abi.EADDRNOTAVAIL
	case !core.IsGroup(ip) || mapped(ip[12:]) == ip:
		return nil, abi.EINVAL
	case le.Uint32(b) != core.LoopbackIndex:
		return nil, abi.EADDRNOTAVAIL
	}
	f, e := o.c.K.GroupFilter(o.r, ip)
	if e != 0 {
		return nil, e
	}
	le.PutUint32(b[groupFilterSize-8:], filterExclude)
	if f.Include {
		le.PutUint32(b[groupFilterSize-8:], filterInclude)
	}
	fits := min(le.Uint32(b[groupFilterSize-4:]), uint32(len(f.Sources)))
	le.PutUint32(b[groupFilterSize-4:], uint32(len(f.Sources)))
	for _, from := range f.Sources[:fits] {
		var a [sockaddrStorageSize]byte
		le.PutUint16(a[:], core.FamilyInet6)
		copy(a[8:], from[:])
		b = append(b, a[:]...)
	}
	return b, 0
}
