#include "textflag.h"
#include "go_asm.h"

// The library's assembly. Go code reaches it only through the addresses in
// Thread.PC, as closures (call_unsafe.go): arguments in AX BX CX DI SI R8 R9, result
// in AX, R14 (g) and X15 (zero) kept, the rest free. No routine has a frame.

// func Entries(e *Entry)
// Runs on the host side. Addresses must be taken in assembly: Go would give
// those of wrappers.
TEXT ·Entries(SB),NOSPLIT,$0-8
	MOVQ e+0(FP), AX
	LEAQ sigEntry<>(SB), CX
	MOVQ CX, Entry_Sig(AX)
	LEAQ restorer<>(SB), CX
	MOVQ CX, Entry_Restorer(AX)
	LEAQ hostCall<>(SB), CX
	MOVQ CX, Entry_HostCall(AX)
	LEAQ waitCall<>(SB), CX
	MOVQ CX, Entry_Wait(AX)
	LEAQ copyBytes<>(SB), CX
	MOVQ CX, Entry_Copy(AX)
	LEAQ zeroBytes<>(SB), CX
	MOVQ CX, Entry_Zero(AX)
	LEAQ store32<>(SB), CX
	MOVQ CX, Entry_Store32(AX)
	LEAQ cas32<>(SB), CX
	MOVQ CX, Entry_Cas32(AX)
	LEAQ fixup<>(SB), CX
	MOVQ CX, Entry_Fixup(AX)
	LEAQ spin<>(SB), CX
	MOVQ CX, Entry_Spin(AX)
	LEAQ getFS<>(SB), CX
	MOVQ CX, Entry_GetFS(AX)
	LEAQ setFS<>(SB), CX
	MOVQ CX, Entry_SetFS(AX)
	LEAQ cloneThread<>(SB), CX
	MOVQ CX, Entry_Clone(AX)
	LEAQ startTrap<>(SB), CX
	MOVQ CX, Entry_Start(AX)
	LEAQ bootEntry<>(SB), CX
	MOVQ CX, Entry_Boot(AX)
	RET

// Signal entry. In: DI signal, SI siginfo, DX ucontext, SP the frame.
// Out: AX thread, BX signal, CX siginfo, DI ucontext for HandleGo; R14 fake g.
// The guest's AC flag would make unaligned accesses fault: the host clears DF
// and TF for a handler, but not AC.
TEXT sigEntry<>(SB),NOSPLIT|NOFRAME,$0
	PUSHFQ
	ANDQ $~0x40400, (SP)
	POPFQ
	MOVQ SP, AX
	ANDQ $~(const_ThreadSize-1), AX
	MOVQ DI, BX
	MOVQ SI, CX
	MOVQ DX, DI
	LEAQ Thread_G(AX), R14
	XORPS X15, X15
	MOVQ (Thread_PC+Entry_HandleGo)(AX), DX
	SUBQ $64, SP
	CALL DX
	ADDQ $72, SP
	MOVL $15, AX // rt_sigreturn
	SYSCALL
	UD2

// The host wants a restorer; the entry never returns to it.
TEXT restorer<>(SB),NOSPLIT|NOFRAME,$0
	MOVL $15, AX
	SYSCALL
	UD2

// Host call. In: AX number, BX CX DI SI R8 R9 arguments. Out: AX.
TEXT hostCall<>(SB),NOSPLIT|NOFRAME,$0
	MOVQ DI, DX
	MOVQ SI, R10
	MOVQ BX, DI
	MOVQ CX, SI
	SYSCALL
	RET

// As hostCall, but answers -EINTR at once if a kick came. A kick that comes
// before the SYSCALL finds IP in [waitCall, SYSCALL] and moves it to the end;
// one that comes in it makes the host answer -EINTR.
TEXT waitCall<>(SB),NOSPLIT|NOFRAME,$0
	MOVQ DI, DX
	MOVQ SI, R10
	MOVQ BX, DI
	MOVQ CX, SI
	MOVQ SP, R11
	ANDQ $~(const_ThreadSize-1), R11
	CMPL Thread_Kicked(R11), $0
	JNE cut
	SYSCALL
	RET
cut:
	MOVQ $-4, AX
	RET

// Fault-guarded copy. In: CX bytes, DI to, SI from. Out: AX bytes left. The
// first instruction is the one that faults.
TEXT copyBytes<>(SB),NOSPLIT|NOFRAME,$0
	REP; MOVSB
	MOVQ CX, AX
	RET

// Fault-guarded fill. In: AX value, CX bytes, DI to. Out: AX bytes left.
TEXT zeroBytes<>(SB),NOSPLIT|NOFRAME,$0
	REP; STOSB
	MOVQ CX, AX
	RET

// Fault-guarded store. In: AX value, CX 4, DI to. Out: AX 0, or 4 on a fault.
TEXT store32<>(SB),NOSPLIT|NOFRAME,$0
	MOVL AX, (DI)
	XORL AX, AX
	RET

// Fault-guarded exchange if equal. In: AX old, BX new, CX 1<<32, DI address.
// Out: AX what was there, or 1<<32 on a fault.
TEXT cas32<>(SB),NOSPLIT|NOFRAME,$0
	LOCK
	CMPXCHGL BX, (DI)
	MOVL AX, AX
	RET

// Where the fault handler sends the four above. In: CX. Out: AX.
TEXT fixup<>(SB),NOSPLIT|NOFRAME,$0
	MOVQ CX, AX
	RET

// Wait while the word is AX. In: AX value, CX turns, DI address. Out: AX turns left.
TEXT spin<>(SB),NOSPLIT|NOFRAME,$0
again:
	TESTQ CX, CX
	JZ done
	CMPL (DI), AX
	JNE done
	PAUSE
	DECQ CX
	JMP again
done:
	MOVQ CX, AX
	RET

// Out: AX the guest's FS base. Only where the host allows FSGSBASE.
TEXT getFS<>(SB),NOSPLIT|NOFRAME,$0
	RDFSBASEQ AX
	RET

// In: AX a canonical address, the new FS base.
TEXT setFS<>(SB),NOSPLIT|NOFRAME,$0
	WRFSBASEQ AX
	XORL AX, AX
	RET

// Clone of a thread. In: AX number, BX flags, CX stack (in the new thread's
// block), DI and SI address of its HostTid, R8 unused. Out: AX in the caller.
// The new thread starts ThreadGo(t) and continues the ucontext it answers.
TEXT cloneThread<>(SB),NOSPLIT|NOFRAME,$0
	MOVQ DI, DX
	MOVQ SI, R10
	MOVQ BX, DI
	MOVQ CX, SI
	SYSCALL
	TESTQ AX, AX
	JZ child
	RET
child:
	MOVQ SP, AX
	ANDQ $~(const_ThreadSize-1), AX
	LEAQ Thread_G(AX), R14
	XORPS X15, X15
	MOVQ (Thread_PC+Entry_ThreadGo)(AX), DX
	SUBQ $64, SP
	CALL DX
	MOVQ AX, SP
	MOVL $15, AX
	SYSCALL
	UD2

// The signal that this raises gives a new task its first signal frame.
TEXT startTrap<>(SB),NOSPLIT|NOFRAME,$0
	BYTE $0xcc // INT3, in its one-byte form
	UD2

// First code in the image. In: SP in thread block 0, DI the host's start
// stack. Runs BootGo(t, stack), which does not return.
TEXT bootEntry<>(SB),NOSPLIT|NOFRAME,$0
	CLD
	MOVQ DI, BX
	LEAQ -8(SP), AX
	ANDQ $~(const_ThreadSize-1), AX
	LEAQ Thread_G(AX), R14
	XORPS X15, X15
	MOVQ (Thread_PC+Entry_BootGo)(AX), DX
	SUBQ $128, SP
	CALL DX
	UD2
