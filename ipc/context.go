package ipc

import (
	"context"

	"hythe/abi"
)

// ReceiveContext is Receive until ctx ends: ETIMEDOUT, ECANCELED. No message is lost by
// that: one that is on its way already is received.
func (c *Conn) ReceiveContext(ctx context.Context, port abi.Name) (*Message, abi.Errno) {
	return c.callContext(ctx, abi.CallMsgReceive, [6]uint64{uint64(port), abi.Forever}, nil)
}

// ExchangeContext is Exchange until ctx ends: ETIMEDOUT, ECANCELED. If the message had not
// been sent by then it is what comes with the error, with the names that its rights have
// now; without one it was sent, and its answer will be the next message on reply.
func (c *Conn) ExchangeContext(ctx context.Context, to abi.Name, m *Message, reply abi.Name) (*Message, abi.Errno) {
	if len(m.Rights) > abi.MaxRights || len(m.Objects) > abi.MaxObjects {
		return nil, abi.EMSGSIZE
	}
	return c.callContext(ctx, abi.CallMsgSend, [6]uint64{abi.Forever, uint64(reply), abi.Forever, 0, uint64(m.Lend)},
		encodeMessage(m, to, abi.CopySend, reply, abi.MakeSendOnce))
}

// SendContext is Send until ctx ends, while there is no room: ETIMEDOUT, ECANCELED, and the
// message as ExchangeContext gives it back.
func (c *Conn) SendContext(ctx context.Context, to abi.Name, m *Message, reply abi.Name) (*Message, abi.Errno) {
	if len(m.Rights) > abi.MaxRights || len(m.Objects) > abi.MaxObjects {
		return nil, abi.EMSGSIZE
	}
	disp := uint8(0)
	if reply != abi.NameNull {
		disp = abi.MakeSendOnce
	}
	return c.callContext(ctx, abi.CallMsgSend, [6]uint64{abi.Forever, 0, 0, 0, uint64(m.Lend)},
		encodeMessage(m, to, abi.CopySend, reply, disp))
}

// callContext makes a call that waits, and ends it with ctx.
func (c *Conn) callContext(ctx context.Context, op uint32, args [6]uint64, inline []byte) (*Message, abi.Errno) {
	why := func() abi.Errno {
		if ctx.Err() == context.DeadlineExceeded {
			return abi.ETIMEDOUT
		}
		return abi.ECANCELED
	}
	if ctx.Err() != nil {
		return nil, why()
	}
	w, id, err := c.begin(op, args, inline, nil, 0)
	if err != 0 {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() {
		_, _ = c.Call(abi.CallMsgCancel, [6]uint64{id}, nil, nil) // ESRCH: its answer is on the way
	})
	r := w.wait()
	stop()
	err = w.err
	if err == abi.ECANCELED {
		err = why()
	}
	if len(r.Inline) == 0 {
		return nil, err
	}
	m, bad := r.message()
	if bad != 0 {
		return nil, bad
	}
	return m, err
}
