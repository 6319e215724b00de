// Package freebsd is the FreeBSD personality: programs for FreeBSD/amd64, releases 12
// and later (64-bit inodes). Its table of calls and what only FreeBSD has are here; what
// the descendants of 4.4BSD share is package bsd. Numbers are those of
// sys/kern/syscalls.master, structures those of sys/sys and sys/amd64/include.
package freebsd

import (
	"hythe/abi"
	"hythe/idl/fs"
	"hythe/personality/bsd"
	"hythe/server/unix/core"
)

// New makes the personality of k; nil: only the table is wanted.
func New(k *core.Kernel) *bsd.Personality { return bsd.New(k, &system) }

// Index is the personality's number.
const Index = 1

var system = bsd.System{
	Name: "freebsd", Index: Index,
	Calls: calls, Brand: brand, Start: start, Deliver: deliver, Fault: fault,
	PutStat: putStat, StatSize: 224, PutStatfs: putStatfs, StatfsSize: 2344, Dirent: putDirent,
	Open: bsd.OpenFlags{Directory: 0x20000, Cloexec: 0x100000, Direct: 0x10000, Path: 0x400000, Dsync: 0x1000000, Exec: 0x40000, TimeNow: -1, TimeOmit: -2},
	Sock: bsd.SockNumbers{Inet6: 28, MsgNosignal: 0x20000, MsgCloexec: 0x40000, Timestamp: 0x400, Sndtimeo: 0x1005, Rcvtimeo: 0x1006,
		KeepIdle: 0x100, KeepIntvl: 0x200, KeepCount: 0x400},
	Signals: signals, Sysctl: bsd.Sysctl{Variables: variables, Proc: procVariable, Names: true},
	At:    bsd.AtFlags{Cwd: -100, Eaccess: 0x100, Nofollow: 0x200, Follow: 0x400, Removedir: 0x800, EmptyPath: 0x4000},
	Fcntl: bsd.FcntlNumbers{Getlk: 11, FlockSize: 32, DupCloexec: 17, Dup2fd: 10, Dup2fdCloexec: 18},
	Wait:  bsd.WaitNumbers{Continued: 4, Nowait: 8, Exited: 16, Trapped: 32, Pid: 0, Pgid: 2, All: 7, Went: 0x13, InfoSize: infoSize},
	Errnos: &bsd.Errnos{abi.EIDRM: 82, abi.ENOMSG: 83, abi.EOVERFLOW: 84, abi.ECANCELED: 85, abi.EILSEQ: 86, abi.ENODATA: 87,
		abi.EBADMSG: 89, abi.EMULTIHOP: 90, abi.ENOLINK: 91, abi.EPROTO: 92, abi.ENOTRECOVERABLE: 95, abi.EOWNERDEAD: 96},
	UnlinkDir: abi.EPERM, NofollowLink: abi.EMLINK,
}

// putStat encodes struct stat (sys/stat.h).
func putStat(c *core.Call, b []byte, s *core.Stat) {
	le.PutUint64(b[0:], s.Dev)
	le.PutUint64(b[8:], s.Ino)
	le.PutUint64(b[16:], uint64(s.Nlink))
	le.PutUint16(b[24:], uint16(s.Mode))
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

// putStatfs encodes struct statfs (sys/mount.h).
func putStatfs(b []byte, s *bsd.Statfs) {
	le.PutUint32(b[0:], 0x20140518)
	le.PutUint64(b[16:], uint64(s.BSize))
	le.PutUint64(b[24:], uint64(s.BSize))
	le.PutUint64(b[32:], s.Blocks)
	le.PutUint64(b[40:], s.Bfree)
	le.PutUint64(b[48:], s.Bavail)
	le.PutUint64(b[56:], s.Files)
	le.PutUint64(b[64:], s.Ffree)
	le.PutUint32(b[184:], s.NameLen)
	copy(b[280:], "hythe") // f_fstypename
}

// putDirent appends struct dirent (sys/dirent.h): number, position behind it, length,
// type, length of the name, the name; on 8 bytes.
func putDirent(b []byte, max int, d *bsd.Dirent) ([]byte, bool) {
	n := (24 + len(d.Name) + 1 + 7) &^ 7
	if len(b)+n > max {
		return b, false
	}
	at := len(b)
	b = append(b, make([]byte, n)...)
	e := b[at:]
	le.PutUint64(e, d.Ino)
	le.PutUint64(e[8:], d.Next)
	le.PutUint16(e[16:], uint16(n))
	e[18] = byte(d.Type)
	le.PutUint16(e[20:], uint16(len(d.Name)))
	copy(e[24:], d.Name)
	return b, true
}

// clocks are the host's clocks by the system's numbers (sys/_clock_id.h).
var clocks = []uint8{
	bsd.HostRealtime, bsd.NoClock, bsd.NoClock, bsd.NoClock, bsd.HostMono, bsd.HostMono, bsd.NoClock, bsd.HostMono, bsd.HostMonoC,
	bsd.HostRealtime, bsd.HostRealC, bsd.HostMono, bsd.HostMonoC, bsd.HostRealC, bsd.HostThread, bsd.HostProcess,
}

// advice is the host's advice by the system's numbers (sys/mman.h): what asks for pages
// to be given up soon changes nothing, what frees them frees them.
var advice = []uint8{0, 1, 2, 3, 0, 8, 0, 0, 0, 0}

func calls() []bsd.Entry {
	str, fixed, buf, pre := bsd.Str, bsd.Fixed, bsd.Buf, bsd.Pre
	iov := pre(abi.Pre{Kind: abi.PreIovRO, Arg: 1, Size: 2})
	iovData := pre(abi.Pre{Kind: abi.PreIov, Arg: 1, Size: 2})
	return []bsd.Entry{
		// processes and threads
		{Nr: 1, Name: "exit", Fn: bsd.Exit, Sig: "i"},
		{Nr: 2, Name: "fork", Fn: bsd.Fork, FS: true},
		{Nr: 66, Name: "vfork", Fn: bsd.Vfork, FS: true},
		{Nr: 7, Name: "wait4", Fn: bsd.Wait4, Sig: "iwxp", Level: bsd.Partial, Note: "rusage: times only"},
		{Nr: 532, Name: "wait6", Fn: bsd.Wait6(putInfo), Sig: "idwxpp", Level: bsd.Partial, Note: "idtype P_PID, P_PGID, P_ALL; rusage: times only"},
		{Nr: 59, Name: "execve", Fn: bsd.Execve, Sig: "spp", Pre: pre(str(0))},
		{Nr: 492, Name: "fexecve", Fn: bsd.Fexecve, Sig: "fpp"},
		bsd.Word(20, "getpid", abi.TaskPid, bsd.Pid),
		{Nr: 39, Name: "getppid", Fn: bsd.Getppid, Local: abi.LocalTold, LocalArg: abi.ToldPpid},
		{Nr: 81, Name: "getpgrp", Fn: bsd.Getpgrp, Local: abi.LocalTold, LocalArg: abi.ToldPgid},
		{Nr: 82, Name: "setpgid", Fn: bsd.Setpgid, Sig: "ii"},
		{Nr: 147, Name: "setsid", Fn: bsd.Setsid},
		{Nr: 207, Name: "getpgid", Fn: bsd.Getpgid, Sig: "i"},
		{Nr: 310, Name: "getsid", Fn: bsd.Getsid, Sig: "i"},
		{Nr: 431, Name: "thr_exit", Fn: sysThrExit, Sig: "p"},
		{Nr: 432, Name: "thr_self", Fn: sysThrSelf, Sig: "p"},
		{Nr: 433, Name: "thr_kill", Fn: sysThrKill, Sig: "dG"},
		{Nr: 455, Name: "thr_new", Fn: sysThrNew, Sig: "pi", FS: true, Level: bsd.Partial, Note: "THR_SUSPENDED is EINVAL; priorities are not taken"},
		{Nr: 464, Name: "thr_set_name", Fn: sysThrSetName, Sig: "ds", Pre: pre(str(1))},
		{Nr: 481, Name: "thr_kill2", Fn: sysThrKill2, Sig: "idG"},
		{Nr: 454, Name: "_umtx_op", Fn: sysUmtx, Local: abi.LocalUmtx, Sig: "piupp", Level: bsd.Partial, Note: "waits on and wakes of words; mutexes, condition variables and semaphores are EOPNOTSUPP"},
		{Nr: 165, Name: "sysarch", Fn: sysArch, Sig: "ip", FS: true, Pre: pre(fixed(1, 8)), Level: bsd.Partial, Note: "the FS base"},
		{Nr: 331, Name: "sched_yield", Fn: bsd.Zero, Local: abi.LocalYield},
		{Nr: 487, Name: "cpuset_getaffinity", Fn: sysGetaffinity, Sig: "iidup", Level: bsd.Partial, Note: "of threads and processes"},
		// users
		bsd.Word(24, "getuid", abi.TaskUid, bsd.UID),
		bsd.Word(25, "geteuid", abi.TaskEuid, bsd.EUID),
		bsd.Word(47, "getgid", abi.TaskGid, bsd.GID),
		bsd.Word(43, "getegid", abi.TaskEgid, bsd.EGID),
		{Nr: 23, Name: "setuid", Fn: bsd.Setuid, Sig: "u"},
		{Nr: 183, Name: "seteuid", Fn: bsd.Seteuid, Sig: "u"},
		{Nr: 181, Name: "setgid", Fn: bsd.Setgid, Sig: "u"},
		{Nr: 182, Name: "setegid", Fn: bsd.Setegid, Sig: "u"},
		{Nr: 311, Name: "setresuid", Fn: bsd.Setresuid, Sig: "iii"},
		{Nr: 312, Name: "setresgid", Fn: bsd.Setresgid, Sig: "iii"},
		{Nr: 360, Name: "getresuid", Fn: bsd.Getresuid, Sig: "ppp"},
		{Nr: 361, Name: "getresgid", Fn: bsd.Getresgid, Sig: "ppp"},
		{Nr: 79, Name: "getgroups", Fn: bsd.Getgroups, Sig: "ip"},
		{Nr: 80, Name: "setgroups", Fn: bsd.Setgroups, Sig: "ip", Level: bsd.Partial, Note: "at most 65 groups"},
		{Nr: 253, Name: "issetugid", Fn: sysIssetugid},
		// signals
		{Nr: 37, Name: "kill", Fn: bsd.Kill, Sig: "iG"},
		{Nr: 53, Name: "sigaltstack", Fn: bsd.Sigaltstack, Sig: "pp", Pre: pre(fixed(0, 24))},
		{Nr: 340, Name: "sigprocmask", Fn: bsd.Sigprocmask, Sig: "ipp", Pre: pre(fixed(1, 16))},
		{Nr: 341, Name: "sigsuspend", Fn: bsd.Sigsuspend, Sig: "p", Pre: pre(fixed(0, 16))},
		{Nr: 343, Name: "sigpending", Fn: bsd.Sigpending, Sig: "p"},
		{Nr: 416, Name: "sigaction", Fn: bsd.Sigaction(bsd.SigactionLayout{Flags: 8, Mask: 12}), Sig: "Gpp", Pre: pre(fixed(1, 32)), Level: bsd.Partial, Note: "real-time signals above 95 are EINVAL"},
		{Nr: 417, Name: "sigreturn", Fn: sysSigreturn, Sig: "p", Pre: pre(fixed(0, ucSize))},
		// memory
		{Nr: 477, Name: "mmap", Fn: bsd.Mmap(bsd.MapFlags{Stack: 0x400, Guard: 0x2000, Excl: 0x4000, Low32: 0x80000, Ignore: 0x200 | 0x800 | 0x20000 | 0x40000}),
			Sig: "puxxfx", Level: bsd.Partial, Note: "what is mapped shared or from a file is aligned to pages only"},
		{Nr: 73, Name: "munmap", Sig: "pu", Local: abi.LocalMunmap},
		{Nr: 74, Name: "mprotect", Sig: "pux", Local: abi.LocalMprotect},
		{Nr: 75, Name: "madvise", Fn: bsd.Refuse(abi.EINVAL), Sig: "pui", Local: abi.LocalAdvice, Digits: advice},
		{Nr: 65, Name: "msync", Fn: bsd.Msync, Sig: "pux"},
		{Nr: 203, Name: "mlock", Fn: bsd.Zero, Sig: "pu", Local: abi.LocalMlock, Level: bsd.Partial, Note: "the range is checked, nothing is locked"},
		{Nr: 204, Name: "munlock", Fn: bsd.Zero, Sig: "pu", Local: abi.LocalMlock},
		// time
		{Nr: 116, Name: "gettimeofday", Fn: bsd.Gettimeofday, Sig: "pp"},
		{Nr: 232, Name: "clock_gettime", Fn: bsd.Refuse(abi.EINVAL), Sig: "ip", Local: abi.LocalClocks, Digits: clocks, Level: bsd.Partial, Note: "CLOCK_VIRTUAL and CLOCK_PROF are EINVAL"},
		{Nr: 234, Name: "clock_getres", Fn: bsd.ClockGetres, Sig: "ip"},
		{Nr: 240, Name: "nanosleep", Fn: bsd.Nanosleep, Sig: "pp", Pre: pre(fixed(0, 16))},
		{Nr: 244, Name: "clock_nanosleep", Fn: bsd.ClockNanosleep, Sig: "ixpp", Pre: pre(fixed(2, 16))},
		{Nr: 83, Name: "setitimer", Fn: bsd.Setitimer, Sig: "ipp", Pre: pre(fixed(1, 32))},
		{Nr: 86, Name: "getitimer", Fn: bsd.Getitimer, Sig: "ip"},
		// the system
		{Nr: 26, Name: "ptrace", Fn: bsd.Refuse(abi.EPERM), Level: bsd.Refused, Sig: "iipi", Note: "EPERM: no tracing"},
		{Nr: 202, Name: "__sysctl", Fn: bsd.SysctlCall, Sig: "pupppu", Level: bsd.Partial, Note: "docs/personality.md lists the variables; nothing can be set"},
		{Nr: 570, Name: "__sysctlbyname", Fn: bsd.Sysctlbyname, Sig: "pupppu", Level: bsd.Partial, Note: "as __sysctl"},
		{Nr: 563, Name: "getrandom", Fn: bsd.Getrandom, Sig: "Bux"},
		{Nr: 194, Name: "getrlimit", Fn: bsd.Getrlimit, Sig: "ip"},
		{Nr: 195, Name: "setrlimit", Fn: bsd.Setrlimit, Sig: "ip", Pre: pre(fixed(1, 16)), Level: bsd.Partial, Note: "kept, but not enforced: RSS, MEMLOCK; SBSIZE and those above VMEM are infinite"},
		{Nr: 117, Name: "getrusage", Fn: bsd.Getrusage, Sig: "ip", Level: bsd.Partial, Note: "times and resident size only"},
		{Nr: 100, Name: "getpriority", Fn: bsd.Getpriority, Sig: "ii"},
		{Nr: 96, Name: "setpriority", Fn: bsd.Setpriority, Sig: "iii", Level: bsd.Partial, Note: "below the machine's own nice value only where it is given that (--sched)"},
		// events
		{Nr: 362, Name: "kqueue", Fn: bsd.Kqueue},
		{Nr: 583, Name: "kqueuex", Fn: bsd.Kqueuex, Sig: "x"},
		{Nr: 560, Name: "kevent", Fn: bsd.Kevent(&kevents), Sig: "fpipip", Pre: pre(fixed(1, 128), fixed(5, 16)), Level: bsd.Partial,
			Note: "filters READ, WRITE, TIMER and USER; others are EINVAL, devices ENODEV"},
		{Nr: 209, Name: "poll", Fn: bsd.Poll, Sig: "pui"},
		// sockets
		{Nr: 97, Name: "socket", Fn: bsd.Socket, Sig: "ixi", Level: bsd.Partial, Note: "AF_UNIX, AF_INET, AF_INET6; others are EAFNOSUPPORT"},
		{Nr: 135, Name: "socketpair", Fn: bsd.Socketpair, Sig: "ixip", Level: bsd.Partial, Note: "as socket"},
		{Nr: 98, Name: "connect", Fn: bsd.Connect, Sig: "fpi"},
		{Nr: 104, Name: "bind", Fn: bsd.Bind, Sig: "fpi"},
		{Nr: 106, Name: "listen", Fn: bsd.Listen, Sig: "fi"},
		{Nr: 30, Name: "accept", Fn: bsd.Accept, Sig: "fpp"},
		{Nr: 541, Name: "accept4", Fn: bsd.Accept4, Sig: "fppx"},
		{Nr: 32, Name: "getsockname", Fn: bsd.Getsockname, Sig: "fpp"},
		{Nr: 31, Name: "getpeername", Fn: bsd.Getpeername, Sig: "fpp"},
		{Nr: 134, Name: "shutdown", Fn: bsd.Shutdown, Sig: "fi"},
		{Nr: 133, Name: "sendto", Fn: bsd.Sendto, Sig: "fpuxpi"},
		{Nr: 29, Name: "recvfrom", Fn: bsd.Recvfrom, Sig: "fBuxpp"},
		{Nr: 28, Name: "sendmsg", Fn: bsd.Sendmsg, Sig: "fpx", Level: bsd.Partial, Note: "control data: SCM_RIGHTS; others are EINVAL"},
		{Nr: 27, Name: "recvmsg", Fn: bsd.Recvmsg, Sig: "fpx", Level: bsd.Partial, Note: "control data: SCM_RIGHTS"},
		{Nr: 105, Name: "setsockopt", Fn: bsd.Setsockopt, Sig: "fixpi", Level: bsd.Partial, Note: "SOL_SOCKET; TCP_NODELAY, KEEPIDLE, KEEPINTVL, KEEPCNT; IP_TOS, IP_TTL; IPV6_V6ONLY, IPV6_UNICAST_HOPS; others are ENOPROTOOPT"},
		{Nr: 118, Name: "getsockopt", Fn: bsd.Getsockopt, Sig: "fixpp", Level: bsd.Partial, Note: "as setsockopt"},
		// files
		{Nr: 54, Name: "ioctl", Fn: bsd.Ioctl, Sig: "fxp", Level: bsd.Partial, Note: "a terminal's modes, size, session and group; others are ENOTTY"},
		{Nr: 3, Name: "read", Fn: bsd.Read, Sig: "fBu"},
		{Nr: 4, Name: "write", Fn: bsd.Write, Sig: "fbu", Pre: pre(buf(1, 2))},
		{Nr: 120, Name: "readv", Fn: bsd.Readv, Sig: "fpu", Pre: iov},
		{Nr: 121, Name: "writev", Fn: bsd.Writev, Sig: "fpu", Pre: iovData},
		{Nr: 289, Name: "preadv", Fn: bsd.Preadv, Sig: "fpud", Pre: iov},
		{Nr: 290, Name: "pwritev", Fn: bsd.Pwritev, Sig: "fpud", Pre: iovData},
		{Nr: 475, Name: "pread", Fn: bsd.Pread, Sig: "fBud"},
		{Nr: 476, Name: "pwrite", Fn: bsd.Pwrite, Sig: "fbud", Pre: pre(buf(1, 2))},
		{Nr: 478, Name: "lseek", Fn: bsd.Lseek, Sig: "fdi"},
		{Nr: 5, Name: "open", Fn: bsd.Open, Sig: "sxm", Pre: pre(str(0))},
		{Nr: 499, Name: "openat", Fn: bsd.Openat, Sig: "fsxm", Pre: pre(str(1)), Level: bsd.Partial, Note: "O_RESOLVE_BENEATH, O_VERIFY and O_EMPTY_PATH are not taken"},
		{Nr: 6, Name: "close", Fn: bsd.Close, Sig: "f"},
		{Nr: 509, Name: "closefrom", Fn: bsd.Closefrom, Sig: "i"},
		{Nr: 575, Name: "close_range", Fn: bsd.CloseRange, Sig: "uux"},
		{Nr: 551, Name: "fstat", Fn: bsd.Fstat, Sig: "fp"},
		{Nr: 552, Name: "fstatat", Fn: bsd.Fstatat, Sig: "fspx", Pre: pre(str(1))},
		{Nr: 555, Name: "statfs", Fn: bsd.StatfsPath, Sig: "sp", Pre: pre(str(0)), Level: bsd.Partial, Note: "names of file systems are \"hythe\""},
		{Nr: 556, Name: "fstatfs", Fn: bsd.Fstatfs, Sig: "fp", Level: bsd.Partial, Note: "as statfs"},
		{Nr: 554, Name: "getdirentries", Fn: bsd.Getdirentries, Sig: "fpup"},
		{Nr: 33, Name: "access", Fn: bsd.Access, Sig: "sx", Pre: pre(str(0))},
		{Nr: 376, Name: "eaccess", Fn: bsd.Eaccess, Sig: "sx", Pre: pre(str(0))},
		{Nr: 489, Name: "faccessat", Fn: bsd.Faccessat, Sig: "fsxx", Pre: pre(str(1))},
		{Nr: 58, Name: "readlink", Fn: bsd.Readlink, Sig: "sBu", Pre: pre(str(0))},
		{Nr: 500, Name: "readlinkat", Fn: bsd.Readlinkat, Sig: "fsBu", Pre: pre(str(1))},
		{Nr: 136, Name: "mkdir", Fn: bsd.Mkdir, Sig: "sm", Pre: pre(str(0))},
		{Nr: 496, Name: "mkdirat", Fn: bsd.Mkdirat, Sig: "fsm", Pre: pre(str(1))},
		{Nr: 137, Name: "rmdir", Fn: bsd.Rmdir, Sig: "s", Pre: pre(str(0))},
		{Nr: 10, Name: "unlink", Fn: bsd.Unlink, Sig: "s", Pre: pre(str(0))},
		{Nr: 503, Name: "unlinkat", Fn: bsd.Unlinkat, Sig: "fsx", Pre: pre(str(1))},
		{Nr: 128, Name: "rename", Fn: bsd.Rename, Sig: "ss", Pre: pre(str(0), str(1))},
		{Nr: 501, Name: "renameat", Fn: bsd.Renameat, Sig: "fsfs", Pre: pre(str(1), str(3))},
		{Nr: 9, Name: "link", Fn: bsd.Link, Sig: "ss", Pre: pre(str(0), str(1))},
		{Nr: 495, Name: "linkat", Fn: bsd.Linkat, Sig: "fsfsx", Pre: pre(str(1), str(3))},
		{Nr: 57, Name: "symlink", Fn: bsd.Symlink, Sig: "ss", Pre: pre(str(0), str(1))},
		{Nr: 502, Name: "symlinkat", Fn: bsd.Symlinkat, Sig: "sfs", Pre: pre(str(0), str(2))},
		{Nr: 132, Name: "mkfifo", Fn: bsd.Mkfifo, Sig: "sm", Pre: pre(str(0))},
		{Nr: 497, Name: "mkfifoat", Fn: bsd.Mkfifoat, Sig: "fsm", Pre: pre(str(1))},
		{Nr: 326, Name: "__getcwd", Fn: bsd.Getcwd, Sig: "Zu"},
		{Nr: 12, Name: "chdir", Fn: bsd.Chdir, Sig: "s", Pre: pre(str(0))},
		{Nr: 13, Name: "fchdir", Fn: bsd.Fchdir, Sig: "f"},
		{Nr: 61, Name: "chroot", Fn: bsd.Chroot, Sig: "s", Pre: pre(str(0))},
		{Nr: 60, Name: "umask", Fn: bsd.Umask, Sig: "m"},
		{Nr: 15, Name: "chmod", Fn: bsd.Chmod, Sig: "sm", Pre: pre(str(0))},
		{Nr: 124, Name: "fchmod", Fn: bsd.Fchmod, Sig: "fm"},
		{Nr: 274, Name: "lchmod", Fn: bsd.Lchmod, Sig: "sm", Pre: pre(str(0))},
		{Nr: 490, Name: "fchmodat", Fn: bsd.Fchmodat, Sig: "fsmx", Pre: pre(str(1))},
		{Nr: 16, Name: "chown", Fn: bsd.Chown, Sig: "sii", Pre: pre(str(0))},
		{Nr: 123, Name: "fchown", Fn: bsd.Fchown, Sig: "fii"},
		{Nr: 254, Name: "lchown", Fn: bsd.Lchown, Sig: "sii", Pre: pre(str(0))},
		{Nr: 491, Name: "fchownat", Fn: bsd.Fchownat, Sig: "fsiix", Pre: pre(str(1))},
		{Nr: 138, Name: "utimes", Fn: bsd.Utimes, Sig: "sp", Pre: pre(str(0), fixed(1, 32))},
		{Nr: 206, Name: "futimes", Fn: bsd.Futimes, Sig: "fp", Pre: pre(fixed(1, 32))},
		{Nr: 276, Name: "lutimes", Fn: bsd.Lutimes, Sig: "sp", Pre: pre(str(0), fixed(1, 32))},
		{Nr: 494, Name: "futimesat", Fn: bsd.Futimesat, Sig: "fsp", Pre: pre(str(1), fixed(2, 32))},
		{Nr: 546, Name: "futimens", Fn: bsd.Futimens, Sig: "fp", Pre: pre(fixed(1, 32))},
		{Nr: 547, Name: "utimensat", Fn: bsd.Utimensat, Sig: "fspx", Pre: pre(str(1), fixed(2, 32))},
		{Nr: 479, Name: "truncate", Fn: bsd.Truncate, Sig: "sd", Pre: pre(str(0))},
		{Nr: 480, Name: "ftruncate", Fn: bsd.Ftruncate, Sig: "fd"},
		{Nr: 569, Name: "copy_file_range", Fn: bsd.CopyFileRange, Sig: "fpfpux"},
		{Nr: 95, Name: "fsync", Fn: bsd.Fsync, Sig: "f"},
		{Nr: 550, Name: "fdatasync", Fn: bsd.Fdatasync, Sig: "f"},
		{Nr: 36, Name: "sync", Fn: bsd.Sync},
		{Nr: 41, Name: "dup", Fn: bsd.Dup, Sig: "f"},
		{Nr: 90, Name: "dup2", Fn: bsd.Dup2, Sig: "ff"},
		{Nr: 92, Name: "fcntl", Fn: bsd.Fcntl, Sig: "fix", Level: bsd.Partial, Note: "read-ahead, F_KINFO and seals are EINVAL"},
		{Nr: 131, Name: "flock", Fn: bsd.Flock, Sig: "fx"},
		{Nr: 542, Name: "pipe2", Fn: bsd.Pipe2, Sig: "px", Level: bsd.Partial, Note: "one direction each, as everywhere but in old FreeBSD"},
	}
}

// sysIssetugid serves issetugid(2).
func sysIssetugid(_ *bsd.Personality, c *core.Call) (uint64, abi.Errno) {
	return uint64(c.Proc().ExecSecure), 0
}
