package bsd

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/server/unix/core"
)

// Requests of ioctl(2) that the systems share (sys/filio.h, sys/ttycom.h), and the core's
// numbers, which are Linux's, for those whose argument is the same.
const (
	fioclex    = 0x20006601
	fionclex   = 0x20006602
	fionread   = 0x4004667f
	fionbio    = 0x8004667e
	fioasync   = 0x8004667d
	tiocsctty  = 0x20007461
	tiocnotty  = 0x20007471
	tiocgpgrp  = 0x40047477
	tiocspgrp  = 0x80047476
	tiocgsid   = 0x40047463
	tiocgwinsz = 0x40087468
	tiocswinsz = 0x80087467
	tiocgeta   = 0x402c7413
	tiocseta   = 0x802c7414
	tiocsetaw  = 0x802c7415
	tiocsetaf  = 0x802c7416
)

func terminalRequest(req uint32) (uint32, bool) {
	switch req {
	case fionread:
		return 0x541b, true
	case tiocsctty:
		return 0x540e, true
	case tiocnotty:
		return 0x5422, true
	case tiocgpgrp:
		return 0x540f, true
	case tiocspgrp:
		return 0x5410, true
	case tiocgsid:
		return 0x5429, true
	case tiocgwinsz:
		return 0x5413, true
	case tiocswinsz:
		return 0x5414, true
	}
	return 0, false
}

// Ioctl serves ioctl(2).
func Ioctl(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	fd, req, arg := int32(c.Args[0]), uint32(c.Args[1]), c.Args[2]
	f, file, e := c.File(fd)
	if e != 0 {
		return 0, e
	}
	if file.Kind == core.FilePath {
		return 0, abi.EBADF
	}
	switch req {
	case fioclex:
		return 0, c.K.SetFDFlags(c.Proc().FDs, fd, core.FDCloexec)
	case fionclex:
		return 0, c.K.SetFDFlags(c.Proc().FDs, fd, 0)
	case fionbio, fioasync:
		b, e := c.CopyIn(arg, 4)
		if e != 0 {
			return 0, e
		}
		on := binary.LittleEndian.Uint32(b) != 0
		if f, file, e = c.File(fd); e != 0 {
			return 0, e
		}
		if req == fioasync {
			return 0, c.SetAsync(f, fd, on)
		}
		flags := file.Flags &^ core.OpenNonblock
		if on {
			flags |= core.OpenNonblock
		}
		return 0, c.SetFlags(f, fd, flags)
	case tiocgeta:
		t, e := c.Termios(f)
		if e != 0 {
			return 0, e
		}
		var b [termiosSize]byte
		putTermios(b[:], &t)
		c.CopyOut(arg, b[:])
		return 0, 0
	case tiocseta, tiocsetaw, tiocsetaf:
		if _, e := c.Termios(f); e != 0 {
			return 0, e
		}
		b, e := c.CopyIn(arg, termiosSize)
		if e != 0 {
			return 0, e
		}
		if f, _, e = c.File(fd); e != 0 {
			return 0, e
		}
		t, e := c.Termios(f)
		if e != 0 {
			return 0, e
		}
		getTermios(b, &t)
		return 0, c.SetTermios(f, t, req != tiocseta, req == tiocsetaf)
	}
	if n, ok := terminalRequest(req); ok {
		if req == tiocsctty {
			arg = 0
		}
		return c.K.Ops(f).Ioctl(c, f, n, arg)
	}
	return 0, abi.ENOTTY
}
