package ipc

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/store/crash"
)

// ControlFD is where a server finds its control channel.
const ControlFD = 3

// ErrClosed: the nucleus closed the control channel.
var ErrClosed = errors.New("ipc: control channel closed")

// Event is a datagram that the nucleus sent unasked. The receiver owns FDs.
type Event struct {
	Op     uint32 // abi.Event...
	A      [6]uint64
	Inline []byte
	FDs    []int
}

// Reply is the answer to a call. The caller owns FDs.
type Reply struct {
	A      [6]uint64
	Inline []byte
	FDs    []int
}

type waiter struct {
	ch    chan struct{}   // nil: nobody waits
	fn    func(abi.Errno) // told of a refusal when nobody waits
	late  chan<- int      // of a batch: where to say i when it is answered; has room
	i     int
	reply Reply
	err   abi.Errno
}

type grantKey struct {
	binding, tag uint64
}

// Grant is a memory object that a server granted on a binding.
type Grant struct {
	Object abi.Name // the client's own name for it
	FD     int
}

// Conn is a task's control channel. Its methods may be called from any
// goroutine, except that events are taken by one at a time (Next, or Run).
type Conn struct {
	link  link
	names abi.Name // guests: see Names

	wmu  sync.Mutex // one datagram at a time is built in wbuf
	wbuf []byte

	mu      sync.Mutex // guards what follows
	nextID  uint64
	calls   map[uint64]*waiter
	events  []Event
	evReady *sync.Cond // on mu
	grants  map[grantKey]Grant
	grReady *sync.Cond
	chosen  abi.Name                  // see choose
	replies []abi.Name                // of a guest: ports that nobody can send to
	clients map[uint64]*ClientBinding // broken when their server is gone for good
	err     error                     // set once: the channel is gone
}

// Dial takes over the control channel at descriptor fd (ControlFD in a server).
func Dial(fd int) (*Conn, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("ipc: control channel: %w", err)
	}
	unix.CloseOnExec(fd)
	l := &socket{file: os.NewFile(uintptr(fd), "control")}
	var err error
	if l.raw, err = l.file.SyscallConn(); err != nil {
		return nil, fmt.Errorf("ipc: control channel: %w", err)
	}
	return newConn(l), nil
}

func newConn(l link) *Conn {
	c := &Conn{link: l, calls: map[uint64]*waiter{}, grants: map[grantKey]Grant{},
		clients: map[uint64]*ClientBinding{},
		wbuf:    make([]byte, abi.CallHeaderSize+abi.MaxInline)}
	c.evReady = sync.NewCond(&c.mu)
	c.grReady = sync.NewCond(&c.mu)
	go c.read()
	return c
}

// link carries datagrams. One goroutine reads, one at a time writes.
type link interface {
	// read takes one datagram; 0 bytes: the channel is gone. It owns fds.
	read(buf []byte) (n int, fds []int, err error)
	write(b []byte, fds []int) error
	close() error
}

// socket is the link of a task that has its channel as a descriptor.
type socket struct {
	file *os.File
	raw  syscall.RawConn
}

func (l *socket) close() error { return l.file.Close() }

func (l *socket) read(buf []byte) (n int, fds []int, err error) {
	var oob [4*abi.MaxObjects + 64]byte
	var oobn, flags int
	var rerr error
	err = l.raw.Read(func(fd uintptr) bool {
		for {
			n, oobn, flags, _, rerr = unix.Recvmsg(int(fd), buf, oob[:unix.CmsgSpace(4*abi.MaxObjects)], unix.MSG_CMSG_CLOEXEC)
			if rerr != unix.EINTR {
				return rerr != unix.EAGAIN
			}
		}
	})
	if err == nil {
		err = rerr
	}
	if err != nil {
		return 0, nil, err
	}
	fds = rights(oob[:oobn])
	if flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		closeAll(fds)
		return 0, nil, fmt.Errorf("ipc: a datagram of more than %d bytes", n)
	}
	return n, fds, nil
}

func (l *socket) write(b []byte, fds []int) error {
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	var werr error
	err := l.raw.Write(func(fd uintptr) bool {
		for {
			_, werr = unix.SendmsgN(int(fd), b, oob, nil, unix.MSG_NOSIGNAL)
			if werr != unix.EINTR {
				return werr != unix.EAGAIN
			}
		}
	})
	if err == nil {
		err = werr
	}
	return err
}

// Close gives the channel up: calls in progress answer EPIPE.
func (c *Conn) Close() error {
	err := c.link.close()
	c.fail(ErrClosed)
	return err
}

func (c *Conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	for id, w := range c.calls {
		delete(c.calls, id)
		w.err = abi.EPIPE
		switch {
		case w.late != nil:
			w.late <- w.i
		case w.ch != nil:
			w.ch <- struct{}{}
		}
	}
	c.evReady.Broadcast()
	c.grReady.Broadcast()
}

// read takes datagrams until the channel ends: replies go to their callers,
// grants to the table, all else to the queue of events.
func (c *Conn) read() {
	buf := make([]byte, abi.CallHeaderSize+abi.MaxInline+1)
	for {
		n, fds, err := c.link.read(buf)
		if err != nil || n == 0 {
			if err == nil {
				err = ErrClosed
			}
			c.fail(err)
			return
		}
		h, inline, ok := decodeHeader(buf[:n])
		if !ok || int(h.NFds) != len(fds) {
			closeAll(fds)
			c.fail(fmt.Errorf("ipc: malformed datagram of %d bytes, %d descriptors, op %d", n, len(fds), h.Op))
			return
		}
		if b := c.deliver(&h, append([]byte(nil), inline...), fds); b != nil {
			b.Break()
		}
	}
}

// client keeps a client binding, so that EventUnbound ends its calls.
func (c *Conn) client(b *ClientBinding) *ClientBinding {
	b.conn = c
	c.mu.Lock()
	c.clients[b.ID] = b
	c.mu.Unlock()
	return b
}

// deliver answers a client binding that is to be broken.
func (c *Conn) deliver(h *abi.CallHeader, inline []byte, fds []int) (broken *ClientBinding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case h.Op == abi.EventReply:
		w := c.calls[h.ID]
		if w == nil {
			closeAll(fds)
			return nil
		}
		delete(c.calls, h.ID)
		if w.late != nil {
			w.reply, w.err = Reply{h.A, inline, fds}, abi.Errno(h.Err)
			w.late <- w.i
			return nil
		}
		if w.ch == nil {
			closeAll(fds)
			if h.Err != 0 {
				go w.fn(abi.Errno(h.Err))
			}
			return nil
		}
		w.reply, w.err = Reply{h.A, inline, fds}, abi.Errno(h.Err)
		w.ch <- struct{}{}
	case h.Op == abi.EventGrant && len(fds) == 1:
		k := grantKey{h.A[0], h.A[3]}
		if old, ok := c.grants[k]; ok { // a repeated grant replaces the first
			_ = unix.Close(old.FD)
		}
		c.grants[k] = Grant{abi.Name(h.A[1]), fds[0]}
		c.grReady.Broadcast()
	default:
		if h.Op == abi.EventUnbound {
			broken = c.clients[h.A[0]]
			delete(c.clients, h.A[0])
		}
		c.events = append(c.events, Event{h.Op, h.A, inline, fds})
		c.evReady.Signal()
	}
	return broken
}

func rights(oob []byte) []int {
	if len(oob) == 0 {
		return nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	var fds []int
	for i := range msgs {
		if f, err := unix.ParseUnixRights(&msgs[i]); err == nil {
			fds = append(fds, f...)
		}
	}
	return fds
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

func (c *Conn) send(h *abi.CallHeader, inline []byte, fds []int) error {
	if len(inline) > abi.MaxInline || len(fds) > abi.MaxObjects {
		return unix.EMSGSIZE
	}
	h.Len, h.NFds = uint32(len(inline)), uint32(len(fds))
	c.wmu.Lock()
	defer c.wmu.Unlock()
	encodeHeader(c.wbuf, h)
	n := abi.CallHeaderSize + copy(c.wbuf[abi.CallHeaderSize:], inline)
	return c.link.write(c.wbuf[:n], fds)
}

// Call asks the nucleus for op (abi.Call...) and waits for its answer. It
// answers EMSGSIZE when inline or fds exceed the limits and EPIPE when the
// channel is gone; other errors are the nucleus's.
func (c *Conn) Call(op uint32, args [6]uint64, inline []byte, fds []int) (Reply, abi.Errno) {
	r, _, err := c.call(op, args, inline, fds, 0)
	return r, err
}

// call is Call with bits that the call's ID has beside its number. It answers the ID.
func (c *Conn) call(op uint32, args [6]uint64, inline []byte, fds []int, bits uint64) (Reply, uint64, abi.Errno) {
	w, id, err := c.begin(op, args, inline, fds, bits)
	if err != 0 {
		return Reply{}, 0, err
	}
	return w.wait(), id, w.err
}

// begin sends a call whose answer is waited for.
func (c *Conn) begin(op uint32, args [6]uint64, inline []byte, fds []int, bits uint64) (*waiter, uint64, abi.Errno) {
	w := &waiter{ch: make(chan struct{}, 1)}
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return nil, 0, abi.EPIPE
	}
	c.nextID++
	id := c.nextID | bits
	c.calls[id] = w
	c.mu.Unlock()
	crash.Point("before a nucleus call")
	if err := c.send(&abi.CallHeader{Op: op, ID: id, A: args}, inline, fds); err != nil {
		c.mu.Lock()
		_, mine := c.calls[id]
		delete(c.calls, id)
		c.mu.Unlock()
		if mine {
			if err == unix.EMSGSIZE {
				return nil, 0, abi.EMSGSIZE
			}
			return nil, 0, abi.EPIPE
		}
	}
	crash.Point("nucleus call sent")
	return w, id, 0
}

// wait waits for the answer; w.err is its error.
func (w *waiter) wait() Reply {
	<-w.ch
	crash.Point("nucleus call answered")
	return w.reply
}

// Post writes the call op into the channel and does not wait for its answer.
// Once it has returned the call takes place even if this task is killed: the
// nucleus hears what a task said before it died. refused is called from a
// goroutine of its own if the nucleus answers an error.
func (c *Conn) Post(op uint32, args [6]uint64, refused func(abi.Errno)) {
	c.post(op, args, nil, refused)
}

func (c *Conn) post(op uint32, args [6]uint64, inline []byte, refused func(abi.Errno)) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return // the nucleus is gone, and with it the machine
	}
	c.nextID++
	id := c.nextID
	c.calls[id] = &waiter{fn: refused}
	c.mu.Unlock()
	crash.Point("before a posted nucleus call")
	if err := c.send(&abi.CallHeader{Op: op, ID: id, A: args}, inline, nil); err != nil {
		c.mu.Lock()
		delete(c.calls, id)
		c.mu.Unlock()
	}
	crash.Point("nucleus call posted")
}

// Next waits for the next event; the error says that the channel is gone.
func (c *Conn) Next() (Event, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.events) == 0 {
		if c.err != nil {
			return Event{}, c.err
		}
		c.evReady.Wait()
	}
	e := c.events[0]
	c.events[0] = Event{}
	c.events = c.events[1:]
	if len(c.events) == 0 {
		c.events = nil
	}
	return e, nil
}

// pushBack puts events in front of the queue.
func (c *Conn) pushBack(list []Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(list, c.events...)
}

// Handlers are what Run calls for events, one at a time, in order. They may
// call the nucleus. A nil handler closes the event's descriptors and drops it.
type Handlers struct {
	Binding  func(*Bound)                           // a new binding (this task serves it, or has it by another's doing)
	Unbound  func(id uint64)                        // the peer of a binding is gone
	Dead     func(name abi.Name, notify uint64)     // a notification asked for with Notify
	TaskDead func(task abi.Name)                    // a task of ours ended on the host
	Message  func(receive abi.Name, message []byte) // abi.MsgHeader and what follows
	Inherit  func(*Right)                           // a right that came later than Startup
	Stop     func()                                 // finish what can be finished
	Other    func(Event)                            // everything else; owns the descriptors

	Ahead int // of ServeWith: see Taker.Ahead
}

// Run dispatches events until the channel ends and answers why.
func (c *Conn) Run(h *Handlers) error {
	for {
		e, err := c.Next()
		if err != nil {
			return err
		}
		keep := false
		switch e.Op {
		case abi.EventBinding:
			if b, err := newBound(&e); err == nil && h.Binding != nil {
				keep = true
				h.Binding(b)
			}
		case abi.EventUnbound:
			if h.Unbound != nil {
				h.Unbound(e.A[0])
			}
		case abi.EventDead:
			if h.Dead != nil {
				h.Dead(abi.Name(e.A[0]), e.A[1])
			}
		case abi.EventTaskDead:
			if h.TaskDead != nil {
				h.TaskDead(abi.Name(e.A[0]))
			}
		case abi.EventMessage:
			if h.Message != nil {
				h.Message(abi.Name(e.A[0]), e.Inline)
			}
		case abi.EventInherit:
			if h.Inherit != nil {
				keep = true
				h.Inherit(newRight(&e))
			}
		case abi.EventStop:
			if h.Stop != nil {
				h.Stop()
			}
		default:
			if h.Other != nil {
				keep = true
				h.Other(e)
			}
		}
		if !keep {
			closeAll(e.FDs)
		}
	}
}

// TakeGrant waits until the object that the server of a binding granted under
// tag has arrived, and hands it over with its descriptor. EIO when it does not
// come within the time, EPIPE when the channel is gone.
func (c *Conn) TakeGrant(binding, tag uint64, within time.Duration) (Grant, abi.Errno) {
	k := grantKey{binding, tag}
	c.mu.Lock()
	defer c.mu.Unlock()
	late := false
	var timer *time.Timer
	for {
		if g, ok := c.grants[k]; ok {
			delete(c.grants, k)
			if timer != nil {
				timer.Stop()
			}
			return g, 0
		}
		if c.err != nil {
			return Grant{}, abi.EPIPE
		}
		if late {
			return Grant{}, abi.EIO
		}
		if timer == nil {
			timer = time.AfterFunc(within, func() {
				c.mu.Lock()
				late = true
				c.mu.Unlock()
				c.grReady.Broadcast()
			})
		}
		c.grReady.Wait()
	}
}
