package emul

import (
	"sync/atomic"
	"unsafe"

	"hythe/abi"
)

// fpState is the start of the host's vector state in a signal frame
// (arch/x86/include/uapi/asm/sigcontext.h: _fpstate_64, _fpx_sw_bytes,
// _xstate). With Magic1 set it goes on to XStateSize bytes and a second magic.
type fpState struct {
	FCW          uint16
	FSW          uint16
	FTW          uint16
	FOP          uint16
	RIP, RDP     uint64
	MXCSR        uint32
	MXCSRMask    uint32
	Regs         [54]uint64
	Magic1       uint32
	ExtendedSize uint32
	XFeatures    uint64
	XStateSize   uint32
	_            [28]byte
	XStateBV     uint64
	XCompBV      uint64
	Reserved     [6]uint64
}

const (
	fpMagic1  = 0x46505853
	fpLegacy  = 464 // bytes before the software-reserved ones
	fpHeader  = 512
	fpRest    = 576 // where the extended components start
	mxcsrInit = 0x1f80
)

// freshFP makes the state of a program that has not run.
func freshFP(fp *fpState) {
	fp.FCW = 0x37f
	fp.FSW = 0
	fp.FTW = 0
	fp.FOP = 0
	fp.RIP = 0
	fp.RDP = 0
	fp.MXCSR = mxcsrInit
	for i := uintptr(0); i < 48; i++ {
		*(*uint64)(unsafe.Add(unsafe.Pointer(&fp.Regs), i*8)) = 0
	}
	if fp.Magic1 == fpMagic1 {
		fp.XStateBV = 0
	}
}

// loadFP replaces the vector state by that at the guest's address a, which the
// guest may have changed: what the host's XRSTOR would refuse is made harmless,
// and a state that is not of this host's form gives its first 512 bytes only
// (as rt_sigreturn of the host does).
func (t *Thread) loadFP(fp *fpState, a uintptr) uintptr {
	if a == 0 {
		freshFP(fp)
		return 0
	}
	base := uintptr(unsafe.Pointer(fp))
	mask := fp.MXCSRMask
	if mask == 0 {
		mask = 0xffbf
	}
	sw := t.addr() + unsafe.Offsetof(t.Scratch)
	if t.copyIn(sw, a+fpLegacy, 48) != 0 {
		return errno(eFAULT)
	}
	magic := uint32(t.Scratch[0])
	size := uint32(t.Scratch[2])
	extended := fp.Magic1 == fpMagic1 && magic == fpMagic1 && size == fp.XStateSize
	if extended {
		if t.copyIn(sw, a+uintptr(size), 4) != 0 || uint32(t.Scratch[0]) != 0x46505845 {
			extended = false
		}
	}
	if t.copyIn(base, a, 416) != 0 {
		freshFP(fp)
		return errno(eFAULT)
	}
	fp.MXCSR &= mask
	fp.MXCSRMask = mask
	if fp.Magic1 != fpMagic1 {
		return 0
	}
	if !extended {
		fp.XStateBV = 3
		return 0
	}
	t.Scratch[0] = 0
	if t.copyIn(sw, a+fpHeader, 8) != 0 {
		fp.XStateBV = 3
		return errno(eFAULT)
	}
	bv := t.Scratch[0] & fp.XFeatures
	if t.copyIn(base+fpRest, a+fpRest, uintptr(size)-fpRest) != 0 {
		fp.XStateBV = 3
		return errno(eFAULT)
	}
	fp.XStateBV = bv
	return 0
}

// reply is the state of carrying out one reply.
type reply struct {
	t         *Thread
	uc        *Ucontext
	s         *abi.Slot
	err       uintptr // negative errno of the step that failed
	at        uintptr // and which it was
	result    uintptr
	hasResult bool
	more      bool
	short     bool // a step failed whose bytes the result counts
	regs      bool // the registers were loaded
	again     bool
	over      bool // the thread is another one now (forked child)
}

// run carries out the actions in order.
func (r *reply) run() {
	n := uintptr(r.s.NAct)
	if n > abi.MaxActions {
		n = abi.MaxActions
	}
	for i := uintptr(0); i < n; i++ {
		a := (*abi.Action)(unsafe.Add(unsafe.Pointer(&r.s.Acts), i*unsafe.Sizeof(abi.Action{})))
		if a.Flags&abi.ActChild != 0 {
			continue // not this task's
		}
		v := r.step(a)
		if r.over {
			return
		}
		if failed(v) {
			if a.Flags&abi.ActIgnore != 0 {
				continue
			}
			r.err = v
			r.at = i
			// What follows is not carried out, and this may be among it.
			r.t.Words[abi.ThreadMask] = 0
			r.short = a.Flags&abi.ActCount != 0
			return
		}
		if a.Flags&abi.ActResult != 0 {
			r.result = v
			r.hasResult = true
		}
	}
}

// lost answers how many of the bytes that the result counts did not arrive.
func (r *reply) lost() uint64 {
	n := uintptr(r.s.NAct)
	if n > abi.MaxActions {
		n = abi.MaxActions
	}
	lost := uint64(0)
	for i := uintptr(0); i < n; i++ {
		a := (*abi.Action)(unsafe.Add(unsafe.Pointer(&r.s.Acts), i*unsafe.Sizeof(abi.Action{})))
		if a.Flags&abi.ActCount != 0 {
			lost += a.A[2] - a.A[3]
		}
	}
	return lost
}

// inSlot answers the address of n bytes at offset off of the slot, 0 if they
// are not all in it.
func (t *Thread) inSlot(off, n uintptr) uintptr {
	if off > abi.SlotSize || n > abi.SlotSize-off {
		return 0
	}
	return t.slotAddr() + off
}

// step carries out one action: a value or a negative errno.
func (r *reply) step(a *abi.Action) uintptr {
	op := a.Op
	if op == abi.ActNone {
		return 0
	}
	if op <= abi.ActCopyStr || op == abi.ActZero || op == abi.ActStore32 {
		return r.stepCopy(a)
	}
	if op <= abi.ActProtect || op == abi.ActDropGrant {
		return r.stepMap(a)
	}
	return r.stepThread(a)
}

func (r *reply) stepCopy(a *abi.Action) uintptr {
	t := r.t
	op := a.Op
	if op == abi.ActStore32 {
		if !t.inGuest(uintptr(a.A[0]), 4) || t.store32(uintptr(a.A[0]), uintptr(uint32(a.A[1]))) != 0 {
			return errno(eFAULT)
		}
		return 0
	}
	if op == abi.ActZero {
		n := uintptr(a.A[1])
		if !t.inGuest(uintptr(a.A[0]), n) || t.zeroMem(uintptr(a.A[0]), n) != 0 {
			return errno(eFAULT)
		}
		return 0
	}
	guest, n := uintptr(a.A[0]), uintptr(a.A[2])
	p := t.inSlot(uintptr(a.A[1]), n)
	if p == 0 {
		return errno(eINVAL)
	}
	if op == abi.ActCopyOut {
		left := t.copyOut(guest, p, n)
		a.A[3] = uint64(n - left)
		if left != 0 {
			return errno(eFAULT)
		}
		return n
	}
	if op == abi.ActCopyIn {
		got := n - t.copyIn(p, guest, n)
		a.A[3] = uint64(got)
		return got
	}
	got, how := t.copyStr(p, guest, n)
	a.A[3] = uint64(got)
	a.A[4] = how
	return got
}

func (r *reply) stepMap(a *abi.Action) uintptr {
	t := r.t
	op := a.Op
	if op == abi.ActMapObject {
		return t.mapObject(a)
	}
	if op == abi.ActDropGrant {
		t.dropGrant(a.A[0])
		return 0
	}
	addr, n := uintptr(a.A[0]), uintptr(a.A[1])
	if !t.inGuest(addr, n) {
		return errno(eNOMEM)
	}
	if op != abi.ActMapAnon || a.A[3]&(mapFixed|mapNoreplace) != 0 { // else it takes the place of nothing
		t.dropText(addr, n)
	}
	if op == abi.ActUnmap || op == abi.ActMapAnon && a.A[3]&(mapFixed|mapNoreplace) == mapFixed {
		t.dropRegions(addr, n)
	}
	if op == abi.ActMapAnon {
		if a.A[3]&(mapFixed|mapNoreplace) == 0 {
			addr = unplaced(addr, n)
		}
		return t.host(sysMmap, addr, n, uintptr(a.A[2]), uintptr(a.A[3])|mapAnon, ^uintptr(0), 0)
	}
	if op == abi.ActUnmap {
		return t.host(sysMunmap, addr, n, 0, 0, 0, 0)
	}
	return t.host(sysMprotect, addr, n, uintptr(a.A[2]), 0, 0, 0)
}

func (r *reply) stepThread(a *abi.Action) uintptr {
	t := r.t
	op := a.Op
	if op == abi.ActRegs {
		p := t.inSlot(uintptr(a.A[0]), unsafe.Sizeof(abi.Regs{}))
		if p == 0 {
			return errno(eINVAL)
		}
		g := (*abi.Regs)(at(p))
		u := &r.uc.Regs
		seg, fp, fs := u.CsGsFs, u.FSBase, g.FSBase
		*u = *g
		// Two code segments exist for users: 64-bit, and 32-bit if asked for.
		u.CsGsFs = seg&^0xffff | 0x33
		if g.CsGsFs&0xffff == 0x23 {
			u.CsGsFs = seg&^0xffff | 0x23
		}
		u.FSBase = fp
		r.regs = true
		if a.A[1] == 1 {
			return t.setFS(uintptr(fs))
		}
		return 0
	}
	if op == abi.ActSaveFP {
		n := uintptr(t.task().FPSize)
		if n > uintptr(a.A[1]) {
			n = uintptr(a.A[1])
		}
		if t.copyOut(uintptr(a.A[0]), uintptr(r.uc.Regs.FSBase), n) != 0 {
			return errno(eFAULT)
		}
		return n
	}
	if op == abi.ActLoadFP {
		return t.loadFP((*fpState)(at(uintptr(r.uc.Regs.FSBase))), uintptr(a.A[0]))
	}
	if op == abi.ActSetFS {
		return t.setFS(uintptr(a.A[0]))
	}
	if op == abi.ActLend {
		t.lend(a)
		return 0
	}
	if op == abi.ActKeep {
		t.keep(a)
		return 0
	}
	if op == abi.ActMayClose {
		t.mayClose(a)
		return 0
	}
	if op == abi.ActName {
		t.keepName(a)
		return 0
	}
	if op == abi.ActNames {
		t.keepNames(a)
		return 0
	}
	if op == abi.ActForesee {
		t.keepForeseen(a)
		return 0
	}
	if op == abi.ActUnlend {
		if a.Flags&abi.ActHost != 0 {
			t.closeHost(uintptr(a.A[0]), a.A[1])
			return 0
		}
		if a.Flags&abi.ActHostSet != 0 {
			t.closeHostSet(uintptr(a.A[0]), a.A[1])
			return 0
		}
		if a.Flags&abi.ActStream != 0 {
			t.unlendStreamTagged(uintptr(a.A[0]), a.A[1])
			return 0
		}
		t.unlendTagged(uintptr(a.A[0]), a.A[1])
		return 0
	}
	if op == abi.ActFork {
		return r.fork(a.A[0], a.A[1], a.A[2], a.A[3])
	}
	if op == abi.ActThread {
		return r.thread(a)
	}
	if op == abi.ActExitThread {
		t.exitThread(r.s)
	}
	if op == abi.ActExitTask {
		t.die(0)
	}
	if op == abi.ActTask {
		if a.A[0] < abi.TaskWords {
			atomic.StoreUint64(&t.task().Words[a.A[0]], a.A[1])
			t.limit(a.A[0], a.A[1])
			if a.A[0] == abi.TaskPid {
				t.Words[abi.ThreadPid] = a.A[1]
			}
			return 0
		}
		return errno(eINVAL)
	}
	if op == abi.ActThreadWord {
		if a.A[0] < abi.ThreadWords {
			t.Words[a.A[0]] = a.A[1]
			return 0
		}
		return errno(eINVAL)
	}
	if op == abi.ActTimer {
		return t.timer(a)
	}
	if op == abi.ActFutexWake {
		if !t.inGuest(uintptr(a.A[0]), 4) {
			return errno(eFAULT)
		}
		return t.hostOn(uintptr(a.A[0]), 4, 0, sysFutex, uintptr(a.A[0]), futexWake, uintptr(a.A[1]))
	}
	if op == abi.ActPorts {
		return t.openPorts(a.A[0])
	}
	if op == abi.ActAgain {
		r.again = true
		r.t.Done = uint32(a.A[0])
		return 0
	}
	return errno(eNOSYS)
}

// limit has the host keep a limit that a word of the task block states. What
// the library has itself does not count. The hard limit stays as it was: it is the
// server's affair.
func (t *Thread) limit(word, v uint64) {
	own, what := uint64(0), uintptr(0)
	if word == abi.TaskASLimit {
		own, what = uint64(maxUser-t.Window), rlimitAS
	} else if word == abi.TaskDataLimit {
		own, what = abi.MaxSlots*ThreadSize+TaskSize+SitesSize+NamesSize+(1+MaxAreas)*abi.SitesSize, rlimitData
	} else if word == abi.TaskCPULimit {
		what = rlimitCPU
	} else {
		return
	}
	p := uintptr(unsafe.Pointer(&t.Scratch))
	t.Scratch[0] = v + own
	if v == 0 || t.Scratch[0] < own {
		t.Scratch[0] = ^uint64(0)
	}
	t.Scratch[1] = ^uint64(0)
	t.host(sysSetrlimit, what, p, 0, 0, 0, 0)
}

// timer carries ActTimer out: the structure is the host's.
func (t *Thread) timer(a *abi.Action) uintptr {
	which, p, old := uintptr(a.A[0]), uintptr(a.A[1]), uintptr(a.A[2])
	if which != 1 && which != 2 {
		return errno(eINVAL)
	}
	if a.A[3]&2 != 0 {
		if p = t.inSlot(p, 32); p == 0 {
			return errno(eINVAL)
		}
	} else if p != 0 && !t.inGuest(p, 32) {
		return errno(eFAULT)
	}
	if old != 0 && !t.inGuest(old, 32) {
		return errno(eFAULT)
	}
	if a.A[3]&1 != 0 {
		return t.hostOn(p, 32, 1, sysGetitimer, which, p, 0)
	}
	r := t.host(sysSetitimer, which, p, old, 0, 0, 0)
	for try := uintptr(0); t.missed(r, try) && (p == 0 || t.fetch(p, 32, 0)) && (old == 0 || t.fetch(old, 32, 1)); try++ {
		r = t.host(sysSetitimer, which, p, old, 0, 0, 0)
	}
	return r
}

// exitThread ends the thread. The task's first host thread only parks: the
// host would show a task without its leader as dead.
func (t *Thread) exitThread(s *abi.Slot) {
	atomic.StoreUint32(&s.State, abi.SlotIdle)
	for t.Leader != 0 {
		t.host(sysFutex, uintptr(unsafe.Pointer(&t.Leader)), futexWait|futexPrivate, 1, 0, 0, 0)
	}
	for {
		t.host(sysExit, 0, 0, 0, 0, 0, 0)
	}
}

// lock and unlock guard what the threads of the task share in the task block:
// 0 free, 1 held, 2 held with sleepers.
func (t *Thread) lock() {
	w := &t.task().Lock
	if atomic.CompareAndSwapUint32(w, 0, 1) {
		return
	}
	for atomic.SwapUint32(w, 2) != 0 {
		t.host(sysFutex, uintptr(unsafe.Pointer(w)), futexWait|futexPrivate, 2, 0, 0, 0)
	}
}

func (t *Thread) unlock() {
	w := &t.task().Lock
	if atomic.SwapUint32(w, 0) == 2 {
		t.host(sysFutex, uintptr(unsafe.Pointer(w)), futexWake|futexPrivate, 1, 0, 0, 0)
	}
}

// recv takes one datagram from the control channel into t.Hdr, the
// descriptors beside it into fds (-1: none). It answers the host's result;
// callers hold the lock.
func (t *Thread) recv(fds *[3]int32) uintptr {
	t.Iov[0] = uint64(uintptr(unsafe.Pointer(&t.Hdr)))
	t.Iov[1] = abi.CallHeaderSize
	t.Msg[0] = 0
	t.Msg[1] = 0
	t.Msg[2] = uint64(uintptr(unsafe.Pointer(&t.Iov)))
	t.Msg[3] = 1
	t.Msg[4] = uint64(uintptr(unsafe.Pointer(&t.Ctl)))
	t.Msg[5] = 32 // a cmsghdr and up to three descriptors, padded
	t.Msg[6] = 0
	n := t.host(sysRecvmsg, ControlFD, uintptr(unsafe.Pointer(&t.Msg)), 0, 0, 0, 0)
	fds[0], fds[1], fds[2] = -1, -1, -1
	if failed(n) || t.Msg[5] < 16 {
		return n
	}
	// cmsghdr: length, then SOL_SOCKET (1) and SCM_RIGHTS (1).
	if t.Ctl[1] != 1|1<<32 {
		return n
	}
	l := t.Ctl[0]
	if l >= 20 {
		fds[0] = int32(uint32(t.Ctl[2]))
	}
	if l >= 24 {
		fds[1] = int32(uint32(t.Ctl[2] >> 32))
	}
	if l >= 28 {
		fds[2] = int32(uint32(t.Ctl[3]))
	}
	return n
}

func (t *Thread) closeFD(fd int32) {
	if fd >= FirstFD {
		t.host(sysClose, uintptr(fd), 0, 0, 0, 0, 0)
	}
}

func (t *Thread) closeFDs(fds *[3]int32) {
	t.closeFD(fds[0])
	t.closeFD(fds[1])
	t.closeFD(fds[2])
}

// grantAt answers grant i.
func grantAt(task *Task, i uintptr) *Grant {
	return (*Grant)(unsafe.Add(unsafe.Pointer(&task.Grants), i*unsafe.Sizeof(Grant{})))
}

// findGrant answers the grant of kind op with the tag, nil if it did not come
// yet. Callers hold the lock.
func (t *Thread) findGrant(op uint32, tag uint64) *Grant {
	task := t.task()
	for i := uintptr(0); i < uintptr(task.NGrants) && i < MaxGrants; i++ {
		g := grantAt(task, i)
		if g.Op == op && g.Tag == tag {
			return g
		}
	}
	return nil
}

// takeGrant waits for the grant of kind op with the tag and answers it. Others
// that come first are kept for those who will ask. nil: the channel is broken,
// or the task holds too many. Callers hold the lock.
func (t *Thread) takeGrant(op uint32, tag uint64) *Grant {
	for {
		if g := t.findGrant(op, tag); g != nil {
			return g
		}
		var fds [3]int32
		n := t.recv(&fds)
		if n == errno(eINTR) {
			continue
		}
		if failed(n) || n == 0 {
			t.die(70)
		}
		if n < abi.CallHeaderSize {
			t.closeFDs(&fds)
			continue
		}
		t.keepGrant(uint32(t.Hdr[0]), t.Hdr[6], &fds)
		if t.Hdr[6] == tag && uint32(t.Hdr[0]) == op && t.findGrant(op, tag) == nil {
			return nil
		}
	}
}

// keepGrant stores a grant in a free place of the table, or drops it.
func (t *Thread) keepGrant(op uint32, tag uint64, fds *[3]int32) {
	task := t.task()
	if op == abi.EventGrant && fds[0] >= 0 || op == abi.EventChannel && fds[2] >= 0 {
		for i := uintptr(0); i < MaxGrants; i++ {
			g := grantAt(task, i)
			if g.Op != 0 {
				continue
			}
			g.Op = op
			g.Tag = tag
			g.FDs[0] = fds[0]
			g.FDs[1] = fds[1]
			g.FDs[2] = fds[2]
			if uint32(i) >= task.NGrants {
				task.NGrants = uint32(i) + 1
			}
			return
		}
	}
	t.closeFDs(fds)
}

// mapObject maps an object that is granted. The grant stays until
// ActDropGrant, so that one object can be mapped many times.
func (t *Thread) mapObject(a *abi.Action) uintptr {
	addr, n := uintptr(a.A[0]), uintptr(a.A[1])
	if !t.inGuest(addr, n) {
		return errno(eNOMEM)
	}
	if a.A[3]&(mapFixed|mapNoreplace) != 0 {
		t.dropText(addr, n)
	} else {
		addr = unplaced(addr, n)
	}
	if a.A[3]&(mapFixed|mapNoreplace) == mapFixed {
		t.dropRegions(addr, n)
	}
	t.lock()
	v := errno(eNOMEM)
	g := t.takeGrant(abi.EventGrant, uint64(a.Flags>>8))
	if g != nil {
		v = t.host(sysMmap, addr, n, uintptr(a.A[2]), uintptr(a.A[3]), uintptr(g.FDs[0]), uintptr(a.A[4]))
		if !failed(v) && a.Flags&abi.ActPatch != 0 && a.A[2] == protRead|protExec && a.A[3]&mapType == mapPrivate {
			t.addText(v, n)
		}
	}
	t.unlock()
	return v
}

// dropGrant closes a granted object. It waits for the grant if it is still on
// its way, so that a server may drop what it need not have granted.
func (t *Thread) dropGrant(tag uint64) {
	t.lock()
	g := t.takeGrant(abi.EventGrant, tag)
	if g != nil {
		t.closeFDs(&g.FDs)
		g.Op = 0
	}
	t.unlock()
}

// thread starts a guest thread on its slot's block: the new thread continues a
// copy of the caller's signal frame with AX = 0.
func (r *reply) thread(a *abi.Action) uintptr {
	t := r.t
	i := uintptr(a.A[0])
	if i >= abi.MaxSlots || i == uintptr(t.Index) {
		return errno(eINVAL)
	}
	n := t.block(i)
	// The last user of the block may still be on its way out.
	for {
		w := atomic.LoadUint32(&n.HostTid)
		if w == 0 {
			break
		}
		t.host(sysFutex, uintptr(unsafe.Pointer(&n.HostTid)), futexWait, uintptr(w), 0, 0, 0)
	}
	t.initThread(n, i)
	n.Token = a.A[1]
	n.FS = a.A[3]
	n.SetFS = a.A[4] & 1
	n.Asks = ^uint32(a.A[4]) & 2
	n.Words[abi.ThreadTid] = a.A[4] >> 32
	n.GuestGS = 1
	if t.task().Patch != 0 && t.getGS() == t.addr() {
		n.GuestGS = 0
	}
	// Copy the frame: the ucontext up to its siginfo, and the vector state,
	// which must lie on 64 bytes.
	size := uintptr(t.task().FPSize)
	fp := (n.addr() + ThreadSize - size) &^ 63
	uc := (fp - unsafe.Sizeof(Ucontext{}) - 64) &^ 63
	t.copyMem(fp, uintptr(r.uc.Regs.FSBase), size)
	t.copyMem(uc, uintptr(unsafe.Pointer(r.uc)), unsafe.Sizeof(Ucontext{}))
	u := (*Ucontext)(at(uc))
	u.Regs.FSBase = uint64(fp)
	u.Regs.AX = 0
	if t.conv() == ConvBSD {
		u.Regs.Flags &^= 1
	}
	if a.A[2] != 0 {
		u.Regs.SP = a.A[2]
	}
	u.StackSP = uint64(n.addr() + StackOff)
	u.StackSize = ThreadSize - StackOff
	u.StackFlags = 0
	n.Frame = uc
	t.lock()
	task := t.task()
	if task.Threads <= uint32(i) {
		task.Threads = uint32(i) + 1
	}
	tid := uintptr(unsafe.Pointer(&n.HostTid))
	v := t.hostClone(sysClone, CloneThread, uc&^63, tid, tid)
	t.unlock()
	if failed(v) {
		atomic.StoreUint32(&n.HostTid, 0)
		return v
	}
	return 0
}

// initThread makes block i ready for a thread like t.
func (t *Thread) initThread(n *Thread, i uintptr) {
	base := n.addr()
	n.G[0] = uintptr(base + StackOff)
	n.G[1] = uintptr(base + ThreadSize)
	n.G[2] = uintptr(base + StackGuard)
	n.G[3] = n.G[2]
	n.PC = t.PC
	n.Window = t.Window
	n.Index = uint32(i)
	n.Depth = 1
	n.Kicked = 0
	n.Due = 0
	n.Leader = 0
	n.Redo = 0
	n.Done = 0
	n.Cold = 0
	atomic.StoreUint32(&n.Stream, 0)
	atomic.StoreUint32(&n.Permit, 0)
	n.Words = t.Words
	n.Words[abi.ThreadRobust] = 0
	n.Words[abi.ThreadClear] = t.Words[abi.ThreadNextClear]
	n.slot().Late = 0
	n.Neg = uint64(-base)
	n.Self = base
	n.LastIP = 0
}

// altStack makes the thread's block its signal stack.
func (t *Thread) altStack() uintptr {
	t.Scratch[0] = uint64(t.addr() + StackOff)
	t.Scratch[1] = 0
	t.Scratch[2] = ThreadSize - StackOff
	return t.host(sysSigaltstack, uintptr(unsafe.Pointer(&t.Scratch)), 0, 0, 0, 0, 0)
}

// ThreadStart is the first Go function of a new thread; it answers the address
// of the ucontext that the thread continues.
func ThreadStart(t *Thread) uintptr {
	t.altStack()
	t.HostID = uint64(t.HostTid) // the host has stored it before it began
	if t.SetFS == 1 {
		t.setFS(uintptr(t.FS))
	}
	if t.GuestGS == 0 {
		t.setGS(t.addr())
	}
	uc := (*Ucontext)(at(t.Frame))
	s := t.slot()
	if !t.beginsAlone(s) {
		s.NIn = 0
		s.InLen = 0
		s.Nr = 0
		s.Args[0] = t.Token
		t.exchange(uc, s, abi.KindThread)
	}
	t.pastAny(uc)
	t.Depth = 0
	return t.Frame
}

// childActs keeps the actions that a child is to carry out, which does not have this slot.
func (r *reply) childActs() {
	t := r.t
	t.NChild = 0
	n := uintptr(r.s.NAct)
	if n > abi.MaxActions {
		n = abi.MaxActions
	}
	for i := uintptr(0); i < n; i++ {
		a := (*abi.Action)(unsafe.Add(unsafe.Pointer(&r.s.Acts), i*unsafe.Sizeof(abi.Action{})))
		if a.Flags&abi.ActChild != 0 && t.NChild < abi.MaxChildActs {
			*t.childAct(uintptr(t.NChild)) = *a
			t.NChild++
		}
	}
}

func (t *Thread) childAct(i uintptr) *abi.Action {
	return (*abi.Action)(unsafe.Add(unsafe.Pointer(&t.Child), i*unsafe.Sizeof(abi.Action{})))
}

// fork forks the task: the parent goes on with its actions, the child asks the
// server on its own channel, unless it is told all by now, and continues in the guest.
func (r *reply) fork(tag, token, sp, told uint64) uintptr {
	t := r.t
	if told == 1 {
		r.childActs()
	}
	t.lock()
	g := t.takeGrant(abi.EventChannel, tag)
	if g == nil {
		t.unlock()
		return errno(eAGAIN)
	}
	v := t.copyRegions()
	if !failed(v) {
		v = t.sharePaged(madvDofork)
	}
	if !failed(v) {
		v = t.host(sysClone, CloneFork, 0, 0, 0, 0, 0)
	}
	if v != 0 {
		t.dropCopies()
		t.sharePaged(madvDontfork)
		t.closeFDs(&g.FDs)
		g.Op = 0
		t.unlock()
		if failed(v) {
			return v
		}
		return 0
	}
	// The child: nobody else is in this address space.
	task := t.task()
	fds := g.FDs
	g.Op = 0
	t.adopt(&fds)
	for i := uintptr(0); i < uintptr(task.NGrants) && i < MaxGrants; i++ {
		k := grantAt(task, i)
		if k.Op != 0 {
			t.closeFDs(&k.FDs)
			k.Op = 0
		}
	}
	task.NGrants = 0
	t.dropPorts()
	t.unlendAll()
	t.takeCopies()
	for i := uintptr(0); i < uintptr(task.Threads) && i < abi.MaxSlots; i++ {
		if b := t.block(i); b.HostTid != 0 { // to write is to copy a page
			b.HostTid = 0
		}
	}
	task.Lock = 0
	t.Kicked = 0
	t.Due = 0
	t.Leader = 1
	t.HostTid = 1
	t.Cold = SiteHot
	if task.Paged == 0 {
		t.hello()
	} else {
		t.helloPaged()
	}
	r.uc.Regs.AX = 0
	if t.conv() == ConvBSD {
		r.uc.Regs.Flags &^= 1
	}
	if sp != 0 {
		r.uc.Regs.SP = sp
	}
	r.over = true
	if told == 1 {
		for i := uintptr(0); i < uintptr(t.NChild) && i < abi.MaxChildActs; i++ {
			r.step(t.childAct(i)) // none of them fails but to the child's own harm
		}
		return 0
	}
	s := t.slot()
	s.NIn = 0
	s.InLen = 0
	s.Nr = 0
	s.Args[0] = token
	t.exchange(r.uc, s, abi.KindFork)
	return 0
}

// adopt makes a channel that was received the task's own: control, area,
// doorbell. The received descriptors are closed.
func (t *Thread) adopt(fds *[3]int32) {
	t.host(sysDup2, uintptr(fds[0]), ControlFD, 0, 0, 0, 0)
	area := t.Window + AreaOff
	limit := t.task().Words[abi.TaskASLimit]
	if limit != 0 { // its parent may have more than it allows by now
		t.limit(abi.TaskASLimit, 0)
	}
	r := t.host(sysMmap, area, AreaSize, protRead|protWrite, mapShared|mapFixed|mapNoreserve, uintptr(fds[1]), 0)
	if r != area {
		t.die(71)
	}
	if limit != 0 {
		t.limit(abi.TaskASLimit, limit)
	}
	// A child of this task has its own (HAZARDS A3): never inherit this one.
	t.host(sysMadvise, area, AreaSize, madvDontfork, 0, 0, 0)
	t.host(sysDup2, uintptr(fds[2]), DoorbellFD, 0, 0, 0, 0)
	t.closeFDs(fds)
}

// hello tells the nucleus, by the credentials of the datagram, which host
// process speaks on the channel.
func (t *Thread) hello() {
	t.HostID = uint64(t.host(sysGettid, 0, 0, 0, 0, 0, 0))
	t.say(abi.CallHello, t.HostID, 0)
}

// say writes a bare header on the control channel.
func (t *Thread) say(op uint32, a0, a1 uint64) {
	for i := uintptr(0); i < 9; i++ {
		*(*uint64)(unsafe.Add(unsafe.Pointer(&t.Hdr), i*8)) = 0
	}
	// CallHeader: Op and NFds, ID, Err and Len, then A.
	t.Hdr[0] = uint64(op)
	t.Hdr[3] = a0
	t.Hdr[4] = a1
	t.host(sysWrite, ControlFD, uintptr(unsafe.Pointer(&t.Hdr)), abi.CallHeaderSize, 0, 0, 0)
}
