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
	Calls: []func() []bsd.Entry{bsd.Shared, bsd.SharedFreeBSD, calls}, Brand: brand, Start: start, Deliver: deliver, Fault: bsd.FaultAs(core.SIGBUS, 3),
	PutStat: putStat, StatSize: 224, PutStatfs: putStatfs, StatfsSize: 2344, Dirent: putDirent,
	Open: bsd.OpenFlags{Directory: 0x20000, Cloexec: 0x100000, Direct: 0x10000, Path: 0x400000, Dsync: 0x1000000, Exec: 0x40000, TimeNow: -1, TimeOmit: -2},
	Sock: bsd.SockNumbers{Inet6: 28, MsgNosignal: 0x20000, MsgCloexec: 0x40000, Timestamp: 0x400, Sndtimeo: 0x1005, Rcvtimeo: 0x1006,
		KeepIdle: 0x100, KeepIntvl: 0x200, KeepCount: 0x400, PeerCred: 1, PutPeer: bsd.PutXucred},
	Signals: signals, Sysctl: bsd.Sysctl{Variables: variables, Proc: procVariable, Names: true,
		Route: bsd.RouteNumbers{Route: 17, Iflist: 3, Ifmalist: 4, Version: 5, Info: 14, DataSize: 0x98, LinkState: 4, AddrSize: 0x14, AddrIndex: 12, LinkSize: 0x36, Loopback: "lo0", Ethernet: "vtnet0"}},
	FDMask: 8,
	At:     bsd.AtFlags{Cwd: -100, Eaccess: 0x100, Nofollow: 0x200, Follow: 0x400, Removedir: 0x800, EmptyPath: 0x4000},
	Fcntl:  bsd.FcntlNumbers{Getlk: 11, FlockSize: 32, DupCloexec: 17, Dup2fd: 10, Dup2fdCloexec: 18},
	Wait:   bsd.WaitNumbers{Continued: 4, Nowait: 8, Exited: 16, Trapped: 32, Pid: 0, Pgid: 2, All: 7, Went: 0x13, InfoSize: infoSize},
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

// jails is why there are none: a machine is one itself, whose children.max is 0.
const jails = "EPERM: as in a jail that may have none within"

// calls are those that the other systems have not, or have by other numbers.
func calls() []bsd.Entry {
	str, fixed, buf, pre := bsd.Str, bsd.Fixed, bsd.Buf, bsd.Pre
	iov := pre(abi.Pre{Kind: abi.PreIovRO, Arg: 1, Size: 2})
	iovData := pre(abi.Pre{Kind: abi.PreIov, Arg: 1, Size: 2})
	return []bsd.Entry{
		// processes and threads
		{Nr: 532, Name: "wait6", Fn: bsd.Wait6(putInfo), Sig: "idwxpp", Level: bsd.Partial, Note: "idtype P_PID, P_PGID, P_ALL; rusage: times only"},
		{Nr: 492, Name: "fexecve", Fn: bsd.Fexecve, Sig: "fpp"},
		{Nr: 431, Name: "thr_exit", Fn: sysThrExit, Sig: "p"},
		{Nr: 432, Name: "thr_self", Fn: sysThrSelf, Sig: "p"},
		{Nr: 433, Name: "thr_kill", Fn: sysThrKill, Sig: "dG"},
		{Nr: 455, Name: "thr_new", Fn: sysThrNew, Sig: "pi", FS: true, Level: bsd.Partial, Note: "THR_SUSPENDED is EINVAL; priorities are not taken"},
		{Nr: 464, Name: "thr_set_name", Fn: sysThrSetName, Sig: "ds", Pre: pre(str(1))},
		{Nr: 481, Name: "thr_kill2", Fn: sysThrKill2, Sig: "idG"},
		{Nr: 454, Name: "_umtx_op", Fn: sysUmtx, Local: abi.LocalUmtx, Sig: "piupp", Level: bsd.Partial, Note: "waits on and wakes of words; mutexes, condition variables and semaphores are EOPNOTSUPP"},
		{Nr: 165, Name: "sysarch", Fn: sysArch, Sig: "ip", FS: true, Pre: pre(fixed(1, 8)), Level: bsd.Partial, Note: "the FS base"},
		{Nr: 487, Name: "cpuset_getaffinity", Fn: sysGetaffinity, Sig: "iidup", Level: bsd.Partial, Note: "of threads and processes"},
		// signals
		{Nr: 416, Name: "sigaction", Fn: bsd.Sigaction(bsd.SigactionLayout{Flags: 8, Mask: 12}), Sig: "Gpp", Pre: pre(fixed(1, 32)), Level: bsd.Partial, Note: "real-time signals above 95 are EINVAL"},
		{Nr: 417, Name: "sigreturn", Fn: sysSigreturn, Sig: "p", Pre: pre(fixed(0, ucSize))},
		// memory
		{Nr: 477, Name: "mmap", Fn: bsd.Mmap(bsd.MapFlags{Stack: 0x400, Guard: 0x2000, Excl: 0x4000, Low32: 0x80000, Ignore: 0x200 | 0x800 | 0x20000 | 0x40000}),
			Sig: "puxxfx", Level: bsd.Partial, Note: "what is mapped shared or from a file is aligned to pages only"},
		// time
		{Nr: 244, Name: "clock_nanosleep", Fn: bsd.ClockNanosleep, Sig: "ixpp", Pre: pre(fixed(2, 16))},
		{Nr: 436, Name: "jail_attach", Fn: bsd.Refuse(abi.EPERM), Level: bsd.Refused, Sig: "i", Note: jails},
		{Nr: 506, Name: "jail_get", Fn: bsd.Refuse(abi.ENOENT), Level: bsd.Refused, Sig: "pux", Note: "ENOENT: there is no jail within, of whatever name or number"},
		{Nr: 507, Name: "jail_set", Fn: bsd.Refuse(abi.EPERM), Level: bsd.Refused, Sig: "pux", Note: jails},
		{Nr: 508, Name: "jail_remove", Fn: bsd.Refuse(abi.EPERM), Level: bsd.Refused, Sig: "i", Note: jails},
		// the system
		{Nr: 570, Name: "__sysctlbyname", Fn: bsd.Sysctlbyname, Sig: "pupppu", Level: bsd.Partial, Note: "as __sysctl"},
		{Nr: 563, Name: "getrandom", Fn: bsd.Getrandom, Sig: "Bux"},
		// events
		{Nr: 583, Name: "kqueuex", Fn: bsd.Kqueuex, Sig: "x"},
		{Nr: 522, Name: "pselect", Fn: bsd.SelectMask, Sig: "ippppp"},
		{Nr: 545, Name: "ppoll", Fn: bsd.PollMask, Sig: "pupp"},
		{Nr: 560, Name: "kevent", Fn: bsd.Kevent(&kevents), Sig: "fpipip", Pre: pre(fixed(1, 128), fixed(5, 16)), Level: bsd.Partial,
			Note: "filters READ, WRITE, TIMER and USER; others are EINVAL, devices ENODEV"},
		// files
		{Nr: 289, Name: "preadv", Fn: bsd.Preadv, Sig: "fpud", Pre: iov},
		{Nr: 290, Name: "pwritev", Fn: bsd.Pwritev, Sig: "fpud", Pre: iovData},
		{Nr: 475, Name: "pread", Fn: bsd.Pread, Local: abi.LocalPread, Sig: "fBud"},
		{Nr: 476, Name: "pwrite", Fn: bsd.Pwrite, Local: abi.LocalPwrite, Sig: "fbud", Pre: pre(buf(1, 2))},
		{Nr: 478, Name: "lseek", Fn: bsd.Lseek, Local: abi.LocalSeek, Sig: "fdi"},
		{Nr: 499, Name: "openat", Fn: bsd.Openat, Sig: "fsxm", Pre: pre(str(1)), Level: bsd.Partial, Note: "O_RESOLVE_BENEATH, O_VERIFY and O_EMPTY_PATH are not taken"},
		{Nr: 509, Name: "closefrom", Fn: bsd.Closefrom, Sig: "i"},
		{Nr: 575, Name: "close_range", Fn: bsd.CloseRange, Sig: "uux"},
		{Nr: 551, Name: "fstat", Fn: bsd.Fstat, Local: abi.LocalStat, Sig: "fp"},
		{Nr: 552, Name: "fstatat", Fn: bsd.Fstatat, Sig: "fspx", Pre: pre(str(1))},
		{Nr: 555, Name: "statfs", Fn: bsd.StatfsPath, Sig: "sp", Pre: pre(str(0)), Level: bsd.Partial, Note: "names of file systems are \"hythe\""},
		{Nr: 557, Name: "getfsstat", Fn: bsd.Getfsstat, Sig: "pux", Level: bsd.Partial, Note: "as statfs"},
		{Nr: 556, Name: "fstatfs", Fn: bsd.Fstatfs, Sig: "fp", Level: bsd.Partial, Note: "as statfs"},
		{Nr: 554, Name: "getdirentries", Fn: bsd.Getdirentries, Sig: "fpup"},
		{Nr: 376, Name: "eaccess", Fn: bsd.Eaccess, Sig: "sx", Pre: pre(str(0))},
		{Nr: 489, Name: "faccessat", Fn: bsd.Faccessat, Sig: "fsxx", Pre: pre(str(1))},
		{Nr: 500, Name: "readlinkat", Fn: bsd.Readlinkat, Sig: "fsBu", Pre: pre(str(1))},
		{Nr: 496, Name: "mkdirat", Fn: bsd.Mkdirat, Sig: "fsm", Pre: pre(str(1))},
		{Nr: 503, Name: "unlinkat", Fn: bsd.Unlinkat, Sig: "fsx", Pre: pre(str(1))},
		{Nr: 501, Name: "renameat", Fn: bsd.Renameat, Sig: "fsfs", Pre: pre(str(1), str(3))},
		{Nr: 495, Name: "linkat", Fn: bsd.Linkat, Sig: "fsfsx", Pre: pre(str(1), str(3))},
		{Nr: 502, Name: "symlinkat", Fn: bsd.Symlinkat, Sig: "sfs", Pre: pre(str(0), str(2))},
		{Nr: 497, Name: "mkfifoat", Fn: bsd.Mkfifoat, Sig: "fsm", Pre: pre(str(1))},
		{Nr: 326, Name: "__getcwd", Fn: bsd.Getcwd, Sig: "Zu"},
		{Nr: 490, Name: "fchmodat", Fn: bsd.Fchmodat, Sig: "fsmx", Pre: pre(str(1))},
		{Nr: 491, Name: "fchownat", Fn: bsd.Fchownat, Sig: "fsiix", Pre: pre(str(1))},
		{Nr: 494, Name: "futimesat", Fn: bsd.Futimesat, Sig: "fsp", Pre: pre(str(1), fixed(2, 32))},
		{Nr: 546, Name: "futimens", Fn: bsd.Futimens, Sig: "fp", Pre: pre(fixed(1, 32))},
		{Nr: 547, Name: "utimensat", Fn: bsd.Utimensat, Sig: "fspx", Pre: pre(str(1), fixed(2, 32))},
		{Nr: 479, Name: "truncate", Fn: bsd.Truncate, Sig: "sd", Pre: pre(str(0))},
		{Nr: 480, Name: "ftruncate", Fn: bsd.Ftruncate, Sig: "fd"},
		{Nr: 569, Name: "copy_file_range", Fn: bsd.CopyFileRange, Sig: "fpfpux"},
		{Nr: 550, Name: "fdatasync", Fn: bsd.Fdatasync, Sig: "f"},
		{Nr: 92, Name: "fcntl", Fn: bsd.Fcntl, Sig: "fix", Level: bsd.Partial, Note: "read-ahead, F_KINFO and seals are EINVAL"},
		{Nr: 542, Name: "pipe2", Fn: bsd.Pipe2, Sig: "px", Level: bsd.Partial, Note: "one direction each, as everywhere but in old FreeBSD"},
	}
}
