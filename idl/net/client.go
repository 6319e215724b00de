package net

import (
	"slices"
	"sync"
	"sync/atomic"

	"hythe/abi"
	"hythe/ipc"
)

// Client is the client's end. Its methods only start something: they may be
// called with locks held that the done functions take, which are called later, by a
// goroutine of their own or by the one that has the role of the binding's Poller. Bytes that
// done gets are good until it returns; those that were given must stay as they are until
// then, but for those of Send.
type Client struct {
	bind func() (*ipc.ClientBinding, error)

	once sync.Once
	b    *ipc.ClientBinding                // nil: there is no way to the server
	way  atomic.Pointer[ipc.ClientBinding] // b, once it is there
}

// NewClient makes a client whose binding is made at the first use.
func NewClient(bind func() (*ipc.ClientBinding, error)) *Client { return &Client{bind: bind} }

// start makes a call, which put fills in; got gets its outcome. Without a way to the
// server, and if put says so, got gets no call and an error.
func (c *Client) start(nr uint64, put func(*ipc.Call) (int, abi.Errno), got func(*ipc.Call, abi.Errno)) {
	if b := c.way.Load(); b != nil {
		if k := b.TryBegin(); k != nil {
			n, e := put(k)
			if e == 0 && k.Post(nr, n, func() { got(k, k.Err()); k.End() }) {
				return
			}
			go func() {
				defer k.End()
				if e != 0 {
					got(nil, e)
					return
				}
				got(k, k.Do(nr, n))
			}()
			return
		}
	}
	go func() {
		c.once.Do(func() {
			if c.b, _ = c.bind(); c.b != nil {
				c.way.Store(c.b)
			}
		})
		if c.b == nil {
			got(nil, abi.ENETDOWN)
			return
		}
		k := c.b.Begin()
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

// Send sends bytes, which the caller may change when this returns; see OpSend.
func (c *Client) Send(id, seq, taken uint64, data []byte, done func(n int, e abi.Errno)) {
	most := len(data)
	got := func(n int, e abi.Errno) { done(min(n, most), e) }
	if b := c.way.Load(); b != nil {
		if k := b.TryBegin(); k != nil {
			if k.Post(OpSend, len(storeSend(&k.Args, k.In()[:0], id, seq, taken, data)), func() {
				n, _ := loadSend(k.Result(), k.Out())
				e := k.Err()
				k.End()
				got(n, e)
			}) {
				return
			}
			k.End()
		}
	}
	c.send(id, seq, taken, slices.Clone(data), got)
}

// Recv takes at most n bytes; see OpRecv.
func (c *Client) Recv(id uint64, n int, taken uint64, done func(data []byte, e abi.Errno)) {
	c.recv(id, n, taken, func(b []byte, e abi.Errno) { done(b[:min(len(b), n)], e) })
}
