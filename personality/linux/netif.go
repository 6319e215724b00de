package linux

import "hythe/server/unix/core"

// iface is an interface of the machine as programs see it. Nothing of one can be
// changed.
type iface struct {
	name         string
	index, mtu   uint32
	flags        uint32 // IFF_...
	arp          uint16 // ARPHRD_...
	mac, macCast [6]byte
	qdisc        string
	addr, cast   [4]byte // IPv4; cast: broadcast, 0: none
	bits         byte
	scope        byte // RT_SCOPE_...
}

// loIndex and ethIndex are the interfaces' numbers.
const (
	loIndex  = 1
	ethIndex = 2
)

var (
	loIface = iface{name: "lo", index: loIndex, mtu: loMTU, flags: loFlags, arp: 772, qdisc: "noqueue",
		addr: [4]byte{127, 0, 0, 1}, bits: 8, scope: 254}
	// ethIface is what a machine with a network has; no packet passes it.
	ethIface = iface{name: "eth0", index: ethIndex, mtu: 1500, flags: ethFlags, arp: 1, qdisc: "fq_codel",
		mac: [6]byte{2, 0, 10, 0, 2, 15}, macCast: [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		addr: ethAddr, cast: [4]byte{10, 0, 2, 255}, bits: 24}
	ethAddr = [4]byte{10, 0, 2, 15}
	gateway = [4]byte{10, 0, 2, 2}
)

// Flags are IFF_UP, LOOPBACK, RUNNING and LOWER_UP; of eth0 IFF_UP, BROADCAST, RUNNING,
// MULTICAST and LOWER_UP.
const (
	loFlags  = 0x10049
	ethFlags = 0x11043
)

// ifaces are the machine's interfaces.
func ifaces(k *core.Kernel) []*iface {
	if k.HasNet() {
		return []*iface{&loIface, &ethIface}
	}
	return []*iface{&loIface}
}

// findIface answers the interface with a number (0: any) and a name ("": any); nil
// if there is none.
func findIface(k *core.Kernel, index uint32, name string) *iface {
	for _, f := range ifaces(k) {
		if (index == 0 || f.index == index) && (name == "" || f.name == name) {
			return f
		}
	}
	return nil
}

// mask is the interface's netmask.
func (f *iface) mask() (m [4]byte) {
	for i := range f.bits {
		m[i/8] |= 0x80 >> (i % 8)
	}
	return m
}
