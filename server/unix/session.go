package unix

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"hythe/abi"
	"hythe/idl/console"
	"hythe/ipc"
	"hythe/server/unix/core"
)

// Sessions of the console: for each `hythe run` or `hythe exec` a console server
// of its own. The session's record has the name of the send right to it; a binding
// with the session's number in its label is made beside the start of the program. The
// server behind it starts then: at the first request would be later than need be.

// session is the way to one console server.
type session struct {
	s      *server
	id     uint32
	send   abi.Name // to the console server
	client *console.Client

	mu      sync.Mutex
	binding *ipc.ClientBinding // nil: none yet; guarded by mu
	ended   bool               // guarded by mu
}

const sessionLabel = "session:"

// drainTime bounds how long the end of a program is held up by a host that does
// not take its output.
const drainTime = 5 * time.Second

// inheritSessions takes up the sessions that the last incarnation had.
func (s *server) inheritSessions(in *ipc.Inheritance) error {
	for _, v := range s.k.ConsoleSessions() {
		se := s.addSession(v.ID, abi.Name(v.Way))
		label := sessionLabel + strconv.Itoa(int(v.ID))
		for _, b := range in.Bindings {
			if b.Role != abi.RoleClient || b.Label != label {
				continue
			}
			cb, err := in.Client(s.conn, label, "", console.Slots)
			if err != nil {
				return err
			}
			se.binding = cb
		}
		if v.Terminal {
			if e := se.watchTerminal(); e != 0 {
				s.Log(fmt.Sprintf("session %d: %s", v.ID, e.Name()))
			}
		}
	}
	return nil
}

// addSession makes a console server, behind the send right, known to the core.
func (s *server) addSession(id uint32, send abi.Name) *session {
	se := &session{s: s, id: id, send: send}
	se.client = console.NewClient(se.bind)
	s.smu.Lock()
	s.sessions[id] = se
	s.smu.Unlock()
	s.k.Enter()
	s.k.SetConsole(id, se.client)
	s.k.Leave()
	return se
}

var errEnded = errors.New("the session has ended")

// bind makes the binding, unless the last incarnation did.
func (se *session) bind() (*ipc.ClientBinding, error) {
	se.mu.Lock()
	defer se.mu.Unlock()
	if se.binding != nil {
		return se.binding, nil
	}
	if se.ended {
		return nil, errEnded
	}
	b, e := se.s.conn.Bind(se.send, console.Slots, sessionLabel+strconv.Itoa(int(se.id)))
	if e != 0 {
		se.s.Log(fmt.Sprintf("session %d: no way to its console server: %s", se.id, e.Name()))
		return nil, e
	}
	se.binding = b
	return b, nil
}

// watchTerminal asks for the terminal's size, and watches it.
func (se *session) watchTerminal() abi.Errno {
	return se.client.WatchTerminal(func() {
		se.s.k.Enter()
		se.s.k.ConsoleResized(se.id)
		se.s.k.Leave()
	})
}

// end gives the way up.
func (se *session) end() {
	se.mu.Lock()
	defer se.mu.Unlock()
	se.ended = true
	if se.binding != nil {
		_ = se.s.conn.Unbind(se.binding.ID)
	}
	_ = se.s.conn.Deallocate(se.send)
}

// openSession makes the session that a request to start a program names, with
// the console server that it brought a send right to. A request that comes again finds
// it.
func (s *server) openSession(id uint32, streams [console.Streams]console.Info, send abi.Name) abi.Errno {
	s.smu.Lock()
	se := s.sessions[id]
	s.smu.Unlock()
	if se != nil {
		return 0
	}
	var info [console.Streams]core.ConsoleInfo
	terminal := false
	for i, v := range streams {
		info[i] = core.ConsoleInfo{Mode: v.Mode, Size: v.Size, Closed: v.Flags&console.InfoClosed != 0, Terminal: v.Flags&console.InfoTerminal != 0}
		terminal = terminal || info[i].Terminal
	}
	se = s.addSession(id, send)
	s.k.Enter()
	e := s.k.MakeConsole(id, uint32(send), info)
	s.k.Leave()
	switch {
	case e != 0:
	case terminal:
		e = se.watchTerminal()
	default:
		go func() { _, _ = se.bind() }()
	}
	return e
}

// endSession gives a session up.
func (s *server) endSession(id uint32) {
	s.k.Enter()
	s.k.EndConsole(id)
	s.k.Leave()
	s.smu.Lock()
	se := s.sessions[id]
	delete(s.sessions, id)
	s.smu.Unlock()
	if se != nil {
		se.end()
	}
}

// drain waits until the host has taken what guests wrote to a session's
// streams, for a bounded time, and then sets its terminal as it was.
func (s *server) drain(id uint32) {
	late := time.After(drainTime)
	for {
		more := make(chan struct{}, 1)
		s.k.Enter()
		idle := s.k.ConsoleIdle(id, func() { more <- struct{}{} })
		s.k.Leave()
		if idle {
			break
		}
		select {
		case <-more:
			continue
		case <-late:
		}
		break
	}
	s.smu.Lock()
	se := s.sessions[id]
	s.smu.Unlock()
	if se != nil {
		se.client.Restore()
	}
}
