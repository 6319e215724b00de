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
	// Closed: the host gave none.
	Closed bool
}

// ConsoleStream is one of the machine's own streams. What guests have written
// and the host has not taken is in Out: it survives the unix server.
type ConsoleStream struct {
	Mode   uint32
	Closed uint32
	Size   uint64
	Ino    uint64
	Time   int64
	In     Ring
	Out    Ring
	InSeq  uint64 // last Read whose data are in In
	OutSeq uint64 // last Write whose data were taken off Out
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
)

type consoleState struct {
	backend ConsoleBackend
	s       [consoleStreams]struct {
		q        WaitQueue
		asking   bool // a Read is under way
		watching bool
		readable bool
	}
	// ttyOut and ttyIn: the console terminal's use of the streams (tty.go).
	tty store.Ref[TTY]
}

type consoleOps struct{ BaseOps }

// SetConsole says who the host's side of the streams is; at each start, before
// Boot or Recover.
func (k *Kernel) SetConsole(b ConsoleBackend) { k.io.console.backend = b }

// MakeConsole makes the records of the machine's own streams, once in the life
// of the machine, inside a transaction.
func (k *Kernel) MakeConsole(info [consoleStreams]ConsoleInfo) {
	for i, in := range info {
		r, s := k.Consoles.New()
		if int(r) != i+1 {
			panic("core: the console's streams were made before")
		}
		s.Mode, s.Size = in.Mode, in.Size
		s.Ino = k.nextIno()
		s.Time = k.Clock.Real()
		if in.Closed {
			s.Closed = 1
		}
	}
}

// ConsoleFile makes an open file, without references, over stream 0, 1 or 2.
// Each may be read and written as the host allows. EBADF: the host gave none.
func (k *Kernel) ConsoleFile(stream int) (store.Ref[File], abi.Errno) {
	s := k.Consoles.Get(store.Ref[ConsoleStream](stream + 1))
	if s == nil || s.Closed != 0 {
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
	file.Obj = uint32(stream + 1)
	return f, 0
}

func (k *Kernel) consoleOf(f store.Ref[File]) (store.Ref[ConsoleStream], *ConsoleStream, int) {
	r := store.Ref[ConsoleStream](k.Files.Get(f).Obj)
	return r, k.Consoles.Get(r), int(r) - 1
}

// consoleAsk starts a Read of the stream unless one is under way.
func (k *Kernel) consoleAsk(i, n int) {
	st := &k.io.console.s[i]
	b := k.io.console.backend
	if st.asking || b == nil {
		return
	}
	st.asking = true
	st.readable = false
	r := store.Ref[ConsoleStream](i + 1)
	seq := k.Consoles.Get(r).InSeq + 1
	b.Read(i, seq, min(max(n, 1), consoleBuf), func(data []byte, e abi.Errno) {
		k.Enter()
		defer k.Leave()
		s := k.Consoles.Mut(r)
		st.asking = false
		s.InSeq = seq
		switch {
		case e != 0:
			s.InErr = uint32(e)
		case len(data) == 0:
			s.EOF = 1
		case k.io.console.tty != 0 && i == 0:
			k.ttyInput(k.io.console.tty, data)
			k.consoleAsk(0, 4096)
		case k.ringRoom(&s.In, len(data)):
			k.ringPut(&s.In, data)
		default:
			s.InErr = uint32(abi.ENOMEM)
		}
		if k.io.console.tty != 0 && i == 0 && (e != 0 || len(data) == 0) {
			k.TTYHangup(k.io.console.tty)
		}
		st.q.Wake(^uint32(0))
	})
}

// consolePump gives the host what waits in Out.
func (k *Kernel) consolePump(i int) {
	r := store.Ref[ConsoleStream](i + 1)
	s := k.Consoles.Get(r)
	b := k.io.console.backend
	if b == nil || s.Sending != 0 || s.Out.used() == 0 {
		return
	}
	k.Consoles.Mut(r).Sending = uint32(min(s.Out.used(), consoleBuf))
	k.consoleSend(i)
}

// consoleSend starts the Write that the record notes.
func (k *Kernel) consoleSend(i int) {
	r := store.Ref[ConsoleStream](i + 1)
	s := k.Consoles.Get(r)
	data := make([]byte, s.Sending)
	k.ringPeek(&s.Out, 0, data)
	seq := s.OutSeq + 1
	k.io.console.backend.Write(i, seq, data, func(n int, e abi.Errno) {
		k.Enter()
		defer k.Leave()
		s := k.Consoles.Mut(r)
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
		k.consolePump(i)
		k.io.console.s[i].q.Wake(^uint32(0))
		if t := k.io.console.tty; t != 0 {
			k.ttyOutputRoom(t)
		}
	})
}

// ConsoleIdle says whether the host has all that guests wrote; wake is called
// (with the lock held, once) when that may have changed. For the machine's end.
func (k *Kernel) ConsoleIdle(wake func()) bool {
	for i := range k.io.console.s {
		s := k.Consoles.Get(store.Ref[ConsoleStream](i + 1))
		if s == nil || s.Out.used() == 0 || k.io.console.backend == nil {
			continue
		}
		if wake != nil {
			var w *waitEntry
			w = k.io.console.s[i].q.Watch(func(uint32) {
				w.Unwatch()
				wake()
			})
		}
		return false
	}
	return true
}

// ConsoleResized tells that the host's terminal has another size. With the
// lock held.
func (k *Kernel) ConsoleResized() {
	if t := k.io.console.tty; t != 0 && k.io.console.backend != nil {
		rows, cols, x, y := k.io.console.backend.Size()
		k.ttySetSize(t, Winsize{rows, cols, x, y})
	}
}

// recoverConsole repeats what was under way.
func (k *Kernel) recoverConsole() {
	if k.io.console.backend == nil {
		return
	}
	k.Consoles.Each(func(r store.Ref[ConsoleStream], s *ConsoleStream) bool {
		if s.Sending != 0 {
			k.consoleSend(int(r) - 1)
		} else {
			k.consolePump(int(r) - 1)
		}
		return true
	})
}

func (o consoleOps) Read(c *Call, f store.Ref[File], buf []byte, off int64) (int, abi.Errno) {
	k := o.K
	if off >= 0 {
		return 0, abi.ESPIPE
	}
	if len(buf) == 0 {
		return 0, 0
	}
	_, _, i := k.consoleOf(f)
	st := &k.io.console.s[i]
	for {
		r, s, _ := k.consoleOf(f)
		if s.In.used() > 0 {
			return k.ringTake(&k.Consoles.Mut(r).In, buf), 0
		}
		if s.EOF != 0 || k.io.console.backend == nil {
			return 0, 0
		}
		if s.InErr != 0 {
			return 0, abi.Errno(s.InErr)
		}
		if k.nonblock(f) && !st.readable && !st.asking {
			k.consoleWatch(i)
			return 0, abi.EAGAIN
		}
		if k.nonblock(f) && st.asking && !st.readable {
			return 0, abi.EAGAIN
		}
		k.consoleAsk(i, len(buf))
		if e := c.Sleep(NoDeadline, &st.q); e != 0 {
			return 0, e
		}
	}
}

func (k *Kernel) consoleWatch(i int) {
	st := &k.io.console.s[i]
	b := k.io.console.backend
	if st.watching || st.readable || st.asking || b == nil {
		return
	}
	st.watching = true
	b.Watch(i, func() {
		k.Enter()
		defer k.Leave()
		st.watching = false
		if !st.asking {
			st.readable = true
		}
		st.q.Wake(PollIn | PollRdNorm)
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
	_, _, i := k.consoleOf(f)
	st := &k.io.console.s[i]
	base := c.Thread().Progress
	done := 0
	for {
		r, s, _ := k.consoleOf(f)
		if s.OutErr != 0 || k.io.console.backend == nil {
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
			k.consolePump(i)
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
		_, s, _ := k.consoleOf(f)
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
	_, s, i := k.consoleOf(f)
	var m uint32
	if i == 0 {
		if s.In.used() > 0 || s.EOF != 0 || s.InErr != 0 || k.io.console.s[i].readable {
			m |= PollIn | PollRdNorm
			if s.EOF != 0 && s.Mode&fs.TypeMask == fs.TypeFifo {
				m |= PollHup
			}
		} else {
			k.consoleWatch(i)
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
	_, _, i := o.K.consoleOf(f)
	return &o.K.io.console.s[i].q
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
	_, _, i := o.K.consoleOf(f)
	return "host:[" + string(rune('0'+i)) + "]"
}
