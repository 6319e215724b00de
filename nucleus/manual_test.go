package nucleus

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"hythe/abi"
	"hythe/abi/manual"
)

// source is what the code of the nucleus says of its functions, by name; those of one
// name are taken together.
type source struct {
	errs  map[string]map[string]bool // errors that a function names, but to compare
	calls map[string]map[string]bool // what it calls
	errno map[string]bool            // it answers an Errno
	late  map[string]bool            // errors that end a call which waits
	ipc   map[string]bool            // exported functions of package ipc, "Type.Name" or "Name"
}

// answers are functions that answer a call, so that their errors are its.
var answers = []string{"receive", "deliver", "refuse"}

func readSource(t *testing.T) *source {
	s := &source{map[string]map[string]bool{}, map[string]map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}}
	each := func(dir string, f func(*ast.FuncDecl)) {
		names, err := filepath.Glob(dir + "/*.go")
		if err != nil || len(names) == 0 {
			t.Fatal(dir, err)
		}
		for _, n := range names {
			if strings.HasSuffix(n, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), n, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range file.Decls {
				if d, ok := d.(*ast.FuncDecl); ok && d.Body != nil {
					f(d)
				}
			}
		}
	}
	for _, dir := range []string{".", "core", "message", "port", "vm"} {
		each(dir, s.add)
	}
	each("../ipc", func(d *ast.FuncDecl) {
		name := d.Name.Name
		if d.Recv != nil {
			x := d.Recv.List[0].Type
			if p, ok := x.(*ast.StarExpr); ok {
				x = p.X
			}
			name = x.(*ast.Ident).Name + "." + name
		}
		s.ipc[name] = true
	})
	s.ipc["FilePager"] = true // a type
	return s
}

// errnoOf is the name of an error of package abi, "" if the expression is none.
func errnoOf(n ast.Node) string {
	x, ok := n.(*ast.SelectorExpr)
	if !ok || len(x.Sel.Name) < 3 || x.Sel.Name[0] != 'E' || strings.ToUpper(x.Sel.Name) != x.Sel.Name {
		return ""
	}
	if p, ok := x.X.(*ast.Ident); !ok || p.Name != "abi" {
		return ""
	}
	return x.Sel.Name
}

func (s *source) add(d *ast.FuncDecl) {
	name := d.Name.Name
	if s.errs[name] == nil {
		s.errs[name], s.calls[name] = map[string]bool{}, map[string]bool{}
	}
	if d.Type.Results != nil {
		for _, r := range d.Type.Results.List {
			if x, ok := r.Type.(*ast.SelectorExpr); ok && x.Sel.Name == "Errno" {
				s.errno[name] = true
			}
		}
	}
	ast.Inspect(d.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			return errnoOf(n.X) == "" && errnoOf(n.Y) == ""
		case *ast.CaseClause:
			// What a value is compared with is not answered.
			for _, b := range n.Body {
				ast.Inspect(b, func(m ast.Node) bool { return s.note(name, m) })
			}
			return false
		}
		return s.note(name, n)
	})
}

func (s *source) note(name string, n ast.Node) bool {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		return errnoOf(n.X) == "" && errnoOf(n.Y) == ""
	case *ast.SelectorExpr:
		if e := errnoOf(n); e != "" {
			s.errs[name][e] = true
		}
	case *ast.CallExpr:
		called := ""
		switch f := n.Fun.(type) {
		case *ast.Ident:
			called = f.Name
		case *ast.SelectorExpr:
			called = f.Sel.Name
		}
		s.calls[name][called] = true
		if called == "expire" || called == "finish" { // that of another call
			for _, a := range n.Args {
				if e := errnoOf(a); e != "" {
					s.late[e] = true
				}
			}
			return false
		}
	}
	return true
}

// reach is all errors that a function can answer, as far as its text tells.
func (s *source) reach(name string) map[string]bool {
	seen, out := map[string]bool{}, map[string]bool{}
	var walk func(string)
	walk = func(f string) {
		if seen[f] {
			return
		}
		seen[f] = true
		maps.Copy(out, s.errs[f])
		for c := range s.calls[f] {
			switch {
			case c == "wait":
				maps.Copy(out, s.late)
			case s.errno[c] || slices.Contains(answers, c):
				walk(c)
			}
		}
	}
	walk(name)
	return out
}

// unreached are errors that the text of a call's functions holds, by the names of calls,
// and that it does not answer all the same, with why.
var unreached = map[string]map[string]string{}

const howTo = `abi/manual/manual.go (the page that docs/nucleus-calls.md gets by "make generate")`

// Every call has its page, the page has the errors that the code can answer and no
// others, the arguments of abi/nucleus.go, and the ways of package ipc that there are.
func TestManual(t *testing.T) {
	s := readSource(t)
	text, err := os.ReadFile("../abi/nucleus.go")
	if err != nil {
		t.Fatal(err)
	}
	pages := map[uint32]*manual.Call{}
	for i := range manual.Calls {
		c := &manual.Calls[i]
		if pages[c.Op] != nil {
			t.Errorf("%s and %s have the number %d", pages[c.Op].Name, c.Name, c.Op)
		}
		pages[c.Op] = c
		if int(c.Op) >= len(calls) || calls[c.Op].run == nil {
			t.Errorf("%s is no call of the nucleus: take it out of %s", c.Name, howTo)
		}
	}
	for op, h := range calls {
		if h.run == nil {
			continue
		}
		name := runtime.FuncForPC(reflect.ValueOf(h.run).Pointer()).Name()
		name = name[strings.LastIndexByte(name, '.')+1:]
		c := pages[uint32(op)]
		if c == nil {
			t.Errorf("call %d (%s) has no entry: add one to %s", op, name, howTo)
			continue
		}
		if c.Does == "" || c.Rights == "" || c.Cost == "" {
			t.Errorf("%s: the entry wants Does, Rights and Cost in %s", c.Name, howTo)
		}
		// The errors.
		can, has := s.reach(name), map[string]bool{}
		for _, e := range c.Errors {
			n := e.Err.Name()
			if has[n] {
				t.Errorf("%s: %s is there twice", c.Name, n)
			}
			has[n] = true
			if !can[n] {
				t.Errorf("%s: the code of %s holds no %s: take it out of %s", c.Name, name, n, howTo)
			}
		}
		for n := range can {
			if !has[n] && unreached[c.Name][n] == "" {
				t.Errorf("%s: %s can answer %s: say when in %s (or why not in unreached, here)", c.Name, name, n, howTo)
			}
		}
		for n := range unreached[c.Name] {
			if !can[n] || has[n] {
				t.Errorf("%s: %s is no exception any more", c.Name, n)
			}
		}
		// The arguments and results are those of the call's line in abi.
		line := regexp.MustCompile(`(?m)^\t` + c.Name + `\s*=\s*\d+\s*// (.*)$`).FindSubmatch(text)
		if line == nil {
			t.Errorf("%s: no line in abi/nucleus.go", c.Name)
			continue
		}
		in, out, _ := strings.Cut(string(line[1]), "->")
		agree(t, c.Name+": arguments", in, c.In)
		if !strings.Contains(out, " as Call") {
			agree(t, c.Name+": results", out, c.Out)
		}
		if c.Go != "" {
			for f := range strings.SplitSeq(c.Go, ", ") {
				if !s.ipc[f] {
					t.Errorf("%s: package ipc has no %s", c.Name, f)
				}
			}
		}
	}
}

// agree holds the words of a line against the fields of a page.
func agree(t *testing.T, what, line string, fields []manual.Field) {
	t.Helper()
	said, has := map[string]bool{}, map[string]bool{}
	line = regexp.MustCompile(`as A\d of|as in|as it`).ReplaceAllString(line, "")
	for _, w := range regexp.MustCompile(`\bA[0-5]\b|\binline\b`).FindAllString(line, -1) {
		said[w] = true
	}
	if regexp.MustCompile(`\bfds?\b`).MatchString(line) {
		said["fds"] = true
	}
	for _, f := range fields {
		has[f.At] = true
	}
	if !maps.Equal(said, has) {
		t.Errorf("%s: abi/nucleus.go says %v, %s %v", what, slices.Sorted(maps.Keys(said)), howTo, slices.Sorted(maps.Keys(has)))
	}
}

// Documented says whether a call's page has an error: every answer that a test of this
// package gets is asked about.
func Documented(op uint32, err abi.Errno) bool {
	for _, c := range manual.Calls {
		if c.Op == op {
			return slices.ContainsFunc(slices.Concat(c.Errors, manual.Always), func(e manual.Error) bool { return e.Err == err })
		}
	}
	return err == abi.ENOSYS
}
