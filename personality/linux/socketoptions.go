package linux

import (
	"sync"

	"hythe/abi"
	"hythe/server/unix/core"
)

// Options of SOL_SOCKET (asm-generic/socket.h).
const (
	soTimestamp      = 29
	soTimestampns    = 35
	soBindtodev      = 25
	soTimestamping   = 37
	soTimestampNew   = 63
	soTimestampnsNew = 64
	soTimestampingN  = 65
	soRcvtimeo       = 20
	soRcvtimeoNew    = 66
)

// Bounds of the buffers (net/core/sock.c: what is asked is doubled).
const (
	minSndbuf = 4608
	minRcvbuf = 2304
	maxBuf    = 212992
)

// ifNameSize is IFNAMSIZ of linux/if.h.
const ifNameSize = 16

// Bits of SO_TIMESTAMPING (include/uapi/linux/net_tstamp.h) beside the core's.
const (
	stampOptID    = core.StampOptID
	stampStats    = 1 << 12
	stampBind     = 1 << 15
	stampOptIDTCP = 1 << 16
	stampMask     = 1<<19 - 1
)

var socketOptions = sync.OnceValue(func() map[uint32]sockOption {
	return map[uint32]sockOption{
		1:                {set: setDebug, get: getBit},
		2:                {set: setBit, get: getBit}, // SO_REUSEADDR
		3:                {ro: true, get: func(o *optionCall, _ int32) ([]byte, abi.Errno) { return word(o.s.Type) }},
		4:                {ro: true, get: func(o *optionCall, _ int32) ([]byte, abi.Errno) { return word(uint32(o.c.K.TakeSockErr(o.r))) }},
		5:                {set: setBit, get: getBit}, // SO_DONTROUTE
		6:                {set: setBit, get: getBit}, // SO_BROADCAST
		7:                {set: setSndbuf, get: func(o *optionCall, _ int32) ([]byte, abi.Errno) { return word(o.s.SndBuf) }},
		8:                {set: setRcvbuf, get: func(o *optionCall, _ int32) ([]byte, abi.Errno) { return word(o.s.RcvBuf) }},
		9:                {set: setBit, get: getBit},                             // SO_KEEPALIVE
		10:               {set: setBit, get: getBit},                             // SO_OOBINLINE
		11:               {flag: true},                                           // SO_NO_CHECK
		12:               {set: setPriority, get: getPriority},                   // SO_PRIORITY
		13:               {set: setLinger, get: getLinger},                       // SO_LINGER
		14:               {set: fail(0)},                                         // SO_BSDCOMPAT
		15:               {set: setReuseport, get: getBit},                       // SO_REUSEPORT
		16:               {set: setPasscred, get: getPasscred},                   // SO_PASSCRED
		17:               {ro: true, get: getPeercred},                           // SO_PEERCRED
		18:               {set: setRcvlowat, get: getRcvlowat},                   // SO_RCVLOWAT
		19:               {def: 1, ro: true},                                     // SO_SNDLOWAT
		soRcvtimeo:       {set: setTimeo, get: getTimeo},                         // SO_RCVTIMEO
		21:               {set: setTimeo, get: getTimeo},                         // SO_SNDTIMEO
		soBindtodev:      {own: bindToDevice, get: boundDevice},                  // SO_BINDTODEVICE
		27:               {set: fail(abi.ENOENT), get: without(abi.ENOPROTOOPT)}, // SO_DETACH_FILTER: there is none
		28:               {ro: true, get: getPeername},                           // SO_PEERNAME
		soTimestamp:      {set: setStamp, get: getStamp},
		30:               {ro: true, get: getAcceptconn},
		32:               {set: forced(setSndbuf), get: without(abi.ENOPROTOOPT)},
		33:               {set: forced(setRcvbuf), get: without(abi.ENOPROTOOPT)},
		34:               {set: ofRights, get: getOfRights}, // SO_PASSSEC
		soTimestampns:    {set: setStamp, get: getStamp},
		36:               {set: setMark, get: func(o *optionCall, _ int32) ([]byte, abi.Errno) { return word(o.s.Marked) }},
		soTimestamping:   {set: setStamping, get: getStamping},
		38:               {ro: true, get: func(o *optionCall, _ int32) ([]byte, abi.Errno) { return word(o.s.Proto) }},
		39:               {ro: true, get: func(o *optionCall, _ int32) ([]byte, abi.Errno) { return word(o.s.Family) }},
		41:               {flag: true}, // SO_WIFI_STATUS
		43:               {flag: true}, // SO_NOFCS
		45:               {flag: true}, // SO_SELECT_ERR_QUEUE
		46:               {hi: maxInt}, // SO_BUSY_POLL
		47:               {set: setPacing, get: getPacing},
		48:               {def: 64, ro: true}, // SO_BPF_EXTENSIONS
		49:               {set: fail(0)},      // SO_INCOMING_CPU
		53:               {set: fail(0), get: without(abi.ENOPROTOOPT)},
		55:               {ro: true, get: getMeminfo},
		56:               {ro: true}, // SO_INCOMING_NAPI_ID
		57:               {ro: true, get: func(o *optionCall, room int32) ([]byte, abi.Errno) { return eight(o.s.Ino, room, false) }},
		60:               {set: zeroCopy}, // SO_ZEROCOPY
		62:               {set: bindToIndex, get: getBoundIndex},
		soTimestampNew:   {set: setStamp, get: getStamp},
		soTimestampnsNew: {set: setStamp, get: getStamp},
		soTimestampingN:  {set: setStamping, get: getStamping},
		soRcvtimeoNew:    {set: setTimeo, get: getTimeo},
		67:               {set: setTimeo, get: getTimeo},
		69:               {set: privileged}, // SO_PREFER_BUSY_POLL
		71:               {ro: true, get: func(o *optionCall, room int32) ([]byte, abi.Errno) { return eight(1, room, true) }},
		72:               {hi: 3},           // SO_BUF_LOCK
		73:               {set: reserveMem}, // SO_RESERVE_MEM
		74:               {set: setRehash, get: getRehash},
	}
})

// Those that are a bit of Socket.Opts have the number of the option.

func setBit(o *optionCall) abi.Errno {
	s := o.c.K.Socks.Mut(o.r)
	s.Opts &^= 1 << o.opt
	if o.v != 0 {
		s.Opts |= 1 << o.opt
	}
	return 0
}

func getBit(o *optionCall, _ int32) ([]byte, abi.Errno) { return word(o.s.Opts >> o.opt & 1) }

// capNetAdmin is CAP_NET_ADMIN of include/uapi/linux/capability.h.
const capNetAdmin = 12

func setDebug(o *optionCall) abi.Errno {
	if o.v != 0 && !o.c.Capable(capNetAdmin) {
		return abi.EACCES
	}
	return setBit(o)
}

func setSndbuf(o *optionCall) abi.Errno {
	o.c.K.Socks.Mut(o.r).SndBuf = uint32(max(doubled(o.v), minSndbuf))
	o.c.K.WakeSocket(o.r)
	return 0
}

func setRcvbuf(o *optionCall) abi.Errno {
	o.c.K.Socks.Mut(o.r).RcvBuf = uint32(max(doubled(o.v), minRcvbuf))
	return 0
}

// doubled is a buffer's size for one that is asked for; what is below 0 asks for the most.
func doubled(v int32) int32 {
	if v < 0 {
		v = maxBuf
	}
	return min(v, maxBuf) * 2
}

// forced is for SO_SNDBUFFORCE and SO_RCVBUFFORCE, which give no more here.
func forced(set func(*optionCall) abi.Errno) func(*optionCall) abi.Errno {
	return func(o *optionCall) abi.Errno {
		if !o.c.Capable(capNetAdmin) {
			return abi.EPERM
		}
		o.v = max(o.v, 0)
		return set(o)
	}
}

func setPriority(o *optionCall) abi.Errno {
	o.c.K.Socks.Mut(o.r).Priority = uint32(o.v)
	return 0
}

func getPriority(o *optionCall, _ int32) ([]byte, abi.Errno) { return word(o.s.Priority) }

func setMark(o *optionCall) abi.Errno {
	if !o.c.Capable(capNetAdmin) {
		return abi.EPERM
	}
	o.c.K.Socks.Mut(o.r).Marked = uint32(o.v)
	return 0
}

func setLinger(o *optionCall) abi.Errno {
	b, e := o.whole(8)
	if e != 0 {
		return e
	}
	s := o.c.K.Socks.Mut(o.r)
	s.Linger &^= 1
	if le.Uint32(b) != 0 {
		s.Linger = 1 | le.Uint32(b[4:])<<1
	}
	return 0
}

func getLinger(o *optionCall, _ int32) ([]byte, abi.Errno) {
	return le.AppendUint32(le.AppendUint32(nil, o.s.Linger&1), o.s.Linger>>1), 0
}

func (o *optionCall) inet() bool {
	return o.s.Family == core.FamilyInet || o.s.Family == core.FamilyInet6
}

func setReuseport(o *optionCall) abi.Errno {
	if o.v != 0 && !o.inet() {
		return abi.EOPNOTSUPP
	}
	return setBit(o)
}

func setPasscred(o *optionCall) abi.Errno {
	if o.inet() {
		return abi.EOPNOTSUPP
	}
	o.c.K.Socks.Mut(o.r).PassCred = uint32(truth(o.v))
	return 0
}

func getPasscred(o *optionCall, _ int32) ([]byte, abi.Errno) {
	if o.inet() {
		return nil, abi.EOPNOTSUPP
	}
	return word(o.s.PassCred)
}

// ofRights are flags that sockets have which files can be sent by.
func ofRights(o *optionCall) abi.Errno {
	if o.inet() {
		return abi.EOPNOTSUPP
	}
	return o.keep(truth(o.v))
}

func getOfRights(o *optionCall, _ int32) ([]byte, abi.Errno) {
	if o.inet() {
		return nil, abi.EOPNOTSUPP
	}
	return word(o.kept(0))
}

func getPeercred(o *optionCall, _ int32) ([]byte, abi.Errno) {
	p := o.s.Their
	if o.s.State == core.SockListening {
		p = o.s.Own
	} else if p.Pid == 0 {
		p.UID, p.GID = ^uint32(0), ^uint32(0)
	}
	if p.Pid != 0 {
		p.UID, p.GID = o.c.ShowUID(p.UID), o.c.ShowGID(p.GID)
	}
	return le.AppendUint32(le.AppendUint32(le.AppendUint32(nil, uint32(p.Pid)), p.UID), p.GID), 0
}

// getPeername is getpeername, for those who have room for all of it.
func getPeername(o *optionCall, room int32) ([]byte, abi.Errno) {
	_, _, fam, _ := o.c.Sock(fdArg(o.c, 0))
	a, e := fam.Name(o.r, core.NamePeer)
	if e != 0 {
		return nil, abi.ENOTCONN
	}
	b := rawAddr(a)
	if int(room) > len(b) {
		return nil, abi.EINVAL
	}
	return b, 0
}

func getAcceptconn(o *optionCall, _ int32) ([]byte, abi.Errno) {
	if o.s.State == core.SockListening {
		return word(int32(1))
	}
	return word(int32(0))
}

func setRcvlowat(o *optionCall) abi.Errno {
	if o.v < 0 {
		o.v = maxInt
	}
	o.c.K.Socks.Mut(o.r).RcvLowat = uint32(max(o.v, 1))
	return 0
}

func getRcvlowat(o *optionCall, _ int32) ([]byte, abi.Errno) { return word(o.s.RcvLowat) }

func setTimeo(o *optionCall) abi.Errno {
	b, e := o.whole(16)
	if e != 0 {
		return e
	}
	sec, us := int64(le.Uint64(b)), int64(le.Uint64(b[8:]))
	if us < 0 || us >= 1e6 {
		return abi.EDOM
	}
	var ns int64
	if sec >= 0 && sec < 1<<33 {
		ns = sec*1e9 + us*1e3
	}
	if sec < 0 {
		ns = 1 // a negative time does not wait
	}
	s := o.c.K.Socks.Mut(o.r)
	if o.opt == soRcvtimeo || o.opt == soRcvtimeoNew {
		s.RcvTimeo = ns
	} else {
		s.SndTimeo = ns
	}
	return 0
}

func getTimeo(o *optionCall, _ int32) ([]byte, abi.Errno) {
	ns := o.s.SndTimeo
	if o.opt == soRcvtimeo || o.opt == soRcvtimeoNew {
		ns = o.s.RcvTimeo
	}
	return le.AppendUint64(le.AppendUint64(nil, uint64(ns/1e9)), uint64(ns%1e9/1e3)), 0
}

// bindToDevice is SO_BINDTODEVICE with an interface's name. It is kept; where packets go
// follows from the address alone.
func bindToDevice(o *optionCall) abi.Errno {
	b, e := o.bytes(ifNameSize - 1)
	if e != 0 {
		return e
	}
	index := int32(0)
	if name := cstring(b); name != "" {
		f := findIface(o.c.K, 0, name)
		if f == nil {
			return abi.ENODEV
		}
		index = int32(f.Index)
	}
	return o.bindTo(index)
}

// bindToIndex is SO_BINDTOIFINDEX.
func bindToIndex(o *optionCall) abi.Errno {
	if o.v < 0 {
		return abi.EINVAL
	}
	return o.bindTo(o.v)
}

func (o *optionCall) bindTo(index int32) abi.Errno {
	key := optionKey(solSocket, soBindtodev)
	// Who has no power over the network may choose once.
	if old, _ := o.c.K.SockOption(o.r, key); old != 0 && !o.c.Capable(13) {
		return abi.EPERM
	}
	return keep(o.c, o.r, key, index)
}

func boundDevice(o *optionCall, room int32) ([]byte, abi.Errno) {
	i, _ := o.c.K.SockOption(o.r, optionKey(solSocket, soBindtodev))
	if i == 0 {
		return nil, 0
	}
	if room < ifNameSize {
		return nil, abi.EINVAL
	}
	f := findIface(o.c.K, uint32(i), "")
	if f == nil {
		return nil, abi.ENODEV
	}
	return append([]byte(f.Name), 0), 0
}

func getBoundIndex(o *optionCall, _ int32) ([]byte, abi.Errno) {
	i, _ := o.c.K.SockOption(o.r, optionKey(solSocket, soBindtodev))
	return word(i)
}

// Of the four forms of time stamps a socket has one at most: SO_TIMESTAMP is a bit, which other
// systems' programs set, too, and another is kept by its number.

func setStamp(o *optionCall) abi.Errno {
	form := int32(0)
	s := o.c.K.Socks.Mut(o.r)
	s.Opts &^= 1 << soTimestamp
	switch {
	case o.v == 0:
	case o.opt == soTimestamp:
		s.Opts |= 1 << soTimestamp
	default:
		form = int32(o.opt)
	}
	if o.v != 0 {
		if e := o.stampNew(o.opt == soTimestampNew || o.opt == soTimestampnsNew); e != 0 {
			return e
		}
	}
	return keep(o.c, o.r, optionKey(solSocket, soTimestampns), form)
}

// stampNew has what SO_TIMESTAMPING tells have the newer numbers or the older: of a socket's stamps all
// have the same.
func (o *optionCall) stampNew(is bool) abi.Errno {
	v, set := o.c.K.SockOption(o.r, core.SockStamping)
	u := uint32(v) &^ core.StampNew
	if is {
		u |= core.StampNew
	}
	if !set && !is || u == uint32(v) {
		return 0
	}
	return keep(o.c, o.r, core.SockStamping, int32(u))
}

// stampForm is the option that asked for time stamps, 0: none did.
func stampForm(s *core.Socket, kept int32) uint32 {
	if s.Opts>>soTimestamp&1 != 0 {
		return soTimestamp
	}
	return uint32(kept)
}

func getStamp(o *optionCall, _ int32) ([]byte, abi.Errno) {
	kept, _ := o.c.K.SockOption(o.r, optionKey(solSocket, soTimestampns))
	switch form := stampForm(o.s, kept); {
	case form == o.opt, form == soTimestampnsNew && o.opt == soTimestampNew: // which says of the newer ones that there is one
		return word(int32(1))
	}
	return word(int32(0))
}

// setStamping is SO_TIMESTAMPING, with the older or the newer number.
func setStamping(o *optionCall) abi.Errno {
	v := o.v
	switch {
	case v&^stampMask != 0, v&stampOptIDTCP != 0 && v&stampOptID == 0:
		return abi.EINVAL
	case v&stampOptID != 0 && o.s.Type == core.SockStream && o.inet() && o.s.State != core.SockConnected:
		return abi.EINVAL
	case v&stampBind != 0:
		return abi.EOPNOTSUPP
	}
	u := uint32(v)
	form, _ := o.c.K.SockOption(o.r, optionKey(solSocket, soTimestampns))
	was := stampForm(o.s, form)
	now := was
	if o.opt == soTimestampingN {
		u |= core.StampNew
	}
	switch {
	case was == 0:
	case u&core.StampNew != 0:
		now = map[uint32]uint32{soTimestamp: soTimestampNew, soTimestampns: soTimestampnsNew}[was]
	default:
		now = map[uint32]uint32{soTimestampNew: soTimestamp, soTimestampnsNew: soTimestampns}[was]
	}
	if now != was && now != 0 {
		form = int32(now)
		s := o.c.K.Socks.Mut(o.r)
		if s.Opts &^= 1 << soTimestamp; now == soTimestamp {
			s.Opts |= 1 << soTimestamp
			form = 0
		}
		if e := keep(o.c, o.r, optionKey(solSocket, soTimestampns), form); e != 0 {
			return e
		}
	}
	return o.c.K.SetStamping(o.r, u)
}

func getStamping(o *optionCall, _ int32) ([]byte, abi.Errno) {
	v, _ := o.c.K.SockOption(o.r, core.SockStamping)
	if o.opt == soTimestampingN && uint32(v)&core.StampNew == 0 {
		v = 0
	}
	return le.AppendUint32(le.AppendUint32(nil, uint32(v)&^core.StampNew), 0), 0
}

// setPacing is SO_MAX_PACING_RATE: 4 or 8 bytes, which are kept as both halves.
func setPacing(o *optionCall) abi.Errno {
	low, high := o.v, int32(0)
	if o.n >= 8 {
		b, e := o.bytes(8)
		if e != 0 {
			return e
		}
		high = int32(le.Uint32(b[4:]))
	} else if o.v == -1 {
		high = -1
	}
	if e := o.keep(low); e != 0 {
		return e
	}
	return keep(o.c, o.r, o.key()|0x8000, high)
}

func getPacing(o *optionCall, room int32) ([]byte, abi.Errno) {
	high, set := o.c.K.SockOption(o.r, o.key()|0x8000)
	if !set {
		high = -1
	}
	b := le.AppendUint32(le.AppendUint32(nil, uint32(o.kept(-1))), uint32(high))
	if room < 8 {
		if high != 0 {
			return word(int32(-1))
		}
		b = b[:4]
	}
	return b, 0
}

// getMeminfo is SO_MEMINFO: what waits to be received and the bounds of the buffers.
func getMeminfo(o *optionCall, _ int32) ([]byte, abi.Errno) {
	b := make([]byte, 36)
	le.PutUint32(b, o.s.Bytes)
	le.PutUint32(b[4:], o.s.RcvBuf)
	le.PutUint32(b[12:], o.s.SndBuf)
	return b, 0
}

// eight is a value of eight bytes, for which there has to be room, exactly if it says so.
func eight(v uint64, room int32, exact bool) ([]byte, abi.Errno) {
	if room < 8 || exact && room != 8 {
		return nil, abi.EINVAL
	}
	return le.AppendUint64(nil, v), 0
}

// zeroCopy: nothing is sent without a copy; who asks for that goes on without it.
func zeroCopy(o *optionCall) abi.Errno {
	kind := o.s.Proto == core.ProtoTCP && o.s.Type == core.SockStream || o.s.Proto == core.ProtoUDP && o.s.Type == core.SockDgram
	switch {
	case !o.inet() || !kind:
		return abi.EOPNOTSUPP
	case o.v < 0 || o.v > 1:
		return abi.EINVAL
	case o.v != 0:
		return abi.EOPNOTSUPP
	}
	return 0
}

// privileged is a flag that who has CAP_NET_ADMIN may set.
func privileged(o *optionCall) abi.Errno {
	if o.v != 0 && !o.c.Capable(capNetAdmin) {
		return abi.EPERM
	}
	return o.keep(truth(o.v))
}

// reserveMem: memory is charged as it is used.
func reserveMem(o *optionCall) abi.Errno {
	if o.v < 0 {
		return abi.EINVAL
	}
	return abi.EOPNOTSUPP
}

func setRehash(o *optionCall) abi.Errno {
	switch {
	case !o.inet() || o.s.Type != core.SockStream:
		return abi.EOPNOTSUPP
	case o.v < -1 || o.v > 1:
		return abi.EINVAL
	case o.v == -1:
		o.v = 1
	}
	return o.keep(o.v)
}

func getRehash(o *optionCall, _ int32) ([]byte, abi.Errno) {
	if !o.inet() || o.s.Type != core.SockStream {
		return nil, abi.EOPNOTSUPP
	}
	return word(o.kept(1))
}
