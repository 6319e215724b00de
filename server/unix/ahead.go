package unix

import (
	"hythe/abi"
	"hythe/server/unix/core"
)

// A task that forks again and again has its next child's task made ahead: channel and area are
// there, its library has been sent the child's end of them, and the core does not know it, so that
// it is nobody's process (see spare.go). The fork then asks the nucleus nothing. The host makes no
// process for it before.
//
// It is made when a task has forked for the second time, and goes with its parent, whose library
// has the other end, or at whose channel that lies; a next incarnation ends it as the spare task, and
// there it stays unused in the library's table. It counts in the nucleus as any task does: where
// there is no room it is given up. There is none for a task that makes calls of the nucleus (what its
// children have of mapped objects is found out when one is made).

// aheads is what the server makes ahead; server.mu guards it.
type aheads struct {
	incarnation uint64        // the server's
	wanted      []*task       // of whose next children tasks are to be made
	made        chan struct{} // they are being made, and this is closed when there is no more to make
	tag         uint64        // the last one
	scarce      bool          // there was no room for all: none is made before there was one for who forks
}

// family is what a task has to do with that; server.mu guards it.
type family struct {
	forks  int    // since one was given up, or there was none
	never  bool   // nothing is made ahead for it
	next   *task  // its next child's
	before *task  // whose next child's it is
	tag    uint64 // by which that one's library knows its channel
}

// aheadTag is set in the tags of channels that are sent ahead; the core's have it not. With the
// server's incarnation in it no tag is used twice in a library.
const aheadTag = 1 << 63

// forkAhead is how many forks make it likely that there is one more.
const forkAhead = 2

// NextTask implements core.Host.
func (s *server) NextTask(parent core.TaskID) (core.TaskID, uint64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tasks[parent]
	if t == nil {
		return 0, 0, false
	}
	s.forked(t)
	n := t.takeNext()
	if n == nil {
		return 0, 0, false
	}
	return core.TaskID(n.b.ID), n.tag, true
}

// forked notes that a task forks, and has the task of its next child made; s.mu is held.
func (s *server) forked(t *task) {
	t.forks++
	a := &s.aheads
	if t.forks < forkAhead || t.never {
		return
	}
	if a.scarce { // who forks next finds one
		a.scarce, t.forks = false, 0
		return
	}
	a.wanted = append(a.wanted, t)
	if a.made == nil {
		a.made = make(chan struct{})
		go s.makeAhead()
	}
}

// makeAhead makes tasks ahead as long as some are wanted.
func (s *server) makeAhead() {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := &s.aheads
	for len(a.wanted) > 0 {
		t := a.wanted[0]
		a.wanted = a.wanted[1:]
		if _, lives := s.byName[t.name]; !lives || t.next != nil || t.never {
			continue
		}
		a.tag++
		tag := aheadTag | a.incarnation<<32 | a.tag&0xffffffff
		s.mu.Unlock()
		name, b, e := s.conn.TaskCreate(t.name, abi.MaxSlots, tag)
		s.mu.Lock()
		if e == abi.ESRCH {
			continue // it has ended meanwhile
		}
		if e != 0 {
			a.scarce, a.wanted = true, nil
			break
		}
		n := s.addTask(name, b)
		n.tag, n.before, t.next = tag, t, n
		if t.never {
			s.dropNext(t)
		}
	}
	close(a.made)
	a.made = nil
}

// takeNext answers what was made ahead for a task, which is its no more; nil: nothing. server.mu is held.
func (t *task) takeNext() *task {
	n := t.next
	if n != nil {
		t.next, n.before = nil, nil
	}
	return n
}

// dropNext ends what was made ahead for a task; s.mu is held.
func (s *server) dropNext(t *task) {
	if n := t.takeNext(); n != nil {
		s.posts <- func() { _ = s.conn.TaskTerminate(n.name) }
	}
}

// makesNone has nothing made ahead for a task from now on.
func (s *server) makesNone(id core.TaskID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tasks[id]; t != nil {
		t.never = true
		s.dropNext(t)
	}
}
