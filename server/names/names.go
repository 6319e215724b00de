// Package names is the name server: a table of send rights that all guests of a
// machine, and its embedder's servers, can be found in. It knows nothing of who asks.
//
// Its state of record are durable labels: of each registered right there is a port
// that nobody sends to, whose label is the name and the server's own number for the
// right. A registration is complete when its label is stored; what the server had not
// answered when it died comes to its next incarnation in the same bytes.
package names

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"hythe/abi"
	"hythe/idl/names"
	"hythe/ipc"
)

// MaxAwaits is how many requests wait for names. (Who asks pays for them.)
const MaxAwaits = 4096

// sweepEvery is how many of the requests that find no room have the table swept, which
// costs a call for each that waits: one of so many.
const sweepEvery = 256

type entry struct {
	right abi.Name
	label abi.Name // the port; NameNull for what the machine gave
}

type server struct {
	c *ipc.Conn

	mu      sync.Mutex
	byName  map[string]entry
	waiting map[string][]*ipc.Message
	waits   int
	refused int // since one found room
}

// Main serves on conn until the nucleus says stop. ready is called before the first
// request.
func Main(c *ipc.Conn, ready func() error) error {
	in, err := ipc.Startup(c)
	if err != nil {
		return err
	}
	s := &server{c: c, byName: map[string]entry{}, waiting: map[string][]*ipc.Message{}}
	if err := ready(); err != nil {
		return err
	}
	s.inherit(in)
	return ipc.ServeWith(c, in, ipc.Handlers{Dead: func(n abi.Name, _ uint64) { s.died(n) }}, s.serve)
}

// inherit rebuilds the table: rights with labels are the machine's own, under their
// names; the rest stands in the labels of ports.
func (s *server) inherit(in *ipc.Inheritance) {
	dead := map[abi.Name]bool{}
	for i := range in.Rights {
		switch r := &in.Rights[i]; {
		case r.Kind == abi.RightDead:
			dead[r.Name] = true
		case r.Kind == abi.RightSend && r.Label != "":
			s.byName[r.Label] = entry{right: r.Name}
		}
	}
	for i := range in.Rights {
		r := &in.Rights[i]
		if r.Kind != abi.RightReceive || r.Label == ipc.RequestLabel {
			continue
		}
		name, number, ok := strings.Cut(r.Label, "\x00")
		right, err := strconv.ParseUint(number, 10, 32)
		if !ok || err != nil {
			s.c.DropReceive(r.Name) // the label was not stored any more
			continue
		}
		s.byName[name] = entry{abi.Name(right), r.Name}
	}
	for n := range dead {
		s.died(n)
	}
}

// died forgets the names of a right whose port is dead.
func (s *server) died(right abi.Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, e := range s.byName {
		if e.right == right {
			delete(s.byName, name)
			if e.label != abi.NameNull {
				s.c.DropReceive(e.label)
			}
			s.c.Deallocate(right)
		}
	}
}

func (s *server) serve(m *ipc.Message) *ipc.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := string(m.Body)
	e := abi.EINVAL
	valid := name != "" && len(name) <= names.MaxName && !strings.Contains(name, "\x00")
	have, found := s.byName[name]
	switch {
	case m.ID == names.MsgRegister && valid && len(m.Rights) == 1 && m.Rights[0].Kind == abi.RightSend && m.Rights[0].Name != abi.NameNull:
		e = s.register(name, m.Rights[0].Name)
		if e != 0 {
			break
		}
		m.Rights = nil // kept
	case (m.ID == names.MsgLookup || m.ID == names.MsgAwait) && valid && found:
		s.drop(m)
		return s.found(have)
	case m.ID == names.MsgLookup && valid:
		e = abi.ENOENT
	case m.ID == names.MsgAwait && valid && m.Reply != abi.NameNull:
		e = abi.EAGAIN
		if s.waits == MaxAwaits && s.refused%sweepEvery == 0 {
			s.sweep()
		}
		if s.waits < MaxAwaits {
			s.drop(m)
			s.waits++
			s.refused = 0
			s.waiting[name] = append(s.waiting[name], m)
			return nil
		}
		s.refused++
	}
	s.drop(m)
	return &ipc.Message{Body: names.Answer(e)}
}

// sweep forgets the requests whose askers are gone.
func (s *server) sweep() {
	s.waits = 0
	for name, l := range s.waiting {
		keep := l[:0]
		for _, m := range l {
			r, e := s.c.Call(abi.CallPortStatus, [6]uint64{uint64(m.Reply)}, nil, nil)
			if e == 0 && r.A[0]&(1<<abi.RightSendOnce) != 0 {
				keep = append(keep, m)
				continue
			}
			s.c.Deallocate(m.Reply)
		}
		if s.waiting[name] = keep; len(keep) == 0 {
			delete(s.waiting, name)
		}
		s.waits += len(keep)
	}
}

func (s *server) found(e entry) *ipc.Message {
	return &ipc.Message{Body: names.Answer(0), Rights: []abi.RightDesc{{Name: e.right, Disp: abi.CopySend}}}
}

// drop gives up what a request carried and nobody wants.
func (s *server) drop(m *ipc.Message) {
	for _, r := range m.Rights {
		if r.Kind == abi.RightReceive {
			s.c.DropReceive(r.Name)
		} else if r.Name != abi.NameNull && r.Name != abi.NameDead {
			s.c.Deallocate(r.Name)
		}
	}
	for _, o := range m.Objects {
		s.c.Deallocate(o.Name)
	}
	m.Rights, m.Objects = nil, nil
}

func (s *server) register(name string, right abi.Name) abi.Errno {
	if have, ok := s.byName[name]; ok {
		if have.right == right {
			return 0 // the last incarnation did it
		}
		return abi.EEXIST
	}
	if len(s.byName) >= names.MaxNames {
		return abi.ENOSPC
	}
	label, e := s.c.MakePort(fmt.Sprintf("%s\x00%d", name, right))
	if e != 0 {
		return e
	}
	if e := s.c.NotifyDead(right); e != 0 {
		s.c.DropReceive(label)
		return abi.EPIPE
	}
	s.byName[name] = entry{right, label}
	for _, m := range s.waiting[name] {
		s.waits--
		_ = s.c.AnswerWith(m, s.found(s.byName[name])) // who is gone wants no answer
	}
	delete(s.waiting, name)
	return 0
}
