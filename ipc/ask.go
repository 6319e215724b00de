package ipc

import "hythe/abi"

// Ask sends a request to a send right and waits for the answer, which comes on
// a port made for it. The request carries the rights. EPIPE: the receiver is
// gone for good.
func (c *Conn) Ask(to abi.Name, id uint32, body []byte, rights ...abi.RightDesc) ([]byte, abi.Errno) {
	m, err := c.AskWith(to, &Message{ID: id, Body: body, Rights: rights})
	if err != 0 {
		return nil, err
	}
	closeAll(m.FDs)
	return m.Body, 0
}

// AskWith is Ask with a whole message, and a whole one for an answer.
func (c *Conn) AskWith(to abi.Name, q *Message) (*Message, abi.Errno) {
	port, err := c.replyPort()
	if err != 0 {
		return nil, err
	}
	m, err := c.Exchange(to, q, port)
	if err != 0 {
		c.DropReceive(port)
		return nil, err
	}
	c.doneReply(port)
	if m.ID == abi.MsgNotify+abi.NotifySendOnce {
		return nil, abi.EPIPE
	}
	return m, 0
}

// keepReplies is how many ports a guest keeps for answers, between which it is spared
// two calls for each question. (A server keeps none: it may die, and the next
// incarnation would not know what they are.)
const keepReplies = 16

func (c *Conn) replyPort() (abi.Name, abi.Errno) {
	c.mu.Lock()
	if n := len(c.replies); n > 0 {
		port := c.replies[n-1]
		c.replies = c.replies[:n-1]
		c.mu.Unlock()
		return port, 0
	}
	c.mu.Unlock()
	return c.MakePort("")
}

// doneReply takes a port back to which nobody can send any more: its one send-once
// right was used.
func (c *Conn) doneReply(port abi.Name) {
	c.mu.Lock()
	keep := c.names != abi.NameNull && len(c.replies) < keepReplies
	if keep {
		c.replies = append(c.replies, port)
	}
	c.mu.Unlock()
	if !keep {
		c.DropReceive(port)
	}
}

// Later is what a handler of a request answers when its answer comes later.
const Later abi.Errno = 1 << 31

// Drop gives up what a message brought and nobody has taken: rights, objects and
// descriptors.
func (c *Conn) Drop(m *Message) {
	for _, r := range m.Rights {
		switch {
		case r.Name == abi.NameNull || r.Name == abi.NameDead:
		case r.Kind == abi.RightReceive:
			c.DropReceive(r.Name)
		default:
			c.Deallocate(r.Name)
		}
	}
	for _, o := range m.Objects {
		c.Deallocate(o.Name)
	}
	closeAll(m.FDs)
	m.Rights, m.Objects, m.FDs = nil, nil, nil
}

// AskPacked is AskWith for bodies that may be too long for a message (Pack), in both
// directions.
func (c *Conn) AskPacked(to abi.Name, q *Message) (*Message, abi.Errno) {
	p, done, err := c.Pack(q.Body)
	if err != 0 {
		return nil, err
	}
	defer done()
	out := *q
	out.Body, out.Objects = p.Body, p.Objects
	m, err := c.AskWith(to, &out)
	if err != 0 {
		return nil, err
	}
	if m.Body, err = c.Unpack(m); err != 0 {
		c.Drop(m)
		return nil, err
	}
	return m, 0
}
