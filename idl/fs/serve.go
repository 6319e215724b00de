package fs

import (
	"fmt"
	"sync"
	"sync/atomic"

	"hythe/abi"
	"hythe/ipc"
)

// Granter gives the client of a binding a memory object; *ipc.Conn is one.
type Granter interface {
	Grant(binding uint64, object abi.Name, readOnly bool, tag uint64) abi.Errno
}

// Serve is the whole serving side of a file server: it serves all bindings that
// it inherits or gets, says that it is ready, and returns nil when it is told to
// stop, or why the control channel ended. Requests are served one at a time
// unless impl has a method Workers() int that says how many goroutines may call
// it at once (requests then also overtake each other); a method
// Unbind(binding uint64) is told when a client is gone for good.
func Serve(c *ipc.Conn, in *ipc.Inheritance, impl Server) error {
	p, err := ipc.NewPoller()
	if err != nil {
		return err
	}
	crashes, err := ipc.NewCrashes(c, in)
	if err != nil {
		return fmt.Errorf("fs: %w", err)
	}
	s := &service{conn: c, impl: impl, poller: p, crashes: crashes, peers: map[uint64]*peer{}}
	for _, b := range in.Bindings {
		if b.Role == abi.RoleServer {
			if err := s.add(b); err != nil {
				return err
			}
		}
	}
	if w, ok := impl.(interface{ Workers() int }); ok && w.Workers() > 1 {
		s.jobs = make(chan job)
		for range w.Workers() {
			go s.work()
		}
	}
	if e := c.Ready(); e != 0 {
		return fmt.Errorf("fs: ready: %w", e)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- c.Run(&ipc.Handlers{
			Binding: func(b *ipc.Bound) {
				if b.Role == abi.RoleServer {
					_ = s.add(b) // the client of a binding that cannot be mapped hangs itself
				}
			},
			Unbound: s.unbound,
			Stop:    s.stop,
		})
		s.stop()
	}()
	s.loop()
	select {
	case err := <-ended:
		return err
	default:
		return nil
	}
}

type job struct {
	p    *peer
	slot int
}

// peer is a binding in use. A slot that a worker serves keeps it mapped.
type peer struct {
	b    *ipc.ServerBinding
	refs atomic.Int32 // 1 for the service, 1 for each slot at a worker
}

type service struct {
	conn   *ipc.Conn
	impl   Server
	poller *ipc.Poller
	jobs   chan job
	end    atomic.Bool

	crashes *ipc.Crashes

	mu    sync.Mutex // guards what follows
	peers map[uint64]*peer
	gone  []*peer
}

func (s *service) add(b *ipc.Bound) error {
	sb, err := ipc.NewServerBinding(b)
	if err != nil {
		return err
	}
	p := &peer{b: sb}
	p.refs.Store(1)
	sb.User = p
	s.mu.Lock()
	s.peers[sb.ID] = p
	s.mu.Unlock()
	s.poller.Add(sb)
	return nil
}

func (s *service) unbound(id uint64) {
	s.mu.Lock()
	if p := s.peers[id]; p != nil {
		delete(s.peers, id)
		s.gone = append(s.gone, p)
	}
	s.mu.Unlock()
	s.poller.Wake()
}

func (s *service) stop() {
	s.end.Store(true)
	s.poller.Wake()
}

func (p *peer) drop() {
	if p.refs.Add(-1) == 0 {
		p.b.Close()
	}
}

func (s *service) loop() {
	var q ipc.Request
	for !s.end.Load() {
		r := s.poller.Wait(-1)
		switch r.Kind {
		case ipc.ReadySlot:
			p := r.Binding.User.(*peer)
			if s.jobs == nil {
				s.handle(r.Binding, r.Slot, &q)
				continue
			}
			p.refs.Add(1)
			s.jobs <- job{p, r.Slot}
		case ipc.ReadyWake:
			s.mu.Lock()
			gone := s.gone
			s.gone = nil
			s.mu.Unlock()
			for _, p := range gone {
				s.poller.Remove(p.b)
				if u, ok := s.impl.(interface{ Unbind(uint64) }); ok {
					u.Unbind(p.b.ID)
				}
				p.drop()
			}
		}
	}
	if s.jobs != nil {
		close(s.jobs)
	}
}

func (s *service) work() {
	var q ipc.Request
	for j := range s.jobs {
		s.handle(j.p.b, j.slot, &q)
		j.p.drop()
	}
}

// handle serves the request on one slot, unless it crashed this server before.
func (s *service) handle(b *ipc.ServerBinding, slot int, q *ipc.Request) {
	if s.crashes.Refuses(b, slot, q) {
		return
	}
	defer func() {
		if v := recover(); v != nil {
			s.crashes.Note(b.ID, slot, q.Seq)
			panic(v)
		}
	}()
	Handle(b, slot, q, s.impl, s.conn)
}

// Handle serves the request on one slot: it decodes, calls impl and answers. q
// is scratch. A request that makes no sense is answered with EINVAL, an unknown
// operation with ENOSYS.
func Handle(b *ipc.ServerBinding, slot int, q *ipc.Request, impl Server, g Granter) {
	if !b.Load(slot, q) {
		b.Drop(slot)
		return
	}
	result, n, err := uint64(0), 0, abi.EINVAL
	if q.Kind == abi.KindService {
		result, n, err = dispatch(b.ID, q, b.In(slot)[:q.InLen:q.InLen], b.Out(slot), impl, g)
	}
	if err != 0 {
		result, n = 0, 0
	}
	b.Answer(slot, q.Seq, result, err, n)
	b.Complete(slot)
}

// dispatch decodes one request and calls impl. in is shared with the client,
// who may change it at any time: each byte is looked at once.
func dispatch(binding uint64, q *ipc.Request, in, out []byte, impl Server, g Granter) (result uint64, n int, err abi.Errno) {
	a := &q.Args
	r := Req{Binding: binding, Client: uint32(a[6]), Seq: a[7]}
	if a[6]>>32 != 0 {
		return 0, 0, abi.EINVAL
	}
	node := NodeID(a[0])
	entry := func(e Entry, err abi.Errno) (uint64, int, abi.Errno) {
		if err == 0 {
			putEntry(out, &e)
		}
		return 0, entrySize, err
	}
	bytes := func(s string, err abi.Errno) (uint64, int, abi.Errno) {
		if err == 0 && len(s) > len(out) {
			return 0, 0, abi.E2BIG
		}
		return 0, copy(out, s), err
	}
	var name string
	switch q.Nr {
	case opLookup, opMkNod, opMkDir, opSymlink, opLink, opUnlink, opRmDir, opCreate, opRename:
		var ok bool
		if name, in, ok = getName(in); !ok {
			return 0, 0, abi.EINVAL
		}
	case opSetXattr, opGetXattr, opRemoveXattr:
		var ok bool
		if name, in, ok = getString(in); !ok {
			return 0, 0, abi.EINVAL
		}
	}
	switch q.Nr {
	case opLookup:
		return entry(impl.Lookup(r, node, name))
	case opForget:
		impl.Forget(r, node, a[1])
		return 0, 0, 0
	case opGetAttr:
		return entry(impl.GetAttr(r, node))
	case opSetAttr:
		s, ok := getSetAttr(in)
		if !ok {
			return 0, 0, abi.EINVAL
		}
		return entry(impl.SetAttr(r, node, &s))
	case opReadLink:
		return bytes(impl.ReadLink(r, node))
	case opSymlink:
		target, _, ok := getString(in)
		if !ok {
			return 0, 0, abi.EINVAL
		}
		return entry(impl.Symlink(r, node, name, target, unpackCred(a[1])))
	case opMkNod:
		return entry(impl.MkNod(r, node, name, uint32(a[1]), a[2], unpackCred(a[3])))
	case opMkDir:
		return entry(impl.MkDir(r, node, name, uint32(a[1]), unpackCred(a[2])))
	case opUnlink:
		return 0, 0, impl.Unlink(r, node, name)
	case opRmDir:
		return 0, 0, impl.RmDir(r, node, name)
	case opLink:
		return entry(impl.Link(r, node, NodeID(a[1]), name))
	case opRename:
		to, _, ok := getName(in)
		if !ok {
			return 0, 0, abi.EINVAL
		}
		return 0, 0, impl.Rename(r, node, name, NodeID(a[1]), to, uint32(a[2]))
	case opOpen:
		return entry(impl.Open(r, node, a[1]&1 != 0, a[1]&2 != 0))
	case opCreate:
		e, made, err := impl.Create(r, node, name, uint32(a[1]), a[2]&1 != 0, unpackCred(a[3]))
		_, n, err = entry(e, err)
		return flag(made, 1), n, err
	case opCreateTemp:
		return entry(impl.CreateTemp(r, node, uint32(a[1]), unpackCred(a[2])))
	case opRelease:
		impl.Release(r, node)
		return 0, 0, 0
	case opRead:
		if a[2] > MaxRead {
			return 0, 0, abi.EINVAL
		}
		n, err := impl.Read(r, node, a[1], out[:a[2]:a[2]])
		return uint64(n), n, err
	case opWrite:
		n, at, size, err := impl.Write(r, node, a[1], in)
		le.PutUint64(out, at)
		le.PutUint64(out[8:], size)
		return uint64(n), 16, err
	case opReadDir:
		list, err := impl.ReadDir(r, node, a[1], int(min(a[2], uint64(len(out)))))
		if err != 0 {
			return 0, 0, err
		}
		count, n := putDirents(out, list)
		return uint64(count), n, 0
	case opStatfs:
		s, err := impl.Statfs(r, node)
		if err == 0 {
			putStatfs(out, &s)
		}
		return 0, statfsSize, err
	case opFsync:
		return 0, 0, impl.Fsync(r, node, a[1]&1 != 0)
	case opFallocate:
		return entry(impl.Fallocate(r, node, uint32(a[1]), a[2], a[3]))
	case opSeek:
		off, err := impl.Seek(r, node, a[1], uint32(a[2]))
		return off, 0, err
	case opGetXattr:
		v, err := impl.GetXattr(r, node, name)
		return bytes(string(v), err)
	case opSetXattr:
		value, _, ok := getString(in)
		if !ok {
			return 0, 0, abi.EINVAL
		}
		return 0, 0, impl.SetXattr(r, node, name, []byte(value), uint32(a[1]))
	case opListXattr:
		v, err := impl.ListXattr(r, node)
		return bytes(string(v), err)
	case opRemoveXattr:
		return 0, 0, impl.RemoveXattr(r, node, name)
	case opMap:
		m, err := impl.Map(r, node, MapUse(a[1]))
		if err != 0 {
			return 0, 0, err
		}
		if err := g.Grant(binding, abi.Name(m.Tag), !m.Writable, a[2]); err != 0 {
			return 0, 0, err
		}
		return flag(m.Writable, 1) | flag(m.Stable, 2) | flag(m.UntilWrite, 4), 0, 0
	}
	return 0, 0, abi.ENOSYS
}
