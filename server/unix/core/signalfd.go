package core

import (
	"hythe/abi"
	"hythe/store"
)

// NewSignalFD makes a descriptor that reads the signals of mask (kept in
// File.Aux2) that are pending for whoever reads.
func (c *Call) NewSignalFD(mask SigSet, flags uint32) (int32, abi.Errno) {
	f, file, e := c.K.NewFile(FileSignal, AccessRead|AccessWrite, flags&OpenNonblock)
	if e != 0 {
		return -1, e
	}
	file.Aux2 = uint64(mask &^ setKillStop)
	file.Obj = uint32(c.ProcRef())
	fd, e := c.InstallFD(f, 0, cloexec(flags))
	if e != 0 {
		c.K.Files.Free(f)
	}
	return fd, e
}

// SetSignalFD changes the mask of descriptor fd. EBADF, EINVAL.
func (c *Call) SetSignalFD(fd int32, mask SigSet) abi.Errno {
	f, file, e := c.File(fd)
	if e != 0 {
		return e
	}
	if file.Kind != FileSignal {
		return abi.EINVAL
	}
	c.K.Files.Mut(f).Aux2 = uint64(mask &^ setKillStop)
	c.K.SignalQueue(c.ProcRef()).Wake(^uint32(0))
	return 0
}

// signalInfoSize is the size of struct signalfd_siginfo
// (include/uapi/linux/signalfd.h).
const signalInfoSize = 128

func putSignalInfo(b []byte, s *SigInfo) {
	clear(b[:signalInfoSize])
	putLE32(b[0:], uint32(s.Sig))
	putLE32(b[4:], uint32(s.Errno))
	putLE32(b[8:], uint32(s.Code))
	putLE32(b[12:], uint32(s.Pid))
	putLE32(b[16:], s.UID)
	putLE32(b[20:], uint32(s.Fd))
	putLE32(b[24:], uint32(s.Timer))
	putLE32(b[28:], uint32(s.Band))
	putLE32(b[32:], uint32(s.Overrun))
	putLE32(b[36:], uint32(s.TrapNo))
	putLE32(b[40:], uint32(s.Status))
	putLE32(b[44:], uint32(s.Value))
	putLE64(b[48:], s.Value)
	putLE64(b[56:], uint64(s.UTime))
	putLE64(b[64:], uint64(s.STime))
	putLE64(b[72:], s.Addr)
}

type signalfdOps struct{ stillOps }

func (o signalfdOps) Read(c *Call, f store.Ref[File], buf []byte, off int64) (int, abi.Errno) {
	k := o.K
	if off >= 0 {
		return 0, abi.ESPIPE
	}
	if len(buf) < signalInfoSize {
		return 0, abi.EINVAL
	}
	for {
		n := 0
		var all []SigInfo
		var own []bool // they were the thread's, not the process's
		var sizes []int
		for len(buf)-n >= signalInfoSize {
			set := SigSet(k.Files.Get(f).Aux2)
			mine := c.Thread().Pending&set&^setKillStop != 0
			info, ok := c.TakeSignal(set)
			if !ok {
				break
			}
			putSignalInfo(buf[n:], &info)
			n += signalInfoSize
			all, own, sizes = append(all, info), append(own, mine), append(sizes, signalInfoSize)
		}
		if n > 0 {
			c.took = taken{sizes: sizes, again: func(c *Call, i int) {
				for ; i < len(all); i++ {
					t := c.T
					if !own[i] {
						t = 0
					}
					c.K.send(c.ProcRef(), t, &all[i], 0)
				}
			}}
			return n, 0
		}
		if k.nonblock(f) {
			return 0, abi.EAGAIN
		}
		if e := c.Sleep(NoDeadline, k.SignalQueue(c.ProcRef())); e != 0 {
			return 0, e
		}
	}
}

// owner is whose signals a look at f means: the poller's, or the maker's.
func (o signalfdOps) owner(f store.Ref[File]) store.Ref[Proc] {
	if p := o.K.io.poller; p != 0 {
		return p
	}
	return store.Ref[Proc](o.K.Files.Get(f).Obj)
}

func (o signalfdOps) Poll(f store.Ref[File]) uint32 {
	p := o.owner(f)
	r := o.K.Procs.Get(p)
	if r == nil {
		return 0
	}
	set := r.Pending
	for _, t := range o.K.procRT(p).threads {
		set |= o.K.Threads.Get(t).Pending
	}
	if set&SigSet(o.K.Files.Get(f).Aux2) != 0 {
		return PollIn | PollRdNorm
	}
	return 0
}

func (o signalfdOps) Queue(f store.Ref[File]) *WaitQueue { return o.K.SignalQueue(o.owner(f)) }

func (o signalfdOps) LinkName(store.Ref[File]) string { return "anon_inode:[signalfd]" }
