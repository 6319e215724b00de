package core

import (
	"hythe/abi"
	"hythe/store"
)

// Debuggers (docs/decisions/0008): a thread that has met an exception waits for
// what the exception port of its process says.

// Exception is what a debugger is told. What is one of idl/debug's kinds.
type Exception struct {
	What      uint32
	Pid, Tid  int32
	Sig, Code int32
	Addr      uint64
	TrapNo    uint64
	Err       uint64
	Regs      abi.Regs
	Seq       uint64
}

// Kinds of exception; idl/debug has the same.
const (
	ExceptionFault = 1
	ExceptionStop  = 2
	ExceptionExec  = 3
)

// DebugAtExec is a flag of SetDebugger.
const DebugAtExec = 1

// ProcID names a process for good: its number may have another owner later. UID is
// whose it was, AnyUID if its debugger may debug whatever it becomes.
type ProcID struct {
	Ref   store.Ref[Proc]
	Start int64
	UID   uint32
}

// AnyUID: see ProcID.
const AnyUID = ^uint32(0)

// OpenProcess serves abi.GuestTask: the caller gets a right to the port that stands for
// the process with this number. EPERM: it may not look into it.
func (c *Call) OpenProcess(pid int32) (uint64, abi.Errno) {
	k := c.K
	p := k.ProcByPid(pid)
	if p == 0 || k.Procs.Get(p).State != ProcLive {
		return 0, abi.ESRCH
	}
	r := k.Procs.Get(p)
	if p == c.ProcRef() || r.Cred == 0 || r.Flags&ProcVfork != 0 {
		return 0, abi.EPERM
	}
	mine, their := c.Cred(), k.Creds.Get(r.Cred)
	id := ProcID{p, r.Start, AnyUID}
	if !k.CapableIn(mine, their.NS, CapSysPtrace) {
		if k.mayTrace(c, p) != 0 || r.Dumpable != 1 {
			return 0, abi.EPERM
		}
		id.UID = their.UID
	}
	return k.Host.OpenProcess(c.Task, id)
}

// Debugged answers the task of a process that a debugger has a right to. ESRCH: it is
// gone; EPERM: it is somebody else's by now.
func (k *Kernel) Debugged(id ProcID) (TaskID, abi.Errno) {
	r := k.Procs.Get(id.Ref)
	if r == nil || r.State != ProcLive || r.Start != id.Start || r.Task == 0 {
		return 0, abi.ESRCH
	}
	if id.UID != AnyUID {
		cr := k.Creds.Get(r.Cred)
		if r.Dumpable != 1 || cr == nil || cr.UID != id.UID || cr.EUID != id.UID || cr.SUID != id.UID {
			return 0, abi.EPERM
		}
	}
	if r.Flags&ProcVfork != 0 {
		return 0, abi.EPERM // the memory is its parent's
	}
	return r.Task, 0
}

// SetDebugger makes port, a right of the server's, the exception port of a process; 0
// takes it away. It answers the port that is not used any more, 0 for none.
func (k *Kernel) SetDebugger(id ProcID, port, flags uint32) (old uint32, err abi.Errno) {
	if _, e := k.Debugged(id); e != 0 {
		return 0, e
	}
	m := k.Procs.Mut(id.Ref)
	if m.Debugger != 0 && port != 0 && m.Debugger != port {
		return 0, abi.EBUSY
	}
	old = m.Debugger
	m.Debugger, m.DebugFlags, m.DebugUID = port, flags, id.UID
	return old, 0
}

// StopDebugged has each thread of a process send an exception.
func (k *Kernel) StopDebugged(id ProcID) abi.Errno {
	if _, e := k.Debugged(id); e != 0 {
		return e
	}
	for _, t := range k.procRT(id.Ref).threads {
		k.Threads.Mut(t).DebugStop = ExceptionStop
		k.poke(t)
	}
	return 0
}

// DebuggerDied forgets an exception port; false if it was none.
func (k *Kernel) DebuggerDied(port uint32) (was bool) {
	k.Procs.Each(func(p store.Ref[Proc], r *Proc) bool {
		if r.Debugger == port {
			k.Procs.Mut(p).Debugger = 0
			was = true
		}
		return true
	})
	return was
}

// noIP is no address of any program. A thread that executes begins there if its
// debugger is to be told: its memory is complete then and the call over, so that a next
// incarnation, which would make the memory anew, has only the fault to repeat.
const noIP = 1 << 62

// holdExec has the caller's new program fault before its first instruction.
func (c *Call) holdExec() {
	r := c.UserRegs()
	c.MutThread().DebugIP = r.IP
	r.IP = noIP
	c.SetRegs(&r, c.regsFS)
}

// execFault tells the debugger of an exec, if this is what the fault is for.
func (c *Call) execFault() bool {
	ip := c.Thread().DebugIP
	if ip == 0 || c.Regs.IP != noIP {
		return false
	}
	c.Regs.IP, c.Regs.TrapNo, c.Regs.Err = ip, 0, 0
	if !c.K.exception(c, ExceptionExec, &SigInfo{Sig: SIGTRAP}) {
		c.SetRegs(&c.Regs, false)
	}
	c.MutThread().DebugIP = 0
	return true
}

// exception tells the debugger of the caller's process, if it has one, and waits for
// the answer; false: nobody took it.
func (k *Kernel) exception(c *Call, what uint32, info *SigInfo) bool {
	p := c.ProcRef()
	r := k.Procs.Get(p)
	if r.Debugger == 0 {
		return false
	}
	if _, e := k.Debugged(ProcID{p, r.Start, r.DebugUID}); e != 0 {
		return false
	}
	x := Exception{What: what, Pid: r.Pid, Tid: c.Thread().Tid, Sig: info.Sig, Code: info.Code, Addr: info.Addr,
		Regs: c.UserRegs(), Seq: c.Seq}
	x.TrapNo, x.Err = x.Regs.TrapNo, x.Regs.Err
	var q WaitQueue
	done, taken := false, false
	var regs abi.Regs
	k.Host.Raise(r.Debugger, x, func(a abi.Regs, ok bool) {
		k.Enter()
		done, taken, regs = true, ok, a
		q.Wake(^uint32(0))
		k.Leave()
	})
	rt := k.threadRT(c.T)
	for !done && !rt.gone && k.Procs.Get(p).Exiting == 0 {
		c.waitOn(&q)
	}
	if done && taken {
		regs.FSBase, regs.CsGsFs = x.Regs.FSBase, x.Regs.CsGsFs
		c.SetRegs(&regs, c.regsFS)
	}
	return !done || taken
}
