package linux

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/machine"
)

// ErrProcessors: a machine was to run on processors that are not there, or not for who
// makes it.
var ErrProcessors = errors.New("some are not there, or not for this process")

// wordBits is the size of a word of a unix.CPUSet.
const wordBits = 64

// ownProcessors are those on which this process may run.
func ownProcessors() machine.Processors {
	p, err := processorsOf(os.Getpid())
	if err != nil {
		p.Add(0)
	}
	return p
}

func processorsOf(tid int) (p machine.Processors, err error) {
	var s unix.CPUSet
	if err := unix.SchedGetaffinity(tid, &s); err != nil {
		return p, err
	}
	for i := range p {
		p[i] = uint64(s[i])
	}
	return p, nil
}

func setProcessors(tid int, p machine.Processors) error {
	var s unix.CPUSet
	for i := range p {
		for b := range wordBits {
			if p[i]>>b&1 != 0 {
				s.Set(i*wordBits + b)
			}
		}
	}
	return unix.SchedSetaffinity(tid, &s)
}

// runHere lets this thread run where the machine's tasks do, so that what it starts does
// too. The answer takes that back.
func (m *Machine) runHere() func() {
	if m.all {
		return func() {}
	}
	was, err := processorsOf(0)
	if err == nil {
		err = setProcessors(0, m.opts.Processors)
	}
	if err != nil {
		m.log("processors: %v", err)
		return func() {}
	}
	return func() { _ = setProcessors(0, was) }
}

// Processors implements machine.Machine.
func (m *Machine) Processors() machine.Processors { return m.opts.Processors }

// eachThread calls f for each thread of a process, or for one. A thread that another made
// meanwhile may have what that had before: it is in the next list. ESRCH.
func (c *channel) eachThread(thread uint64, f func(tid int) error) error {
	pid, ok := c.alive()
	if !ok {
		return abi.ESRCH
	}
	if thread != 0 {
		host := c.hostThread(pid, thread)
		if host == 0 {
			return abi.ESRCH
		}
		return errno(f(host))
	}
	return eachList(pid, func(tids []int) (bool, error) {
		for _, tid := range tids {
			if err := f(tid); err != nil && err != unix.ESRCH { // it has just ended
				return false, errno(err)
			}
		}
		return false, nil
	})
}

// errno makes an error of the host one of package abi; nil stays nil.
func errno(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ESRCH):
		return abi.ESRCH
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return abi.EPERM
	case errors.Is(err, unix.EBUSY):
		return abi.EBUSY
	}
	return abi.EINVAL
}

// SetProcessors implements machine.Context.
func (c *channel) SetProcessors(thread uint64, p machine.Processors) error {
	return c.eachThread(thread, func(tid int) error {
		if was, err := processorsOf(tid); err != nil || was == p {
			return err
		}
		return setProcessors(tid, p)
	})
}

// classes are the host's policies, by class.
var classes = [...]uint32{
	abi.ClassNormal: unix.SCHED_NORMAL, abi.ClassBatch: unix.SCHED_BATCH, abi.ClassIdle: unix.SCHED_IDLE,
	abi.ClassFixed: unix.SCHED_FIFO, abi.ClassRound: unix.SCHED_RR, abi.ClassDeadline: unix.SCHED_DEADLINE,
}

// attr is a policy as the host has it.
func attr(p *machine.Policy) unix.SchedAttr {
	a := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: classes[p.Class]}
	switch p.Class {
	case abi.ClassFixed, abi.ClassRound:
		a.Priority = p.Priority
	case abi.ClassDeadline:
		a.Runtime, a.Deadline, a.Period = p.Runtime, p.Deadline, p.Period
	default:
		a.Nice = p.Nice
	}
	if p.Reset {
		a.Flags = unix.SCHED_FLAG_RESET_ON_FORK
	}
	return a
}

// policyOf is how a thread is scheduled, but for a deadline's values.
func policyOf(tid int) (p machine.Policy, err error) {
	a, err := unix.SchedGetAttr(tid, 0)
	if err != nil {
		return p, err
	}
	p.Class, p.Nice, p.Priority = abi.ClassNormal, a.Nice, a.Priority
	for class, policy := range classes {
		if class != 0 && policy == a.Policy {
			p.Class = uint32(class)
		}
	}
	return p, nil
}

// ScheduledArg is the last argument of servers that can be lent what their clients have:
// they keep the limits that let the host give it to them, and no call by which they could
// give it to themselves.
const ScheduledArg = "scheduled"

// scheduling says whether anything was asked for.
func (o *Options) scheduling() bool { return o.Nice < 0 || o.Priority > 0 || o.Deadline }

// hostScheduling is what tasks may be given: what the options say, as far as the host lets
// a thread of ours have it. Nobody is asked if nothing was said.
func hostScheduling(opts *Options) machine.Scheduling {
	s := machine.Scheduling{Classes: 1<<abi.ClassNormal | 1<<abi.ClassBatch | 1<<abi.ClassIdle, Own: machine.Policy{Class: abi.ClassNormal}}
	if p, err := policyOf(0); err == nil {
		s.Nice, s.Own = p.Nice, p
	}
	if !opts.scheduling() {
		return s
	}
	done := make(chan struct{})
	ownThread(func() { // it ends with what it got
		defer close(done)
		try := func(p machine.Policy) bool {
			a := attr(&p)
			return unix.SchedSetAttr(0, &a, 0) == nil
		}
		for n := opts.Nice; n < min(s.Nice, 0); n++ {
			if try(machine.Policy{Class: abi.ClassNormal, Nice: n}) {
				s.Nice = n
				break
			}
		}
		if opts.Deadline && try(machine.Policy{Class: abi.ClassDeadline, Runtime: 1e6, Deadline: 1e9, Period: 1e9}) {
			s.Classes |= 1 << abi.ClassDeadline
		}
		for n := opts.Priority; n > 0; n-- {
			if try(machine.Policy{Class: abi.ClassRound, Priority: n}) {
				s.Classes |= 1<<abi.ClassFixed | 1<<abi.ClassRound
				s.Priority = n
				break
			}
		}
	})
	<-done
	return s
}

// Scheduling implements machine.Machine.
func (m *Machine) Scheduling() machine.Scheduling { return m.may }

// SetPolicy implements machine.Context.
func (c *channel) SetPolicy(thread uint64, p machine.Policy) error {
	a := attr(&p)
	return c.eachThread(thread, func(tid int) error {
		was, err := unix.SchedGetAttr(tid, 0)
		if err != nil {
			return err
		}
		same := was.Policy == a.Policy && was.Flags&unix.SCHED_FLAG_RESET_ON_FORK == a.Flags && was.Priority == a.Priority
		switch p.Class {
		case abi.ClassNormal, abi.ClassBatch, abi.ClassIdle:
			same = same && was.Nice == a.Nice
		case abi.ClassDeadline:
			same = same && was.Runtime == a.Runtime && was.Deadline == a.Deadline && was.Period == a.Period
		}
		if same {
			return nil
		}
		return unix.SchedSetAttr(tid, &a, 0)
	})
}
