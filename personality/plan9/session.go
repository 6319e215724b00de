package plan9

import (
	"slices"
	"strings"

	"hythe/abi"
	"hythe/server/unix/core"
	"hythe/store"
)

// The client's end of 9P. A session is a connection to a server, which is a guest's: it may
// say anything, or nothing. Whoever asks it something puts the request into the session
// and waits; whoever waits moves what there is, requests out and answers in, for all.
//
//	made --(put into Out)--> waiting --answer--> answered --(call ends)--> gone
//	                            |  note                 |
//	                            +------> abandoned --answer, or its flush's--> gone
//
// All of it is state of record. A call that runs again after a death of the unix server asks
// the same in the same order, and finds what it has asked: a request is the Step'th of a
// thread's call (Seq, and Prog, what Progress was).

// session is one connection.
type session struct {
	File             store.Ref[core.File] // the stream, held; 0 when it has ended
	Handle           store.Ref[core.File] // the open file that stands for it, not held
	State            uint32
	Msize            uint32
	NextFid, NextTag uint32
	Idle             uint32 // nobody has it but the stream, whoever has that: File is not held, Handle none
	Gen              uint32 // of an idle one's File
	Waiting          uint32 // requests that were not answered
	InUsed, OutUsed  uint32
	First            store.Ref[request]
	In, Out          store.Block // a message that is not complete; what is to be sent
}

// States of a session.
const (
	sessNew   = 0 // versions were not exchanged
	sessReady = 1
	sessDead  = 2
)

// request is what a server was asked.
type request struct {
	Next   store.Ref[request]
	Sess   store.Ref[session]
	Thread store.Ref[core.Thread]
	Gen    uint32
	Seq    uint64
	Prog   uint64
	Step   uint32
	State  uint32
	Type   uint32
	Tag    uint32
	Fid    uint32 // that the answer makes, noFid: none
	Old    uint32 // of a flush: whose tag; of a walk: how many names; of a write: how many bytes
	Reply  store.Block
}

// States of a request.
const (
	reqWaiting   = 1
	reqAnswered  = 2
	reqAbandoned = 3
)

// Bounds: sessions; of one session bytes to be sent, requests without answer, and requests
// of calls, which keep the answers until they end. What nobody waits for (flush, clunk) may
// be more; a server that leaves even that is cut off. There is a record for all of these, so
// that no session is without one for what others ask.
const (
	maxSessions = 256
	maxRequests = maxSessions * (maxAsked + maxPosted9)
	maxAsked    = 1024
	outSize     = 64 << 10
	outWait     = outSize - 2*maxMsg
	maxWaiting  = 192
	maxPosted9  = 512
)

// remote is the derived part of it.
type remote struct {
	// mine are the requests of each thread's call, steps how far it is.
	mine  map[store.Ref[core.Thread]][]store.Ref[request]
	steps map[store.Ref[core.Thread]]*stepping
	wake  map[store.Ref[session]]*core.WaitQueue
	// fetching are the programs that a thread's call fetches.
	fetching map[store.Ref[core.Thread]]store.Ref[fetch]
	// unsent are idle sessions that have something to be sent.
	unsent []store.Ref[session]
}

// versionStep is the step in which versions are exchanged, which a call that runs again
// finds done.
const versionStep = 1<<32 - 1

type stepping struct {
	seq, prog uint64
	n         uint32
	asked     []store.Ref[session] // in this call
}

func (p *Personality) initRemote() {
	p.sessions = store.NewTable[session](p.K.Heap, tabSessions, maxSessions)
	p.requests = store.NewTable[request](p.K.Heap, tabRequests, maxRequests)
	p.fetches = store.NewTable[fetch](p.K.Heap, tabFetches, maxFetches)
	p.remote = remote{map[store.Ref[core.Thread]][]store.Ref[request]{}, map[store.Ref[core.Thread]]*stepping{}, map[store.Ref[session]]*core.WaitQueue{}, map[store.Ref[core.Thread]]store.Ref[fetch]{}, nil}
	p.fetches.Each(func(r store.Ref[fetch], m *fetch) bool {
		p.remote.fetching[m.Thread] = r
		return true
	})
	p.sessions.Each(func(s store.Ref[session], m *session) bool {
		if m.Idle != 0 && m.OutUsed > 0 {
			p.remote.unsent = append(p.remote.unsent, s)
		}
		return true
	})
	p.requests.Each(func(r store.Ref[request], q *request) bool {
		if q.State != reqAbandoned {
			p.remote.mine[q.Thread] = append(p.remote.mine[q.Thread], r)
		}
		return true
	})
}

func (p *Personality) queue(s store.Ref[session]) *core.WaitQueue {
	q := p.remote.wake[s]
	if q == nil {
		q = &core.WaitQueue{}
		p.remote.wake[s] = q
	}
	return q
}

// newSession makes one over a stream; its handle has no reference yet.
func (p *Personality) newSession(f store.Ref[core.File]) (store.Ref[session], abi.Errno) {
	k := p.K
	s, m := p.sessions.New()
	if s == 0 {
		return 0, abi.ENFILE
	}
	*m = session{Msize: maxMsg, In: k.Heap.Alloc(maxMsg), Out: k.Heap.Alloc(outSize)}
	h, e := p.newOwn(node{kind: kSession, num: uint32(s)}, core.AccessRead)
	if e != 0 || m.In.Nil() || m.Out.Nil() {
		k.Heap.FreeBlock(m.In)
		k.Heap.FreeBlock(m.Out)
		p.sessions.Free(s)
		if e == 0 {
			k.Files.Free(h)
			e = abi.ENOSPC
		}
		return 0, e
	}
	k.HoldFile(f)
	m.File, m.Handle = f, h
	return s, 0
}

// endSession: nobody has a session any more. What was agreed on and is asked goes with the
// stream, if somebody has that.
func (p *Personality) endSession(s store.Ref[session]) {
	m := p.sessions.Get(s)
	if m.State != sessReady || p.K.Files.Get(m.File).Refs < 2 {
		p.hangup(s)
		p.freeSession(s)
		return
	}
	w := p.sessions.Mut(s)
	w.Idle, w.Gen, w.Handle = 1, p.K.Files.Gen(w.File), 0
	p.K.DropFile(nil, w.File)
	if w.OutUsed > 0 {
		p.remote.unsent = append(p.remote.unsent, s)
	}
}

// sendRest sends what idle sessions have to be sent, as far as it goes.
func (p *Personality) sendRest(c *core.Call) {
	l := p.remote.unsent
	p.remote.unsent = nil
	for _, s := range l {
		m := p.sessions.Get(s)
		if m == nil || m.Idle == 0 || !p.idle(m) {
			continue
		}
		f := m.File
		c.PinFile(f)
		p.pump(c, s)
		if m := p.sessions.Get(s); m != nil && m.Idle != 0 && m.State == sessDead {
			p.freeSession(s)
		}
		c.UnpinFile(f)
	}
}

// freeSession is what is left of one.
func (p *Personality) freeSession(s store.Ref[session]) {
	for r := p.sessions.Get(s).First; r != 0; r = p.sessions.Get(s).First {
		p.freeRequest(r)
	}
	m := *p.sessions.Get(s)
	p.K.Heap.FreeBlock(m.In)
	p.K.Heap.FreeBlock(m.Out)
	p.sessions.Free(s)
	delete(p.remote.wake, s)
}

// hangup ends a session's connection: its server has gone, or is none.
func (p *Personality) hangup(s store.Ref[session]) {
	if p.sessions.Get(s).State == sessDead {
		return
	}
	m := p.sessions.Mut(s)
	f, idle := m.File, m.Idle != 0
	m.State, m.File, m.InUsed, m.OutUsed = sessDead, 0, 0, 0
	for r := m.First; r != 0; {
		next := p.requests.Get(r).Next
		if p.requests.Get(r).State == reqAbandoned {
			p.freeRequest(r)
		}
		r = next
	}
	if !idle {
		p.K.DropFile(nil, f)
	}
	p.queue(s).Wake(^uint32(0))
}

// freeRequest forgets one.
func (p *Personality) freeRequest(r store.Ref[request]) {
	q := *p.requests.Get(r)
	m := p.sessions.Mut(q.Sess)
	if m.First == r {
		m.First = q.Next
	} else {
		for at := m.First; at != 0; at = p.requests.Get(at).Next {
			if p.requests.Get(at).Next == r {
				p.requests.Mut(at).Next = q.Next
				break
			}
		}
	}
	if q.State != reqAnswered {
		m.Waiting--
	}
	p.K.Heap.FreeBlock(q.Reply)
	p.requests.Free(r)
	l := p.remote.mine[q.Thread]
	for i := range l {
		if l[i] == r {
			l[i] = l[len(l)-1]
			p.remote.mine[q.Thread] = l[:len(l)-1]
			break
		}
	}
	if len(p.remote.mine[q.Thread]) == 0 {
		delete(p.remote.mine, q.Thread)
	}
}

// forget gives up what a thread has asked in calls, or parts of one, that are done: all
// that keep does not want.
func (p *Personality) forget(t store.Ref[core.Thread], keep func(q *request) bool) {
	for _, r := range append([]store.Ref[request](nil), p.remote.mine[t]...) {
		switch q := p.requests.Get(r); {
		case keep != nil && keep(q):
		case q.State == reqWaiting:
			p.abandon(r)
		default:
			p.freeRequest(r)
		}
	}
}

// done is the end of a call.
func (p *Personality) done(c *core.Call) {
	if r := p.fetchOf(c); r != 0 {
		p.endFetch(r)
	}
	if len(p.remote.mine[c.T]) > 0 {
		p.forget(c.T, nil)
	}
	st := p.remote.steps[c.T]
	if st == nil && p.remote.unsent == nil {
		return
	}
	delete(p.remote.steps, c.T)
	if t := p.K.Threads.Get(c.T); t == nil || t.State != core.ThreadLive {
		return
	}
	p.sendRest(c)
	if st == nil {
		return
	}
	for _, s := range st.asked { // what nobody waits for is sent
		if m := p.sessions.Get(s); m != nil && m.OutUsed > 0 {
			p.pump(c, s)
		}
	}
}

// newTag answers a tag that no request has, and none that is being flushed.
func (p *Personality) newTag(s store.Ref[session]) uint32 {
	for {
		m := p.sessions.Mut(s)
		m.NextTag = (m.NextTag + 1) % noTag
		free := true
		for r := m.First; r != 0 && free; r = p.requests.Get(r).Next {
			q := p.requests.Get(r)
			free = q.Tag != m.NextTag && (q.Type != tFlush || q.Old != m.NextTag)
		}
		if free {
			return m.NextTag
		}
	}
}

// put makes a request of a session; the caller has seen to it that there is room. 0: there
// is no record.
func (p *Personality) put(s store.Ref[session], q request, body []byte) store.Ref[request] {
	r, m := p.requests.New()
	if r == 0 {
		return 0
	}
	q.Tag = noTag
	if q.Type != tVersion {
		q.Tag = p.newTag(s)
	}
	q.Sess = s
	*m = q
	b := message(uint8(q.Type), uint16(q.Tag), body)
	ses := p.sessions.Mut(s)
	m.Next, ses.First = ses.First, r
	copy(p.K.Heap.MutBytes(ses.Out, int(ses.OutUsed), len(b)), b)
	ses.OutUsed += uint32(len(b))
	ses.Waiting++
	return r
}

// post9 asks what nobody waits for.
func (p *Personality) post9(s store.Ref[session], q request, body []byte) {
	m := p.sessions.Get(s)
	if m.State == sessDead {
		return
	}
	q.State = reqAbandoned
	if m.Waiting >= maxPosted9 || int(m.OutUsed)+headSize+len(body) > outSize || p.put(s, q, body) == 0 {
		p.hangup(s)
	}
}

// clunk gives up a fid.
func (p *Personality) clunk(s store.Ref[session], fid uint32) {
	p.post9(s, request{Type: tClunk, Fid: noFid}, le.AppendUint32(nil, fid))
}

// abandon: nobody waits for the answer any more.
func (p *Personality) abandon(r store.Ref[request]) {
	q := p.requests.Mut(r)
	t, s, old := q.Thread, q.Sess, q.Tag
	q.State = reqAbandoned
	l := p.remote.mine[t]
	for i := range l {
		if l[i] == r {
			l[i] = l[len(l)-1]
			p.remote.mine[t] = l[:len(l)-1]
			break
		}
	}
	if q.Type == tVersion || p.sessions.Get(s).State == sessDead {
		p.hangup(s)
		if p.requests.Get(r) != nil && p.requests.Get(r).State == reqAbandoned {
			p.freeRequest(r)
		}
		return
	}
	p.post9(s, request{Type: tFlush, Fid: noFid, Old: old}, le.AppendUint16(nil, uint16(old)))
}

// rpc asks and waits for the answer, which it answers from behind the tag. makes says that
// the answer makes a fid, whose number body gets.
func (p *Personality) rpc(c *core.Call, s store.Ref[session], typ uint32, makes bool, old uint32, body func(fid uint32) []byte) (*reply, uint32, abi.Errno) {
	if c.T == 0 {
		return nil, 0, abi.EIO
	}
	r, e := p.request(c, s, typ, makes, old, body)
	if e != 0 {
		return nil, 0, e
	}
	for {
		if q := p.requests.Get(r); q.State == reqAnswered {
			return p.answered(c, s, q)
		}
		if p.sessions.Get(s).State == sessDead {
			return nil, 0, abi.EREMOTEIO
		}
		if p.pump(c, s); p.requests.Get(r).State == reqAnswered || p.sessions.Get(s).State == sessDead {
			continue
		}
		if e := p.sleep(c, s); e != 0 {
			if p.requests.Get(r).State == reqWaiting {
				p.abandon(r)
			}
			return nil, 0, e
		}
	}
}

// sleep waits until something has come, or there is room.
func (p *Personality) sleep(c *core.Call, s store.Ref[session]) abi.Errno {
	f := p.sessions.Get(s).File
	e := c.Sleep(core.NoDeadline, p.K.Ops(f).Queue(f), p.queue(s))
	if t := p.K.Threads.Get(c.T); e != 0 && t != nil && t.State == core.ThreadLive {
		return abi.EINTR // what was asked may have been done
	}
	return e
}

// answered decodes an answer.
func (p *Personality) answered(c *core.Call, s store.Ref[session], q *request) (*reply, uint32, abi.Errno) {
	b := append([]byte(nil), p.K.Heap.Bytes(q.Reply)...)
	r := &reply{b: b[headSize:], asked: q.Old}
	if b[4] != rError {
		return r, q.Fid, 0
	}
	text := r.text()
	if !r.end() {
		return nil, 0, p.broken(s)
	}
	text = cstring([]byte(text[:min(len(text), errMax-1)]))
	for _, m := range meaning {
		if strings.Contains(text, m.text) {
			return nil, 0, p.words(c, m.e, text)
		}
	}
	return nil, 0, p.words(c, abi.EREMOTEIO, text)
}

// broken: the server has said what makes no sense.
func (p *Personality) broken(s store.Ref[session]) abi.Errno {
	p.hangup(s)
	return abi.EREMOTEIO
}

// request makes the caller's next request, when there is room, or finds it.
func (p *Personality) request(c *core.Call, s store.Ref[session], typ uint32, makes bool, old uint32, body func(fid uint32) []byte) (store.Ref[request], abi.Errno) {
	prog := c.Thread().Progress
	st := p.remote.steps[c.T]
	if st == nil || st.seq != c.Seq {
		st = &stepping{seq: c.Seq}
		p.remote.steps[c.T] = st
	}
	if st.prog != prog {
		st.prog, st.n = prog, 0
	}
	if !slices.Contains(st.asked, s) {
		st.asked = append(st.asked, s)
	}
	step, gen := uint32(versionStep), p.K.Threads.Gen(c.T)
	if typ != tVersion {
		step = st.n
		st.n++
	}
	this := func(q *request) bool { return q.Gen == gen && q.Seq == c.Seq && q.Prog == prog }
	for _, r := range p.remote.mine[c.T] {
		if q := p.requests.Get(r); this(q) && q.Step == step {
			if q.Type != typ || q.Sess != s {
				return 0, abi.EREMOTEIO // what leads there has changed meanwhile
			}
			return r, 0
		}
	}
	p.forget(c.T, this)
	for {
		m := p.sessions.Get(s)
		if m.State == sessDead {
			return 0, abi.EREMOTEIO
		}
		if m.Waiting < maxWaiting && m.OutUsed <= outWait {
			if p.asked(s) < maxAsked {
				break
			}
			if !p.forgetGone(s) {
				return 0, abi.ENOSPC
			}
			continue
		}
		if p.pump(c, s); p.sessions.Get(s).State == sessDead || p.sessions.Get(s).Waiting < maxWaiting && p.sessions.Get(s).OutUsed <= outWait {
			continue
		}
		if e := p.sleep(c, s); e != 0 {
			return 0, e
		}
	}
	fid := uint32(noFid)
	if makes {
		m := p.sessions.Mut(s)
		if fid = m.NextFid; fid == noFid {
			return 0, abi.EREMOTEIO
		}
		m.NextFid++
	}
	r := p.put(s, request{Thread: c.T, Gen: gen, Seq: c.Seq, Prog: prog, Step: step, State: reqWaiting, Type: typ, Fid: fid, Old: old}, body(fid))
	if r == 0 {
		return 0, abi.ENOSPC
	}
	p.remote.mine[c.T] = append(p.remote.mine[c.T], r)
	return r, 0
}

// asked is how many requests of a session are of calls.
func (p *Personality) asked(s store.Ref[session]) (n int) {
	for r := p.sessions.Get(s).First; r != 0; r = p.requests.Get(r).Next {
		if p.requests.Get(r).State != reqAbandoned {
			n++
		}
	}
	return n
}

// gone says whether a thread has ended.
func (p *Personality) gone(t store.Ref[core.Thread], gen uint32) bool {
	th := p.K.Threads.Get(t)
	return th == nil || th.State != core.ThreadLive || p.K.Threads.Gen(t) != gen
}

// forgetGone gives up what threads have asked that have ended without saying so (done): those
// of other systems' programs that had the file. It answers whether there was anything.
func (p *Personality) forgetGone(s store.Ref[session]) bool {
	var l []store.Ref[request]
	for r := p.sessions.Get(s).First; r != 0; r = p.requests.Get(r).Next {
		if q := p.requests.Get(r); q.State != reqAbandoned && p.gone(q.Thread, q.Gen) {
			l = append(l, r)
		}
	}
	for _, r := range l {
		if p.requests.Get(r).State == reqWaiting {
			p.abandon(r)
		} else {
			p.freeRequest(r)
		}
	}
	return len(l) > 0
}

// pump moves what can be moved without waiting. It ends: what comes must be answers, of
// which there are no more than requests.
func (p *Personality) pump(c *core.Call, s store.Ref[session]) {
	buf := make([]byte, 16<<10)
	for {
		ses := p.sessions.Get(s)
		if ses.State == sessDead {
			return
		}
		moved := false
		if n := int(ses.OutUsed); n > 0 {
			b := append([]byte(nil), p.K.Heap.Bytes(ses.Out)[:n]...)
			n, e := c.PutNow(ses.File, b)
			switch {
			case n > 0:
				moved = true
				m := p.sessions.Mut(s)
				m.OutUsed = uint32(copy(p.K.Heap.MutBytes(m.Out, 0, len(b)-n), b[n:]))
				p.queue(s).Wake(^uint32(0))
			case e != abi.EAGAIN:
				p.hangup(s)
				return
			}
		}
		n, e := c.TakeNow(p.sessions.Get(s).File, buf)
		switch {
		case n > 0:
			moved = true
			if !p.take(s, buf[:n]) {
				p.hangup(s)
				return
			}
		case e != abi.EAGAIN:
			p.hangup(s)
			return
		}
		if !moved {
			return
		}
	}
}

// take takes bytes that have come; false: they are no answers.
func (p *Personality) take(s store.Ref[session], data []byte) bool {
	ses := p.sessions.Get(s)
	all := append(append([]byte(nil), p.K.Heap.Bytes(ses.In)[:ses.InUsed]...), data...)
	for {
		msg, rest, ok := split(all, p.sessions.Get(s).Msize)
		if !ok {
			return false
		}
		if msg == nil {
			break
		}
		if !p.arrived(s, msg) {
			return false
		}
		all = rest
	}
	m := p.sessions.Mut(s)
	m.InUsed = uint32(copy(p.K.Heap.MutBytes(m.In, 0, len(all)), all))
	return true
}

// arrived is one answer.
func (p *Personality) arrived(s store.Ref[session], msg []byte) bool {
	typ, tag := uint32(msg[4]), uint32(le.Uint16(msg[5:]))
	r := p.sessions.Get(s).First
	for ; r != 0; r = p.requests.Get(r).Next {
		if q := p.requests.Get(r); q.Tag == tag && q.State != reqAnswered {
			break
		}
	}
	if r == 0 {
		return false
	}
	q := *p.requests.Get(r)
	if typ != q.Type+1 && typ != rError {
		return false
	}
	if t := p.K.Threads.Get(q.Thread); q.State == reqWaiting && t != nil && p.K.Threads.Gen(q.Thread) == q.Gen {
		b := store.PutString(p.K.Heap, string(msg))
		if b.Nil() {
			return false
		}
		m := p.requests.Mut(r)
		m.Reply, m.State = b, reqAnswered
		p.sessions.Mut(s).Waiting--
		p.queue(s).Wake(^uint32(0))
		return true
	}
	if typ != rError && q.Fid != noFid && (q.Type != tWalk || len(msg) >= headSize+2 && uint32(le.Uint16(msg[headSize:])) == q.Old) {
		p.clunk(s, q.Fid)
	}
	if q.Type == tFlush { // what it was about will not be answered any more
		for o := p.sessions.Get(s).First; o != 0; o = p.requests.Get(o).Next {
			if x := p.requests.Get(o); x.Tag == q.Old && x.State == reqAbandoned {
				p.freeRequest(o)
				break
			}
		}
	}
	if p.sessions.Get(s).State != sessDead {
		p.freeRequest(r)
		p.queue(s).Wake(^uint32(0))
	}
	return true
}
