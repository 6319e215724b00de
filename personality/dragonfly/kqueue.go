package dragonfly

import (
	"hythe/personality/bsd"
	"hythe/server/unix/core"
)

// kevents is struct kevent (sys/event.h): ident 0, filter 8 (16 bits), flags 10 (16 bits),
// fflags 12, data 16, udata 24.
var kevents = bsd.KeventLayout{Size: 32, Get: getKevent, Put: putKevent}

// Filters of the system that the core has (sys/event.h).
const (
	evRead  = -1
	evWrite = -2
	evTimer = -7
	evUser  = -9
)

func getKevent(b []byte) (core.Kevent, bool) {
	ev := core.Kevent{Ident: le.Uint64(b), Flags: uint32(le.Uint16(b[10:])), FFlags: le.Uint32(b[12:]),
		Data: int64(le.Uint64(b[16:])), UData: le.Uint64(b[24:])}
	switch int16(le.Uint16(b[8:])) {
	case evRead:
		ev.Filter = core.KqRead
	case evWrite:
		ev.Filter = core.KqWrite
	case evTimer:
		ev.Filter = core.KqTimer
	case evUser:
		ev.Filter = core.KqUser
	default:
		return ev, false
	}
	return ev, true
}

func putKevent(b []byte, ev *core.Kevent) {
	le.PutUint64(b, ev.Ident)
	switch ev.Filter {
	case core.KqRead:
		putFilter(b, evRead)
	case core.KqWrite:
		putFilter(b, evWrite)
	case core.KqTimer:
		putFilter(b, evTimer)
	case core.KqUser:
		putFilter(b, evUser)
	}
	le.PutUint16(b[10:], uint16(ev.Flags))
	le.PutUint32(b[12:], ev.FFlags)
	le.PutUint64(b[16:], uint64(ev.Data))
	le.PutUint64(b[24:], ev.UData)
}

// putFilter stores a filter's number; of one that the core does not have the number that
// is there stays.
func putFilter(b []byte, n int16) { le.PutUint16(b[8:], uint16(n)) }
