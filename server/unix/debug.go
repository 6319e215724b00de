package unix

import (
	"encoding/binary"
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
			b, e := s.debug(id, m)
			for _, r := range m.Rights { // what was not kept
				s.conn.Deallocate(r.Name)
			}
			for _, o := range m.Objects {
				s.conn.Deallocate(o.Name)
			}
			for _, fd := range m.FDs {
				ipc.CloseFD(fd)
			}
			_ = s.conn.Answer(m, append(binary.LittleEndian.AppendUint32(nil, uint32(e)), b...))
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

// debug serves one request about a process.
func (s *server) debug(id core.ProcID, m *ipc.Message) ([]byte, abi.Errno) {
	s.k.Enter()
	task, e := s.k.Debugged(id)
	s.k.Leave()
	if e != 0 {
		return nil, e
	}
	t := s.task(task)
	if t == nil {
		return nil, abi.ESRCH
	}
	le := binary.LittleEndian
	switch b := m.Body; {
	case m.ID == debug.MsgRead && len(b) == 16:
		n := le.Uint64(b[8:])
		if n == 0 || n > debug.MaxBytes {
			return nil, abi.EINVAL
		}
		return s.conn.TaskMemory(t.name, le.Uint64(b), int(n))
	case m.ID == debug.MsgWrite && len(b) > 8 && len(b) <= 8+debug.MaxBytes:
		n, e := s.conn.TaskStore(t.name, le.Uint64(b), b[8:])
		if e == 0 && n < len(b)-8 {
			e = abi.EFAULT
		}
		return nil, e
	case m.ID == debug.MsgExceptions && len(b) == 4 && len(m.Rights) <= 1:
		port := abi.NameNull
		if len(m.Rights) == 1 {
			if port = m.Rights[0].Name; m.Rights[0].Kind != abi.RightSend || s.conn.NotifyDead(port) != 0 {
				return nil, abi.EINVAL
			}
		}
		s.k.Enter()
		old, e := s.k.SetDebugger(id, uint32(port), le.Uint32(b))
		s.k.Leave()
		if e != 0 {
			return nil, e
		}
		m.Rights = nil
		if old != 0 {
			s.conn.Deallocate(abi.Name(old))
		}
		return nil, 0
	case m.ID == debug.MsgStop && len(b) == 0:
		s.k.Enter()
		defer s.k.Leave()
		return nil, s.k.StopDebugged(id)
	}
	return nil, abi.EINVAL
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
			m, e := s.conn.Exchange(abi.Name(to), &ipc.Message{ID: x.What, Seq: x.Seq, Body: debug.Encode(&debug.Exception{
				Pid: x.Pid, Tid: x.Tid, Signal: x.Sig, Code: x.Code, Addr: x.Addr, TrapNo: x.TrapNo, Err: x.Err, Regs: x.Regs})}, port)
			ok = e == 0 && m.ID == x.What && debug.Decode(m.Body, &a) && a.Taken == 1
			s.conn.DropReceive(port)
		}
		done(a.Regs, ok)
	}()
}
