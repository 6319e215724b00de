// Package abi holds the constants and layouts that two or more of Hythe's
// parts share across an address-space boundary: the message area between a
// client and a server (a binding), the calls of the nucleus, and the neutral
// error numbers. It holds no policy and imports nothing; the emulation library,
// which runs inside guests without a Go runtime, imports it too, so nothing
// here may need the heap, an interface or a package-level variable.
package abi

// PageSize is the page size of the only machine that Hythe runs on (amd64).
const PageSize = 4096

// SitesBase is where the guest's part of the address space holds the words through
// which patched call sites jump (docs/patching.md), once there is one. The third byte
// of their addresses, which lies where a site's SYSCALL began, must be no instruction.
// Sites that reach 2 GiB only have such a place SitesBase above a multiple of
// SitesChunk.
const (
	SitesBase  = 0x60000
	SitesSize  = 0x10000
	SitesChunk = 1 << 31
)

// A binding is one memory object shared by a client and a server. It starts
// with a BindHeader page and rings of bytes (Lent); NumSlots slots of SlotSize bytes follow. A slot
// belongs to one flow of control of the client at a time (a guest thread, or a
// request of a server that is a client) and carries one call at a time.
//
// The object is sparse: only pages that were touched take memory.
const (
	// BindHeaderSize is the offset of slot 0: behind BindHeader's pages are the rings of pipes
	// that are lent, and the epoll sets.
	BindHeaderSize = LentSetOff + LentSets*LentSetSize
	// SlotSize is the size of one slot, header and both data areas.
	SlotSize = 256 << 10
	// SlotHeaderSize is the size of the fixed part of a slot; In area follows.
	SlotHeaderSize = 4096
	// SlotInOff and SlotInSize place the area that the client fills.
	SlotInOff  = SlotHeaderSize
	SlotInSize = SlotOutOff - SlotInOff
	// SlotOutOff and SlotOutSize place the area that the server fills. The two
	// are apart so that a server that dies while it writes a reply leaves the
	// request whole for its next incarnation.
	SlotOutOff  = 128 << 10
	SlotOutSize = SlotSize - SlotOutOff
	// MaxSlots bounds the slots of one binding (threads of one task).
	MaxSlots = 1024
	// BindMagic marks a formatted binding ("HyBind01").
	BindMagic = 0x3130646e69427948
)

// BindHeader is the first page of a binding.
//
// Each word has one writer: the nucleus (Magic, NumSlots), the server (Armed,
// Epoch, Told), or the client (Pending, which the server only clears bits of). Both write
// Lent.
type BindHeader struct {
	Magic    uint64
	NumSlots uint32
	_        uint32
	_        [48]byte
	// Armed is 1 while the server wants the doorbell rung (it sleeps or may
	// sleep), 0 while it polls Pending. Server-written.
	Armed uint32
	// Epoch counts the server's incarnations.
	Epoch uint32
	// Told are facts that the server lets the client know without a call (Told...),
	// each one more than its value; 0: to be asked for. Server-written, never read
	// by it: a client that forges one deceives itself.
	Told [ToldWords]uint64
	// ClientArmed is 1 while a client that is itself a server wants its own
	// doorbell rung on completion. Client-written.
	ClientArmed uint32
	// Changed is 1 when the client has changed a stream beside which StreamPolled says that
	// somebody sleeps for it, or has left a host's socket that was taken back (HostBusy); a Pending bit comes with it. Client-written, cleared by the server.
	Changed uint32
	// Posted has a bit for each descriptor that the client has closed by Close since the server
	// looked last. Client-written, cleared by the server; a forged bit costs one look at Close.
	Posted uint64
	// Close says of descriptors whether the client may close them without asking, and has
	// (CloseMay, Closed). Changed by an atomic exchange only.
	Close [LentFiles]uint64
	// Ended is 1 when a bit of Ends was set since the server looked last. Client-written, cleared by the server.
	Ended uint32
	_     [44]byte
	// Done has a bit for each slot that holds a reply; only used by clients
	// that are servers (guests sleep on the slot's State word).
	Done [MaxSlots / 64]uint64
	_    [64]byte
	// Pending has a bit for each slot that holds a request not yet taken.
	// The client sets a bit after it stored the request; the server takes
	// whole words. A forged bit costs the server one look at a slot.
	Pending [MaxSlots / 64]uint64
	// Lent are the files that the library of a guest reads without the server, by
	// descriptor (docs/lending.md); behind them, of the rings of pipes, which have Pos
	// (Ring...) and Size alone.
	Lent [LentFiles + LentPipes]Lent
	// Sets are the epoll sets of which the library of a guest answers what is ready.
	Sets [LentSets]LentSet
	// Open is what the server has told of descriptors, 0: nothing (LentOpen...). Server-written.
	Open [LentFiles]uint64
	// Ends has a bit for each slot whose thread has ended without asking (Slot.Ended), since the server
	// looked last; a Pending bit comes with it. Client-written, cleared by the server; a forged bit costs
	// one look at the slot.
	Ends [MaxSlots / 64]uint64
	// HostBusy counts the threads that receive by the host's socket of a descriptor, or are about to: a thread counts itself
	// before it looks whether that is lent. Whoever finds it taken back when he has left says so (Changed).
	// Client-written; who forges it has nobody receive of his own stream.
	HostBusy [LentFiles]uint32
}

// Lent is a file that the server has lent to a task. The server makes the record and takes
// the file back at any time; the library says that it has mapped the file (Gen), and moves
// the offset or the counter (Pos). Both are changed by an atomic exchange only, which whoever was late
// loses. A client that forges a record deceives itself: it reads nothing but what
// it has mapped, and an offset it could set anyhow.
type Lent struct {
	// Gen is even while the file is not lent, and another number each time that it was.
	Gen uint64
	// Pos is the offset of the open file, what is in an event counter, or which ring a pipe's
	// end has, with that ring's number from LentRing on (LentOffset), with which of these it is
	// (from LentKind on) and a number (from LentShift on) that is another one each time that it
	// was lent. It is the library's to move while LentPos is set.
	Pos  uint64
	Size uint64 // of the file; of a ring how far the last page of its pipe is full
	// Slot is where it is mapped, LentMapSize bytes each, and LentWrite... bits.
	Slot uint32
	// Ends: nobody but the server's clients changes the file's size, so behind it there
	// is nothing to be read.
	Ends uint32
	// Stat is odd while the file's attributes are as the library has kept them, and another
	// number each time that they were.
	Stat uint64
	// Wrote is when the library wrote to the file last: what the processor's clock showed
	// (RDTSC), never 0, and another number each time. Client-written; a forged one is a time of
	// change, which the server bounds.
	Wrote uint64
}

// Limits of lending: descriptors, mappings of a task, and the bytes of a file that one shows;
// bytes of attributes.
const (
	LentFiles   = 64
	LentStat    = 224
	LentMaps    = 16
	LentMapSize = 32 << 20
	// LentStreams is how many streams between two tasks a task has mapped (as many as StreamSlots says),
	// each in a place of LentStreamSize bytes of its own (StreamRingOff and two rings).
	LentStreams    = StreamSlots + 1
	LentStreamSize = 2 << 20
)

// Bits of Lent.Slot above the place: what is mapped may be written to as far as Size, also by
// the open file's own offset; the descriptor is not to be read by.
const (
	LentSlots    = 1<<8 - 1 // mask of the place
	LentWrite    = 1 << 8
	LentWriteOwn = 1 << 9
	LentNoRead   = 1 << 10
	// From here on: as far as the library may make the file longer, in units of 1<<LentRoomShift
	// bytes. It says so by an exchange of Size, which has LentTaken in it when the file is taken back.
	LentRoom      = 16
	LentRoomShift = 16
	LentTaken     = 1 << 63
)

// Parts of Lent.Pos.
const (
	LentPos    = 1 << 63
	LentShift  = 47
	LentKind   = 44
	LentOffset = 1<<LentKind - 1
	LentCounts = 1 << (63 - LentShift)
)

// Of LentIsOffset: the offset, and whether the open file is one that does not wait (O_NONBLOCK),
// which is the library's to change with it.
const (
	LentAt       = 1<<43 - 1
	LentNonblock = 1 << 43
)

// BindHeader.Open of a descriptor: it is open; which flags the open file has, as the personality
// encodes them, but LentNonblock's (lower half), while Lent.Pos has the number that is here from
// LentOpenNo on.
const (
	LentOpen   = 1 << 63
	LentOpenNo = 32
)

// LentDir, in BindHeader.Open of a descriptor instead of these: it is a directory's; the rest is a number that no
// descriptor of the task has had before.
const LentDir = 1 << 62

// Parts of BindHeader.Close: the client may close the descriptor by changing CloseMay to Closed, and undo that as
// long as the server has not seen it (CloseSeen); a number that is another one for each open file that it may close so.
const (
	CloseMay  = 1 << 63
	Closed    = 1 << 62
	CloseSeen = 1 << 61
	CloseNos  = 1<<24 - 1
)

// Parts of what ActName answers an open(2): the descriptor; from OpenedPos on the number in Lent.Pos with which its
// offset was lent with it, from OpenedNo on that in BindHeader.Close.
const (
	OpenedFDs = 1<<8 - 1
	OpenedPos = 8
	OpenedNo  = 32
)

// What Lent.Pos has (from LentKind on): an offset, an event counter, one of which a read takes
// 1 (eventfd(2), EFD_SEMAPHORE), a pipe's end to read and to write.
const (
	LentIsOffset    = 0
	LentIsEvent     = 1
	LentIsSemaphore = 2
	LentIsReader    = 3
	LentIsWriter    = 4
	LentIsStream    = 5                           // an end of a stream (Stream...), of which each byte counts
	LentIsUnits     = 6                           // of one that is written to in units (StreamUnit)
	LentIsPipe      = 7                           // an end of a pipe between two tasks, which is a stream of one direction
	LentKinds       = 1<<(LentShift-LentKind) - 1 // mask

	LentRing = 8 // Pos of a pipe's end: from here on the ring's number
)

// Rings of pipes that are lent: where they are in the area, how many a task has, and their
// bytes.
const (
	LentRingOff  = 8192
	LentPipes    = 8
	LentRingSize = 16 << 10
)

// Epoll sets that are lent (LentSet): where their items are in the area, how many sets a task has, what
// the items of each take, and how many there are at most.
const (
	LentSetOff   = LentRingOff + LentPipes*LentRingSize
	LentSets     = 4
	LentSetSize  = 8 << 10
	LentSetItems = 256
)

// LentSet is an epoll set of which the library answers what is ready (docs/lending.md). The server
// makes the record and takes it back; the library changes Next, by an atomic exchange. A client
// that forges one deceives itself.
type LentSet struct {
	// Gen is odd while the set is lent, and another number each time that it was.
	Gen uint64
	// Next is the number in Items with which the next answer begins, and above it the lower half
	// of Gen: it means nothing with another one.
	Next uint64
	FD   int32  // the set's descriptor
	N    uint32 // how many items are listed
	// Streams is how many of them are streams.
	Streams uint32
	// Sleeps is how many threads sleep for Host, or are about to: counted by the library before it looks
	// whether Gen is still what it was. Client-written.
	Sleeps uint32
	// Host, if it is not 0, is the tag of the host's epoll set in which streams to the outside are watched (ActHostSet):
	// what is ready there is told, too. Wake is what that has of nothing that is watched: the server is to be asked.
	Host uint64
	Wake uint64
	// Ctl is how many items the library has changed since it was lent (lower half; 0 again when the
	// server's record has them), above it the lower bits of Gen, and SetTaken when it is not lent any more. An item that is
	// changed is first in Redo, at the lowest bit of that count, and counts when the exchange of Ctl says so; then it is
	// stored where it belongs. So whoever takes the set back knows all, at whatever point the library is.
	Ctl  uint64
	Redo [2]LentRedo
	// Index says where the item of a descriptor is in the list, one more than that; 0: nowhere.
	Index [LentFiles]uint16
}

// Parts of LentSet.Ctl.
const (
	SetTaken = 1 << 63
	SetGen   = 32
	SetGens  = 1<<31 - 1
)

// LentRedo is an item of a set as it is to be, and which one.
type LentRedo struct {
	Item LentItem
	At   uint32
	_    uint32
}

// LentItem is something that is ready in a set, or a stream that may be: what is told of it. A set has them in the order in
// which they are told, at LentSetOff in the area.
type LentItem struct {
	Data   uint64
	Events uint32
	// Of an end of a stream (Lent.Pos is Stream, otherwise 0) Events are what is asked for, and the words say
	// what is ready: to be written to with at most Room bytes on their way.
	Room   uint32
	Stream uint64
	FD     int32  // its descriptor
	Off    uint32 // 1: it was removed by the library
}

// Parts of Lent.Pos of a ring: RingClaim while a thread copies into it what it is about to
// add; how many bytes were ever read (from RingHead on, modulo RingHeads); how many are
// in it (below).
const (
	RingClaim = 1 << 46
	RingHead  = 15
	RingHeads = 1 << (46 - RingHead)
	RingUsed  = 1<<RingHead - 1
)

// Parts of Lent.Pos of an end of a stream (from bit 0 on): in which place its memory is mapped (of LentStreams);
// which of the two directions it writes to, it reads the other one; how large a ring is, as
// a power of two above StreamMinShift; the number of the loan; how many bytes may be in the ring that it
// writes to. No bit is free.
const (
	StreamSlots = 1<<6 - 1
	StreamSide  = 6
	StreamShift = 7
	StreamNo    = 11
	StreamCap   = 27
	StreamNow   = 43        // who would have to wait is told EAGAIN (O_NONBLOCK)
	StreamCaps  = 1<<16 - 1 // in units of 1<<StreamCapUnit

	StreamShifts = 1<<4 - 1
	// StreamIsHost in the place of the ring's size: the stream is one to the outside, and the task has the
	// host's socket of it, which came with the tag in its lower bits from StreamNo on (HostTags).
	StreamIsHost  = StreamShifts
	HostTags      = 1<<24 - 1
	StreamNos     = 1<<16 - 1
	StreamCapUnit = 4
)

// A stream's memory: a page with a word and a count of bytes for each direction, then the ring of
// each. The word, of which the lower half is a futex word: how many bytes are in the
// ring; whether its reader or its writer sleeps; whether it is lent, and for the how manyth
// time (the machine counts); from StreamHead on, how many bytes were ever taken out. The
// count is of those that were ever put in. Bit 23 of the word is free: who puts and who takes leave it
// as it is. The page is free from 2*StreamWordSize on. A pipe has the first direction only.
const (
	StreamUsed   = 1<<20 - 1
	StreamReader = 1 << 20
	StreamWriter = 1 << 21
	StreamLent   = 1 << 22
	StreamWordNo = 24
	StreamHead   = 40
	StreamHeads  = 1 << (64 - StreamHead)

	StreamWordSize = 128 // from one word to the other
	StreamPolled   = 8   // from a word to the uint32 that says who sleeps in an epoll set for it (StreamPoll...)
	StreamCount    = 64  // from a word to its count
	StreamFill     = 72  // of a pipe: to how far the last page of it is full,
	StreamClaim    = 80  // and whether its writer may be copying into the ring
	StreamRingOff  = PageSize
	StreamMinShift = 12
	StreamMaxShift = 19
	// StreamPollIn: whoever puts something into the direction is to tell the server (Changed);
	// StreamPollOut: whoever takes something out of it. He clears it first.
	StreamPollIn  = 1
	StreamPollOut = 2
	// StreamUnit is what the kernel of Linux takes at once of what is written to a stream between
	// AF_UNIX sockets: if not all of the memory is there, none of it.
	StreamUnit = 4096 - 320 + 32<<10
)

// States of a slot (Slot.State, a futex word).
//
//	Idle --client--> Request --server--> Reply --client--> Idle
//	                    |  ^
//	             server |  | client (restarted with Resumed)
//	                    v  |
//	                   More --client--> Resumed --server--> More | Reply
//
// More asks the client to carry out the actions (copy more data in or out, map)
// and to come back. A new incarnation of the server treats Request and Resumed
// alike: the call starts again from its first request, whose header and In area
// the client keeps unchanged until Reply (More may ask for data in, which goes
// to the In area behind what is there). Which part of the reply it was that the
// client has carried out, Part and Back say: what a server has committed and not
// published is published by its next incarnation, and nothing twice.
const (
	SlotIdle    = 0
	SlotRequest = 1
	SlotReply   = 2
	SlotMore    = 3
	SlotResumed = 4
)

// Kinds of message in a slot (Slot.Kind).
const (
	KindNone = 0
	// KindTrap is a system call of the guest: Nr, Args, Regs.
	KindTrap = 1
	// KindStart is the first message of a fresh task: the server answers with
	// the actions that build the program's address space. Args are the host's
	// [0] AT_SYSINFO_EHDR (vDSO), [1] AT_HWCAP, [2] AT_HWCAP2, [3]
	// AT_MINSIGSTKSZ, [4] AT_CLKTCK, and [5] the bytes that ActSaveFP stores.
	KindStart = 2
	// KindFault is an exception of the guest: Nr is the host's signal number,
	// Args[0] si_code, Args[1] fault address, Args[2] trap number, Args[3] error code.
	KindFault = 3
	// KindPoll is sent after a kick: the server may answer with the actions
	// that enter a signal handler, or with none, or hold the answer (stopped).
	// Args[0] is one of Poll....
	KindPoll = 4
	// KindThread is the first message of a new thread; Args[0] is the token
	// that the server gave in ActThread.
	KindThread = 5
	// KindFork is the first message of a forked task; Args[0] is the token
	// that the server gave in ActFork.
	KindFork = 6
	// KindService is a call from one server to another: Nr is the operation,
	// In holds the encoded request, Out the encoded reply.
	KindService = 16
)

// Why a KindPoll is sent (its Args[0]).
const (
	// PollKick: a kick came in guest code.
	PollKick = 0
	// Args[1] of PollKick and PollCut: which signals of the host's clocks came
	// with it or instead of it.
	PollXCPU   = 1 // the limit of processor time; again each second
	PollVTAlrm = 2 // ActTimer's timer 1
	PollProf   = 4 // and 2
	// PollCut: a kick cut a call that the library was serving, number Nr.
	// The reply is that call's: ActAgain goes on with it.
	PollCut = 1
	// PollFailed: an action of the last reply failed, Args[1] is its errno, Args[2]
	// its place in the list, Nr the Kind of the message. The actions before it took
	// effect. Sent for ReplyMust (Args[3] is not 0), and for messages that are no calls.
	PollFailed = 2
	// PollShort: an ActCount of the last reply failed: of all of these together
	// Args[1] bytes did not arrive. Args[2] is the reply's result, Nr the call's
	// number. The reply is that call's.
	PollShort = 3
)

// Regs is the general state of a guest thread, in the order of the Linux
// x86-64 sigcontext (asm/sigcontext.h), so that it is copied in one move.
type Regs struct {
	R8, R9, R10, R11, R12, R13, R14, R15 uint64
	DI, SI, BP, BX, DX, AX, CX, SP       uint64
	IP, Flags                            uint64
	CsGsFs                               uint64
	Err, TrapNo, OldMask, CR2            uint64
	FSBase                               uint64
}

// Extent describes bytes in the In area: argument Arg of the call, copied from
// the guest. Fault is 1 when the guest's memory ended before Len was reached
// (or before a string's NUL): then Len is what could be copied.
type Extent struct {
	Arg   uint8
	Fault uint8
	_     uint16
	Len   uint32
	Off   uint32 // from the start of the slot
}

// Action is one step that the library carries out in the task after a reply.
type Action struct {
	Op    uint32
	Flags uint32
	A     [5]uint64
}

// Action flags.
const (
	// ActResult: the step's own result becomes the result of the call.
	ActResult = 1
	// ActIgnore: a failure of this step is ignored.
	ActIgnore = 2
	// ActCount: of ActCopyOut, whose bytes the result counts. Its failure is not
	// the call's result; it is told to the server by a KindPoll (PollShort).
	ActCount = 4
	// ActPatch: of ActMapObject. The text that is mapped may be patched where it
	// makes system calls (docs/patching.md).
	ActPatch = 8
	// ActHostSet: of ActLend and ActUnlend. What was granted with tag Flags>>8 is the host's epoll set for the task's
	// A[0]-th LentSet.
	ActHostSet = 8
	// ActStream: of ActLend and ActUnlend. What is mapped is a stream's memory, to read and to write, in
	// place A[0] of LentStreams.
	ActStream = 16
	// ActWritable: of ActLend. The file is mapped to be written to as well.
	ActWritable = 32
	// ActHost: of ActLend. What was granted with tag Flags>>8, if A[1] is not 0, is the host's socket of
	// descriptor A[0], which the task keeps.
	ActHost = 64
	// ActChild: behind an ActFork whose A[3] is 1. The child carries it out, and not the parent.
	ActChild = 128
)

// MaxChildActs is how many actions a reply may have for a child.
const MaxChildActs = 12

// Actions. A failing step (unless ActIgnore) ends the list; its negative errno
// becomes the call's result (Slot.Err says in which form it is returned).
const (
	ActNone = 0
	// ActCopyOut: copy A[2] bytes from slot offset A[1] to guest address A[0];
	// the number of bytes copied before a fault is stored in the action's A[3].
	ActCopyOut = 1
	// ActCopyIn: copy A[2] bytes from guest address A[0] to slot offset A[1];
	// the number of bytes copied before a fault is stored in the action's A[3].
	ActCopyIn = 2
	// ActCopyStr: as ActCopyIn, but stops after a NUL; A[3] is the length
	// without it, A[4] is 1 when a NUL was found, 0 when A[2] ran out or a
	// fault ended it (A[4] = 2 then).
	ActCopyStr = 3
	// ActMapAnon: map A[1] bytes of private zero memory at A[0] with
	// protection A[2] and host mmap flags A[3].
	ActMapAnon = 4
	// ActMapObject: map A[1] bytes at A[0], protection A[2], flags A[3], from
	// offset A[4] of the object that was granted with tag Flags>>8.
	ActMapObject = 5
	// ActUnmap: unmap A[1] bytes at A[0].
	ActUnmap = 6
	// ActProtect: protection A[2] for A[1] bytes at A[0].
	ActProtect = 7
	// ActZero: store A[1] zero bytes at A[0].
	ActZero = 8
	// ActRegs: load the general registers from the Regs at slot offset A[0];
	// the result of the call does not touch them afterwards. FS base is set
	// too when A[1] is 1.
	ActRegs = 9
	// ActSaveFP: store the thread's vector state (the host's XSAVE frame,
	// with the software-reserved bytes of the signal ABI) at guest address
	// A[0], at most A[1] bytes.
	ActSaveFP = 10
	// ActLoadFP: load the vector state from guest address A[0] (a frame that
	// ActSaveFP stored and the guest may have changed); A[0] = 0 loads the
	// state of a fresh program.
	ActLoadFP = 11
	// ActSetFS: set the thread pointer to A[0].
	ActSetFS = 12
	// ActFork: fork the task; the child speaks on the channel that was
	// granted with tag A[0] and sends KindFork with token A[1]. A[2] is the
	// child's stack pointer, 0 to keep it. With A[3] 1 it sends nothing, but carries out
	// the actions that have ActChild, and goes on. Result: 0 in the child; the result
	// of the call in the parent.
	ActFork = 13
	// ActThread: start a thread on slot A[0], token A[1], stack pointer A[2],
	// thread pointer A[3] (used when bit 0 of A[4] is 1); the upper half of A[4] is
	// the thread's id, 0 if it is not told. All other registers are the caller's, AX
	// is 0. Bit 1: it has nothing to ask when it begins, unless ThreadsAsk is told; else it sends KindThread.
	ActThread = 14
	// ActExitThread: end this thread. (The task's first host thread only
	// parks: the host would show a task without its leader as dead.)
	ActExitThread = 15
	// ActExitTask: end the task.
	ActExitTask = 16
	// ActTask: store A[1] in field A[0] of the task block (TaskField...).
	ActTask = 17
	// ActDropGrant: close the object granted with tag A[0].
	ActDropGrant = 18
	// ActFutexWake: wake A[1] waiters on the word at guest address A[0].
	ActFutexWake = 19
	// ActAgain: run the call again from the start when the actions are done; of a write A[0] bytes are
	// written
	// (used after a signal handler was not entered but the call was cut).
	ActAgain = 20
	// ActStore32: store the low half of A[1] at guest address A[0].
	ActStore32 = 21
	// ActThreadWord: store A[1] in field A[0] of this thread's control block
	// (ThreadField...).
	ActThreadWord = 22
	// ActTimer: the host's interval timer A[0] of the task (1 its own processor
	// time, 2 with the system's): get it to guest address A[1] if A[3] has bit 0, else
	// set it from A[1], and the old one to A[2] (0: not wanted). If A[3] has bit 1, A[1]
	// is an offset in the slot. Its signals come as KindPoll.
	ActTimer = 23
	// ActPorts: take the ports channel (PortsTag) if the task has none yet; A[0] is the
	// name of its first right, and the result.
	ActPorts = 24
	// ActLend: the file of descriptor A[0] (lower half; from LentFiles on: a ring; upper half: Lent.Slot) is lent. With
	// A[1] its first A[1] bytes are mapped there first, of the object that was granted with
	// tag Flags>>8, unless Lent.Gen is not A[2] any more: then the place may be another
	// mapping's. Lent.Gen becomes odd if it is A[2] and what is mapped there is what came with
	// that tag (A[2] 0: only the offset is lent); Lent.Pos becomes A[4] if it is A[3]. It does
	// not fail: what could not be mapped is not lent.
	ActLend = 25
	// ActUnlend: the mapping of slot A[0], or with ActStream of that place of a stream, goes, if it is what
	// came with tag A[1]; with ActHost the host's socket of descriptor A[0], with ActHostSet the host's epoll set of
	// the A[0]-th LentSet.
	ActUnlend = 26
	// ActKeep: the A[2] bytes at slot offset A[1] (at most LentStat) are the attributes of
	// descriptor A[0]'s file, if Lent.Stat is A[3], which becomes odd. It does not fail.
	ActKeep = 27
	// ActName: the answer to this call about a name is A[2], a result or a negative errno, with
	// the A[4] bytes (at most NameData) at slot offset A[3] at the guest's address. It holds
	// while ToldNames is A[0] and, unless A[1] is 0, ToldAttrs is A[1]. It does not fail.
	ActName = 28
	// ActMayClose: BindHeader.Close of descriptor A[0] becomes A[2] if it is A[1]. It does not fail.
	ActMayClose = 40
	// ActNames: answers about A[2] other names in the directory of the call's (at most NearMost), each 0
	// with NameData bytes, are NearSize bytes each from slot offset A[3] on: how long the name
	// is (8 bytes), the name (NearName) and those. They hold while ToldNames is A[0] and ToldAttrs
	// A[1]. It does not fail.
	ActNames = 36
	// ActForesee: answers about A[1] other names, at most ForeseeMost, are ForeseeSize bytes each from slot offset
	// A[2] on: the number of the call and the two arguments that the answer depends on, as the client knows
	// them, its result, ToldAttrs if it depends on attributes, else 0, how long the path is and what is stored at
	// the guest's address (8 bytes each); the path (NameMax), and that (NameData). They hold while ToldNames is
	// A[0] and as ActName's. It does not fail.
	ActForesee = 41
)

// Slot is the fixed part of a slot. The client writes everything above Result
// and the server everything from Result on, State apart.
type Slot struct {
	State  uint32
	Waiter uint32 // 1 while the client sleeps on State
	Seq    uint64 // counts the client's calls on this slot, from 1
	Kind   uint32
	Flags  uint32 // with Resumed: the errno of the action that failed, 0 if none
	Nr     uint64
	Args   [8]uint64
	HostID uint64 // the thread's host id in the machine's pid namespace
	NIn    uint32
	InLen  uint32 // bytes used in the In area
	In     [6]Extent
	Regs   Regs
	Back   uint32 // with Resumed: the Part that was carried out
	// Late are the calls that the library has served since the last request and that the server
	// hears of with this one (Late...), before it is served. The words are what they said.
	Late       uint32
	Done       uint32 // of a write: so many of its bytes the library has written already
	EndCode    uint32 // with Ended: what the thread has ended with (exit(2))
	Cancel     uint32 // the low half of a Seq: whoever made that call waits for its answer no more
	_          uint32
	LateRobust uint64
	LateTid    uint64
	LateMask   uint64
	// Begun is the token of the thread that works on the slot, once it has begun without asking (ActThread);
	// HostID is its by then. Ended is it once the thread has ended without asking (BindHeader.Ends).
	Begun uint64
	Ended uint64

	Result  uint64
	Err     uint32 // neutral errno, 0 on success
	NAct    uint32
	OutLen  uint32
	RFlags  uint32
	DoneSeq uint64 // Seq that this reply answers
	Part    uint32 // with More: counts the call's, upwards, not always by one
	Order   uint32 // counts the server's answers on the binding, whose client is no guest
	Acts    [MaxActions]Action
}

// Bits of Slot.Late.
const (
	// LateIsRobust: LateRobust is the head of the thread's list of locks. Who ends a thread that
	// runs looks for this bit, having stored ToldEnding: one of both sees the other.
	LateIsRobust = 1
	// LateIsTid: LateTid is where zero is stored when the thread ends, if others are there.
	LateIsTid = 2
	// LateIsMask: LateMask are the signals that the thread blocks since. Who makes one pending for a
	// thread of the task has stored 0 in ToldQuiet when it looks for this bit, and the library looks
	// there when it has stored both: one of both sees the other.
	LateIsMask = 4
)

// MaxActions is how many actions one reply holds.
const MaxActions = 40

// Reply flags (Slot.RFlags).
const (
	// ReplyKeepRegs: do not store the result in the guest's registers
	// (ActRegs set them, or the thread ends).
	ReplyKeepRegs = 1
	// ReplyErrRaw: Result already holds what the guest is to see; the library
	// stores it without looking at Err.
	ReplyErrRaw = 2
	// ReplyCarry: Err and the carry flag follow the BSD convention.
	ReplyCarry = 4
	// ReplyMust: a failing action is not the result of the call; it is told to
	// the server by a KindPoll with Args[0] = PollFailed. For signal frames.
	ReplyMust = 8
	// ReplyMinus: an error is -1 in AX; which one the program asks by another call.
	ReplyMinus = 16
)

// Pre says how the library copies an argument in before it sends the call.
type Pre struct {
	Kind uint8
	Arg  uint8  // the argument that holds the address
	Size uint16 // PreFixed: bytes; PreBuf: the argument that holds the length; PreIov: the argument that holds the count
}

// Kinds of Pre.
const (
	PreNone  = 0
	PreStr   = 1 // a NUL-terminated string of at most 4096 bytes
	PreBuf   = 2 // as many bytes as another argument says, at most half of what is left
	PreFixed = 3 // a structure of a fixed size
	PreIov   = 4 // an iovec array and then the bytes it names, gathered
	PreIovRO = 5 // an iovec array only
	// PreStrs: an array of addresses that ends with 0, and of what is at them only the
	// strings, one behind the other, each with its NUL. Where they are not all there, or are more
	// than PreStrsMax bytes, nothing, and Extent.Fault. No array is one without strings.
	PreStrs = 6
)

// PreStrsMax is how many bytes of strings one array may bring along. The server fetches others
// itself, for which it needs room in the In area.
const PreStrsMax = 32 << 10

// CallDesc tells the library what to do with one system call number. It is
// data that the personality supplies; the library knows no personality.
type CallDesc struct {
	Local uint8 // Local...: served in the task when it can be
	Flags uint8 // Call...
	// Name, of LocalName, has a half-byte each for the argument at whose address the answer is
	// stored and two others that it depends on, from the lowest one on: 0 for none, else one more
	// than its place.
	Name uint16
	Pre  [3]Pre
}

// Digits is how many small numbers CallDesc.Digit knows, NoDigit what it answers for one
// that the library is not to serve.
const (
	Digits  = 22
	NoDigit = 15
)

// Digit answers what the descriptor says of the small number i (LocalClocks,
// LocalAdvice): a half-byte for each, in the bytes of Pre behind the first one.
func (d *CallDesc) Digit(i uint64) uint8 {
	if i >= Digits {
		return NoDigit
	}
	p := &d.Pre[(i/2+1)/4]
	b := p.Kind
	if n := (i/2 + 1) % 4; n == 1 {
		b = p.Arg
	} else if n != 0 {
		b = uint8(p.Size >> (8 * (n - 2)))
	}
	return b >> (4 * (i % 2)) & 15
}

// SetDigit has Digit answer v for i.
func (d *CallDesc) SetDigit(i uint64, v uint8) {
	p := &d.Pre[(i/2+1)/4]
	v16 := uint16(v&15) << (4 * (i % 2))
	mask := uint16(15) << (4 * (i % 2))
	switch n := (i/2 + 1) % 4; n {
	case 0:
		p.Kind = p.Kind&^uint8(mask) | uint8(v16)
	case 1:
		p.Arg = p.Arg&^uint8(mask) | uint8(v16)
	default:
		p.Size = p.Size&^(mask<<(8*(n-2))) | v16<<(8*(n-2))
	}
}

// CallFS, of CallDesc.Flags: the server must know the thread pointer (Regs.FSBase). Without
// it that is 0 for calls where reading it would take a host call.
const CallFS = 1

// CallRobust, of CallDesc.Flags: with the call comes, as its argument RobustArg, the word
// ThreadRobust and the RobustSize bytes at that address of the guest's, if it is not 0.
const CallRobust = 2

// What CallRobust sends along: the head of the list of locks that a thread holds
// (linux/futex.h, struct robust_list_head).
const (
	RobustArg  = 8
	RobustSize = 24
)

// CallTableSize is the number of descriptors of one personality.
const CallTableSize = 768

// Calls the library can serve itself (CallDesc.Local). Those that take host
// constants are for personalities whose constants are the host's.
const (
	LocalNone       = 0
	LocalMmap       = 1 // anonymous only; the rest goes to the server
	LocalMunmap     = 2
	LocalMprotect   = 3
	LocalMadvise    = 4
	LocalMremap     = 5
	LocalBrk        = 6
	LocalFutex      = 7
	LocalYield      = 8
	LocalWord       = 9 // answers the word Pre[0].Arg of the task block
	LocalArchPrctl  = 10
	LocalClock      = 11
	LocalTid        = 12 // answers the thread's own id
	LocalMembarrier = 13
	LocalGetcpu     = 14
	LocalMincore    = 15
	LocalMsync      = 16
	LocalMlock      = 17 // checks the range, locks nothing
	LocalTold       = 18 // answers BindHeader.Told[Pre[0].Arg] when it is known
	LocalPortOpen   = 19 // answers TaskPorts when it is known
	LocalPortSend   = 20
	LocalPortRecv   = 21
	LocalPortMap    = 22
	LocalPortPaged  = 35
	LocalPortFaults = 36
	LocalInherit    = 37
	LocalClocks     = 23 // LocalClock with clock ids that CallDesc.Digit turns into the host's
	LocalAdvice     = 24 // LocalMadvise with advice that CallDesc.Digit turns into the host's
	LocalUmtx       = 25 // _umtx_op(2): waits on and wakes of a word
	LocalPark       = 26 // ____lwp_park60(2)
	LocalUnpark     = 27 // _lwp_unpark(2), of a thread that has begun
	LocalSleepWord  = 28 // umtx_sleep(2)
	LocalWakeWord   = 29 // umtx_wakeup(2)
	// Semaphores that are words of memory, shared by those who have it mapped: take one
	// (argument 1: wait for it), take one within so many milliseconds, give so many.
	LocalSemAcquire = 32
	LocalSemTimed   = 33
	LocalSemRelease = 34
	// What is lent: read(2), pread(2), lseek(2) from the start or from where it is.
	LocalRead  = 38
	LocalPread = 39
	LocalSeek  = 40
	// Attributes that were kept: of a descriptor (fstat), or of one with an empty name and
	// the flag for that (fstatat with AT_EMPTY_PATH).
	LocalStat   = 41
	LocalStatAt = 42 // a name otherwise: as LocalName
	// What is lent and written to: write(2).
	LocalWrite = 43
	// Calls that the server hears of with the next one (Slot.Late): set_tid_address(2),
	// set_robust_list(2).
	LocalSetTid    = 44
	LocalSetRobust = 45
	LocalRandom    = 46 // getrandom(2) of few bytes
	LocalNosys     = 47 // answers that there is no such call
	LocalLimit     = 48 // prlimit(2) that asks for LimitStack of the caller: answers ToldStack when it is known
	// An answer about a name that was kept (ActName): of the name that is Pre[0]'s, from
	// the current directory if it is argument 1 and argument 0 is the host's AT_FDCWD.
	LocalName = 49
	// Sleeps between LocalSleepMin and LocalSleepMax: nanosleep(2), whose arguments are a struct
	// timespec and where what is left goes, and clock_nanosleep(2) with the host's clocks and flags.
	LocalNanosleep  = 50
	LocalClockSleep = 51
	// What is ready in a set that is lent: epoll_wait(2), and epoll_pwait(2) without a mask.
	LocalEpoll     = 56
	LocalEpollMask = 57
	// Of a file by an offset that is lent: ioctl(2) that asks for a terminal's settings, fcntl(2) with
	// F_GETFL, or F_SETFL that changes O_NONBLOCK at most, where BindHeader.Open has the flags;
	// epoll_ctl(2) that adds it, or changes an item of a set that is lent.
	LocalIoctl    = 58
	LocalFcntl    = 59
	LocalEpollCtl = 62
	// close(2) of a descriptor that may be closed without asking (BindHeader.Close).
	LocalClose = 63
	// open(2) of a name that was opened before by a descriptor that is closed, and not seen to be (ActName).
	LocalOpen = 67
	// pwrite(2) to what is lent.
	LocalPwrite = 52
	// Signals: rt_sigprocmask(2), of a thread whose ThreadMask is known, while ToldQuiet; rt_sigaction(2)
	// that only asks, for a signal in ToldDefault.
	LocalSigMask   = 60
	LocalSigAction = 61
	// What is lent: recvfrom(2) and sendto(2), without an address, and writev(2), of a stream.
	LocalRecv   = 64
	LocalSend   = 65
	LocalWritev = 66
	// exit(2) of a thread, while ThreadsEnd is told.
	LocalExit = 72
)

// The shortest and the longest sleep, in nanoseconds, that the library serves. Who sleeps
// longer is known to the server as a sleeper. The monitor of Go's runtime sleeps for 20 us, again
// and again while a call takes long: by the host's clock it would come so often that it has a
// fifth of the processor; the server answers it when there is time.
const (
	LocalSleepMin = 100e3
	LocalSleepMax = 10e6
)

// LimitStack is the limit that LocalLimit knows of.
const LimitStack = 3

// Words of BindHeader.Told.
const (
	ToldPpid = 0
	ToldPgid = 1
	// ToldStack is the soft limit of the stack, while there is no hard one.
	ToldStack = 2
	// ToldEnding is not 0 once the process is to end.
	ToldEnding = 3
	// ToldNames and ToldAttrs: with which numbers answers about names hold that the library
	// has kept (ActName); never again the same number in a machine.
	ToldNames = 4
	ToldAttrs = 5
	// ToldQuiet is not 0 while no signal is pending for any thread of the task.
	ToldQuiet = 10
	// ToldDefault is the set of the signals whose actions are as if none was ever set (bit 0 is
	// signal 1's); it is not one more than that. SIGKILL is never in it.
	ToldDefault = 11
	// ToldLowest: of the descriptors below it none is free, but those that the library has closed by itself; told
	// to processes of one thread.
	ToldLowest = 12
	// ToldThreads is what threads may do without asking (Threads...).
	ToldThreads = 13
	ToldWords   = 15
)

// Bits of ToldThreads.
const (
	// ThreadsAsk: who begins asks, though it need not: something waits for it. A thread looks for this bit when
	// it has stored Begun; who wants something of it stores the bit and looks there then: one of both sees the other.
	ThreadsAsk = 1
	// ThreadsEnd: a thread may end without asking. Never told while the process may have no other one then.
	ThreadsEnd = 2
)

// Limits of the answers about names that the library keeps: bytes of a name, with its
// NUL, and of what was stored at the guest's address.
const (
	NameMax  = 128
	NameData = 144
)

// WantName, in Slot.Flags of a KindTrap: the answer about a name may be kept, as it was
// asked for before.
const WantName = 1

// WantNear, likewise: answers about other names in the same directory may come along (ActNames).
const WantNear = 2

// Limits of these: how many, bytes of a name, and of each.
const (
	NearMost = 32
	NearName = 64
	NearSize = 8 + NearName + NameData
)

// Limits of answers that come along since the program mostly asks for them (ActForesee): how many, and bytes of each.
const (
	ForeseeMost = 32
	ForeseeHead = 7 * 8
	ForeseeSize = ForeseeHead + NameMax + NameData
)

// Words of the task block that ActTask sets and LocalWord reads.
const (
	TaskPid      = 0
	TaskPpid     = 1
	TaskUid      = 2
	TaskEuid     = 3
	TaskGid      = 4
	TaskEgid     = 5
	TaskBrkStart = 6
	TaskBrk      = 7
	TaskTable    = 8 // which call table (personality)
	TaskPgid     = 9
	// Limits, 0 for none, that the library has the host keep: bytes of the guest's
	// address space, bytes of brk(2) (which the library keeps), bytes of private
	// writable memory, seconds of processor time of this task.
	TaskASLimit   = 10
	TaskBrkLimit  = 11
	TaskDataLimit = 12
	TaskCPULimit  = 13
	// TaskPorts is the name that GuestOpen answers, 0 without a ports channel. The
	// library sets it.
	TaskPorts = 14
	TaskWords = 16
)

// MaskKnown, in ThreadMask, is the bit of SIGKILL, which no thread blocks; MaskNever those of the
// signals of which that is so.
const (
	MaskKnown = 1 << 8
	MaskNever = 1<<8 | 1<<18
)

// Words of the thread control block that ActThreadWord sets.
const (
	ThreadTid = 0
	// ThreadPid follows TaskPid as the thread was told it: a vfork child has one thread
	// of its parent's task, whose others go on.
	ThreadPid = 1
	// ThreadRobust is the address that CallRobust is about, 0: none. Only what is sent along
	// depends on it: the server looks whether it is the one that it knows.
	ThreadRobust = 2
	// ThreadMask are the signals that the thread blocks, with MaskKnown; 0: the library has to ask.
	ThreadMask = 3
	// ThreadVfork is not 0 in a vfork child: what its task was lent is its parent's.
	ThreadVfork = 4
	// ThreadClear is where zero is stored when the thread ends, 0: nowhere. ThreadNextClear is that of the thread
	// that this one makes next.
	ThreadClear     = 5
	ThreadNextClear = 6
	ThreadWords     = 7
)
