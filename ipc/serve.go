package ipc

import (
	"fmt"

	"hythe/abi"
)

// RequestLabel is the durable label of the port on which a server of an embedding
// program is asked.
const RequestLabel = "requests"

// Serve is the whole of a simple server: it says that it serves (Conn.Ready) and
// hands each message on the server's port to handle, one after the other, until the
// nucleus says stop. What handle answers goes to the sender; nil answers nothing,
// now or ever (a handler that answers later calls Conn.AnswerWith).
//
// A request that was not answered when the server died comes again to its next
// incarnation, with Message.Again set.
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
	ended := make(chan error, 3)
	h.Stop = func() { ended <- nil }
	go func() { ended <- c.Run(&h) }()
	go func() {
		for {
			m, e := c.Receive(port)
			if e != 0 {
				ended <- fmt.Errorf("ipc: receive: %w", e)
				return
			}
			a := handle(m)
			closeAll(m.FDs)
			if a == nil || m.Reply == abi.NameNull {
				continue
			}
			if e := c.AnswerWith(m, a); e != 0 && e != abi.EPIPE {
				ended <- fmt.Errorf("ipc: answer: %w", e)
				return
			}
		}
	}()
	return <-ended
}
