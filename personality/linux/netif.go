package linux

import "hythe/server/unix/core"

// iface is an interface of the machine as Linux shows it.
type iface struct {
	*core.Iface
	flags   uint32 // IFF_...
	arp     uint16 // ARPHRD_...
	macCast [6]byte
	qdisc   string
	scope   byte // RT_SCOPE_...
}

var loIface = iface{Iface: &core.Loopback, flags: loFlags, arp: 772, qdisc: "noqueue", scope: 254}

// ethIface is eth0.
func ethIface(k *core.Kernel) *iface {
	return &iface{Iface: k.Ethernet(), flags: ethFlags, arp: 1, qdisc: "fq_codel",
		macCast: [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}
}

// Flags are IFF_UP, LOOPBACK, RUNNING and LOWER_UP; of eth0 IFF_UP, BROADCAST, RUNNING,
// MULTICAST and LOWER_UP.
const (
	loFlags  = 0x10049
	ethFlags = 0x11043
)

// ifaces are the machine's interfaces.
func ifaces(k *core.Kernel) []*iface {
	var l []*iface
	for _, f := range k.Ifaces() {
		if f.Loopback {
			l = append(l, &loIface)
		} else {
			l = append(l, ethIface(k))
		}
	}
	return l
}

// findIface answers the interface with a number (0: any) and a name ("": any); nil
// if there is none.
func findIface(k *core.Kernel, index uint32, name string) *iface {
	for _, f := range ifaces(k) {
		if (index == 0 || f.Index == index) && (name == "" || f.Name == name) {
			return f
		}
	}
	return nil
}
