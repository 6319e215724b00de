package nucleus_test

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"hythe/abi"
	"hythe/machine"
	"hythe/machine/sim"
	"hythe/nucleus"
	"hythe/nucleus/message"
)

// heir is a server under replacement: its processes come and go, old is the one that
// works, and what it knows of its clients is the state of record, which no death takes.
type heir struct {
	*proc
	w     *world
	over  []error
	waits uint64 // the receive that waits, 0 if none
	stop  bool   // it was told to
	todo  []*message.Msg
	last  map[uint64]uint64 // client -> the last number that took effect
	done  map[uint64]int    // effects
}

func newHeir(w *world) *heir {
	h := &heir{w: w, proc: w.server("srv", 0), last: map[uint64]uint64{}, done: map[uint64]int{}}
	h.ok(abi.CallReady)
	return h
}

// use makes c the process that the test drives.
func (h *heir) use(c *sim.Channel) {
	h.c, h.got, h.answer = c, nil, map[uint64]event{}
	h.waits, h.stop, h.todo = 0, false, nil
}

// replace begins a replacement and answers the new process's channel.
func (h *heir) replace() (*sim.Channel, error) {
	err := h.s.Replace(machine.ServerSpec{Name: "srv", Args: []string{"2"}}, []byte("{}"), func(err error) { h.over = append(h.over, err) })
	h.w.check()
	return h.w.last, err
}

// TestReplace: who is told to stop does what it has taken and ends; in that step the
// new process has everything, and what was not answered again, counted against nobody.
func TestReplace(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	h, cli := newHeir(w), w.server("cli", 0)
	svc, back := h.port(), cli.port()
	n := h.give(cli, right{svc, abi.MakeSend})
	obj := h.callData(abi.CallObjectCreate, []byte("state"), 4096).A[0]
	ask := func(id uint32) {
		t.Helper()
		if err := cli.send(msg(n, abi.CopySend, right{back, abi.MakeSendOnce}, id)); err != 0 {
			t.Fatal(err)
		}
	}
	ask(1)
	taken := h.must(svc)
	v1 := h.c
	w.log = nil
	v2, err := h.replace()
	if err != nil || v2 == v1 {
		t.Fatal(err)
	}
	if _, err := h.replace(); !errors.Is(err, nucleus.ErrReplacing) {
		t.Errorf("twice: %v", err)
	}
	if len(h.events(abi.EventStop)) != 1 {
		t.Error("the old one is not told to stop")
	}
	if _, ok := v2.Next(); ok {
		t.Error("the new one is told something before it is its turn")
	}
	// What a new process says before it has inherited is nobody's.
	v2.Send(message.PutCall(nil, &abi.CallHeader{Op: abi.CallReady, ID: 1}))
	w.run()
	if _, ok := v2.Next(); ok || len(h.over) != 0 {
		t.Error("the new one has a voice before it is its turn")
	}
	ask(2)
	if r, _, inc := h.s.State(); !r || inc != 1 {
		t.Errorf("running %v, incarnation %d", r, inc)
	}
	v1.Die(machine.Exit{})
	w.run()
	w.check()
	if r, ready, inc := h.s.State(); !r || ready || inc != 2 || len(w.log) != 0 {
		t.Errorf("running %v, ready %v, incarnation %d, %q", r, ready, inc, w.log)
	}
	h.use(v2)
	h.pull()
	if in := h.events(abi.EventInherit); !slices.ContainsFunc(in, func(e event) bool {
		return e.A[0] == obj && e.A[1] == abi.RightObject && string(e.data) == "state"
	}) || len(h.events(abi.EventGo)) != 1 {
		t.Errorf("inherited: %v", in)
	}
	h.ok(abi.CallReady)
	if len(h.over) != 1 || h.over[0] != nil {
		t.Errorf("over: %v", h.over)
	}
	e := h.call(abi.CallMsgReceive, svc)
	if m, err := h.parse(e); err != 0 || m.ID != 1 || m.Local != taken.Local || e.A[1] != 1 || e.A[2] != 0 {
		t.Errorf("the request that was not answered: %+v, %v, %v", m, e.A, err)
	}
	if m := h.must(svc); m.ID != 2 {
		t.Errorf("%+v", m)
	}
	// A death is counted as before, and the next process is of the new kind.
	h.die()
	var spec machine.ServerSpec
	w.m.OnServer = func(c *sim.Channel, s machine.ServerSpec) { w.last, spec = c, s }
	h.start()
	if len(spec.Args) != 1 || spec.Args[0] != "2" {
		t.Errorf("after its death: %v", spec.Args)
	}
	if e := h.call(abi.CallMsgReceive, svc); e.A[1] != 1 || e.A[2] != 1 {
		t.Errorf("%v", e.A)
	}
	w.end()
}

// TestReplaceFails: whatever becomes of the new process, the old kind goes on.
func TestReplaceFails(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	h := newHeir(w)
	var spec machine.ServerSpec
	w.m.OnServer = func(c *sim.Channel, s machine.ServerSpec) { w.last, spec = c, s }
	// No process, no channel: nothing has happened.
	for _, op := range []string{sim.OpServer, sim.OpChannel} {
		w.m.FailNext(op, 1)
		if _, err := h.replace(); !errors.Is(err, sim.ErrInjected) {
			t.Errorf("%s: %v", op, err)
		}
		if len(h.events(abi.EventStop)) != 0 || len(h.over) != 0 {
			t.Errorf("%s: it was told to stop", op)
		}
	}
	// It ends at once, before it is known: the same.
	w.m.OnServer = func(c *sim.Channel, _ machine.ServerSpec) { c.Die(machine.Exit{Code: 1}); w.run() }
	if _, err := h.replace(); !errors.Is(err, nucleus.ErrStopped) || len(h.events(abi.EventStop)) != 0 {
		t.Errorf("dies at once: %v", err)
	}
	// The old one ends meanwhile: an ordinary death.
	v1 := h.c
	w.m.OnServer = func(*sim.Channel, machine.ServerSpec) { v1.Die(machine.Exit{Signal: 9}); w.run() }
	w.log = nil
	if _, err := h.replace(); !errors.Is(err, nucleus.ErrStopped) || fmt.Sprint(w.log) != "[dead srv]" {
		t.Errorf("the old one dies: %v, %q", err, w.log)
	}
	if _, err := h.replace(); !errors.Is(err, nucleus.ErrStopped) {
		t.Errorf("of one that does not run: %v", err)
	}
	w.m.OnServer = func(c *sim.Channel, s machine.ServerSpec) { w.last, spec = c, s }
	h.start()
	// It ends while the old one finishes: that one's end is one like others.
	old := h.c
	v2, err := h.replace()
	if err != nil {
		t.Fatal(err)
	}
	h.s.Recall("the test")
	w.run()
	if !v2.Killed || len(h.over) != 1 || !errors.Is(h.over[0], nucleus.ErrSuccessor) {
		t.Errorf("dies first: %v", h.over)
	}
	w.log = nil
	old.Die(machine.Exit{})
	w.run()
	if fmt.Sprint(w.log) != "[dead srv]" {
		t.Errorf("%q", w.log)
	}
	h.start()
	if len(spec.Args) != 0 {
		t.Errorf("the next is %v", spec.Args)
	}
	// It has inherited and ends before it serves.
	if v2, err = h.replace(); err != nil {
		t.Fatal(err)
	}
	h.s.Hurry("the test")
	w.run()
	if !h.c.Killed {
		t.Error("hurry")
	}
	h.s.Hurry("nobody is left to")
	v2.Die(machine.Exit{Code: 1})
	w.log = nil
	w.run()
	if len(h.over) != 2 || !errors.Is(h.over[1], nucleus.ErrSuccessor) || fmt.Sprint(w.log) != "[dead srv]" {
		t.Errorf("dies then: %v, %q", h.over, w.log)
	}
	h.start()
	if len(spec.Args) != 0 {
		t.Errorf("the next is %v", spec.Args)
	}
	// Discarded, and the machine's end, with one under way.
	if v2, err = h.replace(); err != nil {
		t.Fatal(err)
	}
	h.s.Discard()
	w.run()
	if !v2.Ended() || len(h.over) != 3 || !errors.Is(h.over[2], nucleus.ErrGone) {
		t.Errorf("discarded: %v", h.over)
	}
	if _, err := h.replace(); !errors.Is(err, nucleus.ErrGone) {
		t.Error(err)
	}
	g := newHeir(w)
	if _, err = g.replace(); err != nil {
		t.Fatal(err)
	}
	w.end()
}

var replaceSeed = flag.Uint64("replace-seed", 0, "the one schedule that TestReplaceSchedules runs")

// TestReplaceSchedules: a server is replaced again and again while clients ask it, one
// request each at a time and some without waiting; old and new processes die wherever
// it hurts. Each request takes effect once, in its client's order, and is answered.
func TestReplaceSchedules(t *testing.T) {
	n := uint64(150)
	if os.Getenv("HYTHE_LONG") != "" {
		n = 20_000
	}
	first := uint64(1)
	if *replaceSeed != 0 {
		first, n = *replaceSeed, 1
	}
	handed := 0
	for seed := first; seed < first+n; seed++ {
		handed += replaceSchedule(t, seed)
		if t.Failed() {
			t.Fatalf("-replace-seed %d", seed)
		}
	}
	t.Logf("%d hand-overs", handed)
}

func replaceSchedule(t *testing.T, seed uint64) (handed int) {
	r := rand.New(rand.NewPCG(seed, 11))
	w := newWorld(t, nucleus.Limits{})
	h := newHeir(w)
	svc := h.port()
	h.ok(abi.CallPortLimit, svc, 4) // senders wait for room
	type client struct {
		*proc
		to, back uint64
		sent     uint64
		answered uint64
		ahead    uint64 // how many it sends without waiting
		reads    uint64
	}
	var clients []*client
	for i := range 3 {
		c := &client{proc: w.server(fmt.Sprint("client", i), 0), ahead: 1 + uint64(i)*2}
		c.to, c.back = h.give(c.proc, right{svc, abi.MakeSend}), c.port()
		clients = append(clients, c)
	}
	var next *sim.Channel // the process that waits
	// effect is what a request does, once.
	effect := func(m *message.Msg) {
		c := uint64(m.ID)
		switch m.Seq {
		case h.last[c]: // done before; only the answer is missing
		case h.last[c] + 1:
			h.last[c]++
			h.done[c]++
		default:
			t.Errorf("client %d: request %d after %d", c, m.Seq, h.last[c])
		}
	}
	reply := func(m *message.Msg) {
		a := msg(uint64(m.Local), abi.MoveSendOnce, right{}, m.ID)
		a.Seq, a.Body = m.Seq, binary.LittleEndian.AppendUint64(nil, h.last[uint64(m.ID)])
		if err := h.send(a); err != 0 {
			t.Errorf("answer: %v", err)
		}
	}
	// listen takes up what the working process is told.
	listen := func() {
		if h.c.Ended() {
			return
		}
		h.pull()
		if len(h.events(abi.EventStop)) > 0 && !h.stop {
			h.stop = true
			if h.waits != 0 {
				h.call(abi.CallMsgCancel, h.waits)
			}
		}
		if e, ok := h.reply(h.waits); ok && h.waits != 0 {
			h.waits = 0
			if m, err := h.parse(e); err == 0 {
				h.todo = append(h.todo, m)
			} else if err != abi.ECANCELED {
				t.Errorf("receive: %v", err)
			}
		}
	}
	// settle brings a process to serve, whoever has to.
	settle := func() {
		if running, ready, _ := h.s.State(); running && !ready {
			h.use(w.last) // of two, the one that lives is the later
			h.pull()
			h.ok(abi.CallReady)
			handed++
		} else if !running {
			h.use(nil)
			h.start()
			h.ok(abi.CallReady)
		}
	}
	const total = 40
	finished := func() bool {
		return !slices.ContainsFunc(clients, func(c *client) bool { return c.answered < total })
	}
	for step := 0; !finished() && !t.Failed(); step++ {
		if step > 100_000 {
			t.Fatal("it does not come to an end")
		}
		switch r.IntN(14) {
		case 0, 1, 2, 3: // a client asks, or reads
			c := clients[r.IntN(len(clients))]
			if c.reads != 0 {
				if e, ok := c.reply(c.reads); ok {
					c.reads = 0
					m, err := c.parse(e)
					if err != 0 || m.Seq != c.answered+1 || value(m) < m.Seq {
						t.Errorf("answer %+v, %v; the last was %d", m, err, c.answered)
						break
					}
					c.answered++
				}
			} else if c.answered < c.sent {
				c.reads = c.post(abi.CallMsgReceive, nil, nil, c.back, abi.Forever)
			}
			if c.sent < total && c.sent-c.answered < c.ahead {
				c.sent++
				m := msg(c.to, abi.CopySend, right{c.back, abi.MakeSendOnce}, uint32(slices.Index(clients, c)))
				m.Seq = c.sent
				c.post(abi.CallMsgSend, message.Put(nil, m), nil, abi.Forever)
			}
		case 4, 5, 6, 7: // the server takes
			listen()
			if !h.c.Ended() && !h.stop && h.waits == 0 {
				h.waits = h.post(abi.CallMsgReceive, nil, nil, svc, abi.Forever)
			}
		case 8, 9, 10: // it works
			listen()
			if !h.c.Ended() && len(h.todo) > 0 {
				effect(h.todo[0])
				if r.IntN(8) == 0 {
					h.die() // between the effect and the answer
					settle()
					break
				}
				reply(h.todo[0])
				h.todo = h.todo[1:]
			}
		case 11: // it is replaced
			if running, ready, _ := h.s.State(); !running || !ready {
				break
			}
			op := []string{sim.OpServer, sim.OpChannel}[r.IntN(2)]
			if r.IntN(8) == 0 {
				w.m.FailNext(op, 1)
			}
			if c, err := h.replace(); err == nil {
				next = c
			} else if !errors.Is(err, nucleus.ErrReplacing) && !errors.Is(err, sim.ErrInjected) {
				t.Error(err)
			}
			w.m.FailNext(op, 0)
		case 12: // who was told to stop ends when it has done all
			listen()
			if h.stop && h.waits == 0 && !h.c.Ended() && (len(h.todo) == 0 || r.IntN(4) == 0) {
				h.c.Die(machine.Exit{})
				w.run()
				w.check()
				if r.IntN(4) == 0 && next != nil && !next.Ended() {
					next.Die(machine.Exit{Code: 1}) // it has inherited, and does not serve
					w.run()
					w.check()
				}
				settle()
			}
		case 13: // a death
			switch r.IntN(4) {
			case 0:
				if !h.c.Ended() {
					h.die()
					settle()
				}
			case 1:
				if next != nil && next != h.c {
					next.Die(machine.Exit{Signal: 9})
					w.run()
					w.check()
					if running, _, _ := h.s.State(); !running {
						settle()
					}
				}
			}
		}
	}
	for i := range clients {
		if h.done[uint64(i)] != total {
			t.Errorf("client %d: %d effects", i, h.done[uint64(i)])
		}
	}
	w.end()
	return handed
}
