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
