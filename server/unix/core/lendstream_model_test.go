package core

import "testing"

// A model of one direction of a stream that is lent: all interleavings of its writer and its reader,
// which are two tasks, and the server, step by step as the libraries take them (emul,
// readStream and writeStream) and the server (takeBackStream and beginStream), on a ring of
// two bytes. Each of the three may be killed between any two steps; the server comes again with
// what was committed. What the writer was told that it has written comes out once and in order,
// and nobody sleeps for ever. That this can fail is seen by leaving out one rule after the other.

const smRing = 2

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
}

// Where a task is.
const (
	smStart = iota
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
)

type smTask struct {
	pc, end, i, n, done, msg int8
	v                        smWord
	buf                      [smRing]byte
}

type smState struct {
	word        smWord
	ring        [smRing]byte
	pos, rec    int8 // the loan's number in the descriptors' words, and in the record: 0, not lent
	last        int8
	queue, out  [4]byte
	nq, no, acc int8
	task        [2]smTask // writer, reader
	server      int8
	gone        [2]bool // ends that the server knows to be closed
	lends, asks int8    // how often it may still be lent, or be taken back for others
	kills, dies int8    // of a task, of the server
}

var smWrites = []string{"abc", "d"}

func (w smWord) half() smWord { w.head = 0; return w }

func (s *smState) wake() {
	for t := range s.task {
		if s.task[t].pc == smAsleep {
			s.task[t].pc = smLook
		}
	}
}

// step lets the writer (0) or the reader take its next one.
func (s smState) step(t int, r *smRules) []smState {
	x := &s.task[t]
	to := func(pc int8) []smState { x.pc = pc; return []smState{s} }
	lent := func(w smWord) bool { return w.lent && w.no == x.end }
	wrote := func(n int8) {
		s.acc += n
		if x.done += n; int(x.done) < len(smWrites[x.msg]) {
			x.pc = smLook
		} else if x.done, x.msg, x.pc = 0, x.msg+1, smStart; int(x.msg) == len(smWrites) {
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
		return to(smLook)
	case smLook:
		x.v, x.i = s.word, 0
		switch {
		case !lent(x.v):
			return to(smServer)
		case t == 0 && x.v.used == smRing, t == 1 && x.v.used == 0:
			return to(smMark)
		case t == 0:
			x.n = min(smRing-x.v.used, int8(len(smWrites[x.msg]))-x.done)
		default:
			x.n = x.v.used
		}
		return to(smCopy)
	case smMark:
		if s.word != x.v && r.exchange {
			return to(smLook)
		}
		if r.marks && t == 0 {
			x.v.writer = true
		} else if r.marks {
			x.v.reader = true
		}
		s.word = x.v
		return to(smFutex)
	case smFutex:
		if s.word.half() != x.v.half() && r.compares {
			return to(smLook)
		}
		return to(smAsleep)
	case smCopy:
		at := (x.v.head + x.i) % smRing
		if t == 0 {
			at = (x.v.head + x.v.used + x.i) % smRing
			s.ring[at] = smWrites[x.msg][x.done+x.i]
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
		if !lent(w) || t == 1 && (w.used < x.n || w.head != x.v.head) {
			return to(smServer)
		}
		if t == 0 {
			w.used += x.n
			w.reader = false
		} else {
			w.used -= x.n
			w.head = (w.head + x.n) % 8
			w.writer = w.writer && w.used > smRing/2
		}
		woken := s.word.reader && t == 0 || s.word.writer && t == 1 && !w.writer
		s.word = w
		if woken {
			s.wake()
		}
		if t == 0 {
			wrote(x.n)
		} else {
			for _, c := range x.buf[:x.n] {
				s.out[s.no&3] = c
				s.no++
			}
			x.pc = smStart
		}
		return []smState{s}
	case smServer:
		if s.server != smIdle {
			return nil
		}
		switch {
		case s.rec != 0:
			s.server = smBack
		case t == 0 && s.gone[1]:
			x.pc = smOver
		case t == 0:
			n := int8(len(smWrites[x.msg])) - x.done
			for _, c := range []byte(smWrites[x.msg][x.done:]) {
				s.queue[s.nq&3] = c
				s.nq++
			}
			wrote(n)
		case s.nq > 0:
			n := min(s.nq, smRing)
			for _, c := range s.queue[:n] {
				s.out[s.no&3] = c
				s.no++
			}
			copy(s.queue[:], s.queue[n:])
			s.nq -= n
			clear(s.queue[s.nq:])
			x.pc = smStart
			if s.nq == 0 && s.lends > 0 && !s.gone[0] {
				return []smState{s, s.begin(r)}
			}
		case s.gone[0]:
			x.pc = smOver
		default:
			x.pc = smInServer
		}
		return []smState{s}
	case smInServer:
		if s.nq > 0 || s.gone[0] {
			return to(smServer)
		}
	}
	return nil
}

// begin is the first step of lending: the record.
func (s smState) begin(r *smRules) smState {
	s.lends--
	s.last++
	s.pos = s.last
	if s.server = smBegun; r.commits {
		s.rec = s.last
	} else {
		s.word = smWord{lent: true, no: s.last, head: (s.word.head + s.word.used) % 8}
	}
	return s
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
				n.word.head, n.word.used = (n.word.head+n.word.used)%8, 0
			}
			n.rec = -n.rec // there is nothing to be taken, if it lives until it commits
		}
		n.server = smTake
		one(n)
	case smTake:
		if n.rec > 0 {
			for i := range n.word.used {
				n.queue[n.nq&3] = n.ring[(n.word.head+i)%smRing]
				n.nq++
			}
		}
		n.rec, n.pos, n.server = 0, 0, smIdle
		one(n)
	case smBegun:
		if r.commits {
			n.word = smWord{lent: true, no: n.rec, head: (n.word.head + n.word.used) % 8}
		} else {
			n.rec = n.last
		}
		if n.server = smIdle; n.task[1].pc == smInServer {
			n.task[1].pc = smStart
		}
		one(n)
	case smIdle:
		if s.rec != 0 && s.asks > 0 {
			n.asks--
			n.server = smBack
			one(n)
		}
		if s.rec == 0 && s.nq == 0 && s.lends > 0 && s.task[1].pc == smInServer && s.gone == [2]bool{} {
			one(s.begin(r))
		}
		for t := range s.task {
			if n := s; (n.task[t].pc == smDead || t == 0 && n.task[t].pc == smOver) && !n.gone[t] {
				if n.rec != 0 && r.buries {
					n.server = smBack
				} else {
					n.gone[t] = true
				}
				one(n)
			}
		}
	}
	if s.dies > 0 {
		n := s
		n.dies--
		n.pos, n.server = 0, smIdle
		if n.rec < 0 {
			n.rec = -n.rec
		}
		if n.rec != 0 && r.recovers {
			n.server = smBack
		} else {
			n.rec = 0
		}
		if n.task[1].pc == smInServer {
			n.task[1].pc = smServer
		}
		one(n)
	}
	return next
}

// streamModel answers how many states there are, and what is wrong with one of them ("": nothing).
func streamModel(r *smRules, s smState) (states int, bad string) {
	const all = "abcd"
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
			alive += len(l)
			next = append(next, l...)
			if n := s; s.kills > 0 && n.task[t].pc < smOver {
				n.kills--
				n.task[t].pc = smDead
				next = append(next, n)
			}
		}
		if alive == 0 {
			w, r := s.task[0].pc, s.task[1].pc
			switch {
			case w < smOver || r < smOver:
				return len(seen), "somebody sleeps for ever: " + string(s.out[:s.no])
			case r == smOver && s.no != s.acc:
				return len(seen), "what was written has not come out: " + string(s.out[:s.no])
			}
		}
		for _, n := range next {
			if n.no > 4 || n.nq > 4 || n.no > n.acc || string(n.out[:n.no]) != all[:n.no] {
				return len(seen), "it came out as " + string(n.out[:min(n.no, 4)])
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
	all := smRules{true, true, true, true, true, true, true, true, true}
	cases := []smState{
		{lends: 2, asks: 1},
		{lends: 2, asks: 1, kills: 1},
		{lends: 2, dies: 2},
		{lends: 2, asks: 1, kills: 1, dies: 1},
		{lends: 3, asks: 1, dies: 1},
	}
	for i, c := range cases {
		if n, bad := streamModel(&all, c); bad != "" || n < 1000 {
			t.Errorf("case %d: %d states: %s", i, n, bad)
		} else {
			t.Logf("case %d: %d states", i, n)
		}
	}
	for what, leave := range map[string]func(r *smRules){
		"wakes":    func(r *smRules) { r.wakes = false },
		"compares": func(r *smRules) { r.compares = false },
		"marks":    func(r *smRules) { r.marks = false },
		"numbers":  func(r *smRules) { r.numbers = false },
		"empties":  func(r *smRules) { r.empties = false },
		"commits":  func(r *smRules) { r.commits = false },
		"exchange": func(r *smRules) { r.exchange = false },
		"recovers": func(r *smRules) { r.recovers = false },
		"buries":   func(r *smRules) { r.buries = false },
	} {
		r, bad := all, ""
		leave(&r)
		for i := 0; i < len(cases) && bad == ""; i++ {
			_, bad = streamModel(&r, cases[i])
		}
		if bad == "" {
			t.Errorf("nothing is wrong without %q", what)
		}
		t.Logf("without %q: %s", what, bad)
	}
}
