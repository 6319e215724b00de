package core

import (
	"hythe/abi"
	"hythe/store"
)

// The parts of the kernel that move bytes between processes: pipes, sockets,
// terminals, and the files that tell of events. This file holds what they
// share: their tables, the byte queue, wait queues by record, deadlines.

// ioTables are the tables 40..69 (40 pipes, 41 console streams, 42 sockets, 43
// messages in sockets, 44 epoll sets, 45 their items, 46 event counters, 47
// timers, 48 inotify instances, 49 their watches, 50 their events, 51 console
// sessions, 52 sockets outside, 53 event queues, 54 their notes,
// 55 what was counted of IP, 56 streams that are lent).
type ioTables struct {
	Pipes     *store.Table[Pipe]           // 40
	Consoles  *store.Table[ConsoleStream]  // 41
	Socks     *store.Table[Socket]         // 42
	SockMsgs  *store.Table[SockMsg]        // 43
	Epolls    *store.Table[EpollSet]       // 44
	EpItems   *store.Table[EpollItem]      // 45
	Events    *store.Table[EventFD]        // 46
	TimerFDs  *store.Table[TimerFD]        // 47
	Inotifys  *store.Table[Inotify]        // 48
	InoWds    *store.Table[InotifyWatch]   // 49
	InoEvs    *store.Table[InotifyEvent]   // 50
	Sessions  *store.Table[ConsoleSession] // 51
	Outs      *store.Table[Outside]        // 52
	Kqueues   *store.Table[Kqueue]         // 53
	Knotes    *store.Table[Knote]          // 54
	NetCounts *store.Table[netCount]       // 55
	Streams   *store.Table[Stream]         // 56
}

func newIOTables(h *store.Heap) ioTables {
	return ioTables{
		Pipes:     store.NewTable[Pipe](h, 40, 1<<17),
		Consoles:  store.NewTable[ConsoleStream](h, 41, 1<<13),
		Socks:     store.NewTable[Socket](h, 42, 1<<17),
		SockMsgs:  store.NewTable[SockMsg](h, 43, 1<<18),
		Epolls:    store.NewTable[EpollSet](h, 44, 1<<15),
		EpItems:   store.NewTable[EpollItem](h, 45, 1<<18),
		Events:    store.NewTable[EventFD](h, 46, 1<<16),
		TimerFDs:  store.NewTable[TimerFD](h, 47, 1<<15),
		Inotifys:  store.NewTable[Inotify](h, 48, 1<<10),
		InoWds:    store.NewTable[InotifyWatch](h, 49, 1<<16),
		InoEvs:    store.NewTable[InotifyEvent](h, 50, 1<<16),
		Sessions:  store.NewTable[ConsoleSession](h, 51, maxSessions),
		Outs:      store.NewTable[Outside](h, 52, maxOutside),
		Kqueues:   store.NewTable[Kqueue](h, 53, 1<<15),
		Knotes:    store.NewTable[Knote](h, 54, 1<<18),
		NetCounts: store.NewTable[netCount](h, 55, 2),
		Streams:   store.NewTable[Stream](h, 56, maxStreams+1),
	}
}

// ioState is derived: wait queues, indexes, the backend of the console.
type ioState struct {
	pipes   rtOf[Pipe, pipeRT]
	sems    rtOf[SemSet, semRT]
	msgs    rtOf[MsgQ, msgRT]
	mqs     rtOf[MQueue, mqRT]
	fifos   map[NodeKey]store.Ref[Pipe]
	console consoleState
	sockState
	epollState
	kqueues rtOf[Kqueue, kqueueRT]
	events  rtOf[EventFD, WaitQueue]
	timers  rtOf[TimerFD, timerRT]
	inotify inotifyState
}

// rtOf is the derived part of the records of one table, made at first use.
type rtOf[T, R any] struct{ m map[store.Ref[T]]*R }

func (x *rtOf[T, R]) at(r store.Ref[T]) *R {
	p := x.m[r]
	if p == nil {
		if x.m == nil {
			x.m = map[store.Ref[T]]*R{}
		}
		p = new(R)
		x.m[r] = p
	}
	return p
}

func (x *rtOf[T, R]) drop(r store.Ref[T]) { delete(x.m, r) }

func (k *Kernel) initIO() {
	k.io.fifos = map[NodeKey]store.Ref[Pipe]{}
	k.initSockets()
	k.initInotify()
	k.initReopen()
	b := BaseOps{k}
	k.SetOps(FilePipe, pipeOps{b})
	k.SetOps(FileConsole, consoleOps{b})
	k.SetOps(FileSocket, sockOps{b})
	k.SetOps(FileEpoll, epollOps{stillOps{b}})
	k.SetOps(FileKqueue, kqueueOps{stillOps{b}})
	k.SetOps(FileEvent, eventOps{stillOps{b}})
	k.SetOps(FileTimer, timerOps{stillOps{b}})
	k.SetOps(FileSignal, signalfdOps{stillOps{b}})
	k.SetOps(FileInotify, inotifyOps{stillOps{b}})
	k.SetOps(FileMqueue, mqOps{stillOps{b}})
}

// recoverIO rebuilds the derived state of pipes, sockets and event files.
// Called once by Recover, inside a transaction, before any call runs again.
func (k *Kernel) recoverIO() {
	k.Pipes.Each(func(r store.Ref[Pipe], p *Pipe) bool {
		if p.Node != (NodeKey{}) {
			k.io.fifos[p.Node] = r
		}
		return true
	})
	k.recoverSockets()
	k.recoverOutside()
	k.recoverEpoll()
	k.recoverKqueues()
	k.recoverTimers()
	k.recoverInotify()
	k.recoverConsole()
	k.recoverTTY()
	k.recoverAsync()
}

// Ring is a queue of bytes in a block; a field of a record. Head and Tail count
// the bytes taken and put since the start; the block's length is a power of
// two, or 0 before the first byte.
//
// Bytes behind Tail are written without a log. So bytes that a transaction has
// taken must not be overwritten in the same transaction: no call both takes
// from a ring and puts into it.
type Ring struct {
	Head, Tail uint64
	Buf        store.Block
}

const ringMin = 4096

// used is the number of bytes in the ring.
func (r *Ring) used() int { return int(r.Tail - r.Head) }

// ringRoom makes room for n more bytes; false when the heap is full. r must be
// changeable.
func (k *Kernel) ringRoom(r *Ring, n int) bool {
	need := r.used() + n
	if need <= int(r.Buf.Len) {
		return true
	}
	size := max(int(r.Buf.Len), ringMin)
	for size < need {
		size *= 4
	}
	b := k.Heap.Alloc(size)
	if b.Nil() {
		return false
	}
	// The counts stay: the bounds of a pipe's packets are such.
	to, at := k.Heap.Bytes(b)[:size], int(r.Head)&(size-1)
	m := k.ringPeek(r, 0, to[at:])
	k.ringPeek(r, m, to[:at])
	k.Heap.FreeBlock(r.Buf)
	r.Buf = b
	return true
}

// ringPut appends data, for which there is room.
func (k *Kernel) ringPut(r *Ring, data []byte) {
	size := int(r.Buf.Len)
	for len(data) > 0 {
		at := int(r.Tail) & (size - 1)
		n := copy(k.Heap.Unlogged(r.Buf, at, min(size-at, len(data))), data)
		r.Tail += uint64(n)
		data = data[n:]
	}
}

// ringPeek copies bytes from off behind the head without taking them.
func (k *Kernel) ringPeek(r *Ring, off int, buf []byte) int {
	n := min(len(buf), r.used()-off)
	if n <= 0 {
		return 0
	}
	b := k.Heap.Bytes(r.Buf)
	at := int(r.Head+uint64(off)) & (len(b) - 1)
	m := copy(buf[:n], b[at:])
	copy(buf[m:n], b)
	return n
}

// ringTake is ringPeek that takes the bytes.
func (k *Kernel) ringTake(r *Ring, buf []byte) int {
	n := k.ringPeek(r, 0, buf)
	r.Head += uint64(n)
	return n
}

// ringFree gives the block back.
func (k *Kernel) ringFree(r *Ring) {
	k.Heap.FreeBlock(r.Buf)
	*r = Ring{}
}

// nextIno gives a number to a nameless thing.
func (k *Kernel) nextIno() uint64 {
	g := k.MutGlobals()
	g.NextIno++
	return g.NextIno
}

// DeadlineIn answers the monotonic time ns nanoseconds after the call began;
// the first answer of a call is kept in its thread's record, so that a
// repetition after a crash ends at the same time. Negative: NoDeadline.
func (c *Call) DeadlineIn(ns int64) int64 {
	if ns < 0 {
		return NoDeadline
	}
	if t := c.Thread(); t.Deadline != 0 {
		return t.Deadline
	}
	now := c.K.Clock.Mono()
	d := now + ns
	if d < now || d == NoDeadline {
		return NoDeadline
	}
	c.MutThread().Deadline = d
	return d
}

// nonblock says whether f does not wait.
func (k *Kernel) nonblock(f store.Ref[File]) bool {
	return k.Files.Get(f).Flags&OpenNonblock != 0
}

// fileOf makes an open file of the kind over the kind's record and a descriptor
// for it. On an error nothing is left of the file; the caller frees the record.
func (c *Call) fileOf(kind int, access, flags, obj, fdflags uint32) (int32, abi.Errno) {
	f, file, e := c.K.NewFile(kind, access, flags)
	if e != 0 {
		return -1, e
	}
	file.Obj = obj
	fd, e := c.InstallFD(f, 0, fdflags)
	if e != 0 {
		c.K.Files.Free(f)
		return -1, e
	}
	return fd, 0
}

// initReopen says how files without a name are opened anew through
// /proc/PID/fd (/dev/stdin and its like): a pipe's ends are counted again,
// a terminal is opened once more, a host stream is shared.
func (k *Kernel) initReopen() {
	k.SetReopen(FilePipe, func(c *Call, f store.Ref[File], access, flags uint32) (store.Ref[File], abi.Errno) {
		r := pipeOf(k.Files.Get(f))
		n, file, e := k.NewFile(FilePipe, access, flags&(OpenNonblock|OpenDirect))
		if e != 0 {
			return 0, e
		}
		file.Obj = uint32(r)
		p := k.Pipes.Mut(r)
		k.takeBackStream(p.Stream)
		if access&AccessRead != 0 {
			p.Readers++
			p.Reads++
		}
		if access&AccessWrite != 0 {
			p.Writers++
			p.Writes++
		}
		return n, 0
	})
	k.SetReopen(FileTTY, func(c *Call, f store.Ref[File], access, flags uint32) (store.Ref[File], abi.Errno) {
		return k.openTTY(c, store.Ref[TTY](k.Files.Get(f).Obj), access, flags|OpenNoctty)
	})
	k.SetReopen(FileConsole, func(c *Call, f store.Ref[File], access, flags uint32) (store.Ref[File], abi.Errno) {
		old := k.Files.Get(f)
		obj := old.Obj
		if access&^old.Access != 0 {
			return 0, abi.EACCES
		}
		n, file, e := k.NewFile(FileConsole, access, flags&(OpenNonblock|OpenAppend))
		if e == 0 {
			file.Obj = obj
		}
		return n, e
	})
}
