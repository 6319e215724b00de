package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// sigaction is the kernel's structure (asm/signal.h).
type sigaction struct {
	handler, flags, restorer, mask uint64
}

const sigIgn = 1

// setSignal has a signal ignored, or gives it its default action: a module has no
// handlers, and this program's runtime would take for a failure of its own what is to
// end the module.
func setSignal(sig int, ignore bool) {
	var a sigaction
	if ignore {
		a.handler = sigIgn
	}
	// Safety: the kernel reads the structure, of the size that is given, and keeps no
	// pointer to it.
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&a)), 0, 8, 0, 0)
}

// restoreSignals undoes what the runtime did to the actions of signals, but for those
// that tell of its own faults and those that it works with. ignored are those that were
// when the program was executed (bit n-1 for signal n).
func restoreSignals(ignored uint64) {
	for sig := 1; sig <= 64; sig++ {
		switch unix.Signal(sig) {
		case unix.SIGKILL, unix.SIGSTOP, unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGTRAP, unix.SIGURG, unix.SIGPROF:
			continue
		}
		setSignal(sig, ignored&(1<<(sig-1)) != 0 || unix.Signal(sig) == unix.SIGPIPE)
	}
}

// Yield implements wasi.System.
func (*system) Yield() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

// trace gives the machine's tracer a line (prctl(2)'s option that personality/linux has for
// it, prTraceModule). One that is longer than the tracer takes is cut. It answers whether
// the tracer wants more.
func trace(line string) bool {
	const option, most = 0x48797468, 2048
	if len(line) > most {
		line = line[:most-3] + "..."
	}
	if line == "" {
		return true
	}
	// Safety: the kernel reads the string, of the length that is given, and keeps no
	// pointer to it.
	_, _, e := unix.RawSyscall(unix.SYS_PRCTL, option, uintptr(unsafe.Pointer(unsafe.StringData(line))), uintptr(len(line)))
	return e != unix.ESRCH
}
