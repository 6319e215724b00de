package linux

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/server/unix/core"
	"hythe/store"
)

// sock_diag(7), by which ss lists sockets: include/uapi/linux/{sock_diag,inet_diag,
// unix_diag}.h. The answers are as long as a socket's queue has room for; a longer list
// ends with ENOBUFS.

const (
	diagByFamily = 20 // SOCK_DIAG_BY_FAMILY
	diagDestroy  = 21 // SOCK_DESTROY

	diagPart = 16 << 10 // bytes of answers in one datagram
	anyID    = 1<<32 - 1
	families = 46 // AF_MAX of linux/socket.h
)

// diagOne answers one request of a NETLINK_SOCK_DIAG socket.
func diagOne(k *core.Kernel, typ, flags uint16, seq, port uint32, body []byte) ([][]byte, abi.Errno) {
	switch {
	case typ == diagDestroy:
		return nil, abi.EPERM
	case typ != diagByFamily:
		return nil, abi.EINVAL
	case len(body) < 2:
		return nil, abi.EINVAL
	}
	dump := flags&nlDump != 0
	multi := uint16(0)
	if dump {
		multi = nlMulti
	}
	var one func(r store.Ref[core.Socket], s *core.Socket) nlMsg
	var e abi.Errno
	head := func() nlMsg { return newNlMsg(diagByFamily, multi, seq, port) }
	switch body[0] {
	case core.FamilyUnix:
		one, e = unixDiag(k, body, head)
	case core.FamilyInet, core.FamilyInet6:
		one, e = inetDiag(k, body, dump, head)
	default: // nobody answers for it
		e = abi.ENOENT
		if body[0] >= families {
			e = abi.EINVAL
		}
		return nil, e
	}
	done := func(e abi.Errno) []byte {
		return nlMsg(le.AppendUint32(newNlMsg(nlDone, nlMulti, seq, port), -uint32(e))).end()
	}
	switch {
	case e == abi.ENOENT && dump: // found when the list had begun
		return [][]byte{done(e)}, 0
	case e != 0:
		return nil, e
	}
	var out [][]byte
	var part []byte
	k.EachSock(uint32(body[0]), func(r store.Ref[core.Socket], s *core.Socket) {
		m := one(r, s)
		if m == nil {
			return
		}
		if len(part)+len(m) > diagPart {
			out, part = append(out, part), nil
		}
		part = append(part, m.end()...)
	})
	if !dump {
		if len(part) == 0 {
			return nil, abi.ENOENT
		}
		return [][]byte{part}, 0 // an address and a number are one socket's
	}
	if len(part) > 0 {
		out = append(out, part)
	}
	return append(out, done(0)), 0
}

// cookieIs: a socket's number is its cookie, all ones stand for any.
func cookieIs(b []byte, s *core.Socket) bool {
	lo, hi := le.Uint32(b), le.Uint32(b[4:])
	return lo == anyID && hi == anyID || lo == uint32(s.Ino) && hi == uint32(s.Ino>>32)
}

func cookie(m nlMsg, s *core.Socket) nlMsg { return le.AppendUint64(m, s.Ino) }

// inetDiag reads struct inet_diag_req_v2: family, protocol, extensions, a byte, states,
// and a struct inet_diag_sockid of 48 bytes: ports (of the network's order), addresses of
// 16 bytes, interface, cookie.
func inetDiag(k *core.Kernel, body []byte, dump bool, head func() nlMsg) (func(store.Ref[core.Socket], *core.Socket) nlMsg, abi.Errno) {
	const size = 56
	if len(body) < size {
		return nil, abi.EINVAL
	}
	family, proto, ext, states := body[0], body[1], body[2], le.Uint32(body[4:])
	id := body[8:size]
	typ, which := uint32(core.SockStream), uint32(proto)
	var filter []byte
	eachAttr(body[size:], func(typ uint16, b []byte) {
		switch {
		case typ == 1: // INET_DIAG_REQ_BYTECODE
			filter = b
		case typ == 3 && len(b) == 4: // INET_DIAG_REQ_PROTOCOL: one that has no room above (MPTCP)
			which = le.Uint32(b)
		}
	})
	switch which {
	case 6: // IPPROTO_TCP
	case 17: // IPPROTO_UDP
		typ = core.SockDgram
	default:
		return nil, abi.ENOENT
	}
	if filter != nil && !diagFilterOK(filter) {
		return nil, abi.EINVAL
	}
	v6 := family == core.FamilyInet6
	addr := func(m nlMsg, a *core.InetAddr) nlMsg {
		if v6 {
			return append(m, a.IP[:]...)
		}
		return append(append(m, a.IP[12:]...), make([]byte, 12)...)
	}
	sport, dport := binary.BigEndian.Uint16(id), binary.BigEndian.Uint16(id[2:])
	return func(r store.Ref[core.Socket], s *core.Socket) nlMsg {
		local, far := &s.Inet.Local, &s.Inet.Far
		if s.Type != typ || local.Port == 0 || typ == core.SockDgram && s.Proto != 0 && s.Proto != 17 {
			return nil
		}
		state := s.TCPState()
		if typ == core.SockDgram && far.Port != 0 {
			state = 1
		}
		if dump {
			if states&(1<<state) == 0 || sport != 0 && sport != local.Port || dport != 0 && dport != far.Port ||
				filter != nil && !diagFilter(filter, s) {
				return nil
			}
		} else {
			exact := addr(addr(nil, local), far)
			if sport != local.Port || dport != far.Port || string(exact) != string(id[4:36]) || !cookieIs(id[40:], s) {
				return nil
			}
		}
		m := append(head(), family, state, 0, 0)
		m = binary.BigEndian.AppendUint16(m, local.Port)
		m = binary.BigEndian.AppendUint16(m, far.Port)
		m = addr(addr(m, local), far)
		m = cookie(le.AppendUint32(m, 0), s)
		rq, wq := s.Bytes, uint32(0)
		if s.State == core.SockListening {
			rq, wq = s.Pending.N, s.Backlog
		}
		m = le.AppendUint32(m, 0)
		m = le.AppendUint32(m, rq)
		m = le.AppendUint32(m, wq)
		m = le.AppendUint32(m, s.UID)
		ino := uint32(s.Ino)
		if s.HasFile == 0 {
			ino = 0 // not accepted yet
		}
		m = le.AppendUint32(m, ino)
		m = m.attr(8, byte(s.Shut)) // INET_DIAG_SHUTDOWN
		if v6 {
			only := byte(0)
			if s.Inet.V6Only != 0 {
				only = 1
			}
			m = m.attr(11, only) // INET_DIAG_SKV6ONLY
		}
		if ext&2 != 0 && typ == core.SockStream && state != 10 {
			m = m.attr(2, tcpInfoOf(k, r)...) // INET_DIAG_INFO
		}
		return m
	}, 0
}

// Operations of a filter (struct inet_diag_bc_op: code, the bytes to go on by if it
// holds and, 16 bits, if it does not); some have an operand behind them.
const (
	bcNop = iota
	bcJmp
	bcSGE
	bcSLE
	bcDGE
	bcDLE
	bcAuto
	bcSCond
	bcDCond
	bcDev
	bcMark
	bcSEq
	bcDEq
)

// bcOperand is the length of what an operation needs of the filter, itself included; 0:
// the operation is not known.
func bcOperand(f []byte) int {
	switch f[0] {
	case bcNop, bcJmp, bcAuto:
		return 4
	case bcSGE, bcSLE, bcDGE, bcDLE, bcSEq, bcDEq, bcDev:
		return 8
	case bcMark:
		return 12
	case bcSCond, bcDCond: // struct inet_diag_hostcond: family, bits, port, address
		if len(f) < 12 {
			return 12
		}
		n := map[byte]int{0: 0, core.FamilyInet: 4, core.FamilyInet6: 16}[f[4]]
		if f[4] != 0 && n == 0 || int(f[5]) > 8*n {
			return 0
		}
		return 12 + n
	}
	return 0
}

// diagFilterOK: each way through a filter goes forward, from operation to operation, and
// comes out at its end or just behind it, which is the word for no.
func diagFilterOK(f []byte) bool {
	if len(f)%4 != 0 {
		return false
	}
	at := map[int]bool{} // where operations begin, by the bytes that are left
	for n := len(f); n > 0; {
		at[n] = true
		op := f[len(f)-n:]
		need, yes, no := bcOperand(op), int(op[1]), int(le.Uint16(op[2:]))
		if need == 0 || need > n || yes < need || yes > n || yes%4 != 0 || op[0] != bcNop && (no < 4 || no > n+4 || no%4 != 0) {
			return false
		}
		n -= yes
	}
	for n := range at {
		op := f[len(f)-n:]
		if no := int(le.Uint16(op[2:])); op[0] != bcNop && no < n && !at[n-no] {
			return false
		}
	}
	return true
}

// diagFilter runs a filter that diagFilterOK has passed.
func diagFilter(f []byte, s *core.Socket) bool {
	n := len(f)
	local, far := &s.Inet.Local, &s.Inet.Far
	for n > 0 {
		op := f[len(f)-n:]
		yes := true
		var operand uint16
		if len(op) >= 8 {
			operand = le.Uint16(op[6:])
		}
		switch op[0] {
		case bcJmp:
			yes = false
		case bcSGE:
			yes = local.Port >= operand
		case bcSLE:
			yes = local.Port <= operand
		case bcSEq:
			yes = local.Port == operand
		case bcDGE:
			yes = far.Port >= operand
		case bcDLE:
			yes = far.Port <= operand
		case bcDEq:
			yes = far.Port == operand
		case bcAuto: // the port was the system's choice
			yes = local.Auto()
		case bcSCond:
			yes = hostCond(op[4:], local)
		case bcDCond:
			yes = hostCond(op[4:], far)
		case bcDev:
			yes = le.Uint32(op[4:]) == 0
		case bcMark:
			yes = s.Marked&le.Uint32(op[8:]) == le.Uint32(op[4:])
		}
		if yes {
			n -= int(op[1])
		} else {
			n -= int(le.Uint16(op[2:]))
		}
	}
	return n == 0
}

// hostCond compares an address with a struct inet_diag_hostcond.
func hostCond(c []byte, a *core.InetAddr) bool {
	if p := int32(le.Uint32(c[4:])); p != -1 && p != int32(a.Port) {
		return false
	}
	bits := int(c[1])
	if bits == 0 {
		return true
	}
	ip := a.IP[:]
	if c[0] == core.FamilyInet {
		if string(ip[:12]) != "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff" {
			return false
		}
		ip = ip[12:]
	}
	want := c[8:]
	for ; bits >= 8; bits -= 8 {
		if ip[0] != want[0] {
			return false
		}
		ip, want = ip[1:], want[1:]
	}
	return bits == 0 || (ip[0]^want[0])>>(8-bits) == 0
}

// unixDiag reads struct unix_diag_req: family, protocol, 16 bits, states, number, what to
// show, cookie.
func unixDiag(k *core.Kernel, body []byte, head func() nlMsg) (func(store.Ref[core.Socket], *core.Socket) nlMsg, abi.Errno) {
	const (
		size                                                      = 24
		showName, showVFS, showPeer, showIcons, showQueue, showID = 1, 2, 4, 8, 0x10, 0x40
	)
	if len(body) < size {
		return nil, abi.EINVAL
	}
	states, ino, show := le.Uint32(body[4:]), le.Uint32(body[8:]), le.Uint32(body[12:])
	return func(_ store.Ref[core.Socket], s *core.Socket) nlMsg {
		if s.HasFile == 0 { // not accepted yet, and not shown
			return nil
		}
		state := byte(7) // closed
		switch s.State {
		case core.SockListening:
			state = 10
		case core.SockConnected:
			state = 1
		}
		if ino != 0 && (ino != uint32(s.Ino) || !cookieIs(body[16:], s)) || ino == 0 && states&(1<<state) == 0 {
			return nil
		}
		m := append(head(), core.FamilyUnix, byte(s.Type), state, 0)
		m = cookie(le.AppendUint32(m, uint32(s.Ino)), s)
		if name := store.String(k.Heap, s.Addr); show&showName != 0 && name != "" {
			if name[0] != 0 {
				name += "\x00" // paths end with a zero, abstract names begin with one
			}
			m = m.attr(0, []byte(name)...)
		}
		if show&showPeer != 0 && s.State == core.SockConnected {
			if peer := k.SockPeer(s); peer != 0 {
				m = m.u32(2, uint32(k.Socks.Get(peer).Ino))
			}
		}
		if show&showQueue != 0 {
			rq, wq := s.Bytes, uint32(0)
			if state == 10 {
				rq, wq = s.Pending.N, s.Backlog
			}
			m = m.attr(4, le.AppendUint32(le.AppendUint32(nil, rq), wq)...)
		}
		m = m.attr(6, byte(s.Shut))
		if show&showID != 0 {
			m = m.u32(7, s.UID)
		}
		return m
	}, 0
}
