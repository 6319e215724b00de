package bsd

import (
	"encoding/binary"

	"hythe/server/unix/core"
)

// struct termios (sys/_termios.h): four words of flags, 20 control characters, two speeds.
const (
	termiosSize = 44
	ccOff       = 16
	speedOff    = 36
	ccDisabled  = 0xff // _POSIX_VDISABLE; the core's is 0
	speed       = 38400
)

// A flag of a terminal: the system's, and the core's, which is Linux's
// (asm-generic/termbits.h).
type modeBit struct{ native, core uint32 }

var (
	iflags = []modeBit{{0x1, 0x1}, {0x2, 0x2}, {0x4, 0x4}, {0x8, 0x8}, {0x10, 0x10}, {0x20, 0x20}, {0x40, 0x40}, {0x80, 0x80}, {0x100, 0x100},
		{0x200, 0x400}, {0x400, 0x1000}, {0x800, 0x800}, {0x2000, 0x2000}}
	oflags = []modeBit{{0x1, 0x1}, {0x2, 0x4}, {0x4, 0x1800}, {0x10, 0x8}, {0x20, 0x10}, {0x40, 0x20}}
	cflags = []modeBit{{0x100, 0x10}, {0x200, 0x20}, {0x400, 0x40}, {0x800, 0x80}, {0x1000, 0x100}, {0x2000, 0x200}, {0x4000, 0x400}, {0x8000, 0x800}}
	lflags = []modeBit{{0x1, 0x800}, {0x2, 0x10}, {0x4, 0x20}, {0x8, 0x8}, {0x10, 0x40}, {0x20, 0x400}, {0x40, 0x200}, {0x80, 0x1}, {0x100, 0x2},
		{0x400, 0x8000}, {0x800, 0x10000}, {0x400000, 0x100}, {0x800000, 0x1000}, {0x20000000, 0x4000}, {0x80000000, 0x80}}
)

// controls are the core's places of the control characters by the system's (VEOF, VEOL,
// VEOL2, VERASE, VWERASE, VKILL, VREPRINT, VERASE2, VINTR, VQUIT, VSUSP, VDSUSP, VSTART,
// VSTOP, VLNEXT, VDISCARD, VMIN, VTIME, VSTATUS, none); -1: it has none.
var controls = [20]int8{4, 11, 16, 2, 14, 3, 12, -1, 0, 1, 10, -1, 8, 9, 15, 13, 6, 5, -1, -1}

func nativeModes(v uint32, l []modeBit) uint32 {
	var out uint32
	for _, x := range l {
		if v&x.core == x.core {
			out |= x.native
		}
	}
	return out
}

// coreModes turns flags of the system into the core's; those of old that the system does
// not have stay.
func coreModes(v, old uint32, l []modeBit) uint32 {
	for _, x := range l {
		old &^= x.core
		if v&x.native != 0 {
			old |= x.core
		}
	}
	return old
}

func putTermios(b []byte, t *core.Termios) {
	le := binary.LittleEndian
	le.PutUint32(b, nativeModes(t.Iflag, iflags))
	le.PutUint32(b[4:], nativeModes(t.Oflag, oflags))
	le.PutUint32(b[8:], nativeModes(t.Cflag, cflags))
	le.PutUint32(b[12:], nativeModes(t.Lflag, lflags))
	const vmin, vtime = 16, 17
	for i, at := range controls {
		b[ccOff+i] = ccDisabled
		if at >= 0 && (t.CC[at] != 0 || i == vmin || i == vtime) {
			b[ccOff+i] = t.CC[at]
		}
	}
	le.PutUint32(b[speedOff:], speed)
	le.PutUint32(b[speedOff+4:], speed)
}

// getTermios changes t to what b says. Speeds of terminals that are none stay.
func getTermios(b []byte, t *core.Termios) {
	le := binary.LittleEndian
	t.Iflag = coreModes(le.Uint32(b), t.Iflag, iflags)
	t.Oflag = coreModes(le.Uint32(b[4:]), t.Oflag, oflags)
	t.Cflag = coreModes(le.Uint32(b[8:]), t.Cflag, cflags)
	t.Lflag = coreModes(le.Uint32(b[12:]), t.Lflag, lflags)
	const vmin, vtime = 16, 17
	for i, at := range controls {
		if at < 0 {
			continue
		}
		v := b[ccOff+i]
		if v == ccDisabled && i != vmin && i != vtime {
			v = 0
		}
		t.CC[at] = v
	}
}
