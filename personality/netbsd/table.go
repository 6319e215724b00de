// Package netbsd is the NetBSD personality: programs for NetBSD/amd64, release 10. Its
// table of calls and what only NetBSD has are here; what the descendants of 4.4BSD share
// is package bsd. Numbers are those of sys/kern/syscalls.master (sys/syscall.h),
// structures those of sys/sys and sys/arch/amd64/include.
package netbsd

import (
	"hythe/abi"
	"hythe/idl/fs"
	"hythe/personality/bsd"
	"hythe/server/unix/core"
)

// New makes the personality of k; nil: only the table is wanted.
func New(k *core.Kernel) *bsd.Personality { return bsd.New(k, &system) }

// Index is the personality's number.
const Index = 2

var system = bsd.System{
	Name: "netbsd", Index: Index,
	Calls: []func() []bsd.Entry{bsd.Shared, calls}, Brand: brand, Start: start, Deliver: deliver, Fault: bsd.FaultAs(core.SIGSEGV, 2),
	PutStat: putStat, StatSize: 152, PutStatfs: putStatfs, StatfsSize: 2256, Dirent: putDirent,
	Open: bsd.OpenFlags{Directory: 0x200000, Cloexec: 0x400000, Direct: 0x80000, Dsync: 0x10000, TimeNow: 1<<30 - 1, TimeOmit: 1<<30 - 2},
	Sock: bsd.SockNumbers{Inet6: 24, MsgNosignal: 0x400, MsgCloexec: 0x800, Timestamp: 0x2000, Sndtimeo: 0x100b, Rcvtimeo: 0x100c,
		KeepIdle: 3, KeepIntvl: 5, KeepCount: 6, PeerCred: 3, PutPeer: putPeer},
	Signals: signals, Sysctl: bsd.Sysctl{Variables: variables, Proc: procVariable, Query: true, Needs: true,
		Route: bsd.RouteNumbers{Route: 34, Iflist: 5, Version: 4, Info: 0x14, DataSize: 0x88, LinkState: 4, AddrSize: 0x18, AddrIndex: 16, LinkSize: 0x14, Loopback: "lo0", Ethernet: "vioif0"}},
	FDMask: 4,
	At:     bsd.AtFlags{Cwd: -100, Eaccess: 0x100, Nofollow: 0x200, Follow: 0x400, Removedir: 0x800},
	Fcntl:  bsd.FcntlNumbers{Getlk: 7, FlockSize: 24, DupCloexec: 12, Closem: 10, Maxfd: 11},
	Wait:   bsd.WaitNumbers{Continued: 0x10, Nowait: 0x10000, Exited: 0x20, Trapped: 0x40, Pid: 1, Pgid: 4, All: 0, Went: 0xffff, InfoSize: infoSize},
	Usec32: true,
	Errnos: &bsd.Errnos{abi.EIDRM: 82, abi.ENOMSG: 83, abi.EOVERFLOW: 84, abi.EILSEQ: 85, abi.ECANCELED: 87, abi.EBADMSG: 88, abi.ENODATA: 89,
		abi.ENOSR: 90, abi.ENOSTR: 91, abi.ETIME: 92, abi.EMULTIHOP: 94, abi.ENOLINK: 95, abi.EPROTO: 96},
	UnlinkDir: abi.EPERM, NofollowLink: bsd.EFTYPE,
}

// putStat encodes struct stat (sys/stat.h).
func putStat(c *core.Call, b []byte, s *core.Stat) {
	le.PutUint64(b[0:], s.Dev)
	le.PutUint32(b[8:], s.Mode)
	le.PutUint64(b[16:], s.Ino)
	le.PutUint32(b[24:], uint32(s.Nlink))
	le.PutUint32(b[28:], c.ShowUID(s.UID))
	le.PutUint32(b[32:], c.ShowGID(s.GID))
	le.PutUint64(b[40:], s.Rdev)
	birth := s.Btime
	if birth.Sec == 0 {
		birth = fs.Time{Sec: -1}
	}
	for i, t := range []fs.Time{s.Atime, s.Mtime, s.Ctime, birth} {
		le.PutUint64(b[48+16*i:], uint64(t.Sec))
		le.PutUint64(b[56+16*i:], uint64(t.Nsec))
	}
	le.PutUint64(b[112:], s.Size)
	le.PutUint64(b[120:], s.Blocks)
	le.PutUint32(b[128:], s.BlkSize)
}

// putStatfs encodes struct statvfs (sys/statvfs.h).
func putStatfs(b []byte, s *bsd.Statfs) {
	for i, v := range []uint64{0, uint64(s.BSize), uint64(s.BSize), uint64(s.BSize), s.Blocks, s.Bfree, s.Bavail, s.Bfree - min(s.Bavail, s.Bfree),
		s.Files, s.Ffree, s.Ffree, 0} {
		le.PutUint64(b[8*i:], v)
	}
	le.PutUint64(b[144:], uint64(s.NameLen))
	copy(b[172:], "hythe") // f_fstypename
}

// putDirent appends struct dirent (sys/dirent.h): number, length, length of the name,
// type, the name; on 8 bytes.
func putDirent(b []byte, max int, d *bsd.Dirent) ([]byte, bool) {
	n := (13 + len(d.Name) + 1 + 7) &^ 7
	if len(b)+n > max {
		return b, false
	}
	at := len(b)
	b = append(b, make([]byte, n)...)
	e := b[at:]
	le.PutUint64(e, d.Ino)
	le.PutUint16(e[8:], uint16(n))
	le.PutUint16(e[10:], uint16(len(d.Name)))
	e[12] = byte(d.Type)
	copy(e[13:], d.Name)
	return b, true
}

// clocks are the host's clocks by the system's numbers (sys/time.h).
var clocks = []uint8{bsd.HostRealtime, bsd.NoClock, bsd.NoClock, bsd.HostMono}

// advice is the host's advice by the system's numbers (sys/mman.h): what asks for pages
// to be given up soon changes nothing, what frees them frees them.
var advice = []uint8{0, 1, 2, 3, 0, 0, 8}

// calls are those that the other systems have not, or have by other numbers.
func calls() []bsd.Entry {
	str, fixed, buf, pre := bsd.Str, bsd.Fixed, bsd.Buf, bsd.Pre
	iov := pre(abi.Pre{Kind: abi.PreIovRO, Arg: 1, Size: 2})
	iovData := pre(abi.Pre{Kind: abi.PreIov, Arg: 1, Size: 2})
	return []bsd.Entry{
		// processes and threads
		{Nr: 449, Name: "__wait450", Fn: bsd.Wait4, Sig: "iwxp", Level: bsd.Partial, Note: "rusage: times only"},
		{Nr: 481, Name: "wait6", Fn: bsd.Wait6(putInfo), Sig: "idwxpp", Level: bsd.Partial, Note: "idtype P_ALL, P_PID, P_PGID; rusage: times only"},
		{Nr: 465, Name: "fexecve", Fn: bsd.Fexecve, Sig: "fpp"},
		{Nr: 286, Name: "getsid", Fn: bsd.Getsid, Sig: "i"},
		{Nr: 309, Name: "_lwp_create", Fn: sysLwpCreate, Sig: "pxp", FS: true, Pre: pre(fixed(0, ucSize-fpSize)), Level: bsd.Partial, Note: "LWP_SUSPENDED is EINVAL; all are detached; the vector state is the caller's"},
		{Nr: 310, Name: "_lwp_exit", Fn: sysLwpExit},
		{Nr: 311, Name: "_lwp_self", Fn: sysLwpSelf, Local: abi.LocalTid},
		{Nr: 316, Name: "_lwp_getprivate", Fn: sysLwpGetprivate, FS: true},
		{Nr: 317, Name: "_lwp_setprivate", Fn: sysLwpSetprivate, Sig: "p"},
		{Nr: 318, Name: "_lwp_kill", Fn: sysLwpKill, Sig: "iG"},
		{Nr: 319, Name: "_lwp_detach", Fn: sysLwpDetach, Sig: "i", Level: bsd.Partial, Note: "EINVAL for one that is there: all are detached"},
		{Nr: 321, Name: "_lwp_unpark", Fn: sysLwpUnpark, Local: abi.LocalUnpark, Sig: "ip"},
		{Nr: 478, Name: "____lwp_park60", Fn: sysLwpPark, Local: abi.LocalPark, Sig: "ixpipp"},
		{Nr: 323, Name: "_lwp_setname", Fn: sysLwpSetname, Sig: "is", Pre: pre(str(1))},
		{Nr: 324, Name: "_lwp_getname", Fn: sysLwpGetname, Sig: "ipu"},
		{Nr: 349, Name: "_sched_getaffinity", Fn: sysGetaffinity, Sig: "iiup", Level: bsd.Partial, Note: "of the caller's process"},
		{Nr: 350, Name: "sched_yield", Fn: bsd.Zero, Local: abi.LocalYield},
		// users
		{Nr: 126, Name: "setreuid", Fn: bsd.Setreuid, Sig: "ii"},
		{Nr: 127, Name: "setregid", Fn: bsd.Setregid, Sig: "ii"},
		{Nr: 79, Name: "getgroups", Fn: bsd.GetgroupsApart, Sig: "ip"},
		{Nr: 80, Name: "setgroups", Fn: bsd.SetgroupsApart, Sig: "ip", Level: bsd.Partial, Note: "at most 65 groups"},
		{Nr: 305, Name: "issetugid", Fn: bsd.Issetugid},
		// signals
		{Nr: 281, Name: "__sigaltstack14", Fn: bsd.Sigaltstack, Sig: "pp", Pre: pre(fixed(0, 24))},
		{Nr: 293, Name: "__sigprocmask14", Fn: bsd.Sigprocmask, Sig: "ipp", Pre: pre(fixed(1, 16))},
		{Nr: 292, Name: "__sigpending14", Fn: bsd.Sigpending, Sig: "p"},
		{Nr: 294, Name: "__sigsuspend14", Fn: bsd.Sigsuspend, Sig: "p", Pre: pre(fixed(0, 16))},
		{Nr: 340, Name: "__sigaction_sigtramp", Fn: bsd.Sigaction(bsd.SigactionLayout{Flags: 24, Mask: 8, Trampoline: true, Version: 2}), Sig: "Gpppi", Pre: pre(fixed(1, 32)), Level: bsd.Partial, Note: "trampolines of version 2"},
		{Nr: 307, Name: "getcontext", Fn: sysGetcontext, Sig: "p", FS: true},
		{Nr: 308, Name: "setcontext", Fn: sysSetcontext, Sig: "p", FS: true, Pre: pre(fixed(0, ucSize-fpSize))},
		// memory
		{Nr: 197, Name: "mmap", Fn: bsd.Mmap(bsd.MapFlags{Padded: true, Ignore: 0x20 | 0x40 | 0x80 | 0x200 | 0x400 | 0x800 | 0x2000}),
			Sig: "puxxf", Level: bsd.Partial, Note: "what is mapped shared or from a file is aligned to pages only; MAP_WIRED locks nothing"},
		{Nr: 75, Name: "madvise", Fn: bsd.Refuse(abi.EINVAL), Sig: "pui", Local: abi.LocalAdvice, Digits: advice},
		{Nr: 277, Name: "__msync13", Fn: bsd.Msync, Sig: "pux"},
		// time
		{Nr: 418, Name: "__gettimeofday50", Fn: bsd.Gettimeofday, Sig: "pp"},
		{Nr: 427, Name: "__clock_gettime50", Fn: bsd.Refuse(abi.EINVAL), Sig: "ip", Local: abi.LocalClocks, Digits: clocks, Level: bsd.Partial, Note: "CLOCK_VIRTUAL and CLOCK_PROF are EINVAL"},
		{Nr: 429, Name: "__clock_getres50", Fn: bsd.ClockGetres, Sig: "ip"},
		{Nr: 430, Name: "__nanosleep50", Fn: bsd.Nanosleep, Sig: "pp", Pre: pre(fixed(0, 16)), Local: abi.LocalNanosleep},
		{Nr: 477, Name: "clock_nanosleep", Fn: bsd.ClockNanosleep, Sig: "ixpp", Pre: pre(fixed(2, 16))},
		{Nr: 425, Name: "__setitimer50", Fn: bsd.Setitimer, Sig: "ipp", Pre: pre(fixed(1, 32))},
		{Nr: 426, Name: "__getitimer50", Fn: bsd.Getitimer, Sig: "ip"},
		// the system
		{Nr: 445, Name: "__getrusage50", Fn: bsd.Getrusage, Sig: "ip", Level: bsd.Partial, Note: "times and resident size only"},
		// events
		{Nr: 417, Name: "__select50", Fn: bsd.Select, Sig: "ipppp"},
		{Nr: 436, Name: "__pselect50", Fn: bsd.SelectMask, Sig: "ippppp"},
		{Nr: 437, Name: "__pollts50", Fn: bsd.PollMask, Sig: "pupp"},
		{Nr: 344, Name: "kqueue", Fn: bsd.Kqueue},
		{Nr: 455, Name: "kqueue1", Fn: bsd.Kqueue1, Sig: "x"},
		{Nr: 435, Name: "__kevent50", Fn: bsd.Kevent(&kevents), Sig: "fpupup", Pre: pre(fixed(1, 80), fixed(5, 16)), Level: bsd.Partial,
			Note: "filters READ, WRITE, TIMER and USER; others are EINVAL, devices ENODEV"},
		// sockets
		{Nr: 394, Name: "__socket30", Fn: bsd.Socket, Sig: "ixi", Level: bsd.Partial, Note: "AF_UNIX, AF_INET, AF_INET6; others are EAFNOSUPPORT"},
		{Nr: 456, Name: "paccept", Fn: bsd.Paccept, Sig: "fpppx"},
		// files
		{Nr: 289, Name: "preadv", Fn: bsd.Padded(3, bsd.Preadv), Sig: "fpuxd", Pre: iov},
		{Nr: 290, Name: "pwritev", Fn: bsd.Padded(3, bsd.Pwritev), Sig: "fpuxd", Pre: iovData},
		{Nr: 173, Name: "pread", Fn: bsd.Padded(3, bsd.Pread), Sig: "fBuxd"},
		{Nr: 174, Name: "pwrite", Fn: bsd.Padded(3, bsd.Pwrite), Sig: "fbuxd", Pre: pre(buf(1, 2))},
		{Nr: 199, Name: "lseek", Fn: bsd.Padded(1, bsd.Lseek), Sig: "fxdi"},
		{Nr: 468, Name: "openat", Fn: bsd.Openat, Sig: "fsxm", Pre: pre(str(1))},
		{Nr: 440, Name: "__fstat50", Fn: bsd.Fstat, Sig: "fp"},
		{Nr: 439, Name: "__stat50", Fn: bsd.Stat, Sig: "sp", Pre: pre(str(0))},
		{Nr: 441, Name: "__lstat50", Fn: bsd.Lstat, Sig: "sp", Pre: pre(str(0))},
		{Nr: 466, Name: "fstatat", Fn: bsd.Fstatat, Sig: "fspx", Pre: pre(str(1))},
		{Nr: 357, Name: "statvfs1", Fn: bsd.StatfsPath, Sig: "spx", Pre: pre(str(0)), Level: bsd.Partial, Note: "names of file systems are \"hythe\""},
		{Nr: 356, Name: "getvfsstat", Fn: bsd.Getfsstat, Sig: "pux", Level: bsd.Partial, Note: "as statvfs1"},
		{Nr: 358, Name: "fstatvfs1", Fn: bsd.Fstatfs, Sig: "fpx", Level: bsd.Partial, Note: "as statvfs1"},
		{Nr: 390, Name: "__getdents30", Fn: bsd.Getdents, Sig: "fpu"},
		{Nr: 462, Name: "faccessat", Fn: bsd.Faccessat, Sig: "fsxx", Pre: pre(str(1))},
		{Nr: 469, Name: "readlinkat", Fn: bsd.Readlinkat, Sig: "fsBu", Pre: pre(str(1))},
		{Nr: 461, Name: "mkdirat", Fn: bsd.Mkdirat, Sig: "fsm", Pre: pre(str(1))},
		{Nr: 471, Name: "unlinkat", Fn: bsd.Unlinkat, Sig: "fsx", Pre: pre(str(1))},
		{Nr: 458, Name: "renameat", Fn: bsd.Renameat, Sig: "fsfs", Pre: pre(str(1), str(3))},
		{Nr: 270, Name: "__posix_rename", Fn: bsd.Rename, Sig: "ss", Pre: pre(str(0), str(1))},
		{Nr: 457, Name: "linkat", Fn: bsd.Linkat, Sig: "fsfsx", Pre: pre(str(1), str(3))},
		{Nr: 470, Name: "symlinkat", Fn: bsd.Symlinkat, Sig: "sfs", Pre: pre(str(0), str(2))},
		{Nr: 459, Name: "mkfifoat", Fn: bsd.Mkfifoat, Sig: "fsm", Pre: pre(str(1))},
		{Nr: 296, Name: "__getcwd", Fn: bsd.GetcwdLen, Sig: "Zu"},
		{Nr: 463, Name: "fchmodat", Fn: bsd.Fchmodat, Sig: "fsmx", Pre: pre(str(1))},
		{Nr: 275, Name: "lchown", Fn: bsd.Lchown, Sig: "sii", Pre: pre(str(0))},
		{Nr: 464, Name: "fchownat", Fn: bsd.Fchownat, Sig: "fsiix", Pre: pre(str(1))},
		{Nr: 283, Name: "__posix_chown", Fn: bsd.Chown, Sig: "sii", Pre: pre(str(0))},
		{Nr: 284, Name: "__posix_fchown", Fn: bsd.Fchown, Sig: "fii"},
		{Nr: 285, Name: "__posix_lchown", Fn: bsd.Lchown, Sig: "sii", Pre: pre(str(0))},
		{Nr: 420, Name: "__utimes50", Fn: bsd.Utimes, Sig: "sp", Pre: pre(str(0), fixed(1, 32))},
		{Nr: 423, Name: "__futimes50", Fn: bsd.Futimes, Sig: "fp", Pre: pre(fixed(1, 32))},
		{Nr: 424, Name: "__lutimes50", Fn: bsd.Lutimes, Sig: "sp", Pre: pre(str(0), fixed(1, 32))},
		{Nr: 472, Name: "futimens", Fn: bsd.Futimens, Sig: "fp", Pre: pre(fixed(1, 32))},
		{Nr: 467, Name: "utimensat", Fn: bsd.Utimensat, Sig: "fspx", Pre: pre(str(1), fixed(2, 32))},
		{Nr: 200, Name: "truncate", Fn: bsd.Padded(1, bsd.Truncate), Sig: "sxd", Pre: pre(str(0))},
		{Nr: 201, Name: "ftruncate", Fn: bsd.Padded(1, bsd.Ftruncate), Sig: "fxd"},
		{Nr: 241, Name: "fdatasync", Fn: bsd.Fdatasync, Sig: "f"},
		{Nr: 454, Name: "dup3", Fn: bsd.Dup3, Sig: "ffx"},
		{Nr: 92, Name: "fcntl", Fn: bsd.Fcntl, Sig: "fix", Level: bsd.Partial, Note: "F_GETNOSIGPIPE and F_SETNOSIGPIPE are EINVAL"},
		{Nr: 453, Name: "pipe2", Fn: bsd.Pipe2, Sig: "px"},
	}
}

// putPeer encodes struct unpcbid (sys/un.h).
func putPeer(pid, uid, gid uint32) []byte {
	b := make([]byte, 12)
	for i, v := range [...]uint32{pid, uid, gid} {
		le.PutUint32(b[4*i:], v)
	}
	return b
}
