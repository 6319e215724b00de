package ipc_test

import (
	"testing"

	"hythe/abi"
	"hythe/ipc"
	"hythe/machine/linux"
	"hythe/nucleus"
)

// TestAnswerToNobody: who asks and is gone before the answer leaves nothing in the server,
// however it answers.
func TestAnswerToNobody(t *testing.T) {
	m, err := linux.New(linux.Options{})
	if err != nil {
		t.Fatal(err)
	}
	k := nucleus.New(m, nucleus.Limits{}, nucleus.Hooks{})
	defer m.Close()
	defer k.Stop()
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
	defer c.Close()
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
