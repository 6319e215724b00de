package core

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/store"
)

// ProcFS is /proc: a CoreFS whose files are generated from the kernel's state
// when they are opened, and again when they are read from the start.
//
// Node numbers: below 1<<20 the fixed tree (index in procTree plus 1); else
// pid<<40 | part<<32 | low, where part selects a procPart and low is a thread's
// id or a descriptor, or 0.
type ProcFS struct{ k *Kernel }

// procText is an open file of /proc: the text as it was last generated.
type procText struct {
	Node uint64
	Len  uint32
	_    uint32
	Text store.Block
}

// The fixed part of the tree.
type procFixed struct {
	parent int // index; 0 is the root itself
	name   string
	gen    func(k *Kernel) string // nil: a directory
	link   func(c *Call) string
	write  func(c *Call, s string) abi.Errno
	size   uint64 // as stat answers it, whatever the text is
	// there says whether a machine has it; nil: each has.
	there func(k *Kernel) bool
	// fails is what reading it answers, if it is not 0.
	fails abi.Errno
}

// The tables of /proc are made when a machine's /proc is: every process of a
// machine links this package, and only one needs them.
var procOnce sync.Once

var procTree []procFixed

func makeProcTree() {
	procTree = []procFixed{{name: ""}, sysRoot: {parent: -1}}
	dirs := map[string]int{"": 0}
	var dir func(path string) int
	dir = func(path string) int {
		if i, ok := dirs[path]; ok {
			return i
		}
		up, name := "", path
		if j := strings.LastIndexByte(path, '/'); j >= 0 {
			up, name = path[:j], path[j+1:]
		}
		p := dir(up)
		procTree = append(procTree, procFixed{parent: p, name: name})
		dirs[path] = len(procTree) - 1
		return dirs[path]
	}
	file := func(path string, gen func(k *Kernel) string) *procFixed {
		up, name := "", path
		if j := strings.LastIndexByte(path, '/'); j >= 0 {
			up, name = path[:j], path[j+1:]
		}
		p := dir(up)
		procTree = append(procTree, procFixed{parent: p, name: name, gen: gen})
		return &procTree[len(procTree)-1]
	}
	text := func(s string) func(*Kernel) string { return func(*Kernel) string { return s } }
	link := func(path string, to func(c *Call) string) {
		up, name := "", path
		if j := strings.LastIndexByte(path, '/'); j >= 0 {
			up, name = path[:j], path[j+1:]
		}
		p := dir(up)
		procTree = append(procTree, procFixed{parent: p, name: name, link: to})
	}
	link("self", func(c *Call) string { return strconv.Itoa(int(c.Proc().Pid)) })
	link("thread-self", func(c *Call) string {
		return fmt.Sprintf("%d/task/%d", c.Proc().Pid, c.Thread().Tid)
	})
	link("mounts", func(*Call) string { return "self/mounts" })
	link("net", func(*Call) string { return "self/net" })
	file("cpuinfo", (*Kernel).procCPUInfo)
	file("meminfo", (*Kernel).procMeminfo)
	file("stat", (*Kernel).procStat)
	file("vmstat", (*Kernel).procVMStat)
	file("uptime", func(k *Kernel) string {
		up := k.Clock.Mono() - k.Globals().BootMono
		return fmt.Sprintf("%d.%02d %d.%02d\n", up/1e9, up/1e7%100, up/1e9, up/1e7%100)
	})
	file("loadavg", func(k *Kernel) string {
		n, last := 0, int32(0)
		k.EachProc(func(_ store.Ref[Proc], r *Proc) bool {
			n += int(r.Threads)
			last = max(last, r.Pid)
			return true
		})
		l := k.Use().Load
		part := func(v uint64) string { return fmt.Sprintf("%d.%02d", v>>16, (v&0xffff)*100>>16) }
		return fmt.Sprintf("%s %s %s 1/%d %d\n", part(l[0]), part(l[1]), part(l[2]), n, last)
	})
	file("version", func(k *Kernel) string {
		return "Linux version " + KernelRelease + " (hythe) " + KernelVersion + "\n"
	})
	file("filesystems", text("nodev\tsysfs\nnodev\tproc\nnodev\ttmpfs\nnodev\tdevpts\nnodev\toverlay\nnodev\thythe\n"))
	file("cmdline", text("hythe\n"))
	file("devices", text("Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n136 pts\n\nBlock devices:\n"))
	file("sysvipc/shm", (*Kernel).procShm)
	file("sysvipc/sem", (*Kernel).procSem)
	file("sysvipc/msg", (*Kernel).procMsg)
	file("swaps", text("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"))
	file("partitions", text("major minor  #blocks  name\n\n"))
	file("diskstats", text(""))
	file("modules", text(""))
	file("interrupts", text("           CPU0\n"))
	host := func(path string, get func(*Globals) []byte) {
		file(path, func(k *Kernel) string { return cstr(get(k.Globals())) + "\n" }).write = func(c *Call, s string) abi.Errno {
			if !c.Capable(21) { // CAP_SYS_ADMIN
				return abi.EPERM
			}
			s = strings.TrimRight(s, "\n")
			b := get(c.K.MutGlobals())
			if len(s) >= len(b) {
				return abi.EINVAL
			}
			clear(b)
			copy(b, s)
			return 0
		}
	}
	host("sys/kernel/hostname", func(g *Globals) []byte { return g.Hostname[:] })
	host("sys/kernel/domainname", func(g *Globals) []byte { return g.Domain[:] })
	for _, v := range [][2]string{
		{"sys/kernel/osrelease", KernelRelease}, {"sys/kernel/ostype", "Linux"}, {"sys/kernel/version", KernelVersion},
		{"sys/kernel/pid_max", "4194304"}, {"sys/kernel/threads-max", "126976"}, {"sys/kernel/ngroups_max", "65536"},
		{"sys/kernel/cap_last_cap", "40"}, {"sys/kernel/overflowuid", "65534"}, {"sys/kernel/overflowgid", "65534"},
		{"sys/kernel/randomize_va_space", "2"}, {"sys/kernel/shmmax", "18446744073692774399"}, {"sys/kernel/shmall", "18446744073692774399"},
		{"sys/kernel/shmmni", "4096"}, {"sys/kernel/msgmax", "8192"}, {"sys/kernel/msgmnb", "16384"}, {"sys/kernel/msgmni", "32000"},
		{"sys/fs/mqueue/msg_default", "10"}, {"sys/fs/mqueue/msg_max", "10"}, {"sys/fs/mqueue/msgsize_default", "8192"}, {"sys/fs/mqueue/msgsize_max", "8192"},
		{"sys/fs/mqueue/queues_max", "256"},
		{"sys/kernel/sem", "32000\t1024000000\t500\t32000"}, {"sys/kernel/core_pattern", "core"}, {"sys/kernel/core_uses_pid", "0"},
		{"sys/kernel/yama/ptrace_scope", "1"}, {"sys/kernel/sched_rt_runtime_us", "950000"}, {"sys/kernel/kptr_restrict", "1"},
		{"sys/kernel/perf_event_paranoid", "3"}, {"sys/kernel/dmesg_restrict", "1"}, {"sys/kernel/random/entropy_avail", "256"},
		{"sys/kernel/random/poolsize", "256"}, {"sys/kernel/seccomp/actions_avail", "kill_process kill_thread trap errno user_notif trace log allow"},
		{"sys/vm/overcommit_memory", "0"}, {"sys/vm/overcommit_ratio", "50"}, {"sys/vm/max_map_count", "65530"},
		{"sys/vm/mmap_min_addr", "65536"}, {"sys/vm/swappiness", "60"}, {"sys/vm/nr_hugepages", "0"},
		{"sys/fs/file-max", "9223372036854775807"}, {"sys/fs/nr_open", "1048576"}, {"sys/fs/pipe-max-size", "1048576"},
		{"sys/fs/pipe-user-pages-soft", "16384"}, {"sys/fs/aio-max-nr", "65536"}, {"sys/fs/protected_hardlinks", "1"},
		{"sys/fs/protected_symlinks", "1"}, {"sys/fs/suid_dumpable", "0"}, {"sys/fs/lease-break-time", "45"},
		{"sys/fs/inotify/max_user_instances", "128"}, {"sys/fs/inotify/max_user_watches", "65536"}, {"sys/fs/inotify/max_queued_events", "16384"},
		{"sys/fs/epoll/max_user_watches", "1048576"}, {"sys/net/core/somaxconn", "4096"}, {"sys/net/core/rmem_max", "212992"},
		{"sys/net/core/wmem_max", "212992"}, {"sys/net/unix/max_dgram_qlen", "512"}, {"sys/net/ipv4/ip_local_port_range", "32768\t60999"},
		{"sys/net/ipv4/ip_unprivileged_port_start", "1024"}, {"sys/net/ipv4/ping_group_range", "0\t2147483647"}, {"sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456"}, {"sys/net/ipv4/tcp_wmem", "4096\t16384\t4194304"},
		{"sys/net/ipv4/tcp_congestion_control", "cubic"}, {"sys/net/ipv4/tcp_available_congestion_control", "reno cubic"}, {"sys/net/ipv4/tcp_fin_timeout", "60"},
		{"sys/net/ipv4/tcp_keepalive_time", "7200"}, {"sys/net/ipv4/tcp_keepalive_intvl", "75"}, {"sys/net/ipv4/tcp_keepalive_probes", "9"},
		{"sys/net/ipv4/tcp_max_syn_backlog", "4096"}, {"sys/net/ipv4/tcp_fastopen", "0"}, {"sys/net/ipv4/ip_forward", "0"}, {"sys/net/ipv4/ip_default_ttl", "64"},
		{"sys/net/ipv6/bindv6only", "0"}, {"sys/net/ipv6/conf/all/disable_ipv6", "0"}, {"sys/net/ipv6/conf/default/disable_ipv6", "0"}, {"sys/net/ipv6/conf/lo/disable_ipv6", "0"},
	} {
		file(v[0], text(v[1]+"\n"))
	}
	file("sys/net/core/rmem_default", text("212992\n"))
	file("sys/net/core/wmem_default", text("212992\n"))
	file("sys/fs/file-nr", func(k *Kernel) string { return fmt.Sprintf("%d\t0\t9223372036854775807\n", k.Files.Len()) })
	file("sys/kernel/random/uuid", func(k *Kernel) string {
		var b [16]byte
		k.Random(b[:])
		b[6], b[8] = b[6]&15|0x40, b[8]&63|0x80
		return fmt.Sprintf("%x-%x-%x-%x-%x\n", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
	})
	file("sys/kernel/random/boot_id", func(k *Kernel) string {
		g := k.Globals()
		var b [16]byte
		binary.LittleEndian.PutUint64(b[:], uint64(g.BootReal)*0x9e3779b97f4a7c15)
		binary.LittleEndian.PutUint64(b[8:], uint64(g.BootMono)*0xbf58476d1ce4e5b9)
		b[6], b[8] = b[6]&15|0x40, b[8]&63|0x80
		return fmt.Sprintf("%x-%x-%x-%x-%x\n", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
	})
	dirs = map[string]int{"": sysRoot}
	for _, d := range sysDirs {
		dir(d)
	}
	for _, s := range sysFiles {
		file(s.path, s.gen).size = 4096
	}
	for _, name := range []string{"lo", "eth0"} {
		from := len(procTree)
		for _, a := range netAttrs() {
			f := file("devices/virtual/net/"+name+"/"+a.name, func(k *Kernel) string {
				for _, i := range k.Ifaces() {
					if i.Name == name {
						return a.gen(k, i)
					}
				}
				return ""
			})
			f.size = 4096
			if name == "lo" {
				f.fails = a.lo
			}
		}
		link("class/net/"+name, func(*Call) string { return "../../devices/virtual/net/" + name })
		if name == "eth0" {
			for i := from; i < len(procTree); i++ {
				if procTree[i].name == name {
					procTree[i].there = (*Kernel).HasNet
				}
			}
		}
	}
}

// KernelRelease and KernelVersion are what uname and /proc show: the system
// call interface that is served.
const (
	KernelRelease = "6.12.0-hythe"
	KernelVersion = "#1 SMP PREEMPT_DYNAMIC Hythe"
)

func cstr(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

// Parts of a process's directory.
const (
	partDir = iota + 1
	partFdDir
	partFdInfoDir
	partTaskDir
	partTidDir // low: tid
	partNetDir
	partNsDir
	partFd     // low: descriptor
	partFdInfo // low: descriptor
	partNet    // low: index in netFiles
	partCwd    // low: tid for task/TID/...
	partRoot   // low: likewise
	partExe
	partNs     // low: index in procNs
	partNsFile // likewise: what the link names
	partFile   // + index in procFiles; low: tid for task/TID/...
)

type procFile struct {
	name  string
	gen   func(k *Kernel, c *Call, p store.Ref[Proc], t store.Ref[Thread]) (string, abi.Errno)
	mode  uint32
	write func(k *Kernel, c *Call, p store.Ref[Proc], t store.Ref[Thread], s string) abi.Errno
	// writeAs is write for who must know whom the file was opened by.
	writeAs func(k *Kernel, c *Call, opener *Cred, p store.Ref[Proc], s string) abi.Errno
	// read is for files without a text: it reads at an offset. It may give up the lock.
	read    func(k *Kernel, c *Call, p store.Ref[Proc], t store.Ref[Thread], at int64, buf []byte) (int, abi.Errno)
	owner   bool // only for whom might trace the process
	task    bool // in task/TID too
	threads bool // only there
}

// in says whether the file is in a process's own directory (tid 0) or a thread's.
func (f *procFile) in(tid uint32) bool {
	if tid == 0 {
		return !f.threads
	}
	return f.task
}

var procFiles []procFile

func makeProcFiles() {
	none := func(s string) func(*Kernel, *Call, store.Ref[Proc], store.Ref[Thread]) (string, abi.Errno) {
		return func(*Kernel, *Call, store.Ref[Proc], store.Ref[Thread]) (string, abi.Errno) { return s, 0 }
	}
	accept := func(*Kernel, *Call, store.Ref[Proc], store.Ref[Thread], string) abi.Errno { return 0 }
	procFiles = []procFile{
		{name: "stat", gen: (*Kernel).pidStat, task: true},
		{name: "status", gen: (*Kernel).pidStatus, task: true},
		{name: "statm", gen: (*Kernel).pidStatm, task: true},
		{name: "cmdline", gen: (*Kernel).pidCmdline, task: true},
		{name: "environ", gen: (*Kernel).pidEnviron, mode: 0o400, owner: true, task: true},
		{name: "auxv", gen: (*Kernel).pidAuxv, mode: 0o400, owner: true, task: true},
		{name: "comm", gen: (*Kernel).pidComm, mode: 0o644, task: true, write: func(k *Kernel, c *Call, p store.Ref[Proc], t store.Ref[Thread], s string) abi.Errno {
			if c.ProcRef() != p {
				return abi.EINVAL
			}
			s = strings.TrimRight(s, "\n")
			SetComm(&k.Threads.Mut(t).Comm, s)
			if k.Procs.Get(p).Leader == t {
				SetComm(&k.Procs.Mut(p).Comm, s)
			}
			return 0
		}},
		{name: "maps", gen: (*Kernel).pidMaps, owner: true, task: true},
		{name: "smaps", gen: (*Kernel).pidSmaps, owner: true, task: true},
		{name: "mounts", gen: (*Kernel).pidMounts, task: true},
		{name: "mountinfo", gen: (*Kernel).pidMountinfo, task: true},
		{name: "limits", gen: (*Kernel).pidLimits, task: true},
		{name: "io", gen: (*Kernel).pidIO, mode: 0o400, owner: true},
		{name: "io", gen: (*Kernel).tidIO, mode: 0o400, owner: true, task: true, threads: true},
		{name: "cgroup", gen: none("0::/\n"), task: true},
		{name: "wchan", gen: none("0"), task: true},
		{name: "loginuid", gen: none("4294967295"), mode: 0o644, write: accept, task: true},
		{name: "sessionid", gen: none("4294967295"), task: true},
		{name: "oom_score", gen: none("0\n"), task: true},
		{name: "oom_score_adj", mode: 0o644, task: true, gen: func(k *Kernel, _ *Call, p store.Ref[Proc], _ store.Ref[Thread]) (string, abi.Errno) {
			return fmt.Sprintf("%d\n", k.Procs.Get(p).OOMAdj), 0
		}, write: func(k *Kernel, c *Call, p store.Ref[Proc], _ store.Ref[Thread], s string) abi.Errno {
			n, err := strconv.Atoi(strings.TrimSpace(s))
			if err != nil || n < -1000 || n > 1000 {
				return abi.EINVAL
			}
			if int32(n) < k.Procs.Get(p).OOMAdj && !c.Capable(24) { // CAP_SYS_RESOURCE
				return abi.EACCES
			}
			k.Procs.Mut(p).OOMAdj = int32(n)
			return 0
		}},
		{name: "uid_map", mode: 0o644, task: true, gen: func(k *Kernel, c *Call, p store.Ref[Proc], _ store.Ref[Thread]) (string, abi.Errno) {
			return k.mapText(p, c.ns(), false), 0
		}, writeAs: func(k *Kernel, c *Call, opener *Cred, p store.Ref[Proc], s string) abi.Errno {
			return k.writeMap(c, opener, p, s, false)
		}},
		{name: "gid_map", mode: 0o644, task: true, gen: func(k *Kernel, c *Call, p store.Ref[Proc], _ store.Ref[Thread]) (string, abi.Errno) {
			return k.mapText(p, c.ns(), true), 0
		}, writeAs: func(k *Kernel, c *Call, opener *Cred, p store.Ref[Proc], s string) abi.Errno {
			return k.writeMap(c, opener, p, s, true)
		}},
		{name: "setgroups", mode: 0o644, task: true, gen: func(k *Kernel, _ *Call, p store.Ref[Proc], _ store.Ref[Thread]) (string, abi.Errno) {
			return k.setgroupsText(p), 0
		}, writeAs: func(k *Kernel, _ *Call, opener *Cred, p store.Ref[Proc], s string) abi.Errno {
			return k.writeSetgroups(opener, p, s)
		}},
		{name: "personality", gen: none("00000000\n"), mode: 0o400, owner: true, task: true},
		{name: "schedstat", gen: (*Kernel).pidSchedstat, task: true},
		{name: "sched", gen: (*Kernel).pidSched, mode: 0o644, task: true, write: accept},
		{name: "syscall", read: (*Kernel).pidSyscall, mode: 0o400, owner: true, task: true},
		{name: "stack", gen: (*Kernel).pidStack, mode: 0o400, owner: true, task: true},
		{name: "mem", read: (*Kernel).pidMem, mode: 0o600, owner: true, task: true},
		{name: "timerslack_ns", gen: none("50000\n"), mode: 0o666, write: accept},
		{name: "coredump_filter", gen: none("00000033\n"), mode: 0o644, write: accept},
		{name: "smaps_rollup", gen: (*Kernel).pidSmapsRollup, owner: true, task: true},
		{name: "children", gen: (*Kernel).tidChildren, task: true, threads: true},
		{name: "cpuset", gen: none("/\n"), task: true}, // all are in the one control group
	}
}

// NewProcFS makes /proc; mount it under the label that AttachCore was given.
func NewProcFS(k *Kernel) *ProcFS {
	procOnce.Do(func() {
		makeProcTree()
		makeProcFiles()
		makeNetFiles()
	})
	k.SetOps(FileProc, &procFileOps{BaseOps{k}})
	return &ProcFS{k}
}

func procNode(pid int32, part int, low uint32) fs.NodeID {
	return fs.NodeID(uint64(pid)<<40 | uint64(part)<<32 | uint64(low))
}

type procAt struct {
	p    store.Ref[Proc]
	t    store.Ref[Thread]
	pid  int32
	part int
	low  uint32
}

// at takes a node number apart. ENOENT when the process or thread is gone.
func (f *ProcFS) at(n fs.NodeID) (procAt, abi.Errno) {
	a := procAt{pid: int32(n >> 40), part: int(n >> 32 & 0xff), low: uint32(n)}
	a.p = f.k.ProcByPid(a.pid)
	if a.p == 0 {
		return a, abi.ENOENT
	}
	a.t = f.k.Procs.Get(a.p).Leader
	if a.part == partTidDir || (a.part >= partFile || a.part == partCwd || a.part == partRoot) && a.low != 0 {
		a.t = f.k.ThreadByTid(int32(a.low))
		if a.t == 0 || f.k.Threads.Get(a.t).Proc != a.p {
			return a, abi.ENOENT
		}
	}
	return a, 0
}

// dirProc answers the process (0 when it is gone) and the id that a directory
// /proc/PID stands for. EBADF for any other node.
func (f *ProcFS) dirProc(n fs.NodeID) (store.Ref[Proc], int32, abi.Errno) {
	pid := int32(n >> 40)
	if pid == 0 || n != procNode(pid, partDir, 0) {
		return 0, 0, abi.EBADF
	}
	return f.k.ProcByPid(pid), pid, 0
}

const procFixedMax = 1 << 20

// Lookup implements CoreFS.
func (f *ProcFS) Lookup(c *Call, dir fs.NodeID, name string) (fs.NodeID, abi.Errno) {
	k := f.k
	if dir < procFixedMax {
		for i := 1; i < len(procTree); i++ {
			x := &procTree[i]
			if x.parent == int(dir-1) && x.name == name && (x.there == nil || x.there(k)) {
				return fs.NodeID(i + 1), 0
			}
		}
		if dir == fs.RootID {
			if pid, err := strconv.ParseUint(name, 10, 22); err == nil && strconv.FormatUint(pid, 10) == name {
				if t := k.ThreadByTid(int32(pid)); t != 0 {
					// A thread's id works too, though it is not listed.
					return procNode(k.Procs.Get(k.Threads.Get(t).Proc).Pid, partDir, 0), 0
				}
				if k.ProcByPid(int32(pid)) != 0 {
					return procNode(int32(pid), partDir, 0), 0
				}
			}
		}
		return 0, abi.ENOENT
	}
	a, e := f.at(dir)
	if e != 0 {
		return 0, e
	}
	switch a.part {
	case partDir, partTidDir:
		low := uint32(0)
		if a.part == partTidDir {
			low = a.low
		}
		for i := range procFiles {
			if procFiles[i].name == name && procFiles[i].in(low) {
				return procNode(a.pid, partFile+i, low), 0
			}
		}
		switch name {
		case "fd":
			return procNode(a.pid, partFdDir, 0), 0
		case "fdinfo":
			return procNode(a.pid, partFdInfoDir, 0), 0
		case "cwd":
			return procNode(a.pid, partCwd, low), 0
		case "root":
			return procNode(a.pid, partRoot, low), 0
		case "exe":
			return procNode(a.pid, partExe, 0), 0
		case "net":
			return procNode(a.pid, partNetDir, 0), 0
		case "ns":
			return procNode(a.pid, partNsDir, 0), 0
		case "task":
			if low == 0 {
				return procNode(a.pid, partTaskDir, 0), 0
			}
		}
	case partTaskDir:
		tid, err := strconv.ParseUint(name, 10, 22)
		if err == nil {
			if t := k.ThreadByTid(int32(tid)); t != 0 && k.Threads.Get(t).Proc == a.p {
				return procNode(a.pid, partTidDir, uint32(tid)), 0
			}
		}
	case partNetDir:
		for i := range netFiles {
			if netFiles[i].name == name {
				return procNode(a.pid, partNet, uint32(i)), 0
			}
		}
	case partNsDir:
		for i := range procNs {
			if procNs[i].name == name {
				return procNode(a.pid, partNs, uint32(i)), 0
			}
			if f.nsText(a.p, i) == name { // where the link leads; not listed
				return procNode(a.pid, partNsFile, uint32(i)), 0
			}
		}
	case partFdDir, partFdInfoDir:
		if e := f.mayTrace(c, a.p); e != 0 {
			return 0, e
		}
		n, err := strconv.ParseUint(name, 10, 31)
		if err == nil && k.Procs.Get(a.p).FDs != 0 {
			if _, _, e := k.FDAt(k.Procs.Get(a.p).FDs, int32(n)); e == 0 {
				part := partFd
				if a.part == partFdInfoDir {
					part = partFdInfo
				}
				return procNode(a.pid, part, uint32(n)), 0
			}
		}
	}
	return 0, abi.ENOENT
}

// mayTrace is Linux's ptrace access check in the part that matters here: same
// user, or the capability.
func (f *ProcFS) mayTrace(c *Call, p store.Ref[Proc]) abi.Errno { return f.k.mayTrace(c, p) }

// MayTrace says whether the caller may look into a process: mayTrace. EACCES.
func (c *Call) MayTrace(p store.Ref[Proc]) abi.Errno { return c.K.mayTrace(c, p) }

func (k *Kernel) mayTrace(c *Call, p store.Ref[Proc]) abi.Errno {
	if c == nil || c.T == 0 || c.ProcRef() == p {
		return 0
	}
	mine := c.Cred()
	ref := k.Procs.Get(p).Cred
	if ref == 0 {
		return abi.EACCES
	}
	their := k.Creds.Get(ref)
	if mine.FSUID == their.UID && their.UID == their.EUID && their.EUID == their.SUID && mine.NS == their.NS && mine.CapEff|their.CapPerm == mine.CapEff {
		return 0
	}
	if k.CapableIn(mine, their.NS, CapSysPtrace) {
		return 0
	}
	return abi.EACCES
}

// Attr implements CoreFS.
func (f *ProcFS) Attr(c *Call, n fs.NodeID) (fs.Attr, abi.Errno) {
	k := f.k
	now := k.Clock.Real()
	at := fs.Attr{Ino: uint64(n), Nlink: 1, BlkSize: 1024}
	at.Mtime = fs.Time{Sec: now / 1e9, Nsec: uint32(now % 1e9)}
	if n < procFixedMax {
		if int(n) > len(procTree) || n == 0 {
			return at, abi.ENOENT
		}
		x := &procTree[n-1]
		switch {
		case x.link != nil:
			at.Mode = fs.TypeLink | 0o777
		case x.gen != nil:
			at.Mode, at.Size = fs.TypeReg|0o444, x.size
			if x.write != nil {
				at.Mode |= 0o200
			}
		default:
			at.Mode = fs.TypeDir | 0o555
			at.Nlink = 2
		}
		b := k.Globals().BootReal
		at.Mtime = fs.Time{Sec: b / 1e9, Nsec: uint32(b % 1e9)}
		at.Atime, at.Ctime = at.Mtime, at.Mtime
		return at, 0
	}
	a, e := f.at(n)
	if e != 0 {
		return at, e
	}
	r := k.Procs.Get(a.p)
	real := k.Globals().BootReal + r.Start - k.Globals().BootMono
	at.Mtime = fs.Time{Sec: real / 1e9, Nsec: uint32(real % 1e9)}
	at.Atime, at.Ctime = at.Mtime, at.Mtime
	if r.Cred != 0 {
		cr := k.Creds.Get(r.Cred)
		at.UID, at.GID = cr.EUID, cr.EGID
	}
	switch {
	case a.part == partFdDir:
		at.Mode = fs.TypeDir | 0o500
	case a.part == partNsDir:
		at.Mode = fs.TypeDir | 0o511
		at.Nlink = 2
	case a.part == partNsFile && int(a.low) < len(procNs):
		at.Mode, at.Ino = fs.TypeReg|0o444, f.nsIno(a.p, int(a.low))
		at.UID, at.GID = 0, 0
	case a.part < partFd:
		at.Mode = fs.TypeDir | 0o555
		at.Nlink = 2
	case a.part == partFd:
		at.Mode = fs.TypeLink | 0o300
		if fl, _, e := k.FDAt(r.FDs, int32(a.low)); r.FDs != 0 && e == 0 {
			acc := k.Files.Get(fl).Access
			at.Mode = fs.TypeLink | 0o100
			if acc&AccessRead != 0 {
				at.Mode |= 0o400
			}
			if acc&AccessWrite != 0 {
				at.Mode |= 0o200
			}
		} else {
			return at, abi.ENOENT
		}
		at.Size = 64
	case a.part == partFdInfo, a.part == partNet && int(a.low) < len(netFiles):
		at.Mode = fs.TypeReg | 0o444
	case a.part < partFile:
		at.Mode = fs.TypeLink | 0o777
	default:
		if a.part-partFile >= len(procFiles) {
			return at, abi.ENOENT
		}
		at.Mode = fs.TypeReg | 0o444
		if m := procFiles[a.part-partFile].mode; m != 0 {
			at.Mode = fs.TypeReg | m
		}
	}
	return at, 0
}

// ReadDir implements CoreFS.
func (f *ProcFS) ReadDir(c *Call, dir fs.NodeID, cookie uint64, max int) ([]fs.DirEntry, abi.Errno) {
	k := f.k
	var out []fs.DirEntry
	size := 0
	add := func(next uint64, n fs.NodeID, typ uint32, name string) bool {
		if next <= cookie {
			return true
		}
		if size += len(name) + 24; size > max && len(out) > 0 {
			return false
		}
		out = append(out, fs.DirEntry{Ino: uint64(n), Next: next, Type: typ >> 12, Name: name})
		return true
	}
	if dir < procFixedMax {
		for i := 1; i < len(procTree); i++ {
			x := &procTree[i]
			if x.parent != int(dir-1) || x.there != nil && !x.there(k) {
				continue
			}
			t := uint32(fs.TypeDir)
			if x.link != nil {
				t = fs.TypeLink
			} else if x.gen != nil {
				t = fs.TypeReg
			}
			if !add(uint64(i), fs.NodeID(i+1), t, x.name) {
				return out, 0
			}
		}
		if dir == fs.RootID {
			var pids []int32
			k.EachProc(func(_ store.Ref[Proc], r *Proc) bool { pids = append(pids, r.Pid); return true })
			sortPids(pids)
			for _, pid := range pids {
				if !add(procFixedMax+uint64(pid), procNode(pid, partDir, 0), fs.TypeDir, strconv.Itoa(int(pid))) {
					break
				}
			}
		}
		return out, 0
	}
	a, e := f.at(dir)
	if e != 0 {
		return nil, e
	}
	switch a.part {
	case partDir, partTidDir:
		low := uint32(0)
		if a.part == partTidDir {
			low = a.low
		}
		i := uint64(1)
		type sub struct {
			part int
			t    uint32
			name string
		}
		subs := []sub{{partFdDir, fs.TypeDir, "fd"}, {partFdInfoDir, fs.TypeDir, "fdinfo"}, {partNetDir, fs.TypeDir, "net"}, {partNsDir, fs.TypeDir, "ns"},
			{partCwd, fs.TypeLink, "cwd"}, {partRoot, fs.TypeLink, "root"}, {partExe, fs.TypeLink, "exe"}}
		if low == 0 {
			subs = append(subs, sub{partTaskDir, fs.TypeDir, "task"})
		}
		for _, s := range subs {
			if !add(i, procNode(a.pid, s.part, low), s.t, s.name) {
				return out, 0
			}
			i++
		}
		for j := range procFiles {
			if procFiles[j].in(low) {
				if !add(i, procNode(a.pid, partFile+j, low), fs.TypeReg, procFiles[j].name) {
					return out, 0
				}
			}
			i++
		}
	case partTaskDir:
		var tids []int32
		for _, t := range k.ThreadsOf(a.p) {
			tids = append(tids, k.Threads.Get(t).Tid)
		}
		sortPids(tids)
		for _, tid := range tids {
			if !add(uint64(tid), procNode(a.pid, partTidDir, uint32(tid)), fs.TypeDir, strconv.Itoa(int(tid))) {
				break
			}
		}
	case partFdDir, partFdInfoDir:
		if e := f.mayTrace(c, a.p); e != 0 {
			return nil, e
		}
		part, typ := partFd, uint32(fs.TypeLink)
		if a.part == partFdInfoDir {
			part, typ = partFdInfo, fs.TypeReg
		}
		if t := k.Procs.Get(a.p).FDs; t != 0 {
			k.EachFD(t, func(fd int32, _ store.Ref[File], _ uint32) bool {
				return add(uint64(fd)+1, procNode(a.pid, part, uint32(fd)), typ, strconv.Itoa(int(fd)))
			})
		}
	case partNsDir:
		for i := range procNs {
			if !add(uint64(i)+1, procNode(a.pid, partNs, uint32(i)), fs.TypeLink, procNs[i].name) {
				break
			}
		}
	case partNetDir:
		for i := range netFiles {
			if !add(uint64(i)+1, procNode(a.pid, partNet, uint32(i)), fs.TypeReg, netFiles[i].name) {
				break
			}
		}
	default:
		return nil, abi.ENOTDIR
	}
	return out, 0
}

func sortPids(p []int32) {
	for i := 1; i < len(p); i++ {
		for j := i; j > 0 && p[j] < p[j-1]; j-- {
			p[j], p[j-1] = p[j-1], p[j]
		}
	}
}

// ReadLink implements CoreFS.
func (f *ProcFS) ReadLink(c *Call, n fs.NodeID) (CoreLink, abi.Errno) {
	k := f.k
	if n < procFixedMax {
		if int(n) > len(procTree) || procTree[n-1].link == nil {
			return CoreLink{}, abi.EINVAL
		}
		if c.T == 0 {
			return CoreLink{}, abi.ENOENT
		}
		return CoreLink{Text: procTree[n-1].link(c)}, 0
	}
	a, e := f.at(n)
	if e != 0 {
		return CoreLink{}, e
	}
	if e := f.mayTrace(c, a.p); e != 0 {
		return CoreLink{}, e
	}
	r := k.Procs.Get(a.p)
	var v store.Ref[Vnode]
	switch a.part {
	case partFd:
		if r.FDs == 0 {
			return CoreLink{}, abi.ENOENT
		}
		fl, _, e := k.FDAt(r.FDs, int32(a.low))
		if e != 0 {
			return CoreLink{}, abi.ENOENT
		}
		return CoreLink{Text: k.Ops(fl).LinkName(fl), File: fl}, 0
	case partCwd, partRoot:
		x := k.fsOf(k.Threads.Get(a.t), r)
		if x == 0 {
			return CoreLink{}, abi.ENOENT
		}
		v = k.FsCtxs.Get(x).Cwd
		if a.part == partRoot {
			v = k.FsCtxs.Get(x).Root
		}
	case partExe:
		v = r.Exe
	case partNs:
		if int(a.low) >= len(procNs) {
			return CoreLink{}, abi.ENOENT
		}
		return CoreLink{Text: f.nsText(a.p, int(a.low))}, 0
	default:
		return CoreLink{}, abi.EINVAL
	}
	if v == 0 {
		return CoreLink{}, abi.ENOENT
	}
	return CoreLink{Text: c.PathFor(v), Vnode: v}, 0
}

// Open implements CoreFS.
func (f *ProcFS) Open(c *Call, n fs.NodeID, v store.Ref[Vnode], access, flags uint32) (store.Ref[File], abi.Errno) {
	k := f.k
	if n >= procFixedMax {
		a, e := f.at(n)
		if e != 0 {
			return 0, e
		}
		if a.part < partFd {
			return 0, 0
		}
		if a.part >= partFile && procFiles[a.part-partFile].owner {
			if e := f.mayTrace(c, a.p); e != 0 {
				return 0, e
			}
		}
	} else if procTree[n-1].gen == nil {
		return 0, 0
	}
	r, t := k.ProcTexts.New()
	if r == 0 {
		return 0, abi.ENFILE
	}
	t.Node = uint64(n)
	fl, file, e := k.NewFile(FileProc, access, flags)
	if e != 0 {
		k.ProcTexts.Free(r)
		return 0, e
	}
	file.Obj = uint32(r)
	if c.T != 0 && access&AccessWrite != 0 {
		file.Cred = k.HoldCred(c.Thread().Cred)
	}
	if access&AccessRead != 0 && (n >= procFixedMax || procTree[n-1].fails == 0) {
		if e := k.procGenerate(c, r); e != 0 {
			k.DropFile(c, fl)
			return 0, e
		}
	}
	return fl, 0
}

// SetAttr implements CoreFS.
func (f *ProcFS) SetAttr(*Call, fs.NodeID, *fs.SetAttrIn) abi.Errno { return abi.EPERM }

// procGenerate stores the text of an open file anew; it may give up the lock.
func (k *Kernel) procGenerate(c *Call, r store.Ref[procText]) abi.Errno {
	n := fs.NodeID(k.ProcTexts.Get(r).Node)
	var s string
	var e abi.Errno
	if n < procFixedMax {
		s = procTree[n-1].gen(k)
	} else {
		f := ProcFS{k}
		var a procAt
		if a, e = f.at(n); e != 0 {
			return abi.ESRCH
		}
		switch {
		case a.part == partFdInfo:
			s, e = k.procFdinfo(a)
		case a.part == partNet:
			s = netFiles[a.low].gen(k)
		case a.part < partFile, procFiles[a.part-partFile].gen == nil:
		default:
			s, e = procFiles[a.part-partFile].gen(k, c, a.p, a.t)
		}
		if e != 0 {
			return e
		}
	}
	t := k.ProcTexts.Mut(r)
	if t == nil {
		return abi.EBADF
	}
	if int(t.Text.Cap) < len(s) {
		if t.Text.Cap > 0 {
			k.Heap.FreeBlock(t.Text)
		}
		t.Text = k.Heap.Alloc(len(s))
		if t.Text.Cap == 0 {
			t.Len = 0
			return abi.ENOMEM
		}
		copy(k.Heap.Bytes(t.Text), s)
	} else if len(s) > 0 {
		copy(k.Heap.MutBytes(t.Text, 0, len(s)), s)
	}
	t.Len = uint32(len(s))
	return 0
}

func (k *Kernel) procFdinfo(a procAt) (string, abi.Errno) {
	r := k.Procs.Get(a.p)
	if r.FDs == 0 {
		return "", abi.ENOENT
	}
	fl, flags, e := k.FDAt(r.FDs, int32(a.low))
	if e != 0 {
		return "", e
	}
	f := k.Files.Get(fl)
	var o uint32
	switch f.Access {
	case AccessWrite:
		o = 1
	case AccessRead | AccessWrite:
		o = 2
	}
	if f.Flags&OpenAppend != 0 {
		o |= 0o2000
	}
	if f.Flags&OpenNonblock != 0 {
		o |= 0o4000
	}
	if flags&FDCloexec != 0 {
		o |= 0o2000000
	}
	s := fmt.Sprintf("pos:\t%d\nflags:\t0%o\nmnt_id:\t%d\nino:\t%d\n", f.Off, o, 1, uint32(fl))
	if f.Kind == FilePidfd {
		pid := int32(-1)
		if k.pidfdProc(f) != 0 {
			pid = int32(f.Aux2)
		}
		s += fmt.Sprintf("Pid:\t%d\nNSpid:\t%d\n", pid, pid)
	}
	return s, 0
}

// procFileOps serves open files of /proc.
type procFileOps struct{ BaseOps }

func (o *procFileOps) Read(c *Call, f store.Ref[File], buf []byte, off int64) (int, abi.Errno) {
	k := o.K
	file := k.Files.Get(f)
	r := store.Ref[procText](file.Obj)
	at := off
	if off < 0 {
		at = file.Off
	}
	if n := fs.NodeID(k.ProcTexts.Get(r).Node); n >= procFixedMax {
		p := ProcFS{k}
		a, e := p.at(n)
		if e == 0 && a.part == partNsFile {
			return 0, abi.EINVAL
		}
		if e == 0 && a.part >= partFile && procFiles[a.part-partFile].read != nil {
			// Its program may be another one than when the file was opened.
			if e := p.mayTrace(c, a.p); e != 0 {
				return 0, e
			}
			n, e := procFiles[a.part-partFile].read(k, c, a.p, a.t, at, buf)
			if e == 0 && off < 0 {
				k.Files.Mut(f).Off = at + int64(n)
			}
			return n, e
		}
	} else if e := procTree[n-1].fails; e != 0 {
		return 0, e
	}
	if at == 0 && file.Aux != 0 {
		if e := k.procGenerate(c, r); e != 0 {
			return 0, e
		}
	}
	t := k.ProcTexts.Get(r)
	if t == nil {
		return 0, abi.EBADF
	}
	if at >= int64(t.Len) {
		return 0, 0
	}
	n := copy(buf, k.Heap.Bytes(t.Text)[at:t.Len])
	m := k.Files.Mut(f)
	m.Aux = 1 // read once: a read from the start generates anew
	if off < 0 {
		m.Off = at + int64(n)
	}
	return n, 0
}

func (o *procFileOps) Write(c *Call, f store.Ref[File], data []byte, off int64) (int, abi.Errno) {
	k := o.K
	n := fs.NodeID(k.ProcTexts.Get(store.Ref[procText](k.Files.Get(f).Obj)).Node)
	s := string(data)
	if n < procFixedMax {
		if procTree[n-1].write == nil {
			return 0, abi.EINVAL
		}
		if e := procTree[n-1].write(c, s); e != 0 {
			return 0, e
		}
		return len(data), 0
	}
	p := ProcFS{k}
	a, e := p.at(n)
	if e != 0 {
		return 0, abi.ESRCH
	}
	if a.part >= partFile && procFiles[a.part-partFile].writeAs != nil {
		if e := procFiles[a.part-partFile].writeAs(k, c, k.Creds.Get(k.Files.Get(f).Cred), a.p, s); e != 0 {
			return 0, e
		}
		return len(data), 0
	}
	if a.part < partFile || procFiles[a.part-partFile].write == nil {
		return 0, abi.EINVAL
	}
	if e := procFiles[a.part-partFile].write(k, c, a.p, a.t, s); e != 0 {
		return 0, e
	}
	return len(data), 0
}

func (o *procFileOps) Seek(_ *Call, f store.Ref[File], off int64, whence int) (int64, abi.Errno) {
	return o.K.seekText(f, off, whence)
}

// seekText moves the offset of a file whose length nobody knows: from the start, or
// from where it is. EINVAL.
func (k *Kernel) seekText(f store.Ref[File], off int64, whence int) (int64, abi.Errno) {
	switch whence {
	case 0:
	case 1:
		off += k.Files.Get(f).Off
	default:
		return 0, abi.EINVAL
	}
	if off < 0 {
		return 0, abi.EINVAL
	}
	k.Files.Mut(f).Off = off
	return off, 0
}

func (o *procFileOps) Stat(c *Call, f store.Ref[File]) (fs.Attr, abi.Errno) {
	t := o.K.ProcTexts.Get(store.Ref[procText](o.K.Files.Get(f).Obj))
	p := ProcFS{o.K}
	return p.Attr(c, fs.NodeID(t.Node))
}

func (o *procFileOps) Release(_ *Call, f store.Ref[File]) {
	file := o.K.Files.Get(f)
	r := store.Ref[procText](file.Obj)
	if t := o.K.ProcTexts.Get(r); t != nil {
		if t.Text.Cap > 0 {
			o.K.Heap.FreeBlock(t.Text)
		}
		o.K.ProcTexts.Free(r)
	}
	if v := file.Vnode; v != 0 {
		o.K.DropVnode(v)
	}
}

func (o *procFileOps) LinkName(f store.Ref[File]) string {
	if v := o.K.Files.Get(f).Vnode; v != 0 {
		return o.K.VnodePath(v)
	}
	return "/proc"
}
