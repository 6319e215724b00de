package core

import (
	"encoding/binary"
	"slices"

	"hythe/abi"
	"hythe/store"
)

// inetSockets is the families of IP sockets (ip(7), ipv6(7), tcp(7), udp(7)) as
// far as both ends are in the machine: a connection is two queues, and no packet
// is made. What leaves the machine is outside.go's. docs/network.md.
type inetSockets struct{ sockQueues }

// Protocols (IPPROTO_).
const (
	ProtoICMP   = 1
	ProtoTCP    = 6
	ProtoUDP    = 17
	ProtoICMPv6 = 58
	// ProtoUDPLite is UDP with checksums of less than the whole: the same here,
	// where nothing is damaged, but for its ports.
	ProtoUDPLite = 136

	maxProto = 262 // IPPROTO_MPTCP
)

// Bits of Socket.Opts that decide something: 1 << SO_..., asm-generic/socket.h.
const (
	optReuseAddr = 1 << 2
	optBroadcast = 1 << 6
	optReusePort = 1 << 15
)

// InetAddr is an address and a port; IPv4 as IPv6 maps it (::ffff:a.b.c.d).
type InetAddr struct {
	IP    [16]byte
	Port  uint16
	_     uint16
	Scope uint32 // sin6_scope_id
}

// InetSocket is what an IP socket has that others have not.
type InetSocket struct {
	Local, Far InetAddr
	// Fin: ends of the stream that passed (Fin...).
	Fin uint32
	// Asked: a connect that was not waited for has not been told its result.
	Asked uint32
	// Bound: the program chose (bound...).
	Bound  uint32
	V6Only uint32
	// Mark is the message with the mark of urgent data, of that generation.
	Mark    store.Ref[SockMsg]
	MarkGen uint32
	// Out is what stands outside for a hidden end, for a connect under way or for UDP.
	Out store.Ref[Outside]
	// Faults are errors that wait (IP_RECVERR): messages of which From is a SockFault.
	// FaultBytes are those in them.
	Faults     store.List[SockMsg]
	FaultBytes uint32
	// Kept are the values of options: key and value, 8 bytes each (SockOption).
	Kept store.Block
}

const (
	FinRecv = 1
	FinSent = 2

	boundIP   = 1
	boundPort = 2
)

// connectTime is how long a connect waits for room at a listener, in ns
// (net.ipv4.tcp_syn_retries: 6).
const connectTime = 127e9

// Ports that are chosen (net.ipv4.ip_local_port_range), and the first that needs
// no privilege (ip_unprivileged_port_start).
const (
	firstAuto = 32768
	lastAuto  = 60999
	firstFree = 1024
)

// inetState is derived: who has which port, which of TCP's listen there (many
// connections may have a listener's port), which connects wait for room.
type inetState struct {
	ports      map[portKey]map[store.Ref[Socket]]struct{}
	listening  map[uint16][]store.Ref[Socket]
	connecting map[uint16]*waiters // by the listener's port
	waits      uint64              // how many there ever were
	next       uint32
	raws       int // how many raw sockets there are
	// groups counts memberships in groups (inetsource.go).
	groups map[[16]byte]*groupCount
}

type portKey struct {
	typ   uint32
	proto int32
	port  uint16
}

var (
	v4Prefix = [12]byte{10: 0xff, 11: 0xff}
	ip6Any   [16]byte
	ip6Loop  = [16]byte{15: 1}
	ip4Any   = ip4(0, 0, 0, 0)
	ip4Loop  = ip4(127, 0, 0, 1)
)

func ip4(a, b, c, d byte) (ip [16]byte) {
	copy(ip[:], v4Prefix[:])
	ip[12], ip[13], ip[14], ip[15] = a, b, c, d
	return ip
}

func isV4(ip [16]byte) bool   { return [12]byte(ip[:12]) == v4Prefix }
func isAny(ip [16]byte) bool  { return ip == ip6Any || ip == ip4Any }
func isMulti(a [16]byte) bool { return a[0] == 0xff || isV4(a) && a[12]>>4 == 0xe }

func isBroadcast(ip [16]byte) bool {
	return ip == ip4(127, 255, 255, 255) || ip == ip4(255, 255, 255, 255)
}

// anyOf is the wildcard of a socket's family.
func anyOf(s *Socket) [16]byte {
	if s.Family == FamilyInet {
		return ip4Any
	}
	return ip6Any
}

// inetAddr decodes a sockaddr. It answers EINVAL for one that is too short and
// EAFNOSUPPORT for another family. An IPv6 socket takes IPv4's if v4 says so.
func inetAddr(s *Socket, a SockAddr, v4 bool) (InetAddr, abi.Errno) {
	n := len(a.Data) + 2
	switch {
	case s.Family == FamilyInet && n < 16, s.Family == FamilyInet6 && n < 24 && !(v4 && a.Family == FamilyInet && n >= 16):
		return InetAddr{}, abi.EINVAL
	case a.Family == FamilyInet && (s.Family == FamilyInet || v4):
		return InetAddr{IP: ip4(a.Data[2], a.Data[3], a.Data[4], a.Data[5]), Port: binary.BigEndian.Uint16(a.Data)}, 0
	case a.Family == FamilyInet6 && s.Family == FamilyInet6:
		x := InetAddr{IP: [16]byte(a.Data[6:22]), Port: binary.BigEndian.Uint16(a.Data)}
		if n >= 28 {
			x.Scope = le32(a.Data[22:])
		}
		return x, 0
	}
	return InetAddr{}, abi.EAFNOSUPPORT
}

// sockAddr is the sockaddr of x as a socket of the family shows it.
func (x InetAddr) sockAddr(family uint32) SockAddr {
	var b []byte
	b = binary.BigEndian.AppendUint16(b, x.Port)
	if family == FamilyInet {
		if isV4(x.IP) {
			b = append(b, x.IP[12:]...)
		} else {
			b = append(b, 0, 0, 0, 0)
		}
		return SockAddr{Family: FamilyInet, Data: append(b, make([]byte, 8)...)}
	}
	b = append(b, 0, 0, 0, 0)
	b = append(b, x.IP[:]...)
	scope := x.Scope
	switch {
	case isLinkLocal(x.IP):
		scope = EthernetIndex
	case !isMulti(x.IP):
		scope = 0
	}
	return SockAddr{Family: FamilyInet6, Data: binary.LittleEndian.AppendUint32(b, scope)}
}

// scoped checks the interface of a link-local address, which is not kept: there is one that has such. Others have
// none. It answers EINVAL for one that names no interface, and for another interface none, another error.
func (x *InetAddr) scoped(none abi.Errno) abi.Errno {
	if !isLinkLocal(x.IP) {
		return 0
	}
	scope := x.Scope
	x.Scope = 0
	switch scope {
	case 0:
		return abi.EINVAL
	case EthernetIndex:
		return 0
	}
	return none
}

func (x inetSockets) Create(c *Call, s *Socket) abi.Errno {
	if s.Proto < 0 || s.Proto > maxProto {
		return abi.EINVAL
	}
	switch s.Type {
	case SockStream:
		if s.Proto != 0 && s.Proto != ProtoTCP {
			return abi.EPROTONOSUPPORT
		}
		s.Proto = ProtoTCP
		s.SndBuf, s.RcvBuf = tcpSndBuf, tcpRcvBuf
	case SockDgram:
		switch s.Proto {
		case 0:
			s.Proto = ProtoUDP
		case ProtoUDP, ProtoUDPLite:
		case ProtoICMP, ProtoICMPv6:
			if (s.Proto == ProtoICMP) != (s.Family == FamilyInet) {
				return abi.EPROTONOSUPPORT
			}
			s.Opts |= optReuseAddr // INET_PROTOSW_REUSE
			if s.Proto == ProtoICMPv6 {
				s.Inet.V6Only = 1
			}
		default:
			return abi.EPROTONOSUPPORT
		}
	case SockRaw:
		if e := x.createRaw(c, s); e != 0 {
			return e
		}
	default:
		return abi.ESOCKTNOSUPPORT
	}
	s.Inet.Local.IP, s.Inet.Far.IP = anyOf(s), anyOf(s)
	return 0
}

func (x inetSockets) Pair(*Call, store.Ref[Socket], store.Ref[Socket]) abi.Errno {
	return abi.EOPNOTSUPP
}

// addPort enters a socket that has a port.
func (k *Kernel) addPort(r store.Ref[Socket], s *Socket) {
	key := portKey{s.Type, s.Proto, s.Inet.Local.Port}
	m := k.io.inet.ports[key]
	if m == nil {
		m = map[store.Ref[Socket]]struct{}{}
		k.io.inet.ports[key] = m
	}
	m[r] = struct{}{}
	if s.Type == SockRaw {
		k.io.inet.raws++
	}
}

// setPort gives a socket a port, or takes it: 0.
func (x inetSockets) setPort(r store.Ref[Socket], port uint16) {
	k := x.k
	s := k.Socks.Mut(r)
	if s.Inet.Local.Port != 0 {
		key := portKey{s.Type, s.Proto, s.Inet.Local.Port}
		delete(k.io.inet.ports[key], r)
		if s.Type == SockRaw {
			k.io.inet.raws--
		}
		if len(k.io.inet.ports[key]) == 0 {
			delete(k.io.inet.ports, key)
		}
	}
	s.Inet.Local.Port = port
	if port != 0 {
		k.addPort(r, s)
	}
}

// overlap says whether an address of each exists that both sockets are bound to.
func overlap(a, b *Socket) bool {
	p, q := a.Inet.Local.IP, b.Inet.Local.IP
	covers := func(any *Socket, ip [16]byte) bool {
		return any.Inet.Local.IP == ip6Any && (!isV4(ip) || any.Inet.V6Only == 0) ||
			any.Inet.Local.IP == ip4Any && (isV4(ip) || ip == ip6Any)
	}
	switch {
	case p == ip4Any && q == ip6Any:
		return b.Inet.V6Only == 0
	case p == ip6Any && q == ip4Any:
		return a.Inet.V6Only == 0
	}
	return p == q || covers(a, q) || covers(b, p)
}

// taken says whether another socket forbids r, with the address that it has, the
// port.
func (x inetSockets) taken(r store.Ref[Socket], port uint16) bool {
	k := x.k
	s := k.Socks.Get(r)
	for o := range k.io.inet.ports[portKey{s.Type, s.Proto, port}] {
		os := k.Socks.Get(o)
		if o == r || !overlap(s, os) {
			continue
		}
		both := s.Opts & os.Opts
		if both&optReuseAddr != 0 && (s.Type == SockDgram || os.State != SockListening) {
			continue
		}
		if both&optReusePort != 0 && s.UID == os.UID {
			continue
		}
		return true
	}
	return false
}

// autoRange answers which ports a socket can be given: the first, and how many.
func (x inetSockets) autoRange(r store.Ref[Socket]) (first, n uint32) {
	lo, hi := uint32(firstAuto), uint32(lastAuto)
	v, _ := x.k.SockOption(r, SockPorts)
	if a := uint32(v) & 0xffff; lo <= a && a <= hi {
		lo = a
	}
	if b := uint32(v) >> 16; lo <= b && b <= hi {
		hi = b
	}
	return lo, hi - lo + 1
}

// autoPort gives a socket a port that nobody has, or, when all are taken, one
// that only connections to elsewhere have. EADDRINUSE.
func (x inetSockets) autoPort(r store.Ref[Socket], far *InetAddr) abi.Errno {
	k := x.k
	st := &k.io.inet
	if st.next == 0 {
		var b [4]byte
		k.Random(b[:])
		st.next = le32(b[:]) | 1
	}
	typ, proto := k.Socks.Get(r).Type, k.Socks.Get(r).Proto
	first, n := x.autoRange(r)
	for i := range n {
		p := uint16(first + (st.next+i)%n)
		if len(st.ports[portKey{typ, proto, p}]) == 0 {
			st.next += i + 1
			x.setPort(r, p)
			return 0
		}
	}
	if far == nil {
		return abi.EADDRINUSE
	}
	for i := range n {
		p := uint16(first + (st.next+i)%n)
		free := true
		for o := range st.ports[portKey{typ, proto, p}] {
			os := k.Socks.Get(o)
			if os.Inet.Bound != 0 || os.State == SockListening || os.Inet.Far == *far {
				free = false
				break
			}
		}
		if free {
			st.next += i + 1
			x.setPort(r, p)
			return 0
		}
	}
	return abi.EADDRNOTAVAIL
}

func (x inetSockets) Bind(c *Call, r store.Ref[Socket], a SockAddr) abi.Errno {
	k := x.k
	s := k.Socks.Get(r)
	if s.Family == FamilyInet && a.Family == 0 && len(a.Data) >= 14 && le32(a.Data[2:]) == 0 {
		a.Family = FamilyInet // as before Linux checked it
	}
	l, e := inetAddr(s, a, false)
	if e == 0 {
		e = l.scoped(abi.ENODEV)
	}
	if e != 0 {
		return e
	}
	switch {
	case s.Family == FamilyInet6 && isV4(l.IP) && s.Inet.V6Only != 0:
		return abi.EINVAL
	case isAny(l.IP) || k.isLocal(l.IP):
	case isV4(l.IP) && (isMulti(l.IP) || isBroadcast(l.IP)):
	case isMulti(l.IP) && s.Type != SockStream:
	default:
		return abi.EADDRNOTAVAIL
	}
	if s.Type == SockRaw {
		if s.State != SockIdle {
			return abi.EINVAL
		}
		m := k.Socks.Mut(r)
		m.Inet.Local.IP, m.Inet.Local.Scope = l.IP, l.Scope
		m.Inet.Bound |= boundIP
		return 0
	}
	if l.Port != 0 && l.Port < firstFree && !s.echo() && !c.Capable(CapNetBind) {
		return abi.EACCES
	}
	if c.Thread().Progress > 0 {
		return x.exposed(c, r)
	}
	if s.State != SockIdle || s.Inet.Local.Port != 0 {
		return abi.EINVAL
	}
	m := k.Socks.Mut(r)
	was := m.Inet.Local
	m.Inet.Local.IP, m.Inet.Local.Scope = l.IP, l.Scope
	if l.Port == 0 {
		e = x.autoPort(r, nil)
	} else if x.taken(r, l.Port) {
		e = abi.EADDRINUSE
	} else {
		x.setPort(r, l.Port)
		k.Socks.Mut(r).Inet.Bound |= boundPort
	}
	m = k.Socks.Mut(r)
	if e != 0 {
		m.Inet.Local = was
		return e
	}
	if !isAny(l.IP) {
		m.Inet.Bound |= boundIP
	}
	return x.exposed(c, r)
}

// route answers the address that packets to ip come from, and where they go: the
// machine itself for the wildcard. ENETUNREACH for what nobody has.
func (x inetSockets) route(s *Socket, ip [16]byte) (src, dst [16]byte, e abi.Errno) {
	switch ip {
	case ip4Any:
		ip = ip4Loop
	case ip6Any:
		ip = ip6Loop
		if isV4(s.Inet.Local.IP) {
			ip = ip4Loop
		}
	}
	if isV4(ip) != isV4(s.Inet.Local.IP) && !isAny(s.Inet.Local.IP) || s.Family == FamilyInet6 && s.Inet.V6Only != 0 && isV4(ip) {
		return src, ip, abi.ENETUNREACH
	}
	if isMulti(ip) && isV4(ip) {
		src, e = x.groupSource(s)
		return src, ip, e
	}
	out := x.k.isOutside(ip)
	if !out && !x.k.isLocal(ip) && !(isBroadcast(ip) && ip[12] == 127) {
		return src, ip, abi.ENETUNREACH
	}
	src = ip6Loop
	switch {
	case out || ip == x.k.eth(ip):
		src = x.k.eth(ip)
	case isV4(ip):
		src = ip4Loop
	}
	if l := s.Inet.Local.IP; !isAny(l) && !isMulti(l) {
		if src = l; out && l != x.k.eth(ip) {
			return src, ip, abi.EINVAL
		}
	}
	return src, ip, 0
}

// listener answers the socket that listens at an address.
func (x inetSockets) listener(to InetAddr, from InetAddr) store.Ref[Socket] {
	k := x.k
	var best store.Ref[Socket]
	score, n := 0, uint32(0)
	for _, o := range k.io.inet.listening[to.Port] {
		v := x.match(k.Socks.Get(o), to.IP)
		if v == 0 || v < score {
			continue
		}
		if v > score {
			best, score, n = o, v, 1
			continue
		}
		// Several share the port: each gets its part of the connections.
		n++
		if h := uint32(from.Port)*2654435761>>8 + uint32(o)*40503; h%n == 0 {
			best = o
		}
	}
	return best
}

// match says how well a socket's own address fits one that is asked for; 0: not.
func (x inetSockets) match(s *Socket, ip [16]byte) int {
	switch l := s.Inet.Local.IP; {
	case l == ip:
		return 3
	case l == ip4Any && isV4(ip):
		return 2
	case l == ip6Any && (!isV4(ip) || s.Inet.V6Only == 0):
		return 1
	}
	return 0
}

// addListener enters a socket that listens.
func (k *Kernel) addListener(r store.Ref[Socket], s *Socket) {
	l := k.io.inet.listening
	l[s.Inet.Local.Port] = append(l[s.Inet.Local.Port], r)
}

// dropListener takes out a socket that listens no more, before its port goes.
func (k *Kernel) dropListener(r store.Ref[Socket]) {
	l, port := k.io.inet.listening, k.Socks.Get(r).Inet.Local.Port
	if i := slices.Index(l[port], r); i >= 0 {
		l[port] = slices.Delete(l[port], i, i+1)
	}
	if len(l[port]) == 0 {
		delete(l, port)
	}
}

func (x inetSockets) Listen(c *Call, r store.Ref[Socket], backlog int32) abi.Errno {
	k := x.k
	s := k.Socks.Get(r)
	if s.Type != SockStream {
		return abi.EOPNOTSUPP
	}
	if s.State != SockIdle && s.State != SockListening || s.Inet.Asked != 0 {
		return abi.EINVAL
	}
	if s.State == SockIdle {
		if s.Inet.Local.Port == 0 {
			if e := x.autoPort(r, nil); e != 0 {
				return e
			}
		} else if x.taken(r, s.Inet.Local.Port) {
			return abi.EADDRINUSE
		}
	}
	m := k.Socks.Mut(r)
	if m.State != SockListening {
		m.State = SockListening
		k.addListener(r, m)
	}
	m.Shut = 0
	m.Backlog = uint32(backlog)
	if backlog < 0 || backlog > 4096 {
		m.Backlog = 4096 // net.core.somaxconn
	}
	k.wakeSock(r, ^uint32(0))
	x.retry(m.Inet.Local.Port, true)
	return x.exposed(c, r)
}

func (x inetSockets) Connect(c *Call, f store.Ref[File], a SockAddr) abi.Errno {
	k := x.k
	r := sockOf(k.Files.Get(f))
	if k.Socks.Get(r).Type != SockStream {
		return x.connectDgram(c, r, a)
	}
	if a.Family == 0 && len(a.Data) > 0 { // AF_UNSPEC
		x.disconnect(c, r)
		return 0
	}
	s := k.Socks.Get(r)
	if s.Inet.Asked == 0 {
		if s.State != SockIdle {
			return abi.EISCONN
		}
		if e := x.begin(r, a); e != 0 {
			return e
		}
		if k.nonblock(f) {
			return abi.EINPROGRESS
		}
	} else if s.State == SockConnecting && k.nonblock(f) {
		return abi.EALREADY
	}
	for {
		s := k.Socks.Get(r)
		switch s.State {
		case SockConnecting:
		case SockIdle:
			e := k.takeSockErr(r)
			if e == 0 {
				e = abi.ECONNABORTED
			}
			x.reset(r)
			return e
		default: // connected, perhaps closed since
			k.Socks.Mut(r).Inet.Asked = 0
			return 0
		}
		d := int64(connectTime)
		if s.SndTimeo > 0 {
			d = min(d, s.SndTimeo)
		}
		switch e := c.Sleep(c.DeadlineIn(d), k.io.socks.at(r)); {
		case e == abi.ETIMEDOUT && s.SndTimeo > 0 && s.SndTimeo < connectTime:
			return abi.EINPROGRESS
		case e == abi.ETIMEDOUT:
			x.fail(r, abi.ETIMEDOUT)
		case e == abi.ErrRestart && s.SndTimeo > 0:
			return abi.EINTR
		case e != 0:
			return e
		}
	}
}

// begin starts a connect: afterwards the socket is connected, waits for a
// listener to have room, or has the error that Connect tells.
func (x inetSockets) begin(r store.Ref[Socket], a SockAddr) abi.Errno {
	k := x.k
	s := k.Socks.Get(r)
	far, e := inetAddr(s, a, false)
	if e == 0 {
		e = far.scoped(abi.ENETUNREACH)
	}
	if e != 0 {
		return e
	}
	if isMulti(far.IP) || isBroadcast(far.IP) {
		return abi.ENETUNREACH
	}
	src, dst, e := x.route(s, far.IP)
	if e != 0 {
		return e
	}
	far.IP = dst
	if s.Inet.Local.Port == 0 {
		if e := x.autoPort(r, &far); e != 0 {
			return abi.EADDRNOTAVAIL
		}
	} else if x.pairTaken(r, src, far) {
		return abi.EADDRNOTAVAIL
	}
	m := k.Socks.Mut(r)
	m.Inet.Local.IP = src
	m.Inet.Far = far
	m.Inet.Asked = 1
	m.Shut, m.Err = 0, 0
	m.State = SockConnecting
	m.growBuf()
	k.passedSyn(m)
	if k.isOutside(dst) || k.isRelayed(far) && x.listener(far, m.Inet.Local) == 0 {
		x.startOut(r)
	} else if !x.try(r) {
		k.await(r)
	}
	return 0
}

// What TCP's buffers are before anybody changed them (net.ipv4.tcp_wmem, tcp_rmem),
// and what Linux grows that for sending to on loopback when it is connected.
const (
	tcpSndBuf   = 16384
	tcpSndGrown = 2626560
	tcpRcvBuf   = 131072
)

func (s *Socket) growBuf() {
	if s.SndBuf == tcpSndBuf {
		s.SndBuf = tcpSndGrown
	}
}

// pairTaken says whether a connection between the addresses exists.
func (x inetSockets) pairTaken(r store.Ref[Socket], src [16]byte, far InetAddr) bool {
	k := x.k
	for o := range k.io.inet.ports[portKey{SockStream, ProtoTCP, k.Socks.Get(r).Inet.Local.Port}] {
		os := k.Socks.Get(o)
		if o != r && (os.State == SockConnected || os.State == SockConnecting) && os.Inet.Local.IP == src && os.Inet.Far == far {
			return true
		}
	}
	return false
}

// try ends a connect that waits, if it can be told how.
func (x inetSockets) try(r store.Ref[Socket]) bool {
	k := x.k
	s := k.Socks.Get(r)
	l := x.listener(s.Inet.Far, s.Inet.Local)
	if l == 0 {
		if s.Inet.Far == s.Inet.Local { // to itself
			k.setPeer(r, r)
			k.Socks.Mut(r).State = SockConnected
			k.passedConnected(s)
			k.wakeSock(r, ^uint32(0))
			return true
		}
		x.fail(r, abi.ECONNREFUSED)
		return true
	}
	ls := k.Socks.Get(l)
	if ls.Pending.N > ls.Backlog {
		return false
	}
	n, e := x.child(r, l)
	if e != 0 {
		x.fail(r, e)
		return true
	}
	k.Socks.Mut(r).State = SockConnected
	k.setPeer(r, n)
	k.setPeer(n, r)
	x.pending().PushBack(&k.Socks.Mut(l).Pending, n)
	k.passedConnected(k.Socks.Get(r))
	k.wakeSock(l, PollIn|PollRdNorm)
	k.wakeSock(r, PollOut|PollWrNorm)
	return true
}

// child makes the other end of a connection to listener l.
func (x inetSockets) child(r, l store.Ref[Socket]) (store.Ref[Socket], abi.Errno) {
	k := x.k
	n, ns := k.Socks.New()
	if n == 0 {
		return 0, abi.ECONNREFUSED
	}
	ls, s := k.Socks.Get(l), k.Socks.Get(r)
	ns.Family, ns.Type, ns.Proto = ls.Family, ls.Type, ls.Proto
	ns.State = SockConnected
	ns.SndBuf, ns.RcvBuf, ns.RcvLowat = ls.SndBuf, ls.RcvBuf, ls.RcvLowat
	ns.growBuf()
	ns.RcvTimeo, ns.SndTimeo = ls.RcvTimeo, ls.SndTimeo
	ns.Opts, ns.Linger, ns.Priority, ns.Marked = ls.Opts, ls.Linger, ls.Priority, ls.Marked
	ns.Ino = k.nextIno()
	ns.Time = k.Clock.Real()
	ns.UID, ns.GID = ls.UID, ls.GID
	ns.Inet.Local, ns.Inet.Far = s.Inet.Far, s.Inet.Local
	ns.Inet.V6Only = ls.Inet.V6Only
	if b := withoutGroups(k.Heap.Bytes(ls.Inet.Kept)); len(b) > 0 {
		ns.Inet.Kept = store.PutString(k.Heap, string(b))
	}
	k.addPort(n, ns)
	return n, 0
}

// stopConnecting: nobody looks any more for room for r.
func (x inetSockets) stopConnecting(r store.Ref[Socket]) {
	if x.k.stopWaiting(r) {
		x.k.acceptMore()
	}
}

// fail ends a connect with an error, to be told by connect or SO_ERROR.
func (x inetSockets) fail(r store.Ref[Socket], e abi.Errno) {
	x.stopConnecting(r)
	x.k.dropOut(r)
	s := x.k.Socks.Mut(r)
	x.k.netStats().Fails++
	if e == abi.EACCES {
		x.k.netStats().Refused++
	}
	if e == abi.ECONNREFUSED {
		x.k.passedRefused(s)
	}
	s.State = SockIdle
	s.Err = uint32(e)
	s.Shut = ShutRecv | ShutSend
	x.k.wakeSock(r, ^uint32(0))
}

// reset makes a socket as it was before it was connected.
func (x inetSockets) reset(r store.Ref[Socket]) {
	s := x.k.Socks.Mut(r)
	s.State, s.Shut, s.Err = SockIdle, 0, 0
	s.Peer, s.PeerGen = 0, 0
	s.Came, s.Sent = 0, 0
	in := &s.Inet
	in.Asked, in.Fin = 0, 0
	in.Far = InetAddr{IP: anyOf(s)}
	if in.Bound&boundIP == 0 {
		in.Local.IP, in.Local.Scope = anyOf(s), 0
	}
	if in.Bound&boundPort == 0 && s.Type == SockDgram {
		x.setPort(r, 0)
	}
}

// disconnect is connect to AF_UNSPEC.
func (x inetSockets) disconnect(c *Call, r store.Ref[Socket]) {
	x.part(c, r, true)
	x.reset(r)
	x.k.wakeSock(r, ^uint32(0))
}

// part ends what a stream has with others: a listener its connections, an end
// its peer; hard, or with bytes that nobody read, as a reset.
func (x inetSockets) part(c *Call, r store.Ref[Socket], hard bool) {
	k := x.k
	s := k.Socks.Get(r)
	switch s.State {
	case SockListening:
		k.Socks.Mut(r).State = SockIdle
		k.dropOut(r)
		k.dropListener(r)
		for k.Socks.Get(r).Pending.N > 0 {
			x.Release(c, x.pending().PopFront(&k.Socks.Mut(r).Pending))
		}
		x.retry(k.Socks.Get(r).Inet.Local.Port, true)
	case SockConnecting:
		k.Socks.Mut(r).State = SockIdle
		x.stopConnecting(r)
		k.dropOut(r)
	case SockConnected:
		if p := k.SockPeer(s); p != 0 && p != r {
			if hard || s.Bytes > 0 {
				x.abort(p)
			} else {
				x.end(p)
			}
			ps := k.Socks.Mut(p)
			ps.Peer, ps.PeerGen = 0, 0
			ps.Sent = k.Socks.Get(r).Came
			k.wakeSock(p, ^uint32(0))
		} else if p == 0 && s.Inet.Fin&FinSent == 0 {
			k.passedLeft(s, tcpFin, nil)
		}
	}
	x.drain(c, r)
}

// abort tells an end of a stream that the other has reset the connection.
func (x inetSockets) abort(r store.Ref[Socket]) {
	s := x.k.Socks.Mut(r)
	if s.State != SockConnected {
		return
	}
	x.k.passedTo(s, tcpRst, nil)
	x.k.netStats().Resets++
	if p := x.k.SockPeer(s); p != 0 && p != r && x.k.Socks.Get(p).State == SockConnected {
		x.k.netStats().Resets++ // it has reset the connection
	}
	s.Err = uint32(abi.ECONNRESET)
	if s.Inet.Fin&FinRecv != 0 {
		s.Err = uint32(abi.EPIPE)
	}
	s.State = SockClosed
	s.Shut = ShutRecv | ShutSend
	x.k.wakeSock(r, ^uint32(0))
	x.k.tell(x.k.io.socks.at(r), ioHup)
}

// end tells an end of a stream that the other sends no more.
func (x inetSockets) end(r store.Ref[Socket]) {
	s := x.k.Socks.Mut(r)
	if s.Inet.Fin&FinRecv == 0 {
		x.k.passedTo(s, tcpFin, nil)
	}
	s.Inet.Fin |= FinRecv
	s.Shut |= ShutRecv
	x.over(r)
	x.k.wakeSock(r, ^uint32(0))
	x.k.tell(x.k.io.socks.at(r), ioIn)
}

// over notes that both directions of a stream have ended.
func (x inetSockets) over(r store.Ref[Socket]) {
	if s := x.k.Socks.Mut(r); s.Inet.Fin == FinRecv|FinSent && s.State == SockConnected {
		s.State = SockClosed
		s.Shut = ShutRecv | ShutSend
	}
}

func (x inetSockets) Accept(c *Call, f store.Ref[File]) (store.Ref[Socket], abi.Errno) {
	k := x.k
	r := sockOf(k.Files.Get(f))
	for {
		s := k.Socks.Get(r)
		if s.Type != SockStream {
			return 0, abi.EOPNOTSUPP
		}
		if s.State != SockListening {
			return 0, abi.EINVAL
		}
		if s.Pending.N > 0 {
			n := x.pending().PopFront(&k.Socks.Mut(r).Pending)
			x.retry(s.Inet.Local.Port, false)
			if o := k.Socks.Get(r).Inet.Out; o != 0 {
				k.kickOut(o)
			}
			return n, 0
		}
		if e := x.wait(c, f, 0, s.RcvTimeo, r); e != 0 {
			return 0, e
		}
	}
}

func (x inetSockets) Name(r store.Ref[Socket], which SockName) (SockAddr, abi.Errno) {
	s := x.k.Socks.Get(r)
	if which == NameOwn {
		return s.Inet.Local.sockAddr(s.Family), 0
	}
	if which == NamePeer && (s.State != SockConnected || s.Inet.Far.Port == 0) { // to Linux port 0 is nobody's
		return SockAddr{}, abi.ENOTCONN
	}
	return s.Inet.Far.sockAddr(s.Family), 0
}

func (x inetSockets) Shutdown(c *Call, r store.Ref[Socket], how uint32) abi.Errno {
	k := x.k
	s := k.Socks.Mut(r)
	switch s.State {
	case SockIdle, SockClosed:
		s.Shut |= how
		k.wakeSock(r, ^uint32(0))
		return abi.ENOTCONN
	case SockListening, SockConnecting:
		if s.State == SockListening && how&ShutRecv == 0 {
			return 0
		}
		x.part(c, r, true)
		x.reset(r)
		k.wakeSock(r, ^uint32(0))
		return 0
	}
	s.Shut |= how
	if s.Type == SockStream && how&ShutSend != 0 && s.Inet.Fin&FinSent == 0 {
		s.Inet.Fin |= FinSent
		if p := k.SockPeer(s); p != 0 {
			x.end(p)
		} else {
			k.passedLeft(s, tcpFin, nil)
		}
		x.over(r)
	}
	k.wakeSock(r, ^uint32(0))
	return 0
}

// bound is how many bytes may wait in a stream's direction from s to p.
func (x inetSockets) bound(s, p *Socket) uint32 {
	return min(s.SndBuf, 1<<18) + min(p.RcvBuf, 1<<18)
}

func (x inetSockets) Poll(r store.Ref[Socket]) uint32 {
	k := x.k
	s := k.Socks.Get(r)
	var m uint32
	if s.State == SockListening {
		if s.Pending.N > 0 {
			m = PollIn | PollRdNorm
		}
		return m
	}
	if s.Err != 0 || s.Inet.Faults.N > 0 {
		m |= PollErr
	}
	if s.Shut == ShutRecv|ShutSend || s.Type == SockStream && (s.State == SockIdle || s.State == SockClosed) {
		m |= PollHup
	}
	if s.Shut&ShutRecv != 0 {
		m |= PollRdHup | PollIn | PollRdNorm
	}
	if s.State == SockConnecting {
		return m
	}
	if at := x.mark(s); at != 0 && k.SockMsgs.Get(at).Urgent&urgRead == 0 {
		m |= PollPri
	}
	if s.Type != SockStream {
		if s.Queue.N > 0 {
			m |= PollIn | PollRdNorm
		}
		return m | PollOut | PollWrNorm | PollWrBand
	}
	if s.Bytes > 0 && s.Bytes >= min(s.RcvLowat, s.RcvBuf/2) {
		m |= PollIn | PollRdNorm
	}
	p := k.SockPeer(s)
	if s.Shut&ShutSend != 0 || p == 0 || k.Socks.Get(p).Bytes <= x.bound(s, k.Socks.Get(p))/3*2 {
		m |= PollOut | PollWrNorm
	}
	return k.pollHost(p, m)
}

func (x inetSockets) Send(c *Call, f store.Ref[File], data []byte, m *SockSend) (int, abi.Errno) {
	k := x.k
	r := sockOf(k.Files.Get(f))
	if k.Socks.Get(r).Type != SockStream {
		return x.sendDgram(c, r, data, m)
	}
	own := *m
	own.Files = nil // files pass local sockets only
	if m.Flags&MsgOOB != 0 && len(data) > 0 {
		// The last byte is urgent; one at a time goes with what is before it.
		own.Flags &^= MsgOOB
		if n := len(data) - 1; n > 0 {
			if done, e := x.Send(c, f, data[:n], &own); done < n || e != 0 {
				return done, e
			}
		}
		e := x.urgent(c, f, r, data[len(data)-1], &own)
		if e == 0 {
			c.noteSent(r, &own, data)
		} else {
			return len(data) - 1, errIfNone(len(data)-1, e)
		}
		return len(data), 0
	}
	for k.Socks.Get(r).State == SockConnecting {
		if e := x.wait(c, f, m.Flags, k.Socks.Get(r).SndTimeo, r); e != 0 {
			return 0, e
		}
	}
	n, e := x.send(c, f, r, data, &own, SockCred{}, func(s *Socket) (store.Ref[Socket], uint32, abi.Errno) {
		if s.Err != 0 {
			return 0, 0, c.sockErr(r)
		}
		if s.State != SockConnected || s.Shut&ShutSend != 0 {
			return 0, 0, abi.EPIPE
		}
		p := k.SockPeer(s)
		if p == 0 { // it has closed: the first bytes find out
			if len(data) > 0 {
				k.passedLeft(s, tcpPsh, data[:min(len(data), 32768)])
				x.abort(r)
			}
			return 0, 0, 0
		}
		ps := k.Socks.Get(p)
		if ps.Shut == ShutRecv|ShutSend && ps.Inet.Fin&FinSent != 0 {
			if len(data) > 0 { // nobody will ever read them
				x.abort(p)
				x.abort(r)
			}
			return 0, 0, 0
		}
		return p, x.bound(s, ps), 0
	})
	if n > 0 {
		c.noteSent(r, &own, data[:n])
	}
	return n, e
}

func (x inetSockets) Recv(c *Call, f store.Ref[File], buf []byte, m *SockRecv) (int, abi.Errno) {
	k := x.k
	r := sockOf(k.Files.Get(f))
	if m.Flags&MsgErrQueue != 0 {
		return x.takeFault(r, buf, m)
	}
	if k.Socks.Get(r).Type != SockStream {
		return x.recvDgram(c, f, buf, m)
	}
	flags := m.Flags
	m.Flags = 0
	if flags&MsgOOB != 0 {
		return x.takeUrgent(r, buf, flags, m)
	}
	m.Drop = flags&MsgTrunc != 0
	for {
		s := k.Socks.Get(r)
		if s.State == SockListening {
			return 0, abi.ENOTCONN
		}
		end := s.Shut&ShutRecv != 0 || s.Err != 0 || s.State == SockClosed
		if s.Bytes > 0 {
			want := min(len(buf), int(min(s.RcvLowat, s.RcvBuf/2)))
			if flags&MsgWaitAll != 0 {
				want = min(len(buf), int(s.RcvBuf/2))
			}
			if end || int(s.Bytes) >= want || flags&MsgDontWait != 0 || k.nonblock(f) {
				return x.takeStream(c, r, buf, flags, m), 0
			}
		}
		switch {
		case s.Bytes > 0:
		case s.Inet.Fin&FinRecv != 0:
			return 0, 0
		case s.Err != 0:
			return 0, c.sockErr(r)
		case s.Shut&ShutRecv != 0:
			return 0, 0
		case s.State == SockIdle || s.State == SockClosed:
			return 0, abi.ENOTCONN
		}
		if e := x.waitRead(c, f, flags, s.RcvTimeo, r); e != 0 {
			if s := k.Socks.Get(r); s != nil && s.Bytes > 0 {
				return x.takeStream(c, r, buf, flags, m), 0
			}
			return 0, e
		}
	}
}

func (x inetSockets) Release(c *Call, r store.Ref[Socket]) {
	k := x.k
	k.dropStream(k.Socks.Get(r).Stream)
	k.leftOut(r)
	k.dropOut(r)
	s := k.Socks.Get(r)
	if s.Type == SockStream {
		x.part(c, r, s.Linger == 1 || s.HasFile == 0)
	} else {
		x.drain(c, r)
	}
	k.wakeSock(r, ^uint32(0))
	x.setPort(r, 0)
	k.DropSockFaults(r)
	x.leaveAll(r)
	k.Heap.FreeBlock(k.Socks.Get(r).Inet.Kept)
	k.io.socks.drop(r)
	k.Socks.Free(r)
	if k.io.rights > 0 {
		unixSockets(x).collect(c)
	}
}
