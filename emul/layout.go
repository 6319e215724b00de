package emul

import "hythe/abi"

// Offsets in the window, the 4 GiB of each guest address space that belong to
// the library (docs/architecture.md). Every host call of the library is made
// from an address in it; the host filter compares the high halves.
const (
	WindowSize = 1 << 32
	// ThreadsOff is where thread blocks start: ThreadSize bytes each, aligned.
	ThreadsOff = 0x4000_0000
	ThreadSize = 64 << 10
	// TaskOff is the task block, private to the task.
	TaskOff  = 0x6000_0000
	TaskSize = 64 << 10
	// SitesOff is what the task knows of patched call sites, private to it.
	SitesOff  = 0x6010_0000
	SitesSize = 64 << 10
	// NamesOff is what the task knows of names, private to it.
	NamesOff  = SitesOff + SitesSize
	NamesSize = 352 << 10
	// NearOff is where the words are through which patched sites of libraries jump
	// that lie just below the window: read-only but while one is made.
	NearOff = 0x0010_0000
	// TablesOff is where the call tables are, read-only, TableSize bytes each.
	TablesOff = 0x6100_0000
	TableSize = abi.CallTableSize * 16
	MaxTables = 8
	// ConfigOff is the host filters, read-only.
	ConfigOff = 0x6200_0000
	// AreaOff is the message area. (A forked child maps its own at the same
	// place: its parent's is not inherited.)
	AreaOff  = 0x8000_0000
	AreaSize = abi.BindHeaderSize + abi.MaxSlots*abi.SlotSize
	// LentOff is where files are that are lent (abi.Lent), read-only.
	LentOff = 0xa000_0000
	// StreamsOff is where the memory of streams between two tasks is (abi.LentStreams).
	StreamsOff = LentOff + abi.LentMaps*abi.LentMapSize
)

// The host descriptors that the library uses. 0..2 and 5..15 hold an inert
// descriptor, so that received ones are FirstFD and up; PortFD until the guest has a
// ports channel.
const (
	ControlFD  = 3
	DoorbellFD = 4
	PortFD     = 5
	InertFD    = 6
	FirstFD    = 16
)

// KickSignal is the host signal that makes a thread of a task look at its
// slot: the nucleus sends it (abi.CallThreadKick). It is SIGSTKFLT, which the
// host never raises by itself; not a real-time signal, since those queue up one
// by one for a thread that waits with kicks masked.
const KickSignal = 16

// UserFaults are the flags of the userfaultfd(2) that a task makes for each mapping of a
// paged object.
const UserFaults = uffdUser

// CloneFork and CloneThread are the only flag words with which the library
// calls the host's clone (include/uapi/linux/sched.h).
const (
	CloneFork   = 0x00008000                                                              // PARENT
	CloneThread = 0x100 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x40000 | 0x100000 | 0x200000 // VM FS FILES SIGHAND THREAD SYSVSEM PARENT_SETTID CHILD_CLEARTID
)

// How a personality passes the number and the arguments of a system call
// (Task.Conv, one byte for each table).
const (
	// ConvLinux: number in AX, arguments DI SI DX R10 R8 R9, result in AX.
	ConvLinux = 0
	// ConvBSD: as ConvLinux; an error sets the carry flag and AX is positive.
	ConvBSD = 1
	// ConvPlan9: number in BP, arguments on the stack above the address that the
	// caller goes back to, result in AX, -1 for an error.
	ConvPlan9 = 2
)

// Entry holds code addresses in the image. The host side takes them with
// Entries and Go's reflect and adds the distance to the window.
type Entry struct {
	Sig       uintptr // signal entry
	Restorer  uintptr // what the host insists to have for a handler
	HostCall  uintptr
	Wait      uintptr // a host call that a kick may cut
	WaitSys   uintptr // its SYSCALL instruction
	WaitAbort uintptr // where a kick sends it
	Copy      uintptr // REP MOVSB
	Zero      uintptr // REP STOSB
	Store32   uintptr // MOVL AX, (DI)
	Cas32     uintptr // LOCK CMPXCHGL BX, (DI)
	Fixup     uintptr // where a fault in the four above continues
	Spin      uintptr
	Cycles    uintptr // RDTSC
	Warm      uintptr // PREFETCHW
	GetFS     uintptr
	SetFS     uintptr
	Clone     uintptr // clone of a thread
	Start     uintptr // INT3: builds the first signal frame of a task
	Boot      uintptr // first instruction in the image of a new machine
	// Of patched call sites: the stubs, the loads that fault and the INT3 where
	// the guest has a GS of its own, the quick answers up to QuickOver and what they fall back on, the way back to
	// the guest up to SiteOver, and
	// (with an INT3 at SiteRaise) into a signal frame.
	SiteStubs   uintptr
	StoreStubs  uintptr
	SiteStore   uintptr
	SiteSelf    uintptr
	SiteLoad    uintptr
	SiteQuick   uintptr
	QuickOver   uintptr
	SiteGeneral uintptr
	SiteSlow    uintptr
	SiteExit    uintptr
	SiteOver    uintptr
	SitePromote uintptr
	SiteRaise   uintptr
	GetGS       uintptr
	SetGS       uintptr
	// ABIInternal entries of Go functions.
	SiteGo   uintptr
	HandleGo uintptr
	ThreadGo uintptr
	BootGo   uintptr
}

// Thread is the control block of a guest thread, at the start of its
// ThreadSize bytes; the signal stack is the rest, from StackOff on. Slot
// number, thread block number and guest thread are one to one.
//
// Only its own thread writes it, HostTid apart (the host clears it when the
// thread is gone), Permit, and Arg and Frame (the creator, before the thread runs).
type Thread struct {
	G       [16]uintptr // fake g: stack.lo, stack.hi, stackguard0, stackguard1
	PC      Entry
	Window  uintptr
	Index   uint32
	HostTid uint32 // 0: the block is free
	HostID  uint64
	// Depth is 1 while the library works for the guest thread.
	Depth uint32
	// Kicked is set by a kick that came inside the library.
	Kicked uint32
	Leader uint32 // 1: the task's first host thread, which must not end alone
	// Due are the signals of the host's clocks that came (abi.PollXCPU...) and
	// were not told yet.
	Due   uint32
	Words [abi.ThreadWords]uint64
	// Deadline of a futex wait that goes on after a kick; 0 sec: none.
	Deadline [2]uint64
	Redo     uint32 // 1: Deadline holds
	// Permit is 1 if somebody has woken the thread, which did not wait (park). Others
	// write it.
	Permit  uint32
	Frame   uintptr // new thread: its ucontext
	Token   uint64  // new thread
	FS      uint64  // new thread
	SetFS   uint64  // new thread: 1 if FS is used
	Msg     [7]uint64
	Iov     [2]uint64
	Ctl     [8]uint64
	Hdr     [10]uint64
	Scratch [64]uint64
	// Neg is the block's negative address: what a patched call site knows it by.
	Neg uint64
	// Self is its address, which a site finds at GS.
	Self uintptr
	// SiteNr is the site (lower half) and EAX (upper, its bytes in reverse).
	SiteNr uint64
	// SiteWhy says what a signal frame is made for: site....
	SiteWhy uint32
	GuestGS uint32 // new thread: 1 if its creator has a GS of its own
	// Done is how much of a write was written when the server is asked to go on with it.
	Done   uint32
	LastIP uint64   // of the last fault of an instruction fetch
	Site   Ucontext // the state of the guest: Regs only
	SiteX  [32]uint64
	// Key is the name that the present call asks for, and what else the answer depends on.
	Key     nameKey
	KeyHash uint64
	// Wants: the answer is to be kept (nameAsked...).
	Wants uint32
	// Stream is one more than the place of the window that the thread works with (streamOf), 0: none.
	// Others read it.
	Stream uint32
	// Cold is how many traps are not counted (heat): a forked child mostly ends or executes a
	// program before its own counts are of use, and to count is to copy pages.
	Cold uint32
	// NChild is how many actions Child has, which a child carries out that the thread forks.
	NChild uint32
	// Asks: a new thread is not 0 if it asks when it begins.
	Asks  uint32
	_     uint32
	Child [abi.MaxChildActs]abi.Action
}

// nameKey is what a call about a name asks: its number, two more arguments, the name,
// padded with zeros. Dir is the word of the directory's descriptor from which the name is looked for
// (abi.LentDir), which is in Nr from bit 32 on; 0: of none.
type nameKey struct {
	Nr, A, B, Dir uint64
	Path          [abi.NameMax / 8]uint64
}

// Name is an answer about a name that the library keeps. All threads read and write it: Seq
// is odd while one writes.
type Name struct {
	Seq    uint32
	Used   uint32 // 1: it was of use since its place was last asked for
	Hash   uint64 // of Key
	Names  uint64 // ActName's A[0]; 0: asked for once
	Attrs  uint64 // A[1]
	Result uint64
	Len    uint64
	Key    nameKey
	Data   [abi.NameData / 8]uint64
}

// MaxNames is how many a task has room for, by their hashes.
const MaxNames = 1 << nameBits

const nameBits = 10

// StackOff is where the signal stack starts in a thread block, StackGuard the
// limit that compiled code compares with.
const (
	StackOff   = 0x1000
	StackGuard = 0x1400
)

// Grant is an object or a channel that came on the control channel.
type Grant struct {
	Tag uint64
	Op  uint32 // abi.EventGrant or abi.EventChannel, 0: free
	FDs [3]int32
	// Paged is Region.Paged of the mapping of which FDs[0] tells faults.
	Paged uint32
}

// MaxGrants is how many unmapped or kept objects a task can hold.
const MaxGrants = 1024

// Task is the task block. Its first page is made by the host side.
type Task struct {
	Words     [abi.TaskWords]uint64
	Conv      [MaxTables]uint8
	Lock      uint32 // guards Grants, brk and the order of fork and receive
	Spin      uint32 // iterations before a sleep
	One       uint64 // what is written to the doorbell
	VDSO      uint64
	Hwcap     uint64
	Hwcap2    uint64
	MinStack  uint64
	ClkTck    uint64
	FPSize    uint64
	Threads   uint32 // highest block used + 1
	NTables   uint32
	GuestProg [2]uint64 // sock_fprog of the guest filter
	ReapProg  [2]uint64 // sock_fprog of the reaper's
	Processes uint64    // limit of host threads of the machine, 0: none
	NGrants   uint32
	Patch     uint32 // 1: call sites are patched
	// Waits says of each call, by its kind and number, how long it is worth to look for the
	// answer before the thread sleeps (Thread.wait). All threads write it, without a
	// lock: a wrong value costs time only.
	Waits [WaitKinds]uint8
	// LentTags are the tags with which what is mapped for lending came, by place; 0: nothing
	// is. Task.Lock guards them.
	LentTags [abi.LentMaps]uint64
	// LentBusy counts the threads that write to what is mapped there.
	LentBusy [abi.LentMaps]uint32
	// Hosts are the host's sockets of streams to the outside, by descriptor: the tag with which one
	// came, and from HostTag on that; 0: none. Task.Lock guards their change.
	Hosts [abi.LentFiles]uint64
	// Streams are the tags with which the memory of streams came that is mapped, by place; 0: none is. Who
	// works with one reads it without the lock, with which it is changed.
	Streams [abi.LentStreams]uint64
	// Ends are the locks of the two directions of each of them: which thread moves its word
	// (lockEnd), 0: none.
	Ends [abi.LentStreams][2]uint64
	// A forked child writes at once to what is above, all of which is in the first page.
	Grants [MaxGrants]Grant
	// Paged is how many paged objects the task has mapped. If it has any, an EFAULT of a host
	// call may be a page that is only missing.
	Paged    uint32
	NRegions uint32
	Regions  [MaxRegions]Region
	Kept     [abi.LentFiles]Kept
	// Sets are the host's epoll sets, by place (abi.BindHeader.Sets), as Hosts are sockets.
	Sets [abi.LentSets]uint64
	// SetBusy counts the threads that work with one; SetOld is the one that was there before, which the last of
	// them closes, 0: none.
	SetBusy [abi.LentSets]uint32
	SetOld  [abi.LentSets]uint32
	// HostsFirst is whose turn it is in epollHost.
	HostsFirst uint32
	_          uint32
}

// Kept are the attributes of a descriptor's file. Task.Lock guards it, but for Gen, which is
// 0 while they change.
type Kept struct {
	Gen   uint64 // of abi.Lent.Stat
	Len   uint64
	Bytes [abi.LentStat / 8]uint64
}

// MaxRegions is of how many mappings of memory objects a task can say what its children
// have of them.
const MaxRegions = 256

// Region is memory that the guest's program has mapped of a memory object. Task.Lock
// guards it.
type Region struct {
	Lo, Hi uintptr // 0, 0: free
	Copy   uintptr // at a fork: what the child is to have there
	Paged  uint32  // of a paged object: the number of the mapping that it is of; else 0
	Prot   uint16
	How    uint8 // abi.Inherit...
	_      uint8
}

// WaitKinds is how many calls Task.Waits tells apart; the last ones are no calls': of who waits in
// a stream.
const (
	WaitKinds   = 512
	waitsReader = WaitKinds - 1
	waitsWriter = WaitKinds - 2
	waitsPoll   = WaitKinds - 3 // of who looks at an epoll set
)

// Limits of patching: sites of a task, ranges of text in which they may be, and
// after how many traps a site is worth it.
const (
	MaxSites   = 1024
	MaxAreas   = 8
	MaxTexts   = 128
	SiteHot    = 12
	StubBytes  = 11
	StoreBytes = 10 // of a stub of the other kind
)

// Site is a patched call site.
type Site struct {
	Ret  uint64   // behind the SYSCALL
	Slot uint64   // the address of the word through which it jumps
	Kind uint8    // siteNumber...
	Len  uint8    // of the jump
	Back uint8    // from the jump to Ret
	Skip uint8    // siteCompare...: bytes of the instruction at Ret
	Nr   uint32   // siteNumber: the number; siteCompare...: with what is compared
	Old  [8]uint8 // what was there
	// Quick is the address of the word that answers the call, Told of that which is one more than the answer, or
	// 0 while the server has to be asked. 0: there is none.
	Quick, Told uint64
}

// Text is a range of the guest's text in which sites may be patched.
type Text struct{ Lo, Hi uintptr }

// Sites is the block at SitesOff. Task.Lock guards it, but for Heat, and for reading a
// site that is patched, which never changes.
type Sites struct {
	Sites  [MaxSites]Site
	N      uint32
	Undone uint32            // counts what was put back
	Areas  [MaxAreas]uintptr // where in the guest's part there are words: 0 is none
	Texts  [MaxTexts]Text
	NTexts uint32 // the highest one that was used + 1
	_      uint32
	Heat   [1024]uint64 // by hash: where a trap returns to, and from bit 48 on how many came
}

// Ucontext is the part of the host's signal frame that is used
// (arch/x86/include/uapi/asm/ucontext.h, sigcontext.h). Regs.FSBase lies on
// the pointer to the vector state.
type Ucontext struct {
	Flags, Link                    uint64
	StackSP, StackFlags, StackSize uint64
	Regs                           abi.Regs
	_                              [8]uint64
	Sigmask                        uint64
}

// Siginfo is the part of the host's siginfo that is used.
type Siginfo struct {
	Signo, Errno, Code int32
	_                  int32
	Addr               uint64
	Nr                 int32
	Arch               uint32
}

// ArchX86_64 is the architecture word of 64-bit calls (linux/audit.h).
const ArchX86_64 = 0xc000003e
