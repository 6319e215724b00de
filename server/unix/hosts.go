package unix

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/idl/net"
	"hythe/ipc"
	"hythe/server/unix/core"
)

// netBackend is the net server, and the host's sockets of streams that it has lent.
type netBackend struct {
	*net.Client
	s      *server
	way    atomic.Pointer[ipc.ClientBinding]
	lender uint64
	tag    uint64 // the last one under which something was granted; used with the core's lock held
}

// hosts are the sockets that were lent, and the host's sets in which they are watched.
type hosts struct {
	socks byObject[hostSock]
	sets  byObject[hostSet]
}

type hostSock struct {
	watched
	in, out uint64 // that were counted
}

// watched is a descriptor at which the poller looks when somebody waits for it.
type watched struct {
	fd, reg int
	arm     func(events uint32) error
	armed   atomic.Uint32 // what for
}

// hostSet is an epoll set of the host's (core.NetBackend).
type hostSet struct {
	watched
	wake int    // an eventfd, which is in it
	data uint64 // of wake; used with the core's lock held
	buf  []unix.EpollEvent
}

// isSet is in the poller's tokens of sets.
const isSet = 1 << 63

// told has the core hear of what the poller has seen.
func (x *hosts) told(k *core.Kernel, r ipc.Ready) {
	o := core.ObjectName(r.Token &^ isSet)
	if r.Token&isSet != 0 {
		if s := x.sets.get(o); s != nil {
			s.armed.Store(0)
		}
		k.HostSetReady(o)
		return
	}
	if h := x.socks.get(o); h != nil {
		h.armed.Store(0)
	}
	k.HostReady(o, hostBits(int16(r.Events)))
}

// watch has the poller look, and waits for it.
func (w *watched) watch(p *ipc.Poller, token uint64) error {
	added := make(chan error, 1)
	p.Soon(func() {
		var err error
		w.reg, w.arm, err = p.AddOnce(w.fd, token)
		added <- err
	})
	return <-added
}

// want arms it for these events, too, unless it is.
func (w *watched) want(events uint32) {
	for {
		is := w.armed.Load()
		if is&events == events {
			return // or it has fired, and whoever waits is about to be told
		}
		if w.armed.CompareAndSwap(is, is|events) {
			_ = w.arm(is | events) // it was added, and is not removed
			return
		}
	}
}

// gone has the poller look no more, and closes the descriptors.
func (w *watched) gone(p *ipc.Poller, others ...int) {
	p.Soon(func() { // for the goroutine in Wait alone
		p.RemoveFD(w.reg)
		ipc.CloseFD(w.fd)
		for _, fd := range others {
			ipc.CloseFD(fd)
		}
	})
}

// lentWithin is how long a grant of which the net server speaks may take to come.
const lentWithin = time.Second

// Lend implements core.NetBackend.
func (n *netBackend) Lend(id, taken uint64, done func(o core.ObjectName, e abi.Errno)) {
	n.tag++
	tag := n.tag
	n.Client.Lend(id, n.lender, taken, tag, func(e abi.Errno) {
		b := n.way.Load()
		if b == nil || e != 0 && e != abi.ECONNRESET {
			if e == 0 {
				e = abi.EIO
			}
			done(0, e)
			return
		}
		go func() { // the caller may be who looks for the grant
			if e != 0 {
				// A server that is dead may have granted it: nobody else would end the connection.
				done(0, e)
			}
			g, late := b.TakeGrant(tag, lentWithin)
			if late != 0 {
				if e == 0 {
					done(0, late)
				}
				return
			}
			o := core.ObjectName(g.Object)
			if e == 0 && n.s.hosts.put(n.s.poller, o, g.FD) == nil {
				done(o, 0)
				return
			}
			ipc.CloseFD(g.FD)
			n.s.posts <- func() { _ = n.s.conn.Deallocate(g.Object) }
			if e == 0 {
				// Nobody would hear of what comes by it: it is received by the net server again.
				done(0, abi.ENOBUFS)
			}
		}()
	})
}

// Adopt implements core.NetBackend.
func (n *netBackend) Adopt(id, taken uint64, o core.ObjectName, done func(incarnation uint64, e abi.Errno)) {
	n.tag++
	tag, b := n.tag, n.way.Load()
	if b == nil {
		go done(0, abi.EIO)
		return
	}
	go func() {
		if e := n.s.conn.Grant(b.ID, abi.Name(o), false, tag); e != 0 {
			done(0, e)
			return
		}
		n.Client.Adopt(id, n.lender, taken, tag, done)
	}()
}

// Reclaim implements core.NetBackend.
func (n *netBackend) Reclaim() { n.Client.Reclaim(n.lender, func(abi.Errno) {}) }

// DropHost implements core.NetBackend.
func (n *netBackend) DropHost(o core.ObjectName) {
	n.s.hosts.drop(n.s.poller, o)
	n.s.posts <- func() { _ = n.s.conn.Deallocate(abi.Name(o)) }
}

// LookHost implements core.NetBackend.
func (n *netBackend) LookHost(o core.ObjectName) uint32 {
	h := n.s.hosts.socks.get(o)
	if h == nil {
		return 0
	}
	return h.look()
}

func (w *watched) look() uint32 {
	p := [1]unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN | unix.POLLOUT | unix.POLLRDHUP}}
	if _, err := unix.Poll(p[:], 0); err != nil {
		return 0
	}
	return hostBits(p[0].Revents)
}

// WaitingHost implements core.NetBackend.
func (n *netBackend) WaitingHost(o core.ObjectName) uint32 {
	h := n.s.hosts.socks.get(o)
	if h == nil {
		return 0
	}
	v, err := unix.IoctlGetInt(h.fd, unix.TIOCINQ)
	if err != nil {
		return 0
	}
	return uint32(v)
}

// PassedHost implements core.NetBackend.
func (n *netBackend) PassedHost(o core.ObjectName) (in, out uint64) {
	h := n.s.hosts.socks.get(o)
	if h == nil {
		return 0, 0
	}
	in, out = h.in, h.out
	h.count()
	return h.in - in, h.out - out
}

// count notes how many bytes have passed. The host has no other count of what was sent than of what
// has arrived.
func (h *hostSock) count() {
	if i, err := unix.GetsockoptTCPInfo(h.fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
		h.in, h.out = i.Bytes_received, i.Bytes_acked
	}
}

// hostBits are the core's bits for those of poll(2) and epoll(7), which have the same.
func hostBits(ev int16) (m uint32) {
	for _, b := range [...]struct {
		host int16
		core uint32
	}{{unix.POLLIN, core.PollIn}, {unix.POLLOUT, core.PollOut}, {unix.POLLERR, core.PollErr}, {unix.POLLHUP, core.PollHup},
		{unix.POLLRDHUP, core.PollRdHup}} {
		if ev&b.host != 0 {
			m |= b.core
		}
	}
	return m
}

// put has the poller look at a socket, which is this server's afterwards; it waits for the poller. An error: it
// cannot be looked at, and is still the caller's.
func (x *hosts) put(p *ipc.Poller, o core.ObjectName, fd int) error {
	h := &hostSock{watched: watched{fd: fd}}
	if err := h.watch(p, uint64(o)); err != nil {
		return err
	}
	h.count()
	x.socks.put(o, h)
	return nil
}

// drop closes a socket here.
func (x *hosts) drop(p *ipc.Poller, o core.ObjectName) {
	if h := x.socks.take(o); h != nil {
		h.gone(p)
	}
}
