// Package linux is the Linux personality: it decodes the system calls of
// Linux/amd64 binaries into operations of the unix server and encodes the
// results. Numbers are those of arch/x86/entry/syscalls/syscall_64.tbl (Linux
// 6.12), structures those of include/uapi.
package linux

import (
	"sync"

	"hythe/abi"
	"hythe/personality/calls"
	"hythe/server/unix/core"
)

// What the table is made of.
type (
	// Level says how far a call is served.
	Level = calls.Level
	// Func serves one call.
	Func = calls.Func[Personality]
	// Entry is one system call.
	Entry = calls.Entry[Personality]
	// MatrixRow is a row of the support matrix.
	MatrixRow = calls.Row
)

// How far calls are served.
const (
	Full    = calls.Full
	Partial = calls.Partial
	Refused = calls.Refused
	None    = calls.None
)

// table collects the calls of all files; the index is the number.
// It is made when it is first used: every process of a machine links this
// package, and only two need it.
var table = sync.OnceValue(func() *calls.Table[Personality] {
	return calls.New("linux", fileCalls(), ioCalls(), procCalls(), memCalls(), shmCalls(), sysvCalls(), mqueueCalls(), portCalls(), unserved())
})

// Personality is the Linux personality over one kernel.
type Personality struct {
	K     *core.Kernel
	table *calls.Table[Personality]
}

// New makes the personality of k.
func New(k *core.Kernel) *Personality {
	if k != nil { // nil: only the table is wanted
		k.OnNetlink(netlinkAnswer)
	}
	return &Personality{K: k, table: table()}
}

// Name implements core.Personality.
func (p *Personality) Name() string { return "linux" }

// Index implements core.Personality.
func (p *Personality) Index() uint32 { return 0 }

// Convention implements core.Personality: the result or -errno in one register.
func (p *Personality) Convention() uint32 { return 0 }

// Errno implements core.Personality: Linux's numbers are the neutral ones.
func (p *Personality) Errno(e abi.Errno) uint32 { return uint32(e) }

// Ignored implements core.Personality.
func (p *Personality) Ignored() core.SigSet { return core.DefaultIgnored }

// Descriptors implements core.Personality.
func (p *Personality) Descriptors(traced bool) []abi.CallDesc { return table().Descriptors(traced) }

// Call implements core.Personality.
func (p *Personality) Call(c *core.Call) {
	if !p.table.Call(p, c) {
		c.Fail(abi.ENOSYS)
	}
}

// CallName implements core.Personality.
func (p *Personality) CallName(nr uint64) (name string, served bool) { return p.table.Name(nr) }

// Matrix answers the support matrix in the order of numbers.
func Matrix() []MatrixRow { return table().Rows() }
