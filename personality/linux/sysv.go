package linux

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/server/unix/core"
	"hythe/store"
)

// System V semaphores and message queues (include/uapi/linux/sem.h, msg.h).
const (
	semGetpid  = 11
	semGetval  = 12
	semGetall  = 13
	semGetncnt = 14
	semGetzcnt = 15
	semSetval  = 16
	semSetall  = 17
	semStat    = 18
	semInfo    = 19
	semStatAny = 20
	semUndo    = 0x1000
	ipcNowait  = 0o4000
	semidSize  = 104

	msgStat    = 11
	msgInfo    = 12
	msgStatAny = 13
	msgNoerror = 0o10000
	msgExcept  = 0o20000
	msgCopy    = 0o40000
	msqidSize  = 120
)

func sysvCalls() []Entry {
	return []Entry{
		{Nr: 64, Name: "semget", Fn: sysSemget, Sig: "xix"},
		{Nr: 65, Name: "semop", Fn: sysSemop, Sig: "dpu"},
		{Nr: 66, Name: "semctl", Fn: sysSemctl, Sig: "didx"},
		{Nr: 68, Name: "msgget", Fn: sysMsgget, Sig: "xx"},
		{Nr: 69, Name: "msgsnd", Fn: sysMsgsnd, Sig: "dpux"},
		{Nr: 70, Name: "msgrcv", Fn: sysMsgrcv, Sig: "dpudx"},
		{Nr: 71, Name: "msgctl", Fn: sysMsgctl, Sig: "ddp"},
		{Nr: 220, Name: "semtimedop", Fn: sysSemtimedop, Sig: "dput"},
	}
}

// ipcAccess is the access that the mode bits in an IPC flag word ask for.
func ipcAccess(flags uint32) uint32 { return (flags>>6 | flags>>3 | flags) & 7 }

// putPerm encodes struct ipc64_perm.
func putPerm(c *core.Call, b []byte, p *core.IPCPerm) {
	le := binary.LittleEndian
	le.PutUint32(b, uint32(p.Key))
	for i, v := range []uint32{c.ShowUID(p.UID), c.ShowGID(p.GID), c.ShowUID(p.CUID), c.ShowGID(p.CGID), p.Mode} {
		le.PutUint32(b[4+4*i:], v)
	}
	le.PutUint16(b[24:], uint16(p.ID>>15)) // __seq
}

// setPerm decodes what IPC_SET may change. EINVAL for ids that are none.
func setPerm(c *core.Call, b []byte, p *core.IPCPerm) abi.Errno {
	le := binary.LittleEndian
	u, ok := c.MapUID(le.Uint32(b[4:]))
	g, ok2 := c.MapGID(le.Uint32(b[8:]))
	if !ok || !ok2 {
		return abi.EINVAL
	}
	p.UID, p.GID = u, g
	p.Mode = p.Mode&^0o777 | le.Uint32(b[20:])&0o777
	return 0
}

func put64s(b []byte, v ...uint64) {
	for i, x := range v {
		binary.LittleEndian.PutUint64(b[8*i:], x)
	}
}

func put32s(b []byte, v ...uint32) {
	for i, x := range v {
		binary.LittleEndian.PutUint32(b[4*i:], x)
	}
}

func sysSemget(p *Personality, c *core.Call) (uint64, abi.Errno) {
	key, n, flags := int32(c.Args[0]), int32(c.Args[1]), uint32(c.Args[2])
	k := c.K
	if n < 0 || n > core.SemPerSet {
		return 0, abi.EINVAL
	}
	var r store.Ref[core.SemSet]
	if key != 0 {
		r = k.SemKey(key)
	}
	if r == 0 {
		if key != 0 && flags&ipcCreat == 0 {
			return 0, abi.ENOENT
		}
		if n == 0 {
			return 0, abi.EINVAL
		}
		var e abi.Errno
		if r, e = c.SemNew(key, uint32(n), flags&0o777); e != 0 {
			return 0, e
		}
		return uint64(k.SemSets.Get(r).ID), 0
	}
	s := k.SemSets.Get(r)
	switch {
	case flags&(ipcCreat|ipcExcl) == ipcCreat|ipcExcl:
		return 0, abi.EEXIST
	case uint32(n) > s.N:
		return 0, abi.EINVAL
	case !c.IPCMay(&s.IPCPerm, ipcAccess(flags)):
		return 0, abi.EACCES
	}
	return uint64(s.ID), 0
}

func sysSemop(p *Personality, c *core.Call) (uint64, abi.Errno) { return semOperate(c, false) }

func sysSemtimedop(p *Personality, c *core.Call) (uint64, abi.Errno) {
	return semOperate(c, c.Args[3] != 0)
}

func semOperate(c *core.Call, timed bool) (uint64, abi.Errno) {
	id, n := int32(c.Args[0]), uint32(c.Args[2])
	ns := int64(0)
	if timed {
		b, e := c.StructArg(3, 16)
		if e != 0 {
			return 0, e
		}
		var ok bool
		if ns, ok = timespec(b); !ok {
			return 0, abi.EINVAL
		}
	}
	if n < 1 || id < 0 {
		return 0, abi.EINVAL
	}
	if n > core.SemOps {
		return 0, abi.E2BIG
	}
	b, e := c.CopyIn(c.Args[1], int(n)*6) // struct sembuf
	if e != 0 {
		return 0, e
	}
	ops := make([]core.SemOp, n)
	for i := range ops {
		x := b[6*i:]
		flags := binary.LittleEndian.Uint16(x[4:])
		ops[i] = core.SemOp{Num: binary.LittleEndian.Uint16(x), Op: int16(binary.LittleEndian.Uint16(x[2:])),
			NoWait: flags&ipcNowait != 0, Undo: flags&semUndo != 0}
	}
	deadline := core.NoDeadline
	if timed {
		deadline = until(c, ns)
	}
	return 0, c.SemOperate(id, ops, deadline)
}

func sysSemctl(p *Personality, c *core.Call) (uint64, abi.Errno) {
	id, num, cmd, arg := int32(c.Args[0]), int32(c.Args[1]), uint32(c.Args[2])&^0x100, c.Args[3]
	k := c.K
	if id < 0 {
		return 0, abi.EINVAL
	}
	switch cmd {
	case ipcInfo, semInfo: // struct seminfo
		used, highest, sems := uint32(0), uint64(0), uint32(0)
		k.SemSets.Each(func(r store.Ref[core.SemSet], s *core.SemSet) bool {
			used++
			highest = max(highest, uint64(r-1))
			sems += s.N
			return true
		})
		const all = core.IPCMax * core.SemPerSet
		b := make([]byte, 40)
		put32s(b, all, core.IPCMax, all, all, core.SemPerSet, core.SemOps, core.SemOps, 20, core.SemMax, core.SemMax)
		if cmd == semInfo {
			put32s(b[28:], used, core.SemMax, sems)
		}
		c.CopyOut(arg, b)
		return highest, 0
	case semSetval:
		if v := int32(arg); v < 0 || v > core.SemMax {
			return 0, abi.ERANGE
		}
	case ipcStat, semStat, semStatAny, ipcSet, ipcRmid, semGetpid, semGetval, semGetall, semGetncnt, semGetzcnt, semSetall:
	default:
		return 0, abi.EINVAL
	}
	r := k.SemFind(id)
	if cmd == semStat || cmd == semStatAny { // by index
		r = 0
		if uint32(id) < core.IPCMax && k.SemSets.Get(store.Ref[core.SemSet](id)+1) != nil {
			r = store.Ref[core.SemSet](id) + 1
		}
	}
	if r == 0 {
		return 0, abi.EINVAL
	}
	s := k.SemSets.Get(r)
	may := func(want uint32) bool { return c.IPCMay(&k.SemSets.Get(r).IPCPerm, want) }
	switch cmd {
	case ipcStat, semStat, semStatAny:
		if cmd != semStatAny && !may(core.IPCRead) {
			return 0, abi.EACCES
		}
		b := make([]byte, semidSize) // struct semid64_ds
		putPerm(c, b, &s.IPCPerm)
		put64s(b[48:], uint64(s.OTime), 0, uint64(s.CTime), 0, uint64(s.N))
		c.CopyOut(arg, b)
		if cmd == ipcStat {
			return 0, 0
		}
		return uint64(s.ID), 0
	case ipcSet:
		b, e := c.CopyIn(arg, semidSize) // may give up the lock
		if e != 0 {
			return 0, e
		}
		if r = k.SemFind(id); r == 0 {
			return 0, abi.EINVAL
		}
		if !c.IPCOwner(&k.SemSets.Get(r).IPCPerm) {
			return 0, abi.EPERM
		}
		m := k.SemSets.Mut(r)
		if e := setPerm(c, b, &m.IPCPerm); e != 0 {
			return 0, e
		}
		m.CTime = k.Clock.Real() / 1e9
		return 0, 0
	case ipcRmid:
		if !c.IPCOwner(&s.IPCPerm) {
			return 0, abi.EPERM
		}
		k.SemRemove(r)
		return 0, 0
	case semGetall:
		if !may(core.IPCRead) {
			return 0, abi.EACCES
		}
		b := make([]byte, 2*s.N)
		for i := range s.N {
			v, _ := k.SemValue(r, i)
			binary.LittleEndian.PutUint16(b[2*i:], uint16(v))
		}
		c.CopyOut(arg, b)
		return 0, 0
	case semSetall:
		if !may(core.IPCWrite) {
			return 0, abi.EACCES
		}
		b, e := c.CopyIn(arg, int(2*s.N))
		if e != 0 {
			return 0, e
		}
		if r = k.SemFind(id); r == 0 {
			return 0, abi.EIDRM
		}
		values := make([]int32, len(b)/2)
		for i := range values {
			if values[i] = int32(binary.LittleEndian.Uint16(b[2*i:])); values[i] > core.SemMax {
				return 0, abi.ERANGE
			}
		}
		c.SemStore(r, 0, values)
		return 0, 0
	}
	write := cmd == semSetval
	if write && uint32(num) >= s.N { // looked at in this order
		return 0, abi.EINVAL
	}
	if want := uint32(core.IPCRead); !write && !may(want) || write && !may(core.IPCWrite) {
		return 0, abi.EACCES
	}
	if uint32(num) >= s.N {
		return 0, abi.EINVAL
	}
	value, pid := k.SemValue(r, uint32(num))
	switch cmd {
	case semSetval:
		c.SemStore(r, uint32(num), []int32{int32(arg)})
		return 0, 0
	case semGetval:
		return uint64(value), 0
	case semGetpid:
		return uint64(pid), 0
	}
	return uint64(k.SemWaiting(r, uint32(num), cmd == semGetzcnt)), 0
}

func sysMsgget(p *Personality, c *core.Call) (uint64, abi.Errno) {
	key, flags := int32(c.Args[0]), uint32(c.Args[1])
	k := c.K
	var r store.Ref[core.MsgQ]
	if key != 0 {
		r = k.MsgKey(key)
	}
	if r == 0 {
		if key != 0 && flags&ipcCreat == 0 {
			return 0, abi.ENOENT
		}
		var e abi.Errno
		if r, e = c.MsgNew(key, flags&0o777); e != 0 {
			return 0, e
		}
		return uint64(k.MsgQs.Get(r).ID), 0
	}
	q := k.MsgQs.Get(r)
	switch {
	case flags&(ipcCreat|ipcExcl) == ipcCreat|ipcExcl:
		return 0, abi.EEXIST
	case !c.IPCMay(&q.IPCPerm, ipcAccess(flags)):
		return 0, abi.EACCES
	}
	return uint64(q.ID), 0
}

func sysMsgsnd(p *Personality, c *core.Call) (uint64, abi.Errno) {
	id, buf, n, flags := int32(c.Args[0]), c.Args[1], c.Args[2], uint32(c.Args[3])
	// struct msgbuf; a type that is none is found before text that is not there.
	b, e := c.CopyIn(buf, 8+int(min(n, core.MsgMax)))
	typ := int64(0)
	if e == 0 {
		typ = int64(binary.LittleEndian.Uint64(b))
	} else if t, e2 := c.CopyIn64(buf); e2 == 0 {
		typ = int64(t)
	} else {
		return 0, e
	}
	switch {
	case n > core.MsgMax || id < 0 || typ < 1:
		return 0, abi.EINVAL
	case e != 0:
		return 0, e
	}
	return 0, c.MsgSend(id, typ, append([]byte(nil), b[8:]...), flags&ipcNowait != 0)
}

func sysMsgrcv(p *Personality, c *core.Call) (uint64, abi.Errno) {
	id, buf, n, flags := int32(c.Args[0]), c.Args[1], c.Args[2], uint32(c.Args[4])
	if id < 0 || int64(n) < 0 {
		return 0, abi.EINVAL
	}
	w := core.MsgWant{Size: n, Type: int64(c.Args[3]), Except: flags&msgExcept != 0, Copy: flags&msgCopy != 0,
		Cut: flags&msgNoerror != 0, NoWait: flags&ipcNowait != 0}
	if w.Copy && (w.Except || !w.NoWait) {
		return 0, abi.EINVAL
	}
	typ, text, e := c.MsgReceive(id, w)
	if e != 0 {
		return 0, e
	}
	c.CopyOut64(buf, uint64(typ))
	c.CopyOut(buf+8, text)
	return uint64(len(text)), 0
}

func sysMsgctl(p *Personality, c *core.Call) (uint64, abi.Errno) {
	id, cmd, buf := int32(c.Args[0]), uint32(c.Args[1])&^0x100, c.Args[2]
	k := c.K
	if id < 0 {
		return 0, abi.EINVAL
	}
	switch cmd {
	case ipcInfo, msgInfo: // struct msginfo
		used, highest, num, bytes := uint32(0), uint64(0), uint64(0), uint64(0)
		k.MsgQs.Each(func(r store.Ref[core.MsgQ], q *core.MsgQ) bool {
			used++
			highest = max(highest, uint64(r-1))
			num += q.Num
			bytes += q.Bytes
			return true
		})
		b := make([]byte, 32)
		put32s(b, core.IPCMax*core.MsgQueue/1024, core.MsgQueue, core.MsgMax, core.MsgQueue, core.IPCMax, 16, core.MsgQueue, 0xffff)
		if cmd == msgInfo {
			put32s(b, used, uint32(num))
			put32s(b[24:], uint32(bytes))
		}
		c.CopyOut(buf, b)
		return highest, 0
	case ipcStat, msgStat, msgStatAny, ipcSet, ipcRmid:
	default:
		return 0, abi.EINVAL
	}
	r := k.MsgFind(id)
	if cmd == msgStat || cmd == msgStatAny { // by index
		r = 0
		if uint32(id) < core.IPCMax && k.MsgQs.Get(store.Ref[core.MsgQ](id)+1) != nil {
			r = store.Ref[core.MsgQ](id) + 1
		}
	}
	if r == 0 {
		return 0, abi.EINVAL
	}
	q := k.MsgQs.Get(r)
	switch cmd {
	case ipcSet:
		b, e := c.CopyIn(buf, msqidSize) // may give up the lock
		if e != 0 {
			return 0, e
		}
		if r = k.MsgFind(id); r == 0 {
			return 0, abi.EINVAL
		}
		if !c.IPCOwner(&k.MsgQs.Get(r).IPCPerm) {
			return 0, abi.EPERM
		}
		room := binary.LittleEndian.Uint64(b[88:])
		if room > core.MsgQueue && !c.Capable(core.CapSysResource) {
			return 0, abi.EPERM
		}
		if e := setPerm(c, b, &k.MsgQs.Mut(r).IPCPerm); e != 0 {
			return 0, e
		}
		k.MsgSet(r, room)
		return 0, 0
	case ipcRmid:
		if !c.IPCOwner(&q.IPCPerm) {
			return 0, abi.EPERM
		}
		k.MsgRemove(r)
		return 0, 0
	}
	if cmd != msgStatAny && !c.IPCMay(&q.IPCPerm, core.IPCRead) {
		return 0, abi.EACCES
	}
	b := make([]byte, msqidSize) // struct msqid64_ds
	putPerm(c, b, &q.IPCPerm)
	put64s(b[48:], uint64(q.STime), uint64(q.RTime), uint64(q.CTime), q.Bytes, q.Num, q.Room)
	put32s(b[96:], uint32(q.SPid), uint32(q.RPid))
	c.CopyOut(buf, b)
	if cmd == ipcStat {
		return 0, 0
	}
	return uint64(q.ID), 0
}
