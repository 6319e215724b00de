package confine

import "golang.org/x/sys/unix"

// Process is what a kind of process of a machine is and holds on the host, apart
// from its host calls: the other half of the authority table. test/faces reads a
// running machine's processes against it; docs/security.md is made of it.
type Process struct {
	// Kind is the server's name, or one of the guests' side.
	Kind string
	// User: AsNobody, or AsInvoker: who started the machine.
	User User
	// Caps are the capabilities that it may have at most, and Bound those that
	// an execution could still give it (the bounding set), as bits. They count
	// where it is in the host's user name space; one of its own gives none there.
	Caps, Bound uint64
	// Own are the name spaces that are not the host's. OwnUser: so is the
	// user name space, unless root started the machine (UserUnlessRoot).
	Own     []string
	OwnUser OwnUser
	// FDs are the descriptors that it may hold.
	FDs []FD
	// Memory is what it shares with others.
	Memory string
}

// User says as whom a process runs.
type User uint8

const (
	// AsNobody: user and group 65534 if root started the machine, else who did.
	AsNobody User = iota
	// AsInvoker: who started the machine.
	AsInvoker
)

// OwnUser says whether a process is in a user name space of its own.
type OwnUser uint8

const (
	// UserAlways: it is.
	UserAlways OwnUser = iota
	// UserUnlessRoot: only if an ordinary user started the machine. A user
	// without capabilities has no more power in the host's.
	UserUnlessRoot
	// OwnIfRoot: it is not, and in the name spaces of Own only if root started the
	// machine (docs/decisions/0004-host-without-namespaces.md; where the host has
	// no Landlock it is as UserUnlessRoot).
	OwnIfRoot
)

// FD is a kind of descriptor that a process may hold.
type FD struct {
	// From and To are its numbers, both included; To 0: from From on.
	From, To int
	// What is a regular expression for the link in /proc/PID/fd.
	What string
	// ReadOnly: opened for reading only.
	ReadOnly bool
	Why      string
}

// FileCaps are the capabilities of a server of host files that root started, and
// the bounding set of all servers then: root's ways with other users' files.
const FileCaps = 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH | 1<<unix.CAP_FOWNER | 1<<unix.CAP_FSETID

const (
	anonymous = `anon_inode:\[(eventfd|eventpoll)\]`
	object    = `/memfd:hythe.*`
)

var serverSpaces = []string{"mnt", "ipc", "uts", "net", "pid"}

// serverFDs are what every server may hold.
func serverFDs(more ...FD) []FD {
	return append([]FD{
		{0, 1, `/dev/null`, false, "standard input and output"},
		{2, 2, `pipe:.*`, false, "standard error, which the supervisor reads"},
		{3, 3, `socket:.*`, false, "control channel"},
		{4, 0, anonymous, false, "doorbells; the runtime's poller"},
		{4, 0, object, false, "memory objects: state of record, bindings, what it made or was granted"},
		{4, 0, `/sys/fs/cgroup/.*|/dev/null`, false, "the runtime's look at its processor limit, taken before the filter; places kept"},
	}, more...)
}

const (
	serverMemory = "areas of its bindings, of which it copies a request once and then checks the copy; memory objects, of which it maps only those that are sealed against shrinking: not files of guests, which it reads and writes by their descriptors"
	objectFiles  = "files of the host that it was granted as memory objects, to read"
)

// Processes is the table.
var Processes = []Process{
	{Kind: "reaper", Own: append([]string{"user"}, serverSpaces...), FDs: nil, Memory: "none"},
	{Kind: "zygote", Own: append([]string{"user"}, serverSpaces...), FDs: []FD{
		{3, 3, `socket:.*`, false, "its command channel"},
		{0, 15, `/`, false, "places kept: the empty root, opened as a place only"},
	}, Memory: "none"},
	{Kind: "guest", Own: append([]string{"user"}, serverSpaces...), FDs: []FD{
		{3, 3, `socket:.*`, false, "control channel"},
		{4, 4, `anon_inode:\[eventfd\]`, false, "doorbell of its unix server's binding"},
		{5, 5, `socket:.*`, false, "ports channel, once its program makes calls of the nucleus"},
		{0, 15, `/`, false, "places kept: the empty root, opened as a place only"},
		{16, 0, `/.*`, false, "memory objects that were granted to it, opened anew read-only where it may only read"},
		{16, 0, `(socket:.*|anon_inode:\[eventfd\])`, false, "of a task that is made ahead for its next child: control channel and doorbell, until it forks"},
		{16, 0, `socket:.*`, false, "connections of its own that the net server has made or accepted, and lent to it: it can send and receive by them"},
		{16, 0, `anon_inode:\[eventpoll\]`, false, "which of these are ready: it can wait by it, and have nothing else watched"},
	}, Memory: "its message area (its server maps it too; no other task does); granted objects"},
	{Kind: "unix", Bound: FileCaps, OwnUser: UserUnlessRoot, Own: serverSpaces, FDs: serverFDs(
		FD{4, 5, `socket:.*`, false, "control channels of the file servers in its process (docs/decisions/0017-placement.md)"},
		FD{4, 0, `anon_inode:\[timerfd\]`, false, "what guests have to be woken for"},
		FD{4, 0, `socket:.*`, false, "connections to the outside that the net server has lent: to look when they are ready, and to give to guests"},
		FD{4, 0, `/.*`, true, objectFiles},
	), Memory: serverMemory},
	{Kind: "overlay", Bound: FileCaps, OwnUser: UserUnlessRoot, Own: serverSpaces, FDs: serverFDs(
		FD{4, 0, `/.*`, true, objectFiles},
	), Memory: serverMemory},
	{Kind: "tmpfs", Bound: FileCaps, OwnUser: UserUnlessRoot, Own: serverSpaces, FDs: serverFDs(), Memory: serverMemory},
	{Kind: "names", Bound: FileCaps, OwnUser: UserUnlessRoot, Own: serverSpaces, FDs: serverFDs(), Memory: "none"},
	{Kind: "own", Bound: FileCaps, OwnUser: UserUnlessRoot, Own: serverSpaces, FDs: serverFDs(), Memory: serverMemory},
	{Kind: "host", User: AsInvoker, Caps: FileCaps, Bound: FileCaps, OwnUser: OwnIfRoot, Own: serverSpaces, FDs: serverFDs(
		FD{4, 0, `/.*`, false, "the directories that it serves, and files below them"},
	), Memory: serverMemory},
	{Kind: "console", Bound: FileCaps, OwnUser: UserUnlessRoot, Own: serverSpaces, FDs: serverFDs(
		FD{4, 6, `.*`, false, "the host's standard streams"},
	), Memory: serverMemory},
	{Kind: "net", Bound: FileCaps, OwnUser: UserUnlessRoot, Own: []string{"mnt", "ipc", "uts", "pid"}, FDs: serverFDs(
		FD{4, 0, `socket:.*`, false, "the host's sockets: published ports, and what guests have opened outside"},
	), Memory: serverMemory},
}
