package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"hythe"
	"hythe/abi"
	"hythe/ipc"
	"hythe/ipc/ipctest"
)

// The other process of a round trip: what answers. A request is so many bytes, which it
// copies to memory of its own; an answer is eight.

const answerSize = 8

// peerMain runs one of the host's means: "peer KIND BYTES", its descriptors from 3 on.
func peerMain(args []string) error {
	size, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	buf := make([]byte, size)
	switch args[0] {
	case "pipe":
		return answerOn(os.NewFile(3, "in"), os.NewFile(4, "out"), buf)
	case "unix":
		f := os.NewFile(3, "socket")
		return answerOn(f, f, buf)
	case "futex":
		s, err := ipctest.MapShared(3, size)
		if err != nil {
			return err
		}
		for last := uint32(0); ; {
			last = s.Wait(0, last)
			if last == ^uint32(0) {
				return nil
			}
			copy(buf, s.Payload())
			s.Set(1, last)
		}
	case "burn":
		for {
			buf = append(buf[:0], buf...)
		}
	case "listen": // many clients
		l, err := net.Listen("unix", args[2])
		if err != nil {
			return err
		}
		for {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			go func() { _ = answerOn(c, c, make([]byte, size)) }()
		}
	}
	return fmt.Errorf("no peer %q", args[0])
}

func answerOn(r io.Reader, w io.Writer, buf []byte) error {
	for {
		if _, err := io.ReadFull(r, buf); err != nil {
			return nil
		}
		if _, err := w.Write(buf[:answerSize]); err != nil {
			return nil
		}
	}
}

// What the server of the machine is asked for (Request.Nr).
const (
	opInline = 1 // the payload is in the slot
	opMap    = 2 // Args[0]: the tag of a memory object, Args[1]: its size
	opObject = 3 // the payload is in the object
)

var servers = []hythe.Server{{Name: "echo", Main: echo}}

// echo is the same as a server of a machine.
func echo(c *ipc.Conn, in *ipc.Inheritance) error {
	l, err := ipc.NewLoop(c, "echo")
	if err != nil {
		return err
	}
	objects := map[uint64][]byte{}
	l.Forget = func(b uint64) {
		if m := objects[b]; m != nil {
			_ = unix.Munmap(m)
			delete(objects, b)
		}
	}
	buf := make([]byte, 1<<20)
	l.Take = func(b *ipc.ServerBinding, slot int) {
		var q ipc.Request
		if !b.Load(slot, &q) {
			b.Drop(slot)
			return
		}
		e := abi.Errno(0)
		switch q.Nr {
		case opInline:
			copy(buf, b.In(slot)[:q.InLen])
		case opMap:
			g, err := c.TakeGrant(b.ID, q.Args[0], time.Second)
			if e = err; e != 0 {
				break
			}
			m, merr := unix.Mmap(g.FD, 0, int(q.Args[1]), unix.PROT_READ, unix.MAP_SHARED)
			_ = unix.Close(g.FD)
			if merr != nil {
				e = abi.ENOMEM
			}
			objects[b.ID] = m
		case opObject:
			copy(buf, objects[b.ID])
		default:
			e = abi.EINVAL
		}
		copy(b.Out(slot), buf[:answerSize])
		b.Answer(slot, q.Seq, 0, e, answerSize)
		b.Complete(slot)
	}
	return l.Run(in, nil)
}
