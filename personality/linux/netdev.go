package linux

import (
	"hythe/abi"
	"hythe/server/unix/core"
)

// Requests of ioctl(2) about interfaces, on a socket of any family: netdevice(7),
// include/uapi/linux/{sockios,if}.h. Interfaces are netif.go's.
const (
	siocatmark     = 0x8905
	siocgifname    = 0x8910
	siocgifconf    = 0x8912
	siocgifflags   = 0x8913
	siocgifaddr    = 0x8915
	siocgifdstaddr = 0x8917
	siocgifbrdaddr = 0x8919
	siocgifnetmask = 0x891b
	siocgifmetric  = 0x891d
	siocgifmtu     = 0x8921
	siocgifhwaddr  = 0x8927
	siocgifindex   = 0x8933
	siocgifpflags  = 0x8935
	siocgiftxqlen  = 0x8942
	siocethtool    = 0x8946
	siocgifmap     = 0x8970

	ifreqSize = 40
	ifNameMax = 16
)

// netIoctl serves a request of the range 0x89xx.
func netIoctl(c *core.Call, fd int32, req uint32, arg uint64) (uint64, abi.Errno) {
	switch req {
	case siocatmark:
		_, r, _, _ := c.Sock(fd)
		at := uint32(0)
		if c.K.AtMark(r) {
			at = 1
		}
		c.CopyOut32(arg, at)
		return 0, 0
	case siocgifconf:
		return 0, ifConf(c, arg)
	case siocgifaddr, siocgifdstaddr, siocgifbrdaddr, siocgifnetmask:
		if _, r, _, _ := c.Sock(fd); c.K.Socks.Get(r).Family != core.FamilyInet {
			return 0, abi.ENOTTY
		}
	case siocgifname, siocgifflags, siocgifmetric,
		siocgifmtu, siocgifhwaddr, siocgifindex, siocgifpflags, siocgiftxqlen, siocgifmap, siocethtool:
	case 0x8914, 0x8916, 0x8918, 0x891a, 0x891c, 0x891e, 0x8922, 0x8923, 0x8924, 0x8943: // SIOCSIF...
		return 0, abi.EPERM
	case 0x8906, 0x8907: // SIOCGSTAMP
		return 0, abi.ENOENT
	default:
		return 0, abi.ENOTTY
	}
	b, e := c.CopyIn(arg, ifreqSize)
	if e != 0 {
		return 0, e
	}
	r := append([]byte(nil), b...)
	if req == siocgifname {
		n := le.Uint32(r[ifNameMax:])
		f := findIface(c.K, n, "")
		if n == 0 || f == nil {
			return 0, abi.ENODEV
		}
		var name [ifNameMax]byte
		copy(name[:], f.Name)
		c.CopyOut(arg, name[:])
		return 0, 0
	}
	name := cstring(r[:ifNameMax])
	f := findIface(c.K, 0, name)
	if name == "" || f == nil {
		return 0, abi.ENODEV
	}
	v := r[ifNameMax:]
	clear(v)
	switch req {
	case siocgifflags, siocgifpflags:
		le.PutUint16(v, uint16(f.flags))
	case siocgifaddr, siocgifdstaddr:
		putInet(v, f.Addr)
	case siocgifbrdaddr:
		putInet(v, f.Cast)
	case siocgifnetmask:
		putInet(v, f.Mask())
	case siocgifmtu:
		le.PutUint32(v, f.MTU)
	case siocgifhwaddr:
		le.PutUint16(v, f.arp)
		copy(v[2:], f.MAC[:])
	case siocgifindex:
		le.PutUint32(v, f.Index)
	case siocgiftxqlen:
		le.PutUint32(v, 1000)
	case siocethtool:
		return 0, abi.EOPNOTSUPP
	}
	c.CopyOut(arg, r)
	return 0, 0
}

// ifConf is SIOCGIFCONF: the addresses of interfaces that have one of IPv4.
func ifConf(c *core.Call, arg uint64) abi.Errno {
	b, e := c.CopyIn(arg, 16)
	if e != 0 {
		return e
	}
	room, to := int32(le.Uint32(b)), le.Uint64(b[8:])
	list := ifaces(c.K)
	n := uint32(len(list) * ifreqSize)
	if to != 0 {
		list = list[:min(len(list), int(max(room, 0))/ifreqSize)]
		n = uint32(len(list) * ifreqSize)
		r := make([]byte, n)
		for i, f := range list {
			b := r[i*ifreqSize:]
			copy(b, f.Name)
			putInet(b[ifNameMax:], f.Addr)
		}
		c.CopyOut(to, r)
	}
	c.CopyOut32(arg, n)
	return 0
}

// putInet stores a sockaddr_in.
func putInet(b []byte, ip [4]byte) {
	copy(b, []byte{core.FamilyInet, 0, 0, 0, ip[0], ip[1], ip[2], ip[3]})
}
