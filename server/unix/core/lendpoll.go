package core

import (
	"slices"

	"hythe/abi"
	"hythe/store"
)

// Streams that epoll sets watch (docs/lending.md): whether one is ready its words say, to the library of
// the task that waits and to this server. Who sleeps in a set sleeps here, and has said so beside the
// words (abi.StreamPolled): whoever changes one then tells the server, which looks again.

// streamPoll is the derived part of a set that watches streams that are lent.
type streamPoll struct {
	file    store.Ref[File] // of the set, 0: not known yet
	streams []*epollWatch   // items whose files are such: few, of items that may be many
	waits   int             // calls of EpollWait that sleep
	armed   bool            // the streams say that somebody sleeps
}

// pollsStreams says whether the sets that watch a file may go on when it is lent as a stream: all
// wait for it by its level, and in nobody's call but EpollWait.
func (k *Kernel) pollsStreams(f store.Ref[File]) bool {
	for _, w := range k.fileRT(f).epolls {
		set := k.Files.Get(w.rt.file)
		if set == nil || set.Kind != FileEpoll || set.Refs != 1 || set.Epolls != 0 || len(k.fileRT(w.rt.file).notes) > 0 ||
			k.EpItems.Get(w.item).Events&(epollPrivate&^EpollWakeup) != 0 {
			return false
		}
		n := 0
		for e := w.rt.q.head; e != nil; e = e.next {
			n++
		}
		if n != w.rt.waits {
			return false
		}
	}
	return true
}

// pollStream notes that a file is an end of a stream that is lent, at Lent.Pos, or (0) no more.
func (k *Kernel) pollStream(f store.Ref[File], st store.Ref[Stream], pos uint64) {
	rt := k.fileRT(f)
	rt.stream, rt.streamPos = st, pos
	for _, w := range rt.epolls {
		k.armSet(w.rt, false) // whoever sleeps looks again, and says what for
		w.setStream(st, pos)
		k.touchSet(w.rt)
		w.rt.ready.push(&w.place)
		w.rt.q.Wake(PollIn | PollRdNorm)
	}
}

// setStream notes of which stream that is lent the watched file is an end, 0: of none.
func (w *epollWatch) setStream(st store.Ref[Stream], pos uint64) {
	if w.stream != 0 {
		i := slices.Index(w.rt.streams, w)
		w.rt.streams = slices.Delete(w.rt.streams, i, i+1)
	}
	if w.stream, w.pos = st, pos; st != 0 {
		w.rt.streams = append(w.rt.streams, w)
	}
}

// stillPolls takes a stream back if the sets that watch the file, which have changed, may not have it lent.
func (k *Kernel) stillPolls(f store.Ref[File]) {
	if !k.pollsStreams(f) {
		k.takeBackStream(k.fileRT(f).stream)
		return
	}
	for _, w := range k.fileRT(f).epolls {
		k.armSet(w.rt, false) // who sleeps looks again, and says what for
		w.rt.q.Wake(PollIn | PollRdNorm)
	}
}

// streamSide is which end of its stream a watched file is.
func (w *epollWatch) streamSide() int { return int(w.pos >> abi.StreamSide & 1) }

// streamWritable is with how many bytes under way an end of a stream counts as ready to be written to.
func (k *Kernel) streamWritable(x *Stream, side int) uint32 {
	room := k.streamRoom(x.Ends[side].Sock)
	if k.Socks.Get(x.Ends[side].Sock).Family == FamilyUnix {
		return room / 4
	}
	return room / 3 * 2
}

// streamReady answers which of Poll... bits hold for a watched end of a stream that is lent.
func (k *Kernel) streamReady(w *epollWatch) (m uint32) {
	x, side := k.Streams.Get(w.stream), w.streamSide()
	if k.Host.StreamWord(x.Object, 1-side)&abi.StreamUsed > 0 {
		m |= PollIn | PollRdNorm
	}
	if uint32(k.Host.StreamWord(x.Object, side)&abi.StreamUsed) <= k.streamWritable(x, side) {
		m |= PollOut | PollWrNorm
	}
	return m
}

// armSet has the streams that a set watches say that somebody sleeps for them, or no more.
func (k *Kernel) armSet(rt *epollRT, on bool) {
	if rt.armed == on {
		return
	}
	rt.armed = on
	if on {
		if k.io.armed == nil {
			k.io.armed = map[*epollRT]struct{}{}
		}
		k.io.armed[rt] = struct{}{}
	} else {
		delete(k.io.armed, rt)
	}
	for _, w := range rt.streams {
		if !on && k.othersSleep(w) {
			continue
		}
		x, side, ev := k.Streams.Get(w.stream), w.streamSide(), k.EpItems.Get(w.item).Events
		if ev&(PollIn|PollRdNorm) != 0 {
			k.Host.StreamPoll(x.Object, 1-side, abi.StreamPollIn, on)
		}
		if ev&(PollOut|PollWrNorm) != 0 {
			k.Host.StreamPoll(x.Object, side, abi.StreamPollOut, on)
		}
	}
}

// othersSleep says whether somebody sleeps in another set that watches the same file: what its stream says is for
// both.
func (k *Kernel) othersSleep(w *epollWatch) bool {
	for _, o := range k.fileRT(w.file).epolls {
		if o.rt != w.rt && o.rt.armed {
			return true
		}
	}
	return false
}

// StreamsChanged is called when the library of a task says that it has changed a stream for which
// somebody sleeps, or left a host's socket. With the lock held. The library has taken back that somebody does: of those who are woken, and
// who come meanwhile, the first who goes to sleep again says so anew.
func (k *Kernel) StreamsChanged(t TaskID) {
	k.hostsLeft(t)
	for rt := range k.io.armed {
		for _, w := range rt.streams {
			if k.Streams.Get(w.stream).Ends[1-w.streamSide()].Task == t {
				k.armSet(rt, false)
				rt.q.Wake(PollIn | PollRdNorm)
				break
			}
		}
	}
}

// foundSet takes back the streams that a set watches, of which somebody has found the descriptor
// otherwise than to wait, or to say what it watches: he may have others look at it, or wait.
func (k *Kernel) foundSet(f store.Ref[File]) {
	rt := k.epollSetRT(store.Ref[EpollSet](k.Files.Get(f).Obj))
	k.settleTold(rt)
	for _, w := range slices.Clone(rt.streams) { // which gets shorter
		k.takeBackStream(w.stream)
	}
}
