package core

import (
	"fmt"
	"net/netip"
	"slices"

	"hythe/abi"
	"hythe/idl/net"
	"hythe/store"
)

// What leaves the machine, by the net server (idl/net). An IP socket stays what it
// is in the machine: a connection is a pair of sockets. Outside, the peer is one that
// no program has (hidden), and a pump carries its queue to a host socket and what
// comes from there to the program's. So all that TCP means is in inet.go.
//
// The pump is pumpOut, for one record of Outside at a time. It looks at what is
// there and starts requests, of which one of each kind is under way for a record. It
// runs before a commit, for the records that something has happened to (kickOut); its
// requests are sent after the commit. docs/network.md.

// NetBackend is the net server (idl/net.Client). Its methods only start something,
// done is called later, without the lock. Bytes that were given are the backend's until then.
type NetBackend interface {
	Events(incarnation uint64, done func(incarnation uint64, events []net.Event, e abi.Errno))
	Bind(id uint64, stream, listen bool, port, families uint32, done func(incarnation uint64, e abi.Errno))
	Connect(id uint64, to netip.AddrPort, done func(incarnation uint64, e abi.Errno))
	Accept(id, seq uint64, done func(incarnation, id uint64, from netip.AddrPort, e abi.Errno))
	Send(id, seq, taken uint64, data []byte, done func(n int, e abi.Errno))
	Recv(id uint64, n int, taken uint64, done func(data []byte, e abi.Errno))
	Shut(id uint64, done func(e abi.Errno))
	Close(id uint64, hard bool, done func())
	SendTo(id uint64, connected bool, dgrams []byte, done func(e abi.Errno))
	SendEcho(id uint64, connected bool, dgrams []byte, done func(e abi.Errno))
	RecvFrom(id uint64, done func(dgrams []byte, e abi.Errno))

	// Lend gets the host's socket of a stream, of which Kernel.HostReady is told what is new from then on.
	// Adopt gives it to the server's next incarnation; Reclaim has what was lent to this one's
	// predecessors taken back. DropHost gives a socket up.
	Lend(id, taken uint64, done func(o ObjectName, e abi.Errno))
	Adopt(id, taken uint64, o ObjectName, done func(incarnation uint64, e abi.Errno))
	Reclaim()
	DropHost(o ObjectName)
	// LookHost answers what such a socket is ready for (Poll...), WaitingHost how many bytes have come,
	// PassedHost how many came and went since it was asked last. They do not wait.
	LookHost(o ObjectName) uint32
	WaitingHost(o ObjectName) uint32
	PassedHost(o ObjectName) (in, out uint64)
	// ArmHost has Kernel.HostReady told once of the next of these events (Poll...).
	ArmHost(o ObjectName, ev uint32)
	hostSets
}

// hostSets are epoll sets of the host's, in which sockets are watched that were lent (lendhostset.go). But for
// NewHostSet they do not wait.
type hostSets interface {
	// NewHostSet makes one.
	NewHostSet(done func(set ObjectName, e abi.Errno))
	DropHostSet(set ObjectName)
	// WatchHost adds a socket with these events (Poll..., EpollET) and data, or (again) changes both.
	WatchHost(set, o ObjectName, ev uint32, data uint64, again bool) abi.Errno
	UnwatchHost(set, o ObjectName)
	// WaitHostSet answers what is ready, which is told as by epoll_wait(2), at most so much, but not what WakeHostSet made
	// ready.
	WaitHostSet(set ObjectName, ev []EpollEvent) int
	// PollHostSet says whether something is ready, or may be.
	PollHostSet(set ObjectName) bool
	// ArmHostSet has Kernel.HostSetReady told once, as soon as something is ready.
	ArmHostSet(set ObjectName)
	// WakeHostSet has all who sleep for a set wake, and find something that has this data; or (not on) nobody any more.
	WakeHostSet(set ObjectName, on bool)
	// WakeData sets the data for WakeHostSet, which nothing else in the set has.
	WakeData(set ObjectName, data uint64)
}

// Published is a port of the machine that the host has, too.
type Published struct {
	UDP   bool
	Guest uint16
}

// Link is the outside of a machine where that is made of packets (docs/network.md): what has a
// port here then has it there, so that others reach it.
type Link struct {
	Addr, Addr6       netip.Prefix // Addr6: of IPv6; not valid: there is none
	Gateway, Gateway6 netip.Addr   // of what is not in the network; not valid: nobody is
	LinkLocal         netip.Addr   // an address of IPv6 beside Addr6; not valid: there is none
	MAC               [6]byte
	MTU               uint32
	// Resolvers are addresses that the host's resolv.conf names, at which guests may ask for names
	// of machines of the network.
	Resolvers []netip.Addr
}

// Outside is a socket of the net server's.
type Outside struct {
	ID    uint64 // at the net server
	Inc   uint64 // the incarnation that has the stream
	State uint32 // out...
	// Sock is who it is for: a stream's hidden end; a program's socket while it
	// connects, of UDP and, in a network of packets, while it listens; 0: nobody any more, or
	// everybody (a published port).
	Sock store.Ref[Socket]
	Hard uint32 // ends as a reset
	Over uint32 // outEnded: the host's end of the stream has come; outShut: ours is told
	// Taken is how many bytes of the stream have come, Seq the number of the last
	// Send or Accept that was answered.
	Taken, Seq uint64
}

const (
	outConnecting = 1
	outStream     = 2
	outDgram      = 3
	outListen     = 4 // a published port of TCP, or a socket that listens
	outListenUDP  = 5
	outClosing    = 6

	outEnded = 1
	outShut  = 2
)

const (
	maxOutside = 1 << 14
	// maxDgrams is how many datagrams wait to leave by one socket; more are lost.
	maxDgrams = 64
	// maxWaiting is how many connections to a published port wait for room at who listens in
	// the machine: more wait at the host's, as it does with those of its own programs.
	maxWaiting = 64
	// maxAccepted is how many records those from outside leave: the rest is for who in the
	// machine connects.
	maxAccepted = maxOutside / 8 * 7
	// orphanTime is how long what a program left when it closed may make no
	// progress, in ns.
	orphanTime = 60e9
)

// outsideState is derived.
type outsideState struct {
	net   NetBackend // nil: there is no outside
	rt    map[store.Ref[Outside]]*outsideRT
	byID  map[uint64]store.Ref[Outside]
	dgram map[uint16]store.Ref[Outside] // published ports of UDP
	dirty []store.Ref[Outside]
	held  []store.Ref[Outside] // ports that take no more for now
	inc   uint64               // the net server's incarnation, as far as is known
	asked bool                 // there is a request for events
	iface *Iface               // eth0 of a link

	hosts map[ObjectName]store.Ref[Outside] // what is lent (lendhost.go)
	busy  map[store.Ref[Outside]]*outsideRT // of what is not any more: what a library may still receive by
	sets  map[ObjectName]*epollRT           // who sleeps there (lendhostset.go)
	nsets int                               // how many of the host's there are, or are being made
	tried store.Ref[File]                   // what the call under way has taken back
	never bool                              // the net server lends nothing

	unreachable int // ports of which the log has heard
}

// outsideRT is the derived part of an Outside.
type outsideRT struct {
	o     store.Ref[Outside]
	dirty bool
	// A Send or SendTo, a Recv, RecvFrom or Accept, and another request under way.
	sending, receiving, other bool
	// What may not be said EAGAIN to; hints.
	writable, readable bool
	bound              bool          // of a link: the net server knows its port
	waits              chan struct{} // somebody waits until it does, and this is closed then; nil: nobody
	watch              *waitEntry
	idents             map[identKey]uint16 // of a raw socket's echo requests
	dgrams             [][]byte
	orphan             func() // cancels the end of what nobody has any more
	hostLending
}

// eth0 and eth6 are the machine's addresses where the host's sockets are its outside; eth6 where
// the host has a way to others by IPv6.
var (
	eth0 = ip4(10, 0, 2, 15)
	eth6 = [16]byte{0xfd, 0, 0, 0x10, 0, 0, 0, 2, 15: 0x15}
)

// hostClients is who is seen as having come by a published port.
var hostClients = ip4(10, 0, 2, 2)

// eth is the one with which the machine speaks to another.
func (k *Kernel) eth(ip [16]byte) [16]byte {
	if isV4(ip) {
		return k.eth4()
	}
	if l := k.Config.Link; isLinkLocal(ip) && l != nil && l.LinkLocal.IsValid() {
		return l.LinkLocal.As16()
	}
	return k.eth6()
}

// eth6 is the machine's address of IPv6 on eth0, if it has one (HasNet6).
func (k *Kernel) eth6() [16]byte {
	if l := k.Config.Link; l != nil {
		return l.Addr6.Addr().As16()
	}
	return eth6
}

// eth4 is the machine's address on eth0.
func (k *Kernel) eth4() [16]byte {
	if l := k.Config.Link; l != nil {
		return l.Addr.Addr().As16()
	}
	return eth0
}

// SetNet gives the machine an outside; before Boot or Recover.
func (k *Kernel) SetNet(b NetBackend) { k.io.out.net = b }

// HasNet says whether the machine has an interface beside lo.
func (k *Kernel) HasNet() bool { return k.io.out.net != nil }

// HasNet6 says whether it reaches others by IPv6, too.
func (k *Kernel) HasNet6() bool { return k.HasNet() && k.Config.Net6 }

// HasLinkLocal says whether it reaches them by their link-local addresses.
func (k *Kernel) HasLinkLocal() bool {
	l := k.Config.Link
	return k.HasNet6() && l != nil && l.LinkLocal.IsValid()
}

// isLinkLocal says whether an address of IPv6 is one of a link (fe80::/10).
func isLinkLocal(ip [16]byte) bool { return ip[0] == 0xfe && ip[1]&0xc0 == 0x80 }

// isLocal says whether an address is the machine's own.
func (k *Kernel) isLocal(ip [16]byte) bool {
	if isLinkLocal(ip) {
		return k.HasLinkLocal() && ip == k.eth(ip)
	}
	return ip == ip6Loop || isV4(ip) && ip[12] == 127 && !isBroadcast(ip) || ip == k.eth4() && k.HasNet() || k.HasNet6() && ip == k.eth6()
}

// isOutside says whether an address is somebody else's whom the net server may
// reach.
func (k *Kernel) isOutside(ip [16]byte) bool {
	if !isV4(ip) {
		if isLinkLocal(ip) {
			return k.HasLinkLocal() && ip != k.eth(ip)
		}
		if !k.HasNet6() || ip == ip6Any || ip == ip6Loop || ip == k.eth6() || isMulti(ip) {
			return false
		}
		l := k.Config.Link
		return l == nil || l.Gateway6.IsValid() || l.Addr6.Contains(netip.AddrFrom16(ip))
	}
	if !k.HasNet() || ip[12] == 0 || ip[12] == 127 || ip == k.eth4() || isMulti(ip) || isBroadcast(ip) {
		return false
	}
	l := k.Config.Link
	if l == nil {
		return true
	}
	a := netip.AddrFrom16(ip).Unmap()
	if l.Addr.Contains(a) {
		f := k.Ethernet()
		return [4]byte(ip[12:]) != f.Cast && a != l.Addr.Masked().Addr()
	}
	return l.Gateway.IsValid() || slices.Contains(l.Resolvers, a) || ip == hostClients && len(k.Config.Published) > 0
}

// Reaches is isOutside, for those who show routes.
func (k *Kernel) Reaches(ip [16]byte) bool { return k.isOutside(ip) }

// isRelayed says whether what goes to an address of the loopback interface where
// nobody is goes to the host's resolver: a guest reads the host's resolv.conf.
func (k *Kernel) isRelayed(a InetAddr) bool {
	if l := k.Config.Link; l != nil && l.Gateway.IsValid() {
		return false // a network that others have made has its own
	}
	return k.HasNet() && a.Port == 53 && isV4(a.IP) && a.IP[12] == 127
}

// hidden says whether a socket is the end of a stream that no program has.
func (s *Socket) hidden() bool { return s.Inet.Out != 0 && s.HasFile == 0 && s.Type == SockStream }

func netAddr(a InetAddr) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(a.IP).Unmap(), a.Port)
}

func inetOf(a netip.AddrPort) InetAddr { return InetAddr{IP: a.Addr().As16(), Port: a.Port()} }

// BootOutside makes the records of the published ports, once for a machine.
func (k *Kernel) BootOutside() {
	if k.io.out.net == nil {
		return
	}
	for i, p := range k.Config.Published {
		if o, m := k.Outs.New(); o != 0 {
			m.ID, m.State = net.PublishedID(i), outListen
			if p.UDP {
				m.State = outListenUDP
			}
			k.addOut(o)
		}
	}
	k.joinLink()
}

// joinLink has the net server start beside the first program where others can ask it something.
func (k *Kernel) joinLink() {
	if st := &k.io.out; k.Config.Link != nil && !st.asked {
		st.asked = true
		k.askEvents()
	}
}

// recoverOutside takes up what the last incarnation left.
func (k *Kernel) recoverOutside() {
	if k.io.out.net == nil {
		return
	}
	streams := false
	k.Outs.Each(func(o store.Ref[Outside], rec *Outside) bool {
		k.addOut(o)
		streams = streams || rec.State == outStream
		return true
	})
	if streams {
		k.ask(func(n NetBackend) { n.Reclaim() })
	}
	k.joinLink()
}

// addOut makes what is derived of a record, and has the pump look at it.
func (k *Kernel) addOut(o store.Ref[Outside]) {
	st := &k.io.out
	if st.rt == nil {
		st.rt, st.byID, st.dgram = map[store.Ref[Outside]]*outsideRT{}, map[uint64]store.Ref[Outside]{}, map[uint16]store.Ref[Outside]{}
	}
	rec := k.Outs.Get(o)
	rt := &outsideRT{o: o, writable: true, readable: true}
	st.rt[o] = rt
	st.byID[rec.ID] = o
	switch rec.State {
	case outStream:
		k.watchOut(o)
	case outListenUDP:
		st.dgram[k.published(rec).Guest] = o
	}
	k.kickOut(o)
	if !st.asked {
		st.asked = true
		k.askEvents()
	}
}

func (k *Kernel) published(rec *Outside) Published {
	for i, p := range k.Config.Published {
		if net.PublishedID(i) == rec.ID {
			return p
		}
	}
	return Published{}
}

// watchOut has the pump look when something happens to a hidden end.
func (k *Kernel) watchOut(o store.Ref[Outside]) {
	if p := k.Outs.Get(o).Sock; p != 0 {
		k.io.out.rt[o].watch = k.io.socks.at(p).Watch(func(uint32) { k.kickOut(o) })
	}
}

// kickOut has the pump look at a record before the next commit.
func (k *Kernel) kickOut(o store.Ref[Outside]) {
	if rt := k.io.out.rt[o]; rt != nil && !rt.dirty {
		rt.dirty = true
		k.io.out.dirty = append(k.io.out.dirty, o)
	}
}

// pumpAll runs the pump for the records that something has happened to.
func (k *Kernel) pumpAll() {
	st := &k.io.out
	for len(st.dirty) > 0 {
		list := st.dirty
		st.dirty = nil
		for _, o := range list {
			if rt := st.rt[o]; rt != nil && rt.dirty {
				rt.dirty = false
				k.pumpOut(o, rt)
			}
		}
	}
}

// ask sends a request after the commit.
func (k *Kernel) ask(f func(n NetBackend)) {
	n := k.io.out.net
	k.afterCommit(func() { f(n) })
}

// answered enters the kernel with the answer to a request of rt's; false: that is
// gone.
func (k *Kernel) answered(rt *outsideRT, f func(o store.Ref[Outside], rec *Outside)) {
	k.Enter()
	defer k.Leave()
	if k.io.out.rt[rt.o] != rt {
		return
	}
	k.kickOut(rt.o)
	f(rt.o, k.Outs.Get(rt.o))
}

// askEvents asks what has happened, for as long as the machine lives.
func (k *Kernel) askEvents() {
	inc := k.io.out.inc
	k.ask(func(n NetBackend) {
		n.Events(inc, func(inc uint64, events []net.Event, e abi.Errno) {
			k.Enter()
			defer k.Leave()
			st := &k.io.out
			if e != 0 {
				// The net server is gone for good: the machine ends.
				st.asked = false
				return
			}
			if inc != st.inc {
				k.netDied(inc)
			}
			for _, v := range events {
				o := st.byID[v.ID]
				rt := st.rt[o]
				if o == 0 || rt == nil {
					continue
				}
				rt.readable = rt.readable || v.Bits&net.In != 0
				if len(v.Data) > 0 && !k.takeEvent(o, rt, &v) {
					rt.readable = true
				}
				rt.writable = rt.writable || v.Bits&net.Out != 0
				k.kickOut(o)
			}
			k.askEvents()
		})
	})
}

// takeEvent takes what came along with an event, if it is what follows and there is
// room for it. Else it is asked for.
func (k *Kernel) takeEvent(o store.Ref[Outside], rt *outsideRT, v *net.Event) bool {
	rec := k.Outs.Get(o)
	if rec.State != outStream || rt.receiving || rec.Taken != v.Off || rec.Over&outEnded != 0 {
		return false
	}
	r := k.SockPeer(k.Socks.Get(rec.Sock))
	if r == 0 || k.Socks.Get(r).Bytes >= recvBound(k.Socks.Get(r)) || !k.sockHas(k.Socks.Get(r)) {
		return false
	}
	rt.readable = rt.readable || len(v.Data) > net.Small
	k.arrived(o, v.Data)
	return true
}

// recvBound is how many bytes from outside may wait for a program.
func recvBound(s *Socket) uint32 { return min(max(s.RcvBuf, 4096), 1<<18) }

// netDied: another incarnation of the net server serves. What it does not know has
// ended; what had not begun begins again.
func (k *Kernel) netDied(inc uint64) {
	st := &k.io.out
	st.inc = inc
	for o, rt := range st.rt {
		if rec := k.Outs.Get(o); rec.State == outStream && rec.Inc != inc {
			if rt.state == lendHeld {
				k.adoptHost(o, rt)
				continue
			}
			k.breakOut(o, abi.ECONNRESET)
			continue
		}
		rt.readable, rt.writable, rt.bound = true, true, false
		k.kickOut(o)
	}
}

// bindOut tells the net server of a link which port a record's socket has; false: it does not
// know yet.
func (k *Kernel) bindOut(o store.Ref[Outside], rec *Outside, rt *outsideRT) bool {
	if k.Config.Link == nil || rec.Sock == 0 || rt.bound {
		return true
	}
	s := k.Socks.Get(rec.Sock)
	if s.Type == SockRaw || s.echo() {
		return true
	}
	if rt.other {
		return false
	}
	rt.other = true
	id, port, stream, listen := rec.ID, uint32(s.Inet.Local.Port), s.Type == SockStream, rec.State == outListen
	families := k.families(s)
	k.ask(func(n NetBackend) {
		n.Bind(id, stream, listen, port, families, func(inc uint64, e abi.Errno) {
			k.answered(rt, func(o store.Ref[Outside], rec *Outside) {
				rt.other = false
				if inc < k.io.out.inc {
					return // there it is gone; asked again
				}
				rt.bound, rt.readable, rt.writable = true, true, true
				rt.known()
				switch {
				case e == 0:
				case rec.State == outConnecting:
					if e == abi.EADDRINUSE {
						e = abi.EADDRNOTAVAIL
					}
					inetSockets{sockQueues{k}}.fail(rec.Sock, e)
				case rec.State == outDgram:
					k.failedDgram(rec, e, true)
				default: // it listens, in the machine
					k.unreachable(port, e)
				}
			})
		})
	})
	return false
}

// exposed makes a socket known as expose does, and waits until others reach it: the caller may tell
// them. A call that is made again only waits. The lock is given up where there is a link. ENOBUFS.
func (x inetSockets) exposed(c *Call, r store.Ref[Socket]) abi.Errno {
	k := x.k
	if e := x.expose(r); e != 0 {
		return e
	}
	rt := k.io.out.rt[k.Socks.Get(r).Inet.Out]
	if k.Config.Link == nil || rt == nil || rt.bound {
		return 0
	}
	if rt.waits == nil {
		rt.waits = make(chan struct{})
	}
	waits := rt.waits
	c.MutThread().Progress = 1 // it has been done
	c.Unlocked(func() { <-waits })
	return 0
}

// known has who waits in exposed go on.
func (rt *outsideRT) known() {
	if rt.waits != nil {
		close(rt.waits)
		rt.waits = nil
	}
}

// families are those of which a socket has an address that others reach (net.Four, net.Six).
func (k *Kernel) families(s *Socket) (f uint32) {
	x := inetSockets{sockQueues{k}}
	if x.match(s, k.eth4()) != 0 {
		f = net.Four
	}
	if k.HasNet6() && x.match(s, k.eth6()) != 0 || k.HasLinkLocal() && x.match(s, k.Config.Link.LinkLocal.As16()) != 0 {
		f |= net.Six
	}
	return f
}

// maxUnreachable is how many lines of the log are about ports that others do not reach.
const maxUnreachable = 64

// unreachable says in the log that others cannot connect to a port on which a program listens: the
// program has been told that it does, and in the machine that is so.
func (k *Kernel) unreachable(port uint32, e abi.Errno) {
	st := &k.io.out
	if st.unreachable++; st.unreachable > maxUnreachable {
		return
	}
	k.Host.Log(fmt.Sprintf("TCP port %d of the machine is not reached by others: %s", port, e.Name()))
	if st.unreachable == maxUnreachable {
		k.Host.Log("further such ports are not said")
	}
}

// expose makes a socket that has a port known to others in a network of packets. ENOBUFS.
func (x inetSockets) expose(r store.Ref[Socket]) abi.Errno {
	k := x.k
	s := k.Socks.Get(r)
	if k.Config.Link == nil || s.Inet.Out != 0 || s.Inet.Local.Port == 0 || k.families(s) == 0 {
		return 0
	}
	switch {
	case s.State == SockListening:
		_, e := k.newOut(k.nextIno(), outListen, r)
		return e
	case s.Type == SockDgram && s.Proto == ProtoUDP && (s.State != SockConnected || k.isOutside(s.Inet.Far.IP)):
		_, e := k.newOut(k.nextIno(), outDgram, r)
		return e
	}
	return 0
}

// newOut makes a record. ENOBUFS.
func (k *Kernel) newOut(id uint64, state uint32, s store.Ref[Socket]) (store.Ref[Outside], abi.Errno) {
	o, m := k.Outs.New()
	if o == 0 {
		return 0, abi.ENOBUFS
	}
	m.ID, m.State, m.Sock = id, state, s
	k.Socks.Mut(s).Inet.Out = o
	k.addOut(o)
	k.io.out.rt[o].readable = false // it is not opened yet
	return o, 0
}

// dropOut ends what a program's socket has outside, if it has any by itself: a
// connect under way, UDP.
func (k *Kernel) dropOut(r store.Ref[Socket]) {
	s := k.Socks.Get(r)
	if s.Inet.Out == 0 || s.hidden() {
		return
	}
	o := s.Inet.Out
	k.Socks.Mut(r).Inet.Out = 0
	k.endOut(o, true)
}

// leftOut: a program's end of a stream goes. Its hidden peer may not be told of
// that by other means.
func (k *Kernel) leftOut(r store.Ref[Socket]) {
	if len(k.io.out.rt) == 0 {
		return
	}
	if p := k.SockPeer(k.Socks.Get(r)); p != 0 && p != r {
		if o := k.Socks.Get(p).Inet.Out; o != 0 {
			k.kickOut(o)
		}
	}
}

// endOut ends a record: the hidden end goes at once, the host socket when the net
// server says so.
func (k *Kernel) endOut(o store.Ref[Outside], hard bool) {
	rec, rt := k.Outs.Mut(o), k.io.out.rt[o]
	if rec.State == outClosing {
		return
	}
	p, stream := rec.Sock, rec.State == outStream
	rt.known()
	rec.State, rec.Sock, rec.Hard = outClosing, 0, 0
	if hard {
		rec.Hard = 1
	}
	rt.dgrams = nil
	k.dropHost(rt)
	if rt.orphan != nil {
		rt.orphan()
		rt.orphan = nil
	}
	if rt.watch != nil {
		rt.watch.Unwatch()
		rt.watch = nil
	}
	if p != 0 {
		k.Socks.Mut(p).Inet.Out = 0
		if stream {
			inetSockets{sockQueues{k}}.Release(nil, p)
		}
	}
	k.kickOut(o)
}

// breakOut ends a stream with an error that the program's end is told.
func (k *Kernel) breakOut(o store.Ref[Outside], e abi.Errno) {
	if p := k.Outs.Get(o).Sock; p != 0 {
		if r := k.SockPeer(k.Socks.Get(p)); r != 0 {
			was := k.Socks.Get(r).State
			inetSockets{sockQueues{k}}.abort(r)
			if m := k.Socks.Mut(r); was == SockConnected && m.Err == uint32(abi.ECONNRESET) {
				m.Err = uint32(e)
			}
		}
	}
	k.endOut(o, true)
}

// pumpOut looks at a record and starts what there is to do.
func (k *Kernel) pumpOut(o store.Ref[Outside], rt *outsideRT) {
	rec := k.Outs.Get(o)
	if rec.State != outClosing && rec.State != outStream && !k.bindOut(o, rec, rt) {
		return
	}
	switch rec.State {
	case outConnecting:
		k.pumpConnect(rec, rt)
	case outStream:
		k.pumpStream(o, rec, rt)
	case outDgram, outListenUDP:
		k.pumpDgrams(rec, rt)
	case outListen:
		k.pumpAccept(rec, rt)
	case outClosing:
		if rt.other || rt.sending || rt.receiving {
			return
		}
		rt.other = true
		id, hard := rec.ID, rec.Hard != 0
		k.ask(func(n NetBackend) {
			n.Close(id, hard, func() {
				k.answered(rt, func(o store.Ref[Outside], rec *Outside) {
					delete(k.io.out.byID, rec.ID)
					delete(k.io.out.rt, o)
					delete(k.io.out.busy, o)
					k.Outs.Free(o)
					k.acceptMore()
				})
			})
		})
	}
}

// startOut has a socket connect outside.
func (x inetSockets) startOut(r store.Ref[Socket]) {
	if _, e := x.k.newOut(x.k.nextIno(), outConnecting, r); e != 0 {
		x.fail(r, e)
	}
}

func (k *Kernel) pumpConnect(rec *Outside, rt *outsideRT) {
	if rt.other || !rt.writable {
		return
	}
	rt.other, rt.writable = true, false
	id, to := rec.ID, netAddr(k.Socks.Get(rec.Sock).Inet.Far)
	k.ask(func(n NetBackend) {
		n.Connect(id, to, func(inc uint64, e abi.Errno) {
			k.answered(rt, func(o store.Ref[Outside], rec *Outside) {
				rt.other = false
				switch {
				case rec.State != outConnecting:
				case e == abi.EINPROGRESS || e == 0 && inc < k.io.out.inc:
					if inc < k.io.out.inc { // what has begun there is gone
						rt.writable = true
					}
				case e != 0:
					inetSockets{sockQueues{k}}.fail(rec.Sock, e)
				default:
					k.connectedOut(o, inc)
				}
			})
		})
	})
}

// connectedOut gives a socket that connects its hidden peer.
func (k *Kernel) connectedOut(o store.Ref[Outside], inc uint64) {
	r := k.Outs.Get(o).Sock
	p, e := k.newHidden(o, inc)
	if e != 0 {
		inetSockets{sockQueues{k}}.fail(r, e)
		return
	}
	s := k.Socks.Mut(r)
	s.State = SockConnected
	s.Inet.Out = 0
	ps := k.Socks.Mut(p)
	ps.State = SockConnected
	ps.Inet.Local, ps.Inet.Far = s.Inet.Far, s.Inet.Local
	k.setPeer(r, p)
	k.setPeer(p, r)
	k.passedConnected(s)
	k.wakeSock(r, PollOut|PollWrNorm)
}

// newHidden makes the hidden end of a stream. ENOBUFS.
func (k *Kernel) newHidden(o store.Ref[Outside], inc uint64) (store.Ref[Socket], abi.Errno) {
	p, s := k.Socks.New()
	if p == 0 {
		return 0, abi.ENOBUFS
	}
	s.Family, s.Type, s.Proto = FamilyInet, SockStream, ProtoTCP
	s.SndBuf, s.RcvBuf, s.RcvLowat = tcpSndGrown, tcpRcvBuf, 1
	s.Ino = k.nextIno()
	s.Inet.Local.IP, s.Inet.Far.IP = ip4Any, ip4Any
	s.Inet.Out = o
	rec := k.Outs.Mut(o)
	rec.State, rec.Sock, rec.Inc = outStream, p, inc
	rt := k.io.out.rt[o]
	rt.readable, rt.writable = true, true
	k.watchOut(o)
	k.kickOut(o)
	return p, 0
}

func (k *Kernel) pumpStream(o store.Ref[Outside], rec *Outside, rt *outsideRT) {
	p := rec.Sock
	ps := k.Socks.Get(p)
	r := k.SockPeer(ps)
	switch {
	case ps.State == SockConnecting:
		return // waits for a listener to have room
	case ps.State == SockIdle || ps.Err != 0:
		k.endOut(o, true) // refused, or reset by the program's end
		return
	}
	done := ps.Bytes == 0 && ps.Inet.Fin&FinRecv != 0
	switch {
	case ps.Bytes > 0:
		k.pumpSend(p, rec, rt)
	case done && (r == 0 || rec.Over == outEnded|outShut):
		if !rt.sending {
			k.endOut(o, false)
		}
		return
	case done && rec.Over&outShut == 0 && !rt.other && !rt.sending:
		rt.other = true
		id := rec.ID
		k.ask(func(n NetBackend) {
			n.Shut(id, func(e abi.Errno) {
				k.answered(rt, func(o store.Ref[Outside], rec *Outside) {
					rt.other = false
					k.Outs.Mut(o).Over |= outShut
				})
			})
		})
	}
	if r == 0 {
		k.orphanOut(rec, rt)
	} else if rec.Over&outEnded == 0 {
		k.pumpRecv(r, rec, rt)
	}
}

// orphanOut bounds how long a host that takes nothing keeps what a program left.
func (k *Kernel) orphanOut(rec *Outside, rt *outsideRT) {
	if rt.orphan != nil {
		return
	}
	seq := rec.Seq
	rt.orphan = k.Clock.After(k.Clock.Mono()+orphanTime, func() {
		k.answered(rt, func(o store.Ref[Outside], rec *Outside) {
			rt.orphan = nil
			if rec.State == outStream && rec.Seq == seq {
				k.endOut(o, true)
			}
		})
	})
}

func (k *Kernel) pumpSend(p store.Ref[Socket], rec *Outside, rt *outsideRT) {
	if rt.sending || !rt.writable {
		return
	}
	rt.sending, rt.writable = true, false
	id, seq, taken := rec.ID, rec.Seq+1, rec.Taken
	k.ask(func(n NetBackend) {
		data := k.queued(p, net.MaxData)
		n.Send(id, seq, taken, data, func(n int, e abi.Errno) {
			k.answered(rt, func(o store.Ref[Outside], rec *Outside) {
				rt.sending = false
				switch {
				case rec.State != outStream || e == abi.EAGAIN:
				case e == abi.EPIPE:
					k.breakOut(o, abi.ECONNRESET)
				case e != 0:
					k.breakOut(o, e)
				default:
					k.Outs.Mut(o).Seq = seq
					rt.writable = rt.writable || n == len(data)
					k.consume(rec.Sock, n)
				}
			})
		})
	})
}

// queued answers a copy of the first bytes of a stream's queue.
func (k *Kernel) queued(p store.Ref[Socket], most int) []byte {
	s := k.Socks.Get(p)
	b := make([]byte, 0, min(int(s.Bytes), most))
	for at := s.Queue.Head; at != 0 && len(b) < cap(b); {
		m := k.SockMsgs.Get(at)
		d := k.Heap.Bytes(m.Data)[m.Off:m.Data.Len]
		b = append(b, d[:min(len(d), cap(b)-len(b))]...)
		at = m.Link.Next
	}
	return b
}

// consume takes bytes off a stream's queue; its peer may send more.
func (k *Kernel) consume(p store.Ref[Socket], n int) {
	u := sockQueues{k}
	for n > 0 {
		at := k.Socks.Get(p).Queue.Head
		if at == 0 {
			break
		}
		m := k.SockMsgs.Get(at)
		t := min(n, int(m.Data.Len-m.Off))
		n -= t
		if m.Off+uint32(t) == m.Data.Len {
			u.freeMsg(nil, p, at, false)
			continue
		}
		k.SockMsgs.Mut(at).Off += uint32(t)
		k.Socks.Mut(p).Bytes -= uint32(t)
	}
	if r := k.SockPeer(k.Socks.Get(p)); r != 0 {
		k.wakeSock(r, PollOut|PollWrNorm)
	}
}

func (k *Kernel) pumpRecv(r store.Ref[Socket], rec *Outside, rt *outsideRT) {
	rs := k.Socks.Get(r)
	most := recvBound(rs)
	if rt.receiving || !rt.readable || rt.state != lendNone || k.hostBusy(rt) || rs.Bytes >= most || !k.sockHas(rs) {
		return
	}
	rt.receiving, rt.readable = true, false
	id, want, taken := rec.ID, min(int(most-rs.Bytes), net.MaxData), rec.Taken
	k.ask(func(n NetBackend) {
		n.Recv(id, want, taken, func(data []byte, e abi.Errno) {
			k.answered(rt, func(o store.Ref[Outside], rec *Outside) {
				rt.receiving = false
				if rec.State != outStream || e == abi.EAGAIN {
					return
				}
				if e != 0 {
					k.breakOut(o, e)
					return
				}
				rt.readable = rt.readable || len(data) == want || len(data) > net.Small
				k.arrived(o, data)
			})
		})
	})
}

// arrived puts what came from the host into the queue of the program's end; no
// bytes are the end of the stream.
func (k *Kernel) arrived(o store.Ref[Outside], data []byte) {
	rec := k.Outs.Mut(o)
	x := inetSockets{sockQueues{k}}
	p := rec.Sock
	r := k.SockPeer(k.Socks.Get(p))
	if len(data) == 0 {
		rec.Over |= outEnded
		m := k.Socks.Mut(p)
		m.Shut |= ShutSend
		m.Inet.Fin |= FinSent
		if r != 0 {
			x.end(r)
		}
		x.over(p)
		return
	}
	rec.Taken += uint64(len(data))
	if r == 0 {
		return
	}
	for len(data) > 0 {
		n := min(len(data), 32768)
		if e := x.append(r, data[:n], SockCred{}, nil); e != 0 {
			k.breakOut(o, e)
			return
		}
		k.came(r, tcpPsh, data[:n])
		data = data[n:]
	}
	k.wakeSock(r, PollIn|PollRdNorm)
}

// pumpAccept takes connections to a published port: each is a hidden end that
// connects to who listens there, in the machine.
func (k *Kernel) pumpAccept(rec *Outside, rt *outsideRT) {
	if rt.receiving || !rt.readable {
		return
	}
	full := k.Outs.Len() >= maxAccepted
	if rec.Sock == 0 {
		full = full || k.waiting(k.published(rec).Guest) >= maxWaiting
	} else if s := k.Socks.Get(rec.Sock); s.Pending.N > s.Backlog {
		return // who wait, wait there: others on the network may be many
	}
	if full {
		k.io.out.held = append(k.io.out.held, rt.o)
		return
	}
	rt.receiving, rt.readable = true, false
	id, seq := rec.ID, rec.Seq+1
	k.ask(func(n NetBackend) {
		n.Accept(id, seq, func(inc, id uint64, from netip.AddrPort, e abi.Errno) {
			k.answered(rt, func(o store.Ref[Outside], rec *Outside) {
				rt.receiving = false
				if e != 0 {
					return
				}
				rt.readable = true
				k.Outs.Mut(o).Seq = seq
				port := k.published(rec).Guest
				if rec.Sock != 0 {
					port = k.Socks.Get(rec.Sock).Inet.Local.Port
				}
				k.acceptedOut(inc, id, inetOf(from), port)
			})
		})
	})
}

// acceptMore has the pump look again at the published ports that it held, for there may be
// room.
func (k *Kernel) acceptMore() {
	held := k.io.out.held
	k.io.out.held = nil
	for _, o := range held {
		k.kickOut(o)
	}
}

func (k *Kernel) acceptedOut(inc, id uint64, from InetAddr, port uint16) {
	o, m := k.Outs.New()
	if o == 0 {
		// There is no room for a record of it.
		k.ask(func(n NetBackend) { n.Close(id, true, func() {}) })
		return
	}
	m.ID, m.State, m.Inc = id, outClosing, inc
	k.addOut(o)
	p, e := k.newHidden(o, inc)
	if e != 0 {
		return // it closes
	}
	s := k.Socks.Mut(p)
	s.State = SockConnecting
	s.Inet.Local, s.Inet.Far = from, InetAddr{IP: k.eth(from.IP), Port: port}
	k.passedSyn(s)
	if x := (inetSockets{sockQueues{k}}); !x.try(p) {
		k.await(p)
	}
}
