package hythe

import (
	"bufio"
	"fmt"
	"io"
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

// tracePorts is the nucleus's hook for messages, nil if nobody wants to see them. It
// only counts what finds no room, for the nucleus waits for nobody.
func (w *wired) tracePorts() func(nucleus.Traffic) {
	if w.cfg.TracePorts == nil {
		return nil
	}
	type step struct {
		nucleus.Traffic
		lost uint64 // before it
	}
	c := make(chan step, traceAhead)
	w.traced = make(chan struct{})
	go func() {
		defer close(w.traced)
		out := bufio.NewWriter(w.cfg.TracePorts)
		defer out.Flush()
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
			case s := <-c:
				line(s)
				continue
			default:
			}
			_ = out.Flush() // whoever cannot write does without
			select {
			case s := <-c:
				line(s)
			case <-w.ended:
				for len(c) > 0 {
					line(<-c)
				}
				return
			}
		}
	}()
	var lost uint64 // guarded by the nucleus's lock
	return func(t nucleus.Traffic) {
		select {
		case c <- step{t, lost}:
			lost = 0
		default:
			lost++
		}
	}
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
