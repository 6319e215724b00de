package core

import (
	"hythe/abi"
	"hythe/store"
)

// PollFD is one entry of Poll; Events and Revents are Poll... bits.
type PollFD struct {
	FD              int32
	Events, Revents uint32
	// Exact leaves out PollErr and PollHup unless Events has them (select).
	Exact bool
}

// PollFile answers which of Poll... bits hold for an open file now.
func (k *Kernel) PollFile(f store.Ref[File]) uint32 { return k.Ops(f).Poll(f) }

// Poll waits until one of fds is ready, the monotonic time deadline passes, or
// a signal comes (abi.ErrRestartNoHnd). It answers how many have Revents; a
// negative FD is skipped, one that is not open has PollNval. A deadline that
// has passed asks only once.
func (c *Call) Poll(fds []PollFD, deadline int64) (int, abi.Errno) {
	k := c.K
	var qbuf [8]*WaitQueue
	for {
		n := 0
		queues := qbuf[:0]
		tab := c.Proc().FDs
		k.io.poller = c.ProcRef()
		for i := range fds {
			p := &fds[i]
			p.Revents = 0
			if p.FD < 0 {
				continue
			}
			f, _, e := k.FDAt(tab, p.FD)
			if e != 0 {
				p.Revents = PollNval
				n++
				continue
			}
			ops := k.Ops(f)
			want := p.Events | PollErr | PollHup
			if p.Exact {
				want = p.Events
			}
			p.Revents = ops.Poll(f) & want
			if p.Revents != 0 {
				n++
			} else if n == 0 {
				if q := ops.Queue(f); q != nil {
					queues = append(queues, q)
				}
			}
		}
		k.io.poller = 0
		if n > 0 || deadline <= 0 {
			return n, 0
		}
		switch e := c.Sleep(deadline, queues...); e {
		case 0:
		case abi.ETIMEDOUT:
			// Once more, so that what came with the last tick counts.
			deadline = 0
		case abi.ErrRestart:
			return 0, abi.ErrRestartNoHnd
		default:
			return 0, e
		}
	}
}
