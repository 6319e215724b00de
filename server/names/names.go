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

// What one task may have here: requests that wait for names, and names. Who asks pays
// for what the nucleus keeps of them; of this server's own names, which all share, it
// takes a small part.
const (
	MaxAwaitsEach = 64
	MaxNamesEach  = 128
)

// MaxAwaits is how many requests wait for names in all.
const MaxAwaits = 16384

// sweepEvery is how many of the requests that find no room have what waits looked at,
// which costs a call for each: one of so many.
const sweepEvery = 256

type entry struct {
	right abi.Name
	label abi.Name // the port; NameNull for what the machine gave
	payer uint64   // who registered it
}

// share is what a task has here.
type share struct {
	waits, names int
	refused      int // requests to wait since one found room
}

type server struct {
	c *ipc.Conn

	mu      sync.Mutex
	byName  map[string]entry
	held    map[abi.Name]uint64 // how many names have a right: so often it is held
	waiting map[string][]*ipc.Message
	waits   int
	refused int               // since one found room
	shares  map[uint64]*share // by the number of the task that pays
}

// share is what the task has, with room to change it; done sees to it that nothing is
// kept of who has nothing.
func (s *server) share(payer uint64) *share {
	h := s.shares[payer]
	if h == nil {
		h = &share{}
		s.shares[payer] = h
	}
	return h
}

func (s *server) done(payer uint64) {
	if h := s.shares[payer]; h != nil && h.waits == 0 && h.names == 0 {
		delete(s.shares, payer)
	}
}

// Main serves on conn until the nucleus says stop. ready is called before the first
// request.
func Main(c *ipc.Conn, ready func() error) error {
	in, err := ipc.Startup(c)
	if err != nil {
		return err
	}
	s := &server{c: c, byName: map[string]entry{}, held: map[abi.Name]uint64{}, waiting: map[string][]*ipc.Message{}, shares: map[uint64]*share{}}
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
			s.add(r.Label, entry{right: r.Name})
		}
	}
	for i := range in.Rights {
		r := &in.Rights[i]
		if r.Kind != abi.RightReceive || r.Label == ipc.RequestLabel {
			continue
		}
		name, numbers, ok := strings.Cut(r.Label, "\x00")
		number, payer, _ := strings.Cut(numbers, " ")
		right, err := strconv.ParseUint(number, 10, 32)
		who, _ := strconv.ParseUint(payer, 10, 64)
		if !ok || err != nil {
			s.c.DropReceive(r.Name) // the label was not stored any more
			continue
		}
		s.add(name, entry{abi.Name(right), r.Name, who})
		s.share(who).names++
	}
	for n := range dead {
		s.died(n)
	}
}

func (s *server) add(name string, e entry) {
	s.byName[name] = e
	s.held[e.right]++
}

// died forgets the names of a right whose port is dead.
func (s *server) died(right abi.Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(right)
	// Each name came with the right; one that the last incarnation had forgotten has none.
	for range max(s.held[right], 1) {
		s.c.Deallocate(right)
	}
	delete(s.held, right)
}

// forget takes the names of a right away. The right stays until the nucleus has said that
// it is dead: until then its number is not another's.
func (s *server) forget(right abi.Name) {
	for name, e := range s.byName {
		if e.right != right {
			continue
		}
		delete(s.byName, name)
		if e.label != abi.NameNull {
			s.c.DropReceive(e.label)
			s.share(e.payer).names--
			s.done(e.payer)
		}
	}
}

// find answers what is registered under a name. What is dead is not, though that may not
// have been told yet: requests of those who know of it overtake notifications.
func (s *server) find(name string) (entry, bool) {
	have, ok := s.byName[name]
	if !ok {
		return have, false
	}
	r, e := s.c.Call(abi.CallPortStatus, [6]uint64{uint64(have.right)}, nil, nil)
	if e == 0 && r.A[0]&(1<<abi.RightSend) == 0 {
		s.forget(have.right)
		return entry{}, false
	}
	return have, true
}

func (s *server) serve(m *ipc.Message) *ipc.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := names.Dispatch(m, s)
	s.c.Drop(m)
	return a
}

func valid(name string) bool { return name != "" && !strings.Contains(name, "\x00") }

// Register implements names.Server.
func (s *server) Register(m *ipc.Message, name string, right abi.Name) abi.Errno {
	if !valid(name) || right == abi.NameDead {
		return abi.EINVAL
	}
	return s.register(name, right, m)
}

// Lookup implements names.Server.
func (s *server) Lookup(_ *ipc.Message, name string) (abi.Name, abi.Errno) {
	have, found := s.find(name)
	switch {
	case !valid(name):
		return 0, abi.EINVAL
	case !found:
		return 0, abi.ENOENT
	}
	return have.right, 0
}

// Await implements names.Server.
func (s *server) Await(m *ipc.Message, name string) (abi.Name, abi.Errno) {
	right, e := s.Lookup(m, name)
	switch {
	case e != abi.ENOENT:
		return right, e
	case m.Reply == abi.NameNull:
		return 0, abi.EINVAL
	case !s.admit(m.Payer):
		return 0, abi.EAGAIN
	}
	s.waiting[name] = append(s.waiting[name], m)
	return 0, ipc.Later
}

// admit counts one request more that waits, if there is room for it.
func (s *server) admit(payer uint64) bool {
	defer s.done(payer)
	if h := s.share(payer); h.waits == MaxAwaitsEach && h.refused%sweepEvery == 0 {
		s.sweep(func(m *ipc.Message) bool { return m.Payer == payer })
	}
	h := s.share(payer)
	if h.waits >= MaxAwaitsEach {
		h.refused++
		return false
	}
	if s.waits == MaxAwaits && s.refused%sweepEvery == 0 {
		s.sweep(func(*ipc.Message) bool { return true })
	}
	if s.waits >= MaxAwaits {
		s.refused++
		return false
	}
	h = s.share(payer)
	h.waits++
	s.waits++
	h.refused, s.refused = 0, 0
	return true
}

// over counts one less.
func (s *server) over(m *ipc.Message) {
	s.waits--
	s.share(m.Payer).waits--
	s.done(m.Payer)
}

// sweep forgets the requests among some whose askers are gone.
func (s *server) sweep(some func(*ipc.Message) bool) {
	for name, l := range s.waiting {
		keep := l[:0]
		for _, m := range l {
			if !some(m) {
				keep = append(keep, m)
				continue
			}
			r, e := s.c.Call(abi.CallPortStatus, [6]uint64{uint64(m.Reply)}, nil, nil)
			if e == 0 && r.A[0]&(1<<abi.RightSendOnce) != 0 {
				keep = append(keep, m)
				continue
			}
			s.c.Deallocate(m.Reply)
			s.over(m)
		}
		if s.waiting[name] = keep; len(keep) == 0 {
			delete(s.waiting, name)
		}
	}
}

func (s *server) register(name string, right abi.Name, m *ipc.Message) abi.Errno {
	if have, ok := s.find(name); ok {
		if have.right != right {
			return abi.EEXIST
		}
		// The last incarnation did it, of the same request; or it is said again, and the
		// right has come once more.
		r, e := s.c.Call(abi.CallPortStatus, [6]uint64{uint64(right)}, nil, nil)
		if e == 0 && r.A[5] > s.held[right] {
			s.c.Deallocate(right)
		}
		return 0
	}
	h := s.share(m.Payer)
	defer s.done(m.Payer)
	if len(s.byName) >= names.MaxNames || h.names >= MaxNamesEach {
		return abi.ENOSPC
	}
	note := fmt.Sprintf("%s\x00%d %d", name, right, m.Payer)
	label, e := s.c.MakePortFor(m, note)
	if e != 0 { // it lends nothing, or wants no answer
		label, e = s.c.MakePort(note)
	}
	if e != 0 {
		return e
	}
	if e := s.c.NotifyDead(right); e != 0 {
		s.c.DropReceive(label)
		return abi.EPIPE
	}
	s.add(name, entry{right, label, m.Payer})
	h.names++
	for _, m := range s.waiting[name] {
		s.over(m)
		_ = s.c.AnswerWith(m, names.EncodeAwaitAnswer(right, 0)) // who is gone wants no answer
	}
	delete(s.waiting, name)
	return 0
}
