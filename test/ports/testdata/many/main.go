// Command many is two guests: "ask" makes a thousand ports in one round trip, sends a
// thousand rights and an object copy-on-write with one request; "serve" sends a message by
// each right, in batches, writes into its copy, and answers.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"hythe/abi"
	"hythe/idl/names"
	"hythe/ipc"
)

const (
	name  = "test/many"
	count = 1000
	size  = 1 << 20
)

func main() {
	c, err := ipc.Guest()
	if err == nil {
		if os.Args[1] == "serve" {
			err = serve(c)
		} else {
			err = ask(c)
		}
	}
	if err != nil {
		fmt.Println(os.Args[1:], err)
		os.Exit(1)
	}
}

func serve(c *ipc.Conn) error {
	port, e := c.MakePort("")
	if e != 0 {
		return e
	}
	if e := (names.Client{C: c, Port: c.Names()}).Register(name, port); e != 0 {
		return e
	}
	m, e := c.Receive(port)
	if e != 0 {
		return e
	}
	rights, done, e := c.UnpackRights(m, count)
	if e != 0 {
		return e
	}
	mem, e := c.MapCopy(m.Objects[0].Name, 0, size)
	if e != 0 {
		return e
	}
	first := mem[0]
	mem[0] = 'w'
	if _, e := c.MapObject(m.Objects[0].Name, 0, size, true); e == 0 {
		return fmt.Errorf("what was frozen is writable")
	}
	b := c.Batch()
	for i, r := range rights {
		b.Send(r.Name, &ipc.Message{ID: uint32(i + 1000)}, abi.NameNull, abi.Forever)
	}
	sent := 0
	if e := b.Do(func(_ int, _ ipc.Reply, err abi.Errno) {
		if err == 0 {
			sent++
		}
	}); e != 0 {
		return e
	}
	if e := c.Answer(m, fmt.Appendf(nil, "%d rights, %d sent, the object begins with %c", len(rights), sent, first)); e != 0 {
		return e
	}
	done()
	c.DropRights(rights)
	return nil
}

func ask(c *ipc.Conn) error {
	ports, e := c.MakePorts(count)
	if e != 0 {
		return e
	}
	set, e := c.Call(abi.CallPortAllocate, [6]uint64{abi.RightSet}, nil, nil)
	if e != 0 {
		return e
	}
	b := c.Batch()
	var rights []abi.RightDesc
	for _, p := range ports {
		b.Add(abi.CallPortSetMember, [6]uint64{uint64(p), set.A[0]}, nil)
		rights = append(rights, abi.RightDesc{Name: p, Disp: abi.MakeSend})
	}
	var failed abi.Errno
	if e := b.Do(func(_ int, _ ipc.Reply, err abi.Errno) { failed = max(failed, err) }); e != 0 || failed != 0 {
		return fmt.Errorf("set: %v %v", e, failed)
	}
	to, e := (names.Client{C: c, Port: c.Names()}).Await(name)
	if e != 0 {
		return e
	}
	objects, e := c.CreateObjects(1, size)
	if e != 0 {
		return e
	}
	mem, e := c.MapObject(objects[0], 0, size, true)
	if e != 0 {
		return e
	}
	mem[0] = 'o'
	ipc.UnmapObject(mem)
	q := &ipc.Message{ID: 1, Objects: []abi.ObjectDesc{{Name: objects[0], Flags: 2, Len: size}}}
	if e := c.PackRights(q, rights); e != 0 {
		return e
	}
	a, e := c.AskWith(to, q)
	if e != 0 {
		return e
	}
	got := map[uint32]bool{}
	for range count {
		m, e := c.Receive(abi.Name(set.A[0]))
		if e != 0 {
			return e
		}
		got[m.ID] = true
	}
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer stop()
	_, e = c.ReceiveContext(ctx, abi.Name(set.A[0]))
	mem, err := c.MapObject(objects[0], 0, size, false)
	if err != 0 {
		return err
	}
	fmt.Printf("%s; %d came, then %v; it still begins with %c\n", a.Body, len(got), e, mem[0])
	return nil
}
