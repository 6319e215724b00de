package nucleus

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"

	"hythe/abi"
	"hythe/machine"
	"hythe/nucleus/port"
)

// processors is a set of the host's processors (docs/decisions/0012), as Mach's
// processor_set. Who has a send right to its port can assign tasks that it governs to it.
type processors struct {
	machine.Processors
	port  *port.Port
	tasks int // that are in it
}

// run is where the threads of a task run.
func (t *task) run() machine.Processors {
	all := t.k.m.Processors()
	if t.set != nil {
		all = t.set.Processors
	}
	if p := t.cpus.And(all); p != (machine.Processors{}) {
		return p
	}
	return all
}

// join moves a task to a set.
func (t *task) join(s *processors) {
	if t.set != nil {
		t.set.tasks--
	}
	if t.set = s; s != nil {
		s.tasks++
	}
}

// early is a call about a guest task that has not begun.
type early struct {
	from  *link
	id    uint64
	slow  func() abi.Errno
	timer machine.Timer
}

// A task begins when the nucleus reads what its process says of itself first, which lies
// in its channel while the process asks its server for something, and the server the
// nucleus.
const (
	maxEarly    = 64   // of a task
	beginWithin = 10e9 // ns
)

// onceBegun has the slow part of a call about a guest task carried out once the task has
// begun. ESRCH: it ended before, or has not begun in time; EAGAIN: too many wait for that.
func (k *Kernel) onceBegun(g *task, c *call, slow func() abi.Errno) abi.Errno {
	if g.begun {
		c.slow = func(*call) abi.Errno { return slow() }
		return 0
	}
	if len(g.early) >= maxEarly {
		return abi.EAGAIN
	}
	e := &early{from: c.from, id: c.ID, slow: slow}
	e.timer = k.m.After(beginWithin, func() {
		k.enter()
		defer k.leave()
		if i := slices.Index(g.early, e); i >= 0 { // else the timer was stopped too late
			g.early = slices.Delete(g.early, i, i+1)
			k.late(e.from, e.id, abi.ESRCH)
		}
	})
	g.early = append(g.early, e)
	c.wait = true
	return 0
}

// awaited takes the calls that wait for a task to begin.
func (t *task) awaited() []*early {
	l := t.early
	t.early = nil
	for _, e := range l {
		e.timer.Stop()
	}
	return l
}

// begin is told that a guest task's process is there. What it is to be and its parent was
// not when it forked is told the host now, and then what somebody wants of its threads.
func (k *Kernel) begin(t *task) {
	if t.begun {
		return
	}
	t.begun, t.parent = true, nil
	place, kick, ctx, l := t.unplaced, t.kicked, t.ctx, t.awaited()
	if t.unplaced, t.kicked = false, false; !place && !kick && l == nil {
		return
	}
	k.m.Go(func() {
		if kick {
			_ = ctx.Kick(0) // or it has ended
		}
		if place {
			_ = k.place(t) // if it cannot be, it has ended
		}
		for _, e := range l {
			err := e.slow()
			k.enter()
			k.late(e.from, e.id, err)
			k.leave()
		}
	})
}

// unbegun ends the calls about a task that has ended and never begun.
func (k *Kernel) unbegun(t *task) {
	for _, e := range t.awaited() {
		k.late(e.from, e.id, abi.ESRCH)
	}
}

// place tells the host where all threads of a task run. Of several at a time each goes on
// until what it said last is still so. The lock is not held.
func (k *Kernel) place(t *task) error {
	for {
		k.enter()
		ctx, p := t.ctx, t.run()
		k.leave()
		if ctx == nil {
			return abi.ESRCH
		}
		if err := ctx.SetProcessors(0, p); err != nil {
			return err
		}
		k.enter()
		same := t.run() == p
		k.leave()
		if same {
			return nil
		}
	}
}

// dissolve ends a set to which nobody has a right any more: its tasks are in the default
// set again.
func (k *Kernel) dissolve(s *processors) {
	if s.port.Sends > 0 || s.port.Dead {
		return
	}
	k.sets = slices.DeleteFunc(k.sets, func(x *processors) bool { return x == s })
	k.ports.Kill(s.port)
	if s.tasks == 0 {
		return
	}
	for _, t := range k.byID() {
		if t.set == s {
			t.join(nil)
			t.cpus = machine.Processors{}
			k.moved(t)
			if t.begun && !k.stopped {
				k.m.Go(func() { _ = k.place(t) })
			}
		}
	}
}

// moved notes that a task runs elsewhere now, or will when it has begun: what it is
// just forking may be on the host what it was.
func (k *Kernel) moved(t *task) {
	t.unplaced = !t.begun
	for _, u := range k.tasks {
		if u.parent == t {
			u.unplaced = true
		}
	}
}

// byID lists the tasks in their order, so that a schedule of the simulated machine can be
// run again.
func (k *Kernel) byID() []*task {
	return slices.SortedFunc(maps.Values(k.tasks), func(a, b *task) int { return cmp.Compare(a.id, b.id) })
}

// mask reads processors; false if there are too many bytes.
func mask(b []byte) (p machine.Processors, ok bool) {
	if len(b) > 8*len(p) {
		return p, false
	}
	var full [8 * len(p)]byte
	copy(full[:], b)
	for i := range p {
		p[i] = binary.LittleEndian.Uint64(full[8*i:])
	}
	return p, true
}

// setOf finds the set that a name stands for, nil for the default one.
func (k *Kernel) setOf(t *task, name uint64) (*processors, abi.Errno) {
	if name == uint64(abi.NameNull) {
		return nil, 0
	}
	e, err := k.sendRight(t, name)
	if err != 0 {
		return nil, err
	}
	s, ok := e.Port.Kernel.(*processors)
	if !ok {
		return nil, abi.EPERM
	}
	return s, 0
}

// callProcessorSet: see abi.CallProcessorSet. EINVAL: no processors, or some that are none
// of the default set; ENOSPC; EAGAIN: the budget is used up.
func callProcessorSet(k *Kernel, t *task, c *call) abi.Errno {
	p, ok := mask(c.inline)
	if !ok || p == (machine.Processors{}) || p.And(k.m.Processors()) != p {
		return abi.EINVAL
	}
	if !t.space.Room(1) {
		return abi.ENOSPC
	}
	if !k.affords(t, port.PortCost) {
		return abi.EAGAIN
	}
	s := &processors{Processors: p, port: k.ports.NewPort()}
	s.port.Kernel, s.port.Payer = s, t
	k.charge(t, port.PortCost)
	k.sets = append(k.sets, s)
	n, _ := t.space.Copyout(k.ports, k.ports.MakeSend(s.port))
	c.out[0] = uint64(n)
	return 0
}

// callProcessorInfo: see abi.CallProcessorInfo. EBADF, EPERM: the name is no set's; EPIPE.
func callProcessorInfo(k *Kernel, t *task, c *call) abi.Errno {
	s, err := k.setOf(t, c.A[0])
	if err != 0 {
		return err
	}
	p, n := k.m.Processors(), 0
	if s != nil {
		p, n = s.Processors, s.tasks
	} else {
		for _, g := range k.tasks {
			if g.guest && g.set == nil {
				n++
			}
		}
	}
	may := k.m.Scheduling()
	c.out = [6]uint64{uint64(p.Len()), uint64(n), uint64(may.Classes), uint64(int64(may.Nice)), uint64(may.Priority)}
	for _, w := range p {
		c.data = binary.LittleEndian.AppendUint64(c.data, w)
	}
	return 0
}

// callTaskAssign: see abi.CallTaskAssign. EBADF, EPERM: a name; EPIPE: the set's; ESRCH: the
// task, or the thread; EINVAL: none of the processors is in the set, or a thread is to have
// another set than its task; onceBegun's, where it is about a thread. What threads had for
// themselves is over when all of them are told.
func callTaskAssign(k *Kernel, t *task, c *call) abi.Errno {
	g, err := k.taskOf(t, c.A[0])
	if err != 0 {
		return err
	}
	set := g.set
	if c.A[2] != uint64(abi.NameDead) {
		if c.A[1] != 0 {
			return abi.EINVAL
		}
		if set, err = k.setOf(t, c.A[2]); err != 0 {
			return err
		}
	}
	all := k.m.Processors()
	if set != nil {
		all = set.Processors
	}
	own, ok := mask(c.inline)
	p := all
	if len(c.inline) > 0 {
		if p = own.And(all); !ok || p == (machine.Processors{}) {
			return abi.EINVAL
		}
	}
	ctx, thread := g.ctx, c.A[1]
	if thread == 0 {
		g.join(set)
		g.cpus = own
		k.moved(g)
		if g.begun { // else begin sees to it
			c.slow = func(*call) abi.Errno { return hostError(k.place(g)) }
		}
		return 0
	}
	return k.onceBegun(g, c, func() abi.Errno { return hostError(ctx.SetProcessors(thread, p)) })
}

// hostError is the errno in an error of the machine.
func hostError(err error) abi.Errno {
	switch err {
	case nil:
		return 0
	case abi.ESRCH:
		return abi.ESRCH
	case abi.EPERM:
		return abi.EPERM
	case abi.EBUSY:
		return abi.EBUSY
	}
	return abi.EINVAL
}
