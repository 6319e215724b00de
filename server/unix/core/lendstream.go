package core

import (
	"math/bits"
	"slices"

	"hythe/abi"
	"hythe/store"
)

// Streams between two tasks (docs/lending.md): what is in both directions of a connection between
// stream sockets of the machine, or in a pipe, lies in memory that both tasks have mapped, and a word for each
// direction (abi.Stream...) says how much that is. What goes through it is not seen here
// until it is taken back, with which it is in the sockets' queues or the pipe.

// Stream is the memory that the two ends of a connection may have what is in it in.
type Stream struct {
	Object ObjectName
	Shift  uint32 // a ring has 1<<Shift bytes
	// Lent: what is in the connection is in the memory, by the number No. It was empty when it
	// was lent.
	Lent, No uint32
	Ends     [2]StreamEnd
	// Passed are the bytes that were ever put into the ring that an end writes to, as far as
	// they were counted.
	Passed [2]uint64
	// Pipe is what it is the memory of, if not of two sockets: Ends[0] writes, into the first
	// ring, and Ends[1] reads.
	Pipe store.Ref[Pipe]
}

// StreamEnd is a socket (0: a pipe's end), the open file that is its only one, and whose descriptor that is.
type StreamEnd struct {
	Sock store.Ref[Socket]
	File store.Ref[File]
	Task TaskID // 0: nobody has the memory mapped
	FD   uint32
	Cred SockCred
}

// maxStreams is how many streams a machine has memory for. (One task has at most abi.LentStreams mapped.)
const maxStreams = 512

// fewBytes is how much has to have passed by a loan for it to have been worth it.
const fewBytes = 16 << 10

// memoryOf answers the memory that an open file is an end of, 0: it has none.
func (k *Kernel) memoryOf(f store.Ref[File]) store.Ref[Stream] {
	switch file := k.Files.Get(f); file.Kind {
	case FileSocket:
		return k.Socks.Get(sockOf(file)).Stream
	case FilePipe:
		return k.Pipes.Get(pipeOf(file)).Stream
	}
	return 0
}

// streamSoon makes the memory of the caller's stream before it reads from it, if it has read often.
// It may give up the lock.
func (c *Call) streamSoon(fd int32, f store.Ref[File]) {
	k := c.K
	if k.fileRT(f).reads < lendOften-1 || k.memoryOf(f) != 0 || !k.mayPoll(c.ProcRef(), f) || !c.mayBorrow(fd, f) ||
		k.Streams.Len() >= maxStreams {
		return
	}
	if k.Files.Get(f).Kind == FilePipe {
		c.pipeStreamSoon(f)
		return
	}
	r := sockOf(k.Files.Get(f))
	if !k.streamFits(r) {
		return
	}
	p := k.SockPeer(k.Socks.Get(r))
	gen, pgen := k.Socks.Gen(r), k.Socks.Gen(p)
	a, b := k.streamRoom(r), k.streamRoom(p)
	shift := uint(bits.Len32(max(a, b) - 1))
	o := c.newStreamMemory(f, shift)
	if o == 0 {
		return
	}
	if k.Socks.Get(r) == nil || k.Socks.Gen(r) != gen || k.Socks.Get(p) == nil || k.Socks.Gen(p) != pgen ||
		k.Socks.Get(r).Stream != 0 || k.SockPeer(k.Socks.Get(r)) != p {
		k.DropObject(o)
		return
	}
	if st := k.newStream(Stream{Object: o, Shift: uint32(shift), Ends: [2]StreamEnd{{Sock: r}, {Sock: p}}}); st != 0 {
		k.Socks.Mut(r).Stream, k.Socks.Mut(p).Stream = st, st
	}
}

// pipeStreamSoon is streamSoon of who reads a pipe by f.
func (c *Call) pipeStreamSoon(f store.Ref[File]) {
	k := c.K
	r := pipeOf(k.Files.Get(f))
	if _, w := c.writeEnd(r); w != 0 || !k.pipeFits(r) {
		return
	}
	gen, room := k.Pipes.Gen(r), k.Pipes.Get(r).Cap
	shift := uint(bits.Len32(room - 1))
	o := c.newStreamMemory(f, shift)
	if o == 0 {
		return
	}
	if p := k.Pipes.Get(r); p == nil || k.Pipes.Gen(r) != gen || p.Stream != 0 || p.Cap != room || !k.pipeFits(r) {
		k.DropObject(o)
		return
	}
	if st := k.newStream(Stream{Object: o, Shift: uint32(shift), Pipe: r}); st != 0 {
		k.Pipes.Mut(r).Stream = st
	}
}

// newStreamMemory makes the object. It gives up the lock.
func (c *Call) newStreamMemory(f store.Ref[File], shift uint) (o ObjectName) {
	var e abi.Errno
	c.Unlocked(func() { o, e = c.K.Host.NewStream(shift) })
	if e != 0 {
		c.K.fileRT(f).reads = -lentForNothing
		return 0
	}
	return o
}

// newStream makes the record of it.
func (k *Kernel) newStream(x Stream) store.Ref[Stream] {
	st, m := k.Streams.New()
	if st == 0 {
		k.DropObject(x.Object)
		return 0
	}
	*m = x
	return st
}

// side is which end of a stream an open file is.
func (k *Kernel) side(x *Stream, f store.Ref[File]) int {
	file := k.Files.Get(f)
	if x.Pipe != 0 && file.Access&AccessRead != 0 || x.Pipe == 0 && x.Ends[0].Sock != sockOf(file) {
		return 1
	}
	return 0
}

// directions is how many of its words are in use.
func (x *Stream) directions() int {
	if x.Pipe != 0 {
		return 1
	}
	return 2
}

// room is how many bytes may be in the ring that an end writes to.
func (k *Kernel) room(x *Stream, side int) uint32 {
	if x.Pipe != 0 {
		return k.Pipes.Get(x.Pipe).Cap
	}
	return k.streamRoom(x.Ends[side].Sock)
}

// pipeFits says whether nothing is special about a pipe.
func (k *Kernel) pipeFits(r store.Ref[Pipe]) bool {
	p := k.Pipes.Get(r)
	return p.LentTo == 0 && p.Node == (NodeKey{}) && p.Readers == 1 && p.Writers == 1 && p.NPkt == 0 &&
		p.Cap >= abi.PageSize && p.Cap <= 1<<abi.StreamMaxShift
}

// streamRoom is how many bytes may wait on their way from r to its peer.
func (k *Kernel) streamRoom(r store.Ref[Socket]) uint32 {
	s := k.Socks.Get(r)
	if s.Family == FamilyUnix {
		return s.SndBuf
	}
	return inetSockets{sockQueues{k}}.bound(s, k.Socks.Get(k.SockPeer(s)))
}

// streamFits says whether nothing is special about a connection, as far as both sockets tell:
// reads wait for one byte, writes for room, and nobody is told of anything else.
func (k *Kernel) streamFits(r store.Ref[Socket]) bool {
	s := k.Socks.Get(r)
	p := k.SockPeer(s)
	if p == 0 || p == r {
		return false
	}
	for _, e := range [2]store.Ref[Socket]{r, p} {
		s := k.Socks.Get(e)
		if s.Type != SockStream || s.State != SockConnected || s.HasFile == 0 || s.Shut != 0 || s.Err != 0 ||
			s.RcvTimeo != 0 || s.SndTimeo != 0 || s.PassCred != 0 || s.Opts&optStamps != 0 || s.RcvLowat != 1 || k.SockPeer(s) == 0 {
			return false
		}
		switch s.Family {
		case FamilyUnix:
			if s.writeUnit() != streamUnit {
				return false
			}
		case FamilyInet, FamilyInet6:
			if s.Inet.Out != 0 || s.Inet.Fin != 0 || s.Inet.Faults.N > 0 || s.hidden() || k.sniffing(ProtoTCP) {
				return false
			}
		default:
			return false
		}
		if n := k.streamRoom(e); n < abi.PageSize || n > 1<<abi.StreamMaxShift || n%(1<<abi.StreamCapUnit) != 0 {
			return false
		}
	}
	return true
}

// streamEmpty says whether nothing is under way in a connection.
func (k *Kernel) streamEmpty(r store.Ref[Socket]) bool {
	for _, e := range [2]store.Ref[Socket]{r, k.SockPeer(k.Socks.Get(r))} {
		s := k.Socks.Get(e)
		if s.Bytes > 0 {
			return false
		}
		for at := s.Queue.Head; at != 0; at = k.SockMsgs.Get(at).Link.Next {
			if m := k.SockMsgs.Get(at); m.Urgent != 0 || m.NFiles > 0 {
				return false
			}
		}
	}
	return true
}

// lendStream lends the caller and the other end the connection that the caller has just read empty
// or written to by descriptor fd. Each of them maps the memory first, with an answer of its own.
func (c *Call) lendStream(fd int32, f store.Ref[File], read bool) {
	k := c.K
	rt := k.fileRT(f)
	if read {
		rt.reads++
	}
	st := k.memoryOf(f)
	if st == 0 || !c.mayBorrow(fd, f) || c.Proc().Rlimits[RlimitAS].Cur != RlimInfinity {
		return
	}
	x := k.Streams.Get(st)
	me := k.side(x, f)
	own := StreamEnd{Sock: x.Ends[me].Sock, File: f, Task: c.Task, FD: uint32(fd), Cred: c.sockCred()}
	ts := c.borrower()
	if _, ok := ts.lent.streamSlot(st, k.Streams.Gen(st)); !ok {
		if slot := k.freePlace(ts.lent); slot >= 0 {
			tag := k.NextGrant()
			ts.lent.streams[slot] = streamMap{stream: st, gen: k.Streams.Gen(st), tag: tag}
			k.Host.Grant(c.Task, x.Object, false, tag)
			c.Acts = slices.Insert(c.Acts, 0, abi.Action{Op: abi.ActLend, Flags: uint32(tag)<<8 | abi.ActStream,
				A: [5]uint64{uint64(slot), uint64(abi.StreamRingOff + 2<<x.Shift)}})
			k.Streams.Mut(st).Ends[me] = own
		}
		return
	}
	if x.Ends[me] != own {
		k.Streams.Mut(st).Ends[me] = own
	}
	if !read || rt.reads < lendOften || !k.mayPoll(c.ProcRef(), f) || !k.quiet(f, 1) {
		return
	}
	if x.Pipe != 0 && !k.pipeFits(x.Pipe) || x.Pipe == 0 && (!k.streamFits(own.Sock) || !k.streamEmpty(own.Sock)) ||
		!k.mayLendOther(st, 1-me) || x.Pipe != 0 && !c.lendRoom(x.Pipe, 1<<x.Shift-k.Pipes.Get(x.Pipe).Data.used()) {
		return
	}
	k.beginStream(st)
}

// lentMeanwhile says whether a read or write by the caller's descriptor is for its library to serve: the stream
// was lent when the call was on its way here.
func (c *Call) lentMeanwhile(fd int32) bool {
	k := c.K
	if c.Kind != abi.KindTrap || fd < 0 || c.Thread().Progress > 0 {
		return false
	}
	tab := k.FDs.Get(c.Proc().FDs)
	if uint32(fd) >= tab.Cap {
		return false
	}
	f := fdEntries(k.Heap.Bytes(tab.Block))[fd].File
	if f == 0 {
		return false
	}
	file := k.Files.Get(f)
	if file.LentTo != c.Task || file.LentFD != uint32(fd) || !k.fileRT(f).late {
		return false
	}
	k.fileRT(f).late = false
	c.localCut = true
	return true
}

// waitPlain sleeps in a queue of the file f, as Sleep does. A call that the caller's library could serve
// (plain) and that finds the file lent when it is woken is one for that.
func (c *Call) waitPlain(f store.Ref[File], plain bool, deadline int64, q *WaitQueue) abi.Errno {
	if !plain {
		return c.Sleep(deadline, q)
	}
	return c.plainly(f, func() abi.Errno { return c.Sleep(deadline, q) })
}

func (c *Call) plainly(f store.Ref[File], wait func() abi.Errno) abi.Errno {
	k := c.K
	k.fileRT(f).sleeps = true
	e := wait()
	k.fileRT(f).sleeps = false
	if st := k.memoryOf(f); e == 0 && st != 0 && k.Streams.Get(st).Lent != 0 {
		c.localCut = true
		return abi.ErrRestart
	}
	return e
}

// mayPoll says whether a file may be lent to p as far as it tells whether it is ready: a pipe does not, and its ends
// wait. Of several threads one may close the descriptor by which another waits, which on Linux goes on with its
// file: the library would go on with what is there then. So who waits is alone.
func (k *Kernel) mayPoll(p store.Ref[Proc], f store.Ref[File]) bool {
	if !k.nonblock(f) && !k.alone(p) {
		return false
	}
	return k.Files.Get(f).Kind != FilePipe || !k.nonblock(f) && len(k.fileRT(f).epolls) == 0
}

// quiet says whether nobody waits at a file but those who read or write it, of which so many calls
// work with it.
func (k *Kernel) quiet(f store.Ref[File], calls int) bool {
	q, rt, file := k.Ops(f).Queue(f), k.fileRT(f), k.Files.Get(f)
	if file.Refs != 1 || file.Kind == FilePipe && file.Flags&OpenDirect != 0 || len(q.async) > 0 || len(rt.notes) > 0 || !k.pollsStreams(f) {
		return false
	}
	others := -len(rt.epolls)
	for e := q.head; e != nil; e = e.next {
		others++
	}
	if rt.sleeps { // one thread does, and will look again
		return rt.pins == 1 && others == 1
	}
	return rt.pins == calls && others == 0
}

// alone says whether a process has one thread.
func (k *Kernel) alone(p store.Ref[Proc]) bool { return len(k.procRT(p).threads) == 1 }

// mayLendOther says whether the end of a stream that is not the caller's may be lent, as
// things are now.
func (k *Kernel) mayLendOther(st store.Ref[Stream], side int) bool {
	x := k.Streams.Get(st)
	e := x.Ends[side]
	ts := k.tasks[e.Task]
	if e.Task == 0 || ts == nil || ts.dead || ts.lent == nil {
		return false
	}
	p := k.Procs.Get(ts.proc)
	if p == nil || p.Task != e.Task || ts.lent.table != p.FDs || !k.mayLendTo(ts, int32(e.FD), e.File) {
		return false
	}
	if _, ok := ts.lent.streamSlot(st, k.Streams.Gen(st)); !ok {
		return false
	}
	return k.memoryOf(e.File) == st && k.side(x, e.File) == side && k.mayPoll(ts.proc, e.File) && k.quiet(e.File, 0)
}

// streamSlot is where a task has a stream's memory mapped.
func (l *lentTask) streamSlot(st store.Ref[Stream], gen uint32) (int, bool) {
	for i := range l.streams {
		if l.streams[i].stream == st && st != 0 && l.streams[i].gen == gen {
			return i, true
		}
	}
	return 0, false
}

// freePlace is where it could have another one, -1: nowhere.
func (k *Kernel) freePlace(l *lentTask) int {
	return slices.IndexFunc(l.streams[:], func(m streamMap) bool { return !k.isStream(m) })
}

// streamMap is a place in a task, and the stream whose memory is mapped there. stream 0: none's.
type streamMap struct {
	stream store.Ref[Stream]
	gen    uint32
	tag    uint64
}

// isStream says whether what is mapped is a stream's that there still is.
func (k *Kernel) isStream(m streamMap) bool {
	return m.stream != 0 && k.Streams.Get(m.stream) != nil && k.Streams.Gen(m.stream) == m.gen
}

// beginStream has the two ends of a stream, which is empty, go on with its memory: when what says
// so is in the state of record.
func (k *Kernel) beginStream(st store.Ref[Stream]) {
	x := k.Streams.Mut(st)
	g := k.MutGlobals()
	g.StreamNo = g.StreamNo%abi.StreamNos + 1
	var from, to [2]uint64
	for dir := range x.directions() {
		v, _, ok := k.Host.StreamBack(x.Object, uint(x.Shift), dir)
		if !ok {
			return
		}
		from[dir], to[dir] = v, streamWord(v, g.StreamNo)|abi.StreamLent
	}
	if x.Pipe != 0 && !k.fillStream(x, &from[0], &to[0]) {
		return
	}
	x.Lent, x.No = 1, g.StreamNo
	for side := range x.Ends {
		e := &x.Ends[side]
		ts := k.tasks[e.Task]
		slot, _ := ts.lent.streamSlot(st, k.Streams.Gen(st))
		kind := uint64(abi.LentIsStream)
		if x.Pipe != 0 {
			kind = abi.LentIsPipe
		} else if k.Socks.Get(e.Sock).Family == FamilyUnix {
			kind = abi.LentIsUnits
		}
		now := uint64(0)
		if k.nonblock(e.File) {
			now = 1 << abi.StreamNow
		}
		was, is := k.lendPos(e.Task, int32(e.FD), e.File, kind, uint64(slot)|uint64(side)<<abi.StreamSide|
			uint64(x.Shift-abi.StreamMinShift)<<abi.StreamShift|uint64(x.No)<<abi.StreamNo|uint64(k.room(x, side)>>abi.StreamCapUnit)<<abi.StreamCap|now)
		k.Host.SetLentPos(e.Task, int(e.FD), was, is) // means nothing before the word is lent
		rt := k.fileRT(e.File)
		rt.reads, rt.late = 0, true
		if x.Pipe == 0 {
			k.pollStream(e.File, st, is)
		}
	}
	o, dirs := x.Object, x.directions()
	k.afterCommit(func() {
		for dir := range dirs {
			k.Host.SetStream(o, dir, from[dir], to[dir])
		}
	})
	for _, e := range x.Ends {
		if k.fileRT(e.File).sleeps {
			k.Ops(e.File).Queue(e.File).Wake(PollIn | PollRdNorm | PollOut | PollWrNorm)
		}
	}
}

// fillStream puts what is in a pipe into its ring, which is to have the word to when it is lent and
// has from until then: with what is in it, since the record may say before that it is lent. (In the
// same transaction it was not taken back: its reads are counted from then on.) What the
// pipe's own ring has stays where it is, of no meaning. False: its writer may still be copying into the ring for a loan that is over, or somebody
// forges it.
func (k *Kernel) fillStream(x *Stream, from, to *uint64) bool {
	p := k.Pipes.Mut(x.Pipe)
	b := make([]byte, p.Data.used())
	k.ringPeek(&p.Data, 0, b)
	if !k.Host.StreamFill(x.Object, *to>>abi.StreamHead, b, p.Fill) {
		return false
	}
	was := *from
	*to |= uint64(len(b))
	if *from = *to &^ abi.StreamLent; !k.Host.SetStream(x.Object, 0, was, *from) {
		return false
	}
	x.Passed[0] += uint64(len(b))
	p.Data.Tail = p.Data.Head
	return true
}

// streamWord is a direction's word with the number no when what v says is in it is there no more.
func streamWord(v uint64, no uint32) uint64 {
	return (v>>abi.StreamHead+v&abi.StreamUsed)<<abi.StreamHead | uint64(no)<<abi.StreamWordNo
}

// takeBackStream takes a stream back: what is in its memory is in the sockets' queues from now on.
func (k *Kernel) takeBackStream(st store.Ref[Stream]) {
	if st == 0 || k.Streams.Get(st).Lent == 0 {
		return
	}
	x := k.Streams.Mut(st)
	x.Lent = 0
	var passed uint64
	for dir := range x.directions() {
		for range 16 { // more than once only if a task forges it
			v, count, ok := k.Host.StreamBack(x.Object, uint(x.Shift), dir)
			if !ok {
				break
			}
			if v>>abi.StreamWordNo&abi.StreamNos == uint64(x.No) {
				passed += k.fromStream(x, dir, v, count)
				break
			}
			if k.Host.SetStream(x.Object, dir, v, streamWord(v, x.No)) {
				break
			}
		}
	}
	for _, e := range x.Ends {
		if k.Files.Get(e.File) != nil {
			k.pollStream(e.File, 0, 0)
		}
		if m := k.Files.Mut(e.File); m != nil && m.LentTo != 0 {
			_, _ = k.Host.LentPos(m.LentTo, int(m.LentFD))
			m.LentTo, m.LentFD, m.LentNo = 0, 0, 0
			if rt := k.fileRT(e.File); passed < fewBytes {
				rt.reads = -lentForNothing
			}
		}
	}
}

// fromStream puts what is in a direction's ring with the word v into the queue of who reads it, and
// answers how many bytes have passed since it was lent. A word that says more than there can be
// is forged: then it is nothing.
func (k *Kernel) fromStream(x *Stream, dir int, v, count uint64) (passed uint64) {
	from, to := x.Ends[dir].Sock, x.Ends[1-dir].Sock
	head, used := v>>abi.StreamHead, v&abi.StreamUsed
	if used > 1<<x.Shift {
		used = 0
	}
	// The count may be late by what a writer is about to add to it; the word is right, but begins
	// again and again.
	const half = abi.StreamHeads / 2
	count += (head+used-count+half)%abi.StreamHeads - half
	if passed = count - x.Passed[dir]; passed > 1<<48 {
		passed = used // forged
	}
	x.Passed[dir] = count
	if x.Pipe != 0 {
		k.fromPipeStream(x, head, used)
		return passed
	}
	s := k.Socks.Get(from)
	if s.Family != FamilyUnix {
		k.countStream(to, passed)
	}
	if used == 0 {
		return passed
	}
	b := make([]byte, used)
	k.Host.StreamBytes(x.Object, dir, head, b)
	u := sockQueues{k}
	for len(b) > 0 {
		n := min(len(b), 32768)
		if u.append(to, b[:n], x.Ends[dir].Cred, nil) != 0 {
			// Nothing of a stream may be missing in its middle: it ends.
			for _, e := range x.Ends {
				m := k.Socks.Mut(e.Sock)
				m.Err, m.Shut = uint32(abi.ECONNRESET), ShutRecv|ShutSend
				k.wakeSock(e.Sock, ^uint32(0))
			}
			break
		}
		b = b[n:]
	}
	k.wakeSock(to, PollIn|PollRdNorm)
	return passed
}

// fromPipeStream puts what is in a pipe's ring into its own, which is empty.
func (k *Kernel) fromPipeStream(x *Stream, head, used uint64) {
	p := k.Pipes.Mut(x.Pipe)
	if used == 0 || !k.ringRoom(&p.Data, int(used)) { // there was room when it was lent
		return
	}
	b := make([]byte, used)
	p.Fill = min(k.Host.StreamBytes(x.Object, 0, head, b), pipeBuf)
	k.ringPut(&p.Data, b)
	k.io.pipes.at(x.Pipe).rq.Wake(PollIn | PollRdNorm)
}

// sleepsInStream says whether a thread of a task, and so all, as far as is known, sleeps in its library, in a
// stream that is lent.
func (k *Kernel) sleepsInStream(t TaskID) (sleeps bool) {
	k.Streams.Each(func(st store.Ref[Stream], x *Stream) bool {
		for side, e := range x.Ends {
			if x.Lent != 0 && e.Task == t && (k.Host.StreamWord(x.Object, side)&abi.StreamWriter != 0 || k.Host.StreamWord(x.Object, 1-side)&abi.StreamReader != 0) {
				sleeps = true
			}
		}
		return !sleeps
	})
	return sleeps
}

// takeBackStreams takes back all, or those that a task has an end of.
func (k *Kernel) takeBackStreams(t TaskID) {
	k.Streams.Each(func(st store.Ref[Stream], x *Stream) bool {
		if x.Lent != 0 && (t == 0 || x.Ends[0].Task == t || x.Ends[1].Task == t) {
			k.takeBackStream(st)
		}
		return true
	})
}

// dropStream gives a stream's memory up: one of its ends is gone. Who has it mapped keeps it until
// it closes something. st 0: there is none.
func (k *Kernel) dropStream(st store.Ref[Stream]) {
	if st == 0 {
		return
	}
	k.takeBackStream(st)
	x := k.Streams.Get(st)
	if x.Pipe != 0 {
		k.Pipes.Mut(x.Pipe).Stream = 0
	} else {
		for _, e := range x.Ends {
			if s := k.Socks.Get(e.Sock); s != nil && s.Stream == st {
				k.Socks.Mut(e.Sock).Stream = 0
			}
		}
	}
	k.DropObject(x.Object)
	k.Streams.Free(st)
}
