// Package protocol holds the tests of what versions of a protocol promise: peers of
// different versions understand each other.
package protocol

import (
	"fmt"
	"slices"
	"testing"

	"hythe"
	"hythe/abi"
	"hythe/idl/names"
	"hythe/ipc"
	"hythe/ipc/ipctest"
	call1 "hythe/test/protocol/call1"
	call2 "hythe/test/protocol/call2"
	message1 "hythe/test/protocol/message1"
	message2 "hythe/test/protocol/message2"
)

func TestMain(m *testing.M) { hythe.Main(); m.Run() }

type messages1 struct{ have map[string]uint64 }

func (s messages1) Put(_ *ipc.Message, item *message1.Item, amount uint32) (uint64, abi.Errno) {
	s.have[item.Name] += uint64(amount)
	return s.have[item.Name], 0
}

func (s messages1) List(_ *ipc.Message, prefix string) (l []message1.Item, e abi.Errno) {
	return []message1.Item{{Name: prefix + "a"}, {Name: prefix + "b"}}, 0
}

func (s messages1) Old(_ *ipc.Message, x uint32) (uint32, abi.Errno) { return x + 1, 0 }

type messages2 struct {
	have map[string]uint64
	last string
	note string
}

func (s *messages2) Note(_ *ipc.Message, text string) abi.Errno {
	s.note = text
	return 0
}

func (s *messages2) Put(_ *ipc.Message, item *message2.Item, amount, times uint32, note string, watcher abi.Name) (uint64, uint64, abi.Errno) {
	s.last = fmt.Sprintf("%v %d %d %q %v", *item, amount, times, note, watcher != abi.NameNull)
	before := s.have[item.Name]
	s.have[item.Name] += uint64(amount) * uint64(times)
	return s.have[item.Name], before, 0
}

func (s *messages2) List(_ *ipc.Message, prefix string) ([]message2.Item, abi.Errno) {
	return []message2.Item{{Name: prefix + "a", Weight: 1, Tags: []string{"x", "y"}}, {Name: prefix + "b", Weight: 2}}, 0
}

func (s *messages2) Take(_ *ipc.Message, item *message2.Item, amount uint32) (uint64, abi.Errno) {
	s.have[item.Name] -= uint64(amount)
	return s.have[item.Name], 0
}

// serve answers what comes on a port of its own, which is registered under a name.
func serve(t *testing.T, m *hythe.Machine, name string, dispatch func(*ipc.Message) *ipc.Message) {
	c, in, err := m.Connect()
	if err != nil {
		t.Fatal(err)
	}
	port, e := c.MakePort("")
	if e != 0 {
		t.Fatal(e)
	}
	ns := names.Client{C: c, Port: in.Send("names")}
	if e := ns.Register(name, port); e != 0 {
		t.Fatal(e)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		for {
			q, e := c.Receive(port)
			if e != 0 {
				return
			}
			a := dispatch(q)
			c.Drop(q)
			_ = c.AnswerWith(q, a)
		}
	}()
}

func newMachine(t *testing.T) *hythe.Machine {
	m, err := hythe.New(t.Context(), hythe.Config{Pids: 100})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// TestMessages: clients and servers of two versions speak by messages.
func TestMessages(t *testing.T) {
	m := newMachine(t)
	s1, s2 := messages1{map[string]uint64{}}, &messages2{have: map[string]uint64{}}
	serve(t, m, "one", func(q *ipc.Message) *ipc.Message { return message1.Dispatch(q, s1) })
	serve(t, m, "two", func(q *ipc.Message) *ipc.Message { return message2.Dispatch(q, s2) })
	c, in, err := m.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ns := names.Client{C: c, Port: in.Send("names")}
	one, e := ns.Lookup("one")
	if e != 0 {
		t.Fatal(e)
	}
	two, e := ns.Lookup("two")
	if e != 0 {
		t.Fatal(e)
	}
	watcher, e := c.MakePort("")
	if e != 0 {
		t.Fatal(e)
	}

	// A client of version 1, a server of version 2: the newer fields have their defaults.
	old := message1.Client{C: c, Port: two}
	if total, e := old.Put(&message1.Item{Name: "k"}, 5); total != 5 || e != 0 || s2.last != `{k 7 []} 5 1 "" false` {
		t.Errorf("put: %d, %v, served as %q", total, e, s2.last)
	}
	if l, e := old.List("p"); e != 0 || !slices.Equal(l, []message1.Item{{Name: "pa"}, {Name: "pb"}}) {
		t.Errorf("list: %v, %v", l, e)
	}
	if _, e := old.Old(1); e != abi.ENOSYS {
		t.Errorf("a method that is gone: %v", e)
	}
	// A client of version 2, a server of version 1: what it does not know it ignores, but
	// for rights and methods.
	young := message2.Client{C: c, Port: one}
	item := message2.Item{Name: "k", Weight: 3, Tags: []string{"t"}}
	if total, before, e := young.Put(&item, 5, 10, "note", abi.NameNull); total != 5 || before != 99 || e != 0 {
		t.Errorf("put: %d, %d, %v", total, before, e)
	}
	if _, _, e := young.Put(&item, 5, 10, "note", watcher); e != abi.EINVAL {
		t.Errorf("put with a right that is not known: %v", e)
	}
	if l, e := young.List("p"); e != 0 || len(l) != 2 || l[1].Name != "pb" || l[1].Weight != 7 || l[1].Tags != nil {
		t.Errorf("list: %v, %v", l, e)
	}
	if _, e := young.Take(&item, 1); e != abi.ENOSYS {
		t.Errorf("a method that is not known: %v", e)
	}
	if e := young.Note("lost"); e != 0 {
		t.Errorf("note: %v", e)
	}
	// Both of version 2.
	young.Port = two
	if e := young.Note("heard"); e != 0 {
		t.Errorf("note: %v", e)
	}
	if total, before, e := young.Put(&item, 5, 10, "note", watcher); total != 55 || before != 5 || e != 0 || s2.last != `{k 3 [t]} 5 10 "note" true` {
		t.Errorf("put: %d, %d, %v, served as %q", total, before, e, s2.last)
	}
	if s2.note != "heard" { // messages of one sender come in their order
		t.Errorf("note: %q", s2.note)
	}
	if left, e := young.Take(&item, 1); left != 54 || e != 0 {
		t.Errorf("take: %d, %v", left, e)
	}
	if l, e := young.List(""); e != 0 || len(l) != 2 || l[0].Weight != 1 || !slices.Equal(l[0].Tags, []string{"x", "y"}) {
		t.Errorf("list: %v, %v", l, e)
	}
}

type calls1 struct{}

func (calls1) Move(id uint64, by *call1.Point) (call1.Point, abi.Errno) {
	return call1.Point{X: by.X + int32(id), Y: by.Y}, 0
}

func (calls1) Find(name string) (uint64, call1.Point, abi.Errno) {
	return uint64(len(name)), call1.Point{X: 1, Y: 2}, 0
}

func (calls1) Old(x uint32) (uint32, abi.Errno) { return x + 1, 0 }

type calls2 struct{}

func (calls2) Move(id uint64, by *call2.Point, fast bool, reason string) (call2.Point, uint32, string, abi.Errno) {
	return call2.Point{X: by.X + int32(id), Y: by.Y}, 8, fmt.Sprint(reason, fast), 0
}

func (calls2) Find(name string, near *call2.Point) (uint64, call2.Point, abi.Errno) {
	return uint64(len(name)), *near, 0
}

func (calls2) Turn(id uint64, degrees int32) (int32, abi.Errno) { return degrees - 1, 0 }

// bound is the client's end of a binding that a server serves.
func bound(t *testing.T, dispatch func(q *ipc.Request, in, out []byte) (uint64, int, abi.Errno)) *ipc.ClientBinding {
	raw := ipctest.NewRaw(t, 4)
	p, err := ipc.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	sb, cb := raw.Server(), raw.Client()
	p.Add(sb)
	ended, over := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() {
		close(ended)
		p.Wake()
		<-over
		cb.Close()
	})
	go func() {
		defer close(over)
		var q ipc.Request
		for {
			r := p.Wait(-1)
			select {
			case <-ended:
				return
			default:
			}
			if r.Kind != ipc.ReadySlot {
				continue
			}
			if !sb.Load(r.Slot, &q) {
				sb.Drop(r.Slot)
				continue
			}
			result, n, e := dispatch(&q, sb.In(r.Slot)[:q.InLen], sb.Out(r.Slot))
			sb.Answer(r.Slot, q.Seq, result, e, n)
			sb.Complete(r.Slot)
		}
	}()
	return cb
}

// TestCalls: clients and servers of two versions speak over bindings.
func TestCalls(t *testing.T) {
	one := bound(t, func(q *ipc.Request, in, out []byte) (uint64, int, abi.Errno) {
		return call1.Dispatch(q, in, out, calls1{})
	})
	two := bound(t, func(q *ipc.Request, in, out []byte) (uint64, int, abi.Errno) {
		return call2.Dispatch(q, in, out, calls2{})
	})
	// A client of version 1, a server of version 2.
	old := call1.Client{B: two}
	if p, e := old.Move(10, &call1.Point{X: 1, Y: -2}); p != (call1.Point{X: 11, Y: -2}) || e != 0 {
		t.Errorf("move: %v, %v", p, e)
	}
	if id, p, e := old.Find("four"); id != 4 || p != (call1.Point{}) || e != 0 {
		t.Errorf("find: %d, %v, %v", id, p, e)
	}
	if _, e := old.Old(1); e != abi.ENOSYS {
		t.Errorf("a method that is gone: %v", e)
	}
	// A client of version 2, a server of version 1.
	young := call2.Client{B: one}
	if p, cost, label, e := young.Move(10, &call2.Point{X: 1, Y: -2}, true, "why"); p != (call2.Point{X: 11, Y: -2}) || cost != 0 || label != "" || e != 0 {
		t.Errorf("move: %v, %d, %q, %v", p, cost, label, e)
	}
	if id, p, e := young.Find("four", &call2.Point{X: 5}); id != 4 || p != (call2.Point{X: 1, Y: 2}) || e != 0 {
		t.Errorf("find: %d, %v, %v", id, p, e)
	}
	if _, e := young.Turn(1, 90); e != abi.ENOSYS {
		t.Errorf("a method that is not known: %v", e)
	}
	// Both of version 2.
	young.B = two
	if p, cost, label, e := young.Move(10, &call2.Point{X: 1, Y: -2}, true, "why"); p.X != 11 || cost != 8 || label != "whytrue" || e != 0 {
		t.Errorf("move: %v, %d, %q, %v", p, cost, label, e)
	}
	if now, e := young.Turn(1, -90); now != -91 || e != 0 {
		t.Errorf("turn: %d, %v", now, e)
	}
}

// TestForms: the bytes of version 1 are these, whatever the compiler does; version 2
// begins with them.
func TestForms(t *testing.T) {
	m1, e := message1.EncodePut(&message1.Item{Name: "ab"}, 0x01020304)
	if want := "060000000200000061620403" + "0201"; e != 0 || fmt.Sprintf("%x", m1.Body) != want || m1.ID != 1 {
		t.Errorf("put: %x, want %s", m1.Body, want)
	}
	a1 := message1.EncodePutAnswer(0x1122, 0)
	a2 := message2.EncodePutAnswer(0x1122, 5, 0)
	if want := "000000002211000000000000"; fmt.Sprintf("%x", a1.Body) != want || fmt.Sprintf("%x", a2.Body) != want+"0500000000000000" {
		t.Errorf("answers: %x, %x", a1.Body, a2.Body)
	}
	l1 := message1.EncodeListAnswer([]message1.Item{{Name: "a"}, {}}, 0)
	if want := "00000000" + "02000000" + "05000000" + "01000000" + "61" + "04000000" + "00000000"; fmt.Sprintf("%x", l1.Body) != want {
		t.Errorf("list: %x, want %s", l1.Body, want)
	}
	if bad := message1.EncodePutAnswer(1, abi.EINVAL); fmt.Sprintf("%x", bad.Body) != "16000000" {
		t.Errorf("error: %x", bad.Body)
	}
	if _, e := message1.EncodeList(string(make([]byte, 33))); e != abi.ENAMETOOLONG {
		t.Errorf("beyond a limit: %v", e)
	}
}
