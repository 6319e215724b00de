// Package plan9 is the personality of Plan 9: programs for Plan 9 from Bell Labs, 4th
// edition, on amd64. Numbers are those of its sys/src/libc/9syscall/sys.h; what calls and
// files mean is cited by their pages of its manual.
//
// A program's threads are processes that share data, bss and heap (core.Region), each with
// a stack of its own at the same address: so every process here has one thread. Errors are
// words (core.Proc.ErrText), notes are signals that carry words, and much of what other
// systems have calls for is in files, which this package makes (files.go).
package plan9

import (
	"hythe/abi"
	"hythe/personality/calls"
	"hythe/server/unix/core"
	"hythe/store"
)

// Index is the personality's number.
const Index = 4

// Personality is Plan 9 over one kernel.
type Personality struct {
	K     *core.Kernel
	table *calls.Table[Personality]
	meet  map[meeting]store.Ref[core.Thread] // who waits in rendezvous(2); derived
	met   core.WaitQueue

	// The state of record of our own files.
	opened *store.Table[opened]
	convs  *store.Table[conv]

	sessions *store.Table[session]
	requests *store.Table[request]
	fetches  *store.Table[fetch]
	remote   remote
	// said are the words of the error that a thread's call is about to answer, where there
	// are others than the error's own; derived.
	said map[store.Ref[core.Thread]]string
}

// Numbers of our tables (core.Tables).
const (
	tabOpened = 108
	tabConvs  = 109

	tabSessions = 110
	tabRequests = 111
	tabFetches  = 104
)

// New makes the personality of k; nil: only the table is wanted.
func New(k *core.Kernel) *Personality {
	p := &Personality{K: k, table: calls.New("plan9", table()), meet: map[meeting]store.Ref[core.Thread]{}}
	if k != nil {
		p.initRemote()
		p.said = map[store.Ref[core.Thread]]string{}
		p.convs = store.NewTable[conv](k.Heap, tabConvs, maxConvs)
		p.opened = store.NewTable[opened](k.Heap, tabOpened, maxOpened)
		k.SetOps(core.FileOwn, &ownOps{core.BaseOps{K: k}, p})
	}
	return p
}

// Name implements core.Personality.
func (p *Personality) Name() string { return "plan9" }

// Index implements core.Personality.
func (p *Personality) Index() uint32 { return Index }

// Convention implements core.Personality: -1 is an error, and an answer that cannot be
// stored is one too, of which the program is told.
func (p *Personality) Convention() uint32 { return abi.ReplyMinus | abi.ReplyMust }

// Errno implements core.Personality.
func (p *Personality) Errno(e abi.Errno) uint32 { return uint32(e) }

// Ignored implements core.Personality: no note tells of the end of a child or of the size
// of a window.
func (p *Personality) Ignored() core.SigSet { return core.DefaultIgnored | core.SigBit(core.SIGIO) }

// Descriptors implements core.Personality.
func (p *Personality) Descriptors(traced bool) []abi.CallDesc { return p.table.Descriptors(traced) }

// Cut implements core.Personality: of the calls that the library serves only semaphores
// wait, and that ends with a note.
func (p *Personality) Cut(*core.Call) abi.Errno { return abi.ErrRestartNoHnd }

// Call implements core.Personality. A number that is no call is answered by an error and
// a note, as is an address where nothing is.
func (p *Personality) Call(c *core.Call) {
	delete(p.said, c.T)
	defer p.done(c)
	switch {
	case c.Args[7] != 0 && !onStack(c.Regs.SP):
		c.Fail(abi.EFAULT)
	case !p.table.Call(p, c):
		c.Fail(abi.EINVAL)
		p.setError(c, badArg)
		post(c, core.SIGSYS, "sys: bad sys call")
		return
	}
	if e := c.Err; e != 0 && e < abi.ErrRestart && c.T != 0 {
		p.Failed(c, e)
	}
}

// Failed implements core.Worded.
func (p *Personality) Failed(c *core.Call, e abi.Errno) {
	text := p.said[c.T]
	if text == "" {
		text = errorText(e)
	}
	delete(p.said, c.T)
	p.setError(c, text)
	if e == abi.EFAULT {
		post(c, core.SIGSYS, "sys: bad address in syscall")
	}
}

// words has the caller's call fail with words of its own, if it is a program of Plan 9.
func (p *Personality) words(c *core.Call, e abi.Errno, text string) abi.Errno {
	if r := c.Proc(); r.Personality == Index && r.Flags&core.ProcModule == 0 {
		p.said[c.T] = text
	}
	return e
}

func (p *Personality) setError(c *core.Call, text string) {
	if r := c.Proc(); r.ErrText.String() != text {
		c.MutProc().ErrText = core.MakeText(text)
	}
}

// post has the caller's own fault tell it by a note, which cannot be put off.
func post(c *core.Call, sig int32, text string) {
	c.ForceSignal(&core.SigInfo{Sig: sig, Code: core.SiKernel, Text: core.MakeText(text)})
}

// CallName implements core.Personality.
func (p *Personality) CallName(nr uint64) (name string, served bool) { return p.table.Name(nr) }

// Matrix answers the support table in the order of numbers.
func (p *Personality) Matrix() []calls.Row { return p.table.Rows() }
