package console

import (
	"sync"

	"hythe/abi"
	"hythe/ipc"
)

// Slots is how many slots a client's binding needs: one for each stream and
// operation, twice, since those of a dead incarnation may linger.
const Slots = 32

// Client is a client's end. Its methods may be called from any goroutine, also
// with locks held that the done functions take: those are called later, from a
// goroutine of their own.
type Client struct {
	bind func() (*ipc.ClientBinding, error)

	once sync.Once
	b    *ipc.ClientBinding // nil: there is no way to the server

	mu      sync.Mutex
	size    Size // guarded by mu
	raw     bool // wanted; guarded by mu
	setting bool // a SetRaw is under way; guarded by mu
}

// NewClient makes a client whose binding is made at the first request; bind is
// called once, from any goroutine. So a server that nobody asks anything is not
// started either.
func NewClient(bind func() (*ipc.ClientBinding, error)) *Client { return &Client{bind: bind} }

// way answers the binding, nil if it cannot be made.
func (c *Client) way() *ipc.ClientBinding {
	c.once.Do(func() { c.b, _ = c.bind() })
	return c.b
}

// WatchTerminal asks for the terminal's size, and then watches it: resized is
// called after each change (nil: not wanted). For streams of which one is a terminal.
func (c *Client) WatchTerminal(resized func()) abi.Errno {
	b := c.way()
	if b == nil {
		return abi.EPIPE
	}
	if e := b.Call(OpSize, 0, 0, [6]uint64{}, nil, func(w uint64, _ []byte) {
		c.mu.Lock()
		c.size = SizeOf(w)
		c.mu.Unlock()
	}); e != 0 {
		return e
	}
	c.watchSize(resized)
	return 0
}

// start sends a call; done gets its outcome in a goroutine of its own, and the
// reply's bytes are good until it returns.
func (c *Client) start(nr uint64, args [2]uint64, seq uint64, in []byte, done func(result uint64, data []byte, e abi.Errno)) {
	go func() {
		// Not in the caller's goroutine: the binding may have to be made, and Begin
		// may wait for a slot.
		b := c.way()
		if b == nil {
			done(0, nil, abi.EPIPE)
			return
		}
		k := b.Begin()
		if k == nil {
			done(0, nil, abi.EPIPE)
			return
		}
		k.Args[0], k.Args[1] = args[0], args[1]
		k.SetReq(uint32(args[0]), seq)
		n := copy(k.In(), in)
		started := make(chan struct{})
		err := k.Start(nr, n, func() {
			go func() {
				<-started // the call is not touched any more from there
				done(k.Result(), k.Out(), k.Err())
				k.End()
			}()
		})
		close(started)
		if err != nil {
			k.End()
			done(0, nil, abi.EPIPE)
		}
	}()
}

// Read waits for input and takes at most n bytes; none and no error are the end.
// data is good until done returns.
func (c *Client) Read(stream int, seq uint64, n int, done func(data []byte, e abi.Errno)) {
	c.start(OpRead, [2]uint64{uint64(stream), uint64(min(n, MaxData))}, seq, nil, func(_ uint64, data []byte, e abi.Errno) {
		done(data, e)
	})
}

// Write writes data, at most MaxData bytes, and tells how much the host took;
// data must stay as it is until done is called.
func (c *Client) Write(stream int, seq uint64, data []byte, done func(n int, e abi.Errno)) {
	data = data[:min(len(data), MaxData)]
	c.start(OpWrite, [2]uint64{uint64(stream), 0}, seq, data, func(n uint64, _ []byte, e abi.Errno) {
		done(int(min(n, uint64(len(data)))), e)
	})
}

// Watch waits until Read would not wait; it takes nothing.
func (c *Client) Watch(stream int, done func()) {
	c.start(OpWatch, [2]uint64{uint64(stream), 0}, 0, nil, func(uint64, []byte, abi.Errno) { done() })
}

// Size answers the size of the host's terminal, in characters and pixels; zeros
// if there is none.
func (c *Client) Size() (rows, cols, xpixel, ypixel uint16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.size.Rows, c.size.Cols, c.size.XPixel, c.size.YPixel
}

func (c *Client) watchSize(resized func()) {
	c.mu.Lock()
	known := c.size
	c.mu.Unlock()
	c.start(OpResize, [2]uint64{known.Word(), 0}, 0, nil, func(w uint64, _ []byte, e abi.Errno) {
		if e != 0 {
			return // the server has no terminal any more
		}
		c.mu.Lock()
		c.size = SizeOf(w)
		c.mu.Unlock()
		if resized != nil {
			resized()
		}
		c.watchSize(resized)
	})
}

// SetRaw turns the host's terminal to raw mode or back. Calls take effect in
// their order; one that a later one overtakes may be left out.
func (c *Client) SetRaw(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw = on
	if !c.setting {
		c.setting = true
		c.sendRaw(on)
	}
}

// Restore sets the host's terminal as it was, if SetRaw changed it, and returns
// when that is done.
func (c *Client) Restore() {
	c.mu.Lock()
	raw := c.raw
	c.raw = false
	c.mu.Unlock()
	if raw {
		if b := c.way(); b != nil {
			_ = b.Call(OpSetRaw, 0, 0, [6]uint64{}, nil, nil) // ENOTTY: there is nothing to restore
		}
	}
}

func (c *Client) sendRaw(on bool) {
	var w uint64
	if on {
		w = 1
	}
	c.start(OpSetRaw, [2]uint64{w, 0}, 0, nil, func(_ uint64, _ []byte, e abi.Errno) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.raw != on && e == 0 {
			c.sendRaw(c.raw)
			return
		}
		c.setting = false
	})
}
