package protocol

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/idl/names"
	"hythe/ipc"
	message2 "hythe/test/protocol/message2"
)

// TestRefused: a request that is refused leaves its receiver nothing of what it brought:
// no right of whatever kind, no object, no descriptor.
func TestRefused(t *testing.T) {
	m := newMachine(t)
	server, sin, err := m.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	client, cin, err := m.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	port, e := server.MakePort("")
	if e != 0 {
		t.Fatal(e)
	}
	if e := (names.Client{C: server, Port: sin.Send("names")}).Register("refusing", port); e != 0 {
		t.Fatal(e)
	}
	to, e := names.Client{C: client, Port: cin.Send("names")}.Lookup("refusing")
	if e != 0 {
		t.Fatal(e)
	}
	other := func() abi.Name {
		n, e := client.MakePort("")
		if e != 0 {
			t.Fatal(e)
		}
		return n
	}
	object, fd, e := client.CreateObject(abi.PageSize, "")
	if e != 0 {
		t.Fatal(e)
	}
	ipc.CloseFD(fd)
	put, e := message2.EncodePut(&message2.Item{Name: "k"}, 1, 1, "", abi.NameNull)
	if e != 0 {
		t.Fatal(e)
	}
	served := &messages2{have: map[string]uint64{}}
	for _, c := range []struct {
		what    string
		id      uint32
		body    []byte
		disp    []uint8
		objects int
		want    abi.Errno
	}{
		{"a receive right instead", message2.MsgPut, put.Body, []uint8{abi.MoveReceive}, 0, abi.EINVAL},
		{"a send-once right instead", message2.MsgPut, put.Body, []uint8{abi.MakeSendOnce}, 0, abi.EINVAL},
		{"two", message2.MsgPut, put.Body, []uint8{abi.MakeSend, abi.MakeSend}, 0, abi.EINVAL},
		{"a body that is cut", message2.MsgPut, put.Body[:3], []uint8{abi.MakeSend}, 0, abi.EINVAL},
		{"an object", message2.MsgPut, put.Body, []uint8{abi.MakeSend}, 1, abi.EINVAL},
		{"a list with a right", message2.MsgList, []byte{0, 0, 0, 0}, []uint8{abi.MakeSend}, 0, abi.EINVAL},
		{"no such method", 60, nil, []uint8{abi.MakeSend, abi.MoveReceive}, 1, abi.ENOSYS},
		{"a note with a right", message2.MsgNote, nil, []uint8{abi.MakeSendOnce}, 1, 0},
	} {
		q := &ipc.Message{ID: c.id, Body: c.body}
		for _, d := range c.disp {
			q.Rights = append(q.Rights, abi.RightDesc{Name: other(), Disp: d})
		}
		for range c.objects {
			q.Objects = append(q.Objects, abi.ObjectDesc{Name: object, Flags: 1, Len: abi.PageSize})
		}
		reply := other()
		if e := client.Send(to, q, reply); e != 0 {
			t.Fatal(e)
		}
		got, e := server.Receive(port)
		if e != 0 {
			t.Fatal(e)
		}
		if len(got.Rights) != len(c.disp) || len(got.Objects) != c.objects || len(got.FDs) != c.objects {
			t.Fatalf("%s: %d rights, %d objects, %d descriptors came", c.what, len(got.Rights), len(got.Objects), len(got.FDs))
		}
		rights, objects, fds := got.Rights, got.Objects, got.FDs
		before := make([]unix.Stat_t, len(fds))
		for i, fd := range fds {
			if err := unix.Fstat(fd, &before[i]); err != nil {
				t.Fatal(err)
			}
		}
		a := message2.Dispatch(got, served)
		server.Drop(got)
		if c.want == 0 && a != nil {
			t.Errorf("%s: it is answered", c.what)
		}
		if c.want != 0 && fmt.Sprint(a.Body) != fmt.Sprint([]byte{byte(c.want), 0, 0, 0}) {
			t.Errorf("%s: answer %v, want %v", c.what, a.Body, c.want)
		}
		has := func(n abi.Name) bool {
			_, e := server.Call(abi.CallPortStatus, [6]uint64{uint64(n)}, nil, nil)
			return e != abi.EBADF
		}
		for _, r := range rights {
			if has(r.Name) {
				t.Errorf("%s: the receiver still has a right of kind %d", c.what, r.Kind)
			}
		}
		for _, o := range objects {
			if has(o.Name) {
				t.Errorf("%s: the receiver still has the object", c.what)
			}
		}
		for i, fd := range fds {
			// The number may be somebody else's by now.
			var now unix.Stat_t
			if err := unix.Fstat(fd, &now); err == nil && now.Ino == before[i].Ino && now.Dev == before[i].Dev {
				t.Errorf("%s: descriptor %d is still open", c.what, fd)
			}
		}
		server.Deallocate(got.Reply)
	}
	if served.last != "" || served.note != "" {
		t.Errorf("served: %q, %q", served.last, served.note)
	}
}

// TestRegisterAgain: the name server has a right once, however often it was told of it.
func TestRegisterAgain(t *testing.T) {
	m := newMachine(t)
	c, in, err := m.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ns := names.Client{C: c, Port: in.Send("names")}
	port, e := c.MakePort("again")
	if e != 0 {
		t.Fatal(e)
	}
	refs := func() uint32 {
		t.Helper()
		list, err := m.Ports(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range list {
			for _, r := range p.Rights {
				if p.Label == "again" && r.Task == "names" {
					return r.Refs
				}
			}
		}
		return 0
	}
	register := func(name string, want abi.Errno, have uint32) {
		t.Helper()
		if e := ns.Register(name, port); e != want {
			t.Errorf("%s: %v, want %v", name, e, want)
		}
		if n := refs(); n != have {
			t.Errorf("%s: the server has the right %d times, want %d", name, n, have)
		}
	}
	register("one", 0, 1)
	register("one", 0, 1)
	register("two", 0, 2)
	register("", abi.EINVAL, 2)
	other, e := c.MakePort("")
	if e != 0 {
		t.Fatal(e)
	}
	if e := ns.Register("three", other); e != 0 {
		t.Fatal(e)
	}
	register("three", abi.EEXIST, 2)
	if err := m.Restart(t.Context(), "names"); err != nil {
		t.Fatal(err)
	}
	register("one", 0, 2)
	register("two", 0, 2)
	register("one", 0, 2)
}
