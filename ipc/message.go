package ipc

import (
	"encoding/binary"

	"hythe/abi"
)

// Message is a message received from a port, without rights and objects but
// the reply right (control protocols carry no more).
type Message struct {
	ID     uint32
	Reply  abi.Name // where to answer, NameNull if nobody waits
	Body   []byte
	Repeat bool // an earlier incarnation had taken it
}

func putMsg(remote abi.Name, rd uint8, local abi.Name, ld uint8, id uint32, body []byte) []byte {
	b := make([]byte, abi.MsgHeaderSize, abi.MsgHeaderSize+len(body))
	le := binary.LittleEndian
	le.PutUint32(b, uint32(remote))
	le.PutUint32(b[4:], uint32(local))
	b[8], b[9] = rd, ld
	le.PutUint32(b[12:], id)
	le.PutUint32(b[28:], uint32(len(body)))
	return append(b, body...)
}

// Receive waits for the next message on a receive right. EPIPE: the right or
// the channel is gone.
func (c *Conn) Receive(name abi.Name) (*Message, abi.Errno) {
	r, err := c.Call(abi.CallMsgReceive, [6]uint64{uint64(name), abi.Forever}, nil, nil)
	if err != 0 {
		return nil, err
	}
	closeAll(r.FDs)
	b := r.Inline
	if len(b) < abi.MsgHeaderSize {
		return nil, abi.EPROTO
	}
	le := binary.LittleEndian
	m := &Message{ID: le.Uint32(b[12:]), Reply: abi.Name(le.Uint32(b[4:])), Repeat: r.A[1] == 1}
	n := int(le.Uint32(b[28:]))
	if n > len(b)-abi.MsgHeaderSize {
		return nil, abi.EPROTO
	}
	m.Body = b[len(b)-n:]
	return m, 0
}

// Answer sends the reply to a message that was received; the right is used up.
func (c *Conn) Answer(m *Message, body []byte) abi.Errno {
	if m.Reply == abi.NameNull || m.Reply == abi.NameDead {
		return 0
	}
	_, err := c.Call(abi.CallMsgSend, [6]uint64{abi.Forever}, putMsg(m.Reply, abi.MoveSendOnce, 0, 0, m.ID, body), nil)
	return err
}

// Ask sends a request to a send right and waits for the answer, which arrives
// on a port made for it. EPIPE: the port is dead.
func (c *Conn) Ask(to abi.Name, id uint32, body []byte) ([]byte, abi.Errno) {
	port, err := c.MakePort("")
	if err != 0 {
		return nil, err
	}
	defer c.Call(abi.CallPortModRefs, [6]uint64{uint64(port), abi.RightReceive, ^uint64(0)}, nil, nil)
	if _, err := c.Call(abi.CallMsgSend, [6]uint64{abi.Forever}, putMsg(to, abi.CopySend, port, abi.MakeSendOnce, id, body), nil); err != 0 {
		return nil, err
	}
	m, err := c.Receive(port)
	if err != 0 {
		return nil, err
	}
	return m.Body, 0
}
