package idl

import (
	"fmt"
	"strconv"
	"strings"
)

// A lock is the wire forms and constants of a protocol that were given out, one line each:
//
//	KEY = FORM since N
//
// sorted as the file has them. What a line says does not change any more.
type lock struct {
	version uint64
	keys    []string
	forms   map[string]string
	since   map[string]uint64
	at      map[string]Pos // of what the file has
}

func (l *lock) add(at Pos, since uint64, key, format string, args ...any) {
	l.keys = append(l.keys, key)
	l.forms[key] = fmt.Sprintf(format, args...)
	l.since[key] = max(since, 1)
	l.at[key] = at
}

func newLock() *lock {
	return &lock{forms: map[string]string{}, since: map[string]uint64{}, at: map[string]Pos{}}
}

// String is a type as the lock has it.
func (t *Type) String() string {
	s := fmt.Sprintf("%s<%d>", t.Kind, t.Max)
	switch t.Kind {
	case TScalar, TNamed:
		return t.Name
	case TArray:
		return fmt.Sprintf("[%d] %s", t.Max, t.Elem)
	case TList, TStream, TSome:
		return s + " " + t.Elem.String()
	case TRight:
		if s = "right " + t.Right + " " + t.Disp; t.Opt {
			s += " optional"
		}
		return s
	case TFill:
		return s + " " + t.Name
	}
	if t.Rest {
		s = "rest " + s
	}
	return s
}

// lockOf is the lock that says what the file does.
func lockOf(f *File) *lock {
	l := newLock()
	l.version = f.Version
	over := f.Transport
	for _, o := range []struct {
		on   bool
		name string
	}{{f.Packed, "packed"}, {f.Numbered, "numbered"}, {f.Later, "later"}, {f.Nucleus, "nucleus"}} {
		if o.on {
			over += ", " + o.name
		}
	}
	l.add(f.Pos, 1, "protocol "+f.Name, "over %s", over)
	for _, c := range f.Consts {
		l.add(c.Pos, 1, "const "+c.Name, "%d", c.Value)
	}
	for _, d := range f.Decls {
		key := d.Form + " " + d.Name
		switch d.Form {
		case Scalar:
			l.add(d.Pos, 1, key, "%s", d.Base)
		case Extern:
			l.add(d.Pos, 1, key, "%d bytes", d.Size)
		case Record:
			l.add(d.Pos, 1, key, "its length, then its fields")
			for i, x := range d.Fields {
				l.add(x.Pos, x.Since, key+"."+x.Name, "%s", field(i, x))
			}
		default:
			parts := make([]string, len(d.Fields))
			for i, x := range d.Fields {
				// By its name, too: two of one type could be exchanged.
				if parts[i] = x.Type.String(); x.Name != "" {
					parts[i] = x.Name + " " + parts[i]
				}
			}
			l.add(d.Pos, 1, key, "%s", strings.Join(parts, ", "))
		}
	}
	for _, in := range f.Interfaces {
		prefix := "method "
		if in.Name != "" {
			prefix += in.Name + "."
		}
		for _, m := range in.Methods {
			key := prefix + m.Name
			form := strconv.FormatUint(m.Number, 10)
			if m.Plain {
				form += " plain"
			}
			if m.Oneway {
				form += " oneway"
			}
			if m.Lend != 0 {
				form += fmt.Sprintf(" lend %d", m.Lend)
			}
			since := max(m.Since, 1)
			l.add(m.Pos, since, key, "%s", form)
			for i, x := range m.In {
				l.add(x.Pos, max(x.Since, since), key+" in "+x.Name, "%s", field(i, x))
			}
			for i, x := range m.Out {
				l.add(x.Pos, max(x.Since, since), key+" out "+x.Name, "%s", field(i, x))
			}
		}
		for _, g := range in.Gone {
			l.add(g.Pos, 1, "gone "+prefix+g.Name, "%d", g.Number)
		}
	}
	return l
}

func field(i int, x *Field) string {
	s := fmt.Sprintf("%d: %s", i, x.Type)
	if x.HasDef {
		s += fmt.Sprintf(" = %d", x.Default)
	}
	return s
}

func (l *lock) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Wire forms that were given out: written by cmd/idlgen, which refuses to change a line.\nversion %d\n", l.version)
	for _, k := range l.keys {
		fmt.Fprintf(&b, "%s = %s since %d\n", k, l.forms[k], l.since[k])
	}
	return b.String()
}

func parseLock(path, s string) (*lock, error) {
	l := newLock()
	n := 0
	for line := range strings.Lines(s) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if v, ok := strings.CutPrefix(line, "version "); ok {
			var err error
			if l.version, err = strconv.ParseUint(v, 10, 32); err != nil {
				return nil, &Error{path, Pos{n, 1}, "no version"}
			}
			continue
		}
		key, rest, ok := strings.Cut(line, " = ")
		i := strings.LastIndex(rest, " since ")
		if !ok || i < 0 {
			return nil, &Error{path, Pos{n, 1}, "a line of a lock is KEY = FORM since N"}
		}
		since, err := strconv.ParseUint(rest[i+len(" since "):], 10, 32)
		if err != nil {
			return nil, &Error{path, Pos{n, 1}, "a line of a lock is KEY = FORM since N"}
		}
		l.add(Pos{n, 1}, since, key, "%s", rest[:i])
	}
	if l.version == 0 {
		return nil, &Error{path, Pos{1, 1}, "a lock has a version"}
	}
	return l, nil
}

// Lock compares a file that was checked with the lock of its earlier forms, "" if there
// is none, and answers the new one. The error says the first thing that has changed.
func Lock(f *File, path, old string) (string, error) {
	now := lockOf(f)
	if old == "" {
		return now.String(), nil
	}
	was, err := parseLock(path, old)
	if err != nil {
		return "", err
	}
	bad := func(at Pos, format string, args ...any) (string, error) {
		return "", &Error{f.Path, at, fmt.Sprintf(format, args...)}
	}
	if f.Version < was.version {
		return bad(f.Pos, "version %d was given out, this is %d", was.version, f.Version)
	}
	for _, k := range was.keys {
		form, ok := now.forms[k]
		at, since := now.at[k], now.since[k]
		if !ok {
			if m, isMethod := strings.CutPrefix(k, "method "); isMethod {
				m, _, _ = strings.Cut(m, " ")
				if _, gone := now.forms["gone method "+m]; gone {
					if n, _, _ := strings.Cut(was.forms["method "+m], " "); n != now.forms["gone method "+m] {
						return bad(now.at["gone method "+m], "%s had the number %s", m, n)
					}
					continue
				}
			}
			return bad(f.Pos, "%s was given out (%s since %d) and is missing: a method that is over stays as gone NUMBER NAME", k, was.forms[k], was.since[k])
		}
		switch {
		case form != was.forms[k]:
			return bad(at, "%s was given out as %q and is now %q: add a method or field since %d instead", k, was.forms[k], form, was.version+1)
		case since != was.since[k]:
			return bad(at, "%s was given out since %d and is now since %d", k, was.since[k], since)
		}
	}
	for _, k := range now.keys {
		_, old := was.forms[k]
		kind, _, _ := strings.Cut(k, " ")
		part := kind == "method" || kind == Record && strings.Contains(k, ".")
		if old || !part || now.since[k] > was.version {
			continue
		}
		if owner, _, ok := cutPart(k); ok {
			if _, known := was.forms[owner]; !known {
				continue // all of it is new; its method or record answers for it
			}
		}
		return bad(now.at[k], "%s is new, and version %d was given out without it: it is since %d", k, was.version, was.version+1)
	}
	return now.String(), nil
}

// cutPart gives the record or method that a key is a part of.
func cutPart(k string) (owner, part string, ok bool) {
	if rest, is := strings.CutPrefix(k, "record "); is {
		o, p, ok := strings.Cut(rest, ".")
		return "record " + o, p, ok
	}
	for _, sep := range []string{" in ", " out "} {
		if o, p, ok := strings.Cut(k, sep); ok {
			return o, p, true
		}
	}
	return "", "", false
}
