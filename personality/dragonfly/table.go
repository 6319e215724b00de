// Package dragonfly is the DragonFly BSD personality: programs for DragonFly/x86_64,
// release 6. Its table of calls and what only DragonFly has are here; what the descendants
// of 4.4BSD share is package bsd. Numbers are those of sys/kern/syscalls.master, structures
// those of sys/sys and sys/cpu/x86_64/include.
package dragonfly

import (
	"hythe/abi"
	"hythe/idl/fs"
	"hythe/personality/bsd"
	"hythe/server/unix/core"
)

// New makes the personality of k; nil: only the table is wanted.
func New(k *core.Kernel) *bsd.Personality { return bsd.New(k, &system) }

// Index is the personality's number.
const Index = 3

var system = bsd.System{
	Name: "dragonfly", Index: Index,
	Calls: calls, Brand: brand, Start: start, Deliver: deliver, Fault: fault,
	PutStat: putStat, StatSize: 128, PutStatfs: putStatfs, StatfsSize: 320, Dirent: putDirent,
	Open: bsd.OpenFlags{Directory: 0x8000000, Cloexec: 0x20000, Direct: 0x10000, TimeNow: -1, TimeOmit: -2},
	Sock: bsd.SockNumbers{Inet6: 28, MsgNosignal: 0x400, MsgCloexec: 0x1000, Timestamp: 0x400, Sndtimeo: 0x1005, Rcvtimeo: 0x1006,
		KeepIdle: 0x100, KeepIntvl: 0x200, KeepCount: 0x400},
	Signals: signals, Sysctl: bsd.Sysctl{Variables: variables, Proc: procVariable, Names: true},
	At:    bsd.AtFlags{Cwd: -0x50233, Eaccess: 4, Nofollow: 1, Follow: 8, Removedir: 2},
	Fcntl: bsd.FcntlNumbers{Getlk: 7, FlockSize: 24, DupCloexec: 17, Dup2fd: 10, Dup2fdCloexec: 18},
	Wait:  bsd.WaitNumbers{Continued: 4, Nowait: 8, Exited: 16, Trapped: 32, Pid: 0, Pgid: 2, All: 7, Went: 0x13, InfoSize: infoSize},
	Errnos: &bsd.Errnos{abi.EIDRM: 82, abi.ENOMSG: 83, abi.EOVERFLOW: 84, abi.ECANCELED: 85, abi.EILSEQ: 86, abi.ENODATA: 87,
		abi.EBADMSG: 89, abi.EMULTIHOP: 90, abi.ENOLINK: 91, abi.EPROTO: 92, abi.ENOMEDIUM: 93},
	UnlinkDir: abi.EPERM, NofollowLink: abi.EMLINK,
}

// putStat encodes struct stat (sys/stat.h).
func putStat(c *core.Call, b []byte, s *core.Stat) {
	le.PutUint64(b[0:], s.Ino)
	le.PutUint32(b[8:], uint32(s.Nlink))
	le.PutUint32(b[12:], uint32(s.Dev))
	le.PutUint16(b[16:], uint16(s.Mode))
	le.PutUint32(b[20:], c.ShowUID(s.UID))
	le.PutUint32(b[24:], c.ShowGID(s.GID))
	le.PutUint32(b[28:], uint32(s.Rdev))
	for i, t := range []fs.Time{s.Atime, s.Mtime, s.Ctime} {
		le.PutUint64(b[32+16*i:], uint64(t.Sec))
		le.PutUint64(b[40+16*i:], uint64(t.Nsec))
	}
	le.PutUint64(b[80:], s.Size)
	le.PutUint64(b[88:], s.Blocks)
	le.PutUint32(b[96:], s.BlkSize)
}

// putStatfs encodes struct statfs (sys/mount.h).
func putStatfs(b []byte, s *bsd.Statfs) {
	for i, v := range []uint64{uint64(s.BSize), uint64(s.BSize), s.Blocks, s.Bfree, s.Bavail, s.Files, s.Ffree} {
		le.PutUint64(b[8+8*i:], v)
	}
	copy(b[104:], "hythe") // f_fstypename
}

// putDirent appends struct dirent (sys/dirent.h): number, length of the name, type, the
// name; on 8 bytes.
func putDirent(b []byte, max int, d *bsd.Dirent) ([]byte, bool) {
	n := (16 + len(d.Name) + 1 + 7) &^ 7
	if len(b)+n > max {
		return b, false
	}
	at := len(b)
	b = append(b, make([]byte, n)...)
	e := b[at:]
	le.PutUint64(e, d.Ino)
	le.PutUint16(e[8:], uint16(len(d.Name)))
	e[10] = byte(d.Type)
	copy(e[16:], d.Name)
	return b, true
}

// clocks are the host's clocks by the system's numbers (sys/time.h).
var clocks = []uint8{
	bsd.HostRealtime, bsd.NoClock, bsd.NoClock, bsd.NoClock, bsd.HostMono, bsd.HostMono, bsd.NoClock, bsd.HostMono, bsd.HostMonoC,
	bsd.HostRealtime, bsd.HostRealC, bsd.HostMono, bsd.HostMonoC, bsd.HostRealC, bsd.HostThread, bsd.HostProcess,
}

// advice is the host's advice by the system's numbers (sys/mman.h): what asks for pages
// to be given up soon changes nothing, what frees them frees them.
var advice = []uint8{0, 1, 2, 3, 0, 8, 0, 0, 0, 0}

// sysIssetugid serves issetugid(2).
func sysIssetugid(_ *bsd.Personality, c *core.Call) (uint64, abi.Errno) {
	return uint64(c.Proc().ExecSecure), 0
}

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
		{Nr: 548, Name: "wait6", Fn: bsd.Wait6(putInfo), Sig: "idwxpp", Level: bsd.Partial, Note: "idtype P_PID, P_PGID, P_ALL; rusage: times only"},
		{Nr: 59, Name: "execve", Fn: bsd.Execve, Sig: "spp", Pre: pre(str(0))},
		bsd.Word(20, "getpid", abi.TaskPid, bsd.Pid),
		{Nr: 39, Name: "getppid", Fn: bsd.Getppid, Local: abi.LocalTold, LocalArg: abi.ToldPpid},
		{Nr: 81, Name: "getpgrp", Fn: bsd.Getpgrp, Local: abi.LocalTold, LocalArg: abi.ToldPgid},
		{Nr: 82, Name: "setpgid", Fn: bsd.Setpgid, Sig: "ii"},
		{Nr: 147, Name: "setsid", Fn: bsd.Setsid},
		{Nr: 207, Name: "getpgid", Fn: bsd.Getpgid, Sig: "i"},
		{Nr: 310, Name: "getsid", Fn: bsd.Getsid, Sig: "i"},
		{Nr: 494, Name: "extexit", Fn: sysExtexit, Sig: "xip"},
		{Nr: 495, Name: "lwp_create", Fn: sysLwpCreate, Sig: "p", FS: true, Pre: pre(fixed(0, 40))},
		{Nr: 496, Name: "lwp_gettid", Fn: sysLwpGettid, Local: abi.LocalTid},
		{Nr: 497, Name: "lwp_kill", Fn: sysLwpKill, Sig: "iiG"},
		{Nr: 469, Name: "umtx_sleep", Fn: sysSleep, Local: abi.LocalSleepWord, Sig: "pii"},
		{Nr: 470, Name: "umtx_wakeup", Fn: sysSleep, Local: abi.LocalWakeWord, Sig: "pi"},
		{Nr: 472, Name: "set_tls_area", Fn: sysSetTLS, Sig: "ipu", Pre: pre(fixed(1, 8)), Level: bsd.Partial, Note: "the FS base"},
		{Nr: 473, Name: "get_tls_area", Fn: sysGetTLS, Sig: "ipu", FS: true, Level: bsd.Partial, Note: "the FS base"},
		{Nr: 331, Name: "sched_yield", Fn: bsd.Zero, Local: abi.LocalYield},
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
		{Nr: 126, Name: "setreuid", Fn: bsd.Setreuid, Sig: "ii"},
		{Nr: 127, Name: "setregid", Fn: bsd.Setregid, Sig: "ii"},
		{Nr: 253, Name: "issetugid", Fn: sysIssetugid},
		// signals
		{Nr: 37, Name: "kill", Fn: bsd.Kill, Sig: "iG"},
		{Nr: 53, Name: "sigaltstack", Fn: bsd.Sigaltstack, Sig: "pp", Pre: pre(fixed(0, 24))},
		{Nr: 340, Name: "sigprocmask", Fn: bsd.Sigprocmask, Sig: "ipp", Pre: pre(fixed(1, 16))},
		{Nr: 343, Name: "sigpending", Fn: bsd.Sigpending, Sig: "p"},
		{Nr: 341, Name: "sigsuspend", Fn: bsd.Sigsuspend, Sig: "p", Pre: pre(fixed(0, 16))},
		{Nr: 342, Name: "sigaction", Fn: bsd.Sigaction(bsd.SigactionLayout{Flags: 8, Mask: 12}), Sig: "Gpp", Pre: pre(fixed(1, 32)), Level: bsd.Partial, Note: "real-time signals above 65 are EINVAL"},
		{Nr: 344, Name: "sigreturn", Fn: sysSigreturn, Sig: "p", Pre: pre(fixed(0, ucSize))},
		// memory
		{Nr: 197, Name: "mmap", Fn: bsd.Mmap(bsd.MapFlags{Padded: true, Stack: 0x400, Ignore: 0x20 | 0x40 | 0x80 | 0x100 | 0x200 | 0x800 | 0x10000 | 0x20000 | 0x40000}),
			Sig: "puxxf", Level: bsd.Partial, Note: "MAP_VPAGETABLE is EINVAL"},
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
		{Nr: 83, Name: "setitimer", Fn: bsd.Setitimer, Sig: "ipp", Pre: pre(fixed(1, 32))},
		{Nr: 86, Name: "getitimer", Fn: bsd.Getitimer, Sig: "ip"},
		// the system
		{Nr: 26, Name: "ptrace", Fn: bsd.Refuse(abi.EPERM), Level: bsd.Refused, Sig: "iipi", Note: "EPERM: no tracing"},
		{Nr: 202, Name: "__sysctl", Fn: bsd.SysctlCall, Sig: "pupppu", Level: bsd.Partial, Note: "docs/personality.md lists the variables; nothing can be set"},
		{Nr: 194, Name: "getrlimit", Fn: bsd.Getrlimit, Sig: "ip"},
		{Nr: 195, Name: "setrlimit", Fn: bsd.Setrlimit, Sig: "ip", Pre: pre(fixed(1, 16)), Level: bsd.Partial, Note: "kept, but not enforced: RSS, MEMLOCK; SBSIZE and those above VMEM are infinite"},
		{Nr: 117, Name: "getrusage", Fn: bsd.Getrusage, Sig: "ip", Level: bsd.Partial, Note: "times and resident size only"},
		{Nr: 100, Name: "getpriority", Fn: bsd.Getpriority, Sig: "ii"},
		{Nr: 96, Name: "setpriority", Fn: bsd.Setpriority, Sig: "iii", Level: bsd.Partial, Note: "noted, not enforced"},
		{Nr: 550, Name: "getrandom", Fn: bsd.Getrandom, Sig: "Bux"},
		// events
		{Nr: 362, Name: "kqueue", Fn: bsd.Kqueue},
		{Nr: 363, Name: "kevent", Fn: bsd.Kevent(&kevents), Sig: "fpipip", Pre: pre(fixed(1, 64), fixed(5, 16)), Level: bsd.Partial,
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
		{Nr: 393, Name: "sendfile", Fn: bsd.Refuse(abi.EOPNOTSUPP), Level: bsd.Refused, Sig: "ffdupp", Note: "EOPNOTSUPP: programs then read and write"},
		// files
		{Nr: 54, Name: "ioctl", Fn: bsd.Ioctl, Sig: "fxp", Level: bsd.Partial, Note: "a terminal's modes, size, session and group; others are ENOTTY"},
		{Nr: 3, Name: "read", Fn: bsd.Read, Sig: "fBu"},
		{Nr: 4, Name: "write", Fn: bsd.Write, Sig: "fbu", Pre: pre(buf(1, 2))},
		{Nr: 120, Name: "readv", Fn: bsd.Readv, Sig: "fpu", Pre: iov},
		{Nr: 121, Name: "writev", Fn: bsd.Writev, Sig: "fpu", Pre: iovData},
		{Nr: 289, Name: "extpreadv", Fn: bsd.Padded(3, bsd.Preadv), Sig: "fpuxd", Pre: iov},
		{Nr: 290, Name: "extpwritev", Fn: bsd.Padded(3, bsd.Pwritev), Sig: "fpuxd", Pre: iovData},
		{Nr: 173, Name: "extpread", Fn: bsd.Padded(3, bsd.Pread), Sig: "fBuxd"},
		{Nr: 174, Name: "extpwrite", Fn: bsd.Padded(3, bsd.Pwrite), Sig: "fbuxd", Pre: pre(buf(1, 2))},
		{Nr: 199, Name: "lseek", Fn: bsd.Padded(1, bsd.Lseek), Sig: "fxdi"},
		{Nr: 5, Name: "open", Fn: bsd.Open, Sig: "sxm", Pre: pre(str(0))},
		{Nr: 504, Name: "openat", Fn: bsd.Openat, Sig: "fsxm", Pre: pre(str(1))},
		{Nr: 6, Name: "close", Fn: bsd.Close, Sig: "f"},
		{Nr: 474, Name: "closefrom", Fn: bsd.Closefrom, Sig: "i"},
		{Nr: 476, Name: "fstat", Fn: bsd.Fstat, Sig: "fp"},
		{Nr: 475, Name: "stat", Fn: bsd.Stat, Sig: "sp", Pre: pre(str(0))},
		{Nr: 477, Name: "lstat", Fn: bsd.Lstat, Sig: "sp", Pre: pre(str(0))},
		{Nr: 505, Name: "fstatat", Fn: bsd.Fstatat, Sig: "fspx", Pre: pre(str(1))},
		{Nr: 157, Name: "statfs", Fn: bsd.StatfsPath, Sig: "sp", Pre: pre(str(0)), Level: bsd.Partial, Note: "names of file systems are \"hythe\""},
		{Nr: 158, Name: "fstatfs", Fn: bsd.Fstatfs, Sig: "fp", Level: bsd.Partial, Note: "as statfs"},
		{Nr: 479, Name: "getdirentries", Fn: bsd.Getdirentries, Sig: "fpup"},
		{Nr: 480, Name: "getdents", Fn: bsd.Getdents, Sig: "fpu"},
		{Nr: 33, Name: "access", Fn: bsd.Access, Sig: "sx", Pre: pre(str(0))},
		{Nr: 532, Name: "eaccess", Fn: bsd.Eaccess, Sig: "sx", Pre: pre(str(0))},
		{Nr: 509, Name: "faccessat", Fn: bsd.Faccessat, Sig: "fsxx", Pre: pre(str(1))},
		{Nr: 58, Name: "readlink", Fn: bsd.Readlink, Sig: "sBu", Pre: pre(str(0))},
		{Nr: 527, Name: "readlinkat", Fn: bsd.Readlinkat, Sig: "fsBu", Pre: pre(str(1))},
		{Nr: 136, Name: "mkdir", Fn: bsd.Mkdir, Sig: "sm", Pre: pre(str(0))},
		{Nr: 524, Name: "mkdirat", Fn: bsd.Mkdirat, Sig: "fsm", Pre: pre(str(1))},
		{Nr: 137, Name: "rmdir", Fn: bsd.Rmdir, Sig: "s", Pre: pre(str(0))},
		{Nr: 10, Name: "unlink", Fn: bsd.Unlink, Sig: "s", Pre: pre(str(0))},
		{Nr: 508, Name: "unlinkat", Fn: bsd.Unlinkat, Sig: "fsx", Pre: pre(str(1))},
		{Nr: 128, Name: "rename", Fn: bsd.Rename, Sig: "ss", Pre: pre(str(0), str(1))},
		{Nr: 523, Name: "renameat", Fn: bsd.Renameat, Sig: "fsfs", Pre: pre(str(1), str(3))},
		{Nr: 9, Name: "link", Fn: bsd.Link, Sig: "ss", Pre: pre(str(0), str(1))},
		{Nr: 531, Name: "linkat", Fn: bsd.Linkat, Sig: "fsfsx", Pre: pre(str(1), str(3))},
		{Nr: 57, Name: "symlink", Fn: bsd.Symlink, Sig: "ss", Pre: pre(str(0), str(1))},
		{Nr: 528, Name: "symlinkat", Fn: bsd.Symlinkat, Sig: "sfs", Pre: pre(str(0), str(2))},
		{Nr: 132, Name: "mkfifo", Fn: bsd.Mkfifo, Sig: "sm", Pre: pre(str(0))},
		{Nr: 525, Name: "mkfifoat", Fn: bsd.Mkfifoat, Sig: "fsm", Pre: pre(str(1))},
		{Nr: 326, Name: "__getcwd", Fn: bsd.GetcwdLen, Sig: "Zu"},
		{Nr: 12, Name: "chdir", Fn: bsd.Chdir, Sig: "s", Pre: pre(str(0))},
		{Nr: 13, Name: "fchdir", Fn: bsd.Fchdir, Sig: "f"},
		{Nr: 61, Name: "chroot", Fn: bsd.Chroot, Sig: "s", Pre: pre(str(0))},
		{Nr: 60, Name: "umask", Fn: bsd.Umask, Sig: "m"},
		{Nr: 15, Name: "chmod", Fn: bsd.Chmod, Sig: "sm", Pre: pre(str(0))},
		{Nr: 124, Name: "fchmod", Fn: bsd.Fchmod, Sig: "fm"},
		{Nr: 274, Name: "lchmod", Fn: bsd.Lchmod, Sig: "sm", Pre: pre(str(0))},
		{Nr: 506, Name: "fchmodat", Fn: bsd.Fchmodat, Sig: "fsmx", Pre: pre(str(1))},
		{Nr: 16, Name: "chown", Fn: bsd.Chown, Sig: "sii", Pre: pre(str(0))},
		{Nr: 123, Name: "fchown", Fn: bsd.Fchown, Sig: "fii"},
		{Nr: 254, Name: "lchown", Fn: bsd.Lchown, Sig: "sii", Pre: pre(str(0))},
		{Nr: 507, Name: "fchownat", Fn: bsd.Fchownat, Sig: "fsiix", Pre: pre(str(1))},
		{Nr: 138, Name: "utimes", Fn: bsd.Utimes, Sig: "sp", Pre: pre(str(0), fixed(1, 32))},
		{Nr: 206, Name: "futimes", Fn: bsd.Futimes, Sig: "fp", Pre: pre(fixed(1, 32))},
		{Nr: 276, Name: "lutimes", Fn: bsd.Lutimes, Sig: "sp", Pre: pre(str(0), fixed(1, 32))},
		{Nr: 539, Name: "utimensat", Fn: bsd.Utimensat, Sig: "fspx", Pre: pre(str(1), fixed(2, 32))},
		{Nr: 200, Name: "truncate", Fn: bsd.Padded(1, bsd.Truncate), Sig: "sxd", Pre: pre(str(0))},
		{Nr: 201, Name: "ftruncate", Fn: bsd.Padded(1, bsd.Ftruncate), Sig: "fxd"},
		{Nr: 95, Name: "fsync", Fn: bsd.Fsync, Sig: "f"},
		{Nr: 36, Name: "sync", Fn: bsd.Sync},
		{Nr: 41, Name: "dup", Fn: bsd.Dup, Sig: "f"},
		{Nr: 90, Name: "dup2", Fn: bsd.Dup2, Sig: "ff"},
		{Nr: 92, Name: "fcntl", Fn: bsd.Fcntl, Sig: "fix"},
		{Nr: 131, Name: "flock", Fn: bsd.Flock, Sig: "fx"},
		{Nr: 42, Name: "pipe", Fn: sysPipe},
		{Nr: 538, Name: "pipe2", Fn: sysPipe2, Sig: "px"},
	}
}
