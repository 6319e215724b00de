package bsd

import (
	"fmt"
	"strconv"
	"strings"

	"hythe/abi"
	"hythe/server/unix/core"
)

// The tracer's lines, in the way of ktrace and truss: the system's own names of calls,
// signals and errors.

const shown = 32 // bytes of a string or buffer

// signalNames by the system's numbers (sys/signal.h).
var signalNames = [...]string{1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGEMT", 8: "SIGFPE",
	9: "SIGKILL", 10: "SIGBUS", 11: "SIGSEGV", 12: "SIGSYS", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM", 16: "SIGURG", 17: "SIGSTOP",
	18: "SIGTSTP", 19: "SIGCONT", 20: "SIGCHLD", 21: "SIGTTIN", 22: "SIGTTOU", 23: "SIGIO", 24: "SIGXCPU", 25: "SIGXFSZ", 26: "SIGVTALRM",
	27: "SIGPROF", 28: "SIGWINCH", 29: "SIGINFO", 30: "SIGUSR1", 31: "SIGUSR2"}

// traceArg renders one argument by the letter of Entry.Sig:
//
//	d i u x m  64 bits signed, 32 bits signed, unsigned, hexadecimal, octal
//	p f        pointer, descriptor
//	s b B Z    string, buffer in (its size is the next argument), buffer and string out
//	G w        signal, wait status out
func (p *Personality) traceArg(c *core.Call, letter byte, i int, r core.TraceResult) string {
	a := c.Args[i]
	switch letter {
	case 'd':
		return strconv.FormatInt(int64(a), 10)
	case 'i':
		return strconv.Itoa(int(int32(a)))
	case 'f':
		if p.dirArg(a) == core.AtCwd {
			return "AT_FDCWD"
		}
		return strconv.Itoa(int(int32(a)))
	case 'u':
		return strconv.FormatUint(a, 10)
	case 'm':
		return fmt.Sprintf("0%o", uint32(a))
	case 'G':
		return p.Sys.Signals.Name(int32(a))
	case 's':
		if b := c.PeekIn(a, 4096); b != nil {
			s, _, _ := strings.Cut(string(b), "\x00")
			return cut(s, uint64(len(s)), 4*shown)
		}
	case 'b':
		if b := c.PeekIn(a, shown); b != nil {
			return cut(string(b), c.Args[i+1], shown)
		}
	case 'B', 'Z':
		if b := c.PeekOut(a, shown); r.Err == 0 && !r.None && b != nil {
			if letter == 'Z' {
				s, _, _ := strings.Cut(string(b), "\x00")
				return cut(s, uint64(len(s)), shown)
			}
			return cut(string(b), r.Value, shown)
		}
	case 'w':
		if b := c.PeekOut(a, 4); r.Err == 0 && len(b) == 4 {
			w := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
			switch {
			case w&0x7f == 0:
				return fmt.Sprintf("{ EXITED,val=%d }", w>>8&0xff)
			case w&0xff == 0x7f:
				return "{ STOPPED,sig=" + p.Sys.Signals.Name(int32(w>>8&0xff)) + " }"
			}
			return "{ SIGNALED,sig=" + p.Sys.Signals.Name(int32(w&0x7f)) + " }"
		}
	}
	if a == 0 {
		return "0x0"
	}
	return fmt.Sprintf("%#x", a)
}

// cut quotes s, which begins n bytes of text; at most limit are shown.
func cut(s string, n, limit uint64) string {
	if uint64(len(s)) > limit {
		s = s[:limit]
	}
	q := strconv.QuoteToASCII(s)
	if uint64(len(s)) < n {
		q += "..."
	}
	return q
}

// TraceCall implements core.Personality.
func (p *Personality) TraceCall(c *core.Call, r core.TraceResult) string {
	e := p.table.Entry(c.Nr)
	if e == nil {
		e = &Entry{Name: fmt.Sprintf("#%d", c.Nr), Sig: "xxxxxx"}
	}
	if strings.HasSuffix(e.Name, "execve") && r.Err == 0 && !r.None {
		return "" // TraceStart has the arguments
	}
	var args []string
	for i := 0; i < len(e.Sig) && i < 6; i++ {
		args = append(args, p.traceArg(c, e.Sig[i], i, r))
	}
	out := strconv.FormatInt(int64(r.Value), 10)
	switch {
	case r.None:
		out = "?"
	case r.Err == abi.ErrRestart || r.Err == abi.ErrRestartNoInt || r.Err == abi.ErrRestartNoHnd:
		out = "ERESTART"
	case r.Err != 0:
		out = fmt.Sprintf("ERR#%d %s", p.Errno(r.Err), errorName(r.Err))
	}
	return e.Name + "(" + strings.Join(args, ", ") + ") = " + out
}

// TraceStart implements core.Personality.
func (p *Personality) TraceStart(c *core.Call) string {
	argv, envp, name := c.ExecArgs()
	var l []string
	for i, a := range argv {
		if i == shown {
			l = append(l, "...")
			break
		}
		l = append(l, cut(a, uint64(len(a)), 4*shown))
	}
	return fmt.Sprintf("execve(%q, [ %s ], { %d vars }) = 0 [%s]", name, strings.Join(l, ", "), len(envp), p.Sys.Name)
}

// TraceSignal implements core.Personality.
func (p *Personality) TraceSignal(s *core.SigInfo) string {
	return fmt.Sprintf("SIGNAL %d (%s) code=%#x", p.Sys.Signals.Native(s.Sig), p.Sys.Signals.Name(p.Sys.Signals.Native(s.Sig)), p.Sys.Signals.Code(s))
}

// TraceEnd implements core.Personality.
func (p *Personality) TraceEnd(status uint32) string {
	if sig := status & 0x7f; sig != 0 {
		return "process killed, signal = " + strconv.Itoa(int(p.Sys.Signals.Native(int32(sig))))
	}
	return fmt.Sprintf("process exit, rval = %d", status>>8&0xff)
}
