// Package calls is the table of calls of a personality whose programs make system calls
// by number: dispatch, the support table and the tracer come from it. P is the
// personality.
package calls

import (
	"fmt"

	"hythe/abi"
	"hythe/server/unix/core"
)

// Level says how far a call is served.
type Level uint8

const (
	// Full: everything that a program can see, as the system does it.
	Full Level = iota
	// Partial: the Note says what is missing.
	Partial
	// Refused: answered with the error that the Note names, on purpose.
	Refused
	// None: not served; the Note says why.
	None
)

func (l Level) String() string { return [...]string{"full", "partial", "refused", "none"}[l] }

// Func serves one call: arguments are in c.Args, the lock is held. The personality says
// how a result or an error goes to the guest. A function that has set c.Flags
// (abi.ReplyKeepRegs) has arranged the registers itself.
type Func[P any] func(p *P, c *core.Call) (uint64, abi.Errno)

// Entry is one system call.
type Entry[P any] struct {
	Nr   uint16
	Name string
	// Fn is nil for what is not served (None), and for what only the library serves:
	// what that passes on makes no sense (EINVAL).
	Fn    Func[P]
	Level Level
	// Pre are the arguments that the library copies in beforehand.
	Pre []abi.Pre
	// Local is what the library serves itself (abi.Local...); Fn then serves what it
	// could not.
	Local uint8
	// LocalArg is the task word of abi.LocalWord, the word of abi.LocalTold.
	LocalArg uint8
	// Named is CallDesc.Name.
	Named uint16
	// Digits are for abi.LocalClocks and abi.LocalAdvice: the host's number for each
	// of the system's, in order.
	Digits []uint8
	// FS: the thread pointer is needed; Robust: the head of the thread's robust list.
	FS, Robust bool
	// Sig is how the personality's tracer prints the arguments, a letter each.
	Sig  string
	Note string
}

// Table has the calls of a personality by their numbers.
type Table[P any] [abi.CallTableSize]*Entry[P]

// New makes the table of the calls of a system.
func New[P any](system string, parts ...[]Entry[P]) *Table[P] {
	t := new(Table[P])
	for _, part := range parts {
		for i := range part {
			e := &part[i]
			if t[e.Nr] != nil {
				panic(fmt.Sprintf("%s: call %d is declared twice: %s, %s", system, e.Nr, t[e.Nr].Name, e.Name))
			}
			t[e.Nr] = e
		}
	}
	return t
}

// Entry answers the entry of a number, nil for one that the system does not have.
func (t *Table[P]) Entry(nr uint64) *Entry[P] {
	if nr >= abi.CallTableSize {
		return nil
	}
	return t[nr]
}

// Call serves a call by its entry; false: it is not served.
func (t *Table[P]) Call(p *P, c *core.Call) bool {
	e := t.Entry(c.Nr)
	switch {
	case e == nil || e.Level == None:
		return false
	case e.Fn == nil:
		c.Fail(abi.EINVAL)
		return true
	}
	c.Local = e.Local
	v, err := e.Fn(p, c)
	if err == 0 && c.OutFault() {
		err = abi.EFAULT
	}
	if c.WantName && (e.Local == abi.LocalName || e.Local == abi.LocalStatAt) {
		c.KeepName(v, err)
	} else if c.WantName && e.Local == abi.LocalOpen {
		c.KeepMissing(err)
	}
	c.KeepNear()
	if c.WantNear && named(e.Local) {
		t.foresee(p, c, e, err)
	}
	if l := e.Local; (l == abi.LocalName || l == abi.LocalStatAt || l == abi.LocalOpen) && e.Pre != nil && e.Pre[0].Arg == 1 {
		c.TellDir(int32(c.Args[0]))
	}
	if err != 0 {
		c.Fail(err)
	} else {
		c.Ret(v)
	}
	return true
}

// named says whether the library keeps answers about the name that a call has.
func named(local uint8) bool {
	return local == abi.LocalName || local == abi.LocalStatAt || local == abi.LocalOpen
}

// foresee has answers about other names come along.
func (t *Table[P]) foresee(p *P, c *core.Call, e *Entry[P], err abi.Errno) {
	switch err {
	case 0, abi.ENOENT, abi.ENOTDIR, abi.EINVAL:
	default:
		return
	}
	arg := int(e.Pre[0].Arg)
	path, bad := c.PathArg(arg)
	if bad != 0 || path == "" || len(path) >= abi.NameMax || arg == 1 && path[0] != '/' && int32(c.Args[0]) != core.AtCwd {
		return
	}
	c.Foresee(core.Wish{Nr: c.Nr, A: argument(c, e.Named>>4), B: argument(c, e.Named>>8), Path: path}, func(s *core.Call, w *core.Wish) (uint64, abi.Errno) {
		x := t.Entry(w.Nr)
		if x == nil || x.Fn == nil || !named(x.Local) {
			return 0, abi.EAGAIN
		}
		arg := int(x.Pre[0].Arg)
		s.PathAt(arg)
		if arg == 1 {
			at := core.AtCwd
			s.Args[0] = uint64(uint32(at))
		}
		if i := x.Named >> 4 & 15; i != 0 {
			s.Args[i-1] = w.A
		}
		if i := x.Named >> 8 & 15; i != 0 {
			s.Args[i-1] = w.B
		}
		s.Local = x.Local
		v, err := x.Fn(p, s)
		if x.Local == abi.LocalOpen && !s.Missing(err) {
			err = abi.EAGAIN
		}
		return v, err
	})
}

// argument is one on which an answer about a name depends, as the library knows it: 0 if there is none.
func argument(c *core.Call, nibble uint16) uint64 {
	if nibble &= 15; nibble != 0 {
		return c.Args[nibble-1]
	}
	return 0
}

// alone says whether the library serves a call without the host.
func alone(local uint8) bool {
	switch local {
	case abi.LocalWord, abi.LocalTid, abi.LocalTold, abi.LocalRead, abi.LocalPread, abi.LocalSeek, abi.LocalStat, abi.LocalStatAt, abi.LocalWrite, abi.LocalPwrite,
		abi.LocalSetTid, abi.LocalSetRobust, abi.LocalRandom, abi.LocalNosys, abi.LocalLimit, abi.LocalName, abi.LocalEpoll, abi.LocalEpollMask,
		abi.LocalRecv, abi.LocalSend, abi.LocalWritev, abi.LocalSigMask, abi.LocalSigAction, abi.LocalIoctl, abi.LocalFcntl, abi.LocalEpollCtl, abi.LocalClose, abi.LocalOpen, abi.LocalExit:
		return true
	}
	return false
}

// sleeps says whether what the library serves is a sleep.
func sleeps(local uint8) bool { return local == abi.LocalNanosleep || local == abi.LocalClockSleep }

// Descriptors is what the library is told of the calls (core.Personality).
func (t *Table[P]) Descriptors(traced bool) []abi.CallDesc {
	d := make([]abi.CallDesc, abi.CallTableSize)
	for nr, e := range t {
		if e == nil {
			continue
		}
		if !traced || !alone(e.Local) && !sleeps(e.Local) { // the server can say it too, and then sees it
			d[nr].Local = e.Local
		}
		d[nr].Name = e.Named
		if e.FS {
			d[nr].Flags |= abi.CallFS
		}
		if e.Robust {
			d[nr].Flags |= abi.CallRobust
		}
		copy(d[nr].Pre[:], e.Pre)
		switch e.Local {
		case abi.LocalWord, abi.LocalTold:
			d[nr].Pre[0].Arg = e.LocalArg
		case abi.LocalClocks, abi.LocalAdvice:
			for i := range uint64(abi.Digits) {
				v := uint8(abi.NoDigit)
				if i < uint64(len(e.Digits)) {
					v = e.Digits[i]
				}
				d[nr].SetDigit(i, v)
			}
		}
	}
	return d
}

// Name is the name of a call, and whether it is served (core.Personality).
func (t *Table[P]) Name(nr uint64) (name string, served bool) {
	if e := t.Entry(nr); e != nil {
		return e.Name, e.Level != None
	}
	if nr >= abi.CallTableSize {
		return "others", false
	}
	return fmt.Sprintf("syscall_%d", nr), false
}

// Row is a row of the support table.
type Row struct {
	Nr    int    `json:"nr"`
	Name  string `json:"name"`
	Level string `json:"level"`
	Where string `json:"where,omitempty"` // who serves it
	Note  string `json:"note,omitempty"`
}

// Rows is the support table, in the order of numbers.
func (t *Table[P]) Rows() []Row {
	var rows []Row
	for nr, e := range t {
		if e != nil {
			rows = append(rows, Row{nr, e.Name, e.Level.String(), e.where(), e.Note})
		}
	}
	return rows
}

// where says who serves the call.
func (e *Entry[P]) where() string {
	var w string
	switch {
	case e.Local == abi.LocalNone:
		if e.Level == None {
			return ""
		}
		return "unix server"
	case alone(e.Local):
		w = "library"
	default:
		w = "library, by the host's call"
	}
	if e.Fn != nil {
		w += "; else unix server"
	}
	return w
}
