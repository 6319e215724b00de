// Package stack is the net server's outside where that is made of packets: gVisor's stack of
// protocols (pkg/tcpip) on a link, as core.Link. It is the only package that knows gVisor, and
// cmd/hythe-net the only program that has it: its initialization costs each start.
//
// Nothing of it is state of record: connections end with the process (docs/network.md).
package stack

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"hythe/abi"
	proto "hythe/idl/net"
	"hythe/idl/vnet"
	"hythe/server/net/core"
)

const nic = 1

// Bounds, in bytes where nothing else is said. Of n sockets the newest has bufferBudget over n as its
// buffer of one direction, but at most maxBuffer (dgramBuffer for datagrams) and at least minBuffer.
// Of n sockets that listen the newest has waitBudget over n places, but at most backlog and at least one, for
// connections that wait for the unix server to take them, each with minBuffer for what comes; beyond that a
// SYN gets a cookie or nothing.
const (
	bufferBudget = 64 << 20
	maxBuffer    = 256 << 10
	minBuffer    = 8 << 10
	waitBudget   = 1024
	backlog      = 128
	dgramBuffer  = 128 << 10
	maxWanted    = 256 // addresses of nobody that are asked for at a time
	// maxOrphans is how many streams that no program has any more may have something that the other
	// end has not taken: that may never take it, and keep them by its answers.
	maxOrphans = bufferBudget / maxBuffer
)

// timeWait is how long a pair of addresses rests after a connection, and how long one that programs
// have left waits for the other end to leave it, too, once that has got all. Linux has 60 s; each
// rest costs memory here, and a guest can have many.
const timeWait = 5 * time.Second

// keepIdle and keepEvery find a peer that has vanished: variables for tests' sake.
var (
	keepIdle  = 60 * time.Second
	keepEvery = 15 * time.Second
)

const keepCount = 8

// Stack is a stack of protocols on one link.
type Stack struct {
	s      *stack.Stack
	link   *link
	cfg    *core.LinkConfig
	notify func(id uint64, bits uint32, end bool)

	mu      sync.Mutex
	socks   map[*socket]bool
	listen  int                        // how many of them do. guarded by mu
	orphans []*socket                  // in the order in which they were left. guarded by mu
	members map[netip.Addr]vnet.Member // nil: the link is no switch's. guarded by mu
	absent  map[netip.Addr]bool        // who was asked for and not there, as of the last table. guarded by mu
	wanted  map[netip.Addr]uint32      // who is asked for, and by which question. guarded by mu
	names   map[string]netip.Addr      // guarded by mu
	asked   uint32                     // the number of the last question for the table. guarded by mu
	asking  bool                       // there is no answer yet. guarded by mu
	again   bool                       // the answer may come too early: it is to be asked again. guarded by mu
	// first is closed when the answer to our first question, number began, is there. Tables that
	// the link has from before that were another incarnation's, whose questions had other numbers.
	first chan struct{}
	began uint32
}

// New makes a stack on the link that cfg names. notify is told what is new of sockets, from any
// goroutine; lost is called when the link has ended.
func New(cfg *core.LinkConfig, notify func(id uint64, bits uint32, end bool), lost func(error)) (*Stack, error) {
	if !cfg.Addr.IsValid() || !cfg.Addr.Addr().Is4() {
		return nil, fmt.Errorf("link: %v is no address of IPv4", cfg.Addr)
	}
	t := &Stack{cfg: cfg, notify: notify, socks: map[*socket]bool{}, absent: map[netip.Addr]bool{}, wanted: map[netip.Addr]uint32{}, first: make(chan struct{}), began: rand.Uint32(), names: map[string]netip.Addr{},
		s: stack.New(stack.Options{
			// So that nothing from the link is taken for our own.
			HandleLocal:        true,
			NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocolWithOptions(options6(cfg)), arp.NewProtocol},
			TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
		})}
	t.asked = t.began
	t.options()
	if err := unix.SetNonblock(cfg.FD, true); err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	t.link = &link{f: os.NewFile(uintptr(cfg.FD), "link"), fd: cfg.FD, tap: cfg.Tap, mtu: cfg.MTU}
	var ep stack.LinkEndpoint = t.link
	if cfg.Tap {
		t.link.mac = tcpip.LinkAddress(cfg.MAC[:])
		ep = ethernet.New(t.link)
	} else {
		t.members = map[netip.Addr]vnet.Member{}
	}
	if e := t.s.CreateNIC(nic, ep); e != nil {
		return nil, fmt.Errorf("link: %v", e)
	}
	a := cfg.Addr.Addr().As4()
	own := tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4(a), PrefixLen: cfg.Addr.Bits()}
	if e := t.s.AddProtocolAddress(nic, tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: own}, stack.AddressProperties{}); e != nil {
		return nil, fmt.Errorf("link: %v: %v", cfg.Addr, e)
	}
	routes := []tcpip.Route{{Destination: own.Subnet(), NIC: nic}}
	if cfg.Gateway.Is4() {
		routes = append(routes, tcpip.Route{Destination: header.IPv4EmptySubnet, Gateway: tcpip.AddrFrom4(cfg.Gateway.As4()), NIC: nic})
	}
	probed, more, err := t.six()
	if err != nil {
		return nil, err
	}
	t.s.SetRouteTable(append(routes, more...))
	if cfg.Tap {
		close(t.first)
	} else if _, err := unix.SendmsgN(cfg.FD, vnet.AppendAsk(nil, t.began), nil, nil, unix.MSG_NOSIGNAL); err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	go func() { lost(t.receive()) }()
	select {
	case <-t.first:
	case <-time.After(10 * time.Second):
		return nil, fmt.Errorf("link: the switch says nothing")
	}
	t.probed(probed)
	return t, nil
}

// options are what is set for the stack as a whole.
func (t *Stack) options() {
	sack := tcpip.TCPSACKEnabled(true)
	recovery := tcpip.TCPRecovery(0) // its RACK sends again too soon
	control := tcpip.CongestionControlOption("reno")
	moderate := tcpip.TCPModerateReceiveBufferOption(false)
	wait, reuse := tcpip.TCPTimeWaitTimeoutOption(timeWait), tcpip.TCPTimeWaitReuseGlobal
	linger := tcpip.TCPLingerTimeoutOption(timeWait)
	for _, o := range []tcpip.SettableTransportProtocolOption{&sack, &recovery, &control, &moderate, &wait, &reuse, &linger,
		&tcpip.TCPReceiveBufferSizeRangeOption{Min: minBuffer, Default: maxBuffer, Max: maxBuffer},
		&tcpip.TCPSendBufferSizeRangeOption{Min: minBuffer, Default: maxBuffer, Max: maxBuffer},
	} {
		if e := t.s.SetTransportProtocolOption(tcp.ProtocolNumber, o); e != nil {
			panic(fmt.Sprintf("stack: option %T: %v", o, e)) // constants
		}
	}
}

// receive takes packets from the link until that ends.
func (t *Stack) receive() error {
	raw, err := t.link.f.SyscallConn()
	if err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for {
		var n int
		var rerr error
		err := raw.Read(func(fd uintptr) bool {
			if t.link.tap {
				n, rerr = unix.Read(int(fd), buf)
			} else {
				n, _, rerr = unix.Recvfrom(int(fd), buf, unix.MSG_DONTWAIT)
			}
			return rerr != unix.EAGAIN
		})
		switch {
		case err != nil:
			return err
		case rerr == unix.EINTR:
			continue
		case rerr != nil:
			return rerr
		case n == 0:
			return fmt.Errorf("the other end has left")
		}
		if err := t.packet(buf[:n]); err != nil {
			return err
		}
	}
}

// packet takes one message of the link. An error is the switch's, which is not to be believed then.
func (t *Stack) packet(b []byte) error {
	if !t.link.tap {
		switch kind, ok := vnet.Kind(b); {
		case ok && kind == vnet.KindTable:
			asked, l, err := vnet.ParseTable(b)
			if err != nil {
				return err
			}
			select {
			case <-t.first:
				t.table(asked, l)
			default:
				if asked == t.began {
					t.table(asked, l)
					close(t.first)
				}
			}
			return nil
		case !ok || kind != 0:
			return vnet.ErrMalformed
		}
	}
	t.link.deliver(bytes.Clone(b))
	return nil
}

// table takes who is in the network, as of question asked. What is connected to who has left ends.
func (t *Stack) table(asked uint32, l []vnet.Member) {
	members, names := map[netip.Addr]vnet.Member{}, map[string]netip.Addr{}
	for _, m := range l {
		members[m.Addr] = m
		if m.Name != "" {
			names[m.Name] = m.Addr
		}
	}
	var gone []*socket
	t.mu.Lock()
	clear(t.absent)
	for s := range t.socks {
		if !s.far.IsValid() {
			continue
		}
		m, there := members[s.far]
		switch {
		case s.serial != 0 && m.Serial != s.serial:
			gone = append(gone, s)
		case s.serial != 0:
		case there:
			s.serial = m.Serial
		case int32(asked-s.doubt) >= 0:
			t.absent[s.far] = true
			gone = append(gone, s)
		}
	}
	for a, n := range t.wanted {
		_, there := members[a]
		if done := int32(asked-n) >= 0; done && !there {
			t.absent[a] = true
		} else if !done && !there {
			continue
		}
		delete(t.wanted, a)
	}
	t.members, t.names = members, names
	if t.asking && asked == t.asked {
		t.asking = false
		if t.again {
			t.again = false
			t.ask()
		}
	}
	t.mu.Unlock()
	for _, s := range gone {
		s.lose()
	}
}

// ask asks the switch who is there. t.mu is held.
func (t *Stack) ask() {
	t.asked++
	_, err := unix.SendmsgN(t.cfg.FD, vnet.AppendAsk(nil, t.asked), nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	t.asking = err == nil // else the next one asks
}

// meet notes whom a stream speaks to: who has a new address may be there before we have heard of
// him, so that the switch is asked. False: no machine can have that address.
func (t *Stack) meet(s *socket, far netip.Addr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.members == nil {
		return true
	}
	if far.Is6() && t.cfg.Addr6.IsValid() && t.cfg.Addr6.Contains(far) {
		if far = vnet.Four(far); !far.IsValid() { // a machine is known by that
			return false
		}
	}
	s.far, s.serial = far, t.members[far].Serial
	if s.serial == 0 {
		s.doubt = t.number()
	}
	return true
}

// number is that of a question that is asked from here on. t.mu is held.
func (t *Stack) number() uint32 {
	if t.asking {
		t.again = true
		return t.asked + 1
	}
	t.ask()
	return t.asked
}

// Named implements core.Link.
func (t *Stack) Named(name string) (four, six netip.Addr, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if four, ok = t.names[name]; ok {
		six = vnet.Six(four)
	}
	return four, six, ok
}

// reaches says why nobody can be reached at an address by datagrams, if that is known. To who is
// not known one is sent all the same.
func (t *Stack) reaches(a netip.Addr) abi.Errno {
	if !a.Is4() && !t.cfg.Addr6.IsValid() {
		return abi.ENETUNREACH
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.members != nil && a.Is6() {
		if a = vnet.Four(a); !a.IsValid() {
			return abi.EHOSTUNREACH // no machine can have it
		}
	}
	if _, ok := t.members[a]; t.members == nil || ok {
		return 0
	}
	if t.absent[a] {
		return abi.EHOSTUNREACH
	}
	if _, ok := t.wanted[a]; !ok && len(t.wanted) < maxWanted {
		t.wanted[a] = t.number()
	}
	return 0
}

// Open implements core.Link.
func (t *Stack) Open(id uint64, kind core.Kind, port uint16, families uint32) (core.LinkSocket, abi.Errno) {
	s := &socket{t: t, id: id, kind: kind}
	if !t.cfg.Addr6.IsValid() && families&proto.Six != 0 {
		if families &^= proto.Six; families == 0 {
			return nil, abi.ENETUNREACH
		}
	}
	// One of IPv6 is for both, at all addresses, unless it is told otherwise.
	net, echo := ipv4.ProtocolNumber, icmp.ProtocolNumber4
	at := tcpip.AddrFrom4(t.cfg.Addr.Addr().As4())
	if families&proto.Six != 0 {
		net, echo, at = ipv6.ProtocolNumber, icmp.ProtocolNumber6, tcpip.Address{}
		// One who has a link-local address, too, has two. RecvFrom looks at those.
		if families&proto.Four == 0 && !t.cfg.LinkLocal.IsValid() {
			at = tcpip.AddrFrom16(t.cfg.Addr6.Addr().As16())
		}
	}
	var q waiter.Queue
	var e tcpip.Error
	switch kind {
	case core.KindStream, core.KindListener:
		s.ep, e = t.s.NewEndpoint(tcp.ProtocolNumber, net, &q)
	case core.KindDgram:
		s.ep, e = t.s.NewEndpoint(udp.ProtocolNumber, net, &q)
	default:
		s.ep, e = t.s.NewEndpoint(echo, net, &q)
	}
	if e != nil {
		return nil, errno(e)
	}
	o := s.ep.SocketOptions()
	o.SetReuseAddress(true)
	o.SetReusePort(true)
	o.SetV6Only(families&proto.Four == 0)
	if kind == core.KindDgram && at.BitLen() == 0 {
		// Told where they were sent: others than its own addresses are groups' and broadcasts.
		o.SetReceivePacketInfo(true)
		o.SetIPv6ReceivePacketInfo(true)
	}
	t.tune(s)
	if port != 0 || kind == core.KindDgram {
		e = s.ep.Bind(tcpip.FullAddress{Addr: at, Port: port})
	}
	if e == nil && kind == core.KindListener {
		t.mu.Lock()
		n := places(t.listen + 1)
		t.mu.Unlock()
		e = s.ep.Listen(n)
	}
	if e != nil {
		s.ep.Close()
		return nil, errno(e)
	}
	t.enter(s, &q)
	return s, 0
}

// places is how many connections may wait at the newest of n sockets that listen.
func places(n int) int { return min(max(waitBudget/n, 1), backlog) }

// tune gives a socket its buffers. One that listens has none, but those that wait there begin with
// the size that it has: what they may send is little until a program has taken them.
func (t *Stack) tune(s *socket) {
	o := s.ep.SocketOptions()
	t.mu.Lock()
	n := int64(len(t.socks) + 1)
	t.mu.Unlock()
	size := min(max(bufferBudget/n, minBuffer), maxBuffer)
	switch s.kind {
	case core.KindStream:
	case core.KindListener:
		size = minBuffer
	default:
		o.SetReceiveBufferSize(min(size, dgramBuffer), true)
		return
	}
	o.SetReceiveBufferSize(size, true)
	o.SetSendBufferSize(size, true)
	o.SetDelayOption(false) // what guests write comes in runs already
	if s.kind == core.KindStream {
		o.SetKeepAlive(true)
		idle, every := tcpip.KeepaliveIdleOption(keepIdle), tcpip.KeepaliveIntervalOption(keepEvery)
		_ = s.ep.SetSockOpt(&idle)
		_ = s.ep.SetSockOpt(&every)
		_ = s.ep.SetSockOptInt(tcpip.KeepaliveCountOption, keepCount)
	}
}

// enter notes a socket, and has its news told.
func (t *Stack) enter(s *socket, q *waiter.Queue) {
	s.q = q
	s.entry = waiter.NewFunctionEntry(waiter.ReadableEvents|waiter.WritableEvents|waiter.EventErr|waiter.EventHUp|waiter.EventRdHUp, s.news)
	t.mu.Lock()
	t.socks[s] = true
	if s.kind == core.KindListener {
		t.listen++
	}
	t.mu.Unlock()
	q.EventRegister(&s.entry)
}

// socket is one of the stack's.
type socket struct {
	t     *Stack
	id    uint64
	kind  core.Kind
	ep    tcpip.Endpoint
	q     *waiter.Queue
	entry waiter.Entry

	far    netip.Addr // of a stream in a network that has a switch. guarded by t.mu
	serial uint64     // whose that is; 0: we have not heard of him. guarded by t.mu
	doubt  uint32     // then: the question whose answer tells. guarded by t.mu
	lost   bool       // who was there has left. guarded by t.mu
	closed bool       // guarded by t.mu
}

func (s *socket) news(m waiter.EventMask) {
	var bits uint32
	if m&(waiter.ReadableEvents|waiter.EventErr|waiter.EventHUp|waiter.EventRdHUp) != 0 {
		bits |= proto.In
	}
	if m&(waiter.WritableEvents|waiter.EventErr|waiter.EventHUp) != 0 {
		bits |= proto.Out
	}
	s.t.notify(s.id, bits, m&(waiter.EventErr|waiter.EventHUp|waiter.EventRdHUp) != 0)
}

// lose ends a stream whose other end is not there any more.
func (s *socket) lose() {
	s.t.mu.Lock()
	over := s.closed
	s.lost = true
	s.t.mu.Unlock()
	if over {
		return
	}
	s.ep.Abort()
	s.t.notify(s.id, proto.In|proto.Out, true)
}

// error is what an error of the stack means, or that who was there has left.
func (s *socket) error(e tcpip.Error) abi.Errno {
	if _, wait := e.(*tcpip.ErrWouldBlock); !wait && s.isLost() {
		return abi.ECONNRESET
	}
	return errno(e)
}

// Connect implements core.LinkSocket.
func (s *socket) Connect(to netip.AddrPort) abi.Errno {
	if e := s.t.reaches(to.Addr()); e != 0 && s.kind != core.KindStream {
		return e
	}
	if s.kind == core.KindStream {
		if !s.t.meet(s, to.Addr()) {
			return abi.EHOSTUNREACH
		}
	}
	e := s.ep.Connect(full(to))
	if _, ok := e.(*tcpip.ErrConnectStarted); ok {
		return abi.EINPROGRESS
	}
	if e != nil && s.isLost() { // that nobody is there was heard meanwhile, and has ended it
		return abi.EHOSTUNREACH
	}
	return errno(e)
}

// isLost says whether who was there has left.
func (s *socket) isLost() bool {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	return s.lost
}

// Connected implements core.LinkSocket.
func (s *socket) Connected() abi.Errno {
	if s.isLost() {
		return abi.EHOSTUNREACH
	}
	switch st := tcp.EndpointState(s.ep.State()); {
	case st == tcp.StateInitial || st == tcp.StateBound || st == tcp.StateConnecting || st == tcp.StateSynSent || st == tcp.StateSynRecv:
		return abi.EINPROGRESS
	case st == tcp.StateError || st == tcp.StateClose:
		if e := s.ep.LastError(); e != nil {
			return errno(e)
		}
		return abi.ECONNRESET
	}
	return 0
}

// Accept implements core.LinkSocket.
func (s *socket) Accept(id uint64) (core.LinkSocket, netip.AddrPort, abi.Errno) {
	var from tcpip.FullAddress
	ep, q, e := s.ep.Accept(&from)
	if e != nil {
		return nil, netip.AddrPort{}, errno(e)
	}
	n := &socket{t: s.t, id: id, kind: core.KindStream, ep: ep}
	a := addrPort(from)
	s.t.tune(n)
	s.t.enter(n, q)
	s.t.meet(n, a.Addr())
	n.news(ep.Readiness(waiter.ReadableEvents | waiter.WritableEvents | waiter.EventErr | waiter.EventHUp | waiter.EventRdHUp))
	return n, a, 0
}

// Send implements core.LinkSocket.
func (s *socket) Send(b []byte) (int, abi.Errno) {
	if len(b) == 0 {
		return 0, 0
	}
	n, e := s.ep.Write(bytes.NewReader(b), tcpip.WriteOptions{})
	if e != nil {
		return 0, s.error(e)
	}
	return int(n), 0
}

// window is a buffer that a read fills.
type window struct {
	b []byte
	n int
}

func (w *window) Write(p []byte) (int, error) {
	n := copy(w.b[w.n:], p)
	w.n += n
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

var errFull = fmt.Errorf("no more room")

// Recv implements core.LinkSocket.
func (s *socket) Recv(b []byte) (int, abi.Errno) {
	w := &window{b: b}
	for w.n < len(b) {
		_, e := s.ep.Read(w, tcpip.ReadOptions{})
		if e == nil {
			continue
		}
		if w.n > 0 {
			break // what is behind it is told next
		}
		if _, end := e.(*tcpip.ErrClosedForReceive); end {
			s.t.mu.Lock()
			defer s.t.mu.Unlock()
			if s.lost {
				return 0, abi.ECONNRESET
			}
			return 0, 0
		}
		return 0, s.error(e)
	}
	return w.n, 0
}

// Shut implements core.LinkSocket.
func (s *socket) Shut() abi.Errno { return errno(s.ep.Shutdown(tcpip.ShutdownWrite)) }

// SendTo implements core.LinkSocket.
func (s *socket) SendTo(b []byte, to netip.AddrPort) abi.Errno {
	if e := s.t.reaches(to.Addr()); e != 0 {
		return e
	}
	w := tcpip.WriteOptions{}
	if s.kind == core.KindEcho {
		to = netip.AddrPortFrom(to.Addr(), 0)
	}
	f := full(to)
	w.To = &f
	_, e := s.ep.Write(bytes.NewReader(b), w)
	if _, ok := e.(*tcpip.ErrWouldBlock); ok {
		return 0 // lost
	}
	return errno(e)
}

// RecvFrom implements core.LinkSocket.
func (s *socket) RecvFrom(b []byte) (int, netip.AddrPort, abi.Errno) {
	for {
		w := &window{b: b}
		r, e := s.ep.Read(w, tcpip.ReadOptions{NeedRemoteAddr: true})
		if e != nil {
			return 0, netip.AddrPort{}, errno(e)
		}
		m := &r.ControlMessages
		if m.HasIPPacketInfo && !s.t.own(m.PacketInfo.DestinationAddr) || m.HasIPv6PacketInfo && !s.t.own(m.IPv6PacketInfo.Addr) {
			continue
		}
		// From 0.0.0.0 is nobody: who answered there would speak to the machine itself.
		if from := addrPort(r.RemoteAddr); !from.Addr().IsUnspecified() {
			return w.n, from, 0
		}
	}
}

// own says whether an address is the machine's.
func (t *Stack) own(a tcpip.Address) bool {
	ip, _ := netip.AddrFromSlice(a.AsSlice())
	ip = ip.Unmap()
	return ip == t.cfg.Addr.Addr() || ip == t.cfg.Addr6.Addr() || ip == t.cfg.LinkLocal
}

// Close implements core.LinkSocket.
func (s *socket) Close(hard bool) {
	s.q.EventUnregister(&s.entry)
	s.t.mu.Lock()
	s.closed = true
	delete(s.t.socks, s)
	if s.kind == core.KindListener {
		s.t.listen--
	}
	s.t.mu.Unlock()
	if hard && s.kind == core.KindStream {
		s.ep.Abort()
	}
	s.ep.Close()
	if !hard && s.kind == core.KindStream {
		s.t.orphan(s)
	}
}

// orphan notes a stream that goes on without anybody; of too many the oldest is reset.
func (t *Stack) orphan(s *socket) {
	if s.told() {
		return
	}
	var over *socket
	t.mu.Lock()
	t.orphans = append(t.orphans, s)
	if len(t.orphans) > maxOrphans {
		t.orphans = slices.DeleteFunc(t.orphans, (*socket).told)
	}
	if len(t.orphans) > maxOrphans {
		over = t.orphans[0]
		t.orphans = slices.Delete(t.orphans, 0, 1)
	}
	t.mu.Unlock()
	if over != nil {
		over.ep.Abort()
	}
}

// told says whether the other end of a stream that was closed has got all of it: what is left of it
// holds no data, and ends by itself.
func (s *socket) told() bool {
	switch tcp.EndpointState(s.ep.State()) {
	case tcp.StateFinWait1, tcp.StateClosing, tcp.StateLastAck:
		return false
	}
	return true
}

func full(a netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFromSlice(a.Addr().AsSlice()), Port: a.Port()}
}

func addrPort(f tcpip.FullAddress) netip.AddrPort {
	a, _ := netip.AddrFromSlice(f.Addr.AsSlice())
	return netip.AddrPortFrom(a.Unmap(), f.Port)
}

// errno is what an error of the stack is to those who know Linux's.
func errno(e tcpip.Error) abi.Errno {
	switch e.(type) {
	case nil:
		return 0
	case *tcpip.ErrWouldBlock:
		return abi.EAGAIN
	case *tcpip.ErrConnectionRefused:
		return abi.ECONNREFUSED
	case *tcpip.ErrConnectionReset, *tcpip.ErrConnectionAborted, *tcpip.ErrAborted:
		return abi.ECONNRESET
	case *tcpip.ErrTimeout:
		return abi.ETIMEDOUT
	case *tcpip.ErrHostUnreachable, *tcpip.ErrHostDown:
		return abi.EHOSTUNREACH
	case *tcpip.ErrNetworkUnreachable, *tcpip.ErrNoNet:
		return abi.ENETUNREACH
	case *tcpip.ErrClosedForSend:
		return abi.EPIPE
	case *tcpip.ErrNotConnected:
		return abi.ENOTCONN
	case *tcpip.ErrPortInUse, *tcpip.ErrNoPortAvailable:
		return abi.EADDRINUSE
	case *tcpip.ErrNoBufferSpace:
		return abi.ENOBUFS
	case *tcpip.ErrMessageTooLong:
		return abi.EMSGSIZE
	case *tcpip.ErrBadAddress, *tcpip.ErrBadLocalAddress:
		return abi.EADDRNOTAVAIL
	case *tcpip.ErrBroadcastDisabled, *tcpip.ErrNotPermitted:
		return abi.EACCES
	case *tcpip.ErrInvalidEndpointState, *tcpip.ErrInvalidOptionValue, *tcpip.ErrDestinationRequired, *tcpip.ErrMalformedHeader:
		return abi.EINVAL
	}
	return abi.EIO
}
