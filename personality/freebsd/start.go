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

// sigcode is the code by which a signal handler is called and comes back
// (sys/amd64/amd64/sigtramp.S): call *(%rsp); lea 16(%rsp),%rdi; pushq $0; mov $417,%rax;
// syscall; hlt; jmp .-1. The handler lies at the frame's start, its context 16 bytes behind.
var sigcode = [...]byte{0xff, 0x14, 0x24, 0x48, 0x8d, 0x7c, 0x24, 0x10, 0x6a, 0x00, 0x48, 0xc7, 0xc0, 0xa1, 0x01, 0x00, 0x00, 0x0f, 0x05, 0xf4, 0xeb, 0xfd}

// start builds the image of a program (exec_setregs, exec_copyout_strings,
// elf64_freebsd_fixup of the system).
func start(p *bsd.Personality, c *core.Call) abi.Errno {
	k := c.K
	g, e := bsd.Load(c)
	if e != 0 {
		return e
	}
	bsd.MapCode(c, sigcode[:])
	var canary [64]byte
	k.Random(canary[:])
	pageSizes := g.Words([]uint64{abi.PageSize, 2 << 20})
	canaryAt := g.Bytes(canary[:])
	execpath := g.Str(g.Name)
	g.Strings()
	cpus := k.CPUs()
	aux := []uint64{
		atPhdr, g.PhdrAt(g.Bias), atPhent, image.PhdrSize, atPhnum, uint64(g.Phnum), atPagesz, abi.PageSize, atFlags, 0,
		atEntry, g.Entry + g.Bias, atBase, g.Base, atExecpath, execpath, atOsreldate, relDate, atCanary, canaryAt, atCanarylen, uint64(len(canary)),
		atNcpus, uint64(cpus.Len()), atPagesizes, pageSizes, atPagesizelen, 16, atStackprot, g.Prot, atHwcap, c.Args[1], atHwcap2, c.Args[2],
		atArgc, uint64(len(g.Argv)), atArgv, 0, atEnvc, uint64(len(g.Envp)), atEnvv, 0, atPsStrings, 0, atNull, 0,
	}
	psAt, argvAt, envAt := g.Places(len(aux))
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
	_, sp := g.Finish(c, p, aux)
	// RDI too is where argc is, and the stack is as after a call.
	regs := abi.Regs{IP: g.Loaded.Begin, DI: sp, SP: (sp-8)&^15 + 8, Flags: 0x202}
	c.SetRegs(&regs, false)
	return 0
}

var le = binary.LittleEndian
