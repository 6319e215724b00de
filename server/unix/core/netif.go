package core

// Iface is an interface of the machine, as every personality shows it in its own form.
// Nothing of one can be changed.
type Iface struct {
	Name       string
	Index, MTU uint32
	Loopback   bool
	MAC        [6]byte
	Addr, Cast [4]byte // IPv4; Cast: broadcast, 0: none
	Bits       byte    // of the network
	Addr6      [16]byte
	Bits6      byte
}

// The interfaces' numbers, and how much a packet holds that stays in the machine.
const (
	LoopbackIndex = 1
	EthernetIndex = 2
	LoopbackMTU   = 65536
)

// Ethernet is what a machine with a network has; no packet passes it. It has its address of
// IPv6 where the host reaches others by that (HasNet6).
var (
	Loopback = Iface{Name: "lo", Index: LoopbackIndex, MTU: LoopbackMTU, Loopback: true, Addr: [4]byte{127, 0, 0, 1}, Bits: 8,
		Addr6: ip6Loop, Bits6: 128}
	Ethernet = Iface{Name: "eth0", Index: EthernetIndex, MTU: 1500, MAC: [6]byte{2, 0, 10, 0, 2, 15},
		Addr: [4]byte(eth0[12:]), Cast: [4]byte{10, 0, 2, 255}, Bits: 24,
		Addr6: eth6, Bits6: 64}
)

// Ifaces are the machine's interfaces.
func (k *Kernel) Ifaces() []*Iface {
	if k.HasNet() {
		return []*Iface{&Loopback, &Ethernet}
	}
	return []*Iface{&Loopback}
}

// Mask is the interface's netmask.
func (f *Iface) Mask() (m [4]byte) {
	for i := range f.Bits {
		m[i/8] |= 0x80 >> (i % 8)
	}
	return m
}
