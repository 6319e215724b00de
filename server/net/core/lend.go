package core

import (
	"golang.org/x/sys/unix"

	"hythe/abi"
	proto "hythe/idl/net"
)

// Streams that are lent: the client has the host's socket, too, and gives it to a program's library,
// which sends and receives by it (docs/lending.md). The policy has had its say when it was connected.
// The socket is all that they have: nobody but this server can connect it, or make another one.

// Lend implements proto.Server.
func (c *Core) Lend(r *proto.Request, id, lender, taken, tag uint64) {
	s := c.known(r, id)
	if s == nil {
		return
	}
	c.by(lender)
	e := abi.EAGAIN
	switch {
	case c.link != nil || s.udp || s.published || s.listens || !s.done || s.err != 0 || c.Hands == nil:
		e = abi.EINVAL
	case lender < c.lender || s.lost != 0 || !s.confirm(taken) || len(s.last) > 0:
	default:
		if e = c.Hands.Hand(r.Binding, tag, s.fd); e == 0 && !s.lent {
			c.lend(s)
		}
	}
	r.AnswerLend(e)
}

// Reclaim implements proto.Server.
func (c *Core) Reclaim(r *proto.Request, lender uint64) {
	c.by(lender)
	r.AnswerReclaim(0)
}

// Adopt implements proto.Server.
func (c *Core) Adopt(r *proto.Request, id, lender, taken, tag uint64) {
	c.by(lender)
	r.AnswerAdopt(c.inc, c.adopt(r.Binding, id, taken, tag, lender < c.lender))
}

// adopt takes a socket; late: for nobody any more.
func (c *Core) adopt(binding, id, taken, tag uint64, late bool) abi.Errno {
	if c.Hands == nil || c.link != nil {
		return abi.EINVAL
	}
	fd, e := c.Hands.Take(binding, tag)
	if e != 0 {
		return e
	}
	if c.socks[id] != nil { // asked again
		_ = unix.Close(fd)
		if late {
			return abi.EAGAIN
		}
		return 0
	}
	if late {
		c.drop(fd)
		return abi.EAGAIN
	}
	s, err := c.add(id, fd, false)
	if err != nil {
		c.drop(fd)
		return errno(err)
	}
	s.done, s.base = true, taken
	c.lend(s)
	return 0
}

// drop ends a connection that others have as well, and that no server will know of any more.
func (c *Core) drop(fd int) {
	c.cut(fd)
	_ = unix.Close(fd)
}

// by notes an incarnation of the client. What those before it have asked may come late, and is asked by nobody
// then. What was lent to them stays so until this one receives by it: it knows when a program's library does no more.
func (c *Core) by(lender uint64) { c.lender = max(c.lender, lender) }

// lend has the client, and whoever it gives it to, work with a socket. Who receives or sends by it may wait there: this server
// never does (hostStream).
func (c *Core) lend(s *sock) {
	c.unwatch(s)
	delete(c.ready, s.id)
	s.lent, s.had = true, true
	_ = unix.SetNonblock(s.fd, false)
}

// room has the client told when a socket that is lent has room for what it sends here. It answers e, or why that
// cannot be.
func (c *Core) room(s *sock, e abi.Errno) abi.Errno {
	if s.reg >= 0 {
		return e
	}
	reg, err := c.poll.Add(s.fd, s.id, true)
	if err != nil && e == 0 {
		c.note(s.id, proto.Out) // something was sent: it may try again
		c.tell(false)
		return 0
	}
	if err != nil {
		return errno(err)
	}
	s.reg = reg
	return e
}

// back looks again at what comes by a socket.
func (c *Core) back(s *sock) {
	if !s.lent {
		return
	}
	s.lent = false
	c.unwatch(s)
	reg, err := c.poll.Add(s.fd, s.id, true) // which tells what there is
	if err != nil {
		s.lost = errno(err)
		c.note(s.id, proto.In)
		c.tell(false)
		return
	}
	s.reg = reg
}

// leave ends a stream that others may have as well. Their libraries may close theirs later, and a hostile one
// never: so it ends here, for whoever has it. It is as if this were the last: what was sent goes on its way, unless
// the other end is reset, because it is to be (hard) or something was left unread.
func (c *Core) leave(s *sock, hard bool) {
	if hard || s.unread() {
		c.cut(s.fd)
		return
	}
	_ = unix.Shutdown(s.fd, unix.SHUT_RDWR)
	if s.unread() { // it came in between; from here on the host refuses what comes, by a reset
		c.cut(s.fd)
	}
}

// cut resets a connection for whoever has it.
func (c *Core) cut(fd int) {
	if c.Hands == nil || c.Hands.Cut(fd) != nil {
		// Some hosts refuse it while somebody waits by the socket, which no guest can.
		resetAtEnd(fd)
		_ = unix.Shutdown(fd, unix.SHUT_RDWR)
	}
}

// unread says whether something has come that nobody has taken.
func (s *sock) unread() bool {
	n, err := unix.IoctlGetInt(s.fd, unix.TIOCINQ)
	return err == nil && n > 0
}

// resetAtEnd has the other end reset when the last who has a socket closes it.
func resetAtEnd(fd int) {
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}
