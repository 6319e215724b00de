package bsd

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/server/unix/core"
	"hythe/store"
)

// Sockets. A name is a byte of length, a byte of family, and then what Linux has too;
// numbers are those of sys/socket.h.

const (
	typeMask     = 0xf
	typeCloexec  = 0x10000000
	typeNonblock = 0x20000000
	famUnix      = 1
	famInet      = 2
	maxSockaddr  = 128
	solSocket    = 0xffff
	scmRights    = 1
	maxRights    = 253
)

// SockNumbers are the numbers in which the systems differ: of a family, of MSG_ flags,
// of options.
type SockNumbers struct {
	Inet6                          uint8
	MsgNosignal, MsgCloexec        uint32
	Timestamp, Sndtimeo, Rcvtimeo  uint32
	KeepIdle, KeepIntvl, KeepCount uint32
	// PeerCred is the option, at level 0, that tells who is at a unix socket's other end, and
	// PutPeer encodes that.
	PeerCred uint32
	PutPeer  func(pid, uid, gid uint32) []byte
	// V6Only: IPv6's sockets never have IPv4's addresses, whatever IPV6_V6ONLY is set to.
	V6Only bool
}

func (p *Personality) family(n uint32) (uint32, bool) {
	switch n {
	case famUnix:
		return core.FamilyUnix, true
	case famInet:
		return core.FamilyInet, true
	case uint32(p.Sys.Sock.Inet6):
		return core.FamilyInet6, true
	}
	return 0, false
}

func (p *Personality) nativeFamily(n uint16) uint8 {
	switch uint32(n) {
	case core.FamilyUnix:
		return famUnix
	case core.FamilyInet:
		return famInet
	case core.FamilyInet6:
		return p.Sys.Sock.Inet6
	}
	return 0
}

func sockFlags(t uint64) uint32 {
	var f uint32
	if t&typeCloexec != 0 {
		f |= core.OpenCloexec
	}
	if t&typeNonblock != 0 {
		f |= core.OpenNonblock
	}
	return f
}

func (p *Personality) sockArgs(c *core.Call) (family, typ uint32, e abi.Errno) {
	family, ok := p.family(uint32(c.Args[0]))
	if !ok {
		return 0, 0, abi.EAFNOSUPPORT
	}
	t := uint32(c.Args[1])
	if t&^(typeMask|typeCloexec|typeNonblock) != 0 {
		return 0, 0, abi.EINVAL
	}
	return family, t & typeMask, 0
}

// Socket serves socket(2).
func Socket(p *Personality, c *core.Call) (uint64, abi.Errno) {
	family, typ, e := p.sockArgs(c)
	if e != 0 {
		return 0, e
	}
	if typ == core.SockRaw && family != core.FamilyUnix {
		return 0, abi.EPERM // what they receive differs from Linux's, and from system to system
	}
	fd, e := c.NewSocket(family, typ, int32(c.Args[2]), sockFlags(c.Args[1]))
	if e == 0 && family == core.FamilyInet6 && p.Sys.Sock.V6Only {
		_, r, _, _ := c.Sock(fd)
		c.K.SetV6Only(r, true)
	}
	return uint64(uint32(fd)), e
}

// Socketpair serves socketpair(2).
func Socketpair(p *Personality, c *core.Call) (uint64, abi.Errno) {
	family, typ, e := p.sockArgs(c)
	if e != 0 {
		return 0, e
	}
	a, b, e := c.SocketPair(family, typ, int32(c.Args[2]), sockFlags(c.Args[1]))
	if e != 0 {
		return 0, e
	}
	copyPair(c, c.Args[3], a, b)
	return 0, 0
}

func (p *Personality) addr(c *core.Call, at uint64, n int32) (core.SockAddr, abi.Errno) {
	if n < 0 || n > maxSockaddr || n == 1 {
		return core.SockAddr{}, abi.EINVAL
	}
	if n == 0 {
		return core.SockAddr{}, 0
	}
	b, e := c.CopyIn(at, int(n))
	if e != 0 {
		return core.SockAddr{}, e
	}
	family, ok := p.family(uint32(b[1]))
	if !ok {
		return core.SockAddr{}, abi.EAFNOSUPPORT
	}
	a := core.SockAddr{Family: uint16(family), Data: append([]byte(nil), b[2:]...)}
	if family == core.FamilyUnix {
		// Its path ends with the name or at a NUL; there are no others.
		for i, x := range a.Data {
			if x == 0 {
				a.Data = a.Data[:i]
				break
			}
		}
		if len(a.Data) > 104 {
			return core.SockAddr{}, abi.EINVAL
		}
		a.Data = append(a.Data, 0)
	}
	return a, 0
}

func (p *Personality) rawAddr(a core.SockAddr) []byte {
	if a.Family == 0 {
		return nil
	}
	d := a.Data
	if uint32(a.Family) == core.FamilyUnix && len(d) > 0 && d[0] == 0 {
		d = nil // a name of Linux's that is none here
	}
	b := append([]byte{0, p.nativeFamily(a.Family)}, d...)
	if uint32(a.Family) == core.FamilyUnix && len(b) < 16 {
		b = append(b, make([]byte, 16-len(b))...)
	}
	b[0] = byte(min(len(b), 255))
	return b
}

// putAddr stores a name of which room bytes fit, and its length.
func (p *Personality) putAddr(c *core.Call, a core.SockAddr, at, lenp uint64, room uint32) {
	b := p.rawAddr(a)
	b = b[:min(len(b), int(room))]
	c.CopyOut(at, b)
	c.CopyOut32(lenp, uint32(len(b)))
}

// room fetches how long a name may be.
func nameRoom(c *core.Call, lenp uint64) (uint32, abi.Errno) {
	v, e := c.CopyIn32(lenp)
	if e == 0 && int32(v) < 0 {
		e = abi.EINVAL
	}
	return v, e
}

// Bind serves bind(2), Connect connect(2), Listen listen(2).
func Bind(p *Personality, c *core.Call) (uint64, abi.Errno) {
	if _, _, _, e := c.Sock(int32(c.Args[0])); e != 0 {
		return 0, e
	}
	a, e := p.addr(c, c.Args[1], int32(c.Args[2]))
	if e != 0 {
		return 0, e
	}
	_, r, fam, e := c.Sock(int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	return 0, fam.Bind(c, r, a)
}

// Connect serves connect(2).
func Connect(p *Personality, c *core.Call) (uint64, abi.Errno) {
	if _, _, _, e := c.Sock(int32(c.Args[0])); e != 0 {
		return 0, e
	}
	a, e := p.addr(c, c.Args[1], int32(c.Args[2]))
	if e != 0 {
		return 0, e
	}
	return 0, c.ConnectFD(int32(c.Args[0]), a)
}

// Listen serves listen(2).
func Listen(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	_, r, fam, e := c.Sock(int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	return 0, fam.Listen(c, r, int32(c.Args[1]))
}

// Accept serves accept(2), Accept4 accept4(2).
func Accept(p *Personality, c *core.Call) (uint64, abi.Errno) { return p.accept(c, 0) }

// Accept4 serves accept4(2).
func Accept4(p *Personality, c *core.Call) (uint64, abi.Errno) {
	fl := uint64(uint32(c.Args[3]))
	if fl&^(typeCloexec|typeNonblock) != 0 {
		return 0, abi.EINVAL
	}
	return p.accept(c, sockFlags(fl))
}

// Paccept serves paccept(2): accept4(2) with a set of signals that are blocked meanwhile
// (0: none) before the flags.
func Paccept(p *Personality, c *core.Call) (uint64, abi.Errno) {
	fl := uint64(uint32(c.Args[4]))
	if fl&^(typeCloexec|typeNonblock) != 0 {
		return 0, abi.EINVAL
	}
	if c.Args[3] != 0 {
		b, e := c.CopyIn(c.Args[3], SetSize)
		if e != 0 {
			return 0, e
		}
		c.WithMask(p.Sys.Signals.GetSet(b))
	}
	return p.accept(c, sockFlags(fl))
}

func (p *Personality) accept(c *core.Call, flags uint32) (uint64, abi.Errno) {
	var room uint32
	if c.Args[1] != 0 {
		var e abi.Errno
		if room, e = nameRoom(c, c.Args[2]); e != 0 {
			return 0, e
		}
	}
	fd, r, e := c.AcceptFD(int32(c.Args[0]), flags)
	if e != 0 {
		return 0, e
	}
	if c.Args[1] != 0 {
		_, _, fam, _ := c.Sock(fd)
		a, _ := fam.Name(r, core.NameAccepted)
		p.putAddr(c, a, c.Args[1], c.Args[2], room)
	}
	return uint64(uint32(fd)), 0
}

// Getsockname serves getsockname(2), Getpeername getpeername(2).
func Getsockname(p *Personality, c *core.Call) (uint64, abi.Errno) {
	return p.sockName(c, core.NameOwn)
}

// Getpeername serves getpeername(2).
func Getpeername(p *Personality, c *core.Call) (uint64, abi.Errno) {
	return p.sockName(c, core.NamePeer)
}

func (p *Personality) sockName(c *core.Call, which core.SockName) (uint64, abi.Errno) {
	if _, _, _, e := c.Sock(int32(c.Args[0])); e != 0 {
		return 0, e
	}
	room, e := nameRoom(c, c.Args[2])
	if e != 0 {
		return 0, e
	}
	_, r, fam, e := c.Sock(int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	a, e := fam.Name(r, which)
	if e != 0 {
		return 0, e
	}
	p.putAddr(c, a, c.Args[1], c.Args[2], room)
	return 0, 0
}

// Shutdown serves shutdown(2).
func Shutdown(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	_, r, fam, e := c.Sock(int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	how := uint32(c.Args[1])
	if how > 2 {
		return 0, abi.EINVAL
	}
	return 0, fam.Shutdown(c, r, how+1)
}

// msgBits are MSG_ flags by the core's (sys/socket.h).
var msgBits = []struct{ native, core uint32 }{
	{0x1, core.MsgOOB}, {0x2, core.MsgPeek}, {0x4, 0x4}, {0x8, core.MsgEOR}, {0x10, core.MsgTrunc}, {0x20, core.MsgCTrunc},
	{0x40, core.MsgWaitAll}, {0x80, core.MsgDontWait},
}

func (p *Personality) msgFlags(f uint32) uint32 {
	var out uint32
	if f&p.Sys.Sock.MsgNosignal != 0 {
		out |= core.MsgNoSignal
	}
	if f&p.Sys.Sock.MsgCloexec != 0 {
		out |= core.MsgCmsgCloex
	}
	for _, b := range msgBits {
		if f&b.native != 0 {
			out |= b.core
		}
	}
	return out
}

func nativeMsg(f uint32) uint32 {
	var out uint32
	for _, b := range msgBits {
		if f&b.core != 0 {
			out |= b.native
		}
	}
	return out
}

// Sendto serves sendto(2).
func Sendto(p *Personality, c *core.Call) (uint64, abi.Errno) {
	if _, _, _, e := c.Sock(int32(c.Args[0])); e != 0 {
		return 0, e
	}
	m := core.SockSend{Flags: p.msgFlags(uint32(c.Args[3]))}
	if c.Args[4] != 0 {
		a, e := p.addr(c, c.Args[4], int32(c.Args[5]))
		if e != 0 {
			return 0, e
		}
		if a.Family != 0 {
			m.To = &a
		}
	}
	return c.SendV(int32(c.Args[0]), []core.IOVec{{Base: c.Args[1], Len: c.Args[2]}}, &m)
}

// Recvfrom serves recvfrom(2).
func Recvfrom(p *Personality, c *core.Call) (uint64, abi.Errno) {
	if _, _, _, e := c.Sock(int32(c.Args[0])); e != 0 {
		return 0, e
	}
	var room uint32
	named := c.Args[4] != 0 && c.Args[5] != 0
	if named {
		var e abi.Errno
		if room, e = nameRoom(c, c.Args[5]); e != 0 {
			return 0, e
		}
	}
	m := core.SockRecv{Flags: p.msgFlags(uint32(c.Args[3]))}
	n, e := c.RecvV(int32(c.Args[0]), []core.IOVec{{Base: c.Args[1], Len: c.Args[2]}}, &m)
	c.K.DropRights(c, m.Files)
	if e != 0 {
		return 0, e
	}
	if named {
		p.putAddr(c, m.From, c.Args[4], c.Args[5], room)
	}
	return n, 0
}

// msghdr is struct msghdr, 48 bytes: name 0, its length 8, iovec 16, their number 24,
// control data 32, their length 40, flags 44.
type msghdr struct {
	name       uint64
	nameLen    uint32
	iov        []core.IOVec
	control    uint64
	controlLen uint32
}

const msghdrControl, msghdrFlags, cmsgHead = 40, 44, 16

func msghdrArg(c *core.Call, addr uint64) (msghdr, abi.Errno) {
	le := binary.LittleEndian
	c.InReset()
	b, e := c.CopyIn(addr, 48)
	if e != 0 {
		return msghdr{}, e
	}
	h := msghdr{name: le.Uint64(b), nameLen: le.Uint32(b[8:]), control: le.Uint64(b[32:]), controlLen: le.Uint32(b[msghdrControl:])}
	iov, n := le.Uint64(b[16:]), int32(le.Uint32(b[24:]))
	if n < 0 || n > 1024 {
		return h, abi.EMSGSIZE
	}
	h.iov, e = c.IOVecs(iov, int(n))
	return h, e
}

// Sendmsg serves sendmsg(2). Control data: struct cmsghdr is length 4, level 4, type 4,
// and the data behind 16 bytes.
func Sendmsg(p *Personality, c *core.Call) (uint64, abi.Errno) {
	le := binary.LittleEndian
	fd := int32(c.Args[0])
	if _, _, _, e := c.Sock(fd); e != 0 {
		return 0, e
	}
	h, e := msghdrArg(c, c.Args[1])
	if e != 0 {
		return 0, e
	}
	m := core.SockSend{Flags: p.msgFlags(uint32(c.Args[2]))}
	if h.name != 0 && h.nameLen > 0 {
		a, e := p.addr(c, h.name, int32(min(h.nameLen, maxSockaddr)))
		if e != 0 {
			return 0, e
		}
		m.To = &a
	}
	if h.control != 0 && h.controlLen > 0 {
		if h.controlLen > 1<<14 {
			return 0, abi.EINVAL
		}
		b, e := c.CopyIn(h.control, int(h.controlLen))
		if e != 0 {
			return 0, e
		}
		b = append([]byte(nil), b...)
		for len(b) >= cmsgHead {
			n := int(le.Uint32(b))
			if n < cmsgHead || n > len(b) {
				return 0, abi.EINVAL
			}
			if le.Uint32(b[4:]) != solSocket || le.Uint32(b[8:]) != scmRights {
				return 0, abi.EINVAL
			}
			for d := b[cmsgHead:n]; len(d) >= 4; d = d[4:] {
				f, file, e := c.File(int32(le.Uint32(d)))
				if e != 0 {
					return 0, e
				}
				if file.Kind == core.FileKqueue {
					return 0, abi.EOPNOTSUPP
				}
				m.Files = append(m.Files, f)
			}
			if len(m.Files) > maxRights {
				return 0, abi.EINVAL
			}
			b = b[min(len(b), (n+7)&^7):]
		}
	}
	defer c.PinFiles(m.Files)()
	return c.SendV(fd, h.iov, &m)
}

// Recvmsg serves recvmsg(2).
func Recvmsg(p *Personality, c *core.Call) (uint64, abi.Errno) {
	fd := int32(c.Args[0])
	if _, _, _, e := c.Sock(fd); e != 0 {
		return 0, e
	}
	h, e := msghdrArg(c, c.Args[1])
	if e != 0 {
		return 0, e
	}
	flags := p.msgFlags(uint32(c.Args[2]))
	m := core.SockRecv{Flags: flags}
	n, e := c.RecvV(fd, h.iov, &m)
	if e != 0 {
		c.K.DropRights(c, m.Files)
		return 0, e
	}
	out := nativeMsg(m.Flags & (core.MsgTrunc | core.MsgEOR | core.MsgOOB))
	used := uint32(0)
	if len(m.Files) > 0 {
		var cut bool
		if used, cut = recvRights(c, &h, m.Files, flags); cut {
			out |= nativeMsg(core.MsgCTrunc)
		}
	}
	if h.name != 0 {
		b := p.rawAddr(m.From)
		b = b[:min(len(b), int(h.nameLen))]
		c.CopyOut(h.name, b)
		c.CopyOut32(c.Args[1]+8, uint32(len(b)))
	}
	c.CopyOut32(c.Args[1]+msghdrControl, used)
	c.CopyOut32(c.Args[1]+msghdrFlags, out)
	return n, 0
}

// recvRights gives the caller what files of a message fit into the room for control
// data, and answers what that takes and whether others were lost.
func recvRights(c *core.Call, h *msghdr, files []store.Ref[core.File], flags uint32) (used uint32, cut bool) {
	fit := 0
	if h.control != 0 && h.controlLen > cmsgHead {
		fit = min(len(files), int(h.controlLen-cmsgHead)/4)
	}
	var fdf uint32
	if flags&core.MsgCmsgCloex != 0 {
		fdf = core.FDCloexec
	}
	rest := append([]store.Ref[core.File](nil), files[fit:]...)
	fds := c.InstallRights(files[:fit], fdf)
	c.K.DropRights(c, rest)
	cut = len(fds) < len(files)
	if len(fds) == 0 {
		return 0, cut
	}
	le := binary.LittleEndian
	b := make([]byte, cmsgHead+4*len(fds))
	le.PutUint32(b, uint32(len(b)))
	le.PutUint32(b[4:], solSocket)
	le.PutUint32(b[8:], scmRights)
	for i, fd := range fds {
		le.PutUint32(b[cmsgHead+4*i:], uint32(fd))
	}
	c.CopyOut(h.control, b)
	if !c.Arrived() {
		for _, fd := range fds {
			_ = c.CloseFD(fd)
		}
		return 0, true
	}
	return min((uint32(len(b))+7)&^7, h.controlLen), cut
}

// Options of SOL_SOCKET (sys/socket.h).
const (
	soDebug      = 0x1
	soAcceptconn = 0x2
	soReuseaddr  = 0x4
	soKeepalive  = 0x8
	soDontroute  = 0x10
	soBroadcast  = 0x20
	soLinger     = 0x80
	soOobinline  = 0x100
	soReuseport  = 0x200
	soSndbuf     = 0x1001
	soRcvbuf     = 0x1002
	soSndlowat   = 0x1003
	soRcvlowat   = 0x1004
	soError      = 0x1007
	soType       = 0x1008

	maxSockBuf = 2 << 20
)

// optionBit is the bit of Socket.Opts by which an option is kept, Linux's number for it.
func (p *Personality) optionBit(opt uint32) (uint32, bool) {
	switch opt {
	case soDebug:
		return 1, true
	case soReuseaddr:
		return 2, true
	case soDontroute:
		return 5, true
	case soBroadcast:
		return 6, true
	case soKeepalive:
		return 9, true
	case soOobinline:
		return 10, true
	case soReuseport:
		return 15, true
	case p.Sys.Sock.Timestamp:
		return 29, true
	}
	return 0, false
}

// inetKey is the key by which the core keeps an option of IP (core.SockOption), Linux's
// level and number.
func (p *Personality) inetKey(level int32, opt uint32) (uint32, bool) {
	const ip, tcp, ipv6 = 0, 6, 41
	n := &p.Sys.Sock
	key := func(l, o uint32) (uint32, bool) { return l<<16 | o, true }
	switch {
	case level == tcp && opt == 1: // TCP_NODELAY
		return key(tcp, 1)
	case level == tcp && opt == n.KeepIdle:
		return key(tcp, 4)
	case level == tcp && opt == n.KeepIntvl:
		return key(tcp, 5)
	case level == tcp && opt == n.KeepCount:
		return key(tcp, 6)
	case level == ip && opt == 3: // IP_TOS
		return core.SockClass4, true
	case level == ip && opt == 4: // IP_TTL
		return core.SockLife4, true
	case level == ipv6 && opt == 4: // IPV6_UNICAST_HOPS
		return core.SockLife6, true
	}
	return 0, false
}

const v6Only = 27

// Setsockopt serves setsockopt(2).
func Setsockopt(p *Personality, c *core.Call) (uint64, abi.Errno) {
	le := binary.LittleEndian
	if _, _, _, e := c.Sock(int32(c.Args[0])); e != 0 {
		return 0, e
	}
	level, opt, n := int32(c.Args[1]), uint32(c.Args[2]), int32(c.Args[4])
	if n < 4 {
		return 0, abi.EINVAL
	}
	b, e := c.CopyIn(c.Args[3], int(min(n, 16)))
	if e != 0 {
		return 0, e
	}
	var buf [16]byte
	copy(buf[:], b)
	v := int32(le.Uint32(buf[:]))
	_, r, _, e := c.Sock(int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	s := c.K.Socks.Mut(r)
	if level != solSocket {
		if level == 41 && opt == v6Only && s.Family == core.FamilyInet6 {
			if !c.K.SetV6Only(r, v != 0 || p.Sys.Sock.V6Only) {
				return 0, abi.EINVAL
			}
			return 0, 0
		}
		key, ok := p.inetKey(level, opt)
		if !ok || s.Family != core.FamilyInet && s.Family != core.FamilyInet6 {
			return 0, abi.ENOPROTOOPT
		}
		if !c.K.SetSockOption(r, key, v) {
			return 0, abi.ENOBUFS
		}
		return 0, 0
	}
	if bit, ok := p.optionBit(opt); ok {
		s.Opts &^= 1 << bit
		if v != 0 {
			s.Opts |= 1 << bit
		}
		return 0, 0
	}
	switch opt {
	case soSndbuf, soRcvbuf:
		if v <= 0 || v > maxSockBuf {
			return 0, abi.ENOBUFS
		}
		if opt == soRcvbuf {
			s.RcvBuf = uint32(max(v, 2304))
			break
		}
		s.SndBuf = uint32(max(v, 4608))
		c.K.WakeSocket(r)
	case soLinger:
		if n < 8 {
			return 0, abi.EINVAL
		}
		s.Linger = 0
		if v != 0 {
			s.Linger = 1 | le.Uint32(buf[4:])<<1
		}
	case soRcvlowat:
		if v <= 0 {
			return 0, abi.EINVAL
		}
		s.RcvLowat = uint32(v)
	case p.Sys.Sock.Rcvtimeo, p.Sys.Sock.Sndtimeo:
		ns, ok := p.timeval(buf[:])
		if n < 16 || !ok {
			return 0, abi.EDOM
		}
		if opt == p.Sys.Sock.Rcvtimeo {
			s.RcvTimeo = ns
		} else {
			s.SndTimeo = ns
		}
	default:
		return 0, abi.ENOPROTOOPT
	}
	return 0, 0
}

// Getsockopt serves getsockopt(2).
func Getsockopt(p *Personality, c *core.Call) (uint64, abi.Errno) {
	le := binary.LittleEndian
	if _, _, _, e := c.Sock(int32(c.Args[0])); e != 0 {
		return 0, e
	}
	level, opt := int32(c.Args[1]), uint32(c.Args[2])
	room, e := nameRoom(c, c.Args[4])
	if e != 0 {
		return 0, e
	}
	_, r, _, e := c.Sock(int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	s := c.K.Socks.Get(r)
	val := func(v uint32) []byte { return le.AppendUint32(nil, v) }
	var b []byte
	bit, isBit := p.optionBit(opt)
	switch {
	case level == 0 && s.Family == core.FamilyUnix && opt == p.Sys.Sock.PeerCred:
		who := s.Their
		if who.Pid == 0 {
			return 0, abi.ENOTCONN
		}
		b = p.Sys.Sock.PutPeer(uint32(who.Pid), c.ShowUID(who.UID), c.ShowGID(who.GID))
	case level != solSocket:
		if level == 41 && opt == v6Only && s.Family == core.FamilyInet6 {
			b = val(uint32(s.Inet.V6Only))
			break
		}
		key, ok := p.inetKey(level, opt)
		if !ok || s.Family != core.FamilyInet && s.Family != core.FamilyInet6 {
			return 0, abi.ENOPROTOOPT
		}
		v, ok := c.K.SockOption(r, key)
		if !ok {
			switch key {
			case core.SockLife4, core.SockLife6:
				v = 64
			case 6<<16 | 4:
				v = 7200
			case 6<<16 | 5:
				v = 75
			case 6<<16 | 6:
				v = 8
			}
		}
		b = val(uint32(v))
	case isBit:
		b = val(0)
		if s.Opts>>bit&1 != 0 {
			b = val(opt)
		}
	case opt == soAcceptconn:
		b = val(0)
		if s.State == core.SockListening {
			b = val(opt)
		}
	case opt == soType:
		b = val(s.Type)
	case opt == soError:
		e := c.K.TakeSockErr(r)
		b = val(0)
		if e != 0 {
			b = val(p.Errno(e))
		}
	case opt == soSndbuf:
		b = val(s.SndBuf)
	case opt == soRcvbuf:
		b = val(s.RcvBuf)
	case opt == soSndlowat:
		b = val(2048)
	case opt == soRcvlowat:
		b = val(s.RcvLowat)
	case opt == soLinger:
		b = le.AppendUint32(val(s.Linger&1*soLinger), s.Linger>>1)
	case opt == p.Sys.Sock.Rcvtimeo, opt == p.Sys.Sock.Sndtimeo:
		ns := s.SndTimeo
		if opt == p.Sys.Sock.Rcvtimeo {
			ns = s.RcvTimeo
		}
		b = make([]byte, 16)
		putTimeval(b, ns)
	default:
		return 0, abi.ENOPROTOOPT
	}
	b = b[:min(len(b), int(room))]
	c.CopyOut(c.Args[3], b)
	c.CopyOut32(c.Args[4], uint32(len(b)))
	return 0, 0
}
