// Package debug is the interface of the port that stands for a process (abi.GuestTask),
// and of the exceptions that its debugger is sent. Integers are little-endian.
package debug

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/ipc"
)

// Requests to the process's port. An answer begins with an errno, four bytes. ESRCH: the
// process is gone; EPERM: it has other credentials by now.
const (
	// MsgRead: address, length (8 bytes each, at most MaxBytes) -> the bytes, as far
	// as they can be read. EFAULT: none.
	MsgRead = 1
	// MsgWrite: address, then the bytes. Also what the process itself may not write,
	// if it is its own. EFAULT: not all could be written.
	MsgWrite = 2
	// MsgExceptions: flags (four bytes); carries a send right to the new exception
	// port, or none: then there is none any more. EBUSY: another debugger has set one.
	MsgExceptions = 3
	// MsgStop: each thread sends an exception (Stop) as soon as it is in no call.
	MsgStop = 4
)

// MaxBytes is what MsgRead and MsgWrite carry at most.
const MaxBytes = 16 << 10

// AtExec is a flag of MsgExceptions: a thread stops at the first instruction of a
// program that it executes.
const AtExec = 1

// Kinds of exception: the ID of the message.
const (
	Fault = 1 // a trap or fault
	Stop  = 2 // MsgStop
	Exec  = 3 // AtExec
)

// Exception is the body of the message to an exception port. Its Seq is the same when it
// is sent again because the unix server died.
type Exception struct {
	Pid, Tid    int32
	Signal      int32 // what it will be (Linux's number), if nobody takes it
	Code        int32 // si_code
	Addr        uint64
	TrapNo, Err uint64
	Regs        abi.Regs
}

// Answer is the body of the answer to it. The thread waits for it.
type Answer struct {
	// Taken: the thread goes on with Regs (FSBase apart). Else as if there had been
	// no debugger.
	Taken uint64
	Regs  abi.Regs
}

// Encode makes the bytes of a body.
func Encode(v any) []byte {
	b, err := binary.Append(nil, binary.LittleEndian, v)
	if err != nil {
		panic(err) // a type of this package has a fixed size
	}
	return b
}

// Decode reads a body; false if it is not of v's size.
func Decode(b []byte, v any) bool {
	n, err := binary.Decode(b, binary.LittleEndian, v)
	return err == nil && n == len(b)
}

// Process is a debugger's hold on a process.
type Process struct {
	C    *ipc.Conn
	Port abi.Name // ipc.Conn.ProcessPort answers it
}

func (p Process) ask(m *ipc.Message) ([]byte, abi.Errno) {
	a, e := p.C.AskWith(p.Port, m)
	switch {
	case e != 0:
		return nil, e
	case len(a.Body) < 4:
		return nil, abi.EIO
	}
	return a.Body[4:], abi.Errno(binary.LittleEndian.Uint32(a.Body))
}

// Read reads n bytes of the process's memory, or fewer.
func (p Process) Read(addr uint64, n int) ([]byte, abi.Errno) {
	return p.ask(&ipc.Message{ID: MsgRead, Body: Encode([2]uint64{addr, uint64(n)})})
}

// Write writes into the process's memory.
func (p Process) Write(addr uint64, b []byte) abi.Errno {
	_, e := p.ask(&ipc.Message{ID: MsgWrite, Body: append(Encode(addr), b...)})
	return e
}

// Exceptions has the process's exceptions sent to the port, a receive right of the
// caller's; NameNull ends that.
func (p Process) Exceptions(port abi.Name, flags uint32) abi.Errno {
	m := &ipc.Message{ID: MsgExceptions, Body: Encode(flags)}
	if port != abi.NameNull {
		m.Rights = []abi.RightDesc{{Name: port, Disp: abi.MakeSend}}
	}
	_, e := p.ask(m)
	return e
}

// Stop stops each thread of the process.
func (p Process) Stop() abi.Errno {
	_, e := p.ask(&ipc.Message{ID: MsgStop})
	return e
}

// Next waits for an exception on a port; answer it with Continue.
func Next(c *ipc.Conn, port abi.Name) (*ipc.Message, *Exception, abi.Errno) {
	m, e := c.Receive(port)
	if e != 0 {
		return nil, nil, e
	}
	x := &Exception{}
	if !Decode(m.Body, x) {
		return nil, nil, abi.EPROTO
	}
	return m, x, 0
}

// Continue answers an exception: the thread goes on with r; nil: it was not ours.
func Continue(c *ipc.Conn, m *ipc.Message, r *abi.Regs) abi.Errno {
	a := Answer{}
	if r != nil {
		a = Answer{Taken: 1, Regs: *r}
	}
	return c.Answer(m, Encode(&a))
}
