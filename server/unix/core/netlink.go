package core

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/store"
)

// netlinkSockets is the family of sockets whose other end is the kernel
// (netlink(7)): what a program sends is a request, the answers lie in its own
// queue when the send returns. A socket's number is Inet.Local.Scope.
type netlinkSockets struct{ sockQueues }

// FamilyNetlink is AF_NETLINK; the others are its protocols that exist here: interfaces
// and routes, lists of sockets, what happens to devices, of which nothing is told, and families by name.
const (
	FamilyNetlink   = 16
	NetlinkRoute    = 0
	NetlinkSockDiag = 4
	NetlinkUevent   = 15
	NetlinkGeneric  = 16
)

// OnNetlink has answer called for each datagram that is sent to a socket of NetlinkRoute,
// NetlinkSockDiag or NetlinkGeneric with the number port; it answers the datagrams that come back. The
// personality sets it before Boot or Recover.
func (k *Kernel) OnNetlink(answer func(c *Call, proto int32, req []byte, port uint32) [][]byte) {
	k.io.netlink = answer
}

func (n netlinkSockets) Create(c *Call, s *Socket) abi.Errno {
	if s.Type != SockDgram && s.Type != 3 {
		return abi.ESOCKTNOSUPPORT
	}
	if s.Proto < 0 || s.Proto >= 32 {
		return abi.EPROTONOSUPPORT
	}
	switch s.Proto {
	case NetlinkUevent:
		return 0
	case NetlinkRoute, NetlinkSockDiag, NetlinkGeneric:
		if n.k.io.netlink != nil {
			return 0
		}
	}
	return abi.EPROTONOSUPPORT
}

func (n netlinkSockets) Pair(*Call, store.Ref[Socket], store.Ref[Socket]) abi.Errno {
	return abi.EOPNOTSUPP
}

// port decodes a sockaddr_nl.
func (n netlinkSockets) port(a SockAddr) (port, groups uint32, e abi.Errno) {
	if a.Family != FamilyNetlink || len(a.Data) < 10 {
		return 0, 0, abi.EINVAL
	}
	return le32(a.Data[2:]), le32(a.Data[6:]), 0
}

func (n netlinkSockets) Bind(c *Call, r store.Ref[Socket], a SockAddr) abi.Errno {
	port, _, e := n.port(a)
	if e != 0 {
		return e
	}
	s := n.k.Socks.Get(r)
	if s.Inet.Local.Scope != 0 {
		if port != s.Inet.Local.Scope {
			return abi.EINVAL
		}
		return 0
	}
	return n.number(c, r, port)
}

// netlinkKey is a protocol and a number in it.
type netlinkKey struct {
	proto int32
	port  uint32
}

// number gives a socket its number: the process's if nothing else is asked for
// and nobody has it; then one that is no process's.
func (n netlinkSockets) number(c *Call, r store.Ref[Socket], port uint32) abi.Errno {
	k := n.k
	key := netlinkKey{k.Socks.Get(r).Proto, port}
	if port == 0 {
		key.port = uint32(c.Proc().Pid)
		if k.io.netlinks[key] != 0 {
			key.port = 1<<31 | uint32(r) // records are fewer, and nobody else is made such
		}
	}
	if k.io.netlinks[key] != 0 {
		return abi.EADDRINUSE
	}
	k.io.netlinks[key] = r
	k.Socks.Mut(r).Inet.Local.Scope = key.port
	return 0
}

func (n netlinkSockets) Connect(c *Call, f store.Ref[File], a SockAddr) abi.Errno {
	r := sockOf(n.k.Files.Get(f))
	if a.Family == 0 && len(a.Data) > 0 {
		n.k.Socks.Mut(r).Inet.Far.Scope = 0
		return 0
	}
	port, _, e := n.port(a)
	if e != 0 {
		return e
	}
	if n.k.Socks.Get(r).Inet.Local.Scope == 0 {
		if e := n.number(c, r, 0); e != 0 {
			return e
		}
	}
	n.k.Socks.Mut(r).Inet.Far.Scope = port
	return 0
}

func (n netlinkSockets) Listen(*Call, store.Ref[Socket], int32) abi.Errno { return abi.EOPNOTSUPP }

func (n netlinkSockets) Accept(*Call, store.Ref[File]) (store.Ref[Socket], abi.Errno) {
	return 0, abi.EOPNOTSUPP
}

func netlinkAddr(port uint32) SockAddr {
	b := binary.LittleEndian.AppendUint32([]byte{0, 0}, port)
	return SockAddr{Family: FamilyNetlink, Data: append(b, 0, 0, 0, 0)}
}

func (n netlinkSockets) Name(r store.Ref[Socket], which SockName) (SockAddr, abi.Errno) {
	s := n.k.Socks.Get(r)
	if which == NameOwn {
		return netlinkAddr(s.Inet.Local.Scope), 0
	}
	return netlinkAddr(s.Inet.Far.Scope), 0
}

func (n netlinkSockets) Send(c *Call, f store.Ref[File], data []byte, m *SockSend) (int, abi.Errno) {
	k := n.k
	r := sockOf(k.Files.Get(f))
	s := k.Socks.Get(r)
	to := s.Inet.Far.Scope
	if m.To != nil {
		var e abi.Errno
		if to, _, e = n.port(*m.To); e != 0 {
			return 0, e
		}
	}
	if s.Inet.Local.Scope == 0 {
		if e := n.number(c, r, 0); e != 0 {
			return 0, e
		}
		s = k.Socks.Get(r)
	}
	if len(data) > int(s.SndBuf)-32 {
		return 0, abi.EMSGSIZE
	}
	if to != 0 {
		return 0, abi.ECONNREFUSED // nobody but the kernel is spoken to
	}
	if s.Proto == NetlinkUevent {
		return len(data), 0
	}
	for _, d := range k.io.netlink(c, s.Proto, data, s.Inet.Local.Scope) {
		if s := k.Socks.Get(r); s.Bytes+s.Queue.N*dgramCost > s.RcvBuf {
			k.Socks.Mut(r).Err = uint32(abi.ENOBUFS)
			break
		}
		if e := n.newMsg(r, d, 0, store.Block{}, SockCred{}, nil); e != 0 {
			return 0, e
		}
	}
	k.wakeSock(r, PollIn|PollRdNorm)
	return len(data), 0
}

func (n netlinkSockets) Recv(c *Call, f store.Ref[File], buf []byte, m *SockRecv) (int, abi.Errno) {
	return n.recvPacket(c, f, buf, m, func(*Socket, *SockMsg) { m.From = netlinkAddr(0) })
}

func (n netlinkSockets) Shutdown(*Call, store.Ref[Socket], uint32) abi.Errno {
	return abi.EOPNOTSUPP
}

func (n netlinkSockets) Poll(r store.Ref[Socket]) uint32 {
	s := n.k.Socks.Get(r)
	m := uint32(PollOut | PollWrNorm)
	if s.Err != 0 {
		m |= PollErr
	}
	if s.Queue.N > 0 {
		m |= PollIn | PollRdNorm
	}
	return m
}

func (n netlinkSockets) Release(c *Call, r store.Ref[Socket]) {
	n.drain(c, r)
	if s := n.k.Socks.Get(r); s.Inet.Local.Scope != 0 {
		delete(n.k.io.netlinks, netlinkKey{s.Proto, s.Inet.Local.Scope})
	}
	n.k.io.socks.drop(r)
	n.k.Heap.FreeBlock(n.k.Socks.Get(r).Inet.Kept)
	n.k.Socks.Free(r)
}
