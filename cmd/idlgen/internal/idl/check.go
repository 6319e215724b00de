package idl

import (
	"fmt"
	"math"
	"slices"

	"hythe/abi"
)

// Over ports, numbers from here on are the nucleus's own (abi.MsgNotify).
const maxPortNumber = abi.MsgNotify - 1

// maxWords is how many words of a call over a binding are its arguments.
const maxWords = 6

// reserved are words that the generated code needs for itself.
var reserved = map[string]bool{
	"break": true, "case": true, "chan": true, "const": true, "continue": true, "default": true, "defer": true, "else": true,
	"fallthrough": true, "for": true, "func": true, "go": true, "goto": true, "if": true, "import": true, "interface": true, "map": true,
	"package": true, "range": true, "return": true, "select": true, "struct": true, "switch": true, "type": true, "var": true,
	"a": true, "b": true, "c": true, "k": true, "m": true, "r": true, "s": true, "w": true, "e": true, "ok": true, "err": true, "in": true, "out": true,
	"done": true, "body": true, "buf": true, "abi": true, "ipc": true, "wire": true, "le": true, "uint64": true, "string": true, "byte": true,
	"int": true, "bool": true, "len": true, "copy": true, "append": true, "nil": true, "min": true, "make": true, "true": true, "false": true,
}

type checker struct {
	file *File
	errs []*Error
}

func (c *checker) bad(at Pos, format string, args ...any) {
	c.errs = append(c.errs, &Error{c.file.Path, at, fmt.Sprintf(format, args...)})
}

// Check answers all that is wrong with a file, in the order of the places.
func Check(f *File) []*Error {
	c := &checker{file: f}
	if f.Name == "" || upper(f.Name) {
		c.bad(f.Pos, "the name of a protocol begins with a small letter")
	}
	for _, k := range f.Consts {
		if !upper(k.Name) {
			c.bad(k.Pos, "the name of a constant begins with a capital letter")
		}
		if k.Type != nil && k.Value > maxOf(k.Type) {
			c.bad(k.Pos, "%d does not fit %s", k.Value, k.Type.Name)
		}
	}
	for _, d := range f.Decls {
		c.decl(d)
	}
	names := map[string]Pos{}
	for _, i := range f.Interfaces {
		c.interf(i, names)
	}
	slices.SortStableFunc(c.errs, func(a, b *Error) int {
		if a.Pos.Line != b.Pos.Line {
			return a.Pos.Line - b.Pos.Line
		}
		return a.Pos.Col - b.Pos.Col
	})
	return c.errs
}

func upper(s string) bool { return s[0] >= 'A' && s[0] <= 'Z' }

func maxOf(t *Type) uint64 {
	s := t.Name
	if t.Decl != nil {
		s = t.Decl.Base
	}
	switch s {
	case "bool":
		return 1
	case "i8":
		return math.MaxInt8
	case "u8":
		return math.MaxUint8
	case "i16":
		return math.MaxInt16
	case "u16":
		return math.MaxUint16
	case "i32", "int":
		return math.MaxInt32
	case "u32", "size":
		return math.MaxUint32
	case "i64":
		return math.MaxInt64
	}
	return math.MaxUint64
}

func (c *checker) decl(d *Decl) {
	if !upper(d.Name) {
		c.bad(d.Pos, "the name of a type begins with a capital letter")
	}
	if d.Form == Scalar || d.Form == Extern {
		return
	}
	if len(d.Fields) == 0 {
		c.bad(d.Pos, "%s has no fields", d.Name)
	}
	size := 0
	seen := map[string]bool{}
	since := uint64(1)
	for _, f := range d.Fields {
		if f.Name != "" && (seen[f.Name] || !upper(f.Name)) {
			c.bad(f.Pos, "the name of a field begins with a capital letter, and is its own")
		}
		seen[f.Name] = true
		switch {
		case f.Type.Kind == TRight || f.Type.Kind == TFill || f.Type.Rest || f.Type.Name == "seq":
			c.bad(f.Type.Pos, "a field of a %s cannot be of this type", d.Form)
		case f.Name == "" && (f.Type.Kind != TScalar || d.Form == Record):
			c.bad(f.Type.Pos, "padding is of a scalar type, and of a struct")
		}
		if d.Form != Record && (f.Since != 0 || f.HasDef) {
			c.bad(f.Pos, "a %s does not change: make another one, or a record", d.Form)
		}
		c.since(f, &since)
		if d.Form == Word {
			n := scalars[f.Type.Name]
			if f.Type.Kind != TScalar || f.Type.Name[0] != 'u' {
				c.bad(f.Type.Pos, "a word has fields of unsigned integers")
			}
			size += n
		}
		c.typ(f.Type)
	}
	if size > 8 {
		c.bad(d.Pos, "a word has at most 8 bytes, %s has %d", d.Name, size)
	}
}

// since checks the version of a field that follows one of version *last.
func (c *checker) since(f *Field, last *uint64) {
	v := f.Since
	if v == 0 {
		v = 1
	}
	v = max(v, 1)
	switch {
	case f.Since > c.file.Version:
		c.bad(f.Pos, "since %d, but this is version %d", f.Since, c.file.Version)
	case f.Since != 0 && f.Since < *last:
		c.bad(f.Pos, "what is newer stands behind what is older")
	case f.Since == 0 && *last > 1:
		c.bad(f.Pos, "it stands behind what is newer: say since when")
	case f.HasDef && f.Since <= 1:
		c.bad(f.Pos, "only what is newer than the rest has a default")
	case f.HasDef && f.Type.Kind != TScalar && (f.Type.Decl == nil || f.Type.Decl.Form != Scalar):
		c.bad(f.Pos, "only scalars have defaults")
	case f.HasDef && f.Default > maxOf(f.Type):
		c.bad(f.Pos, "%d does not fit %s", f.Default, f.Type.Name)
	}
	*last = max(*last, v)
}

// typ checks limits.
func (c *checker) typ(t *Type) {
	switch t.Kind {
	case TString, TName, TBytes, TView, TFill, TStream, TSome:
		if t.Max == 0 || t.Max > c.limit() {
			c.bad(t.Pos, "a limit of %d bytes: it is from 1 to what a call can have (%d)", t.Max, c.limit())
		}
	case TList:
		if t.Max == 0 || t.Max > c.limit() {
			c.bad(t.Pos, "a limit of %d elements: it is from 1 to %d", t.Max, c.limit())
		}
	}
	if t.Elem != nil {
		if t.Elem.Kind == TRight || t.Elem.Kind == TFill || t.Elem.Rest || t.Elem.Name == "seq" || t.Elem.Kind == TStream || t.Elem.Kind == TSome {
			c.bad(t.Elem.Pos, "no list or array of this")
		}
		c.typ(t.Elem)
	}
}

// MaxBody is how many bytes a body has at most.
func (f *File) MaxBody(answer bool) uint64 {
	switch {
	case f.Packed:
		return 16 << 20
	case f.Transport == "ports":
		return abi.MaxInline - 4096
	case answer:
		return abi.SlotOutSize
	}
	return abi.SlotInSize
}

func (c *checker) limit() uint64 { return max(c.file.MaxBody(false), c.file.MaxBody(true)) }

func (c *checker) interf(i *Interface, names map[string]Pos) {
	if i.Name != "" && !upper(i.Name) {
		c.bad(i.Pos, "the name of an interface begins with a capital letter")
	}
	if d := c.file.decls[i.Name]; d != nil || c.file.consts[i.Name] != nil {
		c.bad(i.Pos, "there is a %q already", i.Name)
	}
	if at, ok := names[i.Name]; ok {
		c.bad(i.Pos, "%s is at line %d, too", i.Name, at.Line)
	}
	names[i.Name] = i.Pos
	numbers := map[uint64]string{}
	for _, g := range i.Gone {
		if numbers[g.Number] != "" {
			c.bad(g.Pos, "number %d is that of %s, too", g.Number, numbers[g.Number])
		}
		numbers[g.Number] = g.Name + ", which is gone"
	}
	for _, m := range i.Methods {
		if !upper(m.Name) {
			c.bad(m.Pos, "the name of a method begins with a capital letter")
		}
		if at, ok := names[m.Name]; ok {
			c.bad(m.Pos, "%s is at line %d, too", m.Name, at.Line)
		}
		names[m.Name] = m.Pos
		if other := numbers[m.Number]; other != "" {
			c.bad(m.Pos, "method %s: number %d is that of %s, too", m.Name, m.Number, other)
		}
		numbers[m.Number] = m.Name
		low, top := uint64(1), uint64(maxPortNumber)
		switch {
		case c.file.Nucleus:
			low, top = abi.MsgNotify, 2*abi.MsgNotify-1
		case c.file.Transport == "bindings":
			top = math.MaxUint32
		}
		if m.Number < low || m.Number > top {
			c.bad(m.Pos, "method %s: numbers are from %d to %d", m.Name, low, top)
		}
		c.method(m)
	}
}

func (c *checker) method(m *Method) {
	f := c.file
	if m.Since > f.Version {
		c.bad(m.Pos, "since %d, but this is version %d", m.Since, f.Version)
	}
	for _, e := range m.Errors {
		if !KnownError(e.Name) {
			c.bad(e.Pos, "%s is no error of package abi", e.Name)
		}
	}
	switch {
	case m.Oneway && (f.Transport != "ports" || len(m.Out) > 0 || m.Plain || m.Lend != 0):
		c.bad(m.Pos, "method %s: oneway is for messages without an answer", m.Name)
	case f.Nucleus && !m.Oneway:
		c.bad(m.Pos, "method %s: what the nucleus sends is oneway", m.Name)
	case m.Plain && f.Transport != "ports":
		c.bad(m.Pos, "method %s: plain is for answers on ports", m.Name)
	case m.Silent && (len(m.Out) > 0 || f.Transport == "ports"):
		c.bad(m.Pos, "method %s: silent is for what answers nothing, over bindings", m.Name)
	case m.Lend != 0 && (f.Transport != "ports" || m.Lend > math.MaxUint32):
		c.bad(m.Pos, "method %s: lend is for messages, and below 4 GiB", m.Name)
	case m.Hand && (f.Transport == "ports" || f.Later):
		c.bad(m.Pos, "method %s: by hand are calls over bindings that somebody waits for", m.Name)
	}
	seen := map[string]bool{}
	for _, p := range append(slices.Clone(m.In), m.Out...) {
		if reserved[p.Name] || upper(p.Name) {
			c.bad(p.Pos, "%s cannot be the name of a parameter", p.Name)
		}
		if seen[p.Name] {
			c.bad(p.Pos, "two parameters are called %s", p.Name)
		}
		seen[p.Name] = true
	}
	c.params(m, m.In, false)
	c.params(m, m.Out, true)
}

func (c *checker) params(m *Method, list []*Field, answer bool) {
	f := c.file
	from := max(m.Since, 1)
	since := uint64(1)
	rights, seqs := 0, 0
	var opt, rest *Field
	for _, p := range list {
		if p.Since == 0 || p.Since >= from {
			c.since(p, &since)
		} else {
			c.bad(p.Pos, "it is older than its method")
		}
		c.typ(p.Type)
		t := p.Type
		if f.Transport == "bindings" && p.HasDef && p.Default != 0 && wordable(p.Type) {
			c.bad(p.Pos, "over bindings the default of a scalar is 0")
		}
		switch {
		case t.Kind == TRight:
			rights++
			if f.Transport != "ports" {
				c.bad(t.Pos, "rights travel in messages only")
			}
			if t.Dead != "" && !KnownError(t.Dead) {
				c.bad(t.Pos, "%s is no error of package abi", t.Dead)
			}
			if opt != nil && !t.Opt {
				c.bad(t.Pos, "a right behind one that is optional is optional")
			}
			if t.Opt {
				opt = p
			} else if p.Since > from {
				c.bad(t.Pos, "a newer right is optional: who is older does not give it")
			}
			continue
		case t.Name == "seq" && t.Kind == TScalar:
			if seqs++; seqs > 1 || answer || !f.Later {
				c.bad(t.Pos, "one seq for a request of a protocol over bindings that says later")
			}
			continue
		case t.Kind == TFill:
			ok := answer && f.Transport == "bindings" && !f.Later && len(list) == 1
			n := 0
			for _, q := range m.In {
				if q.Name == t.Name && q.Type.Kind == TScalar && q.Type.Name == "size" {
					n++
				}
			}
			if !ok || n != 1 {
				c.bad(t.Pos, "fill is the only answer of a call over a binding, and names the parameter of type size that bounds it")
			}
		case t.Kind == TSome && (!answer || f.Transport != "bindings" || t.Elem.Kind != TNamed || t.Elem.Decl.Form != Struct):
			c.bad(t.Pos, "some is for answers of structs over bindings")
		case t.Kind == TStream && (t.Elem.Kind != TNamed || t.Elem.Decl.Form != Struct || t.Elem.Decl.Import != ""):
			c.bad(t.Pos, "a stream consists of a struct of this file")
		}
		if f.Transport == "bindings" && wordable(t) {
			continue
		}
		if rest != nil {
			c.bad(p.Pos, "nothing can stand behind the rest")
		}
		if t.Rest || t.Kind == TFill {
			rest = p
		}
	}
	if rights > abi.MaxRights {
		c.bad(m.Pos, "method %s: more than %d rights", m.Name, abi.MaxRights)
	}
	pl := f.Place(list, answer)
	if len(pl.Words) > maxWords {
		c.bad(m.Pos, "method %s: more than %d words of arguments", m.Name, maxWords)
	}
	size := uint64(0)
	if answer && f.Transport == "ports" && !m.Plain {
		size = 4
	}
	for _, p := range pl.Body {
		size = add(size, p.Type.MaxSize())
	}
	// Lists of a packed protocol are bounded by what travels: their limits keep who
	// reads them from harm.
	if most := f.MaxBody(answer); size > most && !f.Packed {
		what := "a request"
		if answer {
			what = "an answer"
		}
		c.bad(m.Pos, "method %s: %s has up to %s bytes, and at most %d travel", m.Name, what, count(size), most)
	}
}

func count(n uint64) string {
	if n == math.MaxUint64 {
		return "more than 2^64"
	}
	return fmt.Sprint(n)
}

// wordable says whether a type travels in a word over bindings.
func wordable(t *Type) bool {
	return t.Kind == TScalar && t.Name != "seq" || t.Kind == TNamed && (t.Decl.Form == Scalar || t.Decl.Form == Word)
}

// Place is where fields are of a call.
type Place struct {
	Words  [][]*Field // over bindings: of a request Args, of an answer one for Result; several are a run of bools
	Body   []*Field
	Seq    *Field
	Rights []*Field
}

// Place lays fields out.
func (f *File) Place(list []*Field, answer bool) Place {
	var p Place
	run := false // the last field was a bool in a word
	for _, x := range list {
		t := x.Type
		isBool := t.Kind == TScalar && t.Name == "bool"
		switch {
		case t.Kind == TRight:
			p.Rights = append(p.Rights, x)
		case t.Kind == TScalar && t.Name == "seq":
			p.Seq = x
		case f.Transport == "bindings" && isBool && run:
			p.Words[len(p.Words)-1] = append(p.Words[len(p.Words)-1], x)
			continue
		case f.Transport == "bindings" && wordable(t) && (!answer || len(p.Words) == 0):
			p.Words = append(p.Words, []*Field{x})
			run = isBool
			continue
		default:
			p.Body = append(p.Body, x)
		}
		run = false
	}
	return p
}

// add and mul stay at the largest number.
func add(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}

func mul(a, b uint64) uint64 {
	if b != 0 && a > math.MaxUint64/b {
		return math.MaxUint64
	}
	return a * b
}

// ScalarSize is the wire size of a scalar.
func ScalarSize(name string) int { return scalars[name] }

// MinSize is how many bytes a value has at least.
func (t *Type) MinSize() uint64 {
	switch t.Kind {
	case TScalar:
		return uint64(scalars[t.Name])
	case TString, TName, TBytes, TView, TList:
		if t.Rest {
			return 0
		}
		return 4
	case TArray:
		return mul(t.Max, t.Elem.MinSize())
	case TNamed:
		return t.Decl.minSize()
	}
	return 0
}

func (d *Decl) minSize() uint64 {
	switch d.Form {
	case Scalar:
		return uint64(scalars[d.Base])
	case Extern:
		return uint64(d.Size)
	}
	n := uint64(0)
	if d.Form == Record {
		n = 4
	}
	for _, f := range d.Fields {
		if f.Since <= 1 {
			n = add(n, f.Type.MinSize())
		}
	}
	return n
}

// MaxSize is how many it has at most.
func (t *Type) MaxSize() uint64 {
	switch t.Kind {
	case TString, TName, TBytes, TView:
		if t.Rest {
			return t.Max
		}
		return add(t.Max, 4)
	case TFill, TStream, TSome:
		return t.Max
	case TList:
		return add(4, mul(t.Max, t.Elem.MaxSize()))
	case TArray:
		return mul(t.Max, t.Elem.MaxSize())
	case TNamed:
		if d := t.Decl; d.Form == Struct || d.Form == Record || d.Form == Word {
			n := uint64(0)
			if d.Form == Record {
				n = 4
			}
			for _, f := range d.Fields {
				n = add(n, f.Type.MaxSize())
			}
			return n
		}
	}
	return t.MinSize()
}

// Fixed is the size of a value whose size is always the same; ok is false of others.
func (t *Type) Fixed() (n int, ok bool) {
	if t.Kind == TNamed && t.Decl.Form == Record || t.Kind == TFill || t.Kind == TRight || t.Rest {
		return 0, false
	}
	if t.Kind == TNamed && t.Decl.Form == Struct {
		return t.Decl.Fixed()
	}
	if t.Kind == TArray {
		n, ok := t.Elem.Fixed()
		return n * int(t.Max), ok
	}
	lo, hi := t.MinSize(), t.MaxSize()
	return int(lo), lo == hi
}

// Fixed is Type.Fixed of a struct.
func (d *Decl) Fixed() (n int, ok bool) {
	for _, f := range d.Fields {
		k, ok := f.Type.Fixed()
		if !ok {
			return 0, false
		}
		n += k
	}
	return n, true
}

// KnownError says whether package abi has an error of the name.
func KnownError(name string) bool {
	for e := abi.Errno(1); e < 256; e++ {
		if e.Name() == name {
			return true
		}
	}
	return false
}
