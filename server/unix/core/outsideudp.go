package core

import (
	"hythe/abi"
	"hythe/idl/net"
	"hythe/store"
)

// Datagrams that leave the machine, or come from outside. They pass at most once;
// those that wait to leave are not in the state of record.

// sendOut sends a datagram outside, by the published port if the socket has one's.
func (x inetSockets) sendOut(r store.Ref[Socket], far InetAddr, data []byte) abi.Errno {
	k := x.k
	s := k.Socks.Get(r)
	o := s.Inet.Out
	if p := k.io.out.dgram[s.Inet.Local.Port]; p != 0 && s.Proto == ProtoUDP && (k.Config.Link == nil || far.IP == hostClients) {
		o = p
	} else if o == 0 {
		var e abi.Errno
		if o, e = k.newOut(k.nextIno(), outDgram, r); e != 0 {
			return e
		}
	}
	rt := k.io.out.rt[o]
	if s.Type == SockRaw {
		rt.asked(far.IP, data)
	}
	if len(rt.dgrams) < maxDgrams { // else it is lost
		rt.dgrams = append(rt.dgrams, net.AppendDgram(nil, &net.Dgram{Addr: netAddr(far), Data: data}))
	}
	k.kickOut(o)
	return 0
}

func (k *Kernel) pumpDgrams(rec *Outside, rt *outsideRT) {
	id := rec.ID
	if !rt.sending && len(rt.dgrams) > 0 {
		rt.sending = true
		var batch []byte
		n := 0
		for n < len(rt.dgrams) && (n == 0 || len(batch)+len(rt.dgrams[n]) <= net.MaxData) {
			batch = append(batch, rt.dgrams[n]...)
			n++
		}
		rt.dgrams = rt.dgrams[n:]
		connected := rec.Sock != 0 && k.Socks.Get(rec.Sock).State == SockConnected
		send := NetBackend.SendTo
		if rec.Sock != 0 && (k.Socks.Get(rec.Sock).echo() || k.Socks.Get(rec.Sock).Type == SockRaw) {
			send = NetBackend.SendEcho
		}
		k.ask(func(n NetBackend) {
			send(n, id, connected, batch, func(e abi.Errno) {
				k.answered(rt, func(o store.Ref[Outside], rec *Outside) {
					rt.sending = false
					k.failedDgram(rec, e, e == abi.EACCES)
				})
			})
		})
	}
	if !rt.receiving && rt.readable {
		rt.receiving, rt.readable = true, false
		k.ask(func(n NetBackend) {
			n.RecvFrom(id, func(b []byte, e abi.Errno) {
				k.answered(rt, func(o store.Ref[Outside], rec *Outside) {
					rt.receiving = false
					if e != 0 && e != abi.EAGAIN && e != abi.ECONNRESET { // that is: not opened yet
						rt.readable = true
						k.failedDgram(rec, e, false)
					}
					for {
						d, rest, ok := net.NextDgram(b)
						if !ok {
							break
						}
						b = rest
						rt.readable = true
						k.arrivedDgram(rec, rt, inetOf(d.Addr), d.Data)
					}
				})
			})
		})
	}
}

// failedDgram tells a socket that is connected of an error (another too, if it must
// be told).
func (k *Kernel) failedDgram(rec *Outside, e abi.Errno, must bool) {
	if must {
		k.netStats().Refused++
	}
	if e == 0 || e == abi.EAGAIN || rec.Sock == 0 || rec.State != outDgram {
		return
	}
	s := k.Socks.Get(rec.Sock)
	if s.State == SockConnected && !must {
		// The host tells neither of which datagram, nor who said so.
		f := faultOf(e, s.Inet.Far)
		inetSockets{sockQueues{k}}.fault(rec.Sock, &f, nil)
		return
	}
	if s.State == SockConnected || must {
		k.Socks.Mut(rec.Sock).Err = uint32(e)
		k.wakeSock(rec.Sock, PollErr)
	}
}

// arrivedDgram delivers a datagram from outside.
func (k *Kernel) arrivedDgram(rec *Outside, rt *outsideRT, from InetAddr, data []byte) {
	x := inetSockets{sockQueues{k}}
	to := InetAddr{IP: k.eth(from.IP)}
	p := rec.Sock
	proto := int32(ProtoUDP)
	switch rec.State {
	case outListenUDP:
		to.Port = k.published(rec).Guest
		p = x.receiver(ProtoUDP, to, from)
	case outDgram:
		s := k.Socks.Get(p)
		if s.Type == SockRaw {
			if rt.arrivedRaw(s.Proto, from.IP, to.IP, data) {
				k.passedDatagram(s.Proto, from, to, 64, 0, data)
			}
			return
		}
		to.Port = s.Inet.Local.Port
		if s.echo() && !arrivedEcho(s, from.IP, to.IP, data) || s.State == SockConnected && (s.Inet.Far.IP != from.IP || s.Inet.Far.Port != from.Port && !s.echo()) {
			return
		}
		if isV4(from.IP) && from.IP[12] == 127 { // the resolver, as it was named
			to.IP = ip4Loop
		}
		proto = s.Proto
	}
	k.passedDatagram(proto, from, to, 64, 0, data)
	if p == 0 {
		k.netStats().NoPorts++
		return
	}
	x.deliver(p, from, to, 64, 0, data)
}
