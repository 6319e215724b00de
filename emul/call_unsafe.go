package emul

import "unsafe"

// Entries fills e with the addresses of the assembly routines in the running
// binary (WaitSys, WaitAbort and the Go entries apart). It is for the host
// side and may be called from any goroutine.
//
//go:noescape
func Entries(e *Entry)

// Function values made by hand: a closure is a pointer to a word that holds
// the code's address. A call through one uses ABIInternal and leaves R14
// alone, where a direct call of an assembly function would reload it from FS.
type (
	fn7  = func(nr, a, b, c, d, e, f uintptr) uintptr
	fnCp = func(v, _, n, to, from uintptr) uintptr
	fn1  = func(v uintptr) uintptr
	fn2  = func(a, n uintptr)
)

// host makes a host call and answers what the host leaves in AX.
func (t *Thread) host(nr, a, b, c, d, e, f uintptr) uintptr {
	p := unsafe.Pointer(&t.PC.HostCall)
	return (*(*fn7)(unsafe.Pointer(&p)))(nr, a, b, c, d, e, f)
}

// hostWait is host, but a kick cuts it (-EINTR).
func (t *Thread) hostWait(nr, a, b, c, d, e, f uintptr) uintptr {
	p := unsafe.Pointer(&t.PC.Wait)
	return (*(*fn7)(unsafe.Pointer(&p)))(nr, a, b, c, d, e, f)
}

func (t *Thread) hostClone(nr, flags, stack, ptid, ctid uintptr) uintptr {
	p := unsafe.Pointer(&t.PC.Clone)
	return (*(*fn7)(unsafe.Pointer(&p)))(nr, flags, stack, ptid, ctid, 0, 0)
}

// copyMem copies n bytes and answers how many it did not copy because of a
// fault. Either address may be the guest's and bad.
func (t *Thread) copyMem(to, from, n uintptr) uintptr {
	p := unsafe.Pointer(&t.PC.Copy)
	return (*(*fnCp)(unsafe.Pointer(&p)))(0, 0, n, to, from)
}

// zeroMem stores n zero bytes and answers how many it did not store.
func (t *Thread) zeroMem(to, n uintptr) uintptr {
	p := unsafe.Pointer(&t.PC.Zero)
	return (*(*fnCp)(unsafe.Pointer(&p)))(0, 0, n, to, 0)
}

// store32 stores v and answers 0, or 4 on a fault.
func (t *Thread) store32(to, v uintptr) uintptr {
	p := unsafe.Pointer(&t.PC.Store32)
	return (*(*fnCp)(unsafe.Pointer(&p)))(v, 0, 4, to, 0)
}

// cas32 stores new where old is and answers what was there, or 1<<32 on a fault.
func (t *Thread) cas32(at, old, new uintptr) uintptr {
	p := unsafe.Pointer(&t.PC.Cas32)
	return (*(*fnCp)(unsafe.Pointer(&p)))(old, new, 1<<32, at, 0)
}

// spin waits while the word at addr is v, at most n turns.
func (t *Thread) spin(addr, v, n uintptr) {
	p := unsafe.Pointer(&t.PC.Spin)
	(*(*fnCp)(unsafe.Pointer(&p)))(v, 0, n, addr, 0)
}

// cycles counts the processor's cycles (those of a clock of its own, where it has one).
func (t *Thread) cycles() uintptr {
	p := unsafe.Pointer(&t.PC.Cycles)
	return (*(*fn1)(unsafe.Pointer(&p)))(0)
}

// warm has n lines of 64 bytes from a on fetched, which will be written.
func (t *Thread) warm(a, n uintptr) {
	p := unsafe.Pointer(&t.PC.Warm)
	(*(*fn2)(unsafe.Pointer(&p)))(a, n)
}

func (t *Thread) getFS() uintptr {
	if t.task().Hwcap2&hwcap2FSGSBASE == 0 {
		t.Scratch[0] = 0
		t.host(sysArchPrctl, archGetFS, t.addr()+unsafe.Offsetof(t.Scratch), 0, 0, 0, 0)
		return uintptr(t.Scratch[0])
	}
	p := unsafe.Pointer(&t.PC.GetFS)
	return (*(*fn1)(unsafe.Pointer(&p)))(0)
}

// setFS sets the guest's thread pointer: 0 or -EPERM, as arch_prctl(2).
func (t *Thread) setFS(v uintptr) uintptr {
	if v >= maxUser {
		return errno(ePERM)
	}
	if t.task().Hwcap2&hwcap2FSGSBASE == 0 {
		return t.host(sysArchPrctl, archSetFS, v, 0, 0, 0, 0)
	}
	p := unsafe.Pointer(&t.PC.SetFS)
	return (*(*fn1)(unsafe.Pointer(&p)))(v)
}

func (t *Thread) getGS() uintptr {
	if t.task().Hwcap2&hwcap2FSGSBASE == 0 {
		t.Scratch[0] = 0
		t.host(sysArchPrctl, archGetGS, t.addr()+unsafe.Offsetof(t.Scratch), 0, 0, 0, 0)
		return uintptr(t.Scratch[0])
	}
	p := unsafe.Pointer(&t.PC.GetGS)
	return (*(*fn1)(unsafe.Pointer(&p)))(0)
}

func (t *Thread) setGS(v uintptr) {
	if t.task().Hwcap2&hwcap2FSGSBASE == 0 {
		t.host(sysArchPrctl, archSetGS, v, 0, 0, 0, 0)
		return
	}
	p := unsafe.Pointer(&t.PC.SetGS)
	(*(*fn1)(unsafe.Pointer(&p)))(v)
}

// startTrap raises the signal in which a task starts; it does not return.
func (t *Thread) startTrap() {
	p := unsafe.Pointer(&t.PC.Start)
	(*(*fn1)(unsafe.Pointer(&p)))(0)
}

// at makes a pointer of an address that is no Go pointer.
func at(a uintptr) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Pointer(&a))
}

func (t *Thread) addr() uintptr { return uintptr(unsafe.Pointer(t)) }

func (t *Thread) task() *Task { return (*Task)(at(t.Window + TaskOff)) }

func (t *Thread) sites() *Sites { return (*Sites)(at(t.Window + SitesOff)) }

func (t *Thread) block(i uintptr) *Thread {
	return (*Thread)(at(t.Window + ThreadsOff + i*ThreadSize))
}

func errno(e uintptr) uintptr { return -e }

func failed(r uintptr) bool { return r > ^uintptr(4095) }
