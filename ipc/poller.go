package ipc

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hythe/abi"
)

// What Poller.Wait answers (Ready.Kind).
const (
	ReadyTimeout = iota // the time is over
	ReadySlot           // Binding and Slot: a request
	ReadyFD             // Token and Events: a descriptor of AddFD
	ReadyWake           // somebody called Wake
	ReadyClosed         // somebody called Close: nothing comes any more
)

// Ready is one thing to do.
type Ready struct {
	Kind    int
	Slot    int
	Events  uint32 // EPOLL... bits
	Binding *ServerBinding
	Token   uint64
}

const (
	// A hot binding that had nothing in so many rounds, while others had, goes
	// back to its doorbell.
	coolAfter = 2000
	// So many requests are given out before descriptors are looked at.
	fdEvery = 64
	// So many times Wait looks for the next request before it does anything else: a
	// microsecond or less. A client that runs beside us is back within that, and the
	// cheapest of the rest (another goroutine's turn, a host call) takes half as long.
	closeLooks = 40
)

// Poller waits for requests on many bindings and for other descriptors. Wait
// is for one goroutine at a time; the role may pass from one to another through
// anything that orders memory. Add, AddClient and Wake are for any goroutine,
// Remove for the one that has the role.
//
// Whoever sleeps in Wait is parked by the Go runtime, which waits for the epoll
// instance with all else that it waits for. A thread that slept in the host's
// call would keep its processor of the runtime (GOMAXPROCS) until the runtime's
// monitor took that back, and while there is something to take back the monitor
// looks every 20 us.
type Poller struct {
	ep, wake int
	file     *os.File // ep, for the runtime
	raw      syscall.RawConn
	ask      func(uintptr) bool // asks the host for events, once
	once     func(uintptr)      // the same, for who does not sleep

	mu    sync.Mutex
	over  bool             // closed: wake is another's number
	inbox []*ServerBinding // added, not yet adopted
	newcl []*ClientBinding // the same
	soon  []func()         // for Wait's goroutine; guarded by mu
	flag  atomic.Uint32    // 1 = inbox, 2 = wake asked for, 4 = closed, for good
	sleep atomic.Uint32    // 1 = Wait sleeps or is about to

	entries []pollEntry
	free    []int
	hot     []*ServerBinding
	clients []*ClientBinding
	queue   []*ServerBinding // with taken slots, served in turn
	head    int
	ev      [64]unix.EpollEvent
	nev, at int
	served  int
	close   int           // closeLooks, or 0 where nobody runs beside us
	gives   bool          // Give
	stirred atomic.Uint32 // 1 = Stir
	// How long to look before sleep, at most spinMax: when somebody is expected, and when not.
	spin    [2]time.Duration
	spinMax time.Duration
}

type pollEntry struct {
	binding *ServerBinding
	fd      int
	gen     int32
	token   uint64
	client  bool // fd is what a server rings whom we ask
}

// NewPoller makes a Poller.
func NewPoller() (*Poller, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("ipc: poller: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(ep)
		return nil, fmt.Errorf("ipc: poller: %w", err)
	}
	if err := unix.SetNonblock(ep, true); err != nil { // so that os.NewFile gives it to the runtime
		_ = unix.Close(ep)
		_ = unix.Close(wake)
		return nil, fmt.Errorf("ipc: poller: %w", err)
	}
	p := &Poller{ep: ep, wake: wake, file: os.NewFile(uintptr(ep), "epoll"), close: closeLooks}
	p.SetSpin(spinMax)
	if oneCore {
		p.close = 0
	}
	p.raw, err = p.file.SyscallConn()
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("ipc: poller: %w", err)
	}
	p.once = func(uintptr) { p.take() }
	p.ask = func(uintptr) bool {
		p.take()
		return p.nev > 0
	}
	if err := p.register(pollEntry{fd: wake}, unix.EPOLLIN|unix.EPOLLET); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Close gives the Poller's descriptors back; bindings stay open. A Wait that
// runs meanwhile, and each later one, answers ReadyClosed.
func (p *Poller) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	p.over = true
	p.flag.Or(4)
	_ = p.file.Close() // wakes who sleeps in it
	_ = unix.Close(p.wake)
}

// SetSpin bounds how long Wait looks before it sleeps; 0 never spins. For the
// goroutine that has the role.
func (p *Poller) SetSpin(max time.Duration) {
	p.spin = [2]time.Duration{min(spinMin, max), min(spinMin, max)}
	p.spinMax = max
	if max == 0 {
		p.close = 0
	}
}

// Give says that whoever asks does other things between two requests: Wait yields when there
// is no more to do, before it looks for more. For the goroutine that has the role.
func (p *Poller) Give() { p.gives, p.close = true, 0 }

func (p *Poller) register(e pollEntry, events uint32) error {
	i := len(p.entries)
	if k := len(p.free); k > 0 {
		i = p.free[k-1]
		p.free = p.free[:k-1]
		e.gen = p.entries[i].gen + 1
		p.entries[i] = e
	} else {
		p.entries = append(p.entries, e)
	}
	if err := unix.EpollCtl(p.ep, unix.EPOLL_CTL_ADD, e.fd, &unix.EpollEvent{Events: events, Fd: int32(i), Pad: e.gen}); err != nil {
		p.entries[i] = pollEntry{fd: -1, gen: e.gen}
		p.free = append(p.free, i)
		return fmt.Errorf("ipc: poller: %w", err)
	}
	if e.binding != nil {
		e.binding.entry = i
	}
	return nil
}

func (p *Poller) unregister(i int) {
	_ = unix.EpollCtl(p.ep, unix.EPOLL_CTL_DEL, p.entries[i].fd, nil)
	p.entries[i] = pollEntry{fd: -1, gen: p.entries[i].gen}
	p.free = append(p.free, i)
}

// AddFD watches fd for events (unix.EPOLL... bits; level-triggered unless they
// say EPOLLET); Wait answers with the token. For the goroutine that has the
// role. The answered id is for RemoveFD.
func (p *Poller) AddFD(fd int, events uint32, token uint64) (id int, err error) {
	id = len(p.entries)
	if k := len(p.free); k > 0 {
		id = p.free[k-1]
	}
	return id, p.register(pollEntry{fd: fd, token: token}, events)
}

// AddOnce watches fd as AddFD does, but tells nothing of it until it is armed: then once. For the goroutine that has
// the role; the answered function arms it, and is for any.
func (p *Poller) AddOnce(fd int, token uint64) (id int, arm func(events uint32) error, err error) {
	if id, err = p.AddFD(fd, unix.EPOLLONESHOT|unix.EPOLLET, token); err != nil {
		return id, nil, err
	}
	gen := p.entries[id].gen
	return id, func(events uint32) error {
		return unix.EpollCtl(p.ep, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Events: events | unix.EPOLLONESHOT, Fd: int32(id), Pad: gen})
	}, nil
}

// RemoveFD ends an AddFD; the descriptor must still be open.
func (p *Poller) RemoveFD(id int) { p.unregister(id) }

// Soon has the goroutine in Wait call f in its next round: AddFD and RemoveFD are for it alone.
func (p *Poller) Soon(f func()) {
	p.mu.Lock()
	p.soon = append(p.soon, f)
	p.mu.Unlock()
	p.prod(1)
}

// Add gives a binding to the Poller, which looks at it in its next round.
func (p *Poller) Add(b *ServerBinding) {
	p.mu.Lock()
	p.inbox = append(p.inbox, b)
	p.mu.Unlock()
	p.prod(1)
}

// AddClient gives the Poller a binding of which this task is the client: from its
// next round on it sees to the replies, and who calls Do is parked meanwhile. So
// a server in which some goroutine is always in Wait, while others ask other
// servers, waits for all with one thread. Start cannot be used on such a binding; Post is
// for nothing else.
func (p *Poller) AddClient(b *ClientBinding) {
	p.mu.Lock()
	p.newcl = append(p.newcl, b)
	p.mu.Unlock()
	p.prod(1)
}

// Wake makes the running Wait, or else the next one, answer ReadyWake.
func (p *Poller) Wake() { p.prod(2) }

// Stir says that another goroutine was made ready to run: the Wait that follows lets it
// before it looks for requests that are not there yet. (Without, it does so a microsecond
// later.)
func (p *Poller) Stir() { p.stirred.Store(1) }

func (p *Poller) prod(bit uint32) {
	p.flag.Or(bit)
	if p.sleep.Load() != 0 {
		p.mu.Lock()
		if !p.over {
			ring(p.wake)
		}
		p.mu.Unlock()
	}
}

// Remove takes a binding away (its peer is gone): no slot of it is given out
// any more. Only then it may be closed.
func (p *Poller) Remove(b *ServerBinding) {
	p.mu.Lock()
	p.inbox = remove(p.inbox, b)
	p.mu.Unlock()
	if b.poller != p {
		return
	}
	b.poller = nil
	p.unregister(b.entry)
	if b.hot {
		b.hot = false
		p.hot = remove(p.hot, b)
	}
	if b.queued {
		b.queued = false
		p.queue = remove(p.queue[p.head:], b)
		p.head = 0
	}
}

func remove(l []*ServerBinding, b *ServerBinding) []*ServerBinding {
	for i, x := range l {
		if x == b {
			copy(l[i:], l[i+1:])
			l[len(l)-1] = nil
			return l[:len(l)-1]
		}
	}
	return l
}

func (p *Poller) adopt() {
	p.mu.Lock()
	list, clients, soon := p.inbox, p.newcl, p.soon
	p.inbox, p.newcl, p.soon = nil, nil, nil
	p.mu.Unlock()
	for _, f := range soon {
		f()
	}
	for _, b := range clients {
		if err := p.register(pollEntry{fd: b.own, client: true}, unix.EPOLLIN|unix.EPOLLET); err != nil {
			continue // as below; calls wait each by itself
		}
		p.clients = append(p.clients, b)
		b.poller = p
		b.polled.Store(true)
	}
	for _, b := range list {
		if err := p.register(pollEntry{binding: b, fd: b.bell}, unix.EPOLLIN|unix.EPOLLET); err != nil {
			continue // only with a closed doorbell, or no memory: the client hangs, nobody else
		}
		b.poller = p
		p.heat(b)
	}
}

// heat makes a binding one that is looked at in each round.
func (p *Poller) heat(b *ServerBinding) {
	b.idle = 0
	if !b.hot {
		b.hot = true
		atomic.StoreUint32(&b.hdr.Armed, 0)
		p.hot = append(p.hot, b)
	}
}

// cool lets a binding ring again; it answers false when a request came in the
// meantime: then the binding stays hot.
func (p *Poller) cool(b *ServerBinding) bool {
	atomic.StoreUint32(&b.hdr.Armed, 1)
	b.owed.Store(0)
	if b.grab() {
		atomic.StoreUint32(&b.hdr.Armed, 0)
		b.idle = 0
		p.push(b)
		return false
	}
	b.hot = false
	return true
}

func (p *Poller) push(b *ServerBinding) {
	if b.queued {
		return
	}
	b.queued = true
	if p.head > 64 && p.head*2 > len(p.queue) {
		n := copy(p.queue, p.queue[p.head:])
		clear(p.queue[n:])
		p.queue, p.head = p.queue[:n], 0
	}
	p.queue = append(p.queue, b)
}

// look grabs the pending bits of all hot bindings and sees to replies.
func (p *Poller) look() (found bool) {
	for _, b := range p.clients {
		if b.parked.Load() == 0 {
			continue
		}
		some, woken := b.unpark()
		found = found || some
		if woken {
			p.Stir()
		}
	}
	for i := 0; i < len(p.hot); {
		b := p.hot[i]
		if b.grab() {
			b.idle = 0
			p.push(b)
			found = true
		} else if b.idle++; b.idle > coolAfter && len(p.hot) > 1 && p.cool(b) {
			last := len(p.hot) - 1
			p.hot[i] = p.hot[last]
			p.hot[last] = nil
			p.hot = p.hot[:last]
			continue
		}
		i++
	}
	return found
}

// glance looks for a little while whether there is something for look: the less often, the
// more there is to look at.
func (p *Poller) glance() bool {
	for n := p.close; n > 0; n -= 1 + (len(p.hot)+len(p.clients))/8 {
		pause(1)
		if p.ready() {
			return true
		}
		if p.flag.Load() != 0 || p.stirred.Load() != 0 {
			return false
		}
	}
	return false
}

// posted is told of a call that was posted to a binding of AddClient.
func (p *Poller) posted(b *ClientBinding) {
	b.unrung.Store(true)
	if p.sleep.Load() != 0 && b.unrung.Swap(false) {
		b.Ring()
	}
}

// tell rings for the calls that were posted.
func (p *Poller) tell() {
	for _, b := range p.clients {
		if b.unrung.Load() && b.unrung.Swap(false) {
			b.Ring()
		}
	}
}

// poll asks the host for rung doorbells and ready descriptors. It holds the
// descriptor meanwhile, so that after Close it does not ask another's.
func (p *Poller) poll() {
	p.nev, p.at = 0, 0
	p.served = 0
	_ = p.raw.Control(p.once) // closed: the caller sees the flag
}

func (p *Poller) take() {
	n, err := EpollLook(p.ep, p.ev[:])
	if err != nil {
		n = 0 // EINTR; the caller looks again
	}
	p.nev, p.at = n, 0
	p.served = 0
}

// doze is poll, but sleeps until there is something, or until the end, if that
// is not zero.
func (p *Poller) doze(end time.Time) {
	if !end.IsZero() {
		_ = p.file.SetReadDeadline(end)
		defer p.file.SetReadDeadline(time.Time{})
	}
	p.nev, p.at = 0, 0
	_ = p.raw.Read(p.ask) // the deadline, or Close: the caller knows
}

// Wait answers the next request, ready descriptor or wake-up, or ReadyTimeout
// after the timeout (negative: never; 0: at once). Requests are given out one
// for each binding in turn. It does not allocate.
func (p *Poller) Wait(timeout time.Duration) Ready {
	var begin time.Time // when this call found nothing for the first time
	var start time.Time // when the present idle time began
	others := false     // of linger
	glanced := false    // glance saw something: so often only as look finds it, too
	gave := !p.gives
	whose := 0 // of spin: 0 while somebody is expected
	for {
		if f := p.flag.Load(); f != 0 {
			if f&4 != 0 {
				return Ready{Kind: ReadyClosed}
			}
			p.flag.And(^f)
			if f&1 != 0 {
				p.adopt()
			}
			if f&2 != 0 {
				return Ready{Kind: ReadyWake}
			}
		}
		for p.at < p.nev {
			e := &p.ev[p.at]
			p.at++
			x := &p.entries[e.Fd]
			switch {
			case x.gen != e.Pad || x.fd < 0 || e.Fd == 0: // removed since, or our own wake-up
			case x.client: // look sees to it
			case x.binding != nil:
				p.heat(x.binding)
			default:
				return Ready{Kind: ReadyFD, Token: x.token, Events: e.Events}
			}
		}
		if p.served >= fdEvery {
			p.stirred.Store(0)
			p.tell()
			runtime.Gosched() // as below: with requests that come one by one we are never idle
			p.poll()
			continue
		}
		if p.head < len(p.queue) {
			b := p.queue[p.head]
			p.queue[p.head] = nil
			p.head++
			if p.head == len(p.queue) {
				p.queue, p.head = p.queue[:0], 0
			}
			b.queued = false
			slot, more, ok := b.pop()
			if more {
				p.push(b)
			}
			if ok {
				p.served++
				return Ready{Kind: ReadySlot, Binding: b, Slot: slot}
			}
			continue
		}
		if p.look() {
			glanced, gave = false, !p.gives
			if !start.IsZero() {
				p.spin[whose] = spinNext(time.Since(start), p.spinMax)
				start = time.Time{}
			}
			continue
		}
		if start.IsZero() {
			// A peer that sets the bits of slots that are being served, again and again,
			// has us glance once.
			if !glanced && p.stirred.Load() == 0 && p.glance() {
				glanced = true
				continue
			}
			start, others = time.Now(), false
			if !gave {
				gave = true
				giveWay(start, 0)
				start = time.Time{}
				continue
			}
			if begin.IsZero() {
				begin = start
			}
			p.stirred.Store(0)
			// Whom the last request woke runs here and now, and not when another
			// thread has been woken to take it over.
			runtime.Gosched()
			p.tell()
			p.poll()
			continue
		}
		now := time.Now()
		over := timeout >= 0 && now.Sub(begin) >= timeout
		p.tell()
		if whose = 1; p.expects() {
			whose = 0
		}
		if (len(p.hot) > 0 || p.asked()) && !over && linger(start, now.Sub(start), p.spin[whose], &others) {
			continue
		}
		if over {
			return Ready{Kind: ReadyTimeout}
		}
		if !p.coolAll() {
			continue
		}
		var end time.Time
		if timeout >= 0 {
			end = begin.Add(timeout)
		}
		p.sleep.Store(1)
		p.tell()
		if p.flag.Load() == 0 {
			p.doze(end)
		}
		p.sleep.Store(0)
		for _, b := range p.clients {
			atomic.StoreUint32(&b.hdr.ClientArmed, 0)
		}
		if p.nev > 0 {
			p.spin[whose] = spinNext(time.Since(start), p.spinMax)
			start = time.Time{}
		}
	}
}

// expects says whether a client may soon be back: one that was answered after its last
// request. Where the last thing that all of them did is to wait (a read of an empty pipe, a
// sleep), to look for more may be in vain, so how long these idle times are is learned apart.
func (p *Poller) expects() bool {
	for _, b := range p.hot {
		if b.owed.Load() > 0 {
			return true
		}
	}
	return false
}

// Lead is how the goroutine that has the role of a Poller calls other servers: what is
// answered soon it waits for itself, and goes on; else it gives the role to another first.
type Lead struct {
	Poller *Poller
	// Pass gives the role to another goroutine.
	Pass func()

	pause int // so many calls are not worth the wait, as the last one was not
}

const (
	// A call that was not answered within leadTime has leadPause others not waited for.
	leadTime  = 30 * time.Microsecond
	leadPause = 8
)

// await looks for the reply to a call. False: it takes its time, or there is something else
// to do.
func (l *Lead) await(sl *abi.Slot) bool {
	if l.pause > 0 {
		l.pause--
		return answered(sl)
	}
	p := l.Poller
	for n := p.close / 4; n > 0; n-- {
		if answered(sl) {
			return true
		}
		pause(1)
	}
	// Whom we have asked may be waiting for this processor.
	for start := time.Now(); !p.tempted(); {
		since := time.Since(start)
		if since >= leadTime {
			l.pause = leadPause
			break
		}
		if !giveWay(start, since) {
			l.pause = leadPause
			break
		}
		if answered(sl) || oneCore { // linger
			break
		}
		pause(1)
	}
	return answered(sl)
}

// tempted says whether there may be something for Wait to answer, or another goroutine to run.
func (p *Poller) tempted() bool {
	return p.flag.Load() != 0 || p.stirred.Load() != 0 || p.ready()
}

// ready says whether look may find something, and has what it is fetched meanwhile.
func (p *Poller) ready() bool {
	for _, b := range p.hot {
		if b.pending() {
			return true
		}
	}
	for _, b := range p.clients {
		if b.parked.Load() > 0 && b.answers() {
			return true
		}
	}
	return false
}

// asked says whether a call waits for its reply.
func (p *Poller) asked() bool {
	for _, b := range p.clients {
		if b.parked.Load() > 0 {
			return true
		}
	}
	return false
}

// coolAll lets all hot bindings and all servers that were asked ring, and says
// whether none had a request or a reply.
func (p *Poller) coolAll() bool {
	quiet := true
	for _, b := range p.clients {
		atomic.StoreUint32(&b.hdr.ClientArmed, 1)
		if some, _ := b.unpark(); some {
			quiet = false
		}
	}
	keep := p.hot[:0]
	for _, b := range p.hot {
		if !p.cool(b) {
			keep = append(keep, b)
		}
	}
	clear(p.hot[len(keep):])
	p.hot = keep
	return quiet && len(keep) == 0
}
