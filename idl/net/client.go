package net

import (
	"encoding/binary"
	"net/netip"
	"sync"

	"hythe/abi"
	"hythe/ipc"
)

// Client is the client's end. Its methods only start something: they may be
// called with locks held that the done functions take, which are called later, each
// from a goroutine of its own. Bytes that done gets are good until it returns;
// those that were given must stay as they are until then.
type Client struct {
	bind func() (*ipc.ClientBinding, error)

	once sync.Once
	b    *ipc.ClientBinding // nil: there is no way to the server
}

// NewClient makes a client whose binding is made at the first use.
func NewClient(bind func() (*ipc.ClientBinding, error)) *Client { return &Client{bind: bind} }

func (c *Client) start(nr uint64, args [3]uint64, seq uint64, in []byte, done func(result uint64, out []byte, e abi.Errno)) {
	go func() {
		c.once.Do(func() { c.b, _ = c.bind() })
		if c.b == nil {
			done(0, nil, abi.ENETDOWN)
			return
		}
		k := c.b.Begin()
		if k == nil {
			done(0, nil, abi.ENETDOWN)
			return
		}
		defer k.End()
		copy(k.Args[:], args[:])
		k.SetReq(0, seq)
		n := copy(k.In(), in)
		e := k.Do(nr, n)
		done(k.Result(), k.Out(), e)
	}()
}

// Events asks for events; their Data are good until done returns.
func (c *Client) Events(incarnation uint64, done func(incarnation uint64, events []Event, e abi.Errno)) {
	c.start(OpEvents, [3]uint64{incarnation}, 0, nil, func(inc uint64, b []byte, e abi.Errno) {
		var l []Event
		for {
			v, rest, ok := NextEvent(b)
			if !ok {
				break
			}
			l, b = append(l, v), rest
		}
		done(inc, l, e)
	})
}

// Connect is OpConnect.
func (c *Client) Connect(id uint64, to netip.AddrPort, done func(incarnation uint64, e abi.Errno)) {
	c.start(OpConnect, [3]uint64{id}, 0, AppendAddr(nil, to), func(inc uint64, _ []byte, e abi.Errno) { done(inc, e) })
}

// Accept is OpAccept.
func (c *Client) Accept(id, seq uint64, done func(incarnation, id uint64, from netip.AddrPort, e abi.Errno)) {
	c.start(OpAccept, [3]uint64{id}, seq, nil, func(inc uint64, b []byte, e abi.Errno) {
		if e == 0 && len(b) < 8+AddrSize {
			e = abi.EIO
		}
		if e != 0 {
			done(inc, 0, netip.AddrPort{}, e)
			return
		}
		done(inc, binary.LittleEndian.Uint64(b), GetAddr(b[8:]), 0)
	})
}

// Send is OpSend.
func (c *Client) Send(id, seq, taken uint64, data []byte, done func(n int, e abi.Errno)) {
	c.start(OpSend, [3]uint64{id, 0, taken}, seq, data, func(n uint64, _ []byte, e abi.Errno) {
		done(int(min(n, uint64(len(data)))), e)
	})
}

// Recv is OpRecv.
func (c *Client) Recv(id uint64, n int, taken uint64, done func(data []byte, e abi.Errno)) {
	c.start(OpRecv, [3]uint64{id, uint64(n), taken}, 0, nil, func(_ uint64, b []byte, e abi.Errno) {
		done(b[:min(len(b), n)], e)
	})
}

// Shut is OpShut.
func (c *Client) Shut(id uint64, done func(e abi.Errno)) {
	c.start(OpShut, [3]uint64{id}, 0, nil, func(_ uint64, _ []byte, e abi.Errno) { done(e) })
}

// Close is OpClose.
func (c *Client) Close(id uint64, hard bool, done func()) {
	var h uint64
	if hard {
		h = 1
	}
	c.start(OpClose, [3]uint64{id, h}, 0, nil, func(uint64, []byte, abi.Errno) { done() })
}

// SendTo is OpSendTo.
func (c *Client) SendTo(id uint64, connected bool, dgrams []byte, done func(e abi.Errno)) {
	var w uint64
	if connected {
		w = 1
	}
	c.start(OpSendTo, [3]uint64{id, w}, 0, dgrams, func(_ uint64, _ []byte, e abi.Errno) { done(e) })
}

// RecvFrom is OpRecvFrom.
func (c *Client) RecvFrom(id uint64, done func(dgrams []byte, e abi.Errno)) {
	c.start(OpRecvFrom, [3]uint64{id}, 0, nil, func(_ uint64, b []byte, e abi.Errno) { done(b, e) })
}
