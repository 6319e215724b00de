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

// codePage is where the code lies by which a signal handler is called and comes back:
// above everything that a start places.
const codePage = image.GuestEnd - abi.PageSize

// sigcode is that code (sigcode of sys/platform/pc64/x86_64): call *32(%rsp);
// lea 64(%rsp),%rdi; pushq $0; mov $344,%rax; syscall; hlt; jmp .-1.
var sigcode = [...]byte{0xff, 0x54, 0x24, 0x20, 0x48, 0x8d, 0x7c, 0x24, 0x40, 0x6a, 0x00, 0x48, 0xc7, 0xc0, 0x58, 0x01, 0x00, 0x00, 0x0f, 0x05, 0xf4, 0xeb, 0xfd}

// start builds the image of a program (exec_setregs, exec_copyout_strings
// of the system).
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
	c.Act(abi.ActMapAnon, 0, codePage, abi.PageSize, image.ProtRead|image.ProtWrite, image.MapPrivate|image.MapFixed)
	c.CopyOut(codePage, sigcode[:])
	c.Act(abi.ActProtect, 0, codePage, abi.PageSize, image.ProtRead|image.ProtExec)

	st := image.StartStack(c, &r, f)
	execpath := st.Str(name)
	argPtr, envPtr := st.Args(argv, envp)
	st.Align()
	aux := []uint64{
		atPhdr, f.PhdrAt(l.Bias), atPhent, image.PhdrSize, atPhnum, uint64(f.Phnum), atPagesz, abi.PageSize, atFlags, 0,
		atEntry, f.Entry + l.Bias, atBase, l.Base, atExecpath, execpath, atOsreldate, relDate,
		atNull, 0,
	}
	n := 1 + len(argv) + 1 + len(envp) + 1 + len(aux)
	psAt := st.SP - 32
	sp := (psAt - 8*uint64(n)) &^ 15
	argvAt, envAt := sp+8, sp+8*uint64(2+len(argv))
	st.Words([]uint64{argvAt, uint64(len(argv)), envAt, uint64(len(envp))}) // struct ps_strings
	words, auxAt := image.Vectors(argPtr, envPtr, aux)
	for sp+8*uint64(len(words)) < psAt {
		words = append(words, 0)
	}
	st.Words(words)
	st.Begin(c, p, auxAt, len(aux), f.Hi+l.Bias)
	// RDI too is where argc is, and the stack is as after a call.
	regs := abi.Regs{IP: l.Begin, DI: sp, SP: (sp-8)&^15 + 8, Flags: 0x202}
	c.SetRegs(&regs, false)
	return 0
}

var le = binary.LittleEndian
