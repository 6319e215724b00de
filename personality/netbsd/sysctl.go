package netbsd

import (
	"hythe/abi"
	"hythe/personality/bsd"
)

// variables are those of sysctl(3) that are served.
func variables() []bsd.Variable {
	kern := func(n ...int32) []int32 { return append([]int32{bsd.CtlKern}, n...) }
	hw := func(n int32) []int32 { return []int32{bsd.CtlHW, n} }
	return []bsd.Variable{
		bsd.Text("kern.ostype", kern(1), "NetBSD"),
		bsd.Text("kern.osrelease", kern(2), release),
		bsd.Number("kern.osrevision", kern(3), revision),
		bsd.Text("kern.version", kern(4), "NetBSD "+release+" (Hythe)\n"),
		bsd.Number("kern.maxproc", kern(6), 30000),
		bsd.Number("kern.argmax", kern(8), 256<<10),
		bsd.Hostname("kern.hostname", kern(10)),
		bsd.Ticks("kern.clockrate", kern(12), 100, 100, 100),
		bsd.Number("kern.posix1version", kern(17), 200112),
		bsd.Number("kern.ngroups", kern(18), 16),
		bsd.Number("kern.job_control", kern(19), 1),
		bsd.Number("kern.saved_ids", kern(20), 1),
		bsd.Number("kern.iov_max", kern(38), 1024),
		bsd.Number("kern.monotonic_clock", kern(47), 200112),
		bsd.Number("kern.somaxconn", kern(bsd.Auto+1), 128),
		bsd.Random("kern.arandom", kern(81)),
		bsd.BootTime("kern.boottime", kern(83)),
		bsd.Text("hw.machine", hw(1), "amd64"),
		bsd.CPUs("hw.ncpu", hw(3)),
		bsd.Number("hw.byteorder", hw(4), 1234),
		bsd.Number("hw.pagesize", hw(7), abi.PageSize),
		bsd.Text("hw.machine_arch", hw(10), "x86_64"),
		bsd.Memory("hw.physmem64", hw(13)),
		bsd.Memory("hw.usermem64", hw(14)),
		bsd.CPUs("hw.ncpuonline", hw(16)),
	}
}

// procVariable finds out what kern.proc_args.PID.WHAT asks for.
func procVariable(mib []int32) (what int, pid int32, ok bool) {
	const procArgs, argv, pathname = 48, 1, 5
	if len(mib) != 4 || mib[0] != bsd.CtlKern || mib[1] != procArgs {
		return 0, 0, false
	}
	switch mib[3] {
	case argv:
		what = bsd.ProcArgs
	case pathname:
		what = bsd.ProcPath
	}
	return what, mib[2], true
}
