package core

import (
	"hythe/abi"
	"hythe/store"
)

// openFifo opens the FIFO v: it waits for the other end as fifo(7) says. The
// answer is an open file without references, whose Vnode the caller sets.
// ENXIO for a non-blocking writer without a reader; ErrRestart.
//
// While it waits, the open file stands in Thread.Aux, so that a repetition
// after a crash does not count its end twice.
func (k *Kernel) openFifo(c *Call, v store.Ref[Vnode], access, flags uint32) (store.Ref[File], abi.Errno) {
	vn := k.Vnodes.Get(v)
	key := NodeKey{Mount: vn.Mount, Node: vn.Node}
	var f store.Ref[File]
	if a := c.Thread().Aux; a != 0 {
		f = store.Ref[File](a)
	} else {
		r := k.io.fifos[key]
		if access == AccessWrite && flags&OpenNonblock != 0 && (r == 0 || k.Pipes.Get(r).Readers == 0) {
			return 0, abi.ENXIO
		}
		nf, file, e := k.NewFile(FilePipe, access, flags&(OpenNonblock|OpenDirect|OpenAppend))
		if e != 0 {
			return 0, e
		}
		if r == 0 {
			if r, e = k.newPipe(c.Cred()); e != 0 {
				k.Files.Free(nf)
				return 0, e
			}
			k.Pipes.Mut(r).Node = key
			k.io.fifos[key] = r
		}
		p := k.Pipes.Mut(r)
		file.Obj = uint32(r)
		f = nf
		if access&AccessRead != 0 {
			p.Readers++
			p.Reads++
		}
		if access&AccessWrite != 0 {
			p.Writers++
			p.Writes++
		}
		// What is to change for the wait to end; for a reader also the count
		// of writers before which it does not see a hang-up.
		switch access {
		case AccessRead:
			if p.Writers == 0 {
				file.Aux = p.Writes
			} else {
				file.Aux = p.Writes - 1
			}
			file.Aux2 = uint64(p.Writes)
		case AccessWrite:
			file.Aux2 = uint64(p.Reads)
		}
		rt := k.io.pipes.at(r)
		rt.rq.Wake(^uint32(0))
		rt.wq.Wake(^uint32(0))
	}
	r := pipeOf(k.Files.Get(f))
	rt := k.io.pipes.at(r)
	for {
		file, p := k.Files.Get(f), k.Pipes.Get(r)
		switch access {
		case AccessRead:
			if file.Flags&OpenNonblock != 0 || p.Writers > 0 || uint64(p.Writes) != file.Aux2 {
				c.fifoDone()
				return f, 0
			}
		case AccessWrite:
			if p.Readers > 0 || uint64(p.Reads) != file.Aux2 {
				c.fifoDone()
				return f, 0
			}
		default:
			return f, 0
		}
		c.MutThread().Aux = uint64(f)
		if e := c.Sleep(NoDeadline, &rt.rq, &rt.wq); e != 0 {
			c.fifoDone()
			k.ops[FilePipe].Release(c, f)
			delete(k.files, f)
			k.Files.Free(f)
			return 0, e
		}
	}
}

func (c *Call) fifoDone() {
	if c.Thread().Aux != 0 {
		c.MutThread().Aux = 0
	}
}
