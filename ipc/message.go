package ipc

import (
	"encoding/binary"

	"hythe/abi"
)

// Message is a message between tasks as its receiver or sender sees it.
type Message struct {
	Port    abi.Name // receiver: the receive right it came on
	Reply   abi.Name // receiver: the right to answer on, or NameNull
	ID      uint32   // what it asks for
	Seq     uint64   // sender's number, by which a repetition is known
	Again   bool     // receiver: an earlier incarnation had taken it
	Payer   uint64   // receiver: the number of the task that pays for it: of a request, who asks
	Lend    uint32   // sender: bytes of its budget that the receiver may spend until it answers
	Trace   [24]byte // W3C trace context
	Rights  []abi.RightDesc
	Objects []abi.ObjectDesc
	FDs     []int // receiver: one for each object
	Body    []byte
	once    bool // receiver: Reply is a send-once right
}

const (
	rightDescSize  = 8
	objectDescSize = 24
)

// decodeMessage reads a message's wire form; EPROTO when the lengths do not
// agree.
func decodeMessage(b []byte) (*Message, abi.Errno) {
	le := binary.LittleEndian
	if len(b) < abi.MsgHeaderSize {
		return nil, abi.EPROTO
	}
	nr, no, n := int(b[10]), int(b[11]), le.Uint32(b[28:])
	if uint64(len(b)) != uint64(abi.MsgHeaderSize+nr*rightDescSize+no*objectDescSize)+uint64(n) {
		return nil, abi.EPROTO
	}
	m := &Message{Port: abi.Name(le.Uint32(b)), Reply: abi.Name(le.Uint32(b[4:])), ID: le.Uint32(b[12:]), Seq: le.Uint64(b[16:])}
	m.once = m.Reply != abi.NameNull && b[9] == abi.MoveSendOnce
	copy(m.Trace[:], b[32:56])
	b = b[abi.MsgHeaderSize:]
	for range nr {
		m.Rights = append(m.Rights, abi.RightDesc{Name: abi.Name(le.Uint32(b)), Disp: b[4], Kind: b[5]})
		b = b[rightDescSize:]
	}
	for range no {
		m.Objects = append(m.Objects, abi.ObjectDesc{Name: abi.Name(le.Uint32(b)), Flags: le.Uint32(b[4:]), Off: le.Uint64(b[8:]), Len: le.Uint64(b[16:])})
		b = b[objectDescSize:]
	}
	m.Body = b
	return m, 0
}

func encodeMessage(m *Message, remote abi.Name, remoteDisp uint8, local abi.Name, localDisp uint8) []byte {
	le := binary.LittleEndian
	b := make([]byte, 0, abi.MsgHeaderSize+len(m.Rights)*rightDescSize+len(m.Objects)*objectDescSize+len(m.Body))
	b = le.AppendUint32(b, uint32(remote))
	b = le.AppendUint32(b, uint32(local))
	b = append(b, remoteDisp, localDisp, uint8(len(m.Rights)), uint8(len(m.Objects)))
	b = le.AppendUint32(b, m.ID)
	b = le.AppendUint64(b, m.Seq)
	b = le.AppendUint32(b, 0)
	b = le.AppendUint32(b, uint32(len(m.Body)))
	b = append(b, m.Trace[:]...)
	for _, r := range m.Rights {
		b = le.AppendUint32(b, uint32(r.Name))
		b = append(b, r.Disp, r.Kind, 0, 0)
	}
	for _, o := range m.Objects {
		b = le.AppendUint32(b, uint32(o.Name))
		b = le.AppendUint32(b, o.Flags)
		b = le.AppendUint64(b, o.Off)
		b = le.AppendUint64(b, o.Len)
	}
	return append(b, m.Body...)
}

// Receive waits for a message on a receive right (or port set). EPIPE: the
// right or the channel is gone; other errors are the nucleus's.
func (c *Conn) Receive(port abi.Name) (*Message, abi.Errno) {
	r, err := c.Call(abi.CallMsgReceive, [6]uint64{uint64(port), abi.Forever}, nil, nil)
	if err != 0 {
		return nil, err
	}
	return r.message()
}

// message is the message in the answer to a receive.
func (r *Reply) message() (*Message, abi.Errno) {
	m, err := decodeMessage(r.Inline)
	if err != 0 {
		closeAll(r.FDs)
		return nil, err
	}
	m.FDs, m.Again, m.Payer = r.FDs, r.A[1] == 1, r.A[4]
	return m, 0
}

// Send sends a message through a send right, which the task keeps; reply (a
// receive right of the task, or NameNull) gets one answer. It waits while the
// queue is full.
func (c *Conn) Send(to abi.Name, m *Message, reply abi.Name) abi.Errno {
	if len(m.Rights) > abi.MaxRights || len(m.Objects) > abi.MaxObjects {
		return abi.EMSGSIZE
	}
	disp := uint8(0)
	if reply != abi.NameNull {
		disp = abi.MakeSendOnce
	}
	_, err := c.Call(abi.CallMsgSend, [6]uint64{abi.Forever, 0, 0, 0, uint64(m.Lend)}, encodeMessage(m, to, abi.CopySend, reply, disp), nil)
	return err
}

// Exchange sends a message as Send does and, in the same call, waits for the next
// message on reply. EPIPE: the channel is gone, or to is dead, or reply went
// away meanwhile; other errors are the nucleus's.
func (c *Conn) Exchange(to abi.Name, m *Message, reply abi.Name) (*Message, abi.Errno) {
	return c.exchange(to, m, reply, 0)
}

func (c *Conn) exchange(to abi.Name, m *Message, reply abi.Name, flags uint64) (*Message, abi.Errno) {
	if len(m.Rights) > abi.MaxRights || len(m.Objects) > abi.MaxObjects {
		return nil, abi.EMSGSIZE
	}
	r, err := c.Call(abi.CallMsgSend, [6]uint64{abi.Forever, uint64(reply), abi.Forever, flags, uint64(m.Lend)},
		encodeMessage(m, to, abi.CopySend, reply, abi.MakeSendOnce), nil)
	if err != 0 {
		return nil, err
	}
	return r.message()
}

// ExchangeAlone is Exchange for a task of one flow, which takes no message until it
// has the answer: EDEADLK when the answer could never come, because who has to
// give it waits in such a call for this task.
func (c *Conn) ExchangeAlone(to abi.Name, m *Message, reply abi.Name) (*Message, abi.Errno) {
	return c.exchange(to, m, reply, abi.SendAlone)
}

// Answer sends body to a received message's reply right, which is used up.
// EINVAL when the message has none.
func (c *Conn) Answer(m *Message, body []byte) abi.Errno {
	return c.AnswerWith(m, &Message{Body: body})
}

// AnswerWith is Answer with a message that may carry rights and objects. ID, Seq and
// Trace are the request's, but for an ID that is set. EPIPE: who asked is gone, and the
// name of the reply right is given up.
func (c *Conn) AnswerWith(m, a *Message) abi.Errno {
	b, err := encodeAnswer(m, a)
	if err != 0 {
		return err
	}
	_, err = c.Call(abi.CallMsgSend, [6]uint64{abi.Forever}, b, nil)
	if err == abi.EPIPE {
		c.Deallocate(m.Reply) // a dead name
	}
	return err
}

func encodeAnswer(m, a *Message) ([]byte, abi.Errno) {
	if m.Reply == abi.NameNull {
		return nil, abi.EINVAL
	}
	if len(a.Rights) > abi.MaxRights || len(a.Objects) > abi.MaxObjects {
		return nil, abi.EMSGSIZE
	}
	out := *a
	if out.ID == 0 {
		out.ID = m.ID
	}
	out.Seq, out.Trace = m.Seq, m.Trace
	return encodeMessage(&out, m.Reply, abi.MoveSendOnce, abi.NameNull, 0), 0
}

// Req identifies a request for exactly-once execution: Client is a number that the
// client chose for one of its flows of control (the unix server: its thread record),
// Seq counts that flow's requests. 0, 0 marks a request that may be repeated freely.
// Binding is filled in by the receiving side and keeps the numbers of two clients apart.
type Req struct {
	Binding uint64
	Client  uint32
	Seq     uint64
}
