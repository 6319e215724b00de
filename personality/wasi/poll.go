package wasi

import "hythe/abi"

// Layout of $subscription and $event, and the event types.
const (
	subscriptionSize = 48
	eventSize        = 32

	eventClock = 0
	eventRead  = 1
	eventWrite = 2

	maxSubscriptions = 1 << 16
)

// waitFor is one subscription of poll_oneoff.
type waitFor struct {
	user     uint64
	typ      uint8
	err      Errno // known at once
	clock    uint32
	deadline int64 // on clock
	desc     *desc
	poll     int // index among those the system is asked for
}

// pollOneoff is poll_oneoff(in, out, n, result): it waits until a clock has come to
// where it should or a descriptor is ready, and tells all that are. What is wrong with
// one subscription is told as its event. EINVAL for none at all.
func (p *Process) pollOneoff(a args) Errno {
	n := a.u32(2)
	if n == 0 || n > maxSubscriptions {
		return errInval
	}
	in, ok := p.bytes(a.u32(0), n*subscriptionSize)
	_, ok2 := p.bytes(a.u32(1), n*eventSize)
	_, ok3 := p.bytes(a.u32(3), 4)
	if !ok || !ok2 || !ok3 {
		return errFault
	}
	subs := make([]waitFor, n)
	var files []PollFD
	var start [clockMonotonic + 1]int64
	wrong := false
	for i := range subs {
		b, s := in[i*subscriptionSize:], &subs[i]
		s.user, s.typ = le.Uint64(b), b[8]
		switch s.typ {
		case eventClock:
			s.clock, s.deadline = le.Uint32(b[16:]), int64(min(le.Uint64(b[24:]), 1<<63-1))
			switch {
			case s.clock > clockThread:
				s.err = errInval
			case s.clock > clockMonotonic:
				s.err = errNotSup
			case le.Uint16(b[40:])&1 == 0:
				if start[s.clock] == 0 {
					start[s.clock], _ = p.sys.Clock(s.clock)
				}
				s.deadline = addTime(start[s.clock], s.deadline)
			}
		case eventRead, eventWrite:
			if s.desc, s.err = p.open(le.Uint32(b[16:]), rightPoll); s.err == 0 {
				s.poll = len(files)
				files = append(files, PollFD{FD: s.desc.fd, Read: s.typ == eventRead, Write: s.typ == eventWrite})
			}
		default:
			s.err = errInval
		}
		wrong = wrong || s.err != 0
	}
	for {
		timeout := int64(-1)
		if wrong {
			timeout = 0
		}
		var now [clockMonotonic + 1]int64
		for i := range subs {
			if s := &subs[i]; s.err == 0 && s.typ == eventClock {
				if now[s.clock] == 0 {
					now[s.clock], _ = p.sys.Clock(s.clock)
				}
				if left := max(s.deadline-now[s.clock], 0); timeout < 0 || left < timeout {
					timeout = left
				}
			}
		}
		if _, e := p.sys.Poll(files, timeout); e != 0 && e != abi.EINTR {
			return errno(e)
		}
		if told := p.events(a.u32(1), subs, files); told > 0 {
			return p.put32(a.u32(3), told)
		}
	}
}

// events writes what has happened and answers how many events that are.
func (p *Process) events(addr uint32, subs []waitFor, files []PollFD) uint32 {
	told := uint32(0)
	var now [clockMonotonic + 1]int64
	for i := range subs {
		s := &subs[i]
		err, size, flags := s.err, uint64(0), uint16(0)
		switch {
		case s.err != 0:
		case s.typ == eventClock:
			if now[s.clock] == 0 {
				now[s.clock], _ = p.sys.Clock(s.clock)
			}
			if now[s.clock] < s.deadline {
				continue
			}
		default:
			f := &files[s.poll]
			if !f.Ready && !f.Hangup && !f.Invalid {
				continue
			}
			size = pipeBuf
			if s.typ == eventRead {
				n, _ := p.sys.Readable(f.FD)
				size = uint64(max(n, 0))
			}
			if f.Hangup {
				flags = 1
			}
			if f.Invalid {
				err = errBadf
			}
		}
		b, _ := p.bytes(addr+told*eventSize, eventSize)
		clear(b)
		le.PutUint64(b, s.user)
		le.PutUint16(b[8:], uint16(err))
		b[10] = s.typ
		le.PutUint64(b[16:], size)
		le.PutUint16(b[24:], flags)
		told++
	}
	return told
}

// addTime is a+b, or the end of time.
func addTime(a, b int64) int64 {
	if s := a + b; s >= a {
		return s
	}
	return 1<<63 - 1
}
