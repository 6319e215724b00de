package image

import (
	"hythe/abi"
	"hythe/server/unix/core"
	"hythe/store"
)

// Prepare checks the program v and the interpreter that it asks for, before exec can no
// longer fail. bad is the error for an interpreter that is no program.
func Prepare(c *core.Call, v store.Ref[core.Vnode], bad abi.Errno) abi.Errno {
	f, e := OpenELF(c, v)
	if e != 0 || f.Interp == "" {
		return e
	}
	iv, _, e := c.OpenExec(core.AtCwd, f.Interp, core.WalkFollow)
	if e != 0 {
		return e
	}
	_, e = OpenELF(c, iv)
	c.K.DropVnode(iv)
	if e == abi.ENOEXEC {
		e = bad
	}
	return e
}

// Loaded is a program in the caller's memory, with its interpreter.
type Loaded struct {
	*ELF
	Bias  uint64 // by how much it was moved
	Begin uint64 // where it begins to run: in the interpreter, if it has one
	Base  uint64 // by how much the interpreter was moved
}

// Load maps the program f of the file exe and the interpreter that it asks for, at random
// places where they can lie anywhere.
func Load(c *core.Call, r *Rand, f *ELF, exe store.Ref[core.Vnode]) (Loaded, abi.Errno) {
	l := Loaded{ELF: f}
	if f.Dyn {
		l.Bias = PIEBase + r.Pages(1<<40) - f.Lo
	}
	patch := uint32(0)
	if f.Interp == "" {
		patch = abi.ActPatch // its library is in it
	}
	if e := f.Map(c, exe, l.Bias, patch); e != 0 {
		return l, e
	}
	l.Begin = f.Entry + l.Bias
	if f.Interp == "" {
		return l, 0
	}
	iv, _, e := c.OpenExec(core.AtCwd, f.Interp, core.WalkFollow)
	if e != 0 {
		return l, e
	}
	defer c.K.DropVnode(iv)
	g, e := OpenELF(c, iv)
	if e != 0 {
		return l, e
	}
	if g.Dyn {
		l.Base = InterpBase + r.Pages(1<<32) - g.Lo
	}
	if e := g.Map(c, iv, l.Base, abi.ActPatch); e != 0 {
		return l, e
	}
	l.Begin = g.Entry + l.Base
	return l, 0
}

// StartStack maps the first thread's stack, at a random place, as f asks for it.
func StartStack(c *core.Call, r *Rand, f *ELF) *Stack {
	size := StackSize(c.Proc())
	s := NewStack(StackTop - r.Pages(1<<32))
	s.low, s.high, s.Prot = s.SP-size, s.SP, ProtRead|ProtWrite
	if f.ExecStack {
		s.Prot |= ProtExec
	}
	c.Act(abi.ActMapAnon, 0, s.low, size, s.Prot, MapPrivate|MapFixed|MapNoreserve)
	return s
}

// Args puts the environment and below it the argument strings, and answers where each
// is.
func (s *Stack) Args(argv, envp []string) (argPtr, envPtr []uint64) {
	s.envEnd = s.SP
	envPtr = s.strs(envp)
	s.envStart = s.SP
	argPtr = s.strs(argv)
	s.argStart = s.SP
	return argPtr, envPtr
}

func (s *Stack) strs(l []string) []uint64 {
	at := make([]uint64, len(l))
	for i := len(l) - 1; i >= 0; i-- {
		at[i] = s.Str(l[i])
	}
	return at
}

// Vectors are the words that a program finds at its stack pointer: how many arguments
// there are, where they are, where the environment is, each with a 0 behind it, and the
// auxiliary vector, which begins at word auxAt.
func Vectors(argPtr, envPtr, aux []uint64) (words []uint64, auxAt int) {
	words = make([]uint64, 0, 4+len(argPtr)+len(envPtr)+len(aux))
	words = append(words, uint64(len(argPtr)))
	words = append(words, argPtr...)
	words = append(words, 0)
	words = append(words, envPtr...)
	words = append(words, 0)
	auxAt = len(words)
	return append(words, aux...), auxAt
}

// Starter is a personality whose programs begin with a stack and limits like this.
type Starter interface {
	core.Personality
	core.Limiter
}

// Begin makes what was built the caller's program. Vectors were put on the stack last; their
// auxiliary vector is the n words from auxAt on, and the heap begins at brk.
func (s *Stack) Begin(c *core.Call, p Starter, auxAt, n int, brk uint64) {
	sp := s.SP
	c.CopyOut(sp, s.Data())
	m := c.MutProc()
	m.ArgStart, m.ArgEnd = s.argStart, s.envStart
	m.EnvStart, m.EnvEnd = s.envStart, s.envEnd
	m.MapNext = 0
	m.AuxvStart, m.AuxvLen = sp+uint64(auxAt)*8, uint64(n)*8
	m.BrkStart = brk
	m.FPSize = uint32(min(max(c.Args[5], 512), 1<<20))
	m.StackTop = sp
	m.StackProt, m.StackLow, m.StackHigh = uint32(s.Prot), s.low, s.high
	c.Act(abi.ActTask, 0, abi.TaskBrkStart, brk)
	c.Act(abi.ActTask, 0, abi.TaskBrk, brk)
	c.Act(abi.ActTask, 0, abi.TaskTable, uint64(p.Index()))
	for _, n := range [...]int{core.RlimitAS, core.RlimitData, core.RlimitCPU} {
		if m.Rlimits[n].Cur != core.RlimInfinity {
			p.Limit(c, n)
		}
	}
	c.SetHostITimers()
	c.TaskWords()
	c.Act(abi.ActLoadFP, 0, 0)
	c.Act(abi.ActSetFS, 0, 0)
}
