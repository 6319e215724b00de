package gen

import (
	"fmt"

	"hythe/cmd/idlgen/internal/idl"
)

// toWord is a field as a word of Args or Result.
func (g *generator) toWord(run []*idl.Field) string {
	f := run[0]
	switch {
	case scalar(f.Type) == "bool":
		s := ""
		for i, x := range run {
			if i > 0 {
				s += " | "
			}
			s += fmt.Sprintf("wire.Bit(%s, %d)", x.Name, 1<<i)
		}
		return s
	case scalar(f.Type) == "size" && f.Type.Kind == idl.TScalar:
		return "wire.Size(" + f.Name + ")"
	case scalar(f.Type) == "size":
		return "wire.Size(int(" + f.Name + "))"
	case scalar(f.Type) == "int":
		return "uint64(uint32(" + f.Name + "))"
	case f.Type.Kind == idl.TNamed && f.Type.Decl.Form == idl.Word:
		return f.Name + ".Word()"
	case g.goType(f.Type) == "uint64":
		return f.Name
	}
	return "uint64(" + f.Name + ")"
}

// ofWord writes what a word's fields are; set is "=" or ":=".
func (g *generator) ofWord(run []*idl.Field, word, set, prefix string) {
	for i, f := range run {
		var v string
		typ := g.goType(f.Type)
		switch {
		case scalar(f.Type) == "bool":
			v = fmt.Sprintf("%s&%d != 0", word, 1<<i)
		case scalar(f.Type) == "size":
			v = "wire.Int(" + word + ")"
			if typ != "int" {
				v = typ + "(" + v + ")"
			}
		case scalar(f.Type) == "int":
			v = typ + "(int32(" + word + "))"
		case f.Type.Kind == idl.TNamed && f.Type.Decl.Form == idl.Word:
			v = f.Type.Decl.Name + "Of(" + word + ")"
		case typ == "uint64":
			v = word
		default:
			v = typ + "(" + word + ")"
		}
		g.p("%s%s %s %s", prefix, f.Name, set, v)
	}
}

// checkArgs writes what refuses parameters beyond their limits. fail has one %s for the
// error.
func (g *generator) checkArgs(m *idl.Method, fail string) {
	for _, f := range g.f.Place(m.In, false).Body {
		g.fitsOr(f.Type, f.Name, big(f.Type), fail)
	}
}

// forms writes what stores a request and loads an answer.
func (g *generator) forms(m *idl.Method) {
	pl := g.f.Place(m.In, false)
	sig, _ := g.parameters(m)
	g.p("// store%s stores a request in the words and the body of a call.", m.Name)
	g.p("func store%s(%s) []byte {", m.Name, join([]string{"w *[8]uint64", "b []byte"}, sig))
	fill := fillOf(m)
	for i, run := range pl.Words {
		w := g.toWord(run)
		if fill != nil && run[0].Name == fill.Type.Name {
			w = "uint64(len(" + fill.Name + "))"
		}
		g.p("w[%d] = %s", i, w)
	}
	if pl.Seq != nil {
		g.p("w[7] = %s", pl.Seq.Name)
	}
	for _, f := range pl.Body {
		g.add(f.Type, f.Name, big(f.Type))
	}
	g.p("return b")
	g.p("}")
	g.p("")
	if len(m.Out) == 0 || fill != nil {
		return
	}
	pl = g.f.Place(m.Out, true)
	g.p("// load%s reads an answer.", m.Name)
	g.p("func load%s(%s) (%s) {", m.Name, join([]string{"w uint64", "b []byte"}), join(g.sig(m.Out, false), []string{"ok bool"}))
	if len(pl.Words) > 0 {
		g.ofWord(pl.Words[0], "w", "=", "")
	}
	g.answer = true
	g.take(pl.Body, max(m.Since, 1), "", "return "+join(names(m.Out), []string{"false"}), true)
	g.answer = false
	g.p("return %s", join(names(m.Out), []string{"true"}))
	g.p("}")
	g.p("")
}

// fillOf is the answer that a method stores in place, nil if it has none.
func fillOf(m *idl.Method) *idl.Field {
	if len(m.Out) == 1 && m.Out[0].Type.Kind == idl.TFill {
		return m.Out[0]
	}
	return nil
}

// parameters of a method as Go has them: what bounds a fill is the buffer.
func (g *generator) parameters(m *idl.Method) (sig, args []string) {
	fill := fillOf(m)
	for _, f := range m.In {
		if fill != nil && f.Name == fill.Type.Name {
			sig, args = append(sig, fill.Name+" []byte"), append(args, fill.Name)
			continue
		}
		sig, args = append(sig, g.sig([]*idl.Field{f}, true)...), append(args, f.Name)
	}
	return sig, args
}

// answers of a method as Go has them.
func (g *generator) answers(m *idl.Method) (sig, args []string) {
	if fillOf(m) != nil {
		return []string{"n int"}, []string{"n"}
	}
	return g.sig(m.Out, false), names(m.Out)
}

func (g *generator) resultOf(m *idl.Method) string {
	if m.Silent {
		return ""
	}
	sig, _ := g.answers(m)
	return results(sig)
}

// calls writes an interface over bindings whose client waits and whose server answers
// when it returns.
func (g *generator) calls(i *idl.Interface) {
	client, server, hand := "Client", i.Name+"Server", false
	if i.Name != "" {
		client = i.Name
	}
	for _, m := range i.Methods {
		hand = hand || m.Hand
	}
	req, pass := "", []string{}
	if g.f.Numbered {
		req, pass = "r ipc.Req", []string{"r"}
	}
	reqs := []string{}
	if req != "" {
		reqs = []string{req}
	}
	g.p("// %s serves the interface. Its methods may be called by several goroutines. What they are", server)
	g.p("// given is theirs, but for the bytes of a view: those may change at any time.")
	g.p("type %s interface {", server)
	for _, m := range i.Methods {
		if m.Hand {
			continue
		}
		g.doc(m.Name, m)
		sig, _ := g.parameters(m)
		g.p("%s(%s) %s", m.Name, join(reqs, sig), g.resultOf(m))
	}
	if hand {
		g.p("byHand%s", i.Name)
	}
	g.p("}")
	g.p("")
	name := "Dispatch"
	hands := ""
	if hand {
		g.p("// serve%sByHand serves what is written by hand.", i.Name)
		g.p("type serve%sByHand interface {", i.Name)
		for _, m := range i.Methods {
			if m.Hand {
				g.p("serve%s(%s) %s", m.Name, join(reqs, g.sig(m.In, true)), results(g.sig(m.Out, false)))
			}
		}
		g.p("}")
		g.p("")
		name, hands = "dispatch", ", h serve"+i.Name+"ByHand"
	} else {
		g.p("// %s is the whole client, beside its binding.", client)
		g.p("type %s struct {", client)
		g.p("B *ipc.ClientBinding")
		g.p("}")
		g.p("")
		g.p("func (c %s) begin(%s) (*ipc.Call, abi.Errno) {", client, join(reqs))
		g.p("k := c.B.Begin()")
		g.p("if k == nil { return nil, abi.EIO }")
		if g.f.Numbered {
			g.p("k.SetReq(r.Client, r.Seq)")
		}
		g.p("return k, 0")
		g.p("}")
		g.p("")
	}
	recv := "c " + client
	if hand {
		recv = "c *" + client
	}
	for _, m := range i.Methods {
		g.forms(m)
		if !m.Hand {
			g.callStub(m, recv, reqs, pass)
		}
	}
	binding := ""
	if g.f.Numbered {
		binding = "binding uint64, "
	}
	g.p("// %s%s decodes a request, has it served, and stores the answer in out, of which it answers", name, i.Name)
	g.p("// how many bytes. in is shared with the client, who may change it at any time: each byte is")
	g.p("// looked at once. EINVAL: it makes no sense; ENOSYS: there is no such method.")
	g.p("func %s%s(%sq *ipc.Request, in, out []byte, s %s%s) (result uint64, n int, err abi.Errno) {", name, i.Name, binding, server, hands)
	if g.f.Numbered {
		g.p("r := ipc.Req{Binding: binding, Client: uint32(q.Args[6]), Seq: q.Args[7]}")
		g.p("if q.Args[6]>>32 != 0 { return 0, 0, abi.EINVAL }")
	}
	g.p("w := &q.Args")
	g.p("switch q.Nr {")
	for _, m := range i.Methods {
		g.callCase(m, pass)
	}
	g.p("}")
	g.p("return 0, 0, abi.ENOSYS")
	g.p("}")
	g.p("")
}

func (g *generator) callStub(m *idl.Method, recv string, reqs, pass []string) {
	sig, _ := g.parameters(m)
	outSig, outs := g.answers(m)
	if m.Local {
		g.p("// %s is %s of the interface: one request.", stubName(m), m.Name)
	} else {
		g.doc(m.Name, m)
	}
	res := results(outSig)
	if m.Silent {
		res = ""
	}
	ret := func(err string) string {
		if m.Silent {
			return "return"
		}
		return "return " + join(outs, []string{err})
	}
	g.p("func (%s) %s(%s) %s {", recv, stubName(m), join(reqs, sig), res)
	g.checkArgs(m, ret("%s"))
	fill := fillOf(m)
	if fill != nil {
		g.p("if len(%s) > %d { %s }", fill.Name, fill.Type.Max, ret("abi.E2BIG"))
	}
	g.p("k, err := c.begin(%s)", join(pass))
	g.p("if err != 0 { %s }", ret("err"))
	g.p("defer k.End()")
	_, args := g.parameters(m)
	g.p("b := store%s(%s)", m.Name, join([]string{"&k.Args", "k.In()[:0]"}, args))
	do := fmt.Sprintf("k.Do(Op%s, len(b))", m.Name)
	switch {
	case m.Silent:
		g.p("_ = %s", do)
	case len(m.Out) == 0:
		g.p("return %s", do)
	case fill != nil:
		g.p("if err = %s; err != 0 { return 0, err }", do)
		g.p("return copy(%s, k.Out()), 0", fill.Name)
	default:
		g.p("if err = %s; err != 0 { %s }", do, ret("err"))
		g.p("%s := load%s(k.Result(), k.Out())", join(prefixed(outs, "got"), []string{"ok"}), m.Name)
		g.p("if !ok { %s }", ret("abi.EIO"))
		g.p("return %s", join(prefixed(outs, "got"), []string{"0"}))
	}
	g.p("}")
	g.p("")
}

// params declares a request's parameters out of its words and body.
func (g *generator) params(m *idl.Method, fail string) (args []string) {
	pl := g.f.Place(m.In, false)
	fill := fillOf(m)
	for i, run := range pl.Words {
		if fill != nil && run[0].Name == fill.Type.Name {
			g.p("if w[%d] > %d { %s }", i, fill.Type.Max, fail)
			g.p("%s := out[:w[%d]:w[%d]]", fill.Name, i, i)
			continue
		}
		g.ofWord(run, fmt.Sprintf("w[%d]", i), ":=", "")
	}
	if pl.Seq != nil {
		g.p("%s := w[7]", pl.Seq.Name)
	}
	if len(pl.Body) > 0 {
		for _, f := range pl.Body {
			g.p("var %s %s", f.Name, g.goType(f.Type))
		}
		g.p("b := in")
		if needsOK(pl.Body) {
			g.p("var ok bool")
		}
		g.take(pl.Body, max(m.Since, 1), "", fail, true)
	}
	for i, f := range m.In {
		if fill != nil && f.Name == fill.Type.Name {
			args = append(args, fill.Name)
			continue
		}
		args = append(args, pass(m.In[i:i+1], "")...)
	}
	return args
}

func (g *generator) callCase(m *idl.Method, pass []string) {
	g.p("case Op%s:", m.Name)
	args := g.params(m, "return 0, 0, abi.EINVAL")
	on, method := "s", m.Name
	if m.Hand {
		on, method = "h", "serve"+m.Name
	}
	call := fmt.Sprintf("%s.%s(%s)", on, method, join(pass, args))
	switch {
	case m.Silent:
		g.p("%s", call)
		g.p("return 0, 0, 0")
	case len(m.Out) == 0:
		g.p("return 0, 0, %s", call)
	case fillOf(m) != nil:
		g.p("n, err = %s", call)
		g.p("return 0, n, err")
	default:
		pl := g.f.Place(m.Out, true)
		g.p("%s := %s", join(prefixed(names(m.Out), "out"), []string{"err"}), call)
		g.p("if err != 0 { return 0, 0, err }")
		set := ":="
		if len(g.f.Place(m.In, false).Body) > 0 {
			set = "="
		}
		g.putAnswer(pl, "out", set, "return 0, 0, %s")
		result := "0"
		if len(pl.Words) > 0 {
			result = g.toWord(renamed(pl.Words[0], "out"))
		}
		switch {
		case len(pl.Body) == 0:
			g.p("return %s, 0, 0", result)
		case onlyFixed(pl.Body) != nil:
			g.p("return %s, size%s, 0", result, onlyFixed(pl.Body).Name)
		default:
			g.p("return %s, len(b), 0", result)
		}
	}
}

// onlyFixed answers the struct of a fixed size that a body consists of, nil if it is
// another body.
func onlyFixed(body []*idl.Field) *idl.Decl {
	if len(body) == 1 && body[0].Type.Kind == idl.TNamed && fixed(body[0].Type.Decl) {
		return body[0].Type.Decl
	}
	return nil
}

func renamed(list []*idl.Field, prefix string) []*idl.Field {
	var l []*idl.Field
	for _, f := range list {
		x := *f
		x.Name = prefix + f.Name
		l = append(l, &x)
	}
	return l
}

// putAnswer stores an answer's body, of variables with out before their names, in the
// Out area: b is it then, unless it is one fixed struct.
func (g *generator) putAnswer(pl idl.Place, out, set, fail string) {
	body := renamed(pl.Body, "out")
	if len(body) == 0 {
		return
	}
	for _, f := range body {
		g.fitsOr(f.Type, f.Name, false, fail)
	}
	if d := onlyFixed(body); d != nil {
		g.p("put%s(%s, &%s)", d.Name, out, body[0].Name)
		return
	}
	g.p("b %s %s[:0]", set, out)
	for _, f := range body {
		if f.Type.Kind == idl.TSome {
			g.some(f)
			continue
		}
		g.add(f.Type, f.Name, false)
	}
}

// some stores as many elements as fit.
func (g *generator) some(f *idl.Field) {
	d := f.Type.Elem.Decl
	i := g.loop()
	g.p("b = append(b, 0, 0, 0, 0)")
	g.p("count%s, at%s := 0, len(b)-4", i, i)
	g.p("for %s := range %s {", i, f.Name)
	if limited(d) {
		g.p("if fits%s(&%s[%s]) != 0 { break }", d.Name, f.Name, i)
	}
	// What is too much must not leave b in a larger array than the transport's.
	g.p("fit := b")
	g.add(f.Type.Elem, f.Name+"["+i+"]", false)
	g.p("if len(b)-at%s > %d { b = fit; break }", i, f.Type.Max)
	g.p("count%s++", i)
	g.p("}")
	g.p("le.PutUint32(b[at%s:], uint32(count%s))", i, i)
	g.depth--
}

// later writes an interface over bindings of which neither side waits.
func (g *generator) later(i *idl.Interface) {
	server := i.Name + "Server"
	client := "Client"
	if i.Name != "" {
		client = i.Name
	}
	for _, m := range i.Methods {
		g.forms(m)
		pl := g.f.Place(m.Out, true)
		if m.Local {
			g.p("// %s is %s of the interface.", stubName(m), m.Name)
		} else {
			g.doc(m.Name, m)
		}
		done := "done func(" + join(g.sig(m.Out, false), []string{"err abi.Errno"}) + ")"
		if m.Silent {
			done = "done func()"
		}
		g.p("func (c *%s) %s(%s) {", client, stubName(m), join(g.sig(m.In, true), []string{done}))
		g.p("c.start(Op%s, func(k *ipc.Call) (int, abi.Errno) {", m.Name)
		g.checkArgs(m, "return 0, %s")
		_, args := g.parameters(m)
		g.p("return len(store%s(%s)), 0", m.Name, join([]string{"&k.Args", "k.In()[:0]"}, args))
		switch {
		case m.Silent:
			g.p("}, func(*ipc.Call, abi.Errno) { done() })")
		case len(m.Out) == 0:
			g.p("}, func(_ *ipc.Call, err abi.Errno) { done(err) })")
		default:
			g.p("}, func(k *ipc.Call, err abi.Errno) {")
			for _, f := range m.Out {
				g.p("var %s %s", f.Name, g.goType(f.Type))
			}
			if len(pl.Words) > 0 {
				// It comes with an error, too.
				g.p("if k != nil && err != 0 {")
				g.p("w := k.Result()")
				g.ofWord(pl.Words[0], "w", "=", "")
				g.p("}")
			}
			g.p("if k != nil && err == 0 {")
			g.p("var ok bool")
			g.p("if %s = load%s(k.Result(), k.Out()); !ok { err = abi.EIO }", join(names(m.Out), []string{"ok"}), m.Name)
			g.p("}")
			g.p("done(%s)", join(names(m.Out), []string{"err"}))
			g.p("})")
		}
		g.p("}")
		g.p("")
	}
	g.p("// %sRequest is a request as the serving side took it from a slot. In and Out are shared with", i.Name)
	g.p("// the client. Reply is called once; Crashed, which may be nil, notes that serving it has panicked.")
	g.p("type %sRequest struct {", i.Name)
	g.p("Binding uint64 // which client")
	g.p("Nr uint64")
	g.p("Args [8]uint64")
	g.p("In, Out []byte")
	g.p("Reply func(result uint64, n int, err abi.Errno)")
	g.p("Crashed func()")
	g.p("}")
	g.p("")
	g.p("// Refuse answers an error.")
	g.p("func (r *%sRequest) Refuse(err abi.Errno) { r.Reply(0, 0, err) }", i.Name)
	g.p("")
	g.p("// %s serves the interface: each method answers its request, now or later, by the method", server)
	g.p("// of the request that has its name, or by Refuse. Bytes of a view may change at any time.")
	g.p("type %s interface {", server)
	for _, m := range i.Methods {
		g.doc(m.Name, m)
		g.p("%s(%s)", m.Name, join([]string{"r *" + i.Name + "Request"}, g.sig(m.In, true)))
	}
	g.p("}")
	g.p("")
	g.p("// Dispatch%s decodes a request and has it served. EINVAL: it makes no sense; ENOSYS: there is", i.Name)
	g.p("// no such method.")
	g.p("func Dispatch%s(r *%sRequest, s %s) {", i.Name, i.Name, server)
	g.p("if err := dispatch%s(r, s); err != 0 { r.Refuse(err) }", i.Name)
	g.p("}")
	g.p("")
	g.p("func dispatch%s(r *%sRequest, s %s) abi.Errno {", i.Name, i.Name, server)
	words, body := false, false
	for _, m := range i.Methods {
		pl := g.f.Place(m.In, false)
		words = words || len(pl.Words) > 0 || pl.Seq != nil
		body = body || len(pl.Body) > 0
	}
	if words {
		g.p("w := &r.Args")
	}
	if body {
		g.p("in := r.In")
	}
	g.p("switch r.Nr {")
	for _, m := range i.Methods {
		g.p("case Op%s:", m.Name)
		args := g.params(m, "return abi.EINVAL")
		g.p("s.%s(%s)", m.Name, join([]string{"r"}, args))
	}
	g.p("default:")
	g.p("return abi.ENOSYS")
	g.p("}")
	g.p("return 0")
	g.p("}")
	g.p("")
	for _, m := range i.Methods {
		pl := g.f.Place(m.Out, true)
		g.p("// Answer%s answers it; with an error there is no more than the first number.", m.Name)
		if len(pl.Body) == 0 {
			result := "0"
			if len(pl.Words) > 0 {
				result = g.toWord(pl.Words[0])
			}
			g.p("func (r *%sRequest) Answer%s(%s) {", i.Name, m.Name, join(g.sig(m.Out, false), []string{"err abi.Errno"}))
			g.p("r.Reply(%s, 0, err)", result)
			g.p("}")
			g.p("")
			continue
		}
		sig := g.sig(renamed(m.Out, "out"), false)
		result := "0"
		if len(pl.Words) > 0 {
			result = g.toWord(renamed(pl.Words[0], "out"))
		}
		g.p("func (r *%sRequest) Answer%s(%s) {", i.Name, m.Name, join(sig, []string{"err abi.Errno"}))
		g.p("if err != 0 { r.Reply(%s, 0, err); return }", result)
		if f := pl.Body[0]; len(pl.Body) == 1 && f.Type.Rest && f.Type.Kind != idl.TSome && f.Type.Kind != idl.TString && f.Type.Kind != idl.TName {
			// It may be in its place already.
			g.p("if len(out%s) > %d || len(out%s) > len(r.Out) { r.Refuse(abi.E2BIG); return }", f.Name, f.Type.Max, f.Name)
			g.p("if len(out%s) > 0 && &out%s[0] != &r.Out[0] { copy(r.Out, out%s) }", f.Name, f.Name, f.Name)
			g.p("r.Reply(%s, len(out%s), 0)", result, f.Name)
		} else {
			g.putAnswer(pl, "r.Out", ":=", "r.Refuse(%s); return")
			if d := onlyFixed(pl.Body); d != nil {
				g.p("r.Reply(%s, size%s, 0)", result, d.Name)
			} else {
				g.p("r.Reply(%s, len(b), 0)", result)
			}
		}
		g.p("}")
		g.p("")
	}
}
