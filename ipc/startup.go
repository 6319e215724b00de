package ipc

import (
	"encoding/json"
	"fmt"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/store"
)

// Right is a right (or memory object) that a server was given at its start, or
// inherits from its last incarnation under the same name.
type Right struct {
	Name  abi.Name
	Kind  uint32 // abi.Right...
	Label string
	FD    int // objects: a descriptor; else -1
	Refs  int // objects: the user references
}

// Bound is a binding as the nucleus announces it.
type Bound struct {
	ID          uint64
	Role        uint64 // abi.Role...: of the receiver
	Slots       int
	Port        abi.Name // servers: the port on which it was made
	Redelivered bool     // the last incarnation had it
	Label       string
	FDs         []int // area, doorbell to the server[, doorbell to the client]
}

// Inheritance is all that a server starts with.
type Inheritance struct {
	Rights      []Right
	Bindings    []*Bound
	Alarms      []Alarm // that the last incarnation set and that are still to come
	Config      []byte  // JSON
	Incarnation uint64  // from 1
}

func newRight(e *Event) *Right {
	r := &Right{Name: abi.Name(e.A[0]), Kind: uint32(e.A[1]), Label: string(e.Inline), FD: -1}
	if r.Kind == abi.RightObject {
		r.Refs = int(e.A[4])
	}
	for i, fd := range e.FDs {
		if i == 0 {
			r.FD = fd
		} else {
			_ = unix.Close(fd)
		}
	}
	return r
}

func newBound(e *Event) (*Bound, error) {
	b := &Bound{ID: e.A[0], Role: e.A[1], Slots: int(e.A[2]), Port: abi.Name(e.A[3]), Redelivered: e.A[4] == 1,
		Label: string(e.Inline), FDs: e.FDs}
	if e.A[2] < 1 || e.A[2] > abi.MaxSlots || len(b.FDs) < 2 || len(b.FDs) > 3 {
		return nil, fmt.Errorf("ipc: binding %d with %d slots and %d descriptors", b.ID, e.A[2], len(e.FDs))
	}
	return b, nil
}

// Startup collects what the nucleus hands to a new server, until EventGo. It is
// the first thing that a server does with its Conn.
func Startup(c *Conn) (*Inheritance, error) {
	in := &Inheritance{}
	var later []Event // a task may die while its server starts: for Run
	defer func() { c.pushBack(later) }()
	for {
		e, err := c.Next()
		if err != nil {
			return nil, err
		}
		switch e.Op {
		case abi.EventInherit:
			if e.A[1] == abi.RightAlarm {
				in.Alarms = append(in.Alarms, Alarm{ID: e.A[0], Word: e.A[2], At: e.A[3]})
				break
			}
			in.Rights = append(in.Rights, *newRight(&e))
		case abi.EventBinding:
			b, err := newBound(&e)
			if err != nil {
				return nil, err
			}
			in.Bindings = append(in.Bindings, b)
		case abi.EventGo:
			in.Config, in.Incarnation = e.Inline, e.A[0]
			return in, nil
		case abi.EventUnbound: // the peer died while we were starting
			for i, b := range in.Bindings {
				if b.ID == e.A[0] {
					closeAll(b.FDs)
					in.Bindings = append(in.Bindings[:i], in.Bindings[i+1:]...)
					break
				}
			}
		default:
			later = append(later, e)
		}
	}
}

// Find gives the first right of a kind with a label, or nil.
func (in *Inheritance) Find(kind uint32, label string) *Right {
	for i := range in.Rights {
		if r := &in.Rights[i]; r.Kind == kind && r.Label == label {
			return r
		}
	}
	return nil
}

// Send gives the name of the send right with a label, or NameNull.
func (in *Inheritance) Send(label string) abi.Name {
	if r := in.Find(abi.RightSend, label); r != nil {
		return r.Name
	}
	return abi.NameNull
}

// Receive gives the name of the receive right with a label, or NameNull.
func (in *Inheritance) Receive(label string) abi.Name {
	if r := in.Find(abi.RightReceive, label); r != nil {
		return r.Name
	}
	return abi.NameNull
}

// Decode reads the configuration into v; an empty one changes nothing.
func (in *Inheritance) Decode(v any) error {
	if len(in.Config) == 0 {
		return nil
	}
	if err := json.Unmarshal(in.Config, v); err != nil {
		return fmt.Errorf("ipc: configuration: %w", err)
	}
	return nil
}

// StateLabel is the durable label of the object that holds a server's state of
// record.
const StateLabel = "state"

// State opens the server's state of record, or makes it (fresh) with size
// bytes of address space; memory is taken as it is used. version is the number
// of the server's own tables.
func (in *Inheritance) State(c *Conn, size int, version uint32) (h *store.Heap, fresh bool, err error) {
	fd := -1
	if r := in.Find(abi.RightObject, StateLabel); r != nil {
		fd = r.FD
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return nil, false, fmt.Errorf("ipc: state object: %w", err)
		}
		size = int(st.Size)
	} else {
		var e abi.Errno
		if _, fd, e = c.CreateObject(uint64(size), StateLabel); e != 0 {
			return nil, false, fmt.Errorf("ipc: state object: %w", e)
		}
	}
	mem, err := store.Map(fd, size)
	_ = unix.Close(fd)
	if err != nil {
		return nil, false, fmt.Errorf("ipc: state object: %w", err)
	}
	return store.OpenOrFormat(mem, version)
}

// Client gives the binding with a label that this task has as a client: the
// one that the last incarnation made, or a new one through the send right with
// the label sendLabel.
func (in *Inheritance) Client(c *Conn, label, sendLabel string, slots int) (*ClientBinding, error) {
	for _, b := range in.Bindings {
		if b.Role == abi.RoleClient && b.Label == label {
			cb, err := NewClientBinding(b)
			if err != nil {
				return nil, err
			}
			return c.client(cb), nil
		}
	}
	name := in.Send(sendLabel)
	if name == abi.NameNull {
		return nil, fmt.Errorf("ipc: no send right %q", sendLabel)
	}
	cb, e := c.Bind(name, slots, label)
	if e != 0 {
		return nil, fmt.Errorf("ipc: bind to %q: %w", sendLabel, e)
	}
	return cb, nil
}
