package core

import (
	"strings"

	"hythe/abi"
	"hythe/idl/fs"
)

// Limits of extended attributes (include/uapi/linux/limits.h).
const (
	XattrNameMax = 255
	XattrSizeMax = 65536
	XattrListMax = 65536
)

// mayXattr checks access to the attribute name of n (xattr(7)). For reading,
// what the caller may not know of does not exist.
func (c *Call) mayXattr(n *node, name string, write bool) abi.Errno {
	if n.m.srv == nil {
		return abi.EOPNOTSUPP
	}
	cr := c.cred()
	if write && n.readOnly() {
		return abi.EROFS
	}
	switch {
	case strings.HasPrefix(name, "user."):
		if !n.isRegular() && !n.isDir() {
			if write {
				return abi.EPERM
			}
			return abi.ENODATA
		}
		if write && n.isDir() && n.attr.Mode&0o1000 != 0 && !c.owner(&n.attr) {
			return abi.EPERM
		}
		want := uint32(mayRead)
		if write {
			want = mayWrite
		}
		return c.may(n, want)
	case strings.HasPrefix(name, "trusted."):
		if !cr.has(capSysAdmin) {
			if write {
				return abi.EPERM
			}
			return abi.ENODATA
		}
		return 0
	case name == "security.capability":
		if write && !cr.has(capSetfcap) {
			return abi.EPERM
		}
		return 0
	case strings.HasPrefix(name, "security."):
		if write && !cr.has(capSysAdmin) {
			return abi.EPERM
		}
		return 0
	}
	return abi.EOPNOTSUPP
}

// xattrNode finds a node for the xattr calls; nameless files have none.
func (c *Call) xattrNode(t *Target) (*node, abi.Errno) {
	n, e := c.find(t)
	if e != 0 {
		return nil, e
	}
	if n == nil {
		return nil, abi.EOPNOTSUPP
	}
	return n, c.refresh(n, true)
}

// namelessXattr is the answer for a pipe or its like, where no attribute of
// users can be (xattr(7)).
func namelessXattr(e abi.Errno, name string, none abi.Errno) abi.Errno {
	if e == abi.EOPNOTSUPP && strings.HasPrefix(name, "user.") {
		return none
	}
	return e
}

// GetXattr answers an attribute's value. ENODATA, EOPNOTSUPP, EACCES.
func (c *Call) GetXattr(t Target, name string) (b []byte, e abi.Errno) {
	e = c.steady(func() (e abi.Errno) {
		b, e = c.getXattr(t, name)
		return e
	})
	return b, e
}

func (c *Call) getXattr(t Target, name string) ([]byte, abi.Errno) {
	n, e := c.xattrNode(&t)
	if e != 0 {
		return nil, namelessXattr(e, name, abi.ENODATA)
	}
	if e := c.mayXattr(n, name, false); e != 0 {
		return nil, e
	}
	var b []byte
	c.ask(func() { b, e = c.server(n.m).GetXattr(fs.Req{}, n.id, name) })
	return b, e
}

// SetXattr stores one; flags: 1 it must be new, 2 it must exist.
func (c *Call) SetXattr(t Target, name string, value []byte, flags uint32) abi.Errno {
	return c.steady(func() abi.Errno { return c.setXattr(t, name, value, flags) })
}

func (c *Call) setXattr(t Target, name string, value []byte, flags uint32) abi.Errno {
	n, e := c.xattrNode(&t)
	if e != 0 {
		return namelessXattr(e, name, abi.EPERM)
	}
	if e := c.mayXattr(n, name, true); e != 0 {
		return e
	}
	r := c.req()
	n.stale()
	c.ask(func() { e = c.server(n.m).SetXattr(r, n.id, name, value, flags) })
	n.stale() // who has asked meanwhile knows what was before
	if e == 0 {
		c.K.nodeEvent(n, evAttrib)
	}
	c.stepDone()
	return e
}

// RemoveXattr removes one.
func (c *Call) RemoveXattr(t Target, name string) abi.Errno {
	return c.steady(func() abi.Errno { return c.removeXattr(t, name) })
}

func (c *Call) removeXattr(t Target, name string) abi.Errno {
	n, e := c.xattrNode(&t)
	if e != 0 {
		return namelessXattr(e, name, abi.EPERM)
	}
	if e := c.mayXattr(n, name, true); e != 0 {
		return e
	}
	r := c.req()
	n.stale()
	c.ask(func() { e = c.server(n.m).RemoveXattr(r, n.id, name) })
	n.stale() // who has asked meanwhile knows what was before
	if e == 0 {
		c.K.nodeEvent(n, evAttrib)
	}
	c.stepDone()
	return e
}

// ListXattr answers the names, each with a NUL behind it; trusted ones only to
// those who may see them.
func (c *Call) ListXattr(t Target) (b []byte, e abi.Errno) {
	e = c.steady(func() (e abi.Errno) {
		b, e = c.listXattr(t)
		return e
	})
	return b, e
}

func (c *Call) listXattr(t Target) ([]byte, abi.Errno) {
	n, e := c.xattrNode(&t)
	if e != 0 {
		return nil, e
	}
	if n.m.srv == nil {
		return nil, 0
	}
	var b []byte
	c.ask(func() { b, e = c.server(n.m).ListXattr(fs.Req{}, n.id) })
	if e == abi.EOPNOTSUPP || e == abi.ENOSYS {
		return nil, 0
	}
	if e != 0 || c.cred().has(capSysAdmin) {
		return b, e
	}
	var out []byte
	for _, name := range strings.SplitAfter(string(b), "\x00") {
		if !strings.HasPrefix(name, "trusted.") {
			out = append(out, name...)
		}
	}
	return out, 0
}
