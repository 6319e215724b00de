package core

import (
	"net/netip"
	"strings"
	"testing"

	"hythe/abi"
	"hythe/idl/net"
)

// testNet is a net server that answers when the test says so: what it was asked
// waits in a list.
type testNet struct {
	t     *testing.T
	asked []testAsk

	ready, waiting uint32 // of host sockets that are lent
	sets           map[ObjectName]*testHostSet
	full           bool // they can have no more
}

type testAsk struct {
	what  string
	id    uint64
	seq   uint64 // of what has one; of a Recv: what was taken
	data  string
	event func(inc uint64, l []net.Event, e abi.Errno)
	inc   func(inc uint64, e abi.Errno)
	acc   func(inc, id uint64, from netip.AddrPort, e abi.Errno)
	n     func(n int, e abi.Errno)
	b     func(b []byte, e abi.Errno)
	e     func(e abi.Errno)
	over  func()
	host  func(o ObjectName, e abi.Errno)
}

func (n *testNet) Bind(id uint64, _, _ bool, port, _ uint32, done func(uint64, abi.Errno)) {
	n.add(testAsk{what: "bind", id: id, seq: uint64(port), inc: done})
}

func (n *testNet) add(a testAsk) { n.asked = append(n.asked, a) }

func (n *testNet) Events(_ uint64, done func(uint64, []net.Event, abi.Errno)) {
	n.add(testAsk{what: "events", event: done})
}
func (n *testNet) Connect(id uint64, _ netip.AddrPort, done func(uint64, abi.Errno)) {
	n.add(testAsk{what: "connect", id: id, inc: done})
}
func (n *testNet) Accept(id, seq uint64, done func(uint64, uint64, netip.AddrPort, abi.Errno)) {
	n.add(testAsk{what: "accept", id: id, seq: seq, acc: done})
}
func (n *testNet) Send(id, seq, _ uint64, data []byte, done func(int, abi.Errno)) {
	n.add(testAsk{what: "send", id: id, seq: seq, data: string(data), n: done})
}
func (n *testNet) Recv(id uint64, _ int, taken uint64, done func([]byte, abi.Errno)) {
	n.add(testAsk{what: "recv", id: id, seq: taken, b: done})
}
func (n *testNet) Shut(id uint64, done func(abi.Errno)) {
	n.add(testAsk{what: "shut", id: id, e: done})
}
func (n *testNet) Close(id uint64, hard bool, done func()) {
	what := "close"
	if hard {
		what = "reset"
	}
	n.add(testAsk{what: what, id: id, over: done})
}
func (n *testNet) SendTo(id uint64, _ bool, b []byte, done func(abi.Errno)) {
	n.add(testAsk{what: "sendto", id: id, data: string(b), e: done})
}
func (n *testNet) SendEcho(id uint64, _ bool, b []byte, done func(abi.Errno)) {
	n.add(testAsk{what: "sendecho", id: id, data: string(b), e: done})
}
func (n *testNet) RecvFrom(id uint64, done func([]byte, abi.Errno)) {
	n.add(testAsk{what: "recvfrom", id: id, b: done})
}

func (n *testNet) Lend(id, taken uint64, done func(ObjectName, abi.Errno)) {
	n.add(testAsk{what: "lend", id: id, seq: taken, host: done})
}
func (n *testNet) Adopt(id, taken uint64, _ ObjectName, done func(uint64, abi.Errno)) {
	n.add(testAsk{what: "adopt", id: id, seq: taken, inc: done})
}
func (n *testNet) Reclaim()                               { n.add(testAsk{what: "reclaim"}) }
func (n *testNet) DropHost(o ObjectName)                  { n.add(testAsk{what: "drop", id: uint64(o)}) }
func (n *testNet) LookHost(ObjectName) uint32             { return n.ready }
func (n *testNet) WaitingHost(ObjectName) uint32          { return n.waiting }
func (n *testNet) PassedHost(ObjectName) (in, out uint64) { return 0, 0 }
func (n *testNet) ArmHost(o ObjectName, ev uint32) {
	n.add(testAsk{what: "arm", id: uint64(o), seq: uint64(ev)})
}

// testHostSet is an epoll set of the host's: what is watched there, by socket.
type testHostSet struct {
	items       map[ObjectName]EpollEvent
	ready       []EpollEvent // what WaitHostSet answers next
	armed, wake bool
	wakeData    uint64
}

func (n *testNet) NewHostSet(done func(ObjectName, abi.Errno)) {
	n.add(testAsk{what: "set", host: func(o ObjectName, e abi.Errno) {
		if e == 0 {
			if n.sets == nil {
				n.sets = map[ObjectName]*testHostSet{}
			}
			n.sets[o] = &testHostSet{items: map[ObjectName]EpollEvent{}}
		}
		done(o, e)
	}})
}
func (n *testNet) DropHostSet(set ObjectName) {
	delete(n.sets, set)
	n.add(testAsk{what: "dropset", id: uint64(set)})
}
func (n *testNet) WatchHost(set, o ObjectName, ev uint32, data uint64, again bool) abi.Errno {
	s := n.sets[set]
	if s == nil || n.full {
		return abi.ENOSPC
	}
	if _, there := s.items[o]; there != again {
		n.t.Errorf("watched: %v, again: %v", there, again)
	}
	s.items[o] = EpollEvent{ev, data}
	return 0
}
func (n *testNet) UnwatchHost(set, o ObjectName) {
	if s := n.sets[set]; s != nil {
		delete(s.items, o)
	}
}
func (n *testNet) WaitHostSet(set ObjectName, ev []EpollEvent) int {
	s := n.sets[set]
	if s == nil {
		return 0
	}
	got := copy(ev, s.ready)
	s.ready = s.ready[got:]
	return got
}
func (n *testNet) PollHostSet(set ObjectName) bool {
	return n.sets[set] != nil && len(n.sets[set].ready) > 0
}
func (n *testNet) ArmHostSet(set ObjectName) {
	if s := n.sets[set]; s != nil {
		s.armed = true
	}
}
func (n *testNet) WakeHostSet(set ObjectName, on bool) {
	if s := n.sets[set]; s != nil {
		s.wake = on
	}
}
func (n *testNet) WakeData(set ObjectName, data uint64) {
	if s := n.sets[set]; s != nil {
		s.wakeData = data
	}
}

// take takes a request off the list; the test ends if there is none.
func (n *testNet) take(what string) testAsk {
	n.t.Helper()
	var all []string
	for i, a := range n.asked {
		if a.what == what {
			n.asked = append(n.asked[:i:i], n.asked[i+1:]...)
			return a
		}
		all = append(all, a.what)
	}
	n.t.Fatalf("no %s; there are: %s", what, strings.Join(all, " "))
	return testAsk{}
}

// none demands that there is no such request.
func (n *testNet) none(what string) {
	n.t.Helper()
	for _, a := range n.asked {
		if a.what == what {
			n.t.Fatalf("there is a %s", what)
		}
	}
}

func newOutsideKernel(t *testing.T) (*ioKernel, *testNet) {
	n := &testNet{t: t}
	return newIOKernelWith(t, func(k *Kernel) {
		n.asked = nil // the last incarnation's
		k.SetNet(n)
		k.Config.Published = []Published{{Guest: 8000}}
	}), n
}

// TestUnreachable: a port that a network of packets cannot have is an error of the socket to a
// program that sends and receives datagrams; of one on which a program listens there is a line in the
// log, and of many not each. Who listens, or has such a port, is answered when others reach it.
func TestUnreachable(t *testing.T) {
	n := &testNet{t: t}
	tk := newIOKernelWith(t, func(k *Kernel) {
		n.asked = nil
		k.SetNet(n)
		k.Config.Link = &Link{Addr: netip.MustParsePrefix("10.0.3.2/24"), MTU: 1500}
	})
	p := tk.proc(nil)
	at := func(port uint16) SockAddr {
		return SockAddr{FamilyInet, append([]byte{byte(port >> 8), byte(port)}, make([]byte, 12)...)}
	}
	// within makes a call, which waits until the net server has answered.
	within := func(call func() abi.Errno, answer func(a testAsk)) {
		t.Helper()
		for len(tk.slept) > 0 {
			<-tk.slept
		}
		over := make(chan abi.Errno)
		go func() { over <- call() }()
		<-tk.slept
		answer(n.take("bind"))
		if e := <-over; e != 0 {
			t.Fatal(e)
		}
	}
	listen := func(port uint16, answer func(a testAsk)) {
		t.Helper()
		l := p.inet(0)
		if e := p.bind(l, at(port)); e != 0 {
			t.Fatal(e)
		}
		within(func() abi.Errno { return p.listen(l, 5) }, answer)
	}
	listen(8000, func(b testAsk) {
		if b.seq != 8000 {
			t.Error(b.seq)
		}
		n.take("events").event(1, nil, 0)
		b.inc(1, 0)
	})
	if len(tk.lines) != 0 {
		t.Errorf("%q", tk.lines)
	}
	for port := range uint16(2 * maxUnreachable) {
		listen(9000+port, func(b testAsk) { b.inc(1, abi.ENOBUFS) })
	}
	if len(tk.lines) != maxUnreachable+1 || !strings.Contains(tk.lines[0], "port 9000 ") || !strings.Contains(tk.lines[0], "ENOBUFS") {
		t.Errorf("%d lines: %q", len(tk.lines), tk.lines)
	}
	var u int32
	p.do(func(c *Call) { u, _ = c.NewSocket(FamilyInet, SockDgram, 0, 0) })
	within(func() abi.Errno { return p.bind(u, at(8000)) }, func(b testAsk) { b.inc(1, abi.ENOBUFS) })
	if m := p.poll(u); m&PollErr == 0 {
		t.Errorf("%#x", m)
	}
}

// far is an address outside.
var far = SockAddr{FamilyInet, []byte{0, 80, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0}}

// TestOutside: what a stream to the outside asks of the net server, and asks again
// after a death of the unix server; what the net server's death means.
func TestOutside(t *testing.T) {
	tk, n := newOutsideKernel(t)
	p := tk.proc(nil)
	s := p.inet(OpenNonblock)
	if e := p.connect(s, far); e != abi.EINPROGRESS {
		t.Fatal(e)
	}
	n.take("connect").inc(1, abi.EINPROGRESS)
	n.none("connect")
	first := n.take("events")
	first.event(1, nil, 0)
	// Another incarnation of the net server is asked from the start, and so it is by
	// another of ours.
	c := n.take("connect")
	tk.restart()
	again := n.take("connect")
	if again.id != c.id {
		t.Fatal(again.id, c.id)
	}
	n.take("events").event(1, nil, 0)
	again.inc(1, 0)
	if m := p.poll(s); m&PollOut == 0 || m&(PollErr|PollHup|PollIn) != 0 {
		t.Fatalf("%#x", m)
	}
	// Each byte is sent once, also if the answer is lost.
	if _, e := p.write(s, "hello"); e != 0 {
		t.Fatal(e)
	}
	if a := n.take("send"); a.data != "hello" || a.seq != 1 {
		t.Fatal(a.data, a.seq)
	}
	tk.restart()
	if a := n.take("send"); a.data != "hello" || a.seq != 1 {
		t.Fatal(a.data, a.seq)
	} else {
		a.n(3, 0)
	}
	n.none("send") // the host has no room
	ev := n.take("events")
	ev.event(1, []net.Event{{ID: c.id, Bits: net.Out}}, 0)
	if a := n.take("send"); a.data != "lo" || a.seq != 2 {
		t.Fatal(a.data, a.seq)
	} else {
		a.n(2, 0)
	}
	// And what comes, comes once.
	if a := n.take("recv"); a.seq != 0 {
		t.Fatal(a.seq)
	} else {
		a.b([]byte("abc"), 0)
	}
	// The first events of an incarnation had it look at all once more.
	n.take("recv").b(nil, abi.EAGAIN)
	n.none("recv")
	tk.restart()
	if a := n.take("recv"); a.seq != 3 {
		t.Fatal(a.seq)
	} else {
		a.b(nil, abi.EAGAIN)
	}
	ev = n.take("events")
	ev.event(1, []net.Event{{ID: c.id, Off: 0, Data: []byte("abc")}}, 0) // told late
	n.take("recv").b(nil, abi.EAGAIN)
	n.take("events").event(1, []net.Event{{ID: c.id, Off: 3, Data: []byte("def")}}, 0)
	n.none("recv")
	if got, e := p.read(s, 10); got != "abcdef" || e != 0 {
		t.Fatal(got, e)
	}
	// The net server dies: the stream is reset.
	n.take("events").event(2, nil, 0)
	if _, e := p.read(s, 10); e != abi.ECONNRESET {
		t.Fatal(e)
	}
	n.take("reset").over()
	p.close(s)
	if tk.Outs.Len() != 0 || tk.Socks.Len() != 0 || len(tk.io.out.rt) != 0 || len(tk.io.out.byID) != 0 {
		t.Fatal(tk.Outs.Len(), tk.Socks.Len(), tk.io.out)
	}
}

// TestOutsideClose: what was written before a close is sent, then the socket is
// closed; a connect that nobody waits for any more goes.
func TestOutsideClose(t *testing.T) {
	tk, n := newOutsideKernel(t)
	p := tk.proc(nil)
	s := p.inet(OpenNonblock)
	p.connect(s, far)
	n.take("connect").inc(1, 0)
	p.write(s, "bye")
	p.close(s)
	n.none("close")
	a := n.take("send")
	n.take("recv").b(nil, abi.EAGAIN)
	tk.restart()
	if a = n.take("send"); a.data != "bye" {
		t.Fatal(a.data)
	}
	n.none("recv")
	a.n(3, 0)
	n.take("close").over()
	s = p.inet(OpenNonblock)
	p.connect(s, far)
	n.take("connect")
	p.close(s)
	n.none("reset") // while the connect has not been answered
	tk.restart()
	n.take("reset").over()
	if tk.Outs.Len() != 0 || tk.Socks.Len() != 0 {
		t.Fatal(tk.Outs.Len(), tk.Socks.Len())
	}
}

// TestPublishedPort: connections to a published port go to who listens, wait for
// room and are refused as others.
func TestPublishedPort(t *testing.T) {
	tk, n := newOutsideKernel(t)
	tk.Enter()
	tk.BootOutside()
	tk.Leave()
	p := tk.proc(nil)
	from := netip.MustParseAddrPort("192.0.2.9:1234")
	n.take("accept").acc(1, 77, from, 0)
	if a := n.take("reset"); a.id != 77 { // nobody listens
		t.Fatal(a.id)
	} else {
		a.over()
	}
	l := p.inet(OpenNonblock)
	if e := p.bind(l, SockAddr{FamilyInet, []byte{8000 >> 8, 8000 & 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}); e != 0 {
		t.Fatal(e)
	}
	p.listen(l, 0)
	a := n.take("accept")
	if a.seq != 2 {
		t.Fatal(a.seq)
	}
	a.acc(1, 78, from, 0)
	n.take("accept").acc(1, 79, from, 0) // for which there is no room yet
	tk.restart()
	if a := n.take("accept"); a.seq != 4 {
		t.Fatal(a.seq)
	}
	first, e := p.accept(l)
	if e != 0 {
		t.Fatal(e)
	}
	p.write(first, "to 78")
	if a := n.take("send"); a.id != 78 || a.data != "to 78" {
		t.Fatal(a.id, a.data)
	}
	second, e := p.accept(l)
	if e != 0 {
		t.Fatal(e)
	}
	p.write(second, "to 79")
	if a := n.take("send"); a.id != 79 || a.data != "to 79" {
		t.Fatal(a.id, a.data)
	}
	p.do(func(c *Call) {
		_, r, fam, _ := c.Sock(second)
		if a, e := fam.Name(r, NamePeer); e != 0 || string(a.Data[:6]) != "\x04\xd2\xc0\x00\x02\x09" {
			t.Error(a, e)
		}
		if a, e := fam.Name(r, NameOwn); e != 0 || string(a.Data[:6]) != "\x1f\x40\x0a\x00\x02\x0f" {
			t.Error(a, e)
		}
	})
	for _, fd := range []int32{first, second, l} {
		p.close(fd)
	}
}
