// Package bsd is what the personalities of 4.4BSD's descendants share: the calls
// that they have in common, over the unix server's core, error and signal numbers,
// and the table that dispatches. What differs between the systems (call numbers,
// layouts, start-up, signal frames, threads) is data and a few functions that each
// system's own package gives (System).
package bsd

import (
	"fmt"
	"sort"

	"hythe/abi"
	"hythe/personality/image"
	"hythe/server/unix/core"
	"hythe/store"
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
)

func (l Level) String() string {
	switch l {
	case Full:
		return "full"
	case Partial:
		return "partial"
	}
	return "refused"
}

// Func serves one call: arguments are in c.Args, the lock is held.
type Func func(p *Personality, c *core.Call) (uint64, abi.Errno)

// Entry is one system call of a system: dispatch, the support table and the tracer
// come from it. Numbers without one answer ENOSYS with SIGSYS.
type Entry struct {
	Nr   uint16
	Name string
	// Fn is nil for what only the library serves: what that passes on makes no
	// sense (EINVAL).
	Fn    Func
	Level Level
	// Pre are the arguments that the library copies in beforehand.
	Pre []abi.Pre
	// Local is what the library serves itself (abi.Local...), LocalArg its word.
	Local    uint8
	LocalArg uint8
	// Digits are for abi.LocalClocks and abi.LocalAdvice: the host's number for each
	// of the system's, in order.
	Digits []uint8
	// FS: the thread pointer is needed.
	FS bool
	// Sig is how the tracer prints the arguments, a letter each (trace.go).
	Sig  string
	Note string
}

// System is what makes one of the systems.
type System struct {
	// Name and Index are those of core.Personality.
	Name  string
	Index uint32
	// Calls are the tables of calls, together in any order.
	Calls func() []Entry
	// Brand says whether the first bytes of an ELF file, whose header is one of
	// x86-64, are of this system.
	Brand func(head []byte) bool
	// Errnos are the error numbers that differ from, or come beside, those that
	// all systems have (errno.go).
	Errnos *Errnos
	// Start, Deliver and Fault are those of core.Personality.
	Start   func(p *Personality, c *core.Call) abi.Errno
	Deliver func(c *core.Call, sig *core.SigInfo, act *core.SigAction, regs *abi.Regs) abi.Errno
	Fault   func(c *core.Call) core.SigInfo
	// PutStat encodes struct stat, PutStatfs struct statfs, into zeroed memory of
	// StatSize and StatfsSize bytes.
	PutStat              func(c *core.Call, b []byte, s *core.Stat)
	PutStatfs            func(b []byte, s *Statfs)
	StatSize, StatfsSize int
	// Dirent appends a directory entry to b, if it fits into max bytes; false: it
	// does not.
	Dirent func(b []byte, max int, d *Dirent) ([]byte, bool)
	// Sock are the families of sockets that differ.
	Sock SockFamilies
	// Open are the flags of open(2) that differ.
	Open OpenFlags
	// UnlinkDir and NofollowLink are what unlink(2) answers for a directory and open(2)
	// with O_NOFOLLOW for a symbolic link.
	UnlinkDir, NofollowLink abi.Errno
}

// Personality is one system over one kernel.
type Personality struct {
	K     *core.Kernel
	Sys   *System
	table *[abi.CallTableSize]*Entry
}

// New makes the personality of k; nil: only the table is wanted.
func New(k *core.Kernel, s *System) *Personality {
	p := &Personality{K: k, Sys: s, table: new([abi.CallTableSize]*Entry)}
	calls := s.Calls()
	for i := range calls {
		e := &calls[i]
		if p.table[e.Nr] != nil {
			panic(fmt.Sprintf("%s: call %d is declared twice: %s, %s", s.Name, e.Nr, p.table[e.Nr].Name, e.Name))
		}
		p.table[e.Nr] = e
	}
	return p
}

// Name implements core.Personality.
func (p *Personality) Name() string { return p.Sys.Name }

// Index implements core.Personality.
func (p *Personality) Index() uint32 { return p.Sys.Index }

// Convention implements core.Personality: an error sets the carry flag.
func (p *Personality) Convention() uint32 { return abi.ReplyCarry }

// Ignored implements core.Personality: beside what POSIX has, SIGIO and SIGINFO, and
// the two that the thread library has for itself.
func (p *Personality) Ignored() core.SigSet {
	return core.DefaultIgnored | core.SigBit(core.SIGIO) | core.SigBit(sigInfo) | core.SigBit(32) | core.SigBit(33)
}

// Descriptors implements core.Personality.
func (p *Personality) Descriptors(traced bool) []abi.CallDesc {
	d := make([]abi.CallDesc, abi.CallTableSize)
	for nr, e := range p.table {
		if e == nil {
			continue
		}
		if traced && (e.Local == abi.LocalWord || e.Local == abi.LocalTid || e.Local == abi.LocalTold) {
			continue // the server can say it too, and then sees it
		}
		d[nr].Local = e.Local
		if e.FS {
			d[nr].Flags = abi.CallFS
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

// Probe implements core.Personality.
func (p *Personality) Probe(head []byte) bool {
	return image.IsELF(head) && p.Sys.Brand(head)
}

// Prepare implements core.Preparer.
func (p *Personality) Prepare(c *core.Call, v store.Ref[core.Vnode], head []byte) abi.Errno {
	return image.Prepare(c, v, abi.ENOEXEC)
}

// Start implements core.Personality.
func (p *Personality) Start(c *core.Call) abi.Errno { return p.Sys.Start(p, c) }

// Deliver implements core.Personality.
func (p *Personality) Deliver(c *core.Call, s *core.SigInfo, act *core.SigAction, regs *abi.Regs) abi.Errno {
	return p.Sys.Deliver(c, s, act, regs)
}

// Fault implements core.Personality.
func (p *Personality) Fault(c *core.Call) core.SigInfo { return p.Sys.Fault(c) }

// Cut implements core.Personality: of the calls that the library serves only waits on
// words can be cut, and those are not run again after a handler.
func (p *Personality) Cut(c *core.Call) abi.Errno { return abi.ErrRestartNoHnd }

// Call implements core.Personality.
func (p *Personality) Call(c *core.Call) {
	t := p.entry(c.Nr)
	if t == nil {
		// The program learns it twice, as from nosys().
		s := core.SigInfo{Sig: core.SIGSYS, Code: core.SiKernel}
		_ = c.K.SendThreadSignal(c.T, &s)
		c.Fail(abi.ENOSYS)
		return
	}
	if t.Fn == nil {
		c.Fail(abi.EINVAL)
		return
	}
	v, e := t.Fn(p, c)
	if e == 0 && c.OutFault() {
		e = abi.EFAULT
	}
	if e != 0 {
		c.Fail(e)
		return
	}
	c.Ret(v)
}

func (p *Personality) entry(nr uint64) *Entry {
	if nr >= abi.CallTableSize {
		return nil
	}
	return p.table[nr]
}

// CallName implements core.Personality.
func (p *Personality) CallName(nr uint64) (name string, served bool) {
	if e := p.entry(nr); e != nil {
		return e.Name, true
	}
	if nr >= abi.CallTableSize {
		return "others", false
	}
	return fmt.Sprintf("syscall_%d", nr), false
}

// MatrixRow is a row of the support table.
type MatrixRow struct {
	Nr    int    `json:"nr"`
	Name  string `json:"name"`
	Level string `json:"level"`
	Where string `json:"where"` // who serves it
	Note  string `json:"note,omitempty"`
}

// Matrix answers the support table in the order of numbers.
func (p *Personality) Matrix() []MatrixRow {
	var rows []MatrixRow
	for nr, e := range p.table {
		if e == nil {
			continue
		}
		w := "unix server"
		if e.Local != abi.LocalNone {
			w = "library"
			if e.Fn != nil {
				w += "; else unix server"
			}
		}
		rows = append(rows, MatrixRow{nr, e.Name, e.Level.String(), w, e.Note})
	}
	sort.Slice(rows, func(i, j int) bool { return rows[i].Nr < rows[j].Nr })
	return rows
}

// Str, Fixed and Buf describe arguments that the library copies in: a string, n bytes,
// and as many as another argument says.
func Str(arg uint8) abi.Pre { return abi.Pre{Kind: abi.PreStr, Arg: arg} }

// Fixed is a structure of n bytes.
func Fixed(arg uint8, n uint16) abi.Pre { return abi.Pre{Kind: abi.PreFixed, Arg: arg, Size: n} }

// Buf is a buffer whose length is argument lenArg.
func Buf(arg uint8, lenArg uint16) abi.Pre {
	return abi.Pre{Kind: abi.PreBuf, Arg: arg, Size: lenArg}
}

// Pre makes a list of them.
func Pre(p ...abi.Pre) []abi.Pre { return p }
