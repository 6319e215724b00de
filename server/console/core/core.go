// Package core is the console server without ports: it carries out the requests
// of idl/console on the host's streams, and keeps in its state of record what a
// next incarnation needs to answer each numbered request once.
package core

import (
	"fmt"
	"sync"

	"hythe/abi"
	"hythe/idl/console"
	"hythe/store"
)

// Version is the number of the state's tables.
const Version = 2

// Host is the host's side of the streams. Wait and Read may block; every
// method may be called from any goroutine, Read and Write of a stream by one
// at a time.
type Host interface {
	// Wait returns when a Read (or Write) of the stream would not wait, or has
	// failed for good.
	Wait(stream int, write bool)
	// Read and Write are one read(2) or write(2), ReadAt one pread(2).
	Read(stream int, buf []byte) (int, abi.Errno)
	ReadAt(stream int, buf []byte, off int64) (int, abi.Errno)
	Write(stream int, data []byte) (int, abi.Errno)
	// Offset is the stream's file offset, or -1 if it has none.
	Offset(stream int) int64
	Info(stream int) console.Info
	// Size is the terminal's, zero if there is none.
	Size() console.Size
	// SetRaw sets the terminal raw or as it was before Hythe. ENOTTY.
	SetRaw(on bool) abi.Errno
}

// request is a Read, Watch or Write that is under way.
type request struct {
	*console.Request
	seq uint64 // 0: not numbered
	n   int    // Read: how much
	in  []byte // Write: what; private to the request
}

// reply answers it. c.mu held.
func (r *request) reply(n int, data []byte, e abi.Errno) {
	switch r.Nr {
	case console.OpRead:
		r.AnswerRead(data, e)
	case console.OpWrite:
		r.AnswerWrite(n, e)
	default:
		r.AnswerWatch(e)
	}
}

// sizing is a Resize that waits.
type sizing struct {
	*console.Request
	known console.Size
}

// Panicked goes on with a panic, v, that serving the request has caused, when it is
// noted. r may be nil.
func Panicked(r *console.Request, v any) {
	if r != nil && r.Crashed != nil {
		r.Crashed()
	}
	panic(v)
}

// panicked is Panicked of the request that is r then.
func panicked(r **request) {
	if v := recover(); v != nil {
		if *r == nil {
			panic(v)
		}
		Panicked((*r).Request, v)
	}
}

// record is what the state keeps for one stream and direction of a client.
type record struct {
	Binding uint64
	Stream  uint32
	Write   uint32
	// The last numbered request that is finished, and its answer; of a Read the
	// bytes are in Buf.
	Seq uint64
	N   uint64
	Err uint32
	_   uint32
	Buf store.Block
	// A Write under way: its number, what is written for certain, and the
	// chunk that is at the host (Flight bytes, from file offset Off). A Read of
	// what has an offset that is under way: its number, and where it began.
	Cur    uint64
	Done   uint64
	Flight uint64
	Off    int64
}

type recordRef = store.Ref[record]

// maxClients bounds how many clients a console has; more are refused.
const maxClients = 8

// Core is a console. Its methods may be called from any goroutine.
type Core struct {
	host Host

	mu      sync.Mutex // guards all that follows, and the heap
	h       *store.Heap
	records *store.Table[record]
	streams [console.Streams]stream
	size    console.Size
	resize  map[uint64]sizing // by binding
}

// stream is what is under way; guarded by Core.mu.
type stream struct {
	read, watch, write    *request
	inWork, outWork       *sync.Cond
	inRunning, outRunning bool
}

// New opens the console over its state.
func New(h *store.Heap, host Host) *Core {
	c := &Core{host: host, h: h, records: store.NewTable[record](h, 1, maxClients*console.Streams*2), resize: map[uint64]sizing{}}
	for i := range c.streams {
		c.streams[i].inWork = sync.NewCond(&c.mu)
		c.streams[i].outWork = sync.NewCond(&c.mu)
	}
	c.size = host.Size()
	return c
}

// Handle carries a request out, now or later. Its Reply is called once, with the core's
// lock held: it must not block or call the core.
func (c *Core) Handle(r *console.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	console.Dispatch(r, serving{c})
}

// serving is the core with its lock held.
type serving struct{ *Core }

// Size implements console.Server.
func (c serving) Size(r *console.Request) {
	c.size = c.host.Size()
	r.AnswerSize(c.size, 0)
}

// SetRaw implements console.Server.
func (c serving) SetRaw(r *console.Request, on bool) { r.AnswerSetRaw(c.host.SetRaw(on)) }

// Resize implements console.Server.
func (c serving) Resize(r *console.Request, known console.Size) {
	if old, ok := c.resize[r.Binding]; ok {
		old.Refuse(abi.ECANCELED)
		delete(c.resize, r.Binding)
	}
	if c.size = c.host.Size(); c.size != known {
		r.AnswerResize(c.size, 0)
		return
	}
	c.resize[r.Binding] = sizing{r, known}
}

// stream answers a stream, nil when it has refused the request for there is none.
func (c serving) stream(r *console.Request, i int) *stream {
	if i >= console.Streams || c.host.Info(i).Flags&console.InfoClosed != 0 {
		r.Refuse(abi.EBADF)
		return nil
	}
	return &c.streams[i]
}

// Read implements console.Server.
func (c serving) Read(q *console.Request, i int, seq uint64, n int) {
	s := c.stream(q, i)
	if s == nil {
		return
	}
	if n == 0 || n > console.MaxData {
		q.Refuse(abi.EINVAL)
		return
	}
	r := &request{Request: q, seq: seq, n: n}
	if c.repeated(r, i, false) {
		return
	}
	supersede(&s.read, r)
	c.wakeInput(s, i)
}

// Watch implements console.Server.
func (c serving) Watch(q *console.Request, i int) {
	if s := c.stream(q, i); s != nil {
		supersede(&s.watch, &request{Request: q})
		c.wakeInput(s, i)
	}
}

func (c serving) wakeInput(s *stream, i int) {
	if !s.inRunning {
		s.inRunning = true
		go c.input(i)
	}
	s.inWork.Signal()
}

// Write implements console.Server.
func (c serving) Write(q *console.Request, i int, seq uint64, data []byte) {
	s := c.stream(q, i)
	if s == nil {
		return
	}
	r := &request{Request: q, seq: seq, in: data}
	if c.repeated(r, i, true) {
		return
	}
	supersede(&s.write, r)
	if !s.outRunning {
		s.outRunning = true
		go c.output(i)
	}
	s.outWork.Signal()
}

// supersede makes r the request under way. c.mu held.
func supersede(at **request, r *request) {
	if *at != nil {
		(*at).reply(0, nil, abi.ECANCELED)
	}
	*at = r
}

// repeated answers a request that was finished before, or is older. c.mu held.
func (c *Core) repeated(r *request, stream int, write bool) bool {
	if r.seq == 0 {
		return false
	}
	_, rec := c.find(r.Binding, stream, write)
	switch {
	case rec == nil || r.seq > rec.Seq:
		return false
	case r.seq < rec.Seq:
		r.reply(0, nil, abi.ESTALE)
	case write || rec.N == 0:
		r.reply(int(rec.N), nil, abi.Errno(rec.Err))
	default:
		r.reply(int(rec.N), c.h.Bytes(rec.Buf)[:rec.N], abi.Errno(rec.Err))
	}
	return true
}

// find answers the record of a stream and direction of a client. c.mu held.
func (c *Core) find(binding uint64, stream int, write bool) (ref recordRef, rec *record) {
	c.records.Each(func(r recordRef, v *record) bool {
		if v.Binding == binding && v.Stream == uint32(stream) && (v.Write != 0) == write {
			ref, rec = r, v
			return false
		}
		return true
	})
	return ref, rec
}

// mut answers the record to be changed, a new one if need be, inside a
// transaction; nil when there are too many clients. c.mu held.
func (c *Core) mut(binding uint64, stream int, write bool) *record {
	if ref, rec := c.find(binding, stream, write); rec != nil {
		return c.records.Mut(ref)
	}
	_, rec := c.records.New()
	if rec == nil {
		return nil
	}
	rec.Binding, rec.Stream, rec.Off = binding, uint32(stream), -1
	if write {
		rec.Write = 1
	} else if rec.Buf = c.h.Alloc(console.MaxData); rec.Buf.Nil() {
		return nil
	}
	return rec
}

// input waits for input of a stream while somebody wants to know of it.
func (c *Core) input(i int) {
	s := &c.streams[i]
	buf := make([]byte, console.MaxData)
	c.mu.Lock()
	defer c.mu.Unlock()
	var r *request
	defer panicked(&r)
	for {
		for s.read == nil && s.watch == nil {
			s.inWork.Wait()
		}
		c.mu.Unlock()
		c.host.Wait(i, false)
		c.mu.Lock()
		// Who asked may have gone meanwhile, or another may have come.
		if w := s.watch; w != nil {
			s.watch = nil
			w.reply(0, nil, 0)
		}
		r = s.read
		if r == nil {
			continue
		}
		from, had := c.reading(i, r)
		// Not with the lock: somebody else on the host may have taken the input.
		c.mu.Unlock()
		var n int
		var e abi.Errno
		if had > 0 {
			n, e = c.host.ReadAt(i, buf[:min(uint64(r.n), had)], from)
		} else {
			n, e = c.host.Read(i, buf[:r.n])
		}
		c.mu.Lock()
		if e == abi.EAGAIN || e == abi.EINTR {
			continue
		}
		if te := c.took(i, r, buf[:n], e); te != 0 {
			n, e = 0, te // too many clients, or no memory: the input is lost
		}
		// The one who gets the answer is the one that waits now.
		if w := s.read; w != nil && w.seq == r.seq && w.Binding == r.Binding {
			s.read = nil
			w.reply(n, buf[:n], e)
		}
	}
}

// reading notes that a numbered Read of a stream that has an offset begins. If
// the last incarnation died while it did the same, and the offset has moved since
// from on, then had bytes have been taken, and are still in the file. c.mu held.
func (c *Core) reading(i int, r *request) (from int64, had uint64) {
	off := c.host.Offset(i)
	if r.seq == 0 || off < 0 {
		return 0, 0
	}
	if _, rec := c.find(r.Binding, i, false); rec != nil && rec.Cur == r.seq {
		return rec.Off, uint64(max(off-rec.Off, 0))
	}
	c.h.Begin()
	rec := c.mut(r.Binding, i, false)
	if rec == nil {
		c.h.Abort() // took will say so
		return 0, 0
	}
	rec.Cur, rec.Off = r.seq, off
	c.h.Commit()
	return 0, 0
}

// took records what a numbered Read took from the host. c.mu held.
func (c *Core) took(i int, r *request, data []byte, e abi.Errno) abi.Errno {
	if r.seq == 0 {
		return 0
	}
	if w := c.streams[i].read; w == nil || w.Binding != r.Binding {
		return 0 // the client has gone, and its records
	}
	c.h.Begin()
	rec := c.mut(r.Binding, i, false)
	if rec == nil {
		c.h.Abort()
		return abi.ENOMEM
	}
	// Of the bytes of the answer before, a rollback restores nothing: their
	// reader has asked for the next.
	copy(c.h.Unlogged(rec.Buf, 0, len(data)), data)
	rec.Seq, rec.N, rec.Err, rec.Cur = r.seq, uint64(len(data)), uint32(e), 0
	c.h.Commit()
	return 0
}

// output writes what is given to a stream.
func (c *Core) output(i int) {
	s := &c.streams[i]
	c.mu.Lock()
	defer c.mu.Unlock()
	var r *request
	defer panicked(&r)
	for {
		for s.write == nil {
			s.outWork.Wait()
		}
		r = s.write
		n, e, ok := c.writeAll(i, r)
		// The one who gets the answer is the one that waits now.
		if w := s.write; ok && w != nil && w.seq == r.seq && w.Binding == r.Binding {
			s.write = nil
			w.reply(int(n), nil, e)
		}
	}
}

// writeAll writes a request's bytes, a chunk at a time; it answers false if the
// client has gone or wants something else. c.mu is held, and given up while
// the host makes us wait.
func (c *Core) writeAll(i int, r *request) (n uint64, e abi.Errno, ok bool) {
	s := &c.streams[i]
	var ref recordRef
	if r.seq != 0 {
		c.h.Begin()
		rec := c.mut(r.Binding, i, true)
		if rec == nil {
			c.h.Abort()
			return 0, abi.ENOMEM, true
		}
		if rec.Cur != r.seq {
			rec.Cur, rec.Done, rec.Flight = r.seq, 0, 0
		} else if rec.Flight != 0 {
			rec.Done += landed(rec, c.host.Offset(i))
			rec.Flight = 0
		}
		n = rec.Done
		c.h.Commit()
		ref, _ = c.find(r.Binding, i, true)
	}
	change := func(f func(*record)) {
		if r.seq != 0 {
			c.h.Begin()
			f(c.records.Mut(ref))
			c.h.Commit()
		}
	}
	for n < uint64(len(r.in)) && e == 0 {
		c.mu.Unlock()
		c.host.Wait(i, true)
		c.mu.Lock()
		if w := s.write; w == nil || w.seq != r.seq || w.Binding != r.Binding {
			return n, 0, false
		}
		chunk := r.in[n:min(n+console.WriteChunk, uint64(len(r.in)))]
		change(func(v *record) { v.Flight, v.Off = uint64(len(chunk)), c.host.Offset(i) })
		// The lock is given up again: a terminal that is stopped (Ctrl-S) can
		// make a write wait although it was ready.
		c.mu.Unlock()
		k, we := c.host.Write(i, chunk)
		c.mu.Lock()
		n += uint64(k)
		if e = we; e == abi.EINTR || e == abi.EAGAIN {
			e = 0
		}
		if w := s.write; w == nil || w.seq != r.seq || w.Binding != r.Binding {
			return n, e, false // gone, and perhaps its record with it
		}
		change(func(v *record) { v.Done, v.Flight = n, 0 })
	}
	change(func(v *record) { v.Seq, v.N, v.Err, v.Cur = r.seq, n, uint32(e), 0 })
	return n, e, true
}

// landed says how much of a chunk that was under way when the last incarnation
// died counts as written.
func landed(v *record, off int64) uint64 {
	if v.Off < 0 || off < v.Off {
		return v.Flight
	}
	return min(uint64(off-v.Off), v.Flight)
}

// Resized looks at the terminal's size anew: the host said that it may have
// changed.
func (c *Core) Resized() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.size = c.host.Size()
	for b, r := range c.resize {
		if c.size != r.known {
			delete(c.resize, b)
			r.AnswerResize(c.size, 0)
		}
	}
}

// Forget drops a client: nothing of it is answered any more when this returns.
func (c *Core) Forget(binding uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.streams {
		s := &c.streams[i]
		for _, at := range []**request{&s.read, &s.watch, &s.write} {
			if *at != nil && (*at).Binding == binding {
				*at = nil
			}
		}
	}
	delete(c.resize, binding)
	c.h.Begin()
	var gone []recordRef
	c.records.Each(func(r recordRef, v *record) bool {
		if v.Binding == binding {
			gone = append(gone, r)
		}
		return true
	})
	for _, r := range gone {
		if b := c.records.Get(r).Buf; !b.Nil() {
			c.h.FreeBlock(b)
		}
		c.records.Free(r)
	}
	c.h.Commit()
}

// String names the console for logs.
func (c *Core) String() string {
	return fmt.Sprintf("console (%d records)", c.records.Len())
}
