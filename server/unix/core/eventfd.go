package core

import (
	"hythe/abi"
	"hythe/store"
)

// EventFD is an event counter (eventfd(2)).
type EventFD struct {
	Count     uint64
	Semaphore uint32
}

const eventMax = ^uint64(0) - 1

// NewEventFD makes an event counter and a descriptor for it; flags
// OpenNonblock, OpenCloexec.
func (c *Call) NewEventFD(count uint64, semaphore bool, flags uint32) (int32, abi.Errno) {
	r, v := c.K.Events.New()
	if r == 0 {
		return -1, abi.ENFILE
	}
	v.Count = count
	if semaphore {
		v.Semaphore = 1
	}
	fd, e := c.fileOf(FileEvent, AccessRead|AccessWrite, flags&OpenNonblock, uint32(r), cloexec(flags))
	if e != 0 {
		c.K.Events.Free(r)
	}
	return fd, e
}

// cloexec turns OpenCloexec into FDCloexec.
func cloexec(flags uint32) uint32 {
	if flags&OpenCloexec != 0 {
		return FDCloexec
	}
	return 0
}

type eventOps struct{ stillOps }

func (o eventOps) ref(f store.Ref[File]) store.Ref[EventFD] {
	return store.Ref[EventFD](o.K.Files.Get(f).Obj)
}

func (o eventOps) Read(c *Call, f store.Ref[File], buf []byte, off int64) (int, abi.Errno) {
	if off >= 0 {
		return 0, abi.ESPIPE
	}
	if len(buf) < 8 {
		return 0, abi.EINVAL
	}
	r := o.ref(f)
	q := o.K.io.events.at(r)
	for {
		if o.K.Events.Get(r).Count > 0 {
			v := o.K.Events.Mut(r)
			n := v.Count
			if v.Semaphore != 0 {
				n = 1
			}
			v.Count -= n
			putLE64(buf, n)
			q.Wake(PollOut | PollWrNorm)
			return 8, 0
		}
		if o.K.nonblock(f) {
			return 0, abi.EAGAIN
		}
		if e := c.Sleep(NoDeadline, q); e != 0 {
			return 0, e
		}
	}
}

func (o eventOps) Write(c *Call, f store.Ref[File], data []byte, off int64) (int, abi.Errno) {
	if off >= 0 {
		return 0, abi.ESPIPE
	}
	if len(data) < 8 {
		return 0, abi.EINVAL
	}
	n := le64(data)
	if n == ^uint64(0) {
		return 0, abi.EINVAL
	}
	r := o.ref(f)
	q := o.K.io.events.at(r)
	for {
		if o.K.Events.Get(r).Count <= eventMax-n {
			o.K.Events.Mut(r).Count += n
			q.Wake(PollIn | PollRdNorm)
			return 8, 0
		}
		if o.K.nonblock(f) {
			return 0, abi.EAGAIN
		}
		if e := c.Sleep(NoDeadline, q); e != 0 {
			return 0, e
		}
	}
}

func (o eventOps) Poll(f store.Ref[File]) uint32 {
	var m uint32
	v := o.K.Events.Get(o.ref(f))
	if v.Count > 0 {
		m |= PollIn | PollRdNorm
	}
	if v.Count < eventMax {
		m |= PollOut | PollWrNorm
	}
	return m
}

func (o eventOps) Queue(f store.Ref[File]) *WaitQueue { return o.K.io.events.at(o.ref(f)) }

func (o eventOps) Release(c *Call, f store.Ref[File]) {
	r := o.ref(f)
	o.K.io.events.drop(r)
	o.K.Events.Free(r)
}

func (o eventOps) LinkName(store.Ref[File]) string { return "anon_inode:[eventfd]" }
