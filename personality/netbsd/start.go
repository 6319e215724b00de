package netbsd

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/personality/bsd"
	"hythe/personality/image"
	"hythe/server/unix/core"
)

// What the system says that it is: NetBSD 10.0 (sys/param.h, __NetBSD_Version__).
const (
	release  = "10.0"
	revision = 1000000000
)

// brand says whether a program is NetBSD's: by its OS ABI, or by the note that carries
// the release it was built for (ELF_NOTE_TYPE_NETBSD_TAG).
func brand(head []byte) bool {
	const osabiNetBSD, noteTag = 2, 1
	if head[7] == osabiNetBSD {
		return true
	}
	_, ok := image.Note(head, "NetBSD", noteTag)
	return ok
}

// Auxiliary vector types (sys/exec_elf.h).
const (
	atNull      = 0
	atPhdr      = 3
	atPhent     = 4
	atPhnum     = 5
	atPagesz    = 6
	atBase      = 7
	atFlags     = 8
	atEntry     = 9
	atStackbase = 13
	atEuid      = 2000
	atRuid      = 2001
	atEgid      = 2002
	atRgid      = 2003
	atExecname  = 2014
)

// start builds the image of a program (setregs of amd64/amd64/machdep.c, elf_copyargs and
// copyargs of kern/exec_elf.c and kern/kern_exec.c): RBX has struct ps_strings.
func start(p *bsd.Personality, c *core.Call) abi.Errno {
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
	l, e := image.Load(c, &r, f, exe)
	if e != 0 {
		return e
	}
	st := image.StartStack(c, &r, f)
	top := st.SP
	execname := st.Str(name)
	argPtr, envPtr := st.Args(argv, envp)
	st.Align()
	aux := []uint64{
		atPhdr, f.PhdrAt(l.Bias), atPhent, image.PhdrSize, atPhnum, uint64(f.Phnum), atPagesz, abi.PageSize, atBase, l.Base, atFlags, 0,
		atEntry, f.Entry + l.Bias, atEuid, bsd.EUID(c), atRuid, bsd.UID(c), atEgid, bsd.EGID(c), atRgid, bsd.GID(c),
		atStackbase, top, atExecname, execname, atNull, 0,
	}
	psAt := st.SP - 32
	sp := (psAt - 8*uint64(1+len(argv)+1+len(envp)+1+len(aux))) &^ 15
	argvAt, envAt := sp+8, sp+8*uint64(2+len(argv))
	st.Words([]uint64{argvAt, uint64(len(argv)), envAt, uint64(len(envp))}) // struct ps_strings
	words, auxAt := image.Vectors(argPtr, envPtr, aux)
	for sp+8*uint64(len(words)) < psAt {
		words = append(words, 0)
	}
	st.Words(words)
	st.Begin(c, p, auxAt, len(aux), f.Hi+l.Bias)
	regs := abi.Regs{IP: l.Begin, BX: psAt, SP: sp, Flags: 0x202}
	c.SetRegs(&regs, false)
	return 0
}

var le = binary.LittleEndian
