package fs

import (
	"sync"
	"time"

	"hythe/abi"
	"hythe/ipc"
)

// Client is a file server reached over a binding: it implements Server. Its
// methods may be called from any goroutine and wait for the server's answer,
// across the server's death. Beside the server's own errors they answer EIO
// when the server is gone for good or answers nonsense, and ENAMETOOLONG when
// names do not fit a request.
type Client struct {
	mu   sync.Mutex
	b    *ipc.ClientBinding
	dial func() (*ipc.ClientBinding, error)

	// Of what Lead answers: it has no binding of its own.
	plain *Client
	lead  *ipc.Lead

	local *Local // what asks runs in another server's process, whose Poller has b
}

var _ Server = (*Client)(nil)

// NewClient gives the file server at the other end of b.
func NewClient(b *ipc.ClientBinding) *Client { return &Client{b: b} }

// NewLazyClient gives a file server whose binding is made at the first request;
// while dial fails, requests answer EIO.
func NewLazyClient(dial func() (*ipc.ClientBinding, error)) *Client { return &Client{dial: dial} }

// Lead gives the same file server for the goroutine that has the role of l's Poller, which
// has it still after a call unless l.Pass was called meanwhile. It has no Map.
func (c *Client) Lead(l *ipc.Lead) Server { return &Client{plain: c, lead: l} }

// made gives the binding if there is one.
func (c *Client) made() *ipc.ClientBinding {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.b
}

// Binding gives the binding, making it if need be; nil when that fails.
func (c *Client) Binding() *ipc.ClientBinding {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.b == nil && c.dial != nil {
		if b, err := c.dial(); err == nil {
			c.b = b
		}
	}
	return c.b
}

// begin starts a call.
func (c *Client) begin(r Req) (*ipc.Call, abi.Errno) {
	var k *ipc.Call
	if c.lead == nil {
		if b := c.Binding(); b != nil {
			if c.local.leads() {
				k = b.BeginLead(&c.local.lead)
			} else {
				k = b.Begin()
			}
		}
	} else if b := c.plain.made(); b != nil {
		k = b.BeginLead(c.lead)
	} else {
		c.lead.Pass() // to make a binding is to wait for others
		return c.plain.begin(r)
	}
	if k == nil {
		return nil, abi.EIO
	}
	k.SetReq(r.Client, r.Seq)
	return k, 0
}

// Read implements Server; more than MaxRead bytes take several requests.
func (c *Client) Read(r Req, node NodeID, off uint64, buf []byte) (int, abi.Errno) {
	if c.lead != nil && len(buf) > MaxRead {
		c.lead.Pass() // it is one request's
		return c.plain.Read(r, node, off, buf)
	}
	done := 0
	for {
		part := buf[done:min(done+MaxRead, len(buf))]
		n, err := c.read(r, node, off+uint64(done), part)
		if err != 0 && done == 0 {
			return 0, err
		}
		if done += n; n < len(part) || done == len(buf) || err != 0 {
			return done, 0
		}
	}
}

// Write implements Server; it stores at most MaxWrite bytes, so that one Req is
// one request.
func (c *Client) Write(r Req, node NodeID, off uint64, data []byte) (n int, at, size uint64, err abi.Errno) {
	data = data[:min(len(data), MaxWrite)]
	n, at, size, err = c.write(r, node, off, data)
	if n > len(data) {
		return 0, 0, 0, abi.EIO
	}
	return n, at, size, err
}

// Map implements Server; Tag of the answer is this task's own name for the
// object. See MapFD for a descriptor.
func (c *Client) Map(r Req, node NodeID, use MapUse) (MapOut, abi.Errno) {
	fd, out, err := c.MapFD(r, node, use)
	if err == 0 {
		ipc.CloseFD(fd)
	}
	return out, err
}

// grantTime bounds the wait for a grant that the nucleus has sent already.
const grantTime = 10 * time.Second

// MapFD is Map with a descriptor of the object, which becomes the caller's.
func (c *Client) MapFD(r Req, node NodeID, use MapUse) (fd int, out MapOut, err abi.Errno) {
	if c.lead != nil {
		return -1, out, abi.ENODEV // the grant would be waited for with the role
	}
	c.local.Waits()
	k, err := c.begin(r)
	if err != 0 {
		return -1, out, err
	}
	defer k.End()
	tag := k.Tag()
	if err = k.Do(OpMap, len(storeMap(&k.Args, k.In()[:0], node, use, tag))); err != 0 {
		return -1, out, err
	}
	g, err := c.Binding().TakeGrant(tag, grantTime)
	if err != 0 {
		return -1, out, err
	}
	out.Tag = uint64(g.Object)
	out.Writable, out.Stable, out.UntilWrite, _ = loadMap(k.Result(), k.Out())
	return g.FD, out, 0
}
