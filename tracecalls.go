package hythe

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	unixserver "hythe/server/unix"
)

// maxBacklog is how many bytes of lines wait to be written for a follower.
const maxBacklog = 4 << 20

// Follow says what FollowCalls shows.
type Follow struct {
	// PIDs are the processes whose calls are shown, with all of their threads but not
	// those that they start; none: all that are there and come.
	PIDs []int
	// Begun, if set, is called when what is called from then on is shown.
	Begun func()
}

// callFollower is somebody who wants to see calls.
type callFollower struct {
	over chan struct{} // closed when those of pids have ended
	wake chan struct{} // has an element when there is something to write

	mu   sync.Mutex
	pids map[int]bool // nil: all
	text []byte
	lost uint64
}

func newCallFollower(pids []int) *callFollower {
	f := &callFollower{over: make(chan struct{}), wake: make(chan struct{}, 1)}
	if len(pids) > 0 {
		f.pids = map[int]bool{}
	}
	for _, pid := range pids {
		f.pids[pid] = true
	}
	return f
}

// tell takes a line of a process, or (line "") its end. It only counts what finds no room:
// the machine waits for nobody who looks.
func (f *callFollower) tell(pid int, line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.pids != nil && !f.pids[pid]:
		return
	case line == "":
		if delete(f.pids, pid); f.pids != nil && len(f.pids) == 0 {
			close(f.over)
		}
		return
	case f.lost > 0 || len(f.text)+len(line)+1 > maxBacklog:
		f.lost++ // what is missing is in one place
	default:
		f.text = append(append(f.text, line...), '\n')
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// take answers what is to be written.
func (f *callFollower) take() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.text
	if f.lost > 0 {
		b = fmt.Appendf(b, "%d lines more\n", f.lost)
	}
	f.text, f.lost = nil, 0
	return b
}

// write writes until it is told to stop or nobody is left to look at, and then what is left.
func (f *callFollower) write(out io.Writer, stop <-chan struct{}) error {
	for end := false; ; {
		if b := f.take(); len(b) > 0 {
			if _, err := out.Write(b); err != nil {
				return err
			}
			continue
		}
		if end {
			return nil
		}
		select {
		case <-f.wake:
		case <-f.over:
			end = true
		case <-stop:
			end = true
		}
	}
}

// callTracing is whom a machine's calls are shown to.
type callTracing struct {
	mu        sync.Mutex
	followers []*callFollower

	telling sync.Mutex // held while those who make the lines are told; taken before mu
	whole   bool       // of calls too that the library serves alone. Guarded by telling
}

// line takes a line of the unix server's tracer.
func (t *callTracing) line(s string) (shown string) {
	number, shown, _ := strings.Cut(s, " ")
	pid, err := strconv.Atoi(number)
	if err != nil {
		return ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.followers {
		f.tell(pid, shown)
	}
	return shown
}

// maxFollowed is how many processes are followed by number, by all together: they travel in a
// server's configuration.
const maxFollowed = 1024

// add takes a follower, if there are not too many processes then.
func (t *callTracing) add(f *callFollower) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(f.pids)
	for _, x := range t.followers {
		x.mu.Lock()
		n += len(x.pids)
		x.mu.Unlock()
	}
	if n > maxFollowed {
		return false
	}
	t.followers = append(t.followers, f)
	return true
}

// wanted says of which processes lines are wanted: of all, or of these.
func (t *callTracing) wanted() (all bool, pids []int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.followers {
		f.mu.Lock()
		all = all || f.pids == nil
		for pid := range f.pids {
			pids = append(pids, pid)
		}
		f.mu.Unlock()
	}
	slices.Sort(pids)
	return all, slices.Compact(pids)
}

// followCalls implements engine.
func (w *wired) followCalls(ctx context.Context, out io.Writer, f Follow) (err error) {
	for _, pid := range f.PIDs {
		if pid <= 0 || pid > 1<<31-1 {
			return fmt.Errorf("process %d: %w", pid, ErrNoProcess)
		}
		if err := w.signal(pid, 0, 0, pid); err != nil {
			return err
		}
	}
	me := newCallFollower(f.PIDs)
	if !w.calling.add(me) {
		return fmt.Errorf("more than %d processes would be followed (without a list all are)", maxFollowed)
	}
	defer func() {
		w.calling.mu.Lock()
		w.calling.followers = slices.DeleteFunc(w.calling.followers, func(x *callFollower) bool { return x == me })
		w.calling.mu.Unlock()
		_ = w.retraceCalls() // without the machine there are no calls
	}()
	if err := w.retraceCalls(); err != nil {
		return err
	}
	if f.Begun != nil {
		f.Begun()
	}
	ctx, stop := w.whileRuns(ctx)
	defer stop()
	return me.write(out, ctx.Done())
}

// retraceCalls tells the unix server, and the guests' libraries, what is wanted now. The
// server's next incarnation is told at its start (configureUnix).
func (w *wired) retraceCalls() error {
	w.calling.telling.Lock()
	defer w.calling.telling.Unlock()
	if err := w.begunWell(); err != nil {
		return err
	}
	all, pids := w.calling.wanted()
	whole := w.cfg.Trace != nil || all || len(pids) > 0
	if whole != w.calling.whole {
		tables, _ := callTables(whole)
		if err := w.zygote.SetTables(tables); err != nil {
			return err
		}
		w.calling.whole = whole
	}
	return w.asked(w.unix().Trace(w.cfg.Trace != nil || all, pids))
}

// configureUnix makes the configuration of the unix server's next incarnation.
func (w *wired) configureUnix(c unixserver.Config) []byte {
	all, pids := w.calling.wanted()
	c.Trace = w.cfg.Trace != nil || all
	for _, pid := range pids {
		c.TracePIDs = append(c.TracePIDs, int32(pid))
	}
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // names and numbers
	}
	return b
}
