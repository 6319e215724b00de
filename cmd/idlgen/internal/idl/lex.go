package idl

import (
	"fmt"
	"strings"
)

// Pos is a place in a file; both count from 1.
type Pos struct{ Line, Col int }

// Error is what is wrong at a place.
type Error struct {
	File string
	Pos  Pos
	Text string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Pos.Line, e.Pos.Col, e.Text)
}

type kind int

const (
	end kind = iota
	word
	number
	text
	mark // punctuation; token.s says which
)

func (k kind) String() string {
	return [...]string{"end of file", "name", "number", "string", "mark"}[k]
}

type token struct {
	kind kind
	s    string
	n    uint64
	pos  Pos
	doc  string // the comment lines directly before it
}

// maxFile bounds what is compiled: nobody writes more.
const maxFile = 1 << 20

// lex makes tokens of a file. Comments are kept: those before a token, and by line
// those that follow something on their line.
func lex(file, src string) (list []token, trailing map[int]string, err error) {
	if len(src) > maxFile {
		return nil, nil, &Error{file, Pos{1, 1}, "the file is too long"}
	}
	trailing = map[int]string{}
	line, start := 1, 0
	var doc []string
	docLine := 0 // the line of the last comment in doc
	last := 0    // the line of the last token
	for i := 0; i < len(src); {
		c := src[i]
		at := Pos{line, i - start + 1}
		add := func(k kind, s string, n uint64) {
			t := token{kind: k, s: s, n: n, pos: at}
			if docLine == line-1 {
				t.doc = strings.Join(doc, "\n")
			}
			doc, last = nil, line
			list = append(list, t)
		}
		switch {
		case c == '\n':
			line++
			i++
			start = i
		case c == ' ' || c == '\t' || c == '\r':
			i++
		case strings.HasPrefix(src[i:], "//"):
			s, _, _ := strings.Cut(src[i+2:], "\n")
			i += 2 + len(s)
			s = strings.TrimRight(strings.TrimPrefix(s, " "), " \r")
			switch {
			case last == line:
				trailing[line] = s
			case docLine == line-1 && len(doc) > 0:
				doc, docLine = append(doc, s), line
			default:
				doc, docLine = []string{s}, line
			}
		case letter(c):
			n := 1
			for i+n < len(src) && (letter(src[i+n]) || digit(src[i+n])) {
				n++
			}
			add(word, src[i:i+n], 0)
			i += n
		case digit(c):
			n := 1
			for i+n < len(src) && (letter(src[i+n]) || digit(src[i+n])) {
				n++
			}
			v, ok := value(src[i : i+n])
			if !ok {
				return nil, nil, &Error{file, at, fmt.Sprintf("%q is no number", src[i:i+n])}
			}
			add(number, src[i:i+n], v)
			i += n
		case c == '"':
			s, _, ok := strings.Cut(src[i+1:], "\"")
			if !ok || strings.ContainsAny(s, "\n\\") {
				return nil, nil, &Error{file, at, "a string that does not end on its line"}
			}
			add(text, s, 0)
			i += len(s) + 2
		case strings.HasPrefix(src[i:], "->"):
			add(mark, "->", 0)
			i += 2
		case strings.IndexByte("(){}<>[]=,.+-*_", c) >= 0:
			add(mark, string(c), 0)
			i++
		default:
			return nil, nil, &Error{file, at, fmt.Sprintf("%q has no meaning here", c)}
		}
	}
	list = append(list, token{kind: end, pos: Pos{line, len(src) - start + 1}})
	return list, trailing, nil
}

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func digit(c byte) bool  { return c >= '0' && c <= '9' }

// value reads a number as Go writes it: decimal, 0x, 0o.
func value(s string) (v uint64, ok bool) {
	base := uint64(10)
	switch {
	case strings.HasPrefix(s, "0x"):
		base, s = 16, s[2:]
	case strings.HasPrefix(s, "0o"):
		base, s = 8, s[2:]
	case len(s) > 1 && s[0] == '0':
		return 0, false
	}
	if s == "" {
		return 0, false
	}
	for _, c := range []byte(s) {
		d := uint64(99)
		switch {
		case digit(c):
			d = uint64(c - '0')
		case c >= 'a' && c <= 'f':
			d = uint64(c-'a') + 10
		}
		if d >= base || v > (^uint64(0)-d)/base {
			return 0, false
		}
		v = v*base + d
	}
	return v, true
}
