package linux

import (
	"bytes"
	"fmt"

	"hythe/abi"
	"hythe/personality/image"
	"hythe/server/unix/core"
	"hythe/store"
)

// Auxiliary vector types (include/uapi/linux/auxvec.h, asm/auxvec.h).
const (
	atNull        = 0
	atPhdr        = 3
	atPhent       = 4
	atPhnum       = 5
	atPagesz      = 6
	atBase        = 7
	atFlags       = 8
	atEntry       = 9
	atUID         = 11
	atEUID        = 12
	atGID         = 13
	atEGID        = 14
	atPlatform    = 15
	atHwcap       = 16
	atClktck      = 17
	atSecure      = 23
	atRandom      = 25
	atHwcap2      = 26
	atExecfn      = 31
	atSysinfoEhdr = 33
	atMinsigstksz = 51
)

// Host mmap constants (asm-generic/mman*.h).
const (
	protRead     = 1
	protWrite    = 2
	protExec     = 4
	mapShared    = 1
	mapPrivate   = 2
	mapSharedVal = 3
	mapFixed     = 0x10
	mapAnonymous = 0x20
	mapGrowsdown = 0x100
	mapNoreserve = 0x4000
	mapFixedNR   = 0x100000
)

// Probe implements core.Personality: ELF64 for x86-64 with the System V or the
// Linux OS ABI, which is also how other systems' static programs may be
// marked; those with a note of their own are their personalities' (asked first).
func (p *Personality) Probe(head []byte) bool {
	if p.Interpreted(head) {
		_, ok := p.K.Engine()
		return ok
	}
	return image.IsELF(head) && (head[7] == 0 || head[7] == 3)
}

// Interpreted implements core.Interpreter: WebAssembly's magic number. The engine that
// runs such a module is a program of Linux.
func (p *Personality) Interpreted(head []byte) bool { return bytes.HasPrefix(head, []byte("\x00asm")) }

// Prepare implements core.Preparer.
func (p *Personality) Prepare(c *core.Call, v store.Ref[core.Vnode], head []byte) abi.Errno {
	if p.Interpreted(head) {
		return 0 // the engine says what is wrong with it
	}
	return image.Prepare(c, v, abi.ELIBBAD)
}

// Start implements core.Personality: it builds the image that exec asked for.
func (p *Personality) Start(c *core.Call) abi.Errno {
	k := c.K
	r := image.Seed(c)
	argv, envp, name := c.ExecArgs()
	if len(argv) == 0 {
		argv = []string{""}
	}
	exe := c.Proc().Exe
	module := c.Proc().Flags&core.ProcModule != 0
	open := image.OpenELF
	if module {
		open = func(c *core.Call, _ store.Ref[core.Vnode]) (*image.ELF, abi.Errno) { return image.OpenEngine(c) }
	}
	f, e := open(c, exe)
	if e != 0 {
		return e
	}
	l, e := image.Load(c, &r, f, exe)
	if e != 0 {
		return e
	}
	pr := c.Proc()
	brk := f.Hi + l.Bias + r.Pages(32<<20)
	st := image.StartStack(c, &r, f)

	// The strings, from the top down.
	cr := *c.Cred()
	st.Bytes(make([]byte, 8))
	execfn := st.Str(name)
	argPtr, envPtr := st.Args(argv, envp)
	if module {
		// The environment is the module's: the engine's runtime is not to see it.
		argPtr = append(append([]uint64{st.Str(engineArg(c, len(argv)))}, argPtr...), envPtr...)
		envPtr = nil
	}
	platform := st.Str("x86_64")
	var rnd [16]byte
	k.Random(rnd[:])
	random := st.Bytes(rnd[:])
	st.Align()
	clk := c.Args[4]
	if clk == 0 {
		clk = 100
	}
	secure := uint64(pr.ExecSecure)
	aux := []uint64{}
	if c.Args[0] != 0 {
		aux = append(aux, atSysinfoEhdr, c.Args[0])
	}
	aux = append(aux, atHwcap, c.Args[1], atPagesz, abi.PageSize, atClktck, clk,
		atPhdr, f.PhdrAt(l.Bias), atPhent, image.PhdrSize, atPhnum, uint64(f.Phnum),
		atBase, l.Base, atFlags, 0, atEntry, f.Entry+l.Bias,
		atUID, uint64(c.ShowUID(cr.UID)), atEUID, uint64(c.ShowUID(cr.EUID)), atGID, uint64(c.ShowGID(cr.GID)), atEGID, uint64(c.ShowGID(cr.EGID)),
		atSecure, secure, atRandom, random, atHwcap2, c.Args[2], atExecfn, execfn, atPlatform, platform)
	if c.Args[3] != 0 {
		aux = append(aux, atMinsigstksz, c.Args[3])
	}
	aux = append(aux, atNull, 0)
	words, auxAt := image.Vectors(argPtr, envPtr, aux)
	if len(words)&1 != 0 {
		st.Words([]uint64{0}) // keeps the stack pointer 16-byte aligned
	}
	sp := st.Words(words)
	st.Begin(c, p, auxAt, len(aux), brk)
	regs := abi.Regs{IP: l.Begin, SP: sp, Flags: 0x202}
	c.SetRegs(&regs, false)
	c.TellMask()
	c.TellDefaults()
	return 0
}

func doExec(c *core.Call, dirfd int32, path string, flags uint32, argvArg, envpArg int) (uint64, abi.Errno) {
	argv, envp, e := image.Args(c, argvArg, envpArg)
	if e != 0 {
		return 0, e
	}
	return 0, c.Exec(dirfd, path, flags, argv, envp)
}

// engineArg is the first argument of an engine of modules (cmd/hythe-wasi): how many
// of those that follow are the module's, the others being its environment, which
// signals are ignored (bit n-1 for signal n, hexadecimal), and whether the tracer wants
// the module's lines (1, else 0).
func engineArg(c *core.Call, argc int) string {
	ignored := uint64(0)
	for sig, a := range c.K.Hands.Get(c.Proc().Hand).Act {
		if sig > 0 && a.Handler == core.SigIgn {
			ignored |= 1 << (sig - 1)
		}
	}
	traced := 0
	if c.Traced() {
		traced = 1
	}
	return fmt.Sprintf("%d %x %d", argc, ignored, traced)
}

func sysExecve(p *Personality, c *core.Call) (uint64, abi.Errno) {
	path, e := c.PathArg(0)
	if e != 0 {
		return 0, e
	}
	return doExec(c, core.AtCwd, path, core.WalkFollow, 1, 2)
}

func sysExecveat(p *Personality, c *core.Call) (uint64, abi.Errno) {
	const atSymlinkNofollow, atEmptyPath = 0x100, 0x1000
	fl := uint32(c.Args[4])
	if fl&^(atSymlinkNofollow|atEmptyPath) != 0 {
		return 0, abi.EINVAL
	}
	path, e := c.PathArg(1)
	if e != 0 {
		return 0, e
	}
	walk := uint32(core.WalkFollow)
	if fl&atSymlinkNofollow != 0 {
		walk = 0
	}
	if fl&atEmptyPath != 0 {
		walk |= core.WalkEmpty
	}
	return doExec(c, int32(c.Args[0]), path, walk, 2, 3)
}
