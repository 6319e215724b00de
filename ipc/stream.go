package ipc

import (
	"encoding/binary"
	"sync"

	"hythe/abi"
)

// Stream sends small messages in great numbers over a binding: they are packed into a
// slot, and the server is told of all of them at once. Every slot of the binding may be
// under way; when all are, Send waits. A slot's messages stay there until the server has
// answered for them, so a server that dies with them finds all of them again, from the first. The server takes
// them by an Inflow, which keeps their order.
//
// A Stream is one goroutine's, and is alone on its binding.
type Stream struct {
	b    *ClientBinding
	nr   uint64
	seq  uint64
	call *Call  // the slot that is being filled
	room []byte // what is left of it

	mu  sync.Mutex
	err abi.Errno // guarded by mu: the first error of the server
}

// streamHeader stands before each message: its length.
const streamHeader = 4

// MaxStreamMessage is how long a message of a stream may be.
const MaxStreamMessage = abi.SlotInSize - streamHeader

// Stream makes one; nr is the operation that the server is asked for.
func (b *ClientBinding) Stream(nr uint64) *Stream { return &Stream{b: b, nr: nr} }

// Send appends a message, which the server sees when the slot is full, or after Flush.
// EMSGSIZE; EPIPE: the binding is closed or its server gone; and what the server has
// answered to messages that were sent before.
func (s *Stream) Send(m []byte) abi.Errno {
	if need := streamHeader + len(m); len(s.room) < need {
		if err := s.turn(need); err != 0 {
			return err
		}
	}
	binary.LittleEndian.PutUint32(s.room, uint32(len(m)))
	copy(s.room[streamHeader:], m)
	s.room = s.room[streamHeader+len(m):]
	return 0
}

// turn sends what there is and takes another slot.
func (s *Stream) turn(need int) abi.Errno {
	if need > abi.SlotInSize {
		return abi.EMSGSIZE
	}
	if err := s.Flush(); err != 0 {
		return err
	}
	if s.call = s.b.Begin(); s.call == nil {
		return abi.EPIPE
	}
	s.room = s.call.In()
	return 0
}

// Flush tells the server of all that was sent, and does not wait for it.
func (s *Stream) Flush() abi.Errno {
	c := s.call
	if c == nil {
		return s.failed()
	}
	n := abi.SlotInSize - len(s.room)
	s.call, s.room = nil, nil
	if n == 0 {
		c.End()
		return s.failed()
	}
	s.seq++
	c.Args[0] = s.seq
	if c.Start(s.nr, n, func() {
		if err := c.Err(); err != 0 {
			s.mu.Lock()
			if s.err == 0 {
				s.err = err
			}
			s.mu.Unlock()
		}
		c.End()
	}) != nil {
		return abi.EPIPE
	}
	return s.failed()
}

func (s *Stream) failed() abi.Errno {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Wait flushes and waits until the server has answered for everything.
func (s *Stream) Wait() abi.Errno {
	err := s.Flush()
	var held []*Call
	for range s.b.slots {
		if c := s.b.Begin(); c != nil {
			held = append(held, c)
		} else {
			err = abi.EPIPE
		}
	}
	for _, c := range held {
		c.End()
	}
	if e := s.failed(); e != 0 {
		return e
	}
	return err
}

// Inflow is the server's end of a Stream. It belongs to the goroutine that has the
// binding's requests.
type Inflow struct {
	b    *ServerBinding
	next uint64         // number of the slot whose turn it is; 0: not known yet
	held map[uint64]int // slots whose turn has not come, by their numbers
	buf  []byte
}

// Inflow makes one for a binding whose requests are a stream's.
func (s *ServerBinding) Inflow() *Inflow { return &Inflow{b: s, held: map[uint64]int{}} }

// Serve is called for each request on the binding. It hands f the messages whose turn it
// is, and answers for a slot's when f has had all of them. f must not keep m. What does
// not fit together is answered EPROTO; f may have seen what stands before it.
func (w *Inflow) Serve(slot int, f func(m []byte)) {
	var q Request
	if !w.b.Load(slot, &q) {
		w.b.Drop(slot)
		return
	}
	seq := q.Args[0]
	if w.next == 0 {
		w.next = w.first()
	}
	if _, twice := w.held[seq]; twice || seq < w.next {
		w.answer(slot, &q, abi.EPROTO)
		return
	}
	w.held[seq] = slot
	for {
		slot, ok := w.held[w.next]
		if !ok {
			return
		}
		delete(w.held, w.next)
		w.next++
		if !w.b.Load(slot, &q) {
			w.b.Drop(slot)
			continue
		}
		w.answer(slot, &q, w.messages(slot, &q, f))
	}
}

// first is the lowest number that waits: an earlier incarnation answered for all before it.
func (w *Inflow) first() uint64 {
	low := ^uint64(0)
	for i := range w.b.slots {
		var q Request
		if w.b.Load(i, &q) {
			low = min(low, q.Args[0])
		}
	}
	return max(low, 1)
}

func (w *Inflow) answer(slot int, q *Request, err abi.Errno) {
	w.b.Answer(slot, q.Seq, 0, err, 0)
	w.b.Complete(slot)
}

// messages copies a slot's messages, so that the client cannot change them any more, and
// hands them to f.
func (w *Inflow) messages(slot int, q *Request, f func(m []byte)) abi.Errno {
	w.buf = append(w.buf[:0], w.b.in(slot)[:q.InLen]...)
	for b := w.buf; len(b) > 0; {
		if len(b) < streamHeader {
			return abi.EPROTO
		}
		n := uint64(binary.LittleEndian.Uint32(b))
		if n > uint64(len(b)-streamHeader) {
			return abi.EPROTO
		}
		end := streamHeader + int(n)
		f(b[streamHeader:end:end])
		b = b[end:]
	}
	return 0
}
