package core

import (
	"hythe/abi"
	"hythe/store"
)

// Urgent data of TCP (tcp(7)): one byte beside the stream, and a mark in the
// stream at which reads stop. The mark is a message of its own in the queue,
// without bytes, or, with SO_OOBINLINE, with the byte as a part of the stream.

// SockMsg.Urgent is urgMark and the byte; urgRead: that was taken.
const (
	urgMark = 0x100
	urgRead = 0x200

	optOOBInline = 1 << 10
)

// mark answers the last urgent message in a stream's queue: there is one mark, an
// older one means nothing any more.
func (x inetSockets) mark(s *Socket) store.Ref[SockMsg] {
	if s.Inet.Mark != 0 {
		if m := x.k.SockMsgs.Get(s.Inet.Mark); m != nil && x.k.SockMsgs.Gen(s.Inet.Mark) == s.Inet.MarkGen && m.Urgent != 0 {
			return s.Inet.Mark
		}
	}
	return 0
}

// urgent sends one urgent byte.
func (x inetSockets) urgent(c *Call, f store.Ref[File], r store.Ref[Socket], b byte, m *SockSend) abi.Errno {
	k := x.k
	// As of any other byte it is found out whether there is someone to have it.
	if _, e := x.Send(c, f, nil, m); e != 0 {
		return e
	}
	s := k.Socks.Get(r)
	p := k.SockPeer(s)
	if p == 0 {
		_, e := x.Send(c, f, []byte{b}, m)
		return e
	}
	ps := k.Socks.Get(p)
	if !k.sockHas(ps) {
		return abi.EAGAIN // thousands of marks that nobody read
	}
	if at := x.mark(ps); at != 0 {
		// Its byte, if nobody took it, is a part of the stream after all.
		old := k.SockMsgs.Mut(at)
		if old.Data.Len == 0 && old.Urgent&urgRead == 0 {
			if d := k.Heap.Alloc(1); !d.Nil() {
				k.Heap.Bytes(d)[0] = byte(old.Urgent)
				k.Heap.FreeBlock(old.Data)
				old.Data = d
				k.Socks.Mut(p).Bytes++
			}
		}
		old.Urgent = 0
	}
	var data []byte
	if ps.Opts&optOOBInline != 0 {
		data = []byte{b}
	}
	if e := x.newMsg(p, data, 0, store.Block{}, SockCred{}, nil); e != 0 {
		return e
	}
	k.came(p, tcpUrg|tcpPsh, []byte{b})
	w := k.Socks.Mut(p)
	w.Inet.Mark, w.Inet.MarkGen = w.Queue.Tail, k.SockMsgs.Gen(w.Queue.Tail)
	k.SockMsgs.Mut(w.Queue.Tail).Urgent = urgMark | uint32(b)
	k.wakeSock(p, PollPri)
	if len(data) > 0 {
		k.wakeSock(p, PollIn|PollRdNorm)
	}
	k.tellUrgent(p)
	return 0
}

// takeUrgent is recv with MSG_OOB: it never waits.
func (x inetSockets) takeUrgent(r store.Ref[Socket], buf []byte, flags uint32, m *SockRecv) (int, abi.Errno) {
	k := x.k
	s := k.Socks.Get(r)
	at := x.mark(s)
	switch {
	case at == 0, s.Opts&optOOBInline != 0, k.SockMsgs.Get(at).Urgent&urgRead != 0:
		return 0, abi.EINVAL
	case s.State == SockClosed && s.Inet.Fin&FinRecv == 0:
		return 0, abi.ENOTCONN
	}
	m.Flags = MsgOOB
	if len(buf) == 0 {
		m.Flags |= MsgTrunc
		return 0, 0
	}
	buf[0] = byte(k.SockMsgs.Get(at).Urgent)
	if flags&MsgPeek == 0 {
		k.SockMsgs.Mut(at).Urgent |= urgRead
	}
	return 1, 0
}

// AtMark says whether the next byte of a stream is the first behind urgent data
// (SIOCATMARK).
func (k *Kernel) AtMark(r store.Ref[Socket]) bool {
	s := k.Socks.Get(r)
	for at := s.Queue.Head; at != 0; at = k.SockMsgs.Get(at).Link.Next {
		m := k.SockMsgs.Get(at)
		if m.Urgent != 0 {
			return m.Off == 0
		}
		if m.Off < m.Data.Len {
			return false
		}
	}
	return false
}
