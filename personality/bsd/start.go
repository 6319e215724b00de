package bsd

import (
	"hythe/abi"
	"hythe/personality/image"
	"hythe/server/unix/core"
)

// Program is a program that is being started: mapped, with a stack that is built.
type Program struct {
	image.Loaded
	*image.Stack
	Argv, Envp     []string
	Name           string // of the file
	argPtr, envPtr []uint64
}

// Load maps the program that the caller executes, and its stack.
func Load(c *core.Call) (*Program, abi.Errno) {
	r := image.Seed(c)
	g := new(Program)
	g.Argv, g.Envp, g.Name = c.ExecArgs()
	if len(g.Argv) == 0 {
		g.Argv = []string{""}
	}
	exe := c.Proc().Exe
	f, e := image.OpenELF(c, exe)
	if e != 0 {
		return nil, e
	}
	if g.Loaded, e = image.Load(c, &r, f, exe); e != 0 {
		return nil, e
	}
	g.Stack = image.StartStack(c, &r, f)
	return g, 0
}

// CodePage is where the code lies by which a signal handler is called and comes back, where
// the system gives that: above everything that a start places.
const CodePage = image.GuestEnd - abi.PageSize

// MapCode puts it there.
func MapCode(c *core.Call, code []byte) {
	c.Act(abi.ActMapAnon, 0, CodePage, abi.PageSize, image.ProtRead|image.ProtWrite, image.MapPrivate|image.MapFixed)
	c.CopyOut(CodePage, code)
	c.Act(abi.ActProtect, 0, CodePage, abi.PageSize, image.ProtRead|image.ProtExec)
}

// Strings puts the arguments and the environment on the stack. Nothing but what Begin puts
// comes after them.
func (g *Program) Strings() {
	g.argPtr, g.envPtr = g.Args(g.Argv, g.Envp)
	g.Align()
}

// Places are where struct ps_strings, the arguments and the environment will be found, with
// an auxiliary vector of n words.
func (g *Program) Places(n int) (ps, argv, env uint64) {
	ps = g.SP - 32
	sp := (ps - 8*uint64(1+len(g.Argv)+1+len(g.Envp)+1+n)) &^ 15
	return ps, sp + 8, sp + 8*uint64(2+len(g.Argv))
}

// Finish puts them there, and makes the program the caller's. It answers where
// struct ps_strings and the vectors are.
func (g *Program) Finish(c *core.Call, p *Personality, aux []uint64) (ps, sp uint64) {
	ps, argv, env := g.Places(len(aux))
	g.Words([]uint64{argv, uint64(len(g.Argv)), env, uint64(len(g.Envp))})
	words, auxAt := image.Vectors(g.argPtr, g.envPtr, aux)
	for sp = argv - 8; sp+8*uint64(len(words)) < ps; {
		words = append(words, 0)
	}
	g.Words(words)
	g.Stack.Begin(c, p, auxAt, len(aux), g.Hi+g.Bias)
	return ps, sp
}
