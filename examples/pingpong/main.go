// Command pingpong is a guest that speaks to another guest through a port. Build it as
// any Linux program (CGO_ENABLED=0 go build) and run both in one machine:
//
//	hythe run -- sh -c './pingpong serve & ./pingpong ping 3'
//
// "serve" makes a port, registers it with the machine's name server, and answers each
// message; "ping" waits for the name and asks. There is no file, socket or pipe between
// the two, and no server of the machine sees what they say.
package main

import (
	"fmt"
	"os"
	"strconv"

	"hythe/abi"
	"hythe/idl/names"
	"hythe/ipc"
)

const name = "example/pingpong"

func main() {
	c, err := ipc.Guest()
	switch {
	case err != nil:
	case len(os.Args) == 2 && os.Args[1] == "serve":
		err = serve(c)
	case len(os.Args) == 3 && os.Args[1] == "ping":
		err = ping(c, os.Args[2])
	default:
		err = fmt.Errorf("usage: pingpong serve | ping COUNT")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serve answers until somebody says "end".
func serve(c *ipc.Conn) error {
	port, e := c.MakePort("")
	if e != 0 {
		return e
	}
	ns := names.Client{C: c, Port: c.Names()}
	if e := ns.Register(name, port); e != 0 {
		return e
	}
	for {
		m, e := c.Receive(port)
		if e != 0 {
			return e
		}
		if e := c.Answer(m, []byte("pong "+string(m.Body))); e != 0 {
			return e
		}
		if string(m.Body) == "end" {
			return nil
		}
	}
}

func ping(c *ipc.Conn, count string) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	to, e := names.Client{C: c, Port: c.Names()}.Await(name)
	if e != 0 {
		return e
	}
	for i := range n {
		if err := ask(c, to, strconv.Itoa(i)); err != nil {
			return err
		}
	}
	return ask(c, to, "end")
}

func ask(c *ipc.Conn, to abi.Name, what string) error {
	b, e := c.Ask(to, 1, []byte(what))
	if e != 0 {
		return e
	}
	fmt.Println(string(b))
	return nil
}
