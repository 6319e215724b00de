package core

import (
	"hythe/abi"
	"hythe/store"
)

// The tracer: a line for each call, delivered signal and end of a thread, in the
// terms of the personality and in the order in which the thread meets them.

// extent is guest memory that lies in a slot's In area.
type extent struct {
	addr   uint64
	off, n uint32
}

// Traced says whose calls the tracer is told of: all processes', or those of these.
type Traced struct {
	All  bool
	PIDs []int32
}

// tracedSet is Traced, to look at for each call: while nobody is traced at some alone.
type tracedSet struct {
	some bool
	all  bool
	pids map[int32]bool // nil: none
}

func (s *tracedSet) set(t Traced) {
	*s = tracedSet{some: t.All || len(t.PIDs) > 0, all: t.All}
	if len(t.PIDs) > 0 {
		s.pids = make(map[int32]bool, len(t.PIDs))
	}
	for _, pid := range t.PIDs {
		s.pids[pid] = true
	}
}

// Trace says whose calls the tracer is told of from now on. Files that they were lent are
// taken back, and answers about names are no longer theirs, so that it is told of what they read
// and ask for. It is told at once of the end of those
// among t.PIDs that have ended. It takes the lock itself.
func (k *Kernel) Trace(t Traced) {
	k.Enter()
	defer k.Leave()
	k.traced.set(t)
	if t.All {
		k.takeBackAll()
	}
	k.namesChanged()
	for _, ts := range k.tasks {
		if p := k.Procs.Get(ts.proc); p != nil && k.tracing(p.Pid) {
			k.untold(ts)
		}
	}
	k.traceFound()
}

// traceFound goes through the processes that are traced by their numbers.
func (k *Kernel) traceFound() {
	for pid := range k.traced.pids {
		p := k.byPid[pid]
		if p == 0 || k.Procs.Get(p).State != ProcLive {
			k.traceGone(pid)
			continue
		}
		if fds := k.Procs.Get(p).FDs; fds != 0 {
			k.takeBackTable(fds)
		}
	}
}

// tracing says whether lines of a process are wanted: what is noted for them alone is then.
func (k *Kernel) tracing(pid int32) bool {
	return k.traced.some && (k.traced.all || k.traced.pids[pid]) && k.Tracer != nil
}

// Traced says whether the tracer is told of the caller's calls.
func (c *Call) Traced() bool {
	return c.K.traced.some && c.T != 0 && c.K.tracing(c.Proc().Pid)
}

// traceGone tells of a process's end, after which its number may be another's.
func (k *Kernel) traceGone(pid int32) {
	if k.tracing(pid) {
		delete(k.traced.pids, pid)
		k.Tracer(pid, 0, "")
	}
}

// traceStart writes the line of a program's start, which is that of the exec.
func (k *Kernel) traceStart(c *Call, p Personality) {
	if c.Traced() {
		k.traceLine(c.Proc().Pid, c.Thread().Tid, p.TraceStart(c))
	}
}

// traceCall writes the line of a call that has just run, before the signals that
// came meanwhile are looked at. first is the thread that made it, of process pid. Of a
// call that was waiting when tracing began, only what its library had sent along is known of
// the memory that it was given.
func (k *Kernel) traceCall(c *Call, p Personality, first store.Ref[Thread], pid, tid int32) {
	r := TraceResult{Value: c.Result, Err: c.Err}
	th := k.Threads.Get(first)
	switch {
	case th == nil || th.State != ThreadLive || k.threadRT(first).gone || k.Procs.Get(th.Proc).Exiting != 0:
		r.None = true
	case c.ended:
	case c.T != first:
		r.Value = uint64(k.Threads.Get(c.T).Tid) // vfork: the child goes on here
	case c.resultOpen():
		r.None = true
	}
	k.traceLine(pid, tid, p.TraceCall(c, r))
}

// traceSignal writes the line of a signal that a thread is about to handle.
func (k *Kernel) traceSignal(c *Call, s *SigInfo) {
	if c.Traced() && c.Proc().Flags&ProcModule == 0 { // a module handles none, its engine does
		k.traceLine(c.Proc().Pid, c.Thread().Tid, k.Personality(c.Proc().Personality).TraceSignal(s))
	}
}

// maxModuleLine is how long a line of a module's can be.
const maxModuleLine = 2048

// TraceModule writes a line that the engine of the calling process's module has made for
// one of the module's calls, n bytes at addr; as with all that the tracer shows of a guest,
// it is the guest's word. EINVAL if the process is no module or
// the line is too long, ESRCH if nobody wants it, EFAULT. What is not printable in it is not shown.
func (c *Call) TraceModule(addr, n uint64) abi.Errno {
	if c.Proc().Flags&ProcModule == 0 || n > maxModuleLine {
		return abi.EINVAL
	}
	if !c.Traced() {
		return abi.ESRCH
	}
	b, e := c.CopyIn(addr, int(n))
	if e != 0 {
		return e
	}
	line := make([]byte, len(b))
	for i, x := range b {
		if line[i] = x; x < ' ' || x > '~' {
			line[i] = '?'
		}
	}
	c.K.traceLine(c.Proc().Pid, c.Proc().Pid, string(line))
	return 0
}

// traceEnd writes the line of a thread's end; status is a wait status.
func (k *Kernel) traceEnd(t store.Ref[Thread], status uint32) {
	th := k.Threads.Get(t)
	if pr := k.Procs.Get(th.Proc); k.tracing(pr.Pid) {
		if pr.Flags&ProcModule != 0 && th.Tid != pr.Pid {
			return // a module has one thread, its engine several
		}
		k.traceLine(pr.Pid, th.Tid, k.Personality(pr.Personality).TraceEnd(status))
	}
}

func (k *Kernel) traceLine(pid, tid int32, line string) {
	if line != "" {
		k.Tracer(pid, tid, line)
	}
}

// TraceResult is how a call ended, for the tracer.
type TraceResult struct {
	Value uint64
	Err   abi.Errno
	// None: the thread is gone, or only the library will know the result.
	None bool
}

// fetchedAt notes that n bytes of the guest's memory at addr lie at off of the In
// area.
func (c *Call) fetchedAt(addr uint64, off, n uint32) {
	if c.Traced() {
		c.fetched = append(c.fetched, extent{addr, off, n})
	}
}

// PeekIn answers up to n bytes at the guest's addr as the call has seen them, nil
// if it has not.
func (c *Call) PeekIn(addr uint64, n int) []byte {
	for i := range 6 {
		if c.Args[i] == addr && addr != 0 {
			if b, _, ok := c.Prefetched(i); ok {
				return b[:min(n, len(b))]
			}
		}
	}
	for _, x := range c.fetched {
		if addr-x.addr < uint64(x.n) {
			b := c.Chan.In()[x.off : x.off+x.n][addr-x.addr:]
			return b[:min(n, len(b))]
		}
	}
	return nil
}

// PeekOut answers up to n bytes that the call's answer puts at the guest's addr,
// nil if it puts nothing there.
func (c *Call) PeekOut(addr uint64, n int) []byte {
	for i := range c.Acts {
		a := &c.Acts[i]
		if a.Op == abi.ActCopyOut && addr-a.A[0] < a.A[2] {
			b := c.Chan.Out()[a.A[1]-abi.SlotOutOff:][:a.A[2]][addr-a.A[0]:]
			return b[:min(n, len(b))]
		}
	}
	return nil
}
