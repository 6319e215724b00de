package core

import (
	"strings"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/store"
)

// AtCwd as a directory descriptor means the current directory.
const AtCwd = int32(-100)

// How a path is walked.
const (
	// WalkFollow follows a symbolic link that is the last component.
	WalkFollow = 1 << 0
	// WalkParent is for calls that make or remove the last component: it is
	// looked up but not followed nor crossed into a mount, and may be absent.
	WalkParent = 1 << 1
	// WalkEmpty lets an empty path mean the directory descriptor itself.
	WalkEmpty = 1 << 2
	// WalkDir requires a directory (ENOTDIR).
	WalkDir = 1 << 3
	// WalkCreate is WalkFollow where the last component may be absent.
	WalkCreate = 1 << 4
	// openat2(2)'s RESOLVE_ rules.
	WalkNoXdev     = 1 << 8
	WalkNoMagic    = 1 << 9
	WalkNoSymlinks = 1 << 10
	WalkBeneath    = 1 << 11
	WalkInRoot     = 1 << 12
	WalkCached     = 1 << 13
)

// What the last component was.
const (
	lastNormal = iota
	lastDot
	lastDotDot
	lastRoot // the path was only slashes, or empty
	lastJump // a magic link
)

// Found is where a path leads. Dir and node pointers stay good when the lock
// is given up.
type Found struct {
	dir  *node  // directory of the last component, nil for lastRoot and lastJump
	name string // the last component
	node *node  // nil: absent (WalkParent, WalkCreate), or File is set
	// File is set instead of a node when a magic link or a descriptor led to
	// an open file without a name in any file system.
	File  store.Ref[File]
	last  int
	slash bool // slashes followed the last component
}

// Exists says whether the path leads to something.
func (f *Found) Exists() bool { return f.node != nil || f.File != 0 }

// Attr answers the attributes as of the walk (type and owner are up to date).
func (f *Found) Attr() fs.Attr { return f.node.attr }

// Key names the node found.
func (f *Found) Key() NodeKey { return f.node.key() }

// maxLinks is how many symbolic links a walk follows (path_resolution(7)).
const maxLinks = 40

// fsRef is the caller's file-system context: its thread's own, when it has left the
// process's (unshare(2)), else that.
func (c *Call) fsRef() store.Ref[FsCtx] {
	return c.K.fsOf(c.Thread(), c.Proc())
}

func (k *Kernel) fsOf(th *Thread, p *Proc) store.Ref[FsCtx] {
	if th != nil && th.Fs != 0 {
		return th.Fs
	}
	return p.Fs
}

// rootNode and cwdNode answer the caller's root and current directory.
func (c *Call) rootNode() *node {
	if c.T != 0 {
		if n := c.K.nodeOf(c.K.FsCtxs.Get(c.fsRef()).Root); n != nil {
			return n
		}
	}
	if c.K.vfs.root == nil {
		return nil
	}
	return c.K.vfs.root.root
}

func (c *Call) cwdNode() *node {
	if c.T != 0 {
		if n := c.K.nodeOf(c.K.FsCtxs.Get(c.fsRef()).Cwd); n != nil {
			return n
		}
	}
	return c.rootNode()
}

// Walk resolves path from the directory descriptor dirfd (AtCwd: the current
// directory). EBADF, ENOTDIR, ENOENT, EACCES, ELOOP, ENAMETOOLONG, EXDEV, and
// what file servers answer. It may give up the lock, but not when the caches
// know all names.
func (c *Call) Walk(dirfd int32, path string, flags uint32) (Found, abi.Errno) {
	c.seen = seen{until: NoDeadline}
	if c.foreseen {
		flags |= WalkCached
	}
	f, e := c.resolve(dirfd, path, flags)
	if e == 0 {
		c.seen.at = f
	}
	return f, e
}

// staleTries is how often a name is looked up again whose file goes while it is asked for.
const staleTries = 4

// steady does something with what one walk leads to. If that is its server's no more, since
// somebody else has taken the name away or given it to another file, it is done again.
func (c *Call) steady(do func() abi.Errno) abi.Errno {
	for try := 0; ; try++ {
		c.seen.at = Found{}
		e := do()
		f := &c.seen.at
		if e != abi.ESTALE || f.node == nil || f.dir == nil || f.dir.m != f.node.m || f.last != lastNormal {
			return e
		}
		if try == staleTries {
			return abi.ENOENT
		}
		c.K.forgetKid(f.dir, f.name)
	}
}

// seen is how long what a walk has met is known to be as it was, in monotonic time (0: it may
// change at any time), and where it has led.
type seen struct {
	until int64
	at    Found // as the walk has answered it
	bare  bool  // the answer has none of the attributes of what is there
	// missing: it is an open that makes nothing.
	missing bool
	// asked: the lock was given up since the walk began, so that what it saw first may be otherwise by now.
	asked bool
}

func (c *Call) resolve(dirfd int32, path string, flags uint32) (Found, abi.Errno) {
	var start *node
	if path == "" {
		if flags&WalkEmpty == 0 {
			return Found{}, abi.ENOENT
		}
		if dirfd == AtCwd {
			n := c.cwdNode()
			return Found{node: n, last: lastRoot}, c.refresh(n, true)
		}
		f, file, e := c.File(dirfd)
		if e != 0 {
			return Found{}, e
		}
		n := c.K.nodeOf(file.Vnode)
		if n == nil {
			return Found{File: f, last: lastJump}, 0
		}
		return Found{node: n, last: lastRoot}, c.refresh(n, true)
	}
	if path[0] != '/' || flags&(WalkBeneath|WalkInRoot) != 0 {
		if dirfd == AtCwd {
			start = c.cwdNode()
		} else {
			_, file, e := c.File(dirfd)
			if e != 0 {
				return Found{}, e
			}
			start = c.K.nodeOf(file.Vnode)
			if start == nil || !start.isDir() {
				return Found{}, abi.ENOTDIR
			}
		}
	}
	return c.walk(start, path, flags)
}

// walk resolves path from start (nil: the caller's root, for absolute paths).
func (c *Call) walk(start *node, path string, flags uint32) (Found, abi.Errno) {
	if path == "" {
		return Found{}, abi.ENOENT
	}
	root := c.rootNode()
	if root == nil {
		return Found{}, abi.ENOENT
	}
	if flags&WalkInRoot != 0 {
		root = start
	}
	cur := start
	if path[0] == '/' {
		if flags&WalkBeneath != 0 {
			return Found{}, abi.EXDEV
		}
		cur = root
	}
	if start == nil {
		start = root
	}
	if cur == nil {
		cur = root
	}
	if e := c.refresh(cur, true); e != 0 {
		return Found{}, e
	}
	out := Found{node: cur, last: lastRoot}
	rest := path
	links := 0
	for {
		i := 0
		for i < len(rest) && rest[i] == '/' {
			i++
		}
		rest = rest[i:]
		if rest == "" {
			break
		}
		j := strings.IndexByte(rest, '/')
		var name, after string
		if j < 0 {
			name = rest
		} else {
			name, after = rest[:j], rest[j:]
		}
		slash := after != ""
		last := !slash || strings.Trim(after, "/") == ""

		if cur.m.core == nil && !c.K.fresh(cur.permUntil) {
			if e := c.refresh(cur, true); e != 0 {
				return Found{}, e
			}
		}
		if !cur.isDir() {
			return Found{}, abi.ENOTDIR
		}
		if e := c.K.access(c.cred(), &cur.attr, mayExec); e != 0 {
			return Found{}, e
		}
		if cur.m.core != nil {
			if c.foreseen {
				return Found{}, abi.EAGAIN
			}
			c.seen.until = 0
		}
		c.seen.until = min(c.seen.until, cur.permUntil)
		if name == "." {
			out = Found{dir: cur, name: name, node: cur, last: lastDot, slash: slash}
			rest = after
			continue
		}
		if name == ".." {
			up := cur
			if up == start && flags&WalkBeneath != 0 {
				return Found{}, abi.EXDEV
			}
			if up != root {
				for up == up.m.root && up.m.point != nil {
					if flags&WalkNoXdev != 0 {
						return Found{}, abi.EXDEV
					}
					up = up.m.point
				}
				if up.parent != nil && up != root {
					up = up.parent
				}
			}
			cur = up
			if e := c.refresh(cur, true); e != 0 {
				return Found{}, e
			}
			out = Found{dir: cur, name: name, node: cur, last: lastDotDot, slash: slash}
			rest = after
			continue
		}
		if len(name) > 255 {
			return Found{}, abi.ENAMETOOLONG
		}
		if name == hostsName && cur.m == c.K.vfs.root && flags&WalkCached == 0 {
			c.awaitHosts()
		}
		n, e := c.lookup(cur, name, flags&WalkCached != 0)
		if e != 0 {
			return Found{}, e
		}
		if c.WantName || c.WantNear {
			c.seen.until = min(c.seen.until, cur.kids[name].until) // 0: not known
		}
		if n == nil {
			if last && (flags&WalkParent != 0 || flags&WalkCreate != 0) {
				return Found{dir: cur, name: name, last: lastNormal, slash: slash}, 0
			}
			return Found{}, abi.ENOENT
		}
		if n.isLink() && (!last || flags&(WalkFollow|WalkCreate) != 0 || slash && flags&WalkParent == 0) {
			if flags&WalkNoSymlinks != 0 {
				return Found{}, abi.ELOOP
			}
			if links++; links > maxLinks {
				return Found{}, abi.ELOOP
			}
			var target string
			if n.m.core != nil {
				l, e := n.m.core.ReadLink(c, n.id)
				if e != 0 {
					return Found{}, e
				}
				if l.Vnode != 0 || l.File != 0 {
					if flags&(WalkNoMagic) != 0 {
						return Found{}, abi.ELOOP
					}
					if flags&(WalkBeneath|WalkInRoot) != 0 {
						return Found{}, abi.EXDEV
					}
					if l.Vnode == 0 {
						if v := c.K.Files.Get(l.File).Vnode; v != 0 {
							l.Vnode = v
						}
					}
					if l.Vnode == 0 {
						if !last || slash {
							return Found{}, abi.ENOTDIR
						}
						if flags&WalkCreate != 0 || flags&WalkDir == 0 {
							return Found{File: l.File, last: lastJump}, 0
						}
						return Found{}, abi.ENOTDIR
					}
					if flags&WalkNoXdev != 0 && c.K.Vnodes.Get(l.Vnode).Mount != cur.m.ref {
						return Found{}, abi.EXDEV
					}
					cur = c.K.nodeOf(l.Vnode)
					if e := c.refresh(cur, true); e != 0 {
						return Found{}, e
					}
					out = Found{node: cur, File: 0, last: lastJump, slash: slash}
					rest = after
					continue
				}
				target = l.Text
			} else if target, e = c.readlink(n); e != 0 {
				return Found{}, e
			}
			if target == "" {
				return Found{}, abi.ENOENT
			}
			if len(target)+len(after) > 2*4096 {
				return Found{}, abi.ENAMETOOLONG
			}
			if target[0] == '/' {
				if flags&WalkBeneath != 0 {
					return Found{}, abi.EXDEV
				}
				if flags&WalkNoXdev != 0 && root.m != cur.m {
					return Found{}, abi.EXDEV
				}
				cur = root
				if e := c.refresh(cur, true); e != 0 {
					return Found{}, e
				}
				out = Found{node: cur, last: lastRoot}
			}
			rest = target + after
			continue
		}
		out = Found{dir: cur, name: name, node: n, last: lastNormal, slash: slash}
		if !last || flags&WalkParent == 0 {
			for n.covered != nil {
				if flags&WalkNoXdev != 0 {
					return Found{}, abi.EXDEV
				}
				n = n.covered.root
				if e := c.refresh(n, true); e != 0 {
					return Found{}, e
				}
				out.node = n
			}
		}
		cur = n
		rest = after
	}
	if out.node != nil && flags&WalkParent == 0 && (out.slash || flags&WalkDir != 0) && !out.node.isDir() {
		return Found{}, abi.ENOTDIR
	}
	return out, 0
}
