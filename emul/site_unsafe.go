package emul

import (
	"sync/atomic"
	"unsafe"

	"hythe/abi"
)

// Kinds of call site (docs/patching.md). Most have an instruction of five
// bytes before the SYSCALL, so that a jump of seven bytes takes the place of both. The comparing ones are a SYSCALL
// and an instruction that compares its result, together six bytes or more: a jump of six
// bytes takes their place, and the library makes the comparison. siteLea's jump takes the place of an instruction
// of seven bytes before the SYSCALL, which stays: who comes to that makes it.
const (
	siteNumber    = 1 // MOVL $number, EAX
	siteStack     = 2 // MOVQ n(SP), R9: the last argument of a function that takes the number
	siteLoadNr    = 3 // MOVQ 8(SP), RAX: the number, of Go's functions that look at no error
	siteStoreR11  = 4 // MOVQ R11, 8(SP): musl's cancellation points
	siteCompare   = 5 // CMPQ RAX, $x
	siteCompare32 = 6 // CMPL EAX, $x
	siteLeaSI     = 7 // LEAQ n(SP), SI: Go's reading of a clock on 4.4BSD's descendants
	siteLea       = 8 // LEAQ n(R), SI, with n of four bytes, or n(IP): glibc's changes of a mask
)

// invalid is a byte that begins no instruction.
const invalid = 0x06

// Why a patched call site raised the signal that gives it a frame (Thread.SiteWhy).
const (
	siteKick  = 0 // a kick came: the call is over
	siteTrap  = 1 // the call is made as by a trap
	siteReply = 2 // the reply is in the slot and needs a frame
	siteAsk   = 3 // a KindPoll is in the slot and must be sent
	siteFault = 4 // the argument on the stack could not be read
)

var _ [SitesSize - unsafe.Sizeof(Sites{})]byte

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

// start answers where the jump of a site is.
func (s *Site) start() uintptr { return uintptr(s.Ret) - uintptr(s.Back) }

// jumpOf stores the jump that takes the place of a site.
func jumpOf(p *[8]uint8, s *Site) {
	a := s.Slot
	i := uintptr(3)
	p[0], p[1], p[2] = 0xff, 0x24, 0x25 // JMP *slot
	if s.Skip != 0 {
		p[1] = 0x25 // JMP *slot, its distance
		a -= s.Ret - uint64(s.Back) + uint64(s.Len)
		i = 2
	}
	for ; i < uintptr(s.Len); i++ {
		*byteAt(p, i) = uint8(a)
		a >>= 8
	}
}

// isPatched says whether the jump of a site is in its place.
func (t *Thread) isPatched(s *Site) bool {
	var jump [8]uint8
	jumpOf(&jump, s)
	return t.holds(s.start(), &jump, uintptr(s.Len))
}

// holds says whether n bytes at the guest's address a are those at p.
func (t *Thread) holds(a uintptr, p *[8]uint8, n uintptr) bool {
	b := (*[8]uint8)(unsafe.Pointer(&t.Scratch))
	if t.copyIn(uintptr(unsafe.Pointer(b)), a, n) != 0 {
		return false
	}
	for i := uintptr(0); i < n; i++ {
		if *byteAt(b, i) != *byteAt(p, i) {
			return false
		}
	}
	return true
}

// heat counts the traps of a call site and patches one that is worth it; patched: it has tried to. A count
// that two threads spoil is only a count.
func (t *Thread) heat(uc *Ucontext) (patched bool) {
	if t.task().Patch == 0 {
		return false
	}
	if t.Cold != 0 {
		t.Cold--
		return false
	}
	x := t.sites()
	ret := uc.Regs.IP
	h := uintptr(ret*0x9e3779b97f4a7c15>>54) & 1023
	p := (*uint64)(unsafe.Add(unsafe.Pointer(&x.Heat), h*8))
	v := atomic.LoadUint64(p)
	if v&(1<<48-1) != ret {
		atomic.StoreUint64(p, ret|1<<48)
		return false
	}
	if v>>48 >= SiteHot {
		return false
	}
	v += 1 << 48
	atomic.StoreUint64(p, v)
	if v>>48 == SiteHot && uintptr(ret) < t.Window && t.conv() != ConvPlan9 {
		t.lock()
		t.patch(uintptr(ret), &uc.Regs)
		t.unlock()
		return true
	}
	return false
}

// patch replaces the call site before ret by a jump, if it is in a range that may be
// patched, and of a known kind. regs are those at the trap. Callers hold the lock.
func (t *Thread) patch(ret uintptr, regs *abi.Regs) {
	x := t.sites()
	if t.getGS() != t.addr() {
		return
	}
	for i := uintptr(0); i < MaxTexts; i++ {
		r := textAt(x, i)
		if ret-2 < r.Lo || ret > r.Hi {
			continue
		}
		var s Site
		s.Ret = uint64(ret)
		if !t.compares(&s, r) && !t.precedes(&s, r, regs.AX) && !t.leads(&s, r, regs) {
			return
		}
		i := t.place(&s)
		if i >= MaxSites {
			return
		}
		t.quick(siteAt(x, i))
		var jump [8]uint8
		jumpOf(&jump, siteAt(x, i))
		t.rewrite(s.start(), &jump, uintptr(s.Len))
		return
	}
}

// compares says whether the instruction behind the SYSCALL is one that only compares
// its result, and makes s one of its kind. Nothing is guessed: the SYSCALL was executed, so
// it is an instruction, and so is what is behind it.
func (t *Thread) compares(s *Site, r *Text) bool {
	const most = 6
	at := uintptr(s.Ret)
	b := &s.Old
	if at-2 < r.Lo || r.Hi-at < most || t.copyMem(uintptr(unsafe.Pointer(b)), at-2, 2+most) != 0 || b[0] != 0x0f || b[1] != 0x05 {
		return false
	}
	s.Kind = siteCompare
	s.Nr = uint32(b[4]) | uint32(b[5])<<8 | uint32(b[6])<<16 | uint32(b[7])<<24
	if b[2] == 0x48 && b[3] == 0x3d {
		s.Skip = 6
	} else if b[2] == 0x48 && b[3] == 0x83 && b[4] == 0xf8 {
		s.Skip = 4
		s.Nr = uint32(int32(int8(b[5])))
	} else if b[2] == 0x3d {
		s.Skip = 5
		s.Kind = siteCompare32
		s.Nr = s.Nr<<8 | uint32(b[3])
	} else {
		return false
	}
	s.Back = 2
	s.Len = 6
	return true
}

// precedes says whether the five bytes before the SYSCALL are an instruction that the
// library can stand in for, and makes s one of its kind.
func (t *Thread) precedes(s *Site, r *Text, nr uint64) bool {
	const before, n = 4, 7
	at := uintptr(s.Ret) - n
	var lead [8]uint8
	b := &s.Old
	if at-before < r.Lo || t.copyMem(uintptr(unsafe.Pointer(&lead)), at-before, before) != 0 ||
		t.copyMem(uintptr(unsafe.Pointer(b)), at, n) != 0 || b[5] != 0x0f || b[6] != 0x05 {
		return false
	}
	b[7] = 0
	s.Nr = uint32(b[1]) | uint32(b[2])<<8 | uint32(b[3])<<16 | uint32(b[4])<<24
	s.Skip = 0
	s.Back = n
	s.Len = n
	if b[3] == 0x24 && b[4] < 0x80 {
		if b[0] == 0x4c && b[1] == 0x8b && b[2] == 0x4c {
			s.Kind = siteStack
			return true
		}
		if b[0] == 0x48 && b[1] == 0x8d && b[2] == 0x74 {
			s.Kind = siteLeaSI
			return true
		}
	}
	if b[3] == 0x24 && b[4] == 0x08 {
		if b[0] == 0x48 && b[1] == 0x8b && b[2] == 0x44 {
			s.Kind = siteLoadNr
			return true
		}
		if b[0] == 0x4c && b[1] == 0x89 && b[2] == 0x5c {
			s.Kind = siteStoreR11
			return true
		}
	}
	s.Kind = siteNumber
	if b[0] != 0xb8 || nr != uint64(s.Nr) {
		return false
	}
	// The byte could be the middle of an instruction with a displacement, relative to
	// RAX or R8. RAX holds the number and would lead nowhere; for R8 there is a prefix.
	rex := lead[2]&0xf1 == 0x41 && lead[3]&0xf0 != 0x50 // PUSH and POP take no such byte
	return nr < abi.CallTableSize && !rex && lead[2] != 0x0f && lead[1] != 0xc5 && lead[0] != 0xc4
}

// leads says whether the seven bytes before the SYSCALL are a LEAQ to SI whose effect the library can
// have, and makes s one of its kind. They could be the end of a longer instruction; that is excluded by
// SI, which must be what they would have made of it, and by the byte before, which is no prefix.
func (t *Thread) leads(s *Site, r *Text, regs *abi.Regs) bool {
	const n = 7
	at := uintptr(s.Ret) - 2 - n
	var all [8]uint8
	b := &s.Old
	if at-1 < r.Lo || t.copyMem(uintptr(unsafe.Pointer(&all)), at-1, 1) != 0 || t.copyMem(uintptr(unsafe.Pointer(b)), at, n) != 0 {
		return false
	}
	before := all[0]
	if t.copyMem(uintptr(unsafe.Pointer(&all)), uintptr(s.Ret)-2, 2) != 0 || all[0] != 0x0f || all[1] != 0x05 {
		return false
	}
	b[7] = 0
	if before&0xf0 == 0x40 || before&0xe7 == 0x26 || before >= 0x64 && before <= 0x67 || before&0xfc == 0xf0 || b[0] != 0x48 || b[1] != 0x8d {
		return false
	}
	s.Kind, s.Skip, s.Back, s.Len = siteLea, 0, n+2, n
	s.Nr = uint32(b[3]) | uint32(b[4])<<8 | uint32(b[5])<<16 | uint32(b[6])<<24
	v, ok := s.lea(regs)
	return ok && v == regs.SI
}

// lea is what the instruction of a siteLea makes of SI; false: it is none of those.
func (s *Site) lea(r *abi.Regs) (uint64, bool) {
	const si = 6 << 3 // ModRM's middle field
	v := uint64(int64(int32(s.Nr)))
	switch s.Old[2] {
	case si | 5:
		return v + s.Ret - 2, true
	case 0x80 | si | 2:
		return v + r.DX, true
	case 0x80 | si | 3:
		return v + r.BX, true
	case 0x80 | si | 5:
		return v + r.BP, true
	case 0x80 | si | 7:
		return v + r.DI, true
	}
	return 0, false
}

// quick says where the answer of a site's call is, if it is a call of Linux that a word answers, and the site
// always makes the same one. Which table of calls a task has changes with its program only.
func (t *Thread) quick(s *Site) {
	quick, told := uint64(0), uint64(0)
	if s.Kind == siteNumber && t.conv() == ConvLinux {
		if d := t.desc(uint64(s.Nr)); d != nil && d.Local == abi.LocalWord && d.Pre[0].Arg < abi.TaskWords && d.Pre[0].Arg != abi.TaskPid {
			quick = uint64(uintptr(unsafe.Pointer(&t.task().Words)) + 8*uintptr(d.Pre[0].Arg))
		} else if d != nil && d.Local == abi.LocalTold && d.Pre[0].Arg < abi.ToldWords {
			told = uint64(uintptr(unsafe.Pointer(&t.area().Told)) + 8*uintptr(d.Pre[0].Arg))
		}
	}
	atomic.StoreUint64(&s.Quick, quick)
	atomic.StoreUint64(&s.Told, told)
}

// place answers the index of a site like s, a new one if there is none yet; its slot is
// made. One that was patched, unmapped and mapped again keeps its place if it is the
// same; else the place stays with threads that may still be on their way.
func (t *Thread) place(s *Site) uintptr {
	x := t.sites()
	n := uintptr(x.N)
	for i := uintptr(0); i < n; i++ {
		o := siteAt(x, i)
		if o.Ret != s.Ret {
			continue
		}
		if o.Kind != s.Kind || *(*uint64)(unsafe.Pointer(&o.Old)) != *(*uint64)(unsafe.Pointer(&s.Old)) {
			return MaxSites
		}
		return i
	}
	if n >= MaxSites || !t.newSlot(n, s) {
		return MaxSites
	}
	*siteAt(x, n) = *s
	atomic.StoreUint32(&x.N, uint32(n)+1)
	return n
}

// newSlot makes the word through which s, site i, jumps.
func (t *Thread) newSlot(i uintptr, s *Site) bool {
	const size = abi.SitesSize
	base := uintptr(abi.SitesBase)
	slot := base + 8*i
	if s.Skip != 0 {
		base, slot = t.nearSlot(s)
		if slot == 0 {
			return false
		}
	}
	if base < t.Window && !t.mapArea(base) {
		return false
	}
	if failed(t.host(sysMprotect, base, size, protRead|protWrite, 0, 0, 0)) {
		return false
	}
	stub := t.PC.SiteStubs + StubBytes*i
	if s.Kind == siteStoreR11 {
		stub = t.PC.StoreStubs + StoreBytes*i
	}
	*(*uint64)(at(slot)) = uint64(stub)
	s.Slot = uint64(slot)
	if failed(t.host(sysMprotect, base, size, protRead, 0, 0, 0)) {
		t.die(72)
	}
	return true
}

// nearSlot finds a word for a jump by its distance, of which the lowest byte must be
// invalid: it lies where the instruction behind the SYSCALL began. It answers the area in which
// the word lies, and the word, 0 if there is none.
func (t *Thread) nearSlot(s *Site) (uintptr, uintptr) {
	const far = abi.SitesChunk - abi.SitesSize
	x := t.sites()
	from := s.start() + uintptr(s.Len)
	base := t.Window + NearOff
	lo := base
	if base-from > far {
		base = from&^(abi.SitesChunk-1) + abi.SitesBase
		lo = base + 8*MaxSites // behind those of the other kinds
	}
	for a := lo + (from+invalid-lo)&0xff; a+8 <= base+abi.SitesSize; a += 256 {
		free := true
		for i := uintptr(0); i < uintptr(x.N); i++ {
			if d := a - uintptr(siteAt(x, i).Slot) + 7; d < 15 {
				free = false
			}
		}
		if free {
			return base, a
		}
	}
	return 0, 0
}

// mapArea maps words at base in the guest's part if there are none yet.
func (t *Thread) mapArea(base uintptr) bool {
	x := t.sites()
	for i := uintptr(0); i < MaxAreas; i++ {
		p := areaAt(x, i)
		if *p == base {
			return true
		}
		if *p != 0 {
			continue
		}
		r := t.host(sysMmap, base, abi.SitesSize, protRead, mapPrivate|mapAnon|mapNoreplace, ^uintptr(0), 0)
		if r != base {
			// The guest has something there.
			if !failed(r) {
				t.host(sysMunmap, r, abi.SitesSize, 0, 0, 0, 0)
			}
			return false
		}
		*p = base
		return true
	}
	return false
}

func areaAt(x *Sites, i uintptr) *uintptr {
	return (*uintptr)(unsafe.Add(unsafe.Pointer(&x.Areas), i*8))
}

// hitsArea says whether words of call sites are between a and end.
func (t *Thread) hitsArea(a, end uintptr) bool {
	x := t.sites()
	for i := uintptr(0); i < MaxAreas; i++ {
		if b := *areaAt(x, i); b != 0 && a < b+abi.SitesSize && end > b {
			return true
		}
	}
	return false
}

// rewrite stores n bytes of text at a. While the text can be written it cannot be
// executed: a thread that is there faults and finds the lock held (refetch). No
// thread can be in the middle of it then: the host interrupts each processor that
// runs one when it takes the right to execute away.
func (t *Thread) rewrite(a uintptr, p *[8]uint8, n uintptr) {
	lo := a &^ pageMask
	size := (a+n+pageMask)&^pageMask - lo
	if failed(t.host(sysMprotect, lo, size, protRead|protWrite, 0, 0, 0)) {
		// Perhaps only its first page: put it back.
		t.host(sysMprotect, lo, size, protRead|protExec, 0, 0, 0)
		return
	}
	t.copyMem(a, uintptr(unsafe.Pointer(p)), n)
	if failed(t.host(sysMprotect, lo, size, protRead|protExec, 0, 0, 0)) {
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
			if uint32(i) >= x.NTexts {
				atomic.StoreUint32(&x.NTexts, uint32(i)+1)
			}
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
	area := t.hitsArea(a, end)
	hit := area
	for i := uintptr(0); i < uintptr(x.NTexts) && i < MaxTexts; i++ {
		if r := textAt(x, i); a < r.Hi && end > r.Lo {
			hit = true
		}
	}
	if !hit {
		return
	}
	t.lock()
	if area {
		// The guest has a use for the place: all text as it was.
		t.task().Patch = 0
		t.restore(0, t.Window)
		for i := uintptr(0); i < MaxAreas; i++ {
			if p := areaAt(x, i); *p != 0 {
				t.host(sysMunmap, *p, abi.SitesSize, 0, 0, 0, 0)
				*p = 0
			}
		}
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
		a := s.start()
		end := a + uintptr(s.Len)
		if a >= hi || end <= lo {
			continue
		}
		in := false
		for j := uintptr(0); j < MaxTexts; j++ {
			if r := textAt(x, j); a >= r.Lo && end <= r.Hi {
				in = true
			}
		}
		if in && t.isPatched(s) {
			atomic.StoreUint32(&x.Undone, x.Undone+1)
			t.rewrite(a, &s.Old, uintptr(s.Len))
		}
	}
}

// siteILL is oldSite for an invalid instruction.
func (t *Thread) siteILL(sig uintptr, uc *Ucontext) uint32 {
	if sig != sigILL {
		return oldNone
	}
	return t.oldSite(uc)
}

// What oldSite answers: the fault is not a site's, the call is to be made, the guest
// goes on.
const (
	oldNone  = 0
	oldCall  = 1
	oldGoOn  = 2
	flagTrap = 0x100
)

// oldSite says whether the guest stands at an instruction that the jump of a site took
// the place of: by a jump, or because it was between two instructions, or because a call
// ended there. For oldCall uc is then as at the trap.
func (t *Thread) oldSite(uc *Ucontext) uint32 {
	x := t.sites()
	n := uintptr(atomic.LoadUint32(&x.N))
	for i := uintptr(0); i < n && i < MaxSites; i++ {
		s := siteAt(x, i)
		if s.Skip == 0 && s.Ret == uc.Regs.IP+2 {
			if t.isPatched(s) {
				uc.Regs.IP = s.Ret
				uc.Regs.CX = s.Ret
				uc.Regs.R11 = uc.Regs.Flags
				return oldCall
			}
		} else if s.Skip != 0 && s.Ret == uc.Regs.IP {
			if uc.Regs.Flags&flagTrap != 0 {
				// Step by step: the guest is to stop behind this one.
				t.lock()
				t.restore(uintptr(s.Ret), uintptr(s.Ret)+1)
				t.unlock()
				return oldGoOn
			}
			if t.isPatched(s) {
				s.compare(&uc.Regs)
				return oldGoOn
			}
		} else {
			continue
		}
		if t.holds(s.start(), &s.Old, uintptr(s.Len)) {
			// Restored meanwhile: run what is there.
			return oldGoOn
		}
		return oldNone
	}
	return oldNone
}

// compare does what the instruction at Ret did.
func (s *Site) compare(r *abi.Regs) {
	a, b, sign := r.AX, uint64(int64(int32(s.Nr))), uint64(1)<<63
	if s.Kind == siteCompare32 {
		a, b, sign = a&0xffffffff, b&0xffffffff, 1<<31
	}
	d := a - b
	d &= sign<<1 - 1
	f := r.Flags &^ 0x8d5
	if a < b {
		f |= 0x001 // CF
	}
	p := d ^ d>>4
	p ^= p >> 2
	p ^= p >> 1
	f |= (^p & 1) << 2      // PF
	f |= (a ^ b ^ d) & 0x10 // AF
	if d == 0 {
		f |= 0x040 // ZF
	}
	if d&sign != 0 {
		f |= 0x080 // SF
	}
	if (a^b)&(a^d)&sign != 0 {
		f |= 0x800 // OF
	}
	r.Flags = f
	r.IP = s.Ret + uint64(s.Skip)
}

// past moves the guest on if it is at the instruction behind the SYSCALL of site s, which
// the jump took the place of. (It would fault there, and oldSite do the same.)
func (t *Thread) past(uc *Ucontext, s *Site) {
	if s.Skip != 0 && uc.Regs.IP == s.Ret && uc.Regs.Flags&flagTrap == 0 && t.isPatched(s) {
		s.compare(&uc.Regs)
	}
}

// pastAny is past for a guest that came from elsewhere: to a new thread, out of a
// signal handler.
func (t *Thread) pastAny(uc *Ucontext) {
	x := t.sites()
	n := uintptr(atomic.LoadUint32(&x.N))
	for i := uintptr(0); i < n && i < MaxSites; i++ {
		if s := siteAt(x, i); s.Ret == uc.Regs.IP {
			t.past(uc, s)
			return
		}
	}
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
	x := t.sites()
	s := siteAt(x, uintptr(uint32(t.SiteNr)))
	undone := atomic.LoadUint32(&x.Undone)
	t.SiteWhy = siteKick
	if !t.siteRegs(uc, s) {
		t.SiteWhy = siteFault
		return 1
	}
	if !t.siteServe(uc) {
		return 1
	}
	if s.Skip != 0 && (undone == atomic.LoadUint32(&x.Undone) || t.isPatched(s)) {
		s.compare(&uc.Regs)
	}
	return 0
}

// siteServe serves the call: false if it needs a signal frame.
func (t *Thread) siteServe(uc *Ucontext) bool {
	conv := t.conv()
	raw := uc.Regs.AX
	nr := uint64(int64(int32(uint32(raw))))
	d := t.desc(nr)
	if d != nil && d.Local != abi.LocalNone {
		if waits(d.Local, uintptr(uc.Regs.SI)) { // and a kick may cut the wait
			t.SiteWhy = siteTrap
			return false
		}
		if r, done := local(t, uc, d); done {
			if r == errno(eINTR) && mayWait(d.Local) {
				// A kick has cut it.
				t.SiteWhy = siteTrap
				return false
			}
			setResult(uc, conv, r)
			return true
		}
	}
	s := t.slot()
	t.request(uc, s, d, nr, raw)
	t.post(uc, s, abi.KindTrap)
	t.wait(s, abi.SlotRequest)
	if !plain(s) {
		t.SiteWhy = siteReply
		return false
	}
	if t.settle(uc, s, abi.KindTrap) == settleAsk {
		t.SiteWhy = siteAsk
		return false
	}
	return true
}

// waits says whether a call that the library serves, with argument 1 b, may wait. Others (mayWait) do too, but
// mostly do not.
func waits(local uint8, b uintptr) bool {
	if local >= 64 || waiting>>local&1 == 0 {
		return false
	}
	if local == abi.LocalFutex {
		return !futexNow(b)
	}
	if local == abi.LocalUmtx {
		return !umtxNow(b)
	}
	return true
}

// waiting has a bit for each kind of call that may wait.
const waiting = 1<<abi.LocalFutex | 1<<abi.LocalUmtx | 1<<abi.LocalPark | 1<<abi.LocalSleepWord | 1<<abi.LocalNanosleep | 1<<abi.LocalClockSleep |
	1<<abi.LocalPortSend | 1<<abi.LocalPortRecv

// mayWait says whether a call of which waits says no may wait all the same, in a stream or in a host's epoll set.
func mayWait(local uint8) bool {
	return local == abi.LocalRead || local == abi.LocalWrite || local == abi.LocalRecv || local == abi.LocalSend ||
		local == abi.LocalEpoll || local == abi.LocalEpollMask
}

// siteRegs completes the guest's state: as SYSCALL would leave it.
func (t *Thread) siteRegs(uc *Ucontext, s *Site) bool {
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
	if s.Kind == siteLeaSI {
		uc.Regs.SI = uc.Regs.SP + uint64(s.Old[4])
		return true
	}
	if s.Kind == siteLea {
		uc.Regs.SI, _ = s.lea(&uc.Regs)
		return true
	}
	if s.Kind != siteStack && s.Kind != siteLoadNr {
		return true
	}
	p := t.addr() + unsafe.Offsetof(t.Scratch)
	if t.copyIn(p, uintptr(uc.Regs.SP)+uintptr(s.Old[4]), 8) != 0 {
		return false
	}
	if s.Kind == siteLoadNr {
		uc.Regs.AX = t.Scratch[0]
	} else {
		uc.Regs.R9 = t.Scratch[0]
	}
	return true
}

// futexNow says whether the operation never waits.
func futexNow(op uintptr) bool {
	cmd := op & 127
	return cmd == futexWake || cmd == futexWakeBitset || cmd == futexRequeue || cmd == futexCmpRequeue || cmd == futexWakeOp
}

// umtxNow is futexNow for _umtx_op(2).
func umtxNow(op uintptr) bool { return uint32(op) == umtxWake || uint32(op) == umtxWakeOwn }

// plain says whether a reply can be carried out without a signal frame.
func plain(s *abi.Slot) bool {
	if s.State != abi.SlotReply || s.RFlags&(abi.ReplyKeepRegs|abi.ReplyMust) != 0 || s.NAct > abi.MaxActions {
		return false
	}
	for i := uintptr(0); i < uintptr(s.NAct); i++ {
		a := (*abi.Action)(unsafe.Add(unsafe.Pointer(&s.Acts), i*unsafe.Sizeof(abi.Action{})))
		if a.Op != abi.ActCopyOut && (a.Op < abi.ActMapAnon || a.Op > abi.ActZero) && a.Op != abi.ActStore32 &&
			a.Op != abi.ActDropGrant && a.Op != abi.ActFutexWake && a.Op != abi.ActThreadWord && a.Op != abi.ActKeep && a.Op != abi.ActName && a.Op != abi.ActNames && a.Op != abi.ActForesee && a.Op != abi.ActMayClose &&
			(a.Op != abi.ActLend && a.Op != abi.ActUnlend || a.Flags&(abi.ActStream|abi.ActHost) != 0) {
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
	if (sig == sigSEGV || sig == sigBUS) && ip == t.PC.SiteStore {
		t.storeFault(uc)
		return true
	}
	if sig == sigTRAP && ip == t.PC.SiteSlow+1 || (sig == sigSEGV || sig == sigBUS) && (ip == t.PC.SiteLoad || ip == t.PC.SiteSelf) {
		t.SiteNr = uc.Regs.R11
	} else if sig == sigTRAP && uc.Regs.TrapNo == 1 && ip < t.PC.SiteStubs+StubBytes*MaxSites && (ip-t.PC.SiteStubs)%StubBytes == 0 {
		// The guest goes step by step.
		t.SiteNr = packed(uc, (ip-t.PC.SiteStubs)/StubBytes)
	} else if i := (ip - t.PC.StoreStubs) / StoreBytes; sig == sigTRAP && uc.Regs.TrapNo == 1 && i < MaxSites && ip == t.PC.StoreStubs+StoreBytes*i {
		t.SiteNr = packed(uc, i)
		t.Scratch[0] = uc.Regs.R11
		if t.copyOut(uintptr(uc.Regs.SP)+8, t.addr()+unsafe.Offsetof(t.Scratch), 8) != 0 {
			uc.Regs.CX = uint64(i)
			t.storeFault(uc)
			return true
		}
	} else {
		return false
	}
	t.Depth = 1
	seg := uc.Regs.CsGsFs
	s := siteAt(t.sites(), uintptr(uint32(t.SiteNr)))
	ok := t.siteRegs(uc, s)
	uc.Regs.CsGsFs = seg
	if ok {
		trap(t, uc)
		t.past(uc, s)
	} else {
		t.siteFault(uc, s)
	}
	t.Depth = 0
	return true
}

// packed is what siteEntry makes of EAX and a site.
func packed(uc *Ucontext, i uintptr) uint64 {
	n := uint64(uint32(uc.Regs.AX))
	n = n>>24 | n>>8&0xff00 | n<<8&0xff0000 | n<<24&0xff000000
	return n<<32 | uint64(i)
}

// storeFault tells the server that what a site stores cannot be stored.
func (t *Thread) storeFault(uc *Ucontext) {
	t.Depth = 1
	t.siteFault(uc, siteAt(t.sites(), uintptr(uc.Regs.CX)))
	t.Depth = 0
}

// siteFault tells the server that a site's word on the stack cannot be used.
func (t *Thread) siteFault(uc *Ucontext, s *Site) {
	var info Siginfo
	info.Signo = sigSEGV
	info.Code = 1 // SEGV_MAPERR
	info.Addr = uc.Regs.SP + 8
	if s.Kind == siteStack {
		info.Addr = uc.Regs.SP + uint64(s.Old[4])
	}
	uc.Regs.IP = uint64(s.start())
	uc.Regs.TrapNo = 14
	uc.Regs.Err = 4 // a read by the user
	if s.Kind == siteStoreR11 {
		uc.Regs.Err = 6 // a write
	}
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
	where := siteAt(t.sites(), uintptr(uint32(t.SiteNr)))
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
		t.siteFault(uc, where)
	}
	t.past(uc, where)
	if t.Kicked != 0 {
		t.Kicked = 0
		t.poll(uc, abi.PollKick, 0)
	}
	t.Depth = 0
}
