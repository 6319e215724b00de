#include "textflag.h"

// The first code of a machine's pid 1. It is copied to offset 0x100 of a
// one-page executable at 0x200000 (boot_linux_unsafe.go) and so may refer to
// nothing outside itself. At 0x200800 is what it has to do: a count, an
// address to go to, a stack, and the arguments of count calls of mmap.
//
// R12 the list, R13 calls left, R15 the next call's arguments.
TEXT bootStub<>(SB),NOSPLIT|NOFRAME,$0
	MOVQ $0x200800, R12
	MOVQ 0(R12), R13
	LEAQ 24(R12), R15
next:
	TESTQ R13, R13
	JZ done
	MOVQ 0(R15), DI
	MOVQ 8(R15), SI
	MOVQ 16(R15), DX
	MOVQ 24(R15), R10
	MOVQ 32(R15), R8
	MOVQ 40(R15), R9
	MOVL $9, AX // mmap
	SYSCALL
	CMPQ AX, 0(R15)
	JNE fail
	ADDQ $48, R15
	DECQ R13
	JMP next
done:
	MOVQ SP, DI
	MOVQ 16(R12), SP
	MOVQ 8(R12), AX
	JMP AX
fail:
	MOVL $99, DI
	MOVL $231, AX // exit_group
	SYSCALL
	UD2
	// The end mark: copying stops behind it.
	UD2
	UD2
	UD2

// func bootStubPC() uintptr
TEXT ·bootStubPC(SB),NOSPLIT,$0-8
	LEAQ bootStub<>(SB), AX
	MOVQ AX, ret+0(FP)
	RET
