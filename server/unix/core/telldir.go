package core

import "hythe/abi"

// TellDir has the caller's library know that descriptor fd is a directory's, with a number of its own, until it is another
// file's (takeBackEntry): what the library is told of names by that descriptor it can keep, then (docs/lending.md,
// *Names*). Not where others have the table, too. It does not give up the lock.
func (c *Call) TellDir(fd int32) {
	if fd < 0 || fd >= abi.LentFiles {
		return
	}
	k := c.K
	f, file, e := c.File(fd)
	if e != 0 || file.Kind != FileVnode || !c.mayBorrow(fd, f) {
		return
	}
	if n := k.nodeOf(file.Vnode); n == nil || !n.isDir() || n.m.core != nil {
		return
	}
	if ts := c.borrower(); !ts.lent.fds[fd].told {
		k.tellOpen(ts, int(fd), abi.LentDir|k.nameNumber())
	}
}
