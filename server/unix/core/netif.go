package core

import "net/netip"

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
	LinkLocal  [16]byte // another one of IPv6, of a network of 64 bits; 0: none
}

// The interfaces' numbers, and how much a packet holds that stays in the machine.
const (
	LoopbackIndex = 1
	EthernetIndex = 2
	LoopbackMTU   = 65536
)

// Loopback is the interface lo. ethernet is eth0 where the host's own sockets are the outside: no
// packet passes it. It has its address of IPv6 where the host reaches others by that (HasNet6).
var (
	Loopback = Iface{Name: "lo", Index: LoopbackIndex, MTU: LoopbackMTU, Loopback: true, Addr: [4]byte{127, 0, 0, 1}, Bits: 8,
		Addr6: ip6Loop, Bits6: 128}
	ethernet = Iface{Name: "eth0", Index: EthernetIndex, MTU: 1500, MAC: [6]byte{2, 0, 10, 0, 2, 15},
		Addr: [4]byte(eth0[12:]), Cast: [4]byte{10, 0, 2, 255}, Bits: 24,
		Addr6: eth6, Bits6: 64}
)

// Ethernet is what a machine with a network has beside lo.
func (k *Kernel) Ethernet() *Iface {
	l := k.Config.Link
	if l == nil {
		return &ethernet
	}
	if k.io.out.iface == nil {
		f := &Iface{Name: "eth0", Index: EthernetIndex, MTU: l.MTU, MAC: l.MAC, Addr: l.Addr.Addr().As4(), Bits: byte(l.Addr.Bits())}
		f.Cast = f.Addr
		for i, m := range f.Mask() {
			f.Cast[i] |= ^m
		}
		if l.Addr6.IsValid() {
			f.Addr6, f.Bits6 = l.Addr6.Addr().As16(), byte(l.Addr6.Bits())
		}
		if l.LinkLocal.IsValid() {
			f.LinkLocal = l.LinkLocal.As16()
		}
		k.io.out.iface = f
	}
	return k.io.out.iface
}

// Gateway is who knows the way to those who are not in the network of eth0; false: nobody does.
func (k *Kernel) Gateway() ([4]byte, bool) {
	l := k.Config.Link
	switch {
	case l == nil:
		return [4]byte{10, 0, 2, 2}, k.HasNet()
	case l.Gateway.Is4():
		return l.Gateway.As4(), true
	}
	return [4]byte{}, false
}

// Gateway6 is Gateway of IPv6.
func (k *Kernel) Gateway6() ([16]byte, bool) {
	l := k.Config.Link
	switch {
	case l == nil:
		via := eth6
		via[15] = 2
		return via, k.HasNet6()
	case l.Gateway6.Is6():
		return l.Gateway6.As16(), true
	}
	return [16]byte{}, false
}

// Ifaces are the machine's interfaces.
func (k *Kernel) Ifaces() []*Iface {
	if k.HasNet() {
		return []*Iface{&Loopback, k.Ethernet()}
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

// Network is the address of its network.
func (f *Iface) Network() [4]byte {
	n := f.Addr
	for i, m := range f.Mask() {
		n[i] &= m
	}
	return n
}

// HasLinkLocal says whether it has a link-local address.
func (f *Iface) HasLinkLocal() bool { return f.LinkLocal != [16]byte{} }

// Network6 is the address of its network of IPv6.
func (f *Iface) Network6() [16]byte {
	return netip.PrefixFrom(netip.AddrFrom16(f.Addr6), int(f.Bits6)).Masked().Addr().As16()
}

// Holds says whether an address is in its network.
func (f *Iface) Holds(a [4]byte) bool {
	n := Iface{Addr: a, Bits: f.Bits}
	return n.Network() == f.Network()
}
