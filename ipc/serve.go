package ipc

import (
	"fmt"
	"sync"

	"hythe/abi"
)

// RequestLabel is the durable label of the port on which a server of an embedding
// program is asked.
const RequestLabel = "requests"

// Serve is the whole of a simple server: it says that it serves (Conn.Ready) and
// hands each message on the server's port to handle, one after the other, until the
// nucleus says stop. What handle answers goes to the sender, if it gave a send-once
// right for it; nil answers nothing, now or ever (a handler that answers later calls
// Conn.AnswerWith).
//
// A request that was not answered when the server died comes again to its next
// incarnation, with Message.Again set; so does one that was not answered when it was
// told to stop. What it has received by then is handed to handle first: nothing is lost
// when a server is replaced.
func Serve(c *Conn, in *Inheritance, handle func(*Message) *Message) error {
	return ServeWith(c, in, Handlers{}, handle)
}

// ServeWith is Serve for a server that wants to know of other events too: h, but for
// its Stop, is called for them, on another goroutine than handle.
func ServeWith(c *Conn, in *Inheritance, h Handlers, handle func(*Message) *Message) error {
	port := in.Receive(RequestLabel)
	if port == abi.NameNull {
		return fmt.Errorf("ipc: no receive right %q", RequestLabel)
	}
	if e := c.Ready(); e != 0 {
		return fmt.Errorf("ipc: ready: %w", e)
	}
	ended := make(chan error, 2)
	t := c.Taker(port)
	t.Ahead = h.Ahead
	h.Stop = t.Stop
	go func() { ended <- c.Run(&h) }()
	go func() { ended <- t.serve(handle) }()
	return <-ended
}

// Taker takes messages from a receive right (or port set) until it is told to stop. Its
// Take and Answer are called by one goroutine, Stop by any.
type Taker struct {
	// Ahead is how many messages are asked for before they are taken, so that those of a
	// full queue come one after the other without a wait between; 0: as 1. It may be set
	// before the first Take. What has come and was not taken when the task dies counts as
	// received, and as what it died of: a request comes again (Message.Again), a message that
	// wants no answer does not.
	Ahead int

	conn *Conn
	port abi.Name

	mu     sync.Mutex
	asked  []receive // in the order in which messages come
	over   bool
	failed abi.Errno // of an answer
}

// receive is a call that waits for a message.
type receive struct {
	*waiter
	id uint64
}

// Taker makes one for a receive right.
func (c *Conn) Taker(port abi.Name) *Taker { return &Taker{conn: c, port: port} }

// Stop makes Take answer ECANCELED once what was handed to this task is taken. All else
// stays in the queue.
func (t *Taker) Stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	// The last one first: what has come to those before is in order, and ESRCH says that a
	// message is on its way to Take.
	b := t.conn.Batch()
	for i := len(t.asked) - 1; i >= 0; i-- {
		_ = b.Add(abi.CallMsgCancel, [6]uint64{t.asked[i].id}, nil)
	}
	if b.Len() > 0 {
		_ = b.Do(func(int, Reply, abi.Errno) {})
	}
}

// Take waits for a message, as Conn.Receive does. ECANCELED: it was told to stop.
func (t *Taker) Take() (*Message, abi.Errno) {
	t.mu.Lock()
	if !t.over && len(t.asked) <= t.Ahead/2 {
		for len(t.asked) < max(t.Ahead, 1) {
			if err := t.ask(abi.CallMsgReceive, [6]uint64{uint64(t.port), abi.Forever}, nil); err != 0 {
				t.mu.Unlock()
				return nil, err
			}
		}
	}
	return t.next()
}

// ask makes a call that receives; t.mu is held.
func (t *Taker) ask(op uint32, args [6]uint64, inline []byte) abi.Errno {
	w, id, err := t.conn.begin(op, args, inline, nil, 0)
	if err == 0 {
		t.asked = append(t.asked, receive{w, id})
	}
	return err
}

// next waits for the first of what was asked for; t.mu is held, and given up.
func (t *Taker) next() (*Message, abi.Errno) {
	if len(t.asked) == 0 || t.failed != 0 {
		defer t.mu.Unlock()
		if t.failed != 0 {
			return nil, t.failed
		}
		return nil, abi.ECANCELED
	}
	w := t.asked[0]
	t.mu.Unlock()
	r := w.wait()
	t.mu.Lock()
	t.asked = t.asked[1:]
	t.mu.Unlock()
	if w.err != 0 {
		return nil, w.err
	}
	return r.message()
}

// Answer sends a as Conn.AnswerWith does and takes the next message, by one call of the
// nucleus if none was asked for ahead. An asker that is gone is no error.
func (t *Taker) Answer(m, a *Message) (*Message, abi.Errno) {
	b, err := encodeAnswer(m, a)
	if err != 0 {
		return nil, err
	}
	t.mu.Lock()
	if t.Ahead <= 1 && !t.over {
		if err := t.ask(abi.CallMsgSend, [6]uint64{abi.Forever, uint64(t.port), abi.Forever}, b); err != 0 {
			t.mu.Unlock()
			return nil, err
		}
		next, err := t.next()
		if err == abi.EPIPE {
			t.conn.Deallocate(m.Reply) // a dead name
			return t.Take()            // says it again if it is the channel that is gone
		}
		return next, err
	}
	t.mu.Unlock()
	// A send-once right has room: nothing waits.
	t.conn.post(abi.CallMsgSend, [6]uint64{abi.Forever}, b, func(err abi.Errno) {
		if err == abi.EPIPE {
			t.conn.Deallocate(m.Reply)
			return
		}
		t.mu.Lock()
		t.failed = err
		t.mu.Unlock()
	})
	return t.Take()
}

// serve hands each message to handle until the Taker is told to stop.
func (t *Taker) serve(handle func(*Message) *Message) error {
	m, e := t.Take()
	for e == 0 {
		a := handle(m)
		closeAll(m.FDs)
		switch {
		case a != nil && m.once:
			m, e = t.Answer(m, a)
			continue
		case a != nil && m.Reply != abi.NameNull:
			// A send right: who wants the answer there has a queue that may be full for
			// ever, or is dead.
			t.conn.Deallocate(m.Reply)
		}
		m, e = t.Take()
	}
	if e == abi.ECANCELED {
		return nil
	}
	return fmt.Errorf("ipc: serve: %w", e)
}
