package linux

import (
	"hythe/abi"
	"hythe/server/unix/core"
)

// Options by which groups are joined and left. Only the loopback interface has groups.

// setGroupInterface says whence to send to groups: an address, a struct ip_mreq, or a struct
// ip_mreqn, of which the group is not looked at.
func setGroupInterface(o *optionCall) abi.Errno {
	if o.s.Type == core.SockStream || o.n < 4 {
		return abi.EINVAL
	}
	b, e := o.bytes(12)
	if e != 0 {
		return e
	}
	addr, index := b[:4], uint32(0)
	if len(b) >= 8 {
		addr = b[4:8]
	}
	if len(b) >= 12 {
		index = le.Uint32(b[8:])
	}
	v := int32(le.Uint32(addr))
	switch {
	case index == 0 && v == 0, index == core.LoopbackIndex:
	case index == 0 && addr[0] == 127:
		index = core.LoopbackIndex
	default:
		return abi.EADDRNOTAVAIL
	}
	if e := keep(o.c, o.r, core.SockGroupFrom, v); e != 0 {
		return e
	}
	return keep(o.c, o.r, core.SockGroupIndex, int32(index))
}

// setGroupInterface6 is IPV6_MULTICAST_IF, an interface's number.
func setGroupInterface6(o *optionCall) abi.Errno {
	if o.v != 0 && o.v != core.LoopbackIndex {
		return abi.ENODEV
	}
	return o.keep(o.v)
}

// byInterface joins or leaves a group if the interface has groups: there. Who joins has to
// name one (no route says where groups are); who leaves is told so if none is named.
func (o *optionCall) byInterface(ip [16]byte, there, named, join bool) abi.Errno {
	switch {
	case there && join:
		return o.c.K.JoinGroup(o.r, ip, false)
	case there:
		return o.c.K.LeaveGroup(o.r, ip)
	case join && !core.IsGroup(ip):
		return abi.EINVAL
	case join || !named:
		return abi.ENODEV
	}
	return abi.EADDRNOTAVAIL
}

// group4 is IP_ADD_MEMBERSHIP and IP_DROP_MEMBERSHIP: struct ip_mreq, or struct ip_mreqn.
func group4(o *optionCall) abi.Errno {
	switch {
	case o.s.Type == core.SockStream:
		return abi.EPROTO
	case o.n < 8:
		return abi.EINVAL
	}
	b, e := o.bytes(12)
	if e != 0 {
		return e
	}
	index := uint32(0)
	if len(b) >= 12 {
		index = le.Uint32(b[8:])
	}
	there := index == core.LoopbackIndex || index == 0 && (b[4] == 127 || le.Uint32(b) == 0)
	return o.byInterface(mapped(b[:4]), there, index != 0 || le.Uint32(b[4:]) != 0, o.opt == 35)
}

// group6 is IPV6_ADD_MEMBERSHIP and IPV6_DROP_MEMBERSHIP: struct ipv6_mreq.
func group6(o *optionCall) abi.Errno {
	b, e := o.whole(20)
	if e != 0 {
		return e
	}
	if o.s.Type == core.SockStream {
		return abi.EPROTO
	}
	if !core.IsGroup([16]byte(b[:16])) {
		return abi.EINVAL
	}
	return o.group6By([16]byte(b[:16]), le.Uint32(b[16:]), o.opt == 20)
}

// groupReqSize is that of struct group_req (include/uapi/linux/in.h): an interface's index,
// and a sockaddr with room to spare.
const (
	groupReqSize = 136
	mcastJoin    = 42 // MCAST_JOIN_GROUP, of both
)

// groupReq takes the request: an interface and a group, in bytes of the family's sockaddr.
func (o *optionCall) groupReq(family uint16) (index uint32, addr []byte, e abi.Errno) {
	b, e := o.whole(groupReqSize)
	if e != 0 {
		return 0, nil, e
	}
	if f := le.Uint16(b[8:]); f != family {
		if family == core.FamilyInet6 {
			return 0, nil, abi.EADDRNOTAVAIL
		}
		return 0, nil, abi.EINVAL
	}
	if o.s.Type == core.SockStream {
		return 0, nil, abi.EPROTO
	}
	return le.Uint32(b), b[8:], 0
}

func groupReq4(o *optionCall) abi.Errno {
	index, b, e := o.groupReq(core.FamilyInet)
	if e != 0 {
		return e
	}
	return o.byInterface(mapped(b[4:8]), index == core.LoopbackIndex, index != 0, o.opt == mcastJoin)
}

func groupReq6(o *optionCall) abi.Errno {
	index, b, e := o.groupReq(core.FamilyInet6)
	if e != 0 {
		return e
	}
	return o.group6By([16]byte(b[8:24]), index, o.opt == mcastJoin)
}

// group6By is of IPv6, where who leaves may leave out which interface it is.
func (o *optionCall) group6By(ip [16]byte, index uint32, join bool) abi.Errno {
	if mapped(ip[12:]) == ip { // it is none of IPv6
		if join {
			return abi.EINVAL
		}
		return abi.EADDRNOTAVAIL
	}
	if join && index == 0 && o.c.K.InGroup(o.r, ip) {
		return abi.EADDRINUSE
	}
	return o.byInterface(ip, index == core.LoopbackIndex || index == 0 && !join, true, join)
}

// mapped is an address of IPv4 as IPv6 maps it.
func mapped(b []byte) (ip [16]byte) {
	ip[10], ip[11] = 0xff, 0xff
	copy(ip[12:], b)
	return ip
}
