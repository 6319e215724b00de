package ipc

import (
	"golang.org/x/sys/unix"

	"hythe/abi"
)

// A body that is too long for a message travels in a memory object beside it. Sender
// and receiver have agreed on that: one packs what the other unpacks.
const (
	packFrom  = abi.MaxInline - 4096 // rights and headers want room, too
	maxPacked = 16 << 20
)

// Pack makes a message of the body. done gives up what the sender has of it, and is
// called when the message was sent, or was not. E2BIG: it has more than 16 MiB;
// otherwise the errors of CreateObject.
func (c *Conn) Pack(body []byte) (m *Message, done func(), err abi.Errno) {
	if len(body) <= packFrom {
		return &Message{Body: body}, func() {}, 0
	}
	if len(body) > maxPacked {
		return nil, nil, abi.E2BIG
	}
	name, fd, err := c.CreateObject(uint64(len(body)), "")
	if err != 0 {
		return nil, nil, err
	}
	for at := 0; at < len(body); {
		n, err := unix.Pwrite(fd, body[at:], int64(at))
		if n <= 0 && err != unix.EINTR {
			CloseFD(fd)
			_ = c.Deallocate(name)
			return nil, nil, abi.ENOMEM
		}
		at += max(n, 0)
	}
	CloseFD(fd)
	return &Message{Objects: []abi.ObjectDesc{{Name: name, Flags: 1, Len: uint64(len(body))}}},
		func() { _ = c.Deallocate(name) }, 0
}

// Unpack answers the body of a message that Pack made, and takes the object that it
// may have brought. The length is the sender's word: EMSGSIZE beyond 16 MiB, EIO when
// the object ends before it.
func (c *Conn) Unpack(m *Message) ([]byte, abi.Errno) {
	if len(m.Objects) != 1 || len(m.FDs) != 1 || len(m.Body) != 0 {
		return m.Body, 0
	}
	defer func() {
		closeAll(m.FDs)
		_ = c.Deallocate(m.Objects[0].Name)
		m.FDs, m.Objects = nil, nil
	}()
	n := m.Objects[0].Len
	if n > maxPacked {
		return nil, abi.EMSGSIZE
	}
	body := make([]byte, n)
	for at := 0; at < len(body); {
		k, err := unix.Pread(m.FDs[0], body[at:], int64(at))
		if k <= 0 && err != unix.EINTR {
			return nil, abi.EIO
		}
		at += max(k, 0)
	}
	return body, 0
}
