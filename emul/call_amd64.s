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
	LEAQ cycles<>(SB), CX
	MOVQ CX, Entry_Cycles(AX)
	LEAQ warm<>(SB), CX
	MOVQ CX, Entry_Warm(AX)
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
	LEAQ getGS<>(SB), CX
	MOVQ CX, Entry_GetGS(AX)
	LEAQ setGS<>(SB), CX
	MOVQ CX, Entry_SetGS(AX)
	LEAQ siteStubs<>(SB), CX
	MOVQ CX, Entry_SiteStubs(AX)
	LEAQ storeStubs<>(SB), CX
	MOVQ CX, Entry_StoreStubs(AX)
	LEAQ siteStore<>(SB), CX
	MOVQ CX, Entry_SiteStore(AX)
	LEAQ siteSelf<>(SB), CX
	MOVQ CX, Entry_SiteSelf(AX)
	LEAQ siteLoad<>(SB), CX
	MOVQ CX, Entry_SiteLoad(AX)
	LEAQ siteQuick<>(SB), CX
	MOVQ CX, Entry_SiteQuick(AX)
	LEAQ siteGeneral<>(SB), CX
	MOVQ CX, Entry_SiteGeneral(AX)
	LEAQ siteSlow<>(SB), CX
	MOVQ CX, Entry_SiteSlow(AX)
	LEAQ siteExit<>(SB), CX
	MOVQ CX, Entry_SiteExit(AX)
	LEAQ sitePromote<>(SB), CX
	MOVQ CX, Entry_SitePromote(AX)
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

// Out: AX the processor's count of cycles.
TEXT cycles<>(SB),NOSPLIT|NOFRAME,$0
	RDTSC
	SHLQ $32, DX
	ORQ  DX, AX
	RET

// Ask for lines of 64 bytes that will be written: PREFETCHW (AX), which never faults and
// which processors that do not know it pass over. In: AX address, BX lines, at least 1.
TEXT warm<>(SB),NOSPLIT|NOFRAME,$0
line:
	BYTE $0x0f; BYTE $0x0d; BYTE $0x08
	ADDQ $64, AX
	DECQ BX
	JNZ line
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

// Out: AX the GS base. Only where the host allows FSGSBASE.
TEXT getGS<>(SB),NOSPLIT|NOFRAME,$0
	RDGSBASEQ AX
	RET

// In: AX a canonical address, the new GS base.
TEXT setGS<>(SB),NOSPLIT|NOFRAME,$0
	WRGSBASEQ AX
	XORL AX, AX
	RET

// Patched call sites (docs/patching.md). A site jumps to its own stub, which
// says which site it was: everything is the guest's but CX and R11, which SYSCALL
// would spoil. No flag may change before siteLoad has saved them.
#define SITE(i) BYTE $0x41; BYTE $0xbb; LONG $(i); JMP siteEntry<>(SB);
#define SITE4(i) SITE(i) SITE(i+1) SITE(i+2) SITE(i+3)
#define SITE16(i) SITE4(i) SITE4(i+4) SITE4(i+8) SITE4(i+12)
#define SITE64(i) SITE16(i) SITE16(i+16) SITE16(i+32) SITE16(i+48)
#define SITE256(i) SITE64(i) SITE64(i+64) SITE64(i+128) SITE64(i+192)

// Sites stubs of 11 bytes: MOVL $i, R11; JMP siteEntry.
TEXT siteStubs<>(SB),NOSPLIT|NOFRAME,$0
	SITE256(0)
	SITE256(256)
	SITE256(512)
	SITE256(768)
	UD2

// Sites whose jump takes the place of a store of R11 (musl's cancellation points): the
// number comes in CX. Stubs of 10 bytes: MOVL $i, CX; JMP siteStore.
#undef SITE
#define SITE(i) BYTE $0xb9; LONG $(i); JMP siteStore<>(SB);
TEXT storeStubs<>(SB),NOSPLIT|NOFRAME,$0
	SITE256(0)
	SITE256(256)
	SITE256(512)
	SITE256(768)
	UD2

// In: CX site. The first instruction faults if the guest's stack cannot be written.
TEXT siteStore<>(SB),NOSPLIT|NOFRAME,$0
	MOVQ R11, 8(SP)
	MOVQ CX, R11
	JMP siteEntry<>(SB)

// In: R11 site. Packs the number of the call, EAX, into the upper half of R11, its
// bytes in reverse, so that AX is free.
TEXT siteEntry<>(SB),NOSPLIT|NOFRAME,$0
	MOVL AX, AX
	BSWAPQ AX
	LEAQ (R11)(AX*1), R11
	JMP siteSelf<>(SB)

// Loads the block's address from the block at GS. It faults where GS is the guest's and
// leads nowhere.
TEXT siteSelf<>(SB),NOSPLIT|NOFRAME,$0
	MOVQ Thread_Self(GS), AX
	JMP siteLoad<>(SB)

#define REGS (Thread_Site+Ucontext_Regs)

// In: AX what siteSelf found, R11. Checks that it is a thread block's address: such a
// one holds its negative address. The first instruction faults where the guest has a GS
// of its own.
TEXT siteLoad<>(SB),NOSPLIT|NOFRAME,$0
	MOVQ Thread_Neg(AX), CX
	LEAQ (CX)(AX*1), CX
	JCXZQ own
	JMP siteSlow<>(SB)
own:
	MOVQ R11, Thread_SiteNr(AX)
	JMP siteQuick<>(SB)

// In: AX thread. A site whose call is answered by a word (Site.Quick, Site.Told) needs nothing saved but what
// SYSCALL would leave in CX and R11. A kick that comes here goes on in siteGeneral, which
// has a way back that looks for kicks: until the jump all that it needs is as it was, but for SP for
// two instructions.
TEXT siteQuick<>(SB),NOSPLIT|NOFRAME,$0
	MOVL Thread_SiteNr(AX), CX
	MOVQ Thread_Window(AX), R11
	LEAQ (CX)(CX*2), CX
	LEAQ (CX)(CX*1), CX
	LEAQ const_SitesOff(R11)(CX*8), R11
	MOVQ Site_Quick(R11), CX
	JCXZQ told
	MOVQ (CX), CX
value:
	MOVQ CX, (REGS+104)(AX)
	MOVQ Site_Ret(R11), CX
	MOVQ CX, (REGS+128)(AX)
	MOVQ SP, (REGS+120)(AX)
	LEAQ const_ThreadSize(AX), SP
	PUSHFQ
	POPQ R11
	MOVQ (REGS+120)(AX), SP
	MOVL Thread_Kicked(AX), CX
	JCXZQ answer
general:
	JMP siteGeneral<>(SB)
told:
	MOVQ Site_Told(R11), CX
	JCXZQ general
	MOVQ (CX), CX
	JCXZQ general
	LEAQ -1(CX), CX
	JMP value
answer:
	MOVQ (REGS+128)(AX), CX
	MOVQ (REGS+104)(AX), AX
	BYTE $0xff; BYTE $0xe1 // JMP CX
	UD2

// In: AX thread, Thread_SiteNr. Saves the guest's state and runs SiteGo(t).
TEXT siteGeneral<>(SB),NOSPLIT|NOFRAME,$0
	MOVQ R8, (REGS+0)(AX)
	MOVQ R9, (REGS+8)(AX)
	MOVQ R10, (REGS+16)(AX)
	MOVQ R12, (REGS+32)(AX)
	MOVQ R13, (REGS+40)(AX)
	MOVQ R14, (REGS+48)(AX)
	MOVQ R15, (REGS+56)(AX)
	MOVQ DI, (REGS+64)(AX)
	MOVQ SI, (REGS+72)(AX)
	MOVQ BP, (REGS+80)(AX)
	MOVQ BX, (REGS+88)(AX)
	MOVQ DX, (REGS+96)(AX)
	MOVQ SP, (REGS+120)(AX)
	LEAQ const_ThreadSize(AX), SP
	PUSHFQ
	MOVQ (SP), CX
	MOVQ CX, (REGS+136)(AX)
	ANDQ $~0x40500, CX // AC, DF, TF
	CMPQ CX, (SP)
	JEQ clean
	MOVQ CX, (SP)
	POPFQ
	PUSHFQ
clean:
	MOVUPS X0, (Thread_SiteX+0)(AX)
	MOVUPS X1, (Thread_SiteX+16)(AX)
	MOVUPS X2, (Thread_SiteX+32)(AX)
	MOVUPS X3, (Thread_SiteX+48)(AX)
	MOVUPS X4, (Thread_SiteX+64)(AX)
	MOVUPS X5, (Thread_SiteX+80)(AX)
	MOVUPS X6, (Thread_SiteX+96)(AX)
	MOVUPS X7, (Thread_SiteX+112)(AX)
	MOVUPS X8, (Thread_SiteX+128)(AX)
	MOVUPS X9, (Thread_SiteX+144)(AX)
	MOVUPS X10, (Thread_SiteX+160)(AX)
	MOVUPS X11, (Thread_SiteX+176)(AX)
	MOVUPS X12, (Thread_SiteX+192)(AX)
	MOVUPS X13, (Thread_SiteX+208)(AX)
	MOVUPS X14, (Thread_SiteX+224)(AX)
	MOVUPS X15, (Thread_SiteX+240)(AX)
	MOVL $1, Thread_Depth(AX)
	LEAQ Thread_G(AX), R14
	XORPS X15, X15
	MOVQ (Thread_PC+Entry_SiteGo)(AX), DX
	SUBQ $64, SP
	CALL DX
	LEAQ -1(SP), CX
	ANDQ $~(const_ThreadSize-1), CX
	TESTQ AX, AX
	JEQ over
	JMP sitePromote<>(SB)
over:
	JMP siteExit<>(SB)

// A patched site with a GS of the guest's. In: R11. The handler goes on.
TEXT siteSlow<>(SB),NOSPLIT|NOFRAME,$0
	BYTE $0xcc // INT3
	UD2

// The guest's vectors, as siteLoad saved them. In: CX thread.
#define LOADX \
	MOVUPS (Thread_SiteX+0)(CX), X0; \
	MOVUPS (Thread_SiteX+16)(CX), X1; \
	MOVUPS (Thread_SiteX+32)(CX), X2; \
	MOVUPS (Thread_SiteX+48)(CX), X3; \
	MOVUPS (Thread_SiteX+64)(CX), X4; \
	MOVUPS (Thread_SiteX+80)(CX), X5; \
	MOVUPS (Thread_SiteX+96)(CX), X6; \
	MOVUPS (Thread_SiteX+112)(CX), X7; \
	MOVUPS (Thread_SiteX+128)(CX), X8; \
	MOVUPS (Thread_SiteX+144)(CX), X9; \
	MOVUPS (Thread_SiteX+160)(CX), X10; \
	MOVUPS (Thread_SiteX+176)(CX), X11; \
	MOVUPS (Thread_SiteX+192)(CX), X12; \
	MOVUPS (Thread_SiteX+208)(CX), X13; \
	MOVUPS (Thread_SiteX+224)(CX), X14; \
	MOVUPS (Thread_SiteX+240)(CX), X15

// In: CX thread. Loads the guest's state. A kick that comes here begins it anew, so
// everything must still be in the block, and nothing on the stack matters.
TEXT siteExit<>(SB),NOSPLIT|NOFRAME,$0
	LEAQ const_ThreadSize(CX), SP
	CMPL Thread_Kicked(CX), $0
	JEQ quiet
	JMP sitePromote<>(SB)
quiet:
	MOVL $0, Thread_Depth(CX)
	LOADX
	MOVQ (REGS+0)(CX), R8
	MOVQ (REGS+8)(CX), R9
	MOVQ (REGS+16)(CX), R10
	MOVQ (REGS+32)(CX), R12
	MOVQ (REGS+40)(CX), R13
	MOVQ (REGS+48)(CX), R14
	MOVQ (REGS+56)(CX), R15
	MOVQ (REGS+64)(CX), DI
	MOVQ (REGS+72)(CX), SI
	MOVQ (REGS+80)(CX), BP
	MOVQ (REGS+88)(CX), BX
	MOVQ (REGS+96)(CX), DX
	MOVQ (REGS+104)(CX), AX
	PUSHQ (REGS+136)(CX)
	POPFQ
	MOVQ (REGS+24)(CX), R11
	MOVQ (REGS+120)(CX), SP
	MOVQ (REGS+128)(CX), CX
	BYTE $0xff; BYTE $0xe1 // JMP CX, as the host returns: CX is where to
	UD2

// In: CX thread. Raises the signal whose frame the call needs, with the guest's
// vector state in it.
TEXT sitePromote<>(SB),NOSPLIT|NOFRAME,$0
	LOADX
	BYTE $0xcc // INT3
	UD2
