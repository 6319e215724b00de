package bsd

import (
	"hythe/abi"
	"hythe/server/unix/core"
)

// KeventLayout is a system's struct kevent: its size and how it is read and written. Get
// answers false for a filter that the core does not have.
type KeventLayout struct {
	Size int
	Get  func(b []byte) (core.Kevent, bool)
	Put  func(b []byte, ev *core.Kevent)
}

// maxEvents is how many events one kevent(2) answers at most; the next one brings the
// others.
const maxEvents = 512

// Kqueue serves kqueue(2); Kqueuex kqueuex(2), whose flag 1 is KQUEUE_CLOEXEC.
func Kqueue(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	fd, e := c.NewKqueue(0)
	return uint64(uint32(fd)), e
}

// Kqueuex serves kqueuex(2).
func Kqueuex(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	if c.Args[0]&^1 != 0 {
		return 0, abi.EINVAL
	}
	var fl uint32
	if c.Args[0] != 0 {
		fl = core.FDCloexec
	}
	fd, e := c.NewKqueue(fl)
	return uint64(uint32(fd)), e
}

// Kqueue1 serves kqueue1(2): flags are those of open(2). A queue does not block.
func Kqueue1(p *Personality, c *core.Call) (uint64, abi.Errno) {
	fl := uint64(uint32(c.Args[0]))
	if fl&^(oNonblock|p.Sys.Open.Cloexec) != 0 {
		return 0, abi.EINVAL
	}
	var fdf uint32
	if fl&p.Sys.Open.Cloexec != 0 {
		fdf = core.FDCloexec
	}
	fd, e := c.NewKqueue(fdf)
	return uint64(uint32(fd)), e
}

// Kevent serves kevent(2): queue, changes and their number, room for events and how many,
// the longest wait (0: for ever).
func Kevent(l *KeventLayout) Func {
	return func(p *Personality, c *core.Call) (uint64, abi.Errno) {
		kq := int32(c.Args[0])
		nch, room := int(int32(c.Args[2])), int(int32(c.Args[4]))
		deadline := core.NoDeadline
		if c.Args[5] != 0 {
			b, e := c.StructArg(5, 16)
			if e != 0 {
				return 0, e
			}
			ns, ok := Timespec(b)
			if !ok {
				return 0, abi.EINVAL
			}
			deadline = 0
			if ns > 0 {
				deadline = Until(c, ns)
			}
		}
		if nch < 0 || room < 0 {
			return 0, abi.EINVAL
		}
		// What the changes did stays when the wait is begun anew.
		if nch > 0 && c.Thread().Progress == 0 {
			told, e := p.changes(c, l, kq, nch, room)
			if e != 0 || told > 0 {
				return uint64(told), e
			}
			c.MutThread().Progress = 1
		}
		evs := make([]core.Kevent, min(room, maxEvents))
		n, e := c.KqueueWait(kq, evs, deadline)
		if e == abi.ErrRestart {
			e = abi.ErrRestartNoHnd
		}
		if e != 0 {
			return 0, e
		}
		b := make([]byte, n*l.Size)
		for i := range n {
			l.Put(b[i*l.Size:], &evs[i])
		}
		c.CopyOut(c.Args[3], b)
		return uint64(n), 0
	}
}

// changes makes all changes and answers how many errors, or receipts that were asked for,
// it has put into the room for events. Without room the first error is the call's.
func (p *Personality) changes(c *core.Call, l *KeventLayout, kq int32, n, room int) (int, abi.Errno) {
	told := 0
	at := c.Args[1]
	for n > 0 && !c.OutFault() {
		m := min(n, 64)
		b, _, ok := c.Prefetched(1)
		if !ok || at != c.Args[1] || len(b) < m*l.Size {
			c.InReset()
			var e abi.Errno
			if b, e = c.CopyIn(at, m*l.Size); e != 0 {
				return told, e
			}
		}
		raw := append([]byte(nil), b[:m*l.Size]...)
		for i := range m {
			ev, ok := l.Get(raw[i*l.Size:])
			e := abi.EINVAL
			if ok {
				e = c.KqueueChange(kq, &ev)
			}
			if e == 0 && ev.Flags&core.KqReceipt == 0 {
				continue
			}
			if told == room {
				if e != 0 {
					return 0, e
				}
				continue
			}
			out := raw[i*l.Size : (i+1)*l.Size]
			ev.Flags, ev.Data = core.KqError, int64(p.Errno(e))
			if e == 0 {
				ev.Data = 0
			}
			l.Put(out, &ev)
			c.CopyOut(c.Args[3]+uint64(told*l.Size), out)
			told++
		}
		at += uint64(m * l.Size)
		n -= m
	}
	return told, 0
}
