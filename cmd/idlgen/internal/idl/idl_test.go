package idl

import (
	"strings"
	"testing"
)

const sound = `// About it.
protocol p 2 over ports
const Most = 1 << 4 // of something
type ID u64
word Pair { A u32 B u32 }
struct Point { X, Y i32 }
record Row { Name string<Most> N u64 since 2 = 7 }
// Get gets.
method Get = 1 (id ID, at Point) -> (rows list<8> Row, extra u32 since 2)
	errors ENOENT "there is none", EIO
method Put = 2 (name rest string<100>, to right send make optional dead EINVAL) since 2 lend 512
interface Other
method Tell = 1 (p Pair) plain
gone 2 Old
`

func TestSound(t *testing.T) {
	f, err := Parse("p.idl", sound)
	if err != nil {
		t.Fatal(err)
	}
	if errs := Check(f); len(errs) != 0 {
		t.Fatal(errs)
	}
	m := f.Interfaces[0].Methods[0]
	if m.Doc != "Get gets." || f.Doc != "About it." || f.Consts[0].Doc != "of something" || f.Consts[0].Value != 16 {
		t.Errorf("comments: %+v %+v", m, f.Consts[0])
	}
	if len(m.Errors) != 2 || m.Errors[0].Text != "there is none" {
		t.Errorf("errors: %+v", m.Errors)
	}
	if n, ok := f.Decls[2].Fixed(); n != 8 || !ok {
		t.Error("size of Point:", n, ok)
	}
}

// TestErrors: each wrong file is refused with one line that says where.
func TestErrors(t *testing.T) {
	const over = "protocol p 2 over ports\n"
	const slots = "protocol p 2 over bindings\n"
	for _, c := range []struct{ src, want string }{
		{"", `1:1: expected "protocol", found the end of the file`},
		{"protocol p 0 over ports", "1:12: a version counts from 1"},
		{"protocol p 1 over pipes", `1:19: a protocol is over ports or bindings, not "pipes"`},
		{"protocol p 1 over ports, later", "1:26: a protocol over ports has no option"},
		{over + "method A = 1 (x u33)", `2:17: there is no type "u33" before this`},
		{over + "method A = 1 (x T)\ntype T u32", `2:17: there is no type "T" before this`},
		{over + "method A = 1 ()\nmethod B = 1 ()", "3:1: method B: number 1 is that of A, too"},
		{over + "gone 3 Old\nmethod B = 3 ()", "3:1: method B: number 3 is that of Old, which is gone, too"},
		{over + "method A = 1 ()\nmethod A = 2 ()", "3:1: A is at line 2, too"},
		{over + "method A = 64 ()", "2:1: method A: numbers are from 1 to 63"},
		{over + "method A = 1 (x u32, x u32)", "2:22: two parameters are called x"},
		{over + "method A = 1 (range u32)", "2:15: range cannot be the name of a parameter"},
		{over + "method A = 1 (x u32 since 3)", "2:15: since 3, but this is version 2"},
		{over + "method A = 1 (x u32 since 2, y u32)", "2:30: it stands behind what is newer"},
		{over + "method A = 1 (x u32 = 4)", "2:15: only what is newer than the rest has a default"},
		{over + "method A = 1 (x u8 since 2 = 256)", "2:15: 256 does not fit u8"},
		{over + "method A = 1 (x rest bytes<10>, y u32)", "2:33: nothing can stand behind the rest"},
		{over + "method A = 1 (x bytes<40000>)", "2:17: a limit of 40000 bytes"},
		{over + "method A = 1 (x bytes<20000>, y bytes<20000>)", "2:1: method A: a request has up to 40008 bytes, and at most 28672 travel"},
		{over + "method A = 1 (x list<10000> u64)", "2:1: method A: a request has up to 80004 bytes"},
		{over + "method A = 1 () errors EWHAT", "2:24: EWHAT is no error of package abi"},
		{over + "method A = 1 (x right send make optional, y right send make)", "2:45: a right behind one that is optional is optional"},
		{over + "method A = 1 (x right send make since 2)", "2:17: a newer right is optional"},
		{over + "method A = 1 (x right receive copy)", `2:31: a receive right cannot be given with "copy"`},
		{over + "method A = 1 (x seq)", "2:17: one seq for a request"},
		{over + "struct S { a u32 }", "2:12: the name of a field begins with a capital letter"},
		{over + "struct S { A u32 since 2 }", "2:12: a struct does not change"},
		{over + "word W { A u64 B u8 }", "2:1: a word has at most 8 bytes, W has 9"},
		{over + "struct S { A u32 }\nstruct S { A u32 }", `3:8: there is a "S" already`},
		{over + "const C = 1 << 70", "2:16: expected by how much to shift"},
		{over + "const C u8 = 256", "2:1: 256 does not fit u8"},
		{over + "method A = 08 ()", `2:12: "08" is no number`},
		{over + "method A = 1 (x string<0>)", "2:17: a limit of 0 bytes"},
		{over + "method A = 1 (x list<3> right send make)", "2:25: no list or array of this"},
		{over + "method A = 1 () silent", "2:1: method A: silent is for"},
		{over + `extern A = "net`, "2:12: a string that does not end on its line"},
		{over + "%", `2:1: '%' has no meaning here`},
		{over + "method A = 1 (x [" + strings.Repeat("2] [", 20) + "2] u8)", "types within types within types"},
		{over + "method A = 1 () -> (x u8) oneway", "2:1: method A: oneway is for messages without an answer"},
		{"protocol p 1 over ports, nucleus\nmethod A = 1 () oneway", "2:1: method A: numbers are from 64 to 127"},
		{"protocol p 1 over ports, nucleus\nmethod A = 65 ()", "2:1: method A: what the nucleus sends is oneway"},
		{slots + "method A = 1 (x right send make)", "2:17: rights travel in messages only"},
		{slots + "method A = 1 () plain", "2:1: method A: plain is for answers on ports"},
		{slots + "method A = 1 (a1 u8, a2 u8, a3 u8, a4 u8, a5 u8, a6 u8, a7 u8)", "2:1: method A: more than 6 words of arguments"},
		{slots + "method A = 1 (x u32 since 2 = 1)", "2:15: over bindings the default of a scalar is 0"},
		{slots + "method A = 1 (x u32) -> (d fill<10> x)", "2:28: fill is the only answer"},
		{slots + "method A = 1 () -> (l stream<10> u8)", "2:23: a stream consists of a struct of this file"},
	} {
		f, err := Parse("p.idl", c.src)
		if err == nil {
			errs := Check(f)
			if len(errs) == 0 {
				t.Errorf("%q is taken for right", c.src)
				continue
			}
			err = errs[0]
			for _, e := range errs {
				if strings.Contains(e.Error(), c.want) {
					err = e
				}
			}
		}
		if got := err.Error(); !strings.HasPrefix(got, "p.idl:") || !strings.Contains(got, c.want) || strings.Contains(got, "\n") {
			t.Errorf("%q:\n\t%s\n\twant %s", c.src, got, c.want)
		}
	}
}

func lockFor(t *testing.T, src, old string) (string, error) {
	t.Helper()
	f, err := Parse("p.idl", src)
	if err != nil {
		t.Fatal(err)
	}
	if errs := Check(f); len(errs) != 0 {
		t.Fatal(errs[0])
	}
	return Lock(f, "p.lock", old)
}

// TestLock: what was given out does not change; what is added says since when.
func TestLock(t *testing.T) {
	const one = `protocol p 1 over ports
const Most = 8
const Flag = 2
type ID u64
struct Point { X, Y i32 }
record Row { Name string<Most> }
method Get = 1 (id ID, at Point) -> (rows list<8> Row)
method Old = 2 (x u32)
`
	old, err := lockFor(t, one, "")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := lockFor(t, one, old); err != nil || again != old {
		t.Fatalf("the same file: %v\n%s\n%s", err, old, again)
	}
	for _, c := range []struct {
		name, from, to, want string
	}{
		{"comment", "type ID", "// About it.\ntype ID", ""},
		{"constant", "type ID", "const C = 3\ntype ID", ""},
		{"version 2", "p 1 over", "p 2 over", ""},
		{"new method", "p 1 over ports\n", "p 2 over ports\nmethod New = 3 (y bytes<8>) -> (z u32) since 2\n", ""},
		{"new field", "at Point)", "at Point, z u32 since 2 = 9)", "since 2, but this is version 1"},
		{"new type", "type ID", "type Other u8\ntype ID", ""},
		{"gone", "method Old = 2 (x u32)", "gone 2 Old", ""},
		{"gone with another number", "method Old = 2 (x u32)", "gone 3 Old", "p.idl:8:1: Old had the number 2"},
		{"missing", "method Old = 2 (x u32)", "", "p.idl:1:1: method Old was given out (2 since 1) and is missing"},
		{"number", "Get = 1", "Get = 3", `p.idl:7:1: method Get was given out as "1" and is now "3"`},
		{"type of a field", "id ID", "id u32", `p.idl:7:17: method Get in id was given out as "0: ID" and is now "0: u32": add a method or field since 2 instead`},
		{"type of a type", "ID u64", "ID u32", `p.idl:4:1: type ID was given out as "u64" and is now "u32"`},
		{"order", "id ID, at Point", "at Point, id ID", `is now "1: ID"`},
		{"limit", "list<8> Row", "list<9> Row", `method Get out rows was given out as "0: list<8> Row"`},
		{"struct", "X, Y i32", "X, Y, Z i32", `p.idl:5:1: struct Point was given out as "X i32, Y i32" and is now "X i32, Y i32, Z i32"`},
		{"fields of one type", "X, Y i32", "Y, X i32", `is now "Y i32, X i32"`},
		{"value of a constant", "Most = 8", "Most = 9", `p.idl:2:1: const Most was given out as "8" and is now "9"`},
		{"name of a constant", "const Flag", "const Bit", `p.idl:1:1: const Flag was given out (2 since 1) and is missing`},
		{"loan", "(x u32)", "(x u32) lend 64", `p.idl:8:1: method Old was given out as "2" and is now "2 lend 64"`},
		{"record without since", "string<Most> }", "string<Most> N u8 }", "p.idl:6:32: record Row.N is new, and version 1 was given out without it: it is since 2"},
		{"method without since", "method Old", "method New = 3 ()\nmethod Old", "p.idl:8:1: method New is new, and version 1 was given out without it"},
		{"transport", "ports", "bindings", `p.idl:1:1: protocol p was given out as "over ports" and is now "over bindings"`},
	} {
		src := strings.Replace(one, c.from, c.to, 1)
		if src == one {
			t.Fatal(c.name)
		}
		f, err := Parse("p.idl", src)
		if err == nil {
			if errs := Check(f); len(errs) > 0 {
				err = errs[0]
			} else {
				_, err = Lock(f, "p.lock", old)
			}
		}
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && err == nil:
			t.Errorf("%s is taken", c.name)
		case c.want != "" && (!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n")):
			t.Errorf("%s: %v\n\twant %s", c.name, err, c.want)
		}
	}
	two := strings.Replace(strings.Replace(one, "p 1", "p 2", 1), "string<Most>", "string<Most> N u8 since 2", 1)
	next, err := lockFor(t, two, old)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockFor(t, one, next); err == nil || !strings.Contains(err.Error(), "version 2 was given out, this is 1") {
		t.Errorf("back to version 1: %v", err)
	}
	for _, bad := range []string{"version x\n", "nothing\n", "version 1\na = b\n", "a = b since 1\n"} {
		if _, err := lockFor(t, one, bad); err == nil {
			t.Errorf("lock %q is taken", bad)
		}
	}
}

// FuzzParse: any text is a file or an error with a place in it; what is sound has a lock
// that it agrees with.
func FuzzParse(f *testing.F) {
	f.Add(sound)
	f.Add("protocol p 1 over bindings, later\nmethod A = 1 (x seq, l list<4> [3] string<9>) -> (d rest view<10>)\n")
	f.Add("protocol p 1 over bindings, numbered\nstruct S { A u8 B name<3> }\nmethod A = 1 (n size) -> (d fill<8> n) hand\nmethod B = 2 () -> (l some<99> S)")
	f.Add("protocol p 1 over ports, packed\nextern E = \"a/b\".C 18\nmethod A = 1 (x list<1000000> E) \"")
	f.Fuzz(func(t *testing.T, src string) {
		lines := strings.Count(src, "\n") + 1
		place := func(e *Error) {
			if e.Pos.Line < 1 || e.Pos.Line > lines || e.Pos.Col < 1 || e.Pos.Col > len(src)+1 {
				t.Fatalf("%v is at no place of %q", e, src)
			}
		}
		file, err := Parse("f", src)
		if err != nil {
			place(err.(*Error))
			return
		}
		errs := Check(file)
		for _, e := range errs {
			place(e)
		}
		if len(errs) > 0 {
			return
		}
		l, err := Lock(file, "l", "")
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Lock(file, "l", l); err != nil || again != l {
			t.Fatalf("%q does not agree with its lock\n%s\n%v", src, l, err)
		}
	})
}
