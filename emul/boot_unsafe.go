package emul

import (
	"unsafe"

	"hythe/abi"
)

// Steps of Boot, as told to the host side when one fails (BootFailed).
const (
	StepUnmap = 1 + iota
	StepReserve
	StepMount
	StepRoot
	StepFDs
	StepCaps
	StepNoNewPrivs
	StepSignals
	StepZygote
	StepFilter
)

// BootFailed and BootReady are what the first datagram on the zygote's channel
// says (CallHeader.Op): A[0] is the step, A[1] the host's errno.
const (
	BootFailed = 0xb007
	BootReady  = 0xb008
)

// SpawnOp is the command to the zygote; three descriptors go with it: the new
// task's control channel, message area and doorbell.
const SpawnOp = 0x5a90

// Constants of linux/prctl.h, linux/capability.h, linux/mount.h, linux/auxvec.h.
const (
	prSetPdeathsig   = 1
	prSetName        = 15
	prSetSeccomp     = 22
	prCapbsetDrop    = 24
	prSetNoNewPrivs  = 38
	prCapAmbient     = 47
	prCapAmbientZero = 4
	seccompFilter    = 2
	rlimitCore       = 4
	rlimitNproc      = 6
	msRdonly         = 1
	msNosuid         = 2
	msNodev          = 4
	msNoexec         = 8
	msRec            = 0x4000
	msPrivate        = 0x40000
	mntDetach        = 2
	oPathDirectory   = 0x200000 | 0x10000
	atFdcwd          = ^uintptr(99)
	auxHwcap         = 16
	auxClkTck        = 17
	auxHwcap2        = 26
	auxExecfn        = 31
	auxVDSO          = 33
	auxMinStack      = 51
	saFlags          = 0x4 | 0x04000000 | 0x08000000 | 0x40000000 // SIGINFO RESTORER ONSTACK NODEFER
)

// name8 packs up to eight bytes of a C string.
func name8(a, b, c, d, e, f, g, h uint64) uint64 {
	return a | b<<8 | c<<16 | d<<24 | e<<32 | f<<40 | g<<48 | h<<56
}

// check ends the machine's start if a host call failed.
func (t *Thread) check(step, r uintptr) {
	if failed(r) {
		t.say(BootFailed, uint64(step), uint64(-r))
		t.die(step)
	}
}

// Boot is the first Go code of a new machine, in its pid 1, with all
// capabilities in the machine's own namespaces. It makes the address space the
// library's, gives up everything, starts the zygote and stays as the reaper.
func Boot(t *Thread, sp uintptr) {
	t.host(sysPrctl, prSetPdeathsig, 9, 0, 0, 0, 0)
	end := t.readStart(sp)
	if task := t.task(); uintptr(task.VDSO) < t.Window {
		// The host's old lay-out (an unlimited stack) has the vDSO low: it
		// goes with the rest, and guests ask for the time by calls.
		task.VDSO = 0
	}
	t.check(StepUnmap, t.host(sysMunmap, 0, t.Window, 0, 0, 0, 0))
	// Above are the start stack, of which only the end is known, and the vDSO
	// with its data before it, on either side of the stack.
	from := t.Window + WindowSize
	if v := t.vdsoEnd(); v > from && v < end {
		from = v
	}
	t.check(StepUnmap, t.host(sysMunmap, from, end-from, 0, 0, 0, 0))
	// Nothing above the window must ever be handed out by the host's search
	// for room, so that it lands below.
	t.reserve(t.Window+WindowSize, maxUser)
	t.emptyRoot()
	t.dropAll()
	t.handlers()
	t.altStack()
	pid := t.host(sysClone, sigCHLD, 0, 0, 0, 0, 0)
	t.check(StepZygote, pid)
	if pid == 0 {
		t.zygote()
	}
	t.setName(name8('h', 'y', 't', 'h', 'e', '-', 'r', 'e'), name8('a', 'p', 'e', 'r', 0, 0, 0, 0))
	t.closeInert()
	t.check(StepFilter, t.host(sysPrctl, prSetSeccomp, seccompFilter, uintptr(unsafe.Pointer(&t.task().ReapProg)), 0, 0, 0))
	// SIGCHLD is ignored, so the host reaps; this returns when the machine
	// has no process left.
	for t.host(sysWait4, ^uintptr(0), 0, 0, 0, 0, 0) == errno(eINTR) {
	}
	t.die(0)
}

// readStart takes what the host says in the start stack (auxv) and answers the
// end of that stack.
func (t *Thread) readStart(sp uintptr) uintptr {
	task := t.task()
	p := sp + 8
	for i := 0; i < 2; i++ { // argv, envp
		for *(*uint64)(at(p)) != 0 {
			p += 8
		}
		p += 8
	}
	end := sp
	for {
		k, v := *(*uint64)(at(p)), *(*uint64)(at(p + 8))
		p += 16
		if k == 0 {
			break
		}
		if k == auxHwcap {
			task.Hwcap = v
		}
		if k == auxHwcap2 {
			task.Hwcap2 = v
		}
		if k == auxClkTck {
			task.ClkTck = v
		}
		if k == auxVDSO {
			task.VDSO = v
		}
		if k == auxMinStack {
			task.MinStack = v
		}
		if k == auxExecfn {
			// The last string of the stack, then one empty word.
			end = uintptr(v)
		}
	}
	for *(*byte)(at(end)) != 0 {
		end++
	}
	return (end + 9 + pageMask) &^ pageMask
}

// vdsoEnd answers the end of the vDSO, 0 if there is none: the size of the
// first loadable segment of its ELF image.
func (t *Thread) vdsoEnd() uintptr {
	v := uintptr(t.task().VDSO)
	if v == 0 {
		return 0
	}
	ph := v + uintptr(*(*uint64)(at(v + 32)))
	for n := *(*uint16)(at(v + 56)); n > 0; n-- {
		if *(*uint32)(at(ph)) == 1 {
			return (v + uintptr(*(*uint64)(at(ph + 40))) + pageMask) &^ pageMask
		}
		ph += 56
	}
	return v + pageMask + 1
}

// reserve maps what is free in [lo, hi) without access. It halves what is
// partly taken (the vDSO and its data).
func (t *Thread) reserve(lo, hi uintptr) {
	r := t.host(sysMmap, lo, hi-lo, 0, mapPrivate|mapAnon|mapNoreserve|mapNoreplace, ^uintptr(0), 0)
	if r == lo || hi-lo <= 4096 {
		return
	}
	if r != errno(eEXIST) {
		t.check(StepReserve, r)
		t.check(StepReserve, errno(eEXIST))
	}
	mid := (lo + (hi-lo)/2) &^ pageMask
	t.reserve(lo, mid)
	t.reserve(mid, hi)
}

// emptyRoot makes an empty read-only file system the only one in sight.
func (t *Thread) emptyRoot() {
	t.Scratch[0] = name8('/', 0, 0, 0, 0, 0, 0, 0)
	t.Scratch[1] = name8('/', 'p', 'r', 'o', 'c', 0, 0, 0)
	t.Scratch[2] = name8('t', 'm', 'p', 'f', 's', 0, 0, 0)
	t.Scratch[3] = name8('.', 0, 0, 0, 0, 0, 0, 0)
	p := uintptr(unsafe.Pointer(&t.Scratch))
	root, proc, tmpfs, dot := p, p+8, p+16, p+24
	t.check(StepMount, t.host(sysMount, 0, root, 0, msRec|msPrivate, 0, 0))
	t.check(StepMount, t.host(sysMount, tmpfs, proc, tmpfs, msRdonly|msNosuid|msNodev|msNoexec, 0, 0))
	t.check(StepRoot, t.host(sysChdir, proc, 0, 0, 0, 0, 0))
	if r := t.host(sysPivotRoot, dot, dot, 0, 0, 0, 0); !failed(r) {
		t.check(StepRoot, t.host(sysUmount2, dot, mntDetach, 0, 0, 0, 0))
	} else {
		// The host's root is no mount point (a chroot): all the same, what
		// is outside cannot be named any more.
		t.check(StepRoot, t.host(sysChroot, dot, 0, 0, 0, 0, 0))
	}
	t.check(StepRoot, t.host(sysChdir, root, 0, 0, 0, 0, 0))
	// One inert descriptor in all places that are not the library's, the
	// executable's included.
	fd := t.host(sysOpenat, atFdcwd, root, oPathDirectory, 0, 0, 0)
	t.check(StepFDs, fd)
	for i := uintptr(0); i < FirstFD; i++ {
		if i != ControlFD && i != fd {
			t.check(StepFDs, t.host(sysDup2, fd, i, 0, 0, 0, 0))
		}
	}
	// Whatever the invoking program let through. (Linux before 5.9 lacks the
	// call.)
	if failed(t.host(sysCloseRange, FirstFD, 0xffffffff, 0, 0, 0, 0)) {
		for i := uintptr(FirstFD); i < 65536; i++ {
			t.host(sysClose, i, 0, 0, 0, 0, 0)
		}
	}
}

// closeInert closes the reaper's descriptors: it needs none.
func (t *Thread) closeInert() {
	for i := uintptr(0); i < FirstFD; i++ {
		t.host(sysClose, i, 0, 0, 0, 0, 0)
	}
}

// dropAll gives up every capability, for good, and sets limits: core files (a
// limit of 1 and not 0, which would not stop a core pattern that is a pipe) and
// host threads, which a guest can make by itself.
func (t *Thread) dropAll() {
	t.host(sysPrctl, prCapAmbient, prCapAmbientZero, 0, 0, 0, 0)
	for c := uintptr(0); c < 64; c++ {
		t.host(sysPrctl, prCapbsetDrop, c, 0, 0, 0, 0)
	}
	t.Scratch[0] = 1
	t.Scratch[1] = 1
	p := uintptr(unsafe.Pointer(&t.Scratch))
	t.check(StepCaps, t.host(sysSetrlimit, rlimitCore, p, 0, 0, 0, 0))
	// Since Linux 5.14 this counts the processes of the machine's own user
	// namespace; before, all of the host user's.
	if n := t.task().Processes; n != 0 {
		t.Scratch[0] = n
		t.Scratch[1] = n
		t.check(StepCaps, t.host(sysSetrlimit, rlimitNproc, p, 0, 0, 0, 0))
	}
	for i := uintptr(0); i < 8; i++ {
		*(*uint64)(at(p + i*8)) = 0
	}
	t.Scratch[0] = 0x20080522 // _LINUX_CAPABILITY_VERSION_3, pid 0
	t.check(StepCaps, t.host(sysCapset, p, p+8, 0, 0, 0, 0))
	t.check(StepNoNewPrivs, t.host(sysPrctl, prSetNoNewPrivs, 1, 0, 0, 0, 0))
}

// handlers installs the signal handlers that every task inherits. None of the
// signals is ever blocked, kicks apart: a blocked SIGSYS kills.
func (t *Thread) handlers() {
	p := uintptr(unsafe.Pointer(&t.Scratch))
	// struct kernel_sigaction: handler, flags, restorer, mask.
	t.Scratch[0] = 1 // SIG_IGN
	t.Scratch[1] = 0
	t.Scratch[2] = 0
	t.Scratch[3] = 0
	t.check(StepSignals, t.host(sysSigaction, sigCHLD, p, 0, 8, 0, 0))
	t.Scratch[0] = uint64(t.PC.Sig)
	t.Scratch[1] = saFlags
	t.Scratch[2] = uint64(t.PC.Restorer)
	t.Scratch[3] = kickMask
	t.check(StepSignals, t.host(sysSigaction, sigSYS, p, 0, 8, 0, 0))
	t.check(StepSignals, t.host(sysSigaction, sigSEGV, p, 0, 8, 0, 0))
	t.check(StepSignals, t.host(sysSigaction, sigBUS, p, 0, 8, 0, 0))
	t.check(StepSignals, t.host(sysSigaction, sigFPE, p, 0, 8, 0, 0))
	t.check(StepSignals, t.host(sysSigaction, sigILL, p, 0, 8, 0, 0))
	t.check(StepSignals, t.host(sysSigaction, sigTRAP, p, 0, 8, 0, 0))
	t.check(StepSignals, t.host(sysSigaction, KickSignal, p, 0, 8, 0, 0))
	t.check(StepSignals, t.host(sysSigaction, sigXCPU, p, 0, 8, 0, 0))
	t.check(StepSignals, t.host(sysSigaction, sigVTALRM, p, 0, 8, 0, 0))
	t.check(StepSignals, t.host(sysSigaction, sigPROF, p, 0, 8, 0, 0))
	t.Scratch[0] = 0
	t.check(StepSignals, t.host(sysSigprocmask, 2, p, 0, 8, 0, 0))
}

func (t *Thread) setName(a, b uint64) {
	t.Scratch[0] = a
	t.Scratch[1] = b
	t.host(sysPrctl, prSetName, uintptr(unsafe.Pointer(&t.Scratch)), 0, 0, 0, 0)
}

// zygote is pid 2: it forks a fresh task for each command on its channel, and
// ends with the channel. Its own descriptors are the control channel alone.
func (t *Thread) zygote() {
	t.setName(name8('h', 'y', 't', 'h', 'e', '-', 'g', 'u'), name8('e', 's', 't', 0, 0, 0, 0, 0))
	t.check(StepFilter, t.host(sysPrctl, prSetSeccomp, seccompFilter, uintptr(unsafe.Pointer(&t.task().GuestProg)), 0, 0, 0))
	t.say(BootReady, 0, 0)
	for {
		var fds [3]int32
		n := t.recv(&fds)
		if n == errno(eINTR) {
			continue
		}
		if failed(n) || n == 0 {
			t.die(0)
		}
		if n < abi.CallHeaderSize || uint32(t.Hdr[0]) != SpawnOp || fds[2] < 0 {
			t.closeFDs(&fds)
			continue
		}
		pid := t.host(sysClone, CloneFork, 0, 0, 0, 0, 0)
		if pid == 0 {
			t.adopt(&fds)
			t.Leader = 1
			t.HostTid = 1
			t.task().Threads = 1
			t.hello()
			t.startTrap()
		}
		t.closeFDs(&fds)
	}
}
