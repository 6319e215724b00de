package nucleus

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/machine"
)

// Bounds of a share by deadline, in ns (sched(7)).
const (
	minRuntime = 1024
	maxPeriod  = 1 << 63
)

// policy reads what a call says; false: it is nonsense.
func policy(c *call) (p machine.Policy, ok bool) {
	v := int64(c.A[3])
	p.Reset = c.A[4] == 1
	if c.A[4] > 1 || c.A[2] == 0 || c.A[2] > abi.ClassDeadline || (c.A[2] == abi.ClassDeadline) != (len(c.inline) > 0) {
		return p, false
	}
	p.Class = uint32(c.A[2])
	switch p.Class {
	case abi.ClassFixed, abi.ClassRound:
		p.Priority = uint32(v)
		return p, v >= 1 && v <= 99
	case abi.ClassDeadline:
		if len(c.inline) != 24 || v != 0 || c.A[1] == 0 {
			return p, false
		}
		le := binary.LittleEndian
		p.Runtime, p.Deadline, p.Period = le.Uint64(c.inline), le.Uint64(c.inline[8:]), le.Uint64(c.inline[16:])
		return p, p.Runtime >= minRuntime && p.Runtime <= p.Deadline && p.Deadline <= p.Period && p.Period < maxPeriod
	}
	p.Nice = int32(v)
	return p, v >= -20 && v <= 19
}

// allowed says whether tasks may be given a policy.
func allowed(p *machine.Policy, may machine.Scheduling) bool {
	return may.Classes>>p.Class&1 != 0 && (p.Priority > 0 || p.Class == abi.ClassDeadline || p.Nice >= may.Nice) && p.Priority <= may.Priority
}

// callThreadPolicy: see abi.CallThreadPolicy. EBADF, EPERM: the name; EINVAL: no such class,
// or no such values of it, or a deadline for all threads; ESRCH: the task, or the thread;
// onceBegun's; EPERM: the machine was not given so much (CallProcessorInfo);
// EOPNOTSUPP: the host refuses it; EBUSY: it has no such share left.
func callThreadPolicy(k *Kernel, t *task, c *call) abi.Errno {
	g, err := k.taskOf(t, c.A[0])
	if err != 0 {
		return err
	}
	p, ok := policy(c)
	if !ok {
		return abi.EINVAL
	}
	if !allowed(&p, k.m.Scheduling()) {
		return abi.EPERM
	}
	ctx, thread := g.ctx, c.A[1]
	var was machine.Policy
	now := g.begun
	if now { // in the order of the calls; who has not begun has lost no thread
		was = k.raise(g, thread, p)
	}
	return k.onceBegun(g, c, func() abi.Errno {
		if !now {
			k.enter()
			was = k.raise(g, thread, p)
			k.leave()
		}
		err := hostError(ctx.SetPolicy(thread, p))
		if err != 0 {
			k.enter()
			if err == abi.ESRCH {
				was = machine.Policy{}
			}
			k.unraise(g, thread, p, was)
			k.leave()
		}
		if err == abi.EPERM {
			return abi.EOPNOTSUPP
		}
		return err
	})
}

// ThreadCost is what a thread costs its task's budget, in bytes: its slot in the message
// area, which takes memory when it is first used.
const ThreadCost = abi.PageSize

// threads adds n to the threads of a task.
func (k *Kernel) threads(t *task, n int) {
	t.threads += n
	k.charge(t, n*ThreadCost)
}

// callTaskThreads: see abi.CallTaskThreads. EBADF, EPERM, ESRCH: the task; EINVAL: it would
// have fewer than none, or A2; EAGAIN: more than it may have slots, or its budget, or that of
// all guests, is used up. That it has fewer is never refused. A thread that has ended (A3), or
// all after A2, go before nobody.
func callTaskThreads(k *Kernel, t *task, c *call) abi.Errno {
	g, err := k.taskOf(t, c.A[0])
	if err != 0 {
		return err
	}
	more := int64(c.A[1])
	if c.A[2] > 1 || more > abi.MaxSlots || more < -abi.MaxSlots {
		return abi.EINVAL
	}
	if c.A[2] == 1 {
		more -= int64(g.threads)
	}
	n := g.threads + int(more)
	switch {
	case n < 0:
		return abi.EINVAL
	case more > 0 && (n > abi.MaxSlots || !k.affords(g, int(more)*ThreadCost)):
		return abi.EAGAIN
	}
	k.threads(g, int(more))
	switch {
	case c.A[2] == 1:
		k.calm(g)
	case c.A[3] != 0:
		k.raise(g, c.A[3], machine.Policy{})
	}
	c.out[0] = uint64(n)
	return 0
}
