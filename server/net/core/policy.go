package core

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Rule is a part of the policy: what has an address in Net, and this port if it is
// not 0.
type Rule struct {
	Net  netip.Prefix
	Port uint16 `json:",omitempty"`
}

// ParseRule reads IP[/BITS][:PORT], an IPv6 address with a port in brackets.
func ParseRule(s string) (Rule, error) {
	bad := fmt.Errorf("%q is not IP[/BITS][:PORT]", s)
	addr, port := s, ""
	if in, ok := strings.CutPrefix(s, "["); ok {
		var rest string
		if addr, rest, ok = strings.Cut(in, "]"); !ok {
			return Rule{}, bad
		}
		if rest != "" {
			if port, ok = strings.CutPrefix(rest, ":"); !ok || port == "" {
				return Rule{}, bad
			}
		}
	} else if strings.Count(s, ":") == 1 {
		addr, port, _ = strings.Cut(s, ":")
		if port == "" {
			return Rule{}, bad
		}
	}
	var r Rule
	if strings.Contains(addr, "/") {
		p, err := netip.ParsePrefix(addr)
		if err != nil {
			return Rule{}, bad
		}
		r.Net = p.Masked()
	} else {
		a, err := netip.ParseAddr(addr)
		if err != nil || a.Zone() != "" {
			return Rule{}, bad
		}
		a = a.Unmap()
		r.Net = netip.PrefixFrom(a, a.BitLen())
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return Rule{}, bad
		}
		r.Port = uint16(n)
	}
	return r, nil
}

func (r Rule) match(a netip.AddrPort) bool {
	return r.Net.Contains(a.Addr()) && (r.Port == 0 || r.Port == a.Port())
}

// metadata6 is where clouds tell a machine its keys by IPv6, outside link-local addresses:
// those of Amazon (all that it has there for machines), Google, Oracle, Scaleway, Linode
// and Alibaba.
var metadata6 = []netip.Prefix{
	netip.MustParsePrefix("fd00:ec2::/32"),
	netip.MustParsePrefix("fd20:ce::254/128"),
	netip.MustParsePrefix("fd00:c1::a9fe:a9fe/128"),
	netip.MustParsePrefix("fd00:42::42/128"),
	netip.MustParsePrefix("fd00:a9fe:a9fe::1/128"),
	netip.MustParsePrefix("fd00:100::100:200/128"),
}

// reserved answers why an address is refused by itself, "" if it is not: what is not
// here, is the host's own (own) or multicast passes.
func reserved(a netip.Addr) string {
	if a.Is6() {
		switch {
		case a.IsUnspecified() || a.IsLoopback():
			return "the host's loopback interface"
		case a.IsLinkLocalUnicast():
			return "link-local"
		case slices.ContainsFunc(metadata6, func(p netip.Prefix) bool { return p.Contains(a) }):
			return "metadata"
		}
		return ""
	}
	switch b := a.As4(); {
	case b[0] == 0:
		return "the host itself"
	case b[0] == 127:
		return "the host's loopback interface"
	case b[0] == 169 && b[1] == 254:
		return "link-local"
	case b == [4]byte{255, 255, 255, 255}:
		return "broadcast"
	case b == [4]byte{100, 100, 100, 200}, b == [4]byte{168, 63, 129, 16}, b == [4]byte{192, 0, 0, 192}:
		return "metadata" // where clouds tell a machine its keys, outside link-local addresses
	}
	return ""
}

// refuse answers why the policy refuses an address that is about to be given to
// the host, "" if it does not.
func (c *Core) refuse(to netip.AddrPort) string {
	to = netip.AddrPortFrom(unwrap(to.Addr()), to.Port())
	for _, r := range c.cfg.Allow {
		if r.match(to) {
			return ""
		}
	}
	for _, r := range c.cfg.Deny {
		if r.match(to) {
			return "denied by --network"
		}
	}
	a := to.Addr()
	if why := reserved(a); why != "" {
		return why
	}
	switch {
	case a.IsMulticast():
		return "multicast"
	case own(a):
		return "the host's own address"
	}
	return ""
}

// unwrap answers the IPv4 address that an IPv6 one stands for, on the host or behind
// a translator that its network may have: mapped (::ffff:a.b.c.d), compatible
// (::a.b.c.d), translated (::ffff:0:a.b.c.d, 64:ff9b::a.b.c.d), or tunnelled (2002::/16).
func unwrap(a netip.Addr) netip.Addr {
	a = a.WithZone("").Unmap()
	if a.Is4() {
		return a
	}
	b := a.As16()
	switch [12]byte(b[:12]) {
	case [12]byte{}:
		if b[12] == 0 && b[13] == 0 {
			return a // ::1 and its like
		}
		return netip.AddrFrom4([4]byte(b[12:]))
	case [12]byte{8: 0xff, 9: 0xff}, [12]byte{1: 0x64, 2: 0xff, 3: 0x9b}:
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	if b[0] == 0x20 && b[1] == 0x02 {
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return a
}

// own says whether an address is the host's own: then, and only then, a socket can
// be bound to it. (Where the host lets them be bound to any, its choice of a source
// address tells: for one of its own it is the same.)
func own(a netip.Addr) bool {
	if !canBind(a) {
		return false
	}
	foreign := netip.AddrFrom4([4]byte{192, 0, 2, 1}) // TEST-NET-1: nobody's
	if a.Is6() {
		foreign = netip.MustParseAddr("2001:db8::1")
	}
	if !canBind(foreign) {
		return true
	}
	fd, err := open(a, unix.SOCK_DGRAM, 0)
	if err != nil {
		return true
	}
	defer unix.Close(fd)
	if unix.Connect(fd, sockaddr(netip.AddrPortFrom(a, 9))) != nil {
		return false // no way there
	}
	sa, err := unix.Getsockname(fd)
	return err != nil || addrPort(sa).Addr() == a
}

func canBind(a netip.Addr) bool {
	fd, err := open(a, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err != unix.EAFNOSUPPORT
	}
	defer unix.Close(fd)
	return unix.Bind(fd, sockaddr(netip.AddrPortFrom(a, 0))) != unix.EADDRNOTAVAIL
}

// open makes a socket of the address's family that nothing waits on.
func open(a netip.Addr, typ, proto int) (int, error) {
	family := unix.AF_INET
	if a.Is6() {
		family = unix.AF_INET6
	}
	return unix.Socket(family, typ|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, proto)
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch s := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(s.Addr), uint16(s.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(s.Addr).Unmap(), uint16(s.Port))
	}
	return netip.AddrPort{}
}
