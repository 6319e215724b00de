package core

import (
	"hythe/abi"
	"hythe/store"
)

// Whom a wait is for.
const (
	WaitAll   = 0
	WaitPid   = 1
	WaitPgid  = 2
	WaitPidfd = 3
)

// Options of a wait; the numbers are Linux's (linux/wait.h).
const (
	WNoHang    = 1
	WStopped   = 2
	WExited    = 4
	WContinued = 8
	WNoWait    = 0x01000000
	WNoThread  = 0x20000000
	WAllKinds  = 0x40000000
	WClone     = 0x80000000
)

// WaitResult tells about one child. Pid is 0 when WNoHang found nothing.
type WaitResult struct {
	Pid           int32
	UID           uint32
	Code, Value   int32  // si_code and si_status
	Status        uint32 // wait4's status word
	Text          Text   // how it ended, of systems that say it in words
	UTime, STime  int64  // ns, of the child and those it waited for
	Real          int64  // ns since it began
	Comm          string
	Reaped        bool
	StillThereRef store.Ref[Proc]
}

// Wait serves wait4 and waitid. ECHILD when no child can match; ErrRestart.
func (c *Call) Wait(kind int, id int32, opts uint32) (WaitResult, abi.Errno) {
	k := c.K
	for {
		self := c.ProcRef()
		any := false
		var found store.Ref[Proc]
		var what uint32
		for child := range k.procRT(self).children {
			r := k.Procs.Get(child)
			switch kind {
			case WaitPid, WaitPidfd:
				if r.Pid != id {
					continue
				}
			case WaitPgid:
				if r.Pgid != id {
					continue
				}
			}
			if opts&WAllKinds == 0 && (r.ExitSignal != SIGCHLD) != (opts&WClone != 0) {
				continue
			}
			any = true
			var w uint32
			switch {
			case r.State == ProcZombie:
				if opts&WExited != 0 {
					w = WExited
				}
			case r.Stopped != 0 && r.WaitEvents&1 != 0 && opts&WStopped != 0:
				w = WStopped
			case r.WaitEvents&2 != 0 && opts&WContinued != 0:
				w = WContinued
			}
			// Children are kept in no order: take the oldest id, so that a
			// repetition takes the same.
			if w != 0 && (found == 0 || r.Pid < k.Procs.Get(found).Pid) {
				found, what = child, w
			}
		}
		if found != 0 {
			return c.takeChild(found, what, opts&WNoWait != 0), 0
		}
		if !any {
			return WaitResult{}, abi.ECHILD
		}
		if opts&WNoHang != 0 {
			return WaitResult{}, 0
		}
		if e := c.Sleep(NoDeadline, &k.procRT(self).childQ); e != 0 {
			return WaitResult{}, e
		}
	}
}

func (c *Call) takeChild(p store.Ref[Proc], what uint32, keep bool) WaitResult {
	k := c.K
	r := k.Procs.Get(p)
	w := WaitResult{Pid: r.Pid, UID: k.Creds.Get(r.Cred).UID}
	w.UTime, w.STime = r.UTime+r.CUTime, r.STime+r.CSTime
	w.Real, w.Comm = k.Clock.Mono()-r.Start, r.CommName()
	switch what {
	case WExited:
		w.Status, w.Text = r.ExitStatus, r.ExitText
		w.Code, w.Value = DeathCode(r.ExitStatus)
		if !keep {
			m := c.MutProc()
			m.CUTime += w.UTime
			m.CSTime += w.STime
			k.reap(p)
			w.Reaped = true
		}
	case WStopped:
		w.Code, w.Value = CldStopped, int32(r.Stopped)
		w.Status = r.Stopped<<8 | 0x7f
		if !keep {
			k.Procs.Mut(p).WaitEvents &^= 1
		}
	case WContinued:
		w.Code, w.Value = CldContinued, SIGCONT
		w.Status = 0xffff
		if !keep {
			k.Procs.Mut(p).WaitEvents &^= 2
		}
	}
	return w
}

// SetSid serves setsid(2).
func (c *Call) SetSid() (int32, abi.Errno) {
	k := c.K
	p := c.ProcRef()
	pid := c.Proc().Pid
	if k.PgrpExists(pid) {
		return 0, abi.EPERM
	}
	m := k.Procs.Mut(p)
	m.Sid = pid
	m.CTTY = 0
	k.setPgid(p, pid)
	return pid, 0
}

// SetPgid serves setpgid(2): 0 means the caller, and the process's own id.
func (c *Call) SetPgid(pid, pgid int32) abi.Errno {
	k := c.K
	if pid == 0 {
		pid = c.Proc().Pid
	}
	if pgid == 0 {
		pgid = pid
	}
	if pgid < 0 {
		return abi.EINVAL
	}
	p := k.ProcByPid(pid)
	self := c.ProcRef()
	if p == 0 {
		return abi.ESRCH
	}
	r := k.Procs.Get(p)
	if p != self {
		if r.Parent != self {
			return abi.ESRCH
		}
		if r.Sid != c.Proc().Sid {
			return abi.EPERM
		}
		if r.Flags&ProcExeced != 0 {
			return abi.EACCES
		}
	}
	if r.Sid == r.Pid {
		return abi.EPERM
	}
	if pgid != pid && k.PgrpSession(pgid) != c.Proc().Sid {
		return abi.EPERM
	}
	if r.Pgid != pgid {
		k.setPgid(p, pgid)
	}
	return 0
}
