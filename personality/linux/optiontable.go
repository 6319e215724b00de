package linux

import (
	"hythe/abi"
	"hythe/server/unix/core"
	"hythe/store"
)

// setsockopt and getsockopt. Each level has a table of its options and its own idea of what is
// looked at first; both are Linux's (net/socket.c, net/core/sock.c, net/ipv4/{ip_sockglue,tcp,udp,
// raw}.c, net/ipv6/{ipv6_sockglue,raw}.c, net/netlink/af_netlink.c), which test/network asks
// about each option of each level (sockopts.c).

// optionLevel is a level with the rules for its values.
type optionLevel int

const (
	optNone optionLevel = iota
	optSocket
	optIP
	optIPv6
	optTCP
	optUDP
	optRaw // of raw sockets, both families
	optNetlink
)

// optionCall is a call about an option of a socket.
type optionCall struct {
	c     *core.Call
	r     store.Ref[core.Socket]
	s     *core.Socket // as it was last looked at
	kind  optionLevel
	level int32
	opt   uint32
	n     int32 // the length that was said, also of what is asked for
	v     int32 // of a value to set, its first four bytes
}

// sockOption is an option. Without functions it is a number that is kept.
type sockOption struct {
	def, lo, hi int32
	// flag: what is not 0 is 1.
	flag bool
	// least is how long a value to set has to be at least.
	least int32
	// ro: it cannot be set.
	ro bool
	// stream is what those are answered who set it for a stream, 0: as others.
	stream abi.Errno
	// set sets it to o.v; own gets the value itself, and is asked before anything is looked at.
	set, own func(o *optionCall) abi.Errno
	// get answers its value, room bytes of which are wanted.
	get func(o *optionCall, room int32) ([]byte, abi.Errno)
}

const (
	minInt = -1 << 31
	maxInt = 1<<31 - 1
)

func optionKey(level int32, opt uint32) uint32 { return uint32(level)<<16 | opt&0xffff }

func (o *optionCall) key() uint32 { return optionKey(o.level, o.opt) }

// option answers an option's value: what was set, or what it is before.
func option(k *core.Kernel, r store.Ref[core.Socket], level int32, opt uint32) int32 {
	if v, ok := k.SockOption(r, optionKey(level, opt)); ok {
		return v
	}
	switch level {
	case levelIP:
		return ipOptions()[opt].def
	case levelIPv6:
		return ip6Options()[opt].def
	}
	return 0
}

// find says which options a call is about. What answers an unknown level differs for setting
// and asking.
func (o *optionCall) find(asks bool) abi.Errno {
	s, six := o.s, o.s.Family == core.FamilyInet6
	switch {
	case o.level == solSocket:
		o.kind = optSocket
	case s.Family == core.FamilyNetlink && o.level == levelNetlink:
		o.kind = optNetlink
	case s.Family == core.FamilyNetlink:
		return abi.ENOPROTOOPT
	case s.Family != core.FamilyInet && !six:
		return abi.EOPNOTSUPP
	case o.level == levelTCP && s.Type == core.SockStream:
		o.kind = optTCP
	case (o.level == levelUDP || o.level == levelLite) && (s.Proto == core.ProtoUDP || s.Proto == core.ProtoUDPLite) && s.Type == core.SockDgram:
		o.kind, o.level = optUDP, levelUDP
	case s.Type == core.SockRaw && o.level == levelRaw:
		if !six && o.opt == rawFilter && s.Proto != core.ProtoICMP {
			return abi.EOPNOTSUPP
		}
		o.kind = optRaw
	case s.Type == core.SockRaw && six && o.level == levelICMPv6:
		if s.Proto != core.ProtoICMPv6 {
			return abi.EOPNOTSUPP
		}
		o.kind = optRaw
	case s.Type == core.SockRaw && six && o.level == levelIPv6 && (o.opt == rawChecksum || o.opt == v6HdrIncl):
		o.kind, o.level = optRaw, levelRaw
	case o.level == levelIP && !(six && s.Type == core.SockRaw):
		o.kind = optIP
	case o.level == levelIPv6 && six:
		o.kind = optIPv6
	case !six && asks:
		return abi.EOPNOTSUPP
	default:
		return abi.ENOPROTOOPT
	}
	return 0
}

// raw6 says whether the options are those of raw sockets of IPv6.
func (o *optionCall) raw6() bool {
	return o.kind == optRaw && o.level == levelRaw && o.s.Family == core.FamilyInet6
}

// row answers the option; false: there is none of this number.
func (o *optionCall) row() (sockOption, bool) {
	var t map[uint32]sockOption
	switch o.kind {
	case optSocket:
		t = socketOptions()
	case optIP:
		t = ipOptions()
	case optIPv6:
		t = ip6Options()
	case optTCP:
		t = tcpOptions()
	case optUDP:
		t = udpOptions()
	case optNetlink:
		t = netlinkOptions()
	case optRaw:
		switch {
		case o.level == levelICMPv6 && o.opt == rawFilter:
			return sockOption{own: setFilter6, get: getFilter6}, true
		case o.level == levelICMPv6:
			return sockOption{}, false
		case o.s.Family == core.FamilyInet6:
			t = raw6Options()
		default:
			t = raw4Options()
		}
	}
	row, ok := t[o.opt]
	return row, ok
}

func sysSetsockopt(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	_, r, _, e := c.Sock(fdArg(c, 0))
	if e != 0 {
		return 0, e
	}
	o := optionCall{c: c, r: r, s: c.K.Socks.Get(r), level: int32(uint32(c.Args[1])), opt: uint32(c.Args[2]), n: int32(uint32(c.Args[4]))}
	if o.n < 0 {
		return 0, abi.EINVAL
	}
	if e := o.find(false); e != 0 {
		return 0, e
	}
	return 0, o.change()
}

// change is setsockopt.
func (o *optionCall) change() abi.Errno {
	row, ok := o.row()
	if ok && row.own != nil {
		if o.kind == optIPv6 {
			if e := o.fetch(true); e != 0 {
				return e
			}
		}
		return row.own(o)
	}
	known := ok && !row.ro
	switch o.kind {
	case optSocket, optTCP, optUDP:
		if o.n < 4 {
			return abi.EINVAL
		}
	case optRaw:
		if o.raw6() && o.n < 4 {
			return abi.EINVAL
		}
	}
	switch e := o.fetch(known); {
	case e != 0:
		return e
	case !known:
		return abi.ENOPROTOOPT
	case o.s.Type == core.SockStream && row.stream != 0:
		return row.stream
	case o.n < row.least:
		return abi.EINVAL
	}
	v := o.v
	switch {
	case row.set != nil:
		return row.set(o)
	case row.flag:
		o.v = truth(v)
	case v < row.lo || v > row.hi:
		return abi.EINVAL
	}
	return o.keep(o.v)
}

func truth(v int32) int32 {
	if v != 0 {
		return 1
	}
	return 0
}

// fetch takes the number that an option shall be.
func (o *optionCall) fetch(known bool) abi.Errno {
	n := min(o.n, 4)
	switch {
	case o.kind == optIP && !known, o.kind == optRaw && !o.raw6(), o.kind == optIPv6 && o.c.Args[3] == 0:
		return 0
	case n < 4 && o.kind != optIP:
		return 0
	case n < 4:
		n = min(n, 1)
	}
	b, e := o.bytes(n)
	if e != 0 {
		return e
	}
	var w [4]byte
	copy(w[:], b)
	o.v = int32(le.Uint32(w[:]))
	return 0
}

// bytes takes the first n bytes of a value, at most as many as there are.
func (o *optionCall) bytes(n int32) ([]byte, abi.Errno) {
	b, e := o.c.CopyIn(o.c.Args[3], int(min(n, o.n)))
	if e != 0 {
		return nil, e
	}
	b = append([]byte(nil), b...)
	// The lock may have been given up.
	_, r, _, e := o.c.Sock(fdArg(o.c, 0))
	if e != 0 {
		return nil, e
	}
	if r != o.r {
		return nil, abi.EBADF
	}
	o.s = o.c.K.Socks.Get(r)
	return b, 0
}

// whole takes a value that has at least n bytes, the first n of it. EINVAL.
func (o *optionCall) whole(n int32) ([]byte, abi.Errno) {
	if o.n < n {
		return nil, abi.EINVAL
	}
	return o.bytes(n)
}

func (o *optionCall) keep(v int32) abi.Errno { return keep(o.c, o.r, o.key(), v) }

// kept is what the option was set to, or def.
func (o *optionCall) kept(def int32) int32 {
	if v, ok := o.c.K.SockOption(o.r, o.key()); ok {
		return v
	}
	return def
}

func sysGetsockopt(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	_, r, _, e := c.Sock(fdArg(c, 0))
	if e != 0 {
		return 0, e
	}
	o := optionCall{c: c, r: r, s: c.K.Socks.Get(r), level: int32(uint32(c.Args[1])), opt: uint32(c.Args[2])}
	if e := o.find(true); e != 0 {
		return 0, e
	}
	return 0, o.ask()
}

// ask is getsockopt.
func (o *optionCall) ask() abi.Errno {
	row, ok := o.row()
	if o.kind == optRaw && !ok && !o.raw6() {
		return abi.ENOPROTOOPT
	}
	said, e := o.c.CopyIn32(o.c.Args[4])
	if e != 0 {
		return e
	}
	_, r, _, e := o.c.Sock(fdArg(o.c, 0))
	if e != 0 {
		return e
	}
	if r != o.r {
		return abi.EBADF
	}
	o.s = o.c.K.Socks.Get(r)
	room := int32(said)
	o.n = room
	if room < 0 {
		if o.kind != optIPv6 && !o.raw6() {
			return abi.EINVAL
		}
		room = maxInt // a length has no sign here
	}
	if !ok {
		return abi.ENOPROTOOPT
	}
	var b []byte
	if row.get != nil {
		if b, e = row.get(o, room); e != 0 {
			return e
		}
	} else {
		b = le.AppendUint32(nil, uint32(o.kept(row.def)))
		if o.kind == optNetlink && room < 4 {
			return abi.EINVAL
		}
	}
	// A level's own idea of numbers for which there is no room.
	if o.kind == optIP && len(b) == 4 && o.opt != ipMulticastIf && room < 4 && le.Uint32(b) <= 255 {
		b = b[:1]
	}
	b = b[:min(len(b), int(room))]
	o.c.CopyOut(o.c.Args[3], b)
	o.c.CopyOut32(o.c.Args[4], uint32(len(b)))
	return 0
}

// word is the value of an option that is a number.
func word[T int32 | uint32](v T) ([]byte, abi.Errno) { return le.AppendUint32(nil, uint32(v)), 0 }

// fail answers those who set an option.
func fail(e abi.Errno) func(*optionCall) abi.Errno {
	return func(*optionCall) abi.Errno { return e }
}

// without answers those who ask for an option.
func without(e abi.Errno) func(*optionCall, int32) ([]byte, abi.Errno) {
	return func(*optionCall, int32) ([]byte, abi.Errno) { return nil, e }
}

// nothing is the value of what has none.
func nothing(*optionCall, int32) ([]byte, abi.Errno) { return nil, 0 }
