// Package wiretest is what the tests that cmd/idlgen generates have in common.
package wiretest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"hythe/abi"
	"hythe/ipc"
)

var update = flag.Bool("update", false, "write the wire forms to testdata/wire.golden")

// Golden compares wire forms with those that were given out.
type Golden struct {
	t     *testing.T
	next  uint64
	lines []string

	In, Out []any // what a server was given last (Served), and what it then filled in
}

// New makes one.
func New(t *testing.T) *Golden { return &Golden{t: t} }

// Served notes the arguments that a server is given; what Fill sets then is its answer.
func (g *Golden) Served(args ...any) { g.In, g.Out = args, nil }

// Fill sets variables to values that are all different and within small limits.
func (g *Golden) Fill(vars ...any) {
	for _, v := range vars {
		g.fill(reflect.ValueOf(v).Elem())
		g.Out = append(g.Out, reflect.ValueOf(v).Elem().Interface())
	}
}

func (g *Golden) fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type().PkgPath() == "net/netip" {
			addr := v.Addr().Interface().(interface{ UnmarshalText([]byte) error })
			g.next++
			if err := addr.UnmarshalText(fmt.Appendf(nil, "10.1.2.%d:%d", g.next%256, 1000+g.next%1000)); err != nil {
				panic(err)
			}
			return
		}
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				g.fill(v.Field(i))
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			g.fill(v.Index(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			g.fill(v.Index(i))
		}
	case reflect.String:
		g.next++
		v.SetString(string([]byte{byte('a' + g.next%26), byte('a' + g.next/26%26)}))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		g.next++
		v.SetInt(int64(g.next))
	default:
		g.next++
		v.SetUint(g.next)
	}
}

// Next begins anew with what Fill gives: so one method's forms do not depend on others'.
func (g *Golden) Next() { g.next = 0 }

// Message notes a message.
func (g *Golden) Message(what string, m *ipc.Message) {
	g.t.Helper()
	if m == nil {
		g.t.Fatalf("%s: no message", what)
	}
	line := fmt.Sprintf("%s: id %d lend %d body %x", what, m.ID, m.Lend, m.Body)
	for _, r := range m.Rights {
		line += fmt.Sprintf(" right %d", r.Disp)
	}
	g.lines = append(g.lines, line)
}

// Call notes what a call has on a binding: the words that are not 0, and the area.
func (g *Golden) Call(what string, words []uint64, area []byte) {
	line := what + ":"
	for i, w := range words {
		if w != 0 {
			line += fmt.Sprintf(" w%d %#x", i, w)
		}
	}
	g.lines = append(g.lines, fmt.Sprintf("%s area %x", line, area))
}

// Same fails unless two lists of values are the same.
func (g *Golden) Same(what string, err abi.Errno, got, want []any) {
	g.t.Helper()
	if err != 0 || !Equal(got, want) {
		g.t.Errorf("%s: %v, %+v, want %+v", what, err, got, want)
	}
}

// Equal compares values; empty slices are equal.
func Equal(got, want []any) bool { return reflect.DeepEqual(clean(got), clean(want)) }

func clean(list []any) (out []any) {
	for _, v := range list {
		if r := reflect.ValueOf(v); r.Kind() == reflect.Slice && r.Len() == 0 {
			v = nil
		}
		out = append(out, v)
	}
	return out
}

// Done compares with testdata/wire.golden.
func (g *Golden) Done() {
	g.t.Helper()
	const name = "testdata/wire.golden"
	b, err := os.ReadFile(name)
	if err != nil && !(*update && os.IsNotExist(err)) {
		g.t.Fatal(err)
	}
	old := map[string]string{}
	for line := range strings.Lines(string(b)) {
		what, _, _ := strings.Cut(line, ":")
		old[what] = strings.TrimSuffix(line, "\n")
	}
	for _, line := range g.lines {
		what, _, _ := strings.Cut(line, ":")
		if was := old[what]; was != line && !*update {
			g.t.Errorf("the form of %s is not that of %s (a new one is written by go test -update):\nwas %s\nnow %s", what, name, was, line)
		}
		delete(old, what)
	}
	for what := range old {
		g.t.Errorf("%s was given out and is missing", what)
	}
	if *update && !g.t.Failed() {
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			g.t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(strings.Join(g.lines, "\n")+"\n"), 0o666); err != nil {
			g.t.Fatal(err)
		}
	}
}

// Arrived is a message as its receiver has it.
func Arrived(m *ipc.Message) *ipc.Message {
	out := *m
	out.Rights = slices.Clone(m.Rights)
	for i := range out.Rights {
		r := &out.Rights[i]
		switch r.Disp {
		case abi.MoveReceive:
			r.Kind = abi.RightReceive
		case abi.MoveSendOnce, abi.MakeSendOnce:
			r.Kind = abi.RightSendOnce
		default:
			r.Kind = abi.RightSend
		}
	}
	return &out
}

// Hostile is a message with a body and any rights: three bits of a number for each.
func Hostile(body []byte, rights uint64) *ipc.Message {
	m := &ipc.Message{Body: body}
	for ; rights != 0; rights >>= 3 {
		name := abi.Name(rights >> 1)
		if k := uint8(rights & 7); k == abi.RightDead {
			m.Rights = append(m.Rights, abi.RightDesc{Name: abi.NameDead, Kind: k})
		} else {
			m.Rights = append(m.Rights, abi.RightDesc{Name: name, Kind: k})
		}
	}
	return m
}
