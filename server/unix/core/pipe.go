package core

import (
	"fmt"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/store"
)

// Sizes of pipes in bytes. Capacities are powers of two (pipe(7)).
const (
	pipeBuf        = 4096
	pipeDefault    = 64 << 10
	pipeMax        = 1 << 20
	pipeMaxPackets = 256
)

// Pipe is a pipe or a FIFO. Packets (OpenDirect) are ordinary bytes in Data
// with their bounds noted beside.
type Pipe struct {
	Readers, Writers uint32 // open descriptions with that access
	// Reads and Writes count openings ever, for the waiting in FIFO's open.
	Reads, Writes uint32
	Cap           uint32
	NPkt          uint32 // packets in the queue, bounds in Pkts
	Data          Ring
	Pkts          store.Block // pipeMaxPackets pairs of counts: start, end
	PktHead       uint64
	Ino           uint64
	Node          NodeKey // of a FIFO
	UID, GID      uint32
	Time          int64
	Mode          uint32 // type and permissions once fchmod has set them, else 0
	// LentTo is the task that has what is in the pipe in a ring (lendpipe.go), LentFiles its ends;
	// the ring was lent for the LentNo-th time when the pipe was empty. 0: it is not lent.
	LentTo           TaskID
	LentRing, LentNo uint32
	LentFiles        [2]store.Ref[File]
	// Fill says how far the last page is full that Linux would have in the pipe: what
	// a write adds to it counts as a whole.
	Fill uint32
	// Stream is the memory in which two tasks have what is in it, if there is one (lendstream.go).
	Stream store.Ref[Stream]
}

type pipeRT struct{ rq, wq WaitQueue }

type pipeOps struct{ BaseOps }

func pipeOf(file *File) store.Ref[Pipe] { return store.Ref[Pipe](file.Obj) }

func (k *Kernel) newPipe(cr *Cred) (store.Ref[Pipe], abi.Errno) {
	r, p := k.Pipes.New()
	if r == 0 {
		return 0, abi.ENFILE
	}
	p.Cap = pipeDefault
	p.Ino = k.nextIno()
	p.Time = k.Clock.Real()
	if cr != nil {
		p.UID, p.GID = cr.FSUID, cr.FSGID
	}
	return r, 0
}

// NewPipe makes a pipe and descriptors for its ends. flags: OpenNonblock,
// OpenDirect, OpenCloexec. ENFILE, EMFILE.
func (c *Call) NewPipe(flags uint32) (rfd, wfd int32, e abi.Errno) {
	k := c.K
	r, e := k.newPipe(c.Cred())
	if e != 0 {
		return -1, -1, e
	}
	p := k.Pipes.Mut(r)
	p.Readers, p.Writers, p.Reads, p.Writes = 1, 1, 1, 1
	var fdf uint32
	if flags&OpenCloexec != 0 {
		fdf = FDCloexec
	}
	rfd, e = c.fileOf(FilePipe, AccessRead, flags&OpenNonblock, uint32(r), fdf)
	if e != 0 {
		k.Pipes.Free(r)
		return -1, -1, e
	}
	wfd, e = c.fileOf(FilePipe, AccessWrite, flags&(OpenNonblock|OpenDirect), uint32(r), fdf)
	if e != 0 {
		k.Pipes.Mut(r).Writers = 0
		c.CloseFD(rfd)
		return -1, -1, e
	}
	return rfd, wfd, 0
}

// pipePkt answers the bounds of the i-th queued packet.
func (k *Kernel) pipePkt(p *Pipe, i uint32) (from, to uint64) {
	b := k.Heap.Bytes(p.Pkts)
	at := int(p.PktHead+uint64(i)) % pipeMaxPackets * 16
	return le64(b[at:]), le64(b[at+8:])
}

// pipeTake moves bytes from the pipe, which is not empty, to buf.
func (k *Kernel) pipeTake(r store.Ref[Pipe], buf []byte) int {
	p := k.Pipes.Mut(r)
	n := 0
	if p.NPkt > 0 {
		from, to := k.pipePkt(p, 0)
		if from == p.Data.Head {
			n = k.ringTake(&p.Data, buf[:min(len(buf), int(to-from))])
			p.Data.Head = to
			p.PktHead++
			p.NPkt--
			k.pipeWakeWriters(r)
			return n
		}
		buf = buf[:min(len(buf), int(from-p.Data.Head))]
	}
	n = k.ringTake(&p.Data, buf)
	k.pipeWakeWriters(r)
	return n
}

// pipeRoom is how many bytes the pipe takes now.
func (k *Kernel) pipeRoom(p *Pipe) int {
	if p.NPkt == pipeMaxPackets {
		return 0
	}
	return int(p.Cap) - p.Data.used()
}

// merges answers how many of n bytes go into the last page.
func (p *Pipe) merges(n uint64) uint32 {
	if m := uint32(n % pipeBuf); p.Data.used() > 0 && p.Fill+m <= pipeBuf {
		return m
	}
	return 0
}

// filled sees to Fill before n bytes are put into the pipe.
func (p *Pipe) filled(n int, packet bool) {
	switch m := p.merges(uint64(n)); {
	case m > 0 && int(m) == n:
		p.Fill += m
	case m > 0 || packet:
		p.Fill = pipeBuf
	default:
		p.Fill = uint32(n-1)%pipeBuf + 1
	}
}

// pipePut appends data, for which there is room. False: the heap is full.
func (k *Kernel) pipePut(r store.Ref[Pipe], data []byte, packet bool) bool {
	p := k.Pipes.Mut(r)
	if !k.ringRoom(&p.Data, len(data)) {
		return false
	}
	if packet {
		if p.Pkts.Nil() {
			if p.Pkts = k.Heap.Alloc(pipeMaxPackets * 16); p.Pkts.Nil() {
				return false
			}
		}
		at := int(p.PktHead+uint64(p.NPkt)) % pipeMaxPackets * 16
		b := k.Heap.MutBytes(p.Pkts, at, 16)
		putLE64(b, p.Data.Tail)
		putLE64(b[8:], p.Data.Tail+uint64(len(data)))
		p.NPkt++
	}
	p.filled(len(data), packet)
	k.ringPut(&p.Data, data)
	rt := k.io.pipes.at(r)
	rt.rq.Wake(PollIn | PollRdNorm)
	k.tell(&rt.rq, ioIn)
	return true
}

func (k *Kernel) pipeWakeWriters(r store.Ref[Pipe]) {
	rt := k.io.pipes.at(r)
	rt.wq.Wake(PollOut | PollWrNorm)
	k.tell(&rt.wq, ioOut)
	if !rt.rq.Empty() && k.Pipes.Get(r).Node != (NodeKey{}) {
		rt.rq.Wake(PollOut | PollWrNorm) // a FIFO open for both polls there
	}
}

func (o pipeOps) Read(c *Call, f store.Ref[File], buf []byte, off int64) (int, abi.Errno) {
	k := o.K
	if off >= 0 {
		return 0, abi.ESPIPE
	}
	if len(buf) == 0 {
		return 0, 0
	}
	r := pipeOf(k.Files.Get(f))
	for {
		p := k.Pipes.Get(r)
		if p.Data.used() > 0 {
			n := k.pipeTake(r, buf)
			c.took = taken{head: p.Data.Head, buf: p.Data.Buf}
			return n, 0
		}
		if p.Writers == 0 {
			k.tell(&k.io.pipes.at(r).wq, ioOut) // as each read does
			return 0, 0
		}
		if k.nonblock(f) {
			k.tell(&k.io.pipes.at(r).wq, ioOut)
			return 0, abi.EAGAIN
		}
		if e := c.waitPlain(f, c.plainRead, NoDeadline, &k.io.pipes.at(r).rq); e != 0 {
			return 0, e
		}
	}
}

func (o pipeOps) Write(c *Call, f store.Ref[File], data []byte, off int64) (int, abi.Errno) {
	k := o.K
	if off >= 0 {
		return 0, abi.ESPIPE
	}
	if len(data) == 0 {
		return 0, 0
	}
	file := k.Files.Get(f)
	r := pipeOf(file)
	packet := file.Flags&OpenDirect != 0
	base := c.Thread().Progress
	done := 0
	for {
		p := k.Pipes.Get(r)
		if p.Readers == 0 {
			if done == 0 {
				k.tell(&k.io.pipes.at(r).rq, ioIn) // as each write does
			}
			c.sigPipe()
			return done, errIfNone(done, abi.EPIPE)
		}
		room := k.pipeRoom(p)
		rest := data[done:]
		if packet && len(rest) > pipeBuf {
			rest = rest[:pipeBuf]
		}
		if room >= len(rest) || !packet && len(data) > pipeBuf && room > 0 {
			rest = rest[:min(room, len(rest))]
			if !k.pipePut(r, rest, packet) {
				return done, errIfNone(done, abi.ENOMEM)
			}
			if done += len(rest); done == len(data) {
				return done, 0
			}
			continue
		}
		if k.nonblock(f) {
			if done == 0 {
				k.tell(&k.io.pipes.at(r).rq, ioIn)
			}
			return done, errIfNone(done, abi.EAGAIN)
		}
		if done > 0 {
			c.MutThread().Progress = base + uint64(done)
		}
		if e := c.waitPlain(f, c.plainWrite, NoDeadline, &k.io.pipes.at(r).wq); e != 0 {
			return done, errIfNone(done, e)
		}
	}
}

// errIfNone answers e for a call that has moved nothing, else success.
func errIfNone(done int, e abi.Errno) abi.Errno {
	if done > 0 {
		return 0
	}
	return e
}

func (o pipeOps) Poll(f store.Ref[File]) uint32 {
	k := o.K
	file := k.Files.Get(f)
	p := k.Pipes.Get(pipeOf(file))
	var m uint32
	if file.Access&AccessRead != 0 {
		if p.Data.used() > 0 {
			m |= PollIn | PollRdNorm
		}
		// A FIFO that nobody has opened for writing since is not hung up.
		if p.Writers == 0 && p.Writes != file.Aux {
			m |= PollHup
		}
	}
	if file.Access&AccessWrite != 0 {
		if p.Cap < pipeBuf || k.pipeRoom(p) >= pipeBuf {
			m |= PollOut | PollWrNorm
		}
		if p.Readers == 0 {
			m |= PollErr
		}
	}
	return m
}

func (o pipeOps) Queue(f store.Ref[File]) *WaitQueue {
	file := o.K.Files.Get(f)
	rt := o.K.io.pipes.at(pipeOf(file))
	if file.Access&AccessRead != 0 {
		return &rt.rq
	}
	return &rt.wq
}

// Linux's ioctl numbers that many kinds of file share (asm-generic/ioctls.h).
const (
	ioFIONREAD = 0x541B
	ioFIONBIO  = 0x5421
)

func (o pipeOps) Ioctl(c *Call, f store.Ref[File], req uint32, arg uint64) (uint64, abi.Errno) {
	if req == ioFIONREAD {
		p := o.K.Pipes.Get(pipeOf(o.K.Files.Get(f)))
		n := p.Data.used()
		c.CopyOut32(arg, uint32(n))
		return 0, 0
	}
	return 0, abi.ENOTTY
}

func (o pipeOps) Stat(c *Call, f store.Ref[File]) (fs.Attr, abi.Errno) {
	p := o.K.Pipes.Get(pipeOf(o.K.Files.Get(f)))
	t := timeOf(p.Time)
	mode := p.Mode
	if mode == 0 {
		mode = fs.TypeFifo | 0o600
	}
	return fs.Attr{Ino: p.Ino, Mode: mode, Nlink: 1, BlkSize: 4096,
		UID: p.UID, GID: p.GID, Atime: t, Mtime: t, Ctime: t}, 0
}

func timeOf(ns int64) fs.Time {
	return fs.Time{Sec: ns / 1e9, Nsec: uint32(ns % 1e9)}
}

func (o pipeOps) Release(c *Call, f store.Ref[File]) {
	k := o.K
	file := k.Files.Get(f)
	r := pipeOf(file)
	p := k.Pipes.Mut(r)
	if file.Access&AccessRead != 0 {
		p.Readers--
	}
	if file.Access&AccessWrite != 0 {
		p.Writers--
	}
	if p.Readers == 0 || p.Writers == 0 {
		k.dropStream(p.Stream)
	}
	rt := k.io.pipes.at(r)
	rt.rq.Wake(PollHup | PollIn)
	rt.wq.Wake(PollErr | PollOut)
	if (p.Readers == 0) != (p.Writers == 0) {
		k.tell(&rt.rq, ioIn)
		k.tell(&rt.wq, ioOut)
	}
	if p.Readers == 0 && p.Writers == 0 {
		if p.Node != (NodeKey{}) {
			delete(k.io.fifos, p.Node)
		}
		k.ringFree(&p.Data)
		k.Heap.FreeBlock(p.Pkts)
		k.io.pipes.drop(r)
		k.Pipes.Free(r)
	}
}

func (o pipeOps) LinkName(f store.Ref[File]) string {
	return fmt.Sprintf("pipe:[%d]", o.K.Pipes.Get(pipeOf(o.K.Files.Get(f))).Ino)
}

// PipeSize answers the capacity of the pipe f (F_GETPIPE_SZ). EBADF: no pipe.
func (k *Kernel) PipeSize(f store.Ref[File]) (uint32, abi.Errno) {
	file := k.Files.Get(f)
	if file.Kind != FilePipe {
		return 0, abi.EBADF
	}
	return k.Pipes.Get(pipeOf(file)).Cap, 0
}

// SetPipeSize changes it to at least size bytes and answers the new capacity
// (F_SETPIPE_SZ). EBADF; EINVAL for too much; EPERM above 1 MiB; EBUSY
// when more is in the pipe.
func (k *Kernel) SetPipeSize(f store.Ref[File], size uint64) (uint32, abi.Errno) {
	file := k.Files.Get(f)
	if file.Kind != FilePipe {
		return 0, abi.EBADF
	}
	if size > 1<<31 {
		return 0, abi.EINVAL
	}
	if size > pipeMax {
		return 0, abi.EPERM
	}
	n := uint32(pipeBuf)
	for uint64(n) < size {
		n *= 2
	}
	r := pipeOf(file)
	if k.Pipes.Get(r).Data.used() > int(n) {
		return 0, abi.EBUSY
	}
	if p := k.Pipes.Mut(r); p.Cap != n {
		k.dropStream(p.Stream) // its ring has another size
		p.Cap = n
	}
	k.pipeWakeWriters(r)
	return n, 0
}
