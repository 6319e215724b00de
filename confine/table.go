package confine

import "golang.org/x/sys/unix"

// Arg is a condition on one argument of a host call. The upper half of the
// argument must be zero, unless Wide.
type Arg struct {
	Arg int
	// Mask is taken off before the comparison with Values; 0 takes nothing.
	Mask uint32
	// Values are all that is allowed; empty: see Deny and Self.
	Values []uint32
	// Deny are bits that must be clear.
	Deny uint32
	// Self: the argument must be this process's own number.
	Self bool
	// Wide leaves the upper half unchecked.
	Wide bool
}

// Call is a row of a server's authority table: a host call that passes its
// filter when every condition of Args holds.
type Call struct {
	Name string
	Nr   uint32
	Args []Arg
	// Why says what it is for.
	Why string
}

// Profile is the authority of one kind of server.
type Profile struct {
	// Name is that of the server, as in "hythe server NAME".
	Name string
	// Why says what the profile adds to Base and to what end.
	Why string
	// Calls pass beside those of Base.
	Calls []Call
	// Files: the server opens files by name, below directories that it was
	// given; without it no name of the host's file systems can be opened.
	Files bool
	// Network: the server is in the host's network, and makes sockets (socketCalls
	// are not deadly to it); without it no TCP is had either.
	Network bool
	// Memory is how many bytes of memory of its own the server has at most (RLIMIT_DATA; memory
	// objects are not its own): beyond that it ends, and is started again. Its collector is told of
	// less (softMemory), so that it works harder before that. 0: as much as there is.
	Memory uint64
}

// softMemory is what the collector of a server with so much memory is told.
func softMemory(n uint64) uint64 { return n / 3 * 2 }

// threadFlags are the clone flags of the Go runtime's threads (runtime,
// os_linux.go: cloneFlags; sys_linux_amd64.s adds CLONE_SETTLS).
const threadFlags = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_SYSVSEM | unix.CLONE_THREAD

// userFaults are the flags of the only userfaultfd(2) (linux/userfaultfd.h):
// UFFD_USER_MODE_ONLY, which stops no host call of whoever.
const userFaults = unix.O_CLOEXEC | unix.O_NONBLOCK | 1

// prSetVMA names anonymous memory (linux/prctl.h PR_SET_VMA); the runtime does so.
const prSetVMA = 0x53564d41

// Base is what every server may call: what the Go runtime needs, and what the
// control channel, bindings and memory objects need. The first rows are the
// frequent ones; the filter looks in this order.
var Base = []Call{
	{"futex", 202, []Arg{{Arg: 1, Mask: 128 | 256, Values: []uint32{0, 1, 9, 10}}}, "the runtime's locks; wakes of clients of a binding"},
	{"epoll_pwait", 281, nil, "the runtime's poller; doorbells"},
	{"write", 1, nil, "doorbells, standard error; descriptors that were given to it"},
	{"read", 0, nil, "doorbells; descriptors that were given to it"},
	{"nanosleep", 35, nil, "the runtime's monitor"},
	{"clock_gettime", 228, nil, "where the vDSO does not serve it"},
	{"clock_nanosleep", 230, nil, "the runtime's sleeps"},
	{"gettimeofday", 96, nil, "where the vDSO does not serve it"},
	{"sched_yield", 24, nil, "the runtime's locks"},
	{"madvise", 28, []Arg{{Arg: 2, Values: []uint32{0, 1, 2, 3, 4, 8, 9, 14, 15, 16, 17, 22, 23, 25}}}, "heap memory given back; blocks of the state of record given back (REMOVE); no poisoning, no merging"},
	{"tgkill", 234, []Arg{{Arg: 0, Self: true}}, "preemption of goroutines; own threads only"},
	{"rt_sigreturn", 15, nil, "end of a signal handler"},
	{"rt_sigprocmask", 14, nil, "thread start and exit"},
	{"rt_sigaction", 13, nil, "handlers of the runtime"},
	{"sigaltstack", 131, nil, "thread start"},
	{"mmap", 9, []Arg{{Arg: 2, Deny: unix.PROT_EXEC}, {Arg: 3, Deny: unix.MAP_HUGETLB | unix.MAP_LOCKED}}, "heap, bindings, memory objects; never code"},
	{"munmap", 11, nil, "heap, bindings, memory objects"},
	{"mprotect", 10, []Arg{{Arg: 2, Deny: unix.PROT_EXEC}}, "guard pages; never code"},
	{"clone", 56, []Arg{{Arg: 0, Values: []uint32{threadFlags, threadFlags | unix.CLONE_SETTLS}}}, "threads of this process; exact flags, so no process and no namespace"},
	{"exit", 60, nil, "end of a thread"},
	{"exit_group", 231, nil, "end of the server"},
	{"kill", 62, []Arg{{Arg: 0, Self: true}}, "a fatal signal is raised again to end the process by it"},
	{"getpid", 39, nil, "preemption"},
	{"gettid", 186, nil, "thread start"},
	{"sched_getaffinity", 204, nil, "the runtime adapts to the processors that it may use"},
	{"restart_syscall", 219, nil, "the host continues a call that a stop cut"},
	{"getrandom", 318, nil, "seeds of maps; random bytes"},
	{"prctl", 157, []Arg{{Arg: 0, Values: []uint32{prSetVMA, unix.PR_SET_NAME}}}, "names of memory areas and threads, for people"},
	{"recvmsg", 47, nil, "control channel"},
	{"sendmsg", 46, nil, "control channel"},
	{"shutdown", 48, nil, "control channel"},
	{"epoll_create1", 291, nil, "pollers"},
	{"epoll_ctl", 233, nil, "pollers"},
	{"eventfd2", 290, nil, "wake-ups inside the process"},
	{"pipe2", 293, nil, "wake-ups inside the process"},
	{"close", 3, nil, "descriptors of its own"},
	{"fstat", 5, nil, "size of a memory object"},
	{"lseek", 8, nil, "data and holes of memory objects: which slots of a binding were used, what a file holds"},
	{"fcntl", 72, []Arg{{Arg: 1, Values: []uint32{unix.F_GETFD, unix.F_SETFD, unix.F_GETFL, unix.F_SETFL, unix.F_DUPFD_CLOEXEC, unix.F_GET_SEALS, unix.F_ADD_SEALS}}}, "modes of descriptors; no locks, no owners"},
	{"pread64", 17, nil, "memory objects; the runtime reads its cgroup's processor limit from a file that it opened before"},
	{"mincore", 27, nil, "own memory"},
	{"sysinfo", 99, nil, "sizes for /proc"},
	{"uname", 63, nil, "the host's release"},
	{"getrusage", 98, nil, "own use"},
	{"times", 100, nil, "own use"},
	{"getuid", 102, nil, "own numbers"},
	{"getgid", 104, nil, "own numbers"},
	{"geteuid", 107, nil, "own numbers"},
	{"getegid", 108, nil, "own numbers"},
}

// storage is what keeps file data in memory objects.
var storage = []Call{
	{"pwrite64", 18, nil, "file data in memory objects"},
	{"preadv", 295, nil, "file data in memory objects"},
	{"pwritev", 296, nil, "file data in memory objects"},
	{"ftruncate", 77, nil, "sizes of memory objects"},
	{"fallocate", 285, nil, "holes in memory objects"},
	{"copy_file_range", 326, nil, "copy-up"},
}

// Profiles are the kinds of server, by name.
var Profiles = []Profile{
	{
		Name: "unix", Why: "Processes, descriptors, signals. Touches no host file: data in memory objects only.",
		Calls: append([]Call{
			{"timerfd_settime", 286, nil, "what guests have to be woken for, in time; on the one timer that was made before"},
			{"ppoll", 271, nil, "whether streams that the net server has lent are ready"},
			{"ioctl", 16, []Arg{{Arg: 1, Values: []uint32{unix.TIOCINQ}}}, "how much has come by them"},
			{"getsockopt", 55, []Arg{{Arg: 1, Values: []uint32{unix.IPPROTO_TCP}}, {Arg: 2, Values: []uint32{unix.TCP_INFO}}}, "how much has passed by them"},
		}, storage...),
	},
	{
		Name: "tmpfs", Why: "Files in memory objects.",
		Calls: storage,
	},
	{
		Name: "names", Why: "Send rights under names. It has nothing but its control channel.",
	},
	{
		Name: "own", Why: "A server that an embedding program brings: memory objects, also such as others supply the pages of (docs/decisions/0011).",
		Calls: append([]Call{
			{"userfaultfd", 323, []Arg{{Arg: 0, Values: []uint32{userFaults}}}, "what tells the nucleus of missing pages of its own memory, for threads in user mode only; without ioctl it does nothing else with it"},
		}, storage...),
	},
	{
		Name: "overlay", Why: "Changed files in memory objects; the layer below through a file server's binding.",
		Calls: storage,
	},
	{
		Name: "host", Why: "A host directory: names are resolved below directories that it was given (openat2 with RESOLVE_BENEATH, and Landlock), devices are neither made nor opened.",
		Files: true,
		Calls: append([]Call{
			{"openat2", 437, nil, "names below the given directories"},
			{"openat", 257, nil, "where the host has no openat2; descriptors opened anew through /proc/self/fd"},
			{"statx", 332, nil, "attributes"},
			{"newfstatat", 262, nil, "attributes"},
			{"readlinkat", 267, nil, "symbolic links"},
			{"getdents64", 217, nil, "directories"},
			{"statfs", 137, nil, "free space"},
			{"fstatfs", 138, nil, "free space"},
			{"faccessat2", 439, nil, "what the host allows"},
			{"unlinkat", 263, nil, "read-write mounts"},
			{"mkdirat", 258, nil, "read-write mounts"},
			{"mknodat", 259, []Arg{{Arg: 2, Mask: 0o7777, Values: []uint32{0, unix.S_IFREG, unix.S_IFIFO, unix.S_IFSOCK}}}, "read-write mounts; no device nodes"},
			{"linkat", 265, nil, "read-write mounts"},
			{"symlinkat", 266, nil, "read-write mounts"},
			{"renameat2", 316, nil, "read-write mounts"},
			{"chmod", 90, nil, "read-write mounts, through /proc/self/fd"},
			{"fchmod", 91, nil, "read-write mounts"},
			{"fchmodat", 268, nil, "read-write mounts"},
			{"fchmodat2", 452, nil, "read-write mounts"},
			{"fchown", 93, nil, "read-write mounts; the host decides"},
			{"fchownat", 260, nil, "read-write mounts; the host decides"},
			{"utimensat", 280, nil, "read-write mounts"},
			{"fsync", 74, nil, "read-write mounts"},
			{"fdatasync", 75, nil, "read-write mounts"},
			{"umask", 95, nil, "modes are the client's business"},
			{"getxattr", 191, nil, "extended attributes, through /proc/self/fd"},
			{"setxattr", 188, nil, "extended attributes, through /proc/self/fd"},
			{"listxattr", 194, nil, "extended attributes, through /proc/self/fd"},
			{"removexattr", 197, nil, "extended attributes, through /proc/self/fd"},
			{"fgetxattr", 193, nil, "extended attributes"},
			{"fsetxattr", 190, nil, "extended attributes"},
			{"flistxattr", 196, nil, "extended attributes"},
			{"fremovexattr", 199, nil, "extended attributes"},
		}, storage...),
	},
	{
		Name: "console", Why: "The host's standard streams.",
		Calls: []Call{
			{"poll", 7, nil, "waits for the streams without changing their modes"},
			{"ppoll", 271, nil, "waits for the streams without changing their modes"},
			{"ioctl", 16, []Arg{{Arg: 1, Values: []uint32{unix.TCGETS, unix.TCSETS, unix.TCSETSW, unix.TCSETSF, unix.TIOCGWINSZ}}}, "raw mode and size of the terminal; not TIOCSTI, which types into it"},
		},
	},
	{
		Name: "net", Why: "TCP, UDP and echo requests through the host's own sockets, in the host's network: what a machine may reach is the server's policy (docs/network.md). No other kind of socket, no files. It listens nowhere but on the ports that it was handed.",
		Network: true,
		Calls: []Call{
			{"socket", 41, []Arg{
				{Arg: 0, Values: []uint32{unix.AF_INET, unix.AF_INET6}},
				{Arg: 1, Mask: unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC, Values: []uint32{unix.SOCK_STREAM, unix.SOCK_DGRAM}},
				{Arg: 2, Values: []uint32{0, unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6}},
			}, "TCP, UDP and echo requests, in which the host fills in who asks; not those of other programs (AF_UNIX), no packets, nothing that sets the network up (netlink)"},
			{"connect", 42, nil, "what guests connect to, if the policy has it; connections that others have as well are connected to nobody at their end"},
			{"bind", 49, nil, "whether an address is the host's own: by UDP only, TCP is Landlock's to refuse"},
			{"accept4", 288, nil, "published ports"},
			{"recvfrom", 45, nil, "what comes"},
			{"getsockname", 51, nil, "which address the host has chosen"},
			{"getpeername", 52, nil, "whether a connect has come to its end"},
			{"getsockopt", 55, []Arg{{Arg: 1, Values: []uint32{unix.SOL_SOCKET}}, {Arg: 2, Values: []uint32{unix.SO_ERROR, unix.SO_PROTOCOL}}}, "how a connect has ended; x/sys/unix asks for the protocol of each address that it decodes"},
			{"setsockopt", 54, []Arg{{Arg: 1, Values: []uint32{unix.SOL_SOCKET, unix.IPPROTO_TCP}}, {Arg: 2, Values: []uint32{unix.SO_LINGER, unix.TCP_NODELAY}}}, "resets; runs of bytes that are not held back"},
			{"ioctl", 16, []Arg{{Arg: 1, Values: []uint32{unix.TIOCINQ}}}, "whether a stream that a program has left had something for it"},
		},
	},
	{
		Name: "packets", Why: "The net server of a network of packets: a stack of protocols on one descriptor, a tap device or a socket to the network's switch. It is not in the host's network and makes no sockets; of the host's it has those of the ports that it was handed.",
		// What its bounds (server/net/stack) let others fill comes to 900 MiB.
		Memory: 1536 << 20,
		Calls: []Call{
			{"accept4", 288, nil, "published ports"},
			{"recvfrom", 45, nil, "packets; what comes by published ports"},
			{"getsockname", 51, nil, "of which family a published port is"},
			{"getsockopt", 55, []Arg{{Arg: 1, Values: []uint32{unix.SOL_SOCKET}}, {Arg: 2, Values: []uint32{unix.SO_ERROR, unix.SO_PROTOCOL}}}, "x/sys/unix asks for the protocol of each address that it decodes"},
			{"setsockopt", 54, []Arg{{Arg: 1, Values: []uint32{unix.SOL_SOCKET, unix.IPPROTO_TCP}}, {Arg: 2, Values: []uint32{unix.SO_LINGER, unix.TCP_NODELAY}}}, "resets; runs of bytes that are not held back, of published ports"},
		},
	},
	{
		Name: "switch", Why: "The switch of a network that machines of one user share (docs/network.md): a socket to each of them, and nothing of any of them.",
		Calls: []Call{
			{"accept4", 288, nil, "machines that join"},
			{"recvfrom", 45, nil, "packets"},
			{"getsockopt", 55, []Arg{{Arg: 1, Values: []uint32{unix.SOL_SOCKET}}, {Arg: 2, Values: []uint32{unix.SO_PEERCRED}}}, "whose a machine is"},
			{"setsockopt", 54, []Arg{{Arg: 1, Values: []uint32{unix.SOL_SOCKET}}, {Arg: 2, Values: []uint32{unix.SO_SNDBUF}}}, "how much waits for a machine that takes nothing"},
		},
	},
}

// socketCalls are the calls of Killed that a profile with Network may have.
var socketCalls = []uint32{unix.SYS_SOCKET, unix.SYS_CONNECT, unix.SYS_BIND}

// Killed are host calls that no server has any reason to try: one that does is
// not ours any more, and is ended (and started again) at once. All calls that
// are in no table answer EPERM.
var Killed = []Call{
	{"ptrace", 101, nil, "other processes"},
	{"process_vm_readv", 310, nil, "other processes"},
	{"process_vm_writev", 311, nil, "other processes"},
	{"process_madvise", 440, nil, "other processes"},
	{"pidfd_getfd", 438, nil, "other processes' descriptors"},
	{"kcmp", 312, nil, "other processes"},
	{"execve", 59, nil, "other programs"},
	{"execveat", 322, nil, "other programs"},
	{"fork", 57, nil, "processes"},
	{"vfork", 58, nil, "processes"},
	{"socket", 41, nil, "the network, and other programs' sockets"},
	{"connect", 42, nil, "the network, and other programs' sockets"},
	{"bind", 49, nil, "the network, and other programs' sockets"},
	{"listen", 50, nil, "the network, and other programs' sockets"},
	{"mount", 165, nil, "name spaces"},
	{"umount2", 166, nil, "name spaces"},
	{"pivot_root", 155, nil, "name spaces"},
	{"chroot", 161, nil, "name spaces"},
	{"open_tree", 428, nil, "name spaces"},
	{"move_mount", 429, nil, "name spaces"},
	{"fsopen", 430, nil, "name spaces"},
	{"fsconfig", 431, nil, "name spaces"},
	{"fsmount", 432, nil, "name spaces"},
	{"fspick", 433, nil, "name spaces"},
	{"mount_setattr", 442, nil, "name spaces"},
	{"setns", 308, nil, "name spaces"},
	{"unshare", 272, nil, "name spaces"},
	{"name_to_handle_at", 303, nil, "files by number"},
	{"open_by_handle_at", 304, nil, "files by number"},
	{"bpf", 321, nil, "the host's kernel"},
	{"perf_event_open", 298, nil, "the host's kernel"},
	{"io_uring_setup", 425, nil, "calls that no filter sees"},
	{"io_uring_enter", 426, nil, "calls that no filter sees"},
	{"io_uring_register", 427, nil, "calls that no filter sees"},
	{"keyctl", 250, nil, "keys"},
	{"add_key", 248, nil, "keys"},
	{"request_key", 249, nil, "keys"},
	{"init_module", 175, nil, "the host's kernel"},
	{"finit_module", 313, nil, "the host's kernel"},
	{"delete_module", 176, nil, "the host's kernel"},
	{"kexec_load", 246, nil, "the host's kernel"},
	{"kexec_file_load", 320, nil, "the host's kernel"},
	{"iopl", 172, nil, "devices"},
	{"ioperm", 173, nil, "devices"},
	{"modify_ldt", 154, nil, "segments"},
	{"swapon", 167, nil, "the host as a whole"},
	{"swapoff", 168, nil, "the host as a whole"},
	{"reboot", 169, nil, "the host as a whole"},
	{"acct", 163, nil, "the host as a whole"},
	{"quotactl", 179, nil, "the host as a whole"},
	{"settimeofday", 164, nil, "the host as a whole"},
	{"clock_settime", 227, nil, "the host as a whole"},
	{"adjtimex", 159, nil, "the host as a whole"},
}

// Lookup finds the profile of a server.
func Lookup(name string) (*Profile, bool) {
	for i := range Profiles {
		if Profiles[i].Name == name {
			return &Profiles[i], true
		}
	}
	return nil, false
}
