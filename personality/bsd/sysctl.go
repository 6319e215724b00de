package bsd

import (
	"encoding/binary"
	"slices"
	"strings"

	"hythe/abi"
	"hythe/server/unix/core"
	"hythe/store"
)

// Variable is a variable of sysctl(3): its name and number (sys/sysctl.h). Those whose
// number a system gives when it starts have one from Auto on.
type Variable struct {
	Name string
	MIB  []int32
	Kind VariableKind
	Get  func(c *core.Call) []byte
	// Cut: what does not fit is left out, which is no error.
	Cut bool
}

// VariableKind is what a variable holds, with NetBSD's numbers (CTLTYPE_INT...).
type VariableKind uint32

// Kinds of variables.
const (
	kindNode   VariableKind = 1
	KindInt    VariableKind = 2
	KindString VariableKind = 3
	KindQuad   VariableKind = 4
	KindStruct VariableKind = 5
)

// First numbers (sys/sysctl.h), and where those begin that a system gives itself.
const (
	CtlKern = 1
	CtlVM   = 2
	CtlNet  = 4
	CtlHW   = 6
	Auto    = 0x7fff0000
)

// Sysctl is what a system has of sysctl(3).
type Sysctl struct {
	// Variables are those that are served. It is a function since no other process
	// than the unix server needs them.
	Variables func() []Variable
	// Proc says which process and what of it a number asks for: one of Proc.... False:
	// it is no such number.
	Proc func(mib []int32) (what int, pid int32, ok bool)
	// Names: 0.3 turns a name into a number. Query: a number's last part -2 asks for
	// the nodes below it.
	Names, Query bool
	// Needs: a value that does not fit says how long it is, instead of how much came.
	Needs bool
	// Route is how it tells of interfaces.
	Route RouteNumbers
}

// What Sysctl.Proc asks for.
const (
	ProcPath = 1 + iota
	ProcArgs
)

// Text is a variable that is a string.
func Text(name string, mib []int32, s string) Variable {
	return Variable{Name: name, MIB: mib, Kind: KindString, Get: func(*core.Call) []byte { return append([]byte(s), 0) }}
}

// Number is a variable that is always the same number.
func Number(name string, mib []int32, v uint32) Variable {
	return Variable{Name: name, MIB: mib, Kind: KindInt, Get: func(*core.Call) []byte { return binary.LittleEndian.AppendUint32(nil, v) }}
}

// CPUs is how many processors there are.
func CPUs(name string, mib []int32) Variable {
	return Variable{Name: name, MIB: mib, Kind: KindInt,
		Get: func(c *core.Call) []byte {
			cpus := c.K.CPUs()
			return binary.LittleEndian.AppendUint32(nil, uint32(cpus.Len()))
		}}
}

// Memory is how many bytes of memory the machine has.
func Memory(name string, mib []int32) Variable {
	return Variable{Name: name, MIB: mib, Kind: KindQuad,
		Get: func(c *core.Call) []byte { return binary.LittleEndian.AppendUint64(nil, c.K.Use().Total) }}
}

// Ticks is struct clockinfo (sys/time.h): ticks a second, microseconds of one, a number that
// is of no use, ticks a second of statistics and of profiles.
func Ticks(name string, mib []int32, hz, stat, prof uint32) Variable {
	return Variable{Name: name, MIB: mib, Kind: KindStruct, Get: func(*core.Call) []byte {
		var b []byte
		for _, v := range [...]uint32{hz, 1e6 / hz, 0, stat, prof} {
			b = binary.LittleEndian.AppendUint32(b, v)
		}
		return b
	}}
}

// BootTime is when the machine was started, a struct timeval.
func BootTime(name string, mib []int32) Variable {
	return Variable{Name: name, MIB: mib, Kind: KindStruct, Get: func(c *core.Call) []byte {
		b := make([]byte, 16)
		putTimeval(b, c.K.Globals().BootReal)
		return b
	}}
}

// Swap is how many bytes of swap space there are: none.
func Swap(name string, mib []int32) Variable {
	return Variable{Name: name, MIB: mib, Kind: KindQuad, Get: func(*core.Call) []byte { return make([]byte, 8) }}
}

// Random is 256 random bytes, or as many as there is room for.
func Random(name string, mib []int32) Variable {
	return Variable{Name: name, MIB: mib, Kind: KindStruct, Cut: true, Get: func(c *core.Call) []byte {
		b := make([]byte, 256)
		c.K.Random(b)
		return b
	}}
}

// Hostname is the machine's name.
func Hostname(name string, mib []int32) Variable {
	return Variable{Name: name, MIB: mib, Kind: KindString, Get: func(c *core.Call) []byte {
		h := c.K.Globals().Hostname[:]
		if i := slices.Index(h, 0); i >= 0 {
			h = h[:i]
		}
		return append(slices.Clone(h), 0)
	}}
}

// SysctlCall serves __sysctl(2): number, its length, old value, its size, new value and
// its size.
func SysctlCall(p *Personality, c *core.Call) (uint64, abi.Errno) {
	le := binary.LittleEndian
	x := &p.Sys.Sysctl
	n := c.Args[1]
	if n < 2 && !(n == 1 && x.Query) || n > 24 {
		return 0, abi.EINVAL
	}
	b, e := c.CopyIn(c.Args[0], int(4*n))
	if e != 0 {
		return 0, e
	}
	mib := make([]int32, n)
	for i := range mib {
		mib[i] = int32(le.Uint32(b[4*i:]))
	}
	const nameToOID, query = 3, -2
	if x.Names && mib[0] == 0 && mib[1] == nameToOID && n == 2 {
		if c.Args[5] == 0 || c.Args[5] >= 1024 {
			return 0, abi.EINVAL
		}
		b, e := c.CopyIn(c.Args[4], int(c.Args[5]))
		if e != 0 {
			return 0, e
		}
		if i := slices.Index(b, 0); i >= 0 {
			b = b[:i]
		}
		v, e := p.variable(func(v *Variable) bool { return v.Name == string(b) })
		if e != 0 {
			return 0, e
		}
		var out []byte
		for _, x := range v.MIB {
			out = le.AppendUint32(out, uint32(x))
		}
		return 0, p.oldValue(c, out, false)
	}
	if x.Query && mib[n-1] == query {
		out, e := p.nodes(c, mib[:n-1])
		if e != 0 {
			return 0, e
		}
		return 0, p.oldValue(c, out, false)
	}
	if what, pid, ok := x.Proc(mib); ok {
		b, e := ofProc(c, what, pid)
		if e != 0 {
			return 0, e
		}
		return 0, p.oldValue(c, b, false)
	}
	if b, ok, e := p.routing(c, mib); ok {
		if e != 0 {
			return 0, e
		}
		return 0, p.oldValue(c, b, false)
	}
	return p.showVariable(c, func(v *Variable) bool { return slices.Equal(v.MIB, mib) })
}

// variable answers the variable that is asked for. ENOENT.
func (p *Personality) variable(is func(*Variable) bool) (*Variable, abi.Errno) {
	all := p.Sys.Sysctl.Variables()
	if i := slices.IndexFunc(all, func(v Variable) bool { return is(&v) }); i >= 0 {
		return &all[i], 0
	}
	return nil, abi.ENOENT
}

// showVariable serves a call for the variable that is asked for. EPERM: nothing can be
// set.
func (p *Personality) showVariable(c *core.Call, is func(*Variable) bool) (uint64, abi.Errno) {
	v, e := p.variable(is)
	if e != 0 {
		return 0, e
	}
	if c.Args[4] != 0 {
		return 0, abi.EPERM
	}
	return 0, p.oldValue(c, v.Get(c), v.Cut)
}

// Sysctlbyname serves __sysctlbyname(2): name, its length, old, its size, new, its size.
func Sysctlbyname(p *Personality, c *core.Call) (uint64, abi.Errno) {
	if c.Args[1] == 0 || c.Args[1] >= 1024 {
		return 0, abi.EINVAL
	}
	b, e := c.CopyIn(c.Args[0], int(c.Args[1]))
	if e != 0 {
		return 0, e
	}
	name := string(b)
	return p.showVariable(c, func(v *Variable) bool { return v.Name == name })
}

// struct sysctlnode (sys/sysctl.h of NetBSD): flags 0, number 4, name 8, version 40, a
// value of 16 bytes, the value's size 64, and three pointers.
const (
	nodeSize    = 96
	nodeName    = 32
	nodeVersion = 0x01000000 // SYSCTL_VERS_1
	nodeVerMask = 0xff000000
)

// nodes answers the nodes below a number, as CTL_QUERY does. The new value must be a node
// of the right version. ENOENT, EINVAL.
func (p *Personality) nodes(c *core.Call, below []int32) ([]byte, abi.Errno) {
	le := binary.LittleEndian
	if c.Args[4] != 0 {
		if c.Args[5] != nodeSize {
			return nil, abi.EINVAL
		}
		b, e := c.CopyIn(c.Args[4], nodeSize)
		if e != 0 {
			return nil, e
		}
		if le.Uint32(b)&nodeVerMask != nodeVersion {
			return nil, abi.EINVAL
		}
	}
	var out []byte
	seen := map[int32]bool{}
	for _, v := range p.Sys.Sysctl.Variables() {
		if len(v.MIB) <= len(below) || !slices.Equal(v.MIB[:len(below)], below) || seen[v.MIB[len(below)]] {
			continue
		}
		seen[v.MIB[len(below)]] = true
		var b [nodeSize]byte
		kind := kindNode
		if len(v.MIB) == len(below)+1 {
			kind = v.Kind
			le.PutUint64(b[64:], uint64(len(v.Get(c))))
		}
		le.PutUint32(b[:], nodeVersion|uint32(kind))
		le.PutUint32(b[4:], uint32(v.MIB[len(below)]))
		copy(b[8:8+nodeName-1], strings.Split(v.Name, ".")[len(below)])
		out = append(out, b[:]...)
	}
	if out == nil && len(below) > 0 {
		return nil, abi.ENOENT
	}
	return out, 0
}

// ofProc answers what a variable says of a process (-1: the caller's). ESRCH, ENOENT.
func ofProc(c *core.Call, what int, pid int32) ([]byte, abi.Errno) {
	r := c.ProcRef()
	if pid != -1 {
		r = c.K.ProcByPid(pid)
	}
	pr := c.K.Procs.Get(r)
	if pr == nil || pr.State != core.ProcLive {
		return nil, abi.ESRCH
	}
	switch what {
	case ProcPath:
		return append([]byte(exePath(c, pr.Exe)), 0), 0
	case ProcArgs:
		if r == c.ProcRef() {
			argv, _, _ := c.ExecArgs()
			var b []byte
			for _, a := range argv {
				b = append(append(b, a...), 0)
			}
			return b, 0
		}
	}
	return nil, abi.ENOENT
}

func exePath(c *core.Call, v store.Ref[core.Vnode]) string {
	if v == 0 {
		return ""
	}
	// What was executed keeps its name when that goes.
	return strings.TrimSuffix(c.PathFor(v), " (deleted)")
}

// oldValue hands a value out to the call's old value (argument 2): argument 3 is where its
// room is told, and what it takes is stored. Address 0 only asks for that. ENOMEM if it
// does not fit, unless it may be cut.
func (p *Personality) oldValue(c *core.Call, v []byte, cut bool) abi.Errno {
	addr, size := c.Args[2], c.Args[3]
	if size == 0 {
		if addr != 0 {
			c.CopyOut(addr, v)
		}
		return 0
	}
	room, e := c.CopyIn64(size)
	if e != 0 {
		return e
	}
	if addr == 0 {
		c.CopyOut64(size, uint64(len(v)))
		return 0
	}
	n := min(room, uint64(len(v)))
	c.CopyOut(addr, v[:n])
	told := n
	if p.Sys.Sysctl.Needs && !cut {
		told = uint64(len(v))
	}
	c.CopyOut64(size, told)
	if n < uint64(len(v)) && !cut {
		return abi.ENOMEM
	}
	return 0
}
