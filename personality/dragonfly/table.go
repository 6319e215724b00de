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
	Calls: []func() []bsd.Entry{bsd.Shared, bsd.SharedFreeBSD, calls}, Brand: brand, Start: start, Deliver: deliver, Fault: bsd.FaultAs(core.SIGBUS, 3),
	PutStat: putStat, StatSize: 128, PutStatfs: putStatfs, StatfsSize: 320, Dirent: putDirent,
	Open: bsd.OpenFlags{Directory: 0x8000000, Cloexec: 0x20000, Direct: 0x10000, TimeNow: -1, TimeOmit: -2},
	Sock: bsd.SockNumbers{Inet6: 28, MsgNosignal: 0x400, MsgCloexec: 0x1000, Timestamp: 0x400, Sndtimeo: 0x1005, Rcvtimeo: 0x1006,
		KeepIdle: 0x100, KeepIntvl: 0x200, KeepCount: 0x400, PeerCred: 1, PutPeer: bsd.PutXucred, V6Only: true},
	Signals: signals, Sysctl: bsd.Sysctl{Variables: variables, Proc: procVariable, Names: true,
		Route: bsd.RouteNumbers{Route: 17, Iflist: 3, Version: 7, Info: 14, DataSize: 0xa0, LinkState: 24, AddrSize: 0x18, AddrIndex: 12, LinkSize: 0x36, Loopback: "lo0", Ethernet: "vtnet0"}},
	FDMask: 8,
	At:     bsd.AtFlags{Cwd: -0x50233, Eaccess: 4, Nofollow: 1, Follow: 8, Removedir: 2},
	Fcntl:  bsd.FcntlNumbers{Getlk: 7, FlockSize: 24, DupCloexec: 17, Dup2fd: 10, Dup2fdCloexec: 18},
	Wait:   bsd.WaitNumbers{Continued: 4, Nowait: 8, Exited: 16, Trapped: 32, Pid: 0, Pgid: 2, All: 7, Went: 0x13, InfoSize: infoSize},
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

// calls are those that the other systems have not, or have by other numbers.
func calls() []bsd.Entry {
	str, fixed, buf, pre := bsd.Str, bsd.Fixed, bsd.Buf, bsd.Pre
	iov := pre(abi.Pre{Kind: abi.PreIovRO, Arg: 1, Size: 2})
	iovData := pre(abi.Pre{Kind: abi.PreIov, Arg: 1, Size: 2})
	return []bsd.Entry{
		// processes and threads
		{Nr: 548, Name: "wait6", Fn: bsd.Wait6(putInfo), Sig: "idwxpp", Level: bsd.Partial, Note: "idtype P_PID, P_PGID, P_ALL; rusage: times only"},
		{Nr: 494, Name: "extexit", Fn: sysExtexit, Sig: "xip"},
		{Nr: 495, Name: "lwp_create", Fn: sysLwpCreate, Sig: "p", FS: true, Pre: pre(fixed(0, 40))},
		{Nr: 496, Name: "lwp_gettid", Fn: sysLwpGettid, Local: abi.LocalTid},
		{Nr: 497, Name: "lwp_kill", Fn: sysLwpKill, Sig: "iiG"},
		{Nr: 469, Name: "umtx_sleep", Fn: sysSleep, Local: abi.LocalSleepWord, Sig: "pii"},
		{Nr: 470, Name: "umtx_wakeup", Fn: sysSleep, Local: abi.LocalWakeWord, Sig: "pi"},
		{Nr: 472, Name: "set_tls_area", Fn: sysSetTLS, Sig: "ipu", Pre: pre(fixed(1, 8)), Level: bsd.Partial, Note: "the FS base"},
		{Nr: 473, Name: "get_tls_area", Fn: sysGetTLS, Sig: "ipu", FS: true, Level: bsd.Partial, Note: "the FS base"},
		// users
		{Nr: 126, Name: "setreuid", Fn: bsd.Setreuid, Sig: "ii"},
		{Nr: 127, Name: "setregid", Fn: bsd.Setregid, Sig: "ii"},
		// signals
		{Nr: 342, Name: "sigaction", Fn: bsd.Sigaction(bsd.SigactionLayout{Flags: 8, Mask: 12}), Sig: "Gpp", Pre: pre(fixed(1, 32)), Level: bsd.Partial, Note: "real-time signals above 65 are EINVAL"},
		{Nr: 344, Name: "sigreturn", Fn: sysSigreturn, Sig: "p", Pre: pre(fixed(0, ucSize))},
		// memory
		{Nr: 197, Name: "mmap", Fn: bsd.Mmap(bsd.MapFlags{Padded: true, Stack: 0x400, Ignore: 0x20 | 0x40 | 0x80 | 0x100 | 0x200 | 0x800 | 0x10000 | 0x20000 | 0x40000}),
			Sig: "puxxf", Level: bsd.Partial, Note: "MAP_VPAGETABLE is EINVAL"},
		// the system
		{Nr: 550, Name: "getrandom", Fn: bsd.Getrandom, Sig: "Bux"},
		// events
		{Nr: 499, Name: "pselect", Fn: bsd.SelectMask, Sig: "ippppp"},
		{Nr: 543, Name: "ppoll", Fn: bsd.PollMask, Sig: "pupp"},
		{Nr: 363, Name: "kevent", Fn: bsd.Kevent(&kevents), Sig: "fpipip", Pre: pre(fixed(1, 64), fixed(5, 16)), Level: bsd.Partial,
			Note: "filters READ, WRITE, TIMER and USER; others are EINVAL, devices ENODEV"},
		// sockets
		// files
		{Nr: 289, Name: "extpreadv", Fn: bsd.Padded(3, bsd.Preadv), Sig: "fpuxd", Pre: iov},
		{Nr: 290, Name: "extpwritev", Fn: bsd.Padded(3, bsd.Pwritev), Sig: "fpuxd", Pre: iovData},
		{Nr: 173, Name: "extpread", Fn: bsd.Padded(3, bsd.Pread), Sig: "fBuxd"},
		{Nr: 174, Name: "extpwrite", Fn: bsd.Padded(3, bsd.Pwrite), Sig: "fbuxd", Pre: pre(buf(1, 2))},
		{Nr: 199, Name: "lseek", Fn: bsd.Padded(1, bsd.Lseek), Sig: "fxdi"},
		{Nr: 504, Name: "openat", Fn: bsd.Openat, Sig: "fsxm", Pre: pre(str(1))},
		{Nr: 474, Name: "closefrom", Fn: bsd.Closefrom, Sig: "i"},
		{Nr: 476, Name: "fstat", Fn: bsd.Fstat, Sig: "fp"},
		{Nr: 475, Name: "stat", Fn: bsd.Stat, Sig: "sp", Pre: pre(str(0))},
		{Nr: 477, Name: "lstat", Fn: bsd.Lstat, Sig: "sp", Pre: pre(str(0))},
		{Nr: 505, Name: "fstatat", Fn: bsd.Fstatat, Sig: "fspx", Pre: pre(str(1))},
		{Nr: 157, Name: "statfs", Fn: bsd.StatfsPath, Sig: "sp", Pre: pre(str(0)), Level: bsd.Partial, Note: "names of file systems are \"hythe\""},
		{Nr: 18, Name: "getfsstat", Fn: bsd.Getfsstat, Sig: "pux", Level: bsd.Partial, Note: "as statfs"},
		{Nr: 158, Name: "fstatfs", Fn: bsd.Fstatfs, Sig: "fp", Level: bsd.Partial, Note: "as statfs"},
		{Nr: 479, Name: "getdirentries", Fn: bsd.Getdirentries, Sig: "fpup"},
		{Nr: 480, Name: "getdents", Fn: bsd.Getdents, Sig: "fpu"},
		{Nr: 532, Name: "eaccess", Fn: bsd.Eaccess, Sig: "sx", Pre: pre(str(0))},
		{Nr: 509, Name: "faccessat", Fn: bsd.Faccessat, Sig: "fsxx", Pre: pre(str(1))},
		{Nr: 527, Name: "readlinkat", Fn: bsd.Readlinkat, Sig: "fsBu", Pre: pre(str(1))},
		{Nr: 524, Name: "mkdirat", Fn: bsd.Mkdirat, Sig: "fsm", Pre: pre(str(1))},
		{Nr: 508, Name: "unlinkat", Fn: bsd.Unlinkat, Sig: "fsx", Pre: pre(str(1))},
		{Nr: 523, Name: "renameat", Fn: bsd.Renameat, Sig: "fsfs", Pre: pre(str(1), str(3))},
		{Nr: 531, Name: "linkat", Fn: bsd.Linkat, Sig: "fsfsx", Pre: pre(str(1), str(3))},
		{Nr: 528, Name: "symlinkat", Fn: bsd.Symlinkat, Sig: "sfs", Pre: pre(str(0), str(2))},
		{Nr: 525, Name: "mkfifoat", Fn: bsd.Mkfifoat, Sig: "fsm", Pre: pre(str(1))},
		{Nr: 326, Name: "__getcwd", Fn: bsd.GetcwdLen, Sig: "Zu"},
		{Nr: 506, Name: "fchmodat", Fn: bsd.Fchmodat, Sig: "fsmx", Pre: pre(str(1))},
		{Nr: 507, Name: "fchownat", Fn: bsd.Fchownat, Sig: "fsiix", Pre: pre(str(1))},
		{Nr: 539, Name: "utimensat", Fn: bsd.Utimensat, Sig: "fspx", Pre: pre(str(1), fixed(2, 32))},
		{Nr: 200, Name: "truncate", Fn: bsd.Padded(1, bsd.Truncate), Sig: "sxd", Pre: pre(str(0))},
		{Nr: 201, Name: "ftruncate", Fn: bsd.Padded(1, bsd.Ftruncate), Sig: "fxd"},
		{Nr: 92, Name: "fcntl", Fn: bsd.Fcntl, Sig: "fix"},
		{Nr: 42, Name: "pipe", Fn: sysPipe},
		{Nr: 538, Name: "pipe2", Fn: sysPipe2, Sig: "px"},
	}
}
