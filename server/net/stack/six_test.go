package stack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"

	"hythe/abi"
	proto "hythe/idl/net"
	"hythe/server/net/core"
)

// IPv6 on a tap device: the test is the link, and has what comes from there word by word.

var (
	tapMAC  = [6]byte{2, 0, 10, 0, 3, 3}
	peerMAC = [6]byte{2, 0, 10, 0, 3, 2}
	tapAddr = netip.MustParseAddr("fd00:10:0:3::3")
	tapLink = netip.MustParseAddr("fe80::aff:fe00:303")
	peer    = netip.MustParseAddr("fd00:10:0:3::2")
	group   = netip.MustParseAddr("ff02::1")
	nobody  = netip.IPv6Unspecified()
)

// Kinds of messages of ICMPv6.
const (
	pingRequest = 128
	pingReply   = 129
	advertises  = 134 // a router
	solicits    = 135 // a neighbour
	tells       = 136 // what was solicited
	redirects   = 137
)

// packet6 is a packet of IPv6, of which next says what data is.
func packet6(from, to netip.Addr, hops, next byte, data []byte) []byte {
	b := []byte{0x60, 0, 0, 0}
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	b = append(b, next, hops)
	f, t := from.As16(), to.As16()
	return append(append(append(b, f[:]...), t[:]...), data...)
}

// sealed has the checksum of what lies upon IPv6 put at a place of b.
func sealed(from, to netip.Addr, next byte, at int, b []byte) []byte {
	f, t := from.As16(), to.As16()
	sum := checksum.Checksum(f[:], 0)
	sum = checksum.Checksum(t[:], sum)
	sum = checksum.Checksum([]byte{byte(len(b) >> 8), byte(len(b)), 0, next}, sum)
	binary.BigEndian.PutUint16(b[at:], ^checksum.Checksum(b, sum))
	return b
}

// message is one of ICMPv6.
func message(from, to netip.Addr, hops, kind byte, body ...byte) []byte {
	return packet6(from, to, hops, 58, sealed(from, to, 58, 2, append([]byte{kind, 0, 0, 0}, body...)))
}

// neighbour is a message of neighbour discovery about an address, with who has it in an option.
func neighbour(from, to netip.Addr, hops, kind, flags, option byte, about netip.Addr, mac [6]byte) []byte {
	a := about.As16()
	body := append([]byte{flags, 0, 0, 0}, a[:]...)
	if option != 0 {
		body = append(append(body, option, 1), mac[:]...)
	}
	return message(from, to, hops, kind, body...)
}

// frame is a packet on Ethernet, to the machine.
func frame(p []byte) []byte {
	return append(append(append(bytes.Clone(tapMAC[:]), peerMAC[:]...), 0x86, 0xdd), p...)
}

// wire is the other end of a tap device.
type wire struct {
	t  testing.TB
	fd int
	n  *node
}

// newWire makes a machine on a tap device. answers says what the others on the link answer to what it sends until it is
// there; probes and every are how it asks for its addresses.
func newWire(t testing.TB, probes uint8, every time.Duration, answers func(frame []byte) [][]byte) *wire {
	t.Helper()
	was := probeEvery
	probeEvery = every
	t.Cleanup(func() { probeEvery = was })
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	check(t, err)
	tv := unix.NsecToTimeval(limit.Nanoseconds())
	check(t, unix.SetsockoptTimeval(ends[1], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv))
	check(t, unix.SetsockoptTimeval(ends[1], unix.SOL_SOCKET, unix.SO_SNDTIMEO, &tv))
	w := &wire{t: t, fd: ends[1], n: &node{t: t, addr: netip.MustParseAddr("10.0.3.3"), news: make(chan struct{})}}
	made := make(chan error, 1)
	go func() {
		var err error
		w.n.s, err = New(&core.LinkConfig{FD: ends[0], Tap: true, MAC: tapMAC, MTU: 1500, Addr: netip.MustParsePrefix("10.0.3.3/24"),
			Addr6: netip.PrefixFrom(tapAddr, 64), LinkLocal: tapLink, Probes: probes}, func(uint64, uint32, bool) {
			w.n.mu.Lock()
			close(w.n.news)
			w.n.news = make(chan struct{})
			w.n.mu.Unlock()
		}, func(error) {})
		made <- err
		_ = unix.Sendto(ends[0], []byte("made"), unix.MSG_DONTWAIT, nil) // no frame
	}()
	for {
		b := w.take()
		if string(b) == "made" {
			break
		}
		for _, a := range answers(b) {
			w.give(a)
		}
	}
	check(t, <-made)
	t.Cleanup(func() {
		w.n.leave()
		unix.Close(w.fd)
	})
	return w
}

func (w *wire) give(b []byte) {
	w.t.Helper()
	_, err := again(func() (int, error) { return unix.Write(w.fd, b) })
	check(w.t, err)
}

func (w *wire) take() []byte {
	w.t.Helper()
	b := make([]byte, 64<<10)
	n, err := again(func() (int, error) { return unix.Read(w.fd, b) })
	check(w.t, err)
	return b[:n]
}

// takeMessage waits for a message of ICMPv6 of a kind, and answers its packet. Meanwhile the peer says where it is.
func (w *wire) takeMessage(kind byte) []byte {
	w.t.Helper()
	for {
		b := w.take()
		if len(b) < 14+41 || b[12] != 0x86 || b[13] != 0xdd || b[14+6] != 58 {
			continue
		}
		p := b[14:]
		if p[40] == solicits && len(p) >= 64 && netip.AddrFrom16([16]byte(p[48:64])) == peer {
			w.give(frame(neighbour(peer, netip.AddrFrom16([16]byte(p[8:24])), 255, tells, 0x60, 2, peer, peerMAC)))
		}
		if p[40] == kind {
			return p
		}
	}
}

// ping asks the machine, and waits for its answer to that.
func (w *wire) ping(n byte) {
	w.t.Helper()
	w.give(frame(message(peer, tapAddr, 64, pingRequest, 0, 1, 0, n)))
	for {
		if p := w.takeMessage(pingReply); len(p) == 48 && p[47] == n {
			return
		}
	}
}

// solicited is the address of IPv6 that a frame asks for before its sender has it; not valid: it is no such frame.
func solicited(b []byte) (a netip.Addr) {
	if len(b) >= 14+64 && b[12] == 0x86 && b[13] == 0xdd && b[14+6] == 58 && b[14+40] == solicits && netip.AddrFrom16([16]byte(b[22:38])) == nobody {
		a = netip.AddrFrom16([16]byte(b[62:78]))
	}
	return a
}

// solicitedGroup is the group of those who have an address that ends as a does (RFC 4291, 2.7.1).
func solicitedGroup(a netip.Addr) netip.Addr {
	b := a.As16()
	return netip.AddrFrom16([16]byte{0xff, 2, 11: 1, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]})
}

func silent([]byte) [][]byte { return nil }

// TestTapAsks: the machine asks for each of its addresses, in the way of RFC 4862, and then has them; it says to a
// switch that watches that it listens for others that ask for them (RFC 3810).
func TestTapAsks(t *testing.T) {
	var asked []netip.Addr
	var listens bool
	w := newWire(t, 1, 10*time.Millisecond, func(b []byte) [][]byte {
		listens = listens || len(b) > 62 && b[12] == 0x86 && b[14+6] == 0 && b[14+40] == 58 && b[14+48] == 143 // behind hop-by-hop options
		if a := solicited(b); a.IsValid() {
			asked = append(asked, a)
			at := a.As16()
			if to := [6]byte(b[:6]); to != [6]byte{0x33, 0x33, 0xff, at[13], at[14], at[15]} || b[14+7] != 255 {
				t.Errorf("for %v it asks %x, %d hops", a, to, b[14+7])
			}
		}
		return nil
	})
	slices.SortFunc(asked, netip.Addr.Compare)
	if !slices.Equal(asked, []netip.Addr{tapAddr, tapLink}) || !listens {
		t.Errorf("it asks for %v, and says that it listens: %v", asked, listens)
	}
	w.ping(1)
	// Who asks for one of them from now on is told that it is ours.
	for _, a := range []netip.Addr{tapAddr, tapLink} {
		w.give(frame(neighbour(nobody, solicitedGroup(a), 255, solicits, 0, 0, a, peerMAC)))
		if p := w.takeMessage(tells); netip.AddrFrom16([16]byte(p[48:64])) != a || [6]byte(p[66:72]) != tapMAC {
			t.Errorf("%v: %x", a, p)
		}
	}
}

// TestTapTaken: an address that another has, or asks for at the same time, is not taken; nor is IPv6 used by the other
// one. By IPv4 the machine goes on. A packet from beyond the link says nothing.
func TestTapTaken(t *testing.T) {
	for _, c := range []struct {
		name  string
		of    netip.Addr
		every time.Duration
		ours  bool
		say   func(a netip.Addr) []byte
	}{
		{"another has it", tapAddr, time.Hour, false, func(a netip.Addr) []byte { return neighbour(a, group, 255, tells, 0x20, 2, a, peerMAC) }},
		{"another has the link-local one", tapLink, time.Hour, false, func(a netip.Addr) []byte { return neighbour(a, group, 255, tells, 0x20, 2, a, peerMAC) }},
		{"another asks for it", tapAddr, time.Hour, false, func(a netip.Addr) []byte {
			return neighbour(nobody, solicitedGroup(a), 255, solicits, 0, 0, a, peerMAC)
		}},
		{"from beyond the link", tapAddr, 10 * time.Millisecond, true, func(a netip.Addr) []byte { return neighbour(a, group, 254, tells, 0x20, 2, a, peerMAC) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWire(t, 1, c.every, func(b []byte) [][]byte {
				switch a := solicited(b); {
				case a == c.of:
					return [][]byte{frame(c.say(a))}
				case a.IsValid() && !c.ours: // so that this one is not waited for an hour
					return [][]byte{frame(neighbour(a, group, 255, tells, 0x20, 2, a, peerMAC))}
				}
				return nil
			})
			_, e := w.n.s.Open(99, core.KindDgram, 99, proto.Six)
			if c.ours != (e == 0) || !c.ours && e != abi.ENETUNREACH {
				t.Errorf("a socket of IPv6: %v", e)
			}
			u := w.n.open(core.KindDgram, 100)
			if e := u.SendTo([]byte("x"), netip.AddrPortFrom(netip.MustParseAddr("10.0.3.2"), 9)); e != 0 {
				t.Errorf("by IPv4: %v", e)
			}
			if got := addresses(w.n.s); !c.ours && len(got) != 0 {
				t.Errorf("it has %v", got)
			}
		})
	}
}

// addresses are those of IPv6 that the stack has, but for groups.
func addresses(s *Stack) (l []netip.Addr) {
	for _, a := range s.s.AllAddresses()[nic] {
		if ip, _ := netip.AddrFromSlice(a.AddressWithPrefix.Address.AsSlice()); a.Protocol == ipv6.ProtocolNumber && !ip.IsMulticast() {
			l = append(l, ip)
		}
	}
	slices.SortFunc(l, netip.Addr.Compare)
	return l
}

// TestTapRouters: whoever says that he is a router, advertises prefixes or redirects gets nothing: neither an address
// nor a route is added, or taken away.
func TestTapRouters(t *testing.T) {
	w := newWire(t, 0, time.Second, silent)
	routes := w.n.s.s.GetRouteTable()
	for i := range 3000 {
		from := netip.AddrFrom16([16]byte{0xfe, 0x80, 8: 1, 14: byte(i >> 8), 15: byte(i)})
		prefix := [16]byte{0x20, 1, 0xd, 0xb8, byte(i >> 8), byte(i)}
		if i == 0 {
			prefix = [16]byte{0xfd, 0, 0, 0x10, 0, 0, 0, 3} // our own, to be over at once
		}
		life := byte(0xff)
		if i%2 == 0 {
			life = 0
		}
		body := []byte{64, 0, life, life, 0, 0, 0, 0, 0, 0, 0, 0,
			1, 1, 2, 0, 0, 0, 0, 1,
			5, 1, 0, 0, 0, 0, 5, 0x00, // an MTU
			3, 4, 64, 0xc0, life, life, life, life, life, life, life, life, 0, 0, 0, 0}
		body = append(body, prefix[:]...)
		w.give(frame(message(from, group, 255, advertises, body...)))
		at, p := from.As16(), peer.As16()
		w.give(frame(message(from, tapAddr, 255, redirects, append(append([]byte{0, 0, 0, 0}, at[:]...), p[:]...)...)))
	}
	w.ping(1)
	if got := addresses(w.n.s); !slices.Equal(got, []netip.Addr{tapAddr, tapLink}) {
		t.Errorf("it has %v", got)
	}
	if got := w.n.s.s.GetRouteTable(); !slices.Equal(got, routes) {
		t.Errorf("its routes are %v", got)
	}
	u := w.n.open(core.KindDgram, 100)
	if e := u.SendTo([]byte("x"), netip.MustParseAddrPort("[2001:db8:1::1]:9")); e != abi.ENETUNREACH {
		t.Errorf("a router that nobody configured: %v", e)
	}
	if m := w.n.s.s.NICInfo()[nic].MTU; m != 1500 {
		t.Errorf("the MTU is %d", m)
	}
}

// TestTapNeighbours: however many neighbours there seem to be, few are remembered; who is one is answered then, too.
func TestTapNeighbours(t *testing.T) {
	w := newWire(t, 0, time.Second, silent)
	taken := make(chan bool)
	go func() { // the answers
		defer close(taken)
		w.takeMessage(pingReply)
	}()
	for i := range 20000 {
		from := netip.AddrFrom16([16]byte{0xfd, 0, 0, 0x10, 0, 0, 0, 3, 8: 1, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)})
		w.give(frame(neighbour(from, tapAddr, 255, solicits, 0, 1, tapAddr, [6]byte{2, 1, 2, byte(i >> 16), byte(i >> 8), byte(i)})))
	}
	w.give(frame(message(peer, tapAddr, 64, pingRequest, 0, 1, 0, 1)))
	<-taken
	l, e := w.n.s.s.Neighbors(nic, ipv6.ProtocolNumber)
	if e != nil || len(l) > 512 {
		t.Errorf("%d neighbours, %v", len(l), e)
	}
}

// options is a header of options of a destination that say nothing, before what next says.
func options(next byte, rest []byte) []byte {
	return append([]byte{next, 0, 1, 4, 0, 0, 0, 0}, rest...)
}

// fragment is one of a packet, of which next says what its data is.
func fragment(next byte, id uint32, at int, more bool, data []byte) []byte {
	off := uint16(at)
	if more {
		off |= 1
	}
	b := binary.BigEndian.AppendUint16([]byte{next, 0}, off)
	return append(binary.BigEndian.AppendUint32(b, id), data...)
}

// TestTapFragments: headers of extension and fragments, in any order, are what they say; those of which not all comes,
// lie upon others or are behind many headers cost little and nobody else anything.
func TestTapFragments(t *testing.T) {
	w := newWire(t, 0, time.Second, silent)
	u := w.n.open(core.KindDgram, 53)
	data := make([]byte, 3000)
	for i := range data {
		data[i] = byte(i)
	}
	d := append(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16([]byte{3, 231, 0, 53}, uint16(8+len(data))), 0), data...)
	d = sealed(peer, tapAddr, 17, 6, d)
	heard := func(what string) {
		t.Helper()
		buf := make([]byte, 64<<10)
		var n int
		var from netip.AddrPort
		if e := w.n.wait(func() (e abi.Errno) { n, from, e = u.RecvFrom(buf); return e }); e != 0 || !bytes.Equal(buf[:n], data) || from != netip.AddrPortFrom(peer, 999) {
			t.Errorf("%s: %d bytes from %v, %v", what, n, from, e)
		}
	}
	w.give(frame(packet6(peer, tapAddr, 64, 60, options(60, options(44, fragment(17, 1, 1200, true, d[1200:2400]))))))
	w.give(frame(packet6(peer, tapAddr, 64, 60, options(60, options(44, fragment(17, 1, 2400, false, d[2400:]))))))
	w.give(frame(packet6(peer, tapAddr, 64, 60, options(60, options(44, fragment(17, 1, 0, true, d[:1200]))))))
	heard("three fragments behind options")

	was := heap()
	junk := make([]byte, 1448)
	for i := range 30000 { // the first, or the second, of two; some lie upon each other
		w.give(frame(packet6(peer, tapAddr, 64, 44, fragment(17, uint32(100+i), i%2*1448, i%2 == 0, junk))))
		if i%3 == 0 {
			w.give(frame(packet6(peer, tapAddr, 64, 44, fragment(17, uint32(100+i), i%2*1448+8, true, junk))))
		}
	}
	w.ping(1)
	if now := heap(); now > was+32<<20 {
		t.Errorf("%d MiB more for fragments of which the rest never comes", (now-was)>>20)
	}
	// Headers upon headers, of lengths that are no lengths, and a whole datagram in one fragment.
	for n := range 170 {
		p := message(peer, tapAddr, 64, pingRequest, 0, 1, 0, 2)[40:]
		next := byte(58)
		for range n {
			p, next = options(next, p), 60
		}
		w.give(frame(packet6(peer, tapAddr, 64, next, p)))
		p = options(17, nil)
		p[1] = byte(n) // how long it is
		w.give(frame(packet6(peer, tapAddr, 64, 60, append(p, d[:100]...))))
		w.give(frame(packet6(peer, tapAddr, 64, 0, options(0, options(byte(n), d[:200])))))
		w.give(frame(packet6(peer, tapAddr, 64, 43, []byte{58, byte(n), byte(n), 5, 0, 0, 0, 0})))
	}
	w.ping(3)
	w.give(frame(packet6(peer, tapAddr, 64, 44, fragment(17, 7, 0, true, d[:1400]))))
	w.give(frame(packet6(peer, tapAddr, 64, 44, fragment(17, 7, 1400, true, d[1400:2800]))))
	w.give(frame(packet6(peer, tapAddr, 64, 44, fragment(17, 7, 2800, false, d[2800:]))))
	heard("after all that")
	runtime.KeepAlive(w)
}

// FuzzTap gives the machine frames, of IPv6 above all.
func FuzzTap(f *testing.F) {
	add := func(list ...[]byte) { f.Add(joined(list)) }
	add(frame(neighbour(peer, tapAddr, 255, solicits, 0, 1, tapAddr, peerMAC)), frame(message(peer, tapAddr, 64, pingRequest, 0, 1, 0, 2)))
	add(frame(neighbour(tapAddr, group, 255, tells, 0x60, 2, tapAddr, peerMAC)))
	add(frame(message(tapLink, group, 255, advertises, 64, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 4, 64, 0xc0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)))
	add(frame(message(peer, group, 1, 130, 0, 100, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 125, 0, 0)))
	add(frame(packet6(peer, tapAddr, 64, 60, options(44, fragment(17, 1, 0, true, make([]byte, 16))))), frame(packet6(peer, tapAddr, 64, 44, fragment(17, 1, 16, false, make([]byte, 16)))))
	add(frame(packet6(peer, tapAddr, 64, 6, []byte{3, 231, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 255, 255, 0, 0, 0, 0})))
	add(append(append(bytes.Clone(tapMAC[:]), peerMAC[:]...), 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 10, 0, 3, 2, 10, 0, 3, 2, 0, 0, 0, 0, 0, 0, 10, 0, 3, 3))
	w := newWire(f, 0, time.Second, silent)
	over := make(chan bool)
	f.Cleanup(func() { // before the descriptor is another's
		_ = unix.Shutdown(w.fd, unix.SHUT_RDWR)
		<-over
	})
	go func() { // what it answers
		defer close(over)
		b := make([]byte, 64<<10)
		for {
			if n, err := again(func() (int, error) { return unix.Read(w.fd, b) }); err != nil || n == 0 {
				return
			}
		}
	}()
	n := w.n
	l, u := n.open(core.KindListener, 80), n.open(core.KindDgram, 53)
	routes := fmt.Sprint(n.s.s.GetRouteTable())
	f.Fuzz(func(t *testing.T, in []byte) {
		for b := range messages(in) {
			if len(b) > 54+4 && b[12] == 0x86 && b[13] == 0xdd && b[20] == 58 { // else no more than its checksum would be tried
				from, to := netip.AddrFrom16([16]byte(b[22:38])), netip.AddrFrom16([16]byte(b[38:54]))
				b[56], b[57] = 0, 0
				sealed(from, to, 58, 2, b[54:])
			}
			_ = n.s.packet(b)
		}
		buf := make([]byte, 64<<10)
		for {
			c, _, e := l.Accept(7)
			if e != 0 {
				break
			}
			_, _ = c.Recv(buf)
			c.Close(true)
		}
		for {
			if _, _, e := u.RecvFrom(buf); e != 0 {
				break
			}
		}
		if got := addresses(n.s); !slices.Equal(got, []netip.Addr{tapAddr, tapLink}) {
			t.Errorf("it has %v", got)
		}
		if got := fmt.Sprint(n.s.s.GetRouteTable()); got != routes {
			t.Errorf("its routes are %v", got)
		}
	})
}
