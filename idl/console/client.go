package console

import (
	"sync"

	"hythe/abi"
	"hythe/ipc"
)

// Client is a client's end. Its methods may be called from any goroutine, also
// with locks held that the done functions take: those are called later, from a
// goroutine of their own.
type Client struct {
	bind func() (*ipc.ClientBinding, error)

	once sync.Once
	b    *ipc.ClientBinding // nil: there is no way to the server

	mu      sync.Mutex
	now     Size // of the terminal; guarded by mu
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
	answered := make(chan abi.Errno)
	c.size(func(z Size, e abi.Errno) {
		c.mu.Lock()
		c.now = z
		c.mu.Unlock()
		answered <- e
	})
	if e := <-answered; e != 0 {
		return e
	}
	c.watchSize(resized)
	return 0
}

// start makes a call, which put fills in; got gets its outcome in a goroutine of its
// own, and the reply's bytes are good until it returns. Without a way to the server, and
// if put says so, got gets no call and an error.
func (c *Client) start(nr uint64, put func(*ipc.Call) (int, abi.Errno), got func(*ipc.Call, abi.Errno)) {
	go func() {
		// Not in the caller's goroutine: the binding may have to be made, and Begin
		// may wait for a slot.
		b := c.way()
		if b == nil {
			got(nil, abi.EPIPE)
			return
		}
		k := b.Begin()
		if k == nil {
			got(nil, abi.EPIPE)
			return
		}
		n, e := put(k)
		if e != 0 {
			k.End()
			got(nil, e)
			return
		}
		started := make(chan struct{})
		err := k.Start(nr, n, func() {
			go func() {
				<-started // the call is not touched any more from there
				got(k, k.Err())
				k.End()
			}()
		})
		close(started)
		if err != nil {
			k.End()
			got(nil, abi.EPIPE)
		}
	}()
}

// Read waits for input and takes at most n bytes; none and no error are the end.
// data is good until done returns.
func (c *Client) Read(stream int, seq uint64, n int, done func(data []byte, e abi.Errno)) {
	c.read(stream, seq, min(n, MaxData), done)
}

// Write writes data, at most MaxData bytes, and tells how much the host took;
// data must stay as it is until done is called.
func (c *Client) Write(stream int, seq uint64, data []byte, done func(n int, e abi.Errno)) {
	data = data[:min(len(data), MaxData)]
	c.write(stream, seq, data, func(n int, e abi.Errno) { done(min(n, len(data)), e) })
}

// Size answers the size of the host's terminal, in characters and pixels; zeros
// if there is none.
func (c *Client) Size() (rows, cols, xpixel, ypixel uint16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now.Rows, c.now.Cols, c.now.XPixel, c.now.YPixel
}

func (c *Client) watchSize(resized func()) {
	c.mu.Lock()
	known := c.now
	c.mu.Unlock()
	c.resize(known, func(z Size, e abi.Errno) {
		if e != 0 {
			return // the server has no terminal any more
		}
		c.mu.Lock()
		c.now = z
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
		restored := make(chan struct{})
		c.setRaw(false, func(abi.Errno) { close(restored) }) // ENOTTY: there is nothing to restore
		<-restored
	}
}

func (c *Client) sendRaw(on bool) {
	c.setRaw(on, func(e abi.Errno) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.raw != on && e == 0 {
			c.sendRaw(c.raw)
			return
		}
		c.setting = false
	})
}
