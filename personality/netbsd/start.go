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
	g, e := bsd.Load(c)
	if e != 0 {
		return e
	}
	top := g.SP
	execname := g.Str(g.Name)
	g.Strings()
	aux := []uint64{
		atPhdr, g.PhdrAt(g.Bias), atPhent, image.PhdrSize, atPhnum, uint64(g.Phnum), atPagesz, abi.PageSize, atBase, g.Base, atFlags, 0,
		atEntry, g.Entry + g.Bias, atEuid, bsd.EUID(c), atRuid, bsd.UID(c), atEgid, bsd.EGID(c), atRgid, bsd.GID(c),
		atStackbase, top, atExecname, execname, atNull, 0,
	}
	psAt, sp := g.Finish(c, p, aux)
	regs := abi.Regs{IP: g.Loaded.Begin, BX: psAt, SP: sp, Flags: 0x202}
	c.SetRegs(&regs, false)
	return 0
}

var le = binary.LittleEndian
