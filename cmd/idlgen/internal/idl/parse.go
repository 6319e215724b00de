// Package idl reads and checks descriptions of protocols (docs/idl.md).
package idl

import (
	"fmt"
	"strings"
)

// File is one protocol.
type File struct {
	Path      string // as errors name it
	Pos       Pos
	Doc       string
	Name      string
	Version   uint64
	Transport string // "ports" or "bindings"
	Packed    bool
	Numbered  bool
	Later     bool
	Nucleus   bool // the sender is the nucleus

	Consts     []*Const
	Decls      []*Decl
	Interfaces []*Interface // the first has no name; it may be empty

	decls  map[string]*Decl
	consts map[string]*Const
}

// Const is a number with a name.
type Const struct {
	Pos   Pos
	Doc   string
	Name  string
	Type  *Type  // nil: none
	Text  string // as the file has it
	Value uint64
}

// Forms of a Decl.
const (
	Scalar = "type"   // another name for one of the scalars
	Word   = "word"   // fields that travel as one scalar
	Struct = "struct" // its form never changes
	Record = "record" // it may grow
	Extern = "extern" // coded by hand
)

// Decl is a named type.
type Decl struct {
	Pos    Pos
	Doc    string
	Form   string
	Name   string
	Base   string // Scalar
	Fields []*Field
	Import string // Extern, and a Struct that is another package's
	Go     string // Extern: the name of the type there
	Size   int    // Extern: bytes on the wire
}

// Field is a field, a parameter or a part of an answer.
type Field struct {
	Pos     Pos
	Doc     string
	Name    string // "" is padding
	Type    *Type
	Since   uint64 // 0: as its method or record
	Default uint64
	HasDef  bool
}

// Kinds of Type.
const (
	TScalar = "scalar" // Name says which
	TNamed  = "named"  // Decl
	TString = "string"
	TName   = "name" // a string that is a name in a directory
	TBytes  = "bytes"
	TView   = "view"
	TList   = "list"
	TArray  = "array"
	TFill   = "fill"
	TStream = "stream"
	TRight  = "right"
	TSome   = "some" // a list of as many as fit
)

// Type is the type of a field.
type Type struct {
	Pos   Pos
	Kind  string
	Name  string // scalar or declared name; of TFill the parameter that says how much
	Decl  *Decl
	Elem  *Type
	Max   uint64 // bytes, or elements
	Rest  bool   // without a length: to the end
	Right string // send, receive
	Disp  string // make, copy, move
	Opt   bool
	Dead  string // ERRNO for a right whose port died on the way
}

// Interface is what one receiver is asked.
type Interface struct {
	Pos     Pos
	Doc     string
	Name    string // "" is the protocol's own
	Methods []*Method
	Gone    []*Gone
}

// Gone is a number that is not used again.
type Gone struct {
	Pos    Pos
	Number uint64
	Name   string
}

// ErrorDoc is an error that a method answers.
type ErrorDoc struct {
	Pos        Pos
	Name, Text string
}

// Method is one kind of request.
type Method struct {
	Pos    Pos
	Doc    string
	Name   string
	Number uint64
	Since  uint64
	In     []*Field
	Out    []*Field
	Silent bool // the caller is not told of errors
	Plain  bool // the answer has no errno
	Oneway bool // there is no answer
	Local  bool // the stub is for the package itself
	Hand   bool // both ends are written by hand around the forms
	Lend   uint64
	Errors []ErrorDoc
}

type parser struct {
	file     *File
	list     []token
	trailing map[int]string
	depth    int
}

// fail ends parsing.
func (p *parser) fail(at Pos, format string, args ...any) {
	panic(&Error{p.file.Path, at, fmt.Sprintf(format, args...)})
}

// Parse reads a file. What it means is for Check to say.
func Parse(path, src string) (f *File, err error) {
	list, trailing, err := lex(path, src)
	if err != nil {
		return nil, err
	}
	p := &parser{file: &File{Path: path, decls: map[string]*Decl{}, consts: map[string]*Const{}}, list: list, trailing: trailing}
	defer func() {
		if e, ok := recover().(*Error); ok {
			f, err = nil, e
		}
	}()
	p.parse()
	return p.file, nil
}

func (p *parser) peek() token { return p.list[0] }

func (p *parser) next() token {
	t := p.list[0]
	if t.kind != end {
		p.list = p.list[1:]
	}
	return t
}

func (t token) String() string {
	if t.kind == end {
		return "the end of the file"
	}
	return fmt.Sprintf("%q", t.s)
}

// is says whether the next token is a word or mark, and takes it.
func (p *parser) is(s string) bool {
	if t := p.peek(); (t.kind == word || t.kind == mark) && t.s == s {
		p.next()
		return true
	}
	return false
}

func (p *parser) want(s string) token {
	t := p.next()
	if (t.kind != word && t.kind != mark) || t.s != s {
		p.fail(t.pos, "expected %q, found %s", s, t)
	}
	return t
}

func (p *parser) name() token {
	t := p.next()
	if t.kind != word {
		p.fail(t.pos, "expected a name, found %s", t)
	}
	return t
}

func (p *parser) number() uint64 {
	t := p.next()
	if t.kind != number {
		p.fail(t.pos, "expected a number, found %s", t)
	}
	return t.n
}

// limit is a number, or a constant that stands before, in < and >.
func (p *parser) limit() uint64 {
	p.want("<")
	n := p.constant()
	p.want(">")
	return n
}

func (p *parser) constant() uint64 {
	t := p.next()
	switch t.kind {
	case number:
		return t.n
	case word:
		if c := p.file.consts[t.s]; c != nil {
			return c.Value
		}
		p.fail(t.pos, "there is no constant %q before this", t.s)
	}
	p.fail(t.pos, "expected a number or a constant, found %s", t)
	return 0
}

func (p *parser) parse() {
	f := p.file
	t := p.want("protocol")
	f.Pos, f.Doc = t.pos, t.doc
	f.Name = p.name().s
	at := p.peek().pos
	f.Version = p.number()
	if f.Version == 0 || f.Version > 1<<16 {
		p.fail(at, "a version counts from 1")
	}
	p.want("over")
	switch t := p.name(); t.s {
	case "ports", "bindings":
		f.Transport = t.s
	default:
		p.fail(t.pos, "a protocol is over ports or bindings, not %s", t)
	}
	for p.is(",") {
		switch t := p.name(); {
		case t.s == "packed" && f.Transport == "ports":
			f.Packed = true
		case t.s == "nucleus" && f.Transport == "ports":
			f.Nucleus = true
		case t.s == "numbered" && f.Transport == "bindings":
			f.Numbered = true
		case t.s == "later" && f.Transport == "bindings":
			f.Later = true
		default:
			p.fail(t.pos, "a protocol over %s has no option %s", f.Transport, t)
		}
	}
	in := &Interface{Pos: f.Pos}
	f.Interfaces = []*Interface{in}
	for {
		t := p.next()
		if t.kind == end {
			return
		}
		if t.kind != word {
			p.fail(t.pos, "expected a declaration, found %s", t)
		}
		switch t.s {
		case "const":
			p.constDecl(t)
		case Scalar, Word, Struct, Record, Extern:
			p.typeDecl(t)
		case "interface":
			in = &Interface{Pos: t.pos, Doc: t.doc, Name: p.name().s}
			f.Interfaces = append(f.Interfaces, in)
		case "method":
			in.Methods = append(in.Methods, p.method(t))
		case "gone":
			g := &Gone{Pos: t.pos, Number: p.number()}
			g.Name = p.name().s
			in.Gone = append(in.Gone, g)
		default:
			p.fail(t.pos, "expected a declaration, found %s", t)
		}
	}
}

func (p *parser) constDecl(t token) {
	c := &Const{Pos: t.pos, Doc: t.doc}
	name := p.name()
	c.Name = name.s
	if !p.is("=") {
		c.Type = p.scalarType()
		p.want("=")
	}
	first := p.next()
	if first.kind != number {
		p.fail(first.pos, "expected a number, found %s", first)
	}
	c.Text, c.Value = first.s, first.n
	if p.is("<") {
		p.want("<")
		by := p.next()
		if by.kind != number || by.n > 63 {
			p.fail(by.pos, "expected by how much to shift, found %s", by)
		}
		if c.Value<<by.n>>by.n != c.Value {
			p.fail(by.pos, "the number does not fit 64 bits")
		}
		c.Text, c.Value = c.Text+" << "+by.s, c.Value<<by.n
	}
	if c.Doc == "" {
		c.Doc = p.trailing[first.pos.Line]
	}
	if p.file.consts[c.Name] != nil || p.file.decls[c.Name] != nil {
		p.fail(name.pos, "there is a %q already", c.Name)
	}
	p.file.consts[c.Name] = c
	p.file.Consts = append(p.file.Consts, c)
}

// scalars are the types that have no parts, with their sizes on the wire.
var scalars = map[string]int{"bool": 1, "u8": 1, "u16": 2, "u32": 4, "u64": 8, "i8": 1, "i16": 2, "i32": 4, "i64": 8,
	"int": 4, "size": 4, "seq": 8}

func (p *parser) typeDecl(t token) {
	d := &Decl{Pos: t.pos, Doc: t.doc, Form: t.s}
	name := p.name()
	d.Name = name.s
	if p.file.decls[d.Name] != nil || p.file.consts[d.Name] != nil || scalars[d.Name] != 0 {
		p.fail(name.pos, "there is a %q already", d.Name)
	}
	switch d.Form {
	case Scalar:
		b := p.name()
		if scalars[b.s] == 0 || b.s == "seq" || b.s == "bool" {
			p.fail(b.pos, "%s is no integer type", b)
		}
		d.Base = b.s
	case Extern:
		p.want("=")
		d.Import = p.path()
		p.want(".")
		d.Go = p.name().s
		at := p.peek().pos
		n := p.number()
		if n == 0 || n > 4096 {
			p.fail(at, "%d bytes are no size of a type", n)
		}
		d.Size = int(n)
	default:
		if d.Form == Struct && p.is("=") {
			d.Import = p.path()
		}
		p.want("{")
		for !p.is("}") {
			d.Fields = append(d.Fields, p.fields()...)
		}
	}
	p.file.decls[d.Name] = d
	p.file.Decls = append(p.file.Decls, d)
}

func (p *parser) path() string {
	t := p.next()
	if t.kind != text || t.s == "" || strings.ContainsAny(t.s, " \t`") {
		p.fail(t.pos, "expected the path of a package, found %s", t)
	}
	return t.s
}

// fields are one or several of the same type: a, b u32.
func (p *parser) fields() []*Field {
	var list []*Field
	for {
		t := p.next()
		f := &Field{Pos: t.pos, Doc: t.doc}
		switch {
		case t.kind == word:
			f.Name = t.s
		case t.kind == mark && t.s == "_":
		default:
			p.fail(t.pos, "expected the name of a field, found %s", t)
		}
		list = append(list, f)
		if !p.is(",") {
			break
		}
	}
	p.rest(list)
	return list
}

// rest is what follows the names of fields.
func (p *parser) rest(list []*Field) {
	typ := p.typ()
	var since, def uint64
	hasDef := false
	if p.is("since") {
		since = p.number()
	}
	if p.is("=") {
		hasDef = true
		if p.is("true") {
			def = 1
		} else {
			def = p.constant()
		}
	}
	for _, f := range list {
		f.Type, f.Since, f.Default, f.HasDef = typ, since, def, hasDef
		if f.Doc == "" {
			f.Doc = p.trailing[f.Pos.Line]
		}
	}
}

// params are fields in parentheses, one name each.
func (p *parser) params() []*Field {
	p.want("(")
	var list []*Field
	if p.is(")") {
		return nil
	}
	for {
		t := p.name()
		f := &Field{Pos: t.pos, Doc: t.doc, Name: t.s}
		p.rest([]*Field{f})
		list = append(list, f)
		if p.is(")") {
			return list
		}
		p.want(",")
		if p.is(")") {
			return list
		}
	}
}

func (p *parser) scalarType() *Type {
	t := p.name()
	if scalars[t.s] != 0 {
		return &Type{Pos: t.pos, Kind: TScalar, Name: t.s}
	}
	d := p.file.decls[t.s]
	if d == nil {
		p.fail(t.pos, "there is no type %q before this", t.s)
	}
	if d.Form != Scalar {
		p.fail(t.pos, "a constant cannot be a %s", t.s)
	}
	return &Type{Pos: t.pos, Kind: TNamed, Name: t.s, Decl: d}
}

func (p *parser) typ() *Type {
	if p.depth++; p.depth > 16 {
		p.fail(p.peek().pos, "types within types within types")
	}
	defer func() { p.depth-- }()
	if p.is("[") {
		at := p.peek().pos
		n := p.constant()
		if n == 0 || n > 4096 {
			p.fail(at, "%d is no length of an array", n)
		}
		p.want("]")
		return &Type{Pos: at, Kind: TArray, Max: n, Elem: p.typ()}
	}
	t := p.name()
	y := &Type{Pos: t.pos}
	switch t.s {
	case TString, TName, TBytes, TView:
		y.Kind, y.Max = t.s, p.limit()
	case "rest":
		y = p.typ()
		if y.Kind != TString && y.Kind != TBytes && y.Kind != TView {
			p.fail(y.Pos, "the rest is a string, bytes or a view")
		}
		y.Rest = true
	case TList:
		y.Kind, y.Max = TList, p.limit()
		y.Elem = p.typ()
	case TFill:
		y.Kind, y.Max = TFill, p.limit()
		y.Name = p.name().s
	case TStream, TSome:
		y.Kind, y.Max = t.s, p.limit()
		y.Elem = p.typ()
		y.Rest = true
	case TRight:
		y.Kind = TRight
		k := p.name()
		if y.Right = k.s; k.s != "send" && k.s != "receive" {
			p.fail(k.pos, "a right is send or receive, not %s", k)
		}
		d := p.name()
		if y.Disp = d.s; d.s != "move" && (k.s == "receive" || d.s != "make" && d.s != "copy") {
			p.fail(d.pos, "a %s right cannot be given with %s", k.s, d)
		}
		y.Opt = p.is("optional")
		if p.is("dead") {
			y.Dead = p.name().s
		}
	default:
		y.Kind, y.Name = TNamed, t.s
		if scalars[t.s] != 0 {
			y.Kind = TScalar
			break
		}
		if y.Decl = p.file.decls[t.s]; y.Decl == nil {
			p.fail(t.pos, "there is no type %q before this", t.s)
		}
	}
	return y
}

func (p *parser) method(t token) *Method {
	m := &Method{Pos: t.pos, Doc: t.doc, Name: p.name().s}
	p.want("=")
	m.Number = p.number()
	m.In = p.params()
	if p.is("->") {
		m.Out = p.params()
	}
	for {
		switch {
		case p.is("since"):
			m.Since = p.number()
		case p.is("silent"):
			m.Silent = true
		case p.is("plain"):
			m.Plain = true
		case p.is("oneway"):
			m.Oneway = true
		case p.is("local"):
			m.Local = true
		case p.is("hand"):
			m.Hand = true
		case p.is("lend"):
			m.Lend = p.constant()
		case p.is("errors"):
			for {
				t := p.name()
				d := ErrorDoc{Pos: t.pos, Name: t.s}
				if p.peek().kind == text {
					d.Text = p.next().s
				}
				m.Errors = append(m.Errors, d)
				if !p.is(",") {
					break
				}
			}
		default:
			return m
		}
	}
}
