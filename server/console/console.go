// Package console is the console server: a process of its own that moves bytes
// between the host's standard streams and the unix server, by the protocol of
// idl/console. It holds the host's descriptors and nothing else.
package console

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"hythe/abi"
	proto "hythe/idl/console"
	"hythe/ipc"
	"hythe/server/console/core"
)

// Config is what the supervisor tells a console server (EventGo's JSON).
type Config struct {
	// FDs are the descriptors of the three streams in the server's process,
	// -1 for one that does not exist.
	FDs [proto.Streams]int `json:"fds"`
	// Termios are the settings of the host's terminal before Hythe changed them
	// (struct termios of asm-generic/termbits.h, in the host's byte order), or
	// empty: then those in force now. A next incarnation must be given them: its
	// predecessor may have left the terminal raw.
	Termios []byte `json:"termios,omitempty"`
}

// PortLabel is the durable label of the port on which clients bind. The
// supervisor makes the port and gives the server its receive right.
const PortLabel = "console"

// stateSize is the address space of the state of record.
const stateSize = 16 << 20

// Main is a console server's process: it serves until the nucleus tells it to
// stop, and then sets the terminal as it was. ready is called when it has
// recovered and is about to serve (to confine the process).
func Main(ready func() error) error {
	// The window size has changed: the supervisor passes its own SIGWINCH on.
	winch := make(chan os.Signal, 1)
	signal.Notify(winch, unix.SIGWINCH)
	// Those that the host's terminal sends to a whole process group are for the
	// supervisor: it ends the machine in order.
	signal.Ignore(unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGHUP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU)

	conn, err := ipc.Dial(ipc.ControlFD)
	if err != nil {
		return err
	}
	in, err := ipc.Startup(conn)
	if err != nil {
		return err
	}
	return run(conn, in, ready, winch)
}

func run(conn *ipc.Conn, in *ipc.Inheritance, ready func() error, winch <-chan os.Signal) error {
	conf := Config{FDs: [proto.Streams]int{-1, -1, -1}}
	if err := in.Decode(&conf); err != nil {
		return err
	}
	saved, err := termios(conf.Termios)
	if err != nil {
		return err
	}
	heap, _, err := in.State(conn, stateSize, core.Version)
	if err != nil {
		return err
	}
	host := newStreams(conf.FDs, saved)
	crashes, err := ipc.NewCrashes(conn, in)
	if err != nil {
		return fmt.Errorf("console: %w", err)
	}
	s := &server{crashes: crashes, core: core.New(heap, host)}
	l, err := ipc.NewLoop(conn, "console")
	if err != nil {
		return err
	}
	l.Take, l.Forget = s.take, s.core.Forget
	// Its requests come at the pace of a terminal or pipe.
	l.Poller.SetSpin(0)
	go func() {
		for range winch {
			s.core.Resized()
		}
	}()
	err = l.Run(in, ready)
	host.restore()
	return err
}

func termios(b []byte) (*unix.Termios, error) {
	if len(b) == 0 {
		return nil, nil
	}
	t := new(unix.Termios)
	if len(b) != binary.Size(t) {
		return nil, fmt.Errorf("console: terminal settings of %d bytes", len(b))
	}
	return t, binary.Read(bytes.NewReader(b), binary.NativeEndian, t)
}

// Termios answers the settings of a terminal in the form that Config wants, nil
// if fd is no terminal.
func Termios(fd int) []byte {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil
	}
	var b bytes.Buffer
	binary.Write(&b, binary.NativeEndian, t) // cannot fail: fixed size, into memory
	return b.Bytes()
}

// server gives the loop's requests to the core.
type server struct {
	crashes *ipc.Crashes
	core    *core.Core
}

// failpoint, when a test sets it, is called before each request is served. Atomic:
// servers of other tests may not have ended.
var failpoint atomic.Pointer[func(*proto.Request)]

// take gives one request to the core, unless it crashed this server before.
func (s *server) take(b *ipc.ServerBinding, slot int) {
	var r ipc.Request
	if s.crashes.Refuses(b, slot, &r) {
		return
	}
	if !b.Load(slot, &r) {
		b.Drop(slot)
		return
	}
	q := &proto.Request{Binding: b.ID, Nr: r.Nr, Args: r.Args, In: b.In(slot)[:r.InLen], Out: b.Out(slot),
		Reply: func(result uint64, n int, e abi.Errno) {
			b.Answer(slot, r.Seq, result, e, n)
			b.Complete(slot)
		},
		Crashed: func() { s.crashes.Note(b.ID, slot, r.Seq) }}
	if r.Kind != abi.KindService {
		q.Refuse(abi.ENOSYS)
		return
	}
	defer func() {
		if v := recover(); v != nil {
			core.Panicked(q, v)
		}
	}()
	if f := failpoint.Load(); f != nil {
		(*f)(q)
	}
	s.core.Handle(q)
}
