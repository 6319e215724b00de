package freebsd

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/personality/bsd"
	"hythe/personality/image"
	"hythe/server/unix/core"
)

// What the system says that it is: FreeBSD 14.1 (sys/param.h, __FreeBSD_version).
const (
	release = "14.1-RELEASE"
	relDate = 1401000
)

// brand says whether a program is FreeBSD's: by its OS ABI, or by the note that carries
// the release it was built for (NT_FREEBSD_ABI_TAG).
func brand(head []byte) bool {
	const osabiFreeBSD, noteABITag = 9, 1
	if head[7] == osabiFreeBSD {
		return true
	}
	_, ok := image.Note(head, "FreeBSD", noteABITag)
	return ok
}

// Auxiliary vector types (sys/elf_common.h).
const (
	atNull        = 0
	atPhdr        = 3
	atPhent       = 4
	atPhnum       = 5
	atPagesz      = 6
	atBase        = 7
	atFlags       = 8
	atEntry       = 9
	atExecpath    = 15
	atCanary      = 16
	atCanarylen   = 17
	atOsreldate   = 18
	atNcpus       = 19
	atPagesizes   = 20
	atPagesizelen = 21
	atStackprot   = 23
	atHwcap       = 25
	atHwcap2      = 26
	atArgc        = 28
	atArgv        = 29
	atEnvc        = 30
	atEnvv        = 31
	atPsStrings   = 32
)

// codePage is where the code lies by which a signal handler is called and comes back:
// above everything that a start places.
const codePage = image.GuestEnd - abi.PageSize

// sigcode is that code (sys/amd64/amd64/sigtramp.S): call *(%rsp); lea 16(%rsp),%rdi;
// pushq $0; mov $417,%rax; syscall; hlt; jmp .-1. The handler lies at the frame's
// start, its context 16 bytes behind.
var sigcode = [...]byte{0xff, 0x14, 0x24, 0x48, 0x8d, 0x7c, 0x24, 0x10, 0x6a, 0x00, 0x48, 0xc7, 0xc0, 0xa1, 0x01, 0x00, 0x00, 0x0f, 0x05, 0xf4, 0xeb, 0xfd}

// start builds the image of a program (exec_setregs, exec_copyout_strings,
// elf64_freebsd_fixup of the system).
func start(p *bsd.Personality, c *core.Call) abi.Errno {
	k := c.K
	r := image.Seed(c)
	argv, envp, name := c.ExecArgs()
	if len(argv) == 0 {
		argv = []string{""}
	}
	exe := c.Proc().Exe
	f, e := image.OpenELF(c, exe)
	if e != 0 {
		return e
	}
	bias := uint64(0)
	if f.Dyn {
		bias = image.PIEBase + r.Pages(1<<40) - f.Lo
	}
	patch := uint32(0)
	if f.Interp == "" {
		patch = abi.ActPatch // its library is in it
	}
	if e := f.Map(c, exe, bias, patch); e != 0 {
		return e
	}
	entry, base := f.Entry+bias, uint64(0)
	if f.Interp != "" {
		iv, _, e := c.OpenExec(core.AtCwd, f.Interp, core.WalkFollow)
		if e != 0 {
			return e
		}
		defer k.DropVnode(iv)
		g, e := image.OpenELF(c, iv)
		if e != 0 {
			return e
		}
		if g.Dyn {
			base = image.InterpBase + r.Pages(1<<32) - g.Lo
		}
		if e := g.Map(c, iv, base, abi.ActPatch); e != 0 {
			return e
		}
		entry = g.Entry + base
	}
	const rw = image.ProtRead | image.ProtWrite
	c.Act(abi.ActMapAnon, 0, codePage, abi.PageSize, rw, image.MapPrivate|image.MapFixed)
	c.CopyOut(codePage, sigcode[:])
	c.Act(abi.ActProtect, 0, codePage, abi.PageSize, image.ProtRead|image.ProtExec)

	pr := c.Proc()
	size := image.StackSize(pr)
	top := image.StackTop - r.Pages(1<<32)
	prot := uint64(rw)
	if f.ExecStack {
		prot |= image.ProtExec
	}
	c.Act(abi.ActMapAnon, 0, top-size, size, prot, image.MapPrivate|image.MapFixed|image.MapNoreserve)

	st := image.NewStack(top)
	var canary [64]byte
	k.Random(canary[:])
	pageSizes := st.Words([]uint64{abi.PageSize, 2 << 20})
	canaryAt := st.Bytes(canary[:])
	execpath := st.Str(name)
	envEnd := st.SP
	envPtr := make([]uint64, len(envp))
	for i := len(envp) - 1; i >= 0; i-- {
		envPtr[i] = st.Str(envp[i])
	}
	envStart := st.SP
	argPtr := make([]uint64, len(argv))
	for i := len(argv) - 1; i >= 0; i-- {
		argPtr[i] = st.Str(argv[i])
	}
	argStart := st.SP
	st.Align()
	aux := []uint64{
		atPhdr, f.PhdrAt(bias), atPhent, image.PhdrSize, atPhnum, uint64(f.Phnum), atPagesz, abi.PageSize, atFlags, 0,
		atEntry, f.Entry + bias, atBase, base, atExecpath, execpath, atOsreldate, relDate, atCanary, canaryAt, atCanarylen, uint64(len(canary)),
		atNcpus, uint64(k.Config.CPUs), atPagesizes, pageSizes, atPagesizelen, 16, atStackprot, prot, atHwcap, c.Args[1], atHwcap2, c.Args[2],
		atArgc, uint64(len(argv)), atArgv, 0, atEnvc, uint64(len(envp)), atEnvv, 0, atPsStrings, 0, atNull, 0,
	}
	n := 1 + len(argv) + 1 + len(envp) + 1 + len(aux)
	psAt := st.SP - 32
	sp := (psAt - 8*uint64(n)) &^ 15
	argvAt, envAt := sp+8, sp+8*uint64(2+len(argv))
	for i := 0; i < len(aux); i += 2 {
		switch aux[i] {
		case atArgv:
			aux[i+1] = argvAt
		case atEnvv:
			aux[i+1] = envAt
		case atPsStrings:
			aux[i+1] = psAt
		}
	}
	st.Words([]uint64{argvAt, uint64(len(argv)), envAt, uint64(len(envp))}) // struct ps_strings
	words := make([]uint64, 0, n+1)
	words = append(words, uint64(len(argv)))
	words = append(words, argPtr...)
	words = append(words, 0)
	words = append(words, envPtr...)
	words = append(words, 0)
	auxAt := len(words)
	words = append(words, aux...)
	for sp+8*uint64(len(words)) < psAt {
		words = append(words, 0)
	}
	st.Words(words)
	c.CopyOut(sp, st.Data())

	m := c.MutProc()
	m.ArgStart, m.ArgEnd = argStart, envStart
	m.EnvStart, m.EnvEnd = envStart, envEnd
	m.MapNext = 0
	m.AuxvStart, m.AuxvLen = sp+uint64(auxAt)*8, uint64(len(aux))*8
	m.BrkStart = f.Hi + bias
	m.FPSize = uint32(min(max(c.Args[5], 512), 1<<20))
	m.StackTop = sp
	m.StackProt, m.StackLow, m.StackHigh = uint32(prot), top-size, top
	c.Act(abi.ActTask, 0, abi.TaskBrkStart, m.BrkStart)
	c.Act(abi.ActTask, 0, abi.TaskBrk, m.BrkStart)
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
	// RDI too is where argc is, and the stack is as after a call.
	regs := abi.Regs{IP: entry, DI: sp, SP: (sp-8)&^15 + 8, Flags: 0x202}
	c.SetRegs(&regs, false)
	return 0
}

var le = binary.LittleEndian
