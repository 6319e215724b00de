package rights

import (
	"testing"

	"hythe/abi"
	"hythe/nucleus"
	"hythe/nucleus/message"
)

// burst says a call n times, many before it looks for an answer, and hands each answer
// to got.
func (t *task) burst(n int, op uint32, data []byte, a []uint64, got func(e event)) {
	t.w.t.Helper()
	const ahead = 64
	h := abi.CallHeader{Op: op, Len: uint32(len(data))}
	copy(h.A[:], a)
	first := t.next + 1
	for i := range n + ahead {
		if i < n {
			t.next++
			h.ID = t.next
			t.wire.send(append(message.PutCall(nil, &h), data...))
		}
		if i >= ahead {
			got(t.await(first + uint64(i-ahead)))
		}
	}
}

// TestSessions: a client that opens 100,000 sessions uses up its own budget and nobody
// else's; so does one that sends messages that nobody answers, or makes ports. Closing gives it back to the byte. On both machines.
func TestSessions(t *testing.T) {
	for _, h := range []host{newSim(), newLinux(t)} {
		t.Run(h.name(), func(t *testing.T) {
			defer h.close()
			const budget = 1 << 20
			w := newWorld(t, h, nucleus.Limits{Memory: budget, Sessions: 1 << 20, Bindings: 1 << 20, Names: 1 << 20, Waiting: 1 << 20})
			for _, n := range []string{"server", "greedy", "other"} {
				w.task(n)
			}
			w.boxes()
			server, greedy, other := w.tasks["server"], w.tasks["greedy"], w.tasks["other"]
			used := func(x *task) int { n, _ := x.s.Budget(); return n }
			before := map[*task]int{server: used(server), greedy: used(greedy), other: used(other)}
			same := func(what string, of ...*task) {
				t.Helper()
				for _, x := range of {
					if u := used(x); u != before[x] {
						t.Errorf("%s: %s pays for %d bytes, before for %d", what, x.s.Name(), u, before[x])
					}
				}
			}
			full := func(what string, n, refused, open int) {
				t.Helper()
				if refused == 0 || open == 0 || refused+open != n {
					t.Errorf("%s: %d, and %d refused", what, open, refused)
				}
				if u := used(greedy); u > budget || u < budget-3*abi.PageSize {
					t.Errorf("%s: %d bytes of %d", what, u, budget)
				}
				same(what, server, other)
			}

			// Sessions.
			var open []uint64
			refused := 0
			greedy.burst(100_000, abi.CallBind, nil, []uint64{greedy.names["@server"], 1}, func(e event) {
				switch abi.Errno(e.Err) {
				case 0:
					open = append(open, e.A[0])
				case abi.EAGAIN:
					refused++
				default:
					t.Fatal(abi.Errno(e.Err))
				}
			})
			full("sessions", 100_000, refused, len(open))
			if e := other.call(abi.CallBind, nil, other.names["@server"], 1); e.Err != 0 {
				t.Errorf("somebody else's session: %v", abi.Errno(e.Err))
			} else if e := other.call(abi.CallUnbind, nil, e.A[0]); e.Err != 0 {
				t.Error(abi.Errno(e.Err))
			}
			for _, b := range open {
				if e := greedy.call(abi.CallUnbind, nil, b); e.Err != 0 {
					t.Fatal(abi.Errno(e.Err))
				}
			}
			same("closed", server, greedy, other)

			// Requests that are taken and not answered. Each has a place in the queue
			// first, of which there are as many as the receiver says.
			reply := greedy.call(abi.CallPortAllocate, nil, abi.RightReceive).A[0]
			before[greedy] += 512
			m := &message.Msg{}
			m.Remote, m.RemoteDisp = abi.Name(greedy.names["@server"]), abi.CopySend
			m.Local, m.LocalDisp = abi.Name(reply), abi.MakeSendOnce
			m.Body = make([]byte, 1000)
			sent, refused := 0, 0
			var taken []uint64
			take := func(n int) {
				server.burst(n, abi.CallMsgReceive, nil, []uint64{server.names["box"]}, func(e event) {
					if got, err := message.Get(e.data); e.Err == 0 && err == 0 {
						taken = append(taken, uint64(got.Local))
						if e.A[4] == 0 {
							t.Error("nobody pays")
						}
					}
				})
			}
			for refused < 64 {
				greedy.burst(64, abi.CallMsgSend, message.Put(nil, m), nil, func(e event) {
					switch abi.Errno(e.Err) {
					case 0:
						sent++
					case abi.EAGAIN:
						refused++
					default:
						t.Fatal(abi.Errno(e.Err))
					}
				})
				take(64)
			}
			if u := used(greedy); len(taken) != sent || u > budget || u < budget-2000 {
				t.Errorf("%d of %d requests are taken; %d bytes", len(taken), sent, u)
			}
			same("taken", server, other)
			q := &message.Msg{}
			q.Remote, q.RemoteDisp = abi.Name(other.names["@server"]), abi.CopySend
			if e := other.call(abi.CallMsgSend, message.Put(nil, q)); e.Err != 0 {
				t.Errorf("somebody else's message: %v", abi.Errno(e.Err))
			}
			take(1)
			for _, r := range taken[:sent] {
				a := &message.Msg{}
				a.Remote, a.RemoteDisp = abi.Name(r), abi.MoveSendOnce
				if e := server.call(abi.CallMsgSend, message.Put(nil, a)); e.Err != 0 {
					t.Fatal(abi.Errno(e.Err))
				}
			}
			got := 0
			greedy.burst(sent, abi.CallMsgReceive, nil, []uint64{reply}, func(e event) {
				if e.Err == 0 {
					got++
				}
			})
			if got != sent {
				t.Errorf("%d answers to %d requests", got, sent)
			}
			same("answered", server, greedy, other)

			// Ports.
			var ports []uint64
			refused = 0
			greedy.burst(10_000, abi.CallPortAllocate, nil, []uint64{abi.RightReceive}, func(e event) {
				switch abi.Errno(e.Err) {
				case 0:
					ports = append(ports, e.A[0])
				case abi.EAGAIN:
					refused++
				default:
					t.Fatal(abi.Errno(e.Err))
				}
			})
			full("ports", 10_000, refused, len(ports))
			// All goes with the task.
			greedy.die()
			greedy.s.Discard()
			h.settle()
			same("discarded", server, other)
			w.end()
		})
	}
}
