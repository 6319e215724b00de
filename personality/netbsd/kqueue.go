package netbsd

import (
	"hythe/personality/bsd"
	"hythe/server/unix/core"
)

// kevents is struct kevent (sys/event.h): ident 0, filter 8, flags 12, fflags 16 (32 bits
// each), data 24, udata 32.
var kevents = bsd.KeventLayout{Size: 40, Get: getKevent, Put: putKevent}

// filters are the filters of the system that the core has (sys/event.h): EVFILT_READ,
// EVFILT_WRITE, EVFILT_TIMER, EVFILT_USER.
var filters = []struct{ native, core uint32 }{{0, core.KqRead}, {1, core.KqWrite}, {6, core.KqTimer}, {8, core.KqUser}}

func getKevent(b []byte) (core.Kevent, bool) {
	ev := core.Kevent{Ident: le.Uint64(b), Flags: le.Uint32(b[12:]), FFlags: le.Uint32(b[16:]),
		Data: int64(le.Uint64(b[24:])), UData: le.Uint64(b[32:])}
	for _, f := range filters {
		if le.Uint32(b[8:]) == f.native {
			ev.Filter = f.core
		}
	}
	if ev.Filter == core.KqTimer {
		// NOTE_MSECONDS 0, NOTE_SECONDS 1, NOTE_USECONDS 2, NOTE_NSECONDS 3,
		// NOTE_ABSTIME 0x10.
		abs := ev.FFlags & 0x10
		if ev.FFlags&^0x13 != 0 {
			return ev, false
		}
		ev.FFlags = []uint32{core.KqTimerMsec, core.KqTimerSec, core.KqTimerUsec, core.KqTimerNsec}[ev.FFlags&3] | abs
	}
	return ev, ev.Filter != 0
}

func putKevent(b []byte, ev *core.Kevent) {
	le.PutUint64(b, ev.Ident)
	fflags := ev.FFlags
	for _, f := range filters {
		if ev.Filter == f.core {
			le.PutUint32(b[8:], f.native)
		}
	}
	if ev.Filter == core.KqTimer {
		fflags &= core.KqTimerAbs
		for i, u := range []uint32{core.KqTimerMsec, core.KqTimerSec, core.KqTimerUsec, core.KqTimerNsec} {
			if ev.FFlags&u != 0 {
				fflags |= uint32(i)
			}
		}
	}
	le.PutUint32(b[12:], ev.Flags)
	le.PutUint32(b[16:], fflags)
	le.PutUint32(b[20:], 0)
	le.PutUint64(b[24:], uint64(ev.Data))
	le.PutUint64(b[32:], ev.UData)
}
