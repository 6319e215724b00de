package unix

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"hythe/abi"
	"hythe/idl/console"
	"hythe/ipc"
	"hythe/server/unix/core"
)

// Sessions of the console: for each `hythe run` or `hythe exec` a console server
// of its own, to which a binding leads that has the session's number in its
// label. The binding is made when the session's program is asked for; the next
// incarnation finds it again. The server behind it starts with the first request,
// which for a program that says nothing is none.

// session is the way to one console server.
type session struct {
	binding uint64
	client  *console.Client
}

const sessionLabel = "session:"

// drainTime bounds how long the end of a program is held up by a host that does
// not take its output.
const drainTime = 5 * time.Second

// inheritSessions takes up the sessions that the last incarnation had.
func (s *server) inheritSessions(in *ipc.Inheritance) error {
	for _, b := range in.Bindings {
		n, ok := strings.CutPrefix(b.Label, sessionLabel)
		if !ok || b.Role != abi.RoleClient {
			continue
		}
		id, err := strconv.ParseUint(n, 10, 32)
		if err != nil {
			return fmt.Errorf("session %q: %w", n, err)
		}
		cb, err := in.Client(s.conn, b.Label, "", console.Slots)
		if err != nil {
			return err
		}
		if e := s.addSession(uint32(id), cb, s.k.ConsoleTerminal(uint32(id))); e != 0 {
			s.Log(fmt.Sprintf("session %d: %s", id, e.Name()))
		}
	}
	return nil
}

// addSession makes a console server known to the core; terminal says whether one
// of its streams is one.
func (s *server) addSession(id uint32, b *ipc.ClientBinding, terminal bool) abi.Errno {
	client := console.NewClient(b)
	if terminal {
		if e := client.WatchTerminal(func() {
			s.k.Enter()
			s.k.ConsoleResized(id)
			s.k.Leave()
		}); e != 0 {
			return e
		}
	}
	se := &session{binding: b.ID, client: client}
	s.smu.Lock()
	s.sessions[id] = se
	s.smu.Unlock()
	s.k.Enter()
	s.k.SetConsole(id, client)
	s.k.Leave()
	return 0
}

// openSession makes the session that a request to start a program names, with
// the console server to which the request brought a send right.
func (s *server) openSession(id uint32, streams [console.Streams]console.Info, m *ipc.Message) abi.Errno {
	var info [console.Streams]core.ConsoleInfo
	terminal := false
	for i, v := range streams {
		info[i] = core.ConsoleInfo{Mode: v.Mode, Size: v.Size, Closed: v.Flags&console.InfoClosed != 0, Terminal: v.Flags&console.InfoTerminal != 0}
		terminal = terminal || info[i].Terminal
	}
	s.smu.Lock()
	se := s.sessions[id]
	s.smu.Unlock()
	if se == nil {
		if id == 0 || len(m.Rights) != 1 {
			return abi.EINVAL
		}
		b, e := s.conn.Bind(m.Rights[0].Name, console.Slots, sessionLabel+strconv.Itoa(int(id)))
		if e != 0 {
			return e
		}
		if e := s.addSession(id, b, terminal); e != 0 {
			return e
		}
	}
	s.k.Enter()
	defer s.k.Leave()
	return s.k.MakeConsole(id, info)
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
		_ = s.conn.Unbind(se.binding)
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
