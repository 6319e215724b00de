package core

import (
	"hythe/abi"
	"hythe/idl/fs"
	"hythe/store"
)

// ConsoleBackend is the host's side of the machine's own streams: 0, 1 and 2,
// as the host gave them. Its methods are called with the kernel's lock held:
// they only start something and never call done themselves before they have
// returned; done is called once, without the lock, from any goroutine.
//
// A stream has one Read and one Write under way at most, numbered from 1. The
// backend keeps the answer of the last of each: asked again with its number
// (after the unix server's death), it answers the same and does nothing anew.
type ConsoleBackend interface {
	// Read waits for input and takes at most n bytes of it; no bytes and no
	// error are the end. data is good until done returns.
	Read(stream int, seq uint64, n int, done func(data []byte, e abi.Errno))
	// Write writes all of data and answers how much the host took; data is
	// good until done is called. EPIPE: nobody reads any more.
	Write(stream int, seq uint64, data []byte, done func(n int, e abi.Errno))
	// Watch waits until Read would not wait; it takes nothing.
	Watch(stream int, done func())
	// Size answers the size of the host's terminal, in characters and pixels.
	Size() (rows, cols, xpixel, ypixel uint16)
	// SetRaw turns the host's terminal to raw mode (true) or back.
	SetRaw(on bool)
}

// ConsoleInfo says what the host gave as a stream.
type ConsoleInfo struct {
	// Mode is the type of the host's file as st_mode has it (fs.TypeFifo...),
	// with permissions; Size is a regular file's.
	Mode uint32
	Size uint64
	// Closed: the host gave none. Terminal: it is one of the host's.
	Closed, Terminal bool
}

// ConsoleSession is one set of streams: those of `hythe run`, or of one `hythe
// exec`, with the program that was started on them.
type ConsoleSession struct {
	// ID is the supervisor's number for it, from 1; never used twice.
	ID      uint32
	Streams [consoleStreams]store.Ref[ConsoleStream]
	TTY     store.Ref[TTY] // the terminal over the streams, 0 if none
	// State is one of session..., Pid the program's once it is being started,
	// Status its wait status once it has ended.
	State  uint32
	Pid    int32
	Status uint32
	// Way is the server's word for how the host's side is reached: MakeConsole's.
	Way uint32
	_   uint32
}

// States of a session's program.
const (
	sessionNew      = 0
	sessionStarting = 1 // its process has no task yet
	sessionRunning  = 2
	sessionEnded    = 3
)

// ConsoleStream is one of the host's streams. What guests have written and the
// host has not taken is in Out: it survives the unix server.
type ConsoleStream struct {
	Mode    uint32
	Flags   uint32                    // console... bits
	Session store.Ref[ConsoleSession] // 0: the session has ended
	Index   uint32                    // 0, 1 or 2
	Opens   uint32                    // open descriptions
	_       uint32
	Size    uint64
	Ino     uint64
	Time    int64
	In      Ring
	Out     Ring
	InSeq   uint64 // last Read whose data are in In
	OutSeq  uint64 // last Write whose data were taken off Out
	// InErr and OutErr end the stream: reads after In is empty, and writes.
	InErr, OutErr uint32
	EOF           uint32
	// Sending is how many bytes of Out the Write OutSeq+1 has, 0 if none is
	// under way.
	Sending uint32
}

const (
	consoleStreams = 3
	consoleBuf     = 64 << 10
	maxSessions    = 1 << 10
)

// Bits of ConsoleStream.Flags.
const (
	consoleClosed   = 1 // the host gave none
	consoleTerminal = 2
)

// consoleState is derived.
type consoleState struct {
	backends map[uint32]ConsoleBackend // by the session's ID
	rt       rtOf[ConsoleStream, streamRT]
	endQ     WaitQueue // a session's program has ended
}

// streamRT is the derived part of a stream.
type streamRT struct {
	q        WaitQueue
	asking   bool // a Read is under way
	watching bool
	readable bool
}

type consoleOps struct{ BaseOps }

// SetConsole says who the host's side of a session is: before MakeConsole, and
// at each further start before Recover. Nil: it has none any more.
func (k *Kernel) SetConsole(id uint32, b ConsoleBackend) {
	if k.io.console.backends == nil {
		k.io.console.backends = map[uint32]ConsoleBackend{}
	}
	if b == nil {
		delete(k.io.console.backends, id)
		return
	}
	k.io.console.backends[id] = b
}

// session finds a session by the supervisor's number; 0 if there is none.
func (k *Kernel) session(id uint32) (ref store.Ref[ConsoleSession]) {
	k.Sessions.Each(func(r store.Ref[ConsoleSession], s *ConsoleSession) bool {
		if s.ID == id {
			ref = r
		}
		return ref == 0
	})
	return ref
}

// SessionInfo says of a session what its host's side needs.
type SessionInfo struct {
	ID, Way  uint32
	Terminal bool // one of the streams is one of the host's
}

// ConsoleSessions lists the sessions, for a server that takes them up again.
func (k *Kernel) ConsoleSessions() (l []SessionInfo) {
	k.Sessions.Each(func(_ store.Ref[ConsoleSession], s *ConsoleSession) bool {
		v := SessionInfo{ID: s.ID, Way: s.Way}
		for _, r := range s.Streams {
			v.Terminal = v.Terminal || r != 0 && k.Consoles.Get(r).Flags&consoleTerminal != 0
		}
		l = append(l, v)
		return true
	})
	return l
}

// MakeConsole makes the records of a session's streams, inside a transaction;
// it does nothing when there are such. way is kept with them for the server
// (ConsoleSessions). EAGAIN: too many sessions.
func (k *Kernel) MakeConsole(id, way uint32, info [consoleStreams]ConsoleInfo) abi.Errno {
	if k.session(id) != 0 {
		return 0
	}
	ref, se := k.Sessions.New()
	if ref == 0 {
		return abi.EAGAIN
	}
	se.ID, se.Way = id, way
	for i, in := range info {
		r, s := k.Consoles.New()
		if r == 0 {
			k.dropSession(ref)
			return abi.EAGAIN
		}
		se.Streams[i] = r
		s.Session, s.Index = ref, uint32(i)
		s.Mode, s.Size = in.Mode, in.Size
		s.Ino = k.nextIno()
		s.Time = k.Clock.Real()
		if in.Closed {
			s.Flags |= consoleClosed
		}
		if in.Terminal {
			s.Flags |= consoleTerminal
		}
	}
	return 0
}

// EndConsole ends a session: its streams are at their end for whoever still has
// them open, its terminal is hung up. It does nothing when there is none.
func (k *Kernel) EndConsole(id uint32) {
	k.SetConsole(id, nil)
	if ref := k.session(id); ref != 0 {
		k.dropSession(ref)
	}
}

func (k *Kernel) dropSession(ref store.Ref[ConsoleSession]) {
	se := *k.Sessions.Get(ref)
	if t := se.TTY; t != 0 {
		k.TTYHangup(t)
		m := k.TTYs.Mut(t)
		m.Console = 0
		delete(k.tty.byIndex, m.Index)
		k.ttyMaybeFree(t)
	}
	for _, r := range se.Streams {
		if r == 0 {
			continue
		}
		m := k.Consoles.Mut(r)
		m.Session = 0
		m.EOF = 1
		m.OutErr = uint32(abi.EPIPE)
		m.Sending = 0
		m.Out.Head = m.Out.Tail
		k.io.console.rt.at(r).q.Wake(^uint32(0))
		k.streamMaybeFree(r)
	}
	k.Sessions.Free(ref)
	k.io.console.endQ.Wake(^uint32(0))
}

// streamMaybeFree frees a stream whose session has ended and that nobody has
// open.
func (k *Kernel) streamMaybeFree(r store.Ref[ConsoleStream]) {
	if s := k.Consoles.Get(r); s.Session != 0 || s.Opens > 0 {
		return
	}
	m := k.Consoles.Mut(r)
	k.ringFree(&m.In)
	k.ringFree(&m.Out)
	k.io.console.rt.drop(r)
	k.Consoles.Free(r)
}

// sessionEnded notes the end of the process p in the session whose program it
// is. One that never got as far as its program leaves no trace: it is started
// again when it is asked for again.
func (k *Kernel) sessionEnded(pid int32, status uint32) {
	k.Sessions.Each(func(r store.Ref[ConsoleSession], s *ConsoleSession) bool {
		if s.Pid != pid || s.State == sessionEnded {
			return true
		}
		m := k.Sessions.Mut(r)
		if m.State == sessionStarting {
			m.State, m.Pid = sessionNew, 0
		} else {
			m.State, m.Status = sessionEnded, status
		}
		k.io.console.endQ.Wake(^uint32(0))
		return false
	})
}

// ConsoleFile makes an open file, without references, over stream 0, 1 or 2 of
// a session. Each may be read and written as the host allows. EBADF: the host
// gave none.
func (k *Kernel) ConsoleFile(id uint32, stream int) (store.Ref[File], abi.Errno) {
	se := k.Sessions.Get(k.session(id))
	if se == nil {
		return 0, abi.EBADF
	}
	r := se.Streams[stream]
	if k.Consoles.Get(r).Flags&consoleClosed != 0 {
		return 0, abi.EBADF
	}
	access := uint32(AccessWrite)
	if stream == 0 {
		access = AccessRead
	}
	f, file, e := k.NewFile(FileConsole, access, 0)
	if e != 0 {
		return 0, e
	}
	file.Obj = uint32(r)
	k.Consoles.Mut(r).Opens++
	return f, 0
}

func (o consoleOps) Release(c *Call, f store.Ref[File]) {
	r := store.Ref[ConsoleStream](o.K.Files.Get(f).Obj)
	o.K.Consoles.Mut(r).Opens--
	o.K.streamMaybeFree(r)
}

func (k *Kernel) consoleOf(f store.Ref[File]) (store.Ref[ConsoleStream], *ConsoleStream, *streamRT) {
	r := store.Ref[ConsoleStream](k.Files.Get(f).Obj)
	return r, k.Consoles.Get(r), k.io.console.rt.at(r)
}

// streamHost answers the host's side of a stream and the number of its session;
// nil when the host's side has gone.
func (k *Kernel) streamHost(s *ConsoleStream) (ConsoleBackend, uint32) {
	se := k.Sessions.Get(s.Session)
	if s.Session == 0 || se == nil {
		return nil, 0
	}
	return k.io.console.backends[se.ID], se.ID
}

// streamTTY is the terminal that has the stream for itself, 0 if none.
func (k *Kernel) streamTTY(s *ConsoleStream) store.Ref[TTY] {
	if se := k.Sessions.Get(s.Session); s.Session != 0 && se != nil {
		return se.TTY
	}
	return 0
}

// streamOf answers the stream again when an answer of the host has come; nil
// if its session (number id) has ended meanwhile.
func (k *Kernel) streamOf(r store.Ref[ConsoleStream], id uint32) *ConsoleStream {
	s := k.Consoles.Get(r)
	if s == nil || s.Session == 0 {
		return nil
	}
	if se := k.Sessions.Get(s.Session); se == nil || se.ID != id {
		return nil
	}
	return k.Consoles.Mut(r)
}

// consoleAsk starts a Read of the stream unless one is under way.
func (k *Kernel) consoleAsk(r store.Ref[ConsoleStream], n int) {
	s := k.Consoles.Get(r)
	st := k.io.console.rt.at(r)
	b, id := k.streamHost(s)
	if st.asking || b == nil || s.Flags&consoleClosed != 0 {
		return
	}
	st.asking = true
	st.readable = false
	seq := s.InSeq + 1
	b.Read(int(s.Index), seq, min(max(n, 1), consoleBuf), func(data []byte, e abi.Errno) {
		k.Enter()
		defer k.Leave()
		s := k.streamOf(r, id)
		if s == nil {
			return
		}
		st := k.io.console.rt.at(r)
		st.asking = false
		s.InSeq = seq
		t := store.Ref[TTY](0)
		if s.Index == 0 {
			t = k.streamTTY(s)
		}
		switch {
		case e != 0:
			s.InErr = uint32(e)
		case len(data) == 0:
			s.EOF = 1
		case t != 0:
			k.ttyInput(t, data)
			k.consoleAsk(r, inSize)
		case k.ringRoom(&s.In, len(data)):
			k.ringPut(&s.In, data)
		default:
			s.InErr = uint32(abi.ENOMEM)
		}
		if t != 0 && (e != 0 || len(data) == 0) {
			k.TTYHangup(t)
		}
		st.q.Wake(^uint32(0))
	})
}

// consolePump gives the host what waits in Out.
func (k *Kernel) consolePump(r store.Ref[ConsoleStream]) {
	s := k.Consoles.Get(r)
	if b, _ := k.streamHost(s); b == nil || s.Sending != 0 || s.Out.used() == 0 {
		return
	}
	k.Consoles.Mut(r).Sending = uint32(min(s.Out.used(), consoleBuf))
	k.consoleSend(r)
}

// consoleSend starts the Write that the record notes.
func (k *Kernel) consoleSend(r store.Ref[ConsoleStream]) {
	s := k.Consoles.Get(r)
	b, id := k.streamHost(s)
	if b == nil {
		return
	}
	data := make([]byte, s.Sending)
	k.ringPeek(&s.Out, 0, data)
	seq := s.OutSeq + 1
	b.Write(int(s.Index), seq, data, func(n int, e abi.Errno) {
		k.Enter()
		defer k.Leave()
		s := k.streamOf(r, id)
		if s == nil {
			return
		}
		s.OutSeq = seq
		s.Sending = 0
		if n < 0 || n > len(data) {
			n = len(data)
		}
		s.Out.Head += uint64(n)
		if e != 0 {
			s.OutErr = uint32(e)
			s.Out.Head = s.Out.Tail
		}
		k.consolePump(r)
		k.io.console.rt.at(r).q.Wake(^uint32(0))
		if t := k.streamTTY(s); t != 0 {
			k.ttyOutputRoom(t)
		}
	})
}

// ConsoleIdle says whether the host has all that guests wrote to a session's
// streams; wake is called (with the lock held, once) when that may have
// changed. For the program's end.
func (k *Kernel) ConsoleIdle(id uint32, wake func()) bool {
	se := k.Sessions.Get(k.session(id))
	if se == nil || k.io.console.backends[id] == nil {
		return true
	}
	for _, r := range se.Streams {
		if k.Consoles.Get(r).Out.used() == 0 {
			continue
		}
		if wake != nil {
			var w *waitEntry
			w = k.io.console.rt.at(r).q.Watch(func(uint32) {
				w.Unwatch()
				wake()
			})
		}
		return false
	}
	return true
}

// ConsoleResized tells that the host's terminal of a session has another size.
// With the lock held.
func (k *Kernel) ConsoleResized(id uint32) {
	b := k.io.console.backends[id]
	if se := k.Sessions.Get(k.session(id)); se != nil && se.TTY != 0 && b != nil {
		rows, cols, x, y := b.Size()
		k.ttySetSize(se.TTY, Winsize{rows, cols, x, y})
	}
}

// recoverConsole repeats what was under way. Sessions without a host's side
// have ended while nobody served.
func (k *Kernel) recoverConsole() {
	var gone []store.Ref[ConsoleSession]
	k.Sessions.Each(func(r store.Ref[ConsoleSession], s *ConsoleSession) bool {
		if k.io.console.backends[s.ID] == nil {
			gone = append(gone, r)
		}
		return true
	})
	k.Consoles.Each(func(r store.Ref[ConsoleStream], s *ConsoleStream) bool {
		if s.Sending != 0 {
			k.consoleSend(r)
		} else {
			k.consolePump(r)
		}
		return true
	})
	for _, r := range gone {
		k.dropSession(r)
	}
}

func (o consoleOps) Read(c *Call, f store.Ref[File], buf []byte, off int64) (int, abi.Errno) {
	k := o.K
	if off >= 0 {
		return 0, abi.ESPIPE
	}
	if len(buf) == 0 {
		return 0, 0
	}
	for {
		r, s, st := k.consoleOf(f)
		if s.In.used() > 0 {
			return k.ringTake(&k.Consoles.Mut(r).In, buf), 0
		}
		if b, _ := k.streamHost(s); s.EOF != 0 || b == nil {
			return 0, 0
		}
		if s.InErr != 0 {
			return 0, abi.Errno(s.InErr)
		}
		if k.nonblock(f) && !st.readable && !st.asking {
			k.consoleWatch(r)
			return 0, abi.EAGAIN
		}
		if k.nonblock(f) && st.asking && !st.readable {
			return 0, abi.EAGAIN
		}
		k.consoleAsk(r, len(buf))
		if e := c.Sleep(NoDeadline, &st.q); e != 0 {
			return 0, e
		}
	}
}

func (k *Kernel) consoleWatch(r store.Ref[ConsoleStream]) {
	s := k.Consoles.Get(r)
	st := k.io.console.rt.at(r)
	b, id := k.streamHost(s)
	if st.watching || st.readable || st.asking || b == nil {
		return
	}
	st.watching = true
	b.Watch(int(s.Index), func() {
		k.Enter()
		defer k.Leave()
		if k.streamOf(r, id) == nil {
			return
		}
		st := k.io.console.rt.at(r)
		st.watching = false
		if !st.asking {
			st.readable = true
		}
		st.q.Wake(PollIn | PollRdNorm)
		k.tell(&st.q, ioIn)
	})
}

// Write puts data into the stream's queue and waits until the host has them,
// so that what two streams show stays in the order of the writes. A signal cuts
// the wait, not the data.
func (o consoleOps) Write(c *Call, f store.Ref[File], data []byte, off int64) (int, abi.Errno) {
	k := o.K
	if off >= 0 {
		return 0, abi.ESPIPE
	}
	if len(data) == 0 {
		return 0, 0
	}
	base := c.Thread().Progress
	done := 0
	for {
		r, s, st := k.consoleOf(f)
		if b, _ := k.streamHost(s); s.OutErr != 0 || b == nil {
			if done > 0 {
				return done, 0
			}
			e := abi.Errno(s.OutErr)
			if e == 0 {
				return len(data), 0
			}
			if e == abi.EPIPE {
				c.sigPipe()
			}
			return 0, e
		}
		if n := min(len(data)-done, consoleBuf-s.Out.used()); n > 0 {
			m := k.Consoles.Mut(r)
			if !k.ringRoom(&m.Out, n) {
				return done, errIfNone(done, abi.ENOMEM)
			}
			k.ringPut(&m.Out, data[done:done+n])
			done += n
			k.consolePump(r)
		}
		if done == len(data) {
			break
		}
		if k.nonblock(f) {
			return done, errIfNone(done, abi.EAGAIN)
		}
		c.MutThread().Progress = base + uint64(done)
		if e := c.Sleep(NoDeadline, &st.q); e != 0 {
			return done, errIfNone(done, e)
		}
	}
	if k.nonblock(f) {
		return done, 0
	}
	_, s, _ := k.consoleOf(f)
	target := s.Out.Tail
	c.MutThread().Progress = base + uint64(done)
	for {
		_, s, st := k.consoleOf(f)
		// The counts start again when the ring grows: then used bytes tell.
		if s.OutErr != 0 || s.Out.used() == 0 || s.Out.Head >= target {
			return done, 0
		}
		if e := c.Sleep(NoDeadline, &st.q); e != 0 {
			return done, 0
		}
	}
}

func (o consoleOps) Poll(f store.Ref[File]) uint32 {
	k := o.K
	r, s, st := k.consoleOf(f)
	var m uint32
	if s.Index == 0 {
		if s.In.used() > 0 || s.EOF != 0 || s.InErr != 0 || st.readable {
			m |= PollIn | PollRdNorm
			if s.EOF != 0 && s.Mode&fs.TypeMask == fs.TypeFifo {
				m |= PollHup
			}
		} else {
			k.consoleWatch(r)
		}
	} else {
		if s.Out.used() < consoleBuf {
			m |= PollOut | PollWrNorm
		}
		if s.OutErr != 0 {
			m |= PollErr
		}
	}
	return m
}

func (o consoleOps) Queue(f store.Ref[File]) *WaitQueue {
	_, _, st := o.K.consoleOf(f)
	return &st.q
}

func (o consoleOps) Stat(c *Call, f store.Ref[File]) (fs.Attr, abi.Errno) {
	_, s, _ := o.K.consoleOf(f)
	t := timeOf(s.Time)
	mode := s.Mode
	if mode&fs.TypeMask == fs.TypeReg {
		mode = fs.TypeFifo | mode&0o7777 // it cannot be sought in
	}
	return fs.Attr{Ino: s.Ino, Mode: mode, Nlink: 1, Size: s.Size, BlkSize: 4096, Atime: t, Mtime: t, Ctime: t}, 0
}

func (o consoleOps) Ioctl(c *Call, f store.Ref[File], req uint32, arg uint64) (uint64, abi.Errno) {
	if req == ioFIONREAD {
		_, s, _ := o.K.consoleOf(f)
		c.CopyOut32(arg, uint32(s.In.used()))
		return 0, 0
	}
	return 0, abi.ENOTTY
}

func (o consoleOps) Sync(*Call, store.Ref[File], bool) abi.Errno { return abi.EINVAL }

func (o consoleOps) LinkName(f store.Ref[File]) string {
	_, s, _ := o.K.consoleOf(f)
	return "host:[" + string(rune('0'+s.Index)) + "]"
}
