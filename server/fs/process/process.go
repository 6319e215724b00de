// Package process is what the processes of the file servers have in common:
// start-up, and memory objects made through the nucleus.
package process

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/ipc"
	"hythe/server/fs/object"
	"hythe/store"
)

// Start is a file server's process behind ipc.Startup: it reads the
// configuration into config, opens or makes the state of record (size bytes of
// address space, layout number version), lets open make the server, and serves
// it until the nucleus says stop. ready, unless nil, is called when the server
// has recovered and is about to serve (to confine the process). local is where a server
// that runs in its client's process has its place there; nil: the process is its own.
func Start(conn *ipc.Conn, in *ipc.Inheritance, local *fs.Local, ready func() error, config any, size int, version uint32,
	open func(in *ipc.Inheritance, h *store.Heap, objs *Objects) (fs.Server, abi.Errno, error)) error {
	if err := in.Decode(config); err != nil {
		return err
	}
	h, _, err := in.State(conn, size, version)
	if err != nil {
		return err
	}
	objs := NewObjects(conn, in)
	objs.local = local
	impl, e, err := open(in, h, objs)
	if err != nil {
		return err
	}
	if e != 0 {
		return fmt.Errorf("file server: %w", e)
	}
	if ready != nil {
		if err := ready(); err != nil {
			return err
		}
	}
	return local.Serve(conn, in, impl)
}

// Now is the wall clock, for nodes' times.
func Now() fs.Time {
	t := time.Now()
	return fs.Time{Sec: t.Unix(), Nsec: uint32(t.Nanosecond())}
}

// Objects makes memory objects through the nucleus. It implements
// object.Objects; one goroutine at a time uses it.
type Objects struct {
	conn    *ipc.Conn
	byLabel map[string]abi.Name
	local   *fs.Local // is told before the nucleus is waited for
}

// NewObjects answers the objects of this server: those that the nucleus kept
// from earlier incarnations and those that it makes.
func NewObjects(conn *ipc.Conn, in *ipc.Inheritance) *Objects {
	o := &Objects{conn: conn, byLabel: map[string]abi.Name{}}
	for i := range in.Rights {
		// Descriptors are taken when they are needed: there may be more
		// objects than a process may have descriptors.
		r := &in.Rights[i]
		switch {
		case r.Kind != abi.RightObject:
			continue
		case r.Label == "":
			// Granted by another server to the last incarnation, which alone
			// knew what it was.
			conn.Deallocate(r.Name)
		case strings.Contains(r.Label, ":"):
			o.byLabel[r.Label] = r.Name
		default:
			continue
		}
		if r.FD >= 0 {
			ipc.CloseFD(r.FD)
			r.FD = -1
		}
	}
	return o
}

// Create implements object.Objects.
func (o *Objects) Create(label string) (object.Object, abi.Errno) {
	if _, ok := o.byLabel[label]; ok {
		return nil, abi.EEXIST
	}
	// The nucleus makes it: the filter lets no server make one.
	o.local.Waits()
	name, fd, err := o.conn.CreateFile(1, label)
	if err != 0 {
		return nil, err
	}
	o.byLabel[label] = name
	return object.NewFile(fd, uint64(name)), 0
}

// Open implements object.Objects.
func (o *Objects) Open(label string) (object.Object, bool) {
	name, ok := o.byLabel[label]
	if !ok {
		return nil, false
	}
	o.local.Waits()
	fd, err := o.conn.ObjectFD(name, false)
	if err != 0 {
		return nil, false
	}
	return object.NewFile(fd, uint64(name)), true
}

// Import implements object.Objects.
func (o *Objects) Import(fd int, label string, _ bool) (object.Object, abi.Errno) {
	if f, ok := o.Open(label); ok {
		return f, 0
	}
	dup, e := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if e != nil {
		return nil, object.Errno(e)
	}
	o.local.Waits()
	name, err := o.conn.ImportObject(fd, label)
	if err != 0 {
		ipc.CloseFD(dup)
		return nil, err
	}
	o.byLabel[label] = name
	return object.NewFile(dup, uint64(name)), 0
}

// Free implements object.Objects.
func (o *Objects) Free(label string) {
	if name, ok := o.byLabel[label]; ok {
		o.local.Waits()
		o.conn.Deallocate(name)
		delete(o.byLabel, label)
	}
}

// Len implements object.Objects.
func (o *Objects) Len() int { return len(o.byLabel) }

// Sweep frees the objects that holds does not want: what a transaction made
// that never ended.
func (o *Objects) Sweep(holds func(label string) bool) {
	for label := range o.byLabel {
		if strings.HasPrefix(label, "file:") && !holds(label) {
			o.Free(label)
		}
	}
}
