package core

import (
	"hythe/abi"
	"hythe/idl/fs"
	"hythe/store"
)

// memfdLabel is the label of the file server that keeps memfds.
const memfdLabel = "memfd"

// Memfd makes an unnamed file in memory (memfd_create(2)): open for reading
// and writing, with no reference yet. sealing allows seals, noexec takes the
// execute bits off. ENODEV without a server attached under "memfd".
func (c *Call) Memfd(name string, sealing, noexec bool) (store.Ref[File], abi.Errno) {
	k := c.K
	if k.vfs.memfd == nil {
		// With a mode, which nobody sees: the server must not be asked by any but
		// this call, which has the role of polling and gives it to another when it waits.
		if e := k.mountFS("", memfdLabel, "tmpfs", "memfd", MountNosuid, 0o700); e != 0 {
			return 0, e
		}
		k.Mounts.Each(func(r store.Ref[Mount], _ *Mount) bool {
			if m := k.vfs.mounts[r]; m != nil && m.label == memfdLabel {
				k.vfs.memfd = m
			}
			return true
		})
	}
	cr := c.cred()
	mode := uint32(fs.TypeReg | 0o777)
	if noexec {
		mode &^= 0o111
	}
	r, e := c.createTemp(k.vfs.memfd.root, "memfd:"+name, mode, fs.Cred{UID: cr.FSUID, GID: cr.FSGID},
		FileMemfd, AccessRead|AccessWrite, OpenLargefile)
	if e != 0 {
		return 0, e
	}
	if !sealing || noexec {
		s := uint32(0)
		if !sealing {
			s = SealSeal
		}
		k.Vnodes.Mut(k.Files.Get(r).Vnode).Seals = s
	}
	return r, 0
}

// AddSeals adds to a memfd's seals. EINVAL (no memfd, unknown seals), EPERM
// (sealed, or not open for writing), EBUSY (to be written no more, and mapped
// shared by a descriptor that may write).
func (c *Call) AddSeals(f store.Ref[File], seals uint32) abi.Errno {
	k := c.K
	file := k.Files.Get(f)
	if file.Access&AccessWrite == 0 {
		return abi.EPERM
	}
	if file.Kind != FileMemfd {
		return abi.EINVAL
	}
	if seals&^uint32(0x3f) != 0 {
		return abi.EINVAL
	}
	v := file.Vnode
	if k.sealsOf(v)&SealSeal != 0 {
		return abi.EPERM
	}
	if seals&^k.sealsOf(v)&SealWrite != 0 {
		if e := c.setAttr(k.nodeOf(v), &fs.SetAttrIn{Valid: fs.SetSealed}); e != 0 {
			return e
		}
		if k.sealsOf(v)&SealSeal != 0 {
			return abi.EPERM // another's, meanwhile
		}
	}
	k.Vnodes.Mut(v).Seals |= seals
	return 0
}

// GetSeals answers a memfd's seals. EINVAL.
func (c *Call) GetSeals(f store.Ref[File]) (uint32, abi.Errno) {
	file := c.K.Files.Get(f)
	if file.Kind != FileMemfd {
		return 0, abi.EINVAL
	}
	return c.K.sealsOf(file.Vnode), 0
}
