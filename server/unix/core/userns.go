package core

import (
	"fmt"
	"strconv"
	"strings"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/store"
)

// User namespaces (user_namespaces(7)), which are nothing but records here: ids in
// credentials and files are the machine's own, and are translated where a
// program gives or is shown one. Capabilities count in the namespace of the
// credentials; the machine's own namespace is number 0, in which every id is itself.

// UserNS is a user namespace. Credentials and child namespaces hold it.
type UserNS struct {
	Refs   uint32
	Level  uint32
	Parent store.Ref[UserNS] // 0: the machine's
	// Owner and Group are its maker's effective ids.
	Owner, Group uint32
	// NoSetgroups: setgroups is denied; Setfcap: its maker had CAP_SETFCAP.
	NoSetgroups, Setfcap uint32
	NUID, NGID           uint32
	UIDs, GIDs           [maxIDRanges]IDRange
}

// IDRange maps Count ids from First in the namespace to ids of the machine from Lower.
type IDRange struct{ First, Lower, Count uint32 }

const (
	// maxIDRanges is how many lines a map has at most (UID_GID_MAP_MAX_EXTENTS).
	maxIDRanges = 340
	// maxUserNSLevel is how deep user namespaces nest.
	maxUserNSLevel = 32
	// OverflowID is shown for an id that a namespace does not map.
	OverflowID = 65534
	// NoID is no id at all.
	NoID = ^uint32(0)
)

// ids is one of the two maps.
func (n *UserNS) ids(group bool) []IDRange {
	if group {
		return n.GIDs[:n.NGID]
	}
	return n.UIDs[:n.NUID]
}

// lower maps an id of a namespace to the machine's.
func lower(m []IDRange, id uint32) (uint32, bool) {
	for _, r := range m {
		if id >= r.First && id-r.First < r.Count {
			return r.Lower + (id - r.First), true
		}
	}
	return NoID, false
}

// upper maps an id of the machine to a namespace's.
func upper(m []IDRange, id uint32) (uint32, bool) {
	for _, r := range m {
		if id >= r.Lower && id-r.Lower < r.Count {
			return r.First + (id - r.Lower), true
		}
	}
	return NoID, false
}

// mapID answers the machine's id for one that was given in a namespace; false: it
// has none.
func (k *Kernel) mapID(ns store.Ref[UserNS], id uint32, group bool) (uint32, bool) {
	if ns == 0 {
		return id, id != NoID
	}
	return lower(k.UserNSs.Get(ns).ids(group), id)
}

// showID answers what the machine's id is in a namespace.
func (k *Kernel) showID(ns store.Ref[UserNS], id uint32, group bool) uint32 {
	if ns == 0 {
		return id
	}
	if v, ok := upper(k.UserNSs.Get(ns).ids(group), id); ok {
		return v
	}
	return OverflowID
}

// ns is the caller's user namespace.
func (c *Call) ns() store.Ref[UserNS] {
	if c.T == 0 {
		return 0
	}
	return c.Cred().NS
}

// MapUID answers the machine's id for a user id that the caller gave; false: its
// namespace has none for it.
func (c *Call) MapUID(id uint32) (uint32, bool) { return c.K.mapID(c.ns(), id, false) }

// MapGID is MapUID for a group.
func (c *Call) MapGID(id uint32) (uint32, bool) { return c.K.mapID(c.ns(), id, true) }

// ShowUID answers a user id of the machine as the caller sees it.
func (c *Call) ShowUID(id uint32) uint32 { return c.K.showID(c.ns(), id, false) }

// ShowGID is ShowUID for a group.
func (c *Call) ShowGID(id uint32) uint32 { return c.K.showID(c.ns(), id, true) }

// RootID is the machine's id for user 0 of the caller's namespace, NoID if there is
// none.
func (c *Call) RootID() uint32 {
	id, _ := c.MapUID(0)
	return id
}

// NsCapable says whether the caller has a capability in its own user namespace.
func (c *Call) NsCapable(n int) bool { return c.Cred().CapEff&(1<<n) != 0 }

// CapableIn says whether cr has a capability in a namespace: its own, or one below it
// that it made (capabilities(7)).
func (k *Kernel) CapableIn(cr *Cred, ns store.Ref[UserNS], n int) bool {
	for {
		if ns == cr.NS {
			return cr.CapEff&(1<<n) != 0
		}
		if ns == 0 {
			return false
		}
		r := k.UserNSs.Get(ns)
		if r.Parent == cr.NS && r.Owner == cr.EUID {
			return true
		}
		ns = r.Parent
	}
}

// hasFor says whether cr has a capability over a file: its owner and group must
// have ids in cr's namespace.
func (k *Kernel) hasFor(cr *Cred, n uint, a *fs.Attr) bool {
	return cr.CapEff>>n&1 != 0 && k.maps(cr.NS, a.UID, a.GID)
}

// maps says whether a user and a group have ids in a namespace.
func (k *Kernel) maps(ns store.Ref[UserNS], uid, gid uint32) bool {
	if ns == 0 {
		return true
	}
	r := k.UserNSs.Get(ns)
	_, u := upper(r.ids(false), uid)
	_, g := upper(r.ids(true), gid)
	return u && g
}

// newUserNS makes a namespace below the caller's and changes cr, a copy of its
// credentials, to be in it, with all capabilities there. The namespace is held by
// nobody until NewCred stores cr. EPERM: the caller is in a changed root, or
// its ids are not mapped; ENOSPC.
func (c *Call) newUserNS(cr *Cred) abi.Errno {
	k := c.K
	level := uint32(1)
	if cr.NS != 0 {
		level = k.UserNSs.Get(cr.NS).Level + 1
	}
	if !k.maps(cr.NS, cr.EUID, cr.EGID) || c.rootNode() != k.vfs.root.root {
		return abi.EPERM
	}
	if level > maxUserNSLevel {
		return abi.ENOSPC
	}
	ref, n := k.UserNSs.New()
	if ref == 0 {
		return abi.ENOSPC
	}
	n.Level, n.Parent, n.Owner, n.Group = level, cr.NS, cr.EUID, cr.EGID
	n.Setfcap = uint32(cr.CapEff >> CapSetfcap & 1)
	if cr.NS != 0 {
		up := k.UserNSs.Mut(cr.NS)
		up.Refs++
		n.NoSetgroups = up.NoSetgroups
	}
	cr.NS = ref
	cr.Securebits = 0
	cr.CapInh, cr.CapAmb = 0, 0
	cr.CapPerm, cr.CapEff, cr.CapBound = CapAll, CapAll, CapAll
	return 0
}

// dropUserNS gives up a hold on a namespace.
func (k *Kernel) dropUserNS(ns store.Ref[UserNS]) {
	for ns != 0 {
		r := k.UserNSs.Mut(ns)
		if r.Refs > 1 {
			r.Refs--
			return
		}
		up := r.Parent
		k.UserNSs.Free(ns)
		ns = up
	}
}

// enterUserNS is newUserNS stored: credentials with one reference.
func (c *Call) enterUserNS() (store.Ref[Cred], abi.Errno) {
	cr := *c.Cred()
	if e := c.newUserNS(&cr); e != 0 {
		return 0, e
	}
	r := c.K.NewCred(&cr)
	if r == 0 {
		c.K.dropUserNS(cr.NS)
		return 0, abi.EAGAIN
	}
	return r, 0
}

// UnshareUser puts the caller into a new user namespace (unshare(2)). EINVAL: it is
// not its process's only thread.
func (c *Call) UnshareUser() abi.Errno {
	if c.Proc().Threads > 1 {
		return abi.EINVAL
	}
	c.K.takeBackTable(c.Proc().FDs) // the library keeps owners as they were shown
	r, e := c.enterUserNS()
	if e != 0 {
		return e
	}
	k := c.K
	k.namesChanged()
	t, p := c.MutThread(), c.MutProc()
	k.DropCred(t.Cred)
	k.DropCred(p.Cred)
	t.Cred, p.Cred = r, k.HoldCred(r)
	c.CredWords()
	return 0
}

// mapText is /proc/PID/uid_map or gid_map, as one in namespace as reads it.
func (k *Kernel) mapText(p store.Ref[Proc], as store.Ref[UserNS], group bool) string {
	ns := k.userNSOf(p)
	if ns == 0 {
		return "         0          0 4294967295\n"
	}
	r := k.UserNSs.Get(ns)
	if as == ns {
		as = r.Parent
	}
	var b strings.Builder
	for _, x := range r.ids(group) {
		low := x.Lower
		if as != 0 {
			low, _ = upper(k.UserNSs.Get(as).ids(group), low)
		}
		fmt.Fprintf(&b, "%10d %10d %10d\n", x.First, low, x.Count)
	}
	return b.String()
}

// userNSOf is the namespace of a process, 0 too for one that has ended.
func (k *Kernel) userNSOf(p store.Ref[Proc]) store.Ref[UserNS] {
	if cr := k.Creds.Get(k.Procs.Get(p).Cred); cr != nil {
		return cr.NS
	}
	return 0
}

// parseIDMap reads lines of three numbers. EINVAL.
func parseIDMap(s string) ([]IDRange, abi.Errno) {
	var m []IDRange
	if len(s) >= abi.PageSize {
		return nil, abi.EINVAL
	}
	s, _, _ = strings.Cut(s, "\x00")
	for line := range strings.Lines(s) {
		f := strings.Fields(line)
		var v [3]uint32
		if len(f) != 3 || len(m) == maxIDRanges {
			return nil, abi.EINVAL
		}
		for i := range f {
			n, err := strconv.ParseUint(f[i], 10, 32)
			if err != nil {
				return nil, abi.EINVAL
			}
			v[i] = uint32(n)
		}
		r := IDRange{v[0], v[1], v[2]}
		if r.First == NoID || r.Lower == NoID || r.First+r.Count <= r.First || r.Lower+r.Count <= r.Lower {
			return nil, abi.EINVAL
		}
		for _, x := range m {
			if r.First < x.First+x.Count && x.First < r.First+r.Count || r.Lower < x.Lower+x.Count && x.Lower < r.Lower+r.Count {
				return nil, abi.EINVAL
			}
		}
		m = append(m, r)
	}
	if len(m) == 0 {
		return nil, abi.EINVAL
	}
	return m, 0
}

// writeMap serves a write to uid_map or gid_map of p by whoever opened it with
// the credentials opener. It succeeds once. EPERM, EINVAL.
func (k *Kernel) writeMap(c *Call, opener *Cred, p store.Ref[Proc], s string, group bool) abi.Errno {
	ns := k.userNSOf(p)
	if ns == 0 {
		return abi.EPERM
	}
	r := k.UserNSs.Get(ns)
	capID := CapSetuid
	if group {
		capID = CapSetgid
	}
	if opener.NS != ns && opener.NS != r.Parent || len(r.ids(group)) != 0 || !k.CapableIn(opener, ns, CapSysAdmin) {
		return abi.EPERM
	}
	m, e := parseIDMap(s)
	if e != 0 {
		return e
	}
	// Who may map what: oneself, to anything; or all that one may become above.
	me := c.Cred()
	self := false
	if len(m) == 1 && m[0].Count == 1 && r.Owner == me.EUID {
		id, ok := k.mapID(r.Parent, m[0].Lower, group)
		self = ok && (id == me.EUID && !group || id == me.EGID && group && r.NoSetgroups != 0)
	}
	if !self && !(k.CapableIn(me, r.Parent, capID) && k.CapableIn(opener, r.Parent, capID)) {
		return abi.EPERM
	}
	for i := range m {
		x := &m[i]
		// Root above is mapped only by who could have given files its capabilities.
		if !group && x.Lower == 0 {
			if opener.NS == ns && r.Setfcap == 0 || opener.NS != ns && !k.CapableIn(opener, r.Parent, CapSetfcap) {
				return abi.EPERM
			}
		}
		if r.Parent == 0 {
			continue
		}
		up := k.UserNSs.Get(r.Parent).ids(group)
		first, ok := lower(up, x.Lower)
		last, ok2 := lower(up, x.Lower+x.Count-1)
		if !ok || !ok2 || last-first != x.Count-1 {
			return abi.EPERM
		}
		x.Lower = first
	}
	w := k.UserNSs.Mut(ns)
	if group {
		w.NGID = uint32(copy(w.GIDs[:], m))
	} else {
		w.NUID = uint32(copy(w.UIDs[:], m))
	}
	k.idsChanged(ns)
	return 0
}

// idsChanged has the libraries of all who are in a namespace or below it, which
// answer getuid by themselves, learn what their ids are now.
func (k *Kernel) idsChanged(ns store.Ref[UserNS]) {
	var all []store.Ref[Thread]
	k.Threads.Each(func(t store.Ref[Thread], th *Thread) bool {
		if th.State == ThreadLive {
			for n := k.Creds.Get(th.Cred).NS; n != 0; n = k.UserNSs.Get(n).Parent {
				if n == ns {
					all = append(all, t)
					break
				}
			}
		}
		return true
	})
	for _, t := range all {
		k.Threads.Mut(t).StaleIDs = 1
		k.poke(t)
	}
}

// setgroupsText is /proc/PID/setgroups.
func (k *Kernel) setgroupsText(p store.Ref[Proc]) string {
	if ns := k.userNSOf(p); ns != 0 && k.UserNSs.Get(ns).NoSetgroups != 0 {
		return "deny\n"
	}
	return "allow\n"
}

// writeSetgroups serves a write to setgroups of p. EPERM, EINVAL.
func (k *Kernel) writeSetgroups(opener *Cred, p store.Ref[Proc], s string) abi.Errno {
	ns := k.userNSOf(p)
	if !k.CapableIn(opener, ns, CapSysAdmin) {
		return abi.EPERM
	}
	var no, mapped bool
	if ns != 0 {
		r := k.UserNSs.Get(ns)
		no, mapped = r.NoSetgroups != 0, r.NGID != 0
	} else {
		mapped = true
	}
	if len(s) >= 8 {
		return abi.EINVAL
	}
	s, _, _ = strings.Cut(s, "\x00")
	switch strings.TrimRight(s, " \t\n\v\f\r") {
	case "allow":
		if no {
			return abi.EPERM
		}
	case "deny":
		if mapped && !no {
			return abi.EPERM
		}
		if !no {
			k.UserNSs.Mut(ns).NoSetgroups = 1
		}
	default:
		return abi.EINVAL
	}
	return 0
}

// MaySetgroups says whether the caller may change its supplementary groups.
func (c *Call) MaySetgroups() bool {
	if !c.NsCapable(CapSetgid) {
		return false
	}
	ns := c.ns()
	if ns == 0 {
		return true
	}
	r := c.K.UserNSs.Get(ns)
	return r.NGID != 0 && r.NoSetgroups == 0
}
