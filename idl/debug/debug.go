package debug

import (
	"hythe/abi"
	"hythe/ipc"
)

// Next waits for an exception on a port; answer it with Continue.
func Next(c *ipc.Conn, port abi.Name) (*ipc.Message, *Exception, abi.Errno) {
	m, e := c.Receive(port)
	if e != 0 {
		return nil, nil, e
	}
	// All kinds have one form.
	x, e := DecodeFault(m)
	if e != 0 {
		return nil, nil, abi.EPROTO
	}
	return m, &x, 0
}

// Continue answers an exception: the thread goes on with r; nil: it was not ours.
func Continue(c *ipc.Conn, m *ipc.Message, r *abi.Regs) abi.Errno {
	a := Answer{}
	if r != nil {
		a = Answer{Taken: 1, Regs: *r}
	}
	return c.AnswerWith(m, EncodeFaultAnswer(&a, 0))
}
