package plan9

import (
	"fmt"
	"strconv"
	"strings"

	"hythe/abi"
	"hythe/server/unix/core"
)

// The tracer's lines, in the way of ratrace: the system's own names of calls, notes and
// errors.

const shown = 32 // bytes of a string or buffer

// traceArg renders one argument by the letter of Entry.Sig:
//
//	d i u x m  64 bits signed, 32 bits signed, unsigned, hexadecimal, octal
//	p          pointer
//	s b B Z    string, buffer in (its size is the next argument), buffer and string out
func traceArg(c *core.Call, letter byte, i int, r core.TraceResult) string {
	a := c.Args[i]
	switch letter {
	case 'd':
		return strconv.FormatInt(int64(a), 10)
	case 'i':
		return strconv.Itoa(int(int32(a)))
	case 'u':
		return strconv.FormatUint(uint64(uint32(a)), 10)
	case 'x':
		return fmt.Sprintf("%#x", uint32(a))
	case 'm':
		return fmt.Sprintf("0%o", uint32(a))
	case 's':
		if b := c.PeekIn(a, 4096); b != nil {
			return cut(cstring(b), 4*shown)
		}
	case 'b':
		if b := c.PeekIn(a, shown); b != nil && i+1 < len(c.Args) {
			return cut(string(b[:min(len(b), int(uint32(c.Args[i+1])))]), shown)
		}
	case 'B', 'Z':
		if b := c.PeekOut(a, shown); r.Err == 0 && !r.None && b != nil {
			if letter == 'Z' {
				return cut(cstring(b), shown)
			}
			return cut(string(b[:min(uint64(len(b)), r.Value)]), shown)
		}
	}
	if a == 0 {
		return "nil"
	}
	return fmt.Sprintf("%#x", a)
}

func cut(s string, limit int) string {
	if len(s) > limit {
		return strconv.QuoteToASCII(s[:limit]) + "..."
	}
	return strconv.QuoteToASCII(s)
}

// TraceCall implements core.Personality.
func (p *Personality) TraceCall(c *core.Call, r core.TraceResult) string {
	e := p.table.Entry(c.Nr)
	if e == nil {
		e = &Entry{Name: fmt.Sprintf("#%d", c.Nr), Sig: "ppp"}
	}
	if e.Name == "exec" && r.Err == 0 && !r.None {
		return "" // TraceStart has the arguments
	}
	var args []string
	for i := 0; i < len(e.Sig) && i < 6; i++ {
		args = append(args, traceArg(c, e.Sig[i], i, r))
	}
	out := strconv.FormatInt(int64(int32(r.Value)), 10)
	switch {
	case r.None:
		out = "?"
	case r.Err >= abi.ErrRestart:
		out = "interrupted"
	case r.Err != 0:
		out = "-1 " + strconv.Quote(c.Proc().ErrText.String())
	}
	return e.Name + "(" + strings.Join(args, ", ") + ") = " + out
}

// TraceStart implements core.Personality.
func (p *Personality) TraceStart(c *core.Call) string {
	argv, _, name := c.ExecArgs()
	var l []string
	for i, a := range argv {
		if i == shown {
			l = append(l, "...")
			break
		}
		l = append(l, cut(a, 4*shown))
	}
	return fmt.Sprintf("exec(%q, { %s }) = 0 [plan9]", name, strings.Join(l, ", "))
}

// TraceSignal implements core.Personality.
func (p *Personality) TraceSignal(s *core.SigInfo) string { return "note " + strconv.Quote(noteOf(s)) }

// TraceEnd implements core.Personality.
func (p *Personality) TraceEnd(status uint32) string {
	if sig := status & 0x7f; sig != 0 {
		return "ended by note " + strconv.Quote(signalText(int32(sig)))
	}
	return fmt.Sprintf("ended, other systems see %d", status>>8&0xff)
}
