package core

import (
	"hythe/abi"
	"hythe/idl/fs"
)

// Capabilities that files ask for (include/uapi/linux/capability.h).
const (
	capChown         = 0
	capDacOverride   = 1
	capDacReadSearch = 2
	capFowner        = 3
	capFsetid        = 4
	capSysChroot     = 18
	capSysAdmin      = 21
	capSysResource   = 24
	capMknod         = 27
	capLease         = 28
	capSetfcap       = 31
)

// What access asks for.
const (
	mayExec  = 1
	mayWrite = 2
	mayRead  = 4
)

var kernelCred = Cred{CapEff: ^uint64(0), CapPerm: ^uint64(0)}

// cred answers the caller's credentials; the server itself has all rights.
func (c *Call) cred() *Cred {
	if c.credAs != nil {
		return c.credAs
	}
	if c.T == 0 {
		return &kernelCred
	}
	return c.Cred()
}

// has says whether cr has a capability over the machine; hasFor over a file.
func (cr *Cred) has(cap uint) bool { return cr.NS == 0 && cr.CapEff>>cap&1 != 0 }

// inGroup says whether gid is the file-system group or a supplementary one.
func (cr *Cred) inGroup(gid uint32) bool {
	if cr.FSGID == gid {
		return true
	}
	for i := uint32(0); i < cr.NGroups && i < uint32(len(cr.Groups)); i++ {
		if cr.Groups[i] == gid {
			return true
		}
	}
	return false
}

// access checks the mode bits of a node against credentials: path_resolution(7),
// capabilities(7). EACCES.
func (k *Kernel) access(cr *Cred, a *fs.Attr, want uint32) abi.Errno {
	mode := a.Mode
	switch {
	case cr.FSUID == a.UID:
		mode >>= 6
	case cr.inGroup(a.GID):
		mode >>= 3
	}
	if mode&want == want {
		return 0
	}
	if a.Mode&fs.TypeMask == fs.TypeDir {
		if k.hasFor(cr, capDacOverride, a) || want&mayWrite == 0 && k.hasFor(cr, capDacReadSearch, a) {
			return 0
		}
		return abi.EACCES
	}
	if want == mayRead && k.hasFor(cr, capDacReadSearch, a) {
		return 0
	}
	if k.hasFor(cr, capDacOverride, a) && (want&mayExec == 0 || a.Mode&0o111 != 0) {
		return 0
	}
	return abi.EACCES
}

// may is access with what the mount forbids: EROFS for writing to anything
// that is kept there.
func (c *Call) may(n *node, want uint32) abi.Errno {
	if want&mayWrite != 0 && n.m.flags&MountRO != 0 {
		switch n.typ() {
		case fs.TypeReg, fs.TypeDir, fs.TypeLink:
			return abi.EROFS
		}
	}
	return c.K.access(c.cred(), &n.attr, want)
}

// owner says whether the caller may do what is left to a file's owner.
func (c *Call) owner(a *fs.Attr) bool {
	cr := c.cred()
	return cr.FSUID == a.UID || c.K.hasFor(cr, capFowner, a)
}

// mayRemove checks that n may be removed from dir (or renamed out of it): write
// and search permission and the sticky bit. EACCES, EPERM.
func (c *Call) mayRemove(dir, n *node) abi.Errno {
	if e := c.may(dir, mayWrite|mayExec); e != 0 {
		return e
	}
	if dir.attr.Mode&0o1000 != 0 {
		cr := c.cred()
		if cr.FSUID != n.attr.UID && cr.FSUID != dir.attr.UID && !c.K.hasFor(cr, capFowner, &n.attr) {
			return abi.EPERM
		}
	}
	return 0
}

// newOwner answers owner and group of a node made in dir, and its mode: a
// set-group-id directory hands on its group, and the bit to directories.
func (c *Call) newOwner(dir *node, mode uint32) (fs.Cred, uint32) {
	cr := c.cred()
	o := fs.Cred{UID: cr.FSUID, GID: cr.FSGID}
	if dir.attr.Mode&0o2000 != 0 {
		o.GID = dir.attr.GID
		if mode&fs.TypeMask == fs.TypeDir {
			mode |= 0o2000
		} else if mode&0o2010 == 0o2010 && !cr.inGroup(o.GID) && !c.K.hasFor(cr, capFsetid, &dir.attr) {
			mode &^= 0o2000
		}
	}
	return o, mode
}
