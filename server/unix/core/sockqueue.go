package core

import (
	"hythe/abi"
	"hythe/store"
)

// sockQueues is what families of sockets share: the queues of messages and of
// connections, and who waits at them.
type sockQueues struct{ k *Kernel }

func (u sockQueues) msgs() store.Lists[SockMsg] {
	return store.Lists[SockMsg]{Table: u.k.SockMsgs, At: func(m *SockMsg) *store.Link[SockMsg] { return &m.Link }}
}

func (u sockQueues) pending() store.Lists[Socket] {
	return store.Lists[Socket]{Table: u.k.Socks, At: func(s *Socket) *store.Link[Socket] { return &s.Link }}
}

func (c *Call) sockCred() SockCred {
	cr := c.Cred()
	return SockCred{Pid: c.Proc().Pid, UID: cr.EUID, GID: cr.EGID}
}

// wait sleeps on a socket's queue as its timeout and the flags allow.
func (u sockQueues) wait(c *Call, f store.Ref[File], flags uint32, timeo int64, q store.Ref[Socket]) abi.Errno {
	if flags&MsgDontWait != 0 || u.k.nonblock(f) {
		return abi.EAGAIN
	}
	d := NoDeadline
	if timeo > 0 {
		d = c.DeadlineIn(timeo)
	}
	e := c.Sleep(d, u.k.io.socks.at(q))
	switch {
	case e == abi.ETIMEDOUT:
		return abi.EAGAIN
	case e == abi.ErrRestart && timeo > 0:
		return abi.EINTR
	}
	return e
}

// waitRead is wait of who wants to read.
func (u sockQueues) waitRead(c *Call, f store.Ref[File], flags uint32, timeo int64, r store.Ref[Socket]) abi.Errno {
	wait := func() abi.Errno { return u.wait(c, f, flags, timeo, r) }
	e := abi.Errno(0)
	if c.plainRead {
		e = c.plainly(f, wait)
	} else {
		e = wait()
	}
	if e == 0 && u.k.Socks.Get(r) != nil {
		e = c.heldMeanwhile(f)
	}
	return e
}

// readable says whether there is something to receive. (A stream keeps its
// last message when it is empty, to be filled again.)
func (u sockQueues) readable(s *Socket) bool {
	if s.Type == SockStream {
		return s.Bytes > 0
	}
	return s.Queue.N > 0
}

// msgFile answers the i-th file of a message.
func (k *Kernel) msgFile(m *SockMsg, i uint32) store.Ref[File] {
	return store.Ref[File](le32(k.Heap.Bytes(m.Files)[i*4:]))
}

// newMsg puts a message into the queue of socket to. ENOBUFS.
func (u sockQueues) newMsg(to store.Ref[Socket], data []byte, room int, from store.Block, cr SockCred, files []store.Ref[File]) abi.Errno {
	k := u.k
	r, m := k.SockMsgs.New()
	if r == 0 {
		return abi.ENOBUFS
	}
	m.Cred = cr
	if n := max(len(data), room); n > 0 {
		if m.Data = k.Heap.Alloc(n); m.Data.Nil() {
			k.SockMsgs.Free(r)
			return abi.ENOBUFS
		}
		copy(k.Heap.Bytes(m.Data), data)
		m.Data.Len = uint32(len(data))
	}
	if b := k.Heap.Bytes(from); len(b) > 0 {
		m.From = store.PutString(k.Heap, string(b))
	}
	if len(files) > 0 {
		if m.Files = k.Heap.Alloc(4 * len(files)); m.Files.Nil() {
			k.Heap.FreeBlock(m.Data)
			k.Heap.FreeBlock(m.From)
			k.SockMsgs.Free(r)
			return abi.ENOBUFS
		}
		b := k.Heap.Bytes(m.Files)
		m.NFiles = uint32(len(files))
		for i, f := range files {
			putLE32(b[4*i:], uint32(f))
			k.HoldFile(f)
			k.io.inflight[f]++
			k.io.rights++
		}
	}
	s := k.Socks.Mut(to)
	u.msgs().PushBack(&s.Queue, r)
	s.Bytes += uint32(len(data))
	return 0
}

// freeMsg takes a message off its queue; keep leaves its files to the caller.
func (u sockQueues) freeMsg(c *Call, to store.Ref[Socket], r store.Ref[SockMsg], keep bool) {
	k := u.k
	m := k.SockMsgs.Get(r)
	s := k.Socks.Mut(to)
	s.Bytes -= m.Data.Len - m.Off
	u.msgs().Remove(&s.Queue, r)
	files := u.unflight(m)
	k.Heap.FreeBlock(m.Data)
	k.Heap.FreeBlock(m.From)
	k.Heap.FreeBlock(m.Files)
	k.SockMsgs.Free(r)
	if !keep {
		k.DropRights(c, files)
	}
}

// unflight answers a message's files and counts them as no longer in flight.
func (u sockQueues) unflight(m *SockMsg) []store.Ref[File] {
	k := u.k
	var files []store.Ref[File]
	for i := range m.NFiles {
		f := k.msgFile(m, i)
		files = append(files, f)
		if k.io.inflight[f]--; k.io.inflight[f] == 0 {
			delete(k.io.inflight, f)
		}
		k.io.rights--
	}
	return files
}

// sockHas says whether a queue may take another message: bytes alone do not
// bound the number of one-byte messages that carry files.
func (k *Kernel) sockHas(s *Socket) bool { return s.Queue.N < 4096 }

// append adds bytes to a stream: to the last message if it has room and is of
// the same sender.
func (u sockQueues) append(p store.Ref[Socket], data []byte, cr SockCred, files []store.Ref[File]) abi.Errno {
	k := u.k
	ps := k.Socks.Get(p)
	if t := ps.Queue.Tail; t != 0 && len(files) == 0 {
		m := k.SockMsgs.Get(t)
		empty := m.Off == m.Data.Len
		if m.NFiles == 0 && m.Urgent == 0 && (m.Cred == cr || empty) && int(m.Data.Cap-m.Data.Len) >= len(data) {
			w := k.SockMsgs.Mut(t)
			w.Cred = cr
			copy(k.Heap.Unlogged(w.Data, int(w.Data.Len), len(data)), data)
			w.Data.Len += uint32(len(data))
			k.Socks.Mut(p).Bytes += uint32(len(data))
			return 0
		}
		if empty && m.Urgent == 0 {
			u.freeMsg(nil, p, t, false)
		}
	}
	return u.newMsg(p, data, 4096, store.Block{}, cr, files)
}

// filesAhead says whether files come with what is read of a socket next: n bytes,
// or one packet.
func (u sockQueues) filesAhead(s *Socket, n int) bool {
	for at := s.Queue.Head; at != 0 && n > 0; {
		msg := u.k.SockMsgs.Get(at)
		if msg.NFiles > 0 {
			return true
		}
		if s.Type != SockStream {
			return false
		}
		n -= int(msg.Data.Len - msg.Off)
		at = msg.Link.Next
	}
	return false
}

// takeStream moves bytes to buf up to the end of a message that carries files
// (what lies before it comes along), or that another sender's follows when credentials are asked for.
func (u sockQueues) takeStream(c *Call, r store.Ref[Socket], buf []byte, flags uint32, m *SockRecv) int {
	k := u.k
	n := 0
	pass := k.Socks.Get(r).PassCred != 0
	peek := flags&MsgPeek != 0
	rt := k.threadRT(c.T)
	rt.short.what.data = rt.short.what.data[:0]
	at := k.Socks.Get(r).Queue.Head
	for at != 0 && n < len(buf) {
		msg := k.SockMsgs.Get(at)
		if n > 0 && (pass && msg.Cred != m.Cred || msg.Urgent != 0) {
			break
		}
		next := msg.Link.Next
		if msg.Urgent != 0 && msg.Data.Len == 0 { // the byte is not in the stream
			if !peek {
				u.freeMsg(c, r, at, false)
			}
			at = next
			continue
		}
		if n == 0 {
			m.Cred, m.HasCred = msg.Cred, pass
		}
		t := copy(buf[n:], k.Heap.Bytes(msg.Data)[msg.Off:])
		if !peek {
			rt.short.what.data = append(rt.short.what.data, k.Heap.Bytes(msg.Data)[msg.Off:int(msg.Off)+t]...)
		}
		n += t
		hadFiles := msg.NFiles > 0
		if hadFiles {
			u.giveFiles(at, peek, m)
		}
		if !peek {
			w := k.SockMsgs.Mut(at)
			w.Off += uint32(t)
			k.Socks.Mut(r).Bytes -= uint32(t)
			if w.Off == w.Data.Len {
				if next == 0 && w.NFiles == 0 && w.Urgent == 0 && w.Data.Cap <= 8192 {
					w.Off, w.Data.Len = 0, 0
				} else {
					u.freeMsg(c, r, at, false)
				}
			}
		}
		if hadFiles {
			break
		}
		at = next
	}
	c.took = taken{data: rt.short.what.data, cred: m.Cred}
	u.madeRoom(r, peek)
	return n
}

// untakeStream puts bytes back in front of a stream.
func (u sockQueues) untakeStream(r store.Ref[Socket], data []byte, from SockCred) {
	k := u.k
	s := k.Socks.Get(r)
	if s == nil || s.Type != SockStream {
		return
	}
	if at := s.Queue.Head; at != 0 {
		// The message of which they are the end may still be there.
		if m := k.SockMsgs.Get(at); int(m.Off) >= len(data) && string(k.Heap.Bytes(m.Data)[int(m.Off)-len(data):m.Off]) == string(data) {
			k.SockMsgs.Mut(at).Off -= uint32(len(data))
			k.Socks.Mut(r).Bytes += uint32(len(data))
			k.wakeSock(r, PollIn|PollRdNorm)
			return
		}
	}
	if u.newMsg(r, data, 0, store.Block{}, from, nil) == 0 {
		m := k.Socks.Mut(r)
		last := m.Queue.Tail
		u.msgs().Remove(&m.Queue, last)
		u.msgs().PushFront(&m.Queue, last)
		k.wakeSock(r, PollIn|PollRdNorm)
	}
}

// giveFiles hands a message's files to the receiver; a peek gives copies.
func (u sockQueues) giveFiles(at store.Ref[SockMsg], peek bool, m *SockRecv) {
	k := u.k
	if peek {
		msg := k.SockMsgs.Get(at)
		for i := range msg.NFiles {
			f := k.msgFile(msg, i)
			k.HoldFile(f)
			m.Files = append(m.Files, f)
		}
		return
	}
	w := k.SockMsgs.Mut(at)
	m.Files = u.unflight(w)
	k.Heap.FreeBlock(w.Files)
	w.Files, w.NFiles = store.Block{}, 0
}

func (u sockQueues) takePacket(c *Call, r store.Ref[Socket], buf []byte, flags uint32, m *SockRecv) int {
	k := u.k
	at := k.Socks.Get(r).Queue.Head
	msg := k.SockMsgs.Get(at)
	n := copy(buf, k.Heap.Bytes(msg.Data))
	m.Full = int(msg.Data.Len)
	if n < m.Full {
		m.Flags |= MsgTrunc
	}
	m.Cred, m.HasCred = msg.Cred, k.Socks.Get(r).PassCred != 0
	peek := flags&MsgPeek != 0
	if msg.NFiles > 0 {
		u.giveFiles(at, peek, m)
	}
	if !peek {
		u.freeMsg(c, r, at, false)
	}
	u.madeRoom(r, peek)
	return n
}

// madeRoom wakes who waits to send to r.
func (u sockQueues) madeRoom(r store.Ref[Socket], peek bool) {
	if peek {
		return
	}
	s := u.k.Socks.Get(r)
	if s.Type == SockDgram {
		u.k.wakeSock(r, PollOut) // senders wait here, whoever they are
	}
	if p := u.k.SockPeer(s); p != 0 {
		if u.k.Socks.Get(p).Type != SockStream {
			u.k.wakeSock(r, PollOut)
		}
		u.k.wakeSock(p, PollOut|PollWrNorm)
	}
}

// send puts the bytes of a stream into the queue of its peer and waits for room.
// look answers the peer, how many bytes may wait there, and what forbids to send;
// it is asked again after each wait. No peer and no error: the bytes go nowhere.
func (u sockQueues) send(c *Call, f store.Ref[File], r store.Ref[Socket], data []byte, m *SockSend, cr SockCred, look func(s *Socket) (store.Ref[Socket], uint32, abi.Errno)) (int, abi.Errno) {
	k := u.k
	base := c.Thread().Progress
	files := m.Files
	if base > 0 {
		files = nil // they went with the first byte
	}
	done := 0
	for {
		s := k.Socks.Get(r)
		p, bound, e := look(s)
		if e != 0 {
			if done > 0 {
				return done, 0
			}
			if e == abi.EPIPE && m.Flags&MsgNoSignal == 0 && base == 0 {
				c.sigPipe()
			}
			return 0, e
		}
		if p == 0 || len(data) == 0 {
			return len(data), 0
		}
		ps := k.Socks.Get(p)
		if ps.Bytes < bound && k.sockHas(ps) {
			n := min(len(data)-done, int(bound-ps.Bytes), 32768)
			if e := u.append(p, data[done:done+n], cr, files); e != 0 {
				return done, errIfNone(done, e)
			}
			if s.Family != FamilyUnix {
				k.came(p, tcpPsh, data[done:done+n])
			}
			files = nil
			done += n
			if done == len(data) {
				k.wakeSock(p, PollIn|PollRdNorm)
				return done, 0
			}
			continue
		}
		k.wakeSock(p, PollIn|PollRdNorm)
		if done > 0 && m.Flags&MsgDontWait == 0 && !k.nonblock(f) {
			c.MutThread().Progress = base + uint64(done)
		}
		k.noRoom(f)
		if e := u.wait(c, f, m.Flags, s.SndTimeo, r); e != 0 {
			return done, errIfNone(done, e)
		}
	}
}

// drain drops what is in a socket's queue.
func (x sockQueues) drain(c *Call, r store.Ref[Socket]) {
	for h := x.k.Socks.Get(r).Queue.Head; h != 0; h = x.k.Socks.Get(r).Queue.Head {
		x.freeMsg(c, r, h, false)
	}
}

// recvPacket receives the next message of a socket that is not connected to one
// peer, or waits for it; from fills in where it comes from.
func (u sockQueues) recvPacket(c *Call, f store.Ref[File], buf []byte, m *SockRecv, from func(s *Socket, msg *SockMsg)) (int, abi.Errno) {
	k := u.k
	r := sockOf(k.Files.Get(f))
	flags := m.Flags
	m.Flags = 0
	for {
		s := k.Socks.Get(r)
		switch {
		case s.Err != 0:
			return 0, k.takeSockErr(r)
		case s.Queue.N > 0:
			from(s, k.SockMsgs.Get(s.Queue.Head))
			return u.takePacket(c, r, buf, flags, m), 0
		case s.Shut&ShutRecv != 0:
			return 0, 0
		}
		if e := u.wait(c, f, flags, s.RcvTimeo, r); e != 0 {
			return 0, e
		}
	}
}
