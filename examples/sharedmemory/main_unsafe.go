// Command sharedmemory is two guests that count in one memory object:
//
//	hythe run -- sh -c './sharedmemory take & ./sharedmemory give 1000000'
//
// "give" makes the object and sends the right to it in a message; then both add to the
// same word, and "give" prints what it holds in the end.
package main

import (
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"unsafe"

	"hythe/abi"
	"hythe/idl/names"
	"hythe/ipc"
)

const (
	name = "example/sharedmemory"
	size = abi.PageSize
)

func main() {
	c, err := ipc.Guest()
	switch {
	case err != nil:
	case len(os.Args) == 2 && os.Args[1] == "take":
		err = take(c)
	case len(os.Args) == 3 && os.Args[1] == "give":
		err = give(c, os.Args[2])
	default:
		err = fmt.Errorf("usage: sharedmemory take | give COUNT")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func give(c *ipc.Conn, count string) error {
	n, err := strconv.ParseUint(count, 10, 32)
	if err != nil {
		return err
	}
	to, e := names.Client{C: c, Port: c.Names()}.Await(name)
	if e != 0 {
		return e
	}
	object, _, e := c.CreateObject(size, "")
	if e != 0 {
		return e
	}
	mem, e := c.MapObject(object, 0, size, true)
	if e != 0 {
		return e
	}
	// Two questions, so that both count at the same time: the first is answered when
	// the other one begins, the second when it has ended.
	if _, e := c.AskWith(to, &ipc.Message{ID: uint32(n), Objects: []abi.ObjectDesc{{Name: object, Len: size}}}); e != 0 {
		return e
	}
	add(mem, n)
	if _, e := c.Ask(to, 0, nil); e != 0 {
		return e
	}
	fmt.Println(atomic.LoadUint64(word(mem)))
	return nil
}

func take(c *ipc.Conn) error {
	port, e := c.MakePort("")
	if e != 0 {
		return e
	}
	ns := names.Client{C: c, Port: c.Names()}
	if e := ns.Register(name, port); e != 0 {
		return e
	}
	m, e := c.Receive(port)
	if e != 0 {
		return e
	}
	mem, e := c.MapObject(m.Objects[0].Name, 0, size, true)
	if e != 0 {
		return e
	}
	if e := c.Answer(m, nil); e != 0 {
		return e
	}
	add(mem, uint64(m.ID))
	if m, e = c.Receive(port); e != 0 {
		return e
	}
	if e := c.Answer(m, nil); e != 0 {
		return e
	}
	return nil
}

func add(mem []byte, n uint64) {
	for range n {
		atomic.AddUint64(word(mem), 1)
	}
}

func word(mem []byte) *uint64 { return (*uint64)(unsafe.Pointer(&mem[0])) }
