package wasi

// Process is what one module sees of the machine.
type Process struct {
	sys  System
	args []string
	env  []string
	fds  []*desc // by number; nil is free
	mem  memory
	vec  [][]byte // of the call under way

	trace func(line string) bool // nil: nobody wants the tracer's lines
}

// argsGet is args_get(argv, argv_buf): the arguments, each ended by a zero, and where
// each of them begins.
func (p *Process) argsGet(a args) Errno { return p.putStrings(p.args, a.u32(0), a.u32(1)) }

func (p *Process) argsSizesGet(a args) Errno { return p.putSizes(p.args, a.u32(0), a.u32(1)) }

func (p *Process) environGet(a args) Errno { return p.putStrings(p.env, a.u32(0), a.u32(1)) }

func (p *Process) environSizesGet(a args) Errno { return p.putSizes(p.env, a.u32(0), a.u32(1)) }

// clockResGet is clock_res_get(id, result). EINVAL for a clock that is none.
func (p *Process) clockResGet(a args) Errno {
	if a.u32(0) > clockThread {
		return errInval
	}
	ns, e := p.sys.Resolution(a.u32(0))
	if e != 0 {
		return errno(e)
	}
	return p.put64(a.u32(1), uint64(ns))
}

// clockTimeGet is clock_time_get(id, precision, result). All clocks are as precise as
// they can be. EINVAL for a clock that is none.
func (p *Process) clockTimeGet(a args) Errno {
	if a.u32(0) > clockThread {
		return errInval
	}
	ns, e := p.sys.Clock(a.u32(0))
	if e != 0 {
		return errno(e)
	}
	return p.put64(a.u32(2), uint64(ns))
}

// randomGet is random_get(buf, len).
func (p *Process) randomGet(a args) Errno {
	b, ok := p.bytes(a.u32(0), a.u32(1))
	if !ok {
		return errFault
	}
	return errno(p.sys.Random(b))
}

func (p *Process) schedYield(args) Errno {
	p.sys.Yield()
	return 0
}

// procExit is proc_exit(code). As with exit(2), the low eight bits are the status.
func (p *Process) procExit(a args) Errno {
	p.sys.Exit(int(a.u32(0) & 0xff))
	panic("exit came back")
}

// procRaise is proc_raise(signal): as if another process had sent it, a signal whose
// action is to end the process ends it. EINVAL for a number that is none.
func (p *Process) procRaise(a args) Errno {
	sig := int(a.u32(0))
	switch {
	case a.u32(0) > 30:
		return errInval
	case sig >= 16: // preview 1 leaves out SIGSTKFLT
		sig++
	case sig == 0:
		return 0
	}
	return errno(p.sys.Raise(sig))
}
