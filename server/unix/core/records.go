package core

import (
	"hythe/abi"
	"hythe/idl/fs"
	"hythe/store"
)

// The state of record: tables of pointer-free records. References between
// records are store.Ref (0 = none); strings and arrays of variable length are
// store.Block. A table's number is part of the format: never reuse one.

// StateVersion is the format of the state of record. A server refuses a state
// of another version.
const StateVersion = 10

// Tables holds every table. Files that own a table declare its record type.
type Tables struct {
	Global     *store.Table[Globals]   // 1
	Procs      *store.Table[Proc]      // 2
	Threads    *store.Table[Thread]    // 3
	FDs        *store.Table[FDTable]   // 4
	Files      *store.Table[File]      // 5
	FsCtxs     *store.Table[FsCtx]     // 6
	Hands      *store.Table[SigHand]   // 7
	Creds      *store.Table[Cred]      // 8
	vfsTables                          // 20..39
	ioTables                           // 40..69
	ttyTables                          // 70..79
	procTables                         // 80..99
	ProcTexts  *store.Table[procText]  // 100
	CallCounts *store.Table[callCount] // 101
	UserNSs    *store.Table[UserNS]    // 102
	Regions    *store.Table[Region]    // 105
	Dicts      *store.Table[Dict]      // 106
	DictEnts   *store.Table[DictEnt]   // 107
	// 108..111 are personalities' own
}

func newTables(h *store.Heap) Tables {
	var t Tables
	t.Global = store.NewTable[Globals](h, 1, 2)
	t.Procs = store.NewTable[Proc](h, 2, 1<<16)
	t.Threads = store.NewTable[Thread](h, 3, 1<<17)
	t.FDs = store.NewTable[FDTable](h, 4, 1<<16)
	t.Files = store.NewTable[File](h, 5, 1<<20)
	t.FsCtxs = store.NewTable[FsCtx](h, 6, 1<<16)
	t.Hands = store.NewTable[SigHand](h, 7, 1<<16)
	t.Creds = store.NewTable[Cred](h, 8, 1<<17)
	t.vfsTables = newVFSTables(h)
	t.ioTables = newIOTables(h)
	t.ttyTables = newTTYTables(h)
	t.procTables = newProcTables(h)
	t.ProcTexts = store.NewTable[procText](h, 100, 1<<16)
	t.CallCounts = store.NewTable[callCount](h, 101, 1<<12)
	t.UserNSs = store.NewTable[UserNS](h, 102, 1<<12)
	t.Regions = store.NewTable[Region](h, 105, 1<<16)
	t.Dicts = store.NewTable[Dict](h, 106, 1<<16)
	t.DictEnts = store.NewTable[DictEnt](h, 107, 1<<20)
	return t
}

// Globals is the one record of facts about the whole machine; its ref is 1.
type Globals struct {
	NextPid   int32
	_         int32
	BootReal  int64 // real time at boot, ns
	BootMono  int64
	NextToken uint64
	Init      store.Ref[Proc] // the first process
	Booted    uint32          // 1 once everything is mounted
	Hostname  [65]byte
	Domain    [65]byte
	// HostsNamed: /etc/hosts has the machine's name, or does not get it (hostsfile.go).
	HostsNamed uint8
	_          [5]byte
	Forks      uint64 // since boot
	NextIno    uint64 // of pipes, sockets and other nameless things
	// Locks is the first of the locks on things that have no vnode.
	Locks store.Ref[FileLock]
	// Posted are open files that everybody finds by name (dict.go).
	Posted store.Ref[Dict]
	// StreamNo is the number of the last loan of a stream.
	StreamNo uint32
	_        uint32
	IPCBytes uint64 // what System V's semaphores and messages take (sysv.go)
}

// Process states.
const (
	ProcLive   = 1
	ProcZombie = 2
)

// Proc is a process: POSIX's, in any personality.
type Proc struct {
	Pid    int32
	State  uint32
	Parent store.Ref[Proc] // 0 for the first process
	Pgid   int32
	Sid    int32
	// CTTY is the controlling terminal, 0 if none (tty.go).
	CTTY store.Ref[TTY]
	// Task is where it runs, 0 when it is a zombie. A vfork child has its
	// parent's until it execs.
	Task TaskID
	// VforkParent is the thread that lent this process its task, 0 otherwise.
	VforkParent store.Ref[Thread]
	// Personality is the index of the system that its program is for.
	Personality uint32
	// ExitStatus is the wait status (Linux's encoding: code<<8 or signal,
	// 0x80 for a core) once State is ProcZombie or a group exit has begun.
	ExitStatus uint32
	Exiting    uint32 // 1: group exit has begun
	// ExitSignal is sent to the parent when it ends (SIGCHLD, or clone's).
	ExitSignal uint32
	// Stopped is the signal that stopped it, 0 when it runs.
	Stopped uint32
	// WaitEvents: bits for waitid: 1 stopped not yet reported, 2 continued.
	WaitEvents uint32
	Threads    uint32 // live threads
	Leader     store.Ref[Thread]
	Flags      uint32          // ProcFlag...
	Cred       store.Ref[Cred] // shared with threads unless they changed their own
	FDs        store.Ref[FDTable]
	Fs         store.Ref[FsCtx]
	Hand       store.Ref[SigHand]
	Pending    SigSet // process-directed
	SigQ       uint32 // head of the queue of process-directed siginfo (signal.go)
	Dumpable   uint32
	Start      int64 // monotonic, ns
	Comm       [16]byte
	Exe        store.Ref[Vnode] // executable, for /proc/PID/exe and exec
	// ExecArgs holds what the next KindStart builds: argv, envp and the path,
	// as packed by SetExec.
	ExecArgs store.Block
	ExecPath store.Block
	// CmdLine and Environ ranges in the guest (for /proc/PID/cmdline).
	ArgStart, ArgEnd, EnvStart, EnvEnd uint64
	BrkStart                           uint64
	StackTop                           uint64
	Rlimits                            [16]Rlimit
	UTime, STime, CUTime, CSTime       int64 // ns; own: of tasks already left
	PDeathSig                          uint32
	SubReaper                          uint32
	NoNewPrivs                         uint32
	OOMAdj                             int32
	// Debugger is the server's name of the exception port, 0 for none; DebugUID whose
	// process its debugger may debug (debug.go).
	Debugger, DebugFlags, DebugUID uint32
	// Region is memory that it may share with other processes, 0 for none; RegionNew
	// is 1 until it is mapped where it was copied from (region.go).
	Region    store.Ref[Region]
	RegionNew uint32
	// Dicts are named values that it may share with other processes (dict.go).
	Dicts [NumDicts]store.Ref[Dict]
	// ErrText is the last error of a call, ExitText how the program ended, for systems
	// that say both in words.
	ErrText, ExitText Text
	// Meet is the group in which it finds others by a number (rendezvous(2) of Plan 9);
	// the first one's is 0.
	Meet uint32
	ProcExtra
}

// Flags of a process.
const (
	ProcExeced    = 1 << 0 // has executed since fork (setpgid's EACCES)
	ProcVfork     = 1 << 1 // runs in its parent's task
	ProcKthread   = 1 << 2
	ProcAutoReap  = 1 << 3
	ProcWaitClone = 1 << 4
	ProcModule    = 1 << 5 // an engine runs its program (Interpreter)
	ProcHeld      = 1 << 6 // has executed, of which its debugger is to be told
)

// Rlimit is a pair of limits; ^0 is no limit.
type Rlimit struct{ Cur, Max uint64 }

// Thread is a flow of control of a process.
type Thread struct {
	Tid  int32
	Slot uint32 // in the task's binding
	// DebugStop is the exception that the thread is to send before it goes on.
	DebugStop uint32
	// DebugIP is where it begins when its debugger has been told of its exec, 0 if
	// there is nothing to tell.
	DebugIP uint64
	Proc    store.Ref[Proc]
	// Cred is the thread's own (Linux's setres*id system calls are per thread).
	Cred store.Ref[Cred]
	// HostTID is the host's id in the machine's pid namespace, for kicks.
	HostTID uint64
	// DoneSeq is the last call of the slot whose effect is committed.
	DoneSeq uint64
	// CurSeq, Progress, Deadline and Aux note how far the call CurSeq has come,
	// for a repetition after a crash: bytes done, when it ends (monotonic ns, 0
	// not set), anything else. Reset when CurSeq changes.
	CurSeq   uint64
	Progress uint64
	Deadline int64
	Aux      uint64
	// PartNo is the number of the part of the reply to CurSeq that was committed
	// last, and may lack its publication (0: none); Parts are those behind it, from
	// byte PartsAt on (parts.go).
	PartNo  uint32
	PartsAt uint32
	Parts   store.Block
	// FSSeq counts the requests to file servers made for this thread; a
	// repeated call starts again at FSBase, so that it repeats the numbers.
	FSSeq, FSBase uint64
	// FSSent is 1 once the call CurSeq has sent a request that changes
	// something: a repetition must send it again, with the same number, and
	// take the answer, whatever a look at the names would say now.
	FSSent uint32
	// FSGives is the vnode whose openings that request gives up (Vnode.Given), 0 if none.
	FSGives store.Ref[Vnode]
	_       uint32
	// Crashes is how often the call CurSeq has ended in a panic of the server.
	Crashes        uint32
	Mask           SigSet // blocked signals
	SavedMask      SigSet // to restore after sigsuspend, ppoll...
	HasSaved       uint32
	Pending        SigSet
	SigQ           uint32
	AltFlags       uint32
	AltSP, AltSize uint64
	ClearTid       uint64 // clear_child_tid
	RobustHead     uint64
	RobustLen      uint64
	Comm           [16]byte
	State          uint32 // ThreadState...
	Token          uint32
	// Vfork: while a vfork child uses this thread's slot, the registers to
	// come back with. Before that, if Begins is 1, those that the thread begins with.
	VforkChild store.Ref[Proc]
	VforkRegs  abi.Regs
	ThreadExtra
}

// FDTable is a descriptor table: Cap entries of FDEntry in Block.
type FDTable struct {
	Refs  uint32
	Cap   uint32
	Next  uint32 // no free number below this one
	Block store.Block
}

// FDEntry is one descriptor.
type FDEntry struct {
	File  store.Ref[File]
	Flags uint32 // FDCloexec; from fdCloseNo on the number of its BindHeader.Close, 0: it has none
}

// FDCloexec closes a descriptor at exec.
const FDCloexec = 1

// Kinds of open file; a kind's FileOps is registered with SetOps.
const (
	FileNone  = iota
	FileVnode // regular file or directory of a file server
	FilePipe  // also FIFOs
	FileSocket
	FileEpoll
	FileEvent
	FileTimer
	FileSignal
	FileInotify
	FileTTY
	FilePty  // master side
	FileDev  // memory devices: null, zero, full, random...
	FileProc // generated text of proc
	FilePidfd
	FileConsole // a host stream that is no terminal
	FilePath    // O_PATH
	FileMemfd   // unnamed file of a tmpfs; reads and writes as FileVnode
	FileMqueue  // POSIX message queue
	FileKqueue
	FileOwn // a personality's own; Obj and Aux are its affair
	NumFileKinds
)

// File is an open file description.
type File struct {
	Kind   uint32
	Refs   uint32 // descriptors and other holders (calls in flight hold none)
	Flags  uint32 // Open... bits that fcntl shows and changes
	Access uint32 // bit 0 read, bit 1 write
	Off    int64
	Vnode  store.Ref[Vnode] // named files
	Obj    uint32           // the kind's own record
	Aux    uint32
	Aux2   uint64
	// Owner is who is told of it (F_SETOWN_EX), OwnKind what that number is of
	// (Owner...), with the user ids of who said so; OwnSig by which signal (F_SETSIG).
	Owner, OwnSig            int32
	OwnKind, OwnUID, OwnEUID uint32
	AsyncFD                  int32 // one more than the descriptor that is told of, 0: none
	Cred                     store.Ref[Cred]
	// Epolls counts registrations in epoll sets, Notes those in event queues.
	Epolls uint32
	Notes  uint32
	Seals  uint32
	// LentTo is the task that moves the offset, or the counter in Obj, by descriptor LentFD;
	// the record has what it was when it was lent for the LentNo-th time (lend.go). 0: it is not lent.
	LentFD, LentNo uint32
	LentTo         TaskID
	// WriteTo is the task that writes to the file by descriptor WriteFD without this server,
	// Wrote what abi.Lent.Wrote said when it was looked at last (lendwrite.go). 0: none does.
	WriteTo TaskID
	Wrote   uint64
	WriteFD uint32
	_       uint32
}

// Open flags in neutral form (File.Flags and Open).
const (
	OpenAppend    = 1 << 0
	OpenNonblock  = 1 << 1
	OpenSync      = 1 << 2
	OpenAsync     = 1 << 3
	OpenDirect    = 1 << 4
	OpenNoatime   = 1 << 5
	OpenPath      = 1 << 6
	OpenDirectory = 1 << 7
	OpenCreate    = 1 << 8
	OpenExcl      = 1 << 9
	OpenTrunc     = 1 << 10
	OpenNofollow  = 1 << 11
	OpenCloexec   = 1 << 12
	OpenNoctty    = 1 << 13
	OpenTmpfile   = 1 << 14
	OpenLargefile = 1 << 15
	OpenDsync     = 1 << 16
	OpenOwn       = 1 << 17 // means what the personality says that set it in File.Flags
	// OpenFlagsSettable is what F_SETFL may change.
	OpenFlagsSettable = OpenAppend | OpenNonblock | OpenAsync | OpenDirect | OpenNoatime
)

// Access bits.
const (
	AccessRead  = 1
	AccessWrite = 2
)

// FsCtx is what CLONE_FS shares: root, current directory, umask.
type FsCtx struct {
	Refs  uint32
	Umask uint32
	Root  store.Ref[Vnode]
	Cwd   store.Ref[Vnode]
	// Dot, held, stands for the current directory where the personality's program knows it
	// by another name than Cwd's, or where it is none of the machine's tree; else 0.
	Dot store.Ref[File]
	_   uint32
}

// NumSignals is one more than the highest signal number (Linux's 64).
const NumSignals = 65

// SigSet is a set of signals; bit n-1 is signal n.
type SigSet uint64

// SigAction is what a process does with a signal. Handler 0 is the default, 1
// ignores. Flags are Linux's SA_ numbers (asm-generic/signal-defs.h).
type SigAction struct {
	Handler  uint64
	Flags    uint64
	Restorer uint64
	Mask     SigSet
}

// SigHand is a table of actions (shared by CLONE_SIGHAND).
type SigHand struct {
	Refs uint32
	_    uint32
	Act  [NumSignals]SigAction
}

// Cred is an immutable set of credentials; Refs counts its holders. The ids are the
// machine's, the capabilities count in NS (userns.go).
type Cred struct {
	Refs                     uint32
	UID, EUID, SUID, FSUID   uint32
	GID, EGID, SGID, FSGID   uint32
	NGroups                  uint32
	Groups                   [64]uint32
	CapEff, CapPerm          uint64
	CapInh, CapBound, CapAmb uint64
	Securebits               uint32
	NS                       store.Ref[UserNS] // 0: the machine's
}

// Vnode is a node of a mounted file system that something holds on to: an open
// file, a current directory, an executable. At most one per (mount, node).
type Vnode struct {
	Refs  uint32
	Mount store.Ref[Mount]
	Node  fs.NodeID
	// Parent and Name say where it was found, for getcwd, "..", /proc and
	// messages; renames are followed by lookups (vfs.go).
	Parent store.Ref[Vnode]
	Flags  uint32
	Name   store.Block
	Opens  uint32 // Open calls at the file server not yet released
	Writes uint32 // of them for writing (ETXTBSY)
	Execs  uint32
	VnodeExtra
}
