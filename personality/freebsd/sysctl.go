package freebsd

import (
	"slices"

	"hythe/abi"
	"hythe/personality/bsd"
	"hythe/server/unix/core"
	"hythe/store"
)

// A variable of sysctl(3): its name and number (sys/sysctl.h). Those whose number the
// system gives when it starts have one above 0x7fff0000 here.
type variable struct {
	name string
	mib  []int32
	get  func(c *core.Call) []byte
}

// arandom is the variable of which what does not fit is left out, which is no error.
const arandom = "kern.arandom"

func text(s string) func(*core.Call) []byte {
	return func(*core.Call) []byte { return append([]byte(s), 0) }
}

func number(v uint32) func(*core.Call) []byte {
	return func(*core.Call) []byte { return le.AppendUint32(nil, v) }
}

func cpus(c *core.Call) []byte {
	cpus := c.K.CPUs()
	return le.AppendUint32(nil, uint32(cpus.Len()))
}

func memory(c *core.Call) []byte { return le.AppendUint64(nil, c.K.Use().Total) }

func random(c *core.Call) []byte {
	b := make([]byte, 256)
	c.K.Random(b)
	return b
}

func hostname(c *core.Call) []byte {
	h := c.K.Globals().Hostname[:]
	if i := slices.Index(h, 0); i >= 0 {
		h = h[:i]
	}
	return append(slices.Clone(h), 0)
}

const (
	ctlKern, ctlHW = 1, 6
	auto           = 0x7fff0000
)

// variables are those that are served. It is a function since no other process than the
// unix server needs them.
func variables() []variable {
	return []variable{
		{"kern.ostype", []int32{ctlKern, 1}, text("FreeBSD")},
		{"kern.osrelease", []int32{ctlKern, 2}, text(release)},
		{"kern.osrevision", []int32{ctlKern, 3}, number(199506)},
		{"kern.version", []int32{ctlKern, 4}, text("FreeBSD " + release + " Hythe\n")},
		{"kern.argmax", []int32{ctlKern, 8}, number(512 << 10)},
		{"kern.hostname", []int32{ctlKern, 10}, hostname},
		{"kern.posix1version", []int32{ctlKern, 17}, number(200112)},
		{"kern.ngroups", []int32{ctlKern, 18}, number(64)},
		{"kern.osreldate", []int32{ctlKern, 24}, number(relDate)},
		{"kern.iov_max", []int32{ctlKern, 35}, number(1024)},
		{arandom, []int32{ctlKern, 37}, random},
		{"kern.smp.maxcpus", []int32{ctlKern, auto + 1, 1}, cpus},
		{"kern.smp.cpus", []int32{ctlKern, auto + 1, 2}, cpus},
		{"kern.ipc.soacceptqueue", []int32{ctlKern, auto + 2, 1}, number(128)},
		{"kern.ipc.somaxconn", []int32{ctlKern, auto + 2, 2}, number(128)},
		{"hw.machine", []int32{ctlHW, 1}, text("amd64")},
		{"hw.ncpu", []int32{ctlHW, 3}, cpus},
		{"hw.byteorder", []int32{ctlHW, 4}, number(1234)},
		{"hw.physmem", []int32{ctlHW, 5}, memory},
		{"hw.usermem", []int32{ctlHW, 6}, memory},
		{"hw.pagesize", []int32{ctlHW, 7}, number(abi.PageSize)},
		{"hw.machine_arch", []int32{ctlHW, 11}, text("amd64")},
	}
}

// sysSysctl serves __sysctl(2): number, its length, old value, its size, new value and
// its size.
func sysSysctl(p *bsd.Personality, c *core.Call) (uint64, abi.Errno) {
	n := c.Args[1]
	if n < 2 || n > 24 {
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
	const nameToOID = 3
	if mib[0] == 0 && mib[1] == nameToOID && n == 2 {
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
		v, e := find(func(v *variable) bool { return v.name == string(b) })
		if e != 0 {
			return 0, e
		}
		var out []byte
		for _, x := range v.mib {
			out = le.AppendUint32(out, uint32(x))
		}
		return 0, old(c, out, false)
	}
	const kernProc = 14
	if mib[0] == ctlKern && mib[1] == kernProc && n == 4 {
		b, e := ofProc(c, mib[2], mib[3])
		if e != 0 {
			return 0, e
		}
		return 0, old(c, b, false)
	}
	return show(c, func(v *variable) bool { return slices.Equal(v.mib, mib) })
}

// find answers the variable that is asked for. ENOENT.
func find(is func(*variable) bool) (*variable, abi.Errno) {
	all := variables()
	if i := slices.IndexFunc(all, func(v variable) bool { return is(&v) }); i >= 0 {
		return &all[i], 0
	}
	return nil, abi.ENOENT
}

// show serves a call for the variable that is asked for. EPERM: nothing can be set.
func show(c *core.Call, is func(*variable) bool) (uint64, abi.Errno) {
	v, e := find(is)
	if e != 0 {
		return 0, e
	}
	if c.Args[4] != 0 {
		return 0, abi.EPERM
	}
	return 0, old(c, v.get(c), v.name == arandom)
}

// sysSysctlbyname serves __sysctlbyname(2): name, its length, old, its size, new, its
// size.
func sysSysctlbyname(p *bsd.Personality, c *core.Call) (uint64, abi.Errno) {
	if c.Args[1] == 0 || c.Args[1] >= 1024 {
		return 0, abi.EINVAL
	}
	b, e := c.CopyIn(c.Args[0], int(c.Args[1]))
	if e != 0 {
		return 0, e
	}
	name := string(b)
	return show(c, func(v *variable) bool { return v.name == name })
}

// ofProc answers what kern.proc's variable which says of a process (-1: the caller's).
// ESRCH, ENOENT.
func ofProc(c *core.Call, which, pid int32) ([]byte, abi.Errno) {
	const procArgs, procPathname = 7, 12
	r := c.ProcRef()
	if pid != -1 {
		r = c.K.ProcByPid(pid)
	}
	pr := c.K.Procs.Get(r)
	if pr == nil || pr.State != core.ProcLive {
		return nil, abi.ESRCH
	}
	switch which {
	case procPathname:
		return append([]byte(exePath(c, pr.Exe)), 0), 0
	case procArgs:
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
	return c.PathFor(v)
}

// old hands a value out to both calls' old value (argument 2): argument 3 is where its
// room is told, and what it takes is stored. Address 0 only asks for that. ENOMEM if it
// does not fit, unless it may be cut.
func old(c *core.Call, v []byte, cut bool) abi.Errno {
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
	c.CopyOut64(size, n)
	if n < uint64(len(v)) && !cut {
		return abi.ENOMEM
	}
	return 0
}
