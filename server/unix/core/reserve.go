package core

import (
	"hythe/abi"
	"hythe/idl/fs"
	"hythe/store"
)

// What makes a file longer again and again goes into memory that was reserved for it
// (docs/fileservers.md, *Longer without asking*): the file server takes the file to be as long as
// Vnode.Reserved, only this server knows where it ends (Vnode.End). Everybody else sees that end: it
// takes the place of the size in what the server answers (learn), and before the
// server is asked for something that depends on the size, or gives the file to be mapped, it
// gets back what is left (trim). A library that the file is lent to says in abi.Lent.Size how long it has
// made it (lookWrote).

// extendOften is how many writes at the end of a file, of at least extendMin bytes, make it worth to
// reserve more. Smaller files need no memory object.
const (
	extendOften = 3
	extendMin   = 128 << 10
)

// Bounds of what is reserved behind the end; reserveUnit is abi.Lent's.
const (
	reserveMin  = 512 << 10
	reserveMax  = 8 << 20
	reserveUnit = 1 << abi.LentRoomShift
)

// reserved answers where the node's file ends, if its server takes it to be longer.
func (n *node) reserved() (end, to uint64, ok bool) {
	if n.v == 0 {
		return 0, 0, false
	}
	rec := n.m.k.Vnodes.Get(n.v)
	return rec.End, rec.Reserved, rec.Reserved != 0
}

// sizeKnown puts in a server's answer where the file ends. old: the answer may be from before what was
// learnt last.
func (n *node) sizeKnown(a *fs.Attr, old bool) {
	end, _, ok := n.reserved()
	if !ok && old && n.trimmed != 0 && a.Size == n.trimmed {
		end, ok = n.attr.Size, true
	}
	if ok {
		a.Size, a.Blocks = end, blocksOf(end)
	}
}

// blocksOf is how many blocks of 512 bytes a file without holes takes.
func blocksOf(size uint64) uint64 {
	return (size + abi.PageSize - 1) / abi.PageSize * (abi.PageSize / 512)
}

// resize has others wait who want to change what is reserved for a vnode, while the caller asks the
// server for that; done ends it.
func (k *Kernel) resize(n *node) (done func()) {
	v, ch := n.v, make(chan struct{})
	if k.vfs.resizing == nil {
		k.vfs.resizing = map[store.Ref[Vnode]]chan struct{}{}
	}
	k.vfs.resizing[v] = ch
	n.changing++
	return func() {
		n.changing--
		delete(k.vfs.resizing, v)
		close(ch)
	}
}

// trim has the file server know where a file ends, and gives back what was reserved behind
// that. It gives up the lock if there is something to be done.
func (c *Call) trim(n *node) abi.Errno {
	k := c.K
	for n.v != 0 {
		if ch := k.vfs.resizing[n.v]; ch != nil {
			c.Unlocked(func() { <-ch })
			continue
		}
		if _, _, ok := n.reserved(); !ok {
			return 0
		}
		n.takeBack() // and now it is known
		v := n.v
		end, to, _ := n.reserved()
		done := k.resize(n)
		var err abi.Errno
		c.ask(func() {
			_, err = c.server(n.m).SetAttr(fs.Req{}, n.id, &fs.SetAttrIn{Valid: fs.SetTrimmed, Size: end})
		})
		done()
		if n.v != v {
			continue // it was closed meanwhile with its last name (Discard): the record is gone
		}
		if err != 0 {
			return err
		}
		m := k.Vnodes.Mut(v)
		m.End, m.Reserved = 0, 0
		n.trimmed = to
		n.stale()
		n.attr.Size, n.attr.Blocks = end, blocksOf(end)
	}
	return 0
}

// trimLater trims a file that nobody writes to any more, if it still is so then.
func (k *Kernel) trimLater(v store.Ref[Vnode]) {
	k.vfs.trims.push(v)
	if k.vfs.trimming {
		return
	}
	k.vfs.trimming = true
	k.vfs.releaser.Add(1)
	go func() {
		defer k.vfs.releaser.Done()
		k.Enter()
		k.trimDue()
		k.vfs.trimming = false
		k.Leave()
	}()
}

// trimDue trims what trimLater was told of. With the lock held, which it gives up.
func (k *Kernel) trimDue() {
	for !k.vfs.trims.empty() {
		v := k.vfs.trims.pop()
		rec := k.Vnodes.Get(v)
		if rec == nil || rec.Reserved == 0 || rec.Writes > 0 || rec.Flags&VnodeTrimPanics != 0 {
			continue
		}
		if n := k.nodeOf(v); n != nil && n.m.srv != nil {
			c := k.KernelCall()
			func() {
				defer c.trimPanics(v)
				_ = c.trim(n) // else with the release
			}()
		}
	}
}

// trimPanics notes in the state of record that the trimmer has panicked, for which no call of a
// guest's counts: it would do so in each next incarnation.
func (c *Call) trimPanics(v store.Ref[Vnode]) {
	r := recover()
	if r == nil {
		return
	}
	k := c.K
	k.notePanic(c.outside, func() {
		if k.Vnodes.Get(v) != nil {
			k.Vnodes.Mut(v).Flags |= VnodeTrimPanics
		}
	})
	panic(r)
}

// extend writes what makes a file longer, or would, through its memory object, into what was
// reserved for it. done is false when the server has to be asked; extend may have given up the
// lock then. Crashes are as with fill: the bytes are there before the record says so.
func (c *Call) extend(f store.Ref[File], n *node, at uint64, data []byte) (done bool) {
	k := c.K
	end := at + uint64(len(data))
	fits := func() bool {
		return n.v != 0 && n.sized && n.changing == 0 && end >= at && at <= n.attr.Size && end > n.attr.Size && k.vfs.resizing[n.v] == nil
	}
	if n.writing > 0 {
		n.lookWritten()
	}
	if k.vfs.objects == nil || n.m == k.vfs.memfd || c.again() || !fits() || k.Vnodes.Get(n.v).ObjFlags&objNoFill != 0 || k.Vnodes.Get(n.v).Shown != 0 {
		return false
	}
	rt := k.fileRT(f)
	if rt.extends < extendOften || n.attr.Size < extendMin {
		rt.extends++
		return false
	}
	if !c.canFill(n, fits) || n.attr.Blocks != blocksOf(n.attr.Size) {
		return false
	}
	if k.Vnodes.Get(n.v).Roomy == f {
		rt.extends = extendOften + lendOften // it has used what it had, and is lent more
	}
	if _, to, _ := n.reserved(); to < end && !c.reserve(n, end, fits) {
		rt.extends = 0
		return false
	}
	now := timeOf(k.Clock.Real())
	if before(now, n.attr.Mtime) {
		return false
	}
	n.takeBackKind(loanFile)
	if !fits() {
		return false // it was made longer by who had it
	}
	if m, err := n.data.WriteAt(data, int64(at)); err != nil || m != len(data) {
		return false
	}
	k.Vnodes.Mut(n.v).Written = now
	n.grow(end)
	n.wrote(now)
	rt.extends++
	return true
}

// grow notes where a file ends for which more is reserved.
func (n *node) grow(end uint64) {
	n.m.k.Vnodes.Mut(n.v).End = end
	n.attr.Size, n.attr.Blocks = end, blocksOf(end)
}

// reserve has the server make a file longer, which ends where it ended for all others. What is
// noted before it is asked holds whether it has done so or not.
func (c *Call) reserve(n *node, end uint64, fits func() bool) bool {
	k := c.K
	n.takeBack()
	if !fits() {
		return false
	}
	size := n.attr.Size
	to := (end + min(max(size, reserveMin), reserveMax) + reserveUnit - 1) &^ (reserveUnit - 1)
	v, was := n.v, k.Vnodes.Get(n.v).Reserved
	m := k.Vnodes.Mut(v)
	m.End, m.Reserved = size, to
	n.gen++ // an answer from before may have another size
	n.m.changed++
	gen := n.gen
	done := k.resize(n)
	var err abi.Errno
	c.ask(func() { _, err = c.server(n.m).Fallocate(fs.Req{}, n.id, fs.AllocReserve, size, to-size) })
	done()
	if err != 0 {
		// It is as long as it was.
		if m = k.Vnodes.Mut(v); was == 0 {
			m.End = 0
		}
		m.Reserved = was
		return false
	}
	return n.gen == gen && fits() && n.solid && n.data != nil
}

// recoverReserved trims what the last incarnation has reserved.
func (k *Kernel) recoverReserved() {
	k.Vnodes.Each(func(v store.Ref[Vnode], rec *Vnode) bool {
		if rec.Reserved != 0 && rec.Writes == 0 {
			k.trimLater(v)
		}
		return true
	})
}
