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
	h.Stop = t.Stop
	go func() { ended <- c.Run(&h) }()
	go func() { ended <- t.serve(handle) }()
	return <-ended
}

// Taker takes messages from a receive right (or port set) until it is told to stop. Its
// Take and Answer are called by one goroutine, Stop by any.
type Taker struct {
	conn *Conn
	port abi.Name

	mu   sync.Mutex
	id   uint64 // the call that waits, 0 if none does
	over bool
}

// Taker makes one for a receive right.
func (c *Conn) Taker(port abi.Name) *Taker { return &Taker{conn: c, port: port} }

// Stop makes Take answer ECANCELED once what was handed to this task is taken. All else
// stays in the queue.
func (t *Taker) Stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	if t.id != 0 {
		// ESRCH: a message is on its way to Take.
		_, _ = t.conn.Call(abi.CallMsgCancel, [6]uint64{t.id}, nil, nil)
	}
}

// Take waits for a message, as Conn.Receive does. ECANCELED: it was told to stop.
func (t *Taker) Take() (*Message, abi.Errno) {
	return t.call(abi.CallMsgReceive, [6]uint64{uint64(t.port), abi.Forever}, nil)
}

// Answer sends a as Conn.AnswerWith does and takes the next message, by one call of the
// nucleus. An asker that is gone is no error.
func (t *Taker) Answer(m, a *Message) (*Message, abi.Errno) {
	b, err := encodeAnswer(m, a)
	if err != 0 {
		return nil, err
	}
	next, err := t.call(abi.CallMsgSend, [6]uint64{abi.Forever, uint64(t.port), abi.Forever}, b)
	if err == abi.EPIPE {
		t.conn.Deallocate(m.Reply) // a dead name
		return t.Take()            // says it again if it is the channel that is gone
	}
	return next, err
}

func (t *Taker) call(op uint32, args [6]uint64, inline []byte) (*Message, abi.Errno) {
	t.mu.Lock()
	switch {
	case t.over && op == abi.CallMsgReceive:
		t.mu.Unlock()
		return nil, abi.ECANCELED
	case t.over:
		args[1], args[2] = 0, 0 // the answer, and nothing after it
	}
	w, id, err := t.conn.begin(op, args, inline, nil, 0)
	over := t.over
	if err == 0 && !over {
		t.id = id
	}
	t.mu.Unlock()
	if err != 0 {
		return nil, err
	}
	r := w.wait()
	t.mu.Lock()
	t.id = 0
	t.mu.Unlock()
	switch {
	case w.err != 0:
		return nil, w.err
	case over:
		return nil, abi.ECANCELED
	}
	return r.message()
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
