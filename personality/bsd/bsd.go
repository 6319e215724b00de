// Package bsd is what the personalities of 4.4BSD's descendants share: the calls
// that they have in common, over the unix server's core, error and signal numbers,
// and the table that dispatches. What differs between the systems (call numbers,
// layouts, start-up, signal frames, threads) is data and a few functions that each
// system's own package gives (System).
package bsd

import (
	"hythe/abi"
	"hythe/personality/calls"
	"hythe/personality/image"
	"hythe/server/unix/core"
	"hythe/store"
)

// What the tables are made of. Numbers without an entry answer ENOSYS with SIGSYS.
type (
	// Func serves one call.
	Func = calls.Func[Personality]
	// Entry is one system call of a system.
	Entry = calls.Entry[Personality]
)

// How far calls are served.
const (
	Partial = calls.Partial
	Refused = calls.Refused
)

// System is what makes one of the systems.
type System struct {
	// Name and Index are those of core.Personality.
	Name  string
	Index uint32
	// Calls are the tables of calls, together in any order.
	Calls []func() []Entry
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
	// Signals are the system's signals.
	Signals *Signals
	// Sock are the numbers of sockets that differ, Open the flags of open(2), At the AT_
	// flags, Fcntl the commands of fcntl(2), Wait what the calls take that wait for a
	// process.
	Sock  SockNumbers
	Open  OpenFlags
	At    AtFlags
	Fcntl FcntlNumbers
	Wait  WaitNumbers
	// Sysctl is what sysctl(3) answers.
	Sysctl Sysctl
	// Usec32 says that the microseconds of struct timeval are 32 bits, with nothing
	// behind them.
	Usec32 bool
	// FDMask is how many bytes a word of select's sets has (fd_mask).
	FDMask int
	// UnlinkDir and NofollowLink are what unlink(2) answers for a directory and open(2)
	// with O_NOFOLLOW for a symbolic link.
	UnlinkDir, NofollowLink abi.Errno
}

// Personality is one system over one kernel.
type Personality struct {
	K     *core.Kernel
	Sys   *System
	table *calls.Table[Personality]
}

// New makes the personality of k; nil: only the table is wanted.
func New(k *core.Kernel, s *System) *Personality {
	var parts [][]Entry
	for _, part := range s.Calls {
		parts = append(parts, part())
	}
	return &Personality{K: k, Sys: s, table: calls.New(s.Name, parts...)}
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
	return core.DefaultIgnored | core.SigBit(core.SIGIO) | core.SigBit(SigInfo) | core.SigBit(32) | core.SigBit(33)
}

// Descriptors implements core.Personality.
func (p *Personality) Descriptors(traced bool) []abi.CallDesc { return p.table.Descriptors(traced) }

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
func (p *Personality) Cut(c *core.Call) abi.Errno {
	if c.Nr < uint64(len(p.table)) && p.table[c.Nr] != nil {
		switch p.table[c.Nr].Local {
		case abi.LocalRead, abi.LocalWrite: // of a stream that is lent
			return abi.ErrRestart
		}
	}
	return abi.ErrRestartNoHnd
}

// Call implements core.Personality. Of a call that the system does not have the program
// learns twice, as from nosys().
func (p *Personality) Call(c *core.Call) {
	if !p.table.Call(p, c) {
		s := core.SigInfo{Sig: core.SIGSYS, Code: core.SiKernel}
		_ = c.K.SendThreadSignal(c.T, &s)
		c.Fail(abi.ENOSYS)
	}
}

// CallName implements core.Personality.
func (p *Personality) CallName(nr uint64) (name string, served bool) { return p.table.Name(nr) }

// Matrix answers the support table in the order of numbers.
func (p *Personality) Matrix() []calls.Row { return p.table.Rows() }

// Str, Fixed and Buf describe arguments that the library copies in: a string, n bytes,
// and as many as another argument says.
func Str(arg uint8) abi.Pre { return abi.Pre{Kind: abi.PreStr, Arg: arg} }

// Strs are the strings of an array of addresses that ends with NULL.
func Strs(arg uint8) abi.Pre { return abi.Pre{Kind: abi.PreStrs, Arg: arg} }

// Fixed is a structure of n bytes.
func Fixed(arg uint8, n uint16) abi.Pre { return abi.Pre{Kind: abi.PreFixed, Arg: arg, Size: n} }

// Buf is a buffer whose length is argument lenArg.
func Buf(arg uint8, lenArg uint16) abi.Pre {
	return abi.Pre{Kind: abi.PreBuf, Arg: arg, Size: lenArg}
}

// Pre makes a list of them.
func Pre(p ...abi.Pre) []abi.Pre { return p }
