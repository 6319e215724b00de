package core

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strings"

	"hythe/idl/unix"
	"hythe/store"
)

// /proc/PID/net: the formats are those of net/ipv4/{tcp_ipv4,udp}.c,
// net/ipv6/{tcp_ipv6,udp}.c, net/unix/af_unix.c and proc(5).

// netFile is a file of /proc/PID/net.
type netFile struct {
	name string
	gen  func(k *Kernel) string
}

var netFiles []netFile

func makeNetFiles() {
	text := func(s string) func(*Kernel) string { return func(*Kernel) string { return s } }
	inet := func(family uint32, proto int32) func(*Kernel) string {
		return func(k *Kernel) string { return k.procInet(family, proto) }
	}
	netFiles = []netFile{
		{"arp", text("IP address       HW type     Flags       HW address            Mask     Device\n")},
		{"dev", (*Kernel).procNetDev},
		{"dev_mcast", text("")},
		{"icmp", inet(FamilyInet, ProtoICMP)},
		{"icmp6", inet(FamilyInet6, ProtoICMPv6)},
		{"if_inet6", func(k *Kernel) string {
			t := "00000000000000000000000000000001 01 80 10 80       lo\n"
			if k.HasNet6() {
				t += fmt.Sprintf("%x 02 %02x 00 80     eth0\n", k.eth6(), k.Ethernet().Bits6)
			}
			if k.HasLinkLocal() {
				t += fmt.Sprintf("%x 02 40 20 80     eth0\n", k.Ethernet().LinkLocal)
			}
			return t
		}},
		{"igmp", (*Kernel).procIGMP},
		{"igmp6", (*Kernel).procIGMP6},
		{"ipv6_route", func(k *Kernel) string {
			t := "00000000000000000000000000000001 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000002 00000000 80200001       lo\n"
			if k.HasNet6() {
				// The network, the default route, and the address itself.
				none := strings.Repeat("0", 32)
				route := func(dst [16]byte, bits int, via [16]byte, metric, flags uint32, dev string) string {
					return fmt.Sprintf("%x %02x %s 00 %x %08x %08x %08x %08x %8s\n", dst, bits, none, via, metric, 1, 0, flags, dev)
				}
				f := k.Ethernet()
				t += route(f.Network6(), int(f.Bits6), [16]byte{}, 256, 1, "eth0")
				if f.HasLinkLocal() {
					t += route([16]byte{0xfe, 0x80}, 64, [16]byte{}, 256, 1, "eth0")
				}
				if via, ok := k.Gateway6(); ok {
					t += route([16]byte{}, 0, via, 1024, 3, "eth0")
				}
				t += route(f.Addr6, 128, [16]byte{}, 0, 0x80200001, "eth0")
				if f.HasLinkLocal() {
					t += route(f.LinkLocal, 128, [16]byte{}, 0, 0x80200001, "eth0")
				}
			}
			return t
		}},
		{"netlink", (*Kernel).procNetlink},
		{"netstat", (*Kernel).procNetstat},
		{"packet", text("sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n")},
		{"raw", inet(FamilyInet, protoRaw)},
		{"raw6", inet(FamilyInet6, protoRaw)},
		{"route", func(k *Kernel) string {
			t := "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT" + strings.Repeat(" ", 55) + "\n"
			line := func(dst, via [4]byte, flags int, mask [4]byte) string {
				word := func(a [4]byte) uint32 { return le32(a[:]) }
				return fmt.Sprintf("%-127s\n", fmt.Sprintf("eth0\t%08X\t%08X\t%04X\t0\t0\t0\t%08X\t0\t0\t0", word(dst), word(via), flags, word(mask)))
			}
			// The default route, and the network itself.
			if via, ok := k.Gateway(); ok {
				t += line([4]byte{}, via, 3, [4]byte{})
			}
			if k.HasNet() {
				f := k.Ethernet()
				t += line(f.Network(), [4]byte{}, 1, f.Mask())
			}
			return t
		}},
		{"snmp", (*Kernel).procSNMP},
		{"snmp6", (*Kernel).procSNMP6},
		{"sockstat", (*Kernel).procSockstat},
		{"sockstat6", func(k *Kernel) string {
			t, u := k.countInet(FamilyInet6, ProtoTCP), k.countInet(FamilyInet6, ProtoUDP)
			return fmt.Sprintf("TCP6: inuse %d\nUDP6: inuse %d\nUDPLITE6: inuse 0\nRAW6: inuse %d\nFRAG6: inuse 0 memory 0\n", t, u, k.countInet(FamilyInet6, protoRaw))
		}},
		{"tcp", inet(FamilyInet, ProtoTCP)},
		{"tcp6", inet(FamilyInet6, ProtoTCP)},
		{"udp", inet(FamilyInet, ProtoUDP)},
		{"udp6", inet(FamilyInet6, ProtoUDP)},
		{"udplite", inet(FamilyInet, ProtoUDPLite)},
		{"udplite6", inet(FamilyInet6, ProtoUDPLite)},
		{"unix", (*Kernel).procUnix},
	}
}

func (k *Kernel) procNetDev() string {
	c := k.netCounts()
	// Columns as dev_seq_printf_stats has them (net/core/net-procfs.c).
	line := func(name string, inBytes, in, outBytes, out uint64) string {
		return fmt.Sprintf("%6s: %7d %7d %4d %4d %4d %5d %10d %9d %8d %7d %4d %4d %4d %5d %7d %10d\n", name,
			inBytes, in, 0, 0, 0, 0, 0, 0, outBytes, out, 0, 0, 0, 0, 0, 0)
	}
	t := "Inter-|   Receive                                                |  Transmit\n" +
		" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n" +
		line("lo", c.LoBytes, c.LoPackets, c.LoBytes, c.LoPackets)
	if k.HasNet() {
		t += line("eth0", c.InBytes, c.InPackets, c.OutBytes, c.OutPackets)
	}
	return t
}

// sortedSocks answers the sockets that ok says, in the order of their making.
func (k *Kernel) sortedSocks(ok func(s *Socket) bool) []store.Ref[Socket] {
	k.takeBackStreams(0) // what waits in them is shown
	var l []store.Ref[Socket]
	k.Socks.Each(func(r store.Ref[Socket], s *Socket) bool {
		if ok(s) {
			l = append(l, r)
		}
		return true
	})
	sort.Slice(l, func(i, j int) bool { return k.Socks.Get(l[i]).Ino < k.Socks.Get(l[j]).Ino })
	return l
}

// EachSock calls f for each socket of a family that is a program's, in the order of their
// making.
func (k *Kernel) EachSock(family uint32, f func(r store.Ref[Socket], s *Socket)) {
	for _, r := range k.sortedSocks(func(s *Socket) bool { return s.Family == family && !s.hidden() }) {
		f(r, k.Socks.Get(r))
	}
}

func (k *Kernel) countInet(family uint32, proto int32) int { return len(k.inetSocks(family, proto)) }

// inetSocks answers the sockets of programs that have a port.
func (k *Kernel) inetSocks(family uint32, proto int32) []store.Ref[Socket] {
	return k.sortedSocks(func(s *Socket) bool {
		if proto == protoRaw {
			return s.Family == family && s.Type == SockRaw
		}
		return s.Family == family && s.Proto == proto && s.Type != SockRaw && s.Inet.Local.Port != 0 && !s.hidden()
	})
}

func (k *Kernel) procSockstat() string {
	return fmt.Sprintf("sockets: used %d\nTCP: inuse %d orphan 0 tw 0 alloc %d mem 0\nUDP: inuse %d mem 0\nUDPLITE: inuse 0\nRAW: inuse %d\nFRAG: inuse 0 memory 0\n",
		k.Socks.Len(), k.countInet(FamilyInet, ProtoTCP), k.countInet(FamilyInet, ProtoTCP), k.countInet(FamilyInet, ProtoUDP), k.countInet(FamilyInet, protoRaw))
}

// procSNMP is snmp: what would have been packets (netcounts.go).
func (k *Kernel) procSNMP() string {
	up := len(k.sortedSocks(func(s *Socket) bool {
		return (s.Family == FamilyInet || s.Family == FamilyInet6) && s.Type == SockStream && s.State == SockConnected && !s.hidden()
	}))
	c := k.netCounts()
	in, out := c.LoPackets+c.InPackets, c.LoPackets+c.OutPackets
	var b strings.Builder
	for _, g := range []struct{ name, fields, values string }{
		{"Ip", "Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos InDiscards InDelivers OutRequests OutDiscards OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs FragFails FragCreates OutTransmits", fmt.Sprintf("2 64 %d 0 0 0 0 0 %d %d 0 0 0 0 0 0 0 0 0 %d", in, in, out, out)},
		{"Icmp", "InMsgs InErrors InCsumErrors InDestUnreachs InTimeExcds InParmProbs InSrcQuenchs InRedirects InEchos InEchoReps InTimestamps InTimestampReps InAddrMasks InAddrMaskReps OutMsgs OutErrors OutRateLimitGlobal OutRateLimitHost OutDestUnreachs OutTimeExcds OutParmProbs OutSrcQuenchs OutRedirects OutEchos OutEchoReps OutTimestamps OutTimestampReps OutAddrMasks OutAddrMaskReps", fmt.Sprintf("%d 0 0 0 0 0 0 0 %d %d 0 0 0 0 %d 0 0 0 0 0 0 0 0 %d %d", c.InEchos+c.InReps, c.InEchos, c.InReps, c.OutEchos+c.OutReps, c.OutEchos, c.OutReps)},
		{"Tcp", "RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors", fmt.Sprintf("1 200 120000 -1 %d %d %d %d %d %d %d 0 0 %d", c.Active, c.Passive, c.Fails, c.Resets, up, c.InSegs, c.OutSegs, c.OutRsts)},
		{"Udp", "InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors", fmt.Sprintf("%d %d %d %d %d", c.InDgrams, c.NoPorts, c.FullQueue, c.OutDgrams, c.FullQueue)},
		{"UdpLite", "InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors", ""},
	} {
		v := strings.Fields(g.values)
		for len(v) < len(strings.Fields(g.fields)) {
			v = append(v, "0")
		}
		fmt.Fprintf(&b, "%s: %s\n%[1]s: %[3]s\n", g.name, g.fields, strings.Join(v, " "))
	}
	return b.String()
}

// TCPState is the state that TCP would be in (include/net/tcp_states.h).
func (s *Socket) TCPState() byte {
	const established, synSent, finWait2, closed, closeWait, listen = 1, 2, 5, 7, 8, 10
	switch {
	case s.State == SockListening:
		return listen
	case s.State == SockConnecting:
		return synSent
	case s.State != SockConnected:
		return closed
	case s.Inet.Fin&FinRecv != 0:
		return closeWait
	case s.Inet.Fin&FinSent != 0:
		return finWait2
	}
	return established
}

// protoRaw stands for raw sockets.
const protoRaw = -1

func procInetHead(family uint32, proto int32) string {
	switch {
	case family == FamilyInet && proto == ProtoTCP:
		return fmt.Sprintf("%-149s\n", "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode")
	case family == FamilyInet && proto == ProtoICMP:
		return fmt.Sprintf("%-127s\n", "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops")
	case family == FamilyInet:
		return fmt.Sprintf("%-127s\n", "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops")
	case proto == ProtoTCP:
		return "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	}
	return "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"
}

// procInet is tcp, udp, icmp, and the same of IPv6.
func (k *Kernel) procInet(family uint32, proto int32) string {
	var b strings.Builder
	b.WriteString(procInetHead(family, proto))
	addr := func(a InetAddr) string {
		var s string
		for i := range 4 {
			if family == FamilyInet6 || i == 3 {
				s += fmt.Sprintf("%08X", binary.LittleEndian.Uint32(a.IP[4*i:]))
			}
		}
		return fmt.Sprintf("%s:%04X", s, a.Port)
	}
	for i, r := range k.inetSocks(family, proto) {
		s := k.Socks.Get(r)
		st, rx := s.TCPState(), s.Bytes
		if s.State == SockListening {
			rx = s.Pending.N
		}
		l := fmt.Sprintf("%4d: %s %s %02X %08X:%08X %02X:%08X %08X %5d %8d %d %d %016d", i, addr(s.Inet.Local), addr(s.Inet.Far), st, 0, rx, 0, 0, 0, s.UID, 0, s.Ino, 1, 0)
		switch {
		case proto != ProtoTCP:
			l += " 0"
			if family == FamilyInet {
				l = fmt.Sprintf("%-127s", " "+l)
			}
		case st == 1 || st == 8 || st == 5:
			l += " 20 4 30 10 -1"
		default:
			l += " 100 0 0 10 0"
		}
		if family == FamilyInet && proto == ProtoTCP {
			l = fmt.Sprintf("%-149s", l)
		}
		b.WriteString(l + "\n")
	}
	return b.String()
}

// tcpWords are ss(8)'s words for TCPState's numbers.
var tcpWords = map[byte]string{1: "ESTAB", 2: "SYN-SENT", 5: "FIN-WAIT-2", 7: "UNCONN", 8: "CLOSE-WAIT", 10: "LISTEN"}

// ListSockets answers what `hythe ps -n` shows.
func (k *Kernel) ListSockets() []unix.Socket {
	k.Enter()
	defer k.Leave()
	owners := map[store.Ref[Socket]][]int{}
	k.EachProc(func(_ store.Ref[Proc], p *Proc) bool {
		if p.State != ProcLive {
			return true
		}
		k.EachFD(p.FDs, func(_ int32, f store.Ref[File], _ uint32) bool {
			if file := k.Files.Get(f); file.Kind == FileSocket {
				r := sockOf(file)
				if l := owners[r]; len(l) == 0 || l[len(l)-1] != int(p.Pid) {
					owners[r] = append(l, int(p.Pid))
				}
			}
			return true
		})
		return true
	})
	list := []unix.Socket{}
	for _, r := range k.sortedSocks(func(s *Socket) bool {
		return (s.Family == FamilyInet || s.Family == FamilyInet6) && s.Inet.Local.Port != 0 && !s.hidden()
	}) {
		s := k.Socks.Get(r)
		v := unix.Socket{Proto: "udp", Local: s.Inet.Local.text(), Waiting: s.Bytes, UID: s.UID, PIDs: owners[r]}
		if s.echo() {
			v.Proto = "icmp"
		}
		if s.Type == SockRaw {
			v.Proto = "raw"
		}
		if s.Type == SockStream {
			v.Proto, v.State = "tcp", tcpWords[s.TCPState()]
		}
		if s.Family == FamilyInet6 {
			v.Proto += "6"
		}
		if s.State == SockListening {
			v.Waiting = s.Pending.N
		}
		if s.Inet.Far.Port != 0 {
			v.Remote = s.Inet.Far.text()
		}
		slices.Sort(v.PIDs)
		list = append(list, v)
	}
	return list
}

// Auto: the port is one of those that are given to who asks for none.
func (a *InetAddr) Auto() bool { return a.Port >= firstAuto && a.Port <= lastAuto }

func (a *InetAddr) text() string {
	return netip.AddrPortFrom(netip.AddrFrom16(a.IP).Unmap(), a.Port).String()
}

func (k *Kernel) procUnix() string {
	var b strings.Builder
	b.WriteString("Num       RefCount Protocol Flags    Type St Inode Path\n")
	for _, r := range k.sortedSocks(func(s *Socket) bool { return s.Family == FamilyUnix }) {
		s := k.Socks.Get(r)
		flags, st := 0, 1
		switch s.State {
		case SockListening:
			flags = 1 << 16
		case SockConnected:
			st = 3
		}
		name := store.String(k.Heap, s.Addr)
		if name != "" {
			if name[0] == 0 {
				name = "@" + strings.ReplaceAll(name[1:], "\x00", "@")
			}
			name = " " + name
		}
		fmt.Fprintf(&b, "%016d: %08X %08X %08X %04X %02X %5d%s\n", 0, 2, 0, flags, s.Type, st, s.Ino, name)
	}
	return b.String()
}

func (k *Kernel) procNetlink() string {
	var b strings.Builder
	b.WriteString("sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n")
	for _, r := range k.sortedSocks(func(s *Socket) bool { return s.Family == FamilyNetlink }) {
		s := k.Socks.Get(r)
		fmt.Fprintf(&b, "%016d %-3d %-10d %08x %-8d %-8d %-5d %-8d %-8d %-8d\n", 0, s.Proto, s.Inet.Local.Scope, 0, s.Bytes, 0, 0, 2, 0, s.Ino)
	}
	return b.String()
}
