package stack

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"hythe/abi"
	proto "hythe/idl/net"
	"hythe/idl/vnet"
	"hythe/server/net/core"
	"hythe/server/netswitch"
)

// limit is what catches a hang.
const limit = 60 * time.Second

var labs atomic.Int32

// lab is a network with a switch of its own.
type lab struct {
	t    *testing.T
	name string
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, name: fmt.Sprintf("@hythe-test/%d/%d", os.Getpid(), labs.Add(1))}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	check(t, err)
	check(t, unix.Bind(fd, &unix.SockaddrUnix{Name: l.name}))
	check(t, unix.Listen(fd, 64))
	s, err := netswitch.New(fd, uint32(os.Getuid()))
	check(t, err)
	over := make(chan error, 1)
	go func() { over <- s.Run(int(limit / time.Millisecond)) }()
	t.Cleanup(func() {
		select {
		case err := <-over:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(limit):
			t.Error("the switch does not end with its last machine")
		}
		unix.Close(fd)
	})
	return l
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// again calls f until no signal interrupts it: Go's own come at any time.
func again(f func() (int, error)) (n int, err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		n, err = f()
	}
	return n, err
}

// receive takes a message from a socket.
func receive(fd int, b []byte) (int, error) {
	return again(func() (int, error) { n, _, err := unix.Recvfrom(fd, b, 0); return n, err })
}

// send sends one.
func send(fd int, b []byte) error {
	_, err := again(func() (int, error) { return unix.SendmsgN(fd, b, nil, nil, 0) })
	return err
}

// join takes a place and answers its descriptor.
func (l *lab) join(name string) (int, netip.Prefix) {
	l.t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	check(l.t, err)
	_, err = again(func() (int, error) { return 0, unix.Connect(fd, &unix.SockaddrUnix{Name: l.name}) })
	check(l.t, err)
	check(l.t, send(fd, (&vnet.Join{Name: name}).Append(nil)))
	b := make([]byte, vnet.MaxMessage)
	n, err := receive(fd, b)
	check(l.t, err)
	j, err := vnet.ParseJoined(b[:n])
	check(l.t, err)
	return fd, j.Addr
}

// node is a machine's stack.
type node struct {
	t    testing.TB
	s    *Stack
	addr netip.Addr
	ids  uint64

	mu   sync.Mutex
	news chan struct{} // closed at the next news. guarded by mu
}

func newNode(t testing.TB, fd int, addr netip.Prefix) *node {
	t.Helper()
	n := &node{t: t, addr: addr.Addr(), news: make(chan struct{})}
	var err error
	n.s, err = New(&core.LinkConfig{FD: fd, MTU: vnet.MTU, Addr: addr, Addr6: netip.PrefixFrom(vnet.Six(addr.Addr()), vnet.Network6.Bits())}, func(uint64, uint32, bool) {
		n.mu.Lock()
		close(n.news)
		n.news = make(chan struct{})
		n.mu.Unlock()
	}, func(error) {})
	check(t, err)
	t.Cleanup(n.leave)
	return n
}

func (n *node) leave() {
	_ = unix.Shutdown(n.s.link.fd, unix.SHUT_RDWR)
	_ = n.s.link.f.Close()
}

func (l *lab) node(name string) *node {
	l.t.Helper()
	fd, a := l.join(name)
	return newNode(l.t, fd, a)
}

// wait repeats what cannot be done yet when there is something new.
func (n *node) wait(f func() abi.Errno) abi.Errno {
	n.t.Helper()
	late := time.After(limit)
	for {
		n.mu.Lock()
		news := n.news
		n.mu.Unlock()
		if e := f(); e != abi.EAGAIN && e != abi.EINPROGRESS {
			return e
		}
		select {
		case <-news:
		case <-time.After(10 * time.Millisecond): // not all news is of sockets
		case <-late:
			n.t.Fatal("nothing happens")
		}
	}
}

func (n *node) open(kind core.Kind, port uint16) core.LinkSocket {
	n.t.Helper()
	n.ids++
	s, e := n.s.Open(n.ids, kind, port, proto.Four|proto.Six)
	if e != 0 {
		n.t.Fatal(e)
	}
	return s
}

func (n *node) connect(to *node, port uint16) (core.LinkSocket, abi.Errno) {
	n.t.Helper()
	s := n.open(core.KindStream, 0)
	e := s.Connect(netip.AddrPortFrom(to.addr, port))
	if e == abi.EINPROGRESS {
		e = n.wait(s.Connected)
	}
	return s, e
}

func (n *node) accept(l core.LinkSocket) core.LinkSocket {
	n.t.Helper()
	c, _ := n.acceptFrom(l)
	return c
}

// acceptFrom is accept, and who has come.
func (n *node) acceptFrom(l core.LinkSocket) (c core.LinkSocket, from netip.AddrPort) {
	n.t.Helper()
	if e := n.wait(func() (e abi.Errno) {
		n.ids++
		c, from, e = l.Accept(n.ids)
		return e
	}); e != 0 {
		n.t.Fatal(e)
	}
	return c, from
}

// pair is a connection from a to b.
func pair(a, b *node, port uint16) (x, y core.LinkSocket) {
	a.t.Helper()
	l := b.open(core.KindListener, port)
	x, e := a.connect(b, port)
	if e != 0 {
		a.t.Fatal(e)
	}
	return x, b.accept(l)
}

// send sends all of it.
func (n *node) send(s core.LinkSocket, b []byte) {
	n.t.Helper()
	for len(b) > 0 {
		if e := n.wait(func() abi.Errno {
			k, e := s.Send(b)
			b = b[k:]
			return e
		}); e != 0 {
			n.t.Fatal(e)
		}
	}
}

// recv answers so many bytes, or less at the end of the stream.
func (n *node) recv(s core.LinkSocket, want int) []byte {
	n.t.Helper()
	var out []byte
	for len(out) < want {
		b := make([]byte, min(want-len(out), 64<<10))
		k := 0
		if e := n.wait(func() (e abi.Errno) {
			k, e = s.Recv(b)
			return e
		}); e != 0 {
			n.t.Fatal(e)
		}
		if k == 0 {
			break
		}
		out = append(out, b[:k]...)
	}
	return out
}

// works says that two nodes can connect and exchange something.
func works(a, b *node, port uint16, l core.LinkSocket) {
	a.t.Helper()
	x, e := a.connect(b, port)
	if e != 0 {
		a.t.Fatal("an honest connection: ", e)
	}
	y := b.accept(l)
	a.send(x, []byte("are you there?"))
	if got := b.recv(y, 14); string(got) != "are you there?" {
		a.t.Fatalf("got %q", got)
	}
	x.Close(false)
	y.Close(false)
}

// TestErrors: what a connection is told.
func TestErrors(t *testing.T) {
	l := newLab(t)
	a, b := l.node("a"), l.node("b")
	if _, e := a.connect(b, 80); e != abi.ECONNREFUSED {
		t.Error("nobody listens: ", e)
	}
	if _, e := a.connect(&node{addr: netip.MustParseAddr("10.0.3.200")}, 80); e != abi.EHOSTUNREACH {
		t.Error("nobody is there: ", e)
	}
	u := a.open(core.KindDgram, 0)
	if e := a.wait(func() abi.Errno { // the first one is lost
		if e := u.SendTo([]byte("x"), netip.MustParseAddrPort("10.0.3.201:80")); e != 0 {
			return e
		}
		runtime.Gosched()
		return abi.EAGAIN
	}); e != abi.EHOSTUNREACH {
		t.Error("datagrams, and nobody is there: ", e)
	}
	x, y := pair(a, b, 80)
	y.Close(true)
	if e := a.wait(func() abi.Errno { _, e := x.Recv(make([]byte, 1)); return e }); e != abi.ECONNRESET {
		t.Error("reset: ", e)
	}
	x, y = pair(a, b, 81)
	a.send(x, []byte("bye"))
	if e := x.Shut(); e != 0 {
		t.Error(e)
	}
	if got := b.recv(y, 10); string(got) != "bye" {
		t.Errorf("got %q", got)
	}
	// Who leaves without a word leaves others with an error.
	c := l.node("c")
	x, _ = pair(a, c, 80)
	c.leave()
	if e := a.wait(func() abi.Errno { _, e := x.Recv(make([]byte, 1)); return e }); e != abi.ECONNRESET {
		t.Error("who has left: ", e)
	}
}

// TestSixErrors: what a connection by IPv6 is told, and who hears what.
func TestSixErrors(t *testing.T) {
	l := newLab(t)
	a, b := l.node("a"), l.node("b")
	six := func(n *node) *node { return &node{addr: vnet.Six(n.addr)} }
	if _, e := a.connect(six(b), 80); e != abi.ECONNREFUSED {
		t.Error("nobody listens: ", e)
	}
	for _, addr := range []string{"fd00:10:0:3::200", "fd00:10:0:3::a"} {
		if _, e := a.connect(&node{addr: netip.MustParseAddr(addr)}, 80); e != abi.EHOSTUNREACH {
			t.Errorf("nobody is there: %s: %v", addr, e)
		}
		u := a.open(core.KindDgram, 0)
		if e := a.wait(func() abi.Errno { // the first one is lost
			if e := u.SendTo([]byte("x"), netip.AddrPortFrom(netip.MustParseAddr(addr), 80)); e != 0 {
				return e
			}
			runtime.Gosched()
			return abi.EAGAIN
		}); e != abi.EHOSTUNREACH {
			t.Errorf("datagrams, and nobody is there: %s: %v", addr, e)
		}
	}
	// Families: of one only, and of both.
	for port, families := range map[uint16]uint32{81: proto.Four, 82: proto.Six, 83: proto.Four | proto.Six} {
		b.ids++
		s, e := b.s.Open(b.ids, core.KindListener, port, families)
		if e != 0 {
			t.Fatal(e)
		}
		for family, to := range map[uint32]*node{proto.Four: b, proto.Six: six(b)} {
			want := abi.Errno(0)
			if families&family == 0 {
				want = abi.ECONNREFUSED
			}
			x, e := a.connect(to, port)
			if e != want {
				t.Errorf("families %d, by %d: %v", families, family, e)
			}
			if e != 0 {
				continue
			}
			y, from := b.acceptFrom(s)
			if at := from.Addr(); at != a.addr && at != vnet.Six(a.addr) || at.Is4() != (family == proto.Four) {
				t.Errorf("families %d, by %d: from %v", families, family, from)
			}
			x.Close(true)
			y.Close(true)
		}
	}
	// Who leaves without a word leaves others with an error.
	c := l.node("c")
	c.open(core.KindListener, 80)
	x, e := a.connect(six(c), 80)
	if e != 0 {
		t.Fatal(e)
	}
	c.leave()
	if e := a.wait(func() abi.Errno { _, e := x.Recv(make([]byte, 1)); return e }); e != abi.ECONNRESET {
		t.Error("who has left: ", e)
	}
}

// TestZeroWindow: who takes nothing stops the sender, at a bound, and gets all of it once it does.
func TestZeroWindow(t *testing.T) {
	l := newLab(t)
	a, b := l.node("a"), l.node("b")
	x, y := pair(a, b, 80)
	data := make([]byte, 64<<10)
	sum, sent := sha256.New(), 0
	quiet := time.Now()
	for time.Since(quiet) < time.Second { // nothing more is taken for that long
		binary.LittleEndian.PutUint64(data, uint64(sent))
		n, e := x.Send(data)
		if e != 0 && e != abi.EAGAIN {
			t.Fatal(e)
		}
		if n > 0 {
			sum.Write(data[:n])
			sent += n
			quiet = time.Now()
			if sent > 8*maxBuffer {
				t.Fatalf("%d bytes wait for one who takes nothing", sent)
			}
			continue
		}
		runtime.Gosched()
	}
	got := sha256.Sum256(b.recv(y, sent))
	if !bytes.Equal(got[:], sum.Sum(nil)) {
		t.Error("other bytes have come than were sent")
	}
}

// segment is a packet of TCP without data.
func segment(from, to netip.AddrPort, flags header.TCPFlags, seq, ack uint32) []byte {
	b := make([]byte, header.IPv4MinimumSize+header.TCPMinimumSize)
	tcp := header.TCP(b[header.IPv4MinimumSize:])
	tcp.Encode(&header.TCPFields{SrcPort: from.Port(), DstPort: to.Port(), SeqNum: seq, AckNum: ack, Flags: flags,
		DataOffset: header.TCPMinimumSize, WindowSize: 65535})
	src, dst := tcpip.AddrFrom4(from.Addr().As4()), tcpip.AddrFrom4(to.Addr().As4())
	header.IPv4(b).Encode(&header.IPv4Fields{TotalLength: uint16(len(b)), TTL: 64, Protocol: uint8(header.TCPProtocolNumber), SrcAddr: src, DstAddr: dst})
	header.IPv4(b).SetChecksum(^header.IPv4(b).CalculateChecksum())
	tcp.SetChecksum(^tcp.CalculateChecksum(header.PseudoHeaderChecksum(header.TCPProtocolNumber, src, dst, header.TCPMinimumSize)))
	return b
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestSynFlood: a machine that begins connections without end costs its victim a bounded amount,
// and others are served.
func TestSynFlood(t *testing.T) {
	lab := newLab(t)
	victim, honest := lab.node("victim"), lab.node("honest")
	l := victim.open(core.KindListener, 80)
	enemy, at := lab.join("enemy")
	defer unix.Close(enemy)
	was := heap()
	to := netip.AddrPortFrom(victim.addr, 80)
	for i := range 60_000 {
		from := netip.AddrPortFrom(at.Addr(), uint16(1024+i))
		if err := send(enemy, segment(from, to, header.TCPFlagSyn, uint32(i), 0)); err != nil {
			t.Fatal(err)
		}
		if i%5000 == 4999 {
			works(honest, victim, 80, l)
		}
	}
	if now := heap(); now > was+32<<20 {
		t.Errorf("the flood costs %d bytes", now-was)
	}
	works(honest, victim, 80, l)
}

// TestFlooded: the same of connections that are made and left alone, which is what an enemy
// with a stack can do.
func TestFlooded(t *testing.T) {
	lab := newLab(t)
	victim, honest, enemy := lab.node("victim"), lab.node("honest"), lab.node("enemy")
	l := victim.open(core.KindListener, 80)
	other := victim.open(core.KindListener, 81)
	was := heap()
	var pending []core.LinkSocket
	for range 1000 {
		s := enemy.open(core.KindStream, 0)
		if e := s.Connect(netip.AddrPortFrom(victim.addr, 80)); e != abi.EINPROGRESS {
			t.Fatal(e)
		}
		pending = append(pending, s)
	}
	works(honest, victim, 81, other) // another listener is not touched
	if now := heap(); now > was+64<<20 {
		t.Errorf("the flood costs %d bytes", now-was)
	}
	for _, s := range pending {
		s.Close(true)
	}
	// Those that had been made come as such that have ended; then there is room again.
	done := make(chan core.LinkSocket)
	go func() {
		s, e := honest.connect(victim, 80)
		if e != 0 {
			t.Error("after the flood: ", e)
		}
		done <- s
	}()
	for {
		select {
		case <-done:
			return
		default:
			if c, _, e := l.Accept(1 << 20); e == 0 {
				c.Close(true)
			} else {
				runtime.Gosched()
			}
		}
	}
}

// TestNotTaken: what comes for a program that has not taken the connection is little, and how many
// connections wait for programs is bounded for all of the machine's ports; once taken, they are as others.
func TestNotTaken(t *testing.T) {
	lab := newLab(t)
	victim, other := lab.node("victim"), lab.node("other")
	l := victim.open(core.KindListener, 80)
	enemy, at := lab.join("enemy")
	defer unix.Close(enemy)
	check(t, send(enemy, segment(netip.AddrPortFrom(at.Addr(), 999), netip.AddrPortFrom(victim.addr, 80), header.TCPFlagSyn, 1, 0)))
	for b := make([]byte, vnet.MaxMessage); ; {
		n, err := receive(enemy, b)
		check(t, err)
		if n < header.IPv4MinimumSize+header.TCPMinimumSize || b[0] != 0x45 {
			continue
		}
		if w := header.TCP(b[header.IPv4MinimumSize:n]).WindowSize(); w > minBuffer {
			t.Errorf("a window of %d bytes", w)
		}
		break
	}
	x, e := other.connect(victim, 80)
	if e != 0 {
		t.Fatal(e)
	}
	data := bytes.Repeat([]byte("0123456789abcdef"), 8<<10)
	sent, e := x.Send(data)
	if e != 0 || sent <= minBuffer {
		t.Fatal(sent, e)
	}
	from, lerr := x.(*socket).ep.GetLocalAddress()
	if lerr != nil {
		t.Fatal(lerr)
	}
	came := func() int {
		w := victim.s.s.FindTransportEndpoint(header.IPv4ProtocolNumber, header.TCPProtocolNumber, stack.TransportEndpointID{
			LocalPort: 80, LocalAddress: tcpip.AddrFrom4(victim.addr.As4()), RemotePort: from.Port, RemoteAddress: from.Addr}, nic)
		n, err := w.(*tcp.Endpoint).GetSockOptInt(tcpip.ReceiveQueueSizeOption)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	other.wait(func() abi.Errno {
		if came() == 0 {
			return abi.EAGAIN
		}
		return 0
	})
	if n := came(); n > minBuffer {
		t.Errorf("%d bytes have come", n)
	}
	y := victim.accept(l)
	if got := victim.recv(y, sent); !bytes.Equal(got, data[:sent]) {
		t.Errorf("%d bytes, others than were sent", len(got))
	}

	sum := 0
	for n := 1; n <= 16<<10; n++ {
		if p := places(n); p < 1 || p > backlog {
			t.Fatalf("%d places at port %d", p, n)
		} else {
			sum += p
		}
	}
	if sum > 22<<10 {
		t.Errorf("%d connections wait", sum)
	}
	for i := 1; i < waitBudget; i++ {
		l = victim.open(core.KindListener, uint16(10000+i))
	}
	over := victim.s.s.Stats().TCP.ListenOverflowSynDrop
	if n := over.Value(); n != 0 {
		t.Fatalf("%d were dropped", n)
	}
	for range 2 {
		s := other.open(core.KindStream, 0)
		if e := s.Connect(netip.AddrPortFrom(victim.addr, 10000+waitBudget-1)); e != abi.EINPROGRESS {
			t.Fatal(e)
		}
		// The first one is there before the second one asks.
		other.wait(func() abi.Errno {
			if e := s.Connected(); over.Value() == 0 && e != 0 {
				return e
			}
			if over.Value() == 0 && l.(*socket).ep.Readiness(waiter.EventIn) == 0 {
				return abi.EAGAIN
			}
			return 0
		})
	}
	if over.Value() == 0 {
		t.Error("a second connection had a place")
	}
	victim.accept(l)
	victim.accept(l) // it asks again
}

// TestVanishes: a peer that is there no more and has not said so is found.
func TestVanishes(t *testing.T) {
	idle, every := keepIdle, keepEvery
	keepIdle, keepEvery = 50*time.Millisecond, 10*time.Millisecond
	defer func() { keepIdle, keepEvery = idle, every }()
	l := newLab(t)
	a, b := l.node("a"), l.node("b")
	x, _ := pair(a, b, 80)
	b.s.link.Attach(nil) // it hears nothing
	if e := a.wait(func() abi.Errno { _, e := x.Recv(make([]byte, 1)); return e }); e != abi.ETIMEDOUT {
		t.Error(e)
	}
}

// TestMartians: what comes from the link is from somebody else, and for this machine.
func TestMartians(t *testing.T) {
	n := newLab(t).node("a")
	u := n.open(core.KindDgram, 9000)
	me, other := n.addr.String(), "10.0.3.9"
	for _, x := range []struct {
		from, to string
		want     abi.Errno
	}{
		{other, me, 0}, {me, me, abi.EAGAIN}, {"127.0.0.1", me, abi.EAGAIN}, {"10.0.3.255", me, abi.EAGAIN}, {"255.255.255.255", me, abi.EAGAIN},
		{"224.0.0.1", me, abi.EAGAIN}, {"0.0.0.0", me, abi.EAGAIN}, {other, "127.0.0.1", abi.EAGAIN}, {other, "10.0.3.77", abi.EAGAIN},
		{other, "10.0.3.255", abi.EAGAIN}, {other, "224.0.0.1", abi.EAGAIN},
	} {
		b := make([]byte, 29)
		b[0], b[3], b[8], b[9] = 0x45, 29, 64, 17
		copy(b[12:], netip.MustParseAddr(x.from).AsSlice())
		copy(b[16:], netip.MustParseAddr(x.to).AsSlice())
		binary.BigEndian.PutUint16(b[20:], 999)
		binary.BigEndian.PutUint16(b[22:], 9000)
		b[25], b[28] = 9, 'x'
		seal(b)
		check(t, n.s.packet(b))
		if k, from, e := u.RecvFrom(make([]byte, 10)); e != x.want || e == 0 && (k != 1 || from.Addr().String() != x.from) {
			t.Errorf("from %s to %s: %d bytes from %v, %v", x.from, x.to, k, from, e)
		}
	}
}

// TestEarlier: a table that was for an earlier incarnation says nothing of who is there.
func TestEarlier(t *testing.T) {
	s := &Stack{link: &link{}, cfg: &core.LinkConfig{}, members: map[netip.Addr]vnet.Member{}, absent: map[netip.Addr]bool{}, first: make(chan struct{}), began: 5, asked: 5}
	far := netip.MustParseAddr("10.0.3.9")
	for _, asked := range []uint32{9, 4, 1 << 31} {
		check(t, s.packet(vnet.AppendTable(nil, asked, []vnet.Member{{Serial: 1, Addr: far}})))
		if len(s.members) != 0 {
			t.Errorf("table %d: %v", asked, s.members)
		}
	}
	for asked := uint32(5); asked < 8; asked++ {
		check(t, s.packet(vnet.AppendTable(nil, asked, []vnet.Member{{Serial: uint64(asked), Addr: far}})))
		<-s.first
		if s.members[far].Serial != uint64(asked) {
			t.Errorf("table %d: %v", asked, s.members)
		}
	}
}

// TestOrphans: of streams that were left while the other end takes nothing, a bounded number goes on.
func TestOrphans(t *testing.T) {
	const more = 50
	l := newLab(t)
	a, b := l.node("a"), l.node("b")
	ear := b.open(core.KindListener, 80)
	var all []core.LinkSocket
	for i := range maxOrphans + more {
		x, e := a.connect(b, 80)
		if e != 0 {
			t.Fatal(i, e)
		}
		b.accept(ear)
		all = append(all, x)
	}
	all[0].Close(false) // which is told, and so does not count
	for !all[0].(*socket).told() {
		runtime.Gosched()
	}
	b.s.link.Attach(nil) // it takes nothing any more
	for _, x := range all[1:] {
		a.send(x, []byte("left behind"))
		x.Close(false)
	}
	for i, x := range all {
		if got, want := x.(*socket).told(), i < more; got != want {
			t.Errorf("stream %d: over: %v, want %v", i, got, want)
		}
	}
}

// TestMuch: many connections at once share the buffers' budget, and none hangs.
func TestMuch(t *testing.T) {
	l := newLab(t)
	a, b := l.node("a"), l.node("b")
	ear := b.open(core.KindListener, 80)
	type ends struct{ x, y core.LinkSocket }
	var all []ends
	for i := range 600 {
		x, e := a.connect(b, 80)
		if e != 0 {
			t.Fatal(i, e)
		}
		all = append(all, ends{x, b.accept(ear)})
	}
	data := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	for _, c := range all[len(all)-50:] {
		done := make(chan bool)
		go func() {
			done <- bytes.Equal(b.recv(c.y, len(data)), data)
		}()
		a.send(c.x, data)
		if !<-done {
			t.Fatal("wrong bytes")
		}
	}
}

// FuzzLink: whatever comes from the link, the stack lives, stays within its bounds and serves
// others. The input is messages, each behind its length; of what looks like TCP, UDP or ICMP the
// checksums are made right, so that it gets further than the first look.
func FuzzLink(f *testing.F) {
	me, you := netip.MustParseAddrPort("10.0.3.2:80"), netip.MustParseAddrPort("10.0.3.3:999")
	add := func(list ...[]byte) { f.Add(joined(list)) }
	add(segment(you, me, header.TCPFlagSyn, 1, 0), segment(you, me, header.TCPFlagAck, 2, 1), segment(you, me, header.TCPFlagFin|header.TCPFlagAck, 2, 1))
	add(segment(you, me, header.TCPFlagRst, 1, 0))
	add(append(segment(you, me, header.TCPFlagSyn, 1, 0), 2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7))
	add(vnet.AppendTable(nil, 0, []vnet.Member{{Serial: 1, Addr: me.Addr()}, {Serial: 2, Addr: you.Addr(), Name: "you"}}))
	add([]byte{0x45, 0, 0, 29, 0, 0, 0x20, 0, 64, 17, 0, 0, 10, 0, 3, 3, 10, 0, 3, 2, 1, 2, 0, 53, 0, 9, 0, 0, 'x'})
	add([]byte{0x45, 0, 0, 29, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 3, 3, 10, 0, 3, 2, 8, 0, 0, 0, 0, 1, 0, 1, 'x'})
	add([]byte{0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 3, 3, 10, 0, 3, 2, 3, 3, 0, 0, 0, 0, 0, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 3, 2, 10, 0, 3, 3, 0, 53, 1, 2, 0, 8, 0, 0})
	pairOf, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	check(f, err)
	// The other end says once who is there, and then takes all there is.
	go func() {
		b := make([]byte, 64<<10)
		for first := true; ; first = false {
			n, err := receive(pairOf[1], b)
			if err != nil || n == 0 {
				return
			}
			if asked, err := vnet.ParseAsk(b[:n]); err == nil && first {
				_ = send(pairOf[1], vnet.AppendTable(nil, asked, []vnet.Member{{Serial: 1, Addr: me.Addr()}, {Serial: 2, Addr: you.Addr(), Name: "you"}}))
			}
		}
	}()
	n := newNode(f, pairOf[0], netip.PrefixFrom(me.Addr(), 24))
	l, u, echo := n.open(core.KindListener, 80), n.open(core.KindDgram, 53), n.open(core.KindEcho, 0)
	_ = echo.SendTo([]byte{8, 0, 0, 0, 0, 0, 0, 0}, you)
	f.Fuzz(func(t *testing.T, in []byte) {
		for b := range messages(in) {
			seal(b)
			_ = n.s.packet(b)
		}
		buf := make([]byte, 64<<10)
		for {
			c, _, e := l.Accept(7)
			if e != 0 {
				break
			}
			_, _ = c.Recv(buf)
			_, _ = c.Send([]byte("hello"))
			c.Close(len(in)%2 == 0)
		}
		for _, s := range []core.LinkSocket{u, echo} {
			for {
				if _, _, e := s.RecvFrom(buf); e != 0 {
					break
				}
			}
		}
		n.s.mu.Lock()
		defer n.s.mu.Unlock()
		if len(n.s.socks) != 3 {
			t.Errorf("%d sockets", len(n.s.socks))
		}
	})
}

// joined is messages, each behind its length, as the fuzz tests have them.
func joined(list [][]byte) (in []byte) {
	for _, b := range list {
		in = append(binary.LittleEndian.AppendUint16(in, uint16(len(b))), b...)
	}
	return in
}

// messages are copies of those.
func messages(in []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(in) >= 2 {
			end := 2 + min(int(binary.LittleEndian.Uint16(in)), len(in)-2)
			if !yield(bytes.Clone(in[2:end])) {
				return
			}
			in = in[end:]
		}
	}
}

// seal makes the checksums of a packet right, if it has any.
func seal(b []byte) {
	ip := header.IPv4(b)
	if !ip.IsValid(len(b)) {
		return
	}
	ip.SetChecksum(0)
	ip.SetChecksum(^ip.CalculateChecksum())
	p := ip.Payload()
	pseudo := header.PseudoHeaderChecksum(ip.TransportProtocol(), ip.SourceAddress(), ip.DestinationAddress(), uint16(len(p)))
	put := func(at int, pseudo uint16) {
		if len(p) >= at+2 {
			p[at], p[at+1] = 0, 0
			binary.BigEndian.PutUint16(p[at:], ^checksum.Checksum(p, pseudo))
		}
	}
	switch ip.TransportProtocol() {
	case header.TCPProtocolNumber:
		put(16, pseudo)
	case header.UDPProtocolNumber:
		put(6, pseudo)
	case header.ICMPv4ProtocolNumber:
		put(2, 0)
	}
}
