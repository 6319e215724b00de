package emul

import (
	"sync/atomic"
	"unsafe"

	"hythe/abi"
)

// What programs ask of a file that they have just opened (docs/lending.md, Files that are opened). Its
// offset is lent to the task, so it is a regular file that nobody else has.

// regular answers the record of a descriptor by which the offset of a file is lent, and what
// the record's Pos was; nil: of none.
func (t *Thread) regular(fd uintptr) (l *abi.Lent, pos uint64) {
	l = t.lent(fd)
	if l == nil {
		return nil, 0
	}
	pos = atomic.LoadUint64(&l.Pos)
	if pos&abi.LentPos == 0 || lentKind(pos) != abi.LentIsOffset {
		return nil, 0
	}
	return l, pos
}

// toldOpen answers what the server has told of a descriptor (abi.BindHeader.Open).
func (t *Thread) toldOpen(fd uintptr) uint64 {
	if fd >= abi.LentFiles {
		return 0
	}
	return atomic.LoadUint64((*uint64)(unsafe.Add(unsafe.Pointer(&t.area().Open), fd*8)))
}

// ioctlLent serves ioctl(2) that asks whether a file is a terminal.
func (t *Thread) ioctlLent(fd, req uintptr) (uintptr, bool) {
	l, _ := t.regular(fd)
	return errno(eNOTTY), l != nil && uint32(req) == tcgets
}

// fcntlLent serves F_GETFL, and F_SETFL that leaves all flags but O_NONBLOCK as they are.
func (t *Thread) fcntlLent(fd, cmd, arg uintptr) (uintptr, bool) {
	l, pos := t.regular(fd)
	if l == nil || uint32(cmd) != fGetfl && uint32(cmd) != fSetfl {
		return 0, false
	}
	told := t.toldOpen(fd)
	if told&abi.LentOpen == 0 || told>>abi.LentOpenNo&(abi.LentCounts-1) != pos&^abi.LentPos>>abi.LentShift {
		return 0, false // of another file, or when it had other flags
	}
	flags := uintptr(uint32(told))
	if uint32(cmd) == fGetfl {
		if pos&abi.LentNonblock != 0 {
			flags |= oNonblock
		}
		return flags, atomic.LoadUint64(&l.Pos) == pos
	}
	if (arg^flags)&(oSettable&^oNonblock) != 0 {
		return 0, false
	}
	to := pos &^ abi.LentNonblock
	if arg&oNonblock != 0 {
		to |= abi.LentNonblock
	}
	return 0, atomic.CompareAndSwapUint64(&l.Pos, pos, to)
}

// epollCtlLent serves epoll_ctl(2) that adds a regular file, which is never waited for, to an
// epoll set that is known to be open.
func (t *Thread) epollCtlLent(set, op, fd, event uintptr) (uintptr, bool) {
	if r, ok := t.ctlSet(set, op, fd, event); ok {
		return r, true
	}
	if uint32(op) != epollCtlAdd || t.toldOpen(set)&abi.LentOpen == 0 {
		return 0, false
	}
	if l, _ := t.regular(fd); l == nil || t.copyIn(uintptr(unsafe.Pointer(&t.Scratch)), event, epollEvtSize) != 0 {
		return 0, false
	}
	return errno(ePERM), true
}
