package ipc

import (
	"encoding/binary"
	"math/rand/v2"

	"hythe/abi"
)

// Batch is calls of the nucleus that are made together: many of them in one datagram,
// and no waiting between datagrams (docs/decisions/0015-batches.md). It belongs to one
// goroutine, and can be used again after Do.
type Batch struct {
	// Stop: what comes after a call that failed is not carried out; as many calls as fit
	// one datagram are then all that Do takes.
	Stop bool

	conn  *Conn
	parts [][]byte
	calls []int  // in each part
	waits []bool // for each call: it may wait
}

// Batch makes an empty one.
func (c *Conn) Batch() *Batch { return &Batch{conn: c} }

// Len is the number of calls.
func (b *Batch) Len() int { return len(b.waits) }

// Add appends a call. EMSGSIZE: it does not fit a datagram.
func (b *Batch) Add(op uint32, args [6]uint64, inline []byte) abi.Errno {
	n := len(args)
	for n > 0 && args[n-1] == 0 {
		n--
	}
	size := abi.BatchCallSize + 8*n + len(inline)
	if size > abi.MaxInline || op > 0xffff {
		return abi.EMSGSIZE
	}
	last := len(b.parts) - 1
	if last < 0 || len(b.parts[last])+size > abi.MaxInline || b.calls[last] == abi.MaxBatch {
		b.parts, b.calls = append(b.parts, nil), append(b.calls, 0)
		last++
	}
	le := binary.LittleEndian
	p := b.parts[last]
	p = le.AppendUint16(p, uint16(op))
	p = append(p, uint8(n), 0)
	p = le.AppendUint32(p, uint32(len(inline)))
	for _, a := range args[:n] {
		p = le.AppendUint64(p, a)
	}
	b.parts[last] = append(p, inline...)
	b.calls[last]++
	b.waits = append(b.waits, op == abi.CallMsgSend && args[0] != 0)
	return 0
}

// Send appends a message as Conn.Send sends it, which waits for room for at most ns
// nanoseconds (abi.Forever).
func (b *Batch) Send(to abi.Name, m *Message, reply abi.Name, ns uint64) abi.Errno {
	if len(m.Rights) > abi.MaxRights || len(m.Objects) > abi.MaxObjects {
		return abi.EMSGSIZE
	}
	disp := uint8(0)
	if reply != abi.NameNull {
		disp = abi.MakeSendOnce
	}
	return b.Add(abi.CallMsgSend, [6]uint64{ns, 0, 0, 0, uint64(m.Lend)}, encodeMessage(m, to, abi.CopySend, reply, disp))
}

// Do makes the calls, and empties the batch. done is told of each, by its number in the
// order of Add, when it is done: first those that did not wait, then the others in the
// order in which they ended. A call that Stop left out is ECANCELED. Do answers once all
// are done. EPIPE: the channel is gone.
func (b *Batch) Do(done func(i int, r Reply, err abi.Errno)) abi.Errno {
	parts, calls, waits := b.parts, b.calls, b.waits
	b.parts, b.calls, b.waits = nil, nil, nil
	flags := uint64(0)
	if b.Stop {
		if len(parts) > 1 {
			return abi.EMSGSIZE
		}
		flags = abi.BatchStop
	}
	c := b.conn
	late := make(chan int, len(waits))
	own := map[int]*waiter{}
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return abi.EPIPE
	}
	first := c.nextID + 1
	c.nextID += uint64(len(waits))
	for i, w := range waits {
		if w {
			own[i] = &waiter{late: late, i: i}
			c.calls[first+uint64(i)] = own[i]
		}
	}
	c.mu.Unlock()
	forget := func(i int) {
		if own[i] != nil {
			c.mu.Lock()
			delete(c.calls, first+uint64(i))
			c.mu.Unlock()
			delete(own, i)
		}
	}
	ws := make([]*waiter, len(parts))
	at := 0
	for p, part := range parts {
		w, _, err := c.begin(abi.CallBatch, [6]uint64{flags, first + uint64(at)}, part, nil, 0)
		if err != 0 {
			break // the channel is gone, as those who wait will hear
		}
		ws[p] = w
		at += calls[p]
	}
	at = 0
	result, waiting := abi.Errno(0), 0
	for p, w := range ws {
		var r Reply
		err := abi.EPIPE
		if w != nil {
			r, err = w.wait(), w.err
		}
		if err != 0 {
			result = err
		}
		for i := range calls[p] {
			e, a0 := abi.ECANCELED, uint64(0)
			switch le := binary.LittleEndian; {
			case err != 0:
				e = err
			case len(r.Inline) >= (i+1)*abi.BatchResultSize:
				x := r.Inline[i*abi.BatchResultSize:]
				e, a0 = abi.Errno(le.Uint32(x)), le.Uint64(x[8:])
			}
			if e == abi.EINPROGRESS && own[at+i] != nil {
				waiting++
				continue
			}
			forget(at + i)
			done(at+i, Reply{A: [6]uint64{a0}}, e)
		}
		at += calls[p]
	}
	for waiting > 0 {
		// The end of the channel is told to all, also to what was refused or not sent.
		i := <-late
		if w := own[i]; w != nil {
			waiting--
			done(i, w.reply, w.err)
		}
	}
	return result
}

// Names that a task chooses are above those that the nucleus does.
const chosenFrom = 1 << 26

// choose answers n names that are likely to be free, one after the other.
func (c *Conn) choose(n int) abi.Name {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.chosen < chosenFrom || uint64(c.chosen)+uint64(n) >= uint64(abi.NameDead) {
		// An earlier incarnation may have chosen, too.
		c.chosen = chosenFrom + abi.Name(rand.Uint32N(1<<31))
	}
	first := c.chosen
	c.chosen += abi.Name(n)
	return first
}

// many makes n things with names of this task's choice, all or none.
func (c *Conn) many(n int, add func(b *Batch, name abi.Name), undo func(b *Batch, name abi.Name)) ([]abi.Name, abi.Errno) {
	names, free := make([]abi.Name, n), make([]int, n)
	for i := range free {
		free[i] = i
	}
	var failed abi.Errno
	for try := 0; len(free) > 0; try++ {
		first := c.choose(len(free))
		b := c.Batch()
		for i := range free {
			add(b, first+abi.Name(i))
		}
		var again []int
		err := b.Do(func(i int, _ Reply, err abi.Errno) {
			switch err {
			case 0:
				names[free[i]] = first + abi.Name(i)
			case abi.EEXIST:
				again = append(again, free[i])
			default:
				failed = err
			}
		})
		if err != 0 {
			failed = err
		}
		if len(again) > 0 && try == 16 {
			failed = abi.EEXIST
		}
		if failed != 0 {
			b := c.Batch()
			for _, n := range names {
				if n != abi.NameNull {
					undo(b, n)
				}
			}
			_ = b.Do(func(int, Reply, abi.Errno) {})
			return nil, failed
		}
		free = again
	}
	return names, 0
}

// MakePorts makes n ports in one round trip. Those that it could not make all of are
// gone when it fails.
func (c *Conn) MakePorts(n int) ([]abi.Name, abi.Errno) {
	return c.many(n, func(b *Batch, name abi.Name) {
		b.Add(abi.CallPortAllocate, [6]uint64{abi.RightReceive, 0, uint64(name)}, nil)
	}, func(b *Batch, name abi.Name) {
		b.Add(abi.CallPortModRefs, [6]uint64{uint64(name), abi.RightReceive, ^uint64(0)}, nil)
	})
}

// CreateObjects makes n memory objects of size bytes in as few round trips as they fit
// (a thousand: two datagrams, one after the other). Descriptors are asked for when they
// are needed (ObjectFD, MapObject).
func (c *Conn) CreateObjects(n int, size uint64) ([]abi.Name, abi.Errno) {
	return c.many(n, func(b *Batch, name abi.Name) {
		b.Add(abi.CallObjectCreate, [6]uint64{size, 0, 0, 0, 0, uint64(name)}, nil)
	}, func(b *Batch, name abi.Name) {
		b.Add(abi.CallPortDeallocate, [6]uint64{uint64(name)}, nil)
	})
}
