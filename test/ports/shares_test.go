package ports

import (
	"fmt"
	"testing"

	"hythe/abi"
	"hythe/idl/names"
	"hythe/ipc"
	servernames "hythe/server/names"
)

// TestShares: one task can fill neither the requests that wait for names nor the names;
// what it has there is its own affair, survives the name server, and is free again when
// the task is gone.
func TestShares(t *testing.T) {
	m := machine(t)
	for round := range 2 {
		greedy, in, err := m.Connect()
		if err != nil {
			t.Fatal(err)
		}
		server := in.Send("names")
		reply, e := greedy.MakePort("")
		if e != 0 {
			t.Fatal(e)
		}
		refused := 0
		// flood asks for n names that will not be; all but the 64 that wait are answered.
		flood := func(n, answers int) {
			t.Helper()
			for i := range n {
				q := &ipc.Message{ID: names.MsgAwait, Body: fmt.Append(nil, "never ", round, " ", i)}
				if e := greedy.Send(server, q, reply); e != 0 {
					t.Fatal(e)
				}
				if n-i > answers {
					continue
				}
				a, e := greedy.Receive(reply)
				if e != 0 || names.DecodeRegisterAnswer(a) != abi.EAGAIN {
					t.Fatalf("answer %v, %v", a, e)
				}
				refused++
			}
		}
		flood(1000, 1000-servernames.MaxAwaitsEach)
		if err := m.Restart(t.Context(), "names"); err != nil {
			t.Error(err)
		}
		flood(100, 100) // the next incarnation knows whose they are

		other, oin, err := m.Connect()
		if err != nil {
			t.Fatal(err)
		}
		others := names.Client{C: other, Port: oin.Send("names")}
		found := make(chan abi.Errno)
		name := fmt.Sprint("found ", round)
		go func() {
			_, e := others.Await(name)
			found <- e
		}()
		own := names.Client{C: greedy, Port: server}
		if e := own.Register(name, reply); e != 0 {
			t.Error(e)
		}
		if e := <-found; e != 0 {
			t.Errorf("somebody else's: %v", e)
		}
		have := 1
		for i := range 3 * servernames.MaxNamesEach {
			switch e := own.Register(fmt.Sprint("greedy ", i), reply); e {
			case 0:
				have++
			case abi.ENOSPC:
			default:
				t.Fatal(e)
			}
			if i == servernames.MaxNamesEach/2 {
				if err := m.Restart(t.Context(), "names"); err != nil {
					t.Error(err)
				}
			}
		}
		if have != servernames.MaxNamesEach {
			t.Errorf("%d names of one task", have)
		}
		mine, e := other.MakePort("")
		if e != 0 {
			t.Fatal(e)
		}
		if e := others.Register(fmt.Sprint("mine ", round), mine); e != 0 {
			t.Errorf("somebody else's name: %v", e)
		}
		// Who gives up what it asked for has room again.
		if e := greedy.DropReceive(reply); e != 0 {
			t.Error(e)
		}
		if reply, e = greedy.MakePort(""); e != 0 {
			t.Fatal(e)
		}
		flood(servernames.MaxAwaitsEach, 0)
		flood(300, 300)
		greedy.Close()
		other.Close()
	}
}
