package core

import (
	"strings"
	"testing"
)

// A model of a pipe that is lent: all interleavings of two writers, two readers and the server,
// step by step as the library takes them (emul, readPipe and writePipe) and the server
// (takeBackPipe and lendPipe), on a ring of three bytes. Messages come out whole, once, in the
// order of their writer, and nobody sleeps for ever. That this can fail is seen by leaving
// out one rule after the other.

const modelRing = 3

type modelWord struct {
	lent, claim    bool
	no, head, used int8
}

// modelRules are left out one at a time.
type modelRules struct {
	claim      bool // a writer claims the ring
	freed      bool // a ring that is claimed is lent to nobody
	begins     bool // the library begins by exchange with what the server found
	sleepers   bool // it is not lent while somebody sleeps
	byExchange bool // a reader moves the word by exchange
}

// Where a thread is.
const (
	mStart = iota // of a call
	mLook         // it knows the end's number
	mClaim
	mCopy
	mLook2
	mPublish
	mServer
	mAsleep
	mBegin // carries out ActLend
	mDone
)

type modelThread struct {
	pc, end, i   int8
	pos          modelWord
	buf          [modelRing]byte
	msg          int8 // the writer's next
	actFrom      modelWord
	actNo, count int8
}

type modelState struct {
	word    modelWord
	ring    [modelRing]byte
	end     int8 // number in the descriptors' words, 0: not lent
	rec     int8 // number in the state of record, 0: not lent
	data    [8]byte
	out     [8]byte
	nd, no  int8
	threads [4]modelThread
	polls   int8 // how often the server still takes it back for itself
}

// modelCase is what the first two threads write, how much the others read at once and how often
// (the last one until all is read), and how often the server takes it back for itself.
type modelCase struct {
	writes [2][]string
	reads  [2]int8
	times  int8
	polls  int8
}

var modelCases = []modelCase{
	{[2][]string{{"aA", "bB"}, {"cC"}}, [2]int8{0, 3}, 0, 2},
	{[2][]string{{"a", "b", "d"}, {"cC"}}, [2]int8{0, 3}, 0, 1},
	{[2][]string{{"aA", "b", "d"}}, [2]int8{3, 1}, 2, 1},
	{[2][]string{{"aA", "b", "d"}}, [2]int8{3, 1}, 2, 0},
}

func (s *modelState) takeBack() {
	if s.rec == 0 {
		return
	}
	s.word.lent = false
	if s.word.no == s.rec {
		for i := range min(s.word.used, modelRing) {
			s.data[s.nd&7] = s.ring[(s.word.head+i)%modelRing]
			s.nd++
		}
	} else {
		s.word = modelWord{claim: s.word.claim, no: s.rec}
	}
	s.rec, s.end = 0, 0
}

// step lets thread t take its next one, in all ways that it can.
func (s modelState) step(t int, r *modelRules, x *modelCase) (next []modelState) {
	th := &s.threads[t]
	writer := t < 2
	then := func(pc int8) []modelState { th.pc = pc; return []modelState{s} }
	lent := func(w modelWord) bool { return w.lent && w.no == th.end }
	finish := func() {
		*th = modelThread{msg: th.msg + 1, count: th.count}
		if writer && int(th.msg) == len(x.writes[t]) || t == 2 && th.msg == x.times {
			th.pc = mDone
		}
		if t == 3 {
			th.msg = 0
		}
	}
	size := int8(0)
	if writer && th.pc != mDone {
		size = int8(len(x.writes[t][th.msg]))
	}
	switch th.pc {
	case mStart:
		if th.end = s.end; th.end == 0 {
			return then(mServer)
		}
		return then(mLook)
	case mLook:
		th.pos = s.word
		w := th.pos
		switch {
		case !lent(w), writer && w.used+size > modelRing, writer && w.claim && r.claim, !writer && w.used == 0:
			return then(mServer)
		case writer && r.claim:
			return then(mClaim)
		}
		th.i = 0
		return then(mCopy)
	case mClaim:
		if s.word != th.pos {
			return then(mLook)
		}
		s.word.claim = true
		th.i = 0
		return then(mCopy)
	case mCopy:
		if writer {
			s.ring[(th.pos.head+th.pos.used+th.i)%modelRing] = x.writes[t][th.msg][th.i]
			if th.i++; th.i == size {
				return then(mLook2)
			}
			return then(mCopy)
		}
		th.buf[th.i] = s.ring[(th.pos.head+th.i)%modelRing]
		if th.i++; th.i == min(th.pos.used, x.reads[t-2]) {
			return then(mPublish)
		}
		return then(mCopy)
	case mLook2:
		if th.pos = s.word; !lent(th.pos) {
			s.word.claim = false
			return then(mServer)
		}
		return then(mPublish)
	case mPublish:
		if s.word != th.pos && (writer || r.byExchange) {
			if writer {
				return then(mLook2)
			}
			return then(mLook)
		}
		if writer {
			s.word.used += size
			s.word.claim = false
		} else {
			s.word.used -= th.i
			s.word.head += th.i
			for _, c := range th.buf[:th.i] {
				s.out[s.no&7] = c
				s.no++
			}
		}
		finish()
		return []modelState{s}
	case mServer, mAsleep:
		s.takeBack()
		if writer {
			for _, c := range []byte(x.writes[t][th.msg]) {
				s.data[s.nd&7] = c
				s.nd++
			}
			finish()
			return []modelState{s}
		}
		if s.nd == 0 {
			return then(mAsleep)
		}
		m := min(s.nd, x.reads[t-2])
		for _, c := range s.data[:m] {
			s.out[s.no&7] = c
			s.no++
		}
		copy(s.data[:], s.data[m:])
		s.nd -= m
		clear(s.data[s.nd:])
		finish()
		next = []modelState{s}
		sleeps := false
		for _, o := range s.threads {
			sleeps = sleeps || o.pc == mAsleep
		}
		if s.nd == 0 && th.pc == mStart && th.count < 2 && (!sleeps || !r.sleepers) && (!s.word.claim || !r.freed) {
			th.count++
			th.pc, th.actFrom, th.actNo = mBegin, s.word, s.word.no+1
			s.rec, s.end = th.actNo, th.actNo
			next = append(next, s)
		}
		return next
	case mBegin:
		if s.word == th.actFrom || !r.begins {
			s.word = modelWord{lent: true, no: th.actNo}
		}
		th.actFrom, th.actNo = modelWord{}, 0
		return then(mStart)
	}
	return nil
}

// model answers how many states there are, and what is wrong with one of them ("": nothing).
func model(r *modelRules, x *modelCase) (states int, bad string) {
	s := modelState{polls: x.polls}
	all := int8(len(strings.Join(append(x.writes[0], x.writes[1]...), "")))
	for t := range s.threads {
		if t < 2 && len(x.writes[t]) == 0 || t >= 2 && x.reads[t-2] == 0 {
			s.threads[t].pc = mDone
		}
	}
	seen := map[modelState]bool{s: true}
	for todo := []modelState{s}; len(todo) > 0; {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		var next []modelState
		for t, th := range s.threads {
			// Who sleeps is woken by the server that has something for him.
			if th.pc != mAsleep || s.nd > 0 {
				next = append(next, s.step(t, r, x)...)
			}
		}
		if s.polls > 0 && s.rec != 0 {
			p := s
			p.polls--
			p.takeBack()
			next = append(next, p)
		}
		if len(next) == 0 && s.no != all {
			return len(seen), "somebody sleeps for ever: " + string(s.out[:s.no])
		}
		for _, n := range next {
			if n.no > all || n.nd > all || !modelWhole(string(n.out[:n.no]), x.writes) {
				return len(seen), "it came out as " + string(n.out[:min(n.no, 8)])
			}
			if !seen[n] {
				seen[n] = true
				todo = append(todo, n)
			}
		}
	}
	return len(seen), ""
}

// modelWhole says whether what came out begins as the messages do, whole, each once and in the
// order of its writer.
func modelWhole(out string, writes [2][]string) bool {
	if out == "" {
		return true
	}
	for i := range writes {
		left := writes
		if len(left[i]) == 0 {
			continue
		}
		m := left[i][0]
		left[i] = left[i][1:]
		if rest, ok := strings.CutPrefix(out, m); ok && modelWhole(rest, left) || len(out) < len(m) && strings.HasPrefix(m, out) {
			return true
		}
	}
	return false
}

func TestLentPipeModel(t *testing.T) {
	all := modelRules{true, true, true, true, true}
	checkModel(t, func(r *modelRules, c modelCase) (int, string) { return model(r, &c) }, all, modelCases, 1000, map[string]func(r *modelRules){
		"claim":       func(r *modelRules) { r.claim = false },
		"freed":       func(r *modelRules) { r.freed = false },
		"begins":      func(r *modelRules) { r.begins = false },
		"sleepers":    func(r *modelRules) { r.sleepers = false },
		"by exchange": func(r *modelRules) { r.byExchange = false },
	})
}
