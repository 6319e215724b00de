package dragonfly

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/personality/bsd"
	"hythe/personality/image"
	"hythe/server/unix/core"
)

// What the system says that it is: DragonFly 6.4 (sys/param.h, __DragonFly_version).
const (
	release = "6.4-RELEASE"
	relDate = 600400
)

// brand says whether a program is DragonFly's: by the note that carries the release it was
// built for, or, since Go's linker makes no such note, as a static program of Go without
// PT_GNU_STACK, which that linker gives to every program for Linux.
func brand(head []byte) bool {
	const noteABITag, goBuildID = 1, 4
	if _, ok := image.Note(head, "DragonFly", noteABITag); ok {
		return true
	}
	const osabi, execType = 7, 16
	if _, ok := image.Note(head, "Go\x00", goBuildID); !ok || head[osabi] != 0 || le.Uint16(head[execType:]) != image.ETExec {
		return false
	}
	for _, t := range []uint32{image.PTGnuStack, image.PTInterp} {
		if image.HasSegment(head, t) {
			return false
		}
	}
	return true
}

// Auxiliary vector types (sys/elf_common.h).
const (
	atNull      = 0
	atPhdr      = 3
	atPhent     = 4
	atPhnum     = 5
	atPagesz    = 6
	atBase      = 7
	atFlags     = 8
	atEntry     = 9
	atExecpath  = 15
	atOsreldate = 18
)

// sigcode is the code by which a signal handler is called and comes back (sigcode of
// sys/platform/pc64/x86_64): call *32(%rsp); lea 64(%rsp),%rdi; pushq $0; mov $344,%rax;
// syscall; hlt; jmp .-1.
var sigcode = [...]byte{0xff, 0x54, 0x24, 0x20, 0x48, 0x8d, 0x7c, 0x24, 0x40, 0x6a, 0x00, 0x48, 0xc7, 0xc0, 0x58, 0x01, 0x00, 0x00, 0x0f, 0x05, 0xf4, 0xeb, 0xfd}

// start builds the image of a program (exec_setregs, exec_copyout_strings
// of the system).
func start(p *bsd.Personality, c *core.Call) abi.Errno {
	g, e := bsd.Load(c)
	if e != 0 {
		return e
	}
	bsd.MapCode(c, sigcode[:])
	execpath := g.Str(g.Name)
	g.Strings()
	aux := []uint64{
		atPhdr, g.PhdrAt(g.Bias), atPhent, image.PhdrSize, atPhnum, uint64(g.Phnum), atPagesz, abi.PageSize, atFlags, 0,
		atEntry, g.Entry + g.Bias, atBase, g.Base, atExecpath, execpath, atOsreldate, relDate,
		atNull, 0,
	}
	_, sp := g.Finish(c, p, aux)
	// RDI too is where argc is, and the stack is as after a call.
	regs := abi.Regs{IP: g.Loaded.Begin, DI: sp, SP: (sp-8)&^15 + 8, Flags: 0x202}
	c.SetRegs(&regs, false)
	return 0
}

var le = binary.LittleEndian
