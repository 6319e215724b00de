package plan9

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"hythe/abi"
	"hythe/server/unix/core"
	"hythe/store"
)

// Where names lead. A process sees the machine's tree, with the services of this package
// in some places of it (services), as its name space has it (bind(2)): a core.Dict from
// directories to what is bound there.

// services are the places, and devices what they are called without the tree (intro(3)).
var services = map[string]uint32{"/dev": kDev, "/env": kEnvDir, "/proc": kProcDir, "/fd": kFdDir, "/srv": kSrvDir, "/net": kNetDir}

var devices = map[byte]string{'c': "/dev", 'e': "/env", 'p': "/proc", 'd': "/fd", 's': "/srv", 'I': "/net"}

// node is one of this package's files; kind 0 is none.
type node struct {
	kind uint32
	num  uint32 // process, descriptor, entry of a Dict
	name string // the last element of its name
}

// found is where a name leads: to one of our files, or else to one of the machine's tree.
type found struct {
	node
	abs   string // the name from the root, "" if nobody knows it
	to    string
	union []bound // what is bound to a directory, if that is several
	lent  bool    // to is a file of elsewhere's, which is there to be read
}

// find looks for a name; create says that it is to be made. What is found of ours stays
// until the lock is given up.
func (p *Personality) find(c *core.Call, name string, create bool) (f found, e abi.Errno) {
	if f.abs, e = p.absolute(c, name); e != 0 {
		return f, e
	}
	if f.abs == "" { // its directory has no name
		f.to = name
		return f, 0
	}
	if f.to, f.union, e = p.follow(c, f.abs, create); e != 0 {
		return f, e
	}
	n, e := p.own(c, f.to)
	switch {
	case e != 0 || n.kind != 0:
		f.node = n
	case n.name != "" && elsewhere[f.to] == n.name && create:
		// What is made under this name is not the other system's.
	case n.name != "":
		f.lent = elsewhere[f.to] == n.name
		f.to = n.name // another name for a file of the machine
	case f.to == f.abs && name[0] != '#' && (name[0] == '/' || c.Dot() == 0):
		f.to = name // with what the machine makes of its links
	}
	return f, e
}

// absolute is a name from the root, "" if nobody knows it.
func (p *Personality) absolute(c *core.Call, name string) (string, abi.Errno) {
	switch {
	case name == "":
		return "", abi.ENOENT
	case name[0] == '/':
		return path.Clean(name), 0
	case name[0] == '#':
		dev, rest, _ := strings.Cut(name[1:], "/")
		if dev == "" {
			return path.Clean("/" + rest), 0
		}
		at, ok := devices[dev[0]]
		if !ok {
			return "", abi.ENODEV
		}
		return path.Join(at, rest), 0
	}
	dot := p.dot(c)
	if dot == "" {
		return "", 0
	}
	return path.Join(dot, name), 0
}

// dot is the name of the current directory, "" if nobody knows it.
func (p *Personality) dot(c *core.Call) string {
	if f := c.Dot(); f != 0 {
		return store.String(p.K.Heap, p.opened.Get(store.Ref[opened](p.K.Files.Get(f).Aux)).Text)
	}
	cwd, e := c.Getcwd()
	if e != 0 || !strings.HasPrefix(cwd, "/") {
		return ""
	}
	return cwd
}

// setDot has the current directory be called as, by a name that is not the machine's; tree
// is the server's to which that leads, if any, which stays as long.
func (p *Personality) setDot(c *core.Call, as string, tree store.Ref[core.File]) abi.Errno {
	f, o, e := p.newOpened(kDot, core.AccessRead, as)
	if e != 0 {
		return e
	}
	if o.Part = tree; tree != 0 {
		p.K.HoldFile(tree)
	}
	c.SetDot(f)
	return 0
}

// Flags of bind(2).
const (
	mRepl   = 0
	mBefore = 1
	mAfter  = 2
	mOrder  = 3
	mCreate = 4
	mCache  = 16
)

// bound is one of the things that are bound to a name.
type bound struct {
	flags uint32
	to    string
}

// How far a name space goes: so many names are bound, so many directories are in a union,
// and a name leads through so many bindings, as it grows to so many bytes. All of it is
// work that others wait for.
const (
	maxBound  = 512
	maxUnion  = 32
	maxFollow = 32
	maxName   = 4096
)

func parseBound(v []byte) []bound {
	var l []bound
	for line := range strings.Lines(string(v)) {
		f, to, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		n, _ := strconv.Atoi(f)
		l = append(l, bound{uint32(n), to})
	}
	return l
}

func (p *Personality) boundTo(d store.Ref[core.Dict], at string) []bound {
	v, _ := p.K.DictGet(d, at)
	return parseBound(v)
}

func (p *Personality) setBound(d store.Ref[core.Dict], at string, l []bound) abi.Errno {
	if len(l) == 0 || len(l) == 1 && l[0].to == at {
		_ = p.K.DictRemove(d, at)
		return 0
	}
	if len(l) > maxUnion || p.K.DictLookup(d, at) == 0 && d != 0 && p.K.Dicts.Get(d).Count >= maxBound {
		return abi.ENOSPC
	}
	var b strings.Builder
	for _, x := range l {
		b.WriteString(strconv.Itoa(int(x.flags)) + " " + x.to + "\n")
	}
	return p.K.DictSet(d, at, []byte(b.String()))
}

// follow answers where an absolute name leads in the caller's name space: what is bound
// to the longest part of it takes that part's place, and so on with what that makes, each
// binding once; and what is bound to it itself, if that is several directories. ELOOP,
// ENAMETOOLONG.
func (p *Personality) follow(c *core.Call, abs string, create bool) (_ string, union []bound, _ abi.Errno) {
	var used []string
	for range maxFollow {
		at, l := p.covers(c.Proc().Dicts[core.DictNames], abs, used)
		if len(l) == 0 {
			return abs, union, 0
		}
		used = append(used, at)
		rest := strings.TrimPrefix(abs[len(at):], "/")
		to := l[0].to
		switch {
		case len(l) > 1 && rest != "":
			to = p.pick(c, l, rest, create)
		case len(l) > 1 && union == nil:
			union = l
		}
		if abs = path.Join(to, rest); len(abs) >= maxName {
			return "", nil, abi.ENAMETOOLONG
		}
	}
	return "", nil, abi.ELOOP
}

func (p *Personality) resolve(c *core.Call, abs string) (string, abi.Errno) {
	to, _, e := p.follow(c, abs, false)
	return to, e
}

// covers answers the longest part of a name that something is bound to, and what; none of
// used.
func (p *Personality) covers(d store.Ref[core.Dict], abs string, used []string) (at string, l []bound) {
	p.K.EachInDict(d, func(name string, v []byte) bool {
		if name[0] == '/' && len(name) > len(at) && strings.HasPrefix(abs, name) && (name == "/" || len(abs) == len(name) || abs[len(name)] == '/') && !slices.Contains(used, name) {
			at, l = name, parseBound(v)
		}
		return true
	})
	return at, l
}

// pick chooses from a union: the first directory that has the name, or into which may be
// created.
func (p *Personality) pick(c *core.Call, l []bound, rest string, create bool) string {
	for _, x := range l {
		if p.exists(c, path.Join(x.to, rest)) {
			return x.to
		}
	}
	if create {
		for _, x := range l {
			if x.flags&mCreate != 0 {
				return x.to
			}
		}
	}
	return l[0].to
}

func (p *Personality) exists(c *core.Call, abs string) bool {
	n, e := p.own(c, abs)
	if e == 0 && n.kind == kRemote {
		_, e = p.remoteType(c, n)
		delete(p.said, c.T)
	}
	if e != 0 || n.kind != 0 {
		return e == 0
	}
	if n.name != "" {
		abs = n.name
	}
	_, e = c.StatAt(core.AtCwd, abs, core.WalkFollow)
	return e == 0
}

// sysBind serves bind(2): name, old, flags.
func sysBind(p *Personality, c *core.Call) (uint64, abi.Errno) {
	flags := uint32(c.Args[2])
	if flags&^(mOrder|mCreate|mCache) != 0 || flags&mOrder == mOrder {
		return 0, abi.EINVAL
	}
	name, e := c.PathArg(0)
	if e != 0 {
		return 0, e
	}
	old, e := c.PathArg(1)
	if e != 0 {
		return 0, e
	}
	from, e := p.absolute(c, name)
	if e != 0 {
		return 0, e
	}
	at, e := p.absolute(c, old)
	if e != 0 {
		return 0, e
	}
	if from == "" || at == "" {
		return 0, abi.ENOENT
	}
	if strings.Contains(from+at, "\n") {
		return 0, abi.EINVAL
	}
	if from, e = p.resolve(c, from); e != 0 {
		return 0, e
	}
	under, e := p.resolve(c, at)
	if e != 0 {
		return 0, e
	}
	if !p.exists(c, from) || !p.exists(c, under) {
		return 0, abi.ENOENT
	}
	dir := p.isDir(c, from)
	if dir != p.isDir(c, under) || flags&mOrder != 0 && !dir {
		return 0, abi.EINVAL
	}
	d := c.Dict(core.DictNames)
	e = p.bindTo(d, from, at, flags)
	p.tidy(d)
	return 1, e
}

// bindTo binds one name to another in a name space.
func (p *Personality) bindTo(d store.Ref[core.Dict], from, at string, flags uint32) abi.Errno {
	l := p.boundTo(d, at)
	if l == nil {
		l = []bound{{0, at}}
	}
	x := bound{flags & mCreate, from}
	switch flags & mOrder {
	case mRepl:
		l = []bound{x}
	case mBefore:
		l = append([]bound{x}, l...)
	case mAfter:
		l = append(l, x)
	}
	return p.setBound(d, at, l)
}

func (p *Personality) isDir(c *core.Call, abs string) bool {
	n, e := p.own(c, abs)
	if e == 0 && n.kind == kRemote {
		t, e := p.remoteType(c, n)
		return e == 0 && t&qtDir != 0
	}
	if e == 0 && n.kind != 0 {
		return n.isDir()
	}
	s, e := c.StatAt(core.AtCwd, abs, core.WalkFollow)
	return e == 0 && isDir(&s)
}

// sysUnmount serves unmount (bind(2)): name, which may be none, old.
func sysUnmount(p *Personality, c *core.Call) (uint64, abi.Errno) {
	old, e := c.PathArg(1)
	if e != 0 {
		return 0, e
	}
	at, e := p.absolute(c, old)
	if e != 0 {
		return 0, e
	}
	from, to := "", ""
	if c.Args[0] != 0 {
		name, e := c.PathArg(0)
		if e != 0 {
			return 0, e
		}
		if from, e = p.absolute(c, name); e != 0 {
			return 0, e
		}
		if to, e = p.resolve(c, from); e != 0 {
			return 0, e
		}
	}
	d := c.Dict(core.DictNames)
	l := p.boundTo(d, at)
	if l == nil {
		return 0, abi.EINVAL
	}
	defer p.tidy(d)
	if c.Args[0] == 0 {
		return 0, p.setBound(d, at, nil)
	}
	for i, x := range l {
		if x.to == to || x.to == from {
			return 0, p.setBound(d, at, append(l[:i:i], l[i+1:]...))
		}
	}
	return 0, abi.EINVAL
}

// nameSpace is /proc/N/ns: the calls that would make it.
func (p *Personality) nameSpace(d store.Ref[core.Dict]) string {
	var b strings.Builder
	p.K.EachInDict(d, func(at string, v []byte) bool {
		for i, x := range parseBound(v) {
			opt := ""
			if i > 0 {
				opt = "a"
			}
			if x.flags&mCreate != 0 {
				opt += "c"
			}
			if opt != "" {
				opt = "-" + opt + " "
			}
			if x.to != at {
				call := "bind "
				if x.to[0] == '#' {
					call = "mount "
				}
				b.WriteString(call + opt + quote(x.to) + " " + quote(at) + "\n")
			}
		}
		return true
	})
	return b.String()
}
