package linux

import (
	"hythe/abi"
	"hythe/server/unix/core"
	"hythe/store"
)

// Options of IP sockets beyond SOL_SOCKET: include/uapi/linux/{in,in6,tcp,udp}.h;
// bounds and defaults as net/ipv4/{ip_sockglue,tcp}.c and net/ipv6/ipv6_sockglue.c
// have them.

// Levels.
const (
	levelIP     = 0
	levelTCP    = 6
	levelUDP    = 17
	levelIPv6   = 41
	levelICMPv6 = 58
	levelLite   = 136
	levelRaw    = 255
)

// Options that are more than a number.
const (
	ipAddMembership  = 35
	ipDropMembership = 36
	ipMulticastIf    = 32
	ipMTU            = 14
	ipPktinfo        = 8
	ipRecvErr        = 11
	ipRecvTTL        = 12
	ipRecvTOS        = 13
	mcastJoin        = 42 // MCAST_JOIN_GROUP, of both
	mcastLeave       = 45
	tcpMaxseg        = 2
	tcpDeferAccept   = 9
	tcpInfo          = 11
	tcpCongestion    = 13
	v6MulticastIf    = 17
	v6Join           = 20
	v6Leave          = 21
	v6MTU            = 24
	v6RecvErr        = 25
	v6Only           = 26
	v62292Pktinfo    = 2 // as before RFC 3542, with which what comes along has this type
	v62292Hoplimit   = 8
	v6RecvPktinfo    = 49
	v6RecvHoplimit   = 51
	v6RecvTclass     = 66
)

// loMTU is the loopback interface's.
const loMTU = core.LoopbackMTU

// inetOption is an option that is a number.
type inetOption struct {
	def, min, max int32
	// flag: what is not 0 is 1.
	flag bool
	// typ is the type of socket that may set it, 0: all.
	typ uint32
	// strict: a flag that takes 0 and 1 only.
	strict bool
	// mask is what of a value is kept, for streams without the two bits of ECN.
	mask int32
	// byte: a value of one byte will do, and is answered if that is asked for.
	byte bool
}

var inetOptions = map[int32]map[uint32]inetOption{
	levelTCP: {
		1:  {flag: true},                             // TCP_NODELAY
		3:  {flag: true},                             // TCP_CORK
		4:  {def: 7200, min: 1, max: 32767},          // TCP_KEEPIDLE
		5:  {def: 75, min: 1, max: 32767},            // TCP_KEEPINTVL
		6:  {def: 9, min: 1, max: 127},               // TCP_KEEPCNT
		7:  {def: 6, min: 1, max: 127},               // TCP_SYNCNT
		8:  {def: 60, min: -1 << 31, max: 1<<31 - 1}, // TCP_LINGER2
		9:  {min: -1 << 31, max: 1<<31 - 1},          // TCP_DEFER_ACCEPT
		10: {max: 1<<31 - 1},                         // TCP_WINDOW_CLAMP
		12: {def: 1, flag: true},                     // TCP_QUICKACK
		18: {max: 1<<31 - 1},                         // TCP_USER_TIMEOUT
		23: {max: 4096},                              // TCP_FASTOPEN
		24: {min: -1 << 31, max: 1<<31 - 1},          // TCP_TIMESTAMP
		25: {def: -1, min: -1 << 31, max: 1<<31 - 1}, // TCP_NOTSENT_LOWAT
		30: {flag: true},                             // TCP_FASTOPEN_CONNECT
	},
	levelUDP: {
		1: {flag: true}, // UDP_CORK
	},
	levelLite: {
		10: {max: 65535}, // UDPLITE_SEND_CSCOV
		11: {max: 65535}, // UDPLITE_RECV_CSCOV
	},
	levelIP: {
		1:         {min: -1 << 31, max: 1<<31 - 1, mask: 255, byte: true}, // IP_TOS
		2:         {def: 64, min: -1, max: 255, byte: true},               // IP_TTL
		6:         {flag: true, byte: true},                               // IP_RECVOPTS
		7:         {flag: true, byte: true},                               // IP_RETOPTS
		ipPktinfo: {flag: true, byte: true},
		10:        {def: 1, max: 5, byte: true}, // IP_MTU_DISCOVER
		ipRecvErr: {flag: true, byte: true},
		ipRecvTTL: {flag: true, byte: true},
		ipRecvTOS: {flag: true, byte: true},                // IP_RECVTOS
		15:        {flag: true, byte: true},                // IP_FREEBIND
		20:        {flag: true, byte: true},                // IP_RECVORIGDSTADDR
		24:        {flag: true, byte: true},                // IP_BIND_ADDRESS_NO_PORT
		33:        {def: 1, min: -1, max: 255, byte: true}, // IP_MULTICAST_TTL
		34:        {def: 1, flag: true, byte: true},        // IP_MULTICAST_LOOP
		49:        {def: 1, flag: true, byte: true},        // IP_MULTICAST_ALL
		50:        {min: 0, max: 1 << 24},                  // IP_UNICAST_IF
	},
	levelIPv6: {
		16:             {def: 64, min: -1, max: 255},                     // IPV6_UNICAST_HOPS
		v6MulticastIf:  {max: 1},                                         // an interface's index
		18:             {def: 1, min: -1, max: 255, typ: core.SockDgram}, // IPV6_MULTICAST_HOPS
		19:             {def: 1, flag: true, strict: true},               // IPV6_MULTICAST_LOOP
		23:             {def: 1, max: 5},                                 // IPV6_MTU_DISCOVER
		v6RecvErr:      {flag: true},
		29:             {def: 1, flag: true}, // IPV6_MULTICAST_ALL
		v62292Pktinfo:  {flag: true},
		v62292Hoplimit: {flag: true},
		v6RecvPktinfo:  {flag: true},
		v6RecvHoplimit: {flag: true},
		62:             {flag: true},                   // IPV6_DONTFRAG
		66:             {flag: true},                   // IPV6_RECVTCLASS
		67:             {min: -1, max: 255, mask: 255}, // IPV6_TCLASS
		70:             {def: 1, flag: true},           // IPV6_AUTOFLOWLABEL
		72:             {def: 2, max: 1 << 11},         // IPV6_ADDR_PREFERENCES
		78:             {flag: true},                   // IPV6_FREEBIND
	},
}

func optionKey(level int32, opt uint32) uint32 { return uint32(level)<<16 | opt&0xffff }

// option answers an option's value: what was set, or what it is before.
func option(k *core.Kernel, r store.Ref[core.Socket], level int32, opt uint32) int32 {
	if v, ok := k.SockOption(r, optionKey(level, opt)); ok {
		return v
	}
	return inetOptions[level][opt].def
}

// optionLevel says whether sockets like s have options of the level: 0, or what a
// call for one is answered.
func optionLevel(s *core.Socket, level int32) abi.Errno {
	switch {
	case s.Family != core.FamilyInet && s.Family != core.FamilyInet6:
		return abi.EOPNOTSUPP
	case level == levelIP,
		level == levelTCP && s.Type == core.SockStream,
		level == levelUDP && s.Type == core.SockDgram,
		level == levelLite && s.Proto == core.ProtoUDPLite,
		level == levelRaw && s.Type == core.SockRaw,
		level == levelICMPv6 && s.Type == core.SockRaw && s.Family == core.FamilyInet6,
		level == levelIPv6 && s.Family == core.FamilyInet6:
		return 0
	}
	return abi.ENOPROTOOPT
}

// setOption is setsockopt of a level that is not SOL_SOCKET; n is the length.
func setOption(c *core.Call, level int32, opt uint32, n int32) abi.Errno {
	_, r, _, _ := c.Sock(fdArg(c, 0))
	if e := optionLevel(c.K.Socks.Get(r), level); e != 0 {
		return e
	}
	b, e := c.CopyIn(c.Args[3], int(min(n, 64)))
	if e != 0 {
		return e
	}
	var buf [64]byte
	copy(buf[:], b)
	_, r, _, e = c.Sock(fdArg(c, 0))
	if e != 0 {
		return e
	}
	v := int32(le.Uint32(buf[:]))
	if g, ok := groupOptions[optionKey(level, opt)]; ok {
		return g.set(c, r, buf[:min(n, 64)], n, g.join)
	}
	if level == levelRaw || level == levelICMPv6 {
		return setRawOption(c, r, level, opt, buf[:min(n, 64)])
	}
	switch {
	case level == levelTCP && opt == tcpCongestion:
		name := cstring(buf[:min(n, 16)])
		if name != "cubic" && name != "reno" {
			return abi.ENOENT
		}
		return keep(c, r, optionKey(level, opt), int32(len(name)))
	case level == levelTCP && opt == tcpMaxseg:
		if n < 4 || v != 0 && (v < 88 || v > 32767) {
			return abi.EINVAL
		}
		return keep(c, r, optionKey(level, opt), v)
	case level == levelIP && opt == ipMulticastIf:
		return setGroupInterface(c, r, buf[:min(n, 64)])
	case level == levelIPv6 && opt == v6MulticastIf && n >= 4 && v != 0 && v != core.LoopbackIndex:
		return abi.ENODEV
	case level == levelIPv6 && opt == v6Only:
		if n < 4 {
			return abi.EINVAL
		}
		if !c.K.SetV6Only(r, v != 0) {
			return abi.EINVAL
		}
		return 0
	}
	o, ok := inetOptions[level][opt]
	if !ok {
		return abi.ENOPROTOOPT
	}
	if n < 4 {
		if !o.byte || n < 1 {
			return abi.EINVAL
		}
		v = int32(buf[0])
	}
	typ := c.K.Socks.Get(r).Type
	if o.typ != 0 && o.typ != typ {
		return abi.ENOPROTOOPT
	}
	if o.strict && v != 0 && v != 1 {
		return abi.EINVAL
	}
	if o.flag {
		if v != 0 {
			v = 1
		}
	} else if v < o.min || v > o.max {
		return abi.EINVAL
	}
	if o.mask != 0 && v != -1 {
		v &= o.mask
		if typ == core.SockStream {
			v &^= 3
		}
	}
	if level == levelTCP && opt == tcpDeferAccept {
		v = retransTime(v)
	}
	if v == 0 && (level == levelIP && opt == ipRecvErr || level == levelIPv6 && opt == v6RecvErr) {
		c.K.DropSockFaults(r)
	}
	return keep(c, r, optionKey(level, opt), v)
}

// groupOptions are those by which groups are joined and left; n is the length that was said.
// Only the loopback interface has groups.
var groupOptions = map[uint32]struct {
	set  func(c *core.Call, r store.Ref[core.Socket], b []byte, n int32, join bool) abi.Errno
	join bool
}{
	optionKey(levelIP, ipAddMembership):  {group4, true},
	optionKey(levelIP, ipDropMembership): {group4, false},
	optionKey(levelIP, mcastJoin):        {groupReq4, true},
	optionKey(levelIP, mcastLeave):       {groupReq4, false},
	optionKey(levelIPv6, v6Join):         {group6, true},
	optionKey(levelIPv6, v6Leave):        {group6, false},
	optionKey(levelIPv6, mcastJoin):      {groupReq6, true},
	optionKey(levelIPv6, mcastLeave):     {groupReq6, false},
}

// setGroupInterface says whence to send to groups: an address, a struct ip_mreq, or a struct
// ip_mreqn, of which the group is not looked at.
func setGroupInterface(c *core.Call, r store.Ref[core.Socket], b []byte) abi.Errno {
	if c.K.Socks.Get(r).Type == core.SockStream || len(b) < 4 {
		return abi.EINVAL
	}
	addr, index := b[:4], uint32(0)
	if len(b) >= 8 {
		addr = b[4:8]
	}
	if len(b) >= 12 {
		index = le.Uint32(b[8:])
	}
	v := int32(le.Uint32(addr))
	switch {
	case index == 0 && v == 0, index == core.LoopbackIndex:
	case index == 0 && addr[0] == 127:
		index = core.LoopbackIndex
	default:
		return abi.EADDRNOTAVAIL
	}
	if e := keep(c, r, core.SockGroupFrom, v); e != 0 {
		return e
	}
	return keep(c, r, core.SockGroupIndex, int32(index))
}

// byInterface joins or leaves a group if the interface has groups: there. Who joins has to
// name one (no route says where groups are); who leaves is told so if none is named.
func byInterface(c *core.Call, r store.Ref[core.Socket], ip [16]byte, there, named, join bool) abi.Errno {
	switch {
	case there && join:
		return c.K.JoinGroup(r, ip)
	case there:
		return c.K.LeaveGroup(r, ip)
	case join && !core.IsGroup(ip):
		return abi.EINVAL
	case join || !named:
		return abi.ENODEV
	}
	return abi.EADDRNOTAVAIL
}

func group4(c *core.Call, r store.Ref[core.Socket], b []byte, _ int32, join bool) abi.Errno {
	switch {
	case c.K.Socks.Get(r).Type == core.SockStream:
		return abi.EPROTO
	case len(b) < 8:
		return abi.EINVAL
	}
	index := uint32(0)
	if len(b) >= 12 {
		index = le.Uint32(b[8:])
	}
	return byInterface(c, r, mapped(b[:4]), index == core.LoopbackIndex || index == 0 && b[4] == 127, index != 0 || le.Uint32(b[4:]) != 0, join)
}

func group6(c *core.Call, r store.Ref[core.Socket], b []byte, _ int32, join bool) abi.Errno {
	switch {
	case c.K.Socks.Get(r).Type == core.SockStream:
		return abi.EPROTO
	case len(b) < 20:
		return abi.EINVAL
	}
	return group6By(c, r, [16]byte(b[:16]), le.Uint32(b[16:]), join)
}

// groupReqSize is that of struct group_req (include/uapi/linux/in.h): an interface's index,
// and a sockaddr with room to spare.
const groupReqSize = 136

func groupReq(c *core.Call, r store.Ref[core.Socket], b []byte, n int32, family uint16) (index uint32, e abi.Errno) {
	switch {
	case n < groupReqSize, le.Uint16(b[8:]) != family:
		return 0, abi.EINVAL
	case c.K.Socks.Get(r).Type == core.SockStream:
		return 0, abi.EPROTO
	}
	return le.Uint32(b), 0
}

func groupReq4(c *core.Call, r store.Ref[core.Socket], b []byte, n int32, join bool) abi.Errno {
	index, e := groupReq(c, r, b, n, core.FamilyInet)
	if e != 0 {
		return e
	}
	return byInterface(c, r, mapped(b[12:16]), index == core.LoopbackIndex, index != 0, join)
}

func groupReq6(c *core.Call, r store.Ref[core.Socket], b []byte, n int32, join bool) abi.Errno {
	index, e := groupReq(c, r, b, n, core.FamilyInet6)
	if e != 0 {
		return e
	}
	return group6By(c, r, [16]byte(b[16:32]), index, join)
}

// group6By is of IPv6, where who leaves may leave out which interface it is.
func group6By(c *core.Call, r store.Ref[core.Socket], ip [16]byte, index uint32, join bool) abi.Errno {
	if mapped(ip[12:]) == ip { // it is none of IPv6
		if join {
			return abi.EINVAL
		}
		return abi.EADDRNOTAVAIL
	}
	if join && index == 0 && c.K.InGroup(r, ip) {
		return abi.EADDRINUSE
	}
	return byInterface(c, r, ip, index == core.LoopbackIndex || index == 0 && !join, true, join)
}

// mapped is an address of IPv4 as IPv6 maps it.
func mapped(b []byte) (ip [16]byte) {
	ip[10], ip[11] = 0xff, 0xff
	copy(ip[12:], b)
	return ip
}

// retransTime rounds seconds up to when TCP sends again: 1, 3, 7...
func retransTime(v int32) int32 {
	t := int32(0)
	for t < v && t < 1<<16-1 {
		t = t*2 + 1
	}
	return t
}

func keep(c *core.Call, r store.Ref[core.Socket], key uint32, v int32) abi.Errno {
	if !c.K.SetSockOption(r, key, v) {
		return abi.ENOBUFS
	}
	return 0
}

func cstring(b []byte) string {
	for i, x := range b {
		if x == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

// getOption is getsockopt of a level that is not SOL_SOCKET.
func getOption(c *core.Call, level int32, opt uint32) abi.Errno {
	room, e := c.CopyIn32(c.Args[4])
	if e != 0 {
		return e
	}
	if int32(room) < 0 {
		return abi.EINVAL
	}
	_, r, _, e := c.Sock(fdArg(c, 0))
	if e != 0 {
		return e
	}
	s := c.K.Socks.Get(r)
	if e := optionLevel(s, level); e != 0 {
		if s.Family == core.FamilyInet {
			e = abi.EOPNOTSUPP // as Linux answers here, and not when one is set
		}
		return e
	}
	if level == levelRaw || level == levelICMPv6 {
		b, e := rawOption(c.K, r, level, opt)
		if e == 0 {
			b = b[:min(len(b), int(room))]
			c.CopyOut(c.Args[3], b)
			c.CopyOut32(c.Args[4], uint32(len(b)))
		}
		return e
	}
	var b []byte
	val := func(v int32) { b = le.AppendUint32(nil, uint32(v)) }
	switch {
	case level == levelTCP && opt == tcpCongestion:
		name := "cubic"
		if v, ok := c.K.SockOption(r, optionKey(level, opt)); ok && v == 4 {
			name = "reno"
		}
		b = append([]byte(name), make([]byte, 16-len(name))...)
	case level == levelTCP && opt == tcpInfo:
		b = tcpInfoOf(c.K, r)
	case level == levelTCP && opt == tcpMaxseg:
		v, _ := c.K.SockOption(r, optionKey(level, opt))
		switch {
		case s.State == core.SockConnected:
			v = loMTU - 53 // the headers and a time stamp
		case v == 0:
			v = 536
		}
		val(v)
	case level == levelIP && opt == ipMTU, level == levelIPv6 && opt == v6MTU:
		if s.State != core.SockConnected {
			return abi.ENOTCONN
		}
		val(loMTU - 1)
		if level == levelIPv6 {
			val(loMTU)
		}
	case level == levelIP && opt == ipMulticastIf:
		v, _ := c.K.SockOption(r, optionKey(level, opt))
		val(v)
	case level == levelIPv6 && opt == v6Only:
		val(int32(s.Inet.V6Only))
	default:
		o, ok := inetOptions[level][opt]
		if !ok {
			return abi.ENOPROTOOPT
		}
		v := option(c.K, r, level, opt)
		if v == -1 && o.min == -1 && o.max == 255 {
			v = o.def // -1 asks for what it is by itself
		}
		val(v)
		if o.byte && room < 4 && room > 0 && v >= 0 && v <= 255 {
			b = b[:1]
		}
	}
	b = b[:min(len(b), int(room))]
	c.CopyOut(c.Args[3], b)
	c.CopyOut32(c.Args[4], uint32(len(b)))
	return 0
}

// tcpInfoOf is struct tcp_info (include/uapi/linux/tcp.h) of a connection that
// loses nothing and whose bytes arrive at once.
func tcpInfoOf(k *core.Kernel, r store.Ref[core.Socket]) []byte {
	s := k.Socks.Get(r)
	b := make([]byte, 248)
	put := func(off int, v uint32) { le.PutUint32(b[off:], v) }
	b[0] = s.TCPState()
	b[5] = 7       // options: time stamps, SACK, window scaling
	b[6] = 0x77    // scaled by 7 both ways
	put(8, 204000) // rto, us
	put(12, 40000) // ato
	put(16, loMTU-53)
	put(20, loMTU-53)
	if s.State == core.SockListening {
		put(24, s.Pending.N) // unacked: connections that wait
		put(28, s.Backlog)   // sacked: how many may
	}
	put(60, loMTU)   // pmtu
	put(64, 65483)   // rcv_ssthresh
	put(68, 20)      // rtt, us
	put(72, 10)      // rttvar
	put(76, 1<<31-1) // snd_ssthresh
	put(80, 10)      // snd_cwnd
	put(84, loMTU-53)
	put(88, 3)
	put(96, s.RcvBuf/2)
	return b
}

// inetControl answers what the receiver of a datagram asked to have beside it:
// level, type and data of each.
func inetControl(k *core.Kernel, r store.Ref[core.Socket], m *core.SockRecv, put func(level, typ uint32, data []byte)) {
	s := k.Socks.Get(r)
	if s == nil || m.Time == 0 {
		return
	}
	if s.Opts>>soTimestamp&1 != 0 {
		us := m.Time / 1e3
		put(solSocket, soTimestamp, le.AppendUint64(le.AppendUint64(nil, uint64(us/1e6)), uint64(us%1e6)))
	}
	v4 := [12]byte(m.To[:12]) == [12]byte{10: 0xff, 11: 0xff}
	life := le.AppendUint32(nil, uint32(m.Life))
	index := uint32(core.LoopbackIndex)
	if v4 && [4]byte(m.To[12:]) == k.Ethernet().Addr || m.To == k.Ethernet().Addr6 {
		index = core.EthernetIndex
	}
	if v4 {
		if option(k, r, levelIP, ipPktinfo) != 0 {
			b := le.AppendUint32(nil, index)
			spec := m.To[12:]
			switch {
			case m.Fault != nil:
				spec = make([]byte, 4)
			case core.IsGroup(m.To): // what an answer comes from
				spec = []byte{127, 0, 0, 1}
			}
			put(levelIP, ipPktinfo, append(append(b, spec...), m.To[12:]...))
		}
		if option(k, r, levelIP, ipRecvTTL) != 0 {
			put(levelIP, 2, life) // IP_TTL
		}
		if option(k, r, levelIP, ipRecvTOS) != 0 {
			put(levelIP, 1, []byte{m.Class}) // IP_TOS
		}
	}
	if s.Family == core.FamilyInet6 {
		if option(k, r, levelIPv6, v6RecvPktinfo) != 0 {
			put(levelIPv6, 50, le.AppendUint32(m.To[:len(m.To):len(m.To)], index)) // IPV6_PKTINFO
		}
		if option(k, r, levelIPv6, v6RecvHoplimit) != 0 && !v4 {
			put(levelIPv6, 52, life) // IPV6_HOPLIMIT
		}
		if option(k, r, levelIPv6, v62292Pktinfo) != 0 {
			put(levelIPv6, v62292Pktinfo, le.AppendUint32(m.To[:len(m.To):len(m.To)], index))
		}
		if option(k, r, levelIPv6, v62292Hoplimit) != 0 && !v4 {
			put(levelIPv6, v62292Hoplimit, life)
		}
		if option(k, r, levelIPv6, v6RecvTclass) != 0 && !v4 {
			put(levelIPv6, 67, le.AppendUint32(nil, uint32(m.Class))) // IPV6_TCLASS
		}
	}
}

// faultControl answers what stands beside a message of the error queue: struct
// sock_extended_err (include/uapi/linux/errqueue.h) and who said so.
func faultControl(k *core.Kernel, r store.Ref[core.Socket], m *core.SockRecv, put func(level, typ uint32, data []byte)) {
	s := k.Socks.Get(r)
	if s == nil || m.Fault == nil {
		return
	}
	f := m.Fault
	b := le.AppendUint32(nil, f.Errno)
	b = append(b, f.Origin, f.Kind, f.Code, 0)
	b = le.AppendUint32(b, f.Info)
	b = le.AppendUint32(b, 0)
	known := f.By != [16]byte{}
	if s.Family == core.FamilyInet {
		a := make([]byte, 16)
		if known {
			le.PutUint16(a, core.FamilyInet)
			copy(a[4:], f.By[12:])
		}
		put(levelIP, ipRecvErr, append(b, a...))
		return
	}
	a := make([]byte, 28)
	if known {
		le.PutUint16(a, core.FamilyInet6)
		copy(a[8:], f.By[:])
	}
	put(levelIPv6, v6RecvErr, append(b, a...))
}

// inetSendControl takes what stands beside a datagram to send: its time to live
// and its class. EINVAL for values that do not fit.
func inetSendControl(level, typ uint32, data []byte, m *core.SockSend) abi.Errno {
	var v int32
	switch {
	case level == levelIP && typ == 1 && len(data) == 1:
		v = int32(data[0])
	case level == levelIP && (typ == 1 || typ == 2), level == levelIPv6 && (typ == 52 || typ == 67):
		if len(data) != 4 {
			return abi.EINVAL
		}
		v = int32(le.Uint32(data))
	default:
		return 0 // IP_PKTINFO names an interface and an address: there is one
	}
	least := int32(0)
	if level == levelIPv6 {
		least = -1 // what the socket's option says
	} else if typ == 2 {
		least = 1
	}
	if v < least || v > 255 {
		return abi.EINVAL
	}
	if v < 0 {
		return 0
	}
	b := uint8(v)
	if typ == 2 || typ == 52 {
		m.Life = &b
	} else {
		m.Class = &b
	}
	return 0
}

// Options of raw sockets: include/uapi/linux/{icmp,icmpv6,in6}.h.
const (
	rawFilter   = 1 // ICMP_FILTER, and of SOL_ICMPV6 ICMPV6_FILTER
	rawChecksum = 7 // IPV6_CHECKSUM: where in a message it is
)

// setRawOption sets a raw socket's filter of types.
func setRawOption(c *core.Call, r store.Ref[core.Socket], level int32, opt uint32, b []byte) abi.Errno {
	s := c.K.Socks.Get(r)
	switch {
	case level == levelRaw && opt == rawFilter && s.Family == core.FamilyInet:
		if s.Proto != core.ProtoICMP {
			return abi.EOPNOTSUPP
		}
		var v [4]byte // what is not said stays wanted
		copy(v[:], b)
		return keep(c, r, core.SockFilter4, int32(le.Uint32(v[:])))
	case level == levelICMPv6 && s.Proto != core.ProtoICMPv6:
		return abi.EOPNOTSUPP
	case level == levelICMPv6 && opt == rawFilter:
		for i := range uint32(len(b)) / 4 {
			if i == 8 {
				break
			}
			if e := keep(c, r, core.SockFilter6|i, int32(le.Uint32(b[4*i:]))); e != 0 {
				return e
			}
		}
		return 0
	case level == levelRaw && opt == rawChecksum && s.Family == core.FamilyInet6 && s.Proto == core.ProtoICMPv6:
		if len(b) < 4 || int32(le.Uint32(b)) != 2 {
			return abi.EINVAL // it is where it is
		}
		return 0
	}
	return abi.ENOPROTOOPT
}

// rawOption answers what setRawOption set.
func rawOption(k *core.Kernel, r store.Ref[core.Socket], level int32, opt uint32) ([]byte, abi.Errno) {
	s := k.Socks.Get(r)
	switch {
	case level == levelRaw && opt == rawFilter && s.Family == core.FamilyInet:
		if s.Proto != core.ProtoICMP {
			return nil, abi.EOPNOTSUPP
		}
		v, _ := k.SockOption(r, core.SockFilter4)
		return le.AppendUint32(nil, uint32(v)), 0
	case level == levelICMPv6 && s.Proto != core.ProtoICMPv6:
		return nil, abi.EOPNOTSUPP
	case level == levelICMPv6 && opt == rawFilter:
		var b []byte
		for i := range uint32(8) {
			v, _ := k.SockOption(r, core.SockFilter6|i)
			b = le.AppendUint32(b, uint32(v))
		}
		return b, 0
	}
	return nil, abi.ENOPROTOOPT
}
