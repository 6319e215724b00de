package gen

import (
	"fmt"
	"slices"
	"strings"

	"hythe/cmd/idlgen/internal/idl"
)

// Tests is the test file of a protocol: its wire forms against those that were given
// out, each way and back, and a fuzz target for all that decodes.
func Tests(f *idl.File) ([]byte, error) {
	g := newGenerator(f)
	g.p("// TestWire: forms that were given out do not change, and what is encoded is decoded.")
	g.p("func TestWire(t *testing.T) {")
	g.p("w := wiretest.New(t)")
	for _, i := range f.Interfaces {
		for _, m := range i.Methods {
			if f.Transport == "ports" {
				g.wireOfMessage(m)
			} else {
				g.wireOfCall(i, m)
			}
		}
	}
	g.p("w.Done()")
	g.p("}")
	g.p("")
	for _, i := range f.Interfaces {
		if len(i.Methods) > 0 && !f.Nucleus {
			g.filled(i)
		}
	}
	if f.Transport == "ports" {
		g.fuzzMessages()
	} else {
		g.fuzzCalls()
	}
	return g.file("\n")
}

// fillVars declares variables of parameters, with a prefix, and fills them.
func (g *generator) fillVars(list []*idl.Field, prefix string) {
	var addrs []string
	for _, f := range list {
		g.p("var %s%s %s", prefix, f.Name, g.goType(f.Type))
		addrs = append(addrs, "&"+prefix+f.Name)
	}
	if len(addrs) > 0 {
		g.p("w.Next()")
		g.p("w.Fill(%s)", join(addrs))
	}
}

func pass(list []*idl.Field, prefix string) (args []string) {
	for _, f := range list {
		if big(f.Type) {
			args = append(args, "&"+prefix+f.Name)
		} else {
			args = append(args, prefix+f.Name)
		}
	}
	return args
}

func prefixed(list []string, prefix string) (l []string) {
	for _, name := range list {
		l = append(l, prefix+name)
	}
	return l
}

func (g *generator) wireOfMessage(m *idl.Method) {
	g.p("{")
	g.fillVars(m.In, "x")
	g.p("m, err := Encode%s(%s)", m.Name, join(pass(m.In, "x")))
	g.p("if err != 0 { t.Fatal(err) }")
	g.p("w.Message(%q, m)", m.Name)
	g.p("%s := Decode%s(wiretest.Arrived(m))", join(prefixed(names(m.In), "y"), []string{"err"}), m.Name)
	if len(m.In) == 0 {
		g.b.Truncate(strings.LastIndex(strings.TrimRight(g.b.String(), "\n"), "\n") + 1)
		g.p("err = Decode%s(wiretest.Arrived(m))", m.Name)
	}
	g.p("w.Same(%q, err, []any{%s}, []any{%s})", m.Name, join(prefixed(names(m.In), "y")), join(prefixed(names(m.In), "x")))
	g.p("}")
	if m.Oneway {
		return
	}
	g.p("{")
	g.fillVars(m.Out, "x")
	g.p("m := Encode%sAnswer(%s)", m.Name, join(pass(m.Out, "x"), []string{"0"}))
	g.p("w.Message(%q, m)", m.Name+" answer")
	g.p("%s := Decode%sAnswer(wiretest.Arrived(m))", join(prefixed(names(m.Out), "y"), []string{"err"}), m.Name)
	g.p("w.Same(%q, err, []any{%s}, []any{%s})", m.Name+" answer", join(prefixed(names(m.Out), "y")), join(prefixed(names(m.Out), "x")))
	g.p("}")
}

// filled writes a server whose answers are filled.
func (g *generator) filled(i *idl.Interface) {
	server := i.Name + "Server"
	g.p("// filled%s answers with what wiretest fills in.", server)
	g.p("type filled%s struct {", server)
	for _, m := range i.Methods {
		if m.Hand {
			g.p("byHand%s", i.Name)
			break
		}
	}
	g.p("w *wiretest.Golden")
	g.p("}")
	g.p("")
	reqs := []string{}
	if g.f.Numbered {
		reqs = []string{"r ipc.Req"}
	}
	for _, m := range i.Methods {
		var addrs, outs []string
		for _, o := range m.Out {
			addrs = append(addrs, "&"+o.Name)
			outs = append(outs, o.Name)
		}
		fill := fmt.Sprintf("s.w.Fill(%s)", join(addrs))
		if len(addrs) == 0 {
			fill = ""
		}
		sig, args := g.parameters(m)
		if f := fillOf(m); f != nil {
			args[slices.Index(args, f.Name)] = "len(" + f.Name + ")"
		}
		if g.f.Transport == "bindings" {
			fill = fmt.Sprintf("s.w.Served(%s)\n", join(args)) + fill
		}
		out := join(g.sig(m.Out, false), []string{"err abi.Errno"})
		recv := "s filled" + server
		switch {
		case g.f.Transport == "ports":
			g.p("func (%s) %s(%s) (%s) {\n%s\nreturn\n}", recv, m.Name, join([]string{"m *ipc.Message"}, sig), out, fill)
		case g.f.Later:
			g.p("func (%s) %s(%s) {", recv, m.Name, join([]string{"r *" + i.Name + "Request"}, sig))
			g.p("s.w.Served(%s)", join(args))
			for _, o := range m.Out {
				g.p("var o%s %s", o.Name, g.goType(o.Type))
			}
			if len(outs) > 0 {
				g.p("s.w.Fill(%s)", join(prefixed(outs, "&o")))
			}
			g.p("r.Answer%s(%s)", m.Name, join(prefixed(outs, "o"), []string{"0"}))
			g.p("}")
		case fillOf(m) != nil:
			g.p("func (%s) %s(%s) (int, abi.Errno) {", recv, m.Name, join(reqs, sig))
			g.p("s.w.Served(%s)", join(args))
			g.p("return copy(%s, \"some data\"), 0", fillOf(m).Name)
			g.p("}")
		case m.Hand:
			g.p("func (%s) serve%s(%s) (%s) {\n%s\nreturn\n}", recv, m.Name, join(reqs, sig), out, fill)
		case m.Silent:
			g.p("func (%s) %s(%s) {\n%s\n}", recv, m.Name, join(reqs, sig), fill)
		default:
			g.p("func (%s) %s(%s) (%s) {\n%s\nreturn\n}", recv, m.Name, join(reqs, sig), out, fill)
		}
		g.p("")
	}
}

func (g *generator) fuzzMessages() {
	g.p("// FuzzDecode: any message is decoded or refused, and what was decoded has a form.")
	g.p("func FuzzDecode(f *testing.F) {")
	g.p("f.Add([]byte(\"name\"), uint64(1))")
	g.p("f.Add([]byte{0, 0, 0, 0, 255, 255, 255, 255}, uint64(1<<6|5<<3|2))")
	g.p("f.Fuzz(func(t *testing.T, body []byte, rights uint64) {")
	for _, i := range g.f.Interfaces {
		for _, m := range i.Methods {
			for _, answer := range []bool{false, true} {
				list, name := m.In, m.Name
				if answer && m.Oneway {
					continue
				}
				if answer {
					list, name = m.Out, m.Name+"Answer"
				}
				x := join(prefixed(names(list), "x"), []string{"err"})
				g.p("if %s := Decode%s(wiretest.Hostile(body, rights)); err == 0 {", x, name)
				if answer {
					g.p("m := Encode%s(%s)", name, join(pass(list, "x"), []string{"0"}))
				} else {
					g.p("m, err := Encode%s(%s)", name, join(pass(list, "x")))
					g.p("if err != 0 { t.Fatalf(\"%s: %%v\", err) }", m.Name)
				}
				set := ":="
				if len(list) == 0 && !answer {
					set = "="
				}
				g.p("%s %s Decode%s(wiretest.Arrived(m))", join(prefixed(names(list), "y"), []string{"err"}), set, name)
				g.p("if err != 0 || !wiretest.Equal([]any{%s}, []any{%s}) { t.Fatalf(\"%s of %%x: %%v\", body, err) }", join(prefixed(names(list), "y")), join(prefixed(names(list), "x")), name)
				g.p("}")
			}
		}
		if len(i.Methods) == 0 || g.f.Nucleus {
			continue
		}
		oneway := "false"
		for _, m := range i.Methods {
			if m.Oneway {
				oneway += fmt.Sprintf(" || id == Msg%s", m.Name)
			}
		}
		oneway = strings.TrimPrefix(oneway, "false || ")
		g.p("for id := range uint32(130) {")
		g.p("m := wiretest.Hostile(body, rights)")
		g.p("m.ID = id")
		g.p("a := Dispatch%s(m, filled%sServer{w: wiretest.New(nil)})", i.Name, i.Name)
		g.p("if (a == nil) != (%s) || %sKind(id) == \"\" && len(a.Body) != 4 { t.Fatalf(\"%%d: %%+v\", id, a) }", oneway, i.Name)
		g.p("}")
	}
	g.p("})")
	g.p("}")
}

// served writes what has a request, in words and b, served: result, n, err and out are
// then the answer.
func (g *generator) served(i *idl.Interface, nr, words, in, server string) {
	if g.f.Later {
		g.p("var result uint64; var n int; var err abi.Errno")
		g.p("Dispatch%s(&%sRequest{Binding: 1, Nr: %s, Args: %s, In: %s, Out: out, Reply: func(w uint64, k int, e abi.Errno) { result, n, err = w, k, e }}, %s)",
			i.Name, i.Name, nr, words, in, server)
		return
	}
	name, args := "Dispatch", ""
	for _, m := range i.Methods {
		if m.Hand {
			name, args = "dispatch", ", "+server
		}
	}
	if g.f.Numbered {
		g.p("result, n, err := %s%s(1, &ipc.Request{Nr: %s, Args: %s}, %s, out, %s%s)", name, i.Name, nr, words, in, server, args)
	} else {
		g.p("result, n, err := %s%s(&ipc.Request{Nr: %s, Args: %s}, %s, out, %s%s)", name, i.Name, nr, words, in, server, args)
	}
}

func (g *generator) wireOfCall(i *idl.Interface, m *idl.Method) {
	g.p("{")
	g.p("w.Next()")
	var args, want []string
	fill := fillOf(m)
	for _, f := range m.In {
		if fill != nil && f.Name == fill.Type.Name {
			g.p("x%s := make([]byte, 5)", fill.Name)
			args, want = append(args, "x"+fill.Name), append(want, "len(x"+fill.Name+")")
			continue
		}
		g.p("var x%s %s", f.Name, g.goType(f.Type))
		g.p("w.Fill(&x%s)", f.Name)
		x := join(pass([]*idl.Field{f}, "x"))
		args, want = append(args, x), append(want, x)
	}
	g.p("var words [8]uint64")
	g.p("b := store%s(%s)", m.Name, join([]string{"&words", "nil"}, args))
	g.p("w.Call(%q, words[:], b)", m.Name)
	g.p("out := make([]byte, abi.SlotOutSize)")
	g.p("w.Next()")
	g.served(i, "Op"+m.Name, "words", "b", "filled"+i.Name+"Server{w: w}")
	g.p("w.Same(%q, err, w.In, []any{%s})", m.Name, join(want))
	g.p("w.Call(%q, []uint64{result}, out[:n])", m.Name+" answer")
	if len(m.Out) > 0 && fill == nil {
		y := prefixed(names(m.Out), "y")
		g.p("%s := load%s(result, out[:n])", join(y, []string{"ok"}), m.Name)
		g.p("if !ok { t.Error(%q) }", m.Name)
		g.p("w.Same(%q, 0, []any{%s}, w.Out)", m.Name+" answer", join(y))
	}
	g.p("}")
}

func (g *generator) fuzzCalls() {
	g.p("// FuzzDecode: any request is served or refused, and any answer is read or refused.")
	g.p("func FuzzDecode(f *testing.F) {")
	g.p("for nr := range uint64(64) {")
	g.p("f.Add(nr, uint64(1), uint64(2), uint64(3), uint64(4), []byte{4, 0, 0, 0, 'n', 'a', 'm', 'e', 5, 0, 0, 0, 'o', 't', 'h', 'e', 'r'})")
	g.p("f.Add(nr, ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), []byte{255, 255, 255, 255})")
	g.p("}")
	g.p("out := make([]byte, abi.SlotOutSize)")
	g.p("f.Fuzz(func(t *testing.T, nr, w0, w1, w2, w3 uint64, in []byte) {")
	for _, i := range g.f.Interfaces {
		if len(i.Methods) == 0 {
			continue
		}
		g.p("{")
		g.served(i, "nr", "[8]uint64{w0, w1, w2, w3, w0, w1, w2&0xffffffff, w3}", "in", "filled"+i.Name+"Server{w: wiretest.New(nil)}")
		g.p("if n < 0 || n > len(out) || %sKind(nr) == \"\" && err != abi.ENOSYS { t.Fatalf(\"%%d bytes, result %%d, %%v\", n, result, err) }", i.Name)
		g.p("}")
		for _, m := range i.Methods {
			if len(m.Out) > 0 && fillOf(m) == nil {
				g.p("load%s(w0, in)", m.Name)
			}
		}
	}
	g.p("})")
	g.p("}")
}
