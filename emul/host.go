package emul

// Host numbers that the library uses: calls (arch/x86/entry/syscalls/
// syscall_64.tbl), errors (asm-generic/errno-base.h, errno.h), and constants of
// asm-generic/mman-common.h, linux/futex.h, asm/prctl.h, linux/prctl.h.
const (
	sysMmap         = 9
	sysMprotect     = 10
	sysMunmap       = 11
	sysWrite        = 1
	sysClose        = 3
	sysSigaction    = 13
	sysSigprocmask  = 14
	sysYield        = 24
	sysMremap       = 25
	sysMsync        = 26
	sysMincore      = 27
	sysMadvise      = 28
	sysDup2         = 33
	sysGetitimer    = 36
	sysSetitimer    = 38
	sysSendto       = 44
	sysRecvfrom     = 45
	sysRecvmsg      = 47
	sysClone        = 56
	sysExit         = 60
	sysWait4        = 61
	sysChdir        = 80
	sysCapset       = 126
	sysSigaltstack  = 131
	sysPivotRoot    = 155
	sysPrctl        = 157
	sysArchPrctl    = 158
	sysSetrlimit    = 160
	sysChroot       = 161
	sysMount        = 165
	sysUmount2      = 166
	sysGettid       = 186
	sysFutex        = 202
	sysClockGettime = 228
	sysExitGroup    = 231
	sysOpenat       = 257
	sysEpollPwait   = 281
	sysGetcpu       = 309
	sysGetrandom    = 318
	sysUserfaultfd  = 323
	sysMembarrier   = 324
	sysCloseRange   = 436

	ePERM        = 1
	eNOENT       = 2
	eSRCH        = 3
	eINTR        = 4
	eBADF        = 9
	eAGAIN       = 11
	eNOMEM       = 12
	eFAULT       = 14
	eBUSY        = 16
	eEXIST       = 17
	eINVAL       = 22
	eNOTTY       = 25
	eDEADLK      = 35
	eNOSYS       = 38
	eTIMEDOUT    = 110
	eALREADY     = 114
	eCONNRESET   = 104
	eHOSTUNREACH = 113
	eBADMSG      = 74

	sigILL    = 4
	sigTRAP   = 5
	sigBUS    = 7
	sigFPE    = 8
	sigSEGV   = 11
	sigCHLD   = 17
	sigXCPU   = 24
	sigVTALRM = 26
	sigPROF   = 27
	sigSYS    = 31

	msgDontwait = 0x40
	msgNosignal = 0x4000
	msgMore     = 0x8000

	rlimitCPU  = 0
	rlimitData = 2
	rlimitAS   = 9

	protRead  = 1
	protWrite = 2
	protExec  = 4

	mapShared    = 0x01
	mapPrivate   = 0x02
	mapType      = 0x0f
	mapFixed     = 0x10
	mapAnon      = 0x20
	mapLocked    = 0x2000
	mapNoreserve = 0x4000
	mapHuge      = 0x40000
	mapNoreplace = 0x100000

	madvDontfork = 10
	madvDofork   = 11

	// uffdUser are the flags of the only userfaultfd that the library makes: O_CLOEXEC,
	// O_NONBLOCK, UFFD_USER_MODE_ONLY (linux/userfaultfd.h).
	uffdUser = 0x80000 | 0x800 | 1

	mremapMaymove   = 1
	mremapFixed     = 2
	mremapDontunmap = 4

	msAsync = 1

	// atEmptyPath is the only flag of fstatat(2) with which LocalStatAt is served (linux/fcntl.h).
	atEmptyPath = 0x1000

	// What is asked of a file (asm-generic/ioctls.h, asm-generic/fcntl.h, linux/eventpoll.h), and the
	// flags that F_SETFL sets: O_APPEND, O_NONBLOCK, O_ASYNC, O_DIRECT, O_NOATIME.
	tcgets       = 0x5401
	fGetfl       = 3
	fSetfl       = 4
	oNonblock    = 0x800
	oSettable    = 0x400 | oNonblock | 0x2000 | 0x4000 | 0x40000
	epollCtlAdd  = 1
	epollCtlDel  = 2
	epollCtlMod  = 3
	epollEvtSize = 12

	futexWait          = 0
	futexWake          = 1
	futexRequeue       = 3
	futexCmpRequeue    = 4
	futexWakeOp        = 5
	futexLockPI        = 6
	futexUnlockPI      = 7
	futexTrylockPI     = 8
	futexWaitBitset    = 9
	futexWakeBitset    = 10
	futexWaitRequeuePI = 11
	futexCmpRequeuePI  = 12
	futexLockPI2       = 13
	futexPrivate       = 128
	futexRealtime      = 256

	archSetGS = 0x1001
	archSetFS = 0x1002
	archGetFS = 0x1003
	archGetGS = 0x1004

	hwcap2FSGSBASE = 2

	// maxUser is the end of user addresses with four-level page tables.
	maxUser = 0x7fff_ffff_f000

	pageMask = 4095

	// kickMask is what is masked in the library: kicks, and the host's clocks.
	kickMask = 1<<(KickSignal-1) | 1<<(sigXCPU-1) | 1<<(sigVTALRM-1) | 1<<(sigPROF-1)
)
