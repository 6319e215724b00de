package linux

import (
	"slices"

	"hythe/abi"
	"hythe/server/unix/core"
)

// rtnetlink(7) as far as programs ask what interfaces, addresses and routes there
// are: include/uapi/linux/{netlink,rtnetlink,if_link,if_addr}.h. Interfaces
// are netif.go's, and nothing of them can be changed.

// Types and flags of messages.
const (
	nlError      = 2
	nlDone       = 3
	nlNewLink    = 16
	nlGetLink    = 18
	nlNewAddr    = 20
	nlGetAddr    = 22
	nlNewRoute   = 24
	nlGetRoute   = 26
	nlGetNeigh   = 30
	nlNewRule    = 32
	nlGetRule    = 34
	nlNewQdisc   = 36
	nlGetQdisc   = 38
	nlGetClass   = 42
	nlGetFilter  = 46
	nlNewLabel   = 72
	nlGetLabel   = 74
	nlGetNexthop = 106
	nlMax        = 200 // types above are not known

	nlRequest = 0x1
	nlMulti   = 0x2
	nlAck     = 0x4
	nlDump    = 0x300
)

// nlMsg is a message that is being made: its header of 16 bytes, then the rest.
type nlMsg []byte

func newNlMsg(typ, flags uint16, seq, port uint32) nlMsg {
	b := make(nlMsg, 16)
	le.PutUint16(b[4:], typ)
	le.PutUint16(b[6:], flags)
	le.PutUint32(b[8:], seq)
	le.PutUint32(b[12:], port)
	return b
}

func (m nlMsg) attr(typ uint16, data ...byte) nlMsg {
	m = le.AppendUint16(m, uint16(4+len(data)))
	m = le.AppendUint16(m, typ)
	m = append(m, data...)
	for len(m)%4 != 0 {
		m = append(m, 0)
	}
	return m
}

func (m nlMsg) u32(typ uint16, v uint32) nlMsg { return m.attr(typ, le.AppendUint32(nil, v)...) }

// end sets the length.
func (m nlMsg) end() []byte {
	le.PutUint32(m, uint32(len(m)))
	return m
}

// netlinkAnswer answers the requests of one datagram.
func netlinkAnswer(c *core.Call, proto int32, req []byte, port uint32) [][]byte {
	one := netlinkOne
	switch proto {
	case core.NetlinkSockDiag:
		one = diagOne
	case core.NetlinkGeneric:
		one = genericOne
	}
	var out [][]byte
	for len(req) >= 16 {
		n := le.Uint32(req)
		if n < 16 || uint64(n) > uint64(len(req)) {
			break
		}
		m := req[:n]
		req = req[min(len(req), int(n+3)&^3):]
		typ, flags, seq := le.Uint16(m[4:]), le.Uint16(m[6:]), le.Uint32(m[8:])
		if flags&nlRequest == 0 || typ < 16 {
			continue
		}
		parts, e := one(c.K, typ, flags, seq, port, m[16:])
		out = append(out, parts...)
		if e != 0 || flags&nlAck != 0 && flags&nlDump != nlDump {
			r := newNlMsg(nlError, 0, seq, port)
			r = le.AppendUint32(r, -uint32(e))
			if e == 0 {
				r = append(r, m[:16]...)
			} else {
				r = append(r, m...)
			}
			out = append(out, r.end())
		}
	}
	return out
}

func netlinkOne(k *core.Kernel, typ, flags uint16, seq, port uint32, body []byte) ([][]byte, abi.Errno) {
	dump := flags&nlDump == nlDump
	family := byte(0)
	if len(body) > 0 {
		family = body[0]
	}
	var parts [][]byte
	multi := uint16(0)
	if dump {
		multi = nlMulti
	}
	add := func(m nlMsg) { parts = append(parts, m.end()) }
	switch {
	case typ > nlMax:
		return nil, abi.EOPNOTSUPP
	case typ == nlGetLink && dump && family == familyBridge: // no interface is a port of a bridge
	case typ == nlGetLink:
		list := ifaces(k)
		if !dump {
			f := linkOf(k, body)
			if f == nil {
				return nil, abi.ENODEV
			}
			list = []*iface{f}
		}
		for _, f := range list {
			add(f.link(newNlMsg(nlNewLink, multi, seq, port)))
		}
	case typ == nlGetAddr && dump:
		if family != core.FamilyInet6 {
			for _, f := range ifaces(k) {
				add(f.addr4(newNlMsg(nlNewAddr, multi, seq, port)))
			}
		}
		if family != core.FamilyInet {
			add(loIface.addr6(newNlMsg(nlNewAddr, multi, seq, port)))
			if k.HasNet6() {
				add(ethIface(k).addr6(newNlMsg(nlNewAddr, multi, seq, port)))
			}
			if k.HasLinkLocal() {
				add(ethIface(k).linkLocal(newNlMsg(nlNewAddr, multi, seq, port)))
			}
		}
	case typ == nlGetRoute && dump:
		for _, r := range routes(k) {
			if family == 0 || family == r.family {
				add(r.message(newNlMsg(nlNewRoute, multi, seq, port)))
			}
		}
	case typ == nlGetRoute:
		m, e := routeTo(k, family, body, newNlMsg(nlNewRoute, 0, seq, port))
		if e != 0 {
			return nil, e
		}
		add(m)
	case typ == nlGetRule && dump:
		for _, r := range rules {
			if family == 0 || family == r.family {
				add(r.message(newNlMsg(nlNewRule, multi, seq, port)))
			}
		}
	case typ == nlGetQdisc && dump:
		for _, f := range ifaces(k) {
			add(f.queue(newNlMsg(nlNewQdisc, multi, seq, port)))
		}
	case typ == nlGetLabel && dump:
		for _, l := range addrLabels {
			add(l.message(newNlMsg(nlNewLabel, multi, seq, port)))
		}
	case (typ == nlGetNeigh || typ == nlGetClass || typ == nlGetFilter || typ == nlGetNexthop) && dump: // there are none
	case typ&3 == 2: // RTM_GET... of other things
		return nil, abi.EOPNOTSUPP
	default:
		return nil, abi.EPERM
	}
	if !dump {
		return parts, 0
	}
	// As many as fit lie in one datagram; the end comes by itself.
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	var out [][]byte
	if len(all) > 0 {
		out = append(out, all)
	}
	done := nlMsg(le.AppendUint32(newNlMsg(nlDone, nlMulti, seq, port), 0))
	return append(out, done.end()), 0
}

// linkOf answers the interface that an ifinfomsg with its attributes names, nil if
// there is none.
func linkOf(k *core.Kernel, body []byte) *iface {
	if len(body) < 16 {
		return nil
	}
	if i := le.Uint32(body[4:]); i != 0 {
		return findIface(k, i, "")
	}
	name := ""
	eachAttr(body[16:], func(typ uint16, b []byte) {
		if typ == 3 { // IFLA_IFNAME
			name = cstring(b)
		}
	})
	if name == "" {
		return nil
	}
	return findIface(k, 0, name)
}

// eachAttr calls f for each attribute.
func eachAttr(b []byte, f func(typ uint16, data []byte)) {
	for len(b) >= 4 {
		n := int(le.Uint16(b))
		if n < 4 || n > len(b) {
			return
		}
		f(le.Uint16(b[2:])&0x3fff, b[4:n])
		b = b[min(len(b), (n+3)&^3):]
	}
}

func (f *iface) link(m nlMsg) nlMsg {
	m = append(m, 0, 0)
	m = le.AppendUint16(m, f.arp)
	m = le.AppendUint32(m, f.Index)
	m = le.AppendUint32(m, f.flags)
	m = le.AppendUint32(m, 0)
	m = m.attr(3, append([]byte(f.Name), 0)...) // IFLA_IFNAME
	m = m.u32(13, 1000)                         // IFLA_TXQLEN
	state := byte(0)                            // unknown
	if f.Index != core.LoopbackIndex {
		state = 6 // up
	}
	m = m.attr(16, state).attr(17, 0)            // IFLA_OPERSTATE, LINKMODE
	m = m.u32(4, f.MTU)                          // IFLA_MTU
	m = m.u32(50, 0).u32(51, 0)                  // IFLA_MIN_MTU, MAX_MTU
	m = m.u32(27, 0).u32(30, 0)                  // IFLA_GROUP, PROMISCUITY
	m = m.u32(31, 1).u32(32, 1)                  // IFLA_NUM_TX_QUEUES, NUM_RX_QUEUES
	m = m.attr(33, 1)                            // IFLA_CARRIER
	m = m.attr(6, append([]byte(f.qdisc), 0)...) // IFLA_QDISC
	m = m.attr(1, f.MAC[:]...)                   // IFLA_ADDRESS
	m = m.attr(2, f.macCast[:]...)               // IFLA_BROADCAST
	m = m.attr(23, make([]byte, 200)...)         // IFLA_STATS64
	return m.attr(7, make([]byte, 96)...)        // IFLA_STATS
}

func (f *iface) address(m nlMsg, family, bits, scope byte) nlMsg {
	m = append(m, family, bits, 0x80, scope) // IFA_F_PERMANENT
	return le.AppendUint32(m, f.Index)
}

var forever = []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0}

func (f *iface) addr4(m nlMsg) nlMsg {
	m = f.address(m, core.FamilyInet, f.Bits, f.scope)
	m = m.attr(1, f.Addr[:]...).attr(2, f.Addr[:]...) // IFA_ADDRESS, LOCAL
	if f.Cast != [4]byte{} {
		m = m.attr(4, f.Cast[:]...) // IFA_BROADCAST
	}
	m = m.attr(3, append([]byte(f.Name), 0)...) // IFA_LABEL
	return m.u32(8, 0x80).attr(6, forever...)   // IFA_FLAGS, CACHEINFO
}

func (f *iface) addr6(m nlMsg) nlMsg {
	m = f.address(m, core.FamilyInet6, f.Bits6, f.scope)
	m = m.attr(1, f.Addr6[:]...)
	return m.attr(6, forever...).u32(8, 0x80)
}

// linkLocal is addr6 of the link-local address.
func (f *iface) linkLocal(m nlMsg) nlMsg {
	m = f.address(m, core.FamilyInet6, 64, 253) // RT_SCOPE_LINK
	m = m.attr(1, f.LinkLocal[:]...)
	return m.attr(6, forever...).u32(8, 0x80)
}

// route is one of the machine's.
type route struct {
	family, bits, typ byte
	table             byte // 255: local, 254: main
	dev               uint32
	dst, via, src     []byte
}

var (
	loRoutes = []route{
		{family: core.FamilyInet, bits: 8, typ: 2, table: 255, dev: core.LoopbackIndex, dst: []byte{127, 0, 0, 0}, src: core.Loopback.Addr[:]}, // RTN_LOCAL
		{family: core.FamilyInet, bits: 32, typ: 2, table: 255, dev: core.LoopbackIndex, dst: []byte{127, 0, 0, 1}, src: core.Loopback.Addr[:]},
		{family: core.FamilyInet, bits: 32, typ: 3, table: 255, dev: core.LoopbackIndex, dst: []byte{127, 255, 255, 255}, src: core.Loopback.Addr[:]}, // RTN_BROADCAST
		{family: core.FamilyInet6, bits: 128, typ: 2, table: 255, dev: core.LoopbackIndex, dst: append(make([]byte, 15), 1)},
	}
)

// ethRoutes are those of IPv4 by eth0.
func ethRoutes(k *core.Kernel) []route {
	f := k.Ethernet()
	net := f.Network()
	l := []route{
		{family: core.FamilyInet, bits: f.Bits, typ: 1, table: 254, dev: core.EthernetIndex, dst: net[:], src: f.Addr[:]}, // RTN_UNICAST
		{family: core.FamilyInet, bits: 32, typ: 2, table: 255, dev: core.EthernetIndex, dst: f.Addr[:], src: f.Addr[:]},
		{family: core.FamilyInet, bits: 32, typ: 3, table: 255, dev: core.EthernetIndex, dst: f.Cast[:], src: f.Addr[:]},
	}
	if via, ok := k.Gateway(); ok {
		l = slices.Insert(l, 0, route{family: core.FamilyInet, typ: 1, table: 254, dev: core.EthernetIndex, via: via[:]})
	}
	return l
}

// ethRoutes6 are those of IPv6.
func ethRoutes6(k *core.Kernel) []route {
	f := k.Ethernet()
	net := f.Network6()
	l := []route{{family: core.FamilyInet6, bits: f.Bits6, typ: 1, table: 254, dev: core.EthernetIndex, dst: net[:]}}
	if f.HasLinkLocal() {
		l = append(l, route{family: core.FamilyInet6, bits: 64, typ: 1, table: 254, dev: core.EthernetIndex, dst: linkLocals[:]})
	}
	if via, ok := k.Gateway6(); ok {
		l = append(l, route{family: core.FamilyInet6, typ: 1, table: 254, dev: core.EthernetIndex, via: via[:]})
	}
	l = append(l, route{family: core.FamilyInet6, bits: 128, typ: 2, table: 255, dev: core.EthernetIndex, dst: f.Addr6[:]})
	if f.HasLinkLocal() {
		l = append(l, route{family: core.FamilyInet6, bits: 128, typ: 2, table: 255, dev: core.EthernetIndex, dst: f.LinkLocal[:]})
	}
	return l
}

var linkLocals = [16]byte{0xfe, 0x80}

func routes(k *core.Kernel) []route {
	if !k.HasNet() {
		return loRoutes
	}
	l := append(ethRoutes(k), loRoutes...)
	if k.HasNet6() {
		l = append(l, ethRoutes6(k)...)
	}
	return l
}

func (r route) message(m nlMsg) nlMsg {
	scope, proto := byte(254), byte(2) // RT_SCOPE_HOST, RTPROT_KERNEL
	switch {
	case r.via != nil:
		scope, proto = 0, 3 // RT_SCOPE_UNIVERSE, RTPROT_BOOT
	case r.family == core.FamilyInet6:
		scope = 0
	case r.typ != 2:
		scope = 253 // RT_SCOPE_LINK
	}
	m = append(m, r.family, r.bits, 0, 0, r.table, proto, scope, r.typ)
	m = le.AppendUint32(m, 0)
	m = m.u32(15, uint32(r.table)) // RTA_TABLE
	if r.bits > 0 {
		m = m.attr(1, r.dst...) // RTA_DST
	}
	switch {
	case r.family == core.FamilyInet6:
		metric := uint32(0)
		if r.via != nil {
			m = m.attr(5, r.via...) // RTA_GATEWAY
			metric = 1024
		} else if r.typ == 1 {
			metric = 256
		}
		m = m.u32(6, metric) // RTA_PRIORITY
	case r.via != nil:
		m = m.attr(5, r.via...) // RTA_GATEWAY
	default:
		m = m.attr(7, r.src...) // RTA_PREFSRC
	}
	return m.u32(4, r.dev) // RTA_OIF
}

// rule says which table of routes is looked at (ip-rule(8)): those that are there by themselves, and stay.
type rule struct {
	family, table byte
	priority      uint32
}

var rules = []rule{
	{core.FamilyInet, 255, 0}, {core.FamilyInet, 254, 32766}, {core.FamilyInet, 253, 32767},
	{core.FamilyInet6, 255, 0}, {core.FamilyInet6, 254, 32766},
}

// message is struct fib_rule_hdr and its attributes (include/uapi/linux/fib_rules.h).
func (r rule) message(m nlMsg) nlMsg {
	m = append(m, r.family, 0, 0, 0, r.table, 0, 0, 1) // FR_ACT_TO_TBL
	m = le.AppendUint32(m, 0)
	m = m.u32(15, uint32(r.table)).u32(14, ^uint32(0)) // FRA_TABLE, SUPPRESS_PREFIXLEN: none is
	if r.priority != 0 {
		m = m.u32(6, r.priority) // FRA_PRIORITY
	}
	return m.attr(21, 2) // FRA_PROTOCOL: RTPROT_KERNEL
}

// routeTo answers the route to the address that a request names.
func routeTo(k *core.Kernel, family byte, body []byte, m nlMsg) (nlMsg, abi.Errno) {
	if len(body) < 12 {
		return nil, abi.EINVAL
	}
	var dst []byte
	eachAttr(body[12:], func(typ uint16, b []byte) {
		if typ == 1 { // RTA_DST
			dst = b
		}
	})
	src, eth := core.Loopback.Addr[:], k.Ethernet()
	switch {
	case family == core.FamilyInet && len(dst) == 4 && k.Reaches([16]byte{10: 0xff, 11: 0xff, 12: dst[0], 13: dst[1], 14: dst[2], 15: dst[3]}):
		m = append(m, family, 32, 0, 0, 254, 0, 0, 1)
		m = le.AppendUint32(m, 0x200) // RTM_F_CLONED
		m = m.u32(15, 254).attr(1, dst...)
		if via, ok := k.Gateway(); ok && !eth.Holds([4]byte(dst)) {
			m = m.attr(5, via[:]...)
		}
		return m.u32(4, core.EthernetIndex).attr(7, eth.Addr[:]...), 0
	case family == core.FamilyInet && len(dst) == 4 && k.HasNet() && [4]byte(dst) == eth.Addr:
		src = dst
	case family == core.FamilyInet && len(dst) == 4 && dst[0] == 127:
	case family == core.FamilyInet6 && len(dst) == 16 && k.HasNet6() && k.Reaches([16]byte(dst)):
		m = append(m, family, 128, 0, 0, 254, 0, 0, 1)
		m = le.AppendUint32(m, 0x200) // RTM_F_CLONED
		m = m.u32(15, 254).attr(1, dst...)
		metric := uint32(256)
		src, to := eth.Addr6, core.Iface{Addr6: [16]byte(dst), Bits6: eth.Bits6}
		if eth.HasLinkLocal() && dst[0] == 0xfe && dst[1]&0xc0 == 0x80 {
			src = eth.LinkLocal
		} else if via, ok := k.Gateway6(); ok && to.Network6() != eth.Network6() {
			m = m.attr(5, via[:]...)
			metric = 1024
		}
		return m.u32(4, core.EthernetIndex).attr(7, src[:]...).u32(6, metric), 0
	case family == core.FamilyInet6 && len(dst) == 16 && k.HasNet6() && ([16]byte(dst) == eth.Addr6 || eth.HasLinkLocal() && [16]byte(dst) == eth.LinkLocal):
		src = dst
	case family == core.FamilyInet6 && len(dst) == 16 && dst[15] == 1 && [15]byte(dst) == [15]byte{}:
		src = dst
	default:
		return nil, abi.ENETUNREACH
	}
	table := byte(255)
	if family == core.FamilyInet {
		table = 254 // as long as there are no other rules Linux has them in one
	}
	m = append(m, family, byte(8*len(dst)), 0, 0, table, 0, 0, 2)
	m = le.AppendUint32(m, 0x80000200) // RTCF_LOCAL, RTM_F_CLONED
	m = m.u32(15, uint32(table)).attr(1, dst...).u32(4, core.LoopbackIndex)
	return m.attr(7, src...), 0
}

// familyBridge is AF_BRIDGE.
const familyBridge = 7

// queue is struct tcmsg of what an interface's packets wait in.
func (f *iface) queue(m nlMsg) nlMsg {
	m = append(m, 0, 0, 0, 0)
	m = le.AppendUint32(m, f.Index)
	m = le.AppendUint32(m, 0)
	m = le.AppendUint32(m, ^uint32(0)) // TC_H_ROOT
	m = le.AppendUint32(m, 2)          // held by so many
	return m.attr(1, append([]byte(f.qdisc), 0)...)
}

// addrLabel is a row of the table by which addresses of IPv6 are chosen (RFC 6724, as Linux has it).
type addrLabel struct {
	prefix [16]byte
	bits   byte
	label  uint32
}

var addrLabels = []addrLabel{
	{[16]byte{15: 1}, 128, 0},
	{[16]byte{}, 96, 3},
	{[16]byte{10: 0xff, 11: 0xff}, 96, 4},
	{[16]byte{0x20, 0x01}, 32, 6},
	{[16]byte{0x20, 0x01, 0, 0x10}, 28, 7},
	{[16]byte{0x3f, 0xfe}, 16, 12},
	{[16]byte{0x20, 0x02}, 16, 2},
	{[16]byte{0xfe, 0xc0}, 10, 11},
	{[16]byte{0xfc}, 7, 5},
	{[16]byte{}, 0, 1},
}

func (l addrLabel) message(m nlMsg) nlMsg {
	m = append(m, core.FamilyInet6, 0, l.bits, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	return m.attr(1, l.prefix[:]...).u32(2, l.label)
}
