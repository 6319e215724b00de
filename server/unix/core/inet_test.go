package core

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"hythe/abi"
	"hythe/store"
)

// loop4 is an address of the loopback interface; the port is in host order.
func loop4(port uint16) SockAddr {
	return SockAddr{FamilyInet, []byte{byte(port >> 8), byte(port), 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}}
}

func (th *ioThread) inet(flags uint32) (fd int32) {
	th.tk.t.Helper()
	var e abi.Errno
	th.do(func(c *Call) { fd, e = c.NewSocket(FamilyInet, SockStream, 0, flags) })
	if e != 0 {
		th.tk.t.Fatal(e)
	}
	return fd
}

// TestInetIndexes: what is derived from IP sockets goes with them, also from
// connects that never came to an end, and is there again after a death.
func TestInetIndexes(t *testing.T) {
	tk := newIOKernel(t)
	p := tk.proc(nil)
	l := p.inet(0)
	if e := p.bind(l, loop4(4000)); e != 0 {
		t.Fatal(e)
	}
	if e := p.listen(l, 0); e != 0 {
		t.Fatal(e)
	}
	first := p.inet(0)
	if e := p.connect(first, loop4(4000)); e != 0 {
		t.Fatal(e)
	}
	for range 50 {
		s := p.inet(OpenNonblock)
		if e := p.connect(s, loop4(4000)); e != abi.EINPROGRESS {
			t.Fatal(e)
		}
		p.do(func(c *Call) { c.CloseFD(s) })
	}
	if n := len(tk.io.inet.connecting); n != 0 {
		t.Fatalf("%d connects of sockets that are gone", n)
	}
	waits := p.inet(OpenNonblock)
	p.connect(waits, loop4(4000))
	tk.restart()
	if len(tk.io.inet.listening[4000]) != 1 || len(tk.io.inet.connecting) != 1 {
		t.Fatal(tk.io.inet)
	}
	a, e := p.accept(l)
	if e != 0 || p.poll(waits)&PollOut == 0 {
		t.Fatal(e, p.poll(waits))
	}
	p.do(func(c *Call) {
		for _, fd := range []int32{a, first, waits, l} {
			c.CloseFD(fd)
		}
	})
	if st := tk.io.inet; len(st.ports)+len(st.listening)+len(st.connecting) != 0 || tk.Socks.Len() != 0 {
		t.Fatal(st, tk.Socks.Len())
	}
}

// TestConnectsInTurn: connects that wait for room get it in the order in which they came, and
// nobody waits for who listens no more, whoever else listens on the port.
func TestConnectsInTurn(t *testing.T) {
	tk := newIOKernel(t)
	p := tk.proc(nil)
	listen := func(a SockAddr) int32 {
		l := p.inet(0)
		p.do(func(c *Call) {
			_, r, _, _ := c.Sock(l)
			c.K.Socks.Mut(r).Opts |= optReusePort
		})
		if e := p.bind(l, a); e != 0 {
			t.Fatal(e)
		}
		if e := p.listen(l, 0); e != 0 {
			t.Fatal(e)
		}
		return l
	}
	l := listen(loop4(4000))
	const n = 60
	var wait []int32
	for range n {
		s := p.inet(OpenNonblock)
		if e := p.connect(s, loop4(4000)); e != 0 && e != abi.EINPROGRESS {
			t.Fatal(e)
		}
		wait = append(wait, s)
	}
	// Some give up, among them whose turn it is.
	for i := 1; i < n; i++ {
		if i%3 != 0 {
			p.do(func(c *Call) { c.CloseFD(wait[i]) })
		}
	}
	connected := func(fd int32) bool { return p.poll(fd)&(PollOut|PollHup) == PollOut }
	for i := 0; i < n/2; i += 3 {
		if !connected(wait[i]) || connected(wait[i+3]) {
			t.Fatal(i, "is not the one whose turn it is")
		}
		if _, e := p.accept(l); e != 0 {
			t.Fatal(e)
		}
	}
	// Another listens on the port, by another address, and has no room either.
	other := loop4(4000)
	other.Data[5] = 2
	listen(other)
	full := p.inet(0)
	if e := p.connect(full, other); e != 0 {
		t.Fatal(e)
	}
	late := p.inet(OpenNonblock)
	if e := p.connect(late, other); e != abi.EINPROGRESS {
		t.Fatal(e)
	}
	p.do(func(c *Call) { c.CloseFD(l) })
	w := tk.io.inet.connecting[4000]
	if w == nil || len(w.in) != 1 || len(tk.io.inet.connecting) != 1 || connected(late) {
		t.Fatal(w)
	}
}

// TestNetlinkNumbers: the first socket of a process has its number, others another.
func TestNetlinkNumbers(t *testing.T) {
	tk := newIOKernel(t)
	tk.OnNetlink(func(*Call, int32, []byte, uint32) [][]byte { return nil })
	p := tk.proc(nil)
	any := SockAddr{FamilyNetlink, make([]byte, 10)}
	var fds []int32
	for range 3 {
		p.do(func(c *Call) {
			fd, e := c.NewSocket(FamilyNetlink, SockDgram, NetlinkRoute, 0)
			_, r, fam, _ := c.Sock(fd)
			if e == 0 {
				e = fam.Bind(c, r, any)
			}
			if e != 0 {
				t.Error(e)
			}
			fds = append(fds, fd)
		})
	}
	if len(tk.io.netlinks) != 3 {
		t.Fatal(tk.io.netlinks)
	}
	tk.restart()
	if len(tk.io.netlinks) != 3 || tk.io.netlinks[netlinkKey{0, uint32(tk.Procs.Get(p.p).Pid)}] == 0 {
		t.Fatal(tk.io.netlinks)
	}
	p.do(func(c *Call) {
		for _, fd := range fds {
			c.CloseFD(fd)
		}
	})
	if len(tk.io.netlinks) != 0 {
		t.Fatal(tk.io.netlinks)
	}
}

// TestRaws: of raw sockets there are not too many, also after a death, and packets are made
// for those of their protocol only.
func TestRaws(t *testing.T) {
	tk := newIOKernel(t)
	p := tk.proc(nil)
	raw := func() (fd int32, e abi.Errno) {
		p.do(func(c *Call) { fd, e = c.NewSocket(FamilyInet, SockRaw, ProtoUDP, 0) })
		return fd, e
	}
	var fds []int32
	for range maxRaws {
		fd, e := raw()
		if e != 0 {
			t.Fatal(len(fds), e)
		}
		fds = append(fds, fd)
	}
	for range 2 {
		if _, e := raw(); e != abi.ENOBUFS {
			t.Fatal(e)
		}
		tk.restart()
	}
	if !tk.sniffing(ProtoUDP) || tk.sniffing(ProtoTCP) {
		t.Fatal(tk.sniffing(ProtoUDP), tk.sniffing(ProtoTCP))
	}
	p.close(fds[0])
	fd, e := raw()
	if e != 0 {
		t.Fatal(e)
	}
	// A datagram to nobody, which each hears, and the answer are counted once.
	p.do(func(c *Call) {
		fd, _ := c.NewSocket(FamilyInet, SockDgram, 0, 0)
		f, _, fam, _ := c.Sock(fd)
		to := loop4(4000)
		if n, e := fam.Send(c, f, []byte("datagram"), &SockSend{To: &to}); n != 8 || e != 0 {
			t.Error(n, e)
		}
		c.CloseFD(fd)
	})
	want := netCount{LoBytes: 36 + 64, LoPackets: 2, OutDgrams: 1, NoPorts: 1}
	for range 2 {
		if n := tk.netCounts(); n != want {
			t.Fatalf("%+v", n)
		}
		tk.restart()
	}
	for _, fd := range append(fds[1:], fd) {
		if p.poll(fd)&PollIn == 0 {
			t.Error(fd, "heard nothing")
		}
		p.close(fd)
	}
	if st := tk.io.inet; st.raws != 0 || len(st.ports) != 0 || tk.Socks.Len() != 0 {
		t.Fatal(st, tk.Socks.Len())
	}
}

// TestGroupLooks: a datagram to a group looks at a bounded number of the sockets that have its port.
func TestGroupLooks(t *testing.T) {
	was := maxLooks
	defer func() { maxLooks = was }()
	const others, sent = 40, 100
	tk := newIOKernel(t)
	p := tk.proc(nil)
	dgram := func() (fd int32, r store.Ref[Socket]) {
		p.do(func(c *Call) {
			fd, _ = c.NewSocket(FamilyInet, SockDgram, 0, OpenNonblock)
			_, r, _, _ = c.Sock(fd)
			c.K.Socks.Mut(r).Opts |= optReuseAddr
		})
		return fd, r
	}
	group := ip4(239, 1, 2, 3)
	any := SockAddr{FamilyInet, append([]byte{4000 >> 8, 4000 & 255}, make([]byte, 12)...)}
	bound := func() (store.Ref[Socket], int32) {
		fd, r := dgram()
		if e := p.bind(fd, any); e != 0 {
			t.Fatal(e)
		}
		return r, fd
	}
	member, _ := bound()
	for range others {
		_, fd := bound()
		if e := p.connect(fd, loop4(4001)); e != 0 { // it hears of nobody else
			t.Fatal(e)
		}
	}
	_, w := dgram()
	p.do(func(c *Call) {
		if e := c.K.JoinGroup(member, group, false); e != 0 || !c.K.SetSockOption(w, SockGroupIndex, 1) {
			t.Fatal(e)
		}
	})
	for _, c := range []struct{ looks, least, most int }{{others + 1, sent, sent}, {others / 4, 0, sent - 1}} {
		maxLooks = c.looks
		var got int
		p.do(func(call *Call) {
			x := inetSockets{sockQueues{call.K}}
			for range sent {
				to := SockAddr{FamilyInet, append([]byte{4000 >> 8, 4000 & 255, 239, 1, 2, 3}, make([]byte, 8)...)}
				if _, e := x.sendDgram(call, w, []byte("x"), &SockSend{To: &to}); e != 0 {
					t.Fatal(e)
				}
			}
			got = int(call.K.Socks.Get(member).Queue.N)
			x.drain(call, member)
		})
		if got < c.least || got > c.most {
			t.Errorf("looking at %d: %d of %d came", c.looks, got, sent)
		}
	}
}

// TestResetBetweenPieces: a call that has done a part when the connection is reset answers that part, and
// the next one the error, whichever of the two directions it is.
func TestResetBetweenPieces(t *testing.T) {
	for _, recv := range []bool{false, true} {
		tk := newIOKernel(t)
		p := tk.proc(nil)
		l, s := p.inet(0), p.inet(0)
		if e := p.bind(l, loop4(4000)); e != 0 {
			t.Fatal(e)
		}
		if e := p.listen(l, 0); e != 0 {
			t.Fatal(e)
		}
		if e := p.connect(s, loop4(4000)); e != 0 {
			t.Fatal(e)
		}
		again := func(part uint64) (n uint64, e abi.Errno) {
			p.do(func(c *Call) {
				iov := []IOVec{{ioBase, 10}}
				if c.MutThread().Progress = part; recv {
					n, e = c.RecvV(s, iov, &SockRecv{Flags: MsgWaitAll})
				} else {
					n, e = c.SendV(s, iov, &SockSend{})
				}
				c.MutThread().Progress = 0
			})
			return n, e
		}
		p.do(func(c *Call) {
			f, _, _, _ := c.Sock(s)
			inetSockets{sockQueues{tk.Kernel}}.abort(sockOf(tk.Files.Get(f)))
		})
		if n, e := again(4); n != 4 || e != 0 {
			t.Errorf("receives %v: behind a part: %d, %v", recv, n, e)
		}
		if n, e := again(0); e != abi.ECONNRESET {
			t.Errorf("receives %v: the next one: %d, %v", recv, n, e)
		}
	}
}

// TestGroupCounts: what is counted of groups and of their filters is the same after a death, and nothing of it
// is left when the sockets are gone, however their filters were changed. Where it says that there are none, each
// socket hears what it does if they are looked at.
func TestGroupCounts(t *testing.T) {
	testGroupCounts(t, false)
	testGroupCounts(t, true)
}

func testGroupCounts(t *testing.T, six bool) {
	tk := newIOKernel(t)
	family := uint32(FamilyInet)
	if six {
		family = FamilyInet6
	}
	p := tk.proc(nil)
	rnd := rand.New(rand.NewPCG(1, 2))
	var fds []int32
	var refs []store.Ref[Socket]
	p.do(func(c *Call) {
		for range 3 {
			fd, _ := c.NewSocket(family, SockDgram, 0, OpenNonblock)
			_, r, _, _ := c.Sock(fd)
			fds, refs = append(fds, fd), append(refs, r)
		}
		c.K.SetSockOption(refs[0], SockGroupAll, 0)
	})
	source := func() [16]byte {
		ip := ip4(127, 0, 0, byte(rnd.IntN(20)))
		if six {
			ip = [16]byte{0: 0xfd, 15: byte(rnd.IntN(200))}
		}
		return ip
	}
	most := maxSources4
	if six {
		most = maxSources6
	}
	const steps = 2000
	none := 0 // so often there were no filters
	for range steps {
		p.do(func(c *Call) {
			k, r, g := c.K, refs[rnd.IntN(len(refs))], ip4(239, 1, 2, byte(rnd.IntN(30)))
			if six {
				g = [16]byte{0: 0xff, 15: byte(rnd.IntN(100))}
			}
			include := rnd.IntN(2) == 0
			switch rnd.IntN(8) {
			case 0, 1, 2:
				k.JoinGroup(r, g, include)
			case 3, 4:
				k.AddGroupSource(r, g, include, source())
			case 5:
				k.DropGroupSource(r, g, include, source())
			case 6:
				k.LeaveGroup(r, g)
			case 7:
				f := GroupFilter{Include: include}
				for range rnd.IntN(most + 2) {
					f.Sources = append(f.Sources, source())
				}
				if e := k.SetGroupFilter(r, g, f); len(f.Sources) > most && e != abi.ENOBUFS {
					t.Error(len(f.Sources), e)
				}
			}
			if !k.io.inet.groups[g].filters() {
				none++
			}
			for _, r := range refs {
				s, from := k.Socks.Get(r), source()
				if got, want := k.wantsFrom(s, g, from, k.io.inet.groups[g].filters()), k.wantsFrom(s, g, from, true); got != want {
					t.Errorf("from %v: %v, want %v", from, got, want)
				}
			}
		})
	}
	if none == 0 || none == steps {
		t.Errorf("%d of %d without filters", none, steps)
	}
	was := tk.io.inet.groups
	tk.restart()
	if !reflect.DeepEqual(was, tk.io.inet.groups) {
		t.Fatalf("%v, before %v", tk.io.inet.groups, was)
	}
	for _, fd := range fds {
		p.close(fd)
	}
	if len(tk.io.inet.groups) != 0 {
		t.Fatal(tk.io.inet.groups)
	}
}
