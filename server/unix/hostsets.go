package unix

import (
	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/ipc"
	"hythe/server/unix/core"
)

// The host's epoll sets of sockets that were lent (core.NetBackend). A task that was granted one can wait by it, and
// nothing else: its filter has no epoll_ctl(2).

// ArmHost implements core.NetBackend.
func (n *netBackend) ArmHost(o core.ObjectName, ev uint32) {
	if h := n.s.hosts.socks.get(o); h != nil {
		h.want(epollBits(ev))
	}
}

// NewHostSet implements core.NetBackend.
func (n *netBackend) NewHostSet(done func(set core.ObjectName, e abi.Errno)) {
	go func() { // the caller may be who looks for the poller, and for the nucleus's answer
		s, err := newHostSet()
		if err != nil {
			done(0, abi.ENFILE)
			return
		}
		name, e := n.s.conn.ImportObject(s.fd, "")
		if e != 0 {
			s.close()
			done(0, e)
			return
		}
		if s.watch(n.s.poller, uint64(name)|isSet) != nil {
			s.close()
			n.s.posts <- func() { _ = n.s.conn.Deallocate(name) }
			done(0, abi.ENOBUFS)
			return
		}
		o := core.ObjectName(name)
		n.s.hosts.sets.put(o, s)
		done(o, 0)
	}()
}

// newHostSet makes one, whose wake-up is in it.
func newHostSet() (*hostSet, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		ipc.CloseFD(fd)
		return nil, err
	}
	s := &hostSet{watched: watched{fd: fd}, wake: wake}
	if err := s.ctl(unix.EPOLL_CTL_ADD, wake, unix.EPOLLIN, 0); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *hostSet) close() {
	ipc.CloseFD(s.fd)
	ipc.CloseFD(s.wake)
}

func (s *hostSet) ctl(op, fd int, events uint32, data uint64) error {
	return unix.EpollCtl(s.fd, op, fd, &unix.EpollEvent{Events: events, Fd: int32(uint32(data)), Pad: int32(uint32(data >> 32))})
}

// DropHostSet implements core.NetBackend.
func (n *netBackend) DropHostSet(set core.ObjectName) {
	if s := n.s.hosts.sets.take(set); s != nil {
		s.gone(n.s.poller, s.wake)
		n.s.posts <- func() { _ = n.s.conn.Deallocate(abi.Name(set)) }
	}
}

// WatchHost implements core.NetBackend.
func (n *netBackend) WatchHost(set, o core.ObjectName, ev uint32, data uint64, again bool) abi.Errno {
	s, h := n.s.hosts.sets.get(set), n.s.hosts.socks.get(o)
	if s == nil || h == nil {
		return abi.EBADF
	}
	op := unix.EPOLL_CTL_ADD
	if again {
		op = unix.EPOLL_CTL_MOD
	}
	if s.ctl(op, h.fd, epollBits(ev), data) != nil {
		return abi.ENOSPC
	}
	return 0
}

// UnwatchHost implements core.NetBackend.
func (n *netBackend) UnwatchHost(set, o core.ObjectName) {
	if s, h := n.s.hosts.sets.get(set), n.s.hosts.socks.get(o); s != nil && h != nil {
		_ = s.ctl(unix.EPOLL_CTL_DEL, h.fd, 0, 0)
	}
}

// WaitHostSet implements core.NetBackend.
func (n *netBackend) WaitHostSet(set core.ObjectName, ev []core.EpollEvent) int {
	if s := n.s.hosts.sets.get(set); s != nil {
		return s.wait(ev)
	}
	return 0
}

func (s *hostSet) wait(ev []core.EpollEvent) (got int) {
	if most := min(len(ev), 512); len(s.buf) < most {
		s.buf = make([]unix.EpollEvent, most)
	}
	n, err := ipc.EpollLook(s.fd, s.buf[:min(len(ev), len(s.buf))])
	if err != nil {
		return 0 // it does not wait, and so no signal ends it
	}
	for _, e := range s.buf[:n] {
		if data := uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32; data != s.data {
			ev[got] = core.EpollEvent{Events: e.Events, Data: data}
			got++
		}
	}
	return got
}

// PollHostSet implements core.NetBackend.
func (n *netBackend) PollHostSet(set core.ObjectName) bool {
	s := n.s.hosts.sets.get(set)
	return s != nil && s.look()&core.PollIn != 0
}

// ArmHostSet implements core.NetBackend.
func (n *netBackend) ArmHostSet(set core.ObjectName) {
	if s := n.s.hosts.sets.get(set); s != nil {
		s.want(unix.EPOLLIN)
	}
}

// WakeHostSet implements core.NetBackend.
func (n *netBackend) WakeHostSet(set core.ObjectName, on bool) {
	s := n.s.hosts.sets.get(set)
	if s == nil {
		return
	}
	var b [8]byte
	if on {
		b[0] = 1
		_, _ = unix.Write(s.wake, b[:])
		return
	}
	_, _ = unix.Read(s.wake, b[:])
}

// WakeData implements core.NetBackend.
func (n *netBackend) WakeData(set core.ObjectName, data uint64) {
	if s := n.s.hosts.sets.get(set); s != nil {
		s.data = data
		_ = s.ctl(unix.EPOLL_CTL_MOD, s.wake, unix.EPOLLIN, data)
	}
}

// epollBits are epoll(7)'s bits for those of the core, which has the same (core.Poll...).
func epollBits(m uint32) uint32 {
	return m & (core.PollIn | core.PollRdNorm | core.PollOut | core.PollWrNorm | core.PollErr | core.PollHup | core.PollRdHup | core.EpollET)
}
