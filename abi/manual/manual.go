// Package manual says of each call of the nucleus what a page of a manual does:
// arguments, rights, errors, cost. docs/nucleus-calls.md is made of it, and tests of
// package nucleus hold it against the code.
//
// A new call gets its entry here: the tests that fail say which one, and what of it.
package manual

import "hythe/abi"

// Call is the page of one call.
type Call struct {
	Op   uint32 // abi.Call...
	Name string // of the constant
	// Does says what it does, in sentences.
	Does string
	// In and Out are what goes with the call and what comes with its answer, by where it
	// is: "A0" to "A5", "inline", "fds".
	In, Out []Field
	// Rights says what its caller has to hold. Which tasks may make it at all is in the
	// nucleus's own table.
	Rights string
	Errors []Error
	// Cost is what it costs beside a datagram each way: time, where that is not constant,
	// and whose budget.
	Cost string
	Go   string // how package ipc offers it, "" if it does only by Conn.Call
	See  string // what else to read
}

// Field is an argument or a result.
type Field struct{ At, Is string }

// Error is an error and when it comes.
type Error struct {
	Err  abi.Errno
	When string
}

// Always are the errors of every call, found before the call's own rules are looked at.
// They do not stand in the entries unless a call has reasons of its own.
var Always = []Error{
	{abi.EINVAL, "the datagram's lengths do not agree, or descriptors or inline bytes came with a call that takes none"},
	{abi.EPERM, "the call is not this kind of task's to make, or needs a power that the server was not given"},
	{abi.ENOSYS, "no call has this number"},
}

const (
	noName    = "no such name"
	noReceive = "the name has no receive right"
	noObject  = "the name is no memory object"
	noTask    = "the name is no guest task's"
	noNames   = "the task has as many names as it may have"
	noHost    = "the host has no room"
	longLabel = "a label of more than `abi.MaxLabel` bytes"
	inTime    = ", or has not begun within ten seconds"
	tooEarly  = "64 such calls wait for the task to begin"
	taskDead  = "the task has ended"
	lends     = "the reply right of a request that was lent for, which then pays, or `NameNull`"
	lentLess  = "the budget is used up, or so much was not lent"
	ownName   = "the name that it is to have, or `NameNull`: one of the nucleus's choice"
	governs   = "A send right to the task (`CallTaskCreate`)."
)

// Calls are all of them, by number.
var Calls = []Call{
	{
		Op: abi.CallPortAllocate, Name: "CallPortAllocate",
		Does:   "Makes a port, of which the task gets the receive right, or an empty port set.",
		In:     []Field{{"A0", "`RightReceive` or `RightSet`"}, {"A1", lends}, {"A2", ownName}},
		Out:    []Field{{"A0", "the name"}},
		Rights: "None; with `A1`, a request that lends and is not answered.",
		Errors: []Error{
			{abi.EINVAL, "another kind, a set with `A1`, or `A2` is reserved"},
			{abi.EEXIST, "`A2` stands for something"},
			{abi.ENOSPC, noNames},
			{abi.EBADF, "`A1`: " + noName},
			{abi.EPERM, "`A1`: it is no such right"},
			{abi.EAGAIN, lentLess},
		},
		Cost: "512 bytes of the payer's budget until the port dies; a set only its name.",
		Go:   "Conn.MakePort, Conn.MakePortFor, Conn.MakePorts", See: "decisions/0010-who-pays.md",
	},
	{
		Op: abi.CallPortDeallocate, Name: "CallPortDeallocate",
		Does:   "Drops one user reference of a send, send-once or dead name or of a memory object; the last one takes the name with it. A send-once right that is dropped unused tells its port so (`NotifySendOnce`).",
		In:     []Field{{"A0", "name"}},
		Rights: "A send, send-once or object right, or a dead name.",
		Errors: []Error{{abi.EBADF, noName}, {abi.EPERM, "only a receive right or a set is there (`CallPortModRefs`)"}},
		Cost:   "Constant, but for what ends with the last right to an object or a task.",
		Go:     "Conn.Deallocate",
	},
	{
		Op: abi.CallPortModRefs, Name: "CallPortModRefs",
		Does:   "Changes the user references of one right of a name. A receive right that goes takes its port with it, a set lets its members go.",
		In:     []Field{{"A0", "name"}, {"A1", "which right, `Right...`"}, {"A2", "what is added, signed; of receive, set and send-once rights 0 or -1"}},
		Rights: "The right `A1`.",
		Errors: []Error{
			{abi.EBADF, noName},
			{abi.EPERM, "the name has not that right"},
			{abi.EINVAL, "no such right, or the count would fall below zero"},
			{abi.EOVERFLOW, "the count would exceed 65,535"},
		},
		Cost: "Constant; the end of a port: in proportion to its queue, and to the names that stand for rights to it.",
		Go:   "Conn.DropReceive",
	},
	{
		Op: abi.CallPortMakeSend, Name: "CallPortMakeSend",
		Does:   "Makes one more send right to a port under the name of its receive right, and counts it in the port's make-send count.",
		In:     []Field{{"A0", "name"}},
		Rights: "The receive right.",
		Errors: []Error{{abi.EBADF, noName}, {abi.EPERM, noReceive}, {abi.EOVERFLOW, "the name has 65,535 user references"}},
		Cost:   "Constant.",
		Go:     "Conn.MakeSend",
	},
	{
		Op: abi.CallPortLabel, Name: "CallPortLabel",
		Does:   "Gives a port a durable label, by which the next incarnation of a server finds it (`EventInherit`) and the supervisor gives rights to it.",
		In:     []Field{{"A0", "name"}, {"inline", "the label"}},
		Rights: "The receive right.",
		Errors: []Error{{abi.EBADF, noName}, {abi.EPERM, noReceive}, {abi.EMSGSIZE, longLabel}},
		Cost:   "Constant.",
		Go:     "Conn.MakePort",
	},
	{
		Op: abi.CallPortSetMember, Name: "CallPortSetMember",
		Does:   "Moves a port into a set, out of the one that it was in, or out of any.",
		In:     []Field{{"A0", "name of the port"}, {"A1", "name of the set, or `NameNull`"}},
		Rights: "The receive right, and the set.",
		Errors: []Error{{abi.EBADF, noName}, {abi.EPERM, "`A0` has no receive right, or `A1` is no set"}},
		Cost:   "In proportion to the members of the set that it leaves.",
	},
	{
		Op: abi.CallPortLimit, Name: "CallPortLimit",
		Does:   "Sets how many messages the port's queue holds; senders beyond wait, or are refused. Send-once rights are not bound by it.",
		In:     []Field{{"A0", "name"}, {"A1", "1 to 4096 (64 in the beginning)"}},
		Rights: "The receive right.",
		Errors: []Error{{abi.EBADF, noName}, {abi.EPERM, noReceive}, {abi.EINVAL, "another limit"}},
		Cost:   "Constant; messages that waited for room are let in.",
	},
	{
		Op: abi.CallPortStatus, Name: "CallPortStatus",
		Does: "Tells what a name stands for.",
		In:   []Field{{"A0", "name"}},
		Out: []Field{
			{"A0", "rights, bits `1<<Right...`"},
			{"A1", "receive: messages in the queue; set: members; object: bytes"},
			{"A2", "receive: the queue's limit; object: its address, if it is placed"},
			{"A3", "receive: the sequence number of the last message"},
			{"A4", "receive: the make-send count"},
			{"A5", "user references"},
			{"inline", "receive: `abi.PortStatus`; set: the names of the first 8,192 members, four bytes each"},
		},
		Rights: "Any.",
		Errors: []Error{{abi.EBADF, noName}},
		Cost:   "Constant; of a set, in proportion to its members.",
	},
	{
		Op: abi.CallPortNotify, Name: "CallPortNotify",
		Does: "Asks to be told: when the port behind a name dies (`NotifyDeadName`), when no send right to a port exists (`NotifyNoSenders`), or to have the receive right instead of the port's death (`NotifyPortDestroyed`). What is the case already is told at once. The right that was registered before is dropped, which tells its port (`NotifySendOnce`).",
		In: []Field{
			{"A0", "name"}, {"A1", "`Notify...`"},
			{"A2", "the send-once right to notify, which is taken; `NameNull` cancels; `NameDead` asks for `EventDead` on the task's own channel (not for `NotifyPortDestroyed`)"},
			{"A3", "of `NotifyNoSenders`: the make-send count that must have been reached to be told at once"},
		},
		Rights: "Dead name: any right to a port, or a dead name; the others: the receive right. `A2`: the send-once right.",
		Errors: []Error{
			{abi.EBADF, noName},
			{abi.EPERM, "the name has not the right that the notification is about, or `A2` is no send-once right"},
			{abi.EINVAL, "no such notification, `A2` is the name itself or, of `NotifyPortDestroyed`, a right to the same port or `NameDead`"},
		},
		Cost: "Constant. The notification is in the budget of who receives it.",
		Go:   "Conn.NotifyDead",
	},
	{
		Op: abi.CallPortRename, Name: "CallPortRename",
		Does:   "Gives what a name stands for another name, which the task chooses.",
		In:     []Field{{"A0", "the old name"}, {"A1", "the new one"}},
		Rights: "Any.",
		Errors: []Error{{abi.EBADF, noName}, {abi.EINVAL, "the new name is `NameNull` or `NameDead`"}, {abi.EEXIST, "the new name stands for something"}},
		Cost:   "Constant.",
	},
	{
		Op: abi.CallMsgSend, Name: "CallMsgSend",
		Does: "Sends a message and, with `A1`, then receives one by the same answer. Everything is checked before anything is taken: a message that is refused leaves the sender with all its rights. One that waited for room and got none comes back in the answer, with the names that its rights have then.",
		In: []Field{
			{"A0", "how long to wait for room in the queue, ns; 0: not at all; `Forever`"},
			{"A1", "name to receive from then, or `NameNull`"},
			{"A2", "how long to wait for that, ns"},
			{"A3", "`SendAlone`: the task takes nothing until it has the answer; 0"},
			{"A4", "bytes of the task's budget that the receiver may spend until it answers, 1 GiB at most"},
			{"inline", "the message: `abi.MsgHeader`, `RightDesc`s, `ObjectDesc`s, bytes"},
		},
		Out: []Field{
			{"A0", "with `A1`, as `CallMsgReceive`; so are `A1`, `A2`, `A4`, inline and fds"},
			{"A3", "1 when an error is the receive's: the message was sent"},
			{"inline", "`ETIMEDOUT`, `ECANCELED` without `A3`: the message that comes back"},
		},
		Rights: "To where it goes, and of each right that it carries, what the disposition takes: `MakeSend`, `MakeSendOnce`, `MoveReceive` the receive right, `CopySend`, `MoveSend` a send right or dead name, `MoveSendOnce` a send-once right or dead name. Objects: the object right; one that may not be written travels with flag 1, and with flag 2 only if it is frozen.",
		Errors: []Error{
			{abi.EINVAL, "the bytes are no message; a disposition or flag that there is not, or that cannot be there; a range outside its object; a receive right that nobody could ever receive; `SendAlone` without `A1`; more lent than 1 GiB"},
			{abi.EMSGSIZE, "more than `abi.MaxInline` bytes, `MaxRights` rights or `MaxObjects` objects"},
			{abi.EBADF, noName},
			{abi.EPERM, "a name has not the right that its disposition takes; the port is a task's own; an object may only be read"},
			{abi.EPIPE, "the port is dead, or dies while the message waits; with `A3` of the answer, the receive right went away"},
			{abi.EAGAIN, "the queue is full and `A0` 0; too many calls wait; the budget is used up; with `A3` of the answer, no message is there"},
			{abi.EBUSY, "an object that is to be frozen is mapped writable"},
			{abi.EDEADLK, "with `SendAlone`: the answer would wait for this call"},
			{abi.ETIMEDOUT, "the time is over: the message comes back; with `A3` of the answer, that of the receive"},
			{abi.ECANCELED, "`CallMsgCancel`, in the same way"},
			{abi.ENOSPC, "with `A3` of the answer: as `CallMsgReceive`"},
		},
		Cost: "384 bytes of budget, the body's bytes, and 48 for each right and object, until nobody has to do with the message any more: the sender's budget, but of a message to a send-once right the receiver's. Time in proportion to bytes, rights and objects; nothing is allocated (`TestNoAllocation`). A call that waits for its receiver's answer is one datagram each way for each of them.",
		Go:   "Conn.Send, Conn.SendContext, Conn.Exchange, Conn.ExchangeContext, Conn.ExchangeAlone, Conn.Ask, Conn.AnswerWith, Taker.Answer", See: "nucleus.md (Rights, Calls that wait for each other), decisions/0010-who-pays.md",
	},
	{
		Op: abi.CallMsgReceive, Name: "CallMsgReceive",
		Does: "Takes the first message of a port, or of a member of a set, the members in turn. A request, which came with a send-once right to answer, is taken until that is used or dropped: if the server dies before, the next incarnation receives it again.",
		In:   []Field{{"A0", "name of a receive right or set"}, {"A1", "how long to wait, ns; 0: not at all; `Forever`"}},
		Out: []Field{
			{"A0", "the port that it came on"},
			{"A1", "1: an earlier incarnation had taken it"},
			{"A2", "how many incarnations died with it"},
			{"A4", "the number of the task that pays for it: of a request, who asks"},
			{"inline", "the message, with the names that this task has for what it carries"},
			{"fds", "one for each memory object"},
		},
		Rights: "The receive right, or the set.",
		Errors: []Error{
			{abi.EBADF, noName},
			{abi.EPERM, "the name is neither receive right nor set"},
			{abi.EAGAIN, "no message is there and `A1` 0, or too many calls wait"},
			{abi.ETIMEDOUT, "the time is over"},
			{abi.ECANCELED, "`CallMsgCancel`"},
			{abi.EPIPE, "the receive right or the set went away"},
			{abi.ENOSPC, "the message, which stays, needs more names than the task may have"},
		},
		Cost: "In proportion to the message, and of a set to its members; nothing is allocated.",
		Go:   "Conn.Receive, Conn.ReceiveContext, Taker.Take, Serve", See: "nucleus.md (Estates)",
	},
	{
		Op: abi.CallObjectCreate, Name: "CallObjectCreate",
		Does: "Makes a memory object, which holds zeros. It can grow, and becomes shorter only with `ObjectShrinks`. With `ObjectPaged` its pages come from a pager; with `ObjectPlaced` it has an address that no other object has.",
		In: []Field{
			{"A0", "bytes, 1 TiB at most"},
			{"A1", "`ObjectShrinks`, `ObjectPaged`, `ObjectPlaced`; not the first with the second"},
			{"A2", lends},
			{"A3", "of a paged one: the receive right to which the pager is asked for pages"},
			{"A4", "of a paged one: the pager's own word for it"},
			{"A5", ownName},
			{"inline", "its durable label"},
		},
		Out:    []Field{{"A0", "the name"}, {"fds", "the object, to read, write and map; in a batch none"}},
		Rights: "None; with `A2`, a request that lends and is not answered; `ObjectPaged`: the receive right `A3`.",
		Errors: []Error{
			{abi.EINVAL, "size or flags; of a paged one, not whole pages; `A5` is reserved"},
			{abi.EEXIST, "`A5` stands for something"},
			{abi.EBADF, "`A2`, `A3`: " + noName},
			{abi.EPERM, "`A2` is no request's reply right, `A3` no receive right"},
			{abi.EMSGSIZE, longLabel},
			{abi.ENOSPC, noNames},
			{abi.EAGAIN, "of a guest, or with `A2`: " + lentLess},
			{abi.ENOMEM, noHost},
		},
		Cost: "A memfd of the host; pages when they are touched. 64 KiB of the budget of a guest, or of who lends, until the last right goes; a placed one a byte more for each 32 KiB of its size.",
		Go:   "Conn.CreateObject, Conn.CreateObjects, Conn.CreateFile, Conn.CreatePaged, Conn.CreatePlaced, Conn.Pack", See: "decisions/0006-objects-that-shrink.md, decisions/0011-pagers.md",
	},
	{
		Op: abi.CallObjectImport, Name: "CallObjectImport",
		Does:   "Makes a memory object of a file of the host; or of a connection of TCP, or an epoll set, which nobody can map, and which is what servers lend of connections (`lending.md`).",
		In:     []Field{{"inline", "its durable label"}, {"fds", "the file"}},
		Out:    []Field{{"A0", "the name"}, {"A1", "its bytes, now"}},
		Rights: "None but the power.",
		Errors: []Error{{abi.EINVAL, "it is neither a file that can be mapped nor a connection or set"}, {abi.EMSGSIZE, longLabel}, {abi.ENOSPC, noNames}},
		Cost:   "A descriptor of the host; nothing is copied.",
		Go:     "Conn.ImportObject",
	},
	{
		Op: abi.CallObjectFD, Name: "CallObjectFD",
		Does:   "Gives a descriptor of a memory object.",
		In:     []Field{{"A0", "name"}, {"A1", "1: to read only"}},
		Out:    []Field{{"A1", "its bytes"}, {"A2", "its address, if it is placed"}, {"fds", "the object"}},
		Rights: "The object right; to write, one that may.",
		Errors: []Error{{abi.EBADF, noName}, {abi.EPERM, noObject + ", or may only be read"}, {abi.EINVAL, "a paged object, to read only"}, {abi.ENOMEM, noHost}},
		Cost:   "A descriptor; the first that may only read opens the object anew.",
		Go:     "Conn.ObjectFD, Conn.MapObject",
	},
	{
		Op: abi.CallObjectGrant, Name: "CallObjectGrant",
		Does:   "Gives the peer of a binding a memory object beside the calls on it: the peer gets `EventGrant`.",
		In:     []Field{{"A0", "id of the binding"}, {"A1", "name of the object"}, {"A2", "1: to read only"}, {"A3", "a tag by which the peer knows it"}},
		Rights: "A side of the binding, and the object right; to write, one that may.",
		Errors: []Error{
			{abi.EBADF, "no such binding of the task, or name"},
			{abi.EPERM, noObject + ", or may only be read"},
			{abi.EINVAL, "a paged object, to read only"},
			{abi.ESRCH, "the guest is gone"},
			{abi.EAGAIN, "the guest does not read"},
			{abi.ENOSPC, "the peer has as many names as it may have"},
			{abi.ENOMEM, noHost},
		},
		Cost: "A datagram and a descriptor for the peer; nothing is copied.",
		Go:   "Conn.Grant, Conn.PostGrant, ClientBinding.TakeGrant",
	},
	{
		Op: abi.CallBind, Name: "CallBind",
		Does:   "Makes a session with who receives on a port: an area of memory that both map, with slots for calls, and a doorbell each way. From then on calls need nobody else. The receiver gets `EventBinding`.",
		In:     []Field{{"A0", "name"}, {"A1", "slots, up to `abi.MaxSlots`"}, {"inline", "a label that the receiver is told"}},
		Out:    []Field{{"A0", "id of the binding"}, {"fds", "area, doorbell to the server, doorbell to the client"}},
		Rights: "A send right.",
		Errors: []Error{
			{abi.EINVAL, "slots, or " + longLabel},
			{abi.EBADF, noName},
			{abi.EPERM, "it is no send right, or one to a task"},
			{abi.EPIPE, "the port is dead"},
			{abi.EAGAIN, "the receive right is in a message; the budget, or the sessions of either side, are used up"},
			{abi.ENOMEM, noHost},
		},
		Cost: "A page and one for each slot of the client's budget, until it is unbound; three descriptors of the host.",
		Go:   "Conn.Bind", See: "architecture.md, decisions/0003-sessions-and-limits.md",
	},
	{
		Op: abi.CallUnbind, Name: "CallUnbind",
		Does:   "Ends a binding; the peer gets `EventUnbound`.",
		In:     []Field{{"A0", "id of the binding"}},
		Rights: "A side of the binding.",
		Errors: []Error{{abi.EBADF, "no such binding of the task"}, {abi.EPERM, "it is a guest task's, and ends with that"}},
		Cost:   "Constant; the client has its budget back.",
		Go:     "Conn.Unbind",
	},
	{
		Op: abi.CallTaskCreate, Name: "CallTaskCreate",
		Does:   "Makes a guest task, whose governor the caller is: a fresh one, or one that its parent forks, which gets `EventChannel` for it. Its calls come on a binding.",
		In:     []Field{{"A0", "the parent's name, or `NameNull`"}, {"A1", "slots, up to `abi.MaxSlots`"}, {"A2", "of a fork: what the parent knows it by"}},
		Out:    []Field{{"A0", "the task's name: a send right to its own port"}, {"A1", "id of the binding"}, {"fds", "area, doorbell to the server"}},
		Rights: "To fork, a send right to the parent.",
		Errors: []Error{
			{abi.EINVAL, "slots"},
			{abi.EBADF, noName},
			{abi.EPERM, noTask},
			{abi.ESRCH, "the parent has ended"},
			{abi.EAGAIN, "too many tasks or bindings; the guests' budget is used up, of which a child may need as much for paged objects as its parent; the parent does not read; the host makes no process"},
			{abi.ENOSPC, noNames},
			{abi.ENOMEM, noHost},
		},
		Cost: "A host process (of a fork: the parent makes it), a channel, an area.",
		Go:   "Conn.TaskCreate",
	},
	{
		Op: abi.CallTaskTerminate, Name: "CallTaskTerminate",
		Does:   "Ends a guest task. That it has ended its governor learns by `EventTaskDead`.",
		In:     []Field{{"A0", "the task's name"}},
		Rights: governs,
		Errors: []Error{{abi.EBADF, noName}, {abi.EPERM, noTask}, {abi.ESRCH, taskDead}},
		Cost:   "A call of the host.",
		Go:     "Conn.TaskTerminate",
	},
	{
		Op: abi.CallThreadKick, Name: "CallThreadKick",
		Does:   "Interrupts a thread of a guest task: it comes with `KindPoll`, or leaves the wait that it is in.",
		In:     []Field{{"A0", "the task's name"}, {"A1", "the thread, as in `Slot.HostID`; 0: its first one, also if it is still to begin"}},
		Rights: governs,
		Errors: []Error{{abi.EBADF, noName}, {abi.EPERM, noTask}, {abi.ESRCH, "the task has ended, or has no such thread"}},
		Cost:   "A signal of the host.",
		Go:     "Conn.Kick",
	},
	{
		Op: abi.CallTaskInfo, Name: "CallTaskInfo",
		Does:   "Tells what the host knows of a guest task.",
		In:     []Field{{"A0", "the task's name"}, {"A1", "0, or the thread whose processor time is asked for"}},
		Out:    []Field{{"A0", "the host's number of the process"}, {"A1", "bytes resident"}, {"A2", "ns in user mode"}, {"A3", "ns in the host"}, {"A4", "ns of both, exactly, of the thread if there is one"}, {"inline", "its command, for debuggers"}},
		Rights: governs,
		Errors: []Error{{abi.EBADF, noName}, {abi.EPERM, noTask}, {abi.ESRCH, "the task has ended, or has no such thread"}},
		Cost:   "Some files of the host are read, while other calls go on.",
		Go:     "Conn.TaskInfo, Conn.ThreadInfo",
	},
	{
		Op: abi.CallTaskMemory, Name: "CallTaskMemory",
		Does:   "Reads memory of a guest task; less than was asked for where it ends.",
		In:     []Field{{"A0", "the task's name"}, {"A1", "address"}, {"A2", "bytes, up to `abi.MaxInline`"}},
		Out:    []Field{{"inline", "the bytes"}},
		Rights: governs,
		Errors: []Error{{abi.EBADF, noName}, {abi.EPERM, noTask}, {abi.ESRCH, taskDead}, {abi.EINVAL, "no bytes, or too many"}, {abi.EFAULT, "nothing can be read there, or the task has not begun"}},
		Cost:   "In proportion to the bytes, while other calls go on.",
		Go:     "Conn.TaskMemory",
	},
	{
		Op: abi.CallReady, Name: "CallReady",
		Does:   "Says that a server has recovered and serves. What waits for that goes on; a successor's predecessor ends.",
		Rights: "None.",
		Cost:   "Constant; a second time it does nothing.",
		Go:     "Conn.Ready, Serve", See: "decisions/0009-live-replacement.md",
	},
	{
		Op: abi.CallLog, Name: "CallLog",
		Does:   "Puts a line into the machine's log; of a longer one 4,096 bytes.",
		In:     []Field{{"A0", "level"}, {"inline", "the line"}},
		Rights: "None.",
		Cost:   "In proportion to the line.",
		Go:     "Conn.Log",
	},
	{
		Op: abi.CallBatch, Name: "CallBatch",
		Does: "Carries calls in one datagram: each is carried out as if it had come by itself, before the next one, and one answer tells of all. With names that the task chooses (`CallPortAllocate`, `CallObjectCreate`) a later call can speak of what an earlier one makes, so that a thousand ports are made, given send rights and sent away in one round trip. What waits is answered by itself when it is done, in the order in which things are done. Those whose answer is more than an error and a name cannot be in a batch: that is for `CallPortAllocate`, `Deallocate`, `ModRefs`, `MakeSend`, `Label`, `SetMember`, `Limit`, `Notify`, `Rename`, `CallObjectCreate`, `CallMsgSend` without `A1`, `CallMsgCancel`, `CallAlarmSet`.",
		In: []Field{
			{"A0", "`BatchStop`: nothing is carried out after a call that failed; 0"},
			{"A1", "the ID of the first call; each further one has one more"},
			{"inline", "for each call `abi.BatchCall`, its arguments, its inline bytes; `abi.MaxBatch` (1024) of them"},
		},
		Out: []Field{
			{"A0", "how many were carried out"},
			{"A1", "how many of them failed"},
			{"inline", "an `abi.BatchResult` for each that was carried out"},
		},
		Rights: "Those of each call.",
		Errors: []Error{
			{abi.EINVAL, "flags, or the bytes are no calls; in a result also a call that cannot be in a batch"},
			{abi.EMSGSIZE, "more than `abi.MaxBatch` calls"},
			{abi.EINPROGRESS, "in a result: the call waits, and its answer comes by itself"},
			{abi.EPERM, "in a result: not this task's to make"},
			{abi.ENOSYS, "in a result: no call has this number"},
		},
		Cost: "That of each call without its datagrams: a thousand ports are made and given up in 3 ms, of two processors that are busy with other work (`BenchmarkThousandPorts`). No other call is carried out meanwhile.",
		Go:   "Conn.Batch, Batch.Do, Conn.MakePorts, Conn.CreateObjects", See: "decisions/0015-batches.md",
	},
	{
		Op: abi.CallSupervise, Name: "CallSupervise",
		Does:   "Asks the supervisor, in its own language (JSON).",
		In:     []Field{{"inline", "the question"}},
		Out:    []Field{{"inline", "the answer"}},
		Rights: "None but the power.",
		Errors: []Error{{abi.ENOSYS, "the machine has no supervisor"}, {abi.EMSGSIZE, "an answer of more than `abi.MaxInline` bytes"}},
		Cost:   "The supervisor's, while other calls go on. Its own errors come beside these.",
	},
	{
		Op: abi.CallTaskMaps, Name: "CallTaskMaps",
		Does:   "Gives the host's map of a guest task's own part of its address space, as text, as far as it fits.",
		In:     []Field{{"A0", "the task's name"}, {"A1", "where in the text to begin"}, {"A2", "1: with what each line takes"}},
		Out:    []Field{{"A0", "length of the whole text"}, {"inline", "the text from there on"}},
		Rights: governs,
		Errors: []Error{{abi.EBADF, noName}, {abi.EPERM, noTask}, {abi.ESRCH, taskDead}, {abi.EINVAL, "`A2`"}},
		Cost:   "A file of the host is read, while other calls go on.",
		Go:     "Conn.TaskMaps",
	},
	{
		Op: abi.CallHello, Name: "CallHello",
		Does:   "A guest task's first datagram, by which the host tells the nucleus who sent it. There is no answer, and of a server it does nothing. A forked task names what it shares of its parent's paged objects, and waits for `EventWatched`, which has a bit in `A0` for each range that is not watched and that it must not have.",
		In:     []Field{{"A0", "its host thread id"}, {"inline", "up to 64 `abi.HelloRange`: address, length, the number of a new userfaultfd of the task, and the parent's of the mapping"}},
		Rights: "None; its parent has the memory mapped.",
		Cost:   "Constant; of each range as `CallObjectWatch`.", See: "decisions/0011-pagers.md",
	},
	{
		Op: abi.CallMsgCancel, Name: "CallMsgCancel",
		Does:   "Ends a call of this task that waits: that answers `ECANCELED`, and brings back a message that waited for room.",
		In:     []Field{{"A0", "the id of the call"}},
		Rights: "None.",
		Errors: []Error{{abi.ESRCH, "no call with this id waits: its answer is on the channel"}},
		Cost:   "In proportion to the calls of the task that wait.",
		Go:     "Taker.Stop, Conn.ReceiveContext",
	},
	{
		Op: abi.CallTaskOpen, Name: "CallTaskOpen",
		Does:   "Lets a guest task make calls of its own, on a channel that it gets by `EventGrant` with `PortsTag`, and gives it a copy of a send right to begin with.",
		In:     []Field{{"A0", "the task's name"}, {"A1", "name of the send right"}},
		Out:    []Field{{"A0", "the guest's name for the right"}, {"A1", "1: it could make calls already"}},
		Rights: governs + " A send right, `A1`.",
		Errors: []Error{
			{abi.EBADF, noName},
			{abi.EPERM, noTask + ", or no send right, or one to a task"},
			{abi.ESRCH, taskDead},
			{abi.EPIPE, "the right's port is dead"},
			{abi.EAGAIN, "the task's library does not read"},
			{abi.ENOSPC, "the guest has as many names as it may have"},
			{abi.ENOMEM, noHost},
		},
		Cost: "A channel of the host, once for each task.",
		Go:   "Conn.TaskOpen", See: "decisions/0007-guests-and-ports.md",
	},
	{
		Op: abi.CallTaskStore, Name: "CallTaskStore",
		Does:   "Writes memory of a guest task; less than was asked for where it ends, or is not the task's own to write.",
		In:     []Field{{"A0", "the task's name"}, {"A1", "address"}, {"inline", "the bytes"}},
		Out:    []Field{{"A0", "how many were stored"}},
		Rights: governs,
		Errors: []Error{{abi.EBADF, noName}, {abi.EPERM, noTask}, {abi.ESRCH, taskDead}, {abi.EINVAL, "no bytes, or too many"}, {abi.EFAULT, "nothing can be stored there, or the task has not begun"}},
		Cost:   "In proportion to the bytes, while other calls go on.",
		Go:     "Conn.TaskStore",
	},
	{
		Op: abi.CallObjectWatch, Name: "CallObjectWatch",
		Does:   "Says that the task has mapped a range of a paged object: whoever touches a page that is not there waits for the pager.",
		In:     []Field{{"A0", "name of the object"}, {"A1", "address of the mapping"}, {"A2", "offset in the object"}, {"A3", "length"}, {"A4", "a guest: what `GuestFaults` answers, as no descriptor comes beside the call"}, {"fds", "a new userfaultfd of the task's address space"}},
		Rights: "The object right.",
		Errors: []Error{
			{abi.EBADF, noName + ", or a guest has no descriptor of this number"},
			{abi.EPERM, noObject + ", or the task is in the nucleus's own process"},
			{abi.EINVAL, "it is no paged object, the range is not of whole pages of it, or the descriptor is not what the machine wants, or nothing is mapped there"},
			{abi.EAGAIN, "64 are mapped, or a guest's budget is used up"},
		},
		Cost: "A descriptor of the host; a guest 64 KiB of its budget. Each page that is asked for is a message in the task's budget.",
		Go:   "Conn.MapPaged", See: "decisions/0011-pagers.md",
	},
	{
		Op: abi.CallObjectUnwatch, Name: "CallObjectUnwatch",
		Does:   "Says that what `CallObjectWatch` spoke of is not mapped any more.",
		In:     []Field{{"A0", "address of the mapping"}},
		Rights: "None.",
		Errors: []Error{{abi.ESRCH, "nothing is mapped there"}},
		Cost:   "In proportion to the mappings of the object.",
		Go:     "Conn.UnmapPaged",
	},
	{
		Op: abi.CallObjectPages, Name: "CallObjectPages",
		Does:   "What a pager does to pages of its object: they are there, they are zeros, they are an error, nobody writes them (answered when it is so), they are gone, they may be written again (`Pages...`).",
		In:     []Field{{"A0", "name of the object"}, {"A1", "`Pages...`"}, {"A2", "offset"}, {"A3", "length, up to 1 MiB"}, {"inline", "to supply: the pages, or none if they were stored by the descriptor"}},
		Rights: "The object right, and the receive right on which it is asked for pages.",
		Errors: []Error{
			{abi.EBADF, noName},
			{abi.EPERM, noObject + ", or the task is not its pager"},
			{abi.EINVAL, "it is no paged object; no such operation; the range is not of whole pages of it, or too long; the bytes are not all of it, or not to supply; to lock, a part of it is locked; to flush or unlock, it is none that was locked"},
			{abi.EAGAIN, "64 ranges are locked, or the machine cannot keep up, because of who maps the object"},
			{abi.ENOMEM, noHost},
		},
		Cost: "A call of the host for each mapping of the object.",
		Go:   "Conn.Pages, Conn.SupplyPages, FilePager", See: "nucleus.md (Pagers), decisions/0011-pagers.md",
	},
	{
		Op: abi.CallPagerAttrs, Name: "CallPagerAttrs",
		Does:   "Says how many pages of a pager's object are asked for at once, of those that are not there, and whether the pager is told that nobody else has the object any more (`MsgPageTerminate`).",
		In:     []Field{{"A0", "name of the object"}, {"A1", "pages, up to 256, or 0: as it is"}, {"A2", "`PagesTell`, `PagesKeep`, or 0: as it is"}},
		Out:    []Field{{"A0", "pages"}, {"A1", "`PagesTell` or `PagesKeep`"}},
		Rights: "The object right, and the receive right on which it is asked for pages.",
		Errors: []Error{
			{abi.EBADF, noName},
			{abi.EPERM, noObject + ", or the task is not its pager"},
			{abi.EINVAL, "it is no paged object; too many pages; no such word"},
		},
		Cost: "None.",
		Go:   "Conn.PageAttributes", See: "nucleus.md (Pagers)",
	},
	{
		Op: abi.CallAlarmSet, Name: "CallAlarmSet",
		Does: "Sets an alarm: at the time, or at once if it is over, the right gets a message `MsgAlarm`, which waits for room in a full queue if it is a send right. It outlives the process of a server, and ends with its task or its port.",
		In: []Field{
			{"A0", "a time of the host's monotonic clock, in ns"},
			{"A1", "name"},
			{"A2", "a word of one's own"},
			{"A3", "the disposition by which the name makes a send or send-once right"},
		},
		Out:    []Field{{"A0", "the alarm's number, of this task"}},
		Rights: "What the disposition needs, to a port that is no task's.",
		Errors: []Error{
			{abi.EINVAL, "the disposition makes no send or send-once right"},
			{abi.EBADF, noName},
			{abi.EPERM, "the name has not the right that the disposition needs, or it is a task's"},
			{abi.EPIPE, "the port is dead"},
			{abi.EAGAIN, "the budget is used up"},
		},
		Cost: "512 bytes of the budget until it goes off, out of which its message is paid; O(log n) of all alarms, and the host's timer if it is the earliest.",
		Go:   "Conn.SetAlarm, Conn.AlarmTo", See: "nucleus.md (Alarms), decisions/0012-time-and-processors.md",
	},
	{
		Op: abi.CallAlarmCancel, Name: "CallAlarmCancel",
		Does:   "Takes an alarm back, and gives its right a name.",
		In:     []Field{{"A0", "the alarm's number"}},
		Out:    []Field{{"A0", "the right's name"}, {"A1", "the disposition that moves it"}},
		Rights: "None: the alarm is the task's own.",
		Errors: []Error{
			{abi.ESRCH, "no such alarm: its message is on its way, or its port died"},
			{abi.ENOSPC, noNames + "; nothing is changed"},
		},
		Cost: "O(log n) of all alarms.",
		Go:   "Conn.CancelAlarm",
	},
	{
		Op: abi.CallProcessorSet, Name: "CallProcessorSet",
		Does:   "Makes a set of processors of the host, to which guest tasks can be assigned. With the last send right to it the set goes, and its tasks are in the default set again.",
		In:     []Field{{"inline", "the processors, a bit for each, up to 128 bytes"}},
		Out:    []Field{{"A0", "name of a send right to it, `RightCPUs` to the next incarnation"}},
		Rights: "None: a set is of use to who governs tasks.",
		Errors: []Error{
			{abi.EINVAL, "no processors, or some that are not in the default set"},
			{abi.ENOSPC, noNames},
			{abi.EAGAIN, "the budget is used up"},
		},
		Cost: "512 bytes of the budget until it goes; then in proportion to the tasks.",
		Go:   "Conn.ProcessorSet", See: "nucleus.md (Processors), decisions/0012-time-and-processors.md",
	},
	{
		Op: abi.CallProcessorInfo, Name: "CallProcessorInfo",
		Does: "Says which processors are in a set, and what tasks may be given on them. The default set has those that the machine was given.",
		In:   []Field{{"A0", "the set's name, or `NameNull` for the default set"}},
		Out: []Field{{"A0", "how many processors"}, {"A1", "how many guest tasks are in it"},
			{"A2", "the classes that tasks may be given, a bit `1<<Class...` for each"},
			{"A3", "the lowest nice value, signed"},
			{"A4", "the highest fixed priority"},
			{"inline", "the processors, 128 bytes"}},
		Rights: "A send right to the set.",
		Errors: []Error{{abi.EBADF, noName}, {abi.EPERM, "the name is no set's"}, {abi.EPIPE, "the name is dead"}},
		Cost:   "In proportion to the tasks.",
		Go:     "Conn.ProcessorInfo, Conn.Scheduling",
	},
	{
		Op: abi.CallTaskAssign, Name: "CallTaskAssign",
		Does: "Says on which processors a guest task runs: in which set, and on which of its processors; or a thread of it, of the task's set. What threads and forked tasks begin with is what their makers have. When a whole task is told, what its threads had for themselves is over. What is said of a thread before the task has begun is done when it has.",
		In: []Field{
			{"A0", "the task's name"},
			{"A1", "0: all its threads; or a host thread id"},
			{"A2", "the set's name, or `NameNull`: the default set, or `NameDead`: that in which it is"},
			{"inline", "of the set's processors those on which it is to run; empty: all"},
		},
		Rights: governs + " A send right to the set.",
		Errors: []Error{
			{abi.EBADF, noName},
			{abi.EPERM, noTask + ", or no set's; the host refuses"},
			{abi.EPIPE, "the set's name is dead"},
			{abi.ESRCH, taskDead + ", or has no such thread" + inTime},
			{abi.EAGAIN, tooEarly},
			{abi.EINVAL, "none of the processors is in the set, or a thread is to be in another set than its task"},
			{abi.EBUSY, "a thread has a share by deadline, for which the host wants all processors"},
		},
		Cost: "A call of the host for each thread of the task.",
		Go:   "Conn.TaskAssign, Conn.TaskProcessors",
	},
	{
		Op: abi.CallThreadPolicy, Name: "CallThreadPolicy",
		Does: "Has the host schedule a thread of a guest task, or all of them and what they make: by nice value, by fixed priority, by deadline. What is said before the task has begun is done when it has.",
		In: []Field{
			{"A0", "the task's name"},
			{"A1", "0: all its threads; or a host thread id"},
			{"A2", "`Class...`"},
			{"A3", "the nice value, -20 to 19, or the fixed priority, 1 to 99; with a deadline 0"},
			{"A4", "1: what it makes is of `ClassNormal`"},
			{"inline", "with `ClassDeadline`: runtime, deadline and period, ns, 24 bytes"},
		},
		Rights: governs,
		Errors: []Error{
			{abi.EBADF, noName},
			{abi.EPERM, noTask + "; the machine was not given such a class, nice value or priority (`CallProcessorInfo`)"},
			{abi.ESRCH, taskDead + ", or has no such thread" + inTime},
			{abi.EAGAIN, tooEarly},
			{abi.EINVAL, "no such class or values, or a deadline for all threads"},
			{abi.EOPNOTSUPP, "the host does not let us"},
			{abi.EBUSY, "the host has no such share left"},
		},
		Cost: "Two calls of the host for each thread.",
		Go:   "Conn.ThreadPolicy", See: "nucleus.md (Scheduling)",
	},
	{
		Op: abi.CallTaskThreads, Name: "CallTaskThreads",
		Does: "Counts the threads of a guest task in the task's own budget: its governor says so before it lets it have one, and when one has ended. A task begins with one.",
		In: []Field{{"A0", "the task's name"}, {"A1", "how many more, signed; with `A2` how many"}, {"A2", "1: `A1` is how many it has, and none of them goes before others, as a governor says that does not know what was said before"},
			{"A3", "the host's id of the thread that has ended, or 0: servers inherit nothing of it any more"}},
		Out:    []Field{{"A0", "how many it has"}},
		Rights: governs,
		Errors: []Error{
			{abi.EBADF, noName},
			{abi.EPERM, noTask},
			{abi.ESRCH, taskDead},
			{abi.EINVAL, "fewer than none, or more at once than a task has slots"},
			{abi.EAGAIN, "it has no more slots, or its budget or that of all guests is used up; fewer are never refused"},
		},
		Cost: "4096 bytes of the task's budget for each thread.",
		Go:   "Conn.TaskThreads, Conn.ThreadGone, Conn.SetTaskThreads", See: "decisions/0010-who-pays.md",
	},
}
