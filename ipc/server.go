package ipc

import (
	"fmt"
	"math/bits"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/store/crash"
)

// Request is the client's part of a slot, copied out of shared memory by Load
// and bounded: NIn and InLen are in range, and so is every Extent below NIn.
// The rest is what the client alleges.
type Request struct {
	State  uint32
	Waiter uint32
	Seq    uint64
	Kind   uint32
	Flags  uint32
	Nr     uint64
	Args   [8]uint64
	HostID uint64
	NIn    uint32
	InLen  uint32
	In     [6]abi.Extent
	Regs   abi.Regs
	Back   uint32
	Late   uint32
	Done   uint32
	_      uint32
}

const bindWords = abi.MaxSlots / 64

// ServerBinding is the server's end of a binding. Load, Slot, In, Out,
// Complete and Ask may be called from any goroutine, for a slot by one at a
// time: the one that was given it by Poller.Wait or Take. The rest is for the
// Poller's user.
type ServerBinding struct {
	ID    uint64
	Label string
	Port  abi.Name
	// User is the server's own: what it knows of this client.
	User any

	area
	bell       int
	clientBell int           // -1: the client is a guest
	order      atomic.Uint32 // answers so far
	owed       atomic.Int32  // answers after which no request has come since the Poller slept
	words      int
	valid      [bindWords]uint64 // which slots exist
	taken      [bindWords]uint64 // taken from Pending, not yet given out
	busy       [bindWords]uint64 // given out, not yet answered; atomic

	// The Poller's own.
	poller *Poller
	entry  int
	hot    bool
	queued bool
	idle   int
}

// NewServerBinding maps a binding that the nucleus announced, and takes over
// the descriptors. A redelivered one is recovered: requests that the last
// incarnation did not answer are pending again, and clients that it answered
// without waking them are woken.
func NewServerBinding(b *Bound) (*ServerBinding, error) { return newServerBinding(b, false) }

// newServerBinding makes one. fresh: no other incarnation has had it, so that there is nothing to
// take back, and the Pending bits say what was asked.
func newServerBinding(b *Bound, fresh bool) (*ServerBinding, error) {
	s := &ServerBinding{ID: b.ID, Label: b.Label, Port: b.Port, clientBell: -1}
	var err error
	if len(b.FDs) < 2 {
		closeAll(b.FDs)
		return nil, fmt.Errorf("ipc: binding %d with %d descriptors", b.ID, len(b.FDs))
	}
	s.area, err = mapArea(b.FDs[0], b.Slots)
	if err != nil {
		closeAll(b.FDs)
		return nil, err
	}
	var touched []int
	if !fresh {
		touched = s.touched(b.FDs[0])
	}
	_ = unix.Close(b.FDs[0])
	s.bell = b.FDs[1]
	if len(b.FDs) > 2 {
		s.clientBell = b.FDs[2]
		_ = unix.SetNonblock(s.clientBell, true) // the client may have filled it
	}
	s.words = (s.slots + 63) / 64
	for i := range s.slots {
		s.valid[i/64] |= 1 << (i % 64)
	}
	atomic.StoreUint32(&s.hdr.Armed, 1)
	if fresh {
		atomic.AddUint32(&s.hdr.Epoch, 1)
		return s, nil
	}
	for i := range s.hdr.Told {
		s.Tell(i, 0) // what the last incarnation said may not be so any more
	}
	for i := range s.hdr.Lent {
		s.Unlend(i)
		s.UnlendStat(i)
		s.LentPos(i) // its value stays
	}
	for i := range s.hdr.Open {
		s.TellOpen(i, 0)
	}
	for i := range s.hdr.Sets {
		s.UnlendSet(i)
	}
	for i := range s.hdr.Close {
		atomic.AndUint64(&s.hdr.Close[i], ^uint64(abi.CloseMay)) // what was closed stays so
	}
	s.recover(touched)
	atomic.AddUint32(&s.hdr.Epoch, 1)
	return s, nil
}

// recover looks at every slot that was ever used instead of the Pending bits,
// which a dead incarnation may have taken. It is harmless for a new binding. A
// slot that is used for the first time from now on sets its Pending bit.
func (s *ServerBinding) recover(touched []int) {
	for _, i := range touched {
		sl := s.slot(i)
		switch atomic.LoadUint32(&sl.State) {
		case abi.SlotRequest, abi.SlotResumed:
			s.taken[i/64] |= 1 << (i % 64)
		case abi.SlotReply, abi.SlotMore:
			s.notify(i, sl)
		}
	}
}

// Close unmaps the binding. The Poller must not have it any more, and no
// goroutine may be at work on one of its slots.
func (s *ServerBinding) Close() {
	s.unmap()
	_ = unix.Close(s.bell)
	if s.clientBell >= 0 {
		_ = unix.Close(s.clientBell)
	}
}

// Changed says whether the client says that it has changed a stream for which somebody sleeps, or left a host's socket
// (abi.BindHeader.Changed), since it was asked last. It is so when a slot is given whose Pending bit was set for that.
func (s *ServerBinding) Changed() bool {
	return atomic.LoadUint32(&s.hdr.Changed) != 0 && atomic.SwapUint32(&s.hdr.Changed, 0) != 0
}

// Posted answers the descriptors of which the client says that it has closed them without asking
// (abi.BindHeader.Posted), since it was asked last.
func (s *ServerBinding) Posted() uint64 {
	if atomic.LoadUint64(&s.hdr.Posted) == 0 {
		return 0
	}
	return atomic.SwapUint64(&s.hdr.Posted, 0)
}

// EachEnded calls f for each slot of which the client says that its thread has ended without asking
// (abi.BindHeader.Ends), since it was asked last.
func (s *ServerBinding) EachEnded(f func(slot int)) {
	if atomic.LoadUint32(&s.hdr.Ended) == 0 || atomic.SwapUint32(&s.hdr.Ended, 0) == 0 {
		return
	}
	for i := range s.words {
		w := atomic.LoadUint64(&s.hdr.Ends[i])
		if w == 0 {
			continue
		}
		for w = atomic.SwapUint64(&s.hdr.Ends[i], 0) & s.valid[i]; w != 0; w &= w - 1 {
			f(i*64 + bits.TrailingZeros64(w))
		}
	}
}

// HasEnded says whether EachEnded has something.
func (s *ServerBinding) HasEnded() bool { return atomic.LoadUint32(&s.hdr.Ended) != 0 }

// Ended answers of which thread the client says that it has ended on slot n (abi.Slot.Ended), and with what.
func (s *ServerBinding) Ended(n int) (token uint64, code uint32) {
	sl := s.Slot(n)
	token = atomic.LoadUint64(&sl.Ended)
	return token, atomic.LoadUint32(&sl.EndCode)
}

// Begun answers of which thread the client says that it has begun on slot n (abi.Slot.Begun), and its host id.
func (s *ServerBinding) Begun(n int) (token, hostID uint64) {
	sl := s.Slot(n)
	token = atomic.LoadUint64(&sl.Begun)
	return token, atomic.LoadUint64(&sl.HostID)
}

// CloseWord answers abi.BindHeader.Close of descriptor i.
func (s *ServerBinding) CloseWord(i int) uint64 { return atomic.LoadUint64(&s.hdr.Close[i]) }

// SetClose changes it, unless the client has meanwhile.
func (s *ServerBinding) SetClose(i int, from, to uint64) bool {
	return atomic.CompareAndSwapUint64(&s.hdr.Close[i], from, to)
}

// Slots is the number of slots.
func (s *ServerBinding) Slots() int { return s.slots }

// Late answers which calls the client's library has served on slot n since the last answer, and
// what they said (abi.Slot.Late): the client's own words.
func (s *ServerBinding) Late(n int) (late uint32, robust, tid, mask uint64) {
	sl := s.Slot(n)
	late = atomic.LoadUint32(&sl.Late)
	return late, atomic.LoadUint64(&sl.LateRobust), atomic.LoadUint64(&sl.LateTid), atomic.LoadUint64(&sl.LateMask)
}

// Mask answers the signals that the client's thread on slot n blocks by what its library has made of
// them since it had its last answer; false: it has not, or the request with which it says so is the
// cur-th, which the server knows. They are the client's own words.
func (s *ServerBinding) Mask(n int, cur uint64) (mask uint64, ok bool) {
	sl := s.Slot(n)
	// In this order: when the state is left behind, so is what the library says late.
	switch atomic.LoadUint32(&sl.State) {
	case abi.SlotIdle:
	case abi.SlotRequest:
		if atomic.LoadUint64(&sl.Seq) == cur {
			return 0, false
		}
	default:
		return 0, false
	}
	if atomic.LoadUint32(&sl.Late)&abi.LateIsMask == 0 {
		return 0, false
	}
	return atomic.LoadUint64(&sl.LateMask), true
}

// Tell stores word i of what the client knows without a call (abi.BindHeader.Told).
func (s *ServerBinding) Tell(i int, v uint64) { atomic.StoreUint64(&s.hdr.Told[i], v) }

// Lend makes the record of a file that the client may read itself (abi.Lent). It may when
// the library has found gen in it and made it odd.
func (s *ServerBinding) Lend(i int, size uint64, slot uint32, ends bool) (gen uint64) {
	gen = s.Unlend(i)
	l := &s.hdr.Lent[i]
	atomic.StoreUint64(&l.Size, size)
	atomic.StoreUint32(&l.Slot, slot)
	e := uint32(0)
	if ends {
		e = 1
	}
	atomic.StoreUint32(&l.Ends, e)
	return gen
}

// Unlend takes it back; gen is what the record says from now on.
func (s *ServerBinding) Unlend(i int) (gen uint64) { return nextGen(&s.hdr.Lent[i].Gen) }

// LentSize answers abi.Lent.Size, which the client may not change from now on if take is set.
func (s *ServerBinding) LentSize(i int, take bool) uint64 {
	if w := &s.hdr.Lent[i].Size; take {
		return atomic.OrUint64(w, abi.LentTaken) &^ abi.LentTaken
	} else {
		return atomic.LoadUint64(w) &^ abi.LentTaken
	}
}

// LentWrote answers abi.Lent.Wrote.
func (s *ServerBinding) LentWrote(i int) uint64 { return atomic.LoadUint64(&s.hdr.Lent[i].Wrote) }

// UnlendStat takes attributes back that the client has kept (abi.Lent.Stat), and answers
// what the record says from now on: it may use new ones when it has made that odd.
func (s *ServerBinding) UnlendStat(i int) (gen uint64) { return nextGen(&s.hdr.Lent[i].Stat) }

// nextGen makes a word another even number, but 0.
func nextGen(w *uint64) (gen uint64) {
	if gen = (atomic.LoadUint64(w) | 1) + 1; gen == 0 {
		gen = 2
	}
	atomic.StoreUint64(w, gen)
	return gen
}

// LentPos answers abi.Lent.Pos, which the client may not move from now on.
func (s *ServerBinding) LentPos(i int) uint64 {
	return atomic.AndUint64(&s.hdr.Lent[i].Pos, ^uint64(abi.LentPos)) &^ abi.LentPos
}

// SetLentPos changes abi.Lent.Pos from what LentPos has answered; it fails if a client
// forges it, or has carried out what it was told before.
func (s *ServerBinding) SetLentPos(i int, from, to uint64) bool {
	return atomic.CompareAndSwapUint64(&s.hdr.Lent[i].Pos, from, to)
}

// TellOpen says what the client knows of descriptor i (abi.BindHeader.Open).
func (s *ServerBinding) TellOpen(i int, v uint64) { atomic.StoreUint64(&s.hdr.Open[i], v) }

// LentRing answers abi.Lent.Size of a ring, and copies what is in it behind the first head bytes
// that were in it ever to b, of at most abi.LentRingSize bytes. The client may change both
// meanwhile.
func (s *ServerBinding) LentRing(i int, head uint64, b []byte) (size uint64) {
	ring := s.ring(i)
	n := copy(b, ring[head%abi.LentRingSize:])
	copy(b[n:], ring)
	return atomic.LoadUint64(&s.hdr.Lent[abi.LentFiles+i].Size)
}

// LendSet makes the record of an epoll set (abi.LentSet), with at most abi.LentSetItems items, which
// the client answers from at once. UnlendSet was called before. False: what the client has changed in the set that was
// there is not settled (SettleSet).
func (s *ServerBinding) LendSet(i int, fd int32, items []abi.LentItem, host, wake uint64) bool {
	l, list := &s.hdr.Sets[i], s.items(i)
	if s.SetChanged(i) {
		return false
	}
	gen := atomic.LoadUint64(&l.Gen)&^1 + 1
	streams := uint32(0)
	clear(l.Index[:])
	for at := range items {
		if fd := items[at].FD; fd >= 0 && int(fd) < len(l.Index) {
			l.Index[fd] = uint16(at + 1)
		}
		if items[at].Stream != 0 {
			streams++
		}
		to := &list[at]
		atomic.StoreUint64(&to.Data, items[at].Data)
		atomic.StoreUint32(&to.Events, items[at].Events)
		atomic.StoreUint32(&to.Room, items[at].Room)
		atomic.StoreUint64(&to.Stream, items[at].Stream)
		atomic.StoreInt32(&to.FD, items[at].FD)
		atomic.StoreUint32(&to.Off, 0)
	}
	atomic.StoreInt32(&l.FD, fd)
	atomic.StoreUint32(&l.N, uint32(len(items)))
	atomic.StoreUint32(&l.Streams, streams)
	atomic.StoreUint64(&l.Host, host)
	atomic.StoreUint64(&l.Wake, wake)
	atomic.StoreUint64(&l.Next, gen<<32)
	atomic.StoreUint64(&l.Ctl, gen&abi.SetGens<<abi.SetGen)
	atomic.StoreUint64(&l.Gen, gen)
	return true
}

// UnlendSet takes it back, and answers with which of its items the next answer would have begun: the
// client's own word. The client changes nothing in it any more.
func (s *ServerBinding) UnlendSet(i int) (next uint32) {
	l := &s.hdr.Sets[i]
	nextGen(&l.Gen)
	atomic.OrUint64(&l.Ctl, abi.SetTaken)
	return uint32(atomic.LoadUint64(&l.Next))
}

// SetSleeps says whether threads of the client sleep for LentSet.Host, or have not said yet that they do no more: the
// client's own word. One that is about to sleep and has not said so finds Gen as it is now.
func (s *ServerBinding) SetSleeps(i int) bool { return atomic.LoadUint32(&s.hdr.Sets[i].Sleeps) != 0 }

// HostsBusy answers for which descriptors threads of the client say that they receive by the host's socket
// (abi.BindHeader.HostBusy), a bit each: the client's own words. One that is about to and has not said so finds Lent.Pos as it
// is now.
func (s *ServerBinding) HostsBusy() (fds uint64) {
	for i := range s.hdr.HostBusy {
		if atomic.LoadUint32(&s.hdr.HostBusy[i]) != 0 {
			fds |= 1 << i
		}
	}
	return fds
}

// SetChanged says whether the client has changed something in a set that is or was lent, which is not settled.
func (s *ServerBinding) SetChanged(i int) bool {
	return uint32(atomic.LoadUint64(&s.hdr.Sets[i].Ctl)) != 0
}

// SetItems answers the descriptor and the items of a set in which the client has changed something, after UnlendSet: its
// own words, with at most abi.LentSetItems items.
func (s *ServerBinding) SetItems(i int) (fd int32, items []abi.LentItem) {
	l, list := &s.hdr.Sets[i], s.items(i)
	items = make([]abi.LentItem, min(atomic.LoadUint32(&l.N), abi.LentSetItems))
	for at := range items {
		items[at] = list[at]
	}
	r := l.Redo[atomic.LoadUint64(&l.Ctl)&1]
	if int64(r.At) < int64(len(items)) {
		items[r.At] = r.Item
	}
	return atomic.LoadInt32(&l.FD), items
}

// SettleSet notes that the record has what the client has changed: another set may be lent in its place.
func (s *ServerBinding) SettleSet(i int) { atomic.StoreUint64(&s.hdr.Sets[i].Ctl, abi.SetTaken) }

// grab moves Pending bits to taken and says whether there are any. Bits of
// slots that are being served are forged, or left by a client that died: they
// are dropped.
func (s *ServerBinding) grab() bool {
	var any uint64
	for w := range s.words {
		if atomic.LoadUint64(&s.hdr.Pending[w]) != 0 {
			m := atomic.SwapUint64(&s.hdr.Pending[w], 0)
			s.taken[w] |= m & s.valid[w] &^ atomic.LoadUint64(&s.busy[w])
		}
		any |= s.taken[w]
	}
	return any != 0
}

// pending says whether grab may find something, and has the first slot that it will find
// fetched meanwhile.
func (s *ServerBinding) pending() bool {
	for w := range s.words {
		if m := atomic.LoadUint64(&s.hdr.Pending[w]); m != 0 {
			s.warm(w*64 + bits.TrailingZeros64(m))
			return true
		}
	}
	return false
}

// pop gives the lowest taken slot.
func (s *ServerBinding) pop() (slot int, more, ok bool) {
	slot = -1
	for w := range s.words {
		m := s.taken[w]
		if m == 0 {
			continue
		}
		if slot >= 0 {
			return slot, true, true
		}
		b := bits.TrailingZeros64(m)
		slot = w*64 + b
		s.taken[w] = m & (m - 1)
		if old := atomic.OrUint64(&s.busy[w], 1<<b); old&(1<<b) != 0 {
			slot = -1 // cannot be: grab drops busy ones
			continue
		}
		if s.owed.Load() > 0 {
			s.owed.Add(-1)
		}
		if s.taken[w] != 0 {
			return slot, true, true
		}
	}
	return slot, false, slot >= 0
}

// Take gives a slot that has a request, for servers without a Poller.
func (s *ServerBinding) Take() (slot int, ok bool) {
	s.grab()
	slot, _, ok = s.pop()
	return slot, ok
}

// Load copies a slot's request out and checks its bounds. It answers false when
// the slot holds no request (a forged bit) or contradicts itself: then the slot
// is put back unanswered with Drop (a hostile client hangs itself).
func (s *ServerBinding) Load(slot int, r *Request) bool {
	sl := s.slot(slot)
	if st := atomic.LoadUint32(&sl.State); st != abi.SlotRequest && st != abi.SlotResumed {
		return false
	}
	copyRequest(r, sl)
	if r.InLen > abi.SlotInSize || r.NIn > uint32(len(r.In)) || (r.State != abi.SlotRequest && r.State != abi.SlotResumed) {
		return false
	}
	for i := range r.In[:r.NIn] {
		e := &r.In[i]
		if e.Off < abi.SlotInOff || e.Off > abi.SlotOutOff || e.Len > abi.SlotOutOff-e.Off {
			return false
		}
	}
	crash.Point("request taken")
	return true
}

// Slot gives the shared header of a slot, for the server to write its part
// (from Result on). The client can change every word of it at any time: read
// requests through Load.
func (s *ServerBinding) Slot(slot int) *abi.Slot { return s.slot(slot) }

// In gives the area that the client fills. It may change while it is read.
func (s *ServerBinding) In(slot int) []byte { return s.in(slot) }

// Out gives the area that the server fills; Out()[0] is slot offset
// abi.SlotOutOff.
func (s *ServerBinding) Out(slot int) []byte { return s.out(slot) }

// Whole gives the slot from its first byte: what the offsets in extents and
// actions count from.
func (s *ServerBinding) Whole(slot int) []byte { return s.whole(slot) }

// Answer stores the plain reply to request seq (all but State): no actions, n
// bytes in the Out area. Complete makes it visible.
func (s *ServerBinding) Answer(slot int, seq, result uint64, err abi.Errno, n int) {
	sl := s.slot(slot)
	sl.Result, sl.Err, sl.NAct, sl.OutLen, sl.RFlags = result, uint32(err), 0, uint32(n), 0
	sl.DoneSeq = seq
}

// Cancelled says whether whoever made the request seq on a slot has given up waiting for
// its answer (Call.DoContext). It has to be answered all the same.
func (s *ServerBinding) Cancelled(slot int, seq uint64) bool {
	return atomic.LoadUint32(&s.slot(slot).Cancel) == uint32(seq) && seq != 0
}

// Complete hands the reply, which is stored already, to the client.
func (s *ServerBinding) Complete(slot int) { s.publish(slot, abi.SlotReply) }

// Ask hands the actions to the client, which comes back on the same slot with
// State Resumed.
func (s *ServerBinding) Ask(slot int) { s.publish(slot, abi.SlotMore) }

func (s *ServerBinding) publish(slot int, state uint32) {
	sl := s.slot(slot)
	s.release(slot) // before the client can set Pending again
	s.owed.Add(1)
	if s.clientBell >= 0 {
		atomic.StoreUint32(&sl.Order, s.order.Add(1))
	}
	crash.Point("answer written")
	atomic.StoreUint32(&sl.State, state)
	crash.Point("answer published")
	s.notify(slot, sl)
	crash.Point("answered")
}

// notify tells the client that the slot's State has changed.
func (s *ServerBinding) notify(slot int, sl *abi.Slot) {
	if s.clientBell >= 0 {
		atomic.OrUint64(&s.hdr.Done[slot/64], 1<<(slot%64))
		if atomic.LoadUint32(&s.hdr.ClientArmed) != 0 {
			ring(s.clientBell)
		}
	}
	if atomic.LoadUint32(&sl.Waiter) != 0 {
		futexWake(&sl.State, 1)
	}
}

func (s *ServerBinding) release(slot int) {
	atomic.AndUint64(&s.busy[slot/64], ^(uint64(1) << (slot % 64)))
}

// Resumed says whether the client of a slot, which was asked for something (Ask), has come back. Else its bit
// says nothing of the call, and the slot is put back with Drop.
func (s *ServerBinding) Resumed(slot int) bool {
	return atomic.LoadUint32(&s.slot(slot).State) == abi.SlotResumed
}

// Drop puts a slot back without an answer: Load found no request in it.
func (s *ServerBinding) Drop(slot int) {
	s.release(slot)
	// A request that came since then had its bit dropped by grab.
	if st := atomic.LoadUint32(&s.slot(slot).State); st == abi.SlotRequest || st == abi.SlotResumed {
		var r Request
		if s.Load(slot, &r) { // not one that would be dropped for ever
			atomic.OrUint64(&s.hdr.Pending[slot/64], 1<<(slot%64))
			ring(s.bell)
		}
	}
}
