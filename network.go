package hythe

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"hythe/machine"
	"hythe/machine/linux"
	"hythe/nucleus"
	netcore "hythe/server/net/core"
	"hythe/server/unix/core"
)

// Network says what a machine has beside its own loopback interface.
type Network struct {
	// Outside lets programs reach others by the host's own sockets (TCP, UDP and echo
	// requests; by IPv6 where the host does or something of it is allowed), as far as the policy has it: not the host itself, link-local addresses,
	// those by which clouds tell a machine its keys, and multicast. The host's
	// resolver can be asked for names.
	Outside bool
	// Allow is what may be reached in any case, Deny what may not, each as
	// IP[/BITS][:PORT] (an IPv6 address with a port in brackets). Programs name the
	// host's loopback interface 10.0.2.2 or fd00:10:0:2::2, Allow and Deny as the host does.
	Allow, Deny []string
	// Publish are ports of the machine that the host has, too.
	Publish []Publish

	// Shared is the name of a network of packets that machines of the user share, whose name here
	// is Config.Hostname; Tap that of a tap device of the host's. A machine has one of these and
	// Outside at most. Both need Program, the host's file with the program cmd/hythe-net.
	Shared, Tap string
	// Address is the machine's: on a tap device, with the network's bits; in a shared network one
	// that is wanted (not valid: the switch gives one). Gateway is who knows, on a tap device,
	// the way to others than the network's.
	Address netip.Prefix
	Gateway netip.Addr
	// Address6 and Gateway6 are those of IPv6, on a tap device; not valid: it has none. Gateway6 may be a link-local
	// address. NoProbe: others are not asked whether they have the machine's addresses of IPv6 before it uses them.
	Address6 netip.Prefix
	Gateway6 netip.Addr
	NoProbe  bool
	Program  string
}

// Publish is a port of the host's whose connections, or datagrams, go to a port of
// the machine.
type Publish struct {
	// HostIP is an address of the host's; empty: all it has.
	HostIP string
	// HostPort 0: the host chooses, and Log says what.
	HostPort, GuestPort uint16
	UDP                 bool
}

// String is the form of the option -p.
func (p Publish) String() string {
	s := fmt.Sprintf("%d:%d", p.HostPort, p.GuestPort)
	if strings.Contains(p.HostIP, ":") {
		s = "[" + p.HostIP + "]:" + s
	} else if p.HostIP != "" {
		s = p.HostIP + ":" + s
	}
	if p.UDP {
		s += "/udp"
	}
	return s
}

// rules reads what Allow and Deny say.
func (n *Network) rules() (allow, deny []netcore.Rule, err error) {
	read := func(list []string) (out []netcore.Rule) {
		for _, s := range list {
			r, e := netcore.ParseRule(s)
			if e != nil && err == nil {
				err = fmt.Errorf("network: %w", e)
			}
			out = append(out, r)
		}
		return out
	}
	return read(n.Allow), read(n.Deny), err
}

// six says whether the machine is to reach others by IPv6: where the host does, or something
// of it is allowed.
func (n *Network) six() bool {
	allow, _, _ := n.rules()
	for _, r := range allow {
		if r.Net.Addr().Is6() {
			return true
		}
	}
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	// It is nobody's (RFC 3849): there is a way to it where there is one to all. Nothing is sent.
	there := netip.MustParseAddr("2001:db8::1")
	return unix.Connect(fd, &unix.SockaddrInet6{Port: 9, Addr: there.As16()}) == nil
}

func (n *Network) complete() error {
	if err := n.completePackets(); err != nil {
		return err
	}
	if !n.Outside && !n.packets() && (len(n.Allow) > 0 || len(n.Deny) > 0 || len(n.Publish) > 0) {
		return fmt.Errorf("network: without an outside nothing is allowed, denied or published")
	}
	for _, p := range n.Publish {
		if p.GuestPort == 0 {
			return fmt.Errorf("publish %v: the machine's port is 1 to 65535", p)
		}
		if p.HostIP != "" {
			if _, err := netip.ParseAddr(p.HostIP); err != nil {
				return fmt.Errorf("publish %v: %q is no address", p, p.HostIP)
			}
		}
	}
	_, _, err := n.rules()
	return err
}

// addNet makes the net server, which starts when it is asked something.
func (w *wired) addNet() (*service, []core.Published, error) {
	n := &w.cfg.Network
	cfg := netcore.Config{}
	var err error
	if cfg.Allow, cfg.Deny, err = n.rules(); err != nil {
		return nil, nil, err
	}
	// The sockets are ours: they outlive the server, and what came meanwhile waits.
	spec := machine.ServerSpec{Name: "net", Isolation: machine.IsolateDefault &^ machine.IsolateNet}
	var published []core.Published
	for i, p := range n.Publish {
		fd, err := p.open(w.log)
		if err != nil {
			release(spec.Files)
			return nil, nil, fmt.Errorf("publish %v: %w", p, err)
		}
		spec.Files = append(spec.Files, linux.HandleOf(fd))
		cfg.Published = append(cfg.Published, netcore.Published{FD: 4 + i, UDP: p.UDP})
		published = append(published, core.Published{UDP: p.UDP, Guest: p.GuestPort})
	}
	s := w.add("net", spec, nucleus.PowerImport)
	s.configure = func() []byte {
		cfg := cfg
		cfg.Resolvers = resolvers()
		if len(cfg.Resolvers) > 0 {
			cfg.Resolver = cfg.Resolvers[0]
		}
		b, err := json.Marshal(cfg)
		if err != nil {
			panic(err) // addresses and numbers
		}
		return b
	}
	return s, published, serve(s.srv, "net")
}

// open binds the host's port.
func (p Publish) open(log func(string)) (int, error) {
	typ := unix.SOCK_STREAM
	if p.UDP {
		typ = unix.SOCK_DGRAM
	}
	typ |= unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	addrs := []netip.Addr{netip.IPv6Unspecified(), netip.IPv4Unspecified()} // the first serves both
	if p.HostIP != "" {
		a, err := netip.ParseAddr(p.HostIP)
		if err != nil {
			return -1, err
		}
		addrs = []netip.Addr{a.Unmap()}
	}
	var first error
	for _, a := range addrs {
		fd, port, err := bindTo(a, p.HostPort, typ, p.HostIP == "")
		if err == nil {
			if p.HostPort == 0 {
				p.HostPort = port
				log(fmt.Sprintf("published: %v", p))
			}
			return fd, nil
		}
		if first == nil || first == unix.EAFNOSUPPORT || first == unix.EADDRNOTAVAIL {
			first = err
		}
	}
	return -1, first
}

func bindTo(a netip.Addr, port uint16, typ int, both bool) (bound int, got uint16, err error) {
	family := unix.AF_INET
	var sa unix.Sockaddr
	if a.Is6() {
		family = unix.AF_INET6
		sa = &unix.SockaddrInet6{Port: int(port), Addr: a.As16()}
	} else {
		sa = &unix.SockaddrInet4{Port: int(port), Addr: a.As4()}
	}
	fd, err := unix.Socket(family, typ, 0)
	if err != nil {
		return -1, 0, err
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
		}
	}()
	if a.Is6() {
		only := 1
		if both {
			only = 0
		}
		if err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only); err != nil {
			return -1, 0, err
		}
	}
	stream := typ&0xf == unix.SOCK_STREAM
	if stream {
		if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return -1, 0, err
		}
	}
	if err = unix.Bind(fd, sa); err != nil {
		return -1, 0, err
	}
	if stream {
		if err = unix.Listen(fd, 4096); err != nil {
			return -1, 0, err
		}
	}
	me, err := unix.Getsockname(fd)
	if err != nil {
		return -1, 0, err
	}
	switch s := me.(type) {
	case *unix.SockaddrInet4:
		got = uint16(s.Port)
	case *unix.SockaddrInet6:
		got = uint16(s.Port)
	}
	return fd, got, nil
}

// resolvers are the host's (resolv.conf(5)); one that is missing is on this host.
func resolvers() []netip.AddrPort {
	b, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return nil
	}
	var out []netip.AddrPort
	for l := range strings.Lines(string(b)) {
		f := strings.Fields(l)
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		// One with an interface (fe80::1%eth0) is not asked.
		if a, err := netip.ParseAddr(f[1]); err == nil && a.Zone() == "" {
			out = append(out, netip.AddrPortFrom(a.Unmap(), 53))
		}
	}
	if len(out) == 0 {
		out = append(out, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 53))
	}
	return slices.Compact(out)
}
