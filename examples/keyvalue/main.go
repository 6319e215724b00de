// Command keyvalue is a machine with a server of its own, which keeps values under
// keys, and a client of it. The server is a process that may do nothing but use its
// ports; main kills it between a Put and a Get, and nothing is lost.
package main

import (
	"context"
	"fmt"
	"os"

	"hythe"
	"hythe/ipc"
)

var servers = []hythe.Server{{Name: "keyvalue", Main: serve}}

func main() {
	hythe.Main(servers...) // does not return in a server
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	m, err := hythe.New(ctx, hythe.Config{Servers: servers})
	if err != nil {
		return err
	}
	defer m.Close()
	conn, in, err := m.Connect("keyvalue")
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := ask(conn, in, Put, "hythe=a small haven"); err != nil {
		return err
	}
	if err := m.Restart(ctx, "keyvalue"); err != nil {
		return err
	}
	v, err := ask(conn, in, Get, "hythe")
	fmt.Println(v)
	return err
}

func ask(c *ipc.Conn, in *ipc.Inheritance, id uint32, body string) (string, error) {
	b, e := c.Ask(in.Send("keyvalue"), id, []byte(body))
	if e != 0 {
		return "", e
	}
	return string(b), nil
}
