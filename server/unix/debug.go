package unix

import (
	"fmt"

	"hythe/abi"
	"hythe/idl/debug"
	"hythe/ipc"
	"hythe/server/unix/core"
)

// The ports that stand for processes, and the exceptions that their debuggers are sent
// (idl/debug). What a port stands for is its durable label; which exception port a
// process has is in the core's state of record.

const (
	processLabel   = "process:"
	exceptionLabel = "exception"
)

func labelOf(id core.ProcID) string {
	return fmt.Sprintf(processLabel+"%d:%d:%d", id.Ref, id.Start, id.UID)
}

func procOf(label string) (id core.ProcID, ok bool) {
	n, err := fmt.Sscanf(label, processLabel+"%d:%d:%d", &id.Ref, &id.Start, &id.UID)
	return id, err == nil && n == 3
}

// inheritDebug takes up the ports of the last incarnation. Of exceptions that were
// under way nobody waits for the answer any more.
func (s *server) inheritDebug(in *ipc.Inheritance) {
	for i := range in.Rights {
		switch r := &in.Rights[i]; {
		case r.Kind == abi.RightReceive && (r.Label == exceptionLabel || r.Label == ""):
			s.conn.DropReceive(r.Name)
		case r.Kind == abi.RightReceive:
			if id, ok := procOf(r.Label); ok {
				s.processPort(id, r.Name)
			}
		case r.Kind == abi.RightDead:
			s.debuggerDied(r.Name)
		}
	}
}

// processPort serves a port that stands for a process. s.dmu is held, or nobody else
// is there yet.
func (s *server) processPort(id core.ProcID, port abi.Name) {
	s.processes[id] = port
	go func() {
		for {
			m, e := s.conn.Receive(port)
			if e != 0 {
				return
			}
			a := debug.DispatchProcess(m, debugged{s, id})
			s.conn.Drop(m) // what was not kept
			_ = s.conn.AnswerWith(m, a)
		}
	}()
}

// OpenProcess implements core.Host.
func (s *server) OpenProcess(id core.TaskID, of core.ProcID) (uint64, abi.Errno) {
	t := s.task(id)
	if t == nil {
		return 0, abi.ESRCH
	}
	s.dmu.Lock()
	defer s.dmu.Unlock()
	port, ok := s.processes[of]
	if !ok {
		for other, p := range s.processes { // a good time to forget those that are gone
			if _, e := s.k.Debugged(other); e == abi.ESRCH {
				s.conn.DropReceive(p)
				s.conn.Deallocate(p)
				delete(s.processes, other)
			}
		}
		var e abi.Errno
		if port, e = s.conn.MakePort(labelOf(of)); e != 0 {
			return 0, e
		}
		s.processPort(of, port)
	}
	if e := s.conn.MakeSend(port); e != 0 {
		return 0, e
	}
	name, e := s.conn.TaskOpen(t.name, port)
	_, _ = s.conn.Call(abi.CallPortModRefs, [6]uint64{uint64(port), abi.RightSend, ^uint64(0)}, nil, nil)
	return uint64(name), e
}

// debugged serves the port of a process.
type debugged struct {
	s  *server
	id core.ProcID
}

// task answers the task that the process has now.
func (d debugged) task() (*task, abi.Errno) {
	d.s.k.Enter()
	id, e := d.s.k.Debugged(d.id)
	d.s.k.Leave()
	if e != 0 {
		return nil, e
	}
	t := d.s.task(id)
	if t == nil {
		return nil, abi.ESRCH
	}
	return t, 0
}

// Read implements debug.ProcessServer.
func (d debugged) Read(_ *ipc.Message, addr, n uint64) ([]byte, abi.Errno) {
	t, e := d.task()
	switch {
	case e != 0:
		return nil, e
	case n == 0 || n > debug.MaxBytes:
		return nil, abi.EINVAL
	}
	return d.s.conn.TaskMemory(t.name, addr, int(n))
}

// Write implements debug.ProcessServer.
func (d debugged) Write(_ *ipc.Message, addr uint64, data []byte) abi.Errno {
	t, e := d.task()
	switch {
	case e != 0:
		return e
	case len(data) == 0:
		return abi.EINVAL
	}
	n, e := d.s.conn.TaskStore(t.name, addr, data)
	if e == 0 && n < len(data) {
		e = abi.EFAULT
	}
	return e
}

// Exceptions implements debug.ProcessServer.
func (d debugged) Exceptions(_ *ipc.Message, port abi.Name, flags uint32) abi.Errno {
	if _, e := d.task(); e != 0 {
		return e
	}
	if port != abi.NameNull && d.s.conn.NotifyDead(port) != 0 {
		return abi.EINVAL
	}
	d.s.k.Enter()
	old, e := d.s.k.SetDebugger(d.id, uint32(port), flags)
	d.s.k.Leave()
	if e == 0 && old != 0 {
		d.s.conn.Deallocate(abi.Name(old))
	}
	return e
}

// Stop implements debug.ProcessServer.
func (d debugged) Stop(*ipc.Message) abi.Errno {
	if _, e := d.task(); e != 0 {
		return e
	}
	d.s.k.Enter()
	defer d.s.k.Leave()
	return d.s.k.StopDebugged(d.id)
}

// debuggerDied forgets an exception port that is dead.
func (s *server) debuggerDied(name abi.Name) {
	s.k.Enter()
	was := s.k.DebuggerDied(uint32(name))
	s.k.Leave()
	if was {
		s.conn.Deallocate(name)
	}
}

// Raise implements core.Host. The answer comes on a port of its own, so that the end
// of a debugger that has not answered is an answer too.
func (s *server) Raise(to uint32, x core.Exception, done func(abi.Regs, bool)) {
	go func() {
		var a debug.Answer
		ok := false
		if port, e := s.conn.MakePort(exceptionLabel); e == 0 {
			// All kinds of exception have one form; limits there are none.
			q, _ := debug.EncodeFault(&debug.Exception{Pid: x.Pid, Tid: x.Tid, Signal: x.Sig, Code: x.Code, Addr: x.Addr,
				TrapNo: x.TrapNo, Err: x.Err, Regs: x.Regs})
			q.ID, q.Seq = x.What, x.Seq
			if m, e := s.conn.Exchange(abi.Name(to), q, port); e == 0 {
				a, e = debug.DecodeFaultAnswer(m)
				ok = e == 0 && m.ID == x.What && a.Taken == 1
				s.conn.Drop(m)
			}
			s.conn.DropReceive(port)
		}
		done(a.Regs, ok)
	}()
}
