package net

import (
	"sync"
	"sync/atomic"

	"hythe/abi"
	"hythe/ipc"
)

// Client is the client's end. Its methods only start something: they may be
// called with locks held that the done functions take, which are called later, by a
// goroutine of their own or by the one that has the role of the binding's Poller. Bytes that
// done gets are good until it returns; those that were given must stay as they are until
// then.
type Client struct {
	bind func() (*ipc.ClientBinding, error)

	once sync.Once
	way  atomic.Pointer[ipc.ClientBinding] // to the server; nil: none yet, or there is none
}

// NewClient makes a client whose binding is made at the first use.
func NewClient(bind func() (*ipc.ClientBinding, error)) *Client { return &Client{bind: bind} }

// start makes a call, which put fills in, once or twice; got gets its outcome. Without a way to
// the server, and if put says so, got gets no call and an error.
func (c *Client) start(nr uint64, put func(*ipc.Call) (int, abi.Errno), got func(*ipc.Call, abi.Errno)) {
	var k *ipc.Call
	if b := c.way.Load(); b != nil {
		k = b.TryBegin()
	}
	if k != nil {
		if n, e := put(k); e == 0 && k.Post(nr, n, func() { got(k, k.Err()); k.End() }) {
			return
		}
	}
	go func() {
		if k == nil {
			k = c.begin()
		}
		if k == nil {
			got(nil, abi.ENETDOWN)
			return
		}
		defer k.End()
		n, e := put(k)
		if e != 0 {
			got(nil, e)
			return
		}
		got(k, k.Do(nr, n))
	}()
}

// begin waits for the way to the server and for a free slot; nil: there is none.
func (c *Client) begin() *ipc.Call {
	c.once.Do(func() {
		if b, _ := c.bind(); b != nil {
			c.way.Store(b)
		}
	})
	if b := c.way.Load(); b != nil {
		return b.Begin()
	}
	return nil
}

// Events asks for events; their Data are good until done returns.
func (c *Client) Events(incarnation uint64, done func(incarnation uint64, events []Event, e abi.Errno)) {
	c.events(incarnation, func(inc uint64, b []byte, e abi.Errno) {
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

// Send sends bytes; see OpSend.
func (c *Client) Send(id, seq, taken uint64, data []byte, done func(n int, e abi.Errno)) {
	c.send(id, seq, taken, data, func(n int, e abi.Errno) { done(min(n, len(data)), e) })
}

// Recv takes at most n bytes; see OpRecv.
func (c *Client) Recv(id uint64, n int, taken uint64, done func(data []byte, e abi.Errno)) {
	c.recv(id, n, taken, func(b []byte, e abi.Errno) { done(b[:min(len(b), n)], e) })
}
