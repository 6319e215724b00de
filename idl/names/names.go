// Package names is the interface of a machine's name server: who holds a send right
// registers it under a name, and whoever can ask the server gets a copy by the name.
package names

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/ipc"
)

// Requests (Message.ID); their bodies are the name. An answer's body is an errno, four
// bytes.
const (
	// MsgRegister carries a send right. EEXIST: another right has the name; EINVAL:
	// the name, or no right; ENOSPC: there are MaxNames, or too many of the sender's. A name is free again when
	// the port behind it dies.
	MsgRegister = 1
	// MsgLookup: the answer carries a send right. ENOENT.
	MsgLookup = 2
	// MsgAwait is MsgLookup that waits for the name to be registered.
	MsgAwait = 3
)

// Kind is the word for a request, for people; empty if there is none of the number.
func Kind(id uint32) string {
	return map[uint32]string{MsgRegister: "register", MsgLookup: "lookup", MsgAwait: "await"}[id]
}

// Limits.
const (
	MaxName  = 128  // bytes
	MaxNames = 8192 // registered at a time
	// Lend is what a registration costs who makes it until its port dies, in bytes of
	// the nucleus's: it lends so much with the request.
	Lend = 512
)

// Errno reads an answer. EIO: it is none.
func Errno(body []byte) abi.Errno {
	if len(body) != 4 {
		return abi.EIO
	}
	return abi.Errno(binary.LittleEndian.Uint32(body))
}

// Answer is an answer's body.
func Answer(e abi.Errno) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(e)) }

// Register gives the server a send right to the port, of which the caller holds the
// receive right, under a name.
func Register(c *ipc.Conn, server abi.Name, name string, port abi.Name) abi.Errno {
	m, e := c.AskWith(server, &ipc.Message{ID: MsgRegister, Body: []byte(name), Lend: Lend,
		Rights: []abi.RightDesc{{Name: port, Disp: abi.MakeSend}}})
	if e != 0 {
		return e
	}
	return Errno(m.Body)
}

// Lookup answers a send right to what is registered under the name.
func Lookup(c *ipc.Conn, server abi.Name, name string) (abi.Name, abi.Errno) {
	return lookup(c, server, name, MsgLookup)
}

// Await is Lookup that waits until something is registered.
func Await(c *ipc.Conn, server abi.Name, name string) (abi.Name, abi.Errno) {
	return lookup(c, server, name, MsgAwait)
}

func lookup(c *ipc.Conn, server abi.Name, name string, id uint32) (abi.Name, abi.Errno) {
	m, e := c.AskWith(server, &ipc.Message{ID: id, Body: []byte(name)})
	if e == 0 {
		e = Errno(m.Body)
	}
	if e != 0 {
		return abi.NameNull, e
	}
	if len(m.Rights) != 1 || m.Rights[0].Kind != abi.RightSend {
		return abi.NameNull, abi.ENOENT // it died on the way
	}
	return m.Rights[0].Name, 0
}
