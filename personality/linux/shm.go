package linux

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/personality/image"
	"hythe/server/unix/core"
	"hythe/store"
)

// System V shared memory (include/uapi/linux/ipc.h, shm.h).
const (
	ipcCreat    = 0o1000
	ipcExcl     = 0o2000
	ipcRmid     = 0
	ipcSet      = 1
	ipcStat     = 2
	ipcInfo     = 3
	shmLock     = 11
	shmUnlock   = 12
	shmStat     = 13
	shmInfo     = 14
	shmStatAny  = 15
	shmHugetlb  = 0o4000
	shmRdonly   = 0o10000
	shmRnd      = 0o20000
	shmRemap    = 0o40000
	shmExec     = 0o100000
	shmDest     = 0o1000
	shmidSize   = 112
	shmMaxBytes = 0xfffffffffeffffff // SHMMAX
)

func shmCalls() []Entry {
	return []Entry{
		{Nr: 29, Name: "shmget", Fn: sysShmget, Sig: "xux", Level: Partial, Note: "no huge pages"},
		{Nr: 30, Name: "shmat", Fn: sysShmat, Sig: "dpx"},
		{Nr: 31, Name: "shmctl", Fn: sysShmctl, Sig: "dup", Level: Partial, Note: "SHM_LOCK locks nothing"},
		{Nr: 67, Name: "shmdt", Fn: sysShmdt, Sig: "p"},
	}
}

func sysShmget(p *Personality, c *core.Call) (uint64, abi.Errno) {
	key, size, flags := int32(c.Args[0]), c.Args[1], uint32(c.Args[2])
	k := c.K
	for {
		var r store.Ref[core.ShmSeg]
		if key != 0 {
			r = k.ShmKey(key)
		}
		if r == 0 {
			switch {
			case key != 0 && flags&ipcCreat == 0:
				return 0, abi.ENOENT
			case size == 0 || size > shmMaxBytes || flags&shmHugetlb != 0:
				return 0, abi.EINVAL
			}
			r, e := c.ShmNew(key, size, flags&0o777)
			if e == abi.EEXIST {
				continue
			}
			if e != 0 {
				return 0, e
			}
			return uint64(k.Shms.Get(r).ID), 0
		}
		s := k.Shms.Get(r)
		switch {
		case flags&(ipcCreat|ipcExcl) == ipcCreat|ipcExcl:
			return 0, abi.EEXIST
		case !c.IPCMay(&s.IPCPerm, ipcAccess(flags)):
			return 0, abi.EACCES
		case size > s.Size:
			return 0, abi.EINVAL
		}
		return uint64(s.ID), 0
	}
}

func sysShmat(p *Personality, c *core.Call) (uint64, abi.Errno) {
	addr, flags := c.Args[1], c.Args[2]
	k := c.K
	r := k.ShmFind(int32(c.Args[0]))
	if int32(c.Args[0]) < 0 || r == 0 {
		return 0, abi.EINVAL
	}
	if flags&shmRnd != 0 {
		addr &^= abi.PageSize - 1
	}
	if addr&(abi.PageSize-1) != 0 || addr == 0 && flags&shmRemap != 0 {
		return 0, abi.EINVAL
	}
	s := k.Shms.Get(r)
	want, prot := uint32(core.IPCRead|core.IPCWrite), uint64(protRead|protWrite)
	if flags&shmRdonly != 0 {
		want, prot = core.IPCRead, protRead
	}
	if flags&shmExec != 0 {
		want |= 1
		prot |= protExec
	}
	if !c.IPCMay(&s.IPCPerm, want) {
		return 0, abi.EACCES
	}
	size := (s.Size + abi.PageSize - 1) &^ (abi.PageSize - 1)
	host := uint64(mapShared | mapFixedNR)
	if addr == 0 {
		// The place is ours to choose, so that it is known before the mapping.
		m := c.MutProc()
		if size > copySize || m.MapNext+size+4096 > copySize {
			return 0, abi.ENOMEM
		}
		addr = copyBase + m.MapNext
		m.MapNext += size + 4096
	} else if addr >= image.GuestEnd || size > image.GuestEnd-addr {
		return 0, abi.EINVAL
	} else if flags&shmRemap != 0 {
		host = mapShared | mapFixed
	} else {
		// Seen before anything is changed: an attachment that fails on the host is
		// counted all the same.
		taken, e := c.Mapped(addr, addr+size)
		if e != 0 || taken {
			return 0, abi.EINVAL
		}
		if r = k.ShmFind(int32(c.Args[0])); r == 0 {
			return 0, abi.EIDRM
		}
		s = k.Shms.Get(r)
	}
	if e := c.ShmAttach(r, addr); e != 0 {
		return 0, e
	}
	tag := k.NextGrant()
	k.Host.Grant(c.Task, s.Object, flags&shmRdonly != 0, tag)
	c.Act(abi.ActMapObject, uint32(tag)<<8, addr, size, prot, host, 0)
	c.Act(abi.ActDropGrant, abi.ActIgnore, tag)
	return addr, 0
}

func sysShmdt(p *Personality, c *core.Call) (uint64, abi.Errno) {
	if c.Args[0]&(abi.PageSize-1) != 0 {
		return 0, abi.EINVAL
	}
	gone, e := c.ShmDetach(c.Args[0])
	if e != 0 {
		return 0, e
	}
	for _, x := range gone {
		c.Act(abi.ActUnmap, 0, x[0], x[1]-x[0])
	}
	return 0, 0
}

func sysShmctl(p *Personality, c *core.Call) (uint64, abi.Errno) {
	id, cmd, buf := int32(c.Args[0]), uint32(c.Args[1])&^0x100, c.Args[2] // IPC_64 is the only form
	k := c.K
	le := binary.LittleEndian
	if id < 0 {
		return 0, abi.EINVAL
	}
	used, highest, pages := 0, uint64(0), uint64(0)
	k.Shms.Each(func(r store.Ref[core.ShmSeg], s *core.ShmSeg) bool {
		used++
		highest = max(highest, uint64(r-1))
		pages += (s.Size + abi.PageSize - 1) / abi.PageSize
		return true
	})
	switch cmd {
	case ipcInfo: // struct shminfo64
		b := make([]byte, 72)
		le.PutUint64(b, shmMaxBytes)
		le.PutUint64(b[8:], 1)
		le.PutUint64(b[16:], core.ShmMax)
		le.PutUint64(b[24:], core.ShmMax)
		le.PutUint64(b[32:], shmMaxBytes)
		c.CopyOut(buf, b)
		return highest, 0
	case shmInfo: // struct shm_info
		b := make([]byte, 48)
		le.PutUint32(b, uint32(used))
		le.PutUint64(b[8:], pages)
		le.PutUint64(b[16:], pages)
		c.CopyOut(buf, b)
		return highest, 0
	}
	var r store.Ref[core.ShmSeg]
	if cmd == shmStat || cmd == shmStatAny { // by index
		if uint32(id) < core.ShmMax && k.Shms.Get(store.Ref[core.ShmSeg](id)+1) != nil {
			r = store.Ref[core.ShmSeg](id) + 1
		}
	} else {
		r = k.ShmFind(id)
	}
	if r == 0 {
		return 0, abi.EINVAL
	}
	s := k.Shms.Get(r)
	switch cmd {
	case ipcStat, shmStat, shmStatAny:
		if cmd != shmStatAny && !c.IPCMay(&s.IPCPerm, core.IPCRead) {
			return 0, abi.EACCES
		}
		gen := k.Shms.Gen(r)
		c.ShmCount(r)
		if s = k.Shms.Get(r); s == nil || k.Shms.Gen(r) != gen {
			return 0, abi.EINVAL
		}
		b := make([]byte, shmidSize) // struct shmid64_ds
		le.PutUint32(b, uint32(s.Key))
		for i, v := range []uint32{c.ShowUID(s.UID), c.ShowGID(s.GID), c.ShowUID(s.CUID), c.ShowGID(s.CGID), s.Mode | s.Removed*shmDest} {
			le.PutUint32(b[4+4*i:], v)
		}
		le.PutUint16(b[24:], uint16(s.ID/core.ShmMax)) // __seq
		le.PutUint64(b[48:], s.Size)
		for i, v := range []int64{s.ATime, s.DTime, s.CTime} {
			le.PutUint64(b[56+8*i:], uint64(v))
		}
		le.PutUint32(b[80:], uint32(s.CPid))
		le.PutUint32(b[84:], uint32(s.LPid))
		le.PutUint64(b[88:], uint64(s.Attached))
		c.CopyOut(buf, b)
		if cmd == ipcStat {
			return 0, 0
		}
		return uint64(s.ID), 0
	case ipcSet:
		b, e := c.CopyIn(buf, shmidSize) // may give up the lock
		if e != 0 {
			return 0, e
		}
		if r = k.ShmFind(id); r == 0 {
			return 0, abi.EIDRM
		}
		if !c.IPCOwner(&k.Shms.Get(r).IPCPerm) {
			return 0, abi.EPERM
		}
		u, ok := c.MapUID(le.Uint32(b[4:]))
		g, ok2 := c.MapGID(le.Uint32(b[8:]))
		if !ok || !ok2 {
			return 0, abi.EINVAL
		}
		m := k.Shms.Mut(r)
		m.UID, m.GID = u, g
		m.Mode = m.Mode&^0o777 | le.Uint32(b[20:])&0o777
		m.CTime = k.Clock.Real() / 1e9
		return 0, 0
	case ipcRmid:
		if !c.IPCOwner(&s.IPCPerm) {
			return 0, abi.EPERM
		}
		gen := k.Shms.Gen(r)
		c.ShmCount(r)
		if k.Shms.Get(r) == nil || k.Shms.Gen(r) != gen {
			return 0, abi.EINVAL
		}
		k.ShmRemove(r)
		return 0, 0
	case shmLock, shmUnlock:
		if !c.IPCOwner(&s.IPCPerm) && !c.Capable(core.CapIpcLock) {
			return 0, abi.EPERM
		}
		return 0, 0
	}
	return 0, abi.EINVAL
}
