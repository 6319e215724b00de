package ipc

import (
	"cmp"
	"context"
	"fmt"
	"math/bits"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/store/crash"
)

// ClientBinding is the client's end of a binding of a server (guests have the
// emulation library's). All methods may be called from any goroutine.
//
// A call outlives the server's death: its slot stays a request, which the next
// incarnation finds. After the client's own death the next incarnation maps
// the same area: replies that nobody waits for are dropped, requests that the
// server still has are left alone until it answers, and only then their slots
// are used again. The new incarnation repeats what it still wants with the
// same (client, seq) numbers; the server knows what it has done.
type ClientBinding struct {
	ID    uint64
	Label string

	area
	conn *Conn
	bell int // the server's
	own  int // ours, rung for Done bits

	mu      sync.Mutex // guards what follows
	avail   *sync.Cond
	free    []int
	orphans []int // slots with a request of the last incarnation
	calls   []Call
	started bool // the goroutine that looks at Done bits runs
	closed  bool
	broken  atomic.Bool

	async  atomic.Int32 // calls in progress that were started with Start
	polled atomic.Bool  // a Poller looks for replies (Poller.AddClient)
	poller *Poller      // then: which
	parked atomic.Int32 // calls of Do and Post that leave that to it
	unrung atomic.Bool  // Post: the server has not been told of all calls yet
	spin   atomic.Int64 // ns: how long the next Do looks
	doneFD *os.File
	found  []uint64 // room of replied
}

// Call is one call in progress on a slot. It belongs to one goroutine.
type Call struct {
	// Args are sent with the call. Args[6] and Args[7] are by convention the
	// (client, seq) numbers of exactly-once execution, see SetReq.
	Args [8]uint64

	b    *ClientBinding
	slot int
	lead *Lead  // of whom the role is to be had back before the caller is parked
	fn   func() // Start, Post: what to do when the reply is there
	left bool   // DoContext gave up: the slot is the server's until it answers

	// parked is 1 while the caller of Do waits to be told on wake; whoever
	// makes it 0 has to see to that.
	parked atomic.Uint32
	wake   chan struct{}
}

// NewClientBinding maps a binding of which this task is the client, and takes
// over the descriptors (area, the server's doorbell, our own).
func NewClientBinding(b *Bound) (*ClientBinding, error) {
	if len(b.FDs) != 3 {
		closeAll(b.FDs)
		return nil, fmt.Errorf("ipc: client binding %d with %d descriptors", b.ID, len(b.FDs))
	}
	a, err := mapArea(b.FDs[0], b.Slots)
	if err != nil {
		closeAll(b.FDs)
		return nil, err
	}
	touched := a.touched(b.FDs[0])
	_ = unix.Close(b.FDs[0])
	_ = unix.SetNonblock(b.FDs[1], true)
	_ = unix.SetNonblock(b.FDs[2], true)
	c := &ClientBinding{ID: b.ID, Label: b.Label, area: a, bell: b.FDs[1], own: b.FDs[2], calls: make([]Call, a.slots)}
	c.avail = sync.NewCond(&c.mu)
	c.spin.Store(int64(spinMin))
	atomic.StoreUint32(&c.hdr.ClientArmed, 0)
	again := false
	for i := a.slots - 1; i >= 0; i-- {
		c.calls[i].b, c.calls[i].slot = c, i
		if n := len(touched); n == 0 || touched[n-1] != i {
			c.free = append(c.free, i)
			continue
		}
		touched = touched[:len(touched)-1]
		sl := c.slot(i)
		switch atomic.LoadUint32(&sl.State) {
		case abi.SlotIdle:
			c.free = append(c.free, i)
		case abi.SlotReply, abi.SlotMore:
			atomic.StoreUint32(&sl.Waiter, 0)
			atomic.StoreUint32(&sl.State, abi.SlotIdle)
			c.free = append(c.free, i)
		default:
			// The last incarnation may have died before it set the bit; the
			// server ignores the bit of a slot that it is serving.
			atomic.StoreUint32(&sl.Waiter, 0)
			atomic.OrUint64(&c.hdr.Pending[i/64], 1<<(i%64))
			c.orphans = append(c.orphans, i)
			again = true
		}
	}
	if again {
		ring(c.bell)
	}
	return c, nil
}

// Close unmaps the binding; no call may be in progress, and a Poller that has it
// is closed before.
func (b *ClientBinding) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.closed, b.orphans = true, nil
	b.avail.Broadcast()
	_ = unix.Close(b.bell)
	if b.started {
		_ = b.doneFD.Close() // ends the goroutine, which unmaps
		return
	}
	_ = unix.Close(b.own)
	b.unmap()
}

// adoptOrphans takes slots that the server has answered to nobody. b.mu held.
func (b *ClientBinding) adoptOrphans() {
	keep := b.orphans[:0]
	for _, i := range b.orphans {
		sl := b.slot(i)
		if st := atomic.LoadUint32(&sl.State); st == abi.SlotReply || st == abi.SlotMore {
			atomic.StoreUint32(&sl.Waiter, 0)
			atomic.StoreUint32(&sl.State, abi.SlotIdle)
			b.free = append(b.free, i)
		} else {
			keep = append(keep, i)
		}
	}
	b.orphans = keep
}

// Orphans is how many requests of the last incarnation the server has not
// answered yet.
func (b *ClientBinding) Orphans() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.adoptOrphans()
	return len(b.orphans)
}

// Quiesce waits until the server has answered every request of the last
// incarnation, or ctx ends. A client whose server works on several requests at
// a time does so before it repeats one of them.
func (b *ClientBinding) Quiesce(ctx context.Context) error {
	for b.Orphans() > 0 {
		b.mu.Lock()
		var sl *abi.Slot
		if len(b.orphans) > 0 {
			sl = b.slot(b.orphans[0])
		}
		b.mu.Unlock()
		if sl == nil {
			continue
		}
		state := &sl.State
		stop := context.AfterFunc(ctx, func() { futexWake(state, 1<<30) })
		atomic.StoreUint32(&sl.Waiter, 1)
		for {
			st := atomic.LoadUint32(&sl.State)
			if st != abi.SlotRequest && st != abi.SlotResumed {
				break
			}
			if ctx.Err() != nil {
				break
			}
			futexWaitFor(&sl.State, st, 50*time.Millisecond) // the end of ctx may fall between check and wait
		}
		stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// BeginLead is Begin for the goroutine that has the role of a Poller that the binding was
// given to (Poller.AddClient). It has the role still when the call has been ended, unless
// l.Pass was called.
func (b *ClientBinding) BeginLead(l *Lead) *Call {
	if b.polled.Load() {
		b.mu.Lock()
		c := b.take()
		b.mu.Unlock()
		if c != nil {
			c.lead = l
			return c
		}
	}
	l.Pass()
	return b.Begin()
}

// take takes a free slot, if there is one. b.mu held.
func (b *ClientBinding) take() *Call {
	if len(b.orphans) > 0 {
		b.adoptOrphans()
	}
	k := len(b.free)
	if k == 0 || b.closed || b.broken.Load() {
		return nil
	}
	c := &b.calls[b.free[k-1]]
	b.free = b.free[:k-1]
	c.Args, c.left, c.lead = [8]uint64{}, false, nil
	return c
}

// Begin takes a free slot, waiting for one if there is none. It answers nil
// when the binding is closed or broken.
func (b *ClientBinding) Begin() *Call {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		if c := b.take(); c != nil {
			return c
		}
		if b.closed || b.broken.Load() {
			return nil
		}
		if len(b.orphans) > 0 {
			// One may be answered before one that somebody uses is given back. The area
			// may be gone when nobody has the lock; the host looks by itself.
			sl := b.slot(b.orphans[0])
			atomic.StoreUint32(&sl.Waiter, 1)
			state := &sl.State
			st := atomic.LoadUint32(state)
			b.mu.Unlock()
			if st != abi.SlotReply && st != abi.SlotMore {
				futexWaitFor(state, st, 5*time.Millisecond)
			}
			b.mu.Lock()
			continue
		}
		b.avail.Wait()
	}
}

// TryBegin is Begin that does not wait: nil if no slot is free.
func (b *ClientBinding) TryBegin() *Call {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.take()
}

// End gives the slot back. The bytes of Out are not valid any more.
func (c *Call) End() {
	b := c.b
	if c.left {
		b.mu.Lock()
		b.orphans = append(b.orphans, c.slot)
		b.avail.Signal()
		b.mu.Unlock()
		return
	}
	atomic.StoreUint32(&b.slot(c.slot).State, abi.SlotIdle)
	b.mu.Lock()
	b.free = append(b.free, c.slot)
	b.avail.Signal()
	b.mu.Unlock()
}

// SetReq sets the numbers by which a repetition of the call is known.
func (c *Call) SetReq(client uint32, seq uint64) { c.Args[6], c.Args[7] = uint64(client), seq }

// In gives the area for the request, abi.SlotInSize bytes.
func (c *Call) In() []byte { return c.b.in(c.slot) }

// Out gives the reply's bytes, after Do or Start.
func (c *Call) Out() []byte {
	n := min(c.b.slot(c.slot).OutLen, abi.SlotOutSize)
	return c.b.out(c.slot)[:n:n]
}

// Result is the reply's result word.
func (c *Call) Result() uint64 { return c.b.slot(c.slot).Result }

// Err is the reply's error.
func (c *Call) Err() abi.Errno { return abi.Errno(c.b.slot(c.slot).Err) }

// Tag is a number that no other call on this binding has, also in a later
// incarnation: a tag for grants. It is valid from Prepare on.
func (c *Call) Tag() uint64 { return uint64(c.slot)<<48 | (c.b.slot(c.slot).Seq+1)&(1<<48-1) }

// TakeTag is Tag for a call that is not sent: it has that number then, and no later one does.
func (c *Call) TakeTag() uint64 {
	tag := c.Tag()
	c.b.slot(c.slot).Seq++
	return tag
}

// publish stores the request (operation nr, n bytes of In) and tells the server.
func (c *Call) publish(nr uint64, n int) *abi.Slot {
	sl := c.post(nr, n)
	c.b.Ring()
	return sl
}

// Ring tells the server of the calls that were queued since the last time (Call.Queue),
// with one doorbell for all, and none if it looks anyway.
func (b *ClientBinding) Ring() {
	if atomic.LoadUint32(&b.hdr.Armed) != 0 {
		ring(b.bell)
	}
	if b.broken.Load() {
		b.sweep()
	}
}

// post is publish without the doorbell.
func (c *Call) post(nr uint64, n int) *abi.Slot {
	b := c.b
	if uint(n) > abi.SlotInSize {
		panic("ipc: request is longer than the area")
	}
	sl := b.slot(c.slot)
	sl.Seq++
	sl.Kind, sl.Flags, sl.Nr, sl.Args, sl.HostID, sl.NIn, sl.InLen = abi.KindService, 0, nr, c.Args, 0, 0, uint32(n)
	crash.Point("request written")
	atomic.StoreUint32(&sl.State, abi.SlotRequest)
	crash.Point("request published")
	atomic.OrUint64(&b.hdr.Pending[c.slot/64], 1<<(c.slot%64))
	return sl
}

// Break is for a binding whose server will never come back (EventUnbound):
// calls in progress and later ones answer EIO.
func (b *ClientBinding) Break() {
	b.broken.Store(true)
	b.sweep()
	b.mu.Lock()
	b.avail.Broadcast()
	b.mu.Unlock()
}

// sweep answers all requests in the dead server's place.
func (b *ClientBinding) sweep() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	for i := range b.slots {
		sl := b.slot(i)
		if st := atomic.LoadUint32(&sl.State); st != abi.SlotRequest && st != abi.SlotResumed {
			continue
		}
		sl.Result, sl.Err, sl.OutLen = 0, uint32(abi.EIO), 0
		atomic.StoreUint32(&sl.State, abi.SlotReply)
		atomic.OrUint64(&b.hdr.Done[i/64], 1<<(i%64))
		futexWake(&sl.State, 1<<30)
	}
	if b.started || b.polled.Load() {
		ring(b.own)
	}
}

// Do sends the call (operation nr, the first n bytes of In) and waits for the
// reply. The answer is the server's error; Result and Out hold the rest.
func (c *Call) Do(nr uint64, n int) abi.Errno {
	sl := c.publish(nr, n)
	crash.Point("request sent")
	c.wait(sl)
	crash.Point("reply seen")
	return abi.Errno(sl.Err)
}

// DoContext is Do until ctx ends: then it answers ETIMEDOUT or ECANCELED, the server can
// know of it (ServerBinding.Cancelled), and what becomes of the call nobody learns. The
// call is over for its caller, who ends it as any; its slot is used again once the server
// has answered.
func (c *Call) DoContext(ctx context.Context, nr uint64, n int) abi.Errno {
	if ctx.Done() == nil {
		return c.Do(nr, n)
	}
	sl := c.publish(nr, n)
	crash.Point("request sent")
	if !c.waitContext(ctx, sl) {
		c.left = true
		atomic.StoreUint32(&sl.Cancel, uint32(sl.Seq))
		if ctx.Err() == context.DeadlineExceeded {
			return abi.ETIMEDOUT
		}
		return abi.ECANCELED
	}
	crash.Point("reply seen")
	return abi.Errno(sl.Err)
}

// waitContext waits for the reply; false: ctx ended before.
func (c *Call) waitContext(ctx context.Context, sl *abi.Slot) bool {
	b := c.b
	if b.polled.Load() {
		if c.lead != nil {
			c.lead.Pass()
		}
		for c.parking(sl) {
			select {
			case <-c.wake:
			case <-ctx.Done():
				if c.parked.CompareAndSwap(1, 0) {
					b.parked.Add(-1)
					return false
				}
				<-c.wake // as park
			}
		}
		c.clearDone()
		return true
	}
	spin, others := time.Duration(b.spin.Load()), false
	start := time.Now()
	for !answered(sl) && linger(start, time.Since(start), spin, &others) {
	}
	if !answered(sl) {
		atomic.StoreUint32(&sl.Waiter, 1)
		defer atomic.StoreUint32(&sl.Waiter, 0)
		state := &sl.State // it may run when the binding is closed already, and touches nothing
		stop := context.AfterFunc(ctx, func() { futexWake(state, 1<<30) })
		defer stop()
		for !answered(sl) {
			if ctx.Err() != nil {
				return false
			}
			if st := atomic.LoadUint32(&sl.State); st != abi.SlotReply {
				futexWaitFor(&sl.State, st, 50*time.Millisecond) // the end of ctx may fall between check and wait
			}
		}
	}
	b.spin.Store(int64(spinNext(time.Since(start), spinMax)))
	c.clearDone()
	return true
}

func answered(sl *abi.Slot) bool { return atomic.LoadUint32(&sl.State) == abi.SlotReply }

func (c *Call) wait(sl *abi.Slot) {
	b := c.b
	if b.polled.Load() {
		if c.lead == nil || !c.lead.await(sl) {
			if c.lead != nil {
				c.lead.Pass()
			}
			c.park(sl)
		}
		c.clearDone()
		return
	}
	spin, others := time.Duration(b.spin.Load()), false
	start := time.Now()
	for !answered(sl) {
		if linger(start, time.Since(start), spin, &others) {
			continue
		}
		atomic.StoreUint32(&sl.Waiter, 1)
		for {
			st := atomic.LoadUint32(&sl.State)
			if st == abi.SlotReply {
				break
			}
			futexWait(&sl.State, st)
		}
		atomic.StoreUint32(&sl.Waiter, 0)
		break
	}
	if next := spinNext(time.Since(start), spinMax); next != spin {
		b.spin.Store(int64(next))
	}
	c.clearDone()
}

// park waits until the Poller has seen the reply. No thread sleeps for it.
func (c *Call) park(sl *abi.Slot) {
	for c.parking(sl) {
		<-c.wake // or of a reply to the slot's last call, which the Poller had found by then
	}
}

// parking says whether the Poller is going to tell of the reply; false: it is there.
func (c *Call) parking(sl *abi.Slot) bool {
	if answered(sl) {
		return false
	}
	if c.wake == nil {
		c.wake = make(chan struct{}, 1)
	}
	c.b.parked.Add(1)
	c.parked.Store(1)
	if answered(sl) && c.parked.CompareAndSwap(1, 0) {
		c.b.parked.Add(-1)
		return false
	}
	return true
}

// unpark tells those callers of Do whose reply is there (woken: some), and calls the functions
// of Post. It is called with the role of the Poller.
func (b *ClientBinding) unpark() (found, woken bool) {
	found = b.replied(func(c *Call) bool {
		if fn := c.taken(); fn != nil {
			b.parked.Add(-1)
			fn()
			return true
		}
		if !c.parked.CompareAndSwap(1, 0) {
			return false
		}
		b.parked.Add(-1)
		c.wake <- struct{}{}
		woken = true
		return true
	})
	return found, woken
}

// taken answers the function of a call whose reply was found, which is nobody else's then.
func (c *Call) taken() func() {
	b := c.b
	b.mu.Lock()
	defer b.mu.Unlock()
	fn := c.fn
	// What was found may have been the reply to the slot's last call. A slot is idle
	// when fn is set, so that a reply which is seen after it is fn's.
	if fn == nil || !answered(b.slot(c.slot)) {
		return nil
	}
	c.fn = nil
	return fn
}

// answers says whether unpark may find something.
func (b *ClientBinding) answers() bool {
	for w := range (b.slots + 63) / 64 {
		if atomic.LoadUint64(&b.hdr.Done[w]) != 0 {
			return true
		}
	}
	return false
}

// replied hands f the calls whose Done bit is set and whose reply is there, in the order
// in which the server answered them, and says whether one of them was what f waits for.
// It is one goroutine's at a time.
func (b *ClientBinding) replied(f func(*Call) bool) (found bool) {
	l := b.found[:0]
	// One that was answered before one that was found has its bit set by then, and so is
	// found too, at the latest in the round that finds nothing more. (A server
	// that sets bits as it likes has f see calls again that it has seen. By the time f
	// sees a call its slot may also have been given back and used again.)
	for more := true; more && len(l) <= b.slots; { // and a server cannot keep us here
		more = false
		for w := range (b.slots + 63) / 64 {
			if atomic.LoadUint64(&b.hdr.Done[w]) == 0 {
				continue
			}
			for m := atomic.SwapUint64(&b.hdr.Done[w], 0); m != 0; m &= m - 1 {
				if i := w*64 + bits.TrailingZeros64(m); i < b.slots && answered(b.slot(i)) {
					l = append(l, uint64(atomic.LoadUint32(&b.slot(i).Order))<<32|uint64(i))
					more = true
				}
			}
		}
	}
	if len(l) > 1 {
		slices.SortFunc(l, func(x, y uint64) int { return cmp.Compare(int32(x>>32)-int32(y>>32), 0) })
	}
	b.found = l
	for _, x := range l {
		if f(&b.calls[uint32(x)]) {
			found = true
		}
	}
	return found
}

// clearDone drops the hint of a reply that was seen already. It may come back
// when the server is slow between State and Done; look ignores it then.
func (c *Call) clearDone() {
	w := &c.b.hdr.Done[c.slot/64]
	if bit := uint64(1) << (c.slot % 64); atomic.LoadUint64(w)&bit != 0 {
		atomic.AndUint64(w, ^bit)
	}
}

// Start sends the call and returns at once; done is called from a goroutine of
// the binding when the reply is there, and must not block; it, or what it
// tells, ends the call with End.
func (c *Call) Start(nr uint64, n int, done func()) error {
	if err := c.Queue(nr, n, done); err != nil {
		return err
	}
	c.b.Ring()
	return nil
}

// Queue is Start without the doorbell: many calls are queued, and then the server is told
// of all by one Ring. It may see them before. The functions of calls that are done are
// called in the order in which the server answered them.
func (c *Call) Queue(nr uint64, n int, done func()) error {
	b := c.b
	if b.polled.Load() {
		panic("ipc: Start on a binding that a Poller has")
	}
	b.mu.Lock()
	if !b.started {
		f := os.NewFile(uintptr(b.own), "doorbell")
		if f == nil {
			b.mu.Unlock()
			return os.ErrInvalid
		}
		b.doneFD, b.started = f, true
		go b.completions()
	}
	c.fn = done
	b.mu.Unlock()
	b.async.Add(1)
	atomic.StoreUint32(&b.hdr.ClientArmed, 1)
	c.post(nr, n)
	return nil
}

// Post sends the call and returns at once; done is called when the reply is there, by the
// goroutine that has the role of the Poller, and must not wait for another call. It, or what it
// tells, ends the call with End. The server hears of calls that are posted one after the other
// with one doorbell, once the Poller has nothing else to do; it may see them before. False: no
// Poller has the binding yet, and nothing was sent.
func (c *Call) Post(nr uint64, n int, done func()) bool {
	b := c.b
	if !b.polled.Load() {
		return false
	}
	b.mu.Lock()
	c.fn = done
	b.mu.Unlock()
	b.parked.Add(1)
	c.post(nr, n)
	b.poller.posted(b)
	return true
}

// completions calls the functions of finished Start calls.
func (b *ClientBinding) completions() {
	var buf [8]byte
	for {
		atomic.StoreUint32(&b.hdr.ClientArmed, 1)
		for b.look() {
		}
		if b.async.Load() == 0 {
			// Synchronous calls should not ring for nothing. Start arms again.
			atomic.StoreUint32(&b.hdr.ClientArmed, 0)
			if b.async.Load() != 0 {
				continue
			}
		}
		if _, err := b.doneFD.Read(buf[:]); err != nil {
			b.mu.Lock()
			b.unmap()
			b.mu.Unlock()
			return
		}
	}
}

// look finishes the Start calls whose reply is there.
func (b *ClientBinding) look() bool {
	return b.replied(func(c *Call) bool {
		fn := c.taken()
		if fn == nil {
			return false
		}
		b.async.Add(-1)
		fn()
		return true
	})
}

// TakeGrant waits for the object that the server granted on this binding under
// tag (see Conn.TakeGrant).
func (b *ClientBinding) TakeGrant(tag uint64, within time.Duration) (Grant, abi.Errno) {
	if b.conn == nil {
		return Grant{}, abi.EIO
	}
	return b.conn.TakeGrant(b.ID, tag, within)
}

// Call is Begin, Do and End in one: in is copied to the slot, and out, when it
// is not nil, gets the reply before the slot is given back. E2BIG when in is
// larger than the slot's area.
func (b *ClientBinding) Call(nr uint64, client uint32, seq uint64, args [6]uint64, in []byte, out func(result uint64, data []byte)) abi.Errno {
	if len(in) > abi.SlotInSize {
		return abi.E2BIG
	}
	c := b.Begin()
	if c == nil {
		return abi.EPIPE
	}
	defer c.End()
	copy(c.Args[:], args[:])
	c.SetReq(client, seq)
	n := copy(c.In(), in)
	err := c.Do(nr, n)
	if out != nil && err == 0 {
		out(c.Result(), c.Out())
	}
	return err
}
