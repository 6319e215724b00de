// Package hythe embeds a machine in a Go program: a machine runs unmodified
// programs of several operating systems, isolated from the host, without root
// and without a virtual machine.
//
// Its shape is that of os/exec:
//
//	m, err := hythe.New(ctx, hythe.Config{ReadOnly: true})
//	if err != nil { ... }
//	defer m.Close()
//	out := new(bytes.Buffer)
//	err = m.Run(ctx, &hythe.Cmd{Path: "/bin/echo", Args: []string{"echo", "hello"}, Stdout: out})
//
// A program that embeds a machine is also the executable of the machine's
// servers: they are started by running it again with special arguments. So
// call [Main] first thing in main; it returns at once in the program proper and
// never in a server.
//
// Errors: a program that ran and failed is an [*ExitError]; one that could not
// be started is a [*StartError]; everything else is a failure of Hythe or the
// host. [ExitCode] turns any of them into the status that a shell expects.
package hythe

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"hythe/ipc"
	"hythe/machine"
)

// Config says what a machine is made of. The zero value is a machine that sees
// the host's root directory, with all changes kept in memory, and no limits of
// its own.
type Config struct {
	// ID names the machine to `hythe ps` and its like: 1 to 64 letters, digits,
	// dots, hyphens and underscores. Empty: a random one.
	ID string
	// Root is the host directory that guests see as /. It is only read;
	// changes are kept in memory. Empty: the host's own root.
	Root string
	// ReadOnly makes the root refuse changes (EROFS) instead of keeping them in
	// memory. Mounts are not affected.
	ReadOnly bool
	// Mounts are host directories or files that guests see below the root, in
	// the order in which they are mounted.
	Mounts []Mount
	// Placement says which of the machine's servers share a process.
	Placement Placement
	// Servers are servers of the embedding program that the machine has beside its
	// own; each starts when it is asked for the first time. Main has to know them.
	Servers []Server
	// Hostname is what uname shows, and what /etc/hosts has an address for unless the root is
	// read-only; empty: the machine's ID.
	Hostname string
	// Memory limits the bytes of memory that guests may use together; 0: no limit.
	Memory int64
	// Pids limits the number of guest processes and threads; 0: no limit but the
	// one that keeps the host able to fork, a quarter of its process numbers.
	Pids int
	// Processors are the numbers of the host's processors on which the machine's guests
	// and servers run; none: where the caller may. Guests are told of these alone.
	Processors []int
	// Scheduling is what guests may take beyond the machine's own share.
	Scheduling Scheduling
	// Network is what the machine has beside its own loopback interface; the zero
	// value is nothing.
	Network Network
	// WASI is the host's file with the program that runs WebAssembly modules
	// (cmd/hythe-wasi); empty: they cannot be executed.
	WASI string
	// NoPatch leaves the text of guests alone, so that each of their system calls
	// is a trap: slower, and for a program that checks the text of its libraries.
	NoPatch bool
	// Trace, when set, receives one line for each system call of a guest that
	// reaches the unix server, for each signal that a guest handles and for each
	// end of a thread, much as strace(1) writes them. It is
	// written to from one goroutine at a time.
	Trace io.Writer
	// TracePorts, when set, receives one line for each message that is sent to a port
	// and for each that is received (docs/nucleus.md). It is written to from one
	// goroutine; of what comes faster than it takes, some is left out, and it is said how much.
	TracePorts io.Writer
	// Pcap, when set, receives what the machine's programs send and receive by IP
	// sockets, as packets in the format of libpcap (docs/network.md): up to MaxPcap bytes;
	// of what comes faster than it takes, some is left out, and it is said how much. It is
	// written to from one goroutine at a time.
	Pcap io.Writer
	// Log, when set, receives one line for each event that the user of the
	// machine should know of: a server that died and was started again, a
	// feature that the host lacks and what follows. It is called from one
	// goroutine at a time and must not block for long.
	Log func(line string)
	// Insecure lets the machine start with less isolation where the host lacks
	// something. Without it New fails instead.
	Insecure bool
}

// Scheduling is how far a machine's guests may go before others on the host, where that
// lets who runs the machine. The zero value is nowhere: they may take less than the
// machine's own share, not more. Guests that may and do can leave the host no time; servers
// go before others too while they work for them (docs/nucleus.md, Scheduling).
type Scheduling struct {
	// Nice is the lowest nice value, -20 to -1; 0: that of who runs the machine.
	Nice int
	// Priority is the highest fixed priority (SCHED_FIFO, SCHED_RR), 1 to 99; 0: none.
	Priority int
	// Deadline: they may have shares of each period (SCHED_DEADLINE).
	Deadline bool
}

// Placement is which servers of a machine share a process (docs/decisions/0017-placement.md). Nothing
// that a program sees depends on it.
type Placement string

const (
	// Together: the file servers without authority on the host (overlay, tmpfs) run in the
	// unix server's process, which asks them without a switch; they begin and end with it.
	Together Placement = "together"
	// Apart: each server has a process of its own.
	Apart Placement = "apart"
)

// defaultPlacement is what an empty Config.Placement means.
const defaultPlacement = Together

// Mount is a host directory or file that guests see at Target.
type Mount struct {
	Source   string // absolute path on the host
	Target   string // absolute path in the machine, of what Source is: a directory or not; made if it is missing
	ReadOnly bool
}

// Server is a server that the embedding program brings: a task of the machine in a
// host process of its own, which is confined (docs/security.md, "own") before Main
// is called and holds no authority but the rights that it is given. When it dies it
// is started again and finds all its rights, queues and memory objects as they were.
type Server struct {
	// Name is what the machine and other servers call it: 1 to 64 letters, digits,
	// dots, hyphens and underscores, and no name of a server of the machine.
	Name string
	// Main serves until it was told to stop (ipc.Serve does both). It has the
	// receive right of the server's port under ipc.RequestLabel.
	Main func(*ipc.Conn, *ipc.Inheritance) error
	// Uses are servers of Config.Servers to whose ports it gets send rights, labelled
	// with their names.
	Uses []string
}

// User is whom a program runs as. The numbers are the machine's own: no
// authority on the host goes with them.
type User struct {
	UID    uint32
	GID    uint32
	Groups []uint32
}

// Cmd is a program to be run. It is not changed and may be used again once
// [Machine.Start] has returned.
type Cmd struct {
	// Path is the program in the machine. Without a slash it is looked for
	// along PATH of Env.
	Path string
	// Args is argv, its first element the program's name; empty: just Path.
	Args []string
	// Env is the environment, each "key=value"; the last one of a key counts.
	// Nil: DefaultEnv, and Home.
	Env []string
	// Home adds HOME to Env where it has none: User's directory by the machine's
	// /etc/passwd, or "/" if that names none, or one that who runs the machine may
	// not read.
	Home bool
	// Dir is the working directory in the machine; empty: "/".
	Dir string
	// User is whom it runs as; the zero value is root in the machine.
	User User
	// Init makes it the machine's process 1: it inherits orphans, and with its end
	// all processes of the machine end and no other program can be started. One
	// program of a machine may be it. Without one, orphans belong to nobody, and
	// programs come and go until Close.
	Init bool
	// Stdin, Stdout and Stderr are the standard descriptors. Nil is the null
	// device. An *os.File is served directly; anything else is copied through a
	// pipe, and Wait waits until the copying has ended. With TTY set, Stdin and
	// Stdout must be the same kind of thing: the terminal or a connection to it.
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	// TTY gives the program a controlling terminal that stands for Stdin and
	// Stdout (and Stderr). If Stdin is a terminal of the host, it is in raw mode
	// while the program runs and its size is the guest's.
	TTY bool
}

// DefaultEnv is the environment of a Cmd that sets none.
func DefaultEnv() []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	}
}

// ExitError is the end of a program that did not end with status 0.
type ExitError struct {
	Code   int // exit status, when Signal is 0
	Signal int // the signal that ended it (Linux's numbers), or 0
	Core   bool
}

func (e *ExitError) Error() string {
	if e.Signal != 0 {
		s := fmt.Sprintf("signal %d", e.Signal)
		if e.Core {
			s += " (core dumped)"
		}
		return s
	}
	return fmt.Sprintf("exit status %d", e.Code)
}

// StartError says that a program could not be started.
type StartError struct {
	Path string
	Err  error // wraps fs.ErrNotExist, fs.ErrPermission or ErrFormat where that is the reason
}

func (e *StartError) Error() string { return e.Path + ": " + e.Err.Error() }

// Unwrap answers the reason.
func (e *StartError) Unwrap() error { return e.Err }

// The sentinel errors of this package.
var (
	// ErrFormat: the file is no program that a personality knows.
	ErrFormat = errors.New("no program of a known format")
	// ErrClosed: the machine has ended.
	ErrClosed = errors.New("the machine has ended")
	// ErrNoProcess: there is no such process in the machine.
	ErrNoProcess = errors.New("no such process")
	// ErrNoService: there is no such server in the machine.
	ErrNoService = errors.New("no such server")
)

// Exit codes that Hythe itself gives, as docker run does.
const (
	ExitHythe         = 125 // Hythe or its use failed
	ExitNotExecutable = 126
	ExitNotFound      = 127
	ExitSignal        = 128 // plus the number of the signal that ended the program
)

// ExitCode answers the status with which a command that ran a program should
// end itself: the program's own, 128 + n for one that signal n ended, 126 and
// 127 for one that could not be executed or found, 125 for other failures.
func ExitCode(err error) int {
	var exit *ExitError
	var start *StartError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		if exit.Signal != 0 {
			return ExitSignal + exit.Signal
		}
		return exit.Code
	case errors.As(err, &start):
		if errors.Is(err, fs.ErrNotExist) {
			return ExitNotFound
		}
		return ExitNotExecutable
	}
	return ExitHythe
}

// reserved says whether a name is one of the machine's own servers or tasks; those of
// mounts and sessions have a number behind them.
func reserved(name string) bool {
	kind, _, _ := strings.Cut(name, "-")
	return kind == "supervisor" || kind == embedder ||
		slices.ContainsFunc(serverMains(), func(m serverMain) bool { return m.name == kind })
}

func checkServers(l []Server) error {
	seen := map[string]bool{}
	for _, s := range l {
		switch {
		case !validID(s.Name):
			return fmt.Errorf("server %q: want 1 to 64 letters, digits, dots, hyphens or underscores", s.Name)
		case reserved(s.Name):
			return fmt.Errorf("server %q: the machine has its own", s.Name)
		case seen[s.Name]:
			return fmt.Errorf("server %q: there are two", s.Name)
		}
		seen[s.Name] = true
	}
	for _, s := range l {
		for _, u := range s.Uses {
			if !seen[u] {
				return fmt.Errorf("server %q uses %q: %w", s.Name, u, ErrNoService)
			}
		}
	}
	return nil
}

// ProcessInfo is a guest process as `hythe ps` shows it.
type ProcessInfo struct {
	PID         int           `json:"pid"`
	PPID        int           `json:"ppid"`
	UID         uint32        `json:"uid"`
	State       string        `json:"state"` // one letter, as ps(1): R, S, T, Z
	Threads     int           `json:"threads"`
	Personality string        `json:"personality"`
	Resident    int64         `json:"resident"` // bytes
	CPU         time.Duration `json:"cpu_ns"`
	Started     time.Time     `json:"started"`
	Args        []string      `json:"args"`
	Schedule                  // of its first thread
}

// Schedule is where a process of a guest or a server runs, and before or after whom.
type Schedule struct {
	Class      string `json:"class"` // normal, batch, idle, fifo, rr, deadline (sched(7)); "" if nothing runs
	Nice       int    `json:"nice"`
	Priority   int    `json:"priority"`   // of fifo and rr
	Processors string `json:"processors"` // the host's numbers, as 0-2,5
}

// SocketInfo is an IP socket of a guest that has an address, as `hythe ps -n` shows it.
type SocketInfo struct {
	Proto   string `json:"proto"` // tcp, udp, icmp, raw, and the same with a 6
	Local   string `json:"local"` // ADDRESS:PORT, an IPv6 address in brackets
	Remote  string `json:"remote,omitempty"`
	State   string `json:"state,omitempty"` // TCP's word, as ss(8) has it: LISTEN, ESTAB...
	Waiting uint32 `json:"waiting"`         // bytes, of a listener connections, that nobody has taken
	UID     uint32 `json:"uid"`
	PIDs    []int  `json:"pids"` // who has it open
}

// CounterInfo is a counter of the machine as `hythe stats` shows it (docs/network.md has
// those of the network): how many of something there are, or have been since its start.
type CounterInfo struct {
	Name  string `json:"name"`
	Value uint64 `json:"value"`
}

// ServiceInfo is a server of the machine as `hythe services` shows it.
type ServiceInfo struct {
	Name        string        `json:"name"`
	State       string        `json:"state"`        // starting, running, stopped, backing off
	HostPID     int           `json:"host_pid"`     // 0 while it does not run
	In          string        `json:"in,omitempty"` // the server in whose process it runs; empty: its own
	Incarnation int           `json:"incarnation"`
	Restarts    int           `json:"restarts"`
	Requests    int           `json:"requests"` // of its clients, without an answer: calls that wait count
	LastDeath   string        `json:"last_death,omitempty"`
	Resident    int64         `json:"resident"` // bytes
	CPU         time.Duration `json:"cpu_ns"`
	Started     time.Time     `json:"started"`
	Schedule
}

// PortInfo is a port of the nucleus as `hythe ports` shows it.
type PortInfo struct {
	Receiver string `json:"receiver"` // the task that holds the receive right
	Name     uint32 `json:"name"`     // the receiver's name for it
	Label    string `json:"label"`
	Queued   int    `json:"queued"`
	Limit    int    `json:"limit"`
	Senders  int    `json:"senders"` // send rights that exist
	// Blocked messages wait for room in the queue; Messages came so far.
	Blocked  int    `json:"blocked"`
	Messages uint32 `json:"messages"`
	// Holders are the tasks that can send to it, Rights what they have it by.
	Holders []string    `json:"holders"`
	Rights  []PortRight `json:"rights,omitempty"`
	// Rate is how many messages came in a second, where somebody has looked twice.
	Rate float64 `json:"rate,omitempty"`
}

// PortRight is a task's right to a port.
type PortRight struct {
	Task string `json:"task"` // a guest's task is task-N
	Kind string `json:"kind"` // send or send-once
	Refs uint32 `json:"refs"`
}

// CallInfo counts a system call of a personality, as `hythe trace` shows it.
type CallInfo struct {
	Personality string `json:"personality"`
	Name        string `json:"name"`
	Nr          int    `json:"nr"`
	Count       uint64 `json:"count"`
	// Unserved: the personality does not know the call and answered as its
	// system does for numbers that do not exist.
	Unserved bool `json:"unserved,omitempty"`
}

// engine is the wiring of one machine: nucleus, servers and guests. It is
// written in machine.go; what is around it (checks, copying, waiting) is here.
// Its methods may be called from any goroutine.
type engine interface {
	// start starts a program whose fields are checked and complete. stdio are
	// three open files; the engine keeps them (or duplicates of them) only as
	// long as the program may use them, and the caller closes its own.
	start(ctx context.Context, c *Cmd, stdio [3]*os.File) (process, error)
	processes(ctx context.Context) ([]ProcessInfo, error)
	sockets(ctx context.Context) ([]SocketInfo, error)
	counters(ctx context.Context) ([]CounterInfo, error)
	services(ctx context.Context) ([]ServiceInfo, error)
	ports(ctx context.Context) ([]PortInfo, error)
	calls(ctx context.Context) ([]CallInfo, error)
	// follow writes a line for each message between ports until ctx or the machine ends.
	follow(ctx context.Context, out io.Writer) error
	// followCalls writes a line for each call of guests until ctx, the machine or those
	// whom f names end.
	followCalls(ctx context.Context, out io.Writer, f Follow) error
	// kill answers an error that wraps ErrNoProcess if there is no such process.
	kill(ctx context.Context, pid, sig int) error
	// restart kills the server; its next incarnation takes over. It returns
	// when that one serves. An error wraps ErrNoService if there is none.
	restart(ctx context.Context, name string) error
	// replace gives a server another process.
	replace(ctx context.Context, name string, v Version) error
	// connect makes a task in this process with send rights to servers of Config.
	connect(servers []string) (*ipc.Conn, *ipc.Inheritance, error)
	// close ends all guests and servers and returns when nothing is left.
	close() error
}

// process is a started program, as the engine gives it.
type process interface {
	pid() int
	signal(sig int) error
	// wait blocks until the program has ended and answers nil or an *ExitError,
	// or another error if the machine ended first. It is called once.
	wait() error
	// end gives back what the program had of the engine, its stdio among it; what
	// is left of its processes loses that. It is called once, after wait.
	end()
}

// resizer is a process with a terminal.
type resizer interface {
	// resized says that the host terminal behind stdio may have another size.
	resized()
}

// Machine is a running machine. Its methods may be called from any goroutine.
type Machine struct {
	id  string
	eng engine

	closeOnce sync.Once
	closeErr  error
}

// New starts a machine: nucleus, servers, and no guest yet. The context bounds
// the start only. The machine runs until Close; if the calling process dies, the
// host ends all of it.
//
// Errors: a configuration that is wrong, or a host that failed. That the host
// lacks what isolation needs (and Insecure is not set) can show while the
// servers start: then the first Start says so.
func New(ctx context.Context, c Config) (*Machine, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	eng, err := newEngine(ctx, &c)
	if err != nil {
		return nil, err
	}
	return &Machine{id: c.ID, eng: eng}, nil
}

// complete checks the configuration and fills in what was left out.
func (c *Config) complete() error {
	if c.ID == "" {
		var b [4]byte
		rand.Read(b[:]) // never fails
		c.ID = hex.EncodeToString(b[:])
	}
	if !validID(c.ID) {
		return fmt.Errorf("machine id %q: want 1 to 64 letters, digits, dots, hyphens or underscores", c.ID)
	}
	if c.Root == "" {
		c.Root = "/"
	}
	if !path.IsAbs(c.Root) {
		return fmt.Errorf("root %q: not an absolute path", c.Root)
	}
	if fi, err := os.Stat(c.Root); err != nil {
		return fmt.Errorf("root: %w", err)
	} else if !fi.IsDir() {
		return fmt.Errorf("root %q: not a directory", c.Root)
	}
	for i, m := range c.Mounts {
		if !path.IsAbs(m.Source) || !path.IsAbs(m.Target) {
			return fmt.Errorf("mount %s:%s: both must be absolute paths", m.Source, m.Target)
		}
		if path.Clean(m.Target) == "/" {
			return fmt.Errorf("mount %s:%s: the root is set by Root", m.Source, m.Target)
		}
		if strings.ContainsRune(m.Source+m.Target, 0) {
			return fmt.Errorf("mount %q: a path holds no zero byte", m.Target)
		}
		fi, err := os.Stat(m.Source)
		if err != nil {
			return fmt.Errorf("mount: %w", err)
		}
		if err := c.checkPoint(i, fi.IsDir()); err != nil {
			return err
		}
	}
	switch c.Placement {
	case "":
		c.Placement = defaultPlacement
	case Together, Apart:
	default:
		return fmt.Errorf("placement %q: want %q or %q", c.Placement, Together, Apart)
	}
	if err := checkServers(c.Servers); err != nil {
		return err
	}
	if c.Hostname == "" {
		c.Hostname = c.ID
	}
	// HOST_NAME_MAX of Linux (limits.h).
	if len(c.Hostname) > 64 || strings.ContainsAny(c.Hostname, "\x00\n/ ") {
		return fmt.Errorf("hostname %q: want at most 64 bytes, no spaces or slashes", c.Hostname)
	}
	if c.Memory < 0 {
		return fmt.Errorf("memory limit %d: negative", c.Memory)
	}
	if c.Pids < 0 {
		return fmt.Errorf("process limit %d: negative", c.Pids)
	}
	if s := c.Scheduling; s.Nice < -20 || s.Nice > 0 || s.Priority < 0 || s.Priority > 99 {
		return fmt.Errorf("scheduling: a nice value of %d, a priority of %d: the former are -20 to -1, the latter 1 to 99", s.Nice, s.Priority)
	}
	for _, n := range c.Processors {
		if n < 0 || n >= machine.MaxProcessors {
			return fmt.Errorf("processor %d: the numbers are 0 to %d", n, machine.MaxProcessors-1)
		}
	}
	if err := c.Network.complete(); err != nil {
		return err
	}
	return nil
}

// checkPoint refuses what Mounts[i] cannot be mounted on, as far as that is seen from here: no symbolic link
// leads there, and no other mount is above it. Of others the unix server says it when it starts.
func (c *Config) checkPoint(i int, dir bool) error {
	m := c.Mounts[i]
	target := path.Clean(m.Target)
	for _, b := range c.Mounts[:i] {
		if t := path.Clean(b.Target); target == t || strings.HasPrefix(target, t+"/") {
			return nil
		}
	}
	root, err := filepath.EvalSymlinks(c.Root)
	if err != nil {
		return nil
	}
	at := filepath.Join(root, target)
	there := at // or the lowest above it that is
	fi, err := os.Lstat(there)
	for errors.Is(err, fs.ErrNotExist) && there != root {
		there = filepath.Dir(there)
		fi, err = os.Lstat(there)
	}
	if err != nil {
		return nil
	}
	switch real, err := filepath.EvalSymlinks(there); {
	case err != nil || real != there:
	case there != at && c.ReadOnly:
		return fmt.Errorf("mount %s:%s: there is no such path, and none can be made in a root that is read-only", m.Source, m.Target)
	case there == at && fi.IsDir() != dir:
		return fmt.Errorf("mount %s:%s: one is a directory, the other is not", m.Source, m.Target)
	}
	return nil
}

func validID(s string) bool {
	if len(s) == 0 || len(s) > 64 || s == "." || s == ".." {
		return false
	}
	for _, r := range s {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '-', r == '_':
		default:
			return false
		}
	}
	return true
}

// ID answers the machine's name.
func (m *Machine) ID() string { return m.id }

// Processes answers all guest processes, in the order of their numbers.
func (m *Machine) Processes(ctx context.Context) ([]ProcessInfo, error) { return m.eng.processes(ctx) }

// Sockets answers the guests' IP sockets that have an address, in the order of their
// making.
func (m *Machine) Sockets(ctx context.Context) ([]SocketInfo, error) { return m.eng.sockets(ctx) }

// Counters answers what the machine counts of itself, always in the same order.
func (m *Machine) Counters(ctx context.Context) ([]CounterInfo, error) { return m.eng.counters(ctx) }

// Services answers all servers, in the order of their names.
func (m *Machine) Services(ctx context.Context) ([]ServiceInfo, error) { return m.eng.services(ctx) }

// Ports answers all ports that the nucleus knows.
func (m *Machine) Ports(ctx context.Context) ([]PortInfo, error) { return m.eng.ports(ctx) }

// Calls answers how often each system call was made since the machine started.
func (m *Machine) Calls(ctx context.Context) ([]CallInfo, error) { return m.eng.calls(ctx) }

// FollowPorts writes a line for each message between ports, as Config.TracePorts, from now
// on, until ctx or the machine ends, or out takes no more.
func (m *Machine) FollowPorts(ctx context.Context, out io.Writer) error {
	return m.eng.follow(ctx, out)
}

// FollowCalls writes the lines of Config.Trace from now on, until ctx or the machine ends, all
// processes that f names have ended, or out takes no more. Any number may follow. Of what comes
// faster than out takes, some is left out, and it is said how much; the last lines of a unix
// server that is killed may be missing. Of a call that was waiting already the arguments in
// memory are shown as addresses. Calls of a WebAssembly module are shown if it was executed
// since. While somebody follows, the libraries of all processes leave to the unix server what
// that can serve too. An error wraps ErrNoProcess if there is no such process.
func (m *Machine) FollowCalls(ctx context.Context, out io.Writer, f Follow) error {
	return m.eng.followCalls(ctx, out, f)
}

// Kill sends a signal (Linux's numbers) to a guest process; sig 0 only asks
// whether it exists. The error wraps ErrNoProcess if it does not.
func (m *Machine) Kill(ctx context.Context, pid, sig int) error {
	if pid <= 0 {
		return fmt.Errorf("process %d: %w", pid, ErrNoProcess)
	}
	if sig < 0 || sig > maxSignal {
		return fmt.Errorf("signal %d: no such signal", sig)
	}
	return m.eng.kill(ctx, pid, sig)
}

// maxSignal is Linux's highest signal number (_NSIG).
const maxSignal = 64

// Restart kills a server and returns when its next incarnation serves. Guests
// notice a delay and nothing else.
func (m *Machine) Restart(ctx context.Context, server string) error {
	return m.eng.restart(ctx, server)
}

// Version says what a server is replaced by.
type Version struct {
	// Program is a file of the host: a program that calls Main with the server, built
	// without cgo; empty: this program.
	Program string
	// Name is the server of those given to Main in Program that is run; empty: that of
	// the same name. The machine's own servers have no other.
	Name string
}

// Replace puts another version of a server in its place while it serves, and returns
// when that one does. The new process is made first; the old one takes no more
// requests, does those that it has taken (ipc.Serve sees to that), and ends; the new one
// inherits its ports, what waits there, the requests that were not answered, its memory
// objects. Clients notice a delay of a start and nothing else.
//
// Where the new version does not come to serve (or ctx ends before), the old one is
// started again, and the error says so: a new version leaves the state of record such
// that the old one can read it until it serves. An error wraps ErrNoService if there is
// no such server.
func (m *Machine) Replace(ctx context.Context, server string, v Version) error {
	return m.eng.replace(ctx, server, v)
}

// Connect makes a task of the machine in this process, which holds a send right,
// labelled with its name, to each of the servers of Config.Servers that are named
// (Inheritance.Send finds it), and to "names", the name server, where the ports of
// guests are found and such that guests can find (package hythe/idl/names). The task ends with Conn.Close. An error wraps
// ErrNoService if there is no such server.
func (m *Machine) Connect(servers ...string) (*ipc.Conn, *ipc.Inheritance, error) {
	return m.eng.connect(servers)
}

// Close ends all guests and servers and returns when nothing is left of the
// machine on the host. It may be called more than once.
func (m *Machine) Close() error {
	m.closeOnce.Do(func() { m.closeErr = m.eng.close() })
	return m.closeErr
}

// Run starts a program and waits for its end: Start, then Wait. When the
// context ends first, the program is killed and the context's error is answered.
func (m *Machine) Run(ctx context.Context, c *Cmd) error {
	p, err := m.Start(ctx, c)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(killPatience, func() { _ = m.eng.restart(context.Background(), "unix") })
		_ = p.Signal(9)
		<-p.done
		t.Stop()
	})
	err = p.Wait()
	if !stop() && err != nil {
		return context.Cause(ctx)
	}
	return err
}

// killPatience is how long the unix server may take to kill a program before it is
// taken for one that hangs, and started again: the next one does.
const killPatience = 3 * time.Second

// Start starts a program. The context bounds the start only. The error is a
// *StartError if the program could not be found or executed.
func (m *Machine) Start(ctx context.Context, c *Cmd) (*Process, error) {
	cc, err := c.complete()
	if err != nil {
		return nil, err
	}
	io3 := newStdio()
	files, err := io3.open(cc)
	if err != nil {
		io3.abandon()
		return nil, err
	}
	p, err := m.eng.start(ctx, cc, files)
	if err != nil {
		io3.abandon()
		return nil, err
	}
	io3.started()
	return &Process{p: p, io: io3, init: cc.Init, done: make(chan struct{})}, nil
}

// complete checks a command and answers a copy with what was left out.
func (c *Cmd) complete() (*Cmd, error) {
	cc := *c
	if cc.Path == "" {
		return nil, errors.New("no program given")
	}
	if len(cc.Args) == 0 {
		cc.Args = []string{cc.Path}
	}
	if cc.Env == nil {
		cc.Env, cc.Home = DefaultEnv(), true
	}
	if cc.Dir == "" {
		cc.Dir = "/"
	}
	if !path.IsAbs(cc.Dir) {
		return nil, fmt.Errorf("working directory %q: not an absolute path", cc.Dir)
	}
	env, err := cleanEnv(cc.Env)
	if err != nil {
		return nil, err
	}
	cc.Env = env
	for _, s := range append([]string{cc.Path, cc.Dir}, cc.Args...) {
		if strings.IndexByte(s, 0) >= 0 {
			return nil, fmt.Errorf("%q: a zero byte in a path or an argument", s)
		}
	}
	return &cc, nil
}

// cleanEnv keeps the last setting of each key, in the place of its first.
func cleanEnv(env []string) ([]string, error) {
	at := make(map[string]int, len(env))
	out := make([]string, 0, len(env))
	for _, kv := range env {
		k, _, ok := strings.Cut(kv, "=")
		if !ok || k == "" || strings.IndexByte(kv, 0) >= 0 {
			return nil, fmt.Errorf("environment %q: want key=value", kv)
		}
		if i, ok := at[k]; ok {
			out[i] = kv
			continue
		}
		at[k] = len(out)
		out = append(out, kv)
	}
	return out, nil
}

// Process is a started program. Its methods may be called from any goroutine.
type Process struct {
	p    process
	io   *stdio
	init bool

	once sync.Once
	done chan struct{}
	err  error
}

// PID answers the program's process number in the machine.
func (p *Process) PID() int { return p.p.pid() }

// Signal sends a signal (Linux's numbers) to the program. The error wraps
// ErrNoProcess once it has ended.
func (p *Process) Signal(sig int) error {
	if sig < 0 || sig > maxSignal {
		return fmt.Errorf("signal %d: no such signal", sig)
	}
	return p.p.signal(sig)
}

// Resized tells the program's terminal that the host's terminal may have
// another size. A program that passes a terminal of the host on calls it when it
// receives SIGWINCH. It does nothing for a program without a terminal.
func (p *Process) Resized() {
	if r, ok := p.p.(resizer); ok {
		r.resized()
	}
}

// Wait blocks until the program has ended and its output is written, and
// answers nil for status 0, an *ExitError for any other end, and another error if
// the machine ended or output could not be written. It may be called more than
// once.
func (p *Process) Wait() error {
	p.once.Do(func() {
		err := p.p.wait()
		// What process 1 has ends with the machine, a moment later most often.
		if !p.init || p.io.pumping() {
			p.p.end()
		}
		if e := p.io.finish(); err == nil {
			err = e
		}
		p.err = err
		close(p.done)
	})
	<-p.done
	return p.err
}
