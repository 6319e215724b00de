package plan9

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"hythe/abi"
	"hythe/server/unix/core"
	"hythe/store"
)

// /net (ip(3)): the machine's sockets as files. A conversation is a numbered directory; it
// has a socket from the command on that says what it is for, and is there as long as one
// of its files is open.

// conv is a conversation.
type conv struct {
	Sock    store.Ref[core.File] // 0: none yet, or no more
	Proto   uint32
	State   uint32
	Refs    uint32 // open files
	Headers uint32 // of UDP: each datagram begins with its addresses
	UID     uint32 // whose it is
	Left    uint32 // its socket has ended (hangup)
}

// States of a conversation.
const (
	convIdle       = 0
	convConnecting = 1
	convConnected  = 2
	convAnnounced  = 3
)

// maxConvs is how many there are.
const maxConvs = 1 << 14

// Protocols, as they are named there.
const (
	tcp = 1
	udp = 2
)

var protos = map[string]uint32{"tcp": tcp, "udp": udp}

func protoName(n uint32) string {
	if n == udp {
		return "udp"
	}
	return "tcp"
}

var netFiles = []entry{
	{"cs", kCs, 0o666, ""}, {"dns", kDNS, 0o666, ""}, {"ipifc", kIpifc, 0o555, ""}, {"iproute", kIproute, 0o444, ""}, {"ipselftab", kIpselftab, 0o444, ""},
	{"ndb", kNdb, 0o444, ""}, {"tcp", kNetProto, 0o555, ""}, {"udp", kNetProto, 0o555, ""},
}

var convFiles = []entry{
	{"ctl", kConvCtl, 0o660, ""}, {"data", kConvData, 0o660, ""}, {"err", kConvErr, 0o440, ""}, {"listen", kConvListen, 0o660, ""},
	{"local", kConvLocal, 0o444, ""}, {"remote", kConvRemote, 0o444, ""}, {"status", kConvStatus, 0o444, ""},
}

// isConv says whether a file is of one conversation.
func (n node) isConv() bool { return n.kind >= kConvCtl && n.kind <= kConvStatus }

// netFile answers which file of /net a name below it is.
func (p *Personality) netFile(rest string) (node, abi.Errno) {
	first, rest, deep := strings.Cut(rest, "/")
	e := find(netFiles, first)
	if e == nil {
		return node{}, abi.ENOENT
	}
	proto := protos[first]
	switch {
	case !deep:
		return node{e.kind, proto, first}, 0
	case e.kind == kIpifc:
		id, file, deep := strings.Cut(rest, "/")
		i, ok := number(id)
		if !ok || int(i) >= len(p.interfaces()) {
			return node{}, abi.ENOENT
		}
		if !deep {
			return node{kIfc, uint32(i), id}, 0
		}
		if file == "status" {
			return node{kIfcStatus, uint32(i), file}, 0
		}
		return node{}, abi.ENOENT
	case e.kind != kNetProto:
		return node{}, abi.ENOENT
	case rest == "clone":
		return node{kClone, proto, rest}, 0
	case rest == "stats":
		return node{kNetStats, proto, rest}, 0
	}
	id, file, deep := strings.Cut(rest, "/")
	i, ok := number(id)
	r := store.Ref[conv](i + 1)
	if v := p.convs.Get(r); !ok || i == 1<<31-1 || v == nil || v.Proto != proto {
		return node{}, abi.ENOENT
	}
	if !deep {
		return node{kConv, uint32(r), id}, 0
	}
	if e := find(convFiles, file); e != nil {
		return node{e.kind, uint32(r), file}, 0
	}
	return node{}, abi.ENOENT
}

// netName is the name of one of these files.
func (p *Personality) netName(n node) string {
	dir := func() string {
		return fmt.Sprintf("/net/%s/%d", protoName(p.convs.Get(store.Ref[conv](n.num)).Proto), n.num-1)
	}
	switch {
	case n.kind == kNetDir:
		return "/net"
	case n.kind == kNetProto:
		return "/net/" + protoName(n.num)
	case n.kind == kClone:
		return "/net/" + protoName(n.num) + "/clone"
	case n.kind == kNetStats:
		return "/net/" + protoName(n.num) + "/stats"
	case n.kind == kIfc:
		return fmt.Sprintf("/net/ipifc/%d", n.num)
	case n.kind == kIfcStatus:
		return fmt.Sprintf("/net/ipifc/%d/status", n.num)
	case n.kind == kConv:
		return dir()
	}
	for _, e := range convFiles {
		if e.kind == n.kind {
			return dir() + "/" + e.name
		}
	}
	for _, e := range netFiles {
		if e.kind == n.kind {
			return "/net/" + e.name
		}
	}
	return "/net"
}

// listNet is a directory of /net.
func (p *Personality) listNet(n node) []node {
	var l []node
	switch n.kind {
	case kNetDir:
		for _, e := range netFiles {
			l = append(l, node{e.kind, protos[e.name], e.name})
		}
	case kNetProto:
		l = []node{{kClone, n.num, "clone"}, {kNetStats, n.num, "stats"}}
		p.convs.Each(func(r store.Ref[conv], v *conv) bool {
			if v.Proto == n.num {
				l = append(l, node{kConv, uint32(r), strconv.Itoa(int(r) - 1)})
			}
			return true
		})
	case kConv:
		for _, e := range convFiles {
			l = append(l, node{e.kind, n.num, e.name})
		}
	case kIpifc:
		for i := range p.interfaces() {
			l = append(l, node{kIfc, uint32(i), strconv.Itoa(i)})
		}
	case kIfc:
		l = []node{{kIfcStatus, n.num, "status"}}
	}
	return l
}

// openNet opens one of these files.
func (p *Personality) openNet(c *core.Call, n node, access uint32) (store.Ref[core.File], abi.Errno) {
	switch {
	case n.kind == kCs || n.kind == kDNS:
		f, _, e := p.newOpened(n.kind, access, "")
		return f, e
	case n.kind == kClone:
		r, v := p.convs.New()
		if r == 0 {
			return 0, abi.ENFILE
		}
		*v = conv{Proto: n.num, UID: c.Cred().FSUID, Refs: 1}
		f, e := p.newOwn(node{kind: kConvCtl, num: uint32(r)}, access)
		if e != 0 {
			p.convs.Free(r)
		}
		return f, e
	case !n.isConv():
		return p.newOwn(n, access)
	}
	r := store.Ref[conv](n.num)
	if v := p.convs.Get(r); (n.kind == kConvCtl || n.kind == kConvData || n.kind == kConvListen) && v.UID != c.Cred().FSUID && !c.Capable(core.CapDacOverride) {
		return 0, abi.EACCES
	}
	if n.kind == kConvListen {
		var e abi.Errno
		if r, e = p.accept(c, r); e != 0 {
			return 0, e
		}
		n.kind = kConvCtl
	}
	n.num = uint32(r)
	f, e := p.newOwn(n, access)
	if e == 0 {
		p.convs.Mut(r).Refs++
	} else if p.convs.Get(r).Refs == 0 {
		p.endConv(r)
	}
	return f, e
}

// accept waits for a call to a conversation that was announced, and answers the one that
// it begins.
func (p *Personality) accept(c *core.Call, r store.Ref[conv]) (store.Ref[conv], abi.Errno) {
	v := *p.convs.Get(r)
	if v.State != convAnnounced || v.Proto != tcp || v.Left != 0 {
		return 0, abi.EPIPE
	}
	f, e := c.AcceptSocket(v.Sock)
	switch e {
	case 0:
	case abi.EINVAL: // it does not listen any more
		return 0, abi.EPIPE
	default:
		return 0, noHandler(e)
	}
	p.K.HoldFile(f)
	n, m := p.convs.New()
	if n == 0 {
		p.K.DropFile(c, f)
		return 0, abi.ENFILE
	}
	*m = conv{Sock: f, Proto: tcp, State: convConnected, UID: v.UID}
	return n, 0
}

// noHandler has a call that a note ends begin anew only if there is no handler.
func noHandler(e abi.Errno) abi.Errno {
	if e == abi.ErrRestart {
		return abi.ErrRestartNoHnd
	}
	return e
}

// releaseConv is the end of one open file of a conversation.
func (p *Personality) releaseConv(r store.Ref[conv]) {
	m := p.convs.Mut(r)
	if m.Refs--; m.Refs == 0 {
		p.endConv(r)
	}
}

func (p *Personality) endConv(r store.Ref[conv]) {
	f := p.convs.Get(r).Sock
	p.convs.Free(r)
	if f != 0 {
		p.K.DropFile(nil, f)
	}
}

// netAddr is an address as commands have it: host!port, *!port or port, with what may
// follow. ok is false for what is none.
func netAddr(s string) (ip netip.Addr, port uint16, ok bool) {
	f := strings.Split(s, "!")
	if len(f) > 1 {
		if f[0] != "*" {
			a, err := netip.ParseAddr(f[0])
			if err != nil {
				return ip, 0, false
			}
			ip = a.Unmap().WithZone("")
		}
		f = f[1:]
	}
	n, err := strconv.ParseUint(f[0], 10, 16)
	return ip, uint16(n), err == nil
}

// sockAddr encodes an address for a socket of a family.
func sockAddr(family uint32, ip netip.Addr, port uint16) core.SockAddr {
	b := be.AppendUint16(nil, port)
	if family == core.FamilyInet {
		var a [4]byte
		if ip.Is4() {
			a = ip.As4()
		}
		b = append(b, a[:]...)
		return core.SockAddr{Family: core.FamilyInet, Data: append(b, make([]byte, 8)...)}
	}
	var a [16]byte
	if ip.IsValid() {
		a = ip.As16()
	}
	b = append(append(b, 0, 0, 0, 0), a[:]...)
	return core.SockAddr{Family: core.FamilyInet6, Data: append(b, 0, 0, 0, 0)}
}

// addrOf decodes one.
func addrOf(a core.SockAddr) (ip netip.Addr, port uint16) {
	switch {
	case a.Family == core.FamilyInet && len(a.Data) >= 6:
		return netip.AddrFrom4([4]byte(a.Data[2:6])), be.Uint16(a.Data)
	case a.Family == core.FamilyInet6 && len(a.Data) >= 22:
		return netip.AddrFrom16([16]byte(a.Data[6:22])).Unmap(), be.Uint16(a.Data)
	}
	return netip.Addr{}, 0
}

// showAddr is how local and remote have it.
func showAddr(ip netip.Addr, port uint16) string {
	if !ip.IsValid() || ip.IsUnspecified() {
		return fmt.Sprintf("::!%d\n", port)
	}
	return fmt.Sprintf("%s!%d\n", ip, port)
}

// control serves a command to a conversation, of its owner: who may do more, and was only
// given the file to write to, announces nothing for that.
func (p *Personality) control(c *core.Call, r store.Ref[conv], text string) abi.Errno {
	v := *p.convs.Get(r)
	if v.UID != c.Cred().FSUID {
		return abi.EACCES
	}
	f := strings.Fields(text)
	if len(f) == 0 {
		return abi.EINVAL
	}
	switch f[0] {
	case "connect":
		if len(f) < 2 || len(f) > 3 {
			return abi.EINVAL
		}
		ip, port, ok := netAddr(f[1])
		if !ok || !ip.IsValid() {
			return abi.EINVAL
		}
		return p.connect(c, r, ip, port, f[2:])
	case "announce", "bind":
		if len(f) != 2 {
			return abi.EINVAL
		}
		ip, port, ok := netAddr(f[1])
		if !ok {
			return abi.EINVAL
		}
		return p.announce(c, r, ip, port)
	case "hangup", "close":
		if v.Sock == 0 {
			return 0
		}
		s, fam := p.K.SocketOf(v.Sock)
		p.convs.Mut(r).Left = 1
		_ = fam.Shutdown(c, s, core.ShutRecv|core.ShutSend)
		return 0
	case "headers":
		if v.Proto != udp {
			return abi.EINVAL
		}
		p.convs.Mut(r).Headers = 1
		return 0
	case "keepalive", "ttl", "tos", "ignoreadvice", "checksum", "tcpporthogdefense", "maxfragsize":
		return 0 // what only packets would show
	}
	return abi.EINVAL
}

// connect serves connect: where to, and from where if that is said.
func (p *Personality) connect(c *core.Call, r store.Ref[conv], ip netip.Addr, port uint16, local []string) abi.Errno {
	v := *p.convs.Get(r)
	family := uint32(core.FamilyInet)
	if ip.Is6() {
		family = core.FamilyInet6
	}
	switch v.State {
	case convIdle:
		f, e := p.socket(c, v.Proto, family)
		if e != 0 {
			return e
		}
		if len(local) > 0 {
			from, port, ok := netAddr(local[0])
			e := abi.EINVAL
			if ok {
				s, fam := p.K.SocketOf(f)
				e = fam.Bind(c, s, sockAddr(family, from, port))
			}
			if e != 0 {
				p.K.DropFile(c, f)
				return e
			}
		}
		m := p.convs.Mut(r)
		m.Sock, m.State, m.Left = f, convConnecting, 0
		v = *m
	case convConnecting: // again, after a death of the server
	default:
		return abi.EISCONN
	}
	c.PinFile(v.Sock)
	defer c.UnpinFile(v.Sock)
	_, fam := p.K.SocketOf(v.Sock)
	e := fam.Connect(c, v.Sock, sockAddr(family, ip, port))
	if e == abi.ErrRestart || p.convs.Get(r) == nil || p.convs.Get(r).Sock != v.Sock {
		return noHandler(e)
	}
	m := p.convs.Mut(r)
	switch {
	case e == 0 || e == abi.EISCONN:
		m.State = convConnected
		return 0
	case m.Left != 0:
		e = abi.EPIPE
	}
	m.Sock, m.State = 0, convIdle
	p.K.DropFile(c, v.Sock)
	return e
}

// socket makes one that the caller holds.
func (p *Personality) socket(c *core.Call, proto, family uint32) (store.Ref[core.File], abi.Errno) {
	typ := uint32(core.SockStream)
	if proto == udp {
		typ = core.SockDgram
	}
	f, e := c.OpenSocket(family, typ, 0)
	if e == 0 {
		p.K.HoldFile(f)
	}
	return f, e
}

// announce serves announce: calls, or datagrams, to an address come here.
func (p *Personality) announce(c *core.Call, r store.Ref[conv], ip netip.Addr, port uint16) abi.Errno {
	if v := p.convs.Get(r); v.State != convIdle {
		return abi.EISCONN
	}
	family := uint32(core.FamilyInet6) // IPv4's too
	if ip.Is4() {
		family = core.FamilyInet
	}
	proto := p.convs.Get(r).Proto
	f, e := p.socket(c, proto, family)
	if e != 0 {
		return e
	}
	s, fam := p.K.SocketOf(f)
	e = fam.Bind(c, s, sockAddr(family, ip, port))
	if e == 0 && proto == tcp {
		e = fam.Listen(c, s, 128)
	}
	if e != 0 {
		p.K.DropFile(c, f)
		return e
	}
	m := p.convs.Mut(r)
	m.Sock, m.State, m.Left = f, convAnnounced, 0
	return 0
}

// sizeHeader is the size of what is before a datagram: where it comes from, where it went
// to and the interface's address, 16 bytes each; the two ports.
const sizeHeader = 3*16 + 2*2

// receive reads from a conversation.
func (p *Personality) receive(c *core.Call, r store.Ref[conv], buf []byte) (int, abi.Errno) {
	v := *p.convs.Get(r)
	if v.Sock == 0 || v.State == convAnnounced && v.Proto == tcp {
		return 0, abi.EPIPE
	}
	c.PinFile(v.Sock)
	defer c.UnpinFile(v.Sock)
	_, fam := p.K.SocketOf(v.Sock)
	var m core.SockRecv
	head := buf[:0]
	if v.Headers != 0 {
		if len(buf) < sizeHeader {
			return 0, abi.EINVAL
		}
		head, buf = buf[:sizeHeader], buf[sizeHeader:]
	}
	n, e := fam.Recv(c, v.Sock, buf, &m)
	p.K.DropRights(c, m.Files)
	if e != 0 || v.Headers == 0 || n == 0 && m.From.Family == 0 {
		return n, e
	}
	from, port := addrOf(m.From)
	a, to := from.As16(), m.To
	copy(head, a[:])
	copy(head[16:], to[:])
	copy(head[32:], to[:])
	be.PutUint16(head[48:], port)
	if s, fam := p.K.SocketOf(v.Sock); s != 0 {
		if name, e := fam.Name(s, core.NameOwn); e == 0 {
			_, own := addrOf(name)
			be.PutUint16(head[50:], own)
		}
	}
	return sizeHeader + n, 0
}

// send writes to a conversation.
func (p *Personality) send(c *core.Call, r store.Ref[conv], data []byte) (int, abi.Errno) {
	v := *p.convs.Get(r)
	if v.Sock == 0 || v.State == convAnnounced && v.Proto == tcp {
		return 0, abi.EPIPE
	}
	c.PinFile(v.Sock)
	defer c.UnpinFile(v.Sock)
	s, fam := p.K.SocketOf(v.Sock)
	m := core.SockSend{Flags: core.MsgNoSignal}
	if v.Headers == 0 {
		return fam.Send(c, v.Sock, data, &m)
	}
	if len(data) < sizeHeader {
		return 0, abi.EINVAL
	}
	to := sockAddr(p.K.Socks.Get(s).Family, netip.AddrFrom16([16]byte(data)).Unmap(), be.Uint16(data[48:]))
	m.To = &to
	n, e := fam.Send(c, v.Sock, data[sizeHeader:], &m)
	if e != 0 {
		return 0, e
	}
	return sizeHeader + n, 0
}

// netContent is what such a file says.
func (p *Personality) netContent(n node) (string, abi.Errno) {
	switch n.kind {
	case kNetStats:
		return "", 0
	case kIproute:
		s := ""
		for i, x := range p.interfaces() {
			for _, a := range x.addrs {
				t := "4i"
				if a.Addr().Is6() {
					t = "6i"
				}
				s += fmt.Sprintf("%-15s %-4s %-15s %s    ifc %d\n", a.Masked().Addr(), maskOf(a), a.Addr(), t, i)
			}
		}
		return s, 0
	case kIpselftab:
		s := ""
		for i, x := range p.interfaces() {
			for _, a := range x.addrs {
				s += fmt.Sprintf("%-39s %2d %2d u\n", a.Addr(), 1, i)
			}
		}
		return s, 0
	case kIfcStatus:
		l := p.interfaces()
		if int(n.num) >= len(l) {
			return "", abi.EIDRM
		}
		x := l[n.num]
		s := fmt.Sprintf("device %s maxtu %d sendra 0 recvra 0 mflag 0 oflag 0 maxraint 600000 minraint 200000 linkmtu 0 reachtime 0 rxmitra 0 ttl 255 routerlt 1800000 pktin 0 pktout 0 errin 0 errout 0\n", x.device, x.MTU)
		for _, a := range x.addrs {
			s += fmt.Sprintf("\t%s %s %s 4294967295 4294967295\n", a.Addr(), maskOf(a), a.Masked().Addr())
		}
		return s, 0
	}
	r := store.Ref[conv](n.num)
	v := p.convs.Get(r)
	name := func(which core.SockName) string {
		if v.Sock == 0 {
			return showAddr(netip.Addr{}, 0)
		}
		s, fam := p.K.SocketOf(v.Sock)
		a, e := fam.Name(s, which)
		if e != 0 {
			return showAddr(netip.Addr{}, 0)
		}
		return showAddr(addrOf(a))
	}
	switch n.kind {
	case kConvCtl:
		return strconv.Itoa(int(r) - 1), 0
	case kConvLocal:
		return name(core.NameOwn), 0
	case kConvRemote:
		return name(core.NameAccepted), 0
	case kConvErr:
		return "", 0
	case kConvStatus:
		state := "Closed"
		switch {
		case v.Left != 0:
		case v.State == convAnnounced && v.Proto == tcp:
			state = "Listen"
		case v.State == convConnecting:
			state = "Syn_sent"
		case v.State != convIdle && v.Proto == udp:
			state = "Open"
		case v.State == convConnected:
			state = "Established"
			if s, _ := p.K.SocketOf(v.Sock); p.K.Socks.Get(s).State != core.SockConnected {
				state = "Finished"
			}
		}
		return state + " qin 0 qout 0 rq 0.0 srtt 0 mdev 0 sst 65535 cwin 0 swin 0>>0 rwin 0>>0 qscale 0 timer.start 10 timer.count 10 rerecv 0 katimer.start 2400 katimer.count 2400\n", 0
	}
	return "", abi.EACCES
}

// iface is an interface of the machine as it is shown there.
type iface struct {
	*core.Iface
	device string
	addrs  []netip.Prefix
}

func (p *Personality) interfaces() []iface {
	var l []iface
	for _, f := range p.K.Ifaces() {
		x := iface{f, "/dev/null", []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4(f.Addr), int(f.Bits))}}
		if f.Loopback {
			x.addrs = append(x.addrs, netip.PrefixFrom(netip.IPv6Loopback(), 128))
		} else {
			x.device = "pkt0"
		}
		l = append(l, x)
	}
	return l
}

// maskOf is how a prefix is written there: of 128 bits.
func maskOf(a netip.Prefix) string {
	n := a.Bits()
	if a.Addr().Is4() {
		n += 96
	}
	return "/" + strconv.Itoa(n)
}
