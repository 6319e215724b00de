package wasi

import (
	"fmt"
	"strconv"
	"strings"
)

// The tracer's lines: the functions of preview 1 by name, with arguments and errors in its
// own terms. They are written here, in the module's process, since no server knows what a
// module's calls mean; the machine's tracer is given them a line each (Program.Trace).

// shown is how many bytes of a string or buffer are shown.
const shown = 32

// traced is a call that is being traced.
type traced struct {
	f    *function
	a    []uint64
	args []string // as they were before the call; "" is rendered after it
}

// traceBefore notes what a call was asked for. The arguments, by the letter of function.trace:
//
//	f u d x  descriptor, unsigned, signed, hexadecimal
//	s c      string in, vector in: its length is the next argument
//	B v      buffer out, vector out: its length is the next argument
//	n N      where a number of 32, 64 bits is put
//	S D      where the attributes of a file, of a descriptor are put
//	k w h    clock, whence, how of a shutdown
//	O F L T  flags of path_open, of descriptors, of look-ups, of times
//	-        not shown: the letter before has it
func (p *Process) traceBefore(f *function, a []uint64) *traced {
	t := &traced{f: f, a: append([]uint64(nil), a[:len(f.params)]...), args: make([]string, len(f.params))}
	for i, c := range f.trace {
		v := t.a[i]
		if f.params[i] == 'i' {
			v = uint64(uint32(v))
		}
		s := ""
		switch c {
		case 'f', 'u':
			s = strconv.FormatUint(v, 10)
		case 'd':
			s = strconv.FormatInt(int64(v), 10)
		case 'x':
			s = "0x" + strconv.FormatUint(v, 16)
		case 's':
			s = p.textAt(uint32(v), uint32(t.a[i+1]), 4*shown)
		case 'c':
			s = p.vectorText(uint32(v), uint32(t.a[i+1]), 1<<32)
		case 'k':
			s = nameOf(v, []string{"realtime", "monotonic", "process_cputime_id", "thread_cputime_id"})
		case 'w':
			s = nameOf(v, []string{"set", "cur", "end"})
		case 'h':
			s = flagsOf(v, []string{"rd", "wr"})
		case 'O':
			s = flagsOf(v, []string{"creat", "directory", "excl", "trunc"})
		case 'F':
			s = flagsOf(v, fdFlagNames)
		case 'L':
			s = flagsOf(v, []string{"symlink_follow"})
		case 'T':
			s = flagsOf(v, []string{"atim", "atim_now", "mtim", "mtim_now"})
		}
		t.args[i] = s
	}
	return t
}

// traceAfter gives the tracer the line of a call that has ended.
func (p *Process) traceAfter(t *traced, e Errno) {
	result := "0"
	if e != errSuccess {
		result = e.name()
	}
	p.traceLine(t, e == errSuccess, result)
}

func (p *Process) traceLine(t *traced, out bool, result string) {
	var l []string
	for i, c := range t.f.trace {
		s := t.args[i]
		addr := uint32(t.a[i])
		switch {
		case c == '-':
			continue
		case s != "":
		case !out:
		case c == 'B':
			s = p.textAt(addr, p.moved(t, i), shown)
		case c == 'v':
			s = p.vectorText(addr, uint32(t.a[i+1]), uint64(p.moved(t, i)))
		case c == 'n':
			if b, ok := p.bytes(addr, 4); ok {
				s = fmt.Sprintf("[%d]", le.Uint32(b))
			}
		case c == 'N':
			if b, ok := p.bytes(addr, 8); ok {
				s = fmt.Sprintf("[%d]", le.Uint64(b))
			}
		case c == 'D':
			if b, ok := p.bytes(addr, 24); ok {
				s = fmt.Sprintf("{filetype=%s, flags=%s, rights=0x%x, inheriting=0x%x}", nameOf(uint64(b[0]), fileTypes), flagsOf(uint64(le.Uint16(b[2:])), fdFlagNames), le.Uint64(b[8:]), le.Uint64(b[16:]))
			}
		case c == 'S':
			if b, ok := p.bytes(addr, 64); ok {
				s = fmt.Sprintf("{filetype=%s, size=%d, ...}", nameOf(uint64(b[16]), fileTypes), le.Uint64(b[32:]))
			}
		}
		if s == "" { // an address, of which nothing can be said
			s = fmt.Sprintf("0x%x", addr)
		}
		l = append(l, s)
	}
	if !p.trace(t.f.name + "(" + strings.Join(l, ", ") + ") = " + result) {
		p.trace = nil
	}
}

var fdFlagNames = []string{"append", "dsync", "nonblock", "rsync", "sync"}

var fileTypes = []string{"unknown", "block_device", "character_device", "directory", "regular_file", "socket_dgram", "socket_stream", "symbolic_link"}

// moved is how much of what argument i says a call has filled: what it has put where the
// next argument that is such a place points, or all.
func (p *Process) moved(t *traced, i int) uint32 {
	if j := strings.IndexByte(t.f.trace[i:], 'n'); j >= 0 {
		if b, ok := p.bytes(uint32(t.a[i+j]), 4); ok {
			return le.Uint32(b)
		}
	}
	return uint32(t.a[i+1])
}

// textAt is a string of the module's memory, at most limit bytes of it.
func (p *Process) textAt(addr, n uint32, limit int) string {
	b, ok := p.bytes(addr, n)
	if !ok {
		return fmt.Sprintf("0x%x", addr)
	}
	return quoted(b, limit)
}

func quoted(b []byte, limit int) string {
	if len(b) > limit {
		return strconv.QuoteToASCII(string(b[:limit])) + "..."
	}
	return strconv.QuoteToASCII(string(b))
}

// vectorText is a vector of n parts, as far as moved bytes fill it.
func (p *Process) vectorText(addr, n uint32, moved uint64) string {
	const most = 8
	if uint64(n)*8 > uint64(len(p.mem.used)) {
		return fmt.Sprintf("0x%x", addr)
	}
	t, ok := p.bytes(addr, n*8)
	if !ok {
		return fmt.Sprintf("0x%x", addr)
	}
	var l []string
	for i := 0; i < int(n) && moved > 0; i++ {
		if i == most {
			l = append(l, "...")
			break
		}
		size := uint32(min(uint64(le.Uint32(t[i*8+4:])), moved))
		moved -= uint64(size)
		l = append(l, p.textAt(le.Uint32(t[i*8:]), size, shown))
	}
	return "[" + strings.Join(l, ", ") + "]"
}

func nameOf(v uint64, names []string) string {
	if v < uint64(len(names)) {
		return names[v]
	}
	return strconv.FormatUint(v, 10)
}

func flagsOf(v uint64, names []string) string {
	if v == 0 {
		return "0"
	}
	var l []string
	for i, s := range names {
		if v&(1<<i) != 0 {
			l = append(l, s)
			v &^= 1 << i
		}
	}
	if v != 0 {
		l = append(l, fmt.Sprintf("0x%x", v))
	}
	return strings.Join(l, "|")
}

// name is what C calls an error number (wasi/api.h: __WASI_ERRNO_..., errno.h).
func (e Errno) name() string {
	switch e {
	case errNotCapable:
		return "ENOTCAPABLE"
	case errNotSup:
		return "ENOTSUP"
	}
	for theirs, ours := range errnos {
		if ours == e {
			return theirs.Name()
		}
	}
	return "errno " + strconv.Itoa(int(e))
}
