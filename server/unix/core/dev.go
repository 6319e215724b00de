package core

import (
	"crypto/rand"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/store"
)

type devKey struct {
	major uint32
	minor int32
}

// DevOpen opens a device: the answer is an open file without references, whose
// Vnode the caller sets.
type DevOpen func(c *Call, rdev uint64, access, flags uint32) (store.Ref[File], abi.Errno)

// SetDev registers the opener of character device major, minor (-1: all minors
// that have no opener of their own).
func (k *Kernel) SetDev(major uint32, minor int32, open DevOpen) {
	k.vfs.devs[devKey{major, minor}] = open
}

// Major and Minor take Linux's 64-bit dev_t apart (new_encode_dev).
func Major(d uint64) uint32 { return uint32(d>>8&0xfff | d>>32&^0xfff) }

// Minor is Major's other half.
func Minor(d uint64) uint32 { return uint32(d&0xff | d>>12&^0xff) }

// MakeDev puts a device number together.
func MakeDev(major, minor uint32) uint64 {
	return uint64(minor&0xff) | uint64(major&0xfff)<<8 | uint64(minor&^0xff)<<12 | uint64(major&^0xfff)<<32
}

func (k *Kernel) openDev(c *Call, typ uint32, rdev uint64, access, flags uint32) (store.Ref[File], abi.Errno) {
	if typ == fs.TypeChr {
		if fn := k.vfs.devs[devKey{Major(rdev), int32(Minor(rdev))}]; fn != nil {
			return fn(c, rdev, access, flags)
		}
		if fn := k.vfs.devs[devKey{Major(rdev), -1}]; fn != nil {
			return fn(c, rdev, access, flags)
		}
	}
	return 0, abi.ENXIO
}

// Minors of the memory devices (major 1; Linux's admin-guide/devices.rst).
const (
	devNull    = 3
	devZero    = 5
	devFull    = 7
	devRandom  = 8
	devURandom = 9
	devKmsg    = 11
)

func (k *Kernel) initDev() {
	k.SetOps(FileDev, &memDevOps{BaseOps{k}})
	for _, minor := range []int32{devNull, devZero, devFull, devRandom, devURandom, devKmsg} {
		k.SetDev(1, minor, func(c *Call, rdev uint64, access, flags uint32) (store.Ref[File], abi.Errno) {
			r, f, e := k.NewFile(FileDev, access, flags&OpenFlagsSettable)
			if e != 0 {
				return 0, e
			}
			f.Obj = Minor(rdev)
			return r, 0
		})
	}
}

// memDevOps are the memory devices; File.Obj is the minor number.
type memDevOps struct{ BaseOps }

// Read implements FileOps.
func (o *memDevOps) Read(c *Call, f store.Ref[File], buf []byte, off int64) (int, abi.Errno) {
	switch o.K.Files.Get(f).Obj {
	case devZero, devFull:
		clear(buf)
		return len(buf), 0
	case devRandom, devURandom:
		// Filled apart: the buffer may be shared with the guest.
		var b [4096]byte
		for i := 0; i < len(buf); i += len(b) {
			if _, err := rand.Read(b[:]); err != nil {
				return i, abi.EIO
			}
			copy(buf[i:], b[:])
		}
		return len(buf), 0
	case devKmsg:
		return 0, abi.EAGAIN
	}
	return 0, 0
}

// Write implements FileOps.
func (o *memDevOps) Write(c *Call, f store.Ref[File], data []byte, off int64) (int, abi.Errno) {
	switch o.K.Files.Get(f).Obj {
	case devFull:
		return 0, abi.ENOSPC
	case devKmsg:
		line := data
		if len(line) > 1024 {
			line = line[:1024]
		}
		o.K.Host.Log("kmsg: " + string(line))
	}
	return len(data), 0
}

// Stat implements FileOps.
func (o *memDevOps) Stat(c *Call, f store.Ref[File]) (fs.Attr, abi.Errno) {
	n := o.K.nodeOf(o.K.Files.Get(f).Vnode)
	if n == nil {
		return o.BaseOps.Stat(c, f)
	}
	e := c.refresh(n, false)
	return n.attr, e
}

// Seek implements FileOps: the offset of null and zero stays 0.
func (o *memDevOps) Seek(c *Call, f store.Ref[File], off int64, whence int) (int64, abi.Errno) {
	if whence < 0 || whence > 2 {
		return 0, abi.EINVAL
	}
	return 0, 0
}

// Ioctl implements FileOps: RNDGETENTCNT for the random devices.
func (o *memDevOps) Ioctl(c *Call, f store.Ref[File], req uint32, arg uint64) (uint64, abi.Errno) {
	if m := o.K.Files.Get(f).Obj; (m == devRandom || m == devURandom) && req == 0x80045200 {
		c.CopyOut32(arg, 256)
		return 0, 0
	}
	return 0, abi.ENOTTY
}

// Sync implements FileOps.
func (o *memDevOps) Sync(*Call, store.Ref[File], bool) abi.Errno { return abi.EINVAL }

// Release implements FileOps.
func (o *memDevOps) Release(c *Call, f store.Ref[File]) {
	if v := o.K.Files.Get(f).Vnode; v != 0 {
		o.K.DropVnode(v)
	}
}

// LinkName implements FileOps.
func (o *memDevOps) LinkName(f store.Ref[File]) string {
	return o.K.VnodePath(o.K.Files.Get(f).Vnode)
}
