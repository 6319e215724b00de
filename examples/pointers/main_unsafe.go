// Command pointers is two guests that have a list in one memory object, with pointers:
//
//	hythe run -- sh -c './pointers take & ./pointers give 1000; wait'
//
// The object has an address that is its own in the whole machine, so what "give" links
// there is a list for "take" too, which prints the sum and adds a node of its own that
// "give" finds.
package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"unsafe"

	"hythe/abi"
	"hythe/idl/names"
	"hythe/ipc"
)

const name = "example/pointers"

// node is one of the list. The collector looks at no pointer in the object: it is none of
// its memory, and points to none.
type node struct {
	next  *node
	value uint64
}

const nodeSize = int(unsafe.Sizeof(node{}))

func main() {
	c, err := ipc.Guest()
	switch {
	case err != nil:
	case len(os.Args) == 2 && os.Args[1] == "take":
		err = take(c)
	case len(os.Args) == 3 && os.Args[1] == "give":
		err = give(c, os.Args[2])
	default:
		err = errors.New("usage: pointers take | give COUNT")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func give(c *ipc.Conn, count string) error {
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 || n > 1<<20 {
		return errors.New("how many?")
	}
	to, e := names.Client{C: c, Port: c.Names()}.Await(name)
	if e != 0 {
		return e
	}
	size := (n + 1) * nodeSize
	object, _, e := c.CreatePlaced(uint64(size), "")
	if e != 0 {
		return e
	}
	mem, e := c.MapObject(object, 0, size, true)
	if e != 0 {
		return e
	}
	for i := range n - 1 {
		at(mem, i).next = at(mem, i+1)
		at(mem, i).value = uint64(i)
	}
	at(mem, n-1).value = uint64(n - 1)
	if _, e := c.AskWith(to, &ipc.Message{ID: uint32(n), Objects: []abi.ObjectDesc{{Name: object, Len: uint64(size)}}}); e != 0 {
		return e
	}
	fmt.Println(at(mem, n-1).next.value)
	return nil
}

func take(c *ipc.Conn) error {
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
	mem, e := c.MapObject(m.Objects[0].Name, 0, int(m.Objects[0].Len), true)
	if e != 0 {
		return e
	}
	sum, p := at(mem, 0).value, at(mem, 0)
	for p.next != nil {
		p = p.next
		sum += p.value
	}
	fmt.Println(sum)
	p.next = at(mem, int(m.ID))
	p.next.value = sum
	if e := c.Answer(m, nil); e != 0 {
		return e
	}
	return nil
}

func at(mem []byte, i int) *node { return (*node)(unsafe.Pointer(&mem[i*nodeSize])) }
