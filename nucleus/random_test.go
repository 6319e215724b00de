package nucleus_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"hythe/abi"
	"hythe/machine"
	"hythe/machine/sim"
	"hythe/nucleus"
	"hythe/nucleus/message"
)

// TestRandom runs random schedules of calls, deaths, restarts, faults and time;
// the invariants are checked after every step, and nothing may be left at the
// end. A failure names its seed.
func TestRandom(t *testing.T) {
	seeds := 2000
	if testing.Short() {
		seeds = 200
	}
	for seed := range seeds {
		randomRun(t, uint64(seed))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

type chaos struct {
	*world
	r      *rand.Rand
	procs  []*proc
	guests []*sim.Channel
	nextID uint32
}

func randomRun(t *testing.T, seed uint64) {
	defer func() {
		if r := recover(); r != nil {
			t.Errorf("seed %d: panic: %v", seed, r)
			panic(r)
		}
	}()
	w := newWorld(t, nucleus.Limits{Names: 40, Waiting: 6, Bindings: 8, Tasks: 4})
	c := &chaos{world: w, r: rand.New(rand.NewPCG(seed, 1))}
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
		c.step()
		w.m.Run()
		w.check()
	}
	w.end()
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

func (c *chaos) message(p *proc) []byte {
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
	m := msg(to.name, to.disp, reply, c.nextID, rights...)
	for range c.r.IntN(2) {
		m.Objects = append(m.Objects, abi.ObjectDesc{Name: abi.Name(c.name(p, 1<<abi.RightObject)), Flags: uint32(c.r.IntN(3)), Len: 100})
	}
	b := message.Put(nil, m)
	if c.r.IntN(20) == 0 {
		b = b[:c.r.IntN(len(b))]
	}
	return b
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
			p.start()
		}
		return
	}
	any := uint8(0xff)
	switch c.r.IntN(27) {
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
		var then uint64
		if c.r.IntN(3) == 0 {
			then = c.name(p, recv|1<<abi.RightSet)
		}
		p.post(abi.CallMsgSend, c.message(p), nil, c.timeout(), then, c.timeout())
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
	case 24:
		c.m.Advance(uint64(c.r.IntN(200)))
	case 25:
		p.post(abi.CallMsgCancel, nil, nil, c.next-uint64(c.r.IntN(12)))
	case 26:
		c.m.FailNext([]string{sim.OpObject, sim.OpReadOnly, sim.OpDoorbell, sim.OpFormat, sim.OpSpawn}[c.r.IntN(5)], 1)
	}
}
