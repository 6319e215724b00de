package linux

import (
	"errors"
	"fmt"
	"os"
	"strconv"

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

// maxPasses bounds how often the threads of a process are looked at; one that makes
// threads all the time makes them with what their makers have.
const maxPasses = 64

// eachThread calls f for each thread of a process, or for one, until nothing is left to
// change: a thread that another made meanwhile may have what that had before. f says
// whether it changed something. ESRCH.
func (c *channel) eachThread(thread uint64, f func(tid int) (bool, error)) error {
	pid, ok := c.alive()
	if !ok {
		return abi.ESRCH
	}
	if thread != 0 {
		host := c.hostThread(pid, thread)
		if host == 0 {
			return abi.ESRCH
		}
		_, err := f(host)
		return errno(err)
	}
	for range maxPasses {
		dir, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			return abi.ESRCH
		}
		any := false
		for _, e := range dir {
			tid, err := strconv.Atoi(e.Name())
			if err != nil {
				continue
			}
			changed, err := f(tid)
			if err != nil && err != unix.ESRCH { // it has just ended
				return errno(err)
			}
			any = any || changed
		}
		if !any {
			return nil
		}
	}
	return nil
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
	return c.eachThread(thread, func(tid int) (bool, error) {
		if was, err := processorsOf(tid); err != nil || was == p {
			return false, err
		}
		return true, setProcessors(tid, p)
	})
}
