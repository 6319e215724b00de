package ipc

import "hythe/abi"

// Ask sends a request to a send right and waits for the answer, which comes on
// a port made for it. The request carries the rights. EPIPE: the receiver is
// gone for good.
func (c *Conn) Ask(to abi.Name, id uint32, body []byte, rights ...abi.RightDesc) ([]byte, abi.Errno) {
	port, err := c.MakePort("")
	if err != 0 {
		return nil, err
	}
	defer c.Call(abi.CallPortModRefs, [6]uint64{uint64(port), abi.RightReceive, ^uint64(0)}, nil, nil)
	m, err := c.Exchange(to, &Message{ID: id, Body: body, Rights: rights}, port)
	if err != 0 {
		return nil, err
	}
	if m.ID == abi.MsgNotify+abi.NotifySendOnce {
		return nil, abi.EPIPE
	}
	return m.Body, 0
}
