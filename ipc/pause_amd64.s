#include "textflag.h"

// func pause(n uint32)
//
//	AX  rounds left
//
// Tells the processor that this is a spin loop; n is at least 1.
TEXT ·pause(SB), NOSPLIT, $0-4
	MOVL n+0(FP), AX

loop:
	PAUSE
	SUBL $1, AX
	JNZ  loop
	RET

// func Cycles() uint64
//
// Answers RDTSC.
TEXT ·Cycles(SB), NOSPLIT, $0-8
	RDTSC
	SHLQ $32, DX
	ORQ  DX, AX
	MOVQ AX, ret+0(FP)
	RET

// func prefetch(p unsafe.Pointer, n int)
//
//	AX  the next line of 64 bytes
//	CX  lines left; at least 1
//
// Asks for memory that will be read. It never faults.
TEXT ·prefetch(SB), NOSPLIT, $0-16
	MOVQ p+0(FP), AX
	MOVQ n+8(FP), CX

line:
	PREFETCHT0 (AX)
	ADDQ $64, AX
	SUBQ $1, CX
	JNZ  line
	RET

// func prefetchWrite(p unsafe.Pointer, n int)
//
// As prefetch, for memory that will be written: PREFETCHW (AX), which processors that
// do not know it pass over.
TEXT ·prefetchWrite(SB), NOSPLIT, $0-16
	MOVQ p+0(FP), AX
	MOVQ n+8(FP), CX

wline:
	BYTE $0x0f; BYTE $0x0d; BYTE $0x08
	ADDQ $64, AX
	SUBQ $1, CX
	JNZ  wline
	RET
