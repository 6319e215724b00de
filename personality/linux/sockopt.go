package linux

import (
	"hythe/abi"
	"hythe/server/unix/core"
	"hythe/store"
)

// What options keep, and what they have beside data: struct tcp_info, ancillary data.

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

// stamps answers when a message came, in the form that was asked for.
func stamps(k *core.Kernel, r store.Ref[core.Socket], s *core.Socket, ns int64, sent bool, put func(level, typ uint32, data []byte)) {
	pair := func(b []byte, x, y int64) []byte {
		return le.AppendUint64(le.AppendUint64(b, uint64(x)), uint64(y))
	}
	kept, _ := k.SockOption(r, optionKey(solSocket, soTimestampns))
	switch form := stampForm(s, kept); form {
	case soTimestamp, soTimestampNew:
		put(solSocket, form, pair(nil, ns/1e9, ns%1e9/1e3))
	case soTimestampns, soTimestampnsNew:
		put(solSocket, form, pair(nil, ns/1e9, ns%1e9))
	}
	want := uint32(core.StampSoftware | core.StampRxSoftware)
	if sent {
		want = core.StampSoftware
	}
	if v, _ := k.SockOption(r, core.SockStamping); uint32(v)&want == want {
		typ := uint32(soTimestamping)
		if uint32(v)&core.StampNew != 0 {
			typ = soTimestampingN
		}
		// The software's, one that is no longer used, and the hardware's.
		put(solSocket, typ, pair(pair(pair(nil, ns/1e9, ns%1e9), 0, 0), 0, 0))
	}
}

// inetControl answers what the receiver of a datagram asked to have beside it:
// level, type and data of each.
func inetControl(k *core.Kernel, r store.Ref[core.Socket], m *core.SockRecv, put func(level, typ uint32, data []byte)) {
	s := k.Socks.Get(r)
	if s == nil || m.Time == 0 {
		return
	}
	stamps(k, r, s, m.Time, m.Fault != nil, put)
	sent := m.Fault != nil && m.Fault.Origin == core.FaultStamp
	if sent && !showsPacket(k, r, s, m.Fault) {
		return
	}
	v4 := [12]byte(m.To[:12]) == [12]byte{10: 0xff, 11: 0xff}
	life := le.AppendUint32(nil, uint32(m.Life))
	index := uint32(core.LoopbackIndex)
	if sent {
		if k.IsOutside(m.To) {
			index = core.EthernetIndex
		}
	} else if v4 && [4]byte(m.To[12:]) == k.Ethernet().Addr || m.To == k.Ethernet().Addr6 || k.HasLinkLocal() && m.To == k.Ethernet().LinkLocal {
		index = core.EthernetIndex
	}
	four := func() {
		if !v4 {
			return
		}
		if option(k, r, levelIP, ipPktinfo) != 0 {
			b := le.AppendUint32(nil, index)
			spec := m.To[12:]
			switch {
			case sent && s.Family == core.FamilyInet:
				spec = m.Fault.By[12:]
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
	if !sent {
		four()
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
	if sent { // whose packet is looked at in another order
		four()
	}
}

// showsPacket says whether what a packet had beside its data is told with the stamp of it: it has to be there,
// and of IPv4 asked for.
func showsPacket(k *core.Kernel, r store.Ref[core.Socket], s *core.Socket, f *core.SockFault) bool {
	v, _ := k.SockOption(r, core.SockStamping)
	return f.By != [16]byte{} && (s.Family == core.FamilyInet6 || v&core.StampOptCmsg != 0)
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
	b = le.AppendUint32(b, f.Data)
	known := f.By != [16]byte{} && (f.Origin != core.FaultStamp || showsPacket(k, r, s, f))
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
