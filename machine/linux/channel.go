package linux

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/emul"
	"hythe/machine"
)

// KickSignal is the host signal that interrupts a thread of a guest task.
const KickSignal = emul.KickSignal

// Bounds of what a channel queues for a task that does not read. A guest reads
// only when a reply told it to, so little is enough; a server that inherits
// much gets one datagram for each right at once.
const (
	maxQueueBytes = 64 << 20
	maxQueue      = 1 << 18
	maxQueueGuest = 256
	maxQueuePaced = 8192
	maxBytesPaced = 8 << 20
)

// maxDatagram is the largest datagram of a task: a message with everything.
const maxDatagram = abi.CallHeaderSize + abi.MsgHeaderSize +
	8*abi.MaxRights + 24*abi.MaxObjects + abi.MaxInline

// channel is a control channel and, once known, the process behind it.
type channel struct {
	m  *Machine
	fd int

	mu      sync.Mutex
	key     int32 // of fd at the reactor, 0 once removed
	sink    machine.Sink
	queue   []machine.Datagram // handles retained
	bytes   int
	out     bool // waiting for room
	off     bool // nothing of fd is waited for
	pid     int
	pidfd   int // -1: no process known
	pidKey  int32
	child   bool // a server's own process: it is waited for
	server  bool // a server has the far end: CallHello is nobody's word
	guest   bool // it said CallHello
	paced   bool // Pace was called
	killed  bool
	reason  string
	exited  bool // the sink was told
	threads map[uint64]int
}

// NewChannel implements machine.Machine.
func (m *Machine) NewChannel(sink machine.Sink) (machine.Context, machine.Handle, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("control channel: %w", err)
	}
	err = unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	if err == nil {
		// Linux 6.5: the pidfd comes with the datagram, free of races. Without
		// it the pid is opened when the datagram is read.
		_ = unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_PASSPIDFD, 1)
	}
	c := &channel{m: m, fd: fds[0], sink: sink, pidfd: -1}
	if err == nil {
		c.mu.Lock()
		c.key, err = m.reactor.add(c.fd, unix.EPOLLIN, c)
		c.mu.Unlock()
	}
	if err != nil {
		_ = unix.Close(fds[0])
		_ = unix.Close(fds[1])
		return nil, nil, fmt.Errorf("control channel: %w", err)
	}
	far := newFile(fds[1])
	far.near = c
	return c, far, nil
}

// Post implements machine.Context.
func (c *channel) Post(d machine.Datagram) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.key == 0 {
		return true // it is ending; Exited is on its way
	}
	if len(c.queue) == 0 {
		switch err := c.send(d); err {
		case unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM, unix.ETOOMANYREFS:
		default:
			return true // sent, or the other end is gone: the same
		}
	}
	limit := maxQueue
	bytes := maxQueueBytes
	if c.guest {
		limit = maxQueueGuest
	}
	if c.paced {
		limit, bytes = maxQueuePaced, maxBytesPaced
	}
	if len(c.queue) >= limit || c.bytes+len(d.Bytes) > bytes {
		return false
	}
	d.Bytes = append([]byte(nil), d.Bytes...)
	d.Handles = append([]machine.Handle(nil), d.Handles...)
	for _, h := range d.Handles {
		h.Retain()
	}
	c.queue = append(c.queue, d)
	c.bytes += len(d.Bytes)
	c.wantOut(true)
	return true
}

func (c *channel) wantOut(on bool) {
	if c.out == on || c.key == 0 {
		return
	}
	c.out = on
	c.watch()
}

// watch tells the reactor what to wait for; c.mu is held. A guest has said all
// that it may say by its CallHello: what it writes then is never read, so that
// it fills its own socket and costs the nucleus nothing. Its end is that of its process, and one
// that gives its channel up before is only told nothing any more.
func (c *channel) watch() {
	ev := uint32(unix.EPOLLIN)
	if c.guest || c.paced && len(c.queue) > 0 {
		ev = 0 // the end of the channel (EPOLLHUP) is always told
	}
	if c.out {
		ev |= unix.EPOLLOUT
	}
	switch off := c.guest && c.pidKey != 0 && ev == 0; {
	case off && !c.off:
		c.off = true
		c.m.reactor.leave(c.fd)
		return
	case off:
		return
	case c.off:
		c.off = false
		c.m.reactor.back(c.fd, c.key, ev)
		return
	}
	c.m.reactor.modify(c.fd, c.key, ev)
}

// Pace implements machine.Context.
func (c *channel) Pace() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paced = true
	// Nobody asks any more who speaks, and a pidfd for each datagram is not free.
	_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 0)
	_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_PASSPIDFD, 0)
}

func (c *channel) send(d machine.Datagram) error {
	var oob []byte
	if len(d.Handles) > 0 {
		fds := make([]int, len(d.Handles))
		for i, h := range d.Handles {
			fds[i] = FD(h)
		}
		oob = unix.UnixRights(fds...)
	}
	for {
		_, err := unix.SendmsgN(c.fd, d.Bytes, oob, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if err != unix.EINTR {
			return err
		}
	}
}

// flush sends what was queued.
func (c *channel) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.queue) > 0 && c.key != 0 {
		d := c.queue[0]
		switch err := c.send(d); err {
		case nil:
		case unix.EAGAIN:
			return
		case unix.ENOBUFS, unix.ENOMEM, unix.ETOOMANYREFS:
			// The socket has room, the host has not: being told of room again
			// at once would only spin.
			c.wantOut(false)
			time.AfterFunc(5*time.Millisecond, c.flush)
			return
		default:
			c.dropQueue()
			return
		}
		for _, h := range d.Handles {
			h.Release()
		}
		c.bytes -= len(d.Bytes)
		c.queue[0] = machine.Datagram{}
		c.queue = c.queue[1:]
	}
	c.queue = nil
	c.out = false
	if c.key != 0 {
		c.watch() // what is paced is read again
	}
}

func (c *channel) dropQueue() {
	for _, d := range c.queue {
		for _, h := range d.Handles {
			h.Release()
		}
	}
	c.queue, c.bytes = nil, 0
	c.wantOut(false)
}

// ready implements source: the socket has news.
func (c *channel) ready(events uint32) {
	if events&unix.EPOLLOUT != 0 {
		c.flush()
	}
	if events&(unix.EPOLLHUP|unix.EPOLLERR) != 0 && c.deaf() {
		c.eof()
		return
	}
	if events&^unix.EPOLLOUT != 0 {
		// A few at a time, so that one busy task cannot starve the others.
		for range 32 {
			more, eof := c.receive()
			if eof {
				c.eof()
				return
			}
			if !more || c.deaf() {
				return
			}
		}
	}
}

// deaf says that nothing is read from the channel, now or ever.
func (c *channel) deaf() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.guest || c.paced && len(c.queue) > 0
}

func (c *channel) isGuest() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.guest
}

func (c *channel) isPaced() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.paced
}

// receive takes one datagram from the socket to the sink.
func (c *channel) receive() (more, eof bool) {
	c.mu.Lock()
	if c.key == 0 {
		c.mu.Unlock()
		return false, false
	}
	fd := c.fd
	c.mu.Unlock()
	buf := c.m.reactor.buf[:]
	oob := c.m.reactor.oob[:]
	var n, oobn int
	for {
		var err error
		n, oobn, _, _, err = unix.Recvmsg(fd, buf, oob, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
		// A peer that died before it had read all that it was sent shows so
		// first, once, and only then what it said before.
		if err == unix.EINTR || err == unix.ECONNRESET {
			continue
		}
		if err == unix.EAGAIN {
			return false, false
		}
		if err != nil {
			return false, true
		}
		break
	}
	if n == 0 {
		return false, true
	}
	d := machine.Datagram{Bytes: buf[:n]}
	pid, pidfd := c.control(oob[:oobn], &d)
	if n >= 4 && binary.LittleEndian.Uint32(buf) == abi.CallHello && !c.isPaced() {
		c.hello(pid, pidfd)
	} else if pidfd >= 0 {
		_ = unix.Close(pidfd)
	}
	c.mu.Lock()
	sink := c.sink
	c.mu.Unlock()
	if sink == nil {
		for _, h := range d.Handles {
			h.Release()
		}
		return true, false
	}
	sink.Datagram(d)
	return true, false
}

// control reads what came beside a datagram.
func (c *channel) control(oob []byte, d *machine.Datagram) (pid, pidfd int) {
	pidfd = -1
	if len(oob) == 0 {
		return 0, -1
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0, -1
	}
	for i := range msgs {
		msg := &msgs[i]
		if msg.Header.Level != unix.SOL_SOCKET {
			continue
		}
		switch msg.Header.Type {
		case unix.SCM_CREDENTIALS:
			if cred, err := unix.ParseUnixCredentials(msg); err == nil {
				pid = int(cred.Pid)
			}
		case unix.SCM_RIGHTS:
			if fds, err := unix.ParseUnixRights(msg); err == nil {
				for _, fd := range fds {
					d.Handles = append(d.Handles, newFile(fd))
				}
			}
		case scmPidfd:
			if len(msg.Data) >= 4 {
				pidfd = int(int32(binary.LittleEndian.Uint32(msg.Data)))
			}
		}
	}
	return pid, pidfd
}

// scmPidfd is SCM_PIDFD (include/linux/socket.h).
const scmPidfd = 4

// hello notes the process behind a guest's channel. Only the first one counts.
func (c *channel) hello(pid, pidfd int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pidfd >= 0 || c.server || pid <= 0 {
		if pidfd >= 0 {
			_ = unix.Close(pidfd)
		}
		return
	}
	if pidfd < 0 {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			return // it is dead already: the socket's end says so
		}
		pidfd = fd
	}
	c.guest = true
	c.m.umu.Lock()
	c.m.guests[c] = pid
	c.m.umu.Unlock()
	c.process(pid, pidfd)
	c.watch()
	if c.killed {
		_ = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
	}
}

// process attaches a process; c.mu is held.
func (c *channel) process(pid, pidfd int) {
	c.pid, c.pidfd = pid, pidfd
	key, err := c.m.reactor.add(pidfd, unix.EPOLLIN, (*process)(c))
	if err != nil {
		// Without news of its death it cannot be run.
		_ = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
		c.m.log("pid %d cannot be watched: %v", pid, err)
		return
	}
	c.pidKey = key
}

// served notes that a server is about to get the far end.
func (c *channel) served() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.server = true
}

// shares attaches the process of another channel, in which this one's server runs too. It
// answers whether that was killed meanwhile: then the process must end.
func (c *channel) shares(pid, pidfd int) (killed bool) {
	fd, err := unix.FcntlInt(uintptr(pidfd), unix.F_DUPFD_CLOEXEC, 3)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.m.log("pid %d cannot be watched: %v", pid, err)
		return true
	}
	if c.exited {
		_ = unix.Close(fd)
		return true
	}
	c.process(pid, fd)
	return c.killed
}

// eof: nobody holds the far end any more.
func (c *channel) eof() {
	c.mu.Lock()
	c.unwatch()
	if c.pidfd >= 0 {
		// A process that closed its channel is of no use; its death follows.
		_ = unix.PidfdSendSignal(c.pidfd, unix.SIGKILL, nil, 0)
		c.mu.Unlock()
		return
	}
	e := machine.Exit{Reason: c.reason}
	c.mu.Unlock()
	c.exit(e)
}

// shut closes what is left of a channel when its machine is gone.
func (c *channel) shut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sink = nil
	c.unwatch()
	if c.pidfd >= 0 {
		c.m.reactor.remove(c.pidfd, c.pidKey)
		_ = unix.Close(c.pidfd)
		c.pidfd = -1
	}
}

func (p *process) shut() { (*channel)(p).shut() }

// unwatch stops reading the socket; c.mu is held.
func (c *channel) unwatch() {
	if c.key != 0 {
		c.m.reactor.remove(c.fd, c.key)
		c.key = 0
		c.dropQueue()
		_ = unix.Close(c.fd)
	}
}

// process is a channel as the source of its process's end.
type process channel

// ready implements source: the process ended.
func (p *process) ready(uint32) {
	c := (*channel)(p)
	// What it said before it ended counts.
	for !c.isGuest() {
		more, eof := c.receive()
		if eof || !more {
			break
		}
	}
	c.mu.Lock()
	e := machine.Exit{Reason: c.reason}
	child := c.child
	pid := c.pid
	c.unwatch()
	c.m.reactor.remove(c.pidfd, c.pidKey)
	_ = unix.Close(c.pidfd)
	c.pidfd, c.pidKey = -1, 0
	c.mu.Unlock()
	if child {
		var ws unix.WaitStatus
		for {
			_, err := unix.Wait4(pid, &ws, 0, nil)
			if err != unix.EINTR {
				break
			}
		}
		if ws.Signaled() {
			e.Signal = int(ws.Signal())
		} else {
			e.Code = ws.ExitStatus()
		}
		c.m.forget(c)
	}
	c.exit(e)
}

// exit tells the sink, once.
func (c *channel) exit(e machine.Exit) {
	c.mu.Lock()
	sink := c.sink
	told := c.exited
	c.exited = true
	c.m.umu.Lock()
	delete(c.m.guests, c)
	c.m.umu.Unlock()
	c.sink = nil
	c.mu.Unlock()
	if !told && sink != nil {
		sink.Exited(e)
	}
}

// Kill implements machine.Context. A task that has not introduced itself yet is
// reported dead at once, and killed when it does.
func (c *channel) Kill(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.killed {
		return
	}
	c.killed, c.reason = true, reason
	if c.pidfd >= 0 {
		_ = unix.PidfdSendSignal(c.pidfd, unix.SIGKILL, nil, 0)
		return
	}
	if !c.child {
		c.m.reactor.do(func() { c.exit(machine.Exit{Reason: reason}) })
	}
}

// Close implements machine.Context.
func (c *channel) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sink = nil
	if c.killed && c.pidfd < 0 && !c.child && c.key != 0 {
		return // its process is still to come: it is killed when it says hello
	}
	c.unwatch()
}
