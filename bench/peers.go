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
	case "futex", "bare":
		s, err := ipctest.MapShared(3, size)
		if err != nil {
			return err
		}
		wait, set := s.Wait, s.Set
		if args[0] == "bare" {
			wait, set = s.Look, s.Put
		}
		for last := uint32(0); ; {
			last = wait(0, last)
			if last == ^uint32(0) {
				return nil
			}
			copy(buf, s.Payload())
			set(1, last)
		}
	case "flow":
		return drain(os.NewFile(3, "flow"))
	case "ring":
		return ringDrain()
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
	// opInPlace is opObject whose server uses what is there without a copy of its own.
	opInPlace = 4
	opStream  = 5 // messages of a stream, on a binding of that label
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
	streams := map[uint64]*ipc.Inflow{}
	forget := l.Forget
	l.Forget = func(b uint64) {
		delete(streams, b)
		forget(b)
	}
	go takeMessages(c, in.Receive(ipc.RequestLabel))
	buf := make([]byte, 1<<20)
	var sum uint64
	use := func(m []byte) { sum += uint64(m[0]) }
	l.Take = func(b *ipc.ServerBinding, slot int) {
		if b.Label == streamLabel {
			if streams[b.ID] == nil {
				streams[b.ID] = b.Inflow()
			}
			streams[b.ID].Serve(slot, use)
			return
		}
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
		case opInPlace:
			copy(buf[:answerSize], objects[b.ID])
		default:
			e = abi.EINVAL
		}
		copy(b.Out(slot), buf[:answerSize])
		b.Answer(slot, q.Seq, 0, e, answerSize)
		b.Complete(slot)
	}
	return l.Run(in, nil)
}
