package core

import (
	"strconv"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/store"
)

// Pseudo-terminals (pty(7)): the master side, and devpts.

// openPtmx makes a pseudo-terminal and opens its master. The terminal is
// locked until TIOCSPTLCK unlocks it.
func (k *Kernel) openPtmx(c *Call, access, flags uint32) (store.Ref[File], abi.Errno) {
	r, e := k.newTTY(ttyPty)
	if e != 0 {
		return 0, e
	}
	idx := k.freeIndex()
	f, file, e := k.NewFile(FilePty, access, flags&(OpenNonblock|OpenAppend))
	if e != 0 {
		m := k.TTYs.Mut(r)
		k.ringFree(&m.Out)
		k.Heap.FreeBlock(m.In)
		k.TTYs.Free(r)
		return 0, e
	}
	m := k.TTYs.Mut(r)
	m.Index, m.Master, m.Locked = idx, 1, 1
	m.Mode, m.GID = 0o620, 5
	if c.T != 0 {
		m.UID = c.Cred().FSUID
	}
	file.Obj = uint32(r)
	k.tty.byIndex[idx] = r
	return f, 0
}

type ptyOps struct{ BaseOps }

func (o ptyOps) of(f store.Ref[File]) (store.Ref[TTY], *TTY) {
	r := store.Ref[TTY](o.K.Files.Get(f).Obj)
	return r, o.K.TTYs.Get(r)
}

func (o ptyOps) Read(c *Call, f store.Ref[File], buf []byte, off int64) (int, abi.Errno) {
	k := o.K
	if off >= 0 {
		return 0, abi.ESPIPE
	}
	if len(buf) == 0 {
		return 0, 0
	}
	r, _ := o.of(f)
	for {
		t := k.TTYs.Get(r)
		if t.Packet != 0 {
			if t.PktStatus != 0 {
				m := k.TTYs.Mut(r)
				buf[0] = byte(m.PktStatus)
				m.PktStatus = 0
				return 1, 0
			}
			if t.Out.used() > 0 {
				n := 0
				if len(buf) > 1 {
					n = k.ringTake(&k.TTYs.Mut(r).Out, buf[1:])
					k.ttyWakeOut(r)
				}
				buf[0] = 0
				return n + 1, 0
			}
		} else if t.Out.used() > 0 {
			n := k.ringTake(&k.TTYs.Mut(r).Out, buf)
			c.took = taken{head: t.Out.Head, buf: t.Out.Buf}
			k.ttyWakeOut(r)
			return n, 0
		}
		if t.Opens == 0 && t.Opened != 0 {
			return 0, abi.EIO
		}
		if k.nonblock(f) {
			return 0, abi.EAGAIN
		}
		if e := c.Sleep(NoDeadline, &k.tty.rt.at(r).mq); e != 0 {
			return 0, e
		}
	}
}

func (o ptyOps) Write(c *Call, f store.Ref[File], data []byte, off int64) (int, abi.Errno) {
	k := o.K
	if off >= 0 {
		return 0, abi.ESPIPE
	}
	r, _ := o.of(f)
	base := c.Thread().Progress
	done := 0
	for {
		t := k.TTYs.Get(r)
		if t.Opens == 0 && t.Opened != 0 {
			return done, errIfNone(done, abi.EIO)
		}
		if done == len(data) {
			return done, 0
		}
		if !t.inputFull() {
			n := min(len(data)-done, 256)
			k.ttyInput(r, data[done:done+n])
			done += n
			continue
		}
		if k.nonblock(f) {
			return done, errIfNone(done, abi.EAGAIN)
		}
		if done > 0 {
			c.MutThread().Progress = base + uint64(done)
		}
		if e := c.Sleep(NoDeadline, &k.tty.rt.at(r).mq); e != 0 {
			return done, errIfNone(done, e)
		}
	}
}

func (o ptyOps) Poll(f store.Ref[File]) uint32 {
	_, t := o.of(f)
	var m uint32
	if t.Out.used() > 0 {
		m |= PollIn | PollRdNorm
	}
	if t.Packet != 0 && t.PktStatus != 0 {
		m |= PollPri | PollIn | PollRdNorm
	}
	if t.Opens == 0 && t.Opened != 0 {
		m |= PollHup
	}
	if !t.inputFull() {
		m |= PollOut | PollWrNorm
	}
	return m
}

func (o ptyOps) Queue(f store.Ref[File]) *WaitQueue {
	r, _ := o.of(f)
	return &o.K.tty.rt.at(r).mq
}

func (o ptyOps) Ioctl(c *Call, f store.Ref[File], req uint32, arg uint64) (uint64, abi.Errno) {
	k := o.K
	r, t := o.of(f)
	switch req {
	case ioTIOCGPTN:
		c.CopyOut32(arg, t.Index)
	case ioTIOCSPTLCK, ioTIOCPKT:
		v, e := c.CopyIn32(arg)
		if e != 0 {
			return 0, e
		}
		on := uint32(0)
		if v != 0 {
			on = 1
		}
		m := k.TTYs.Mut(r)
		if req == ioTIOCSPTLCK {
			m.Locked = on
		} else {
			if m.Packet != on {
				m.PktStatus = 0
			}
			m.Packet = on
		}
	case ioTIOCGPTLCK:
		c.CopyOut32(arg, t.Locked)
	case ioTIOCGPKT:
		c.CopyOut32(arg, t.Packet)
	case ioTIOCSIG:
		sig := int32(arg)
		if sig != SIGINT && sig != SIGQUIT && sig != SIGTSTP {
			return 0, abi.EINVAL
		}
		if t.Pgrp > 0 {
			k.SignalPgrp(t.Pgrp, &SigInfo{Sig: sig, Code: 0x80})
		}
	case ioTIOCGPTPEER:
		return k.openPeer(c, r, uint32(arg))
	case ioFIONREAD:
		c.CopyOut32(arg, uint32(t.Out.used()))
	case ioTIOCOUTQ:
		c.CopyOut32(arg, 0)
	case ioTIOCSCTTY, ioTIOCNOTTY:
		return 0, abi.ENOTTY
	default:
		return k.ttyIoctl(c, r, req, arg, true)
	}
	return 0, 0
}

// openPeer opens the terminal side for TIOCGPTPEER; arg are Linux's open flags.
func (k *Kernel) openPeer(c *Call, r store.Ref[TTY], arg uint32) (uint64, abi.Errno) {
	if k.TTYs.Get(r).Locked != 0 {
		return 0, abi.EIO
	}
	access := uint32(AccessRead)
	switch arg & 3 {
	case 1:
		access = AccessWrite
	case 2:
		access = AccessRead | AccessWrite
	}
	var flags, fdf uint32
	if arg&0o4000 != 0 {
		flags |= OpenNonblock
	}
	if arg&0o400 != 0 {
		flags |= OpenNoctty
	}
	if arg&0o2000000 != 0 {
		fdf = FDCloexec
	}
	f, e := c.openByName(r, access, flags)
	if e != 0 {
		return 0, e
	}
	fd, e := c.InstallFD(f, 0, fdf)
	if e != 0 {
		k.HoldFile(f)
		k.DropFile(c, f)
		return 0, e
	}
	return uint64(uint32(fd)), 0
}

func (o ptyOps) Stat(c *Call, f store.Ref[File]) (fs.Attr, abi.Errno) {
	_, t := o.of(f)
	tm := timeOf(t.Time)
	return fs.Attr{Ino: 2, Mode: fs.TypeChr | 0o666, Nlink: 1, Rdev: MakeDev(5, 2), BlkSize: 4096, Atime: tm, Mtime: tm, Ctime: tm}, 0
}

func (o ptyOps) Release(c *Call, f store.Ref[File]) {
	k := o.K
	r, _ := o.of(f)
	m := k.TTYs.Mut(r)
	m.Master = 0
	m.Packet = 0
	delete(k.tty.byIndex, m.Index)
	k.TTYHangup(r)
	k.ttyMaybeFree(r)
}

func (o ptyOps) LinkName(store.Ref[File]) string { return "/dev/ptmx" }

// devpts is the file system on /dev/pts: a node for each pseudo-terminal whose
// master is open and each session's terminal, and ptmx. Node ids are the index + 3; 2 is ptmx.
type devpts struct{ k *Kernel }

const ptmxNode = fs.NodeID(2)

// NewDevPts makes the file system of pseudo-terminals.
func (k *Kernel) NewDevPts() CoreFS { return devpts{k} }

func (d devpts) tty(n fs.NodeID) store.Ref[TTY] {
	if n < 3 {
		return 0
	}
	return d.k.tty.byIndex[uint32(n-3)]
}

func (d devpts) Lookup(c *Call, dir fs.NodeID, name string) (fs.NodeID, abi.Errno) {
	if dir != fs.RootID {
		return 0, abi.ENOTDIR
	}
	if name == "ptmx" {
		return ptmxNode, 0
	}
	i, err := strconv.ParseUint(name, 10, 20)
	if err != nil || strconv.FormatUint(i, 10) != name || d.k.tty.byIndex[uint32(i)] == 0 {
		return 0, abi.ENOENT
	}
	return fs.NodeID(i + 3), 0
}

func (d devpts) Attr(c *Call, n fs.NodeID) (fs.Attr, abi.Errno) {
	t := timeOf(d.k.Globals().BootReal)
	switch n {
	case fs.RootID:
		return fs.Attr{Ino: 1, Mode: fs.TypeDir | 0o755, Nlink: 2, BlkSize: 1024, Atime: t, Mtime: t, Ctime: t}, 0
	case ptmxNode:
		return fs.Attr{Ino: 2, Mode: fs.TypeChr | 0o666, Nlink: 1, Rdev: MakeDev(5, 2), BlkSize: 1024, Atime: t, Mtime: t, Ctime: t}, 0
	}
	r := d.tty(n)
	if r == 0 {
		return fs.Attr{}, abi.ENOENT
	}
	return ttyAttr(d.k.TTYs.Get(r)), 0
}

func (d devpts) ReadDir(c *Call, dir fs.NodeID, cookie uint64, max int) ([]fs.DirEntry, abi.Errno) {
	if dir != fs.RootID {
		return nil, abi.ENOTDIR
	}
	var out []fs.DirEntry
	if cookie < 1 {
		out = append(out, fs.DirEntry{Ino: 2, Next: 1, Type: fs.TypeChr >> 12, Name: "ptmx"})
	}
	left := len(d.k.tty.byIndex)
	for i := uint64(0); left > 0; i++ {
		if d.k.tty.byIndex[uint32(i)] == 0 {
			continue
		}
		left--
		if i+2 <= cookie {
			continue
		}
		if max -= 24; max < 0 && len(out) > 0 {
			break
		}
		out = append(out, fs.DirEntry{Ino: i + 3, Next: i + 2, Type: fs.TypeChr >> 12, Name: strconv.FormatUint(i, 10)})
	}
	return out, 0
}

func (d devpts) ReadLink(*Call, fs.NodeID) (CoreLink, abi.Errno) { return CoreLink{}, abi.EINVAL }

func (d devpts) Open(c *Call, n fs.NodeID, v store.Ref[Vnode], access, flags uint32) (store.Ref[File], abi.Errno) {
	return 0, 0
}

func (d devpts) SetAttr(c *Call, n fs.NodeID, in *fs.SetAttrIn) abi.Errno {
	r := d.tty(n)
	if r == 0 {
		return abi.EPERM
	}
	m := d.k.TTYs.Mut(r)
	if in.Valid&fs.SetMode != 0 {
		m.Mode = in.Mode & 0o7777
	}
	if in.Valid&fs.SetUID != 0 {
		m.UID = in.UID
	}
	if in.Valid&fs.SetGID != 0 {
		m.GID = in.GID
	}
	return 0
}
