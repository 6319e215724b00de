package hythe

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"hythe/idl/debug"
	"hythe/idl/names"
	notices "hythe/idl/nucleus"
	unixctl "hythe/idl/unix"
	"hythe/ipc"
	"hythe/nucleus"
)

// traceAhead is how many steps of messages wait to be written.
const traceAhead = 1 << 14

// step is what is written of a message, and how many were not before it.
type step struct {
	nucleus.Traffic
	lost uint64
}

// tracer is somebody who wants to see messages.
type tracer struct {
	steps chan step
	lost  uint64 // guarded by the nucleus's lock
}

func newTracer() *tracer { return &tracer{steps: make(chan step, traceAhead)} }

// tell takes a message. It only counts what finds no room, for the nucleus waits for nobody.
func (t *tracer) tell(m nucleus.Traffic) {
	select {
	case t.steps <- step{m, t.lost}:
		t.lost = 0
	default:
		t.lost++
	}
}

// write writes until it is told to stop, and then what is left, or nobody takes it.
func (t *tracer) write(to io.Writer, stop <-chan struct{}) error {
	out := bufio.NewWriter(to)
	var first uint64
	line := func(s step) {
		if first == 0 {
			first = s.At
		}
		if s.lost > 0 {
			fmt.Fprintf(out, "%d messages more\n", s.lost)
		}
		writeTraffic(out, s.At-first, &s.Traffic)
	}
	for {
		select {
		case s := <-t.steps:
			line(s)
			continue
		default:
		}
		if err := out.Flush(); err != nil {
			return err
		}
		select {
		case s := <-t.steps:
			line(s)
		case <-stop:
			for len(t.steps) > 0 {
				line(<-t.steps)
			}
			return out.Flush()
		}
	}
}

// tracePorts is the nucleus's hook for messages at its start, nil if nobody wants to see
// them then.
func (w *wired) tracePorts() func(nucleus.Traffic) {
	if w.cfg.TracePorts == nil {
		return nil
	}
	t := newTracer()
	w.traced = make(chan struct{})
	w.tracers = []*tracer{t}
	go func() {
		defer close(w.traced)
		if t.write(w.cfg.TracePorts, w.ended) != nil {
			w.untrace(t) // whoever cannot write does without
		}
	}()
	return t.tell
}

// follow implements engine.
func (w *wired) follow(ctx context.Context, out io.Writer) error {
	t := newTracer()
	w.retrace(func(l []*tracer) []*tracer { return append(slices.Clone(l), t) })
	defer w.untrace(t)
	ctx, stop := w.whileRuns(ctx)
	defer stop()
	return t.write(out, ctx.Done())
}

// whileRuns is ctx as long as the machine is.
func (w *wired) whileRuns(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := context.WithCancel(ctx)
	go func() {
		select {
		case <-w.ended:
			stop()
		case <-ctx.Done():
		}
	}()
	return ctx, stop
}

// untrace ends a tracer.
func (w *wired) untrace(t *tracer) {
	w.retrace(func(l []*tracer) []*tracer {
		return slices.DeleteFunc(slices.Clone(l), func(x *tracer) bool { return x == t })
	})
}

// retrace tells the nucleus whom it tells from now on.
func (w *wired) retrace(change func([]*tracer) []*tracer) {
	w.tracing.Lock()
	defer w.tracing.Unlock()
	w.tracers = change(w.tracers)
	all := w.tracers
	if len(all) == 0 {
		w.k.Trace(nil)
		return
	}
	w.k.Trace(func(m nucleus.Traffic) {
		for _, t := range all {
			t.tell(m)
		}
	})
}

// writeTraffic writes one line: when, in seconds; who; what; and how long the queue is
// then.
func writeTraffic(out io.Writer, at uint64, t *nucleus.Traffic) {
	to := t.To
	if to == "" {
		to = "(nobody)"
	}
	if t.Port != "" {
		// A name server's notes have numbers behind their names.
		label, _, _ := strings.Cut(t.Port, "\x00")
		to += ":" + label
	}
	if t.From == "" {
		fmt.Fprintf(out, "%11.6f %s %s", float64(at)/1e9, to, t.What)
	} else {
		fmt.Fprintf(out, "%11.6f %s > %s %s", float64(at)/1e9, t.From, to, t.What)
	}
	if t.What == nucleus.TrafficBound {
		fmt.Fprintf(out, ", %d slots\n", t.Bytes)
		return
	}
	kind := fmt.Sprint(t.ID)
	if n := kindOf(t); n != "" {
		kind = n
	}
	if t.Answer {
		kind = "answer " + kind
	}
	fmt.Fprintf(out, " %s, seq %d, %d bytes", kind, t.Seq, t.Bytes)
	for _, n := range []struct {
		n    int
		what string
	}{{t.Rights, "rights"}, {t.Objects, "objects"}, {t.Queue, "queued"}, {t.Blocked, "blocked"}} {
		if n.n > 0 {
			fmt.Fprintf(out, ", %d %s", n.n, n.what)
		}
	}
	fmt.Fprintln(out)
}

// kindOf is the word of the interface that a server of the machine's has for a message.
func kindOf(t *nucleus.Traffic) string {
	switch {
	case t.To == "names" && t.Port == ipc.RequestLabel, t.From == "names" && t.Answer:
		return names.Kind(t.ID)
	case t.To == "unix" && t.Port == "control", t.To == "supervisor" && t.Answer: // who asks nobody else
		return unixctl.Kind(t.ID)
	case t.To == "unix" && strings.HasPrefix(t.Port, "process:"), t.From == "unix" && t.Answer:
		return debug.ProcessKind(t.ID)
	case t.From == "unix" && t.Port == "", t.To == "unix" && t.Port == "exception":
		return debug.DebuggerKind(t.ID)
	}
	return notices.Kind(t.ID) // the numbers from abi.MsgNotify on are the nucleus's
}
