package core

import (
	"strings"
	"testing"
)

// A model of one direction of a stream that is lent: all interleavings of its writers and its readers,
// which are threads of two tasks, and the server, step by step as the libraries take them (emul,
// readStream and writeStream) and the server (takeBackStream and beginStream), on a ring of
// two bytes or three. Each of the three may be killed between any two steps, or a thread alone; the server comes again with
// what was committed. What a writer was told that it has written comes out once and in order,
// and nobody sleeps for ever. That this can fail is seen by leaving out one rule after the other.
//
// Of a pipe the server's queue is bounded, too, so that the writer sleeps there; it is lent with what is
// in it; and a message of at most two bytes is never read in part.

const (
	smRing = 3 // of some, the others' has two
	smFew  = 2 // bytes that are written to a pipe as a whole
)

type smWord struct {
	lent, reader, writer bool
	no, head, used       int8
}

// smRules are left out one at a time.
type smRules struct {
	wakes    bool // taking back wakes who sleeps
	compares bool // who goes to sleep compares the word once more
	marks    bool // who sleeps has said so
	numbers  bool // what another loan than the record's has left is not taken
	empties  bool // a loan that had not begun leaves an empty ring
	commits  bool // the word says lent when the record does
	exchange bool // words are changed by exchange
	recovers bool // the next incarnation takes back
	buries   bool // a stream is taken back when a task has ended
	// Of a pipe:
	fills  bool // what is in it is in the ring before it is so in the record
	backs  bool // a writer that sleeps in the server's write is sent back, too
	goesOn bool // with what is written
	wholes bool // a few bytes are written as a whole
	soon   bool // a writer is woken when there is room for these
	// Of tasks with many threads:
	claims  bool // who writes to a pipe says that he copies
	locks   bool // who moves an end's word has its lock
	breaks  bool // the lock of a thread that is gone is taken
	outlast bool // a lock is not taken because its loan is over
}

// Where a thread is.
const (
	smStart = iota
	smLock
	smClaim
	smLook
	smMark
	smFutex
	smAsleep // on the word
	smCopy
	smMove // of the word
	smServer
	smInServer // asleep there
	smOver
	smDead
)

// What the server is in the middle of.
const (
	smIdle = iota
	smBack // begins to take back
	smWake
	smNumber
	smTake
	smBegun
	smFill
)

// Which end has two threads.
const (
	smNone = iota
	smWriters
	smReaders
)

type smTask struct {
	pc, end, i, n, done, msg int8
	v                        smWord
	buf                      [smRing]byte
}

type smState struct {
	pipe, large bool
	many        int8 // which end has two threads, smWriters...
	word        smWord
	ring        [smRing]byte
	pos, rec    int8 // the loan's number in the descriptors' words, and in the record: 0, not lent
	last        int8
	queue, out  [8]byte
	nq, no, acc int8
	task        [4]smTask // two threads that write, two that read
	lock        [2]int8   // which thread has an end's, 0: none
	claim       bool
	server      int8
	late, gone  [2]bool // ends of which a call may have been under way; that the server knows to be closed
	lends, asks int8    // how often it may still be lent, or be taken back for others
	kills, dies int8    // of a task, of the server
	ends        int8    // of a thread alone
}

// writes are the messages of a thread.
func (s *smState) writes(t int) []string {
	switch {
	case t == 1:
		return []string{"x"}
	case s.many == smWriters:
		return []string{"ab"}
	case s.many == smReaders:
		return []string{"ab"}
	case s.large:
		return []string{"ab", "c"}
	case s.pipe:
		return []string{"abc", "ef"}
	}
	return []string{"abc", "d"}
}

// size is how many bytes the ring has.
func (s *smState) size() int8 {
	if s.large {
		return smRing
	}
	return smRing - 1
}

func (w smWord) half() smWord { w.head = 0; return w }

func (s *smState) wake() {
	for t := range s.task {
		if s.task[t].pc == smAsleep {
			s.task[t].pc = s.locks(t)
		}
	}
}

// locks is where a thread goes to work with the word: a lock that nobody else wants is none.
func (s *smState) locks(t int) int8 {
	switch {
	case t/2+1 == int(s.many):
		return smLock
	case t == 0 && s.pipe:
		return smClaim
	}
	return smLook
}

// over says whether an end's threads all are.
func (s *smState) over(end int) bool {
	return s.task[2*end].pc >= smOver && s.task[2*end+1].pc >= smOver
}

// dead says whether they were killed.
func (s *smState) dead(end int) bool {
	return s.task[2*end].pc == smDead && s.task[2*end+1].pc >= smOver
}

// inServer is how many of an end's sleep in the server.
func (s *smState) inServer(end int) (n int) {
	for _, x := range s.task[2*end : 2*end+2] {
		if x.pc == smInServer {
			n++
		}
	}
	return n
}

// step lets a thread take its next one.
func (s smState) step(t int, r *smRules) []smState {
	x, end := &s.task[t], t/2
	writer := end == 0
	to := func(pc int8) []smState { x.pc = pc; return []smState{s} }
	lent := func(w smWord) bool { return w.lent && w.no == x.end }
	unlock := func() {
		if s.lock[end] == int8(t+1) {
			s.lock[end] = 0
		}
		s.claim = s.claim && !writer
	}
	size := int8(0)
	if writer && x.pc < smOver {
		size = int8(len(s.writes(t)[x.msg]))
	}
	need := int8(1)
	if s.pipe && size <= smFew && r.wholes {
		need = size
	}
	wrote := func(n int8) {
		s.acc += n
		if x.done += n; x.done < size {
			x.pc = smLook
		} else if x.done, x.msg, x.pc = 0, x.msg+1, smStart; int(x.msg) == len(s.writes(t)) {
			x.pc = smOver
		}
		if x.pc == smLook && s.pos == 0 {
			x.pc = smServer
		}
	}
	switch x.pc {
	case smStart:
		if x.end = s.pos; x.end == 0 {
			return to(smServer)
		}
		return to(s.locks(t))
	case smLock:
		switch h := s.lock[end]; {
		case !r.locks:
		case h == 0, r.breaks && s.task[h-1].pc == smDead, !r.outlast && s.task[h-1].end != x.end:
			s.lock[end] = int8(t + 1)
		case !r.breaks && s.task[h-1].pc == smDead:
			return nil
		default:
			return to(smServer) // after a while
		}
		return to(smLook)
	case smClaim:
		s.claim = true
		return to(smLook)
	case smLook:
		x.v, x.i = s.word, 0
		switch {
		case !lent(x.v):
			unlock()
			return to(smServer)
		case writer && x.v.used+need > s.size(), !writer && x.v.used == 0:
			unlock()
			return to(smMark)
		case writer:
			x.n = min(s.size()-x.v.used, size-x.done)
		default:
			x.n = x.v.used
		}
		return to(smCopy)
	case smMark:
		if s.word != x.v && r.exchange {
			return to(s.locks(t))
		}
		if r.marks && writer {
			x.v.writer = true
		} else if r.marks {
			x.v.reader = true
		}
		s.word = x.v
		return to(smFutex)
	case smFutex:
		if s.word.half() != x.v.half() && r.compares {
			return to(s.locks(t))
		}
		return to(smAsleep)
	case smCopy:
		at := (x.v.head + x.i) % s.size()
		if writer {
			at = (x.v.head + x.v.used + x.i) % s.size()
			s.ring[at] = s.writes(t)[x.msg][x.done+x.i]
		} else {
			x.buf[x.i] = s.ring[at]
		}
		if x.i++; x.i == x.n {
			return to(smMove)
		}
		return to(smCopy)
	case smMove:
		w := s.word
		if !r.exchange {
			w = x.v
		}
		if !lent(w) || !writer && (w.used < x.n || w.head != x.v.head) || w.used+x.n > s.size() && writer {
			unlock()
			return to(smServer)
		}
		few := s.size() / 2
		if s.pipe && r.soon {
			few = s.size() - smFew
		} else if s.pipe {
			few = -1
		}
		if writer {
			w.used += x.n
			w.reader = false
		} else {
			w.used -= x.n
			w.head = (w.head + x.n) % 12
			w.writer = w.writer && w.used > few
		}
		woken := s.word.reader && writer || s.word.writer && !writer && !w.writer
		s.word = w
		if woken {
			s.wake()
		}
		if writer {
			wrote(x.n)
		} else {
			s.read(x.buf[:x.n])
			x.pc = smStart
		}
		if x.pc != smLook {
			unlock()
		}
		return []smState{s}
	case smServer:
		if s.server != smIdle {
			return nil
		}
		switch {
		case s.rec != 0 && s.late[end]:
			s.late[end] = false
			return to(smStart)
		case s.rec != 0:
			s.server = smBack
		case writer && s.gone[1]:
			x.pc = smOver
		case writer && s.pipe && s.nq+min(need, size-x.done) > s.size():
			x.pc = smInServer
		case writer:
			n := size - x.done
			if s.pipe {
				n = min(n, s.size()-s.nq)
			}
			for _, c := range []byte(s.writes(t)[x.msg][x.done : x.done+n]) {
				s.queue[s.nq&7] = c
				s.nq++
			}
			wrote(n)
		case s.nq > 0:
			n := min(s.nq, s.size())
			if s.pipe {
				n = s.some(n)
			}
			s.read(s.queue[:n])
			copy(s.queue[:], s.queue[n:])
			s.nq -= n
			clear(s.queue[s.nq:])
			x.pc = smStart
			if (s.nq == 0 || s.pipe) && s.lends > 0 && !s.gone[0] && s.inServer(1) == 0 && (s.inServer(0) == 0 || s.pipe && s.inServer(0) == 1) {
				return []smState{s, s.begin(r)}
			}
		case s.gone[0]:
			x.pc = smOver
		default:
			x.pc = smInServer
		}
		return []smState{s}
	case smInServer:
		if writer && (s.rec == 0 && s.server == smIdle && s.nq+min(need, size-x.done) <= s.size() || s.gone[1]) || !writer && (s.nq > 0 || s.gone[0]) {
			return to(smServer)
		}
	}
	return nil
}

// some is how much a read of a pipe's server takes of n bytes: a part, so that something is left, but not of a
// few bytes, so that the model can tell whether these were written in part.
func (s *smState) some(n int8) int8 {
	if n == 2 && s.queue[0] != 'e' {
		return 1
	}
	return n
}

func (s *smState) read(b []byte) {
	for _, c := range b {
		s.out[s.no&7] = c
		s.no++
	}
}

// begin is the first step of lending: the record, or what comes before it.
func (s smState) begin(r *smRules) smState {
	s.lends--
	if s.pipe && r.fills {
		s.server = smFill
		return s
	}
	s.last++
	s.pos = s.last
	s.late = [2]bool{true, true}
	if s.server = smBegun; r.commits {
		s.rec = s.last
	} else {
		s.word = smWord{lent: true, no: s.last, head: (s.word.head + s.word.used) % 12}
	}
	if s.nq > 0 { // it is not in the ring yet
		s.nq = -s.nq
	}
	return s
}

// fill puts what is in the queue into the ring.
func (s *smState) fill(no, n int8) {
	s.word = smWord{no: no, head: (s.word.head + s.word.used) % 12, used: n}
	for i := range n {
		s.ring[(s.word.head+i)%s.size()] = s.queue[i]
	}
}

// serve is what the server can do by itself.
func (s smState) serve(r *smRules) (next []smState) {
	one := func(s smState) { next = append(next, s) }
	switch n := s; s.server {
	case smBack:
		n.word.lent = false
		n.server = smWake
		one(n)
	case smWake:
		if r.wakes {
			n.wake()
		}
		n.server = smNumber
		one(n)
	case smNumber:
		if n.word.no != n.rec && r.numbers {
			n.word.no = n.rec
			if r.empties {
				n.word.head, n.word.used = (n.word.head+n.word.used)%12, 0
			}
			n.rec = -n.rec // there is nothing to be taken, if it lives until it commits
		}
		n.server = smTake
		one(n)
	case smTake:
		if n.rec > 0 {
			for i := range n.word.used {
				n.queue[n.nq&7] = n.ring[(n.word.head+i)%s.size()]
				n.nq++
			}
		}
		n.rec, n.pos, n.server = 0, 0, smIdle
		one(n)
	case smFill: // and commits
		if n.claim && n.nq > 0 && r.claims {
			n.server = smIdle
			one(n)
			break
		}
		n.fill(n.last+1, n.nq)
		one(n) // it dies before it commits
		next[0].server, next[0].pos = smFill, 0
		if next[0] == s {
			next = nil
		}
		n.last++
		n.pos, n.rec, n.late = n.last, n.last, [2]bool{true, true}
		n.nq = 0
		n.queue = [8]byte{}
		n.server = smBegun
		one(n)
	case smBegun:
		switch {
		case n.nq < 0:
			n.nq = -n.nq
			n.fill(n.rec, n.nq)
			n.nq, n.queue = 0, [8]byte{}
			n.word.lent = true
		case n.word.no == n.rec && n.word.used > 0:
			n.word.lent = true
		case r.commits:
			n.word = smWord{lent: true, no: n.rec, head: (n.word.head + n.word.used) % 12}
		default:
			n.rec = n.last
		}
		n.server = smIdle
		for t := range n.task {
			x := &n.task[t]
			if x.pc == smInServer && (t >= 2 || n.pipe && r.backs) {
				if x.pc = smStart; !r.goesOn {
					x.done = 0
				}
			}
		}
		one(n)
	case smIdle:
		if s.rec != 0 && s.asks > 0 {
			n.asks--
			n.server = smBack
			one(n)
		}
		if s.rec == 0 && s.nq == 0 && s.lends > 0 && !s.pipe && s.inServer(1) == 1 && s.gone == [2]bool{} {
			one(s.begin(r))
		}
		for end := range s.gone {
			if n := s; (n.dead(end) || end == 0 && n.over(end)) && !n.gone[end] {
				if n.rec != 0 && r.buries {
					n.server = smBack
				} else {
					n.gone[end] = true
				}
				one(n)
			}
		}
	}
	if s.dies > 0 {
		n := s
		n.dies--
		n.pos, n.server, n.late = 0, smIdle, [2]bool{}
		if n.nq < 0 {
			n.nq, n.queue = 0, [8]byte{}
		}
		if n.rec < 0 {
			n.rec = -n.rec
		}
		if n.rec != 0 && r.recovers {
			n.server = smBack
		} else {
			n.rec = 0
		}
		for t := range n.task {
			if n.task[t].pc == smInServer {
				n.task[t].pc = smServer
			}
		}
		one(n)
	}
	return next
}

// bad says what is wrong with what came out ("": nothing).
func (s *smState) bad() string {
	if s.no > 8 || s.nq > 8 || s.no > s.acc {
		return "too much"
	}
	out := string(s.out[:s.no])
	left := out
	for t := range 2 {
		all, mine := strings.Join(s.writes(t), ""), ""
		for _, c := range []byte(out) {
			if strings.IndexByte(all, c) >= 0 {
				mine += string(c)
				left = strings.Replace(left, string(c), "", 1)
			}
		}
		if !strings.HasPrefix(all, mine) {
			return out
		}
	}
	if left != "" {
		return out
	}
	return ""
}

// streamModel answers how many states there are, and what is wrong with one of them ("": nothing).
func streamModel(r *smRules, s smState) (states int, bad string) {
	if s.many != smWriters {
		s.task[1].pc = smOver
	}
	if s.many != smReaders {
		s.task[3].pc = smOver
	}
	seen := map[smState]bool{s: true}
	for todo := []smState{s}; len(todo) > 0; {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		next := s.serve(r)
		alive := len(next)
		if s.dies > 0 {
			alive-- // its death is no way out
		}
		for t := range s.task {
			l := s.step(t, r)
			for i := range l {
				// One that only asks the server again and again gets nowhere.
				if l[i] != s {
					alive++
				}
				if !s.pipe || t < 2 || l[i].no == s.no || l[i].no == 0 {
				} else if last := l[i].out[l[i].no-1]; last == 'e' {
					return len(seen), "a part: " + string(l[i].out[:l[i].no])
				}
			}
			next = append(next, l...)
			if n := s; s.kills > 0 && n.task[t].pc < smOver {
				n.kills--
				for o := range n.task[t&^1 : t|1+1] {
					if x := &n.task[t&^1+o]; x.pc < smOver {
						x.pc = smDead
					}
				}
				next = append(next, n)
			}
			if n := s; s.ends > 0 && n.task[t].pc < smOver {
				n.ends--
				n.task[t].pc = smDead
				next = append(next, n)
			}
		}
		if alive == 0 {
			switch {
			case !s.over(0) || !s.over(1):
				return len(seen), "somebody sleeps for ever: " + string(s.out[:s.no])
			case s.task[2].pc == smOver && s.task[3].pc == smOver && s.no != s.acc:
				return len(seen), "what was written has not come out: " + string(s.out[:s.no])
			}
		}
		for _, n := range next {
			if what := n.bad(); what != "" {
				return len(seen), "it came out as " + what
			}
			if !seen[n] {
				seen[n] = true
				todo = append(todo, n)
			}
		}
	}
	return len(seen), ""
}

func TestLentStreamModel(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine, and more states than memory holds beside the detector's")
	}
	all := smRules{true, true, true, true, true, true, true, true, true, true, true, true, true, true, true, true, true, true}
	cases := []smState{
		{lends: 2, asks: 1},
		{lends: 2, asks: 1, kills: 1},
		{lends: 2, dies: 2},
		{lends: 1, asks: 1, kills: 1, dies: 1},
		{lends: 3, dies: 1},
		{pipe: true, lends: 1, asks: 1},
		{pipe: true, lends: 1, kills: 1},
		{pipe: true, lends: 1, dies: 1},
		{pipe: true, large: true, lends: 1, asks: 1, pos: 1, rec: 1, last: 1, word: smWord{lent: true, no: 1}},
		{many: smWriters, lends: 2},
		{many: smReaders, lends: 1},
		{many: smWriters, lends: 1, ends: 1},
		{many: smReaders, lends: 1, ends: 1},
	}
	checkModel(t, streamModel, all, cases, 1000, map[string]func(r *smRules){
		"wakes":    func(r *smRules) { r.wakes = false },
		"compares": func(r *smRules) { r.compares = false },
		"marks":    func(r *smRules) { r.marks = false },
		"numbers":  func(r *smRules) { r.numbers = false },
		"empties":  func(r *smRules) { r.empties = false },
		"commits":  func(r *smRules) { r.commits = false },
		"exchange": func(r *smRules) { r.exchange = false },
		"recovers": func(r *smRules) { r.recovers = false },
		"buries":   func(r *smRules) { r.buries = false },
		"fills":    func(r *smRules) { r.fills = false },
		"backs":    func(r *smRules) { r.backs = false },
		"goes on":  func(r *smRules) { r.goesOn = false },
		"wholes":   func(r *smRules) { r.wholes = false },
		"soon":     func(r *smRules) { r.soon = false },
		"claims":   func(r *smRules) { r.claims = false },
		"locks":    func(r *smRules) { r.locks = false },
		"breaks":   func(r *smRules) { r.breaks = false },
		"outlast":  func(r *smRules) { r.outlast = false },
	})
}
