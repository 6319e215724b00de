package core

import (
	"hythe/abi"
	"hythe/store"
)

// WaitQueue is where goroutines and watchers wait for something to change. It
// is derived state: after a restart every sleeping call runs again and finds
// its queue anew. The zero value is ready. Guarded by Kernel.mu.
type WaitQueue struct {
	head, tail *waitEntry
	async      []store.Ref[File] // whose owners are told (async.go)
}

// waitEntry is a place in one queue. fn runs with the lock held when the queue
// is woken; it must not sleep, and may remove entries.
type waitEntry struct {
	q          *WaitQueue
	prev, next *waitEntry
	fn         func(ev uint32)
}

// Watch adds a watcher that is called at every wake-up until Unwatch.
func (q *WaitQueue) Watch(fn func(ev uint32)) *waitEntry {
	e := &waitEntry{fn: fn}
	q.add(e)
	return e
}

func (q *WaitQueue) add(e *waitEntry) {
	e.q = q
	e.prev = q.tail
	e.next = nil
	if q.tail != nil {
		q.tail.next = e
	} else {
		q.head = e
	}
	q.tail = e
}

// Unwatch removes the entry; removing twice is harmless.
func (e *waitEntry) Unwatch() {
	q := e.q
	if q == nil {
		return
	}
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		q.head = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		q.tail = e.prev
	}
	e.q, e.prev, e.next = nil, nil, nil
}

// Wake tells everybody in the queue that something changed; ev is a mask of
// Poll... bits that tells what (^0: anything).
func (q *WaitQueue) Wake(ev uint32) {
	for e := q.head; e != nil; {
		next := e.next
		e.fn(ev)
		// fn may have removed next; then start again from what is left of the
		// chain. Queues are short and this is rare.
		if next != nil && next.q != q {
			next = q.head
		}
		e = next
	}
}

// Empty says whether nobody waits.
func (q *WaitQueue) Empty() bool { return q.head == nil }

// sleeper is a call that sleeps. reason is set once, by whoever wakes it.
type sleeper struct {
	k      *Kernel
	ch     chan struct{}
	gen    uint64 // counts sleeps, so that a late timer cannot end a later one
	woken  bool
	reason sleepReason
}

type sleepReason uint8

const (
	wokeNone sleepReason = iota
	wokeQueue
	wokeSignal
	wokeTimeout
	wokeGone // the task died: unwind and answer nobody
)

func (s *sleeper) wake(r sleepReason) {
	if s.woken {
		return
	}
	s.woken = true
	s.reason = r
	s.k.woken = true
	s.ch <- struct{}{}
}

// sleeps answers the call's sleeper, ready for use.
func (c *Call) sleeps() *sleeper {
	s := &c.sleeper
	s.k = c.K
	if s.ch == nil {
		s.ch = make(chan struct{}, 1)
	}
	return s
}

// NoDeadline as a deadline of Sleep means for ever.
const NoDeadline = int64(1<<63 - 1)

// Sleep commits, gives up the lock and waits until one of the queues is woken
// (0), the monotonic time deadline passes (ETIMEDOUT), a signal is to be
// handled by the thread or its task is gone (ErrRestart). On return the lock is held
// and a new transaction has begun: everything read before must be read again.
// With queues, 0 is no promise: the caller looks again, and sleeps again.
// A caller that gets ErrRestart returns it, or EINTR where POSIX says that a
// call is never restarted.
func (c *Call) Sleep(deadline int64, queues ...*WaitQueue) abi.Errno {
	k := c.K
	if e := c.Interrupted(); e != 0 {
		return e
	}
	if deadline != NoDeadline && k.Clock.Mono() >= deadline {
		return abi.ETIMEDOUT
	}
	s := c.sleeps()
	s.woken, s.reason = false, wokeNone
	s.gen++
	gen := s.gen
	var buf [4]*waitEntry
	entries := buf[:0]
	for _, q := range queues {
		entries = append(entries, q.Watch(func(uint32) { s.wake(wokeQueue) }))
	}
	rt := k.threadRT(c.T)
	rt.sleeping, rt.call = s, c
	var cancel func()
	if deadline != NoDeadline {
		cancel = k.Clock.After(deadline, func() {
			k.mu.Lock()
			if rt.sleeping == s && s.gen == gen {
				s.wake(wokeTimeout)
			}
			k.mu.Unlock()
		})
	}
	c.release()
	<-s.ch
	c.reacquire()
	rt.sleeping, rt.call = nil, nil
	for _, e := range entries {
		e.Unwatch()
	}
	if cancel != nil {
		cancel()
	}
	switch {
	case s.reason == wokeTimeout:
		return abi.ETIMEDOUT
	case s.reason == wokeGone:
		return abi.ErrRestart
	case len(queues) > 0 && !rt.gone:
		// What was waited for comes before a signal that came with it, as a child's
		// end does with SIGCHLD; without it, the next Sleep tells of the signal.
		return 0
	}
	return abi.ErrRestart
}

// Unlocked commits, gives up the lock while fn runs (a call to another server
// or to the nucleus), and takes it again.
func (c *Call) Unlocked(fn func()) {
	c.release()
	fn()
	c.reacquire()
}

func (c *Call) release() {
	c.K.Leave()
	c.outside, c.seen.asked = true, true
	if c.Leader {
		c.Leader = false
		c.K.HandOver()
	}
}

func (c *Call) reacquire() {
	c.K.Enter()
	c.outside = false
}

// Interrupted answers ErrRestart when the thread has a signal to handle or is
// to end, else 0.
func (c *Call) Interrupted() abi.Errno {
	if c.T == 0 {
		return 0
	}
	if c.K.threadRT(c.T).gone || c.K.signalPending(c.T) {
		return abi.ErrRestart
	}
	return 0
}
