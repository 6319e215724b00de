package linux

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/server/unix/core"
)

func credCalls() []Entry {
	word := func(nr uint16, name string, w uint8, get func(*core.Call) uint32) Entry {
		return Entry{Nr: nr, Name: name, Local: abi.LocalWord, LocalArg: w,
			Fn: func(p *Personality, c *core.Call) (uint64, abi.Errno) { return uint64(get(c)), 0 }}
	}
	return []Entry{
		word(102, "getuid", abi.TaskUid, func(c *core.Call) uint32 { return c.ShowUID(c.Cred().UID) }),
		word(104, "getgid", abi.TaskGid, func(c *core.Call) uint32 { return c.ShowGID(c.Cred().GID) }),
		word(107, "geteuid", abi.TaskEuid, func(c *core.Call) uint32 { return c.ShowUID(c.Cred().EUID) }),
		word(108, "getegid", abi.TaskEgid, func(c *core.Call) uint32 { return c.ShowGID(c.Cred().EGID) }),
		{Nr: 105, Name: "setuid", Fn: sysSetuid, Sig: "u"},
		{Nr: 106, Name: "setgid", Fn: sysSetgid, Sig: "u"},
		{Nr: 113, Name: "setreuid", Fn: sysSetreuid, Sig: "ii"},
		{Nr: 114, Name: "setregid", Fn: sysSetregid, Sig: "ii"},
		{Nr: 115, Name: "getgroups", Fn: sysGetgroups, Sig: "ip"},
		{Nr: 116, Name: "setgroups", Fn: sysSetgroups, Sig: "ip", Level: Partial, Note: "at most 64 groups"},
		{Nr: 117, Name: "setresuid", Fn: sysSetresuid, Sig: "iii"},
		{Nr: 118, Name: "getresuid", Fn: sysGetresuid, Sig: "ppp"},
		{Nr: 119, Name: "setresgid", Fn: sysSetresgid, Sig: "iii"},
		{Nr: 120, Name: "getresgid", Fn: sysGetresgid, Sig: "ppp"},
		{Nr: 122, Name: "setfsuid", Fn: sysSetfsuid, Sig: "u"},
		{Nr: 123, Name: "setfsgid", Fn: sysSetfsgid, Sig: "u"},
		{Nr: 125, Name: "capget", Fn: sysCapget, Sig: "pp"},
		{Nr: 126, Name: "capset", Fn: sysCapset, Sig: "pp"},
	}
}

const keepID = ^uint32(0)

// idArg maps an id that a program gave, but for keepID; false: its namespace has
// none for it.
func idArg(a uint64, m func(uint32) (uint32, bool)) (uint32, bool) {
	if uint32(a) == keepID {
		return keepID, true
	}
	return m(uint32(a))
}

// commit stores changed credentials: EAGAIN when there is no room.
func commit(c *core.Call, n *core.Cred) abi.Errno {
	old := *c.Cred()
	if *n == old {
		return 0
	}
	if !c.SetCred(n) {
		return abi.EAGAIN
	}
	if n.EUID != old.EUID || n.EGID != old.EGID || n.FSUID != old.FSUID || n.FSGID != old.FSGID {
		m := c.MutProc()
		m.Dumpable = 0
		m.PDeathSig = 0
	}
	c.CredWords()
	return 0
}

func commitUID(c *core.Call, n *core.Cred) abi.Errno {
	old := *c.Cred()
	n.FSUID = n.EUID
	n.FixCaps(&old, old.Securebits&core.SecKeepCaps != 0, c.RootID())
	return commit(c, n)
}

func sysSetuid(p *Personality, c *core.Call) (uint64, abi.Errno) {
	id, ok := c.MapUID(uint32(c.Args[0]))
	if !ok {
		return 0, abi.EINVAL
	}
	n := *c.Cred()
	if c.NsCapable(core.CapSetuid) {
		n.UID, n.SUID = id, id
	} else if id != n.UID && id != n.SUID {
		return 0, abi.EPERM
	}
	n.EUID = id
	return 0, commitUID(c, &n)
}

func sysSetreuid(p *Personality, c *core.Call) (uint64, abi.Errno) {
	r, ok := idArg(c.Args[0], c.MapUID)
	e, ok2 := idArg(c.Args[1], c.MapUID)
	if !ok || !ok2 {
		return 0, abi.EINVAL
	}
	old := *c.Cred()
	n := old
	cap := c.NsCapable(core.CapSetuid)
	if r != keepID {
		if r != old.UID && r != old.EUID && !cap {
			return 0, abi.EPERM
		}
		n.UID = r
	}
	if e != keepID {
		if e != old.UID && e != old.EUID && e != old.SUID && !cap {
			return 0, abi.EPERM
		}
		n.EUID = e
	}
	if r != keepID || e != keepID && e != old.UID {
		n.SUID = n.EUID
	}
	return 0, commitUID(c, &n)
}

func sysSetresuid(p *Personality, c *core.Call) (uint64, abi.Errno) {
	old := *c.Cred()
	n := old
	to := [3]*uint32{&n.UID, &n.EUID, &n.SUID}
	for i := range to {
		if _, ok := idArg(c.Args[i], c.MapUID); !ok {
			return 0, abi.EINVAL
		}
	}
	for i := range to {
		v, _ := idArg(c.Args[i], c.MapUID)
		if v == keepID {
			continue
		}
		if v != old.UID && v != old.EUID && v != old.SUID && !c.NsCapable(core.CapSetuid) {
			return 0, abi.EPERM
		}
		*to[i] = v
	}
	return 0, commitUID(c, &n)
}

func sysSetgid(p *Personality, c *core.Call) (uint64, abi.Errno) {
	id, ok := c.MapGID(uint32(c.Args[0]))
	if !ok {
		return 0, abi.EINVAL
	}
	n := *c.Cred()
	if c.NsCapable(core.CapSetgid) {
		n.GID, n.SGID = id, id
	} else if id != n.GID && id != n.SGID {
		return 0, abi.EPERM
	}
	n.EGID, n.FSGID = id, id
	return 0, commit(c, &n)
}

func sysSetregid(p *Personality, c *core.Call) (uint64, abi.Errno) {
	r, ok := idArg(c.Args[0], c.MapGID)
	e, ok2 := idArg(c.Args[1], c.MapGID)
	if !ok || !ok2 {
		return 0, abi.EINVAL
	}
	old := *c.Cred()
	n := old
	cap := c.NsCapable(core.CapSetgid)
	if r != keepID {
		if r != old.GID && r != old.EGID && !cap {
			return 0, abi.EPERM
		}
		n.GID = r
	}
	if e != keepID {
		if e != old.GID && e != old.EGID && e != old.SGID && !cap {
			return 0, abi.EPERM
		}
		n.EGID = e
	}
	if r != keepID || e != keepID && e != old.GID {
		n.SGID = n.EGID
	}
	n.FSGID = n.EGID
	return 0, commit(c, &n)
}

func sysSetresgid(p *Personality, c *core.Call) (uint64, abi.Errno) {
	old := *c.Cred()
	n := old
	to := [3]*uint32{&n.GID, &n.EGID, &n.SGID}
	for i := range to {
		if _, ok := idArg(c.Args[i], c.MapGID); !ok {
			return 0, abi.EINVAL
		}
	}
	for i := range to {
		v, _ := idArg(c.Args[i], c.MapGID)
		if v == keepID {
			continue
		}
		if v != old.GID && v != old.EGID && v != old.SGID && !c.NsCapable(core.CapSetgid) {
			return 0, abi.EPERM
		}
		*to[i] = v
	}
	n.FSGID = n.EGID
	return 0, commit(c, &n)
}

func sysGetresuid(p *Personality, c *core.Call) (uint64, abi.Errno) {
	cr := *c.Cred()
	for i, v := range []uint32{cr.UID, cr.EUID, cr.SUID} {
		c.CopyOut32(c.Args[i], c.ShowUID(v))
	}
	return 0, 0
}

func sysGetresgid(p *Personality, c *core.Call) (uint64, abi.Errno) {
	cr := *c.Cred()
	for i, v := range []uint32{cr.GID, cr.EGID, cr.SGID} {
		c.CopyOut32(c.Args[i], c.ShowGID(v))
	}
	return 0, 0
}

// sysSetfsuid answers the old id whether it changed anything or not.
func sysSetfsuid(p *Personality, c *core.Call) (uint64, abi.Errno) {
	n := *c.Cred()
	old := n.FSUID
	if id, ok := c.MapUID(uint32(c.Args[0])); ok && (id == n.UID || id == n.EUID || id == n.SUID || id == n.FSUID || c.NsCapable(core.CapSetuid)) {
		n.FSUID = id
		n.FixFSCaps(old, c.RootID())
		commit(c, &n)
	}
	return uint64(c.ShowUID(old)), 0
}

func sysSetfsgid(p *Personality, c *core.Call) (uint64, abi.Errno) {
	n := *c.Cred()
	old := n.FSGID
	if id, ok := c.MapGID(uint32(c.Args[0])); ok && (id == n.GID || id == n.EGID || id == n.SGID || id == n.FSGID || c.NsCapable(core.CapSetgid)) {
		n.FSGID = id
		commit(c, &n)
	}
	return uint64(c.ShowGID(old)), 0
}

func sysGetgroups(p *Personality, c *core.Call) (uint64, abi.Errno) {
	n := int32(c.Args[0])
	cr := *c.Cred()
	if n < 0 {
		return 0, abi.EINVAL
	}
	if n == 0 {
		return uint64(cr.NGroups), 0
	}
	if uint32(n) < cr.NGroups {
		return 0, abi.EINVAL
	}
	b := make([]byte, 4*cr.NGroups)
	for i := range cr.NGroups {
		binary.LittleEndian.PutUint32(b[4*i:], c.ShowGID(cr.Groups[i]))
	}
	c.CopyOut(c.Args[1], b)
	return uint64(cr.NGroups), 0
}

func sysSetgroups(p *Personality, c *core.Call) (uint64, abi.Errno) {
	if !c.MaySetgroups() {
		return 0, abi.EPERM
	}
	n := uint32(c.Args[0])
	if n > uint32(len(core.Cred{}.Groups)) {
		return 0, abi.EINVAL
	}
	b, e := c.CopyIn(c.Args[1], int(4*n))
	if e != 0 {
		return 0, e
	}
	b = append([]byte(nil), b...)
	cr := *c.Cred()
	cr.NGroups = n
	clear(cr.Groups[:])
	for i := range n {
		g, ok := c.MapGID(binary.LittleEndian.Uint32(b[4*i:]))
		if !ok {
			return 0, abi.EINVAL
		}
		cr.Groups[i] = g
	}
	return 0, commit(c, &cr)
}

// Versions of the capability header (linux/capability.h).
const (
	capV1 = 0x19980330
	capV2 = 0x20071026
	capV3 = 0x20080522
)

// capHeader decodes the header: words of data (1 or 2) and the process. A
// version it does not know is answered with the one that it prefers.
func capHeader(c *core.Call) (words int, pid int32, e abi.Errno) {
	b, e := c.CopyIn(c.Args[0], 8)
	if e != 0 {
		return 0, 0, e
	}
	v := binary.LittleEndian.Uint32(b)
	pid = int32(binary.LittleEndian.Uint32(b[4:]))
	switch v {
	case capV1:
		return 1, pid, 0
	case capV2, capV3:
		return 2, pid, 0
	}
	c.CopyOut32(c.Args[0], capV3)
	return 0, pid, abi.EINVAL
}

func sysCapget(p *Personality, c *core.Call) (uint64, abi.Errno) {
	words, pid, e := capHeader(c)
	if words == 0 {
		if e == abi.EINVAL && c.Args[1] == 0 {
			return 0, 0
		}
		return 0, e
	}
	if pid < 0 {
		return 0, abi.EINVAL
	}
	cr := c.Cred()
	if pid != 0 {
		t := c.K.ThreadByTid(pid)
		if t == 0 {
			return 0, abi.ESRCH
		}
		cr = c.K.Creds.Get(c.K.Threads.Get(t).Cred)
	}
	var b [24]byte
	for i := range words {
		binary.LittleEndian.PutUint32(b[12*i:], uint32(cr.CapEff>>(32*i)))
		binary.LittleEndian.PutUint32(b[12*i+4:], uint32(cr.CapPerm>>(32*i)))
		binary.LittleEndian.PutUint32(b[12*i+8:], uint32(cr.CapInh>>(32*i)))
	}
	if c.Args[1] != 0 {
		c.CopyOut(c.Args[1], b[:12*words])
	}
	return 0, 0
}

func sysCapset(p *Personality, c *core.Call) (uint64, abi.Errno) {
	words, pid, e := capHeader(c)
	if words == 0 {
		return 0, e
	}
	b, e := c.CopyIn(c.Args[1], 12*words)
	if e != 0 {
		return 0, e
	}
	if pid != 0 && pid != c.Thread().Tid {
		return 0, abi.EPERM
	}
	var eff, perm, inh uint64
	for i := range words {
		eff |= uint64(binary.LittleEndian.Uint32(b[12*i:])) << (32 * i)
		perm |= uint64(binary.LittleEndian.Uint32(b[12*i+4:])) << (32 * i)
		inh |= uint64(binary.LittleEndian.Uint32(b[12*i+8:])) << (32 * i)
	}
	eff, perm, inh = eff&core.CapAll, perm&core.CapAll, inh&core.CapAll
	n := *c.Cred()
	if inh&^(n.CapInh|n.CapPerm) != 0 && !c.NsCapable(core.CapSetpcap) || inh&^(n.CapInh|n.CapBound) != 0 {
		return 0, abi.EPERM
	}
	if perm&^n.CapPerm != 0 || eff&^perm != 0 {
		return 0, abi.EPERM
	}
	n.CapEff, n.CapPerm, n.CapInh = eff, perm, inh
	n.CapAmb &= perm & inh
	return 0, commit(c, &n)
}
