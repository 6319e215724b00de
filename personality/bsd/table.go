package bsd

import (
	"hythe/abi"
	"hythe/server/unix/core"
)

// Calls that several of the systems have with the same number, name and arguments stand
// here once: those that all have, and those that DragonFly has from FreeBSD.

// Shared are the calls of all systems.
func Shared() []Entry {
	iov := Pre(abi.Pre{Kind: abi.PreIovRO, Arg: 1, Size: 2})
	iovData := Pre(abi.Pre{Kind: abi.PreIov, Arg: 1, Size: 2})
	return []Entry{
		// processes and threads
		{Nr: 1, Name: "exit", Fn: Exit, Sig: "i"},
		{Nr: 2, Name: "fork", Fn: Fork, FS: true},
		{Nr: 66, Name: "vfork", Fn: Vfork, FS: true},
		{Nr: 59, Name: "execve", Fn: Execve, Sig: "spp", Pre: Pre(Str(0), Strs(1), Strs(2))},
		Word(20, "getpid", abi.TaskPid, Pid),
		{Nr: 39, Name: "getppid", Fn: Getppid, Local: abi.LocalTold, LocalArg: abi.ToldPpid},
		{Nr: 81, Name: "getpgrp", Fn: Getpgrp, Local: abi.LocalTold, LocalArg: abi.ToldPgid},
		{Nr: 82, Name: "setpgid", Fn: Setpgid, Sig: "ii"},
		{Nr: 147, Name: "setsid", Fn: Setsid},
		{Nr: 207, Name: "getpgid", Fn: Getpgid, Sig: "i"},
		// users
		Word(24, "getuid", abi.TaskUid, UID),
		Word(25, "geteuid", abi.TaskEuid, EUID),
		Word(47, "getgid", abi.TaskGid, GID),
		Word(43, "getegid", abi.TaskEgid, EGID),
		{Nr: 23, Name: "setuid", Fn: Setuid, Sig: "u"},
		{Nr: 183, Name: "seteuid", Fn: Seteuid, Sig: "u"},
		{Nr: 181, Name: "setgid", Fn: Setgid, Sig: "u"},
		{Nr: 182, Name: "setegid", Fn: Setegid, Sig: "u"},
		// signals
		{Nr: 37, Name: "kill", Fn: Kill, Sig: "iG"},
		// memory
		{Nr: 73, Name: "munmap", Sig: "pu", Local: abi.LocalMunmap},
		{Nr: 74, Name: "mprotect", Sig: "pux", Local: abi.LocalMprotect},
		{Nr: 203, Name: "mlock", Fn: Zero, Sig: "pu", Local: abi.LocalMlock, Level: Partial, Note: "the range is checked, nothing is locked"},
		{Nr: 204, Name: "munlock", Fn: Zero, Sig: "pu", Local: abi.LocalMlock},
		// the system
		{Nr: 26, Name: "ptrace", Fn: Refuse(abi.EPERM), Level: Refused, Sig: "iipi", Note: "EPERM: no tracing"},
		{Nr: 202, Name: "__sysctl", Fn: SysctlCall, Sig: "pupppu", Level: Partial, Note: "docs/personality.md lists the variables; nothing can be set"},
		{Nr: 194, Name: "getrlimit", Fn: Getrlimit, Sig: "ip"},
		{Nr: 195, Name: "setrlimit", Fn: Setrlimit, Sig: "ip", Pre: Pre(Fixed(1, 16)), Level: Partial, Note: "kept, but not enforced: RSS, MEMLOCK; SBSIZE and those above VMEM are infinite"},
		{Nr: 100, Name: "getpriority", Fn: Getpriority, Sig: "ii"},
		{Nr: 96, Name: "setpriority", Fn: Setpriority, Sig: "iii", Level: Partial, Note: "below the machine's own nice value only where it is given that (--sched)"},
		// events
		{Nr: 209, Name: "poll", Fn: Poll, Sig: "pui"},
		// sockets
		{Nr: 135, Name: "socketpair", Fn: Socketpair, Sig: "ixip", Level: Partial, Note: "as socket"},
		{Nr: 98, Name: "connect", Fn: Connect, Sig: "fpi"},
		{Nr: 104, Name: "bind", Fn: Bind, Sig: "fpi"},
		{Nr: 106, Name: "listen", Fn: Listen, Sig: "fi"},
		{Nr: 30, Name: "accept", Fn: Accept, Sig: "fpp"},
		{Nr: 32, Name: "getsockname", Fn: Getsockname, Sig: "fpp"},
		{Nr: 31, Name: "getpeername", Fn: Getpeername, Sig: "fpp"},
		{Nr: 134, Name: "shutdown", Fn: Shutdown, Sig: "fi"},
		{Nr: 133, Name: "sendto", Fn: Sendto, Sig: "fpuxpi"},
		{Nr: 29, Name: "recvfrom", Fn: Recvfrom, Sig: "fBuxpp"},
		{Nr: 28, Name: "sendmsg", Fn: Sendmsg, Sig: "fpx", Level: Partial, Note: "control data: SCM_RIGHTS; others are EINVAL"},
		{Nr: 27, Name: "recvmsg", Fn: Recvmsg, Sig: "fpx", Level: Partial, Note: "control data: SCM_RIGHTS"},
		{Nr: 105, Name: "setsockopt", Fn: Setsockopt, Sig: "fixpi", Level: Partial, Note: "SOL_SOCKET; TCP_NODELAY, KEEPIDLE, KEEPINTVL, KEEPCNT; IP_TOS, IP_TTL; IPV6_V6ONLY, IPV6_UNICAST_HOPS; others are ENOPROTOOPT"},
		{Nr: 118, Name: "getsockopt", Fn: Getsockopt, Sig: "fixpp", Level: Partial, Note: "as setsockopt, and the other end of a unix socket"},
		// files
		{Nr: 54, Name: "ioctl", Fn: Ioctl, Sig: "fxp", Level: Partial, Note: "a terminal's modes, size, session and group; others are ENOTTY"},
		{Nr: 3, Name: "read", Fn: Read, Local: abi.LocalRead, Sig: "fBu"},
		{Nr: 4, Name: "write", Fn: Write, Local: abi.LocalWrite, Sig: "fbu", Pre: Pre(Buf(1, 2))},
		{Nr: 120, Name: "readv", Fn: Readv, Sig: "fpu", Pre: iov},
		{Nr: 121, Name: "writev", Fn: Writev, Sig: "fpu", Pre: iovData},
		{Nr: 5, Name: "open", Fn: Open, Sig: "sxm", Pre: Pre(Str(0))},
		{Nr: 6, Name: "close", Fn: Close, Sig: "f"},
		{Nr: 33, Name: "access", Fn: Access, Sig: "sx", Pre: Pre(Str(0))},
		{Nr: 58, Name: "readlink", Fn: Readlink, Sig: "sBu", Pre: Pre(Str(0))},
		{Nr: 136, Name: "mkdir", Fn: Mkdir, Sig: "sm", Pre: Pre(Str(0))},
		{Nr: 137, Name: "rmdir", Fn: Rmdir, Sig: "s", Pre: Pre(Str(0))},
		{Nr: 10, Name: "unlink", Fn: Unlink, Sig: "s", Pre: Pre(Str(0))},
		{Nr: 128, Name: "rename", Fn: Rename, Sig: "ss", Pre: Pre(Str(0), Str(1))},
		{Nr: 9, Name: "link", Fn: Link, Sig: "ss", Pre: Pre(Str(0), Str(1))},
		{Nr: 57, Name: "symlink", Fn: Symlink, Sig: "ss", Pre: Pre(Str(0), Str(1))},
		{Nr: 132, Name: "mkfifo", Fn: Mkfifo, Sig: "sm", Pre: Pre(Str(0))},
		{Nr: 12, Name: "chdir", Fn: Chdir, Sig: "s", Pre: Pre(Str(0))},
		{Nr: 13, Name: "fchdir", Fn: Fchdir, Sig: "f"},
		{Nr: 61, Name: "chroot", Fn: Chroot, Sig: "s", Pre: Pre(Str(0))},
		{Nr: 60, Name: "umask", Fn: Umask, Sig: "m"},
		{Nr: 15, Name: "chmod", Fn: Chmod, Sig: "sm", Pre: Pre(Str(0))},
		{Nr: 124, Name: "fchmod", Fn: Fchmod, Sig: "fm"},
		{Nr: 274, Name: "lchmod", Fn: Lchmod, Sig: "sm", Pre: Pre(Str(0))},
		{Nr: 16, Name: "chown", Fn: Chown, Sig: "sii", Pre: Pre(Str(0))},
		{Nr: 123, Name: "fchown", Fn: Fchown, Sig: "fii"},
		{Nr: 95, Name: "fsync", Fn: Fsync, Sig: "f"},
		{Nr: 36, Name: "sync", Fn: Sync},
		{Nr: 41, Name: "dup", Fn: Dup, Sig: "f"},
		{Nr: 90, Name: "dup2", Fn: Dup2, Sig: "ff"},
		{Nr: 131, Name: "flock", Fn: Flock, Sig: "fx"},
	}
}

// Issetugid serves issetugid(2).
func Issetugid(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return uint64(c.Proc().ExecSecure), 0
}
