package nucleus

import (
	"errors"

	"hythe/abi"
	"hythe/machine"
)

// Errors of Server.Replace.
var (
	ErrStopped   = errors.New("nucleus: the server does not run, or ended while its successor was made")
	ErrReplacing = errors.New("nucleus: the server is being replaced already")
	ErrSuccessor = errors.New("nucleus: the new process ended before it served")
)

// successor is the process that is to have a server's place: on its channel nothing
// comes before the old process is gone.
type successor struct {
	ctx     machine.Context
	link    *link
	spec    machine.ServerSpec
	config  []byte
	started bool // the process is there, and the old one is told to stop
	over    func(error)
}

// Replace gives the server another process while it serves
// (docs/decisions/0009-live-replacement.md). The new process is made first; then the
// old one is told to stop (EventStop): it takes nothing more, does what it has taken,
// and ends. In the same step the new one inherits queues, unanswered requests, rights,
// labels, objects, bindings: there is one process at a time that has them, and never
// nobody. Slow: it makes a process.
//
// An error says that all is as it was. Otherwise over is called once, as a hook: with
// nil when the new process serves (CallReady), with ErrSuccessor when it ended before.
// Then the next incarnation's process is of the old kind again, and must be able to
// read the state of record. A process that does not end when it is told to, or does not
// come to serve, is the supervisor's affair (Hurry, Recall).
func (s *Server) Replace(p machine.ServerSpec, config []byte, over func(error)) error {
	n, far, err := s.prepare(p, config, over)
	if err != nil {
		return err
	}
	if p.Log == nil {
		p.Log = s.logLine
	}
	err = s.k.m.StartServer(n.ctx, far, p)
	far.Release()
	s.k.enter()
	defer s.k.leave()
	if err == nil && s.next == n {
		n.started, s.leaving = true, true
		s.t.post(&abi.CallHeader{Op: abi.EventStop}, nil, nil)
		return nil
	}
	if err == nil {
		err = ErrStopped
	}
	if s.next == n {
		s.next = nil
	}
	n.ctx.Kill(err.Error())
	n.ctx.Close()
	return err
}

// Hurry ends the process that was told to stop and has not, if there is one.
func (s *Server) Hurry(reason string) {
	s.k.enter()
	defer s.k.leave()
	if n := s.next; n != nil && n.started {
		s.t.ctx.Kill(reason)
	}
}

// Recall ends a new process that does not serve yet, if there is one.
func (s *Server) Recall(reason string) {
	s.k.enter()
	defer s.k.leave()
	switch n := s.next; {
	case n != nil && n.started:
		n.ctx.Kill(reason)
	case s.trial != nil:
		s.t.ctx.Kill(reason)
	}
}

// prepare makes the channel of a successor.
func (s *Server) prepare(p machine.ServerSpec, config []byte, over func(error)) (*successor, machine.Handle, error) {
	s.k.enter()
	defer s.k.leave()
	switch {
	case s.t.gone || s.k.stopped:
		return nil, nil, ErrGone
	case !s.running:
		return nil, nil, ErrStopped
	case s.next != nil || s.trial != nil:
		return nil, nil, ErrReplacing
	case len(config) > abi.MaxInline:
		return nil, nil, ErrConfig
	}
	l := &link{k: s.k, t: s.t}
	ctx, far, err := s.k.m.NewChannel(l)
	if err != nil {
		return nil, nil, err
	}
	s.next = &successor{ctx: ctx, link: l, spec: p, config: config, over: over}
	return s.next, far, nil
}

// succeed gives the place of a process that ended to its successor; false: there is
// none. The lock is held.
func (s *Server) succeed() bool {
	n := s.next
	s.next = nil
	if n == nil || !n.started {
		return false // Replace sees it
	}
	s.back, s.trial = s.spec.Process, n.over
	s.spec.Process = n.spec
	s.introduce(n.ctx, n.link, n.config)
	return true
}

// tried ends the trial of a successor that has inherited, if there is one: it serves,
// or it ended.
func (s *Server) tried(err error) {
	f := s.trial
	if f == nil {
		return
	}
	if err != nil {
		s.spec.Process = s.back
	}
	s.trial, s.back = nil, machine.ServerSpec{}
	s.k.later = append(s.k.later, func() { f(err) })
}

// lost is told that a channel that is not the task's any more, or not yet, has ended.
func (s *Server) lost(l *link) {
	if n := s.next; n != nil && n.link == l {
		s.next = nil
		if !n.started {
			return // Replace sees it
		}
		n.ctx.Close()
		s.k.later = append(s.k.later, func() { n.over(ErrSuccessor) })
	}
}

// alone ends a successor when its server is given up.
func (s *Server) alone() {
	if n := s.next; n != nil {
		s.next = nil
		if n.started {
			n.ctx.Kill("its server is gone")
			n.ctx.Close()
			s.k.later = append(s.k.later, func() { n.over(ErrGone) })
		}
	}
	s.tried(ErrGone)
}
