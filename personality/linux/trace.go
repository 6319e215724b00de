package linux

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"hythe/abi"
	"hythe/server/unix/core"
)

// The tracer's lines, in the way of strace(1), as far as the server has seen what
// a call was about: what it copied in and what its answer copies out.

// shown is how many bytes of a string or buffer are shown.
const shown = 32

// A bit is a flag and its name; a field of flags is a list of them.
type bit struct {
	v    uint64
	name string
}

var (
	openFlagBits = []bit{{oTmpfile, "O_TMPFILE"}, {oSync, "O_SYNC"}, {oCreat, "O_CREAT"}, {oExcl, "O_EXCL"}, {oNoctty, "O_NOCTTY"}, {oTrunc, "O_TRUNC"},
		{oAppend, "O_APPEND"}, {oNonblock, "O_NONBLOCK"}, {oDsync, "O_DSYNC"}, {oAsync, "O_ASYNC"}, {oLargefile, "O_LARGEFILE"},
		{oDirectory, "O_DIRECTORY"}, {oNofollow, "O_NOFOLLOW"}, {oNoatime, "O_NOATIME"}, {oCloexec, "O_CLOEXEC"}, {oPath, "O_PATH"}}
	protBits = []bit{{1, "PROT_READ"}, {2, "PROT_WRITE"}, {4, "PROT_EXEC"}, {0x01000000, "PROT_GROWSDOWN"}}
	mapBits  = []bit{{mapFixed, "MAP_FIXED"}, {mapAnonymous, "MAP_ANONYMOUS"}, {map32bit, "MAP_32BIT"}, {mapGrowsdown, "MAP_GROWSDOWN"},
		{0x800, "MAP_DENYWRITE"}, {0x1000, "MAP_EXECUTABLE"}, {0x2000, "MAP_LOCKED"}, {mapNoreserve, "MAP_NORESERVE"},
		{mapPopulate, "MAP_POPULATE"}, {0x10000, "MAP_NONBLOCK"}, {mapStack, "MAP_STACK"}, {mapHugetlb, "MAP_HUGETLB"}, {mapFixedNR, "MAP_FIXED_NOREPLACE"}}
	cloneBits = []bit{{0x100, "CLONE_VM"}, {0x200, "CLONE_FS"}, {0x400, "CLONE_FILES"}, {0x800, "CLONE_SIGHAND"}, {0x1000, "CLONE_PIDFD"},
		{0x2000, "CLONE_PTRACE"}, {0x4000, "CLONE_VFORK"}, {0x8000, "CLONE_PARENT"}, {0x10000, "CLONE_THREAD"}, {0x20000, "CLONE_NEWNS"},
		{0x40000, "CLONE_SYSVSEM"}, {0x80000, "CLONE_SETTLS"}, {0x100000, "CLONE_PARENT_SETTID"}, {0x200000, "CLONE_CHILD_CLEARTID"},
		{0x400000, "CLONE_DETACHED"}, {0x800000, "CLONE_UNTRACED"}, {0x1000000, "CLONE_CHILD_SETTID"}, {0x2000000, "CLONE_NEWCGROUP"},
		{0x4000000, "CLONE_NEWUTS"}, {0x8000000, "CLONE_NEWIPC"}, {0x10000000, "CLONE_NEWUSER"}, {0x20000000, "CLONE_NEWPID"}, {0x40000000, "CLONE_NEWNET"}}
	atBits   = []bit{{0x100, "AT_SYMLINK_NOFOLLOW"}, {0x200, "AT_REMOVEDIR"}, {0x400, "AT_SYMLINK_FOLLOW"}, {0x800, "AT_NO_AUTOMOUNT"}, {0x1000, "AT_EMPTY_PATH"}}
	waitBits = []bit{{1, "WNOHANG"}, {2, "WSTOPPED"}, {4, "WEXITED"}, {8, "WCONTINUED"}, {0x1000000, "WNOWAIT"}, {0x20000000, "__WNOTHREAD"}, {0x40000000, "__WALL"}, {0x80000000, "__WCLONE"}}
	saBits   = []bit{{core.SaRestorer, "SA_RESTORER"}, {core.SaOnStack, "SA_ONSTACK"}, {core.SaRestart, "SA_RESTART"}, {core.SaNoDefer, "SA_NODEFER"},
		{core.SaResetHand, "SA_RESETHAND"}, {core.SaSigInfo, "SA_SIGINFO"}, {core.SaNoCldStop, "SA_NOCLDSTOP"}, {core.SaNoCldWait, "SA_NOCLDWAIT"}}
	accessBits = []bit{{4, "R_OK"}, {2, "W_OK"}, {1, "X_OK"}}
	pollBits   = []bit{{1, "POLLIN"}, {2, "POLLPRI"}, {4, "POLLOUT"}, {8, "POLLERR"}, {0x10, "POLLHUP"}, {0x20, "POLLNVAL"}, {0x40, "POLLRDNORM"}, {0x80, "POLLRDBAND"}, {0x100, "POLLWRNORM"}, {0x200, "POLLWRBAND"}, {0x2000, "POLLRDHUP"}}
	sockBits   = []bit{{oNonblock, "SOCK_NONBLOCK"}, {oCloexec, "SOCK_CLOEXEC"}}
	fdBits     = []bit{{oNonblock, "O_NONBLOCK"}, {oCloexec, "O_CLOEXEC"}, {0o40000, "O_DIRECT"}}
	msgBits    = []bit{{1, "MSG_OOB"}, {2, "MSG_PEEK"}, {4, "MSG_DONTROUTE"}, {0x20, "MSG_TRUNC"}, {0x40, "MSG_DONTWAIT"}, {0x80, "MSG_EOR"}, {0x100, "MSG_WAITALL"}, {0x4000, "MSG_NOSIGNAL"}, {0x40000000, "MSG_CMSG_CLOEXEC"}}
	randBits   = []bit{{1, "GRND_NONBLOCK"}, {2, "GRND_RANDOM"}, {4, "GRND_INSECURE"}}
	memfdBits  = []bit{{1, "MFD_CLOEXEC"}, {2, "MFD_ALLOW_SEALING"}, {4, "MFD_HUGETLB"}}
)

// Names by value; "" is none.
var (
	accModes   = []string{"O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"}
	mapTypes   = []string{1: "MAP_SHARED", 2: "MAP_PRIVATE", 3: "MAP_SHARED_VALIDATE"}
	whences    = []string{"SEEK_SET", "SEEK_CUR", "SEEK_END", "SEEK_DATA", "SEEK_HOLE"}
	maskHows   = []string{"SIG_BLOCK", "SIG_UNBLOCK", "SIG_SETMASK"}
	clocks     = []string{"CLOCK_REALTIME", "CLOCK_MONOTONIC", "CLOCK_PROCESS_CPUTIME_ID", "CLOCK_THREAD_CPUTIME_ID", "CLOCK_MONOTONIC_RAW", "CLOCK_REALTIME_COARSE", "CLOCK_MONOTONIC_COARSE", "CLOCK_BOOTTIME", "CLOCK_REALTIME_ALARM", "CLOCK_BOOTTIME_ALARM", 11: "CLOCK_TAI"}
	epollOps   = []string{1: "EPOLL_CTL_ADD", 2: "EPOLL_CTL_DEL", 3: "EPOLL_CTL_MOD"}
	domains    = []string{0: "AF_UNSPEC", 1: "AF_UNIX", 2: "AF_INET", 10: "AF_INET6", 16: "AF_NETLINK", 17: "AF_PACKET"}
	sockTypes  = []string{1: "SOCK_STREAM", 2: "SOCK_DGRAM", 3: "SOCK_RAW", 4: "SOCK_RDM", 5: "SOCK_SEQPACKET"}
	shutHows   = []string{"SHUT_RD", "SHUT_WR", "SHUT_RDWR"}
	idTypes    = []string{"P_ALL", "P_PID", "P_PGID", "P_PIDFD"}
	itimers    = []string{"ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF"}
	limitNames = []string{"RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_CORE", "RLIMIT_RSS", "RLIMIT_NPROC", "RLIMIT_NOFILE",
		"RLIMIT_MEMLOCK", "RLIMIT_AS", "RLIMIT_LOCKS", "RLIMIT_SIGPENDING", "RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_RTPRIO", "RLIMIT_RTTIME"}
	fcntls = []string{"F_DUPFD", "F_GETFD", "F_SETFD", "F_GETFL", "F_SETFL", "F_GETLK", "F_SETLK", "F_SETLKW", "F_SETOWN", "F_GETOWN", "F_SETSIG", "F_GETSIG",
		15: "F_SETOWN_EX", 16: "F_GETOWN_EX", 36: "F_OFD_GETLK", 37: "F_OFD_SETLK", 38: "F_OFD_SETLKW",
		1024: "F_SETLEASE", 1025: "F_GETLEASE", 1026: "F_NOTIFY", 1030: "F_DUPFD_CLOEXEC", 1031: "F_SETPIPE_SZ", 1032: "F_GETPIPE_SZ", 1033: "F_ADD_SEALS", 1034: "F_GET_SEALS"}
	fileTypes = []string{1: "S_IFIFO", 2: "S_IFCHR", 4: "S_IFDIR", 6: "S_IFBLK", 8: "S_IFREG", 10: "S_IFLNK", 12: "S_IFSOCK"}
	signals   = []string{1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL", 10: "SIGUSR1",
		11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM", 16: "SIGSTKFLT", 17: "SIGCHLD", 18: "SIGCONT", 19: "SIGSTOP",
		20: "SIGTSTP", 21: "SIGTTIN", 22: "SIGTTOU", 23: "SIGURG", 24: "SIGXCPU", 25: "SIGXFSZ", 26: "SIGVTALRM", 27: "SIGPROF", 28: "SIGWINCH",
		29: "SIGIO", 30: "SIGPWR", 31: "SIGSYS"}
	childCodes = []string{1: "CLD_EXITED", 2: "CLD_KILLED", 3: "CLD_DUMPED", 4: "CLD_TRAPPED", 5: "CLD_STOPPED", 6: "CLD_CONTINUED"}
	ioctls     = map[uint64]string{0x5401: "TCGETS", 0x5402: "TCSETS", 0x5403: "TCSETSW", 0x5404: "TCSETSF", 0x540e: "TIOCSCTTY", 0x540f: "TIOCGPGRP", 0x5410: "TIOCSPGRP",
		0x5411: "TIOCOUTQ", 0x5413: "TIOCGWINSZ", 0x5414: "TIOCSWINSZ", 0x541b: "FIONREAD", 0x5421: "FIONBIO", 0x5422: "TIOCNOTTY", 0x5429: "TIOCGSID",
		0x5450: "FIONCLEX", 0x5451: "FIOCLEX", 0x5452: "FIOASYNC", 0x80045430: "TIOCGPTN", 0x40045431: "TIOCSPTLCK", 0x5441: "TIOCGPTPEER"}
)

// traceArg renders one argument by the letter of Entry.Sig:
//
//	d i u x  64 bits signed, 32 bits signed, unsigned, hexadecimal
//	p f -    pointer, descriptor, not shown
//	s Z      string in, out
//	b B      buffer in (its size is the next argument), out
//	S w 2    struct stat, wait status, two descriptors (all out)
//	t T      struct timespec in, out
//	k K n N  signal set in, out; struct sigaction in, out
//	r R      struct rlimit in, out
//	a q e    socket address in, struct pollfd, struct epoll_event in
//	v        the string list of a program
//	others   constants and flags by name
func (p *Personality) traceArg(c *core.Call, e *Entry, i int, r core.TraceResult) string {
	a := c.Args[i]
	switch e.Sig[i] {
	case 'd':
		return strconv.FormatInt(int64(a), 10)
	case 'i':
		return strconv.Itoa(int(int32(a)))
	case 'f':
		if int32(a) == -100 {
			return "AT_FDCWD"
		}
		return strconv.Itoa(int(int32(a)))
	case 'u':
		return strconv.FormatUint(a, 10)
	case 'm':
		return fmt.Sprintf("0%o", uint32(a))
	case 'x':
		return hexText(a)
	case 'o':
		return flagText(a&^oAccMode, openFlagBits, accModes[a&oAccMode])
	case 'O':
		return flagText(a, fdBits, "")
	case 'P':
		if a == 0 {
			return "PROT_NONE"
		}
		return flagText(a, protBits, "")
	case 'M':
		return flagText(a&^mapType, mapBits, nameText(a&mapType, mapTypes))
	case 'C':
		return flagText(a&^0xff, cloneBits, signalIf(a&0xff))
	case 'A':
		return flagText(a, atBits, "")
	case 'W':
		return flagText(uint64(uint32(a)), waitBits, "")
	case 'z':
		if a == 0 {
			return "F_OK"
		}
		return flagText(a, accessBits, "")
	case 'y':
		return flagText(a&^0xf, sockBits, nameText(a&0xf, sockTypes))
	case 'g':
		return flagText(a, msgBits, "")
	case 'j':
		return flagText(a, randBits, "")
	case 'J':
		return flagText(a, memfdBits, "")
	case 'l':
		return nameText(a, whences)
	case 'h':
		return nameText(a, maskHows)
	case 'c':
		return nameText(uint64(uint32(a)), clocks)
	case 'E':
		return nameText(a, epollOps)
	case 'D':
		return nameText(a, domains)
	case 'H':
		return nameText(a, shutHows)
	case 'I':
		return nameText(a, idTypes)
	case 'L':
		return nameText(a, limitNames)
	case 'F':
		return nameText(a, fcntls)
	case 'Y':
		return nameText(a, itimers)
	case 'G':
		return signalText(uint64(uint32(a)))
	case 'Q':
		if s := ioctls[a]; s != "" {
			return s
		}
		return hexText(a)
	}
	if a == 0 {
		return "NULL"
	}
	if s := structText(c, e.Sig[i], i, r); s != "" {
		return s
	}
	return hexText(a)
}

// structText renders what the argument points to; "" if the server has not seen it.
func structText(c *core.Call, letter byte, i int, r core.TraceResult) string {
	a, le := c.Args[i], binary.LittleEndian
	in := func(n int) []byte {
		if b := c.PeekIn(a, n); len(b) == n {
			return append([]byte(nil), b...)
		}
		return nil
	}
	out := func(n int) []byte {
		if b := c.PeekOut(a, n); r.Err == 0 && len(b) == n {
			return b
		}
		return nil
	}
	switch letter {
	case 's':
		if b := c.PeekIn(a, 4096); b != nil {
			s, _, _ := strings.Cut(string(b), "\x00")
			if len(s) > 4*shown {
				return quote(s[:4*shown]) + "..."
			}
			return quote(s)
		} else if _, fault, ok := c.Prefetched(i); ok && !fault {
			return `""`
		}
	case 'b':
		return bufferText(c.PeekIn(a, shown+1), nextArg(c, i))
	case 'B':
		if r.Err == 0 && !r.None {
			return bufferText(c.PeekOut(a, shown+1), r.Value)
		}
	case 'Z':
		if b := c.PeekOut(a, 4096); r.Err == 0 && len(b) > 0 {
			return quote(string(b[:len(b)-1]))
		}
	case 'S':
		if b := out(144); b != nil {
			mode := le.Uint32(b[24:])
			s := "{st_mode=" + nameText(uint64(mode>>12), fileTypes) + fmt.Sprintf("|0%o, ", mode&0o7777)
			if t := mode >> 12; t == 2 || t == 6 {
				dev := le.Uint64(b[40:])
				return s + fmt.Sprintf("st_rdev=makedev(%#x, %#x), ...}", dev>>8&0xfff, dev&0xff|dev>>12&0xfff00)
			}
			return s + fmt.Sprintf("st_size=%d, ...}", le.Uint64(b[48:]))
		}
	case 'w':
		if b := out(4); b != nil {
			return "[" + statusText(le.Uint32(b)) + "]"
		}
	case '2':
		if b := out(8); b != nil {
			return fmt.Sprintf("[%d, %d]", int32(le.Uint32(b)), int32(le.Uint32(b[4:])))
		}
	case 't':
		if b := in(16); b != nil {
			return fmt.Sprintf("{tv_sec=%d, tv_nsec=%d}", int64(le.Uint64(b)), int64(le.Uint64(b[8:])))
		}
	case 'T':
		if b := out(16); b != nil {
			return fmt.Sprintf("{tv_sec=%d, tv_nsec=%d}", int64(le.Uint64(b)), int64(le.Uint64(b[8:])))
		}
	case 'k':
		if b := in(8); b != nil {
			return setText(le.Uint64(b))
		}
	case 'K':
		if b := out(8); b != nil {
			return setText(le.Uint64(b))
		}
	case 'n':
		return actionText(in(32))
	case 'N':
		return actionText(out(32))
	case 'r':
		return limitText(in(16))
	case 'R':
		return limitText(out(16))
	case 'a':
		return addressText(in(int(min(nextArg(c, i), 110))))
	case 'q':
		n := nextArg(c, i)
		if b := in(int(min(n, 8) * 8)); b != nil {
			var l []string
			for ; len(b) >= 8; b = b[8:] {
				l = append(l, fmt.Sprintf("{fd=%d, events=%s}", int32(le.Uint32(b)), flagText(uint64(le.Uint16(b[4:])), pollBits, "")))
			}
			if n > 8 {
				l = append(l, "...")
			}
			return "[" + strings.Join(l, ", ") + "]"
		}
	case 'e':
		if b := in(12); b != nil {
			return fmt.Sprintf("{events=%#x, data=%#x}", le.Uint32(b), le.Uint64(b[4:]))
		}
	}
	return ""
}

// nextArg is the argument behind i: the size of what i points to.
func nextArg(c *core.Call, i int) uint64 { return c.Args[i+1] }

func hexText(v uint64) string {
	if v == 0 {
		return "0"
	}
	return fmt.Sprintf("%#x", v)
}

func nameText(v uint64, names []string) string {
	if v < uint64(len(names)) && names[v] != "" {
		return names[v]
	}
	return hexText(v)
}

// flagText joins first, if it is not empty, and the names of the bits of v.
func flagText(v uint64, bits []bit, first string) string {
	var l []string
	if first != "" {
		l = append(l, first)
	}
	for _, f := range bits {
		if v&f.v == f.v {
			l = append(l, f.name)
			v &^= f.v
		}
	}
	if v != 0 || len(l) == 0 {
		l = append(l, hexText(v))
	}
	return strings.Join(l, "|")
}

func signalText(v uint64) string {
	if v < uint64(len(signals)) && signals[v] != "" {
		return signals[v]
	}
	switch {
	case v == core.SIGRTMIN:
		return "SIGRTMIN"
	case v > core.SIGRTMIN && v <= 64:
		return fmt.Sprintf("SIGRT_%d", v-core.SIGRTMIN)
	}
	return strconv.FormatInt(int64(int32(v)), 10)
}

func signalIf(v uint64) string {
	if v == 0 {
		return ""
	}
	return signalText(v)
}

// setText is a set of signals; one of which most are members is shown by those
// that are not.
func setText(set uint64) string {
	first := ""
	if bits.OnesCount64(set) > 32 {
		first, set = "~", ^set
	}
	var l []string
	for s := uint64(1); s <= 64; s++ {
		if set>>(s-1)&1 != 0 {
			l = append(l, strings.TrimPrefix(signalText(s), "SIG"))
		}
	}
	return first + "[" + strings.Join(l, " ") + "]"
}

func actionText(b []byte) string {
	if b == nil {
		return ""
	}
	le := binary.LittleEndian
	h := hexText(le.Uint64(b))
	switch le.Uint64(b) {
	case core.SigDfl:
		h = "SIG_DFL"
	case core.SigIgn:
		h = "SIG_IGN"
	}
	flags := le.Uint64(b[8:])
	s := fmt.Sprintf("{sa_handler=%s, sa_mask=%s, sa_flags=%s", h, setText(le.Uint64(b[24:])), flagText(flags, saBits, ""))
	if flags&core.SaRestorer != 0 {
		s += ", sa_restorer=" + hexText(le.Uint64(b[16:]))
	}
	return s + "}"
}

func limitText(b []byte) string {
	if b == nil {
		return ""
	}
	one := func(v uint64) string {
		switch {
		case v == ^uint64(0):
			return "RLIM64_INFINITY"
		case v > 1024 && v%1024 == 0:
			return fmt.Sprintf("%d*1024", v/1024)
		}
		return strconv.FormatUint(v, 10)
	}
	return fmt.Sprintf("{rlim_cur=%s, rlim_max=%s}", one(binary.LittleEndian.Uint64(b)), one(binary.LittleEndian.Uint64(b[8:])))
}

func addressText(b []byte) string {
	if len(b) < 2 {
		return ""
	}
	family := binary.LittleEndian.Uint16(b)
	s := "{sa_family=" + nameText(uint64(family), domains)
	if family == 1 && len(b) > 2 {
		path := string(b[2:])
		if path[0] == 0 {
			return s + ", sun_path=@" + quote(path[1:]) + "}"
		}
		path, _, _ = strings.Cut(path, "\x00")
		return s + ", sun_path=" + quote(path) + "}"
	}
	if len(b) > 2 {
		s += ", sa_data=" + quote(string(b[2:]))
	}
	return s + "}"
}

// bufferText shows the first bytes of a buffer of n.
func bufferText(b []byte, n uint64) string {
	switch {
	case n == 0:
		return `""`
	case len(b) == 0:
		return ""
	case n > shown && len(b) >= shown:
		return quote(string(b[:shown])) + "..."
	}
	return quote(string(b[:min(n, uint64(len(b)))]))
}

// quote is a string as C writes it, which is also safe for a terminal.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		switch ch := s[i]; ch {
		case '\n':
			b.WriteString(`\n`)
		case '\t':
			b.WriteString(`\t`)
		case '\r':
			b.WriteString(`\r`)
		case '\v':
			b.WriteString(`\v`)
		case '\f':
			b.WriteString(`\f`)
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteByte(ch)
		default:
			if ch >= ' ' && ch < 0x7f {
				b.WriteByte(ch)
			} else if i+1 < len(s) && s[i+1] >= '0' && s[i+1] <= '7' {
				fmt.Fprintf(&b, `\%03o`, ch)
			} else {
				fmt.Fprintf(&b, `\%o`, ch)
			}
		}
	}
	b.WriteByte('"')
	return b.String()
}

// statusText is a wait status as the macros of wait(2) say it.
func statusText(w uint32) string {
	switch {
	case w == 0xffff:
		return "{WIFCONTINUED(s)}"
	case w&0xff == 0x7f:
		return fmt.Sprintf("{WIFSTOPPED(s) && WSTOPSIG(s) == %s}", signalText(uint64(w>>8&0xff)))
	case w&0x7f == 0:
		return fmt.Sprintf("{WIFEXITED(s) && WEXITSTATUS(s) == %d}", w>>8&0xff)
	}
	s := fmt.Sprintf("{WIFSIGNALED(s) && WTERMSIG(s) == %s", signalText(uint64(w&0x7f)))
	if w&0x80 != 0 {
		s += " && WCOREDUMP(s)"
	}
	return s + "}"
}

// TraceCall implements core.Personality.
func (p *Personality) TraceCall(c *core.Call, r core.TraceResult) string {
	e := p.table.Entry(c.Nr)
	if e == nil {
		e = &Entry{Name: fmt.Sprintf("syscall_%d", c.Nr), Sig: "xxxxxx"}
	}
	if (e.Nr == 59 || e.Nr == 322) && e.Name != "" && r.Err == 0 && !r.None {
		return "" // TraceStart has the arguments
	}
	var args []string
	for i := 0; i < len(e.Sig) && i < 6; i++ {
		if e.Sig[i] == 'm' && i > 0 && e.Sig[i-1] == 'o' && c.Args[i-1]&(oCreat|0o20000000) == 0 {
			continue // makes no file
		}
		if e.Sig[i] != '-' {
			args = append(args, p.traceArg(c, e, i, r))
		}
	}
	return e.Name + "(" + strings.Join(args, ", ") + ") = " + resultText(e.Name, r)
}

func resultText(name string, r core.TraceResult) string {
	switch {
	case r.None:
		return "?"
	case r.Err == abi.ErrRestart:
		return "? ERESTARTSYS (To be restarted if SA_RESTART is set)"
	case r.Err == abi.ErrRestartNoInt:
		return "? ERESTARTNOINTR (To be restarted)"
	case r.Err == abi.ErrRestartNoHnd:
		return "? ERESTARTNOHAND (To be restarted if no handler)"
	case r.Err != 0:
		return "-1 " + r.Err.Name()
	}
	switch name {
	case "brk", "mmap", "mremap", "shmat":
		return hexText(r.Value)
	case "umask":
		return fmt.Sprintf("0%o", r.Value)
	}
	return strconv.FormatInt(int64(r.Value), 10)
}

// TraceStart implements core.Personality.
func (p *Personality) TraceStart(c *core.Call) string {
	argv, envp, name := c.ExecArgs()
	var l []string
	for i, a := range argv {
		if i == shown {
			l = append(l, "...")
			break
		}
		if len(a) > 4*shown {
			l = append(l, quote(a[:4*shown])+"...")
		} else {
			l = append(l, quote(a))
		}
	}
	return fmt.Sprintf("execve(%s, [%s], /* %d vars */) = 0", quote(name), strings.Join(l, ", "), len(envp))
}

// TraceSignal implements core.Personality.
func (p *Personality) TraceSignal(s *core.SigInfo) string {
	code := strconv.Itoa(int(s.Code))
	more := ""
	sender := fmt.Sprintf(", si_pid=%d, si_uid=%d", s.Pid, s.UID)
	switch {
	case s.Code == core.SiUser:
		code, more = "SI_USER", sender
	case s.Code == core.SiTkill:
		code, more = "SI_TKILL", sender
	case s.Code == core.SiQueue:
		code, more = "SI_QUEUE", sender+fmt.Sprintf(", si_value=%#x", s.Value)
	case s.Code == core.SiTimer:
		code, more = "SI_TIMER", fmt.Sprintf(", si_timerid=%d, si_overrun=%d, si_value=%#x", s.Timer, s.Overrun, s.Value)
	case s.Code == core.SiKernel:
		code = "SI_KERNEL"
	case s.Sig == core.SIGCHLD && s.Code > 0:
		status := strconv.Itoa(int(s.Status))
		if s.Code != core.CldExited {
			status = signalText(uint64(s.Status))
		}
		code, more = nameText(uint64(s.Code), childCodes), sender+", si_status="+status
	case s.Sig == core.SIGSEGV && s.Code == 1:
		code, more = "SEGV_MAPERR", ", si_addr="+hexText(s.Addr)
	case s.Sig == core.SIGSEGV && s.Code == 2:
		code, more = "SEGV_ACCERR", ", si_addr="+hexText(s.Addr)
	case s.Addr != 0:
		more = ", si_addr=" + hexText(s.Addr)
	}
	sig := signalText(uint64(s.Sig))
	return fmt.Sprintf("--- %s {si_signo=%s, si_code=%s%s} ---", sig, sig, code, more)
}

// TraceEnd implements core.Personality.
func (p *Personality) TraceEnd(status uint32) string {
	if sig := status & 0x7f; sig != 0 {
		s := "+++ killed by " + signalText(uint64(sig))
		if status&0x80 != 0 {
			s += " (core dumped)"
		}
		return s + " +++"
	}
	return fmt.Sprintf("+++ exited with %d +++", status>>8&0xff)
}
