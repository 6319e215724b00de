package core

import (
	"hythe/abi"
	"hythe/store"
)

// Sockets for those who show them in another form than by descriptors: open files that
// the caller holds (HoldFile) and gives up (DropFile).

// OpenSocket makes a socket; its open file has no reference yet.
func (c *Call) OpenSocket(family, typ uint32, proto int32) (store.Ref[File], abi.Errno) {
	r, e := c.newSocket(family, typ, proto)
	if e != 0 {
		return 0, e
	}
	f, e := c.holdSocket(r)
	if e != 0 {
		c.K.Socks.Free(r)
	}
	return f, e
}

// AcceptSocket accepts a connection of socket f, as OpenSocket makes one.
func (c *Call) AcceptSocket(f store.Ref[File]) (store.Ref[File], abi.Errno) {
	k := c.K
	k.pinFile(f)
	defer k.unpinFile(c, f)
	fam := k.family(sockOf(k.Files.Get(f)))
	r, e := fam.Accept(c, f)
	if e != 0 {
		return 0, e
	}
	n, e := c.holdSocket(r)
	if e != 0 {
		fam.Release(c, r)
	}
	return n, e
}

func (c *Call) holdSocket(r store.Ref[Socket]) (store.Ref[File], abi.Errno) {
	f, file, e := c.K.NewFile(FileSocket, AccessRead|AccessWrite, 0)
	if e == 0 {
		file.Obj = uint32(r)
		c.K.Socks.Mut(r).HasFile = 1
	}
	return f, e
}

// SocketOf answers the socket of an open file and its family; 0 if it is none.
func (k *Kernel) SocketOf(f store.Ref[File]) (store.Ref[Socket], SockFamily) {
	file := k.Files.Get(f)
	if file == nil || file.Kind != FileSocket {
		return 0, nil
	}
	return sockOf(file), k.family(sockOf(file))
}

// TakeNow takes what there is of a stream, without waiting: 0 and no error is its end,
// EAGAIN: nothing is there. Files that came along are given up.
func (c *Call) TakeNow(f store.Ref[File], buf []byte) (int, abi.Errno) {
	_, fam := c.K.SocketOf(f)
	m := SockRecv{Flags: MsgDontWait}
	n, e := fam.Recv(c, f, buf, &m)
	c.K.DropRights(c, m.Files)
	return n, e
}

// PutNow puts as much into a stream as there is room for, without waiting. EAGAIN.
func (c *Call) PutNow(f store.Ref[File], data []byte) (int, abi.Errno) {
	_, fam := c.K.SocketOf(f)
	return fam.Send(c, f, data, &SockSend{Flags: MsgDontWait | MsgNoSignal})
}

// PinFile keeps an open file from being released while a call works with it, whoever
// gives it up; UnpinFile ends that.
func (c *Call) PinFile(f store.Ref[File]) { c.K.pinFile(f) }

// UnpinFile releases the file if its last reference went meanwhile.
func (c *Call) UnpinFile(f store.Ref[File]) { c.K.unpinFile(c, f) }
