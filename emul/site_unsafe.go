package emul

import (
	"sync/atomic"
	"unsafe"

	"hythe/abi"
)

// Kinds of call site (docs/patching.md). Both have five bytes before the SYSCALL, so
// that a jump of seven bytes takes the place of both.
const (
	siteNumber = 1 // MOVL $number, EAX
	siteStack  = 2 // MOVQ 8(SP), R9: the last argument of a function that takes the number
)

// Why a patched call site raised the signal that gives it a frame (Thread.SiteWhy).
const (
	siteKick  = 0 // a kick came: the call is over
	siteTrap  = 1 // the call is made as by a trap
	siteReply = 2 // the reply is in the slot and needs a frame
	siteAsk   = 3 // a KindPoll is in the slot and must be sent
	siteFault = 4 // the argument on the stack could not be read
)

// byteAt reads a byte of the library's own.
func byteAt(p *[8]uint8, i uintptr) *uint8 {
	return (*uint8)(unsafe.Add(unsafe.Pointer(p), i))
}

func siteAt(x *Sites, i uintptr) *Site {
	return (*Site)(unsafe.Add(unsafe.Pointer(&x.Sites), (i&(MaxSites-1))*unsafe.Sizeof(Site{})))
}

func textAt(x *Sites, i uintptr) *Text {
	return (*Text)(unsafe.Add(unsafe.Pointer(&x.Texts), i*unsafe.Sizeof(Text{})))
}

// jumpOf stores the jump that takes the place of site i.
func jumpOf(p *[8]uint8, i uintptr) {
	slot := abi.SitesBase + 8*i
	p[0], p[1], p[2] = 0xff, 0x24, 0x25 // JMP *slot
	p[3], p[4], p[5], p[6] = uint8(slot), uint8(slot>>8), uint8(slot>>16), uint8(slot>>24)
}

// holds says whether the seven bytes at the guest's address a are those at p.
func (t *Thread) holds(a uintptr, p *[8]uint8) bool {
	b := (*[8]uint8)(unsafe.Pointer(&t.Scratch))
	if t.copyIn(uintptr(unsafe.Pointer(b)), a, siteBytes) != 0 {
		return false
	}
	for i := uintptr(0); i < siteBytes; i++ {
		if *byteAt(b, i) != *byteAt(p, i) {
			return false
		}
	}
	return true
}

// heat counts the traps of a call site and patches one that is worth it. A count
// that two threads spoil is only a count.
func (t *Thread) heat(uc *Ucontext) {
	if t.task().Patch == 0 {
		return
	}
	x := t.sites()
	ret := uc.Regs.IP
	h := uintptr(ret*0x9e3779b97f4a7c15>>54) & 1023
	p := (*uint64)(unsafe.Add(unsafe.Pointer(&x.Heat), h*8))
	v := atomic.LoadUint64(p)
	if v&(1<<48-1) != ret {
		atomic.StoreUint64(p, ret|1<<48)
		return
	}
	if v>>48 >= SiteHot {
		return
	}
	v += 1 << 48
	atomic.StoreUint64(p, v)
	if v>>48 == SiteHot && uintptr(ret) < t.Window && t.conv() == ConvLinux {
		t.lock()
		t.patch(uintptr(ret))
		t.unlock()
	}
}

// patch replaces the call site before ret by a jump, if it is in a range that may be
// patched, and of a known kind. Callers hold the lock.
func (t *Thread) patch(ret uintptr) {
	x := t.sites()
	at7 := ret - siteBytes
	ok := false
	for i := uintptr(0); i < MaxTexts; i++ {
		if r := textAt(x, i); at7 >= r.Lo && ret <= r.Hi {
			ok = true
		}
	}
	if !ok || t.getGS() != t.addr() {
		return
	}
	var old, jump [8]uint8
	if t.copyMem(uintptr(unsafe.Pointer(&old)), at7, siteBytes) != 0 || old[5] != 0x0f || old[6] != 0x05 {
		return
	}
	kind := uint32(0)
	if old[0] == 0xb8 {
		kind = siteNumber
	} else if old[0] == 0x4c && old[1] == 0x8b && old[2] == 0x4c && old[3] == 0x24 && old[4] == 0x08 {
		kind = siteStack
	} else {
		return
	}
	// One that was patched, unmapped and mapped again keeps its place if it is the
	// same; else the place stays with threads that may still be on their way.
	n := uintptr(x.N)
	i := n
	for j := uintptr(0); j < n; j++ {
		s := siteAt(x, j)
		if uintptr(s.Ret) == ret {
			same := true
			for k := uintptr(0); k < siteBytes; k++ {
				same = same && *byteAt(&s.Old, k) == *byteAt(&old, k)
			}
			if !same {
				return
			}
			i = j
		}
	}
	if i >= MaxSites {
		return
	}
	if i == n {
		if !t.newSlot(i) {
			return
		}
		s := siteAt(x, i)
		s.Ret = uint64(ret)
		s.Kind = kind
		s.Nr = uint32(old[1]) | uint32(old[2])<<8 | uint32(old[3])<<16 | uint32(old[4])<<24
		s.Old = old
		atomic.StoreUint32(&x.N, uint32(n)+1)
	}
	jumpOf(&jump, i)
	t.rewrite(at7, &jump)
}

// newSlot makes the word through which site i jumps.
func (t *Thread) newSlot(i uintptr) bool {
	const size = abi.SitesSize
	x := t.sites()
	if x.Mapped == 0 {
		r := t.host(sysMmap, abi.SitesBase, size, protRead|protWrite, mapPrivate|mapAnon|mapNoreplace, ^uintptr(0), 0)
		if r != abi.SitesBase {
			// The guest has something there.
			if !failed(r) {
				t.host(sysMunmap, r, size, 0, 0, 0, 0)
			}
			t.task().Patch = 0
			return false
		}
		x.Mapped = 1
	} else if failed(t.host(sysMprotect, abi.SitesBase, size, protRead|protWrite, 0, 0, 0)) {
		return false
	}
	*(*uint64)(at(abi.SitesBase + 8*i)) = uint64(t.PC.SiteStubs + StubBytes*i)
	return !failed(t.host(sysMprotect, abi.SitesBase, size, protRead, 0, 0, 0))
}

// rewrite stores seven bytes of text at a. While the text can be written it cannot be
// executed: a thread that is there faults and finds the lock held (refetch). No
// thread can be in the middle of it then: the host interrupts each processor that
// runs one when it takes the right to execute away.
func (t *Thread) rewrite(a uintptr, p *[8]uint8) {
	lo := a &^ pageMask
	n := (a+siteBytes+pageMask)&^pageMask - lo
	if failed(t.host(sysMprotect, lo, n, protRead|protWrite, 0, 0, 0)) {
		// Perhaps only its first page: put it back.
		t.host(sysMprotect, lo, n, protRead|protExec, 0, 0, 0)
		return
	}
	t.copyMem(a, uintptr(unsafe.Pointer(p)), siteBytes)
	if failed(t.host(sysMprotect, lo, n, protRead|protExec, 0, 0, 0)) {
		t.die(72)
	}
}

// addText says that sites may be patched in n bytes at lo. Callers hold the lock.
func (t *Thread) addText(lo, n uintptr) {
	x := t.sites()
	for i := uintptr(0); i < MaxTexts && t.task().Patch != 0; i++ {
		if r := textAt(x, i); r.Hi == 0 {
			r.Lo = lo
			r.Hi = lo + (n+pageMask)&^pageMask
			return
		}
	}
}

// dropText is called before n bytes at a are mapped, unmapped or protected otherwise
// than the library did. Text there is as it was before, from then on, and is not
// patched again.
func (t *Thread) dropText(a, n uintptr) {
	if t.task().Patch == 0 && t.sites().N == 0 {
		return
	}
	x := t.sites()
	end := a + (n+pageMask)&^pageMask
	hit := a < abi.SitesBase+abi.SitesSize && end > abi.SitesBase && x.Mapped != 0
	for i := uintptr(0); i < MaxTexts; i++ {
		if r := textAt(x, i); a < r.Hi && end > r.Lo {
			hit = true
		}
	}
	if !hit {
		return
	}
	t.lock()
	if a < abi.SitesBase+abi.SitesSize && end > abi.SitesBase && x.Mapped != 0 {
		// The guest has a use for the place: all text as it was.
		t.task().Patch = 0
		t.restore(0, t.Window)
		t.host(sysMunmap, abi.SitesBase, abi.SitesSize, 0, 0, 0, 0)
		x.Mapped = 0
	}
	t.restore(a, end)
	for i := uintptr(0); i < MaxTexts; i++ {
		if r := textAt(x, i); a < r.Hi && end > r.Lo {
			r.Lo = 0
			r.Hi = 0
		}
	}
	t.unlock()
}

// restore gives the text between lo and hi its own bytes. Callers hold the lock.
func (t *Thread) restore(lo, hi uintptr) {
	x := t.sites()
	for i := uintptr(0); i < uintptr(x.N); i++ {
		s := siteAt(x, i)
		a := uintptr(s.Ret) - siteBytes
		if a >= hi || a+siteBytes <= lo {
			continue
		}
		in := false
		for j := uintptr(0); j < MaxTexts; j++ {
			if r := textAt(x, j); a >= r.Lo && uintptr(s.Ret) <= r.Hi {
				in = true
			}
		}
		var jump [8]uint8
		jumpOf(&jump, i)
		if in && t.holds(a, &jump) {
			t.rewrite(a, &s.Old)
		}
	}
}

// oldSite says whether the guest stands where the SYSCALL of a patched site was: by a
// jump, or because it was between the two instructions. uc is then as at the trap.
func (t *Thread) oldSite(uc *Ucontext) bool {
	x := t.sites()
	n := uintptr(atomic.LoadUint32(&x.N))
	for i := uintptr(0); i < n && i < MaxSites; i++ {
		s := siteAt(x, i)
		if s.Ret != uc.Regs.IP+2 {
			continue
		}
		var jump [8]uint8
		jumpOf(&jump, i)
		if !t.holds(uintptr(s.Ret)-siteBytes, &jump) {
			// Restored meanwhile: run what is there.
			return false
		}
		uc.Regs.IP = s.Ret
		uc.Regs.CX = s.Ret
		uc.Regs.R11 = uc.Regs.Flags
		return true
	}
	return false
}

// refetch says whether a fault is that of an instruction whose page is being patched
// by another thread, or was when the host looked. The fault comes again if not.
func (t *Thread) refetch(uc *Ucontext) bool {
	const fetch = 0x10 // of the page fault's error code
	if uc.Regs.TrapNo != 14 || uc.Regs.Err&fetch == 0 || t.sites().N == 0 {
		return false
	}
	t.lock()
	x := t.sites()
	again := uc.Regs.IP != t.LastIP
	for i := uintptr(0); i < MaxTexts; i++ {
		if r := textAt(x, i); uintptr(uc.Regs.IP) >= r.Lo && uintptr(uc.Regs.IP) < r.Hi {
			again = true
		}
	}
	t.LastIP = uc.Regs.IP
	t.unlock()
	return again
}

// SiteCall serves the call of a patched site on the guest's state in t.Site: 0 if it
// is over, 1 if it needs a signal frame (t.SiteWhy). Kicks are not masked here: they
// set t.Kicked, which is looked at on the way back to the guest.
func SiteCall(t *Thread) uintptr {
	uc := &t.Site
	t.SiteWhy = siteKick
	if !t.siteRegs(uc) {
		t.SiteWhy = siteFault
		return 1
	}
	conv := t.conv()
	raw := uc.Regs.AX
	nr := uint64(int64(int32(uint32(raw))))
	d := t.desc(nr)
	if d != nil && d.Local != abi.LocalNone {
		if d.Local == abi.LocalFutex && !futexNow(uintptr(uc.Regs.SI)) {
			t.SiteWhy = siteTrap
			return 1
		}
		if r, done := local(t, uc, d); done {
			setResult(uc, conv, r)
			return 0
		}
	}
	s := t.slot()
	t.request(uc, s, d, nr, raw)
	t.post(uc, s, abi.KindTrap)
	t.wait(s, abi.SlotRequest)
	if !plain(s) {
		t.SiteWhy = siteReply
		return 1
	}
	if t.settle(uc, s, abi.KindTrap) == settleAsk {
		t.SiteWhy = siteAsk
		return 1
	}
	return 0
}

// siteRegs completes the guest's state: as SYSCALL would leave it.
func (t *Thread) siteRegs(uc *Ucontext) bool {
	s := siteAt(t.sites(), uintptr(uint32(t.SiteNr)))
	uc.Regs.IP = s.Ret
	uc.Regs.CX = s.Ret
	uc.Regs.R11 = uc.Regs.Flags
	uc.Regs.CsGsFs = 0x002b_0000_0000_0033
	if s.Kind == siteNumber {
		uc.Regs.AX = uint64(s.Nr)
		return true
	}
	v := t.SiteNr >> 32
	uc.Regs.AX = v>>24 | v>>8&0xff00 | v<<8&0xff0000 | v<<24&0xff000000
	p := t.addr() + unsafe.Offsetof(t.Scratch)
	if t.copyIn(p, uintptr(uc.Regs.SP)+8, 8) != 0 {
		return false
	}
	uc.Regs.R9 = t.Scratch[0]
	return true
}

// futexNow says whether the operation never waits.
func futexNow(op uintptr) bool {
	cmd := op & 127
	return cmd == futexWake || cmd == futexWakeBitset || cmd == futexRequeue || cmd == futexCmpRequeue || cmd == futexWakeOp
}

// plain says whether a reply can be carried out without a signal frame.
func plain(s *abi.Slot) bool {
	if s.State != abi.SlotReply || s.RFlags&(abi.ReplyKeepRegs|abi.ReplyMust) != 0 || s.NAct > abi.MaxActions {
		return false
	}
	for i := uintptr(0); i < uintptr(s.NAct); i++ {
		a := (*abi.Action)(unsafe.Add(unsafe.Pointer(&s.Acts), i*unsafe.Sizeof(abi.Action{})))
		if a.Op != abi.ActCopyOut && (a.Op < abi.ActMapAnon || a.Op > abi.ActZero) && a.Op != abi.ActStore32 &&
			a.Op != abi.ActDropGrant && a.Op != abi.ActFutexWake {
			return false
		}
	}
	return true
}

// siteSignal handles a signal whose instruction is in the code of patched sites.
func (t *Thread) siteSignal(sig, ip uintptr, uc *Ucontext) bool {
	if sig == sigTRAP && ip == t.PC.SiteRaise+1 {
		t.promoted(uc)
		return true
	}
	if sig == sigTRAP && ip == t.PC.SiteSlow+1 || (sig == sigSEGV || sig == sigBUS) && ip == t.PC.SiteLoad {
		t.SiteNr = uc.Regs.R11
	} else if sig == sigTRAP && uc.Regs.TrapNo == 1 && ip < t.PC.SiteStubs+StubBytes*MaxSites && (ip-t.PC.SiteStubs)%StubBytes == 0 {
		// The guest goes step by step.
		n := uint64(uint32(uc.Regs.AX))
		n = n>>24 | n>>8&0xff00 | n<<8&0xff0000 | n<<24&0xff000000
		t.SiteNr = n<<32 | uint64((ip-t.PC.SiteStubs)/StubBytes)
	} else {
		return false
	}
	t.Depth = 1
	seg := uc.Regs.CsGsFs
	if t.siteRegs(uc) {
		uc.Regs.CsGsFs = seg
		trap(t, uc)
	} else {
		uc.Regs.CsGsFs = seg
		t.siteFault(uc)
	}
	t.Depth = 0
	return true
}

// siteFault tells the server that a site's argument on the stack cannot be read.
func (t *Thread) siteFault(uc *Ucontext) {
	var info Siginfo
	info.Signo = sigSEGV
	info.Code = 1 // SEGV_MAPERR
	info.Addr = uc.Regs.SP + 8
	uc.Regs.IP -= siteBytes
	uc.Regs.TrapNo = 14
	uc.Regs.Err = 4 // a read by the user
	uc.Regs.CR2 = info.Addr
	fault(t, sigSEGV, &info, uc)
}

// promoted goes on with the call of a patched site now that there is a frame.
func (t *Thread) promoted(uc *Ucontext) {
	r := &t.Site.Regs
	seg, fp, mask := uc.Regs.CsGsFs, uc.Regs.FSBase, uc.Regs.OldMask
	uc.Regs = *r
	uc.Regs.CsGsFs, uc.Regs.FSBase, uc.Regs.OldMask = seg, fp, mask
	t.Depth = 1
	why := t.SiteWhy
	s := t.slot()
	if why == siteTrap {
		trap(t, uc)
	} else if why == siteReply {
		how := t.settle(uc, s, abi.KindTrap)
		again := how == settleAgain
		if how == settleAsk {
			again = t.exchange(uc, s, abi.KindPoll)
		}
		if again {
			trap(t, uc)
		}
	} else if why == siteAsk {
		if t.exchange(uc, s, abi.KindPoll) {
			trap(t, uc)
		}
	} else if why == siteFault {
		t.siteFault(uc)
	}
	if t.Kicked != 0 {
		t.Kicked = 0
		t.poll(uc, abi.PollKick, 0)
	}
	t.Depth = 0
}
