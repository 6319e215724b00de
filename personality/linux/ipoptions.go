package linux

import (
	"sync"

	"hythe/abi"
	"hythe/server/unix/core"
)

// Options of IP sockets beyond SOL_SOCKET: include/uapi/linux/{in,in6,tcp,udp,netlink}.h.

// Levels.
const (
	levelIP      = 0
	levelTCP     = 6
	levelUDP     = 17
	levelIPv6    = 41
	levelICMPv6  = 58
	levelLite    = 136
	levelRaw     = 255
	levelNetlink = 270
)

// Options that others ask for, and those that are more than a number.
const (
	ipPktinfo      = 8
	ipRecvErr      = 11
	ipRecvTTL      = 12
	ipRecvTOS      = 13
	ipMulticastIf  = 32
	tcpInq         = 36
	v62292Pktinfo  = 2 // as before RFC 3542, with which what comes along has this type
	v62292Hoplimit = 8
	v6RecvErr      = 25
	v6RecvPktinfo  = 49
	v6RecvHoplimit = 51
	v6HdrIncl      = 36
	v6RecvTclass   = 66
	rawFilter      = 1 // ICMP_FILTER, and of SOL_ICMPV6 ICMPV6_FILTER
	rawChecksum    = 7 // IPV6_CHECKSUM: where in a message it is
)

// loMTU is the loopback interface's.
const loMTU = core.LoopbackMTU

var ipOptions = sync.OnceValue(func() map[uint32]sockOption {
	return map[uint32]sockOption{
		1:         {set: setTOS},
		2:         {def: 64, set: setTTL, get: getTTL},
		3:         {set: setHdrIncl, get: getHdrIncl},
		4:         {own: setIPOptions, get: nothing},
		5:         {least: 1, set: fail(abi.EINVAL)}, // IP_ROUTER_ALERT: nothing is routed
		6:         {flag: true},                      // IP_RECVOPTS
		7:         {flag: true},                      // IP_RETOPTS
		ipPktinfo: {flag: true},
		9:         {ro: true, get: func(o *optionCall, _ int32) ([]byte, abi.Errno) { return nil, onlyStream(o) }},
		10:        {def: 1, hi: 5}, // IP_MTU_DISCOVER
		ipRecvErr: {set: setRecvErr},
		ipRecvTTL: {flag: true},
		ipRecvTOS: {flag: true},
		14:        {ro: true, get: func(o *optionCall, _ int32) ([]byte, abi.Errno) { return pathMTU4(o) }},
		15:        {flag: true, least: 1},                // IP_FREEBIND
		18:        {flag: true},                          // IP_PASSSEC
		19:        {least: 1, set: failIfSet(abi.EPERM)}, // IP_TRANSPARENT: nobody has another's address
		20:        {flag: true},                          // IP_RECVORIGDSTADDR
		21:        {hi: 255, least: 1},                   // IP_MINTTL
		22:        {set: onlyRaw},                        // IP_NODEFRAG
		24:        {flag: true},                          // IP_BIND_ADDRESS_NO_PORT
		25:        {flag: true, stream: abi.EINVAL},      // IP_RECVFRAGSIZE: nothing is in fragments
		26:        {hi: 1},                               // IP_RECVERR_RFC4884

		ipMulticastIf:      {own: setGroupInterface},
		33:                 {def: 1, lo: -1, hi: 255, least: 1, stream: abi.EINVAL, set: setHops}, // IP_MULTICAST_TTL
		34:                 {def: 1, flag: true, least: 1},                                        // IP_MULTICAST_LOOP
		35:                 {own: group4, get: without(abi.ENOPROTOOPT)},                          // IP_ADD_MEMBERSHIP
		36:                 {own: group4, get: without(abi.ENOPROTOOPT)},                          // IP_DROP_MEMBERSHIP
		42:                 {own: groupReq4, get: without(abi.ENOPROTOOPT)},                       // MCAST_JOIN_GROUP
		45:                 {own: groupReq4, get: without(abi.ENOPROTOOPT)},                       // MCAST_LEAVE_GROUP
		ipUnblockSource:    {own: source4, get: without(abi.ENOPROTOOPT)},
		ipBlockSource:      {own: source4, get: without(abi.ENOPROTOOPT)},
		ipAddSource:        {own: source4, get: without(abi.ENOPROTOOPT)},
		ipDropSource:       {own: source4, get: without(abi.ENOPROTOOPT)},
		ipMsfilter:         {own: setMsfilter, get: getMsfilter},
		mcastBlockSource:   {own: sourceReq4, get: without(abi.ENOPROTOOPT)},
		mcastUnblockSource: {own: sourceReq4, get: without(abi.ENOPROTOOPT)},
		mcastJoinSource:    {own: sourceReq4, get: without(abi.ENOPROTOOPT)},
		mcastLeaveSource:   {own: sourceReq4, get: without(abi.ENOPROTOOPT)},
		mcastMsfilter:      {own: setMsfilter, get: getMsfilter},
		49:                 {hi: 1, least: 1, get: getGroupsAll},
		50:                 {set: setUnicastIf},
		51:                 {set: setPortRange},
		52:                 {ro: true, get: getIPProtocol},
	}
})

var ip6Options = sync.OnceValue(func() map[uint32]sockOption {
	flag := sockOption{flag: true, least: 4}
	return map[uint32]sockOption{
		v62292Pktinfo:      flag,
		3:                  flag, // IPV6_2292HOPOPTS
		4:                  flag, // IPV6_2292DSTOPTS
		5:                  flag, // IPV6_2292RTHDR
		v62292Hoplimit:     flag,
		11:                 flag,                                                                       // IPV6_FLOWINFO
		16:                 {def: 64, lo: -1, hi: 255, least: 4, set: setHops},                         // IPV6_UNICAST_HOPS
		17:                 {least: 4, stream: abi.ENOPROTOOPT, set: setGroupInterface6},               // IPV6_MULTICAST_IF
		18:                 {def: 1, lo: -1, hi: 255, least: 4, stream: abi.ENOPROTOOPT, set: setHops}, // IPV6_MULTICAST_HOPS
		19:                 {def: 1, hi: 1, least: 4},                                                  // IPV6_MULTICAST_LOOP
		20:                 {own: group6, get: without(abi.ENOPROTOOPT)},                               // IPV6_ADD_MEMBERSHIP
		21:                 {own: group6, get: without(abi.ENOPROTOOPT)},                               // IPV6_DROP_MEMBERSHIP
		22:                 {least: 4, set: fail(abi.ENOPROTOOPT), get: always0},                       // IPV6_ROUTER_ALERT
		23:                 {def: 1, hi: 5, least: 4},                                                  // IPV6_MTU_DISCOVER
		24:                 {least: 4, set: setMTU6, get: func(o *optionCall, _ int32) ([]byte, abi.Errno) { return pathMTU(o, loMTU) }},
		v6RecvErr:          {least: 4, set: setRecvErr},
		26:                 {least: 4, set: setV6Only, get: func(o *optionCall, _ int32) ([]byte, abi.Errno) { return word(o.s.Inet.V6Only) }},
		29:                 {def: 1, flag: true, least: 4}, // IPV6_MULTICAST_ALL
		30:                 flag,                           // IPV6_ROUTER_ALERT_ISOLATE
		31:                 {hi: 1, least: 4},              // IPV6_RECVERR_RFC4884
		33:                 flag,                           // IPV6_FLOWINFO_SEND
		42:                 {own: groupReq6, get: without(abi.ENOPROTOOPT)},
		45:                 {own: groupReq6, get: without(abi.ENOPROTOOPT)},
		mcastBlockSource:   {own: sourceReq6, get: without(abi.ENOPROTOOPT)},
		mcastUnblockSource: {own: sourceReq6, get: without(abi.ENOPROTOOPT)},
		mcastJoinSource:    {own: sourceReq6, get: without(abi.ENOPROTOOPT)},
		mcastLeaveSource:   {own: sourceReq6, get: without(abi.ENOPROTOOPT)},
		mcastMsfilter:      {own: setMsfilter6, get: getMsfilter6},
		v6RecvPktinfo:      flag,
		v6RecvHoplimit:     flag,
		53:                 flag, // IPV6_RECVHOPOPTS
		56:                 flag, // IPV6_RECVRTHDR
		58:                 flag, // IPV6_RECVDSTOPTS
		60:                 flag, // IPV6_RECVPATHMTU
		61:                 {ro: true, get: getPathMTU6},
		62:                 {flag: true}, // IPV6_DONTFRAG
		v6RecvTclass:       flag,
		67:                 {least: 4, set: setTclass},             // IPV6_TCLASS
		70:                 {def: 1, flag: true},                   // IPV6_AUTOFLOWLABEL
		72:                 {def: 1280, least: 4, set: setPrefers}, // IPV6_ADDR_PREFERENCES
		73:                 {hi: 255, least: 4},                    // IPV6_MINHOPCOUNT
		74:                 flag,                                   // IPV6_ORIGDSTADDR
		76:                 {set: setUnicastIf},                    // IPV6_UNICAST_IF
		77:                 {flag: true},                           // IPV6_RECVFRAGSIZE
		78:                 flag,                                   // IPV6_FREEBIND
	}
})

var tcpOptions = sync.OnceValue(func() map[uint32]sockOption {
	// Options of who moves a connection to another machine.
	repair := sockOption{set: fail(abi.EPERM), get: without(abi.EINVAL)}
	return map[uint32]sockOption{
		1:      {flag: true}, // TCP_NODELAY
		2:      {set: setMaxseg, get: getMaxseg},
		3:      {flag: true},                       // TCP_CORK
		4:      {def: 7200, lo: 1, hi: 32767},      // TCP_KEEPIDLE
		5:      {def: 75, lo: 1, hi: 32767},        // TCP_KEEPINTVL
		6:      {def: 9, lo: 1, hi: 127},           // TCP_KEEPCNT
		7:      {def: 6, lo: 1, hi: 127},           // TCP_SYNCNT
		8:      {set: setLinger2, get: getLinger2}, // TCP_LINGER2
		9:      {set: setDeferAccept},
		10:     {set: setWindowClamp},
		11:     {ro: true, get: func(o *optionCall, _ int32) ([]byte, abi.Errno) { return tcpInfoOf(o.c.K, o.r), 0 }},
		12:     {def: 1, flag: true}, // TCP_QUICKACK
		13:     {own: setCongestion, get: getCongestion},
		14:     {set: fail(abi.EINVAL), get: without(abi.ENOPROTOOPT)}, // TCP_MD5SIG
		16:     {hi: 1},                                                // TCP_THIN_LINEAR_TIMEOUTS
		17:     {hi: 1, set: setThinDupack},
		18:     {hi: maxInt},                                           // TCP_USER_TIMEOUT
		19:     {set: fail(abi.EPERM)},                                 // TCP_REPAIR
		20:     repair,                                                 // TCP_REPAIR_QUEUE
		21:     repair,                                                 // TCP_QUEUE_SEQ
		22:     {set: fail(abi.EINVAL), get: without(abi.ENOPROTOOPT)}, // TCP_REPAIR_OPTIONS
		23:     {set: setFastOpen},                                     // TCP_FASTOPEN
		24:     {set: fail(abi.EPERM)},                                 // TCP_TIMESTAMP
		25:     {lo: minInt, hi: maxInt},                               // TCP_NOTSENT_LOWAT
		27:     {hi: 2},                                                // TCP_SAVE_SYN
		28:     {ro: true, get: nothing},                               // TCP_SAVED_SYN: none came
		29:     repair,                                                 // TCP_REPAIR_WINDOW
		30:     {set: beforeConnect},                                   // TCP_FASTOPEN_CONNECT
		31:     {own: setULP, get: nothing},                            // TCP_ULP
		32:     {set: fail(abi.EINVAL), get: without(abi.ENOPROTOOPT)}, // TCP_MD5SIG_EXT
		34:     {set: beforeConnect},                                   // TCP_FASTOPEN_NO_COOKIE
		tcpInq: {hi: 1},
		43:     {ro: true}, // TCP_IS_MPTCP
	}
})

var udpOptions = sync.OnceValue(func() map[uint32]sockOption {
	return map[uint32]sockOption{
		1:   {flag: true},                      // UDP_CORK
		10:  {set: setCoverage},                // UDPLITE_SEND_CSCOV
		11:  {set: setCoverage},                // UDPLITE_RECV_CSCOV
		100: {set: failIfSet(abi.ENOPROTOOPT)}, // UDP_ENCAP
		101: {flag: true},                      // UDP_NO_CHECK6_TX
		102: {flag: true},                      // UDP_NO_CHECK6_RX
		104: {flag: true},                      // UDP_GRO: each datagram comes alone
	}
})

var raw4Options = sync.OnceValue(func() map[uint32]sockOption {
	return map[uint32]sockOption{
		rawFilter: {own: setFilter4, get: getFilter4},
	}
})

var raw6Options = sync.OnceValue(func() map[uint32]sockOption {
	return map[uint32]sockOption{
		rawChecksum: {set: setChecksum, get: getChecksum},
	}
})

var netlinkOptions = sync.OnceValue(func() map[uint32]sockOption {
	member := sockOption{lo: 1, hi: 32, set: netlinkGroup, get: without(abi.ENOPROTOOPT)}
	return map[uint32]sockOption{
		1:  member,                   // NETLINK_ADD_MEMBERSHIP: nothing changes that members are told
		2:  member,                   // NETLINK_DROP_MEMBERSHIP
		4:  {flag: true},             // NETLINK_BROADCAST_ERROR
		5:  {flag: true},             // NETLINK_NO_ENOBUFS
		8:  {flag: true},             // NETLINK_LISTEN_ALL_NSID
		9:  {ro: true, get: nothing}, // NETLINK_LIST_MEMBERSHIPS
		11: {flag: true},             // NETLINK_EXT_ACK
	}
})

func always0(*optionCall, int32) ([]byte, abi.Errno) { return word(int32(0)) }

// failIfSet answers e to those who set a flag, and lets others have what they have.
func failIfSet(e abi.Errno) func(*optionCall) abi.Errno {
	return func(o *optionCall) abi.Errno {
		if o.v != 0 {
			return e
		}
		return 0
	}
}

func onlyStream(o *optionCall) abi.Errno {
	if o.s.Type != core.SockStream {
		return abi.ENOPROTOOPT
	}
	return 0
}

func onlyRaw(o *optionCall) abi.Errno {
	if o.s.Type != core.SockRaw {
		return abi.ENOPROTOOPT
	}
	return o.keep(truth(o.v))
}

func setTOS(o *optionCall) abi.Errno {
	v := o.v & 255
	if o.s.Type == core.SockStream {
		v &^= 3 // congestion is the stack's to tell
	}
	return o.keep(v)
}

func setTTL(o *optionCall) abi.Errno {
	if o.n < 1 || o.v != -1 && (o.v < 1 || o.v > 255) {
		return abi.EINVAL
	}
	return o.keep(o.v)
}

func getTTL(o *optionCall, _ int32) ([]byte, abi.Errno) {
	v := o.kept(64)
	if v == -1 {
		v = 64
	}
	return word(v)
}

// setHops is of IP_MULTICAST_TTL and IPV6_UNICAST_HOPS, IPV6_MULTICAST_HOPS: -1 is what it is
// by itself.
func setHops(o *optionCall) abi.Errno {
	if o.v < -1 || o.v > 255 {
		return abi.EINVAL
	}
	if o.v == -1 {
		o.v = 1
		if o.kind == optIPv6 && o.opt == 16 {
			o.v = 64
		}
	}
	return o.keep(o.v)
}

func setHdrIncl(o *optionCall) abi.Errno {
	if o.s.Type != core.SockRaw {
		return abi.ENOPROTOOPT
	}
	return o.keep(truth(o.v))
}

func getHdrIncl(o *optionCall, _ int32) ([]byte, abi.Errno) {
	if o.c.K.HdrIncl(o.r) {
		return word(int32(1))
	}
	return word(int32(0))
}

// setIPOptions is IP_OPTIONS: packets have none, which is all that can be asked for.
func setIPOptions(o *optionCall) abi.Errno {
	if o.n > 40 {
		return abi.EINVAL
	}
	b, e := o.bytes(40)
	if e != 0 {
		return e
	}
	for _, x := range b {
		switch x {
		case 0: // the end of the list
			return 0
		case 1: // nothing
		default:
			return abi.EINVAL
		}
	}
	return 0
}

// setRecvErr is IP_RECVERR and IPV6_RECVERR: without it there is no queue.
func setRecvErr(o *optionCall) abi.Errno {
	if o.v == 0 {
		o.c.K.DropSockFaults(o.r)
	}
	return o.keep(truth(o.v))
}

func pathMTU(o *optionCall, mtu int32) ([]byte, abi.Errno) {
	if o.s.State != core.SockConnected {
		return nil, abi.ENOTCONN
	}
	return word(mtu)
}

// pathMTU4 is IP_MTU, which is one less than the interface's where IPv4 says it.
func pathMTU4(o *optionCall) ([]byte, abi.Errno) {
	if o.s.Family == core.FamilyInet6 {
		return pathMTU(o, loMTU)
	}
	return pathMTU(o, loMTU-1)
}

func setMTU6(o *optionCall) abi.Errno {
	if o.v != 0 && o.v < 1280 {
		return abi.EINVAL
	}
	return 0
}

// getPathMTU6 is IPV6_PATHMTU: struct ip6_mtuinfo, an address and a number.
func getPathMTU6(o *optionCall, room int32) ([]byte, abi.Errno) {
	if room < 32 {
		return nil, abi.EINVAL
	}
	if o.s.State != core.SockConnected {
		return nil, abi.ENOTCONN
	}
	return le.AppendUint32(make([]byte, 28, 32), loMTU), 0
}

func setV6Only(o *optionCall) abi.Errno {
	if !o.c.K.SetV6Only(o.r, o.v != 0) {
		return abi.EINVAL
	}
	return 0
}

func setTclass(o *optionCall) abi.Errno {
	if o.v < -1 || o.v > 255 {
		return abi.EINVAL
	}
	o.v = max(o.v, 0)
	return setTOS(o)
}

// Of IPV6_ADDR_PREFERENCES (RFC 5014) three choices are kept: which of a pair, and that
// nothing was chosen.
const (
	preferTmp        = 1
	preferPublic     = 2
	preferDefaultTmp = 0x100
	preferHome       = 0x400
	preferCOA        = 4
	preferCGA        = 8
	preferNonCGA     = 0x800
)

func setPrefers(o *optionCall) abi.Errno {
	pref := int32(0)
	switch o.v & (preferPublic | preferTmp | preferDefaultTmp) {
	case preferPublic, preferTmp:
		pref = o.v & (preferPublic | preferTmp)
	case preferDefaultTmp, 0:
		pref = preferDefaultTmp
	default:
		return abi.EINVAL
	}
	switch o.v & (preferHome | preferCOA) {
	case preferHome, preferCOA, 0:
	default:
		return abi.EINVAL
	}
	switch o.v & (preferCGA | preferNonCGA) {
	case preferCGA, preferNonCGA, 0:
	default:
		return abi.EINVAL
	}
	if o.v&preferCOA == 0 {
		pref |= preferHome
	} else {
		pref |= preferCOA
	}
	return o.keep(pref)
}

// getGroupsAll is IP_MULTICAST_ALL, which sockets of IPv6 have to ask for.
func getGroupsAll(o *optionCall, _ int32) ([]byte, abi.Errno) {
	if o.s.Family == core.FamilyInet6 {
		return word(o.kept(0))
	}
	return word(o.kept(1))
}

// setUnicastIf is IP_UNICAST_IF and IPV6_UNICAST_IF: an interface's number, its bytes from the
// highest on. It is kept: where packets go follows from the address alone.
func setUnicastIf(o *optionCall) abi.Errno {
	if o.n != 4 {
		return abi.EINVAL
	}
	var b [4]byte
	le.PutUint32(b[:], uint32(o.v))
	index := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	if index != 0 && findIface(o.c.K, index, "") == nil {
		return abi.EADDRNOTAVAIL
	}
	return o.keep(o.v)
}

// setPortRange is IP_LOCAL_PORT_RANGE: the lowest port in the lower half, 0 for none.
func setPortRange(o *optionCall) abi.Errno {
	lo, hi := uint32(o.v)&0xffff, uint32(o.v)>>16
	if o.n != 4 || lo != 0 && hi != 0 && lo > hi {
		return abi.EINVAL
	}
	return o.keep(o.v)
}

// getIPProtocol is IP_PROTOCOL: the protocol of a raw socket, of others the port.
func getIPProtocol(o *optionCall, _ int32) ([]byte, abi.Errno) {
	if o.s.Type == core.SockRaw {
		return word(o.s.Proto)
	}
	return word(int32(o.s.Inet.Local.Port))
}

func setMaxseg(o *optionCall) abi.Errno {
	if o.v != 0 && (o.v < 88 || o.v > 32767) {
		return abi.EINVAL
	}
	return o.keep(o.v)
}

func getMaxseg(o *optionCall, _ int32) ([]byte, abi.Errno) {
	v := o.kept(0)
	switch {
	case o.s.State == core.SockConnected:
		v = loMTU - 53 // the headers and a time stamp
	case v == 0:
		v = 536
	}
	return word(v)
}

// Seconds of TCP_LINGER2: net.ipv4.tcp_fin_timeout, and the most.
const (
	finTimeout    = 60
	finTimeoutMax = 120
)

func setLinger2(o *optionCall) abi.Errno { return o.keep(max(-1, min(o.v, finTimeoutMax))) }

func getLinger2(o *optionCall, _ int32) ([]byte, abi.Errno) {
	v := o.kept(0)
	if v == 0 {
		v = finTimeout
	}
	return word(v)
}

// setDeferAccept rounds seconds up to when TCP sends again: after 1, 3, 7... and at last every
// 120, 255 times at most.
func setDeferAccept(o *optionCall) abi.Errno {
	t, next := int32(0), int32(1)
	for i := 0; i < 255 && t < o.v; i++ {
		t += next
		next = min(2*next, 120)
	}
	return o.keep(t)
}

func setWindowClamp(o *optionCall) abi.Errno {
	switch {
	case o.v != 0:
		o.v = max(o.v, minRcvbuf/2)
	case o.s.State != core.SockIdle:
		return abi.EINVAL
	}
	return o.keep(o.v)
}

func setCongestion(o *optionCall) abi.Errno {
	if o.n < 1 {
		return abi.EINVAL
	}
	b, e := o.bytes(15)
	if e != 0 {
		return e
	}
	name := cstring(b)
	if name != "cubic" && name != "reno" {
		return abi.ENOENT
	}
	return o.keep(int32(len(name)))
}

func getCongestion(o *optionCall, _ int32) ([]byte, abi.Errno) {
	name := "cubic"
	if o.kept(0) == 4 {
		name = "reno"
	}
	return append([]byte(name), make([]byte, 16-len(name))...), 0
}

func setThinDupack(o *optionCall) abi.Errno {
	if o.v < 0 || o.v > 1 {
		return abi.EINVAL
	}
	return 0 // as Linux does: it means nothing
}

func setFastOpen(o *optionCall) abi.Errno {
	if o.v < 0 || o.s.State != core.SockIdle && o.s.State != core.SockListening {
		return abi.EINVAL
	}
	return o.keep(min(o.v, 4096))
}

// beforeConnect is a flag that a socket can have which has not connected.
func beforeConnect(o *optionCall) abi.Errno {
	listens := o.s.State == core.SockListening && o.opt == 34
	if o.v < 0 || o.v > 1 || o.s.State != core.SockIdle && !listens {
		return abi.EINVAL
	}
	return o.keep(o.v)
}

// setULP is TCP_ULP: there are no protocols between TCP and the program.
func setULP(o *optionCall) abi.Errno {
	if o.n < 1 {
		return abi.EINVAL
	}
	if _, e := o.bytes(15); e != 0 {
		return e
	}
	return abi.ENOENT
}

func setCoverage(o *optionCall) abi.Errno {
	if o.s.Proto != core.ProtoUDPLite {
		return abi.ENOPROTOOPT
	}
	switch v := o.v; {
	case v != 0 && v < 8: // not less than the header
		o.v = 8
	case v > 65535:
		o.v = 65535
	}
	return o.keep(o.v)
}

func netlinkGroup(o *optionCall) abi.Errno {
	if o.v < 1 || o.v > 63 {
		return abi.EINVAL
	}
	return 0
}

// setFilter4 is ICMP_FILTER: what is not said stays.
func setFilter4(o *optionCall) abi.Errno { return o.setFilter(core.SockFilter4, 4) }

// setFilter6 is ICMPV6_FILTER.
func setFilter6(o *optionCall) abi.Errno { return o.setFilter(core.SockFilter6, 32) }

func getFilter4(o *optionCall, _ int32) ([]byte, abi.Errno) { return o.filter(core.SockFilter4, 4), 0 }

func getFilter6(o *optionCall, _ int32) ([]byte, abi.Errno) {
	return o.filter(core.SockFilter6, 32), 0
}

// filter is a filter of types, size bytes that are kept as words by keys from first on.
func (o *optionCall) filter(first, size uint32) []byte {
	b := make([]byte, 0, 32)
	for i := range size / 4 {
		v, _ := o.c.K.SockOption(o.r, first+i)
		b = le.AppendUint32(b, uint32(v))
	}
	return b
}

func (o *optionCall) setFilter(first, size uint32) abi.Errno {
	said, e := o.bytes(int32(size))
	if e != 0 {
		return e
	}
	b := o.filter(first, size)
	copy(b, said)
	for i := range size / 4 {
		if e := keep(o.c, o.r, first+i, int32(le.Uint32(b[4*i:]))); e != 0 {
			return e
		}
	}
	return 0
}

// setChecksum is IPV6_CHECKSUM: where in a message it is, -1: nowhere. That of ICMPv6 is made
// in any case.
func setChecksum(o *optionCall) abi.Errno {
	if o.c.Args[1] == levelIPv6 && o.s.Proto == core.ProtoICMPv6 || o.v > 0 && o.v&1 != 0 {
		return abi.EINVAL
	}
	return o.keep(max(o.v, -1))
}

func getChecksum(o *optionCall, _ int32) ([]byte, abi.Errno) {
	if o.s.Proto == core.ProtoICMPv6 {
		return word(o.kept(2))
	}
	return word(o.kept(-1))
}
