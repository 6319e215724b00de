package core

import (
	"hythe/abi"
)

// Files that are opened (docs/lending.md): who opens a file to read it mostly asks at once where
// its offset is, whether it is a terminal, or for its flags, or he never does. To programs that do
// the offset is lent with the descriptor, and the flags are told with it.

// Of a program that asks: how sure an opening makes that has it asked, how sure it has to be, and at
// most is. One without a question makes it less sure by 1. Each movedAgain-th file is not lent, to see
// whether it still asks; if not, that counts as so many openings.
const (
	movedStep  = 8
	movedSure  = 8
	movedMost  = 32
	movedAgain = 16
)

// pos is what the library is lent of a file: the offset, and whether it does not wait.
func (f *File) pos() uint64 {
	v := uint64(f.Off)
	if f.Flags&OpenNonblock != 0 {
		v |= abi.LentNonblock
	}
	return v
}

// setPos is for what comes back.
func (f *File) setPos(v uint64) {
	f.Off = int64(v & abi.LentAt)
	f.Flags &^= OpenNonblock
	if v&abi.LentNonblock != 0 {
		f.Flags |= OpenNonblock
	}
}

// habits answers what is known of the caller's process, which is at first what is known of
// its program.
func (c *Call) habits() *procRT {
	k, exe := c.K, c.Proc().Exe
	rt := k.procRT(c.ProcRef())
	if rt.exe != exe {
		rt.exe, rt.opened, rt.moved = exe, 0, 0
		if n := k.nodeOf(exe); n != nil {
			rt.statted, rt.moves = n.statted, n.moves
		}
	}
	return rt
}

// keepHabits keeps it for the program's next processes.
func (c *Call) keepHabits(rt *procRT) {
	if n := c.K.nodeOf(rt.exe); n != nil {
		n.statted, n.moves = rt.statted, rt.moves
	}
}

// NoteMoved notes that the caller has asked something of descriptor fd that its library would
// answer if the offset were lent.
func (c *Call) NoteMoved(fd int32) {
	if rt := c.habits(); rt.moved == fd+1 {
		rt.moved, rt.moves = 0, min(rt.moves+movedStep, movedMost)
		c.keepHabits(rt)
	}
}

// LendOpened lends the caller the offset of the file that it has just opened by descriptor fd, if it is
// a regular one that is only to be read, and the caller is likely to ask for it. flags are what its library is
// to answer of the open file's flags; but OpenNonblock, which goes with the offset. It
// does not give up the lock.
func (c *Call) LendOpened(fd int32, flags func(f *File) uint32) {
	k := c.K
	f, file, e := c.File(fd)
	if e != 0 || file.Kind != FileVnode || file.Access != AccessRead {
		return
	}
	if n := k.nodeOf(file.Vnode); n == nil || !n.isRegular() || n.m.core != nil {
		return
	}
	rt := c.habits()
	if rt.moved != 0 && rt.moves > 0 {
		rt.moves-- // nobody has asked since
		if rt.unmoved != 0 && rt.unmoved%movedAgain == 0 {
			rt.moves -= min(rt.moves, movedAgain-1)
		}
		c.keepHabits(rt)
	}
	rt.moved = fd + 1
	if rt.moves < movedSure && !c.WantName || !c.mayBorrow(fd, f) {
		return
	}
	if rt.unmoved++; rt.unmoved%movedAgain == 0 && !c.WantName { // else the offset goes with the name (KeepOpen)
		return
	}
	if file.Refs != 1 || k.fileRT(f).pins != 0 || file.Aux2 != 0 || file.Off < 0 || file.Off > abi.LentAt {
		return
	}
	from, to := k.lendPos(c.Task, fd, f, abi.LentIsOffset, file.pos())
	if to == 0 {
		return
	}
	rt.moved = 0
	told := *k.Files.Get(f)
	told.Flags &^= OpenNonblock
	k.tellOpen(c.borrower(), int(fd), abi.LentOpen|uint64(told.LentNo)<<abi.LentOpenNo|uint64(flags(&told)))
	c.Act(abi.ActLend, 0, uint64(fd), 0, 0, from, to)
}

// ToldOpen lets the caller's library know that descriptor fd, an epoll set, is open: what cannot be added to
// one is then answered without us.
func (c *Call) ToldOpen(fd int32) {
	f, file, e := c.File(fd)
	if e == 0 && file.Kind == FileEpoll && c.mayBorrow(fd, f) {
		if ts := c.borrower(); !ts.lent.fds[fd].told {
			c.K.tellOpen(ts, int(fd), abi.LentOpen)
		}
	}
}

// tellOpen tells a library of a descriptor; 0: nothing is true any more that it was told.
func (k *Kernel) tellOpen(ts *task, fd int, v uint64) {
	if l := &ts.lent.fds[fd]; l.told || v != 0 {
		k.Host.TellOpen(ts.id, fd, v)
		l.told = v != 0
	}
}
