package core

import (
	"hythe/abi"
	"hythe/store"
)

// Reads whose bytes do not all arrive, because a part of the guest's memory is
// not there. As on Linux, the result is the count of those that did, EFAULT when
// there are none, and what did not arrive is not lost: the offset stays in front
// of it, a pipe, a stream or a terminal has it again.
//
// Mostly nobody knows before the library carries out the reply, whose copies are
// marked with abi.ActCount; then it asks for the result by abi.PollShort. What a
// read took is kept for that until the thread's next call, and not in the state
// of record: with a server that dies just then it is lost.

// shortRead is the last step of a thread's last read.
type shortRead struct {
	seq  uint64 // the call
	f    store.Ref[File]
	gen  uint32
	off  int64 // -1: the description's offset
	n    uint64
	what taken
	// undo takes the call back if its answer does not arrive (Call.OrUndo).
	undo func(c *Call)
}

// taken is what a read took out of a queue of bytes.
type taken struct {
	head uint64      // the queue's, afterwards
	buf  store.Block // of a ring
	data []byte      // of a stream socket
	cred SockCred    // and who sent it
	// sizes are those of the events that were read, which arrive as a whole or are put
	// back by again, from the i-th on.
	sizes []int
	again func(c *Call, i int)
}

// countFlag is abi.ActCount for files of which a read may end in the middle of
// what it took, or behind an event. Datagrams come as a whole.
func (k *Kernel) countFlag(f *File) uint32 {
	switch f.Kind {
	case FileVnode, FileMemfd, FileDev, FileProc, FilePipe, FilePty, FileTTY, FileConsole, FileTimer, FileSignal, FileInotify:
		return abi.ActCount
	case FileSocket:
		if k.Socks.Get(sockOf(f)).Type == SockStream {
			return abi.ActCount
		}
	}
	return 0
}

// noteRead notes what a read's last step moved.
func (c *Call) noteRead(f store.Ref[File], off int64, n uint64) {
	rt := c.K.threadRT(c.T)
	rt.short = shortRead{seq: c.Seq, f: f, gen: c.K.Files.Gen(f), off: off, n: n, what: c.took}
}

// shortCall serves PollShort: it answers for the call.
func (k *Kernel) shortCall(c *Call) {
	rt := k.threadRT(c.T)
	s := rt.short
	rt.short = shortRead{}
	if s.seq+1 == c.Seq && s.undo != nil {
		s.undo(c)
		c.Fail(abi.EFAULT)
		return
	}
	n := c.Args[2]
	lost := min(c.Args[1], n) // the guest's word for what happened to its own bytes
	if s.seq+1 == c.Seq && s.what.sizes != nil {
		n, lost = s.whole(c, n-lost), 0
	} else if s.seq+1 == c.Seq {
		k.untake(&s, min(lost, s.n))
	}
	if n -= lost; n == 0 {
		c.Fail(abi.EFAULT)
		return
	}
	c.Ret(n)
}

// whole answers how many of n bytes that arrived are of whole events, and puts the
// others back.
func (s *shortRead) whole(c *Call, n uint64) uint64 {
	i, at := 0, uint64(0)
	for i < len(s.what.sizes) && at+uint64(s.what.sizes[i]) <= n {
		at += uint64(s.what.sizes[i])
		i++
	}
	if i < len(s.what.sizes) {
		s.what.again(c, i)
	}
	return at
}

// OrUndo has undo called if what the last CopyOut stored does not arrive: the
// call's result then is EFAULT.
func (c *Call) OrUndo(undo func(c *Call)) {
	if n := len(c.Acts); n > 0 {
		c.Acts[n-1].Flags |= abi.ActCount
		c.K.threadRT(c.T).short = shortRead{seq: c.Seq, undo: undo}
	}
}

// Arrived has the library carry out what there is so far and says whether it
// could. If what it could not were bytes that the result counts, the call fails;
// else the caller deals with it.
func (c *Call) Arrived() bool {
	was := c.outFault
	c.outFault, c.outLost = false, 0
	c.Checkpoint()
	bad := c.outFault
	c.outFault = was || bad && c.outLost > 0
	return !bad
}

// untake puts back the last n bytes that a read took, unless somebody else has
// read or filled their place since.
func (k *Kernel) untake(s *shortRead, n uint64) {
	f := k.Files.Get(s.f)
	if n == 0 || f == nil || k.Files.Gen(s.f) != s.gen || f.Refs == 0 || s.off >= 0 {
		return
	}
	if f.LentTo != 0 && f.Kind != FilePipe {
		k.takeBackPos(s.f)
	}
	ring := func(r *Ring) bool {
		if r.Buf != s.what.buf || r.Head != s.what.head || uint64(r.used())+n > uint64(r.Buf.Len) {
			return false
		}
		r.Head -= n
		return true
	}
	switch f.Kind {
	case FileVnode, FileMemfd, FileDev, FileProc:
		if m := k.Files.Mut(s.f); m.Off >= int64(n) {
			m.Off -= int64(n)
		}
	case FilePipe:
		r := pipeOf(f)
		p := k.Pipes.Mut(r)
		if f.LentTo != 0 && p.LentTo != 0 {
			k.takeBackPos(s.f)
		}
		if p.NPkt == 0 && ring(&p.Data) {
			k.io.pipes.at(r).rq.Wake(PollIn | PollRdNorm)
		}
		if f.LentTo != 0 {
			k.takeBackPos(s.f) // behind it: here it has no bytes until it is taken back
		}
	case FilePty:
		r := store.Ref[TTY](f.Obj)
		if t := k.TTYs.Mut(r); t.Packet == 0 && ring(&t.Out) {
			k.tty.rt.at(r).mq.Wake(PollIn | PollRdNorm)
		}
	case FileTTY:
		r := store.Ref[TTY](f.Obj)
		t := k.TTYs.Mut(r)
		if t.T.Lflag&icanon == 0 && uint64(t.Head) == s.what.head && uint64(t.Tail-t.Head)+n < inSize {
			t.Head -= uint32(n)
			k.tty.rt.at(r).rq.Wake(PollIn | PollRdNorm)
		}
	case FileSocket:
		if d := s.what.data; uint64(len(d)) >= n {
			sockQueues{k}.untakeStream(sockOf(f), d[uint64(len(d))-n:], s.what.cred)
		}
	}
}

// writeUnit is how the kind of file takes what is written: in units, of which each one
// counts only when all of its bytes could be fetched. The first one may be another.
type writeUnit struct{ first, step uint64 }

// whole answers as much of data, which begins pos bytes behind where the write does,
// as ends with a unit.
func (u writeUnit) whole(pos uint64, data []byte) []byte {
	if u.step <= 1 {
		return data
	}
	end := pos + uint64(len(data))
	if end < u.first {
		end = 0
	} else {
		end -= (end - u.first) % u.step
	}
	if end <= pos {
		return nil
	}
	return data[:end-pos]
}

// Units of writing, as Linux has them.
const (
	ttyUnit = 2048 // the line discipline is given so much at a time
	// streamUnit is the most that one buffer of a stream between AF_UNIX sockets holds:
	// a page less what manages it, and 32 KiB of further pages.
	streamUnit = abi.StreamUnit
)

// writeUnit is how much a stream between AF_UNIX sockets takes of what is written at once.
func (s *Socket) writeUnit() uint64 { return min(streamUnit, max(uint64(s.SndBuf)/2, 128)-64) }

// writeUnit answers how f takes a write of n bytes.
func (k *Kernel) writeUnit(f store.Ref[File], n uint64) writeUnit {
	switch file := k.Files.Get(f); file.Kind {
	case FilePipe:
		// Pages; what is more than whole ones goes first into the last page that is
		// there, if it has room.
		return writeUnit{uint64(k.Pipes.Get(pipeOf(file)).merges(n)), 4096}
	case FileEvent:
		return writeUnit{step: 8}
	case FileTTY, FilePty:
		return writeUnit{step: ttyUnit}
	case FileSocket:
		if s := k.Socks.Get(sockOf(file)); s.Family == FamilyUnix && s.Type == SockStream {
			return writeUnit{step: s.writeUnit()}
		}
	}
	return writeUnit{step: 1}
}
