package hythe

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"hythe/idl/vnet"
	"hythe/machine"
	"hythe/machine/linux"
	netcore "hythe/server/net/core"
	"hythe/server/unix/core"
)

// Networks that are made of packets: the supervisor's part. It opens the link, which the net
// server (cmd/hythe-net) gets as a descriptor, and knows the machine's address before there is one.

// packets says whether the machine's outside is made of packets.
func (n *Network) packets() bool { return n.Shared != "" || n.Tap != "" }

// completePackets checks what concerns such a network.
func (n *Network) completePackets() error {
	switch {
	case n.Shared != "" && n.Tap != "" || n.packets() && n.Outside:
		return errors.New("network: a machine has one of the host's sockets, a shared network and a tap device")
	case n.packets() && len(n.Allow)+len(n.Deny) > 0:
		return errors.New("network: what may be reached is said of the host's sockets only")
	case n.Shared != "" && !validNetwork(n.Shared):
		return fmt.Errorf("network %q: a name has 1 to 32 letters, digits, '-', '_' or '.'", n.Shared)
	case n.Shared != "" && n.Address.IsValid() && (!n.Address.Addr().Is4() || !vnet.Network.Contains(n.Address.Addr())):
		return fmt.Errorf("network %s: %v is no address in %v", n.Shared, n.Address.Addr(), vnet.Network)
	case n.Shared != "" && n.Gateway.IsValid():
		return fmt.Errorf("network %s: a shared network has no gateway", n.Shared)
	case n.Tap != "" && len(n.Tap) >= unix.IFNAMSIZ:
		return fmt.Errorf("network tap:%s: the name is too long", n.Tap)
	case n.Tap != "" && (!n.Address.IsValid() || !n.Address.Addr().Is4() || n.Address.Bits() > 30):
		return fmt.Errorf("network tap:%s: it needs an address of IPv4 and the network's bits, as 192.168.1.5/24", n.Tap)
	case n.Tap != "" && n.Gateway.IsValid() && (!n.Address.Contains(n.Gateway) || n.Gateway == n.Address.Addr()):
		return fmt.Errorf("network tap:%s: the gateway %v is not another's address in %v", n.Tap, n.Gateway, n.Address.Masked())
	case n.Tap == "" && (n.Address6.IsValid() || n.Gateway6.IsValid() || n.NoProbe):
		return errors.New("network: an address of IPv6, a gateway for it and whether others are asked for it are for tap devices")
	case n.Address6.IsValid() && !validAddress6(n.Address6):
		return fmt.Errorf("network tap:%s: %v is no address of IPv6 that one machine has and others reach", n.Tap, n.Address6)
	case n.Gateway6.IsValid() && !n.Address6.IsValid() || n.NoProbe && !n.Address6.IsValid():
		return fmt.Errorf("network tap:%s: it has no address of IPv6", n.Tap)
	case n.Gateway6.IsValid() && !(n.Address6.Contains(n.Gateway6) || n.Gateway6.Is6() && n.Gateway6.Zone() == "" && n.Gateway6.IsLinkLocalUnicast()) ||
		n.Gateway6.IsValid() && (n.Gateway6 == n.Address6.Addr() || n.Gateway6 == linkLocal(n.mac())):
		return fmt.Errorf("network tap:%s: the gateway %v is neither another's address in %v nor its link-local address", n.Tap, n.Gateway6, n.Address6.Masked())
	case !n.packets() && (n.Address.IsValid() || n.Gateway.IsValid()):
		return errors.New("network: an address and a gateway are for shared networks and tap devices")
	case n.packets() && n.Program == "":
		return errors.New("network: the program hythe-net is not installed beside hythe")
	}
	return nil
}

// validAddress6 says whether a machine can have an address of IPv6, beside its link-local one.
func validAddress6(p netip.Prefix) bool {
	a := p.Addr()
	return a.Is6() && !a.Is4In6() && p.Bits() > 0 && a.IsGlobalUnicast()
}

// mac is the machine's address of Ethernet: a locally administered one, which is no other's in its network, as its
// IP address is.
func (n *Network) mac() [6]byte {
	a := n.Address.Addr().As4()
	return [6]byte{2, 0, a[0], a[1], a[2], a[3]}
}

// linkLocal is the address of IPv6 that follows from that (RFC 4291, appendix A).
func linkLocal(m [6]byte) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]})
}

func validNetwork(s string) bool { return validID(s) && len(s) <= 32 }

// addPackets makes the net server of a network of packets.
func (w *wired) addPackets() (s *service, published []core.Published, link *core.Link, err error) {
	n := &w.cfg.Network
	fd, claim, cfg, err := n.link(w.cfg)
	if err != nil {
		return nil, nil, nil, err
	}
	var claims []machine.Handle
	if claim >= 0 {
		claims = append(claims, linux.HandleOf(claim))
	}
	defer func() {
		if s == nil {
			release(claims)
		}
	}()
	h := linux.HandleOf(fd)
	program, err := unix.Open(n.Program, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		h.Release()
		return nil, nil, nil, fmt.Errorf("network: %s: %w", n.Program, err)
	}
	spec := machine.ServerSpec{Name: "packets", Program: linux.HandleOf(program), Files: []machine.Handle{h}}
	cfg.FD = 4
	conf := netcore.Config{Link: cfg}
	for _, p := range n.Publish {
		fd, err := p.open(w.log)
		if err != nil {
			release(spec.Files)
			spec.Program.Release()
			return nil, nil, nil, fmt.Errorf("publish %v: %w", p, err)
		}
		conf.Published = append(conf.Published, netcore.Published{FD: 4 + len(spec.Files), UDP: p.UDP})
		spec.Files = append(spec.Files, linux.HandleOf(fd))
		published = append(published, core.Published{UDP: p.UDP, Guest: p.GuestPort})
	}
	link = &core.Link{Addr: cfg.Addr, Addr6: cfg.Addr6, Gateway: cfg.Gateway, Gateway6: cfg.Gateway6, LinkLocal: cfg.LinkLocal, MAC: cfg.MAC, MTU: cfg.MTU}
	if n.Shared != "" {
		conf.Resolvers = resolvers()
		for _, r := range conf.Resolvers {
			if r.Addr().Is4() && !r.Addr().IsLoopback() {
				link.Resolvers = append(link.Resolvers, r.Addr())
			}
		}
	}
	s = w.add("net", spec, 0)
	s.files = append(slices.Clip(s.files), claims...) // not the process's
	s.configure = func() []byte {
		if n.Shared != "" {
			if err := w.rejoin(h, n.Shared, cfg.Addr.Addr()); err != nil {
				w.log(err.Error())
			}
		}
		b, err := json.Marshal(conf)
		if err != nil {
			panic(err) // addresses and numbers
		}
		return b
	}
	return s, published, link, serve(s.srv, "net")
}

// link opens the machine's way to others. claim is what says that it has its address (claimAddress), or -1.
func (n *Network) link(c *Config) (fd, claim int, cfg *netcore.LinkConfig, err error) {
	if n.Tap != "" {
		fd, mtu, err := openTap(n.Tap)
		if err != nil {
			return -1, -1, nil, fmt.Errorf("network tap:%s: %w", n.Tap, err)
		}
		cfg = &netcore.LinkConfig{Tap: true, MAC: n.mac(), MTU: mtu, Addr: n.Address, Gateway: n.Gateway, Addr6: n.Address6, Gateway6: n.Gateway6}
		if n.Address6.IsValid() && mtu < minMTU6 {
			_ = unix.Close(fd)
			return -1, -1, nil, fmt.Errorf("network tap:%s: IPv6 needs an MTU of %d bytes (it is %d)", n.Tap, minMTU6, mtu)
		}
		if n.Address6.IsValid() {
			cfg.LinkLocal = linkLocal(cfg.MAC)
			if !n.NoProbe {
				cfg.Probes = 1
			}
		}
		return fd, -1, cfg, nil
	}
	fd, claim, j, err := takePlace(n.Shared, c, n.Address.Addr())
	if err != nil {
		return -1, -1, nil, err
	}
	a := j.Addr.Addr().As4()
	return fd, claim, &netcore.LinkConfig{MAC: [6]byte{2, 0, a[0], a[1], a[2], a[3]}, MTU: j.MTU, Addr: j.Addr,
		Addr6: netip.PrefixFrom(vnet.Six(j.Addr.Addr()), vnet.Network6.Bits())}, nil
}

// minMTU6 is what IPv6 asks of a link, in bytes (RFC 8200, section 5).
const minMTU6 = 1280

// openTap attaches to a tap device and answers its MTU, too.
func openTap(name string) (fd int, mtu uint32, err error) {
	fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, 0, fmt.Errorf("/dev/net/tun: %w", err)
	}
	fail := func(err error) (int, uint32, error) {
		_ = unix.Close(fd)
		return -1, 0, err
	}
	// To attach to one that is not there would make it, if we may: a typing error is none.
	query, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(query)
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return fail(err)
	}
	if err := unix.IoctlIfreq(query, unix.SIOCGIFMTU, ifr); err != nil {
		return fail(errors.New("the host has no such device (ip tuntap add dev NAME mode tap user YOU)"))
	}
	mtu = min(max(ifr.Uint32(), 576), 65521)
	if ifr, err = unix.NewIfreq(name); err != nil {
		return fail(err)
	}
	ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	switch err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err {
	case nil:
		return fd, mtu, nil
	case unix.EPERM:
		return fail(errors.New("it belongs to another user (ip tuntap add dev NAME mode tap user YOU)"))
	case unix.EBUSY:
		return fail(errors.New("somebody else is attached to it"))
	case unix.EINVAL:
		return fail(errors.New("it is no tap device"))
	default:
		return fail(err)
	}
}

// switchName is where the switch of a network listens. The name is abstract: it ends with the
// switch, and is seen in this network name space only (docs/decisions/0001-control-socket.md).
func switchName(network string) string {
	return fmt.Sprintf("@hythe/%d/network/%s", os.Geteuid(), network)
}

// Bounds of how long it takes to join.
const (
	joinTries = 200
	joinPause = 5 * time.Millisecond
	joinTime  = 10 // seconds for the switch's answer
)

// Who joins again tries for as long as the machine lives: rejoinQuiet times without a word, and then
// not more often than each rejoinPause.
const (
	rejoinQuiet = 50
	rejoinPause = time.Second
)

// claimAddress has a machine's supervisor hold a name for the machine's address, for as long as the
// machine has that: a switch that was started again does not know whose the addresses are, and who
// comes new asks it maybe sooner than who had them. EADDRINUSE: another machine has it.
func claimAddress(network string, a netip.Addr) (int, error) {
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.Bind(s, &unix.SockaddrUnix{Name: fmt.Sprintf("%s/%v", switchName(network), a)}); err != nil {
		_ = unix.Close(s)
		return -1, err
	}
	return s, nil
}

// takePlace joins a network for the first time, under an address that no other machine claims.
func takePlace(network string, c *Config, want netip.Addr) (fd, claim int, j vnet.Joined, err error) {
	if want.IsValid() {
		if claim, err = claimAddress(network, want); err == unix.EADDRINUSE {
			err = fmt.Errorf("%v is another machine's", want)
		}
		if err != nil {
			return -1, -1, j, fmt.Errorf("network %s: %w", network, err)
		}
		if fd, j, err = joinNetwork(network, c, want); err != nil {
			_ = unix.Close(claim)
			return -1, -1, j, err
		}
		return fd, claim, j, nil
	}
	// Places that are others' are kept until there is one that is not: else they would be given
	// again, and a switch whose only machine this is would end.
	var others []int
	defer func() {
		for _, fd := range others {
			_ = unix.Close(fd)
		}
	}()
	for range vnet.MaxMachines {
		if fd, j, err = joinNetwork(network, c, want); err != nil {
			return -1, -1, j, err
		}
		claim, err = claimAddress(network, j.Addr.Addr())
		if err == nil {
			return fd, claim, j, nil
		}
		others = append(others, fd)
		if err != unix.EADDRINUSE {
			return -1, -1, j, fmt.Errorf("network %s: %w", network, err)
		}
	}
	return -1, -1, j, fmt.Errorf("network %s: the network is full", network)
}

// joinNetwork takes a place in a network, whose switch starts if there is none. want is the
// address, if it is valid.
func joinNetwork(network string, c *Config, want netip.Addr) (fd int, j vnet.Joined, err error) {
	name := c.Hostname
	if name == "" {
		name = c.ID
	}
	for range joinTries {
		var again bool
		if fd, j, again, err = tryJoin(network, &vnet.Join{Want: want, Name: name}); err == nil {
			return fd, j, nil
		}
		if !again {
			break
		}
		if err = startSwitch(network, c.Insecure); err != nil && !errors.Is(err, unix.EADDRINUSE) {
			break
		}
		if err != nil { // somebody else starts it just now, or it is about to end
			time.Sleep(joinPause)
		}
	}
	return -1, j, fmt.Errorf("network %s: %w", network, err)
}

// tryJoin asks the switch that is there; again: there is none, or it has ended meanwhile.
func tryJoin(network string, ask *vnet.Join) (fd int, j vnet.Joined, again bool, err error) {
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, j, false, err
	}
	defer func() {
		if err != nil {
			_ = unix.Close(s)
		}
	}()
	if err = unix.Connect(s, &unix.SockaddrUnix{Name: switchName(network)}); err != nil {
		return -1, j, err == unix.ECONNREFUSED, err
	}
	cred, err := unix.GetsockoptUcred(s, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return -1, j, false, err
	}
	if int(cred.Uid) != os.Geteuid() {
		return -1, j, false, fmt.Errorf("user %d has taken the switch's name", cred.Uid)
	}
	if err = unix.SetsockoptTimeval(s, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: joinTime}); err != nil {
		return -1, j, false, err
	}
	if _, err = unix.SendmsgN(s, ask.Append(nil), nil, nil, unix.MSG_NOSIGNAL); err != nil {
		return -1, j, true, err
	}
	buf := make([]byte, vnet.MaxMessage)
	n, _, err := unix.Recvfrom(s, buf, 0)
	switch {
	case err == unix.EAGAIN:
		return -1, j, false, errors.New("the switch does not answer")
	case err == nil && n == 0:
		err = unix.ECONNRESET
		fallthrough
	case err != nil:
		return -1, j, true, err
	}
	if j, err = vnet.ParseJoined(buf[:n]); err != nil {
		return -1, j, false, err
	}
	_ = unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_SNDBUF, 1<<20) // as far as the host lets it be
	return s, j, false, nil
}

// startSwitch starts the switch of a network. EADDRINUSE if there is one.
func startSwitch(network string, insecure bool) error {
	l, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	h := linux.HandleOf(l)
	defer h.Release()
	if err := unix.Bind(l, &unix.SockaddrUnix{Name: switchName(network)}); err != nil {
		return err
	}
	if err := unix.Listen(l, 128); err != nil {
		return err
	}
	return linux.StartAlone(machine.ServerSpec{Name: switchKind, Args: []string{fmt.Sprint(os.Geteuid()), network}, // the name is for people
		Files: []machine.Handle{h}, Isolation: machine.IsolateDefault, Lenient: insecure})
}

// switchKind is a switch's name as a server.
const switchKind = "switch"

// rejoin takes the machine's place anew, if the switch has ended: under the same number of
// descriptor, which the next incarnation of the net server gets. While it cannot be had (somebody new
// was given the address, and gives it back; or is no machine, and does not) it tries again.
func (w *wired) rejoin(link machine.Handle, network string, at netip.Addr) error {
	w.mu.Lock()
	closed := w.closed
	if !closed {
		link.Retain() // else the number may be another's before this is done
	}
	w.mu.Unlock()
	if closed {
		return nil
	}
	defer link.Release()
	fd := linux.FD(link)
	p := []unix.PollFd{{Fd: int32(fd)}}
	if _, err := unix.Poll(p, 0); err != nil || p[0].Revents&(unix.POLLHUP|unix.POLLERR) == 0 {
		return nil
	}
	next, _, err := joinNetwork(network, w.cfg, at)
	for tries := 1; err != nil; tries++ {
		wait := joinPause
		if tries == rejoinQuiet {
			w.log(err.Error() + "; the machine has no network until it has joined again")
		}
		if tries >= rejoinQuiet {
			wait = rejoinPause
		}
		select {
		case <-w.stop:
			return nil
		case <-time.After(wait):
		}
		next, _, err = joinNetwork(network, w.cfg, at)
	}
	defer unix.Close(next)
	if err := unix.Dup3(next, fd, unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("network %s: %w", network, err)
	}
	return nil
}
