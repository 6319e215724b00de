package bsd

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/server/unix/core"
)

// RouteNumbers say how a system tells of its interfaces by sysctl(3): net.route.0.FAMILY.WHAT.INDEX
// (route(4); net/route.h, net/if.h, net/if_dl.h).
type RouteNumbers struct {
	Route, Iflist       int32  // PF_ROUTE, NET_RT_IFLIST
	Ifmalist            int32  // NET_RT_IFMALIST, 0: there is none
	Version, Info       uint8  // RTM_VERSION, RTM_IFINFO
	DataSize, LinkState int    // struct if_data, and where in it the state of the link is
	AddrSize, AddrIndex int    // struct ifa_msghdr, and where in it the interface's number is
	LinkSize            int    // struct sockaddr_dl
	Loopback, Ethernet  string // what the interfaces are called
}

// What a message says of whom, and which addresses follow it, in the order of their bits.
const (
	rtmNewaddr  = 12
	rtmNewmaddr = 15

	rtaNetmask = 1 << 2
	rtaIfp     = 1 << 4
	rtaIfa     = 1 << 5
	rtaBrd     = 1 << 7

	famLink = 18

	ifInfoSize  = 16 // struct if_msghdr without its data
	ifmAddrSize = 16 // struct ifma_msghdr
)

// routing answers what a number asks for of the interfaces; false: it asks for nothing of
// them. EINVAL.
func (p *Personality) routing(c *core.Call, mib []int32) ([]byte, bool, abi.Errno) {
	n := &p.Sys.Sysctl.Route
	if len(mib) < 2 || mib[0] != CtlNet || mib[1] != n.Route {
		return nil, false, 0
	}
	if len(mib) < 6 || mib[2] != 0 {
		return nil, true, abi.EINVAL
	}
	var out []byte
	for _, f := range c.K.Ifaces() {
		if mib[5] != 0 && uint32(mib[5]) != f.Index {
			continue
		}
		switch {
		case mib[4] == n.Iflist:
			out = p.ifInfo(out, f, mib[3])
		case mib[4] == n.Ifmalist && n.Ifmalist != 0:
			out = p.ifGroups(out, f, mib[3])
		default:
			return nil, true, abi.EINVAL
		}
	}
	return out, true, 0
}

func (p *Personality) ifFlags(f *core.Iface) uint32 {
	const up, broadcast, loopback, running, simplex, multicast = 1, 2, 8, 0x40, 0x800, 0x8000
	if f.Loopback {
		return up | loopback | running
	}
	return up | broadcast | running | simplex | multicast
}

// ifInfo appends an interface and its addresses of a family (0: any).
func (p *Personality) ifInfo(out []byte, f *core.Iface, family int32) []byte {
	le, n := binary.LittleEndian, &p.Sys.Sysctl.Route
	b := make([]byte, ifInfoSize+n.DataSize)
	le.PutUint32(b[8:], p.ifFlags(f))
	le.PutUint16(b[12:], uint16(f.Index))
	d := b[ifInfoSize:]
	const linkUp = 2
	d[0], d[n.LinkState] = ifType(f), linkUp
	le.PutUint64(d[8:], uint64(f.MTU))
	out = p.routeMessage(out, n.Info, b, rtaIfp, p.linkAddr(f))

	add := func(mask, addr, cast []byte) {
		b := make([]byte, n.AddrSize)
		le.PutUint16(b[n.AddrIndex:], uint16(f.Index))
		if cast == nil {
			out = p.routeMessage(out, rtmNewaddr, b, rtaNetmask|rtaIfp|rtaIfa, mask, p.linkAddr(f), addr)
			return
		}
		out = p.routeMessage(out, rtmNewaddr, b, rtaNetmask|rtaIfp|rtaIfa|rtaBrd, mask, p.linkAddr(f), addr, cast)
	}
	if family == 0 || family == famInet {
		mask, cast := f.Mask(), []byte(nil)
		if f.Cast != [4]byte{} {
			cast = inet4(f.Cast)
		}
		add(inet4(mask), inet4(f.Addr), cast)
	}
	if f.Loopback && (family == 0 || family == int32(p.Sys.Sock.Inet6)) {
		var all, one [16]byte
		for i := range all {
			all[i] = 0xff
		}
		one[15] = 1
		add(p.inet6(all), p.inet6(one), nil)
	}
	return out
}

// ifGroups appends the groups that an interface is in: that of all hosts.
func (p *Personality) ifGroups(out []byte, f *core.Iface, family int32) []byte {
	if p.ifFlags(f)&0x8000 == 0 || family != 0 && family != famInet {
		return out
	}
	b := make([]byte, ifmAddrSize)
	binary.LittleEndian.PutUint16(b[12:], uint16(f.Index))
	return p.routeMessage(out, rtmNewmaddr, b, rtaIfp|rtaIfa, p.linkAddr(f), inet4([4]byte{224, 0, 0, 1}))
}

// routeMessage appends a message: its head, of which the first words are filled in, and
// addresses, each of them in whole words.
func (p *Personality) routeMessage(out []byte, kind uint8, head []byte, which uint32, addrs ...[]byte) []byte {
	le := binary.LittleEndian
	at := len(out)
	out = append(out, head...)
	for _, a := range addrs {
		out = append(out, a...)
		out = append(out, make([]byte, -len(a)&7)...)
	}
	m := out[at:]
	le.PutUint16(m, uint16(len(m)))
	m[2], m[3] = p.Sys.Sysctl.Route.Version, kind
	le.PutUint32(m[4:], which)
	return out
}

func ifType(f *core.Iface) uint8 {
	const ether, loop = 6, 0x18
	if f.Loopback {
		return loop
	}
	return ether
}

// linkAddr is a sockaddr_dl.
func (p *Personality) linkAddr(f *core.Iface) []byte {
	n := &p.Sys.Sysctl.Route
	name, mac := n.Ethernet, f.MAC[:]
	if f.Loopback {
		name, mac = n.Loopback, nil
	}
	b := make([]byte, max(n.LinkSize, 8+len(name)+len(mac)))
	b[0], b[1] = uint8(len(b)), famLink
	binary.LittleEndian.PutUint16(b[2:], uint16(f.Index))
	b[4], b[5], b[6] = ifType(f), uint8(len(name)), uint8(len(mac))
	copy(b[8:], name)
	copy(b[8+len(name):], mac)
	return b
}

// inet4 is a sockaddr_in.
func inet4(a [4]byte) []byte {
	return append([]byte{16, famInet, 0, 0, a[0], a[1], a[2], a[3]}, make([]byte, 8)...)
}

// inet6 is a sockaddr_in6.
func (p *Personality) inet6(a [16]byte) []byte {
	b := make([]byte, 28)
	b[0], b[1] = 28, p.Sys.Sock.Inet6
	copy(b[8:], a[:])
	return b
}
