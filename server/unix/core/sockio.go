package core

import (
	"hythe/abi"
	"hythe/store"
)

// iovTotal is the length of an iovec, cut where Linux cuts it (MAX_RW_COUNT).
func iovTotal(iov []IOVec) uint64 {
	var n uint64
	for _, v := range iov {
		n += v.Len
	}
	return min(n, 0x7ffff000)
}

// gather fetches up to n bytes of the memory that iov names, from skip on, into
// the In area. Less than n: the guest's memory ended (EFAULT if at once).
func (c *Call) gather(iov []IOVec, skip uint64, n int) ([]byte, abi.Errno) {
	c.InReset()
	o, ok := c.inAlloc(n)
	if !ok {
		return nil, abi.ENOMEM
	}
	got := 0
	for _, v := range iov {
		if skip >= v.Len {
			skip -= v.Len
			continue
		}
		m := int(min(v.Len-skip, uint64(n-got)))
		if m == 0 {
			break
		}
		k, e := c.copyInAt(v.Base+skip, m, o+uint32(got))
		if e != 0 {
			return nil, e
		}
		got += k
		skip = 0
		if k < m {
			break
		}
	}
	if got == 0 && n > 0 {
		return nil, abi.EFAULT
	}
	return c.Chan.In()[o : int(o)+got], 0
}

// plainSocket says whether the call is a sendto(2) or recvfrom(2), as local says, that the caller's library serves
// by a stream that is lent: without an address, and with no flags that mean more there.
func (c *Call) plainSocket(local uint8) bool {
	return c.Local == local && c.Kind == abi.KindTrap && c.Args[4] == 0 && uint32(c.Args[3])&^(MsgDontWait|MsgNoSignal) == 0
}

// LentMeanwhile says whether a sendto(2) or recvfrom(2) by the caller's descriptor is for its library to serve: the
// stream was lent when the call was on its way here. Then it ends with ErrRestart, and nobody may have looked for
// the descriptor's file before.
func (c *Call) LentMeanwhile(fd int32) bool {
	if !c.plainSocket(abi.LocalSend) && !c.plainSocket(abi.LocalRecv) || !c.lentMeanwhile(fd) {
		return false
	}
	if c.Local == abi.LocalSend {
		c.put = uint64(c.Done)
	}
	return true
}

// SendV sends the memory that iov names on socket fd as one message, or as a
// run of a stream's bytes.
func (c *Call) SendV(fd int32, iov []IOVec, m *SockSend) (uint64, abi.Errno) {
	k := c.K
	f, r, fam, e := c.Sock(fd)
	if e != 0 {
		return 0, e
	}
	total := iovTotal(iov)
	k.pinFile(f)
	defer k.unpinFile(c, f)
	if m.To == nil && len(m.Files) == 0 && m.Stamp == nil && m.Flags&^(MsgDontWait|MsgNoSignal) == 0 && c.sendsByHost(fd, f) {
		c.put = uint64(c.Done)
		return 0, c.toLibrary()
	}
	if k.Socks.Get(r).Type != SockStream {
		if total > uint64(k.Socks.Get(r).SndBuf) {
			return 0, abi.EMSGSIZE
		}
		var data []byte
		if total <= maxChunk/2 {
			if total > 0 {
				if data, e = c.gather(iov, 0, int(total)); e != 0 {
					return 0, e
				}
			}
		} else {
			for uint64(len(data)) < total {
				b, e := c.gather(iov, uint64(len(data)), int(min(total-uint64(len(data)), maxChunk/2)))
				if e != 0 {
					return 0, e
				}
				data = append(data, b...)
			}
		}
		if uint64(len(data)) < total {
			return 0, abi.EFAULT
		}
		n, e := fam.Send(c, f, data, m)
		return uint64(n), e
	}
	if total == 0 {
		n, e := fam.Send(c, f, nil, m)
		return uint64(n), e
	}
	done := min(c.Thread().Progress, total)
	defer func() { c.sentStream(f, m, done) }()
	if n := uint64(c.Done); n > done && n <= total {
		// The library had a part of it in a stream that was taken back.
		done = n
		c.MutThread().Progress = n
	}
	unit := k.writeUnit(f, total)
	for done < total {
		want := int(min(total-done, maxChunk/2))
		data, e := c.gather(iov, done, want)
		if e != 0 {
			return done, errIfNone(int(done), e)
		}
		bad := len(data) < want
		if bad || uint64(want) < total-done {
			data = unit.whole(done, data)
		}
		if len(data) == 0 {
			return done, errIfNone(int(done), abi.EFAULT)
		}
		want = len(data)
		n, e := fam.Send(c, f, data, m)
		done += uint64(n)
		m.Files = nil
		if e != 0 {
			return done, errIfNone(int(done), e)
		}
		if n < want || bad {
			break
		}
		if done < total {
			c.MutThread().Progress = done
		}
	}
	if c.plainSocket(abi.LocalSend) {
		c.lendStream(fd, f, false)
	}
	return done, 0
}

// RecvV receives into the memory that iov names. What is asked is in m.Flags
// (Msg...); m tells what came. m.Files are the caller's to drop.
func (c *Call) RecvV(fd int32, iov []IOVec, m *SockRecv) (uint64, abi.Errno) {
	k := c.K
	f, r, fam, e := c.Sock(fd)
	if e != 0 {
		return 0, e
	}
	k.pinFile(f)
	defer k.unpinFile(c, f)
	if c.receivesByHost(fd, f, m.Flags&^MsgDontWait == 0) {
		return 0, c.toLibrary()
	}
	total := iovTotal(iov)
	if c.plainRead = c.plainSocket(abi.LocalRecv); c.plainRead {
		c.streamSoon(fd, f)
	}
	flags := m.Flags
	stream := k.Socks.Get(r).Type == SockStream
	var done uint64
	if stream {
		done = min(c.Thread().Progress, total) // a repetition: these are there
	}
	for {
		want := int(min(total-done, maxChunk/2))
		var buf []byte
		long := false
		if !stream && total > uint64(want) {
			buf = make([]byte, min(total, 2*sockBuf))
			long = true
		} else {
			if c.OutRoom() < want && !c.Flush() {
				return done, abi.EINTR
			}
			buf = c.OutBuf(want)
		}
		m.Flags = flags
		n, e := fam.Recv(c, f, buf, m)
		if e != 0 {
			return done, errIfNone(int(done), e)
		}
		c.Taken()
		if m.Drop {
			done += uint64(n)
			return done, 0
		}
		if long {
			c.scatter(iov, 0, buf[:n])
		} else {
			c.noteRead(f, -1, uint64(n))
			c.scatterOut(iov, done, n, k.countFlag(k.Files.Get(f)))
			if c.plainRead && stream {
				c.lendStream(fd, f, true)
			}
			c.hostSoon(fd, f)
		}
		done += uint64(n)
		if !stream || flags&(MsgWaitAll|MsgPeek) != MsgWaitAll || n < want || done == total || len(m.Files) > 0 {
			return done, 0
		}
		c.MutThread().Progress = done
		if !c.Checkpoint() || k.Socks.Get(r) == nil {
			return done, 0
		}
		if c.outFault {
			c.outFault = false
			lost := min(c.outLost, uint64(n))
			k.untake(&k.threadRT(c.T).short, lost)
			done -= lost
			return done, errIfNone(int(done), abi.EFAULT)
		}
	}
}

// scatter copies data to the memory that iov names, from skip on.
func (c *Call) scatter(iov []IOVec, skip uint64, data []byte) {
	for _, v := range iov {
		if skip >= v.Len {
			skip -= v.Len
			continue
		}
		n := min(v.Len-skip, uint64(len(data)))
		c.CopyOut(v.Base+skip, data[:n])
		data = data[n:]
		skip = 0
	}
}

// scatterOut is scatter for n bytes that lie in the last OutBuf, with flags.
func (c *Call) scatterOut(iov []IOVec, skip uint64, n int, flags uint32) {
	base := (c.outUsed + 7) &^ 7
	c.outUsed = base + uint32(n)
	rest := uint64(n)
	for _, v := range iov {
		if skip >= v.Len {
			skip -= v.Len
			continue
		}
		m := min(v.Len-skip, rest)
		if m == 0 {
			break
		}
		c.Act(abi.ActCopyOut, flags, v.Base+skip, uint64(base)+abi.SlotOutOff, m)
		base += uint32(m)
		rest -= m
		skip = 0
	}
}

// InstallRights gives descriptors to files that came with a message and drops
// the message's references. It answers the descriptors that were made: fewer
// when the table is full.
func (c *Call) InstallRights(files []store.Ref[File], flags uint32) []int32 {
	fds := make([]int32, 0, len(files))
	for _, f := range files {
		fd, e := c.InstallFD(f, 0, flags)
		if e != 0 {
			break
		}
		fds = append(fds, fd)
	}
	c.K.DropRights(c, files)
	return fds
}

// ConnectFD connects socket fd (connect(2)).
func (c *Call) ConnectFD(fd int32, a SockAddr) abi.Errno {
	f, _, fam, e := c.Sock(fd)
	if e != 0 {
		return e
	}
	c.K.pinFile(f)
	defer c.K.unpinFile(c, f)
	return fam.Connect(c, f, a)
}

// PinFiles keeps open files alive for the rest of a call that gives up the
// lock; the answer lets them go. (A pin is no reference: it dies with the server.)
func (c *Call) PinFiles(files []store.Ref[File]) (unpin func()) {
	for _, f := range files {
		c.K.pinFile(f)
	}
	return func() {
		for _, f := range files {
			c.K.unpinFile(c, f)
		}
	}
}
