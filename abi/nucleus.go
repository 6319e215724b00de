package abi

// The wire protocol between a task and the nucleus: datagrams on the task's
// control channel (an AF_UNIX SOCK_SEQPACKET socket on the Linux host), each a
// CallHeader followed by inline bytes. Host descriptors travel beside it, one
// for each memory object or doorbell. All integers are little-endian.

// CallHeader opens every datagram in both directions.
type CallHeader struct {
	Op   uint32 // Call... or Event...
	NFds uint32 // descriptors beside the datagram
	ID   uint64 // chosen by the caller, echoed in the reply
	Err  uint32 // replies: an Errno
	Len  uint32 // inline bytes that follow
	A    [6]uint64
}

// CallHeaderSize is the wire size of CallHeader.
const CallHeaderSize = 72

// Limits of one message.
const (
	MaxInline  = 32 << 10 // inline bytes of a message
	MaxRights  = 32       // rights in a message
	MaxObjects = 16       // memory objects (descriptors) in a message
	MaxLabel   = 256      // bytes of a durable label
	MaxCPUs    = 1024     // numbers of processors in a set
	MaxLogLine = 4096     // bytes of a line of the machine's log: more is cut
)

// Name is a task's own name for a right, as Mach's mach_port_name_t.
type Name uint32

// Reserved names.
const (
	NameNull Name = 0
	NameDead Name = 0xffffffff
)

// Kinds of right.
const (
	RightSend     = 1
	RightReceive  = 2
	RightSendOnce = 3
	RightSet      = 4
	RightDead     = 5
	RightObject   = 6 // a memory object
	RightTask     = 7 // a task's kernel port, held as a send right
	RightAlarm    = 8 // EventInherit: no right, but an alarm that was set
	RightCPUs     = 9 // a processor set, held as a send right
)

// Dispositions of a right in a message (Mach's mach_msg_type_name_t).
const (
	MoveReceive  = 1
	MoveSend     = 2
	MoveSendOnce = 3
	CopySend     = 4
	MakeSend     = 5
	MakeSendOnce = 6
)

// How a memory object is made.
const (
	// ObjectShrinks: its holders can make it shorter, so that an access behind
	// its end is a fault wherever it is mapped. For files of guests; no server
	// maps one.
	ObjectShrinks = 1
	// ObjectPaged: its pages are supplied by who receives on a port
	// (docs/decisions/0011).
	ObjectPaged = 2
	// ObjectPlaced: it has an address that no other object of the machine has, at which
	// whoever maps it can, so that pointers in it are right for all: see PlacedBase.
	ObjectPlaced = 4
)

// PlacedBase and PlacedEnd bound the addresses of objects with ObjectPlaced. In no task's
// address space is there anything else, but for what a program maps there itself, at an
// address that it insists on.
const (
	PlacedBase = 0x4000_0000_0000
	PlacedEnd  = 0x5000_0000_0000
)

// What a pager does to pages of its object (CallObjectPages).
const (
	PagesSupply      = 1 // they are there: it has stored them by the descriptor
	PagesUnavailable = 2 // they are zeros
	PagesError       = 3 // to touch them is a fault
	PagesLock        = 4 // no mapping writes them from now on
	PagesFlush       = 5 // what was locked is not there any more, and not locked
	PagesUnlock      = 6
)

// Scheduling classes (CallThreadPolicy). The numbers in comments are Linux's SCHED_...
const (
	ClassNormal   = 1 // shares, by nice value (OTHER)
	ClassBatch    = 2 // the same, for who computes (BATCH)
	ClassIdle     = 3 // what nobody else wants (IDLE)
	ClassFixed    = 4 // before all of lower fixed priority, until it waits (FIFO)
	ClassRound    = 5 // the same, in turn with its equals (RR)
	ClassDeadline = 6 // so much in each period (DEADLINE)
)

// MsgPageRequest is the ID of a message by which the nucleus asks a pager for pages. Its
// body are four times eight bytes: the pager's own word for the object, offset, length,
// and 1 if they are to be written.
const MsgPageRequest = 80

// MsgAlarm is the ID of an alarm's message (CallAlarmSet). Its body are three times eight
// bytes: the word that was given, the time, and the time at which it was sent.
const MsgAlarm = 81

// MsgPageTerminate is the ID of the message that tells a pager that nobody but itself has
// its object any more. Its body is twice eight bytes: its own word for the object, and 1 if
// the object is gone, because the pager had given up its own right.
const MsgPageTerminate = 91

// Whether a pager is told that nobody else has its object (CallPagerAttrs).
const (
	PagesTell = 1 // MsgPageTerminate
	PagesKeep = 2 // no: the pages stay as they are for who maps it next
)

// Calls of the nucleus. The list is exhaustive; a new one needs a record in
// docs/decisions that says why it cannot live outside.
const (
	CallPortAllocate   = 1  // A0 kind (RightReceive or RightSet), A1 the reply right of a request that was lent for (it pays for the port) or NameNull, A2 the name that it is to have, or NameNull -> A0 name
	CallPortDeallocate = 2  // A0 name: drops one user reference
	CallPortModRefs    = 3  // A0 name, A1 right, A2 delta (int64)
	CallPortMakeSend   = 4  // A0 receive name -> one more send right under the same name
	CallPortLabel      = 5  // A0 receive name, inline = durable label
	CallPortSetMember  = 6  // A0 receive name, A1 set name or NameNull
	CallPortLimit      = 7  // A0 receive name, A1 queue limit
	CallPortStatus     = 8  // A0 name -> A0 rights mask, A1 queued, A2 limit, A3 seqno, A4 make-send count, A5 send-refs; receive: inline PortStatus; set: A1 members, inline their names (the first 8192, 4 bytes each); object: A1 bytes, A2 address (ObjectPlaced)
	CallPortNotify     = 9  // A0 name, A1 Notify..., A2 send-once name to notify (NameNull cancels), A3 see MsgNotify
	CallPortRename     = 10 // A0 old, A1 new
	CallMsgSend        = 11 // inline = Msg; A0 timeout in ns (0 = never waits, ^0 = for ever); A1 name to receive from then, in the same call, or NameNull, A2 that timeout, A3 SendAlone or 0, A4 bytes of the sender's budget that the receiver may spend until it answers -> as CallMsgReceive; A3 1 when an error is the receive's
	CallMsgReceive     = 12 // A0 receive or set name, A1 timeout in ns -> A0 port, A1 1 = taken before, A2 incarnations that died with it, A4 number of the task that pays for it; inline = Msg, fds of its objects
	CallObjectCreate   = 13 // A0 size in bytes, A1 Object..., A2 as A1 of CallPortAllocate; ObjectPaged: A3 the pager's receive right, A4 its word for the object; A5 as A2 of CallPortAllocate; inline = durable label -> A0 name, 1 fd
	CallObjectImport   = 14 // 1 fd: a host file becomes a memory object; inline = durable label -> A0 name, A1 its size now
	CallObjectFD       = 15 // A0 name, A1 1 = read-only -> A1 bytes, A2 address (ObjectPlaced), 1 fd
	CallObjectGrant    = 16 // A0 binding id, A1 object name, A2 1 = read-only, A3 tag: the peer of the binding gets EventGrant
	CallBind           = 17 // A0 send name of a service port, A1 slots, inline = label (told to the receiver) -> A0 binding id, 3 fds: area, doorbell to the server, doorbell to the client
	CallUnbind         = 18 // A0 binding id
	CallTaskCreate     = 19 // A0 parent task name (fork) or NameNull (fresh), A1 slots, A2 tag (fork: the parent gets EventChannel with it) -> A0 task name, A1 binding id, 2 fds: area, doorbell
	CallTaskTerminate  = 20 // A0 task name
	CallThreadKick     = 21 // A0 task name, A1 host thread id (as in Slot.HostID), 0: its first thread, as soon as the task has begun
	CallTaskInfo       = 22 // A0 task name, A1 0 or a host thread id -> A0 host pid, A1 resident bytes, A2 user ns, A3 system ns, A4 processor ns (of the thread if there is one); inline = command for debuggers
	CallTaskMemory     = 23 // A0 task name, A1 address, A2 length -> inline bytes (holders of the task's memory right only)
	CallReady          = 24 // a server has recovered and serves
	CallLog            = 25 // inline = one line for the machine's log; A0 level
	CallBatch          = 50 // A0 BatchStop or 0, A1 the ID of the first call, the next has one more; inline = BatchCalls -> A0 how many were carried out, A1 how many of them failed; inline BatchResults
	CallSupervise      = 26 // supervisor's own: inline JSON -> inline JSON
	CallMsgCancel      = 29 // A0 id of a call of this task that waits: it answers ECANCELED, a message that waits for room comes back with it as with ETIMEDOUT
	CallHello          = 28 // a guest task's first datagram; its sender's host credentials tell the nucleus its pid. A0 its host thread id. No reply but, where a forked one shares memory of paged objects with its parent (inline = HelloRanges), EventWatched
	CallTaskOpen       = 30 // A0 task name, A1 send name: the task may make calls (docs/decisions/0007), and holds this right -> A0 the task's name for it, A1 1 if it could already. The task gets EventGrant with PortsTag, once
	CallTaskStore      = 31 // A0 task name, A1 address, inline = bytes -> A0 how many were stored (as CallTaskMemory)
	CallObjectWatch    = 32 // A0 name of a paged object, A1 address, A2 offset, A3 length, 1 fd: the task has mapped it there, and the descriptor is a new userfaultfd of its address space; a guest has no descriptor beside the call, and in A4 what GuestFaults answers
	CallObjectUnwatch  = 33 // A0 address: it is not mapped there any more
	CallObjectPages    = 34 // A0 name, A1 Pages..., A2 offset, A3 length; inline: the bytes, or none if they were stored by the descriptor: of the pager
	CallPagerAttrs     = 35 // A0 name, A1 pages that are asked for at once, or 0: as it is, A2 PagesTell, PagesKeep, or 0: as it is -> A0, A1 what is so now: of the pager
	CallAlarmSet       = 40 // A0 a time of the host's monotonic clock in ns, A1 name, A2 a word, A3 the disposition by which the name makes a send or send-once right: at that time it gets MsgAlarm -> A0 the alarm's number, of this task
	CallAlarmCancel    = 41 // A0 an alarm's number -> A0 the name of its right, which comes back, A1 the disposition that moves it
	CallProcessorSet   = 42 // inline = processors, a bit for each, bytes in order -> A0 name of a send right to a set of them
	CallProcessorInfo  = 43 // A0 a set's name, or NameNull: the default set -> A0 how many processors are in it, A1 how many guest tasks, A2 classes that may be used, a bit 1<<Class... for each, A3 lowest nice value (signed), A4 highest fixed priority; inline = the processors
	CallTaskAssign     = 44 // A0 task name, A1 0 (all its threads, and those to come) or a host thread id, A2 a set's name, or NameNull: the default set, or NameDead: that in which it is; inline = of the set's processors those on which it is to run (empty: all)
	CallThreadPolicy   = 45 // A0 task name, A1 0 (all its threads, and those to come) or a host thread id, A2 Class..., A3 nice value (signed) or fixed priority, A4 1 = what it makes is of ClassNormal; inline, ClassDeadline only: runtime, deadline and period in ns
	CallTaskThreads    = 46 // A0 task name, A1 how many threads more it has (signed), or, with A2 = 1, how many it has: they are in its budget; A3 0 or the host thread id of the one that has ended -> A0 how many it has
	CallTaskMaps       = 27 // A0 task name, A1 where in the text to begin, A2 1 = with what each line takes -> A0 length of the text; inline: the host's map of the task's own part, from there on as far as it fits
)

// MaxBatch bounds the calls in a CallBatch.
const MaxBatch = 1024

// BatchStop: what comes after a call that failed is not carried out.
const BatchStop = 1

// BatchCall opens a call in a CallBatch. NArgs arguments follow, eight bytes each (the
// others are 0), then Len inline bytes.
type BatchCall struct {
	Op    uint16
	NArgs uint8
	_     uint8
	Len   uint32
}

// BatchResult is the answer to one call of a batch. EINPROGRESS: it waits, and is
// answered by itself.
type BatchResult struct {
	Err uint32
	_   uint32
	A0  uint64
}

// Wire sizes.
const (
	BatchCallSize   = 8
	BatchResultSize = 16
)

// GuestTask is the call number by which a guest asks for the right to a process
// (docs/decisions/0008): argument 0 is its number -> the name of a send right to the
// port that stands for it (idl/debug). It may be asked for before GuestOpen.
const GuestTask = 507

// PortsTag is the tag (A3) of the EventGrant whose descriptor is a guest task's ports
// channel. No object is granted with it.
const PortsTag = 1 << 40

// The call numbers by which a guest program of any personality whose numbers are
// Linux's reaches the nucleus. Arguments as in a system call; a negative errno fails.
const (
	// GuestOpen: the task has a ports channel from now on -> its name of a send right
	// to the machine's name server.
	GuestOpen = 508
	// GuestSend: arguments 0 and 1 are address and length of a datagram.
	GuestSend = 509
	// GuestReceive: arguments 0 and 1 are address and length of room for one -> its
	// length (the rest is lost), 0 when the nucleus is gone.
	GuestReceive = 510
	// GuestMap: argument 0 is the ID, with GuestKeep, of a call that was answered with a
	// descriptor. Argument 1 is an address or 0, 2 the length (0: the descriptor is
	// given up), 3 the protection, 4 MAP_SHARED or MAP_PRIVATE, with MAP_FIXED_NOREPLACE
	// where it must be at the address, 5 the offset -> the address. The descriptor is used
	// up.
	GuestMap = 511
	// GuestMapPaged: as GuestMap, shared, of a paged object: in place of the descriptor
	// there is one then, under the same ID, of a new userfaultfd of the task, for
	// CallObjectWatch, before which nobody may touch the memory.
	GuestMapPaged = 512
	// GuestFaults: argument 0 is that ID -> the number of the descriptor, and from
	// MappingShift on that of the mapping, for CallObjectWatch. GuestMap with length 0 gives
	// the descriptor up.
	GuestFaults = 513
	// GuestInherit: what a forked child has of memory that GuestMap has mapped shared (the
	// same memory, if nothing was said) or GuestMapPaged (nothing). Argument 0 is the
	// address, 1 the length, both of whole pages, 2 Inherit.... A paged object that is to be
	// shared must be watched when the task forks (CallObjectWatch).
	GuestInherit = 514
)

// MappingShift is where the number of a mapping begins in what GuestFaults answers: of a
// task's mappings of paged objects each has another one.
const MappingShift = 32

// What a forked child has of memory (GuestInherit), as Mach's vm_inherit_t.
const (
	InheritShare = 0 // the same memory
	InheritCopy  = 1 // memory of its own, with what was there at the fork: a copy is made
	InheritNone  = 2 // nothing at that address
)

// GuestKeep is a bit of a call's ID: the library of a guest keeps the descriptor that
// the answer brings, for GuestMap. All others it closes.
const GuestKeep = 1 << 63

// Events: datagrams that the nucleus sends unasked (ID is 0).
const (
	EventReply    = 64 // answer to a call
	EventBinding  = 65 // A0 binding id, A1 role (Role...), A2 slots, A3 port name (server: on which it was made; client: unused), A4 1 when redelivered; inline = label; fds as in CallBind (a guest task's binding: 2)
	EventUnbound  = 66 // A0 binding id: the peer is gone
	EventGrant    = 67 // A0 binding id, A1 object name (0 for guests), A3 tag; 1 fd
	EventChannel  = 68 // to a guest about to fork: A3 tag; 3 fds: control, area, doorbell
	EventDead     = 69 // A0 dead name (dead-name notification), A1 Notify...
	EventInherit  = 70 // to a new incarnation: A0 name, A1 Right...; inline = label; objects: 1 fd; alarms: A0 number, A2 word, A3 time
	EventGo       = 71 // to a new server: nothing more is inherited; inline = configuration (JSON); A0 incarnation, from 1
	EventStop     = 72 // finish what can be finished and end
	EventTaskDead = 73 // A0 task name: the task ended on the host
	EventMessage  = 74 // a message for a receive right with delivery on: A0 name; inline = Msg
	EventWatched  = 75 // to a guest task whose CallHello had HelloRanges: A0 a bit 1<<i for each that is not watched, of which it can have nothing
)

// HelloRange is memory of a paged object that a forked task has from its parent, and the
// number of a new userfaultfd of the task for it. The nucleus knows by the parent which
// object it is, and by the number of the mapping (MappingShift) which of the parent's at that
// place.
type HelloRange struct {
	Addr, Len uint64
	FD        uint32
	Mapping   uint32
}

// HelloRangeSize is its size, MaxHelloRanges how many there can be.
const (
	HelloRangeSize = 24
	MaxHelloRanges = 64
)

// Notifications (CallPortNotify, EventDead).
const (
	NotifyDeadName      = 1
	NotifyNoSenders     = 2
	NotifyPortDestroyed = 3
	NotifySendOnce      = 4
)

// A notification asked for with a send-once right is a message whose ID is
// MsgNotify plus the Notify number; its body is eight bytes (the dead name, or
// the make-send count), and a port-destroyed one carries the receive right.
// A2 of CallPortNotify = NameDead asks for EventDead on the task's own control
// channel instead (not for port-destroyed). A3 is the least make-send count of
// a no-senders notification.
const MsgNotify = 64

// MsgRights is the ID of messages that hold the rights of another one, which has no room
// for them (docs/nucleus.md, Any number of rights).
const MsgRights = 85

// PortStatus is what CallPortStatus tells of a receive right in inline bytes.
type PortStatus struct {
	Set     Name   // the set that the port is in
	Sends   uint32 // send rights: one for each task that has any, and those in messages
	Onces   uint32 // send-once rights
	Blocked uint32 // messages that wait for room in the queue
	Asked   uint32 // bits 1<<Notify...: what was asked for and has not come
}

// PortStatusSize is the wire size of PortStatus.
const PortStatusSize = 20

// Roles of the receiver of EventBinding.
const (
	RoleServer = 1
	RoleClient = 2
)

// SendAlone says in A3 of CallMsgSend that the task will take no message and no
// request until it has the answer that the call waits for (its one thread makes
// the call). Then the nucleus refuses one that could never be answered, because
// those who have to answer wait in such calls for each other: EDEADLK.
const SendAlone = 1

// Forever is the timeout that never ends.
const Forever = ^uint64(0)

// MsgHeader opens a message in the inline bytes of CallMsgSend and of a
// received message. NRights RightDesc follow, then NObjects ObjectDesc, then
// the message's own bytes.
type MsgHeader struct {
	Remote     Name // sender: where to; receiver: the name it came on
	Local      Name // sender: a right to carry for the reply; receiver: that right, send-once or send
	RemoteDisp uint8
	LocalDisp  uint8
	NRights    uint8
	NObjects   uint8
	ID         uint32   // what the message asks for; the nucleus does not look at it
	Seq        uint64   // sender: a number by which a redelivered request is known; receiver: the same
	PortSeq    uint32   // receiver: the port's own sequence number
	Len        uint32   // bytes after the descriptors
	Trace      [24]byte // W3C trace context: trace id and span id, carried as they are
}

// MsgHeaderSize is the wire size of MsgHeader.
const MsgHeaderSize = 56

// RightDesc is a right carried by a message.
type RightDesc struct {
	Name Name
	Disp uint8
	Kind uint8 // receiver: Right...
	_    uint16
}

// ObjectDesc is a range of a memory object carried by a message.
type ObjectDesc struct {
	Name  Name
	Flags uint32 // 1 = read-only, 2 = copy on write
	Off   uint64
	Len   uint64
}
