package ipc_test

import (
	"testing"

	"hythe/abi"
	"hythe/ipc"
	"hythe/machine/linux"
	"hythe/nucleus"
)

// server is a task of a nucleus of its own.
func server(t *testing.T) (*ipc.Conn, *nucleus.Server) {
	t.Helper()
	m, err := linux.New(linux.Options{})
	if err != nil {
		t.Fatal(err)
	}
	k := nucleus.New(m, nucleus.Limits{}, nucleus.Hooks{})
	t.Cleanup(func() { m.Close() })
	t.Cleanup(k.Stop)
	s := k.NewServer(nucleus.ServerSpec{Name: "server"})
	far, err := s.Attach(nil)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := linux.TakeFD(far)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ipc.Dial(fd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, s
}

// TestAnswerToNobody: who asks and is gone before the answer leaves nothing in the server,
// however it answers.
func TestAnswerToNobody(t *testing.T) {
	c, s := server(t)
	ok := func(e abi.Errno) {
		t.Helper()
		if e != 0 {
			t.Fatal(e)
		}
	}
	port, e := c.MakePort("")
	ok(e)
	ok(c.MakeSend(port))
	before := len(s.Ports())
	taker := c.Taker(port)
	for range 2 {
		answers := []func(*ipc.Message) abi.Errno{
			func(m *ipc.Message) abi.Errno { return c.Answer(m, nil) },
			func(m *ipc.Message) abi.Errno { _, e := taker.Answer(m, &ipc.Message{}); return e },
		}
		for i, answer := range answers {
			// The reply port is another task's as far as the server's name of it goes: it
			// dies with the message that brought its receive right.
			reply, e := c.MakePort("")
			ok(e)
			ok(c.Send(port, &ipc.Message{ID: 1}, reply))
			q, e := c.Receive(port)
			ok(e)
			ok(c.DropReceive(reply))
			ok(c.Send(port, &ipc.Message{ID: 2}, abi.NameNull)) // for the Taker to take
			if e := answer(q); i == 0 && e != abi.EPIPE || i == 1 && e != 0 {
				t.Error(e)
			}
			if i == 0 {
				_, e = c.Receive(port)
				ok(e)
			}
			if n := len(s.Ports()); n != before {
				t.Errorf("answer %d: %d names, before it were %d", i, n, before)
			}
		}
	}
}

// TestAhead: what was asked for ahead comes in order; a Taker that is told to stop takes
// what it was handed by then and not one more, and answers all of it.
func TestAhead(t *testing.T) {
	c, _ := server(t)
	port, e := c.MakePort("")
	if e == 0 {
		e = c.MakeSend(port)
	}
	if e == 0 {
		_, e = c.Call(abi.CallPortLimit, [6]uint64{uint64(port), 100}, nil, nil)
	}
	reply, e2 := c.MakePort("")
	if e != 0 || e2 != 0 {
		t.Fatal(e, e2)
	}
	const all = 100
	for i := range uint64(all) {
		if e := c.Send(port, &ipc.Message{ID: 1, Seq: i}, reply); e != 0 {
			t.Fatal(e)
		}
	}
	taker := c.Taker(port)
	taker.Ahead = 16
	next := uint64(0)
	m, e := taker.Take()
	for ; e == 0; next++ {
		if m.Seq != next {
			t.Fatalf("message %d, want %d", m.Seq, next)
		}
		if next == 20 {
			taker.Stop()
		}
		m, e = taker.Answer(m, &ipc.Message{ID: 2, Seq: m.Seq})
	}
	// At the 20th it had asked for 16 at 0, 8 and 16, and all had come.
	if e != abi.ECANCELED || next != 32 {
		t.Errorf("it ended with %v after %d", e, next)
	}
	for i := range next {
		if a, e := c.Receive(reply); e != 0 || a.Seq != i {
			t.Fatalf("answer %d: %+v, %v", i, a, e)
		}
	}
	for ; next < all; next++ {
		if m, e := c.Receive(port); e != 0 || m.Seq != next {
			t.Fatalf("left in the queue: %+v, %v, want %d", m, e, next)
		}
	}
	if _, e := taker.Take(); e != abi.ECANCELED {
		t.Errorf("after the end: %v", e)
	}
	// One that waits for messages when it is told.
	taker = c.Taker(port)
	taker.Ahead = 4
	ended := make(chan abi.Errno)
	go func() {
		m, e := taker.Take()
		if e == 0 {
			_, e = taker.Answer(m, &ipc.Message{ID: 2, Seq: m.Seq})
		}
		ended <- e
	}()
	if e := c.Send(port, &ipc.Message{ID: 1, Seq: 7}, reply); e != 0 {
		t.Fatal(e)
	}
	if a, e := c.Receive(reply); e != 0 || a.Seq != 7 {
		t.Errorf("%+v, %v", a, e)
	}
	taker.Stop()
	if e := <-ended; e != abi.ECANCELED {
		t.Error(e)
	}
}
