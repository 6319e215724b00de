package gen

import (
	"fmt"
	"slices"
	"strings"

	"hythe/cmd/idlgen/internal/idl"
)

var kinds = map[string]string{"send": "abi.RightSend", "receive": "abi.RightReceive"}

func disposition(t *idl.Type) string { return "abi." + upper(t.Disp) + upper(t.Right) }

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// ports writes an interface over ports: for each method the forms of request and
// answer, then the stubs and the dispatch.
func (g *generator) ports(i *idl.Interface) {
	for _, m := range i.Methods {
		g.encodeMessage(m, m.In, "Encode"+m.Name, false)
		g.decodeMessage(m, m.In, "Decode"+m.Name, false)
		if m.Oneway {
			continue
		}
		g.encodeMessage(m, m.Out, "Encode"+m.Name+"Answer", true)
		g.decodeMessage(m, m.Out, "Decode"+m.Name+"Answer", true)
	}
	client, server := i.Name, i.Name+"Server"
	if i.Name == "" {
		client, server = "Client", "Server"
	}
	if !g.f.Nucleus { // whose messages come among others to whoever they are for
		g.client(i, client)
		g.server(i, server)
	}
}

// client writes the stubs.
func (g *generator) client(i *idl.Interface, client string) {
	if i.Doc != "" {
		g.comment(i.Doc)
		g.p("//")
	}
	g.p("// %s asks the port of that interface. Beside the errors of the methods its own", client)
	g.p("// answer EPIPE when the receiver is gone for good, ENAMETOOLONG and E2BIG for what is")
	g.p("// beyond a limit, EIO for an answer that is none, and ENOSYS when the receiver is of an")
	g.p("// older version.")
	g.p("type %s struct {", client)
	g.p("C *ipc.Conn")
	g.p("Port abi.Name // a send right")
	g.p("}")
	g.p("")
	for _, m := range i.Methods {
		g.doc(m.Name, m)
		g.p("func (c %s) %s(%s) %s {", client, stubName(m), join(g.sig(m.In, true)), results(g.sig(m.Out, false)))
		ret := "return " + join(names(m.Out), []string{"err"})
		g.p("m, err := Encode%s(%s)", m.Name, join(names(m.In)))
		g.p("if err != 0 { %s }", ret)
		if m.Oneway {
			g.p("return c.C.Send(c.Port, m, abi.NameNull)")
			g.p("}")
			g.p("")
			continue
		}
		ask := "AskWith"
		if g.f.Packed {
			ask = "AskPacked"
		}
		g.p("a, err := c.C.%s(c.Port, m)", ask)
		g.p("if err != 0 { %s }", ret)
		g.p("%s = Decode%sAnswer(a)", join(names(m.Out), []string{"err"}), m.Name)
		if n := len(g.f.Place(m.Out, true).Rights); n > 0 {
			g.p("if err == 0 { a.Rights = a.Rights[min(%d, len(a.Rights)):] }", n)
		}
		g.p("c.C.Drop(a)")
		g.p("%s", ret)
		g.p("}")
		g.p("")
	}
}

// server writes the interface of who serves, and the dispatch.
func (g *generator) server(i *idl.Interface, server string) {
	g.p("// %s serves the interface. A method keeps the rights that it is given unless it answers", server)
	g.p("// an error; a right whose port died on its way is abi.NameDead. With ipc.Later it answers")
	g.p("// by ipc.Conn.AnswerWith, when it can, what Encode...Answer makes.")
	g.p("type %s interface {", server)
	for _, m := range i.Methods {
		g.doc(m.Name, m)
		g.p("%s(%s) %s", m.Name, join([]string{"m *ipc.Message"}, g.sig(m.In, true)), results(g.sig(m.Out, false)))
	}
	g.p("}")
	g.p("")
	g.p("// Dispatch%s has a request served and answers its answer, nil if that comes later. What", i.Name)
	g.p("// rights and objects the request has then are not wanted (ipc.Conn.Drop).")
	g.p("func Dispatch%s(m *ipc.Message, s %s) *ipc.Message {", i.Name, server)
	g.p("switch m.ID {")
	for _, m := range i.Methods {
		g.p("case Msg%s:", m.Name)
		in := join(names(m.In), []string{"err"})
		g.p("%s := Decode%s(m)", in, m.Name)
		for _, o := range m.Out {
			g.p("var out%s %s", o.Name, g.goType(o.Type))
		}
		g.p("if err == 0 {")
		g.p("%s = s.%s(%s)", join(prefixed(names(m.Out), "out"), []string{"err"}), m.Name, join([]string{"m"}, pass(m.In, "")))
		if m.Oneway && len(g.f.Place(m.In, false).Rights) == 0 {
			g.p("_ = err // there is no answer")
		}
		if len(g.f.Place(m.In, false).Rights) > 0 {
			g.p("if err == 0 || err == ipc.Later { m.Rights = nil }")
		}
		g.p("}")
		if m.Oneway {
			g.p("return nil")
			continue
		}
		g.p("if err == ipc.Later { return nil }")
		g.p("return Encode%sAnswer(%s)", m.Name, join(pass(m.Out, "out"), []string{"err"}))
	}
	g.p("}")
	g.p("return wire.Refuse(abi.ENOSYS)")
	g.p("}")
	g.p("")
}

func stubName(m *idl.Method) string {
	if m.Local {
		return lower(m.Name)
	}
	return m.Name
}

func (g *generator) encodeMessage(m *idl.Method, list []*idl.Field, name string, answer bool) {
	pl := g.f.Place(list, answer)
	if !answer {
		errs := ""
		if slices.ContainsFunc(pl.Body, func(f *idl.Field) bool { return limitedType(f.Type) }) {
			errs = " ENAMETOOLONG, E2BIG: something is beyond its limit."
		}
		g.p("// %s makes a request.%s", name, errs)
		g.p("func %s(%s) (m *ipc.Message, err abi.Errno) {", name, join(g.sig(list, true)))
	} else {
		g.p("// %s makes an answer; with an error it has nothing else.", name)
		g.p("func %s(%s) *ipc.Message {", name, join(g.sig(list, true), []string{"err abi.Errno"}))
		if len(list) == 0 && !m.Plain {
			g.p("return wire.Refuse(err)")
			g.p("}")
			g.p("")
			return
		}
		if m.Plain {
			g.p("if err != 0 { return &ipc.Message{} }")
		} else {
			g.p("if err != 0 { return wire.Refuse(err) }")
		}
	}
	for _, f := range pl.Body {
		fail := "return nil, %s"
		if answer {
			fail = "return wire.Refuse(%s)"
			if m.Plain {
				fail = "_ = %s; return &ipc.Message{}"
			}
		}
		g.fitsOr(f.Type, f.Name, big(f.Type), fail)
	}
	body := "b"
	switch {
	case answer && !m.Plain:
		g.p("b := wire.AppendErrno(nil, 0)")
	case len(pl.Body) == 0:
		body = "nil"
	default:
		size := uint64(0)
		for _, f := range pl.Body {
			size += f.Type.MinSize()
		}
		g.p("b := make([]byte, 0, %d)", max(size, 32))
	}
	for _, f := range pl.Body {
		g.add(f.Type, f.Name, big(f.Type))
	}
	make := "&ipc.Message{"
	if !answer {
		make += fmt.Sprintf("ID: Msg%s, ", m.Name)
		if m.Lend != 0 {
			make += fmt.Sprintf("Lend: %d, ", m.Lend)
		}
	}
	if body != "nil" {
		make += "Body: b"
	}
	make += "}"
	switch {
	case len(pl.Rights) == 0 && answer:
		g.p("return %s", make)
	case len(pl.Rights) == 0:
		g.p("return %s, 0", make)
	default:
		mm := "m"
		if answer {
			mm = "a"
			g.p("a := %s", make)
		} else {
			g.p("m = %s", make)
		}
		for _, f := range pl.Rights {
			add := fmt.Sprintf("%s.Rights = append(%s.Rights, abi.RightDesc{Name: %s, Disp: %s})", mm, mm, f.Name, disposition(f.Type))
			if f.Type.Opt {
				g.p("if %s != abi.NameNull { %s }", f.Name, add)
			} else {
				g.p("%s", add)
			}
		}
		if answer {
			g.p("return a")
		} else {
			g.p("return m, 0")
		}
	}
	g.p("}")
	g.p("")
}

func (g *generator) decodeMessage(m *idl.Method, list []*idl.Field, name string, answer bool) {
	pl := g.f.Place(list, answer)
	bad := "EINVAL"
	if answer {
		bad = "EIO"
		g.p("// %s reads an answer. EIO: it is none.", name)
	} else {
		g.p("// %s reads a request. EINVAL: it makes no sense.", name)
	}
	g.p("func %s(m *ipc.Message) %s {", name, results(g.sig(list, false)))
	fail := "return " + join(names(list), []string{"abi." + bad})
	if answer && !m.Plain {
		if len(pl.Body) > 0 {
			g.p("b, err := wire.Errno(m.Body)")
			g.p("if err != 0 { return %s }", join(names(list), []string{"err"}))
		} else {
			set := "="
			if len(list) == 0 {
				set = ":="
			}
			g.p("if _, err %s wire.Errno(m.Body); err != 0 { return %s }", set, join(names(list), []string{"err"}))
		}
	} else if len(pl.Body) > 0 {
		g.p("b := m.Body")
	}
	if !answer {
		// Of an answer, what is not known is given up.
		g.p("if len(m.Rights) > %d || len(m.Objects) > 0 { %s }", len(pl.Rights), fail)
	}
	for i, f := range pl.Rights {
		g.p("if %s, err = wire.Right(m, %d, %s, %v); err != 0 { %s }", f.Name, i, kinds[f.Type.Right], f.Type.Opt, fail)
		if f.Type.Dead != "" {
			g.p("if %s == abi.NameDead { return %s }", f.Name, join(names(list), []string{"abi." + f.Type.Dead}))
		}
	}
	if needsOK(pl.Body) {
		g.p("var ok bool")
	}
	g.take(pl.Body, max(m.Since, 1), "", fail, true)
	g.p("return %s", join(names(list), []string{"0"}))
	g.p("}")
	g.p("")
}
