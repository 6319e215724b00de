package nucleus_test

import (
	"encoding/binary"
	"testing"

	"hythe/abi"
	"hythe/machine"
	"hythe/nucleus"
	"hythe/nucleus/message"
)

// datagram is a call in bytes.
func datagram(op uint32, data []byte, a ...uint64) []byte {
	h := abi.CallHeader{Op: op, ID: 1, Len: uint32(len(data))}
	copy(h.A[:], a)
	return append(message.PutCall(nil, &h), data...)
}

// No message costs the nucleus an allocation once as many have been under way: a
// call and its answer with a right to answer, a request with a send right and a
// body, messages that wait in a queue, for room in one, and are taken.
func TestNoAllocation(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	a, b := w.server("a", 0), w.server("b", 0)
	svc, back := b.port(), a.port()
	b.ok(abi.CallPortLimit, svc, 2)
	n := b.give(a, right{svc, abi.MakeSend})

	var replies [8]uint32 // names of the rights to answer that b got
	got := 0
	b.c.Hear = func(d machine.Datagram) {
		if len(d.Bytes) >= abi.CallHeaderSize+abi.MsgHeaderSize {
			replies[got%len(replies)] = binary.LittleEndian.Uint32(d.Bytes[abi.CallHeaderSize+4:])
			got++
		}
	}
	answers := 0
	a.c.Hear = func(d machine.Datagram) {
		if len(d.Bytes) >= abi.CallHeaderSize+abi.MsgHeaderSize {
			answers++
		}
	}
	q := msg(n, abi.CopySend, right{back, abi.MakeSendOnce}, 1, right{back, abi.MakeSend})
	q.Body = make([]byte, 512)
	r := msg(0, abi.MoveSendOnce, right{}, 2)
	r.Body = make([]byte, 512)
	ask := datagram(abi.CallMsgSend, message.Put(nil, q), abi.Forever, back, abi.Forever)
	post := datagram(abi.CallMsgSend, message.Put(nil, q), abi.Forever)
	reply := datagram(abi.CallMsgSend, message.Put(nil, r), 0)
	two := message.PutBatch(message.PutBatch(nil, abi.CallMsgSend, message.Put(nil, q)), abi.CallMsgSend, message.Put(nil, q))
	batch := datagram(abi.CallBatch, two)
	listen := datagram(abi.CallMsgReceive, nil, svc, abi.Forever)
	read := datagram(abi.CallMsgReceive, nil, svc, 0)
	readBack := datagram(abi.CallMsgReceive, nil, back, 0)
	answer := func(i int) {
		binary.LittleEndian.PutUint32(reply[abi.CallHeaderSize:], replies[i%len(replies)])
		b.c.Send(reply)
	}
	for _, c := range []struct {
		name string
		turn func()
	}{
		{"call and answer", func() {
			b.c.Send(listen) // it waits
			a.c.Send(ask)    // it has it, and the caller waits
			answer(got - 1)
		}},
		{"messages in a batch", func() {
			a.c.Send(batch)
			for range 2 {
				b.c.Send(read)
			}
			for i := range 2 {
				answer(got - 2 + i)
				a.c.Send(readBack)
			}
		}},
		{"a queue that fills", func() {
			for range 4 { // two of them wait for room
				a.c.Send(post)
			}
			for range 4 {
				b.c.Send(read)
			}
			for i := range 4 {
				answer(got - 4 + i)
				a.c.Send(readBack)
			}
		}},
	} {
		had, read := got, answers
		const turns = 2000
		if n := testing.AllocsPerRun(turns, c.turn); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
		if got-had < turns || got-had != answers-read {
			t.Fatalf("%s: %d requests, %d answers", c.name, got-had, answers-read)
		}
		w.m.Run()
		w.check()
	}
	a.c.Hear, b.c.Hear = nil, nil
	w.end()
}
