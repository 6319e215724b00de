package core

import (
	"hythe/abi"
	"hythe/store"
)

// spliceMax is the most that one splice or tee moves, in bytes.
const spliceMax = 64 << 10

// pipeWaitData waits until the pipe of f has something to read. False, 0: all
// writers are gone.
func (c *Call) pipeWaitData(f store.Ref[File], nonblock bool) (bool, abi.Errno) {
	k := c.K
	r := pipeOf(k.Files.Get(f))
	for {
		p := k.Pipes.Get(r)
		if p.Data.used() > 0 {
			return true, 0
		}
		if p.Writers == 0 {
			return false, 0
		}
		if nonblock || k.nonblock(f) {
			return false, abi.EAGAIN
		}
		if e := c.Sleep(NoDeadline, &k.io.pipes.at(r).rq); e != 0 {
			return false, e
		}
	}
}

// pipeWaitRoom waits until the pipe of f takes something, and answers how much.
func (c *Call) pipeWaitRoom(f store.Ref[File], nonblock bool) (int, abi.Errno) {
	k := c.K
	r := pipeOf(k.Files.Get(f))
	for {
		p := k.Pipes.Get(r)
		if p.Readers == 0 {
			c.sigPipe()
			return 0, abi.EPIPE
		}
		if n := k.pipeRoom(p); n > 0 {
			return n, 0
		}
		if nonblock || k.nonblock(f) {
			return 0, abi.EAGAIN
		}
		if e := c.Sleep(NoDeadline, &k.io.pipes.at(r).wq); e != 0 {
			return 0, e
		}
	}
}

// ends answers the two files of a splice. EBADF.
func (c *Call) ends(in, out int32) (fi, fo store.Ref[File], e abi.Errno) {
	fi, a, e := c.File(in)
	if e != 0 {
		return 0, 0, e
	}
	fo, b, e := c.File(out)
	if e != 0 {
		return 0, 0, e
	}
	if a.Access&AccessRead == 0 || b.Access&AccessWrite == 0 {
		return 0, 0, abi.EBADF
	}
	return fi, fo, 0
}

// Splice moves up to n bytes between two descriptors of which one at least is a
// pipe; offsets -1: the file's own. It answers how much; 0 is the end of the
// input. EBADF, EINVAL, ESPIPE (an offset with a pipe), EAGAIN.
func (c *Call) Splice(in int32, offIn int64, out int32, offOut int64, n uint64, nonblock bool) (int, abi.Errno) {
	k := c.K
	fi, fo, e := c.ends(in, out)
	if e != 0 {
		return 0, e
	}
	a, b := k.Files.Get(fi), k.Files.Get(fo)
	inPipe, outPipe := a.Kind == FilePipe, b.Kind == FilePipe
	switch {
	case inPipe && offIn >= 0 || outPipe && offOut >= 0:
		return 0, abi.ESPIPE
	case !inPipe && !outPipe, inPipe && outPipe && a.Obj == b.Obj, !outPipe && b.Flags&OpenAppend != 0:
		return 0, abi.EINVAL
	}
	if n == 0 {
		return 0, 0
	}
	k.pinFile(fi)
	k.pinFile(fo)
	defer func() {
		k.unpinFile(c, fi)
		k.unpinFile(c, fo)
	}()
	want := int(min(n, spliceMax))
	if inPipe {
		if ok, e := c.pipeWaitData(fi, nonblock); !ok {
			return 0, e
		}
	}
	if outPipe {
		room, e := c.pipeWaitRoom(fo, nonblock)
		if e != 0 {
			return 0, e
		}
		want = min(want, room)
	}
	buf := make([]byte, want)
	if !inPipe {
		m, e := k.ops[k.Files.Get(fi).Kind].Read(c, fi, buf, offIn)
		if m <= 0 {
			if e == abi.EISDIR {
				e = abi.EINVAL
			}
			return 0, e
		}
		if k.Pipes.Get(pipeOf(k.Files.Get(fo))).Readers == 0 {
			c.sigPipe()
			return 0, abi.EPIPE
		}
		if !k.pipePut(pipeOf(k.Files.Get(fo)), buf[:m], false) {
			return 0, abi.ENOMEM
		}
		return m, 0
	}
	r := pipeOf(k.Files.Get(fi))
	m := k.pipeLook(r, buf)
	if m == 0 { // another reader was faster while this one waited for room
		return 0, abi.EAGAIN
	}
	if outPipe {
		if !k.pipePut(pipeOf(k.Files.Get(fo)), buf[:m], false) {
			return 0, abi.ENOMEM
		}
		k.pipeTake(r, buf[:m])
		return m, 0
	}
	// The bytes leave the pipe when the file has them: what it does not take
	// stays.
	m, e = k.ops[k.Files.Get(fo).Kind].Write(c, fo, buf[:m], offOut)
	if m > 0 {
		c.sentStream(fo, &SockSend{}, uint64(m))
		k.pipeTake(r, buf[:min(m, k.Pipes.Get(r).Data.used())])
		return m, 0
	}
	return 0, e
}

// pipeLook copies what pipeTake would take.
func (k *Kernel) pipeLook(r store.Ref[Pipe], buf []byte) int {
	p := k.Pipes.Get(r)
	if p.NPkt > 0 {
		from, to := k.pipePkt(p, 0)
		if from == p.Data.Head {
			from = to
		}
		buf = buf[:min(len(buf), int(from-p.Data.Head))]
	}
	return k.ringPeek(&p.Data, 0, buf)
}

// Tee copies up to n bytes from one pipe to another without taking them.
// EINVAL if they are not two pipes.
func (c *Call) Tee(in, out int32, n uint64, nonblock bool) (int, abi.Errno) {
	k := c.K
	fi, fo, e := c.ends(in, out)
	if e != 0 {
		return 0, e
	}
	a, b := k.Files.Get(fi), k.Files.Get(fo)
	if a.Kind != FilePipe || b.Kind != FilePipe || a.Obj == b.Obj {
		return 0, abi.EINVAL
	}
	if n == 0 {
		return 0, 0
	}
	k.pinFile(fi)
	k.pinFile(fo)
	defer func() {
		k.unpinFile(c, fi)
		k.unpinFile(c, fo)
	}()
	if ok, e := c.pipeWaitData(fi, nonblock); !ok {
		return 0, e
	}
	room, e := c.pipeWaitRoom(fo, nonblock)
	if e != 0 {
		return 0, e
	}
	buf := make([]byte, min(n, spliceMax, uint64(room)))
	m := k.pipeLook(pipeOf(k.Files.Get(fi)), buf)
	if m > 0 && !k.pipePut(pipeOf(k.Files.Get(fo)), buf[:m], false) {
		return 0, abi.ENOMEM
	}
	return m, 0
}
