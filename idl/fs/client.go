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
}

var _ Server = (*Client)(nil)

// NewClient gives the file server at the other end of b.
func NewClient(b *ipc.ClientBinding) *Client { return &Client{b: b} }

// NewLazyClient gives a file server whose binding is made at the first request;
// while dial fails, requests answer EIO.
func NewLazyClient(dial func() (*ipc.ClientBinding, error)) *Client { return &Client{dial: dial} }

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

// begin starts a call with its arguments and strings; nil when it cannot.
func (c *Client) begin(r Req, a0, a1, a2, a3 uint64, strs ...string) (*ipc.Call, int, abi.Errno) {
	b := c.Binding()
	if b == nil {
		return nil, 0, abi.EIO
	}
	k := b.Begin()
	if k == nil {
		return nil, 0, abi.EIO
	}
	k.Args = [8]uint64{a0, a1, a2, a3}
	k.SetReq(r.Client, r.Seq)
	if len(strs) == 0 {
		return k, 0, 0
	}
	n, ok := putStrings(k.In(), strs...)
	if !ok {
		k.End()
		return nil, 0, abi.ENAMETOOLONG
	}
	return k, n, 0
}

// simple is an operation without an answer but its error and result.
func (c *Client) simple(op uint64, r Req, a0, a1, a2, a3 uint64, strs ...string) (uint64, abi.Errno) {
	k, n, err := c.begin(r, a0, a1, a2, a3, strs...)
	if err != 0 {
		return 0, err
	}
	defer k.End()
	err = k.Do(op, n)
	return k.Result(), err
}

// entry is an operation that answers an Entry.
func (c *Client) entry(op uint64, r Req, a0, a1, a2, a3 uint64, strs ...string) (e Entry, result uint64, err abi.Errno) {
	k, n, err := c.begin(r, a0, a1, a2, a3, strs...)
	if err != 0 {
		return e, 0, err
	}
	defer k.End()
	return finish(k, op, n)
}

func finish(k *ipc.Call, op uint64, n int) (e Entry, result uint64, err abi.Errno) {
	if err = k.Do(op, n); err != 0 {
		return e, 0, err
	}
	e, ok := getEntry(k.Out())
	if !ok {
		return Entry{}, 0, abi.EIO
	}
	return e, k.Result(), 0
}

// bytes is an operation that answers bytes.
func (c *Client) bytes(op uint64, r Req, node NodeID, strs ...string) ([]byte, abi.Errno) {
	k, n, err := c.begin(r, uint64(node), 0, 0, 0, strs...)
	if err != 0 {
		return nil, err
	}
	defer k.End()
	if err = k.Do(op, n); err != 0 {
		return nil, err
	}
	return append([]byte(nil), k.Out()...), 0
}

// Lookup implements Server.
func (c *Client) Lookup(r Req, dir NodeID, name string) (Entry, abi.Errno) {
	e, _, err := c.entry(opLookup, r, uint64(dir), 0, 0, 0, name)
	return e, err
}

// Forget implements Server.
func (c *Client) Forget(r Req, node NodeID, n uint64) {
	_, _ = c.simple(opForget, r, uint64(node), n, 0, 0)
}

// GetAttr implements Server.
func (c *Client) GetAttr(r Req, node NodeID) (Entry, abi.Errno) {
	e, _, err := c.entry(opGetAttr, r, uint64(node), 0, 0, 0)
	return e, err
}

// SetAttr implements Server.
func (c *Client) SetAttr(r Req, node NodeID, in *SetAttrIn) (Entry, abi.Errno) {
	k, _, err := c.begin(r, uint64(node), 0, 0, 0)
	if err != 0 {
		return Entry{}, err
	}
	defer k.End()
	putSetAttr(k.In(), in)
	e, _, err := finish(k, opSetAttr, setAttrSize)
	return e, err
}

// ReadLink implements Server.
func (c *Client) ReadLink(r Req, node NodeID) (string, abi.Errno) {
	b, err := c.bytes(opReadLink, r, node)
	return string(b), err
}

// MkNod implements Server.
func (c *Client) MkNod(r Req, dir NodeID, name string, mode uint32, rdev uint64, cr Cred) (Entry, abi.Errno) {
	e, _, err := c.entry(opMkNod, r, uint64(dir), uint64(mode), rdev, packCred(cr), name)
	return e, err
}

// MkDir implements Server.
func (c *Client) MkDir(r Req, dir NodeID, name string, mode uint32, cr Cred) (Entry, abi.Errno) {
	e, _, err := c.entry(opMkDir, r, uint64(dir), uint64(mode), packCred(cr), 0, name)
	return e, err
}

// Symlink implements Server.
func (c *Client) Symlink(r Req, dir NodeID, name, target string, cr Cred) (Entry, abi.Errno) {
	e, _, err := c.entry(opSymlink, r, uint64(dir), packCred(cr), 0, 0, name, target)
	return e, err
}

// Link implements Server.
func (c *Client) Link(r Req, node, dir NodeID, name string) (Entry, abi.Errno) {
	e, _, err := c.entry(opLink, r, uint64(node), uint64(dir), 0, 0, name)
	return e, err
}

// Unlink implements Server.
func (c *Client) Unlink(r Req, dir NodeID, name string) abi.Errno {
	_, err := c.simple(opUnlink, r, uint64(dir), 0, 0, 0, name)
	return err
}

// RmDir implements Server.
func (c *Client) RmDir(r Req, dir NodeID, name string) abi.Errno {
	_, err := c.simple(opRmDir, r, uint64(dir), 0, 0, 0, name)
	return err
}

// Rename implements Server.
func (c *Client) Rename(r Req, from NodeID, oldName string, to NodeID, newName string, flags uint32) abi.Errno {
	_, err := c.simple(opRename, r, uint64(from), uint64(to), uint64(flags), 0, oldName, newName)
	return err
}

// Open implements Server.
func (c *Client) Open(r Req, node NodeID, write, trunc bool) (Entry, abi.Errno) {
	e, _, err := c.entry(opOpen, r, uint64(node), flag(write, 1)|flag(trunc, 2), 0, 0)
	return e, err
}

// Create implements Server.
func (c *Client) Create(r Req, dir NodeID, name string, mode uint32, excl bool, cr Cred) (Entry, bool, abi.Errno) {
	e, made, err := c.entry(opCreate, r, uint64(dir), uint64(mode), flag(excl, 1), packCred(cr), name)
	return e, made != 0, err
}

// CreateTemp implements Server.
func (c *Client) CreateTemp(r Req, dir NodeID, mode uint32, cr Cred) (Entry, abi.Errno) {
	e, _, err := c.entry(opCreateTemp, r, uint64(dir), uint64(mode), packCred(cr), 0)
	return e, err
}

// Release implements Server.
func (c *Client) Release(r Req, node NodeID) {
	_, _ = c.simple(opRelease, r, uint64(node), 0, 0, 0)
}

// Read implements Server; more than MaxRead bytes take several requests.
func (c *Client) Read(r Req, node NodeID, off uint64, buf []byte) (int, abi.Errno) {
	k, _, err := c.begin(r, uint64(node), 0, 0, 0)
	if err != 0 {
		return 0, err
	}
	defer k.End()
	done := 0
	for {
		want := min(len(buf)-done, MaxRead)
		k.Args[1], k.Args[2] = off+uint64(done), uint64(want)
		if err := k.Do(opRead, 0); err != 0 {
			if done > 0 {
				return done, 0
			}
			return 0, err
		}
		got := copy(buf[done:done+want], k.Out())
		done += got
		if got < want || done == len(buf) {
			return done, 0
		}
	}
}

// Write implements Server; it stores at most MaxWrite bytes, so that one Req is
// one request.
func (c *Client) Write(r Req, node NodeID, off uint64, data []byte) (n int, at, size uint64, err abi.Errno) {
	k, _, err := c.begin(r, uint64(node), off, 0, 0)
	if err != 0 {
		return 0, 0, 0, err
	}
	defer k.End()
	if len(data) > MaxWrite {
		data = data[:MaxWrite]
	}
	copy(k.In(), data)
	if err = k.Do(opWrite, len(data)); err != 0 {
		return 0, 0, 0, err
	}
	out := k.Out()
	if len(out) < 16 || k.Result() > uint64(len(data)) {
		return 0, 0, 0, abi.EIO
	}
	return int(k.Result()), le.Uint64(out), le.Uint64(out[8:]), 0
}

// ReadDir implements Server.
func (c *Client) ReadDir(r Req, dir NodeID, cookie uint64, max int) ([]DirEntry, abi.Errno) {
	k, _, err := c.begin(r, uint64(dir), cookie, uint64(max), 0)
	if err != 0 {
		return nil, err
	}
	defer k.End()
	if err = k.Do(opReadDir, 0); err != 0 {
		return nil, err
	}
	list, ok := getDirents(k.Out(), k.Result())
	if !ok {
		return nil, abi.EIO
	}
	return list, 0
}

// Statfs implements Server.
func (c *Client) Statfs(r Req, node NodeID) (Statfs, abi.Errno) {
	k, _, err := c.begin(r, uint64(node), 0, 0, 0)
	if err != 0 {
		return Statfs{}, err
	}
	defer k.End()
	if err = k.Do(opStatfs, 0); err != 0 {
		return Statfs{}, err
	}
	s, ok := getStatfs(k.Out())
	if !ok {
		return s, abi.EIO
	}
	return s, 0
}

// Fsync implements Server.
func (c *Client) Fsync(r Req, node NodeID, dataOnly bool) abi.Errno {
	_, err := c.simple(opFsync, r, uint64(node), flag(dataOnly, 1), 0, 0)
	return err
}

// Fallocate implements Server.
func (c *Client) Fallocate(r Req, node NodeID, mode uint32, off, length uint64) (Entry, abi.Errno) {
	e, _, err := c.entry(opFallocate, r, uint64(node), uint64(mode), off, length)
	return e, err
}

// Seek implements Server.
func (c *Client) Seek(r Req, node NodeID, off uint64, whence uint32) (uint64, abi.Errno) {
	return c.simple(opSeek, r, uint64(node), off, uint64(whence), 0)
}

// GetXattr implements Server.
func (c *Client) GetXattr(r Req, node NodeID, name string) ([]byte, abi.Errno) {
	return c.bytes(opGetXattr, r, node, name)
}

// SetXattr implements Server. E2BIG when the value does not fit a request.
func (c *Client) SetXattr(r Req, node NodeID, name string, value []byte, flags uint32) abi.Errno {
	if len(value) > MaxWrite/2 {
		return abi.E2BIG
	}
	_, err := c.simple(opSetXattr, r, uint64(node), uint64(flags), 0, 0, name, string(value))
	return err
}

// ListXattr implements Server.
func (c *Client) ListXattr(r Req, node NodeID) ([]byte, abi.Errno) {
	return c.bytes(opListXattr, r, node)
}

// RemoveXattr implements Server.
func (c *Client) RemoveXattr(r Req, node NodeID, name string) abi.Errno {
	_, err := c.simple(opRemoveXattr, r, uint64(node), 0, 0, 0, name)
	return err
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
	k, _, err := c.begin(r, uint64(node), uint64(use), 0, 0)
	if err != 0 {
		return -1, out, err
	}
	defer k.End()
	tag := k.Tag()
	k.Args[2] = tag
	if err = k.Do(opMap, 0); err != 0 {
		return -1, out, err
	}
	g, err := c.Binding().TakeGrant(tag, grantTime)
	if err != 0 {
		return -1, out, err
	}
	f := k.Result()
	return g.FD, MapOut{Tag: uint64(g.Object), Writable: f&1 != 0, Stable: f&2 != 0, UntilWrite: f&4 != 0}, 0
}
