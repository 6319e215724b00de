package core

import (
	"fmt"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/store"
)

// Terminals: the device with its state and its ioctls. The line discipline is in
// ldisc.go, the master side of pseudo-terminals and devpts in pty.go.

type ttyTables struct {
	TTYs *store.Table[TTY] // 70
}

func newTTYTables(h *store.Heap) ttyTables {
	return ttyTables{TTYs: store.NewTable[TTY](h, 70, 1<<12)}
}

type ttyState struct {
	rt      rtOf[TTY, ttyRT]
	byIndex map[uint32]store.Ref[TTY]
}

// ttyRT is the derived part of a terminal: who waits for input, for room in the
// output, and on the master side.
type ttyRT struct{ rq, wq, mq WaitQueue }

// Termios is a terminal's settings, with Linux's bits and order of control
// characters (asm-generic/termbits.h).
type Termios struct {
	Iflag, Oflag, Cflag, Lflag uint32
	Line                       uint8
	CC                         [19]uint8
	Ispeed, Ospeed             uint32
}

// Winsize is a terminal's size in characters and pixels.
type Winsize struct{ Rows, Cols, XPixel, YPixel uint16 }

// Kinds of terminal: a pseudo-terminal, and one over a session's streams, which
// looks to programs like the terminal side of a pseudo-terminal.
const (
	ttyPty     = 1
	ttyConsole = 2
)

// inSize is the size of the input queue in bytes; it holds inSize-1 characters.
// One bit for each follows it in the block, set where a line ends.
const (
	inSize  = 4096
	outSize = 64 << 10
)

// TTY is a terminal.
type TTY struct {
	Kind, Index uint32
	Opens       uint32 // open descriptions of the terminal side
	Opened      uint32 // 1: it was opened before
	Master      uint32 // 1: the master is open
	Locked      uint32 // TIOCSPTLCK
	Excl        uint32 // TIOCEXCL
	HangGen     uint32 // counts hang-ups: descriptions of before are dead
	T           Termios
	Size        Winsize
	Sid, Pgrp   int32 // session and foreground group, 0 for none
	Out         Ring
	In          store.Block
	// Head..Canon are complete lines (canonical mode), Canon..Tail the line
	// being edited.
	Head, Canon, Tail uint32 // counts, modulo 1<<32
	Column, CanonCol  uint32
	Stopped           uint32
	LNext             uint32
	Packet, PktStatus uint32
	UID, GID, Mode    uint32 // of the node in devpts
	Time              int64
	Console           store.Ref[ConsoleSession] // whose streams it is over; 0: none, or ended
}

// termiosDefault is what a terminal starts with (drivers/tty's tty_std_termios).
func termiosDefault() Termios {
	t := Termios{Iflag: icrnl | ixon, Oflag: opost | onlcr, Cflag: 0xbf,
		Lflag:  isig | icanon | echo | echoe | echok | echoctl | echoke | iexten,
		Ispeed: 38400, Ospeed: 38400}
	t.CC = [19]uint8{3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0}
	return t
}

func (k *Kernel) initTTY() {
	k.tty.byIndex = map[uint32]store.Ref[TTY]{}
	k.SetOps(FileTTY, ttyOps{BaseOps{k}})
	k.SetOps(FilePty, ptyOps{BaseOps{k}})
	k.SetDev(5, 0, func(c *Call, _ uint64, access, flags uint32) (store.Ref[File], abi.Errno) {
		t := c.Proc().CTTY
		if t == 0 {
			return 0, abi.ENXIO
		}
		return k.openTTY(c, t, access, flags|OpenNoctty)
	})
	k.SetDev(5, 1, func(c *Call, _ uint64, access, flags uint32) (store.Ref[File], abi.Errno) {
		t := k.mainTTY()
		if t == 0 {
			return 0, abi.ENXIO
		}
		return k.openTTY(c, t, access, flags|OpenNoctty)
	})
	k.SetDev(5, 2, func(c *Call, _ uint64, access, flags uint32) (store.Ref[File], abi.Errno) {
		return k.openPtmx(c, access, flags)
	})
	for major := uint32(136); major < 144; major++ {
		k.SetDev(major, -1, func(c *Call, rdev uint64, access, flags uint32) (store.Ref[File], abi.Errno) {
			t := k.tty.byIndex[(Major(rdev)-136)<<8|Minor(rdev)]
			if t == 0 {
				return 0, abi.EIO
			}
			return k.openTTY(c, t, access, flags)
		})
	}
}

// recoverTTY rebuilds the index of terminals and reads the console again.
func (k *Kernel) recoverTTY() {
	k.TTYs.Each(func(r store.Ref[TTY], t *TTY) bool {
		if t.Kind == ttyPty && t.Master == 0 || t.Kind == ttyConsole && t.Console == 0 {
			return true // only still open
		}
		k.tty.byIndex[t.Index] = r
		if s := k.ttyStreamRef(t, 0); t.Kind == ttyConsole && s != 0 {
			if b, _ := k.streamHost(k.Consoles.Get(s)); b != nil && k.Consoles.Get(s).Flags&consoleClosed == 0 {
				b.SetRaw(true)
			}
			k.consoleAsk(s, inSize)
		}
		return true
	})
}

// mainTTY is what /dev/console stands for: the terminal of the first session
// that has one; 0 if there is none.
func (k *Kernel) mainTTY() (t store.Ref[TTY]) {
	first := uint32(0)
	k.Sessions.Each(func(_ store.Ref[ConsoleSession], s *ConsoleSession) bool {
		if s.TTY != 0 && (first == 0 || s.ID < first) {
			t, first = s.TTY, s.ID
		}
		return true
	})
	return t
}

// freeIndex is the lowest number that no terminal has.
func (k *Kernel) freeIndex() uint32 {
	idx := uint32(0)
	for k.tty.byIndex[idx] != 0 {
		idx++
	}
	return idx
}

// newTTY makes a terminal.
func (k *Kernel) newTTY(kind uint32) (store.Ref[TTY], abi.Errno) {
	r, t := k.TTYs.New()
	if r == 0 {
		return 0, abi.ENOSPC
	}
	t.Kind = kind
	t.T = termiosDefault()
	t.Time = k.Clock.Real()
	if t.In = k.Heap.Alloc(inSize + inSize/8); t.In.Nil() || !k.ringRoom(&t.Out, ringMin) {
		k.Heap.FreeBlock(t.In)
		k.TTYs.Free(r)
		return 0, abi.ENOMEM
	}
	return r, 0
}

// ConsoleTTY answers the terminal over a session's streams, making it, for its
// owner uid, at the first call: input is the host's stream 0, output goes to
// stream 1. The host's terminal becomes raw. ENOMEM; EBADF: no such session.
func (k *Kernel) ConsoleTTY(id, uid uint32) (store.Ref[TTY], abi.Errno) {
	sref := k.session(id)
	se := k.Sessions.Get(sref)
	if sref == 0 || se == nil {
		return 0, abi.EBADF
	}
	if se.TTY != 0 {
		return se.TTY, 0
	}
	r, e := k.newTTY(ttyConsole)
	if e != 0 {
		return 0, e
	}
	m := k.TTYs.Mut(r)
	m.Index, m.Console = k.freeIndex(), sref
	m.Mode, m.UID, m.GID = 0o620, uid, 5
	k.tty.byIndex[m.Index] = r
	k.Sessions.Mut(sref).TTY = r
	if b := k.io.console.backends[id]; b != nil {
		rows, cols, x, y := b.Size()
		m.Size = Winsize{rows, cols, x, y}
		if k.Consoles.Get(se.Streams[0]).Flags&consoleClosed == 0 {
			b.SetRaw(true) // its keys are ours
		}
	}
	k.consoleAsk(se.Streams[0], inSize)
	return r, 0
}

// OpenConsoleTTY opens it as a program's standard stream, as the controlling
// terminal of the calling session leader. The file has no references yet.
func (c *Call) OpenConsoleTTY(id uint32) (store.Ref[File], abi.Errno) {
	t, e := c.K.ConsoleTTY(id, c.Cred().FSUID)
	if e != 0 {
		return 0, e
	}
	f, e := c.openByName(t, AccessRead|AccessWrite, OpenNoctty)
	if e == 0 && c.T != 0 {
		// Another session that has it keeps it.
		if p, sid := c.Proc(), c.K.TTYs.Get(t).Sid; p.Sid == p.Pid && (sid == 0 || sid == p.Sid) {
			c.K.takeTTY(c.ProcRef(), t)
		}
	}
	return f, e
}

// openByName opens a terminal by its name where the caller sees it, so that
// ttyname(3) finds it; where there is no such name, without.
func (c *Call) openByName(r store.Ref[TTY], access, flags uint32) (store.Ref[File], abi.Errno) {
	k := c.K
	f, e := c.OpenAt(AtCwd, ttyName(k.TTYs.Get(r)), access, flags, 0, 0)
	if e == 0 && (k.Files.Get(f).Kind != FileTTY || k.Files.Get(f).Obj != uint32(r)) {
		k.HoldFile(f)
		k.DropFile(c, f)
		e = abi.ENOENT
	}
	if e != 0 {
		return k.openTTY(c, r, access, flags)
	}
	return f, 0
}

// takeTTY makes t the controlling terminal of session leader p.
func (k *Kernel) takeTTY(p store.Ref[Proc], t store.Ref[TTY]) {
	m := k.Procs.Mut(p)
	m.CTTY = t
	tt := k.TTYs.Mut(t)
	tt.Sid, tt.Pgrp = m.Sid, m.Pgid
}

// ClaimTTY is takeTTY for whoever starts a session on a terminal.
func (k *Kernel) ClaimTTY(p store.Ref[Proc], t store.Ref[TTY]) { k.takeTTY(p, t) }

// openTTY opens the terminal side. EIO: locked, or its master is gone; EBUSY:
// TIOCEXCL.
func (k *Kernel) openTTY(c *Call, t store.Ref[TTY], access, flags uint32) (store.Ref[File], abi.Errno) {
	tt := k.TTYs.Get(t)
	if tt.Kind == ttyPty && (tt.Locked != 0 || tt.Master == 0) || tt.Kind == ttyConsole && tt.Console == 0 {
		return 0, abi.EIO
	}
	if tt.Excl != 0 && c.T != 0 && !c.Capable(21) {
		return 0, abi.EBUSY
	}
	f, file, e := k.NewFile(FileTTY, access, flags&(OpenNonblock|OpenAppend))
	if e != 0 {
		return 0, e
	}
	file.Obj = uint32(t)
	file.Aux = tt.HangGen
	m := k.TTYs.Mut(t)
	m.Opens++
	m.Opened = 1
	if c.T != 0 && flags&OpenNoctty == 0 {
		if p := c.Proc(); p.Sid == p.Pid && p.CTTY == 0 && m.Sid == 0 && access&AccessRead != 0 {
			k.takeTTY(c.ProcRef(), t)
		}
	}
	k.tty.rt.at(t).mq.Wake(^uint32(0))
	return f, 0
}

// TTYHangup hangs a terminal up: its session gets SIGHUP and loses it, and
// everybody who has it open finds it at its end.
func (k *Kernel) TTYHangup(t store.Ref[TTY]) {
	if k.TTYs.Get(t) == nil {
		return
	}
	m := k.TTYs.Mut(t)
	sid, pgrp := m.Sid, m.Pgrp
	m.Sid, m.Pgrp = 0, 0
	m.HangGen++
	m.Head, m.Canon = m.Tail, m.Tail
	m.Stopped = 0
	k.leaveTTY(t, sid, pgrp, true)
	rt := k.tty.rt.at(t)
	rt.rq.Wake(^uint32(0))
	rt.wq.Wake(^uint32(0))
	rt.mq.Wake(^uint32(0))
}

// leaveTTY takes the terminal away from a session and tells it so.
func (k *Kernel) leaveTTY(t store.Ref[TTY], sid, pgrp int32, leader bool) {
	if sid == 0 {
		return
	}
	var lead store.Ref[Proc]
	k.Procs.Each(func(p store.Ref[Proc], r *Proc) bool {
		if r.Sid == sid && r.CTTY == t {
			k.Procs.Mut(p).CTTY = 0
			if r.Pid == sid && r.State == ProcLive {
				lead = p
			}
		}
		return true
	})
	hup := SigInfo{Sig: SIGHUP, Code: 0x80}
	cont := SigInfo{Sig: SIGCONT, Code: 0x80}
	if leader && lead != 0 {
		k.SendSignal(lead, &hup)
		k.SendSignal(lead, &cont)
	}
	// The leader's own group hears of the leader's end, not of a hang-up, which
	// is for the leader to pass on.
	ending := lead != 0 && k.Procs.Get(lead).Exiting != 0
	if pgrp > 0 && !(leader && pgrp == sid && !ending) {
		k.SignalPgrp(pgrp, &hup)
		k.SignalPgrp(pgrp, &cont)
	}
}

// ttyNumbers answers the device number (old 16-bit form) and the foreground
// group of a controlling terminal: 0 and -1 for none.
func (k *Kernel) ttyNumbers(t store.Ref[TTY]) (dev, pgrp int32) {
	tt := k.TTYs.Get(t)
	if tt == nil {
		return 0, -1
	}
	return int32(ttyDev(tt)), tt.Pgrp
}

func ttyDev(t *TTY) uint64 {
	return MakeDev(136+t.Index>>8, t.Index&0xff)
}

func ttyName(t *TTY) string {
	return fmt.Sprintf("/dev/pts/%d", t.Index)
}

// ttySetSize changes the size and tells the foreground group.
func (k *Kernel) ttySetSize(t store.Ref[TTY], w Winsize) {
	if k.TTYs.Get(t).Size == w {
		return
	}
	m := k.TTYs.Mut(t)
	m.Size = w
	if m.Pgrp > 0 {
		k.SignalPgrp(m.Pgrp, &SigInfo{Sig: SIGWINCH, Code: 0x80})
	}
}

// ttyOutputRoom is told that output was taken.
func (k *Kernel) ttyOutputRoom(t store.Ref[TTY]) {
	k.ttyWakeOut(t)
}

// background answers what a background process may not do with its terminal:
// 0 when it may, ErrRestart after sig was sent to its group, EIO when stopping
// would be for ever.
func (c *Call) background(t store.Ref[TTY], sig int32) abi.Errno {
	k := c.K
	p := c.Proc()
	tt := k.TTYs.Get(t)
	if p.CTTY != t || tt.Pgrp <= 0 || tt.Pgrp == p.Pgid {
		return 0
	}
	if c.Thread().Mask.Has(sig) || k.sigIgnored(p, sig) {
		if sig == SIGTTIN {
			return abi.EIO
		}
		return 0
	}
	if k.PgrpOrphaned(p.Pgid) {
		return abi.EIO
	}
	k.SignalPgrp(p.Pgid, &SigInfo{Sig: sig, Code: 0x80})
	return abi.ErrRestart
}

type ttyOps struct{ BaseOps }

// of answers the terminal of f; hung is set when it was hung up since f was opened.
func (o ttyOps) of(f store.Ref[File]) (r store.Ref[TTY], t *TTY, hung bool) {
	file := o.K.Files.Get(f)
	r = store.Ref[TTY](file.Obj)
	t = o.K.TTYs.Get(r)
	return r, t, t.HangGen != file.Aux
}

func (o ttyOps) Read(c *Call, f store.Ref[File], buf []byte, off int64) (int, abi.Errno) {
	if off >= 0 {
		return 0, abi.ESPIPE
	}
	if len(buf) == 0 {
		return 0, 0
	}
	k := o.K
	r, _, _ := o.of(f)
	rt := k.tty.rt.at(r)
	var inter int64 // end of the wait for the next character
	seen := uint32(0)
	for {
		_, t, hung := o.of(f)
		if hung || t.Kind == ttyPty && t.Master == 0 {
			return 0, errIf(!hung, abi.EIO)
		}
		if e := c.background(r, SIGTTIN); e != 0 {
			return 0, e
		}
		t = k.TTYs.Get(r)
		d := NoDeadline
		if t.T.Lflag&icanon != 0 {
			if n, ok := k.ttyTakeLine(r, buf); ok {
				k.ttyInputRoom(r)
				return n, 0
			}
		} else {
			have := t.Tail - t.Head
			minimum, tenths := uint32(t.T.CC[vmin]), int64(t.T.CC[vtime])
			enough := have >= min(max(minimum, 1), uint32(len(buf)))
			now := k.Clock.Mono()
			switch {
			case minimum > 0 && tenths > 0:
				if have > 0 && have != seen {
					seen = have
					inter = now + tenths*1e8
				}
				if have > 0 {
					enough = enough || now >= inter
					d = inter
				}
			case minimum == 0 && tenths > 0:
				d = c.DeadlineIn(tenths * 1e8)
				if !enough && now >= d {
					return 0, 0
				}
			case minimum == 0 && !enough:
				if k.nonblock(f) {
					return 0, abi.EAGAIN
				}
				return 0, 0
			}
			if enough {
				n := k.ttyTakeRaw(r, buf)
				c.took = taken{head: uint64(t.Head)}
				k.ttyInputRoom(r)
				return n, 0
			}
		}
		if k.nonblock(f) {
			if t := k.TTYs.Get(r); t.T.Lflag&icanon == 0 && t.Tail != t.Head {
				n := k.ttyTakeRaw(r, buf)
				c.took = taken{head: uint64(t.Head)}
				k.ttyInputRoom(r)
				return n, 0
			}
			return 0, abi.EAGAIN
		}
		if e := c.Sleep(d, &rt.rq); e != 0 && e != abi.ETIMEDOUT {
			return 0, e
		}
	}
}

func errIf(cond bool, e abi.Errno) abi.Errno {
	if cond {
		return e
	}
	return 0
}

func (o ttyOps) Write(c *Call, f store.Ref[File], data []byte, off int64) (int, abi.Errno) {
	if off >= 0 {
		return 0, abi.ESPIPE
	}
	k := o.K
	r, t, _ := o.of(f)
	if t.T.Lflag&tostop != 0 {
		if e := c.background(r, SIGTTOU); e != 0 {
			return 0, e
		}
	}
	base := c.Thread().Progress
	done := 0
	for {
		_, t, hung := o.of(f)
		if hung || t.Kind == ttyPty && t.Master == 0 {
			return done, errIfNone(done, abi.EIO)
		}
		if done == len(data) {
			return done, 0
		}
		if t.Stopped == 0 {
			if n := k.ttyOutput(r, data[done:]); n > 0 {
				done += n
				k.ttyFlushOut(r)
				continue
			}
		}
		if k.nonblock(f) {
			return done, errIfNone(done, abi.EAGAIN)
		}
		if done > 0 {
			c.MutThread().Progress = base + uint64(done)
		}
		if e := c.Sleep(NoDeadline, &k.tty.rt.at(r).wq); e != 0 {
			return done, errIfNone(done, e)
		}
	}
}

func (o ttyOps) Poll(f store.Ref[File]) uint32 {
	_, t, hung := o.of(f)
	if hung {
		return PollIn | PollOut | PollErr | PollHup | PollRdNorm | PollWrNorm
	}
	var m uint32
	if t.Kind == ttyPty && t.Master == 0 {
		m |= PollHup
	}
	if o.K.ttyReadable(t) {
		m |= PollIn | PollRdNorm
	}
	if t.Stopped == 0 && o.K.ttyRoom(t) >= 8 {
		m |= PollOut | PollWrNorm
	}
	return m
}

// ttyReadable says whether a read would not wait.
func (k *Kernel) ttyReadable(t *TTY) bool {
	if t.T.Lflag&icanon != 0 {
		return t.Canon != t.Head
	}
	need := uint32(1)
	if t.T.CC[vtime] == 0 && t.T.CC[vmin] > 0 {
		need = uint32(t.T.CC[vmin])
	}
	return t.Tail-t.Head >= need
}

func (o ttyOps) Queue(f store.Ref[File]) *WaitQueue {
	// Room in the output is told here too (ttyWakeOut).
	r, _, _ := o.of(f)
	return &o.K.tty.rt.at(r).rq
}

func (o ttyOps) Stat(c *Call, f store.Ref[File]) (fs.Attr, abi.Errno) {
	_, t, _ := o.of(f)
	return ttyAttr(t), 0
}

func ttyAttr(t *TTY) fs.Attr {
	tm := timeOf(t.Time)
	return fs.Attr{Ino: uint64(t.Index) + 3, Mode: fs.TypeChr | t.Mode, Nlink: 1, UID: t.UID, GID: t.GID,
		Rdev: ttyDev(t), BlkSize: 1024, Atime: tm, Mtime: tm, Ctime: tm}
}

func (o ttyOps) Release(c *Call, f store.Ref[File]) {
	k := o.K
	r, _, hung := o.of(f)
	m := k.TTYs.Mut(r)
	m.Opens--
	_ = hung
	if m.Opens == 0 {
		m.Excl = 0
		k.tty.rt.at(r).mq.Wake(^uint32(0))
		k.ttyMaybeFree(r)
	}
}

// ttyMaybeFree ends a pseudo-terminal that neither side has open.
func (k *Kernel) ttyMaybeFree(r store.Ref[TTY]) {
	t := k.TTYs.Get(r)
	if t.Opens > 0 || t.Master != 0 || t.Console != 0 {
		return
	}
	if t.Sid != 0 {
		k.TTYHangup(r)
	}
	// A process that still names it as its terminal would name another one
	// that takes its place.
	k.Procs.Each(func(p store.Ref[Proc], pr *Proc) bool {
		if pr.CTTY == r {
			k.Procs.Mut(p).CTTY = 0
		}
		return true
	})
	m := k.TTYs.Mut(r)
	if k.tty.byIndex[m.Index] == r {
		delete(k.tty.byIndex, m.Index)
	}
	k.ringFree(&m.Out)
	k.Heap.FreeBlock(m.In)
	k.tty.rt.drop(r)
	k.TTYs.Free(r)
}

func (o ttyOps) LinkName(f store.Ref[File]) string {
	_, t, _ := o.of(f)
	return ttyName(t)
}

// ioctls of terminals (asm-generic/ioctls.h).
const (
	ioTCGETS      = 0x5401
	ioTCSETS      = 0x5402
	ioTCSETSW     = 0x5403
	ioTCSETSF     = 0x5404
	ioTCSBRK      = 0x5409
	ioTCXONC      = 0x540A
	ioTCFLSH      = 0x540B
	ioTIOCEXCL    = 0x540C
	ioTIOCNXCL    = 0x540D
	ioTIOCSCTTY   = 0x540E
	ioTIOCGPGRP   = 0x540F
	ioTIOCSPGRP   = 0x5410
	ioTIOCSTI     = 0x5412
	ioTIOCGWINSZ  = 0x5413
	ioTIOCSWINSZ  = 0x5414
	ioTIOCPKT     = 0x5420
	ioTIOCNOTTY   = 0x5422
	ioTIOCSETD    = 0x5423
	ioTIOCGETD    = 0x5424
	ioTCSBRKP     = 0x5425
	ioTIOCSBRK    = 0x5427
	ioTIOCCBRK    = 0x5428
	ioTIOCGSID    = 0x5429
	ioTCGETS2     = 0x802C542A
	ioTCSETS2     = 0x402C542B
	ioTCSETSW2    = 0x402C542C
	ioTCSETSF2    = 0x402C542D
	ioTIOCGPTN    = 0x80045430
	ioTIOCSPTLCK  = 0x40045431
	ioTIOCGDEV    = 0x80045432
	ioTIOCSIG     = 0x40045436
	ioTIOCVHANGUP = 0x5437
	ioTIOCGPKT    = 0x80045438
	ioTIOCGPTLCK  = 0x80045439
	ioTIOCGEXCL   = 0x80045440
	ioTIOCGPTPEER = 0x5441
)

const (
	termiosSize  = 36
	termios2Size = 44
)

func putTermios(b []byte, t *Termios) {
	putLE32(b[0:], t.Iflag)
	putLE32(b[4:], t.Oflag)
	putLE32(b[8:], t.Cflag)
	putLE32(b[12:], t.Lflag)
	b[16] = t.Line
	copy(b[17:36], t.CC[:])
	if len(b) >= termios2Size {
		putLE32(b[36:], t.Ispeed)
		putLE32(b[40:], t.Ospeed)
	}
}

func getTermios(b []byte, old Termios) Termios {
	t := old
	t.Iflag, t.Oflag, t.Cflag, t.Lflag = le32(b), le32(b[4:]), le32(b[8:]), le32(b[12:])
	t.Line = 0
	copy(t.CC[:], b[17:36])
	const bother = 0o10000
	if t.Cflag&0o10017 == bother {
		if len(b) >= termios2Size {
			t.Ispeed, t.Ospeed = le32(b[36:]), le32(b[40:])
		}
	} else {
		t.Ospeed = baud(t.Cflag)
		t.Ispeed = t.Ospeed
	}
	return t
}

// baud is the speed that CBAUD's code names.
func baud(cflag uint32) uint32 {
	speeds := [...]uint32{0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400}
	high := [...]uint32{0, 57600, 115200, 230400, 460800, 500000, 576000, 921600, 1000000, 1152000, 1500000, 2000000, 2500000, 3000000, 3500000, 4000000}
	if cflag&0o10000 != 0 {
		return high[cflag&0xf]
	}
	return speeds[cflag&0xf]
}

func (o ttyOps) Ioctl(c *Call, f store.Ref[File], req uint32, arg uint64) (uint64, abi.Errno) {
	r, _, hung := o.of(f)
	if hung {
		if req == ioTIOCSPGRP {
			return 0, abi.ENOTTY
		}
		return 0, abi.EIO
	}
	return o.K.ttyIoctl(c, r, req, arg, false)
}

// ttyChange gives a terminal other settings: after its output is written if drain is set,
// and without its input if flush is.
func (k *Kernel) ttyChange(c *Call, r store.Ref[TTY], t Termios, drain, flush bool) abi.Errno {
	if drain {
		if e := k.ttyDrain(c, r); e != 0 {
			return e
		}
	}
	if k.TTYs.Get(r) == nil {
		return abi.EIO
	}
	if flush {
		k.ttyFlushIn(r)
	}
	k.ttySetTermios(r, t)
	return 0
}

// terminal answers the terminal that f is of. ENOTTY, EIO when it has hung up.
func (k *Kernel) terminal(f store.Ref[File]) (store.Ref[TTY], abi.Errno) {
	file := k.Files.Get(f)
	if file.Kind != FileTTY && file.Kind != FilePty {
		return 0, abi.ENOTTY
	}
	r := store.Ref[TTY](file.Obj)
	if k.TTYs.Get(r) == nil {
		return 0, abi.EIO
	}
	if o, ok := k.Ops(f).(ttyOps); ok {
		if _, _, hung := o.of(f); hung {
			return 0, abi.EIO
		}
	}
	return r, 0
}

// Termios answers the settings of the terminal that f is of. ENOTTY, EIO.
func (c *Call) Termios(f store.Ref[File]) (Termios, abi.Errno) {
	r, e := c.K.terminal(f)
	if e != 0 {
		return Termios{}, e
	}
	return c.K.TTYs.Get(r).T, 0
}

// SetTermios changes them: after the output is written if drain is set, and without the
// input if flush is. A process of the background is stopped. ENOTTY, EIO.
func (c *Call) SetTermios(f store.Ref[File], t Termios, drain, flush bool) abi.Errno {
	r, e := c.K.terminal(f)
	if e != 0 {
		return e
	}
	if e := c.background(r, SIGTTOU); e != 0 {
		return e
	}
	return c.K.ttyChange(c, r, t, drain, flush)
}

// ttyIoctl serves what both sides of a terminal know; master: asked there.
func (k *Kernel) ttyIoctl(c *Call, r store.Ref[TTY], req uint32, arg uint64, master bool) (uint64, abi.Errno) {
	// Changes from the background stop the process. (The master's session is
	// another one, so it is never in the background.)
	switch req {
	case ioTCSETS, ioTCSETSW, ioTCSETSF, ioTCSETS2, ioTCSETSW2, ioTCSETSF2, ioTCXONC, ioTCFLSH, ioTCSBRK, ioTCSBRKP,
		ioTIOCSBRK, ioTIOCCBRK, ioTIOCSPGRP, ioTIOCSETD:
		if e := c.background(r, SIGTTOU); e != 0 {
			return 0, e
		}
	}
	t := k.TTYs.Get(r)
	switch req {
	case ioTCGETS, ioTCGETS2:
		var b [termios2Size]byte
		n := termiosSize
		if req == ioTCGETS2 {
			n = termios2Size
		}
		putTermios(b[:n], &t.T)
		c.CopyOut(arg, b[:n])
	case ioTCSETS, ioTCSETSW, ioTCSETSF, ioTCSETS2, ioTCSETSW2, ioTCSETSF2:
		n := termiosSize
		if req >= ioTCSETS2 {
			n = termios2Size
		}
		b, e := c.CopyIn(arg, n)
		if e != 0 {
			return 0, e
		}
		nt := getTermios(b, t.T)
		return 0, k.ttyChange(c, r, nt, req != ioTCSETS && req != ioTCSETS2, req == ioTCSETSF || req == ioTCSETSF2)
	case ioTIOCGWINSZ:
		var b [8]byte
		putLE16(b[0:], t.Size.Rows)
		putLE16(b[2:], t.Size.Cols)
		putLE16(b[4:], t.Size.XPixel)
		putLE16(b[6:], t.Size.YPixel)
		c.CopyOut(arg, b[:])
	case ioTIOCSWINSZ:
		b, e := c.CopyIn(arg, 8)
		if e != 0 {
			return 0, e
		}
		k.ttySetSize(r, Winsize{le16(b), le16(b[2:]), le16(b[4:]), le16(b[6:])})
	case ioTIOCGPGRP:
		if !master && c.Proc().CTTY != r {
			return 0, abi.ENOTTY
		}
		c.CopyOut32(arg, uint32(t.Pgrp))
	case ioTIOCSPGRP:
		v, e := c.CopyIn32(arg)
		if e != 0 {
			return 0, e
		}
		t = k.TTYs.Get(r)
		if p := c.Proc(); p.CTTY != r || t.Sid != p.Sid {
			return 0, abi.ENOTTY
		}
		pg := int32(v)
		if pg < 0 {
			return 0, abi.EINVAL
		}
		if !k.PgrpExists(pg) {
			return 0, abi.ESRCH
		}
		if k.PgrpSession(pg) != c.Proc().Sid {
			return 0, abi.EPERM
		}
		k.TTYs.Mut(r).Pgrp = pg
	case ioTIOCGSID:
		if !master && c.Proc().CTTY != r {
			return 0, abi.ENOTTY
		}
		if t.Sid == 0 {
			return 0, abi.ENOTTY
		}
		c.CopyOut32(arg, uint32(t.Sid))
	case ioTIOCSCTTY:
		p := c.Proc()
		if p.Sid == p.Pid && t.Sid == p.Sid {
			return 0, 0
		}
		if p.Sid != p.Pid || p.CTTY != 0 {
			return 0, abi.EPERM
		}
		if t.Sid != 0 {
			if arg != 1 || !c.Capable(21) {
				return 0, abi.EPERM
			}
			sid := t.Sid
			k.Procs.Each(func(q store.Ref[Proc], pr *Proc) bool {
				if pr.Sid == sid && pr.CTTY == r {
					k.Procs.Mut(q).CTTY = 0
				}
				return true
			})
		}
		k.takeTTY(c.ProcRef(), r)
	case ioTIOCNOTTY:
		p := c.Proc()
		if p.CTTY != r {
			return 0, abi.ENOTTY
		}
		if p.Sid == p.Pid {
			m := k.TTYs.Mut(r)
			sid, pgrp := m.Sid, m.Pgrp
			m.Sid, m.Pgrp = 0, 0
			c.MutProc().CTTY = 0
			k.leaveTTY(r, sid, pgrp, false)
		} else {
			c.MutProc().CTTY = 0
		}
	case ioTIOCVHANGUP:
		if !c.Capable(21) {
			return 0, abi.EPERM
		}
		k.TTYHangup(r)
	case ioFIONREAD:
		n := t.Tail - t.Head
		if t.T.Lflag&icanon != 0 {
			n = t.Canon - t.Head
		}
		c.CopyOut32(arg, n)
	case ioTIOCOUTQ:
		c.CopyOut32(arg, uint32(k.ttyQueued(t)))
	case ioTIOCSTI:
		return 0, abi.EIO // dev.tty.legacy_tiocsti is 0
	case ioTCXONC:
		switch arg {
		case 0:
			k.ttyStop(r)
		case 1:
			k.ttyStart(r)
		case 2, 3:
			ch := t.T.CC[vstop]
			if arg == 3 {
				ch = t.T.CC[vstart]
			}
			if ch != 0 {
				k.ttyEchoRaw(r, []byte{ch})
				k.ttyFlushOut(r)
			}
		default:
			return 0, abi.EINVAL
		}
	case ioTCFLSH:
		switch arg {
		case 0:
			k.ttyFlushIn(r)
		case 1:
			k.ttyDropOut(r)
		case 2:
			k.ttyFlushIn(r)
			k.ttyDropOut(r)
		default:
			return 0, abi.EINVAL
		}
	case ioTCSBRK, ioTCSBRKP:
		return 0, k.ttyDrain(c, r)
	case ioTIOCSBRK, ioTIOCCBRK:
	case ioTIOCEXCL:
		k.TTYs.Mut(r).Excl = 1
	case ioTIOCNXCL:
		k.TTYs.Mut(r).Excl = 0
	case ioTIOCGEXCL:
		c.CopyOut32(arg, t.Excl)
	case ioTIOCGETD:
		c.CopyOut32(arg, 0)
	case ioTIOCSETD:
		v, e := c.CopyIn32(arg)
		if e != 0 {
			return 0, e
		}
		if v != 0 {
			return 0, abi.EINVAL
		}
	case ioTIOCGDEV:
		c.CopyOut32(arg, uint32(ttyDev(t)))
	default:
		return 0, abi.ENOTTY
	}
	return 0, 0
}

// ttyDrain waits until the host has the output of the console; a pseudo-
// terminal's counts as sent when its master can read it.
func (k *Kernel) ttyDrain(c *Call, r store.Ref[TTY]) abi.Errno {
	for {
		t := k.TTYs.Get(r)
		if t == nil || t.Kind != ttyConsole || k.ttyQueued(t) == 0 {
			return 0
		}
		if e := c.Sleep(NoDeadline, &k.tty.rt.at(r).wq); e != 0 {
			return e
		}
	}
}
