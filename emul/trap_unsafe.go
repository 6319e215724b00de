package emul

import (
	"sync/atomic"
	"unsafe"

	"hythe/abi"
)

// Handle is the handler of every signal that the library takes. It runs on the
// thread's signal stack with kicks masked. What came from inside the window is
// the library's own (a guarded copy, a cut wait, a start) or the mischief of a
// guest that jumped there; the rest is the guest's.
func Handle(t *Thread, sig uintptr, info *Siginfo, uc *Ucontext) {
	ip := uintptr(uc.Regs.IP)
	if ip>>32 == t.Window>>32 && insideSignal(t, sig, ip, uc) {
		return
	}
	if t.Depth != 0 && sig != sigSYS {
		t.die(128 + sig)
	}
	t.Depth = 1
	if sig == sigSYS {
		if info.Arch != ArchX86_64 {
			// int 0x80 carries 32-bit numbers: no personality has them.
			uc.Regs.AX = uint64(errno(eNOSYS))
		} else {
			patched := t.heat(uc)
			trap(t, uc)
			if patched {
				t.pastAny(uc)
			}
		}
	} else if old := t.siteILL(sig, uc); old != oldNone {
		if old == oldCall {
			trap(t, uc)
		}
	} else if sig == sigSEGV && t.refetch(uc) {
		// The page was being patched.
	} else if due := clockSignal(sig); sig == KickSignal || due != 0 {
		t.Due |= due
		t.poll(uc, abi.PollKick, 0)
	} else {
		fault(t, sig, info, uc)
	}
	t.Depth = 0
}

// insideSignal handles a signal whose instruction is in the window; false
// means that the guest had jumped there and the fault is the guest's.
func insideSignal(t *Thread, sig, ip uintptr, uc *Ucontext) bool {
	if sig != sigSYS && ip >= t.PC.SiteStubs && t.siteSignal(sig, ip, uc) {
		return true
	}
	if sig == sigSEGV || sig == sigBUS {
		if ip == t.PC.Copy || ip == t.PC.Zero || ip == t.PC.Store32 || ip == t.PC.Cas32 {
			uc.Regs.IP = uint64(t.PC.Fixup)
			return true
		}
		return false
	}
	if due := clockSignal(sig); sig == KickSignal || due != 0 {
		t.Due |= due
		t.Kicked = 1
		if ip >= t.PC.Wait && ip <= t.PC.WaitSys {
			uc.Regs.IP = uint64(t.PC.WaitAbort)
		}
		if ip >= t.PC.SiteQuick && ip < t.PC.QuickOver {
			// It may have looked at Kicked already: the call is made the general way.
			uc.Regs.IP = uint64(t.PC.SiteGeneral)
			uc.Regs.AX = uint64(t.addr())
			if sp := uintptr(uc.Regs.SP); sp-t.addr() <= ThreadSize {
				uc.Regs.SP = t.Site.Regs.SP
			}
		}
		if ip >= t.PC.SiteExit && ip < t.PC.SiteOver {
			// The way back to the guest looks at Kicked first.
			uc.Regs.IP = uint64(t.PC.SiteExit)
			uc.Regs.CX = uint64(t.addr())
			uc.Regs.SP = uint64(t.addr() + ThreadSize)
		}
		return true
	}
	if sig == sigSYS {
		// A host call that the filter refused.
		uc.Regs.AX = uint64(errno(eNOSYS))
		return true
	}
	if sig == sigTRAP && ip == t.PC.Start+1 {
		t.Depth = 1
		start(t, uc)
		t.Depth = 0
		return true
	}
	return false
}

// clockSignal is the bit of a signal of the host's clocks, 0 for all others.
func clockSignal(sig uintptr) uint32 {
	if sig == sigXCPU {
		return abi.PollXCPU
	}
	if sig == sigVTALRM {
		return abi.PollVTAlrm
	}
	if sig == sigPROF {
		return abi.PollProf
	}
	return 0
}

// die ends the task. The nucleus sees its death and the exit status.
func (t *Thread) die(status uintptr) {
	for {
		t.host(sysExitGroup, status, 0, 0, 0, 0, 0)
	}
}

func (t *Thread) area() *abi.BindHeader { return (*abi.BindHeader)(at(t.Window + AreaOff)) }

func (t *Thread) slotAddr() uintptr {
	return t.Window + AreaOff + abi.BindHeaderSize + uintptr(t.Index)*abi.SlotSize
}

func (t *Thread) slot() *abi.Slot { return (*abi.Slot)(at(t.slotAddr())) }

// desc finds the descriptor of call nr, nil if there is none.
func (t *Thread) desc(nr uint64) *abi.CallDesc {
	task := t.task()
	table := task.Words[abi.TaskTable]
	if nr >= abi.CallTableSize || table >= uint64(task.NTables) {
		return nil
	}
	return (*abi.CallDesc)(at(t.Window + TablesOff + uintptr(table)*TableSize + uintptr(nr)*16))
}

func (t *Thread) conv() uint8 {
	task := t.task()
	return task.Conv[task.Words[abi.TaskTable]%MaxTables]
}

// trap serves a system call of the guest.
func trap(t *Thread, uc *Ucontext) {
	conv := t.conv()
	raw := uc.Regs.AX
	if conv == ConvPlan9 {
		raw = uc.Regs.BP
	}
	nr := uint64(int64(int32(uint32(raw))))
	d := t.desc(nr)
	for {
		if d != nil && d.Local != abi.LocalNone && serveLocal(t, uc, d, conv, nr) {
			return
		}
		s := t.slot()
		t.request(uc, s, d, nr, raw)
		if !t.exchange(uc, s, abi.KindTrap) {
			return
		}
	}
}

// serveLocal serves a call in the task: false if the server must decide.
func serveLocal(t *Thread, uc *Ucontext, d *abi.CallDesc, conv uint8, nr uint64) bool {
	for {
		r, done := local(t, uc, d)
		if !done {
			t.Redo = 0
			return false
		}
		if r != errno(eINTR) {
			t.Redo = 0
			setResult(uc, conv, r)
			if t.Kicked != 0 {
				// The kick came when the wait was over already.
				t.Kicked = 0
				t.poll(uc, abi.PollKick, 0)
			}
			return true
		}
		t.Kicked = 0
		// A kick cut a wait: the server says whether it is run again.
		if !t.poll(uc, abi.PollCut, nr) {
			t.Redo = 0
			return true
		}
	}
}

// request stores call nr in the slot.
func (t *Thread) request(uc *Ucontext, s *abi.Slot, d *abi.CallDesc, nr, raw uint64) {
	s.NIn = 0
	s.InLen = 0
	s.Nr = nr
	t.arguments(uc, s)
	s.Args[6] = raw
	if d != nil {
		prefetch(t, s, d)
		if d.Flags&abi.CallRobust != 0 {
			t.sendRobust(s)
		}
	}
}

// arguments stores those of the trapped call. On the stack they lie behind the address
// that the caller goes back to; Args[7] is 1 when not all of the memory is there.
func (t *Thread) arguments(uc *Ucontext, s *abi.Slot) {
	s.Args[7] = 0
	if t.conv() != ConvPlan9 {
		s.Args[0] = uc.Regs.DI
		s.Args[1] = uc.Regs.SI
		s.Args[2] = uc.Regs.DX
		s.Args[3] = uc.Regs.R10
		s.Args[4] = uc.Regs.R8
		s.Args[5] = uc.Regs.R9
		return
	}
	for i := uintptr(0); i < 6; i++ {
		*(*uint64)(unsafe.Add(unsafe.Pointer(&s.Args), i*8)) = 0
	}
	if t.copyIn(uintptr(unsafe.Pointer(&s.Args)), uintptr(uc.Regs.SP)+8, 48) != 0 {
		s.Args[7] = 1
	}
}

// setResult stores the result of a call served in the task: a value or a
// negative errno.
func setResult(uc *Ucontext, conv uint8, r uintptr) {
	if conv == ConvPlan9 && failed(r) {
		r = ^uintptr(0)
	}
	if conv == ConvBSD {
		if failed(r) {
			uc.Regs.AX = bsdErrno(uint64(-r))
			uc.Regs.Flags |= 1
			return
		}
		uc.Regs.Flags &^= 1
	}
	uc.Regs.AX = uint64(r)
}

// bsdErrno turns an error of the host into 4.4BSD's number for it. Only those that
// host calls of the library answer are told apart.
func bsdErrno(e uint64) uint64 {
	if e == eAGAIN {
		return 35
	}
	if e == eNOSYS {
		return 78
	}
	if e == eTIMEDOUT {
		return 60
	}
	if e == eALREADY {
		return 37
	}
	return e
}

// fault tells the server of an exception of the guest.
func fault(t *Thread, sig uintptr, info *Siginfo, uc *Ucontext) {
	s := t.slot()
	s.NIn = 0
	s.InLen = 0
	s.Nr = uint64(sig)
	s.Args[0] = uint64(int64(info.Code))
	s.Args[1] = info.Addr
	s.Args[2] = uc.Regs.TrapNo
	s.Args[3] = uc.Regs.Err
	t.exchange(uc, s, abi.KindFault)
}

// poll asks the server what a kick was for. why is abi.PollKick, or
// abi.PollCut when it cut call nr, of which uc holds the registers at the trap.
// True: the call is to be run again.
func (t *Thread) poll(uc *Ucontext, why, nr uint64) bool {
	s := t.slot()
	s.NIn = 0
	s.InLen = 0
	s.Nr = nr
	s.Args[0] = why
	s.Args[1] = uint64(t.Due)
	t.Due = 0
	return t.exchange(uc, s, abi.KindPoll)
}

// start is a fresh task's first handler.
func start(t *Thread, uc *Ucontext) {
	task := t.task()
	fp := (*fpState)(at(uintptr(uc.Regs.FSBase)))
	freshFP(fp)
	task.FPSize = 512
	if fp.Magic1 == fpMagic1 {
		task.FPSize = uint64(fp.ExtendedSize)
	}
	// A start that fails on the way leaves the guest here: it ends by SIGSEGV,
	// as a program that Linux could not load after it had begun.
	uc.Regs.IP = 0
	uc.Regs.Flags = 0x202
	uc.Sigmask = 0
	s := t.slot()
	s.NIn = 0
	s.InLen = 0
	s.Nr = 0
	s.Args[0] = task.VDSO
	s.Args[1] = task.Hwcap
	s.Args[2] = task.Hwcap2
	s.Args[3] = task.MinStack
	s.Args[4] = task.ClkTck
	s.Args[5] = task.FPSize
	s.Args[6] = 0
	s.Args[7] = 0
	if task.Patch != 0 {
		t.setGS(t.addr())
	}
	t.exchange(uc, s, abi.KindStart)
}

// exchange sends the request that is in the slot, waits for the reply and
// carries it out on uc. True: the server wants the call to be run again.
func (t *Thread) exchange(uc *Ucontext, s *abi.Slot, kind uint32) bool {
	for {
		t.post(uc, s, kind)
		how := t.settle(uc, s, kind)
		if how != settleAsk {
			return how == settleAgain
		}
		kind = abi.KindPoll
	}
}

// post sends the request that is in the slot.
func (t *Thread) post(uc *Ucontext, s *abi.Slot, kind uint32) {
	s.Seq++
	s.Kind = kind
	s.Flags = 0
	if t.Wants == nameAsked && kind == abi.KindTrap {
		s.Flags = abi.WantName | abi.WantNear
		t.Wants = nameWanted
	} else if t.Wants == nameFirst && kind == abi.KindTrap {
		s.Flags = abi.WantNear
		t.Wants = nameNear
	} else {
		t.Wants = 0
	}
	s.HostID = t.HostID
	s.Done = 0
	if kind == abi.KindTrap {
		s.Done = t.Done
		t.Done = 0
	}
	s.Regs = uc.Regs
	s.Regs.FSBase = 0
	if kind != abi.KindTrap || t.task().Hwcap2&hwcap2FSGSBASE != 0 || t.needsFS(s.Nr) {
		s.Regs.FSBase = uint64(t.getFS())
	}
	atomic.StoreUint32(&s.State, abi.SlotRequest)
	t.ring()
}

// needsFS says whether the server must know the thread pointer to serve call nr.
func (t *Thread) needsFS(nr uint64) bool {
	d := t.desc(nr)
	return d == nil || d.Flags&abi.CallFS != 0
}

// What settle answers: the call is over, is to be run again, or the slot holds a
// KindPoll that is to be sent.
const (
	settleOver  = 0
	settleAgain = 1
	settleAsk   = 2
)

// settle waits for the reply to what was sent and carries it out on uc.
func (t *Thread) settle(uc *Ucontext, s *abi.Slot, kind uint32) uint32 {
	state := uint32(abi.SlotRequest)
	for {
		t.wait(s, state)
		if s.State != abi.SlotMore {
			break
		}
		var r reply
		r.t, r.uc, r.s, r.more = t, uc, s, true
		r.run()
		if r.over {
			return settleOver
		}
		s.Flags = uint32(-r.err)
		s.Back = s.Part
		state = abi.SlotResumed
		atomic.StoreUint32(&s.State, state)
		t.ring()
	}
	if s.Late != 0 {
		s.Late = 0 // the server has heard
	}
	var r reply
	r.t, r.uc, r.s = t, uc, s
	r.run()
	if r.over {
		return settleOver
	}
	flags := s.RFlags
	if r.short && kind == abi.KindTrap {
		s.NIn = 0
		s.InLen = 0
		s.Args[0] = abi.PollShort
		s.Args[1] = r.lost()
		s.Args[2] = s.Result
		return settleAsk
	}
	isCall := kind == abi.KindTrap || (kind == abi.KindPoll && (s.Args[0] == abi.PollCut || s.Args[0] == abi.PollShort))
	if r.err != 0 && (!isCall || flags&abi.ReplyMust != 0) {
		// Nobody else would learn that the actions could not be carried out.
		s.NIn = 0
		s.InLen = 0
		s.Nr = uint64(kind)
		s.Args[0] = abi.PollFailed
		s.Args[1] = uint64(-r.err)
		s.Args[2] = uint64(r.at)
		s.Args[3] = uint64(flags & abi.ReplyMust)
		return settleAsk
	}
	if isCall {
		if flags&abi.ReplyKeepRegs == 0 && !r.regs && !r.again {
			storeResult(uc, s, &r, flags)
		}
	}
	if r.regs {
		t.pastAny(uc)
	}
	atomic.StoreUint32(&s.State, abi.SlotIdle)
	// The server has read the request, so that it has to give its lines back before the
	// next one can be written: that goes on while the guest does.
	t.warm(t.slotAddr()+64, warmLines)
	if s.NIn != 0 {
		t.warm(t.slotAddr()+abi.SlotInOff, 1)
	}
	if r.again {
		return settleAgain
	}
	return settleOver
}

// warmLines is how many lines of a slot a request is written into, behind the one with
// State in it, which was written just now.
const warmLines = unsafe.Offsetof(abi.Slot{}.Cancel) / 64

// storeResult gives the guest the outcome of a call.
func storeResult(uc *Ucontext, s *abi.Slot, r *reply, flags uint32) {
	e := uint64(s.Err)
	v := s.Result
	if r.err != 0 {
		e = uint64(-r.err)
	} else if r.hasResult {
		e = 0
		v = uint64(r.result)
	} else if flags&abi.ReplyErrRaw != 0 {
		uc.Regs.AX = v
		return
	}
	if flags&abi.ReplyCarry != 0 {
		if e != 0 {
			if r.err != 0 {
				e = bsdErrno(e)
			}
			uc.Regs.AX = e
			uc.Regs.Flags |= 1
			return
		}
		uc.Regs.Flags &^= 1
		uc.Regs.AX = v
		return
	}
	if e != 0 {
		v = -e
		if flags&abi.ReplyMinus != 0 {
			v = ^uint64(0)
		}
	}
	uc.Regs.AX = v
}

// ring tells the server that the slot holds a request.
func (t *Thread) ring() {
	h := t.area()
	atomic.OrUint64((*uint64)(at(uintptr(unsafe.Pointer(&h.Pending))+uintptr(t.Index>>6)*8)), 1<<(t.Index&63))
	if atomic.LoadUint32(&h.Armed) != 0 {
		t.host(sysWrite, DoorbellFD, uintptr(unsafe.Pointer(&t.task().One)), 8, 0, 0, 0)
	}
}

// wait returns when the slot's state is no longer own. Kicks stay masked: a
// server that wants the thread's attention only has to answer.
func (t *Thread) wait(s *abi.Slot, own uint32) {
	addr := uintptr(unsafe.Pointer(&s.State))
	// Other kinds of request than calls have numbers of their own.
	w := &t.task().Waits[(s.Nr^uint64(s.Kind)<<6)%WaitKinds]
	since, looked, found := t.look(addr, own, w, true)
	if found {
		return
	}
	atomic.StoreUint32(&s.Waiter, 1)
	for atomic.LoadUint32(&s.State) == own {
		t.host(sysFutex, addr, futexWait, uintptr(own), 0, 0, 0)
	}
	atomic.StoreUint32(&s.Waiter, 0)
	t.slept(w, since, looked)
}

// look looks whether the word at addr is another than own, for as long as w (of Task.Waits)
// says that it is worth; found: it is. If it is not the thread is to sleep, and to tell slept when
// it has begun to look, and whether for long. yields: who is to change it may have asked a third
// one, which waits for this processor; without, the other one mostly has a processor.
func (t *Thread) look(addr uintptr, own uint32, w *uint8, yields bool) (since uintptr, looked, found bool) {
	word := (*uint32)(at(addr))
	turns := uintptr(t.task().Spin)
	looks := *w >= waitYields && turns != 0
	first := turns
	if looks && *w != waitLooks {
		first = turns / yieldPart
	}
	from := t.cycles()
	t.spin(addr, uintptr(own), first)
	if atomic.LoadUint32(word) != own {
		if first != turns {
			*w = waitLooks
		}
		return from, looks, true
	}
	if looks {
		now := from
		for now-from < lookCycles && atomic.LoadUint32(word) == own {
			if yields {
				t.host(sysYield, 0, 0, 0, 0, 0, 0)
			}
			t.spin(addr, uintptr(own), turns/yieldPart)
			now = t.cycles()
		}
		if atomic.LoadUint32(word) != own {
			if !yields {
				return from, looks, true
			}
			switch *w--; {
			case now-from < soonCycles:
				*w = waitLooks
			case now-from >= lookCycles: // others work on this processor for as long as they like
				*w = waitPause
			case *w < waitYields:
				*w = 0
			}
			return from, looks, true
		}
	}
	return from, looks, atomic.LoadUint32(word) != own
}

// slept notes in w what came of a sleep after look.
func (t *Thread) slept(w *uint8, since uintptr, looked bool) {
	if looked {
		*w = waitPause
	} else if *w != 0 {
		*w--
	} else if t.cycles()-since < lookCycles {
		*w = waitLooks
	}
}

// Values of Task.Waits: 0 is a call of which nothing is known, or that takes its time:
// the thread looks for the answer for Task.Spin turns and then sleeps. When it was woken
// soon, the sleep was most of the time, and the next call of that kind looks for longer
// (waitLooks), and yields between, since whoever has to answer may have no other processor.
// When that was in vain, because the answer takes its time, so many do not (waitPause).
//
// A call whose answer was not there after the first turns takes fewer of them the next time
// (from waitLooks down to waitYields). Who yields stays on its processor, though others
// may be idle, where who sleeps is woken on one of these: so one in so many sleeps.
const (
	waitLooks  = 255
	waitYields = 255 - 120
	waitPause  = 16
	// lookCycles is how long a call looks at most: some 40 to 60 us. A host takes 5 to
	// 30 us to wake a thread, or far more where its processors are virtual.
	lookCycles = 120_000
	// soonCycles is what the first turns take, about.
	soonCycles = 5_000
	// yieldPart is by how much less a thread looks that yields.
	yieldPart = 8
)

// prefetch copies arguments of the call into the In area.
func prefetch(t *Thread, s *abi.Slot, d *abi.CallDesc) {
	for i := uintptr(0); i < 3; i++ {
		p := (*abi.Pre)(unsafe.Add(unsafe.Pointer(&d.Pre), i*4))
		if p.Kind == abi.PreNone {
			return
		}
		a := argument(s, p.Arg)
		left := uintptr(abi.SlotInSize) - uintptr(s.InLen)
		if p.Kind == abi.PreStr {
			n := uintptr(4096)
			if n > left {
				n = left
			}
			to := t.slotAddr() + abi.SlotInOff + uintptr(s.InLen)
			got, end := t.copyStr(to, a, n)
			addExtent(s, p.Arg, got, end == strFault)
			continue
		}
		if p.Kind == abi.PreIov || p.Kind == abi.PreIovRO {
			prefetchIov(t, s, p, a)
			continue
		}
		if p.Kind == abi.PreStrs {
			prefetchStrs(t, s, p.Arg, a, min(left, abi.PreStrsMax))
			continue
		}
		n := uintptr(p.Size)
		if p.Kind == abi.PreBuf {
			n = argument(s, uint8(p.Size))
			if t.conv() == ConvPlan9 {
				n &= 0xffffffff
			}
		}
		if n > left/2 {
			n = left / 2
		}
		t.pull(s, p.Arg, a, n)
	}
}

// pull copies n bytes of the guest at a behind what is in the In area.
func (t *Thread) pull(s *abi.Slot, arg uint8, a, n uintptr) {
	got := uintptr(0)
	if n != 0 && a != 0 {
		got = n - t.copyIn(t.slotAddr()+abi.SlotInOff+uintptr(s.InLen), a, n)
	}
	addExtent(s, arg, got, got != n)
}

// prefetchIov copies an iovec array (two words each, at most 1024 as
// UIO_MAXIOV), and for PreIov then the bytes that it names, as one extent.
func prefetchIov(t *Thread, s *abi.Slot, p *abi.Pre, a uintptr) {
	count := argument(s, uint8(p.Size))
	if count > 1024 {
		count = 0
	}
	vec := t.slotAddr() + abi.SlotInOff + uintptr(s.InLen)
	t.pull(s, p.Arg, a, count*16)
	if p.Kind == abi.PreIovRO {
		return
	}
	have := uintptr(s.In[(s.NIn-1)%6].Len) / 16
	left := (uintptr(abi.SlotInSize) - uintptr(s.InLen)) / 2
	to := t.slotAddr() + abi.SlotInOff + uintptr(s.InLen)
	total := uintptr(0)
	short := have != count
	for i := uintptr(0); i < have && total < left; i++ {
		from := uintptr(*(*uint64)(at(vec + i*16)))
		n := uintptr(*(*uint64)(at(vec + i*16 + 8)))
		if n > left-total {
			n = left - total
		}
		if n == 0 {
			continue
		}
		bad := t.copyIn(to+total, from, n)
		total += n - bad
		if bad != 0 {
			short = true
			break
		}
	}
	addExtent(s, p.Arg, total, short)
}

// prefetchStrs copies the strings of an array of addresses, as one extent of at most room
// bytes.
func prefetchStrs(t *Thread, s *abi.Slot, arg uint8, vec, room uintptr) {
	to := t.slotAddr() + abi.SlotInOff + uintptr(s.InLen)
	word := uintptr(unsafe.Pointer(&t.Scratch))
	total := uintptr(0)
	for vec != 0 {
		if t.copyIn(word, vec, 8) != 0 {
			addExtent(s, arg, 0, true)
			return
		}
		from := uintptr(t.Scratch[0])
		if from == 0 {
			break
		}
		n, how := t.copyStr(to+total, from, room-total)
		if how != strEnd {
			addExtent(s, arg, 0, true)
			return
		}
		total += n + 1
		vec += 8
	}
	addExtent(s, arg, total, false)
}

// sendRobust copies the head of the thread's robust list behind what is in the In area.
func (t *Thread) sendRobust(s *abi.Slot) {
	head := uintptr(t.Words[abi.ThreadRobust])
	if head == 0 || uintptr(abi.SlotInSize)-uintptr(s.InLen) < 8+abi.RobustSize {
		return
	}
	to := t.slotAddr() + abi.SlotInOff + uintptr(s.InLen)
	*(*uint64)(at(to)) = uint64(head)
	bad := t.copyIn(to+8, head, abi.RobustSize)
	addExtent(s, abi.RobustArg, 8+abi.RobustSize-bad, bad != 0)
}

// addExtent records n bytes at the end of the In area.
func addExtent(s *abi.Slot, arg uint8, n uintptr, bad bool) {
	if s.NIn >= 6 {
		return
	}
	e := &s.In[s.NIn]
	e.Arg = arg
	e.Fault = 0
	if bad {
		e.Fault = 1
	}
	e.Len = uint32(n)
	e.Off = abi.SlotInOff + s.InLen
	s.NIn++
	s.InLen += uint32((n + 15) &^ 15)
}

// argument answers argument i (0..5) of the call in the slot.
func argument(s *abi.Slot, i uint8) uintptr {
	if i > 5 {
		return 0
	}
	return uintptr(*(*uint64)(unsafe.Add(unsafe.Pointer(&s.Args), uintptr(i)*8)))
}

// inGuest says whether the n bytes at a are in the guest's part.
func (t *Thread) inGuest(a, n uintptr) bool {
	return a <= t.Window && n <= t.Window-a
}

// copyIn copies n bytes of the guest at from to the library's address to and
// answers how many it could not copy. The vDSO is above the window, and guests
// may read it: ld.so prints its name from there.
func (t *Thread) copyIn(to, from, n uintptr) uintptr {
	if !t.inGuest(from, n) {
		if v := uintptr(t.task().VDSO); v != 0 && from >= v {
			if end := t.vdsoEnd(); from < end {
				in := min(n, end-from)
				return n - in + t.copyMem(to, from, in)
			}
		}
		if from >= t.Window {
			return n
		}
		in := t.Window - from
		return n - in + t.copyMem(to, from, in)
	}
	return t.copyMem(to, from, n)
}

// copyOut copies n bytes at from to the guest's address to and answers how
// many it could not copy.
func (t *Thread) copyOut(to, from, n uintptr) uintptr {
	if !t.inGuest(to, n) {
		return n
	}
	return t.copyMem(to, from, n)
}

// How copyStr ended.
const (
	strEnd   = 1 // a NUL was found
	strLong  = 0
	strFault = 2
)

// copyStr copies at most n bytes of the guest's string at from, up to its NUL,
// and answers its length without it. It never reads a page behind the NUL's.
func (t *Thread) copyStr(to, from, n uintptr) (uintptr, uint64) {
	done := uintptr(0)
	if from == 0 {
		return 0, strFault
	}
	for done < n {
		c := uintptr(128) - (from+done)&127
		if c > n-done {
			c = n - done
		}
		bad := t.copyIn(to+done, from+done, c)
		if i := t.findNUL(to+done, c-bad); i < c-bad {
			return done + i, strEnd
		}
		done += c - bad
		if bad != 0 {
			return done, strFault
		}
	}
	return done, strLong
}

// findNUL answers where the first NUL is among the n bytes at a, n if there is none. It
// may look at up to seven bytes behind them.
func (t *Thread) findNUL(a, n uintptr) uintptr {
	const low, high = 0x0101010101010101, 0x8080808080808080
	for i := uintptr(0); i < n; i += 8 {
		v := *(*uint64)(at(a + i))
		// The lowest bit that is set here is that of the first byte that is 0.
		if z := (v - low) & ^v & high; z != 0 {
			for z&0xff == 0 {
				z >>= 8
				i++
			}
			return min(i, n)
		}
	}
	return n
}
