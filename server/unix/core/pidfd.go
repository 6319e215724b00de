package core

import (
	"hythe/abi"
	"hythe/store"
)

// pidfdOps are the operations of a process descriptor: File.Obj is the process
// record and Aux its generation, Aux2 its id.
type pidfdOps struct{ BaseOps }

// OpenPidfd makes a descriptor (close on exec) for a process; flags are Open
// bits (OpenNonblock).
func (c *Call) OpenPidfd(p store.Ref[Proc], flags uint32) (int32, abi.Errno) {
	k := c.K
	f, m, e := k.NewFile(FilePidfd, AccessRead|AccessWrite, flags)
	if e != 0 {
		return -1, e
	}
	m.Obj = uint32(p)
	m.Aux = k.Procs.Gen(p)
	m.Aux2 = uint64(k.Procs.Get(p).Pid)
	fd, e := c.InstallFD(f, 0, FDCloexec)
	if e != 0 {
		k.HoldFile(f)
		k.DropFile(c, f)
		return -1, e
	}
	return fd, 0
}

// PidfdProc answers the process of a pidfd: 0 when it was waited for already.
// EBADF when fd is no pidfd.
func (c *Call) PidfdProc(fd int32) (store.Ref[Proc], int32, abi.Errno) {
	_, f, e := c.File(fd)
	if e != 0 {
		return 0, 0, e
	}
	if f.Kind != FilePidfd {
		return 0, 0, abi.EBADF
	}
	return c.K.pidfdProc(f), int32(f.Aux2), 0
}

// SignalFDProc is PidfdProc for pidfd_send_signal, which also takes an open
// directory /proc/PID.
func (c *Call) SignalFDProc(fd int32) (store.Ref[Proc], int32, abi.Errno) {
	_, f, e := c.File(fd)
	if e != 0 {
		return 0, 0, e
	}
	if f.Kind == FileVnode {
		if n := c.K.nodeOf(f.Vnode); n != nil {
			if p, ok := n.m.core.(*ProcFS); ok {
				return p.dirProc(n.id)
			}
		}
	}
	return c.PidfdProc(fd)
}

func (k *Kernel) pidfdProc(f *File) store.Ref[Proc] {
	p := store.Ref[Proc](f.Obj)
	if k.Procs.Get(p) == nil || k.Procs.Gen(p) != f.Aux {
		return 0
	}
	return p
}

func (o pidfdOps) Poll(f store.Ref[File]) uint32 {
	p := o.K.pidfdProc(o.K.Files.Get(f))
	if p == 0 || o.K.Procs.Get(p).State != ProcLive {
		return PollIn | PollRdNorm
	}
	return 0
}

func (o pidfdOps) Queue(f store.Ref[File]) *WaitQueue {
	p := o.K.pidfdProc(o.K.Files.Get(f))
	if p == 0 {
		return nil
	}
	return o.K.DeadQueue(p)
}

func (o pidfdOps) LinkName(store.Ref[File]) string { return "anon_inode:[pidfd]" }
