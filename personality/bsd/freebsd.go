package bsd

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/server/unix/core"
)

// What FreeBSD and DragonFly have in common, and NetBSD has not.

// SharedFreeBSD are the calls of FreeBSD and DragonFly beside those that all have.
func SharedFreeBSD() []Entry {
	return []Entry{
		// processes and threads
		{Nr: 7, Name: "wait4", Fn: Wait4, Sig: "iwxp", Level: Partial, Note: "rusage: times only"},
		{Nr: 310, Name: "getsid", Fn: Getsid, Sig: "i"},
		{Nr: 331, Name: "sched_yield", Fn: Zero, Local: abi.LocalYield},
		// users
		{Nr: 311, Name: "setresuid", Fn: Setresuid, Sig: "iii"},
		{Nr: 312, Name: "setresgid", Fn: Setresgid, Sig: "iii"},
		{Nr: 360, Name: "getresuid", Fn: Getresuid, Sig: "ppp"},
		{Nr: 361, Name: "getresgid", Fn: Getresgid, Sig: "ppp"},
		{Nr: 79, Name: "getgroups", Fn: Getgroups, Sig: "ip"},
		{Nr: 80, Name: "setgroups", Fn: Setgroups, Sig: "ip", Level: Partial, Note: "at most 65 groups"},
		{Nr: 253, Name: "issetugid", Fn: Issetugid},
		// signals
		{Nr: 53, Name: "sigaltstack", Fn: Sigaltstack, Sig: "pp", Pre: Pre(Fixed(0, 24))},
		{Nr: 340, Name: "sigprocmask", Fn: Sigprocmask, Sig: "ipp", Pre: Pre(Fixed(1, 16))},
		{Nr: 341, Name: "sigsuspend", Fn: Sigsuspend, Sig: "p", Pre: Pre(Fixed(0, 16))},
		{Nr: 343, Name: "sigpending", Fn: Sigpending, Sig: "p"},
		// memory
		{Nr: 75, Name: "madvise", Fn: Refuse(abi.EINVAL), Sig: "pui", Local: abi.LocalAdvice, Digits: freeBSDAdvice},
		{Nr: 65, Name: "msync", Fn: Msync, Sig: "pux"},
		// time
		{Nr: 116, Name: "gettimeofday", Fn: Gettimeofday, Sig: "pp"},
		{Nr: 232, Name: "clock_gettime", Fn: Refuse(abi.EINVAL), Sig: "ip", Local: abi.LocalClocks, Digits: freeBSDClocks, Level: Partial, Note: "CLOCK_VIRTUAL and CLOCK_PROF are EINVAL"},
		{Nr: 234, Name: "clock_getres", Fn: ClockGetres, Sig: "ip"},
		{Nr: 240, Name: "nanosleep", Fn: Nanosleep, Sig: "pp", Pre: Pre(Fixed(0, 16)), Local: abi.LocalNanosleep},
		{Nr: 83, Name: "setitimer", Fn: Setitimer, Sig: "ipp", Pre: Pre(Fixed(1, 32))},
		{Nr: 86, Name: "getitimer", Fn: Getitimer, Sig: "ip"},
		// the system
		{Nr: 117, Name: "getrusage", Fn: Getrusage, Sig: "ip", Level: Partial, Note: "times and resident size only"},
		// events
		{Nr: 362, Name: "kqueue", Fn: Kqueue},
		{Nr: 93, Name: "select", Fn: Select, Sig: "ipppp"},
		// sockets
		{Nr: 97, Name: "socket", Fn: Socket, Sig: "ixi", Level: Partial, Note: "AF_UNIX, AF_INET, AF_INET6; others are EAFNOSUPPORT"},
		{Nr: 393, Name: "sendfile", Fn: Sendfile, Sig: "ffdupp", Level: Partial, Note: "headers and trailers are EOPNOTSUPP; no flag changes anything"},
		{Nr: 541, Name: "accept4", Fn: Accept4, Sig: "fppx"},
		// files
		{Nr: 254, Name: "lchown", Fn: Lchown, Sig: "sii", Pre: Pre(Str(0))},
		{Nr: 138, Name: "utimes", Fn: Utimes, Sig: "sp", Pre: Pre(Str(0), Fixed(1, 32))},
		{Nr: 206, Name: "futimes", Fn: Futimes, Sig: "fp", Pre: Pre(Fixed(1, 32))},
		{Nr: 276, Name: "lutimes", Fn: Lutimes, Sig: "sp", Pre: Pre(Str(0), Fixed(1, 32))},
	}
}

// Sendfile serves sendfile(2): file, socket, offset, how much (0: up to the file's end),
// headers and trailers, where it is stored how much was sent.
func Sendfile(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	in, file, e := c.File(int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	if file.Access&core.AccessRead == 0 || file.Kind == core.FilePath {
		return 0, abi.EBADF
	}
	out, r, _, e := c.Sock(int32(c.Args[1]))
	if e != 0 {
		return 0, e
	}
	s, e := c.StatFD(int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	off := int64(c.Args[2])
	if s.Mode&fs.TypeMask != fs.TypeReg || c.K.Socks.Get(r).Type != core.SockStream || off < 0 {
		return 0, abi.EINVAL
	}
	if c.Args[4] != 0 {
		return 0, abi.EOPNOTSUPP
	}
	want := uint64(0)
	if uint64(off) < s.Size {
		want = s.Size - uint64(off)
	}
	if n := c.Args[3]; n != 0 {
		want = min(want, n)
	}
	want = min(want, 0x7ffff000) // what one call moves
	n := uint64(0)
	if want > 0 {
		n, e = c.CopyFile(in, out, off, -1, want)
		c.CountIO(core.CountRead|core.CountWrite, n, e)
	}
	if n > 0 && n < want {
		// There was no room for more, or a signal came.
		e = abi.EINTR
		if f := c.K.Files.Get(out); f != nil && f.Flags&core.OpenNonblock != 0 {
			e = abi.EAGAIN
		}
	}
	if c.Args[5] != 0 && (e == 0 || e < abi.ErrRestart) {
		c.CopyOut64(c.Args[5], n)
	}
	return 0, e
}

// freeBSDClocks are the host's clocks by the numbers of FreeBSD and DragonFly
// (sys/_clock_id.h, sys/time.h).
var freeBSDClocks = []uint8{
	HostRealtime, NoClock, NoClock, NoClock, HostMono, HostMono, NoClock, HostMono, HostMonoC,
	HostRealtime, HostRealC, HostMono, HostMonoC, HostRealC, HostThread, HostProcess,
}

// freeBSDAdvice is the host's advice by their numbers (sys/mman.h): what asks for pages to
// be given up soon changes nothing, what frees them frees them.
var freeBSDAdvice = []uint8{0, 1, 2, 3, 0, 8, 0, 0, 0, 0}

// FreeBSDRegs are the registers of their mcontext_t from offset 8 on, a word each.
func FreeBSDRegs(r *abi.Regs) [15]*uint64 {
	return [15]*uint64{&r.DI, &r.SI, &r.DX, &r.CX, &r.R8, &r.R9, &r.AX, &r.BX, &r.BP, &r.R10, &r.R11, &r.R12, &r.R13, &r.R14, &r.R15}
}

// FreeBSDTrap is their number of a hardware exception (amd64/include/trap.h) by the
// processor's.
func FreeBSDTrap(n uint64) uint32 {
	switch n {
	case 0:
		return 18 // T_DIVIDE
	case 1:
		return 10 // T_TRCTRAP
	case 3:
		return 3 // T_BPTFLT
	case 6:
		return 1 // T_PRIVINFLT
	case 13:
		return 9 // T_PROTFLT
	case 14:
		return 12 // T_PAGEFLT
	case 16, 19:
		return 29 // T_XMMFLT
	case 17:
		return 14 // T_ALIGNFLT
	}
	return 28 // T_RESERVED
}

// FreeBSDInfoSize is the size of their siginfo_t.
const FreeBSDInfoSize = 80

// PutFreeBSDInfo encodes it (sys/signal.h): signo, errno, code, pid, uid, status, the address
// at 24, the value at 32, what is the signal's own from 40 on.
func PutFreeBSDInfo(x *Signals, b []byte, s *core.SigInfo) {
	clear(b[:FreeBSDInfoSize])
	binary.LittleEndian.PutUint32(b, uint32(x.Native(s.Sig)))
	binary.LittleEndian.PutUint32(b[4:], uint32(s.Errno))
	binary.LittleEndian.PutUint32(b[8:], uint32(x.Code(s)))
	switch {
	case s.Code == core.SiTimer:
		binary.LittleEndian.PutUint64(b[32:], s.Value)
		binary.LittleEndian.PutUint32(b[40:], uint32(s.Timer))
		binary.LittleEndian.PutUint32(b[44:], uint32(s.Overrun))
	case s.Code > 0 && s.Sig == core.SIGCHLD:
		binary.LittleEndian.PutUint32(b[12:], uint32(s.Pid))
		binary.LittleEndian.PutUint32(b[16:], s.UID)
		status := s.Status
		if s.Code != core.CldExited {
			status = x.Native(status)
		}
		binary.LittleEndian.PutUint32(b[20:], uint32(status))
	case s.Code > 0 && (s.Sig == core.SIGSEGV || s.Sig == core.SIGBUS || s.Sig == core.SIGILL || s.Sig == core.SIGFPE || s.Sig == core.SIGTRAP):
		binary.LittleEndian.PutUint64(b[24:], s.Addr)
		binary.LittleEndian.PutUint32(b[40:], FreeBSDTrap(uint64(s.TrapNo)))
	default:
		binary.LittleEndian.PutUint32(b[12:], uint32(s.Pid))
		binary.LittleEndian.PutUint32(b[16:], s.UID)
		binary.LittleEndian.PutUint64(b[32:], s.Value)
	}
}

// PutXucred encodes struct xucred (sys/ucred.h): version 4, user 4, how many groups 2, sixteen
// groups from 12 on, process at 80, which only FreeBSD tells. Of the groups there is the
// effective one.
func PutXucred(pid, uid, gid uint32) []byte {
	b := make([]byte, 88)
	binary.LittleEndian.PutUint32(b[4:], uid)
	b[8] = 1
	binary.LittleEndian.PutUint32(b[12:], gid)
	binary.LittleEndian.PutUint32(b[80:], pid)
	return b
}
