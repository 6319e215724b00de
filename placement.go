package hythe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"hythe/idl/fs"
	"hythe/ipc"
	"hythe/machine"
	"hythe/machine/linux"
	"hythe/nucleus"
	"hythe/server/fs/overlay"
	"hythe/server/fs/tmpfs"
	unixserver "hythe/server/unix"
)

// This file is placement (docs/decisions/0017-placement.md): servers that run in the unix
// server's process (lodgers; that one is their house). For the nucleus they are servers as
// others, each with its control channel; what is together is that they begin and end.

// lodging are the servers that may run in the unix server's process: file servers that have no
// authority on the host, and no host call that it has not (confine's tests).
var lodging = map[string]struct {
	label string // of the unix server's send right
	start func(*ipc.Conn, *ipc.Inheritance, *fs.Local, func() error) error
}{
	"overlay": {"overlay", overlay.StartIn},
	"tmpfs":   {memfdLabel, tmpfs.StartIn},
}

// memfdLabel is the label of the unix server's send right to the tmpfs server.
const memfdLabel = "memfd"

// lodge gives a server its place, before any is begun.
func (w *wired) lodge(house, s *service) {
	if w.cfg.Placement != Together {
		return
	}
	s.house = house
	house.lodgers = append(house.lodgers, s)
	house.process.Args = append(house.process.Args, s.process.Name)
}

// whole are the servers of a process.
func (s *service) whole() []*service { return append([]*service{s}, s.lodgers...) }

// occupied says whether something of a process with lodgers is not over: it ends as a whole,
// but is told of one by one. w.mu is held.
func (w *wired) occupied(s *service) bool {
	return len(s.lodgers) > 0 && slices.ContainsFunc(s.whole(), func(l *service) bool { return l.runs() })
}

func (s *service) runs() bool {
	running, _, _ := s.srv.State()
	return running
}

// lodgerDead is told that a server has ended that is not alone in its process. The process
// has ended too, or was never made. w.mu is held.
func (w *wired) lodgerDead(s *service) {
	h := s.house
	if w.closed || !h.owed || w.occupied(h) {
		return
	}
	h.owed = false
	go func() {
		if err := w.begin(h.name); err != nil {
			w.again(h, err.Error(), false)
		}
	}()
}

// beginProcess starts the next incarnation of a server and of its lodgers.
func (w *wired) beginProcess(s *service) error {
	config := s.config
	if s.configure != nil {
		config = s.configure()
	}
	if len(s.lodgers) == 0 {
		return s.srv.Start(config)
	}
	w.housing.Lock()
	defer w.housing.Unlock()
	w.mu.Lock()
	spec := s.process
	w.mu.Unlock()
	defer func() { release(spec.Channels) }()
	for _, l := range s.lodgers {
		far, err := l.srv.Lodge(l.config)
		if err != nil {
			return err // ErrRunning: somebody was faster
		}
		spec.Channels = append(spec.Channels, far)
	}
	s.srv.SetProcess(spec)
	return s.srv.Start(config)
}

// replaceHouse gives the servers of a process another one. They lose nothing when they are
// killed, so the old one is; if the new one ends before all serve, the old kind is back.
func (w *wired) replaceHouse(ctx context.Context, s *service, p machine.ServerSpec) error {
	failed := make(chan struct{}, 1)
	w.mu.Lock()
	if s.trial != nil {
		w.mu.Unlock()
		return fmt.Errorf("server %s: %w", s.name, nucleus.ErrReplacing)
	}
	was := s.process
	s.process, s.trial = p, &trial{was, failed}
	all := s.whole()
	for _, l := range all {
		l.unready()
	}
	w.mu.Unlock()
	s.srv.Kill(replaceReason)
	serves := make(chan error, 1)
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { serves <- w.serving(within, all) }()
	var err error
	select {
	case err = <-serves:
	case <-failed:
		err = nucleus.ErrSuccessor
	}
	w.mu.Lock()
	s.trial = nil
	if err != nil {
		s.process = was
	}
	w.mu.Unlock()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nucleus.ErrSuccessor):
		_ = w.serving(ctx, all) // the old kind is back
	case errors.Is(err, ErrClosed):
		return err
	default:
		s.srv.Kill(replaceReason) // it did not come to serve in time
	}
	return fmt.Errorf("server %s: %w", s.name, err)
}

// trial is a new process that does not serve yet.
type trial struct {
	was    machine.ServerSpec // the old one's kind
	failed chan<- struct{}    // takes one
}

// tried is told that a process has ended before it served. w.mu is held.
func (s *service) tried(last string) {
	if s.trial == nil || last == replaceReason {
		return
	}
	s.process = s.trial.was
	s.trial.failed <- struct{}{}
	s.trial = nil
}

// unixMain is the unix server's process: what runs beside it are its arguments, their control
// channels the descriptors behind its own, in the same order.
func unixMain(c *ipc.Conn) error {
	kinds := slices.DeleteFunc(slices.Clone(os.Args[3:]), func(a string) bool { return a == linux.ScheduledArg })
	if len(kinds) == 0 {
		return unixserver.Main(c, confined("unix"), personalities, unixserver.Beside{})
	}
	p, err := ipc.NewPoller()
	if err != nil {
		return err
	}
	beside := unixserver.Beside{Poller: p, Files: map[string]*fs.Local{}}
	ready := together(1+len(kinds), confined("unix"))
	ended := make(chan error, 1+len(kinds))
	for i, kind := range kinds {
		l, ok := lodging[kind]
		if !ok {
			return fmt.Errorf("%q does not run in the unix server's process", kind)
		}
		local := fs.NewLocal(p)
		beside.Files[l.label] = local
		conn, err := ipc.Dial(ipc.ControlFD + 1 + i)
		if err != nil {
			return err
		}
		go func() {
			in, err := ipc.Startup(conn)
			if err == nil {
				err = l.start(conn, in, local, ready)
			}
			if err != nil {
				err = fmt.Errorf("%s: %w", kind, err)
			}
			ended <- err
		}()
	}
	go func() { ended <- unixserver.Main(c, ready, personalities, beside) }()
	return <-ended // and with one all
}

// together makes of f what n servers call, each once: it runs when the last one does, and all
// have its answer.
func together(n int, f func() error) func() error {
	var mu sync.Mutex
	var err error
	done := make(chan struct{})
	return func() error {
		mu.Lock()
		if n--; n == 0 {
			err = f()
			close(done)
		}
		mu.Unlock()
		<-done
		return err
	}
}
