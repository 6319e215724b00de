// Package linux is the Linux personality: it decodes the system calls of
// Linux/amd64 binaries into operations of the unix server and encodes the
// results. Numbers are those of arch/x86/entry/syscalls/syscall_64.tbl (Linux
// 6.12), structures those of include/uapi.
package linux

import (
	"fmt"
	"sort"
	"sync"

	"hythe/abi"
	"hythe/server/unix/core"
)

// Level says how far a call is served.
type Level uint8

const (
	// Full: everything that a program can see, as Linux does it.
	Full Level = iota
	// Partial: the Note says what is missing.
	Partial
	// Refused: answered with the error that the Note names, on purpose.
	Refused
	// None: not served, ENOSYS; the Note says why.
	None
)

func (l Level) String() string {
	switch l {
	case Full:
		return "full"
	case Partial:
		return "partial"
	case Refused:
		return "refused"
	}
	return "none"
}

// Func serves one call: arguments are in c.Args, the lock is held. A result of
// an error goes to the guest as -errno. A function that has set c.Flags
// (abi.ReplyKeepRegs) has arranged the registers itself.
type Func func(p *Personality, c *core.Call) (uint64, abi.Errno)

// Entry is one system call: the support matrix, the dispatch and the tracer
// come from it.
type Entry struct {
	Nr   uint16
	Name string
	// Fn is nil for what is not served (ENOSYS), and for what only the library
	// serves: what that passes on makes no sense (EINVAL).
	Fn    Func
	Level Level
	// Pre are the arguments that the library copies in beforehand.
	Pre []abi.Pre
	// Local is what the library serves itself (abi.Local...); Fn then serves
	// what it could not.
	Local uint8
	// LocalArg is the task word of abi.LocalWord, the word of abi.LocalTold.
	LocalArg uint8
	// FS: the thread pointer is needed.
	FS bool
	// Sig is how the tracer prints the arguments, a letter each: see trace.go.
	Sig  string
	Note string
}

// table collects the calls of all files; the index is the number.
// It is made when it is first used: every process of a machine links this
// package, and only two need it.
var table = sync.OnceValue(buildTable)

func buildTable() *[abi.CallTableSize]*Entry {
	var t [abi.CallTableSize]*Entry
	for _, part := range [][]Entry{fileCalls(), ioCalls(), procCalls(), memCalls(), shmCalls(), sysvCalls(), mqueueCalls(), portCalls(), unserved()} {
		for i := range part {
			e := &part[i]
			if t[e.Nr] != nil {
				panic(fmt.Sprintf("linux: call %d is declared twice: %s, %s", e.Nr, t[e.Nr].Name, e.Name))
			}
			t[e.Nr] = e
		}
	}
	return &t
}

// Personality is the Linux personality over one kernel.
type Personality struct {
	K     *core.Kernel
	table *[abi.CallTableSize]*Entry
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
func (p *Personality) Descriptors(traced bool) []abi.CallDesc {
	d := make([]abi.CallDesc, abi.CallTableSize)
	for nr, e := range table() {
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
		if e.Local == abi.LocalWord || e.Local == abi.LocalTold {
			d[nr].Pre[0].Arg = e.LocalArg
		}
	}
	return d
}

// Call implements core.Personality.
func (p *Personality) Call(c *core.Call) {
	t := p.entry(c.Nr)
	if t == nil || t.Level == None {
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

// entry answers the entry of a number, nil for one that Linux does not have.
func (p *Personality) entry(nr uint64) *Entry {
	if nr >= abi.CallTableSize {
		return nil
	}
	return p.table[nr]
}

// CallName implements core.Personality.
func (p *Personality) CallName(nr uint64) (name string, served bool) {
	if e := p.entry(nr); e != nil {
		return e.Name, e.Level != None
	}
	if nr >= abi.CallTableSize {
		return "others", false
	}
	return fmt.Sprintf("syscall_%d", nr), false
}

// where says who serves the call.
func (e *Entry) where() string {
	var w string
	switch e.Local {
	case abi.LocalNone:
		if e.Level == None {
			return ""
		}
		return "unix server"
	case abi.LocalWord, abi.LocalTid:
		w = "library"
	default:
		w = "library, by the host's call"
	}
	if e.Fn != nil {
		w += "; else unix server"
	}
	return w
}

// MatrixRow is a row of the support matrix.
type MatrixRow struct {
	Nr    int    `json:"nr"`
	Name  string `json:"name"`
	Level string `json:"level"`
	Where string `json:"where,omitempty"` // who serves it
	Note  string `json:"note,omitempty"`
}

// Matrix answers the support matrix in the order of numbers.
func Matrix() []MatrixRow {
	var rows []MatrixRow
	for nr, e := range table() {
		if e != nil {
			rows = append(rows, MatrixRow{nr, e.Name, e.Level.String(), e.where(), e.Note})
		}
	}
	sort.Slice(rows, func(i, j int) bool { return rows[i].Nr < rows[j].Nr })
	return rows
}
