package core

import (
	"hythe/store"
)

// Capabilities (linux/capability.h); the numbers are Linux's as neutral ones.
const (
	CapChown         = 0
	CapDacOverride   = 1
	CapDacReadSearch = 2
	CapFowner        = 3
	CapFsetid        = 4
	CapKill          = 5
	CapSetgid        = 6
	CapSetuid        = 7
	CapSetpcap       = 8
	CapNetBind       = 10
	CapNetAdmin      = 12
	CapNetRaw        = 13
	CapIpcLock       = 14
	CapIpcOwner      = 15
	CapSysModule     = 16
	CapSysRawio      = 17
	CapSysChroot     = 18
	CapSysPtrace     = 19
	CapSysAdmin      = 21
	CapSysBoot       = 22
	CapSysNice       = 23
	CapSysResource   = 24
	CapSysTime       = 25
	CapSysTTYConfig  = 26
	CapMknod         = 27
	CapLease         = 28
	CapSetfcap       = 31
	CapSyslog        = 34
	CapWakeAlarm     = 35
	CapLast          = 40
	// CapAll is every capability.
	CapAll = uint64(1)<<(CapLast+1) - 1
)

// Secure bits (linux/securebits.h).
const (
	SecNoroot       = 1 << 0
	SecNoSetuidFix  = 1 << 2
	SecKeepCaps     = 1 << 4
	SecNoAmbRaise   = 1 << 6
	secLockedMask   = 0xaa
	SecureAllBits   = 0x55
	SecureAllLocked = secLockedMask
)

// NewCred stores a copy of cr with one reference; 0 when the table is full.
func (k *Kernel) NewCred(cr *Cred) store.Ref[Cred] {
	r, n := k.Creds.New()
	if r == 0 {
		return 0
	}
	*n = *cr
	n.Refs = 1
	if n.NS != 0 {
		k.UserNSs.Mut(n.NS).Refs++
	}
	return r
}

// HoldCred adds a reference.
func (k *Kernel) HoldCred(c store.Ref[Cred]) store.Ref[Cred] {
	if c != 0 {
		k.Creds.Mut(c).Refs++
	}
	return c
}

// DropCred gives up a reference to credentials.
func (k *Kernel) DropCred(c store.Ref[Cred]) {
	if c == 0 {
		return
	}
	r := k.Creds.Mut(c)
	if r.Refs > 1 {
		r.Refs--
		return
	}
	ns := r.NS
	k.Creds.Free(c)
	k.dropUserNS(ns)
}

// SetCred makes cr the credentials of the calling thread, and of its process
// when it is the only or the leading one. False when the table is full.
func (c *Call) SetCred(cr *Cred) bool {
	k := c.K
	r := k.NewCred(cr)
	if r == 0 {
		return false
	}
	k.namesChanged()
	t := c.MutThread()
	k.DropCred(t.Cred)
	t.Cred = r
	p := c.MutProc()
	if p.Leader == c.T || p.Threads == 1 {
		k.DropCred(p.Cred)
		p.Cred = k.HoldCred(r)
	}
	return true
}

// Capable says whether the caller has a capability over the machine; NsCapable over
// its user namespace.
func (c *Call) Capable(n int) bool { return c.Cred().has(uint(n)) }

// InGroup says whether g is among the file-system or supplementary groups.
func (cr *Cred) InGroup(g uint32) bool {
	if cr.FSGID == g {
		return true
	}
	for _, x := range cr.Groups[:min(cr.NGroups, uint32(len(cr.Groups)))] {
		if x == g {
			return true
		}
	}
	return false
}

// FixCaps adjusts capabilities after a change of user ids from old, as
// capabilities(7) "Effect of user ID changes on capabilities" says. root is user 0
// of their namespace (RootID).
func (cr *Cred) FixCaps(old *Cred, keep bool, root uint32) {
	if cr.Securebits&SecNoSetuidFix != 0 {
		return
	}
	had := old.UID == root || old.EUID == root || old.SUID == root
	has := cr.UID == root || cr.EUID == root || cr.SUID == root
	if had && !has && !keep {
		cr.CapPerm, cr.CapEff = 0, 0
		cr.CapAmb = 0
	}
	if old.EUID == root && cr.EUID != root {
		cr.CapEff = 0
	}
	if old.EUID != root && cr.EUID == root {
		cr.CapEff = cr.CapPerm
	}
}

// fsCaps are the capabilities that follow the file-system user id.
const fsCaps = 1<<CapChown | 1<<CapDacOverride | 1<<CapDacReadSearch | 1<<CapFowner | 1<<CapFsetid | 1<<CapMknod | 1<<9

// FixFSCaps adjusts them after setfsuid.
func (cr *Cred) FixFSCaps(oldFS, root uint32) {
	if cr.Securebits&SecNoSetuidFix != 0 {
		return
	}
	if oldFS == root && cr.FSUID != root {
		cr.CapEff &^= fsCaps
	}
	if oldFS != root && cr.FSUID == root {
		cr.CapEff |= cr.CapPerm & fsCaps
	}
}
