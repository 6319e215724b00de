// Package confine takes from a server process, once it has started, what it
// does not need: it can gain no privileges, opens no file of the host by name
// (or only below directories that it was given), makes no code, and passes a
// seccomp filter that lets a written list of host calls through. The lists are
// data (Base, Profiles, Killed); docs/security.md is generated from them.
//
// It comes on top of what the machine does from outside (namespaces, another
// user, few descriptors), and after the start, because the Go runtime and a
// server's recovery need more than its service does.
package confine

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// Dir is a directory of which a server with Files may open what is below.
type Dir struct {
	FD    int
	Write bool
}

// Report says what is in force, as far as it depends on the host.
type Report struct {
	// Landlock is the version of the host's Landlock, 0 if it has none: then
	// names are not restricted beyond the server's own care and namespaces.
	Landlock int
}

// Missing answers one line that says what the host lacks and what follows, or "".
func (r Report) Missing() string {
	if r.Landlock == 0 {
		return "the host has no Landlock: servers are kept from files by their namespaces and host call filters only"
	}
	return ""
}

// ErrC: the program holds C code, whose threads the profiles do not know.
var ErrC = errors.New("the program holds C code: build it with CGO_ENABLED=0")

// limits of every server. Cores would hold guests' data; a pipe in the host's
// core pattern would get them even with 0, but not with 1 (core(5)).
var limits = []struct {
	which int
	max   uint64
	sched bool
}{
	{unix.RLIMIT_CORE, 1, false},
	{unix.RLIMIT_MEMLOCK, 0, false},
	{unix.RLIMIT_MSGQUEUE, 0, false},
	{unix.RLIMIT_RTPRIO, 0, true},
	{unix.RLIMIT_NICE, 0, true},
}

// Apply confines this process, all its threads, for good, to the profile with
// the given name. scheduled: it keeps its limits of priority, so that the nucleus can raise
// it; it cannot do so itself. dirs are for profiles with Files. It fails, with the process
// half confined, if the host refuses no_new_privs or the filter: then the
// process must end. A program with C code cannot be confined and is refused
// before anything has changed: ErrC. A host without Landlock is no failure; see Report.
func Apply(name string, scheduled bool, dirs ...Dir) (Report, error) {
	p, ok := Lookup(name)
	if !ok {
		return Report{}, fmt.Errorf("confine: no profile %q", name)
	}
	if len(dirs) > 0 && !p.Files {
		return Report{}, fmt.Errorf("confine: %s opens no files", name)
	}
	filter, err := p.Filter(os.Getpid())
	if err != nil {
		return Report{}, err
	}
	if err := noNewPrivs(); err != nil {
		return Report{}, fmt.Errorf("confine: no_new_privs: %w", err)
	}
	var r Report
	if r.Landlock, err = landlock(dirs, p.Network); err != nil {
		return r, fmt.Errorf("confine: landlock: %w", err)
	}
	for _, l := range limits {
		if l.sched && scheduled {
			continue
		}
		if err := atMost(l.which, l.max); err != nil {
			return Report{}, err
		}
	}
	if p.Memory > 0 {
		debug.SetMemoryLimit(int64(softMemory(p.Memory)))
		if err := atMost(unix.RLIMIT_DATA, p.Memory); err != nil {
			return Report{}, err
		}
	}
	if err := seccomp(filter); err != nil {
		return r, fmt.Errorf("confine: filter: %w", err)
	}
	return r, nil
}

// atMost lowers a limit of this process for good.
func atMost(which int, n uint64) error {
	var have unix.Rlimit
	if err := unix.Getrlimit(which, &have); err != nil {
		return fmt.Errorf("confine: limit %d: %w", which, err)
	}
	want := unix.Rlimit{Cur: min(have.Max, n), Max: min(have.Max, n)}
	if err := unix.Setrlimit(which, &want); err != nil {
		return fmt.Errorf("confine: limit %d: %w", which, err)
	}
	return nil
}

// Rule describes the conditions of a call in words.
func (c *Call) Rule() string {
	var out []string
	for _, a := range c.Args {
		s := fmt.Sprintf("argument %d", a.Arg)
		switch {
		case a.Self:
			s += " is the process itself"
		case len(a.Values) > 0:
			var vs []string
			for _, v := range a.Values {
				vs = append(vs, fmt.Sprintf("%#x", v))
			}
			s += " is one of " + strings.Join(vs, " ")
			if a.Mask != 0 {
				s += fmt.Sprintf(" (with or without %#x)", a.Mask)
			}
		}
		if a.Deny != 0 {
			s += fmt.Sprintf(" has none of %#x", a.Deny)
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}
