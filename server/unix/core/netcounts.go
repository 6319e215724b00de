package core

import (
	"hythe/idl/unix"
	"hythe/store"
)

// netCount counts what passed by IP sockets, as packets that would have been (packets.go);
// in the transaction that holds the effect.
type netCount struct {
	LoBytes, LoPackets                      uint64
	InBytes, InPackets                      uint64 // of the interface to the outside
	OutBytes, OutPackets                    uint64
	Active, Passive, Fails, Resets          uint64 // of TCP: connects, accepts, what was refused, what was reset
	InSegs, OutSegs, OutRsts                uint64
	InDgrams, NoPorts, FullQueue, OutDgrams uint64 // of UDP
	OutEchos, InEchos, OutReps, InReps      uint64 // of ICMP
	Refused                                 uint64 // by the policy
}

// netStats is the counts, to be changed.
func (k *Kernel) netStats() *netCount {
	if k.NetCounts.Get(1) == nil {
		k.NetCounts.New()
	}
	return k.NetCounts.Mut(1)
}

// netCounts is the counts, to be read.
func (k *Kernel) netCounts() netCount {
	k.takeBackStreams(0) // they have passed what was not counted yet
	k.countHosts()
	if c := k.NetCounts.Get(1); c != nil {
		return *c
	}
	return netCount{}
}

// countPacket counts n bytes from IP's header on; it left a socket of the machine, or
// came to one, or both.
func (k *Kernel) countPacket(src, dst InetAddr, n int) (c *netCount, out, in bool) {
	c = k.netStats()
	if isV4(dst.IP) {
		n += 20
	} else {
		n += 40
	}
	switch {
	case k.isOutside(dst.IP):
		c.OutPackets++
		c.OutBytes += uint64(n)
		return c, true, false
	case k.isOutside(src.IP):
		c.InPackets++
		c.InBytes += uint64(n)
		return c, false, true
	}
	c.LoPackets++
	c.LoBytes += uint64(n)
	return c, true, true
}

// countSegment counts one of TCP with n bytes.
func (k *Kernel) countSegment(src, dst InetAddr, flags byte, n int) {
	n += 20
	if flags&tcpSyn != 0 {
		n += 8
	}
	c, out, in := k.countPacket(src, dst, n)
	if out {
		c.OutSegs++
		if flags&tcpRst != 0 {
			c.OutRsts++
		}
		if flags&(tcpSyn|tcpAck) == tcpSyn {
			c.Active++
		}
		if flags&tcpSyn != 0 && flags&tcpAck != 0 {
			c.Passive++
		}
	}
	if in {
		c.InSegs++
	}
}

// countStream counts n bytes of a stream that came to r by a stream that was lent: as whole segments
// of what one has at most.
func (k *Kernel) countStream(r store.Ref[Socket], n uint64) {
	if n == 0 {
		return
	}
	s := k.Socks.Mut(r)
	s.Came += n
	more := (n+maxSegment-1)/maxSegment - 1
	k.countSegment(s.Inet.Far, s.Inet.Local, tcpPsh, int(n-more*maxSegment))
	if more > 0 {
		c := k.netStats()
		c.LoPackets += more
		c.OutSegs += more
		c.InSegs += more
		head := uint64(40)
		if !isV4(s.Inet.Local.IP) {
			head = 60
		}
		c.LoBytes += more * (maxSegment + head)
	}
}

// maxSegment is the most that a segment has of what a stream passes in the machine.
const maxSegment = 32768

// countDatagram counts one that is no segment of a stream. Whether somebody gets it is
// counted elsewhere.
func (k *Kernel) countDatagram(p *packet) {
	n := len(p.data)
	udp := (p.proto == ProtoUDP || p.proto == ProtoUDPLite) && !p.whole
	if udp {
		n += 8
	}
	c, out, in := k.countPacket(p.src, p.dst, n)
	if udp && out {
		c.OutDgrams++
	}
	if p.proto != ProtoICMP && p.proto != ProtoICMPv6 || len(p.data) == 0 {
		return
	}
	one := func(is bool) uint64 {
		if is {
			return 1
		}
		return 0
	}
	switch kind := p.data[0]; {
	case kind == echoRequest4 && p.proto == ProtoICMP, kind == echoRequest6 && p.proto == ProtoICMPv6:
		c.OutEchos += one(out)
		c.InEchos += one(in)
	case kind == echoReply4 && p.proto == ProtoICMP, kind == echoReply6 && p.proto == ProtoICMPv6:
		c.OutReps += one(out)
		c.InReps += one(in)
	}
}

// ListCounters answers what `hythe stats` shows: gauges, then what was counted since the
// machine's start.
func (k *Kernel) ListCounters() []unix.Counter {
	k.Enter()
	defer k.Leave()
	var procs, threads, socks, calls uint64
	k.EachProc(func(_ store.Ref[Proc], p *Proc) bool {
		procs++
		threads += uint64(p.Threads)
		return true
	})
	k.Socks.Each(func(_ store.Ref[Socket], s *Socket) bool {
		if !s.hidden() {
			socks++
		}
		return true
	})
	k.CallCounts.Each(func(_ store.Ref[callCount], n *callCount) bool {
		calls += n.Count
		return true
	})
	n := k.netCounts()
	return []unix.Counter{
		{Name: "processes", Value: procs},
		{Name: "threads", Value: threads},
		{Name: "sockets", Value: socks},
		{Name: "outside.sockets", Value: uint64(k.Outs.Len())},
		{Name: "forks", Value: k.Globals().Forks},
		{Name: "calls", Value: calls},
		{Name: "lo.bytes", Value: n.LoBytes},
		{Name: "lo.packets", Value: n.LoPackets},
		{Name: "eth0.rx_bytes", Value: n.InBytes},
		{Name: "eth0.rx_packets", Value: n.InPackets},
		{Name: "eth0.tx_bytes", Value: n.OutBytes},
		{Name: "eth0.tx_packets", Value: n.OutPackets},
		{Name: "tcp.connects", Value: n.Active},
		{Name: "tcp.accepts", Value: n.Passive},
		{Name: "tcp.failed", Value: n.Fails},
		{Name: "tcp.resets", Value: n.Resets},
		{Name: "tcp.in_segments", Value: n.InSegs},
		{Name: "tcp.out_segments", Value: n.OutSegs},
		{Name: "udp.in_datagrams", Value: n.InDgrams},
		{Name: "udp.out_datagrams", Value: n.OutDgrams},
		{Name: "udp.no_port", Value: n.NoPorts},
		{Name: "udp.queue_full", Value: n.FullQueue},
		{Name: "icmp.in_echos", Value: n.InEchos},
		{Name: "icmp.out_echos", Value: n.OutEchos},
		{Name: "icmp.in_replies", Value: n.InReps},
		{Name: "icmp.out_replies", Value: n.OutReps},
		{Name: "outside.refused", Value: n.Refused},
	}
}
