package netswitch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hythe/idl/vnet"
)

// limit is what catches a hang.
const limit = 60 * time.Second

var labs atomic.Int32

type lab struct {
	t    testing.TB
	name string
	s    *Switch
	over chan error
}

func newLab(t testing.TB, uid int) *lab {
	t.Helper()
	l := &lab{t: t, name: fmt.Sprintf("@hythe-switch-test/%d/%d", os.Getpid(), labs.Add(1)), over: make(chan error, 1)}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	l.check(err)
	l.check(unix.Bind(fd, &unix.SockaddrUnix{Name: l.name}))
	l.check(unix.Listen(fd, 64))
	l.s, err = New(fd, uint32(uid))
	l.check(err)
	go func() {
		err := l.s.Run(int(limit / time.Millisecond))
		unix.Close(fd) // not before: it would take who comes to the next one that listens by that number
		l.over <- err
	}()
	return l
}

func (l *lab) check(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// end demands that the switch ends, for its last machine has left.
func (l *lab) end() {
	l.t.Helper()
	select {
	case err := <-l.over:
		l.check(err)
	case <-time.After(limit):
		l.t.Fatal("the switch does not end")
	}
}

type plug struct {
	l    *lab
	fd   int
	addr netip.Addr
}

func (l *lab) dial() *plug {
	l.t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	l.check(err)
	l.check(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: int64(limit / time.Second)}))
	l.check(again(func() error { return unix.Connect(fd, &unix.SockaddrUnix{Name: l.name}) }))
	p := &plug{l: l, fd: fd}
	l.t.Cleanup(p.close)
	return p
}

// close is to be called once and does nothing if it is called again: the number may be another's
// by then, in this process the switch's.
func (p *plug) close() {
	if p.fd >= 0 {
		unix.Close(p.fd)
		p.fd = -1
	}
}

// again calls f until no signal interrupts it: Go's own come at any time.
func again(f func() error) (err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		err = f()
	}
	return err
}

func (p *plug) send(b []byte) {
	p.l.t.Helper()
	p.l.check(again(func() error {
		_, err := unix.SendmsgN(p.fd, b, nil, nil, unix.MSG_NOSIGNAL)
		return err
	}))
}

// next answers a message, none at the end.
func (p *plug) next() []byte {
	p.l.t.Helper()
	b := make([]byte, vnet.MaxMessage)
	n := 0
	err := again(func() (err error) {
		n, _, err = unix.Recvfrom(p.fd, b, 0)
		return err
	})
	if err == unix.ECONNRESET { // the switch has closed it with messages unread
		return nil
	}
	p.l.check(err)
	return b[:n]
}

func (l *lab) join(name string, want netip.Addr) *plug {
	l.t.Helper()
	p := l.dial()
	p.send((&vnet.Join{Name: name, Want: want}).Append(nil))
	j, err := vnet.ParseJoined(p.next())
	l.check(err)
	p.addr = j.Addr.Addr()
	return p
}

// table asks, and answers the table, with packets that came before it.
func (p *plug) table(number uint32) (members []vnet.Member, packets [][]byte) {
	p.l.t.Helper()
	p.send(vnet.AppendAsk(nil, number))
	for {
		b := p.next()
		if k, _ := vnet.Kind(b); k != vnet.KindTable {
			packets = append(packets, b)
			continue
		}
		n, l, err := vnet.ParseTable(b)
		p.l.check(err)
		if n == number {
			return l, packets
		}
	}
}

func packet(from, to netip.Addr, n int) []byte {
	b := make([]byte, 20+n)
	b[0] = 0x45
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	f, t := from.As4(), to.As4()
	copy(b[12:], f[:])
	copy(b[16:], t[:])
	return b
}

// packet6 is one of IPv6, with that hop limit.
func packet6(from, to netip.Addr, hops byte, n int) []byte {
	b := make([]byte, 40+n)
	b[0], b[6], b[7] = 0x60, 59, hops // no next header
	binary.BigEndian.PutUint16(b[4:], uint16(n))
	f, t := from.As16(), to.As16()
	copy(b[8:], f[:])
	copy(b[24:], t[:])
	return b
}

func same(a, b [][]byte) bool {
	return bytes.Equal(bytes.Join(a, []byte("|")), bytes.Join(b, []byte("|")))
}

// reaches demands that, of all that a has sent and of this packet, b has got just the latter, and c nothing.
// It answers the table that b has.
func reaches(good []byte, a, b, c *plug) []vnet.Member {
	t := a.l.t
	t.Helper()
	a.send(good)
	a.table(1)
	m, got := b.table(2)
	if !same(got, [][]byte{good}) {
		t.Errorf("b has got %x", got)
	}
	if _, got := c.table(3); len(got) != 0 {
		t.Errorf("c has got %x", got)
	}
	return m
}

// TestForward: packets reach whom they are for, and nobody else; who leaves is told of.
func TestForward(t *testing.T) {
	l := newLab(t, os.Getuid())
	a, b, c := l.join("A", netip.Addr{}), l.join("b", netip.MustParseAddr("10.0.3.77")), l.join("b", netip.Addr{})
	if b.addr.String() != "10.0.3.77" || a.addr == c.addr {
		t.Errorf("%v, %v, %v", a.addr, b.addr, c.addr)
	}
	m := reaches(packet(a.addr, b.addr, 100), a, b, c)
	// The second b has no name that others see.
	if s := fmt.Sprint(m); s != fmt.Sprintf("[{1 %v a} {2 10.0.3.77 b} {3 %v }]", a.addr, c.addr) {
		t.Error(s)
	}
	b.close()
	for n := uint32(4); ; n++ {
		if m, _ := c.table(n); len(m) == 2 && m[1].Name == "b" { // its name is c's now
			break
		}
	}
	a.close()
	c.close()
	l.end()
}

// TestForged: what is not from the sender's address, or is no packet, reaches nobody.
func TestForged(t *testing.T) {
	l := newLab(t, os.Getuid())
	a, b, c := l.join("a", netip.Addr{}), l.join("b", netip.Addr{}), l.join("c", netip.Addr{})
	good := packet(a.addr, b.addr, 8)
	long, short, head, big := bytes.Clone(good), bytes.Clone(good), bytes.Clone(good), packet(a.addr, b.addr, vnet.MTU-20+1)
	long[3]++
	short[3]--
	head[0] = 0x44
	for _, bad := range [][]byte{
		packet(c.addr, b.addr, 8), packet(netip.MustParseAddr("10.0.3.1"), b.addr, 8), packet(netip.IPv4Unspecified(), b.addr, 8),
		packet(b.addr, b.addr, 8), long, short, head, big, {0x45}, good[:19],
		packet(a.addr, netip.MustParseAddr("10.0.3.255"), 8), packet(a.addr, netip.MustParseAddr("224.0.0.1"), 8), packet(a.addr, netip.MustParseAddr("8.8.8.8"), 8),
	} {
		a.send(bad)
	}
	reaches(good, a, b, c)
}

// TestSix: packets of IPv6 go from a machine's address to another's, and none other does: forged sources,
// groups, link-local addresses, and whatever is, or has in it, neighbour discovery.
func TestSix(t *testing.T) {
	l := newLab(t, os.Getuid())
	a, b, c := l.join("a", netip.Addr{}), l.join("b", netip.MustParseAddr("10.0.3.254")), l.join("c", netip.Addr{})
	a6, b6, c6 := vnet.Six(a.addr), vnet.Six(b.addr), vnet.Six(c.addr)
	if b6.String() != "fd00:10:0:3::254" {
		t.Errorf("%v is %v", b.addr, b6)
	}
	good := packet6(a6, b6, 64, 8)
	long, short, big := bytes.Clone(good), bytes.Clone(good), packet6(a6, b6, 64, vnet.MTU-40+1)
	long[5]++
	short[5]--
	advert := packet6(a6, b6, 255, 24) // that c's address is ours
	advert[6], advert[40] = 58, 136
	mapped := netip.AddrFrom16(a.addr.As16())
	bad := [][]byte{
		packet6(c6, b6, 64, 8), packet6(b6, b6, 64, 8), packet6(netip.IPv6Unspecified(), b6, 64, 8), packet6(mapped, b6, 64, 8), packet6(mapped, netip.AddrFrom16(b.addr.As16()), 64, 8),
		long, short, big, good[:39], {0x60}, advert, packet6(a6, b6, 255, 8),
	}
	for _, from := range []string{"fe80::1", "fe80::aff:fe00:302", "fd00:10:0:3::1", "fd00:10:0:3::2b", "fd00:10:0:3:1::2", "fd00:10:0:3::1:2", "fd00:10:0:4::2", "fd00:10:0:3::1002", "2001:db8::1"} {
		bad = append(bad, packet6(netip.MustParseAddr(from), b6, 64, 8), packet6(a6, netip.MustParseAddr(from), 64, 8))
	}
	for _, to := range []string{"ff02::1", "ff02::1:ff00:254", "ff05::2", "::1", "::"} {
		bad = append(bad, packet6(a6, netip.MustParseAddr(to), 64, 8))
	}
	for _, p := range bad {
		a.send(p)
	}
	reaches(good, a, b, c)
}

// TestSixAddresses: each address of IPv4 has one of IPv6, and that no other.
func TestSixAddresses(t *testing.T) {
	seen := map[netip.Addr]bool{}
	for n := vnet.First; n <= vnet.Last; n++ {
		four := netip.AddrFrom4([4]byte{10, 0, 3, byte(n)})
		six := vnet.Six(four)
		if seen[six] || vnet.Four(six) != four || !vnet.Network6.Contains(six) || six.String() != fmt.Sprintf("fd00:10:0:3::%d", n) {
			t.Errorf("%v: %v, and back %v", four, six, vnet.Four(six))
		}
		seen[six] = true
	}
	b := vnet.Network6.Addr().As16()
	for n := range 1 << 16 {
		b[14], b[15] = byte(n>>8), byte(n)
		if a := netip.AddrFrom16(b); vnet.Four(a).IsValid() != seen[a] {
			t.Errorf("%v is %v", a, vnet.Four(a))
		}
	}
}

// TestRefused: who may not join, and who loses his place.
func TestRefused(t *testing.T) {
	l := newLab(t, os.Getuid())
	a := l.join("a", netip.Addr{})
	for want, why := range map[string]string{
		a.addr.String(): "another machine's", "10.0.3.0": "no address", "10.0.3.1": "no address", "10.0.3.255": "no address", "10.0.4.9": "no address", "127.0.0.1": "no address",
	} {
		p := l.dial()
		p.send((&vnet.Join{Want: netip.MustParseAddr(want)}).Append(nil))
		if _, err := vnet.ParseJoined(p.next()); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", want, err)
		}
		if b := p.next(); len(b) != 0 {
			t.Errorf("%s: a place: %x", want, b)
		}
	}
	for what, b := range map[string][]byte{
		"a packet before joining": packet(a.addr, a.addr, 8), "no message": {9}, "a table": vnet.AppendTable(nil, 0, nil), "a question first": vnet.AppendAsk(nil, 1),
		"another version": {0, vnet.KindJoin, 9, 0, 0, 0, 0}, "half a message": {0, vnet.KindJoin, vnet.Version}, "a bad name": append((&vnet.Join{}).Append(nil), "a b"...),
	} {
		p := l.dial()
		p.send(b)
		if got := p.next(); len(got) != 0 {
			t.Errorf("%s: %x", what, got)
		}
	}
	// One who has a place loses it for what is no message.
	b := l.join("b", netip.Addr{})
	b.send((&vnet.Join{}).Append(nil))
	for len(b.next()) != 0 {
	}
	for n := uint32(1); ; n++ {
		if m, _ := a.table(n); len(m) == 1 {
			break
		}
	}
}

// TestOthersUser: machines of others get no place.
func TestOthersUser(t *testing.T) {
	l := newLab(t, os.Getuid()+1)
	p := l.dial()
	if _, err := unix.SendmsgN(p.fd, (&vnet.Join{}).Append(nil), nil, nil, unix.MSG_NOSIGNAL); err == nil {
		if b := p.next(); len(b) != 0 {
			t.Errorf("a place: %x", b)
		}
	}
}

// TestFull: so many machines and no more; a place that is free is given again.
func TestFull(t *testing.T) {
	l := newLab(t, os.Getuid())
	var all []*plug
	taken := map[netip.Addr]bool{}
	for range vnet.MaxMachines {
		p := l.join("", netip.Addr{})
		if taken[p.addr] || !vnet.Network.Contains(p.addr) {
			t.Fatal(p.addr)
		}
		taken[p.addr] = true
		all = append(all, p)
	}
	p := l.dial()
	p.send((&vnet.Join{}).Append(nil))
	if _, err := vnet.ParseJoined(p.next()); err == nil || !strings.Contains(err.Error(), "full") {
		t.Error(err)
	}
	all[7].close()
	for n := uint32(1); ; n++ {
		if m, _ := all[0].table(n); len(m) == vnet.MaxMachines-1 {
			break
		}
	}
	l.join("", netip.Addr{})
}

// TestSlow: who takes nothing loses what is sent to it, at a bound, and holds nobody up.
func TestSlow(t *testing.T) {
	l := newLab(t, os.Getuid())
	a, slow, b := l.join("a", netip.Addr{}), l.join("slow", netip.Addr{}), l.join("b", netip.Addr{})
	big, small := packet(a.addr, slow.addr, 10000), packet(a.addr, b.addr, 10)
	for range 2000 {
		a.send(big)
	}
	a.send(small)
	a.table(1)
	if _, got := b.table(2); !same(got, [][]byte{small}) {
		t.Errorf("b has got %x", got)
	}
	// It is told who is there once it takes what has come.
	b.close()
	n := 0
	for {
		m := slow.next()
		if k, _ := vnet.Kind(m); k == 0 {
			n += len(m)
		} else if _, l, err := vnet.ParseTable(m); err == nil && len(l) == 2 && n > 0 {
			break
		}
	}
	if n > 4<<20 || n == 0 {
		t.Errorf("%d bytes have waited", n)
	}
}

// FuzzSwitch: whatever a machine sends, the switch lives and others are served.
func FuzzSwitch(f *testing.F) {
	me := netip.MustParseAddr("10.0.3.2")
	f.Add(packet(me, me, 20))
	f.Add(packet6(vnet.Six(me), vnet.Six(me), 64, 20))
	f.Add((&vnet.Join{Want: me, Name: "x"}).Append(nil))
	f.Add(vnet.AppendAsk(nil, 7))
	f.Add(vnet.AppendTable(nil, 3, []vnet.Member{{Serial: 1, Addr: me, Name: "x"}}))
	f.Add((&vnet.Joined{Addr: netip.PrefixFrom(me, 24), MTU: 1500}).Append(nil))
	f.Add(vnet.AppendRefused(nil, "no"))
	l := newLab(f, os.Getuid())
	honest := l.join("honest", netip.Addr{})
	n := uint32(0)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 || len(b) > vnet.MaxMessage {
			return
		}
		l := &lab{t: t, name: l.name}
		p := l.join("p", netip.Addr{})
		p.send(b)
		p.close()
		h := &plug{l: l, fd: honest.fd}
		for {
			n++
			if m, _ := h.table(n); len(m) == 1 {
				break
			}
		}
		// The other side reads the same.
		_, _ = vnet.ParseJoined(b)
		if _, m, err := vnet.ParseTable(b); err == nil && len(m) > vnet.MaxMachines {
			t.Errorf("%d machines", len(m))
		}
	})
}
