package dragonfly

import (
	"hythe/abi"
	"hythe/personality/bsd"
)

// variables are those of sysctl(3) that are served.
func variables() []bsd.Variable {
	kern := func(n ...int32) []int32 { return append([]int32{bsd.CtlKern}, n...) }
	hw := func(n int32) []int32 { return []int32{bsd.CtlHW, n} }
	return []bsd.Variable{
		bsd.Text("kern.ostype", kern(1), "DragonFly"),
		bsd.Text("kern.osrelease", kern(2), release),
		bsd.Number("kern.osrevision", kern(3), 199506),
		bsd.Text("kern.version", kern(4), "DragonFly "+release+" Hythe\n"),
		bsd.Number("kern.maxproc", kern(6), 99999),
		bsd.Number("kern.argmax", kern(8), 512<<10),
		bsd.Hostname("kern.hostname", kern(10)),
		bsd.Ticks("kern.clockrate", kern(12), 100, 100, 100),
		bsd.Number("kern.posix1version", kern(17), 200112),
		bsd.Number("kern.ngroups", kern(18), 64),
		bsd.BootTime("kern.boottime", kern(21)),
		bsd.Number("kern.osreldate", kern(24), relDate),
		bsd.Number("kern.iov_max", kern(35), 1024),
		bsd.Random("kern.arandom", kern(37)),
		bsd.Number("kern.ipc.soacceptqueue", kern(bsd.Auto+2, 1), 128),
		bsd.Number("kern.ipc.somaxconn", kern(bsd.Auto+2, 2), 128),
		bsd.Text("hw.machine", hw(1), "x86_64"),
		bsd.CPUs("hw.ncpu", hw(3)),
		bsd.Number("hw.byteorder", hw(4), 1234),
		bsd.Memory("hw.physmem", hw(5)),
		bsd.Memory("hw.usermem", hw(6)),
		bsd.Number("hw.pagesize", hw(7), abi.PageSize),
		bsd.Text("hw.machine_arch", hw(11), "x86_64"),
	}
}

// procVariable finds out what kern.proc.WHAT.PID asks for.
func procVariable(mib []int32) (what int, pid int32, ok bool) {
	const proc, args, pathname = 14, 7, 9
	if len(mib) != 4 || mib[0] != bsd.CtlKern || mib[1] != proc {
		return 0, 0, false
	}
	switch mib[2] {
	case args:
		what = bsd.ProcArgs
	case pathname:
		what = bsd.ProcPath
	}
	return what, mib[3], true
}
