package core

import (
	"fmt"

	"hythe/abi"
	"hythe/store"
)

// unixSockets is the family of local sockets (unix(7)).
type unixSockets struct{ sockQueues }

func (u unixSockets) Create(c *Call, s *Socket) abi.Errno {
	if s.Proto != 0 && s.Proto != FamilyUnix {
		return abi.EPROTONOSUPPORT
	}
	switch s.Type {
	case SockStream, SockDgram, SockSeqpacket:
	case 3: // SOCK_RAW
		s.Type = SockDgram
	default:
		return abi.ESOCKTNOSUPPORT
	}
	s.Proto = 0
	return 0
}

func (u unixSockets) Pair(c *Call, a, b store.Ref[Socket]) abi.Errno {
	cr := c.sockCred()
	u.k.setPeer(a, b)
	u.k.setPeer(b, a)
	for _, r := range []store.Ref[Socket]{a, b} {
		s := u.k.Socks.Mut(r)
		s.Own, s.Their = cr, cr
		if s.Type != SockDgram {
			s.State = SockConnected
		}
	}
	return 0
}

func (u unixSockets) Bind(c *Call, r store.Ref[Socket], a SockAddr) abi.Errno {
	k := u.k
	if a.Family != FamilyUnix {
		return abi.EINVAL
	}
	if len(a.Data) == 0 {
		if !k.Socks.Get(r).Addr.Nil() {
			return 0
		}
		return u.autobind(r)
	}
	if len(a.Data) > 108 {
		return abi.EINVAL
	}
	name := string(a.Data)
	if !k.Socks.Get(r).Addr.Nil() {
		if name[0] != 0 {
			// A name that exists is told first.
			if f, e := c.Walk(AtCwd, cString(a.Data), WalkParent); e == 0 && f.node != nil {
				return abi.EADDRINUSE
			}
		}
		return abi.EINVAL
	}
	if name[0] == 0 {
		if k.io.abstract[name] != 0 {
			return abi.EADDRINUSE
		}
		return u.setName(r, name, NodeKey{})
	}
	path := cString(a.Data)
	key, e := c.makeSocketNode(path)
	if e != 0 {
		if e == abi.EEXIST {
			e = abi.EADDRINUSE
		}
		return e
	}
	if k.Socks.Get(r) == nil {
		return abi.EBADF
	}
	return u.setName(r, path, key)
}

func (u unixSockets) setName(r store.Ref[Socket], name string, key NodeKey) abi.Errno {
	b := store.PutString(u.k.Heap, name)
	if b.Nil() {
		return abi.ENOMEM
	}
	s := u.k.Socks.Mut(r)
	s.Addr = b
	s.Node = key
	s.Named = 1
	u.k.nameSocket(r, s)
	return 0
}

func (u unixSockets) autobind(r store.Ref[Socket]) abi.Errno {
	for range 1 << 20 {
		u.k.io.nextAuto++
		n := fmt.Sprintf("\x00%05x", u.k.io.nextAuto&0xfffff)
		if u.k.io.abstract[n] == 0 {
			return u.setName(r, n, NodeKey{})
		}
	}
	return abi.ENOSPC
}

func cString(b []byte) string {
	for i, x := range b {
		if x == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

// find answers the socket that is bound to a. ECONNREFUSED when there is none.
func (u unixSockets) find(c *Call, a SockAddr, typ uint32) (store.Ref[Socket], abi.Errno) {
	if a.Family != FamilyUnix || len(a.Data) == 0 || len(a.Data) > 108 {
		return 0, abi.EINVAL
	}
	var r store.Ref[Socket]
	if a.Data[0] == 0 {
		r = u.k.io.abstract[string(a.Data)]
	} else {
		key, e := c.findSocketNode(cString(a.Data))
		if e != 0 {
			return 0, e
		}
		r = u.k.io.nodes[key]
	}
	if r == 0 {
		return 0, abi.ECONNREFUSED
	}
	if u.k.Socks.Get(r).Type != typ {
		return 0, abi.EPROTOTYPE
	}
	return r, 0
}

func (u unixSockets) Listen(c *Call, r store.Ref[Socket], backlog int32) abi.Errno {
	s := u.k.Socks.Get(r)
	if s.Type == SockDgram {
		return abi.EOPNOTSUPP
	}
	if s.Addr.Nil() || s.State == SockConnected || s.State == SockClosed {
		return abi.EINVAL
	}
	m := u.k.Socks.Mut(r)
	m.State = SockListening
	m.Backlog = uint32(backlog)
	if backlog < 0 || backlog > 4096 {
		m.Backlog = 4096 // net.core.somaxconn
	}
	m.Own = c.sockCred()
	u.k.wakeSock(r, PollOut)
	return 0
}

func (u unixSockets) Connect(c *Call, f store.Ref[File], a SockAddr) abi.Errno {
	k := u.k
	r := sockOf(k.Files.Get(f))
	s := k.Socks.Get(r)
	if s.Type == SockDgram {
		return u.connectDgram(c, r, a)
	}
	if a.Family != FamilyUnix {
		return abi.EINVAL
	}
	if s.PassCred != 0 && s.Addr.Nil() {
		if e := u.autobind(r); e != 0 {
			return e
		}
	}
	for {
		l, e := u.find(c, a, s.Type)
		if e != 0 {
			return e
		}
		s := k.Socks.Get(r)
		switch s.State {
		case SockConnected, SockClosed:
			return abi.EISCONN
		case SockListening:
			return abi.EINVAL
		}
		ls := k.Socks.Get(l)
		if ls.State != SockListening || ls.Shut&ShutRecv != 0 {
			return abi.ECONNREFUSED
		}
		if ls.Pending.N <= ls.Backlog {
			return u.join(c, r, l)
		}
		if e := u.wait(c, f, 0, s.SndTimeo, l); e != 0 {
			return e
		}
	}
}

// join makes the server's end of a connection and queues it at listener l.
func (u unixSockets) join(c *Call, r, l store.Ref[Socket]) abi.Errno {
	k := u.k
	n, e := c.newSocket(FamilyUnix, k.Socks.Get(r).Type, 0)
	if e != 0 {
		return e
	}
	ls := k.Socks.Get(l)
	addr := store.PutString(k.Heap, store.String(k.Heap, ls.Addr))
	remote := store.PutString(k.Heap, store.String(k.Heap, ls.Addr))
	ns := k.Socks.Mut(n)
	ns.State = SockConnected
	ns.Addr = addr // its name, but it is not found by it
	ns.Own, ns.Their = ls.Own, c.sockCred()
	ns.PassCred = ls.PassCred
	ns.UID, ns.GID = ls.UID, ls.GID
	s := k.Socks.Mut(r)
	s.State = SockConnected
	s.Own, s.Their = ns.Their, ls.Own
	k.Heap.FreeBlock(s.Remote)
	s.Remote = remote
	ns.Remote = store.PutString(k.Heap, store.String(k.Heap, s.Addr))
	k.setPeer(r, n)
	k.setPeer(n, r)
	u.pending().PushBack(&k.Socks.Mut(l).Pending, n)
	k.wakeSock(l, PollIn|PollRdNorm)
	k.wakeSock(r, PollOut|PollWrNorm)
	return 0
}

func (u unixSockets) connectDgram(c *Call, r store.Ref[Socket], a SockAddr) abi.Errno {
	k := u.k
	if a.Family == 0 { // AF_UNSPEC: no peer any more
		s := k.Socks.Mut(r)
		s.Peer, s.PeerGen = 0, 0
		s.State = SockIdle
		k.wakeSock(r, PollOut)
		return 0
	}
	d, e := u.find(c, a, SockDgram)
	if e != 0 {
		return e
	}
	if s := k.Socks.Get(r); s.PassCred != 0 && s.Addr.Nil() {
		if e := u.autobind(r); e != 0 {
			return e
		}
	}
	ds := k.Socks.Get(d)
	if p := k.SockPeer(ds); p != 0 && p != r {
		return abi.EPERM
	}
	k.setPeer(r, d)
	s := k.Socks.Mut(r)
	s.State = SockConnected
	k.Heap.FreeBlock(s.Remote)
	s.Remote = store.PutString(k.Heap, store.String(k.Heap, k.Socks.Get(d).Addr))
	k.wakeSock(r, PollOut)
	return 0
}

func (u unixSockets) Accept(c *Call, f store.Ref[File]) (store.Ref[Socket], abi.Errno) {
	k := u.k
	r := sockOf(k.Files.Get(f))
	for {
		s := k.Socks.Get(r)
		if s.Type == SockDgram {
			return 0, abi.EOPNOTSUPP
		}
		if s.State != SockListening {
			return 0, abi.EINVAL
		}
		if s.Pending.N > 0 {
			n := u.pending().PopFront(&k.Socks.Mut(r).Pending)
			k.wakeSock(r, PollOut) // a connect waits for room
			return n, 0
		}
		if s.Shut&ShutRecv != 0 {
			return 0, abi.EINVAL
		}
		if e := u.wait(c, f, 0, s.RcvTimeo, r); e != 0 {
			return 0, e
		}
	}
}

func (u unixSockets) Name(r store.Ref[Socket], which SockName) (SockAddr, abi.Errno) {
	k := u.k
	s := k.Socks.Get(r)
	b := s.Addr
	if which != NameOwn {
		p := k.SockPeer(s)
		if p == 0 && s.State != SockClosed && s.State != SockConnected {
			return SockAddr{}, abi.ENOTCONN
		}
		b = s.Remote
		if b.Nil() && p != 0 {
			b = k.Socks.Get(p).Addr
		}
	}
	return u.addr(b), 0
}

func (u unixSockets) addr(b store.Block) SockAddr {
	a := SockAddr{Family: FamilyUnix, Data: append([]byte(nil), u.k.Heap.Bytes(b)...)}
	if len(a.Data) > 0 && a.Data[0] != 0 && len(a.Data) < 108 {
		a.Data = append(a.Data, 0)
	}
	return a
}

func (u unixSockets) Shutdown(c *Call, r store.Ref[Socket], how uint32) abi.Errno {
	k := u.k
	s := k.Socks.Mut(r)
	s.Shut |= how // of one that is not connected, too
	if p := k.SockPeer(s); p != 0 && s.Type != SockDgram {
		ps := k.Socks.Mut(p)
		if how&ShutSend != 0 {
			ps.Shut |= ShutRecv
		}
		if how&ShutRecv != 0 {
			ps.Shut |= ShutSend
		}
		k.wakeSock(p, ^uint32(0))
		if how == ShutRecv|ShutSend {
			k.tell(k.io.socks.at(p), ioHup)
		} else if how == ShutSend {
			k.tell(k.io.socks.at(p), ioIn)
		}
	}
	k.wakeSock(r, ^uint32(0))
	return 0
}

func (u unixSockets) Poll(r store.Ref[Socket]) uint32 {
	k := u.k
	s := k.Socks.Get(r)
	var m uint32
	if s.Err != 0 {
		m |= PollErr
	}
	if s.Shut == ShutRecv|ShutSend {
		m |= PollHup
	}
	if s.Shut&ShutRecv != 0 {
		m |= PollRdHup | PollIn | PollRdNorm
	}
	if s.Pending.N > 0 || u.readable(s) {
		m |= PollIn | PollRdNorm
	}
	if s.Type != SockDgram && (s.State == SockIdle || s.State == SockClosed) {
		m |= PollHup
	}
	switch p := k.SockPeer(s); {
	case s.State == SockListening:
	case p == 0:
		m |= PollOut | PollWrNorm | PollWrBand
	default:
		ps := k.Socks.Get(p)
		if s.Type == SockDgram && k.SockPeer(ps) != r && ps.Queue.N > sockQueue {
			break
		}
		if ps.Bytes*4 <= s.SndBuf {
			m |= PollOut | PollWrNorm | PollWrBand
		}
	}
	return m
}

func (u unixSockets) Send(c *Call, f store.Ref[File], data []byte, m *SockSend) (int, abi.Errno) {
	k := u.k
	if len(m.Files) > maxRights {
		return 0, abi.EINVAL
	}
	if k.io.rights+len(m.Files) > 1<<16 {
		return 0, abi.ETOOMANYREFS
	}
	r := sockOf(k.Files.Get(f))
	s := k.Socks.Get(r)
	if s.PassCred != 0 && s.Addr.Nil() && s.Type == SockDgram {
		if e := u.autobind(r); e != 0 {
			return 0, e
		}
	}
	cr := c.sockCred()
	if m.Cred != nil {
		cr = *m.Cred
	}
	if s.Type == SockStream {
		return u.sendStream(c, f, r, data, m, cr)
	}
	return u.sendPacket(c, f, r, data, m, cr)
}

func (u unixSockets) sendStream(c *Call, f store.Ref[File], r store.Ref[Socket], data []byte, m *SockSend, cr SockCred) (int, abi.Errno) {
	k := u.k
	if m.To != nil {
		if k.Socks.Get(r).State == SockConnected {
			return 0, abi.EISCONN
		}
		return 0, abi.EOPNOTSUPP
	}
	return u.send(c, f, r, data, m, cr, func(s *Socket) (store.Ref[Socket], uint32, abi.Errno) {
		p := k.SockPeer(s)
		if s.Shut&ShutSend != 0 && s.State != SockIdle || p == 0 && s.State == SockClosed || p != 0 && k.Socks.Get(p).Shut&ShutRecv != 0 {
			return 0, 0, abi.EPIPE
		}
		if p == 0 {
			return 0, 0, abi.ENOTCONN
		}
		return p, s.SndBuf, 0
	})
}

func (u unixSockets) sendPacket(c *Call, f store.Ref[File], r store.Ref[Socket], data []byte, m *SockSend, cr SockCred) (int, abi.Errno) {
	k := u.k
	seq := k.Socks.Get(r).Type == SockSeqpacket
	if len(data) > int(k.Socks.Get(r).SndBuf)-32 {
		return 0, abi.EMSGSIZE
	}
	for {
		s := k.Socks.Get(r)
		var p store.Ref[Socket]
		if seq {
			p = k.SockPeer(s)
			switch {
			case s.State == SockIdle || s.State == SockListening:
				return 0, abi.ENOTCONN
			case p == 0 || s.Shut&ShutSend != 0 || k.Socks.Get(p).Shut&ShutRecv != 0:
				if m.Flags&MsgNoSignal == 0 {
					c.sigPipe()
				}
				return 0, abi.EPIPE
			}
		} else {
			if s.Shut&ShutSend != 0 {
				if m.Flags&MsgNoSignal == 0 {
					c.sigPipe()
				}
				return 0, abi.EPIPE
			}
			if m.To != nil {
				d, e := u.find(c, *m.To, SockDgram)
				if e != 0 {
					return 0, e
				}
				p = d
			} else {
				if s.Peer == 0 {
					return 0, abi.ENOTCONN
				}
				if p = k.SockPeer(s); p == 0 {
					w := k.Socks.Mut(r)
					w.Peer, w.State = 0, SockIdle
					return 0, abi.ECONNREFUSED
				}
			}
			ps := k.Socks.Get(p)
			if q := k.SockPeer(ps); q != 0 && q != r {
				return 0, abi.EPERM
			}
			if ps.Shut&ShutRecv != 0 {
				return 0, abi.EPIPE
			}
		}
		ps := k.Socks.Get(p)
		s = k.Socks.Get(r)
		full := ps.Queue.N > 0 && ps.Bytes+uint32(len(data)) > s.SndBuf || !k.sockHas(ps)
		if !seq && k.SockPeer(ps) != r && p != r && ps.Queue.N > sockQueue {
			full = true
		}
		if !full {
			if e := u.newMsg(p, data, 0, s.Addr, cr, m.Files); e != 0 {
				return 0, e
			}
			k.wakeSock(p, PollIn|PollRdNorm)
			return len(data), 0
		}
		// Receivers wake their own queue too when they have made room.
		k.noRoom(f)
		if e := u.wait(c, f, m.Flags, s.SndTimeo, p); e != 0 {
			return 0, e
		}
	}
}

func (u unixSockets) Recv(c *Call, f store.Ref[File], buf []byte, m *SockRecv) (int, abi.Errno) {
	k := u.k
	r := sockOf(k.Files.Get(f))
	flags := m.Flags
	m.Flags = 0
	for {
		s := k.Socks.Get(r)
		if s.Type != SockDgram {
			if s.State == SockListening {
				return 0, abi.EINVAL
			}
			if s.State == SockIdle {
				if s.Type == SockStream {
					return 0, abi.EINVAL
				}
				return 0, abi.ENOTCONN
			}
		}
		end := s.Shut&ShutRecv != 0 || s.Err != 0 || s.State == SockClosed
		switch {
		case s.Type == SockStream && s.Bytes > 0:
			want := min(len(buf), int(s.RcvLowat))
			if flags&MsgWaitAll != 0 {
				want = min(len(buf), sockBuf/2)
			}
			if end || int(s.Bytes) >= want || flags&MsgPeek != 0 || flags&MsgDontWait != 0 || k.nonblock(f) {
				if m.Ask && u.filesAhead(s, len(buf)) {
					m.Flags = flags
					return 0, ErrControl
				}
				return u.takeStream(c, r, buf, flags, m), 0
			}
		case s.Type != SockStream && s.Queue.N > 0:
			if m.Ask && u.filesAhead(s, 1) {
				m.Flags = flags
				return 0, ErrControl
			}
			if msg := k.SockMsgs.Get(s.Queue.Head); s.Type != SockSeqpacket && !msg.From.Nil() {
				m.From = u.addr(msg.From) // the unnamed have none
			}
			return u.takePacket(c, r, buf, flags, m), 0
		case s.Type == SockStream && len(buf) == 0:
			return 0, 0
		case s.Err != 0:
			return 0, c.sockErr(r)
		case end:
			return 0, 0
		}
		if e := u.waitRead(c, f, flags, s.RcvTimeo, r); e != 0 {
			if s := k.Socks.Get(r); s != nil && s.Type == SockStream && s.Bytes > 0 && !(m.Ask && u.filesAhead(s, len(buf))) {
				return u.takeStream(c, r, buf, flags, m), 0
			}
			return 0, e
		}
	}
}

func (u unixSockets) Release(c *Call, r store.Ref[Socket]) {
	k := u.k
	k.dropStream(k.Socks.Get(r).Stream)
	s := k.Socks.Get(r)
	if s.Node != (NodeKey{}) {
		if k.io.nodes[s.Node] == r {
			delete(k.io.nodes, s.Node)
		}
	} else if n := store.String(k.Heap, s.Addr); n != "" && k.io.abstract[n] == r {
		delete(k.io.abstract, n)
	}
	if p := k.SockPeer(s); p != 0 {
		ps := k.Socks.Mut(p)
		if ps.Type != SockDgram {
			ps.Shut = ShutRecv | ShutSend
			ps.State = SockClosed
			ps.Peer, ps.PeerGen = 0, 0
			if u.readable(s) || s.HasFile == 0 {
				ps.Err = uint32(abi.ECONNRESET)
			}
		}
		k.wakeSock(p, ^uint32(0))
		if ps.Type != SockDgram {
			k.tell(k.io.socks.at(p), ioHup)
		}
	}
	k.wakeSock(r, ^uint32(0))
	for {
		h := k.Socks.Get(r).Queue.Head
		if h == 0 {
			break
		}
		u.freeMsg(c, r, h, false)
	}
	for {
		if k.Socks.Get(r).Pending.N == 0 {
			break
		}
		u.Release(c, u.pending().PopFront(&k.Socks.Mut(r).Pending))
	}
	s = k.Socks.Get(r)
	k.Heap.FreeBlock(s.Addr)
	k.Heap.FreeBlock(s.Remote)
	k.Heap.FreeBlock(s.Inet.Kept)
	k.io.socks.drop(r)
	k.Socks.Free(r)
	if k.io.rights > 0 {
		u.collect(c)
	}
}

// collect ends sockets that only messages in such sockets' queues refer to
// (SCM_RIGHTS cycles): a file is alive when something besides messages refers
// to it, or when a message in the queue of a living socket does.
func (u unixSockets) collect(c *Call) {
	k := u.k
	if k.io.inGC {
		return
	}
	// Sockets with an open file that all references come from messages.
	suspect := map[store.Ref[Socket]]store.Ref[File]{}
	for f, n := range k.io.inflight {
		if file := k.Files.Get(f); file.Kind == FileSocket && file.Refs == n {
			suspect[sockOf(file)] = f
		}
	}
	if len(suspect) == 0 {
		return
	}
	alive := map[store.Ref[Socket]]bool{}
	var work []store.Ref[Socket]
	k.Socks.Each(func(r store.Ref[Socket], s *Socket) bool {
		if s.HasFile != 0 && suspect[r] == 0 {
			alive[r] = true
			work = append(work, r)
		}
		return true
	})
	for len(work) > 0 {
		r := work[len(work)-1]
		work = work[:len(work)-1]
		s := k.Socks.Get(r)
		mark := func(n store.Ref[Socket]) {
			if !alive[n] {
				alive[n] = true
				work = append(work, n)
			}
		}
		for m := s.Queue.Head; m != 0; m = k.SockMsgs.Get(m).Link.Next {
			msg := k.SockMsgs.Get(m)
			for i := range msg.NFiles {
				if file := k.Files.Get(k.msgFile(msg, i)); file.Kind == FileSocket {
					mark(sockOf(file))
				}
			}
		}
		for p := s.Pending.Head; p != 0; p = k.Socks.Get(p).Link.Next {
			mark(p)
		}
	}
	k.io.inGC = true
	for r := range suspect {
		if alive[r] || k.Socks.Get(r) == nil {
			continue
		}
		// Emptying the queues drops the references; the last ends the socket.
		f := suspect[r]
		k.HoldFile(f)
		for {
			h := k.Socks.Get(r).Queue.Head
			if h == 0 {
				break
			}
			u.freeMsg(c, r, h, false)
		}
		k.DropFile(c, f)
	}
	k.io.inGC = false
}
