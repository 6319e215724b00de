package stack

import (
	"fmt"
	"net/netip"
	"os"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"hythe/server/net/core"
)

// IPv6 on a link. On a tap device there is neighbour discovery: others are found by it, and asked whether
// they have the machine's addresses. Addresses and routes are those that were configured: what routers
// advertise, and redirects, change nothing, so that nobody on the link can add any.

// probeEvery is how long each question has for its answer (RFC 4861, RETRANS_TIMER): a variable for tests' sake.
var probeEvery = time.Second

// options6 are those of the protocol.
func options6(cfg *core.LinkConfig) ipv6.Options {
	var o ipv6.Options
	if cfg.Tap && cfg.Addr6.IsValid() {
		o.NDPConfigs.HandleRAs = ipv6.HandlingRAsDisabled
		o.MLD.Enabled = true // or a switch that looks at it does not pass what asks for us
		o.DADConfigs = stack.DADConfigurations{DupAddrDetectTransmits: cfg.Probes, RetransmitTimer: probeEvery}
	}
	return o
}

// probe is told what has become of an address.
type probe struct {
	addr tcpip.Address
	over chan bool // whether it is ours
}

// OnChanged implements stack.AddressDispatcher.
func (p *probe) OnChanged(_ stack.AddressLifetimes, s stack.AddressAssignmentState) {
	if s == stack.AddressAssigned {
		p.tell(true)
	}
}

// OnRemoved implements stack.AddressDispatcher.
func (p *probe) OnRemoved(stack.AddressRemovalReason) { p.tell(false) }

func (p *probe) tell(ours bool) {
	select {
	case p.over <- ours:
	default: // it is known already
	}
}

// six gives the stack its addresses of IPv6, and answers its routes.
func (t *Stack) six() (probes []*probe, routes []tcpip.Route, err error) {
	cfg := t.cfg
	if !cfg.Addr6.IsValid() {
		return nil, nil, nil
	}
	own := []netip.Prefix{cfg.Addr6}
	if cfg.LinkLocal.IsValid() {
		own = append(own, netip.PrefixFrom(cfg.LinkLocal, 64))
	}
	for _, p := range own {
		a := tcpip.AddressWithPrefix{Address: tcpip.AddrFrom16(p.Addr().As16()), PrefixLen: p.Bits()}
		w := &probe{a.Address, make(chan bool, 1)}
		if e := t.s.AddProtocolAddress(nic, tcpip.ProtocolAddress{Protocol: ipv6.ProtocolNumber, AddressWithPrefix: a}, stack.AddressProperties{Disp: w}); e != nil {
			return nil, nil, fmt.Errorf("link: %v: %v", p, e)
		}
		probes = append(probes, w)
		routes = append(routes, tcpip.Route{Destination: a.Subnet(), NIC: nic})
	}
	if cfg.Gateway6.Is6() {
		routes = append(routes, tcpip.Route{Destination: header.IPv6EmptySubnet, Gateway: tcpip.AddrFrom16(cfg.Gateway6.As16()), NIC: nic})
	}
	return probes, routes, nil
}

// probed waits for what becomes of the addresses. If another has one of them there is no IPv6: he may have any of the
// machine's then, and to take turns with him is worse than none (RFC 4862, 5.4.5).
func (t *Stack) probed(l []*probe) {
	ours := true
	for _, p := range l {
		select {
		case ok := <-p.over:
			if !ok {
				ours = false
				fmt.Fprintf(os.Stderr, "link: another has the address %v: the machine has no IPv6\n", p.addr)
			}
		case <-time.After(10 * time.Second):
			ours = false
			fmt.Fprintf(os.Stderr, "link: nothing is known of the address %v: the machine has no IPv6\n", p.addr)
		}
	}
	if ours {
		return
	}
	for _, p := range l {
		t.s.RemoveAddress(nic, p.addr) // one of them is not there
	}
	c := *t.cfg
	c.Addr6, c.Gateway6, c.LinkLocal = netip.Prefix{}, netip.Addr{}, netip.Addr{}
	t.cfg = &c
}
