package unix

import (
	"hythe/abi"
	"hythe/ipc"
	"hythe/server/unix/core"
)

// A spare task is one that was made before anybody needed it, for the next program that is
// executed: it has a channel, an area, its filter and the limits of the machine as each task
// has, has sent its KindStart, and waits for the answer. The core does not know it, so that it
// is nobody's process, and the poller does not look at it. It counts in the nucleus as any task
// does; where that leaves no room for another one it is given up.
//
// None is made before a program of the machine has executed one, and a new incarnation ends
// what the last one had in store, as all tasks that the core does not know (Kernel.Recover).

// spares is what the server has in store. server.mu guards it.
type spares struct {
	ready *task         // nil: none
	made  chan struct{} // one is being made, and this is closed then
	fresh bool          // a program has been started
	// scarce: there was no room for all. No spare is made before a program could be executed
	// without one.
	scarce bool
}

// freshTask answers the spare task, nil if there is none, and has the next one made.
func (s *server) freshTask() *task {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &s.spares
	t := p.ready
	p.ready = nil
	switch {
	case !p.fresh: // the machine's first program is to begin soon, and may be the only one
		p.fresh = true
	case p.scarce && t == nil:
		p.scarce = false // who comes next finds one
	case p.made == nil:
		p.made = make(chan struct{})
		go s.makeSpare()
	}
	return t
}

// died notes that a task has ended; server.mu is held.
func (s *server) died(t *task) {
	if s.spares.ready == t {
		s.spares.ready = nil
	}
	if t.before != nil {
		t.before.takeNext()
	}
	if t.over != nil {
		close(t.over)
	}
}

// makeSpare makes a spare task. Where there is no room it is left to those who need a task.
func (s *server) makeSpare() {
	name, b, e := s.conn.TaskCreate(abi.NameNull, abi.MaxSlots, 0)
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.spares.made)
	s.spares.made = nil
	if e != 0 {
		s.spares.scarce = true
		return
	}
	s.spares.ready = s.addTask(name, b)
}

// dropSpares ends the spare task, and those that were made ahead (ahead.go), because there is no
// room for what is needed, and waits until they have gone. false: there are none.
func (s *server) dropSpares() bool {
	s.mu.Lock()
	s.spares.scarce, s.aheads.scarce, s.aheads.wanted = true, true, nil
	for _, made := range []chan struct{}{s.spares.made, s.aheads.made} {
		if made != nil {
			s.mu.Unlock()
			<-made
			s.mu.Lock()
		}
	}
	var l []*task
	if t := s.spares.ready; t != nil {
		s.spares.ready = nil
		l = append(l, t)
	}
	for _, t := range s.tasks {
		if n := t.takeNext(); n != nil {
			t.forks = 0
			l = append(l, n)
		}
	}
	for _, t := range l {
		t.over = make(chan struct{})
	}
	s.mu.Unlock()
	for _, t := range l {
		if s.conn.TaskTerminate(t.name) == abi.EPIPE {
			return false // the machine ends
		}
	}
	for _, t := range l {
		<-t.over
	}
	return len(l) > 0
}

// room does what needs room in the nucleus, and once more without the spare tasks if there is
// none. EAGAIN.
func (s *server) room(do func() abi.Errno) abi.Errno {
	e := do()
	if e == abi.EAGAIN && s.dropSpares() {
		e = do()
	}
	return e
}

// createTask makes a task and makes it known here.
func (s *server) createTask(parent abi.Name, tag uint64) (core.TaskID, abi.Errno) {
	var name abi.Name
	var b *ipc.ServerBinding
	e := s.room(func() (e abi.Errno) {
		name, b, e = s.conn.TaskCreate(parent, abi.MaxSlots, tag)
		return e
	})
	if e != 0 {
		return 0, e
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addTask(name, b)
	return core.TaskID(b.ID), 0
}
