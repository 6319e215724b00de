package core

import "testing"

// A model of a stream that is lent while one end waits for it in an epoll set: all interleavings of the
// writer's library (emul, streamPut and streamTell), the waiter's (epollLent), and the server (EpollWait,
// StreamsChanged), step by step. The writer and the server may be killed between any two steps. Whoever
// waits gets all that was put, and does not sleep for ever. That this can fail is seen by leaving out
// one rule after the other.

// pmRules are left out one at a time.
type pmRules struct {
	again   bool // who is about to sleep looks again when he has said so
	disarms bool // who does not sleep after all says so no more
	tells   bool // the writer looks who sleeps when he has put
	order   bool // what there is to be seen is there before the bit that has the server look
	looks   bool // the server looks at that with a request of the same slot, too
	wakes   bool // taking back wakes who sleeps
	buries  bool // a stream is taken back when the writer has ended
}

// Where the writer is.
const (
	pmPut = iota
	pmSees
	pmClears
	pmChanged
	pmPending
	pmCalls  // asks the server to write
	pmServed // waits for it
	pmRests  // has nothing more to write, and may ask for something else
	pmOver
	pmDead
)

// Where the waiter is: in his library, and then in the server, which holds the lock as long as it is in none but the first two.
const (
	pmLooks = iota
	pmAsleep
	pmFirst
	pmArm
	pmSecond
	pmSleeps
	pmDisarm
)

type pmState struct {
	lent               bool
	used, queue        int8
	mark, armed        bool
	changed, pending   bool
	request            bool // of the writer, in his slot: to write
	rests              bool // something else
	seen               bool // the server has taken the bit
	writer, waiter     int8
	puts, got          int8
	dies, kills, takes int8 // of the server, of the writer; how often it may be taken back for others
	gone               bool // the server knows that the writer is
}

const pmPuts = 3

// back takes the stream back.
func (s *pmState) back(r *pmRules) {
	s.lent, s.queue, s.used = false, s.queue+s.used, 0
	if s.waiter == pmAsleep && r.wakes {
		s.waiter = pmDisarm
	}
}

func (s pmState) next(r *pmRules) (next []pmState) {
	one := func(s pmState) { next = append(next, s) }
	n := s
	put := func() {
		if n.puts++; n.puts == pmPuts {
			n.writer = pmRests
		} else {
			n.writer = pmPut
		}
	}
	switch s.writer {
	case pmPut:
		if n.writer = pmCalls; s.lent {
			n.used++
			if n.writer = pmSees; !r.tells {
				put()
			}
		}
		one(n)
	case pmSees:
		if n.writer = pmClears; !s.mark {
			put()
		}
		one(n)
	case pmClears:
		n.mark = false
		if n.writer = pmChanged; !r.order {
			n.writer = pmPending
		}
		one(n)
	case pmChanged:
		n.changed = true
		if n.writer = pmPending; !r.order {
			put()
		}
		one(n)
	case pmPending:
		n.pending = true
		if n.writer = pmChanged; r.order {
			put()
		}
		one(n)
	case pmCalls:
		n.request, n.pending, n.writer = true, true, pmServed
		one(n)
	case pmRests:
		n.writer = pmOver
		one(n)
		n.rests, n.pending = true, true
		one(n)
	}
	n = s
	locked := s.waiter > pmAsleep
	switch s.waiter {
	case pmLooks:
		if n.waiter = pmFirst; s.lent && s.used > 0 {
			n.got, n.used, n.waiter = n.got+n.used, 0, pmLooks
		}
		one(n)
	case pmFirst, pmSecond:
		switch have := s.used + s.queue; {
		case have > 0:
			n.got, n.used, n.queue, n.waiter = n.got+have, 0, 0, pmLooks
			if s.armed && r.disarms {
				n.armed, n.mark = false, false
			}
		case s.waiter == pmFirst && s.lent && !s.armed:
			n.waiter = pmArm
		default:
			n.waiter = pmSleeps
		}
		one(n)
	case pmArm:
		n.armed, n.mark = true, true
		if n.waiter = pmSecond; !r.again {
			n.waiter = pmSleeps
		}
		one(n)
	case pmSleeps:
		n.waiter = pmAsleep
		one(n)
	case pmDisarm:
		n.armed, n.mark, n.waiter = false, false, pmFirst
		one(n)
	}
	n = s
	if !locked {
		if s.pending && !s.seen {
			n.pending, n.seen = false, true
			one(n)
		}
		if n := s; s.seen {
			n.seen = false
			if s.changed && (r.looks || !s.request && !s.rests) {
				if n.changed = false; s.waiter == pmAsleep && s.armed {
					n.waiter = pmDisarm
				}
			}
			if s.request { // which finds the descriptor
				n.request = false
				n.back(r)
				n.queue++
				if n.waiter == pmAsleep {
					n.waiter = pmDisarm
				}
				if n.puts++; n.puts == pmPuts {
					n.writer = pmRests
				} else {
					n.writer = pmPut
				}
			}
			one(n)
		}
		if n := s; s.lent && s.takes > 0 {
			n.takes--
			n.back(r)
			one(n)
		}
		if n := s; s.writer == pmDead && !s.gone {
			if n.gone = true; r.buries && s.lent {
				n.back(r)
			}
			one(n)
		}
	}
	if n := s; s.kills > 0 && s.writer < pmOver {
		n.kills--
		n.writer, n.request, n.rests = pmDead, false, false
		one(n)
	}
	if n := s; s.dies > 0 {
		n.dies--
		n.seen, n.armed = false, false
		n.back(r)
		if n.request || n.rests {
			n.pending = true // it looks at all slots
		}
		if n.waiter != pmLooks {
			n.waiter = pmFirst // the call runs again
		}
		one(n)
	}
	return next
}

func pollModel(r *pmRules, s pmState) (states int, bad string) {
	seen := map[pmState]bool{s: true}
	for todo := []pmState{s}; len(todo) > 0; {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		next := s.next(r)
		alive := 0
		for _, n := range next {
			if n.dies == s.dies {
				alive++ // its death is no way out
			}
			if !seen[n] {
				seen[n] = true
				todo = append(todo, n)
			}
		}
		if alive == 0 && s.used+s.queue > 0 {
			return len(seen), "somebody sleeps beside what was put"
		}
		if alive == 0 && s.writer < pmOver {
			return len(seen), "the writer waits for ever"
		}
	}
	return len(seen), ""
}

func TestPolledStreamModel(t *testing.T) {
	all := pmRules{true, true, true, true, true, true, true}
	cases := []pmState{{lent: true}, {lent: true, takes: 1}, {lent: true, kills: 1}, {lent: true, dies: 2}, {lent: true, takes: 1, kills: 1, dies: 1}}
	checkModel(t, pollModel, all, cases, 30, map[string]func(r *pmRules){
		"again":   func(r *pmRules) { r.again = false },
		"disarms": func(r *pmRules) { r.disarms = false },
		"tells":   func(r *pmRules) { r.tells = false },
		"order":   func(r *pmRules) { r.order = false },
		"looks":   func(r *pmRules) { r.looks = false },
		"wakes":   func(r *pmRules) { r.wakes = false },
		"buries":  func(r *pmRules) { r.buries = false },
	})
}
