package nucleus_test

import (
	"encoding/binary"
	"flag"
	"fmt"
	"hash"
	"hash/fnv"
	"maps"
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

var oneSeed = flag.Int64("seed", -1, "run this schedule of TestRandom only")

// TestRandom runs random schedules of calls, deaths, restarts, faults and time, in
// which what the host answers comes late and in any order; the invariants are
// checked after every step, and nothing may be left at the end. A failure names
// its seed, and -seed runs it again.
func TestRandom(t *testing.T) {
	from, seeds := 0, 2000
	switch {
	case *oneSeed >= 0:
		from, seeds = int(*oneSeed), 1
	case testing.Short(), raceEnabled: // the plain run has them all
		seeds = 200
	case os.Getenv("HYTHE_LONG") != "":
		seeds = 100_000
	}
	for seed := from; seed < from+seeds; seed++ {
		randomRun(t, uint64(seed))
		if t.Failed() {
			t.Fatalf("seed %d: go test ./nucleus -run TestRandom -seed %d", seed, seed)
		}
	}
}

// A schedule that is run again is the same to the byte that each task reads.
func TestRandomAgain(t *testing.T) {
	different := map[uint64]bool{}
	for seed := range uint64(100) {
		a := randomRun(t, seed)
		if b := randomRun(t, seed); a != b {
			t.Errorf("seed %d: %#x, then %#x", seed, a, b)
		}
		different[a] = true
	}
	if len(different) < 100 {
		t.Errorf("100 seeds make %d schedules", len(different))
	}
}

type chaos struct {
	*world
	r      *rand.Rand
	procs  []*proc
	guests []*sim.Channel
	nextID uint32
	hash   hash.Hash64 // of all that tasks read
	sent   map[uint32]*letter
	calls  map[uint64]*letter // by the call that sends it
	spent  map[string]bool    // what the host has none of
	faults []*sim.Faults      // mappings of paged objects

	alarms        map[uint64]alarm  // by their words
	times         map[uint64]uint64 // when each word is for
	sets, cancels map[uint64]uint64 // calls that set or cancel: the word, the number
	// The messages of batches, by the ID of the batch, in the order of its calls (nil for
	// other calls).
	batches map[uint64]*posted
}

// posted is a batch: the ID of its first call, and the messages.
type posted struct {
	first   uint64
	letters []*letter
}

// letter is what the test knows of a message.
type letter struct {
	body  string
	reply bool
	back  bool         // it came back to its sender, or was refused
	by    *sim.Channel // by which process it was read last
}

// firstID is above what notifications have.
const firstID = 1000

// heard looks at each datagram that a task reads: no message from nowhere, none
// that its sender has back, none twice but after a death, none changed.
func (c *chaos) heard(p *proc, e *event) {
	fmt.Fprintf(c.hash, "%s %+v %x\n", p.s.Name(), e.CallHeader, e.data)
	if e.Op != abi.EventReply {
		return
	}
	if word, ok := c.sets[e.ID]; ok && e.Err == 0 {
		c.alarms[word] = alarm{at: c.times[word], p: p, id: e.A[0]}
	}
	if id, ok := c.cancels[e.ID]; ok && e.Err == 0 {
		for word, a := range c.alarms {
			if a.p == p && a.id == id {
				if a.rang {
					c.t.Errorf("alarm %d came and was cancelled", word)
				}
				delete(c.alarms, word)
			}
		}
	}
	if b := c.batches[e.ID]; b != nil {
		delete(c.batches, e.ID)
		r := results(*e)
		for i, l := range b.letters {
			switch {
			case l == nil:
			case i < len(r) && r[i].err == abi.EINPROGRESS: // it has an answer of its own, then or before
			default:
				delete(c.calls, b.first+uint64(i))
				if i < len(r) && r[i].err == 0 {
					continue
				}
				if l.by != nil {
					c.t.Errorf("a message of a batch was read and refused")
				}
				l.back = true
			}
		}
		return
	}
	l := c.calls[e.ID]
	delete(c.calls, e.ID)
	back := l != nil && e.Err != 0 && e.A[3] == 0
	if back {
		if l.by != nil {
			c.t.Errorf("a message was read and came back: %v", abi.Errno(e.Err))
		}
		l.back = true
	}
	if len(e.data) < abi.MsgHeaderSize || back {
		return
	}
	m, err := message.Get(e.data)
	if err == 0 && m.ID == abi.MsgAlarm {
		c.rang(m)
		return
	}
	if err != 0 || m.ID > abi.MsgNotify && m.ID < firstID {
		return // a notification, or no message
	}
	got := c.sent[m.ID]
	switch {
	case got == nil:
		c.t.Errorf("message %d is nobody's", m.ID)
	case got.back:
		c.t.Errorf("message %d was refused and arrived", m.ID)
	case got.body != string(m.Body):
		c.t.Errorf("message %d holds %q, want %q", m.ID, m.Body, got.body)
	case got.by != nil && (!got.reply || !got.by.Ended()):
		c.t.Errorf("message %d arrived twice", m.ID)
	default:
		got.by = p.c
	}
}

// alarm is what the test knows of one that was set.
type alarm struct {
	at   uint64
	p    *proc
	id   uint64
	rang bool
}

// rang looks at an alarm's message: of one that was set and not cancelled, once, and not
// before its time.
func (c *chaos) rang(m *message.Msg) {
	if len(m.Body) != 24 {
		c.t.Fatalf("an alarm's message has %d bytes", len(m.Body))
	}
	word, at, sent := binary.LittleEndian.Uint64(m.Body), binary.LittleEndian.Uint64(m.Body[8:]), binary.LittleEndian.Uint64(m.Body[16:])
	switch a, ok := c.alarms[word]; {
	case !ok && c.times[word] == 0:
		c.t.Errorf("alarm %d is nobody's", word)
	case !ok: // who set it died before it read the answer
	case a.rang:
		c.t.Errorf("alarm %d came twice", word)
	case at != a.at || sent < at || c.m.Now() < sent:
		c.t.Errorf("alarm %d for %d came with %d at %d", word, a.at, at, sent)
	default:
		a.rang = true
		c.alarms[word] = a
	}
}

func randomRun(t *testing.T, seed uint64) uint64 {
	defer func() {
		if r := recover(); r != nil {
			t.Errorf("seed %d: panic: %v", seed, r)
			panic(r)
		}
	}()
	w := newWorld(t, nucleus.Limits{Names: 40, Waiting: 6, Bindings: 8, Sessions: 4, Tasks: 4, Memory: 48 << 10})
	c := &chaos{world: w, r: rand.New(rand.NewPCG(seed, 1)), nextID: firstID, hash: fnv.New64a(),
		sent: map[uint32]*letter{}, calls: map[uint64]*letter{}, spent: map[string]bool{}, batches: map[uint64]*posted{},
		alarms: map[uint64]alarm{}, times: map[uint64]uint64{}, sets: map[uint64]uint64{}, cancels: map[uint64]uint64{}}
	w.heard = c.heard
	w.m.Pick = c.r.IntN
	w.m.May = machine.Scheduling{Classes: ^uint32(0), Nice: -20, Priority: 50, Own: machine.Policy{Class: abi.ClassNormal}}
	w.run = func() {
		for range c.r.IntN(4) {
			w.m.Step()
		}
	}
	w.m.OnSpawn = func(ch *sim.Channel, _, _ *sim.Handle) { c.guests = append(c.guests, ch) }
	for i := range 3 {
		s := w.k.NewServer(nucleus.ServerSpec{Name: fmt.Sprint(i), Powers: ^nucleus.Powers(0)})
		if _, err := s.MakePort("svc"); err != nil {
			t.Fatal(err)
		}
		c.procs = append(c.procs, &proc{w: w, s: s})
	}
	for _, p := range c.procs {
		for _, q := range c.procs {
			if _, err := p.s.GiveSend("to", q.s, "svc"); err != nil {
				t.Fatal(err)
			}
		}
		p.start()
	}
	for range 60 {
		if c.r.IntN(6) == 0 {
			c.paging()
		} else {
			c.step()
		}
		w.run()
		w.check()
	}
	w.end()
	return c.hash.Sum64()
}

// name is a name that the process has, or another number.
func (c *chaos) name(p *proc, kinds uint8) uint64 {
	var own []uint64
	for _, i := range p.s.Ports() {
		if i.Kinds&kinds != 0 {
			own = append(own, uint64(i.Name))
		}
	}
	switch {
	case len(own) > 0 && c.r.IntN(10) > 0:
		return own[c.r.IntN(len(own))]
	case c.r.IntN(3) == 0:
		return 0
	case c.r.IntN(3) == 0:
		return uint64(abi.NameDead)
	}
	return uint64(c.r.IntN(0x4000))
}

func (c *chaos) timeout() uint64 {
	return []uint64{0, 100, abi.Forever}[c.r.IntN(3)]
}

func (c *chaos) message(p *proc) ([]byte, *letter) {
	disp := []uint8{abi.CopySend, abi.MoveSend, abi.MakeSend, abi.MoveSendOnce, abi.MakeSendOnce, abi.MoveReceive}
	kinds := map[uint8]uint8{abi.CopySend: send | dead, abi.MoveSend: send | dead, abi.MakeSend: recv,
		abi.MoveSendOnce: once | dead, abi.MakeSendOnce: recv, abi.MoveReceive: recv}
	pick := func(n int) right {
		d := disp[c.r.IntN(n)]
		return right{c.name(p, kinds[d]), d}
	}
	to := pick(5)
	var reply right
	if c.r.IntN(2) == 0 {
		reply = right{c.name(p, recv), abi.MakeSendOnce}
	}
	var rights []right
	for range c.r.IntN(4) {
		rights = append(rights, pick(6))
	}
	c.nextID++
	l := &letter{body: fmt.Sprint("letter ", c.nextID), reply: reply.disp != 0}
	c.sent[c.nextID] = l
	m := msg(to.name, to.disp, reply, c.nextID, rights...)
	for range c.r.IntN(2) {
		m.Objects = append(m.Objects, abi.ObjectDesc{Name: abi.Name(c.name(p, 1<<abi.RightObject)), Flags: uint32(c.r.IntN(3)), Len: 100})
	}
	m.Body = []byte(l.body)
	b := message.Put(nil, m)
	if c.r.IntN(20) == 0 {
		b = b[:c.r.IntN(len(b))]
	}
	return b, l
}

func (c *chaos) step() {
	p := c.procs[c.r.IntN(len(c.procs))]
	if running, _, _ := p.s.State(); !running {
		switch c.r.IntN(3) {
		case 0:
			c.m.FailNext(sim.OpServer, 1)
			_ = p.s.Start(nil)
			c.m.FailNext(sim.OpServer, 0)
		default:
			if !c.spent[sim.OpChannel] && !c.spent[sim.OpServer] {
				p.start()
			}
		}
		return
	}
	if c.r.IntN(16) == 0 {
		c.batch(p)
		return
	}

	any := uint8(0xff)
	switch c.r.IntN(36) {
	case 0:
		p.post(abi.CallPortAllocate, nil, nil, []uint64{abi.RightReceive, abi.RightReceive, abi.RightSet}[c.r.IntN(3)])
	case 1:
		p.post(abi.CallPortDeallocate, nil, nil, c.name(p, any))
	case 2:
		p.post(abi.CallPortModRefs, nil, nil, c.name(p, any), uint64(c.r.IntN(8)), uint64(c.r.IntN(4)-2))
	case 3:
		p.post(abi.CallPortMakeSend, nil, nil, c.name(p, recv))
	case 4:
		p.post(abi.CallPortSetMember, nil, nil, c.name(p, recv), c.name(p, 1<<abi.RightSet))
	case 5:
		p.post(abi.CallPortLimit, nil, nil, c.name(p, recv), uint64(c.r.IntN(4)))
	case 6:
		n := c.name(p, once)
		if c.r.IntN(3) == 0 {
			n = uint64(abi.NameDead)
		}
		p.post(abi.CallPortNotify, nil, nil, c.name(p, any), uint64(c.r.IntN(5)), n, uint64(c.r.IntN(2)))
	case 7:
		p.post(abi.CallPortRename, nil, nil, c.name(p, any), uint64(c.r.IntN(0x2000)))
	case 8, 9, 10, 11, 12, 13:
		var then, alone uint64
		if c.r.IntN(3) == 0 {
			then = c.name(p, recv|1<<abi.RightSet)
			alone = uint64(c.r.IntN(2))
		}
		b, l := c.message(p)
		c.calls[c.next+1] = l
		p.post(abi.CallMsgSend, b, nil, c.timeout(), then, c.timeout(), alone)
	case 14, 15, 16, 17:
		p.post(abi.CallMsgReceive, nil, nil, c.name(p, recv|1<<abi.RightSet), c.timeout())
	case 18:
		p.post(abi.CallObjectCreate, []byte("o"), nil, 4096)
	case 19:
		p.post(abi.CallBind, nil, nil, c.name(p, send), 2)
	case 20:
		id := uint64(c.r.IntN(8))
		if c.r.IntN(2) == 0 {
			p.post(abi.CallUnbind, nil, nil, id)
		} else {
			p.post(abi.CallObjectGrant, nil, nil, id, c.name(p, 1<<abi.RightObject), uint64(c.r.IntN(2)), 1)
		}
	case 21:
		if c.r.IntN(2) == 0 {
			p.post(abi.CallTaskCreate, nil, nil, 0, 2)
		} else {
			// A fork of which nothing comes: the channel ends unread.
			p.post(abi.CallTaskCreate, nil, nil, c.name(p, send), 2, 7)
		}
	case 22:
		if len(c.guests) > 0 {
			g := c.guests[c.r.IntN(len(c.guests))]
			if c.r.IntN(2) == 0 {
				g.Die(machine.Exit{})
			} else {
				g.Send(message.PutCall(nil, &abi.CallHeader{Op: abi.CallHello}))
			}
		}
	case 23:
		p.die()
	case 27: // the host has no more of something, or again
		op := []string{sim.OpObject, sim.OpReadOnly, sim.OpDoorbell, sim.OpChannel, sim.OpServer, sim.OpSpawn}[c.r.IntN(6)]
		c.spent[op] = !c.spent[op]
		c.m.Exhaust(op, c.spent[op])
	case 28: // it does not read its channel for a while
		p.c.Capacity = c.r.IntN(3) * 4
	case 29:
		p.post([]uint32{abi.CallSupervise, abi.CallTaskInfo, abi.CallTaskMaps, abi.CallReady}[c.r.IntN(4)], nil, nil, c.name(p, send))
	case 30:
		disp := []uint64{abi.CopySend, abi.MoveSend, abi.MakeSend, abi.MoveSendOnce, abi.MakeSendOnce}[c.r.IntN(5)]
		kinds := map[uint64]uint8{abi.CopySend: send, abi.MoveSend: send, abi.MakeSend: recv, abi.MoveSendOnce: once, abi.MakeSendOnce: recv}
		word, at := uint64(len(c.times)+1), 1+c.m.Now()+uint64(c.r.IntN(400))-min(c.m.Now(), uint64(c.r.IntN(200)))
		c.times[word], c.sets[c.next+1] = at, word
		p.post(abi.CallAlarmSet, nil, nil, at, c.name(p, kinds[disp]), word, disp)
	case 31:
		var ids []uint64
		for _, word := range slices.Sorted(maps.Keys(c.alarms)) {
			if a := c.alarms[word]; a.p == p {
				ids = append(ids, a.id)
			}
		}
		if len(ids) > 0 {
			id := ids[c.r.IntN(len(ids))]
			c.cancels[c.next+1] = id
			p.post(abi.CallAlarmCancel, nil, nil, id)
		}
	case 35:
		p.post(abi.CallTaskThreads, nil, nil, c.name(p, send), uint64(c.r.IntN(9)-4), uint64(c.r.IntN(2)))
	case 34:
		p.post(abi.CallThreadPolicy, nil, nil, c.name(p, send), 0, uint64(c.r.IntN(8)), uint64(c.r.IntN(30)))
	case 32:
		p.post(abi.CallProcessorSet, []byte{byte(c.r.IntN(20))}, nil)
	case 33:
		var own []byte
		if c.r.IntN(3) == 0 {
			own = []byte{byte(c.r.IntN(16))}
		}
		set := []uint64{0, uint64(abi.NameDead), c.name(p, send), c.name(p, send)}[c.r.IntN(4)]
		p.post(abi.CallTaskAssign, own, nil, c.name(p, send), 0, set)
	case 24:
		c.m.Advance([...]uint64{uint64(c.r.IntN(200)), 1e6}[c.r.IntN(2)])
	case 25:
		p.post(abi.CallMsgCancel, nil, nil, c.next-uint64(c.r.IntN(12)))
	case 26:
		c.m.FailNext([]string{sim.OpObject, sim.OpReadOnly, sim.OpDoorbell, sim.OpFormat, sim.OpSpawn}[c.r.IntN(5)], 1)
	}
}

// batch makes some calls in one datagram, messages among them.
func (c *chaos) batch(p *proc) {
	b := &posted{first: c.next + 1000}
	var data []byte
	for range c.r.IntN(6) {
		var l *letter
		n := c.name(p, 0xff)
		op, in, a := uint32(0), []byte(nil), []uint64(nil)
		switch c.r.IntN(8) {
		case 0:
			op, a = abi.CallPortAllocate, []uint64{abi.RightReceive, 0, uint64(c.r.IntN(0x400))}
		case 1:
			op, a = abi.CallObjectCreate, []uint64{4096, 0, 0, 0, 0, uint64(c.r.IntN(0x400))}
		case 2:
			op, a = abi.CallPortMakeSend, []uint64{c.name(p, recv)}
		case 3:
			op, a = abi.CallPortDeallocate, []uint64{n}
		case 4:
			op, a = abi.CallPortModRefs, []uint64{n, abi.RightReceive, ^uint64(0)}
		case 5:
			op = uint32(c.r.IntN(70))
			if op == abi.CallMsgSend {
				op = abi.CallMsgReceive
			}
			a = []uint64{n}
		default:
			op, a = abi.CallMsgSend, []uint64{c.timeout()}
			in, l = c.message(p)
		}
		data = message.PutBatch(data, op, in, a...)
		if l != nil {
			c.calls[b.first+uint64(len(b.letters))] = l
			p.asked[b.first+uint64(len(b.letters))] = op
		}
		b.letters = append(b.letters, l)
	}
	if c.r.IntN(20) == 0 && len(data) > 0 {
		data = data[:len(data)-1]
	}
	c.batches[c.next+1] = b
	p.post(abi.CallBatch, data, nil, uint64(c.r.IntN(2)), b.first)
	c.next += 1010
}
