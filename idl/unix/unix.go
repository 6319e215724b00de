// Package unix is the control protocol between the supervisor and the unix
// server: starting programs, signals, lists. Each request is a message to the
// unix server's control port (abi.MsgHeader.ID is one of Msg...) whose bytes
// are the JSON of the request struct; the answer goes to its reply right, JSON
// of the reply struct.
package unix

import (
	"encoding/json"

	"hythe/idl/console"
)

// Message numbers.
const (
	// MsgStart carries a send right to the session's console server.
	MsgStart     = 1 // Start -> Started
	MsgWait      = 2 // Wait -> Waited, when the program has ended and the host has its output
	MsgKill      = 3 // Kill -> Done
	MsgProcesses = 4 // nothing -> Processes
	MsgCalls     = 5 // nothing -> Calls
	MsgEnd       = 6 // End -> Done
	MsgReclaim   = 7 // nothing -> Reclaimed
	MsgSockets   = 8 // nothing -> Sockets
)

// Kind is the word for a request, for people; empty if there is none of the number.
func Kind(id uint32) string {
	return map[uint32]string{MsgStart: "start", MsgWait: "wait", MsgKill: "kill", MsgProcesses: "processes",
		MsgCalls: "calls", MsgEnd: "end", MsgReclaim: "reclaim", MsgSockets: "sockets"}[id]
}

// Start asks for a program.
type Start struct {
	// Path is looked for along PATH of Env when it has no slash.
	Path   string
	Args   []string
	Env    []string
	Home   bool // adds the user's HOME where Env has none
	Dir    string
	UID    uint32
	GID    uint32
	Groups []uint32
	// Session is the number of the console session (idl/console) that its
	// streams are, from 1, never used twice. It makes a repeated request start
	// one program only.
	Session uint32
	// Streams are what the host gave the session: so nothing has to be asked of a
	// console server that the program may never use.
	Streams [console.Streams]console.Info
	TTY     bool
	// Nice is the nice value at the host of who asks, which the host gives the
	// machine's processes anyhow.
	Nice int
	// Init: it is the machine's process 1.
	Init bool
}

// Started is the answer: a pid, or an errno (neutral number) and what it means.
type Started struct {
	PID   int
	Errno uint32
	// BadDir: the error is the working directory's, not the program's.
	BadDir bool
}

// Wait asks for the end of a session's program.
type Wait struct{ Session uint32 }

// End gives a session up: whoever still has its streams finds them at their
// end.
type End struct{ Session uint32 }

// Waited is its wait status (code<<8, or signal, 0x80 core); Errno if there is
// no such program.
type Waited struct {
	Status uint32
	Errno  uint32
}

// Kill sends a signal to a process, or (PID 0) to a session's program; signal 0
// asks whether there is such a process.
type Kill struct {
	PID, Sig int
	Session  uint32
}

// Done is an errno, 0 for success.
type Done struct{ Errno uint32 }

// Reclaimed names the process that was killed because the machine uses more
// memory than it may: the one with most; PID 0 if there was none.
type Reclaimed struct {
	PID  int
	Name string
}

// Process is a row of Processes.
type Process struct {
	PID, PPID   int
	UID         uint32
	State       string
	Threads     int
	Personality string
	Resident    int64
	CPU         int64 // ns
	StartedReal int64 // ns since 1970
	Args        []string
}

// Processes is the list of all processes.
type Processes struct{ List []Process }

// Socket is a row of Sockets: one of the internet that has an address. What waits
// counts bytes, of a listener connections.
type Socket struct {
	Proto         string // tcp, tcp6, udp, udp6
	Local, Remote string // ADDRESS:PORT, "" without one
	State         string // TCP's word; "" for UDP
	Waiting       uint32
	UID           uint32
	PIDs          []int // who has it open
}

// Sockets is the list of all of them.
type Sockets struct{ List []Socket }

// CallCount is a row of Calls.
type CallCount struct {
	Personality string
	Name        string
	Nr          int
	Count       uint64
	Unserved    bool
}

// Calls is how often each call reached the server.
type Calls struct{ List []CallCount }

// Encode and Decode convert; the structs above always encode.
func Encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// Decode fails on what is no JSON of the type.
func Decode(b []byte, v any) error { return json.Unmarshal(b, v) }
